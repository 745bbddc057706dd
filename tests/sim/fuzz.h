/* What the tests of the fuzzer share: environments, and programs on the heap. */
#ifndef TESTS_SIM_FUZZ_H
#define TESTS_SIM_FUZZ_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "sim/fuzz/generate.h"
#include "sim/fuzz/rules.h"

/* One that has everything and hides nothing. */
static inline struct environment full_environment(void)
{
    struct environment e = {.nested = true, .maxphyaddr = 40};
#define X(name) e.has.name = true;
    GUEST_FEATURES(X)
#undef X
    return e;
}

/* One as KVM-PVM's: it has little, and hides some of that. */
static inline struct environment poor_environment(void)
{
    struct environment e = {.maxphyaddr = 48, .emulates_supervisor = true, .has.nx = true};
    e.mask[MASK_top_entry_256] = true;
    e.mask[MASK_smap_write_protect] = true;
    return e;
}

/* To be freed. */
static inline struct fuzz_program *fuzz_program(uint64_t seed, uint64_t number,
                                                const struct environment *e)
{
    struct fuzz_program *p = malloc(sizeof *p);
    cr_assert(p && generate(p, seed, number, e));
    return p;
}

#endif
