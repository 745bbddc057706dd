/**
 * @file
 * A small rig for the tests of the MMU: memory, one vCPU, page tables written by hand into memory,
 * and accesses. It writes entries from its own knowledge of where fields stand, not core's.
 */
#ifndef TESTS_CORE_RIG_H
#define TESTS_CORE_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "core/mmu.h"

/* What a rig needs to be one at all. Ends the test, or the program: it is not what is tested, and
 * rigs are built outside of tests too (tests/reproduce). */
#define rig_must(condition, ...)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: " #condition ": ", __FILE__, __LINE__);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What most entries hold: present, writable, for users; A and D clear. */
#define PWU (PTE_P | PTE_W | PTE_U)

enum { PAGE_4K = 1, PAGE_2M = 2, PAGE_4M = 2, PAGE_1G = 3 }; /* the level of such a leaf */

struct rig {
    struct mem mem;
    struct bus bus;
    struct mmu *mmu;
    struct walk walk; /* of the last access */
};

/** Every feature, 46 address bits, no cache at all, and no two prices alike. */
struct profile rig_profile(void);

/** As rig_profile, with TLBs and structure caches that are large and fully associative. */
struct profile rig_cached_profile(void);

/** Gives a TLB one fully associative LRU array of @p entries for every page size. */
void rig_tlb(struct profile *, enum tlb_name, uint32_t entries);

/** Gives every level its structure cache of @p entries, or none (0). */
void rig_structure(struct profile *, uint32_t entries);

/** A rig with 1 TiB of memory whose vCPU has paging off. */
struct rig *rig_new(const struct profile *, unsigned stages);
void rig_free(struct rig *);

/** Another rig in the same state that shares nothing with @p rig. */
struct rig *rig_copy(const struct rig *);

/** The registers that select @p paging, with NXE, PSE, PGE, WP set and nothing else. */
struct registers rig_registers(enum paging, uint64_t root);

/** Sets them; the test fails if that is refused. */
void rig_set(struct rig *, const struct registers *);

/** Page tables of one space, built in memory. */
struct tables {
    enum paging paging;
    uint64_t root;
    uint64_t next; /**< the next free frame for a table, in the space's own addresses */
    hpa_t base;    /**< where address 0 of that space is in memory */
};

/** Empty tables whose root is at @p first. */
struct tables tables_new(enum paging, uint64_t first, hpa_t base);

/** Bits of @p ia below the index of @p level. */
unsigned tables_shift(enum paging, unsigned level);

/** The top level that stands in memory or, for PAE, in the registers. */
unsigned tables_top(enum paging);

/** Where the entry of @p level for @p ia is in memory; 0: no table there. */
hpa_t tables_at(const struct mem *, const struct tables *, ia_t ia, unsigned level);

/** Writes the leaf entry for @p ia at @p level (PS is added), and tables above where missing. */
hpa_t rig_map(struct mem *, struct tables *, ia_t ia, unsigned level, uint64_t entry);

/** The same, under the name of its kind; the guest OS has a function of that name in the library.
 */
static inline hpa_t tables_map(struct mem *mem, struct tables *t, ia_t ia, unsigned level,
                               uint64_t entry)
{
    return rig_map(mem, t, ia, level, entry);
}

/** Maps @p pages pages of @p level, consecutive from @p entry on. */
void tables_map_range(struct mem *, struct tables *, ia_t ia, unsigned level, uint64_t entry,
                      uint64_t pages);

uint64_t entry_load(const struct mem *, const struct tables *, ia_t ia, unsigned level);
void entry_store(struct mem *, const struct tables *, ia_t ia, unsigned level, uint64_t entry);

/** A chain of stages over linear spaces: stage d takes x to x + offset[d]. */
struct chain {
    unsigned stages;
    struct tables tables[STAGES_MAX];
    uint8_t leaf[STAGES_MAX];    /**< level of the leaves that chain_map makes */
    uint64_t offset[STAGES_MAX]; /**< a multiple of the leaf's page */
    struct stage stage[STAGES_MAX];
};

/** What to build each stage of a chain like. */
struct chain_plan {
    enum paging paging;
    uint8_t leaf;
};

/** A chain in @p mem: the tables of each stage are where the stage below is told to map them. */
struct chain chain_new(const struct chain_plan *, unsigned stages);

/** Maps @p ia at stage @p depth, and below it the tables used and the page itself. */
void chain_map(struct mem *, struct chain *, unsigned depth, ia_t ia);

/** The host address to which the whole chain takes @p x of stage @p depth's input space. */
hpa_t chain_leads(const struct chain *, unsigned depth, ia_t x);

/** Sets a walk up over the chain, peeking. */
void chain_peek(struct rig *, const struct chain *);

/** Sets a walk up over the chain that can be committed, through the rig's (empty) caches. */
void chain_walk(struct rig *, const struct chain *);

/** One access: translated, and given up if refused. */
bool rig_access(struct rig *, enum op, unsigned flags, gva_t);

/** Reads one byte as supervisor; returns the host address, or ~0. */
hpa_t rig_read(struct rig *, gva_t);
hpa_t rig_write(struct rig *, gva_t);

/** A counter. */
uint64_t rig_total(const struct rig *, enum event_kind);
#define RIG_COUNT(rig, kind, depth, level, detail)                                                 \
    ((rig)->mmu->tally.count[SLOT(kind, depth, level, detail)])

/** Entries read at all levels of stage 0. */
uint64_t rig_refs(const struct rig *);

/** A sum over all bytes of memory, to see whether anything changed. */
uint64_t mem_sum(const struct mem *);

#endif
