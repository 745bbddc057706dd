/* Every command there is, in the order of `nestwalk help`. */
#include "sim/cli/cli.h"

const struct command *const commands[] = {
    &command_run,
    &command_help,
    NULL,
};
