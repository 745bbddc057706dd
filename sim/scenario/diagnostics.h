/**
 * @file
 * How the scenario reader says what is wrong: a text with its lines, and a list that grows to a
 * limit.
 */
#ifndef SIM_SCENARIO_DIAGNOSTICS_H
#define SIM_SCENARIO_DIAGNOSTICS_H

#include <stdarg.h>

#include "sim/scenario/scenario.h"

/** In a message's format: what follows is the hint. */
#define HINT "\v"

/** More than this many are a broken file, not a list to work through. */
enum { DIAGNOSTICS_MAX = 200 };

/** Some JSON and where it came from: a file, or the value of a setting. */
struct text {
    char *name;  /**< of the file, or "--set /pointer" */
    char *bytes; /**< as read, zero-terminated */
    size_t length;
    bool setting;  /**< has no line numbers worth telling */
    size_t *lines; /**< offset of each line's first byte */
    unsigned n_lines;
};

/** Makes a text of a copy of @p bytes. */
void text_init(struct text *, const char *name, const char *bytes, size_t length, bool setting);
void text_fini(struct text *);

/** The line of an offset, from 1. */
unsigned text_line(const struct text *, size_t offset);

/**
 * Adds one diagnostic about @p width bytes at @p offset. @p pointer is copied. The format's HINT
 * parts what is wrong from what would be right.
 */
void diagnostics_add(struct diagnostics *, const struct text *, size_t offset, size_t width,
                     const char *pointer, const char *format, va_list);

/** Whether more would not be listed: then there is no need to find words for it. */
static inline bool diagnostics_full(const struct diagnostics *list)
{
    return list->count > DIAGNOSTICS_MAX;
}

/** Adds one that is about a whole file, which may not even exist. */
void diagnostics_add_file(struct diagnostics *, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Appends all of @p from, in the order of their places, and leaves it empty. */
void diagnostics_move(struct diagnostics *into, struct diagnostics *from);

/** The bytes of the UTF-8 character at @p text, of which @p left are there; 0: it is none. */
unsigned utf8_length(const char *text, size_t left);

/** A short printable form of text from outside, in quotes. */
struct quote {
    char text[72];
};
struct quote quote_bytes(const char *bytes, size_t length);
struct quote quote(const char *text);

#endif
