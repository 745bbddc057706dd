/* One walk as a picture in text: the address cut into indexes, the entries on the way, the end. */
#include <inttypes.h>
#include <string.h>

#include "sim/report/lines.h"
#include "sim/report/walk_report.h"

enum { CELL = 10, CELLS = LEVELS_MAX + 2, WIDTH = 80 };

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
    const struct format *f = &r->stage.format;
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

/* One letter per bit; '-' is clear, '.' means nothing there. */
static void letters(const struct format *f, const struct walk_line *line, char *text)
{
    uint64_t entry = line->entry;
    uint32_t rights = format_rights(f, line->leaf, entry);
    bool present = format_present(f, entry), leaf = present && line->leaf;
    const struct {
        char letter;
        bool means, set;
    } bits[] = {
        {'P', true, present},
        {'W', present && walk_report_rules(f, MAY_WRITE), rights & MAY_WRITE},
        {'U', present && walk_report_rules(f, MAY_USER), rights & MAY_USER},
        {'N', present && f->no_exec, entry & f->no_exec},
        {'A', present && f->accessed, entry & f->accessed},
        {'D', leaf && f->dirty, entry & f->dirty},
        {'S', present && f->leaf_levels >> line->level & 1, line->leaf},
        {'G', leaf && f->global, entry & f->global},
    };
    for (unsigned i = 0; i < 8; i++)
        text[i] = !bits[i].means ? '.' : bits[i].set ? bits[i].letter : '-';
    text[8] = 0;
}

static const char *const servers[SERVERS] = {"L1 cache", "L2 cache", "last level", "memory",
                                             "struct cache"};

static const char *served_name(const struct walk_line *line)
{
    return line->read ? servers[line->server] : line->served_by;
}

static void print_lines(const struct walk_report *r, FILE *out)
{
    bool unread = false;
    char bits[9], n[8], cycles[24];
    fprintf(out, "%4s %-4s %4s  %-15s %-18s %-8s %-12s %6s\n", "#", "of", "idx", "entry at",
            "entry", "bits", "served by", "cycles");
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        const struct format *f = &r->stage.format;
        letters(f, line, bits);
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

/* Which entries one bit was set in, "A in PGD, PUD". */
static void print_bit(const struct walk_report *r, const char *name, uint64_t bit, bool *begun,
                      FILE *out)
{
    const char *between = " in ";
    for (unsigned i = 0; i < r->n_lines; i++) {
        if (!(r->line[i].set & bit))
            continue;
        if (*between == ' ')
            fprintf(out, "%s%s", *begun ? "; " : "set: ", name);
        fprintf(out, "%s%s", between, walk_report_level(r, &r->line[i]));
        between = ", ";
        *begun = true;
    }
}

static void print_set(const struct walk_report *r, FILE *out)
{
    bool begun = false;
    print_bit(r, "A", r->stage.format.accessed, &begun, out);
    print_bit(r, "D", r->stage.format.dirty, &begun, out);
    fputs(begun ? "\n" : "", out);
}

static void print_cycles(const struct walk_report *r, FILE *out)
{
    static const struct {
        enum event_kind kind;
        const char *what;
    } parts[] = {
        {EVENT_ACCESS, "access"}, {EVENT_TLB_L2, "L2 TLB"},      {EVENT_STRUCTURE_HIT, "cache"},
        {EVENT_REF, "entries"},   {EVENT_SET_ACCESSED, "set A"}, {EVENT_SET_DIRTY, "set D"},
        {EVENT_DATA, "data"},     {EVENT_FAULT, "fault"},        {EVENT_GUEST_FAULT, "guest OS"},
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

static void print_end(const struct walk_report *r, FILE *out)
{
    const struct outcome *o = &r->outcome;
    char text[200], page[16];
    if (o->kind == OUTCOME_STOP) {
        fprintf(out, "stopped: %s\n", o->words);
    } else if (o->kind == OUTCOME_OK && !r->attempt.found.level) {
        fprintf(out, "physical address: 0x%" PRIx64 "\n", o->hpa);
    } else if (o->kind == OUTCOME_OK) {
        const struct format *f = &r->stage.format;
        uint64_t inside = r->item.access.gva & low_bits(f->shift[r->attempt.found.level]);
        fprintf(out,
                "page 0x%" PRIx64 " (%s) + offset 0x%" PRIx64 " = physical address 0x%" PRIx64 "\n",
                o->gpa - inside, format_page_name(f, r->attempt.found.level, page), inside, o->gpa);
    } else {
        fprintf(out, "%s, error code 0x%" PRIx32 ": %s\n", o->vector == 14 ? "#PF" : "#GP",
                o->error_code, walk_report_why(r, text, sizeof text));
        if (r->process)
            fprintf(out, "the guest OS has no answer: no map of %s allows it\n", r->process);
    }
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

static void print_handled(const struct walk_report *r, FILE *out)
{
    for (unsigned i = 0; i < r->n_handled; i++)
        fprintf(out, "before: #PF, error code 0x%" PRIx64 " (%s, %s), answered by the guest OS\n",
                r->handled[i].value, refusal_name((enum refusal_kind)r->handled[i].detail),
                format_level_name(&r->stage.format, r->handled[i].level));
    if (r->stale)
        fputs("STALE: a cache answers as the tables once were. By now they say something else,\n"
              "and the guest has not invalidated it (* marks entries where the two ways part)\n",
              out);
}

static void print_root(const struct walk_report *r, FILE *out)
{
    const struct format *f = &r->stage.format;
    if (!f->levels) {
        fputs("paging is off: the address is the physical address\n", out);
        return;
    }
    print_address(r, out);
    fprintf(out, "\nCR3 = 0x%" PRIx64 ": the %s %s at 0x%" PRIx64 "\n", r->registers.cr3,
            format_level_name(f, f->levels),
            f->registers ? "table, loaded into registers, was" : "table is", r->stage.root);
    if (f->registers) {
        unsigned i = (unsigned)(r->item.access.gva >> f->shift[f->levels] &
                                low_bits(f->index_bits[f->levels]));
        fprintf(out, "PDPTE register %u = 0x%" PRIx64 " (a register: no memory is read)\n", i,
                r->stage.top[i]);
    }
    fputs("\n", out);
}

void walk_report_table(const struct walk_report *r, FILE *out)
{
    const struct access *a = &r->item.access;
    fprintf(out, "%s of 0x%" PRIx64 " by %s\nVM %s%s%s; %s, %s%s\n\n",
            a->op == OP_READ    ? "read"
            : a->op == OP_WRITE ? "write"
                                : "fetch",
            a->gva, a->flags & ACCESS_USER ? "user code" : "the supervisor", r->vm,
            r->process ? ", process " : "", r->process ? r->process : "", r->mode,
            r->stage.format.levels ? r->stage.format.name : "no paging",
            r->cold ? "; all caches emptied" : "");
    print_root(r, out);
    if (r->n_lines)
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
    int column = fprintf(p->out, "%2u.", ++p->n);
    while (*sentence) {
        int length = (int)strcspn(sentence, " ");
        if (column + 1 + length > WIDTH)
            column = fprintf(p->out, "\n   ") - 1;
        column += fprintf(p->out, " %.*s", length, sentence);
        sentence += length + (sentence[length] == ' ');
    }
    fputs("\n", p->out);
}

void walk_report_explain(const struct walk_report *r, FILE *out)
{
    struct paragraph p = {out, 0};
    walk_report_steps(r, print_step, &p);
}
