/*
 * Direct paging: what each act of a guest costs in calls to its hypervisor, that a program sees
 * what it sees without one, and that no entry ever leads out of the VM.
 */
#include "tests/sim/direct.h"

enum { RIGHTS = RIGHT_READ | RIGHT_WRITE | RIGHT_USER };

/* ---- calls ---- */

#define MAPPED(direct)                                                                             \
    "{\"version\":1,\"machine\":{\"profile\":\"skylake-sp\",\"memory\":\"64MiB\"},\"vms\":[{"      \
    "\"mode\":\"direct\"," direct "\"memory\":\"32MiB\",\"processes\":[{\"map\":[{\"gva\":"        \
    "\"0x400000\",\"size\":\"1600KiB\",\"populate\":\"start\"},{\"gva\":\"0x800000\",\"size\":"    \
    "\"1MiB\"}],\"workload\":{\"generator\":\"sequential\",\"accesses\":1}},{\"map\":[{\"gva\":"   \
    "\"0x400000\",\"size\":\"16KiB\",\"populate\":\"start\"}],\"workload\":{\"generator\":"        \
    "\"sequential\",\"accesses\":1}}]}]}"

static uint64_t calls(const struct machine *m)
{
    return exits_for(m, EXIT_FOR_hypercall);
}

static struct outcome protect(struct machine *m, gva_t gva, uint64_t pages, uint32_t rights)
{
    struct script_item item = {
        .verb = VERB_protect, .length = pages * PAGE, .map.rights = rights, .access.gva = gva};
    struct outcome outcome;
    machine_do(m, &item, &outcome);
    return outcome;
}

static struct outcome unmap(struct machine *m, gva_t gva, uint64_t pages)
{
    struct script_item item = {.verb = VERB_unmap, .length = pages * PAGE, .access.gva = gva};
    struct outcome outcome;
    machine_do(m, &item, &outcome);
    return outcome;
}

static struct outcome touch(struct machine *m, gva_t gva, enum op op, uint64_t value)
{
    struct script_item item = {
        .verb = VERB_access,
        .access = {.gva = gva, .size = 8, .op = (uint8_t)op, .flags = ACCESS_USER},
        .has_value = op == OP_WRITE,
        .value = value};
    struct outcome outcome;
    machine_do(m, &item, &outcome);
    return outcome;
}

static struct outcome instruct(struct machine *m, enum verb verb, uint64_t value)
{
    struct script_item item = {.verb = verb, .value = value, .access.gva = value};
    struct outcome outcome;
    machine_do(m, &item, &outcome);
    return outcome;
}

/* "n updates in one go cost ceil(n/32) hypercalls" */
Test(direct, n_updates_in_one_go_cost_ceil_n_by_32_calls)
{
    static const struct {
        const char *json;
        unsigned batch;
    } cases[] = {{MAPPED(""), 32},
                 {MAPPED("\"direct\":{\"batch\":32},"), 32},
                 {MAPPED("\"direct\":{\"batch\":1},"), 1},
                 {MAPPED("\"direct\":{\"batch\":7},"), 7},
                 {MAPPED("\"direct\":{\"batch\":1024},"), 1024}};
    for (unsigned c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig *rig = rig_new(cases[c].json);
        struct machine *m = rig->machine;
        touch(m, 0x400000, OP_READ, 0);
        for (unsigned n = 1; n <= 400; n++) {
            uint64_t before = calls(m), checked = works(m, WORK_validate);
            uint32_t rights = n & 1 ? RIGHT_READ | RIGHT_USER : RIGHTS;
            protect(m, 0x400000, 400, rights);
            cr_assert_eq(works(m, WORK_validate) - checked, 400);
            before = calls(m);
            checked = works(m, WORK_validate);
            protect(m, 0x400000, n, rights ^ RIGHT_WRITE);
            cr_assert_eq(works(m, WORK_validate) - checked, n);
            cr_assert_eq(calls(m) - before, (n + cases[c].batch - 1) / cases[c].batch,
                         "batch %u: %u updates took %llu calls", cases[c].batch, n,
                         (unsigned long long)(calls(m) - before));
            protect(m, 0x400000, 400, rights);
        }
        expect_control(m, 0);
        rig_free(rig);
    }
}

/* A configuration that no reader made says nothing: 32. */
Test(direct, a_batch_of_zero_is_32)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct vm_config *config = (struct vm_config *)rig->scenario.machine.vms;
    config->direct.batch = 0;
    touch(rig->machine, 0x400000, OP_READ, 0);
    uint64_t before = calls(rig->machine);
    protect(rig->machine, 0x400000, 65, RIGHT_READ | RIGHT_USER);
    cr_expect_eq(calls(rig->machine) - before, 3);
    rig_free(rig);
}

struct bill {
    uint64_t calls, bounced, exits, checked;
};

static struct bill cost_so_far(const struct machine *m)
{
    return (struct bill){calls(m), exits_for(m, EXIT_FOR_bounced_fault), total_of(m, EVENT_EXIT),
                         works(m, WORK_validate)};
}

static void expect_cost(const struct machine *m, const struct bill *before, uint64_t called,
                        uint64_t bounced, uint64_t checked, const char *what)
{
    struct bill now = cost_so_far(m);
    cr_expect_eq(now.calls - before->calls, called, "%s: %llu calls", what,
                 (unsigned long long)(now.calls - before->calls));
    cr_expect_eq(now.bounced - before->bounced, bounced, "%s: bounced", what);
    cr_expect_eq(now.exits - before->exits, called + bounced, "%s: other exits", what);
    cr_expect_eq(now.checked - before->checked, checked, "%s: %llu checked", what,
                 (unsigned long long)(now.checked - before->checked));
}

#define COSTS_OF(what, act, called, bounced, checked)                                              \
    do {                                                                                           \
        struct bill before = cost_so_far(m);                                                       \
        act;                                                                                       \
        expect_cost(m, &before, called, bounced, checked, what);                                   \
    } while (0)

/* The exits per operation of direct paging. */
Test(direct, each_act_of_a_guest_costs_the_calls_that_it_must)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct machine *m = rig->machine;
    struct script_item other = {.verb = VERB_switch, .process = 1}, back = {.verb = VERB_switch};
    struct outcome o;
    uint64_t cr4 = m->vcpu[0].mmu->registers.cr4, refs;
    touch(m, 0x401000, OP_READ, 0);
    COSTS_OF("first touch", touch(m, 0x400000, OP_WRITE, 1), 0, 0, 0);
    machine_cool(m);
    refs = total_of(m, EVENT_REF);
    COSTS_OF("a TLB miss", touch(m, 0x400000, OP_READ, 0), 0, 0, 0);
    cr_expect_eq(total_of(m, EVENT_REF) - refs, 4);
    COSTS_OF("a fault, a table and a page", touch(m, 0x800000, OP_WRITE, 1), 1, 1, 2);
    COSTS_OF("a fault", touch(m, 0x801000, OP_WRITE, 1), 1, 1, 1);
    COSTS_OF("a fault that is the program's own", touch(m, 0x1000, OP_READ, 1), 0, 1, 0);
    COSTS_OF("MOV CR3", machine_do(m, &other, &o), 1, 0, 0);
    COSTS_OF("MOV CR3 back", machine_do(m, &back, &o), 1, 0, 0);
    COSTS_OF("INVLPG", instruct(m, VERB_invlpg, 0x400000), 1, 0, 0);
    COSTS_OF("INVPCID", instruct(m, VERB_invpcid, 0x400000), 1, 0, 0);
    COSTS_OF("MOV CR4", instruct(m, VERB_mov_cr4, cr4 ^ CR4_PGE), 1, 0, 0);
    COSTS_OF("MOV CR0", instruct(m, VERB_mov_cr0, m->vcpu[0].mmu->registers.cr0), 1, 0, 0);
    COSTS_OF("WRMSR", instruct(m, VERB_wrmsr_efer, m->vcpu[0].mmu->registers.efer), 1, 0, 0);
    COSTS_OF("WRPKRU", instruct(m, VERB_wrpkru, 0), 0, 0, 0);
    COSTS_OF("unmapping, with its INVLPG", unmap(m, 0x401000, 1), 1, 0, 1);
    COSTS_OF("a non-canonical address", touch(m, (gva_t)1 << 60, OP_READ, 0), 0, 1, 0);
    expect_control(m, 0);
    rig_free(rig);
}

/* "PTE write to table of other, inactive process: 1/batch" */
Test(direct, updates_of_another_processs_tables_are_batched_alike)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct machine *m = rig->machine;
    struct door door = first_door(m, 0);
    touch(m, 0x400000, OP_READ, 0);
    hpa_t at = entry_at(m, 0, 1, 0x400000, 1);
    gpa_t gpa = (host_owner(&m->host, at).gfn << FRAME_SHIFT) + (at & 0xfff);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entry = door_port.load(&door, gpa + 8 * i, 8);
        door_port.store(&door, gpa + 8 * i, entry & ~PTE_W, 8, 1);
        cr_expect_eq(door_port.load(&door, gpa + 8 * i, 8), entry & ~PTE_W,
                     "a queued update shows");
        cr_expect(mem_load(&m->mem, at + 8 * i, 8) & PTE_W, "but is not done yet");
    }
    cr_expect_eq(calls(m), 0);
    door_settle(&door);
    cr_expect_eq(calls(m), 1);
    cr_expect_eq(mem_load(&m->mem, at, 8) & PTE_W, 0);
    expect_control(m, 0);
    rig_free(rig);
}

/* Memory is the VM's from the start: no exit and no work gives it any. */
Test(direct, memory_costs_nothing_when_it_is_first_used)
{
    struct rig *rig =
        rig_new("{\"version\":1,\"machine\":{\"memory\":\"64MiB\"},\"vms\":[{\"mode\":\"direct\","
                "\"memory\":\"32MiB\",\"guest\":{\"reclaim\":{\"policy\":\"lru\",\"frames\":60}},"
                "\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":\"1MiB\"}],\"workload\":{"
                "\"generator\":\"uniform\",\"accesses\":4000,\"writes\":0.5}}]}]}");
    run_out(rig->machine, 1000);
    cr_expect_gt(total_of(rig->machine, EVENT_PAGE_IN), 100);
    cr_expect_eq(works(rig->machine, WORK_back), 0);
    cr_expect_eq(total_of(rig->machine, EVENT_WORK),
                 works(rig->machine, WORK_validate) + works(rig->machine, WORK_pin));
    expect_control(rig->machine, 0);
    rig_free(rig);
}

/* ---- CR3, and what the hypervisor refuses ---- */

Test(direct, cr3_holds_a_machine_frame_and_shows_the_guest_its_own)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct machine *m = rig->machine;
    struct door door = first_door(m, 0);
    hpa_t root;
    cr_expect_eq(direct_cr3(&door), m->vm[0].guest.processes[0].root);
    cr_assert(vm_reach(m, 0, m->vm[0].guest.processes[0].root, &root));
    cr_expect_eq(m->vcpu[0].mmu->registers.cr3, root);
    cr_expect(frame_type_get(&m->vm[0].direct->types, root).pinned);
    uint64_t cr4 = m->vcpu[0].mmu->registers.cr4;
    cr_expect_eq(instruct(m, VERB_mov_cr4, cr4 | CR4_PCIDE).kind, OUTCOME_OK);
    uint64_t cr3 = m->vm[0].guest.processes[0].root | 5;
    cr_expect_eq(instruct(m, VERB_mov_cr3, cr3 | CR3_KEEP).kind, OUTCOME_OK);
    cr_expect_eq(m->vcpu[0].mmu->registers.cr3, root | 5);
    cr_expect_eq(direct_cr3(&door), cr3);
    expect_control(m, 0);
    rig_free(rig);
}

Test(direct, what_can_be_no_top_table_is_refused_and_what_changes_the_format_too)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct machine *m = rig->machine;
    const struct registers r = m->vcpu[0].mmu->registers;
    touch(m, 0x400000, OP_READ, 0);
    hpa_t leaf = entry_at(m, 0, 0, 0x400000, 1);
    gpa_t page = host_owner(&m->host, mem_load(&m->mem, leaf, 8) & 0xffffffff000).gfn << 12;
    gpa_t table = host_owner(&m->host, leaf).gfn << 12;
    const struct {
        enum verb verb;
        uint64_t value;
        const char *words;
    } refused[] = {
        {VERB_mov_cr3, page, "writable"},
        {VERB_mov_cr3, table, "two levels"},
        {VERB_mov_cr3, 32 << 20, "does not have"},
        {VERB_mov_cr3, (uint64_t)1 << 50, "does not have"},
        {VERB_mov_cr4, r.cr4 & ~CR4_PAE, "keeps the format"},
        {VERB_mov_cr4, r.cr4 | CR4_LA57, "keeps the format"},
        {VERB_mov_cr0, r.cr0 & ~CR0_PG, "keeps the format"},
        {VERB_wrmsr_efer, r.efer & ~EFER_NXE, "keeps the format"},
    };
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct outcome o = instruct(m, refused[i].verb, refused[i].value);
        cr_expect(o.kind == OUTCOME_FAULT && o.vector == 13, "%u is not refused", i);
        cr_expect(o.words && strstr(o.words, refused[i].words), "%u: %s", i, o.words);
        cr_expect_eq(m->vcpu[0].mmu->registers.cr3, r.cr3);
        expect_control(m, 0);
    }
    cr_expect_eq(touch(m, 0x400000, OP_READ, 0).kind, OUTCOME_OK);
    cr_expect_eq(m->err.code, EXIT_OK);
    rig_free(rig);
}

static struct outcome store_word(struct machine *m, gpa_t gpa, uint64_t value, unsigned size)
{
    struct script_item item = {.verb = VERB_store, .gpa = gpa, .value = value, .size = size};
    struct outcome outcome;
    machine_do(m, &item, &outcome);
    return outcome;
}

/* A script edits a table by gpa, as the guest sees it; the hypervisor checks that too. */
Test(direct, a_plain_store_into_a_table_is_checked_like_any_other)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct machine *m = rig->machine;
    struct door door = first_door(m, 0);
    touch(m, 0x400000, OP_WRITE, 11);
    touch(m, 0x401000, OP_WRITE, 22);
    hpa_t at = entry_at(m, 0, 0, 0x400000, 1);
    gpa_t gpa = (host_owner(&m->host, at).gfn << 12) + (at & 0xfff);
    uint64_t first = door_port.load(&door, gpa, 8), second = door_port.load(&door, gpa + 8, 8);
    cr_expect_eq(store_word(m, gpa, second, 8).kind, OUTCOME_OK);
    instruct(m, VERB_invlpg, 0x400000);
    cr_expect_eq(touch(m, 0x400000, OP_READ, 0).value, 22);
    cr_expect_eq(store_word(m, gpa, first & 0xffff, 2).kind, OUTCOME_OK, "a part of an entry");
    cr_expect_eq(door_port.load(&door, gpa, 8) & 0xffff, first & 0xffff);
    cr_expect_eq(store_word(m, gpa + 4, second >> 32 | first << 32, 8).kind, OUTCOME_OK,
                 "parts of two entries");
    cr_expect_eq(store_word(m, gpa, first, 8).kind, OUTCOME_OK);
    cr_expect_eq(store_word(m, gpa + 8, second, 8).kind, OUTCOME_OK);
    uint64_t before = mem_load(&m->mem, at, 8);
    cr_expect_eq(store_word(m, gpa, (gpa & ~(gpa_t)0xfff) | 7, 8).kind, OUTCOME_STOP, "a table, W");
    cr_expect_eq(store_word(m, gpa, (uint64_t)1 << 45 | 7, 8).kind, OUTCOME_STOP, "no memory");
    cr_expect_eq(mem_load(&m->mem, at, 8), before);
    cr_expect_eq(touch(m, 0x401000, OP_READ, 0).value, 22);
    cr_expect_eq(m->err.code, EXIT_OK, "%s", m->err.text);
    expect_control(m, 0);
    rig_free(rig);
}

/* ---- the end of a process ---- */

Test(direct, types_and_counts_are_zero_again_when_all_processes_have_ended)
{
    static const char *const pagings[] = {"2-level", "pae", "4-level", "5-level"};
    for (unsigned p = 0; p < 4; p++) {
        char json[1024];
        snprintf(json, sizeof json,
                 "{\"version\":1,\"machine\":{\"memory\":\"64MiB\"},\"vms\":[{\"mode\":\"direct\","
                 "\"memory\":\"48MiB\",\"vcpus\":2,\"guest\":{\"paging\":\"%s\",\"huge_pages\":%s},"
                 "\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":\"5MiB\"}],\"workload\":"
                 "{\"generator\":\"uniform\",\"accesses\":3000,\"writes\":0.5,\"remap\":0.01}},"
                 "{\"map\":[{\"gva\":\"0x40000000\",\"size\":\"4MiB\",\"populate\":\"start\"}],"
                 "\"workload\":{\"generator\":\"uniform\",\"accesses\":3000,\"protect\":0.01}}]}]}",
                 pagings[p], p & 1 ? "true" : "false");
        struct rig *rig = rig_new(json);
        struct machine *m = rig->machine;
        run_out(m, 500);
        cr_assert_eq(m->err.code, EXIT_OK, "%s", m->err.text);
        expect_control(m, 0);
        end_process(m, 0, 0);
        expect_control(m, 0);
        cr_expect_eq(m->vcpu[0].mmu->registers.cr3, 0);
        cr_expect_not(all_untyped(m, 0));
        end_process(m, 0, 1);
        cr_expect(all_untyped(m, 0), "%s", pagings[p]);
        rig_free(rig);
    }
}

/* Frames of an ended process's tables serve another process on another vCPU. */
Test(direct, an_ended_processs_top_table_is_free_for_others)
{
    struct rig *rig = rig_new(
        "{\"version\":1,\"machine\":{\"memory\":\"64MiB\"},\"vms\":[{\"mode\":\"direct\","
        "\"memory\":\"32MiB\",\"vcpus\":2,\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":"
        "\"64KiB\"}],\"workload\":{\"generator\":\"sequential\",\"accesses\":1}},{\"map\":[{"
        "\"gva\":\"0x40000000\",\"size\":\"64MiB\"}],\"workload\":{\"generator\":\"sequential\","
        "\"accesses\":1}}]}]}");
    struct machine *m = rig->machine;
    struct script_item item = {
        .verb = VERB_access, .process = 1, .access = {.gva = 0x40000000, .size = 1, .flags = 1}};
    struct outcome o;
    touch(m, 0x400000, OP_WRITE, 1);
    end_process(m, 0, 0);
    for (unsigned i = 0; i < 16; i++, item.access.gva += 2 << 20) {
        machine_do(m, &item, &o);
        cr_assert_eq(o.kind, OUTCOME_OK, "%u: %s", i, m->err.text);
    }
    expect_control(m, 0);
    rig_free(rig);
}

/* ---- large pages ---- */

Test(direct, large_pages_lie_in_contiguous_frames_for_which_others_are_exchanged)
{
    static const struct {
        const char *paging;
        uint64_t bytes;
    } cases[] = {{"2-level", 4 << 20}, {"pae", 2 << 20}, {"4-level", 2 << 20}};
    for (unsigned c = 0; c < 3; c++) {
        char json[1024];
        snprintf(json, sizeof json,
                 "{\"version\":1,\"machine\":{\"memory\":\"5GiB\"},\"vms\":[{\"mode\":\"direct\","
                 "\"memory\":\"32MiB\",\"guest\":{\"paging\":\"%s\",\"huge_pages\":true},"
                 "\"processes\":[{\"map\":[{\"gva\":\"0x40000000\",\"size\":\"8MiB\"}],"
                 "\"workload\":{\"generator\":\"sequential\",\"accesses\":1}}]}]}",
                 cases[c].paging);
        struct rig *rig = rig_new(json);
        struct machine *m = rig->machine;
        cr_expect_eq(store_word(m, (32 << 20) - 8192, 77, 8).kind, OUTCOME_OK);
        cr_expect_eq(touch(m, 0x40000000, OP_WRITE, 5).kind, OUTCOME_OK);
        hpa_t at = entry_at(m, 0, 0, 0x40000000, 2);
        uint64_t entry = mem_load(&m->mem, at, m->vm[0].guest.tables.format.entry_bytes);
        hpa_t page = format_address(&m->vm[0].guest.tables.format, 2, true, entry);
        cr_expect(entry & PTE_PS && !(page & (cases[c].bytes - 1)));
        cr_expect_geq(page, (uint64_t)4 << 30); /* PSE-36 reaches it too */
        for (uint64_t i = 0; i < cases[c].bytes; i += PAGE)
            cr_assert_eq(p2m_get(&m->vm[0].p2m[1], (32u << 20) - cases[c].bytes + i).at, page + i);
        cr_expect_eq(touch(m, 0x40000000, OP_READ, 0).value, 5);
        cr_expect_eq(m->host.frames.freed[1].n, 1, "what was exchanged went back");
        expect_control(m, 0);
        rig_free(rig);
    }
}

/* ---- as without a hypervisor ---- */

static const struct like {
    const char *name, *guest;
    gva_t base;
} likes[] = {
    {"2-level", "\"paging\":\"2-level\"", 0x7fe00000},
    {"2-level, large", "\"paging\":\"2-level\",\"huge_pages\":true", 0x7fe00000},
    {"pae", "\"paging\":\"pae\"", 0x7fe00000},
    {"pae, large", "\"paging\":\"pae\",\"huge_pages\":true", 0x7fe00000},
    {"4-level", "\"paging\":\"4-level\"", 0x7fffe00000},
    {"4-level, large", "\"paging\":\"4-level\",\"huge_pages\":true", 0x7fffe00000},
    {"5-level", "\"paging\":\"5-level\"", 0xffffffe00000},
    {"5-level, large", "\"paging\":\"5-level\",\"huge_pages\":true", 0xffffffe00000},
};
enum { LIKES = sizeof likes / sizeof *likes };

static struct rig *like_new(const struct like *like, const char *mode)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"memory\":\"160MiB\"},\"vms\":[{\"mode\":\"%s\","
             "\"memory\":\"96MiB\",\"vcpus\":2,\"guest\":{%s},\"processes\":[{\"workload\":{"
             "\"generator\":\"sequential\",\"accesses\":1}},{\"workload\":{\"generator\":"
             "\"sequential\",\"accesses\":1}},{\"workload\":{\"generator\":\"sequential\","
             "\"accesses\":1}}]}]}",
             mode, like->guest);
    for (char *at = strstr(json, "{\"workload\""); at; at = strstr(at + 1, "{\"workload\"")) {
        static const char map[] = "{\"map\":[{\"gva\":\"0x1000000\",\"size\":\"4KiB\"}],";
        char rest[1024];
        snprintf(rest, sizeof rest, "%s", at + 1);
        snprintf(at, sizeof json - (size_t)(at - json), "%s%s", map, rest);
        at += sizeof map;
    }
    return rig_new(json);
}

/* One act of a program or its OS. */
static struct script_item random_act(struct rng *rng, gva_t base)
{
    uint64_t act = rng_below(rng, 200);
    struct script_item item = {.process = (unsigned)rng_below(rng, 3)};
    item.access =
        (struct access){.gva = base + rng_below(rng, rng_below(rng, 8) ? 16 : 4096) * PAGE,
                        .size = 8,
                        .op = (uint8_t)rng_below(rng, 4),
                        .flags = (uint8_t)rng_below(rng, 8) ? ACCESS_USER : 0};
    item.length = (1 + rng_below(rng, rng_below(rng, 4) ? 10 : 2000)) * PAGE;
    if (act < 4) /* most maps are of where most accesses are */
        item.access.gva = rng_below(rng, 4) ? base : item.access.gva, item.length *= 5;
    item.map = (struct map_config){item.access.gva, item.length, 1 + (unsigned)rng_below(rng, 2),
                                   RIGHTS & ~(act & 1 ? RIGHT_WRITE : 0), false};
    item.verb = act < 4 ? VERB_map : act < 8 ? VERB_unmap : act < 20 ? VERB_protect : VERB_access;
    item.has_value = item.access.op == OP_WRITE || item.access.op == OP_MODIFY;
    item.value = rng_next(rng);
    item.access.gva += item.verb == VERB_access ? rng_below(rng, 3) * 4092 / 2 : 0;
    return item;
}

static bool same_outcome(const struct outcome *a, const struct outcome *b)
{
    return a->kind == b->kind && a->gpa == b->gpa && a->has_value == b->has_value &&
           (!a->has_value || a->value == b->value) && a->vector == b->vector &&
           a->error_code == b->error_code && a->cr2 == b->cr2 && a->level == b->level &&
           a->why == b->why;
}

/* Every entry that a process's guest OS finds, A and D included. */
static void expect_same_entries(struct machine *a, struct machine *b, unsigned process,
                                const char *name)
{
    struct door door[2] = {first_door(a, 0), first_door(b, 0)};
    struct port port[2] = {machine_port(&door[0]), machine_port(&door[1])};
    const struct guest *g = &a->vm[0].guest, *h = &b->vm[0].guest;
    struct leaf leaf, other;
    cr_assert_eq(g->processes[process].has_root, h->processes[process].has_root);
    for (gva_t gva = 0; g->processes[process].has_root;) {
        bool more = tables_next(&g->tables, &port[0], g->processes[process].root, gva,
                                g->tables.format.ia_mask >> 1, &leaf);
        cr_assert_eq(more, tables_next(&h->tables, &port[1], h->processes[process].root, gva,
                                       h->tables.format.ia_mask >> 1, &other));
        if (!more)
            return;
        cr_assert(leaf.gva == other.gva && leaf.level == other.level && leaf.at == other.at &&
                      leaf.entry == other.entry,
                  "%s: 0x%llx: entry 0x%llx and 0x%llx", name, (unsigned long long)leaf.gva,
                  (unsigned long long)leaf.entry, (unsigned long long)other.entry);
        gva = leaf.gva + ((gva_t)1 << g->tables.format.shift[leaf.level]);
    }
}

/* Values, faults, and A and D bits as the guest sees them are those of a machine of its own. */
Test(direct, a_program_sees_what_it_sees_without_a_hypervisor)
{
    for (unsigned c = 0; c < LIKES; c++) {
        struct rng rng = {c};
        struct rig *native = like_new(&likes[c], "native"), *direct = like_new(&likes[c], "direct");
        unsigned faults = 0, values = 0;
        for (unsigned i = 0; i < 6000; i++) {
            struct script_item item = random_act(&rng, likes[c].base - (8 << 20));
            struct outcome a, b;
            machine_do(native->machine, &item, &a);
            machine_do(direct->machine, &item, &b);
            cr_assert(same_outcome(&a, &b), "%s: act %u differs (%d, %d; %s)", likes[c].name, i,
                      a.kind, b.kind, direct->machine->err.text);
            faults += a.kind == OUTCOME_FAULT;
            values += a.has_value && a.value;
            if (rng_below(&rng, 300) == 0) {
                end_process(native->machine, 0, item.process);
                end_process(direct->machine, 0, item.process);
            }
            if (i % 300 == 0)
                expect_control(direct->machine, 0);
        }
        cr_expect(faults > 50 && values > 50, "%s: %u faults, %u values", likes[c].name, faults,
                  values);
        for (unsigned p = 0; p < 3; p++)
            expect_same_entries(native->machine, direct->machine, p, likes[c].name);
        cr_expect_eq(total_of(native->machine, EVENT_GUEST_STORE),
                     total_of(direct->machine, EVENT_GUEST_STORE));
        cr_expect_eq(total_of(native->machine, EVENT_FAULT),
                     total_of(direct->machine, EVENT_FAULT));
        cr_expect_eq(exits_for(direct->machine, EXIT_FOR_bounced_fault),
                     total_of(direct->machine, EVENT_FAULT));
        expect_control(direct->machine, 0);
        rig_free(native);
        rig_free(direct);
    }
}

/* ---- workloads ---- */

#define LOADS(mode, vcpus, guest)                                                                  \
    "{\"version\":1,\"seed\":9,\"machine\":{\"profile\":\"skylake-sp\",\"memory\":\"256MiB\"},"    \
    "\"vms\":[{\"mode\":\"" mode "\",\"memory\":\"64MiB\",\"vcpus\":" vcpus ",\"quantum\":40,"     \
    "\"guest\":{\"paging\":" guest                                                                 \
    "},\"processes\":[" LOAD(0.03, 0.05) "," LOAD(0, 0.2) "," LOAD(0.1, 0) "]}]}"
#define LOAD(remap, protect)                                                                       \
    "{\"map\":[{\"gva\":\"0x7fe00000\",\"size\":\"4MiB\"}],\"workload\":{\"generator\":\"zipf\","  \
    "\"theta\":0.7,\"accesses\":2600,\"writes\":0.4,\"remap\":" #remap ",\"protect\":" #protect    \
    "}}"
#define FRAMES(policy) ",\"reclaim\":{\"policy\":\"" policy "\",\"frames\":150}"
#define PAIR(guest)                                                                                \
    {                                                                                              \
        LOADS("native", "1", guest), LOADS("direct", "1", guest), LOADS("direct", "2", guest)      \
    }

static const char *const pairs[][3] = {
    PAIR("\"2-level\""),
    PAIR("\"pae\",\"huge_pages\":true"),
    PAIR("\"4-level\""),
    PAIR("\"5-level\",\"huge_pages\":true"),
    PAIR("\"4-level\"" FRAMES("fifo")),
    PAIR("\"pae\"" FRAMES("lru")),
    PAIR("\"4-level\"" FRAMES("clock")),
    PAIR("\"2-level\"" FRAMES("clock")),
    PAIR("\"5-level\"" FRAMES("opt")),
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

/* One vCPU takes its processes in turn by accesses: both machines do the same in the same order. */
Test(direct, a_guest_os_ends_where_it_ends_without_a_hypervisor)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        struct rig *native = rig_new(pairs[i][0]), *direct = rig_new(pairs[i][1]);
        struct machine *a = native->machine, *b = direct->machine;
        run_out(a, 100);
        run_out(b, 100);
        cr_expect_eq(b->err.code, EXIT_OK, "%s", b->err.text);
        const char *what = guest_difference(&a->vm[0], &b->vm[0]);
        cr_expect(!what, "pair %u: %s", i, what);
        cr_expect_eq(a->signals, b->signals);
        for (unsigned kind = EVENT_ACCESS; kind < EVENT_EXIT; kind++) /* a cold cache is as cold */
            if (kind != EVENT_REF && kind != EVENT_DATA)
                cr_expect_eq(total_of(a, kind), total_of(b, kind), "pair %u: %s", i,
                             event_name(kind));
        for (unsigned p = 0; p < 3; p++)
            expect_same_entries(a, b, p, "workload");
        expect_control(b, 0);
        rig_free(native);
        rig_free(direct);
    }
}

static void expect_same_direct(const struct machine *a, const struct machine *b, const char *how)
{
    const char *what = state_difference(a, b);
    const struct vm *v = &a->vm[0], *w = &b->vm[0];
    cr_expect(!what, "%s: %s", how, what);
    cr_expect(same_memory(&v->direct->types.words, &w->direct->types.words), "%s: types", how);
    cr_expect(same_memory(&v->p2m[1].words, &w->p2m[1].words), "%s: the p2m", how);
    cr_expect(same_memory(&a->host.owners, &b->host.owners), "%s: owners", how);
    cr_expect_eq(v->direct->n, w->direct->n);
}

Test(direct, a_clone_goes_on_alike)
{
    for (unsigned i = 0; i < 2 * PAIRS - 1; i++) { /* the last foresees, which takes one vCPU */
        struct rig *whole = rig_new(pairs[i / 2][1 + i % 2]);
        struct rig *rig = rig_new(pairs[i / 2][1 + i % 2]);
        run_out(whole->machine, 100000);
        for (unsigned at = 0; at < 7800; at += 2345) {
            machine_run(rig->machine, 2345);
            struct machine *clone = machine_clone(rig->machine);
            cr_assert(clone != NULL);
            expect_same_direct(clone, rig->machine, "at once");
            run_out(clone, 333);
            expect_same_direct(clone, whole->machine, "a clone");
            expect_control(clone, 0);
            machine_free(clone);
        }
        run_out(rig->machine, 1);
        expect_same_direct(rig->machine, whole->machine, "the original");
        rig_free(whole);
        rig_free(rig);
    }
}

/* What is asked for and not yet done is part of the state. */
Test(direct, a_clone_has_the_queue_too)
{
    struct rig *rig = rig_new(MAPPED(""));
    struct machine *m = rig->machine;
    struct door door = first_door(m, 0);
    touch(m, 0x400000, OP_READ, 0);
    hpa_t at = entry_at(m, 0, 0, 0x400000, 1);
    gpa_t gpa = host_owner(&m->host, at).gfn << 12;
    for (unsigned i = 0; i < 20; i++)
        door_port.store(&door, gpa + 8 * i, 0, 8, 1);
    door_port.invlpg(&door, 0x400000);
    struct machine *clone = machine_clone(m);
    struct door there = first_door(clone, 0);
    cr_expect_eq(clone->vm[0].direct->n, 21);
    door_settle(&there);
    cr_expect_eq(m->vm[0].direct->n, 21);
    cr_expect_neq(mem_load(&m->mem, at, 8), 0);
    cr_expect_eq(mem_load(&clone->mem, at, 8), 0);
    door_settle(&door);
    expect_same_direct(m, clone, "settled");
    expect_control(clone, 0);
    machine_free(clone);
    rig_free(rig);
}

/* Two VMs, each in its own frames, whatever their programs do. */
Test(direct, no_entry_ever_leads_to_another_vms_frame)
{
    struct rig *rig =
        rig_new("{\"version\":1,\"machine\":{\"memory\":\"160MiB\"},\"vms\":[{\"mode\":\"direct\","
                "\"memory\":\"64MiB\",\"processes\":[" LOAD(
                    0.03, 0.05) "]},{\"mode\":\"direct\","
                                "\"memory\":\"64MiB\",\"guest\":{\"paging\":\"pae\",\"huge_pages\":"
                                "true},\"processes\":[" LOAD(0.1, 0.1) "]}]}");
    while (!rig->machine->finished) {
        machine_run(rig->machine, 400);
        cr_assert_eq(rig->machine->err.code, EXIT_OK, "%s", rig->machine->err.text);
        expect_control(rig->machine, 0);
        expect_control(rig->machine, 1);
    }
    rig_free(rig);
}

/* ---- limits ---- */

static void expect_stop_above_4_gib(const char *paging, bool stops)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"memory\":\"6GiB\"},\"vms\":[{\"mode\":\"direct\","
             "\"memory\":\"32MiB\",\"guest\":{\"paging\":\"%s\"},\"processes\":[{\"map\":[{"
             "\"gva\":\"0x40000000\",\"size\":\"8MiB\"}],\"workload\":{\"generator\":"
             "\"sequential\",\"stride\":4096,\"accesses\":100}}]}]}",
             paging);
    struct rig *rig = rig_new(json);
    struct machine *m = rig->machine;
    m->host.frames.bottom = (uint64_t)4 << 30; /* others have what is below */
    run_out(m, 10);
    cr_expect_eq(m->err.code, stops ? EXIT_NO : EXIT_OK, "%s: %s", paging, m->err.text);
    rig_free(rig);
}

Test(direct, entries_of_32_bits_reach_4_gib_of_the_host)
{
    expect_stop_above_4_gib("2-level", true);
    expect_stop_above_4_gib("pae", false); /* its top table was made before */
    expect_stop_above_4_gib("4-level", false);
}

/* CR3 has 32 bits outside long mode: a PAE guest's next top table has no place. */
Test(direct, a_pae_top_table_above_4_gib_stops_the_machine)
{
    struct rig *rig = rig_new(
        "{\"version\":1,\"machine\":{\"memory\":\"6GiB\"},\"vms\":[{\"mode\":\"direct\","
        "\"memory\":\"32MiB\",\"guest\":{\"paging\":\"pae\"},\"processes\":[{\"map\":[{\"gva\":"
        "\"0x40000000\",\"size\":\"8MiB\"}],\"workload\":{\"generator\":\"sequential\","
        "\"accesses\":1}},{\"map\":[{\"gva\":\"0x40000000\",\"size\":\"8MiB\"}],\"workload\":{"
        "\"generator\":\"sequential\",\"accesses\":1}}]}]}");
    struct script_item item = {.verb = VERB_switch, .process = 1};
    struct machine *m = rig->machine;
    struct outcome o;
    m->host.frames.bottom = (uint64_t)4 << 30;
    machine_do(m, &item, &o);
    cr_expect_eq(m->err.code, EXIT_NO);
    cr_expect(strstr(m->err.text, "top table"), "%s", m->err.text);
    rig_free(rig);
}

Test(direct, textbook_paging_is_refused)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    struct err err = {0};
    static const char json[] =
        "{\"version\":1,\"machine\":{\"memory\":\"64KiB\"},\"vms\":[{\"mode\":\"direct\","
        "\"memory\":\"32KiB\",\"guest\":{\"paging\":{\"levels\":[5],\"page\":32,\"entry_bytes\":1,"
        "\"valid\":7,\"frame\":[0,7]}},\"processes\":[{\"map\":[{\"gva\":0,\"size\":32}],"
        "\"workload\":{\"generator\":\"sequential\",\"accesses\":1}}]}]}";
    if (scenario_parse(&scenario, "test", json, strlen(json), NULL, 0, &diagnostics)) {
        cr_expect_null(machine_new(&scenario.machine, &err));
        cr_expect(strstr(err.text, "direct paging"), "%s", err.text);
        scenario_free(&scenario);
    }
    diagnostics_free(&diagnostics);
}
