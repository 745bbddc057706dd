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

/**
 * A set: a byte per way, its mark, then what the policy keeps (memo.c), then a tag per way. A mark
 * is 0 where invalid, else 0x80 and seven bits of the tag, stirred.
 */
struct memo_row {
    uint64_t marks[1]; /**< `words` of them, in truth */
};

struct memo {
    uint64_t mask;       /**< sets - 1 where sets is a power of two, else 0 */
    uint64_t reciprocal; /**< floor(2^64 / sets) where it is not, else 0 */
    uint32_t rows;       /**< offset of the first set's row from this struct */
    uint32_t row_bytes;
    uint32_t words; /**< that the marks of a row take */
    uint32_t ways;
    uint32_t tags; /**< words from the start of a row to its tags; the policy's follow the marks */
    uint8_t last;  /**< bit position in that word of the way that goes next */
    bool by_order; /**< LRU within ORDER_WAYS: the policy keeps one word, and that is all */
    enum replacement replacement;
    uint32_t targets; /**< offset of the targets */
    uint32_t entries, sets;
    uint32_t leaves; /**< the power of two that spans the ways, for tree-PLRU */
    uint32_t bytes;  /**< of this struct and all behind it */
    struct rng rng;
};

#define MEMO_MISS UINT32_MAX

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

/* ---- the hot part ---- */

enum { MEMO_GROUP = 16 }; /* marks compared at once; rows are padded to it */

/** Key mod sets where sets is no power of two. */
uint32_t memo_set_by_reciprocal(const struct memo *, uint64_t tag);

/** A way was used, its row kept in any way but by_order. */
void memo_used(const struct memo *, struct memo_row *, uint32_t way);

/** The way to replace, in any row. */
uint32_t memo_victim(struct memo *, struct memo_row *);

/** A way was just filled, its row kept in any way but by_order. */
void memo_filled(const struct memo *, struct memo_row *, uint32_t way);

static inline uint32_t memo_set(const struct memo *m, uint64_t tag)
{
    return __builtin_expect(m->reciprocal != 0, 0) ? memo_set_by_reciprocal(m, tag)
                                                   : (uint32_t)(tag & m->mask);
}

static inline struct memo_row *memo_row_of(const struct memo *m, uint32_t set)
{
    return (struct memo_row *)((char *)m + m->rows + (size_t)set * m->row_bytes);
}

static inline uint64_t *memo_row_tags(const struct memo *m, struct memo_row *row)
{
    return row->marks + m->tags;
}

static inline uint8_t memo_mark(uint64_t tag)
{
    return (uint8_t)(0x80 | tag * UINT64_C(0x9e3779b97f4a7c15) >> 57);
}

/** Which of MEMO_GROUP marks are @p mark: bit i is mark i. */
static inline uint32_t memo_marked(const uint64_t *marks, uint8_t mark)
{
#ifdef __SSE2__
    __m128i wanted = _mm_set1_epi8((char)mark);
    __m128i row = _mm_loadu_si128((const __m128i *)(const void *)marks);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(row, wanted));
#else
    uint32_t found = 0;
    for (unsigned i = 0; i < MEMO_GROUP; i++)
        found |= (uint32_t)(((const uint8_t *)marks)[i] == mark) << i;
    return found;
#endif
}

/** The way of a row that holds @p tag, or MEMO_MISS. Marks say which tags to compare. */
static inline uint32_t memo_find(const struct memo *m, struct memo_row *row, uint64_t tag)
{
    const uint8_t mark = memo_mark(tag);
    const uint64_t *tags = memo_row_tags(m, row);
    uint32_t way = 0;
    do {
        for (uint32_t found = memo_marked(&row->marks[way / 8], mark); found; found &= found - 1)
            if (tags[way + (uint32_t)__builtin_ctz(found)] == tag)
                return way + (uint32_t)__builtin_ctz(found);
        way += MEMO_GROUP;
    } while (__builtin_expect(way < m->ways, 0));
    return MEMO_MISS;
}

static inline void memo_hit(const struct memo *m, struct memo_row *row, uint32_t way)
{
    uint64_t *order = &row->marks[m->words];
    if (__builtin_expect(m->by_order, 1))
        *order = order_to_front(*order, way);
    else
        memo_used(m, row, way);
}

/** Fills the way to be replaced, and returns it. */
static inline uint32_t memo_fill(struct memo *m, struct memo_row *row, uint64_t tag)
{
    uint64_t *order = &row->marks[m->words];
    uint32_t way = m->by_order ? (uint32_t)(*order >> m->last & 15) : memo_victim(m, row);
    ((uint8_t *)row->marks)[way] = memo_mark(tag);
    memo_row_tags(m, row)[way] = tag;
    if (__builtin_expect(m->by_order, 1))
        *order = *order << 4 | way; /* the last becomes the first: the others move up by one */
    else
        memo_filled(m, row, way);
    return way;
}

/** The slot that holds @p tag (not 0), made most recently used; or MEMO_MISS. */
static inline uint32_t memo_lookup(struct memo *m, uint64_t tag)
{
    uint32_t set = memo_set(m, tag);
    struct memo_row *row = memo_row_of(m, set);
    uint32_t way = memo_find(m, row, tag);
    if (way == MEMO_MISS)
        return MEMO_MISS;
    memo_hit(m, row, way);
    return set * m->ways + way;
}

/**
 * Puts @p tag (not 0, not held) in its set and returns its slot, most recently used.
 * A memo of no entries returns MEMO_MISS.
 */
static inline uint32_t memo_insert(struct memo *m, uint64_t tag)
{
    uint32_t set = memo_set(m, tag);
    return m->entries ? set * m->ways + memo_fill(m, memo_row_of(m, set), tag) : MEMO_MISS;
}

/** As a lookup, and an insertion where that misses: true if it was held. */
static inline bool memo_access(struct memo *m, uint64_t tag)
{
    uint32_t set = memo_set(m, tag);
    struct memo_row *row = memo_row_of(m, set);
    uint32_t way = memo_find(m, row, tag);
    if (way != MEMO_MISS)
        memo_hit(m, row, way);
    else if (m->entries)
        memo_fill(m, row, tag);
    return way != MEMO_MISS;
}

#endif
