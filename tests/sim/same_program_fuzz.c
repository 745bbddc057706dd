/*
 * Programs of the fuzzer in every mode, hot and cold: the same outcomes, the same memory. That the
 * machine that caches agrees with the one that doesn't is what the fuzzer's rules promise: no page
 * is used whose translation the manual leaves open (Intel SDM vol. 3, 4.10.4).
 */
#include "tests/sim/worlds.h"

#include "tests/sim/fuzz.h"

enum { PROGRAMS = 1100 /* about 200,000 accesses */ };

static struct program *make_program(uint64_t seed)
{
    static struct fuzz_scenario s; /* images are borrowed: they outlive the program */
    struct environment everything = full_environment();
    struct fuzz_program *f = fuzz_program(seed, 0, &everything);
    struct rng rng = {seed};
    struct profile profile = draw_profile(&rng);
    struct world w = {0};
    program_scenario(f, &profile, MODE_NATIVE, &s);
    w.config = s.scenario.machine;
    w.config.memory = f->memory;
    w.vm = s.vm;
    memcpy(w.image, s.image, sizeof s.image);
    struct program *p = program_new("fuzz", seed, &w);
    for (unsigned i = 0; i < f->n_items; i++, p->group++)
        program_add(p, &f->item[i]);
    free(f);
    return p;
}

_Static_assert((int)IMAGES == FUZZ_WORDS, "a world has room for a program's images");

static void expect_same(unsigned manner)
{
    expect_same_program("same_program_fuzz", make_program, 0x30000,
                        timings_count() ? PROGRAMS : PROGRAMS / 10, &manners[manner], NULL);
}

Test(same_program_fuzz, the_rules_leave_no_doubt_about_what_a_processor_must_do)
{
    expect_same(0);
}

Test(same_program_fuzz, nested_paging_does_the_same)
{
    expect_same(1);
}

Test(same_program_fuzz, three_stages_do_the_same)
{
    expect_same(2);
}

Test(same_program_fuzz, two_collapsed_second_stages_do_the_same)
{
    expect_same(3);
}

Test(same_program_fuzz, a_shadow_that_follows_as_kvm_s_does_the_same)
{
    expect_same(4);
}

Test(same_program_fuzz, a_shadow_that_traces_does_the_same)
{
    expect_same(5);
}

Test(same_program_fuzz, a_shadow_that_is_a_tlb_does_the_same)
{
    expect_same(6);
}

Test(same_program_fuzz, agile_paging_does_the_same)
{
    expect_same(7);
}
