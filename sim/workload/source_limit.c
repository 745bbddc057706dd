#include "sim/workload/source_limit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512 };

const struct limits NO_LIMITS = {.max = UINT64_MAX};

struct limited {
    struct source source;
    struct source *inner;
    struct limits limits;
    uint64_t told;      /* records handed out */
    uint64_t passed;    /* accesses handed out */
    uint64_t skip;      /* accesses still to be left out at the start */
    uint64_t phase;     /* where in a sample's period we stand */
    struct access held; /* one that seek read too far */
    bool holds;
};

static struct limited *limited_of(const struct source *source)
{
    return (struct limited *)source;
}

/* Whether the next access is handed out. */
static bool take_access(struct limited *l)
{
    if (l->skip) {
        l->skip--;
        return false;
    }
    bool sampled = !l->limits.every || l->phase < l->limits.sample;
    if (l->limits.every && ++l->phase == l->limits.every)
        l->phase = 0;
    l->passed += sampled;
    return sampled;
}

static bool check_width(const struct limited *l, const struct access *a, size_t n, struct err *err)
{
    for (size_t i = 0; l->limits.bits && i<n; i += a[i].op> OP_MODIFY ? 2 : 1)
        if (a[i].gva >> l->limits.bits)
            return err_set(err, EXIT_USAGE,
                           "address 0x%" PRIx64 " has more than the %u bits of this paging: choose "
                           "4-level or 5-level",
                           a[i].gva, l->limits.bits);
    return true;
}

/* Moves what is handed out to the front of the batch; returns how many that are. */
static size_t sift(struct limited *l, struct access *a, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n && l->passed < l->limits.max;) {
        size_t records = a[i].op > OP_MODIFY ? 2 : 1;
        if (records == 2 ? !l->limits.without_events : take_access(l)) {
            memmove(a + kept, a + i, records * sizeof *a);
            kept += records;
        }
        i += records;
    }
    return kept;
}

static size_t fill(struct source *source, struct access *out, size_t max, struct err *err)
{
    struct limited *l = limited_of(source);
    size_t kept = 0;
    if (l->holds) {
        l->holds = false;
        out[0] = l->held;
        l->told++;
        return 1;
    }
    while (!kept && l->passed < l->limits.max) {
        size_t n = l->inner->ops->fill(l->inner, out, max, err);
        if (!n || !check_width(l, out, n, err))
            break;
        kept = sift(l, out, n);
    }
    l->told += kept;
    return kept;
}

static uint64_t tell(const struct source *source)
{
    return limited_of(source)->told;
}

static void rewind_counts(struct limited *l)
{
    l->told = l->passed = l->phase = 0;
    l->skip = l->limits.skip;
    l->holds = false;
}

static bool seek(struct source *source, uint64_t record, struct err *err)
{
    struct limited *l = limited_of(source);
    struct access batch[BATCH];
    if (record < l->told) {
        if (!l->inner->ops->seek(l->inner, 0, err))
            return false;
        rewind_counts(l);
    }
    while (l->told < record) {
        uint64_t left = record - l->told;
        size_t n = fill(source, batch, left < 2 ? 2 : left < BATCH ? (size_t)left : BATCH, err);
        if (!n)
            return err->code ? false
                             : err_set(err, EXIT_USAGE, "the part of the trace ends before that");
    }
    if (l->told > record) { /* by one: asked for one access, it gave two */
        l->held = batch[1];
        l->holds = true;
        l->told--;
    }
    return true;
}

static double progress(const struct source *source)
{
    const struct limited *l = limited_of(source);
    double read = l->inner->ops->progress(l->inner);
    double passed = l->limits.max == UINT64_MAX || !l->limits.max
                        ? -1
                        : (double)l->passed / (double)l->limits.max;
    return read > passed ? read : passed;
}

static void release(struct source *source)
{
    struct limited *l = limited_of(source);
    l->inner->ops->free(l->inner);
    free(l);
}

static const struct source_ops OPS = {fill, tell, seek, progress, release};

struct source *source_limit(struct source *inner, const struct limits *limits)
{
    struct limited *l = calloc(1, sizeof *l);
    if (!l) {
        inner->ops->free(inner);
        return NULL;
    }
    l->source.ops = &OPS;
    l->inner = inner;
    l->limits = *limits;
    rewind_counts(l);
    return &l->source;
}
