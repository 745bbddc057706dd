/*
 * Run = step = replay of the same trace, to the last counter; a clone goes on as the original
 * would, and costs the flat state; the log adds up to the counters.
 */
#include "tests/sim/machines.h"

#include <time.h>
#include <unistd.h>

/* ---- machines with much to go wrong ---- */

/* Small caches of every kind, so that a few thousand accesses fill and empty them many times. */
#define SMALL(policy)                                                                              \
    "\"machine\":{\"profile\":\"skylake-sp\",\"memory\":\"1GiB\",\"override\":{\"tlb\":{"          \
    "\"l1i\":{\"entries\":8,\"ways\":4,\"replacement\":\"" policy "\"},"                           \
    "\"l1d\":{\"entries\":16,\"ways\":4,\"replacement\":\"" policy "\"},"                          \
    "\"l2\":{\"entries\":96,\"ways\":12,\"replacement\":\"" policy "\"}},"                         \
    "\"structure_caches\":{\"pde\":{\"entries\":4,\"ways\":0,\"replacement\":\"" policy "\"}},"    \
    "\"data_caches\":{\"l1\":{\"entries\":32,\"ways\":8,\"replacement\":\"" policy "\"},"          \
    "\"l2\":{\"entries\":64,\"ways\":16,\"replacement\":\"" policy "\"},"                          \
    "\"llc\":{\"entries\":512,\"ways\":16,\"replacement\":\"" policy "\"}}}}"

#define BUSY                                                                                       \
    "\"map\":[{\"gva\":\"0x7fe00000\",\"size\":\"4MiB\"}],\"workload\":{\"generator\":"            \
    "\"zipf\",\"theta\":0.7,\"accesses\":2600,\"writes\":0.4,\"remap\":0.03,\"protect\":0.05}"

#define PHASES                                                                                     \
    "\"map\":[{\"gva\":\"0x400000\",\"size\":\"2MiB\"}],\"workload\":{\"generator\":\"phases\","   \
    "\"phases\":[{\"generator\":\"gups\",\"accesses\":700},{\"generator\":\"sequential\","         \
    "\"stride\":712,\"size\":24,\"accesses\":900},{\"generator\":\"working-set\",\"hot\":"         \
    "\"64KiB\",\"hot_share\":0.9,\"drift\":0.01,\"accesses\":800,\"writes\":0.5}]}"

#define ONE(machine, guest)                                                                        \
    "{\"version\":1,\"seed\":\"0xfeed\"," machine                                                  \
    ",\"vms\":[{\"memory\":\"256MiB\",\"guest\":{" guest "},\"processes\":[{" BUSY "}]}]}"
#define TWO(machine, vm, guest)                                                                    \
    "{\"version\":1,\"seed\":7," machine ",\"vms\":[{\"memory\":\"256MiB\"," vm                    \
    "\"guest\":{" guest "},\"processes\":[{" BUSY "},{" PHASES "},{" BUSY "}]}]}"
#define RECLAIM(policy) "\"reclaim\":{\"policy\":\"" policy "\",\"frames\":90}"
#define PROFILE(name)   "\"machine\":{\"profile\":\"" name "\",\"memory\":\"1GiB\"}"

static const struct {
    const char *name, *json;
} cases[] = {
    {"lru", ONE(SMALL("lru"), "")},
    {"tree-plru", ONE(SMALL("tree-plru"), "")},
    {"fifo", ONE(SMALL("fifo"), "")},
    {"random", ONE(SMALL("random"), "")},
    {"lfu", ONE(SMALL("lfu"), "")},
    {"a real profile by address", ONE(PROFILE("haswell"), "")},
    {"a real profile by entry", ONE(PROFILE("zen2"), "")},
    {"two levels", TWO(SMALL("lru"), "", "\"paging\":\"2-level\"")},
    {"PAE", TWO(SMALL("lru"), "\"quantum\":50,", "\"paging\":\"pae\"")},
    {"five levels and huge pages",
     TWO(SMALL("lru"), "\"quantum\":64,", "\"paging\":\"5-level\",\"huge_pages\":true")},
    {"reclaim by fifo", TWO(SMALL("lru"), "\"quantum\":37,", RECLAIM("fifo"))},
    {"reclaim by lru", TWO(SMALL("random"), "\"quantum\":37,", RECLAIM("lru"))},
    {"reclaim by clock", TWO(SMALL("lru"), "\"quantum\":37,", RECLAIM("clock"))},
    {"reclaim by opt", TWO(SMALL("lru"), "\"quantum\":37,", RECLAIM("opt"))},
    {"three processes in turn", TWO(SMALL("lru"), "\"quantum\":100,", "")},
    {"three processes one by one", TWO(SMALL("tree-plru"), "", "")},
    {"two vCPUs", TWO(SMALL("lru"), "\"vcpus\":2,", "")},
    {"two vCPUs that reclaim, in turn",
     TWO(SMALL("fifo"), "\"vcpus\":2,\"quantum\":29,", RECLAIM("lru"))},
};

enum { CASES = sizeof cases / sizeof *cases, POSITIONS = 44 };

static void expect_same(const struct machine *a, const struct machine *b, const char *name,
                        const char *how, uint64_t number)
{
    const char *what = state_difference(a, b);
    cr_expect(what == NULL, "%s, %s %llu: not the same: %s", name, how, (unsigned long long)number,
              what);
}

static struct rig *rig_run_whole(const char *json)
{
    struct rig *rig = rig_new(json);
    machine_run(rig->machine, UINT64_MAX);
    cr_assert(rig->machine->finished, "%s", rig->machine->err.text);
    return rig;
}

/* ---- run = step = replay ---- */

Test(clone, running_in_steps_of_any_size_ends_in_the_same_state)
{
    static const uint64_t pieces[] = {1, 2, 7, 511, 512, 513, 4096};
    for (unsigned c = 0; c < CASES; c++) {
        struct rig *whole = rig_run_whole(cases[c].json);
        for (unsigned p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            struct rig *rig = rig_new(cases[c].json);
            run_out(rig->machine, pieces[p]);
            expect_same(rig->machine, whole->machine, cases[c].name, "in steps of", pieces[p]);
            rig_free(rig);
        }
        rig_free(whole);
    }
}

Test(clone, running_until_a_time_and_on_ends_in_the_same_state)
{
    for (unsigned c = 0; c < CASES; c++) {
        struct rig *whole = rig_run_whole(cases[c].json), *rig = rig_new(cases[c].json);
        for (cycles_t until = 1; !rig->machine->finished; until += 1 + until / 3)
            machine_run_until(rig->machine, UINT64_MAX, until);
        expect_same(rig->machine, whole->machine, cases[c].name, "by time, case", c);
        rig_free(rig);
        rig_free(whole);
    }
}

/* The same scenario, its generators replaced by traces of what they do. */
static struct rig *rig_from_traces(const struct rig *from, char paths[][64])
{
    struct rig *rig = calloc(1, sizeof *rig);
    const struct vm_config *vm = &from->scenario.machine.vms[0];
    struct vm_config *copy = malloc(sizeof *copy);
    struct process_config *processes = malloc(vm->n_processes * sizeof *processes);
    struct phase_config *phases = calloc(vm->n_processes, sizeof *phases);
    struct err err = {0};
    cr_assert(rig && copy && processes && phases);
    memcpy(processes, vm->processes, vm->n_processes * sizeof *processes);
    for (unsigned p = 0; p < vm->n_processes; p++) {
        phases[p].trace = paths[p];
        processes[p].phases = &phases[p];
        processes[p].n_phases = 1;
    }
    *copy = *vm;
    copy->processes = processes;
    rig->scenario.machine = from->scenario.machine;
    rig->scenario.machine.vms = copy;
    rig->machine = machine_new(&rig->scenario.machine, &err);
    cr_assert(rig->machine != NULL, "%s", err.text);
    cr_assert(run_foresee(&rig->scenario, rig->machine, &err), "%s", err.text);
    return rig;
}

static void traces_free(struct rig *rig)
{
    const struct vm_config *vm = rig->scenario.machine.vms;
    machine_free(rig->machine);
    free((void *)vm->processes[0].phases);
    free((void *)vm->processes);
    free((void *)vm);
    free(rig);
}

static void write_traces(const struct rig *from, char paths[][64])
{
    for (unsigned p = 0; p < from->machine->vm[0].n_feeds; p++) {
        strcpy(paths[p], "/tmp/nestwalk-clone-XXXXXX");
        int file = mkstemp(paths[p]);
        cr_assert(file >= 0);
        close(file);
        write_trace(from->machine, p, paths[p]);
    }
}

static void remove_traces(const struct rig *from, char paths[][64])
{
    for (unsigned p = 0; p < from->machine->vm[0].n_feeds; p++)
        unlink(paths[p]);
}

Test(clone, replaying_the_same_accesses_from_a_trace_ends_in_the_same_state)
{
    for (unsigned c = 0; c < CASES; c++) {
        char paths[3][64];
        struct rig *from = rig_new(cases[c].json);
        write_traces(from, paths);
        machine_run(from->machine, UINT64_MAX);
        for (unsigned piece = 13; piece < 10000; piece *= 37) {
            struct rig *rig = rig_from_traces(from, paths);
            run_out(rig->machine, piece);
            const char *what = machine_difference(rig->machine, from->machine);
            cr_expect(what == NULL, "%s, by %u: %s", cases[c].name, piece, what);
            traces_free(rig);
        }
        remove_traces(from, paths);
        rig_free(from);
    }
}

/* ---- clones ---- */

/*
 * Runs @p m to its end, cloning it on the way. Every other clone runs to its end at once, while the
 * original waits; the rest when the original has ended, and is gone. @p expected: the end of a
 * machine that was never cloned.
 */
static void clone_on_the_way(struct machine *m, const struct machine *expected, const char *name)
{
    struct machine *clones[POSITIONS];
    uint64_t total = expected->accesses, at[POSITIONS];
    for (unsigned i = 0; i < POSITIONS; i++) {
        uint64_t goal = i < 4 ? i : total * (i - 3) / (POSITIONS - 4);
        machine_run(m, goal - m->accesses);
        at[i] = m->accesses;
        clones[i] = machine_clone(m);
        cr_assert(clones[i] != NULL);
        expect_same(clones[i], m, name, "fresh clone at", at[i]);
        if (i % 2 == 0)
            run_out(clones[i], i % 3 ? 100 : UINT64_MAX);
        if (i % 5 == 0) { /* the clone of a clone, and an end before the original's */
            machine_free(machine_clone(clones[i]));
            cr_expect(clones[i]->finished || i % 2);
        }
    }
    run_out(m, 999);
    expect_same(m, expected, name, "the original after", total);
    machine_free(m);
    for (unsigned i = 0; i < POSITIONS; i++) {
        run_out(clones[i], i % 3 ? UINT64_MAX : 61);
        expect_same(clones[i], expected, name, "clone at", at[i]);
        machine_free(clones[i]);
    }
}

Test(clone, a_clone_taken_at_any_access_ends_in_the_same_state_as_the_original)
{
    for (unsigned c = 0; c < CASES; c++) {
        struct rig *whole = rig_run_whole(cases[c].json), *rig = rig_new(cases[c].json);
        clone_on_the_way(rig->machine, whole->machine, cases[c].name);
        rig->machine = NULL;
        rig_free(rig);
        rig_free(whole);
    }
}

Test(clone, a_clone_of_a_machine_that_replays_traces_ends_in_the_same_state)
{
    static const unsigned some[] = {0, 8, 13, 14, 17}; /* one or more processes, vCPUs, reclaim */
    for (unsigned s = 0; s < sizeof some / sizeof *some; s++) {
        char paths[3][64];
        struct rig *from = rig_new(cases[some[s]].json);
        write_traces(from, paths);
        struct rig *whole = rig_from_traces(from, paths), *rig = rig_from_traces(from, paths);
        machine_run(whole->machine, UINT64_MAX);
        clone_on_the_way(rig->machine, whole->machine, cases[some[s]].name);
        rig->machine = NULL;
        traces_free(rig);
        traces_free(whole);
        remove_traces(from, paths);
        rig_free(from);
    }
}

/* A clone of a clone of a clone, each a little further: a player's keyframes. */
Test(clone, a_chain_of_clones_ends_in_the_same_state)
{
    for (unsigned c = 0; c < CASES; c++) {
        struct rig *whole = rig_run_whole(cases[c].json), *rig = rig_new(cases[c].json);
        struct machine *m = rig->machine;
        while (!m->finished) {
            struct machine *next = machine_clone(m);
            cr_assert(next != NULL);
            machine_free(m);
            machine_run(m = next, 211);
        }
        expect_same(m, whole->machine, cases[c].name, "a chain, case", c);
        rig->machine = m;
        rig_free(rig);
        rig_free(whole);
    }
}

/* Two clones that part do not see each other: one unmaps everything, the other goes on. */
Test(clone, what_one_clone_writes_no_other_sees)
{
    struct rig *whole = rig_run_whole(cases[0].json), *rig = rig_new(cases[0].json);
    machine_run(rig->machine, 1000);
    struct machine *one = machine_clone(rig->machine), *other = machine_clone(rig->machine);
    struct script_item item = {.verb = VERB_unmap, .length = 4 << 20};
    struct outcome outcome;
    item.access.gva = 0x7fe00000;
    machine_do(one, &item, &outcome);
    cr_expect_eq(outcome.kind, OUTCOME_OK);
    cr_expect_lt(one->vm[0].guest.tables.bytes, other->vm[0].guest.tables.bytes);
    run_out(one, UINT64_MAX);
    run_out(other, UINT64_MAX);
    run_out(rig->machine, UINT64_MAX);
    expect_same(other, whole->machine, "lru", "beside another, at", 1000);
    expect_same(rig->machine, whole->machine, "lru", "original of two, at", 1000);
    cr_expect(machine_difference(one, other) != NULL);
    machine_free(one);
    machine_free(other);
    rig_free(rig);
    rig_free(whole);
}

/* ---- the cost of a clone ---- */

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_clones(const char *profile)
{
    enum { CLONES = 9 };
    char json[512];
    double took[CLONES];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"profile\":\"%s\",\"memory\":\"1TiB\"},\"vms\":[{"
             "\"memory\":\"1TiB\",\"processes\":[{\"map\":[{\"gva\":\"0x40000000\",\"size\":"
             "\"1GiB\",\"populate\":\"start\"}],\"workload\":{\"generator\":\"sequential\","
             "\"stride\":4096,\"writes\":1,\"accesses\":262144}}]}]}",
             profile);
    struct rig *rig = rig_run_whole(json);
    cr_expect_eq(total_of(rig->machine, EVENT_FAULT), 0);
    for (unsigned i = 0; i < CLONES; i++) {
        double start = milliseconds();
        struct machine *clone = machine_clone(rig->machine);
        took[i] = milliseconds() - start;
        cr_assert(clone != NULL);
        machine_free(clone);
    }
    qsort(took, CLONES, sizeof *took, by_value);
    fprintf(stderr, "clone of 1 TiB with 1 GiB touched, %s: best %.2f ms, median %.2f ms\n",
            profile, took[0], took[CLONES / 2]);
    if (timings_count())
        cr_expect_lt(took[0], 5, "%s: a clone takes %.2f ms", profile, took[0]);
    rig_free(rig);
}

/* "cloning a 1 TiB machine with 1 GiB touched takes under 5 ms" */
Test(clone, cloning_a_machine_of_1_tib_with_1_gib_touched_takes_under_5_ms)
{
    time_clones("textbook");
    time_clones("skylake-sp");
    time_clones("zen4");
}

/* ---- the log ---- */

struct summing {
    uint64_t count[2][EVENT_SLOTS];
    cycles_t last[2];
    bool backwards;
};

static void sum_event(void *self, const struct event *event)
{
    struct summing *sum = self;
    cr_assert_lt(event->vcpu, 2);
    sum->count[event->vcpu][event_slot(event)]++;
    sum->backwards |= event->time < sum->last[event->vcpu];
    sum->last[event->vcpu] = event->time;
}

/* Each slot's records times its price are the cycles. */
static cycles_t priced(const uint64_t *count, const struct tally *t)
{
    cycles_t cycles = 0;
    for (unsigned s = 0; s < EVENT_SLOTS; s++)
        cycles += count[s] * t->price[s];
    return cycles;
}

Test(clone, the_records_of_the_log_add_up_to_the_counters_and_watching_changes_nothing)
{
    for (unsigned c = 0; c < CASES; c++) {
        struct rig *unseen = rig_run_whole(cases[c].json), *rig = rig_new(cases[c].json);
        struct summing *sum = calloc(1, sizeof *sum);
        struct sink sink = {sum_event, sum};
        machine_watch(rig->machine, &sink);
        run_out(rig->machine, 1000);
        machine_watch(rig->machine, NULL);
        for (unsigned v = 0; v < rig->machine->n_vcpus; v++) {
            const struct tally *t = &rig->machine->vcpu[v].mmu->tally;
            for (unsigned s = 0; s < EVENT_SLOTS; s++)
                cr_assert_eq(sum->count[v][s], t->count[s], "%s: slot %u", cases[c].name, s);
            cr_expect_eq(sum->last[v], t->cycles);
            cr_expect_eq(priced(sum->count[v], t), t->cycles);
        }
        cr_expect_not(sum->backwards);
        expect_same(rig->machine, unseen->machine, cases[c].name, "watched, case", c);
        free(sum);
        rig_free(rig);
        rig_free(unseen);
    }
}
