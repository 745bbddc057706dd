/* Shadow tables: entries with their places in the reverse map, and pages coming and going. */
#include <assert.h>

#include "sim/hypervisor/shadow.h"

/* Pages left at which the oldest are dropped, and until how many are left: KVM's. */
enum { ROOM_LOW = 5, ROOM_REFILL = 25 };

static hpa_t place_of(const struct shadow *s, uint32_t page, unsigned index)
{
    return s->page[page].table + 8u * index;
}

uint64_t shadow_entry(const struct door *door, uint32_t page, unsigned index)
{
    return mem_load(&door->machine->mem, place_of(shadow_of(door), page, index), 8);
}

static void set_entry(struct door *door, uint32_t page, unsigned index, uint64_t entry)
{
    mem_store(&door->machine->mem, place_of(shadow_of(door), page, index), entry, 8);
}

/* The shadow page of a link's table, and the guest's frame of a leaf's page. */
static uint64_t owner_number(const struct door *door, uint64_t entry)
{
    return host_owner(&door->machine->host, shadow_address(entry)).gfn;
}

/* ---- what TLBs must drop ---- */

static void drop_all(struct shadow *s)
{
    s->drops.all = true;
}

/* Which slot of any vCPU begins with a page: one, none (-1), or several (-2). */
static int slot_of(const struct shadow *s, uint32_t page)
{
    int slot = -1;
    for (size_t v = 0; v < s->vcpus; v++)
        for (int i = 0; i < SHADOW_ROOTS; i++)
            if (s->vcpu[v].root[i] == page)
                slot = slot == -1 || slot == i ? i : -2;
    return slot;
}

static gva_t sign_extend(unsigned top, gva_t gva)
{
    unsigned spare = 64 - shadow_shift(top + 1);
    return top < PAGING_4_LEVEL ? gva : (gva_t)((int64_t)(gva << spare) >> spare);
}

/* The page that an entry maps is dropped by its address, if it has just one. */
static void drop_address(struct shadow *s, uint32_t page, unsigned index)
{
    gva_t gva = 0;
    for (;;) {
        const struct shadow_page *p = &s->page[page];
        gva |= (gva_t)index << shadow_shift(p->key.level);
        if (!p->parents)
            break;
        const struct rmap_node *parent = &s->rmap.node[p->parents];
        if (parent->next) {
            drop_all(s);
            return;
        }
        page = parent->page;
        index = parent->index;
    }
    int slot = slot_of(s, page);
    if (slot == -1)
        return; /* no vCPU walks it, and when one ceased to, it dropped everything */
    if (slot == -2 || s->drops.n == SHADOW_DROPS)
        drop_all(s);
    else
        s->drops.gva[s->drops.n++] =
            sign_extend(s->page[page].key.level, gva | (gva_t)slot << shadow_shift(3));
}

void shadow_resume(struct door *door)
{
    struct machine *m = door->machine;
    struct shadow_drops *drops = &shadow_of(door)->drops;
    for (unsigned i = 0; i < m->n_vcpus && (drops->all || drops->n); i++) {
        if (m->vcpu[i].vm != door->vcpu->vm)
            continue;
        if (drops->all)
            mmu_drop_all(m->vcpu[i].mmu);
        for (unsigned a = 0; a < drops->n && !drops->all; a++)
            mmu_drop_page(m->vcpu[i].mmu, drops->gva[a]);
    }
    *drops = (struct shadow_drops){0};
}

/* ---- entries ---- */

void shadow_clear(struct door *door, uint32_t page, unsigned index)
{
    struct shadow *s = shadow_of(door);
    uint64_t entry = shadow_entry(door, page, index), number;
    if (!(entry & PTE_P))
        return;
    number = owner_number(door, entry);
    if (shadow_is_leaf(s->page[page].key.level, entry)) {
        rmap_remove_frame(&s->rmap, number, page, index);
        drop_address(s, page, index);
    } else if (entry & AGILE_SWITCH) {
        rmap_remove_frame(&s->rmap, number, page, index);
        drop_all(s);
    } else {
        rmap_remove(&s->rmap, &s->page[number].parents, page, index);
        drop_all(s);
    }
    set_entry(door, page, index, 0);
}

static bool out_of_memory(struct door *door)
{
    machine_stop(door->machine, EXIT_ENVIRONMENT, "this computer is out of memory for shadows");
    return false;
}

/* A and D are set from the start: the processor never needs to. */
static uint64_t leaf_entry(unsigned level, hpa_t at, uint32_t rights)
{
    return at | PTE_P | PTE_A | PTE_D | (rights & MAY_WRITE ? PTE_W : 0) |
           (rights & MAY_USER ? PTE_U : 0) | (rights & MAY_EXEC ? 0 : PTE_NX) |
           (level > 1 ? PTE_PS : 0) | (uint64_t)(rights >> LEAF_KEY_SHIFT & 15) << PTE_PK_SHIFT;
}

bool shadow_map(struct door *door, uint32_t page, unsigned index, hpa_t at, uint32_t rights)
{
    struct shadow *s = shadow_of(door);
    unsigned level = s->page[page].key.level;
    uint64_t old = shadow_entry(door, page, index);
    uint64_t entry = leaf_entry(level, at & ~low_bits(shadow_shift(level)), rights);
    if (entry == old)
        return false;
    bool same =
        old & PTE_P && shadow_is_leaf(level, old) && shadow_address(old) == shadow_address(entry);
    if (!same)
        shadow_clear(door, page, index);
    else
        drop_address(s, page, index);
    if (!same && !rmap_add_frame(&s->rmap, owner_number(door, entry), page, index))
        return out_of_memory(door);
    set_entry(door, page, index, entry);
    return true;
}

bool shadow_switch(struct door *door, uint32_t page, unsigned index, hpa_t table, uint32_t rights)
{
    struct shadow *s = shadow_of(door);
    uint64_t entry = (leaf_entry(1, table, rights & MAY_ALL) & ~PTE_D) | AGILE_SWITCH;
    shadow_clear(door, page, index);
    if (!rmap_add_frame(&s->rmap, owner_number(door, entry), page, index))
        return out_of_memory(door);
    set_entry(door, page, index, entry);
    return true;
}

static bool link_child(struct door *door, uint32_t page, unsigned index, uint32_t child)
{
    struct shadow *s = shadow_of(door);
    shadow_clear(door, page, index);
    if (!rmap_add(&s->rmap, &s->page[child].parents, page, index))
        return out_of_memory(door);
    set_entry(door, page, index, s->page[child].table | PTE_P | PTE_W | PTE_U | PTE_A);
    return true;
}

uint32_t shadow_child(struct door *door, uint32_t page, unsigned index,
                      const struct shadow_key *key, bool *fresh)
{
    const struct shadow *s = shadow_of(door);
    uint64_t entry = shadow_entry(door, page, index);
    *fresh = true;
    if (entry & PTE_P && !(entry & AGILE_SWITCH) &&
        !shadow_is_leaf(s->page[page].key.level, entry)) {
        uint32_t child = (uint32_t)owner_number(door, entry);
        *fresh = memcmp(&s->page[child].key, key, sizeof *key);
        if (!*fresh)
            return child;
    }
    uint32_t child = shadow_find(s, key);
    if (!child)
        child = shadow_make(door, key);
    return child && link_child(door, page, index, child) ? child : 0;
}

bool shadow_locate(const struct door *door, gva_t gva, uint32_t *page, unsigned *index)
{
    const struct shadow *s = shadow_of(door);
    *page = shadow_here(door)->root[shadow_slot(door, gva)];
    while (*page) {
        unsigned level = s->page[*page].key.level;
        *index = shadow_index(level, gva);
        uint64_t entry = shadow_entry(door, *page, *index);
        if (!(entry & PTE_P) || entry & AGILE_SWITCH)
            return false;
        uint32_t child = (uint32_t)owner_number(door, entry);
        if (shadow_is_leaf(level, entry) || s->page[child].key.kind == SHADOW_SPLIT)
            return true;
        *page = child;
    }
    return false;
}

/* ---- pages ---- */

void shadow_set_root(struct door *door, unsigned slot, uint32_t page)
{
    struct shadow *s = shadow_of(door);
    struct stage *stage = &door->vcpu->mmu->stage[0];
    shadow_here(door)->root[slot] = page;
    if (stage->format.registers)
        stage->top[slot] = page ? s->page[page].table | PTE_P : 0;
    else
        stage->root = page ? s->page[page].table : 0; /* the host's first frame stays empty */
}

uint32_t shadow_make(struct door *door, const struct shadow_key *key)
{
    struct machine *m = door->machine;
    struct shadow *s = shadow_of(door);
    uint32_t page = shadow_add(s, key);
    const struct frame_owner owner = {FRAME_SHADOW, door->vcpu->vm, page};
    if (!page)
        return out_of_memory(door);
    if (!host_take(&m->host, 0, FRAME_BYTES, &owner, &s->page[page].table)) {
        shadow_remove(s, page);
        machine_stop(m, EXIT_NO,
                     "the host is out of memory: give /machine/memory more, or the "
                     "VMs less");
        return 0;
    }
    shadow_vm(door)->host_tables += FRAME_BYTES;
    if (key->kind == SHADOW_GUEST)
        shadow_protect(door, key->number);
    return page;
}

/* vCPUs that begin their walks there do so no more. */
static void unload(struct door *door, uint32_t page)
{
    struct machine *m = door->machine;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct door there = {m, &m->vcpu[i]};
        for (unsigned slot = 0; m->vcpu[i].vm == door->vcpu->vm && slot < SHADOW_ROOTS; slot++)
            if (shadow_here(&there)->root[slot] == page)
                shadow_set_root(&there, slot, 0);
    }
}

void shadow_empty(struct door *door, uint32_t page)
{
    for (unsigned i = 0; i < SHADOW_ENTRIES; i++)
        shadow_clear(door, page, i);
}

void shadow_zap(struct door *door, uint32_t number)
{
    struct machine *m = door->machine;
    struct shadow *s = shadow_of(door);
    struct shadow_page *page = &s->page[number];
    hpa_t table = page->table;
    bill_work(door, 1, page->key.level, WORK_zap, page->key.number);
    shadow_empty(door, number);
    while (page->parents) {
        struct rmap_node parent = s->rmap.node[page->parents];
        shadow_clear(door, parent.page, parent.index);
    }
    if (slot_of(s, number) != -1)
        drop_all(s);
    unload(door, number);
    mem_clear_frame(&m->mem, table);
    host_give(&m->host, 0, FRAME_BYTES, table);
    shadow_vm(door)->host_tables -= FRAME_BYTES;
    shadow_remove(s, number);
}

void shadow_make_room(struct door *door)
{
    struct shadow *s = shadow_of(door);
    if (s->live + ROOM_LOW <= s->limit)
        return;
    for (uint32_t page = s->oldest, newer; page && s->live + ROOM_REFILL > s->limit; page = newer) {
        newer = s->page[page].newer;
        if (slot_of(s, page) != -1)
            continue;
        bill_work(door, 1, s->page[page].key.level, WORK_recycle, s->page[page].key.number);
        shadow_zap(door, page);
    }
}

/* ---- by the reverse map ---- */

/* A large page is split anew, around the table that must not be written. */
static void protect(struct door *door, uint32_t page, unsigned index)
{
    struct shadow *s = shadow_of(door);
    uint64_t entry = shadow_entry(door, page, index);
    if (!(entry & PTE_W))
        return;
    if (s->page[page].key.level > 1) {
        shadow_clear(door, page, index);
        return;
    }
    set_entry(door, page, index, entry & ~PTE_W);
    drop_address(s, page, index);
}

/* Whatever maps a frame, by itself or within a large page. */
static void each_mapping(struct door *door, uint64_t gfn,
                         void (*act)(struct door *, uint32_t page, unsigned index))
{
    const struct shadow *s = shadow_of(door);
    for (unsigned level = 1; level <= 3; level++) {
        uint64_t first = gfn & ~low_bits(9 * (level - 1));
        uint32_t next;
        for (uint32_t at = rmap_of_frame(&s->rmap, first); at; at = next) {
            struct rmap_node node = s->rmap.node[at];
            next = node.next;
            if (s->page[node.page].key.level == level)
                act(door, node.page, node.index);
        }
    }
}

void shadow_protect(struct door *door, uint64_t gfn)
{
    each_mapping(door, gfn, protect);
}

void shadow_drop_gfn(struct door *door, uint64_t gfn)
{
    each_mapping(door, gfn, shadow_clear);
}

void shadow_follow(struct door *door, gpa_t frame, const struct p2m_entry *entry)
{
    if (entry->state == P2M_PRESENT && entry->write_protected)
        shadow_protect(door, frame >> FRAME_SHIFT);
    else
        shadow_drop_gfn(door, frame >> FRAME_SHIFT);
}
