/* A walk of two dimensions in text: the grid, and the list of what was read and what was not. */
#include <inttypes.h>
#include <string.h>

#include "sim/report/walk_report.h"
#include "sim/report/words.h"

enum { CELL = 12, ROW_NAME = 6, ROWS = LEVELS_MAX + 1 };

/* ---- bits ---- */

static void x86_letters(const struct format *f, const struct walk_line *line, char *text)
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

void walk_report_bits(const struct walk_report *r, const struct walk_line *line, char *text)
{
    const struct format *f = &r->stage[line->depth].format;
    if (walk_report_is_ept(r, line->depth))
        ept_letters(f, line->level, line->entry, text);
    else
        x86_letters(f, line, text);
}

/* ---- the grid ---- */

/* One row: the level of the guest's table that is looked for, or 0 for the data. */
struct row {
    unsigned level;
    unsigned cell[LEVELS_MAX + 1]; /* [host level], [0] the guest's own entry: line + 1 */
};

/* Which line stands where. What a stale cache led to has no place. */
static unsigned gather_rows(const struct walk_report *r, struct row *rows)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->n_tables; i++) {
        const struct walk_line *line = &r->line[i];
        unsigned level = line->depth ? line->for_level : line->level;
        if (n < ROWS && (!n || rows[n - 1].level != level))
            rows[n++] = (struct row){.level = level};
        rows[n - 1].cell[line->depth ? line->level : 0] = i + 1;
    }
    return n;
}

/* @p last: nothing follows on its line. */
static void print_cell(const struct walk_report *r, unsigned n, bool last, FILE *out)
{
    char symbol[8], text[CELL + 8] = "  .";
    const struct walk_line *line = n ? &r->line[n - 1] : NULL;
    if (line)
        snprintf(text, sizeof text, line->read ? " %2u %s%s%s" : "(%u) %s%s%s", n,
                 walk_report_symbol(r, line, symbol), line->refused ? "!" : "",
                 line->differs ? "*" : "");
    fprintf(out, " %-*s", last ? 0 : CELL - 1, text);
}

static void print_row(const struct walk_report *r, const struct row *row, FILE *out)
{
    const char *name = row->level ? format_level_name(&r->stage[0].format, row->level) : "data";
    fprintf(out, "%-*s", ROW_NAME, name);
    for (unsigned level = r->stage[1].format.levels; level; level--)
        print_cell(r, row->cell[level], level == 1 && !row->level, out);
    if (row->level)
        print_cell(r, row->cell[0], true, out);
    fputs("\n", out);
}

static void print_heading(const struct walk_report *r, FILE *out)
{
    const struct format *host = &r->stage[1].format;
    char text[CELL + 8];
    fprintf(out, "%-*s", ROW_NAME, "guest");
    for (unsigned level = host->levels; level; level--) {
        snprintf(text, sizeof text, "host %s", format_level_name(host, level));
        fprintf(out, " %-*s", CELL - 1, text);
    }
    fputs(" the entry\n", out);
}

/* Which symbols this grid has. */
struct used {
    bool served[SERVERS], saved[SAVED_UNREACHED + 1], host, refused, differs, direct, at_host;
};

static struct used find_used(const struct walk_report *r)
{
    struct used used = {0};
    for (unsigned i = 0; i < r->n_tables; i++) {
        const struct walk_line *line = &r->line[i];
        used.served[line->server] |= line->read;
        used.saved[line->saver] |= !line->read;
        used.host |= line->saver == SAVED_STRUCTURE && line->saver_depth;
        used.refused |= line->refused;
        used.differs |= line->differs;
        used.direct |= line->direct;
        used.at_host |= walk_report_at_host(r, i);
    }
    return used;
}

static void print_legend(const struct walk_report *r, FILE *out)
{
    static const char *const servers[SERVERS] = {"L1, L2 data caches", "L1, L2 data caches",
                                                 "LLC last-level cache", "mem memory",
                                                 "PWC structure cache"};
    static const char *const savers[] = {
        [SAVED_TLB] = "(n) not read: TLB, a TLB had the page",
        [SAVED_STRUCTURE] = "(n) not read: pde, pdpte, pml4, pml5, a structure cache knew the way",
        [SAVED_NESTED] = "(n) not read: NTLB, the nested TLB knew where the table is",
        [SAVED_UNREACHED] = "(n) - not reached",
    };
    const struct used used = find_used(r);
    const char *between = "by: ";
    fputs("each number is a reference, in the order of the walk, and who served it\n", out);
    for (unsigned i = 0; i < SERVERS; i++) {
        bool told = i == SERVED_L2 && used.served[SERVED_L1];
        if (!used.served[i] || told)
            continue;
        fprintf(out, "%s%s", between, servers[i]);
        between = "; ";
    }
    fputs(*between == ';' ? "\n" : "", out);
    for (unsigned i = SAVED_TLB; i <= SAVED_UNREACHED; i++)
        if (used.saved[i])
            fprintf(out, "%s%s\n", savers[i],
                    i == SAVED_STRUCTURE && used.host ? " (h: the host's)" : "");
    if (used.at_host)
        fprintf(out, ".  no host walk: %s\n",
                used.direct ? "a shadow table stands at a host address, and leads to one"
                            : "the hypervisor has set the root's host address");
    fputs(used.refused ? "! the walk ended there\n" : "", out);
    fputs(used.differs ? "* a cache led elsewhere\n" : "", out);
}

void walk_report_grid(const struct walk_report *r, FILE *out)
{
    struct row rows[ROWS];
    if (r->stages != 2) {
        fputs("three dimensions make no grid: the references as a list\n\n", out);
        return;
    }
    unsigned n = gather_rows(r, rows);
    print_heading(r, out);
    for (unsigned i = 0; i < n; i++)
        print_row(r, &rows[i], out);
    print_legend(r, out);
    fputs("\n", out);
}

/* ---- the list ---- */

static void print_reference(const struct walk_report *r, unsigned i, FILE *out)
{
    const struct walk_line *line = &r->line[i];
    const struct format *f = &r->stage[line->depth].format;
    char bits[12], n[16], of[24], symbol[8], cycles[24];
    walk_report_bits(r, line, bits);
    snprintf(n, sizeof n, line->read ? "%u" : "(%u)", i + 1);
    snprintf(of, sizeof of, "%s %s", walk_report_dimension(r, line), walk_report_level(r, line));
    snprintf(cycles, sizeof cycles, "%" PRIu64, line->cycles);
    fprintf(out, "%5s %-10s %4" PRIu64 " 0x%-12" PRIx64 " 0x%-16" PRIx64 " %-9s %-6s %6s%s%s\n", n,
            of, line->ia >> f->shift[line->level] & low_bits(f->index_bits[line->level]),
            line->address, line->entry, bits, walk_report_symbol(r, line, symbol),
            line->read ? cycles : "-", line->refused ? "!" : "", line->differs ? "*" : "");
}

/* What was read in each dimension, of how much: the shadow's apart, in a place after all stages. */
static void print_sums(const struct walk_report *r, FILE *out)
{
    unsigned read[STAGES_MAX + 1] = {0}, all[STAGES_MAX + 1] = {0}, total = 0;
    cycles_t cycles[STAGES_MAX + 1] = {0};
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        unsigned place = line->direct ? STAGES_MAX : line->depth;
        all[place]++;
        read[place] += line->read;
        cycles[place] += line->cycles;
        total += line->read;
    }
    int column = fprintf(out, "read: %u of %u:", total, r->n_lines);
    for (unsigned i = 0; i <= r->stages; i++) {
        unsigned place = i ? i - 1 : STAGES_MAX;
        char text[100];
        if (!i && !all[place])
            continue;
        int n = snprintf(text, sizeof text, "%s %u of %u, %" PRIu64 " cycles%s",
                         i ? dimension_name(r->stages, place) : "shadow", read[place], all[place],
                         cycles[place], i < r->stages ? ";" : "");
        if (column + 1 + n > 80)
            column = fprintf(out, "\n ") - 1;
        column += fprintf(out, " %s", text);
    }
    fputs("\n", out);
}

void walk_report_references(const struct walk_report *r, FILE *out)
{
    bool ept = walk_report_is_ept(r, 1);
    fprintf(out, "%5s %-10s %4s %-14s %-18s %-9s %-6s %6s\n", "#", "of", "idx", "entry at (hpa)",
            "entry", "bits", "served", "cycles");
    for (unsigned i = 0; i < r->n_lines; i++)
        print_reference(r, i, out);
    fprintf(out,
            "bits: %sP present, W writable, U user, N no execute, A accessed,\n"
            "D dirty, S large page, G global; - clear, . without a meaning there\n",
            !ept            ? ""
            : r->stages > 2 ? "of l2 "
                            : "of the guest ");
    if (ept)
        fputs("bits of EPT: R W X may be read, written, executed (U: by user code); A, D, S;\n"
              "memory type of a page: wb write-back, uc uncached, wc, wt, wp\n",
              out);
    print_sums(r, out);
}
