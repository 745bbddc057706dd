/*
 * Exact results of whole machines: what caches of known sizes must give on patterns that can be
 * worked out by hand, and what the counters must add up to.
 */
#include "tests/sim/machines.h"

enum { PAGE = 4096 };

#define ENTRIES "64"

/* One L1 TLB of 64 entries, fully associative, and no other TLB. */
#define ALONE(policy)                                                                              \
    "\"machine\":{\"override\":{\"tlb\":{\"l1d\":{\"entries\":" ENTRIES ",\"ways\":0,"             \
    "\"replacement\":\"" policy "\"},\"l2\":{\"entries\":0}}}}"
#define RUN(machine, vm, pages, populate, workload)                                                \
    "{\"version\":1," machine ",\"vms\":[{\"memory\":\"1GiB\"," vm "\"processes\":[{\"map\":[{"    \
    "\"gva\":\"0x40000000\",\"size\":" pages ",\"populate\":\"" populate                           \
    "\"}],\"workload\":{" workload "}}]}]}"
#define CYCLE "\"generator\":\"sequential\",\"stride\":4096,\"accesses\":100000"

static struct rig *rig_done(const char *json)
{
    struct rig *rig = rig_new(json);
    run_out(rig->machine, 10007);
    cr_assert_eq(rig->machine->err.code, EXIT_OK, "%s", rig->machine->err.text);
    return rig;
}

static uint64_t data_hits(const struct rig *rig)
{
    return COUNT_OF(rig->machine, TLB_HIT, 1, TLB_L1D);
}

static uint64_t data_misses(const struct rig *rig)
{
    return COUNT_OF(rig->machine, TLB_MISS, 1, TLB_L1D);
}

Test(machine, a_cyclic_scan_of_one_page_more_than_an_lru_tlb_holds_never_hits)
{
    struct rig *rig = rig_done(RUN(ALONE("lru"), "", "266240", "start", CYCLE)); /* 65 pages */
    cr_expect_eq(data_hits(rig), 0);
    cr_expect_eq(data_misses(rig), 100000);
    rig_free(rig);
}

Test(machine, a_cyclic_scan_of_as_many_pages_as_a_tlb_holds_hits_after_the_first_round)
{
    struct rig *rig = rig_done(RUN(ALONE("lru"), "", "262144", "start", CYCLE)); /* 64 pages */
    cr_expect_eq(data_misses(rig), 64);
    cr_expect_eq(data_hits(rig), 100000 - 64);
    rig_free(rig);
}

/* Any page is as likely as any other, and E of N are held: E / N of the accesses hit. */
static void expect_share(const char *json, double expected)
{
    struct rig *rig = rig_done(json);
    double share = (double)data_hits(rig) / 1200000;
    cr_expect_eq(data_hits(rig) + data_misses(rig), 1200000);
    cr_expect(share > expected - 0.001 && share < expected + 0.001, "%.4f, not %.4f", share,
              expected);
    rig_free(rig);
}

#define UNIFORM "\"generator\":\"uniform\",\"writes\":0.3,\"accesses\":1200000"

Test(machine, uniform_accesses_hit_as_often_as_the_tlb_holds_a_share_of_the_pages)
{
    expect_share(RUN(ALONE("lru"), "", "\"1MiB\"", "start", UNIFORM), 64.0 / 256);
    expect_share(RUN(ALONE("fifo"), "", "\"2MiB\"", "start", UNIFORM), 64.0 / 512);
    expect_share(RUN(ALONE("random"), "", "\"640KiB\"", "start", UNIFORM), 64.0 / 160);
    expect_share(RUN(ALONE("tree-plru"), "", "\"8MiB\"", "start", UNIFORM), 64.0 / 2048);
}

/* ---- references of a sweep ---- */

static void expect_refs(const char *caches, const char *paging, uint64_t refs)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"override\":{\"tlb\":{\"l1d\":{\"entries\":1,\"ways\":1}"
             ",\"l2\":{\"entries\":0}},\"structure_caches\":{\"pdpte\":{\"entries\":0},\"pml4\":{"
             "\"entries\":0},\"pml5\":{\"entries\":0},\"pde\":%s}}},\"vms\":[{\"guest\":{"
             "\"paging\":\"%s\"},\"processes\":[{\"map\":[{\"gva\":\"0x40000000\",\"size\":"
             "\"2MiB\",\"populate\":\"start\"}],\"workload\":{\"generator\":\"sequential\","
             "\"stride\":4096,\"accesses\":512}}]}]}",
             caches, paging);
    struct rig *rig = rig_done(json);
    cr_expect_eq(total_of(rig->machine, EVENT_WALK), 512);
    cr_expect_eq(total_of(rig->machine, EVENT_REF), refs, "%s, %s: %lu references", paging, caches,
                 (unsigned long)total_of(rig->machine, EVENT_REF));
    cr_expect_eq(COUNT_OF(rig->machine, FAULT, 1, REFUSED_NOT_PRESENT), 0);
    rig_free(rig);
}

Test(machine, a_sweep_of_2_mib_costs_a_whole_walk_and_then_one_reference_each)
{
    static const char with[] = "{\"entries\":8,\"ways\":0}", without[] = "{\"entries\":0}";
    expect_refs(with, "4-level", 4 + 511);
    expect_refs(without, "4-level", 4 * 512);
    expect_refs(with, "5-level", 5 + 511);
    expect_refs(without, "5-level", 5 * 512);
    expect_refs(with, "pae", 2 + 511); /* the PDPTEs are in registers */
    expect_refs(without, "pae", 2 * 512);
    expect_refs(with, "2-level", 2 + 511);
    expect_refs(without, "2-level", 2 * 512);
}

/* ---- what adds up ---- */

#define MIXED                                                                                      \
    "\"generator\":\"zipf\",\"theta\":0.6,\"writes\":0.4,\"accesses\":60000,\"remap\":0.01,"       \
    "\"protect\":0.02"
#define PLAIN "\"machine\":{}"

static uint64_t tlb_total(const struct machine *m, unsigned kind_hit, enum tlb_name tlb)
{
    uint64_t sum = 0;
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        sum += kind_hit ? COUNT_OF(m, TLB_HIT, level, tlb) : COUNT_OF(m, TLB_MISS, level, tlb);
    return sum;
}

/*
 * Each translation asks the L1 once; what misses there asks the L2 once. A translation that misses
 * both ends in one walk that is not retried (granted, or refused for good); a walk that is none of
 * these is the one of a write through a clean entry.
 */
static void expect_sums(const char *json, bool faults)
{
    struct rig *rig = rig_done(json);
    const struct machine *m = rig->machine;
    uint64_t lookups = tlb_total(m, 1, TLB_L1D) + tlb_total(m, 0, TLB_L1D);
    uint64_t walks = total_of(m, EVENT_WALK), retried = total_of(m, EVENT_WALK_RETRIED);
    uint64_t dirty = total_of(m, EVENT_WALK_DIRTY), missed = tlb_total(m, 0, TLB_L2);
    cr_expect_eq(lookups, total_of(m, EVENT_ACCESS), "one lookup for each access, all in a page");
    cr_expect_eq(tlb_total(m, 1, TLB_L2) + missed, tlb_total(m, 0, TLB_L1D));
    cr_expect_eq(retried, total_of(m, EVENT_GUEST_FAULT));
    cr_expect_eq(retried, total_of(m, EVENT_FAULT));
    cr_expect_eq(retried > 0, faults);
    cr_expect_gt(dirty, 0);
    cr_expect_eq(walks - retried - dirty, missed, "%lu - %lu - %lu walks, %lu misses", walks,
                 retried, dirty, missed);
    rig_free(rig);
}

Test(machine, lookups_are_hits_and_misses_and_walks_are_misses_retries_and_dirty_walks)
{
    expect_sums(RUN(PLAIN, "", "\"16MiB\"", "start", UNIFORM), false);
    expect_sums(RUN(PLAIN, "", "\"16MiB\"", "touch", UNIFORM), true);
    expect_sums(RUN(PLAIN, "", "\"16MiB\"", "touch", MIXED), true);
    expect_sums(RUN("\"machine\":{\"profile\":\"zen3\"}", "\"guest\":{\"paging\":\"pae\"},",
                    "\"16MiB\"", "touch", UNIFORM),
                true);
}

/* A page's first touch faults and is repeated, and is one lookup all the same. */
Test(machine, demand_paging_counts_each_translation_once)
{
    struct rig *start = rig_done(RUN(ALONE("lru"), "", "\"4MiB\"", "start", CYCLE));
    struct rig *touch = rig_done(RUN(ALONE("lru"), "", "\"4MiB\"", "touch", CYCLE));
    cr_expect_eq(data_hits(touch), data_hits(start));
    cr_expect_eq(data_misses(touch), data_misses(start));
    cr_expect_eq(total_of(touch->machine, EVENT_WALK), total_of(start->machine, EVENT_WALK) + 1024);
    cr_expect_eq(total_of(touch->machine, EVENT_WALK_RETRIED), 1024);
    cr_expect_eq(total_of(touch->machine, EVENT_FAULT), 1024);
    cr_expect_eq(total_of(start->machine, EVENT_FAULT), 0);
    rig_free(start);
    rig_free(touch);
}

/* ---- vCPUs and processes ---- */

#define PROCESS(gva, workload)                                                                     \
    "{\"map\":[{\"gva\":\"" gva "\",\"size\":\"1MiB\"}],\"workload\":{" workload "}}"
#define SOME "\"generator\":\"uniform\",\"writes\":0.5,\"accesses\":3000"

struct order {
    cycles_t before[2];
    bool wrong;
    uint64_t accesses[2];
};

/* An access belongs to the vCPU that had the lower clock when it began. */
static void look_at_order(void *self, const struct event *e)
{
    struct order *o = self;
    if (e->kind == EVENT_ACCESS) {
        o->accesses[e->vcpu]++;
        if (o->accesses[0] < 3000 && o->accesses[1] < 3000)
            o->wrong |= o->before[e->vcpu] > o->before[1 - e->vcpu];
    }
    o->before[e->vcpu] = e->time;
}

Test(machine, two_vcpus_run_in_the_order_of_their_clocks)
{
    struct rig *rig = rig_new("{\"version\":1,\"vms\":[{\"vcpus\":2,\"processes\":[" PROCESS(
        "0x400000", SOME) "," PROCESS("0x800000", SOME) "]}]}");
    struct order order = {.wrong = false};
    struct sink sink = {look_at_order, &order};
    for (unsigned v = 0; v < 2; v++)
        order.before[v] = rig->machine->vcpu[v].mmu->tally.cycles;
    machine_watch(rig->machine, &sink);
    run_out(rig->machine, 100);
    cr_expect_not(order.wrong);
    cr_expect_eq(order.accesses[0], 3000);
    cr_expect_eq(order.accesses[1], 3000);
    rig_free(rig);
}

Test(machine, more_vcpus_than_processes_leave_some_idle)
{
    struct rig *rig = rig_done(
        "{\"version\":1,\"vms\":[{\"vcpus\":3,\"processes\":[" PROCESS("0x400000", SOME) "]}]}");
    cr_expect_eq(rig->machine->accesses, 3000);
    cr_expect_eq(rig->machine->vcpu[1].mmu->tally.cycles, 0);
    rig_free(rig);
}

/* Two processes of 3000 accesses, 100 at a time: 60 turns, 59 switches, a MOV to CR3 for each. */
Test(machine, a_quantum_switches_processes_by_mov_to_cr3)
{
    struct rig *rig = rig_done("{\"version\":1,\"vms\":[{\"quantum\":100,\"processes\":[" PROCESS(
        "0x400000", SOME) "," PROCESS("0x400000", SOME) "]}]}");
    cr_expect_eq(total_of(rig->machine, EVENT_SWITCH), 59);
    cr_expect_eq(total_of(rig->machine, EVENT_MOV_CR3), 59);
    rig_free(rig);
    rig = rig_done("{\"version\":1,\"vms\":[{\"processes\":[" PROCESS("0x400000", SOME) "," PROCESS(
        "0x400000", SOME) "]}]}");
    cr_expect_eq(total_of(rig->machine, EVENT_SWITCH), 1);
    cr_expect_eq(total_of(rig->machine, EVENT_MOV_CR3), 1);
    rig_free(rig);
}

/* ---- the same again ---- */

#define SEEDED(seed)                                                                               \
    "{\"version\":1,\"seed\":" seed ",\"vms\":[{\"processes\":[" PROCESS("0x400000", MIXED) "]}]}"

Test(machine, the_same_scenario_gives_the_same_state_and_another_seed_another)
{
    struct rig *one = rig_done(SEEDED("3")), *two = rig_done(SEEDED("3")),
               *other = rig_done(SEEDED("4"));
    const char *what = state_difference(one->machine, two->machine);
    cr_expect(what == NULL, "%s", what);
    cr_expect(state_difference(one->machine, other->machine) != NULL);
    rig_free(one);
    rig_free(two);
    rig_free(other);
}

#define PREFAULTED                                                                                 \
    "{\"map\":[{\"gva\":\"0x400000\",\"size\":\"64KiB\"}],\"workload\":{\"generator\":"            \
    "\"sequential\",\"stride\":4096,\"accesses\":100}}"

/* Every page of two processes on two vCPUs, in each mode that runs. */
static void prefault_all(enum mode mode)
{
    char json[600];
    snprintf(json, sizeof json,
             "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"vcpus\":2,\"memory\":\"64MiB\","
             "\"processes\":[" PREFAULTED "," PREFAULTED "]}]}",
             mode_name(mode));
    struct rig *rig = rig_new(json);
    struct machine *m = rig->machine;
    struct tally sum;
    for (unsigned i = 0; i < 32; i++)
        cr_assert(machine_prefault(m, 0, i % 2, 0, 0x400000 + i / 2 * 4096), "%s", m->err.text);
    cr_expect(machine_begin(m));
    cr_expect_eq(machine_clock(m), 0, "%s: setting up took time", mode_name(mode));
    cr_expect_eq(m->accesses, 0);
    run_out(m, 1000);
    machine_tally(m, 0, &sum);
    cr_expect_eq(m->accesses, 200, "%s", mode_name(mode));
    cr_expect_eq(tally_total(&sum, EVENT_FAULT), 0, "%s", mode_name(mode));
    cr_expect_eq(tally_total(&sum, EVENT_EXIT), 0, "%s", mode_name(mode));
    cr_expect_eq(tally_total(&sum, EVENT_WORK), 0, "%s", mode_name(mode));
    rig_free(rig);
}

Test(machine, what_is_prefaulted_neither_faults_nor_exits_nor_is_counted)
{
    for (enum mode mode = 0; mode < MODES; mode++)
        if (machine_runs(mode))
            prefault_all(mode);
}
