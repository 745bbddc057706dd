/*
 * The same raw program under every mode: random page tables, a guest that edits them by stores and
 * by accesses through mappings of the tables themselves, invalidates what it must (Intel SDM vol.
 * 3, 4.10.4.2), and changes control registers. What it reads, its faults and the memory that it
 * leaves, accessed and dirty flags included, are the same as on a machine that caches nothing.
 *
 * Two kinds of tables. Tame ones are a tree: private parts per root, a part that all roots share
 * and that alone has global pages; edits are followed by whatever invalidation just suffices. Wild
 * ones may stand at several places and levels, within themselves too; edits drop everything.
 */
#include "tests/sim/worlds.h"

enum {
    STEPS = 180,
    SEEDS = 600,
    ROOTS = 3,
    TABLES = 40,
    TABLES_AT = 0x10000, /* above: data that 1 GiB pages reach; below 2 MiB no large page begins */
    MEMORY = 16 * MIB,
    INDEXES = 4 /* of each table that are used */
};

struct raw {
    struct world like;
    enum paging paging;
    unsigned entry_bytes, bits; /* of an index */
    bool wild, globals;         /* global pages may be */
    unsigned roots, tables;
    struct raw_table {
        unsigned level, root; /* ROOTS: shared by all */
        gva_t base;           /* tame: the first address that it is walked for */
    } table[TABLES];
    struct program *program;
    struct rng *rng;
    uint8_t bytes[TABLES * FRAME_BYTES], data[4 * FRAME_BYTES];
};

static gpa_t table_at(unsigned table)
{
    return TABLES_AT + (gpa_t)table * FRAME_BYTES;
}

static bool is_table(const struct raw *r, gpa_t gpa)
{
    return gpa >= TABLES_AT && gpa < table_at(r->tables);
}

/* ---- entries ---- */

/* Which entry of a table of a level is the i-th that is used. */
static unsigned index_used(const struct raw *r, unsigned level, unsigned i)
{
    static const unsigned few[] = {0, 1, 2, 3}, edge[] = {0, 1, 2, 511}, ends[] = {0, 1, 511, 510};
    if (level == 1)
        return i == 3 && r->bits == 10 ? 1023 : edge[i];
    return level == 2 || r->paging == PAGING_PAE ? few[i] : ends[i];
}

static unsigned shift_of(const struct raw *r, unsigned level)
{
    return 12 + r->bits * (level - 1);
}

static bool may_be_leaf(const struct raw *r, unsigned level)
{
    return level == 1 || level == 2 || (level == 3 && r->paging >= PAGING_4_LEVEL);
}

static bool is_pdpt(const struct raw *r, unsigned level)
{
    return r->paging == PAGING_PAE && level == 3;
}

static gpa_t draw_frame(struct raw *r, unsigned level)
{
    static const gpa_t data[] = {0,        0x1000,   0x2000,   0x3000,  0x1ff000,
                                 0x200000, 0x201000, 0x3ff000, 0x400000};
    if (level == 3)
        return 0;
    if (level == 2)
        return (1 + rng_below(r->rng, r->bits == 10 ? 3 : 7)) << shift_of(r, 2);
    return chance(r->rng, 75) ? data[rng_below(r->rng, 9)]
                              : table_at((unsigned)rng_below(r->rng, r->tables));
}

static uint64_t draw_flags(struct raw *r, bool leaf, bool global)
{
    struct rng *rng = r->rng;
    uint64_t e = (chance(rng, 92) ? PTE_P : 0) | (chance(rng, 75) ? PTE_W : 0) |
                 (chance(rng, 75) ? PTE_U : 0) | (chance(rng, 40) ? PTE_A : 0);
    e |= chance(rng, 4) ? PTE_PWT : 0;
    e |= leaf && chance(rng, 40) ? PTE_D : 0;
    e |= leaf && global && chance(rng, 40) ? PTE_G : 0;
    e |= r->entry_bytes == 8 && chance(rng, 12) ? PTE_NX : 0;
    if (leaf && r->paging >= PAGING_4_LEVEL)
        e |= rng_below(rng, 16) << PTE_PK_SHIFT;
    if (r->entry_bytes == 8 && chance(rng, 2))
        e |= (uint64_t)1 << (40 + rng_below(rng, 12)); /* reserved */
    return e;
}

/* An entry that maps a page, or leads to @table. */
static uint64_t draw_leaf(struct raw *r, unsigned level, bool global)
{
    uint64_t large = level > 1 ? PTE_PS : 0;
    uint64_t reserved = level == 2 && chance(r->rng, 3) ? (uint64_t)1 << 21 : 0;
    reserved = reserved && r->bits == 9 ? (uint64_t)1 << 15 : reserved;
    return draw_frame(r, level) | large | reserved | draw_flags(r, true, global);
}

/* Tables of a level may stand lower too, as pages of tables; not higher, where data were tables. */
static bool may_lead_to(const struct raw *r, unsigned level, unsigned table)
{
    unsigned made_for = r->table[table].level;
    return r->wild && level > 1 && made_for + 1 >= level && !is_pdpt(r, made_for);
}

static uint64_t lead_to(struct raw *r, unsigned level, unsigned table)
{
    if (is_pdpt(r, level)) /* no rights, nothing reserved: that is a #GP, or under NPT a #PF */
        return table_at(table) | (chance(r->rng, 92) ? PTE_P : 0);
    return table_at(table) | (draw_flags(r, false, false) & ~(uint64_t)PTE_D);
}

/* ---- the first tables ---- */

static unsigned make_table(struct raw *r, unsigned level, unsigned root, gva_t base);

/* The entry of a table under construction; makes what is below it. */
static uint64_t make_entry(struct raw *r, unsigned level, unsigned root, gva_t gva)
{
    bool global = r->globals && (r->wild || root == ROOTS);
    if (level == 1 || (may_be_leaf(r, level) && chance(r->rng, 25)))
        return draw_leaf(r, level, global);
    unsigned below = (unsigned)rng_below(r->rng, r->tables);
    if (may_lead_to(r, level, below) && chance(r->rng, 40))
        return lead_to(r, level, below);
    if (chance(r->rng, 12) || r->tables + level > TABLES - 2)
        return 0;
    return lead_to(r, level, make_table(r, level - 1, root, gva));
}

static void fill_table(struct raw *r, unsigned table)
{
    const struct raw_table t = r->table[table];
    bool top = table < r->roots;
    for (unsigned i = 0; i < INDEXES; i++) {
        unsigned index = index_used(r, t.level, i);
        bool shared = top && i >= 2; /* by all roots: made with the first */
        uint64_t entry = 0;
        if (shared && table)
            memcpy(&entry, &r->bytes[index * r->entry_bytes], r->entry_bytes);
        else
            entry = make_entry(r, t.level, shared ? ROOTS : t.root,
                               t.base | (gva_t)index << shift_of(r, t.level));
        memcpy(&r->bytes[table * FRAME_BYTES + index * r->entry_bytes], &entry, r->entry_bytes);
    }
}

static unsigned make_table(struct raw *r, unsigned level, unsigned root, gva_t base)
{
    unsigned table = r->tables++;
    r->table[table] = (struct raw_table){level, root, base};
    fill_table(r, table);
    return table;
}

/* The roots are the first tables. */
static void make_tables(struct raw *r)
{
    for (unsigned root = 0; root < r->roots; root++)
        r->table[r->tables++] = (struct raw_table){(unsigned)r->paging, root, 0};
    for (unsigned root = 0; root < r->roots; root++)
        fill_table(r, root);
}

/* ---- registers ---- */

static const struct registers *registers_of(const struct raw *r)
{
    return &r->program->native->machine->vcpu[0].mmu->registers;
}

static struct registers draw_registers(struct raw *r)
{
    struct rng *rng = r->rng;
    struct registers x = {.cr0 = CR0_PE | CR0_PG, .cr3 = TABLES_AT};
    x.cr0 |= chance(rng, 60) ? CR0_WP : 0;
    x.cr4 = (r->paging == PAGING_2_LEVEL ? CR4_PSE : CR4_PAE) | (chance(rng, 50) ? CR4_PGE : 0) |
            (chance(rng, 25) ? CR4_SMEP : 0) | (chance(rng, 25) ? CR4_SMAP : 0);
    x.cr4 |= r->paging == PAGING_5_LEVEL ? CR4_LA57 : 0;
    x.efer = r->paging >= PAGING_4_LEVEL ? EFER_LME : 0;
    x.efer |= r->paging >= PAGING_PAE && chance(rng, 75) ? EFER_NXE : 0;
    if (r->paging >= PAGING_4_LEVEL)
        x.cr4 |= (chance(rng, 40) ? CR4_PCIDE : 0) | (chance(rng, 30) ? CR4_PKE : 0);
    x.pkru = chance(rng, 50) ? 0 : (uint32_t)rng_next(rng);
    return x;
}

static const struct outcome *verb(struct raw *r, enum verb verb, uint64_t value)
{
    return program_add(r->program, &(struct script_item){.verb = verb, .value = value});
}

static const struct outcome *invpcid(struct raw *r, unsigned type, unsigned pcid, gva_t gva)
{
    return program_add(r->program, &(struct script_item){.verb = VERB_invpcid,
                                                         .type = type,
                                                         .pcid = (uint16_t)pcid,
                                                         .access.gva = gva});
}

static bool has_pcid(const struct raw *r)
{
    return registers_of(r)->cr4 & CR4_PCIDE;
}

static unsigned current_root(const struct raw *r)
{
    return (unsigned)((registers_of(r)->cr3 & 0xfffff000) - TABLES_AT) / FRAME_BYTES;
}

/* Each root has a PCID of its own, so that keeping what is cached of it is right. */
static void load_root(struct raw *r, unsigned root, bool keep)
{
    uint64_t pcid = has_pcid(r) ? root | (keep ? CR3_KEEP : 0) : 0;
    verb(r, VERB_mov_cr3, table_at(root) | pcid);
}

/* ---- invalidation ---- */

/* Everything, global pages too. */
static void drop_everything(struct raw *r)
{
    uint64_t cr4 = registers_of(r)->cr4;
    if (chance(r->rng, 50)) {
        invpcid(r, 2, 0, 0);
    } else if (!r->globals && !has_pcid(r)) {
        load_root(r, current_root(r), false);
    } else {
        verb(r, VERB_mov_cr4, cr4 ^ CR4_PGE);
        verb(r, VERB_mov_cr4, cr4);
    }
}

static gva_t canonical(const struct raw *r, gva_t gva)
{
    unsigned spare = r->paging == PAGING_5_LEVEL ? 7 : 16;
    return r->paging < PAGING_4_LEVEL ? gva : (gva_t)((int64_t)(gva << spare) >> spare);
}

/* After a leaf of a tame table was changed: what just suffices. */
static void drop_page(struct raw *r, const struct raw_table *t, gva_t gva)
{
    bool here = t->root == ROOTS || t->root == current_root(r);
    gva |= rng_below(r->rng, FRAME_BYTES);
    if (here && (t->root < ROOTS || !has_pcid(r)) && chance(r->rng, 60))
        program_add(r->program, &(struct script_item){.verb = VERB_invlpg, .access.gva = gva});
    else if (t->root < ROOTS && (has_pcid(r) || here) && chance(r->rng, 60))
        invpcid(r, (unsigned)rng_below(r->rng, 2), has_pcid(r) ? t->root : 0, gva);
    else
        drop_everything(r);
}

/* After an entry of a tame table that leads to others was changed. */
static void drop_below(struct raw *r, const struct raw_table *t)
{
    if (t->root == ROOTS || chance(r->rng, 40))
        drop_everything(r);
    else if (t->root == current_root(r) && chance(r->rng, 50))
        load_root(r, t->root, false);
    else if (has_pcid(r) || t->root == current_root(r))
        invpcid(r, 1, has_pcid(r) ? t->root : 0, 0);
    else
        drop_everything(r);
}

/* Whether a change needs no invalidation: nothing was there, or only more is allowed now. */
static bool only_raises(uint64_t from, uint64_t to)
{
    const uint64_t more = PTE_W | PTE_A | PTE_D;
    if (!(from & PTE_P))
        return true;
    return !((from ^ to) & ~(more | PTE_NX)) && !(from & more & ~to) && !(to & ~from & PTE_NX);
}

static void invalidate(struct raw *r, unsigned table, unsigned index, uint64_t from, uint64_t to)
{
    const struct raw_table *t = &r->table[table];
    gva_t gva = canonical(r, t->base | (gva_t)index << shift_of(r, t->level));
    bool leaf = t->level == 1 || (from & PTE_PS && may_be_leaf(r, t->level));
    struct raw_table shared = *t;
    if (t->level == (unsigned)r->paging && index >= index_used(r, t->level, 2))
        shared.root = ROOTS;
    if (!(registers_of(r)->cr0 & CR0_PG))
        return; /* nothing is cached, and PDPTEs are loaded when paging comes on again */
    if (is_pdpt(r, t->level)) /* they are in registers */
        load_root(r, current_root(r), false);
    if (is_pdpt(r, t->level) && !r->globals)
        return;
    if (only_raises(from, to) && chance(r->rng, 80))
        return;
    else if (r->wild)
        drop_everything(r);
    else if (leaf)
        drop_page(r, &shared, gva);
    else
        drop_below(r, &shared);
}

/* ---- edits ---- */

static uint64_t entry_now(const struct raw *r, unsigned table, unsigned index)
{
    return mem_load(&r->program->native->machine->mem, table_at(table) + index * r->entry_bytes,
                    r->entry_bytes);
}

/* One bit of what is there, or something else in its place. Tame tables stay a tree. */
static uint64_t draw_change(struct raw *r, unsigned table, uint64_t from)
{
    static const uint64_t bits[] = {PTE_P, PTE_P, PTE_W, PTE_W, PTE_U, PTE_A, PTE_A, PTE_NX};
    const struct raw_table *t = &r->table[table];
    bool leaf = t->level == 1 || (from & PTE_PS && may_be_leaf(r, t->level));
    bool global = r->globals && (r->wild || t->root == ROOTS);
    uint64_t bit = bits[rng_below(r->rng, r->entry_bytes == 8 ? 8 : 7)];
    if (is_pdpt(r, t->level))
        return from ^ PTE_P;
    if ((leaf && chance(r->rng, 40)) || (!from && may_be_leaf(r, t->level)))
        return draw_leaf(r, t->level, global);
    if (leaf && chance(r->rng, 25))
        bit = PTE_D;
    unsigned below = (unsigned)rng_below(r->rng, r->tables);
    if (may_lead_to(r, t->level, below) && chance(r->rng, 30))
        return lead_to(r, t->level, below);
    if (!from)
        return 0;
    return from ^ bit;
}

/* Shared entries of top tables stay the same in all of them. */
static bool stands_in_all_roots(const struct raw *r, unsigned table, unsigned i)
{
    return table < r->roots && i >= 2 && !r->wild;
}

/* The guest writes an entry: where the table is, or through a page that maps it. */
static void write_entry(struct raw *r, unsigned table, unsigned index, uint64_t entry)
{
    program_add(r->program, &(struct script_item){.verb = VERB_store,
                                                  .gpa = table_at(table) + index * r->entry_bytes,
                                                  .size = r->entry_bytes,
                                                  .has_value = true,
                                                  .value = entry});
}

static void edit(struct raw *r)
{
    unsigned table = (unsigned)rng_below(r->rng, r->tables), i = (unsigned)rng_below(r->rng, 4);
    unsigned index = index_used(r, r->table[table].level, i);
    bool all = stands_in_all_roots(r, table, i);
    uint64_t from = entry_now(r, all ? 0 : table, index), to = draw_change(r, table, from);
    for (unsigned root = 0; all && root < r->roots; root++)
        write_entry(r, root, index, to);
    if (!all)
        write_entry(r, table, index, to);
    invalidate(r, table, index, from, to);
}

/* ---- accesses ---- */

static gva_t draw_gva(struct raw *r)
{
    gva_t gva = 0;
    for (unsigned level = 1; level <= (unsigned)r->paging; level++)
        gva |= (gva_t)index_used(r, level, (unsigned)rng_below(r->rng, INDEXES))
               << shift_of(r, level);
    gva |=
        chance(r->rng, 85) ? rng_below(r->rng, FRAME_BYTES) & ~7ull : 0xfff - rng_below(r->rng, 8);
    if (chance(r->rng, 1))
        return gva ^ (uint64_t)1 << (r->paging < PAGING_4_LEVEL ? 30 : 60);
    return canonical(r, gva);
}

static struct script_item draw_access(struct raw *r)
{
    static const uint8_t ops[] = {OP_READ, OP_READ, OP_WRITE, OP_WRITE, OP_EXEC, OP_MODIFY};
    struct script_item item = {.verb = VERB_access};
    bool paged = registers_of(r)->cr0 & CR0_PG;
    item.access.gva = paged ? draw_gva(r) : draw_frame(r, 1) + (rng_below(r->rng, 4096) & ~7ull);
    item.access.op = ops[rng_below(r->rng, 6)];
    item.access.size = (uint16_t)(chance(r->rng, 85) ? 8 : 1 + rng_below(r->rng, 12));
    item.access.flags = (uint8_t)rng_below(r->rng, 4);
    item.value = rng_next(r->rng);
    item.has_value = true;
    return item;
}

/* Where an access would go, if it went through. */
static bool leads_to(struct raw *r, const struct script_item *item, gva_t gva, gpa_t *gpa)
{
    struct script_item at = *item;
    struct walk w;
    at.access.gva = gva;
    if (!machine_peek(r->program->native->machine, &at, &w))
        return false;
    *gpa = w.found.hpa;
    return true;
}

/* An access that would write an entry: it does so in earnest, and invalidates. */
static void edit_by_access(struct raw *r, struct script_item *item, gpa_t gpa)
{
    unsigned table = (unsigned)((gpa - TABLES_AT) / FRAME_BYTES);
    unsigned i = (unsigned)rng_below(r->rng, INDEXES);
    unsigned index = index_used(r, r->table[table].level, i);
    uint64_t from = entry_now(r, table, index);
    item->access.gva = (item->access.gva & ~(gva_t)0xfff) + index * r->entry_bytes;
    item->access.size = (uint16_t)r->entry_bytes;
    item->value = draw_change(r, table, from);
    item->has_value = !stands_in_all_roots(r, table, i);
    program_add(r->program, item);
    if (item->has_value)
        invalidate(r, table, index, from, item->value);
}

static void access(struct raw *r)
{
    struct script_item item = draw_access(r);
    bool writes = item.access.op == OP_WRITE || item.access.op == OP_MODIFY;
    gva_t gva = item.access.gva, last = gva + item.access.size - 1;
    gpa_t gpa, end;
    bool first = leads_to(r, &item, gva, &gpa) && is_table(r, gpa);
    bool second = (gva ^ last) >> FRAME_SHIFT && leads_to(r, &item, last, &end) && is_table(r, end);
    if (writes && first && !second && !((gva ^ last) >> FRAME_SHIFT)) {
        edit_by_access(r, &item, gpa);
        return;
    }
    item.has_value = !first && !second;
    program_add(r->program, &item);
}

/* ---- control registers ---- */

static void toggle_pcide(struct raw *r)
{
    if (!has_pcid(r) && chance(r->rng, 90))
        load_root(r, 0, false); /* what is cached is of the root that PCID 0 stands for */
    if (!has_pcid(r) && current_root(r))
        return;
    verb(r, VERB_mov_cr4, registers_of(r)->cr4 ^ CR4_PCIDE);
}

/* On and off again: what happens between goes by physical addresses. */
static void toggle_paging(struct raw *r)
{
    uint64_t cr0 = registers_of(r)->cr0;
    if (has_pcid(r) && chance(r->rng, 90))
        return;
    verb(r, VERB_mov_cr0, cr0 & ~CR0_PG);
    for (unsigned n = (unsigned)rng_below(r->rng, 5); n && !(registers_of(r)->cr0 & CR0_PG); n--)
        access(r);
    verb(r, VERB_mov_cr0, cr0);
}

/* Without NXE or PKE a processor need not cache execute-disable bits or keys: 4.10.2.2. */
static void toggle_with_flush(struct raw *r, enum verb which, uint64_t value)
{
    verb(r, which, value);
    drop_everything(r);
}

static void control(struct raw *r)
{
    const struct registers *x = registers_of(r);
    bool wide = r->paging >= PAGING_4_LEVEL;
    switch (rng_below(r->rng, 12)) {
    case 0:
    case 1:
        verb(r, VERB_mov_cr0, x->cr0 ^ CR0_WP);
        break;
    case 2:
        verb(r, VERB_mov_cr4, x->cr4 ^ CR4_SMEP);
        break;
    case 3:
        verb(r, VERB_mov_cr4, x->cr4 ^ CR4_SMAP);
        break;
    case 4:
        verb(r, VERB_mov_cr4, x->cr4 ^ CR4_PGE);
        break;
    case 5:
        verb(r, VERB_wrpkru, chance(r->rng, 30) ? 0 : rng_next(r->rng) & UINT32_MAX);
        break;
    case 6:
        if (wide)
            toggle_with_flush(r, VERB_mov_cr4, x->cr4 ^ CR4_PKE);
        break;
    case 7:
        if (wide)
            toggle_pcide(r);
        break;
    case 8:
        toggle_paging(r);
        break;
    case 9:
        if (r->paging >= PAGING_PAE)
            toggle_with_flush(r, VERB_wrmsr_efer, x->efer ^ EFER_NXE);
        break;
    default:
        load_root(r, (unsigned)rng_below(r->rng, r->roots), chance(r->rng, 50));
    }
}

static void grow(struct raw *r)
{
    uint64_t what = rng_below(r->rng, 100);
    if (what < 68)
        access(r);
    else if (what < 86)
        edit(r);
    else if (what < 97)
        control(r);
    else if (what < 98)
        drop_everything(r);
    else
        program_add(r->program,
                    &(struct script_item){.verb = VERB_invlpg, .access.gva = draw_gva(r)});
    r->program->group++;
}

/* ---- the program of a seed ---- */

static void draw_world(struct raw *r)
{
    struct world *w = &r->like;
    w->config.cpus = 1;
    w->config.n_vms = 1;
    w->config.memory = MEMORY;
    w->config.seed = rng_next(r->rng);
    w->config.profile = draw_profile(r->rng);
    for (unsigned i = 0; i < sizeof r->data; i++)
        r->data[i] = (uint8_t)rng_next(r->rng);
    w->image[0] = (struct image_config){TABLES_AT, r->bytes, r->tables * FRAME_BYTES};
    w->image[1] = (struct image_config){0, r->data, sizeof r->data};
    w->vm = (struct vm_config){.name = "raw",
                               .vcpus = 1,
                               .raw = true,
                               .paging = r->paging,
                               .memory = MEMORY,
                               .registers = draw_registers(r),
                               .n_images = 2};
}

static struct program *make_program(uint64_t seed)
{
    static struct raw r; /* images are borrowed: they outlive the program */
    struct rng rng = {seed};
    r = (struct raw){.rng = &rng};
    r.paging = (enum paging)(PAGING_2_LEVEL + rng_below(&rng, 4));
    r.entry_bytes = r.paging == PAGING_2_LEVEL ? 4 : 8;
    r.bits = r.paging == PAGING_2_LEVEL ? 10 : 9;
    r.wild = chance(&rng, 40);
    r.roots = 1 + (unsigned)rng_below(&rng, ROOTS);
    r.globals = chance(&rng, 60) && (!r.wild || r.roots == 1);
    make_tables(&r);
    draw_world(&r);
    r.program = program_new("raw", seed, &r.like);
    r.program->rng = rng;
    r.rng = &r.program->rng;
    while (r.program->n < STEPS)
        grow(&r);
    return r.program;
}

static void expect_same(unsigned manner, const char *kept_out)
{
    expect_same_program("same_program_raw", make_program, 0x20000, SEEDS, &manners[manner],
                        kept_out);
}

Test(same_program_raw, caches_change_nothing_for_a_guest_that_invalidates_what_it_must)
{
    expect_same(0, NULL);
}

Test(same_program_raw, nested_paging_changes_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(1, NULL);
}

Test(same_program_raw, three_stages_change_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(2, NULL);
}

Test(same_program_raw, two_collapsed_second_stages_change_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(3, NULL);
}

Test(same_program_raw,
     a_shadow_that_follows_as_kvm_s_changes_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(4, NULL);
}

Test(same_program_raw, a_shadow_that_traces_changes_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(5, NULL);
}

Test(same_program_raw, a_shadow_that_is_a_tlb_changes_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(6, NULL);
}

Test(same_program_raw, agile_paging_changes_nothing_for_a_guest_that_edits_its_tables)
{
    expect_same(7, NULL);
}
