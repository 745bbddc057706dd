/*
 * Shadow paging, its parts: CR0.WP clear, large pages, tables that a guest maps and writes itself,
 * several vCPUs, guests with an OS, and clones.
 */
#include "tests/sim/shadow_support.h"

enum { ROOT = 0x1000, PUD = 0x2000, PMD = 0x3000, PT = 0x4000, PAGE = 4096, LARGE = 0x200000 };
enum { DATA = 0x800000, TABLE = PTE_P | PTE_W | PTE_U | PTE_A, ALL = PTE_P | PTE_W | PTE_U };
enum { USED = ALL | PTE_A | PTE_D };

static struct rig *raw_guest(const char *settings)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"profile\":\"ice-lake\",\"memory\":\"256MiB\"},"
             "\"vms\":[{\"memory\":\"64MiB\",\"registers\":{\"cr3\":\"0x1000\",\"cr4\":\"0x20\","
             "\"efer\":\"0xd00\"},%s}]}",
             settings);
    struct rig *rig = rig_new(json);
    store_at(rig, ROOT, PUD | TABLE, 8);
    store_at(rig, PUD, PMD | TABLE, 8);
    store_at(rig, PMD, PT | TABLE, 8);
    return rig;
}

static struct rig *guest_of(unsigned policy, const char *more)
{
    char settings[256];
    snprintf(settings, sizeof settings, "\"mode\":\"shadow\",\"shadow\":{\"policy\":\"%s\"}%s",
             policies[policy], more);
    return raw_guest(settings);
}

static struct outcome read_at(struct rig *rig, gva_t gva)
{
    return access_at(rig, OP_READ, 0, gva, 8, 0);
}

static struct outcome write_at(struct rig *rig, gva_t gva, uint64_t value)
{
    return access_at(rig, OP_WRITE, 0, gva, 8, value);
}

#define EACH_POLICY(p) for (unsigned p = 0; p < POLICY_COUNT; p++)

/* ---- CR0.WP clear: "no access that native allows is refused, and none that it refuses is not"
 * ---- */

static const struct {
    enum op op;
    unsigned flags;
} kinds[] = {{OP_READ, 0},           {OP_WRITE, 0},           {OP_EXEC, 0},
             {OP_READ, ACCESS_USER}, {OP_WRITE, ACCESS_USER}, {OP_EXEC, ACCESS_USER},
             {OP_READ, ACCESS_AC},   {OP_WRITE, ACCESS_AC}};
enum { ACCESSES = sizeof kinds / sizeof *kinds };

static void compare_sequence(struct rig *twin[2], uint64_t entry, unsigned sequence)
{
    for (unsigned i = 0; i < 2; i++) {
        store_at(twin[i], PT, entry, 8);
        invlpg_at(twin[i], 0);
    }
    for (unsigned n = 0, rest = sequence; n < 3; n++, rest /= ACCESSES) {
        struct outcome o[2];
        unsigned kind = rest % ACCESSES;
        for (unsigned i = 0; i < 2; i++)
            o[i] = access_at(twin[i], kinds[kind].op, kinds[kind].flags, 0, 8, sequence);
        cr_assert(o[0].kind == o[1].kind && o[0].error_code == o[1].error_code &&
                      o[0].value == o[1].value,
                  "entry %#llx, sequence %u, access %u: %d and %d", (unsigned long long)entry,
                  sequence, n, o[0].kind, o[1].kind);
    }
    cr_assert_eq(word_at(twin[0], PT), word_at(twin[1], PT), "A and D of %#llx after %u",
                 (unsigned long long)entry, sequence);
}

static void compare_rules(unsigned policy, uint64_t cr4)
{
    struct rig *twin[2] = {raw_guest("\"mode\":\"native\""), guest_of(policy, "")};
    for (unsigned i = 0; i < 2; i++) {
        load_register(twin[i], VERB_mov_cr0, CR0_PE | CR0_PG);
        load_register(twin[i], VERB_mov_cr4, CR4_PAE | cr4);
        load_register(twin[i], VERB_wrpkru, 2 << 2); /* key 1: no writes */
    }
    for (unsigned rights = 0; rights < 16; rights++) {
        uint64_t entry = DATA | PTE_P | (rights & 1 ? PTE_W : 0) | (rights & 2 ? PTE_U : 0) |
                         (rights & 4 ? PTE_NX : 0) | (uint64_t)(rights >> 3) << PTE_PK_SHIFT;
        for (unsigned sequence = 0; sequence < ACCESSES * ACCESSES * ACCESSES; sequence++)
            compare_sequence(twin, entry, sequence);
    }
    EXPECT_SOUND(twin[1]);
    rig_free(twin[0]);
    rig_free(twin[1]);
}

Test(shadow_pages, without_wp_all_rights_are_as_natively, .timeout = 300)
{
    static const uint64_t rules[] = {0, CR4_SMEP, CR4_SMAP, CR4_SMEP | CR4_SMAP, CR4_PKE};
    EACH_POLICY(p)
    for (unsigned r = 0; r < sizeof rules / sizeof *rules; r++)
        compare_rules(p, rules[r]);
}

/* Supervisor's own after its write, the user's again after a read: each change exits once. */
Test(shadow_pages, a_read_only_page_changes_hands)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p, "");
        load_register(rig, VERB_mov_cr0, CR0_PE | CR0_PG);
        store_at(rig, PT, DATA | PTE_P | PTE_U, 8);
        for (unsigned i = 0; i < 5; i++) {
            uint64_t before = all_exits(rig);
            cr_expect_eq(write_at(rig, 0, i).kind, OUTCOME_OK);
            cr_expect_eq(write_at(rig, 8, i).kind, OUTCOME_OK);
            cr_expect_eq(access_at(rig, OP_READ, ACCESS_USER, 0, 8, 0).value, i);
            cr_expect_eq(access_at(rig, OP_READ, ACCESS_USER, 8, 8, 0).value, i);
            cr_expect_eq(all_exits(rig) - before, 2);
            cr_expect_eq(access_at(rig, OP_WRITE, ACCESS_USER, 0, 8, 9).error_code, 7);
        }
        rig_free(rig);
    }
}

/* ---- large pages ---- */

static uint64_t exits_of_reads(struct rig *rig, gva_t gva, uint64_t step, unsigned n)
{
    uint64_t before = all_exits(rig);
    for (unsigned i = 0; i < n; i++)
        cr_expect_eq(read_at(rig, gva + i * step).gpa, DATA + i * step);
    return all_exits(rig) - before;
}

#define HOST_2M ",\"second_stage_page\":\"2MiB\""

Test(shadow_pages, large_pages_of_both_sides_make_a_large_entry)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p, HOST_2M);
        store_at(rig, PMD + 8, DATA | USED | PTE_PS, 8);
        cr_expect_eq(exits_of_reads(rig, LARGE, PAGE, 512), 1);
        cr_expect_eq(works(rig, WORK_split), 0);
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

Test(shadow_pages, a_large_page_of_the_host_alone_is_mapped_in_pieces)
{
    struct rig *rig = guest_of(TRACE, HOST_2M);
    for (unsigned i = 0; i < 512; i++)
        store_at(rig, PT + 8 * i, (DATA + (uint64_t)i * PAGE) | USED, 8);
    cr_expect_eq(exits_of_reads(rig, 0, PAGE, 512), 512);
    rig_free(rig);
}

Test(shadow_pages, a_large_page_of_the_guest_alone_is_split)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p, "");
        store_at(rig, PMD + 8, DATA | USED | PTE_PS, 8);
        cr_expect_eq(exits_of_reads(rig, LARGE, PAGE, 512), 512);
        cr_expect_eq(works(rig, WORK_split), 1);
        EXPECT_SOUND(rig);
        store_at(rig, PMD + 8, (DATA + LARGE) | USED | PTE_PS, 8);
        invlpg_at(rig, LARGE + 0x7000); /* one address is enough for all pieces */
        for (unsigned i = 0; i < 512; i++)
            cr_expect_eq(read_at(rig, LARGE + i * PAGE).gpa, DATA + LARGE + i * PAGE);
        rig_free(rig);
    }
}

Test(shadow_pages, a_page_of_1_gib_stands_on_what_the_host_has)
{
    struct rig *rig = guest_of(KVM, HOST_2M);
    store_at(rig, PUD + 8, USED | PTE_PS, 8);
    gva_t gva = ((gva_t)1 << 30) + DATA;
    cr_expect_eq(exits_of_reads(rig, gva, PAGE, 512), 1);
    cr_expect_eq(works(rig, WORK_split), 1);
    EXPECT_SOUND(rig);
    rig_free(rig);
}

/* A table stands in the large page: it must not be writable as a part of it. */
Test(shadow_pages, a_large_page_with_a_watched_table_inside_is_split)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p, HOST_2M);
        gpa_t table = DATA + 5 * PAGE;
        store_at(rig, PMD + 8, DATA | USED | PTE_PS, 8);
        cr_expect_eq(exits_of_reads(rig, LARGE, PAGE, 512), 1);
        store_at(rig, table, (DATA + LARGE) | ALL, 8);
        store_at(rig, PMD + 16, table | TABLE, 8);
        cr_expect_eq(read_at(rig, 2 * LARGE).gpa, DATA + LARGE);
        EXPECT_SOUND(rig);
        uint64_t before = exits_for(rig, EXIT_FOR_table_write);
        cr_expect_eq(write_at(rig, LARGE + 5 * PAGE + 8, (DATA + LARGE + PAGE) | ALL).kind,
                     OUTCOME_OK);
        cr_expect_eq(exits_for(rig, EXIT_FOR_table_write) - before, p != VTLB);
        cr_expect_eq(read_at(rig, 2 * LARGE + PAGE).gpa, DATA + LARGE + PAGE);
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

/* ---- tables that the guest has mapped ---- */

/* Its page table at 0x1000, its PMD at 0x2000. */
static struct rig *guest_with_tables(unsigned policy)
{
    struct rig *rig = guest_of(policy, "");
    store_at(rig, PT + 8, PT | USED, 8);
    store_at(rig, PT + 16, PMD | USED, 8);
    read_at(rig, 0x1000);
    read_at(rig, 0x2000);
    return rig;
}

Test(shadow_pages, a_program_that_writes_a_page_table)
{
    static const uint64_t exits[POLICY_COUNT] = {1, 50, 0};
    EACH_POLICY(p)
    {
        struct rig *rig = guest_with_tables(p);
        uint64_t before = exits_for(rig, EXIT_FOR_table_write);
        for (unsigned i = 0; i < 50; i++)
            cr_expect_eq(write_at(rig, 0x1000 + 8 * (100 + i), (DATA + i * PAGE) | ALL).gpa,
                         PT + 8 * (100 + i));
        cr_expect_eq(exits_for(rig, EXIT_FOR_table_write) - before, exits[p], "%s", policies[p]);
        cr_expect_eq(works(rig, WORK_emulate), p == TRACE ? 50 : 0);
        for (unsigned i = 0; i < 50; i++)
            cr_expect_eq(read_at(rig, (gva_t)(100 + i) * PAGE).gpa, DATA + i * PAGE);
        for (unsigned i = 0; i < 50; i++) {
            cr_expect_eq(write_at(rig, 0x1000 + 8 * (100 + i), 0).kind, OUTCOME_OK);
            invlpg_at(rig, (gva_t)(100 + i) * PAGE);
            cr_expect_eq(read_at(rig, (gva_t)(100 + i) * PAGE).kind, OUTCOME_FAULT);
        }
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

/*
 * By a way that does not lead through that table itself, which would be a use. Three are emulated;
 * then the table has no shadow, and one exit makes it writable.
 */
Test(shadow_pages, a_program_that_writes_an_upper_table)
{
    struct rig *rig = guest_with_tables(KVM);
    gva_t gva = (gva_t)1 << 30;
    store_at(rig, PUD + 8, 0x5000 | TABLE, 8);
    store_at(rig, 0x5000, 0x6000 | TABLE, 8);
    store_at(rig, 0x6000, PMD | USED, 8);
    read_at(rig, gva);
    uint64_t writes = exits_for(rig, EXIT_FOR_table_write), all = all_exits(rig);
    for (unsigned i = 0; i < 10; i++)
        write_at(rig, gva + 8 * (100 + i), PT | TABLE);
    cr_expect_eq(exits_for(rig, EXIT_FOR_table_write) - writes, 3);
    cr_expect_eq(works(rig, WORK_emulate), 3 + 1, "one was of the PUD, before");
    cr_expect_eq(works(rig, WORK_flood), 1);
    cr_expect_eq(all_exits(rig) - all, 4);
    cr_expect_eq(read_at(rig, (gva_t)103 * LARGE + 0x1000).gpa, PT);
    EXPECT_SOUND(rig);
    rig_free(rig);
}

Test(shadow_pages, a_write_across_two_pages_reaches_a_watched_table)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_with_tables(p);
        store_at(rig, PT, (DATA + 7 * PAGE) | USED, 8);
        store_at(rig, PT + 8 * 3, DATA | USED, 8);
        uint64_t value = (DATA + (uint64_t)9 * PAGE) | ALL;
        cr_expect_eq(write_at(rig, 0x1000 - 4, value << 32).kind, OUTCOME_OK);
        cr_expect_eq(word_at(rig, PT) & 0xffffffff, value, "%#llx",
                     (unsigned long long)word_at(rig, PT));
        invlpg_at(rig, 0);
        cr_expect_eq(read_at(rig, 0).gpa, DATA + 9 * PAGE);
        rig_free(rig);
    }
}

/* ---- memory, roots, taking back ---- */

Test(shadow_pages, tables_are_given_back)
{
    struct rig *rig = guest_of(VTLB, "");
    store_at(rig, PT, DATA | USED, 8);
    cr_expect_eq(rig->machine->vm[0].host_tables, 0);
    read_at(rig, 0);
    cr_expect_eq(rig->machine->vm[0].host_tables, 4 * FRAME_BYTES);
    hpa_t bottom = rig->machine->host.frames.bottom;
    for (unsigned i = 0; i < 10; i++) {
        load_register(rig, VERB_mov_cr3, ROOT);
        cr_expect_eq(rig->machine->vm[0].host_tables, 0);
        read_at(rig, 0);
    }
    cr_expect_eq(rig->machine->host.frames.bottom, bottom, "the same frames again");
    rig_free(rig);
}

Test(shadow_pages, with_paging_off_addresses_are_physical)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p, "");
        store_at(rig, PT, DATA | USED, 8);
        cr_expect_eq(write_at(rig, 16, 0x1234).gpa, DATA + 16);
        load_register(rig, VERB_mov_cr0, CR0_PE);
        cr_expect_eq(read_at(rig, DATA + 16).value, 0x1234);
        cr_expect_eq(read_at(rig, PT).value, DATA | USED);
        cr_expect_eq(write_at(rig, PT, (DATA + PAGE) | USED).kind, OUTCOME_OK);
        EXPECT_SOUND(rig);
        load_register(rig, VERB_mov_cr0, CR0_PE | CR0_PG | CR0_WP);
        cr_expect_eq(read_at(rig, 0).gpa, DATA + PAGE);
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

/* ---- several vCPUs ---- */

static struct outcome on_vcpu(struct rig *rig, unsigned vcpu, gva_t gva)
{
    struct machine *m = rig->machine;
    const struct access access = {.gva = gva, .size = 8, .op = OP_READ};
    struct walk w;
    struct pieces pieces;
    struct outcome o;
    access_complete(m, &m->vcpu[vcpu], &access, false, &w, NULL, &pieces, &o);
    return o;
}

Test(shadow_pages, vcpus_share_shadow_pages_and_what_is_dropped)
{
    EACH_POLICY(p)
    {
        struct rig *rig = guest_of(p, ",\"vcpus\":2");
        struct door door = {rig->machine, &rig->machine->vcpu[0]};
        for (unsigned i = 0; i < 8; i++)
            store_at(rig, PT + 8 * i, (DATA + i * PAGE) | USED, 8);
        for (unsigned i = 0; i < 8; i++)
            on_vcpu(rig, 0, i * PAGE);
        uint64_t before = all_exits(rig);
        for (unsigned i = 0; i < 8; i++)
            cr_expect_eq(on_vcpu(rig, 1, i * PAGE).gpa, DATA + i * PAGE);
        cr_expect_eq(all_exits(rig) - before, p == VTLB ? 8 : 1, "a root is found at once");
        before = all_exits(rig);
        shadow_drop_gfn(&door, (DATA >> FRAME_SHIFT) + 3);
        shadow_resume(&door);
        for (unsigned v = 0; v < 2; v++)
            on_vcpu(rig, v, 3 * PAGE);
        cr_expect_eq(all_exits(rig) - before, p == VTLB ? 2 : 1);
        EXPECT_SOUND(rig);
        rig_free(rig);
    }
}

/* ---- guests with an OS ---- */

#define WORK                                                                                       \
    "\"map\":[{\"gva\":\"0x7fe00000\",\"size\":\"4MiB\"}],\"workload\":{\"generator\":"            \
    "\"zipf\",\"theta\":0.7,\"accesses\":3000,\"writes\":0.4,\"remap\":0.03,\"protect\":0.05}"
#define BUILT                                                                                      \
    "{\"version\":1,\"seed\":7,\"machine\":{\"profile\":\"ice-lake\",\"memory\":\"256MiB\"},"      \
    "\"vms\":[{\"memory\":\"64MiB\",\"quantum\":50,\"guest\":{%s},%s,\"processes\":[{" WORK        \
    "},{" WORK "},{" WORK "}]}]}"

static const char *const built[] = {
    "\"paging\":\"2-level\"",
    "\"paging\":\"pae\"",
    "\"paging\":\"4-level\"",
    "\"paging\":\"5-level\",\"huge_pages\":true",
    "\"paging\":\"2-level\",\"huge_pages\":true",
    "\"reclaim\":{\"policy\":\"clock\",\"frames\":90}",
    "\"paging\":\"pae\",\"reclaim\":{\"policy\":\"lru\",\"frames\":60}",
};
enum { BUILTS = sizeof built / sizeof *built };

static struct rig *built_rig(unsigned which, const char *mode)
{
    char json[2048];
    snprintf(json, sizeof json, BUILT, built[which], mode);
    return rig_new(json);
}

static struct rig *built_shadow(unsigned which, unsigned policy, const char *more)
{
    char mode[200];
    snprintf(mode, sizeof mode, "\"mode\":\"shadow\",\"shadow\":{\"policy\":\"%s\"%s",
             policies[policy], more);
    return built_rig(which, mode);
}

static void expect_same_guest(const struct rig *a, const struct rig *b, const char *name)
{
    const struct machine *m = a->machine, *n = b->machine;
    const char *what = guest_difference(&m->vm[0], &n->vm[0]);
    cr_expect(what == NULL, "%s: %s", name, what);
    cr_expect_eq(m->signals, n->signals);
    cr_expect_eq(total_of(m, EVENT_FAULT), total_of(n, EVENT_FAULT), "%s: %llu faults and %llu",
                 name, (unsigned long long)total_of(m, EVENT_FAULT),
                 (unsigned long long)total_of(n, EVENT_FAULT));
    cr_expect_eq(total_of(m, EVENT_GUEST_STORE), total_of(n, EVENT_GUEST_STORE));
    for (gpa_t gpa = 0; gpa < m->vm[0].config->memory; gpa += FRAME_BYTES) {
        uint64_t words[2][512];
        cr_assert(machine_dump(m, 0, gpa, words[0], 512));
        cr_assert(machine_dump(n, 0, gpa, words[1], 512));
        cr_assert(!memcmp(words[0], words[1], sizeof words[0]), "%s: frame %#llx", name,
                  (unsigned long long)gpa);
    }
}

Test(shadow_pages, guests_with_an_os_do_what_they_do_natively, .timeout = 300)
{
    static const char *const more[] = {"}", ",\"pages\":8}",
                                       "},\"second_stage_page\":{\"4KiB\":0.5,\"2MiB\":0.5}"};
    for (unsigned b = 0; b < BUILTS; b++) {
        struct rig *native = built_rig(b, "\"mode\":\"native\"");
        run_out(native->machine, 1000);
        EACH_POLICY(p)
        for (unsigned i = 0; i < sizeof more / sizeof *more; i++) {
            struct rig *rig = built_shadow(b, p, more[i]);
            run_out(rig->machine, 1000);
            expect_same_guest(native, rig, built[b]);
            EXPECT_SOUND(rig);
            rig_free(rig);
        }
        rig_free(native);
    }
}

Test(shadow_pages, clones_go_on_alike, .timeout = 300)
{
    for (unsigned b = 0; b < BUILTS; b++)
        EACH_POLICY(p)
        {
            struct rig *rig = built_shadow(b, p, ",\"pages\":20},\"vcpus\":2");
            struct machine *clones[8];
            for (unsigned i = 0; i < 8; i++) {
                machine_run(rig->machine, 700);
                clones[i] = machine_clone(rig->machine);
                cr_assert(clones[i] != NULL);
            }
            run_out(rig->machine, 1000);
            EXPECT_SOUND(rig);
            for (unsigned i = 0; i < 8; i++) {
                run_out(clones[i], 333 + i);
                const char *what = state_difference(clones[i], rig->machine);
                cr_expect(what == NULL, "%s, %s, clone %u: %s", built[b], policies[p], i, what);
                machine_free(clones[i]);
            }
            rig_free(rig);
        }
}
