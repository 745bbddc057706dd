/**
 * @file
 * One scenario with every combination of settings: reading it with one of them, and running that.
 */
#ifndef SIM_CLI_SWEEP_VARIANTS_H
#define SIM_CLI_SWEEP_VARIANTS_H

#include <stdatomic.h>

#include "sim/cli/sweep_axes.h"

struct variants {
    const char *path, *text; /**< the scenario; borrowed, as the axes are */
    size_t length;
    const struct axes *axes;
    bool color; /**< of diagnostics */
};

/** How far a run is: written by the process that runs it, read by another. */
struct live {
    _Atomic uint64_t accesses, planned; /**< planned 0: unknown */
};

/** False: what is wrong with the combination is written to @p out. */
bool variants_load(const struct variants *, unsigned combination, struct scenario *, FILE *out);

/**
 * Runs a combination to its end and writes its row: name,value lines as `run --format csv` has
 * them, without their heading. Or returns another code than EXIT_OK, and writes what is wrong.
 */
int variants_run(const struct variants *, unsigned combination, struct live *, FILE *out);

#endif
