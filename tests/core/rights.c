/*
 * Every combination of entries, control registers and accesses, against a straight-line rewrite of
 * the manual's rules. The reference shares nothing with core: it has its own constants, and
 * it reads memory a word at a time. SDM vol. 3: 4.3 (32-bit), 4.4 (PAE), 4.5 (4- and 5-level),
 * 4.6 (access rights), 4.7 (error code), 4.8 (accessed and dirty flags).
 */
#include "core/mmu.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n) ((uint64_t)1 << (n))

/* ---- the reference ---- */

/* One setting of the processor. */
struct config {
    unsigned mode; /* levels: 2, 3 (PAE), 4, 5 */
    unsigned maxphy;
    bool page1g; /* CPUID */
    bool wp, smep, smap, pke, nxe, pse;
    uint32_t pkru;
};

enum verdict { GRANTED, PAGE_FAULT, GENERAL_PROTECTION };

struct outcome {
    enum verdict verdict;
    enum refusal_kind kind;
    uint32_t error;  /* of a page fault */
    unsigned level;  /* of the leaf, or of the entry to blame */
    uint64_t hpa;    /* granted */
    uint64_t set[6]; /* by level: bits that the access sets in the entry */
};

/* Bits from high down to low, both included. */
static uint64_t bits(unsigned high, unsigned low)
{
    uint64_t mask = 0;
    for (unsigned n = low; n <= high && n < 64; n++)
        mask |= BIT(n);
    return mask;
}

/* Bits 63:47 (63:56 with five levels) must be equal. 32-bit modes have no such rule. 3.3.7.1. */
static bool reference_canonical(const struct config *c, uint64_t va)
{
    if (c->mode < 4)
        return true;
    uint64_t top = c->mode == 4 ? va >> 47 : va >> 56;
    return top == 0 || top == (c->mode == 4 ? 0x1ffffu : 0xffu);
}

/* "If PS is 1, the entry maps a page": PDEs (32-bit: with CR4.PSE), and PDPTEs of IA-32e. */
static bool reference_is_page(const struct config *c, unsigned level, uint64_t entry)
{
    if (level == 1)
        return true;
    if (!(entry & BIT(7)))
        return false;
    if (c->mode == 2)
        return c->pse;
    return level == 2 || (level == 3 && c->mode >= 4 && c->page1g);
}

/* 4.3, table 4-4: a 4 MiB page has address bits 39:32 in 20:13, as far as M allows; 21 is 0. */
static uint64_t reference_reserved_32(const struct config *c, bool page, unsigned level)
{
    unsigned m = c->maxphy < 40 ? c->maxphy : 40;
    return page && level == 2 ? bits(21, m - 19) : 0;
}

static uint64_t reference_reserved(const struct config *c, bool page, unsigned level)
{
    if (c->mode == 2)
        return reference_reserved_32(c, page, level);
    uint64_t mask = bits(c->mode == 3 ? 62 : 51, c->maxphy); /* PAE ignores no bits up there */
    if (c->maxphy == 52 && c->mode > 3)
        mask = 0;
    if (!c->nxe)
        mask |= BIT(63);
    if (page && level == 2)
        mask |= bits(20, 13);
    if (page && level == 3)
        mask |= bits(29, 13);
    if (level >= 4 || (level == 3 && !c->page1g))
        mask |= BIT(7);
    return mask;
}

/* The page's address: the bits of the entry above the offset, the rest from the address. */
static uint64_t reference_page(const struct config *c, unsigned level, uint64_t entry, uint64_t va)
{
    if (c->mode == 2 && level == 2)
        return (entry >> 13 & 0xff) << 32 | (entry & bits(31, 22)) | (va & bits(21, 0));
    unsigned shift = c->mode == 2 ? 12 : 12 + 9 * (level - 1);
    unsigned top = c->mode == 2 ? 31 : c->maxphy - 1;
    return (entry & bits(top, shift)) | (va & bits(shift - 1, 0));
}

static uint64_t reference_load(const struct mem *mem, uint64_t at, unsigned size)
{
    return mem_holds(mem, at, size) ? mem_load(mem, at, size) : 0;
}

/* What the walk gathered. */
struct path {
    uint64_t entry[6];
    unsigned top, leaf; /* levels read from memory */
    bool w, u, x;
};

/* Every entry on the way: present, then nothing reserved. True at the page. */
static bool reference_walk(const struct config *c, const struct mem *mem, uint64_t root,
                           uint64_t va, struct path *p, struct outcome *o)
{
    uint64_t table = root;
    unsigned size = c->mode == 2 ? 4 : 8, index = c->mode == 2 ? 10 : 9;
    if (c->mode == 3) { /* the PDPTE, from its register: no rights, no reserved bits any more */
        uint64_t pdpte = reference_load(mem, root + (va >> 30 & 3) * 8, 8);
        *o = (struct outcome){.verdict = PAGE_FAULT, .kind = REFUSED_NOT_PRESENT, .level = 3};
        if (!(pdpte & 1))
            return false;
        table = pdpte & bits(c->maxphy - 1, 12);
    }
    p->top = c->mode == 3 ? 2 : c->mode;
    p->w = p->u = p->x = true;
    for (unsigned level = p->top;; level--) {
        uint64_t slot = va >> (12 + index * (level - 1)) & (BIT(index) - 1);
        uint64_t entry = reference_load(mem, table + slot * size, size);
        *o = (struct outcome){.verdict = PAGE_FAULT, .kind = REFUSED_NOT_PRESENT, .level = level};
        p->entry[level] = entry;
        p->leaf = level;
        if (!(entry & 1))
            return false;
        bool page = reference_is_page(c, level, entry);
        o->kind = REFUSED_RESERVED;
        if (entry & reference_reserved(c, page, level))
            return false;
        p->w = p->w && entry & BIT(1);
        p->u = p->u && entry & BIT(2);
        p->x = p->x && !(c->mode > 2 && c->nxe && entry & BIT(63));
        if (page)
            return true;
        table = entry & (c->mode == 2 ? bits(31, 12) : bits(c->maxphy - 1, 12));
    }
}

struct use {
    bool write, fetch, user, ac;
};

/* 4.6.2: PKRU's AD denies all data accesses, WD writes by users, and by anyone with CR0.WP. */
static bool reference_key_denies(const struct config *c, const struct path *p, struct use a)
{
    unsigned key = p->entry[p->leaf] >> 59 & 15;
    if (c->mode < 4 || !c->pke || !p->u || a.fetch)
        return false;
    bool ad = c->pkru >> (2 * key) & 1, wd = c->pkru >> (2 * key + 1) & 1;
    return ad || (wd && a.write && (a.user || c->wp));
}

/* 4.6.1, each bullet in its turn. */
static bool reference_allows(const struct config *c, const struct path *p, struct use a)
{
    if (a.user) {
        if (!p->u)
            return false;
        return a.fetch ? p->x : !a.write || p->w;
    }
    if (a.fetch)
        return p->x && !(p->u && c->smep);
    if (p->u && c->smap && !a.ac)
        return false;
    return !a.write || p->w || !c->wp;
}

/* The highest entry that withholds a right the access needs; if none does, the page's own. */
static unsigned reference_blamed(const struct config *c, const struct path *p, struct use a)
{
    for (unsigned level = p->top; level >= p->leaf; level--) {
        uint64_t e = p->entry[level];
        if ((a.user && !(e & BIT(2))) || (a.write && (a.user || c->wp) && !(e & BIT(1))) ||
            (a.fetch && c->mode > 2 && c->nxe && e & BIT(63)))
            return level;
    }
    return p->leaf;
}

/* 4.7: bit 0 P, 1 W/R, 2 U/S, 3 RSVD, 4 I/D, 5 PK. */
static uint32_t reference_error(const struct config *c, enum refusal_kind kind, bool key,
                                struct use a)
{
    bool pae = c->mode >= 3;
    uint32_t error = 0;
    if (kind != REFUSED_NOT_PRESENT)
        error |= 1;
    if (a.write)
        error |= 2;
    if (a.user)
        error |= 4;
    if (kind == REFUSED_RESERVED)
        error |= 8;
    if (a.fetch && (c->smep || (pae && c->nxe)))
        error |= 16;
    if (key)
        error |= 32;
    return error;
}

static struct outcome reference(const struct config *c, const struct mem *mem, uint64_t root,
                                uint64_t va, struct use a)
{
    struct path p = {0};
    struct outcome o = {.verdict = GENERAL_PROTECTION, .kind = REFUSED_CANONICAL};
    if (!reference_canonical(c, va))
        return o;
    if (!reference_walk(c, mem, root, va, &p, &o)) {
        o.error = reference_error(c, o.kind, false, a);
        return o;
    }
    bool key = reference_key_denies(c, &p, a);
    if (key || !reference_allows(c, &p, a)) {
        o = (struct outcome){.verdict = PAGE_FAULT, .kind = REFUSED_PROTECTION};
        o.level = reference_blamed(c, &p, a);
        o.error = reference_error(c, o.kind, key, a);
        return o;
    }
    o = (struct outcome){.verdict = GRANTED, .level = p.leaf};
    o.hpa = reference_page(c, p.leaf, p.entry[p.leaf], va);
    for (unsigned level = p.top; level >= p.leaf; level--)
        o.set[level] = BIT(5) & ~p.entry[level];
    if (a.write)
        o.set[p.leaf] |= BIT(6) & ~p.entry[p.leaf];
    return o;
}

/* ---- the bench: one path of tables, one vCPU without caches ---- */

enum { TABLES_AT = 0x100000, FRAME_AT = 0x40000000 };

struct bench {
    struct config config;
    struct mem mem;
    struct bus bus;
    struct mmu *mmu;
    struct walk walk;
    uint64_t va, root;
    unsigned top; /* level of the first entry in memory (PAE: the one under the PDPTE) */
    hpa_t at[6];
    uint64_t entry[6]; /* what the test wrote there */
    uint64_t checked, wrong;
};

static unsigned entry_bytes(const struct bench *b)
{
    return b->config.mode == 2 ? 4 : 8;
}

static hpa_t table_at(unsigned level)
{
    return TABLES_AT + level * 0x10000u;
}

static void put(struct bench *b, unsigned level, uint64_t entry)
{
    b->entry[level] = b->config.mode == 2 ? (uint32_t)entry : entry;
    mem_store(&b->mem, b->at[level], entry, entry_bytes(b));
}

static struct profile bare_profile(unsigned maxphy, bool page1g)
{
    struct profile p = {.name = "bare", .maxphyaddr = (uint8_t)maxphy, .mhz = 1000, .line = 64};
    p.features = (1u << FEATURE_COUNT) - 1;
    if (!page1g)
        p.features &= ~(1u << FEATURE_pdpe1gb);
    for (unsigned tlb = 0; tlb < TLBS; tlb++)
        memset(p.tlb[tlb].array_of, TLB_NOWHERE, PAGE_CLASSES);
    return p;
}

static void apply(struct bench *b, const struct config *c)
{
    b->config = *c;
    struct registers r = {.cr0 = BIT(31) | BIT(0) | (c->wp ? BIT(16) : 0), .cr3 = b->root};
    r.cr4 = (c->pse ? BIT(4) : 0) | (c->mode >= 3 ? BIT(5) : 0) | (c->mode == 5 ? BIT(12) : 0) |
            (c->smep ? BIT(20) : 0) | (c->smap ? BIT(21) : 0) | (c->pke ? BIT(22) : 0);
    r.efer = (c->mode >= 4 ? BIT(8) | BIT(10) : 0) | (c->nxe ? BIT(11) : 0);
    r.pkru = c->pkru;
    const char *fault = mmu_set_registers(b->mmu, &b->bus, &r);
    cr_assert_null(fault, "%s", fault);
}

/* Where each level's entry for b->va stands; writes the PDPTE. */
static void lay_out(struct bench *b)
{
    unsigned index = b->config.mode == 2 ? 10 : 9;
    b->top = b->config.mode == 3 ? 2 : b->config.mode;
    b->root = b->config.mode == 3 ? table_at(3) + 0x20 : table_at(b->top);
    for (unsigned level = 1; level <= b->top; level++)
        b->at[level] = table_at(level) +
                       (b->va >> (12 + index * (level - 1)) & (BIT(index) - 1)) * entry_bytes(b);
    if (b->config.mode == 3)
        mem_store(&b->mem, b->root + (b->va >> 30 & 3) * 8, table_at(2) | 1, 8);
}

static struct bench *bench_new(const struct config *c)
{
    struct bench *b = calloc(1, sizeof *b);
    struct profile p = bare_profile(c->maxphy, c->page1g);
    cr_assert(mem_init(&b->mem, BIT(30)));
    b->mmu = aligned_alloc(16, mmu_bytes(&p, 1));
    memset(b->mmu, 0, mmu_bytes(&p, 1));
    mmu_init(b->mmu, &p, 1, 0, 0);
    struct memo *llc = aligned_alloc(16, memo_bytes(&p.data[2], false));
    memset(llc, 0, memo_bytes(&p.data[2], false));
    memo_init(llc, &p.data[2], false, 0);
    b->bus = (struct bus){.mem = &b->mem, .llc = llc};
    b->config = *c;
    b->va = c->mode < 4 ? 0x9a45b6c7 : c->mode == 4 ? 0x0000569a45b6c7d8 : 0x00b5569a45b6c7d8;
    lay_out(b);
    apply(b, c);
    return b;
}

/* Prints what was checked; the test fails if anything was wrong. */
static void bench_done(struct bench **list, unsigned n, const char *what)
{
    uint64_t checked = 0, wrong = 0;
    for (unsigned i = 0; i < n; i++) {
        checked += list[i]->checked;
        wrong += list[i]->wrong;
        mem_fini(&list[i]->mem);
        free(list[i]->mmu);
        free(list[i]->bus.llc);
        free(list[i]);
    }
    fprintf(stderr, "%s: %lu combinations checked, %lu wrong\n", what, checked, wrong);
    cr_assert_gt(checked, 0);
    cr_assert_eq(wrong, 0, "%lu of %lu combinations are wrong", wrong, checked);
}

/* An entry that leads on, or to the page, and allows everything. */
static uint64_t permissive(unsigned level, unsigned leaf)
{
    if (level > leaf)
        return table_at(level - 1) | 7;
    return FRAME_AT | 7 | (leaf > 1 ? BIT(7) : 0);
}

static void all_permissive(struct bench *b, unsigned leaf)
{
    for (unsigned level = 1; level <= b->top; level++)
        put(b, level, level >= leaf ? permissive(level, leaf) : 0);
}

/* ---- one check ---- */

static void report(struct bench *b, struct use a, const struct outcome *want, bool granted)
{
    if (b->wrong++ >= 20)
        return;
    const struct config *c = &b->config;
    const struct walk *w = &b->walk;
    fprintf(stderr,
            "mode %u M %u 1g %d wp %d smep %d smap %d pke %d nxe %d pse %d pkru %08x\n"
            "  va %lx write %d fetch %d user %d ac %d\n",
            c->mode, c->maxphy, c->page1g, c->wp, c->smep, c->smap, c->pke, c->nxe, c->pse, c->pkru,
            b->va, a.write, a.fetch, a.user, a.ac);
    for (unsigned level = b->top; level >= 1; level--)
        fprintf(stderr, "  level %u: wrote %016lx, may set %lx, is %016lx\n", level,
                b->entry[level], want->set[level], mem_load(&b->mem, b->at[level], entry_bytes(b)));
    fprintf(stderr, "  want verdict %u kind %u error %x level %u hpa %lx\n", want->verdict,
            want->kind, want->error, want->level, want->hpa);
    if (granted)
        fprintf(stderr, "  got granted level %u hpa %lx\n", w->found.level, w->found.hpa);
    else
        fprintf(stderr, "  got kind %u error %x level %u ia %lx key %d\n", w->refusal.kind,
                mmu_error_code(b->mmu, &w->refusal), w->refusal.level, w->refusal.ia,
                w->refusal.key);
}

/* The entries are what they were but for A and D; puts them back. */
static bool entries_agree(struct bench *b, const struct outcome *want)
{
    bool agree = true;
    for (unsigned level = 1; level <= b->top; level++) {
        uint64_t now = mem_load(&b->mem, b->at[level], entry_bytes(b));
        if (now == b->entry[level] && !want->set[level])
            continue;
        agree = agree && now == (b->entry[level] | want->set[level]);
        mem_store(&b->mem, b->at[level], b->entry[level], entry_bytes(b));
    }
    return agree;
}

static bool refusal_agrees(const struct bench *b, const struct outcome *want)
{
    const struct refusal *r = &b->walk.refusal;
    if (r->kind != want->kind || r->ia != b->va || r->depth != 0 || r->on_table)
        return false;
    return want->verdict == GENERAL_PROTECTION ||
           (r->level == want->level && mmu_error_code(b->mmu, r) == want->error);
}

static bool grant_agrees(const struct bench *b, const struct outcome *want)
{
    const struct found *f = &b->walk.found;
    unsigned shift = 12 + (b->config.mode == 2 ? 10u : 9u) * (want->level - 1);
    return want->verdict == GRANTED && f->hpa == want->hpa && f->next == want->hpa &&
           f->level == want->level && f->shift == shift;
}

static void check(struct bench *b, struct use a)
{
    struct outcome want = reference(&b->config, &b->mem, b->root, b->va, a);
    struct access access = {.gva = b->va, .size = 1};
    access.op = a.write ? OP_WRITE : a.fetch ? OP_EXEC : OP_READ;
    access.flags = (uint8_t)((a.user ? ACCESS_USER : 0) | (a.ac ? ACCESS_AC : 0));
    bool granted = mmu_translate(b->mmu, &b->bus, &access, false, &b->walk);
    bool agree = granted ? grant_agrees(b, &want) : want.verdict && refusal_agrees(b, &want);
    if (!agree)
        report(b, a, &want, granted);
    if (!entries_agree(b, &want) && agree)
        report(b, a, &want, granted);
    b->checked++;
}

/* Read, write, fetch; user, supervisor; AC clear and set. */
static void check_accesses(struct bench *b)
{
    for (unsigned i = 0; i < 12; i++)
        check(b, (struct use){
                     .write = i % 3 == 1, .fetch = i % 3 == 2, .user = i / 3 % 2, .ac = i / 6});
}

/* Read, write, fetch; user, supervisor without AC. */
static void check_six(struct bench *b)
{
    for (unsigned i = 0; i < 6; i++)
        check(b, (struct use){.write = i % 3 == 1, .fetch = i % 3 == 2, .user = i / 3});
}

/* ---- sweeps over control registers ---- */

/* Bit by bit: WP, SMEP, SMAP, NXE, PSE, PKE. */
static struct config config_number(unsigned mode, unsigned i)
{
    struct config c = {.mode = mode, .maxphy = 46, .page1g = true};
    c.wp = i & 1, c.smep = i >> 1 & 1, c.smap = i >> 2 & 1, c.nxe = i >> 3 & 1;
    c.pse = i >> 4 & 1, c.pke = i >> 5 & 1;
    c.pkru = 0x9c4ee4b1; /* all four of a key's settings, more than once */
    return c;
}

enum { CONFIGS = 64, MODES = 4 };

static unsigned largest_leaf(const struct config *c)
{
    return c->mode >= 4 ? 3 : 2;
}

/* ---- one level in full ---- */

/* P, W, U, A, D, PS, NX in every combination, and one more bit (64: none). */
static void sweep_entry(struct bench *b, unsigned level, uint64_t address, unsigned extra,
                        void (*accesses)(struct bench *))
{
    for (unsigned i = 0; i < 128; i++) {
        uint64_t entry = address | (i & 7) | (uint64_t)(i >> 3 & 7) << 5 | (uint64_t)(i >> 6) << 63;
        if (extra < 64)
            entry ^= BIT(extra);
        put(b, level, entry);
        accesses(b);
    }
}

static void sweep_levels(struct bench *b, unsigned extra, void (*accesses)(struct bench *))
{
    for (unsigned leaf = 1; leaf <= largest_leaf(&b->config); leaf++)
        for (unsigned level = leaf; level <= b->top; level++) {
            all_permissive(b, leaf);
            uint64_t address = permissive(level, leaf) & bits(51, 12);
            sweep_entry(b, level, address, extra, accesses);
        }
}

/*
 * Each level's entry in all 128 settings of P, W, U, A, D, PS and NX while the others allow all;
 * under every setting of the control registers; every access.
 */
Test(rights, one_level_in_full_under_every_control_register)
{
    struct bench *list[MODES];
    for (unsigned mode = 2; mode <= 5; mode++) {
        struct config first = config_number(mode, 0);
        struct bench *b = list[mode - 2] = bench_new(&first);
        for (unsigned i = 0; i < CONFIGS; i++) {
            struct config c = config_number(mode, i);
            apply(b, &c);
            sweep_levels(b, 64, check_accesses);
        }
    }
    bench_done(list, MODES, "one level in full");
}

/* The same entries with each other bit set, one at a time: reserved, ignored, address. */
Test(rights, every_single_bit_of_an_entry)
{
    static const unsigned configs[] = {0x10, 0x18, 0x37, 0x3f, 0x2f};
    struct bench *list[MODES];
    for (unsigned mode = 2; mode <= 5; mode++) {
        struct config first = config_number(mode, 0);
        struct bench *b = list[mode - 2] = bench_new(&first);
        for (unsigned i = 0; i < sizeof configs / sizeof *configs; i++) {
            struct config c = config_number(mode, configs[i]);
            apply(b, &c);
            for (unsigned extra = 3; extra < (mode == 2 ? 32 : 63); extra++)
                if (extra < 5 || extra > 7)
                    sweep_levels(b, extra, check_six);
        }
    }
    bench_done(list, MODES, "every single bit");
}

/* Each bit under one MAXPHYADDR and PDPE1GB, with NXE on and off, PSE on and off. */
static void sweep_width(struct bench *b)
{
    for (unsigned i = 0; i < 4; i++) {
        struct config c = b->config;
        c.nxe = i & 1, c.pse = i >> 1;
        apply(b, &c);
        for (unsigned extra = 3; extra <= 64; extra++)
            for (unsigned leaf = 1; leaf <= largest_leaf(&c); leaf++)
                for (unsigned level = leaf; level <= b->top; level++) {
                    all_permissive(b, leaf);
                    put(b, level, permissive(level, leaf) ^ (extra < 64 ? BIT(extra) : 0));
                    check_six(b);
                    put(b, level, b->entry[level] ^ BIT(7));
                    check_six(b);
                }
    }
}

/* What is reserved depends on MAXPHYADDR, NXE, PSE and PDPE1GB. 4.3 to 4.5. */
Test(rights, every_single_bit_for_every_physical_width)
{
    static const unsigned widths[] = {32, 33, 36, 39, 40, 41, 46, 48, 51, 52};
    enum { WIDTHS = sizeof widths / sizeof *widths };
    struct bench *list[MODES * WIDTHS * 2];
    unsigned n = 0;
    for (unsigned mode = 2; mode <= 5; mode++)
        for (unsigned i = 0; i < WIDTHS * 2; i++) {
            struct config c = {.mode = mode, .maxphy = widths[i / 2], .page1g = i % 2, .wp = true};
            list[n] = bench_new(&c);
            sweep_width(list[n++]);
        }
    bench_done(list, n, "physical widths");
}

/* ---- all levels jointly ---- */

/* P, W, U and NX of four bits; the rest of the entry from a hash: A, D, ignored bits, the key. */
static uint64_t joint_entry(const struct bench *b, unsigned level, unsigned leaf, unsigned four,
                            uint64_t hash)
{
    uint64_t entry = permissive(level, leaf) & ~(uint64_t)7;
    entry |= (four & 7) | (uint64_t)(four >> 3) << 63;
    entry |= hash & (BIT(3) | BIT(4) | BIT(5) | BIT(6) | bits(11, 9));
    if (b->config.mode >= 4)
        entry |= hash & bits(62, 52);
    return entry;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
    x = (x ^ x >> 27) * UINT64_C(0x81dadef4bc2dd44d);
    return x ^ x >> 33;
}

/* Whether an entry below one that is not present differs from "all clear": it will not be read. */
static bool is_repeat(unsigned index, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++) /* the top level is in the low bits */
        if (!(index >> 4 * i & 1))
            return index >> 4 * (i + 1) || index >> 4 * i & 15;
    return false;
}

/* All combinations of P, W, U, NX over all levels for one leaf. share: one in so many of them. */
static void sweep_joint(struct bench *b, unsigned leaf, unsigned share, unsigned which)
{
    unsigned levels = b->top - leaf + 1;
    all_permissive(b, leaf);
    for (unsigned index = 0; index < 1u << 4 * levels; index++) {
        uint64_t hash = mix(index + 1);
        if (share ? hash % share != which : is_repeat(index, levels))
            continue;
        for (unsigned i = 0; i < levels; i++)
            put(b, b->top - i,
                joint_entry(b, b->top - i, leaf, index >> 4 * i & 15, mix(hash + i)));
        check_accesses(b);
    }
}

static void sweep_joint_all(struct bench *b, unsigned mode, bool spread)
{
    for (unsigned i = 0; i < CONFIGS; i++) {
        struct config c = config_number(mode, i);
        if (mode > 2 && !c.pse) /* PSE matters in 32-bit mode only, as the first test shows */
            continue;
        if (mode < 4 && c.pke)
            continue;
        apply(b, &c);
        for (unsigned leaf = 1; leaf <= largest_leaf(&c); leaf++)
            if (leaf == 1 || mode > 2 || c.pse)
                sweep_joint(b, leaf, spread ? CONFIGS / 2 : 0, (i & 15) | (i >> 1 & 16));
    }
}

/* Each combination of the entries that are read, under every setting, for every access. */
Test(rights, all_levels_jointly_under_every_control_register)
{
    struct bench *list[MODES];
    for (unsigned mode = 2; mode <= 5; mode++) {
        struct config first = config_number(mode, 0);
        sweep_joint_all(list[mode - 2] = bench_new(&first), mode, false);
    }
    bench_done(list, MODES, "all levels jointly");
}

/* Each combination of all entries, read or not, under one setting each, for every access. */
Test(rights, all_levels_jointly_with_what_is_never_read)
{
    struct bench *list[2];
    for (unsigned mode = 4; mode <= 5; mode++) {
        struct config first = config_number(mode, 0);
        sweep_joint_all(list[mode - 4] = bench_new(&first), mode, true);
    }
    bench_done(list, 2, "all levels jointly, unread entries too");
}

/* ---- protection keys ---- */

/* Every key with every setting of its two bits, amid keys that deny nothing or everything. */
static void sweep_key(struct bench *b, struct config c, unsigned leaf)
{
    for (unsigned i = 0; i < 16 * 4 * 2; i++) {
        unsigned key = i & 15, own = i >> 4 & 3;
        c.pkru = (i >> 6 ? 0xffffffff : 0) & ~(3u << 2 * key);
        c.pkru |= own << 2 * key;
        mmu_wrpkru(b->mmu, c.pkru);
        b->config = c;
        for (unsigned four = 0; four < 16; four++) {
            put(b, leaf, joint_entry(b, leaf, leaf, four, (uint64_t)key << 59));
            check_accesses(b);
        }
    }
}

/* PKRU: AD denies data accesses to user pages, WD writes; the error code says so. 4.6.2, 4.7. */
Test(rights, every_protection_key)
{
    struct bench *list[MODES];
    for (unsigned mode = 2; mode <= 5; mode++) {
        struct config first = config_number(mode, 0);
        struct bench *b = list[mode - 2] = bench_new(&first);
        for (unsigned i = 0; i < CONFIGS; i++) {
            struct config c = config_number(mode, i);
            if (!c.pse || (!c.pke && i % 5) || (mode < 4 && i % 3))
                continue; /* without PKE, or outside IA-32e, keys are to have no effect: fewer */
            apply(b, &c);
            for (unsigned leaf = 1; leaf <= largest_leaf(&c); leaf++) {
                all_permissive(b, leaf);
                sweep_key(b, c, leaf);
            }
        }
    }
    bench_done(list, MODES, "protection keys");
}

/* ---- addresses ---- */

/* "A linear address is canonical if its bits above the width equal its top bit": else #GP. */
Test(rights, addresses_that_are_not_canonical)
{
    struct bench *list[2];
    for (unsigned mode = 4; mode <= 5; mode++) {
        struct config c = config_number(mode, 0x3f);
        struct bench *b = list[mode - 4] = bench_new(&c);
        for (unsigned bit = 0; bit < 64; bit++)
            for (unsigned i = 0; i < 8; i++) {
                uint64_t edge = (i & 1 ? ~(uint64_t)0 << bit : BIT(bit)) + (i >> 1) - 1;
                b->va = edge;
                lay_out(b);
                all_permissive(b, 1);
                check_accesses(b);
            }
    }
    bench_done(list, 2, "canonical addresses");
}

static const uint64_t LOWEST[] = {0, 0x1000, 0x7fffffffe000, 0xffff800000000000,
                                  0xfffffffffffff000};

/* Both halves, first and last pages: the index of each level, and the page's offset. */
Test(rights, pages_at_the_edges_of_both_halves)
{
    struct bench *list[MODES];
    for (unsigned mode = 2; mode <= 5; mode++) {
        struct config c = config_number(mode, 0x3f);
        struct bench *b = list[mode - 2] = bench_new(&c);
        for (unsigned i = 0; i < 5; i++)
            for (unsigned leaf = 1; leaf <= largest_leaf(&c); leaf++) {
                b->va = (mode < 4 ? (uint32_t)LOWEST[i] : LOWEST[i]) + 0xabc;
                if (mode == 5 && i == 3)
                    b->va = 0xff00000000000abc;
                lay_out(b);
                apply(b, &c);
                all_permissive(b, leaf);
                check_accesses(b);
            }
    }
    bench_done(list, MODES, "edges of both halves");
}

/* ---- PAE's four registers ---- */

static struct bench *bench_pae(void)
{
    struct config c = config_number(3, 0x1f);
    struct bench *b = bench_new(&c);
    all_permissive(b, 1);
    return b;
}

static bool reads(struct bench *b)
{
    struct access access = {.gva = b->va, .size = 1, .op = OP_READ, .flags = ACCESS_AC};
    return mmu_translate(b->mmu, &b->bus, &access, false, &b->walk);
}

/* "MOV to CR3 loads the PDPTEs": changes in memory are not used before the next load. 4.4.1. */
Test(rights, pae_uses_the_pdptes_of_the_last_load)
{
    struct bench *b = bench_pae();
    uint64_t at = b->root + (b->va >> 30 & 3) * 8, pdpte = mem_load(&b->mem, at, 8);
    cr_assert(reads(b));
    mem_store(&b->mem, at, 0, 8);
    cr_assert(reads(b), "the register still has it");
    cr_assert_null(mmu_mov_cr3(b->mmu, &b->bus, b->root));
    cr_assert_not(reads(b));
    cr_assert_eq(b->walk.refusal.kind, REFUSED_NOT_PRESENT);
    cr_assert_eq(b->walk.refusal.level, 3);
    cr_assert_eq(b->walk.refusal.ia, b->va);
    cr_assert_eq(mmu_error_code(b->mmu, &b->walk.refusal), 0, "P clear, a supervisor's read");
    mem_store(&b->mem, at, pdpte, 8);
    cr_assert_not(reads(b), "the register still has the other");
    cr_assert_null(mmu_mov_cr3(b->mmu, &b->bus, b->root));
    cr_assert(reads(b));
    cr_assert_eq(mem_load(&b->mem, at, 8), pdpte, "a PDPTE has no A");
    b->checked = 6;
    bench_done(&b, 1, "PDPTEs");
}

/* Loading a present PDPTE with a reserved bit set (2:1, 8:5, 63:M) is a #GP; 4.4.1, table 4-8. */
Test(rights, pae_refuses_to_load_pdptes_with_reserved_bits)
{
    struct bench *b = bench_pae();
    for (unsigned slot = 0; slot < 4; slot++)
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t at = b->root + slot * 8, pdpte = mem_load(&b->mem, at, 8);
            bool reserved = (bit >= 1 && bit <= 2) || (bit >= 5 && bit <= 8) || bit >= 46;
            mem_store(&b->mem, at, BIT(bit) | 1, 8);
            const char *fault = mmu_mov_cr3(b->mmu, &b->bus, b->root);
            cr_expect_eq(fault != NULL, reserved, "slot %u bit %u: %s", slot, bit, fault);
            if (reserved)
                cr_expect(reads(b), "slot %u bit %u: nothing was loaded", slot, bit);
            if (bit > 0) {
                mem_store(&b->mem, at, BIT(bit), 8);
                cr_expect_null(mmu_mov_cr3(b->mmu, &b->bus, b->root), "not present: no check");
            }
            mem_store(&b->mem, at, pdpte, 8);
            cr_expect_null(mmu_mov_cr3(b->mmu, &b->bus, b->root));
            b->checked++;
        }
    bench_done(&b, 1, "reserved bits of PDPTEs");
}

/* Every bit of PDPTEs that are not present is ignored; a fault there has P = 0. 4.4.1. */
Test(rights, pae_faults_through_pdptes_that_are_not_present)
{
    struct bench *b = bench_pae();
    for (unsigned i = 0; i < 16; i++) {
        struct config c = config_number(3, i | 0x10);
        uint64_t at = b->root + (b->va >> 30 & 3) * 8;
        mem_store(&b->mem, at, ~(uint64_t)1, 8);
        apply(b, &c);
        check_accesses(b);
        mem_store(&b->mem, at, table_at(2) | 1, 8);
        apply(b, &c);
        check_accesses(b);
    }
    bench_done(&b, 1, "PDPTEs not present");
}
