#include "sim/guest/swap.h"

#include "sim/array.h"

void swap_fini(struct swap *s)
{
    free(s->pages);
    *s = (struct swap){0};
}

bool swap_unshare(struct swap *s)
{
    return array_copy(&s->pages, &s->room, s->room, sizeof *s->pages);
}

/* Where a page is, or would be. */
static struct swap_page *probe(const struct swap *s, unsigned process, uint64_t page)
{
    uint64_t hash = (page * UINT64_C(0x9e3779b97f4a7c15) ^ process) * UINT64_C(0xbf58476d1ce4e5b9);
    size_t i = hash >> 20 & (s->room - 1);
    while (s->pages[i].page && (s->pages[i].page != page + 1 || s->pages[i].process != process))
        i = (i + 1) & (s->room - 1);
    return &s->pages[i];
}

bool swap_find(const struct swap *s, unsigned process, uint64_t page, uint64_t *slot)
{
    const struct swap_page *p = s->used ? probe(s, process, page) : NULL;
    if (!p || !p->page)
        return false;
    *slot = p->slot;
    return true;
}

/* Puts everything into a table of @p room. False: no memory, unchanged. */
static bool rebuild(struct swap *s, size_t room)
{
    struct swap next = {.room = room, .slots = s->slots};
    if (!(next.pages = calloc(room, sizeof *next.pages)))
        return false;
    for (size_t i = 0; i < s->room; i++)
        if (s->pages[i].page) {
            *probe(&next, s->pages[i].process, s->pages[i].page - 1) = s->pages[i];
            next.used++;
        }
    free(s->pages);
    *s = next;
    return true;
}

bool swap_slot(struct swap *s, unsigned process, uint64_t page, uint64_t *slot)
{
    if (swap_find(s, process, page, slot))
        return true;
    if ((s->used + 1) * 2 > s->room && !rebuild(s, s->room ? s->room * 2 : 64))
        return false;
    *slot = s->slots++;
    *probe(s, process, page) =
        (struct swap_page){.page = page + 1, .slot = *slot, .process = process};
    s->used++;
    return true;
}

/* Open addressing has no simple removal: what stays is put into a fresh table. */
void swap_forget(struct swap *s, unsigned process, uint64_t first, uint64_t last)
{
    bool any = false;
    for (size_t i = 0; i < s->room; i++) {
        struct swap_page *p = &s->pages[i];
        if (p->page && p->process == process && p->page - 1 >= first && p->page - 1 <= last) {
            p->page = UINT64_MAX; /* no page number is that large: never found again */
            any = true;
        }
    }
    if (!any)
        return;
    struct swap old = *s;
    *s = (struct swap){.slots = old.slots};
    for (size_t i = 0; i < old.room; i++) {
        uint64_t slot;
        const struct swap_page *p = &old.pages[i];
        if (p->page && p->page != UINT64_MAX && swap_slot(s, p->process, p->page - 1, &slot))
            probe(s, p->process, p->page - 1)->slot = p->slot;
    }
    s->slots = old.slots;
    free(old.pages);
}
