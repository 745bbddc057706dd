/* replay: traces of real programs on a machine, and the statistics. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/cli/scenario_arg.h"
#include "sim/replay.h"
#include "sim/report/lines.h"
#include "sim/report/stats.h"
#include "sim/scenario/scenario.h"
#include "sim/scenario/value.h"

enum { CHUNK = 1 << 18 };

/* ---- options ---- */

static bool read_paging(const struct cli *cli, enum paging *paging)
{
    int number = spec_word(paging_words, cli_value(cli, "paging", "4-level"));
    *paging = (enum paging)(PAGING_2_LEVEL + number);
    return number >= 0;
}

/* How the VM's memory is virtualized. */
static bool read_mode(const struct cli *cli, struct replay_options *o)
{
    static const char *const pages[] = {"4KiB", "2MiB", "1GiB", NULL};
    int stage = spec_word(second_stage_words, cli_value(cli, "second-stage", "ept4"));
    int page = spec_word(pages, cli_value(cli, "second-stage-page", "4KiB"));
    int policy = spec_word(shadow_policy_words, cli_value(cli, "shadow-policy", "kvm"));
    if (cli_mode(cli, cli_value(cli, "mode", "native"), &o->mode) != EXIT_OK)
        return false;
    if (stage < 0 || page < 0 || policy < 0)
        return false; /* the options' words are checked before */
    o->second_stage = (enum second_stage)stage;
    o->second_stage_level = (unsigned)page + 1;
    o->shadow_policy = (enum shadow_policy)policy;
    if (o->second_stage == SECOND_FLAT && page)
        cli_usage(cli, "--second-stage flat has pages of 4KiB only, not %s", pages[page]);
    return o->second_stage != SECOND_FLAT || !page;
}

static bool read_memory(const struct cli *cli, uint64_t *memory)
{
    const char *text = cli_value(cli, "memory", NULL);
    struct key key = {.name = "memory", .type = TYPE_SIZE};
    cJSON item = {.type = cJSON_String, .valuestring = (char *)text};
    *memory = 0;
    if (!text || (value_number(&key, &item, memory) && *memory))
        return true;
    cli_usage(cli, "option '--memory' is a size (512MiB, 8GiB), not '%s'", text);
    return false;
}

static bool read_sample(const struct cli *cli, struct limits *limits)
{
    const char *text = cli_value(cli, "sample", NULL), *slash = text ? strchr(text, '/') : NULL;
    char first[24];
    if (!text)
        return true;
    if (slash && (size_t)(slash - text) < sizeof first) {
        snprintf(first, sizeof first, "%.*s", (int)(slash - text), text);
        if (value_parse_u64(first, &limits->sample) && value_parse_u64(slash + 1, &limits->every) &&
            limits->sample && limits->sample <= limits->every)
            return true;
    }
    cli_usage(cli, "option '--sample' is A/B, of every B accesses the first A, not '%s'", text);
    return false;
}

static bool read_options(const struct cli *cli, struct replay_options *o)
{
    const char *pages = cli_value(cli, "populate", "touch");
    *o = (struct replay_options){.traces = (const char *const *)cli->arguments,
                                 .n_traces = (unsigned)cli->n_arguments,
                                 .limits = NO_LIMITS,
                                 .huge_pages = cli_has(cli, "huge-pages"),
                                 .populate = !strcmp(pages, "start")};
    return trace_format_named(cli_value(cli, "input-format", "auto"), &o->reading.format) &&
           cli_number(cli, "max-errors", 0, &o->reading.max_errors) &&
           cli_number(cli, "skip", 0, &o->limits.skip) &&
           cli_number(cli, "max", UINT64_MAX, &o->limits.max) &&
           cli_number(cli, "warmup", 0, &o->warmup) && cli_number(cli, "quantum", 0, &o->quantum) &&
           read_sample(cli, &o->limits) && read_memory(cli, &o->memory) &&
           read_paging(cli, &o->paging) && read_mode(cli, o);
}

/* ---- what is printed beside the statistics ---- */

struct fact {
    const char *key, *label;
    uint64_t value;
};

enum { FACTS = 7 };

static void gather_facts(const struct replay *r, struct fact *facts)
{
    struct trace_report report = replay_report(r);
    const struct fact all[FACTS] = {
        {"guest_events", "guest events", r->events_left_out ? 0 : report.events},
        {"processes", "processes", report.processes ? report.processes : r->vm.n_processes},
        {"populated", "pages mapped at the start", r->populated},
        {"signals", "accesses that no mapping allows", r->machine->signals},
        {"errors", "malformed lines passed over", report.errors},
        {"unmodelled", "records that are no accesses", report.unmodelled},
        {"truncated", "traces cut short", report.truncated},
    };
    memcpy(facts, all, sizeof all);
}

static void print_json(const struct stats *s, const struct fact *facts, bool whole)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (!memory)
        return;
    stats_print_json(s, memory);
    fclose(memory);
    char *end = strrchr(text, '}'); /* of the whole object: one more member before it */
    while (end > text && strchr(" \n", end[-1]))
        end--;
    fwrite(text, 1, (size_t)(end - text), stdout);
    printf(",\n  \"trace\": { \"complete\": %s", whole ? "true" : "false");
    for (unsigned i = 0; i < FACTS; i++)
        printf(", \"%s\": %" PRIu64, facts[i].key, facts[i].value);
    puts(" }\n}");
    free(text);
}

static void print_table(const struct stats *s, const struct fact *facts,
                        const struct trace_report *report, bool left_out)
{
    stats_print_table(s, stdout);
    printf("\nTrace (%s)\n",
           report->format == TRACE_AUTO ? "several formats" : trace_format_name(report->format));
    for (unsigned i = 0; i < FACTS; i++)
        if (facts[i].value || i == 0)
            printf("  %-32s %14" PRIu64 "\n", facts[i].label, facts[i].value);
    if (left_out)
        puts("  Guest events are left out: every page is mapped from the start.");
    else if (!facts[0].value)
        puts("  It holds no guest events (mmap, munmap, ...), so it tells nothing of table\n"
             "  updates: pages are mapped as they are touched, and stay.");
}

static int print(const struct cli *cli, struct replay *r, const char *title, bool whole)
{
    struct stats stats;
    struct fact facts[FACTS];
    struct trace_report report = replay_report(r);
    struct err err = {0};
    if (!stats_gather(&stats, r->machine, &r->config, title)) {
        err_set(&err, EXIT_ENVIRONMENT, "this computer is out of memory");
        return cli_fail(cli, &err);
    }
    gather_facts(r, facts);
    if (cli->format == FORMAT_JSON)
        print_json(&stats, facts, whole);
    else if (cli->format == FORMAT_TABLE)
        print_table(&stats, facts, &report, r->events_left_out);
    else
        stats_print_csv(&stats, stdout);
    for (unsigned i = 0; cli->format == FORMAT_CSV && i < FACTS; i++)
        printf("trace.%s,%" PRIu64 "\n", facts[i].key, facts[i].value);
    stats_fini(&stats);
    return EXIT_OK;
}

/* ---- running ---- */

static void take_event(void *file, const struct event *event)
{
    event_print(event, file);
}

/* To the end, an error or an interruption. A log begins when the warm-up ends. */
static bool run_all(const struct cli *cli, struct replay *r, const struct sink *log,
                    struct err *err)
{
    struct progress progress;
    bool more = true;
    progress_start(&progress, cli, "accesses");
    while (more && !cli_interrupted) {
        if (log && !r->warmup)
            machine_watch(r->machine, log);
        more = replay_run(r, CHUNK, err);
        progress_update(&progress, r->done, replay_progress(r));
    }
    progress_end(&progress);
    return !err->code;
}

static bool check_end(const struct replay *r, const struct replay_options *o, struct err *err)
{
    if (r->done || cli_interrupted || !o->limits.max)
        return true;
    return err_set(err, EXIT_USAGE,
                   r->warmup ? "the traces end before the warm-up does: give a smaller --warmup"
                             : "nothing is left of the traces after --skip and --warmup");
}

static int replay(struct cli *cli, const struct machine_config *host,
                  const struct replay_options *o, FILE *events)
{
    struct replay r;
    struct err err = {0};
    struct sink sink = {take_event, events};
    const char *title = o->n_traces == 1 ? o->traces[0] : "traces";
    if (!replay_open(&r, host, o, &cli_interrupted, &err))
        return cli_fail(cli, &err);
    int code = EXIT_OK;
    if (!run_all(cli, &r, events ? &sink : NULL, &err) || !check_end(&r, o, &err))
        code = cli_fail(cli, &err);
    else
        code = print(cli, &r, strcmp(title, "-") ? title : "stdin", !cli_interrupted);
    if (!code && cli_interrupted) {
        fflush(stdout);
        err_set(&err, EXIT_NO,
                "interrupted after %" PRIu64 " accesses; the statistics are of those", r.done);
        code = cli_fail(cli, &err);
    }
    replay_close(&r);
    return code;
}

static int run_on(struct cli *cli, const struct machine_config *host,
                  const struct replay_options *o)
{
    const char *path = cli_value(cli, "events", NULL);
    struct err err = {0};
    FILE *events = path ? cli_open(path, &err) : NULL;
    if (path && !events)
        return cli_fail(cli, &err);
    int code = replay(cli, host, o, events);
    if (events && !cli_close(events, path, &err) && !code)
        code = cli_fail(cli, &err);
    return code;
}

static int run(struct cli *cli)
{
    struct replay_options options;
    struct diagnostics diagnostics = {0};
    struct scenario host;
    if (!read_options(cli, &options))
        return EXIT_USAGE;
    if (!machine_load(&host, cli_value(cli, "machine", "skylake-sp"), &diagnostics)) {
        diagnostics_print(&diagnostics, stderr, cli->color);
        diagnostics_free(&diagnostics);
        return EXIT_USAGE;
    }
    int code = run_on(cli, &host.machine, &options);
    scenario_free(&host);
    diagnostics_free(&diagnostics);
    return code;
}

static const struct cli_option options[] = {
    {"machine", "PROFILE", "a profile's name (see machines), or a JSON file; skylake-sp", false},
    {"mode", "MODE", "how memory is virtualized (see modes); native", false},
    {"second-stage", "ept4|ept5|npt4|npt5|flat", "tables under the guest's; ept4", false},
    {"second-stage-page", "4KiB|2MiB|1GiB", "its page size; 4KiB", false},
    {"shadow-policy", "kvm|trace|vtlb", "how a shadow follows the guest's tables; kvm", false},
    {"input-format",
     "auto|lackey|din|dinero|champsim|drmemtrace|pinatrace|perf-mem|decimal|compact",
     "what the traces are; found out by how they begin", false},
    {"max-errors", "N", "malformed lines to pass over; 0, so that the first one is an error",
     false},
    {"skip", "N", "leave out the first N accesses of each trace", false},
    {"max", "N", "end each trace after N accesses, skipped ones not counted", false},
    {"warmup", "N", "run N accesses, then set the counters to zero", false},
    {"sample", "A/B", "of every B accesses run the first A and leave out the others", false},
    {"populate", "touch|start", "map pages when touched (default), or all before the start", false},
    {"quantum", "N", "accesses between switches among traces; by default one after the other",
     false},
    {"paging", "2-level|pae|4-level|5-level", "the guest's paging; 4-level", false},
    {"huge-pages", NULL, "the guest backs memory with 2 MiB pages where they fit", false},
    {"memory", "SIZE", "the VM's memory; 1TiB, of which only what is touched costs", false},
    {"events", "FILE", "write the log of everything that happens", false},
    {NULL, NULL, NULL, false},
};

const struct command command_replay = {
    .name = "replay",
    .arguments = "TRACE...",
    .summary = "replay traces of programs, and print the statistics",
    .text = "Each trace becomes a process. Formats are told apart by how they begin; .gz,\n"
            ".xz and .zst are read directly, and `-` is standard input. The machine has one\n"
            "VM; what the trace does not say about mappings is mapped rwxu, in 4 KiB pages,\n"
            "when it is touched. In modes with a hypervisor the machine has an eighth and\n"
            "64MiB more memory than the VM, for tables. Memory does not grow with the length\n"
            "of a trace.\n\n"
            "--skip, --max, --warmup and --sample count a modify (a load and a store in one)\n"
            "as one access, the report as two. Guest events (mmap, munmap, ...) take place\n"
            "all the same, up to the last access. What --sample leaves out never reaches the\n"
            "machine, whose caches stay as they were. --populate start reads each trace\n"
            "twice, so it needs a file, and leaves guest events out: no access faults, no\n"
            "page has yet to be given a frame, and tables never change.\n\n"
            "An interruption (Ctrl-C) prints the statistics so far, and the exit code is 130.\n\n"
            "  nestwalk replay sort.nwtrace --machine zen4 --mode nested --second-stage npt4\n"
            "  zcat t.gz | nestwalk replay - --warmup 1M --format json",
    .options = options,
    .least = 1,
    .most = -1,
    .run = run,
};
