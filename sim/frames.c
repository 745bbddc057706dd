#include "sim/frames.h"

#include "sim/array.h"

void frames_init(struct frames *f, gpa_t bottom, gpa_t top)
{
    *f = (struct frames){.bottom = bottom, .top = top};
}

void frames_fini(struct frames *f)
{
    for (unsigned size = 0; size < FRAME_SIZES; size++)
        free(f->freed[size].list);
    *f = (struct frames){0};
}

bool frames_unshare(struct frames *f)
{
    bool done = true;
    for (unsigned size = 0; size < FRAME_SIZES; size++) {
        struct free_stack *s = &f->freed[size];
        done &= array_copy(&s->list, &s->room, s->n, sizeof *s->list);
    }
    return done;
}

bool frames_take(struct frames *f, unsigned size, uint64_t bytes, gpa_t *at)
{
    struct free_stack *freed = &f->freed[size];
    if (freed->n) {
        *at = freed->list[--freed->n];
        return true;
    }
    if (size <= 1) {
        gpa_t start = (f->bottom + bytes - 1) & ~(bytes - 1);
        if (start > f->top || f->top - start < bytes)
            return false;
        *at = start;
        f->bottom = start + bytes;
        return true;
    }
    gpa_t start = f->top & ~(bytes - 1);
    if (start < bytes || start - bytes < f->bottom)
        return false;
    *at = f->top = start - bytes;
    return true;
}

/* Without memory to remember it the piece is lost to the guest, which is safe. */
void frames_give(struct frames *f, unsigned size, gpa_t at)
{
    struct free_stack *freed = &f->freed[size];
    if (array_reserve(&freed->list, &freed->room, freed->n + 1, sizeof *freed->list))
        freed->list[freed->n++] = at;
}
