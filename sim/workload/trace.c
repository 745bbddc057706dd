/**
 * @file
 * Opens traces: the formats there are, finding out which it is, and the source that hands out what
 * the format's reader makes of the file.
 */
#include "sim/workload/trace_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SNIFF_LINES = 64, /* which a format recognizes or not, before it is judged */
    SKIP_BATCH = 1024,
};

static const struct format *const FORMATS[TRACE_FORMATS] = {
    [TRACE_LACKEY] = &FORMAT_LACKEY,         [TRACE_DIN] = &FORMAT_DIN,
    [TRACE_DINERO] = &FORMAT_DINERO,         [TRACE_CHAMPSIM] = &FORMAT_CHAMPSIM,
    [TRACE_DRMEMTRACE] = &FORMAT_DRMEMTRACE, [TRACE_PINATRACE] = &FORMAT_PINATRACE,
    [TRACE_PERF_MEM] = &FORMAT_PERF_MEM,     [TRACE_DECIMAL] = &FORMAT_DECIMAL,
    [TRACE_COMPACT] = &FORMAT_COMPACT,
};

const char *trace_format_name(enum trace_format format)
{
    assert(format < TRACE_FORMATS);
    return format == TRACE_AUTO ? "auto" : FORMATS[format]->name;
}

bool trace_format_named(const char *name, enum trace_format *format)
{
    for (enum trace_format f = TRACE_AUTO; f < TRACE_FORMATS; f++)
        if (strcmp(name, trace_format_name(f)) == 0) {
            *format = f;
            return true;
        }
    return false;
}

/* ---- finding out the format ---- */

/** Lines taken less lines refused, of the first ones that are not noise. */
struct score {
    int taken, refused;
};

static void score_lines(struct trace *scratch, const char *p, const char *end, struct score *score)
{
    while (p < end && score->taken + score->refused < SNIFF_LINES) {
        const char *newline = memchr(p, '\n', (size_t)(end - p) + 1);
        if (!newline)
            return;
        scratch->out = scratch->queue;
        const char *stop = newline - (newline > p && newline[-1] == '\r');
        enum parse parse = scratch->format->parse(scratch, p, stop);
        score->taken += parse == PARSE_TAKEN;
        score->refused += parse == PARSE_BAD;
        p = newline + 1;
    }
}

/** Parses the first lines as if they were of this format. */
static bool try_format(const struct format *format, const char *p, const char *end,
                       struct score *score)
{
    struct trace *scratch = calloc(1, sizeof *scratch);
    if (!scratch)
        return false;
    scratch->format = format;
    scratch->state = calloc(1, format->state_bytes + 1);
    if (scratch->state)
        score_lines(scratch, p, end, score);
    trace_forget(scratch);
    free(scratch->state);
    free(scratch);
    return true;
}

static enum trace_format detect_text(struct trace *t, size_t n)
{
    enum trace_format best = TRACE_AUTO;
    struct score most = {0, 0};
    const char *p = (const char *)t->buffer;
    bool whole = t->ended && n == t->have;
    if (whole)
        t->buffer[n] = '\n';
    for (enum trace_format f = TRACE_AUTO + 1; f < TRACE_FORMATS; f++) {
        struct score score = {0, 0};
        if (!FORMATS[f]->parse || FORMATS[f]->unit_bytes)
            continue;
        if (!try_format(FORMATS[f], p, p + n - !whole, &score) || score.taken == 0)
            continue;
        if (best == TRACE_AUTO || score.taken - score.refused > most.taken - most.refused) {
            best = f;
            most = score;
        }
    }
    return best;
}

static enum trace_format detect(struct trace *t)
{
    size_t n = t->have < SNIFF_BYTES ? t->have : SNIFF_BYTES;
    for (enum trace_format f = TRACE_AUTO + 1; f < TRACE_FORMATS; f++)
        if (FORMATS[f]->looks && FORMATS[f]->looks(t, t->buffer, n, t->ended && n == t->have))
            return f;
    return detect_text(t, n);
}

static bool no_accesses(struct trace *t, struct err *err)
{
    return err_set(err, EXIT_USAGE, "%s: no accesses; record the program again",
                   stream_name(t->stream));
}

static bool settle_format(struct trace *t, struct err *err)
{
    trace_need(t, SNIFF_BYTES);
    if (t->have == 0) {
        if (!t->failure.code)
            return no_accesses(t, err);
        *err = t->failure;
        return false;
    }
    enum trace_format format = t->options.format ? t->options.format : detect(t);
    if (format == TRACE_AUTO)
        return err_set(err, EXIT_USAGE,
                       "%s: cannot tell the format by how it begins; name it with --input-format: "
                       "lackey, din, dinero, champsim, drmemtrace, pinatrace, perf-mem, decimal or "
                       "compact",
                       stream_name(t->stream));
    t->format = FORMATS[format];
    t->report.format = format;
    t->state = calloc(1, t->format->state_bytes + 1);
    return t->state || err_set(err, EXIT_ENVIRONMENT, "out of memory");
}

/* ---- the source ---- */

static struct trace *trace_of(const struct source *source)
{
    return (struct trace *)source;
}

/** Parses into @p out, at least until there is a record; false at the end or failure. */
static bool produce(struct trace *t, struct access *out, struct access *limit)
{
    t->out = out;
    t->limit = limit;
    if (t->failure.code)
        return false;
    return t->format->fill ? t->format->fill(t) : trace_parse(t);
}

/** The end, or the error, once the records before it are handed out. */
static void conclude(struct trace *t, struct err *err)
{
    if (!t->failure.code && !t->finished) {
        t->finished = true;
        if (t->format->finish)
            t->format->finish(t);
    }
    if (!t->failure.code && t->told == 0)
        no_accesses(t, &t->failure);
    if (t->failure.code)
        *err = t->failure;
}

/** Hands out of the queue, and no event without its operand. */
static size_t take_queued(struct trace *t, struct access *out, size_t max)
{
    size_t n = 0;
    while (t->queue_at < t->queue_have) {
        size_t records = t->queue[t->queue_at].op >= OP_MAP ? 2 : 1;
        if (n + records > max)
            break;
        memcpy(out + n, t->queue + t->queue_at, records * sizeof *out);
        n += records;
        t->queue_at += records;
    }
    return n;
}

static size_t fill(struct source *source, struct access *out, size_t max, struct err *err)
{
    struct trace *t = trace_of(source);
    assert(max >= 2);
    bool queued = t->queue_at < t->queue_have;
    size_t n = 0;
    if (queued || max < ROOM) {
        if (!queued) {
            produce(t, t->queue, t->queue);
            t->queue_at = 0;
            t->queue_have = (size_t)(t->out - t->queue);
        }
        n = take_queued(t, out, max);
    } else {
        produce(t, out, out + max - ROOM);
        n = (size_t)(t->out - out);
    }
    if (n == 0)
        conclude(t, err);
    t->told += n;
    return n;
}

static uint64_t tell(const struct source *source)
{
    return trace_of(source)->told;
}

static bool skip_to(struct trace *t, uint64_t record, struct err *err)
{
    struct access batch[SKIP_BATCH];
    while (t->told < record) {
        uint64_t left = record - t->told;
        size_t max = left < SKIP_BATCH ? (size_t)left : SKIP_BATCH;
        if (fill(&t->source, batch, max < 2 ? 2 : max, err) == 0)
            break;
    }
    if (err->code)
        return false;
    if (t->told < record)
        return err_set(err, EXIT_USAGE, "%s: cannot go to record %" PRIu64 "; it has %" PRIu64,
                       stream_name(t->stream), record, t->told);
    return true;
}

/** One step back in the queue: with room for two records, fill may have given one too many. */
static bool land(struct trace *t, uint64_t record, struct err *err)
{
    if (t->told == record)
        return true;
    t->told--;
    t->queue_at--;
    if (t->queue_at == 0 || t->queue[t->queue_at - 1].op < OP_MAP)
        return true;
    return err_set(err, EXIT_USAGE, "%s: record %" PRIu64 " is the second half of an event",
                   stream_name(t->stream), record);
}

static bool seek(struct source *source, uint64_t record, struct err *err)
{
    struct trace *t = trace_of(source);
    if (record < t->told && !trace_restart(t, err))
        return false;
    bool hops = t->format->skip && t->queue_at == t->queue_have && record > t->told;
    if (hops && !t->format->skip(t, record)) {
        *err = t->failure;
        return false;
    }
    return skip_to(t, record, err) && land(t, record, err);
}

static double progress(const struct source *source)
{
    return stream_progress(trace_of(source)->stream);
}

static void release(struct source *source)
{
    struct trace *t = trace_of(source);
    trace_forget(t);
    stream_free(t->stream);
    free(t->state);
    free(t->buffer);
    free(t);
}

static const struct source_ops OPS = {fill, tell, seek, progress, release};

struct source *trace_open(const char *path, const struct trace_options *options, struct err *err)
{
    struct trace *t = calloc(1, sizeof *t);
    if (t)
        t->buffer = malloc(BUFFER_BYTES + 1);
    if (!t || !t->buffer) {
        err_set(err, EXIT_ENVIRONMENT, "%s: out of memory", path);
        free(t);
        return NULL;
    }
    t->source.ops = &OPS;
    t->options = *options;
    t->stream = stream_open(path, err);
    if (!t->stream || !settle_format(t, err)) {
        release(&t->source);
        return NULL;
    }
    return &t->source;
}

const struct trace_report *trace_report(const struct source *source)
{
    struct trace *t = trace_of(source);
    t->report.processes = t->processes.count;
    t->report.threads = t->threads.count;
    return &t->report;
}

uint64_t trace_process_id(const struct source *source, uint16_t process)
{
    const struct ids *ids = &trace_of(source)->processes;
    return process < ids->count ? ids->id[process] : 0;
}

uint64_t trace_thread_id(const struct source *source, uint16_t thread)
{
    const struct ids *ids = &trace_of(source)->threads;
    return thread < ids->count ? ids->id[thread] & low_bits(48) : 0;
}
