/**
 * @file
 * The table of what is published beside what this program makes of it: rows, verdicts, and the page
 * that is printed of them.
 */
#ifndef TESTS_REPRODUCE_TABLE_H
#define TESTS_REPRODUCE_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/config.h"

/* What is said of a row. PUBLISHED is no verdict: nothing here can confirm or deny the figure. */
enum verdict { EXACT, WITHIN, SHAPE, DIFFERS, PUBLISHED, NOT_RUN, VERDICTS };

/** A claim: what is reproduced, what was published, where. A row keeps a copy. */
struct claim {
    const char *target, *published, *source;
};

struct row {
    char target[160], published[200], source[200];
    const char *section; /**< begins a section of this title, or NULL */
    const char *about;   /**< and this text */
    char ours[400], difference[80];
    enum verdict verdict;
};

struct table {
    struct row *row;
    unsigned n;
    const char *section, *about; /**< of the next row */
};

/** The rows that follow are of this section. */
void table_section(struct table *, const char *title, const char *about);

/** Our number must be the published one. */
void table_number(struct table *, const struct claim *, double published, double ours);

/** Our text must be the published one. */
void table_text(struct table *, const struct claim *, const char *published, const char *ours);

/** Our number must be that near to the published one. */
void table_near(struct table *, const struct claim *, double published, double ours,
                double tolerance);

/** What is claimed must hold of our figures, which are told. */
void table_shape(struct table *, const struct claim *, bool holds, const char *ours, ...)
    __attribute__((format(printf, 4, 5)));

/** Figures side by side, of which nothing follows. */
void table_beside(struct table *, const struct claim *, const char *ours, ...)
    __attribute__((format(printf, 3, 4)));

/** The row waits for a mode that this version can't run. */
void table_not_run(struct table *, const struct claim *, enum mode);

/** As Markdown, or for a terminal. */
void table_print_page(const struct table *, FILE *);
void table_print(const struct table *, FILE *);

unsigned table_count(const struct table *, enum verdict);
void table_fini(struct table *);

#endif
