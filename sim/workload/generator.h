/**
 * @file
 * Synthetic workloads: seeded state that turns into accesses. Pure: the same state gives the same
 * accesses in every build and on every machine; copying the struct copies the workload.
 *
 * Modelled: the access patterns that the field measures with. Simplified: places are aligned to the
 * largest power of two that `size` holds, so an access crosses a page only where `size` is none; no
 * access crosses the end of the map. Not modelled: instruction fetches.
 */
#ifndef SIM_WORKLOAD_GENERATOR_H
#define SIM_WORKLOAD_GENERATOR_H

#include "core/access.h"
#include "core/rng.h"

enum pattern {
    PATTERN_SEQUENTIAL,    /**< from the start of the map by `stride` bytes, wrapping */
    PATTERN_UNIFORM,       /**< any aligned address, all alike */
    PATTERN_ZIPF,          /**< pages by rank, scattered: rank r has weight 1 / r^theta */
    PATTERN_POINTER_CHASE, /**< one cycle through all pages in a scattered order, one access each */
    PATTERN_GUPS,          /**< random read-modify-writes of 8 bytes; size and writes say nothing */
    PATTERN_WORKING_SET, /**< a moving window gets `hot_share` of the accesses, the rest the rest */
    PATTERN_LIST,        /**< given addresses as they are, in order, over and over */
    PATTERNS
};
#define PATTERN_WORDS                                                                              \
    "sequential", "uniform", "zipf", "pointer-chase", "gups", "working-set", "list"

const char *pattern_name(enum pattern);

/** What to generate. Shares are 0 to 1. */
struct generator_spec {
    enum pattern pattern;
    gva_t base;        /**< of the map, a multiple of page */
    uint64_t length;   /**< bytes of the map, a multiple of page, not 0 */
    uint64_t page;     /**< bytes of its pages, a power of two, at least 8 */
    uint64_t accesses; /**< how many to make in all */
    uint16_t size;     /**< bytes each; 1 to page */
    uint16_t process;
    uint8_t flags;        /**< of each access */
    double writes;        /**< share of writes (GUPS writes always) */
    uint64_t stride;      /**< SEQUENTIAL: bytes, not 0 */
    double theta;         /**< ZIPF: 0 to 8 */
    uint64_t hot;         /**< WORKING_SET: bytes of the window; it wraps at the end of the map */
    double hot_share;     /**< WORKING_SET */
    double drift;         /**< WORKING_SET: pages the window moves per access, 0 to 2^63 */
    double remap;         /**< share of accesses preceded by an unmap and map of their page */
    double protect;       /**< share preceded by taking write rights away and giving them back */
    uint32_t rights;      /**< of the map, given back after remap and protect */
    const gva_t *list;    /**< LIST: borrowed, must outlive every copy */
    uint64_t list_length; /**< LIST: not 0 */
    uint64_t seed;
};

/**
 * What generators of one ZIPF spec share: an alias table (Walker 1977, built as Vose 1991), one
 * column per page. A column is picked uniformly, then a coin says whether it means its own page or
 * the other one. The coin has 32 bits: a page whose share is under 2^-32 of the mean may never
 * come.
 */
struct zipf {
    uint64_t pages;
    struct zipf_column {
        uint32_t own;   /**< the chance of its own page, times 2^32 */
        uint32_t other; /**< the page otherwise; its own where that is certain */
    } column[];
};

/**
 * The table for @p pages pages (1 to 2^32), 8 bytes each; a pure function of its arguments. NULL
 * when there is no memory; freed with free(). Cost: about 70 ns and, meanwhile, 16 bytes a page.
 */
struct zipf *zipf_new(uint64_t pages, double theta);

/** rank^-theta, by + - * / alone, to 1e-13: @p rank 1 to 2^32, @p theta 0 to 8. */
double zipf_weight(uint64_t rank, double theta);

/** The page that 64 random bits mean. Cost: a multiplication and a load. */
static inline uint64_t zipf_pick(const struct zipf *zipf, uint64_t bits)
{
    /* The high word of bits * pages is the column; the low word is what is left of the bits. */
    unsigned __int128 product = (unsigned __int128)bits * zipf->pages;
    uint64_t page = (uint64_t)(product >> 64);
    struct zipf_column column = zipf->column[page];
    return (uint32_t)(product >> 32) < column.own ? page : column.other;
}

/** A fixed permutation of the numbers of @p bits bits (0 to 63) that looks like none. */
uint64_t scatter(uint64_t number, unsigned bits);

/** A fixed permutation of the numbers below @p n: where ZIPF puts rank - 1 of @p n pages. */
uint64_t scatter_below(uint64_t number, uint64_t n);

struct generator {
    struct generator_spec spec;
    const struct zipf *zipf; /**< constant and shared by copies; ZIPF only */
    struct rng place;        /**< draws where */
    struct rng dice;         /**< draws what: writes, remaps, protects */
    uint64_t made;           /**< accesses made */
    uint64_t position;       /**< where a walking pattern stands */
    uint64_t step;           /**< SEQUENTIAL: the stride within the map */
    double window;           /**< WORKING_SET: start of the window, in pages */
    double drift;            /**< WORKING_SET: its move per access, less whole rounds of the map */
};

/** The most records that one access takes: itself and four events of two records before it. */
enum { GENERATOR_BURST = 9 };

/** Starts at the first access. @p zipf: from zipf_new for ZIPF, else NULL; borrowed. */
void generator_init(struct generator *, const struct generator_spec *, const struct zipf *zipf);

/**
 * Writes up to @p max records to @p out and returns how many; 0 is the end, and only the end.
 * @p max is at least GENERATOR_BURST; at least 1 where remap and protect are 0.
 *
 * Before an access, in this order: a remap is OP_UNMAP and OP_MAP of its page, a protect is
 * OP_PROTECT without write rights and OP_PROTECT with spec.rights. An access and its events come in
 * one fill. Fills of any sizes give the same records. Cost: 2 to 15 ns a record.
 */
size_t generator_fill(struct generator *, struct access *out, size_t max);

#endif
