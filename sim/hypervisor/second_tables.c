/* The tables of second stages, which stand in the space under them. */
#include "sim/hypervisor/second_tables.h"

#include "sim/hypervisor/back.h"
#include "sim/hypervisor/technique.h"

struct second_stage_controls *second_tables_controls(struct door *door, unsigned depth)
{
    return &door->machine->vm[door->vcpu->vm].second[depth];
}

struct stage second_tables_stage(struct door *door, unsigned depth)
{
    return second_stage(second_tables_controls(door, depth), &door->vcpu->mmu->profile);
}

/* The table that an entry leads to; made if there is none. */
static bool table_below(struct door *door, unsigned depth, const struct format *f, unsigned level,
                        hpa_t entry_at, uint64_t *table)
{
    struct mem *mem = &door->machine->mem;
    uint64_t entry = mem_load(mem, entry_at, f->entry_bytes);
    if (!format_present(f, entry)) {
        if (!back_table(door, depth, format_table_bytes(f, level - 1), FRAME_SECOND_STAGE, table))
            return false;
        mem_store(mem, entry_at, format_entry(f, level, false, *table, MAY_ALL), f->entry_bytes);
    }
    *table = format_address(f, level, false, mem_load(mem, entry_at, f->entry_bytes));
    return true;
}

/* What a leaf says of a page; that it was used and written stays. */
static void set_leaf(struct mem *mem, const struct format *f, unsigned level, hpa_t at,
                     const struct p2m_entry *entry)
{
    uint64_t page = entry->at & ~low_bits(f->shift[level]), old = mem_load(mem, at, f->entry_bytes);
    uint32_t rights = entry->write_protected ? MAY_ALL & ~MAY_WRITE : MAY_ALL;
    uint64_t flags = format_present(f, old) ? old & (f->accessed | f->dirty) : 0;
    mem_store(mem, at, format_entry(f, level, true, page, rights) | flags, f->entry_bytes);
}

bool second_tables_map(struct door *door, unsigned depth, gpa_t gpa, const struct p2m_entry *entry)
{
    const struct stage stage = second_tables_stage(door, depth);
    const struct format *f = &stage.format;
    uint64_t table = stage.root;
    unsigned leaf = entry->level;
    while (leaf > 1 && (leaf > f->levels || !(f->leaf_levels >> leaf & 1)))
        leaf--; /* a format without such pages, or a flat table: by smaller ones, each on its own
                   violation */
    for (unsigned level = f->levels;; level--) {
        hpa_t at;
        if (!back_reach(door, depth, table + format_offset(f, level, gpa), &at))
            return false;
        if (level == leaf) {
            set_leaf(&door->machine->mem, f, level, at, entry);
            return true;
        }
        if (!table_below(door, depth, f, level, at, &table))
            return false;
    }
}

void second_tables_follow(struct door *door, unsigned depth, gpa_t gpa,
                          const struct p2m_entry *entry)
{
    const struct stage stage = second_tables_stage(door, depth);
    const struct format *f = &stage.format;
    struct mem *mem = &door->machine->mem;
    uint64_t table = stage.root;
    for (unsigned level = f->levels;; level--) {
        hpa_t at;
        if (!back_reach(door, depth, table + format_offset(f, level, gpa), &at))
            return;
        uint64_t word = mem_load(mem, at, f->entry_bytes);
        if (!format_present(f, word))
            return;
        if (!format_is_leaf(f, level, word)) {
            table = format_address(f, level, false, word);
            continue;
        }
        if (entry->state == P2M_PRESENT && level <= entry->level)
            set_leaf(mem, f, level, at, entry);
        else
            mem_store(mem, at, 0, f->entry_bytes);
        return;
    }
}

void second_tables_forget(struct door *door)
{
    const struct machine *m = door->machine;
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == door->vcpu->vm)
            mmu_invept(m->vcpu[i].mmu, 1, m->vcpu[i].mmu->stage[1].root);
}

struct second_stage_controls second_tables_controls_for(const struct vm_config *config)
{
    return (struct second_stage_controls){
        .kind = config->second_stage,
        .mode_based_execute = config->mode_based_execute,
        .execute_only = !config->no_execute_only,
        .advanced_information = config->advanced_information,
    };
}

/* Index bits of a flat table that spans a VM's memory. */
static uint8_t flat_bits(uint64_t bytes)
{
    uint8_t bits = 0;
    while (((uint64_t)FRAME_BYTES << bits) < bytes)
        bits++;
    return bits > 9 ? bits : 9;
}

bool second_tables_new_root(struct machine *m, unsigned number, unsigned depth)
{
    struct vm *vm = &m->vm[number];
    struct second_stage_controls *c = &vm->second[depth];
    struct vcpu *first = schedule_vcpu(m, number, 0);
    struct door door = {m, first};
    uint64_t root;
    *c = second_tables_controls_for(vm->config);
    c->flat_bits = flat_bits(vm->p2m[depth].bytes);
    struct stage stage = second_tables_stage(&door, depth);
    uint64_t bytes = format_table_bytes(&stage.format, stage.format.levels);
    if (!back_table(&door, depth, bytes, FRAME_SECOND_STAGE, &root))
        return false;
    c->pointer = second_stage_pointer(c->kind, root, !vm->config->no_accessed_dirty);
    return true;
}

bool second_tables_touch(struct door *door, gpa_t gpa, unsigned kind, second_tables_answer *answer,
                         hpa_t *at)
{
    struct mmu *mmu = door->vcpu->mmu;
    struct stage chain[STAGES_MAX] = {0}; /* the first is the identity: no linear address */
    struct walk w;
    for (unsigned depth = 1; depth < mmu->stages; depth++)
        chain[depth] = mmu->stage[depth];
    w.stage = chain;
    w.stages = mmu->stages;
    w.bus = machine_bus(door->machine);
    w.lookaside = NULL;
    w.tally = NULL;
    w.log = mmu->log.at ? &mmu->log : NULL;
    w.alone = false;
    for (w.refusal = (struct refusal){0}; !walk_read(&w, gpa, kind);) {
        struct vm_exit exit;
        w.refusal.no_linear = true;
        if (answer(door, gpa, &w.refusal, &exit) != REMEDY_RETRY)
            return false;
    }
    walk_commit(&w);
    *at = w.found.hpa;
    return mem_holds(&door->machine->mem, *at, 1);
}

bool second_tables_pdptes(const struct door *door, const struct instruction *i, gpa_t *root)
{
    const struct mmu *mmu = door->vcpu->mmu;
    struct registers to = mmu->registers;
    uint64_t *const loaded[] = {[INSTRUCTION_MOV_CR3] = &to.cr3,
                                [INSTRUCTION_MOV_CR0] = &to.cr0,
                                [INSTRUCTION_MOV_CR4] = &to.cr4};
    if (i->name < INSTRUCTION_MOV_CR3 || i->name > INSTRUCTION_MOV_CR4 || mmu->stage[1].npt ||
        door->machine->vm[door->vcpu->vm].config->second_stage_raw.given)
        return false;
    *loaded[i->name] = i->value;
    *root = control_root(&to);
    return control_paging(&to) == PAGING_PAE && vm_holds(door->machine, door->vcpu->vm, *root, 32);
}
