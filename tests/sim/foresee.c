/* Page replacement, seen from the outside: textbook reference strings and their known faults. */
#include <stdio.h>

#include "core/rng.h"
#include "tests/sim/run_support.h"

static const char *const policies[] = {"fifo", "lru", "opt", "clock"};

enum form { AS_SCRIPT, AS_LIST };

/* Page n of the string is the page at 0x400000 + n * 4096. */
static struct rig *paging(const char *policy, unsigned frames, const uint8_t *refs, unsigned n,
                          enum form form)
{
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"machine\":{\"profile\":\"textbook\",\"memory\":\"16MiB\"},\"vms\":[{"
            "\"memory\":\"8MiB\",\"guest\":{\"reclaim\":{\"policy\":\"%s\",\"frames\":%u}},"
            "\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":\"1MiB\"}]",
            policy, frames);
    fputs(form == AS_LIST ? ",\"workload\":{\"generator\":\"list\",\"addresses\":["
                          : "}]}],\"script\":[",
          page.file);
    for (unsigned i = 0; i < n; i++)
        fprintf(page.file,
                form == AS_LIST ? "%s\"0x%x\"" : "%s{\"do\":\"access\",\"gva\":\"0x%x\"}",
                i ? "," : "", 0x400000 + refs[i] * 4096);
    fputs(form == AS_LIST ? "]}}]}]}" : "]}", page.file);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    free(json);
    return rig;
}

static uint64_t faults(const char *policy, unsigned frames, const uint8_t *refs, unsigned n,
                       enum form form)
{
    struct rig *rig = paging(policy, frames, refs, n, form);
    struct stats stats;
    free(rig_run(rig));
    cr_assert(stats_gather(&stats, rig->machine, &rig->scenario.machine, "test"));
    uint64_t count = stats.total.paging.faults;
    cr_assert_eq(stats.total.paging.hits + count, n);
    cr_assert(stats.total.has_paging);
    stats_fini(&stats);
    rig_free(rig);
    return count;
}

/* Belady, Nelson, Shedler, CACM 12(6), 1969: more frames, more faults under FIFO. */
Test(foresee, beladys_string_faults_as_the_books_say)
{
    static const uint8_t refs[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
    static const uint64_t expected[][2] = {{9, 10}, {10, 8}, {7, 6}};
    for (unsigned p = 0; p < 3; p++)
        for (unsigned more = 0; more < 2; more++) {
            uint64_t script = faults(policies[p], 3 + more, refs, sizeof refs, AS_SCRIPT);
            uint64_t list = faults(policies[p], 3 + more, refs, sizeof refs, AS_LIST);
            cr_expect_eq(script, expected[p][more], "%s, %u frames: %llu", policies[p], 3 + more,
                         (unsigned long long)script);
            cr_expect_eq(list, script);
        }
}

/* Silberschatz, Galvin, Gagne, Operating System Concepts, chapter on virtual memory. */
Test(foresee, the_string_of_twenty_faults_as_the_books_say)
{
    static const uint8_t refs[] = {7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1};
    static const uint64_t expected[] = {15, 12, 9};
    for (unsigned p = 0; p < 3; p++) {
        cr_expect_eq(faults(policies[p], 3, refs, sizeof refs, AS_SCRIPT), expected[p]);
        cr_expect_eq(faults(policies[p], 3, refs, sizeof refs, AS_LIST), expected[p]);
    }
}

/* ---- plain simulations ---- */

enum { FRAMES_MAX = 16 };

struct plain {
    uint8_t page[FRAMES_MAX];
    bool used[FRAMES_MAX];
    unsigned n;
};

static unsigned plain_find(const struct plain *p, uint8_t page)
{
    unsigned i = 0;
    while (i < p->n && p->page[i] != page)
        i++;
    return i;
}

/* The clock: a hand over a circle of frames; a used page is passed over once. */
static uint64_t plain_clock(unsigned frames, const uint8_t *refs, unsigned n)
{
    struct plain p = {.n = 0};
    unsigned hand = 0;
    uint64_t count = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned at = plain_find(&p, refs[i]);
        if (at == p.n) {
            count++;
            if (p.n < frames) {
                p.n++;
            } else {
                for (; p.used[hand]; hand = (hand + 1) % frames)
                    p.used[hand] = false;
                at = hand;
                hand = (hand + 1) % frames;
            }
            p.page[at] = refs[i];
        }
        p.used[at] = true;
    }
    return count;
}

static unsigned next_use(const uint8_t *refs, unsigned n, unsigned from, uint8_t page)
{
    while (from < n && refs[from] != page)
        from++;
    return from;
}

static uint64_t plain_opt(unsigned frames, const uint8_t *refs, unsigned n)
{
    struct plain p = {.n = 0};
    uint64_t count = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned at = plain_find(&p, refs[i]);
        if (at < p.n)
            continue;
        count++;
        if (p.n < frames) {
            p.n++;
        } else {
            at = 0;
            for (unsigned f = 1; f < frames; f++)
                if (next_use(refs, n, i, p.page[f]) > next_use(refs, n, i, p.page[at]))
                    at = f;
        }
        p.page[at] = refs[i];
    }
    return count;
}

Test(foresee, clock_and_opt_agree_with_plain_simulations)
{
    enum { N = 600 };
    uint8_t refs[N];
    struct rng rng = {12};
    for (unsigned round = 0; round < 12; round++) {
        unsigned frames = 2 + round % 7, pages = frames + 1 + round % 5;
        for (unsigned i = 0; i < N; i++)
            refs[i] = (uint8_t)(rng_next(&rng) % pages);
        cr_expect_eq(faults("clock", frames, refs, N, AS_LIST), plain_clock(frames, refs, N),
                     "clock, %u frames of %u", frames, pages);
        cr_expect_eq(faults("opt", frames, refs, N, AS_LIST), plain_opt(frames, refs, N),
                     "opt, %u frames of %u", frames, pages);
        uint64_t fifo = faults("fifo", frames, refs, N, AS_LIST);
        cr_expect_geq(fifo, plain_opt(frames, refs, N));
    }
}

/* An access over a page edge touches two pages; refused accesses touch none. */
Test(foresee, counts_touches_of_pages_and_not_accesses)
{
    static const char text[] =
        "{\"version\":1,\"vms\":[{\"memory\":\"8MiB\",\"guest\":{\"reclaim\":{\"policy\":\"opt\","
        "\"frames\":2}},\"processes\":[{\"map\":[{\"gva\":\"0x400000\",\"size\":\"64KiB\"}],"
        "\"workload\":{\"generator\":\"list\",\"addresses\":[\"0x400000\",\"0x403000\"]}}]}],"
        "\"script\":[{\"do\":\"access\",\"gva\":\"0x400ffc\"},{\"do\":\"access\",\"gva\":\"0x0\"},"
        "{\"do\":\"access\",\"gva\":\"0x402000\"},"
        "{\"do\":\"access\",\"gva\":\"0x401000\",\"at\":1}]}";
    struct rig *rig = rig_new(text);
    struct stats stats;
    free(rig_run(rig));
    cr_assert(stats_gather(&stats, rig->machine, &rig->scenario.machine, "test"));
    /* Touches: 0 1, 2, 0, 1, 3. Two frames, best possible: 0 and 1 come in, 2 replaces 1 (0 is
     * used sooner), 1 replaces 2 or 0, 3 replaces another: five faults, one hit. */
    cr_expect_eq(stats.total.paging.hits, 1);
    cr_expect_eq(stats.total.paging.faults, 5);
    stats_fini(&stats);
    rig_free(rig);
}

Test(foresee, refuses_what_depends_on_clocks)
{
    static const char *const texts[] = {
        "{\"version\":1,\"vms\":[{\"vcpus\":2,\"guest\":{\"reclaim\":{\"policy\":\"opt\","
        "\"frames\":2}},\"processes\":[{},{}]}]}",
        "{\"version\":1,\"vms\":[{\"guest\":{\"reclaim\":{\"policy\":\"opt\",\"frames\":2}},"
        "\"processes\":[{\"map\":[{\"gva\":\"0x0\",\"size\":\"4KiB\"}]}]}],"
        "\"script\":[{\"do\":\"access\",\"gva\":\"0x0\",\"at\":\"1us\"}]}",
    };
    static const char *const words[] = {"several vCPUs", "placed by time"};
    for (unsigned i = 0; i < 2; i++) {
        struct scenario scenario;
        struct diagnostics diagnostics = {0};
        struct err err = {0};
        cr_assert(
            scenario_parse(&scenario, "test", texts[i], strlen(texts[i]), NULL, 0, &diagnostics));
        struct machine *m = machine_new(&scenario.machine, &err);
        cr_assert(m != NULL, "%s", err.text);
        cr_expect_not(run_foresee(&scenario, m, &err));
        cr_expect_eq(err.code, EXIT_USAGE);
        cr_expect(strstr(err.text, words[i]) != NULL, "%s", err.text);
        machine_free(m);
        scenario_free(&scenario);
        diagnostics_free(&diagnostics);
    }
}
