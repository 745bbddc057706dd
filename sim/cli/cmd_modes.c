/* modes: how a machine's memory can be virtualized here. */
#include "sim/cli/cli.h"
#include "sim/machine.h"

static void print_table(enum mode mode, const struct mode_about *about)
{
    char references[24];
    if (about->least == about->most)
        snprintf(references, sizeof references, "%u", about->most);
    else
        snprintf(references, sizeof references, "%u to %u", about->least, about->most);
    printf("%-12s %14s  %s%s\n", mode_name(mode), references, about->what,
           machine_runs(mode) ? "" : " (not in this version)");
}

/* walk_references is what a walk may take at most. */
static void print_json(enum mode mode, const struct mode_about *about)
{
    printf("  { \"mode\": \"%s\", \"walk_references\": %u, \"walk_references_least\": %u, "
           "\"runs\": %s, \"what\": \"%s\" }%s\n",
           mode_name(mode), about->most, about->least, machine_runs(mode) ? "true" : "false",
           about->what, mode + 1 < MODES ? "," : "");
}

static void print_csv(enum mode mode, const struct mode_about *about)
{
    printf("%s,%u,\"%s\",%u,%s\n", mode_name(mode), about->most, about->what, about->least,
           machine_runs(mode) ? "true" : "false");
}

static int run(struct cli *cli)
{
    static const struct {
        const char *head, *tail;
        void (*row)(enum mode, const struct mode_about *);
    } forms[] = {
        [FORMAT_TABLE] = {"mode           4-level refs  what\n", "", print_table},
        [FORMAT_JSON] = {"[\n", "]\n", print_json},
        [FORMAT_CSV] = {"mode,walk_references,what,walk_references_least,runs\n", "", print_csv},
    };
    fputs(forms[cli->format].head, stdout);
    for (enum mode mode = 0; mode < MODES; mode++)
        forms[cli->format].row(mode, mode_about(mode));
    fputs(forms[cli->format].tail, stdout);
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
            "entries a walk reads that no cache shortens, with 4 levels in every stage. Where\n"
            "that depends on the page, JSON and CSV give the most and the least.",
    .options = options,
    .least = 0,
    .most = 0,
    .run = run,
};
