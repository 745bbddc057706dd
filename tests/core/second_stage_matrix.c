/*
 * What the hypervisor is told, for every combination of what two entries of a second stage grant
 * and who asks for what: the exit qualification of EPT violations, and EXITINFO1 of #NPF.
 *
 * Intel SDM vol. 3 (edition of 2016): table 27-7, 28.2.3.1, 28.2.3.2; bits 6, 9, 10 and 11 and
 * mode-based execute control as in later editions. AMD APM vol. 2: 15.25.5, 15.25.6, 8.4.2.
 */
#include "core/second_stage.h"

#include "tests/core/rig.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#define BIT(n) ((uint64_t)1 << (n))

/* ---- the machine: one guest page, whose page table and data lie in 512 GiB of their own ---- */

enum area { UPPER_TABLES, PAGE_TABLE, DATA, REGIONS };

static const uint64_t VA = 0x123456789abc;

struct matrix {
    struct rig *rig;
    struct second_stage_controls controls;
    hpa_t below[REGIONS][5]; /* by level: the second stage's entries for each region */
    hpa_t pte;               /* the guest's, and what it is */
    uint64_t guest;
    uint64_t checked, wrong;
};

static uint64_t gpa_of(enum area region, unsigned page)
{
    return (uint64_t)region << 39 | (uint64_t)5 << 30 | (uint64_t)6 << 21 | (7 + page) << 12;
}

static hpa_t hpa_of(enum area region, unsigned page)
{
    return 0x200000 + (region * 16u + page) * 0x1000u;
}

static unsigned index_at(uint64_t address, unsigned level)
{
    return address >> (12 + 9 * (level - 1)) & 511;
}

/* `grants`: what makes an entry allow everything; `page`: what a leaf has beside. */
static void lay_second(struct matrix *m, bool five, uint64_t grants, uint64_t page)
{
    struct mem *mem = &m->rig->mem;
    if (five)
        mem_store(mem, 0x100000, 0x101000 | grants, 8);
    for (unsigned r = 0; r < REGIONS; r++) {
        hpa_t table = 0x101000;
        for (unsigned level = 4; level >= 1; level--) {
            hpa_t next = 0x110000 + (r * 16 + level) * 0x1000;
            m->below[r][level] = table + index_at(gpa_of(r, 0), level) * 8;
            mem_store(mem, m->below[r][level], next | grants, 8);
            for (unsigned p = 0; level == 1 && p < 4; p++)
                mem_store(mem, m->below[r][1] + p * 8, hpa_of(r, p) | grants | page, 8);
            table = next;
        }
    }
}

/* Present, writable, for users, A set: PML4E, PDPTE, PDE; and where the PTE is. */
static void lay_guest(struct matrix *m)
{
    struct mem *mem = &m->rig->mem;
    for (unsigned p = 0; p < 3; p++) {
        uint64_t next = p < 2 ? gpa_of(UPPER_TABLES, p + 1) : gpa_of(PAGE_TABLE, 0);
        mem_store(mem, hpa_of(UPPER_TABLES, p) + index_at(VA, 4 - p) * 8, next | 0x27, 8);
    }
    m->pte = hpa_of(PAGE_TABLE, 0) + index_at(VA, 1) * 8;
}

static void start(struct matrix *m)
{
    struct mmu *mmu = m->rig->mmu;
    cr_assert_null(second_stage_fault(&m->controls, &mmu->profile));
    struct stage stage = second_stage(&m->controls, &mmu->profile);
    mmu_set_second_stages(mmu, &stage, 1, 1);
    struct registers r = rig_registers(PAGING_4_LEVEL, gpa_of(UPPER_TABLES, 0));
    rig_set(m->rig, &r);
}

static struct matrix *matrix_new(void)
{
    struct matrix *m = calloc(1, sizeof *m);
    struct profile p = rig_profile(); /* no cache, MAXPHYADDR 46 */
    m->rig = rig_new(&p, 2);
    return m;
}

static void matrix_done(struct matrix *m, const char *what)
{
    fprintf(stderr, "%s: %" PRIu64 " combinations, %" PRIu64 " differ\n", what, m->checked,
            m->wrong);
    cr_assert_eq(m->wrong, 0);
    cr_assert_gt(m->checked, 10000);
    rig_free(m->rig);
    free(m);
}

/* One line of the matrix. */
struct cell {
    enum area region; /* PAGE_TABLE or DATA: where the two entries stand in the way */
    unsigned level;   /* of the upper one */
    uint64_t upper, leaf;
    bool write, fetch, user; /* the access; supervisors have SMEP and SMAP off */
    bool u, w, nx, a, d;     /* the guest's PTE */
};

enum ending { GRANTED, VIOLATION, MISCONFIGURATION, NESTED_FAULT };

struct expected {
    enum ending ending;
    uint64_t information, advanced; /* without and with bits 9 to 11 */
    uint64_t set, accessed;         /* flags set in the leaf and in the upper entry */
};

static void write_cell(struct matrix *m, const struct cell *c)
{
    struct mem *mem = &m->rig->mem;
    m->guest = gpa_of(DATA, 0) | 1 | (c->w ? BIT(1) : 0) | (c->u ? BIT(2) : 0) |
               (c->a ? BIT(5) : 0) | (c->d ? BIT(6) : 0) | (c->nx ? BIT(63) : 0);
    mem_store(mem, m->pte, m->guest, 8);
    mem_store(mem, m->below[c->region][c->level], c->upper, 8);
    mem_store(mem, m->below[c->region][1], c->leaf, 8);
}

/* The entries and flags after the access. */
static bool memory_is(const struct matrix *m, const struct cell *c, const struct expected *want)
{
    const struct mem *mem = &m->rig->mem;
    bool granted = want->ending == GRANTED;
    uint64_t flags = granted ? BIT(5) | (c->write ? BIT(6) : 0) : 0;
    return mem_load(mem, m->pte, 8) == (m->guest | flags) &&
           mem_load(mem, m->below[c->region][1], 8) == (c->leaf | (granted ? want->set : 0)) &&
           mem_load(mem, m->below[c->region][c->level], 8) ==
               (c->upper | (granted ? want->accessed : 0));
}

static bool exit_is(const struct matrix *m, const struct cell *c, const struct expected *want)
{
    const struct refusal *r = &m->rig->walk.refusal;
    struct second_stage_controls basic = m->controls, advanced = m->controls;
    basic.advanced_information = false, advanced.advanced_information = true;
    uint64_t gpa = c->region == DATA ? gpa_of(DATA, 0) | (VA & 4095)
                                     : gpa_of(PAGE_TABLE, 0) + index_at(VA, 1) * 8;
    return r->depth == 1 && r->ia == gpa && r->on_table == (c->region == PAGE_TABLE) &&
           second_stage_is_misconfiguration(&m->controls, r) ==
               (want->ending == MISCONFIGURATION) &&
           second_stage_qualification(&basic, r) == want->information &&
           second_stage_qualification(&advanced, r) == want->advanced;
}

static void check_cell(struct matrix *m, const struct cell *c, const struct expected *want)
{
    write_cell(m, c);
    enum op op = c->write ? OP_WRITE : c->fetch ? OP_EXEC : OP_READ;
    bool granted = rig_access(m->rig, op, c->user ? ACCESS_USER : 0, VA);
    bool right = granted == (want->ending == GRANTED) && (granted || exit_is(m, c, want));
    if ((!right || !memory_is(m, c, want)) && m->wrong++ < 8)
        fprintf(
            stderr,
            "%s, upper level %u 0x%" PRIx64 ", leaf 0x%" PRIx64 ", %s %s, guest's PTE 0x%" PRIx64
            ", controls %d%d 0x%" PRIx64 ": ended %d, 0x%" PRIx64 "; should %d, 0x%" PRIx64 "\n",
            c->region == DATA ? "data" : "page table", c->level, c->upper, c->leaf,
            c->user ? "user" : "supervisor",
            c->write   ? "write"
            : c->fetch ? "fetch"
                       : "read",
            m->guest, m->controls.mode_based_execute, m->controls.execute_only, m->controls.pointer,
            !granted, granted ? 0 : second_stage_qualification(&m->controls, &m->rig->walk.refusal),
            want->ending, want->information);
    m->checked++;
}

/*
 * Calls `check` for every access and guest page that the guest itself allows: data in pages of all
 * kinds, page tables with A and D in all states.
 */
static void each_access(struct matrix *m, struct cell *c,
                        void (*check)(struct matrix *, const struct cell *))
{
    for (unsigned n = 0; n < 3 * 64; n++) {
        unsigned op = n / 64;
        c->write = op == 1, c->fetch = op == 2;
        c->user = n & 1, c->u = n & 2, c->w = n & 4, c->nx = n & 8, c->a = n & 16, c->d = n & 32;
        bool denied = (c->user && !c->u) || (c->write && !c->w) || (c->fetch && c->nx);
        bool alike = c->region == DATA ? c->a != c->d : c->nx || !c->w;
        if (!denied && !alike)
            check(m, c);
    }
}

/* Calls it for each pair of entries with the bits that `entry` makes of the numbers below n. */
static void each_cell(struct matrix *m, unsigned n, uint64_t (*entry)(unsigned), uint64_t page,
                      void (*check)(struct matrix *, const struct cell *))
{
    for (unsigned region = PAGE_TABLE; region <= DATA; region++)
        for (unsigned level = 2; level <= 4; level++) {
            hpa_t at = m->below[region][level];
            uint64_t before = mem_load(&m->rig->mem, at, 8);
            for (unsigned i = 0; i < n * n; i++) {
                struct cell c = {.region = (enum area)region, .level = level};
                c.upper = (before & ~(uint64_t)4095) | entry(i / n);
                c.leaf = hpa_of(region, 0) | page | entry(i % n);
                each_access(m, &c, check);
            }
            mem_store(&m->rig->mem, at, before, 8);
            uint64_t leaf = (before & 4095) | page | hpa_of(region, 0);
            mem_store(&m->rig->mem, m->below[region][1], leaf, 8);
        }
}

/* ---- EPT ---- */

/*
 * By R, W, X and bit 10, from R = 0 up to all: '-' not present ("if bits 2:0 are all 0", bit 10 too
 * if it counts), 'b' malformed ("bit 0 is clear and bit 1 is set"), 'x' malformed if "the processor
 * does not support execute-only translations", '.' well-formed. 28.2.2, 28.2.3.1.
 */
static const char EPT_ENTRIES[] = "-.b.x.b.x.b.x.b.";

/* How a walk goes on that meets this entry: GRANTED, or how it ends. */
static enum ending ept_meets(const struct matrix *m, uint64_t e)
{
    bool user_bit = m->controls.mode_based_execute && e & BIT(10);
    switch (EPT_ENTRIES[(e & 7) | (user_bit ? 8 : 0)]) {
    case '-':
        return VIOLATION;
    case 'b':
        return MISCONFIGURATION;
    case 'x':
        return m->controls.execute_only ? GRANTED : MISCONFIGURATION;
    default:
        return GRANTED;
    }
}

/*
 * 28.2.3.2. A fetch needs bit 2, or bit 10 if it is mode-based and the linear address is one of
 * user mode, whoever fetches. A page table's entry is read; with A and D flags for EPT on it is
 * "treated as a write" and sets bits 0 and 1; with them off, the update of its own flags is a
 * write.
 */
static uint64_t ept_needs(const struct matrix *m, const struct cell *c, uint64_t both,
                          uint64_t *access)
{
    bool ad = m->controls.pointer & BIT(6);
    if (c->region == DATA) {
        *access = c->write ? BIT(1) : c->fetch ? BIT(2) : BIT(0);
        return c->fetch && m->controls.mode_based_execute && c->u ? BIT(10) : *access;
    }
    *access = ad ? BIT(0) | BIT(1) : BIT(0);
    if (!ad && both & BIT(0) && (!c->a || (c->write && !c->d)))
        *access = BIT(1);
    return *access;
}

/* Table 27-7. */
static void check_ept(struct matrix *m, const struct cell *c)
{
    bool ad = m->controls.pointer & BIT(6), table = c->region == PAGE_TABLE;
    uint64_t both = c->upper & c->leaf, access, needs = ept_needs(m, c, both, &access);
    struct expected want = {.ending = ept_meets(m, c->upper), .accessed = ad ? BIT(8) : 0};
    want.set = want.accessed | (ad && (table || c->write) ? BIT(9) : 0);
    if (want.ending == GRANTED)
        want.ending = ept_meets(m, c->leaf);
    if (want.ending == VIOLATION) { /* "bits 5:3 are cleared to 0 if any is not present" */
        both = 0;
        ept_needs(m, c, 0, &access);
    } else if (want.ending == GRANTED && (both & needs) != needs) {
        want.ending = VIOLATION;
    }
    if (want.ending == VIOLATION) {
        want.information = access | (both & 7) << 3 | BIT(7) | (table ? 0 : BIT(8));
        want.information |= m->controls.mode_based_execute && both & BIT(10) ? BIT(6) : 0;
        want.advanced = want.information;
        if (!table)
            want.advanced |= (c->u ? BIT(9) : 0) | (c->w ? BIT(10) : 0) | (c->nx ? BIT(11) : 0);
    }
    check_cell(m, c, &want);
}

static uint64_t ept_entry(unsigned n)
{
    return (n & 7) | (n & 8 ? BIT(10) : 0);
}

static void check_all_ept(enum second_stage kind, const char *what)
{
    struct matrix *m = matrix_new();
    bool five = kind == SECOND_EPT5;
    lay_second(m, five, 7 | BIT(10), 6 << 3);
    lay_guest(m);
    for (unsigned i = 0; i < 8; i++) {
        m->controls = (struct second_stage_controls){.kind = kind};
        m->controls.mode_based_execute = i & 1, m->controls.execute_only = i & 2;
        m->controls.pointer = (five ? 0x100000 | 4 << 3 : 0x101000 | 3 << 3) | 6;
        m->controls.pointer |= i & 4 ? BIT(6) : 0;
        start(m);
        each_cell(m, 16, ept_entry, 6 << 3, check_ept);
    }
    matrix_done(m, what);
}

Test(second_stage_matrix, a_violation_of_4_level_ept_is_told_as_table_27_7_says)
{
    check_all_ept(SECOND_EPT4, "exit qualification, 4 levels");
}

Test(second_stage_matrix, a_violation_of_5_level_ept_is_told_as_table_27_7_says)
{
    check_all_ept(SECOND_EPT5, "exit qualification, 5 levels");
}

/* ---- NPT ---- */

/* Bit 50 is beyond MAXPHYADDR; bit 63 is reserved too where the host has no-execute off. */
enum npt_state { NPT_WELL, NPT_ABSENT, NPT_RESERVED };

static enum npt_state npt_meets(const struct matrix *m, uint64_t e)
{
    if (!(e & 1))
        return NPT_ABSENT;
    return e & BIT(50) || (m->controls.no_nx && e & BIT(63)) ? NPT_RESERVED : NPT_WELL;
}

/*
 * 15.25.6: "bit 0 (P): cleared to 0 if the nested page was not present; bit 1 (RW): set to 1 if the
 * nested page table level access was a write: table walks for guest page tables are always treated
 * as data writes; bit 2 (US): a user access; bit 3 (RSV): reserved bits were set; bit 4 (ID): a
 * code read", defined only with no-execute on; bit 32: the guest's final physical address; 33:
 * tables.
 */
static void check_npt(struct matrix *m, const struct cell *c)
{
    bool table = c->region == PAGE_TABLE, write = table || c->write, fetch = !table && c->fetch;
    struct expected want = {.set = BIT(5) | (write ? BIT(6) : 0), .accessed = BIT(5)};
    enum npt_state state = npt_meets(m, c->upper);
    if (state == NPT_WELL)
        state = npt_meets(m, c->leaf);
    uint64_t both = c->upper & c->leaf, either = c->upper | c->leaf;
    bool allowed = both & BIT(2) && (!write || both & BIT(1)) && !(fetch && either & BIT(63));
    if (state != NPT_WELL || !allowed) {
        want.ending = NESTED_FAULT;
        want.information = (state != NPT_ABSENT ? BIT(0) : 0) | (write ? BIT(1) : 0) | BIT(2) |
                           (state == NPT_RESERVED ? BIT(3) : 0) |
                           (fetch && !m->controls.no_nx ? BIT(4) : 0) | BIT(table ? 33 : 32);
        want.advanced = want.information;
    }
    check_cell(m, c, &want);
}

static uint64_t npt_entry(unsigned n)
{
    return (n & 7) | (n & 8 ? BIT(50) : 0) | (n & 16 ? BIT(63) : 0);
}

static void check_all_npt(enum second_stage kind, const char *what)
{
    struct matrix *m = matrix_new();
    bool five = kind == SECOND_NPT5;
    lay_second(m, five, 7, 0);
    lay_guest(m);
    for (unsigned no_nx = 0; no_nx < 2; no_nx++) {
        m->controls = (struct second_stage_controls){.kind = kind, .no_nx = no_nx};
        m->controls.pointer = five ? 0x100000 : 0x101000;
        start(m);
        each_cell(m, 32, npt_entry, 0, check_npt);
    }
    matrix_done(m, what);
}

Test(second_stage_matrix, a_fault_of_4_level_npt_is_told_in_exitinfo1)
{
    check_all_npt(SECOND_NPT4, "EXITINFO1, 4 levels");
}

Test(second_stage_matrix, a_fault_of_5_level_npt_is_told_in_exitinfo1)
{
    check_all_npt(SECOND_NPT5, "EXITINFO1, 5 levels");
}
