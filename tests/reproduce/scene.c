/* Scenes: scenarios made, run and read. */
#include "tests/reproduce/scene.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run.h"

static void fail(const char *what)
{
    fprintf(stderr, "reproduce: %s\n", what);
    exit(EXIT_ENVIRONMENT);
}

static struct scene *build(struct scene *s, bool read, struct diagnostics *d)
{
    struct err err = {0};
    if (!read) {
        diagnostics_print(d, stderr, false);
        exit(EXIT_USAGE);
    }
    s->machine = machine_new(&s->scenario.machine, &err);
    if (!s->machine)
        fail(err.text);
    return s;
}

struct scene *scene_new(const char *format, ...)
{
    char text[4096];
    struct diagnostics d = {0};
    struct scene *s = calloc(1, sizeof *s);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!s || n < 0 || n >= (int)sizeof text)
        fail("a scene is too long");
    return build(s, scenario_parse(&s->scenario, "scene", text, (size_t)n, NULL, 0, &d), &d);
}

struct scene *scene_open(const char *path, const struct setting *settings, unsigned n_settings)
{
    struct diagnostics d = {0};
    struct scene *s = calloc(1, sizeof *s);
    if (!s)
        fail("no memory");
    return build(s, scenario_load(&s->scenario, path, settings, n_settings, &d), &d);
}

void scene_free(struct scene *s)
{
    stats_fini(&s->stats);
    machine_free(s->machine);
    scenario_free(&s->scenario);
    free(s);
}

static void keep(void *self, const struct walk *walk, bool refused)
{
    struct scene *s = self;
    if (!refused)
        s->walk = *walk;
}

const struct walk *scene_access(struct scene *s, gva_t gva, enum op op)
{
    bool raw = s->scenario.machine.vms[0].raw;
    struct outcome o = {0};
    struct script_item item = {
        .verb = VERB_access,
        .access = {gva, 8, (uint8_t)op, raw ? 0 : ACCESS_USER, 0, 0},
    };
    machine_explain(s->machine, &item, keep, s, &o);
    if (o.kind != OUTCOME_OK)
        fail("an access was refused");
    return &s->walk;
}

void scene_mov_cr0(struct scene *s, uint64_t value)
{
    struct outcome o = {0};
    struct script_item item = {.verb = VERB_mov_cr0, .has_value = true, .value = value};
    machine_do(s->machine, &item, &o);
    if (o.kind != OUTCOME_OK)
        fail("MOV to CR0 was refused");
}

const struct counts *scene_counts(struct scene *s)
{
    stats_fini(&s->stats);
    if (!stats_gather(&s->stats, s->machine, &s->scenario.machine, "scene"))
        fail("no memory");
    return &s->stats.total;
}

const struct counts *scene_run(struct scene *s)
{
    struct err err = {0};
    if (!run_scenario(&s->scenario, s->machine, NULL, &err))
        fail(err.text);
    return scene_counts(s);
}

double scene_cost(const struct counts *c)
{
    return (double)c->cycles / (double)c->accesses;
}

uint64_t scene_refs(const struct counts *c)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < SERVERS; i++)
        n += c->walks.served_by[i];
    return n;
}

char *scene_spell(const struct scene *s, char *text)
{
    const struct walk *w = &s->walk;
    unsigned group = 1, groups = 0, top = w->stage[0].format.levels;
    char *to = text;
    *to = 0;
    for (unsigned i = 0; i < w->refs; i++)
        groups += w->ref[i].depth == 0;
    for (unsigned i = 0; i < w->refs; i++) {
        const struct ref *r = &w->ref[i];
        unsigned host = w->stages > 1 ? w->stage[1].format.levels + 1u - r->level : 0;
        if (r->depth == 0)
            to += sprintf(to, "%s%u ", r->direct ? "S" : "G", top + 1 - r->level);
        else if (group <= groups)
            to += sprintf(to, "G%uH%u ", group, host);
        else
            to += sprintf(to, "UDH%u ", host);
        group += r->depth == 0;
    }
    return text;
}
