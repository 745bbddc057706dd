/**
 * @file
 * What `fuzz` prints: each difference when it is found, and figures at the end.
 */
#ifndef SIM_CLI_FUZZ_PRINT_H
#define SIM_CLI_FUZZ_PRINT_H

#include <stdio.h>

#include "sim/fuzz/fuzz.h"

struct fuzz_report {
    uint64_t seed, differences;
    const char *mode, *judge;
    const struct environment *environment;
    struct fuzz_tally tally;
};

/** A program that differed, and what is left of it. */
struct fuzz_found {
    uint64_t program;
    unsigned items, left, asked;
    char path[4096], words[300];
};

void fuzz_found_print(FILE *, const struct fuzz_found *);

void fuzz_report_table(FILE *, const struct fuzz_report *);
void fuzz_report_json(FILE *, const struct fuzz_report *);
void fuzz_report_csv(FILE *, const struct fuzz_report *);

#endif
