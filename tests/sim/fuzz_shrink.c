/* The fuzzer's programs, made short. What they must show is said by hand. */
#include <string.h>

#include "sim/fuzz/shrink.h"
#include "sim/run.h"
#include "tests/sim/fuzz.h"
#include "tests/sim/worlds.h"

enum { MOST = 5000 };

static bool has_cpl3_write(void *self, const struct fuzz_program *p)
{
    (void)self;
    for (unsigned i = 0; i < p->n_items; i++)
        if (p->item[i].access.op == OP_WRITE && p->item[i].access.flags & ACCESS_USER)
            return true;
    return false;
}

Test(fuzz_shrink, one_item_is_left_where_one_shows_it)
{
    struct environment e = full_environment();
    struct fuzz_program *p = fuzz_program(3, 1, &e);
    struct shown shown = {has_cpl3_write, NULL};
    cr_assert(has_cpl3_write(NULL, p));
    cr_expect(shrink(p, &e, &shown, MOST) < 500);
    cr_assert_eq(p->n_items, 1);
    cr_expect_eq(p->item[0].access.gva & 0xfff, 0);
    cr_expect_eq(p->item[0].access.size, 8);
    cr_expect_eq(p->n_words, 0, "a walk that ends in the top table needs no word");
    cr_expect_eq(p->registers.cr4 & ~CR4_LA57, CR4_PAE);
    cr_expect(has_cpl3_write(NULL, p) && rules_allow_program(&e, p));
    free(p);
}

/* An access of the page that an INVLPG before it named, whose PDE was changed before that. */
static bool reaches_a_changed_pde(void *self, const struct fuzz_program *p)
{
    (void)self;
    static struct fuzz_scenario s;
    struct err err = {0};
    struct profile profile = profile_named("textbook");
    profile.maxphyaddr = 40;
    program_scenario(p, &profile, MODE_NATIVE, &s);
    struct machine *m = machine_new(&s.scenario.machine, &err);
    cr_assert(m != NULL, "%s", err.text);
    bool shown = false, changed = false;
    for (unsigned i = 0; i < p->n_items; i++) {
        struct outcome o;
        machine_do(m, &p->item[i], &o);
        changed |= p->item[i].verb == VERB_store && p->level[p->item[i].gpa >> 12] == 2;
        shown |= changed && i && p->item[i].verb == VERB_access && o.kind == OUTCOME_OK &&
                 p->item[i - 1].verb == VERB_invlpg;
    }
    machine_free(m);
    return shown;
}

Test(fuzz_shrink, what_belongs_together_stays_together)
{
    struct environment e = full_environment();
    struct shown shown = {reaches_a_changed_pde, NULL};
    unsigned n = 0;
    for (uint64_t i = 0; n < 5; i++) {
        struct fuzz_program *p = fuzz_program(3, i, &e);
        if (reaches_a_changed_pde(NULL, p)) {
            n++;
            shrink(p, &e, &shown, MOST);
            cr_expect(p->n_items >= 3 && p->n_items <= 5, "program %llu: %u", (unsigned long long)i,
                      p->n_items);
            cr_expect(p->n_words <= p->levels + 1, "%u words",
                      p->n_words); /* entries, and what is executed */
            cr_expect(rules_allow_program(&e, p));
        }
        free(p);
    }
}

Test(fuzz_shrink, the_same_program_is_shrunk_to_the_same)
{
    struct environment e = full_environment();
    struct fuzz_program *p = fuzz_program(3, 2, &e), *q = fuzz_program(3, 2, &e);
    struct shown shown = {has_cpl3_write, NULL};
    cr_expect_eq(shrink(p, &e, &shown, MOST), shrink(q, &e, &shown, MOST));
    cr_expect(!memcmp(p, q, sizeof *p));
    free(p), free(q);
}

Test(fuzz_shrink, it_asks_no_more_often_than_it_may)
{
    struct environment e = full_environment();
    struct fuzz_program *p = fuzz_program(3, 1, &e);
    struct shown shown = {has_cpl3_write, NULL};
    cr_expect_eq(shrink(p, &e, &shown, 7), 7);
    cr_expect(has_cpl3_write(NULL, p));
    free(p);
}
