/* From a difference to the access that it is about. */
#include <stdlib.h>

#include "sim/cli/validate.h"
#include "sim/run.h"

static bool is_placed(const struct script_item *item)
{
    return item->at_access || item->at_time;
}

static bool has_placed(const struct scenario *s)
{
    bool placed = false;
    for (unsigned i = 0; i < s->n_script; i++)
        placed |= is_placed(&s->script[i]);
    return placed;
}

/* ---- which item a word of memory is about ---- */

struct search {
    gpa_t word;
    unsigned found; /* the last item; n_script: none */
};

static bool covers(gpa_t gpa, unsigned bytes, gpa_t word)
{
    return gpa < word + 8 && word < gpa + bytes;
}

/* An item is done: whether it wrote the word, or found its way by it. No hypervisor is there, so
 * that addresses are the guest's. */
static void take_item(void *self, unsigned index, const struct script_item *item,
                      const struct outcome *o, const struct machine *m)
{
    struct search *s = self;
    struct walk w = {.refs = 0};
    bool wrote = item->access.op == OP_WRITE && o->kind == OUTCOME_OK && o->has_gpa;
    if (item->verb != VERB_access)
        return;
    machine_peek(m, item, &w);
    bool by_it = wrote && covers(o->gpa, item->access.size, s->word);
    for (unsigned i = 0; i < w.refs; i++)
        by_it |= covers(w.ref[i].at, 8, s->word);
    if (by_it)
        s->found = index;
}

static unsigned find_item(const struct scenario *s, gpa_t word)
{
    const struct run_hooks hooks = {.outcome = take_item,
                                    .self = &(struct search){word, s->n_script}};
    struct vm_config vm = s->machine.vms[0];
    struct scenario native = *s;
    struct err err = {0};
    vm.mode = MODE_NATIVE;
    native.machine.memory = vm.memory;
    native.machine.vms = &vm;
    struct machine *m = machine_new(&native.machine, &err);
    if (m)
        run_script(&native, m, &hooks, &err);
    machine_free(m);
    return ((const struct search *)hooks.self)->found;
}

/* ---- the way there ---- */

/* A machine on which the items before one are done. NULL: it can't be had. */
static struct machine *run_up_to(const struct scenario *s, unsigned item)
{
    struct scenario before = *s;
    struct err err = {0};
    before.n_script = item;
    struct machine *m = machine_new(&s->machine, &err);
    if (m && run_foresee(s, m, &err) && run_script(&before, m, NULL, &err))
        return m;
    machine_free(m);
    return NULL;
}

static bool lead_to_item(struct led *led, const struct scenario *s, unsigned index,
                         struct script_item *item)
{
    if (index >= s->n_script || s->script[index].verb != VERB_access ||
        is_placed(&s->script[index]) || !(led->machine = run_up_to(s, index)))
        return false;
    *item = s->script[index];
    return true;
}

/* The access that took a fault, as far as the fault tells. */
static struct script_item access_of(const struct seen_fault *fault, unsigned process)
{
    uint32_t code = fault->error_code;
    return (struct script_item){.verb = VERB_access,
                                .process = process,
                                .access = {.gva = fault->cr2,
                                           .size = 1,
                                           .op = code & 16  ? OP_EXEC
                                                 : code & 2 ? OP_WRITE
                                                            : OP_READ,
                                           .flags = code & 4 ? ACCESS_USER : 0,
                                           .process = (uint16_t)process}};
}

static bool lead_to_fault(struct led *led, const struct scenario *s, const struct seen_fault *fault,
                          struct script_item *item)
{
    if (fault->vector != 14 || has_placed(s) || !(led->machine = run_up_to(s, s->n_script)))
        return false;
    struct machine *m = led->machine;
    if (m->accesses > fault->access)
        return false;
    while (m->accesses < fault->access && !m->finished && !m->err.code)
        machine_run(m, fault->access - m->accesses);
    int process = m->vcpu[0].process;
    *item = access_of(fault, process < 0 ? 0 : (unsigned)process);
    return !m->err.code;
}

void led_find(struct led *led, const struct scenario *s, const struct difference *d)
{
    struct script_item item;
    bool found = false;
    *led = (struct led){0};
    if (d->aspect == ASPECT_outcome)
        found = lead_to_item(led, s, (unsigned)d->at, &item);
    else if (d->aspect == ASPECT_memory)
        found = lead_to_item(led, s, find_item(s, d->at), &item);
    else if (d->aspect == ASPECT_faults)
        found = lead_to_fault(led, s, &d->fault, &item);
    if (found && (led->report = malloc(sizeof *led->report)))
        walk_report_make(led->report, led->machine, &item, false);
}

void led_fini(struct led *led)
{
    free(led->report);
    machine_free(led->machine);
}
