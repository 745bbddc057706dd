/**
 * @file
 * What `run`, `walk` and `sweep` share: reading the scenario on the command line, with --mode and
 * --set.
 */
#ifndef SIM_CLI_SCENARIO_ARG_H
#define SIM_CLI_SCENARIO_ARG_H

#include "sim/cli/cli.h"
#include "sim/machine.h"
#include "sim/scenario/scenario.h"

/** The options it looks at. */
#define SCENARIO_OPTIONS                                                                           \
    {"mode", "MODE", "run every VM in this mode instead of its own", false},                       \
    {                                                                                              \
        "set", "/POINTER=VALUE", "change a value first: --set /vms/0/memory=1GiB", true            \
    }

/** Reads the first argument. EXIT_OK, or a code after saying what is wrong. */
int cli_scenario(const struct cli *, struct scenario *);

/** Its machine, ready to run. EXIT_OK, or a code after saying what is wrong. */
int cli_machine(const struct cli *, const struct scenario *, struct machine **);

/** What a run is called: the scenario's title, or else its path. */
const char *scenario_name(const struct scenario *);

/** Whether this version has what it asks for; err says what not. */
bool scenario_runs(const struct scenario *, struct err *);

/** Accesses that its workloads will make; 0: unknown. */
uint64_t scenario_planned(const struct scenario *);

/** "/pointer=value" in two. False: it is none. Either way the text is the caller's to free. */
bool setting_split(const char *given, char **text, struct setting *);

/** Whether there is a mode of that name: EXIT_OK, or a code after saying which there are. */
int cli_mode(const struct cli *, const char *name, enum mode *);

#endif
