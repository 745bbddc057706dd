#include "core/lookaside.h"

#include <string.h>

/* Each memo draws from its own stream, so that one's misses do not disturb another's choices. */
static uint32_t add(struct lookaside *la, uint32_t *at, const struct shape *shape, bool targets,
                    bool really, struct rng *seeds)
{
    uint64_t seed = rng_next(seeds);
    if (!shape->entries)
        return 0;
    uint32_t offset = *at;
    *at += (uint32_t)memo_bytes(shape, targets);
    if (really)
        memo_init(memo_at(la, offset), shape, targets, seed);
    return offset;
}

static void add_tlb(struct lookaside *la, struct tlb *tlb, const struct tlb_profile *profile,
                    uint32_t *at, bool really, struct rng *seeds)
{
    uint32_t array[PAGE_CLASSES];
    for (unsigned a = 0; a < PAGE_CLASSES; a++)
        array[a] = add(la, at, &profile->array[a], true, really, seeds);
    tlb->off = true;
    for (unsigned size = 0; size < PAGE_CLASSES; size++) {
        unsigned kept = profile->kept_as[size], where = profile->array_of[kept];
        if (where == TLB_NOWHERE || !array[where])
            continue;
        tlb->place[size + 1] = (struct tlb_place){array[where], (uint8_t)(kept + 1)};
        tlb->off = false;
    }
}

/* Lays all memos out behind the struct, and makes them if @p really. */
static size_t lay_out(struct lookaside *la, const struct profile *p, unsigned stages, uint64_t seed,
                      bool really)
{
    struct rng seeds = {seed};
    uint32_t at = (uint32_t)((sizeof *la + 15) & ~(size_t)15);
    for (unsigned t = 0; t < TLBS; t++)
        add_tlb(la, &la->tlb[t], &p->tlb[t], &at, really, &seeds);
    for (unsigned depth = 0; depth < stages; depth++)
        for (unsigned level = 2; level <= LEVELS_MAX; level++)
            la->structure[depth][level] = add(la, &at, &p->structure[level], true, really, &seeds);
    for (unsigned depth = 1; depth < stages; depth++)
        la->nested[depth] = add(la, &at, &p->nested_tlb, true, really, &seeds);
    for (unsigned c = 0; c < DATA_CACHES - 1; c++)
        la->data[c] = add(la, &at, &p->data[c], false, really, &seeds);
    return at;
}

size_t lookaside_bytes(const struct profile *profile, unsigned stages)
{
    struct lookaside scratch = {0};
    return lay_out(&scratch, profile, stages, 0, false);
}

void lookaside_init(struct lookaside *la, const struct profile *profile, unsigned stages,
                    uint64_t seed)
{
    la->bytes = (uint32_t)lay_out(la, profile, stages, seed, true);
    la->by_entry = profile->structure_by_entry;
    la->program_data = profile->program_data;
    la->line_shift = (uint8_t)__builtin_ctz(profile->line);
}

/* A fragment belongs to a page larger than its tag says: its note knows how large. */
static void drop_fragments(struct memo *memo, const struct format *f, unsigned kept, gva_t gva,
                           space_t space, space_t global)
{
    for (uint32_t slot = 0; slot < memo->entries; slot++) {
        uint64_t tag = memo_tag(memo, slot), number = tag & low_bits(MEMO_KEY_BITS);
        space_t of = tag & TAG_SPACE;
        unsigned level = memo_targets(memo)[slot].note;
        if (!tag || (of != space && (!global || of != global)) || level <= kept ||
            (tag >> MEMO_KEY_BITS & 3) != kept - 1)
            continue;
        if (number >> (f->shift[level] - f->shift[kept]) == page_number(f, level, gva))
            memo_drop(memo, slot);
    }
}

static void drop_tag(struct memo *memo, uint64_t tag)
{
    uint32_t slot = memo_peek(memo, tag);
    if (slot != MEMO_MISS)
        memo_drop(memo, slot);
}

void lookaside_drop_page(struct lookaside *la, const struct format *f, gva_t gva, space_t space,
                         space_t global)
{
    for (unsigned t = 0; t < TLBS; t++)
        for (unsigned level = 1; level <= PAGE_CLASSES; level++) {
            if (!(la->tlb[t].levels >> level & 1))
                continue;
            struct memo *memo = memo_at(la, la->tlb[t].place[level].memo);
            uint64_t number = page_number(f, level, gva);
            drop_tag(memo, tag_of(space, level - 1, number));
            if (global)
                drop_tag(memo, tag_of(global, level - 1, number));
            if (la->fragments)
                drop_fragments(memo, f, level, gva, space, global);
        }
}

void lookaside_drop_space(struct lookaside *la, space_t space)
{
    for (unsigned t = 0; t < TLBS; t++)
        for (unsigned level = 1; level <= PAGE_CLASSES; level++)
            if (la->tlb[t].levels >> level & 1)
                memo_drop_matching(memo_at(la, la->tlb[t].place[level].memo), TAG_SPACE,
                                   tag_of(space, 0, 0));
}

void lookaside_drop_structure(struct lookaside *la, unsigned depth, space_t space)
{
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        if (la->structure[depth][level])
            memo_drop_matching(memo_at(la, la->structure[depth][level]), TAG_SPACE,
                               tag_of(space, 0, 0));
}

void lookaside_drop_path(struct lookaside *la, unsigned depth, const struct format *f, ia_t ia,
                         space_t space)
{
    for (unsigned level = 2; level <= f->levels; level++)
        if (la->structure[depth][level] && !la->by_entry)
            drop_tag(memo_at(la, la->structure[depth][level]),
                     tag_of(space, 0, page_number(f, level, ia)));
    if (la->by_entry) /* which entries the walk would read is not known here: drop them all */
        lookaside_drop_structure(la, depth, space);
}

void lookaside_drop_physical(struct lookaside *la, unsigned depth, space_t space)
{
    lookaside_drop_structure(la, depth, space);
    if (la->nested[depth])
        memo_drop_matching(memo_at(la, la->nested[depth]), TAG_SPACE, tag_of(space, 0, 0));
}

void lookaside_drop_frame(struct lookaside *la, unsigned depth, const struct format *f, ia_t ia,
                          space_t space)
{
    lookaside_drop_path(la, depth, f, ia, space);
    if (la->nested[depth])
        drop_tag(memo_at(la, la->nested[depth]), tag_of(space, 0, ia >> NESTED_SHIFT));
}

static void flush_at(struct lookaside *la, uint32_t offset)
{
    if (offset)
        memo_flush(memo_at(la, offset));
}

void lookaside_flush(struct lookaside *la)
{
    for (unsigned t = 0; t < TLBS; t++) {
        for (unsigned level = 1; level <= PAGE_CLASSES; level++)
            flush_at(la, la->tlb[t].place[level].memo);
        la->tlb[t].levels = 0;
    }
    for (unsigned depth = 0; depth < STAGES_MAX; depth++) {
        for (unsigned level = 2; level <= LEVELS_MAX; level++)
            flush_at(la, la->structure[depth][level]);
        flush_at(la, la->nested[depth]);
    }
    la->globals = la->fragments = false;
}

void lookaside_flush_data(struct lookaside *la)
{
    for (unsigned c = 0; c < DATA_CACHES - 1; c++)
        flush_at(la, la->data[c]);
}
