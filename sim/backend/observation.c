/* What a backend saw: lists that grow, and giving them back. */
#include <stdlib.h>

#include "sim/backend/backend.h"

bool backend_stopped(const struct backend *b, struct err *err)
{
    return b->stop && *b->stop && !err_set(err, EXIT_NO, "interrupted");
}

bool seen_add(struct seen_list *list, uint64_t word)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        uint64_t *words = realloc(list->word, room * sizeof *words);
        if (!words)
            return false;
        list->word = words;
        list->room = room;
    }
    list->word[list->n++] = word;
    return true;
}

static int in_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void seen_sort(struct seen_list *list)
{
    size_t n = 0;
    if (list->n)
        qsort(list->word, list->n, sizeof *list->word, in_order);
    for (size_t i = 0; i < list->n; i++)
        if (!n || list->word[n - 1] != list->word[i])
            list->word[n++] = list->word[i];
    list->n = n;
}

bool seen_has(const struct seen_list *list, uint64_t word)
{
    return list->n && bsearch(&word, list->word, list->n, sizeof word, in_order);
}

bool seen_fault(struct observation *seen, uint64_t access, const struct outcome *o)
{
    if (seen->n_faults == seen->room_faults) {
        size_t room = seen->room_faults ? 2 * seen->room_faults : 64;
        struct seen_fault *faults = realloc(seen->fault, room * sizeof *faults);
        if (!faults)
            return false;
        seen->fault = faults;
        seen->room_faults = room;
    }
    seen->fault[seen->n_faults++] = (struct seen_fault){
        .access = access, .cr2 = o->cr2, .error_code = o->error_code, .vector = (uint8_t)o->vector};
    return true;
}

void observation_fini(struct observation *seen)
{
    struct seen_list *lists[] = {&seen->touched, &seen->written, &seen->returned, &seen->rewritten,
                                 &seen->dirty,   &seen->roots,   &seen->refused};
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++)
        free(lists[i]->word);
    free(seen->outcome);
    free(seen->memory);
    free(seen->fault);
    *seen = (struct observation){0};
}
