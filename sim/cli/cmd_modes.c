/* modes: how a machine's memory can be virtualized here. */
#include "sim/cli/cli.h"
#include "sim/config.h"

static const struct {
    enum mode mode;
    const char *stages; /* entries read by a walk that nothing shortens, 4-level tables */
    const char *what;
} modes[] = {
    {MODE_NATIVE, "4", "no hypervisor: one VM, whose gpa is the hpa"},
};
enum { N = sizeof modes / sizeof *modes };

static void print_row(enum cli_format format, unsigned i)
{
    static const char *const forms[] = {
        [FORMAT_TABLE] = "%-8s  %14s  %s\n",
        [FORMAT_JSON] = "  { \"mode\": \"%s\", \"walk_references\": %s, \"what\": \"%s\" }",
        [FORMAT_CSV] = "%s,%s,\"%s\"\n",
    };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    printf(forms[format], mode_name(modes[i].mode), modes[i].stages, modes[i].what);
#pragma GCC diagnostic pop
}

static int run(struct cli *cli)
{
    static const char *const heads[] = {
        [FORMAT_TABLE] = "mode      4-level refs    what\n",
        [FORMAT_JSON] = "[\n",
        [FORMAT_CSV] = "mode,walk_references,what\n",
    };
    fputs(heads[cli->format], stdout);
    for (unsigned i = 0; i < N; i++) {
        print_row(cli->format, i);
        if (cli->format == FORMAT_JSON)
            puts(i + 1 < N ? "," : "\n]");
    }
    return EXIT_OK;
}

static const struct cli_option options[] = {
    {NULL, NULL, NULL, false},
};

const struct command command_modes = {
    .name = "modes",
    .arguments = "",
    .summary = "the modes there are: how memory is virtualized",
    .text = "One line per mode: its name for --mode and scenarios, and how many page-table\n"
            "entries a walk reads that no cache shortens.",
    .options = options,
    .least = 0,
    .most = 0,
    .run = run,
};
