/* The comparison in words: every sentence is made from its figures. */
#include <inttypes.h>

#include "sim/report/compare.h"

static double part_of(const struct contender *c, enum cycle_part part)
{
    const struct counts *all = &c->stats.total;
    return all->accesses ? (double)all->cycles_by[part] / (double)all->accesses : 0;
}

static enum exit_reason commonest(const struct counts *c)
{
    unsigned best = 0;
    for (unsigned r = 1; r < EXIT_REASON_COUNT; r++)
        if (c->exits[r] > c->exits[best])
            best = r;
    return (enum exit_reason)best;
}

/* ---- one way ---- */

static void say_walks(const struct contender *c, FILE *out)
{
    const struct counts *all = &c->stats.total;
    uint64_t refs = 0;
    for (unsigned s = 0; s < STAGES_MAX; s++)
        refs += all->walks.by_stage[s];
    if (!all->walks.count)
        return;
    fprintf(out,
            "  %c a walk reads %" PRIu64 " entries at most; here %.2f, and TLBs and walks "
            "take %.0f %% of the cycles\n",
            c->refs_most <= 5 ? '+' : '-', c->refs_most, (double)refs / (double)all->walks.count,
            100 * part_of(c, CYCLES_translation) / contender_cost(c));
}

static void say_exits(const struct contender *c, FILE *out)
{
    const struct counts *all = &c->stats.total;
    uint64_t exits = stats_exits(all);
    double share =
        100 * (part_of(c, CYCLES_exits) + part_of(c, CYCLES_hypervisor)) / contender_cost(c);
    if (!all->has_hypervisor)
        return;
    if (!exits) {
        fputs("  + nothing exits\n", out);
        return;
    }
    enum exit_reason why = commonest(all);
    fprintf(out,
            "  %c one exit in %.0f accesses; with their answers %.0f %% of the cycles; most "
            "(%.0f %%): %s\n",
            share < 10 ? '+' : '-', (double)all->accesses / (double)exits, share,
            100 * (double)all->exits[why] / (double)exits, exit_reason_help(why));
}

static void say_tables(const struct contender *c, FILE *out)
{
    const struct counts *all = &c->stats.total;
    if (all->tables.host_bytes && all->tables.guest_bytes)
        fprintf(out, "  %c its hypervisor's tables take %.1f times the room of the guest's own\n",
                all->tables.host_bytes > all->tables.guest_bytes ? '-' : '+',
                (double)all->tables.host_bytes / (double)all->tables.guest_bytes);
    if (mode_demand(c->mode))
        fprintf(out, "  - the guest must be changed: %s\n", mode_demand(c->mode));
}

/* ---- what decides ---- */

/* The part of the cycles by which one is ahead most. */
static enum cycle_part deciding(const struct contender *best, const struct contender *second)
{
    unsigned most = 0;
    for (unsigned p = 1; p < CYCLE_PARTS; p++)
        if (part_of(second, (enum cycle_part)p) - part_of(best, (enum cycle_part)p) >
            part_of(second, (enum cycle_part)most) - part_of(best, (enum cycle_part)most))
            most = p;
    return (enum cycle_part)most;
}

static void say_verdict(const struct comparison *c, FILE *out)
{
    int b, s;
    comparison_verdict(c, &b, &s);
    if (b < 0 || s < 0)
        return;
    const struct contender *best = &c->of[b], *second = &c->of[s];
    double ahead = contender_cost(second) - contender_cost(best);
    if (ahead <= 0) {
        fprintf(out, "Verdict: %s and %s cost the same here.\n", best->name, second->name);
        return;
    }
    enum cycle_part part = deciding(best, second);
    fprintf(out, "Verdict: %s is the cheapest here, %.3f cycles per access against %.3f of %s.\n",
            best->name, contender_cost(best), contender_cost(second), second->name);
    fprintf(out, "What decides: %s, on which %s spends %.3f cycles per access and %s %.3f.\n",
            cycle_part_words(part), best->name, part_of(best, part), second->name,
            part_of(second, part));
}

/* Without updates of its tables a guest never makes a shadow work. */
static void say_updates(const struct comparison *c, FILE *out)
{
    bool shadow = false, any = false;
    for (unsigned i = 0; i < c->n; i++) {
        shadow |= c->of[i].mode == MODE_SHADOW || c->of[i].mode == MODE_AGILE ||
                  c->of[i].mode == MODE_DIRECT;
        any |= c->of[i].updates > 0;
    }
    if (!shadow || any)
        return;
    fprintf(
        out,
        "\nThe guest changes no table after it is first filled%s: what shadow and direct paging\n"
        "cost here is a lower bound. %s\n",
        c->is_trace ? " (the trace holds no guest events)" : "",
        c->is_trace ? "Record one with `nestwalk record`, which holds them, or give a scenario's\n"
                      "workload \"remap\": 0.001 (unmap and map before one access in 1000)."
                    : "Give a workload \"remap\": 0.001 (unmap and map before one access in 1000)\n"
                      "to see what updates cost.");
}

void comparison_print_words(const struct comparison *c, FILE *out)
{
    for (unsigned i = 0; i < c->n; i++) {
        fprintf(out, "%s\n", c->of[i].name);
        say_walks(&c->of[i], out);
        say_exits(&c->of[i], out);
        say_tables(&c->of[i], out);
    }
    fputc('\n', out);
    say_verdict(c, out);
    say_updates(c, out);
}
