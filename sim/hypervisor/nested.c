/*
 * Nested paging: the processor walks the guest's tables and, under them, the hypervisor's. The
 * hypervisor maps a page when a walk first misses it, and has no part in what the guest does to its
 * own tables.
 */
#include <string.h>

#include "sim/hypervisor/back.h"
#include "sim/hypervisor/bill.h"
#include "sim/hypervisor/technique.h"

/* ---- the tables of stage `depth`, which stand in the space under it ---- */

static struct second_stage_controls *controls_of(struct door *door, unsigned depth)
{
    return &door->machine->vm[door->vcpu->vm].second[depth];
}

/* What the VM's second stage at a depth is, its tables' root included. */
static struct stage stage_of(struct door *door, unsigned depth)
{
    return second_stage(controls_of(door, depth), &door->vcpu->mmu->profile);
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

/* Enters the page of a p2m entry that holds @p gpa. False: no memory. */
static bool map_page(struct door *door, unsigned depth, gpa_t gpa, const struct p2m_entry *entry)
{
    const struct stage stage = stage_of(door, depth);
    const struct format *f = &stage.format;
    uint64_t table = stage.root;
    unsigned leaf = entry->level;
    while (leaf > 1 && !(f->leaf_levels >> leaf & 1))
        leaf--; /* 1 GiB pages in a format without: by 2 MiB pages, each on its own violation */
    for (unsigned level = f->levels;; level--) {
        hpa_t at;
        if (!back_reach(door, depth, table + format_offset(f, level, gpa), &at))
            return false;
        if (level == leaf) {
            uint64_t page = entry->at & ~low_bits(f->shift[level]);
            mem_store(&door->machine->mem, at, format_entry(f, level, true, page, MAY_ALL),
                      f->entry_bytes);
            return true;
        }
        if (!table_below(door, depth, f, level, at, &table))
            return false;
    }
}

/* A page of the space that enters stage `depth` is touched and not mapped there: maps it. */
static bool provide(struct door *door, unsigned depth, gpa_t gpa)
{
    struct p2m_entry entry = p2m_get(&door->machine->vm[door->vcpu->vm].p2m[depth], gpa);
    if (entry.state == P2M_ABSENT && !back_page(door, depth, gpa, &entry))
        return false;
    bill_work(door, depth, entry.level, WORK_map, gpa);
    return map_page(door, depth, gpa, &entry);
}

/* ---- the technique ---- */

static struct second_stage_controls controls_for(const struct vm_config *config)
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

/* The root of a second stage, and the stages of each vCPU. */
static bool make_root(struct machine *m, unsigned number, unsigned depth)
{
    struct vm *vm = &m->vm[number];
    struct second_stage_controls *c = &vm->second[depth];
    struct vcpu *first = schedule_vcpu(m, number, 0);
    struct door door = {m, first};
    uint64_t root;
    *c = controls_for(vm->config);
    c->flat_bits = flat_bits(vm->p2m[depth].bytes);
    struct stage stage = stage_of(&door, depth);
    uint64_t bytes = format_table_bytes(&stage.format, stage.format.levels);
    if (!back_table(&door, depth, bytes, FRAME_SECOND_STAGE, &root))
        return false;
    c->pointer = second_stage_pointer(c->kind, root, !vm->config->no_accessed_dirty);
    return true;
}

static bool set_raw(struct machine *m, struct vm *vm, struct err *err)
{
    const struct second_stage_raw *raw = &vm->config->second_stage_raw;
    struct second_stage_controls *c = &vm->second[1];
    *c = controls_for(vm->config);
    c->pointer = raw->pointer;
    const char *fault = second_stage_fault(c, &m->shared->config->profile);
    if (fault)
        return err_set(err, EXIT_USAGE, "vm %s: second_stage_raw: %s", vm->config->name, fault);
    for (unsigned i = 0; i < raw->n_images; i++) {
        const struct image_config *image = &raw->images[i];
        if (!mem_holds(&m->mem, image->gpa, image->length))
            return err_set(err, EXIT_USAGE,
                           "vm %s: second_stage_raw: an image lies beyond the host's memory",
                           vm->config->name);
        mem_write(&m->mem, image->gpa, image->bytes, image->length);
    }
    return true;
}

/* A log for each vCPU, where the VM asks for one. */
static bool make_log(struct door *door)
{
    struct page_log *log = &door->vcpu->mmu->log;
    if (!door->machine->vm[door->vcpu->vm].config->page_log)
        return true;
    log->index = PAGE_LOG_ENTRIES - 1;
    return back_table(door, door->machine->vm[door->vcpu->vm].below, FRAME_BYTES, FRAME_LOG,
                      &log->at);
}

static bool prepare(struct machine *m, unsigned number, struct err *err)
{
    struct vm *vm = &m->vm[number];
    struct stage stages[STAGES_MAX];
    bool raw = vm->config->second_stage_raw.given;
    if (raw && !set_raw(m, vm, err))
        return false;
    for (unsigned depth = vm->below; !raw && depth >= 1; depth--)
        if (!make_root(m, number, depth))
            return false;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct door door = {m, &m->vcpu[i]};
        if (m->vcpu[i].vm != number)
            continue;
        for (unsigned depth = 1; depth <= vm->below; depth++)
            stages[depth - 1] = stage_of(&door, depth);
        mmu_set_second_stages(m->vcpu[i].mmu, stages, vm->below,
                              vm->config->no_vpid ? 0 : (uint16_t)(number + 1));
        if (!make_log(&door))
            return false;
    }
    return true;
}

static const char *reset(struct door *door, const struct registers *registers)
{
    return technique_native.reset(door, registers);
}

/* The hypervisor reads the log, and starts it anew. */
static void drain_log(struct door *door)
{
    struct mmu *mmu = door->vcpu->mmu;
    for (unsigned i = 0; i < PAGE_LOG_ENTRIES; i++)
        mem_store(&door->machine->mem, mmu->log.at + 8u * i, 0, 8);
    mmu->log.index = PAGE_LOG_ENTRIES - 1;
    bill_work(door, mmu->stages - 1, 0, WORK_drain, mmu->log.at);
}

/* Whether the hypervisor maps memory there, and allows what was refused. */
static bool may_provide(struct door *door, const struct refusal *r)
{
    const struct vm *vm = &door->machine->vm[door->vcpu->vm];
    return !vm->config->second_stage_raw.given && r->kind == REFUSED_NOT_PRESENT &&
           r->ia < vm->p2m[r->depth].bytes;
}

static enum exit_reason reason_of(const struct second_stage_controls *c, const struct refusal *r)
{
    return r->kind == REFUSED_LOG_FULL              ? EXIT_FOR_log_full
           : second_stage_is_misconfiguration(c, r) ? EXIT_FOR_second_stage_misconfiguration
                                                    : EXIT_FOR_second_stage_violation;
}

static enum remedy refused(struct door *door, const struct access *access, const struct refusal *r,
                           struct refusal *guest, struct vm_exit *exit)
{
    if (!r->depth) {
        *guest = *r;
        return REMEDY_FAULT;
    }
    const struct second_stage_controls *c = controls_of(door, r->depth);
    *exit = (struct vm_exit){.reason = reason_of(c, r),
                             .has_qualification = r->kind != REFUSED_LOG_FULL,
                             .qualification = second_stage_qualification(c, r),
                             .address = r->ia};
    bill_exit(door, r->depth, exit->reason, exit->address, exit->qualification);
    mmu_second_stage_fault(door->vcpu->mmu, access->gva, r);
    if (r->kind == REFUSED_LOG_FULL)
        drain_log(door);
    else if (!may_provide(door, r))
        return REMEDY_EXIT;
    else if (!provide(door, r->depth, r->ia))
        return REMEDY_STOP;
    return REMEDY_RETRY;
}

/* The word of a guest's own table or data that the guest OS itself touches; as an access would. */
static bool touch(struct door *door, gpa_t gpa, bool write, hpa_t *at)
{
    struct machine *m = door->machine;
    struct vm *vm = &m->vm[door->vcpu->vm];
    uint64_t ia = gpa;
    for (unsigned depth = 1; depth <= vm->below; depth++) {
        struct p2m_entry entry = p2m_get(&vm->p2m[depth], ia);
        if (entry.state == P2M_ABSENT) {
            const struct refusal r = {.kind = REFUSED_NOT_PRESENT,
                                      .depth = (uint8_t)depth,
                                      .access = write ? KIND_WRITE : KIND_READ,
                                      .ia = ia};
            bill_exit(door, depth, EXIT_FOR_second_stage_violation, ia,
                      second_stage_qualification(controls_of(door, depth), &r));
            if (!provide(door, depth, ia))
                return false;
            entry = p2m_get(&vm->p2m[depth], ia);
        }
        ia = entry.at + (ia & low_bits(FRAME_SHIFT));
    }
    *at = ia;
    return true;
}

/* MOV to a control register may load PDPTEs, which a second stage must have. */
static bool provide_pdptes(struct door *door, const struct instruction *i)
{
    const struct mmu *mmu = door->vcpu->mmu;
    struct registers to = mmu->registers;
    hpa_t at;
    to.cr3 = i->name == INSTRUCTION_MOV_CR3 ? i->value : to.cr3;
    to.cr4 = i->name == INSTRUCTION_MOV_CR4 ? i->value : to.cr4;
    to.cr0 = i->name == INSTRUCTION_MOV_CR0 ? i->value : to.cr0;
    gpa_t root = control_root(&to);
    if (control_paging(&to) != PAGING_PAE || mmu->stage[1].npt || i->name < INSTRUCTION_MOV_CR3 ||
        i->name > INSTRUCTION_MOV_CR4 || !vm_holds(door->machine, door->vcpu->vm, root, 32))
        return true;
    return door->machine->vm[door->vcpu->vm].config->second_stage_raw.given ||
           touch(door, root, false, &at);
}

static const char *execute(struct door *door, const struct instruction *i)
{
    struct bus bus = machine_bus(door->machine);
    provide_pdptes(door, i);
    return mmu_execute(door->vcpu->mmu, &bus, i);
}

static uint64_t load(struct door *door, gpa_t gpa, unsigned size)
{
    hpa_t at;
    return vm_reach(door->machine, door->vcpu->vm, gpa, &at)
               ? mem_load(&door->machine->mem, at, size)
               : 0;
}

static bool store(struct door *door, gpa_t gpa, uint64_t value, unsigned size, unsigned level)
{
    hpa_t at;
    (void)level;
    if (!touch(door, gpa, true, &at))
        return false;
    mem_store(&door->machine->mem, at, value, size);
    return true;
}

const struct technique technique_nested = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .load = load,
    .store = store,
};
