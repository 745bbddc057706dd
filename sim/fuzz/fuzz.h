/**
 * @file
 * One random program on the model and before a judge: whether they agree, and if not, the shortest
 * program found on which they don't.
 *
 * Outcomes and memory are compared. The orders of first touches and KVM's counts are not: they are
 * for scenarios, see compare.h. That a translation may be stale is no excuse (the rules see to it),
 * so the judge must agree with the model as it is, caches and all.
 */
#ifndef SIM_FUZZ_FUZZ_H
#define SIM_FUZZ_FUZZ_H

#include "sim/fuzz/program.h"
#include "sim/fuzz/tally.h"

struct fuzz {
    const struct environment *environment;
    const struct profile *profile;
    enum mode mode; /**< of the model */
    struct backend *judge;
    volatile int *stop; /**< not 0: shrink no more */
};

/** What came of a program. */
struct fuzz_finding {
    bool differs;
    bool grief;      /**< it differs in that the judge's guest did not get to its end */
    char words[300]; /**< the first difference */
};

/** An environment for a judge that has everything. */
struct environment fuzz_everything(void);

/** Tries one program; @p tally may be NULL. False with err set: it could not be tried. */
bool fuzz_try(const struct fuzz *, const struct fuzz_program *, struct fuzz_tally *tally,
              struct fuzz_finding *, struct err *);

/** The same with a scenario of which all that is said above holds. */
bool fuzz_try_scenario(const struct fuzz *, const struct scenario *, struct fuzz_tally *tally,
                       struct fuzz_finding *, struct err *);

/** Shrinks a program that differs; @p finding becomes that of what is left. Returns how many were
 * tried. */
unsigned fuzz_shrink(const struct fuzz *, struct fuzz_program *, struct fuzz_finding *);

#endif
