/**
 * @file
 * A scenario of one raw VM as a file that the scenario reader reads back to the same: what differs
 * from the reader's defaults, and no more.
 *
 * Of the machine only its profile's name and MAXPHYADDR are written; of the script, what raw VMs
 * can do. Preloads, second stages by hand and settings of a mode are not.
 */
#ifndef SIM_FUZZ_WRITER_H
#define SIM_FUZZ_WRITER_H

#include <stdio.h>

#include "sim/config.h"

void scenario_write(FILE *, const struct scenario *);

#endif
