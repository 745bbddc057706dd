/* fuzz: random programs on the model and on KVM, which must agree. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cli/fuzz_print.h"
#include "sim/cli/scenario_arg.h"
#include "sim/fuzz/fuzz.h"
#include "sim/fuzz/generate.h"
#include "sim/fuzz/writer.h"

struct job {
    const struct cli *cli;
    uint64_t seed, from, accesses, differences; /* how many are enough */
    struct environment environment;
    struct scenario machine; /* whose profile the model has */
    struct fuzz fuzz;
    struct fuzz_report report;
    struct progress progress;
    struct fuzz_program *program;
};

/* ---- what is wanted ---- */

static bool read_numbers(struct job *j)
{
    const struct cli *cli = j->cli;
    return cli_number(cli, "seed", 1, &j->seed) && cli_number(cli, "from", 0, &j->from) &&
           cli_number(cli, "count", 20000, &j->accesses) &&
           cli_number(cli, "differences", 1, &j->differences);
}

/* Who judges, and what it has. */
static int choose_judge(struct job *j)
{
    struct err err = {0};
    bool model = !strcmp(cli_value(j->cli, "judge", "kvm"), "model");
    j->fuzz.judge = model ? &backend_cold_model : &backend_kvm;
    if (model)
        j->environment = fuzz_everything();
    else if (!environment_probe(&j->environment, &err))
        return cli_fail(j->cli, &err);
    return EXIT_OK;
}

/* The model's caches are those of a real machine: what they keep too long shows. */
static bool make_machine(struct job *j)
{
    char text[160];
    struct diagnostics diagnostics = {0};
    int n = snprintf(text, sizeof text,
                     "{ \"version\": 1, \"vms\": [{}], \"machine\": { \"profile\": \"skylake-sp\", "
                     "\"override\": { \"maxphyaddr\": %u } } }",
                     j->environment.maxphyaddr);
    bool good = scenario_parse(&j->machine, "fuzz", text, (size_t)n, NULL, 0, &diagnostics);
    diagnostics_print(&diagnostics, stderr, j->cli->color);
    diagnostics_free(&diagnostics);
    return good;
}

static int set_up(struct job *j)
{
    int code = read_numbers(j) ? EXIT_OK : EXIT_USAGE;
    if (!code)
        code = cli_mode(j->cli, cli_value(j->cli, "mode", "native"), &j->fuzz.mode);
    if (!code && j->fuzz.mode == MODE_DIRECT)
        code = cli_usage(j->cli, "a guest that is given its tables can't run in mode direct");
    if (!code)
        code = choose_judge(j);
    if (!code && (!make_machine(j) || !(j->program = malloc(sizeof *j->program))))
        code = EXIT_ENVIRONMENT;
    j->fuzz.environment = &j->environment;
    j->fuzz.profile = &j->machine.machine.profile;
    j->fuzz.stop = &cli_interrupted;
    j->report.seed = j->seed;
    j->report.mode = mode_name(j->fuzz.mode);
    return code;
}

/* ---- differences ---- */

static bool save(struct job *j, const struct fuzz_finding *finding, const char *path,
                 struct err *err)
{
    struct fuzz_scenario *s = malloc(sizeof *s);
    FILE *file = s ? cli_open(path, err) : NULL;
    if (file) {
        program_scenario(j->program, j->fuzz.profile, j->fuzz.mode, s);
        char title[sizeof s->title + sizeof finding->words + 2];
        snprintf(title, sizeof title, "%s: %s", s->title, finding->words);
        s->scenario.title = title;
        scenario_write(file, &s->scenario);
    } else if (!s) {
        err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    }
    free(s);
    return file && cli_close(file, path, err);
}

static bool report_difference(struct job *j, struct fuzz_finding *finding, struct err *err)
{
    const char *folder = cli_value(j->cli, "scenarios", ".");
    struct fuzz_found found = {.program = j->program->number, .items = j->program->n_items};
    int n = snprintf(found.path, sizeof found.path, "%s/fuzz-%" PRIu64 "-%" PRIu64 ".json", folder,
                     j->seed, found.program);
    if (n >= (int)sizeof found.path)
        return err_set(err, EXIT_USAGE, "%s: %s", folder, strerror(ENAMETOOLONG));
    progress_end(&j->progress);
    if (!j->cli->quiet)
        fprintf(stderr, "program %" PRIu64 " differs: %s\n", found.program, finding->words);
    if (!cli_has(j->cli, "no-shrink"))
        found.asked = fuzz_shrink(&j->fuzz, j->program, finding);
    found.left = j->program->n_items;
    memcpy(found.words, finding->words, sizeof found.words);
    if (!save(j, finding, found.path, err))
        return false;
    fuzz_found_print(stderr, &found);
    j->report.differences++;
    return true;
}

/* ---- all of it ---- */

static bool fuzz_all(struct job *j, struct err *err)
{
    const uint64_t *accesses = &j->report.tally.count[FUZZ_accesses];
    struct fuzz_finding finding;
    progress_start(&j->progress, j->cli, "accesses");
    for (uint64_t number = j->from; *accesses < j->accesses && !cli_interrupted; number++) {
        if (!generate(j->program, j->seed, number, &j->environment))
            return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
        if (!fuzz_try(&j->fuzz, j->program, &j->report.tally, &finding, err))
            return false;
        if (finding.differs && !report_difference(j, &finding, err))
            return false;
        if (finding.differs && j->report.differences == j->differences)
            break;
        progress_update(&j->progress, *accesses, (double)*accesses / (double)j->accesses);
    }
    return true;
}

/* A scenario of an earlier run, once more. */
static int try_again(struct job *j, const char *path, struct err *err)
{
    struct scenario s;
    struct fuzz_finding finding;
    struct diagnostics diagnostics = {0};
    bool loaded = scenario_load(&s, path, NULL, 0, &diagnostics);
    diagnostics_print(&diagnostics, stderr, j->cli->color);
    diagnostics_free(&diagnostics);
    if (!loaded)
        return EXIT_USAGE;
    const char *why = s.machine.vms[0].raw ? kvm_cannot(&s, &j->environment) : "it is not raw";
    if (why)
        err_set(err, EXIT_USAGE, "%s: no program of the fuzzer: %s", path, why);
    else if (fuzz_try_scenario(&j->fuzz, &s, &j->report.tally, &finding, err) && finding.differs) {
        fprintf(stderr, "%s: %s\n", path, finding.words);
        j->report.differences++;
    }
    scenario_free(&s);
    return (int)err->code;
}

static int try_all(struct job *j, struct err *err)
{
    int code = EXIT_OK;
    for (int i = 0; !code && i < j->cli->n_arguments && !cli_interrupted; i++)
        code = try_again(j, j->cli->arguments[i], err);
    return code;
}

static int conclude(struct job *j, const struct err *err)
{
    static void (*const print[])(FILE *, const struct fuzz_report *) = {
        [FORMAT_TABLE] = fuzz_report_table,
        [FORMAT_JSON] = fuzz_report_json,
        [FORMAT_CSV] = fuzz_report_csv,
    };
    progress_end(&j->progress);
    if (err->code)
        return cli_fail(j->cli, err);
    print[j->cli->format](stdout, &j->report);
    if (cli_interrupted) {
        fprintf(stderr, "nestwalk fuzz: interrupted after %" PRIu64 " accesses\n",
                j->report.tally.count[FUZZ_accesses]);
        return EXIT_NO;
    }
    return j->report.differences ? EXIT_NO : EXIT_OK;
}

static int run(struct cli *cli)
{
    struct job j = {.cli = cli};
    struct err err = {0};
    int code = set_up(&j);
    j.report.judge = j.fuzz.judge ? j.fuzz.judge->name : NULL;
    j.report.environment = &j.environment;
    if (!code && cli->n_arguments)
        code = try_all(&j, &err);
    else if (!code)
        fuzz_all(&j, &err);
    if (!code || err.code)
        code = conclude(&j, &err);
    free(j.program);
    scenario_free(&j.machine);
    return code;
}

static const struct cli_option options[] = {
    {"seed", "S", "which programs; 1", false},
    {"count", "N", "accesses that are compared, at least; 20000", false},
    {"from", "N", "the number of the first program; 0", false},
    {"mode", "MODE", "how the model virtualizes memory (see modes); native", false},
    {"judge", "kvm|model", "who must agree: KVM, or the model natively and with no cache; kvm",
     false},
    {"differences", "N", "stop at the N-th program that differs; 1", false},
    {"scenarios", "FOLDER", "where programs that differ are saved; the current folder", false},
    {"no-shrink", NULL, "save them as they were drawn", false},
    {NULL, NULL, NULL, false},
};

const struct command command_fuzz = {
    .name = "fuzz",
    .arguments = "[SCENARIO...]",
    .summary = "random programs on the model and on KVM, which must agree",
    .text = "Draws programs for a raw VM: page tables of every shape, accesses, edits of the\n"
            "tables, invalidations, control registers. Each runs on the model and on this\n"
            "computer's KVM; outcomes, values read, and all of memory with its A and D bits\n"
            "must be the same. No program does what a processor may answer either way, such\n"
            "as using a page after its entry was changed and before it was invalidated.\n\n"
            "A program that differs is shrunk to the few script items and table entries that\n"
            "matter, and saved as a scenario, fuzz-SEED-PROGRAM.json, for validate and walk.\n"
            "At the end it prints what was compared, and for each mask (what is known to\n"
            "differ here, and why) how much it could have touched. The same seed draws the\n"
            "same programs wherever KVM has the same features.\n\n"
            "With scenarios, they are tried in place of random programs, as strictly: unlike\n"
            "validate, fuzz takes no stale translation for an excuse.\n\n"
            "--judge model needs no KVM: a mode, with its caches, against the model natively\n"
            "and without any.\n\n"
            "  nestwalk fuzz --seed 7 --count 200000\n"
            "  nestwalk fuzz --judge model --mode shadow --count 1000000\n\n"
            "Exit code 0: they agree; 1: they differ; 3: there is no KVM.",
    .options = options,
    .least = 0,
    .most = -1,
    .run = run,
};
