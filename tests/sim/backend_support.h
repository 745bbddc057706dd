/*
 * What the tests of backends share: a raw VM with 64 pages, runs of it, and comparisons of what was
 * seen.
 */
#ifndef TESTS_SIM_BACKEND_SUPPORT_H
#define TESTS_SIM_BACKEND_SUPPORT_H

#include "sim/backend/compare.h"
#include "tests/sim/run_support.h"

/* Tables at 0x1000 to 0x4000; page n is frame 16 + n, and a user may write it; A and D are clear.
 * But for: 60 not there, 61 read-only, 62 the supervisor's own, 63 with a reserved bit; and page
 * 59 is the lowest table. Entry 256 of the top table leads to the same pages. */
static inline char *raw_vm(const char *mode, const char *script)
{
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"machine\":{\"override\":{\"maxphyaddr\":40}},\"vms\":[{\"mode\":"
            "\"%s\",\"memory\":\"1MiB\",\"registers\":{\"cr3\":\"0x1000\",\"cr4\":\"0x200020\"},"
            "\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2007\"]},{\"gpa\":\"0x1800\",\"u64\":["
            "\"0x2007\"]},{\"gpa\":\"0x2000\",\"u64\":[\"0x3007\"]},{\"gpa\":\"0x3000\",\"u64\":["
            "\"0x4007\"]},{\"gpa\":\"0x4000\",\"u64\":[",
            mode);
    for (unsigned n = 0; n < 59; n++)
        fprintf(page.file, "\"0x%x\",", (16 + n) << 12 | 7);
    fprintf(page.file,
            "\"0x4007\",\"0x0\",\"0x50005\",\"0x51003\",\"0x200000052007\"]}]}],"
            "\"script\":[%s]}",
            script);
    return page_close(&page);
}

#define READ(page, cpl) "{\"do\":\"access\",\"gva\":\"" #page "000\",\"cpl\":" #cpl "}"
#define WRITE(page, cpl, value)                                                                    \
    "{\"do\":\"access\",\"op\":\"write\",\"gva\":\"" #page "000\",\"cpl\":" #cpl                   \
    ",\"value\":\"" #value "\"}"
#define STORE(gpa, value) "{\"do\":\"store\",\"gpa\":\"" #gpa "\",\"value\":\"" #value "\"}"
#define INVLPG(page)      "{\"do\":\"invlpg\",\"gva\":\"" #page "000\"}"

/* What two backends see of one scenario. */
struct sighting {
    struct rig *rig;
    struct observation seen, cold;
};

static inline void run_backend(struct backend *backend, const struct scenario *s,
                               struct observation *seen)
{
    struct err err = {0};
    cr_assert(backend->run(backend, s, seen, &err), "%s", err.text);
}

/* Runs it warm and cold; takes the text. */
static inline struct sighting sight(char *json)
{
    struct sighting s = {.rig = rig_new(json)};
    free(json);
    run_backend(&backend_model, &s.rig->scenario, &s.seen);
    run_backend(&backend_cold_model, &s.rig->scenario, &s.cold);
    return s;
}

static inline struct sighting sight_raw(const char *mode, const char *script)
{
    return sight(raw_vm(mode, script));
}

static inline void sighting_fini(struct sighting *s)
{
    observation_fini(&s->seen);
    observation_fini(&s->cold);
    rig_free(s->rig);
}

/* An environment of the technique of the scenario's mode, in which @mask applies (or none). */
static inline struct environment environment_for(const struct scenario *s, enum mask mask)
{
    struct environment e = {.nested = s->machine.vms[0].mode == MODE_NESTED};
    if (mask < MASK_COUNT)
        e.mask[mask] = true;
    return e;
}

static inline struct verdict judge(const struct sighting *model, const struct observation *kvm,
                                   enum mask mask)
{
    struct verdict v;
    struct environment e = environment_for(&model->rig->scenario, mask);
    compare_observations(&model->rig->scenario, &e, &model->seen, &model->cold, kvm, &v);
    return v;
}

static inline void expect_agrees(const struct verdict *v, const char *what)
{
    cr_expect(verdict_agrees(v), "%s: %s at 0x%lx: model %s, other %s", what,
              v->n_first ? aspect_name(v->first[0].aspect) : "", v->n_first ? v->first[0].at : 0,
              v->n_first ? v->first[0].model : "", v->n_first ? v->first[0].kvm : "");
}

#endif
