#include "core/quick.h"

#define INLINE static inline __attribute__((always_inline))

static bool plain_or_none(const struct lookaside *la, uint32_t offset)
{
    return !offset || memo_at(la, offset)->plain;
}

bool quick_may(const struct mmu *m)
{
    const struct lookaside *la = &m->look;
    bool may = m->stages == 1 && m->stage[0].format.canonical && !la->by_entry &&
               !la->program_data && !m->tally.sink;
    for (unsigned t = 0; t < TLBS; t++)
        may &= plain_or_none(la, la->tlb[t].place[1].memo);
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        may &= plain_or_none(la, la->structure[0][level]);
    return may;
}

/* Long mode: eight bytes an entry, nine bits a level. As constants they are free. */
enum { PAGE_BITS = 12, LEVEL_BITS = 9, ENTRY_BYTES = 8 };

INLINE uint64_t number_of(const struct mmu *m, unsigned level, gva_t gva)
{
    return (gva & m->stage[0].format.ia_mask) >> (PAGE_BITS + LEVEL_BITS * (level - 1));
}

/* Whether rights serve such an access, with no bit to be set for it. */
INLINE bool serves(const struct mmu *m, const struct access *a, uint32_t rights)
{
    return m->served[rights & (MAY_ALL | LEAF_DIRTY)][a->flags & 3] >> a->op & 1 &&
           !(m->keys && stage_key_denies(&m->stage[0], kind_of(a), rights));
}

/* ---- TLBs ---- */

/* Where a base page is in a TLB that keeps some. */
INLINE struct memo_seat seat_of(struct mmu *m, enum tlb_name name, uint64_t tag, uint32_t mark)
{
    return memo_seat(memo_at(&m->look, m->look.tlb[name].place[1].memo), tag, mark);
}

static __attribute__((noinline)) bool has_other(const struct mmu *m, enum tlb_name name, gva_t gva)
{
    const struct tlb *tlb = &m->look.tlb[name];
    for (unsigned levels = tlb->levels; levels; levels &= levels - 1) {
        unsigned level = (unsigned)__builtin_ctz(levels);
        const struct memo *memo = memo_at(&m->look, tlb->place[level].memo);
        uint64_t number = number_of(m, level, gva);
        if (memo_peek(memo, tag_of(m->space[0], level - 1, number)) != MEMO_MISS ||
            memo_peek(memo, tag_of(m->global, level - 1, number)) != MEMO_MISS)
            return true;
    }
    return false;
}

/* Whether a TLB has a page otherwise than as a base page of its space: larger, or global. */
INLINE bool may_have_other(const struct mmu *m, enum tlb_name name, gva_t gva)
{
    bool others = m->look.tlb[name].levels != 1 << 1 || m->look.globals;
    return __builtin_expect(others, 0) && has_other(m, name, gva);
}

/* Fields one by one: a struct copied through memory waits for its narrower stores. */
INLINE void keep(struct memo_seat *seat, uint64_t address, uint32_t rights, uint32_t note)
{
    memo_take(seat);
    struct target *to = memo_target(seat);
    to->hpa = to->next = address;
    to->rights = rights;
    to->note = note;
}

/* ---- the walk ---- */

/* What there is to know at a level; above the first entry read, of what led to its table. */
struct step {
    hpa_t at;              /* of the entry */
    uint64_t address;      /* in it: of a table or, at level 1, of the page */
    uint32_t rights;       /* gathered down to here */
    struct memo_seat seat; /* in the structure cache of the level; all 0: it has none */
};

/* Whether a structure cache knows what the entry of a level leads to. */
INLINE bool seek_step(struct mmu *m, gva_t gva, unsigned level, struct step *step)
{
    uint32_t offset = m->look.structure[0][level];
    step->seat = (struct memo_seat){0};
    if (!offset)
        return false;
    uint64_t tag = tag_of(m->space[0], 0, number_of(m, level, gva));
    step->seat = memo_seat(memo_at(&m->look, offset), tag, memo_mark(tag));
    if (!memo_seek(&step->seat))
        return false;
    const struct target *target = memo_target(&step->seat);
    step->address = target->hpa;
    step->rights = target->rights;
    return true;
}

/*
 * Whether an entry is well-formed, present and accessed, and no large page. If so its likeness is
 * remembered: others that differ in nothing but the address are so too.
 */
static __attribute__((noinline)) bool is_usual(const struct format *f, unsigned level,
                                               uint64_t entry, struct likeness *like)
{
    bool leaf = level == 1;
    uint64_t set = f->present | f->accessed,
             clear = f->reserved[level][leaf] | f->leaf[level] * !leaf;
    uint64_t mask = ~f->frame[level][leaf] | clear;
    if ((entry & set) != set || entry & clear)
        return false;
    *like = (struct likeness){mask, entry & mask, format_rights(f, leaf, entry)};
    return true;
}

/* Reads the entry in the table that the step above leads to. */
INLINE bool read_step(struct mmu *m, const struct mem *mem, gva_t gva, unsigned level,
                      struct step *step, const struct step *above)
{
    uint64_t index = number_of(m, level, gva) & low_bits(LEVEL_BITS);
    step->at = above->address + index * ENTRY_BYTES;
    if (!mem_holds(mem, step->at, ENTRY_BYTES))
        return false;
    uint64_t entry = mem_load(mem, step->at, ENTRY_BYTES);
    struct likeness *like = &m->usual[level][(entry & PTE_D) != 0];
    if (__builtin_expect((entry & like->mask) != like->bits, 0) &&
        !is_usual(&m->stage[0].format, level, entry, like))
        return false;
    step->address = entry & ~like->mask;
    step->rights = like->rights & (above->rights | ~(uint32_t)MAY_ALL);
    return true;
}

/* What was read passes through the data caches, and where it led is kept. */
INLINE void use_step(struct mmu *m, struct memo *llc, unsigned level, struct step *step,
                     cycles_t *clock)
{
    enum server server = lookaside_serve(&m->look, llc, step->at);
    COUNT(&m->tally, *clock, REF, 0, level, server);
    if (level == 1 || !step->seat.memo)
        return;
    COUNT(&m->tally, *clock, STRUCTURE_MISS, 0, level, 0);
    keep(&step->seat, step->address, (step->rights & MAY_ALL) | LEAF_DIRTY, 0);
}

/*
 * The walk from level @p first on, to which step[first + 1] leads: @p cached, by a structure cache.
 * Inlined where @p first is a constant, so that steps need no memory.
 */
INLINE bool walk_from(struct mmu *m, const struct bus *bus, const struct access *a, unsigned first,
                      bool cached, struct step *step, cycles_t *clock)
{
#pragma GCC unroll 2
    for (unsigned level = first; level; level--)
        if (!read_step(m, bus->mem, a->gva, level, &step[level], &step[level + 1]))
            return false;
    if (!serves(m, a, step[1].rights) || step[1].rights & LEAF_GLOBAL)
        return false;
    if (cached) {
        memo_use(&step[first + 1].seat);
        COUNT(&m->tally, *clock, STRUCTURE_HIT, 0, first + 1, 0);
    }
#pragma GCC unroll 2
    for (unsigned level = first; level; level--)
        use_step(m, bus->llc, level, &step[level], clock);
    return true;
}

/* From higher up. */
static __attribute__((noinline)) bool walk_far(struct mmu *m, const struct bus *bus,
                                               const struct access *a, struct step *leaf,
                                               cycles_t *clock)
{
    const struct stage *stage = &m->stage[0];
    struct step step[LEVELS_MAX + 2];
    unsigned level = 2;
    while (level <= stage->format.levels && !seek_step(m, a->gva, level, &step[level]))
        level++;
    bool cached = level <= stage->format.levels;
    if (!cached)
        step[level].address = stage->root, step[level].rights = MAY_ALL;
    bool done = walk_from(m, bus, a, level - 1, cached, step, clock);
    *leaf = step[1];
    return done;
}

/* From the lowest table that a structure cache knows. What is found is in step[1]. */
INLINE bool walk(struct mmu *m, const struct bus *bus, const struct access *a, struct step *step,
                 cycles_t *clock)
{
    if (seek_step(m, a->gva, 2, &step[2]))
        return walk_from(m, bus, a, 1, true, step, clock);
    if (seek_step(m, a->gva, 3, &step[3]))
        return walk_from(m, bus, a, 2, true, step, clock);
    struct step leaf;
    cycles_t far = 0;
    bool walked = walk_far(m, bus, a, &leaf, &far);
    step[1].address = leaf.address, step[1].rights = leaf.rights;
    *clock += far;
    return walked;
}

/* ---- all of it ---- */

bool quick_translate(struct mmu *m, const struct bus *bus, const struct access *a)
{
    const gva_t gva = a->gva;
    const enum tlb_name l1 = a->op == OP_EXEC ? TLB_L1I : TLB_L1D;
    const uint64_t tag = tag_of(m->space[0], 0, number_of(m, 1, gva));
    const uint32_t mark = memo_mark(tag);
    cycles_t clock = 0;
    if (!format_canonical(&m->stage[0].format, gva) ||
        !(m->look.tlb[l1].levels & m->look.tlb[TLB_L2].levels & 1 << 1))
        return false;
    struct memo_seat in_l1 = seat_of(m, l1, tag, mark), in_l2 = seat_of(m, TLB_L2, tag, mark);
    if (memo_seek(&in_l1)) {
        if (!serves(m, a, memo_target(&in_l1)->rights))
            return false;
        memo_use(&in_l1);
        COUNT(&m->tally, clock, TLB_HIT, 0, 1, l1);
        return true;
    }
    if (may_have_other(m, l1, gva))
        return false;
    if (memo_seek(&in_l2)) {
        const struct target *target = memo_target(&in_l2);
        if (!serves(m, a, target->rights))
            return false;
        memo_use(&in_l2);
        COUNT(&m->tally, clock, TLB_HIT, 0, 1, TLB_L2);
        keep(&in_l1, target->hpa, target->rights, target->note);
    } else {
        struct step step[4];
        if (may_have_other(m, TLB_L2, gva) || !walk(m, bus, a, step, &clock))
            return false;
        COUNT(&m->tally, clock, WALK, 0, 0, 0);
        COUNT(&m->tally, clock, TLB_MISS, 0, 1, TLB_L2);
        keep(&in_l1, step[1].address, step[1].rights, 1);
        keep(&in_l2, step[1].address, step[1].rights, 1);
    }
    COUNT(&m->tally, clock, TLB_MISS, 0, 1, l1);
    COUNT(&m->tally, clock, TLB_L2, 0, 0, 0);
    m->tally.cycles += clock;
    return true;
}

struct tlb_hit quick_entry(const struct mmu *m, enum tlb_name name, gva_t gva)
{
    struct memo *memo = memo_at(&m->look, m->look.tlb[name].place[1].memo);
    uint32_t slot = memo_peek(memo, tag_of(m->space[0], 0, number_of(m, 1, gva)));
    return (struct tlb_hit){.memo = memo, .slot = slot, .level = 1, .space = m->space[0]};
}
