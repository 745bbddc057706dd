#include "sim/guest/areas.h"

#include "sim/array.h"

void areas_fini(struct areas *a)
{
    free(a->list);
    *a = (struct areas){0};
}

bool areas_unshare(struct areas *a)
{
    return array_copy(&a->list, &a->room, a->n, sizeof *a->list);
}

/* The number of areas that end before @p gva. */
static size_t position(const struct areas *a, gva_t gva)
{
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (a->list[middle].last < gva)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct area *areas_find(const struct areas *a, gva_t gva)
{
    size_t i = position(a, gva);
    return i < a->n && a->list[i].start <= gva ? &a->list[i] : NULL;
}

void areas_gap(const struct areas *a, gva_t gva, gva_t *start, gva_t *last)
{
    size_t i = position(a, gva);
    *start = i ? a->list[i - 1].last + 1 : 0;
    *last = i < a->n ? a->list[i].start - 1 : UINT64_MAX;
}

/* Cuts the area that holds both gva - 1 and gva in two. */
static bool split(struct areas *a, gva_t gva)
{
    size_t i = position(a, gva);
    if (i == a->n || a->list[i].start >= gva)
        return true;
    if (!array_reserve(&a->list, &a->room, a->n + 1, sizeof *a->list))
        return false;
    memmove(a->list + i + 1, a->list + i, (a->n - i) * sizeof *a->list);
    a->n++;
    a->list[i].last = gva - 1;
    a->list[i + 1].start = gva;
    return true;
}

static bool split_around(struct areas *a, gva_t start, gva_t last)
{
    return split(a, start) && (last == UINT64_MAX || split(a, last + 1));
}

bool areas_remove(struct areas *a, gva_t start, gva_t last)
{
    if (!split_around(a, start, last))
        return false;
    size_t from = position(a, start), to = from;
    while (to < a->n && a->list[to].start <= last)
        to++;
    if (to > from) /* an empty list is NULL, which memmove doesn't take */
        memmove(a->list + from, a->list + to, (a->n - to) * sizeof *a->list);
    a->n -= to - from;
    return true;
}

bool areas_insert(struct areas *a, const struct area *area)
{
    if (!areas_remove(a, area->start, area->last) ||
        !array_reserve(&a->list, &a->room, a->n + 1, sizeof *a->list))
        return false;
    size_t i = position(a, area->start);
    memmove(a->list + i + 1, a->list + i, (a->n - i) * sizeof *a->list);
    a->list[i] = *area;
    a->n++;
    return true;
}

bool areas_protect(struct areas *a, gva_t start, gva_t last, uint32_t rights)
{
    if (!split_around(a, start, last))
        return false;
    for (size_t i = position(a, start); i < a->n && a->list[i].start <= last; i++)
        a->list[i].rights = rights;
    return true;
}
