/**
 * @file
 * The one table of scenario keys. Validator, reader, JSON Schema and reference page are read from
 * it; none of them knows a key's bounds, words, default or help by itself.
 */
#ifndef SIM_SCENARIO_SPEC_H
#define SIM_SCENARIO_SPEC_H

#include <stdbool.h>
#include <stdint.h>

/** The greatest integer such that it and all below have a double of their own: 2^53 - 1. */
#define NUMBER_MAX 9007199254740991.0

/** What a value may be. */
enum type {
    TYPE_NONE,    /**< no scalar: an object of schema `child` only */
    TYPE_ADDRESS, /**< "0x7ffe_dead_b000", or decimal in a string */
    TYPE_U64,     /**< the same, or a whole number */
    TYPE_SIZE,    /**< bytes as a whole number, or "64MiB" */
    TYPE_COUNT,   /**< a whole number */
    TYPE_POWER,   /**< a whole number that is a power of two */
    TYPE_REAL,    /**< any number */
    TYPE_SHARE,   /**< a number from 0 to 1 */
    TYPE_BOOL,    /**< true or false */
    TYPE_WORD,    /**< one of `words` */
    TYPE_TEXT,    /**< any string */
    TYPE_RIGHTS,  /**< letters of "rwxu" */
    TYPE_BYTES,   /**< hexadecimal digits, two a byte */
    TYPE_NAME,    /**< a name, or a number from 0 */
    TYPE_MOMENT,  /**< an access's number, or "10ms" */
    TYPE_PROFILE, /**< a profile's name, or a path to one */
    TYPES
};

/** One key of an object. */
struct key {
    const char *name;
    enum type type;             /**< of the value, or of each element of a list */
    const struct schema *child; /**< the value may be, or with TYPE_NONE must be, such an object */
    const char *const *words;   /**< TYPE_WORD: NULL at the end */
    const char *noun;           /**< what an unknown word is called; NULL: the key's name */
    double least, most; /**< of numbers and sizes; of the length of a text. most 0: no bounds */
    bool list;          /**< an array of such values */
    unsigned items_least, items_most; /**< of a list; items_most 0: no bound */
    bool sourced; /**< may be { "value": ..., "source": ..., "confidence": ... } */
    bool required;
    uint32_t taken_by;    /**< bit w: only under word w of the schema's selector; 0: always */
    uint32_t needed_by;   /**< bit w: required under word w */
    const char *fallback; /**< default, as JSON; NULL: none, or said in the help */
    const char *example;  /**< as JSON */
    const char *help;
};

/** One schema of object. */
struct schema {
    const char *name; /**< of its definition in the schema, and of its section on the page */
    const char *help;
    const struct key *keys;
    unsigned n_keys;
    const char *selector; /**< the key whose word says which others are taken; NULL: all are */
};

extern const struct schema scenario_schema;
extern const struct schema vm_schema;
extern const struct schema guest_schema;
extern const struct schema geometry_schema;
extern const struct schema reclaim_schema;
extern const struct schema memory_schema;
extern const struct schema page_mix_schema;
extern const struct schema ept_schema;
extern const struct schema second_stage_raw_schema;
extern const struct schema host_image_schema;
extern const struct schema shadow_schema;
extern const struct schema direct_schema;
extern const struct schema agile_schema;
extern const struct schema process_schema;
extern const struct schema map_schema;
extern const struct schema workload_schema;
extern const struct schema registers_schema;
extern const struct schema image_schema;
extern const struct schema preload_schema;
extern const struct schema preload_tlb_schema;
extern const struct schema preload_line_schema;
extern const struct schema script_schema;
extern const struct schema machine_schema;
extern const struct schema profile_schema;
extern const struct schema override_schema;
extern const struct schema features_schema;
extern const struct schema tlbs_schema;
extern const struct schema tlb_schema;
extern const struct schema array_schema;
extern const struct schema structures_schema;
extern const struct schema data_caches_schema;
extern const struct schema data_cache_schema;
extern const struct schema costs_schema;
extern const struct schema sourced_schema;

/** Words in the order of the enums that they stand for. */
extern const char *const mode_words[];
extern const char *const second_stage_words[];
extern const char *const shadow_policy_words[];
extern const char *const paging_words[];
extern const char *const page_words[];
extern const char *const reclaim_words[];
extern const char *const verb_words[];
extern const char *const op_words[];
extern const char *const generator_words[];
extern const char *const tlb_words[];
extern const char *const cache_words[];
extern const char *const replacement_words[];

/** Generators: the patterns of generator.h, by their order there, then those made of others. */
enum { GENERATOR_PHASES = 7, GENERATOR_TRACE };

/** The key of that name; NULL if there is none. */
const struct key *spec_key(const struct schema *, const char *name);

/** The number of @p text among @p words, or -1. */
int spec_word(const char *const *words, const char *text);

/** The words that @p key admits: its own, or for TYPE_PROFILE the profiles that ship. */
const char *const *spec_words(const struct key *);

#endif
