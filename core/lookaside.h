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

/** An address space, as the part of a tag that tells it: its dense number, shifted up. */
typedef uint64_t space_t;

static inline space_t space_numbered(unsigned number)
{
    return (space_t)number << 48;
}

#define TAG_SPACE ((uint64_t)0xffff << 48)

static inline uint64_t tag_of(space_t space, unsigned size, uint64_t number)
{
    return space | (uint64_t)size << MEMO_KEY_BITS | number;
}

/** The number of the page (or of the region one entry spans) at @p level that holds @p ia. */
static inline uint64_t page_number(const struct format *f, unsigned level, ia_t ia)
{
    return (ia & f->ia_mask) >> f->shift[level];
}

/** Of a structure cache's target: the next table is a shadow table of agile paging. */
enum { TABLE_DIRECT = LEAF_GLOBAL };

/** Nested TLBs keep the ways of 4 KiB frames, whatever the page of the second stage. */
enum { NESTED_SHIFT = 12 };

/** Where a TLB keeps pages that leaves of one level map. */
struct tlb_place {
    uint32_t memo; /**< offset from the lookaside; 0: nowhere */
    uint8_t kept;  /**< the level whose pages its entries span: less, if only fragments are kept */
};

struct tlb {
    struct tlb_place place[LEVELS_MAX + 1]; /**< by level of the leaf */
    uint8_t levels; /**< bit l: entries that span pages of level l may be there */
    bool off;       /**< it keeps nothing */
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
    unsigned level; /**< of the page that the entry spans */
    space_t space;  /**< of its tag */
};

static inline struct memo *memo_at(const struct lookaside *la, uint32_t offset)
{
    return (struct memo *)((char *)la + offset);
}

/** Bytes of a lookaside for a profile and a number of stages; 16-aligned. */
size_t lookaside_bytes(const struct profile *, unsigned stages);

/** Makes everything empty in lookaside_bytes() of zeroed storage, aligned to 16. */
void lookaside_init(struct lookaside *, const struct profile *, unsigned stages, uint64_t seed);

/** Drops the page that holds @p gva from all TLBs, in @p space (and, if not 0, in @p global). */
void lookaside_drop_page(struct lookaside *, const struct format *, gva_t, space_t space,
                         space_t global);

/** Drops every TLB entry of a space. */
void lookaside_drop_space(struct lookaside *, space_t);

/** Drops every structure-cache entry of a space at a depth. */
void lookaside_drop_structure(struct lookaside *, unsigned depth, space_t);

/** Drops the structure-cache entries of a space that a walk of @p ia would use. */
void lookaside_drop_path(struct lookaside *, unsigned depth, const struct format *, ia_t, space_t);

/** Drops every guest-physical mapping of a space at a depth: nested TLB and structure caches. */
void lookaside_drop_physical(struct lookaside *, unsigned depth, space_t);

/** Drops the guest-physical mappings that a translation of @p ia at a depth would use. */
void lookaside_drop_frame(struct lookaside *, unsigned depth, const struct format *, ia_t, space_t);

/** Empties TLBs, structure caches and nested TLBs; the data caches stay. */
void lookaside_flush(struct lookaside *);

/** Empties the data caches that are the vCPU's own. */
void lookaside_flush_data(struct lookaside *);

/* ---- the hot part ---- */

/** Looks a page up, in @p space and then among the globals of @p global. Uses the entry. */
static inline __attribute__((always_inline)) bool
tlb_lookup(struct lookaside *la, enum tlb_name name, const struct format *f, gva_t gva,
           space_t space, space_t global, struct tlb_hit *hit)
{
    const struct tlb *tlb = &la->tlb[name];
    for (unsigned levels = tlb->levels; levels; levels &= levels - 1) {
        unsigned level = (unsigned)__builtin_ctz(levels);
        uint64_t tag = tag_of(space, level - 1, page_number(f, level, gva));
        hit->memo = memo_at(la, tlb->place[level].memo);
        hit->level = level;
        hit->space = space;
        hit->slot = memo_lookup(hit->memo, tag);
        if (__builtin_expect(hit->slot == MEMO_MISS && la->globals, 0)) {
            tag = tag_of(global, level - 1, page_number(f, level, gva));
            hit->space = global;
            hit->slot = memo_lookup(hit->memo, tag);
        }
        if (hit->slot != MEMO_MISS)
            return true;
    }
    return false;
}

/**
 * Puts a page of @p level at @p gva into a TLB; keeps a fragment where pages of that size are only
 * kept so. @p target: of the page's first byte; its note is 0, or the level of the page that this
 * is a fragment of already. @p held: the TLB may hold the page, and then its entry is renewed.
 * @p hit: the entry; its memo is NULL if the TLB keeps no such page.
 */
static inline __attribute__((always_inline)) void
tlb_fill(struct lookaside *la, enum tlb_name name, const struct format *f, gva_t gva, space_t space,
         unsigned level, const struct target *target, bool held, struct tlb_hit *hit)
{
    struct tlb *tlb = &la->tlb[name];
    const struct tlb_place *place = &tlb->place[level];
    hit->memo = NULL;
    if (!place->memo)
        return;
    struct memo *memo = memo_at(la, place->memo);
    uint64_t tag = tag_of(space, place->kept - 1u, page_number(f, place->kept, gva));
    uint32_t slot = held ? memo_peek(memo, tag) : MEMO_MISS;
    if (slot == MEMO_MISS)
        slot = memo_insert(memo, tag);
    struct target *to = memo_targets(memo) + slot;
    *to = *target;
    to->note = target->note > level ? target->note : level;
    if (__builtin_expect(place->kept != level, 0)) {
        uint64_t inside = gva & low_bits(f->shift[level]) & ~low_bits(f->shift[place->kept]);
        to->hpa += inside, to->next += inside;
        la->fragments = true;
    }
    tlb->levels |= (uint8_t)(1 << place->kept);
    *hit = (struct tlb_hit){.memo = memo, .slot = slot, .level = place->kept, .space = space};
}

/** Whether one of the vCPU's own data caches has a line, which it has afterwards. */
static inline __attribute__((always_inline)) bool
lookaside_has_line(struct lookaside *la, unsigned cache, uint64_t tag, uint32_t mark)
{
    return la->data[cache] && memo_access(memo_at(la, la->data[cache]), tag, mark);
}

/** The tag of the line of @p at in the data caches. */
static inline uint64_t lookaside_line(const struct lookaside *la, hpa_t at)
{
    return tag_of(space_numbered(1), 0, at >> la->line_shift);
}

/** Who has the line of @p at; it is in every data cache afterwards. */
static inline __attribute__((always_inline)) enum server lookaside_serve(struct lookaside *la,
                                                                         struct memo *llc, hpa_t at)
{
    uint64_t tag = lookaside_line(la, at);
    uint32_t mark = memo_mark(tag);
    if (lookaside_has_line(la, 0, tag, mark))
        return SERVED_L1;
    if (lookaside_has_line(la, 1, tag, mark))
        return SERVED_L2;
    return llc && memo_access(llc, tag, mark) ? SERVED_LLC : SERVED_MEMORY;
}

#endif
