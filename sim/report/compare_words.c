/* The comparison in words: every sentence is made from its figures. */
#include <inttypes.h>

#include "sim/report/compare.h"
#include "sim/report/fold.h"

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

/* Begins a line of what speaks for a way or against it; what it returns is the column. */
static int sign(FILE *out, bool good)
{
    return fprintf(out, "  %c", good ? '+' : '-');
}

static const char hang[] = "    ";

static void say_walks(const struct contender *c, FILE *out)
{
    const struct counts *all = &c->stats.total;
    uint64_t refs = 0;
    for (unsigned s = 0; s < STAGES_MAX; s++)
        refs += all->walks.by_stage[s];
    if (!all->walks.count)
        return;
    fold_printf(out, sign(out, c->refs_most <= 5), hang,
                "a walk reads %" PRIu64 " %s at most; here %.2f, and TLBs and walks take %.0f %% "
                "of the cycles",
                c->refs_most, c->refs_most == 1 ? "entry" : "entries",
                (double)refs / (double)all->walks.count,
                100 * part_of(c, CYCLES_translation) / contender_cost(c));
}

/* "one exit in 7 accesses", or, where they are as many, "1.25 exits per access". */
static void rate_words(char *text, size_t room, double exits, double accesses)
{
    if (accesses >= 1.5 * exits)
        snprintf(text, room, "one exit in %.0f accesses", accesses / exits);
    else
        snprintf(text, room, "%.2f exits per access", accesses > 0 ? exits / accesses : 0);
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
    char rate[64];
    rate_words(rate, sizeof rate, (double)exits, (double)all->accesses);
    fold_printf(out, sign(out, share < 10), hang,
                "%s; with their answers %.0f %% of the cycles; most (%.0f %%): %s", rate, share,
                100 * (double)all->exits[why] / (double)exits, exit_reason_help(why));
}

static void say_tables(const struct contender *c, FILE *out)
{
    const struct counts *all = &c->stats.total;
    if (all->tables.host_bytes && all->tables.guest_bytes)
        fold_printf(out, sign(out, all->tables.host_bytes <= all->tables.guest_bytes), hang,
                    "its hypervisor's tables take %.1f times the room of the guest's own",
                    (double)all->tables.host_bytes / (double)all->tables.guest_bytes);
    if (mode_demand(c->mode))
        fold_printf(out, sign(out, false), hang, "the guest must be changed: %s",
                    mode_demand(c->mode));
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

static bool has_native(const struct comparison *c)
{
    bool native = false;
    for (unsigned i = 0; i < c->n; i++)
        native |= c->of[i].mode == MODE_NATIVE;
    return native;
}

static void say_verdict(const struct comparison *c, FILE *out)
{
    int b, s;
    comparison_verdict(c, &b, &s);
    if (b < 0 || s < 0)
        return;
    const struct contender *best = &c->of[b], *second = &c->of[s];
    double ahead = contender_cost(second) - contender_cost(best);
    const char *among = has_native(c) ? "of those with a hypervisor, " : "";
    if (ahead <= 0) {
        fold_printf(out, 0, "", "Verdict: %s%s and %s cost the same here.", among, best->name,
                    second->name);
        return;
    }
    enum cycle_part part = deciding(best, second);
    fold_printf(out, 0, "",
                "Verdict: %s%s is the cheapest here, %.3f cycles per access against %.3f of %s.",
                among, best->name, contender_cost(best), contender_cost(second), second->name);
    fold_printf(out, 0, "",
                "What decides: %s, on which %s spends %.3f cycles per access and %s %.3f.",
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
    fputc('\n', out);
    fold_printf(out, 0, "",
                "The guest changes no table after it is first filled%s: what shadow and direct "
                "paging cost here is a lower bound. %s",
                c->is_trace ? " (the trace holds no guest events)" : "",
                c->is_trace
                    ? "Record one with `nestwalk record`, which holds them, or give a scenario's "
                      "workload \"remap\": 0.001 (unmap and map before one access in 1000)."
                    : "Give a workload \"remap\": 0.001 (unmap and map before one access in 1000) "
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
