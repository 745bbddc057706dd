/*
 * Nested paging: the processor walks the guest's tables and, under them, the hypervisor's. The
 * hypervisor maps a page when a walk first misses it, and has no part in what the guest does to its
 * own tables.
 */
#include <string.h>

#include "sim/hypervisor/back.h"
#include "sim/hypervisor/bill.h"
#include "sim/hypervisor/moves.h"
#include "sim/hypervisor/second_tables.h"
#include "sim/hypervisor/technique.h"

/* A page of the space that enters stage `depth` is touched and not mapped so there: maps it. */
static bool provide(struct door *door, unsigned depth, gpa_t gpa, unsigned kind)
{
    struct p2m_entry entry;
    if (!back_page(door, depth, gpa, kind, &entry))
        return false;
    bill_work(door, depth, entry.level, WORK_map, gpa);
    return second_tables_map(door, depth, gpa, &entry);
}

/* ---- the technique ---- */

static bool set_raw(struct machine *m, struct vm *vm, struct err *err)
{
    const struct second_stage_raw *raw = &vm->config->second_stage_raw;
    struct second_stage_controls *c = &vm->second[1];
    *c = second_tables_controls_for(vm->config);
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
        if (!second_tables_new_root(m, number, depth))
            return false;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct door door = {m, &m->vcpu[i]};
        if (m->vcpu[i].vm != number)
            continue;
        for (unsigned depth = 1; depth <= vm->below; depth++)
            stages[depth - 1] = second_tables_stage(&door, depth);
        mmu_set_second_stages(m->vcpu[i].mmu, stages, vm->below,
                              vm->config->no_vpid ? 0 : (uint16_t)(number + 1));
        if (!make_log(&door))
            return false;
    }
    return true;
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

/* Whether the hypervisor maps memory there, and allows what was refused: in tables of its own a
 * right is missing only where it has taken it. */
static bool may_provide(struct door *door, const struct refusal *r)
{
    const struct vm *vm = &door->machine->vm[door->vcpu->vm];
    return !vm->config->second_stage_raw.given &&
           (r->kind == REFUSED_NOT_PRESENT || r->kind == REFUSED_PROTECTION) &&
           r->ia < vm->p2m[r->depth].bytes;
}

static enum exit_reason reason_of(const struct second_stage_controls *c, const struct refusal *r)
{
    return r->kind == REFUSED_LOG_FULL              ? EXIT_FOR_log_full
           : second_stage_is_misconfiguration(c, r) ? EXIT_FOR_second_stage_misconfiguration
                                                    : EXIT_FOR_second_stage_violation;
}

/* An exit for a second stage: its hypervisor removes the cause, if it can. */
static enum remedy answer(struct door *door, gva_t gva, const struct refusal *r,
                          struct vm_exit *exit)
{
    const struct second_stage_controls *c = second_tables_controls(door, r->depth);
    *exit = (struct vm_exit){.reason = reason_of(c, r),
                             .has_qualification = r->kind != REFUSED_LOG_FULL &&
                                                  !second_stage_is_misconfiguration(c, r),
                             .qualification = second_stage_qualification(c, r),
                             .address = r->ia};
    bill_exit(door, r->depth, exit->reason, exit->address, exit->qualification);
    mmu_second_stage_fault(door->vcpu->mmu, gva, r);
    if (r->kind == REFUSED_LOG_FULL)
        drain_log(door);
    else if (!may_provide(door, r))
        return REMEDY_EXIT;
    else if (!provide(door, r->depth, r->ia, r->access))
        return REMEDY_STOP;
    return REMEDY_RETRY;
}

static enum remedy refused(struct door *door, const struct access *access, const struct refusal *r,
                           struct refusal *guest, struct vm_exit *exit)
{
    if (r->depth)
        return answer(door, access->gva, r, exit);
    *guest = *r;
    return REMEDY_FAULT;
}

static bool touch(struct door *door, gpa_t gpa, unsigned kind, hpa_t *at)
{
    return second_tables_touch(door, gpa, kind, answer, at);
}

/* SDM vol. 3, 28.2.3.2: the load of PDPTE registers is a read, which the second stage must allow.
 */
static const char *reset(struct door *door, const struct registers *registers)
{
    hpa_t at;
    if (control_paging(registers) == PAGING_PAE && !door->vcpu->mmu->stage[1].npt)
        touch(door, control_root(registers), KIND_READ, &at);
    return technique_native.reset(door, registers);
}

static const char *execute(struct door *door, const struct instruction *i)
{
    gpa_t root;
    hpa_t at;
    if (second_tables_pdptes(door, i, &root))
        touch(door, root, KIND_READ, &at);
    return technique_native.execute(door, i);
}

static bool store(struct door *door, gpa_t gpa, uint64_t value, unsigned size, unsigned level)
{
    hpa_t at;
    (void)level;
    if (!touch(door, gpa, KIND_WRITE, &at))
        return false;
    mem_store(&door->machine->mem, at, value, size);
    return true;
}

static void follow(struct door *door, gpa_t frame, const struct p2m_entry *entry)
{
    second_tables_follow(door, 1, frame, entry);
}

static void move(struct door *door, enum move move, gpa_t gpa, uint64_t bytes)
{
    moves_make(door, move, gpa, bytes, follow);
    second_tables_forget(door);
}

const struct technique technique_nested = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .store = store,
    .move = move,
};
