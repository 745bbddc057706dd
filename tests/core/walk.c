/*
 * The walk, against SDM vol. 3, 4.5 to 4.8 (the levels, the rights, A and D) and 28.2/29.3 (what
 * happens when each table's address is itself translated).
 */
#include "core/walk.h"

#include "tests/core/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { READ = KIND_READ | KIND_USER, WRITE = KIND_WRITE | KIND_USER, EXEC = KIND_EXEC | KIND_USER };

static const struct chain_plan PLAIN[] = {
    {PAGING_4_LEVEL, PAGE_4K}, {PAGING_4_LEVEL, PAGE_4K}, {PAGING_4_LEVEL, PAGE_4K}};

static const ia_t SOMEWHERE = 0x123456789abc; /* no two of its indices are alike */

static struct rig *rig_plain(void)
{
    struct profile p = rig_profile();
    return rig_new(&p, STAGES_MAX);
}

/* One level's entry takes one read; n levels over nothing take n. SDM vol. 3, 4.5. */
Test(walk, one_stage_reads_4_entries)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 1);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, READ));
    cr_assert_eq(rig->walk.refs, 4);
    cr_assert_eq(rig->walk.found.hpa, chain_leads(&c, 0, SOMEWHERE));
    rig_free(rig);
}

/* Every guest entry's address, and the page's, is translated: 4 * (4 + 1) + 4. 28.2.2. */
Test(walk, two_stages_read_24_entries)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, READ));
    cr_assert_eq(rig->walk.refs, 24);
    cr_assert_eq(rig->walk.found.hpa, chain_leads(&c, 0, SOMEWHERE));
    cr_assert_eq(rig->walk.found.next, chain_leads(&c, 0, SOMEWHERE) - c.offset[1]);
    rig_free(rig);
}

/* Four levels, each behind a walk of 24, and the page's own walk of 24: 4 * 25 + 24. */
Test(walk, three_stages_read_124_entries)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 3);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, READ));
    cr_assert_eq(rig->walk.refs, 124);
    cr_assert_eq(rig->walk.found.hpa, chain_leads(&c, 0, SOMEWHERE));
    rig_free(rig);
}

/* No stage at all (paging off over nothing) reads nothing and is the identity. */
Test(walk, no_stage_reads_nothing)
{
    struct rig *rig = rig_plain();
    struct chain c = {.stages = 0};
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, 0x12345, WRITE));
    cr_assert_eq(rig->walk.refs, 0);
    cr_assert_eq(rig->walk.found.hpa, 0x12345);
    rig_free(rig);
}

/* What one walk of a guest leaf over a host leaf reads. */
static void check_product(struct chain_plan guest, struct chain_plan host)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new((struct chain_plan[]){guest, host}, 2);
    ia_t ia = guest.paging == PAGING_5_LEVEL ? 0x00a5123456789abc : SOMEWHERE;
    ia = guest.paging < PAGING_4_LEVEL ? 0x89abcdef : ia;
    if (guest.paging == PAGING_5_LEVEL) /* a 4-level host takes 48 bits */
        c.offset[0] -= (uint64_t)0xa5 << 48;
    unsigned registers = guest.paging == PAGING_PAE; /* the PDPTEs are not in memory */
    unsigned n = guest.paging - guest.leaf + 1u - registers, m = host.paging - host.leaf + 1u;
    chain_map(&rig->mem, &c, 0, ia);
    for (unsigned i = 0; registers && i < 4; i++)
        c.stage[0].top[i] =
            mem_load(&rig->mem, c.tables[0].base + c.tables[0].root + (uint64_t)i * 8, 8);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, ia, READ));
    cr_expect_eq(rig->walk.refs, (n + 1) * (m + 1) - 1, "%u-level leaf %u on %u-level leaf %u: %u",
                 guest.paging, guest.leaf, host.paging, host.leaf, rig->walk.refs);
    cr_expect_eq(rig->walk.found.hpa, chain_leads(&c, 0, ia));
    cr_expect_eq(rig->walk.found.level, guest.leaf);
    unsigned own = tables_shift(guest.paging, guest.leaf);
    unsigned below = tables_shift(host.paging, host.leaf);
    cr_expect_eq(rig->walk.found.shift, own < below ? own : below);
    rig_free(rig);
}

/* n levels of the guest over m of the host read (n + 1)(m + 1) - 1; a larger leaf is one less. */
Test(walk, levels_multiply)
{
    static const struct chain_plan guests[] = {
        {PAGING_2_LEVEL, PAGE_4K}, {PAGING_2_LEVEL, PAGE_4M}, {PAGING_PAE, PAGE_4K},
        {PAGING_PAE, PAGE_2M},     {PAGING_4_LEVEL, PAGE_4K}, {PAGING_4_LEVEL, PAGE_2M},
        {PAGING_4_LEVEL, PAGE_1G}, {PAGING_5_LEVEL, PAGE_4K}, {PAGING_5_LEVEL, PAGE_2M},
        {PAGING_5_LEVEL, PAGE_1G}};
    for (unsigned g = 0; g < sizeof guests / sizeof *guests; g++)
        for (enum paging host = PAGING_4_LEVEL; host <= PAGING_5_LEVEL; host++)
            for (uint8_t leaf = PAGE_4K; leaf <= PAGE_1G; leaf++)
                check_product(guests[g], (struct chain_plan){host, leaf});
}

/* Three stages: R over R. 5-level with 4 KiB pages three times is the longest: 6 * 6 * 6 - 1. */
Test(walk, the_longest_walk_reads_215_entries)
{
    struct rig *rig = rig_plain();
    static const struct chain_plan five[] = {
        {PAGING_5_LEVEL, PAGE_4K}, {PAGING_5_LEVEL, PAGE_4K}, {PAGING_5_LEVEL, PAGE_4K}};
    struct chain c = chain_new(five, 3);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_walk(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, WRITE));
    cr_assert_eq(rig->walk.refs, 215);
    walk_commit(&rig->walk);
    cr_assert_eq(rig->walk.found.hpa, chain_leads(&c, 0, SOMEWHERE));
    rig_free(rig);
}

/* A list of reads as a plain recursion over the tables gives it. */
struct reads {
    unsigned n;
    uint8_t depth[WALK_REFS], level[WALK_REFS];
    hpa_t at[WALK_REFS];
    ia_t ia[WALK_REFS], table_ia[WALK_REFS];
};

static void expect_reads(const struct mem *mem, const struct chain *c, unsigned depth, ia_t ia,
                         struct reads *reads)
{
    if (depth == c->stages)
        return;
    const struct tables *t = &c->tables[depth];
    for (unsigned l = tables_top(t->paging); l >= c->leaf[depth]; l--) {
        hpa_t at = tables_at(mem, t, ia, l);
        expect_reads(mem, c, depth + 1, at - t->base, reads);
        reads->depth[reads->n] = (uint8_t)depth;
        reads->level[reads->n] = (uint8_t)l;
        reads->ia[reads->n] = ia;
        reads->table_ia[reads->n] = at - t->base;
        reads->at[reads->n++] = at;
    }
    expect_reads(mem, c, depth + 1, ia + c->offset[depth], reads);
}

static void check_reads(const struct walk *walk, const struct reads *reads)
{
    cr_assert_eq(walk->refs, reads->n);
    for (unsigned i = 0; i < reads->n; i++) {
        const struct ref *ref = &walk->ref[i];
        cr_assert_eq(ref->depth, reads->depth[i], "read %u", i);
        cr_assert_eq(ref->level, reads->level[i], "read %u", i);
        cr_assert_eq(ref->at, reads->at[i], "read %u", i);
        cr_assert_eq(ref->ia, reads->ia[i], "read %u", i);
        cr_assert_eq(ref->table_ia, reads->table_ia[i], "read %u", i);
        cr_assert_eq(ref->entry, mem_load(walk->bus.mem, ref->at, 8), "read %u", i);
    }
}

/* "H4H3H2H1 G4 ...": G for depth 0, H for depth 1, J for depth 2, and the level. */
static void spell(const struct walk *walk, char *text)
{
    for (unsigned i = 0; i < walk->refs; i++)
        text += sprintf(text, "%c%u%s", "GHJ"[walk->ref[i].depth], walk -> ref[i].level,
                        walk->ref[i].depth == 0 ? " " : "");
}

/* The host's walk of each guest entry's address comes right before that entry's read. 28.2.2. */
Test(walk, the_24_references_come_in_the_manuals_order)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, READ));
    char text[256];
    spell(&rig->walk, text);
    cr_assert_str_eq(text, "H4H3H2H1G4 H4H3H2H1G3 H4H3H2H1G2 H4H3H2H1G1 H4H3H2H1");
    struct reads reads = {0};
    expect_reads(&rig->mem, &c, 0, SOMEWHERE, &reads);
    check_reads(&rig->walk, &reads);
    rig_free(rig);
}

/* The same rule once more below. */
Test(walk, the_124_references_come_in_order)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 3);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, EXEC));
    char text[1024];
    spell(&rig->walk, text);
#define NESTED "J4J3J2J1H4J4J3J2J1H3J4J3J2J1H2J4J3J2J1H1J4J3J2J1"
    cr_assert_str_eq(text, NESTED "G4 " NESTED "G3 " NESTED "G2 " NESTED "G1 " NESTED);
    struct reads reads = {0};
    expect_reads(&rig->mem, &c, 0, SOMEWHERE, &reads);
    check_reads(&rig->walk, &reads);
    rig_free(rig);
}

/* 2 MiB pages in both: three groups of 3 + 1, then 3: 15. */
Test(walk, two_large_pages_read_15_entries_in_order)
{
    struct rig *rig = rig_plain();
    static const struct chain_plan large[] = {{PAGING_4_LEVEL, PAGE_2M}, {PAGING_4_LEVEL, PAGE_2M}};
    struct chain c = chain_new(large, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, READ));
    char text[256];
    spell(&rig->walk, text);
    cr_assert_str_eq(text, "H4H3H2G4 H4H3H2G3 H4H3H2G2 H4H3H2");
    rig_free(rig);
}

/* A ref knows the one above it in its stage, and the leaf below that led to it. */
Test(walk, references_know_their_parents)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, READ));
    const struct ref *ref = rig->walk.ref;
    for (int i = 0; i < 24; i++) {
        bool guest = i % 5 == 4 && i < 20;
        int parent = guest ? (i == 4 ? WALK_NO_REF : i - 5) : i % 5 == 0 ? WALK_NO_REF : i - 1;
        cr_expect_eq(ref[i].parent, parent, "read %d: %d", i, ref[i].parent);
        cr_expect_eq(ref[i].under, guest ? i - 1 : WALK_NO_REF, "read %d", i);
        cr_expect_eq(ref[i].leaf, ref[i].level == 1, "read %d", i);
        cr_expect_eq(ref[i].rights & MAY_ALL, MAY_ALL, "read %d", i);
    }
    cr_expect_eq(rig->walk.found.leaf, 19);
    rig_free(rig);
}

/* Peeking "changes, counts and costs nothing"; nor does reading without committing. */
Test(walk, reading_alone_changes_nothing_in_memory)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 3);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    uint64_t before = mem_sum(&rig->mem);
    chain_peek(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, WRITE));
    cr_assert_eq(mem_sum(&rig->mem), before);
    cr_assert_eq(rig->mmu->tally.cycles, 0);
    chain_walk(rig, &c);
    cr_assert(walk_read(&rig->walk, SOMEWHERE, WRITE));
    cr_assert_eq(mem_sum(&rig->mem), before);
    cr_assert_eq(rig_refs(rig), 124);
    rig_free(rig);
}

/* One committed access, on a chain whose A and D are all clear. */
static void commit(struct rig *rig, const struct chain *c, ia_t ia, unsigned kind)
{
    chain_walk(rig, c);
    cr_assert(walk_read(&rig->walk, ia, kind));
    walk_commit(&rig->walk);
}

/*
 * "The processor sets the accessed flag ... in each paging-structure entry used"; "whenever there
 * is a write, the dirty flag in the entry that identifies the final physical address". 4.8.
 */
Test(walk, one_stage_sets_a_at_every_level_and_d_on_the_leaf_of_a_write)
{
    static const unsigned kinds[] = {READ, EXEC, WRITE};
    for (unsigned k = 0; k < 3; k++)
        for (uint8_t leaf = PAGE_4K; leaf <= PAGE_1G; leaf++) {
            struct rig *rig = rig_plain();
            struct chain_plan plan = {PAGING_4_LEVEL, leaf};
            struct chain c = chain_new(&plan, 1);
            chain_map(&rig->mem, &c, 0, SOMEWHERE);
            uint64_t before[5];
            for (unsigned l = leaf; l <= 4; l++)
                before[l] = entry_load(&rig->mem, &c.tables[0], SOMEWHERE, l);
            commit(rig, &c, SOMEWHERE, kinds[k]);
            for (unsigned l = leaf; l <= 4; l++) {
                uint64_t set = PTE_A | (l == leaf && kinds[k] == WRITE ? PTE_D : 0);
                cr_expect_eq(entry_load(&rig->mem, &c.tables[0], SOMEWHERE, l), before[l] | set);
            }
            cr_expect_eq(rig_total(rig, EVENT_SET_ACCESSED), 5u - leaf);
            cr_expect_eq(rig_total(rig, EVENT_SET_DIRTY), kinds[k] == WRITE);
            rig_free(rig);
        }
}

/* A and D are sticky: what is set already is not stored again (and costs nothing). 4.8. */
Test(walk, bits_that_are_set_are_not_set_again)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    commit(rig, &c, SOMEWHERE, WRITE);
    uint64_t before = mem_sum(&rig->mem), cycles = rig->mmu->tally.cycles;
    uint64_t accessed = rig_total(rig, EVENT_SET_ACCESSED);
    commit(rig, &c, SOMEWHERE, WRITE);
    commit(rig, &c, SOMEWHERE, READ);
    cr_assert_eq(mem_sum(&rig->mem), before);
    cr_assert_eq(rig_total(rig, EVENT_SET_ACCESSED), accessed);
    cr_assert_lt(rig->mmu->tally.cycles - cycles, 2 * cycles);
    rig_free(rig);
}

/*
 * Setting a guest entry's A is a write to the page it is in: that page's second-stage leaf gets D,
 * as 28.3.3.2 (EPT accessed and dirty flags) has it; entries above the leaf get A only.
 */
Test(walk, setting_a_guest_bit_is_a_write_in_the_stage_below)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    commit(rig, &c, SOMEWHERE, READ);
    const struct tables *guest = &c.tables[0], *host = &c.tables[1];
    for (unsigned l = 1; l <= 4; l++) {
        gpa_t table = tables_at(&rig->mem, guest, SOMEWHERE, l) - guest->base;
        cr_expect_eq(entry_load(&rig->mem, guest, SOMEWHERE, l) & (PTE_A | PTE_D), PTE_A);
        cr_expect_eq(entry_load(&rig->mem, host, table, 1) & (PTE_A | PTE_D), PTE_A | PTE_D);
        for (unsigned h = 2; h <= 4; h++)
            cr_expect_eq(entry_load(&rig->mem, host, table, h) & (PTE_A | PTE_D), PTE_A);
    }
    gpa_t data = SOMEWHERE + c.offset[0];
    cr_expect_eq(entry_load(&rig->mem, host, data, 1) & (PTE_A | PTE_D), PTE_A, "only read");
    commit(rig, &c, SOMEWHERE, WRITE);
    cr_expect_eq(entry_load(&rig->mem, guest, SOMEWHERE, 1) & (PTE_A | PTE_D), PTE_A | PTE_D);
    cr_expect_eq(entry_load(&rig->mem, host, data, 1) & (PTE_A | PTE_D), PTE_A | PTE_D);
    rig_free(rig);
}

/* A guest entry whose A (and D) stand already is only read: its page stays clean below. */
Test(walk, reading_a_guest_entry_leaves_its_page_clean_below)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    const struct tables *guest = &c.tables[0];
    for (unsigned l = 1; l <= 4; l++)
        entry_store(&rig->mem, guest, SOMEWHERE, l,
                    entry_load(&rig->mem, guest, SOMEWHERE, l) | PTE_A);
    commit(rig, &c, SOMEWHERE, READ);
    for (unsigned l = 1; l <= 4; l++) {
        gpa_t table = tables_at(&rig->mem, guest, SOMEWHERE, l) - guest->base;
        cr_expect_eq(entry_load(&rig->mem, &c.tables[1], table, 1) & (PTE_A | PTE_D), PTE_A);
    }
    /* Setting D in the leaf is a write to the leaf's table, and to no other. */
    commit(rig, &c, SOMEWHERE, WRITE);
    for (unsigned l = 1; l <= 4; l++) {
        gpa_t table = tables_at(&rig->mem, guest, SOMEWHERE, l) - guest->base;
        cr_expect_eq(!!(entry_load(&rig->mem, &c.tables[1], table, 1) & PTE_D), l == 1);
    }
    rig_free(rig);
}

/* In three stages the bits go down twice: A in L2's entry is D in L1's leaf is D in L0's. */
Test(walk, setting_a_bit_writes_through_every_stage_below)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 3);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    commit(rig, &c, SOMEWHERE, READ);
    const struct tables *t = c.tables;
    for (unsigned l = 1; l <= 4; l++) {
        ia_t below = tables_at(&rig->mem, &t[0], SOMEWHERE, l) - t[0].base;
        cr_expect(entry_load(&rig->mem, &t[1], below, 1) & PTE_D);
        ia_t lower = below + c.offset[1];
        cr_expect(entry_load(&rig->mem, &t[2], lower, 1) & PTE_D);
        ia_t table = tables_at(&rig->mem, &t[1], below, l) - t[1].base;
        cr_expect(entry_load(&rig->mem, &t[2], table, 1) & PTE_D, "A of L1's own entry");
    }
    ia_t data = SOMEWHERE + c.offset[0] + c.offset[1];
    cr_expect_eq(entry_load(&rig->mem, &t[2], data, 1) & (PTE_A | PTE_D), PTE_A);
    rig_free(rig);
}

/* What a refusal ought to say. */
struct named {
    enum refusal_kind kind;
    unsigned depth, level;
    bool on_table;
    unsigned op; /* the operation that the refusing stage saw */
    ia_t ia;
};

/* The access is refused as named, and memory is byte for byte what it was. */
static void expect_refusal(struct rig *rig, const struct chain *c, unsigned kind,
                           const struct named *want, const char *what)
{
    uint64_t before = mem_sum(&rig->mem);
    chain_walk(rig, c);
    cr_assert_not(walk_read(&rig->walk, SOMEWHERE, kind), "%s", what);
    const struct refusal *got = &rig->walk.refusal;
    cr_expect_eq(got->kind, want->kind, "%s: kind %u", what, got->kind);
    cr_expect_eq(got->depth, want->depth, "%s: depth %u", what, got->depth);
    cr_expect_eq(got->level, want->level, "%s: level %u", what, got->level);
    cr_expect_eq(got->on_table, want->on_table, "%s: on_table", what);
    cr_expect_eq(got->access & KIND_OP, want->op, "%s: access %u", what, got->access);
    cr_expect_eq(got->ia, want->ia, "%s: ia %lx", what, got->ia);
    cr_expect_eq(mem_sum(&rig->mem), before, "%s: memory", what);
    chain_peek(rig, c);
    cr_expect_not(walk_read(&rig->walk, SOMEWHERE, kind), "%s: peek", what);
    cr_expect_eq(rig->walk.refusal.kind, want->kind, "%s: peek", what);
}

/* Takes bits away from (or adds them to) one entry, expects the refusal, and puts it back. */
static void with_entry(struct rig *rig, const struct chain *c, unsigned depth, ia_t ia,
                       unsigned level, uint64_t clear, uint64_t set, unsigned kind,
                       const struct named *want)
{
    const struct tables *t = &c->tables[depth];
    uint64_t entry = entry_load(&rig->mem, t, ia, level);
    entry_store(&rig->mem, t, ia, level, (entry & ~clear) | set);
    char what[64];
    snprintf(what, sizeof what, "-%lx +%lx at depth %u level %u", clear, set, depth, level);
    expect_refusal(rig, c, kind, want, what);
    entry_store(&rig->mem, t, ia, level, entry);
}

static void refuse_one_stage(struct rig *rig, const struct chain *c, unsigned level)
{
    struct named want = {.level = level, .ia = SOMEWHERE, .kind = REFUSED_NOT_PRESENT};
    with_entry(rig, c, 0, SOMEWHERE, level, PTE_P, 0, READ, &want);
    want.kind = REFUSED_RESERVED;
    with_entry(rig, c, 0, SOMEWHERE, level, 0, (uint64_t)1 << 51, READ, &want);
    want.kind = REFUSED_PROTECTION;
    with_entry(rig, c, 0, SOMEWHERE, level, PTE_U, 0, READ, &want);
    want.op = KIND_WRITE;
    with_entry(rig, c, 0, SOMEWHERE, level, PTE_W, 0, WRITE, &want);
    want.op = KIND_EXEC;
    with_entry(rig, c, 0, SOMEWHERE, level, 0, PTE_NX, EXEC, &want);
}

/* Not present, reserved and rights are each blamed on the entry that has them. 4.6, 4.7. */
Test(walk, a_refusal_of_one_stage_names_the_level)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 1);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    for (unsigned level = 1; level <= 4; level++)
        refuse_one_stage(rig, &c, level);
    rig_free(rig);
}

/* A reserved bit matters in a present entry only; rights are judged after the whole path. 4.7. */
Test(walk, not_present_then_reserved_then_rights)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 1);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    struct named want = {.level = 2, .ia = SOMEWHERE, .kind = REFUSED_NOT_PRESENT};
    with_entry(rig, &c, 0, SOMEWHERE, 2, PTE_P, (uint64_t)1 << 51, READ, &want);
    entry_store(&rig->mem, &c.tables[0], SOMEWHERE, 4,
                entry_load(&rig->mem, &c.tables[0], SOMEWHERE, 4) & ~PTE_U);
    with_entry(rig, &c, 0, SOMEWHERE, 2, PTE_P, 0, READ, &want);
    want.kind = REFUSED_RESERVED;
    with_entry(rig, &c, 0, SOMEWHERE, 2, 0, (uint64_t)1 << 51, READ, &want);
    rig_free(rig);
}

/* The second stage refuses a table of the guest: at each guest level, by each host level. */
Test(walk, a_refusal_below_names_the_table_it_was_for)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    const struct tables *guest = &c.tables[0];
    for (unsigned l = 1; l <= 4; l++) {
        gpa_t table = tables_at(&rig->mem, guest, SOMEWHERE, l) - guest->base;
        gpa_t page = table & ~(gpa_t)4095;
        struct named want = {.depth = 1, .level = 1, .on_table = true, .ia = table};
        want.kind = REFUSED_NOT_PRESENT;
        with_entry(rig, &c, 1, page, 1, PTE_P, 0, READ, &want);
        want.kind = REFUSED_RESERVED;
        with_entry(rig, &c, 1, page, 1, 0, (uint64_t)1 << 50, READ, &want);
    }
    rig_free(rig);
}

/* Where nothing must be set in the guest's entry, the second stage sees a read. 28.3.3.2. */
Test(walk, a_table_read_below_is_a_read_if_nothing_must_be_set)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    const struct tables *guest = &c.tables[0];
    for (unsigned l = 1; l <= 4; l++) {
        gpa_t table = tables_at(&rig->mem, guest, SOMEWHERE, l) - guest->base;
        uint64_t entry = entry_load(&rig->mem, guest, SOMEWHERE, l);
        struct named want = {REFUSED_PROTECTION, 1, 1, true, KIND_WRITE, table};
        with_entry(rig, &c, 1, table, 1, PTE_W, 0, READ, &want);
        entry_store(&rig->mem, guest, SOMEWHERE, l, entry | PTE_A);
        uint64_t below = entry_load(&rig->mem, &c.tables[1], table, 1);
        entry_store(&rig->mem, &c.tables[1], table, 1, below & ~PTE_W);
        chain_peek(rig, &c);
        cr_expect(walk_read(&rig->walk, SOMEWHERE, READ), "level %u needs no A", l);
        if (l == 1) /* but D of the leaf is one more write */
            expect_refusal(rig, &c, WRITE, &want, "D in a read-only table");
        entry_store(&rig->mem, &c.tables[1], table, 1, below);
    }
    rig_free(rig);
}

/* The page itself is refused with the access that the program made. */
Test(walk, a_refusal_of_the_data_below_is_not_on_a_table)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    gpa_t data = SOMEWHERE + c.offset[0];
    struct named want = {.kind = REFUSED_PROTECTION, .depth = 1, .level = 1, .ia = data};
    want.op = KIND_WRITE;
    with_entry(rig, &c, 1, data, 1, PTE_W, 0, WRITE, &want);
    want.op = KIND_EXEC;
    with_entry(rig, &c, 1, data, 1, 0, PTE_NX, EXEC, &want);
    want = (struct named){.kind = REFUSED_NOT_PRESENT, .depth = 1, .level = 1, .ia = data};
    with_entry(rig, &c, 1, data, 1, PTE_P, 0, READ, &want);
    rig_free(rig);
}

/* "Guest access rights are evaluated before the data page's own translation": 28.3.3.3. */
Test(walk, the_guests_rights_come_before_the_datas_second_stage)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    gpa_t data = SOMEWHERE + c.offset[0];
    entry_store(&rig->mem, &c.tables[1], data, 1, 0);
    struct named want = {.kind = REFUSED_PROTECTION, .ia = SOMEWHERE, .op = KIND_WRITE};
    for (want.level = 1; want.level <= 4; want.level++)
        with_entry(rig, &c, 0, SOMEWHERE, want.level, PTE_W, 0, WRITE, &want);
    want.op = KIND_READ;
    want.kind = REFUSED_RESERVED;
    for (want.level = 1; want.level <= 4; want.level++)
        with_entry(rig, &c, 0, SOMEWHERE, want.level, 0, (uint64_t)1 << 51, READ, &want);
    want = (struct named){.kind = REFUSED_NOT_PRESENT, .depth = 1, .level = 1, .ia = data};
    expect_refusal(rig, &c, READ, &want, "the guest allows, the host does not");
    rig_free(rig);
}

/* A table's translation comes before what stands in the table. 28.3.3.3. */
Test(walk, the_tables_second_stage_comes_before_the_guests_entry)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    gpa_t table = tables_at(&rig->mem, &c.tables[0], SOMEWHERE, 2) - c.tables[0].base;
    entry_store(&rig->mem, &c.tables[0], SOMEWHERE, 2, 0);
    struct named want = {REFUSED_NOT_PRESENT, 0, 2, false, KIND_READ, SOMEWHERE};
    expect_refusal(rig, &c, READ, &want, "the guest's PDE is not present");
    entry_store(&rig->mem, &c.tables[1], table, 1, 0);
    want = (struct named){REFUSED_NOT_PRESENT, 1, 1, true, KIND_READ, table};
    expect_refusal(rig, &c, READ, &want, "nor is its table below");
    rig_free(rig);
}

/* A guest entry that is not present needs no A: its table may be read-only below. 4.8. */
Test(walk, a_read_only_table_is_no_obstacle_to_a_guest_fault)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 2);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    gpa_t table = tables_at(&rig->mem, &c.tables[0], SOMEWHERE, 1) - c.tables[0].base;
    entry_store(&rig->mem, &c.tables[0], SOMEWHERE, 1, 0);
    entry_store(&rig->mem, &c.tables[1], table, 1,
                entry_load(&rig->mem, &c.tables[1], table, 1) & ~PTE_W);
    struct named want = {REFUSED_NOT_PRESENT, 0, 1, false, KIND_READ, SOMEWHERE};
    expect_refusal(rig, &c, READ, &want, "not present in a read-only table");
    rig_free(rig);
}

/* In three stages a refusal at depth 2 may be for L1's table (of the host's walk) or its data. */
Test(walk, depth_2_refuses_the_tables_of_both_stages_above)
{
    struct rig *rig = rig_plain();
    struct chain c = chain_new(PLAIN, 3);
    chain_map(&rig->mem, &c, 0, SOMEWHERE);
    const struct tables *t = c.tables;
    ia_t guest_table = tables_at(&rig->mem, &t[0], SOMEWHERE, 4) - t[0].base;
    ia_t host_table = tables_at(&rig->mem, &t[1], guest_table, 1) - t[1].base;
    struct named want = {REFUSED_NOT_PRESENT, 2, 1, true, KIND_READ, host_table};
    with_entry(rig, &c, 2, host_table, 1, PTE_P, 0, READ, &want);
    /* L2's table is L1's data: setting A there is a write that L0 may refuse too. */
    want = (struct named){REFUSED_PROTECTION, 2, 1, true, KIND_WRITE, host_table};
    with_entry(rig, &c, 2, host_table, 1, PTE_W, 0, READ, &want);
    want = (struct named){REFUSED_PROTECTION, 2, 1, false, KIND_WRITE, guest_table + c.offset[1]};
    with_entry(rig, &c, 2, guest_table + c.offset[1], 1, PTE_W, 0, READ, &want);
    rig_free(rig);
}

/* A rig whose structure caches keep everything, of either kind. */
static struct rig *rig_structured(bool by_entry)
{
    struct profile p = rig_profile();
    rig_structure(&p, 64);
    p.structure_by_entry = by_entry;
    return rig_new(&p, STAGES_MAX);
}

/*
 * A walk that starts below the root must still see to it that setting A writes to a page that the
 * second stage lets it write: the cached path may have been walked when nothing had to be set.
 */
Test(walk, a_cached_path_does_not_write_to_a_table_that_is_read_only_below)
{
    for (unsigned by_entry = 0; by_entry < 2; by_entry++) {
        struct rig *rig = rig_structured(by_entry);
        struct chain c = chain_new(PLAIN, 2);
        ia_t next = SOMEWHERE + 4096; /* its PTE is in the same table */
        chain_map(&rig->mem, &c, 0, SOMEWHERE);
        chain_map(&rig->mem, &c, 0, next);
        for (unsigned l = 1; l <= 4; l++)
            entry_store(&rig->mem, &c.tables[0], SOMEWHERE, l,
                        entry_load(&rig->mem, &c.tables[0], SOMEWHERE, l) | PTE_A);
        gpa_t table = tables_at(&rig->mem, &c.tables[0], next, 1) - c.tables[0].base;
        uint64_t below = entry_load(&rig->mem, &c.tables[1], table, 1);
        entry_store(&rig->mem, &c.tables[1], table, 1, below & ~PTE_W);
        commit(rig, &c, SOMEWHERE, READ);
        chain_walk(rig, &c);
        cr_assert_not(walk_read(&rig->walk, next, READ));
        cr_expect_eq(rig->walk.refusal.depth, 1);
        cr_expect_eq(rig->walk.refusal.access & KIND_OP, KIND_WRITE);
        cr_expect_eq(rig->walk.refusal.ia, table);
        cr_expect(rig->walk.refusal.on_table);
        rig_free(rig);
    }
}

/* The same for the second stage's D: the cached path may be of a page that is still clean. */
Test(walk, a_cached_path_still_makes_the_table_dirty_below)
{
    for (unsigned by_entry = 0; by_entry < 2; by_entry++) {
        struct rig *rig = rig_structured(by_entry);
        struct chain c = chain_new(PLAIN, 2);
        ia_t next = SOMEWHERE + 4096;
        chain_map(&rig->mem, &c, 0, SOMEWHERE);
        chain_map(&rig->mem, &c, 0, next);
        for (unsigned l = 1; l <= 4; l++)
            entry_store(&rig->mem, &c.tables[0], SOMEWHERE, l,
                        entry_load(&rig->mem, &c.tables[0], SOMEWHERE, l) | PTE_A);
        gpa_t table = tables_at(&rig->mem, &c.tables[0], next, 1) - c.tables[0].base;
        commit(rig, &c, SOMEWHERE, READ);
        cr_expect_not(entry_load(&rig->mem, &c.tables[1], table, 1) & PTE_D);
        commit(rig, &c, next, READ);
        cr_expect(entry_load(&rig->mem, &c.tables[0], next, 1) & PTE_A);
        cr_expect(entry_load(&rig->mem, &c.tables[1], table, 1) & PTE_D, "by entry: %u", by_entry);
        rig_free(rig);
    }
}
