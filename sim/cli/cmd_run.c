/* run: a scenario from beginning to end, and its statistics. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/cli/scenario_arg.h"
#include "sim/report/lines.h"
#include "sim/report/stats.h"
#include "sim/run.h"

struct job {
    const struct cli *cli;
    FILE *events, *outcomes; /* NULL: not wanted */
    struct progress progress;
    uint64_t total; /* accesses that the workloads will make; 0: unknown */
    uint64_t done;
};

static void take_event(void *self, const struct event *e)
{
    event_print(e, ((struct job *)self)->events);
}

static void take_outcome(void *self, unsigned index, const struct script_item *item,
                         const struct outcome *o, const struct machine *m)
{
    struct job *job = self;
    if (job->outcomes)
        outcome_print(index, item, o, m, job->outcomes);
}

static bool take_progress(void *self, uint64_t accesses)
{
    struct job *job = self;
    job->done = accesses;
    progress_update(&job->progress, accesses,
                    job->total ? (double)accesses / (double)job->total : -1);
    return cli_interrupted;
}

static int print_stats(const struct cli *cli, const struct scenario *s, const struct machine *m)
{
    static void (*const print[])(const struct stats *, FILE *) = {
        [FORMAT_TABLE] = stats_print_table,
        [FORMAT_JSON] = stats_print_json,
        [FORMAT_CSV] = stats_print_csv,
    };
    struct stats stats;
    struct err err;
    if (!stats_gather(&stats, m, &s->machine, scenario_name(s))) {
        err_set(&err, EXIT_ENVIRONMENT, "this computer is out of memory");
        return cli_fail(cli, &err);
    }
    print[cli->format](&stats, stdout);
    stats_fini(&stats);
    return EXIT_OK;
}

static bool run_job(struct job *job, const struct scenario *s, struct machine *m, struct err *err)
{
    struct run_hooks hooks = {take_outcome, take_progress, job};
    struct sink sink = {take_event, job};
    if (job->events)
        machine_watch(m, &sink);
    job->total = scenario_planned(s);
    progress_start(&job->progress, job->cli, "accesses");
    bool good = run_scenario(s, m, &hooks, err);
    progress_end(&job->progress);
    machine_watch(m, NULL);
    return good;
}

/* Opens what is wanted, runs, closes. */
static bool run_to_files(struct job *job, const struct scenario *s, struct machine *m,
                         struct err *err)
{
    const char *events = cli_value(job->cli, "events", NULL);
    const char *outcomes = cli_value(job->cli, "outcomes", NULL);
    if (events && outcomes && !strcmp(events, outcomes) && strcmp(events, "-"))
        return err_set(err, EXIT_USAGE, "--events and --outcomes write one file, %s", events);
    struct err closing;
    if ((events && !(job->events = cli_open(events, err))) ||
        (outcomes && !(job->outcomes = cli_open(outcomes, err)))) {
        if (job->events)
            cli_close(job->events, events, &closing);
        return false;
    }
    bool good = run_job(job, s, m, err);
    if (job->events && !cli_close(job->events, events, good ? err : &closing))
        good = false;
    if (job->outcomes && !cli_close(job->outcomes, outcomes, good ? err : &closing))
        good = false;
    return good;
}

static int run(struct cli *cli)
{
    struct job job = {.cli = cli};
    struct scenario scenario;
    struct machine *machine;
    struct err err = {0};
    int code = cli_scenario(cli, &scenario);
    if (code)
        return code;
    if (!(code = cli_machine(cli, &scenario, &machine))) {
        code = run_to_files(&job, &scenario, machine, &err) ? print_stats(cli, &scenario, machine)
                                                            : cli_fail(cli, &err);
        machine_free(machine);
    }
    scenario_free(&scenario);
    if (code || !cli_interrupted)
        return code;
    fprintf(stderr, "nestwalk run: interrupted after %" PRIu64 " accesses; this is their summary\n",
            job.done);
    return EXIT_OK; /* main makes it 130 */
}

static const struct cli_option options[] = {
    SCENARIO_OPTIONS,
    {"events", "FILE", "write every event as a JSON line; - is standard output", false},
    {"outcomes", "FILE", "write what became of each script item as a JSON line", false},
    {NULL, NULL, NULL, false},
};

const struct command command_run = {
    .name = "run",
    .arguments = "SCENARIO",
    .summary = "run a scenario and print its statistics",
    .text = "Does the script's items in order, then runs the workloads to their end; items\n"
            "with \"at\" are placed among them. The scenario may be -, standard input.\n"
            "\n"
            "With --outcomes - the lines come first on standard output, then the statistics.\n"
            "--format csv prints rows of name,value, named by their path in the JSON:\n"
            "  tlb.l1d.4KiB.hits,1000\n"
            "\n"
            "The same scenario prints the same bytes, always. Counts are exact; cycles, and\n"
            "what caches of a certain size hold, are a model's: see docs/MODEL.md.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
