/* check: everything that is wrong with scenario files, and nothing else. */
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/machine.h"
#include "sim/scenario/scenario.h"

/*
 * A raw VM's registers are judged with what its image puts where they point (PDPTEs): only building
 * the machine can say.
 */
static bool can_be_built(const struct scenario *s, const struct cli *cli, const char *path)
{
    bool raw = false;
    struct err err = {0};
    for (unsigned i = 0; i < s->machine.n_vms; i++)
        raw |= s->machine.vms[i].raw && s->machine.vms[i].mode == MODE_NATIVE;
    struct machine *m = raw ? machine_new(&s->machine, &err) : NULL;
    machine_free(m);
    if (!raw || m)
        return true;
    char text[sizeof err.text];
    memcpy(text, err.text, sizeof text);
    err_set(&err, EXIT_USAGE, "%.200s: %.700s", path, text);
    cli_fail(cli, &err);
    return false;
}

static int run(struct cli *cli)
{
    struct diagnostics all = {0};
    int bad = 0;
    for (int i = 0; i < cli->n_arguments; i++) {
        struct scenario scenario;
        bool good = scenario_load(&scenario, cli->arguments[i], NULL, 0, &all);
        if (good) {
            good = can_be_built(&scenario, cli, cli->arguments[i]);
            scenario_free(&scenario);
        }
        if (good && cli->format == FORMAT_TABLE && !cli->quiet)
            printf("%s: nothing is wrong\n", cli->arguments[i]);
        bad += !good;
        if (cli->format != FORMAT_JSON) {
            diagnostics_print(&all, stderr, cli->color);
            diagnostics_free(&all);
            all = (struct diagnostics){0};
        }
    }
    if (cli->format == FORMAT_JSON)
        diagnostics_print_json(&all, stdout);
    diagnostics_free(&all);
    return bad ? EXIT_USAGE : EXIT_OK;
}

static const struct cli_option options[] = {
    {NULL, NULL, NULL, false},
};

const struct command command_check = {
    .name = "check",
    .arguments = "SCENARIO...",
    .summary = "validate scenario files, and run nothing",
    .text = "Says everything that is wrong with each file, as file:line:column: pointer: what\n"
            "is wrong; what would be right. With --format json the same as data, on standard\n"
            "output. Exit code 2 if anything is wrong.",
    .options = options,
    .least = 1,
    .most = -1,
    .run = run,
};
