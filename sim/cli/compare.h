/**
 * @file
 * What `compare` is made of: a subject (a scenario, or a trace put into one), ways to run it, and
 * the search for what would reverse the verdict.
 */
#ifndef SIM_CLI_COMPARE_H
#define SIM_CLI_COMPARE_H

#include "sim/cli/scenario_arg.h"
#include "sim/report/compare.h"

/** What is compared: the text of a scenario, read once. */
struct subject {
    const char *path, *title;
    char *text; /**< owned */
    size_t length;
    bool is_trace;               /**< the text was made around one */
    struct setting settings[64]; /**< --set */
    char *owned[64];
    unsigned n;
    struct progress *whole; /**< of many runs, "runs"; NULL: each run shows its own */
    unsigned n_runs;        /**< of the whole: so far */
};

/** A mode, and its policy if one is named. */
struct way {
    char name[24];
    char mode[16], policy[16];
};

/** Reads the first argument. EXIT_OK, or a code after saying what is wrong. */
int subject_open(const struct cli *, struct subject *);
void subject_close(struct subject *);

/** False: no mode has that name. */
bool way_named(const char *text, struct way *);

/** VMs of the scenario; 0 where it can't be read, which a run will say. */
unsigned subject_vms(const struct subject *);

/** The scenario as one way has it. EXIT_OK, or a code after saying what is wrong. */
int way_load(const struct cli *, const struct subject *, const struct way *,
             const struct setting *more, unsigned n_more, struct scenario *);

/**
 * Runs the subject one way, with further settings. EXIT_OK, or a code after saying what is wrong.
 * The contender's statistics are the caller's to free, and then the scenario, whose names they
 * have.
 */
int way_run(const struct cli *, const struct subject *, const struct way *,
            const struct setting *more, unsigned n_more, struct scenario *, struct contender *);

/** Finds the smallest change of @p key that reverses the verdict, and prints it (JSON: schema
 * nestwalk/flip/1). */
int compare_flip(const struct cli *, struct subject *, const struct way *, unsigned n_ways,
                 const char *key);

#endif
