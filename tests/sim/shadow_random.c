/*
 * Shadow paging is equivalent: a guest that edits its own tables at random, and invalidates as the
 * manual demands, sees the same values, faults, A and D bits as on a processor of its own.
 */
#include "tests/sim/shadow_support.h"

#include "core/rng.h"

enum {
    MEMORY = 16 << 20,
    TABLES = 2,          /* of each level, and roots */
    USED = 17,           /* indices of leaves in a table that programs use */
    TABLE_FRAMES = 0x20, /* tables are below */
    DATA_FRAME = 0x400,
    DATA = 64 /* data frames */
};

static const struct kind_of_guest {
    const char *name;
    enum paging paging;
    uint64_t cr4, efer;
} guests[] = {
    {"2-level", PAGING_2_LEVEL, CR4_PSE, 0},
    {"PAE", PAGING_PAE, CR4_PAE, EFER_NXE},
    {"4-level", PAGING_4_LEVEL, CR4_PAE | CR4_PKE, EFER_LME | EFER_LMA | EFER_NXE},
    {"4-level with PCIDs", PAGING_4_LEVEL, CR4_PAE | CR4_PCIDE, EFER_LME | EFER_LMA | EFER_NXE},
    {"5-level", PAGING_5_LEVEL, CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA | EFER_NXE},
};
enum { GUESTS = sizeof guests / sizeof *guests };

/* The same guest, natively and on shadow tables. */
struct twins {
    const struct kind_of_guest *guest;
    struct rig *rig[2];
    struct rng rng;
    unsigned root;
    uint64_t faults, good;
};

static struct rig *raw_rig(const struct kind_of_guest *g, const char *mode)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"version\":1,\"machine\":{\"profile\":\"ice-lake\",\"memory\":\"64MiB\"},"
             "\"vms\":[{\"memory\":\"16MiB\",\"registers\":{\"cr0\":\"0x80010001\",\"cr3\":"
             "\"0x1000\",\"cr4\":\"%#llx\",\"efer\":\"%#llx\"},%s}]}",
             (unsigned long long)g->cr4, (unsigned long long)g->efer, mode);
    return rig_new(json);
}

/* ---- where things are ---- */

static unsigned index_bits(const struct twins *t)
{
    return t->guest->paging == PAGING_2_LEVEL ? 10 : 9;
}

static unsigned entry_bytes(const struct twins *t)
{
    return t->guest->paging == PAGING_2_LEVEL ? 4 : 8;
}

static gpa_t table_at(const struct twins *t, unsigned level, unsigned number)
{
    unsigned from_top = t->guest->paging - level;
    return (gpa_t)(1 + from_top * TABLES + number) << FRAME_SHIFT;
}

/* Leaves stand together, for prefetching, and at the end; other levels have two entries in use. */
static unsigned random_index(struct twins *t, unsigned level)
{
    unsigned last = (1u << index_bits(t)) - 1;
    if (t->guest->paging == PAGING_PAE && level == 3)
        return (unsigned)rng_below(&t->rng, 4);
    if (level > 1)
        return rng_below(&t->rng, 2) ? level == t->guest->paging ? last : 1 : 0;
    unsigned index = (unsigned)rng_below(&t->rng, USED);
    return index == USED - 1 ? last : index;
}

static gva_t gva_of(const struct twins *t, const unsigned index[])
{
    gva_t gva = 0;
    unsigned level = 1;
    for (; level <= t->guest->paging; level++)
        gva |= (gva_t)index[level] << (12 + (level - 1) * index_bits(t));
    unsigned spare = t->guest->paging == PAGING_4_LEVEL   ? 16
                     : t->guest->paging == PAGING_5_LEVEL ? 7
                                                          : 0;
    return spare ? (gva_t)((int64_t)(gva << spare) >> spare) : gva;
}

static gva_t random_gva(struct twins *t)
{
    unsigned index[LEVELS_MAX + 1];
    for (unsigned level = 1; level <= t->guest->paging; level++)
        index[level] = random_index(t, level);
    return gva_of(t, index) + (random_index(t, 1) & 15) * 8;
}

static uint64_t one_in(struct twins *t, unsigned n, uint64_t bits)
{
    return rng_below(&t->rng, n) ? 0 : bits;
}

static uint64_t random_entry(struct twins *t, unsigned level)
{
    bool wide = entry_bytes(t) == 8, is_long = t->guest->paging >= PAGING_4_LEVEL;
    uint64_t low = PTE_P & ~one_in(t, 12, PTE_P);
    uint64_t large = level == 2              ? one_in(t, 8, PTE_PS)
                     : level == 3 && is_long ? one_in(t, 24, PTE_PS)
                                             : 0;
    uint64_t bits = (PTE_W & ~one_in(t, 4, PTE_W)) | (PTE_U & ~one_in(t, 4, PTE_U)) |
                    one_in(t, 2, PTE_A) | one_in(t, 3, PTE_D);
    uint64_t high = wide ? one_in(t, 6, PTE_NX) | one_in(t, 60, (uint64_t)1 << 51) : 0;
    if (is_long && t->guest->cr4 & CR4_PKE)
        high |= rng_below(&t->rng, 3) << PTE_PK_SHIFT;
    if (level == 3 && t->guest->paging == PAGING_PAE)
        return low | table_at(t, 2, (unsigned)rng_below(&t->rng, TABLES));
    if (level > 1 && !large)
        return low | bits | high | table_at(t, level - 1, (unsigned)rng_below(&t->rng, TABLES));
    if (large) {
        unsigned shift = 12 + (level - 1) * index_bits(t);
        return low | bits | high | large | (level == 2 ? rng_below(&t->rng, 3) << shift : 0);
    }
    uint64_t gfn = rng_below(&t->rng, 6) ? DATA_FRAME + rng_below(&t->rng, DATA)
                                         : 1 + rng_below(&t->rng, TABLE_FRAMES - 1);
    return low | bits | high | gfn << FRAME_SHIFT;
}

/* ---- both do the same ---- */

static void expect_alike(struct twins *t, const char *what, gva_t gva, const struct outcome o[2])
{
    const struct outcome *a = &o[0], *b = &o[1];
    bool same = a->kind == b->kind && a->has_value == b->has_value && a->value == b->value &&
                a->vector == b->vector && a->error_code == b->error_code && a->cr2 == b->cr2 &&
                a->why == b->why && a->gpa == b->gpa &&
                (a->level == b->level || a->why == REFUSED_PROTECTION); /* caches hide which */
    cr_assert(same,
              "%s: %s of %#llx: outcome %d and %d, value %#llx and %#llx, error %#x and %#x, "
              "level %u and %u, gpa %#llx and %#llx",
              t->guest->name, what, (unsigned long long)gva, a->kind, b->kind,
              (unsigned long long)a->value, (unsigned long long)b->value, a->error_code,
              b->error_code, a->level, b->level, (unsigned long long)a->gpa,
              (unsigned long long)b->gpa);
    t->faults += a->kind == OUTCOME_FAULT;
    t->good += a->kind == OUTCOME_OK;
}

static void both_store(struct twins *t, gpa_t gpa, uint64_t value)
{
    for (unsigned i = 0; i < 2; i++)
        store_at(t->rig[i], gpa, value, entry_bytes(t));
}

static bool both_load(struct twins *t, enum verb verb, uint64_t value)
{
    struct outcome o[2];
    for (unsigned i = 0; i < 2; i++)
        o[i] = load_register(t->rig[i], verb, value);
    expect_alike(t, "a load", value, o);
    return o[0].kind == OUTCOME_OK;
}

/* Every address that programs use, one by one. */
static void invalidate_each(struct twins *t, unsigned index[], unsigned level)
{
    unsigned last = (1u << index_bits(t)) - 1;
    if (!level) {
        for (unsigned i = 0; i < 2; i++)
            invlpg_at(t->rig[i], gva_of(t, index));
        return;
    }
    bool pae_top = t->guest->paging == PAGING_PAE && level == 3;
    unsigned n = level == 1 ? USED : pae_top ? 4 : 2;
    for (unsigned i = 0; i < n; i++) {
        bool at_end = i == n - 1 && !pae_top && (level == 1 || level == t->guest->paging);
        index[level] = at_end ? last : i;
        invalidate_each(t, index, level - 1);
    }
}

static bool has_pcids(const struct twins *t)
{
    return t->guest->cr4 & CR4_PCIDE;
}

/* Each root has a PCID of its own; what is cached of it may be kept. */
static void load_root(struct twins *t)
{
    t->root = (unsigned)rng_below(&t->rng, TABLES);
    both_load(t, VERB_mov_cr3,
              table_at(t, t->guest->paging, t->root) | (t->root + 1) | one_in(t, 2, CR3_KEEP));
}

/* Everything of every PCID, or one of them and then the other. */
static void invalidate_pcids(struct twins *t)
{
    const unsigned type = 1 + (unsigned)rng_below(&t->rng, 3);
    for (uint16_t i = 0; i < TABLES; i++)
        for (unsigned r = 0; r < 2; r++)
            cr_assert_eq(
                tell(t->rig[r],
                     (struct script_item){.verb = VERB_invpcid, .type = type, .pcid = i + 1})
                    .kind,
                OUTCOME_OK);
}

static void invalidate(struct twins *t)
{
    unsigned index[LEVELS_MAX + 1];
    if (has_pcids(t)) {
        invalidate_pcids(t);
        return;
    }
    if (t->guest->paging == PAGING_PAE || rng_below(&t->rng, 3)) {
        t->root = (unsigned)rng_below(&t->rng, TABLES);
        gpa_t root = table_at(t, t->guest->paging, t->root);
        while (!both_load(t, VERB_mov_cr3, root)) /* a program has written PDPTEs of bad bits */
            for (unsigned i = 0; i < 4; i++)
                both_store(t, root + i * 8, random_entry(t, 3));
    } else {
        invalidate_each(t, index, t->guest->paging);
    }
}

static void edit(struct twins *t)
{
    for (uint64_t n = 1 + rng_below(&t->rng, 4); n; n--) {
        unsigned level =
            1 + (unsigned)rng_below(&t->rng, rng_below(&t->rng, 3) ? 1 : t->guest->paging);
        unsigned table = (unsigned)rng_below(&t->rng, TABLES);
        both_store(t, table_at(t, level, table) + random_index(t, level) * entry_bytes(t),
                   random_entry(t, level));
    }
    invalidate(t);
}

static void touch(struct twins *t)
{
    static const enum op ops[] = {OP_READ, OP_WRITE, OP_EXEC};
    struct outcome o[2];
    gva_t gva = random_gva(t);
    enum op op = ops[rng_below(&t->rng, 3)];
    unsigned flags = (unsigned)rng_below(&t->rng, 4);
    uint64_t value = random_entry(t, 1);
    for (unsigned i = 0; i < 2; i++)
        o[i] = access_at(t->rig[i], op, flags, gva, entry_bytes(t), value);
    expect_alike(t, op == OP_WRITE ? "a write" : op == OP_READ ? "a read" : "a fetch", gva, o);
    if (op == OP_WRITE && o[0].kind == OUTCOME_OK && o[0].gpa >> FRAME_SHIFT < TABLE_FRAMES)
        invalidate(t);
}

/* Rules change: the rights of cached translations follow at once, but for NX. */
static void change_rules(struct twins *t)
{
    uint64_t cr4 = t->guest->cr4 | one_in(t, 3, CR4_SMEP) | one_in(t, 3, CR4_SMAP);
    uint64_t efer = t->guest->efer & ~one_in(t, 2, EFER_NXE);
    switch (rng_below(&t->rng, 4)) {
    case 0:
        both_load(t, VERB_mov_cr0, CR0_PE | CR0_PG | one_in(t, 2, CR0_WP));
        break;
    case 1:
        both_load(t, VERB_mov_cr4, cr4);
        break;
    case 2:
        both_load(t, VERB_wrmsr_efer, efer);
        invalidate(t);
        break;
    default:
        both_load(t, VERB_wrpkru, rng_next(&t->rng) & 0xff);
    }
}

/* What the hypervisor does to some frames, of tables or of data, is no matter to the guest. */
static void move(struct twins *t)
{
    bool tables = rng_below(&t->rng, 2);
    uint64_t first =
        tables ? 1 + rng_below(&t->rng, TABLE_FRAMES - 1) : DATA_FRAME + rng_below(&t->rng, DATA);
    const struct script_item item = {.verb = rng_below(&t->rng, 2) ? VERB_drop : VERB_write_protect,
                                     .gpa = first << FRAME_SHIFT,
                                     .length = (1 + rng_below(&t->rng, 24)) << FRAME_SHIFT};
    cr_assert_eq(tell(t->rig[1], item).kind, OUTCOME_OK);
}

static void expect_same_memory(struct twins *t)
{
    for (gpa_t gpa = 0; gpa < MEMORY; gpa += FRAME_BYTES) {
        uint64_t words[2][512];
        for (unsigned i = 0; i < 2; i++)
            cr_assert(machine_dump(t->rig[i]->machine, 0, gpa, words[i], 512));
        for (unsigned w = 0; w < 512; w++)
            cr_assert_eq(words[0][w], words[1][w], "%s: %#llx: %#llx natively, %#llx",
                         t->guest->name, (unsigned long long)(gpa + 8 * w),
                         (unsigned long long)words[0][w], (unsigned long long)words[1][w]);
    }
}

static void fill_tables(struct twins *t)
{
    for (unsigned level = 1; level <= t->guest->paging; level++)
        for (unsigned table = 0; table < TABLES; table++)
            for (unsigned i = 0; i < 40; i++)
                both_store(t, table_at(t, level, table) + random_index(t, level) * entry_bytes(t),
                           random_entry(t, level));
    for (unsigned i = 0; i < DATA; i++)
        both_store(t, (gpa_t)(DATA_FRAME + i) << FRAME_SHIFT, i);
}

static void run_twins(const struct kind_of_guest *guest, const char *settings, uint64_t seed,
                      unsigned steps)
{
    char mode[200];
    struct twins t = {.guest = guest, .rng = {seed}};
    snprintf(mode, sizeof mode, "\"mode\":\"shadow\",%s", settings);
    t.rig[0] = raw_rig(guest, "\"mode\":\"native\"");
    t.rig[1] = raw_rig(guest, mode);
    fill_tables(&t);
    if (has_pcids(&t))
        load_root(&t);
    invalidate(&t);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t act = rng_below(&t.rng, 100);
        if (!rng_below(&t.rng, 10))
            move(&t);
        if (act < 80)
            touch(&t);
        else if (act < 96)
            edit(&t);
        else if (act < 98 && has_pcids(&t))
            load_root(&t);
        else
            change_rules(&t);
        if (i % 500 == 0)
            EXPECT_SOUND(t.rig[1]);
    }
    EXPECT_SOUND(t.rig[1]);
    expect_same_memory(&t);
    cr_expect_gt(t.faults, steps / 20);
    cr_expect_gt(t.good, steps / 20, "%s: %llu", guest->name, (unsigned long long)t.good);
    rig_free(t.rig[0]);
    rig_free(t.rig[1]);
}

static void run_all(const char *format, uint64_t seed, unsigned steps)
{
    for (unsigned g = 0; g < GUESTS; g++)
        for (unsigned p = 0; p < POLICY_COUNT; p++) {
            char settings[160];
            snprintf(settings, sizeof settings, format, policies[p]);
            run_twins(&guests[g], settings, seed + p, steps);
        }
}

Test(shadow_random, raw_guests_see_what_they_see_natively, .timeout = 300)
{
    run_all("\"shadow\":{\"policy\":\"%s\"}", 1, 4000);
}

Test(shadow_random, and_so_where_the_host_has_large_pages, .timeout = 300)
{
    run_all("\"second_stage_page\":{\"4KiB\":0.5,\"2MiB\":0.5},\"shadow\":{\"policy\":\"%s\"}", 5,
            3000);
}

Test(shadow_random, and_so_with_hardly_any_shadow_pages, .timeout = 300)
{
    run_all("\"shadow\":{\"policy\":\"%s\",\"pages\":6}", 9, 1500);
}

Test(shadow_random, and_so_without_a_tag_for_the_vm, .timeout = 300)
{
    run_all("\"ept\":{\"vpid\":false},\"shadow\":{\"policy\":\"%s\",\"prefetch\":3,\"flood\":1}",
            13, 2500);
}
