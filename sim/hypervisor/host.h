/**
 * @file
 * The host's frames: which are free, and who owns the others, for what.
 *
 * Modelled: frames of 4 KiB, and runs of them for large pages and flat tables. Each has an owner, a
 * use, and for a guest's frame its gfn: with the p2m, that is the reverse map of second stages.
 */
#ifndef SIM_HYPERVISOR_HOST_H
#define SIM_HYPERVISOR_HOST_H

#include "core/mem.h"
#include "sim/frames.h"

enum frame_use {
    FRAME_FREE,
    FRAME_GUEST,        /**< a VM's memory */
    FRAME_SECOND_STAGE, /**< a table of a second stage */
    FRAME_SHADOW,       /**< a shadow table */
    FRAME_LOG,          /**< a page-modification log */
};

/** Who has a frame. */
struct frame_owner {
    enum frame_use use;
    unsigned vm;
    uint64_t gfn; /**< FRAME_GUEST: which of the VM's; FRAME_SHADOW: which of its shadow pages */
};

struct host {
    struct frames frames;
    struct mem owners; /**< two words per frame */
};

/** All of @p bytes free, the first frame apart. False: no memory. */
bool host_init(struct host *, uint64_t bytes);
void host_fini(struct host *);
/** Makes @p clone, a byte copy of @p host, own its state. False: no memory; call host_fini. */
bool host_clone(struct host *clone, const struct host *host);

/**
 * Takes @p bytes, a power of two from 4 KiB on, aligned to their size; @p level: of the page that
 * they are, 0 for a table. The owner's gfn is that of the first frame. False: the host has no more.
 */
bool host_take(struct host *, unsigned level, uint64_t bytes, const struct frame_owner *,
               hpa_t *at);

/** Gives back what was taken so; a table must be all zero again. */
void host_give(struct host *, unsigned level, uint64_t bytes, hpa_t at);

/** Who has the frame of @p at. */
struct frame_owner host_owner(const struct host *, hpa_t at);

#endif
