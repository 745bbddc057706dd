/**
 * @file
 * Replays traces on a machine: one VM, one process per trace, and pages that come into being when
 * they are first touched.
 *
 * Memory: that of the machine and of the pages touched; a trace may be of any length.
 *
 * Modelled: what the trace holds: accesses, and the guest events that some formats interleave.
 * Simplified: what is touched outside every mapping known is mapped rwxu in 4 KiB pages. Not
 * modelled: the operating system's own accesses, which no trace of a program holds.
 */
#ifndef SIM_REPLAY_H
#define SIM_REPLAY_H

#include "sim/machine.h"
#include "sim/workload/source_limit.h"
#include "sim/workload/trace.h"

struct replay_options {
    const char *const *traces; /**< paths; "-" is stdin */
    unsigned n_traces;
    struct trace_options reading;
    struct limits limits; /**< of each trace */
    uint64_t warmup;      /**< accesses before the counters are set to zero */
    uint64_t quantum;     /**< accesses between switches among the traces; 0: one by one */
    uint64_t memory;      /**< of the VM, bytes; 0: 1 TiB, or what the machine's addresses reach */
    enum mode mode;
    enum second_stage second_stage;
    unsigned second_stage_level; /**< of its pages; 0 is 1 */
    enum shadow_policy shadow_policy;
    enum paging paging;
    bool huge_pages;
    /** All pages that a trace ever touches are mapped before the first access, unbilled, and its
     * guest events are left out. The trace is read twice. */
    bool populate;
};

struct replay {
    struct machine *machine;
    struct machine_config config;
    struct vm_config vm;
    struct process_config *processes; /**< one per trace; owned */
    struct phase_config *phases;      /**< one per trace; owned */
    struct source **sources;          /**< what the machine reads; the machine's */
    struct source **readers;          /**< the traces inside; the sources' */
    uint64_t warmup;                  /**< accesses left of it */
    uint64_t done;                    /**< accesses since it ended */
    uint64_t populated;               /**< pages mapped before the first access */
    bool events_left_out;
};

/**
 * Opens the traces and builds the machine: @p host gives profile and seed; its memory is the
 * VM's, with room for a hypervisor's tables where there is one. False with err set; then there is
 * nothing to close. With populate this takes as long as reading the traces; @p stop is looked at
 * (NULL: nothing stops it).
 */
bool replay_open(struct replay *, const struct machine_config *host, const struct replay_options *,
                 const volatile int *stop, struct err *);

/** Goes on for up to @p n accesses. False at the end, or with err set. */
bool replay_run(struct replay *, uint64_t n, struct err *);

/** The part of the traces that has been read, 0 to 1; negative when unknown. */
double replay_progress(const struct replay *);

/** The sum over the traces of what reading has met: errors, unmodelled and events. */
struct trace_report replay_report(const struct replay *);

void replay_close(struct replay *);

#endif
