/* Batches of commands: their ends, their size, and what has no memory behind it. */
#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <string.h>

Test(kvm_batches, one_may_end_at_its_first_fault)
{
    struct harness *h = usual_guest();
    struct err err;
    *page_entry(h, 1) = 0;
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        ask(h, COMMAND_READ, cpl, 0);
        ask(h, COMMAND_READ, cpl, PAGE);
        ask(h, COMMAND_WRITE, cpl, 2 * PAGE)->value = 1;
        size_t done;
        cr_assert(harness_run(h, true, &done, &err), "%s", err.text);
        cr_expect_eq(done, 2);
        expect_done(h, 0);
        expect_fault(h, 1, cpl ? 4 : 0);
        cr_expect_eq(harness_result(h, 2)->status, 0);
        cr_expect_eq(harness_memory(h)[FRAMES + 2 * PAGE], 0);
    }
    ask(h, COMMAND_READ, 3, 0);
    run(h);
    expect_done(h, 0);
    harness_free(h);
}

Test(kvm_batches, a_fault_in_the_last_command_is_counted)
{
    struct harness *h = usual_guest();
    struct err err;
    size_t done;
    *page_entry(h, 1) = 0;
    ask(h, COMMAND_READ, 3, PAGE);
    cr_assert(harness_run(h, true, &done, &err), "%s", err.text);
    cr_expect_eq(done, 1);
    ask(h, COMMAND_READ, 3, 0);
    cr_assert(harness_run(h, true, &done, &err), "%s", err.text);
    cr_expect_eq(done, 1);
    cr_assert(harness_run(h, true, &done, &err), "%s", err.text);
    cr_expect_eq(done, 0);
    harness_free(h);
}

Test(kvm_batches, any_number_of_commands_goes_in_several)
{
    struct harness *h = usual_guest();
    enum { COUNT = 100000 };
    unsigned batches = 0;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct command *c = harness_next(h);
        if (!c) {
            run(h);
            batches++;
            c = harness_next(h);
        }
        *c = (struct command){
            .op = COMMAND_WRITE, .cpl = 3, .size = 4, .gva = i % 4096 * 4, .value = i};
        cr_assert_eq(harness_queued(h) > 0, true);
    }
    run(h);
    cr_expect(batches > 0 && batches < 10, "%u batches", batches);
    for (uint32_t i = 0; i < 4096; i++) {
        uint32_t word;
        memcpy(&word, harness_memory(h) + FRAMES + i * 4, sizeof word);
        sum += word % 4096 == i && word >= COUNT - 4096;
    }
    cr_expect_eq(sum, 4096);
    harness_free(h);
}

Test(kvm_batches, where_no_memory_is_reads_are_ones_and_writes_are_lost)
{
    struct harness *h = usual_guest();
    *page_entry(h, 1) = (uint64_t)MEMORY | LINK;
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        ask(h, COMMAND_READ, cpl, PAGE + 8);
        ask(h, COMMAND_READ, cpl, PAGE)->size = 2;
        ask(h, COMMAND_WRITE, cpl, PAGE)->value = 1;
        ask(h, COMMAND_TOUCH, cpl, PAGE);
        ask(h, COMMAND_READ, cpl, 2 * PAGE);
        run(h);
        for (unsigned i = 0; i < 4; i++)
            cr_expect_eq(harness_result(h, i)->status, COMMAND_MMIO, "%u", i);
        cr_expect_eq(harness_result(h, 0)->result, ~UINT64_C(0));
        cr_expect_eq(harness_result(h, 1)->result, 0xffff);
        expect_done(h, 4);
    }
    harness_free(h);
}

Test(kvm_batches, the_cpl_changes_as_often_as_asked)
{
    struct harness *h = usual_guest();
    for (unsigned i = 0; i < 2000; i++)
        ask(h, COMMAND_WRITE, i % 3 ? 0 : 3, i % 512 * PAGE)->value = i;
    run(h);
    for (unsigned i = 0; i < 2000; i++)
        expect_done(h, i);
    harness_free(h);
}
