/**
 * @file
 * The reverse map of shadow paging: which shadow entries map a guest's frame, and which lead to a
 * shadow table. A frame is write-protected, or taken away, by following it.
 *
 * Modelled: one list per frame and one per table. A large page is in the list of its first frame;
 * what tells it from a small one is the level of the table it stands in. Simplified: lists of any
 * length (KVM drops a frame's mappings beyond 1000).
 */
#ifndef SIM_HYPERVISOR_RMAP_H
#define SIM_HYPERVISOR_RMAP_H

#include "core/mem.h"

/** An entry of a shadow table, in a list. Number 0 is none and ends a list. */
struct rmap_node {
    uint32_t page;  /**< the shadow page it stands in */
    uint32_t index; /**< which of its entries */
    uint32_t next;
};

struct rmap {
    struct mem heads;       /**< by gfn: a word of 4 bytes, the first node */
    struct rmap_node *node; /**< owned; [0] is unused */
    size_t n, room;
    uint32_t free;
};

/** An empty map for @p bytes of guest memory. False: no memory. */
bool rmap_init(struct rmap *, uint64_t bytes);
void rmap_fini(struct rmap *);
/** Makes @p clone, a byte copy of @p rmap, own its state. False: no memory; call rmap_fini. */
bool rmap_unshare(struct rmap *clone, const struct rmap *rmap);

/** Puts an entry into the list at @p head. False: no memory. */
bool rmap_add(struct rmap *, uint32_t *head, uint32_t page, uint32_t index);

/** Takes an entry out, which must be there. Cost: the list's length. */
void rmap_remove(struct rmap *, uint32_t *head, uint32_t page, uint32_t index);

/** The same for the list of a guest's frame. */
bool rmap_add_frame(struct rmap *, uint64_t gfn, uint32_t page, uint32_t index);
void rmap_remove_frame(struct rmap *, uint64_t gfn, uint32_t page, uint32_t index);

/** The first node of a frame's list; 0: nothing maps it. */
uint32_t rmap_of_frame(const struct rmap *, uint64_t gfn);

#endif
