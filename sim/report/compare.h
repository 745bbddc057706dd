/**
 * @file
 * Several ways to virtualize one machine, side by side on the same accesses: what each cost, what
 * it shows of Popek and Goldberg's requirements, and what decides between them.
 */
#ifndef SIM_REPORT_COMPARE_H
#define SIM_REPORT_COMPARE_H

#include "sim/evidence.h"
#include "sim/report/stats.h"

enum { CONTENDERS_MAX = 16 };

/** One run. */
struct contender {
    char name[24]; /**< "nested", "shadow:vtlb" */
    enum mode mode;
    struct stats stats;       /**< owned */
    struct evidence evidence; /**< of all VMs */
    uint64_t outcomes;        /**< digest of what became of every script item */
    uint64_t updates;   /**< INVLPG, CR3 reloads, unmappings and protections of the guest OS */
    uint64_t refs_most; /**< entries that a walk reads which no cache shortens */
};

struct comparison {
    const char *title; /**< borrowed */
    bool is_trace;     /**< its accesses are a recording's */
    struct contender of[CONTENDERS_MAX];
    unsigned n;
};

/** Takes a machine that has run. False: no memory. */
bool contender_take(struct contender *, const char *name, struct machine *,
                    const struct machine_config *, const char *scenario, uint64_t outcomes);

void comparison_fini(struct comparison *);

/** Cycles per access. */
double contender_cost(const struct contender *);

/** Whether a guest could tell it from @p reference: outcomes, faults, tables with A and D, memory.
 */
bool contender_is_equivalent(const struct contender *, const struct contender *reference);

/** The cheapest virtualized contender and the next; -1 where there is none. */
void comparison_verdict(const struct comparison *, int *best, int *second);

/** What the guest had to change for a mode; NULL: nothing. */
const char *mode_demand(enum mode);

/** For people. */
void comparison_print_table(const struct comparison *, FILE *);
/** Schema nestwalk/compare/1. */
void comparison_print_json(const struct comparison *, FILE *);
/** One row per contender. */
void comparison_print_csv(const struct comparison *, FILE *);

/** Pros, cons and what decides, each sentence from the figures. */
void comparison_print_words(const struct comparison *, FILE *);

#endif
