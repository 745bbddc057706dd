/*
 * Caches may change what a machine costs, never what it does: the same random program of accesses,
 * table edits and the invalidations they call for runs on a machine with caches and on one whose
 * caches are emptied before each attempt. Both must find the same addresses and faults, and leave
 * the same A and D bits. SDM vol. 3, 4.10.4.2 and 28.3.3 say which edit calls for what.
 */
#include "tests/core/nest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { VMS = 2, PCIDS = 3, REGIONS = 4, REGION_PAGES = 8, FRAMES = 32, GLOBAL_REGION = 3 };
enum { CACHED, COLD, RIGS };

/* In a guest's memory: its tables, the same again for page directories to change to, its data. */
#define GUEST_ROOT  ((gpa_t)0x10000)
#define OTHER_ROOT  ((gpa_t)0x80000)
#define TABLE_BYTES ((gpa_t)0x10000) /* of one PCID */
#define TABLES_END  ((gpa_t)0x100000)
#define DATA        ((gpa_t)0x200000)
#define DATA_END    ((gpa_t)0x400000)
/* A page of tables stands here or this much higher: it is moved to and fro. */
#define ELSEWHERE ((gpa_t)0x100000)
/* Where the second stages' tables are, and how far each stage moves an address. */
#define SECOND_ROOT ((ia_t)0x8000000)
#define THIRD_ROOT  ((hpa_t)0x20000000)
#define VM_BYTES    ((ia_t)0x1000000)

struct vm {
    uint16_t vpid;
    struct tables guest[PCIDS], other[PCIDS];
    struct second second[2];
    uint64_t split[2]; /* the entry that names the page table of the data */
    bool moved[TABLES_END >> 12];
};

struct plan {
    const char *name;
    enum second_stage kind;
    unsigned under;
    bool by_entry, accessed_dirty;
    uint32_t tlb, structure, nested;
    enum replacement replacement;
    uint16_t first_vpid;
};

struct pair {
    struct rig *rig[RIGS];
    const struct plan *plan;
    struct vm vm[VMS];
    struct stage stage[VMS][2];
    struct rng rng;
    unsigned now, pcid;
    uint64_t cr0, cr4;
    unsigned accesses, faults, violations, edits, different;
};

static unsigned below(struct pair *p, unsigned n)
{
    return (unsigned)rng_below(&p->rng, n);
}

static struct mem *mem_of(struct pair *p)
{
    return &p->rig[CACHED]->mem;
}

static void store(struct pair *p, hpa_t at, uint64_t value)
{
    for (unsigned i = 0; i < RIGS; i++)
        if (p->rig[i])
            mem_store(&p->rig[i]->mem, at, value, 8);
}

/* ---- the guests and what is under them ---- */

static ia_t moved_by(unsigned vm, unsigned stage)
{
    return (ia_t)(vm + 1) << (stage ? 36 : 30);
}

/* Two regions in one page directory, one in another, one under another top entry. */
static gva_t va_of(unsigned region, unsigned page)
{
    static const gva_t at[REGIONS] = {0x200000, 0x400000, 0xc0200000, 0x28000200000};
    return at[region] + page * 4096ul;
}

static uint64_t leaf_of(unsigned region, unsigned frame)
{
    return (DATA + frame * 4096ul) | PWU | (region == GLOBAL_REGION ? PTE_G : 0);
}

static void build_guest(struct pair *p, struct vm *vm, hpa_t base)
{
    for (unsigned pcid = 0; pcid < PCIDS; pcid++) {
        vm->guest[pcid] = tables_new(PAGING_4_LEVEL, GUEST_ROOT + pcid * TABLE_BYTES, base);
        vm->other[pcid] = tables_new(PAGING_4_LEVEL, OTHER_ROOT + pcid * TABLE_BYTES, base);
        for (unsigned i = 0; i < REGIONS * REGION_PAGES; i++) {
            unsigned region = i / REGION_PAGES;
            gva_t va = va_of(region, i % REGION_PAGES);
            tables_map(mem_of(p), &vm->guest[pcid], va, 1, leaf_of(region, i));
            tables_map(mem_of(p), &vm->other[pcid], va, 1, leaf_of(region, FRAMES - 1 - i));
        }
        /* Global pages have one page table in all PCIDs, and the way there is always accessed. */
        gva_t va = va_of(GLOBAL_REGION, 0);
        for (unsigned level = 4; level >= 2; level--)
            entry_store(mem_of(p), &vm->guest[pcid], va, level,
                        entry_load(mem_of(p), &vm->guest[0], va, level) | PTE_A);
    }
}

/* A and D of tables' pages stay set below: a global page's way may be walked by one PCID alone. */
static void set_all(struct pair *p, const struct second *s, bool ept)
{
    for (ia_t at = s->tables.root; at < s->tables.next; at += 8) {
        uint64_t entry = mem_load(mem_of(p), s->tables.base + at, 8);
        if (entry)
            store(p, s->tables.base + at, entry | (ept ? EPT_A | EPT_D : PTE_A | PTE_D));
    }
}

static void map_range(struct pair *p, struct second *s, ia_t from, ia_t to, ia_t moved)
{
    for (ia_t x = from; x < to; x += 4096)
        second_map(mem_of(p), s, x, PAGE_4K, x + moved);
}

static bool is_ept(const struct pair *p)
{
    return p->plan->kind == SECOND_EPT4;
}

static void build_vm(struct pair *p, unsigned n)
{
    struct vm *vm = &p->vm[n];
    unsigned under = p->plan->under;
    hpa_t last = under == 2 ? moved_by(n, 1) : 0;
    vm->vpid = (uint16_t)(p->plan->first_vpid + n);
    build_guest(p, vm, moved_by(n, 0) + last);
    ia_t root = SECOND_ROOT + (under == 1 ? n * VM_BYTES : 0); /* two hypervisors may agree on it */
    vm->second[0] = second_new(p->plan->kind, root, last, p->plan->accessed_dirty);
    map_range(p, &vm->second[0], 0, DATA_END, moved_by(n, 0));
    if (under == 2) {
        vm->second[1] =
            second_new(p->plan->kind, THIRD_ROOT + n * VM_BYTES, 0, p->plan->accessed_dirty);
        map_range(p, &vm->second[1], moved_by(n, 0), moved_by(n, 0) + DATA_END, last);
        map_range(p, &vm->second[1], root, vm->second[0].tables.next, last);
    }
    for (unsigned s = 0; s < under; s++) {
        set_all(p, &vm->second[s], is_ept(p));
        ia_t data = DATA + (s ? moved_by(n, 0) : 0);
        vm->split[s] = entry_load(mem_of(p), &vm->second[s].tables, data, 2);
        p->stage[n][s] = second_as_stage(&vm->second[s]);
    }
}

static struct profile profile_of(const struct plan *plan)
{
    struct profile p = rig_profile();
    struct shape tlb = {.entries = plan->tlb, .replacement = plan->replacement};
    for (unsigned t = 0; t < TLBS; t++) {
        rig_tlb(&p, t, plan->tlb);
        p.tlb[t].array[0] = tlb;
    }
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        p.structure[level] =
            (struct shape){.entries = plan->structure, .replacement = plan->replacement};
    p.structure_by_entry = plan->by_entry;
    p.nested_tlb = (struct shape){.entries = plan->nested, .replacement = plan->replacement};
    return p;
}

/* ---- what both machines do ---- */

static struct registers registers_of(const struct pair *p)
{
    struct registers r = rig_registers(PAGING_4_LEVEL, p->vm[p->now].guest[p->pcid].root | p->pcid);
    r.cr4 |= CR4_PCIDE | p->cr4;
    r.cr0 = (r.cr0 & ~CR0_WP) | p->cr0;
    return r;
}

/* A VM exit and the entry into the VM that is now. */
static void switch_vm(struct pair *p, unsigned vm)
{
    p->now = vm;
    struct registers r = registers_of(p);
    for (unsigned i = 0; i < RIGS; i++) {
        struct mmu *m = p->rig[i]->mmu;
        mmu_vm_transition(m);
        mmu_set_second_stages(m, p->stage[vm], p->plan->under, p->vm[vm].vpid);
        cr_assert_null(mmu_adopt(m, &p->rig[i]->bus, &r, false));
        mmu_enter_space(m);
        mmu_vm_transition(m);
    }
}

enum { INVLPG, INVPCID, MOV_CR3, MOV_CR0, MOV_CR4, INVEPT, INVVPID };

static void both(struct pair *p, unsigned what, unsigned type, uint64_t value, gva_t gva)
{
    for (unsigned i = 0; i < RIGS; i++) {
        struct mmu *m = p->rig[i]->mmu;
        const struct bus *bus = &p->rig[i]->bus;
        const char *fault = NULL;
        if (what == INVLPG)
            mmu_invlpg(m, gva);
        else if (what == INVPCID)
            fault = mmu_invpcid(m, type, (uint16_t)value, gva);
        else if (what == MOV_CR3)
            fault = mmu_mov_cr3(m, bus, value);
        else if (what == MOV_CR0)
            fault = mmu_mov_cr0(m, bus, value);
        else if (what == MOV_CR4)
            fault = mmu_mov_cr4(m, bus, value);
        else if (what == INVEPT)
            fault = mmu_invept(m, type, value);
        else
            fault = mmu_invvpid(m, type, (uint16_t)value, gva);
        cr_assert_null(fault, "%s", fault);
    }
}

static void load_registers(struct pair *p, uint64_t keep)
{
    struct registers r = registers_of(p);
    both(p, MOV_CR0, 0, r.cr0, 0);
    both(p, MOV_CR4, 0, r.cr4, 0);
    both(p, MOV_CR3, 0, r.cr3 | keep, 0);
}

/* ---- edits ---- */

/* Writes an entry of the guest's where its page is and where it may go. */
static void store_guest(struct pair *p, const struct tables *t, gva_t va, unsigned level,
                        uint64_t entry)
{
    hpa_t at = tables_at(mem_of(p), t, va, level);
    store(p, at, entry);
    store(p, at + ELSEWHERE, entry);
}

/* "INVLPG ... for each page whose translation changed", or any of the wider ones: 4.10.4.2. */
static void invalidate_page(struct pair *p, unsigned pcid, gva_t va)
{
    unsigned how = below(p, pcid == p->pcid ? 6 : 4);
    if (how < 2)
        both(p, INVPCID, how, pcid, va);
    else if (how < 4)
        both(p, INVPCID, how, 0, 0);
    else if (how == 4)
        both(p, INVLPG, 0, 0, va);
    else
        load_registers(p, 0);
}

static void invalidate_region(struct pair *p, unsigned pcid, unsigned region)
{
    unsigned how = below(p, pcid == p->pcid ? 5 : 3);
    if (how < 3)
        both(p, INVPCID, how + 1, pcid, 0);
    else if (how == 3)
        load_registers(p, 0);
    else
        for (unsigned page = 0; page < REGION_PAGES; page++)
            both(p, INVLPG, 0, 0, va_of(region, page));
}

static void invalidate_global(struct pair *p, gva_t va)
{
    uint64_t cr4 = registers_of(p).cr4;
    unsigned how = below(p, 3);
    if (how == 0)
        both(p, INVLPG, 0, 0, va);
    else if (how == 1)
        both(p, INVPCID, 2, 0, 0);
    else
        both(p, MOV_CR4, 0, cr4 ^ CR4_PGE, 0), both(p, MOV_CR4, 0, cr4, 0);
}

static uint64_t random_leaf(struct pair *p, unsigned region)
{
    uint64_t entry = leaf_of(region, below(p, FRAMES));
    static const uint64_t less[] = {0, 0, 0, PTE_W, PTE_U, PTE_W | PTE_U, PTE_P};
    static const uint64_t more[] = {0, 0, 0, 0, PTE_NX, PTE_A, PTE_A | PTE_D, (uint64_t)1 << 51};
    return (entry & ~less[below(p, 7)]) | more[below(p, 8)];
}

static bool is_large(struct pair *p, const struct tables *t, gva_t va)
{
    return entry_load(mem_of(p), t, va, 2) & PTE_PS;
}

static void edit_page(struct pair *p)
{
    struct vm *vm = &p->vm[p->now];
    unsigned region = below(p, REGIONS), pcid = below(p, PCIDS);
    gva_t va = va_of(region, below(p, REGION_PAGES));
    if (is_large(p, &vm->guest[pcid], va))
        return;
    store_guest(p, &vm->guest[pcid], va, 1, random_leaf(p, region));
    if (region == GLOBAL_REGION)
        invalidate_global(p, va);
    else
        invalidate_page(p, pcid, va);
}

/* The region gets another page table, or becomes one large page. */
static void edit_region(struct pair *p)
{
    struct vm *vm = &p->vm[p->now];
    unsigned region = below(p, GLOBAL_REGION), pcid = below(p, PCIDS);
    gva_t va = va_of(region, 0);
    static const uint64_t large = DATA | PWU | PTE_PS;
    const struct tables *from = below(p, 2) ? &vm->guest[pcid] : &vm->other[pcid];
    gpa_t first = from->root + (region == 0 ? 0x3000 : region == 1 ? 0x4000 : 0x6000);
    store_guest(p, &vm->guest[pcid], va, 2, below(p, 4) ? first | PWU : large);
    invalidate_region(p, pcid, region);
}

static void invept(struct pair *p, const struct second *s)
{
    if (below(p, 2))
        both(p, INVEPT, 1, s->tables.root, 0);
    else
        both(p, INVEPT, 2, 0, 0);
}

/* What a leaf of the second stage may grant; 0: the page is taken away. */
static uint64_t random_rights(struct pair *p, uint64_t leaf)
{
    static const uint64_t ept[] = {7, 7, 3, 5, 1, 0}, npt[] = {7, 7, 5, 7, 5, 0};
    unsigned which = below(p, 6);
    uint64_t rights = is_ept(p) ? ept[which] : npt[which];
    return rights ? (leaf & ~(uint64_t)7) | rights | (!is_ept(p) && which == 3 ? PTE_NX : 0) : 0;
}

/* A page of data goes to another frame, or has other rights. */
static void edit_second(struct pair *p, struct vm *vm, unsigned s)
{
    ia_t offset = s ? moved_by((unsigned)(vm - p->vm), 0) : 0;
    ia_t x = DATA + below(p, FRAMES) * 4096ul + offset;
    if (!tables_at(mem_of(p), &vm->second[s].tables, x, 1))
        return; /* it is part of a large page now */
    ia_t to = DATA + below(p, FRAMES) * 4096ul + offset + moved_by((unsigned)(vm - p->vm), s);
    uint64_t leaf = random_rights(p, to | 7 | (is_ept(p) ? EPT_TYPE_WB : 0));
    store(p, tables_at(mem_of(p), &vm->second[s].tables, x, 1), leaf);
    invept(p, &vm->second[s]);
}

/* All data as one large page, or page by page. */
static void edit_size(struct pair *p, struct vm *vm, unsigned s)
{
    unsigned n = (unsigned)(vm - p->vm);
    ia_t x = DATA + (s ? moved_by(n, 0) : 0);
    uint64_t large = (x + moved_by(n, s)) | 7 | EPT_PS | (is_ept(p) ? EPT_TYPE_WB : 0);
    store(p, tables_at(mem_of(p), &vm->second[s].tables, x, 2), below(p, 2) ? large : vm->split[s]);
    invept(p, &vm->second[s]);
}

/* The page of a guest's table goes to another frame with what is in it, or may not be written. */
static void edit_table_page(struct pair *p, struct vm *vm)
{
    gpa_t gpa = (below(p, 2) ? GUEST_ROOT : OTHER_ROOT) + below(p, PCIDS * 13) * 4096ul;
    hpa_t base = vm->guest[0].base, leaf = tables_at(mem_of(p), &vm->second[0].tables, gpa, 1);
    bool root = !(gpa & (TABLE_BYTES - 1)); /* not on the way of a global page that is cached */
    if (root || below(p, 3)) {
        bool *moved = &vm->moved[gpa >> 12];
        hpa_t from = base + gpa + (*moved ? ELSEWHERE : 0);
        hpa_t to = base + gpa + (*moved ? 0 : ELSEWHERE);
        uint64_t bytes[512];
        for (unsigned i = 0; i < RIGS; i++) {
            mem_read(&p->rig[i]->mem, from, bytes, sizeof bytes);
            mem_write(&p->rig[i]->mem, to, bytes, sizeof bytes);
        }
        store(p, leaf, mem_load(mem_of(p), leaf, 8) ^ ELSEWHERE);
        *moved = !*moved;
    } else {
        store(p, leaf, mem_load(mem_of(p), leaf, 8) & ~(uint64_t)2);
    }
    invept(p, &vm->second[0]);
}

static void edit(struct pair *p)
{
    struct vm *vm = &p->vm[below(p, VMS)];
    unsigned s = below(p, p->plan->under);
    p->edits++;
    switch (below(p, 10)) {
    case 0:
        edit_region(p);
        break;
    case 1:
        edit_size(p, vm, s);
        break;
    case 2:
    case 3:
        edit_table_page(p, vm);
        break;
    case 4:
    case 5:
        edit_second(p, vm, s);
        break;
    default:
        edit_page(p);
    }
}

/* ---- faults are answered by adding what is missing, which calls for no invalidation ---- */

static void repair_guest(struct pair *p, gva_t va)
{
    struct vm *vm = &p->vm[p->now];
    const struct tables *t = &vm->guest[p->pcid];
    unsigned level = is_large(p, t, va) ? 2 : 1;
    hpa_t at = tables_at(mem_of(p), t, va, level);
    bool moved = vm->moved[(at - t->base) >> 12];
    uint64_t entry = mem_load(mem_of(p), at + (moved ? ELSEWHERE : 0), 8);
    store_guest(p, t, va, level, (entry | PWU) & ~(PTE_NX | (uint64_t)1 << 51));
}

static void repair_second(struct pair *p, const struct refusal *r)
{
    const struct second *s = &p->vm[p->now].second[r->depth - 1];
    hpa_t at = tables_at(mem_of(p), &s->tables, r->ia, 1);
    at = at ? at : tables_at(mem_of(p), &s->tables, r->ia, 2);
    uint64_t leaf = mem_load(mem_of(p), at, 8);
    ia_t to = (r->ia & ~(ia_t)4095) + moved_by(p->now, r->depth - 1u);
    leaf = leaf ? leaf : to | (is_ept(p) ? EPT_TYPE_WB : 0);
    store(p, at, (leaf | 7) & ~PTE_NX);
}

static void answer(struct pair *p, gva_t va)
{
    const struct refusal *r = &p->rig[CACHED]->walk.refusal;
    for (unsigned i = 0; i < RIGS; i++)
        if (r->depth)
            mmu_second_stage_fault(p->rig[i]->mmu, va, r);
        else
            mmu_page_fault(p->rig[i]->mmu, va, r);
    p->violations += r->depth > 0;
    p->faults += r->depth == 0;
    if (r->depth)
        repair_second(p, r);
    else
        repair_guest(p, va);
}

/* ---- accesses ---- */

static void compare(struct pair *p, const bool done[RIGS], gva_t va)
{
    const struct walk *a = &p->rig[CACHED]->walk, *b = &p->rig[COLD]->walk;
    const struct refusal *r = &a->refusal, *s = &b->refusal;
    bool same = done[CACHED] == done[COLD];
    if (same && done[CACHED])
        same = a->found.hpa == b->found.hpa && a->found.next == b->found.next;
    else if (same)
        same = r->kind == s->kind && r->depth == s->depth && r->on_table == s->on_table &&
               r->ia == s->ia && r->access == s->access && r->granted == s->granted &&
               mmu_error_code(p->rig[0]->mmu, r) == mmu_error_code(p->rig[1]->mmu, s);
    p->different += !same;
    cr_expect(same || p->different > 5,
              "%s, access %u of %lx: cached %d %lx %lx, refused %u at %u.%u for %lx, "
              "granted %x; cold %d %lx %lx, refused %u at %u.%u for %lx, granted %x",
              p->plan->name, p->accesses, va, done[CACHED], a->found.hpa, a->found.next, r->kind,
              r->depth, r->level, r->ia, r->granted, done[COLD], b->found.hpa, b->found.next,
              s->kind, s->depth, s->level, s->ia, s->granted);
}

enum outcome { DONE, REFUSED, DISAGREED };

/* In a batch of one, which is the fast way to do the same; the answer is then asked for once more.
 */
static bool run(struct pair *p, unsigned i, const struct access *access)
{
    struct rig *rig = p->rig[i];
    enum stop stop;
    size_t done = mmu_run(rig->mmu, &rig->bus, access, 1, 0, &rig->walk, &stop);
    cr_assert_eq(stop, done ? STOP_DONE : STOP_REFUSED);
    return done && mmu_translate(rig->mmu, &rig->bus, access, false, &rig->walk);
}

static enum outcome attempt(struct pair *p, const struct access *access, bool again)
{
    bool done[RIGS], in_batch = !again && below(p, 2);
    mmu_cool(p->rig[COLD]->mmu, &p->rig[COLD]->bus);
    for (unsigned i = 0; i < RIGS; i++)
        done[i] = i == CACHED && in_batch ? run(p, i, access)
                                          : mmu_translate(p->rig[i]->mmu, &p->rig[i]->bus, access,
                                                          again, &p->rig[i]->walk);
    compare(p, done, access->gva);
    return done[CACHED] != done[COLD] ? DISAGREED : done[CACHED] ? DONE : REFUSED;
}

/* Tries until it is done, as often as faults are answered, or gives up now and then. */
static void access_once(struct pair *p)
{
    struct access access = {.size = 1, .op = (uint8_t)below(p, 4), .flags = (uint8_t)below(p, 2)};
    access.gva = va_of(below(p, REGIONS), below(p, REGION_PAGES)) + below(p, 4096);
    p->accesses++;
    for (unsigned tries = 0; tries < 12; tries++) {
        if (attempt(p, &access, tries > 0) != REFUSED)
            return;
        if (below(p, 4) == 0)
            break;
        answer(p, access.gva);
    }
    for (unsigned i = 0; i < RIGS; i++)
        mmu_give_up(p->rig[i]->mmu, access.gva);
}

/* Things that drop more than they must, or change how entries are used. */
static void other(struct pair *p)
{
    unsigned what = below(p, 8);
    if (what == 0) {
        switch_vm(p, below(p, VMS));
    } else if (what < 4) {
        p->pcid = below(p, PCIDS);
        load_registers(p, below(p, 4) ? CR3_KEEP : 0);
    } else if (what == 4) {
        p->cr0 ^= CR0_WP;
        load_registers(p, CR3_KEEP);
    } else if (what == 5) {
        p->cr4 ^= CR4_SMEP;
        load_registers(p, CR3_KEEP);
    } else if (what == 6) {
        both(p, INVVPID, below(p, 4), 1 + below(p, 2), va_of(below(p, REGIONS), 0));
    } else {
        both(p, INVLPG, 0, 0, va_of(below(p, REGIONS), below(p, REGION_PAGES)));
    }
}

static void compare_memory(struct pair *p)
{
    if (p->different || mem_sum(mem_of(p)) == mem_sum(&p->rig[COLD]->mem))
        return;
    p->different++;
    cr_expect_fail("%s: memory differs after access %u", p->plan->name, p->accesses);
}

enum { ACCESSES = 30000, CHECKED_EVERY = 1000 };

static void check_plan(const struct plan *plan, uint64_t seed)
{
    struct profile profile = profile_of(plan);
    struct pair p = {.plan = plan, .rng = {.state = seed}, .cr0 = CR0_WP};
    p.rig[CACHED] = rig_new(&profile, plan->under + 1);
    for (unsigned n = 0; n < VMS; n++)
        build_vm(&p, n);
    p.rig[COLD] = rig_copy(p.rig[CACHED]);
    switch_vm(&p, 0);
    while (p.accesses < ACCESSES && !p.different) {
        unsigned what = below(&p, 100);
        if (what < 8)
            edit(&p);
        else if (what < 14)
            other(&p);
        else
            access_once(&p);
        if (p.accesses % CHECKED_EVERY == 0)
            compare_memory(&p);
    }
    compare_memory(&p);
    printf("cached and cold, %s: %u accesses, %u faults, %u violations, %u edits, %u different\n",
           plan->name, p.accesses, p.faults, p.violations, p.edits, p.different);
    cr_expect_eq(p.different, 0);
    for (unsigned i = 0; i < RIGS; i++)
        rig_free(p.rig[i]);
}

static const struct plan PLANS[] = {
    {"EPT by address, large", SECOND_EPT4, 1, false, true, 64, 32, 64, REPLACE_LRU, 1},
    {"EPT by address, tiny", SECOND_EPT4, 1, false, false, 2, 1, 3, REPLACE_FIFO, 1},
    {"EPT without nested TLB, VPID 0", SECOND_EPT4, 1, false, true, 4, 4, 0, REPLACE_RANDOM, 0},
    {"EPT with TLB alone", SECOND_EPT4, 1, false, false, 64, 0, 0, REPLACE_LRU, 1},
    {"NPT by entry, large", SECOND_NPT4, 1, true, false, 64, 32, 64, REPLACE_LRU, 1},
    {"NPT by entry, tiny", SECOND_NPT4, 1, true, false, 1, 3, 2, REPLACE_RANDOM, 0},
    {"EPT twice by address, large", SECOND_EPT4, 2, false, true, 64, 32, 64, REPLACE_LRU, 1},
    {"EPT twice by address, tiny", SECOND_EPT4, 2, false, false, 4, 2, 4, REPLACE_TREE_PLRU, 1},
    {"NPT twice by entry", SECOND_NPT4, 2, true, false, 4, 4, 1, REPLACE_LFU, 0},
};

Test(cached_and_cold, random_programs_do_the_same_with_and_without_caches)
{
    for (unsigned i = 0; i < sizeof PLANS / sizeof *PLANS; i++)
        check_plan(&PLANS[i], 11 + i);
}
