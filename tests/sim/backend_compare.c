/*
 * Comparing what was seen: what differs is found, each mask explains its own and nothing beside it.
 * The other side is the model too, altered by hand.
 */
#include "tests/sim/backend_support.h"

static const char program[] = WRITE(0x1, 3, 0x11) "," READ(0x1, 3) "," WRITE(0x3d, 3, 0x1) "," READ(
    0x3c, 3) "," READ(0x3f, 3) "," READ(0x3e, 0) "," STORE(0x4010, 0x12007) "," READ(0x2, 0);

enum { WROTE, HAS_READ, FORBIDDEN, ABSENT, RESERVED };

static struct verdict judge_self(const struct sighting *s)
{
    return judge(s, &s->seen, MASK_COUNT);
}

/* A model and a copy of what it saw, which is altered. */
struct pair {
    struct sighting model, other;
};

static struct pair pair(const char *mode, const char *script)
{
    return (struct pair){sight_raw(mode, script), sight_raw(mode, script)};
}

static void pair_fini(struct pair *p)
{
    sighting_fini(&p->model);
    sighting_fini(&p->other);
}

static struct verdict judge_pair(const struct pair *p, enum mask mask)
{
    return judge(&p->model, &p->other.seen, mask);
}

/* One difference, of an aspect and at a place. */
static void expect_one(const struct verdict *v, enum aspect aspect, uint64_t at)
{
    cr_expect(!verdict_agrees(v));
    for (enum aspect a = 0; a < ASPECT_COUNT; a++)
        cr_expect_eq(v->differing[a], a == aspect, "%s: %lu", aspect_name(a), v->differing[a]);
    cr_assert_eq(v->n_first, 1);
    cr_expect_eq(v->first[0].aspect, aspect);
    cr_expect_eq(v->first[0].at, at, "0x%lx", v->first[0].at);
}

/* Not without its mask, and with it not counted as a difference. */
static void expect_explained(const struct pair *p, enum mask mask, uint64_t in_reach)
{
    struct verdict without = judge_pair(p, MASK_COUNT), with = judge_pair(p, mask);
    cr_expect(!verdict_agrees(&without), "%s", mask_name(mask));
    expect_agrees(&with, mask_name(mask));
    cr_expect_eq(with.masked[mask], 1, "%s", mask_name(mask));
    cr_expect_eq(with.in_reach[mask], in_reach, "%s: %lu", mask_name(mask), with.in_reach[mask]);
    for (enum mask other = 0; other < MASK_COUNT; other++) {
        struct verdict v = judge_pair(p, other);
        if (other != mask)
            cr_expect(!verdict_agrees(&v), "%s is no %s", mask_name(mask), mask_name(other));
    }
}

/* Whatever masks apply. */
static void expect_never_explained(const struct pair *p, const char *what)
{
    for (enum mask mask = 0; mask <= MASK_COUNT; mask++) {
        struct verdict v = judge_pair(p, mask);
        cr_expect(!verdict_agrees(&v), "%s by %s", what,
                  mask < MASK_COUNT ? mask_name(mask) : "nothing");
    }
}

Test(backend_compare, a_run_agrees_with_itself)
{
    const char *modes[] = {"native", "nested", "shadow"};
    for (unsigned i = 0; i < 3; i++) {
        struct sighting s = sight_raw(modes[i], program);
        struct verdict v = judge_self(&s);
        expect_agrees(&v, modes[i]);
        cr_expect_eq(v.compared[ASPECT_outcome], 8);
        cr_expect_eq(v.compared[ASPECT_memory], (1 << 20) / 8);
        cr_expect_neq(v.skipped[ASPECT_faults], NULL);
        cr_expect_eq(!v.skipped[ASPECT_counts], i > 0);
        cr_expect_eq(!v.skipped[ASPECT_touched], i > 0);
        sighting_fini(&s);
    }
}

Test(backend_compare, each_field_of_an_outcome_counts)
{
    struct pair p = pair("native", program);
    struct outcome *o = p.other.seen.outcome, was = o[FORBIDDEN];
    struct verdict v;
    o[FORBIDDEN].error_code ^= 2;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_outcome, FORBIDDEN);
    cr_expect_str_eq(v.first[0].model, "#PF, error code 0x7 (P W U), CR2 0x3d000");
    cr_expect_str_eq(v.first[0].kvm, "#PF, error code 0x5 (P U), CR2 0x3d000");
    o[FORBIDDEN] = was;
    o[FORBIDDEN].cr2++;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_outcome, FORBIDDEN);
    o[FORBIDDEN] = was;
    o[FORBIDDEN].vector = 13;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_outcome, FORBIDDEN);
    cr_expect_str_eq(v.first[0].kvm, "#GP");
    o[FORBIDDEN] = (struct outcome){.kind = OUTCOME_OK};
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_outcome, FORBIDDEN);
    cr_expect_str_eq(v.first[0].kvm, "ok");
    o[FORBIDDEN] = was;
    o[HAS_READ].value++;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_outcome, HAS_READ);
    cr_expect_str_eq(v.first[0].kvm, "ok, value 0x12");
    o[HAS_READ].has_value = false; /* who knows none has said nothing */
    v = judge_pair(&p, MASK_COUNT);
    expect_agrees(&v, "a value that one does not know");
    pair_fini(&p);
}

Test(backend_compare, nobody_in_a_vm_sees_its_gpa)
{
    struct pair p = pair("native", program);
    p.other.seen.outcome[HAS_READ].gpa++;
    struct verdict v = judge_pair(&p, MASK_COUNT);
    expect_agrees(&v, "gpa");
    pair_fini(&p);
}

Test(backend_compare, each_word_of_memory_counts)
{
    struct pair p = pair("nested", program);
    struct verdict v;
    p.other.seen.memory[0xffff8] ^= 0x10;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_memory, 0xffff8);
    p.other.seen.memory[0xffff8] ^= 0x10;
    p.other.seen.memory[0x4008] ^= 0x40; /* D */
    expect_never_explained(&p, "D");
    p.other.seen.memory[0x4008] ^= 0x60; /* A of an entry that was used */
    expect_never_explained(&p, "a missing A");
    pair_fini(&p);
}

Test(backend_compare, frames_and_their_order_count)
{
    struct pair p = pair("nested", READ(0x9, 3) "," WRITE(0x3, 3, 0x1) "," WRITE(0x7, 3, 0x2));
    uint64_t *touched = p.other.seen.touched.word;
    struct verdict v;
    touched[0] = 0x13, touched[1] = 0x19;
    v = judge_pair(&p, MASK_COUNT);
    cr_expect_eq(v.differing[ASPECT_touched], 3); /* from where they part, all of it */
    cr_expect_eq(v.n_first, 1);
    cr_expect_str_eq(v.first[0].model, "frame 0x19");
    cr_expect_str_eq(v.first[0].kvm, "frame 0x13");
    touched[0] = 0x19, touched[1] = 0x13;
    p.other.seen.touched.n--;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_touched, 2);
    cr_expect_str_eq(v.first[0].kvm, "no frame any more");
    p.other.seen.touched.n++;
    cr_assert(seen_add(&p.other.seen.dirty, 0x77));
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_dirty, 0x77);
    cr_expect_str_eq(v.first[0].model, "not in it");
    p.other.seen.dirty.n--;
    v = judge_pair(&p, MASK_COUNT);
    expect_agrees(&v, "all restored");
    pair_fini(&p);
}

/* The harness's entry stands in them: when they are touched and written says nothing. */
Test(backend_compare, top_tables_are_left_out_of_orders)
{
    struct pair p = pair("nested", READ(0x9, 3));
    struct seen_list *written = &p.other.seen.written;
    cr_assert_eq(written->word[0], 1);
    memmove(written->word, written->word + 1, --written->n * sizeof *written->word);
    cr_assert(seen_add(written, 1));
    struct verdict v = judge_pair(&p, MASK_COUNT);
    expect_agrees(&v, "the top table, later");
    pair_fini(&p);
}

Test(backend_compare, counts_count)
{
    struct pair p = pair("shadow", program);
    p.other.seen.count[SEEN_pf_guest]++;
    struct verdict v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_counts, SEEN_pf_guest);
    p.other.seen.count[SEEN_pf_guest]--;
    p.other.seen.count[SEEN_exits]++;
    v = judge_pair(&p, MASK_COUNT);
    expect_agrees(&v, "exits, which hosts have of their own");
    pair_fini(&p);
}

static char *guest(void)
{
    return strdup("{\"version\":1,\"vms\":[{\"memory\":\"4MiB\",\"mode\":\"shadow\",\"processes\":"
                  "[{\"map\":[{\"gva\":\"0x400000\",\"size\":\"256KiB\"}],\"workload\":{"
                  "\"generator\":\"sequential\",\"stride\":4096,\"accesses\":60}}]}]}");
}

Test(backend_compare, the_sequence_of_a_guests_faults_counts)
{
    struct pair p = {sight(guest()), sight(guest())};
    struct verdict v = judge_pair(&p, MASK_COUNT);
    expect_agrees(&v, "a guest and itself");
    cr_expect_eq(v.compared[ASPECT_faults], 60);
    p.other.seen.n_faults--;
    v = judge_pair(&p, MASK_COUNT);
    expect_one(&v, ASPECT_faults, 59);
    p.other.seen.n_faults++;
    p.other.seen.fault[58].cr2++;
    v = judge_pair(&p, MASK_COUNT);
    cr_expect_eq(v.differing[ASPECT_faults], 2);
    cr_expect_eq(v.first[0].at, 58);
    pair_fini(&p);
}

/* ---- what is not compared ---- */

static struct verdict judge_in(const struct pair *p, const struct environment *e)
{
    struct verdict v;
    compare_observations(&p->model.rig->scenario, e, &p->model.seen, &p->model.cold, &p->other.seen,
                         &v);
    return v;
}

Test(backend_compare, techniques_are_compared_only_with_their_like)
{
    const char *modes[] = {"nested", "shadow"};
    for (unsigned i = 0; i < 2; i++) {
        struct environment unlike = {.nested = i};
        struct pair p = pair(modes[i], program);
        p.other.seen.count[SEEN_pf_taken]++;
        p.other.seen.dirty.n--;
        struct verdict v = judge_in(&p, &unlike);
        expect_agrees(&v, modes[i]);
        cr_expect_neq(v.skipped[ASPECT_counts], NULL);
        cr_expect_neq(v.skipped[ASPECT_dirty], NULL);
        cr_expect_eq(v.skipped[ASPECT_touched], NULL);
        pair_fini(&p);
    }
}

Test(backend_compare, an_emulated_supervisor_takes_no_shadow_faults)
{
    struct environment e = {.emulates_supervisor = true};
    struct pair p = pair("shadow", READ(0x1, 3) "," READ(0x2, 3));
    struct verdict v = judge_in(&p, &e);
    cr_expect_eq(v.skipped[ASPECT_counts], NULL);
    pair_fini(&p);
    p = pair("shadow", READ(0x1, 3) "," READ(0x3e, 0));
    v = judge_in(&p, &e);
    cr_expect_neq(v.skipped[ASPECT_counts], NULL);
    pair_fini(&p);
    p = pair("shadow", READ(0x1, 3) "," STORE(0x8000, 0x1));
    v = judge_in(&p, &e);
    cr_expect_neq(v.skipped[ASPECT_counts], NULL);
    pair_fini(&p);
}

Test(backend_compare, what_one_side_has_not_seen_is_not_compared)
{
    struct pair p = pair("nested", program);
    struct observation *seen = &p.other.seen;
    seen->has_outcomes = seen->has_memory = seen->has_order = seen->has_dirty = false;
    seen->has_counts = false;
    struct verdict v = judge_pair(&p, MASK_COUNT);
    for (enum aspect a = 0; a < ASPECT_COUNT; a++) {
        cr_expect_neq(v.skipped[a], NULL, "%s", aspect_name(a));
        cr_expect_eq(v.compared[a], 0);
    }
    pair_fini(&p);
}

/* ---- masks, each with the smallest program that shows it ---- */

Test(backend_compare, a_reserved_bit_may_leave_p_clear)
{
    struct pair p = pair("native", program);
    struct outcome *o = p.other.seen.outcome;
    o[RESERVED].error_code = 0xc;
    expect_explained(&p, MASK_reserved_present, 1);
    o[RESERVED].error_code = 0x8; /* P and U */
    expect_never_explained(&p, "another bit");
    o[RESERVED].error_code = 0x4; /* RSVD itself */
    expect_never_explained(&p, "no reserved bit at all");
    o[RESERVED].error_code = 0xd;
    o[ABSENT].error_code ^= 1;
    expect_never_explained(&p, "P without RSVD");
    o[ABSENT].error_code ^= 1;
    o[FORBIDDEN].error_code ^= 1;
    expect_never_explained(&p, "P of a denied write");
    pair_fini(&p);
}

#define WP_OFF "{\"do\":\"mov_cr0\",\"value\":\"0x80000011\"}"
#define WP_ON  "{\"do\":\"mov_cr0\",\"value\":\"0x80010011\"}"

Test(backend_compare, smap_may_be_forgotten_while_write_protection_is_off)
{
    struct pair p = pair("native", WP_OFF "," READ(0x3d, 0));
    cr_assert_eq(p.model.seen.outcome[1].kind, OUTCOME_FAULT);
    p.other.seen.outcome[1] = (struct outcome){.kind = OUTCOME_OK};
    expect_explained(&p, MASK_smap_write_protect, 1);
    p.other.seen.outcome[1] = p.model.seen.outcome[1];
    p.other.seen.outcome[1].error_code = 0;
    expect_never_explained(&p, "another fault");
    pair_fini(&p);
    p = pair("native", WP_OFF "," WP_ON "," READ(0x3d, 0));
    p.other.seen.outcome[2] = (struct outcome){.kind = OUTCOME_OK};
    expect_never_explained(&p, "WP on");
    pair_fini(&p);
    p = pair("native", WP_OFF "," READ(0x3e, 3));
    p.other.seen.outcome[1] = (struct outcome){.kind = OUTCOME_OK};
    expect_never_explained(&p, "a user's access");
    pair_fini(&p);
    p = pair("native", WP_OFF "," READ(0x3c, 0));
    p.other.seen.outcome[1] = (struct outcome){.kind = OUTCOME_OK};
    expect_never_explained(&p, "a page that is not there");
    pair_fini(&p);
}

static const char top_256[] = "{\"do\":\"access\",\"gva\":\"0xffff800000001000\",\"cpl\":3},"
                              "{\"do\":\"access\",\"gva\":\"0x1000\",\"cpl\":3},"
                              "{\"do\":\"access\",\"gva\":\"0xffff80000003e000\",\"cpl\":0}";

Test(backend_compare, entry_256_of_the_top_table_may_be_taken)
{
    struct pair p = pair("native", top_256);
    const struct outcome lost = {
        .kind = OUTCOME_FAULT, .vector = 14, .error_code = 4, .cr2 = 0xffff800000001000};
    p.other.seen.outcome[0] = lost;
    expect_explained(&p, MASK_top_entry_256, 1);
    p.other.seen.outcome[0].error_code = 0xd;
    expect_explained(&p, MASK_top_entry_256, 1);
    p.other.seen.outcome[0].error_code = 5;
    expect_never_explained(&p, "a page that is there");
    p.other.seen.outcome[0] = lost;
    p.other.seen.outcome[0].cr2 = 0x1000;
    expect_never_explained(&p, "another address");
    p.other.seen.outcome[0] = p.model.seen.outcome[0];
    p.other.seen.outcome[1] = lost;
    p.other.seen.outcome[1].cr2 = 0x1000;
    expect_never_explained(&p, "another entry");
    p.other.seen.outcome[1] = p.model.seen.outcome[1];
    p.other.seen.outcome[2] = lost;
    p.other.seen.outcome[2].cr2 = 0xffff80000003e000;
    expect_never_explained(&p, "the supervisor");
    pair_fini(&p);
}

/* What the access would have touched and counted is on one side only. */
Test(backend_compare, frames_are_not_compared_where_an_access_ended_otherwise)
{
    struct pair p = pair("shadow", top_256);
    p.other.seen.outcome[0] = (struct outcome){
        .kind = OUTCOME_FAULT, .vector = 14, .error_code = 4, .cr2 = 0xffff800000001000};
    p.other.seen.count[SEEN_pf_taken]++;
    p.other.seen.touched.n--;
    struct verdict v = judge_pair(&p, MASK_top_entry_256);
    expect_agrees(&v, "what follows from it");
    cr_expect_neq(v.skipped[ASPECT_counts], NULL);
    cr_expect_neq(v.skipped[ASPECT_touched], NULL);
    pair_fini(&p);
}

/* The lowest entry and the three above it, of which nothing else made use. */
Test(backend_compare, a_refused_walk_may_set_a)
{
    struct pair p = pair("native", WRITE(0x3d, 3, 0x1));
    uint8_t *memory = p.other.seen.memory;
    memory[0x2000] |= PTE_A;
    expect_explained(&p, MASK_accessed_of_refused, 4);
    memory[0x2000] |= PTE_D;
    expect_never_explained(&p, "D beside it");
    memory[0x2000] &= (uint8_t)~PTE_D;
    memory[0x4008] |= PTE_A;
    expect_never_explained(&p, "A of an entry that no walk read");
    pair_fini(&p);
    p = pair("native", READ(0x1, 3) "," WRITE(0x3d, 3, 0x1));
    p.other.seen.memory[0x2000] &= (uint8_t)~PTE_A;
    expect_never_explained(&p, "A missing");
    pair_fini(&p);
}

/* Page 59 is the table that holds page 61's entry, at 0x1e8. */
Test(backend_compare, a_refused_walk_may_set_a_where_it_is_read)
{
    static const char reads[] =
        WRITE(0x3d, 3, 0x1) ",{\"do\":\"access\",\"gva\":\"0x3b1e8\",\"cpl\":3},"
                            "{\"do\":\"access\",\"gva\":\"0x3b1ea\",\"size\":2,\"cpl\":3}";
    struct pair p = pair("native", reads);
    p.other.seen.outcome[1].value |= PTE_A;
    expect_explained(&p, MASK_accessed_of_refused, 1 + 1); /* the value, and the entry itself */
    p.other.seen.outcome[1].value |= PTE_D;
    expect_never_explained(&p, "D beside it");
    p.other.seen.outcome[1].value = p.model.seen.outcome[1].value;
    p.other.seen.outcome[2].value |= PTE_A;
    expect_never_explained(&p, "a bit that stands where A does not");
    pair_fini(&p);
}

static const char stale[] = WRITE(0x1, 3, 0x9) "," STORE(0x4008, 0x12007) "," WRITE(
    0x1, 3, 0x1) "," INVLPG(0x1) "," WRITE(0x1, 3, 0x2);

/* Old or new until invalidated; afterwards new. */
Test(backend_compare, a_translation_that_is_not_invalidated_may_be_old_or_new)
{
    struct sighting s = sight_raw("nested", stale);
    struct verdict v = judge(&s, &s.seen, MASK_stale);
    expect_agrees(&v, "old");
    cr_expect_eq(v.in_reach[MASK_stale], 1); /* the word at 0x11000 */
    cr_expect_eq(v.masked[MASK_stale], 0);
    v = judge(&s, &s.cold, MASK_stale);
    expect_agrees(&v, "new");
    cr_expect_eq(v.masked[MASK_stale], 1);
    cr_expect_neq(v.skipped[ASPECT_touched], NULL);
    v = judge(&s, &s.cold, MASK_accessed_of_refused);
    cr_expect(!verdict_agrees(&v));
    sighting_fini(&s);
}

Test(backend_compare, neither_old_nor_new_is_a_difference)
{
    struct pair p = pair("nested", stale);
    p.other.seen.memory[0x11001] = 7;
    expect_never_explained(&p, "a third value");
    p.other.seen.memory[0x11001] = 0;
    p.other.seen.memory[0x12000] = 1;
    expect_never_explained(&p, "old after INVLPG");
    pair_fini(&p);
}

/* ---- words ---- */

Test(backend_compare, each_aspect_and_mask_has_a_name_and_words)
{
    for (enum aspect a = 0; a < ASPECT_COUNT; a++)
        cr_expect(*aspect_name(a) && strlen(aspect_what(a)) > 10);
    for (enum mask mask = 0; mask < MASK_COUNT; mask++) {
        cr_expect(*mask_name(mask) && strlen(mask_why(mask)) > 10);
        cr_expect_eq(strchr(mask_name(mask), '_'), NULL);
    }
}

Test(backend_compare, only_so_many_differences_are_kept)
{
    struct pair p = pair("native", program);
    memset(p.other.seen.memory + 0x20000, 1, 4096);
    struct verdict v = judge_pair(&p, MASK_COUNT);
    cr_expect_eq(v.differing[ASPECT_memory], 512);
    cr_expect_eq(v.n_first, DIFFERENCES_KEPT);
    cr_expect_eq(v.first[15].at, 0x20000 + 15 * 8);
    pair_fini(&p);
}
