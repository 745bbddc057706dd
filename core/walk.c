#include "core/walk.h"

#include <assert.h>

/* Where a stage's descent stands. */
struct descent {
    unsigned level;
    uint64_t table;  /* of the table to read next, in the space below */
    bool cached;     /* a structure cache gave `host`: no need to translate */
    hpa_t host;      /* the same in memory */
    uint32_t rights; /* gathered so far; of a cached table, LEAF_DIRTY as in known_dirty() */
    int16_t parent;
    bool direct; /* agile paging: addresses are the host's, until an entry switches */
};

static bool refuse(struct walk *w, unsigned s, enum refusal_kind kind, unsigned level, ia_t ia,
                   unsigned access, uint64_t entry)
{
    w->refusal = (struct refusal){.kind = kind,
                                  .depth = (uint8_t)s,
                                  .level = (uint8_t)level,
                                  .access = access,
                                  .ia = ia,
                                  .entry = entry};
    return false;
}

static bool refuse_entry(struct walk *w, const struct ref *ref, enum refusal_kind kind,
                         unsigned access)
{
    refuse(w, ref->depth, kind, ref->level, ref->ia, access, ref->entry);
    w->refusal.direct = ref->direct;
    return false;
}

static bool translate(struct walk *w, unsigned s, ia_t ia, unsigned kind, struct found *found);

/*
 * One walk, compiled twice. `alone` is a constant where these are called: true for the plain case
 * (a chain of one stage, structure caches by address, no peek, nobody watching), whose tests then
 * cost nothing.
 */
#define INLINE static inline __attribute__((always_inline))

/* ---- the parts of one stage's descent ---- */

/* Structure caches by address: the lowest level that knows the way starts the walk. */
INLINE void start_from_cache(struct walk *w, unsigned s, ia_t ia, struct descent *d, bool alone)
{
    const struct format *f = &w->stage[s].format;
    unsigned top = (unsigned)f->levels - f->registers;
    for (unsigned level = 2; level <= top; level++) {
        uint32_t offset = w->lookaside->structure[s][level];
        if (!offset)
            continue;
        struct memo *memo = memo_at(w->lookaside, offset);
        uint32_t slot = memo_lookup(memo, tag_of(w->space[s], 0, page_number(f, level, ia)));
        if (slot != MEMO_MISS) {
            const struct target *target = &memo_targets(memo)[slot];
            NOTE_QUIETLY(alone, w->tally, STRUCTURE_HIT, s, level, 0, ia, target->hpa);
            *d = (struct descent){.level = level - 1,
                                  .table = target->next,
                                  .cached = true,
                                  .host = target->hpa,
                                  .rights = target->rights,
                                  .parent = WALK_NO_REF,
                                  .direct = !alone && target->rights & TABLE_DIRECT};
            return;
        }
        NOTE_QUIETLY(alone, w->tally, STRUCTURE_MISS, s, level, 0, ia, 0);
    }
}

/* PAE keeps its top level in registers: no read, no rights. SDM vol. 3, 4.4.1. */
static bool start_from_registers(struct walk *w, unsigned s, ia_t ia, unsigned kind,
                                 struct descent *d)
{
    const struct stage *stage = &w->stage[s];
    const struct format *f = &stage->format;
    uint64_t entry = stage->top[ia >> f->shift[d->level] & low_bits(f->index_bits[d->level])];
    if (!format_present(f, entry)) {
        refuse(w, s, REFUSED_NOT_PRESENT, d->level, ia, kind, entry);
        w->refusal.direct = d->direct;
        return false;
    }
    d->table = format_address(f, d->level, false, entry);
    d->level--;
    return true;
}

INLINE bool start(struct walk *w, unsigned s, ia_t ia, unsigned kind, struct descent *d, bool alone)
{
    const struct stage *stage = &w->stage[s];
    const struct format *f = &stage->format;
    *d = (struct descent){.level = f->levels,
                          .table = stage->root,
                          .cached = !alone && stage->host_root,
                          .host = stage->root,
                          .rights = MAY_ALL | LEAF_DIRTY,
                          .parent = WALK_NO_REF,
                          .direct = !alone && stage->direct};
    if (alone || (w->lookaside && !w->lookaside->by_entry))
        start_from_cache(w, s, ia, d, alone);
    return d->level < f->levels || !f->registers || start_from_registers(w, s, ia, kind, d);
}

/* Structure caches by entry: they answer the read itself. */
static bool served_by_structure(struct walk *w, unsigned s, unsigned level, ia_t ia, hpa_t at)
{
    uint32_t offset = w->lookaside->structure[s][level];
    if (!w->lookaside->by_entry || !offset)
        return false;
    struct memo *memo = memo_at(w->lookaside, offset);
    if (memo_lookup(memo, tag_of(w->space[s], 0, at >> 2)) != MEMO_MISS)
        return true;
    NOTE(w->tally, STRUCTURE_MISS, s, level, 0, ia, 0);
    return false;
}

INLINE uint64_t load_entry(const struct walk *w, hpa_t at, unsigned bytes)
{
    return mem_holds(w->bus.mem, at, bytes) ? mem_load(w->bus.mem, at, bytes) : 0;
}

/* Who serves the read of an entry; a peek is served by nobody in particular. */
INLINE enum server serve_entry(struct walk *w, unsigned s, unsigned level, ia_t ia, hpa_t at,
                               uint64_t entry, bool alone)
{
    if (!alone && !w->lookaside)
        return SERVED_L1;
    bool kept = !alone && served_by_structure(w, s, level, ia, at);
    enum server server = kept ? SERVED_STRUCTURE : lookaside_serve(w->lookaside, w->bus.llc, at);
    NOTE_QUIETLY(alone, w->tally, REF, s, level, server, at, entry);
    return server;
}

static bool write_through(struct walk *w, int16_t i);

/* Whether what was translated through leaf @p i below may be written and is dirty at each stage. */
static bool known_dirty(const struct walk *w, int16_t i)
{
    for (; i != WALK_NO_REF; i = w->ref[i].onward) {
        const struct ref *leaf = &w->ref[i];
        const struct stage *stage = &w->stage[leaf->depth];
        if (!stage_allows(stage, KIND_WRITE | KIND_USER, leaf->rights) ||
            stage->format.dirty & ~(leaf->entry | leaf->set))
            return false;
    }
    return true;
}

/* A cache led here past the stages below: asks them after all, to write. */
static bool catch_up(struct walk *w, struct ref *ref)
{
    struct found table;
    ref->behind = false;
    if (!translate(w, ref->depth + 1u, ref->table_ia, KIND_WRITE | KIND_USER, &table)) {
        w->refusal.on_table |= w->refusal.depth == ref->depth + 1;
        return false;
    }
    ref->under = table.leaf;
    return true;
}

/*
 * To set A or D in the last stage the log must have room, and D takes an entry of it; what an
 * earlier ref of the same entry sets is set by then. SDM vol. 3, 28.2.5.
 */
static bool reserve_log(struct walk *w, const struct ref *ref, uint64_t missing)
{
    unsigned left = w->log->index < PAGE_LOG_ENTRIES ? w->log->index + 1u : 0;
    for (unsigned i = 0; i < w->refs; i++)
        if (w->ref[i].at == ref->at)
            missing &= ~w->ref[i].set;
    if (missing && w->to_log >= left)
        return refuse(w, ref->depth, REFUSED_LOG_FULL, ref->level, ref->ia, KIND_WRITE, ref->entry);
    w->to_log += (missing & w->stage[ref->depth].format.dirty) != 0;
    return true;
}

/* Notes A (and D) bits that the commit will set. */
INLINE bool mark(struct walk *w, int16_t i, uint64_t bits, bool alone)
{
    struct ref *ref = &w->ref[i];
    uint64_t missing = bits & ~(ref->entry | ref->set);
    if (__builtin_expect(!missing, 1))
        return true;
    bool logs = !alone && w->log && ref->depth && ref->depth + 1u == w->stages;
    if (logs && !reserve_log(w, ref, missing))
        return false;
    ref->set |= missing;
    return alone || (ref->behind ? catch_up(w, ref) : write_through(w, i));
}

/*
 * Setting A or D in an entry is a write to its page in every stage below: each must allow it, and
 * its leaf becomes dirty, which is a write to that leaf's own table in turn.
 */
static bool write_through(struct walk *w, int16_t i)
{
    for (int16_t under = w->ref[i].under; under != WALK_NO_REF; under = w->ref[under].onward) {
        const struct ref *leaf = &w->ref[under];
        const struct stage *stage = &w->stage[leaf->depth];
        unsigned kind = KIND_WRITE | KIND_USER;
        if (!stage_allows(stage, kind, leaf->rights)) {
            refuse(w, leaf->depth, REFUSED_PROTECTION, leaf->level, leaf->ia, kind, leaf->entry);
            w->refusal.granted = leaf->rights & MAY_ALL;
            w->refusal.on_table = under == w->ref[i].under;
            return false;
        }
        if (!mark(w, under, stage->format.dirty, false))
            return false;
    }
    return true;
}

/* Whether the nested TLB knows the way of a table at @p ia of the space above stage s. */
static bool ask_nested(struct walk *w, unsigned s, ia_t ia, unsigned kind, struct found *found)
{
    if (!w->lookaside || !w->lookaside->nested[s])
        return false;
    struct memo *memo = memo_at(w->lookaside, w->lookaside->nested[s]);
    uint32_t slot = memo_lookup(memo, tag_of(w->space[s], 0, ia >> NESTED_SHIFT));
    const struct target *target = slot == MEMO_MISS ? NULL : &memo_targets(memo)[slot];
    bool write = (kind & KIND_OP) == KIND_WRITE;
    if (!target || !stage_allows(&w->stage[s], kind, target->rights) ||
        (write && !(target->rights & LEAF_DIRTY))) {
        NOTE(w->tally, NESTED_MISS, s, 0, 0, ia, 0);
        return false;
    }
    found->hpa = target->hpa + (ia & low_bits(NESTED_SHIFT));
    found->rights = target->rights;
    found->leaf = WALK_NO_REF;
    NOTE(w->tally, NESTED_HIT, s, 0, 0, ia, found->hpa);
    return true;
}

/* The way of a table of stage s - 1, by the nested TLB or by stage s and those under it. */
static bool translate_table(struct walk *w, unsigned s, ia_t ia, struct found *found)
{
    unsigned kind = w->stage[s].table_op | KIND_USER;
    if (ask_nested(w, s, ia, kind, found) || translate(w, s, ia, kind, found))
        return true;
    w->refusal.on_table |= w->refusal.depth == s;
    return false;
}

/* Translates the entry's address, reads it, and checks that it is well-formed. */
INLINE bool read_level(struct walk *w, unsigned s, ia_t ia, unsigned kind, struct descent *d,
                       int16_t *at, bool alone)
{
    const struct format *f = &w->stage[s].format;
    uint64_t address = d->table + format_offset(f, d->level, ia);
    struct found table;
    table.hpa = d->cached ? d->host + (address - d->table) : address;
    table.leaf = WALK_NO_REF;
    table.rights = d->rights;
    if (!alone && !d->cached && !d->direct && s + 1 < w->stages &&
        !translate_table(w, s + 1, address, &table))
        return false;
    uint64_t entry = load_entry(w, table.hpa, f->entry_bytes);
    enum server server = serve_entry(w, s, d->level, ia, table.hpa, entry, alone);
    bool leaf = format_is_leaf(f, d->level, entry);
    assert(w->refs < WALK_REFS);
    int16_t i = (int16_t)w->refs++;
    struct ref *ref = &w->ref[i];
    ref->at = table.hpa;
    ref->entry = entry;
    ref->set = 0;
    ref->ia = ia;
    ref->table_ia = address;
    ref->depth = (uint8_t)s;
    ref->level = (uint8_t)d->level;
    ref->server = (uint8_t)server;
    ref->leaf = leaf;
    ref->behind = !alone && table.leaf == WALK_NO_REF && !(table.rights & LEAF_DIRTY);
    ref->direct = d->direct;
    ref->parent = d->parent;
    ref->under = table.leaf;
    ref->onward = WALK_NO_REF;
    if (!format_present(f, entry))
        return refuse_entry(w, ref, REFUSED_NOT_PRESENT, kind);
    if (entry & f->reserved[d->level][leaf] || (!alone && format_malformed(f, leaf, entry)))
        return refuse_entry(w, ref, REFUSED_RESERVED, kind);
    ref->rights = format_rights(f, leaf, entry) & (d->rights | ~(uint32_t)MAY_ALL);
    if (!alone && d->level == f->rightless)
        ref->rights = d->rights & MAY_ALL;
    *at = i;
    return true;
}

/*
 * The highest level that withholds a right without which no page serves such an access; the leaf
 * if none does (SMEP, SMAP, a key).
 */
static unsigned denying_level(const struct walk *w, int16_t leaf, unsigned kind)
{
    const struct stage *stage = &w->stage[w->ref[leaf].depth];
    unsigned level = w->ref[leaf].level;
    uint32_t needed = MAY_ALL;
    for (uint32_t rights = 0; rights <= MAY_ALL; rights++)
        if (stage->allow[kind] >> rights & 1)
            needed &= rights;
    for (int16_t i = leaf; i != WALK_NO_REF; i = w->ref[i].parent)
        if (needed & ~w->ref[i].rights)
            level = w->ref[i].level;
    return level;
}

static bool deny(struct walk *w, int16_t leaf, unsigned kind)
{
    const struct ref *ref = &w->ref[leaf];
    const struct stage *stage = &w->stage[ref->depth];
    refuse(w, ref->depth, REFUSED_PROTECTION, denying_level(w, leaf, kind), ref->ia, kind,
           ref->entry);
    w->refusal.key = stage_key_denies(stage, kind, ref->rights);
    w->refusal.direct = ref->direct;
    w->refusal.granted = ref->rights & MAY_ALL;
    return false;
}

INLINE bool check_rights(struct walk *w, unsigned s, int16_t leaf, unsigned kind)
{
    return stage_allows(&w->stage[s], kind, w->ref[leaf].rights) || deny(w, leaf, kind);
}

/* ---- one stage, and everything under it ---- */

/* Down to the leaf of stage s; marks A on the way. */
INLINE bool descend(struct walk *w, unsigned s, ia_t ia, unsigned kind, int16_t *leaf, bool alone)
{
    const struct format *f = &w->stage[s].format;
    struct descent d;
    if (!start(w, s, ia, kind, &d, alone))
        return false;
    for (;;) {
        if (!read_level(w, s, ia, kind, &d, leaf, alone))
            return false;
        const struct ref *ref = &w->ref[*leaf];
        if (ref->leaf)
            return true;
        uint64_t used = !alone && d.level == f->rightless ? 0 : f->accessed;
        if (!mark(w, *leaf, used, alone))
            return false;
        uint64_t table = format_address(f, d.level, false, ref->entry);
        bool switches = !alone && d.direct && ref->entry & w->stage[s].switches;
        d = (struct descent){.level = d.level - 1,
                             .table = table,
                             .cached = switches,
                             .host = table,
                             .rights = ref->rights | LEAF_DIRTY,
                             .parent = *leaf,
                             .direct = d.direct && !switches};
    }
}

/* What a stage's own leaf makes of the address. */
INLINE bool translate_here(struct walk *w, unsigned s, ia_t ia, unsigned kind, struct found *found,
                           bool alone)
{
    const struct format *f = &w->stage[s].format;
    bool write = (kind & KIND_OP) == KIND_WRITE;
    int16_t leaf;
    if (!descend(w, s, ia, kind, &leaf, alone) || !check_rights(w, s, leaf, kind) ||
        !mark(w, leaf, f->accessed | (f->dirty & -(uint64_t)write), alone))
        return false;
    const struct ref *ref = &w->ref[leaf];
    found->level = ref->level;
    found->shift = f->shift[ref->level];
    found->rights = ref->rights | (write ? LEAF_DIRTY : 0);
    found->leaf = leaf;
    found->direct = ref->direct;
    found->next = format_address(f, ref->level, true, ref->entry) | (ia & low_bits(found->shift));
    found->hpa = found->next;
    return true;
}

/* Past the last stage, and for a stage without levels: the identity, or what its map says. */
static void translate_to_itself(ia_t ia, uint8_t shift, struct found *found)
{
    *found = (struct found){
        .hpa = ia, .next = ia, .rights = MAY_ALL | LEAF_DIRTY, .shift = shift, .leaf = WALK_NO_REF};
}

/* What a stage's output becomes in the stages under it. */
static bool translate_below(struct walk *w, unsigned s, unsigned kind, struct found *found)
{
    const struct stage *stage = &w->stage[s];
    bool user = !stage->format.user_exec || found->rights & MAY_USER;
    struct found below;
    kind = (kind & KIND_OP) | (user ? KIND_USER : 0);
    if (!translate(w, s, found->next, kind, &below)) {
        if (w->refusal.depth == s && !w->refusal.on_table)
            w->refusal.linear = found->rights;
        return false;
    }
    if (found->leaf != WALK_NO_REF)
        w->ref[found->leaf].onward = below.leaf;
    found->hpa = below.hpa;
    found->shift = below.shift < found->shift ? below.shift : found->shift;
    found->rights = stage_limits(stage, kind & KIND_USER, found->rights, below.rights);
    return true;
}

/* Stage s of the chain and the stages under it: one more recursion per table and for the data. */
static bool translate(struct walk *w, unsigned s, ia_t ia, unsigned kind, struct found *found)
{
    const struct format *f = &w->stage[s].format;
    ia_t next = ia;
    bool mapped = s < w->stages && w->stage[s].map;
    if (mapped && !stage_map(&w->stage[s], ia, &next))
        return refuse(w, s, REFUSED_NOT_PRESENT, 0, ia, kind, 0);
    if (s == w->stages || !f->levels)
        translate_to_itself(next, mapped ? FRAME_SHIFT : 63, found);
    else if (s && ia >> f->ia_bits)
        return refuse(w, s, REFUSED_NOT_PRESENT, f->levels, ia, kind, 0);
    else if (!translate_here(w, s, ia, kind, found, false))
        return false;
    return s + 1 >= w->stages || found->direct || translate_below(w, s + 1, kind, found);
}

bool walk_may_go_alone(const struct walk *w)
{
    return w->stages == 1 && w->stage[0].format.levels && w->lookaside && !w->lookaside->by_entry &&
           !w->tally->sink;
}

/* A function of its own, so that the registers are the walk's alone. */
static __attribute__((noinline)) bool read_alone(struct walk *w, ia_t ia, unsigned kind)
{
    return translate_here(w, 0, ia, kind, &w->found, true);
}

bool walk_read(struct walk *w, ia_t ia, unsigned kind)
{
    w->refs = 0;
    w->to_log = 0;
    return w->alone ? read_alone(w, ia, kind) : translate(w, 0, ia, kind, &w->found);
}

/* ---- committing ---- */

/* Reads again first: an earlier ref of the same walk may have been of the same entry. */
static void set_bits(struct walk *w, const struct ref *ref)
{
    const struct format *f = &w->stage[ref->depth].format;
    uint64_t now = mem_load(w->bus.mem, ref->at, f->entry_bytes);
    uint64_t missing = ref->set & ~now, entry = now | missing;
    if (!missing)
        return;
    mem_store(w->bus.mem, ref->at, entry, f->entry_bytes);
    if (missing & f->dirty && w->log && ref->depth && ref->depth + 1u == w->stages)
        mem_store(w->bus.mem, w->log->at + 8u * w->log->index--, ref->ia & ~low_bits(12), 8);
    if (!w->tally)
        return;
    if (missing & f->accessed)
        NOTE(w->tally, SET_ACCESSED, ref->depth, ref->level, 0, ref->at, entry);
    if (missing & f->dirty)
        NOTE(w->tally, SET_DIRTY, ref->depth, ref->level, 0, ref->at, entry);
}

INLINE void insert_structure(struct walk *w, unsigned depth, unsigned level, uint64_t number,
                             const struct target *target, bool held)
{
    struct memo *memo = memo_at(w->lookaside, w->lookaside->structure[depth][level]);
    uint64_t tag = tag_of(w->space[depth], 0, number);
    uint32_t slot = held ? memo_peek(memo, tag) : MEMO_MISS;
    if (slot == MEMO_MISS)
        slot = memo_insert(memo, tag);
    memo_targets(memo)[slot] = *target;
}

/* The cached path that led to this entry's table: its page may be dirty below by now. */
static void refresh_structure(struct walk *w, const struct ref *ref)
{
    const struct format *f = &w->stage[ref->depth].format;
    unsigned level = ref->level + 1u;
    if (level > f->levels || !w->lookaside->structure[ref->depth][level])
        return;
    struct memo *memo = memo_at(w->lookaside, w->lookaside->structure[ref->depth][level]);
    uint64_t tag = tag_of(w->space[ref->depth], 0, page_number(f, level, ref->ia));
    uint32_t slot = memo_peek(memo, tag);
    if (slot != MEMO_MISS && known_dirty(w, ref->under))
        memo_targets(memo)[slot].rights |= LEAF_DIRTY;
}

/* By entry: the entry itself. */
static void keep_entry(struct walk *w, const struct ref *ref)
{
    if (w->lookaside->structure[ref->depth][ref->level] && !ref->leaf &&
        ref->server != SERVED_STRUCTURE)
        insert_structure(w, ref->depth, ref->level, ref->at >> 2, &(struct target){0}, true);
}

/* By address: what the entry above this one led to. */
INLINE void keep_path(struct walk *w, const struct ref *ref, unsigned s, bool alone)
{
    const struct format *f = &w->stage[s].format;
    const struct ref *above = &w->ref[ref->parent];
    uint64_t offset = format_offset(f, ref->level, ref->ia);
    uint32_t dirty = alone || (!ref->behind && known_dirty(w, ref->under)) ? LEAF_DIRTY : 0;
    uint32_t direct = !alone && ref->direct ? TABLE_DIRECT : 0;
    bool held = s; /* stage 0 is walked once, and missed there; others again and again */
    if (w->lookaside->structure[s][above->level])
        insert_structure(w, s, above->level, page_number(f, above->level, ref->ia),
                         &(struct target){.hpa = ref->at - offset,
                                          .next = ref->table_ia - offset,
                                          .rights = (above->rights & MAY_ALL) | dirty | direct},
                         held);
}

static void fill_structure(struct walk *w, const struct ref *ref)
{
    if (w->lookaside->by_entry)
        keep_entry(w, ref);
    else if (ref->parent != WALK_NO_REF)
        keep_path(w, ref, ref->depth, false);
    else if (ref->under != WALK_NO_REF)
        refresh_structure(w, ref);
}

/* The way of this entry's table, which the stages below were asked for. */
static void fill_nested(struct walk *w, const struct ref *ref)
{
    unsigned s = ref->depth + 1u;
    const struct ref *leaf = &w->ref[ref->under];
    if (!w->lookaside->nested[s])
        return;
    struct memo *memo = memo_at(w->lookaside, w->lookaside->nested[s]);
    uint64_t tag = tag_of(w->space[s], 0, ref->table_ia >> NESTED_SHIFT);
    uint32_t slot = memo_peek(memo, tag);
    if (slot == MEMO_MISS)
        slot = memo_insert(memo, tag);
    memo_targets(memo)[slot] = (struct target){
        .hpa = ref->at & ~low_bits(NESTED_SHIFT),
        .next = ref->table_ia & ~low_bits(NESTED_SHIFT),
        .rights = (leaf->rights & MAY_ALL) | (known_dirty(w, ref->under) ? LEAF_DIRTY : 0)};
}

void walk_commit(struct walk *w)
{
    for (unsigned i = 0; i < w->refs; i++) {
        const struct ref *ref = &w->ref[i];
        if (ref->set)
            set_bits(w, ref);
        if (!w->lookaside)
            continue;
        if (!w->alone && ref->under != WALK_NO_REF)
            fill_nested(w, ref);
        if (!w->alone)
            fill_structure(w, ref);
        else if (ref->parent != WALK_NO_REF)
            keep_path(w, ref, 0, true);
    }
}
