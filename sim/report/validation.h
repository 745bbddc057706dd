/**
 * @file
 * What validation says: where it ran, what was compared, what was not and why, what the masks hid,
 * the first differences, and the walk on the model that led there.
 */
#ifndef SIM_REPORT_VALIDATION_H
#define SIM_REPORT_VALIDATION_H

#include "sim/backend/compare.h"
#include "sim/report/walk_report.h"

/** One scenario, judged in one environment. Everything is borrowed. */
struct validation {
    const struct scenario *scenario;
    const char *name;
    const struct environment *environment;
    const char *cannot;            /**< why it can't run on KVM here; NULL: it did */
    const char *failure;           /**< why it did not come to its end; NULL: it did */
    const struct verdict *verdict; /**< where it did */
    const struct walk_report
        *walk; /**< of the access that the first difference is about, or NULL */
};

/** "agrees", "differs", "failed", or "cannot". */
const char *validation_verdict(const struct validation *);

/** Of a VM in mode nested, "ept4" and the like; of others NULL. */
const char *validation_second_stage(const struct validation *);

/** A difference's place in words: "item 3, a read of 0x4000 at CPL 3". @p text: @p room bytes.
 * Returns text. */
const char *difference_place(const struct scenario *, const struct difference *, char *text,
                             size_t room);

void validation_print_table(const struct validation *, FILE *);
/** One line. Schema nestwalk/validation/1. */
void validation_print_json(const struct validation *, FILE *);
/** Rows of what was compared and of masks; the names of the columns first if @p first. */
void validation_print_csv(const struct validation *, bool first, FILE *);

/** Where it runs, what guests may use, which masks apply. */
void environment_print_table(const struct environment *, FILE *);
/** Schema nestwalk/environment/1; one line. */
void environment_print_json(const struct environment *, FILE *);
void environment_print_csv(const struct environment *, FILE *);

/**
 * The page of results: what stands in the file up to the line `<!-- results -->`, then tables made
 * of the JSON lines that validation_print_json wrote, one file per environment. False with err set:
 * nothing was written.
 */
bool validation_write_page(const char *path, char *const *results, int n_results, struct err *);

#endif
