/**
 * @file
 * Parts of traces, and their replay: in one go, step by step, from a clone, all the same.
 */
#include "sim/replay.h"
#include "sim/scenario/scenario.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char SHIPPED[] = "scenarios/traces/gzip.nwtrace.xz";

/* ---- a source in memory: accesses numbered by their addresses, an event after each tenth ---- */

enum { ACCESSES = 1000, EVENTS = ACCESSES / 10, RECORDS = ACCESSES + 2 * EVENTS };

struct numbered {
    struct source source;
    uint64_t told;
    struct access record[RECORDS];
};

static size_t fill(struct source *source, struct access *out, size_t max, struct err *err)
{
    struct numbered *s = (struct numbered *)source;
    size_t n = 0;
    (void)err;
    while (s->told < RECORDS) {
        size_t records = s->record[s->told].op > OP_MODIFY ? 2 : 1;
        if (n + records > max)
            break;
        memcpy(out + n, s->record + s->told, records * sizeof *out);
        n += records;
        s->told += records;
    }
    return n;
}

static uint64_t tell(const struct source *source)
{
    return ((const struct numbered *)source)->told;
}

static bool seek(struct source *source, uint64_t record, struct err *err)
{
    (void)err;
    ((struct numbered *)source)->told = record;
    return true;
}

static double progress(const struct source *source)
{
    return (double)tell(source) / RECORDS;
}

static void release(struct source *source)
{
    free(source);
}

static const struct source_ops OPS = {fill, tell, seek, progress, release};

static struct source *limited(struct limits limits)
{
    struct numbered *s = calloc(1, sizeof *s);
    size_t at = 0;
    cr_assert(s);
    s->source.ops = &OPS;
    for (unsigned i = 0; i < ACCESSES; i++) {
        s->record[at++] = (struct access){.gva = i, .size = 1, .op = OP_READ};
        if (i % 10 == 9) {
            struct operand operand = {.length = 4096};
            s->record[at++] = (struct access){.gva = i, .size = 1, .op = OP_UNMAP};
            memcpy(&s->record[at++], &operand, sizeof operand);
        }
    }
    struct source *source = source_limit(&s->source, &limits);
    cr_assert(source);
    return source;
}

struct seen {
    uint64_t accesses, events, first, last;
};

static struct seen read_all(struct source *source)
{
    struct access batch[64];
    struct seen seen = {.first = UINT64_MAX};
    struct err err = {0};
    size_t n;
    while ((n = source->ops->fill(source, batch, 64, &err)) > 0)
        for (size_t i = 0; i < n; i++) {
            if (batch[i].op > OP_MODIFY) {
                seen.events++;
                i++;
                continue;
            }
            seen.first = seen.accesses++ ? seen.first : batch[i].gva;
            seen.last = batch[i].gva;
        }
    cr_expect_eq(err.code, EXIT_OK);
    source->ops->free(source);
    return seen;
}

static void expect_seen(struct limits limits, struct seen expected)
{
    struct seen seen = read_all(limited(limits));
    cr_expect_eq(seen.accesses, expected.accesses);
    cr_expect_eq(seen.events, expected.events);
    cr_expect_eq(seen.first, expected.first);
    cr_expect_eq(seen.last, expected.last);
}

Test(source_limit, no_limits_are_all_of_it)
{
    expect_seen(NO_LIMITS, (struct seen){ACCESSES, EVENTS, 0, ACCESSES - 1});
}

Test(source_limit, skip_leaves_out_accesses_and_lets_events_through)
{
    expect_seen((struct limits){.skip = 105, .max = UINT64_MAX},
                (struct seen){ACCESSES - 105, EVENTS, 105, ACCESSES - 1});
}

Test(source_limit, max_ends_it_with_the_last_access)
{
    expect_seen((struct limits){.max = 110}, (struct seen){110, 10, 0, 109});
    expect_seen((struct limits){.skip = 100, .max = 5}, (struct seen){5, 10, 100, 104});
}

Test(source_limit, samples_are_the_first_of_each_period)
{
    expect_seen((struct limits){.max = UINT64_MAX, .sample = 3, .every = 100},
                (struct seen){30, EVENTS, 0, 902});
    expect_seen((struct limits){.skip = 50, .max = 4, .sample = 3, .every = 100},
                (struct seen){4, 15, 50, 150});
}

Test(source_limit, events_can_be_left_out)
{
    expect_seen((struct limits){.max = UINT64_MAX, .without_events = true},
                (struct seen){ACCESSES, 0, 0, ACCESSES - 1});
}

Test(source_limit, seeking_anywhere_gives_what_reading_gives)
{
    struct limits limits = {.skip = 7, .max = 600, .sample = 9, .every = 11};
    struct access all[RECORDS], batch[2];
    struct err err = {0};
    size_t n = 0, got;
    struct source *source = limited(limits);
    while ((got = source->ops->fill(source, all + n, RECORDS - n, &err)) > 0)
        n += got;
    for (size_t i = 0; i < n; i += 1 + i % 13) {
        if (i && all[i - 1].op > OP_MODIFY)
            continue; /* the second half of an event */
        size_t to = (i * 7919) % n;
        to += to && all[to - 1].op > OP_MODIFY;
        cr_assert(source->ops->seek(source, to, &err), "%s", err.text);
        cr_assert_eq(source->ops->tell(source), to);
        got = source->ops->fill(source, batch, 2, &err);
        cr_expect_eq(memcmp(batch, all + to, got * sizeof *all), 0, "record %zu", to);
        cr_expect_eq(source->ops->tell(source), to + got);
    }
    cr_expect_not(source->ops->seek(source, n + 1, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    source->ops->free(source);
}

/* ---- replay ---- */

static struct replay opened(struct replay *r, bool populate, uint64_t max)
{
    static struct scenario host;
    struct diagnostics wrong = {0};
    struct err err = {0};
    const char *const traces[] = {SHIPPED};
    struct replay_options options = {.traces = traces,
                                     .n_traces = 1,
                                     .limits = NO_LIMITS,
                                     .paging = PAGING_4_LEVEL,
                                     .populate = populate};
    options.limits.max = max;
    cr_assert(machine_load(&host, "skylake-sp", &wrong));
    cr_assert(replay_open(r, &host.machine, &options, NULL, &err), "%s", err.text);
    return *r;
}

static struct tally finished(struct replay *r, uint64_t step)
{
    struct tally sum;
    struct err err = {0};
    while (replay_run(r, step, &err))
        ;
    cr_assert_eq(err.code, EXIT_OK, "%s", err.text);
    machine_tally(r->machine, 0, &sum);
    replay_close(r);
    return sum;
}

static void expect_same(const struct tally *a, const struct tally *b)
{
    cr_expect_eq(a->cycles, b->cycles);
    for (unsigned i = 0; i < EVENT_SLOTS; i++)
        cr_expect_eq(a->count[i], b->count[i], "slot %u", i);
}

Test(replay, steps_of_any_size_end_the_same)
{
    struct replay r;
    opened(&r, false, 100000);
    struct tally whole = finished(&r, UINT64_MAX);
    static const uint64_t steps[] = {1, 7, 4096};
    for (unsigned i = 0; i < 3; i++) {
        opened(&r, false, 100000);
        struct tally stepped = finished(&r, steps[i]);
        expect_same(&whole, &stepped);
    }
}

Test(replay, a_clone_taken_on_the_way_ends_as_the_original_does)
{
    struct replay r;
    struct err err = {0};
    struct tally a, b;
    opened(&r, false, 100000);
    cr_assert(replay_run(&r, 43210, &err));
    struct machine *clone = machine_clone(r.machine);
    cr_assert(clone);
    while (machine_run(r.machine, 1000) > 0) /* both draw on one source, by turns */
        cr_assert(!clone->finished ? machine_run(clone, 777) > 0 || clone->finished : true);
    while (!clone->finished && !clone->err.code)
        machine_run(clone, 777);
    machine_tally(r.machine, 0, &a);
    machine_tally(clone, 0, &b);
    expect_same(&a, &b);
    machine_free(clone);
    replay_close(&r);
}

Test(replay, what_is_populated_at_the_start_never_faults)
{
    struct replay r;
    opened(&r, true, UINT64_MAX);
    uint64_t pages = r.populated;
    struct tally sum = finished(&r, UINT64_MAX);
    cr_expect_gt(pages, 100);
    cr_expect_eq(tally_total(&sum, EVENT_FAULT), 0);
    cr_expect_eq(tally_total(&sum, EVENT_GUEST_STORE), 0);
    cr_expect_eq(tally_total(&sum, EVENT_WALK_RETRIED), 0);
    cr_expect_gt(tally_total(&sum, EVENT_ACCESS), 2000000);
}

Test(replay, the_shipped_trace_is_whole)
{
    struct replay r;
    struct err err = {0};
    opened(&r, false, UINT64_MAX);
    while (replay_run(&r, 1 << 20, &err))
        ;
    struct trace_report report = replay_report(&r);
    cr_expect_eq(report.errors, 0);
    cr_expect_eq(report.events, 18);
    cr_expect_not(report.truncated);
    cr_expect_eq(r.machine->signals, 0);
    replay_close(&r);
}
