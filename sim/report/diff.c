#include "sim/report/diff.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "sim/report/json_out.h"

/* ---- reading ---- */

/* The next line that isn't blank, or NULL at the end. */
static bool next_line(struct diff_side *s, struct err *err)
{
    for (;;) {
        errno = 0;
        ssize_t n = getline(&s->buffer, &s->room, s->file);
        s->line = n < 0 ? NULL : s->buffer;
        if (n < 0)
            return !ferror(s->file) || err_set(err, EXIT_USAGE, "%s: %s", s->path,
                                               errno ? strerror(errno) : "input error");
        s->number++;
        if (strlen(s->line) != (size_t)n)
            return err_set(err, EXIT_USAGE, "%s:%" PRIu64 ": no text: it holds a zero byte",
                           s->path, s->number);
        while (n && strchr("\r\n \t", s->line[n - 1]))
            s->line[--n] = 0;
        if (n)
            return true;
    }
}

static cJSON *parse(const struct diff_side *s, struct err *err)
{
    cJSON *json = cJSON_ParseWithOpts(s->line, NULL, true);
    if (!cJSON_IsObject(json)) {
        err_set(err, EXIT_USAGE, "%s:%" PRIu64 ": no JSON object; logs and outcomes are JSON lines",
                s->path, s->number);
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

static bool has(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(json, key) != NULL;
}

/* What a file is, by its first line. */
static bool find_kind(const struct diff_side *s, bool *events, struct err *err)
{
    cJSON *json = parse(s, err);
    if (!json)
        return false;
    *events = has(json, "event");
    bool known = *events || (has(json, "i") && (has(json, "outcome") || has(json, "dump")));
    cJSON_Delete(json);
    return known || err_set(err, EXIT_USAGE,
                            "%s: neither a log of events (run --events) nor outcomes "
                            "(run --outcomes): its first line has no \"event\", \"outcome\" or "
                            "\"dump\"",
                            s->path);
}

/* A file without lines is of either kind: a script without items has no outcomes. */
static bool begin(struct diff *d, struct err *err)
{
    bool events[2] = {false, false};
    for (unsigned i = 0; i < 2; i++)
        if (!next_line(&d->side[i], err) ||
            (d->side[i].line && !find_kind(&d->side[i], &events[i], err)))
            return false;
    d->events = events[0] || events[1];
    return events[0] == events[1] || !d->side[0].line || !d->side[1].line ||
           err_set(err, EXIT_USAGE, "%s is a log of events and %s outcomes: two of a kind compare",
                   d->side[!events[0]].path, d->side[events[0]].path);
}

/* ---- comparing ---- */

/* Whether two lines that are not the same bytes say the same. */
static bool say_same(struct diff *d, bool *same, struct err *err)
{
    cJSON *a = parse(&d->side[0], err), *b = a ? parse(&d->side[1], err) : NULL;
    *same = a && b && cJSON_Compare(a, b, true);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return a && b;
}

static void forget_context(struct diff *d, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        free(d->context[i]);
    d->n_context -= n;
    d->first += n;
    memmove(d->context, d->context + n, d->n_context * sizeof *d->context);
}

static bool keep_context(struct diff *d)
{
    const char *line = d->side[0].line;
    if (strstr(line, "\"event\":\"access\""))
        forget_context(d, d->n_context);
    else if (d->n_context == DIFF_CONTEXT)
        forget_context(d, 1);
    if (!d->n_context)
        d->first = d->side[0].number;
    return (d->context[d->n_context++] = strdup(line)) != NULL;
}

bool diff_read(struct diff *d, FILE *a, const char *path_a, FILE *b, const char *path_b,
               const volatile int *stop, struct err *err)
{
    *d = (struct diff){.side = {{.path = path_a, .file = a}, {.path = path_b, .file = b}}};
    if (!begin(d, err))
        return false;
    for (;;) {
        const char *x = d->side[0].line, *y = d->side[1].line;
        d->same = !x && !y;
        if (!x || !y)
            return true;
        bool same = !strcmp(x, y);
        if (!same && !say_same(d, &same, err))
            return false;
        if (!same)
            return true;
        if (stop && *stop)
            return err_set(err, EXIT_NO,
                           "interrupted; no difference in the first %" PRIu64 " lines",
                           d->side[0].number);
        if (d->events && !keep_context(d))
            return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
        if (!next_line(&d->side[0], err) || !next_line(&d->side[1], err))
            return false;
    }
}

void diff_fini(struct diff *d)
{
    forget_context(d, d->n_context);
    free(d->side[0].buffer);
    free(d->side[1].buffer);
}

/* ---- which fields ---- */

struct field {
    const char *name;
    char *a, *b; /* as JSON; NULL: not there */
};

static void each_field(const struct diff *d, void (*take)(void *self, const struct field *),
                       void *self)
{
    cJSON *json[2];
    for (unsigned i = 0; i < 2; i++)
        json[i] = d->side[i].line ? cJSON_Parse(d->side[i].line) : NULL;
    for (unsigned i = 0; json[0] && json[1] && i < 2; i++)
        for (const cJSON *own = json[i]->child; own; own = own->next) {
            const cJSON *other = cJSON_GetObjectItemCaseSensitive(json[!i], own->string);
            if ((i && other) || (other && cJSON_Compare(own, other, true)))
                continue;
            char *texts[2] = {NULL, NULL};
            texts[i] = cJSON_PrintUnformatted(own);
            texts[!i] = other ? cJSON_PrintUnformatted(other) : NULL;
            take(self, &(struct field){own->string, texts[0], texts[1]});
            free(texts[0]);
            free(texts[1]);
        }
    cJSON_Delete(json[0]);
    cJSON_Delete(json[1]);
}

/* ---- printing ---- */

/* Lines of a dump are long: no more than this of a value is shown to people. */
enum { SHOWN = 60 };

static void table_field(void *self, const struct field *f)
{
    const char *a = f->a ? f->a : "(none)", *b = f->b ? f->b : "(none)";
    fprintf(self, "  %-12s %.*s%s  |  %.*s%s\n", f->name, SHOWN, a, strlen(a) > SHOWN ? "..." : "",
            SHOWN, b, strlen(b) > SHOWN ? "..." : "");
}

/* What the detail of an exit, or of a hypervisor's work, stands for; NULL: any other's. */
static const char *detail_help(const char *event, const char *detail)
{
    for (unsigned i = 0; !strcmp(event, event_name(EVENT_EXIT)) && i < EXIT_REASON_COUNT; i++)
        if (!strcmp(detail, exit_reason_name((enum exit_reason)i)))
            return exit_reason_help((enum exit_reason)i);
    for (unsigned i = 0; !strcmp(event, event_name(EVENT_WORK)) && i < WORK_COUNT; i++)
        if (!strcmp(detail, work_name((enum work)i)))
            return work_help((enum work)i);
    return NULL;
}

/* What an event of the log is; NULL: a line of something else. */
static const char *event_words(const char *line)
{
    cJSON *json = line ? cJSON_Parse(line) : NULL;
    const char *event = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "event"));
    const char *detail = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "detail"));
    const char *words = event && detail ? detail_help(event, detail) : NULL;
    for (unsigned kind = 0; event && !words && kind < EVENT_KINDS; kind++)
        if (!strcmp(event, event_name((enum event_kind)kind)))
            words = event_help((enum event_kind)kind);
    cJSON_Delete(json);
    return words;
}

static void table_side(const struct diff_side *s, FILE *out)
{
    const char *words = event_words(s->line);
    if (s->line)
        fprintf(out, "%s:%" PRIu64 ": %.200s%s\n", s->path, s->number, s->line,
                strlen(s->line) > 200 ? "..." : "");
    else
        fprintf(out, "%s ends after line %" PRIu64 "\n", s->path, s->number);
    if (words)
        fprintf(out, "  (%s)\n", words);
}

void diff_print_table(const struct diff *d, FILE *out)
{
    const char *what = d->events ? "events" : "outcomes";
    if (d->same) {
        fprintf(out, "no difference: %" PRIu64 " lines of %s\n", d->side[0].number, what);
        return;
    }
    if (d->n_context)
        fprintf(out, "the same in both, from line %" PRIu64 " of %s on:\n", d->first,
                d->side[0].path);
    for (unsigned i = 0; i < d->n_context; i++)
        fprintf(out, "  %s\n", d->context[i]);
    fprintf(out, "%sfirst difference of %s:\n", d->n_context ? "\n" : "", what);
    table_side(&d->side[0], out);
    table_side(&d->side[1], out);
    if (d->side[0].line && d->side[1].line)
        fprintf(out, "\nfields that differ (%s | %s):\n", d->side[0].path, d->side[1].path);
    each_field(d, table_field, out);
}

struct fields {
    FILE *out;
    unsigned n;
    const struct diff *diff;
};

static void json_field(void *self, const struct field *f)
{
    struct fields *fields = self;
    fprintf(fields->out, "%s\n    { \"name\": ", fields->n++ ? "," : "");
    json_string(fields->out, f->name);
    fprintf(fields->out, ", \"a\": %s, \"b\": %s }", f->a ? f->a : "null", f->b ? f->b : "null");
}

void diff_print_json(const struct diff *d, FILE *out)
{
    struct fields fields = {.out = out};
    fprintf(out, "{\n  \"schema\": \"nestwalk/diff/1\",\n  \"kind\": \"%s\",\n  \"same\": %s,\n",
            d->events ? "events" : "outcomes", d->same ? "true" : "false");
    for (unsigned i = 0; i < 2; i++) {
        const struct diff_side *s = &d->side[i];
        fprintf(out, "  \"%c\": { \"file\": ", 'a' + (char)i);
        json_string(out, s->path);
        fprintf(out, ", \"line\": %" PRIu64 ", \"text\": %s },\n", s->number,
                s->line && !d->same ? s->line : "null");
        const char *words = d->same ? NULL : event_words(s->line);
        if (words) {
            fprintf(out, "  \"%c_is\": ", 'a' + (char)i);
            json_string(out, words);
            fputs(",\n", out);
        }
    }
    fputs("  \"fields\": [", out);
    if (!d->same)
        each_field(d, json_field, &fields);
    fprintf(out, "%s],\n  \"context\": [", fields.n ? "\n  " : "");
    for (unsigned i = 0; !d->same && i < d->n_context; i++)
        fprintf(out, "%s\n    %s", i ? "," : "", d->context[i]);
    fputs(!d->same && d->n_context ? "\n  ]\n}\n" : "]\n}\n", out);
}

static void csv_value(FILE *out, const char *json)
{
    fputs(",\"", out);
    for (; json && *json; json++)
        fprintf(out, *json == '"' ? "\"\"" : "%c", *json);
    fputc('"', out);
}

static void csv_field(void *self, const struct field *f)
{
    struct fields *fields = self;
    fprintf(fields->out, "%" PRIu64 ",%" PRIu64, fields->diff->side[0].number,
            fields->diff->side[1].number);
    csv_value(fields->out, f->name);
    csv_value(fields->out, f->a);
    csv_value(fields->out, f->b);
    fputc('\n', fields->out);
}

void diff_print_csv(const struct diff *d, FILE *out)
{
    struct fields fields = {.out = out, .diff = d};
    fputs("line_a,line_b,field,a,b\n", out);
    if (d->same)
        return;
    each_field(d, csv_field, &fields);
    if (!d->side[0].line || !d->side[1].line)
        csv_field(&fields, &(struct field){"", d->side[0].line, d->side[1].line});
}
