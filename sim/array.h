/**
 * @file
 * Growable arrays of plain data, which is what a guest's and a hypervisor's state is made of: easy
 * to copy.
 */
#ifndef SIM_ARRAY_H
#define SIM_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/** Makes room for @p want items of @p item bytes, new room zeroed. False: no memory, unchanged. */
static inline bool array_reserve(void *array, size_t *room, size_t want, size_t item)
{
    void *old, *grown;
    memcpy(&old, array, sizeof old);
    if (want <= *room)
        return true;
    size_t more = *room * 2 > want ? *room * 2 : want < 16 ? 16 : want;
    if (!(grown = realloc(old, more * item)))
        return false;
    memset((char *)grown + *room * item, 0, (more - *room) * item);
    memcpy(array, &grown, sizeof grown);
    *room = more;
    return true;
}

/** Replaces the pointer at @p array by a copy of @p n items; @p room becomes n. False: no memory.
 */
static inline bool array_copy(void *array, size_t *room, size_t n, size_t item)
{
    void *old, *copy = n ? malloc(n * item) : NULL;
    memcpy(&old, array, sizeof old);
    if (copy)
        memcpy(copy, old, n * item);
    memcpy(array, &copy, sizeof copy);
    *room = copy ? n : 0;
    return copy || !n;
}

#endif
