#include "sim/hypervisor/shadow_pages.h"

#include "sim/array.h"

/* KVM's: 20 of 1000 of the VM's pages, and at least 64. */
static uint64_t limit_of(uint64_t memory)
{
    uint64_t pages = (memory >> FRAME_SHIFT) * 20 / 1000;
    return pages < 64 ? 64 : pages;
}

bool shadow_init(struct shadow *s, uint64_t memory, unsigned vcpus, uint64_t limit)
{
    *s = (struct shadow){.n = 1, .limit = limit ? limit : limit_of(memory), .vcpus = vcpus};
    s->bucket = calloc(SHADOW_BUCKETS, sizeof *s->bucket);
    s->vcpu = calloc(vcpus, sizeof *s->vcpu);
    return rmap_init(&s->rmap, memory) && s->bucket && s->vcpu;
}

void shadow_fini(struct shadow *s)
{
    rmap_fini(&s->rmap);
    free(s->page);
    free(s->bucket);
    free(s->unsynced);
    free(s->vcpu);
    *s = (struct shadow){0};
}

bool shadow_unshare(struct shadow *clone, const struct shadow *s)
{
    size_t buckets = SHADOW_BUCKETS;
    bool done = rmap_unshare(&clone->rmap, &s->rmap);
    done &= array_copy(&clone->page, &clone->room, s->page ? s->n : 0, sizeof *s->page);
    done &= array_copy(&clone->bucket, &buckets, s->bucket ? buckets : 0, sizeof *s->bucket);
    done &= array_copy(&clone->unsynced, &clone->unsynced_room, s->n_unsynced, sizeof *s->unsynced);
    done &= array_copy(&clone->vcpu, &clone->vcpus, s->vcpus, sizeof *s->vcpu);
    return done;
}

/* ---- finding ---- */

static uint32_t *bucket_of(const struct shadow *s, uint64_t number)
{
    return &s->bucket[number * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

uint32_t shadow_find(const struct shadow *s, const struct shadow_key *key)
{
    uint32_t page = *bucket_of(s, key->number);
    while (page && memcmp(&s->page[page].key, key, sizeof *key))
        page = s->page[page].next;
    return page;
}

uint32_t shadow_next_of(const struct shadow *s, uint64_t gfn, uint32_t page)
{
    page = page ? s->page[page].next : *bucket_of(s, gfn);
    while (page && (s->page[page].key.number != gfn || s->page[page].key.kind != SHADOW_GUEST))
        page = s->page[page].next;
    return page;
}

bool shadow_watches(const struct shadow *s, uint64_t gfn)
{
    uint32_t page = shadow_next_of(s, gfn, 0);
    while (page && s->page[page].unsynced)
        page = shadow_next_of(s, gfn, page);
    return page;
}

bool shadow_has_any(const struct shadow *s, uint64_t gfn, uint64_t n)
{
    for (uint32_t page = s->oldest; page; page = s->page[page].newer)
        if (s->page[page].key.kind == SHADOW_GUEST && s->page[page].key.number - gfn < n)
            return true;
    return false;
}

/* ---- coming and going ---- */

static void append(struct shadow *s, uint32_t number)
{
    struct shadow_page *page = &s->page[number];
    page->older = s->newest;
    if (s->newest)
        s->page[s->newest].newer = number;
    else
        s->oldest = number;
    s->newest = number;
}

static void take_out(struct shadow *s, uint32_t number)
{
    const struct shadow_page *page = &s->page[number];
    *(page->older ? &s->page[page->older].newer : &s->oldest) = page->newer;
    *(page->newer ? &s->page[page->newer].older : &s->newest) = page->older;
}

uint32_t shadow_add(struct shadow *s, const struct shadow_key *key)
{
    uint32_t number = s->free, *bucket = bucket_of(s, key->number);
    if (number) {
        s->free = s->page[number].next;
    } else {
        if (!array_reserve(&s->page, &s->room, s->n + 1, sizeof *s->page))
            return 0;
        number = (uint32_t)s->n++;
    }
    s->page[number] = (struct shadow_page){.key = *key, .next = *bucket};
    *bucket = number;
    append(s, number);
    s->live++;
    return number;
}

void shadow_remove(struct shadow *s, uint32_t number)
{
    uint32_t *at = bucket_of(s, s->page[number].key.number);
    while (*at != number)
        at = &s->page[*at].next;
    *at = s->page[number].next;
    take_out(s, number);
    shadow_set_unsynced(s, number, false);
    s->page[number] = (struct shadow_page){.next = s->free};
    s->free = number;
    s->live--;
}

bool shadow_set_unsynced(struct shadow *s, uint32_t number, bool unsynced)
{
    struct shadow_page *page = &s->page[number];
    if (unsynced == (page->unsynced != 0))
        return true;
    if (unsynced) {
        if (!array_reserve(&s->unsynced, &s->unsynced_room, s->n_unsynced + 1, sizeof *s->unsynced))
            return false;
        s->unsynced[s->n_unsynced++] = number;
        page->unsynced = (uint32_t)s->n_unsynced;
        return true;
    }
    uint32_t last = s->unsynced[--s->n_unsynced];
    s->unsynced[page->unsynced - 1] = last; /* the last takes its place */
    s->page[last].unsynced = page->unsynced;
    page->unsynced = 0;
    return true;
}
