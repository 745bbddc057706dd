/* sweep: a scenario with every combination of some settings, a row of statistics for each. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/cli/sweep_output.h"
#include "sim/cli/sweep_variants.h"
#include "sim/cli/sweep_workers.h"
#include "sim/report/csv_out.h"
#include "sim/scenario/load.h"

enum { JOBS_MAX = 1024 };

struct sweep {
    const struct cli *cli;
    struct axes axes;
    char *text; /* of the scenario */
    struct variants variants;
    struct rows rows;
    struct output output;
    struct journal journal;
    struct live *live; /* [jobs], shared */
    unsigned jobs;
    unsigned next;      /* the first combination that nobody has begun */
    unsigned todo, ran; /* combinations that were missing, and those of them that are there now */
    uint64_t accesses;  /* of the runs that have ended */
    struct progress progress;
    int code;   /* of the failure that ended it all */
    bool whole; /* all rows are where they should be */
};

static void blame(const struct sweep *s, unsigned combination, const char *text, size_t length)
{
    fprintf(stderr, "nestwalk sweep: combination %u of %u, ", combination + 1,
            s->axes.combinations);
    axes_print(&s->axes, combination, stderr);
    fprintf(stderr, ":\n%.*s", (int)length, text);
}

/* In a process of its own. */
static int work(void *self, unsigned slot, unsigned combination, FILE *out)
{
    const struct sweep *s = self;
    return variants_run(&s->variants, combination, &s->live[slot], out);
}

/* ---- all of them ---- */

static bool next(void *self, unsigned *combination)
{
    struct sweep *s = self;
    while (s->next < s->journal.n && s->journal.rows[s->next].length)
        s->next++;
    *combination = s->next++;
    return *combination < s->journal.n;
}

/* The machine stopped before the end, with a guest out of memory or such: that is the result. */
static bool keep_failure(struct sweep *s, unsigned combination, const struct ending *e,
                         struct err *err)
{
    char *what = strndup(e->text, e->length), *row = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&row, &length);
    what[strcspn(what, "\n")] = 0;
    fputs(ROWS_ERROR ",", memory);
    csv_field(memory, what);
    fputc('\n', memory);
    fclose(memory);
    bool good = journal_put(&s->journal, combination, row, length, err);
    free(row);
    free(what);
    return good;
}

static bool done(void *self, unsigned slot, unsigned combination, const struct ending *e)
{
    struct sweep *s = self;
    struct err err = {0};
    char text[100];
    s->accesses += s->live[slot].accesses;
    s->live[slot].accesses = s->live[slot].planned = 0;
    if (e->signal || e->code) {
        snprintf(text, sizeof text, "its process was ended by signal %d, %s\n", e->signal,
                 e->signal ? strsignal(e->signal) : "");
        progress_end(&s->progress);
        blame(s, combination, e->signal ? text : e->text, e->signal ? strlen(text) : e->length);
    }
    if (e->signal)
        s->code = EXIT_ENVIRONMENT;
    else if (e->code && e->code != EXIT_NO)
        s->code = e->code;
    else if (!(e->code ? keep_failure(s, combination, e, &err)
                       : journal_put(&s->journal, combination, e->text, e->length, &err)))
        s->code = cli_fail(s->cli, &err);
    s->ran += !s->code;
    return !s->code;
}

static void tick(void *self)
{
    struct sweep *s = self;
    uint64_t accesses = s->accesses;
    double runs = s->ran;
    for (unsigned slot = 0; slot < s->jobs; slot++) {
        uint64_t made = s->live[slot].accesses, planned = s->live[slot].planned;
        accesses += made;
        runs += !planned ? 0 : made < planned ? (double)made / (double)planned : 1;
    }
    progress_update(&s->progress, accesses, s->todo ? runs / s->todo : -1);
}

/* Loads them all, so that a bad value is found before anything runs and --force removes a file. */
static bool check_all(struct sweep *s)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    unsigned n = s->axes.combinations, wrong = 0;
    bool good = true;
    progress_start(&s->progress, s->cli, "combinations checked");
    for (unsigned i = 0; good && i < n && !cli_interrupted; i++) {
        struct scenario scenario;
        progress_update(&s->progress, i, (double)i / n);
        good = variants_load(&s->variants, i, &scenario, memory);
        if (good)
            scenario_free(&scenario);
        else
            wrong = i;
    }
    progress_end(&s->progress);
    fclose(memory);
    if (!good)
        blame(s, wrong, text, length);
    else if (cli_interrupted)
        fputs("nestwalk sweep: interrupted before anything ran\n", stderr);
    free(text);
    return good;
}

static bool run_all(struct sweep *s, struct err *err)
{
    const struct workers workers = {s->jobs, s, next, work, done, tick};
    size_t bytes = s->jobs * sizeof *s->live;
    s->live = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->live == MAP_FAILED)
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    s->todo = s->journal.n - s->journal.done;
    progress_start(&s->progress, s->cli, "accesses");
    bool good = workers_run(&workers, err);
    progress_end(&s->progress);
    munmap(s->live, bytes);
    return good;
}

/* ---- from beginning to end ---- */

static void tell_how_to_go_on(const struct sweep *s, const char *why)
{
    fprintf(stderr, "nestwalk sweep: %s with %u of %u combinations done; ", why, s->journal.done,
            s->journal.n);
    if (s->output.part && s->journal.done)
        fprintf(stderr, "%s keeps them, and the same command goes on from there\n",
                s->journal.path);
    else if (s->output.part)
        fputs("nothing is kept\n", stderr);
    else
        fputs("nothing is kept: with -o FILE the same command would go on from there\n", stderr);
}

/* Without a result here and there the answer is no. */
static int conclude(const struct sweep *s, bool nothing_ran)
{
    if (nothing_ran && !s->cli->quiet)
        fprintf(stderr, "nestwalk sweep: %s has all %u combinations already\n", s->output.path,
                s->axes.combinations);
    if (!s->rows.failed)
        return EXIT_OK;
    fputs("nestwalk sweep: not every combination came to a result; column " ROWS_ERROR
          " says why\n",
          stderr);
    return EXIT_NO;
}

/* With the journal open. */
static int sweep(struct sweep *s)
{
    struct err err = {0};
    if (s->journal.done && !s->cli->quiet)
        fprintf(stderr, "nestwalk sweep: %u of %u combinations are done; going on\n",
                s->journal.done, s->journal.n);
    if (!cli_interrupted && !run_all(s, &err))
        s->code = cli_fail(s->cli, &err);
    if (cli_interrupted || s->code) {
        tell_how_to_go_on(s, cli_interrupted ? "interrupted" : "stopped");
        return s->code; /* main makes the one of an interruption 130 */
    }
    s->whole = output_write(&s->output, &s->rows, &err);
    if (s->whole)
        return conclude(s, false);
    cli_fail(s->cli, &err);
    tell_how_to_go_on(s, "stopped");
    return err.code;
}

/* What makes two sweeps the same. Every text goes in with the zero behind it. */
static uint64_t fingerprint(const struct sweep *s)
{
    const char *path = s->cli->arguments[0];
    uint64_t f = fingerprint_add(FINGERPRINT_START, NESTWALK_VERSION, sizeof NESTWALK_VERSION);
    f = fingerprint_add(f, path, strlen(path) + 1);
    f = fingerprint_add(f, s->text, s->variants.length);
    for (unsigned i = 0; i < s->axes.n; i++) {
        const struct axis *axis = &s->axes.list[i];
        f = fingerprint_add(f, "", 1);
        f = fingerprint_add(f, axis->pointer, strlen(axis->pointer) + 1);
        for (unsigned v = 0; v < axis->n; v++)
            f = fingerprint_add(f, axis->values[v], strlen(axis->values[v]) + 1);
    }
    return f;
}

static int sweep_to_output(struct sweep *s)
{
    struct err err = {0};
    s->rows = (struct rows){
        &s->axes, &s->journal, fingerprint(s),
        strcmp(cli_value(s->cli, "format", "csv"), "json") ? FORMAT_CSV : FORMAT_JSON, 0};
    int code;
    enum standing standing = output_init(&s->output, s->cli, &s->rows, &err);
    if (standing == STANDING_DONE) {
        code = conclude(s, true);
    } else if (standing == STANDING_OPEN &&
               journal_open(&s->journal, s->output.part, s->rows.fingerprint, s->axes.combinations,
                            &err)) {
        code = sweep(s);
        journal_close(&s->journal, s->whole);
    } else {
        code = cli_fail(s->cli, &err);
    }
    output_fini(&s->output);
    return code;
}

static int read_options(struct sweep *s)
{
    uint64_t jobs;
    if (!strcmp(cli_value(s->cli, "format", "csv"), "table"))
        return cli_usage(s->cli, "a sweep has too many columns for a table; csv or json");
    if (!cli_number(s->cli, "jobs", workers_processors(), &jobs))
        return EXIT_USAGE;
    if (!jobs || jobs > JOBS_MAX)
        return cli_usage(s->cli, "option '--jobs' is from 1 to %d", JOBS_MAX);
    if (!*cli_value(s->cli, "o", "-"))
        return cli_usage(s->cli, "-o needs the name of a file");
    s->jobs = (unsigned)jobs;
    return axes_read(&s->axes, s->cli);
}

static int run(struct cli *cli)
{
    struct sweep s = {.cli = cli};
    struct diagnostics diagnostics = {0};
    int code = read_options(&s);
    size_t length;
    if (!code && !(s.text = read_file(cli->arguments[0], &length, &diagnostics))) {
        diagnostics_print(&diagnostics, stderr, cli->color);
        code = EXIT_USAGE;
    }
    if (!code) {
        s.variants = (struct variants){cli->arguments[0], s.text, length, &s.axes, cli->color};
        code = !check_all(&s) ? EXIT_USAGE : cli_interrupted ? EXIT_OK : sweep_to_output(&s);
    }
    diagnostics_free(&diagnostics);
    free(s.text);
    axes_fini(&s.axes);
    return code;
}

static const struct cli_option options[] = {
    {"set", "/POINTER=A,B,...", "the values that one place of the scenario takes in turn", true},
    {"mode", "A,B,...", "run every VM in these modes: --set '/vms/*/mode=A,B,...'", false},
    {"o", "FILE", "where the rows go; - is standard output, which is the default", false},
    {"force", NULL, "replace FILE, and begin anew what was interrupted", false},
    {"jobs", "N", "how many runs at once; as many as there are processors", false},
    {NULL, NULL, NULL, false},
};

const struct command command_sweep = {
    .name = "sweep",
    .arguments = "SCENARIO",
    .summary = "run every combination of some settings, to CSV",
    .text = "Runs the scenario once for each combination of the values, the first --set\n"
            "changing slowest, and prints one row each: its settings, then what `run --format\n"
            "csv` prints, a column for each name, and cycles_per_access. What a run does not\n"
            "have is empty. A value with commas is written as JSON, whose brackets or quotes\n"
            "keep it together: --set '/machine/override/tlb/l2={\"entries\":64,\"ways\":4},\n"
            "{\"entries\":512,\"ways\":4}'.\n\n"
            "The bytes are the same however many runs there are at once. All combinations are\n"
            "checked before the first one runs. A machine that stops before its end (a guest\n"
            "out of memory) says so in a column `" ROWS_ERROR "`, and the exit code is 1.\n\n"
            "With -o FILE, FILE.part keeps what is done until FILE is whole: after an\n"
            "interruption the same command runs only what is missing, and FILE gets the same\n"
            "bytes. It refuses a FILE that is of another sweep: the last column tells them\n"
            "apart by scenario, settings and version. Files that a scenario names (traces,\n"
            "profiles) are not looked into: after changing one, use --force.\n\n"
            "JSON is an array of objects, with null for what is empty.\n\n"
            "  nestwalk sweep lab.json --set /seed=1,2,3 --set /machine/cpus=1,2 -o lab.csv",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
