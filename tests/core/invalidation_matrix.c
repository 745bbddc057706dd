/* Exactly what the manuals say is dropped: the table is in matrix.c. */
#include "tests/core/matrix.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void check(unsigned kept, bool by_entry)
{
    struct matrix_score score = matrix_check(kept, by_entry);
    printf("invalidation matrix, structure caches by %s of level %u: %u operations, %u cells, "
           "%u to be dropped, %u wrong\n",
           by_entry ? "entry" : "address", kept, score.operations, score.cells, score.dropped,
           score.wrong);
    cr_expect_gt(score.dropped, 0);
    cr_expect_eq(score.wrong, 0);
}

Test(invalidation_matrix, exactly_what_must_be_dropped_is_dropped_with_pde_caches)
{
    check(2, false);
}

Test(invalidation_matrix, exactly_what_must_be_dropped_is_dropped_with_pdpte_caches)
{
    check(3, false);
}

Test(invalidation_matrix, exactly_what_must_be_dropped_is_dropped_with_pml4_caches)
{
    check(4, false);
}

Test(invalidation_matrix, exactly_what_must_be_dropped_is_dropped_with_caches_by_entry)
{
    check(2, true);
    check(4, true);
}
