#include "sim/workload/generator.h"

#include <assert.h>
#include <string.h>

enum { LINE_BYTES = 64 };

/* What a pattern needs to know of its map, worked out once per batch. */
struct map {
    gva_t base;
    uint64_t length, page, pages;
    uint64_t align; /* a power of two: places are multiples of it */
    unsigned shift; /* log2 of align */
    uint64_t last;  /* the last place where an access fits */
};

static struct map map_of(const struct generator_spec *spec, unsigned size)
{
    unsigned shift = 31 - (unsigned)__builtin_clz(size);
    return (struct map){
        .base = spec->base,
        .length = spec->length,
        .page = spec->page,
        .pages = spec->length >> __builtin_ctzll(spec->page),
        .align = UINT64_C(1) << shift,
        .shift = shift,
        .last = (spec->length - size) >> shift << shift,
    };
}

/* The address of an offset into the map, aligned, and moved back if it would cross the end. */
static inline gva_t address(const struct map *map, uint64_t offset)
{
    offset &= -map->align;
    return map->base + (offset < map->last ? offset : map->last);
}

static uint16_t access_bytes(const struct generator_spec *spec)
{
    return spec->pattern == PATTERN_GUPS ? 8 : spec->size;
}

/*
 * The patterns: each writes the gva of the next n accesses. The state that changes lives in locals
 * meanwhile, because the compiler can't know that `out` is elsewhere.
 */
static void sequential(struct generator *g, const struct map *map, struct access *out, size_t n)
{
    const struct map m = *map;
    uint64_t position = g->position, step = g->step;
    for (size_t i = 0; i < n; i++) {
        out[i].gva = address(&m, position);
        position += step;
        position -= position < m.length ? 0 : m.length;
    }
    g->position = position;
}

static void uniform(struct generator *g, const struct map *map, struct access *out, size_t n)
{
    const struct map m = *map;
    const uint64_t places = (m.last >> m.shift) + 1;
    struct rng rng = g->place;
    for (size_t i = 0; i < n; i++)
        out[i].gva = m.base + (rng_below(&rng, places) << m.shift);
    g->place = rng;
}

static void zipf(struct generator *g, const struct map *map, struct access *out, size_t n)
{
    const struct map m = *map;
    const struct zipf *table = g->zipf;
    struct rng rng = g->place;
    for (size_t i = 0; i < n; i++) {
        uint64_t page = zipf_pick(table, rng_next(&rng));
        out[i].gva = address(&m, page * m.page + (rng_next(&rng) & (m.page - 1)));
    }
    g->place = rng;
}

/*
 * No table: a counter through a permutation of the next power of two, leaving out what is no page.
 * A node stands in a line of its page that depends on the page alone, as a real list's does.
 */
static void pointer_chase(struct generator *g, const struct map *map, struct access *out, size_t n)
{
    const struct map m = *map;
    const unsigned bits = m.pages > 1 ? 64 - (unsigned)__builtin_clzll(m.pages - 1) : 0;
    const uint64_t line = (m.page - 1) & -(uint64_t)LINE_BYTES;
    uint64_t position = g->position;
    for (size_t i = 0; i < n; i++) {
        uint64_t page;
        do
            page = scatter(position++ & low_bits(bits), bits);
        while (page >= m.pages);
        uint64_t offset = page * UINT64_C(0x9e3779b97f4a7c15) >> 20 & line;
        out[i].gva = address(&m, page * m.page + offset);
    }
    g->position = position;
}

/* The window is the first `hot` places counted from its start, around the end of the map. */
static void working_set(struct generator *g, const struct map *map, struct access *out, size_t n)
{
    const struct map m = *map;
    const uint64_t places = m.length >> m.shift, wanted = g->spec.hot >> m.shift;
    const uint64_t hot = wanted < 1 ? 1 : wanted < places ? wanted : places;
    const double share = hot < places ? g->spec.hot_share : 1;
    const double drift = g->drift, pages = (double)m.pages;
    double window = g->window;
    struct rng rng = g->place;
    for (size_t i = 0; i < n; i++) {
        bool in = rng_unit(&rng) < share;
        uint64_t from = in ? 0 : hot, count = in ? hot : places - hot;
        uint64_t offset = (uint64_t)window * m.page + ((from + rng_below(&rng, count)) << m.shift);
        out[i].gva = address(&m, offset < m.length ? offset : offset - m.length);
        window += drift;
        window -= window < pages ? 0 : pages;
    }
    g->window = window;
    g->place = rng;
}

static void list(struct generator *g, const struct map *map, struct access *out, size_t n)
{
    (void)map;
    const gva_t *addresses = g->spec.list;
    uint64_t position = g->position, length = g->spec.list_length;
    for (size_t i = 0; i < n; i++) {
        out[i].gva = addresses[position];
        position = position + 1 < length ? position + 1 : 0;
    }
    g->position = position;
}

static void (*const draw[PATTERNS])(struct generator *, const struct map *, struct access *out,
                                    size_t n) = {
    [PATTERN_SEQUENTIAL] = sequential,
    [PATTERN_UNIFORM] = uniform,
    [PATTERN_ZIPF] = zipf,
    [PATTERN_POINTER_CHASE] = pointer_chase,
    [PATTERN_GUPS] = uniform,
    [PATTERN_WORKING_SET] = working_set,
    [PATTERN_LIST] = list,
};

const char *pattern_name(enum pattern pattern)
{
    static const char *const names[PATTERNS] = {PATTERN_WORDS};
    return names[pattern];
}

void generator_init(struct generator *g, const struct generator_spec *spec, const struct zipf *zipf)
{
    assert(spec->length && spec->length % spec->page == 0 && spec->size &&
           spec->size <= spec->page);
    assert(spec->pattern != PATTERN_SEQUENTIAL || spec->stride);
    assert(spec->pattern != PATTERN_ZIPF || zipf->pages == spec->length / spec->page);
    assert(spec->pattern != PATTERN_LIST || spec->list_length);
    assert(spec->drift >= 0 && spec->drift < 0x1p63);
    *g = (struct generator){.spec = *spec, .zipf = zipf, .place = {spec->seed}};
    g->dice.state = rng_next(&g->place);
    if (spec->pattern == PATTERN_SEQUENTIAL)
        g->step = spec->stride % spec->length;
    if (spec->pattern == PATTERN_POINTER_CHASE)
        g->position = rng_next(&g->place);
    if (spec->pattern == PATTERN_WORKING_SET) {
        uint64_t whole = (uint64_t)spec->drift;
        g->drift = (double)(whole % (spec->length / spec->page)) + (spec->drift - (double)whole);
    }
}

/* Everything but the addresses of n accesses. */
static void describe(struct generator *g, struct access *out, size_t n)
{
    const struct generator_spec *spec = &g->spec;
    const double writes = spec->writes;
    const struct access same = {
        .size = access_bytes(spec),
        .op = spec->pattern == PATTERN_GUPS ? OP_MODIFY
              : writes >= 1                 ? OP_WRITE
                                            : OP_READ,
        .flags = spec->flags,
        .process = spec->process,
    };
    for (size_t i = 0; i < n; i++) {
        gva_t gva = out[i].gva;
        out[i] = same;
        out[i].gva = gva;
    }
    if (same.op != OP_READ || writes <= 0)
        return;
    struct rng dice = g->dice;
    for (size_t i = 0; i < n; i++)
        out[i].op = rng_unit(&dice) < writes ? OP_WRITE : OP_READ;
    g->dice = dice;
}

/* An event on the page of an access: two records. */
static struct access *event(const struct generator *g, struct access *out, const struct access *at,
                            enum op op, uint32_t rights)
{
    struct operand operand = {.length = g->spec.page, .rights = rights};
    out[0] = *at;
    out[0].gva &= -g->spec.page;
    out[0].op = (uint8_t)op;
    memcpy(out + 1, &operand, sizeof operand);
    return out + 2;
}

/*
 * Moves n drawn accesses to `out`, each behind its events; returns the end. They stand in the last
 * n of GENERATOR_BURST * n records from `out` on, so that none is overwritten before its turn.
 */
static struct access *interleave(struct generator *g, struct access *out,
                                 const struct access *drawn, size_t n)
{
    const uint32_t rights = g->spec.rights;
    for (size_t i = 0; i < n; i++) {
        struct access access = drawn[i];
        describe(g, &access, 1);
        if (rng_unit(&g->dice) < g->spec.remap) {
            out = event(g, out, &access, OP_UNMAP, rights);
            out = event(g, out, &access, OP_MAP, rights);
        }
        if (rng_unit(&g->dice) < g->spec.protect) {
            out = event(g, out, &access, OP_PROTECT, rights & ~(uint32_t)RIGHT_WRITE);
            out = event(g, out, &access, OP_PROTECT, rights);
        }
        *out++ = access;
    }
    return out;
}

size_t generator_fill(struct generator *g, struct access *out, size_t max)
{
    const bool eventful = g->spec.remap > 0 || g->spec.protect > 0;
    const size_t burst = eventful ? GENERATOR_BURST : 1;
    const struct map map = map_of(&g->spec, access_bytes(&g->spec));
    struct access *at = out, *const end = out + max;
    assert(max >= burst);
    while (g->made < g->spec.accesses && (size_t)(end - at) >= burst) {
        size_t room = (size_t)(end - at), n = eventful ? room / GENERATOR_BURST : room;
        n = n < g->spec.accesses - g->made ? n : g->spec.accesses - g->made;
        struct access *drawn = at + (burst - 1) * n;
        draw[g->spec.pattern](g, &map, drawn, n);
        if (eventful)
            at = interleave(g, at, drawn, n);
        else
            describe(g, at, n), at += n;
        g->made += n;
    }
    return (size_t)(at - out);
}
