/**
 * @file
 * A program of the fuzzer: a raw VM of 4 or 5 levels as plain data, small and easy to cut down; and
 * the scenario that it stands for.
 */
#ifndef SIM_FUZZ_PROGRAM_H
#define SIM_FUZZ_PROGRAM_H

#include "sim/config.h"

enum { FUZZ_WORDS = 256, FUZZ_ITEMS = 512, FUZZ_FRAMES = 1024 };

/** A word of memory that is not zero before the run. */
struct fuzz_word {
    gpa_t gpa;
    uint64_t value;
};

struct fuzz_program {
    uint64_t seed, number;
    unsigned levels; /**< of its tables: 4 or 5 */
    uint64_t memory; /**< bytes, at most FUZZ_FRAMES frames */
    struct registers registers;
    uint8_t level[FUZZ_FRAMES]; /**< of the table that a frame holds; 0: data */
    unsigned n_words, n_items;
    struct fuzz_word word[FUZZ_WORDS]; /**< by ascending gpa */
    struct script_item item[FUZZ_ITEMS];
};

/** A program as a scenario. It points into itself and into the program: both stay put. */
struct fuzz_scenario {
    struct scenario scenario;
    struct vm_config vm;
    struct image_config image[FUZZ_WORDS];
    uint8_t bytes[FUZZ_WORDS * 8];
    char title[96];
};

void program_scenario(const struct fuzz_program *, const struct profile *, enum mode,
                      struct fuzz_scenario *);

/** How many of its items are accesses. */
unsigned program_accesses(const struct fuzz_program *);

#endif
