/**
 * @file
 * What a sweep varies: one axis for each --set, and every combination of their values. The first
 * axis changes slowest.
 */
#ifndef SIM_CLI_SWEEP_AXES_H
#define SIM_CLI_SWEEP_AXES_H

#include "sim/cli/cli.h"
#include "sim/scenario/scenario.h"

enum { AXES_MAX = 64, COMBINATIONS_MAX = 100000 };

struct axis {
    const char *pointer;
    const char **values; /**< owned; the strings are in text */
    unsigned n;
    char *text; /**< owned */
};

struct axes {
    struct axis list[AXES_MAX];
    unsigned n;
    unsigned combinations;
};

/**
 * Bytes of the first value of "A,B,...". It ends at a comma outside brackets, braces and double
 * quotes, so that it may be a JSON array, object or string. SIZE_MAX: one of those never closes.
 */
size_t axis_value_length(const char *list);

/** Reads --set and --mode. EXIT_OK, or a code after saying what is wrong; axes_fini either way. */
int axes_read(struct axes *, const struct cli *);
void axes_fini(struct axes *);

/** One setting per axis, which borrow from it. */
void axes_settings(const struct axes *, unsigned combination, struct setting *settings);

/** The combination as options: "--set /seed=2 --set /vms/0/memory=1GiB". */
void axes_print(const struct axes *, unsigned combination, FILE *);

#endif
