/* Every command there is, in the order of `nestwalk help`. */
#include "sim/cli/cli.h"

const struct command *const commands[] = {
    &command_run,     &command_walk,     &command_record, &command_replay,
    &command_compare, &command_validate, &command_fuzz,   &command_sweep,
    &command_convert, &command_diff,     &command_check,  &command_machines,
    &command_modes,   &command_schema,   &command_help,   NULL,
};
