/* The table, and the two ways it is printed. */
#include "tests/reproduce/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[VERDICTS] = {
    "reproduced exactly", "within tolerance", "shape holds",
    "**differs**",        "published only",   "not run",
};

void table_section(struct table *t, const char *title, const char *about)
{
    t->section = title;
    t->about = about;
}

static struct row *add(struct table *t, const struct claim *claim, enum verdict verdict)
{
    t->row = realloc(t->row, (t->n + 1) * sizeof *t->row);
    if (!t->row)
        abort();
    struct row *row = &t->row[t->n++];
    *row = (struct row){.section = t->section, .about = t->about, .verdict = verdict};
    snprintf(row->target, sizeof row->target, "%s", claim->target);
    snprintf(row->published, sizeof row->published, "%s", claim->published);
    snprintf(row->source, sizeof row->source, "%s", claim->source);
    t->section = t->about = NULL;
    return row;
}

void table_number(struct table *t, const struct claim *claim, double published, double ours)
{
    struct row *row = add(t, claim, published == ours ? EXACT : DIFFERS);
    snprintf(row->ours, sizeof row->ours, "%.10g", ours);
    snprintf(row->difference, sizeof row->difference, "%.10g", ours - published);
}

void table_text(struct table *t, const struct claim *claim, const char *published, const char *ours)
{
    bool same = !strcmp(published, ours);
    struct row *row = add(t, claim, same ? EXACT : DIFFERS);
    snprintf(row->ours, sizeof row->ours, "%s", same && strlen(ours) > 40 ? "the same" : ours);
    snprintf(row->difference, sizeof row->difference, "%s", same ? "none" : "yes");
}

void table_near(struct table *t, const struct claim *claim, double published, double ours,
                double tolerance)
{
    double off = ours - published;
    bool exact = off == 0, near = fabs(off) <= tolerance;
    struct row *row = add(t, claim, exact ? EXACT : near ? WITHIN : DIFFERS);
    snprintf(row->ours, sizeof row->ours, "%.4g", ours);
    snprintf(row->difference, sizeof row->difference, "%+.2g (up to %.2g)", off, tolerance);
}

void table_shape(struct table *t, const struct claim *claim, bool holds, const char *ours, ...)
{
    struct row *row = add(t, claim, holds ? SHAPE : DIFFERS);
    va_list args;
    va_start(args, ours);
    vsnprintf(row->ours, sizeof row->ours, ours, args);
    va_end(args);
    snprintf(row->difference, sizeof row->difference, "-");
}

void table_beside(struct table *t, const struct claim *claim, const char *ours, ...)
{
    struct row *row = add(t, claim, PUBLISHED);
    va_list args;
    va_start(args, ours);
    vsnprintf(row->ours, sizeof row->ours, ours, args);
    va_end(args);
    snprintf(row->difference, sizeof row->difference, "-");
}

void table_not_run(struct table *t, const struct claim *claim, enum mode mode)
{
    struct row *row = add(t, claim, NOT_RUN);
    snprintf(row->ours, sizeof row->ours, "not run: mode %s is missing", mode_name(mode));
    snprintf(row->difference, sizeof row->difference, "-");
}

unsigned table_count(const struct table *t, enum verdict verdict)
{
    unsigned n = 0;
    for (unsigned i = 0; i < t->n; i++)
        n += t->row[i].verdict == verdict;
    return n;
}

static void print_counts(const struct table *t, FILE *f)
{
    for (enum verdict v = 0; v < VERDICTS; v++)
        if (table_count(t, v))
            fprintf(f, "%s%s: %u", v ? ", " : "", words[v], table_count(t, v));
    fprintf(f, "\n");
}

void table_print_page(const struct table *t, FILE *f)
{
    print_counts(t, f);
    for (const struct row *row = t->row; row < t->row + t->n; row++) {
        if (row->section) {
            fprintf(f, "\n## %s\n\n%s\n\n", row->section, row->about);
            fprintf(f, "| target | published | source | ours | difference | verdict |\n");
            fprintf(f, "|---|---|---|---|---|---|\n");
        }
        fprintf(f, "| %s | %s | %s | %s | %s | %s |\n", row->target, row->published, row->source,
                row->ours, row->difference, words[row->verdict]);
    }
}

void table_print(const struct table *t, FILE *f)
{
    for (const struct row *row = t->row; row < t->row + t->n; row++) {
        if (row->section)
            fprintf(f, "\n%s\n", row->section);
        fprintf(f, "  %-19s %s: %s; ours: %s\n", words[row->verdict], row->target, row->published,
                row->ours);
    }
    fprintf(f, "\n");
    print_counts(t, f);
}

void table_fini(struct table *t)
{
    free(t->row);
    *t = (struct table){0};
}
