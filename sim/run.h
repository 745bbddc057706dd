/**
 * @file
 * Runs a scenario on the model: script items in order, workloads between them, outcomes as they
 * come.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/machine.h"

struct run_hooks {
    /** After each script item, in order; NULL: nobody listens. */
    void (*outcome)(void *self, unsigned index, const struct script_item *, const struct outcome *,
                    const struct machine *);
    /** Every so many accesses; returns true to stop. NULL: never. */
    bool (*progress)(void *self, uint64_t accesses);
    void *self;
};

/**
 * Runs the whole script and all workloads on @p machine, which is new. Items with "at" are placed
 * among the workloads. False with err set when the machine stopped before the end.
 */
bool run_scenario(const struct scenario *, struct machine *, const struct run_hooks *,
                  struct err *);

/** Only the script's items, without those that have "at": what stands before the workloads. */
bool run_script(const struct scenario *, struct machine *, const struct run_hooks *, struct err *);

/**
 * When a guest reclaims by OPT: runs a clone ahead over script and workloads, and tells the machine
 * when each page is touched next. False with err set where the order of touches depends on clocks
 * (several vCPUs, items placed by time), or without memory. Memory: 8 bytes per touch. Call before
 * anything runs.
 */
bool run_foresee(const struct scenario *, struct machine *, struct err *);

#endif
