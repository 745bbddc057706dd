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

/* Of an address that is no wider than its format. */
INLINE uint64_t number_of(unsigned level, ia_t ia)
{
    return ia >> (PAGE_BITS + LEVEL_BITS * (level - 1));
}

/* Whether rights serve such an access, with no bit to be set for it. */
INLINE bool serves(const struct mmu *m, const struct access *a, uint32_t rights)
{
    return m->served[rights & (MAY_ALL | LEAF_DIRTY)][a->flags & 3] >> a->op & 1 &&
           !(m->keys && stage_key_denies(&m->stage[0], kind_of(a), rights));
}

/* ---- TLBs ---- */

/* Whether a TLB has a page otherwise than as a base page of its space: larger, or global. */
static __attribute__((noinline)) bool has_other(const struct mmu *m, enum tlb_name name, ia_t ia)
{
    const struct tlb *tlb = &m->look.tlb[name];
    for (unsigned levels = tlb->levels; levels; levels &= levels - 1) {
        unsigned level = (unsigned)__builtin_ctz(levels);
        const struct memo *memo = memo_at(&m->look, tlb->place[level].memo);
        uint64_t number = number_of(level, ia);
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

/* ---- what entries say ---- */

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

/* Where something leads, and what it grants. */
struct lead {
    uint64_t address;
    uint32_t rights;
};

/* Where the entry at @p at leads. D only tells with which likeness it is compared. */
INLINE bool read_entry(struct mmu *m, const struct mem *mem, unsigned depth, unsigned level,
                       hpa_t at, uint32_t rights_above, struct lead *lead)
{
    if (!mem_holds(mem, at, ENTRY_BYTES))
        return false;
    uint64_t entry = mem_load(mem, at, ENTRY_BYTES);
    uint64_t dirty = level > 1 ? 0 : depth ? m->stage[depth].format.dirty : PTE_D;
    struct likeness *like = &m->usual[depth][level][(entry & dirty) != 0];
    if (__builtin_expect((entry & like->mask) != like->bits, 0) &&
        !is_usual(&m->stage[depth].format, level, entry, like))
        return false;
    lead->address = entry & ~like->mask;
    lead->rights = like->rights & (rights_above | ~(uint32_t)MAY_ALL);
    return true;
}

/* Reads an entry, and remembers it. */
static __attribute__((noinline)) bool learn(struct mmu *m, const struct mem *mem, unsigned depth,
                                            unsigned level, hpa_t at, struct known *known)
{
    struct lead lead;
    if (!read_entry(m, mem, depth, level, at, MAY_ALL, &lead))
        return false;
    uint64_t line = lookaside_line(&m->look, at);
    *known = (struct known){at, m->now, lead.address, line, memo_mark(line), lead.rights};
    return true;
}

/*
 * As read_entry, of one that may be known: then nothing waits for memory to learn where it leads,
 * for @p known is where the number of its region says.
 */
INLINE bool read_known(struct mmu *m, const struct mem *mem, unsigned depth, unsigned level,
                       hpa_t at, uint32_t rights_above, struct known *known, struct lead *lead)
{
    if (__builtin_expect(known->at != at || known->when != m->now, 0) &&
        !learn(m, mem, depth, level, at, known))
        return false;
    lead->address = known->address;
    lead->rights = known->rights & (rights_above | ~(uint32_t)MAY_ALL);
    return true;
}

/* ---- data caches ---- */

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

/* An entry that was read passes through the data caches. */
INLINE void serve_at(struct mmu *m, struct memo *llc, unsigned depth, unsigned level, hpa_t at,
                     cycles_t *clock)
{
    uint64_t line = lookaside_line(&m->look, at);
    enum server server = serve_line(m, llc, line, memo_mark(line));
    COUNT(&m->tally, *clock, REF, depth, level, server);
}

INLINE void serve_known(struct mmu *m, struct memo *llc, unsigned depth, unsigned level,
                        const struct known *known, cycles_t *clock)
{
    enum server server = serve_line(m, llc, known->line, known->mark);
    COUNT(&m->tally, *clock, REF, depth, level, server);
}

/* ---- near: from where structure caches of level 2 or 3 lead ---- */

/*
 * How a table of level 1 is reached. A walk has up to three of these at once, so seats stay with
 * what is known of the region, and are made again from there when they are used.
 */
struct near {
    struct known_region *region;
    uint32_t way; /* in the structure cache of level 2; MEMO_MISS: level 3 led on */
    struct lead table;
    uint32_t cached; /* the rights that a structure cache knew */
};

INLINE uint64_t offset_of(unsigned level, ia_t ia)
{
    return (number_of(level, ia) & low_bits(LEVEL_BITS)) * ENTRY_BYTES;
}

INLINE struct known_region *region_of(struct mmu *m, enum known_part part, ia_t ia)
{
    return &m->region[part][number_of(2, ia) % REGIONS_KNOWN];
}

INLINE unsigned depth_of(enum known_part part)
{
    return part == KNOWN_GUEST ? GUEST : HOST;
}

/* A spot is for another tag than the last one. */
static __attribute__((noinline)) void place(struct mmu *m, unsigned depth, unsigned level,
                                            uint64_t tag, struct memo_spot *spot)
{
    uint32_t offset = m->look.structure[depth][level];
    *spot = (struct memo_spot){.tag = tag};
    if (offset)
        *spot = memo_spot(&m->look, memo_at(&m->look, offset), tag);
}

static __attribute__((noinline)) bool find_above(struct mmu *m, unsigned depth, uint64_t tag,
                                                 struct known_above *above)
{
    place(m, depth, 3, tag, &above->spot);
    if (!above->spot.row)
        return false;
    struct memo_seat seat = memo_seat_at(&m->look, &above->spot);
    if (!memo_seek(&seat))
        return false;
    above->way = seat.way;
    return true;
}

/* The seat in the structure cache of level 3 that has what leads to a region, most often the one
 * that had it last; false: there is none. */
INLINE bool seek_above(struct mmu *m, enum known_part part, ia_t ia, struct memo_seat *seat)
{
    struct known_above *above = &m->above[part];
    const unsigned depth = depth_of(part);
    uint64_t tag = tag_of(m->space[depth], 0, number_of(3, ia));
    *seat = memo_seat_at(&m->look, &above->spot);
    seat->way = above->way;
    if (__builtin_expect(above->spot.tag != tag || !memo_holds(seat), 0)) {
        if (!find_above(m, depth, tag, above))
            return false;
        *seat = memo_seat_at(&m->look, &above->spot);
        seat->way = above->way;
    }
    return true;
}

/* Finds the table of level 1 for an address. */
INLINE bool seek_near(struct mmu *m, const struct mem *mem, enum known_part part, ia_t ia,
                      struct known_region *region, struct near *near)
{
    const unsigned depth = depth_of(part);
    const uint64_t tag = tag_of(m->space[depth], 0, number_of(2, ia));
    if (__builtin_expect(region->spot.tag != tag, 0))
        place(m, depth, 2, tag, &region->spot);
    struct memo_seat seat = memo_seat_at(&m->look, &region->spot), above;
    near->region = region;
    near->way = MEMO_MISS;
    if (region->spot.row && memo_seek(&seat)) {
        const struct target *target = memo_target(&seat);
        near->way = seat.way;
        near->table.address = target->hpa;
        near->table.rights = near->cached = target->rights;
        return true;
    }
    if (!seek_above(m, part, ia, &above))
        return false;
    const struct target *target = memo_target(&above);
    near->cached = target->rights;
    return read_known(m, mem, depth, 2, target->hpa + offset_of(2, ia), target->rights,
                      &region->entry, &near->table);
}

/* What was looked up is used, and what was read passes through the data caches. */
INLINE void use_near(struct mmu *m, struct memo *llc, enum known_part part, const struct near *near,
                     cycles_t *clock)
{
    const unsigned depth = depth_of(part);
    if (near->way != MEMO_MISS) {
        struct memo_seat seat = memo_seat_at(&m->look, &near->region->spot);
        seat.way = near->way;
        memo_use(&seat);
        COUNT(&m->tally, *clock, STRUCTURE_HIT, depth, 2, 0);
        return;
    }
    struct memo_seat seat = memo_seat_at(&m->look, &m->above[part].spot);
    seat.way = m->above[part].way;
    memo_use(&seat);
    COUNT(&m->tally, *clock, STRUCTURE_HIT, depth, 3, 0);
    if (near->region->spot.row)
        COUNT(&m->tally, *clock, STRUCTURE_MISS, depth, 2, 0);
    serve_known(m, llc, depth, 2, &near->region->entry, clock);
}

/* Keeps the table, of which the stage above has the address @p next, in the structure cache that
 * missed it; unless another of the same access has done so @p already. */
INLINE void keep_near(struct mmu *m, const struct near *near, hpa_t hpa, ia_t next, uint32_t dirty,
                      bool already)
{
    if (near->way != MEMO_MISS || !near->region->spot.row)
        return;
    struct memo_seat seat = memo_seat_at(&m->look, &near->region->spot);
    if (!__builtin_expect(already, 0) || !memo_seek(&seat))
        memo_take(&seat);
    put(&seat, hpa, next, (near->table.rights & MAY_ALL) | dirty, 0);
}

/* ---- of a chain of one ---- */

/* Where it leads. */
struct leaf {
    hpa_t hpa;
    ia_t next;
    uint32_t rights;
};

/* Whether a guest's leaf, or the only one, serves an access to a base page that is not global. */
INLINE bool leaf_serves(const struct mmu *m, const struct access *a, uint32_t rights)
{
    return serves(m, a, rights) && !(rights & LEAF_GLOBAL);
}

/* What there is to know at a level of a walk from higher up; above the first entry read, of what
 * led to its table. */
struct step {
    hpa_t at; /* of the entry */
    struct lead lead;
    bool kept;             /* whether there is a structure cache of the level */
    struct memo_seat seat; /* in it */
};

/* Whether a structure cache knows what the entry of a level leads to. */
static bool seek_step(struct mmu *m, ia_t ia, unsigned level, struct step *step)
{
    uint32_t offset = m->look.structure[GUEST][level];
    step->kept = offset;
    if (!offset)
        return false;
    uint64_t tag = tag_of(m->space[GUEST], 0, number_of(level, ia));
    step->seat = memo_seat(memo_at(&m->look, offset), tag, memo_mark(tag));
    if (!memo_seek(&step->seat))
        return false;
    const struct target *target = memo_target(&step->seat);
    step->lead = (struct lead){target->hpa, target->rights};
    return true;
}

/* Reads entries from a level on down, to whose table the step above leads. */
static bool read_steps(struct mmu *m, const struct mem *mem, ia_t ia, unsigned level,
                       struct step *step)
{
    for (; level; level--) {
        const struct lead *above = &step[level + 1].lead;
        step[level].at = above->address + offset_of(level, ia);
        if (!read_entry(m, mem, GUEST, level, step[level].at, above->rights, &step[level].lead))
            return false;
    }
    return true;
}

/* What was read passes through the data caches, and where it led is kept. */
static void use_steps(struct mmu *m, struct memo *llc, unsigned level, struct step *step,
                      cycles_t *clock)
{
    for (; level; level--) {
        const struct lead *lead = &step[level].lead;
        serve_at(m, llc, GUEST, level, step[level].at, clock);
        if (level == 1 || !step[level].kept)
            continue;
        COUNT(&m->tally, *clock, STRUCTURE_MISS, 0, level, 0);
        keep(&step[level].seat, lead->address, lead->address, (lead->rights & MAY_ALL) | LEAF_DIRTY,
             0);
    }
}

/* From higher up. */
static __attribute__((noinline)) bool walk_far(struct mmu *m, const struct bus *bus,
                                               const struct access *a, ia_t ia, struct leaf *leaf,
                                               cycles_t *clock)
{
    const struct stage *stage = &m->stage[GUEST];
    struct step step[LEVELS_MAX + 2];
    unsigned level = 2;
    while (level <= stage->format.levels && !seek_step(m, ia, level, &step[level]))
        level++;
    bool cached = level <= stage->format.levels;
    if (!cached)
        step[level].lead = (struct lead){stage->root, MAY_ALL};
    if (!read_steps(m, bus->mem, ia, level - 1, step) || !leaf_serves(m, a, step[1].lead.rights))
        return false;
    if (cached) {
        memo_use(&step[level].seat);
        COUNT(&m->tally, *clock, STRUCTURE_HIT, GUEST, level, 0);
    }
    use_steps(m, bus->llc, level - 1, step, clock);
    *leaf = (struct leaf){step[1].lead.address, step[1].lead.address, step[1].lead.rights};
    return true;
}

INLINE bool walk_alone(struct mmu *m, const struct bus *bus, const struct access *a, ia_t ia,
                       struct leaf *leaf, cycles_t *clock)
{
    struct near near;
    struct lead page;
    if (!seek_near(m, bus->mem, KNOWN_GUEST, ia, region_of(m, KNOWN_GUEST, ia), &near)) {
        struct leaf found;
        cycles_t far = 0;
        if (!walk_far(m, bus, a, ia, &found, &far))
            return false;
        leaf->hpa = found.hpa, leaf->next = found.next, leaf->rights = found.rights;
        *clock += far;
        return true;
    }
    const hpa_t at = near.table.address + offset_of(1, ia);
    if (!read_entry(m, bus->mem, GUEST, 1, at, near.table.rights, &page) ||
        !leaf_serves(m, a, page.rights))
        return false;
    use_near(m, bus->llc, KNOWN_GUEST, &near, clock);
    serve_at(m, bus->llc, GUEST, 1, at, clock);
    keep_near(m, &near, near.table.address, near.table.address, LEAF_DIRTY, false);
    leaf->hpa = leaf->next = page.address;
    leaf->rights = page.rights;
    return true;
}

/* ---- of a guest's and a hypervisor's ---- */

/* What walk_nested returns, but for one address: that one in a register, for whoever stores two
 * words and loads them as one waits. */
struct result {
    cycles_t took;
    ia_t next;
    uint32_t rights;
    bool walked;
};

/*
 * The way of a guest's table or page through the stage below. All ways are looked for before any is
 * used, and all used before any is kept: so the general walk does.
 */
struct way {
    uint32_t nested; /* of a table: the way in the nested TLB, which had it; or MEMO_MISS */
    struct near near;
    hpa_t at; /* of its leaf */
    struct lead page;
};

/* Whether the leaf of a way allows an access, and is dirty if it writes. */
INLINE bool way_serves(const struct mmu *m, unsigned kind, uint32_t rights)
{
    return m->below_serves[rights & (MAY_ALL | LEAF_DIRTY)] >> kind & 1;
}

INLINE bool seek_way(struct mmu *m, const struct mem *mem, enum known_part part, gpa_t gpa,
                     struct known_region *region, struct way *w)
{
    if (gpa >> m->stage[HOST].format.ia_bits || !seek_near(m, mem, part, gpa, region, &w->near))
        return false;
    w->at = w->near.table.address + offset_of(1, gpa);
    return true;
}

INLINE bool find_way_of_page(struct mmu *m, const struct mem *mem, gpa_t gpa, unsigned kind,
                             struct way *w)
{
    return seek_way(m, mem, KNOWN_PAGE, gpa, region_of(m, KNOWN_PAGE, gpa), w) &&
           read_entry(m, mem, HOST, 1, w->at, w->near.table.rights, &w->page) &&
           way_serves(m, kind, w->page.rights);
}

/* Where the way of a table of level 1 of the guest's is known. */
INLINE struct known *leaf_of_table(struct mmu *m, ia_t ia)
{
    return &m->table_leaf[number_of(2, ia) % REGIONS_KNOWN];
}

/* Where the nested TLB, of which there must be one, has or would have the way of a table. */
INLINE struct memo_seat nested_seat(struct mmu *m, gpa_t table)
{
    uint64_t tag = tag_of(m->space[HOST], 0, table >> NESTED_SHIFT);
    return memo_seat(memo_at(&m->look, m->look.nested[HOST]), tag, memo_mark(tag));
}

/* Of the table of level 1 for an address, which the nested TLB may know. */
INLINE bool find_way_of_table(struct mmu *m, const struct mem *mem, ia_t ia, gpa_t table,
                              struct way *w)
{
    const unsigned kind = m->stage[HOST].table_op | KIND_USER;
    w->nested = MEMO_MISS;
    if (m->look.nested[HOST]) {
        struct memo_seat seat = nested_seat(m, table);
        w->near = (struct near){0}; /* if it is not used, still it is not unknown */
        if (memo_seek(&seat)) {
            const struct target *target = memo_target(&seat);
            w->nested = seat.way;
            w->page = (struct lead){target->hpa, target->rights};
        }
    }
    if (w->nested == MEMO_MISS &&
        (!seek_way(m, mem, KNOWN_TABLE, table, region_of(m, KNOWN_TABLE, ia), w) ||
         !read_known(m, mem, HOST, 1, w->at, w->near.table.rights, leaf_of_table(m, ia), &w->page)))
        return false;
    return way_serves(m, kind, w->page.rights);
}

INLINE void use_way_of_page(struct mmu *m, struct memo *llc, const struct way *w, cycles_t *clock)
{
    use_near(m, llc, KNOWN_PAGE, &w->near, clock);
    serve_at(m, llc, HOST, 1, w->at, clock);
}

INLINE void use_way_of_table(struct mmu *m, struct memo *llc, ia_t ia, gpa_t table,
                             const struct way *w, cycles_t *clock)
{
    if (w->nested != MEMO_MISS) {
        struct memo_seat seat = nested_seat(m, table);
        seat.way = w->nested;
        memo_use(&seat);
        COUNT(&m->tally, *clock, NESTED_HIT, HOST, 0, 0);
        return;
    }
    if (m->look.nested[HOST])
        COUNT(&m->tally, *clock, NESTED_MISS, HOST, 0, 0);
    use_near(m, llc, KNOWN_TABLE, &w->near, clock);
    serve_known(m, llc, HOST, 1, leaf_of_table(m, ia), clock);
}

/* Whether a guest's table may be written to for all that the stage below minds. */
INLINE uint32_t known_dirty(const struct mmu *m, const struct way *w)
{
    if (w->nested != MEMO_MISS)
        return w->page.rights & LEAF_DIRTY;
    return way_serves(m, KIND_WRITE | KIND_USER, w->page.rights) ? LEAF_DIRTY : 0;
}

INLINE void keep_way(struct mmu *m, const struct way *w, bool already)
{
    keep_near(m, &w->near, w->near.table.address, w->near.table.address, LEAF_DIRTY, already);
}

INLINE void keep_way_of_table(struct mmu *m, const struct way *w, gpa_t table, uint32_t dirty)
{
    if (w->nested != MEMO_MISS)
        return;
    keep_way(m, w, false);
    if (m->look.nested[HOST]) {
        struct memo_seat seat = nested_seat(m, table);
        keep(&seat, w->page.address, table, (w->page.rights & MAY_ALL) | dirty, 0);
    }
}

/* Whether two ways lead through the same region, which the first of them will keep. */
INLINE bool same_region(const struct way *table, const struct way *page)
{
    return table->nested == MEMO_MISS &&
           table->near.region->spot.tag == page->near.region->spot.tag;
}

/*
 * The guest's table of level 1 is what @p guest leads to, found by @p table; or known, with its
 * way, to a structure cache of level 2: then @p table is NULL, a constant. The rest, and then all
 * of it.
 */
INLINE bool end_nested(struct mmu *m, const struct bus *bus, const struct access *a, ia_t ia,
                       const struct near *guest, struct way *table, struct leaf *leaf,
                       cycles_t *clock)
{
    struct way page;
    struct lead lead;
    cycles_t took = 0;
    const hpa_t at = (table ? table->page.address : guest->table.address) + offset_of(1, ia);
    if (!read_entry(m, bus->mem, GUEST, 1, at, guest->table.rights, &lead) ||
        !leaf_serves(m, a, lead.rights))
        return false;
    const bool user = !m->stage[HOST].format.user_exec || lead.rights & MAY_USER;
    if (!find_way_of_page(m, bus->mem, lead.address, (kind_of(a) & KIND_OP) | user * KIND_USER,
                          &page))
        return false;
    use_near(m, bus->llc, KNOWN_GUEST, guest, &took);
    if (table)
        use_way_of_table(m, bus->llc, ia, guest->table.address, table, &took);
    serve_at(m, bus->llc, GUEST, 1, at, &took);
    use_way_of_page(m, bus->llc, &page, &took);
    if (table) {
        const uint32_t dirty = known_dirty(m, table);
        keep_way_of_table(m, table, guest->table.address, dirty);
        keep_near(m, guest, table->page.address, guest->table.address, dirty, false);
    }
    keep_way(m, &page, table && same_region(table, &page));
    leaf->hpa = page.page.address;
    leaf->next = lead.address;
    leaf->rights = lead.rights & (m->below_leaves[user][page.page.rights & (MAY_ALL | LEAF_DIRTY)] |
                                  ~(uint32_t)(MAY_ALL | LEAF_DIRTY));
    *clock = took;
    return true;
}

/* Inlined it is slower: there are no registers left for it. */
static __attribute__((noinline)) hpa_t walk_nested(struct mmu *m, const struct bus *bus,
                                                   const struct access *a, ia_t ia,
                                                   struct result *result)
{
    struct near guest;
    struct way table;
    struct leaf leaf = {0};
    cycles_t took = 0;
    result->walked = false;
    result->took = 0;
    if (!seek_near(m, bus->mem, KNOWN_GUEST, ia, region_of(m, KNOWN_GUEST, ia), &guest) ||
        guest.cached & TABLE_DIRECT)
        return 0;
    if (guest.way != MEMO_MISS)
        result->walked = end_nested(m, bus, a, ia, &guest, NULL, &leaf, &took);
    else if (find_way_of_table(m, bus->mem, ia, guest.table.address, &table))
        result->walked = end_nested(m, bus, a, ia, &guest, &table, &leaf, &took);
    result->rights = leaf.rights;
    result->took = took;
    result->next = leaf.next;
    return leaf.hpa;
}

INLINE bool walk(struct mmu *m, const struct bus *bus, const struct access *a, ia_t ia,
                 struct leaf *leaf, cycles_t *clock)
{
    if (__builtin_expect(m->stages == 1, 1))
        return walk_alone(m, bus, a, ia, leaf, clock);
    struct result result;
    leaf->hpa = walk_nested(m, bus, a, ia, &result);
    leaf->next = result.next, leaf->rights = result.rights;
    *clock += result.took;
    return result.walked;
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
    const gva_t ia = a->gva & m->stage[GUEST].format.ia_mask;
    const uint64_t tag = tag_of(m->space[GUEST], 0, number_of(1, ia));
    const uint32_t mark = memo_mark(tag);
    enum quick done = QUICK_HIT;
    if (!tlbs->serve || !format_canonical(&m->stage[GUEST].format, a->gva))
        return QUICK_NOT;
    struct memo_seat in_l1 = memo_seat(tlbs->l1, tag, mark), in_l2 = memo_seat(tlbs->l2, tag, mark);
    if (memo_seek(&in_l1)) {
        if (!serves(m, a, memo_target(&in_l1)->rights))
            return QUICK_NOT;
        memo_use(&in_l1);
        COUNT(&m->tally, *clock, TLB_HIT, 0, 1, tlbs->name);
        return QUICK_HIT;
    }
    if (__builtin_expect(tlbs->others, 0) && has_other(m, tlbs->name, ia))
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
        if (__builtin_expect(tlbs->others, 0) && has_other(m, TLB_L2, ia))
            return QUICK_NOT;
        if (!walk(m, bus, a, ia, &leaf, clock))
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
    const ia_t ia = gva & m->stage[GUEST].format.ia_mask;
    if (m->stages == 1) {
        mem_foresee(mem, region_of(m, KNOWN_GUEST, ia)->entry.address + offset_of(1, ia));
        return;
    }
    mem_foresee(mem, leaf_of_table(m, ia)->address + offset_of(1, ia));
    const ia_t next = sooner & m->stage[GUEST].format.ia_mask;
    const hpa_t at = leaf_of_table(m, next)->address + offset_of(1, next);
    if (!mem_holds(mem, at, ENTRY_BYTES))
        return;
    const gpa_t gpa = mem_load(mem, at, ENTRY_BYTES) & m->stage[GUEST].format.frame[1][1];
    mem_foresee(mem, region_of(m, KNOWN_PAGE, gpa)->entry.address + offset_of(1, gpa));
}

enum { AHEAD = 4 };

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
    const ia_t ia = gva & m->stage[GUEST].format.ia_mask;
    uint32_t slot = memo_peek(memo, tag_of(m->space[0], 0, number_of(1, ia)));
    return (struct tlb_hit){.memo = memo, .slot = slot, .level = 1, .space = m->space[0]};
}
