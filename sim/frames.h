/**
 * @file
 * Pieces of a physical memory, given out and taken back: a guest OS's, and the hypervisor's.
 *
 * Base-size frames and tables grow from the bottom, large pages from the top, so that neither
 * leaves holes; what comes back is given out again first, last in first out. Addresses are those of
 * the memory's own space.
 */
#ifndef SIM_FRAMES_H
#define SIM_FRAMES_H

#include "core/addr.h"

enum { FRAME_SIZES = LEVELS_MAX + 1 };

/** Stacks of freed pieces: [0] tables, all zero; [l] pages of level l. */
struct free_stack {
    gpa_t *list;
    size_t n, room;
};

struct frames {
    gpa_t bottom, top; /**< never given out yet: [bottom, top) */
    struct free_stack freed[FRAME_SIZES];
};

void frames_init(struct frames *, gpa_t bottom, gpa_t top);
void frames_fini(struct frames *);
/** Gives @p frames lists of its own. False: no memory. */
bool frames_unshare(struct frames *);

/** @p size 0: a table of @p bytes, all zero, aligned to its size; l: a page of level l. False:
 * none. */
bool frames_take(struct frames *, unsigned size, uint64_t bytes, gpa_t *at);

/** Gives a piece back; a table must be all zero again. */
void frames_give(struct frames *, unsigned size, gpa_t at);

#endif
