#include "core/quick.h"

#define INLINE static inline __attribute__((always_inline))

static bool plain_or_none(const struct lookaside *la, uint32_t offset)
{
    return !offset || memo_at(la, offset)->plain;
}

/* Agile paging, and a hypervisor's own walk. */
static bool is_ordinary(const struct stage *stage)
{
    return !stage->map && !stage->direct && !stage->switches && !stage->host_root;
}

bool quick_may(const struct mmu *m)
{
    const struct lookaside *la = &m->look;
    bool may = m->stages >= 1 && m->stages <= QUICK_STAGES && m->stage[0].format.canonical &&
               !la->by_entry && !la->program_data && !m->tally.sink;
    for (unsigned t = 0; t < TLBS; t++)
        may &= plain_or_none(la, la->tlb[t].place[1].memo);
    for (unsigned depth = 0; depth < m->stages; depth++) {
        may &= is_ordinary(&m->stage[depth]) && m->stage[depth].format.levels >= PAGING_4_LEVEL;
        may &= plain_or_none(la, la->nested[depth]) && !(depth && m->stage[depth].format.key_shift);
        for (unsigned level = 2; level <= LEVELS_MAX; level++)
            may &= plain_or_none(la, la->structure[depth][level]);
    }
    return may;
}

/* Long mode, EPT and NPT: eight bytes an entry, nine bits a level. As constants they are free. */
enum { PAGE_BITS = 12, LEVEL_BITS = 9, ENTRY_BYTES = 8 };

/* The guest's tables, or all there are; the hypervisor's. */
enum { GUEST, HOST };

/* An address below the guest was found to be no wider than its format. */
INLINE uint64_t number_of(const struct mmu *m, unsigned depth, unsigned level, ia_t ia)
{
    return (depth ? ia : ia & m->stage[0].format.ia_mask) >> (PAGE_BITS + LEVEL_BITS * (level - 1));
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
        uint64_t number = number_of(m, GUEST, level, gva);
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
INLINE void put(const struct memo_seat *seat, hpa_t hpa, ia_t next, uint32_t rights, uint32_t note)
{
    struct target *to = memo_target(seat);
    to->hpa = hpa;
    to->next = next;
    to->rights = rights;
    to->note = note;
}

INLINE void keep(struct memo_seat *seat, hpa_t hpa, ia_t next, uint32_t rights, uint32_t note)
{
    memo_take(seat);
    put(seat, hpa, next, rights, note);
}

/* ---- the walk of one stage ---- */

/* What there is to know at a level; above the first entry read, of what led to its table. */
struct step {
    hpa_t at;              /* of the entry */
    uint64_t address;      /* in it: of a table or, at level 1, of the page */
    uint32_t rights;       /* gathered down to here */
    struct memo_seat seat; /* in the structure cache of the level; memo NULL: it has none */
};

/* Whether a structure cache knows what the entry of a level leads to. */
INLINE bool seek_step(struct mmu *m, unsigned depth, ia_t ia, unsigned level, struct step *step)
{
    uint32_t offset = m->look.structure[depth][level];
    step->seat = (struct memo_seat){0};
    if (!offset)
        return false;
    uint64_t tag = tag_of(m->space[depth], 0, number_of(m, depth, level, ia));
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
    uint64_t clear = f->reserved[level][leaf] | f->leaf[level] * !leaf;
    uint64_t mask = ~f->frame[level][leaf] | clear;
    if (!format_present(f, entry) || f->accessed & ~entry || entry & clear ||
        format_malformed(f, leaf, entry))
        return false;
    *like = (struct likeness){mask, entry & mask, format_rights(f, leaf, entry)};
    return true;
}

INLINE uint64_t offset_of(const struct mmu *m, unsigned depth, unsigned level, ia_t ia)
{
    return (number_of(m, depth, level, ia) & low_bits(LEVEL_BITS)) * ENTRY_BYTES;
}

/* Reads the entry at step->at. D only tells with which likeness it is compared. */
INLINE bool read_entry(struct mmu *m, const struct mem *mem, unsigned depth, unsigned level,
                       struct step *step, uint32_t rights_above)
{
    if (!mem_holds(mem, step->at, ENTRY_BYTES))
        return false;
    uint64_t entry = mem_load(mem, step->at, ENTRY_BYTES);
    uint64_t dirty = level > 1 ? 0 : depth ? m->stage[depth].format.dirty : PTE_D;
    struct likeness *like = &m->usual[depth][level][(entry & dirty) != 0];
    if (__builtin_expect((entry & like->mask) != like->bits, 0) &&
        !is_usual(&m->stage[depth].format, level, entry, like))
        return false;
    step->address = entry & ~like->mask;
    step->rights = like->rights & (rights_above | ~(uint32_t)MAY_ALL);
    return true;
}

/* The number of a table of level 1, as far as tables seen are told apart. */
INLINE unsigned sight(const struct mmu *m, unsigned depth, ia_t ia)
{
    return number_of(m, depth, 2, ia) % TABLES_SEEN;
}

/* Reads the entry in the table that the step above leads to. */
INLINE bool read_step(struct mmu *m, const struct mem *mem, unsigned depth, ia_t ia, unsigned level,
                      struct step *step, const struct step *above)
{
    step->at = above->address + offset_of(m, depth, level, ia);
    return read_entry(m, mem, depth, level, step, above->rights);
}

/* What was read passes through the data caches. */
INLINE void serve_step(struct mmu *m, struct memo *llc, unsigned depth, unsigned level,
                       const struct step *step, cycles_t *clock)
{
    enum server server = lookaside_serve(&m->look, llc, step->at);
    COUNT(&m->tally, *clock, REF, depth, level, server);
}

/* A structure cache led to the table of the level below. */
INLINE void use_cached(struct mmu *m, unsigned depth, unsigned level, const struct step *step,
                       cycles_t *clock)
{
    memo_use(&step->seat);
    COUNT(&m->tally, *clock, STRUCTURE_HIT, depth, level, 0);
}

/* What was read passes through the data caches, and where it led is kept. */
INLINE void use_step(struct mmu *m, struct memo *llc, unsigned level, struct step *step,
                     cycles_t *clock)
{
    serve_step(m, llc, GUEST, level, step, clock);
    if (level == 1 || !step->seat.memo)
        return;
    COUNT(&m->tally, *clock, STRUCTURE_MISS, 0, level, 0);
    keep(&step->seat, step->address, step->address, (step->rights & MAY_ALL) | LEAF_DIRTY, 0);
}

/* ---- of a chain of one ---- */

/* Where it leads. */
struct leaf {
    hpa_t hpa;
    ia_t next;
    uint32_t rights;
};

/*
 * The walk from level @p first on, to which step[first + 1] leads: @p cached, by a structure cache.
 * Inlined where @p first is a constant, so that steps need no memory.
 */
INLINE bool walk_from(struct mmu *m, const struct bus *bus, const struct access *a, unsigned first,
                      bool cached, struct step *step, struct leaf *leaf, cycles_t *clock)
{
#pragma GCC unroll 2
    for (unsigned level = first; level; level--)
        if (!read_step(m, bus->mem, GUEST, a->gva, level, &step[level], &step[level + 1]))
            return false;
    if (!serves(m, a, step[1].rights) || step[1].rights & LEAF_GLOBAL)
        return false;
    if (cached)
        use_cached(m, GUEST, first + 1, &step[first + 1], clock);
#pragma GCC unroll 2
    for (unsigned level = first; level; level--)
        use_step(m, bus->llc, level, &step[level], clock);
    m->seen[GUEST][sight(m, GUEST, a->gva)] = step[2].address;
    leaf->hpa = leaf->next = step[1].address;
    leaf->rights = step[1].rights;
    return true;
}

/* From higher up. */
static __attribute__((noinline)) bool walk_far(struct mmu *m, const struct bus *bus,
                                               const struct access *a, struct leaf *leaf,
                                               cycles_t *clock)
{
    const struct stage *stage = &m->stage[0];
    struct step step[LEVELS_MAX + 2];
    unsigned level = 2;
    while (level <= stage->format.levels && !seek_step(m, GUEST, a->gva, level, &step[level]))
        level++;
    bool cached = level <= stage->format.levels;
    if (!cached)
        step[level].address = stage->root, step[level].rights = MAY_ALL;
    return walk_from(m, bus, a, level - 1, cached, step, leaf, clock);
}

/* From the lowest table that a structure cache knows. */
INLINE bool walk_alone(struct mmu *m, const struct bus *bus, const struct access *a,
                       struct leaf *leaf, cycles_t *clock)
{
    struct step step[4];
    if (seek_step(m, GUEST, a->gva, 2, &step[2]))
        return walk_from(m, bus, a, 1, true, step, leaf, clock);
    if (seek_step(m, GUEST, a->gva, 3, &step[3]))
        return walk_from(m, bus, a, 2, true, step, leaf, clock);
    struct leaf found;
    cycles_t far = 0;
    bool walked = walk_far(m, bus, a, &found, &far);
    leaf->hpa = found.hpa, leaf->next = found.next, leaf->rights = found.rights;
    *clock += far;
    return walked;
}

/* ---- of a guest's and a hypervisor's ---- */

/*
 * The way of a guest's table or page through the stage below, which a structure cache of level 2 or
 * 3 knows down to there. All ways are looked for before any is used, and all used before any is
 * kept: so the general walk does.
 */
struct way {
    bool known;              /* the nested TLB had it */
    bool near;               /* step[2] was cached, else step[3] */
    hpa_t page;              /* where it leads */
    uint32_t rights;         /* of its leaf */
    struct memo_seat nested; /* of a table, in the nested TLB; memo NULL: there is none */
    struct step step[4];
};

/* Whether the leaf of a way allows an access, and is dirty if it writes. */
INLINE bool way_serves(const struct mmu *m, unsigned kind, uint32_t rights)
{
    return m->below_serves[rights & (MAY_ALL | LEAF_DIRTY)] >> kind & 1;
}

INLINE bool find_way(struct mmu *m, const struct mem *mem, gpa_t gpa, unsigned kind, struct way *w)
{
    if (gpa >> m->stage[HOST].format.ia_bits)
        return false;
    w->near = seek_step(m, HOST, gpa, 2, &w->step[2]);
    if (w->near)
        w->step[2].at = 0, w->step[3] = (struct step){0}; /* not used, but then not unknown */
    else if (!seek_step(m, HOST, gpa, 3, &w->step[3]) ||
             !read_step(m, mem, HOST, gpa, 2, &w->step[2], &w->step[3]))
        return false;
    if (!read_step(m, mem, HOST, gpa, 1, &w->step[1], &w->step[2]))
        return false;
    w->page = w->step[1].address;
    w->rights = w->step[1].rights;
    return way_serves(m, kind, w->rights);
}

/* Of a table, which the nested TLB may know. */
INLINE bool find_way_of_table(struct mmu *m, const struct mem *mem, gpa_t gpa, struct way *w)
{
    unsigned kind = m->stage[HOST].table_op | KIND_USER;
    uint32_t offset = m->look.nested[HOST];
    w->known = false;
    w->nested = (struct memo_seat){0};
    if (offset) {
        uint64_t tag = tag_of(m->space[HOST], 0, gpa >> NESTED_SHIFT);
        w->nested = memo_seat(memo_at(&m->look, offset), tag, memo_mark(tag));
        w->known = memo_seek(&w->nested);
    }
    if (!w->known)
        return find_way(m, mem, gpa, kind, w);
    const struct target *target = memo_target(&w->nested);
    w->near = false;
    w->step[1] = w->step[2] = w->step[3] = (struct step){0};
    w->page = target->hpa;
    w->rights = target->rights;
    return way_serves(m, kind, w->rights);
}

INLINE void use_way(struct mmu *m, struct memo *llc, const struct way *w, cycles_t *clock)
{
    if (w->near) {
        use_cached(m, HOST, 2, &w->step[2], clock);
    } else {
        if (w->step[2].seat.memo)
            COUNT(&m->tally, *clock, STRUCTURE_MISS, HOST, 2, 0);
        use_cached(m, HOST, 3, &w->step[3], clock);
        serve_step(m, llc, HOST, 2, &w->step[2], clock);
    }
    serve_step(m, llc, HOST, 1, &w->step[1], clock);
}

INLINE void use_way_of_table(struct mmu *m, struct memo *llc, const struct way *w, cycles_t *clock)
{
    if (w->known) {
        memo_use(&w->nested);
        COUNT(&m->tally, *clock, NESTED_HIT, HOST, 0, 0);
        return;
    }
    if (w->nested.memo)
        COUNT(&m->tally, *clock, NESTED_MISS, HOST, 0, 0);
    use_way(m, llc, w, clock);
}

/* Another way of the same access may have been kept there already. */
INLINE void renew(struct memo_seat *seat, hpa_t hpa, ia_t next, uint32_t rights)
{
    if (!memo_seek(seat))
        memo_take(seat);
    put(seat, hpa, next, rights, 0);
}

INLINE void keep_way(struct way *w)
{
    struct step *step = &w->step[2];
    if (!w->near && step->seat.memo)
        renew(&step->seat, step->address, step->address, (step->rights & MAY_ALL) | LEAF_DIRTY);
}

/* Whether a guest's table may be written to for all that the stage below minds. */
INLINE uint32_t known_dirty(const struct mmu *m, const struct way *w)
{
    if (w->known)
        return w->rights & LEAF_DIRTY;
    return way_serves(m, KIND_WRITE | KIND_USER, w->rights) ? LEAF_DIRTY : 0;
}

INLINE void keep_way_of_table(struct way *w, gpa_t table, uint32_t dirty)
{
    if (w->known)
        return;
    keep_way(w);
    if (w->nested.memo)
        renew(&w->nested, w->page, table, (w->rights & MAY_ALL) | dirty);
}

/* The guest's entry of a level, in a table whose way is to be found. */
INLINE bool read_nested(struct mmu *m, const struct mem *mem, gva_t gva, unsigned level,
                        struct step *step, const struct step *above, struct way *w)
{
    if (!find_way_of_table(m, mem, above->address, w))
        return false;
    step->at = w->page + offset_of(m, GUEST, level, gva);
    return read_entry(m, mem, GUEST, level, step, above->rights);
}

/*
 * The guest's leaf is step[1], its table is what step[2] leads to; the way of it is @p table, or
 * NULL, a constant, if a structure cache had step[2]. The way of the page, and then all of it.
 */
INLINE bool end_nested(struct mmu *m, const struct bus *bus, const struct access *a,
                       struct step *step, struct way *table, struct leaf *leaf, cycles_t *clock)
{
    const struct stage *host = &m->stage[HOST];
    struct way page;
    cycles_t took = 0;
    if (!serves(m, a, step[1].rights) || step[1].rights & LEAF_GLOBAL)
        return false;
    const unsigned user = !host->format.user_exec || step[1].rights & MAY_USER ? KIND_USER : 0;
    if (!find_way(m, bus->mem, step[1].address, (kind_of(a) & KIND_OP) | user, &page))
        return false;
    if (!table) {
        use_cached(m, GUEST, 2, &step[2], &took);
    } else {
        use_cached(m, GUEST, 3, &step[3], &took);
        serve_step(m, bus->llc, GUEST, 2, &step[2], &took);
        use_way_of_table(m, bus->llc, table, &took);
    }
    serve_step(m, bus->llc, GUEST, 1, &step[1], &took);
    use_way(m, bus->llc, &page, &took);
    if (table) {
        const uint32_t dirty = known_dirty(m, table);
        keep_way_of_table(table, step[2].address, dirty);
        if (step[2].seat.memo) {
            COUNT(&m->tally, took, STRUCTURE_MISS, GUEST, 2, 0);
            keep(&step[2].seat, table->page, step[2].address, (step[2].rights & MAY_ALL) | dirty,
                 0);
        }
    }
    keep_way(&page);
    m->seen[GUEST][sight(m, GUEST, a->gva)] = table ? table->page : step[2].address;
    m->seen[HOST][sight(m, HOST, step[1].address)] = page.step[2].address;
    leaf->hpa = page.page;
    leaf->next = step[1].address;
    leaf->rights =
        step[1].rights & (m->below_leaves[user != 0][page.rights & (MAY_ALL | LEAF_DIRTY)] |
                          ~(uint32_t)(MAY_ALL | LEAF_DIRTY));
    *clock = took;
    return true;
}

/* From where a structure cache of level 2 or 3 led to in the guest's tables. */
static __attribute__((noinline)) bool walk_nested(struct mmu *m, const struct bus *bus,
                                                  const struct access *a, struct leaf *leaf,
                                                  cycles_t *clock)
{
    struct step step[4];
    struct way table;
    if (seek_step(m, GUEST, a->gva, 2, &step[2]))
        return !(step[2].rights & TABLE_DIRECT) &&
               read_step(m, bus->mem, GUEST, a->gva, 1, &step[1], &step[2]) &&
               end_nested(m, bus, a, step, NULL, leaf, clock);
    return seek_step(m, GUEST, a->gva, 3, &step[3]) && !(step[3].rights & TABLE_DIRECT) &&
           read_step(m, bus->mem, GUEST, a->gva, 2, &step[2], &step[3]) &&
           read_nested(m, bus->mem, a->gva, 1, &step[1], &step[2], &table) &&
           end_nested(m, bus, a, step, &table, leaf, clock);
}

INLINE bool walk(struct mmu *m, const struct bus *bus, const struct access *a, struct leaf *leaf,
                 cycles_t *clock)
{
    if (__builtin_expect(m->stages == 1, 1))
        return walk_alone(m, bus, a, leaf, clock);
    struct leaf found;
    cycles_t took = 0;
    bool walked = walk_nested(m, bus, a, &found, &took);
    leaf->hpa = found.hpa, leaf->next = found.next, leaf->rights = found.rights;
    *clock += took;
    return walked;
}

/* ---- all of it ---- */

enum quick quick_translate(struct mmu *m, const struct bus *bus, const struct access *a)
{
    const gva_t gva = a->gva;
    const enum tlb_name l1 = a->op == OP_EXEC ? TLB_L1I : TLB_L1D;
    const uint64_t tag = tag_of(m->space[0], 0, number_of(m, GUEST, 1, gva));
    const uint32_t mark = memo_mark(tag);
    enum quick done = QUICK_HIT;
    cycles_t clock = 0;
    if (!format_canonical(&m->stage[0].format, gva) ||
        !(m->look.tlb[l1].levels & m->look.tlb[TLB_L2].levels & 1 << 1))
        return QUICK_NOT;
    struct memo_seat in_l1 = seat_of(m, l1, tag, mark), in_l2 = seat_of(m, TLB_L2, tag, mark);
    if (memo_seek(&in_l1)) {
        if (!serves(m, a, memo_target(&in_l1)->rights))
            return QUICK_NOT;
        memo_use(&in_l1);
        COUNT(&m->tally, clock, TLB_HIT, 0, 1, l1);
        return QUICK_HIT;
    }
    if (may_have_other(m, l1, gva))
        return QUICK_NOT;
    if (memo_seek(&in_l2)) {
        const struct target *target = memo_target(&in_l2);
        if (!serves(m, a, target->rights))
            return QUICK_NOT;
        memo_use(&in_l2);
        COUNT(&m->tally, clock, TLB_HIT, 0, 1, TLB_L2);
        keep(&in_l1, target->hpa, target->next, target->rights, target->note);
    } else {
        struct leaf leaf;
        if (may_have_other(m, TLB_L2, gva) || !walk(m, bus, a, &leaf, &clock))
            return QUICK_NOT;
        COUNT(&m->tally, clock, WALK, 0, 0, 0);
        COUNT(&m->tally, clock, TLB_MISS, 0, 1, TLB_L2);
        keep(&in_l1, leaf.hpa, leaf.next, leaf.rights, 1);
        done = QUICK_WALKED;
        keep(&in_l2, leaf.hpa, leaf.next, leaf.rights, 1);
    }
    COUNT(&m->tally, clock, TLB_MISS, 0, 1, l1);
    COUNT(&m->tally, clock, TLB_L2, 0, 0, 0);
    m->tally.cycles += clock;
    return done;
}

/* Where the entry of level 1 for an address is, by where its table was. */
INLINE hpa_t guess(const struct mmu *m, unsigned depth, ia_t ia)
{
    return m->seen[depth][sight(m, depth, ia)] + offset_of(m, depth, 1, ia);
}

void quick_foresee(const struct mmu *m, const struct bus *bus, const struct access *a)
{
    const hpa_t near = guess(m, GUEST, a[QUICK_AHEAD / 2].gva);
    mem_foresee(bus->mem, guess(m, GUEST, a[QUICK_AHEAD].gva));
    if (m->stages == 1 || !mem_holds(bus->mem, near, ENTRY_BYTES))
        return;
    const gpa_t gpa = mem_load(bus->mem, near, ENTRY_BYTES) & m->stage[GUEST].format.frame[1][1];
    const hpa_t below = guess(m, HOST, gpa);
    mem_foresee(bus->mem, below);
}

struct tlb_hit quick_entry(const struct mmu *m, enum tlb_name name, gva_t gva)
{
    struct memo *memo = memo_at(&m->look, m->look.tlb[name].place[1].memo);
    uint32_t slot = memo_peek(memo, tag_of(m->space[0], 0, number_of(m, GUEST, 1, gva)));
    return (struct tlb_hit){.memo = memo, .slot = slot, .level = 1, .space = m->space[0]};
}
