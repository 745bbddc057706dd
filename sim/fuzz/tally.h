/**
 * @file
 * What a fuzzing run did, counted: programs, accesses, edits, invalidations, faults by kind, and
 * what each mask touched.
 */
#ifndef SIM_FUZZ_TALLY_H
#define SIM_FUZZ_TALLY_H

#include "sim/backend/compare.h"

/** Name, what is counted. */
#define FUZZ_COUNTS(X)                                                                             \
    X(programs, "programs")                                                                        \
    X(accesses, "accesses compared")                                                               \
    X(edits, "words stored into tables")                                                           \
    X(invalidations, "invalidations")                                                              \
    X(registers, "other loads of registers")                                                       \
    X(words, "words of memory compared at the ends")                                               \
    X(not_canonical, "faults: not canonical")                                                      \
    X(not_present, "faults: not present")                                                          \
    X(reserved, "faults: reserved bit")                                                            \
    X(key, "faults: protection key")                                                               \
    X(fetch, "faults: rights, fetch")                                                              \
    X(write, "faults: rights, write")                                                              \
    X(read, "faults: rights, read")

enum fuzz_count {
#define X(name, what) FUZZ_##name,
    FUZZ_COUNTS(X)
#undef X
        FUZZ_COUNT_COUNT
};

struct fuzz_tally {
    uint64_t count[FUZZ_COUNT_COUNT];
    uint64_t masked[MASK_COUNT], in_reach[MASK_COUNT]; /**< as struct verdict's */
};

/** Adds a run as the model saw it, and what came of comparing. */
void fuzz_tally_add(struct fuzz_tally *, const struct scenario *, const struct observation *model,
                    const struct verdict *);

const char *fuzz_count_name(enum fuzz_count);
const char *fuzz_count_what(enum fuzz_count);

#endif
