/**
 * @file
 * What the tests of trace reading share: traces out of text, whole traces as arrays.
 */
#ifndef TESTS_SIM_TRACE_SUPPORT_H
#define TESTS_SIM_TRACE_SUPPORT_H

#include "sim/workload/trace.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 64, BATCH = 4096 };

/**
 * Memory of a test's own: the test's process ends soon, and what this list leads to is no leak.
 */
struct kept {
    struct kept *next;
    max_align_t bytes[];
};

static inline void *keep(size_t n)
{
    static struct kept *all;
    struct kept *k = calloc(1, sizeof *k + n);
    cr_assert(k);
    k->next = all;
    all = k;
    return k->bytes;
}

/** All that a trace gives, and how it ended. */
struct whole {
    struct access *record;
    size_t count;
    struct trace_report report;
    struct err err;
};

/** Writes a file of its own; the caller unlinks it. */
static inline void write_file(char path[PATH_BYTES], const void *bytes, size_t n)
{
    strcpy(path, "/tmp/nestwalk-trace-XXXXXX");
    int file = mkstemp(path);
    cr_assert(file >= 0);
    cr_assert_eq(write(file, bytes, n), (ssize_t)n);
    close(file);
}

static inline struct source *open_bytes(const void *bytes, size_t n,
                                        const struct trace_options *options, struct err *err)
{
    char path[PATH_BYTES];
    write_file(path, bytes, n);
    struct source *source = trace_open(path, options, err);
    unlink(path);
    return source;
}

/** Reads to the end in batches of @p batch. */
static inline struct whole read_source(struct source *source, size_t batch)
{
    struct whole w = {0};
    if (!source)
        return w;
    size_t n, room = 0;
    do {
        if (room < w.count + batch) {
            room = 2 * (w.count + batch);
            struct access *grown = keep(room * sizeof *grown);
            if (w.count)
                memcpy(grown, w.record, w.count * sizeof *grown);
            w.record = grown;
        }
        n = source->ops->fill(source, w.record + w.count, batch, &w.err);
        w.count += n;
    } while (n);
    cr_assert_eq(source->ops->tell(source), w.count);
    w.report = *trace_report(source);
    source->ops->free(source);
    return w;
}

static inline struct whole read_bytes(const void *bytes, size_t n,
                                      const struct trace_options *options)
{
    struct err err = {0};
    struct source *source = open_bytes(bytes, n, options, &err);
    struct whole w = read_source(source, BATCH);
    if (!source)
        w.err = err;
    return w;
}

/** Reads text, in a format that is found out, which must work. */
static inline struct whole read_text(const char *text)
{
    struct whole w = read_bytes(text, strlen(text), &(struct trace_options){0});
    cr_assert_eq(w.err.code, EXIT_OK, "%s", w.err.text);
    return w;
}

static inline struct whole read_text_as(const char *text, enum trace_format format)
{
    return read_bytes(text, strlen(text), &(struct trace_options){.format = format});
}

static inline struct operand operand_at(const struct whole *w, size_t i)
{
    struct operand operand;
    cr_assert_lt(i + 1, w->count);
    memcpy(&operand, w->record + i + 1, sizeof operand);
    return operand;
}

static inline void expect_access(const struct whole *w, size_t i, enum op op, gva_t gva,
                                 unsigned size)
{
    cr_assert_lt(i, w->count);
    cr_expect_eq(w->record[i].op, op, "record %zu is op %d", i, w->record[i].op);
    cr_expect_eq(w->record[i].gva, gva, "record %zu is at %lx", i, w->record[i].gva);
    cr_expect_eq(w->record[i].size, size, "record %zu has %d bytes", i, w->record[i].size);
    cr_expect_eq(w->record[i].flags, ACCESS_USER);
}

static inline void expect_event(const struct whole *w, size_t i, enum op op, gva_t gva,
                                uint64_t length, uint32_t rights)
{
    expect_access(w, i, op, gva, 1);
    struct operand operand = operand_at(w, i);
    cr_expect_eq(operand.length, length, "record %zu: length %lx", i, operand.length);
    cr_expect_eq(operand.rights, rights, "record %zu: rights %x", i, operand.rights);
}

static inline void expect_same(const struct whole *a, const struct whole *b)
{
    cr_assert_eq(a->count, b->count, "%zu and %zu records", a->count, b->count);
    cr_expect_arr_eq(a->record, b->record, a->count * sizeof *a->record);
}

#endif
