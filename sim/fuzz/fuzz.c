#include "sim/fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/fuzz/shrink.h"

enum {
    ASKED_MOST = 3000,
    GRIEF_MOST = 12 /* tries of a shrunk program that end the judge's guest: each may take long */
};

struct environment fuzz_everything(void)
{
    struct environment e = {.nested = true, .maxphyaddr = 46};
#define X(name) e.has.name = true;
    GUEST_FEATURES(X)
#undef X
    return e;
}

/* What a fuzzer doesn't compare. */
static void leave_out(struct observation *seen)
{
    seen->has_order = seen->has_dirty = seen->has_counts = false;
}

static void say_difference(const struct fuzz *f, const struct difference *d, char *words,
                           size_t room)
{
    const char *place = d->aspect == ASPECT_outcome ? "script item" : aspect_name(d->aspect);
    snprintf(words, room,
             d->aspect == ASPECT_outcome ? "%s %" PRIu64 ": model %s; %s %s"
                                         : "%s at 0x%" PRIx64 ": model %s; %s %s",
             place, d->at, d->model, f->judge->name, d->kvm);
}

/* The judge's guest may come to grief over a program: that is a difference too. */
static bool judge(const struct fuzz *f, const struct scenario *s, struct observation *seen,
                  struct fuzz_finding *finding, struct err *err)
{
    struct err grief = {0};
    if (f->judge->run(f->judge, s, seen, &grief))
        return true;
    finding->differs = finding->grief = grief.code == EXIT_NO;
    snprintf(finding->words, sizeof finding->words, "%.280s", grief.text);
    if (!finding->differs)
        *err = grief;
    return false;
}

static void compare(const struct fuzz *f, const struct scenario *s, const struct observation *model,
                    const struct observation *seen, struct fuzz_tally *tally,
                    struct fuzz_finding *finding)
{
    struct verdict verdict;
    compare_observations(s, f->environment, model, NULL, seen, &verdict);
    finding->differs = !verdict_agrees(&verdict);
    if (finding->differs)
        say_difference(f, &verdict.first[0], finding->words, sizeof finding->words);
    if (tally)
        fuzz_tally_add(tally, s, model, &verdict);
}

bool fuzz_try_scenario(const struct fuzz *f, const struct scenario *s, struct fuzz_tally *tally,
                       struct fuzz_finding *finding, struct err *err)
{
    struct observation model = {0}, seen = {0};
    *finding = (struct fuzz_finding){0};
    bool ran = backend_model.run(&backend_model, s, &model, err);
    if (ran && judge(f, s, &seen, finding, err)) {
        leave_out(&model);
        compare(f, s, &model, &seen, tally, finding);
    }
    observation_fini(&model);
    observation_fini(&seen);
    return ran && !err->code;
}

bool fuzz_try(const struct fuzz *f, const struct fuzz_program *program, struct fuzz_tally *tally,
              struct fuzz_finding *finding, struct err *err)
{
    struct fuzz_scenario *s = malloc(sizeof *s);
    if (!s)
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    program_scenario(program, f->profile, f->mode, s);
    bool tried = fuzz_try_scenario(f, &s->scenario, tally, finding, err);
    free(s);
    return tried;
}

/* ---- shrinking ---- */

struct shrinking {
    const struct fuzz *fuzz;
    unsigned griefs;
};

static bool still_differs(void *self, const struct fuzz_program *program)
{
    struct shrinking *s = self;
    struct fuzz_finding finding;
    struct err err = {0};
    if (s->griefs == GRIEF_MOST || (s->fuzz->stop && *s->fuzz->stop))
        return false;
    bool differs = fuzz_try(s->fuzz, program, NULL, &finding, &err) && finding.differs;
    s->griefs += finding.grief;
    return differs;
}

unsigned fuzz_shrink(const struct fuzz *f, struct fuzz_program *program,
                     struct fuzz_finding *finding)
{
    struct shrinking s = {f, 0};
    struct shown shown = {still_differs, &s};
    struct err err = {0};
    unsigned asked = shrink(program, f->environment, &shown, ASKED_MOST);
    fuzz_try(f, program, NULL, finding, &err);
    return asked;
}
