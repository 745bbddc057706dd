/**
 * @file
 * What `validate` is made of beside the backends: the access on the model that a difference is
 * about.
 */
#ifndef SIM_CLI_VALIDATE_H
#define SIM_CLI_VALIDATE_H

#include "sim/backend/compare.h"
#include "sim/report/walk_report.h"

/** A machine that has come to an access and made it, and the report of it. */
struct led {
    struct machine *machine;
    struct walk_report *report; /**< NULL: no access can be named */
};

/**
 * Runs the model again up to the access that a difference is about: the script item; of a word of
 * memory, the last item that wrote it or walked by it; of a fault, the access that took it. Others
 * are about no access. led_fini afterwards, in any case.
 */
void led_find(struct led *, const struct scenario *, const struct difference *);
void led_fini(struct led *);

#endif
