#include "sim/fuzz/tally.h"

const char *fuzz_count_name(enum fuzz_count count)
{
    static const char *const names[] = {
#define X(name, what) #name,
        FUZZ_COUNTS(X)
#undef X
    };
    return names[count];
}

const char *fuzz_count_what(enum fuzz_count count)
{
    static const char *const words[] = {
#define X(name, what) what,
        FUZZ_COUNTS(X)
#undef X
    };
    return words[count];
}

/* By the bits of the error code: P, W/R, U/S, RSVD, I/D, PK. */
static enum fuzz_count kind_of_fault(const struct outcome *o)
{
    enum { P = 1, W = 2, RSVD = 8, I = 16, PK = 32 };
    if (o->vector == 13)
        return FUZZ_not_canonical;
    if (o->error_code & RSVD)
        return FUZZ_reserved;
    if (!(o->error_code & P))
        return FUZZ_not_present;
    if (o->error_code & PK)
        return FUZZ_key;
    return o->error_code & I ? FUZZ_fetch : o->error_code & W ? FUZZ_write : FUZZ_read;
}

static enum fuzz_count kind_of_item(const struct script_item *item, uint64_t *cr4)
{
    bool toggles = item->verb == VERB_mov_cr4 && (item->value ^ *cr4) & CR4_PGE;
    if (item->verb == VERB_mov_cr4)
        *cr4 = item->value;
    if (item->verb == VERB_access)
        return FUZZ_accesses;
    if (item->verb == VERB_store)
        return FUZZ_edits;
    return toggles || item->verb == VERB_invlpg || item->verb == VERB_mov_cr3 ? FUZZ_invalidations
                                                                              : FUZZ_registers;
}

void fuzz_tally_add(struct fuzz_tally *t, const struct scenario *s, const struct observation *model,
                    const struct verdict *verdict)
{
    uint64_t cr4 = s->machine.vms[0].registers.cr4;
    t->count[FUZZ_programs]++;
    t->count[FUZZ_words] += verdict->compared[ASPECT_memory];
    for (unsigned i = 0; i < s->n_script; i++) {
        const struct outcome *o = &model->outcome[i];
        t->count[kind_of_item(&s->script[i], &cr4)]++;
        if (o->kind == OUTCOME_FAULT)
            t->count[kind_of_fault(o)]++;
    }
    for (unsigned m = 0; m < MASK_COUNT; m++) {
        t->masked[m] += verdict->masked[m];
        t->in_reach[m] += verdict->in_reach[m];
    }
}
