/* What ends a guest for good, what can't be had at all, and that nothing is left behind. */
#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim/backend/kvm/touch.h"

static struct err fails(struct harness *h)
{
    struct err err = {0};
    size_t done;
    cr_assert_not(harness_run(h, false, &done, &err));
    cr_expect_eq(err.code, EXIT_NO);
    return err;
}

static void expect_words(const struct err *err, const char *words)
{
    cr_expect(strstr(err->text, words), "no \"%s\" in: %s", words, err->text);
}

Test(kvm_trouble, a_root_without_the_harness_is_a_triple_fault)
{
    struct harness *h = usual_guest();
    *entry_of(h, SPARE, 0) = LEVEL_3 | LINK;
    ask(h, COMMAND_NOP, 0, 0);
    ask_value(h, COMMAND_CR3, SPARE);
    ask(h, COMMAND_NOP, 0, 0);
    struct err err = fails(h);
    expect_words(&err, "SHUTDOWN");
    expect_words(&err, "command 1: op 8");
    harness_free(h);
}

/* A root behind whose slot the code's page is a slide into an endless loop. */
static void make_slide(struct harness *h, gpa_t root)
{
    uint8_t *page = harness_memory(h) + root + 4 * PAGE;
    *entry_of(h, root, SLOT) = (root + PAGE) | LINK;
    *entry_of(h, root + PAGE, 0) = (root + 2 * PAGE) | (LINK & ~PTE_U);
    *entry_of(h, root + 2 * PAGE, 0) = (root + 3 * PAGE) | (LINK & ~PTE_U);
    *entry_of(h, root + 3 * PAGE, 0) = (root + 4 * PAGE) | (LINK & ~PTE_U);
    memset(page, 0x90, PAGE);
    memcpy(page + PAGE - 2, "\xeb\xfe", 2);
}

Test(kvm_trouble, a_guest_that_hangs_is_out_of_time)
{
    struct harness_config config = usual_config();
    config.seconds = 1;
    struct harness *h = guest_new(&config);
    make_slide(h, SPARE);
    ask_value(h, COMMAND_CR3, SPARE);
    struct err err = fails(h);
    expect_words(&err, "out of time after 1 s");
    expect_words(&err, "command 0: op 8");
    harness_free(h);
}

Test(kvm_trouble, a_halt_is_not_expected)
{
    struct harness *h = usual_guest();
    harness_memory(h)[FRAMES] = 0xf4; /* hlt */
    ask(h, COMMAND_EXEC, 0, 0);
    struct err err = fails(h);
    expect_words(&err, "HLT");
    harness_free(h);
}

Test(kvm_trouble, what_cannot_be_is_told_in_words)
{
    struct err err;
    struct harness_config c = usual_config();
    c.levels = 3;
    cr_expect_null(harness_new(&c, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    c = usual_config();
    c.registers.cr3 = MEMORY;
    cr_expect_null(harness_new(&c, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    c = usual_config();
    c.memory = 4097;
    cr_expect_null(harness_new(&c, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    c = usual_config();
    c.maxphyaddr = 60;
    cr_expect_null(harness_new(&c, &err));
    cr_expect_eq(err.code, EXIT_ENVIRONMENT);
    c = usual_config();
    c.registers.cr4 |= CR4_PCIDE;
    if (!environment_or_skip()->has.pcid) {
        cr_expect_null(harness_new(&c, &err));
        expect_words(&err, "PCID");
        cr_expect_eq(err.code, EXIT_ENVIRONMENT);
    }
}

Test(kvm_trouble, an_entry_in_use_is_not_taken)
{
    struct harness *h = usual_guest();
    struct err err;
    size_t done;
    *entry_of(h, ROOT, SLOT) = LEVEL_3 | LINK;
    ask(h, COMMAND_NOP, 0, 0);
    cr_expect_not(harness_run(h, false, &done, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    expect_words(&err, "entry 255");
    harness_free(h);
}

static unsigned entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static size_t timers(void)
{
    char text[4096];
    FILE *f = fopen("/proc/self/timers", "r");
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static unsigned threads(void)
{
    unsigned n = 0;
    for (unsigned tries = 0; tries < 100; tries++) { /* the kernel's own for a VM end a bit later */
        n = entries("/proc/self/task");
        if (n <= 3)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return n;
}

static void use_a_guest(bool follow)
{
    struct harness_config config = usual_config();
    struct err err;
    size_t done;
    config.follow = follow;
    struct harness *h = guest_new(&config);
    ask(h, COMMAND_WRITE, 3, PAGE);
    /* Where nobody may follow, there is nothing to be left behind by it. */
    cr_assert(harness_run(h, false, &done, &err) || follow, "%s", err.text);
    harness_free(h);
}

Test(kvm_trouble, nothing_is_left_behind)
{
    use_a_guest(false); /* what the C library keeps for itself is then there */
    unsigned files = entries("/proc/self/fd"), tasks = threads();
    size_t timed = timers();
    sigset_t mask, after;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    for (unsigned i = 0; i < 4; i++)
        use_a_guest(i % 2);
    struct environment env;
    struct err err;
    environment_probe(&env, &err);
    cr_expect_eq(entries("/proc/self/fd"), files);
    cr_expect_eq(threads(), tasks);
    cr_expect_eq(timers(), timed);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int s = 1; s <= SIGRTMAX; s++)
        cr_expect_eq(sigismember(&mask, s), sigismember(&after, s), "signal %d", s);
}

Test(kvm_trouble, the_time_limit_holds_in_a_second_guest_too)
{
    struct harness_config config = usual_config();
    config.seconds = 1;
    struct harness *good = guest_new(&config), *bad = guest_new(&config);
    make_slide(bad, SPARE);
    ask_value(bad, COMMAND_CR3, SPARE);
    ask(good, COMMAND_NOP, 3, 0);
    run(good);
    struct err err = fails(bad);
    expect_words(&err, "out of time");
    ask(good, COMMAND_READ, 3, 0);
    run(good);
    expect_done(good, 0);
    harness_free(bad);
    harness_free(good);
}
