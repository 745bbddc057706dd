/* schema: the JSON Schemas and the reference page, from the table that the reader checks by. */
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/scenario/scenario.h"

static const struct {
    const char *name;
    void (*print)(FILE *);
} pages[] = {
    {"scenario", schema_print},
    {"machine", machine_schema_print},
    {"reference", reference_print},
};

static int run(struct cli *cli)
{
    const char *wanted = cli->n_arguments ? cli->arguments[0] : "scenario";
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(wanted, pages[i].name))
            continue;
        pages[i].print(stdout);
        return EXIT_OK;
    }
    return cli_usage(cli, "no schema '%s': scenario, machine or reference", wanted);
}

static const struct cli_option options[] = {
    {NULL, NULL, NULL, false},
};

const struct command command_schema = {
    .name = "schema",
    .arguments = "[scenario|machine|reference]",
    .summary = "the JSON Schema of scenarios or machines, and the reference",
    .text = "scenario (the default) and machine: a JSON Schema, draft-07, for editors.\n"
            "reference: every key with its values, default and meaning, as Markdown.",
    .options = options,
    .least = 0,
    .most = 1,
    .run = run,
};
