/*
 * Agile paging: the upper levels of a walk are the shadow's, the lower ones the guest's over its
 * second stage, and a bit in a shadow entry says where one becomes the other. Gandhi, Hill and
 * Swift, "Agile Paging: Exceeding the Best of Nested and Shadow Paging", ISCA 2016.
 */
#include "tests/core/nest.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define SHADOW_TABLES ((hpa_t)0x30000000)
#define SWITCH        ((uint64_t)1 << 52) /* ignored by the processor: 4.5, tables 4-14 to 4-19 */
#define HERE          ((gva_t)0x123456600000)

/* Pages in one page table; their data is far apart, so that no nested walk is like another. */
enum { PAGES = 8 };

/* How many levels the shadow has above the guest's; beyond 4 nothing is the guest's. */
enum { NESTED = -1, FULL_SHADOW = 4 };

static gva_t page_at(unsigned i)
{
    return HERE + (gva_t)i * 4096;
}

static gpa_t data_of(unsigned i)
{
    return 0x40000000 + (gpa_t)i * 0x40201000;
}

/* Where the guest's table of a level is in the host's memory. */
static hpa_t guest_table(const struct nest *nest, unsigned level)
{
    return tables_at(&nest->rig->mem, &nest->guest, HERE, level) & ~(hpa_t)4095;
}

/* An entry with the switching bit holds the host address of the guest's next table. */
static struct tables build_shadow(struct nest *nest, int levels)
{
    struct mem *mem = &nest->rig->mem;
    struct tables shadow = tables_new(PAGING_4_LEVEL, SHADOW_TABLES, 0);
    for (unsigned i = 0; i < PAGES; i++)
        tables_map(mem, &shadow, page_at(i), PAGE_4K, (data_of(i) + MOVED) | PWU | PTE_A | PTE_D);
    unsigned last = 5u - (unsigned)levels;
    if (levels > 0 && levels < FULL_SHADOW)
        entry_store(mem, &shadow, HERE, last, guest_table(nest, last - 1) | PWU | SWITCH);
    return shadow;
}

static struct nest agile_nest(const struct profile *p, int levels)
{
    struct nest nest = nest_new(p, PAGING_4_LEVEL, SECOND_EPT4, PAGE_4K);
    for (unsigned i = 0; i < PAGES; i++)
        nest_map(&nest, page_at(i), PAGE_4K, data_of(i));
    nest_start(&nest);
    if (levels == NESTED)
        return nest;
    struct registers r = nest_registers(&nest);
    struct stage stage = control_stage(&r, p);
    stage.root = levels ? build_shadow(&nest, levels).root : MOVED + nest.guest.root;
    stage.switches = SWITCH;
    stage.direct = levels > 0;
    stage.host_root = levels == 0;
    mmu_set_shadow(nest.rig->mmu, &stage, &r);
    return nest;
}

/* The entries of the shadow are the host's own: none of them is translated further. */
static void check_kinds(const struct walk *walk, int levels, const char *what)
{
    int direct = 0, guest = 0;
    for (unsigned i = 0; i < walk->refs; i++)
        if (walk->ref[i].depth == 0) {
            cr_expect_eq(walk->ref[i].direct, direct + guest < levels, "%s: read %u", what, i);
            direct += walk->ref[i].direct, guest += !walk->ref[i].direct;
        }
    cr_expect_eq(direct, levels < 0 ? 0 : levels, "%s: %d of the shadow", what, direct);
    cr_expect_eq(direct + guest, 4, "%s: %d levels", what, direct + guest);
}

static void check_refs(int levels, unsigned refs)
{
    struct profile p = rig_profile();
    struct nest nest = agile_nest(&p, levels);
    char what[32];
    snprintf(what, sizeof what, "%d levels of shadow", levels);
    for (unsigned i = 0; i < PAGES; i++) {
        cr_expect_eq(nest_read(&nest, page_at(i) + 0x123, data_of(i) + 0x123), refs, "%s: %u", what,
                     nest.rig->walk.refs);
        check_kinds(&nest.rig->walk, levels, what);
    }
    nest_free(&nest);
}

/*
 * What the paper counts: full shadow 4; switched at the 4th level 8, the 3rd 12, the 2nd 16, the
 * 1st 20 (the root's own translation is spared); full nested 24.
 */
Test(two_dimensions_agile, switching_after_4_to_0_levels_reads_4_8_12_16_20_or_24)
{
    check_refs(FULL_SHADOW, 4);
    check_refs(3, 8);
    check_refs(2, 12);
    check_refs(1, 16);
    check_refs(0, 20);
    check_refs(NESTED, 24);
}

/* Reads and writes every page a few times, in an order that misses and hits every cache. */
static void check_warm(const struct profile *p, int levels)
{
    struct nest nest = agile_nest(p, levels);
    struct rng rng = {.state = 3};
    for (unsigned n = 0; n < 400; n++) {
        unsigned i = (unsigned)rng_below(&rng, PAGES);
        gva_t inside = rng_below(&rng, 4096);
        enum op op = rng_below(&rng, 2) ? OP_WRITE : OP_READ;
        cr_assert(rig_access(nest.rig, op, ACCESS_USER, page_at(i) + inside));
        cr_assert_eq(nest.rig->walk.found.hpa, data_of(i) + inside + MOVED,
                     "%d levels of shadow, access %u", levels, n);
        cr_assert(mmu_peek(nest.rig->mmu, &nest.rig->bus, page_at(i), KIND_READ, &nest.rig->walk));
        cr_assert_eq(nest.rig->walk.found.hpa, data_of(i) + MOVED);
    }
    nest_free(&nest);
}

/* A cache changes the count of a walk, never where it leads. */
Test(two_dimensions_agile, warm_caches_lead_where_cold_walks_do)
{
    for (unsigned by_entry = 0; by_entry < 2; by_entry++)
        for (uint32_t size = 1; size <= 64; size *= 4)
            for (int levels = NESTED; levels <= FULL_SHADOW; levels++) {
                struct profile p = rig_profile();
                rig_tlb(&p, TLB_L1D, size == 64 ? 4 : size == 4 ? 0 : 1);
                rig_structure(&p, size);
                p.structure_by_entry = by_entry;
                p.nested_tlb = (struct shape){.entries = size, .replacement = REPLACE_LRU};
                check_warm(&p, levels);
            }
}

/*
 * A hit of the PDE cache gives the host's address of the last table, the shadow's or the guest's:
 * what is left is that table's PTE, and the data's own nested walk where it is the guest's.
 */
Test(two_dimensions_agile, a_pde_hit_leaves_1_in_the_shadow_and_5_below_a_switch)
{
    for (int levels = NESTED; levels <= FULL_SHADOW; levels++) {
        struct profile p = rig_profile();
        p.structure[2] = (struct shape){.entries = 8, .replacement = REPLACE_LRU};
        struct nest nest = agile_nest(&p, levels);
        nest_read(&nest, page_at(0), data_of(0));
        unsigned refs = nest_read(&nest, page_at(1), data_of(1));
        cr_expect_eq(refs, levels == FULL_SHADOW ? 1 : 5, "%d levels: %u", levels, refs);
        nest_free(&nest);
    }
}
