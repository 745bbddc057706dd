/* A scenario from its first script item to its workloads' end. */
#include "sim/run.h"

#include <stdlib.h>

enum { SLICE = 1 << 20 /* accesses between two looks at whether to stop */ };

struct run {
    const struct scenario *scenario;
    struct machine *machine;
    const struct run_hooks *hooks;
    uint64_t made; /* accesses of the workloads */
    bool stop;     /* somebody wants no more */
};

static bool going(struct run *r)
{
    const struct machine *m = r->machine;
    if (r->hooks && r->hooks->progress && !r->stop)
        r->stop = r->hooks->progress(r->hooks->self, m->accesses);
    return !r->stop && !m->err.code;
}

/* Lets the workloads make @p n accesses, or run until the clock reaches @p until. */
static void let_run(struct run *r, uint64_t n, cycles_t until)
{
    struct machine *m = r->machine;
    while (n && going(r)) {
        uint64_t slice = n < SLICE ? n : SLICE;
        uint64_t made =
            until == UINT64_MAX ? machine_run(m, slice) : machine_run_until(m, slice, until);
        r->made += made;
        n -= made;
        if (made < slice)
            break;
    }
}

/* Whether there is such memory; whoever listens reads the words: machine_dump. */
static void do_dump(const struct run *r, const struct script_item *item, struct outcome *o)
{
    uint64_t word;
    gpa_t last = item->gpa + 8 * (item->length - 1);
    if (!machine_dump(r->machine, item->vm, item->gpa, &word, 1) || last < item->gpa ||
        !machine_dump(r->machine, item->vm, last, &word, 1))
        *o = (struct outcome){.kind = OUTCOME_STOP, .words = "dump: no memory at that gpa"};
}

/* False: nothing more is to be done. */
static bool do_item(struct run *r, unsigned index)
{
    const struct script_item *item = &r->scenario->script[index];
    struct outcome o = {.kind = OUTCOME_OK};
    if (item->verb == VERB_run)
        let_run(r, item->length, UINT64_MAX);
    else if (item->verb == VERB_dump)
        do_dump(r, item, &o);
    else
        machine_do(r->machine, item, &o);
    if (r->hooks && r->hooks->outcome && !r->stop)
        r->hooks->outcome(r->hooks->self, index, item, &o, r->machine);
    return going(r);
}

/* ---- items among the workloads ---- */

/* The placed items: those by access number, in order, and those by time, in order. */
struct placed {
    unsigned *index[2]; /* [by time]; one block */
    unsigned n[2], next[2];
};

static int earlier(const void *a, const void *b, void *self)
{
    const struct script_item *script = self;
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    if (script[x].at != script[y].at)
        return script[x].at < script[y].at ? -1 : 1;
    return x < y ? -1 : 1;
}

static bool place(struct placed *p, const struct scenario *s)
{
    *p = (struct placed){0};
    if (!(p->index[0] = malloc(2 * (s->n_script + 1) * sizeof(unsigned))))
        return false;
    p->index[1] = p->index[0] + s->n_script;
    for (unsigned i = 0; i < s->n_script; i++) {
        bool time = s->script[i].at_time;
        if (time || s->script[i].at_access)
            p->index[time][p->n[time]++] = i;
    }
    for (unsigned time = 0; time < 2; time++)
        qsort_r(p->index[time], p->n[time], sizeof(unsigned), earlier, (void *)s->script);
    return true;
}

/* When the next item of a kind is due: an access number, or cycles. UINT64_MAX: there is none. */
static uint64_t due(const struct run *r, const struct placed *p, bool time)
{
    if (p->next[time] == p->n[time])
        return UINT64_MAX;
    uint64_t at = r->scenario->script[p->index[time][p->next[time]]].at;
    uint32_t mhz = r->scenario->machine.profile.mhz;
    return !time ? at : at < UINT64_MAX / mhz ? at * mhz : UINT64_MAX - 1;
}

/* Workloads up to the next item, then the item. What is placed beyond their end comes after it. */
static bool run_placed(struct run *r, struct placed *p)
{
    bool ended = false;
    while (p->next[0] < p->n[0] || p->next[1] < p->n[1]) {
        uint64_t access = due(r, p, false), cycles = due(r, p, true);
        bool now = access <= r->made, late = cycles <= machine_clock(r->machine);
        if (!now && !late && !ended) {
            let_run(r, access - r->made, cycles);
            ended = r->machine->finished;
            if (!going(r))
                return false;
            continue;
        }
        bool time = !now && (late || access == UINT64_MAX);
        if (!do_item(r, p->index[time][p->next[time]++]))
            return false;
    }
    return true;
}

/* Items that are not placed. False: nothing more is to be done. */
static bool run_items(struct run *r)
{
    const struct scenario *s = r->scenario;
    bool more = true;
    for (unsigned i = 0; more && i < s->n_script; i++)
        more = s->script[i].at_access || s->script[i].at_time || do_item(r, i);
    return more;
}

static bool conclude(const struct machine *m, struct err *err)
{
    if (m->err.code)
        *err = m->err;
    return !m->err.code;
}

bool run_script(const struct scenario *s, struct machine *m, const struct run_hooks *hooks,
                struct err *err)
{
    run_items(&(struct run){.scenario = s, .machine = m, .hooks = hooks});
    return conclude(m, err);
}

bool run_scenario(const struct scenario *s, struct machine *m, const struct run_hooks *hooks,
                  struct err *err)
{
    struct run r = {.scenario = s, .machine = m, .hooks = hooks};
    struct placed placed;
    if (!place(&placed, s))
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    if (run_items(&r) && run_placed(&r, &placed))
        let_run(&r, UINT64_MAX, UINT64_MAX);
    free(placed.index[0]);
    return conclude(m, err);
}
