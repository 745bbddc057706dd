#include "sim/report/walk_report.h"

#include <string.h>

#include "sim/report/words.h"

/* ---- watching the access ---- */

struct watch {
    struct walk_report *report;
    struct machine *machine;
};

static const struct mmu *mmu_of(const struct machine *m, const struct script_item *item)
{
    unsigned wanted = item->process % m->vm[item->vm].config->vcpus;
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == item->vm && m->vcpu[i].number == wanted)
            return m->vcpu[i].mmu;
    return m->vcpu[0].mmu;
}

/* The last slot is for the last event: of an attempt that is longer, the middle is missing. */
static void take_event(void *self, const struct event *e)
{
    struct walk_report *r = ((struct watch *)self)->report;
    const struct tally *t = &mmu_of(r->machine, &r->item)->tally;
    if (e->kind == EVENT_WALK_RETRIED)
        return; /* about the attempt before */
    if (r->n_events < WALK_EVENTS)
        r->n_events++;
    r->event[r->n_events - 1] = *e;
    r->price[r->n_events - 1] = t->price[event_slot(e)];
    r->cycles += t->price[event_slot(e)];
}

/* How things stand before an attempt. */
static void before_attempt(struct watch *watch)
{
    struct walk_report *r = watch->report;
    const struct mmu *mmu = mmu_of(watch->machine, &r->item);
    if (r->cold)
        machine_cool(watch->machine);
    memcpy(r->stage, mmu->stage, sizeof r->stage);
    r->stages = mmu->stages;
    for (unsigned depth = 1; depth < r->stages; depth++) /* of two collapsed, the outer one */
        r->second[depth] = watch->machine->vm[r->item.vm].second[depth + r->below + 1 - r->stages];
    r->registers = mmu->registers;
    r->by_entry = mmu->look.by_entry;
    r->peeked = machine_peek(watch->machine, &r->item, &r->peek);
}

/* What an attempt met on its way that was answered. */
static void keep_handled(struct walk_report *r, bool faults)
{
    for (unsigned i = 0; i < r->n_events; i++) {
        const struct event *e = &r->event[i];
        if (e->kind != EVENT_EXIT && e->kind != EVENT_WORK && !(faults && e->kind == EVENT_FAULT))
            continue;
        if (r->n_handled < WALK_HANDLED)
            r->handled[r->n_handled++] = *e;
        else
            r->more_handled = true;
    }
}

/* An attempt was answered: what it met is kept, the rest forgotten, but for the access's own event.
 */
static void after_attempt(void *self, const struct walk *w, bool repeated)
{
    struct watch *watch = self;
    struct walk_report *r = watch->report;
    r->attempt = *w;
    if (!repeated)
        return;
    keep_handled(r, true);
    r->n_events = r->n_events > 0;
    r->answered += r->cycles;
    r->cycles = r->n_events ? r->price[0] : 0;
    r->answered -= r->cycles;
    before_attempt(watch);
}

/* Whether the caches gave another answer than the tables would have given. */
static bool answered_otherwise(const struct walk_report *r)
{
    if (r->outcome.kind == OUTCOME_OK)
        return !r->peeked || r->peek.found.hpa != r->outcome.hpa;
    return r->outcome.kind == OUTCOME_FAULT && r->peeked;
}

void walk_report_make(struct walk_report *r, struct machine *m, const struct script_item *item,
                      bool cold)
{
    struct watch watch = {r, m};
    struct sink sink = {take_event, &watch};
    struct script_item enter = {.verb = VERB_switch, .vm = item->vm, .process = item->process};
    const struct vm_config *vm = m->vm[item->vm].config;
    memset(r, 0, offsetof(struct walk_report, line));
    r->machine = m;
    r->item = *item;
    r->cold = cold;
    r->vm = vm->name;
    r->process = vm->raw ? NULL : vm->processes[item->process].name;
    r->mode = mode_name(vm->mode);
    r->below = m->vm[item->vm].below;
    r->shadowed = vm->mode == MODE_SHADOW;
    r->n_events = r->n_handled = 0;
    r->more_handled = false;
    r->answered = r->cycles = 0;
    if (!vm->raw)
        machine_do(m, &enter, &r->outcome); /* is no part of the access */
    before_attempt(&watch);
    machine_watch(m, &sink);
    machine_explain(m, item, after_attempt, &watch, &r->outcome);
    machine_watch(m, NULL);
    r->tlb_hit =
        r->outcome.kind == OUTCOME_OK && !r->attempt.refs && walk_report_event(r, EVENT_TLB_HIT);
    if (r->outcome.kind == OUTCOME_FAULT)
        keep_handled(r, false); /* an exit of a fault that is the guest's own */
    for (unsigned server = 0; server < SERVERS; server++)
        r->ref_price[server] = mmu_of(m, item)->tally.price[SLOT(REF, 0, 0, server)];
    r->stale = answered_otherwise(r);
    walk_report_list(r);
}

/* ---- for the writers ---- */

unsigned walk_report_count(const struct walk_report *r, enum event_kind kind, cycles_t *cycles)
{
    unsigned n = 0;
    *cycles = 0;
    for (unsigned i = 0; i < r->n_events; i++)
        if (r->event[i].kind == kind)
            n++, *cycles += r->price[i];
    return n;
}

unsigned walk_report_works(const struct walk_report *r, unsigned i)
{
    unsigned n = 0;
    while (i + n < r->n_handled && r->handled[i + n].kind == EVENT_WORK &&
           r->handled[i + n].detail == r->handled[i].detail)
        n++;
    return n;
}

const struct event *walk_report_event(const struct walk_report *r, enum event_kind kind)
{
    for (unsigned i = 0; i < r->n_events; i++)
        if (r->event[i].kind == kind)
            return &r->event[i];
    return NULL;
}

const char *walk_report_dimension(const struct walk_report *r, const struct walk_line *line)
{
    bool shadow = line->direct || (!line->depth && r->shadowed);
    return shadow ? "shadow" : dimension_name(r->stages, line->depth);
}

const char *walk_report_owner(const struct walk_report *r, unsigned depth)
{
    static const char *const two[] = {"the guest", "the host"}, *const three[] = {"L2", "L1", "L0"};
    return r->stages > 2 ? three[depth] : two[depth];
}

/* The next line of the first stage above it, or NULL. */
static const struct walk_line *line_above(const struct walk_report *r, unsigned i)
{
    for (unsigned first = i < r->n_tables ? 0 : r->n_tables; i-- > first;)
        if (!r->line[i].depth)
            return &r->line[i];
    return NULL;
}

bool walk_report_at_host(const struct walk_report *r, unsigned i)
{
    const struct walk_line *line = &r->line[i], *above = line_above(r, i);
    if (line->depth)
        return false;
    return line->direct || (above ? above->direct : r->stage[0].host_root);
}

bool walk_report_switches(const struct walk_report *r, unsigned i)
{
    const struct walk_line *line = &r->line[i];
    return line->direct && !line->leaf && format_present(&r->stage[0].format, line->entry) &&
           line->entry & r->stage[0].switches;
}

const char *walk_report_level(const struct walk_report *r, const struct walk_line *line)
{
    return format_level_name(&r->stage[line->depth].format, line->level);
}

bool walk_report_is_ept(const struct walk_report *r, unsigned depth)
{
    return depth && second_stage_is_ept(r->second[depth].kind);
}

const char *walk_report_hypervisor(const struct walk_report *r, unsigned depth)
{
    return r->below < 2 ? "the hypervisor" : depth == 1 ? "the L1 hypervisor" : "the L0 hypervisor";
}

bool walk_report_rules(const struct format *f, uint32_t right)
{
    return !(format_rights(f, false, PTE_P) & right);
}

unsigned walk_report_page_level(const struct walk_report *r)
{
    if (r->outcome.kind == OUTCOME_OK && r->attempt.found.level)
        return r->attempt.found.level;
    for (unsigned i = r->n_lines; i--;)
        if (!r->line[i].depth)
            return r->line[i].leaf ? r->line[i].level : 1;
    return 1;
}

/* ---- why ---- */

/* Which right of a line's own entry denies the access; NULL: none. */
static const char *denied_by(const struct walk_report *r, uint32_t rights)
{
    unsigned kind = r->attempt.refusal.access, op = kind & KIND_OP;
    bool user = kind & KIND_USER;
    if (user && !(rights & MAY_USER))
        return "U = 0: the page belongs to the supervisor";
    if (op == KIND_WRITE && !(rights & MAY_WRITE))
        return user ? "W = 0: no writes" : "W = 0, and CR0.WP holds the supervisor to it";
    if (op == KIND_EXEC && !(rights & MAY_EXEC))
        return "NX = 1: no instruction fetches";
    return NULL;
}

static const char *why_rights(const struct walk_report *r, char *text, size_t room)
{
    const struct refusal *refusal = &r->attempt.refusal;
    const struct format *f = &r->stage[0].format;
    const struct ref *at = NULL, *leaf = NULL;
    for (unsigned i = 0; i < r->attempt.refs; i++) {
        if (r->attempt.ref[i].depth)
            continue;
        leaf = &r->attempt.ref[i];
        if (leaf->level == refusal->level)
            at = leaf;
    }
    if (refusal->key)
        snprintf(text, room, "PKRU denies it to pages with protection key %u",
                 leaf ? leaf->rights >> LEAF_KEY_SHIFT & 15 : 0);
    else if (at && denied_by(r, format_rights(f, at->leaf, at->entry)))
        snprintf(text, room, "the %s entry has %s", format_level_name(f, at->level),
                 denied_by(r, format_rights(f, at->leaf, at->entry)));
    else if (at && denied_by(r, at->rights))
        snprintf(text, room, "an entry above, known from a structure cache, has %s",
                 denied_by(r, at->rights));
    else if ((refusal->access & KIND_OP) == KIND_EXEC)
        snprintf(text, room, "SMEP keeps the supervisor from executing a user page");
    else
        snprintf(text, room, "SMAP keeps the supervisor from a user page while AC is clear");
    return text;
}

/* Of a second stage. */
static const char *why_second(const struct walk_report *r, char *text, size_t room)
{
    const struct refusal *refusal = &r->attempt.refusal;
    const struct format *f = &r->stage[refusal->depth].format;
    const char *name = format_level_name(f, refusal->level);
    static const char *const acts[] = {"reads", "writes", "fetches", ""};
    const char *dimension = dimension_name(r->stages, refusal->depth);
    if (refusal->kind == REFUSED_LOG_FULL)
        snprintf(text, room, "the page-modification log is full");
    else if (refusal->ia >> f->ia_bits)
        snprintf(text, room, "0x%llx has more bits than the %s's tables translate",
                 (unsigned long long)refusal->ia, dimension);
    else if (refusal->kind == REFUSED_NOT_PRESENT)
        snprintf(text, room, "the %s %s entry is not present", dimension, name);
    else if (refusal->kind == REFUSED_RESERVED)
        snprintf(text, room, "the %s %s entry is malformed: 0x%llx", dimension, name,
                 (unsigned long long)refusal->entry);
    else
        snprintf(text, room, "the %s %s entry allows no %s", dimension, name,
                 acts[refusal->access & KIND_OP]);
    return text;
}

const char *walk_report_why(const struct walk_report *r, char *text, size_t room)
{
    const struct refusal *refusal = &r->attempt.refusal;
    const struct format *f = &r->stage[0].format;
    bool leaf = format_is_leaf(f, refusal->level, refusal->entry);
    const char *name = format_level_name(f, refusal->level);
    const char *entry = refusal->level > f->levels - (unsigned)f->registers ? "register" : "entry";
    if (refusal->depth)
        return why_second(r, text, room);
    switch (refusal->kind) {
    case REFUSED_CANONICAL:
        if (f->canonical)
            snprintf(text, room, "the address is not canonical: bits 63 to %u differ",
                     f->ia_bits - 1u);
        else
            snprintf(text, room, "the address has more than %u bits", f->ia_bits);
        return text;
    case REFUSED_NOT_PRESENT:
        snprintf(text, room, "the %s %s is not present", name, entry);
        return text;
    case REFUSED_RESERVED:
        snprintf(text, room, "the %s entry has reserved bits set: 0x%llx", name,
                 (unsigned long long)(refusal->entry & f->reserved[refusal->level][leaf]));
        return text;
    default:
        return why_rights(r, text, room);
    }
}
