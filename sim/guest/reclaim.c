#include "sim/guest/reclaim.h"

#include "sim/array.h"

void reclaim_fini(struct reclaim *r)
{
    free(r->page);
    r->page = NULL;
}

bool reclaim_unshare(struct reclaim *r)
{
    return array_copy(&r->page, &r->room, r->room, sizeof *r->page);
}

static void unlink_page(struct reclaim *r, uint32_t frame)
{
    struct resident *page = &r->page[frame];
    r->page[page->previous].next = page->next;
    r->page[page->next].previous = page->previous;
    if (r->oldest == frame)
        r->oldest = page->next == frame ? RESIDENT_NONE : page->next;
}

/* Becomes the youngest: the one before the oldest. */
static void link_page(struct reclaim *r, uint32_t frame)
{
    struct resident *page = &r->page[frame];
    if (r->oldest == RESIDENT_NONE) {
        r->oldest = page->next = page->previous = frame;
        return;
    }
    page->next = r->oldest;
    page->previous = r->page[r->oldest].previous;
    r->page[page->previous].next = r->page[r->oldest].previous = frame;
}

bool reclaim_add(struct reclaim *r, uint32_t frame, unsigned process, gva_t gva)
{
    if (!array_reserve(&r->page, &r->room, (size_t)frame + 1, sizeof *r->page))
        return false;
    r->page[frame] = (struct resident){.process = process, .gva = gva, .held = true};
    link_page(r, frame);
    r->held++;
    return true;
}

/* A guest OS whose tables a script has edited may speak of any frame. */
static bool holds(const struct reclaim *r, uint32_t frame)
{
    return frame < r->room && r->page[frame].held;
}

void reclaim_remove(struct reclaim *r, uint32_t frame)
{
    if (!holds(r, frame))
        return;
    unlink_page(r, frame);
    r->page[frame].held = false;
    r->held--;
}

void reclaim_touch(struct reclaim *r, uint32_t frame, uint64_t next_use)
{
    if (!holds(r, frame))
        return;
    r->page[frame].referenced = true;
    r->page[frame].next_use = next_use;
    if (r->policy == RECLAIM_LRU) {
        unlink_page(r, frame);
        link_page(r, frame);
    }
}

/* The hand is the oldest: passing over a page makes it the youngest. */
static uint32_t second_chance(struct reclaim *r, bool (*referenced)(void *, uint32_t), void *self)
{
    while (r->oldest == r->pinned || referenced(self, r->oldest))
        r->oldest = r->page[r->oldest].next;
    return r->oldest;
}

/* The oldest that is not pinned, of two or more. */
static uint32_t first_free(const struct reclaim *r)
{
    return r->oldest == r->pinned ? r->page[r->oldest].next : r->oldest;
}

static uint32_t farthest(const struct reclaim *r)
{
    uint32_t best = first_free(r);
    for (uint32_t i = r->page[best].next; i != r->oldest; i = r->page[i].next)
        if (i != r->pinned && r->page[i].next_use > r->page[best].next_use)
            best = i;
    return best;
}

uint32_t reclaim_victim(struct reclaim *r, bool (*referenced)(void *, uint32_t), void *self)
{
    if (r->held == 1 && r->oldest == r->pinned)
        return RESIDENT_NONE;
    switch (r->policy) {
    case RECLAIM_CLOCK:
        return second_chance(r, referenced, self);
    case RECLAIM_OPT:
        return farthest(r);
    default:
        return first_free(r);
    }
}
