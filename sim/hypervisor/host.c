#include "sim/hypervisor/host.h"

/* Two words per frame: use and VM, then the gfn. */
enum { OWNER_BYTES = 16, VM_SHIFT = 8 };

static uint64_t place_of(hpa_t at)
{
    return (at >> FRAME_SHIFT) * OWNER_BYTES;
}

bool host_init(struct host *h, uint64_t bytes)
{
    frames_init(&h->frames, FRAME_BYTES, bytes & ~low_bits(FRAME_SHIFT));
    return mem_init(&h->owners, place_of(bytes + FRAME_BYTES - 1) + OWNER_BYTES);
}

void host_fini(struct host *h)
{
    frames_fini(&h->frames);
    mem_fini(&h->owners);
}

bool host_clone(struct host *clone, const struct host *h)
{
    clone->owners = (struct mem){0};
    return frames_unshare(&clone->frames) & mem_clone(&clone->owners, &h->owners);
}

static void set_owner(struct host *h, hpa_t at, uint64_t bytes, const struct frame_owner *owner)
{
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES) {
        uint64_t place = place_of(at + done);
        mem_store(&h->owners, place, owner->use | (uint64_t)owner->vm << VM_SHIFT, 8);
        mem_store(&h->owners, place + 8, owner->gfn + (done >> FRAME_SHIFT), 8);
    }
}

bool host_take(struct host *h, unsigned level, uint64_t bytes, const struct frame_owner *owner,
               hpa_t *at)
{
    if (!frames_take(&h->frames, level, bytes, at))
        return false;
    set_owner(h, *at, bytes, owner);
    return true;
}

void host_give(struct host *h, unsigned level, uint64_t bytes, hpa_t at)
{
    set_owner(h, at, bytes, &(struct frame_owner){.use = FRAME_FREE});
    frames_give(&h->frames, level, at);
}

struct frame_owner host_owner(const struct host *h, hpa_t at)
{
    uint64_t word = mem_load(&h->owners, place_of(at), 8);
    return (struct frame_owner){.use = (enum frame_use)(word & low_bits(VM_SHIFT)),
                                .vm = (unsigned)(word >> VM_SHIFT),
                                .gfn = mem_load(&h->owners, place_of(at) + 8, 8)};
}
