/* When a page is loose, by hand: Intel SDM vol. 3, 4.10.4. */
#include "tests/sim/fuzz.h"

enum { PML4 = 0x10000, OTHER = 0x11000, PDPT = 0x12000, PD = 0x13000, PT = 0x14000, PAGE = 0x1000 };

/* One page of 4 KiB at 0, and its neighbour, behind both roots. */
static struct fuzz_program *one_page(uint64_t flags)
{
    static const struct fuzz_word words[] = {{PML4, PDPT | 3}, {OTHER, PDPT | 3},
                                             {PDPT, PD | 3},   {PD, PT | 3},
                                             {PT, PAGE | 3},   {PT + 8, PAGE | 3}};
    struct fuzz_program *p = calloc(1, sizeof *p);
    p->levels = 4;
    p->memory = 1 << 20;
    p->registers = (struct registers){0x80010033, PML4, CR4_PAE | CR4_PGE, 0xd01, 0};
    for (; p->n_words < 6; p->n_words++)
        p->word[p->n_words] = words[p->n_words];
    p->word[4].value |= flags;
    p->level[PML4 >> 12] = p->level[OTHER >> 12] = 4;
    p->level[PDPT >> 12] = 3;
    p->level[PD >> 12] = 2;
    p->level[PT >> 12] = 1;
    return p;
}

static struct script_item reading(gva_t gva)
{
    return (struct script_item){.verb = VERB_access, .access = {.gva = gva, .size = 8}};
}

static struct script_item loading(enum verb verb, uint64_t value)
{
    return (struct script_item){.verb = verb, .has_value = true, .value = value};
}

static struct script_item storing(gpa_t gpa, uint64_t value)
{
    return (struct script_item){
        .verb = VERB_store, .gpa = gpa, .size = 8, .has_value = true, .value = value};
}

static const struct script_item invlpg = {.verb = VERB_invlpg};

/* Does an item, which must be allowed. */
static void follow(struct rules *r, struct script_item item)
{
    cr_assert(rules_allow(r, &item));
    rules_follow(r, &item);
}

static bool may_read(const struct rules *r, gva_t gva)
{
    struct script_item item = reading(gva);
    return rules_allow(r, &item);
}

static struct rules *begin(uint64_t flags)
{
    static struct environment everything;
    struct rules *r = malloc(sizeof *r);
    everything = full_environment();
    cr_assert(rules_init(r, &everything, one_page(flags)));
    return r;
}

static void end(struct rules *r)
{
    free((void *)r->program);
    rules_fini(r);
    free(r);
}

Test(fuzz_rules, a_changed_entry_makes_loose_until_each_page_is_covered)
{
    struct rules *r = begin(0);
    follow(r, reading(0));
    follow(r, storing(PD, PT | 1));
    cr_expect(!may_read(r, 0) && !may_read(r, 0x1000));
    follow(r, invlpg);
    cr_expect(may_read(r, 0) && !may_read(r, 0x1000));
    follow(r, loading(VERB_mov_cr3, PML4));
    cr_expect(may_read(r, 0x1000));
    end(r);
}

Test(fuzz_rules, an_entry_that_was_not_present_is_kept_nowhere)
{
    struct rules *r = begin(0);
    follow(r, storing(PT + 16, PAGE | 3));
    cr_expect(may_read(r, 0x2000));
    end(r);
}

Test(fuzz_rules, a_global_page_outlives_its_root)
{
    struct rules *r = begin(PTE_G);
    follow(r, reading(0));
    follow(r, storing(PT, PAGE | PTE_G | 1));
    follow(r, loading(VERB_mov_cr3, PML4));
    cr_expect(!may_read(r, 0));
    follow(r, loading(VERB_mov_cr4, CR4_PAE));
    cr_expect(may_read(r, 0));
    end(r);
}

/* KVM found it: a neighbour's access told of a large page of the second root's. */
Test(fuzz_rules, one_root_s_global_page_does_not_hide_the_other_s)
{
    struct rules *r = begin(PTE_G);
    follow(r, reading(0));
    follow(r, storing(OTHER, 0x15003));
    r->word[0x15000 / 8].value = 0x187; /* 1 GiB, global */
    ((struct fuzz_program *)r->program)->level[0x15] = 3;
    follow(r, loading(VERB_mov_cr3, OTHER));
    cr_expect(!may_read(r, 0));
    follow(r, reading(0x1000));
    cr_expect(!may_read(r, 0));
    follow(r, invlpg);
    cr_expect(may_read(r, 0));
    end(r);
}

Test(fuzz_rules, when_nxe_changes_everything_is_loose)
{
    struct rules *r = begin(0);
    follow(r, loading(VERB_wrmsr_efer, 0x501));
    cr_expect(!may_read(r, 0));
    follow(r, loading(VERB_mov_cr3, PML4));
    cr_expect(may_read(r, 0));
    end(r);
}
