/**
 * @file
 * Exits and the work that answers them, counted and priced unless the machine is being set up.
 */
#ifndef SIM_HYPERVISOR_BILL_H
#define SIM_HYPERVISOR_BILL_H

#include "sim/parts.h"

/** An exit to the hypervisor of @p depth; what the VM loses by it is mmu_vm_transition's. */
static inline void bill_exit(struct door *door, unsigned depth, enum exit_reason reason,
                             uint64_t address, uint64_t qualification)
{
    if (!door->machine->billed)
        return;
    NOTE(&door->vcpu->mmu->tally, EXIT, depth, 0, reason, address, qualification);
    mmu_vm_transition(door->vcpu->mmu);
}

/** Work of the hypervisor of @p depth, on a table of @p level or on none (0). */
static inline void bill_work(struct door *door, unsigned depth, unsigned level, enum work work,
                             uint64_t address)
{
    if (door->machine->billed)
        NOTE(&door->vcpu->mmu->tally, WORK, depth, level, work, address, 0);
}

#endif
