/**
 * @file
 * Host-physical memory, sparse and cloneable.
 *
 * Modelled: every byte that somebody wrote. A frame without bytes reads as zero, so a machine of
 * 1 TiB costs its index (1 MiB) and what is written. Simplified: no memory types, no MMIO.
 * Not modelled: latency; that is the caches' and the cost table's business.
 *
 * A flat index has one pointer per 8 MiB region, a region one pointer per 4 KiB frame. Both are
 * shared copy-on-write among clones and counted, not atomically: clones of one machine belong to
 * one thread.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <string.h>

#include "core/addr.h"

enum { FRAME_SHIFT = 12, FRAME_BYTES = 1 << FRAME_SHIFT };

enum { REGION_SHIFT = 23, REGION_FRAMES = 1 << (REGION_SHIFT - FRAME_SHIFT) };

struct frame {
    uint8_t bytes[FRAME_BYTES];
    uint32_t owners;
};

struct region {
    struct frame *frame[REGION_FRAMES]; /**< never NULL: the untouched ones are one of zeroes */
    uint32_t owners;
};

struct mem {
    uint64_t bytes;         /**< size: an access must lie wholly below */
    uint64_t regions;       /**< length of the index */
    struct region **region; /**< the flat index; never NULL entries */
    uint64_t changes;       /**< grows whenever bytes change */
    bool exhausted;         /**< the host had no memory for a write, which was lost: stop */
};

/** Memory of @p bytes, all zero. False when the host has no memory for the index. */
bool mem_init(struct mem *, uint64_t bytes);

/** Gives back everything that no clone shares. */
void mem_fini(struct mem *);

/**
 * Makes @p clone a copy of @p mem that shares its frames until either writes one.
 * Cost: one pointer per 8 MiB. False when the host has no memory for it.
 */
bool mem_clone(struct mem *clone, const struct mem *mem);

/** Whether @p size bytes from @p at on exist. */
static inline bool mem_holds(const struct mem *mem, hpa_t at, uint64_t size)
{
    return at < mem->bytes && size <= mem->bytes - at;
}

/**
 * The little-endian word of @p size bytes (1, 2, 4 or 8) at @p at, which may not cross a frame.
 * Precondition: mem_holds(mem, at, size). Cost: three dependent loads.
 */
static inline __attribute__((always_inline)) uint64_t mem_load(const struct mem *mem, hpa_t at,
                                                               unsigned size)
{
    const struct frame *frame =
        mem->region[at >> REGION_SHIFT]->frame[at >> FRAME_SHIFT & (REGION_FRAMES - 1)];
    const uint8_t *bytes = frame->bytes + (at & (FRAME_BYTES - 1));
    uint64_t value = 0;
    if (__builtin_expect(size == 8, 1)) /* constant lengths become single loads */
        memcpy(&value, bytes, 8);
    else
        memcpy(&value, bytes, size);
    return value;
}

/** Has the host's caches fetch the byte at @p at, if there is one: a load will come. */
static inline __attribute__((always_inline)) void mem_foresee(const struct mem *mem, hpa_t at)
{
    if (__builtin_expect(at < mem->bytes, 1))
        __builtin_prefetch(
            mem->region[at >> REGION_SHIFT]->frame[at >> FRAME_SHIFT & (REGION_FRAMES - 1)]->bytes +
            (at & (FRAME_BYTES - 1)));
}

/**
 * Writes the low @p size bytes of @p value at @p at; same preconditions. Allocates the frame on
 * its first write, and copies it when a clone shares it.
 */
void mem_store(struct mem *, hpa_t at, uint64_t value, unsigned size);

/** Copies @p size bytes out of memory; any alignment, any length below mem->bytes. */
void mem_read(const struct mem *, hpa_t at, void *bytes, uint64_t size);

/** Copies @p size bytes into memory; any alignment, any length below mem->bytes. */
void mem_write(struct mem *, hpa_t at, const void *bytes, uint64_t size);

/** Makes the whole frame at @p at (aligned) zero again and gives its bytes back. */
void mem_clear_frame(struct mem *, hpa_t at);

/** Calls @p visit for each frame that has bytes, in address order. */
void mem_visit(const struct mem *, void (*visit)(void *self, hpa_t at, const uint8_t *bytes),
               void *self);

#endif
