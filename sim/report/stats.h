/**
 * @file
 * The statistics of a run: gathered once from the counters of a machine, printed by three writers.
 *
 * Everything is a sum of event counters (core/event.h), so that a recorded log adds up to the same.
 * Sums over several vCPUs are sums of work: cycles are those that all vCPUs spent together.
 */
#ifndef SIM_REPORT_STATS_H
#define SIM_REPORT_STATS_H

#include <stdio.h>

#include "sim/machine.h"

/** Lookups of one cache: hits + misses. */
struct cache_stats {
    char name[8];  /**< "l1d", "pde" */
    char page[16]; /**< TLBs: page size; structure caches: the dimension */
    uint64_t hits, misses;
};

enum {
    TLB_ROWS = 2 * TLBS * (LEVELS_MAX + 1),
    STRUCTURE_ROWS = LEVELS_MAX * STAGES_MAX,
};

/** What cycles are spent on: key, words. */
#define CYCLE_PARTS_OF(X)                                                                          \
    X(accesses, "the accesses themselves")                                                         \
    X(translation, "TLBs and walks")                                                               \
    X(guest, "the guest OS, its faults and stores")                                                \
    X(exits, "VM exits")                                                                           \
    X(hypervisor, "the hypervisor's work")

enum cycle_part {
#define X(key, words) CYCLES_##key,
    CYCLE_PARTS_OF(X)
#undef X
        CYCLE_PARTS
};

/** What was counted, of one VM or of all. */
struct counts {
    const char *name; /**< of the VM; NULL: all */
    uint64_t accesses, cycles;
    uint64_t cycles_by[CYCLE_PARTS]; /**< their sum is cycles */
    struct cache_stats tlb[TLB_ROWS], structure[STRUCTURE_ROWS], nested[STAGES_MAX];
    unsigned n_tlb, n_structure, n_nested;
    struct {
        uint64_t count, retried, dirty;
        uint64_t by_stage[STAGES_MAX];
        uint64_t by_level[STAGES_MAX][LEVELS_MAX + 1];
        unsigned stages;
        uint64_t served_by[SERVERS];
    } walks;
    uint64_t faults[REFUSALS]; /**< [REFUSED_NOT] stays 0 */
    bool has_hypervisor;
    uint64_t exits[EXIT_REASON_COUNT], work[WORK_COUNT];
    bool has_l1;                   /**< the VM's hypervisor is in a VM itself */
    uint64_t exits_to[STAGES_MAX]; /**< [depth of the hypervisor] */
    struct {
        uint64_t guest_bytes, host_bytes;
        unsigned __int128 linear_bytes;
    } tables;
    uint64_t frames; /**< of the host that the VM's memory has; without a hypervisor, all of it */
    bool has_paging;
    struct {
        uint64_t hits, faults, evictions, page_ins, page_outs;
    } paging; /**< page touches, with reclaim only */
};

struct stats {
    const char *scenario, *mode, *profile; /**< borrowed */
    uint64_t seed;
    struct counts total;
    struct counts *vms; /**< owned */
    unsigned n_vms;
};

/**
 * Adds a machine's counters up. @p scenario: what the run is called, borrowed like all names.
 * False: no memory.
 */
bool stats_gather(struct stats *, const struct machine *, const struct machine_config *,
                  const char *scenario);
void stats_fini(struct stats *);

/** For people: aligned, with units. */
void stats_print_table(const struct stats *, FILE *);
/** Schema nestwalk/stats/1. */
void stats_print_json(const struct stats *, FILE *);
/** Rows of name,value; a name is the path of the value in the JSON: tlb.l1d.4KiB.hits,12. */
void stats_print_csv(const struct stats *, FILE *);

const char *cycle_part_name(enum cycle_part);
const char *cycle_part_words(enum cycle_part);

/** The sum of all exits. */
uint64_t stats_exits(const struct counts *);

#endif
