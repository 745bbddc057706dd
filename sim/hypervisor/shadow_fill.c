/*
 * From the guest's tables to shadow entries: the hypervisor's own walk, which is the processor's
 * walk over the guest's stage and the p2m, and what it makes of its answer.
 */
#include "sim/hypervisor/shadow.h"

#include "sim/hypervisor/back.h"

/* What shall be mapped. */
struct want {
    gva_t gva;
    gpa_t gpa;
    hpa_t hpa;
    unsigned guest_level, host_level; /* of the pages on both sides */
    uint32_t rights;                  /* of the leaf: MAY_*, key */
    bool write;
    const struct ref *table[LEVELS_MAX + 1]; /* by level: the guest's entries on the way */
};

/* Paging is off: the whole space is one page of the guest's. */
enum { NO_PAGING = LEVELS_MAX + 1 };

/* ---- keys ---- */

static bool is_two_level(const struct door *door)
{
    return shadow_here(door)->guest.format.entry_bytes == 4;
}

unsigned shadow_slot(const struct door *door, gva_t gva)
{
    return door->vcpu->mmu->stage[0].format.registers ? gva >> 30 & (SHADOW_ROOTS - 1) : 0;
}

bool shadow_root_key(const struct door *door, unsigned slot, struct shadow_key *key)
{
    const struct shadow_vcpu *v = shadow_here(door);
    const struct format *f = &door->vcpu->mmu->stage[0].format;
    gpa_t table = v->guest.root;
    *key = (struct shadow_key){.level = f->levels - f->registers, .rights = MAY_ALL};
    if (shadow_policy(door) == SHADOW_VTLB) {
        key->kind = SHADOW_REGION;
        key->number = slot;
        key->vcpu = (uint16_t)door->vcpu->number;
        return true;
    }
    key->kind = v->guest.format.levels ? SHADOW_GUEST : SHADOW_SPLIT;
    key->context = v->context;
    if (v->guest.format.registers) {
        table = format_address(&v->guest.format, f->levels, false, v->guest.top[slot]);
        if (!format_present(&v->guest.format, v->guest.top[slot]))
            return false;
    } else if (is_two_level(door)) {
        key->quadrant = (uint8_t)slot;
    }
    key->number = table >> FRAME_SHIFT;
    return vm_holds(door->machine, door->vcpu->vm, table, FRAME_BYTES);
}

/* What the page of @p level on the way to the wanted address is the shadow of. */
static struct shadow_key key_of(const struct door *door, const struct want *want, unsigned level)
{
    bool region = shadow_policy(door) == SHADOW_VTLB;
    struct shadow_key key = {.level = (uint8_t)level,
                             .vcpu = region ? (uint16_t)door->vcpu->number : 0};
    if (level < want->guest_level) {
        key.kind = SHADOW_SPLIT;
        key.number = want->gpa >> FRAME_SHIFT & ~low_bits(9 * level);
        key.rights = (uint8_t)((want->rights & MAY_ALL) | want->rights >> LEAF_KEY_SHIFT << 4);
    } else if (region) {
        key.kind = SHADOW_REGION;
        key.number = want->gva >> shadow_shift(level + 1);
    } else {
        key.kind = SHADOW_GUEST;
        key.number = want->table[level]->table_ia >> FRAME_SHIFT;
        key.context = shadow_here(door)->context;
        key.rights = want->table[level + 1]->rights & MAY_ALL;
        key.quadrant = (uint8_t)(is_two_level(door) ? want->gva >> shadow_shift(level + 1) & 1 : 0);
    }
    return key;
}

/* ---- filling ---- */

static uint32_t root_for(struct door *door, gva_t gva)
{
    struct shadow *s = shadow_of(door);
    unsigned slot = shadow_slot(door, gva);
    uint32_t page = shadow_here(door)->root[slot];
    struct shadow_key key;
    if (page || !shadow_root_key(door, slot, &key))
        return page;
    page = shadow_find(s, &key);
    bool found = page;
    if (!found)
        page = shadow_make(door, &key);
    shadow_set_root(door, slot, page);
    if (found)
        shadow_invalidate_all(door); /* it has been out of this vCPU's sight */
    return page;
}

/* Whether a leaf of @p level may map the wanted page. */
static bool fits(const struct door *door, const struct want *want, unsigned level)
{
    const struct format *f = &door->vcpu->mmu->stage[0].format;
    uint64_t frames = (uint64_t)1 << 9 * (level - 1);
    uint64_t first = want->gpa >> FRAME_SHIFT & ~(frames - 1);
    if (level == 1)
        return true;
    return level <= want->guest_level && level <= want->host_level && f->leaf_levels >> level & 1 &&
           !(want->rights & MAY_WRITE && shadow_has_any(shadow_of(door), first, frames));
}

/* The rights that a frame may be mapped with: a watched table is not to be written, nor what the
 * hypervisor has write-protected. */
static uint32_t frame_rights(struct door *door, gpa_t gpa, uint32_t rights, bool write)
{
    uint64_t gfn = gpa >> FRAME_SHIFT;
    if (p2m_get(&shadow_vm(door)->p2m[1], gpa).write_protected)
        rights &= ~(uint32_t)MAY_WRITE;
    if (!(rights & MAY_WRITE) || !shadow_watches(shadow_of(door), gfn))
        return rights;
    return write && shadow_unsync(door, gfn) ? rights : rights & ~(uint32_t)MAY_WRITE;
}

/* A page that comes into use again: what was written unwatched under it must be looked at. */
static void catch_up(struct door *door, uint32_t page)
{
    const struct shadow *s = shadow_of(door);
    if (s->page[page].key.kind == SHADOW_REGION)
        shadow_empty(door, page); /* INVLPG has not seen what it maps */
    else if (s->page[page].unsynced)
        shadow_sync_page(door, page);
    else if (s->n_unsynced && s->page[page].key.level > 1)
        shadow_invalidate_all(door);
}

/* The page below, and in step with the guest's table if it was out of use. */
static uint32_t go_down(struct door *door, const struct want *want, uint32_t page, unsigned level)
{
    const struct shadow *s = shadow_of(door);
    struct shadow_key key = key_of(door, want, level - 1);
    uint64_t live = s->live;
    bool fresh;
    page = shadow_child(door, page, shadow_index(level, want->gva), &key, &fresh);
    if (key.kind == SHADOW_SPLIT && s->live > live)
        bill_work(door, 1, level, WORK_split, want->gpa);
    if (page && fresh && s->live == live)
        catch_up(door, page);
    return page;
}

static void prefetch(struct door *door, uint32_t page, unsigned index);
static void prefetch_split(struct door *door, uint32_t page, unsigned index);

/* Agile paging: whether the table under an entry of @p level is the guest's own. */
static bool goes_on_in_guest(const struct door *door, const struct want *want, unsigned level)
{
    const struct ref *below =
        level > 1 && level > want->guest_level ? want->table[level - 1] : NULL;
    return below && agile_is_nested(door, below->table_ia >> FRAME_SHIFT, level - 1);
}

/* Enters the wanted page. False: no memory. @p changed, and whether it may be @p written. */
static bool fill(struct door *door, struct want *want, bool *changed, bool *writable)
{
    struct shadow *s = shadow_of(door);
    uint32_t page = root_for(door, want->gva);
    unsigned level = page ? s->page[page].key.level : 0;
    for (; page && (level > want->guest_level || !fits(door, want, level)); level--) {
        s->page[page].writes = 0;
        if (goes_on_in_guest(door, want, level)) {
            *changed = *writable = true;
            return shadow_switch(door, page, shadow_index(level, want->gva),
                                 want->table[level - 1]->at & ~low_bits(FRAME_SHIFT),
                                 want->table[level]->rights);
        }
        page = go_down(door, want, page, level);
    }
    if (!page)
        return false;
    s->page[page].writes = 0;
    unsigned index = shadow_index(level, want->gva);
    if (level == 1)
        want->rights = frame_rights(door, want->gpa, want->rights, want->write);
    *writable = want->rights & MAY_WRITE;
    *changed = shadow_map(door, page, index, want->hpa, want->rights);
    if (s->page[page].key.kind == SHADOW_GUEST && level == 1)
        prefetch(door, page, index);
    else if (s->page[page].key.kind == SHADOW_SPLIT && level == 1)
        prefetch_split(door, page, index);
    return true;
}

/* ---- the guest's entries, for those that are not walked to ---- */

static gpa_t guest_entry_at(const struct door *door, const struct shadow_key *key, unsigned index)
{
    gpa_t table = key->number << FRAME_SHIFT;
    return is_two_level(door) ? table + 4u * (key->quadrant * SHADOW_ENTRIES + index)
                              : table + 8u * index;
}

/* What a guest's entry of level 1 maps. False: nothing, or nothing that may be cached. */
static bool read_leaf(struct door *door, uint32_t page, unsigned index, struct p2m_entry *host,
                      uint32_t *rights)
{
    const struct machine *m = door->machine;
    const struct shadow_key *key = &shadow_of(door)->page[page].key;
    const struct format *f = &shadow_here(door)->guest.format;
    hpa_t entry_at;
    if (!vm_reach(m, door->vcpu->vm, guest_entry_at(door, key, index), &entry_at))
        return false;
    uint64_t entry = mem_load(&m->mem, entry_at, f->entry_bytes);
    if (!format_present(f, entry) || entry & f->reserved[1][1] || !(entry & f->accessed))
        return false;
    gpa_t gpa = format_address(f, 1, true, entry);
    *host = p2m_get(&shadow_vm(door)->p2m[1], gpa);
    if (host->state != P2M_PRESENT)
        return false;
    *rights = format_rights(f, true, entry) & (key->rights | ~(uint32_t)MAY_ALL);
    if (!(*rights & LEAF_DIRTY))
        *rights &= ~(uint32_t)MAY_WRITE;
    *rights = frame_rights(door, gpa, *rights, false);
    return true;
}

/*
 * KVM's: the entries around it that the guest has used, where the host has the frame at hand and
 * unprotected; up to the first of which that can't be said. Agile paging shadows a table that
 * rests, and all of it at once.
 */
static void prefetch(struct door *door, uint32_t page, unsigned index)
{
    bool whole = shadow_vm(door)->config->mode == MODE_AGILE;
    unsigned n = whole ? SHADOW_ENTRIES : shadow_vm(door)->config->shadow.prefetch;
    if (!n || (!whole && shadow_policy(door) != SHADOW_KVM))
        return;
    unsigned first = index / n * n;
    for (unsigned i = first; i < first + n && i < SHADOW_ENTRIES; i++) {
        struct p2m_entry host;
        uint32_t rights;
        if (shadow_entry(door, page, i) & PTE_P)
            continue;
        bool used = read_leaf(door, page, i, &host, &rights) && !host.write_protected;
        if (!used && whole)
            continue;
        if (!used)
            return;
        shadow_map(door, page, i, host.at, rights);
        bill_work(door, 1, 1, WORK_prefetch, host.at);
    }
}

/* Maps the part of a split page at @p index, if its frame is there. */
static bool map_part(struct door *door, uint32_t page, unsigned index)
{
    const struct shadow_key *key = &shadow_of(door)->page[page].key;
    gpa_t gpa = (key->number + index) << FRAME_SHIFT;
    struct p2m_entry host = p2m_get(&shadow_vm(door)->p2m[1], gpa);
    uint32_t rights = (key->rights & MAY_ALL) | (uint32_t)key->rights >> 4 << LEAF_KEY_SHIFT;
    if (host.state != P2M_PRESENT || host.write_protected)
        return false;
    shadow_map(door, page, index, host.at, frame_rights(door, gpa, rights, false));
    bill_work(door, 1, 1, WORK_prefetch, host.at);
    return true;
}

/*
 * KVM's, in a large page of the guest's on small ones of the host's: runs of entries that are not
 * there, each up to the first frame that is not. A run that begins with none ends it all.
 */
static void prefetch_split(struct door *door, uint32_t page, unsigned index)
{
    unsigned n = shadow_vm(door)->config->shadow.prefetch;
    if (!n || shadow_policy(door) != SHADOW_KVM || shadow_vm(door)->config->mode == MODE_AGILE)
        return;
    unsigned first = index / n * n, last = first + n < SHADOW_ENTRIES ? first + n : SHADOW_ENTRIES;
    bool begins = true, lost = false;
    for (unsigned i = first; i < last; i++) {
        bool there = shadow_entry(door, page, i) & PTE_P;
        if (!there && !lost)
            lost = !map_part(door, page, i);
        if (lost && begins)
            return;
        begins = there;
        lost &= !there;
    }
}

void shadow_sync_entry(struct door *door, uint32_t page, unsigned index)
{
    uint64_t entry = shadow_entry(door, page, index);
    struct p2m_entry host;
    uint32_t rights;
    if (!(entry & PTE_P))
        return;
    if (!read_leaf(door, page, index, &host, &rights) || host.at != shadow_address(entry))
        shadow_clear(door, page, index);
    else
        shadow_map(door, page, index, host.at, rights);
}

/* ---- answering ---- */

/* A table that was dropped comes back as the hypervisor reads it, without an exit. */
static bool table_comes_back(struct door *door, const struct refusal *r)
{
    struct p2m_entry entry = p2m_get(&shadow_vm(door)->p2m[1], r->ia);
    return r->depth && r->on_table && entry.state == P2M_KEPT &&
           back_page(door, 1, r->ia, KIND_READ, &entry);
}

/*
 * The guest's tables, then the p2m. A table without a frame is zero: nothing is present there. Data
 * without a frame is left as it is, a refusal at depth 1.
 */
static bool walk_guest(struct door *door, const struct stage chain[2], gva_t gva, unsigned kind,
                       struct walk *w)
{
    do {
        *w = (struct walk){.stage = chain, .stages = 2, .bus = {.mem = &door->machine->mem}};
        if (walk_read(w, gva, kind))
            return true;
    } while (table_comes_back(door, &w->refusal));
    if (w->refusal.depth && w->refusal.on_table) {
        const struct format *f = &chain[0].format;
        int level = w->refs ? w->ref[w->refs - 1].level - 1 : f->levels - f->registers;
        w->refusal = (struct refusal){
            .kind = REFUSED_NOT_PRESENT, .level = (uint8_t)level, .access = kind, .ia = gva};
    }
    return false;
}

/* What is written from now on, the guest's tables by the hypervisor itself, is so unhindered. */
static void unprotect(struct door *door, const struct walk *w, unsigned kind)
{
    struct p2m_entry entry;
    for (unsigned i = 0; i < w->refs; i++)
        if (w->ref[i].set)
            back_page(door, 1, w->ref[i].table_ia, KIND_WRITE, &entry);
    back_page(door, 1, w->found.next, kind, &entry);
}

/* It is the guest's own: the processor would drop what it knows of the address. */
static enum remedy hand_on(struct door *door, gva_t gva, const struct refusal *guest)
{
    bill_exit(door, 1, EXIT_FOR_page_fault, gva, mmu_error_code(door->vcpu->mmu, guest));
    bill_work(door, 1, 0, WORK_inject, gva);
    shadow_invalidate(door, gva);
    shadow_resume(door);
    return REMEDY_FAULT;
}

/*
 * The rights of a leaf for an access that the guest allows. Where it does only because CR0.WP is
 * clear, the page is the supervisor's own until a user asks for it. False: the processor cannot be
 * made to allow it and to go on refusing what it must.
 */
static bool leaf_rights(const struct door *door, unsigned kind, uint32_t *rights)
{
    const struct mmu *mmu = door->vcpu->mmu;
    if (!stage_allows(&mmu->stage[0], kind, *rights)) {
        if (mmu->registers.cr4 & (CR4_SMAP | CR4_PKE))
            return false;
        *rights = (*rights | MAY_WRITE) & ~(uint32_t)MAY_USER;
        *rights &= mmu->registers.cr4 & CR4_SMEP ? ~(uint32_t)MAY_EXEC : ~(uint32_t)0;
    }
    *rights &= *rights & LEAF_DIRTY ? ~(uint32_t)0 : ~(uint32_t)MAY_WRITE;
    return true;
}

static struct want want_of(const struct door *door, const struct walk *w, gva_t gva, unsigned kind)
{
    struct want want = {.gva = gva,
                        .gpa = w->found.next,
                        .hpa = w->found.hpa,
                        .guest_level = w->found.level ? w->found.level : NO_PAGING,
                        .host_level = p2m_get(&shadow_vm(door)->p2m[1], w->found.next).level,
                        .rights = w->found.rights,
                        .write = (kind & KIND_OP) == KIND_WRITE};
    for (unsigned i = 0; i < w->refs; i++)
        want.table[w->ref[i].level] = &w->ref[i];
    return want;
}

/* The guest allows it: maps it, or makes the access in the guest's place. */
static enum remedy provide(struct door *door, const struct walk *w, gva_t gva, unsigned kind,
                           struct vm_exit *exit)
{
    struct want want = want_of(door, w, gva, kind);
    bool first = want.write && w->found.leaf != WALK_NO_REF && w->ref[w->found.leaf].set & PTE_D;
    bool changed, writable;
    uint32_t page;
    unsigned index;
    *exit = (struct vm_exit){.address = w->found.hpa};
    if (!leaf_rights(door, kind, &want.rights)) {
        bill_work(door, 1, 1, WORK_emulate, want.gpa);
        return REMEDY_EMULATE;
    }
    shadow_make_room(door);
    bool known = shadow_locate(door, gva, &page, &index);
    if (!fill(door, &want, &changed, &writable))
        return REMEDY_STOP;
    if (changed)
        bill_work(door, 1, w->found.level, first && known ? WORK_dirty : WORK_fill, gva);
    if (!want.write || writable)
        return REMEDY_RETRY;
    shadow_emulate(door, want.gpa);
    return REMEDY_EMULATE;
}

static bool is_ours(const struct door *door, const struct refusal *r)
{
    return r->depth && r->ia < shadow_vm(door)->p2m[1].bytes;
}

enum remedy shadow_fault(struct door *door, const struct access *access, const struct refusal *r,
                         struct refusal *guest, struct vm_exit *exit)
{
    const struct shadow *s = shadow_of(door);
    const struct stage chain[2] = {shadow_here(door)->guest,
                                   {.map = &shadow_vm(door)->p2m[1].words}};
    unsigned kind = kind_of(access);
    struct walk w;
    struct p2m_entry entry;
    bool done = walk_guest(door, chain, access->gva, kind, &w);
    if (!done && !w.refusal.depth) {
        *guest = w.refusal;
        return hand_on(door, access->gva, guest);
    }
    bool watched =
        done && (kind & KIND_OP) == KIND_WRITE && shadow_watches(s, w.found.next >> FRAME_SHIFT);
    *exit = (struct vm_exit){.reason = watched ? EXIT_FOR_table_write : EXIT_FOR_hidden_fault,
                             .has_qualification = true,
                             .qualification = mmu_error_code(door->vcpu->mmu, r),
                             .address = done ? access->gva : w.refusal.ia};
    bill_exit(door, 1, exit->reason, exit->address, exit->qualification);
    if (!done && !is_ours(door, &w.refusal))
        return REMEDY_EXIT;
    if (!done && !back_page(door, 1, w.refusal.ia, kind, &entry))
        return REMEDY_STOP;
    if (!done)
        walk_guest(door, chain, access->gva, kind, &w);
    unprotect(door, &w, kind);
    walk_commit(&w);
    enum remedy remedy = provide(door, &w, access->gva, kind, exit);
    shadow_resume(door);
    return remedy;
}
