/* convert: any trace that nestwalk reads to the compact format. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/cli/pump.h"

static bool read_options(const struct cli *cli, struct trace_options *options)
{
    return cli_number(cli, "max-errors", 0, &options->max_errors) &&
           trace_format_named(cli_value(cli, "input-format", "auto"), &options->format);
}

static uint64_t bytes_of(const char *path)
{
    struct stat about;
    return strcmp(path, "-") && !stat(path, &about) && S_ISREG(about.st_mode)
               ? (uint64_t)about.st_size
               : 0;
}

static void print_summary(const struct cli *cli, FILE *out, const struct pumped *sum)
{
    const struct trace_report *r = &sum->report;
    const char *from = trace_format_name(r->format), *to = cli->arguments[1];
    uint64_t bytes = bytes_of(to);
    if (cli->format == FORMAT_JSON)
        fprintf(out,
                "{ \"schema\": \"nestwalk/convert/1\", \"format\": \"%s\", \"accesses\": %" PRIu64
                ", \"events\": %" PRIu64 ", \"processes\": %" PRIu64 ", \"errors\": %" PRIu64
                ", \"unmodelled\": %" PRIu64 ", \"truncated\": %s, \"bytes\": %" PRIu64 " }\n",
                from, sum->accesses, sum->events, r->processes, r->errors, r->unmodelled,
                r->truncated ? "true" : "false", bytes);
    else if (cli->format == FORMAT_CSV)
        fprintf(out,
                "format,accesses,events,processes,errors,unmodelled,truncated,bytes\n%s,%" PRIu64
                ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%d,%" PRIu64 "\n",
                from, sum->accesses, sum->events, r->processes, r->errors, r->unmodelled,
                r->truncated, bytes);
    else if (!cli->quiet)
        fprintf(out, "%s: %" PRIu64 " accesses and %" PRIu64 " guest events from %s\n",
                strcmp(to, "-") ? to : "stdout", sum->accesses, sum->events, from);
}

static void print_notes(const struct cli *cli, const struct trace_report *r)
{
    if (cli->quiet)
        return;
    if (r->errors)
        fprintf(stderr, "note: %" PRIu64 " malformed lines were passed over\n", r->errors);
    if (r->unmodelled)
        fprintf(stderr, "note: %" PRIu64 " records that are no memory accesses were left out\n",
                r->unmodelled);
    if (r->truncated)
        fprintf(stderr, "note: the trace lacks its end mark: it was cut short\n");
}

static int run(struct cli *cli)
{
    struct trace_options options = {0};
    struct err err = {0};
    struct pumped sum;
    const char *to = cli->arguments[1];
    if (!read_options(cli, &options))
        return EXIT_USAGE;
    struct source *source = trace_open(cli->arguments[0], &options, &err);
    if (!source)
        return cli_fail(cli, &err);
    struct trace_writer *writer = trace_writer_open(to, &err);
    struct pump pump = {.source = source, .writer = writer};
    bool done = writer && pump_run(&pump, cli, &sum, &err);
    if (done)
        done = trace_writer_close(writer, &err);
    else if (writer)
        trace_writer_abandon(writer);
    source->ops->free(source);
    if (!done)
        return cli_fail(cli, &err);
    print_notes(cli, &sum.report);
    print_summary(cli, strcmp(to, "-") ? stdout : stderr, &sum);
    return EXIT_OK;
}

static const struct cli_option options[] = {
    {"input-format",
     "auto|lackey|din|dinero|champsim|drmemtrace|pinatrace|perf-mem|decimal|compact",
     "what the trace is; found out by how it begins", false},
    {"max-errors", "N", "malformed lines to pass over; 0, so that the first one is an error",
     false},
    {NULL, NULL, NULL, false},
};

const struct command command_convert = {
    .name = "convert",
    .arguments = "TRACE OUT",
    .summary = "bring any readable trace into the compact binary format",
    .text = "Reads a trace of any format that nestwalk knows, plain or compressed (gzip, xz,\n"
            "zstd), and writes it in nestwalk's own: a few bytes per access, with processes,\n"
            "threads and guest events. `-` is standard input or output. OUT appears under its\n"
            "name when it is complete, not before.\n\n"
            "  nestwalk convert mem.out.gz mem.nwtrace\n"
            "  zcat t.gz | nestwalk convert - - | nestwalk replay -",
    .options = options,
    .least = 2,
    .most = 2,
    .run = run,
};
