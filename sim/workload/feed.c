#include "sim/workload/feed.h"

#include <string.h>

void feed_init(struct feed *f, const struct process_config *config, uint16_t process, uint64_t seed,
               struct source *const *traces, struct zipf *const *zipfs)
{
    memset(f, 0, offsetof(struct feed, batch));
    f->config = config;
    f->traces = traces;
    f->zipfs = zipfs;
    f->seed = seed;
    f->process = process;
}

/* How many of @p n records come before access number @p most; all, if there are fewer accesses. */
static size_t records_before(const struct access *a, size_t n, uint64_t most, uint64_t *accesses)
{
    size_t i = 0;
    while (i < n && (a[i].op > OP_MODIFY || *accesses < most)) {
        *accesses += a[i].op <= OP_MODIFY;
        i += a[i].op > OP_MODIFY ? 2 : 1;
    }
    return i;
}

/* The source may have been read by a clone since: it goes back to where this feed stands. */
static size_t fill_from_trace(struct feed *f, struct source *trace, struct err *err)
{
    uint64_t most = f->config->phases[f->phase].generator.accesses;
    if (most && f->accesses >= most)
        return 0;
    if (trace->ops->tell(trace) != f->record && !trace->ops->seek(trace, f->record, err))
        return 0;
    size_t n = trace->ops->fill(trace, f->batch, FEED_BATCH, err);
    f->record += n;
    return most ? records_before(f->batch, n, most, &f->accesses) : n;
}

static size_t fill_from_generator(struct feed *f)
{
    if (!f->begun) {
        struct generator_spec spec = f->config->phases[f->phase].generator;
        struct rng seeds = {f->seed + f->phase};
        spec.process = 0; /* as in traces: the feed's own process is its number 0 */
        spec.seed = rng_next(&seeds);
        generator_init(&f->generator, &spec, f->zipfs[f->phase]);
        f->begun = true;
    }
    return generator_fill(&f->generator, f->batch, FEED_BATCH);
}

bool feed_fill(struct feed *f, struct err *err)
{
    while (f->at == f->n && f->phase < f->config->n_phases) {
        struct source *trace = f->traces[f->phase];
        f->at = 0;
        f->n = (unsigned)(trace ? fill_from_trace(f, trace, err) : fill_from_generator(f));
        if (err->code)
            return false;
        if (!f->n) {
            f->phase++;
            f->begun = false;
            f->record = f->accesses = 0;
        }
    }
    return f->at < f->n;
}
