/*
 * The keys of machines: what a profile holds and what an override may change. A profile's values
 * carry a source and a confidence each; an override's stand plain.
 */
#include "sim/scenario/spec_table.h"

static const char *const confidence_words[] = {"sourced", "high",      "medium",
                                               "low",     "uncertain", NULL};
static const char *const by_words[] = {"address", "entry", NULL};

#define SOURCED                                                                                    \
    {.name = "source",                                                                             \
     .type = TYPE_TEXT,                                                                            \
     .least = 1,                                                                                   \
     .most = 2000,                                                                                 \
     .help = "Where the values are from"},                                                         \
        {.name = "confidence",                                                                     \
         .type = TYPE_WORD,                                                                        \
         .words = confidence_words,                                                                \
         .help = "How far to trust them"},                                                         \
    {                                                                                              \
        .name = "note", .type = TYPE_TEXT, .help = "What else there is to know"                    \
    }

static const struct key machine_keys[] = {
    {.name = "profile",
     .type = TYPE_PROFILE,
     .fallback = "\"skylake-sp\"",
     .help = "A profile that ships (`nestwalk machines` lists them), or a path to one (.json)"},
    {.name = "cpus",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1024,
     .fallback = "1",
     .help = "Processors"},
    {.name = "memory",
     .type = TYPE_SIZE,
     .least = 4096,
     .most = 64 * TIB,
     .fallback = "\"8GiB\"",
     .help = "Host memory"},
    {.name = "override",
     .child = &override_schema,
     .help = "Values that differ from the profile's"},
};
KIND(machine, "The host.");

/* A profile's keys; from `maxphyaddr` on, also those of an override. */
enum { PROFILE_OWN = 3 };
static const struct key profile_keys[] = {
    {.name = "version",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1,
     .required = true,
     .example = "1",
     .help = "Version of the profile format"},
    {.name = "name",
     .type = TYPE_TEXT,
     .least = 1,
     .most = 31,
     .required = true,
     .example = "\"skylake-sp\"",
     .help = "As the file, without .json"},
    {.name = "title", .type = TYPE_TEXT, .help = "The part that it describes"},
    {.name = "maxphyaddr",
     .type = TYPE_COUNT,
     .least = 32,
     .most = 52,
     .sourced = true,
     .example = "46",
     .help = "Width of a physical address, in bits"},
    {.name = "ghz",
     .type = TYPE_REAL,
     .least = 0.001,
     .most = 1000,
     .sourced = true,
     .example = "2.1",
     .help = "Clock: turns seconds into cycles"},
    {.name = "features",
     .child = &features_schema,
     .help = "What the processor has; an override may switch it off"},
    {.name = "tlb", .child = &tlbs_schema, .help = "Translation lookaside buffers"},
    {.name = "structure_caches", .child = &structures_schema, .help = "Paging-structure caches"},
    {.name = "nested_tlb",
     .child = &array_schema,
     .help = "Cache of guest-physical to host translations"},
    {.name = "data_caches", .child = &data_caches_schema, .help = "Data caches"},
    {.name = "costs", .child = &costs_schema, .help = "Prices, in core cycles"},
};
KIND(profile, "A machine profile: sizes and prices of one real part.");
const struct schema override_schema = {
    .name = "override",
    .help = "Values that differ from the profile's; what is omitted stays.",
    .keys = profile_keys + PROFILE_OWN,
    .n_keys = COUNT_OF(profile_keys) - PROFILE_OWN};

static const struct key features_keys[] = {
#define X(feature, text) {.name = #feature, .type = TYPE_BOOL, .help = text},
    FEATURES(X)
#undef X
        SOURCED};
KIND(features, "Features. A profile's forbid nothing: any paging goes with any profile, unless an "
               "override says false.");

static const struct key tlbs_keys[] = {
    {.name = "l1i", .child = &tlb_schema, .help = "First level, instructions"},
    {.name = "l1d", .child = &tlb_schema, .help = "First level, data"},
    {.name = "l2", .child = &tlb_schema, .help = "Second level, both"},
};
KIND(tlbs, "Translation lookaside buffers.");

#define ARRAY                                                                                      \
    {.name = "entries",                                                                            \
     .type = TYPE_COUNT,                                                                           \
     .most = 1 << 24,                                                                              \
     .example = "64",                                                                              \
     .help = "Entries; 0: there is none"},                                                         \
        {.name = "ways",                                                                           \
         .type = TYPE_COUNT,                                                                       \
         .most = 65535,                                                                            \
         .example = "4",                                                                           \
         .help = "Ways of a set, a divisor of the entries; 0: fully associative"},                 \
    {                                                                                              \
        .name = "replacement", .type = TYPE_WORD, .words = replacement_words,                      \
        .help = "Which entry goes; lfu: fewest uses since filled, the fill being the first"        \
    }

static const struct key array_keys[] = {ARRAY, SOURCED};
KIND(array, "One cache.");

#define PAGES(name_, text)                                                                         \
    {                                                                                              \
        .name = name_, .child = &array_schema, .help = text                                        \
    }
#define PAGES_OR(name_, smaller, text)                                                             \
    {                                                                                              \
        .name = name_, .child = &array_schema, .type = TYPE_WORD, .words = smaller, .help = text   \
    }
static const struct key tlb_keys[] = {
    ARRAY,
    SOURCED,
    PAGES("4KiB", "The array for 4 KiB pages"),
    PAGES_OR("2MiB", ((const char *const[]){"4KiB", NULL}),
             "The array for 2 MiB and 4 MiB pages; or the size of the fragment that is kept"),
    PAGES_OR("1GiB", ((const char *const[]){"4KiB", "2MiB", NULL}),
             "The array for 1 GiB pages; or the size of the fragment that is kept"),
    PAGES("4KiB+2MiB", "One array that these sizes share"),
    PAGES("4KiB+1GiB", "One array that these sizes share"),
    PAGES("2MiB+1GiB", "One array that these sizes share"),
    PAGES("4KiB+2MiB+1GiB", "One array that all sizes share"),
};
KIND(tlb,
     "A TLB: plain (entries, ways, replacement: all page sizes share it), or an object by page "
     "size. In an override a plain one replaces the whole TLB, and what it omits keeps the "
     "profile's 4 KiB values.");

static const struct key structures_keys[] = {
    {.name = "by",
     .type = TYPE_WORD,
     .words = by_words,
     .help = "`address`: the walk starts lower (Intel); `entry`: they serve a read (AMD)"},
    {.name = "pml5", .child = &array_schema, .help = "Entries of level 5"},
    {.name = "pml4", .child = &array_schema, .help = "Entries of level 4"},
    {.name = "pdpte", .child = &array_schema, .help = "Entries of level 3"},
    {.name = "pde", .child = &array_schema, .help = "Entries of level 2"},
    SOURCED,
};
KIND(structures, "Paging-structure caches.");

static const struct key data_cache_keys[] = {
    ARRAY,
    {.name = "size",
     .type = TYPE_SIZE,
     .most = 1 << 30,
     .example = "\"32KiB\"",
     .help = "Bytes, instead of `entries` (lines)"},
    SOURCED,
};
KIND(data_cache, "A data cache.");

static const struct key data_caches_keys[] = {
    {.name = "line",
     .type = TYPE_POWER,
     .least = 1,
     .most = 4096,
     .example = "64",
     .sourced = true,
     .help = "Bytes of a line, a power of two"},
    {.name = "program_data",
     .type = TYPE_BOOL,
     .sourced = true,
     .help = "The program's own accesses go through the data caches too, not only table entries"},
    {.name = "l1", .child = &data_cache_schema, .help = "First level"},
    {.name = "l2", .child = &data_cache_schema, .help = "Second level"},
    {.name = "llc", .child = &data_cache_schema, .help = "Last level"},
    SOURCED,
};
KIND(data_caches, "Data caches, which serve reads of table entries.");

static const struct key costs_keys[] = {
#define X(cost, text)                                                                              \
    {.name = #cost, .type = TYPE_COUNT, .most = 4294967295.0, .sourced = true, .help = text},
    COSTS(X)
#undef X
};
KIND(costs, "Prices, in core cycles.");

static const struct key sourced_keys[] = {
    {.name = "value", .required = true, .example = "0", .help = "The value"},
    SOURCED,
};
KIND(sourced, "A value with its source.");
