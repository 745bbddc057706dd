/**
 * @file
 * Synthetic workloads: seeded state that turns into accesses. Pure: the same state gives the same
 * accesses in every build and on every machine; copying the struct copies the workload.
 *
 * Modelled: the access patterns that the field measures with. Not modelled: instruction fetches.
 */
#ifndef SIM_WORKLOAD_GENERATOR_H
#define SIM_WORKLOAD_GENERATOR_H

#include "core/access.h"
#include "core/rng.h"

enum pattern {
    PATTERN_SEQUENTIAL,    /**< from the start of the map by `stride` bytes, wrapping */
    PATTERN_UNIFORM,       /**< any `size`-aligned address, all alike */
    PATTERN_ZIPF,          /**< pages by rank: page of rank r has weight 1 / r^theta; ranks scattered */
    PATTERN_POINTER_CHASE, /**< one cycle through all pages in a scattered order, one access each */
    PATTERN_GUPS,          /**< random read-modify-writes of 8 bytes */
    PATTERN_WORKING_SET,   /**< a hot window of `hot` bytes gets `hot_share` of the accesses, and moves */
    PATTERN_LIST,          /**< given addresses, in order, over and over */
    PATTERNS
};

const char *pattern_name(enum pattern);

/** What to generate. Shares are 0 to 1. */
struct generator_spec {
    enum pattern pattern;
    gva_t base;         /**< of the map */
    uint64_t length;    /**< bytes of the map, a multiple of page */
    uint64_t page;      /**< bytes of its pages, a power of two */
    uint64_t accesses;  /**< how many to make in all */
    uint16_t size;      /**< bytes each; 1 to page */
    uint16_t process;
    uint8_t flags;      /**< of each access */
    double writes;      /**< share of writes (GUPS writes always) */
    uint64_t stride;    /**< SEQUENTIAL: bytes, not 0 */
    double theta;       /**< ZIPF: 0 to 8 */
    uint64_t hot;       /**< WORKING_SET: bytes */
    double hot_share;   /**< WORKING_SET */
    double drift;       /**< WORKING_SET: pages the window moves per access */
    double remap;       /**< share of accesses preceded by an unmap and map of their page */
    double protect;     /**< share preceded by taking write rights away and giving them back */
    uint32_t rights;    /**< of the map, given back after remap and protect */
    const gva_t *list;  /**< LIST: borrowed, must outlive every copy */
    uint64_t list_length;
    uint64_t seed;
};

/** Tables that generators of one spec share, for ZIPF: pure functions of length and theta. */
struct zipf;

struct generator {
    struct generator_spec spec;
    const struct zipf *zipf; /**< constant and shared by copies; see generator_prepare */
    struct rng rng;
    uint64_t made;     /**< accesses made */
    uint64_t position; /**< where a walking pattern stands */
    double window;     /**< WORKING_SET: start of the window, in pages */
};

/**
 * Makes what ZIPF needs (NULL otherwise; NULL for ZIPF too when there is no memory): an alias table
 * of 8 bytes per page. Weights are computed with + - * / and sqrt alone. Freed with free().
 */
struct zipf *zipf_new(uint64_t pages, double theta);

/** Starts at the first access. @p zipf: from zipf_new for ZIPF, else NULL; borrowed. */
void generator_init(struct generator *, const struct generator_spec *, const struct zipf *zipf);

/**
 * Writes up to @p max (at least 5) records to @p out and returns how many; 0 is the end. Remap and
 * protect put events (two records each) before their access.
 */
size_t generator_fill(struct generator *, struct access *out, size_t max);

#endif
