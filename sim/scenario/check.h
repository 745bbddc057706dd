/**
 * @file
 * Checks a tree against the table of keys: unknown, missing and misplaced keys, types, bounds,
 * words. What goes beyond one value is for the loader.
 */
#ifndef SIM_SCENARIO_CHECK_H
#define SIM_SCENARIO_CHECK_H

#include "sim/scenario/json.h"
#include "sim/scenario/spec.h"

/** Complains about everything in the tree that the table doesn't admit, and refuses it. */
void check(struct document *, cJSON *item, const struct schema *);

/** A search for the word that somebody meant. Start with the text alone; NULL finds nothing. */
struct guess {
    const char *text, *best;
    unsigned distance;
};
void guess_try(struct guess *, const char *candidate);

#endif
