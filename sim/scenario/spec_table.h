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

/** A number that is defined elsewhere, as a default. */
#define TEXT_OF(number)   TEXT_OF_IT(number)
#define TEXT_OF_IT(token) #token

/** What an image holds, wherever it stands. */
#define IMAGE_CONTENTS                                                                             \
    {.name = "u64",                                                                                \
     .type = TYPE_U64,                                                                             \
     .list = true,                                                                                 \
     .items_least = 1,                                                                             \
     .example = "[\"0x2067\", \"0x0\"]",                                                           \
     .help = "8-byte words, little-endian"},                                                       \
    {                                                                                              \
        .name = "bytes", .type = TYPE_BYTES, .example = "\"7f7f84ff\"", .help = "Or bytes"         \
    }

#define TIB 1099511627776.0

#endif
