/* validate: the same on the model and on KVM. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "sim/backend/judge.h"
#include "sim/backend/traced.h"
#include "sim/cli/scenario_arg.h"
#include "sim/cli/validate.h"
#include "sim/report/validation.h"

/* What came of all of them. */
struct job {
    const struct cli *cli;
    struct environment environment;
    bool all;                                        /* --all */
    unsigned agrees, differs, failed, cannot, wrong; /* wrong: could not be read */
    enum exit_code failure; /* of those that failed, the gravest: the least */
};

static void print(const struct job *job, const struct validation *v)
{
    unsigned before = job->agrees + job->differs + job->failed + job->cannot;
    if (job->cli->format == FORMAT_JSON) {
        validation_print_json(v, stdout);
    } else if (job->cli->format == FORMAT_CSV) {
        validation_print_csv(v, !before, stdout);
    } else {
        if (before)
            fputc('\n', stdout);
        validation_print_table(v, stdout);
    }
    fflush(stdout);
}

static void count(struct job *job, const struct validation *v)
{
    if (v->cannot)
        job->cannot++;
    else if (v->failure)
        job->failed++;
    else if (verdict_agrees(v->verdict))
        job->agrees++;
    else
        job->differs++;
}

/* Where lines of data are printed, people read the other output. */
static void tell(const struct job *job, const struct validation *v)
{
    char place[160];
    const struct difference *d = v->verdict && v->verdict->n_first ? v->verdict->first : NULL;
    if (job->cli->format == FORMAT_TABLE || !(v->failure || d))
        return;
    fprintf(stderr, "%s (%s): %s: ", v->name, mode_name(v->scenario->machine.vms[0].mode),
            validation_verdict(v));
    if (d)
        fprintf(stderr, "%s: model %s, KVM %s\n",
                difference_place(v->scenario, d, place, sizeof place), d->model, d->kvm);
    else
        fprintf(stderr, "%s\n", v->failure);
}

/* ---- one scenario ---- */

static void validate(struct job *job, const struct scenario *s)
{
    const struct scenario dressed = judged_scenario(s, &job->environment);
    struct verdict verdict;
    struct err err = {0};
    struct led led = {0};
    struct validation v = {.scenario = &dressed,
                           .name = s->path,
                           .environment = &job->environment,
                           .cannot = kvm_cannot(s, &job->environment)};
    if (!v.cannot && judge(s, &job->environment, &cli_interrupted, &verdict, &err))
        v.verdict = &verdict;
    else if (!v.cannot)
        v.failure = err.text;
    if (v.failure && cli_interrupted)
        return;
    if (v.failure && (!job->failed || err.code < job->failure))
        job->failure = err.code;
    if (v.verdict && verdict.n_first)
        led_find(&led, &dressed, &verdict.first[0]);
    v.walk = led.report;
    print(job, &v);
    tell(job, &v);
    count(job, &v);
    led_fini(&led);
}

/* Has a VM virtualized as KVM does it here. False: it is so already. */
static bool adapt(const struct environment *e, struct vm_config *vm)
{
    enum mode mode = e->nested ? MODE_NESTED : MODE_SHADOW;
    enum second_stage second = e->npt ? SECOND_NPT4 : SECOND_EPT4;
    bool same = vm->mode == mode && (!e->nested || second_stage_is_ept(vm->second_stage) != e->npt);
    vm->mode = mode;
    vm->second_stage = e->nested ? second : vm->second_stage;
    return !same;
}

/* As it is; of --all also with the technique that KVM uses here, with which more can be compared.
 */
static void validate_modes(struct job *job, struct scenario *s)
{
    struct vm_config vm = s->machine.vms[0];
    validate(job, s);
    if (!job->all || cli_has(job->cli, "mode") || s->machine.n_vms != 1 ||
        kvm_cannot(s, &job->environment) || !adapt(&job->environment, &vm))
        return;
    s->machine.vms = &vm;
    s->machine.memory += s->machine.memory < 2 * vm.memory ? 2 * vm.memory : 0;
    validate(job, s);
}

static void validate_file(struct job *job, char *path)
{
    struct cli one = *job->cli;
    struct scenario s;
    one.arguments = &path;
    one.n_arguments = 1;
    if (cli_scenario(&one, &s)) {
        job->wrong++;
        return;
    }
    validate_modes(job, &s);
    scenario_free(&s);
}

static int validate_all(struct job *job)
{
    static const char *const where[] = {"scenarios/*.json", "scenarios/validation/*.json"};
    glob_t found = {0};
    for (unsigned i = 0; i < sizeof where / sizeof *where; i++)
        glob(where[i], i ? GLOB_APPEND : 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc && !cli_interrupted; i++)
        validate_file(job, found.gl_pathv[i]);
    size_t n = found.gl_pathc;
    globfree(&found);
    return n ? EXIT_OK : cli_usage(job->cli, "--all: the current folder has no scenarios/*.json");
}

/* ---- a trace ---- */

/* In the mode of the technique that KVM uses here, unless another is asked for. */
static int trace_options(const struct job *job, enum mode *mode, uint64_t *mib)
{
    const char *named = cli_value(job->cli, "mode", NULL);
    *mode = job->environment.nested ? MODE_NESTED : MODE_SHADOW;
    if (named && cli_mode(job->cli, named, mode))
        return EXIT_USAGE;
    if (!cli_number(job->cli, "memory", 256, mib))
        return EXIT_USAGE;
    return *mib && *mib <= 1024 ? EXIT_OK : cli_usage(job->cli, "--memory is from 1 to 1024 MiB");
}

static int validate_trace(struct job *job, const char *path)
{
    struct diagnostics diagnostics = {0};
    struct traced traced;
    struct scenario host;
    enum mode mode;
    uint64_t mib;
    int code = trace_options(job, &mode, &mib);
    if (code)
        return code;
    if (machine_load(&host, cli_value(job->cli, "machine", "skylake-sp"), &diagnostics)) {
        traced_make(&traced, &host.machine, path, mode, mib << 20);
        traced.vm.second_stage = job->environment.npt ? SECOND_NPT4 : SECOND_EPT4;
        validate(job, &traced.scenario);
        scenario_free(&host);
    } else {
        diagnostics_print(&diagnostics, stderr, job->cli->color);
        code = EXIT_USAGE;
    }
    diagnostics_free(&diagnostics);
    return code;
}

/* ---- all of them ---- */

static void print_sum(const struct job *job)
{
    FILE *out = job->cli->format == FORMAT_TABLE ? stdout : stderr;
    if (job->cli->quiet || !job->all)
        return;
    fprintf(out, "%s%u agree, %u differ, %u failed, %u can't run here: %s, %s, Linux %s\n",
            out == stdout ? "\n" : "", job->agrees, job->differs, job->failed, job->cannot,
            job->environment.driver, job->environment.nested ? "nested paging" : "shadow paging",
            job->environment.kernel);
}

static int conclude(const struct job *job)
{
    print_sum(job);
    if (job->differs || (job->failed && job->all))
        return EXIT_NO;
    if (job->failed)
        return (int)job->failure;
    return job->wrong || (job->cannot && !job->all) ? EXIT_USAGE : EXIT_OK;
}

static int print_environment(const struct job *job)
{
    static void (*const as[])(const struct environment *, FILE *) = {
        [FORMAT_TABLE] = environment_print_table,
        [FORMAT_JSON] = environment_print_json,
        [FORMAT_CSV] = environment_print_csv,
    };
    as[job->cli->format](&job->environment, stdout);
    return EXIT_OK;
}

static int write_page(const struct cli *cli)
{
    struct err err = {0};
    if (!cli->n_arguments)
        return cli_usage(cli, "--write needs the files that validate --all --format json wrote");
    return validation_write_page(cli_value(cli, "write", NULL), cli->arguments, cli->n_arguments,
                                 &err)
               ? EXIT_OK
               : cli_fail(cli, &err);
}

static int run(struct cli *cli)
{
    struct job job = {.cli = cli, .all = cli_has(cli, "all")};
    struct err err = {0};
    const char *trace = cli_value(cli, "trace", NULL);
    int code = EXIT_OK;
    if (cli_has(cli, "write"))
        return write_page(cli);
    if (strcmp(cli_value(cli, "backend", "kvm"), "kvm"))
        return cli_usage(cli, "there is one backend beside the model: kvm");
    if (!cli->n_arguments && !job.all && !trace && !cli_has(cli, "probe"))
        return cli_usage(cli, "give a scenario, --all, --trace or --probe");
    if (!environment_probe(&job.environment, &err))
        return cli_fail(cli, &err);
    if (cli_has(cli, "probe"))
        return print_environment(&job);
    if (job.all)
        code = validate_all(&job);
    for (int i = 0; !code && i < cli->n_arguments && !cli_interrupted; i++)
        validate_file(&job, cli->arguments[i]);
    if (!code && trace)
        code = validate_trace(&job, trace);
    return code ? code : conclude(&job);
}

static const struct cli_option options[] = {
    {"all", NULL, "every scenario of scenarios/ and scenarios/validation/, too", false},
    {"trace", "TRACE", "a trace in a VM, as replay has it", false},
    {"machine", "PROFILE", "for a trace: a profile's name; skylake-sp", false},
    {"memory", "MIB", "for a trace: its VM's memory; 256", false},
    {"backend", "kvm", "what the model is compared with", false},
    {"probe", NULL, "only say what KVM there is, and what is known of it", false},
    {"write", "PAGE", "write the results, JSON lines in the files given, into a page", false},
    SCENARIO_OPTIONS,
    {NULL, NULL, NULL, false},
};

const struct command command_validate = {
    .name = "validate",
    .arguments = "[SCENARIO...]",
    .summary = "run a scenario on the model and on KVM, and compare",
    .text = "Runs each scenario on the model, and on the kernel's own hypervisor, where real\n"
            "or emulated hardware makes the accesses; compares only what both can know, says\n"
            "what was compared, what was not and why, and prints the first differences with\n"
            "the walk on the model that led there. The model gets the features that guests\n"
            "have here. What is known to differ is masked, as narrowly as its reason; how\n"
            "much each mask could have touched, and explains, is printed.\n"
            "\n"
            "--all also runs each scenario in the mode of the technique that KVM uses here,\n"
            "where order of first touch and KVM's counts can be compared; scenarios that KVM\n"
            "can't run are named with the reason, and are no failure. --format json prints a\n"
            "line for each scenario. docs/VALIDATION.md says what is behind it all.\n"
            "\n"
            "  nestwalk validate scenarios/first-steps.json\n"
            "  nestwalk validate --all --format json > here.jsonl\n"
            "  nestwalk validate --write docs/VALIDATION.md here.jsonl\n"
            "\n"
            "Exit code 0: all agree; 1: one differs; 2: usage, or a scenario that KVM can't\n"
            "run; 3: there is no KVM.",
    .options = options,
    .least = 0,
    .most = -1,
    .run = run,
};
