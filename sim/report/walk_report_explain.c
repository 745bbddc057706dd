/* One walk in plain words: each step a sentence or two. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "sim/report/telling.h"
#include "sim/report/words.h"

void tell_add(struct telling *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->text + t->n, sizeof t->text - t->n, format, list);
    va_end(list);
    t->n += n > 0 ? (size_t)n : 0;
    if (t->n >= sizeof t->text)
        t->n = sizeof t->text - 1;
}

void tell_end(struct telling *t)
{
    if (t->n)
        t->say(t->self, t->text);
    t->n = 0;
    t->text[0] = 0;
}

void tell_cost(struct telling *t, cycles_t cycles)
{
    if (cycles)
        tell_add(t, " (%" PRIu64 " cycle%s)", cycles, cycles == 1 ? "" : "s");
}

/* ---- before the walk ---- */

static void tell_address(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct format *f = &r->stage[0].format;
    gva_t gva = r->item.access.gva;
    unsigned page = walk_report_page_level(r);
    if (!f->levels)
        tell_add(t,
                 "Paging is off (CR0.PG = 0), so 0x%" PRIx64
                 " is the %sphysical address itself. No "
                 "table %sis read and no TLB is asked.",
                 gva, r->stages > 1 ? "guest-" : "", r->stages > 1 ? "of the guest " : "");
    else if (!format_canonical(f, gva))
        return;
    else if (f->canonical)
        tell_add(t, "Is 0x%" PRIx64 " canonical? Bits 63 to %u are all %u: yes.", gva,
                 f->ia_bits - 1u, (unsigned)(gva >> 63));
    else
        tell_add(t, "The address has %u bits: %u for the offset in the page, the rest for %s.",
                 f->ia_bits, f->shift[page],
                 f->levels - page ? "indexes, one for each level" : "the index");
    tell_end(t);
}

static void tell_tlbs(struct telling *t)
{
    static const char *const names[TLBS] = {"L1 instruction TLB", "L1 data TLB", "L2 TLB"};
    const struct walk_report *r = t->r;
    cycles_t cycles;
    const char *before = "The ";
    for (unsigned i = 0; i < r->n_events; i++) {
        const struct event *e = &r->event[i];
        if (e->kind != EVENT_TLB_HIT && e->kind != EVENT_TLB_MISS)
            continue;
        tell_add(t, "%s%s %s the page", before, names[e->detail],
                 e->kind == EVENT_TLB_HIT ? "has" : "doesn't have");
        if (e->detail == TLB_L2) {
            walk_report_count(r, EVENT_TLB_L2, &cycles);
            tell_cost(t, cycles);
        }
        before = "; the ";
    }
    if (!t->n)
        return;
    if (r->tlb_hit)
        tell_add(t, ", with all that the walk found when it was put there. So no table is read.");
    else if (walk_report_event(r, EVENT_WALK_DIRTY))
        tell_add(t, ". But its entry was filled while D was 0, and this is a write: the tables are "
                    "walked once more, to set D.");
    else if (walk_report_event(r, EVENT_TLB_HIT))
        tell_add(
            t,
            ". But its entry doesn't allow this access: it is dropped, and the tables are asked.");
    else
        tell_add(t, ". So the tables are walked.");
    tell_end(t);
}

/* The first: of other stages' caches more may follow. */
static const struct event *guest_structure_hit(const struct walk_report *r)
{
    for (unsigned i = 0; i < r->n_events; i++)
        if (r->event[i].kind == EVENT_STRUCTURE_HIT && !r->event[i].depth)
            return &r->event[i];
    return NULL;
}

static void tell_start(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct format *f = &r->stage[0].format;
    const struct event *hit = guest_structure_hit(r);
    bool shadow = r->shadowed || r->stage[0].direct;
    cycles_t cycles;
    unsigned missed = walk_report_count(r, EVENT_STRUCTURE_MISS, &cycles);
    if (!f->levels || r->tlb_hit || r->attempt.refusal.kind == REFUSED_CANONICAL)
        return;
    if (hit) {
        tell_add(t,
                 "The %s cache, a paging-structure cache, knows the way down to the %s table at "
                 "0x%" PRIx64,
                 structure_title(hit->level), format_level_name(f, hit->level - 1u), hit->value);
        tell_cost(t, r->price[hit - r->event]);
        tell_add(t, ". The walk starts there, and the entries above aren't read.");
        if (r->stages > 1)
            tell_add(t, " That is the host's address of it: nor is anything of the host's tables "
                        "read to find it.");
    } else {
        tell_add(t, "%sThe walk starts at the top: CR3 = 0x%" PRIx64,
                 missed && !r->by_entry ? "The paging-structure caches don't know the way. " : "",
                 shadow || r->stage[0].host_root ? r->stage[0].root : r->registers.cr3);
        if (f->registers)
            tell_add(t,
                     " said where the %s table was when its 4 entries were loaded into registers.",
                     format_level_name(f, f->levels));
        else
            tell_add(t, " says that the %s%s table is at 0x%" PRIx64 ".", shadow ? "shadow " : "",
                     format_level_name(f, f->levels), r->stage[0].root);
    }
    tell_end(t);
    if (f->registers && !hit) {
        unsigned i = (unsigned)(r->item.access.gva >> f->shift[f->levels] & 3);
        tell_add(t,
                 "Bits 31 to 30 of the address are %u: register %u holds 0x%" PRIx64
                 ". No memory is read for it.",
                 i, i, r->stage[0].top[i]);
        tell_end(t);
    }
}

/* ---- the walk ---- */

static void tell_rights(struct telling *t, const struct format *f, const struct walk_line *line)
{
    uint32_t rights = format_rights(f, line->leaf, line->entry);
    if (walk_report_rules(f, MAY_WRITE))
        tell_add(t, ", %s", rights & MAY_WRITE ? "writable (W)" : "read-only (W = 0)");
    if (walk_report_rules(f, MAY_USER))
        tell_add(t, ", %s",
                 rights & MAY_USER ? "for the user too (U)" : "for the supervisor (U = 0)");
    if (f->no_exec)
        tell_add(t, ", %s", rights & MAY_EXEC ? "executable" : "not executable (NX)");
}

void tell_entry(struct telling *t, const struct walk_line *line)
{
    const struct format *f = &t->r->stage[0].format;
    const struct walk_report *r = t->r;
    const char *space = line->direct ? "the host's " : r->stages > 1 ? "gpa " : "";
    const char *shadow = line->direct ? "shadow " : "";
    char page[16];
    tell_add(t, " and holds 0x%" PRIx64 ": ", line->entry);
    if (!format_present(f, line->entry)) {
        tell_add(t, "not present.");
        return;
    }
    tell_add(t, "present");
    tell_rights(t, f, line);
    uint64_t to = format_address(f, line->level, line->leaf, line->entry);
    if (line->leaf)
        tell_add(t, "; it maps a page of %s at %s0x%" PRIx64 ".",
                 format_page_name(f, line->level, page), space, to);
    else if (walk_report_switches(r, (unsigned)(line - r->line)))
        tell_add(t,
                 ". Its switch bit is set: here the shadow ends. The %s table is the guest's own, "
                 "at the host's 0x%" PRIx64 "; what it holds are guest-physical addresses (gpa), "
                 "and from there on all is found through the host's tables, as in nested paging.",
                 format_level_name(f, line->level - 1), to);
    else
        tell_add(t, "; the %s%s table is at %s0x%" PRIx64 ".", shadow,
                 format_level_name(f, line->level - 1), space, to);
}

const char *tell_server(enum server server)
{
    static const char *const from[SERVERS] = {"the L1 data cache", "the L2 data cache",
                                              "the last-level cache", "memory",
                                              "a paging-structure cache"};
    return from[server];
}

static void tell_lines(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct format *f = &r->stage[0].format;
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        unsigned shift = f->shift[line->level], width = f->index_bits[line->level];
        uint64_t index = line->ia >> shift & low_bits(width);
        if (!line->read)
            continue;
        tell_add(t,
                 "Bits %u to %u of the address are %" PRIu64 ", so entry %" PRIu64
                 " of the %s table, at 0x%" PRIx64 " + %" PRIu64 " x %u = 0x%" PRIx64
                 ". It is read from %s",
                 shift + width - 1, shift, index, index, walk_report_level(r, line),
                 line->address - index * f->entry_bytes, index, f->entry_bytes, line->address,
                 tell_server(line->server));
        tell_cost(t, line->cycles);
        tell_entry(t, line);
        tell_end(t);
    }
}

static void tell_set(struct telling *t)
{
    const struct walk_report *r = t->r;
    cycles_t accessed, dirty;
    unsigned n = walk_report_count(r, EVENT_SET_ACCESSED, &accessed);
    if (n) {
        tell_add(t, "The processor sets A, \"accessed\", in the %s that had it clear",
                 n == 1 ? "entry" : "entries");
        if (n > 1)
            tell_add(t, ", %u of them", n);
        tell_cost(t, accessed);
        tell_add(t, ".");
        tell_end(t);
    }
    if (walk_report_count(r, EVENT_SET_DIRTY, &dirty)) {
        tell_add(t, "As this is a write, it sets D, \"dirty\", in the entry that maps the page");
        tell_cost(t, dirty);
        tell_add(t, ".");
        tell_end(t);
    }
}

/* ---- the end ---- */

static void tell_allowed(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct format *f = &r->stage[0].format;
    static const char *const acts[] = {"Reading", "Writing", "Executing"};
    bool user = r->item.access.flags & ACCESS_USER;
    unsigned op = r->item.access.op;
    if (!walk_report_rules(f, MAY_USER))
        tell_add(t, "These tables have no rights: whatever is present may be accessed.");
    else if (user)
        tell_add(t,
                 "%s by user code needs U%s at every level%s: so it is, and the access is allowed.",
                 acts[op], op == OP_WRITE ? " and W" : "", op == OP_EXEC ? ", and NX nowhere" : "");
    else
        tell_add(t, "%s by the supervisor is allowed here%s.", acts[op],
                 op == OP_READ    ? ""
                 : op == OP_WRITE ? r->registers.cr0 & CR0_WP ? ": W is set at every level"
                                                              : ": CR0.WP is 0, so W doesn't matter"
                                  : ": NX is set nowhere");
    tell_end(t);
}

static void tell_found(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct format *f = &r->stage[0].format;
    uint64_t inside = r->item.access.gva & low_bits(f->shift[r->attempt.found.level]);
    tell_add(t,
             "The page's address and the offset, 0x%" PRIx64 " + 0x%" PRIx64
             ", are the physical address: 0x%" PRIx64 ".",
             r->outcome.hpa - inside, inside, r->outcome.hpa);
    if (r->below)
        tell_add(t, " The guest takes it for 0x%" PRIx64 ".", r->outcome.gpa);
    if (!r->tlb_hit) {
        tell_add(t, " The TLBs keep the page from now on");
        tell_add(t, f->levels > 1 && !r->by_entry
                        ? ", and the paging-structure caches the way to it, where the machine has "
                          "them."
                        : ".");
    }
    tell_end(t);
}

static void tell_no_answer(struct telling *t)
{
    if (!t->r->process)
        return;
    tell_add(
        t,
        "The guest OS has no answer: no map of %s allows this access. A real one would end the "
        "program (SIGSEGV).",
        t->r->process);
    tell_end(t);
}

static void tell_fault(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct outcome *o = &r->outcome;
    static const struct {
        uint32_t bit;
        const char *set, *clear;
    } bits[] = {
        {1, "P: the page was present", "P clear: something was not present"},
        {2, "W: a write", NULL},
        {4, "U: by user code", NULL},
        {8, "RSVD: a reserved bit", NULL},
        {16, "I: an instruction fetch", NULL},
        {32, "PK: a protection key", NULL},
    };
    char why[200];
    tell_add(t, "The access is refused: %s.", walk_report_why(r, why, sizeof why));
    if (r->attempt.refusal.kind != REFUSED_CANONICAL)
        tell_add(t, " Nothing is changed: no A, no D, no cache entry for the page.");
    if (r->stages > 1)
        tell_add(t, " It is the guest's own fault, and no exit: the hypervisor isn't asked.");
    tell_end(t);
    cycles_t cycles;
    walk_report_count(r, EVENT_FAULT, &cycles);
    if (o->vector != 14) {
        tell_add(t, "The processor raises #GP, before any table is looked at");
        tell_cost(t, cycles);
        tell_add(t, ".");
        tell_end(t);
        tell_no_answer(t);
        return;
    }
    tell_add(t, "The processor raises #PF with CR2 = 0x%" PRIx64 " and error code 0x%" PRIx32,
             o->cr2, o->error_code);
    tell_cost(t, cycles);
    const char *between = ": ";
    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++) {
        const char *words = o->error_code & bits[i].bit ? bits[i].set : bits[i].clear;
        if (words)
            tell_add(t, "%s%s", between, words), between = "; ";
    }
    tell_add(t, ".");
    tell_end(t);
    tell_no_answer(t);
}

static void tell_stale(struct telling *t)
{
    if (!t->r->stale)
        return;
    tell_add(t, "Beware: the tables by now say something else. A cache still holds what they said "
                "before, as it may until the guest invalidates it (INVLPG, MOV to CR3).");
    tell_end(t);
}

static void tell_cycles(struct telling *t)
{
    const struct walk_report *r = t->r;
    cycles_t own, data;
    walk_report_count(r, EVENT_ACCESS, &own);
    if (walk_report_count(r, EVENT_DATA, &data)) {
        tell_add(t, "The data itself is fetched through the data caches");
        tell_cost(t, data);
        tell_add(t, ".");
        tell_end(t);
    }
    tell_add(t, "All in all %" PRIu64 " cycles, of which %" PRIu64 " for the access itself.",
             r->cycles, own);
    tell_end(t);
}

void walk_report_steps(const struct walk_report *r, void (*say)(void *self, const char *sentence),
                       void *self)
{
    struct telling t = {.r = r, .say = say, .self = self};
    bool walked = !r->tlb_hit && r->attempt.refusal.kind != REFUSED_CANONICAL;
    tell_handled(&t);
    tell_address(&t);
    tell_tlbs(&t);
    tell_start(&t);
    if (walked)
        tell_second_stages(&t);
    if (r->stages > 1)
        tell_groups(&t);
    else
        tell_lines(&t);
    if (r->outcome.kind == OUTCOME_EXIT)
        tell_exit(&t);
    if (r->outcome.kind == OUTCOME_FAULT)
        tell_fault(&t);
    if (r->outcome.kind == OUTCOME_OK && r->stage[0].format.levels)
        tell_allowed(&t);
    if (r->outcome.kind == OUTCOME_OK && r->stages > 1)
        tell_set_below(&t), tell_kept(&t);
    else if (r->outcome.kind == OUTCOME_OK && r->stage[0].format.levels)
        tell_set(&t), tell_found(&t);
    if (r->outcome.kind == OUTCOME_STOP) {
        tell_add(&t, "The machine stops: %s.", r->outcome.words);
        tell_end(&t);
    }
    tell_stale(&t);
    tell_cycles(&t);
}
