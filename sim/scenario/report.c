/* Diagnostics as text for people and as JSON for programs. */
#include "sim/scenario/diagnostics.h"

#include <string.h>

/* Columns that a terminal shows: UTF-8 characters count once. */
static unsigned columns(const char *text, size_t bytes)
{
    unsigned n = 0;
    for (size_t i = 0; i < bytes && text[i]; i++)
        n += (text[i] & 0xc0) != 0x80;
    return n;
}

static void print_source(const struct diagnostic *d, FILE *out, const char *mark, const char *off)
{
    const char *before = d->cut ? "..." : "";
    size_t at = d->column - 1 - d->cut, length = strlen(d->source);
    if (at > length)
        at = length;
    fprintf(out, "%s%s\n%*s", before, d->source, (int)strlen(before), "");
    for (size_t i = 0; i < at; i++)
        if (d->source[i] == '\t')
            fputc('\t', out);
        else if ((d->source[i] & 0xc0) != 0x80)
            fputc(' ', out);
    fprintf(out, "%s^", mark);
    size_t width = d->width < length - at ? d->width : length - at;
    for (unsigned n = columns(d->source + at, width); n > 1; n--)
        fputc('~', out);
    fprintf(out, "%s\n", off);
}

static void print_one(const struct diagnostic *d, FILE *out, bool color)
{
    const char *bold = color ? "\033[1m" : "", *mark = color ? "\033[1;31m" : "";
    const char *off = color ? "\033[0m" : "";
    fprintf(out, "%s%s:", bold, d->file);
    if (d->line)
        fprintf(out, "%u:%u:", d->line, d->column);
    fprintf(out, "%s ", off);
    if (*d->pointer)
        fprintf(out, "%s: ", d->pointer);
    fprintf(out, "%s", d->message);
    if (d->hint)
        fprintf(out, "; %s", d->hint);
    fputc('\n', out);
    if (d->source)
        print_source(d, out, mark, off);
}

void diagnostics_print(const struct diagnostics *list, FILE *out, bool color)
{
    for (unsigned i = 0; i < list->count; i++)
        print_one(&list->list[i], out, color);
}

static void print_string(FILE *out, const char *name, const char *text)
{
    fprintf(out, "\"%s\": ", name);
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ')
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    fputc('"', out);
}

void diagnostics_print_json(const struct diagnostics *list, FILE *out)
{
    fputs("[", out);
    for (unsigned i = 0; i < list->count; i++) {
        const struct diagnostic *d = &list->list[i];
        fputs(i ? ",\n  { " : "\n  { ", out);
        print_string(out, "file", d->file);
        fprintf(out, ", \"line\": %u, \"column\": %u, \"width\": %u, ", d->line, d->column,
                d->width);
        print_string(out, "pointer", d->pointer);
        fputs(", ", out);
        print_string(out, "message", d->message);
        fputs(", ", out);
        print_string(out, "hint", d->hint);
        fputs(" }", out);
    }
    fputs(list->count ? "\n]\n" : "]\n", out);
}
