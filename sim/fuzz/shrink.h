/**
 * @file
 * Makes a program short that shows something: as long as it still does, items go, then words of
 * memory; then registers, accesses and entries become plain.
 *
 * Programs that the rules (rules.h) don't allow are not asked about, so what is shown stays what it
 * was: the difference in a loose page is never an answer. Deterministic. Source of the way items
 * go: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28(2),
 * 2002.
 */
#ifndef SIM_FUZZ_SHRINK_H
#define SIM_FUZZ_SHRINK_H

#include "sim/backend/environment.h"
#include "sim/fuzz/program.h"

/** What a program must still do. */
struct shown {
    bool (*shows)(void *self, const struct fuzz_program *);
    void *self;
};

/** Shrinks in place; asks at most @p most times, and returns how often. */
unsigned shrink(struct fuzz_program *, const struct environment *, const struct shown *,
                unsigned most);

#endif
