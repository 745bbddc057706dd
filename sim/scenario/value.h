/**
 * @file
 * Scalars of scenarios: from JSON to numbers, by the type that the table of keys gives them.
 */
#ifndef SIM_SCENARIO_VALUE_H
#define SIM_SCENARIO_VALUE_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "sim/scenario/spec.h"

/** "0x7ffe_dead_b000" or "140_000". */
bool value_parse_u64(const char *text, uint64_t *value);

/**
 * The whole number that an item stands for: an address, size, count, set of rights (enum rights),
 * word (its number), bool, name (a number) or moment (an access's number, or microseconds if it is
 * a string). False if it is none of that type.
 */
bool value_number(const struct key *, const cJSON *, uint64_t *value);

/** Writes the bytes that hexadecimal @p text stands for, unless @p out is NULL; SIZE_MAX: none. */
size_t value_bytes(const char *text, uint8_t *out);

/** "a size" and such: what a type is called when something isn't one. */
const char *value_noun(enum type);

/** How values of a type are written. */
const char *value_form(enum type);

/* Reading members of an object that was checked. An absent or refused member has its default. */

/** The member, or NULL if it is absent or was refused; the value itself where it has a source. */
cJSON *member(const cJSON *object, const char *name);

uint64_t read_number(const struct schema *, const cJSON *object, const char *name);
double read_real(const struct schema *, const cJSON *object, const char *name);
/** NULL where there is neither a member nor a default. */
const char *read_text(const struct schema *, const cJSON *object, const char *name);

#endif
