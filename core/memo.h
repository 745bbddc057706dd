/**
 * @file
 * One set-associative memory of tags with a replacement policy. Every TLB, paging-structure cache,
 * nested TLB and data cache is a memo with other numbers.
 *
 * Modelled: sets, ways, and five replacement policies. Simplified: an invalid way is always filled
 * before a valid one is replaced, lowest number first (true LRU and FIFO: the one invalidated
 * last). Not modelled: hashed set selection, banks, ports.
 *
 * A memo and its arrays are one block without pointers: copying memo_bytes() bytes copies it.
 * Nothing here allocates; no lookup divides. A search compares one byte per way, its mark, sixteen
 * at a time, before it compares tags. A set's marks, tags and order stand together. Recency is a
 * word of nibbles per set up to 16 ways and a linked list of way numbers beyond, so no long row
 * moves.
 */
#ifndef CORE_MEMO_H
#define CORE_MEMO_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/addr.h"
#include "core/order.h"
#include "core/rng.h"

enum replacement {
    REPLACE_LRU,       /**< least recently used, exact */
    REPLACE_TREE_PLRU, /**< a binary tree of direction bits over the ways */
    REPLACE_FIFO,      /**< oldest fill */
    REPLACE_RANDOM,    /**< seeded */
    REPLACE_LFU,       /**< fewest uses since filled, the fill being the first; ties: lowest way */
    REPLACEMENTS
};
#define REPLACEMENT_WORDS "lru", "tree-plru", "fifo", "random", "lfu"

/** Sizes of one memo. entries 0: off, always misses. ways 0: fully associative. */
struct shape {
    uint32_t entries;
    uint32_t ways; /**< divides entries */
    enum replacement replacement;
};

/** The low bits of a tag are the key that picks the set; the rest tells spaces and sizes apart. */
enum { MEMO_KEY_BITS = 46 };

/** What an entry remembers beside its tag, where there is something to remember. */
struct target {
    hpa_t hpa;       /**< the page's first byte, or the next table's */
    ia_t next;       /**< the same in the space of the stage below (the guest frame) */
    uint32_t rights; /**< gathered on the way, enum right of format.h */
    uint32_t note;   /**< TLB: the level of the page that was mapped, if only a fragment is kept */
};

enum { MEMO_GROUP = 16 }; /* marks compared at once; rows are padded to it */

/**
 * A set of a plain memo: a byte per way, its mark, then the order of use, then a tag per way. Other
 * memos have more marks, and what their policy keeps in place of the order: see memo.c. A mark is 0
 * where invalid, else eight bits of the tag, stirred, and 1 for 0.
 */
struct memo_row {
    uint64_t marks[MEMO_GROUP / 8];
    uint64_t order; /**< see order.h */
    uint64_t tags[];
};

struct memo {
    uint64_t mask;       /**< sets - 1 where sets is a power of two, else 0 */
    uint64_t reciprocal; /**< floor(2^64 / sets) where it is not, else 0 */
    uint32_t row_bytes;
    uint32_t words; /**< that the marks of a row take */
    uint32_t ways;
    uint32_t tags; /**< words from the start of a row to its tags; the policy's follow the marks */
    uint8_t last;  /**< bit position in the order of the way that goes next */
    bool plain;    /**< LRU, at most ORDER_WAYS ways, sets a power of two: the common case */
    enum replacement replacement;
    uint32_t targets; /**< offset of the targets */
    uint32_t entries, sets;
    uint32_t leaves; /**< the power of two that spans the ways, for tree-PLRU */
    uint32_t bytes;  /**< of this struct and all behind it */
    struct rng rng;
};

/** Where the first set's row stands from the struct on. */
enum { MEMO_ROWS = (sizeof(struct memo) + 15) & ~(size_t)15 };

#define MEMO_MISS UINT32_MAX

#define MEMO_INLINE static inline __attribute__((always_inline))

const char *replacement_name(enum replacement);

/** Bytes of a memo of that shape, a multiple of 16; @p targets: whether it remembers any. */
size_t memo_bytes(const struct shape *, bool targets);

/** Makes an empty memo in memo_bytes() of zeroed storage, aligned to 16. */
void memo_init(struct memo *, const struct shape *, bool targets, uint64_t seed);

/** As memo_lookup, changing nothing. */
uint32_t memo_peek(const struct memo *, uint64_t tag);

/** Counts @p n further hits of the slot that was hit or filled last: what n lookups would do. */
void memo_reuse(struct memo *, uint32_t slot, uint64_t n);

/** Puts @p tag into a chosen way of its set, replacing what is there; false: no such way. */
bool memo_place(struct memo *, uint64_t tag, uint32_t way, uint32_t *slot);

/** Invalidates one slot. */
void memo_drop(struct memo *, uint32_t slot);

/** Invalidates every entry whose tag agrees with @p value in the bits of @p mask. */
void memo_drop_matching(struct memo *, uint64_t mask, uint64_t value);

/** Invalidates everything. */
void memo_flush(struct memo *);

/** The tag in a slot, 0 if invalid. For looking; divides. */
uint64_t memo_tag(const struct memo *, uint32_t slot);

/** How many entries are valid. For looking; counts them. */
uint32_t memo_live(const struct memo *);

/** The targets, one per slot; only where asked for. */
static inline struct target *memo_targets(const struct memo *m)
{
    return (struct target *)((char *)m + m->targets);
}

/* ---- the hot part: plain memos at once, the others by a call ---- */

/** As the functions without _any, for a memo of any kind. */
uint32_t memo_lookup_any(struct memo *, uint64_t tag);
uint32_t memo_insert_any(struct memo *, uint64_t tag);
bool memo_access_any(struct memo *, uint64_t tag);

/**
 * The mark of a tag, four times over: as a byte it would go to the vector unit by way of memory,
 * and wait there for the store of one byte to reach a load of four.
 */
MEMO_INLINE uint32_t memo_mark(uint64_t tag)
{
    uint32_t stirred = (uint32_t)(tag * UINT64_C(0x9e3779b97f4a7c15) >> 56);
    return (stirred + !stirred) * 0x01010101u;
}

/** Which of MEMO_GROUP marks are @p mark: bit i is mark i. */
MEMO_INLINE uint32_t memo_marked(const uint64_t *marks, uint32_t mark)
{
#ifdef __SSE2__
    __m128i wanted = _mm_set1_epi32((int)mark);
    __m128i row = _mm_loadu_si128((const __m128i *)(const void *)marks);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(row, wanted));
#else
    uint32_t found = 0;
    for (unsigned i = 0; i < MEMO_GROUP; i++)
        found |= (uint32_t)(((const uint8_t *)marks)[i] == (uint8_t)mark) << i;
    return found;
#endif
}

/** The first of up to MEMO_GROUP ways that holds @p tag, or MEMO_MISS. Marks say what to compare.
 */
MEMO_INLINE uint32_t memo_find(const uint64_t *marks, const uint64_t *tags, uint64_t tag,
                               uint32_t mark)
{
    for (uint32_t found = memo_marked(marks, mark); found; found &= found - 1)
        if (__builtin_expect(tags[(uint32_t)__builtin_ctz(found)] == tag, 1))
            return (uint32_t)__builtin_ctz(found);
    return MEMO_MISS;
}

static inline struct memo_row *memo_row_at(const struct memo *m, uint32_t set)
{
    return (struct memo_row *)((char *)m + MEMO_ROWS + set * m->row_bytes);
}

/** The place of a tag in a plain memo: what a search works out, so that nothing does so again. */
struct memo_seat {
    struct memo_row *row;   /**< of its set */
    struct target *targets; /**< of its set, where there are any */
    uint64_t tag;
    uint32_t way; /**< the way that holds it, or MEMO_MISS */
    uint32_t mark;
    uint8_t last; /**< see memo */
};

/** Where @p tag (not 0), whose mark is @p mark, is, or would go; its way is not known yet. */
MEMO_INLINE struct memo_seat memo_seat(struct memo *m, uint64_t tag, uint32_t mark)
{
    uint32_t set = (uint32_t)(tag & m->mask);
    return (struct memo_seat){.row = memo_row_at(m, set),
                              .targets = memo_targets(m) + set * m->ways,
                              .tag = tag,
                              .mark = mark,
                              .last = m->last};
}

/** A seat without pointers, which may be kept: its offsets are from what @p base was. */
struct memo_spot {
    uint64_t tag;
    uint32_t row, targets;
    uint32_t mark;
    uint8_t last;
};

/** The spot of a tag (not 0) in a plain memo. */
static inline struct memo_spot memo_spot(const void *base, struct memo *m, uint64_t tag)
{
    struct memo_seat seat = memo_seat(m, tag, memo_mark(tag));
    return (struct memo_spot){.tag = tag,
                              .row = (uint32_t)((char *)seat.row - (const char *)base),
                              .targets = (uint32_t)((char *)seat.targets - (const char *)base),
                              .mark = seat.mark,
                              .last = seat.last};
}

/** The seat at a spot; its way is not known yet. */
MEMO_INLINE struct memo_seat memo_seat_at(void *base, const struct memo_spot *spot)
{
    return (struct memo_seat){.row = (struct memo_row *)((char *)base + spot->row),
                              .targets = (struct target *)((char *)base + spot->targets),
                              .tag = spot->tag,
                              .mark = spot->mark,
                              .last = spot->last};
}

/** Searches the seat's set; changes nothing. */
MEMO_INLINE bool memo_seek(struct memo_seat *s)
{
    s->way = memo_find(s->row->marks, s->row->tags, s->tag, s->mark);
    return s->way != MEMO_MISS;
}

/** Makes a tag that was found the most recently used. */
MEMO_INLINE void memo_use(const struct memo_seat *s)
{
    if ((s->row->order & 15) != s->way) /* as it often is */
        s->row->order = order_to_front(s->row->order, s->way);
}

/** Puts a tag that was not found in the way of its set that goes next. */
MEMO_INLINE void memo_take(struct memo_seat *s)
{
    uint64_t order = s->row->order;
    s->way = (uint32_t)(order >> s->last & 15);
    ((uint8_t *)s->row->marks)[s->way] = (uint8_t)s->mark;
    s->row->tags[s->way] = s->tag;
    s->row->order = order << 4 | s->way; /* the last becomes the first: the others move up by one */
}

/** Whether the seat's way holds its tag. */
MEMO_INLINE bool memo_holds(const struct memo_seat *s)
{
    return s->row->tags[s->way] == s->tag;
}

/** What is remembered of a tag that was found or has taken its seat. */
MEMO_INLINE struct target *memo_target(const struct memo_seat *s)
{
    return s->targets + s->way;
}

/** The number of the seat's way among all. */
MEMO_INLINE uint32_t memo_slot(const struct memo *m, const struct memo_seat *s)
{
    return (uint32_t)(s->tag & m->mask) * m->ways + s->way;
}

/** The slot that holds @p tag (not 0), made most recently used; or MEMO_MISS. */
MEMO_INLINE uint32_t memo_lookup(struct memo *m, uint64_t tag)
{
    if (__builtin_expect(!m->plain, 0))
        return memo_lookup_any(m, tag);
    struct memo_seat seat = memo_seat(m, tag, memo_mark(tag));
    if (!memo_seek(&seat))
        return MEMO_MISS;
    memo_use(&seat);
    return memo_slot(m, &seat);
}

/**
 * Puts @p tag (not 0, not held) in its set and returns its slot, most recently used.
 * A memo of no entries returns MEMO_MISS.
 */
MEMO_INLINE uint32_t memo_insert(struct memo *m, uint64_t tag)
{
    if (__builtin_expect(!m->plain, 0))
        return memo_insert_any(m, tag);
    struct memo_seat seat = memo_seat(m, tag, memo_mark(tag));
    memo_take(&seat);
    return memo_slot(m, &seat);
}

/** As memo_access, of a plain memo. */
MEMO_INLINE bool memo_access_plain(struct memo *m, uint64_t tag, uint32_t mark)
{
    struct memo_seat seat = memo_seat(m, tag, mark);
    bool held = memo_seek(&seat);
    if (held) /* seldom the most recently used already: each access reads several lines */
        seat.row->order = order_to_front(seat.row->order, seat.way);
    else
        memo_take(&seat);
    return held;
}

/** As a lookup, and an insertion where that misses: true if it was held. */
MEMO_INLINE bool memo_access(struct memo *m, uint64_t tag, uint32_t mark)
{
    return __builtin_expect(m->plain, 1) ? memo_access_plain(m, tag, mark)
                                         : memo_access_any(m, tag);
}

#endif
