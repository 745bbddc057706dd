/* A program of the fuzzer, written as a scenario and read back. */
#include <string.h>

#include "sim/fuzz/writer.h"
#include "sim/run.h"
#include "tests/sim/fuzz.h"
#include "tests/sim/worlds.h"

static bool same_image(const struct image_config *a, const struct image_config *b)
{
    return a->gpa == b->gpa && a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static bool same_item(const struct script_item *a, const struct script_item *b)
{
    return a->verb == b->verb && !memcmp(&a->access, &b->access, sizeof a->access) &&
           a->has_value == b->has_value && a->value == b->value && a->gpa == b->gpa &&
           a->size == b->size;
}

static void expect_same_vm(const struct vm_config *a, const struct vm_config *b)
{
    cr_expect(b->raw && a->paging == b->paging && a->memory == b->memory && a->mode == b->mode);
    cr_expect(!memcmp(&a->registers, &b->registers, sizeof a->registers));
    cr_assert_eq(a->n_images, b->n_images);
    for (unsigned i = 0; i < a->n_images; i++)
        cr_expect(same_image(&a->images[i], &b->images[i]), "image %u", i);
}

static void expect_same_scenario(const struct scenario *a, const struct scenario *b)
{
    cr_expect_str_eq(a->title, b->title);
    cr_expect_eq(a->machine.memory, b->machine.memory);
    cr_expect(!memcmp(&a->machine.profile, &b->machine.profile, sizeof a->machine.profile));
    expect_same_vm(&a->machine.vms[0], &b->machine.vms[0]);
    cr_assert_eq(a->n_script, b->n_script);
    for (unsigned i = 0; i < a->n_script; i++)
        cr_expect(same_item(&a->script[i], &b->script[i]), "item %u", i);
}

static struct profile profile_of_40_bits(void)
{
    static const char text[] = "{ \"version\": 1, \"vms\": [{}], \"machine\": { \"profile\": "
                               "\"skylake-sp\", \"override\": { \"maxphyaddr\": 40 } } }";
    struct scenario s;
    struct diagnostics diagnostics = {0};
    cr_assert(scenario_parse(&s, "test", text, strlen(text), NULL, 0, &diagnostics));
    struct profile profile = s.machine.profile;
    scenario_free(&s);
    return profile;
}

/* What was written, read. */
static struct scenario read_back(const struct scenario *s)
{
    struct page page;
    struct scenario read;
    struct diagnostics diagnostics = {0};
    page_open(&page);
    scenario_write(page.file, s);
    char *text = page_close(&page);
    bool good = scenario_parse(&read, "written", text, strlen(text), NULL, 0, &diagnostics);
    if (!good)
        diagnostics_print(&diagnostics, stderr, false);
    cr_assert(good, "%s", text);
    free(text);
    return read;
}

Test(fuzz_writer, what_is_written_is_read_back_as_it_was)
{
    struct environment e = full_environment();
    struct profile profile = profile_of_40_bits();
    static struct fuzz_scenario s;
    for (uint64_t i = 0; i < 50; i++) {
        struct fuzz_program *p = fuzz_program(2, i, &e);
        program_scenario(p, &profile, i % 2 ? MODE_NESTED : MODE_NATIVE, &s);
        struct scenario read = read_back(&s.scenario);
        expect_same_scenario(&s.scenario, &read);
        scenario_free(&read);
        free(p);
    }
}

Test(fuzz_writer, an_empty_program_is_a_scenario_too)
{
    static struct fuzz_program p = {.levels = 4, .memory = 1 << 20};
    static struct fuzz_scenario s;
    struct profile profile = profile_of_40_bits();
    p.registers = (struct registers){.cr0 = 0x80010033, .cr4 = CR4_PAE, .efer = 0xd01};
    program_scenario(&p, &profile, MODE_NATIVE, &s);
    struct scenario read = read_back(&s.scenario);
    expect_same_scenario(&s.scenario, &read);
    scenario_free(&read);
}
