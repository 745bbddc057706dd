/**
 * @file
 * Where accesses come from: one interface for trace files, lists and generators, drawn in batches.
 *
 * A source hands out struct access records (core/access.h) in order. Its position is the number of
 * records handed out (an operand is a record too), so that a machine needs only that number to
 * resume. A guest event and its operand are never split over two fills.
 */
#ifndef SIM_WORKLOAD_SOURCE_H
#define SIM_WORKLOAD_SOURCE_H

#include "core/access.h"
#include "sim/err.h"

struct source;

struct source_ops {
    /**
     * Writes up to @p max (at least 2) records to @p out and returns how many; 0 is the end, or an
     * error if err->code is set.
     */
    size_t (*fill)(struct source *, struct access *out, size_t max, struct err *);
    /** Records handed out since the start. */
    uint64_t (*tell)(const struct source *);
    /** Goes to a position, forwards or backwards; false with err set where that can't be done. */
    bool (*seek)(struct source *, uint64_t record, struct err *);
    /** How far along the input is, 0 to 1; negative when unknown (a pipe). For progress. */
    double (*progress)(const struct source *);
    void (*free)(struct source *);
};

/** The first member of every source. */
struct source {
    const struct source_ops *ops;
};

#endif
