/*
 * The same guest OS with the same programs under every mode: the same values read, the same faults,
 * the same memory to the last accessed flag, the same decisions of the guest OS. Only costs differ.
 */
#include "tests/sim/worlds.h"

enum { STEPS = 160, SEEDS = 650 };

/* ---- a random guest ---- */

/* Bytes of a page of a level: 2-level paging has 10 bits of index to a level, the others 9. */
static uint64_t page_bytes(const struct vm_config *vm, unsigned level)
{
    return (uint64_t)1 << (12 + (vm->paging == PAGING_2_LEVEL ? 10 : 9) * (level - 1));
}

static gva_t draw_base(const struct vm_config *vm, struct rng *rng)
{
    static const gva_t low[] = {0x400000, 0x7fe00000, 0x40000000, 0xbfffd000};
    static const gva_t high[] = {0x7fffff000000, 0x123440000000, 0x555500000000};
    bool wide = vm->paging >= PAGING_4_LEVEL && chance(rng, 50);
    return wide ? high[rng_below(rng, 3)] : low[rng_below(rng, 4)];
}

/* A few pages; sometimes a large page and a bit. */
static struct map_config draw_map(const struct vm_config *vm, struct rng *rng)
{
    static const uint32_t rights[] = {15, 15, 11, 9, 13, 8, 7, 3, 1, 0};
    unsigned level = chance(rng, 75) || vm->reclaim ? 1 : chance(rng, 85) ? 2 : 3;
    gva_t base = draw_base(vm, rng);
    level = level == 3 && vm->memory < (uint64_t)3 << 30 ? 2 : level;
    if (level == 1)
        return (struct map_config){.gva = base + rng_below(rng, 24) * FRAME_BYTES,
                                   .size = (1 + rng_below(rng, 16)) * FRAME_BYTES,
                                   .level = 1,
                                   .rights = rights[rng_below(rng, 10)],
                                   .populate = chance(rng, 30)};
    return (struct map_config){.gva = base & -page_bytes(vm, level),
                               .size = page_bytes(vm, level) + rng_below(rng, 3) * FRAME_BYTES,
                               .level = level,
                               .rights = rights[rng_below(rng, 6)],
                               .populate = chance(rng, 30)};
}

/* Workloads go on between the script's items, by turns. */
static void draw_workload(struct world *w, unsigned p, struct rng *rng)
{
    struct generator_spec *spec = &w->phase[p].generator;
    const struct map_config *map = &w->map[p][0];
    *spec = (struct generator_spec){.pattern = (enum pattern)rng_below(rng, PATTERN_ZIPF),
                                    .base = map->gva,
                                    .length = map->size,
                                    .page = FRAME_BYTES,
                                    .accesses = 1000,
                                    .size = (uint16_t)(1 + rng_below(rng, 24)),
                                    .flags = ACCESS_USER,
                                    .writes = 0.4,
                                    .stride = 4 + 8 * rng_below(rng, 800),
                                    .rights = map->rights};
    spec->remap = w->vm.reclaim || map->level > 1 ? 0 : 0.05;
    spec->protect = map->level > 1 ? 0 : 0.05;
}

static void draw_processes(struct world *w, struct rng *rng)
{
    w->vm.n_processes = 1 + (unsigned)rng_below(rng, PROCESSES);
    for (unsigned p = 0; p < w->vm.n_processes; p++) {
        struct process_config *process = &w->process[p];
        process->name = "program";
        process->n_maps = 1 + (unsigned)rng_below(rng, MAPS);
        process->n_phases = 1;
        for (unsigned i = 0; i < process->n_maps; i++) {
            w->map[p][i] = draw_map(&w->vm, rng);
            if (w->vm.reclaim) /* what is there from the start counts too */
                w->map[p][i].populate = false;
        }
        draw_workload(w, p, rng);
    }
}

static void draw_guest(struct world *w, struct rng *rng)
{
    *w = (struct world){.config = {.cpus = 1, .seed = rng_next(rng), .n_vms = 1}};
    w->config.profile = draw_profile(rng);
    w->vm = (struct vm_config){.name = "vm",
                               .vcpus = 1,
                               .paging = (enum paging)(PAGING_2_LEVEL + rng_below(rng, 4)),
                               .huge_pages = chance(rng, 25),
                               .quantum = chance(rng, 50) ? 0 : 1 + rng_below(rng, 20)};
    if (chance(rng, 40)) {
        w->vm.reclaim = chance(rng, 50) ? RECLAIM_FIFO : RECLAIM_CLOCK;
        w->vm.reclaim_frames = 2 + rng_below(rng, 20);
    }
    bool vast = w->vm.paging >= PAGING_4_LEVEL && chance(rng, 6);
    w->vm.memory = vast ? (uint64_t)3 << 30 : 256 * MIB;
    w->config.memory = w->vm.memory;
    draw_processes(w, rng);
}

/* ---- random steps ---- */

/* Around one of the process's maps, a little before and behind it too. */
static gva_t draw_gva(const struct world *w, unsigned process, struct rng *rng)
{
    const struct map_config *map = &w->map[process][rng_below(rng, w->process[process].n_maps)];
    uint64_t near = chance(rng, 30) ? FRAME_BYTES * (1 + rng_below(rng, 3)) : map->size;
    gva_t gva = map->gva + rng_below(rng, near);
    gva = chance(rng, 4) ? map->gva - 1 - rng_below(rng, FRAME_BYTES) : gva;
    gva = chance(rng, 4) ? map->gva + map->size + rng_below(rng, FRAME_BYTES) : gva;
    return chance(rng, 12) ? (gva | 0xfff) - rng_below(rng, 8) : gva; /* often over the edge */
}

static struct script_item draw_access(const struct world *w, unsigned process, struct rng *rng)
{
    static const uint8_t ops[] = {OP_READ,  OP_READ, OP_READ,  OP_WRITE,
                                  OP_WRITE, OP_EXEC, OP_MODIFY};
    struct script_item item = {.verb = VERB_access, .process = process};
    item.access = (struct access){
        .gva = draw_gva(w, process, rng),
        .size = (uint16_t)(chance(rng, 90) ? 1 + rng_below(rng, 8) : 1 + rng_below(rng, 64)),
        .op = ops[rng_below(rng, 7)],
        .flags = chance(rng, 85) ? ACCESS_USER : 0,
        .process = 0};
    item.has_value = item.access.size <= 8 && chance(rng, 80);
    item.value = rng_next(rng);
    return item;
}

/* map, unmap or protect of some pages of a map, or of more than there are. */
static struct script_item draw_change(const struct world *w, unsigned process, struct rng *rng)
{
    static const enum verb verbs[] = {VERB_map, VERB_unmap, VERB_protect, VERB_protect};
    struct script_item item = {.verb = verbs[rng_below(rng, 4)], .process = process};
    const struct map_config *map = &w->map[process][rng_below(rng, w->process[process].n_maps)];
    uint64_t page = page_bytes(&w->vm, item.verb == VERB_map ? 1 : map->level);
    uint64_t first = rng_below(rng, map->size / page + 1), n = 1 + rng_below(rng, 8);
    item.map = draw_map(&w->vm, rng);
    item.map.gva = item.access.gva = map->gva + first * page;
    item.map.size = item.length = page * (chance(rng, 10) ? n * 8 : n);
    item.map.level = 1;
    return item;
}

static void grow(struct program *p)
{
    const struct world *w = p->native;
    struct rng *rng = &p->rng;
    unsigned process = (unsigned)rng_below(rng, w->vm.n_processes);
    struct script_item item = {.verb = VERB_switch, .process = process};
    uint64_t what = rng_below(rng, 100);
    if (what < 80)
        item = draw_access(w, process, rng);
    else if (what < 92)
        item = draw_change(w, process, rng);
    else if (what < 96)
        item = (struct script_item){.verb = VERB_run, .length = 1 + rng_below(rng, 12)};
    program_add(p, &item);
    p->group++;
}

static struct program *make_program(uint64_t seed)
{
    struct world like;
    struct rng rng = {seed};
    draw_guest(&like, &rng);
    struct program *p = program_new("guest", seed, &like);
    p->rng = rng;
    while (p->n < STEPS && !p->native->machine->err.code)
        grow(p);
    return p;
}

static void expect_same(unsigned manner, const char *kept_out)
{
    expect_same_program("same_program", make_program, 0x10000, SEEDS, &manners[manner], kept_out);
}

Test(same_program, caches_change_nothing_that_a_guest_sees)
{
    expect_same(0, NULL);
}

Test(same_program, nested_paging_changes_nothing_that_a_guest_sees)
{
    expect_same(1, NULL);
}

Test(same_program, three_stages_change_nothing_that_a_guest_sees)
{
    expect_same(2, NULL);
}

Test(same_program, two_collapsed_second_stages_change_nothing_that_a_guest_sees)
{
    expect_same(3, NULL);
}

Test(same_program, a_shadow_that_follows_as_kvm_s_changes_nothing_that_a_guest_sees)
{
    expect_same(4, NULL);
}

Test(same_program, a_shadow_that_traces_changes_nothing_that_a_guest_sees)
{
    expect_same(5, NULL);
}

Test(same_program, a_shadow_that_is_a_tlb_changes_nothing_that_a_guest_sees)
{
    expect_same(6, NULL);
}

Test(same_program, agile_paging_changes_nothing_that_a_guest_sees)
{
    expect_same(7, NULL);
}

Test(same_program, direct_paging_changes_nothing_that_a_guest_sees)
{
    expect_same(8, NULL);
}
