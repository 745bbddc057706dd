/**
 * @file
 * Scenarios: JSON in, struct scenario out, or diagnostics that say where and what would be right.
 *
 * One table (spec.c) names every key, its type, bounds, default and help. The validator, the JSON
 * Schema, and the reference page are read from it.
 */
#ifndef SIM_SCENARIO_SCENARIO_H
#define SIM_SCENARIO_SCENARIO_H

#include <stdio.h>

#include "sim/config.h"
#include "sim/err.h"

/** One thing wrong with a file. Strings are owned by the list. */
struct diagnostic {
    char *file;            /**< as given, or "--set /pointer" where a setting is to blame */
    unsigned line, column; /**< from 1; column in bytes; 0 where there is no line to cite */
    unsigned width;        /**< bytes to underline */
    char *pointer;         /**< JSON pointer of the value, "" for the whole document */
    char *message;         /**< what is wrong */
    char *hint;            /**< what would be right, or NULL */
    char *source;          /**< the line, or the part of a long one around the place; or NULL */
    unsigned cut;          /**< bytes of the line left out before source */
};

struct diagnostics {
    struct diagnostic *list;
    unsigned count;
};

void diagnostics_free(struct diagnostics *);
/** file:line:column: pointer: message; hint, then the line and a caret under it. */
void diagnostics_print(const struct diagnostics *, FILE *, bool color);
/** The same as a JSON array. */
void diagnostics_print_json(const struct diagnostics *, FILE *);

/** A change to a scenario before it is read: `--set /pointer=value` and `--mode`. */
struct setting {
    const char *pointer; /**< JSON pointer */
    const char *value;   /**< JSON, or else taken as a string */
};

/**
 * Reads the scenario at @p path ("-": stdin) with @p settings applied. False with everything that
 * is wrong in @p diagnostics (an unreadable file is one diagnostic). Relative paths inside (traces,
 * profiles) are relative to the scenario's folder.
 */
bool scenario_load(struct scenario *, const char *path, const struct setting *settings,
                   unsigned n_settings, struct diagnostics *diagnostics);

/** As scenario_load, from text that is not a file; @p path names it in diagnostics. */
bool scenario_parse(struct scenario *, const char *path, const char *text, size_t length,
                    const struct setting *settings, unsigned n_settings,
                    struct diagnostics *diagnostics);

void scenario_free(struct scenario *);

/**
 * Reads a machine for `replay --machine`: the name of a profile that ships with nestwalk, or a JSON
 * file like a scenario's `machine`. @p scenario gets machine.profile, cpus and memory.
 */
bool machine_load(struct scenario *, const char *name_or_path, struct diagnostics *);

/** Names of the profiles that ship, NULL at the end. */
const char *const *profile_names(void);

/** The draft-07 JSON Schemas, and the Markdown reference page, from the same table. */
void schema_print(FILE *);
void machine_schema_print(FILE *); /**< of a profile, and of a file for `replay --machine` */
void reference_print(FILE *);

#endif
