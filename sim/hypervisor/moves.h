/**
 * @file
 * A hypervisor's moves: what it does to its mappings of a VM's memory of its own accord. The guest
 * must not notice; its next touch, or next write, exits.
 *
 * Modelled: on the p2m, and by what is derived from it. A dropped frame keeps its contents, where a
 * swap would write them out and a balloon throw them away. A large page that is touched by a move
 * is split for good, and its mapping goes whole. What has no frame yet is left alone. The tables
 * that shadows are made of stay shadowed: a shadow is of the contents. Not modelled: khugepaged.
 * Source: Linux, virt/kvm/kvm_main.c (MMU notifiers), arch/x86/kvm/mmu/mmu.c, kvm_unmap_gfn_range;
 * Documentation/admin-guide/mm/userfaultfd.rst (write protection).
 */
#ifndef SIM_HYPERVISOR_MOVES_H
#define SIM_HYPERVISOR_MOVES_H

#include "sim/hypervisor/technique.h"

/** What a mode's tables map of a frame follows its p2m entry, which has changed. */
typedef void moves_follow(struct door *, gpa_t frame, const struct p2m_entry *);

/** Makes a move on all frames of [@p gpa, @p gpa + @p bytes) that the VM has; the caller has the
 * TLBs forget. Cost: the frames of the range, had or not. */
void moves_make(struct door *, enum move, gpa_t gpa, uint64_t bytes, moves_follow *);

#endif
