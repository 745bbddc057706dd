/* What is found out about KVM fits together. */
#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <string.h>

Test(kvm_environment, its_parts_fit_together)
{
    const struct environment *env = environment_or_skip();
    cr_expect(*env->driver && *env->kernel && *env->machine);
    cr_expect(env->maxphyaddr >= 32 && env->maxphyaddr <= 52);
    cr_expect(env->mask[MASK_stale]);
    cr_expect_not(env->nested && env->emulates_supervisor);
    if (strstr(env->driver, "=0") || strcmp(env->driver, "kvm_pvm") == 0)
        cr_expect_not(env->nested);
    if (strstr(env->driver, "=1"))
        cr_expect(env->nested);
    cr_expect_not(env->mask[MASK_smap_write_protect] && !env->has.smap);
}

Test(kvm_environment, it_is_the_same_each_time)
{
    const struct environment *env = environment_or_skip();
    for (unsigned i = 0; i < 3; i++) {
        struct environment again;
        struct err err;
        cr_assert(environment_probe(&again, &err), "%s", err.text);
        cr_expect_eq(again.nested, env->nested);
        cr_expect_eq(again.emulates_supervisor, env->emulates_supervisor);
        cr_expect_eq(memcmp(&again.has, &env->has, sizeof again.has), 0);
        cr_expect_eq(memcmp(again.mask, env->mask, sizeof again.mask), 0);
    }
}
