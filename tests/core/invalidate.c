/*
 * What each operation invalidates, cell by cell: SDM vol. 3, 4.10.4.1. A rig is filled under two
 * PCIDs, its tables are changed behind its back, the operation is done, and each cell is observed
 * on a copy of its own: a translation that is still the old one was kept.
 */
#include "tests/core/rig.h"

#include <criterion/criterion.h>
#include <string.h>

/* ---- the stage: two address spaces, some global pages, three regions ---- */

enum page { PAGE_A, PAGE_B, PAGE_C, PAGE_D, PAGE_G, PAGE_H, PROBE_A, PROBE_C, PROBE_D, PAGES };

#define OLD    ((uint64_t)0x1000000000)
#define NEW    ((uint64_t)0x1100000000)
#define SYSTEM (PTE_P | PTE_W) /* for the supervisor, so that SMEP changes no right */

struct scene {
    struct rig *rig;
    struct tables tables[3]; /* by PCID; [0] is not used */
    enum paging paging;
};

/* A, B, G and H share a 2 MiB region, D is in the next, C is far: not even the top entry is shared.
 * The probes are never accessed before the operation. */
static gva_t va_of(const struct scene *s, enum page page)
{
    static const gva_t va[PAGES] = {0x400000, 0x401000, 0x000000, 0x600000, 0x403000,
                                    0x404000, 0x405000, 0x001000, 0x601000};
    gva_t far = (gva_t)1 << (s->paging == PAGING_5_LEVEL ? 55 : 46);
    return va[page] + (page == PAGE_C || page == PROBE_C ? far : 0);
}

static bool is_global(enum page page)
{
    return page == PAGE_G || page == PAGE_H;
}

static hpa_t frame_of(uint64_t from, unsigned pcid, enum page page)
{
    return from + ((uint64_t)(is_global(page) ? 0 : pcid) << 24) + ((uint64_t)page << 12);
}

static uint64_t leaf_of(uint64_t from, unsigned pcid, enum page page)
{
    return frame_of(from, pcid, page) | SYSTEM | (is_global(page) ? PTE_G : 0);
}

static void map_pages(struct scene *s, unsigned pcid)
{
    s->tables[pcid] = tables_new(s->paging, 0x1000000 * pcid, 0);
    for (enum page page = 0; page < PAGES; page++)
        tables_map(&s->rig->mem, &s->tables[pcid], va_of(s, page), 1, leaf_of(OLD, pcid, page));
}

/*
 * Behind the caches' back: every page moves to NEW, and every region gets another table, which
 * alone has the probes at NEW. So a probe at OLD was reached through an old structure-cache entry.
 */
static void move_pages(struct scene *s, unsigned pcid)
{
    struct mem *mem = &s->rig->mem;
    struct tables *t = &s->tables[pcid];
    for (enum page page = 0; page < PROBE_A; page++)
        entry_store(mem, t, va_of(s, page), 1, leaf_of(NEW, pcid, page));
    static const enum page region[] = {PROBE_A, PROBE_C, PROBE_D};
    for (unsigned i = 0; i < 3; i++) {
        gva_t va = va_of(s, region[i]);
        hpa_t from = tables_at(mem, t, va, 1) & ~(hpa_t)4095, to = t->next;
        t->next += 4096;
        for (unsigned at = 0; at < 4096; at += 8)
            mem_store(mem, to + at, mem_load(mem, from + at, 8), 8);
        entry_store(mem, t, va, 2, to | PWU);
        entry_store(mem, t, va, 1, leaf_of(NEW, pcid, region[i]));
    }
}

static void enter(struct scene *s, unsigned pcid)
{
    const char *fault =
        mmu_mov_cr3(s->rig->mmu, &s->rig->bus, s->tables[pcid].root | pcid | CR3_KEEP);
    cr_assert_null(fault, "%s", fault);
}

static void fill(struct scene *s, unsigned pcid)
{
    for (enum page page = 0; page < PROBE_A; page++) {
        cr_assert_eq(rig_read(s->rig, va_of(s, page)), frame_of(OLD, pcid, page));
        cr_assert(rig_access(s->rig, OP_EXEC, 0, va_of(s, page)));
    }
}

static struct scene scene_new(enum paging paging, bool by_entry)
{
    struct scene s = {.paging = paging};
    struct profile p = rig_cached_profile();
    p.structure_by_entry = by_entry;
    s.rig = rig_new(&p, 1);
    map_pages(&s, 1);
    map_pages(&s, 2);
    struct registers r = rig_registers(paging, s.tables[2].root | 2);
    r.cr4 |= CR4_PCIDE;
    rig_set(s.rig, &r);
    fill(&s, 2);
    enter(&s, 1);
    fill(&s, 1);
    move_pages(&s, 1);
    move_pages(&s, 2);
    return s;
}

/* ---- observing ---- */

/* A cell of the manual's table: a translation, or the structure-cache entries on a path. */
static const struct column {
    const char *name;
    unsigned pcid;
    enum page page;
} COLUMNS[] = {{"A of PCID 1", 1, PAGE_A},
               {"B of PCID 1", 1, PAGE_B},
               {"C of PCID 1", 1, PAGE_C},
               {"global G seen in PCID 1", 1, PAGE_G},
               {"global H seen in PCID 1", 1, PAGE_H},
               {"A of PCID 2", 2, PAGE_A},
               {"B of PCID 2", 2, PAGE_B},
               {"C of PCID 2", 2, PAGE_C},
               {"global G seen in PCID 2", 2, PAGE_G},
               {"path of A in PCID 1", 1, PROBE_A},
               {"path of D in PCID 1", 1, PROBE_D},
               {"path of C in PCID 1", 1, PROBE_C},
               {"path of A in PCID 2", 2, PROBE_A},
               {"path of C in PCID 2", 2, PROBE_C}};
enum { COLUMN_COUNT = sizeof COLUMNS / sizeof *COLUMNS };

/* After an operation that may have left PCIDs off or another CR3. */
static void enter_again(struct scene *s, unsigned pcid)
{
    struct mmu *mmu = s->rig->mmu;
    if (!(mmu->registers.cr4 & CR4_PCIDE)) {
        cr_assert_null(mmu_mov_cr3(mmu, &s->rig->bus, s->tables[1].root));
        cr_assert_null(mmu_mov_cr4(mmu, &s->rig->bus, mmu->registers.cr4 | CR4_PCIDE));
    }
    enter(s, pcid);
}

/* A page that fetches and reads both find where it was is kept; neither: gone. */
static bool translation_kept(struct scene *s, const struct column *c)
{
    gva_t va = va_of(s, c->page);
    hpa_t old = frame_of(OLD, c->pcid, c->page), new = frame_of(NEW, c->pcid, c->page);
    hpa_t read = rig_read(s->rig, va);
    cr_assert(rig_access(s->rig, OP_EXEC, 0, va), "%s", c->name);
    hpa_t fetch = s->rig->walk.found.hpa;
    cr_expect_eq(read, fetch, "%s: data and instruction TLBs agree", c->name);
    cr_expect(read == old || read == new, "%s: %lx", c->name, read);
    return read == old;
}

/* A path that is kept costs one read and leads through the old table; else all are read. */
static bool path_kept(struct scene *s, const struct column *c)
{
    uint64_t refs = rig_refs(s->rig);
    hpa_t read = rig_read(s->rig, va_of(s, c->page));
    refs = rig_refs(s->rig) - refs;
    bool kept = read == frame_of(OLD, c->pcid, c->page);
    cr_expect_eq(refs, kept ? 1u : (unsigned)s->paging, "%s: %lu reads", c->name, refs);
    cr_expect(kept || read == frame_of(NEW, c->pcid, c->page), "%s: %lx", c->name, read);
    return kept;
}

/* By entry, memory is always read for the value; who served it tells what was kept. */
static bool entries_kept(struct scene *s, const struct column *c)
{
    uint64_t before = 0, after = 0;
    for (unsigned level = 2; level <= (unsigned)s->paging; level++)
        before += RIG_COUNT(s->rig, REF, 0, level, SERVED_STRUCTURE);
    cr_assert_eq(rig_read(s->rig, va_of(s, c->page)), frame_of(NEW, c->pcid, c->page));
    for (unsigned level = 2; level <= (unsigned)s->paging; level++)
        after += RIG_COUNT(s->rig, REF, 0, level, SERVED_STRUCTURE);
    return after - before == (unsigned)s->paging - 1;
}

static bool observe(const struct scene *after, const struct column *c)
{
    struct scene s = *after;
    s.rig = rig_copy(after->rig);
    enter_again(&s, c->pcid);
    bool kept = c->page < PROBE_A           ? translation_kept(&s, c)
                : s.rig->mmu->look.by_entry ? entries_kept(&s, c)
                                            : path_kept(&s, c);
    rig_free(s.rig);
    return kept;
}

/* ---- the operations ---- */

static void invlpg_a(struct scene *s)
{
    mmu_invlpg(s->rig->mmu, va_of(s, PAGE_A) + 0x123);
}

static void invlpg_global(struct scene *s)
{
    mmu_invlpg(s->rig->mmu, va_of(s, PAGE_G));
}

static void invlpg_unmapped(struct scene *s)
{
    mmu_invlpg(s->rig->mmu, 0x10000000);
}

static void mov_cr3(struct scene *s, unsigned pcid, uint64_t bit63)
{
    cr_assert_null(mmu_mov_cr3(s->rig->mmu, &s->rig->bus, s->tables[pcid].root | pcid | bit63));
}

static void mov_cr3_to_1(struct scene *s)
{
    mov_cr3(s, 1, 0);
}

static void mov_cr3_to_2(struct scene *s)
{
    mov_cr3(s, 2, 0);
}

static void mov_cr3_to_3(struct scene *s) /* a PCID that has nothing cached */
{
    cr_assert_null(mmu_mov_cr3(s->rig->mmu, &s->rig->bus, s->tables[1].root | 3));
}

static void mov_cr3_keep_1(struct scene *s)
{
    mov_cr3(s, 1, CR3_KEEP);
}

static void mov_cr3_keep_2(struct scene *s)
{
    mov_cr3(s, 2, CR3_KEEP);
}

static void invpcid(struct scene *s, unsigned type, uint16_t pcid, gva_t va)
{
    cr_assert_null(mmu_invpcid(s->rig->mmu, type, pcid, va));
}

static void invpcid_0_a_1(struct scene *s)
{
    invpcid(s, 0, 1, va_of(s, PAGE_A));
}

static void invpcid_0_a_2(struct scene *s)
{
    invpcid(s, 0, 2, va_of(s, PAGE_A));
}

static void invpcid_0_global(struct scene *s)
{
    invpcid(s, 0, 1, va_of(s, PAGE_G));
}

static void invpcid_1_1(struct scene *s)
{
    invpcid(s, 1, 1, 0);
}

static void invpcid_1_2(struct scene *s)
{
    invpcid(s, 1, 2, 0);
}

static void invpcid_2(struct scene *s)
{
    invpcid(s, 2, 0, 0);
}

static void invpcid_3(struct scene *s)
{
    invpcid(s, 3, 0, 0);
}

static void flip_cr4(struct scene *s, uint64_t bits)
{
    struct mmu *mmu = s->rig->mmu;
    cr_assert_null(mmu_mov_cr4(mmu, &s->rig->bus, mmu->registers.cr4 ^ bits));
}

static void pge_off(struct scene *s)
{
    flip_cr4(s, CR4_PGE);
}

static void pge_off_and_on(struct scene *s)
{
    flip_cr4(s, CR4_PGE);
    flip_cr4(s, CR4_PGE);
}

static void pcide_off(struct scene *s)
{
    flip_cr4(s, CR4_PCIDE);
}

static void smep_on(struct scene *s)
{
    flip_cr4(s, CR4_SMEP);
}

static void smap_on_and_off(struct scene *s)
{
    flip_cr4(s, CR4_SMAP);
    flip_cr4(s, CR4_SMAP);
}

static void same_cr4(struct scene *s)
{
    flip_cr4(s, 0);
}

static void wp_off(struct scene *s)
{
    struct mmu *mmu = s->rig->mmu;
    cr_assert_null(mmu_mov_cr0(mmu, &s->rig->bus, mmu->registers.cr0 & ~CR0_WP));
}

static void write_pkru(struct scene *s)
{
    mmu_wrpkru(s->rig->mmu, 0);
}

static void efer_same(struct scene *s)
{
    cr_assert_null(mmu_wrmsr_efer(s->rig->mmu, &s->rig->bus, s->rig->mmu->registers.efer));
}

static void page_fault_on(struct scene *s, enum page page)
{
    struct refusal refusal = {.kind = REFUSED_PROTECTION, .level = 1, .access = KIND_WRITE};
    refusal.ia = va_of(s, page);
    mmu_page_fault(s->rig->mmu, refusal.ia, &refusal);
}

static void page_fault_a(struct scene *s)
{
    page_fault_on(s, PAGE_A);
}

static void page_fault_c(struct scene *s)
{
    page_fault_on(s, PAGE_C);
}

static void canonical_fault(struct scene *s)
{
    struct refusal refusal = {.kind = REFUSED_CANONICAL, .ia = (gva_t)1 << 60};
    mmu_page_fault(s->rig->mmu, refusal.ia, &refusal);
}

static void refused_moves(struct scene *s)
{
    struct mmu *mmu = s->rig->mmu;
    cr_assert_not_null(mmu_mov_cr3(mmu, &s->rig->bus, (uint64_t)1 << 62));
    cr_assert_not_null(mmu_mov_cr4(mmu, &s->rig->bus, mmu->registers.cr4 & ~CR4_PAE));
    cr_assert_not_null(mmu_mov_cr0(mmu, &s->rig->bus, mmu->registers.cr0 & ~CR0_PG));
    cr_assert_not_null(mmu_invpcid(mmu, 4, 0, 0));
}

/*
 * 4.10.4.1, a row per operation. '.' kept, 'x' gone, '?' the manual leaves it open. Columns: A B C
 * of PCID 1, the globals G H, A B C of PCID 2, G again, then the structure-cache entries on the
 * paths of A, D, C in PCID 1, and of A, C in PCID 2.
 */
static const struct row {
    const char *name;
    void (*operate)(struct scene *);
    const char *want;
} ROWS[] = {
    /* "entries ... associated with the current PCID, and global entries for the page; all entries
       in all paging-structure caches associated with the current PCID" */
    {"INVLPG", invlpg_a, "x.. .. ... . xxx .."},
    {"INVLPG of a global page", invlpg_global, "... x. ... x xxx .."},
    {"INVLPG of no page at all", invlpg_unmapped, "... .. ... . xxx .."},
    /* bit 63 = 0: "associated with the PCID in bits 11:0, except global; other PCIDs are not" */
    {"MOV CR3, own PCID", mov_cr3_to_1, "xxx .. ... . xxx .."},
    {"MOV CR3, other PCID", mov_cr3_to_2, "... .. xxx . ... xx"},
    {"MOV CR3, third PCID", mov_cr3_to_3, "... .. ... . ... .."},
    /* bit 63 = 1: "not required to invalidate any" */
    {"MOV CR3, own PCID, bit 63", mov_cr3_keep_1, "... .. ... . ... .."},
    {"MOV CR3, other PCID, bit 63", mov_cr3_keep_2, "... .. ... . ... .."},
    /* type 0: "mappings, except global, for the address and PCID" */
    {"INVPCID 0", invpcid_0_a_1, "x.. .. ... . x.. .."},
    {"INVPCID 0, other PCID", invpcid_0_a_2, "... .. x.. . ... x."},
    {"INVPCID 0 of a global page", invpcid_0_global, "... .. ... . x.. .."},
    /* type 1: "all mappings, except global, with the PCID" */
    {"INVPCID 1", invpcid_1_1, "xxx .. ... . xxx .."},
    {"INVPCID 1, other PCID", invpcid_1_2, "... .. xxx . ... xx"},
    /* type 2: "all, including global, with any PCID"; type 3: "except global" */
    {"INVPCID 2", invpcid_2, "xxx xx xxx x xxx xx"},
    {"INVPCID 3", invpcid_3, "xxx .. xxx . xxx xx"},
    /* "all TLB entries (including global) and all structure-cache entries (for all PCIDs) if it
       changes PGE or PCIDE from 1 to 0" */
    {"CR4.PGE 1 to 0", pge_off, "xxx xx xxx x xxx xx"},
    {"CR4.PGE 1 to 0 to 1", pge_off_and_on, "xxx xx xxx x xxx xx"},
    {"CR4.PCIDE 1 to 0", pcide_off, "xxx xx xxx x xxx xx"},
    /* "for the current PCID if it changes PAE or SMEP from 0 to 1"; of globals it says nothing */
    {"CR4.SMEP 0 to 1", smep_on, "xxx ?? ... ? xxx .."},
    {"CR4.SMAP there and back", smap_on_and_off, "... .. ... . ... .."},
    {"CR4 as it was", same_cr4, "... .. ... . ... .."},
    {"CR0.WP 1 to 0", wp_off, "... .. ... . ... .."},
    {"WRPKRU", write_pkru, "... .. ... . ... .."},
    {"WRMSR of EFER as it was", efer_same, "... .. ... . ... .."},
    /* "entries for the page number and the current PCID; those that would be used for it" */
    {"page fault", page_fault_a, "x.. ?? ... ? x.. .."},
    {"page fault far away", page_fault_c, "..x ?? ... ? ..x .."},
    {"#GP of an address", canonical_fault, "... .. ... . ... .."},
    {"refused moves", refused_moves, "... .. ... . ... .."},
};

/*
 * Entries kept by their own address do not tell which linear addresses they serve: dropping "those
 * that would be used" for one may drop more of the PCID, which the manual always allows.
 */
static bool open_by_entry(const struct scene *s, const struct row *row, const struct column *column)
{
    bool of_one_address = strstr(row->name, "page fault") || strstr(row->name, "INVPCID 0");
    return s->rig->mmu->look.by_entry && of_one_address && column->page >= PROBE_A;
}

static void check_row(const struct scene *filled, const struct row *row)
{
    struct scene s = *filled;
    s.rig = rig_copy(filled->rig);
    row->operate(&s);
    const char *want = row->want;
    for (unsigned i = 0; i < COLUMN_COUNT; i++, want++) {
        want += *want == ' ';
        if (*want == '?' || (*want == '.' && open_by_entry(&s, row, &COLUMNS[i])))
            continue;
        bool kept = observe(&s, &COLUMNS[i]);
        cr_expect_eq(kept, *want == '.', "%u-level%s, %s: %s is %s", s.paging,
                     s.rig->mmu->look.by_entry ? " by entry" : "", row->name, COLUMNS[i].name,
                     kept ? "kept" : "gone");
    }
    rig_free(s.rig);
}

static void check_matrix(enum paging paging, bool by_entry)
{
    struct scene s = scene_new(paging, by_entry);
    for (unsigned i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        check_row(&s, &ROWS[i]);
    rig_free(s.rig);
}

Test(invalidate, each_operation_drops_exactly_what_the_manual_says_with_4_levels)
{
    check_matrix(PAGING_4_LEVEL, false);
}

Test(invalidate, each_operation_drops_exactly_what_the_manual_says_with_5_levels)
{
    check_matrix(PAGING_5_LEVEL, false);
}

Test(invalidate, each_operation_drops_the_same_where_entries_are_cached)
{
    check_matrix(PAGING_4_LEVEL, true);
}

/* ---- operations that need another scene ---- */

/* Without PCIDs all is PCID 0. */
static struct scene scene_without_pcid(void)
{
    struct scene s = {.paging = PAGING_4_LEVEL};
    struct profile p = rig_cached_profile();
    s.rig = rig_new(&p, 1);
    map_pages(&s, 1);
    struct registers r = rig_registers(PAGING_4_LEVEL, s.tables[1].root);
    rig_set(s.rig, &r);
    fill(&s, 1);
    move_pages(&s, 1);
    return s;
}

static void check_without_pcid(struct scene *after, const char *want)
{
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        if (COLUMNS[i].pcid != 1)
            continue;
        struct scene s = *after;
        s.rig = rig_copy(after->rig);
        bool kept = COLUMNS[i].page < PROBE_A ? translation_kept(&s, &COLUMNS[i])
                                              : path_kept(&s, &COLUMNS[i]);
        cr_expect_eq(kept, *want++ == '.', "%s", COLUMNS[i].name);
        rig_free(s.rig);
    }
    rig_free(after->rig);
}

/* "CR4.PCIDE = 0: all TLB entries of PCID 000H except global, all structure-cache entries of it" */
Test(invalidate, mov_cr3_without_pcid_drops_all_but_globals)
{
    struct scene s = scene_without_pcid();
    cr_assert_null(mmu_mov_cr3(s.rig->mmu, &s.rig->bus, s.tables[1].root));
    check_without_pcid(&s, "xxx..xxx");
}

/* Bits 4:3 (PWT, PCD) and bits 11:5 of CR3 pick no PCID then. */
Test(invalidate, mov_cr3_without_pcid_ignores_its_low_bits)
{
    struct scene s = scene_without_pcid();
    cr_assert_null(mmu_mov_cr3(s.rig->mmu, &s.rig->bus, s.tables[1].root | 0x18));
    check_without_pcid(&s, "xxx..xxx");
}

/* Turning PCIDs on drops nothing: what there is belongs to PCID 0. */
Test(invalidate, turning_pcids_on_keeps_everything)
{
    struct scene s = scene_without_pcid();
    flip_cr4(&s, CR4_PCIDE);
    check_without_pcid(&s, "........");
}

/* "MOV to CR0 that changes PG from 1 to 0: all, including global, with all PCIDs" */
Test(invalidate, turning_paging_off_drops_everything)
{
    struct scene s = scene_without_pcid();
    struct mmu *mmu = s.rig->mmu;
    cr_assert_null(mmu_mov_cr0(mmu, &s.rig->bus, mmu->registers.cr0 & ~CR0_PG));
    cr_assert_eq(rig_read(s.rig, 0x12345), 0x12345, "the identity");
    cr_assert_null(mmu_mov_cr0(mmu, &s.rig->bus, mmu->registers.cr0 | CR0_PG));
    check_without_pcid(&s, "xxxxxxxx");
}

/* SMEP from 1 to 0 is not in the manual's list. */
Test(invalidate, turning_smep_off_keeps_everything)
{
    struct scene s = {.paging = PAGING_4_LEVEL};
    struct profile p = rig_cached_profile();
    s.rig = rig_new(&p, 1);
    map_pages(&s, 1);
    struct registers r = rig_registers(PAGING_4_LEVEL, s.tables[1].root);
    r.cr4 |= CR4_SMEP;
    rig_set(s.rig, &r);
    fill(&s, 1);
    move_pages(&s, 1);
    flip_cr4(&s, CR4_SMEP);
    check_without_pcid(&s, "........");
}

/* "The current PCID's, if it changes the value of CR4.PAE": in both directions. */
Test(invalidate, changing_pae_drops_the_current_pcid)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_new(&p, 1);
    struct tables two = tables_new(PAGING_2_LEVEL, 0x100000, 0);
    struct tables pae = tables_new(PAGING_PAE, 0x200000, 0);
    gva_t va = 0x00401000, probe = 0x00402000;
    for (unsigned i = 0; i < 2; i++) {
        tables_map(&rig->mem, &two, va + i * 4096, 1, (0x5000000 + i * 4096) | SYSTEM);
        tables_map(&rig->mem, &pae, va + i * 4096, 1, (0x6000000 + i * 4096) | SYSTEM);
    }
    /* One CR3 serves both: the first entries of the 2-level root are the PDPTEs' bytes. */
    uint64_t pdpte = mem_load(&rig->mem, pae.root, 8), pde = mem_load(&rig->mem, two.root + 4, 4);
    mem_store(&rig->mem, two.root, pdpte, 4);
    mem_store(&rig->mem, two.root + 4, 0, 4);
    struct registers r = rig_registers(PAGING_PAE, two.root);
    rig_set(rig, &r);
    cr_assert_eq(rig_read(rig, va), 0x6000000);
    mem_store(&rig->mem, two.root + 4, pde, 4);
    cr_assert_null(mmu_mov_cr4(rig->mmu, &rig->bus, r.cr4 & ~CR4_PAE));
    cr_assert_eq(rig_read(rig, va), 0x5000000, "not the page that PAE had there");
    cr_assert_eq(rig_read(rig, probe), 0x5001000, "through the 2-level PDE");
    mem_store(&rig->mem, two.root + 4, 0, 4);
    cr_assert_null(mmu_mov_cr4(rig->mmu, &rig->bus, r.cr4));
    cr_assert_eq(rig_read(rig, va), 0x6000000, "nor the other way round");
    cr_assert_eq(rig_read(rig, probe), 0x6001000);
    rig_free(rig);
}

/* ---- pages kept as fragments ---- */

struct fragments {
    struct rig *rig;
    struct tables tables;
};

#define GIB  ((uint64_t)1 << 30)
#define MIB2 ((uint64_t)1 << 21)

/* 1 GiB pages are kept as 2 MiB (or 4 KiB) fragments; three of them, the last one global. */
static struct fragments fragments_new(uint8_t kept)
{
    struct fragments f = {.tables = tables_new(PAGING_4_LEVEL, 0x100000, 0)};
    struct profile p = rig_cached_profile();
    for (unsigned tlb = 0; tlb < TLBS; tlb++) {
        p.tlb[tlb].array_of[2] = TLB_NOWHERE;
        p.tlb[tlb].kept_as[2] = kept;
    }
    f.rig = rig_new(&p, 1);
    for (uint64_t i = 0; i < 3; i++)
        tables_map(&f.rig->mem, &f.tables, i * GIB, PAGE_1G,
                   (i + 16) * GIB | SYSTEM | (i == 2 ? PTE_G : 0));
    struct registers r = rig_registers(PAGING_4_LEVEL, f.tables.root);
    rig_set(f.rig, &r);
    for (uint64_t i = 0; i < 3; i++)
        for (uint64_t j = 0; j < 3; j++)
            cr_assert_eq(rig_read(f.rig, i * GIB + j * 100 * MIB2 + 5),
                         (i + 16) * GIB + j * 100 * MIB2 + 5);
    for (uint64_t i = 0; i < 3; i++)
        entry_store(&f.rig->mem, &f.tables, i * GIB, PAGE_1G,
                    (i + 32) * GIB | SYSTEM | PTE_PS | (i == 2 ? PTE_G : 0));
    return f;
}

/* Each page's three fragments are all kept or all gone. '.' or 'x' for each page. */
static void check_fragments(struct fragments *f, const char *want)
{
    for (uint64_t i = 0; i < 3; i++)
        for (uint64_t j = 0; j < 3; j++) {
            uint64_t inside = j * 100 * MIB2 + 5;
            hpa_t frame = (i + (want[i] == '.' ? 16 : 32)) * GIB;
            struct rig *copy = rig_copy(f->rig);
            cr_expect_eq(rig_read(copy, i * GIB + inside), frame + inside, "page %lu fragment %lu",
                         i, j);
            rig_free(copy);
        }
    rig_free(f->rig);
}

/* "INVLPG invalidates all TLB entries for the page, even if it is larger than 4 KiB and has many"
 */
Test(invalidate, invlpg_drops_every_fragment_of_a_large_page)
{
    for (uint8_t kept = 0; kept < 2; kept++) {
        struct fragments f = fragments_new(kept);
        mmu_invlpg(f.rig->mmu, 0x12345678); /* in none of the fragments */
        check_fragments(&f, "x..");
        f = fragments_new(kept);
        mmu_invlpg(f.rig->mmu, 2 * GIB + 0x12345678);
        check_fragments(&f, "..x");
    }
}

Test(invalidate, other_operations_drop_every_fragment_too)
{
    for (uint8_t kept = 0; kept < 2; kept++) {
        struct fragments f = fragments_new(kept);
        cr_assert_null(mmu_invpcid(f.rig->mmu, 0, 0, GIB + 0x7654321));
        check_fragments(&f, ".x.");
        f = fragments_new(kept);
        struct refusal refusal = {.kind = REFUSED_PROTECTION, .level = 3, .ia = 0x1234567};
        mmu_page_fault(f.rig->mmu, refusal.ia, &refusal);
        check_fragments(&f, "x..");
        f = fragments_new(kept);
        cr_assert_null(mmu_mov_cr3(f.rig->mmu, &f.rig->bus, f.tables.root));
        check_fragments(&f, "xx.");
        f = fragments_new(kept);
        flip_cr4(&(struct scene){.rig = f.rig}, CR4_PGE);
        check_fragments(&f, "xxx");
    }
}

/* An L1 entry refilled from an L2 that keeps fragments itself is still a piece of the whole page.
 */
Test(invalidate, invlpg_drops_fragments_of_fragments)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 4);
    rig_tlb(&p, TLB_L2, 4);
    for (unsigned size = 1; size < PAGE_CLASSES; size++)
        p.tlb[TLB_L1D].array_of[size] = TLB_NOWHERE, p.tlb[TLB_L1D].kept_as[size] = 0;
    p.tlb[TLB_L2].array_of[2] = TLB_NOWHERE, p.tlb[TLB_L2].kept_as[2] = 1;
    struct rig *rig = rig_new(&p, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    tables_map(&rig->mem, &t, 0, PAGE_1G, 16 * GIB | SYSTEM);
    struct registers r = rig_registers(PAGING_4_LEVEL, t.root);
    rig_set(rig, &r);
    cr_assert_eq(rig_read(rig, 0x1000), 16 * GIB + 0x1000);
    cr_assert_eq(rig_read(rig, 0x5008), 16 * GIB + 0x5008);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 1, "the second came from the L2");
    entry_store(&rig->mem, &t, 0, PAGE_1G, 32 * GIB | SYSTEM | PTE_PS);
    cr_expect_eq(rig_read(rig, 0x5010), 16 * GIB + 0x5010);
    mmu_invlpg(rig->mmu, 0x3fff0000);
    cr_expect_eq(rig_read(rig, 0x5008), 32 * GIB + 0x5008);
    cr_expect_eq(rig_read(rig, 0x1000), 32 * GIB + 0x1000);
    rig_free(rig);
}

/* 2 MiB pages, whole: INVLPG of any address in one drops it, and no neighbour. */
Test(invalidate, invlpg_of_any_address_in_a_large_page)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_new(&p, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    tables_map_range(&rig->mem, &t, 0, PAGE_2M, 0x40000000 | SYSTEM, 3);
    struct registers r = rig_registers(PAGING_4_LEVEL, t.root);
    rig_set(rig, &r);
    for (unsigned i = 0; i < 3; i++)
        rig_read(rig, i * MIB2);
    for (unsigned i = 0; i < 3; i++)
        entry_store(&rig->mem, &t, i * MIB2, 2, (0x80000000 + i * MIB2) | SYSTEM | PTE_PS);
    mmu_invlpg(rig->mmu, MIB2 + 0x1ff123);
    cr_expect_eq(rig_read(rig, 0x1000), 0x40001000);
    cr_expect_eq(rig_read(rig, MIB2), 0x80000000 + MIB2);
    cr_expect_eq(rig_read(rig, 2 * MIB2), 0x40000000 + 2 * MIB2);
    rig_free(rig);
}

/* ---- what needs no invalidation, and what does ---- */

static struct rig *rig_with_page(struct tables *t, uint64_t entry)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_new(&p, 1);
    *t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    tables_map(&rig->mem, t, 0x400000, 1, entry);
    struct registers r = rig_registers(PAGING_4_LEVEL, t->root);
    rig_set(rig, &r);
    return rig;
}

/* "No invalidation is needed after P goes from 0 to 1": nothing is cached of a fault. 4.10.4.3. */
Test(invalidate, a_page_made_present_needs_no_invalidation)
{
    struct tables t;
    struct rig *rig = rig_with_page(&t, 0);
    cr_assert_not(rig_access(rig, OP_READ, 0, 0x400000));
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | SYSTEM);
    cr_assert_eq(rig_read(rig, 0x400000), 0x5000);
    rig_free(rig);
}

/* Nor after rights are raised: the entry that denies is dropped, and the walk finds the new. */
Test(invalidate, rights_that_were_raised_need_no_invalidation)
{
    struct tables t;
    struct rig *rig = rig_with_page(&t, 0x5000 | PTE_P);
    cr_assert_eq(rig_read(rig, 0x400000), 0x5000);
    cr_assert_not(rig_access(rig, OP_WRITE, 0, 0x400000));
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | SYSTEM);
    cr_assert_eq(rig_write(rig, 0x400000), 0x5000);
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | PWU);
    cr_assert(rig_access(rig, OP_READ, ACCESS_USER, 0x400000));
    rig_free(rig);
}

/* Lowered rights do: the old ones serve until then. */
Test(invalidate, rights_that_were_lowered_serve_until_they_are_invalidated)
{
    struct tables t;
    struct rig *rig = rig_with_page(&t, 0x5000 | SYSTEM);
    cr_assert_eq(rig_write(rig, 0x400000), 0x5000);
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | PTE_P);
    cr_assert_eq(rig_write(rig, 0x400000), 0x5000);
    mmu_invlpg(rig->mmu, 0x400000);
    cr_assert_not(rig_access(rig, OP_WRITE, 0, 0x400000));
    rig_free(rig);
}

/* "Clearing A or D without INVLPG may not be observed": nothing sets them while the TLB serves. */
Test(invalidate, clearing_a_and_d_is_noticed_after_an_invalidation)
{
    struct tables t;
    struct rig *rig = rig_with_page(&t, 0x5000 | SYSTEM);
    rig_write(rig, 0x400000);
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | SYSTEM);
    rig_write(rig, 0x400000);
    cr_expect_eq(entry_load(&rig->mem, &t, 0x400000, 1), 0x5000 | SYSTEM);
    mmu_invlpg(rig->mmu, 0x400000);
    rig_write(rig, 0x400000);
    cr_expect_eq(entry_load(&rig->mem, &t, 0x400000, 1), 0x5000 | SYSTEM | PTE_A | PTE_D);
    rig_free(rig);
}

/* INVPCID's own #GPs: types above 3, PCIDs above 12 bits or without PCIDE, odd addresses. */
Test(invalidate, invpcid_refuses_what_cannot_be)
{
    struct scene s = scene_new(PAGING_4_LEVEL, false);
    struct mmu *m = s.rig->mmu;
    cr_expect_not_null(mmu_invpcid(m, 4, 0, 0));
    cr_expect_not_null(mmu_invpcid(m, 0, 4096, 0));
    cr_expect_not_null(mmu_invpcid(m, 1, 4096, 0));
    cr_expect_not_null(mmu_invpcid(m, 0, 1, (gva_t)1 << 47));
    cr_expect_null(mmu_invpcid(m, 1, 1, (gva_t)1 << 47), "type 1 looks at no address");
    cr_expect_null(mmu_invpcid(m, 0, 4095, 0));
    pcide_off(&s);
    cr_expect_not_null(mmu_invpcid(m, 0, 1, 0));
    cr_expect_not_null(mmu_invpcid(m, 1, 1, 0));
    cr_expect_null(mmu_invpcid(m, 0, 0, 0));
    cr_expect_null(mmu_invpcid(m, 2, 0, 0));
    rig_free(s.rig);
}

/* Each operation is counted and priced once; a refused one not at all. */
Test(invalidate, each_operation_costs_its_price)
{
    struct scene s = scene_new(PAGING_4_LEVEL, false);
    struct tally *tally = &s.rig->mmu->tally;
    const uint32_t *cost = s.rig->mmu->profile.cost;
    static const struct {
        void (*operate)(struct scene *);
        enum event_kind kind;
        enum cost cost;
    } list[] = {
        {invlpg_a, EVENT_INVLPG, COST_invlpg},       {invpcid_2, EVENT_INVPCID, COST_invpcid},
        {mov_cr3_to_2, EVENT_MOV_CR3, COST_mov_cr3}, {smep_on, EVENT_MOV_CR4, COST_mov_cr},
        {wp_off, EVENT_MOV_CR0, COST_mov_cr},        {write_pkru, EVENT_WRPKRU, COST_mov_cr},
        {efer_same, EVENT_WRMSR_EFER, COST_mov_cr},  {page_fault_a, EVENT_FAULT, COST_fault}};
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        tally_reset(tally);
        list[i].operate(&s);
        cr_expect_eq(tally_total(tally, list[i].kind), 1, "operation %u", i);
        cr_expect_eq(tally->cycles, cost[list[i].cost], "operation %u", i);
    }
    tally_reset(tally);
    cr_expect_not_null(mmu_invpcid(s.rig->mmu, 7, 0, 0));
    cr_expect_eq(tally->cycles, 0);
    rig_free(s.rig);
}
