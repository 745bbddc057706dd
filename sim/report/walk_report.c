#include "sim/report/walk_report.h"

#include <string.h>

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
    r->stage = mmu->stage[0];
    r->stages = mmu->stages;
    r->registers = mmu->registers;
    r->by_entry = mmu->look.by_entry;
    r->peeked = machine_peek(watch->machine, &r->item, &r->peek);
}

/* An attempt was answered: its fault is kept, the rest forgotten, but for the access's own event.
 */
static void after_attempt(void *self, const struct walk *w, bool repeated)
{
    struct watch *watch = self;
    struct walk_report *r = watch->report;
    r->attempt = *w;
    if (!repeated)
        return;
    const struct event *fault = walk_report_event(r, EVENT_FAULT);
    if (fault && r->n_handled < WALK_HANDLED)
        r->handled[r->n_handled++] = *fault;
    r->n_events = r->n_events > 0;
    r->cycles = r->n_events ? r->price[0] : 0;
    before_attempt(watch);
}

/* ---- what the attempt did not read, and why ---- */

static void set_saver(const struct walk_report *r, struct walk_line *line)
{
    static const char *const names[] = {"", "pte", "pde", "pdpte", "pml4", "pml5"};
    const struct event *tlb = walk_report_event(r, EVENT_TLB_HIT);
    unsigned level = 0;
    for (unsigned i = 0; i < r->n_events; i++)
        if (r->event[i].kind == EVENT_STRUCTURE_HIT && r->event[i].depth == line->depth)
            level = r->event[i].level;
    if (r->tlb_hit && tlb)
        snprintf(line->served_by, sizeof line->served_by, "%s tlb",
                 tlb_name((enum tlb_name)tlb->detail));
    else
        snprintf(line->served_by, sizeof line->served_by, "%s cache", names[level]);
}

static struct walk_line *add_line(struct walk_report *r, const struct ref *ref, bool read)
{
    struct walk_line *line = &r->line[r->n_lines++];
    *line = (struct walk_line){.depth = ref->depth,
                               .level = ref->level,
                               .address = ref->at,
                               .entry = ref->entry,
                               .set = read && r->outcome.kind == OUTCOME_OK ? ref->set : 0,
                               .ia = ref->ia,
                               .rights = ref->rights,
                               .leaf = ref->leaf,
                               .read = read,
                               .server = (enum server)ref->server};
    if (!read) {
        set_saver(r, line);
        return line;
    }
    const struct tally *t = &mmu_of(r->machine, &r->item)->tally;
    snprintf(line->served_by, sizeof line->served_by, "%s", server_name(line->server));
    line->cycles = t->price[SLOT(REF, ref->depth, ref->level, ref->server)];
    return line;
}

static bool same_place(const struct ref *a, const struct ref *b)
{
    return a->depth == b->depth && a->level == b->level && a->at == b->at;
}

/* The peek's entries in order, those that the attempt read marked; then what it read elsewhere. */
static void list_lines(struct walk_report *r)
{
    unsigned next = 0;
    r->n_lines = 0;
    for (unsigned i = 0; i < r->peek.refs; i++) {
        const struct ref *ref = &r->peek.ref[i];
        bool read = next < r->attempt.refs && same_place(ref, &r->attempt.ref[next]);
        struct walk_line *line = add_line(r, read ? &r->attempt.ref[next] : ref, read);
        next += read;
        line->differs = !read && next < r->attempt.refs && !r->attempt.ref[next].depth &&
                        !ref->depth && r->attempt.ref[next].level >= ref->level;
        r->stale |= line->differs;
    }
    for (; next < r->attempt.refs; next++) {
        add_line(r, &r->attempt.ref[next], true)->differs = true;
        r->stale = true;
    }
}

/* A host reference serves the next one above it, or the data. */
static void set_purposes(struct walk_report *r)
{
    for (unsigned i = 0; i < r->n_lines; i++) {
        struct walk_line *line = &r->line[i];
        unsigned j = i + 1;
        while (j < r->n_lines && r->line[j].depth >= line->depth)
            j++;
        if (!line->depth || j == r->n_lines)
            snprintf(line->purpose, sizeof line->purpose, "data");
        else
            snprintf(line->purpose, sizeof line->purpose, "%s %s",
                     walk_report_dimension(r, r->line[j].depth), walk_report_level(r, &r->line[j]));
    }
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
    r->n_events = r->n_handled = 0;
    r->cycles = 0;
    if (!vm->raw)
        machine_do(m, &enter, &r->outcome); /* is no part of the access */
    before_attempt(&watch);
    machine_watch(m, &sink);
    machine_explain(m, item, after_attempt, &watch, &r->outcome);
    machine_watch(m, NULL);
    r->tlb_hit =
        r->outcome.kind == OUTCOME_OK && !r->attempt.refs && walk_report_event(r, EVENT_TLB_HIT);
    r->stale = answered_otherwise(r);
    list_lines(r);
    set_purposes(r);
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

const struct event *walk_report_event(const struct walk_report *r, enum event_kind kind)
{
    for (unsigned i = 0; i < r->n_events; i++)
        if (r->event[i].kind == kind)
            return &r->event[i];
    return NULL;
}

const char *walk_report_dimension(const struct walk_report *r, unsigned depth)
{
    static const char *const names[STAGES_MAX][STAGES_MAX] = {
        {"guest"}, {"guest", "host"}, {"l2", "l1", "l0"}};
    return names[r->stages ? r->stages - 1 : 0][depth];
}

const char *walk_report_level(const struct walk_report *r, const struct walk_line *line)
{
    const struct mmu *mmu = mmu_of(r->machine, &r->item);
    const struct format *f = line->depth ? &mmu->stage[line->depth].format : &r->stage.format;
    return format_level_name(f, line->level);
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
    const struct format *f = &r->stage.format;
    const struct ref *at = NULL, *leaf = NULL;
    for (unsigned i = 0; i < r->attempt.refs; i++) {
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

const char *walk_report_why(const struct walk_report *r, char *text, size_t room)
{
    const struct refusal *refusal = &r->attempt.refusal;
    const struct format *f = &r->stage.format;
    bool leaf = format_is_leaf(f, refusal->level, refusal->entry);
    const char *name = format_level_name(f, refusal->level);
    const char *entry = refusal->level > f->levels - (unsigned)f->registers ? "register" : "entry";
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
