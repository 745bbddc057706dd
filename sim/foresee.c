/*
 * The future, for OPT: a clone runs everything under LRU and writes down which pages are touched.
 * Which page is touched when does not depend on which pages are in memory, as long as nothing
 * depends on the clock.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/parts.h"
#include "sim/run.h"

/* The pages of one VM, as they are touched. */
struct foresight {
    uint64_t *page; /* process, and page number; then: when it is touched next */
    uint64_t n, room;
};

bool foresee_touch(struct foresight *f, unsigned process, uint64_t page)
{
    if (f->n == f->room) {
        uint64_t room = f->room ? 2 * f->room : 1024;
        uint64_t *grown = realloc(f->page, room * sizeof *grown);
        if (!grown)
            return false;
        f->page = grown;
        f->room = room;
    }
    f->page[f->n++] = (uint64_t)process << 48 ^ page;
    return true;
}

/* ---- from pages to next uses ---- */

/* Where each page was seen last, going backwards: open addressing, linear probing. */
struct seen {
    struct {
        uint64_t page, at; /* at: UINT64_MAX where the slot is free */
    } * slot;
    uint64_t mask, n;
};

static uint64_t *find(const struct seen *seen, uint64_t page)
{
    uint64_t i = page * 0x9e3779b97f4a7c15u >> 20;
    while (seen->slot[i & seen->mask].at != UINT64_MAX && seen->slot[i & seen->mask].page != page)
        i++;
    seen->slot[i & seen->mask].page = page;
    return &seen->slot[i & seen->mask].at;
}

static bool make_room(struct seen *seen)
{
    struct seen old = *seen;
    uint64_t size = old.slot ? 2 * (old.mask + 1) : 1024;
    if (old.slot && old.n < old.mask / 2)
        return true;
    if (!(seen->slot = malloc(size * sizeof *seen->slot))) {
        seen->slot = old.slot;
        return false;
    }
    memset(seen->slot, 0xff, size * sizeof *seen->slot);
    seen->mask = size - 1;
    for (uint64_t i = 0; old.slot && i <= old.mask; i++)
        if (old.slot[i].at != UINT64_MAX)
            *find(seen, old.slot[i].page) = old.slot[i].at;
    free(old.slot);
    return true;
}

static bool turn_into_next_uses(struct foresight *f)
{
    struct seen seen = {0};
    bool room = true;
    for (uint64_t i = f->n; i-- && (room = make_room(&seen));) {
        uint64_t *at = find(&seen, f->page[i]), next = *at;
        seen.n += next == UINT64_MAX;
        *at = i;
        f->page[i] = next;
    }
    free(seen.slot);
    return room;
}

/* ---- the run ahead ---- */

static bool check(const struct scenario *s, unsigned vm, struct err *err)
{
    const struct vm_config *config = &s->machine.vms[vm];
    if (config->vcpus > 1)
        return err_set(err, EXIT_USAGE,
                       "vm %s: reclaim opt can't foresee several vCPUs, whose order depends on "
                       "their clocks: give it one",
                       config->name);
    for (unsigned i = 0; i < s->n_script; i++)
        if (s->script[i].vm == vm && s->script[i].at_time)
            return err_set(err, EXIT_USAGE,
                           "vm %s: reclaim opt can't foresee script item %u, which is placed by "
                           "time: place it by an access number",
                           config->name, i);
    return true;
}

/* Runs a clone to the end, writing down what is touched. */
static bool run_ahead(const struct scenario *s, const struct machine *m, struct err *err)
{
    struct machine *clone = machine_clone(m);
    struct err ignored = {0}; /* the run itself will meet the same, and say so */
    if (!clone)
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    for (unsigned v = 0; v < clone->n_vms; v++)
        if (clone->vm[v].config->reclaim == RECLAIM_OPT)
            clone->vm[v].guest.reclaim.policy = RECLAIM_LRU;
    run_scenario(s, clone, NULL, &ignored);
    machine_free(clone);
    return true;
}

static bool foresee_vm(const struct scenario *s, struct machine *m, unsigned vm, struct err *err)
{
    struct future *future = &m->shared->futures[vm];
    struct foresight seen = {0};
    future->recording = &seen;
    bool done = run_ahead(s, m, err);
    future->recording = NULL;
    if (done && !turn_into_next_uses(&seen))
        done = err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory for reclaim opt");
    if (!done)
        free(seen.page);
    else
        *future = (struct future){.next_use = seen.page, .n = seen.n};
    return done;
}

bool run_foresee(const struct scenario *s, struct machine *m, struct err *err)
{
    for (unsigned v = 0; v < m->n_vms; v++)
        if (m->vm[v].config->reclaim == RECLAIM_OPT &&
            (!check(s, v, err) || !foresee_vm(s, m, v, err)))
            return false;
    return true;
}
