/*
 * The types of frames: what a guest may ask of its hypervisor, and what it may not, each with the
 * rule that forbids it; and that what is refused changes nothing.
 */
#include "tests/sim/direct.h"

#define VM                                                                                         \
    "{\"mode\":\"direct\",\"memory\":\"16MiB\",\"processes\":[{\"map\":[{\"gva\":\"0x400000\","    \
    "\"size\":\"64KiB\",\"populate\":\"start\"},{\"gva\":\"0x600000\",\"size\":\"16KiB\","         \
    "\"populate\":\"start\",\"rights\":\"ru\"}],\"workload\":{\"generator\":\"sequential\","       \
    "\"accesses\":1}}]}"
#define TWO_VMS                                                                                    \
    "{\"version\":1,\"machine\":{\"profile\":\"skylake-sp\",\"memory\":\"64MiB\"},\"vms\":[" VM    \
    "," VM "]}"

enum { WRITABLE_PAGE = 0x400000, READ_ONLY_PAGE = 0x600000 };

/* What an update leaves as it was, where it is refused. */
struct before {
    struct mem mem, words;
};

static struct before remember(const struct machine *m)
{
    struct before b;
    cr_assert(mem_clone(&b.mem, &m->mem));
    cr_assert(mem_clone(&b.words, &m->vm[0].direct->types.words));
    return b;
}

static void expect_unchanged(const struct machine *m, struct before *b)
{
    cr_expect(same_memory(&b->mem, &m->mem), "a refused update has written");
    cr_expect(same_memory(&b->words, &m->vm[0].direct->types.words), "and has counted");
    mem_fini(&b->mem);
    mem_fini(&b->words);
}

static void expect_refused(struct machine *m, hpa_t at, uint64_t entry, enum typing_rule rule)
{
    struct door door = first_door(m, 0);
    struct before before = remember(m);
    enum typing_rule got = direct_update(&door, at, entry);
    cr_expect_eq(got, rule, "0x%llx at 0x%llx: \"%s\" in place of \"%s\"",
                 (unsigned long long)entry, (unsigned long long)at, typing_words(got),
                 typing_words(rule));
    cr_expect(typing_words(rule) != NULL);
    expect_unchanged(m, &before);
}

/* Does it, finds the counts right, and undoes it. */
static void expect_allowed(struct machine *m, hpa_t at, uint64_t entry)
{
    struct door door = first_door(m, 0);
    unsigned bytes = m->vm[0].guest.tables.format.entry_bytes;
    uint64_t old = mem_load(&m->mem, at, bytes);
    struct before before = remember(m);
    enum typing_rule rule = direct_update(&door, at, entry);
    cr_expect_eq(rule, RULE_NONE, "0x%llx at 0x%llx: %s", (unsigned long long)entry,
                 (unsigned long long)at, typing_words(rule));
    cr_expect_eq(mem_load(&m->mem, at, bytes), entry);
    expect_control(m, 0);
    cr_expect_eq(direct_update(&door, at, old), RULE_NONE);
    expect_unchanged(m, &before);
}

static hpa_t page_of(uint64_t entry)
{
    return entry & 0x000ffffffffff000;
}

/* The entries that lead to one page of the first process of the first VM. */
struct path {
    hpa_t at[LEVELS_MAX + 1]; /* of the entry of each level */
    hpa_t to[LEVELS_MAX + 1]; /* where it leads */
};

static struct path path_of(const struct machine *m, gva_t gva)
{
    struct path p;
    for (unsigned level = 4; level; level--) {
        p.at[level] = entry_at(m, 0, 0, gva, level);
        p.to[level] = page_of(mem_load(&m->mem, p.at[level], 8));
    }
    return p;
}

static hpa_t table_of(hpa_t at)
{
    return at & -(hpa_t)FRAME_BYTES;
}

/* A frame of the VM that nothing uses. */
static hpa_t spare_frame(struct machine *m, gpa_t gpa)
{
    struct door door = first_door(m, 0);
    hpa_t at;
    cr_assert(vm_write(&door, gpa, "", 1) && vm_reach(m, 0, gpa, &at));
    return at;
}

Test(direct_rules, an_update_must_lie_at_an_entrys_place_in_a_table_of_the_vm)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct path p = path_of(m, WRITABLE_PAGE);
    hpa_t other = entry_at(m, 1, 0, WRITABLE_PAGE, 1), spare = spare_frame(m, 0xf00000);
    expect_refused(m, other, 0, RULE_FOREIGN_ENTRY);
    expect_refused(m, 0x10, 0, RULE_FOREIGN_ENTRY);
    expect_refused(m, m->mem.bytes, 0, RULE_FOREIGN_ENTRY);
    expect_refused(m, UINT64_MAX - 7, 0, RULE_FOREIGN_ENTRY);
    expect_refused(m, p.to[1], 0, RULE_NOT_A_TABLE);
    expect_refused(m, spare + 8, 0, RULE_NOT_A_TABLE);
    expect_refused(m, p.at[1] + 4, 0, RULE_MISPLACED);
    expect_refused(m, p.at[4] + 1, 0, RULE_MISPLACED);
    expect_allowed(m, p.at[1], 0);
    expect_allowed(m, table_of(p.at[1]) + 511 * 8, 0);
    rig_free(rig);
}

Test(direct_rules, a_present_entry_has_no_reserved_bit_set)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct path p = path_of(m, WRITABLE_PAGE);
    uint64_t beyond = (uint64_t)1 << m->shared->config->profile.maxphyaddr;
    for (unsigned level = 1; level <= 4; level++)
        expect_refused(m, p.at[level], p.to[level] | beyond | 7, RULE_RESERVED);
    expect_refused(m, p.at[4], p.to[4] | PTE_PS | 7, RULE_RESERVED);
    expect_refused(m, p.at[2] + 64, 0x200000 | 1 << 13 | PTE_PS | 7, RULE_RESERVED);
    for (unsigned level = 1; level <= 2; level++) /* what is not present may be anything */
        expect_allowed(m, p.at[level], beyond | 0x1230 | PTE_PS | 6);
    rig_free(rig);
}

Test(direct_rules, an_entry_leads_to_the_vms_own_frames_alone)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct path p = path_of(m, WRITABLE_PAGE);
    hpa_t other = page_of(mem_load(&m->mem, entry_at(m, 1, 0, WRITABLE_PAGE, 1), 8));
    hpa_t others_table = table_of(entry_at(m, 1, 0, WRITABLE_PAGE, 1));
    struct frame_owner nobody = {FRAME_SHADOW, 0, 0};
    hpa_t hypervisors = 0;
    cr_assert(host_take(&m->host, 0, FRAME_BYTES, &nobody, &hypervisors));
    const hpa_t foreign[] = {
        0, other, others_table, hypervisors, m->mem.bytes - FRAME_BYTES, m->mem.bytes};
    for (unsigned i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        expect_refused(m, p.at[1], foreign[i] | 5, RULE_FOREIGN);
        expect_refused(m, p.at[1], foreign[i] | 7, RULE_FOREIGN);
        expect_refused(m, p.at[2], foreign[i] | 7, RULE_FOREIGN);
    }
    expect_refused(m, p.at[2] + 64, 0 | PTE_PS | 5, RULE_FOREIGN); /* its first frame is no one's */
    expect_allowed(m, p.at[1], spare_frame(m, 0xf00000) | 7);
    rig_free(rig);
}

Test(direct_rules, an_entry_of_a_level_leads_to_a_table_of_the_level_below)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct path p = path_of(m, WRITABLE_PAGE), q = path_of(m, READ_ONLY_PAGE);
    for (unsigned level = 2; level <= 4; level++)
        for (unsigned to = 1; to <= 4; to++) {
            hpa_t table = table_of(p.at[to]), empty = table_of(p.at[level]) + 4000;
            if (to == level - 1)
                expect_allowed(m, empty, table | 7); /* a second way to it */
            else
                expect_refused(m, empty, table | 7, RULE_WRONG_LEVEL);
        }
    expect_refused(m, p.at[2], p.to[1] | 7, RULE_MAPPED_WRITABLE);
    expect_refused(m, p.at[4], p.to[1] | 7, RULE_MAPPED_WRITABLE);
    cr_assert_eq(table_of(p.at[2]), table_of(q.at[2]));
    expect_allowed(m, table_of(p.at[2]) + 4000,
                   q.to[1] | 7); /* mapped read-only: it may become one */
    expect_allowed(m, table_of(p.at[3]) + 4000, spare_frame(m, 0xf00000) | 7);
    rig_free(rig);
}

Test(direct_rules, a_table_is_mapped_read_only_or_not_at_all)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct path p = path_of(m, WRITABLE_PAGE);
    for (unsigned level = 1; level <= 4; level++) {
        expect_refused(m, p.at[1], table_of(p.at[level]) | 7, RULE_WRITABLE_TABLE);
        expect_refused(m, p.at[1], table_of(p.at[level]) | 3, RULE_WRITABLE_TABLE);
        expect_allowed(m, p.at[1], table_of(p.at[level]) | 5);
    }
    expect_allowed(m, p.at[1] + 8, p.to[1] | 7); /* one frame at two addresses */
    expect_allowed(m, p.at[1] + 8, p.to[1] | 5); /* and with other rights */
    rig_free(rig);
}

/* A frame that becomes a table is checked whole, down to the last entry that it leads to. */
Test(direct_rules, a_new_table_is_refused_for_any_entry_in_it)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct path p = path_of(m, WRITABLE_PAGE);
    hpa_t pmd = spare_frame(m, 0xf00000), pte = spare_frame(m, 0xf01000);
    hpa_t empty = table_of(p.at[3]) + 4000;
    mem_store(&m->mem, pmd + 8 * 3, pte | 7, 8);
    mem_store(&m->mem, pmd + 8 * 77, pte | 7, 8);
    mem_store(&m->mem, pte + 8 * 0, p.to[1] | 7, 8);
    mem_store(&m->mem, pte + 8 * 400, p.to[1] | 5, 8);
    expect_allowed(m, empty, pmd | 7);
    static const struct {
        unsigned level;
        uint64_t entry;
        enum typing_rule rule;
    } bad[] = {{1, 7, RULE_FOREIGN},
               {1, (uint64_t)1 << 51 | 1, RULE_RESERVED},
               {2, 7, RULE_FOREIGN},
               {2, 0x200000 | PTE_PS | 1 << 14 | 7, RULE_RESERVED}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        hpa_t at = (bad[i].level == 1 ? pte : pmd) + 511 * 8;
        mem_store(&m->mem, at, bad[i].entry, 8);
        expect_refused(m, empty, pmd | 7, bad[i].rule);
        mem_store(&m->mem, at, 0, 8);
    }
    mem_store(&m->mem, pte + 511 * 8, pmd | 7, 8); /* the tables would be writable themselves */
    expect_refused(m, empty, pmd | 7, RULE_WRITABLE_TABLE);
    mem_store(&m->mem, pte + 511 * 8, pte | 7, 8);
    expect_refused(m, empty, pmd | 7, RULE_WRITABLE_TABLE);
    mem_store(&m->mem, pte + 511 * 8, pte | 5, 8); /* read-only they may see themselves */
    expect_allowed(m, empty, pmd | 7);
    mem_store(&m->mem, pmd + 8 * 4, pmd | 7, 8);
    expect_refused(m, empty, pmd | 7, RULE_WRONG_LEVEL);
    rig_free(rig);
}

/* "A frame may change type only when its type count is 0": a table's life as something else. */
Test(direct_rules, a_frame_changes_its_type_once_nothing_uses_it_as_what_it_was)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct door door = first_door(m, 0);
    struct path p = path_of(m, WRITABLE_PAGE);
    hpa_t frame = spare_frame(m, 0xf00000), empty = table_of(p.at[2]) + 4000;
    struct frame_types *types = &m->vm[0].direct->types;
    cr_expect_eq(direct_update(&door, p.at[1], frame | 7), RULE_NONE);
    cr_expect_eq(direct_update(&door, p.at[1] + 8, frame | 7), RULE_NONE);
    cr_expect_eq(frame_type_get(types, frame).types, 2);
    expect_refused(m, empty, frame | 7, RULE_MAPPED_WRITABLE);
    cr_expect_eq(direct_update(&door, p.at[1], frame | 5), RULE_NONE);
    expect_refused(m, empty, frame | 7, RULE_MAPPED_WRITABLE);
    cr_expect_eq(direct_update(&door, p.at[1] + 8, 0), RULE_NONE);
    cr_expect_eq(frame_type_get(types, frame).types, 0);
    cr_expect_eq(frame_type_get(types, frame).uses, 1);
    cr_expect_eq(direct_update(&door, empty, frame | 7), RULE_NONE);
    cr_expect_eq(frame_type_get(types, frame).type, TYPE_TABLE_1);
    expect_refused(m, p.at[1], frame | 7, RULE_WRITABLE_TABLE);
    expect_control(m, 0);
    cr_expect_eq(direct_update(&door, empty, 0), RULE_NONE);
    expect_allowed(m, p.at[1], frame | 7);
    rig_free(rig);
}

Test(direct_rules, a_pinned_table_keeps_its_type_until_it_is_unpinned)
{
    struct rig *rig = rig_new(TWO_VMS);
    struct machine *m = rig->machine;
    struct typing t = rules_of(m, 0);
    struct path p = path_of(m, WRITABLE_PAGE);
    hpa_t frame = spare_frame(m, 0xf00000), other = table_of(entry_at(m, 1, 0, WRITABLE_PAGE, 4));
    mem_store(&m->mem, frame, p.to[4] | 7, 8);
    cr_expect_eq(typing_pin(&t, frame, 4), RULE_NONE);
    cr_expect_eq(t.checked, 1);
    cr_expect(frame_type_get(t.types, frame).pinned && frame_type_get(t.types, frame).validated);
    expect_refused(m, p.at[1], frame | 7, RULE_WRITABLE_TABLE);
    expect_refused(m, table_of(p.at[2]) + 4000, frame | 7, RULE_WRONG_LEVEL);
    expect_control(m, 0);
    cr_expect_eq(typing_pin(&t, frame, 4), RULE_PINNED);
    cr_expect_eq(typing_pin(&t, p.to[1], 4), RULE_MAPPED_WRITABLE);
    cr_expect_eq(typing_pin(&t, table_of(p.at[1]), 4), RULE_WRONG_LEVEL);
    cr_expect_eq(typing_pin(&t, other, 4), RULE_FOREIGN);
    cr_expect_eq(typing_pin(&t, m->mem.bytes, 4), RULE_FOREIGN);
    cr_expect_eq(typing_unpin(&t, frame), RULE_NONE);
    cr_expect_eq(typing_unpin(&t, frame), RULE_NOT_PINNED);
    cr_expect_eq(typing_unpin(&t, p.to[1]), RULE_NOT_PINNED);
    cr_expect_eq(typing_unpin(&t, other), RULE_NOT_PINNED);
    cr_expect_eq(frame_type_get(t.types, frame).uses, 0);
    expect_allowed(m, p.at[1], frame | 7);
    rig_free(rig);
}

/* All frames of a large page, or none. */
Test(direct_rules, a_large_leaf_takes_each_of_its_frames)
{
    struct rig *rig = rig_new(
        "{\"version\":1,\"machine\":{\"profile\":\"skylake-sp\",\"memory\":\"64MiB\"},\"vms\":[{"
        "\"mode\":\"direct\",\"memory\":\"32MiB\",\"processes\":[{\"map\":[{\"gva\":\"0x400000\","
        "\"size\":\"2MiB\",\"page\":\"2MiB\",\"populate\":\"start\"},{\"gva\":\"0x600000\","
        "\"size\":\"4KiB\",\"populate\":\"start\"}],\"workload\":{\"generator\":\"sequential\","
        "\"accesses\":1}}]}]}");
    struct machine *m = rig->machine;
    struct door door = first_door(m, 0);
    hpa_t at = entry_at(m, 0, 0, 0x400000, 2), leaf = entry_at(m, 0, 0, 0x600000, 1);
    uint64_t entry = mem_load(&m->mem, at, 8);
    hpa_t page = page_of(entry);
    cr_assert(entry & PTE_PS && entry & PTE_W);
    for (unsigned i = 0; i < 512; i++) {
        struct frame_type t = frame_type_get(&m->vm[0].direct->types, page + i * 0x1000u);
        cr_assert(t.type == TYPE_WRITABLE && t.types == 1 && t.uses == 1);
    }
    expect_control(m, 0);
    expect_refused(m, at + 64, (page + 0x1ff000) | 7, RULE_MAPPED_WRITABLE);
    cr_expect_eq(direct_update(&door, at, entry & ~PTE_W), RULE_NONE);
    cr_expect_eq(direct_update(&door, at + 64, (page + 0x1ff000) | 7), RULE_NONE);
    expect_refused(m, at, entry, RULE_WRITABLE_TABLE);
    expect_refused(m, leaf, (page + 0x1ff000) | 7, RULE_WRITABLE_TABLE);
    cr_expect_eq(direct_update(&door, at + 64, 0), RULE_NONE);
    expect_allowed(m, at, entry);
    rig_free(rig);
}
