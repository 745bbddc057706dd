#include "sim/cli/pump.h"

#include <string.h>
#include <time.h>

enum { BATCH = 4096 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Counts, and moves what is kept to the front; returns how many records that are. */
static size_t sift(const struct pump *p, struct access *a, size_t n, struct pumped *sum)
{
    size_t kept = 0;
    for (size_t i = 0; i < n;) {
        size_t records = a[i].op > OP_MODIFY ? 2 : 1;
        if (!p->without_fetches || a[i].op != OP_EXEC) {
            sum->events += records == 2;
            sum->accesses += records == 2 ? 0 : a[i].op == OP_MODIFY ? 2 : 1;
            if (kept != i)
                memmove(a + kept, a + i, records * sizeof *a);
            kept += records;
        }
        i += records;
    }
    return kept;
}

static bool copy_all(const struct pump *p, struct progress *progress, struct pumped *sum,
                     struct err *err)
{
    struct access batch[BATCH];
    size_t n;
    while ((n = p->source->ops->fill(p->source, batch, BATCH, err)) > 0) {
        n = sift(p, batch, n, sum);
        if (!trace_writer_put(p->writer, batch, n, err))
            return false;
        if (cli_interrupted && !p->until_end)
            return err_set(err, EXIT_NO, "interrupted; nothing is written");
        progress_update(progress, sum->accesses, p->source->ops->progress(p->source));
    }
    return !err->code && trace_writer_ids(p->writer, p->source, err);
}

bool pump_run(const struct pump *p, const struct cli *cli, struct pumped *sum, struct err *err)
{
    struct progress progress;
    double start = now();
    *sum = (struct pumped){0};
    progress_start(&progress, cli, "accesses");
    bool done = copy_all(p, &progress, sum, err);
    progress_end(&progress);
    sum->seconds = now() - start;
    sum->report = *trace_report(p->source);
    return done;
}
