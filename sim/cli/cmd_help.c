/* help: the list of commands, one command, a man page, shell completion. */
#include "sim/cli/cli.h"

static int run(struct cli *cli)
{
    if (cli_has(cli, "completion")) {
        completion_print(stdout);
        return EXIT_OK;
    }
    if (!cli->n_arguments) {
        if (cli_has(cli, "man"))
            man_print_all(stdout);
        else
            help_list(stdout);
        return EXIT_OK;
    }
    const struct command *command = cli_command(cli->arguments[0]);
    if (!command)
        return EXIT_USAGE;
    if (cli_has(cli, "man"))
        man_print(stdout, command);
    else
        help_print(stdout, command);
    return EXIT_OK;
}

static const struct cli_option options[] = {
    {"man", NULL, "print the man page (roff), of the command or of nestwalk", false},
    {"completion", NULL, "print a completion script for bash", false},
    {NULL, NULL, NULL, false},
};

const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "what the commands do",
    .text = "Without a command: the list of all. To complete words in bash:\n"
            "  source <(nestwalk help --completion)",
    .options = options,
    .least = 0,
    .most = 1,
    .run = run,
};
