#include "core/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Untouched memory: constants that every index may point at, so that reading needs no test.
 * Their owner count is 0 for ever, so a write replaces them and nobody frees them.
 */
static const struct frame zeroes;
#define Z    (struct frame *)&zeroes
#define Z8   Z, Z, Z, Z, Z, Z, Z, Z
#define Z64  Z8, Z8, Z8, Z8, Z8, Z8, Z8, Z8
#define Z512 Z64, Z64, Z64, Z64, Z64, Z64, Z64, Z64
static const struct region untouched = {.frame = {Z512, Z512, Z512, Z512}};
_Static_assert(REGION_FRAMES == 4 * 512, "the initializer above fills every frame");

static void frame_release(struct frame *frame)
{
    if (frame->owners && --frame->owners == 0)
        free(frame);
}

static void region_release(struct region *region)
{
    if (!region->owners || --region->owners)
        return;
    for (unsigned i = 0; i < REGION_FRAMES; i++)
        frame_release(region->frame[i]);
    free(region);
}

bool mem_init(struct mem *mem, uint64_t bytes)
{
    uint64_t regions = (bytes + low_bits(REGION_SHIFT)) >> REGION_SHIFT;
    *mem = (struct mem){.bytes = bytes, .regions = regions};
    mem->region = malloc(regions * sizeof *mem->region);
    if (!mem->region)
        return false;
    for (uint64_t i = 0; i < regions; i++)
        mem->region[i] = (struct region *)&untouched;
    return true;
}

void mem_fini(struct mem *mem)
{
    for (uint64_t i = 0; i < mem->regions; i++)
        region_release(mem->region[i]);
    free(mem->region);
    *mem = (struct mem){0};
}

bool mem_clone(struct mem *clone, const struct mem *mem)
{
    *clone = *mem;
    clone->region = malloc(mem->regions * sizeof *mem->region);
    if (!clone->region) {
        *clone = (struct mem){0};
        return false;
    }
    for (uint64_t i = 0; i < mem->regions; i++) {
        clone->region[i] = mem->region[i];
        if (mem->region[i]->owners)
            mem->region[i]->owners++;
    }
    return true;
}

static const struct frame *frame_at(const struct mem *mem, hpa_t at)
{
    return mem->region[at >> REGION_SHIFT]->frame[at >> FRAME_SHIFT & (REGION_FRAMES - 1)];
}

/* A region of our own in place of a shared or untouched one. */
static struct region *own_region(struct region **slot)
{
    struct region *shared = *slot;
    if (shared->owners == 1)
        return shared;
    struct region *own = malloc(sizeof *own);
    if (!own)
        return NULL;
    *own = *shared;
    own->owners = 1;
    for (unsigned i = 0; i < REGION_FRAMES; i++)
        if (own->frame[i]->owners)
            own->frame[i]->owners++;
    region_release(shared);
    return *slot = own;
}

/* For bytes in it to change. */
static struct frame *own_frame(struct mem *mem, hpa_t at)
{
    mem->changes++;
    struct region *region = own_region(&mem->region[at >> REGION_SHIFT]);
    if (!region)
        return NULL;
    struct frame **slot = &region->frame[at >> FRAME_SHIFT & (REGION_FRAMES - 1)];
    struct frame *shared = *slot;
    if (shared->owners == 1)
        return shared;
    struct frame *own = malloc(sizeof *own);
    if (!own)
        return NULL;
    *own = *shared;
    own->owners = 1;
    frame_release(shared);
    return *slot = own;
}

void mem_store(struct mem *mem, hpa_t at, uint64_t value, unsigned size)
{
    assert(mem_holds(mem, at, size) && (at & (FRAME_BYTES - 1)) + size <= FRAME_BYTES);
    struct frame *frame = own_frame(mem, at);
    if (frame)
        memcpy(frame->bytes + (at & (FRAME_BYTES - 1)), &value, size);
    else
        mem->exhausted = true;
}

void mem_read(const struct mem *mem, hpa_t at, void *bytes, uint64_t size)
{
    assert(mem_holds(mem, at, size));
    for (uint8_t *to = bytes; size;) {
        uint64_t offset = at & (FRAME_BYTES - 1), part = FRAME_BYTES - offset;
        part = part < size ? part : size;
        memcpy(to, frame_at(mem, at)->bytes + offset, part);
        to += part, at += part, size -= part;
    }
}

void mem_write(struct mem *mem, hpa_t at, const void *bytes, uint64_t size)
{
    assert(mem_holds(mem, at, size));
    for (const uint8_t *from = bytes; size;) {
        uint64_t offset = at & (FRAME_BYTES - 1), part = FRAME_BYTES - offset;
        part = part < size ? part : size;
        struct frame *frame = own_frame(mem, at);
        if (!frame) {
            mem->exhausted = true;
            return;
        }
        memcpy(frame->bytes + offset, from, part);
        from += part, at += part, size -= part;
    }
}

void mem_clear_frame(struct mem *mem, hpa_t at)
{
    if (frame_at(mem, at) == &zeroes)
        return;
    struct region *region = own_region(&mem->region[at >> REGION_SHIFT]);
    if (!region) {
        mem->exhausted = true;
        return;
    }
    struct frame **slot = &region->frame[at >> FRAME_SHIFT & (REGION_FRAMES - 1)];
    frame_release(*slot);
    *slot = Z;
    mem->changes++;
}

void mem_visit(const struct mem *mem, void (*visit)(void *, hpa_t, const uint8_t *), void *self)
{
    for (uint64_t r = 0; r < mem->regions; r++) {
        const struct region *region = mem->region[r];
        for (unsigned f = 0; region->owners && f < REGION_FRAMES; f++)
            if (region->frame[f] != &zeroes)
                visit(self, r << REGION_SHIFT | (hpa_t)f << FRAME_SHIFT, region->frame[f]->bytes);
    }
}
