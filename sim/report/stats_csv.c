/* Statistics as CSV: one row for each number, its name the path that it has in the JSON. */
#include <inttypes.h>

#include "sim/report/csv_out.h"
#include "sim/report/figures.h"
#include "sim/report/stats.h"
#include "sim/report/words.h"

struct csv {
    FILE *out;
    const char *vm; /* NULL: all */
};

static void row(const struct csv *csv, uint64_t value, const char *a, const char *b, const char *c,
                const char *d)
{
    char path[400];
    const char *const steps[] = {b, c, d};
    int n = snprintf(path, sizeof path, "%s%s%s%s", csv->vm ? "vms." : "", csv->vm ? csv->vm : "",
                     csv->vm ? "." : "", a);
    for (unsigned i = 0; i < 3 && steps[i] && n < (int)sizeof path; i++)
        n += snprintf(path + n, sizeof path - (size_t)n, ".%s", steps[i]);
    csv_field(csv->out, path);
    fprintf(csv->out, ",%" PRIu64 "\n", value);
}

static void rows_of(const struct csv *csv, const char *what, const struct cache_stats *rows,
                    unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct cache_stats *r = &rows[i];
        row(csv, r->hits + r->misses, what, r->name, r->page, "lookups");
        row(csv, r->hits, what, r->name, r->page, "hits");
        row(csv, r->misses, what, r->name, r->page, "misses");
    }
}

static void walks(const struct csv *csv, const struct counts *c)
{
    uint64_t host = 0;
    char stage[16];
    for (unsigned s = 1; s < STAGES_MAX; s++)
        host += c->walks.by_stage[s];
    row(csv, c->walks.count, "walks", "count", NULL, NULL);
    row(csv, c->walks.retried, "walks", "retried", NULL, NULL);
    row(csv, c->walks.dirty, "walks", "dirty", NULL, NULL);
    row(csv, c->walks.by_stage[0], "walks", "refs", "guest", NULL);
    row(csv, host, "walks", "refs", "host", NULL);
    row(csv, c->walks.by_stage[0] + host, "walks", "refs", "total", NULL);
    for (unsigned s = 0; s < c->walks.stages; s++) {
        snprintf(stage, sizeof stage, "%u", s);
        row(csv, c->walks.by_stage[s], "walks", "refs", "by_stage", stage);
    }
    for (unsigned s = 0; s < SERVERS; s++)
        row(csv, c->walks.served_by[s], "walks", "served_by", server_name((enum server)s), NULL);
}

/* Every reason and kind of work, so that the rows of two runs are the same. */
static void hypervisor(const struct csv *csv, const struct counts *c)
{
    row(csv, stats_exits(c), "exits", "total", NULL, NULL);
    for (unsigned depth = 1; c->has_l1 && depth < STAGES_MAX; depth++)
        row(csv, c->exits_to[depth], "exits", "to", dimension_name(STAGES_MAX, depth), NULL);
    for (unsigned i = 0; c->has_hypervisor && i < EXIT_REASON_COUNT; i++)
        row(csv, c->exits[i], "exits", "by_reason", exit_reason_name((enum exit_reason)i), NULL);
    for (unsigned i = 0; c->has_hypervisor && i < WORK_COUNT; i++)
        row(csv, c->work[i], "work", work_name((enum work)i), NULL, NULL);
}

static void counts(const struct csv *csv, const struct counts *c)
{
    char text[40];
    row(csv, c->accesses, "accesses", NULL, NULL, NULL);
    row(csv, c->cycles, "cycles", NULL, NULL, NULL);
    for (unsigned i = 0; i < CYCLE_PARTS; i++)
        row(csv, c->cycles_by[i], "cycles_by", cycle_part_name((enum cycle_part)i), NULL, NULL);
    rows_of(csv, "tlb", c->tlb, c->n_tlb);
    rows_of(csv, "structure_caches", c->structure, c->n_structure);
    rows_of(csv, "nested_tlb", c->nested, c->n_nested);
    walks(csv, c);
    for (unsigned f = REFUSED_NOT + 1; f < REFUSED_LOG_FULL; f++)
        row(csv, c->faults[f], "faults", refusal_name((enum refusal_kind)f), NULL, NULL);
    hypervisor(csv, c);
    row(csv, c->tables.guest_bytes, "tables", "guest_bytes", NULL, NULL);
    row(csv, c->tables.host_bytes, "tables", "host_bytes", NULL, NULL);
    fprintf(csv->out, "%s", csv->vm ? "" : "tables.linear_bytes,");
    if (!csv->vm)
        fprintf(csv->out, "%s\n", decimal(c->tables.linear_bytes, text));
    if (!c->has_paging)
        return;
    row(csv, c->paging.hits, "paging", "hits", NULL, NULL);
    row(csv, c->paging.faults, "paging", "faults", NULL, NULL);
    row(csv, c->paging.evictions, "paging", "evictions", NULL, NULL);
    row(csv, c->paging.page_ins, "paging", "page_ins", NULL, NULL);
    row(csv, c->paging.page_outs, "paging", "page_outs", NULL, NULL);
}

void stats_print_csv(const struct stats *s, FILE *out)
{
    struct csv csv = {.out = out};
    fputs("name,value\nscenario,", out);
    csv_field(out, s->scenario);
    fprintf(out, "\nmode,%s\nprofile,", s->mode);
    csv_field(out, s->profile);
    fprintf(out, "\nseed,0x%" PRIx64 "\n", s->seed);
    counts(&csv, &s->total);
    for (unsigned v = 0; v < s->n_vms; v++) {
        csv.vm = s->vms[v].name;
        row(&csv, s->vms[v].frames, "frames", NULL, NULL, NULL);
        row(&csv, 0, "balloon", NULL, NULL, NULL);
        row(&csv, 0, "shared", NULL, NULL, NULL);
        row(&csv, 0, "swapped", NULL, NULL, NULL);
        counts(&csv, &s->vms[v]);
    }
}
