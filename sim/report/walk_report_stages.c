/* One walk in plain words, where there is a hypervisor: two dimensions, exits and their answers. */
#include <inttypes.h>

#include "sim/report/telling.h"
#include "sim/report/words.h"

/* ---- before the attempt ---- */

static const char *first_or_then(const struct telling *t, const struct event *e)
{
    return e == t->r->handled ? "First" : "Then";
}

static void tell_answered_fault(struct telling *t, const struct event *e)
{
    tell_add(t,
             "%s the access faulted: #PF with error code 0x%" PRIx64
             ", because the %s entry %s. The guest OS answered by changing its tables.",
             first_or_then(t, e), e->value, format_level_name(&t->r->stage[0].format, e->level),
             refusal_words((enum refusal_kind)e->detail));
}

/* The reason, the address, and what the qualification says. */
static void tell_reason(struct telling *t, enum exit_reason reason, uint64_t address,
                        uint64_t qualification)
{
    char text[200];
    tell_add(t, "%s, %s 0x%" PRIx64, exit_reason_name(reason), exit_address_name(reason), address);
    qualification_words(t->r->second[1].kind, reason, qualification, text, sizeof text);
    if (*text)
        tell_add(t, ", %s 0x%" PRIx64 ": %s",
                 walk_report_is_ept(t->r, 1) ? "qualification" : "EXITINFO1", qualification, text);
}

/* The works that follow an exit are its answer. */
static void tell_answered_exit(struct telling *t, unsigned i)
{
    const struct walk_report *r = t->r;
    const struct event *e = &r->handled[i];
    tell_add(t, "%s there was an exit to %s: ", first_or_then(t, e),
             walk_report_hypervisor(r, e->depth));
    tell_reason(t, (enum exit_reason)e->detail, e->address, e->value);
    for (unsigned n, at = i + 1; (n = walk_report_works(r, at)); at += n) {
        enum work work = (enum work)r->handled[at].detail;
        tell_add(t, "%s %s (%s", at == i + 1 ? ". It" : " and", work_help(work), work_name(work));
        if (n > 1)
            tell_add(t, ", %u times", n);
        tell_add(t, ")");
    }
    tell_add(t, ".");
}

void tell_handled(struct telling *t)
{
    const struct walk_report *r = t->r;
    for (unsigned i = 0; i < r->n_handled; i++) {
        if (r->handled[i].kind == EVENT_FAULT)
            tell_answered_fault(t, &r->handled[i]);
        else if (r->handled[i].kind == EVENT_EXIT)
            tell_answered_exit(t, i);
        tell_end(t);
    }
    if (r->n_handled && r->answered) {
        tell_add(t, "So the access was made again. What follows is the attempt after all that");
        tell_cost(t, r->answered);
        tell_add(t, ".");
    }
    tell_end(t);
}

void tell_second_stages(struct telling *t)
{
    const struct walk_report *r = t->r;
    if (r->shadowed)
        tell_add(t,
                 "The guest believes that CR3 is 0x%" PRIx64
                 ". What the processor walks is the hypervisor's shadow of the guest's tables: it "
                 "leads from the program's address to the host's memory at once.",
                 r->registers.cr3);
    else if (r->stage[0].direct)
        tell_add(t,
                 "The guest believes that CR3 is 0x%" PRIx64
                 ". What the processor walks first is the hypervisor's shadow of the guest's "
                 "tables: its entries lead to addresses of the host's, which are read as they are. "
                 "An entry with the switch bit leads to a table of the guest's own. ",
                 r->registers.cr3);
    else if (r->stage[0].host_root)
        tell_add(t,
                 "The guest believes that CR3 is 0x%" PRIx64
                 ": that is the gpa of its table. The hypervisor has set the host's address of it, "
                 "so the table is read there at once. What the guest's tables hold are "
                 "guest-physical addresses (gpa): each further table and in the end the data must "
                 "first be found through the host's own tables. ",
                 r->registers.cr3);
    else if (r->stages > 1)
        tell_add(t,
                 "%s: the processor can read nothing there before it knows where %s has it. So "
                 "%sthe data must first be found through %s. ",
                 r->stage[0].format.levels
                     ? r->stages > 2
                           ? "What CR3 and L2's tables hold are guest-physical addresses (gpa)"
                           : "What CR3 and the guest's tables hold are guest-physical addresses "
                             "(gpa)"
                     : "That is an address of the guest's (gpa)",
                 walk_report_owner(r, r->stages - 1),
                 !r->stage[0].format.levels ? ""
                 : r->stages > 2            ? "each of L2's tables and in the end "
                                            : "each of the guest's tables and in the end ",
                 r->stages > 2 ? "L1's tables, and each of those through L0's"
                               : "the host's own tables");
    if (r->stages > 1) {
        for (unsigned depth = 1; depth < r->stages; depth++)
            tell_add(t, "%s = 0x%" PRIx64 " says where %s's tables begin. ",
                     walk_report_is_ept(r, depth) ? "EPTP" : "nCR3", r->second[depth].pointer,
                     walk_report_owner(r, depth));
        t->text[--t->n] = 0;
    }
    tell_end(t);
}

/* ---- the walk ---- */

/* A guest's entry with the references that find it, or the data with its own. */
struct group {
    unsigned first, end;           /* references of the stages below: lines */
    const struct walk_line *guest; /* NULL: the data, or the walk ended before */
    unsigned read;                 /* of those below */
    cycles_t cycles;
};

static struct group group_from(const struct walk_report *r, unsigned first)
{
    struct group g = {.first = first, .end = first};
    for (; g.end < r->n_tables && r->line[g.end].depth; g.end++) {
        g.read += r->line[g.end].read;
        g.cycles += r->line[g.end].cycles;
    }
    if (g.end < r->n_tables)
        g.guest = &r->line[g.end];
    return g;
}

/* "3 from memory, 1 from the L1 data cache" */
static void tell_served(struct telling *t, const struct group *g)
{
    unsigned n[SERVERS] = {0};
    const char *between = "";
    for (unsigned i = g->first; i < g->end; i++)
        n[t->r->line[i].server] += t->r->line[i].read;
    for (unsigned server = SERVERS; server--;)
        if (n[server]) {
            tell_add(t, "%s%u from %s", between, n[server], tell_server((enum server)server));
            between = ", ";
        }
}

/* Who saved the first reference that was not read. */
static const struct walk_line *first_saved(const struct walk_report *r, const struct group *g)
{
    for (unsigned i = g->first; i < g->end; i++)
        if (!r->line[i].read)
            return &r->line[i];
    return NULL;
}

/* How the place in the host is found: by tables, by a cache, or by both. */
static void tell_way(struct telling *t, const struct group *g)
{
    const struct walk_report *r = t->r;
    const struct walk_line *saved = first_saved(r, g);
    const char *host = walk_report_owner(r, r->stages - 1);
    unsigned all = g->end - g->first;
    if (!all)
        return;
    if (saved && saved->saver == SAVED_NESTED && !g->read)
        tell_add(t, " The nested TLB knows where %s has it, so references %u to %u are not read",
                 host, g->first + 1, g->end);
    else if (saved && !saved->saver_depth && !g->read)
        tell_add(t, " The same cache knows where %s has it", host);
    else if (saved && saved->saver == SAVED_NESTED)
        tell_add(t, " The nested TLB knows a part of the way; %u of %u references %s", g->read, all,
                 g->read == 1 ? "remains" : "remain");
    else if (saved)
        tell_add(t, " %s%s's %s cache knows a part of the way; %u of %u references %s",
                 r->stages > 2 ? "" : "The host",
                 r->stages > 2 ? walk_report_owner(r, saved->saver_depth) : "",
                 structure_title(saved->saver_level), g->read, all,
                 g->read == 1 ? "remains" : "remain");
    else if (all == 1)
        tell_add(t, " Where %s has it, reference %u says", host, g->first + 1);
    else
        tell_add(t, " Where %s has it, references %u to %u say", host, g->first + 1, g->end);
    if (g->read) {
        tell_add(t, ": ");
        tell_served(t, g);
        tell_cost(t, g->cycles);
    }
}

static void tell_guest_entry(struct telling *t, const struct group *g)
{
    const struct walk_report *r = t->r;
    const struct walk_line *line = g->guest;
    const struct format *f = &r->stage[0].format;
    unsigned shift = f->shift[line->level], width = f->index_bits[line->level];
    uint64_t index = line->ia >> shift & low_bits(width);
    unsigned i = (unsigned)(line - r->line);
    bool at_host = walk_report_at_host(r, i);
    tell_add(t, "Bits %u to %u of the address are %" PRIu64 ": ", shift + width - 1, shift, index);
    if (line->direct)
        tell_add(t, "the shadow's");
    else
        tell_add(t, "%s's", walk_report_owner(r, 0));
    if (at_host) {
        tell_add(t,
                 " %s entry is at 0x%" PRIx64 " + %" PRIu64 " x %u = 0x%" PRIx64
                 ", an address of the host's. Reference %u reads it there from %s",
                 walk_report_level(r, line), line->address - index * f->entry_bytes, index,
                 f->entry_bytes, line->address, i + 1, tell_server(line->server));
        tell_cost(t, line->cycles);
        tell_entry(t, line);
        tell_end(t);
        return;
    }
    tell_add(t, " %s entry is at gpa 0x%" PRIx64 " + %" PRIu64 " x %u = 0x%" PRIx64 ".",
             walk_report_level(r, line), line->table_ia - index * f->entry_bytes, index,
             f->entry_bytes, line->table_ia);
    tell_way(t, g);
    tell_add(t, "%s at 0x%" PRIx64 ". There reference %u reads it from %s",
             g->end > g->first ? "; it is" : " It is", line->address,
             (unsigned)(line - r->line) + 1, tell_server(line->server));
    tell_cost(t, line->cycles);
    tell_entry(t, line);
    tell_end(t);
}

/*
 * Of what is found for the first stage, the line that says most: of three stages, one of the middle
 * stage, where the walk got to one; those below it are for its entries.
 */
static const struct walk_line *sought(const struct walk_report *r, const struct group *g)
{
    for (unsigned i = g->first; i < g->end; i++)
        if (r->line[i].depth == 1)
            return &r->line[i];
    return &r->line[g->first];
}

static void tell_data(struct telling *t, const struct group *g)
{
    const struct walk_report *r = t->r;
    const struct walk_line *line = sought(r, g);
    bool found = r->outcome.kind == OUTCOME_OK;
    if (line->for_level)
        tell_add(t, "%s's %s entry is at gpa 0x%" PRIx64 ".",
                 r->stages > 2 ? walk_report_owner(r, line->for_depth) : "The guest",
                 format_level_name(&r->stage[line->for_depth].format, line->for_level), line->ia);
    else
        tell_add(t,
                 "The page's address and the offset are the data's gpa, 0x%" PRIx64
                 ": no address of %s's either.",
                 line->ia, walk_report_owner(r, r->stages - 1));
    tell_way(t, g);
    if (found)
        tell_add(t, "; it is at 0x%" PRIx64, r->outcome.hpa);
    tell_add(t, ".");
    tell_end(t);
}

static void tell_direct_data(struct telling *t)
{
    const struct walk_report *r = t->r;
    if (r->outcome.kind != OUTCOME_OK)
        return;
    tell_add(t,
             "No entry on the way had the switch bit: the page's address and the offset are the "
             "host's address of the data at once, 0x%" PRIx64
             ". The guest takes it for gpa 0x%" PRIx64 ".",
             r->outcome.hpa, r->outcome.gpa);
    tell_end(t);
}

void tell_groups(struct telling *t)
{
    const struct walk_report *r = t->r;
    for (unsigned i = 0; i < r->n_tables && !r->tlb_hit;) {
        struct group g = group_from(r, i);
        if (g.guest && g.guest->read)
            tell_guest_entry(t, &g);
        else if (!g.guest && g.end > g.first)
            tell_data(t, &g);
        if (g.guest && g.guest->direct && g.guest->leaf && g.guest->read)
            tell_direct_data(t);
        i = g.end + (g.guest != NULL);
    }
}

/* ---- the end ---- */

/* Events of a kind at a depth, or at all below the guest's. */
static unsigned count_at(const struct walk_report *r, enum event_kind kind, bool guest,
                         cycles_t *cycles)
{
    unsigned n = 0;
    *cycles = 0;
    for (unsigned i = 0; i < r->n_events; i++)
        if (r->event[i].kind == kind && !r->event[i].depth == guest)
            n++, *cycles += r->price[i];
    return n;
}

/* Whether a page that holds a table of the guest has become dirty in the host. */
static bool dirtied_table(const struct walk_report *r)
{
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        if (line->depth && line->for_level && line->set & r->stage[line->depth].format.dirty)
            return true;
    }
    return false;
}

/* Of the first stage: in whose tables bits were set. */
static const char *whose_set(const struct walk_report *r)
{
    bool shadow = false, own = false;
    for (unsigned i = 0; i < r->n_lines; i++)
        if (!r->line[i].depth && r->line[i].set)
            *(r->line[i].direct ? &shadow : &own) = true;
    return !shadow ? "guest's" : own ? "shadow's and the guest's" : "shadow's";
}

static void tell_set_in(struct telling *t, bool guest)
{
    cycles_t accessed, dirty;
    unsigned a = count_at(t->r, EVENT_SET_ACCESSED, guest, &accessed);
    unsigned d = count_at(t->r, EVENT_SET_DIRTY, guest, &dirty);
    if (!a && !d)
        return;
    if (t->r->stages > 2)
        tell_add(t, "In %s tables the processor sets ", guest ? "L2's" : "L1's and L0's");
    else
        tell_add(t, "In the %s tables the processor sets ", guest ? whose_set(t->r) : "host's");
    if (a)
        tell_add(t, "A, \"accessed\", in %u %s%s", a, a == 1 ? "entry" : "entries",
                 d ? " and " : "");
    if (d)
        tell_add(t, "D, \"dirty\", in %u %s", d, d == 1 ? "entry" : "entries");
    tell_cost(t, accessed + dirty);
    tell_add(t, ".");
    if (!guest && dirtied_table(t->r))
        tell_add(t,
                 " Where %s's tables are, too: setting a bit in one is a write, and with "
                 "A and D in the second stage even reading one counts as a write.",
                 walk_report_owner(t->r, 0));
    if (!guest && d && t->r->machine->vm[t->r->item.vm].config->page_log)
        tell_add(t, " Each page that becomes dirty goes into the page-modification log.");
    tell_end(t);
}

void tell_set_below(struct telling *t)
{
    tell_set_in(t, true);
    tell_set_in(t, false);
}

void tell_kept(struct telling *t)
{
    const struct walk_report *r = t->r;
    if (r->tlb_hit)
        tell_add(t,
                 "The data is at gpa 0x%" PRIx64 ", and in the host at 0x%" PRIx64
                 ": the TLB has both steps as one.",
                 r->outcome.gpa, r->outcome.hpa);
    if (r->tlb_hit || !r->stage[0].format.levels) {
        tell_end(t);
        return;
    }
    tell_add(t,
             "The TLBs keep the page from now on, from the program's address to %s's in one "
             "step",
             walk_report_owner(r, r->stages - 1));
    if (r->stage[0].format.levels > 1 && !r->by_entry)
        tell_add(t,
                 ", and the paging-structure caches the way to it, where the machine has them: "
                 "those of %s with %s's address of the next table, those of %s by gpa",
                 walk_report_owner(r, 0), walk_report_owner(r, r->stages - 1),
                 r->stages > 2 ? "L1 and L0" : "the host");
    if (r->machine->vcpu[0].mmu->look.nested[1])
        tell_add(t, "; the nested TLB keeps where %s has %s's tables",
                 walk_report_owner(r, r->stages - 1), walk_report_owner(r, 0));
    tell_add(t, ".");
    tell_end(t);
}

void tell_exit(struct telling *t)
{
    const struct walk_report *r = t->r;
    const struct vm_exit *exit = &r->outcome.exit;
    char why[200];
    cycles_t cycles;
    walk_report_count(r, EVENT_EXIT, &cycles);
    tell_add(t,
             "The walk ends here: %s. Nothing is changed: no A, no D, no cache entry for the "
             "page.",
             walk_report_why(r, why, sizeof why));
    tell_end(t);
    tell_add(t, "The processor exits to %s", walk_report_hypervisor(r, r->attempt.refusal.depth));
    tell_cost(t, cycles);
    tell_add(t, ": ");
    tell_reason(t, exit->reason, exit->address, exit->qualification);
    tell_add(t, ". The hypervisor has no answer: it has no memory to give there, or may not.");
    tell_end(t);
}
