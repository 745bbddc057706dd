#include "core/memo.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/*
 * The reference: plain arrays, linear search, time stamps, division. It shares nothing with memo.c
 * but the words of memo.h.
 */
enum { SLOTS_MAX = 3072, NODES_MAX = 64 };

struct reference {
    uint32_t entries, sets, ways;
    enum replacement replacement;
    struct rng rng;
    uint64_t now;
    uint64_t tag[SLOTS_MAX]; /* 0: invalid */
    uint64_t used[SLOTS_MAX], filled[SLOTS_MAX], uses[SLOTS_MAX];
    uint64_t freed[SLOTS_MAX];                          /* when it became invalid */
    bool right_is_colder[SLOTS_MAX / 2][2 * NODES_MAX]; /* node 1 is the root of its set */
};

static void reference_flush(struct reference *r)
{
    for (uint32_t slot = 0; slot < r->entries; slot++) {
        r->tag[slot] = 0;
        r->freed[slot] = r->now + r->ways - slot % r->ways; /* way 0 is the next to be filled */
    }
    r->now += r->ways;
    memset(r->right_is_colder, 0, sizeof r->right_is_colder);
}

static struct reference *reference_new(const struct shape *shape, uint64_t seed)
{
    struct reference *r = calloc(1, sizeof *r);
    r->entries = shape->entries;
    r->ways = shape->ways ? shape->ways : shape->entries;
    r->sets = r->ways ? r->entries / r->ways : 0;
    r->replacement = shape->replacement;
    r->rng.state = seed;
    reference_flush(r);
    return r;
}

static uint32_t reference_set(const struct reference *r, uint64_t tag)
{
    return (uint32_t)((tag & low_bits(MEMO_KEY_BITS)) % r->sets);
}

static uint32_t reference_peek(const struct reference *r, uint64_t tag)
{
    for (uint32_t way = 0; way < r->ways; way++)
        if (r->tag[reference_set(r, tag) * r->ways + way] == tag)
            return reference_set(r, tag) * r->ways + way;
    return MEMO_MISS;
}

/* A node spans n (a power of two) ways from low on; its children are nodes 2i and 2i + 1. */
static void tree_touch(bool *tree, unsigned node, uint32_t low, uint32_t n, uint32_t way)
{
    if (n == 1)
        return;
    bool in_right = way >= low + n / 2;
    tree[node] = !in_right;
    tree_touch(tree, 2 * node + in_right, in_right ? low + n / 2 : low, n / 2, way);
}

static uint32_t tree_coldest(const bool *tree, unsigned node, uint32_t low, uint32_t n,
                             uint32_t ways)
{
    if (n == 1)
        return low;
    bool go_right = tree[node] && low + n / 2 < ways;
    return tree_coldest(tree, 2 * node + go_right, go_right ? low + n / 2 : low, n / 2, ways);
}

static uint32_t span(uint32_t ways)
{
    uint32_t n = 1;
    while (n < ways)
        n *= 2;
    return n;
}

static void reference_use(struct reference *r, uint32_t slot)
{
    r->used[slot] = ++r->now;
    r->uses[slot]++;
    if (r->replacement == REPLACE_TREE_PLRU)
        tree_touch(r->right_is_colder[slot / r->ways], 1, 0, span(r->ways), slot % r->ways);
}

static uint32_t reference_lookup(struct reference *r, uint64_t tag)
{
    uint32_t slot = reference_peek(r, tag);
    if (slot != MEMO_MISS)
        reference_use(r, slot);
    return slot;
}

static uint32_t least(const uint64_t *value, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (value[i] < value[best])
            best = i;
    return best;
}

/* An invalid way: the lowest; where the order of ways is a list, the one invalidated last. */
static uint32_t reference_invalid(const struct reference *r, uint32_t first)
{
    bool list = r->replacement == REPLACE_LRU || r->replacement == REPLACE_FIFO;
    uint32_t best = r->ways;
    for (uint32_t way = 0; way < r->ways; way++)
        if (!r->tag[first + way] &&
            (best == r->ways || (list && r->freed[first + way] > r->freed[first + best])))
            best = way;
    return best;
}

static uint32_t reference_victim(struct reference *r, uint32_t set)
{
    uint32_t first = set * r->ways, invalid = reference_invalid(r, first);
    if (invalid < r->ways)
        return invalid;
    switch (r->replacement) {
    case REPLACE_LRU:
        return least(r->used + first, r->ways);
    case REPLACE_FIFO:
        return least(r->filled + first, r->ways);
    case REPLACE_LFU:
        return least(r->uses + first, r->ways);
    case REPLACE_RANDOM:
        return (uint32_t)rng_below(&r->rng, r->ways);
    default:
        return tree_coldest(r->right_is_colder[set], 1, 0, span(r->ways), r->ways);
    }
}

static uint32_t reference_fill(struct reference *r, uint64_t tag, uint32_t way)
{
    uint32_t slot = reference_set(r, tag) * r->ways + way;
    r->tag[slot] = tag;
    r->filled[slot] = ++r->now;
    r->uses[slot] = 0;
    reference_use(r, slot);
    return slot;
}

static uint32_t reference_insert(struct reference *r, uint64_t tag)
{
    return reference_fill(r, tag, reference_victim(r, reference_set(r, tag)));
}

static void reference_drop(struct reference *r, uint32_t slot)
{
    if (r->tag[slot])
        r->freed[slot] = ++r->now;
    r->tag[slot] = 0;
}

static void reference_drop_matching(struct reference *r, uint64_t mask, uint64_t value)
{
    for (uint32_t slot = 0; slot < r->entries; slot++)
        if (r->tag[slot] && (r->tag[slot] & mask) == value)
            reference_drop(r, slot);
}

static struct memo *memo_of(const struct shape *shape, bool targets, uint64_t seed)
{
    size_t bytes = memo_bytes(shape, targets);
    struct memo *m = aligned_alloc(16, bytes);
    memset(m, 0, bytes);
    memo_init(m, shape, targets, seed);
    return m;
}

static const struct shape *shapes(size_t *count)
{
    static const struct shape list[] = {
        /* fully associative */
        {1, 0, 0},
        {2, 0, 0},
        {3, 0, 0},
        {4, 0, 0},
        {5, 0, 0},
        {8, 0, 0},
        {12, 0, 0},
        {24, 0, 0},
        {64, 0, 0},
        /* sets a power of two */
        {8, 1, 0},
        {8, 2, 0},
        {12, 3, 0},
        {64, 4, 0},
        {20, 5, 0},
        {128, 8, 0},
        {1536, 12, 0},
        {3072, 24, 0},
        {128, 16, 0},
        {44, 11, 0},
        /* and not */
        {7, 1, 0},
        {12, 4, 0},
        {33, 11, 0},
        {35, 5, 0},
        {96, 8, 0},
        {36, 12, 0},
        {2000, 8, 0},
    };
    *count = sizeof list / sizeof *list;
    return list;
}

/* One random operation on both; their answers must agree. */
struct pair {
    struct memo *memo;
    struct reference *reference;
    struct rng rng;
    uint64_t hits;
};

/* Tags of a few spaces whose keys crowd the memo, at the bottom and at the top of the keys. */
static uint64_t random_tag(struct pair *p)
{
    uint64_t reach = p->reference->entries + p->reference->entries / 4 + 1;
    uint64_t key = rng_below(&p->rng, reach), space = 1 + (rng_below(&p->rng, 16) == 0);
    bool top = rng_below(&p->rng, 16) == 0;
    return space << MEMO_KEY_BITS | (top ? low_bits(MEMO_KEY_BITS) - key : key);
}

static void access_both(struct pair *p)
{
    uint64_t tag = random_tag(p);
    uint32_t slot = memo_lookup(p->memo, tag);
    cr_assert_eq(slot, reference_lookup(p->reference, tag));
    p->hits += slot != MEMO_MISS;
    if (slot == MEMO_MISS)
        cr_assert_eq(memo_insert(p->memo, tag), reference_insert(p->reference, tag));
}

static void peek_both(struct pair *p)
{
    uint64_t tag = random_tag(p);
    cr_assert_eq(memo_peek(p->memo, tag), reference_peek(p->reference, tag));
}

static void place_both(struct pair *p)
{
    uint64_t tag = random_tag(p);
    uint32_t way = (uint32_t)rng_below(&p->rng, p->reference->ways), slot;
    if (reference_peek(p->reference, tag) != MEMO_MISS)
        return;
    cr_assert(memo_place(p->memo, tag, way, &slot));
    cr_assert_eq(slot, reference_fill(p->reference, tag, way));
}

static void drop_both(struct pair *p)
{
    uint32_t slot = (uint32_t)rng_below(&p->rng, p->reference->entries);
    memo_drop(p->memo, slot);
    reference_drop(p->reference, slot);
}

static void drop_matching_both(struct pair *p)
{
    static const uint64_t masks[] = {7, ~UINT64_C(0) << MEMO_KEY_BITS, 0x13, ~UINT64_C(0)};
    uint64_t mask = masks[rng_below(&p->rng, 4)], value = random_tag(p) & mask;
    memo_drop_matching(p->memo, mask, value);
    reference_drop_matching(p->reference, mask, value);
}

static void flush_both(struct pair *p)
{
    memo_flush(p->memo);
    reference_flush(p->reference);
}

/* The larger the memo, the rarer what empties it: it must fill up for the policy to decide. */
static void step_both(struct pair *p)
{
    static const struct {
        unsigned below;
        void (*step)(struct pair *);
    } steps[] = {{20, place_both}, {60, drop_both},  {70, drop_matching_both},
                 {72, flush_both}, {150, peek_both}, {UINT32_MAX, access_both}};
    unsigned dice = (unsigned)rng_below(&p->rng, 1000 + 20 * p->reference->entries), i = 0;
    while (dice >= steps[i].below)
        i++;
    steps[i].step(p);
}

static void same_contents(const struct pair *p)
{
    uint32_t live = 0;
    for (uint32_t slot = 0; slot < p->reference->entries; slot++) {
        live += p->reference->tag[slot] != 0;
        cr_assert_eq(memo_tag(p->memo, slot), p->reference->tag[slot]);
    }
    cr_assert_eq(memo_live(p->memo), live);
}

/* Long streams, mostly of accesses. */
static void compare(enum replacement replacement)
{
    size_t count;
    const struct shape *list = shapes(&count);
    for (size_t i = 0; i < count; i++) {
        struct shape shape = list[i];
        shape.replacement = replacement;
        struct pair p = {memo_of(&shape, i & 1, i), reference_new(&shape, i), {i + 100}, 0};
        unsigned steps = 20000 + shape.entries * 60;
        for (unsigned n = 0; n < steps; n++) {
            step_both(&p);
            if (n % 1000 == 0)
                same_contents(&p);
        }
        same_contents(&p);
        cr_assert_gt(p.hits, steps / 20, "the stream must hit now and then");
        free(p.memo);
        free(p.reference);
    }
}

Test(memo, lru_agrees_with_time_stamps)
{
    compare(REPLACE_LRU);
}

Test(memo, tree_plru_agrees_with_a_recursive_tree)
{
    compare(REPLACE_TREE_PLRU);
}

Test(memo, fifo_agrees_with_time_stamps)
{
    compare(REPLACE_FIFO);
}

Test(memo, random_agrees_with_the_same_seed)
{
    compare(REPLACE_RANDOM);
}

Test(memo, lfu_agrees_with_counters)
{
    compare(REPLACE_LFU);
}

/* Keys of all sizes, for sets that are no power of two: the reciprocal against the division. */
Test(memo, any_key_goes_to_the_set_of_its_remainder)
{
    static const uint32_t sets[] = {1, 2, 3, 5, 6, 7, 11, 96, 100, 127, 128, 1000, 65535, 99991};
    struct rng rng = {5};
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct shape shape = {sets[i], 1, REPLACE_LRU};
        struct memo *m = memo_of(&shape, false, 0);
        for (unsigned n = 0; n < 20000; n++) {
            uint64_t key = rng_next(&rng) >> (18 + rng_below(&rng, 46));
            uint64_t near = key / sets[i] * sets[i]; /* and the edges of the quotients */
            uint64_t keys[] = {key, near, near ? near - 1 : 0, low_bits(MEMO_KEY_BITS) - n};
            for (unsigned k = 0; k < 4; k++) {
                uint64_t tag = UINT64_C(1) << 63 | keys[k];
                memo_flush(m);
                cr_assert_eq(memo_insert(m, tag), keys[k] % sets[i]);
                if (sets[i] > 128)
                    break;
            }
            if (sets[i] > 1000 && n > 200)
                break;
        }
        free(m);
    }
}

static unsigned faults(const struct shape *shape, const uint64_t *tags, size_t n)
{
    struct memo *m = memo_of(shape, false, 1);
    unsigned count = 0;
    for (size_t i = 0; i < n; i++)
        if (memo_lookup(m, tags[i]) == MEMO_MISS) {
            memo_insert(m, tags[i]);
            count++;
        }
    free(m);
    return count;
}

/* Belady, Nelson, Shedler, "An anomaly in space-time characteristics of certain programs running in
 * a paging machine", CACM 12(6), 1969: FIFO with more frames may fault more; LRU may not. */
Test(memo, fifo_shows_beladys_anomaly_and_lru_does_not)
{
    static const uint64_t string[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
    struct shape fifo3 = {3, 0, REPLACE_FIFO}, fifo4 = {4, 0, REPLACE_FIFO};
    struct shape lru3 = {3, 0, REPLACE_LRU}, lru4 = {4, 0, REPLACE_LRU};
    cr_assert_eq(faults(&fifo3, string, 12), 9);
    cr_assert_eq(faults(&fifo4, string, 12), 10);
    cr_assert_eq(faults(&lru3, string, 12), 10);
    cr_assert_eq(faults(&lru4, string, 12), 8);
}

Test(memo, a_cyclic_scan_hits_lru_always_when_it_fits_and_never_when_it_does_not)
{
    static const uint32_t sizes[] = {1, 2, 3, 16, 64, 72, 1000};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct shape shape = {sizes[s], 0, REPLACE_LRU};
        uint64_t *scan = malloc(10 * (sizes[s] + 1) * sizeof *scan);
        for (uint64_t i = 0; i < 10 * sizes[s]; i++)
            scan[i] = 1 + i % sizes[s];
        cr_assert_eq(faults(&shape, scan, 10 * sizes[s]), sizes[s]);
        for (uint64_t i = 0; i < 10 * (sizes[s] + 1); i++)
            scan[i] = 1 + i % (sizes[s] + 1);
        cr_assert_eq(faults(&shape, scan, 10 * (sizes[s] + 1)), 10 * (sizes[s] + 1));
        free(scan);
    }
}

/* By hand, four ways: after fills of 0 1 2 3 the root points left and both halves at their left
 * way, so way 0 goes; after a hit of way 0 the victim is in the right half: way 2. */
Test(memo, tree_plru_of_four_ways_replaces_what_the_tree_points_at)
{
    struct shape shape = {4, 0, REPLACE_TREE_PLRU};
    struct memo *m = memo_of(&shape, false, 0);
    for (uint64_t tag = 1; tag <= 4; tag++)
        cr_assert_eq(memo_insert(m, tag), tag - 1);
    cr_assert_eq(memo_lookup(m, 1), 0);
    cr_assert_eq(memo_insert(m, 5), 2);
    cr_assert_eq(memo_insert(m, 6), 1);
    cr_assert_eq(memo_insert(m, 7), 3);
    free(m);
}

Test(memo, lfu_counts_the_fill_and_breaks_ties_to_the_lowest_way)
{
    struct shape shape = {3, 0, REPLACE_LFU};
    struct memo *m = memo_of(&shape, false, 0);
    memo_insert(m, 1), memo_insert(m, 2), memo_insert(m, 3);
    memo_lookup(m, 1);
    cr_assert_eq(memo_insert(m, 4), 1);
    memo_lookup(m, 4), memo_lookup(m, 4);
    cr_assert_eq(memo_insert(m, 5), 2);
    memo_lookup(m, 5);
    cr_assert_eq(memo_insert(m, 6), 0);
    free(m);
}

Test(memo, one_without_entries_always_misses)
{
    for (enum replacement r = 0; r < REPLACEMENTS; r++) {
        struct shape shape = {0, 0, r};
        struct memo *m = memo_of(&shape, true, 0);
        uint32_t slot;
        cr_assert_eq(memo_lookup(m, 1), MEMO_MISS);
        cr_assert_eq(memo_insert(m, 1), MEMO_MISS);
        cr_assert_eq(memo_lookup(m, 1), MEMO_MISS);
        cr_assert_eq(memo_peek(m, 1), MEMO_MISS);
        cr_assert_not(memo_place(m, 1, 0, &slot));
        memo_drop_matching(m, 0, 0);
        memo_flush(m);
        cr_assert_eq(memo_live(m), 0);
        free(m);
    }
}

Test(memo, peek_changes_nothing)
{
    for (enum replacement r = 0; r < REPLACEMENTS; r++) {
        struct shape shape = {48, 12, r};
        struct memo *m = memo_of(&shape, true, 3);
        struct rng rng = {1};
        char *before = malloc(m->bytes);
        for (unsigned n = 0; n < 1000; n++) {
            uint64_t tag = 1 + rng_below(&rng, 60), looked = 1 + rng_below(&rng, 60);
            if (memo_lookup(m, tag) == MEMO_MISS)
                memo_insert(m, tag);
            memcpy(before, m, m->bytes);
            uint32_t seen = memo_peek(m, looked);
            cr_assert_eq(memcmp(before, m, m->bytes), 0);
            cr_assert_eq(seen, memo_lookup(m, looked));
        }
        free(before);
        free(m);
    }
}

Test(memo, reuse_of_n_is_n_lookups)
{
    for (enum replacement r = 0; r < REPLACEMENTS; r++) {
        struct shape shape = {32, 4, r};
        struct memo *a = memo_of(&shape, true, 9), *b = memo_of(&shape, true, 9);
        struct rng rng = {2};
        for (unsigned n = 0; n < 2000; n++) {
            uint64_t tag = 1 + rng_below(&rng, 48), times = rng_below(&rng, 4);
            if (memo_lookup(a, tag) == MEMO_MISS)
                memo_insert(a, tag);
            uint32_t slot = memo_lookup(b, tag);
            if (slot == MEMO_MISS)
                slot = memo_insert(b, tag);
            for (uint64_t i = 0; i < times; i++)
                memo_lookup(a, tag);
            memo_reuse(b, slot, times);
            cr_assert_eq(memcmp(a, b, a->bytes), 0);
        }
        free(a);
        free(b);
    }
}

Test(memo, a_copy_of_its_bytes_continues_identically)
{
    for (enum replacement r = 0; r < REPLACEMENTS; r++) {
        struct shape shape = {1536, 12, r};
        struct memo *m = memo_of(&shape, true, 4), *copy = aligned_alloc(16, m->bytes);
        struct rng rng = {3};
        cr_assert_eq(m->bytes, memo_bytes(&shape, true));
        cr_assert_eq(m->bytes % 16, 0);
        for (unsigned n = 0; n < 20000; n++) {
            uint64_t tag = 1 + rng_below(&rng, 2500);
            uint32_t slot = memo_lookup(m, tag);
            if (n >= 10000)
                cr_assert_eq(slot, memo_lookup(copy, tag));
            if (slot == MEMO_MISS)
                slot = memo_insert(m, tag), memo_targets(m)[slot].hpa = tag;
            if (n >= 10000 && memo_peek(copy, tag) == MEMO_MISS) {
                cr_assert_eq(slot, memo_insert(copy, tag));
                memo_targets(copy)[slot].hpa = tag;
            }
            if (n == 9999)
                memcpy(copy, m, m->bytes);
        }
        cr_assert_eq(memcmp(copy, m, m->bytes), 0);
        free(m);
        free(copy);
    }
}

Test(memo, targets_are_apart_from_everything_else)
{
    for (enum replacement r = 0; r < REPLACEMENTS; r++) {
        struct shape shape = {33, 11, r};
        struct memo *m = memo_of(&shape, true, 4), *plain = memo_of(&shape, false, 4);
        struct rng rng = {3};
        for (unsigned n = 0; n < 5000; n++) {
            uint64_t tag = 1 + rng_below(&rng, 50);
            uint32_t slot = memo_lookup(m, tag);
            cr_assert_eq(slot, memo_lookup(plain, tag));
            if (slot == MEMO_MISS) {
                slot = memo_insert(m, tag);
                cr_assert_eq(slot, memo_insert(plain, tag));
                memset(&memo_targets(m)[slot], 0xff, sizeof(struct target));
                memo_targets(m)[slot].next = tag;
            }
            cr_assert_eq(memo_targets(m)[slot].next, tag);
        }
        free(m);
        free(plain);
    }
}

Test(memo, place_replaces_one_way_and_refuses_a_way_that_is_not_there)
{
    struct shape shape = {8, 4, REPLACE_LRU};
    struct memo *m = memo_of(&shape, false, 0);
    uint32_t slot = 99;
    cr_assert(memo_place(m, 6, 3, &slot));
    cr_assert_eq(slot, 3);
    cr_assert(memo_place(m, 5, 2, &slot));
    cr_assert_eq(slot, 6);
    cr_assert(memo_place(m, 8, 3, &slot));
    cr_assert_eq(slot, 3);
    cr_assert_eq(memo_live(m), 2);
    cr_assert_eq(memo_peek(m, 6), MEMO_MISS);
    cr_assert_eq(memo_peek(m, 8), 3);
    slot = 99;
    cr_assert_not(memo_place(m, 7, 4, &slot));
    cr_assert_eq(slot, 99);
    free(m);
}

Test(memo, a_dropped_way_is_filled_before_a_valid_one_is_replaced)
{
    for (enum replacement r = 0; r < REPLACEMENTS; r++) {
        struct shape shape = {8, 0, r};
        struct memo *m = memo_of(&shape, false, 0);
        for (uint64_t tag = 1; tag <= 8; tag++)
            memo_insert(m, tag);
        memo_drop(m, 5);
        memo_drop(m, 5);
        memo_drop(m, 2);
        cr_assert_eq(memo_live(m), 6);
        memo_insert(m, 20), memo_insert(m, 21);
        for (uint64_t tag = 1; tag <= 8; tag++)
            cr_assert_eq(memo_peek(m, tag) != MEMO_MISS, tag != 6 && tag != 3);
        free(m);
    }
}

Test(memo, drop_matching_takes_what_agrees_under_the_mask)
{
    struct shape shape = {64, 4, REPLACE_LRU};
    struct memo *m = memo_of(&shape, false, 0);
    const uint64_t space = ~low_bits(MEMO_KEY_BITS);
    for (uint64_t key = 0; key < 32; key++) {
        memo_insert(m, UINT64_C(1) << MEMO_KEY_BITS | key);
        memo_insert(m, UINT64_C(2) << MEMO_KEY_BITS | key);
    }
    memo_drop_matching(m, space, UINT64_C(2) << MEMO_KEY_BITS);
    cr_assert_eq(memo_live(m), 32);
    for (uint64_t key = 0; key < 32; key++) {
        cr_assert_neq(memo_peek(m, UINT64_C(1) << MEMO_KEY_BITS | key), MEMO_MISS);
        cr_assert_eq(memo_peek(m, UINT64_C(2) << MEMO_KEY_BITS | key), MEMO_MISS);
    }
    memo_drop_matching(m, 0, 0);
    cr_assert_eq(memo_live(m), 0);
    free(m);
}

Test(memo, every_policy_has_the_name_that_profiles_use)
{
    static const char *const names[REPLACEMENTS] = {"lru", "tree-plru", "fifo", "random", "lfu"};
    for (enum replacement r = 0; r < REPLACEMENTS; r++)
        cr_assert_str_eq(replacement_name(r), names[r]);
}
