/* The comparison as columns, one per way. */
#include <inttypes.h>

#include "sim/report/compare.h"
#include "sim/report/figures.h"
#include "sim/report/fold.h"

enum { LABEL = 38, CELL = 13 };

static void label(FILE *out, const char *text)
{
    fprintf(out, "%-*s", LABEL, text);
}

static void cell(FILE *out, const char *text)
{
    fprintf(out, " %*s", CELL, text);
}

static void number_cell(FILE *out, uint64_t n)
{
    cell(out, n ? grouped(n).text : "-");
}

static void real_cell(FILE *out, double x, const char *unit)
{
    char text[40];
    snprintf(text, sizeof text, "%.3f%s", x, unit);
    cell(out, text);
}

/* A row of numbers, left out where all are 0. */
static void row(FILE *out, const struct comparison *c, const char *name,
                uint64_t (*of)(const struct contender *, unsigned), unsigned which)
{
    bool any = false;
    for (unsigned i = 0; i < c->n; i++)
        any |= of(&c->of[i], which) != 0;
    if (!any)
        return;
    label(out, name);
    for (unsigned i = 0; i < c->n; i++)
        number_cell(out, of(&c->of[i], which));
    fputc('\n', out);
}

static void real_row(FILE *out, const struct comparison *c, const char *name,
                     double (*of)(const struct contender *, unsigned), unsigned which,
                     const char *unit)
{
    bool any = false;
    for (unsigned i = 0; i < c->n; i++)
        any |= of(&c->of[i], which) >= 0.0005;
    if (!any)
        return;
    label(out, name);
    for (unsigned i = 0; i < c->n; i++)
        real_cell(out, of(&c->of[i], which), unit);
    fputc('\n', out);
}

/* ---- figures ---- */

static double per_access(const struct contender *c, uint64_t n)
{
    return c->stats.total.accesses ? (double)n / (double)c->stats.total.accesses : 0;
}

static double cost(const struct contender *c, unsigned which)
{
    (void)which;
    return contender_cost(c);
}

static double part(const struct contender *c, unsigned which)
{
    return per_access(c, c->stats.total.cycles_by[which]);
}

static uint64_t refs(const struct contender *c)
{
    uint64_t sum = 0;
    for (unsigned s = 0; s < STAGES_MAX; s++)
        sum += c->stats.total.walks.by_stage[s];
    return sum;
}

static double refs_per_walk(const struct contender *c, unsigned which)
{
    (void)which;
    uint64_t walks = c->stats.total.walks.count;
    return walks ? (double)refs(c) / (double)walks : 0;
}

static uint64_t walks(const struct contender *c, unsigned which)
{
    (void)which;
    return c->stats.total.walks.count;
}

static uint64_t refs_of_stage(const struct contender *c, unsigned stage)
{
    return c->stats.total.walks.by_stage[stage];
}

static uint64_t refs_of_level(const struct contender *c, unsigned which)
{
    return c->stats.total.walks.by_level[which / (LEVELS_MAX + 1)][which % (LEVELS_MAX + 1)];
}

static uint64_t served(const struct contender *c, unsigned server)
{
    return c->stats.total.walks.served_by[server];
}

static uint64_t exits(const struct contender *c, unsigned which)
{
    (void)which;
    return stats_exits(&c->stats.total);
}

static uint64_t exits_for(const struct contender *c, unsigned reason)
{
    return c->stats.total.exits[reason];
}

static uint64_t work(const struct contender *c, unsigned which)
{
    return c->stats.total.work[which];
}

static uint64_t tables(const struct contender *c, unsigned host)
{
    return host ? c->stats.total.tables.host_bytes : c->stats.total.tables.guest_bytes;
}

static uint64_t most(const struct contender *c, unsigned which)
{
    (void)which;
    return c->refs_most;
}

/* ---- sections ---- */

static void print_costs(const struct comparison *c, FILE *out)
{
    real_row(out, c, "cycles per access", cost, 0, "");
    for (unsigned p = 0; p < CYCLE_PARTS; p++) {
        char name[64];
        snprintf(name, sizeof name, "  %s", cycle_part_words((enum cycle_part)p));
        real_row(out, c, name, part, p, "");
    }
    if (c->of[0].mode != MODE_NATIVE || contender_cost(&c->of[0]) <= 0)
        return;
    label(out, "against native");
    for (unsigned i = 0; i < c->n; i++)
        real_cell(out, contender_cost(&c->of[i]) / contender_cost(&c->of[0]), " x");
    fputc('\n', out);
}

/* Entries by level; a stage's word first. */
static void print_stage(const struct comparison *c, const char *name, unsigned stage, FILE *out)
{
    static const char *const names[] = {
        NULL,          "    level 1, PTE", "    level 2, PMD", "    level 3, PUD",
        "    level 4", "    level 5"};
    row(out, c, name, refs_of_stage, stage);
    for (unsigned level = LEVELS_MAX; level; level--)
        row(out, c, names[level], refs_of_level, stage * (LEVELS_MAX + 1) + level);
}

static void print_walks(const struct comparison *c, FILE *out)
{
    static const char *const by_server[SERVERS] = {
        [SERVED_L1] = "  served by the L1 data cache",
        [SERVED_L2] = "  served by the L2 data cache",
        [SERVED_LLC] = "  served by the last-level cache",
        [SERVED_MEMORY] = "  served by memory",
        [SERVED_STRUCTURE] = "  served by structure caches",
    };
    static const char *const by_stage[STAGES_MAX] = {"  entries of the first stage",
                                                     "  entries of the second stage",
                                                     "  entries of the third stage"};
    fputc('\n', out);
    row(out, c, "walks", walks, 0);
    for (unsigned s = 0; s < STAGES_MAX; s++)
        print_stage(c, by_stage[s], s, out);
    for (unsigned s = 0; s < SERVERS; s++)
        row(out, c, by_server[s], served, s);
    real_row(out, c, "  entries read per walk", refs_per_walk, 0, "");
    row(out, c, "  at most, without caches", most, 0);
}

static void print_exits(const struct comparison *c, FILE *out)
{
    char name[80];
    fputc('\n', out);
    row(out, c, "exits", exits, 0);
    for (unsigned r = 0; r < EXIT_REASON_COUNT; r++) {
        snprintf(name, sizeof name, "  %s", exit_reason_name((enum exit_reason)r));
        row(out, c, name, exits_for, r);
    }
    for (unsigned w = 0; w < WORK_COUNT; w++) {
        snprintf(name, sizeof name, "  work: %s", work_name((enum work)w));
        row(out, c, name, work, w);
    }
    fputc('\n', out);
    row(out, c, "bytes of the guest's tables", tables, 0);
    row(out, c, "bytes of the hypervisor's tables", tables, 1);
}

static void print_equivalence(const struct comparison *c, FILE *out)
{
    label(out, "equivalence: as the first");
    for (unsigned i = 0; i < c->n; i++)
        cell(out, !i ? "(it is)" : contender_is_equivalent(&c->of[i], &c->of[0]) ? "yes" : "NO");
    fputc('\n', out);
}

static void print_control(const struct comparison *c, FILE *out)
{
    label(out, "control: frames that tables map");
    for (unsigned i = 0; i < c->n; i++)
        if (c->of[i].mode == MODE_NATIVE)
            cell(out, "all");
        else if (c->of[i].evidence.reachable)
            number_cell(out, c->of[i].evidence.reachable);
        else
            cell(out, "0");
    fputc('\n', out);
    label(out, "  of them not granted");
    for (unsigned i = 0; i < c->n; i++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRIu64, c->of[i].evidence.foreign);
        cell(out, c->of[i].mode == MODE_NATIVE ? "no control" : text);
    }
    fputc('\n', out);
}

static void print_requirements(const struct comparison *c, FILE *out)
{
    fputs("\nWhat a hypervisor must give (Popek and Goldberg)\n", out);
    print_equivalence(c, out);
    print_control(c, out);
    label(out, "efficiency: without an exit");
    for (unsigned i = 0; i < c->n; i++) {
        double share = per_access(&c->of[i], exits(&c->of[i], 0));
        char text[40];
        snprintf(text, sizeof text, "%.4f %%", share < 1 ? 100 * (1 - share) : 0);
        cell(out, text);
    }
    fputc('\n', out);
    for (unsigned i = 0; i < c->n; i++)
        if (mode_demand(c->of[i].mode))
            fold_printf(out, 0, "", "%s changes its guest: %s.", c->of[i].name,
                        mode_demand(c->of[i].mode));
    fold_print(out, 0, "",
               "Equivalence is of script outcomes, faults, the guest's tables with A and D, and "
               "memory. Tables and control are as the run's end left them: a program that ends "
               "gives its pages back.");
}

void comparison_print_table(const struct comparison *c, FILE *out)
{
    fprintf(out, "%s: %" PRIu64 " accesses, profile %s\n\n", c->title,
            c->of[0].stats.total.accesses, c->of[0].stats.profile);
    label(out, "");
    for (unsigned i = 0; i < c->n; i++)
        cell(out, c->of[i].name);
    fputc('\n', out);
    print_costs(c, out);
    print_walks(c, out);
    print_exits(c, out);
    print_requirements(c, out);
    fputc('\n', out);
    comparison_print_words(c, out);
}
