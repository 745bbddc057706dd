/*
 * A guest's page tables that its second stage lacks or only lets it read: the violation says that a
 * table was meant, not the data (Intel SDM vol. 3, table 27-7: bit 7 set, bit 8 clear; APM vol. 2,
 * 15.25.6: bits 32 and 33). The hypervisor answers and the access completes; where the second stage
 * was made by hand there is no answer, and the exit is the outcome.
 */
#include "tests/sim/worlds.h"

enum {
    ROOT = 0x10000, /* of the guest: a table per level, one after the other */
    DATA = 0x20000,
    GUEST_AT = 0x400000, /* hpa of gpa 0, by hand */
    EPT_AT = 0x800000,
    EPT_TABLES = 4
};

static const gva_t VA = 0x8080604000; /* index 1, 2, 3, 4 */

/* What the processor tells: read, write, fetch; the entry's R, W, X; a linear address; data. */
enum { Q_R = 1, Q_W = 2, Q_X = 4, MAY_R = 8, MAY_W = 16, MAY_X = 32, Q_LINEAR = 128, Q_DATA = 256 };

static void put(uint8_t *bytes, uint64_t at, uint64_t entry)
{
    memcpy(bytes + at, &entry, sizeof entry);
}

static gpa_t guest_entry_at(unsigned level)
{
    return ROOT + (4 - level) * (gpa_t)0x1000 + (5 - level) * 8;
}

/* The guest's tables at the start of @bytes, which stand at ROOT; @flags: of all entries. */
static void put_guest(uint8_t *bytes, uint64_t flags)
{
    for (unsigned level = 4; level > 1; level--)
        put(bytes, guest_entry_at(level) - ROOT, (ROOT + (5 - level) * 0x1000) | flags);
    put(bytes, guest_entry_at(1) - ROOT, DATA | flags);
}

static struct world plain_world(void)
{
    struct world w = {.config = {.profile = profile_named("textbook"), .cpus = 1, .n_vms = 1}};
    w.config.memory = 64 * MIB;
    w.vm = (struct vm_config){.name = "vm",
                              .mode = MODE_NESTED,
                              .vcpus = 1,
                              .raw = true,
                              .paging = PAGING_4_LEVEL,
                              .memory = 2 * MIB,
                              .page_share = {0, 1000, 0, 0}};
    w.vm.registers = (struct registers){
        .cr0 = CR0_PE | CR0_WP | CR0_PG, .cr3 = ROOT, .cr4 = CR4_PAE, .efer = EFER_LME | EFER_NXE};
    return w;
}

static struct outcome access_va(struct world *w, enum op op)
{
    struct script_item item = {.verb = VERB_access, .has_value = true, .value = 0x5eed};
    struct outcome o;
    item.access =
        (struct access){.gva = VA + 8, .size = 8, .op = (uint8_t)op, .flags = ACCESS_USER};
    machine_do(w->machine, &item, &o);
    return o;
}

/* ---- absent, and answered ---- */

struct seen_exits {
    unsigned n;
    struct event event[16];
};

static void see_exit(void *self, const struct event *event)
{
    struct seen_exits *seen = self;
    if (event->kind == EVENT_EXIT && seen->n < 16)
        seen->event[seen->n++] = *event;
}

/* One access: a violation for each table from the top down, and one for the data. */
static void expect_violations(enum second_stage kind, bool accessed_dirty, uint64_t on_table,
                              uint64_t on_data)
{
    static uint8_t tables[4 * FRAME_BYTES];
    struct world like = plain_world();
    struct seen_exits seen = {0};
    struct sink sink = {see_exit, &seen};
    put_guest(tables, PTE_P | PTE_W | PTE_U);
    like.image[0] = (struct image_config){ROOT, tables, sizeof tables};
    like.vm.n_images = 1;
    like.vm.second_stage = kind;
    like.vm.no_accessed_dirty = !accessed_dirty;
    struct world *w = world_new(&like);
    machine_watch(w->machine, &sink);
    struct outcome o = access_va(w, OP_WRITE);
    cr_expect(o.kind == OUTCOME_OK && o.gpa == DATA + 8);
    cr_assert_eq(seen.n, 5, "%u exits", seen.n);
    for (unsigned i = 0; i < 5; i++) {
        gpa_t gpa = i < 4 ? guest_entry_at(4 - i) : DATA + 8;
        cr_expect_eq(seen.event[i].detail, EXIT_FOR_second_stage_violation);
        cr_expect_eq(seen.event[i].address, gpa);
        cr_expect_eq(seen.event[i].value, i < 4 ? on_table : on_data, "second stage %u: 0x%llx",
                     kind, (unsigned long long)seen.event[i].value);
    }
    cr_expect_eq(access_va(w, OP_READ).value, 0x5eed);
    world_free(w);
}

/* With A and D flags, and always under NPT, the walk's reads of tables count as writes. */
Test(table_violations, a_violation_says_whether_a_table_or_the_data_is_absent)
{
    const uint64_t table = (uint64_t)1 << 33, data = (uint64_t)1 << 32, write = 2, user = 4;
    expect_violations(SECOND_EPT4, true, Q_R | Q_W | Q_LINEAR, Q_W | Q_LINEAR | Q_DATA);
    expect_violations(SECOND_EPT5, true, Q_R | Q_W | Q_LINEAR, Q_W | Q_LINEAR | Q_DATA);
    expect_violations(SECOND_EPT4, false, Q_R | Q_LINEAR, Q_W | Q_LINEAR | Q_DATA);
    expect_violations(SECOND_NPT4, true, table | write | user, data | write | user);
    expect_violations(SECOND_NPT5, true, table | write | user, data | write | user);
}

/* ---- made by hand, and not answered ---- */

/* EPT tables for 2 MiB of guest memory from GUEST_AT on, all rights; the guest's flags, A/D. */
static struct world by_hand(uint64_t guest_flags, bool accessed_dirty)
{
    static uint8_t ept[EPT_TABLES * FRAME_BYTES], guest[4 * FRAME_BYTES];
    static struct image_config images[2] = {{EPT_AT, ept, sizeof ept},
                                            {GUEST_AT + ROOT, guest, sizeof guest}};
    struct world w = plain_world();
    for (unsigned i = 0; i + 1 < EPT_TABLES; i++)
        put(ept, i * FRAME_BYTES, (EPT_AT + (i + 1) * FRAME_BYTES) | EPT_R | EPT_W | EPT_X);
    for (gpa_t gpa = 0; gpa < 2 * MIB; gpa += FRAME_BYTES)
        put(ept, 3 * FRAME_BYTES + gpa / FRAME_BYTES * 8,
            (GUEST_AT + gpa) | EPT_TYPE_WB | EPT_R | EPT_W | EPT_X);
    put_guest(guest, guest_flags);
    w.vm.no_accessed_dirty = !accessed_dirty;
    w.vm.second_stage_raw =
        (struct second_stage_raw){.given = true,
                                  .pointer = EPT_AT | 6 | 3 << 3 | (accessed_dirty ? EPTP_AD : 0),
                                  .images = images,
                                  .n_images = 2};
    return w;
}

/* An access with the EPT leaf of @gpa's page reduced to @bits. */
static struct outcome access_with(gpa_t gpa, uint64_t bits, enum op op, uint64_t guest_flags,
                                  bool accessed_dirty)
{
    struct world like = by_hand(guest_flags, accessed_dirty), *w = world_new(&like);
    hpa_t leaf = EPT_AT + 3 * FRAME_BYTES + gpa / FRAME_BYTES * 8;
    uint64_t entry = mem_load(&w->machine->mem, leaf, 8) & ~(uint64_t)(EPT_R | EPT_W | EPT_X);
    mem_store(&w->machine->mem, leaf, bits ? entry | bits : 0, 8);
    struct outcome o = access_va(w, op);
    world_free(w);
    return o;
}

static void expect_exit(const struct outcome *o, gpa_t gpa, uint64_t qualification)
{
    cr_assert_eq(o->kind, OUTCOME_EXIT);
    cr_expect_eq(o->exit.reason, EXIT_FOR_second_stage_violation);
    cr_expect_eq(o->exit.address, gpa, "at 0x%llx, not 0x%llx", (unsigned long long)o->exit.address,
                 (unsigned long long)gpa);
    cr_expect(o->exit.has_qualification);
    cr_expect_eq(o->exit.qualification, qualification, "0x%llx, not 0x%llx",
                 (unsigned long long)o->exit.qualification, (unsigned long long)qualification);
}

enum { FRESH = PTE_P | PTE_W | PTE_U, USED = FRESH | PTE_A | PTE_D };

Test(table_violations, an_absent_table_made_by_hand_is_an_exit_that_names_its_entry)
{
    for (unsigned level = 1; level <= 4; level++) {
        gpa_t at = guest_entry_at(level);
        struct outcome o = access_with(at, 0, OP_READ, USED, true);
        expect_exit(&o, at, Q_R | Q_W | Q_LINEAR);
        o = access_with(at, 0, OP_WRITE, USED, false);
        expect_exit(&o, at, Q_R | Q_LINEAR);
    }
}

/* With EPT's A and D flags every read of a guest's table is a write, whatever its flags are. */
Test(table_violations, a_read_only_table_is_an_exit_as_soon_as_it_is_read_where_ept_keeps_a_and_d)
{
    for (unsigned level = 1; level <= 4; level++) {
        gpa_t at = guest_entry_at(level);
        struct outcome o = access_with(at, EPT_R | EPT_X, OP_READ, USED, true);
        expect_exit(&o, at, Q_R | Q_W | MAY_R | MAY_X | Q_LINEAR);
    }
}

/* Without them only setting a flag in the table is one. */
Test(table_violations, a_read_only_table_is_an_exit_only_when_a_flag_is_to_be_set_without_ept_s)
{
    for (unsigned level = 1; level <= 4; level++) {
        gpa_t at = guest_entry_at(level);
        struct outcome o = access_with(at, EPT_R | EPT_X, OP_WRITE, USED, false);
        cr_expect_eq(o.kind, OUTCOME_OK);
        o = access_with(at, EPT_R | EPT_X, OP_READ, FRESH, false);
        o.exit.qualification &= ~(uint64_t)Q_R; /* a locked read and write: either may be told */
        expect_exit(&o, at, Q_W | MAY_R | MAY_X | Q_LINEAR);
    }
}

Test(table_violations, data_that_is_absent_or_denied_is_told_as_data)
{
    struct outcome o = access_with(DATA, 0, OP_READ, USED, true);
    expect_exit(&o, DATA + 8, Q_R | Q_LINEAR | Q_DATA);
    o = access_with(DATA, EPT_R | EPT_X, OP_WRITE, USED, true);
    expect_exit(&o, DATA + 8, Q_W | MAY_R | MAY_X | Q_LINEAR | Q_DATA);
    o = access_with(DATA, EPT_R | EPT_W, OP_EXEC, USED, false);
    expect_exit(&o, DATA + 8, Q_X | MAY_R | MAY_W | Q_LINEAR | Q_DATA);
    o = access_with(DATA, EPT_R, OP_READ, USED, true);
    cr_expect_eq(o.kind, OUTCOME_OK);
}

/* SDM vol. 3, 28.2.3.3: the guest's rights come before the second stage of the data. */
Test(table_violations, a_fault_of_the_guest_s_comes_before_a_violation_of_its_data)
{
    struct outcome o = access_with(DATA, 0, OP_READ, USED & ~PTE_U, true);
    cr_expect(o.kind == OUTCOME_FAULT && o.vector == 14 && o.error_code == 5);
    o = access_with(DATA, 0, OP_READ, USED & ~PTE_P, true);
    cr_expect(o.kind == OUTCOME_FAULT && o.vector == 14 && o.error_code == 4);
}

Test(table_violations, a_malformed_entry_for_a_table_is_a_misconfiguration_without_qualification)
{
    struct outcome o = access_with(guest_entry_at(1), EPT_W, OP_READ, USED, true);
    cr_assert_eq(o.kind, OUTCOME_EXIT);
    cr_expect_eq(o.exit.reason, EXIT_FOR_second_stage_misconfiguration);
    cr_expect_eq(o.exit.address, guest_entry_at(1));
    cr_expect_eq(o.exit.qualification, 0);
}
