/**
 * @file
 * Shadow paging: the hypervisor collapses a guest's tables and the p2m under them into tables that
 * the processor walks. What its parts share.
 *
 * shadow_tables.c: entries, what maps what, and pages coming and going; shadow_fill.c: from the
 * guest's tables to shadow entries; shadow_sync.c: writes to the guest's tables, and what
 * invalidates; shadow.c: the technique.
 *
 * Modelled: three ways to follow the guest's tables (enum shadow_policy); emulation of D, of CR0.WP
 * clear, of large pages that the host has not; prefetching, write flooding, a bounded number of
 * tables, as KVM has them. Simplified: shadow entries are never global, and the processor uses no
 * PCID of the guest's; TLBs are dropped at once on all vCPUs, unbilled; the guest kernel's own
 * mapping of its tables is not modelled, so that its stores exit only where a table is watched.
 * Not modelled: KVM's fast page faults.
 * Source: Linux, Documentation/virt/kvm/x86/mmu.rst; Intel SDM vol. 3, 32.3 (software TLB).
 */
#ifndef SIM_HYPERVISOR_SHADOW_H
#define SIM_HYPERVISOR_SHADOW_H

#include "sim/hypervisor/agile.h"
#include "sim/hypervisor/bill.h"
#include "sim/hypervisor/technique.h"

static inline struct vm *shadow_vm(const struct door *door)
{
    return &door->machine->vm[door->vcpu->vm];
}

static inline struct shadow *shadow_of(const struct door *door)
{
    return &shadow_vm(door)->shadow;
}

static inline struct shadow_vcpu *shadow_here(const struct door *door)
{
    return &shadow_of(door)->vcpu[door->vcpu->number];
}

static inline enum shadow_policy shadow_policy(const struct door *door)
{
    const struct vm_config *config = shadow_vm(door)->config;
    return config->mode == MODE_AGILE ? SHADOW_KVM : config->shadow.policy;
}

/** A bit of a context: the guest's entries are of 4 bytes. */
enum { SHADOW_SHORT = 1 };

/* ---- entries: all formats of shadow tables have the same bits ---- */

static inline unsigned shadow_shift(unsigned level)
{
    return 3 + 9 * level;
}

static inline unsigned shadow_index(unsigned level, gva_t gva)
{
    return gva >> shadow_shift(level) & (SHADOW_ENTRIES - 1);
}

static inline bool shadow_is_leaf(unsigned level, uint64_t entry)
{
    return level == 1 || entry & PTE_PS;
}

static inline uint64_t shadow_address(uint64_t entry)
{
    return entry & low_bits(52) & ~low_bits(FRAME_SHIFT);
}

uint64_t shadow_entry(const struct door *, uint32_t page, unsigned index);

/** Clears an entry, whatever it is, and what the TLBs know by it. */
void shadow_clear(struct door *, uint32_t page, unsigned index);

/**
 * Makes an entry map the host's page at @p at with @p rights (MAY_*, key). False: it did already,
 * or there is no memory for its place in the reverse map.
 */
bool shadow_map(struct door *, uint32_t page, unsigned index, hpa_t at, uint32_t rights);

/** Makes an entry lead to the guest's own table at @p table; with @p rights (MAY_*). See agile.h.
 * False: no memory, and the machine is stopped. */
bool shadow_switch(struct door *, uint32_t page, unsigned index, hpa_t table, uint32_t rights);

/**
 * The page that an entry leads to, which is that of the key: found or made, and linked, if need be.
 * @p fresh: set if it was not linked. 0: no memory, and the machine is stopped.
 */
uint32_t shadow_child(struct door *, uint32_t page, unsigned index, const struct shadow_key *,
                      bool *fresh);

/** Where the way of @p gva ends on this vCPU: at a leaf, or a page that splits a guest's, or
 * nothing. False: at nothing. */
bool shadow_locate(const struct door *, gva_t gva, uint32_t *page, unsigned *index);

/* ---- pages ---- */

/** Gives the vCPU a page to begin walks with; 0: none, so that the next access exits. */
void shadow_set_root(struct door *, unsigned slot, uint32_t page);

/** A new page; 0: no memory, and the machine is stopped. */
uint32_t shadow_make(struct door *, const struct shadow_key *);

/** Clears all entries of a page. */
void shadow_empty(struct door *, uint32_t page);

/** Drops a page, with all that it maps and leads to, and all that leads to it. */
void shadow_zap(struct door *, uint32_t page);

/** Drops the oldest pages when few may still be made. */
void shadow_make_room(struct door *);

/** Takes the right to write from all that maps a guest's frame. */
void shadow_protect(struct door *, uint64_t gfn);

/** Drops all that maps a guest's frame, which is taken away; before shadow_resume. */
void shadow_drop_gfn(struct door *, uint64_t gfn);

/** What maps a guest's frame follows its p2m entry, which has changed; before shadow_resume. */
void shadow_follow(struct door *, gpa_t frame, const struct p2m_entry *);

/** What the guest has loaded is walked in another way from now on. */
void shadow_reload(struct door *);

/** The guest goes on: drops from the TLBs of all its vCPUs what they may not know any more. */
void shadow_resume(struct door *);

/* ---- from the guest's tables ---- */

/** The root of a slot as its key. False: the guest has none there. */
bool shadow_root_key(const struct door *, unsigned slot, struct shadow_key *);

/** Which slot an address begins in. */
unsigned shadow_slot(const struct door *, gva_t gva);

/** Answers a page fault: see technique.refused. */
enum remedy shadow_fault(struct door *, const struct access *, const struct refusal *,
                         struct refusal *guest, struct vm_exit *exit);

/** Reads the guest's entry anew that an entry of a level-1 page is the shadow of. */
void shadow_sync_entry(struct door *, uint32_t page, unsigned index);

/* ---- writes to the guest's tables, and invalidation ---- */

/** KVM's policy: lets the guest write a table from now on, if only leaves are shadows of it. */
bool shadow_unsync(struct door *, uint64_t gfn);

/** A write to a watched table is emulated; billed, and pages that are written again and again are
 * dropped. */
void shadow_emulate(struct door *, gpa_t gpa);

/** Drops the entries that shadow the words at [@p gpa, @p gpa + @p bytes), after a write. */
void shadow_drop_written(struct door *, gpa_t gpa, uint64_t bytes);

/** The shadow of a table that was written unwatched agrees with it again. */
void shadow_sync_page(struct door *, uint32_t page);

/** The guest invalidates one address, or all that its vCPU has loaded. */
void shadow_invalidate(struct door *, gva_t gva);
void shadow_invalidate_all(struct door *);

#endif
