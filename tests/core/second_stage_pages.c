/*
 * What TLBs keep of pages that two dimensions map, and the log of pages that EPT sees written.
 * Intel SDM vol. 3 (edition of 2016): 4.10.4.1, 28.2.3.2, 28.2.4, 28.2.5, 28.3.1; AMD APM vol. 2,
 * 15.25.5.
 */
#include "core/second_stage.h"

#include "tests/core/rig.h"

#include <criterion/criterion.h>

#define BIT(n) ((uint64_t)1 << (n))

/* A guest whose address x is at x + BASE; the guest's tables are below 1 MiB, its data above. */
enum { BASE = 0x40000000, LOG_AT = 0x300000, PAGE = 4096, TWO_MIB = 0x200000 };

static const gpa_t DATA = 0x40000000;
static const gva_t VA = 0x123440000000;

/* What entries of a second stage allow; A and D clear. */
enum { R = 1, W = 2, X = 4, RWX = 7, WRITE_BACK = 6 << 3, NPT_ALL = 7 };

struct nest {
    struct rig *rig;
    struct second_stage_controls controls;
    struct tables guest;
    hpa_t root, next; /* of the second stage, and where its next table goes */
};

/* Where the entry of a level for a gpa stands; makes the tables above, which allow all. */
static hpa_t second_at(struct nest *n, gpa_t gpa, unsigned level)
{
    hpa_t table = n->root;
    for (unsigned l = 4;; l--) {
        hpa_t at = table + (gpa >> (3 + 9 * l) & 511) * 8;
        if (l == level)
            return at;
        if (!mem_load(&n->rig->mem, at, 8)) {
            mem_store(&n->rig->mem, at, n->next | RWX | BIT(10), 8);
            n->next += PAGE;
        }
        table = mem_load(&n->rig->mem, at, 8) & ~BIT(10) & ~(uint64_t)4095;
    }
}

static void second_map(struct nest *n, gpa_t gpa, unsigned level, uint64_t bits)
{
    bool ept = n->controls.kind == SECOND_EPT4;
    bits |= (level > 1 ? BIT(7) : 0) | (ept ? WRITE_BACK : 0);
    mem_store(&n->rig->mem, second_at(n, gpa, level), (gpa + BASE) | bits, 8);
}

static uint64_t second_entry(struct nest *n, gpa_t gpa)
{
    return mem_load(&n->rig->mem, second_at(n, gpa, 1), 8);
}

/* Its tables are mapped by 4 KiB pages that allow all; `bits`: what their leaves have beside. */
static struct nest *nest_new(const struct profile *p, enum second_stage kind, bool ad,
                             uint64_t bits)
{
    struct nest *n = calloc(1, sizeof *n);
    n->rig = rig_new(p, 2);
    n->root = 0x100000, n->next = 0x101000;
    n->controls = (struct second_stage_controls){.kind = kind, .execute_only = true};
    n->controls.pointer = kind == SECOND_EPT4 ? n->root | 6 | 3 << 3 | (ad ? BIT(6) : 0) : n->root;
    n->guest = tables_new(PAGING_4_LEVEL, 0x10000, BASE);
    for (gpa_t gpa = 0x10000; gpa < 0x20000; gpa += PAGE)
        second_map(n, gpa, 1, RWX | bits);
    return n;
}

static void nest_start(struct nest *n)
{
    struct stage stage = second_stage(&n->controls, &n->rig->mmu->profile);
    mmu_set_second_stages(n->rig->mmu, &stage, 1, 1);
    struct registers r = rig_registers(PAGING_4_LEVEL, n->guest.root);
    rig_set(n->rig, &r);
}

static void nest_free(struct nest *n)
{
    rig_free(n->rig);
    free(n);
}

static bool granted(struct nest *n, enum op op, gva_t gva)
{
    return rig_access(n->rig, op, ACCESS_USER, gva);
}

/* Whether the access ends in an exit that is told by these bits. */
static bool exits(struct nest *n, enum op op, gva_t gva, uint64_t information)
{
    const struct refusal *r = &n->rig->walk.refusal;
    return !granted(n, op, gva) && r->depth == 1 && r->kind != REFUSED_LOG_FULL &&
           !second_stage_is_misconfiguration(&n->controls, r) &&
           second_stage_qualification(&n->controls, r) == information;
}

/* A TLB answers: nothing is read. */
static bool hits(struct nest *n, enum op op, gva_t gva)
{
    return granted(n, op, gva) && n->rig->walk.refs == 0;
}

static bool misses(struct nest *n, enum op op, gva_t gva)
{
    return granted(n, op, gva) && n->rig->walk.refs > 0;
}

/* ---- the page-modification log ---- */

/* 4 KiB pages at VA for DATA, over EPT with A and D flags; `bits`: beside RWX in all EPT leaves. */
static struct nest *logged(uint64_t pages, const struct profile *p, uint64_t bits)
{
    struct nest *n = nest_new(p, SECOND_EPT4, true, bits);
    for (uint64_t i = 0; i < pages; i++) {
        second_map(n, DATA + i * PAGE, 1, RWX);
        tables_map(&n->rig->mem, &n->guest, VA + i * PAGE, 1, (DATA + i * PAGE) | PWU);
    }
    nest_start(n);
    n->rig->mmu->log = (struct page_log){.at = LOG_AT, .index = 511};
    return n;
}

static uint64_t log_entry(const struct nest *n, unsigned index)
{
    return mem_load(&n->rig->mem, LOG_AT + index * 8u, 8);
}

static bool log_full(struct nest *n, enum op op, gva_t gva)
{
    uint64_t before = mem_sum(&n->rig->mem);
    struct page_log log = n->rig->mmu->log;
    bool full = !granted(n, op, gva) && n->rig->walk.refusal.kind == REFUSED_LOG_FULL;
    cr_expect_eq(mem_sum(&n->rig->mem), before, "a refused access changed memory");
    cr_expect_eq(n->rig->mmu->log.index, log.index);
    return full;
}

/*
 * 28.2.5: "The guest-physical address is written to the physical address determined by adding 8
 * times the PML index to the PML address. Bits 11:0 of the value written are always 0. The PML
 * index is decremented by 1 (this may cause the value to transition from 0 to FFFFH)." Then "there
 * is a page-modification log-full event".
 */
static void check_512(const struct profile *p)
{
    struct nest *n = logged(513, p, BIT(8) | BIT(9)); /* the tables' pages are dirty already */
    for (unsigned i = 0; i < 512; i++) {
        cr_assert(granted(n, OP_WRITE, VA + i * PAGE + 0x123), "page %u", i);
        cr_assert_eq(n->rig->mmu->log.index, (uint16_t)(510 - i));
        cr_assert_eq(log_entry(n, 511 - i), DATA + i * PAGE);
    }
    cr_assert_eq(n->rig->mmu->log.index, 0xffff);
    cr_assert(log_full(n, OP_WRITE, VA + 512 * PAGE));
    cr_assert(log_full(n, OP_WRITE, VA + 512 * PAGE), "until somebody empties it");
    cr_assert(granted(n, OP_WRITE, VA + 7 * PAGE), "what is dirty needs no log");
    n->rig->mmu->log.index = 511;
    cr_assert(granted(n, OP_WRITE, VA + 512 * PAGE));
    cr_assert_eq(log_entry(n, 511), DATA + 512 * PAGE);
    cr_assert_eq(log_entry(n, 510), DATA + PAGE, "the rest is as it was");
    cr_assert_eq(n->rig->mmu->log.index, 510);
    nest_free(n);
}

Test(second_stage_log, takes_512_dirty_pages_and_refuses_the_next)
{
    struct profile cold = rig_profile(), cached = rig_cached_profile();
    check_512(&cold);
    check_512(&cached);
}

/* "If the processor updated a dirty flag for EPT (changing it from 0 to 1)": else nothing. */
Test(second_stage_log, takes_no_page_that_is_read_or_is_dirty_already)
{
    struct profile p = rig_cached_profile();
    struct nest *n = logged(2, &p, BIT(8) | BIT(9));
    cr_assert(granted(n, OP_READ, VA));
    cr_assert(granted(n, OP_EXEC, VA));
    cr_assert_eq(n->rig->mmu->log.index, 511);
    cr_assert(granted(n, OP_WRITE, VA), "after a read, through the TLB");
    cr_assert_eq(n->rig->mmu->log.index, 510);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(granted(n, OP_WRITE, VA + i));
        mmu_cool(n->rig->mmu, &n->rig->bus);
        cr_assert(granted(n, OP_WRITE, VA + i));
    }
    cr_assert_eq(n->rig->mmu->log.index, 510);
    second_map(n, DATA + PAGE, 1, RWX | BIT(9));
    cr_assert(granted(n, OP_WRITE, VA + PAGE));
    cr_assert_eq(n->rig->mmu->log.index, 510);
    cr_assert_eq(log_entry(n, 510), 0);
    nest_free(n);
}

/* 28.2.4: "processor accesses to guest paging-structure entries are treated as writes". */
Test(second_stage_log, takes_the_pages_of_the_guests_tables_from_the_top_down)
{
    struct profile p = rig_profile();
    struct nest *n = logged(2, &p, 0);
    cr_assert(granted(n, OP_READ, VA));
    for (unsigned level = 4; level >= 1; level--) {
        gpa_t at = tables_at(&n->rig->mem, &n->guest, VA, level) - BASE;
        cr_assert_eq(log_entry(n, 507 + level), at & ~(gpa_t)4095, "level %u", level);
    }
    cr_assert_eq(n->rig->mmu->log.index, 507);
    cr_assert(granted(n, OP_READ, VA + PAGE), "the same tables");
    cr_assert_eq(n->rig->mmu->log.index, 507);
    cr_assert(granted(n, OP_WRITE, VA + PAGE));
    cr_assert_eq(log_entry(n, 507), DATA + PAGE);
    nest_free(n);
}

/* "The guest-physical address of the access", not of the page that EPT maps. */
Test(second_stage_log, has_the_address_of_the_access_in_a_large_page)
{
    struct profile p = rig_profile();
    struct nest *n = nest_new(&p, SECOND_EPT4, true, BIT(8) | BIT(9));
    second_map(n, DATA, 2, RWX);
    tables_map(&n->rig->mem, &n->guest, VA, 2, DATA | PWU);
    nest_start(n);
    n->rig->mmu->log = (struct page_log){.at = LOG_AT, .index = 300};
    cr_assert(granted(n, OP_WRITE, VA + 0x123456));
    cr_assert_eq(log_entry(n, 300), DATA + 0x123000);
    cr_assert(granted(n, OP_WRITE, VA + 0x1000), "D of the large page is set");
    cr_assert_eq(n->rig->mmu->log.index, 299);
    nest_free(n);
}

/*
 * A walk that sets more D flags than the log has room for sets none (a choice of the model: a
 * refused walk changes nothing), and all of them when there is room.
 */
Test(second_stage_log, takes_all_pages_of_an_access_or_none)
{
    struct profile p = rig_profile();
    struct nest *n = logged(1, &p, 0);
    for (unsigned index = 0; index < 4; index++) { /* four tables and the page: five */
        n->rig->mmu->log.index = (uint16_t)index;
        cr_assert(log_full(n, OP_WRITE, VA), "room for %u", index + 1);
    }
    n->rig->mmu->log.index = 4;
    cr_assert(granted(n, OP_WRITE, VA));
    cr_assert_eq(n->rig->mmu->log.index, 0xffff);
    cr_assert_eq(log_entry(n, 0), DATA);
    nest_free(n);
}

/*
 * "Before allowing a guest-physical access, the processor may determine that it first needs to set
 * an accessed or dirty flag for EPT. When this happens, the processor examines the PML index. If
 * the PML index is not in the range 0-511, there is a page-modification log-full event."
 */
Test(second_stage_log, is_full_for_an_accessed_flag_too)
{
    struct profile p = rig_profile();
    struct nest *n = logged(1, &p, BIT(8) | BIT(9));
    cr_assert(granted(n, OP_READ, VA));
    second_map(n, DATA, 1, RWX | BIT(9));
    n->rig->mmu->log.index = 0xffff;
    cr_assert(log_full(n, OP_READ, VA));
    n->rig->mmu->log.index = 0;
    cr_assert(granted(n, OP_READ, VA));
    cr_assert_eq(n->rig->mmu->log.index, 0, "A is not logged");
    nest_free(n);
}

/* ---- TLBs ---- */

/* One page of the guest's of a level, over 4 KiB pages of the second stage. */
static struct nest *cached(enum second_stage kind, bool ad, unsigned level, uint64_t bits)
{
    struct profile p = rig_cached_profile();
    struct nest *n = nest_new(&p, kind, ad, 0);
    for (unsigned i = 0; i < (level == 2 ? 512 : 2); i++)
        second_map(n, DATA + i * (gpa_t)PAGE, 1, bits);
    tables_map(&n->rig->mem, &n->guest, VA, level, DATA | PWU);
    nest_start(n);
    return n;
}

static const enum second_stage BOTH_KINDS[] = {SECOND_EPT4, SECOND_NPT4};

/*
 * A TLB entry spans the smaller of the two pages (28.3.1), and INVLPG drops the entries of all
 * fragments: "if the paging structures map the linear address using a page larger than 4 KBytes and
 * there are multiple TLB entries for that page, the instruction invalidates all of them".
 */
Test(second_stage_tlb, keeps_a_large_page_over_small_ones_in_fragments)
{
    for (unsigned k = 0; k < 2; k++) {
        struct nest *n = cached(BOTH_KINDS[k], true, PAGE_2M, RWX);
        second_map(n, DATA + 5 * PAGE, 1, 0); /* a hole */
        for (unsigned i = 0; i < 4; i++) {
            cr_assert(misses(n, OP_READ, VA + i * PAGE), "page %u has an entry of its own", i);
            cr_assert_eq(n->rig->walk.found.shift, 12);
        }
        for (unsigned i = 0; i < 4; i++) {
            cr_assert(hits(n, OP_READ, VA + i * PAGE + 4095));
            cr_assert_eq(n->rig->walk.found.hpa, DATA + BASE + i * PAGE + 4095);
        }
        cr_assert(!granted(n, OP_READ, VA + 5 * PAGE), "no entry reaches over the hole");
        mmu_invlpg(n->rig->mmu, VA + 300 * PAGE);
        for (unsigned i = 0; i < 4; i++)
            cr_assert(misses(n, OP_READ, VA + i * PAGE), "INVLPG left fragment %u", i);
        nest_free(n);
    }
}

/* After INVLPG no fragment leads to where the page was. */
Test(second_stage_tlb, knows_no_fragment_of_a_page_that_moved)
{
    struct nest *n = cached(SECOND_EPT4, false, PAGE_2M, RWX);
    for (unsigned i = 0; i < 8; i++)
        cr_assert(misses(n, i % 2 ? OP_READ : OP_EXEC, VA + i * PAGE));
    second_map(n, DATA + TWO_MIB, 2, RWX);
    entry_store(&n->rig->mem, &n->guest, VA, 2, (DATA + TWO_MIB) | PWU | PTE_PS);
    mmu_invlpg(n->rig->mmu, VA);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert(granted(n, i % 2 ? OP_READ : OP_EXEC, VA + i * PAGE));
        cr_assert_eq(n->rig->walk.found.hpa, DATA + TWO_MIB + BASE + i * PAGE);
    }
    nest_free(n);
}

/* A small page over a large one of the second stage is as small as itself. */
Test(second_stage_tlb, keeps_a_small_page_over_a_large_one_as_it_is)
{
    struct profile p = rig_cached_profile();
    struct nest *n = nest_new(&p, SECOND_EPT4, false, 0);
    second_map(n, DATA, 2, RWX);
    tables_map(&n->rig->mem, &n->guest, VA, 1, (DATA + 9 * PAGE) | PWU);
    tables_map(&n->rig->mem, &n->guest, VA + PAGE, 1, (DATA + 3 * PAGE) | PWU);
    nest_start(n);
    cr_assert(misses(n, OP_READ, VA));
    cr_assert(misses(n, OP_READ, VA + PAGE));
    cr_assert_eq(n->rig->walk.found.hpa, DATA + BASE + 3 * PAGE);
    cr_assert(hits(n, OP_READ, VA + 5));
    cr_assert_eq(n->rig->walk.found.hpa, DATA + BASE + 9 * PAGE + 5);
    nest_free(n);
}

/* "The access is a data write and bit 1 was clear": R and X alone, bits 3 and 5. */
Test(second_stage_tlb, lets_no_write_through_to_a_page_that_ept_has_read_only)
{
    for (unsigned ad = 0; ad < 2; ad++) {
        struct nest *n = cached(SECOND_EPT4, ad, PAGE_4K, R | X);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert(granted(n, OP_READ, VA));
            cr_assert(hits(n, OP_READ, VA));
            cr_assert(exits(n, OP_WRITE, VA, BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(8)));
        }
        second_map(n, DATA, 1, RWX);
        cr_assert(granted(n, OP_WRITE, VA), "a violation leaves nothing in the way of a retry");
        cr_assert(hits(n, OP_WRITE, VA));
        nest_free(n);
    }
}

/* "The access is an instruction fetch and bit 2 was clear": R and W, bits 3 and 4. */
Test(second_stage_tlb, lets_no_fetch_through_to_a_page_that_ept_has_not_executable)
{
    for (unsigned ad = 0; ad < 2; ad++) {
        struct nest *n = cached(SECOND_EPT4, ad, PAGE_4K, R | W);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert(granted(n, i ? OP_READ : OP_WRITE, VA));
            cr_assert(exits(n, OP_EXEC, VA, BIT(2) | BIT(3) | BIT(4) | BIT(7) | BIT(8)));
        }
        nest_free(n);
    }
}

/* Mode-based: bit 2 is for supervisor addresses, bit 10 for user ones; this page is a user's. */
Test(second_stage_tlb, tells_who_may_fetch_from_a_page_apart)
{
    struct nest *n = cached(SECOND_EPT4, true, PAGE_4K, RWX);
    n->controls.mode_based_execute = true;
    nest_start(n);
    cr_assert(granted(n, OP_READ, VA));
    cr_assert(exits(n, OP_EXEC, VA, BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(7) | BIT(8)));
    second_map(n, DATA, 1, R | W | BIT(10));
    cr_assert(granted(n, OP_EXEC, VA));
    cr_assert(hits(n, OP_EXEC, VA));
    cr_assert(rig_access(n->rig, OP_EXEC, 0, VA), "by a supervisor, from a user-mode address");
    nest_free(n);
}

/* Execute-only: "the access is a data read and bit 0 was clear"; X alone, bit 5. */
Test(second_stage_tlb, never_lets_an_execute_only_page_be_read)
{
    for (unsigned ad = 0; ad < 2; ad++) {
        struct nest *n = cached(SECOND_EPT4, ad, PAGE_4K, X);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert(exits(n, OP_READ, VA, BIT(0) | BIT(5) | BIT(7) | BIT(8)));
            cr_assert(granted(n, OP_EXEC, VA));
            cr_assert(hits(n, OP_EXEC, VA));
            cr_assert(exits(n, OP_READ, VA, BIT(0) | BIT(5) | BIT(7) | BIT(8)));
            cr_assert(exits(n, OP_WRITE, VA, BIT(1) | BIT(5) | BIT(7) | BIT(8)));
        }
        nest_free(n);
    }
}

/* 28.2.4: "Whenever there is a write to a guest-physical address, the processor sets the dirty
 * flag in the EPT entry that identifies the final physical address." EPT: bit 9; NPT: bit 6. */
static void check_first_write(enum second_stage kind, bool guest_dirty)
{
    struct nest *n = cached(kind, true, PAGE_4K, RWX);
    uint64_t flag = kind == SECOND_EPT4 ? BIT(9) : BIT(6);
    if (guest_dirty)
        entry_store(&n->rig->mem, &n->guest, VA, 1, DATA | PWU | PTE_A | PTE_D);
    cr_assert(granted(n, OP_READ, VA));
    cr_assert(hits(n, OP_READ, VA));
    cr_assert_not(second_entry(n, DATA) & flag);
    cr_assert(granted(n, OP_WRITE, VA));
    cr_assert(second_entry(n, DATA) & flag, "the first write set no D in the second stage");
    cr_assert(entry_load(&n->rig->mem, &n->guest, VA, 1) & PTE_D);
    cr_assert(hits(n, OP_WRITE, VA));
    cr_assert(hits(n, OP_READ, VA));
    nest_free(n);
}

Test(second_stage_tlb, has_the_first_write_set_d_below_whatever_a_read_left)
{
    for (unsigned k = 0; k < 2; k++) {
        check_first_write(BOTH_KINDS[k], false);
        check_first_write(BOTH_KINDS[k], true);
    }
}

/* With A and D flags off, EPT's entries stay as they are; the second write needs no walk. */
Test(second_stage_tlb, sets_nothing_in_ept_without_accessed_and_dirty_flags)
{
    struct nest *n = cached(SECOND_EPT4, false, PAGE_4K, RWX);
    uint64_t before = second_entry(n, DATA);
    cr_assert(granted(n, OP_READ, VA));
    cr_assert(granted(n, OP_WRITE, VA));
    cr_assert(hits(n, OP_WRITE, VA));
    cr_assert_eq(second_entry(n, DATA), before);
    cr_assert_eq(entry_load(&n->rig->mem, &n->guest, VA, 1), DATA | PWU | PTE_A | PTE_D);
    nest_free(n);
}

/* 15.25.5: rights of both dimensions hold for each access, through a TLB too. */
Test(second_stage_tlb, lets_nothing_through_that_npt_denies)
{
    struct nest *n = cached(SECOND_NPT4, false, PAGE_4K, 1 | 4 | BIT(63)); /* P, U; NX */
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(granted(n, OP_READ, VA));
        cr_assert(exits(n, OP_WRITE, VA, BIT(32) | 1 | 2 | 4));
        cr_assert(exits(n, OP_EXEC, VA, BIT(32) | 1 | 4 | 16));
    }
    second_map(n, DATA + PAGE, 1, 1 | 2); /* not for users */
    tables_map(&n->rig->mem, &n->guest, VA + PAGE, 1, (DATA + PAGE) | PWU);
    cr_assert(exits(n, OP_READ, VA + PAGE, BIT(32) | 1 | 4));
    nest_free(n);
}
