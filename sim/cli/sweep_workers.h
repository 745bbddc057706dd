/**
 * @file
 * Work on all processors: each task in a process of its own, some at a time. A task that crashes
 * takes nothing with it, and what it leaks is gone.
 */
#ifndef SIM_CLI_SWEEP_WORKERS_H
#define SIM_CLI_SWEEP_WORKERS_H

#include <stdio.h>

#include "sim/err.h"

/** How a task ended. */
struct ending {
    int code;         /**< what `work` returned, if no signal */
    int signal;       /**< that ended the process; 0: none */
    const char *text; /**< what it wrote */
    size_t length;
};

/** What is to be done. A slot is one of @p jobs places where a process may be. */
struct workers {
    unsigned jobs;
    void *self;
    /** The next task; false: there is none. */
    bool (*next)(void *self, unsigned *task);
    /** In a process of its own: does the task, and writes to @p out what becomes ending.text. */
    int (*work)(void *self, unsigned slot, unsigned task, FILE *out);
    /** After each task; false: enough. */
    bool (*done)(void *self, unsigned slot, unsigned task, const struct ending *);
    /** Several times a second. */
    void (*tick)(void *self);
};

/** Processors that this process may use. */
unsigned workers_processors(void);

/**
 * Until all tasks are done, `done` says enough, or cli_interrupted: then those that still work are
 * ended. No process is left either way. False with err set when there can be no more processes.
 */
bool workers_run(const struct workers *, struct err *);

#endif
