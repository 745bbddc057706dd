/* The fuzzer's programs: the same from the same seed, allowed by the rules, and of every kind. */
#include <string.h>

#include "sim/run.h"
#include "tests/sim/fuzz.h"
#include "tests/sim/worlds.h"

Test(fuzz_generate, the_same_seed_and_number_give_the_same_program)
{
    struct environment e = full_environment();
    struct fuzz_program *a = fuzz_program(7, 3, &e), *b = fuzz_program(7, 3, &e),
                        *c = fuzz_program(7, 4, &e), *d = fuzz_program(8, 3, &e);
    cr_expect(!memcmp(a, b, sizeof *a));
    cr_expect(memcmp(a->word, c->word, sizeof a->word));
    cr_expect(memcmp(a->word, d->word, sizeof a->word));
    free(a), free(b), free(c), free(d);
}

Test(fuzz_generate, whatever_the_environment_the_rules_allow_the_program)
{
    struct environment e[] = {full_environment(), poor_environment()};
    for (uint64_t i = 0; i < 200; i++) {
        struct fuzz_program *p = fuzz_program(1, i, &e[i % 2]);
        cr_expect(rules_allow_program(&e[i % 2], p), "program %llu", (unsigned long long)i);
        free(p);
    }
}

Test(fuzz_generate, an_environment_without_a_feature_is_not_asked_for_it)
{
    struct environment e = poor_environment();
    for (uint64_t i = 0; i < 50; i++) {
        struct fuzz_program *p = fuzz_program(1, i, &e);
        cr_expect_eq(p->levels, 4);
        cr_expect(!(p->registers.cr4 & (CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57)));
        for (unsigned n = 0; n < p->n_items; n++) {
            const struct script_item *item = &p->item[n];
            cr_expect(item->verb != VERB_wrpkru && !(item->access.flags & ACCESS_AC));
            cr_expect(item->verb != VERB_mov_cr4 || !(item->value & ~(CR4_PAE | CR4_PGE)));
        }
        free(p);
    }
}

Test(fuzz_generate, one_entry_of_every_top_table_stays_free)
{
    struct environment e = full_environment();
    for (uint64_t i = 0; i < 50; i++) {
        struct fuzz_program *p = fuzz_program(1, i, &e);
        for (unsigned w = 0; w < p->n_words; w++)
            cr_expect(p->level[p->word[w].gpa >> 12] != p->levels ||
                      (p->word[w].gpa & 0xfff) != 3 * 8);
        free(p);
    }
}

/* ---- of every kind ---- */

struct seen {
    unsigned ok[OP_EXEC + 1][2];                             /* op, user */
    unsigned refused[REFUSED_CANONICAL + 1][LEVELS_MAX + 1]; /* why, level */
    unsigned error[64], size[9], crossing, verb[VERB_COUNT];
    unsigned edits[LEVELS_MAX + 1], pages[LEVELS_MAX + 1], smap_by_ac, after_invlpg[LEVELS_MAX + 1];
    uint64_t accesses;
};

static void see_access(struct seen *seen, const struct script_item *item, const struct outcome *o,
                       const struct registers *r)
{
    const struct access *a = &item->access;
    bool user = a->flags & ACCESS_USER;
    seen->accesses++;
    seen->size[a->size]++;
    seen->crossing += (a->gva & 0xfff) + a->size > FRAME_BYTES;
    seen->ok[a->op][user] += o->kind == OUTCOME_OK;
    seen->refused[o->why][o->level] += o->kind == OUTCOME_FAULT;
    if (o->kind == OUTCOME_FAULT && o->vector == 14)
        seen->error[o->error_code & 63]++;
    if (o->kind == OUTCOME_OK && r->cr4 & CR4_SMAP && a->flags & ACCESS_AC)
        seen->smap_by_ac++;
}

static void see_edit(struct seen *seen, const struct fuzz_program *p, unsigned i)
{
    unsigned level = p->level[p->item[i].gpa >> FRAME_SHIFT];
    seen->edits[level]++;
    seen->after_invlpg[level] += i + 2 < p->n_items && p->item[i + 1].verb == VERB_invlpg &&
                                 p->item[i + 2].verb == VERB_access;
}

static void see_program(struct seen *seen, const struct fuzz_program *p)
{
    static struct fuzz_scenario s;
    struct err err = {0};
    struct profile profile = profile_named("textbook");
    profile.maxphyaddr = 40;
    program_scenario(p, &profile, MODE_NATIVE, &s);
    struct machine *m = machine_new(&s.scenario.machine, &err);
    cr_assert(m != NULL, "%s", err.text);
    for (unsigned i = 0; i < p->n_items; i++) {
        const struct script_item *item = &p->item[i];
        struct registers before = m->vcpu[0].mmu->registers;
        struct outcome o;
        struct walk w;
        if (item->verb == VERB_access && machine_peek(m, item, &w))
            seen->pages[w.ref[w.refs - 1].level]++;
        machine_do(m, item, &o);
        seen->verb[item->verb]++;
        if (item->verb == VERB_access)
            see_access(seen, item, &o, &before);
        else
            cr_expect(o.kind == OUTCOME_OK, "%s", o.words ? o.words : "");
        if (item->verb == VERB_store)
            see_edit(seen, p, i);
    }
    machine_free(m);
}

static void expect_accesses(const struct seen *seen)
{
    for (unsigned op = 0; op <= OP_EXEC; op++)
        for (unsigned user = 0; user < 2; user++)
            cr_expect(seen->ok[op][user] > 100, "op %u, user %u", op, user);
    for (unsigned size = 1; size <= 8; size *= 2)
        cr_expect(seen->size[size] > 1000, "size %u", size);
    cr_expect(seen->crossing > 100);
    cr_expect(seen->smap_by_ac > 20);
    for (unsigned level = 1; level <= 3; level++)
        cr_expect(seen->pages[level] > 100, "pages of level %u", level);
}

static void expect_faults(const struct seen *seen)
{
    for (unsigned why = REFUSED_NOT_PRESENT; why <= REFUSED_PROTECTION; why++)
        for (unsigned level = 1; level <= LEVELS_MAX; level++)
            cr_expect(seen->refused[why][level] > 50, "refusal %u, level %u", why, level);
    cr_expect(seen->refused[REFUSED_CANONICAL][0] > 50);
    /* P, W, U, I, PK as they can go together; with RSVD, keys apart. */
    static const uint8_t codes[] = {0,  2,  4,  6,  16, 20, 1,  3,  5,  7,  17,
                                    21, 33, 35, 37, 39, 9,  11, 13, 15, 25, 29};
    for (unsigned i = 0; i < sizeof codes; i++)
        cr_expect(seen->error[codes[i]] > 20, "error code 0x%x: %u", codes[i],
                  seen->error[codes[i]]);
}

static void expect_items(const struct seen *seen)
{
    static const enum verb verbs[] = {VERB_store,   VERB_invlpg,     VERB_mov_cr3, VERB_mov_cr0,
                                      VERB_mov_cr4, VERB_wrmsr_efer, VERB_wrpkru};
    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++)
        cr_expect(seen->verb[verbs[i]] > 100, "verb %u", verbs[i]);
    for (unsigned level = 1; level <= LEVELS_MAX; level++) {
        cr_expect(seen->edits[level] > 100, "edits of level %u", level);
        cr_expect(seen->after_invlpg[level] > 30, "seen after INVLPG: level %u", level);
    }
}

Test(fuzz_generate, twenty_thousand_accesses_meet_everything)
{
    struct environment e = full_environment();
    struct seen *seen = calloc(1, sizeof *seen);
    for (uint64_t i = 0; seen->accesses < 20000; i++) {
        struct fuzz_program *p = fuzz_program(1, i, &e);
        see_program(seen, p);
        free(p);
    }
    expect_accesses(seen);
    expect_faults(seen);
    expect_items(seen);
    free(seen);
}
