/* First touches and first writes of frames, and frames that are taken away and come back. */
#include "sim/backend/kvm/touch.h"

#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <string.h>

/* A guest that is followed and has run. */
static struct harness *followed_guest(void)
{
    struct harness_config config = usual_config();
    struct err err;
    size_t done;
    config.follow = true;
    struct harness *h = guest_new(&config);
    ask(h, COMMAND_NOP, 3, 0);
    if (!harness_run(h, false, &done, &err))
        cr_skip_test("%s", err.text);
    return h;
}

static void write_word(struct harness *h, unsigned page, uint64_t word)
{
    memcpy(harness_memory(h) + FRAMES + page * PAGE, &word, sizeof word);
}

/* The pages of which events of one kind told, in order, as a word of 8 bits each. Tables apart. */
static uint64_t pages(struct harness *h, enum touch_kind kind)
{
    size_t n;
    uint64_t word = 0;
    const struct touch_event *e = touch_events(harness_touch(h), &n);
    for (size_t i = 0; i < n; i++)
        if (e[i].kind == kind && e[i].gpa >= FRAMES)
            word = word << 8 | (e[i].gpa - FRAMES) / PAGE;
    return word;
}

static void access(struct harness *h, unsigned op, const char *list)
{
    for (; *list; list++)
        ask(h, op, 3, (gva_t)*list * PAGE);
    run(h);
}

Test(kvm_touch, first_touches_are_seen_in_order)
{
    struct harness *h = followed_guest();
    access(h, COMMAND_READ, "\x09\x03\x07\x09\x03\x64\x01\x37\x01");
    cr_expect_eq(pages(h, TOUCH_FIRST), 0x090307640137, "%llx",
                 (unsigned long long)pages(h, TOUCH_FIRST));
    cr_expect_eq(pages(h, TOUCH_WRITE), 0);
    harness_free(h);
}

Test(kvm_touch, first_writes_are_seen_in_order)
{
    struct harness *h = followed_guest();
    if (!touch_sees_writes(harness_touch(h)))
        cr_skip_test("the kernel protects no shared memory by userfaultfd");
    access(h, COMMAND_READ, "\x05\x06\x07");
    access(h, COMMAND_WRITE, "\x06\x08\x05\x06\x08\x05");
    cr_expect_eq(pages(h, TOUCH_FIRST), 0x05060708);
    cr_expect_eq(pages(h, TOUCH_WRITE), 0x060805, "%llx",
                 (unsigned long long)pages(h, TOUCH_WRITE));
    harness_free(h);
}

Test(kvm_touch, what_the_host_wrote_is_there_but_its_writes_are_seen)
{
    struct harness_config config = usual_config();
    config.follow = true;
    struct harness *h = guest_new(&config);
    struct err err;
    size_t done;
    write_word(h, 5, 0x55);
    ask(h, COMMAND_READ, 3, 5 * PAGE);
    ask(h, COMMAND_READ, 3, 6 * PAGE);
    ask(h, COMMAND_WRITE, 3, 5 * PAGE)->value = 0x56;
    if (!harness_run(h, false, &done, &err))
        cr_skip_test("%s", err.text);
    cr_expect_eq(harness_result(h, 0)->result, 0x55);
    cr_expect_eq(pages(h, TOUCH_FIRST), 6);
    if (touch_sees_writes(harness_touch(h)))
        cr_expect_eq(pages(h, TOUCH_WRITE), 5);
    cr_expect_eq(harness_memory(h)[FRAMES + 5 * PAGE], 0x56);
    harness_free(h);
}

Test(kvm_touch, frames_taken_away_come_back_as_they_were)
{
    struct harness *h = followed_guest();
    for (unsigned page = 1; page < 9; page++)
        ask(h, COMMAND_WRITE, 3, page * PAGE)->value = page * 0x1111;
    run(h);
    cr_assert(touch_drop(harness_touch(h), FRAMES, 512 * PAGE));
    for (unsigned page = 8; page; page--)
        ask(h, COMMAND_READ, page % 2 ? 0 : 3, page * PAGE);
    ask(h, COMMAND_READ, 3, 9 * PAGE);
    run(h);
    for (unsigned i = 0; i < 8; i++)
        cr_expect_eq(harness_result(h, i)->result, (8 - i) * 0x1111);
    cr_expect_eq(pages(h, TOUCH_RETURN), 0x0807060504030201);
    cr_expect_eq(pages(h, TOUCH_FIRST), 0x0203040506070809, "and page 1 before it: %llx",
                 (unsigned long long)pages(h, TOUCH_FIRST));
    harness_free(h);
}

Test(kvm_touch, tables_may_be_taken_away_too)
{
    struct harness *h = followed_guest();
    access(h, COMMAND_WRITE, "\x01\x02");
    cr_assert(touch_drop(harness_touch(h), 0, MEMORY));
    access(h, COMMAND_READ, "\x01\x02\x03");
    for (unsigned i = 0; i < 3; i++)
        expect_done(h, i);
    cr_expect_eq(*page_entry(h, 1) & (PTE_A | PTE_D), PTE_A | PTE_D);
    cr_expect_eq(*page_entry(h, 3) & (PTE_A | PTE_D), PTE_A);
    harness_free(h);
}

Test(kvm_touch, the_host_gets_them_back_as_well)
{
    struct harness *h = followed_guest();
    ask(h, COMMAND_WRITE, 3, PAGE)->value = 0xabcd;
    run(h);
    for (unsigned times = 0; times < 3; times++) {
        cr_assert(touch_drop(harness_touch(h), FRAMES + PAGE, PAGE));
        cr_expect_eq(harness_memory(h)[FRAMES + PAGE], 0xcd);
        ask(h, COMMAND_READ, 3, PAGE);
        run(h);
        cr_expect_eq(harness_result(h, 0)->result, 0xabcd);
    }
    cr_expect_eq(pages(h, TOUCH_RETURN), 0);
    cr_assert(touch_drop(harness_touch(h), FRAMES + PAGE, PAGE));
    harness_free(h);
}

Test(kvm_touch, protected_frames_tell_their_next_write)
{
    struct harness *h = followed_guest();
    if (!touch_sees_writes(harness_touch(h)))
        cr_skip_test("the kernel protects no shared memory by userfaultfd");
    access(h, COMMAND_WRITE, "\x01\x02\x03");
    cr_assert(touch_protect(harness_touch(h), FRAMES + 2 * PAGE, 2 * PAGE));
    access(h, COMMAND_READ, "\x02\x03");
    access(h, COMMAND_WRITE, "\x03\x01\x02\x03");
    cr_expect_eq(pages(h, TOUCH_WRITE), 0x0102030302);
    harness_free(h);
}

Test(kvm_touch, stress)
{
    struct harness *h = followed_guest();
    uint64_t seed = 1;
    uint64_t expected[256] = {0};
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 200; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1;
            unsigned page = seed >> 40 & 255;
            expected[page] = seed;
            ask(h, COMMAND_WRITE, i % 8 ? 3 : 0, page * PAGE)->value = seed;
        }
        run(h);
        cr_assert(touch_drop(harness_touch(h), FRAMES + round * PAGE, 100 * PAGE));
        for (unsigned page = 0; page < 256; page++)
            ask(h, COMMAND_READ, 3, page * PAGE);
        run(h);
        for (unsigned page = 0; page < 256; page++)
            cr_assert_eq(harness_result(h, page)->result, expected[page], "round %u page %u", round,
                         page);
    }
    harness_free(h);
}
