#include "sim/fuzz/shrink.h"

#include <stdlib.h>
#include <string.h>

#include "sim/fuzz/rules.h"

struct shrinker {
    struct fuzz_program *best, *candidate;
    const struct environment *environment;
    const struct shown *shown;
    unsigned asked, most;
    bool better; /* since somebody looked */
};

/* Takes the candidate if it is another program, allowed, and still shows what it must. */
static bool try(struct shrinker *s)
{
    if (s->asked == s->most || !memcmp(s->candidate, s->best, sizeof *s->best) ||
        !rules_allow_program(s->environment, s->candidate))
        return false;
    s->asked++;
    if (!s->shown->shows(s->shown->self, s->candidate))
        return false;
    *s->best = *s->candidate;
    return s->better = true;
}

static struct fuzz_program *candidate(struct shrinker *s)
{
    *s->candidate = *s->best;
    return s->candidate;
}

/* ---- fewer ---- */

static void cut(void *list, unsigned *n, size_t each, unsigned first, unsigned count)
{
    char *at = (char *)list + first * each;
    memmove(at, at + count * each, (*n - first - count) * each);
    *n -= count;
    memset((char *)list + *n * each, 0, count * each);
}

static void cut_items(struct fuzz_program *p, unsigned first, unsigned count)
{
    cut(p->item, &p->n_items, sizeof *p->item, first, count);
}

static void cut_words(struct fuzz_program *p, unsigned first, unsigned count)
{
    cut(p->word, &p->n_words, sizeof *p->word, first, count);
}

static unsigned count_items(const struct fuzz_program *p)
{
    return p->n_items;
}

static unsigned count_words(const struct fuzz_program *p)
{
    return p->n_words;
}

/* From the end, in pieces that get smaller. */
static void fewer(struct shrinker *s, unsigned (*count)(const struct fuzz_program *),
                  void (*cut_some)(struct fuzz_program *, unsigned, unsigned))
{
    for (unsigned piece = count(s->best); piece; piece /= 2)
        for (unsigned end = count(s->best); end;) {
            unsigned n = end < piece ? end : piece;
            cut_some(candidate(s), end - n, n);
            try(s);
            end -= n;
        }
}

/* ---- plainer ---- */

static void plain_registers(struct shrinker *s)
{
    struct fuzz_program *c;
    c = candidate(s), c->registers.pkru = 0, try(s);
    c = candidate(s), c->registers.cr0 |= CR0_WP, try(s);
    c = candidate(s), c->registers.efer |= EFER_NXE, try(s);
    for (unsigned bit = 7; bit < 23; bit++)
        c = candidate(s), c->registers.cr4 &= ~((uint64_t)1 << bit), try(s);
}

static void plain_access(struct shrinker *s, unsigned i)
{
    const uint64_t nops = UINT64_C(0x9090909090909090);
    struct access *a = &s->candidate->item[i].access;
    candidate(s), a->flags = 0, try(s);
    if (s->best->item[i].access.op == OP_EXEC)
        return;
    candidate(s), a->op = OP_READ, s->candidate->item[i].has_value = false;
    s->candidate->item[i].value = 0;
    try(s);
    candidate(s), a->gva &= ~(gva_t)7, try(s);
    candidate(s), a->gva &= ~low_bits(12), try(s);
    candidate(s), a->size = 8;
    s->candidate->item[i].value = a->op == OP_WRITE ? nops : 0;
    try(s);
}

/* A value with fewer bits set. */
static void plain_value(struct shrinker *s, uint64_t *in_candidate)
{
    for (unsigned bit = 64; bit--;) {
        candidate(s);
        *in_candidate &= ~((uint64_t)1 << bit);
        try(s);
    }
}

static void plain_items(struct shrinker *s)
{
    for (unsigned i = 0; i < s->best->n_items; i++) {
        struct script_item *item = &s->candidate->item[i];
        if (s->best->item[i].verb == VERB_access)
            plain_access(s, i);
        else if (s->best->item[i].verb != VERB_invlpg)
            plain_value(s, &item->value);
    }
}

static void plain_words(struct shrinker *s)
{
    for (unsigned i = 0; i < s->best->n_words; i++)
        plain_value(s, &s->candidate->word[i].value);
}

unsigned shrink(struct fuzz_program *program, const struct environment *environment,
                const struct shown *shown, unsigned most)
{
    struct shrinker s = {program, malloc(sizeof *program), environment, shown, 0, most, true};
    while (s.candidate && s.better) {
        s.better = false;
        fewer(&s, count_items, cut_items);
        fewer(&s, count_words, cut_words);
        plain_registers(&s);
        plain_items(&s);
        plain_words(&s);
    }
    free(s.candidate);
    return s.asked;
}
