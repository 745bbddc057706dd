#include "sim/workload/generator.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096 };

static struct generator_spec spec_of(enum pattern pattern, uint64_t pages)
{
    return (struct generator_spec){.pattern = pattern,
                                   .base = 0x400000,
                                   .length = pages * PAGE,
                                   .page = PAGE,
                                   .accesses = 1000,
                                   .size = 8,
                                   .process = 3,
                                   .flags = ACCESS_USER,
                                   .stride = 64,
                                   .theta = 0.9,
                                   .hot = 4 * PAGE,
                                   .hot_share = 0.9,
                                   .rights = RIGHT_READ | RIGHT_WRITE | RIGHT_USER,
                                   .seed = 0x5eed};
}

/* A generator and what it borrows. */
struct fixture {
    struct generator generator;
    struct zipf *zipf;
};

static struct fixture start(const struct generator_spec *spec)
{
    struct fixture f = {.zipf = NULL};
    if (spec->pattern == PATTERN_ZIPF)
        f.zipf = zipf_new(spec->length / spec->page, spec->theta);
    generator_init(&f.generator, spec, f.zipf);
    return f;
}

/* All records of a spec, drawn in batches of @p batch; the caller frees them. */
static struct access *all(const struct generator_spec *spec, size_t batch, size_t *count)
{
    size_t most = spec->accesses * GENERATOR_BURST, n = 0, got;
    struct access *records = malloc((most + batch) * sizeof *records);
    struct fixture f = start(spec);
    while ((got = generator_fill(&f.generator, records + n, batch)))
        n += got;
    free(f.zipf);
    cr_assert_leq(n, most);
    *count = n;
    return records;
}

/* Only for specs without events. */
static struct access *accesses(const struct generator_spec *spec)
{
    size_t n;
    struct access *records = all(spec, 256, &n);
    cr_assert_eq(n, spec->accesses);
    return records;
}

static uint64_t page_of(const struct generator_spec *spec, const struct access *access)
{
    return (access->gva - spec->base) / spec->page;
}

/* How often each page of the map is accessed. */
static uint64_t *histogram(const struct generator_spec *spec)
{
    uint64_t *count = calloc(spec->length / spec->page, sizeof *count);
    struct access *a = accesses(spec);
    for (uint64_t i = 0; i < spec->accesses; i++)
        count[page_of(spec, &a[i])]++;
    free(a);
    return count;
}

/* Pearson's statistic less its mean (n - 1), in standard deviations (sqrt(2 (n - 1))). */
static double surprise(const uint64_t *count, const double *expected, uint64_t n)
{
    double chi_square = 0;
    for (uint64_t i = 0; i < n; i++)
        chi_square += pow((double)count[i] - expected[i], 2) / expected[i];
    double freedom = (double)n - 1;
    return (chi_square - freedom) / sqrt(2 * freedom);
}

static bool near(double value, double expected, double tolerance)
{
    return fabs(value - expected) <= tolerance;
}

Test(generator, every_pattern_has_the_name_that_scenarios_use)
{
    static const char *const names[PATTERNS] = {
        "sequential", "uniform", "zipf", "pointer-chase", "gups", "working-set", "list"};
    for (enum pattern p = 0; p < PATTERNS; p++)
        cr_assert_str_eq(pattern_name(p), names[p]);
}

Test(generator, an_access_carries_size_flags_and_process_and_ends_after_the_last)
{
    struct generator_spec spec = spec_of(PATTERN_UNIFORM, 16);
    struct fixture f = start(&spec);
    struct access out[600];
    cr_assert_eq(generator_fill(&f.generator, out, 600), 600);
    for (unsigned i = 0; i < 600; i++) {
        cr_assert_eq(out[i].size, 8);
        cr_assert_eq(out[i].flags, ACCESS_USER);
        cr_assert_eq(out[i].process, 3);
        cr_assert_eq(out[i].thread, 0);
        cr_assert_eq(out[i].op, OP_READ);
    }
    cr_assert_eq(generator_fill(&f.generator, out, 600), 400);
    cr_assert_eq(generator_fill(&f.generator, out, 600), 0);
    cr_assert_eq(generator_fill(&f.generator, out, 600), 0);
}

Test(generator, no_accesses_is_an_end_at_once)
{
    struct generator_spec spec = spec_of(PATTERN_UNIFORM, 16);
    struct access out[GENERATOR_BURST];
    spec.accesses = 0;
    struct fixture f = start(&spec);
    cr_assert_eq(generator_fill(&f.generator, out, GENERATOR_BURST), 0);
}

Test(generator, sequential_goes_by_its_stride_and_wraps)
{
    struct generator_spec spec = spec_of(PATTERN_SEQUENTIAL, 2);
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < spec.accesses; i++)
        cr_assert_eq(a[i].gva, 0x400000 + i * 64 % 8192);
    free(a);
}

Test(generator, sequential_with_a_stride_beyond_the_map_goes_by_the_rest)
{
    struct generator_spec spec = spec_of(PATTERN_SEQUENTIAL, 3);
    spec.stride = 5 * PAGE + 8;
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < spec.accesses; i++)
        cr_assert_eq(a[i].gva, 0x400000 + i * spec.stride % spec.length);
    free(a);
}

/* Stride 12, size 8: 0, 12, 24, 36, ... rounded down to multiples of 8. */
Test(generator, sequential_rounds_down_to_the_alignment_of_the_size)
{
    struct generator_spec spec = spec_of(PATTERN_SEQUENTIAL, 1);
    static const uint64_t offsets[] = {0, 8, 24, 32, 48, 56, 72};
    spec.stride = 12;
    struct access *a = accesses(&spec);
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(a[i].gva, 0x400000 + offsets[i]);
    free(a);
}

/* Size 12 is aligned to 8; the last place that holds it is 4096 - 16, not 4096 - 8. */
Test(generator, sequential_moves_an_access_that_would_cross_the_end_back)
{
    struct generator_spec spec = spec_of(PATTERN_SEQUENTIAL, 1);
    spec.size = 12;
    spec.stride = 4088;
    struct access *a = accesses(&spec);
    cr_assert_eq(a[0].gva, 0x400000);
    cr_assert_eq(a[1].gva, 0x400000 + 4080);
    cr_assert_eq(a[2].gva, 0x400000 + 4080); /* 2 * 4088 mod 4096 = 4080 */
    free(a);
}

Test(generator, no_pattern_leaves_the_map_or_its_alignment)
{
    static const uint16_t sizes[] = {1, 2, 3, 7, 8, 12, 48, 64, 100, 4095, 4096};
    for (enum pattern p = 0; p < PATTERN_LIST; p++)
        for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct generator_spec spec = spec_of(p, 5);
            spec.size = sizes[s];
            spec.stride = 1000;
            spec.drift = 0.01;
            struct access *a = accesses(&spec);
            uint64_t size = p == PATTERN_GUPS ? 8 : sizes[s], align = 1;
            while (align * 2 <= size)
                align *= 2;
            for (uint64_t i = 0; i < spec.accesses; i++) {
                cr_assert_eq(a[i].size, size);
                cr_assert_eq(a[i].gva % align, 0);
                cr_assert_geq(a[i].gva, spec.base);
                cr_assert_leq(a[i].gva + size, spec.base + spec.length);
                if (size == align)
                    cr_assert_eq(a[i].gva / PAGE, (a[i].gva + size - 1) / PAGE);
            }
            free(a);
        }
}

/* The smallest textbook page, and the largest page there is. */
Test(generator, pages_may_be_8_bytes_or_1_gibibyte)
{
    static const uint64_t pages[] = {8, 32, 1 << 21, 1 << 30};
    for (enum pattern p = 0; p < PATTERN_LIST; p++)
        for (unsigned s = 0; s < 4; s++) {
            struct generator_spec spec = spec_of(p, 1);
            spec.page = pages[s], spec.length = 16 * pages[s], spec.hot = pages[s];
            spec.base = 0;
            struct access *a = accesses(&spec);
            bool seen[16] = {0};
            for (uint64_t i = 0; i < spec.accesses; i++)
                seen[page_of(&spec, &a[i])] = true;
            for (unsigned i = 0; i < 16 && p != PATTERN_SEQUENTIAL; i++)
                cr_assert(seen[i], "%s misses page %u", pattern_name(p), i);
            free(a);
        }
}

Test(generator, uniform_gives_every_page_and_every_place_its_share)
{
    struct generator_spec spec = spec_of(PATTERN_UNIFORM, 100);
    double expected[512];
    spec.accesses = 1000000;
    uint64_t *pages = histogram(&spec), places[512] = {0};
    for (unsigned i = 0; i < 100; i++)
        expected[i] = 1e6 / 100;
    cr_assert_lt(fabs(surprise(pages, expected, 100)), 4);
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < spec.accesses; i++)
        places[a[i].gva % PAGE / 8]++;
    for (unsigned i = 0; i < 512; i++)
        expected[i] = 1e6 / 512;
    cr_assert_lt(fabs(surprise(places, expected, 512)), 4);
    free(pages);
    free(a);
}

Test(generator, writes_get_their_share_and_0_and_1_are_exact)
{
    static const double shares[] = {0, 0.001, 0.3, 1};
    for (enum pattern p = 0; p < PATTERN_LIST; p++)
        for (unsigned s = 0; s < 4; s++) {
            struct generator_spec spec = spec_of(p, 16);
            spec.accesses = 100000;
            spec.writes = shares[s];
            struct access *a = accesses(&spec);
            uint64_t writes = 0, modifies = 0;
            for (uint64_t i = 0; i < spec.accesses; i++) {
                writes += a[i].op == OP_WRITE;
                modifies += a[i].op == OP_MODIFY;
            }
            double deviation = sqrt(1e5 * shares[s] * (1 - shares[s]));
            if (p == PATTERN_GUPS)
                cr_assert_eq(modifies, spec.accesses);
            else
                cr_assert(near((double)writes, 1e5 * shares[s], 4 * deviation));
            free(a);
        }
}

/* Reads in the same places whatever is written there. */
Test(generator, writes_and_events_do_not_change_where_accesses_go)
{
    for (enum pattern p = 0; p < PATTERN_LIST; p++) {
        struct generator_spec spec = spec_of(p, 16);
        size_t n, at = 0;
        struct access *plain = accesses(&spec);
        spec.writes = 0.5, spec.remap = 0.2, spec.protect = 0.2;
        struct access *decorated = all(&spec, 100, &n);
        for (size_t i = 0; i < n; i++)
            if (decorated[i].op >= OP_MAP)
                i++;
            else
                cr_assert_eq(decorated[i].gva, plain[at++].gva);
        cr_assert_eq(at, spec.accesses);
        free(plain);
        free(decorated);
    }
}

Test(generator, zipf_weights_are_those_of_libm_to_1e_13)
{
    static const double thetas[] = {0, 0.01, 0.5, 0.9, 0.99, 1, 1.2, 2, 3.7, 8};
    for (unsigned t = 0; t < sizeof thetas / sizeof *thetas; t++)
        for (uint64_t rank = 1; rank <= UINT64_C(1) << 32; rank += rank / 97 + 1) {
            double expected = (double)powl((long double)rank, -(long double)thetas[t]);
            double error = fabs(zipf_weight(rank, thetas[t]) / expected - 1);
            cr_assert_lt(error, 1e-13, "rank %lu theta %g: off by %g", (unsigned long)rank,
                         thetas[t], error);
        }
}

Test(generator, zipf_weights_of_powers_of_two_are_exact)
{
    for (unsigned e = 0; e <= 32; e++)
        for (unsigned theta = 0; theta <= 8; theta++)
            cr_assert_eq(zipf_weight(UINT64_C(1) << e, theta), ldexp(1, -(int)(e * theta)));
}

/* Bits evenly spread over their range meet each column's two pages in exact proportion. */
Test(generator, zipf_table_holds_the_frequencies_that_libm_predicts)
{
    static const struct {
        uint64_t pages;
        double theta;
    } cases[] = {{1, 1},   {2, 1},      {3, 0.5},    {10, 0},     {100, 0.99},
                 {128, 1}, {1000, 0.9}, {1000, 2.5}, {777, 0.01}, {50, 8}};
    for (unsigned c = 0; c < sizeof cases / sizeof *cases; c++) {
        const uint64_t pages = cases[c].pages, samples = pages * 4096;
        struct zipf *zipf = zipf_new(pages, cases[c].theta);
        uint64_t *count = calloc(pages, sizeof *count);
        for (uint64_t i = 0; i < samples; i++)
            count[zipf_pick(zipf, (uint64_t)(((unsigned __int128)i << 64) / samples) + 7)]++;
        double sum = 0;
        for (uint64_t rank = pages; rank; rank--)
            sum += pow((double)rank, -cases[c].theta);
        /* A column's samples may be one off at either end, for each page it names. */
        uint64_t *named = calloc(pages, sizeof *named);
        for (uint64_t i = 0; i < pages; i++)
            named[i]++, named[zipf->column[i].other]++;
        for (uint64_t rank = 1; rank <= pages; rank++) {
            uint64_t page = scatter_below(rank - 1, pages);
            double expected = pow((double)rank, -cases[c].theta) / sum * (double)samples;
            cr_assert(near((double)count[page], expected, 1 + (double)named[page]),
                      "%lu pages, theta %g, rank %lu: %lu, not %g", (unsigned long)pages,
                      cases[c].theta, (unsigned long)rank, (unsigned long)count[page], expected);
        }
        free(named);
        free(count);
        free(zipf);
    }
}

Test(generator, zipf_accesses_follow_the_frequencies_that_libm_predicts)
{
    enum { PAGES = 1000 };
    struct generator_spec spec = spec_of(PATTERN_ZIPF, PAGES);
    spec.accesses = 2000000;
    uint64_t *count = histogram(&spec), by_rank[PAGES];
    double expected[PAGES], sum = 0;
    for (unsigned i = 0; i < PAGES; i++)
        sum += expected[i] = pow(i + 1, -spec.theta);
    for (unsigned i = 0; i < PAGES; i++) {
        expected[i] *= (double)spec.accesses / sum;
        by_rank[i] = count[scatter_below(i, PAGES)];
    }
    cr_assert_lt(fabs(surprise(by_rank, expected, PAGES)), 4);
    for (unsigned i = 0; i + 1 < 10; i++) /* far enough apart to come out in order */
        cr_assert_gt(by_rank[i], by_rank[i + 1]);
    free(count);
}

Test(generator, zipf_with_theta_0_is_uniform)
{
    enum { PAGES = 100 };
    struct generator_spec spec = spec_of(PATTERN_ZIPF, PAGES);
    spec.accesses = 1000000;
    spec.theta = 0;
    uint64_t *count = histogram(&spec);
    double expected[PAGES];
    for (unsigned i = 0; i < PAGES; i++)
        expected[i] = 1e6 / PAGES;
    cr_assert_lt(fabs(surprise(count, expected, PAGES)), 4);
    free(count);
}

Test(generator, scatter_permutes_the_numbers_of_any_width)
{
    for (unsigned bits = 0; bits <= 12; bits++) {
        bool seen[1 << 12] = {0};
        for (uint64_t i = 0; i < UINT64_C(1) << bits; i++) {
            uint64_t to = scatter(i, bits);
            cr_assert_lt(to, UINT64_C(1) << bits);
            cr_assert_not(seen[to]);
            seen[to] = true;
        }
    }
}

/* Set-associative caches pick sets by the low bits: hot pages must meet there by chance, neither
 * all in one set nor spread more evenly than chance has it. */
Test(generator, scatter_spreads_neighbours_over_the_low_bits_as_chance_would)
{
    enum { SETS = 128, BITS = 20, NEIGHBOURS = 12800 };
    uint64_t count[SETS] = {0};
    double expected[SETS];
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        count[scatter(i, BITS) % SETS]++;
    for (unsigned i = 0; i < SETS; i++)
        expected[i] = (double)NEIGHBOURS / SETS;
    cr_assert_lt(fabs(surprise(count, expected, SETS)), 4);
}

Test(generator, pointer_chase_visits_every_page_once_per_cycle_in_the_same_order)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 100, 127, 128, 129, 1000, 4096, 5000};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const uint64_t pages = sizes[s];
        struct generator_spec spec = spec_of(PATTERN_POINTER_CHASE, pages);
        spec.accesses = 3 * pages;
        struct access *a = accesses(&spec);
        bool *seen = calloc(pages, sizeof *seen);
        for (uint64_t i = 0; i < pages; i++) {
            cr_assert_not(seen[page_of(&spec, &a[i])], "%lu pages", (unsigned long)pages);
            seen[page_of(&spec, &a[i])] = true;
        }
        for (uint64_t i = pages; i < spec.accesses; i++)
            cr_assert_eq(a[i].gva, a[i - pages].gva);
        free(seen);
        free(a);
    }
}

Test(generator, pointer_chase_jumps_and_scatters_its_lines)
{
    enum { PAGES = 4096 };
    struct generator_spec spec = spec_of(PATTERN_POINTER_CHASE, PAGES);
    uint64_t lines[64] = {0}, neighbours = 0;
    double expected[64];
    spec.accesses = PAGES;
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < PAGES; i++) {
        cr_assert_eq(a[i].gva % 64, 0);
        lines[a[i].gva % PAGE / 64]++;
        neighbours += i && page_of(&spec, &a[i]) == page_of(&spec, &a[i - 1]) + 1;
    }
    for (unsigned i = 0; i < 64; i++)
        expected[i] = PAGES / 64;
    cr_assert_lt(surprise(lines, expected, 64), 4);
    cr_assert_lt(neighbours, 10);
    free(a);
}

Test(generator, gups_modifies_8_aligned_bytes_anywhere)
{
    enum { PAGES = 64 };
    struct generator_spec spec = spec_of(PATTERN_GUPS, PAGES);
    double expected[PAGES];
    spec.size = 3;
    spec.accesses = 640000;
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < spec.accesses; i++) {
        cr_assert_eq(a[i].op, OP_MODIFY);
        cr_assert_eq(a[i].size, 8);
        cr_assert_eq(a[i].gva % 8, 0);
    }
    uint64_t *count = histogram(&spec);
    for (unsigned i = 0; i < PAGES; i++)
        expected[i] = 10000;
    cr_assert_lt(fabs(surprise(count, expected, PAGES)), 4);
    free(count);
    free(a);
}

Test(generator, working_set_gives_the_window_its_share_and_the_rest_the_rest)
{
    struct generator_spec spec = spec_of(PATTERN_WORKING_SET, 100);
    spec.accesses = 1000000;
    uint64_t *count = histogram(&spec);
    for (unsigned i = 0; i < 100; i++) {
        double expected = i < 4 ? 0.9e6 / 4 : 0.1e6 / 96;
        cr_assert(near((double)count[i], expected, 5 * sqrt(expected)), "page %u", i);
    }
    free(count);
}

Test(generator, working_set_moves_by_its_drift_and_wraps)
{
    struct generator_spec spec = spec_of(PATTERN_WORKING_SET, 100);
    spec.accesses = 500000;
    spec.hot_share = 1;
    spec.drift = 0.01; /* once around the map in 10000 accesses */
    struct access *a = accesses(&spec);
    bool wrapped = false;
    for (uint64_t i = 0; i < spec.accesses; i++) {
        uint64_t window = (uint64_t)((double)i * 0.01 + 1e-6) % 100;
        uint64_t ahead = (page_of(&spec, &a[i]) + 100 - window) % 100;
        /* the sum of many drifts is off by less than a page where it counts */
        cr_assert(ahead < 4 || ahead == 99, "access %lu: %lu ahead", (unsigned long)i,
                  (unsigned long)ahead);
        wrapped |= window > 96 && page_of(&spec, &a[i]) < 3;
    }
    cr_assert(wrapped);
    free(a);
}

Test(generator, working_set_may_drift_by_more_than_the_map)
{
    struct generator_spec spec = spec_of(PATTERN_WORKING_SET, 10);
    spec.hot = PAGE, spec.hot_share = 1, spec.drift = 1000003;
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < spec.accesses; i++)
        cr_assert_eq(page_of(&spec, &a[i]), 3 * i % 10);
    free(a);
}

Test(generator, working_set_takes_a_window_as_large_as_the_map_or_smaller_than_a_place)
{
    static const uint64_t windows[] = {0, 1, 4 * PAGE, 5 * PAGE, UINT64_MAX};
    for (unsigned w = 0; w < 5; w++) {
        struct generator_spec spec = spec_of(PATTERN_WORKING_SET, 4);
        spec.hot = windows[w];
        spec.hot_share = w < 2 ? 1 : 0;
        struct access *a = accesses(&spec);
        for (uint64_t i = 0; i < spec.accesses && w < 2; i++)
            cr_assert_eq(a[i].gva, spec.base);
        free(a);
    }
}

Test(generator, list_repeats_the_addresses_it_is_given)
{
    static const gva_t addresses[] = {0x1234, 0xffff800000000001, 0};
    struct generator_spec spec = spec_of(PATTERN_LIST, 1);
    spec.list = addresses;
    spec.list_length = 3;
    struct access *a = accesses(&spec);
    for (uint64_t i = 0; i < spec.accesses; i++)
        cr_assert_eq(a[i].gva, addresses[i % 3]);
    free(a);
}

/* Reads one event and its operand; false where the record is none. */
static bool is_event(const struct access *at, const struct access *of, enum op op, uint32_t rights)
{
    struct operand operand;
    memcpy(&operand, at + 1, sizeof operand);
    return at->op == op && at->gva == of->gva / PAGE * PAGE && at->process == of->process &&
           operand.length == PAGE && operand.rights == rights && operand.process == 0;
}

/* The first record at or after @p at that is an access. */
static const struct access *access_after(const struct access *at)
{
    while (at->op >= OP_MAP)
        at += 2;
    return at;
}

Test(generator, remap_and_protect_come_in_pairs_on_the_page_before_the_access)
{
    struct generator_spec spec = spec_of(PATTERN_UNIFORM, 50);
    size_t n;
    uint64_t remaps = 0, protects = 0, plain = 0;
    const uint32_t less = RIGHT_READ | RIGHT_USER;
    spec.accesses = 100000;
    spec.writes = 0.5, spec.remap = 0.1, spec.protect = 0.02;
    struct access *records = all(&spec, 256, &n);
    for (const struct access *at = records; at < records + n; at++, plain++) {
        const struct access *of = access_after(at);
        if (at->op == OP_UNMAP) {
            cr_assert(is_event(at, of, OP_UNMAP, spec.rights));
            cr_assert(is_event(at + 2, of, OP_MAP, spec.rights));
            at += 4, remaps++;
        }
        if (at->op == OP_PROTECT) {
            cr_assert(is_event(at, of, OP_PROTECT, less));
            cr_assert(is_event(at + 2, of, OP_PROTECT, spec.rights));
            at += 4, protects++;
        }
        cr_assert_eq(at, of);
    }
    cr_assert_eq(plain, spec.accesses);
    cr_assert(near((double)remaps, 10000, 4 * sqrt(9000)));
    cr_assert(near((double)protects, 2000, 4 * sqrt(1960)));
    free(records);
}

Test(generator, remap_and_protect_of_every_access_make_bursts_of_nine)
{
    struct generator_spec spec = spec_of(PATTERN_SEQUENTIAL, 4);
    size_t n;
    spec.remap = spec.protect = 1;
    struct access *records = all(&spec, GENERATOR_BURST, &n);
    cr_assert_eq(n, spec.accesses * GENERATOR_BURST);
    for (uint64_t i = 0; i < spec.accesses; i++) {
        static const uint8_t ops[] = {OP_UNMAP, OP_MAP, OP_PROTECT, OP_PROTECT, OP_READ};
        for (unsigned e = 0; e < 5; e++)
            cr_assert_eq(records[i * GENERATOR_BURST + e * 2].op, ops[e]);
    }
    free(records);
}

/* Everything on, for the tests below. */
static struct generator_spec busy(enum pattern pattern)
{
    static const gva_t addresses[] = {0x400010, 0x400020, 0x401000, 0x402000, 0x400010};
    struct generator_spec spec = spec_of(pattern, 37);
    spec.writes = 0.3;
    spec.drift = 0.01;
    spec.list = addresses;
    spec.list_length = 5;
    return spec;
}

Test(generator, any_batch_size_gives_the_same_records)
{
    static const size_t batches[] = {9, 10, 17, 18, 100, 257, 20000};
    for (enum pattern p = 0; p < PATTERNS; p++)
        for (unsigned events = 0; events < 2; events++) {
            struct generator_spec spec = busy(p);
            size_t n, m;
            spec.remap = events ? 0.1 : 0, spec.protect = events ? 0.3 : 0;
            struct access *expected = all(&spec, 256, &n);
            for (unsigned b = 0; b < sizeof batches / sizeof *batches; b++) {
                struct access *got = all(&spec, batches[b], &m);
                cr_assert_eq(n, m);
                cr_assert_eq(memcmp(expected, got, n * sizeof *got), 0);
                free(got);
            }
            if (!events) { /* one at a time */
                struct access *got = all(&spec, 1, &m);
                cr_assert(n == m && memcmp(expected, got, n * sizeof *got) == 0);
                free(got);
            }
            free(expected);
        }
}

Test(generator, a_copy_continues_identically)
{
    for (enum pattern p = 0; p < PATTERNS; p++) {
        struct generator_spec spec = busy(p);
        struct access a[100], b[100];
        spec.remap = 0.2;
        struct fixture f = start(&spec);
        generator_fill(&f.generator, a, 100);
        struct generator copy = f.generator;
        size_t n = generator_fill(&f.generator, a, 100), m = generator_fill(&copy, b, 100);
        cr_assert(n && n == m && memcmp(a, b, n * sizeof *a) == 0);
        free(f.zipf);
    }
}

Test(generator, another_seed_gives_other_accesses_where_chance_has_a_say)
{
    for (enum pattern p = PATTERN_UNIFORM; p < PATTERN_LIST; p++) {
        struct generator_spec spec = busy(p);
        struct access *a = accesses(&spec);
        spec.seed++;
        struct access *b = accesses(&spec);
        cr_assert_neq(memcmp(a, b, spec.accesses * sizeof *a), 0, "%s", pattern_name(p));
        free(a);
        free(b);
    }
}

/* FNV-1a over the fields of the first thousand accesses: what a seed means must never change. */
Test(generator, a_seed_means_the_same_accesses_for_ever)
{
    static const uint64_t expected[PATTERNS] = {
        UINT64_C(0xf5aa8e822e554f22), UINT64_C(0x975d93482059091a), UINT64_C(0x1399c45c3823a222),
        UINT64_C(0x29bdf6627e509ca2), UINT64_C(0xe6267217fa830afd), UINT64_C(0x37cf0b25c1f29882),
        UINT64_C(0xfc70d3f758f0b3c2),
    };
    for (enum pattern p = 0; p < PATTERNS; p++) {
        struct generator_spec spec = busy(p);
        struct access *a = accesses(&spec);
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        for (uint64_t i = 0; i < spec.accesses; i++) {
            hash = (hash ^ a[i].gva) * UINT64_C(0x100000001b3);
            hash = (hash ^ a[i].op) * UINT64_C(0x100000001b3);
        }
        cr_expect_eq(hash, expected[p], "%s: %#lx", pattern_name(p), (unsigned long)hash);
        free(a);
    }
}
