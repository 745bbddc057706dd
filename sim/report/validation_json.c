/* Validation as data, each of them one line. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/report/json_out.h"
#include "sim/report/validation.h"

static void pair(FILE *out, const char *key, const char *text)
{
    fputs(", ", out);
    json_key(out, key);
    if (text)
        json_string(out, text);
    else
        fputs("null", out);
}

static void print_environment(const struct environment *e, FILE *out)
{
    fprintf(out, "\"driver\": ");
    json_string(out, e->driver);
    pair(out, "kernel", e->kernel);
    pair(out, "machine", e->machine);
    fprintf(
        out, ", \"technique\": \"%s\", \"emulates_supervisor\": %s, \"maxphyaddr\": %u, \"has\": [",
        e->nested ? "nested" : "shadow", e->emulates_supervisor ? "true" : "false", e->maxphyaddr);
    const char *before = "";
#define X(name)                                                                                    \
    if (e->has.name) {                                                                             \
        fprintf(out, "%s\"%s\"", before, #name);                                                   \
        before = ", ";                                                                             \
    }
    GUEST_FEATURES(X)
#undef X
    fputs("], \"masks\": [", out);
    before = "";
    for (enum mask m = 0; m < MASK_COUNT; m++)
        if (e->mask[m]) {
            fprintf(out, "%s\"%s\"", before, mask_name(m));
            before = ", ";
        }
    fputs("]", out);
}

void environment_print_json(const struct environment *e, FILE *out)
{
    fputs("{ \"schema\": \"nestwalk/environment/1\", ", out);
    print_environment(e, out);
    fputs(" }\n", out);
}

static void print_compared(const struct verdict *v, FILE *out)
{
    fprintf(out, ", \"accesses\": %" PRIu64 ", \"compared\": [", v->accesses);
    for (enum aspect a = 0; a < ASPECT_COUNT; a++) {
        fprintf(out, "%s{ \"aspect\": \"%s\", \"compared\": %" PRIu64 ", \"differ\": %" PRIu64,
                a ? ", " : "", aspect_name(a), v->compared[a], v->differing[a]);
        pair(out, "skipped", v->skipped[a]);
        fputs(" }", out);
    }
    fputs("], \"masks\": [", out);
    for (enum mask m = 0; m < MASK_COUNT; m++)
        fprintf(out, "%s{ \"mask\": \"%s\", \"in_reach\": %" PRIu64 ", \"explains\": %" PRIu64 " }",
                m ? ", " : "", mask_name(m), v->in_reach[m], v->masked[m]);
    fputs("]", out);
}

static void print_differences(const struct validation *v, FILE *out)
{
    char place[160];
    fputs(", \"differences\": [", out);
    for (unsigned i = 0; i < v->verdict->n_first; i++) {
        const struct difference *d = &v->verdict->first[i];
        fprintf(out, "%s{ \"aspect\": \"%s\", \"at\": \"0x%" PRIx64 "\"", i ? ", " : "",
                aspect_name(d->aspect), d->at);
        pair(out, "place", difference_place(v->scenario, d, place, sizeof place));
        pair(out, "model", d->model);
        pair(out, "kvm", d->kvm);
        fputs(" }", out);
    }
    fputs("]", out);
}

/* The walk's own JSON, on one line: line feeds stand only between its values. */
static void print_walk(const struct walk_report *walk, FILE *out)
{
    char *text = NULL;
    size_t length = 0;
    FILE *lines = open_memstream(&text, &length);
    if (!lines)
        return;
    walk_report_json(walk, false, lines);
    if (!fclose(lines)) {
        fputs(", \"walk\": ", out);
        for (size_t i = 0; i < length; i++)
            if (text[i] != '\n')
                fputc(text[i], out);
    }
    free(text);
}

void validation_print_json(const struct validation *v, FILE *out)
{
    fputs("{ \"schema\": \"nestwalk/validation/1\", \"scenario\": ", out);
    json_string(out, v->name);
    pair(out, "mode", mode_name(v->scenario->machine.vms[0].mode));
    pair(out, "second_stage", validation_second_stage(v));
    fputs(", \"environment\": { ", out);
    print_environment(v->environment, out);
    fputs(" }", out);
    pair(out, "verdict", validation_verdict(v));
    pair(out, "why", v->cannot ? v->cannot : v->failure);
    if (v->verdict) {
        print_compared(v->verdict, out);
        print_differences(v, out);
    }
    if (v->walk)
        print_walk(v->walk, out);
    fputs(" }\n", out);
}
