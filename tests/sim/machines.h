/*
 * What the tests of whole machines share: machines compared to the last bit of state that can
 * matter, memory as a list of frames, and the records of a workload.
 */
#ifndef TESTS_SIM_MACHINES_H
#define TESTS_SIM_MACHINES_H

#include "tests/sim/run_support.h"

#include "sim/workload/trace.h"

/* Sanitizers and coverage change timings by an order of magnitude. */
static inline bool timings_count(void)
{
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
    return false;
#else
    const char *config = getenv("CONFIG");
    return !config || !strcmp(config, "release");
#endif
}

/* ---- memory ---- */

struct frames_seen {
    struct seen_frame {
        hpa_t at;
        const uint8_t *bytes;
    } * list;
    size_t n, room;
};

static inline void see_frame(void *self, hpa_t at, const uint8_t *bytes)
{
    struct frames_seen *seen = self;
    if (seen->n == seen->room) {
        seen->room = seen->room ? 2 * seen->room : 256;
        seen->list = realloc(seen->list, seen->room * sizeof *seen->list);
        cr_assert(seen->list != NULL);
    }
    seen->list[seen->n++] = (struct seen_frame){at, bytes};
}

/* A frame without bytes and one of zeroes are the same memory. */
static inline const uint8_t *next_frame(const struct frames_seen *s, size_t *i, hpa_t *at)
{
    static const uint8_t zeroes[FRAME_BYTES];
    while (*i < s->n && !memcmp(s->list[*i].bytes, zeroes, FRAME_BYTES))
        ++*i;
    *at = *i < s->n ? s->list[*i].at : UINT64_MAX;
    return *i < s->n ? s->list[(*i)++].bytes : NULL;
}

/* Whether two memories hold the same bytes, but for the bits of @mask in each 8-byte word. */
static inline bool same_memory_but(const struct mem *a, const struct mem *b, uint64_t mask)
{
    struct frames_seen x = {0}, y = {0};
    size_t i = 0, j = 0;
    bool same = a->bytes == b->bytes && a->exhausted == b->exhausted;
    mem_visit(a, see_frame, &x);
    mem_visit(b, see_frame, &y);
    for (bool more = true; same && more;) {
        hpa_t at, there;
        const uint8_t *p = next_frame(&x, &i, &at), *q = next_frame(&y, &j, &there);
        same = at == there;
        more = p && q;
        for (unsigned w = 0; same && more && w < FRAME_BYTES; w += 8) {
            uint64_t v, u;
            memcpy(&v, p + w, 8);
            memcpy(&u, q + w, 8);
            same = !((v ^ u) & ~mask);
        }
    }
    free(x.list);
    free(y.list);
    return same;
}

static inline bool same_memory(const struct mem *a, const struct mem *b)
{
    return same_memory_but(a, b, 0);
}

/* ---- one vCPU ---- */

static inline bool same_spaces(const struct mmu *a, const struct mmu *b)
{
    bool same = a->spaces == b->spaces && a->global == b->global && a->space[0] == b->space[0];
    for (unsigned i = 0; same && i < a->spaces; i++)
        same = a->known[i].vpid == b->known[i].vpid && a->known[i].pcid == b->known[i].pcid &&
               a->known[i].ep4ta == b->known[i].ep4ta;
    return same;
}

static inline bool same_registers(const struct mmu *a, const struct mmu *b)
{
    const struct registers *r = &a->registers, *s = &b->registers;
    return r->cr0 == s->cr0 && r->cr3 == s->cr3 && r->cr4 == s->cr4 && r->efer == s->efer &&
           r->pkru == s->pkru && a->stage[0].root == b->stage[0].root &&
           !memcmp(a->stage[0].top, b->stage[0].top, sizeof a->stage[0].top);
}

/* The first thing in which two vCPUs differ, or NULL. */
static inline const char *vcpu_difference(const struct vcpu *v, const struct vcpu *w)
{
    const struct mmu *a = v->mmu, *b = w->mmu;
    if (memcmp(a->tally.count, b->tally.count, sizeof a->tally.count))
        return "a counter";
    if (a->tally.cycles != b->tally.cycles)
        return "the cycles";
    if (!same_registers(a, b))
        return "the registers";
    if (!same_spaces(a, b))
        return "the address spaces";
    if (a->look.bytes != b->look.bytes || memcmp(&a->look, &b->look, a->look.bytes))
        return "the contents of a TLB or a cache";
    if (v->process != w->process || v->feed != w->feed || v->quantum != w->quantum ||
        v->idle != w->idle)
        return "whose turn it is";
    return NULL;
}

/* ---- the guest OS ---- */

static inline bool same_areas(const struct areas *a, const struct areas *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->list[i].start == b->list[i].start && a->list[i].last == b->list[i].last &&
               a->list[i].rights == b->list[i].rights && a->list[i].level == b->list[i].level;
    return same;
}

static inline bool same_processes(const struct guest *a, const struct guest *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        const struct process *p = &a->processes[i], *q = &b->processes[i];
        same = p->has_root == q->has_root && (!p->has_root || p->root == q->root) &&
               p->feed == q->feed && p->number == q->number && same_areas(&p->areas, &q->areas);
    }
    return same;
}

static inline bool same_frames(const struct frames *a, const struct frames *b)
{
    bool same = a->bottom == b->bottom && a->top == b->top;
    for (unsigned s = 0; same && s < FRAME_SIZES; s++) {
        const struct free_stack *x = &a->freed[s], *y = &b->freed[s];
        same = x->n == y->n && (!x->n || !memcmp(x->list, y->list, x->n * sizeof *x->list));
    }
    return same;
}

/* Room that one has and the other not is unused. */
static inline bool same_tables(const struct tables *a, const struct tables *b)
{
    size_t most = a->room > b->room ? a->room : b->room;
    bool same = a->bytes == b->bytes && a->most == b->most && a->spaces == b->spaces &&
                a->most_spaces == b->most_spaces;
    for (size_t i = 0; same && i < most; i++)
        same = (i < a->room ? a->used[i] : 0) == (i < b->room ? b->used[i] : 0);
    return same;
}

static inline bool same_residents(const struct reclaim *a, const struct reclaim *b)
{
    bool same = a->policy == b->policy && a->held == b->held && a->oldest == b->oldest;
    uint32_t at = a->oldest;
    for (uint64_t i = 0; same && i < a->held; i++, at = a->page[at].next) {
        const struct resident *p = &a->page[at], *q = &b->page[at];
        same = p->process == q->process && p->referenced == q->referenced && p->gva == q->gva &&
               p->next == q->next && p->previous == q->previous && p->next_use == q->next_use;
    }
    return same;
}

static inline bool same_swap(const struct swap *a, const struct swap *b)
{
    bool same = a->used == b->used && a->slots == b->slots;
    for (size_t i = 0; same && i < a->room; i++) {
        const struct swap_page *p = &a->pages[i];
        uint64_t slot = p->slot;
        same = !p->page || (swap_find(b, p->process, p->page - 1, &slot) && slot == p->slot);
    }
    return same;
}

static inline const char *guest_difference(const struct vm *a, const struct vm *b)
{
    if (!same_processes(&a->guest, &b->guest))
        return "the guest's processes";
    if (!same_frames(&a->guest.frames, &b->guest.frames))
        return "the guest's free frames";
    if (!same_tables(&a->guest.tables, &b->guest.tables))
        return "the guest's counts of its tables";
    if (!same_residents(&a->guest.reclaim, &b->guest.reclaim) || a->touches != b->touches)
        return "the guest's resident pages";
    if (!same_swap(&a->guest.swap, &b->guest.swap) || !same_memory(&a->disk, &b->disk))
        return "the guest's backing store";
    return NULL;
}

/* ---- the whole ---- */

/* The first thing in which two machines differ, or NULL. Where their workloads stand: see below. */
static inline const char *machine_difference(const struct machine *a, const struct machine *b)
{
    const char *what = NULL;
    if (a->accesses != b->accesses || a->signals != b->signals)
        return "the number of accesses or signals";
    if (a->finished != b->finished || a->err.code != b->err.code)
        return "how it ended";
    for (unsigned i = 0; !what && i < a->n_vcpus; i++)
        what = vcpu_difference(&a->vcpu[i], &b->vcpu[i]);
    for (unsigned i = 0; !what && i < a->n_vms; i++)
        what = guest_difference(&a->vm[i], &b->vm[i]);
    if (what)
        return what;
    if (!a->llc != !b->llc || (a->llc && memcmp(a->llc, b->llc, a->llc->bytes)))
        return "the last-level cache";
    return same_memory(&a->mem, &b->mem) ? NULL : "memory";
}

/* As machine_difference, and the workloads: what each would do next. */
static inline const char *state_difference(const struct machine *a, const struct machine *b)
{
    for (unsigned v = 0; v < a->n_vms; v++)
        for (unsigned i = 0; i < a->vm[v].n_feeds; i++) {
            const struct feed *f = &a->vm[v].feeds[i], *g = &b->vm[v].feeds[i];
            size_t rest = (f->n - f->at) * sizeof *f->batch;
            if (f->phase != g->phase || f->record != g->record || f->n - f->at != g->n - g->at ||
                memcmp(f->batch + f->at, g->batch + g->at, rest) ||
                f->generator.made != g->generator.made ||
                f->generator.place.state != g->generator.place.state ||
                f->generator.dice.state != g->generator.dice.state)
                return "where a workload stands";
        }
    return machine_difference(a, b);
}

/* Goes on to the end, in runs of @piece accesses. */
static inline void run_out(struct machine *m, uint64_t piece)
{
    while (!m->finished && !m->err.code)
        machine_run(m, piece);
}

/* One counter, over all vCPUs of the first VM. */
static inline uint64_t slot_of(const struct machine *m, unsigned slot)
{
    struct tally sum;
    machine_tally(m, 0, &sum);
    return sum.count[slot];
}

static inline uint64_t total_of(const struct machine *m, enum event_kind kind)
{
    struct tally sum;
    machine_tally(m, 0, &sum);
    return tally_total(&sum, kind);
}

#define COUNT_OF(m, kind, level, detail) slot_of(m, SLOT(kind, 0, level, detail))

/* ---- the records of a workload ---- */

/* Writes all that a process's generators do into a trace. The machine's own feed stays. */
static inline void write_trace(const struct machine *m, unsigned process, const char *path)
{
    struct err err = {0};
    struct feed *feed = malloc(sizeof *feed);
    struct trace_writer *writer = trace_writer_open(path, &err);
    cr_assert(feed && writer, "%s", err.text);
    *feed = m->vm[0].feeds[process];
    while (feed_fill(feed, &err)) {
        cr_assert(trace_writer_put(writer, feed->batch + feed->at, feed->n - feed->at, &err));
        feed->at = feed->n;
    }
    cr_assert_eq(err.code, EXIT_OK, "%s", err.text);
    cr_assert(trace_writer_close(writer, &err), "%s", err.text);
    free(feed);
}

#endif
