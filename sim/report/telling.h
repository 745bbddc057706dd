/**
 * @file
 * Sentences about one walk, put together piece by piece: what the files of `walk --explain` share.
 */
#ifndef SIM_REPORT_TELLING_H
#define SIM_REPORT_TELLING_H

#include "sim/report/walk_report.h"

struct telling {
    const struct walk_report *r;
    void (*say)(void *self, const char *sentence);
    void *self;
    char text[1000];
    size_t n;
};

/** Adds to the step. */
void tell_add(struct telling *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The step is complete: says it, if there is any. */
void tell_end(struct telling *);

/** " (12 cycles)", if it is not free. */
void tell_cost(struct telling *, cycles_t);

/** What an entry of the guest's tables holds, and where it leads. */
void tell_entry(struct telling *, const struct walk_line *);

/** "the L1 data cache", "memory". */
const char *tell_server(enum server);

/* The parts about hypervisors. */

/** Faults and exits that were answered before. */
void tell_handled(struct telling *);

/** Why the guest's tables must be found first, and how the host's are. */
void tell_second_stages(struct telling *);

/** The walk of several stages: a step for each of the guest's entries, and one for the data. */
void tell_groups(struct telling *);

/** Which bits the walk set, in which dimension. */
void tell_set_below(struct telling *);

/** What the caches keep of a walk of several stages. */
void tell_kept(struct telling *);

/** The exit that the hypervisor has no answer to. */
void tell_exit(struct telling *);

#endif
