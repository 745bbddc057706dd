/**
 * @file
 * What the files share that hold the table of keys. A `taken_by` of 0 means: whatever the selector
 * says. Every number that memory depends on has a bound.
 */
#ifndef SIM_SCENARIO_SPEC_TABLE_H
#define SIM_SCENARIO_SPEC_TABLE_H

#include <stddef.h>

#include "sim/config.h"
#include "sim/scenario/spec.h"

/** "name", "fallback" and the like are JSON: strings in them have quotes of their own. */
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define CHOSEN(id, by, text)                                                                       \
    const struct schema id##_schema = {.name = #id,                                                \
                                       .help = text,                                               \
                                       .keys = id##_keys,                                          \
                                       .n_keys = COUNT_OF(id##_keys),                              \
                                       .selector = by}
#define KIND(id, text) CHOSEN(id, NULL, text)

#define TIB 1099511627776.0

#endif
