/**
 * @file
 * What a sweep prints: a row per combination. Its columns are the settings, every name that the
 * statistics of any of the runs have, and the sweep's fingerprint.
 */
#ifndef SIM_CLI_SWEEP_ROWS_H
#define SIM_CLI_SWEEP_ROWS_H

#include "sim/cli/sweep_axes.h"
#include "sim/cli/sweep_journal.h"

/** The name of the one value of a run that came to no result: what happened. */
#define ROWS_ERROR "error"

struct rows {
    const struct axes *axes;
    const struct journal *journal; /**< each row as name,value lines in CSV */
    uint64_t fingerprint;
    enum cli_format format; /**< CSV or JSON */
    unsigned failed;        /**< set by rows_print: rows without a result */
};

/** Prints all rows, the journal being complete. False with err set when it can't be read. */
bool rows_print(struct rows *, FILE *, struct err *);

/**
 * Whether @p file is what rows_print printed of this sweep, to the end. Sets only `failed`, to
 * whether there are any.
 */
bool rows_are_in(struct rows *, FILE *file);

#endif
