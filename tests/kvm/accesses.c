/*
 * Each command of the guest on KVM, at CPL 0 and at CPL 3, and each kind of fault. What is expected
 * is the manual's: Intel SDM vol. 3, 4.6 (rights), 4.7 (error codes), 4.8 (A and D).
 */
#include "tests/kvm/support.h"

#include <criterion/criterion.h>
#include <string.h>

#define EACH_CPL (unsigned cpl = 0; cpl <= 3; cpl += 3)

static void expect_word(struct harness *h, unsigned page, unsigned offset, uint64_t value)
{
    uint64_t word;
    memcpy(&word, harness_memory(h) + FRAMES + page * PAGE + offset, sizeof word);
    cr_expect_eq(word, value, "page %u has %#llx, not %#llx", page, (unsigned long long)word,
                 (unsigned long long)value);
}

Test(kvm_accesses, reads_give_words_of_any_size_from_anywhere)
{
    struct harness *h = usual_guest();
    const uint64_t word = 0x8877665544332211;
    const struct {
        unsigned size, offset;
        uint64_t value;
    } reads[] = {{8, 0, 0x8877665544332211},
                 {4, 0, 0x44332211},
                 {4, 4, 0x88776655},
                 {2, 3, 0x5544},
                 {1, 7, 0x88},
                 {8, 1, 0x0088776655443322}};
    memcpy(harness_memory(h) + FRAMES + 5 * PAGE, &word, sizeof word);
    memcpy(harness_memory(h) + FRAMES + 6 * PAGE - 3, &word, sizeof word); /* across pages */
    for
        EACH_CPL
        {
            for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
                ask(h, COMMAND_READ, cpl, 5 * PAGE + reads[i].offset)->size =
                    (uint8_t)reads[i].size;
            ask(h, COMMAND_READ, cpl, 6 * PAGE - 3);
            run(h);
            for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
                cr_expect_eq(harness_result(h, i)->result, reads[i].value, "read %zu", i);
            cr_expect_eq(harness_result(h, sizeof reads / sizeof *reads)->result, word);
        }
    harness_free(h);
}

Test(kvm_accesses, writes_change_their_bytes_and_no_others)
{
    struct harness *h = usual_guest();
    const uint64_t value = 0x1122334455667788;
    for
        EACH_CPL
        {
            memset(harness_memory(h) + FRAMES, 0xaa, 8 * PAGE);
            for (unsigned n = 0; n < 4; n++) {
                struct command *c = ask(h, COMMAND_WRITE, cpl, n * PAGE + 8);
                c->size = (uint8_t)(1 << n);
                c->value = value;
            }
            run(h);
            const uint64_t words[] = {0xaaaaaaaaaaaaaa88, 0xaaaaaaaaaaaa7788, 0xaaaaaaaa55667788,
                                      value};
            for (unsigned n = 0; n < 4; n++) {
                expect_word(h, n, 0, 0xaaaaaaaaaaaaaaaa);
                expect_word(h, n, 8, words[n]);
                expect_word(h, n, 16, 0xaaaaaaaaaaaaaaaa);
            }
        }
    harness_free(h);
}

Test(kvm_accesses, a_touch_writes_and_changes_nothing)
{
    struct harness *h = usual_guest();
    for
        EACH_CPL
        {
            memset(harness_memory(h) + FRAMES + cpl * PAGE, 0x5a, PAGE);
            *page_entry(h, cpl) = (FRAMES + cpl * PAGE) | LINK;
            ask(h, COMMAND_TOUCH, cpl, cpl * PAGE + 64);
            run(h);
            expect_done(h, 0);
            expect_word(h, cpl, 64, 0x5a5a5a5a5a5a5a5a);
            cr_expect_eq(*page_entry(h, cpl) & (PTE_A | PTE_D), PTE_A | PTE_D);
        }
    harness_free(h);
}

Test(kvm_accesses, one_instruction_is_executed_whatever_it_is)
{
    struct harness *h = usual_guest();
    const uint8_t codes[][8] = {
        {0x00, 0x00},             /* add %al, (%rax) */
        {0xff, 0xe2},             /* jmp *%rdx */
        {0xeb, 0xfe},             /* jmp . */
        {0x90},                   /* nop */
        {0xc3},                   /* ret */
        {0x48, 0x89, 0xc3},       /* mov %rax, %rbx */
        {0x4d, 0x31, 0xf6},       /* xor %r14, %r14 */
        {0x48, 0x31, 0xe4},       /* xor %rsp, %rsp */
        {0xf0, 0x80, 0x08, 0x00}, /* lock orb $0, (%rax) */
    };
    enum { N = sizeof codes / sizeof *codes };
    for
        EACH_CPL
    for (unsigned i = 0; i < N; i++) {
        memcpy(harness_memory(h) + FRAMES + i * PAGE, codes[i], sizeof codes[i]);
        ask(h, COMMAND_EXEC, cpl, i * PAGE);
        ask(h, COMMAND_READ, cpl ^ 3, 100 * PAGE); /* and all is well behind it */
    }
    run(h);
    for (unsigned i = 0; i < 4 * N; i++)
        expect_done(h, i);
    harness_free(h);
}

Test(kvm_accesses, an_instruction_may_have_a_fault_of_its_own)
{
    struct harness *h = usual_guest();
    memcpy(harness_memory(h) + FRAMES, "\x0f\x0b", 2);                /* ud2 */
    memcpy(harness_memory(h) + FRAMES + PAGE, "\xcc", 1);             /* int3 */
    memcpy(harness_memory(h) + FRAMES + 2 * PAGE, "\x0f\x20\xc0", 3); /* mov %cr0, %rax */
    for (unsigned i = 0; i < 3; i++)
        ask(h, COMMAND_EXEC, 3, i * PAGE);
    run(h);
    const uint32_t vectors[] = {6, 3, 13};
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(harness_result(h, i)->status, COMMAND_FAULT);
        cr_expect_eq(harness_result(h, i)->vector, vectors[i], "%u", harness_result(h, i)->vector);
    }
    harness_free(h);
}

enum { PLAIN, READ_ONLY, SUPERVISOR, NO_EXEC, ABSENT };

static const struct {
    const char *what;
    uint8_t op, page;
    int at_0, at_3; /* the error code; -1: allowed */
} rights[] = {
    {"read", COMMAND_READ, PLAIN, -1, -1},
    {"write", COMMAND_WRITE, PLAIN, -1, -1},
    {"exec", COMMAND_EXEC, PLAIN, -1, -1},
    {"read read-only", COMMAND_READ, READ_ONLY, -1, -1},
    {"write read-only", COMMAND_WRITE, READ_ONLY, 3, 7},
    {"touch read-only", COMMAND_TOUCH, READ_ONLY, 3, 7},
    {"exec read-only", COMMAND_EXEC, READ_ONLY, -1, -1},
    {"read supervisor's", COMMAND_READ, SUPERVISOR, -1, 5},
    {"write supervisor's", COMMAND_WRITE, SUPERVISOR, -1, 7},
    {"touch supervisor's", COMMAND_TOUCH, SUPERVISOR, -1, 7},
    {"exec supervisor's", COMMAND_EXEC, SUPERVISOR, -1, 0x15},
    {"read no-execute", COMMAND_READ, NO_EXEC, -1, -1},
    {"exec no-execute", COMMAND_EXEC, NO_EXEC, 0x11, 0x15},
    {"read absent", COMMAND_READ, ABSENT, 0, 4},
    {"write absent", COMMAND_WRITE, ABSENT, 2, 6},
    {"touch absent", COMMAND_TOUCH, ABSENT, 2, 6},
    {"exec absent", COMMAND_EXEC, ABSENT, 0x10, 0x14},
};
enum { N_RIGHTS = sizeof rights / sizeof *rights };

/* The same rights, given by the entry of each level in turn, in a tree of its own for each. */
static void make_rights(struct harness *h, unsigned level)
{
    const uint64_t bits[] = {LINK, LINK & ~PTE_W, LINK & ~PTE_U, LINK | PTE_NX, 0};
    for (unsigned page = PLAIN; page <= ABSENT; page++) {
        gpa_t tables = SPARE + (level * 5 + page) * 3 * PAGE;
        uint64_t *entries[] = {
            NULL,
            entry_of(h, tables + 2 * PAGE, 0),
            entry_of(h, tables + PAGE, 0),
            entry_of(h, tables, 0),
            entry_of(h, ROOT, 10 + level * 5 + page),
        };
        *entries[4] = tables | LINK;
        *entries[3] = (tables + PAGE) | LINK;
        *entries[2] = (tables + 2 * PAGE) | LINK;
        *entries[1] = (FRAMES + page * PAGE) | LINK;
        *entries[level] = bits[page] ? (*entries[level] & ~(uint64_t)LINK) | bits[page] : 0;
    }
}

Test(kvm_accesses, rights_are_those_of_every_level)
{
    if (!environment_or_skip()->has.nx)
        cr_skip_test("KVM's guests have no NX here");
    struct harness *h = usual_guest();
    for (unsigned level = 1; level <= 4; level++) {
        make_rights(h, level);
        for (unsigned i = 0; i < N_RIGHTS; i++)
            for
                EACH_CPL
        ask(h, rights[i].op, cpl, (gva_t)(10 + level * 5 + rights[i].page) << 39);
    }
    run(h);
    for (unsigned i = 0; i < 4 * N_RIGHTS * 2; i++) {
        int code = i % 2 ? rights[i / 2 % N_RIGHTS].at_3 : rights[i / 2 % N_RIGHTS].at_0;
        if (code < 0)
            expect_done(h, i);
        else
            expect_fault(h, i, (uint32_t)code);
    }
    harness_free(h);
}

Test(kvm_accesses, reserved_bits_are_faults)
{
    const struct environment *env = environment_or_skip();
    if (env->maxphyaddr >= 52)
        cr_skip_test("no address bit is reserved with MAXPHYADDR 52");
    struct harness *h = usual_guest();
    *page_entry(h, 1) |= (uint64_t)1 << 51;
    const uint32_t p = env->mask[MASK_reserved_present] ? 0 : 1;
    for
        EACH_CPL
        {
            ask(h, COMMAND_READ, cpl, PAGE);
            ask(h, COMMAND_WRITE, cpl, PAGE);
        }
    run(h);
    expect_fault(h, 0, 8 | p);
    expect_fault(h, 1, 0xa | p);
    expect_fault(h, 2, 0xc | p);
    expect_fault(h, 3, 0xe | p);
    harness_free(h);
}

Test(kvm_accesses, an_address_that_is_not_canonical_is_a_gp)
{
    struct harness *h = usual_guest();
    const unsigned ops[] = {COMMAND_READ, COMMAND_WRITE, COMMAND_TOUCH, COMMAND_EXEC};
    for
        EACH_CPL
    for (unsigned i = 0; i < 4; i++)
        ask(h, ops[i], cpl, (gva_t)1 << 47);
    run(h);
    for (unsigned i = 0; i < 8; i++) {
        const struct command *c = harness_result(h, i);
        cr_expect(c->status == COMMAND_FAULT && c->vector == 13 && c->error_code == 0, "%u", i);
    }
    harness_free(h);
}

Test(kvm_accesses, privileged_commands_are_a_gp_at_cpl_3)
{
    struct harness *h = usual_guest();
    const unsigned ops[] = {COMMAND_INVLPG, COMMAND_CR3, COMMAND_CR0, COMMAND_CR4, COMMAND_EFER};
    for (unsigned i = 0; i < 5; i++)
        ask(h, ops[i], 3, 0);
    ask(h, COMMAND_NOP, 3, 0);
    run(h);
    for (unsigned i = 0; i < 5; i++)
        cr_expect(harness_result(h, i)->vector == 13, "%u", i);
    expect_done(h, 5);
    harness_free(h);
}

Test(kvm_accesses, the_guest_edits_its_tables_and_invalidates)
{
    struct harness *h = usual_guest();
    const uint64_t mark = 7;
    memcpy(harness_memory(h) + FRAMES + 9 * PAGE, &mark, sizeof mark);
    for
        EACH_CPL
        {
            ask(h, COMMAND_READ, cpl, PAGE);
            ask(h, COMMAND_STORE, 0, LEVEL_1 + 8)->value = (FRAMES + 9 * PAGE) | LINK;
            ask(h, COMMAND_INVLPG, 0, PAGE);
            ask(h, COMMAND_READ, cpl, PAGE);
            ask(h, COMMAND_STORE, 0, LEVEL_1 + 8)->value = 0;
            ask_value(h, COMMAND_CR3, ROOT);
            ask(h, COMMAND_READ, cpl, PAGE);
            ask(h, COMMAND_STORE, 0, LEVEL_1 + 8)->value = (FRAMES + PAGE) | LINK;
            run(h);
            cr_expect_eq(harness_result(h, 0)->result, 0);
            cr_expect_eq(harness_result(h, 3)->result, mark);
            expect_fault(h, 6, cpl ? 4 : 0);
        }
    harness_free(h);
}

Test(kvm_accesses, another_root_is_adopted_and_loaded)
{
    struct harness *h = usual_guest();
    *entry_of(h, SPARE, 1) = LEVEL_3 | LINK;
    harness_adopt(h, SPARE);
    ask_value(h, COMMAND_CR3, SPARE);
    ask(h, COMMAND_READ, 3, 0);
    ask(h, COMMAND_READ, 3, (gva_t)1 << 39);
    ask_value(h, COMMAND_CR3, ROOT);
    ask(h, COMMAND_READ, 3, 0);
    run(h);
    expect_fault(h, 2, 4);
    expect_done(h, 3);
    expect_done(h, 5);
    harness_free(h);
}

Test(kvm_accesses, a_and_d_are_set_by_what_succeeds)
{
    struct harness *h = usual_guest();
    for
        EACH_CPL
        {
            ask(h, COMMAND_READ, cpl, (20 + cpl) * PAGE);
            ask(h, COMMAND_WRITE, cpl, (30 + cpl) * PAGE);
            ask(h, COMMAND_EXEC, cpl, (40 + cpl) * PAGE);
        }
    run(h);
    for
        EACH_CPL
        {
            cr_expect_eq(*page_entry(h, 20 + cpl) & (PTE_A | PTE_D), PTE_A);
            cr_expect_eq(*page_entry(h, 30 + cpl) & (PTE_A | PTE_D), PTE_A | PTE_D);
            cr_expect_eq(*page_entry(h, 40 + cpl) & (PTE_A | PTE_D), PTE_A);
        }
    cr_expect_eq(*page_entry(h, 50) & (PTE_A | PTE_D), 0);
    cr_expect(*entry_of(h, LEVEL_2, 0) & PTE_A);
    harness_free(h);
}
