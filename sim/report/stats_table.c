/* Statistics for people: sections, aligned columns, thousands apart, units. */
#include <inttypes.h>
#include <string.h>

#include "sim/report/figures.h"
#include "sim/report/stats.h"
#include "sim/report/words.h"

static void line(FILE *out, const char *label, uint64_t n, const char *unit)
{
    fprintf(out, "  %-26s %20s%s%s\n", label, grouped(n).text, *unit ? " " : "", unit);
}

static void print_caches(FILE *out, const char *heading, const char *second,
                         const struct cache_stats *rows, unsigned n)
{
    if (!n)
        return;
    fprintf(out, "\n%-18s %-7s %14s %14s %14s %9s\n", heading, second, "lookups", "hits", "misses",
            "hit rate");
    for (unsigned i = 0; i < n; i++) {
        const struct cache_stats *r = &rows[i];
        uint64_t lookups = r->hits + r->misses;
        if (!lookups && i && !strcmp(r->name, rows[i - 1].name))
            continue; /* of a page size that nobody used */
        fprintf(out, "  %-16s %-7s %14s %14s %14s %9s\n", r->name, r->page, grouped(lookups).text,
                grouped(r->hits).text, grouped(r->misses).text, percent(r->hits, lookups).text);
    }
}

static void print_walks(FILE *out, const struct counts *c)
{
    static const char *const labels[SERVERS] = {"from the L1 data cache", "from the L2 data cache",
                                                "from the last-level cache", "from memory",
                                                "from a structure cache"};
    uint64_t total = 0;
    for (unsigned s = 0; s < STAGES_MAX; s++)
        total += c->walks.by_stage[s];
    fputs("\nWalks\n", out);
    line(out, "attempts", c->walks.count, "");
    line(out, "answered and repeated", c->walks.retried, "");
    line(out, "to set a dirty bit", c->walks.dirty, "");
    line(out, "entries read", total, "");
    for (unsigned depth = 0; c->walks.stages > 1 && depth < c->walks.stages; depth++) {
        char label[32];
        snprintf(label, sizeof label, "  in %s tables", dimension_name(c->walks.stages, depth));
        line(out, label, c->walks.by_stage[depth], "");
    }
    if (c->walks.count)
        fprintf(out, "  %-26s %20.2f\n", "references per walk",
                (double)total / (double)c->walks.count);
    for (unsigned s = 0; s < SERVERS; s++)
        if (c->walks.served_by[s] || s == SERVED_L1 || s == SERVED_MEMORY)
            fprintf(out, "    %-24s %20s %10s\n", labels[s], grouped(c->walks.served_by[s]).text,
                    percent(c->walks.served_by[s], total).text);
}

static void exit_line(FILE *out, enum exit_reason reason, uint64_t n)
{
    char label[64];
    snprintf(label, sizeof label, "  %s", spelled(exit_reason_name(reason)).text);
    line(out, label, n, "");
}

static void print_hypervisor(FILE *out, const struct counts *c)
{
    if (!c->has_hypervisor)
        return;
    fputs("\nExits to the hypervisor\n", out);
    line(out, "exits", stats_exits(c), "");
    if (c->has_l1) {
        line(out, "  to the L1 hypervisor", c->exits_to[1], "");
        line(out, "  to the L0 hypervisor", c->exits_to[2], "");
    }
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        if (c->exits[i])
            exit_line(out, (enum exit_reason)i, c->exits[i]);
    fputs("\nThe hypervisor's work\n", out);
    for (unsigned i = 0; i < WORK_COUNT; i++)
        if (c->work[i])
            fprintf(out, "  %-26s %20s  %s\n", work_name((enum work)i), grouped(c->work[i]).text,
                    work_help((enum work)i));
    line(out, "frames of memory given", c->frames, "of 4 KiB");
    line(out, "its tables for the VM", c->tables.host_bytes, "B");
}

static void print_cycles(FILE *out, const struct counts *c)
{
    line(out, "cycles", c->cycles, "");
    for (unsigned i = 0; i < CYCLE_PARTS; i++)
        if (c->cycles_by[i])
            fprintf(out, "    %-32s %12s %10s\n", cycle_part_words((enum cycle_part)i),
                    grouped(c->cycles_by[i]).text, percent(c->cycles_by[i], c->cycles).text);
}

static void print_faults(FILE *out, const struct counts *c)
{
    static const char *const faults[REFUSALS] = {
        [REFUSED_NOT_PRESENT] = "page not present",
        [REFUSED_RESERVED] = "reserved bit set",
        [REFUSED_PROTECTION] = "rights denied",
        [REFUSED_CANONICAL] = "address not canonical",
    };
    fputs("\nFaults\n", out);
    for (unsigned f = REFUSED_NOT + 1; f < REFUSED_LOG_FULL; f++)
        if (c->faults[f] || f != REFUSED_CANONICAL)
            line(out, faults[f], c->faults[f], "");
}

static void print_rest(FILE *out, const struct counts *c)
{
    if (c->tables.guest_bytes) { /* a raw VM's are not counted */
        fputs("\nPage tables\n", out);
        line(out, "the guest's, at their most", c->tables.guest_bytes, "B");
        fprintf(out, "  %-26s %20s\n", "if they were linear",
                byte_count(c->tables.linear_bytes).text);
    }
    if (!c->has_paging)
        return;
    fputs("\nPage replacement\n", out);
    line(out, "page touches", c->paging.hits + c->paging.faults, "");
    line(out, "hits", c->paging.hits, "");
    line(out, "faults", c->paging.faults, "");
    line(out, "evictions", c->paging.evictions, "");
    line(out, "page-ins", c->paging.page_ins, "");
    line(out, "page-outs", c->paging.page_outs, "");
}

static void print_counts(FILE *out, const struct counts *c)
{
    line(out, "accesses", c->accesses, "");
    print_cycles(out, c);
    if (c->accesses)
        fprintf(out, "  %-26s %20.2f\n", "cycles per access",
                (double)c->cycles / (double)c->accesses);
    print_caches(out, "TLB", "page", c->tlb, c->n_tlb);
    print_caches(out, "Structure cache", "of", c->structure, c->n_structure);
    print_caches(out, "Nested TLB", "of", c->nested, c->n_nested);
    print_walks(out, c);
    print_faults(out, c);
    print_hypervisor(out, c);
    print_rest(out, c);
}

void stats_print_table(const struct stats *s, FILE *out)
{
    fprintf(out, "%s\n  %s, profile %s, seed 0x%" PRIx64 "\n\n", s->scenario, s->mode, s->profile,
            s->seed);
    print_counts(out, &s->total);
    for (unsigned v = 0; s->n_vms > 1 && v < s->n_vms; v++) {
        fprintf(out, "\n---- VM %s ----\n\n", s->vms[v].name);
        print_counts(out, &s->vms[v]);
    }
}
