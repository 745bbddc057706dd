/**
 * @file
 * Memory that is freed all at once: everything a scenario's pointers reach.
 *
 * Nothing is ever given back before storage_fini. What is taken is bounded by the text that was
 * read, so there being no memory for it is no diagnostic: it ends the program.
 */
#ifndef SIM_SCENARIO_STORAGE_H
#define SIM_SCENARIO_STORAGE_H

#include <stddef.h>

struct storage {
    struct block *blocks;
};

/** @p bytes of zeroes, aligned for anything. */
void *storage_take(struct storage *, size_t bytes);

/** A copy of @p length bytes of text with a zero behind it. */
char *storage_copy(struct storage *, const char *text, size_t length);

void storage_fini(struct storage *);

/** realloc that ends the program when there is no memory. */
void *grow(void *block, size_t bytes);

#endif
