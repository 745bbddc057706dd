/**
 * @file
 * Writing CSV (RFC 4180).
 */
#ifndef SIM_REPORT_CSV_OUT_H
#define SIM_REPORT_CSV_OUT_H

#include <stdio.h>

/** A field: in quotes only where it must be. */
void csv_field(FILE *, const char *text);

#endif
