/* What the model sees of a run, as KVM would. Expected numbers: counted by hand. */
#include "tests/sim/backend_support.h"

static void expect_list(const struct seen_list *list, const uint64_t *words, size_t n,
                        const char *what)
{
    cr_assert_eq(list->n, n, "%s: %zu, not %zu", what, list->n, n);
    for (size_t i = 0; i < n; i++)
        cr_expect_eq(list->word[i], words[i], "%s: at %zu 0x%lx, not 0x%lx", what, i, list->word[i],
                     words[i]);
}

#define EXPECT_LIST(list, ...)                                                                     \
    expect_list(&(list), (const uint64_t[]){__VA_ARGS__},                                          \
                sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), #list)

static const char in_disorder[] = READ(0x9, 3) "," WRITE(0x3, 3, 0x1) "," READ(0x7, 3) "," READ(
    0x9, 3) "," WRITE(0x9, 3, 0x2) "," READ(0x3c, 3) "," WRITE(0x7, 3, 0x3);

/* The image's frames, 1 to 4, are there before. */
Test(backend_model, frames_are_touched_in_the_order_in_which_they_are_first_accessed)
{
    const char *modes[] = {"nested", "shadow"};
    for (unsigned i = 0; i < 2; i++) {
        struct sighting s = sight_raw(modes[i], in_disorder);
        cr_assert(s.seen.has_order);
        EXPECT_LIST(s.seen.touched, 0x19, 0x13, 0x17);
        sighting_fini(&s);
    }
}

/* Under EPT with A and D, and NPT, a walk's reads of tables are writes; the refused one's too. */
Test(backend_model, a_second_stage_sees_tables_written_when_they_are_walked)
{
    struct sighting s = sight_raw("nested", in_disorder);
    EXPECT_LIST(s.seen.written, 1, 2, 3, 4, 0x13, 0x19, 0x17);
    EXPECT_LIST(s.seen.dirty, 1, 2, 3, 4, 0x13, 0x17, 0x19);
    EXPECT_LIST(s.seen.roots, 1);
    sighting_fini(&s);
}

/* Where A is set already, nothing is written until D is. */
Test(backend_model, shadow_paging_sees_tables_written_when_a_or_d_is_set)
{
    static const char script[] = STORE(0x1000, 0x2027) "," STORE(0x2000, 0x3027) "," STORE(
        0x3000, 0x4027) "," STORE(0x4000, 0x10067) "," READ(0x0, 3) "," READ(0x1, 3);
    struct sighting s = sight_raw("shadow", script);
    EXPECT_LIST(s.seen.written, 1, 2, 3, 4);
    sighting_fini(&s);
    s = sight_raw("shadow", in_disorder);
    EXPECT_LIST(s.seen.written, 1, 2, 3, 4, 0x13, 0x19, 0x17);
    sighting_fini(&s);
}

/* Distinct frames, each table and each page once. */
Test(backend_model, nested_paging_takes_a_violation_per_frame)
{
    struct sighting s = sight_raw("nested", in_disorder);
    cr_assert(s.seen.has_counts);
    cr_expect_eq(s.seen.count[SEEN_pf_taken], 4 + 3);
    cr_expect_eq(s.seen.count[SEEN_pf_guest], 0);
    sighting_fini(&s);
}

/* One for each page's first access, one for its first write if it was read first, one for each
 * fault of the guest's own. */
Test(backend_model, shadow_paging_takes_faults_as_kvm_does)
{
    struct sighting s = sight_raw("shadow", in_disorder);
    cr_assert(s.seen.has_counts);
    cr_expect_eq(s.seen.count[SEEN_pf_taken], 3 + 2 + 1);
    cr_expect_eq(s.seen.count[SEEN_pf_guest], 1);
    sighting_fini(&s);
    s = sight_raw("shadow", READ(0x1, 3) "," INVLPG(0x1) "," INVLPG(0x2));
    cr_expect_eq(s.seen.count[SEEN_invlpg], 2);
    sighting_fini(&s);
}

Test(backend_model, faults_are_kept_with_the_entries_that_their_walks_read)
{
    struct sighting s = sight_raw("native", READ(0x1, 3) "," WRITE(0x3d, 3, 0x0) "," READ(0x3f, 0));
    cr_assert_eq(s.seen.n_faults, 2);
    cr_expect_eq(s.seen.fault[0].access, 1);
    cr_expect_eq(s.seen.fault[0].cr2, 0x3d000);
    cr_expect_eq(s.seen.fault[0].error_code, 7);
    cr_expect_eq(s.seen.fault[1].error_code, 9);
    cr_expect_eq(s.seen.fault[1].vector, 14);
    EXPECT_LIST(s.seen.refused, 0x1000, 0x2000, 0x3000, 0x41e8);
    sighting_fini(&s);
}

Test(backend_model, an_address_that_is_not_canonical_faults_without_a_walk)
{
    struct sighting s = sight_raw("native", READ(0x800000000, 0));
    cr_assert_eq(s.seen.n_faults, 1);
    cr_expect_eq(s.seen.fault[0].vector, 13);
    cr_expect_eq(s.seen.refused.n, 0);
    sighting_fini(&s);
}

Test(backend_model, memory_is_kept_whole)
{
    const char *modes[] = {"native", "nested", "shadow", "agile"};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word;
        struct sighting s = sight_raw(modes[i], WRITE(0x3, 3, 0x1234));
        cr_assert(s.seen.has_memory);
        cr_assert_eq(s.seen.n_memory, 1 << 20);
        memcpy(&word, s.seen.memory + 0x13000, 8);
        cr_expect_eq(word, 0x1234);
        memcpy(&word, s.seen.memory + 0x4018, 8);
        cr_expect_eq(word, 0x13067);
        sighting_fini(&s);
    }
}

/* A page-crossing store of the guest's is of two frames. */
Test(backend_model, a_store_over_a_frames_edge_writes_both)
{
    struct sighting s = sight_raw("nested", STORE(0x30ffc, 0x1));
    EXPECT_LIST(s.seen.written, 0x30, 0x31);
    EXPECT_LIST(s.seen.touched, 0x30, 0x31);
    sighting_fini(&s);
}

Test(backend_model, an_access_over_a_pages_edge_writes_both)
{
    static const char script[] =
        "{\"do\":\"access\",\"op\":\"write\",\"gva\":\"0x5ffc\",\"cpl\":3,\"value\":\"0x1\"}";
    const char *modes[] = {"nested", "shadow"};
    for (unsigned i = 0; i < 2; i++) {
        struct sighting s = sight_raw(modes[i], script);
        EXPECT_LIST(s.seen.dirty, 1, 2, 3, 4, 0x15, 0x16);
        sighting_fini(&s);
    }
}

/* The cold model finds what the tables say; the other one what its TLB has kept. */
Test(backend_model, the_cold_model_caches_nothing)
{
    const char *modes[] = {"native", "nested", "shadow"};
    for (unsigned i = 0; i < 3; i++) {
        struct sighting s =
            sight_raw(modes[i], READ(0x1, 3) "," STORE(0x4008, 0x0) "," READ(0x1, 3));
        cr_expect_eq(s.seen.outcome[2].kind, OUTCOME_OK, "%s", modes[i]);
        cr_expect_eq(s.cold.outcome[2].kind, OUTCOME_FAULT, "%s", modes[i]);
        sighting_fini(&s);
    }
}

/* A guest that invalidates sees the same in every mode, warm and cold. */
static const char program[] =
    READ(0x1, 3) "," WRITE(0x2, 0, 0x5) "," WRITE(0x3d, 3, 0x6) "," STORE(0x4008, 0x12007) "," INVLPG(0x1) "," READ(0x1, 3) "," READ(
        0x3e,
        3) "," READ(0x3e,
                    0) "," READ(0x3f,
                                3) "," WRITE(0x1, 3,
                                             0x7) "," STORE(0x41e8,
                                                            0x50007) "," INVLPG(0x3d) "," WRITE(0x3d,
                                                                                                3,
                                                                                                0x8) "," READ(0x1,
                                                                                                              3);

Test(backend_model, all_modes_see_the_same_of_a_raw_vm)
{
    const char *modes[] = {"nested", "shadow", "native", "agile", "three-stage", "collapsed"};
    struct sighting native = sight_raw("native", program);
    for (unsigned i = 0; i < 6; i++) {
        struct sighting s = sight_raw(modes[i], program);
        struct verdict v = judge(&s, &native.seen, MASK_COUNT);
        expect_agrees(&v, modes[i]);
        cr_expect_eq(v.compared[ASPECT_outcome], 14);
        cr_expect_eq(v.compared[ASPECT_memory], (1 << 20) / 8);
        v = judge(&s, &s.cold, MASK_COUNT);
        expect_agrees(&v, "cold");
        cr_expect_eq(v.in_reach[MASK_stale], 0);
        sighting_fini(&s);
    }
    sighting_fini(&native);
}

static char *guest(const char *mode)
{
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"vms\":[{\"memory\":\"16MiB\",\"mode\":\"%s\",\"quantum\":500,"
            "\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":\"1MiB\"}],\"workload\":{"
            "\"generator\":\"uniform\",\"writes\":0.3,\"remap\":0.01,\"accesses\":4000}},"
            "{\"map\":[{\"gva\":\"0x500000\",\"size\":\"512KiB\"}],\"workload\":{\"generator\":"
            "\"zipf\",\"protect\":0.01,\"accesses\":3000}}]}],\"script\":[{\"do\":\"access\","
            "\"gva\":\"0x400010\",\"op\":\"write\",\"value\":\"0x77\"},{\"do\":\"access\",\"gva\":"
            "\"0x10\"}]}",
            mode);
    return page_close(&page);
}

Test(backend_model, all_modes_see_the_same_of_a_guest_os)
{
    const char *modes[] = {"nested", "shadow", "direct", "agile"};
    struct sighting native = sight(guest("native"));
    cr_expect(native.seen.n_faults > 300);
    for (unsigned i = 0; i < 4; i++) {
        struct sighting s = sight(guest(modes[i]));
        struct verdict v = judge(&s, &native.seen, MASK_COUNT);
        expect_agrees(&v, modes[i]);
        cr_expect_eq(v.compared[ASPECT_faults], native.seen.n_faults);
        cr_expect_eq(s.seen.accesses, native.seen.accesses);
        v = judge(&s, &s.cold, MASK_COUNT);
        expect_agrees(&v, "cold");
        sighting_fini(&s);
    }
    sighting_fini(&native);
}

/* Which frames a guest's accesses first come to is no matter of the technique. */
Test(backend_model, shadow_and_nested_paging_see_frames_touched_in_one_order)
{
    struct sighting nested = sight(guest("nested")), shadow = sight(guest("shadow"));
    struct verdict v = judge(&nested, &shadow.seen, MASK_COUNT);
    cr_expect_eq(v.skipped[ASPECT_touched], NULL);
    cr_expect(v.compared[ASPECT_touched] > 300);
    cr_expect_eq(v.differing[ASPECT_touched], 0, "%lu: %s, %s", v.differing[ASPECT_touched],
                 v.first[0].model, v.first[0].kvm);
    sighting_fini(&nested);
    sighting_fini(&shadow);
}

Test(backend_model, several_vms_are_not_one_run)
{
    struct rig *rig = rig_new("{\"version\":1,\"vms\":[{\"mode\":\"nested\",\"memory\":\"1MiB\"},"
                              "{\"mode\":\"nested\",\"memory\":\"1MiB\"}]}");
    struct observation seen;
    struct err err = {0};
    cr_expect(!backend_model.run(&backend_model, &rig->scenario, &seen, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    observation_fini(&seen);
    rig_free(rig);
}
