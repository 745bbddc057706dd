/*
 * What shadow paging costs, operation by operation: the exits and the work of each policy. The
 * counts of KVM's are those that KVM's own statistics showed.
 */
#include "tests/sim/shadow_support.h"

/*
 * A raw guest of 4 levels: tables at 0x1000 (PGD), 0x2000, 0x3000 (PMD), and page tables from
 * 0x10000 on, which map 0x400000 on. Its own table is not mapped: it edits by `store`.
 */
enum { ROOT = 0x1000, OTHER_ROOT = 0x5000, PMD = 0x3000, PT = 0x10000, DATA = 0x800000 };
enum { GVA = 0x400000, PAGE = 4096, TABLE = PTE_P | PTE_W | PTE_U | PTE_A };
enum { FRESH = PTE_P | PTE_W | PTE_U };

static struct rig *guest_new(const char *shadow)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"profile\":\"skylake-sp\",\"memory\":\"256MiB\"},"
             "\"vms\":[{\"memory\":\"64MiB\",\"registers\":{\"cr3\":\"0x1000\"},"
             "\"mode\":\"shadow\",\"shadow\":{%s}}]}",
             shadow);
    struct rig *rig = rig_new(json);
    for (gpa_t root = ROOT; root <= OTHER_ROOT; root += OTHER_ROOT - ROOT)
        store_at(rig, root, 0x2000 | TABLE, 8);
    store_at(rig, 0x2000, PMD | TABLE, 8);
    return rig;
}

static struct rig *guest_of(unsigned policy)
{
    char shadow[64];
    snprintf(shadow, sizeof shadow, "\"policy\":\"%s\"", policies[policy]);
    return guest_new(shadow);
}

static gpa_t pte_at(unsigned page)
{
    return PT + 8 * (gpa_t)page;
}

/* Maps @p n pages from GVA on, with entries of these bits. */
static void map(struct rig *rig, unsigned n, uint64_t bits)
{
    for (unsigned i = 0; i < n; i++) {
        if (i % 512 == 0)
            store_at(rig, PMD + 8 * (GVA / 0x200000 + i / 512), (PT + i / 512 * PAGE) | TABLE, 8);
        store_at(rig, pte_at(i), (DATA + (uint64_t)i * PAGE) | bits, 8);
    }
}

static void touch_each(struct rig *rig, unsigned n, enum op op)
{
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(access_at(rig, op, ACCESS_USER, GVA + (gva_t)i * PAGE, 8, i).kind, OUTCOME_OK);
}

/* What has been counted since the last time. */
struct since {
    uint64_t exits, hidden, faults, writes;
    uint64_t work[WORK_COUNT];
};

static struct since now(const struct rig *rig)
{
    struct since s = {.exits = all_exits(rig),
                      .hidden = exits_for(rig, EXIT_FOR_hidden_fault),
                      .faults = exits_for(rig, EXIT_FOR_page_fault),
                      .writes = exits_for(rig, EXIT_FOR_table_write)};
    for (unsigned w = 0; w < WORK_COUNT; w++)
        s.work[w] = works(rig, w);
    return s;
}

static struct since since(const struct rig *rig, struct since *last)
{
    struct since s = now(rig), d = s;
    d.exits -= last->exits;
    d.hidden -= last->hidden;
    d.faults -= last->faults;
    d.writes -= last->writes;
    for (unsigned w = 0; w < WORK_COUNT; w++)
        d.work[w] -= last->work[w];
    *last = s;
    return d;
}

#define EACH_POLICY(p) for (unsigned p = 0; p < POLICY_COUNT; p++)

/* ---- pages of the guest ---- */

Test(shadow, the_first_read_of_each_page_exits_and_no_other)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 100, FRESH);
        struct since last = now(rig);
        touch_each(rig, 100, OP_READ);
        struct since d = since(rig, &last);
        cr_expect_eq(d.exits, 100);
        cr_expect_eq(d.hidden, 100);
        cr_expect_eq(d.work[WORK_fill], 100);
        cr_expect_eq(d.work[WORK_prefetch], 0);
        touch_each(rig, 100, OP_READ);
        cr_expect_eq(since(rig, &last).exits, 0);
        rig_free(rig);
    }
}

Test(shadow, the_first_write_after_a_read_exits_again_to_set_d)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 100, FRESH);
        touch_each(rig, 100, OP_READ);
        cr_expect(!(word_at(rig, pte_at(7)) & PTE_D) && word_at(rig, pte_at(7)) & PTE_A);
        struct since last = now(rig);
        touch_each(rig, 100, OP_WRITE);
        struct since d = since(rig, &last);
        cr_expect_eq(d.hidden, 100);
        cr_expect_eq(d.exits, 100);
        cr_expect_eq(d.work[WORK_dirty], 100);
        cr_expect_eq(d.work[WORK_fill], 0);
        cr_expect(word_at(rig, pte_at(7)) & PTE_D);
        touch_each(rig, 100, OP_WRITE);
        cr_expect_eq(since(rig, &last).exits, 0);
        rig_free(rig);
    }
}

Test(shadow, a_first_write_does_both_at_once)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 100, FRESH);
        struct since last = now(rig);
        touch_each(rig, 100, OP_WRITE);
        cr_expect_eq(since(rig, &last).exits, 100);
        rig_free(rig);
    }
}

Test(shadow, the_guests_own_faults_exit_and_are_handed_on)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 1, FRESH);
        struct since last = now(rig);
        for (unsigned i = 0; i < 50; i++) {
            struct outcome o = access_at(rig, OP_READ, ACCESS_USER, GVA + PAGE + i * PAGE, 8, 0);
            cr_expect(o.kind == OUTCOME_FAULT && o.vector == 14 && o.error_code == 4);
            cr_expect(o.level == 1 && o.cr2 == GVA + PAGE + i * PAGE);
        }
        struct since d = since(rig, &last);
        cr_expect_eq(d.faults, 50);
        cr_expect_eq(d.exits, 50);
        cr_expect_eq(d.work[WORK_inject], 50);
        rig_free(rig);
    }
}

/* ---- the guest's writes to its tables ---- */

/* New entries in a live table, then the pages. */
static struct since new_entries(unsigned policy, struct since *fills)
{
    struct rig *rig = guest_of(policy);
    map(rig, 1, FRESH);
    touch_each(rig, 1, OP_READ);
    struct since last = now(rig);
    for (unsigned i = 1; i <= 50; i++)
        store_at(rig, pte_at(i), (DATA + (uint64_t)i * PAGE) | FRESH, 8);
    struct since d = since(rig, &last);
    touch_each(rig, 51, OP_READ);
    *fills = since(rig, &last);
    EXPECT_SOUND(rig);
    rig_free(rig);
    return d;
}

Test(shadow, entries_written_into_a_live_table)
{
    struct since fills, d = new_entries(KVM, &fills);
    cr_expect(d.exits == 1 && d.writes == 1, "the table goes out of sync at once: %llu",
              (unsigned long long)d.exits);
    cr_expect(d.work[WORK_unsync] == 1 && d.work[WORK_emulate] == 0);
    cr_expect_eq(fills.hidden, 50);
    d = new_entries(TRACE, &fills);
    cr_expect(d.exits == 50 && d.writes == 50, "each is traced");
    cr_expect_eq(d.work[WORK_emulate], 50);
    cr_expect_eq(fills.hidden, 50);
    d = new_entries(VTLB, &fills);
    cr_expect_eq(d.exits, 0, "nobody watches");
    cr_expect_eq(fills.hidden, 50);
}

/* Fault, entry written by its handler, access: the row "guest-handled page fault". */
Test(shadow, a_fault_that_the_guest_handles)
{
    static const uint64_t expected[POLICY_COUNT][3] = {
        {3, 2, 2}, /* the first entry takes the table out of sync */
        {3, 3, 3},
        {2, 2, 2}};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 1, FRESH);
        touch_each(rig, 1, OP_READ);
        for (unsigned i = 1; i <= 3; i++) {
            struct since last = now(rig);
            gva_t gva = GVA + (gva_t)i * PAGE;
            cr_expect_eq(access_at(rig, OP_READ, 0, gva, 8, 0).kind, OUTCOME_FAULT);
            store_at(rig, pte_at(i), (DATA + (uint64_t)i * PAGE) | FRESH, 8);
            cr_expect_eq(access_at(rig, OP_READ, 0, gva, 8, 0).kind, OUTCOME_OK);
            cr_expect_eq(since(rig, &last).exits, expected[p][i - 1], "%s, %u", policies[p], i);
        }
        rig_free(rig);
    }
}

Test(shadow, an_upper_table_written_again_and_again_is_given_up)
{
    static const uint64_t exits[POLICY_COUNT] = {3, 10, 0};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 1, FRESH);
        touch_each(rig, 1, OP_READ);
        struct since last = now(rig);
        for (unsigned i = 0; i < 10; i++)
            store_at(rig, PMD + 8 * (100 + i), 0x20000 | TABLE, 8);
        struct since d = since(rig, &last);
        cr_expect_eq(d.exits, exits[p], "%s", policies[p]);
        cr_expect_eq(d.work[WORK_emulate], exits[p]);
        cr_expect_eq(d.work[WORK_flood], p == KVM);
        cr_expect_eq(d.work[WORK_zap], p == KVM);
        touch_each(rig, 1, OP_READ);
        cr_expect_eq(since(rig, &last).hidden, p == KVM, "it is shadowed anew when it is used");
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

Test(shadow, use_between_writes_keeps_an_upper_table)
{
    struct rig *rig = guest_of(KVM);
    map(rig, 20, FRESH);
    struct since last = now(rig);
    for (unsigned i = 0; i < 10; i++) {
        store_at(rig, PMD + 8 * (100 + i), 0x20000 | TABLE, 8);
        cr_assert_eq(access_at(rig, OP_READ, 0, GVA + (gva_t)i * PAGE, 8, 0).kind, OUTCOME_OK);
    }
    struct since d = since(rig, &last);
    cr_expect_eq(d.work[WORK_flood], 0);
    cr_expect_eq(d.work[WORK_emulate], 9, "the first came before the table had a shadow");
    rig_free(rig);
}

/* Two address spaces share the tables under their roots; the other's root is shadowed too. */
Test(shadow, a_write_to_the_table_of_another_process)
{
    static const uint64_t exits[POLICY_COUNT] = {1, 5, 0};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 8, FRESH);
        store_at(rig, OTHER_ROOT, 0, 8);
        touch_each(rig, 8, OP_READ);
        load_register(rig, VERB_mov_cr3, OTHER_ROOT);
        struct since last = now(rig);
        for (unsigned i = 0; i < 5; i++)
            store_at(rig, pte_at(i), (DATA + (uint64_t)(i + 50) * PAGE) | FRESH | PTE_A, 8);
        cr_expect_eq(since(rig, &last).exits, exits[p], "%s", policies[p]);
        load_register(rig, VERB_mov_cr3, ROOT);
        struct since d = since(rig, &last);
        cr_expect_eq(d.exits, 1);
        cr_expect_eq(d.work[WORK_sync], p == KVM);
        for (unsigned i = 0; i < 8; i++)
            cr_expect_eq(access_at(rig, OP_READ, 0, GVA + (gva_t)i * PAGE, 8, 0).gpa,
                         DATA + (i < 5 ? i + 50 : i) * PAGE);
        rig_free(rig);
    }
}

/* ---- invalidation ---- */

Test(shadow, each_invlpg_exits)
{
    static const uint64_t refilled[POLICY_COUNT] = {0, 50, 50};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 50, FRESH);
        touch_each(rig, 50, OP_READ);
        struct since last = now(rig);
        for (unsigned i = 0; i < 50; i++)
            invlpg_at(rig, GVA + (gva_t)i * PAGE);
        struct since d = since(rig, &last);
        cr_expect_eq(d.exits, 50);
        cr_expect_eq(exits_for(rig, EXIT_FOR_invlpg), 50);
        cr_expect_eq(d.work[WORK_intercept], 50);
        touch_each(rig, 50, OP_READ);
        cr_expect_eq(since(rig, &last).hidden, refilled[p], "%s: a table in sync needs no dropping",
                     policies[p]);
        rig_free(rig);
    }
}

Test(shadow, invlpg_looks_at_one_entry_of_a_table_out_of_sync)
{
    struct rig *rig = guest_of(KVM);
    map(rig, 50, FRESH);
    touch_each(rig, 50, OP_READ);
    for (unsigned i = 0; i < 50; i++)
        store_at(rig, pte_at(i), 0, 8);
    struct since last = now(rig);
    for (unsigned i = 0; i < 50; i++) {
        invlpg_at(rig, GVA + (gva_t)i * PAGE);
        cr_expect_eq(access_at(rig, OP_READ, 0, GVA + (gva_t)i * PAGE, 8, 0).kind, OUTCOME_FAULT);
    }
    struct since d = since(rig, &last);
    cr_expect_eq(d.exits, 100);
    cr_expect_eq(d.faults, 50);
    cr_expect_eq(d.work[WORK_sync], 0);
    rig_free(rig);
}

Test(shadow, each_load_of_cr3_exits)
{
    static const uint64_t refilled[POLICY_COUNT] = {0, 0, 50};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 50, FRESH);
        touch_each(rig, 50, OP_READ);
        struct since last = now(rig);
        for (unsigned i = 0; i < 10; i++)
            load_register(rig, VERB_mov_cr3, ROOT);
        struct since d = since(rig, &last);
        cr_expect_eq(d.exits, 10);
        cr_expect_eq(d.work[WORK_sync], 0);
        cr_expect_eq(d.work[WORK_zap], p == VTLB ? 4 : 0, "%s", policies[p]);
        touch_each(rig, 50, OP_READ);
        cr_expect_eq(since(rig, &last).hidden, refilled[p], "%s", policies[p]);
        for (unsigned i = 0; i < 10; i++)
            load_register(rig, VERB_mov_cr4, i % 2 ? CR4_PAE : CR4_PAE | CR4_PGE);
        cr_expect_eq(since(rig, &last).exits, 10);
        rig_free(rig);
    }
}

/* A table out of sync is looked through once, and watched again from then on. */
Test(shadow, a_load_of_cr3_brings_tables_in_sync)
{
    struct rig *rig = guest_of(KVM);
    map(rig, 50, FRESH);
    touch_each(rig, 50, OP_READ);
    struct since last = now(rig);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 20; i++)
            store_at(rig, pte_at(i), (DATA + (uint64_t)(i + round) * PAGE) | FRESH | PTE_A, 8);
        load_register(rig, VERB_mov_cr3, ROOT);
    }
    struct since d = since(rig, &last);
    cr_expect_eq(d.writes, 5);
    cr_expect_eq(d.work[WORK_unsync], 5);
    cr_expect_eq(d.work[WORK_sync], 5);
    cr_expect_eq(d.exits, 10);
    EXPECT_SOUND(rig);
    rig_free(rig);
}

Test(shadow, writing_the_key_register_does_not_exit)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 1, FRESH);
        touch_each(rig, 1, OP_READ);
        struct since last = now(rig);
        load_register(rig, VERB_wrpkru, 0xc);
        touch_each(rig, 1, OP_READ);
        cr_expect_eq(since(rig, &last).exits, 0);
        rig_free(rig);
    }
}

/* ---- prefetching, and what the host takes away ---- */

static void take_away(struct rig *rig, unsigned n)
{
    const struct script_item drop = {.verb = VERB_drop, .gpa = DATA, .length = n * FRAME_BYTES};
    struct outcome o;
    machine_do(rig->machine, &drop, &o);
    cr_assert_eq(o.kind, OUTCOME_OK);
}

Test(shadow, entries_that_were_used_are_filled_eight_at_a_time)
{
    static const uint64_t exits[POLICY_COUNT] = {13, 100, 100};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p);
        map(rig, 100, FRESH);
        touch_each(rig, 100, OP_READ);
        take_away(rig, 100);
        EXPECT_SOUND(rig);
        struct since last = now(rig);
        touch_each(rig, 100, OP_READ);
        struct since d = since(rig, &last);
        cr_expect_eq(d.exits, exits[p], "%s: %llu", policies[p], (unsigned long long)d.exits);
        cr_expect_eq(d.work[WORK_prefetch], 100 - exits[p]);
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

Test(shadow, prefetching_stops_at_an_entry_that_was_not_used)
{
    struct rig *rig = guest_of(KVM);
    map(rig, 8, FRESH | PTE_A);
    store_at(rig, pte_at(3), (DATA + 3 * PAGE) | FRESH, 8);
    struct since last = now(rig);
    cr_assert_eq(access_at(rig, OP_READ, 0, GVA + 6 * PAGE, 8, 0).kind, OUTCOME_OK);
    cr_expect_eq(since(rig, &last).work[WORK_prefetch], 0, "no frame has been given yet");
    touch_each(rig, 8, OP_READ);
    take_away(rig, 8);
    store_at(rig, pte_at(3), (DATA + 3 * PAGE) | FRESH, 8);
    last = now(rig);
    cr_assert_eq(access_at(rig, OP_READ, 0, GVA + 6 * PAGE, 8, 0).kind, OUTCOME_OK);
    cr_expect_eq(since(rig, &last).work[WORK_prefetch], 3);
    rig_free(rig);
}

/* ---- a bounded number of tables ---- */

/* One page of each of @p n tables, three times; as KVM's statistics showed of its bound. */
static void thrash(unsigned n, uint64_t exits[3], uint64_t *recycled)
{
    struct rig *rig = guest_new("\"pages\":102");
    for (unsigned i = 0; i < n; i++) {
        store_at(rig, PMD + 8 * (i + 2), (PT + (uint64_t)i * PAGE) | TABLE, 8);
        store_at(rig, PT + (uint64_t)i * PAGE, (DATA + (uint64_t)i * PAGE) | FRESH, 8);
    }
    struct since last = now(rig);
    *recycled = 0;
    for (unsigned pass = 0; pass < 3; pass++) {
        for (unsigned i = 0; i < n; i++)
            cr_assert_eq(access_at(rig, OP_READ, 0, (gva_t)(i + 2) << 21, 8, 0).kind, OUTCOME_OK);
        struct since d = since(rig, &last);
        exits[pass] = d.exits;
        *recycled += d.work[WORK_recycle];
    }
    EXPECT_SOUND(rig);
    cr_expect_leq(rig->machine->vm[0].shadow.live, 102);
    rig_free(rig);
}

Test(shadow, tables_beyond_the_bound_push_each_other_out)
{
    uint64_t exits[3], recycled;
    thrash(50, exits, &recycled);
    cr_expect(exits[0] == 50 && exits[1] == 0 && exits[2] == 0 && recycled == 0);
    thrash(100, exits, &recycled);
    cr_expect(exits[0] == 100 && exits[1] == 100 && exits[2] == 100, "%llu %llu %llu",
              (unsigned long long)exits[0], (unsigned long long)exits[1],
              (unsigned long long)exits[2]);
    cr_expect(recycled > 190 && recycled < 240, "%llu", (unsigned long long)recycled);
}

Test(shadow, the_bound_is_2_percent_of_the_pages_and_at_least_64)
{
    struct rig *rig = guest_of(KVM);
    cr_expect_eq(rig->machine->vm[0].shadow.limit, 64 * 256 * 20 / 1000);
    rig_free(rig);
}
