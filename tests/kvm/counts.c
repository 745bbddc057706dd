/* What KVM counts, and which frames it says were written. */
#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <string.h>

enum { FEW = 50 };

static struct harness *counted_guest(void)
{
    struct harness *h = usual_guest();
    struct err err;
    cr_assert(harness_counts_reset(h, &err), "%s", err.text);
    return h;
}

static struct harness_counts counts(struct harness *h)
{
    struct harness_counts c;
    harness_counts(h, &c);
    if (c.pf_taken < 0)
        cr_skip_test("this KVM does not tell its counters");
    return c;
}

static void read_pages(struct harness *h, unsigned op)
{
    for (unsigned i = 0; i < FEW; i++)
        ask(h, op, 3, (100 + i) * PAGE);
    run(h);
}

/* KVM's own rules: a frame's first use is a second-stage violation, tables among them; a shadow
 * entry is made at the first access and made writable at the first write. */
Test(kvm_counts, first_accesses_reach_the_hypervisor_once)
{
    struct harness *h = counted_guest();
    bool nested = environment_or_skip()->nested;
    read_pages(h, COMMAND_READ);
    int64_t first = counts(h).pf_taken;
    read_pages(h, COMMAND_READ);
    int64_t again = counts(h).pf_taken;
    read_pages(h, COMMAND_WRITE);
    int64_t written = counts(h).pf_taken;
    read_pages(h, COMMAND_WRITE);
    cr_expect_eq(first, FEW + (nested ? 3 : 0), "%lld", (long long)first);
    cr_expect_eq(again, first);
    cr_expect_eq(written - again, nested ? 0 : FEW, "%lld", (long long)(written - again));
    cr_expect_eq(counts(h).pf_taken, written);
    harness_free(h);
}

Test(kvm_counts, the_guests_own_faults_reach_a_shadowing_hypervisor_only)
{
    struct harness *h = counted_guest();
    bool nested = environment_or_skip()->nested;
    for (unsigned i = 0; i < FEW; i++)
        *page_entry(h, 100 + i) = 0;
    read_pages(h, COMMAND_READ);
    cr_expect_eq(counts(h).pf_guest, nested ? 0 : FEW);
    cr_expect_eq(counts(h).pf_taken, nested ? 4 - 1 : FEW);
    harness_free(h);
}

Test(kvm_counts, invalidations_and_recycling_are_told)
{
    struct harness *h = counted_guest();
    for (unsigned i = 0; i < FEW; i++)
        ask(h, COMMAND_INVLPG, 0, (100 + i) * PAGE);
    run(h);
    cr_expect_eq(counts(h).invlpg, environment_or_skip()->nested ? 0 : FEW);
    cr_expect_leq(counts(h).mmu_recycled, 0);
    harness_free(h);
}

/* In nested mode KVM takes a first use for a write: so every frame is used first. */
Test(kvm_counts, the_dirty_log_is_the_frames_written)
{
    struct harness_config config = usual_config();
    config.dirty = true;
    struct harness *h = guest_new(&config);
    for (unsigned i = 0; i < 512; i++)
        ask(h, COMMAND_READ, 3, i * PAGE);
    run(h);
    cr_assert(harness_dirty(h));
    const unsigned written[] = {7, 300, 301, 2};
    for (unsigned i = 0; i < 4; i++)
        ask(h, COMMAND_WRITE, 3, written[i] * PAGE);
    ask(h, COMMAND_WRITE, 3, 401 * PAGE - 4);
    run(h);
    const uint64_t *dirty = harness_dirty(h);
    cr_assert(dirty);
    unsigned n = 0;
    for (unsigned i = 0; i < 512; i++) {
        unsigned frame = FRAMES / PAGE + i;
        bool is = dirty[frame / 64] >> frame % 64 & 1;
        bool was = i == 7 || i == 300 || i == 301 || i == 2 || i == 400 || i == 401;
        cr_expect_eq(is, was, "page %u", i);
        n += is;
    }
    cr_expect_eq(n, 6);
    dirty = harness_dirty(h);
    for (unsigned i = 0; i < MEMORY / PAGE / 64; i++)
        cr_expect_eq(dirty[i], 0);
    harness_free(h);
}

Test(kvm_counts, without_a_log_there_is_none)
{
    struct harness *h = usual_guest();
    ask(h, COMMAND_WRITE, 3, 0);
    run(h);
    cr_expect_null(harness_dirty(h));
    cr_expect_null(harness_touch(h));
    harness_free(h);
}
