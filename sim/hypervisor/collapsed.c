/*
 * Nested virtualization as real hypervisors do it: the guest (L2) runs under a hypervisor (L1) that
 * is in a VM itself, under the host's (L0). The processor walks two stages: the guest's tables, and
 * one second stage in which L0 collapses L1's with its own, entry by entry, as walks miss.
 *
 * Modelled: L1's tables stand in L1's memory; an exit is L0's first, which hands it on where L1's
 * tables have no answer; L1 then enters its guest again, which is an exit too. Simplified: L1's
 * other exits (VMREAD, VMWRITE) are spared it, as by VMCS shadowing; an entry of L1's is dirty as
 * soon as it is collapsed; what L1 takes away of its own accord L0 learns of at once, unbilled. Not
 * modelled: L1's own INVEPT.
 * Source: Ben-Yehuda et al., "The Turtles Project", OSDI 2010.
 */
#include "sim/hypervisor/back.h"
#include "sim/hypervisor/bill.h"
#include "sim/hypervisor/moves.h"
#include "sim/hypervisor/second_tables.h"
#include "sim/hypervisor/technique.h"

enum { L1 = 1, L0 = 2 }; /* depths of the two hypervisors */

static struct p2m_entry in_l1(const struct door *door, gpa_t gpa)
{
    return p2m_get(&door->machine->vm[door->vcpu->vm].p2m[L1], gpa);
}

/* What L1's tables make of a page, and the host's frame for it. */
static bool look_up(struct door *door, gpa_t gpa, struct p2m_entry *host)
{
    struct p2m_entry middle = in_l1(door, gpa);
    if (!back_page(door, L0, middle.at, KIND_READ, host))
        return false;
    host->level = middle.level < host->level ? middle.level : host->level;
    host->write_protected = middle.write_protected;
    return true;
}

/* L1 answers: its p2m and its tables get the page. */
static bool answer_in_l1(struct door *door, gpa_t gpa, unsigned kind)
{
    struct p2m_entry middle;
    bill_work(door, L0, 0, WORK_reflect, gpa);
    if (!back_page(door, L1, gpa, kind, &middle))
        return false;
    bill_work(door, L1, middle.level, WORK_map, gpa);
    if (!second_tables_map(door, L1, gpa, &middle))
        return false;
    bill_exit(door, L0, EXIT_FOR_vm_entry, gpa, 0);
    return true;
}

static bool answer_in_l0(struct door *door, gpa_t gpa)
{
    struct p2m_entry host;
    if (!look_up(door, gpa, &host))
        return false;
    bill_work(door, L0, host.level, WORK_collapse, gpa);
    return second_tables_map(door, L0, gpa, &host);
}

/* Whether L1's tables have no answer either. */
static bool is_l1s(const struct door *door, const struct refusal *r)
{
    struct p2m_entry middle = in_l1(door, r->ia);
    bool write = (r->access & KIND_OP) == KIND_WRITE;
    return middle.state != P2M_PRESENT || (write && middle.write_protected);
}

static bool prepare(struct machine *m, unsigned number, struct err *err)
{
    struct vm *vm = &m->vm[number];
    (void)err;
    if (!second_tables_new_root(m, number, L0) || !second_tables_new_root(m, number, L1))
        return false;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct door door = {m, &m->vcpu[i]};
        if (m->vcpu[i].vm != number)
            continue;
        const struct stage stage = second_tables_stage(&door, L0);
        mmu_set_second_stages(m->vcpu[i].mmu, &stage, 1,
                              vm->config->no_vpid ? 0 : (uint16_t)(number + 1));
    }
    return true;
}

static enum remedy answer(struct door *door, gva_t gva, const struct refusal *r,
                          struct vm_exit *exit)
{
    const struct vm *vm = &door->machine->vm[door->vcpu->vm];
    const struct second_stage_controls *c = second_tables_controls(door, L0);
    *exit = (struct vm_exit){.reason = EXIT_FOR_second_stage_violation,
                             .has_qualification = true,
                             .qualification = second_stage_qualification(c, r),
                             .address = r->ia};
    bill_exit(door, L0, exit->reason, exit->address, exit->qualification);
    mmu_second_stage_fault(door->vcpu->mmu, gva, r);
    if ((r->kind != REFUSED_NOT_PRESENT && r->kind != REFUSED_PROTECTION) ||
        r->ia >= vm->p2m[L1].bytes)
        return REMEDY_EXIT;
    bool done = is_l1s(door, r) ? answer_in_l1(door, r->ia, r->access) : answer_in_l0(door, r->ia);
    return done ? REMEDY_RETRY : REMEDY_STOP;
}

static enum remedy refused(struct door *door, const struct access *access, const struct refusal *r,
                           struct refusal *guest, struct vm_exit *exit)
{
    if (r->depth)
        return answer(door, access->gva, r, exit);
    *guest = *r;
    return REMEDY_FAULT;
}

static const char *reset(struct door *door, const struct registers *registers)
{
    hpa_t at;
    if (control_paging(registers) == PAGING_PAE && !door->vcpu->mmu->stage[1].npt)
        second_tables_touch(door, control_root(registers), KIND_READ, answer, &at);
    return technique_native.reset(door, registers);
}

static const char *execute(struct door *door, const struct instruction *instruction)
{
    gpa_t root;
    hpa_t at;
    if (second_tables_pdptes(door, instruction, &root))
        second_tables_touch(door, root, KIND_READ, answer, &at);
    return technique_native.execute(door, instruction);
}

static bool store(struct door *door, gpa_t gpa, uint64_t value, unsigned size, unsigned level)
{
    hpa_t at;
    (void)level;
    if (!second_tables_touch(door, gpa, KIND_WRITE, answer, &at))
        return false;
    mem_store(&door->machine->mem, at, value, size);
    return true;
}

/* What L0 has collapsed it makes anew when it is missed. */
static void follow(struct door *door, gpa_t frame, const struct p2m_entry *middle)
{
    second_tables_follow(door, L1, frame, middle);
    second_tables_follow(door, L0, frame, &(struct p2m_entry){.state = P2M_ABSENT});
}

static void move(struct door *door, enum move move, gpa_t gpa, uint64_t bytes)
{
    moves_make(door, move, gpa, bytes, follow);
    second_tables_forget(door);
}

const struct technique technique_collapsed = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .store = store,
    .move = move,
};
