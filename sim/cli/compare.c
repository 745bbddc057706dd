#include "sim/cli/compare.h"

#include <stdlib.h>
#include <string.h>

#include "sim/report/json_out.h"
#include "sim/run.h"
#include "sim/scenario/load.h"

enum { SETTINGS = 72 };

/* ---- subjects ---- */

/* A scenario begins with a brace, after blanks and comments; a trace does not. */
static bool is_scenario(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length && strchr(" \t\r\n\xef\xbb\xbf", text[i]) && text[i])
        i++;
    return i < length && (text[i] == '{' || text[i] == '/');
}

/* A trace in a VM as `replay` has it: what is touched is mapped. */
static int wrap_trace(const struct cli *cli, struct subject *s)
{
    char *whole = realpath(s->path, NULL);
    FILE *out = open_memstream(&s->text, &s->length);
    if (out && whole) {
        fputs("{ \"version\": 1, \"title\": ", out);
        json_string(out, s->path);
        fputs(", \"machine\": { \"profile\": ", out);
        json_string(out, cli_value(cli, "machine", "skylake-sp"));
        fputs(", \"memory\": \"2TiB\" }, \"vms\": [ { \"memory\": \"1TiB\", \"processes\": [ { "
              "\"workload\": { \"generator\": \"trace\", \"file\": ",
              out);
        json_string(out, whole);
        fputs(" } } ] } ] }\n", out);
    }
    bool good = out && whole;
    if (out)
        fclose(out);
    free(whole);
    return good ? EXIT_OK : EXIT_ENVIRONMENT;
}

static int read_settings(const struct cli *cli, struct subject *s)
{
    for (int i = 0; i < cli->n_given; i++) {
        const struct cli_given *given = &cli->given[i];
        if (strcmp(given->option->name, "set"))
            continue;
        if (!setting_split(given->value, &s->owned[s->n], &s->settings[s->n]))
            return cli_usage(cli,
                             "--set takes a JSON pointer and a value, as in "
                             "--set /vms/0/memory=1GiB, not '%s'",
                             given->value);
        s->n++;
    }
    return EXIT_OK;
}

int subject_open(const struct cli *cli, struct subject *s)
{
    struct diagnostics diagnostics = {0};
    *s = (struct subject){.path = cli->arguments[0], .title = cli->arguments[0]};
    int code = read_settings(cli, s);
    if (!code && !(s->text = read_file(s->path, &s->length, &diagnostics))) {
        diagnostics_print(&diagnostics, stderr, cli->color);
        code = EXIT_USAGE;
    }
    diagnostics_free(&diagnostics);
    s->is_trace = !code && !is_scenario(s->text, s->length);
    if (s->is_trace && !strcmp(s->path, "-"))
        code = cli_usage(cli, "a trace is read once for each mode: give a file, not -");
    if (!code && s->is_trace) {
        free(s->text);
        s->text = NULL;
        code = wrap_trace(cli, s);
    }
    if (code)
        subject_close(s);
    return code;
}

void subject_close(struct subject *s)
{
    free(s->text);
    s->text = NULL;
    for (unsigned i = 0; i < sizeof s->owned / sizeof *s->owned; i++)
        free(s->owned[i]);
}

/* ---- ways ---- */

bool way_named(const char *text, struct way *w)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    *w = (struct way){.name = ""};
    if (length >= sizeof w->mode || strlen(text) >= sizeof w->name ||
        (colon && strlen(colon + 1) >= sizeof w->policy))
        return false;
    memcpy(w->mode, text, length);
    strcpy(w->name, text);
    if (colon)
        strcpy(w->policy, colon + 1);
    static const char *const policies[] = {SHADOW_POLICY_WORDS};
    bool known = !colon;
    for (unsigned i = 0; colon && i < SHADOW_POLICIES; i++)
        known |= !strcmp(policies[i], w->policy) && !strcmp(w->mode, mode_name(MODE_SHADOW));
    return known && mode_named(w->mode) < MODES;
}

static bool load(const struct subject *s, const struct way *w, const struct setting *more,
                 unsigned n_more, struct scenario *scenario, struct diagnostics *diagnostics)
{
    struct setting settings[SETTINGS];
    unsigned n = 0;
    settings[n++] = (struct setting){"/vms/*/mode", w->mode};
    if (*w->policy)
        settings[n++] = (struct setting){"/vms/*/shadow/policy", w->policy};
    for (unsigned i = 0; i < s->n; i++)
        settings[n++] = s->settings[i];
    for (unsigned i = 0; i < n_more; i++)
        settings[n++] = more[i];
    bool good = scenario_parse(scenario, s->path, s->text, s->length, settings, n, diagnostics);
    for (unsigned v = 0; good && s->is_trace && v < scenario->machine.n_vms; v++)
        ((struct vm_config *)&scenario->machine.vms[v])->map_on_touch = true;
    return good;
}

int way_load(const struct cli *cli, const struct subject *s, const struct way *w,
             const struct setting *more, unsigned n_more, struct scenario *scenario)
{
    struct diagnostics diagnostics = {0};
    bool good = load(s, w, more, n_more, scenario, &diagnostics);
    if (!good)
        diagnostics_print(&diagnostics, stderr, cli->color);
    diagnostics_free(&diagnostics);
    return good ? EXIT_OK : EXIT_USAGE;
}

unsigned subject_vms(const struct subject *s)
{
    struct diagnostics diagnostics = {0};
    struct scenario scenario;
    struct way nested;
    unsigned n = 0;
    if (way_named(mode_name(MODE_NESTED), &nested) &&
        load(s, &nested, NULL, 0, &scenario, &diagnostics)) {
        n = scenario.machine.n_vms;
        scenario_free(&scenario);
    }
    diagnostics_free(&diagnostics);
    return n;
}

/* ---- runs ---- */

struct running {
    const struct subject *subject;
    const struct machine *machine;
    uint64_t outcomes, planned;
    struct progress progress;
};

static void take_outcome(void *self, unsigned index, const struct script_item *item,
                         const struct outcome *o, const struct machine *m)
{
    struct running *r = self;
    const uint64_t words[] = {
        index, o->kind, o->has_value ? o->value : 0, o->vector, o->error_code, o->cr2, o->gpa};
    (void)m;
    if (verb_is_hypervisors(item->verb))
        return; /* its hypervisor's, which a guest does not see */
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        r->outcomes = digest_word(r->outcomes, words[i]);
}

/* How much of the work is done, 0 to 1; negative: unknown. */
static double share_done(const struct running *r, uint64_t accesses)
{
    const struct machine *m = r->machine;
    if (r->planned)
        return (double)accesses / (double)r->planned;
    if (!r->subject->is_trace || !m->n_vms || !m->vm[0].n_feeds)
        return -1;
    const struct feed *feed = &m->vm[0].feeds[0];
    if (feed->phase >= feed->config->n_phases || !feed->traces[feed->phase])
        return -1;
    return feed->traces[feed->phase]->ops->progress(feed->traces[feed->phase]);
}

static bool take_progress(void *self, uint64_t accesses)
{
    struct running *r = self;
    if (r->subject->whole)
        progress_update(r->subject->whole, r->subject->n_runs, -1);
    else
        progress_update(&r->progress, accesses, share_done(r, accesses));
    return cli_interrupted;
}

static bool run_machine(const struct cli *cli, const struct scenario *scenario, struct machine *m,
                        struct running *r, struct err *err)
{
    struct run_hooks hooks = {take_outcome, take_progress, r};
    m->in_turn = true; /* clocks differ by mode, and what is compared must not */
    r->machine = m;
    r->planned = scenario_planned(scenario);
    progress_start(&r->progress, cli, "accesses");
    bool good = run_foresee(scenario, m, err) && run_scenario(scenario, m, &hooks, err);
    progress_end(&r->progress);
    if (good && cli_interrupted)
        return err_set(err, EXIT_NO, "interrupted: nothing is compared");
    return good;
}

int way_run(const struct cli *cli, const struct subject *s, const struct way *w,
            const struct setting *more, unsigned n_more, struct scenario *scenario,
            struct contender *c)
{
    struct err err = {0};
    struct running r = {.subject = s};
    struct machine *m = NULL;
    int code = way_load(cli, s, w, more, n_more, scenario);
    if (code)
        return code;
    bool good = scenario_runs(scenario, &err) && (m = machine_new(&scenario->machine, &err)) &&
                run_machine(cli, scenario, m, &r, &err);
    if (good && !contender_take(c, w->name, m, &scenario->machine, s->title, r.outcomes))
        good = err_set(&err, EXIT_ENVIRONMENT, "this computer is out of memory");
    machine_free(m);
    if (good)
        return EXIT_OK;
    scenario_free(scenario);
    if (s->whole)
        progress_end(s->whole);
    return cli_fail(cli, &err);
}
