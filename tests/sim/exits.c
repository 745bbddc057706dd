/*
 * How often each guest operation exits, by mode and policy: what the literature on shadow, direct
 * and nested paging says that each costs (Adams and Agesen, ASPLOS 2006; Linux,
 * Documentation/virt/kvm/x86/mmu.rst; Barham et al., SOSP 2003; Intel SDM vol. 3, 28.2).
 *
 * Columns are modes in the order of `manners`. Agile paging is none of them: what it costs is what
 * shadow paging does above, and nested paging below, where it switches.
 */
#include "tests/sim/worlds.h"

enum { NATIVE, NESTED, THREE_STAGE, COLLAPSED, KVM, TRACE, VTLB, AGILE, DIRECT, UNSAID = 99 };

static const gva_t BASE = 0x40000000;

enum { PAGES = 16, ROOT_A = 0x10000, ROOT_B = 0x20000, DATA = 0x100000 };

/* ---- a guest OS with two processes; a raw guest with two roots ---- */

static struct world plain_world(const struct manner *manner)
{
    struct world w = {.config = {.profile = profile_named("textbook"), .cpus = 1, .n_vms = 1}};
    w.vm = (struct vm_config){.name = "vm",
                              .vcpus = 1,
                              .paging = PAGING_4_LEVEL,
                              .memory = 16 * MIB,
                              .page_share = {0, 1000, 0, 0},
                              .direct.batch = 32};
    w.config.memory = w.vm.memory;
    world_set_manner(&w, manner);
    return w;
}

static struct world *built_world(const struct manner *manner, bool populate)
{
    struct world w = plain_world(manner);
    w.vm.n_processes = 2;
    for (unsigned p = 0; p < 2; p++) {
        w.process[p] = (struct process_config){.name = "program", .n_maps = 1};
        w.map[p][0] = (struct map_config){.gva = BASE,
                                          .size = PAGES * FRAME_BYTES,
                                          .level = 1,
                                          .rights = 15,
                                          .populate = populate};
    }
    return world_new(&w);
}

static void put(uint8_t *image, gpa_t base, gpa_t at, uint64_t entry)
{
    memcpy(image + (at - base), &entry, sizeof entry);
}

/* Two address spaces of 4 KiB pages from BASE on: the second half maps the first half's frames. */
static struct world *raw_world(const struct manner *manner)
{
    static uint8_t tables[ROOT_B - ROOT_A + 4 * FRAME_BYTES];
    struct world w = plain_world(manner);
    for (gpa_t root = ROOT_A; root <= ROOT_B; root += ROOT_B - ROOT_A) {
        put(tables, ROOT_A, root, (root + 0x1000) | 0x27);
        put(tables, ROOT_A, root + 0x1008, (root + 0x2000) | 0x27);
        put(tables, ROOT_A, root + 0x2000, (root + 0x3000) | 0x27);
        for (unsigned i = 0; i < PAGES; i++)
            put(tables, ROOT_A, root + 0x3000 + 8 * i,
                (DATA + i % (PAGES / 2) * FRAME_BYTES) | 0x67);
    }
    w.image[0] = (struct image_config){ROOT_A, tables, sizeof tables};
    w.vm.n_images = 1;
    w.vm.raw = true;
    w.vm.registers = (struct registers){.cr0 = CR0_PE | CR0_WP | CR0_PG,
                                        .cr3 = ROOT_A,
                                        .cr4 = CR4_PAE,
                                        .efer = EFER_LME | EFER_NXE};
    return world_new(&w);
}

/* ---- what is done, and what it cost ---- */

static struct script_item do_verb(struct world *w, struct script_item item)
{
    struct outcome o;
    machine_do(w->machine, &item, &o);
    cr_assert_eq(o.kind, OUTCOME_OK, "%s", o.words ? o.words : "refused");
    return item;
}

static void touch(struct world *w, unsigned process, unsigned page)
{
    const struct access access = {
        .gva = BASE + page * FRAME_BYTES, .size = 8, .op = OP_READ, .flags = ACCESS_USER};
    do_verb(w, (struct script_item){.verb = VERB_access, .process = process, .access = access});
}

static uint64_t exits_for(const struct world *w, enum exit_reason reason)
{
    uint64_t sum = 0;
    for (unsigned depth = 0; depth < STAGES_MAX; depth++)
        sum += slot_of(w->machine, SLOT(EXIT, depth, 0, reason));
    return sum;
}

static uint64_t exits(const struct world *w)
{
    return total_of(w->machine, EVENT_EXIT);
}

/* What one operation costs in each mode: exits, by how many of each reason. */
struct bill {
    uint64_t all, reason[EXIT_REASON_COUNT];
};

static struct bill bill_now(const struct world *w)
{
    struct bill bill = {.all = exits(w)};
    for (unsigned r = 0; r < EXIT_REASON_COUNT; r++)
        bill.reason[r] = exits_for(w, (enum exit_reason)r);
    return bill;
}

static struct bill bill_since(const struct world *w, const struct bill *before)
{
    struct bill bill = bill_now(w);
    bill.all -= before->all;
    for (unsigned r = 0; r < EXIT_REASON_COUNT; r++)
        bill.reason[r] -= before->reason[r];
    return bill;
}

typedef struct bill operation(const struct manner *);

/* @expected: exits by mode; UNSAID where the mode has no such case. */
static void expect_exits(const char *what, operation *cost, const uint8_t *expected)
{
    for (unsigned i = 0; i < MANNERS; i++) {
        if (expected[i] == UNSAID || !manner_runs(&manners[i], what, NULL))
            continue;
        struct bill bill = cost(&manners[i]);
        cr_expect_eq(bill.all, expected[i], "%s, %s: %llu exits, not %u", what, manners[i].name,
                     (unsigned long long)bill.all, expected[i]);
    }
}

/* ---- the first touch of a page that the guest has mapped ---- */

/* The page's frame is known to the hypervisor by another page; the table by a neighbour. */
static struct bill first_touch(const struct manner *manner)
{
    struct world *w = raw_world(manner);
    touch(w, 0, 0);
    struct bill before = bill_now(w);
    touch(w, 0, PAGES / 2);
    struct bill bill = bill_since(w, &before);
    cr_expect_eq(bill.reason[EXIT_FOR_hidden_fault], bill.all, "%s: for another reason",
                 manner->name);
    world_free(w);
    return bill;
}

Test(exits, the_first_touch_of_a_mapped_page_is_one_hidden_fault_of_shadow_paging_alone)
{
    expect_exits("first touch", first_touch,
                 (const uint8_t[MANNERS]){
                     [KVM] = 1, [TRACE] = 1, [VTLB] = 1, [AGILE] = UNSAID, [DIRECT] = UNSAID});
}

/* The guest OS has mapped the page, and nobody has used its frame. */
static struct bill first_touch_of_frame(const struct manner *manner)
{
    struct world *w = built_world(manner, true);
    touch(w, 0, 0);
    struct bill before = bill_now(w);
    touch(w, 0, 1);
    struct bill bill = bill_since(w, &before);
    world_free(w);
    return bill;
}

/*
 * Nested: the violation. Three stages: one at each of two; each is answered without the other.
 * Collapsed: the host's violation, handed on, and L1's entry after it; then the collapsed entry,
 * once more a violation, as the second stage that is walked is filled only then. Direct paging gave
 * the guest all of its frames when it began.
 */
Test(exits, the_first_touch_of_a_frame_is_one_violation_of_each_second_stage)
{
    expect_exits("first touch of a frame", first_touch_of_frame,
                 (const uint8_t[MANNERS]){[NESTED] = 1,
                                          [THREE_STAGE] = 2,
                                          [COLLAPSED] = 3,
                                          [KVM] = 1,
                                          [TRACE] = 1,
                                          [VTLB] = 1,
                                          [AGILE] = UNSAID});
}

/* ---- a page fault that the guest OS handles ---- */

/* A fault on a page whose frame the hypervisor knows from an earlier use. */
static struct bill handled_fault(const struct manner *manner)
{
    struct world *w = built_world(manner, false);
    const struct map_config map = {.gva = BASE, .size = 4 * FRAME_BYTES, .level = 1, .rights = 15};
    for (unsigned page = 0; page < 5; page++)
        touch(w, 0, page);
    do_verb(w, (struct script_item){.verb = VERB_map, .map = map});
    touch(w, 0, 0);
    struct bill before = bill_now(w);
    touch(w, 0, 1);
    struct bill bill = bill_since(w, &before);
    world_free(w);
    return bill;
}

static struct bill handled_fault_of(const struct manner *manner)
{
    struct bill bill = handled_fault(manner);
    const uint64_t *reason = bill.reason;
    bool shadow = manner->mode == MODE_SHADOW;
    cr_expect_eq(reason[EXIT_FOR_page_fault], shadow, "%s: the fault", manner->name);
    cr_expect_eq(reason[EXIT_FOR_hidden_fault], shadow, "%s: the fill", manner->name);
    cr_expect_eq(reason[EXIT_FOR_table_write], shadow && manner->policy == SHADOW_TRACE,
                 "%s: the write", manner->name);
    cr_expect_eq(reason[EXIT_FOR_bounced_fault], manner->mode == MODE_DIRECT);
    cr_expect_eq(reason[EXIT_FOR_hypercall], manner->mode == MODE_DIRECT);
    return bill;
}

/*
 * Tracing: the fault, the write of the entry, the fill (an emulation that filled at once would save
 * it). A software TLB: the fault and the fill. KVM: the same once the table is out of sync, which
 * the fault before has seen to. Direct: the fault bounced, one call for what was written.
 */
Test(exits, a_page_fault_that_the_guest_handles_costs_what_the_policy_says)
{
    expect_exits("handled fault", handled_fault_of,
                 (const uint8_t[MANNERS]){
                     [KVM] = 2, [TRACE] = 3, [VTLB] = 2, [AGILE] = UNSAID, [DIRECT] = 2});
}

/* The same for the first write to a table that was in sync. */
static struct bill fault_in_sync(const struct manner *manner)
{
    struct world *w = built_world(manner, false);
    touch(w, 0, 0);
    struct bill before = bill_now(w);
    touch(w, 0, 1);
    struct bill bill = bill_since(w, &before);
    world_free(w);
    return bill;
}

Test(exits, the_first_write_to_a_table_in_sync_costs_kvm_one_exit_more)
{
    expect_exits("fault in sync", fault_in_sync,
                 (const uint8_t[MANNERS]){[NESTED] = 1,
                                          [THREE_STAGE] = 2,
                                          [COLLAPSED] = 3,
                                          [KVM] = 3,
                                          [TRACE] = 3,
                                          [VTLB] = 2,
                                          [AGILE] = UNSAID,
                                          [DIRECT] = 2});
}

/* ---- writes to a table of a process that does not run ---- */

static void store_entry(struct world *w, gpa_t at, uint64_t entry)
{
    do_verb(w, (struct script_item){
                   .verb = VERB_store, .gpa = at, .size = 8, .has_value = true, .value = entry});
}

static void load_cr3(struct world *w, uint64_t root)
{
    do_verb(w, (struct script_item){.verb = VERB_mov_cr3, .value = root});
}

/* Both address spaces have been used, so that both are shadowed. */
static struct world *two_spaces(const struct manner *manner)
{
    struct world *w = raw_world(manner);
    touch(w, 0, 0);
    load_cr3(w, ROOT_B);
    touch(w, 0, 0);
    load_cr3(w, ROOT_A);
    touch(w, 0, 0);
    return w;
}

static struct bill inactive_write(const struct manner *manner, unsigned before_it)
{
    struct world *w = two_spaces(manner);
    struct bill before;
    for (unsigned i = 0; i <= before_it; i++) {
        before = bill_now(w);
        store_entry(w, ROOT_B + 0x3000 + 8 * i, (DATA + 0x8000) | 0x67);
    }
    struct bill bill = bill_since(w, &before);
    cr_expect_eq(bill.reason[EXIT_FOR_table_write], bill.all, "%s", manner->name);
    world_free(w);
    return bill;
}

static struct bill first_inactive_write(const struct manner *manner)
{
    return inactive_write(manner, 0);
}

static struct bill second_inactive_write(const struct manner *manner)
{
    return inactive_write(manner, 1);
}

/* Only who watches all shadowed tables learns of it; KVM stops watching a leaf table at the first.
 * A raw guest can't run in direct mode. */
Test(exits, a_write_to_a_table_that_is_not_in_use_exits_where_it_is_watched)
{
    expect_exits("first write to an inactive table", first_inactive_write,
                 (const uint8_t[MANNERS]){
                     [KVM] = 1, [TRACE] = 1, [VTLB] = 0, [AGILE] = UNSAID, [DIRECT] = UNSAID});
    expect_exits("second write to an inactive table", second_inactive_write,
                 (const uint8_t[MANNERS]){
                     [KVM] = 0, [TRACE] = 1, [VTLB] = 0, [AGILE] = UNSAID, [DIRECT] = UNSAID});
}

/* ---- MOV to CR3, INVLPG ---- */

static struct bill switch_process(const struct manner *manner)
{
    struct world *w = built_world(manner, true);
    for (unsigned i = 0; i < 3; i++)
        touch(w, i & 1, 0);
    struct bill before = bill_now(w);
    do_verb(w, (struct script_item){.verb = VERB_switch, .process = 1});
    struct bill bill = bill_since(w, &before);
    uint64_t expected = manner->mode == MODE_SHADOW;
    cr_expect_eq(bill.reason[EXIT_FOR_mov_cr3], expected, "%s", manner->name);
    world_free(w);
    return bill;
}

Test(exits, a_load_of_cr3_is_one_exit_of_shadow_paging_and_one_call_of_direct_paging)
{
    expect_exits("MOV to CR3", switch_process,
                 (const uint8_t[MANNERS]){
                     [KVM] = 1, [TRACE] = 1, [VTLB] = 1, [AGILE] = UNSAID, [DIRECT] = 1});
}

/* What was used before is there when the address space comes back, or is built anew. */
static struct bill touch_after_return(const struct manner *manner)
{
    struct world *w = two_spaces(manner);
    load_cr3(w, ROOT_B);
    struct bill before = bill_now(w);
    touch(w, 0, 0);
    struct bill bill = bill_since(w, &before);
    world_free(w);
    return bill;
}

Test(exits, a_software_tlb_is_empty_after_a_load_of_cr3_and_a_shadow_is_not)
{
    expect_exits("touch after a switch", touch_after_return,
                 (const uint8_t[MANNERS]){
                     [KVM] = 0, [TRACE] = 0, [VTLB] = 1, [AGILE] = UNSAID, [DIRECT] = UNSAID});
}

static struct bill invlpg(const struct manner *manner)
{
    struct world *w = raw_world(manner);
    touch(w, 0, 0);
    struct bill before = bill_now(w);
    do_verb(w, (struct script_item){.verb = VERB_invlpg, .access.gva = BASE});
    struct bill bill = bill_since(w, &before);
    cr_expect_eq(bill.reason[EXIT_FOR_invlpg], bill.all, "%s", manner->name);
    world_free(w);
    return bill;
}

Test(exits, invlpg_is_one_exit_of_shadow_paging_alone)
{
    expect_exits("INVLPG", invlpg,
                 (const uint8_t[MANNERS]){
                     [KVM] = 1, [TRACE] = 1, [VTLB] = 1, [AGILE] = UNSAID, [DIRECT] = UNSAID});
}

/* mprotect of one page: its entry is written, its translation invalidated. */
static struct bill protect_page(const struct manner *manner)
{
    struct world *w = built_world(manner, true);
    const struct map_config map = {.rights = 9};
    touch(w, 0, 0);
    struct bill before = bill_now(w);
    do_verb(w, (struct script_item){
                   .verb = VERB_protect, .access.gva = BASE, .length = FRAME_BYTES, .map = map});
    struct bill bill = bill_since(w, &before);
    world_free(w);
    return bill;
}

/* KVM: the write, as the table was in sync; INVLPG. Direct: both in one call. */
Test(exits, mprotect_of_a_page_is_a_write_and_an_invlpg)
{
    expect_exits("mprotect", protect_page,
                 (const uint8_t[MANNERS]){
                     [KVM] = 2, [TRACE] = 2, [VTLB] = 1, [AGILE] = UNSAID, [DIRECT] = 1});
}

/* ---- references of a miss ---- */

static uint64_t refs_of_miss(const struct manner *manner, enum second_stage kind, unsigned level)
{
    struct world w = plain_world(manner);
    w.vm.second_stage = kind;
    w.vm.page_share[1] = level == 1 ? 1000 : 0;
    w.vm.page_share[2] = level == 2 ? 1000 : 0;
    w.vm.n_processes = 1;
    w.process[0] = (struct process_config){.name = "program", .n_maps = 1};
    w.map[0][0] = (struct map_config){
        .gva = BASE, .size = FRAME_BYTES, .level = 1, .rights = 15, .populate = true};
    struct world *built = world_new(&w);
    touch(built, 0, 0);
    machine_cool(built->machine);
    uint64_t before = total_of(built->machine, EVENT_REF);
    touch(built, 0, 0);
    uint64_t refs = total_of(built->machine, EVENT_REF) - before;
    world_free(built);
    return refs;
}

static void expect_refs(unsigned manner, enum second_stage kind, unsigned level, uint64_t expected)
{
    if (!manner_runs(&manners[manner], "references of a miss", NULL))
        return;
    uint64_t refs = refs_of_miss(&manners[manner], kind, level);
    cr_expect_eq(refs, expected, "%s, second stage %u, level %u: %llu references",
                 manners[manner].name, kind, level, (unsigned long long)refs);
}

/* (n + 1)(m + 1) - 1 for n and m levels; of three dimensions once more so. */
Test(exits, a_tlb_miss_reads_4_entries_where_one_table_is_walked_and_24_where_two_are)
{
    static const unsigned one[] = {NATIVE, KVM, TRACE, VTLB, DIRECT};
    for (unsigned i = 0; i < sizeof one / sizeof *one; i++)
        expect_refs(one[i], SECOND_EPT4, 1, 4);
    for (unsigned manner = NESTED; manner <= COLLAPSED; manner += COLLAPSED - NESTED) {
        expect_refs(manner, SECOND_EPT4, 1, 24);
        expect_refs(manner, SECOND_NPT4, 1, 24);
        expect_refs(manner, SECOND_EPT5, 1, 29);
        expect_refs(manner, SECOND_NPT5, 1, 29);
        expect_refs(manner, SECOND_FLAT, 1, 9);
        expect_refs(manner, SECOND_EPT4, 2, 19);
        expect_refs(manner, SECOND_NPT4, 2, 19);
    }
    expect_refs(THREE_STAGE, SECOND_EPT4, 1, 124);
    expect_refs(THREE_STAGE, SECOND_FLAT, 1, 19);
}

/* ---- violations are as many as there are frames ---- */

static unsigned mark_frame(bool *seen, gpa_t gpa)
{
    bool fresh = !seen[gpa >> FRAME_SHIFT];
    seen[gpa >> FRAME_SHIFT] = true;
    return fresh;
}

/* Random touches in both address spaces: each frame of a table or of data counts once. */
Test(exits, nested_violations_are_as_many_as_frames_of_tables_and_data_touched)
{
    for (unsigned i = NESTED; i <= THREE_STAGE; i++) {
        struct world *w = raw_world(&manners[i]);
        static bool seen[16 * MIB / FRAME_BYTES];
        struct rng rng = {7};
        uint64_t frames = 0, root = ROOT_A;
        memset(seen, 0, sizeof seen);
        for (unsigned n = 0; n < 60; n++) {
            unsigned page = (unsigned)rng_below(&rng, PAGES);
            if (n % 10 == 9)
                load_cr3(w, root ^= ROOT_A ^ ROOT_B);
            touch(w, 0, page);
            for (gpa_t table = root; table <= root + 0x3000; table += FRAME_BYTES)
                frames += mark_frame(seen, table);
            frames += mark_frame(seen, DATA + page % (PAGES / 2) * FRAME_BYTES);
            cr_expect_eq(slot_of(w->machine, SLOT(EXIT, 1, 0, EXIT_FOR_second_stage_violation)),
                         frames, "%s: after %u touches", manners[i].name, n);
        }
        world_free(w);
    }
}
