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
 * Nothing here allocates; no lookup divides; LRU order is a linked list of way numbers per set, so
 * no row moves.
 */
#ifndef CORE_MEMO_H
#define CORE_MEMO_H

#include "core/addr.h"
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

struct memo {
    uint32_t entries, sets, ways;
    uint32_t leaves; /**< the power of two that spans the ways, for tree-PLRU */
    enum replacement replacement;
    uint32_t live;       /**< valid entries */
    uint32_t recent;     /**< the slot last hit or filled, looked at first */
    uint64_t mask;       /**< sets - 1 where sets is a power of two, else 0 */
    uint64_t reciprocal; /**< floor(2^64 / sets) where it is not */
    struct rng rng;
    uint32_t bytes;                                             /**< this struct and its arrays */
    uint32_t tags, targets, heads, next, previous, uses, trees; /**< offsets from this struct */
};

#define MEMO_MISS UINT32_MAX

const char *replacement_name(enum replacement);

/** Bytes of a memo of that shape, a multiple of 16; @p targets: whether it remembers any. */
size_t memo_bytes(const struct shape *, bool targets);

/** Makes an empty memo in memo_bytes() of zeroed storage, aligned to 16. */
void memo_init(struct memo *, const struct shape *, bool targets, uint64_t seed);

/** The slot that holds @p tag (not 0), made most recently used; or MEMO_MISS. */
uint32_t memo_lookup(struct memo *, uint64_t tag);

/** As memo_lookup, changing nothing. */
uint32_t memo_peek(const struct memo *, uint64_t tag);

/**
 * Puts @p tag (not 0, not held) in its set and returns its slot, most recently used.
 * A memo of no entries returns MEMO_MISS.
 */
uint32_t memo_insert(struct memo *, uint64_t tag);

/** Counts @p n further hits of the slot last hit or filled: what n lookups would have done. */
void memo_reuse(struct memo *, uint64_t n);

/** Puts @p tag into a chosen way of its set, replacing what is there; false: no such way. */
bool memo_place(struct memo *, uint64_t tag, uint32_t way, uint32_t *slot);

/** Invalidates one slot. */
void memo_drop(struct memo *, uint32_t slot);

/** Invalidates every entry whose tag agrees with @p value in the bits of @p mask. */
void memo_drop_matching(struct memo *, uint64_t mask, uint64_t value);

/** Invalidates everything. */
void memo_flush(struct memo *);

/** The tags, 0 where invalid; memo->entries of them, set by set. */
static inline uint64_t *memo_tags(const struct memo *m)
{
    return (uint64_t *)((char *)m + m->tags);
}

/** The targets, as many as tags; only where asked for. */
static inline struct target *memo_targets(const struct memo *m)
{
    return (struct target *)((char *)m + m->targets);
}

#endif
