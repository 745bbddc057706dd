/* What the guest does to its tables, and how their shadows follow: by policy. */
#include "sim/hypervisor/shadow.h"

/* ---- writes ---- */

bool shadow_unsync(struct door *door, uint64_t gfn)
{
    struct shadow *s = shadow_of(door);
    if (shadow_policy(door) != SHADOW_KVM)
        return false;
    for (uint32_t page = 0; (page = shadow_next_of(s, gfn, page));)
        if (s->page[page].key.level > 1)
            return false;
    for (uint32_t page = 0; (page = shadow_next_of(s, gfn, page));) {
        if (s->page[page].unsynced)
            continue;
        if (!shadow_set_unsynced(s, page, true))
            return false;
        bill_work(door, 1, 1, WORK_unsync, gfn << FRAME_SHIFT);
    }
    return true;
}

/* Upper tables that are written without being used are probably no tables any more. */
static void count_write(struct door *door, uint32_t page)
{
    struct shadow *s = shadow_of(door);
    uint32_t most = shadow_vm(door)->config->shadow.flood;
    unsigned level = s->page[page].key.level;
    if (level == 1 || !most || ++s->page[page].writes < most)
        return;
    bill_work(door, 1, level, WORK_flood, s->page[page].key.number << FRAME_SHIFT);
    shadow_zap(door, page);
}

void shadow_emulate(struct door *door, gpa_t gpa)
{
    const struct shadow *s = shadow_of(door);
    uint64_t gfn = gpa >> FRAME_SHIFT;
    bill_work(door, 1, 0, WORK_emulate, gpa);
    if (shadow_policy(door) != SHADOW_KVM)
        return;
    for (uint32_t page = shadow_next_of(s, gfn, 0), next; page; page = next) {
        next = shadow_next_of(s, gfn, page);
        count_write(door, page);
    }
}

/* A guest's entry of 4 bytes has one shadow entry at level 1, and two at level 2. */
static void drop_short(struct door *door, uint32_t page, unsigned index)
{
    const struct shadow_key key = shadow_of(door)->page[page].key;
    unsigned per_page = key.level == 1 ? SHADOW_ENTRIES : SHADOW_ENTRIES / 2;
    if (index / per_page != key.quadrant)
        return;
    for (unsigned i = 0; i < SHADOW_ENTRIES / per_page; i++)
        shadow_clear(door, page, index % per_page * (SHADOW_ENTRIES / per_page) + i);
}

void shadow_drop_written(struct door *door, gpa_t gpa, uint64_t bytes)
{
    const struct shadow *s = shadow_of(door);
    unsigned offset = gpa & (FRAME_BYTES - 1), last = offset + (unsigned)bytes - 1;
    for (uint32_t page = 0; (page = shadow_next_of(s, gpa >> FRAME_SHIFT, page));) {
        bool is_short = s->page[page].key.context & SHADOW_SHORT;
        unsigned entry = is_short ? 4 : 8;
        for (unsigned i = offset / entry; i <= last / entry; i++)
            if (is_short)
                drop_short(door, page, i);
            else
                shadow_clear(door, page, i);
    }
}

/* ---- in step again ---- */

void shadow_sync_page(struct door *door, uint32_t page)
{
    bill_work(door, 1, 1, WORK_sync, shadow_of(door)->page[page].key.number << FRAME_SHIFT);
    for (unsigned i = 0; i < SHADOW_ENTRIES; i++)
        shadow_sync_entry(door, page, i);
}

/* Whether this vCPU's walks may come to a page. */
static bool is_reached(const struct door *door, uint32_t page)
{
    const struct shadow *s = shadow_of(door);
    for (unsigned slot = 0; slot < SHADOW_ROOTS; slot++)
        if (shadow_here(door)->root[slot] == page)
            return true;
    for (uint32_t at = s->page[page].parents; at; at = s->rmap.node[at].next)
        if (is_reached(door, s->rmap.node[at].page))
            return true;
    return false;
}

/* From the end: what takes the place of a page that leaves the list has been looked at. */
static void sync_reached(struct door *door)
{
    struct shadow *s = shadow_of(door);
    for (size_t i = s->n_unsynced; i-- > 0;) {
        uint32_t page = s->unsynced[i];
        if (!is_reached(door, page))
            continue;
        shadow_set_unsynced(s, page, false);
        shadow_protect(door, s->page[page].key.number);
        shadow_sync_page(door, page);
    }
}

/* A software TLB forgets everything. */
static void drop_tree(struct door *door)
{
    struct shadow *s = shadow_of(door);
    for (uint32_t page = s->oldest, newer; page; page = newer) {
        newer = s->page[page].newer;
        if (s->page[page].key.vcpu == door->vcpu->number)
            shadow_zap(door, page);
    }
}

/* ---- invalidation ---- */

/* A guest's page of 4 MiB is two of the shadow's, whichever of them is there. */
static void drop_other_half(struct door *door, uint32_t page, unsigned index)
{
    bool halved = shadow_here(door)->guest.format.entry_bytes == 4;
    if (page && halved && shadow_of(door)->page[page].key.level == 2)
        shadow_clear(door, page, index ^ 1);
}

void shadow_invalidate(struct door *door, gva_t gva)
{
    uint32_t page;
    unsigned index;
    bool known = shadow_locate(door, gva, &page, &index);
    if (shadow_policy(door) != SHADOW_KVM)
        drop_other_half(door, page, index);
    if (!known)
        return;
    if (shadow_policy(door) != SHADOW_KVM)
        shadow_clear(door, page, index);
    else if (shadow_of(door)->page[page].unsynced)
        shadow_sync_entry(door, page, index);
}

void shadow_invalidate_all(struct door *door)
{
    if (shadow_policy(door) == SHADOW_KVM)
        sync_reached(door);
    else if (shadow_policy(door) == SHADOW_VTLB)
        drop_tree(door);
}
