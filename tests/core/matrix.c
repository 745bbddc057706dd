/*
 * What each operation must drop of what is cached with and without a second stage, cell by cell:
 * SDM vol. 3, 28.3 (29.4 in later editions), with 4.10.4.1. A vCPU is filled under every VPID,
 * PCID and second stage there is; all tables are changed behind its back; the operation is done;
 * and every cell is probed. A cell that still shows what was true before was kept.
 *
 * "Linear mappings ... are associated with the current VPID and the current PCID"; "guest-physical
 * mappings ... with the current EP4TA"; "combined mappings ... with the current VPID, the current
 * PCID, and the current EP4TA": 28.3.2.
 */
#include "tests/core/matrix.h"

#include <string.h>

#include "tests/core/nest.h"

/* ---- what is filled ---- */

enum where { LINEAR, UNDER_A, UNDER_B, WHERES };
enum { VPIDS = 3, PCIDS = 3 };

/* X and Y have not even their top entry in common; XG and YG are global pages beside them. A way is
 * a structure-cache entry, seen from an address that was never accessed itself. */
enum what { PAGE_X, PAGE_XG, PAGE_Y, PAGE_YG, WAY_X, WAY_Y, WHATS };

/* Guest-physical mappings: the nested TLB's of two tables, and the ways of two other regions. */
enum physical { TABLE_X, TABLE_Y, REGION_X, REGION_Y, PHYSICALS };

/* What an address leads to: as filled, in the old tables as they are now, in the new ones. */
enum version { FILLED, BEHIND, NEW, VERSIONS };

enum { FILLER = 9, PROBER = 8 }; /* VPIDs for guest-physical mappings; nothing else has them */

#define DATA_FRAMES ((gpa_t)0x3000000)
#define GUEST_BYTES ((gpa_t)0x4000000) /* of a guest's memory that its tables and frames are in */

struct now {
    enum where where;
    unsigned vpid, pcid;
};

struct world {
    struct rig *rig;
    struct second ept[WHERES]; /* [LINEAR] is not used */
    struct stage stage[WHERES];
    unsigned kept; /* the level whose entries the structure caches keep */
    bool by_entry;
    struct now now;
};

static hpa_t base_of(enum where where)
{
    return (uint64_t)where * MOVED;
}

static bool is_global(enum what what)
{
    return what == PAGE_XG || what == PAGE_YG;
}

/* Beside a page in its page table, page directory or PDPT: what the kept level's entry leads to. */
static gva_t beside(unsigned kept)
{
    static const gva_t at[] = {0, 0, 0x5000, 6 << 21, (gva_t)7 << 30};
    return at[kept];
}

static gva_t va_of(const struct world *w, enum what what)
{
    gva_t x = ((gva_t)1 << 39) + ((gva_t)2 << 30) + (3 << 21);
    gva_t y = ((gva_t)10 << 39) + ((gva_t)4 << 30) + (8 << 21);
    gva_t region = what == PAGE_X || what == PAGE_XG || what == WAY_X ? x : y;
    if (what >= WAY_X)
        return region + beside(w->by_entry ? 2 : w->kept);
    return region + (is_global(what) ? 0x9000 : 0x2000);
}

static gpa_t frame_of(enum version version, unsigned pcid, enum what what)
{
    unsigned owner = is_global(what) ? 0 : pcid;
    return DATA_FRAMES + ((gpa_t)version * 64 + owner * 8 + what) * 4096;
}

static gpa_t root_of(unsigned pcid)
{
    return 0x100000 + pcid * 0x100000;
}

/* The tables of the kept and of the new version of one PCID. */
static struct tables guest_tables(enum where where, unsigned pcid, enum version version)
{
    gpa_t root = root_of(pcid) + (version == NEW ? 0x80000 : 0);
    return tables_new(PAGING_4_LEVEL, root, base_of(where));
}

static void map_guest(struct world *w, enum where where, unsigned pcid, enum version version)
{
    struct tables t = guest_tables(where, pcid, version);
    for (enum what what = 0; what < WHATS; what++) {
        enum version frame = what >= WAY_X && version == FILLED ? BEHIND : version;
        uint64_t entry = frame_of(frame, pcid, what) | PWU | PTE_A | PTE_D;
        tables_map(&w->rig->mem, &t, va_of(w, what), PAGE_4K,
                   entry | (is_global(what) ? PTE_G : 0));
    }
}

/* A guest-physical cell has a guest of its own, whose root is a table of its own. */
static struct tables physical_tables(enum where where, enum physical cell, enum version version)
{
    gpa_t root = 0x1000000 + cell * (gpa_t)0x100000 + (version == NEW ? 0x80000 : 0);
    return tables_new(PAGING_4_LEVEL, root, base_of(where));
}

/* In a region: the page that is accessed first, and the one whose way is probed. */
static gpa_t region_page(const struct world *w, enum physical cell, bool probe)
{
    return ((gpa_t)cell << 39) + (probe ? beside(w->by_entry ? 2 : w->kept) : 0x2000);
}

enum { FIRST_PAGE = 0x1000, PROBE_PAGE = 0x2000 }; /* of a guest-physical cell's guest */

static void map_physical(struct world *w, enum where where, enum physical cell)
{
    for (enum version version = FILLED; version <= NEW; version += NEW - FILLED) {
        struct tables t = physical_tables(where, cell, version);
        bool region = cell >= REGION_X;
        gpa_t first = region ? region_page(w, cell, false) : frame_of(version, 3, 0);
        gpa_t probe = region ? region_page(w, cell, true) : first;
        tables_map(&w->rig->mem, &t, FIRST_PAGE, PAGE_4K, first | PWU | PTE_A | PTE_D);
        tables_map(&w->rig->mem, &t, PROBE_PAGE, PAGE_4K, probe | PWU | PTE_A | PTE_D);
    }
}

/* The new ways of the regions hang in a root of their own until they are moved over. */
static struct tables new_regions(enum where where)
{
    return tables_new(PAGING_4_LEVEL, HOST_TABLES + where * (hpa_t)0x1000000 + 0x800000, 0);
}

static void map_second(struct world *w, enum where where)
{
    w->ept[where] = second_new(SECOND_EPT4, HOST_TABLES + where * (hpa_t)0x1000000, 0, false);
    struct mem *mem = &w->rig->mem;
    for (gpa_t gpa = 0; gpa < GUEST_BYTES; gpa += 4096)
        second_map(mem, &w->ept[where], gpa, PAGE_4K, gpa + base_of(where));
    struct second new = {.controls = w->ept[where].controls, .tables = new_regions(where)};
    for (enum physical cell = REGION_X; cell < PHYSICALS; cell++) {
        gpa_t first = region_page(w, cell, false), probe = region_page(w, cell, true);
        second_map(mem, &w->ept[where], first, PAGE_4K, frame_of(FILLED, 3, 0));
        second_map(mem, &w->ept[where], probe, PAGE_4K, frame_of(BEHIND, 3, 0));
        second_map(mem, &new, first, PAGE_4K, frame_of(NEW, 3, 0));
        second_map(mem, &new, probe, PAGE_4K, frame_of(NEW, 3, 0));
    }
    w->stage[where] = second_as_stage(&w->ept[where]);
}

/* A set in every entry of a guest's tables, so that no walk has anything to write. */
static void set_accessed(struct world *w, enum where where)
{
    for (hpa_t at = base_of(where) + root_of(0); at < base_of(where) + DATA_FRAMES; at += 8) {
        uint64_t entry = mem_load(&w->rig->mem, at, 8);
        if (entry & PTE_P)
            mem_store(&w->rig->mem, at, entry | PTE_A, 8);
    }
}

/* ---- going from context to context; nothing is dropped by that ---- */

static struct registers registers_of(gpa_t root, unsigned pcid)
{
    struct registers r = rig_registers(PAGING_4_LEVEL, root | pcid);
    r.cr4 |= CR4_PCIDE;
    return r;
}

/* As a VM entry does: the VMCS's second stage, VPID and registers. */
static void adopt(struct world *w, const struct registers *r)
{
    rig_must(!mmu_adopt(w->rig->mmu, &w->rig->bus, r, false), "such registers can be loaded");
    mmu_enter_space(w->rig->mmu);
}

static void enter_as(struct world *w, enum where where, unsigned vpid, const struct registers *r)
{
    mmu_set_second_stages(w->rig->mmu, &w->stage[where], where != LINEAR, (uint16_t)vpid);
    adopt(w, r);
}

static void enter(struct world *w, const struct now *now)
{
    struct registers r = registers_of(root_of(now->pcid), now->pcid);
    w->now = *now;
    enter_as(w, now->where, now->vpid, &r);
}

static void enter_physical(struct world *w, enum where where, unsigned vpid, enum physical cell)
{
    struct registers r = registers_of(physical_tables(where, cell, FILLED).root, cell);
    enter_as(w, where, vpid, &r);
}

static bool next_context(struct now *now)
{
    now->pcid = (now->pcid + 1) % PCIDS;
    if (now->pcid)
        return true;
    now->vpid = (now->vpid + 1) % VPIDS;
    if (now->vpid)
        return true;
    return ++now->where < WHERES;
}

/* ---- probing ---- */

static enum version version_seen(hpa_t hpa, hpa_t filled)
{
    uint64_t version = (hpa - filled) / (frame_of(1, 0, 0) - frame_of(0, 0, 0));
    rig_must(version < VERSIONS, "%lx is no version of %lx", hpa, filled);
    return (enum version)version;
}

/* Whether the last walk's read of the kept level at @p depth came from a structure cache. */
static bool served(const struct world *w, unsigned depth)
{
    const struct walk *walk = &w->rig->walk;
    for (unsigned i = walk->refs; i-- > 0;)
        if (walk->ref[i].depth == depth && walk->ref[i].level == w->kept)
            return walk->ref[i].server == SERVED_STRUCTURE;
    return false;
}

static bool is_kept(struct world *w, const struct now *now, enum what what)
{
    hpa_t hpa = rig_read(w->rig, va_of(w, what));
    enum version seen = version_seen(hpa, frame_of(FILLED, now->pcid, what) + base_of(now->where));
    if (what < WAY_X)
        return seen == FILLED;
    return w->by_entry ? served(w, 0) : seen == BEHIND;
}

static bool is_physical_kept(struct world *w, enum where where, enum physical cell)
{
    enter_physical(w, where, PROBER, cell);
    hpa_t hpa = rig_read(w->rig, cell < REGION_X ? FIRST_PAGE : PROBE_PAGE);
    hpa_t base = cell < REGION_X ? base_of(where) : 0;
    enum version seen = version_seen(hpa, frame_of(FILLED, 3, 0) + base);
    if (cell < REGION_X)
        return seen == FILLED;
    return w->by_entry ? served(w, 1) : seen == BEHIND;
}

/* ---- filling ---- */

static void fill(struct world *w)
{
    struct now now = {0};
    do {
        enter(w, &now);
        for (enum what what = 0; what < WAY_X; what++)
            rig_must(is_kept(w, &now, what), "what was just filled is there");
    } while (next_context(&now));
    for (enum where where = UNDER_A; where < WHERES; where++)
        for (enum physical cell = 0; cell < PHYSICALS; cell++) {
            enter_physical(w, where, FILLER, cell);
            rig_must(rig_read(w->rig, FIRST_PAGE) != ~(hpa_t)0, "the way of a table is filled");
        }
}

/* ---- changing everything behind the caches' back ---- */

static void copy_top_entry(struct world *w, const struct tables *to, const struct tables *from,
                           ia_t ia)
{
    if (!w->by_entry) /* caches by entry always agree with memory: they show by who serves */
        entry_store(&w->rig->mem, to, ia, 4, entry_load(&w->rig->mem, from, ia, 4));
}

static void change_guest(struct world *w, enum where where, unsigned pcid)
{
    struct tables old = guest_tables(where, pcid, FILLED), new = guest_tables(where, pcid, NEW);
    for (enum what what = 0; what < WAY_X; what++) {
        uint64_t entry = entry_load(&w->rig->mem, &old, va_of(w, what), PAGE_4K);
        entry += frame_of(BEHIND, 0, 0) - frame_of(FILLED, 0, 0);
        entry_store(&w->rig->mem, &old, va_of(w, what), PAGE_4K, entry);
    }
    copy_top_entry(w, &old, &new, va_of(w, WAY_X));
    copy_top_entry(w, &old, &new, va_of(w, WAY_Y));
}

/* A table's page moves to where the new root is; a region gets the new ways. */
static void change_second(struct world *w, enum where where)
{
    for (enum physical cell = TABLE_X; cell < REGION_X; cell++)
        second_map(&w->rig->mem, &w->ept[where], physical_tables(where, cell, FILLED).root, PAGE_4K,
                   physical_tables(where, cell, NEW).root + base_of(where));
    struct tables new = new_regions(where);
    for (enum physical cell = REGION_X; cell < PHYSICALS; cell++)
        copy_top_entry(w, &w->ept[where].tables, &new, region_page(w, cell, true));
}

static struct profile matrix_profile(unsigned kept, bool by_entry)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 512);
    rig_tlb(&p, TLB_L2, 512);
    p.structure[kept] = (struct shape){.entries = 512, .replacement = REPLACE_LRU};
    p.structure_by_entry = by_entry;
    p.nested_tlb = (struct shape){.entries = 512, .replacement = REPLACE_LRU};
    return p;
}

static struct world world_new(unsigned kept, bool by_entry)
{
    struct profile p = matrix_profile(kept, by_entry);
    struct world w = {.rig = rig_new(&p, 2), .kept = kept, .by_entry = by_entry};
    for (enum where where = 0; where < WHERES; where++) {
        for (unsigned pcid = 0; pcid < PCIDS; pcid++)
            for (enum version version = FILLED; version <= NEW; version += NEW - FILLED)
                map_guest(&w, where, pcid, version);
        for (enum physical cell = 0; where != LINEAR && cell < PHYSICALS; cell++)
            map_physical(&w, where, cell);
        set_accessed(&w, where);
        if (where != LINEAR)
            map_second(&w, where);
    }
    struct registers r = registers_of(root_of(0), 0);
    rig_set(w.rig, &r);
    fill(&w);
    for (enum where where = 0; where < WHERES; where++) {
        for (unsigned pcid = 0; pcid < PCIDS; pcid++)
            change_guest(&w, where, pcid);
        if (where != LINEAR)
            change_second(&w, where);
    }
    return w;
}

/* ---- the operations, and what the manual says of each ---- */

enum which { NO, CURRENT, GIVEN, ALL, NOT_ZERO, ZERO }; /* VPIDs, PCIDs, EP4TAs */
enum part { NONE, ONE, EVERY };                         /* those of the address, or all */

/* One row: the operation with its operands, and what it drops. */
struct row {
    const char *name;
    const char *(*run)(struct world *, const struct row *);
    unsigned type;
    unsigned given;     /* VPID, PCID or EP4TA */
    enum what page;     /* whose address */
    enum physical cell; /* whose guest-physical address */
    uint64_t bit;
    bool no_pcide; /* only from PCID 0, with CR4.PCIDE clear */
    bool ept_only; /* only with a second stage */
    bool refused;
    bool linear;
    enum which ept, vpid, pcid;
    enum part pages, globals, ways, physical;
};

static const char *invlpg(struct world *w, const struct row *row)
{
    mmu_invlpg(w->rig->mmu, va_of(w, row->page));
    return NULL;
}

static const char *page_fault(struct world *w, const struct row *row)
{
    struct refusal refusal = {.kind = REFUSED_NOT_PRESENT, .level = 1};
    mmu_page_fault(w->rig->mmu, va_of(w, row->page), &refusal);
    return NULL;
}

static const char *mov_cr3(struct world *w, const struct row *row)
{
    return mmu_mov_cr3(w->rig->mmu, &w->rig->bus, root_of(row->given) | row->given | row->bit);
}

static const char *invpcid(struct world *w, const struct row *row)
{
    return mmu_invpcid(w->rig->mmu, row->type, (uint16_t)row->given, va_of(w, row->page));
}

/* Type 0: the bit is set; 1: it was set and is cleared. */
static const char *mov_cr4(struct world *w, const struct row *row)
{
    struct registers r = w->rig->mmu->registers;
    r.cr4 = row->type ? r.cr4 | row->bit : r.cr4 & ~row->bit;
    adopt(w, &r);
    return mmu_mov_cr4(w->rig->mmu, &w->rig->bus, r.cr4 ^ row->bit);
}

static const char *mov_cr0(struct world *w, const struct row *row)
{
    return mmu_mov_cr0(w->rig->mmu, &w->rig->bus, w->rig->mmu->registers.cr0 & ~row->bit);
}

static const char *violation(struct world *w, const struct row *row)
{
    bool table = row->cell < REGION_X;
    struct refusal refusal = {.kind = REFUSED_NOT_PRESENT, .depth = 1, .level = 1};
    refusal.on_table = table;
    refusal.no_linear = row->type;
    refusal.ia = table ? physical_tables(w->now.where, row->cell, FILLED).root
                       : region_page(w, row->cell, true);
    mmu_second_stage_fault(w->rig->mmu, va_of(w, row->page), &refusal);
    return NULL;
}

static const char *transition(struct world *w, const struct row *row)
{
    (void)row;
    mmu_vm_transition(w->rig->mmu);
    return NULL;
}

static const char *invvpid(struct world *w, const struct row *row)
{
    gva_t gva = va_of(w, row->page) | (row->bit ? (gva_t)1 << 60 : 0); /* not canonical */
    return mmu_invvpid(w->rig->mmu, row->type, (uint16_t)row->given, gva);
}

static const char *invept(struct world *w, const struct row *row)
{
    return mmu_invept(w->rig->mmu, row->type, row->given ? w->ept[row->given].tables.root : 0);
}

static const char *drop(struct world *w, const struct row *row)
{
    if (row->type)
        mmu_drop_all(w->rig->mmu);
    else
        mmu_drop_page(w->rig->mmu, va_of(w, row->page));
    return NULL;
}

/*
 * "Operations that architecturally invalidate entries in the TLBs or paging-structure caches
 * independent of VMX operation ... invalidate linear mappings and combined mappings. They are
 * required to do so only for the current VPID (but, for combined mappings, all EP4TAs)": 28.3.3.1.
 */
#define INDEPENDENT .linear = true, .ept = ALL, .vpid = CURRENT
/*
 * "An EPT violation invalidates any guest-physical mappings (associated with the current EP4TA)
 * that would be used to translate the guest-physical address that caused the EPT violation. If that
 * guest-physical address was the translation of a linear address, the EPT violation also
 * invalidates any combined mappings for that linear address associated with the current PCID, the
 * current VPID, and the current EP4TA."
 */
#define VIOLATION .ept_only = true, .ept = CURRENT, .vpid = CURRENT, .pcid = CURRENT
/* "... for all PCIDs and, for combined mappings, all EP4TAs": VM entries and exits, INVVPID. */
#define OF_VPIDS .linear = true, .ept = ALL, .pcid = ALL
/* "Combined mappings associated with that EP4TA are invalidated for all VPIDs and all PCIDs." */
#define OF_EPTS   .vpid = ALL, .pcid = ALL, ALL_PAGES, .physical = EVERY
#define ALL_PAGES .pages = EVERY, .globals = EVERY, .ways = EVERY
#define RETAINING .pages = EVERY, .ways = EVERY
#define NOTHING   .linear = false

static const struct row ROWS[] = {
    /* 4.10.4.1: all structure-cache entries of the current PCID, whatever the address. */
    {"INVLPG x", invlpg, .page = PAGE_X, INDEPENDENT, .pcid = CURRENT, .pages = ONE, .globals = ONE,
     .ways = EVERY},
    {"INVLPG xg", invlpg, .page = PAGE_XG, INDEPENDENT, .pcid = CURRENT, .pages = ONE,
     .globals = ONE, .ways = EVERY},
    {"#PF x", page_fault, .page = PAGE_X, INDEPENDENT, .pcid = CURRENT, .pages = ONE, .ways = ONE},
    {"#PF xg", page_fault, .page = PAGE_XG, INDEPENDENT, .pcid = CURRENT, .pages = ONE,
     .ways = ONE},
    {"MOV CR3 0", mov_cr3, .given = 0, INDEPENDENT, .pcid = GIVEN, RETAINING},
    {"MOV CR3 1", mov_cr3, .given = 1, INDEPENDENT, .pcid = GIVEN, RETAINING},
    {"MOV CR3 2", mov_cr3, .given = 2, INDEPENDENT, .pcid = GIVEN, RETAINING},
    {"MOV CR3 2, kept", mov_cr3, .given = 2, .bit = CR3_KEEP, NOTHING},
    {"MOV CR3 without PCIDE", mov_cr3, .no_pcide = true, INDEPENDENT, .pcid = GIVEN, RETAINING},
    {"INVPCID 0 x 0", invpcid, 0, 0, PAGE_X, INDEPENDENT, .pcid = GIVEN, .pages = ONE, .ways = ONE},
    {"INVPCID 0 x 1", invpcid, 0, 1, PAGE_X, INDEPENDENT, .pcid = GIVEN, .pages = ONE, .ways = ONE},
    {"INVPCID 0 xg 1", invpcid, 0, 1, PAGE_XG, INDEPENDENT, .pcid = GIVEN, .pages = ONE,
     .ways = ONE},
    {"INVPCID 1 0", invpcid, 1, 0, INDEPENDENT, .pcid = GIVEN, RETAINING},
    {"INVPCID 1 2", invpcid, 1, 2, INDEPENDENT, .pcid = GIVEN, RETAINING},
    {"INVPCID 2", invpcid, 2, INDEPENDENT, .pcid = ALL, ALL_PAGES},
    {"INVPCID 3", invpcid, 3, INDEPENDENT, .pcid = ALL, RETAINING},
    {"INVPCID 4", invpcid, 4, .refused = true, NOTHING},
    {"PGE set", mov_cr4, 0, .bit = CR4_PGE, INDEPENDENT, .pcid = ALL, ALL_PAGES},
    {"PGE cleared", mov_cr4, 1, .bit = CR4_PGE, INDEPENDENT, .pcid = ALL, ALL_PAGES},
    {"PCIDE cleared", mov_cr4, 1, .bit = CR4_PCIDE, INDEPENDENT, .pcid = ALL, ALL_PAGES},
    {"SMEP set", mov_cr4, 0, .bit = CR4_SMEP, INDEPENDENT, .pcid = CURRENT, ALL_PAGES},
    {"SMEP cleared", mov_cr4, 1, .bit = CR4_SMEP, NOTHING},
    {"SMAP set", mov_cr4, 0, .bit = CR4_SMAP, NOTHING},
    {"PG cleared", mov_cr0, .bit = CR0_PG, .no_pcide = true, INDEPENDENT, .pcid = ALL, ALL_PAGES},
    {"PG cleared with PCIDE", mov_cr0, .bit = CR0_PG, .refused = true, NOTHING},
    {"WP cleared", mov_cr0, .bit = CR0_WP, NOTHING},
    {"EPT violation of a table of x", violation, 0, 0, PAGE_X, TABLE_X, VIOLATION, .pages = ONE,
     .ways = ONE, .physical = ONE},
    {"EPT violation of the data of x", violation, 0, 0, PAGE_X, REGION_X, VIOLATION, .pages = ONE,
     .ways = ONE, .physical = ONE},
    {"EPT violation of the data of y", violation, 0, 0, PAGE_Y, REGION_Y, VIOLATION, .pages = ONE,
     .ways = ONE, .physical = ONE},
    /* A global translation would be used for the address under this PCID too. */
    {"EPT violation of the data of xg", violation, 0, 0, PAGE_XG, REGION_X, VIOLATION, .pages = ONE,
     .globals = ONE, .ways = ONE, .physical = ONE},
    {"EPT violation without linear address", violation, 1, 0, PAGE_X, TABLE_X, VIOLATION,
     .physical = ONE},
    /* "If the 'enable VPID' VM-execution control is 0, VM entries and VM exits invalidate linear
     * mappings and combined mappings associated with VPID 0000H." */
    {"VM entry or exit", transition, OF_VPIDS, .vpid = ZERO, ALL_PAGES},
    {"INVVPID 0 1 x", invvpid, 0, 1, PAGE_X, OF_VPIDS, .vpid = GIVEN, .pages = ONE, .globals = ONE,
     .ways = ONE},
    {"INVVPID 0 2 xg", invvpid, 0, 2, PAGE_XG, OF_VPIDS, .vpid = GIVEN, .pages = ONE,
     .globals = ONE, .ways = ONE},
    {"INVVPID 0 1 y", invvpid, 0, 1, PAGE_Y, OF_VPIDS, .vpid = GIVEN, .pages = ONE, .globals = ONE,
     .ways = ONE},
    {"INVVPID 1 1", invvpid, 1, 1, OF_VPIDS, .vpid = GIVEN, ALL_PAGES},
    {"INVVPID 1 2", invvpid, 1, 2, OF_VPIDS, .vpid = GIVEN, ALL_PAGES},
    {"INVVPID 2", invvpid, 2, OF_VPIDS, .vpid = NOT_ZERO, ALL_PAGES},
    {"INVVPID 3 1", invvpid, 3, 1, OF_VPIDS, .vpid = GIVEN, RETAINING},
    /* "If the VPID is 0000H, or the address not canonical, VMfailValid": INVVPID in chapter 30. */
    {"INVVPID 0 0", invvpid, 0, 0, .refused = true, NOTHING},
    {"INVVPID 1 0", invvpid, 1, 0, .refused = true, NOTHING},
    {"INVVPID 3 0", invvpid, 3, 0, .refused = true, NOTHING},
    {"INVVPID 4", invvpid, 4, 1, .refused = true, NOTHING},
    {"INVVPID 0 1, not canonical", invvpid, 0, 1, .bit = 1, .refused = true, NOTHING},
    {"INVEPT 1 A", invept, 1, UNDER_A, .ept = GIVEN, OF_EPTS},
    {"INVEPT 1 B", invept, 1, UNDER_B, .ept = GIVEN, OF_EPTS},
    {"INVEPT 2", invept, 2, .ept = ALL, OF_EPTS},
    {"INVEPT 0", invept, 0, UNDER_A, .refused = true, NOTHING},
    {"INVEPT 3", invept, 3, UNDER_A, .refused = true, NOTHING},
    {"a shadow's page dropped", drop, 0, 0, PAGE_X, OF_VPIDS, .vpid = CURRENT, .pages = ONE,
     .globals = ONE, .ways = ONE},
    {"a shadow dropped", drop, 1, OF_VPIDS, .vpid = CURRENT, ALL_PAGES},
};

static bool among(enum which which, unsigned it, unsigned current, unsigned given)
{
    switch (which) {
    case NO:
        return false;
    case CURRENT:
        return it == current;
    case GIVEN:
        return it == given;
    case ALL:
        return true;
    case NOT_ZERO:
        return it != 0;
    case ZERO: /* nothing unless the VM itself is without a VPID */
        return it == 0 && current == 0;
    }
    return false;
}

static bool takes(enum part part, bool the_one)
{
    return part == EVERY || (part == ONE && the_one);
}

/* Caches by entry cannot tell whose way an entry is: all of the PCID go. */
static bool takes_way(const struct world *w, enum part part, bool the_one)
{
    return takes(part, the_one || w->by_entry);
}

static bool must_drop(const struct world *w, const struct row *row, const struct now *current,
                      const struct now *at, enum what what)
{
    if (at->where == LINEAR ? !row->linear
                            : !among(row->ept, at->where, current->where, row->given))
        return false;
    if (!among(row->vpid, at->vpid, current->vpid, row->given))
        return false;
    if (is_global(what))
        return takes(row->globals, what == row->page);
    if (!among(row->pcid, at->pcid, current->pcid, row->given))
        return false;
    bool x = row->page == PAGE_X || row->page == PAGE_XG;
    return what < WAY_X ? takes(row->pages, what == row->page)
                        : takes_way(w, row->ways, what == (x ? WAY_X : WAY_Y));
}

static bool must_drop_physical(const struct world *w, const struct row *row,
                               const struct now *current, enum where where, enum physical cell)
{
    if (!among(row->ept, where, current->where, row->given))
        return false;
    return cell < REGION_X ? takes(row->physical, cell == row->cell)
                           : takes_way(w, row->physical, cell == row->cell);
}

/* ---- the matrix ---- */

static void count(struct matrix_score *score, bool kept, bool must, const char *row,
                  unsigned kept_level, const struct now *current, const struct now *at,
                  const char *what)
{
    score->cells++;
    score->dropped += must;
    if (kept == !must)
        return;
    score->wrong++;
    if (score->wrong <= 20)
        fprintf(stderr, "%s at %u/%u/%u: %s of %u/%u/%u is %s (level %u)\n", row, current->where,
                current->vpid, current->pcid, what, at->where, at->vpid, at->pcid,
                kept ? "kept" : "dropped", kept_level);
}

static void probe_physical(struct world *w, const struct row *row, const struct now *current,
                           struct matrix_score *score)
{
    static const char *const names[] = {"table x", "table y", "region x", "region y"};
    for (enum where where = UNDER_A; where < WHERES; where++)
        for (enum physical cell = 0; cell < PHYSICALS; cell++)
            count(score, is_physical_kept(w, where, cell),
                  must_drop_physical(w, row, current, where, cell), row->name, w->kept, current,
                  &(struct now){where, 0, 0}, names[cell]);
}

/* Ways first: the walk of a page that is gone would fill them again. */
static void probe_all(struct world *w, const struct row *row, const struct now *current,
                      struct matrix_score *score)
{
    static const char *const names[] = {"page x", "page xg", "page y", "page yg", "way x", "way y"};
    probe_physical(w, row, current, score);
    struct now at = {0};
    do {
        enter(w, &at);
        for (unsigned i = 0; i < WHATS; i++) {
            enum what what = (i + WAY_X) % WHATS;
            count(score, is_kept(w, &at, what), must_drop(w, row, current, &at, what), row->name,
                  w->kept, current, &at, names[what]);
        }
    } while (next_context(&at));
}

static bool applies(const struct row *row, const struct now *now)
{
    return (now->where != LINEAR || !row->ept_only) && (now->pcid == 0 || !row->no_pcide);
}

static void run_row(struct world *w, const struct row *row, const struct mmu *filled,
                    struct matrix_score *score)
{
    struct now now = {0};
    do {
        if (!applies(row, &now))
            continue;
        memcpy(w->rig->mmu, filled, filled->bytes);
        enter(w, &now);
        struct registers r = w->rig->mmu->registers;
        r.cr4 &= ~(row->no_pcide ? CR4_PCIDE : 0);
        enter_as(w, now.where, now.vpid, &r);
        const char *fault = row->run(w, row);
        if ((fault != NULL) != row->refused) {
            fprintf(stderr, "%s: %s\n", row->name, fault ? fault : "done");
            score->wrong++;
        }
        probe_all(w, row, &now, score);
    } while (next_context(&now));
}

struct matrix_score matrix_check(unsigned kept, bool by_entry)
{
    struct world w = world_new(kept, by_entry);
    struct mmu *filled = aligned_alloc(16, w.rig->mmu->bytes);
    memcpy(filled, w.rig->mmu, w.rig->mmu->bytes);
    struct matrix_score score = {.operations = sizeof ROWS / sizeof *ROWS};
    for (unsigned i = 0; i < score.operations; i++)
        run_row(&w, &ROWS[i], filled, &score);
    free(filled);
    rig_free(w.rig);
    return score;
}
