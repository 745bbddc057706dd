/**
 * @file
 * Paging-structure formats as data: how many levels, where each level's index stands in the
 * address, what each bit of an entry means. The walk knows no format by name.
 *
 * Modelled: 32-bit (2-level, with 4 MiB pages and PSE-36), PAE, 4-level, 5-level, EPT, and textbook
 * geometries. Simplified: PAT, PWT and PCD are carried, not interpreted. Not modelled: HLAT,
 * shadow-stack bits. Source: Intel SDM vol. 3, 4.3 to 4.5, tables 4-4 to 4-20; 28.2.2.
 */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H

#include "core/addr.h"

/** Bits of an x86 paging entry. Source: Intel SDM vol. 3, 4.5. */
#define PTE_P        ((uint64_t)1 << 0)
#define PTE_W        ((uint64_t)1 << 1)
#define PTE_U        ((uint64_t)1 << 2)
#define PTE_PWT      ((uint64_t)1 << 3)
#define PTE_PCD      ((uint64_t)1 << 4)
#define PTE_A        ((uint64_t)1 << 5)
#define PTE_D        ((uint64_t)1 << 6)
#define PTE_PS       ((uint64_t)1 << 7) /**< large page; in a PTE this bit is PAT */
#define PTE_G        ((uint64_t)1 << 8)
#define PTE_NX       ((uint64_t)1 << 63)
#define PTE_PK_SHIFT 59

/** What a walk gathers on its way down, in any format: AND over the levels of what each grants. */
enum right {
    MAY_WRITE = 1,
    MAY_USER = 2,
    MAY_EXEC = 4,
    MAY_READ = 8, /**< always granted by x86 entries; an EPT entry may withhold it */
    MAY_ALL = 15,
    /* Of the leaf alone, carried in the same word. */
    LEAF_DIRTY = 16,    /**< D is set, or the format has no D */
    LEAF_GLOBAL = 32,   /**< G is set and CR4.PGE honours it */
    LEAF_KEY_SHIFT = 8, /**< bits 11:8: the protection key */
};

struct format {
    char name[16];
    uint8_t levels;                /**< number of the top level; 0: no levels, the identity */
    uint8_t entry_bytes;           /**< 1, 2, 4 or 8 */
    uint8_t ia_bits;               /**< width of an input address */
    uint8_t registers;             /**< levels at the top that are read from registers (PAE: 1) */
    uint64_t ia_mask;              /**< the same as a mask */
    bool canonical;                /**< the address is sign-extended from ia_bits */
    uint8_t shift[LEVELS_MAX + 1]; /**< of a level's index: also log2 of its page's bytes */
    uint8_t index_bits[LEVELS_MAX + 1];  /**< width of a level's index */
    uint32_t index_mask[LEVELS_MAX + 1]; /**< the same as a mask */
    uint8_t entry_shift;                 /**< log2 of entry_bytes */
    bool scattered; /**< an entry's address bits don't stand where they stand in the address */
    uint8_t frame_left, frame_right;   /**< (entry & frame) << left >> right is the address */
    uint8_t high_bits[LEVELS_MAX + 1]; /**< PSE-36: bits from 13 on that are address bits 32 on */
    uint64_t frame[LEVELS_MAX + 1][2]; /**< address bits: [level][leaf] */
    uint64_t reserved[LEVELS_MAX + 1][2]; /**< bits that must be 0 in a present entry */
    uint8_t leaf_levels;           /**< bit l: an entry of level l with `large` set maps a page */
    uint64_t large;                /**< the bit that makes a leaf above level 1 */
    uint64_t leaf[LEVELS_MAX + 1]; /**< any of these bits makes a present entry of a level a leaf */
    uint64_t present;              /**< any of these bits: present */
    uint8_t grants[8];             /**< by the entry's lowest three bits: MAY_*, before no_exec */
    uint8_t low_tells;             /**< which MAY_* the lowest three bits tell */
    uint64_t leaf_always;          /**< bits of every leaf that is made (EPT: write-back) */
    uint64_t no_exec;              /**< takes MAY_EXEC away when set; 0: no such bit */
    uint64_t accessed, dirty, global; /**< 0: the format has none */
    uint8_t key_shift;                /**< of the 4-bit protection key; 0: none */
    uint64_t user_exec; /**< EPT with mode-based execute: grants MAY_USER; 0: no such bit */
    uint8_t bad_low;    /**< EPT: bit i: a present entry of lowest three bits i is malformed */
    uint8_t bad_type;   /**< EPT: bit t: memory type t in a leaf is malformed */
    uint8_t rightless;  /**< the level whose entries have no rights, A or D (PAE's top); 0: none */
};

/** Which format; the value is the number of levels for the x86 ones. */
enum paging { PAGING_TEXTBOOK = 0, PAGING_2_LEVEL = 2, PAGING_PAE, PAGING_4_LEVEL, PAGING_5_LEVEL };

/** What the processor adds to a format: widths and control bits that make bits reserved. */
struct format_limits {
    uint8_t maxphyaddr; /**< 32 to 52 */
    bool nx;            /**< EFER.NXE: bit 63 denies fetches; else it is reserved */
    bool pse;           /**< CR4.PSE: 4 MiB pages (2-level only) */
    bool pages_1g;      /**< CPUID PDPE1GB */
    bool global;        /**< CR4.PGE */
    bool keys;          /**< CR4.PKE (4- and 5-level only) */
};

/** What makes an EPT format: see core/second_stage.h. */
struct ept_limits {
    uint8_t maxphyaddr, levels;
    uint8_t flat_bits; /**< levels 1: index bits of the one table */
    bool accessed_dirty, mode_based_execute, execute_only, pages_1g;
};

/** A textbook geometry, CONTRACT of scenarios: small enough to do by hand. */
struct geometry {
    uint8_t levels;
    uint8_t index_bits[LEVELS_MAX]; /**< from the top level down */
    uint32_t page;                  /**< bytes, a power of two from 8 to 2^20 */
    uint8_t entry_bytes;
    uint8_t valid;      /**< bit number of the valid bit */
    uint8_t frame_low;  /**< lowest bit of the frame number */
    uint8_t frame_bits; /**< its width */
};

/** The format of a paging mode under the processor's limits. Cost: a few hundred stores. */
struct format format_x86(enum paging, const struct format_limits *);

/** The format of EPT entries. Source: Intel SDM vol. 3, tables 28-1 to 28-6. */
struct format format_ept(const struct ept_limits *);

/** PAE as NPT walks it: the top level's four entries are read from memory. APM vol. 2, 15.25.10. */
struct format format_pae_in_memory(const struct format *pae);

/** The format of a textbook geometry: valid bit and frame number, every right granted. */
struct format format_textbook(const struct geometry *);

/** The name of a level's table, Linux's words: "PTE", "PMD", "PUD", "P4D", "PGD". */
const char *format_level_name(const struct format *, unsigned level);

/** "4KiB", "2MiB", ... of the pages that leaves of @p level map; @p text holds 16 bytes. */
const char *format_page_name(const struct format *, unsigned level, char *text);

static inline bool format_present(const struct format *f, uint64_t entry)
{
    return entry & f->present;
}

/** Whether a present entry maps a page rather than naming the next table. */
static inline bool format_is_leaf(const struct format *f, unsigned level, uint64_t entry)
{
    return entry & f->leaf[level];
}

/** As format_address, where f->scattered: textbooks and PSE-36. */
uint64_t format_gather(const struct format *, unsigned level, bool leaf, uint64_t entry);

/** The address in an entry: of the page (leaf) or of the next table. */
static inline uint64_t format_address(const struct format *f, unsigned level, bool leaf,
                                      uint64_t entry)
{
    if (__builtin_expect(f->scattered, 0))
        return format_gather(f, level, leaf, entry);
    return entry & f->frame[level][leaf];
}

/** Byte offset of the entry for @p ia in a table of @p level. */
static inline uint64_t format_offset(const struct format *f, unsigned level, ia_t ia)
{
    return (ia >> f->shift[level] & f->index_mask[level]) << f->entry_shift;
}

/** Whether a present entry breaks a rule of its format that is not a matter of reserved bits. */
static inline bool format_malformed(const struct format *f, bool leaf, uint64_t entry)
{
    uint64_t low = (entry & 7) | (entry & f->user_exec ? 4 : 0); /* bit 10 is an X too */
    return (f->bad_low >> low & 1) || (leaf && f->bad_type >> (entry >> 3 & 7) & 1);
}

/** What an entry grants, enum right; leaf bits only if @p leaf. */
static inline uint32_t format_rights(const struct format *f, bool leaf, uint64_t entry)
{
    uint32_t rights = f->grants[entry & 7];
    rights &= entry & f->no_exec ? ~(uint32_t)MAY_EXEC : ~(uint32_t)0;
    rights |= entry & f->user_exec ? MAY_USER : 0;
    if (!leaf)
        return rights;
    rights |= f->dirty & ~entry ? 0 : LEAF_DIRTY;
    rights |= entry & f->global ? LEAF_GLOBAL : 0;
    rights |= f->key_shift ? (uint32_t)(entry >> f->key_shift & 15) << LEAF_KEY_SHIFT : 0;
    return rights;
}

/** An entry that names a table or maps a page, with A and D clear. @p rights: MAY_*. */
uint64_t format_entry(const struct format *, unsigned level, bool leaf, uint64_t address,
                      uint32_t rights);

/** Bytes of a table of @p level. */
static inline uint64_t format_table_bytes(const struct format *f, unsigned level)
{
    return (uint64_t)f->entry_bytes << f->index_bits[level];
}

/** Whether @p ia is one that the format can translate at all (canonical, or within its width). */
static inline bool format_canonical(const struct format *f, ia_t ia)
{
    unsigned spare = 64u - f->ia_bits;
    return f->canonical ? (uint64_t)((int64_t)(ia << spare) >> spare) == ia
                        : f->ia_bits == 64 || !(ia >> f->ia_bits);
}

#endif
