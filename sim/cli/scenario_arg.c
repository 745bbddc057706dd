#include "sim/cli/scenario_arg.h"

#include <stdlib.h>
#include <string.h>

#include "sim/run.h"

const char *scenario_name(const struct scenario *s)
{
    return s->title && *s->title ? s->title : s->path;
}

static void complain_all(const struct cli *cli, const struct diagnostics *d)
{
    if (cli->format == FORMAT_JSON)
        diagnostics_print_json(d, stdout);
    else
        diagnostics_print(d, stderr, cli->color);
}

bool setting_split(const char *given, char **text, struct setting *setting)
{
    *text = strdup(given);
    char *equals = *text ? strchr(*text, '=') : NULL;
    if (!equals || **text != '/')
        return false;
    *equals = 0;
    *setting = (struct setting){*text, equals + 1};
    return true;
}

int cli_mode(const struct cli *cli, const char *name, enum mode *mode)
{
    char known[200] = "";
    *mode = mode_named(name);
    if (*mode != MODES)
        return EXIT_OK;
    for (enum mode m = 0; m < MODES; m++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "",
                 mode_name(m));
    return cli_usage(cli, "unknown mode '%s'; known: %s", name, known);
}

/* --set and --mode, in the order given. */
static int read_settings(const struct cli *cli, struct setting *settings, char **texts, unsigned *n)
{
    for (int i = 0; i < cli->n_given; i++) {
        const struct cli_given *given = &cli->given[i];
        bool mode = !strcmp(given->option->name, "mode");
        enum mode known;
        if (mode && cli_mode(cli, given->value, &known) != EXIT_OK)
            return EXIT_USAGE;
        if (mode)
            settings[(*n)++] = (struct setting){"/vms/*/mode", given->value};
        if (strcmp(given->option->name, "set"))
            continue;
        if (!setting_split(given->value, &texts[*n], &settings[*n]))
            return cli_usage(cli,
                             "--set takes a JSON pointer and a value, "
                             "as in --set /vms/0/memory=1GiB, not '%s'",
                             given->value);
        ++*n;
    }
    return EXIT_OK;
}

static int load(const struct cli *cli, struct scenario *s, const struct setting *settings,
                unsigned n)
{
    struct diagnostics diagnostics = {0};
    bool good = scenario_load(s, cli->arguments[0], settings, n, &diagnostics);
    if (!good)
        complain_all(cli, &diagnostics);
    else if (diagnostics.count && !cli->quiet)
        diagnostics_print(&diagnostics, stderr, cli->color); /* notes */
    diagnostics_free(&diagnostics);
    return good ? EXIT_OK : EXIT_USAGE;
}

bool scenario_runs(const struct scenario *s, struct err *err)
{
    for (unsigned v = 0; v < s->machine.n_vms; v++)
        if (!machine_runs(s->machine.vms[v].mode))
            return err_set(err, EXIT_USAGE,
                           "vm %s: mode %s can't run in this version; run it with --mode nested",
                           s->machine.vms[v].name, mode_name(s->machine.vms[v].mode));
    return true;
}

uint64_t scenario_planned(const struct scenario *s)
{
    const struct machine_config *m = &s->machine;
    uint64_t total = 0;
    for (unsigned v = 0; v < m->n_vms; v++)
        for (unsigned p = 0; p < m->vms[v].n_processes; p++)
            for (unsigned i = 0; i < m->vms[v].processes[p].n_phases; i++) {
                const struct phase_config *phase = &m->vms[v].processes[p].phases[i];
                if (phase->trace)
                    return 0; /* how long it is shows only at its end */
                total += phase->generator.accesses;
            }
    return total;
}

int cli_scenario(const struct cli *cli, struct scenario *s)
{
    struct setting settings[sizeof cli->given / sizeof *cli->given];
    char *texts[sizeof cli->given / sizeof *cli->given] = {0};
    unsigned n = 0;
    int code = read_settings(cli, settings, texts, &n);
    if (!code)
        code = load(cli, s, settings, n);
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    struct err err;
    if (!code && !scenario_runs(s, &err)) {
        scenario_free(s);
        code = cli_fail(cli, &err);
    }
    return code;
}

int cli_machine(const struct cli *cli, const struct scenario *s, struct machine **m)
{
    struct err err = {0};
    *m = machine_new(&s->machine, &err);
    if (*m && run_foresee(s, *m, &err))
        return EXIT_OK;
    machine_free(*m);
    return cli_fail(cli, &err);
}
