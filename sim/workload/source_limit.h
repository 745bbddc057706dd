/**
 * @file
 * Part of a source: some accesses left out at the start, a limit, samples, or no guest events.
 *
 * Guest events are handed out whether or not the accesses around them are, so that the address
 * space is what it would be: only accesses count. They cease with the last access.
 */
#ifndef SIM_WORKLOAD_SOURCE_LIMIT_H
#define SIM_WORKLOAD_SOURCE_LIMIT_H

#include "sim/workload/source.h"

struct limits {
    uint64_t skip;       /**< accesses left out at the start */
    uint64_t max;        /**< accesses handed out at most; UINT64_MAX: all */
    uint64_t sample;     /**< of every @p every accesses, the first so many are handed out */
    uint64_t every;      /**< 0: all of them */
    unsigned bits;       /**< an address of more bits is an error; 0: none is */
    bool without_events; /**< guest events are left out too */
};

/** All of a source. */
extern const struct limits NO_LIMITS;

/**
 * The part of @p inner that @p limits say. Owns @p inner from now on, also when it fails (NULL, no
 * memory).
 */
struct source *source_limit(struct source *inner, const struct limits *limits);

#endif
