/**
 * @file
 * Which pages of which process stand on the backing store, and in which slot.
 *
 * A hash table with open addressing; keys are process and page number.
 */
#ifndef SIM_GUEST_SWAP_H
#define SIM_GUEST_SWAP_H

#include "core/addr.h"

struct swap_page {
    uint64_t page; /**< page number + 1; 0: empty */
    uint64_t slot;
    uint32_t process;
};

struct swap {
    struct swap_page *pages;
    size_t room, used; /**< room: 0 or a power of two */
    uint64_t slots;    /**< ever given out: a page keeps its slot until its process ends */
};

void swap_fini(struct swap *);
/** Gives @p swap a table of its own. False: no memory. */
bool swap_unshare(struct swap *);

/** The slot of a page that was written out. False: it never was. */
bool swap_find(const struct swap *, unsigned process, uint64_t page, uint64_t *slot);

/** The slot of a page, a new one if it has none. False: no memory. */
bool swap_slot(struct swap *, unsigned process, uint64_t page, uint64_t *slot);

/** Forgets a process's pages from @p first to @p last. */
void swap_forget(struct swap *, unsigned process, uint64_t first, uint64_t last);

#endif
