/**
 * @file
 * The areas of an address space (Linux: vm_area_struct): sorted, disjoint ranges with rights.
 */
#ifndef SIM_GUEST_AREAS_H
#define SIM_GUEST_AREAS_H

#include "core/access.h"

struct area {
    gva_t start, last; /**< inclusive, so that the last byte of the space can be had */
    uint32_t rights;   /**< enum rights */
    uint8_t level;     /**< of the leaves that map it, if they fit */
};

struct areas {
    struct area *list;
    size_t n, room;
};

void areas_fini(struct areas *);
/** Gives @p areas a list of its own. False: no memory. */
bool areas_unshare(struct areas *);

/** The area that holds @p gva, or NULL. Cost: log n. */
const struct area *areas_find(const struct areas *, gva_t gva);

/** The range around @p gva that no area holds. Precondition: areas_find gives NULL. */
void areas_gap(const struct areas *, gva_t gva, gva_t *start, gva_t *last);

/** Takes [start, last] out; areas across an end are cut. False: no memory. */
bool areas_remove(struct areas *, gva_t start, gva_t last);

/** Puts an area in, in place of whatever was there. False: no memory. */
bool areas_insert(struct areas *, const struct area *);

/** Changes the rights of all that exists in [start, last]. False: no memory. */
bool areas_protect(struct areas *, gva_t start, gva_t last, uint32_t rights);

#endif
