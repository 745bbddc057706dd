/*
 * Guest tables over a second stage: how many entries a walk reads, in which order, and how many
 * the caches leave. SDM vol. 3, 28.2 (29.3 in later editions); AMD APM vol. 2, 15.25; Bhargava et
 * al., ASPLOS 2008; Gandhi, Hill and Swift, "Agile Paging", ISCA 2016.
 */
#include "tests/core/nest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* ---- how many ---- */

struct guest_plan {
    enum paging paging; /* 0: off */
    uint8_t page, refs; /* refs: levels that stand in memory */
};

struct host_plan {
    enum second_stage kind;
    uint8_t page, refs;
};

static const struct guest_plan GUESTS[] = {
    {0, PAGE_4K, 0},
    {PAGING_2_LEVEL, PAGE_4M, 1},
    {PAGING_2_LEVEL, PAGE_4K, 2},
    {PAGING_PAE, PAGE_2M, 1}, /* the PDPTEs are in registers */
    {PAGING_PAE, PAGE_4K, 2},
    {PAGING_4_LEVEL, PAGE_1G, 2},
    {PAGING_4_LEVEL, PAGE_2M, 3},
    {PAGING_4_LEVEL, PAGE_4K, 4},
    {PAGING_5_LEVEL, PAGE_1G, 3},
    {PAGING_5_LEVEL, PAGE_2M, 4},
    {PAGING_5_LEVEL, PAGE_4K, 5},
};

static const struct host_plan HOSTS[] = {
    {SECOND_EPT4, PAGE_1G, 2}, {SECOND_EPT4, PAGE_2M, 3}, {SECOND_EPT4, PAGE_4K, 4},
    {SECOND_EPT5, PAGE_1G, 3}, {SECOND_EPT5, PAGE_2M, 4}, {SECOND_EPT5, PAGE_4K, 5},
    {SECOND_NPT4, PAGE_1G, 2}, {SECOND_NPT4, PAGE_2M, 3}, {SECOND_NPT4, PAGE_4K, 4},
    {SECOND_NPT5, PAGE_1G, 3}, {SECOND_NPT5, PAGE_2M, 4}, {SECOND_NPT5, PAGE_4K, 5},
    {SECOND_FLAT, PAGE_4K, 1},
};

enum { N_GUESTS = sizeof GUESTS / sizeof *GUESTS, N_HOSTS = sizeof HOSTS / sizeof *HOSTS };

/* An address whose indices are all different, and below 4 GiB a page of any size. */
static gva_t somewhere(enum paging paging)
{
    static const gva_t at[] = {0xc5a5bdef,        0, 0x89abcdef, 0x89abcdef, 0x123456789abc,
                               0x00a5123456789abc};
    return at[paging];
}

static gpa_t page_for(const struct guest_plan *guest)
{
    gva_t gva = somewhere(guest->paging);
    if (!guest->paging)
        return gva;
    uint64_t inside = ((uint64_t)1 << tables_shift(guest->paging, guest->page)) - 1;
    return (0xc5a5b000 & ~inside) | (gva & inside);
}

static unsigned refs_at(const struct walk *walk, unsigned depth)
{
    unsigned n = 0;
    for (unsigned i = 0; i < walk->refs; i++)
        n += walk->ref[i].depth == depth;
    return n;
}

/* n of the guest, each behind m of the host, and m for the page: (n + 1)(m + 1) - 1. */
static void check_counts(const struct nest *nest, unsigned n, unsigned m, hpa_t hpa,
                         const char *what)
{
    const struct walk *walk = &nest->rig->walk;
    cr_expect_eq(walk->refs, (n + 1) * (m + 1) - 1, "%s: %u", what, walk->refs);
    cr_expect_eq(refs_at(walk, 0), n, "%s: %u of the guest", what, refs_at(walk, 0));
    cr_expect_eq(refs_at(walk, 1), m * (n + 1), "%s: %u below", what, refs_at(walk, 1));
    cr_expect_eq(walk->found.hpa, hpa, "%s: %lx", what, walk->found.hpa);
}

/* Under NPT, PAE's PDPTEs are read from memory in each walk: APM vol. 2, 15.25.10. */
static unsigned guest_refs(const struct guest_plan *guest, enum second_stage kind)
{
    bool npt = kind == SECOND_NPT4 || kind == SECOND_NPT5;
    return guest->refs + (npt && guest->paging == PAGING_PAE);
}

static void check_pair(const struct guest_plan *guest, const struct host_plan *host)
{
    struct profile p = rig_profile();
    struct nest nest = nest_new(&p, guest->paging, host->kind, host->page);
    gva_t gva = somewhere(guest->paging);
    gpa_t gpa = page_for(guest);
    nest_map(&nest, gva, guest->page, gpa);
    nest_start(&nest);
    static const char *const kinds[] = {SECOND_STAGE_WORDS};
    char what[80];
    snprintf(what, sizeof what, "guest %u, page %u, over %s, page %u", guest->paging, guest->page,
             kinds[host->kind], host->page);
    unsigned n = guest_refs(guest, host->kind);
    cr_assert(mmu_peek(nest.rig->mmu, &nest.rig->bus, gva, KIND_READ, &nest.rig->walk));
    check_counts(&nest, n, host->refs, gpa + MOVED, what);
    cr_assert_eq(rig_refs(nest.rig), 0, "peeking counts nothing");
    rig_write(nest.rig, gva);
    check_counts(&nest, n, host->refs, gpa + MOVED, what);
    cr_expect_eq(rig_refs(nest.rig), (n + 1) * (host->refs + 1) - 1, "%s: events", what);
    cr_expect_eq(nest.rig->walk.found.next, gpa, "%s: gpa", what);
    nest_free(&nest);
}

/*
 * n \ m   1   2   3   4   5
 *   0     1   2   3   4   5
 *   1     3   5   7   9  11
 *   2     5   8  11  14  17
 *   3     7  11  15  19  23
 *   4     9  14  19  24  29
 *   5    11  17  23  29  35
 */
Test(two_dimensions, every_guest_page_over_every_host_page_reads_n_m_n_m_entries)
{
    for (unsigned g = 0; g < N_GUESTS; g++)
        for (unsigned h = 0; h < N_HOSTS; h++)
            check_pair(&GUESTS[g], &HOSTS[h]);
    printf("two_dimensions: %u combinations of guest page and host page\n", N_GUESTS * N_HOSTS);
}

static void check_published(enum paging paging, uint8_t page, struct host_plan host, unsigned refs)
{
    struct profile p = rig_profile();
    struct nest nest = nest_new(&p, paging, host.kind, host.page);
    struct guest_plan guest = {paging, page, 0};
    nest_map(&nest, somewhere(paging), page, page_for(&guest));
    nest_start(&nest);
    cr_expect_eq(nest_read(&nest, somewhere(paging), page_for(&guest)), refs);
    nest_free(&nest);
}

/*
 * The numbers that papers quote: 24 (Bhargava et al.), 35 with five levels, 9 over a flat table
 * (Ahn, Jin and Huh, ISCA 2012), 4 for a guest without paging; PAE is 14 over EPT and 19 over NPT.
 */
Test(two_dimensions, the_published_counts)
{
    check_published(PAGING_4_LEVEL, PAGE_4K, (struct host_plan){SECOND_EPT4, PAGE_4K, 0}, 24);
    check_published(PAGING_4_LEVEL, PAGE_2M, (struct host_plan){SECOND_EPT4, PAGE_2M, 0}, 15);
    check_published(PAGING_4_LEVEL, PAGE_4K, (struct host_plan){SECOND_EPT4, PAGE_2M, 0}, 19);
    check_published(PAGING_4_LEVEL, PAGE_2M, (struct host_plan){SECOND_NPT4, PAGE_4K, 0}, 19);
    check_published(PAGING_4_LEVEL, PAGE_1G, (struct host_plan){SECOND_EPT4, PAGE_1G, 0}, 8);
    check_published(PAGING_5_LEVEL, PAGE_4K, (struct host_plan){SECOND_EPT5, PAGE_4K, 0}, 35);
    check_published(PAGING_4_LEVEL, PAGE_4K, (struct host_plan){SECOND_FLAT, PAGE_4K, 0}, 9);
    check_published(0, PAGE_4K, (struct host_plan){SECOND_EPT4, PAGE_4K, 0}, 4);
    check_published(PAGING_PAE, PAGE_4K, (struct host_plan){SECOND_EPT4, PAGE_4K, 0}, 14);
    check_published(PAGING_PAE, PAGE_4K, (struct host_plan){SECOND_NPT4, PAGE_4K, 0}, 19);
    check_published(PAGING_PAE, PAGE_2M, (struct host_plan){SECOND_NPT4, PAGE_4K, 0}, 14);
}

/* ---- in which order ---- */

/* What a sink saw of the entries read. */
struct seen {
    unsigned n;
    uint8_t depth[WALK_REFS], level[WALK_REFS];
    hpa_t at[WALK_REFS];
};

static void see(void *self, const struct event *event)
{
    struct seen *seen = self;
    if (event->kind != EVENT_REF)
        return;
    seen->depth[seen->n] = event->depth;
    seen->level[seen->n] = event->level;
    seen->at[seen->n++] = event->address;
}

/* The walk's own list and the events agree with each other and with what is published. */
static void check_order(enum second_stage kind, uint8_t page, const char *order)
{
    struct profile p = rig_profile();
    struct nest nest = nest_new(&p, PAGING_4_LEVEL, kind, page);
    struct guest_plan guest = {PAGING_4_LEVEL, page, 0};
    nest_map(&nest, somewhere(PAGING_4_LEVEL), page, page_for(&guest));
    nest_start(&nest);
    struct seen seen = {0}, walked = {0};
    struct sink sink = {see, &seen};
    nest.rig->mmu->tally.sink = &sink;
    walked.n = nest_read(&nest, somewhere(PAGING_4_LEVEL), page_for(&guest));
    for (unsigned i = 0; i < walked.n; i++) {
        walked.depth[i] = nest.rig->walk.ref[i].depth;
        walked.level[i] = nest.rig->walk.ref[i].level;
        cr_expect_eq(nest.rig->walk.ref[i].at, seen.at[i], "read %u", i);
    }
    char text[512];
    nest_spell(&nest, walked.depth, walked.level, walked.n, text);
    cr_expect_str_eq(text, order);
    nest_spell(&nest, seen.depth, seen.level, seen.n, text);
    cr_expect_str_eq(text, order);
    nest_free(&nest);
}

/* The host's walk of each guest entry's address comes right before that entry's read. 28.2.2. */
Test(two_dimensions, the_24_references_come_in_the_published_order)
{
    static const char order[] = "G1H1 G1H2 G1H3 G1H4 G1 "
                                "G2H1 G2H2 G2H3 G2H4 G2 "
                                "G3H1 G3H2 G3H3 G3H4 G3 "
                                "G4H1 G4H2 G4H3 G4H4 G4 "
                                "UDH1 UDH2 UDH3 UDH4 ";
    check_order(SECOND_EPT4, PAGE_4K, order);
    check_order(SECOND_NPT4, PAGE_4K, order);
}

/* 2 MiB pages in both take the last row and the last column away. */
Test(two_dimensions, the_15_references_of_large_pages_come_in_the_published_order)
{
    static const char order[] = "G1H1 G1H2 G1H3 G1 "
                                "G2H1 G2H2 G2H3 G2 "
                                "G3H1 G3H2 G3H3 G3 "
                                "UDH1 UDH2 UDH3 ";
    check_order(SECOND_EPT4, PAGE_2M, order);
    check_order(SECOND_NPT4, PAGE_2M, order);
}

/* ---- one, two and three stages of EPT ---- */

/* A stage moves x to x + MOVED; the tables of each stage are in the space below it. */
struct tower {
    struct rig *rig;
    struct second below[2]; /* of L1 and of L0 */
    struct tables guest;
    unsigned under; /* stages under the guest's */
};

static void tower_back(struct tower *t, unsigned depth, ia_t x);

/* The tables of second stage @p depth that lead to @p x, and x itself, are backed below. */
static void tower_tables(struct tower *t, unsigned depth, const struct tables *tables, ia_t x)
{
    for (unsigned l = 1; l <= tables_top(tables->paging); l++)
        tower_back(t, depth, tables_at(&t->rig->mem, tables, x, l) - tables->base);
}

static void tower_back(struct tower *t, unsigned depth, ia_t x)
{
    if (depth == t->under)
        return;
    struct second *s = &t->below[depth];
    second_map(&t->rig->mem, s, x, PAGE_4K, x + MOVED);
    tower_tables(t, depth + 1, &s->tables, x);
    tower_back(t, depth + 1, x + MOVED);
}

static unsigned tower_reads(unsigned under)
{
    struct profile p = rig_profile();
    struct tower t = {.rig = rig_new(&p, 3), .under = under};
    struct stage stage[2];
    gva_t gva = somewhere(PAGING_4_LEVEL);
    for (unsigned d = 0; d < under; d++) {
        hpa_t base = (under - 1 - d) * MOVED;
        t.below[d] = second_new(SECOND_EPT4, HOST_TABLES, base, false);
        stage[d] = second_as_stage(&t.below[d]);
    }
    t.guest = tables_new(PAGING_4_LEVEL, GUEST_TABLES, under * MOVED);
    tables_map(&t.rig->mem, &t.guest, gva, PAGE_4K, 0x12345000 | PWU);
    tower_tables(&t, 0, &t.guest, gva);
    tower_back(&t, 0, 0x12345000);
    mmu_set_second_stages(t.rig->mmu, stage, under, 1);
    struct registers r = rig_registers(PAGING_4_LEVEL, t.guest.root);
    rig_set(t.rig, &r);
    cr_expect_eq(rig_read(t.rig, gva), (0x12345000 | (gva & 4095)) + under * MOVED);
    unsigned refs = t.rig->walk.refs;
    rig_free(t.rig);
    return refs;
}

/* R(4) = 4, R(4, 4) = 24, and a third stage makes each of the 24 five: 24 * 5 + 4. */
Test(two_dimensions, one_two_and_three_stages_read_4_24_and_124_entries)
{
    cr_expect_eq(tower_reads(0), 4);
    cr_expect_eq(tower_reads(1), 24);
    cr_expect_eq(tower_reads(2), 124);
}

/* ---- what caches leave ---- */

#define NEAR ((gva_t)0x123456600000) /* its page table has the pages of all tests below */

/* Data in the same EPT page table, page directory, PDPT, PML4 as NEAR's, and none of it. */
static const gpa_t DATA[] = {0x40000000, 0x40001000, 0x40200000, 0x80000000, 0x8000000000};

static struct nest nest_of_neighbours(const struct profile *p)
{
    struct nest nest = nest_new(p, PAGING_4_LEVEL, SECOND_EPT4, PAGE_4K);
    for (unsigned i = 0; i < 5; i++)
        nest_map(&nest, NEAR + i * 4096ul, PAGE_4K, DATA[i]);
    nest_start(&nest);
    return nest;
}

static struct profile profile_of(bool by_entry, uint32_t structure, uint32_t nested)
{
    struct profile p = rig_profile();
    rig_structure(&p, structure);
    p.structure_by_entry = by_entry;
    p.nested_tlb = (struct shape){.entries = nested, .replacement = REPLACE_LRU};
    return p;
}

/* Reads the first page cold, then the others; each is checked to lead where it leads cold. */
static void check_neighbours(const struct profile *p, const unsigned want[5])
{
    struct nest nest = nest_of_neighbours(p);
    for (unsigned i = 0; i < 5; i++) {
        unsigned refs = nest_read(&nest, NEAR + i * 4096ul, DATA[i]);
        cr_expect_eq(refs, want[i], "page %u: %u", i, refs);
    }
    mmu_cool(nest.rig->mmu, &nest.rig->bus);
    cr_expect_eq(nest_read(&nest, NEAR, DATA[0]), 24, "cold again");
    nest_free(&nest);
}

/* No cache: each walk reads all 24. */
Test(two_dimensions, without_caches_every_walk_reads_24)
{
    struct profile p = profile_of(false, 0, 0);
    check_neighbours(&p, (unsigned[]){24, 24, 24, 24, 24});
}

/* Bhargava et al.: a nested TLB knows the way of the guest's tables, not of data: 4 + 4. */
Test(two_dimensions, a_perfect_nested_tlb_leaves_8)
{
    struct profile p = profile_of(false, 0, 16);
    check_neighbours(&p, (unsigned[]){24, 8, 8, 8, 8});
}

/*
 * Combined paging-structure-cache entries: "each of these is a mapping from the upper portion of a
 * linear address to the physical address of the paging structure": 28.3.1. So a hit of the guest's
 * PDE cache leaves the guest's PTE and the data's own way, of which the guest-physical caches leave
 * 1 (same page table), 2, 3 or 4 (nothing in common).
 */
Test(two_dimensions, a_combined_pde_hit_leaves_1_and_up_to_4)
{
    struct profile p = profile_of(false, 16, 0);
    check_neighbours(&p, (unsigned[]){24, 1 + 1, 1 + 2, 1 + 3, 1 + 4});
    p = profile_of(false, 16, 16); /* a nested TLB has nothing left to skip */
    check_neighbours(&p, (unsigned[]){24, 1 + 1, 1 + 2, 1 + 3, 1 + 4});
}

/*
 * PDPTE caches alone. A combined hit gives the host's address of the guest's page directory: its
 * PDE is 1, its page table's way 2 below a guest-physical hit, its PTE 1, and the data's way 2, or
 * all 4 where the data is in another GiB.
 */
Test(two_dimensions, pdpte_caches_alone_leave_6_or_8)
{
    struct profile p = profile_of(false, 0, 0);
    p.structure[3] = (struct shape){.entries = 16, .replacement = REPLACE_LRU};
    check_neighbours(&p, (unsigned[]){24, 6, 6, 8, 8});
}

/* Entries that a walk read from elsewhere than a structure cache. */
static unsigned not_by_structure(const struct walk *walk)
{
    unsigned n = 0;
    for (unsigned i = 0; i < walk->refs; i++)
        n += walk->ref[i].server != SERVED_STRUCTURE;
    return n;
}

static void check_served(const struct profile *p, const unsigned refs[5], const unsigned rest[5])
{
    struct nest nest = nest_of_neighbours(p);
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(nest_read(&nest, NEAR + i * 4096ul, DATA[i]), refs[i], "page %u", i);
        unsigned others = not_by_structure(&nest.rig->walk);
        cr_expect_eq(others, rest[i], "page %u: %u not served", i, others);
    }
    nest_free(&nest);
}

/*
 * Bhargava et al.: a page-walk cache finds entries by where they are, and keeps all but the last
 * level's of both dimensions. Every entry is visited; of a neighbour's 24 remain the guest's PTE
 * and the PTE of each of the five nested walks: 6. The nested TLB takes 4 walks away: 8, of which
 * remain 2.
 */
Test(two_dimensions, by_entry_all_are_visited_and_6_or_2_are_not_served)
{
    struct profile p = profile_of(true, 32, 0);
    check_served(&p, (unsigned[]){24, 24, 24, 24, 24}, (unsigned[]){24, 6, 7, 8, 9});
    p = profile_of(true, 32, 16);
    check_served(&p, (unsigned[]){24, 8, 8, 8, 8}, (unsigned[]){24, 2, 3, 4, 5});
}
