/* What not every CPU has, and control bits that guests change: the harness itself lives on. */
#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <string.h>

#define NEEDS(feature)                                                                             \
    if (!environment_or_skip()->has.feature)                                                       \
    cr_skip_test("KVM's guests have no " #feature " here")

Test(kvm_features, smep_refuses_user_pages_to_cpl_0)
{
    NEEDS(smep);
    struct harness *h = usual_guest();
    *page_entry(h, 1) &= ~PTE_U;
    ask_value(h, COMMAND_CR4, CR4_PAE | CR4_SMEP);
    ask(h, COMMAND_EXEC, 0, 0);
    ask(h, COMMAND_EXEC, 3, 0);
    ask(h, COMMAND_EXEC, 0, PAGE);
    ask(h, COMMAND_READ, 0, 0);
    ask_value(h, COMMAND_CR4, CR4_PAE);
    ask(h, COMMAND_EXEC, 0, 0);
    run(h);
    expect_fault(h, 1, 0x11);
    for (unsigned i = 2; i < 7; i++)
        expect_done(h, i);
    harness_free(h);
}

Test(kvm_features, smap_refuses_user_pages_unless_ac_is_set)
{
    NEEDS(smap);
    struct harness *h = usual_guest();
    ask_value(h, COMMAND_CR4, CR4_PAE | CR4_SMAP);
    ask(h, COMMAND_READ, 0, 0);
    ask(h, COMMAND_READ, 0, 0)->flags = COMMAND_AC;
    ask(h, COMMAND_WRITE, 0, 0);
    ask(h, COMMAND_WRITE, 0, 0)->flags = COMMAND_AC;
    ask(h, COMMAND_TOUCH, 0, 0);
    ask(h, COMMAND_READ, 3, 0);
    ask(h, COMMAND_READ, 3, 0)->flags = COMMAND_AC;
    *page_entry(h, 1) = 0;
    ask(h, COMMAND_READ, 0, PAGE)->flags = COMMAND_AC; /* its fault must not leave AC set */
    ask(h, COMMAND_READ, 0, 0);
    run(h);
    expect_fault(h, 1, 1);
    expect_done(h, 2);
    expect_fault(h, 3, 3);
    expect_done(h, 4);
    expect_fault(h, 5, 3);
    expect_done(h, 6);
    expect_done(h, 7);
    expect_fault(h, 8, 0);
    expect_fault(h, 9, 1);
    harness_free(h);
}

/* AC at CPL 3 would ask for alignment, with CR0.AM; the harness sets it at CPL 0 only. */
Test(kvm_features, ac_is_harmless_without_smap)
{
    struct harness *h = usual_guest();
    for (unsigned cpl = 0; cpl <= 3; cpl += 3)
        for (unsigned op = COMMAND_READ; op <= COMMAND_EXEC; op++)
            ask(h, op, cpl, PAGE + 3)->flags = COMMAND_AC;
    run(h);
    for (unsigned i = 0; i < 8; i++)
        expect_done(h, i);
    harness_free(h);
}

Test(kvm_features, protection_keys_hold_for_the_access_and_not_for_the_harness)
{
    NEEDS(pku);
    struct harness *h = usual_guest();
    *page_entry(h, 1) |= (uint64_t)1 << PTE_PK_SHIFT;
    *page_entry(h, 2) |= (uint64_t)2 << PTE_PK_SHIFT;
    ask_value(h, COMMAND_PKRU, 1 | 1 << 2 | 2 << 4); /* no access with key 0, 1; no write with 2 */
    ask(h, COMMAND_READ, 3, 0);                      /* without CR4.PKE all is as before */
    ask_value(h, COMMAND_CR4, CR4_PAE | CR4_PKE);
    for (unsigned page = 0; page < 3; page++) {
        ask(h, COMMAND_READ, 3, page * PAGE);
        ask(h, COMMAND_WRITE, 3, page * PAGE);
        ask(h, COMMAND_EXEC, 3, page * PAGE);
        ask(h, COMMAND_READ, 0, page * PAGE);
    }
    ask(h, COMMAND_PKRU, 3, 0);
    ask(h, COMMAND_READ, 3, 0);
    run(h);
    const uint32_t codes[] = {0x25, 0x27, 0, 0x21, 0x25, 0x27, 0, 0x21, 0, 0x27, 0, 0};
    expect_done(h, 1);
    for (unsigned i = 0; i < 12; i++)
        if (codes[i])
            expect_fault(h, 3 + i, codes[i]);
        else
            expect_done(h, 3 + i);
    expect_done(h, 16);
    harness_free(h);
}

Test(kvm_features, a_guest_may_start_with_all_of_them)
{
    const struct environment *env = environment_or_skip();
    struct harness_config config = usual_config();
    config.registers.cr4 |= CR4_PGE | (env->has.smep ? CR4_SMEP : 0) |
                            (env->has.smap ? CR4_SMAP : 0) | (env->has.pku ? CR4_PKE : 0);
    struct harness *h = guest_new(&config);
    *page_entry(h, 1) &= ~PTE_U;
    for (unsigned cpl = 0; cpl <= 3; cpl += 3)
        for (unsigned op = COMMAND_READ; op <= COMMAND_EXEC; op++)
            ask(h, op, cpl, cpl ? 0 : PAGE);
    run(h);
    for (unsigned i = 0; i < 8; i++)
        expect_done(h, i);
    harness_free(h);
}

Test(kvm_features, cr0_wp_and_efer_nxe_and_cr4_pge_change_under_the_harness)
{
    NEEDS(nx);
    const struct environment *env = environment_or_skip();
    struct harness *h = usual_guest();
    *page_entry(h, 1) &= ~PTE_W;
    *page_entry(h, 2) |= PTE_NX;
    ask_value(h, COMMAND_CR0, CR0_PE | CR0_PG);
    ask(h, COMMAND_WRITE, 0, PAGE);
    ask(h, COMMAND_WRITE, 3, PAGE);
    ask_value(h, COMMAND_CR0, CR0_PE | CR0_PG | CR0_WP);
    ask(h, COMMAND_WRITE, 0, PAGE);
    ask_value(h, COMMAND_EFER, EFER_LME);
    ask(h, COMMAND_READ, 3, 2 * PAGE);
    ask(h, COMMAND_READ, 3, 0);
    ask_value(h, COMMAND_EFER, EFER_LME | EFER_NXE);
    ask(h, COMMAND_READ, 3, 2 * PAGE);
    ask_value(h, COMMAND_CR4, CR4_PAE | CR4_PGE);
    ask_value(h, COMMAND_CR4, CR4_PAE);
    ask(h, COMMAND_READ, 3, 0);
    run(h);
    expect_done(h, 1);
    expect_fault(h, 2, 7);
    expect_fault(h, 4, 3);
    expect_fault(h, 6, env->mask[MASK_reserved_present] ? 0xc : 0xd);
    for (unsigned i = 7; i < 13; i++)
        expect_done(h, i);
    harness_free(h);
}

Test(kvm_features, five_levels)
{
    NEEDS(la57);
    struct harness_config config = usual_config();
    config.levels = 5;
    config.registers.cr4 |= CR4_LA57;
    struct harness *h = guest_new(&config);
    *entry_of(h, ROOT, 300) = LEVEL_4 | LINK;
    *page_entry(h, 1) = 0;
    const gva_t far = (gva_t)((int64_t)((uint64_t)300 << 55) >> 7);
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        for (unsigned op = COMMAND_READ; op <= COMMAND_EXEC; op++)
            ask(h, op, cpl, far);
        ask(h, COMMAND_READ, cpl, far + PAGE);
        ask(h, COMMAND_READ, cpl, (gva_t)1 << 47); /* canonical here */
    }
    run(h);
    for (unsigned i = 0; i < 12; i++)
        if (i % 6 < 4)
            expect_done(h, i);
        else
            expect_fault(h, i, i < 6 ? 0 : 4);
    harness_free(h);
}

Test(kvm_features, large_pages)
{
    const struct environment *env = environment_or_skip();
    struct harness *h = usual_guest();
    const uint64_t mark = 0x1234;
    memcpy(harness_memory(h) + 0x400008, &mark, sizeof mark);
    *entry_of(h, LEVEL_2, 1) = 0x400000 | PTE_PS | LINK;
    *entry_of(h, LEVEL_3, 1) = PTE_PS | LINK;
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        ask(h, COMMAND_READ, cpl, 0x200008);
        ask(h, COMMAND_READ, cpl, 0x40400008);
    }
    run(h);
    for (unsigned i = 0; i < 4; i++)
        if (i % 2 == 0 || env->has.page_1gib)
            cr_expect_eq(harness_result(h, i)->result, mark, "%u", i);
        else
            cr_expect_eq(harness_result(h, i)->status, COMMAND_FAULT);
    harness_free(h);
}

/* Any slot but 256, which one KVM keeps. */
Test(kvm_features, the_harness_may_be_behind_any_entry)
{
    const unsigned slots[] = {1, 128, 254, 300, 510, 511};
    for (unsigned i = 0; i < sizeof slots / sizeof *slots; i++) {
        struct harness_config config = usual_config();
        config.slot = slots[i];
        struct harness *h = guest_new(&config);
        ask(h, COMMAND_READ, 3, 0);
        ask(h, COMMAND_READ, 0, 0);
        ask(h, COMMAND_EXEC, 3, 0);
        run(h);
        for (unsigned k = 0; k < 3; k++)
            expect_done(h, k);
        harness_free(h);
    }
}
