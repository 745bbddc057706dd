/**
 * @file
 * The values of a machine profile one by one, with where each comes from.
 */
#ifndef SIM_SCENARIO_PROFILE_LIST_H
#define SIM_SCENARIO_PROFILE_LIST_H

#include "sim/scenario/scenario.h"

/** One value as its file states it. Texts live for the call alone. */
struct profile_value {
    const char *name;       /**< "tlb.l1d.4KiB" */
    const char *value;      /**< "64 entries, 4 ways, lru" */
    const char *source;     /**< NULL where the file gives none: titles and such */
    const char *confidence; /**< NULL likewise */
    const char *note;       /**< NULL: none */
};

/**
 * Hands every value of a profile (the name of one that ships, or a file) to @p take, in the order
 * of the file. False with what is wrong in the diagnostics.
 */
bool profile_list(const char *name_or_path, void (*take)(void *self, const struct profile_value *),
                  void *self, struct diagnostics *);

#endif
