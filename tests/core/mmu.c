/*
 * The MMU of one vCPU with its caches filled: results that are known exactly, and properties that
 * hold whatever the numbers are. SDM vol. 3, 4.8 and 4.10; Bryant and O'Hallaron, 9.6.4.
 */
#include "core/mmu.h"

#include "core/quick.h"
#include "tests/core/nest.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { KIB4 = 4096 };
#define MIB2   ((uint64_t)1 << 21)
#define GIB    ((uint64_t)1 << 30)
#define BASE   ((gva_t)0x7f0000000000) /* where the tests map their pages */
#define FRAMES ((hpa_t)0x1000000000)

/* ---- helpers ---- */

/* A rig in 4-level mode with @p pages pages of @p level from BASE on. */
static struct rig *rig_mapped(const struct profile *p, unsigned level, uint64_t pages)
{
    struct rig *rig = rig_new(p, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    tables_map_range(&rig->mem, &t, BASE, level, FRAMES | PWU, pages);
    struct registers r = rig_registers(PAGING_4_LEVEL, t.root);
    rig_set(rig, &r);
    return rig;
}

static uint64_t hits(const struct rig *rig, enum tlb_name tlb)
{
    uint64_t sum = 0;
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        sum += RIG_COUNT(rig, TLB_HIT, 0, level, tlb);
    return sum;
}

static uint64_t misses(const struct rig *rig, enum tlb_name tlb)
{
    uint64_t sum = 0;
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        sum += RIG_COUNT(rig, TLB_MISS, 0, level, tlb);
    return sum;
}

/* Reads page after page, @p rounds times over. */
static void scan(struct rig *rig, unsigned level, uint64_t pages, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++)
        for (uint64_t page = 0; page < pages; page++) {
            uint64_t offset = page << tables_shift(PAGING_4_LEVEL, level);
            cr_assert_eq(rig_read(rig, BASE + offset), FRAMES + offset);
        }
}

/* Entries read by one access. */
static uint64_t refs_of(struct rig *rig, gva_t gva)
{
    uint64_t before = rig_refs(rig);
    cr_assert_neq(rig_read(rig, gva), ~(hpa_t)0);
    return rig_refs(rig) - before;
}

/* The clock is the sum of what was counted times what it costs. */
static void check_clock(const struct rig *rig)
{
    const struct tally *t = &rig->mmu->tally;
    cycles_t sum = 0;
    for (unsigned slot = 0; slot < EVENT_SLOTS; slot++)
        sum += t->count[slot] * t->price[slot];
    cr_expect_eq(t->cycles, sum);
}

/* ---- TLBs ---- */

/* True LRU over a cycle one longer than it holds never hits; over one that fits it never misses. */
Test(mmu, a_cycle_of_one_page_too_many_never_hits)
{
    static const uint32_t sizes[] = {1, 2, 16, 64, 1536};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct profile p = rig_profile();
        rig_tlb(&p, TLB_L1D, sizes[i]);
        struct rig *rig = rig_mapped(&p, PAGE_4K, sizes[i] + 1);
        scan(rig, PAGE_4K, sizes[i] + 1, 5);
        cr_expect_eq(hits(rig, TLB_L1D), 0, "%u entries", sizes[i]);
        cr_expect_eq(misses(rig, TLB_L1D), 5 * ((uint64_t)sizes[i] + 1));
        mmu_cool(rig->mmu, &rig->bus);
        tally_reset(&rig->mmu->tally);
        scan(rig, PAGE_4K, sizes[i], 5);
        cr_expect_eq(misses(rig, TLB_L1D), sizes[i]);
        cr_expect_eq(hits(rig, TLB_L1D), 4 * (uint64_t)sizes[i]);
        check_clock(rig);
        rig_free(rig);
    }
}

/* Uniform accesses to N pages find E of them in the TLB: a hit rate of E / N. */
static void check_uniform(uint32_t entries, uint64_t pages)
{
    enum { ACCESSES = 1000000, BATCH = 1000 };
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, entries);
    struct rig *rig = rig_mapped(&p, PAGE_4K, pages);
    struct rng rng = {.state = 42};
    static struct access batch[BATCH];
    for (unsigned done = 0; done < ACCESSES; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            batch[i] = (struct access){.gva = BASE + rng_below(&rng, pages) * KIB4, .size = 8};
        enum stop stop;
        cr_assert_eq(mmu_run(rig->mmu, &rig->bus, batch, BATCH, 0, &rig->walk, &stop), BATCH);
    }
    double rate = (double)hits(rig, TLB_L1D) / ACCESSES, want = (double)entries / (double)pages;
    cr_expect_float_eq(rate, want, 0.001, "%u of %lu: %f", entries, pages, rate);
    cr_expect_eq(hits(rig, TLB_L1D) + misses(rig, TLB_L1D), ACCESSES);
    rig_free(rig);
}

Test(mmu, uniform_accesses_hit_at_the_rate_of_the_pages_held)
{
    check_uniform(64, 1024);
    check_uniform(1536, 262144);
}

/* The same gibibyte in 512 pages of 2 MiB fits: all hits once warm. */
Test(mmu, large_pages_make_the_gibibyte_fit)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 1536);
    struct rig *rig = rig_mapped(&p, PAGE_2M, 512);
    scan(rig, PAGE_2M, 512, 3);
    cr_expect_eq(RIG_COUNT(rig, TLB_MISS, 0, PAGE_2M, TLB_L1D), 512);
    cr_expect_eq(RIG_COUNT(rig, TLB_HIT, 0, PAGE_2M, TLB_L1D), 1024);
    struct rng rng = {.state = 1};
    for (unsigned i = 0; i < 10000; i++)
        rig_read(rig, BASE + rng_below(&rng, GIB));
    cr_expect_eq(misses(rig, TLB_L1D), 512);
    rig_free(rig);
}

/* An L1 miss that L2 answers fills L1 again, without a walk. */
Test(mmu, an_l2_hit_refills_l1)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 4);
    rig_tlb(&p, TLB_L2, 64);
    struct rig *rig = rig_mapped(&p, PAGE_4K, 16);
    scan(rig, PAGE_4K, 16, 1);
    tally_reset(&rig->mmu->tally);
    rig_read(rig, BASE); /* long gone from L1 */
    cr_expect_eq(misses(rig, TLB_L1D), 1);
    cr_expect_eq(hits(rig, TLB_L2), 1);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 0);
    cr_expect_eq(rig->walk.refs, 0);
    rig_read(rig, BASE + 8);
    cr_expect_eq(hits(rig, TLB_L1D), 1);
    cr_expect_eq(rig_total(rig, EVENT_TLB_L2), 1, "L2 was asked once");
    cr_expect_eq(rig->mmu->tally.cycles, p.cost[COST_l2_tlb]);
    rig_free(rig);
}

/* Fetches go to the L1I, data to the L1D, both to the L2. */
Test(mmu, fetches_and_data_have_their_own_l1)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    cr_assert(rig_access(rig, OP_EXEC, ACCESS_USER, BASE));
    cr_assert(rig_access(rig, OP_READ, ACCESS_USER, BASE));
    cr_expect_eq(misses(rig, TLB_L1I), 1);
    cr_expect_eq(misses(rig, TLB_L1D), 1);
    cr_expect_eq(misses(rig, TLB_L2), 1);
    cr_expect_eq(hits(rig, TLB_L2), 1);
    cr_assert(rig_access(rig, OP_EXEC, ACCESS_USER, BASE));
    cr_assert(rig_access(rig, OP_MODIFY, ACCESS_USER, BASE));
    cr_expect_eq(hits(rig, TLB_L1I), 1);
    cr_expect_eq(hits(rig, TLB_L1D), 1);
    rig_free(rig);
}

/* A TLB hit answers with the whole address, its page's level, and what the page grants. */
Test(mmu, a_hit_says_what_the_walk_said)
{
    for (unsigned level = PAGE_4K; level <= PAGE_1G; level++) {
        struct profile p = rig_cached_profile();
        struct rig *rig = rig_mapped(&p, level, 2);
        gva_t gva = BASE + ((uint64_t)1 << tables_shift(PAGING_4_LEVEL, level)) + 0x765;
        cr_assert_eq(rig_write(rig, gva), FRAMES + (gva - BASE));
        struct found walked = rig->walk.found;
        cr_assert_eq(rig_write(rig, gva), FRAMES + (gva - BASE));
        cr_expect_eq(rig->walk.refs, 0);
        cr_expect_eq(rig->walk.found.next, walked.next);
        cr_expect_eq(rig->walk.found.level, level);
        cr_expect_eq(rig->walk.found.shift, walked.shift);
        cr_expect_eq(rig->walk.found.rights, walked.rights);
        rig_free(rig);
    }
}

/*
 * "If a write finds a TLB entry whose D was clear, the processor sets D in the entry in memory":
 * 4.8. It is a hit, and a walk; the next write is neither refused nor walked.
 */
Test(mmu, a_later_write_through_a_clean_entry_sets_d)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    uint64_t clean = FRAMES | PWU | PTE_A;
    rig_read(rig, BASE);
    cr_assert_eq(entry_load(&rig->mem, &t, BASE, 1), clean);
    tally_reset(&rig->mmu->tally);
    cr_assert_eq(rig_write(rig, BASE), FRAMES);
    cr_expect_eq(entry_load(&rig->mem, &t, BASE, 1), clean | PTE_D);
    cr_expect_eq(hits(rig, TLB_L1D), 1);
    cr_expect_eq(misses(rig, TLB_L1D), 0);
    cr_expect_eq(rig_total(rig, EVENT_TLB_L2), 0);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 1);
    cr_expect_eq(rig_total(rig, EVENT_WALK_DIRTY), 1);
    cr_expect_eq(rig_total(rig, EVENT_SET_DIRTY), 1);
    cr_expect_eq(rig_total(rig, EVENT_SET_ACCESSED), 0);
    tally_reset(&rig->mmu->tally);
    cr_assert_eq(rig_write(rig, BASE), FRAMES);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 0);
    cr_expect_eq(hits(rig, TLB_L1D), 1);
    rig_free(rig);
}

/* A D that is set in memory at the first read is as good: no walk for the first write. */
Test(mmu, a_page_dirty_already_needs_no_walk_to_write)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PWU | PTE_D);
    rig_read(rig, BASE);
    rig_write(rig, BASE);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 1);
    cr_expect_eq(rig_total(rig, EVENT_WALK_DIRTY), 0);
    rig_free(rig);
}

/* An entry that is renewed takes no second place. */
Test(mmu, an_entry_that_became_dirty_stands_where_it_stood)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 2);
    struct rig *rig = rig_mapped(&p, PAGE_4K, 2);
    scan(rig, PAGE_4K, 2, 1);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(rig_write(rig, BASE + i % 2 * KIB4), FRAMES + i % 2 * KIB4);
    cr_expect_eq(hits(rig, TLB_L1D), 6);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 4, "two reads, two first writes");
    rig_free(rig);
}

/* "Again: a repeated attempt, whose TLB lookups were counted before." */
Test(mmu, a_repeated_attempt_counts_the_first_ones_lookups)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PTE_P | PTE_U);
    rig_read(rig, BASE);
    tally_reset(&rig->mmu->tally);
    struct access write = {.gva = BASE, .size = 8, .op = OP_WRITE};
    cr_assert_not(mmu_translate(rig->mmu, &rig->bus, &write, false, &rig->walk));
    cr_expect_eq(hits(rig, TLB_L1D), 0, "not ended yet");
    mmu_page_fault(rig->mmu, BASE, &rig->walk.refusal);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PWU);
    cr_assert(mmu_translate(rig->mmu, &rig->bus, &write, true, &rig->walk));
    cr_expect_eq(hits(rig, TLB_L1D), 1, "what the first attempt found, which did not serve");
    cr_expect_eq(misses(rig, TLB_L1D), 0);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 2);
    rig_free(rig);
}

/* Global pages are found from every PCID, others only from their own. 4.10.2.4. */
Test(mmu, global_pages_serve_every_pcid)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 2);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PWU | PTE_G);
    cr_assert_null(mmu_mov_cr4(rig->mmu, &rig->bus, rig->mmu->registers.cr4 | CR4_PCIDE));
    for (uint64_t pcid = 1; pcid <= 4; pcid++) {
        cr_assert_null(mmu_mov_cr3(rig->mmu, &rig->bus, t.root | pcid | CR3_KEEP));
        uint64_t walks = rig_total(rig, EVENT_WALK);
        scan(rig, PAGE_4K, 2, 2);
        cr_expect_eq(rig_total(rig, EVENT_WALK) - walks, pcid == 1 ? 2 : 1);
    }
    rig_free(rig);
}

/* Without CR4.PGE the bit is ignored. 4.10.2.4. */
Test(mmu, the_global_bit_means_nothing_without_pge)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PWU | PTE_G);
    cr_assert_null(mmu_mov_cr4(rig->mmu, &rig->bus, rig->mmu->registers.cr4 & ~CR4_PGE));
    rig_read(rig, BASE);
    cr_assert_null(mmu_mov_cr3(rig->mmu, &rig->bus, t.root));
    rig_read(rig, BASE);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 2);
    rig_free(rig);
}

/* Thousands of PCIDs, more than the numbers that tell them apart, never mix up. */
Test(mmu, all_4096_pcids_are_told_apart)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_new(&p, 1);
    struct tables t[2] = {tables_new(PAGING_4_LEVEL, 0x100000, 0),
                          tables_new(PAGING_4_LEVEL, 0x200000, 0)};
    for (unsigned i = 0; i < 2; i++)
        tables_map(&rig->mem, &t[i], BASE, PAGE_4K, (FRAMES + i * GIB) | PWU);
    struct registers r = rig_registers(PAGING_4_LEVEL, t[0].root);
    r.cr4 |= CR4_PCIDE;
    rig_set(rig, &r);
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t pcid = 0; pcid < 4096; pcid++) {
            unsigned which = pcid % 3 == 0;
            cr_assert_null(mmu_mov_cr3(rig->mmu, &rig->bus, t[which].root | pcid | CR3_KEEP));
            cr_assert_eq(rig_read(rig, BASE), FRAMES + which * GIB, "PCID %lu", pcid);
        }
    rig_free(rig);
}

/* Pages too large for any array are kept as pieces that serve their part alone. */
Test(mmu, a_large_page_kept_in_pieces_serves_piece_by_piece)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 16);
    p.tlb[TLB_L1D].array_of[2] = TLB_NOWHERE;
    p.tlb[TLB_L1D].kept_as[2] = 1;
    struct rig *rig = rig_mapped(&p, PAGE_1G, 1);
    cr_assert_eq(rig_read(rig, BASE + 7 * MIB2 + 9), FRAMES + 7 * MIB2 + 9);
    cr_assert_eq(rig_read(rig, BASE + 7 * MIB2 + 0x1ffff0), FRAMES + 7 * MIB2 + 0x1ffff0);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 1);
    cr_expect_eq(RIG_COUNT(rig, TLB_MISS, 0, PAGE_1G, TLB_L1D), 1, "the page the walk found");
    cr_expect_eq(RIG_COUNT(rig, TLB_HIT, 0, PAGE_2M, TLB_L1D), 1, "the page of the entry");
    cr_expect_eq(rig->walk.found.next, FRAMES + 7 * MIB2 + 0x1ffff0);
    cr_assert_eq(rig_read(rig, BASE + 8 * MIB2), FRAMES + 8 * MIB2);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 2);
    rig_free(rig);
}

/* Pages of a class that has no array are walked each time. */
Test(mmu, pages_kept_nowhere_are_walked_each_time)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 16);
    p.tlb[TLB_L1D].array_of[2] = TLB_NOWHERE;
    struct rig *rig = rig_mapped(&p, PAGE_1G, 1);
    scan(rig, PAGE_1G, 1, 3);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 3);
    cr_expect_eq(misses(rig, TLB_L1D), 3);
    rig_free(rig);
}

/* ---- structure caches ---- */

/* Reads by each page of a sequential sweep: the first, and every one after it. */
static void check_sweep(enum paging paging, unsigned kept, unsigned first, unsigned rest)
{
    struct profile p = rig_profile();
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        if (kept >> level & 1)
            p.structure[level] = (struct shape){.entries = 4, .replacement = REPLACE_LRU};
    struct rig *rig = rig_new(&p, 1);
    struct tables t = tables_new(paging, 0x100000, 0);
    gva_t base = paging < PAGING_4_LEVEL ? 0x40000000 : BASE;
    tables_map_range(&rig->mem, &t, base, PAGE_4K, FRAMES >> (paging == 2 ? 8 : 0) | PWU, 512);
    struct registers r = rig_registers(paging, t.root);
    rig_set(rig, &r);
    cr_expect_eq(refs_of(rig, base), first, "%u-level keeping %x", paging, kept);
    for (uint64_t page = 1; page < 512; page++)
        cr_assert_eq(refs_of(rig, base + page * KIB4), rest, "%u-level keeping %x", paging, kept);
    for (unsigned level = paging == PAGING_PAE ? 3 : paging + 1; level <= LEVELS_MAX; level++)
        cr_expect_eq(RIG_COUNT(rig, STRUCTURE_MISS, 0, level, 0), 0, "nothing to keep there");
    rig_free(rig);
}

/* "PDE cache: 1 read; PDPTE cache: 2; PML4 cache: 3; none: 4", the lowest first. 4.10.3.2. */
Test(mmu, a_sweep_of_one_region_reads_what_the_structure_caches_leave)
{
    check_sweep(PAGING_4_LEVEL, 0, 4, 4);
    check_sweep(PAGING_4_LEVEL, 1 << 2, 4, 1);
    check_sweep(PAGING_4_LEVEL, 1 << 3, 4, 2);
    check_sweep(PAGING_4_LEVEL, 1 << 4, 4, 3);
    check_sweep(PAGING_4_LEVEL, 1 << 2 | 1 << 3 | 1 << 4, 4, 1);
    check_sweep(PAGING_4_LEVEL, 1 << 3 | 1 << 4, 4, 2);
    check_sweep(PAGING_4_LEVEL, 1 << 5, 4, 4);
    check_sweep(PAGING_5_LEVEL, 0, 5, 5);
    check_sweep(PAGING_5_LEVEL, 1 << 5, 5, 4);
    check_sweep(PAGING_5_LEVEL, 1 << 4, 5, 3);
    check_sweep(PAGING_5_LEVEL, 1 << 2, 5, 1);
    check_sweep(PAGING_PAE, 0, 2, 2);
    check_sweep(PAGING_PAE, 1 << 2, 2, 1);
    check_sweep(PAGING_PAE, 1 << 3, 2, 2);
    check_sweep(PAGING_2_LEVEL, 0, 2, 2);
    check_sweep(PAGING_2_LEVEL, 1 << 2, 2, 1);
}

/* A region of large pages has no PDE to keep: its PDPTE leads to the leaf. */
Test(mmu, large_pages_use_the_cache_of_the_level_above)
{
    struct profile p = rig_profile();
    rig_structure(&p, 8);
    struct rig *rig = rig_mapped(&p, PAGE_2M, 100);
    cr_expect_eq(refs_of(rig, BASE), 3);
    for (uint64_t page = 1; page < 100; page++)
        cr_assert_eq(refs_of(rig, BASE + page * MIB2), 1);
    rig_free(rig);
    rig = rig_mapped(&p, PAGE_1G, 3);
    cr_expect_eq(refs_of(rig, BASE), 2);
    cr_expect_eq(refs_of(rig, BASE + GIB), 1);
    rig_free(rig);
}

/* Each region once: a PDE cache of E entries, cycled over by E + 1 regions, is of no use. */
Test(mmu, a_pde_cache_thrashes_like_any_other)
{
    struct profile p = rig_profile();
    p.structure[2] = (struct shape){.entries = 4, .replacement = REPLACE_LRU};
    struct rig *rig = rig_mapped(&p, PAGE_4K, 5 * 512);
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t region = 0; region < 5; region++)
            cr_assert_eq(refs_of(rig, BASE + region * MIB2 + round * KIB4), 4);
    for (uint64_t region = 1; region < 5; region++)
        cr_assert_eq(refs_of(rig, BASE + region * MIB2), 1);
    cr_expect_eq(RIG_COUNT(rig, STRUCTURE_HIT, 0, 2, 0), 4);
    cr_expect_eq(RIG_COUNT(rig, STRUCTURE_MISS, 0, 2, 0), 15);
    rig_free(rig);
}

/* By entry: all levels are read, the upper ones served by their caches. */
Test(mmu, structure_caches_by_entry_serve_the_upper_levels)
{
    struct profile p = rig_profile();
    rig_structure(&p, 8);
    p.structure_by_entry = true;
    struct rig *rig = rig_mapped(&p, PAGE_4K, 8);
    cr_expect_eq(refs_of(rig, BASE), 4);
    for (unsigned level = 1; level <= 4; level++)
        cr_expect_eq(RIG_COUNT(rig, REF, 0, level, SERVED_MEMORY), 1);
    for (uint64_t page = 1; page < 8; page++)
        cr_assert_eq(refs_of(rig, BASE + page * KIB4), 4);
    for (unsigned level = 2; level <= 4; level++)
        cr_expect_eq(RIG_COUNT(rig, REF, 0, level, SERVED_STRUCTURE), 7);
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 1, SERVED_STRUCTURE), 0);
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 1, SERVED_MEMORY), 8, "leaves are not kept");
    check_clock(rig);
    rig_free(rig);
    rig = rig_mapped(&p, PAGE_2M, 1);
    scan(rig, PAGE_2M, 1, 5);
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 2, SERVED_MEMORY), 5, "not of large pages either");
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 3, SERVED_STRUCTURE), 4);
    rig_free(rig);
}

/* "The entries hold the AND of R/W and U/S and the OR of XD": rights survive a skip. 4.10.3.1. */
Test(mmu, a_walk_that_starts_lower_keeps_the_rights_of_what_it_skipped)
{
    struct profile p = rig_profile();
    rig_structure(&p, 8);
    static const uint64_t take[] = {PTE_W, PTE_U, 0}, add[] = {0, 0, PTE_NX};
    static const struct {
        enum op op;
        unsigned flags;
    } denied[] = {{OP_WRITE, ACCESS_USER}, {OP_READ, ACCESS_USER}, {OP_EXEC, 0}};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned level = 2; level <= 4; level++) {
            struct rig *rig = rig_mapped(&p, PAGE_4K, 2);
            struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
            uint64_t entry = entry_load(&rig->mem, &t, BASE, level);
            entry_store(&rig->mem, &t, BASE, level, (entry & ~take[i]) | add[i]);
            cr_expect_eq(refs_of(rig, BASE), 4);
            cr_expect_eq(refs_of(rig, BASE), 1);
            cr_expect_not(rig_access(rig, denied[i].op, denied[i].flags, BASE + KIB4));
            cr_expect_eq(rig->walk.refusal.kind, REFUSED_PROTECTION);
            rig_free(rig);
        }
}

/* 4.10.4.3: raising rights needs no invalidation; here not even a spurious fault comes of it. */
Test(mmu, rights_that_were_raised_above_what_a_structure_cache_keeps_count_at_once)
{
    struct profile p = rig_profile();
    rig_structure(&p, 8);
    for (unsigned level = 2; level <= 4; level++) {
        struct rig *rig = rig_mapped(&p, PAGE_4K, 2);
        struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
        uint64_t entry = entry_load(&rig->mem, &t, BASE, level);
        entry_store(&rig->mem, &t, BASE, level, entry & ~PTE_W);
        cr_expect_eq(refs_of(rig, BASE), 4);
        cr_expect_not(rig_access(rig, OP_WRITE, ACCESS_USER, BASE + KIB4));
        entry_store(&rig->mem, &t, BASE, level, entry);
        cr_expect(rig_access(rig, OP_WRITE, ACCESS_USER, BASE + KIB4));
        cr_expect_eq(rig->walk.refs, 4, "from the top");
        rig_free(rig);
    }
}

/* "Entries are cached only if A is 1": the walk that fills them sets it. A fault fills none. */
Test(mmu, a_refused_walk_fills_nothing)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 2);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    entry_store(&rig->mem, &t, BASE, 1, 0);
    uint64_t sum = mem_sum(&rig->mem);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not(rig_access(rig, OP_WRITE, 0, BASE));
        cr_expect_eq(rig->walk.refs, 4, "attempt %u", i);
    }
    cr_expect_eq(mem_sum(&rig->mem), sum);
    cr_expect_eq(misses(rig, TLB_L1D), 3);
    cr_expect_eq(refs_of(rig, BASE + KIB4), 4);
    rig_free(rig);
}

/* ---- data caches ---- */

static void data_caches(struct profile *p, uint32_t l1, uint32_t l2, uint32_t llc)
{
    p->data[0] = (struct shape){.entries = l1, .replacement = REPLACE_LRU};
    p->data[1] = (struct shape){.entries = l2, .replacement = REPLACE_LRU};
    p->data[2] = (struct shape){.entries = llc, .replacement = REPLACE_LRU};
}

/* Eight entries share a line: the first comes from memory, its neighbours from the L1. */
Test(mmu, the_first_read_of_a_line_is_served_by_memory_the_next_by_l1)
{
    struct profile p = rig_profile();
    data_caches(&p, 64, 256, 1024);
    struct rig *rig = rig_mapped(&p, PAGE_4K, 16);
    scan(rig, PAGE_4K, 16, 1);
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 1, SERVED_MEMORY), 2, "two lines of PTEs");
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 1, SERVED_L1), 14);
    for (unsigned level = 2; level <= 4; level++) {
        cr_expect_eq(RIG_COUNT(rig, REF, 0, level, SERVED_MEMORY), 1);
        cr_expect_eq(RIG_COUNT(rig, REF, 0, level, SERVED_L1), 15);
    }
    check_clock(rig);
    rig_free(rig);
}

/* A line that the L1 has lost is in the L2, and what that has lost in the last level. */
Test(mmu, a_line_lost_above_is_served_from_below)
{
    struct profile p = rig_profile();
    data_caches(&p, 4, 8, 16); /* the three upper entries' lines and this many PTE lines less 3 */
    struct rig *rig = rig_mapped(&p, PAGE_4K, 8 * 14);
    for (unsigned line = 0; line < 13; line++)
        rig_read(rig, BASE + line * 8 * KIB4);
    static const struct {
        unsigned line;
        enum server server;
    } then[] = {{12, SERVED_L1}, {10, SERVED_L2}, {0, SERVED_LLC}, {13, SERVED_MEMORY}};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t before = RIG_COUNT(rig, REF, 0, 1, then[i].server);
        rig_read(rig, BASE + then[i].line * 8 * KIB4);
        cr_expect_eq(RIG_COUNT(rig, REF, 0, 1, then[i].server), before + 1, "line %u",
                     then[i].line);
    }
    rig_free(rig);
}

/* With the profile's flag the program's own lines go through the same caches as the tables'. */
Test(mmu, program_data_goes_through_the_data_caches_where_the_profile_says_so)
{
    for (unsigned flag = 0; flag < 2; flag++) {
        struct profile p = rig_profile();
        data_caches(&p, 64, 256, 1024);
        p.program_data = flag;
        struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
        struct access a[3] = {{.gva = BASE, .size = 8},
                              {.gva = BASE + 32, .size = 8, .op = OP_WRITE},
                              {.gva = BASE + 64, .size = 8}};
        enum stop stop;
        cr_assert_eq(mmu_run(rig->mmu, &rig->bus, a, 3, 0, &rig->walk, &stop), 3);
        cr_expect_eq(stop, STOP_DONE);
        cr_expect_eq(rig_total(rig, EVENT_DATA), flag ? 3 : 0);
        cr_expect_eq(RIG_COUNT(rig, DATA, 0, 0, SERVED_MEMORY), flag ? 2 : 0);
        cr_expect_eq(RIG_COUNT(rig, DATA, 0, 0, SERVED_L1), flag ? 1 : 0);
        check_clock(rig);
        rig_free(rig);
    }
}

/* The tables' and the program's lines push each other out. */
Test(mmu, program_data_and_tables_share_the_caches)
{
    struct profile p = rig_profile();
    data_caches(&p, 4, 0, 0);
    p.program_data = true;
    struct rig *rig = rig_mapped(&p, PAGE_1G, 1); /* two entries read */
    struct access a = {.gva = BASE, .size = 8};
    enum stop stop;
    for (uint64_t i = 0; i < 8; i++) {
        a.gva = BASE + i * 64;
        cr_assert_eq(mmu_run(rig->mmu, &rig->bus, &a, 1, 0, &rig->walk, &stop), 1);
    }
    cr_expect_eq(RIG_COUNT(rig, DATA, 0, 0, SERVED_MEMORY), 8);
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 4, SERVED_L1), 7, "used often enough to stay");
    cr_expect_eq(RIG_COUNT(rig, REF, 0, 3, SERVED_L1), 7);
    rig_free(rig);
}

/* ---- random machines and workloads ---- */

enum { MANY = 6000, WINDOW = 96 };

/* Small caches with awkward shapes, so that everything is pushed out all the time. */
static struct profile small_profile(enum replacement replacement, struct rng *rng)
{
    struct profile p = rig_profile();
    uint32_t l2 = rng_below(rng, 2) ? 24 : 32; /* sets that are no power of two, and that are */
    for (unsigned tlb = 0; tlb < TLBS; tlb++) {
        p.tlb[tlb].array[0] = (struct shape){tlb == TLB_L2 ? l2 : 8, 4, replacement};
        p.tlb[tlb].array[1] = (struct shape){4, 0, replacement};
        p.tlb[tlb].array_of[0] = 0;
        p.tlb[tlb].array_of[1] = 1;
        p.tlb[tlb].array_of[2] = rng_below(rng, 2) ? TLB_NOWHERE : 1;
        p.tlb[tlb].kept_as[2] = (uint8_t)rng_below(rng, 3);
        if (p.tlb[tlb].array_of[2] != TLB_NOWHERE)
            p.tlb[tlb].kept_as[2] = 2;
    }
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        p.structure[level] = (struct shape){(uint32_t)rng_below(rng, 3), 0, replacement};
    p.structure_by_entry = rng_below(rng, 2);
    p.data[0] = (struct shape){8, 2, replacement};
    p.data[1] = (struct shape){24, 8, replacement};
    p.data[2] = (struct shape){64, 16, replacement};
    return p;
}

/* 96 small pages, 4 large ones, one of a gibibyte; all kinds of rights. */
static gva_t some_page(struct rng *rng, unsigned *level)
{
    uint64_t i = rng_below(rng, WINDOW + 8);
    *level = i < WINDOW ? PAGE_4K : i < WINDOW + 6 ? PAGE_2M : PAGE_1G;
    if (i < WINDOW)
        return BASE + (i % 3) * MIB2 + i * KIB4;
    return i < WINDOW + 6 ? BASE + (i - WINDOW + 8) * MIB2 : BASE + (i - WINDOW) * GIB;
}

static void map_randomly(struct rig *rig, struct tables *t, struct rng *rng)
{
    for (unsigned i = 0; i < 20 * WINDOW; i++) {
        unsigned level;
        gva_t gva = some_page(rng, &level);
        uint64_t entry = (FRAMES + (gva - BASE) * 2) | (rng_below(rng, 8) ? PTE_P : 0);
        entry |= rng_below(rng, 4) ? PTE_W : 0;
        entry |= rng_below(rng, 4) ? PTE_U : 0;
        entry |= rng_below(rng, 4) ? 0 : PTE_G;
        entry |= rng_below(rng, 6) ? 0 : PTE_NX;
        entry |= rng_below(rng, 4) << PTE_PK_SHIFT;
        entry |= rng_below(rng, 2) ? PTE_A | PTE_D : 0;
        tables_map(&rig->mem, t, gva, level, entry);
    }
}

/* Runs of like accesses in one page, and strays: other kinds, pages, processes; events. */
static size_t make_accesses(struct access *a, size_t n, struct rng *rng)
{
    for (size_t i = 0; i < n;) {
        unsigned level;
        gva_t page = some_page(rng, &level);
        page += level == PAGE_4K ? 0 : rng_below(rng, MIB2 / KIB4) * KIB4;
        struct access like = {.op = (uint8_t)rng_below(rng, 4),
                              .flags = (uint8_t)rng_below(rng, 4)};
        like.size = (uint16_t)(rng_below(rng, 50) ? 1u << rng_below(rng, 4) : 300);
        size_t run = rng_below(rng, 4) ? 1 + rng_below(rng, 3) : 1 + rng_below(rng, 60);
        for (; run-- && i < n; i++) {
            a[i] = like;
            a[i].gva = page + rng_below(rng, KIB4);
            if (rng_below(rng, 3)) /* mostly within the page */
                a[i].gva &= ~(gva_t)7;
            if (!rng_below(rng, 10))
                a[i].op = (uint8_t)rng_below(rng, 4);
            if (!rng_below(rng, 60))
                a[i].process = 1;
            if (!rng_below(rng, 80))
                a[i].op = OP_UNMAP;
            if (!rng_below(rng, 90))
                a[i].gva ^= (gva_t)1 << 50;
        }
    }
    return n;
}

/*
 * What an OS might do: makes the page present, or lets it be. Gives the neighbour more rights
 * without telling, so that there are entries that deny what memory grants.
 */
static void answer(struct rig *rig, struct tables *t, const struct access *a)
{
    mmu_page_fault(rig->mmu, a->gva, &rig->walk.refusal);
    hpa_t neighbour = tables_at(&rig->mem, t, a->gva ^ KIB4, 1);
    if (neighbour)
        mem_store(&rig->mem, neighbour,
                  (mem_load(&rig->mem, neighbour, 8) | PTE_W | PTE_U) & ~PTE_NX, 8);
    if (rig->walk.refusal.kind == REFUSED_NOT_PRESENT && a->gva % 3) {
        hpa_t at = tables_at(&rig->mem, t, a->gva, rig->walk.refusal.level);
        mem_store(&rig->mem, at, mem_load(&rig->mem, at, 8) | PTE_P, 8);
    }
}

/* What a hypervisor might do: grants everything, if there is an entry. */
static void answer_below(struct rig *rig, const struct access *a)
{
    const struct refusal *r = &rig->walk.refusal;
    const struct stage *host = &rig->mmu->stage[1];
    struct tables t = {.paging = (enum paging)host->format.levels, .root = host->root};
    mmu_second_stage_fault(rig->mmu, a->gva, r);
    hpa_t at = tables_at(&rig->mem, &t, r->ia, r->level);
    if (at && mem_load(&rig->mem, at, 8))
        mem_store(&rig->mem, at, mem_load(&rig->mem, at, 8) | 7, 8);
}

/* A refused access, begun and counted: answered, and tried once more. */
static void settle(struct rig *rig, struct tables *t, const struct access *a)
{
    if (rig->walk.refusal.depth)
        answer_below(rig, a);
    else
        answer(rig, t, a);
    if (mmu_translate(rig->mmu, &rig->bus, a, true, &rig->walk))
        mmu_touch_data(rig->mmu, &rig->bus, a, &rig->walk);
    else
        mmu_give_up(rig->mmu, a->gva);
}

/* One by one, with nothing but mmu_translate. Accesses that mmu_run would hand back are left out.
 */
static void run_singly(struct rig *rig, struct tables *t, const struct access *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i].op > OP_MODIFY || a[i].process || (a[i].gva & 4095) + a[i].size > 4096)
            continue;
        NOTE(&rig->mmu->tally, ACCESS, 0, 0, a[i].op, a[i].gva, a[i].process);
        if (mmu_translate(rig->mmu, &rig->bus, &a[i], false, &rig->walk))
            mmu_touch_data(rig->mmu, &rig->bus, &a[i], &rig->walk);
        else
            settle(rig, t, &a[i]);
    }
}

/* In batches of random lengths; returns the number of refusals. */
static unsigned run_in_batches(struct rig *rig, struct tables *t, const struct access *a, size_t n,
                               struct rng *rng)
{
    unsigned refused = 0;
    for (size_t i = 0; i < n;) {
        size_t length = 1 + rng_below(rng, rng_below(rng, 2) ? 400 : 9);
        length = length < n - i ? length : n - i;
        enum stop stop;
        size_t done = mmu_run(rig->mmu, &rig->bus, a + i, length, 0, &rig->walk, &stop);
        cr_assert_leq(done, length);
        cr_assert_eq(done == length, stop == STOP_DONE);
        i += done;
        if (stop == STOP_REFUSED)
            settle(rig, t, &a[i]);
        if (stop != STOP_DONE)
            i++;
        refused += stop == STOP_REFUSED;
    }
    return refused;
}

static void expect_same(const struct rig *one, const struct rig *other, const char *what)
{
    for (unsigned slot = 0; slot < EVENT_SLOTS; slot++)
        cr_expect_eq(one->mmu->tally.count[slot], other->mmu->tally.count[slot], "%s: slot %u",
                     what, slot);
    cr_expect_eq(one->mmu->tally.cycles, other->mmu->tally.cycles, "%s: cycles", what);
    cr_expect_eq(mem_sum(&one->mem), mem_sum(&other->mem), "%s: memory", what);
    cr_expect_arr_eq(&one->mmu->look, &other->mmu->look, one->mmu->look.bytes, "%s: caches", what);
}

/* A log that adds itself up. */
struct log {
    uint64_t count[EVENT_SLOTS], records;
    cycles_t last;
    bool backwards;
};

static void add_up(void *self, const struct event *event)
{
    struct log *log = self;
    log->count[event_slot(event)]++;
    log->records++;
    log->backwards |= event->time < log->last;
    log->last = event->time;
}

/* Every lookup hits or misses, an L2 is asked once for each L1 miss. */
static void check_balance(const struct rig *rig)
{
    const uint64_t *count = rig->mmu->tally.count;
    uint64_t asked_l2 = hits(rig, TLB_L2) + misses(rig, TLB_L2);
    uint64_t asked_l1 = 0, non_canonical = 0;
    for (unsigned tlb = TLB_L1I; tlb <= TLB_L1D; tlb++)
        asked_l1 += hits(rig, tlb) + misses(rig, tlb);
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        non_canonical += count[SLOT(FAULT, 0, level, REFUSED_CANONICAL)];
    cr_expect_eq(asked_l1 + non_canonical, rig_total(rig, EVENT_ACCESS));
    cr_expect_eq(asked_l2, misses(rig, TLB_L1I) + misses(rig, TLB_L1D));
    check_clock(rig);
}

/* One random machine and workload: singly, in batches, with a sink, copied half-way. */
static unsigned check_machine(enum replacement replacement, uint64_t seed)
{
    static struct access a[MANY];
    struct rng rng = {.state = seed};
    struct profile p = small_profile(replacement, &rng);
    p.program_data = rng_below(&rng, 4) == 0;
    struct rig *singly = rig_new(&p, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    map_randomly(singly, &t, &rng);
    struct registers r = rig_registers(PAGING_4_LEVEL, t.root);
    r.cr4 |= (rng_below(&rng, 2) ? CR4_SMAP : 0) | (rng_below(&rng, 2) ? CR4_PKE : 0);
    r.cr4 |= rng_below(&rng, 3) ? 0 : CR4_SMEP;
    r.pkru = (uint32_t)rng_below(&rng, 256) & ~3u;
    rig_set(singly, &r);
    struct rig *batches = rig_copy(singly), *watched = rig_copy(singly);
    struct log log = {.last = 0};
    struct sink sink = {.take = add_up, .self = &log};
    watched->mmu->tally.sink = &sink;
    make_accesses(a, MANY, &rng);
    run_singly(singly, &t, a, MANY);
    unsigned refused = run_in_batches(batches, &t, a, MANY / 2, &rng);
    struct rig *copy = rig_copy(batches);
    refused += run_in_batches(batches, &t, a + MANY / 2, MANY / 2, &rng);
    run_in_batches(copy, &t, a + MANY / 2, MANY / 2, &rng);
    run_in_batches(watched, &t, a, MANY, &rng);
    expect_same(singly, batches, "in batches");
    expect_same(singly, watched, "with a sink");
    expect_same(singly, copy, "copied half-way");
    cr_expect_arr_eq(log.count, watched->mmu->tally.count, sizeof log.count, "the log adds up");
    cr_expect_eq(log.last, watched->mmu->tally.cycles);
    cr_expect_not(log.backwards);
    check_balance(singly);
    struct rig *all[] = {singly, batches, watched, copy};
    for (unsigned i = 0; i < 4; i++)
        rig_free(all[i]);
    return refused;
}

/*
 * mmu_run does "what mmu_translate does for each, only faster": the same counters, cycles, caches
 * and memory. A record in the log for each count. A copy of the block goes on like the original.
 */
static void check_machines(enum replacement replacement)
{
    unsigned refused = 0;
    for (uint64_t seed = 1; seed <= 25; seed++)
        refused += check_machine(replacement, seed * 77 + replacement);
    cr_expect_gt(refused, 100);
}

Test(mmu, batches_logs_and_copies_agree_with_single_accesses_under_lru)
{
    check_machines(REPLACE_LRU);
}

Test(mmu, batches_logs_and_copies_agree_with_single_accesses_under_tree_plru)
{
    check_machines(REPLACE_TREE_PLRU);
}

Test(mmu, batches_logs_and_copies_agree_with_single_accesses_under_fifo)
{
    check_machines(REPLACE_FIFO);
}

Test(mmu, batches_logs_and_copies_agree_with_single_accesses_under_random)
{
    check_machines(REPLACE_RANDOM);
}

Test(mmu, batches_logs_and_copies_agree_with_single_accesses_under_lfu)
{
    check_machines(REPLACE_LFU);
}

/* As run_singly, trying quick_translate first; returns how many it did. */
static unsigned run_quickly(struct rig *rig, struct tables *t, const struct access *a, size_t n)
{
    struct mmu *m = rig->mmu;
    struct lookaside *look = malloc(m->look.bytes);
    unsigned quick = 0;
    for (size_t i = 0; i < n; i++) {
        if (a[i].op > OP_MODIFY || a[i].process || (a[i].gva & 4095) + a[i].size > 4096)
            continue;
        NOTE(&m->tally, ACCESS, 0, 0, a[i].op, a[i].gva, a[i].process);
        struct tally tally = m->tally;
        memcpy(look, &m->look, m->look.bytes);
        if (quick_translate(m, &rig->bus, &a[i])) {
            quick++;
            continue;
        }
        cr_assert_eq(memcmp(&tally, &m->tally, sizeof tally), 0, "access %zu: counters", i);
        cr_assert_eq(memcmp(look, &m->look, look->bytes), 0, "access %zu: caches", i);
        if (!mmu_translate(m, &rig->bus, &a[i], false, &rig->walk))
            settle(rig, t, &a[i]);
    }
    free(look);
    return quick;
}

/* Caches that quick accesses are for, small. */
static struct profile quick_profile(struct rng *rng)
{
    struct profile p = small_profile(REPLACE_LRU, rng);
    p.tlb[TLB_L2].array[0].entries = 32;
    p.structure_by_entry = false;
    p.data[1].entries = rng_below(rng, 4) ? 32 : 0;
    return p;
}

static struct registers random_registers(const struct tables *t, struct rng *rng)
{
    struct registers r = rig_registers(t->paging, t->root);
    r.cr4 |= (rng_below(rng, 2) ? CR4_SMAP : 0) | (rng_below(rng, 2) ? CR4_PKE : 0);
    r.pkru = (uint32_t)rng_below(rng, 256) & ~3u;
    return r;
}

/* Other rights in an entry that leads to a table of level 1, of the guest's or below: no one is
 * told. */
static void meddle(struct rig *rig, const struct tables *t, uint64_t seed)
{
    struct rng rng = {.state = seed};
    unsigned level;
    gva_t gva = some_page(&rng, &level);
    hpa_t at = tables_at(&rig->mem, t, gva, 2);
    if (rig->mmu->stages > 1 && rng_below(&rng, 2)) {
        const struct stage *host = &rig->mmu->stage[1];
        struct tables below = {.paging = (enum paging)host->format.levels, .root = host->root};
        at = tables_at(&rig->mem, &below, rng_below(&rng, 2) ? t->root : FRAMES + (gva - BASE) * 2,
                       2);
    }
    uint64_t entry = at ? mem_load(&rig->mem, at, 8) : 0;
    if (entry && !(entry & PTE_PS))
        mem_store(&rig->mem, at, entry ^ (uint64_t)1 << (1 + rng_below(&rng, 2)), 8);
}

/*
 * A copy that goes quickly where it can, one that does so in batches, and @p slowly, which never
 * does; how many went quickly.
 */
static unsigned check_copies(struct rig *slowly, struct tables *t, struct rng *rng)
{
    enum { PART = 60 };
    static struct access a[MANY];
    struct rig *quickly = rig_copy(slowly), *batches = rig_copy(slowly);
    unsigned quick = 0;
    cr_assert(quick_may(quickly->mmu));
    make_accesses(a, MANY, rng);
    for (size_t i = 0; i < MANY; i += PART) {
        run_singly(slowly, t, a + i, PART);
        quick += run_quickly(quickly, t, a + i, PART);
        run_in_batches(batches, t, a + i, PART, rng);
        meddle(slowly, t, i), meddle(quickly, t, i), meddle(batches, t, i);
    }
    expect_same(slowly, quickly, "quickly");
    expect_same(slowly, batches, "in batches");
    rig_free(slowly);
    rig_free(quickly);
    rig_free(batches);
    return quick;
}

static unsigned check_quickness(uint64_t seed)
{
    struct rng rng = {.state = seed};
    struct profile p = quick_profile(&rng);
    struct rig *rig = rig_new(&p, 1);
    enum paging paging = rng_below(&rng, 2) ? PAGING_4_LEVEL : PAGING_5_LEVEL;
    struct tables t = tables_new(paging, 0x100000, 0);
    map_randomly(rig, &t, &rng);
    struct registers r = random_registers(&t, &rng);
    rig_set(rig, &r);
    return check_copies(rig, &t, &rng);
}

/* Backs the base page at a gpa with where it is; mostly with all rights, accessed and dirty. */
static void back_randomly(struct mem *mem, struct second *second, gpa_t gpa, struct rng *rng)
{
    bool ept = second_stage_is_ept(second->controls.kind);
    uint64_t used = ept ? EPT_A | EPT_D : PTE_A | PTE_D;
    second_map(mem, second, gpa, PAGE_4K, gpa + MOVED);
    uint64_t entry = entry_load(mem, &second->tables, gpa, 1);
    entry &= ~(rng_below(rng, 8) ? 0 : (uint64_t)1 << rng_below(rng, 3));
    entry |= ept && rng_below(rng, 2) ? EPT_XU : 0;
    entry |= rng_below(rng, 6) ? used : 0;
    entry_store(mem, &second->tables, gpa, 1, entry);
}

/* The guest's tables and base pages in base pages, a part of its large pages likewise. */
static void back_all(struct rig *rig, const struct tables *t, struct second *second,
                     struct rng *rng)
{
    for (gpa_t gpa = t->root; gpa < t->next; gpa += KIB4)
        back_randomly(&rig->mem, second, gpa, rng);
    for (unsigned i = 0; i < WINDOW; i++)
        back_randomly(&rig->mem, second, FRAMES + ((i % 3) * MIB2 + i * KIB4) * 2, rng);
    for (unsigned i = 0; i < 6 * 64; i++)
        back_randomly(&rig->mem, second, FRAMES + (8 + i / 64) * 2 * MIB2 + i % 64 * KIB4, rng);
    for (unsigned i = 4; i < 6; i++)
        second_map(&rig->mem, second, FRAMES + (8 + i) * 2 * MIB2, PAGE_2M,
                   FRAMES + (8 + i) * 2 * MIB2 + MOVED);
}

static unsigned check_nested_quickness(enum second_stage kind, uint64_t seed)
{
    struct rng rng = {.state = seed};
    struct profile p = quick_profile(&rng);
    for (unsigned level = 2; level <= 3; level++)
        p.structure[level].entries = (uint32_t)rng_below(&rng, 3) + level - 2;
    p.nested_tlb = (struct shape){(uint32_t)rng_below(&rng, 4), 0, REPLACE_LRU};
    struct rig *rig = rig_new(&p, 2);
    enum paging paging = rng_below(&rng, 2) ? PAGING_4_LEVEL : PAGING_5_LEVEL;
    struct tables t = tables_new(paging, GUEST_TABLES, MOVED);
    struct second second = second_new(kind, HOST_TABLES, 0, rng_below(&rng, 2));
    second.controls.mode_based_execute = second_stage_is_ept(kind) && !rng_below(&rng, 3);
    second.controls.execute_only = true;
    map_randomly(rig, &t, &rng);
    back_all(rig, &t, &second, &rng);
    struct stage stage = second_as_stage(&second);
    mmu_set_second_stages(rig->mmu, &stage, 1, 1);
    struct registers r = random_registers(&t, &rng);
    rig_set(rig, &r);
    return check_copies(rig, &t, &rng);
}

/* An access that is done quickly changes what it would have, one that is not changes nothing. */
Test(mmu, quick_accesses_agree_with_all_others)
{
    unsigned quick = 0;
    for (uint64_t seed = 1; seed <= 20; seed++)
        quick += check_quickness(seed * 131);
    cr_expect_gt(quick, 20 * MANY / 10, "%u", quick);
}

/* The same over a second stage of each kind. */
Test(mmu, quick_nested_accesses_agree_with_all_others)
{
    for (enum second_stage kind = SECOND_EPT4; kind <= SECOND_NPT5; kind++) {
        unsigned quick = 0;
        for (uint64_t seed = 1; seed <= 12; seed++)
            quick += check_nested_quickness(kind, seed * 137 + kind);
        cr_expect_gt(quick, 12 * MANY / 20, "%u: %u", kind, quick);
        printf("mmu: %u of %u accesses over second stage %u were quick\n", quick, 12 * MANY, kind);
    }
}

/* A fetch that finds an entry which denies it drops the page from every TLB, also amid a batch. */
Test(mmu, a_batch_notices_that_a_fetch_dropped_the_datas_entry)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PWU | PTE_NX);
    rig_read(rig, BASE);
    entry_store(&rig->mem, &t, BASE, 1, FRAMES | PWU | PTE_A); /* needs no invalidation */
    tally_reset(&rig->mmu->tally);
    struct access a[4] = {{.gva = BASE, .size = 8},
                          {.gva = BASE, .size = 8, .op = OP_EXEC},
                          {.gva = BASE, .size = 8},
                          {.gva = BASE, .size = 8}};
    enum stop stop;
    cr_assert_eq(mmu_run(rig->mmu, &rig->bus, a, 4, 0, &rig->walk, &stop), 4);
    cr_expect_eq(misses(rig, TLB_L1I), 1);
    cr_expect_eq(misses(rig, TLB_L1D), 1, "the read after the fetch");
    cr_expect_eq(hits(rig, TLB_L1D), 2);
    cr_expect_eq(hits(rig, TLB_L2), 2, "one that denied, one that served");
    cr_expect_eq(rig_total(rig, EVENT_WALK), 1);
    rig_free(rig);
}

/* Runs of more accesses than a counter of sixteen bits holds, in one page. */
Test(mmu, a_long_run_in_one_page_counts_every_access)
{
    enum { LONG = 200001 };
    struct profile p = rig_cached_profile();
    struct access *a = calloc(LONG, sizeof *a);
    for (unsigned i = 0; i < LONG; i++)
        a[i] = (struct access){.gva = BASE + i * 8 % KIB4, .size = 8, .op = i % 5 == 4};
    struct rig *rig = rig_mapped(&p, PAGE_4K, 1);
    enum stop stop;
    cr_assert_eq(mmu_run(rig->mmu, &rig->bus, a, LONG, 0, &rig->walk, &stop), LONG);
    cr_expect_eq(RIG_COUNT(rig, ACCESS, 0, 0, OP_READ), LONG - LONG / 5);
    cr_expect_eq(RIG_COUNT(rig, ACCESS, 0, 0, OP_WRITE), LONG / 5);
    cr_expect_eq(hits(rig, TLB_L1D), LONG - 1);
    cr_expect_eq(rig_total(rig, EVENT_WALK), 2, "the first read, the first write");
    check_clock(rig);
    rig_free(rig);
    free(a);
}

/* ---- caches change no outcome ---- */

/* The same accesses on a machine with caches and one without: what they find, or why not. */
static void check_outcomes(uint64_t seed)
{
    static struct access a[MANY];
    struct rng rng = {.state = seed};
    struct profile p = small_profile((enum replacement)rng_below(&rng, REPLACEMENTS), &rng);
    struct profile bare = rig_profile();
    struct rig *rig = rig_new(&p, 1), *plain = rig_new(&bare, 1);
    struct tables t = tables_new(PAGING_4_LEVEL, 0x100000, 0), same = t;
    struct rng again = rng;
    map_randomly(rig, &t, &rng);
    map_randomly(plain, &same, &again);
    struct registers r = rig_registers(PAGING_4_LEVEL, t.root);
    r.cr4 |= (rng_below(&rng, 2) ? CR4_SMAP : 0) | (rng_below(&rng, 2) ? CR4_PKE : 0);
    r.pkru = (uint32_t)rng_below(&rng, 256) & ~3u;
    rig_set(rig, &r);
    rig_set(plain, &r);
    make_accesses(a, MANY, &rng);
    for (unsigned i = 0; i < MANY; i++) {
        if (a[i].op > OP_MODIFY)
            continue;
        bool granted = mmu_translate(rig->mmu, &rig->bus, &a[i], false, &rig->walk);
        cr_assert_eq(granted, mmu_translate(plain->mmu, &plain->bus, &a[i], false, &plain->walk));
        if (granted)
            cr_assert_eq(rig->walk.found.hpa, plain->walk.found.hpa);
        else
            cr_assert_eq(mmu_error_code(rig->mmu, &rig->walk.refusal),
                         mmu_error_code(plain->mmu, &plain->walk.refusal));
        if (!granted)
            cr_assert_eq(rig->walk.refusal.kind, plain->walk.refusal.kind);
    }
    cr_expect_eq(mem_sum(&rig->mem), mem_sum(&plain->mem), "A and D");
    rig_free(rig);
    rig_free(plain);
}

/* While nobody edits the tables, caching is invisible: "caches may be used, or not". 4.10. */
Test(mmu, caches_change_no_outcome)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        check_outcomes(seed);
}

/* A peek tells what an access would find, and leaves no trace. */
Test(mmu, peeking_changes_nothing)
{
    struct profile p = rig_cached_profile();
    data_caches(&p, 8, 8, 8);
    struct rig *rig = rig_mapped(&p, PAGE_4K, 8);
    scan(rig, PAGE_4K, 4, 1);
    struct rig *copy = rig_copy(rig);
    for (uint64_t page = 0; page < 9; page++)
        for (unsigned kind = KIND_READ; kind <= KIND_EXEC; kind++) {
            bool found = mmu_peek(rig->mmu, &rig->bus, BASE + page * KIB4, kind, &rig->walk);
            cr_expect_eq(found, page < 8);
            if (found)
                cr_expect_eq(rig->walk.found.hpa, FRAMES + page * KIB4);
            cr_expect_eq(rig->walk.refs, 4);
        }
    cr_expect_not(mmu_peek(rig->mmu, &rig->bus, (gva_t)1 << 60, KIND_READ, &rig->walk));
    cr_expect_eq(rig->walk.refusal.kind, REFUSED_CANONICAL);
    expect_same(rig, copy, "after peeks");
    rig_free(rig);
    rig_free(copy);
}

/* Paging off: every address is its own, no TLB is asked. 4.1.1. */
Test(mmu, with_paging_off_addresses_are_physical)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_new(&p, 1);
    struct registers r = {.cr0 = CR0_PE};
    rig_set(rig, &r);
    cr_expect_eq(rig_write(rig, 0xfedc1234), 0xfedc1234);
    cr_expect(rig_access(rig, OP_EXEC, ACCESS_USER, 0x1000));
    cr_expect_eq(rig->mmu->tally.cycles, 0);
    cr_expect_eq(rig_total(rig, EVENT_TLB_MISS), 0);
    rig_free(rig);
}

/* ---- a textbook machine ---- */

/*
 * 14-bit virtual and 12-bit physical addresses, pages of 64 bytes, a TLB of 4 sets of 4 ways: the
 * system of Bryant and O'Hallaron, 9.6.4, with its page table (figure 9.20).
 */
static struct rig *rig_textbook(void)
{
    static const uint8_t frames[][2] = {{0x0, 0x28}, {0x2, 0x33}, {0x3, 0x02}, {0x5, 0x16},
                                        {0x8, 0x13}, {0x9, 0x17}, {0xa, 0x09}, {0xd, 0x2d},
                                        {0xe, 0x11}, {0xf, 0x0d}};
    static const struct geometry g = {
        .levels = 1, .index_bits = {8}, .page = 64, .entry_bytes = 1, .valid = 7, .frame_bits = 6};
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1D, 16);
    p.tlb[TLB_L1D].array[0].ways = 4;
    struct rig *rig = rig_new(&p, 1);
    for (unsigned i = 0; i < sizeof frames / sizeof *frames; i++)
        mem_store(&rig->mem, 0x1000 + frames[i][0], 0x80 | frames[i][1], 1);
    mmu_set_textbook(rig->mmu, &g, 0x1000);
    return rig;
}

/* The book's worked example and its practice problems 9.4, 9.11 to 9.13. */
Test(mmu, a_textbook_machine_translates_as_the_book_does)
{
    struct rig *rig = rig_textbook();
    cr_expect_eq(rig_read(rig, 0x03d4), 0x354);
    cr_expect_eq(rig_read(rig, 0x03d7), 0x357);
    cr_expect_eq(rig_read(rig, 0x027c), 0x5fc);
    cr_expect_eq(rig_read(rig, 0x03a9), 0x469);
    cr_expect_eq(rig_read(rig, 0x0040), ~(hpa_t)0, "page 1 is not in memory");
    cr_expect_eq(rig->walk.refusal.kind, REFUSED_NOT_PRESENT);
    cr_expect_eq(hits(rig, TLB_L1D), 1, "0x3d7 is in the page of 0x3d4");
    cr_expect_eq(misses(rig, TLB_L1D), 4);
    cr_expect_eq(rig_read(rig, 0x4000), ~(hpa_t)0, "15 bits");
    rig_free(rig);
}

/* Bits 1:0 of the page number pick the set: four pages of one set fit, a fifth pushes one out. */
Test(mmu, a_textbook_tlb_has_its_sets)
{
    struct rig *rig = rig_textbook();
    for (unsigned page = 0; page < 256; page++)
        mem_store(&rig->mem, 0x1000 + page, 0x80 | (page & 63), 1);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned page = 0; page < 16; page += 4)
            cr_assert_eq(rig_write(rig, page * 64 + 5), page * 64 + 5);
    cr_expect_eq(hits(rig, TLB_L1D), 4);
    rig_read(rig, 1 * 64); /* another set */
    rig_read(rig, 16 * 64);
    tally_reset(&rig->mmu->tally);
    rig_read(rig, 4 * 64);
    cr_expect_eq(hits(rig, TLB_L1D), 1);
    rig_read(rig, 0);
    cr_expect_eq(misses(rig, TLB_L1D), 1, "page 0 was the least recently used");
    rig_free(rig);
}
