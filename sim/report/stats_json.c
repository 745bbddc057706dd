/* Statistics as JSON, schema nestwalk/stats/1. Keys in a fixed order: the same run, the same bytes.
 */
#include <inttypes.h>

#include "sim/report/json_out.h"
#include "sim/report/figures.h"
#include "sim/report/stats.h"

static void number(FILE *out, const char *before, const char *key, uint64_t n)
{
    fprintf(out, "%s\"%s\": %" PRIu64, before, key, n);
}

static void print_rows(FILE *out, const char *indent, const char *key, const char *second,
                       const struct cache_stats *rows, unsigned n)
{
    fprintf(out, "%s\"%s\": [", indent, key);
    for (unsigned i = 0; i < n; i++) {
        const struct cache_stats *r = &rows[i];
        fprintf(out, "%s%s  { \"name\": \"%s\", \"%s\": \"%s\"", i ? "," : "", indent, r->name,
                second, r->page);
        number(out, ", ", "lookups", r->hits + r->misses);
        number(out, ", ", "hits", r->hits);
        number(out, ", ", "misses", r->misses);
        fputs(" }", out);
    }
    fprintf(out, "%s],", n ? indent : " ");
}

static void print_walks(FILE *out, const char *indent, const struct counts *c)
{
    uint64_t host = 0;
    for (unsigned s = 1; s < STAGES_MAX; s++)
        host += c->walks.by_stage[s];
    fprintf(out, "%s\"walks\": {", indent);
    number(out, " ", "count", c->walks.count);
    number(out, ", ", "retried", c->walks.retried);
    number(out, ", ", "dirty", c->walks.dirty);
    fprintf(out, ",%s  \"refs\": {", indent);
    number(out, " ", "guest", c->walks.by_stage[0]);
    number(out, ", ", "host", host);
    number(out, ", ", "total", c->walks.by_stage[0] + host);
    fputs(", \"by_stage\": [", out);
    for (unsigned s = 0; s < c->walks.stages; s++)
        fprintf(out, "%s%" PRIu64, s ? ", " : "", c->walks.by_stage[s]);
    fputs("], \"by_level\": [", out);
    for (unsigned s = 0; s < c->walks.stages; s++)
        for (unsigned level = 1; level <= LEVELS_MAX; level++)
            fprintf(out, "%s%" PRIu64,
                    level > 1 ? ", "
                    : s       ? "], ["
                              : "[",
                    c->walks.by_level[s][level]);
    fprintf(out, "]] },%s  \"served_by\": {", indent);
    for (unsigned s = 0; s < SERVERS; s++)
        number(out, s ? ", " : " ", server_name((enum server)s), c->walks.served_by[s]);
    fputs(" } },", out);
}

/* Only what happened at all. */
static void print_named(FILE *out, const uint64_t *counts, unsigned n,
                        const char *(*name)(unsigned which))
{
    unsigned printed = 0;
    fputc('{', out);
    for (unsigned i = 0; i < n; i++)
        if (counts[i])
            number(out, printed++ ? ", " : " ", name(i), counts[i]);
    fputs(printed ? " }" : "}", out);
}

static const char *name_reason(unsigned reason)
{
    return exit_reason_name((enum exit_reason)reason);
}

static const char *name_work(unsigned work)
{
    return work_name((enum work)work);
}

static void print_hypervisor(FILE *out, const char *indent, const struct counts *c)
{
    fprintf(out, " },%s\"exits\": {", indent);
    number(out, " ", "total", stats_exits(c));
    fputs(", \"by_reason\": ", out);
    print_named(out, c->exits, EXIT_REASON_COUNT, name_reason);
    if (c->has_l1) {
        number(out, ", \"to\": { ", "l1", c->exits_to[1]);
        number(out, ", ", "l0", c->exits_to[2]);
        fputs(" }", out);
    }
    fprintf(out, " },%s\"work\": ", indent);
    print_named(out, c->work, WORK_COUNT, name_work);
    fputc(',', out);
}

static void print_counts(FILE *out, const char *indent, const struct counts *c)
{
    char text[40];
    number(out, indent, "accesses", c->accesses);
    fputc(',', out);
    number(out, indent, "cycles", c->cycles);
    fprintf(out, ",%s\"cycles_by\": {", indent);
    for (unsigned i = 0; i < CYCLE_PARTS; i++)
        number(out, i ? ", " : " ", cycle_part_name((enum cycle_part)i), c->cycles_by[i]);
    fputs(" },", out);
    print_rows(out, indent, "tlb", "page", c->tlb, c->n_tlb);
    print_rows(out, indent, "structure_caches", "dimension", c->structure, c->n_structure);
    print_rows(out, indent, "nested_tlb", "dimension", c->nested, c->n_nested);
    print_walks(out, indent, c);
    fprintf(out, "%s\"faults\": {", indent);
    static const enum refusal_kind order[] = {REFUSED_NOT_PRESENT, REFUSED_PROTECTION,
                                              REFUSED_RESERVED, REFUSED_CANONICAL};
    for (unsigned f = 0; f < 4; f++)
        number(out, f ? ", " : " ", refusal_name(order[f]), c->faults[order[f]]);
    print_hypervisor(out, indent, c);
    fprintf(out, "%s\"tables\": {", indent);
    number(out, " ", "guest_bytes", c->tables.guest_bytes);
    number(out, ", ", "host_bytes", c->tables.host_bytes);
    fprintf(out, ", \"linear_bytes\": \"%s\" }", decimal(c->tables.linear_bytes, text));
    if (!c->has_paging)
        return;
    fprintf(out, ",%s\"paging\": {", indent);
    number(out, " ", "hits", c->paging.hits);
    number(out, ", ", "faults", c->paging.faults);
    number(out, ", ", "evictions", c->paging.evictions);
    number(out, ", ", "page_ins", c->paging.page_ins);
    number(out, ", ", "page_outs", c->paging.page_outs);
    fputs(" }", out);
}

void stats_print_json(const struct stats *s, FILE *out)
{
    fputs("{\n  \"schema\": \"nestwalk/stats/1\",\n  \"scenario\": ", out);
    json_string(out, s->scenario);
    fprintf(out, ",\n  \"mode\": \"%s\",\n  \"profile\": ", s->mode);
    json_string(out, s->profile);
    fprintf(out, ",\n  \"seed\": \"0x%" PRIx64 "\",", s->seed);
    print_counts(out, "\n  ", &s->total);
    fputs(",\n  \"vms\": [", out);
    for (unsigned v = 0; v < s->n_vms; v++) {
        fprintf(out, "%s\n    {\n      \"name\": ", v ? "," : "");
        json_string(out, s->vms[v].name);
        fprintf(out,
                ",\n      \"frames\": %" PRIu64 ", \"balloon\": 0, \"shared\": 0, \"swapped\": 0,",
                s->vms[v].frames);
        print_counts(out, "\n      ", &s->vms[v]);
        fputs("\n    }", out);
    }
    fputs("\n  ]\n}\n", out);
}
