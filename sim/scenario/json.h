/**
 * @file
 * Strict JSON with comments, and where everything in it stands.
 *
 * cJSON builds the tree; it is lax and forgets positions. So a scanner of our own goes first: it
 * blanks comments, refuses what cJSON lets pass, and notes the place of every value. The tree's
 * items carry the number of their place in `valueint`, which has no other use here.
 *
 * Refused: leading zeros, U+0000, duplicate keys, numbers beyond 2^53 - 1, nesting beyond NEST_MAX,
 * invalid UTF-8, control characters, text after the end. An item that was refused has the type
 * cJSON_Invalid from then on: whoever reads on passes over it, for all has been said about it.
 */
#ifndef SIM_SCENARIO_JSON_H
#define SIM_SCENARIO_JSON_H

#include <cjson/cJSON.h>

#include "sim/scenario/diagnostics.h"
#include "sim/scenario/spec.h"

enum { NEST_MAX = 32, FILE_MAX = 16 << 20 };

enum { PLACE_NONE = UINT32_MAX };

/** Where a value stands. */
struct place {
    const char *key; /**< as written, without its quotes; NULL in an array and for the root */
    uint32_t key_length;
    uint32_t index;          /**< in an array */
    uint32_t parent;         /**< the place of the container, or PLACE_NONE */
    uint32_t text;           /**< number of the text */
    uint32_t offset, length; /**< of the value; containers: of the opening bracket */
    bool refused;            /**< the scanner has complained about it */
};

struct document {
    cJSON *root;        /**< NULL when the text is no JSON */
    struct text *texts; /**< the file, then the settings */
    unsigned n_texts;
    struct place *places;
    unsigned n_places, capacity;
    char **keys; /**< of members that settings made: places point to them */
    unsigned n_keys;
    struct diagnostics *diagnostics; /**< borrowed */
};

/** Reads @p bytes; what is wrong goes to @p diagnostics. Whatever comes out, document_fini it. */
void document_init(struct document *, const char *name, const char *bytes, size_t length,
                   struct diagnostics *diagnostics);
void document_fini(struct document *);

/**
 * Puts a setting's value where its pointer says, making members that are missing. A "*" stands for
 * every element of an array.
 */
void document_set(struct document *, const struct setting *);

/** Says what is wrong with a value, and what would be right behind a HINT. Refuses the item. */
void complain(struct document *, cJSON *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The same about its key. */
void complain_key(struct document *, cJSON *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The same without refusing it: what is wrong is what it lacks, or how it goes with others. */
void remark(struct document *, const cJSON *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** "line 12", or "--set /pointer": where an item stands, for use in a message. */
struct quote whereabouts(const struct document *, const cJSON *item);

/* For the scanner. */

/** Adds a place and returns its number. */
uint32_t document_place(struct document *, const struct place *);

/** A diagnostic about bytes of a text, with the pointer of a place. */
void document_say(struct document *, const struct place *where, uint32_t pointer,
                  struct diagnostics *, const char *format, va_list);

/**
 * Scans text number @p text as one value that stands at @p step (key or index, and parent), and
 * adds its places. @p blank gets the text with its comments blanked. False when it is no JSON.
 */
bool scan(struct document *, uint32_t text, const struct place *step, char *blank,
          struct diagnostics *);

#endif
