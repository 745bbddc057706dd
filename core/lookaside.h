/**
 * @file
 * Every memo of one vCPU: TLBs, paging-structure caches, nested TLBs, data caches; and the tags by
 * which they tell address spaces and page sizes apart.
 *
 * Modelled: split and shared arrays per page size, PCID and global pages, fragments of pages too
 * large for an array, structure caches by address (Intel) or by entry (AMD). Simplified: a walk
 * fills L1 and L2 TLB alike, an L2 hit refills L1, and neither keeps the other's victims; data
 * caches fill every level on a miss. Not modelled: write-backs, prefetch, sharing among threads.
 * Source: Intel SDM vol. 3, 4.10; AMD APM vol. 2, 5.5.
 *
 * A tag is, from the top: 16 bits of space, 2 bits of page class, 46 bits of page number. A space
 * is the dense number of an address space (VPID, PCID, EP4TA); 0 is never one, so no tag is 0.
 */
#ifndef CORE_LOOKASIDE_H
#define CORE_LOOKASIDE_H

#include "core/format.h"
#include "core/mem.h"
#include "core/memo.h"
#include "core/profile.h"

typedef uint16_t space_t;

#define TAG_SPACE ((uint64_t)0xffff << 48)

static inline uint64_t tag_of(space_t space, unsigned size, uint64_t number)
{
    return (uint64_t)space << 48 | (uint64_t)size << MEMO_KEY_BITS | number;
}

/** The number of the page (or of the region one entry spans) at @p level that holds @p ia. */
static inline uint64_t page_number(const struct format *f, unsigned level, ia_t ia)
{
    uint64_t within = f->ia_bits < 64 ? ia & low_bits(f->ia_bits) : ia;
    return within >> f->shift[level];
}

struct tlb {
    uint32_t array[PAGE_CLASSES];  /**< offset of each class's memo from the lookaside; 0: none */
    uint8_t kept_as[PAGE_CLASSES]; /**< the class a page of this class is kept as */
    uint8_t sizes;                 /**< bit c: entries of class c may be there */
};

struct lookaside {
    uint32_t bytes; /**< of this struct and all memos behind it */
    bool by_entry;  /**< structure caches serve reads of entries */
    bool program_data;
    bool globals;   /**< a global entry may be there */
    bool fragments; /**< a fragment of a larger page may be there */
    uint8_t line_shift;
    struct tlb tlb[TLBS];
    uint32_t structure[STAGES_MAX][LEVELS_MAX + 1]; /**< offsets; 0: none */
    uint32_t nested[STAGES_MAX];                    /**< offsets; [0] is never used */
    uint32_t data[DATA_CACHES - 1];                 /**< the vCPU's own; the last is shared */
};

/** What vCPUs share: memory and the last-level cache. Put together anew for each run. */
struct bus {
    struct mem *mem;
    struct memo *llc;
};

/** A TLB's answer. */
struct tlb_hit {
    struct memo *memo;
    uint32_t slot;
    unsigned level; /**< of the entry's page */
};

static inline struct memo *memo_at(const struct lookaside *la, uint32_t offset)
{
    return (struct memo *)((char *)la + offset);
}

/** Bytes of a lookaside for a profile and a number of stages; 16-aligned. */
size_t lookaside_bytes(const struct profile *, unsigned stages);

/** Makes everything empty in lookaside_bytes() of zeroed storage, aligned to 16. */
void lookaside_init(struct lookaside *, const struct profile *, unsigned stages, uint64_t seed);

/** Looks a page up, in @p space and then among the globals of @p global. Uses the entry. */
bool tlb_lookup(struct lookaside *, enum tlb_name, const struct format *, gva_t, space_t space,
                space_t global, struct tlb_hit *);

/**
 * Puts a page of @p level at @p gva into a TLB; keeps a fragment where pages of that size are only
 * kept so. @p target: of the page's first byte; its note is 0, or the level of the page that this is
 * a fragment of already. @p held: the TLB may hold the page, and then its entry is renewed.
 */
void tlb_fill(struct lookaside *, enum tlb_name, const struct format *, gva_t, space_t,
              unsigned level, const struct target *, bool held);

/** Drops the page that holds @p gva from all TLBs, in @p space (and, if not 0, in @p global). */
void lookaside_drop_page(struct lookaside *, const struct format *, gva_t, space_t space,
                         space_t global);

/** Drops every TLB entry of a space. */
void lookaside_drop_space(struct lookaside *, space_t);

/** Drops every structure-cache entry of a space at a depth. */
void lookaside_drop_structure(struct lookaside *, unsigned depth, space_t);

/** Drops the structure-cache entries of a space that a walk of @p ia would use. */
void lookaside_drop_path(struct lookaside *, unsigned depth, const struct format *, ia_t, space_t);

/** Empties TLBs, structure caches and nested TLBs; the data caches stay. */
void lookaside_flush(struct lookaside *);

/** Empties the data caches that are the vCPU's own. */
void lookaside_flush_data(struct lookaside *);

/** Who has the line of @p at; it is in every data cache afterwards. */
enum server lookaside_serve(struct lookaside *, struct memo *llc, hpa_t at);

#endif
