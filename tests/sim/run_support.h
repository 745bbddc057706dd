/* What the tests of runs share: a machine from JSON text, and what a writer prints as a string. */
#ifndef TESTS_SIM_RUN_SUPPORT_H
#define TESTS_SIM_RUN_SUPPORT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report/lines.h"
#include "sim/report/stats.h"
#include "sim/run.h"
#include "sim/scenario/scenario.h"

struct rig {
    struct scenario scenario;
    struct machine *machine;
};

/* A machine as the text has it, ready to run. */
static inline struct rig *rig_new(const char *json)
{
    struct rig *rig = calloc(1, sizeof *rig); /* the machine borrows the scenario: it stays put */
    struct diagnostics diagnostics = {0};
    struct err err = {0};
    bool good = scenario_parse(&rig->scenario, "test", json, strlen(json), NULL, 0, &diagnostics);
    cr_assert(good, "%s: %s\n%s", good ? "" : diagnostics.list[0].pointer,
              good ? "" : diagnostics.list[0].message, json);
    diagnostics_free(&diagnostics);
    rig->machine = machine_new(&rig->scenario.machine, &err);
    cr_assert(rig->machine != NULL, "%s", err.text);
    cr_assert(run_foresee(&rig->scenario, rig->machine, &err), "%s", err.text);
    return rig;
}

static inline void rig_free(struct rig *rig)
{
    machine_free(rig->machine);
    scenario_free(&rig->scenario);
    free(rig);
}

/* A stream into memory, and then its text, to be freed. */
struct page {
    FILE *file;
    char *text;
    size_t length;
};

static inline void page_open(struct page *p)
{
    p->file = open_memstream(&p->text, &p->length);
    cr_assert(p->file != NULL);
}

static inline char *page_close(struct page *p)
{
    fclose(p->file);
    return p->text;
}

static inline void rig_outcome(void *self, unsigned index, const struct script_item *item,
                               const struct outcome *o, const struct machine *m)
{
    outcome_print(index, item, o, m, self);
}

/* Runs to the end; the outcome lines. */
static inline char *rig_run(struct rig *rig)
{
    struct page page;
    struct err err = {0};
    page_open(&page);
    struct run_hooks hooks = {rig_outcome, NULL, page.file};
    cr_assert(run_scenario(&rig->scenario, rig->machine, &hooks, &err), "%s", err.text);
    return page_close(&page);
}

/* The statistics as a writer prints them. */
static inline char *rig_stats(struct rig *rig, void (*print)(const struct stats *, FILE *))
{
    struct page page;
    struct stats stats;
    cr_assert(stats_gather(&stats, rig->machine, &rig->scenario.machine, "test"));
    page_open(&page);
    print(&stats, page.file);
    stats_fini(&stats);
    return page_close(&page);
}

#endif
