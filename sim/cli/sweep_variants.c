#include "sim/cli/sweep_variants.h"

#include <stdlib.h>
#include <string.h>

#include "sim/cli/scenario_arg.h"
#include "sim/report/stats.h"
#include "sim/run.h"

bool variants_load(const struct variants *v, unsigned combination, struct scenario *scenario,
                   FILE *out)
{
    struct setting settings[AXES_MAX];
    struct diagnostics diagnostics = {0};
    struct err err;
    axes_settings(v->axes, combination, settings);
    bool good =
        scenario_parse(scenario, v->path, v->text, v->length, settings, v->axes->n, &diagnostics);
    diagnostics_print(&diagnostics, out, v->color);
    diagnostics_free(&diagnostics);
    if (!good || scenario_runs(scenario, &err))
        return good;
    fprintf(out, "%s\n", err.text);
    scenario_free(scenario);
    return false;
}

static bool take_progress(void *self, uint64_t accesses)
{
    struct live *live = self;
    live->accesses = accesses;
    return false;
}

/* What `run --format csv` prints, but for its heading; and behind the cycles, their mean. */
static bool print_row(const struct scenario *s, const struct machine *m, FILE *out)
{
    struct stats stats;
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    bool good = memory && stats_gather(&stats, m, &s->machine, scenario_name(s));
    if (good) {
        stats_print_csv(&stats, memory);
        stats_fini(&stats);
    }
    if (memory)
        fclose(memory);
    const char *row = good ? strchr(text, '\n') + 1 : NULL;
    const char *cycles = good ? strstr(row, "\ncycles,") : NULL;
    const char *rest = cycles ? strchr(cycles + 1, '\n') + 1 : row;
    if (good)
        fwrite(row, 1, (size_t)(rest - row), out);
    if (cycles && stats.total.accesses)
        fprintf(out, "cycles_per_access,%.4f\n",
                (double)stats.total.cycles / (double)stats.total.accesses);
    if (good)
        fputs(rest, out);
    free(text);
    return good;
}

static bool run_one(const struct scenario *scenario, struct live *live, FILE *out, struct err *err)
{
    struct run_hooks hooks = {.progress = take_progress, .self = live};
    struct machine *m = machine_new(&scenario->machine, err);
    bool good = m && run_foresee(scenario, m, err) && run_scenario(scenario, m, &hooks, err);
    if (good) {
        live->accesses = m->accesses;
        good = print_row(scenario, m, out) ||
               err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    }
    machine_free(m);
    return good;
}

int variants_run(const struct variants *v, unsigned combination, struct live *live, FILE *out)
{
    struct scenario scenario;
    struct err err = {0};
    if (!variants_load(v, combination, &scenario, out))
        return EXIT_USAGE;
    live->planned = scenario_planned(&scenario);
    if (!run_one(&scenario, live, out, &err))
        fprintf(out, "%s\n", err.text);
    scenario_free(&scenario);
    return err.code;
}
