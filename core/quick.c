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
    for (unsigned cache = 0; cache < DATA_CACHES - 1; cache++)
        may &= plain_or_none(la, la->data[cache]);
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

/* Whether a TLB has a page otherwise than as a base page of its space: larger, or global. */
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
    hpa_t at;                  /* of the entry */
    uint64_t address;          /* in it: of a table or, at level 1, of the page */
    uint32_t rights;           /* gathered down to here */
    struct memo_seat seat;     /* in the structure cache of the level; memo NULL: it has none */
    const struct known *known; /* of the entry read; NULL: not looked up, or not read */
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
    step->known = NULL;
    return true;
}

/* ---- what is known of entries ---- */

/* Reads an entry, and remembers it. */
static __attribute__((noinline)) bool learn(struct mmu *m, const struct mem *mem, unsigned depth,
                                            unsigned level, hpa_t at, struct known *known)
{
    struct step step = {.at = at};
    if (!read_entry(m, mem, depth, level, &step, MAY_ALL))
        return false;
    uint64_t line = lookaside_line(&m->look, at);
    *known = (struct known){at, m->now, step.address, line, memo_mark(line), step.rights};
    return true;
}

/*
 * As read_entry, of one that may be known: then nothing waits for memory to learn where it leads,
 * for @p known is where its number says.
 */
INLINE bool read_known(struct mmu *m, const struct mem *mem, unsigned depth, unsigned level,
                       struct step *step, uint32_t rights_above, struct known *known)
{
    if (__builtin_expect(known->at != step->at || known->when != m->now, 0) &&
        !learn(m, mem, depth, level, step->at, known))
        return false;
    step->address = known->address;
    step->rights = known->rights & (rights_above | ~(uint32_t)MAY_ALL);
    step->known = known;
    return true;
}

/* Where it is known what the entry of level 2 for an address is. */
INLINE struct known_region *region_of(struct mmu *m, gva_t gva)
{
    return &m->region[number_of(m, GUEST, 2, gva) % TABLES_KNOWN];
}

INLINE struct known *region_below(struct mmu *m, gpa_t gpa)
{
    return &m->region_below[number_of(m, HOST, 2, gpa) % TABLES_KNOWN];
}

/* Reads the entry in the table that the step above leads to. @p known: NULL, or where it may be. */
INLINE bool read_step(struct mmu *m, const struct mem *mem, unsigned depth, ia_t ia, unsigned level,
                      struct step *step, const struct step *above, struct known *known)
{
    step->at = above->address + offset_of(m, depth, level, ia);
    return known ? read_known(m, mem, depth, level, step, above->rights, known)
                 : read_entry(m, mem, depth, level, step, above->rights);
}

/* Whether a data cache of the vCPU's own has a line, which it has afterwards. */
INLINE bool has_line(struct mmu *m, unsigned cache, uint64_t line, uint32_t mark)
{
    uint32_t offset = m->look.data[cache];
    return offset && memo_access_plain(memo_at(&m->look, offset), line, mark);
}

/* As lookaside_serve. */
INLINE enum server serve_line(struct mmu *m, struct memo *llc, uint64_t line, uint32_t mark)
{
    if (has_line(m, 0, line, mark))
        return SERVED_L1;
    if (has_line(m, 1, line, mark))
        return SERVED_L2;
    return llc && memo_access(llc, line, mark) ? SERVED_LLC : SERVED_MEMORY;
}

/* What was read passes through the data caches. */
INLINE void serve_step(struct mmu *m, struct memo *llc, unsigned depth, unsigned level,
                       const struct step *step, cycles_t *clock)
{
    const struct known *known = step->known;
    uint64_t line = known ? known->line : lookaside_line(&m->look, step->at);
    uint32_t mark = known ? known->mark : memo_mark(line);
    enum server server = serve_line(m, llc, line, mark);
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
        if (!read_step(m, bus->mem, GUEST, a->gva, level, &step[level], &step[level + 1],
                       level == 2 ? &region_of(m, a->gva)->entry : NULL))
            return false;
    if (!serves(m, a, step[1].rights) || step[1].rights & LEAF_GLOBAL)
        return false;
    if (cached)
        use_cached(m, GUEST, first + 1, &step[first + 1], clock);
#pragma GCC unroll 2
    for (unsigned level = first; level; level--)
        use_step(m, bus->llc, level, &step[level], clock);
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

/* @p leaf: NULL, or where its leaf may be known; @p entry: where the entry above. */
INLINE bool find_way(struct mmu *m, const struct mem *mem, gpa_t gpa, unsigned kind, struct way *w,
                     struct known *entry, struct known *leaf)
{
    if (gpa >> m->stage[HOST].format.ia_bits)
        return false;
    w->near = seek_step(m, HOST, gpa, 2, &w->step[2]);
    if (w->near)
        w->step[2].at = 0, w->step[3] = (struct step){0}; /* not used, but then not unknown */
    else if (!seek_step(m, HOST, gpa, 3, &w->step[3]) ||
             !read_step(m, mem, HOST, gpa, 2, &w->step[2], &w->step[3], entry))
        return false;
    if (!read_step(m, mem, HOST, gpa, 1, &w->step[1], &w->step[2], leaf))
        return false;
    w->page = w->step[1].address;
    w->rights = w->step[1].rights;
    return way_serves(m, kind, w->rights);
}

/* Of a table, which the nested TLB may know. */
INLINE bool find_way_of_table(struct mmu *m, const struct mem *mem, gpa_t gpa, struct way *w,
                              struct known_region *region)
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
        return find_way(m, mem, gpa, kind, w, &region->below[2], &region->below[1]);
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

/* Keeps what was missed; but a way of the same access may have been kept there @p already. */
INLINE void keep_once(struct memo_seat *seat, bool already, hpa_t hpa, ia_t next, uint32_t rights)
{
    if (!__builtin_expect(already, 0) || !memo_seek(seat))
        memo_take(seat);
    put(seat, hpa, next, rights, 0);
}

INLINE void keep_way(struct way *w, bool already)
{
    struct step *step = &w->step[2];
    if (!w->near && step->seat.memo)
        keep_once(&step->seat, already, step->address, step->address,
                  (step->rights & MAY_ALL) | LEAF_DIRTY);
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
    keep_way(w, false);
    if (w->nested.memo)
        keep(&w->nested, w->page, table, (w->rights & MAY_ALL) | dirty, 0);
}

/* The guest's entry of a level, in a table whose way is to be found. */
INLINE bool read_nested(struct mmu *m, const struct mem *mem, gva_t gva, unsigned level,
                        struct step *step, const struct step *above, struct way *w)
{
    if (!find_way_of_table(m, mem, above->address, w, region_of(m, gva)))
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
    if (!find_way(m, bus->mem, step[1].address, (kind_of(a) & KIND_OP) | user, &page,
                  region_below(m, step[1].address), NULL))
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
    keep_way(&page, table && table->step[2].seat.tag == page.step[2].seat.tag);
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
               read_step(m, bus->mem, GUEST, a->gva, 1, &step[1], &step[2], NULL) &&
               end_nested(m, bus, a, step, NULL, leaf, clock);
    return seek_step(m, GUEST, a->gva, 3, &step[3]) && !(step[3].rights & TABLE_DIRECT) &&
           read_step(m, bus->mem, GUEST, a->gva, 2, &step[2], &step[3],
                     &region_of(m, a->gva)->entry) &&
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

/* The TLBs that an access asks, and whether L1 and L2 may have a page otherwise than as a base page
 * of its space: larger, or global. That does not change while accesses go quickly. */
struct tlbs {
    struct memo *l1, *l2;
    enum tlb_name name; /* of L1 */
    bool serve;         /* base pages were kept */
    bool others;
};

static struct tlbs tlbs_of(struct mmu *m, enum tlb_name name)
{
    const struct tlb *l1 = &m->look.tlb[name], *l2 = &m->look.tlb[TLB_L2];
    return (struct tlbs){
        .l1 = memo_at(&m->look, l1->place[1].memo),
        .l2 = memo_at(&m->look, l2->place[1].memo),
        .name = name,
        .serve = l1->levels & l2->levels & 1 << 1,
        .others = (l1->levels | l2->levels) != 1 << 1 || m->look.globals,
    };
}

INLINE enum quick translate(struct mmu *m, const struct bus *bus, const struct access *a,
                            const struct tlbs *tlbs, cycles_t *clock)
{
    const gva_t gva = a->gva;
    const uint64_t tag = tag_of(m->space[0], 0, number_of(m, GUEST, 1, gva));
    const uint32_t mark = memo_mark(tag);
    enum quick done = QUICK_HIT;
    if (!tlbs->serve || !format_canonical(&m->stage[0].format, gva))
        return QUICK_NOT;
    struct memo_seat in_l1 = memo_seat(tlbs->l1, tag, mark), in_l2 = memo_seat(tlbs->l2, tag, mark);
    if (memo_seek(&in_l1)) {
        if (!serves(m, a, memo_target(&in_l1)->rights))
            return QUICK_NOT;
        memo_use(&in_l1);
        COUNT(&m->tally, *clock, TLB_HIT, 0, 1, tlbs->name);
        return QUICK_HIT;
    }
    if (__builtin_expect(tlbs->others, 0) && has_other(m, tlbs->name, gva))
        return QUICK_NOT;
    if (memo_seek(&in_l2)) {
        const struct target *target = memo_target(&in_l2);
        if (!serves(m, a, target->rights))
            return QUICK_NOT;
        memo_use(&in_l2);
        COUNT(&m->tally, *clock, TLB_HIT, 0, 1, TLB_L2);
        keep(&in_l1, target->hpa, target->next, target->rights, target->note);
    } else {
        struct leaf leaf;
        if (__builtin_expect(tlbs->others, 0) && has_other(m, TLB_L2, gva))
            return QUICK_NOT;
        if (!walk(m, bus, a, &leaf, clock))
            return QUICK_NOT;
        COUNT(&m->tally, *clock, WALK, 0, 0, 0);
        COUNT(&m->tally, *clock, TLB_MISS, 0, 1, TLB_L2);
        keep(&in_l1, leaf.hpa, leaf.next, leaf.rights, 1);
        done = QUICK_WALKED;
        keep(&in_l2, leaf.hpa, leaf.next, leaf.rights, 1);
    }
    COUNT(&m->tally, *clock, TLB_MISS, 0, 1, tlbs->name);
    COUNT(&m->tally, *clock, TLB_L2, 0, 0, 0);
    return done;
}

enum quick quick_translate(struct mmu *m, const struct bus *bus, const struct access *a)
{
    const struct tlbs tlbs = tlbs_of(m, a->op == OP_EXEC ? TLB_L1I : TLB_L1D);
    m->now = bus->mem->changes + m->rules;
    return translate(m, bus, a, &tlbs, &m->tally.cycles);
}

/* ---- many ---- */

/*
 * Has the host's caches fetch what an access to come, and one that comes sooner, will probably need
 * if they walk. Another guess is no more than wasted.
 */
INLINE void foresee(struct mmu *m, const struct mem *mem, gva_t gva, gva_t sooner)
{
    const struct known_region *region = region_of(m, gva);
    if (m->stages == 1) {
        mem_foresee(mem, region->entry.address + offset_of(m, GUEST, 1, gva));
        return;
    }
    mem_foresee(mem, region->below[1].address + offset_of(m, GUEST, 1, gva));
    const hpa_t at = region_of(m, sooner)->below[1].address + offset_of(m, GUEST, 1, sooner);
    if (!mem_holds(mem, at, ENTRY_BYTES))
        return;
    const gpa_t gpa = mem_load(mem, at, ENTRY_BYTES) & m->stage[GUEST].format.frame[1][1];
    mem_foresee(mem, region_below(m, gpa)->address + offset_of(m, HOST, 1, gpa));
}

enum { AHEAD = 8 };

size_t quick_run(struct mmu *m, const struct bus *bus, const struct access *a, size_t n,
                 uint16_t process, gva_t page[2])
{
    const struct tlbs tlbs[2] = {tlbs_of(m, TLB_L1D), tlbs_of(m, TLB_L1I)};
    cycles_t clock = 0;
    size_t i;
    m->now = bus->mem->changes + m->rules;
    for (i = 0; i < n; i++) {
        const struct access *x = &a[i];
        const gva_t inside = x->gva & low_bits(PAGE_BITS), base = x->gva - inside;
        const bool fetch = x->op == OP_EXEC;
        if (x->op > OP_MODIFY || x->process != process || inside + x->size > 1 << PAGE_BITS ||
            base == page[fetch])
            break;
        const enum quick done = translate(m, bus, x, &tlbs[fetch], &clock);
        if (done == QUICK_NOT)
            break;
        page[fetch] = base;
        COUNT(&m->tally, clock, ACCESS, 0, 0, x->op);
        if (done == QUICK_WALKED && i + AHEAD < n)
            foresee(m, bus->mem, x[AHEAD].gva, x[AHEAD / 2].gva);
    }
    m->tally.cycles += clock;
    return i;
}

struct tlb_hit quick_entry(const struct mmu *m, enum tlb_name name, gva_t gva)
{
    struct memo *memo = memo_at(&m->look, m->look.tlb[name].place[1].memo);
    uint32_t slot = memo_peek(memo, tag_of(m->space[0], 0, number_of(m, GUEST, 1, gva)));
    return (struct tlb_hit){.memo = memo, .slot = slot, .level = 1, .space = m->space[0]};
}
