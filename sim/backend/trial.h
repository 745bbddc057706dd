/**
 * @file
 * One comparison as it goes on: what the files of compare.h share.
 */
#ifndef SIM_BACKEND_TRIAL_H
#define SIM_BACKEND_TRIAL_H

#include "sim/backend/compare.h"

struct trial {
    const struct scenario *scenario;
    const struct vm_config *vm;
    const struct environment *environment;
    const struct observation *model, *cold, *kvm; /**< cold NULL: not known */
    const char *astray; /**< why frames and counts need not be the same; NULL: they must */
    struct verdict *verdict;
};

/** Whether a mask applies in this environment. */
static inline bool trial_masks(const struct trial *t, enum mask mask)
{
    return t->environment->mask[mask];
}

/** Counts what a mask could have touched. */
static inline void trial_reach(struct trial *t, enum mask mask, bool in_reach)
{
    t->verdict->in_reach[mask] += in_reach && trial_masks(t, mask);
}

/** A difference that nothing explains: counted, and kept while there is room; NULL: it is not. */
struct difference *trial_differ(struct trial *, enum aspect, uint64_t at, const char *model,
                                const char *kvm);

/** Somewhere the model differs from itself with nothing cached. */
static inline void trial_stale(struct trial *t, bool stale)
{
    if (stale)
        t->astray = "translations were stale: which frames they lead to is not determined";
}

/** Whether a faulting walk read the entry at @p gpa, in the model or in the model cold. */
bool trial_refused(const struct trial *, gpa_t gpa);

/** What became of each script item, and the masks that are about it. */
void trial_outcomes(struct trial *);

/** The error code of a page fault, with its bits' names; @p text holds @p room bytes. */
void error_code_words(uint32_t error_code, char *text, size_t room);

#endif
