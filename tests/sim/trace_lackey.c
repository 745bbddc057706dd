/**
 * @file
 * Lackey's lines, and its system calls as guest events. Lines are as valgrind 3.19 prints them.
 */
#include "tests/sim/trace_support.h"

#define CALL "SYSCALL[3863,1]"

static const uint32_t RW = RIGHT_READ | RIGHT_WRITE | RIGHT_USER;

Test(trace_lackey, lines_are_fetches_loads_and_stores)
{
    struct whole w = read_text("==3863== Lackey, an example Valgrind tool\n"
                               "I  0401ab70,3\n"
                               " S 1fff000708,8\n"
                               " L 04033e06,1\n"
                               "I 0400d7d4,8\n");
    cr_assert_eq(w.count, 4);
    expect_access(&w, 0, OP_EXEC, 0x401ab70, 3);
    expect_access(&w, 1, OP_WRITE, 0x1fff000708, 8);
    expect_access(&w, 2, OP_READ, 0x4033e06, 1);
    expect_access(&w, 3, OP_EXEC, 0x400d7d4, 8);
    cr_expect_eq(w.report.format, TRACE_LACKEY);
    cr_expect_eq(w.report.events, 0);
}

Test(trace_lackey, modify_is_one_record_that_loads_and_stores)
{
    struct whole w = read_text(" M 0421c7f0,4\n");
    cr_assert_eq(w.count, 1);
    expect_access(&w, 0, OP_MODIFY, 0x421c7f0, 4);
}

Test(trace_lackey, sizes_above_16_bits_are_clamped_and_0_is_1)
{
    struct whole w = read_text(" L 1000,70000\n L 1000,0\n L 1000,65535\n");
    expect_access(&w, 0, OP_READ, 0x1000, 65535);
    expect_access(&w, 1, OP_READ, 0x1000, 1);
    expect_access(&w, 2, OP_READ, 0x1000, 65535);
}

Test(trace_lackey, addresses_that_are_not_canonical_are_kept)
{
    struct whole w = read_text(" L 8000000000000000,8\n L ffffffffffffffff,1\n");
    expect_access(&w, 0, OP_READ, 0x8000000000000000, 8);
    expect_access(&w, 1, OP_READ, UINT64_MAX, 1);
}

struct call_case {
    const char *what, *text;
    size_t events;
    enum op op;
    gva_t gva;
    uint64_t length;
    uint32_t rights;
};

static const struct call_case CALLS[] = {
    {"mmap maps at its result, whole pages",
     CALL "(9) sys_mmap ( 0x0, 12293, 3, 34, 4294967295, 0 ) --> [pre-success] "
          "Success(0x483c000) \n",
     1, OP_MAP, 0x483c000, 0x4000, RW},
    {"mmap of code",
     CALL "(9) sys_mmap ( 0x486d000, 1400832, 5, 2066, 4, 155648 ) --> [pre-success] "
          "Success(0x486d000) \n",
     1, OP_MAP, 0x486d000, 0x156000, RIGHT_READ | RIGHT_EXEC | RIGHT_USER},
    {"mmap without rights",
     CALL "(9) sys_mmap ( 0x0, 8392704, 0, 131106, 4294967295, 0 ) --> [pre-success] "
          "Success(0x4b2c000) \n",
     1, OP_MAP, 0x4b2c000, 0x801000, RIGHT_USER},
    {"mmap that fails",
     CALL "(9) sys_mmap ( 0x0, 4096, 3, 2, 99, 0 ) --> [pre-fail] Failure(0x9) \n", 0, 0, 0, 0, 0},
    {"mmap with its numbers signed",
     CALL "(9) sys_mmap ( 0x0, 4096, 3, 34, -1, 0 ) --> [pre-success] Success(0x5000) \n", 1,
     OP_MAP, 0x5000, 0x1000, RW},
    {"munmap", CALL "(11) sys_munmap ( 0x483c000, 43579 )[sync] --> Success(0x0) \n", 1, OP_UNMAP,
     0x483c000, 0xb000, 0},
    {"munmap that fails", CALL "(11) sys_munmap ( 0x1001, 4096 )[sync] --> Failure(0x16) \n", 0, 0,
     0, 0, 0},
    {"mprotect", CALL "(10) sys_mprotect ( 0x4b2d000, 8388608, 3 )[sync] --> Success(0x0) \n", 1,
     OP_PROTECT, 0x4b2d000, 0x800000, RW},
    {"mremap in place grows at the end",
     CALL "(25) sys_mremap ( 0x483d000, 8192, 12288, 0x1 ) --> [pre-success] "
          "Success(0x483d000) \n",
     1, OP_MAP, 0x483f000, 0x1000, RW},
    {"mremap in place shrinks at the end",
     CALL "(25) sys_mremap ( 0x483d000, 8192, 4096, 0x0 ) --> [pre-success] Success(0x483d000) \n",
     1, OP_UNMAP, 0x483e000, 0x1000, 0},
    {"the first brk only tells where it is",
     CALL "(12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) \n", 0, 0, 0, 0, 0},
    {"brk upwards",
     CALL "(12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) \n" CALL
          "(12) sys_brk ( 0x404d6a0 ) --> [pre-success] Success(0x404d6a0) \n",
     1, OP_MAP, 0x4035000, 0x19000, RW},
    {"brk downwards",
     CALL "(12) sys_brk ( 0x0 ) --> [pre-success] Success(0x404d6a0) \n" CALL
          "(12) sys_brk ( 0x4041350 ) --> [pre-success] Success(0x4041350) \n",
     1, OP_UNMAP, 0x4042000, 0xc000, 0},
    {"brk within a page",
     CALL "(12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035010) \n" CALL
          "(12) sys_brk ( 0x4035020 ) --> [pre-success] Success(0x4035020) \n",
     0, 0, 0, 0, 0},
    {"clone of a thread",
     CALL "(56) sys_clone ( 3d0f00, 0x532bf70, 0x532c990, 0x532c990, 0x532c6c0 ) --> "
          "[pre-success] Success(0xf18) \n",
     0, 0, 0, 0, 0},
    {"execve that fails",
     CALL "(59) sys_execve ( 0x10a006(/nonexistent), 0x1fff0005a0, 0x1fff000738 ) --> [pre-fail] "
          "Failure(0x2) \n",
     0, 0, 0, 0, 0},
    {"execve that works",
     CALL "(59) sys_execve ( 0x10a013(/bin/a (b) --> c), 0x1fff0005a0, 0x1fff000738 )\n", 1,
     OP_EXIT, 0, 0, 0},
    {"exit_group", CALL "(231) exit_group( 0 ) --> [pre-success] Success(0x0) \n", 1, OP_EXIT, 0, 0,
     0},
    {"a thread's exit", CALL "(60) exit( 0 ) --> [pre-success] Success(0x0) \n", 0, 0, 0, 0, 0},
    {"a call that is not modelled",
     CALL "(257) sys_openat ( 4294967196, 0x4034bb0(/a )[sync] b), 524288 ) --> [async] ... \n", 0,
     0, 0, 0, 0},
    {"a call that valgrind does not know",
     CALL "(334) unimplemented (by the kernel) syscall: 334! (ni_syscall)\n --> [pre-fail] "
          "Failure(0x26) \n",
     0, 0, 0, 0, 0},
};

Test(trace_lackey, successful_system_calls_become_events)
{
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        const struct call_case *c = &CALLS[i];
        char text[1024];
        snprintf(text, sizeof text, "I  1000,1\n%s L 2000,8\n", c->text);
        struct whole w = read_text(text);
        cr_assert_eq(w.count, 2 + 2 * c->events, "%s: %zu records", c->what, w.count);
        cr_expect_eq(w.report.events, c->events, "%s", c->what);
        if (c->events)
            expect_event(&w, 1, c->op, c->gva, c->length, c->rights);
    }
}

Test(trace_lackey, mremap_that_moves_unmaps_the_old_and_maps_the_new)
{
    struct whole w = read_text(CALL "(25) sys_mremap ( 0x483d000, 8192, 1048576, 0x1 ) --> "
                                    "[pre-success] Success(0x4a2c000) \n");
    cr_assert_eq(w.count, 4);
    expect_event(&w, 0, OP_UNMAP, 0x483d000, 0x2000, 0);
    expect_event(&w, 2, OP_MAP, 0x4a2c000, 0x100000, RW);
}

Test(trace_lackey, a_result_may_come_after_other_threads_have_run)
{
    struct whole w = read_text("SYSCALL[7,1](11) sys_munmap ( 0x5000, 4096 ) --> [async] ... \n"
                               "SYSCALL[7,2](11) sys_munmap ( 0x8000, 4096 ) --> [async] ... \n"
                               " L 1000,8\n"
                               "SYSCALL[7,1](11) ... [async] --> Success(0x0) \n"
                               "SYSCALL[7,2](11) ... [async] --> Failure(0x16) \n");
    cr_assert_eq(w.count, 3);
    expect_access(&w, 0, OP_READ, 0x1000, 8);
    cr_expect_eq(w.record[0].thread, 1);
    expect_event(&w, 1, OP_UNMAP, 0x5000, 0x1000, 0);
}

/* Pieces of a clone of a thread, as they came. */
Test(trace_lackey, an_access_may_stand_on_the_line_of_a_system_call)
{
    struct whole w = read_text(
        "I  0494fb40,2\n" CALL "(56) sys_clone ( 3d0f00, 0x5b2cf70, 0x5b2d990, 0x5b2d990, "
        "0x5b2d6c0 ) --> [pre-success] Success(0xf19) I  0494fb42,3\nI  0494fb45,2\n\n");
    cr_assert_eq(w.count, 3);
    expect_access(&w, 1, OP_EXEC, 0x494fb42, 3);
}

/* Two processes in one log: the header of a call, another's access, and the rest of the call. */
Test(trace_lackey, another_process_may_print_within_a_system_call)
{
    struct whole w = read_text("SYSCALL[4985,1](262)  S 04a29a18,16\n"
                               "sys_newfstatat ( 4294967196, 0x4035ba8(/bin/wc), 0x1fff0002e0 "
                               ")[sync] --> Failure(0x2)I  0491af57,8\n");
    cr_assert_eq(w.count, 2);
    expect_access(&w, 0, OP_WRITE, 0x4a29a18, 16);
    expect_access(&w, 1, OP_EXEC, 0x491af57, 8);
}

Test(trace_lackey, fork_starts_a_process_that_the_next_lines_belong_to)
{
    struct whole w = read_text(
        " L 1000,8\n" CALL "(56) sys_clone ( 1200011, 0x0, 0x0, 0x4a29a10, 0x0 )   clone(fork): "
        "process 3863 created child 3866\n --> [pre-success] Success(0xf1a) \n"
        " L 2000,8\n" CALL "(61) sys_wait4 ( 4294967295, 0x0, 0, 0x0 ) --> [async] ... \n"
        " --> [pre-success] Success(0x0) \n"
        " L 3000,8\n"
        "SYSCALL[3866,1](231) exit_group( 2 ) --> [pre-success] Success(0x0) \n"
        "==3866== \n==3866== Exit code:       0\n" CALL "(61) ... [async] --> Success(0xf1a) \n"
        " L 4000,8\n");
    cr_assert_eq(w.count, 8);
    cr_expect_eq(w.record[1].op, OP_FORK);
    cr_expect_eq(operand_at(&w, 1).process, 1);
    const uint16_t process[] = {0, 0, 0, 0, 1, 1, 0, 0};
    for (size_t i = 0; i < w.count; i++)
        if (i != 2 && i != 6)
            cr_expect_eq(w.record[i].process, process[i], "record %zu", i);
    cr_expect_eq(w.record[5].op, OP_EXIT);
    cr_expect_eq(w.report.processes, 2);
}

Test(trace_lackey, fork_is_one_event_whether_or_not_valgrind_notes_it)
{
    struct whole w = read_text(CALL "(57) sys_fork ( ) --> [pre-success] Success(0xf1a) \n");
    cr_assert_eq(w.count, 2);
    cr_expect_eq(w.record[0].op, OP_FORK);
    cr_expect_eq(operand_at(&w, 0).process, 1);
}

Test(trace_lackey, a_forked_process_has_the_brk_of_its_parent)
{
    struct whole w = read_text(
        CALL "(12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) \n" CALL
             "(57) sys_fork ( ) --> [pre-success] Success(0xf1a) \n"
             "SYSCALL[3866,1](12) sys_brk ( 0x4036000 ) --> [pre-success] Success(0x4036000) \n");
    cr_assert_eq(w.count, 4);
    expect_event(&w, 2, OP_MAP, 0x4035000, 0x1000, RW);
    cr_expect_eq(w.record[2].process, 1);
}

Test(trace_lackey, after_execve_the_process_goes_on_under_its_number)
{
    struct whole w =
        read_text("==7== Lackey, an example Valgrind tool\n L 1000,8\n"
                  "SYSCALL[7,1](59) sys_execve ( 0x10a013(/bin/true), 0x1f, 0x1e )==7== Lackey, an "
                  "example Valgrind tool\n L 2000,8\n");
    cr_assert_eq(w.count, 4);
    cr_expect_eq(w.record[1].op, OP_EXIT);
    expect_access(&w, 3, OP_READ, 0x2000, 8);
    cr_expect_eq(w.record[3].process, 0);
    cr_expect_eq(w.report.processes, 1);
}

Test(trace_lackey, a_process_that_a_signal_ends_gives_back_its_memory)
{
    struct whole w = read_text(
        " L 1000,8\n==7== \n==7== Process terminating with default action of signal 11 (SIGSEGV)\n"
        "==7==  Access not within mapped region at address 0x0\n");
    cr_assert_eq(w.count, 3);
    cr_expect_eq(w.record[1].op, OP_EXIT);
}

Test(trace_lackey, a_real_log_with_fork_and_execve_gives_its_events_in_order)
{
    static const enum op OPS[] = {OP_MAP,     OP_MAP,     OP_MAP,     OP_MAP,     OP_MAP,   OP_MAP,
                                  OP_MAP,     OP_MAP,     OP_MAP,     OP_MAP,     OP_MAP,   OP_MAP,
                                  OP_PROTECT, OP_PROTECT, OP_PROTECT, OP_PROTECT, OP_UNMAP, OP_FORK,
                                  OP_MAP,     OP_EXIT,    OP_EXIT,    OP_MAP};
    struct err err = {0};
    struct source *source =
        trace_open("tests/sim/data/traces/lackey-fork-exec.txt", &(struct trace_options){0}, &err);
    cr_assert(source, "%s", err.text);
    struct whole w = read_source(source, BATCH);
    cr_assert_eq(w.err.code, EXIT_OK, "%s", w.err.text);
    cr_expect_eq(w.report.errors, 0);
    cr_expect_eq(w.report.processes, 2);
    cr_expect_eq(w.report.events, 39);
    cr_expect_eq(w.count, 223 + 2 * 39);
    size_t events = 0;
    for (size_t i = 0; i < w.count; i++) {
        if (w.record[i].op < OP_MAP)
            continue;
        if (events < sizeof OPS / sizeof *OPS)
            cr_expect_eq(w.record[i].op, OPS[events], "event %zu is op %d", events, w.record[i].op);
        events++;
        i++;
    }
}
