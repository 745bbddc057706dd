/*
 * The guest OS edits tables, and moves pages, only through its port: what a port has recorded makes
 * the same memory anew.
 */
#include "tests/sim/guests.h"

enum { PAGE = 4096, RIGHTS = RIGHT_READ | RIGHT_WRITE | RIGHT_USER };

static const gva_t base = 0x7fff00000; /* pages on both sides of a 2 MiB, and of a 1 GiB, border */

/* ---- a guest OS on a recording port ---- */

/* A program writes a word: the MMU sets A and D, the word appears in its page. */
static void program_writes(struct lone *l, unsigned process, gva_t gva, uint64_t value)
{
    struct guest *g = &l->guest;
    struct recorder *r = &l->recorder;
    gpa_t page = 0, at = 0;
    for (unsigned i = 0; i < 3 && !at; i++) {
        at = g->processes[process].has_root
                 ? leaf_entry(&r->mem, g->processes[process].root, gva, &page)
                 : 0;
        if (at && mem_load(&r->mem, at, 8) & 2)
            break;
        at = 0;
        if (guest_fault(g, &l->port, process, gva, KIND_WRITE | KIND_USER) != ANSWER_RETRY)
            return;
    }
    cr_assert(at != 0);
    record_change(r, (struct change){CHANGE_PROGRAM, at, mem_load(&r->mem, at, 8) | 0x60, 8, 0});
    record_change(r, (struct change){CHANGE_PROGRAM, page, value, 8, 0});
    if (g->reclaim.policy)
        guest_touch(g, page, value % 1000);
}

static void one_act(struct lone *l, struct rng *rng, bool large)
{
    struct guest *g = &l->guest;
    unsigned process = (unsigned)rng_below(rng, 3);
    gva_t gva = base + rng_below(rng, 1024) * PAGE;
    uint64_t pages = 1 + rng_below(rng, rng_below(rng, 8) ? 8 : 600), act = rng_below(rng, 1000);
    uint64_t length = (1 + rng_below(rng, 900)) * PAGE;
    struct map_config map = {gva, length, large && act & 1 ? 2 : 1, RIGHTS, false};
    if (act < 900)
        program_writes(l, process, gva, rng_next(rng));
    else if (act < 930)
        cr_assert(guest_map(g, &l->port, process, &map));
    else if (act < 945)
        cr_assert(guest_unmap(g, &l->port, process, gva, pages * PAGE));
    else if (act < 995)
        cr_assert(guest_protect(g, &l->port, process, gva, pages * PAGE,
                                act & 1 ? RIGHTS : RIGHTS & ~RIGHT_WRITE));
    else if (act < 998)
        cr_assert(guest_exit(g, &l->port, process));
    else
        cr_assert(guest_exit(g, &l->port, process) && guest_fork(g, (process + 1) % 3, process));
}

static void expect_replay(const struct recorder *r)
{
    struct mem mem, disk;
    uint64_t kinds[5] = {0};
    cr_assert(mem_init(&mem, r->mem.bytes) && mem_init(&disk, r->disk.bytes));
    for (size_t i = 0; i < r->n; i++) {
        make_change(&mem, &disk, &r->list[i]);
        kinds[r->list[i].kind]++;
    }
    cr_expect(same_memory(&mem, &r->mem));
    cr_expect(same_memory(&disk, &r->disk));
    cr_expect_gt(kinds[CHANGE_STORE], 1000);
    cr_expect_gt(kinds[CHANGE_ZERO], 100);
    mem_fini(&mem);
    mem_fini(&disk);
}

static const enum reclaim_policy policies[] = {RECLAIM_NONE, RECLAIM_FIFO, RECLAIM_LRU,
                                               RECLAIM_CLOCK, RECLAIM_OPT};

Test(port, what_it_recorded_makes_the_same_memory_anew)
{
    for (unsigned p = 0; p < 2 * sizeof policies / sizeof *policies; p++) {
        struct rng rng = {p};
        struct vm_config config = {.memory = 512 << 20,
                                   .vcpus = 1,
                                   .paging = PAGING_4_LEVEL,
                                   .reclaim = policies[p / 2],
                                   .reclaim_frames = 40,
                                   .huge_pages = p == 1};
        struct lone *l = lone_new(&config, 3);
        for (unsigned i = 0; i < 6000; i++)
            one_act(l, &rng, p < 2);
        expect_replay(&l->recorder);
        cr_expect_eq(l->recorder.told[EVENT_PAGE_OUT] > 0, p >= 2);
        cr_expect_eq(l->recorder.told[EVENT_PAGE_IN] > 0, p >= 2);
        lone_free(l);
    }
}

/* A data page is never the target of a store with a level, nor a table of one without. */
Test(port, stores_say_the_level_of_the_table_that_they_change)
{
    struct vm_config config = {.memory = 64 << 20, .vcpus = 1, .paging = PAGING_4_LEVEL};
    struct lone *l = lone_new(&config, 1);
    struct map_config map = {base, 16 * PAGE, 1, RIGHTS, false};
    cr_assert(guest_map(&l->guest, &l->port, 0, &map));
    program_writes(l, 0, base, 1);
    unsigned level = 4; /* PGD, PUD, PMD entry, and the PTE; a zeroed page */
    for (size_t i = 0; i < l->recorder.n; i++)
        if (l->recorder.list[i].kind == CHANGE_STORE)
            cr_expect_eq(l->recorder.list[i].level, level--);
    cr_expect_eq(level, 0);
    lone_free(l);
}

/* ---- a whole machine, by its log ---- */

struct rebuilding {
    struct mem exact, stores; /* with, and without, what the MMU sets */
    unsigned entry_bytes;
    uint64_t seen[EVENT_KINDS];
};

static void rebuild(void *self, const struct event *e)
{
    struct rebuilding *r = self;
    r->seen[e->kind]++;
    if (e->kind == EVENT_GUEST_STORE)
        mem_store(&r->stores, e->address, e->value, r->entry_bytes);
    if (e->kind == EVENT_GUEST_STORE || e->kind == EVENT_SET_ACCESSED || e->kind == EVENT_SET_DIRTY)
        mem_store(&r->exact, e->address, e->value, r->entry_bytes);
}

#define MACHINE(vm, guest, gva)                                                                    \
    "{\"version\":1,\"machine\":{\"memory\":\"128MiB\"},\"vms\":[{\"memory\":\"128MiB\"," vm       \
    "\"guest\":{" guest "},\"processes\":[{\"map\":[{\"gva\":\"" gva "\",\"size\":\"8MiB\"}],"     \
    "\"workload\":{\"generator\":\"zipf\",\"accesses\":20000,\"writes\":0.4,\"remap\":0.02,"       \
    "\"protect\":0.03}},{\"map\":[{\"gva\":\"" gva "\",\"size\":\"1MiB\",\"populate\":\"start\"}"  \
    "],\"workload\":{\"generator\":\"uniform\",\"accesses\":9000,\"writes\":0.5,\"protect\":"      \
    "0.1}}]}]}"
#define FRAMES(policy) ",\"reclaim\":{\"policy\":\"" policy "\",\"frames\":300}"

static void expect_rebuilt(const char *json)
{
    struct rig *rig = rig_new(json);
    struct machine *m = rig->machine;
    struct rebuilding r = {.entry_bytes = m->vm[0].guest.tables.format.entry_bytes};
    struct sink sink = {rebuild, &r};
    cr_assert(mem_clone(&r.exact, &m->mem) && mem_clone(&r.stores, &m->mem));
    machine_watch(m, &sink);
    run_out(m, 777);
    cr_assert_eq(m->err.code, EXIT_OK, "%s", m->err.text);
    cr_expect(same_memory(&r.exact, &m->mem));
    cr_expect(same_memory_but(&r.stores, &m->mem, UINT64_C(0x6000000060)));
    cr_expect_gt(r.seen[EVENT_GUEST_STORE], 1000);
    cr_expect_gt(r.seen[EVENT_SET_DIRTY], 100);
    mem_fini(&r.exact);
    mem_fini(&r.stores);
    rig_free(rig);
}

Test(port, a_machines_memory_is_the_stores_of_its_guest_and_the_bits_that_its_mmu_sets)
{
    expect_rebuilt(MACHINE("", "\"paging\":\"4-level\"", "0x7fff00000"));
    expect_rebuilt(
        MACHINE("\"quantum\":50,", "\"paging\":\"5-level\",\"huge_pages\":true", "0x7fff00000"));
    expect_rebuilt(MACHINE("", "\"paging\":\"2-level\"", "0x7ff00000"));
    expect_rebuilt(MACHINE("\"quantum\":50,", "\"paging\":\"pae\"", "0x7ff00000"));
    expect_rebuilt(MACHINE("", "\"paging\":\"4-level\"" FRAMES("fifo"), "0x7fff00000"));
    expect_rebuilt(MACHINE("\"quantum\":50,", "\"paging\":\"4-level\"" FRAMES("lru"), "0x400000"));
    expect_rebuilt(
        MACHINE("\"quantum\":50,", "\"paging\":\"4-level\"" FRAMES("clock"), "0x400000"));
    expect_rebuilt(MACHINE("\"quantum\":50,", "\"paging\":\"pae\"" FRAMES("opt"), "0x400000"));
}
