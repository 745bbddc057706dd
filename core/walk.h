/**
 * @file
 * The walk: one recursive function over a chain of stages, reading, then committing.
 *
 * Reading translates each table's address through the stage below, reads the entry, and checks
 * present, reserved bits and rights. A refusal is a value, and nothing architectural has changed,
 * so unwinding is returning and a retry is clean. Committing, only when every stage allowed, sets
 * A and D and fills the structure caches. Peeking is reading without lookaside and tally.
 *
 * Modelled: n and m levels read n*m + n + m entries, three stages of four 124. Simplified: a
 * refused walk sets no A bit at all (the manual allows it in the entries above). Memory that is not
 * there reads as zero. The nested TLB keeps the way of tables, not of data, whose way ends in the
 * TLBs (Bhargava et al., ASPLOS 2008). Not modelled: speculative walks.
 * Source: Intel SDM vol. 3, 4.5 to 4.8, 28.2 (29.3 in later editions).
 */
#ifndef CORE_WALK_H
#define CORE_WALK_H

#include "core/event.h"
#include "core/lookaside.h"
#include "core/stage.h"

/** Entries that the longest walk reads: three stages of five levels, 6 * 6 * 6 - 1, and one. */
enum { WALK_REFS = 216, WALK_NO_REF = -1 };

/** One entry read. */
struct ref {
    hpa_t at;       /**< where it is */
    uint64_t entry; /**< as read */
    uint64_t set;   /**< A and D bits to set in it when the walk commits */
    ia_t ia;        /**< the input address its stage was translating */
    ia_t table_ia;  /**< the entry's address in the space of the stage below */
    uint8_t depth, level;
    uint8_t server; /**< enum server */
    bool leaf;
    bool behind;     /**< reached past the stages below, which may still object to a write */
    bool direct;     /**< agile paging: of a shadow table */
    uint32_t rights; /**< gathered from the top of its stage down to here */
    int16_t parent;  /**< the ref above it in the same stage, or WALK_NO_REF */
    int16_t under;   /**< the leaf below through which its address was translated, or WALK_NO_REF */
    int16_t onward;  /**< of a leaf: the leaf below through which its page was, or WALK_NO_REF */
};

/** Why and where a walk refused. */
struct refusal {
    enum refusal_kind kind;
    uint8_t depth, level; /**< of the refusing entry; for rights, the highest that withholds them */
    bool on_table;        /**< refused for a table of the stage above, not for its data */
    bool key;             /**< the protection key denies it, whatever else does */
    bool direct;          /**< agile paging: by a shadow table, not by the guest's own */
    bool no_linear;       /**< no linear address led here: a load of PDPTE registers */
    uint8_t granted;      /**< MAY_* of all entries of its stage; 0 if one is not present */
    uint32_t linear;      /**< second stages, for data: rights of the guest's own leaf */
    unsigned access;      /**< enum kind, as the refusing stage saw it */
    ia_t ia;              /**< the address that could not be translated, in that stage's space */
    uint64_t entry;
};

/** Where an address leads. */
struct found {
    hpa_t hpa;       /**< of the address itself */
    ia_t next;       /**< in the space of the stage below */
    uint32_t rights; /**< of this stage's leaf: MAY_*, LEAF_* */
    uint8_t level;   /**< of this stage's leaf; 0: no levels */
    uint8_t shift;   /**< log2 bytes of the smallest page on the way */
    bool direct;     /**< agile paging: the address is the host's already */
    int16_t leaf;    /**< ref of this stage's leaf, or WALK_NO_REF */
};

/** The page-modification log: pages whose D bit in a second stage went from 0 to 1. */
struct page_log {
    hpa_t at;       /**< of its 512 entries of 8 bytes; 0: off */
    uint16_t index; /**< of the entry written next, from 511 down; beyond 511: full */
};

enum { PAGE_LOG_ENTRIES = 512 };

/** One attempt. The caller fills the first part; walk_read the rest. */
struct walk {
    const struct stage *stage; /**< the chain */
    unsigned stages;           /**< its length, 0 to STAGES_MAX */
    struct bus bus;
    struct lookaside *lookaside; /**< NULL: peek */
    struct tally *tally;         /**< NULL exactly when lookaside is */
    struct page_log *log;        /**< NULL: none, or peek */
    space_t space[STAGES_MAX];   /**< tags, by depth */
    bool alone; /**< the plain case: see walk_may_go_alone; false is right for any */

    unsigned refs;
    unsigned to_log; /**< D bits that the commit will log */
    struct refusal refusal;
    struct found found;
    bool renewed; /**< a TLB entry was there, but had to be dropped or renewed */
    struct ref ref[WALK_REFS];
};

/** Whether the caller may set walk.alone: one stage, no entry caches, no peek, nobody watches. */
bool walk_may_go_alone(const struct walk *);

/**
 * Translates @p ia through the whole chain for an access of @p kind. True: found holds the answer,
 * to be committed; false: refusal says why. Cost: the entries read.
 */
bool walk_read(struct walk *, ia_t ia, unsigned kind);

/** Sets A and D where the walk noted, and fills structure caches, if there are any. After walk_read
 * was true. */
void walk_commit(struct walk *);

#endif
