/**
 * @file
 * The part of trace reading that formats share: the buffer, lines and records cut out of it,
 * malformed ones counted and told, ids numbered.
 */
#include "sim/workload/trace_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXCERPT_BYTES = 48 };

const uint8_t HEX_DIGIT[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool take_0x_hex(const char **p, uint64_t *value)
{
    if (**p != '0' || ((*p)[1] | 0x20) != 'x')
        return false;
    *p += 2;
    return take_hex(p, value);
}

bool take_any_hex(const char **p, uint64_t *value)
{
    if (**p == '0' && ((*p)[1] | 0x20) == 'x')
        *p += 2;
    return take_hex(p, value);
}

bool take_word(const char **p, const char *end, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(end - *p) < n || memcmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

void emit_unsized(struct trace *t, enum op op, gva_t gva, uint64_t size)
{
    uint64_t left = UNKNOWN_PAGE_BYTES - (gva & (UNKNOWN_PAGE_BYTES - 1));
    emit(t, op, gva, size < left ? size : left);
}

void emit_event(struct trace *t, enum op op, gva_t gva, struct operand operand)
{
    emit(t, op, gva, 1);
    memcpy(t->out++, &operand, sizeof operand);
    t->report.events++;
}

static uint32_t *slot_of(const struct ids *ids, uint64_t id)
{
    uint32_t mask = ids->slot_count - 1;
    uint32_t at = (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 32) & mask;
    while (ids->slots[at] && ids->id[ids->slots[at] - 1] != id)
        at = (at + 1) & mask;
    return &ids->slots[at];
}

/** Doubles the room. Slots are twice the ids, so that a search ends soon. */
static bool ids_grow(struct ids *ids)
{
    uint32_t capacity = ids->capacity ? ids->capacity * 2 : 16;
    uint64_t *id = realloc(ids->id, capacity * sizeof *id);
    if (!id)
        return false;
    ids->id = id;
    uint32_t *slots = calloc(capacity * 2, sizeof *slots);
    if (!slots)
        return false;
    free(ids->slots);
    ids->slots = slots;
    ids->slot_count = capacity * 2;
    ids->capacity = capacity;
    for (uint32_t i = 0; i < ids->count; i++)
        *slot_of(ids, ids->id[i]) = i + 1;
    return true;
}

bool ids_number(struct ids *ids, uint64_t id, uint16_t *number)
{
    if (ids->count == ids->capacity && !ids_grow(ids))
        return false;
    uint32_t *slot = slot_of(ids, id);
    if (!*slot) {
        if (ids->count == NUMBERS_MAX)
            return false;
        ids->id[ids->count] = id;
        *slot = ++ids->count;
    }
    *number = (uint16_t)(*slot - 1);
    return true;
}

void ids_clear(struct ids *ids)
{
    free(ids->id);
    free(ids->slots);
    *ids = (struct ids){0};
}

bool trace_context(struct trace *t, uint64_t pid, uint64_t tid)
{
    if (t->in_context && t->last_pid == pid && t->last_tid == tid)
        return true;
    uint16_t process, thread;
    if (!ids_number(&t->processes, pid, &process) ||
        !ids_number(&t->threads, thread_key(process, tid), &thread)) {
        t->wrong = "one more process or thread than the 65536 that a trace may have";
        return false;
    }
    t->process = process;
    t->thread = thread;
    t->last_pid = pid;
    t->last_tid = tid;
    t->in_context = true;
    return true;
}

/** Moves what is left to the front and fills up the buffer, as far as the input gives. */
static void refill(struct trace *t)
{
    memmove(t->buffer, t->buffer + t->at, t->have - t->at);
    t->have -= t->at;
    t->at = 0;
    size_t n = stream_read(t->stream, t->buffer + t->have, BUFFER_BYTES - t->have, &t->failure);
    t->have += n;
    t->ended = n == 0;
}

bool trace_need(struct trace *t, size_t n)
{
    while (t->have - t->at < n && !t->ended)
        refill(t);
    return t->have - t->at >= n;
}

/** Where a unit begins and ends, and the next one begins. */
struct unit {
    char *start, *end;
    size_t bytes;
    bool cut; /* the line is too long, or the file ends inside the record */
};

static bool next_record(struct trace *t, struct unit *unit)
{
    size_t bytes = t->format->unit_bytes;
    unit->cut = !trace_need(t, bytes);
    if (t->failure.code || t->have == t->at)
        return false;
    unit->start = (char *)t->buffer + t->at;
    unit->bytes = unit->cut ? t->have - t->at : bytes;
    unit->end = unit->start + unit->bytes;
    return true;
}

/** A line that is not in the buffer as a whole. */
static bool next_hard_line(struct trace *t, struct unit *unit)
{
    trace_need(t, LINE_BYTES + 1);
    if (t->failure.code || t->have == t->at)
        return false;
    char *start = (char *)t->buffer + t->at;
    size_t left = t->have - t->at;
    char *newline = memchr(start, '\n', left < LINE_BYTES ? left : LINE_BYTES);
    unit->start = start;
    unit->cut = !newline && left > LINE_BYTES;
    if (!newline) {
        newline = start + (unit->cut ? LINE_BYTES - 1 : left);
        *newline = '\n'; /* beyond the end there is one byte for this */
    }
    unit->end = newline;
    unit->bytes = (size_t)(newline - start) + !(t->ended && newline == start + left);
    return true;
}

/** The rest of a line that was cut. */
static void skip_line(struct trace *t)
{
    unsigned char *newline = NULL;
    while (!newline && trace_need(t, 1)) {
        newline = memchr(t->buffer + t->at, '\n', t->have - t->at);
        t->at = newline ? (size_t)(newline - t->buffer) + 1 : t->have;
    }
}

static inline bool next_unit(struct trace *t, struct unit *unit)
{
    if (t->format->unit_bytes)
        return next_record(t, unit);
    char *start = (char *)t->buffer + t->at;
    size_t left = t->have - t->at;
    char *newline = memchr(start, '\n', left < LINE_BYTES ? left : LINE_BYTES);
    if (!newline) {
        if (!next_hard_line(t, unit))
            return false;
        newline = unit->end;
    } else {
        *unit = (struct unit){start, newline, (size_t)(newline - start) + 1, false};
    }
    unit->end -= newline > unit->start && newline[-1] == '\r';
    return true;
}

/** The start of a line, fit to print. */
static void excerpt(char *to, const struct unit *unit)
{
    size_t n = (size_t)(unit->end - unit->start);
    bool whole = n <= EXCERPT_BYTES;
    n = whole ? n : EXCERPT_BYTES;
    for (size_t i = 0; i < n; i++) {
        char c = unit->start[i];
        to[i] = c == '\t' ? ' ' : c >= ' ' && c <= '~' ? c : '?';
    }
    strcpy(to + n, whole ? "" : "...");
}

/** Counts a malformed unit; false when there have been too many. */
static bool tolerate(struct trace *t, const struct unit *unit)
{
    if (++t->report.errors <= t->options.max_errors)
        return true;
    const char *name = stream_name(t->stream);
    if (t->format->unit_bytes)
        return err_set(&t->failure, EXIT_USAGE, "%s: record %" PRIu64 ": %s; %s", name, t->units,
                       t->wrong, t->format->right);
    char text[EXCERPT_BYTES + 4];
    excerpt(text, unit);
    return err_set(&t->failure, EXIT_USAGE, "%s:%" PRIu64 ": %s in \"%s\"; %s", name, t->units,
                   t->wrong, text, t->format->right);
}

/** Parses what is not whole: it may be noise, but never gives records. */
static enum parse parse_cut(struct trace *t, struct unit *unit)
{
    if (t->format->unit_bytes)
        return bad(t, "the file ends inside the record");
    struct access *out = t->out;
    struct trace_report report = t->report;
    enum parse parse = t->format->parse(t, unit->start, unit->end);
    bool emitted = t->out != out;
    t->out = out;
    t->report = report;
    if (parse != PARSE_BAD && !emitted)
        return parse;
    if (*unit->start == '\0')
        return bad(t, "zero bytes, as where two programs write one file,");
    return bad(t, "64 KiB or more of line");
}

bool trace_parse(struct trace *t)
{
    enum parse (*parse)(struct trace *, const char *, const char *) = t->format->parse;
    struct unit unit;
    while (t->out <= t->limit) {
        if (!next_unit(t, &unit))
            return false;
        t->units++;
        bool cut = unit.cut;
        enum parse made = cut ? parse_cut(t, &unit) : parse(t, unit.start, unit.end);
        t->at += unit.bytes;
        if (made == PARSE_BAD && !tolerate(t, &unit))
            return false;
        if (cut)
            skip_line(t);
    }
    return true;
}

void trace_forget(struct trace *t)
{
    if (t->format && t->format->drop && t->state)
        t->format->drop(t);
    ids_clear(&t->processes);
    ids_clear(&t->threads);
}

bool trace_restart(struct trace *t, struct err *err)
{
    if (!stream_rewind(t->stream, err))
        return false;
    trace_forget(t);
    if (t->format->state_bytes)
        memset(t->state, 0, t->format->state_bytes);
    t->report = (struct trace_report){.format = t->report.format};
    t->process = t->thread = 0;
    t->in_context = false;
    t->told = t->units = 0;
    t->failure = (struct err){0};
    t->at = t->have = 0;
    t->ended = t->finished = false;
    t->queue_at = t->queue_have = 0;
    return true;
}
