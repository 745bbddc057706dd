/**
 * @file
 * What each operation must drop of what is cached with and without a second stage, as a table, and
 * the comparison with what it does drop, cell by cell. For the unit tests and for tests/reproduce.
 */
#ifndef TESTS_CORE_MATRIX_H
#define TESTS_CORE_MATRIX_H

#include <stdbool.h>

struct matrix_score {
    unsigned operations;
    unsigned cells;   /**< looked at: each operation, in each context, and all that was cached */
    unsigned dropped; /**< of them, those that must go */
    unsigned wrong;   /**< kept and should have gone, or gone and should have been kept */
};

/**
 * Every operation in every context, with structure caches of the entries of level @p kept, by
 * address or by entry. The first cells that are wrong are told on standard error.
 */
struct matrix_score matrix_check(unsigned kept, bool by_entry);

#endif
