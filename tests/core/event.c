#include "core/event.h"
#include "core/rng.h"

#include <criterion/criterion.h>
#include <string.h>

/* One row per slot, written out from the same table that the counters come from. */
struct row {
    struct event event;
    unsigned slot;
    unsigned cost; /* enum cost as the table has it */
};

static unsigned rows(struct row *row)
{
    unsigned n = 0;
#define X(k, name, depths, levels, details, cost, help)                                            \
    for (unsigned d = 0; d < (depths); d++)                                                        \
        for (unsigned l = 0; l < (levels); l++)                                                    \
            for (unsigned x = 0; x < (details); x++)                                               \
                row[n++] = (struct row){{.kind = EVENT_##k,                                        \
                                         .depth = (uint8_t)d,                                      \
                                         .level = (uint8_t)l,                                      \
                                         .detail = (uint8_t)x},                                    \
                                        SLOT(k, d, l, x),                                          \
                                        COST_##cost};
    EVENTS(X)
#undef X
    return n;
}

/* Prices that are all different. */
static void prices(uint32_t *cost)
{
    for (unsigned i = 0; i < COST_COUNT; i++)
        cost[i] = 100 + 7 * i;
}

Test(event, every_slot_has_exactly_one_kind_depth_level_and_detail)
{
    static struct row row[EVENT_SLOTS];
    unsigned used[EVENT_SLOTS] = {0};
    cr_assert_eq(rows(row), EVENT_SLOTS);
    for (unsigned i = 0; i < EVENT_SLOTS; i++) {
        cr_assert_lt(row[i].slot, EVENT_SLOTS);
        used[row[i].slot]++;
    }
    for (unsigned i = 0; i < EVENT_SLOTS; i++)
        cr_assert_eq(used[i], 1);
}

Test(event, the_slot_of_a_record_is_the_slot_it_was_counted_in)
{
    static struct row row[EVENT_SLOTS];
    for (unsigned i = 0, n = rows(row); i < n; i++)
        cr_assert_eq(event_slot(&row[i].event), row[i].slot);
}

Test(event, a_slot_has_the_price_that_the_table_names)
{
    static const enum cost by_server[SERVERS] = {COST_l1, COST_l2, COST_llc, COST_memory,
                                                 COST_structure_cache};
    static const enum cost by_reason[] = {
#define X(name, cost, help) COST_##cost,
        EXIT_REASONS(X)};
    static const enum cost by_work[] = {WORKS(X)
#undef X
    };
    static struct row row[EVENT_SLOTS];
    static struct tally t;
    uint32_t cost[COST_COUNT];
    prices(cost);
    tally_init(&t, cost, 0);
    for (unsigned i = 0, n = rows(row); i < n; i++) {
        unsigned detail = row[i].event.detail;
        unsigned from = row[i].cost == COST_by_server   ? by_server[detail]
                        : row[i].cost == COST_by_reason ? by_reason[detail]
                        : row[i].cost == COST_by_work   ? by_work[detail]
                                                        : row[i].cost;
        cr_assert_eq(t.price[row[i].slot], from == COST_none ? 0 : cost[from]);
    }
}

Test(event, every_price_is_charged_by_something)
{
    bool charged[COST_COUNT] = {0};
    static struct tally t;
    uint32_t cost[COST_COUNT];
    prices(cost);
    tally_init(&t, cost, 0);
    for (unsigned i = 0; i < EVENT_SLOTS; i++)
        for (unsigned c = 0; c < COST_COUNT; c++)
            charged[c] |= t.price[i] == cost[c];
    for (unsigned c = 0; c < COST_COUNT; c++)
        cr_assert(charged[c], "%s", cost_name(c));
}

/* A sink that keeps what the tests ask for. */
struct log {
    uint64_t count[EVENT_SLOTS];
    struct event last;
    uint64_t records;
};

static void keep(void *self, const struct event *event)
{
    struct log *log = self;
    log->count[event_slot(event)]++;
    log->last = *event;
    log->records++;
}

/* The same random notes every time. */
static void notes(struct tally *t, unsigned n)
{
    static struct row row[EVENT_SLOTS];
    struct rng rng = {11};
    rows(row);
    while (n--) {
        struct row *pick = &row[rng_below(&rng, EVENT_SLOTS)];
        pick->event.address = rng_next(&rng);
        note(t, pick->slot, pick->event);
    }
}

Test(event, counters_and_clock_are_the_same_with_and_without_a_sink)
{
    static struct tally quiet, watched;
    static struct log log;
    const struct sink sink = {keep, &log};
    uint32_t cost[COST_COUNT];
    prices(cost);
    tally_init(&quiet, cost, 1);
    tally_init(&watched, cost, 1);
    watched.sink = &sink;
    notes(&quiet, 100000);
    notes(&watched, 100000);
    cr_assert_gt(quiet.cycles, 0);
    cr_assert_eq(quiet.cycles, watched.cycles);
    cr_assert_eq(memcmp(quiet.count, watched.count, sizeof quiet.count), 0);
}

Test(event, recorded_events_add_up_to_the_counters_and_the_clock)
{
    static struct tally t;
    static struct log log;
    const struct sink sink = {keep, &log};
    uint32_t cost[COST_COUNT];
    cycles_t cycles = 0;
    prices(cost);
    tally_init(&t, cost, 1);
    t.sink = &sink;
    notes(&t, 100000);
    cr_assert_eq(log.records, 100000);
    cr_assert_eq(memcmp(log.count, t.count, sizeof t.count), 0);
    for (unsigned i = 0; i < EVENT_SLOTS; i++)
        cycles += log.count[i] * t.price[i];
    cr_assert_eq(cycles, t.cycles);
    cr_assert_eq(log.last.time, t.cycles);
}

Test(event, a_record_carries_everything_that_note_was_told)
{
    static struct tally t;
    static struct log log;
    const struct sink sink = {keep, &log};
    uint32_t cost[COST_COUNT];
    prices(cost);
    tally_init(&t, cost, 7);
    t.sink = &sink;
    NOTE(&t, ACCESS, 0, 0, 1, 0x1000, 2);
    NOTE(&t, REF, 2, 4, SERVED_LLC, UINT64_C(0xfedcba9876543210), UINT64_MAX);
    const struct event expected = {.time = cost[COST_access] + cost[COST_llc],
                                   .address = UINT64_C(0xfedcba9876543210),
                                   .value = UINT64_MAX,
                                   .vcpu = 7,
                                   .kind = EVENT_REF,
                                   .depth = 2,
                                   .level = 4,
                                   .detail = SERVED_LLC};
    cr_assert_eq(memcmp(&log.last, &expected, sizeof expected), 0);
    cr_assert_eq(t.count[SLOT(REF, 2, 4, SERVED_LLC)], 1);
}

Test(event, totals_are_sums_over_the_slots_of_a_kind)
{
    static struct tally t;
    uint64_t sum = 0, all = 0;
    uint32_t cost[COST_COUNT] = {0};
    tally_init(&t, cost, 0);
    notes(&t, 10000);
    for (unsigned d = 0; d < 3; d++)
        for (unsigned l = 0; l < 6; l++)
            for (unsigned x = 0; x < SERVERS; x++)
                sum += t.count[SLOT(REF, d, l, x)];
    cr_assert_eq(tally_total(&t, EVENT_REF), sum);
    for (enum event_kind k = 0; k < EVENT_KINDS; k++)
        all += tally_total(&t, k);
    cr_assert_eq(all, 10000);
}

Test(event, tallies_add_up_and_reset_keeps_the_prices)
{
    static struct tally a, b;
    uint32_t cost[COST_COUNT];
    prices(cost);
    tally_init(&a, cost, 0);
    tally_init(&b, cost, 1);
    notes(&a, 1000);
    notes(&b, 1000);
    tally_add(&a, &b);
    cr_assert_eq(a.cycles, 2 * b.cycles);
    for (unsigned i = 0; i < EVENT_SLOTS; i++)
        cr_assert_eq(a.count[i], 2 * b.count[i]);
    tally_reset(&a);
    cr_assert_eq(a.cycles, 0);
    cr_assert_eq(tally_total(&a, EVENT_REF), 0);
    notes(&a, 1000);
    cr_assert_eq(a.cycles, b.cycles);
}

Test(event, kinds_and_costs_have_names_of_their_own_and_help)
{
    for (enum event_kind k = 0; k < EVENT_KINDS; k++) {
        cr_assert(*event_name(k) && *event_help(k));
        for (enum event_kind other = 0; other < k; other++)
            cr_assert_str_neq(event_name(k), event_name(other));
    }
    for (enum cost c = 0; c < COST_COUNT; c++) {
        cr_assert(*cost_name(c) && *cost_help(c));
        for (enum cost other = 0; other < c; other++)
            cr_assert_str_neq(cost_name(c), cost_name(other));
    }
    for (enum server s = 0; s < SERVERS; s++)
        cr_assert(*server_name(s));
    for (enum tlb_name t = 0; t < TLBS; t++)
        cr_assert(*tlb_name(t));
    for (enum refusal_kind r = 0; r < REFUSALS; r++)
        cr_assert(*refusal_name(r));
}
