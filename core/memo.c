#include "core/memo.h"

#include <assert.h>
#include <string.h>

/*
 * Each set has a circular list of its ways, kept as two arrays of way numbers. The head is the
 * most recent (LRU: used; FIFO: filled), the one before the head is the next to go.
 */
static uint16_t *heads(const struct memo *m)
{
    return (uint16_t *)((char *)m + m->heads);
}

static uint16_t *nexts(const struct memo *m)
{
    return (uint16_t *)((char *)m + m->next);
}

static uint16_t *previouses(const struct memo *m)
{
    return (uint16_t *)((char *)m + m->previous);
}

static uint64_t *uses(const struct memo *m)
{
    return (uint64_t *)((char *)m + m->uses);
}

/*
 * tree-PLRU: node n of a set is byte n; 1 says that the right half is the colder. Node 1 is the
 * root, nodes 2n and 2n + 1 are the halves of n, and node leaves + way stands for the way. The tree
 * spans the next power of two of the ways; a right half beyond the last way is never taken.
 */
static uint8_t *tree(const struct memo *m, uint32_t set)
{
    return (uint8_t *)m + m->trees + (size_t)set * m->leaves;
}

static bool has_list(enum replacement r)
{
    return r == REPLACE_LRU || r == REPLACE_FIFO;
}

/* Lays the arrays out behind the struct; returns the size of it all. */
static size_t lay_out(struct memo *m, const struct shape *shape, bool targets)
{
    uint32_t entries = shape->entries, ways = shape->ways ? shape->ways : entries;
    uint32_t sets = ways ? entries / ways : 0;
    m->leaves = 1;
    while (m->leaves < ways)
        m->leaves *= 2;
    size_t at = (sizeof *m + 15) & ~(size_t)15;
#define PLACE(field, bytes) (m->field = (uint32_t)at, at = (at + (bytes) + 15) & ~(size_t)15)
    m->entries = entries, m->ways = ways, m->sets = sets;
    PLACE(tags, (size_t)entries * sizeof(uint64_t));
    PLACE(targets, targets ? (size_t)entries * sizeof(struct target) : 0);
    PLACE(heads, has_list(shape->replacement) ? (size_t)sets * sizeof(uint16_t) : 0);
    PLACE(next, has_list(shape->replacement) ? (size_t)entries * sizeof(uint16_t) : 0);
    PLACE(previous, has_list(shape->replacement) ? (size_t)entries * sizeof(uint16_t) : 0);
    PLACE(uses, shape->replacement == REPLACE_LFU ? (size_t)entries * sizeof(uint64_t) : 0);
    PLACE(trees, shape->replacement == REPLACE_TREE_PLRU ? (size_t)sets * m->leaves : 0);
#undef PLACE
    return m->bytes = (uint32_t)at;
}

const char *replacement_name(enum replacement replacement)
{
    static const char *const names[REPLACEMENTS] = {"lru", "tree-plru", "fifo", "random", "lfu"};
    return names[replacement];
}

size_t memo_bytes(const struct shape *shape, bool targets)
{
    struct memo scratch;
    return lay_out(&scratch, shape, targets);
}

void memo_init(struct memo *m, const struct shape *shape, bool targets, uint64_t seed)
{
    assert(!shape->ways || shape->entries % shape->ways == 0);
    lay_out(m, shape, targets);
    assert(!has_list(shape->replacement) || m->ways <= UINT16_MAX + 1);
    m->replacement = shape->replacement;
    m->rng.state = seed;
    if (m->sets && !(m->sets & (m->sets - 1)))
        m->mask = m->sets - 1;
    else if (m->sets)
        m->reciprocal = UINT64_MAX / m->sets; /* = floor(2^64 / sets): sets is no power of two */
    memo_flush(m);
}

/* key mod sets without a division: the estimated quotient is right or one too small. */
static uint32_t set_of(const struct memo *m, uint64_t tag)
{
    if (!m->reciprocal)
        return (uint32_t)(tag & m->mask);
    uint64_t key = tag & low_bits(MEMO_KEY_BITS);
    uint64_t quotient = (uint64_t)((unsigned __int128)key * m->reciprocal >> 64);
    uint64_t rest = key - quotient * m->sets;
    return (uint32_t)(rest < m->sets ? rest : rest - m->sets);
}

/*
 * Looks at every way and lets conditional moves keep the one that matches: leaving early would be a
 * branch that nothing can predict, and costs more than the ways it saves up to some sixty of them.
 */
static uint32_t find(const struct memo *m, uint64_t tag, uint32_t set)
{
    const uint32_t first = set * m->ways;
    const uint64_t *tags = memo_tags(m) + first;
    uint32_t found = MEMO_MISS;
#pragma GCC unroll 4
    for (uint32_t way = 0; way < m->ways; way++)
        found = tags[way] == tag ? first + way : found;
    return found;
}

/* Moves a way to the head of its set's list: a rotation if it is the last, else five stores. */
static void to_head(struct memo *m, uint32_t set, uint32_t way)
{
    uint16_t *head = heads(m) + set;
    uint16_t *next = nexts(m) + (size_t)set * m->ways;
    uint16_t *previous = previouses(m) + (size_t)set * m->ways;
    uint32_t old = *head;
    if (way == old)
        return;
    uint32_t last = previous[old];
    *head = (uint16_t)way;
    if (way == last)
        return;
    next[previous[way]] = next[way];
    previous[next[way]] = previous[way];
    next[last] = previous[old] = (uint16_t)way;
    next[way] = (uint16_t)old;
    previous[way] = (uint16_t)last;
}

/* From the way up to the root: every node points at the half that the way is not in. */
static void turn_away(struct memo *m, uint32_t set, uint32_t way)
{
    uint8_t *node = tree(m, set);
    for (uint32_t n = m->leaves + way; n > 1; n /= 2)
        node[n / 2] = !(n & 1);
}

static uint32_t coldest(struct memo *m, uint32_t set)
{
    const uint8_t *node = tree(m, set);
    uint32_t n = 1;
    for (uint32_t half = m->leaves / 2; half; half /= 2) {
        uint32_t exists = (2 * n + 1) * half < m->leaves + m->ways;
        n = 2 * n + (node[n] & exists);
    }
    return n - m->leaves;
}

static uint32_t least_used(struct memo *m, uint32_t set)
{
    const uint64_t *count = uses(m) + (size_t)set * m->ways;
    uint32_t least = 0;
    for (uint32_t way = 1; way < m->ways; way++)
        if (count[way] < count[least])
            least = way;
    return least;
}

/* The lowest invalid way, or ways. */
static uint32_t invalid_way(const struct memo *m, uint32_t set)
{
    const uint64_t *tags = memo_tags(m) + (size_t)set * m->ways;
    uint32_t way = 0;
    while (m->live < m->entries && way < m->ways && tags[way])
        way++;
    return m->live < m->entries ? way : m->ways;
}

static uint32_t victim(struct memo *m, uint32_t set)
{
    if (has_list(m->replacement)) /* dropped ways go last, so this finds them too */
        return previouses(m)[(size_t)set * m->ways + heads(m)[set]];
    uint32_t way = invalid_way(m, set);
    if (way < m->ways)
        return way;
    switch (m->replacement) {
    case REPLACE_TREE_PLRU:
        return coldest(m, set);
    case REPLACE_LFU:
        return least_used(m, set);
    default:
        return (uint32_t)rng_below(&m->rng, m->ways);
    }
}

static void used(struct memo *m, uint32_t slot, uint32_t set, uint64_t times)
{
    m->recent = slot;
    switch (m->replacement) {
    case REPLACE_LRU:
        to_head(m, set, slot - set * m->ways);
        break;
    case REPLACE_TREE_PLRU:
        turn_away(m, set, slot - set * m->ways);
        break;
    case REPLACE_LFU:
        uses(m)[slot] += times;
        break;
    default:
        break;
    }
}

uint32_t memo_lookup(struct memo *m, uint64_t tag)
{
    if (!m->live)
        return MEMO_MISS;
    if (memo_tags(m)[m->recent] == tag) { /* the most recent already: only LFU counts it */
        memo_reuse(m, 1);
        return m->recent;
    }
    uint32_t set = set_of(m, tag), slot = find(m, tag, set);
    if (slot != MEMO_MISS)
        used(m, slot, set, 1);
    return slot;
}

uint32_t memo_peek(const struct memo *m, uint64_t tag)
{
    return m->live ? find(m, tag, set_of(m, tag)) : MEMO_MISS;
}

void memo_reuse(struct memo *m, uint64_t n)
{
    if (m->replacement == REPLACE_LFU)
        uses(m)[m->recent] += n;
}

static uint32_t fill(struct memo *m, uint64_t tag, uint32_t set, uint32_t way)
{
    uint32_t slot = set * m->ways + way;
    m->live += !memo_tags(m)[slot];
    memo_tags(m)[slot] = tag;
    if (m->replacement == REPLACE_FIFO)
        to_head(m, set, way);
    if (m->replacement == REPLACE_LFU)
        uses(m)[slot] = 0;
    used(m, slot, set, 1);
    return slot;
}

uint32_t memo_insert(struct memo *m, uint64_t tag)
{
    if (!m->entries)
        return MEMO_MISS;
    uint32_t set = set_of(m, tag);
    return fill(m, tag, set, victim(m, set));
}

bool memo_place(struct memo *m, uint64_t tag, uint32_t way, uint32_t *slot)
{
    if (way >= m->ways)
        return false;
    *slot = fill(m, tag, set_of(m, tag), way);
    return true;
}

/* To the tail: to the head, then the head moves on by one. */
static void to_tail(struct memo *m, uint32_t slot)
{
    uint32_t set = slot / m->ways, way = slot % m->ways;
    to_head(m, set, way);
    heads(m)[set] = nexts(m)[(size_t)set * m->ways + way];
}

void memo_drop(struct memo *m, uint32_t slot)
{
    if (!memo_tags(m)[slot])
        return;
    memo_tags(m)[slot] = 0;
    m->live--;
    if (has_list(m->replacement))
        to_tail(m, slot);
}

void memo_drop_matching(struct memo *m, uint64_t mask, uint64_t value)
{
    const uint64_t *tags = memo_tags(m);
    for (uint32_t slot = 0; m->live && slot < m->entries; slot++)
        if (tags[slot] && (tags[slot] & mask) == value)
            memo_drop(m, slot);
}

/* Empty, and the lists in way order with way 0 the next to be filled. */
void memo_flush(struct memo *m)
{
    m->live = 0;
    m->recent = 0;
    memset(memo_tags(m), 0, (size_t)m->entries * sizeof(uint64_t));
    if (m->replacement == REPLACE_LFU)
        memset(uses(m), 0, (size_t)m->entries * sizeof(uint64_t));
    if (m->replacement == REPLACE_TREE_PLRU)
        memset(tree(m, 0), 0, (size_t)m->sets * m->leaves);
    for (uint32_t slot = 0; has_list(m->replacement) && slot < m->entries; slot++) {
        uint32_t way = slot % m->ways;
        nexts(m)[slot] = (uint16_t)(way ? way - 1 : m->ways - 1);
        previouses(m)[slot] = (uint16_t)(way + 1 < m->ways ? way + 1 : 0);
        heads(m)[slot / m->ways] = (uint16_t)(m->ways - 1);
    }
}
