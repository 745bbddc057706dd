/*
 * What would reverse a verdict: the smallest change of one value, found by running both modes again
 * and again. Between a value where the verdict stands and one where it does not, the interval is
 * halved; that there is only one such place on each side is taken for granted.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cli/compare.h"
#include "sim/report/csv_out.h"
#include "sim/report/figures.h"
#include "sim/report/fold.h"
#include "sim/report/json_out.h"

/* A value that may be changed: where it stands, and how far it goes. */
struct knob {
    char pointer[64];
    char form[64]; /* of its JSON, with the value and, where it has two, the rest of 1 */
    double now, least, most, step;
    const char *words;
};

static bool is_price(const char *key, enum cost *cost)
{
    for (unsigned c = 0; c < COST_COUNT; c++)
        if (!strcmp(cost_name((enum cost)c), key)) {
            *cost = (enum cost)c;
            return true;
        }
    return false;
}

static const struct {
    const char *key, *pointer, *form, *words;
} shares[] = {
    {"remap", "/vms/*/processes/*/workload/remap", "%.6f", "share of accesses with a remap first"},
    {"protect", "/vms/*/processes/*/workload/protect", "%.6f",
     "share of accesses with a change of rights first"},
    {"huge", "/vms/*/second_stage_page", "{\"2MiB\": %.6f, \"4KiB\": %.6f}",
     "share of the second stage in 2 MiB pages"},
};
enum { SHARES = sizeof shares / sizeof *shares };

static double share_now(const char *key, const struct vm_config *vm)
{
    if (!strcmp(key, "huge"))
        return vm->page_share[2] / 1000.0;
    if (!vm->n_processes || !vm->processes[0].n_phases)
        return 0;
    const struct generator_spec *g = &vm->processes[0].phases[0].generator;
    return !strcmp(key, "remap") ? g->remap : g->protect;
}

/* What the key is now, in a scenario as loaded. False: no key has that name. */
static bool find_knob(const char *key, const struct machine_config *m, struct knob *k)
{
    enum cost cost;
    if (is_price(key, &cost)) {
        *k = (struct knob){.form = "%.0f",
                           .now = m->profile.cost[cost],
                           .most = 1 << 24,
                           .step = 1,
                           .words = "cycles"};
        snprintf(k->pointer, sizeof k->pointer, "/machine/override/costs/%s", key);
        return true;
    }
    for (unsigned i = 0; i < SHARES; i++)
        if (!strcmp(shares[i].key, key)) {
            *k = (struct knob){.now = share_now(key, &m->vms[0]),
                               .most = 1,
                               .step = 1.0 / 1024 / 1024,
                               .words = shares[i].words};
            strcpy(k->pointer, shares[i].pointer);
            strcpy(k->form, shares[i].form);
            return true;
        }
    return false;
}

/* ---- running both with a value ---- */

struct duel {
    const struct cli *cli;
    struct subject *subject;
    const struct way *way[2];
    const struct knob *knob;
    int code;
};

/* How much the second costs beyond the first, in cycles per access. */
static double lead(struct duel *d, double value)
{
    double cost[2] = {0, 0};
    char text[96];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    snprintf(text, sizeof text, d->knob->form, value, 1 - value);
#pragma GCC diagnostic pop
    const struct setting setting = {d->knob->pointer, text};
    for (unsigned i = 0; i < 2 && !d->code; i++) {
        struct scenario scenario;
        struct contender c;
        d->code = way_run(d->cli, d->subject, d->way[i], &setting, 1, &scenario, &c);
        if (d->code)
            break;
        cost[i] = contender_cost(&c);
        stats_fini(&c.stats);
        scenario_free(&scenario);
        d->subject->n_runs++;
    }
    return cost[1] - cost[0];
}

static double distance(double a, double b)
{
    return a > b ? a - b : b - a;
}

/* The value nearest to where the verdict stands at which it does not, to one part in 256. */
static double narrow(struct duel *d, double stands, double flipped)
{
    while (!d->code && distance(flipped, stands) > d->knob->step &&
           distance(flipped, stands) * 256 > distance(flipped, d->knob->now)) {
        double middle = (stands + flipped) / 2;
        if (d->knob->step >= 1)
            middle = (double)(int64_t)middle;
        if (lead(d, middle) < 0)
            flipped = middle;
        else
            stands = middle;
    }
    return flipped;
}

/* Looks further and further away on one side. False: the verdict stands as far as the end. */
static bool search(struct duel *d, bool up, double *at)
{
    const struct knob *k = d->knob;
    double stands = k->now, span = up ? k->most - k->now : k->now - k->least;
    if (span < k->step)
        return false;
    for (double reach = k->step * 8; !d->code; reach *= 8) {
        double away = reach < span ? reach : span, value = up ? k->now + away : k->now - away;
        if (lead(d, value) < 0) {
            *at = narrow(d, stands, value);
            return !d->code;
        }
        if (away >= span)
            return false;
        stands = value;
    }
    return false;
}

/* ---- telling ---- */

/* What was found. */
struct verdict {
    const char *key;
    double ahead; /* cycles per access */
    bool flips;
    double at;
};

static struct figure value_of(const struct knob *k, double value)
{
    struct figure f;
    snprintf(f.text, sizeof f.text, "%.*f", k->step < 1 ? 6 : 0, value);
    return f;
}

static void print_prose(const struct duel *d, const struct verdict *v)
{
    const struct knob *k = d->knob;
    fold_printf(stdout, 0, "", "%s is %.3f cycles per access ahead of %s, with %s at %s (%s).",
                d->way[0]->name, v->ahead, d->way[1]->name, v->key, value_of(k, k->now).text,
                k->words);
    if (v->flips)
        fold_printf(stdout, 0, "",
                    "The smallest change that reverses it: %s (%s%s). Found in %u runs.",
                    value_of(k, v->at).text, v->at > k->now ? "+" : "",
                    value_of(k, v->at - k->now).text, d->subject->n_runs);
    else
        fold_printf(stdout, 0, "", "No value of %s from %s to %s reverses that.", v->key,
                    value_of(k, k->least).text, value_of(k, k->most).text);
}

static void print_json(const struct duel *d, const struct verdict *v)
{
    const struct knob *k = d->knob;
    fputs("{ \"schema\": \"nestwalk/flip/1\", \"key\": ", stdout);
    json_string(stdout, v->key);
    printf(", \"now\": %s, \"cheaper\": ", value_of(k, k->now).text);
    json_string(stdout, d->way[0]->name);
    fputs(", \"dearer\": ", stdout);
    json_string(stdout, d->way[1]->name);
    printf(",\n  \"ahead\": %.6f, \"flips_at\": %s, \"change\": %s, \"runs\": %u }\n", v->ahead,
           v->flips ? value_of(k, v->at).text : "null",
           v->flips ? value_of(k, v->at - k->now).text : "null", d->subject->n_runs);
}

static void print_csv(const struct duel *d, const struct verdict *v)
{
    const struct knob *k = d->knob;
    puts("key,now,cheaper,dearer,ahead,flips_at,change,runs");
    csv_field(stdout, v->key);
    printf(",%s,", value_of(k, k->now).text);
    csv_field(stdout, d->way[0]->name);
    putchar(',');
    csv_field(stdout, d->way[1]->name);
    printf(",%.6f,%s,%s,%u\n", v->ahead, v->flips ? value_of(k, v->at).text : "",
           v->flips ? value_of(k, v->at - k->now).text : "", d->subject->n_runs);
}

/* Looks on both sides and takes what is nearer. */
static int find(struct duel *d, struct verdict *v)
{
    double at[2] = {0, 0}, now = d->knob->now;
    bool found[2];
    for (unsigned up = 0; up < 2; up++)
        found[up] = search(d, up, &at[up]);
    bool up = found[1] && (!found[0] || at[1] - now < now - at[0]);
    v->flips = found[up];
    v->at = at[up];
    return d->code;
}

static void tell(const struct duel *d, const struct verdict *v)
{
    static void (*const all[])(const struct duel *, const struct verdict *) = {
        [FORMAT_TABLE] = print_prose, [FORMAT_JSON] = print_json, [FORMAT_CSV] = print_csv};
    all[d->cli->format](d, v);
}

/* The two to be compared: the first two virtualized ones named that differ. */
static int pick(struct duel *d, const struct way *ways, unsigned n_ways)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_ways && n < 2; i++)
        if (strcmp(ways[i].mode, mode_name(MODE_NATIVE)) &&
            (!n || strcmp(ways[i].name, d->way[0]->name)))
            d->way[n++] = &ways[i];
    return n == 2 ? EXIT_OK : cli_usage(d->cli, "--flip needs two different modes beside native");
}

static int current(const struct cli *cli, const struct subject *s, const struct way *w,
                   const char *key, struct knob *knob)
{
    struct scenario scenario;
    int code = way_load(cli, s, w, NULL, 0, &scenario);
    if (code)
        return code;
    if (!find_knob(key, &scenario.machine, knob))
        code = cli_usage(cli,
                         "--flip knows remap, protect, huge and the prices of a machine (exit, "
                         "violation, memory, ...), not '%s'",
                         key);
    scenario_free(&scenario);
    return code;
}

/* Both as they are, so that the cheaper comes first; then the search. */
static int fight(struct duel *d, struct verdict *v)
{
    v->ahead = lead(d, d->knob->now);
    if (v->ahead < 0) {
        const struct way *first = d->way[0];
        d->way[0] = d->way[1];
        d->way[1] = first;
        v->ahead = -v->ahead;
    }
    return d->code ? d->code : find(d, v);
}

int compare_flip(const struct cli *cli, struct subject *s, const struct way *ways, unsigned n_ways,
                 const char *key)
{
    struct duel d = {.cli = cli, .subject = s};
    struct verdict v = {.key = key};
    struct knob knob;
    struct progress progress;
    int code = pick(&d, ways, n_ways);
    if (!code && s->is_trace && (!strcmp(key, "remap") || !strcmp(key, "protect")))
        code = cli_usage(cli, "a trace's updates are its own: --flip %s needs a scenario", key);
    if (code || (code = current(cli, s, d.way[0], key, &knob)))
        return code;
    d.knob = &knob;
    progress_start(&progress, cli, "runs");
    s->whole = &progress;
    code = fight(&d, &v);
    s->whole = NULL;
    progress_end(&progress);
    if (!code)
        tell(&d, &v);
    return code;
}
