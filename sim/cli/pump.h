/**
 * @file
 * From a trace to the compact format: what `convert` and `record` have in common.
 */
#ifndef SIM_CLI_PUMP_H
#define SIM_CLI_PUMP_H

#include "sim/cli/cli.h"
#include "sim/workload/trace.h"

/** What went through, and what reading it met. */
struct pumped {
    uint64_t accesses, events;
    double seconds;
    struct trace_report report;
};

struct pump {
    struct source *source;       /**< from trace_open; borrowed */
    struct trace_writer *writer; /**< borrowed */
    bool without_fetches;        /**< instruction fetches are left out */
    bool until_end; /**< an interruption ends the input by itself: read on until then */
};

/**
 * Copies all there is, with its ids, and shows progress. False with err set; an interruption sets
 * EXIT_NO.
 */
bool pump_run(const struct pump *, const struct cli *, struct pumped *, struct err *);

#endif
