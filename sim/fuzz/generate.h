/**
 * @file
 * Random programs for the fuzzer: tables of every shape, registers, accesses, edits, invalidations.
 * The same seed and number give the same program in the same environment.
 *
 * What is drawn is asked of the rules first (rules.h), so that whatever comes out can be judged.
 * Data stand in few frames, with bytes only at both ends of each; tables at the top of memory.
 * Each table uses few of its entries. Nothing uses entry 3 of a top table.
 */
#ifndef SIM_FUZZ_GENERATE_H
#define SIM_FUZZ_GENERATE_H

#include "sim/backend/environment.h"
#include "sim/fuzz/program.h"

/** Program @p number of @p seed. False: no memory. */
bool generate(struct fuzz_program *, uint64_t seed, uint64_t number, const struct environment *);

#endif
