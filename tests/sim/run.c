/* Scenarios, run: order, placement, outcome lines, and that cutting a run into pieces changes
 * nothing. */
#include "tests/sim/run_support.h"

#define WORKLOAD                                                                                   \
    "\"vms\":[{\"memory\":\"32MiB\",\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":"      \
    "\"4MiB\"}],\"workload\":{\"generator\":\"uniform\",\"accesses\":5000,\"writes\":0.3}}]}]"

/* A line for each thing done, in the words of the format. */
Test(run, prints_one_line_for_each_item)
{
    struct rig *rig = rig_new(
        "{\"version\":1,\"vms\":[{\"memory\":\"16MiB\",\"registers\":{\"cr3\":\"0x1000\"},"
        "\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2007\"]},{\"gpa\":\"0x2000\",\"u64\":"
        "[\"0x3007\"]},{\"gpa\":\"0x3000\",\"u64\":[\"0x4007\"]},{\"gpa\":\"0x4000\",\"u64\":"
        "[\"0x5007\",\"0x6005\"]},{\"gpa\":\"0x5010\",\"u64\":[\"0x1122334455667788\"]}]}],"
        "\"script\":["
        "{\"do\":\"access\",\"gva\":\"0x10\"},"
        "{\"do\":\"access\",\"gva\":\"0x11\",\"size\":2},"
        "{\"do\":\"access\",\"gva\":\"0x10\",\"op\":\"write\",\"value\":\"0xff\",\"size\":1},"
        "{\"do\":\"access\",\"gva\":\"0x10\"},"
        "{\"do\":\"access\",\"gva\":\"0xff8\",\"size\":16,\"op\":\"write\",\"user\":true},"
        "{\"do\":\"access\",\"gva\":\"0x800000000000\"},"
        "{\"do\":\"mov_cr3\",\"value\":\"0x1000\"},"
        "{\"do\":\"mov_cr4\",\"value\":\"0x0\"},"
        "{\"do\":\"dump\",\"gpa\":\"0x4000\",\"count\":3},"
        "{\"do\":\"dump\",\"gpa\":\"0xfffff8\"},"
        "{\"do\":\"store\",\"gpa\":\"0xfffff8\",\"value\":\"0x7\"},"
        "{\"do\":\"access\",\"gva\":\"0x0\",\"op\":\"exec\"}]}");
    char *lines = rig_run(rig);
    cr_expect_str_eq(
        lines,
        "{\"i\":0,\"outcome\":\"ok\",\"gpa\":\"0x5010\",\"value\":\"0x1122334455667788\"}\n"
        "{\"i\":1,\"outcome\":\"ok\",\"gpa\":\"0x5011\",\"value\":\"0x6677\"}\n"
        "{\"i\":2,\"outcome\":\"ok\",\"gpa\":\"0x5010\"}\n"
        "{\"i\":3,\"outcome\":\"ok\",\"gpa\":\"0x5010\",\"value\":\"0x11223344556677ff\"}\n"
        /* The second page denies writes: CR2 is its first byte. */
        "{\"i\":4,\"outcome\":\"fault\",\"vector\":14,\"error_code\":\"0x7\",\"cr2\":\"0x1000\"}\n"
        "{\"i\":5,\"outcome\":\"fault\",\"vector\":13,\"error_code\":\"0x0\"}\n"
        "{\"i\":6,\"outcome\":\"ok\"}\n"
        "{\"i\":7,\"outcome\":\"fault\",\"vector\":13,\"error_code\":\"0x0\"}\n"
        "{\"i\":8,\"dump\":[\"0x5067\",\"0x6005\",\"0x0\"]}\n"
        "{\"i\":9,\"dump\":[\"0x0\"]}\n"
        "{\"i\":10,\"outcome\":\"ok\"}\n"
        "{\"i\":11,\"outcome\":\"ok\",\"gpa\":\"0x5000\"}\n");
    free(lines);
    rig_free(rig);
}

/* "script items run before the workloads, unless at places them among them" */
Test(run, places_items_among_the_workloads)
{
    struct rig *rig = rig_new("{\"version\":1," WORKLOAD ",\"script\":["
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":300},"
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":20},"
                              "{\"do\":\"access\",\"gva\":\"0x400000\"},"
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":20},"
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":9999999},"
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":0},"
                              "{\"do\":\"run\",\"accesses\":7}]}");
    char *lines = rig_run(rig), *at = lines;
    static const unsigned order[] = {2, 6, 5, 1, 3, 0, 4};
    for (unsigned i = 0; i < 7; i++) {
        char start[16];
        snprintf(start, sizeof start, "{\"i\":%u,", order[i]);
        cr_expect(!strncmp(at, start, strlen(start)), "item %u: %s", i, at);
        at = strchr(at, '\n') + 1;
    }
    cr_expect_eq(*at, 0);
    cr_expect_eq(rig->machine->accesses, 5001);
    free(lines);
    rig_free(rig);
}

struct moments {
    uint64_t accesses[8];
    cycles_t cycles[8];
};

static void note_moment(void *self, unsigned index, const struct script_item *item,
                        const struct outcome *o, const struct machine *m)
{
    struct moments *moments = self;
    (void)item, (void)o;
    moments->accesses[index] = m->accesses;
    moments->cycles[index] = machine_clock(m);
}

/* skylake-sp runs at 2.1 GHz: 10 us are 21,000 cycles, 100 us 210,000. */
Test(run, places_items_by_access_number_and_by_time)
{
    struct rig *rig = rig_new("{\"version\":1," WORKLOAD ",\"script\":["
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":\"100us\"},"
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":1234},"
                              "{\"do\":\"invlpg\",\"gva\":\"0x400000\",\"at\":\"10us\"}]}");
    struct moments moments = {0};
    struct run_hooks hooks = {note_moment, NULL, &moments};
    struct err err = {0};
    uint32_t mhz = rig->scenario.machine.profile.mhz;
    cr_assert(run_scenario(&rig->scenario, rig->machine, &hooks, &err));
    cr_expect_eq(moments.accesses[1], 1234);
    cr_expect_geq(moments.cycles[2], 10 * mhz);
    cr_expect_lt(moments.cycles[2], 10 * mhz + 10000);
    cr_expect_geq(moments.cycles[0], 100 * mhz);
    cr_expect_lt(moments.cycles[0], 100 * mhz + 10000);
    rig_free(rig);
}

/* run = step: the same code on the same state, however it is cut. */
Test(run, in_pieces_of_any_length_ends_the_same)
{
    struct rig *whole = rig_new("{\"version\":1," WORKLOAD "}");
    free(rig_run(whole));
    char *expected = rig_stats(whole, stats_print_json);
    static const unsigned pieces[] = {1, 7, 511, 512, 513, 4999};
    for (unsigned p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        struct rig *rig = rig_new("{\"version\":1," WORKLOAD "}");
        while (machine_run(rig->machine, pieces[p]))
            ;
        char *got = rig_stats(rig, stats_print_json);
        cr_expect_str_eq(got, expected, "in pieces of %u", pieces[p]);
        free(got);
        rig_free(rig);
    }
    free(expected);
    rig_free(whole);
}

static bool stop_soon(void *self, uint64_t accesses)
{
    (void)accesses;
    return ++*(unsigned *)self > 2;
}

Test(run, stops_when_asked_to)
{
    struct rig *rig = rig_new("{\"version\":1," WORKLOAD ",\"script\":["
                              "{\"do\":\"run\",\"accesses\":10},{\"do\":\"run\",\"accesses\":10},"
                              "{\"do\":\"run\",\"accesses\":10}]}");
    unsigned asked = 0;
    struct run_hooks hooks = {NULL, stop_soon, &asked};
    struct err err = {0};
    cr_expect(run_scenario(&rig->scenario, rig->machine, &hooks, &err));
    cr_expect_lt(rig->machine->accesses, 30);
    rig_free(rig);
}

/* Data frames run out: the machine stops, and says what would help. */
Test(run, says_why_a_machine_stopped)
{
    struct rig *rig = rig_new(
        "{\"version\":1,\"vms\":[{\"memory\":\"64KiB\",\"processes\":[{\"map\":[{\"gva\":"
        "\"0x400000\",\"size\":\"1MiB\"}],\"workload\":{\"generator\":\"sequential\",\"stride\":"
        "4096,\"accesses\":100}}]}]}");
    struct err err = {0};
    cr_expect_not(run_scenario(&rig->scenario, rig->machine, NULL, &err));
    cr_expect_eq(err.code, EXIT_NO);
    cr_expect(strstr(err.text, "out of memory") != NULL, "%s", err.text);
    rig_free(rig);
}

Test(run, a_script_alone_leaves_workloads_and_placed_items_out)
{
    struct rig *rig = rig_new("{\"version\":1," WORKLOAD ",\"script\":["
                              "{\"do\":\"access\",\"gva\":\"0x400000\"},"
                              "{\"do\":\"access\",\"gva\":\"0x401000\",\"at\":1}]}");
    struct err err = {0};
    cr_assert(run_script(&rig->scenario, rig->machine, NULL, &err));
    cr_expect_eq(rig->machine->accesses, 1);
    rig_free(rig);
}
