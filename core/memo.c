#include "core/memo.h"

#include <assert.h>
#include <string.h>

/*
 * What a row keeps for the policy, between marks and tags:
 *
 * LRU and FIFO, up to 16 ways: a word, see order.h; its front is the most recently used (FIFO:
 * filled). Beyond: a circular list of the ways, as a head and two arrays of way numbers; the head
 * is the front, the one before it goes next.
 * LFU: a counter per way.
 * tree-PLRU: node n is byte n; 1 says that the right half is the colder. Node 1 is the root, nodes
 * 2n and 2n + 1 are the halves of n, and node leaves + way stands for the way. The tree spans the
 * next power of two of the ways; a right half beyond the last way is never taken.
 */
static uint64_t *row_policy(const struct memo *m, struct memo_row *row)
{
    return (uint64_t *)row + m->words;
}

static uint64_t *row_tags(const struct memo *m, struct memo_row *row)
{
    return (uint64_t *)row + m->tags;
}

static uint8_t *row_marks(struct memo_row *row)
{
    return (uint8_t *)row;
}

/* The list of more than 16 ways: [0] is the head, then nexts, then previouses. */
static uint16_t *row_list(const struct memo *m, struct memo_row *row)
{
    return (uint16_t *)row_policy(m, row);
}

static bool in_order(enum replacement r)
{
    return r == REPLACE_LRU || r == REPLACE_FIFO;
}

const char *replacement_name(enum replacement replacement)
{
    static const char *const names[REPLACEMENTS] = {REPLACEMENT_WORDS};
    return names[replacement];
}

/* ---- making ---- */

static size_t policy_bytes(const struct shape *shape, uint32_t ways, uint32_t leaves)
{
    if (in_order(shape->replacement))
        return ways <= ORDER_WAYS ? sizeof(uint64_t) : (1 + 2 * (size_t)ways) * sizeof(uint16_t);
    if (shape->replacement == REPLACE_LFU)
        return ways * sizeof(uint64_t);
    return shape->replacement == REPLACE_TREE_PLRU ? leaves : 0;
}

/* Works the sizes out; returns the size of it all. */
static size_t lay_out(struct memo *m, const struct shape *shape, bool targets)
{
    m->entries = shape->entries;
    m->ways = shape->ways ? shape->ways : shape->entries;
    m->sets = m->ways ? m->entries / m->ways : 0;
    m->words = (m->ways + MEMO_GROUP - 1) / MEMO_GROUP * (MEMO_GROUP / 8);
    m->words = m->words ? m->words : MEMO_GROUP / 8; /* an empty memo has a row to search, too */
    for (m->leaves = 1; m->leaves < m->ways;)
        m->leaves *= 2;
    size_t policy = (policy_bytes(shape, m->ways, m->leaves) + 7) & ~(size_t)7;
    m->tags = m->words + (uint32_t)(policy / sizeof(uint64_t));
    m->row_bytes = (uint32_t)((m->tags + m->ways) * sizeof(uint64_t));
    size_t rows = m->sets ? m->sets : 1;
    m->targets = (uint32_t)((MEMO_ROWS + rows * m->row_bytes + 15) & ~(size_t)15);
    m->bytes = m->targets + (uint32_t)(targets ? m->entries * sizeof(struct target) : 0);
    return m->bytes = (m->bytes + 15) & ~15u;
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
    assert(!in_order(shape->replacement) || m->ways <= UINT16_MAX + 1);
    m->replacement = shape->replacement;
    m->last = (uint8_t)(m->ways ? 4 * (m->ways - 1) : 0);
    m->rng.state = seed;
    if (m->sets && !(m->sets & (m->sets - 1)))
        m->mask = m->sets - 1;
    else if (m->sets)
        m->reciprocal = UINT64_MAX / m->sets; /* = floor(2^64 / sets): sets is no power of two */
    m->plain = m->replacement == REPLACE_LRU && m->ways <= ORDER_WAYS && m->sets && !m->reciprocal;
    memo_flush(m);
}

/* ---- searching, in any memo ---- */

/* Key mod sets where sets is no power of two. The estimated quotient is right or one too small. */
static uint32_t set_by_reciprocal(const struct memo *m, uint64_t tag)
{
    uint64_t key = tag & low_bits(MEMO_KEY_BITS);
    uint64_t quotient = (uint64_t)((unsigned __int128)key * m->reciprocal >> 64);
    uint64_t rest = key - quotient * m->sets;
    return (uint32_t)(rest < m->sets ? rest : rest - m->sets);
}

static uint32_t set_of(const struct memo *m, uint64_t tag)
{
    return m->reciprocal ? set_by_reciprocal(m, tag) : (uint32_t)(tag & m->mask);
}

static uint32_t find(const struct memo *m, struct memo_row *row, uint64_t tag)
{
    const uint32_t mark = memo_mark(tag);
    for (uint32_t way = 0; way < m->ways; way += MEMO_GROUP) {
        uint32_t found = memo_find((uint64_t *)row + way / 8, row_tags(m, row) + way, tag, mark);
        if (found != MEMO_MISS)
            return way + found;
    }
    return MEMO_MISS;
}

/* ---- replacing ---- */

/* Moves a way to the head of the list: a rotation if it is the last, else five stores. */
static void list_to_head(uint16_t *list, uint32_t ways, uint32_t way)
{
    uint16_t *next = list + 1, *previous = next + ways;
    uint32_t head = list[0], last = previous[head];
    if (way == head)
        return;
    list[0] = (uint16_t)way;
    if (way == last)
        return;
    next[previous[way]] = next[way];
    previous[next[way]] = previous[way];
    next[last] = previous[head] = (uint16_t)way;
    next[way] = (uint16_t)head;
    previous[way] = (uint16_t)last;
}

static void to_front(const struct memo *m, struct memo_row *row, uint32_t way)
{
    uint64_t *order = row_policy(m, row);
    if (m->ways <= ORDER_WAYS)
        *order = order_to_front(*order, way);
    else
        list_to_head(row_list(m, row), m->ways, way);
}

static void to_back(const struct memo *m, struct memo_row *row, uint32_t way)
{
    uint64_t *order = row_policy(m, row);
    uint16_t *list = row_list(m, row);
    if (m->ways <= ORDER_WAYS) {
        *order = order_to_back(*order, way, m->ways);
    } else { /* to the head, then the head moves on by one */
        list_to_head(list, m->ways, way);
        list[0] = list[1 + way];
    }
}

/* From the way up to the root: every node points at the half that the way is not in. */
static void turn_away(const struct memo *m, struct memo_row *row, uint32_t way)
{
    uint8_t *node = (uint8_t *)row_policy(m, row);
    for (uint32_t n = m->leaves + way; n > 1; n /= 2)
        node[n / 2] = !(n & 1);
}

static uint32_t coldest(const struct memo *m, struct memo_row *row)
{
    const uint8_t *node = (const uint8_t *)row_policy(m, row);
    uint32_t n = 1;
    for (uint32_t half = m->leaves / 2; half; half /= 2) {
        uint32_t exists = (2 * n + 1) * half < m->leaves + m->ways;
        n = 2 * n + (node[n] & exists);
    }
    return n - m->leaves;
}

static uint32_t least_used(const struct memo *m, struct memo_row *row)
{
    const uint64_t *count = row_policy(m, row);
    uint32_t least = 0;
    for (uint32_t way = 1; way < m->ways; way++)
        if (count[way] < count[least])
            least = way;
    return least;
}

/* The lowest invalid way, or one that is none. */
static uint32_t invalid_way(const struct memo *m, const struct memo_row *row)
{
    for (uint32_t way = 0; way < m->ways; way += MEMO_GROUP) {
        uint32_t invalid = memo_marked((const uint64_t *)row + way / 8, 0);
        if (invalid)
            return way + (uint32_t)__builtin_ctz(invalid);
    }
    return m->ways;
}

/* The way to replace. */
static uint32_t victim(struct memo *m, struct memo_row *row)
{
    if (in_order(m->replacement)) { /* dropped ways go to the back, so this finds them too */
        const uint16_t *list = row_list(m, row);
        return m->ways <= ORDER_WAYS ? order_last(*row_policy(m, row), m->ways)
                                     : list[1 + m->ways + list[0]];
    }
    uint32_t way = invalid_way(m, row);
    if (way < m->ways)
        return way;
    switch (m->replacement) {
    case REPLACE_TREE_PLRU:
        return coldest(m, row);
    case REPLACE_LFU:
        return least_used(m, row);
    default:
        return (uint32_t)rng_below(&m->rng, m->ways);
    }
}

static void used(const struct memo *m, struct memo_row *row, uint32_t way)
{
    switch (m->replacement) {
    case REPLACE_LRU:
        to_front(m, row, way);
        break;
    case REPLACE_TREE_PLRU:
        turn_away(m, row, way);
        break;
    case REPLACE_LFU:
        row_policy(m, row)[way]++;
        break;
    default:
        break;
    }
}

static void filled(const struct memo *m, struct memo_row *row, uint32_t way)
{
    if (m->replacement == REPLACE_FIFO)
        to_front(m, row, way);
    if (m->replacement == REPLACE_LFU)
        row_policy(m, row)[way] = 0;
    used(m, row, way);
}

/* Gives a way a tag, or none. */
static void set_way(const struct memo *m, struct memo_row *row, uint32_t way, uint64_t tag)
{
    row_marks(row)[way] = tag ? (uint8_t)memo_mark(tag) : 0;
    row_tags(m, row)[way] = tag;
}

static uint32_t fill(struct memo *m, struct memo_row *row, uint64_t tag)
{
    uint32_t way = victim(m, row);
    set_way(m, row, way, tag);
    filled(m, row, way);
    return way;
}

/* ---- the interface ---- */

uint32_t memo_lookup_any(struct memo *m, uint64_t tag)
{
    uint32_t set = set_of(m, tag);
    struct memo_row *row = memo_row_at(m, set);
    uint32_t way = find(m, row, tag);
    if (way == MEMO_MISS)
        return MEMO_MISS;
    used(m, row, way);
    return set * m->ways + way;
}

uint32_t memo_insert_any(struct memo *m, uint64_t tag)
{
    uint32_t set = set_of(m, tag);
    return m->entries ? set * m->ways + fill(m, memo_row_at(m, set), tag) : MEMO_MISS;
}

bool memo_access_any(struct memo *m, uint64_t tag)
{
    bool held = memo_lookup_any(m, tag) != MEMO_MISS;
    if (!held)
        memo_insert_any(m, tag);
    return held;
}

uint32_t memo_peek(const struct memo *m, uint64_t tag)
{
    uint32_t set = set_of(m, tag), way = find(m, memo_row_at(m, set), tag);
    return way == MEMO_MISS ? MEMO_MISS : set * m->ways + way;
}

uint64_t memo_tag(const struct memo *m, uint32_t slot)
{
    return row_tags(m, memo_row_at(m, slot / m->ways))[slot % m->ways];
}

uint32_t memo_live(const struct memo *m)
{
    uint32_t live = 0;
    for (uint32_t slot = 0; slot < m->entries; slot++)
        live += memo_tag(m, slot) != 0;
    return live;
}

void memo_reuse(struct memo *m, uint32_t slot, uint64_t n)
{
    if (m->replacement == REPLACE_LFU)
        row_policy(m, memo_row_at(m, slot / m->ways))[slot % m->ways] += n;
}

bool memo_place(struct memo *m, uint64_t tag, uint32_t way, uint32_t *slot)
{
    if (way >= m->ways)
        return false;
    uint32_t set = set_of(m, tag);
    struct memo_row *row = memo_row_at(m, set);
    set_way(m, row, way, tag);
    filled(m, row, way);
    *slot = set * m->ways + way;
    return true;
}

void memo_drop(struct memo *m, uint32_t slot)
{
    uint32_t way = slot % m->ways;
    struct memo_row *row = memo_row_at(m, slot / m->ways);
    if (!row_tags(m, row)[way])
        return;
    set_way(m, row, way, 0);
    if (in_order(m->replacement))
        to_back(m, row, way);
}

void memo_drop_matching(struct memo *m, uint64_t mask, uint64_t value)
{
    for (uint32_t set = 0; set < m->sets; set++) {
        const uint64_t *tags = row_tags(m, memo_row_at(m, set));
        for (uint32_t way = 0; way < m->ways; way++)
            if (tags[way] && (tags[way] & mask) == value)
                memo_drop(m, set * m->ways + way);
    }
}

/* In way order, way 0 the next to be filled. */
static void reset_order(const struct memo *m, struct memo_row *row)
{
    uint16_t *list = row_list(m, row), *next = list + 1, *previous = next + m->ways;
    if (m->ways <= ORDER_WAYS) {
        *row_policy(m, row) = order_start(m->ways);
        return;
    }
    for (uint32_t way = 0; way < m->ways; way++) {
        next[way] = (uint16_t)(way ? way - 1 : m->ways - 1);
        previous[way] = (uint16_t)(way + 1 < m->ways ? way + 1 : 0);
    }
    list[0] = (uint16_t)(m->ways - 1);
}

void memo_flush(struct memo *m)
{
    memset((char *)m + MEMO_ROWS, 0, m->targets - MEMO_ROWS);
    for (uint32_t set = 0; in_order(m->replacement) && set < m->sets; set++)
        reset_order(m, memo_row_at(m, set));
}
