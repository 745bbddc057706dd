/*
 * What a hypervisor does to its mappings of a VM's memory of its own accord: the guest doesn't
 * notice, and how often its next touches exit can be counted by hand. Counts of nested and of KVM's
 * shadow paging are those that KVM's statistics show (pf_taken).
 *
 * That random programs are not disturbed: same_program.c, same_program_raw.c, shadow_random.c, in
 * which hypervisors make moves between the steps.
 */
#include "tests/sim/worlds.h"

#include "sim/hypervisor/shadow.h"

enum { NATIVE, NESTED, THREE_STAGE, COLLAPSED, KVM, TRACE, VTLB, AGILE, DIRECT };
enum { PAGES = 100, ROOT = 0x10000, PT = ROOT + 0x3000, DATA = 0x100000, MEMORY = 16 * MIB };

static const gva_t BASE = 0x40000000;

/* ---- a raw guest: four tables, and pages in a row ---- */

/* Page i is the frame of number i + @shift after DATA; A is set, and D. */
static struct world raw_like(const struct manner *manner, unsigned shift)
{
    static uint64_t tables[4][FRAME_BYTES / 8];
    struct world w = {.config = {.profile = profile_named("textbook"), .cpus = 1, .n_vms = 1}};
    w.vm = (struct vm_config){.name = "vm",
                              .vcpus = 1,
                              .paging = PAGING_4_LEVEL,
                              .memory = MEMORY,
                              .page_share = {0, 1000, 0, 0},
                              .shadow.prefetch = 8,
                              .agile = {.shadow_levels = 2},
                              .raw = true,
                              .n_images = 1};
    w.vm.registers = (struct registers){
        .cr0 = CR0_PE | CR0_WP | CR0_PG, .cr3 = ROOT, .cr4 = CR4_PAE, .efer = EFER_LME | EFER_NXE};
    tables[0][0] = (ROOT + 0x1000) | 0x27;
    tables[1][1] = (ROOT + 0x2000) | 0x27;
    tables[2][0] = PT | 0x27;
    for (unsigned i = 0; i < PAGES; i++)
        tables[3][i] = (DATA + (i + shift) * FRAME_BYTES) | 0x67;
    w.image[0] = (struct image_config){ROOT, (const uint8_t *)tables, sizeof tables};
    w.config.memory = MEMORY;
    world_set_manner(&w, manner);
    return w;
}

static struct world *raw_world(unsigned manner)
{
    const struct world like = raw_like(&manners[manner], 0);
    return world_new(&like);
}

static struct outcome tell(struct world *w, struct script_item item)
{
    struct outcome o;
    machine_do(w->machine, &item, &o);
    cr_assert_eq(o.kind, OUTCOME_OK, "%s", o.words ? o.words : "refused");
    return o;
}

static uint64_t reach(struct world *w, enum op op, unsigned page, uint64_t value)
{
    const struct access access = {
        .gva = BASE + page * FRAME_BYTES, .size = 8, .op = (uint8_t)op, .flags = ACCESS_USER};
    return tell(w, (struct script_item){.verb = VERB_access,
                                        .access = access,
                                        .has_value = op == OP_WRITE,
                                        .value = value})
        .value;
}

static void write_each(struct world *w)
{
    for (unsigned i = 0; i < PAGES; i++)
        reach(w, OP_WRITE, i, 1000 + i);
}

static void read_each(struct world *w)
{
    for (unsigned i = 0; i < PAGES; i++)
        cr_expect_eq(reach(w, OP_READ, i, 0), 1000 + i, "the contents of page %u", i);
}

static void move(struct world *w, enum verb verb, gpa_t gpa, uint64_t length)
{
    tell(w, (struct script_item){.verb = verb, .gpa = gpa, .length = length});
}

/* ---- what it cost ---- */

struct count {
    uint64_t exits, work[WORK_COUNT];
};

static struct count count(const struct world *w)
{
    struct count c = {.exits = total_of(w->machine, EVENT_EXIT)};
    for (unsigned depth = 0; depth < STAGES_MAX; depth++)
        for (unsigned level = 0; level <= LEVELS_MAX; level++)
            for (unsigned work = 0; work < WORK_COUNT; work++)
                c.work[work] += slot_of(w->machine, SLOT(WORK, depth, level, work));
    return c;
}

static struct count since(const struct world *w, const struct count *before)
{
    struct count c = count(w);
    c.exits -= before->exits;
    for (unsigned work = 0; work < WORK_COUNT; work++)
        c.work[work] -= before->work[work];
    return c;
}

/* All pages written, then @verb on @bytes from @gpa on. */
static struct world *moved(unsigned manner, enum verb verb, gpa_t gpa, uint64_t bytes)
{
    struct world *w = raw_world(manner);
    write_each(w);
    move(w, verb, gpa, bytes);
    return w;
}

enum { ALL_DATA = PAGES * FRAME_BYTES, ALL_TABLES = 4 * FRAME_BYTES };

/* ---- drop ---- */

/* KVM: 100 pages dropped and read again are pf_taken 100 in nested mode; a read brings the frames
 * of its 64 KiB along. */
Test(moves, dropped_frames_refault_one_by_one_in_nested_mode)
{
    struct world *w = moved(NESTED, VERB_drop, DATA, ALL_DATA);
    struct count before = count(w);
    cr_expect_eq(before.work[WORK_drop], PAGES);
    read_each(w);
    struct count c = since(w, &before);
    cr_expect_eq(c.exits, PAGES);
    cr_expect_eq(c.work[WORK_map], PAGES);
    cr_expect_eq(c.work[WORK_back], (PAGES + 15) / 16);
    before = count(w);
    read_each(w);
    cr_expect_eq(since(w, &before).exits, 0);
    world_free(w);
}

/* Three stages: L1's are the mappings that go. Collapsed: as the first touch, section 17. */
Test(moves, a_hypervisor_in_a_vm_pays_for_its_drops_as_for_first_touches)
{
    static const unsigned which[] = {THREE_STAGE, COLLAPSED}, each[] = {1, 3};
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = moved(which[i], VERB_drop, DATA, ALL_DATA);
        struct count before = count(w);
        for (unsigned page = 0; page < PAGES; page += 16)
            cr_expect_eq(reach(w, OP_READ, page, 0), 1000 + page);
        cr_expect_eq(since(w, &before).exits, each[i] * ((PAGES + 15) / 16));
        world_free(w);
    }
}

/*
 * KVM: pf_taken 13, as eight aligned entries with A set are filled at once, and the frames behind
 * them have come back with the first. Who fills no entry ahead has a fault for each.
 */
Test(moves, dropped_frames_refault_by_eights_on_shadow_tables_as_kvm_s)
{
    static const unsigned expected[] = {[KVM] = 13, [TRACE] = PAGES, [VTLB] = PAGES};
    for (unsigned i = KVM; i <= VTLB; i++) {
        struct world *w = moved(i, VERB_drop, DATA, ALL_DATA);
        struct count before = count(w);
        read_each(w);
        cr_expect_eq(since(w, &before).exits, expected[i], "%s", manners[i].name);
        world_free(w);
    }
}

/* A write brings its own frame alone, so that the next entry has none to be filled with. */
Test(moves, what_is_written_after_a_drop_comes_back_one_by_one)
{
    struct world *w = moved(KVM, VERB_drop, DATA, ALL_DATA);
    struct count before = count(w);
    write_each(w);
    struct count c = since(w, &before);
    cr_expect_eq(c.exits, PAGES);
    cr_expect_eq(c.work[WORK_back], PAGES);
    world_free(w);
}

/*
 * Page i is frame i + 4. Entries 0 to 7 lead to frames 4 to 11, all of the first 64 KiB; 8 to 15 to
 * frames 12 to 19, in two of them; and so on by turns: 12 eights, half with one fault and half with
 * two, and the last four pages with one.
 */
Test(moves, entries_are_filled_ahead_only_where_the_frame_has_come_back)
{
    const struct world like = raw_like(&manners[KVM], 4);
    struct world *w = world_new(&like);
    write_each(w);
    move(w, VERB_drop, DATA, ALL_DATA + 4 * FRAME_BYTES);
    struct count before = count(w);
    read_each(w);
    cr_expect_eq(since(w, &before).exits, 6 * 1 + 6 * 2 + 1);
    world_free(w);
}

/* What exits, in order. */
struct seen {
    unsigned n;
    gpa_t at[16];
};

static void see(void *self, const struct event *e)
{
    struct seen *seen = self;
    if (e->kind == EVENT_WORK && e->detail == WORK_back && seen->n < 16)
        seen->at[seen->n++] = e->address;
}

/* A table's frame is touched by the walk, in the order in which it comes there; the second stage
 * takes that for a write, so that each comes back alone. On shadow tables nobody walks them. */
Test(moves, dropped_tables_refault_as_the_walk_comes_to_them)
{
    struct world *w = moved(NESTED, VERB_drop, ROOT, ALL_TABLES);
    struct seen seen = {0};
    const struct sink sink = {see, &seen};
    struct count before = count(w);
    machine_watch(w->machine, &sink);
    reach(w, OP_READ, 5, 0);
    cr_expect_eq(since(w, &before).exits, 4);
    cr_assert_eq(seen.n, 4);
    for (unsigned i = 0; i < 4; i++)
        cr_expect_eq(seen.at[i] >> FRAME_SHIFT, (ROOT >> FRAME_SHIFT) + i);
    world_free(w);
    w = moved(KVM, VERB_drop, ROOT, ALL_TABLES);
    before = count(w);
    read_each(w);
    cr_expect_eq(since(w, &before).exits, 0);
    world_free(w);
}

/* Of tables and data, each frame once after each time that all were dropped. */
Test(moves, violations_are_as_many_as_frames_touched_since_they_were_dropped)
{
    struct world *w = raw_world(NESTED);
    struct rng rng = {3};
    bool touched[PAGES] = {false}, tables = false;
    uint64_t expected = 0;
    for (unsigned n = 0; n < 400; n++) {
        unsigned page = (unsigned)rng_below(&rng, PAGES);
        if (chance(&rng, 5)) {
            move(w, VERB_drop, 0, MEMORY);
            memset(touched, 0, sizeof touched);
            tables = false;
        }
        reach(w, chance(&rng, 50) ? OP_READ : OP_WRITE, page, n);
        expected += (tables ? 0u : 4u) + !touched[page];
        touched[page] = tables = true;
        cr_assert_eq(count(w).exits, expected, "after %u accesses", n);
    }
    world_free(w);
}

/* ---- write_protect ---- */

/* The violation's qualification: a write; R and X are granted, W is not. SDM vol. 3, table 27-7. */
static void see_qualification(void *self, const struct event *e)
{
    unsigned *wrong = self;
    if (e->kind == EVENT_EXIT)
        *wrong += (e->value & 0x3f) != (1u << 1 | 1u << 3 | 1u << 5);
}

static void expect_first_writes_exit(unsigned manner)
{
    struct world *w = moved(manner, VERB_write_protect, DATA, ALL_DATA);
    unsigned wrong = 0;
    const struct sink sink = {see_qualification, &wrong};
    struct count before = count(w);
    cr_expect_eq(before.work[WORK_protect], PAGES);
    read_each(w);
    cr_expect_eq(since(w, &before).exits, 0, "%s: reads", manners[manner].name);
    machine_watch(w->machine, &sink);
    write_each(w);
    machine_watch(w->machine, NULL);
    struct count c = since(w, &before);
    cr_expect_eq(c.exits, PAGES, "%s: first writes", manners[manner].name);
    cr_expect_eq(c.work[WORK_unprotect], PAGES);
    cr_expect(manner != NESTED || !wrong);
    write_each(w);
    cr_expect_eq(since(w, &before).exits, PAGES, "%s: more writes", manners[manner].name);
    read_each(w);
    world_free(w);
}

Test(moves, the_first_write_to_each_protected_frame_exits)
{
    static const unsigned which[] = {NESTED, THREE_STAGE, KVM, TRACE, VTLB};
    for (unsigned i = 0; i < sizeof which / sizeof *which; i++)
        expect_first_writes_exit(which[i]);
}

/* L0 collapses anew what L1 has protected, is refused, asks L1, which enters its guest; and once
 * more for the collapsed entry. */
Test(moves, the_first_write_to_a_protected_frame_exits_thrice_where_two_stages_are_collapsed)
{
    struct world *w = moved(COLLAPSED, VERB_write_protect, DATA, ALL_DATA);
    struct count before = count(w);
    read_each(w);
    cr_expect_eq(since(w, &before).exits, PAGES);
    before = count(w);
    write_each(w);
    cr_expect_eq(since(w, &before).exits, 3 * PAGES);
    before = count(w);
    write_each(w);
    cr_expect_eq(since(w, &before).exits, 0);
    world_free(w);
}

static uint64_t exits_with_protected_tables(unsigned manner, enum second_stage kind, bool no_flags)
{
    struct world like = raw_like(&manners[manner], 0);
    like.vm.second_stage = kind;
    like.vm.no_accessed_dirty = no_flags;
    struct world *w = world_new(&like);
    write_each(w);
    move(w, VERB_write_protect, ROOT, ALL_TABLES);
    struct count before = count(w);
    reach(w, OP_READ, 5, 0);
    struct count c = since(w, &before);
    world_free(w);
    return c.exits;
}

/*
 * KVM: every level of the next walk, even where A was set before. The read of a table entry counts
 * as a write in EPT with A and D, and in NPT (SDM vol. 3, 28.2.4; APM vol. 2, 15.25.5).
 */
Test(moves, a_walk_writes_to_protected_tables_where_the_second_stage_says_so)
{
    cr_expect_eq(exits_with_protected_tables(NESTED, SECOND_EPT4, false), 4);
    cr_expect_eq(exits_with_protected_tables(NESTED, SECOND_NPT4, false), 4);
    cr_expect_eq(exits_with_protected_tables(NESTED, SECOND_EPT4, true), 0);
    cr_expect_eq(exits_with_protected_tables(KVM, SECOND_EPT4, false), 0);
}

/* On shadow tables the hypervisor itself sets A and D: KVM's kernel faults then, and the guest has
 * no exit but that which has D set. */
Test(moves, a_hypervisor_that_sets_d_in_a_protected_table_unprotects_it_silently)
{
    struct world *w = raw_world(KVM);
    reach(w, OP_READ, 5, 0);
    tell(w, (struct script_item){
                .verb = VERB_store, .gpa = PT + 8 * 5, .value = (DATA + 0x5000) | 0x27, .size = 8});
    tell(w, (struct script_item){.verb = VERB_mov_cr3, .value = ROOT});
    move(w, VERB_write_protect, ROOT, ALL_TABLES);
    struct count before = count(w);
    reach(w, OP_WRITE, 5, 7);
    struct count c = since(w, &before);
    cr_expect_eq(c.exits, 1);
    cr_expect_eq(c.work[WORK_unprotect], 1);
    world_free(w);
}

/* A frame that is read comes back as it was, protected; and alone, as Linux maps nothing around a
 * page that is write-protected. */
Test(moves, a_protected_frame_that_is_dropped_stays_protected)
{
    static const unsigned which[] = {NESTED, KVM};
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = moved(which[i], VERB_write_protect, DATA, ALL_DATA);
        move(w, VERB_drop, DATA, ALL_DATA);
        struct count before = count(w);
        read_each(w);
        struct count c = since(w, &before);
        cr_expect_eq(c.exits, PAGES);
        cr_expect_eq(c.work[WORK_back], PAGES);
        write_each(w);
        c = since(w, &before);
        cr_expect_eq(c.exits, 2 * PAGES);
        cr_expect_eq(c.work[WORK_unprotect], PAGES);
        world_free(w);
    }
}

/* ---- large pages ---- */

static struct world *large_world(unsigned manner, unsigned level, uint64_t memory)
{
    struct world like = raw_like(&manners[manner], 0);
    like.vm.memory = memory;
    like.vm.page_share[1] = 0;
    like.vm.page_share[level] = 1000;
    like.config.memory = memory + 3 * ((uint64_t)1 << 30);
    return world_new(&like);
}

/* Tables and data are in the first 2 MiB: one violation maps all of them, until one is dropped. */
Test(moves, the_mapping_of_a_large_page_goes_whole_and_comes_back_by_frames)
{
    static const enum verb verbs[] = {VERB_drop, VERB_write_protect};
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = large_world(NESTED, 2, MEMORY);
        write_each(w);
        cr_expect_eq(count(w).exits, 1);
        move(w, verbs[i], 0x80000, FRAME_BYTES);
        cr_expect_eq(count(w).work[WORK_split], 1);
        struct count before = count(w);
        read_each(w);
        cr_expect_eq(since(w, &before).exits, 4 + PAGES);
        cr_expect_eq(since(w, &before).work[WORK_back], 0, "they were not dropped");
        world_free(w);
    }
}

/* A frame of a 1 GiB page leaves pages of 2 MiB around its own 2 MiB. */
Test(moves, a_page_of_1_gib_is_split_where_the_frame_is)
{
    struct world *w = large_world(NESTED, 3, (uint64_t)1 << 30);
    write_each(w);
    cr_expect_eq(count(w).exits, 1);
    move(w, VERB_drop, 64 * MIB, FRAME_BYTES);
    struct count before = count(w);
    cr_expect_eq(before.work[WORK_split], 2);
    read_each(w);
    cr_expect_eq(since(w, &before).exits, 1, "the first 2 MiB are one page");
    world_free(w);
}

/* ---- all modes ---- */

/* What a processor has cached of a frame, on whatever way, is not used any more. */
Test(moves, nothing_cached_survives_a_drop_of_everything)
{
    for (unsigned i = NESTED; i <= AGILE; i++) {
        struct world *w = raw_world(i);
        struct rng rng = {i};
        for (unsigned n = 0; n < 200; n++) {
            unsigned page = (unsigned)rng_below(&rng, PAGES);
            reach(w, OP_WRITE, page, n);
            move(w, VERB_drop, 0, MEMORY);
            struct count before = count(w);
            cr_expect_eq(reach(w, OP_READ, page, 0), n);
            cr_assert_gt(since(w, &before).exits, 0, "%s", manners[i].name);
            move(w, VERB_write_protect, 0, MEMORY);
            before = count(w);
            reach(w, OP_WRITE, page, n);
            cr_assert_gt(since(w, &before).exits, 0, "%s", manners[i].name);
            before = count(w);
            reach(w, OP_WRITE, page, n);
            cr_assert_eq(since(w, &before).exits, 0, "%s: settled", manners[i].name);
        }
        world_free(w);
    }
}

/* Processes run on vCPUs in turn; the move is of the VM. */
Test(moves, all_vcpus_of_the_vm_forget)
{
    for (unsigned i = NESTED; i <= AGILE; i++) {
        struct world like = raw_like(&manners[i], 0);
        like.vm.raw = false;
        like.vm.n_images = 0;
        like.vm.vcpus = like.config.cpus = 2;
        like.vm.n_processes = 2;
        for (unsigned p = 0; p < 2; p++) {
            like.process[p] = (struct process_config){.name = "program", .n_maps = 1};
            like.map[p][0] = (struct map_config){
                .gva = BASE, .size = FRAME_BYTES, .level = 1, .rights = 15, .populate = true};
        }
        struct world *w = world_new(&like);
        const struct access access = {.gva = BASE, .size = 8, .op = OP_READ, .flags = ACCESS_USER};
        for (unsigned round = 0; round < 3; round++)
            for (unsigned p = 0; p < 2; p++) {
                struct script_item item = {.verb = VERB_access, .process = p, .access = access};
                tell(w, item);
                move(w, VERB_drop, 0, MEMORY);
                struct count before = count(w);
                tell(w, item);
                cr_expect_gt(since(w, &before).exits, 0, "%s: vCPU %u", manners[i].name, p);
            }
        world_free(w);
    }
}

/* A store of the guest OS, by its own mapping, which is not there either. */
Test(moves, a_store_of_the_guest_os_exits_as_a_write_does)
{
    static const unsigned which[] = {NESTED, KVM};
    static const enum verb verbs[] = {VERB_drop, VERB_write_protect};
    for (unsigned i = 0; i < 4; i++) {
        struct world *w = moved(which[i / 2], verbs[i % 2], DATA, ALL_DATA);
        struct count before = count(w);
        for (unsigned n = 0; n < 2; n++)
            tell(w,
                 (struct script_item){.verb = VERB_store, .gpa = DATA + 8, .value = 99, .size = 8});
        cr_expect_eq(since(w, &before).exits, 1);
        cr_expect_eq(reach(w, OP_READ, 0, 0), 1000, "what was beside it");
        world_free(w);
    }
}

/* KVM brings the frame back and emulates the write, or lets it through, in one exit. */
Test(moves, a_store_into_a_watched_table_that_was_dropped_exits_once)
{
    for (unsigned i = KVM; i <= TRACE; i++) {
        struct world *w = moved(i, VERB_drop, ROOT, ALL_TABLES);
        struct count before = count(w);
        tell(w, (struct script_item){
                    .verb = VERB_store, .gpa = PT + 8 * PAGES, .value = 0, .size = 8});
        struct count c = since(w, &before);
        cr_expect_eq(c.exits, 1, "%s", manners[i].name);
        cr_expect_eq(c.work[WORK_back], 1);
        world_free(w);
    }
}

/* Frames that the VM never had, or that are moved already, are left alone. */
Test(moves, a_move_does_nothing_twice)
{
    static const enum verb verbs[] = {VERB_drop, VERB_write_protect};
    for (unsigned i = NESTED; i <= AGILE; i++)
        for (unsigned v = 0; v < 2; v++) {
            struct world *w = moved(i, verbs[v], 0, MEMORY);
            struct count before = count(w);
            const enum work work = v ? WORK_protect : WORK_drop;
            cr_expect_leq(before.work[work], PAGES + 4, "%s", manners[i].name);
            move(w, verbs[v], 0, MEMORY);
            cr_expect_leq(since(w, &before).work[work], 1, "%s: a root", manners[i].name);
            world_free(w);
        }
}

Test(moves, who_has_no_mappings_of_its_own_says_so)
{
    struct outcome o;
    const struct script_item drop = {.verb = VERB_drop, .gpa = 0, .length = FRAME_BYTES};
    struct world like = raw_like(&manners[DIRECT], 0);
    like.vm.raw = false;
    like.vm.n_images = 0;
    struct world *direct = world_new(&like), *native = raw_world(NATIVE);
    machine_do(native->machine, &drop, &o);
    cr_expect_eq(o.kind, OUTCOME_STOP);
    machine_do(direct->machine, &drop, &o);
    cr_expect_eq(o.kind, OUTCOME_STOP);
    cr_expect_str_eq(o.words, "drop, write_protect: no hypervisor maps this VM's memory");
    world_free(native);
    world_free(direct);
}

/* ---- the scenario that ships ---- */

static uint64_t exits_of_scenario(const char *mode)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    struct err err = {0};
    const struct setting setting = {"/vms/0/mode", mode};
    cr_assert(scenario_load(&scenario, "scenarios/drop.json", &setting, 1, &diagnostics));
    struct machine *m = machine_new(&scenario.machine, &err);
    cr_assert(m && run_scenario(&scenario, m, NULL, &err), "%s", err.text);
    uint64_t exits = total_of(m, EVENT_EXIT) - slot_of(m, SLOT(EXIT, 1, 0, EXIT_FOR_page_fault)) -
                     slot_of(m, SLOT(EXIT, 1, 0, EXIT_FOR_table_write));
    machine_free(m);
    diagnostics_free(&diagnostics);
    scenario_free(&scenario);
    return exits;
}

/*
 * 104 frames in use; nested: twice each, and the tables once more. Shadow: once each; then, as page
 * i is frame i + 5, 13 eights of entries of which every second one lies in two times 64 KiB.
 */
Test(moves, the_scenario_that_ships_exits_as_it_says)
{
    cr_expect_eq(exits_of_scenario("nested"), 104 + 104 + 4);
    cr_expect_eq(exits_of_scenario("shadow"), 104 + 19);
}
