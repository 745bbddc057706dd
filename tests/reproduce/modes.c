/* Which way of virtualizing memory wins where: shadow, nested, agile. */
#include "tests/reproduce/reproduce.h"

#include <stdlib.h>
#include <string.h>

#define SCENARIO "scenarios/crossover.json"

/* ---- shadow and nested ---- */

enum { SIZES = 3, SHARES = 3 };

static const char *const sizes[SIZES] = {"4MiB", "16MiB", "64MiB"};
static const char *const shares[SHARES] = {"0", "0.001", "0.01"}; /* of accesses, with a remap */
static const double share[SHARES] = {0, 0.001, 0.01};

struct grid {
    double shadow[SIZES][SHARES], nested[SIZES][SHARES]; /* cycles per access */
};

static double cost_of(const char *mode, const char *size, const char *remap)
{
    const struct setting settings[] = {
        {"/vms/0/mode", mode},
        {"/vms/0/processes/0/map/0/size", size},
        {"/vms/0/processes/0/workload/remap", remap},
    };
    struct scene *s = scene_open(SCENARIO, settings, sizeof settings / sizeof *settings);
    double cost = scene_cost(scene_run(s));
    scene_free(s);
    return cost;
}

static struct grid run_grid(void)
{
    struct grid g;
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned j = 0; j < SHARES; j++) {
            g.shadow[i][j] = cost_of("shadow", sizes[i], shares[j]);
            g.nested[i][j] = cost_of("nested", sizes[i], shares[j]);
        }
    return g;
}

/* By how much the other one is dearer, at most, in parts of one. */
static double lead(const struct grid *g, bool of_shadow)
{
    double most = 0;
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned j = 0; j < SHARES; j++) {
            double ratio = g->nested[i][j] / g->shadow[i][j];
            ratio = of_shadow ? ratio - 1 : 1 / ratio - 1;
            most = ratio > most ? ratio : most;
        }
    return most;
}

/*
 * What shadow saves per access is seen where tables rest; what it loses per update, in one cell of
 * the smallest size. Shadow should win wherever it saves more than it loses. Returns in how many of
 * the cells that were not asked it is so.
 */
static unsigned foretold(const struct grid *g, double *per_update)
{
    unsigned right = 0, last = SHARES - 1;
    double saved = g->nested[0][0] - g->shadow[0][0];
    *per_update = (g->shadow[0][last] - g->nested[0][last] + saved) / share[last];
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned j = 1; j < SHARES - (i == 0); j++) {
            saved = g->nested[i][0] - g->shadow[i][0];
            bool shadow = saved > *per_update * share[j];
            right += shadow == (g->shadow[i][j] < g->nested[i][j]);
        }
    return right;
}

enum { FORETOLD = SIZES * (SHARES - 1) - 1 };

static void crossover(struct table *t)
{
    static const struct claim both = {
        "shadow beside nested, from tables at rest to tables that change: each wins somewhere",
        "gaps of up to 34 %; EPT faster than shadow by up to 48 %, 600 % in microbenchmarks",
        "Wang et al., VEE 2011; VMware, 2009"};
    static const struct claim line = {
        "where they cross: misses x cycles saved per walk = updates x cycles lost per update", "-",
        "follows from 4 references against 24, and exits against none"};
    if (!machine_runs(MODE_SHADOW)) {
        table_not_run(t, &both, MODE_SHADOW);
        table_not_run(t, &line, MODE_SHADOW);
        return;
    }
    double per_update;
    struct grid g = run_grid();
    unsigned right = foretold(&g, &per_update);
    double shadow = lead(&g, true), nested = lead(&g, false);
    table_shape(t, &both, shadow > 0 && nested > 0,
                "shadow up to %.1f %% faster, nested up to %.0f %%", 100 * shadow, 100 * nested);
    table_shape(t, &line, right == FORETOLD,
                "foretells the winner of %u of %d cells; an update costs shadow %.0f cycles more",
                right, FORETOLD, per_update);
}

/* ---- agile ---- */

/* Half of the time a large region at rest, half of it a small one whose pages come and go: about
 * as dear for shadow, which exits in the second, as for nested, whose walks of the first are long.
 */
static double mixed(const char *mode)
{
    static const char quiet[] = "{\"generator\":\"uniform\",\"map\":0,\"accesses\":1000000}";
    static const char busy[] = "{\"generator\":\"uniform\",\"map\":1,\"remap\":0.006,"
                               "\"accesses\":200000}";
    struct scene *s = scene_new(
        "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"memory\":\"512MiB\",\"processes\":[{\"map\":["
        "{\"gva\":\"0x40000000\",\"size\":\"32MiB\",\"populate\":\"start\"},{\"gva\":"
        "\"0x80000000\","
        "\"size\":\"4MiB\",\"populate\":\"start\"}],\"workload\":{\"generator\":\"phases\","
        "\"phases\":[%s,%s,%s,%s]}}]}]}",
        mode, quiet, busy, quiet, busy);
    double cost = scene_cost(scene_run(s));
    scene_free(s);
    return cost;
}

static void agile(struct table *t)
{
    static const struct claim claim = {
        "agile paging beside the better of shadow and nested, on a mix of tables at rest and "
        "tables that change",
        "more than 12 % better on average", "Gandhi, Hill and Swift, ISCA 2016"};
    if (!machine_runs(MODE_AGILE) || !machine_runs(MODE_SHADOW)) {
        table_not_run(t, &claim, MODE_AGILE);
        return;
    }
    double shadow = mixed("shadow"), nested = mixed("nested"), ours = mixed("agile");
    double best = shadow < nested ? shadow : nested, gain = best / ours - 1;
    table_shape(t, &claim, gain >= 0.12,
                "%.1f %% better: shadow %.2f, nested %.2f, agile %.2f cycles per access",
                100 * gain, shadow, nested, ours);
}

void reproduce_modes(struct table *t)
{
    table_section(t, "Which mode wins",
                  "The first two rows: `" SCENARIO "` with 4, 16 and 64 MiB in use, and a\n"
                  "remapping before none, one in 1,000 and one in 100 accesses; "
                  "[CROSSOVER.md](CROSSOVER.md) explains\nit. The last one: a mix made for the "
                  "purpose, of 32 MiB at rest and 4 MiB whose pages come and go,\nin turn, so "
                  "that shadow and nested cost about the same. The papers measured programs: "
                  "signs are\ncompared, and for the last row whether a gain of that size is "
                  "possible.");
    crossover(t);
    agile(t);
}
