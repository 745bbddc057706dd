#include "tests/kvm/support.h"

#include <criterion/criterion.h>

const struct environment *environment_or_skip(void)
{
    static struct environment here;
    struct err err;
    if (!*here.driver && !environment_probe(&here, &err))
        cr_skip_test("%s", err.text);
    return &here;
}

struct harness_config usual_config(void)
{
    const struct environment *env = environment_or_skip();
    return (struct harness_config){
        .memory = MEMORY,
        .levels = 4,
        .slot = SLOT,
        .registers = {.cr0 = CR0_PE | CR0_PG | CR0_WP,
                      .cr3 = ROOT,
                      .cr4 = CR4_PAE,
                      .efer = EFER_LME | (env->has.nx ? EFER_NXE : 0)},
    };
}

struct harness *guest_new(const struct harness_config *config)
{
    struct err err;
    struct harness *h = harness_new(config, &err);
    cr_assert(h, "%s", err.text);
    if (config->levels == 5)
        *entry_of(h, ROOT, 0) = LEVEL_4 | LINK;
    *entry_of(h, config->levels == 5 ? LEVEL_4 : ROOT, 0) = LEVEL_3 | LINK;
    *entry_of(h, LEVEL_3, 0) = LEVEL_2 | LINK;
    *entry_of(h, LEVEL_2, 0) = LEVEL_1 | LINK;
    for (unsigned i = 0; i < 512; i++)
        *page_entry(h, i) = (FRAMES + i * PAGE) | LINK;
    return h;
}

struct harness *usual_guest(void)
{
    const struct harness_config config = usual_config();
    return guest_new(&config);
}

uint64_t *entry_of(struct harness *h, gpa_t table, unsigned i)
{
    return (uint64_t *)(harness_memory(h) + table) + i;
}

uint64_t *page_entry(struct harness *h, unsigned i)
{
    return entry_of(h, LEVEL_1, i);
}

struct command *ask(struct harness *h, unsigned op, unsigned cpl, gva_t gva)
{
    struct command *c = harness_next(h);
    cr_assert(c);
    c->op = (uint8_t)op;
    c->cpl = (uint8_t)cpl;
    c->size = 8;
    c->gva = gva;
    return c;
}

void ask_value(struct harness *h, unsigned op, uint64_t value)
{
    ask(h, op, 0, 0)->value = value;
}

void run(struct harness *h)
{
    struct err err;
    size_t done, asked = harness_queued(h);
    cr_assert(harness_run(h, false, &done, &err), "%s", err.text);
    cr_assert_eq(done, asked);
}

void expect_done(struct harness *h, size_t i)
{
    const struct command *c = harness_result(h, i);
    cr_expect_eq(c->status, COMMAND_DONE, "command %zu: status %u, vector %u, error code %#x", i,
                 c->status, c->vector, c->error_code);
}

void expect_fault(struct harness *h, size_t i, uint32_t error_code)
{
    const struct command *c = harness_result(h, i);
    cr_expect(c->status == COMMAND_FAULT && c->vector == 14 && c->error_code == error_code &&
                  c->cr2 == c->gva,
              "command %zu: status %u, vector %u, error code %#x, not %#x, CR2 %#llx, not %#llx", i,
              c->status, c->vector, c->error_code, error_code, (unsigned long long)c->cr2,
              (unsigned long long)c->gva);
}
