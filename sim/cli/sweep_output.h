/**
 * @file
 * Where a sweep's rows go. Standard output, a pipe or a device gets them at the end. A file appears
 * whole at the end too; until then FILE.part keeps what is done, so that an interrupted sweep can
 * go on.
 */
#ifndef SIM_CLI_SWEEP_OUTPUT_H
#define SIM_CLI_SWEEP_OUTPUT_H

#include "sim/cli/sweep_rows.h"

struct output {
    const char *path;        /**< as given; borrowed */
    FILE *stream;            /**< NULL: it is a file */
    char *file, *part, *new; /**< of a file: itself, the journal, and what is renamed to it */
};

/** What was found where the rows are to go. */
enum standing {
    STANDING_OPEN,    /**< nothing, or a part of this sweep */
    STANDING_DONE,    /**< all of it */
    STANDING_REFUSED, /**< err says what */
};

/** Looks at the file, which --force removes. Whatever comes out, output_fini it. */
enum standing output_init(struct output *, const struct cli *, struct rows *, struct err *);

/** Prints all rows there. */
bool output_write(const struct output *, struct rows *, struct err *);

void output_fini(struct output *);

#endif
