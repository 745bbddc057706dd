/**
 * @file
 * The accesses of one configured process, in order: its phases one after the other, each a
 * generator or a trace, drawn in batches.
 *
 * A feed is plain data and part of a machine: generators are state inside it; a trace is outside,
 * and the feed keeps the number of the record where it stands.
 */
#ifndef SIM_WORKLOAD_FEED_H
#define SIM_WORKLOAD_FEED_H

#include "sim/config.h"
#include "sim/workload/source.h"

enum { FEED_BATCH = 512 };

struct feed {
    const struct process_config *config; /**< outlives every clone */
    struct source *const *traces; /**< by phase: opened by the caller, outlives every clone */
    struct zipf *const *zipfs;    /**< by phase */
    uint64_t seed;
    uint16_t process;
    uint16_t phase;    /**< n_phases: at the end */
    bool begun;        /**< the phase's generator is set up */
    uint64_t record;   /**< of the trace: handed out and in the batch */
    uint64_t accesses; /**< of the trace: drawn in this phase, at most as many as the phase has */
    struct generator generator;
    unsigned at, n; /**< what remains of the batch: [at, n) */
    struct access batch[FEED_BATCH];
};

/** Starts at the first phase. Everything is borrowed. */
void feed_init(struct feed *, const struct process_config *, uint16_t process, uint64_t seed,
               struct source *const *traces, struct zipf *const *zipfs);

/**
 * Makes sure that the batch holds at least one record (and its operand). False at the end, or with
 * err->code set when the trace can't be read.
 */
bool feed_fill(struct feed *, struct err *);

#endif
