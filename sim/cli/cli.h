/**
 * @file
 * The command line: one table of commands, each with one table of options, from which parsing,
 * `help`, the man pages and shell completion are made.
 */
#ifndef SIM_CLI_CLI_H
#define SIM_CLI_CLI_H

#include <stdint.h>
#include <stdio.h>

#include "sim/err.h"

/** One option of a command. */
struct cli_option {
    const char *name;  /**< without dashes; one letter ("o") is -o, else --name; NULL ends it all */
    const char *value; /**< what it takes: "FILE", "N", or words "a|b|c"; NULL: nothing */
    const char *help;  /**< one line */
    bool many;         /**< may be given more than once */
};

struct cli;

struct command {
    const char *name;
    const char *arguments; /**< "SCENARIO", "TRACE...", "-- CMD..." */
    const char *summary;   /**< one line */
    const char *text;      /**< paragraphs for help and man page */
    const struct cli_option *options;
    int least, most; /**< how many arguments; most < 0: any number */
    int (*run)(struct cli *);
};

enum cli_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

/** A parsed command line. */
struct cli {
    const struct command *command;
    int n_given;
    struct cli_given {
        const struct cli_option *option;
        const char *value; /**< NULL for an option that takes none */
    } given[64];
    char **arguments;
    int n_arguments;
    enum cli_format format; /**< --format */
    bool quiet;             /**< --quiet */
    bool color;             /**< on standard error: --color, NO_COLOR, is it a terminal */
};

/** Every command, in the order of `help`; NULL ends it. */
extern const struct command *const commands[];

/* One file each: cmd_run.c, cmd_walk.c, ... */
extern const struct command command_run, command_walk, command_record, command_replay,
    command_compare, command_validate, command_fuzz, command_sweep, command_convert, command_diff,
    command_check, command_machines, command_modes, command_schema, command_help;

/** The options that every command has. */
extern const struct cli_option common_options[];

/** Does what the command line says; returns the exit code, with standard output flushed. */
int cli_main(int argc, char **argv);

/** An option of a command, or one that every command has, by name; NULL if there is none. */
const struct cli_option *cli_option(const struct command *, const char *name);

/** The value of an option given (the last), or @p otherwise. */
const char *cli_value(const struct cli *, const char *name, const char *otherwise);

/** Whether an option was given. */
bool cli_has(const struct cli *, const char *name);

/** The command of that name; NULL, and it says so and what was meant, if there is none. */
const struct command *cli_command(const char *name);

/** An option's value as a number: 0x.. too, and 10K, 10M, 10G, which are thousands. False, and it
 * says so, if it is none. */
bool cli_number(const struct cli *, const char *name, uint64_t otherwise, uint64_t *number);

/** An option's value as an address ("0x7ffe_dead_b000"). False, and it says so, if it is none or
 * the option was not given. */
bool cli_address(const struct cli *, const char *name, uint64_t *address);

/** Prints "nestwalk: text" on standard error and returns its exit code. */
int cli_fail(const struct cli *, const struct err *);
/** Prints what is wrong with the command line, and the command's usage line; returns EXIT_USAGE. */
int cli_usage(const struct cli *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Opens a file for results, "-" being standard output. NULL with err set. */
FILE *cli_open(const char *path, struct err *);
/** Closes it and says whether everything was written. */
bool cli_close(FILE *, const char *path, struct err *);

/** Set by SIGINT and SIGTERM: long work looks at it, stops tidily and says how far it came. */
extern volatile int cli_interrupted;

/** Progress on standard error, where that is a terminal and the work takes longer than a second. */
struct progress {
    const char *what; /**< "accesses" */
    double start, last;
    bool shown, off;
};
void progress_start(struct progress *, const struct cli *, const char *what);
/** @p done of the unit so far; @p share from 0 to 1, or negative if unknown. */
void progress_update(struct progress *, uint64_t done, double share);
void progress_end(struct progress *);

/** Prints `help CMD`, a roff man page, a bash completion script. */
void help_print(FILE *, const struct command *);
void help_list(FILE *);
void man_print(FILE *, const struct command *);
void man_print_all(FILE *);
void completion_print(FILE *);

#endif
