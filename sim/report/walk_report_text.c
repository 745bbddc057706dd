/* One walk as a picture in text: the address cut into indexes, the entries on the way, the end. */
#include <inttypes.h>
#include <string.h>

#include "sim/report/fold.h"
#include "sim/report/lines.h"
#include "sim/report/walk_report.h"
#include "sim/report/words.h"

enum { CELL = 10, CELLS = LEVELS_MAX + 2, LIST_WIDTH = 100 };

/* ---- the address, cut ---- */

struct cell {
    char bits[12], name[12], binary[12], number[12];
};

static void binary(char *text, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        text[i] = value >> (width - 1 - i) & 1 ? '1' : '0';
    text[width] = 0;
}

static void fill_cell(struct cell *cell, const char *name, gva_t gva, unsigned high, unsigned low)
{
    unsigned width = high - low + 1;
    uint64_t value = width < 64 ? gva >> low & low_bits(width) : gva;
    bool offset = !strcmp(name, "offset");
    snprintf(cell->bits, sizeof cell->bits, "%u..%u", high, low);
    snprintf(cell->name, sizeof cell->name, "%s", name);
    if (width <= CELL)
        binary(cell->binary, value, width);
    if (offset || width > CELL)
        snprintf(cell->number, sizeof cell->number, "0x%" PRIx64, value & low_bits(36));
    else
        snprintf(cell->number, sizeof cell->number, "%" PRIu64, value);
}

static unsigned cut(const struct walk_report *r, struct cell *cells)
{
    const struct format *f = &r->stage[0].format;
    gva_t gva = r->item.access.gva;
    unsigned n = 0, last = walk_report_page_level(r);
    memset(cells, 0, CELLS * sizeof *cells);
    if (f->canonical) {
        fill_cell(&cells[n], "sign", gva, 63, f->ia_bits);
        snprintf(cells[n++].number, sizeof cells->number, "0x%" PRIx64, gva >> f->ia_bits);
    }
    for (unsigned level = f->levels; level >= last; level--)
        fill_cell(&cells[n++], format_level_name(f, level), gva,
                  f->shift[level] + f->index_bits[level] - 1u, f->shift[level]);
    fill_cell(&cells[n++], "offset", gva, f->shift[last] - 1u, 0);
    return n;
}

static void centred(FILE *out, const char *text)
{
    int length = (int)strlen(text), before = (CELL - length) / 2;
    fprintf(out, "|%*s%s%*s", before, "", text, CELL - length - before, "");
}

static void rule(FILE *out, unsigned n)
{
    while (n--)
        fputs("+----------", out);
    fputs("+\n", out);
}

static void print_address(const struct walk_report *r, FILE *out)
{
    struct cell cells[CELLS];
    unsigned n = cut(r, cells);
    for (unsigned i = 0; i < n; i++)
        fprintf(out, " %*s", CELL - 1, cells[i].bits);
    fputs("\n", out);
    rule(out, n);
    for (unsigned i = 0; i < n; i++)
        centred(out, cells[i].name);
    fputs("|\n", out);
    for (unsigned i = 0; i < n; i++)
        centred(out, cells[i].binary);
    fputs("|\n", out);
    for (unsigned i = 0; i < n; i++)
        centred(out, cells[i].number);
    fputs("|\n", out);
    rule(out, n);
}

/* ---- the entries ---- */

static const char *const servers[SERVERS] = {"L1 cache", "L2 cache", "last level", "memory",
                                             "struct cache"};

static const char *served_name(const struct walk_line *line)
{
    return line->read ? servers[line->server] : line->served_by;
}

static void print_lines(const struct walk_report *r, FILE *out)
{
    bool unread = false;
    char bits[12], n[8], cycles[24];
    fprintf(out, "%4s %-4s %4s  %-15s %-18s %-8s %-12s %6s\n", "#", "of", "idx", "entry at",
            "entry", "bits", "served by", "cycles");
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        const struct format *f = &r->stage[0].format;
        walk_report_bits(r, line, bits);
        snprintf(n, sizeof n, line->read ? "%u" : "(%u)", (i + 1) % 1000);
        snprintf(cycles, sizeof cycles, "%" PRIu64, line->cycles);
        fprintf(out, "%4s %-4s %4" PRIu64 "  0x%-13" PRIx64 " 0x%-16" PRIx64 " %-8s %-12s %6s%s\n",
                n, walk_report_level(r, line),
                line->ia >> f->shift[line->level] & low_bits(f->index_bits[line->level]),
                line->address, line->entry, bits, served_name(line), line->read ? cycles : "-",
                line->differs ? "*" : "");
        unread |= !line->read;
    }
    fputs("bits: P present, W writable, U user, N no execute, A accessed, D dirty, S large\n"
          "page, G global; - clear, . without a meaning there\n",
          out);
    if (unread)
        fputs("(n): not read, as the cache under 'served by' had what it leads to\n", out);
}

/* ---- the end ---- */

static void print_tlbs(const struct walk_report *r, FILE *out)
{
    const char *between = "TLB: ";
    for (unsigned i = 0; i < r->n_events; i++) {
        const struct event *e = &r->event[i];
        if (e->kind != EVENT_TLB_HIT && e->kind != EVENT_TLB_MISS)
            continue;
        fprintf(out, "%s%s %s", between, tlb_name((enum tlb_name)e->detail),
                e->kind == EVENT_TLB_HIT ? "hit" : "miss");
        between = ", ";
    }
    if (*between == ',')
        fputs(walk_report_event(r, EVENT_WALK_DIRTY)
                  ? "; its entry is clean, so the write is walked to set D\n"
                  : "\n",
              out);
}

/* The same entry may have been read more than once, and is set once. */
static bool set_before(const struct walk_report *r, unsigned i, uint64_t bit)
{
    for (unsigned j = 0; j < i; j++)
        if (r->line[j].address == r->line[i].address && r->line[j].set & bit)
            return true;
    return false;
}

/* Which entries of a depth one bit was set in, "A in PGD, PUD"; by number where there are many. */
static void print_bit(const struct walk_report *r, unsigned depth, bool direct, const char *name,
                      uint64_t bit, bool *begun, FILE *out)
{
    const char *between = depth ? " in #" : " in ";
    bool first = true;
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        if (line->depth != depth || line->direct != direct || !(line->set & bit) ||
            set_before(r, i, bit))
            continue;
        if (first && !*begun)
            fprintf(out, "set%s%s: ",
                    r->stages > 2   ? " in "
                    : r->stages > 1 ? " in the "
                                    : "",
                    r->stages > 1 ? walk_report_dimension(r, line) : "");
        if (first)
            fprintf(out, "%s%s", *begun ? "; " : "", name);
        if (depth)
            fprintf(out, "%s%u", between, i + 1);
        else
            fprintf(out, "%s%s", between, walk_report_level(r, line));
        between = depth ? " " : ", ";
        first = false;
        *begun = true;
    }
}

static void print_set(const struct walk_report *r, FILE *out)
{
    for (unsigned i = 0; i <= r->stages; i++) {
        unsigned depth = i ? i - 1 : 0;
        bool begun = false;
        print_bit(r, depth, !i, "A", r->stage[depth].format.accessed, &begun, out);
        print_bit(r, depth, !i, "D", r->stage[depth].format.dirty, &begun, out);
        fputs(begun ? "\n" : "", out);
    }
}

static void print_cycles(const struct walk_report *r, FILE *out)
{
    static const struct {
        enum event_kind kind;
        const char *what;
    } parts[] = {
        {EVENT_ACCESS, "access"},         {EVENT_TLB_L2, "L2 TLB"}, {EVENT_STRUCTURE_HIT, "cache"},
        {EVENT_NESTED_HIT, "nested TLB"}, {EVENT_REF, "entries"},   {EVENT_SET_ACCESSED, "set A"},
        {EVENT_SET_DIRTY, "set D"},       {EVENT_DATA, "data"},     {EVENT_FAULT, "fault"},
        {EVENT_GUEST_FAULT, "guest OS"},  {EVENT_EXIT, "exit"},     {EVENT_WORK, "hypervisor"},
    };
    const char *between = " = ";
    fprintf(out, "cycles: %" PRIu64, r->cycles);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        cycles_t cycles;
        walk_report_count(r, parts[i].kind, &cycles);
        if (!cycles || cycles == r->cycles)
            continue;
        fprintf(out, "%s%" PRIu64 " %s", between, cycles, parts[i].what);
        between = " + ";
    }
    fputs("\n", out);
}

/*
 * The page and the offset, as the tables walked have it: of two stages those of the guest, who
 * knows gpas; of one stage of a VM the host's.
 */
static void print_found(const struct walk_report *r, FILE *out)
{
    const struct outcome *o = &r->outcome;
    const char *which = r->stages > 1 ? "guest-physical" : r->below ? "host-physical" : "physical";
    const struct format *f = &r->stage[0].format;
    unsigned level = r->attempt.found.level;
    char page[16];
    uint64_t inside = r->item.access.gva & low_bits(f->shift[level]);
    uint64_t at = r->stages > 1 ? o->gpa : o->hpa;
    if (level)
        fprintf(out, "page 0x%" PRIx64 " (%s) + offset 0x%" PRIx64 " = %s address 0x%" PRIx64 "\n",
                at - inside, format_page_name(f, level, page), inside, which, at);
    else
        fprintf(out, "%s address: 0x%" PRIx64 "\n", which, at);
    if (r->stages > 1)
        fprintf(out, "which %s has at physical address 0x%" PRIx64 "\n",
                walk_report_owner(r, r->stages - 1), o->hpa);
    else if (r->below)
        fprintf(out, "which the guest takes for physical address 0x%" PRIx64 "\n", o->gpa);
}

static void print_exit(const struct walk_report *r, FILE *out)
{
    const struct vm_exit *exit = &r->outcome.exit;
    char text[200];
    fprintf(out, "exit: %s, %s 0x%" PRIx64, exit_reason_name(exit->reason),
            exit_address_name(exit->reason), exit->address);
    if (exit->has_qualification)
        fprintf(out, ", qualification 0x%" PRIx64, exit->qualification);
    fprintf(out, ":\n%s\n", walk_report_why(r, text, sizeof text));
    if (exit->has_qualification && *qualification_words(r->second[1].kind, exit->reason,
                                                        exit->qualification, text, sizeof text))
        fold_print(out, fprintf(out, "that is"), " ", text);
    fputs("and the hypervisor has no answer\n", out);
}

static void print_fault(const struct walk_report *r, FILE *out)
{
    char text[200];
    fprintf(out, "%s, error code 0x%" PRIx32 ": %s\n", r->outcome.vector == 14 ? "#PF" : "#GP",
            r->outcome.error_code, walk_report_why(r, text, sizeof text));
    if (r->process)
        fprintf(out, "the guest OS has no answer: no map of %s allows it\n", r->process);
}

static void print_stop(const struct walk_report *r, FILE *out)
{
    fprintf(out, "stopped: %s\n", r->outcome.words);
}

static void print_end(const struct walk_report *r, FILE *out)
{
    static void (*const ends[])(const struct walk_report *, FILE *) = {
        [OUTCOME_OK] = print_found,
        [OUTCOME_FAULT] = print_fault,
        [OUTCOME_EXIT] = print_exit,
        [OUTCOME_STOP] = print_stop,
    };
    ends[r->outcome.kind](r, out);
}

/* The byte there, and who served it where the program's data goes through the data caches. */
static void print_data(const struct walk_report *r, FILE *out)
{
    const struct event *data = walk_report_event(r, EVENT_DATA);
    if (r->outcome.has_value)
        fprintf(out, "byte there: 0x%02" PRIx64, r->outcome.value);
    else if (data)
        fputs("data", out);
    if (data)
        fprintf(out, ", from %s", servers[data->detail]);
    if (r->outcome.has_value || data)
        fputs("\n", out);
}

/* A fault or an exit, without what answered it. */
static int name_answered(const struct walk_report *r, const struct event *e, char *text,
                         size_t room)
{
    if (e->kind == EVENT_FAULT)
        return snprintf(text, room,
                        "before: #PF, error code 0x%" PRIx64 " (%s, %s), answered by the guest OS",
                        e->value, refusal_name((enum refusal_kind)e->detail),
                        format_level_name(&r->stage[0].format, e->level));
    return snprintf(text, room, "before: exit%s%s, %s at %s 0x%" PRIx64, r->below > 1 ? " to " : "",
                    r->below > 1 ? walk_report_hypervisor(r, e->depth) : "",
                    exit_reason_name((enum exit_reason)e->detail),
                    exit_address_name((enum exit_reason)e->detail), e->address);
}

/* Each fault and exit on a line; the work that answered an exit after it, folded if it is long. */
static void print_handled(const struct walk_report *r, FILE *out)
{
    int column = 0;
    for (unsigned i = 0, n; i < r->n_handled; i += n ? n : 1) {
        const struct event *e = &r->handled[i];
        char text[200];
        int length;
        if ((n = walk_report_works(r, i))) {
            bool more = i && r->handled[i - 1].kind == EVENT_WORK;
            length = snprintf(text, sizeof text, "%s", work_name((enum work)e->detail));
            if (n > 1)
                length += snprintf(text + length, sizeof text - (size_t)length, " x %u", n);
            column += fprintf(out, more ? "," : ":");
            if (column + 2 + length > LIST_WIDTH)
                column = fprintf(out, "\n       ") - 1;
            column += fprintf(out, " %s", text);
            continue;
        }
        fputs(i ? "\n" : "", out);
        name_answered(r, e, text, sizeof text);
        column = fprintf(out, "%s", text);
    }
    fputs(r->n_handled ? "\n" : "", out);
    if (r->more_handled)
        fputs("before: and more\n", out);
    if (r->answered && r->below)
        fprintf(out, "cycles of all that before: %" PRIu64 "\n", r->answered);
    if (r->stale)
        fputs("STALE: a cache answers as the tables once were. By now they say something else,\n"
              "and the guest has not invalidated it (* marks entries where the two ways part)\n",
              out);
}

/* Where the second stages' tables are. */
static void print_pointers(const struct walk_report *r, FILE *out)
{
    for (unsigned depth = 1; depth < r->stages; depth++)
        fprintf(out, "%s = 0x%" PRIx64 ": %s's %s table is at %s0x%" PRIx64 "\n",
                walk_report_is_ept(r, depth) ? "EPTP" : "nCR3", r->second[depth].pointer,
                walk_report_owner(r, depth),
                format_level_name(&r->stage[depth].format, r->stage[depth].format.levels),
                depth + 1 < r->stages ? "gpa " : "", r->stage[depth].root);
}

static void print_root(const struct walk_report *r, FILE *out)
{
    const struct format *f = &r->stage[0].format;
    if (!f->levels) {
        fprintf(out, "paging is off: the address is the %sphysical address\n",
                r->stages > 1 ? "guest-" : "");
        print_pointers(r, out);
        fputs(r->stages > 1 ? "\n" : "", out);
        return;
    }
    print_address(r, out);
    bool shadow = r->shadowed || r->stage[0].direct, at_host = shadow || r->stage[0].host_root;
    fprintf(out, "\nCR3 = 0x%" PRIx64, at_host ? r->stage[0].root : r->registers.cr3);
    if (at_host)
        fprintf(out, " (the guest believes 0x%" PRIx64 ")", r->registers.cr3);
    fprintf(out, ": %s%s%s %s at %s0x%" PRIx64 "\n",
            shadow          ? "the shadow"
            : r->stages > 1 ? walk_report_owner(r, 0)
                            : "the",
            r->stages > 1 && !shadow ? "'s " : " ", format_level_name(f, f->levels),
            f->registers ? "table, loaded into registers, was" : "table is",
            r->stages > 1 && !at_host ? "gpa "
            : r->stages > 1           ? "hpa "
                                      : "",
            r->stage[0].root);
    if (f->registers) {
        unsigned i = (unsigned)(r->item.access.gva >> f->shift[f->levels] &
                                low_bits(f->index_bits[f->levels]));
        fprintf(out, "PDPTE register %u = 0x%" PRIx64 " (a register: no memory is read)\n", i,
                r->stage[0].top[i]);
    }
    print_pointers(r, out);
    fputs("\n", out);
}

void walk_report_table(const struct walk_report *r, FILE *out)
{
    const struct access *a = &r->item.access;
    fprintf(out, "%s of 0x%" PRIx64 " by %s\nVM %s%s%s; %s, %s%s%s%s\n\n",
            a->op == OP_READ    ? "read"
            : a->op == OP_WRITE ? "write"
                                : "fetch",
            a->gva, a->flags & ACCESS_USER ? "user code" : "the supervisor", r->vm,
            r->process ? ", process " : "", r->process ? r->process : "", r->mode,
            r->stage[0].format.levels ? r->stage[0].format.name : "no paging",
            r->stages > 1 ? " over " : "", r->stages > 1 ? second_name(r->second[1].kind) : "",
            r->cold ? "; all caches emptied" : "");
    print_root(r, out);
    if (r->n_lines && r->stages > 1)
        walk_report_grid(r, out), walk_report_references(r, out), fputs("\n", out);
    else if (r->n_lines)
        print_lines(r, out), fputs("\n", out);
    print_handled(r, out);
    print_tlbs(r, out);
    print_set(r, out);
    print_end(r, out);
    print_data(r, out);
    print_cycles(r, out);
}

/* ---- sentences, wrapped ---- */

struct paragraph {
    FILE *out;
    unsigned n;
};

static void print_step(void *self, const char *sentence)
{
    struct paragraph *p = self;
    fold_print(p->out, fprintf(p->out, "%2u.", ++p->n), "    ", sentence);
}

void walk_report_explain(const struct walk_report *r, FILE *out)
{
    struct paragraph p = {out, 0};
    walk_report_steps(r, print_step, &p);
}
