#include "sim/fuzz/generate.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "sim/fuzz/rules.h"

enum {
    MIB = 1 << 20,
    INDEXES = 4,     /* of each table that are used */
    SPOT = 32,       /* bytes at each end of a data frame that are filled */
    DATA = 8,        /* data frames */
    TABLES_MOST = 5, /* of one level */
    RECENT = 8,
    ITEMS_LEAST = 64,
    TRIES = 8,
};

struct maker {
    struct fuzz_program *program;
    const struct environment *environment;
    struct rules rules;
    struct rng rng;
    gpa_t data[DATA];
    gpa_t table[LEVELS_MAX + 1][TABLES_MOST];
    unsigned tables[LEVELS_MAX + 1];
    gva_t recent[RECENT]; /* that were accessed */
};

static bool chance(struct maker *m, unsigned percent)
{
    return rng_below(&m->rng, 100) < percent;
}

static unsigned below(struct maker *m, unsigned n)
{
    return (unsigned)rng_below(&m->rng, n);
}

/* A bit of @low to @high, or none. */
static uint64_t bit_among(struct maker *m, unsigned low, unsigned high)
{
    return low > high ? 0 : (uint64_t)1 << (low + below(m, high - low + 1));
}

static uint64_t harmless_word(struct maker *m)
{
    static const uint8_t bytes[] = {0x90, 0xf8, 0xf9, 0xfc};
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word = word << 8 | bytes[below(m, 4)];
    return word;
}

/* ---- where things stand ---- */

static void place_data(struct maker *m)
{
    gpa_t middle = m->program->memory / 2;
    const gpa_t frames[DATA] = {
        0, 1, 2, 5, 100, middle >> 12, (middle >> 12) + 1, (middle >> 12) + 9};
    for (unsigned i = 0; i < DATA; i++)
        m->data[i] = frames[i] << FRAME_SHIFT;
}

/* From the top of memory down, so that words are added in order when tables are filled upwards. */
static void place_tables(struct maker *m)
{
    static const uint8_t most[] = {0, 5, 4, 3, 2, 2};
    struct fuzz_program *p = m->program;
    unsigned frame = (unsigned)(p->memory >> FRAME_SHIFT) - 1;
    for (unsigned level = 1; level <= p->levels; level++) {
        bool top = level == p->levels;
        m->tables[level] = top ? 1 + below(m, 2) : 1 + below(m, most[level]);
        for (unsigned i = 0; i < m->tables[level]; i++) {
            m->table[level][i] = (gpa_t)--frame << FRAME_SHIFT;
            p->level[frame] = (uint8_t)level;
        }
    }
}

/* Which entry of a table is the i-th that is used. */
static unsigned index_used(const struct maker *m, unsigned level, unsigned i)
{
    static const unsigned top[] = {0, 1, 256, 511}, others[] = {0, 1, 2, 511};
    unsigned index = level == m->program->levels ? top[i] : others[i];
    return index == 256 && m->environment->mask[MASK_top_entry_256] ? 2 : index;
}

/* ---- entries ---- */

static bool may_be_page(const struct maker *m, unsigned level)
{
    return level == 1 || level == 2 || (level == 3 && m->environment->has.page_1gib);
}

/* Bits of any present entry but its address. */
static uint64_t draw_bits(struct maker *m)
{
    unsigned width = m->environment->maxphyaddr;
    uint64_t e = (chance(m, 97) ? PTE_P : 0) | (chance(m, 88) ? PTE_W : 0) |
                 (chance(m, 88) ? PTE_U : 0) | (chance(m, 50) ? PTE_A : 0) |
                 (chance(m, 50) ? PTE_D : 0);
    e |= chance(m, 3) ? PTE_PWT : 0;
    e |= chance(m, 3) ? PTE_PCD : 0;
    e |= chance(m, 5) ? PTE_NX : 0;
    e |= chance(m, 5) ? bit_among(m, 9, 11) : 0;
    e |= chance(m, 5) ? bit_among(m, 52, 58) : 0;
    e |= chance(m, 1) ? bit_among(m, width, 51) : 0;
    return e;
}

/* The frame of a page: data within memory. */
static gpa_t draw_frame(struct maker *m, unsigned level)
{
    unsigned large = (unsigned)(m->program->memory >> 21);
    if (level == 1)
        return m->data[below(m, DATA)];
    return level == 2 && large ? (gpa_t)below(m, large) << 21 : 0;
}

static uint64_t draw_page(struct maker *m, unsigned level)
{
    uint64_t e = draw_frame(m, level) | draw_bits(m) | rng_below(&m->rng, 16) << PTE_PK_SHIFT;
    e |= level > 1 ? PTE_PS : 0;
    e |= chance(m, 35) ? PTE_G : 0;
    e |= chance(m, 3) ? (level > 1 ? (uint64_t)1 << 12 : PTE_PS) : 0; /* PAT */
    e |= level > 1 && chance(m, 4) ? bit_among(m, 13, 12 + 9 * (level - 1) - 1) : 0;
    return e;
}

static uint64_t draw_way(struct maker *m, unsigned level)
{
    uint64_t e = m->table[level - 1][below(m, m->tables[level - 1])] | draw_bits(m);
    return level > 3 && chance(m, 1) ? e | PTE_PS : e;
}

static uint64_t draw_entry(struct maker *m, unsigned level)
{
    bool page = may_be_page(m, level) && chance(m, level == 1 ? 100 : level == 2 ? 30 : 15);
    return chance(m, 3) ? 0 : page ? draw_page(m, level) : draw_way(m, level);
}

/* ---- before the run ---- */

static void add_word(struct maker *m, gpa_t gpa, uint64_t value)
{
    struct fuzz_program *p = m->program;
    if (value)
        p->word[p->n_words++] = (struct fuzz_word){gpa, value};
}

static void fill_data(struct maker *m)
{
    for (unsigned i = 0; i < DATA; i++) {
        for (unsigned at = 0; at < SPOT; at += 8)
            add_word(m, m->data[i] + at, harmless_word(m));
        for (unsigned at = FRAME_BYTES - SPOT; at < FRAME_BYTES; at += 8)
            add_word(m, m->data[i] + at, harmless_word(m));
    }
}

static void fill_tables(struct maker *m)
{
    for (unsigned level = m->program->levels; level; level--)
        for (unsigned t = m->tables[level]; t--;)
            for (unsigned i = 0; i < INDEXES; i++)
                add_word(m, m->table[level][t] + index_used(m, level, i) * 8, draw_entry(m, level));
}

static struct registers draw_registers(struct maker *m)
{
    const struct environment *e = m->environment;
    struct registers r = {.cr0 = 0x80010033, .cr4 = CR4_PAE, .efer = 0xd01};
    r.cr3 = m->table[m->program->levels][0];
    r.cr0 &= chance(m, 70) ? ~(uint64_t)0 : ~CR0_WP;
    r.efer &= e->has.nx && chance(m, 75) ? ~(uint64_t)0 : ~EFER_NXE;
    r.cr4 |= m->program->levels == 5 ? CR4_LA57 : 0;
    r.cr4 |= chance(m, 70) ? CR4_PGE : 0;
    r.cr4 |= e->has.smep && chance(m, 30) ? CR4_SMEP : 0;
    r.cr4 |= e->has.smap && chance(m, 30) ? CR4_SMAP : 0;
    r.cr4 |= e->has.pku && chance(m, 40) ? CR4_PKE : 0;
    r.pkru = r.cr4 & CR4_PKE ? (uint32_t)(rng_next(&m->rng) & rng_next(&m->rng)) : 0;
    return r;
}

/* ---- items ---- */

static bool add(struct maker *m, const struct script_item *item)
{
    struct fuzz_program *p = m->program;
    if (p->n_items == FUZZ_ITEMS || !rules_allow(&m->rules, item))
        return false;
    p->item[p->n_items++] = *item;
    rules_follow(&m->rules, item);
    return true;
}

static bool load(struct maker *m, enum verb verb, uint64_t value)
{
    return add(m, &(struct script_item){.verb = verb, .has_value = true, .value = value});
}

static gva_t draw_gva(struct maker *m)
{
    unsigned spare = m->program->levels == 5 ? 7 : 16;
    gva_t gva = 0;
    if (chance(m, 60))
        return m->recent[below(m, RECENT)];
    for (unsigned level = 1; level <= m->program->levels; level++)
        gva |= (gva_t)index_used(m, level, below(m, INDEXES)) << (12 + 9 * (level - 1));
    return (gva_t)((int64_t)(gva << spare) >> spare);
}

/* An address of the page of @gva at which there are data; near an edge of it, at least. */
static gva_t draw_spot(struct maker *m, gva_t gva, unsigned size)
{
    struct path path;
    rules_path(&m->rules, gva, &path);
    uint64_t offset = chance(m, 50) ? below(m, SPOT) : FRAME_BYTES - 1 - below(m, SPOT);
    offset &= chance(m, 70) ? ~(uint64_t)(size - 1) : ~(uint64_t)0;
    if (path.end == PATH_PAGE && path.steps < m->program->levels) {
        gpa_t base = path.gpa & ~(path.bytes - 1), data = m->data[below(m, DATA)];
        gva &= ~(path.bytes - 1);
        gva |= data >= base && data - base < path.bytes ? data - base : 0;
    }
    return (gva & ~(gva_t)(FRAME_BYTES - 1)) | offset;
}

/* Pages are worth coming back to; what ends in a fault, less so. */
static void remember(struct maker *m, gva_t gva)
{
    struct path path;
    rules_path(&m->rules, gva, &path);
    if (path.end == PATH_PAGE || chance(m, 20))
        m->recent[below(m, RECENT)] = gva;
}

static bool add_access(struct maker *m, gva_t gva)
{
    static const uint8_t ops[] = {OP_READ, OP_READ, OP_WRITE, OP_WRITE, OP_EXEC};
    struct script_item item = {.verb = VERB_access};
    struct access *a = &item.access;
    a->op = ops[below(m, 5)];
    a->size = a->op == OP_EXEC ? 1 : (uint16_t)(1u << below(m, 4));
    a->flags = chance(m, 50) ? ACCESS_USER : a->op != OP_EXEC && chance(m, 30) ? ACCESS_AC : 0;
    a->gva = draw_spot(m, gva, a->size);
    gva = a->gva;
    a->gva ^= chance(m, 1) ? (uint64_t)1 << 60 : 0; /* not canonical */
    item.has_value = a->op == OP_WRITE;
    item.value = item.has_value ? harmless_word(m) & ~UINT64_C(0) >> (64 - 8u * a->size) : 0;
    if (!add(m, &item))
        return false;
    remember(m, gva);
    return true;
}

static void invlpg(struct maker *m, gva_t gva)
{
    add(m, &(struct script_item){.verb = VERB_invlpg, .access.gva = gva});
}

static void toggle_global(struct maker *m)
{
    load(m, VERB_mov_cr4, m->rules.registers.cr4 ^ CR4_PGE);
    if (chance(m, 80))
        load(m, VERB_mov_cr4, m->rules.registers.cr4 ^ CR4_PGE);
}

static void load_root(struct maker *m)
{
    unsigned top = m->program->levels;
    load(m, VERB_mov_cr3, m->table[top][below(m, m->tables[top])]);
}

/* An access to somewhere. Where too much is loose, all is dropped. */
static void access(struct maker *m)
{
    for (unsigned i = 0; i < TRIES; i++)
        if (add_access(m, draw_gva(m)))
            return;
    toggle_global(m);
}

/* ---- edits ---- */

static uint64_t draw_flip(struct maker *m, unsigned level, uint64_t entry)
{
    static const uint64_t bits[] = {PTE_P, PTE_P,  PTE_W,  PTE_W, PTE_U,
                                    PTE_U, PTE_NX, PTE_NX, PTE_A, PTE_D};
    bool page = level == 1 || (level < 4 && entry & PTE_PS);
    if (chance(m, 10))
        return bit_among(m, m->environment->maxphyaddr, 51);
    if (page && chance(m, 25))
        return chance(m, 50) ? PTE_G : bit_among(m, PTE_PK_SHIFT, PTE_PK_SHIFT + 3);
    return bits[below(m, sizeof bits / sizeof *bits)];
}

static uint64_t draw_change(struct maker *m, unsigned level, uint64_t entry)
{
    return chance(m, 50) || !entry ? draw_entry(m, level) : entry ^ draw_flip(m, level, entry);
}

static void invalidate(struct maker *m, gva_t gva)
{
    if (chance(m, 60))
        invlpg(m, gva);
    else if (chance(m, 60))
        load(m, VERB_mov_cr3, m->rules.registers.cr3);
    else
        toggle_global(m);
}

/* Changes an entry on the way of an address; mostly invalidates, and goes there again. */
static void edit(struct maker *m)
{
    gva_t gva = draw_gva(m);
    struct path path;
    rules_path(&m->rules, gva, &path);
    if (!path.steps)
        return;
    unsigned step = below(m, path.steps), level = m->program->levels - step;
    uint64_t value = draw_change(m, level, path.entry[step]);
    add(m, &(struct script_item){.verb = VERB_store,
                                 .gpa = path.at[step],
                                 .size = 8,
                                 .has_value = true,
                                 .value = value});
    if (chance(m, 75))
        invalidate(m, gva);
    for (unsigned i = 0; i < TRIES && chance(m, 80); i++)
        add_access(m, gva);
}

/* ---- registers ---- */

static void control(struct maker *m)
{
    const struct registers *r = &m->rules.registers;
    switch (below(m, 7)) {
    case 0:
        load(m, VERB_mov_cr0, r->cr0 ^ CR0_WP);
        break;
    case 1:
        load(m, VERB_mov_cr4, r->cr4 ^ CR4_SMEP);
        break;
    case 2:
        load(m, VERB_mov_cr4, r->cr4 ^ CR4_SMAP);
        break;
    case 3:
        load(m, VERB_wrmsr_efer, r->efer ^ EFER_NXE);
        break;
    case 4:
        if (r->pkru)
            load(m, VERB_wrpkru, 0);
        load(m, VERB_mov_cr4, r->cr4 ^ CR4_PKE);
        break;
    default:
        load(m, VERB_wrpkru, rng_next(&m->rng) & rng_next(&m->rng) & UINT32_MAX);
    }
}

static void step(struct maker *m)
{
    unsigned what = below(m, 100);
    if (what < 76)
        access(m);
    else if (what < 88)
        edit(m);
    else if (what < 94)
        control(m);
    else if (what < 97)
        load_root(m);
    else if (what < 99)
        invlpg(m, draw_gva(m));
    else
        toggle_global(m);
}

bool generate(struct fuzz_program *p, uint64_t seed, uint64_t number,
              const struct environment *environment)
{
    struct maker *m = calloc(1, sizeof *m);
    if (!m)
        return false;
    m->program = p;
    m->environment = environment;
    m->rng.state = seed + rng_next(&(struct rng){number});
    memset(p, 0, sizeof *p);
    p->seed = seed;
    p->number = number;
    p->levels = environment->has.la57 && chance(m, 40) ? 5 : 4;
    p->memory = (uint64_t)MIB << below(m, 3);
    place_data(m);
    place_tables(m);
    fill_data(m);
    fill_tables(m);
    p->registers = draw_registers(m);
    bool good = rules_init(&m->rules, environment, p);
    unsigned wanted = ITEMS_LEAST + below(m, FUZZ_ITEMS - ITEMS_LEAST);
    while (good && p->n_items < wanted)
        step(m);
    rules_fini(&m->rules);
    free(m);
    return good;
}
