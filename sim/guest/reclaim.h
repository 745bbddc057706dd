/**
 * @file
 * Page replacement: which page goes when the guest's programs hold all the frames they may.
 *
 * Modelled: FIFO, exact LRU, clock (second chance, one hand), OPT (Belady). Simplified: LRU and OPT
 * see every access, as textbooks have it and no kernel could; clock uses the A bit where the format
 * has one; the first page of an access over a page edge stays until the second is there, where a
 * processor would begin anew. Not modelled: read-ahead, watermarks, active and inactive lists.
 * Source: Belady, IBM Systems Journal 5(2), 1966; Corbato, "A paging experiment", 1968.
 */
#ifndef SIM_GUEST_RECLAIM_H
#define SIM_GUEST_RECLAIM_H

#include "core/addr.h"
#include "sim/config.h"

enum { RESIDENT_NONE = UINT32_MAX };

/** One frame that a program's page is in. */
struct resident {
    uint32_t process;
    bool held;               /**< in the ring */
    bool referenced;         /**< since the clock's hand passed */
    uint32_t next, previous; /**< in the ring, from the oldest on */
    gva_t gva;
    uint64_t next_use; /**< OPT: number of the access that uses it next */
};

struct reclaim {
    enum reclaim_policy policy;
    uint64_t limit; /**< frames */
    uint64_t held;
    uint32_t oldest;       /**< of the ring; RESIDENT_NONE when empty */
    uint32_t pinned;       /**< must stay: an access under way has it; RESIDENT_NONE: none */
    struct resident *page; /**< by frame number */
    size_t room;
};

void reclaim_fini(struct reclaim *);
/** Gives @p reclaim a list of its own. False: no memory. */
bool reclaim_unshare(struct reclaim *);

/** A page has come into a frame. False: no memory. */
bool reclaim_add(struct reclaim *, uint32_t frame, unsigned process, gva_t gva);

/** A page has left its frame, if one was there. */
void reclaim_remove(struct reclaim *, uint32_t frame);

/** The page in @p frame, if any, was accessed; the access that uses it next is number @p next_use.
 */
void reclaim_touch(struct reclaim *, uint32_t frame, uint64_t next_use);

/**
 * The frame to take, or RESIDENT_NONE if all are pinned. Clock asks @p referenced, which answers
 * whether the page was accessed since it last asked, and forgets it.
 */
uint32_t reclaim_victim(struct reclaim *, bool (*referenced)(void *self, uint32_t frame),
                        void *self);

#endif
