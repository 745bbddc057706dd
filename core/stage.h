/**
 * @file
 * One translation from an input space to an output space: a format and a root, with the rights
 * rules already worked out. A vCPU holds a chain of stages in an array; the stage under s is s + 1
 * and translates s's output. Native paging is a chain of one.
 */
#ifndef CORE_STAGE_H
#define CORE_STAGE_H

#include "core/access.h"
#include "core/format.h"
#include "core/mem.h"

/** What an access is, to a stage: operation, privilege and AC in four bits. */
enum kind {
    KIND_READ,
    KIND_WRITE,
    KIND_EXEC,
    KIND_OP = 3,
    KIND_USER = ACCESS_USER << 2,
    KIND_AC = ACCESS_AC << 2,
    KINDS = 16
};

static inline unsigned kind_of(const struct access *access)
{
    static const uint8_t of_op[] = {KIND_READ, KIND_WRITE, KIND_EXEC, KIND_WRITE};
    return of_op[access->op] | (unsigned)access->flags << 2;
}

struct stage {
    struct format format;
    uint64_t root;         /**< of the top table, in the space of the stage below */
    const struct mem *map; /**< no levels: where each frame is, see stage_map; NULL: identity */
    uint64_t top[4];       /**< PAE: the PDPTE registers, in place of a top table */
    unsigned table_op; /**< KIND_READ or KIND_WRITE: what reading a table of the stage above is */
    bool npt;          /**< its hypervisor's processor reads PAE's top level in the walk */
    uint64_t
        switches;   /**< agile paging: an entry with this bit leads to a guest's table; 0: none */
    bool direct;    /**< agile paging: until such an entry, addresses are the host's */
    bool host_root; /**< agile paging: the root is a guest's table at a host address */
    uint16_t allow[KINDS];    /**< bit r: an access of this kind may use rights r (MAY_*) */
    uint16_t deny_key[KINDS]; /**< bit k: this kind may not use user pages of key k */
};

/**
 * A stage without levels may have a map: a word of 8 bytes per frame of 4 KiB, the frame's address
 * in the space below, and in its lowest bit whether there is one. Walking it reads no entry: it is
 * how a hypervisor's own walk goes on from a guest's address.
 */
static inline bool stage_map(const struct stage *stage, ia_t ia, ia_t *next)
{
    uint64_t at = ia >> FRAME_SHIFT << 3;
    uint64_t word = mem_holds(stage->map, at, 8) ? mem_load(stage->map, at, 8) : 0;
    *next = (word & ~low_bits(FRAME_SHIFT)) | (ia & low_bits(FRAME_SHIFT));
    return word & 1;
}

/** Whether the key of a leaf with @p rights denies @p kind. */
static inline bool stage_key_denies(const struct stage *stage, unsigned kind, uint32_t rights)
{
    return rights & MAY_USER && stage->deny_key[kind] >> (rights >> LEAF_KEY_SHIFT & 15) & 1;
}

/** Whether a leaf with @p rights allows @p kind. */
static inline bool stage_allows(const struct stage *stage, unsigned kind, uint32_t rights)
{
    return (stage->allow[kind] >> (rights & MAY_ALL) & 1) && !stage_key_denies(stage, kind, rights);
}

/** What a leaf's rights are worth given the leaf under it: a TLB keeps both as one. */
static inline uint32_t stage_limits(const struct stage *below, unsigned user, uint32_t rights,
                                    uint32_t below_rights)
{
    if (!below->format.levels)
        return rights;
    if (!stage_allows(below, KIND_READ | user, below_rights))
        rights &= ~(uint32_t)MAY_READ;
    if (!stage_allows(below, KIND_EXEC | user, below_rights))
        rights &= ~(uint32_t)MAY_EXEC;
    if (!stage_allows(below, KIND_WRITE | user, below_rights) || !(below_rights & LEAF_DIRTY))
        rights &= ~(uint32_t)LEAF_DIRTY; /* a write walks again, and asks the stage below */
    return rights;
}

#endif
