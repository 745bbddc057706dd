#include "sim/cli/sweep_rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report/csv_out.h"
#include "sim/report/json_out.h"
#include "sim/scenario/storage.h"

/* ---- reading name,value ---- */

/* A field as it stands, quotes included. */
struct field {
    const char *text;
    size_t length;
};

static struct field take_field(const char **at)
{
    const char *p = *at, *start = p;
    if (*p == '"') {
        for (p++; *p && (*p != '"' || p[1] == '"'); p++)
            p += *p == '"';
        p += *p == '"';
    } else {
        p += strcspn(p, ",\n");
    }
    *at = p + (*p != 0);
    return (struct field){start, (size_t)(p - start)};
}

static bool take_pair(const char **at, struct field *name, struct field *value)
{
    if (!**at)
        return false;
    *name = take_field(at);
    *value = take_field(at);
    return true;
}

/* Without its quotes; malloc'd. */
static char *plain(struct field f)
{
    char *text = grow(NULL, f.length + 1);
    size_t n = 0;
    bool quoted = f.length && f.text[0] == '"';
    for (size_t i = quoted; i + quoted < f.length; i++) {
        text[n++] = f.text[i];
        i += quoted && f.text[i] == '"';
    }
    text[n] = 0;
    return text;
}

/* ---- columns ---- */

/* The first is that of errors, which is printed where there are any. */
struct columns {
    char **names; /* as they stand in CSV */
    unsigned n;
};

static void insert(struct columns *c, unsigned at, struct field name)
{
    c->names = grow(c->names, (c->n + 1) * sizeof *c->names);
    memmove(c->names + at + 1, c->names + at, (c->n - at) * sizeof *c->names);
    c->names[at] = strndup(name.text, name.length);
    c->n++;
}

/* The column of a name, most likely @p at; c->n: none. */
static unsigned find(const struct columns *c, struct field name, unsigned at)
{
    for (unsigned i = 0; i < c->n; i++) {
        unsigned column = (at + i) % c->n;
        if (!strncmp(c->names[column], name.text, name.length) && !c->names[column][name.length])
            return column;
    }
    return c->n;
}

/* A name that no run before had comes behind the one that it follows here. */
static void add_names(struct columns *c, const char *row)
{
    struct field name, value;
    for (unsigned at = 1; take_pair(&row, &name, &value); at++) {
        unsigned column = find(c, name, at);
        if (column == c->n)
            insert(c, at, name);
        else
            at = column;
    }
}

static bool gather(struct rows *r, struct columns *c, struct err *err)
{
    static const char error[] = ROWS_ERROR ",";
    insert(c, 0, (struct field){ROWS_ERROR, strlen(ROWS_ERROR)});
    r->failed = 0;
    for (unsigned i = 0; i < r->journal->n; i++) {
        char *row = journal_get(r->journal, i, err);
        if (!row)
            return false;
        r->failed += !strncmp(row, error, strlen(error));
        add_names(c, row);
        free(row);
    }
    return true;
}

/* ---- writing ---- */

static void csv_row(const struct rows *r, const struct columns *c, const struct field *cells,
                    const struct setting *settings, FILE *out)
{
    for (unsigned i = 0; i < r->axes->n; i++) {
        csv_field(out, settings[i].value);
        fputc(',', out);
    }
    for (unsigned i = !r->failed; i < c->n; i++)
        fprintf(out, "%.*s,", (int)cells[i].length, cells[i].length ? cells[i].text : "");
    fprintf(out, "%016" PRIx64 "\n", r->fingerprint);
}

static void csv_header(const struct rows *r, const struct columns *c, FILE *out)
{
    for (unsigned i = 0; i < r->axes->n; i++) {
        csv_field(out, r->axes->list[i].pointer);
        fputc(',', out);
    }
    for (unsigned i = !r->failed; i < c->n; i++)
        fprintf(out, "%s,", c->names[i]);
    fputs("fingerprint\n", out);
}

/* Digits, perhaps with a point, and no zero before them. */
static bool is_number(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    const char *rest = text + whole;
    if (!whole || (whole > 1 && *text == '0'))
        return false;
    return !*rest || (*rest == '.' && rest[1] && !rest[1 + strspn(rest + 1, "0123456789")]);
}

static void json_row(const struct rows *r, const struct columns *c, const struct field *cells,
                     const struct setting *settings, FILE *out)
{
    fputc('{', out);
    for (unsigned i = 0; i < r->axes->n; i++) {
        json_key(out, settings[i].pointer);
        json_string(out, settings[i].value);
        fputs(", ", out);
    }
    for (unsigned i = !r->failed; i < c->n; i++) {
        char *name = plain((struct field){c->names[i], strlen(c->names[i])});
        char *value = plain(cells[i]);
        json_key(out, name);
        if (!cells[i].length)
            fputs("null", out);
        else if (is_number(value))
            fputs(value, out);
        else
            json_string(out, value);
        fputs(", ", out);
        free(name);
        free(value);
    }
    fprintf(out, "\"fingerprint\": \"%016" PRIx64 "\"}", r->fingerprint);
}

static void print_row(const struct rows *r, const struct columns *c, unsigned row, const char *text,
                      FILE *out)
{
    struct field *cells = grow(NULL, c->n * sizeof *cells), name, value;
    struct setting settings[AXES_MAX];
    memset(cells, 0, c->n * sizeof *cells);
    for (unsigned at = 1; take_pair(&text, &name, &value); at++) {
        unsigned column = find(c, name, at);
        assert(column < c->n); /* gather has met it */
        cells[at = column] = value;
    }
    axes_settings(r->axes, row, settings);
    (r->format == FORMAT_JSON ? json_row : csv_row)(r, c, cells, settings, out);
    free(cells);
}

static bool print_all(struct rows *r, const struct columns *c, FILE *out, struct err *err)
{
    bool json = r->format == FORMAT_JSON;
    if (json)
        fputs("[\n", out);
    else
        csv_header(r, c, out);
    for (unsigned i = 0; i < r->journal->n; i++) {
        char *text = journal_get(r->journal, i, err);
        if (!text)
            return false;
        if (json && i)
            fputs(",\n", out);
        print_row(r, c, i, text, out);
        free(text);
    }
    if (json)
        fputs("\n]\n", out);
    return true;
}

bool rows_print(struct rows *r, FILE *out, struct err *err)
{
    struct columns columns = {0};
    bool good = gather(r, &columns, err) && print_all(r, &columns, out, err);
    for (unsigned i = 0; i < columns.n; i++)
        free(columns.names[i]);
    free(columns.names);
    return good;
}

/* ---- recognizing ---- */

bool rows_are_in(struct rows *r, FILE *file)
{
    char mark[24], tail[40], *line = NULL;
    size_t room = 0;
    bool json = r->format == FORMAT_JSON;
    snprintf(mark, sizeof mark, "%016" PRIx64 "%s", r->fingerprint, json ? "\"}\n]\n" : "\n");
    size_t length = strlen(mark);
    if (fseek(file, -(long)length, SEEK_END) || fread(tail, 1, length, file) != length ||
        memcmp(tail, mark, length))
        return false;
    rewind(file);
    for (int lines = json ? 2 : 1; lines--;) /* the names are in the first, of JSON in the second */
        if (getline(&line, &room, file) < 0)
            break;
    r->failed = line && strstr(line, json ? ", \"" ROWS_ERROR "\": " : "," ROWS_ERROR ",");
    free(line);
    return true;
}
