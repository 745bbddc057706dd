#include "sim/scenario/diagnostics.h"

#include <stdlib.h>
#include <string.h>

#include "sim/scenario/storage.h"

/* A line longer than this is cut around the place that the diagnostic is about. */
enum { SOURCE_MAX = 160, SOURCE_BEFORE = 60 };

static char *copy(const char *bytes, size_t length)
{
    char *text = grow(NULL, length + 1);
    memcpy(text, bytes, length);
    text[length] = 0;
    return text;
}

void text_init(struct text *t, const char *name, const char *bytes, size_t length, bool setting)
{
    *t = (struct text){.name = copy(name, strlen(name)), .length = length, .setting = setting};
    t->bytes = copy(bytes, length);
    t->n_lines = 1;
    for (size_t i = 0; i < length; i++)
        t->n_lines += bytes[i] == '\n';
    t->lines = grow(NULL, t->n_lines * sizeof *t->lines);
    unsigned line = 0;
    t->lines[line++] = 0;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] == '\n')
            t->lines[line++] = i + 1;
}

void text_fini(struct text *t)
{
    free(t->name);
    free(t->bytes);
    free(t->lines);
}

unsigned text_line(const struct text *t, size_t offset)
{
    unsigned low = 0, high = t->n_lines; /* lines[low] <= offset < lines[high] */
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (t->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low + 1;
}

static struct diagnostic *append(struct diagnostics *list)
{
    list->list = grow(list->list, (list->count + 1) * sizeof *list->list);
    list->list[list->count] = (struct diagnostic){0};
    return &list->list[list->count++];
}

unsigned utf8_length(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (unsigned n = 1; n <= 4; n++) {
        if ((*p & forms[n - 1].mask) != forms[n - 1].lead)
            continue;
        uint32_t code = *p & (unsigned char)~forms[n - 1].mask;
        for (unsigned i = 1; i < n; i++) {
            if (i >= left || (p[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3f);
        }
        bool possible = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        return possible && code >= forms[n - 1].least ? n : 0;
    }
    return 0;
}

/* What goes to a terminal holds no control characters and no broken UTF-8. */
static void make_printable(char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        unsigned n = utf8_length(text + i, length - i);
        unsigned char c = (unsigned char)text[i];
        bool control = (c < ' ' && c != '\t') || c == 0x7f;
        bool c1 = n == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
        if (!n || control || c1)
            memset(text + i, '?', n = n ? n : 1);
        i += n;
    }
}

static void set_message(struct diagnostic *d, const char *format, va_list args)
{
    char text[2000];
    vsnprintf(text, sizeof text, format, args);
    char *hint = strchr(text, *HINT);
    if (hint)
        *hint++ = 0;
    make_printable(text, strlen(text));
    d->message = copy(text, strlen(text));
    if (hint) {
        make_printable(hint, strlen(hint));
        d->hint = copy(hint, strlen(hint));
    }
}

/* The bytes of a line around @p column (from 0), never parting a UTF-8 character. */
static void set_source(struct diagnostic *d, const struct text *t, size_t start, size_t column)
{
    const char *line = t->bytes + start;
    size_t length = 0;
    while (start + length < t->length && line[length] != '\n' && line[length] != '\r')
        length++;
    column = column < length ? column : length;
    size_t from = length > SOURCE_MAX && column > SOURCE_BEFORE ? column - SOURCE_BEFORE : 0;
    size_t to = length - from > SOURCE_MAX ? from + SOURCE_MAX : length;
    while (from && from < column && (line[from] & 0xc0) == 0x80)
        from++;
    while (to < length && to > from && (line[to] & 0xc0) == 0x80)
        to--;
    d->cut = (unsigned)from;
    d->source = copy(line + from, to - from);
    make_printable(d->source, to - from);
}

void diagnostics_add(struct diagnostics *list, const struct text *t, size_t offset, size_t width,
                     const char *pointer, const char *format, va_list args)
{
    if (diagnostics_full(list))
        return;
    struct diagnostic *d = append(list);
    unsigned line = text_line(t, offset);
    size_t start = t->lines[line - 1];
    d->file = copy(t->name, strlen(t->name));
    d->pointer = copy(pointer, strlen(pointer));
    d->line = t->setting ? 0 : line;
    d->column = t->setting ? 0 : (unsigned)(offset - start) + 1;
    d->width = width > UINT32_MAX ? UINT32_MAX : (unsigned)width;
    if (list->count > DIAGNOSTICS_MAX) {
        d->message = copy("more is wrong, not listed", 25);
        return;
    }
    set_message(d, format, args);
    if (!t->setting)
        set_source(d, t, start, offset - start);
}

void diagnostics_add_file(struct diagnostics *list, const char *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct diagnostic *d = append(list);
    d->file = copy(file, strlen(file));
    d->pointer = copy("", 0);
    set_message(d, format, args);
    va_end(args);
}

static int by_place(const void *a, const void *b)
{
    const struct diagnostic *x = a, *y = b;
    if (!x->line != !y->line)
        return !x->line - !y->line;
    if (strcmp(x->file, y->file))
        return strcmp(x->file, y->file);
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

/* Later passes find things earlier in the file. The one beyond the limit stays the last. */
static void sort(struct diagnostics *list)
{
    unsigned n = list->count > DIAGNOSTICS_MAX ? DIAGNOSTICS_MAX : list->count;
    if (n > 1)
        qsort(list->list, n, sizeof *list->list, by_place);
}

void diagnostics_move(struct diagnostics *into, struct diagnostics *from)
{
    if (!from->count)
        return;
    sort(from);
    into->list = grow(into->list, (into->count + from->count) * sizeof *into->list);
    for (unsigned i = 0; i < from->count; i++)
        into->list[into->count++] = from->list[i];
    free(from->list);
    *from = (struct diagnostics){0};
}

void diagnostics_free(struct diagnostics *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        struct diagnostic *d = &list->list[i];
        free(d->file);
        free(d->pointer);
        free(d->message);
        free(d->hint);
        free(d->source);
    }
    free(list->list);
    *list = (struct diagnostics){0};
}

struct quote quote_bytes(const char *bytes, size_t length)
{
    enum { SHOWN = 48 };
    struct quote q;
    size_t n = length > SHOWN ? SHOWN : length;
    while (n && n < length && (bytes[n] & 0xc0) == 0x80)
        n--;
    snprintf(q.text, sizeof q.text, "\"%.*s%s\"", (int)n, bytes, n < length ? "..." : "");
    make_printable(q.text, strlen(q.text));
    return q;
}

struct quote quote(const char *text)
{
    return quote_bytes(text, strlen(text));
}
