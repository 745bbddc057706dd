/**
 * @file
 * JSON lines: one for each event of a log, one for each item of a script. Both are what `diff`
 * compares, and what the model and real hardware are compared by.
 */
#ifndef SIM_REPORT_LINES_H
#define SIM_REPORT_LINES_H

#include <stdio.h>

#include "sim/machine.h"

/**
 * {"t":812,"cpu":0,"event":"ref","depth":0,"level":4,"detail":"memory","address":"0x..","value":..}
 * Depth, level and detail only of events that tell them apart.
 */
void event_print(const struct event *, FILE *);

/** What became of script item @p index. The words of a dump are read from the machine. */
void outcome_print(unsigned index, const struct script_item *, const struct outcome *,
                   const struct machine *, FILE *);

const char *op_name(enum op);

#endif
