/*
 * Which values the control registers take: the #GP rules of MOV to CR0, CR3, CR4 and of WRMSR of
 * EFER. SDM vol. 3: 2.5 (control registers), 4.1 (paging modes), 4.10.1 (PCIDs), 9.8.5 and 4.4.1;
 * vol. 2, MOV to control registers. A refused move changes nothing.
 */
#include "core/control.h"

#include "tests/core/rig.h"

#include <criterion/criterion.h>
#include <string.h>

enum { ROOT = 0x100000 };

static struct rig *rig_in(enum paging paging, const struct profile *p)
{
    struct rig *rig = rig_new(p, 1);
    struct tables t = tables_new(paging, ROOT, 0);
    tables_map(&rig->mem, &t, 0x400000, PAGE_4K, 0x5000 | PWU);
    struct registers r = rig_registers(paging, ROOT);
    rig_set(rig, &r);
    return rig;
}

static struct rig *rig_mode(enum paging paging)
{
    struct profile p = rig_cached_profile();
    return rig_in(paging, &p);
}

/* A vCPU without paging, LME or PAE. */
static struct rig *rig_off(void)
{
    struct profile p = rig_cached_profile();
    struct rig *rig = rig_new(&p, 1);
    struct registers r = {.cr0 = CR0_PE, .cr3 = ROOT};
    rig_set(rig, &r);
    return rig;
}

enum which { CR0, CR3, CR4, EFER };

static const char *move(struct rig *rig, enum which which, uint64_t value)
{
    struct mmu *m = rig->mmu;
    return which == CR0   ? mmu_mov_cr0(m, &rig->bus, value)
           : which == CR3 ? mmu_mov_cr3(m, &rig->bus, value)
           : which == CR4 ? mmu_mov_cr4(m, &rig->bus, value)
                          : mmu_wrmsr_efer(m, &rig->bus, value);
}

static uint64_t now(const struct rig *rig, enum which which)
{
    const struct registers *r = &rig->mmu->registers;
    return which == CR0 ? r->cr0 : which == CR3 ? r->cr3 : which == CR4 ? r->cr4 : r->efer;
}

/* The move is a #GP and the whole MMU (registers, stages, caches, counters) is what it was. */
static void expect_gp(struct rig *rig, enum which which, uint64_t value, const char *what)
{
    struct rig *before = rig_copy(rig);
    const char *fault = move(rig, which, value);
    cr_expect_not_null(fault, "%s", what);
    cr_expect_arr_eq(rig->mmu, before->mmu, rig->mmu->bytes, "%s: nothing changes", what);
    rig_free(before);
}

static void expect_moved(struct rig *rig, enum which which, uint64_t value, const char *what)
{
    const char *fault = move(rig, which, value);
    cr_expect_null(fault, "%s: %s", what, fault);
    uint64_t kept = which == CR3 && rig->mmu->registers.cr4 & CR4_PCIDE ? ~CR3_KEEP : ~(uint64_t)0;
    cr_expect_eq(now(rig, which) & ~EFER_LMA, value & kept & ~EFER_LMA, "%s", what);
}

/* PG with PAE and LME picks the mode. 4.1.1, table 4-1. */
Test(control, the_registers_select_the_mode)
{
    for (unsigned i = 0; i < 16; i++) {
        struct registers r = {.cr0 = CR0_PE | (i & 1 ? CR0_PG : 0)};
        r.cr4 = (i & 2 ? CR4_PAE : 0) | (i & 8 ? CR4_LA57 : 0);
        r.efer = i & 4 ? EFER_LME : 0;
        if (i & 4 && i & 1 && !(i & 2))
            continue; /* LME with PG needs PAE */
        unsigned want = !(i & 1)   ? 0
                        : !(i & 2) ? PAGING_2_LEVEL
                        : !(i & 4) ? PAGING_PAE
                        : i & 8    ? PAGING_5_LEVEL
                                   : PAGING_4_LEVEL;
        cr_expect_eq(control_paging(&r), want, "%u: %u", i, control_paging(&r));
    }
}

/* "#GP if an attempt is made to set CR4.PCIDE outside IA-32e mode, or with CR3[11:0] not 000H." */
Test(control, pcide_needs_long_mode_and_pcid_0)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    uint64_t cr4 = rig->mmu->registers.cr4;
    for (uint64_t bit = 1; bit < 4096; bit <<= 1) {
        expect_moved(rig, CR3, ROOT | bit, "low bits of CR3");
        expect_gp(rig, CR4, cr4 | CR4_PCIDE, "PCIDE with CR3[11:0] not 0");
    }
    expect_moved(rig, CR3, ROOT, "CR3");
    expect_moved(rig, CR4, cr4 | CR4_PCIDE, "PCIDE");
    expect_moved(rig, CR3, ROOT | 7, "a PCID");
    expect_moved(rig, CR4, cr4 | CR4_PCIDE | CR4_SMEP, "PCIDE stays set with a PCID");
    expect_moved(rig, CR4, cr4, "PCIDE may be cleared at any time");
    rig_free(rig);
    static const enum paging others[] = {PAGING_2_LEVEL, PAGING_PAE};
    for (unsigned i = 0; i < 2; i++) {
        rig = rig_mode(others[i]);
        expect_gp(rig, CR4, rig->mmu->registers.cr4 | CR4_PCIDE, "PCIDE outside long mode");
        rig_free(rig);
    }
    rig = rig_off();
    expect_gp(rig, CR4, CR4_PAE | CR4_PCIDE, "PCIDE without paging");
    expect_moved(rig, EFER, EFER_LME, "LME");
    expect_gp(rig, CR4, CR4_PAE | CR4_PCIDE, "PCIDE with LME alone: LMA is 0");
    rig_free(rig);
}

/* "#GP if CR0.PG is cleared while CR4.PCIDE = 1." Vol. 2, MOV. */
Test(control, pg_cannot_be_cleared_with_pcids)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    uint64_t cr0 = rig->mmu->registers.cr0, cr4 = rig->mmu->registers.cr4;
    expect_moved(rig, CR4, cr4 | CR4_PCIDE, "PCIDE");
    expect_gp(rig, CR0, cr0 & ~CR0_PG, "PG cleared with PCIDE");
    expect_moved(rig, CR0, cr0 & ~CR0_WP, "WP is another matter");
    expect_moved(rig, CR4, cr4, "PCIDE cleared");
    expect_moved(rig, CR0, cr0 & ~CR0_PG, "PG cleared without");
    rig_free(rig);
}

/* "#GP if CR4.PAE is cleared, or CR4.LA57 changed, in IA-32e mode." 4.1.2; vol. 2, MOV. */
Test(control, pae_and_la57_stay_in_long_mode)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    uint64_t cr4 = rig->mmu->registers.cr4, cr0 = rig->mmu->registers.cr0;
    expect_gp(rig, CR4, cr4 & ~CR4_PAE, "PAE cleared");
    expect_gp(rig, CR4, cr4 | CR4_LA57, "LA57 set");
    expect_moved(rig, CR0, cr0 & ~CR0_PG, "leaving long mode");
    expect_moved(rig, CR4, cr4 | CR4_LA57, "LA57 set outside");
    expect_moved(rig, CR0, cr0, "five levels");
    cr_expect_eq(control_paging(&rig->mmu->registers), PAGING_5_LEVEL);
    expect_gp(rig, CR4, cr4, "LA57 cleared");
    rig_free(rig);
    rig = rig_mode(PAGING_2_LEVEL);
    expect_moved(rig, CR4, CR4_PSE | CR4_PGE | CR4_LA57, "LA57 in 32-bit paging");
    rig_free(rig);
}

/* "#GP if EFER.LME is changed while CR0.PG = 1." 4.1.2. */
Test(control, lme_cannot_change_with_paging_on)
{
    for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_5_LEVEL; paging++) {
        struct rig *rig = rig_mode(paging);
        uint64_t efer = rig->mmu->registers.efer;
        expect_gp(rig, EFER, efer ^ EFER_LME, "LME with PG");
        expect_moved(rig, EFER, efer ^ EFER_NXE, "NXE is another matter");
        rig_free(rig);
    }
    struct rig *rig = rig_off();
    expect_moved(rig, EFER, EFER_LME, "LME without PG");
    expect_moved(rig, EFER, 0, "and back");
    rig_free(rig);
}

/* "#GP if CR0.PG is set with PE = 0; or in long mode with PAE = 0." 2.5, 9.8.5. */
Test(control, pg_needs_pe_and_long_mode_needs_pae)
{
    struct rig *rig = rig_off();
    expect_gp(rig, CR0, CR0_PG, "PG without PE");
    expect_moved(rig, EFER, EFER_LME, "LME");
    expect_gp(rig, CR0, CR0_PG | CR0_PE, "long mode without PAE");
    expect_moved(rig, CR4, CR4_PAE, "PAE");
    expect_moved(rig, CR0, CR0_PG | CR0_PE, "long mode");
    cr_expect_eq(control_paging(&rig->mmu->registers), PAGING_4_LEVEL);
    expect_gp(rig, CR0, CR0_PG, "PE cleared under paging");
    rig_free(rig);
}

/* "#GP if a bit at or above MAXPHYADDR is set in CR3" (bit 63 aside, with PCIDE). Table 4-12. */
Test(control, cr3_is_as_wide_as_a_physical_address)
{
    static const uint8_t widths[] = {36, 40, 46, 52};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned pcide = 0; pcide < 2; pcide++) {
            struct profile p = rig_cached_profile();
            p.maxphyaddr = widths[i];
            struct rig *rig = rig_in(PAGING_4_LEVEL, &p);
            if (pcide)
                expect_moved(rig, CR4, rig->mmu->registers.cr4 | CR4_PCIDE, "PCIDE");
            for (unsigned bit = 12; bit < 64; bit++) {
                uint64_t value = ROOT | (uint64_t)1 << bit;
                if (bit < widths[i] || (bit == 63 && pcide))
                    expect_moved(rig, CR3, value, "a bit below the width");
                else
                    expect_gp(rig, CR3, value, "a bit at or above the width");
            }
            rig_free(rig);
        }
}

/* Bit 63 of the value moved says what to keep; it is never in CR3 itself. Vol. 2, MOV. */
Test(control, bit_63_of_cr3_is_not_stored)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    expect_moved(rig, CR4, rig->mmu->registers.cr4 | CR4_PCIDE, "PCIDE");
    expect_moved(rig, CR3, ROOT | 5 | CR3_KEEP, "bit 63");
    cr_expect_eq(rig->mmu->registers.cr3, ROOT | 5);
    rig_free(rig);
}

/* "A bit of CR4 or EFER is reserved if the processor has not the feature": #GP. 2.5, 2.2.1. */
Test(control, features_that_are_absent_cannot_be_turned_on)
{
    static const struct {
        enum feature feature;
        enum which which;
        uint64_t bit;
    } list[] = {{FEATURE_pge, CR4, CR4_PGE},   {FEATURE_pcid, CR4, CR4_PCIDE},
                {FEATURE_smep, CR4, CR4_SMEP}, {FEATURE_smap, CR4, CR4_SMAP},
                {FEATURE_pku, CR4, CR4_PKE},   {FEATURE_nx, EFER, EFER_NXE}};
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        struct profile p = rig_cached_profile();
        struct rig *rig = rig_new(&p, 1);
        struct registers r = rig_registers(PAGING_4_LEVEL, ROOT);
        r.cr4 &= ~CR4_PGE;
        r.efer &= ~EFER_NXE;
        rig_set(rig, &r);
        expect_moved(rig, list[i].which, now(rig, list[i].which) | list[i].bit, "present");
        rig_free(rig);
        p.features &= ~(1u << list[i].feature);
        rig = rig_new(&p, 1);
        rig_set(rig, &r);
        expect_gp(rig, list[i].which, now(rig, list[i].which) | list[i].bit, "absent");
        rig_free(rig);
    }
    struct profile p = rig_cached_profile();
    p.features &= ~(1u << FEATURE_la57);
    struct rig *rig = rig_new(&p, 1);
    struct registers r = {.cr0 = CR0_PE};
    rig_set(rig, &r);
    expect_gp(rig, CR4, CR4_PAE | CR4_LA57, "no LA57");
    rig_free(rig);
}

/* A whole state that no sequence of moves could reach is refused as a whole, and nothing is set. */
Test(control, impossible_states_cannot_be_set)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    struct registers good = rig->mmu->registers, bad[6];
    for (unsigned i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].cr0 &= ~CR0_PE;
    bad[1].cr4 &= ~CR4_PAE;
    bad[2].cr3 |= (uint64_t)1 << 50;
    bad[3].cr0 &= ~CR0_PG, bad[3].cr4 |= CR4_PCIDE;
    bad[4].efer &= ~EFER_LME, bad[4].cr4 |= CR4_PCIDE;
    bad[5].cr3 |= CR3_KEEP;
    for (unsigned i = 0; i < 6; i++) {
        cr_expect_not_null(mmu_set_registers(rig->mmu, &rig->bus, &bad[i]), "state %u", i);
        cr_expect_arr_eq(&rig->mmu->registers, &good, sizeof good, "state %u", i);
        cr_expect_eq(rig_read(rig, 0x400000), 0x5000, "state %u", i);
    }
    rig_free(rig);
}

/* Writes a PDPTE with a reserved bit behind the registers' back. */
static struct rig *rig_bad_pdpte(void)
{
    struct rig *rig = rig_mode(PAGING_PAE);
    mem_store(&rig->mem, ROOT + 24, PTE_P | PTE_W, 8);
    return rig;
}

/*
 * "The PDPTEs are loaded by MOV to CR3, and by MOV to CR0 or CR4 that changes PG, CD, NW or PAE,
 * PGE, PSE, SMEP. If a reserved bit is set in one that is present: #GP, nothing loaded." 4.4.1.
 */
Test(control, moves_that_load_pdptes_refuse_bad_ones)
{
    struct rig *rig = rig_bad_pdpte();
    uint64_t cr0 = rig->mmu->registers.cr0, cr4 = rig->mmu->registers.cr4;
    expect_gp(rig, CR3, ROOT, "MOV CR3");
    static const uint64_t loading4[] = {CR4_PSE, CR4_PGE, CR4_SMEP};
    for (unsigned i = 0; i < 3; i++)
        expect_gp(rig, CR4, cr4 ^ loading4[i], "PSE, PGE, SMEP");
    expect_gp(rig, CR0, cr0 | (uint64_t)3 << 29, "CD, NW");
    expect_moved(rig, CR4, cr4 ^ CR4_PKE, "PKE loads nothing");
    expect_moved(rig, CR0, cr0 ^ CR0_WP, "WP loads nothing");
    expect_moved(rig, EFER, 0, "EFER loads nothing");
    cr_expect_eq(rig_read(rig, 0x400000), 0x5000, "the old ones still serve");
    expect_moved(rig, CR0, cr0 & ~CR0_PG, "paging off");
    expect_gp(rig, CR0, cr0, "paging on loads them");
    mem_store(&rig->mem, ROOT + 24, 0, 8);
    expect_moved(rig, CR0, cr0, "good ones");
    cr_expect_eq(rig_read(rig, 0x400000), 0x5000);
    rig_free(rig);
}

/* PAE's root is CR3[31:5]; 32-bit paging's CR3[31:12]; IA-32e's CR3[M-1:12]. Tables 4-3, 4-7, 4-12.
 */
Test(control, the_root_is_where_cr3_says)
{
    struct profile p = rig_profile();
    static const struct {
        enum paging paging;
        uint64_t cr3, root;
    } list[] = {{PAGING_2_LEVEL, 0xfedcbfff, 0xfedcb000},
                {PAGING_PAE, 0xfedcbfff, 0xfedcbfe0},
                {PAGING_4_LEVEL, 0x3edcba987fff, 0x3edcba987000},
                {PAGING_5_LEVEL, 0x3edcba987fff, 0x3edcba987000}};
    for (unsigned i = 0; i < 4; i++) {
        struct registers r = rig_registers(list[i].paging, list[i].cr3);
        cr_expect_eq(control_stage(&r, &p).root, list[i].root);
    }
}

/* CR4.PKE outside IA-32e paging has no effect, nor has a PKRU without PKE. 4.6.2. */
Test(control, keys_count_in_long_mode_with_pke_only)
{
    for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_5_LEVEL; paging++)
        for (unsigned pke = 0; pke < 2; pke++) {
            struct registers r = rig_registers(paging, 0);
            r.cr4 |= pke ? CR4_PKE : 0;
            r.pkru = 0x55555555; /* AD for all */
            for (unsigned key = 0; key < 16; key++) {
                bool want = pke && paging >= PAGING_4_LEVEL;
                cr_expect_eq(control_key_denies(&r, KIND_READ | KIND_USER, key), want);
                cr_expect_eq(control_key_denies(&r, KIND_WRITE, key), want);
                cr_expect_not(control_key_denies(&r, KIND_EXEC | KIND_USER, key));
            }
        }
}

/* WRPKRU takes effect on pages already in the TLB: rights are those of the page, PKRU's are now. */
Test(control, a_new_pkru_works_through_cached_translations)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    struct tables t = tables_new(PAGING_4_LEVEL, ROOT, 0);
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | PWU | (uint64_t)3 << PTE_PK_SHIFT);
    expect_moved(rig, CR4, rig->mmu->registers.cr4 | CR4_PKE, "PKE");
    cr_assert_eq(rig_write(rig, 0x400000), 0x5000);
    mmu_wrpkru(rig->mmu, 2 << 6); /* WD of key 3 */
    cr_expect_eq(rig_read(rig, 0x400000), 0x5000);
    cr_expect_eq(rig_write(rig, 0x400000), ~(hpa_t)0);
    cr_expect(rig->walk.refusal.key);
    cr_expect_eq(mmu_error_code(rig->mmu, &rig->walk.refusal), 0x23, "P, W, PK");
    mmu_wrpkru(rig->mmu, 0);
    cr_expect_eq(rig_write(rig, 0x400000), 0x5000);
    rig_free(rig);
}

/* So do CR0.WP, CR4.SMAP, CR4.SMEP and EFER.NXE, where no invalidation is required. 4.6.1. */
Test(control, new_control_bits_work_through_cached_translations)
{
    struct rig *rig = rig_mode(PAGING_4_LEVEL);
    struct tables t = tables_new(PAGING_4_LEVEL, ROOT, 0);
    entry_store(&rig->mem, &t, 0x400000, 1, 0x5000 | PTE_P | PTE_U | PTE_D);
    uint64_t cr0 = rig->mmu->registers.cr0, cr4 = rig->mmu->registers.cr4;
    expect_moved(rig, CR0, cr0 & ~CR0_WP, "WP off");
    cr_expect_eq(rig_write(rig, 0x400000), 0x5000);
    expect_moved(rig, CR0, cr0, "WP on");
    cr_expect_eq(rig_write(rig, 0x400000), ~(hpa_t)0);
    expect_moved(rig, CR4, cr4 | CR4_SMAP, "SMAP on");
    cr_expect_eq(rig_read(rig, 0x400000), ~(hpa_t)0);
    cr_expect(rig_access(rig, OP_READ, ACCESS_AC, 0x400000));
    expect_moved(rig, CR4, cr4, "SMAP off");
    cr_expect(rig_access(rig, OP_EXEC, 0, 0x400000));
    expect_moved(rig, CR4, cr4 | CR4_SMEP, "SMEP on");
    cr_expect_not(rig_access(rig, OP_EXEC, 0, 0x400000));
    cr_expect(rig_access(rig, OP_EXEC, ACCESS_USER, 0x400000));
    rig_free(rig);
}
