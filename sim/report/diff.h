/**
 * @file
 * The first difference between two files of JSON lines (sim/report/lines.h): event logs, or
 * outcomes. Memory: a few lines, however long the files are.
 *
 * Lines are compared by what they say: neither spaces nor the order of keys is a difference.
 */
#ifndef SIM_REPORT_DIFF_H
#define SIM_REPORT_DIFF_H

#include <stdint.h>
#include <stdio.h>

#include "sim/err.h"

enum { DIFF_CONTEXT = 64 /* lines of the walk that led there; a longer one loses its first */ };

struct diff_side {
    const char *path;
    FILE *file;
    char *line; /**< without newline; NULL at the end */
    char *buffer;
    size_t room;
    uint64_t number; /**< of the line, from 1; at the end, of the last */
};

struct diff {
    struct diff_side side[2];
    bool events;                 /**< logs of events; else outcomes */
    bool same;                   /**< up to the end of both */
    char *context[DIFF_CONTEXT]; /**< from the access before on; the same in both; owned */
    uint64_t first;              /**< number of context[0] on the first side */
    unsigned n_context;
};

/** Reads both up to the first difference or the end. False: they can't be compared, and err says
 * why; call diff_fini all the same. The files are the caller's. */
bool diff_read(struct diff *, FILE *a, const char *path_a, FILE *b, const char *path_b,
               const volatile int *stop, struct err *);
void diff_fini(struct diff *);

void diff_print_table(const struct diff *, FILE *);
/** Schema nestwalk/diff/1. */
void diff_print_json(const struct diff *, FILE *);
/** line_a,line_b,field,a,b: a row for each field that differs. */
void diff_print_csv(const struct diff *, FILE *);

#endif
