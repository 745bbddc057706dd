/* diff: where two logs or two files of outcomes part. */
#include <errno.h>
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/report/diff.h"

static FILE *open_input(const char *path, struct err *err)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "r") : stdin;
    if (!file)
        err_set(err, EXIT_USAGE, "%s: %s", path, strerror(errno));
    return file;
}

static int compare(const struct cli *cli, FILE *a, FILE *b)
{
    static void (*const print[])(const struct diff *, FILE *) = {
        [FORMAT_TABLE] = diff_print_table,
        [FORMAT_JSON] = diff_print_json,
        [FORMAT_CSV] = diff_print_csv,
    };
    struct diff diff;
    struct err err = {0};
    int code;
    if (diff_read(&diff, a, cli->arguments[0], b, cli->arguments[1], &cli_interrupted, &err)) {
        print[cli->format](&diff, stdout);
        code = diff.same ? EXIT_OK : EXIT_NO;
    } else {
        code = cli_fail(cli, &err);
    }
    diff_fini(&diff);
    return code;
}

static int run(struct cli *cli)
{
    struct err err = {0};
    if (!strcmp(cli->arguments[0], "-") && !strcmp(cli->arguments[1], "-"))
        return cli_usage(cli, "only one of the two can be standard input");
    FILE *a = open_input(cli->arguments[0], &err),
         *b = a ? open_input(cli->arguments[1], &err) : NULL;
    int code = b ? compare(cli, a, b) : cli_fail(cli, &err);
    if (a && a != stdin)
        fclose(a);
    if (b && b != stdin)
        fclose(b);
    return code;
}

static const struct cli_option options[] = {
    {NULL, NULL, NULL, false},
};

const struct command command_diff = {
    .name = "diff",
    .arguments = "A B",
    .summary = "find where two event logs or two outcome files part",
    .text = "Compares JSON lines as run --events or run --outcomes write them; which they\n"
            "are is seen from the first line. Prints the first difference with its line\n"
            "numbers, both lines, and the fields that differ; for logs also the events from\n"
            "the last access on, which led there. Spaces and the order of keys are no\n"
            "difference.\n"
            "\n"
            "Exit code 0: the same; 1: different; 2: they can't be compared.",
    .options = options,
    .least = 2,
    .most = 2,
    .run = run,
};
