/**
 * @file
 * A VM's p2m: for each frame of its physical memory, which frame of the space below it is, and in
 * what state. It is the truth; second-stage, shadow and direct tables are derived from it.
 *
 * One word per frame of 4 KiB, kept in a sparse memory of its own, so that a VM of 1 TiB costs what
 * is touched and a clone shares what neither has changed.
 */
#ifndef SIM_HYPERVISOR_P2M_H
#define SIM_HYPERVISOR_P2M_H

#include "core/mem.h"

enum p2m_state {
    P2M_ABSENT,  /**< no frame: given one on first touch */
    P2M_PRESENT, /**< has a frame */
    P2M_KEPT,    /**< was dropped: nothing maps its frame, which comes back on the next touch */
};

struct p2m {
    struct mem words;
    uint64_t bytes; /**< of the space above: a gpa must be below */
    bool dropped;   /**< some frame was, at some time */
};

struct p2m_entry {
    enum p2m_state state;
    unsigned level;       /**< of the page of the space below that the frame is part of */
    bool write_protected; /**< the next write exits */
    bool withdrawn;       /**< by a move; the kernel in the VM has not written it since, so that
                             its own mapping of the frame is to be made again */
    uint64_t at;          /**< address of the frame in the space below */
};

/** An empty p2m for @p bytes of physical memory. False: no memory for its index. */
bool p2m_init(struct p2m *, uint64_t bytes);
void p2m_fini(struct p2m *);
/** Makes @p clone a copy. False: no memory. */
bool p2m_clone(struct p2m *clone, const struct p2m *);

/** The entry of the frame that holds @p gpa; absent beyond the end. */
struct p2m_entry p2m_get(const struct p2m *, gpa_t gpa);

/** Enters a page of @p level at @p gpa, both aligned to it: 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB. */
void p2m_set(struct p2m *, gpa_t gpa, unsigned level, uint64_t at);

/** Changes the entry of one frame: its state, and whether it is write-protected. */
void p2m_put(struct p2m *, gpa_t gpa, const struct p2m_entry *);

/** Makes the large page around @p gpa pages of the next smaller size. */
void p2m_split(struct p2m *, gpa_t gpa);

/** Whether no frame of the page of @p level around @p gpa has a frame yet, and all are inside. */
bool p2m_is_free(const struct p2m *, gpa_t gpa, unsigned level);

/** How many frames of 4 KiB have a frame below. Cost: what was ever entered. */
uint64_t p2m_count(const struct p2m *);

static inline uint64_t p2m_page_bytes(unsigned level)
{
    return (uint64_t)1 << (3 + 9 * level);
}

#endif
