/**
 * @file
 * One scenario on the model and on KVM: made alike, run, compared.
 */
#ifndef SIM_BACKEND_JUDGE_H
#define SIM_BACKEND_JUDGE_H

#include "sim/backend/compare.h"

/**
 * Runs it on the model with the features that guests have here, on the same model with nothing
 * cached, and on KVM, and compares. False with err set where one of them did not come to the end;
 * see backend.run, and backend.stop for @p stop. Precondition: kvm_cannot says nothing.
 */
bool judge(const struct scenario *, const struct environment *, const volatile int *stop,
           struct verdict *, struct err *);

/** The scenario on a machine with the features that guests have here. What it points to is
 * shared. */
struct scenario judged_scenario(const struct scenario *, const struct environment *);

#endif
