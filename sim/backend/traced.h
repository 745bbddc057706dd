/**
 * @file
 * A scenario made of a trace: one VM, one process, pages that come into being when they are first
 * touched, as `replay` has it.
 */
#ifndef SIM_BACKEND_TRACED_H
#define SIM_BACKEND_TRACED_H

#include "sim/config.h"

/** The scenario and what its pointers reach; not to be moved. */
struct traced {
    struct scenario scenario;
    struct vm_config vm;
    struct process_config process;
    struct phase_config phase;
};

/** @p host gives profile and seed. Strings are borrowed. @p memory: bytes of the VM. */
void traced_make(struct traced *, const struct machine_config *host, const char *path,
                 enum mode mode, uint64_t memory);

#endif
