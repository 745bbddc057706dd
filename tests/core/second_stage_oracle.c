/*
 * Random guests over random second stages, against a straight-line rewrite of the rules for two
 * dimensions. The reference shares nothing with core: it decodes entries itself, has its own
 * constants, and reads a memory of its own, with which the machine's is compared after each access.
 *
 * Intel SDM vol. 3 (edition of 2016): 4.3 to 4.8 (the guest's tables), 28.2.2 (EPT entries),
 * 28.2.3.1 (misconfigurations), 28.2.3.2 (violations), 28.2.3.3 (what comes first), 28.2.4 (A and
 * D), table 27-7 (the exit qualification; bits 6 and 9 to 11 and mode-based execute control as in
 * later editions). AMD APM vol. 2: 15.25.5 to 15.25.10 (nested paging, EXITINFO1).
 */
#include "core/second_stage.h"

#include "tests/core/rig.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BIT(n) ((uint64_t)1 << (n))

/* Bits from high down to low, both included; none if high is below low. */
static uint64_t bits(unsigned high, unsigned low)
{
    return high < low ? 0 : (~(uint64_t)0 >> (63 - high)) & (~(uint64_t)0 << low);
}

/* ---- a memory of few words ---- */

enum { IMAGE_SLOTS = 2048, IMAGE_WORDS = 512 };

struct image {
    uint64_t key[IMAGE_SLOTS], word[IMAGE_SLOTS]; /* key: address + 1; 0: free */
    uint16_t used[IMAGE_WORDS];
    unsigned n;
};

static unsigned image_slot(const struct image *m, uint64_t at)
{
    uint64_t key = (at & ~(uint64_t)7) + 1;
    unsigned slot = (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> 53);
    while (m->key[slot] && m->key[slot] != key)
        slot = (slot + 1) % IMAGE_SLOTS;
    return slot;
}

static uint64_t image_load(const struct image *m, uint64_t at, unsigned size)
{
    unsigned slot = image_slot(m, at);
    uint64_t word = m->key[slot] ? m->word[slot] : 0;
    return size == 8 ? word : (uint32_t)(word >> (at & 4) * 8);
}

static void image_store(struct image *m, uint64_t at, uint64_t value, unsigned size)
{
    unsigned slot = image_slot(m, at);
    if (!m->key[slot]) {
        cr_assert_lt(m->n, IMAGE_WORDS);
        m->key[slot] = (at & ~(uint64_t)7) + 1;
        m->word[slot] = 0;
        m->used[m->n++] = (uint16_t)slot;
    }
    unsigned shift = size == 8 ? 0 : (at & 4) * 8;
    uint64_t mask = size == 8 ? ~(uint64_t)0 : (uint64_t)UINT32_MAX << shift;
    m->word[slot] = (m->word[slot] & ~mask) | (value << shift & mask);
}

/* ---- the reference ---- */

struct setting {
    unsigned guest;                              /* levels; 3: PAE; 0: paging off */
    bool ept;                                    /* else NPT */
    unsigned levels;                             /* of the second stage */
    bool ad, mode_based, execute_only, advanced; /* EPT */
    bool host_nx;                                /* NPT */
    unsigned maxphy;
    bool page1g;
    bool wp, smep, smap, pke, nxe, pse;
    uint32_t pkru;
    uint64_t cr3, root;
    uint64_t pdpte[4]; /* PAE over EPT: registers */
};

struct use {
    bool write, fetch, user, ac;
};

enum verdict { GRANTED, GENERAL_PROTECTION, PAGE_FAULT, VIOLATION, MISCONFIGURATION, NESTED_FAULT };
static const char *const VERDICTS[] = {"granted",   "#GP",           "#PF",
                                       "violation", "misconfigured", "#NPF"};

struct answer {
    enum verdict verdict;
    uint32_t error;       /* #PF */
    uint64_t gpa;         /* of the page, or of what could not be translated */
    uint64_t hpa;         /* granted */
    unsigned shift;       /* granted: of the smaller page */
    unsigned level;       /* of the entry that is absent or malformed; 0: none is */
    uint64_t information; /* exit qualification, or EXITINFO1 */
    bool on_table;
    unsigned sets;
    struct {
        uint64_t at, bits;
    } set[48];
};

static void will_set(struct answer *a, uint64_t at, uint64_t what)
{
    a->set[a->sets].at = at;
    a->set[a->sets++].bits = what;
}

/* What is done to a guest-physical address, and for which linear address. */
struct touch {
    bool read, write, fetch;
    bool table; /* of the guest's, rather than the translation of the linear address */
    bool
        user_page; /* "user-mode linear address": U/S is 1 in all the guest's entries, or PG is 0 */
    uint64_t page; /* bits 9 to 11 of the exit qualification, for data */
};

/*
 * Table 27-7. 0 to 2: read, write, fetch. 3 to 5: AND of R, W and X, "cleared to 0 if any of EPT
 * paging-structure entries used is not present"; 6: AND of bit 10, with mode-based execute control.
 * 7: the linear address is valid. 8: the access is to its translation, not to a table or an A or D
 * flag. 9 to 11: of the linear address, if bit 8 is set and the processor gives them.
 */
static bool violated(const struct setting *s, uint64_t gpa, struct touch t, uint64_t all,
                     struct answer *a)
{
    a->verdict = VIOLATION;
    a->gpa = gpa;
    a->on_table = t.table;
    a->information = (t.read ? BIT(0) : 0) | (t.write ? BIT(1) : 0) | (t.fetch ? BIT(2) : 0) |
                     (all & 7) << 3 | (s->mode_based && all & BIT(10) ? BIT(6) : 0) | BIT(7) |
                     (t.table ? 0 : BIT(8)) | (!t.table && s->advanced ? t.page : 0);
    return false;
}

/* Tables 28-1 to 28-6: what must be 0. */
static uint64_t ept_reserved(const struct setting *s, unsigned level, bool page)
{
    uint64_t mask = bits(51, s->maxphy);
    if (level >= 4)
        return mask | bits(7, 3);
    if (!page) /* bit 7 is 0 in these, or it would be a page; where 1 GiB pages are, that is */
        return mask | bits(6, 3) | (level == 3 ? BIT(7) : 0);
    return mask | bits(level == 3 ? 29 : level == 2 ? 20 : 0, 12);
}

/* 28.2.3.1, condition by condition, of a present entry. */
static bool ept_misconfigured(const struct setting *s, unsigned level, bool page, uint64_t e)
{
    bool r = e & BIT(0), w = e & BIT(1), x = e & BIT(2), xu = s->mode_based && e & BIT(10);
    if (!r && w)
        return true;
    if (!r && !s->execute_only && (x || xu))
        return true;
    if (e & ept_reserved(s, level, page))
        return true;
    unsigned type = e >> 3 & 7;
    return page && (type == 2 || type == 3 || type == 7);
}

/* True: a->hpa; it takes more bits of a->shift. */
static bool under_ept(const struct setting *s, const struct image *m, uint64_t gpa, struct touch t,
                      struct answer *a)
{
    uint64_t table = s->root, all = ~(uint64_t)0;
    a->level = 0;
    if (s->levels == 4 && gpa >> 48) /* "bits 51:48 must all be zero; otherwise, a violation" */
        return violated(s, gpa, t, 0, a);
    for (unsigned level = s->levels;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t at = table + (gpa >> shift & 511) * 8, e = image_load(m, at, 8);
        a->level = level;
        if (!(e & 7) && !(s->mode_based && e & BIT(10)))
            return violated(s, gpa, t, 0, a);
        bool page = level == 1 || (e & BIT(7) && (level == 2 || (level == 3 && s->page1g)));
        if (ept_misconfigured(s, level, page, e)) {
            a->verdict = MISCONFIGURATION;
            a->gpa = gpa, a->information = 0, a->on_table = t.table;
            return false;
        }
        all &= e;
        if (s->ad)
            will_set(a, at, BIT(8) | (page && t.write ? BIT(9) : 0));
        table = e & bits(s->maxphy - 1, 12);
        if (page) {
            a->hpa = (table & ~bits(shift - 1, 0)) | (gpa & bits(shift - 1, 0));
            a->shift = shift < a->shift ? shift : a->shift;
            break;
        }
    }
    a->level = 0;
    uint64_t fetches = s->mode_based && t.user_page ? BIT(10) : BIT(2);
    if ((t.read && !(all & BIT(0))) || (t.write && !(all & BIT(1))) ||
        (t.fetch && !(all & fetches)))
        return violated(s, gpa, t, all, a);
    return true;
}

/* A dimension in the format of ordinary paging. */
struct rules {
    unsigned mode; /* levels; 3: PAE */
    unsigned maxphy;
    bool page1g, nxe, pse;
};

static bool x86_is_page(const struct rules *r, unsigned level, uint64_t e)
{
    if (level == 1)
        return true;
    if (level == 2)
        return e & BIT(7) && (r->mode != 2 || r->pse);
    return level == 3 && r->mode >= 4 && r->page1g && e & BIT(7);
}

/* 4.3 to 4.5. A 4 MiB page has address bits 39:32 in bits 20:13, up to MAXPHYADDR; bit 21 is 0. */
static uint64_t x86_reserved(const struct rules *r, unsigned level, bool page)
{
    if (r->mode == 2)
        return page && level == 2 ? bits(21, 13 + (r->maxphy < 40 ? r->maxphy : 40) - 32) : 0;
    if (r->mode == 3 && level == 3)
        return bits(2, 1) | bits(8, 5) | bits(63, r->maxphy);
    uint64_t mask = bits(r->mode == 3 ? 62 : 51, r->maxphy) | (r->nxe ? 0 : BIT(63));
    if (page && level > 1)
        mask |= bits(level == 2 ? 20 : 29, 13);
    if (level >= 4 || (level == 3 && !page))
        mask |= BIT(7);
    return mask;
}

static unsigned x86_shift(const struct rules *r, unsigned level)
{
    return 12 + (r->mode == 2 ? 10 : 9) * (level - 1);
}

/* Where the entry points: the next table, or the page's byte at `address`. */
static uint64_t x86_leads(const struct rules *r, unsigned level, bool page, uint64_t e,
                          uint64_t address)
{
    uint64_t to = e & bits(r->mode == 2 ? 31 : r->maxphy - 1, 12);
    if (!page)
        return to;
    uint64_t inside = bits(x86_shift(r, level) - 1, 0);
    uint64_t high = r->mode == 2 && level == 2 ? (e >> 13 & 0xff) << 32 : 0;
    return (to & ~inside) | high | (address & inside);
}

/*
 * 15.25.6: P, RW, US (always: nested accesses are a user's), RSV, ID; 32: final, 33: tables. ID is
 * "only defined if no-execute is enabled" (8.4.2); the model then leaves it clear.
 */
static bool nested_fault(const struct setting *s, uint64_t gpa, struct touch t, uint64_t why,
                         struct answer *a)
{
    a->verdict = NESTED_FAULT;
    a->gpa = gpa;
    a->on_table = t.table;
    a->information = why | (t.write ? BIT(1) : 0) | BIT(2) | (t.fetch && s->host_nx ? BIT(4) : 0) |
                     (t.table ? BIT(33) : BIT(32));
    return false;
}

static bool under_npt(const struct setting *s, const struct image *m, uint64_t gpa, struct touch t,
                      struct answer *a)
{
    const struct rules r = {s->levels, s->maxphy, s->page1g, s->host_nx, true};
    uint64_t table = s->root;
    bool w = true, u = true, x = true;
    for (unsigned level = s->levels;; level--) {
        unsigned shift = x86_shift(&r, level);
        uint64_t at = table + (gpa >> shift & 511) * 8, e = image_load(m, at, 8);
        a->level = level;
        if (!(e & BIT(0)))
            return nested_fault(s, gpa, t, 0, a);
        bool page = x86_is_page(&r, level, e);
        if (e & x86_reserved(&r, level, page))
            return nested_fault(s, gpa, t, BIT(0) | BIT(3), a);
        w = w && e & BIT(1), u = u && e & BIT(2), x = x && !(e & BIT(63));
        will_set(a, at, BIT(5) | (page && t.write ? BIT(6) : 0));
        table = x86_leads(&r, level, page, e, gpa);
        if (page) {
            a->shift = shift < a->shift ? shift : a->shift;
            break;
        }
    }
    a->level = 0;
    a->hpa = table;
    return (u && (w || !t.write) && (x || !t.fetch)) || nested_fault(s, gpa, t, BIT(0), a);
}

static bool under(const struct setting *s, const struct image *m, uint64_t gpa, struct touch t,
                  struct answer *a)
{
    return s->ept ? under_ept(s, m, gpa, t, a) : under_npt(s, m, gpa, t, a);
}

/*
 * 28.2.3.2: with A and D flags for EPT on, "processor accesses to guest paging-structure entries
 * are treated as writes"; a violation then "sets both bit 0 and bit 1". 15.25.5: such accesses are
 * data writes to nested paging.
 */
static bool read_table(const struct setting *s, const struct image *m, uint64_t gpa,
                       struct answer *a)
{
    struct touch t = {.read = true, .table = true, .write = s->ad || !s->ept};
    return under(s, m, gpa, t, a);
}

/* 4.7: P, W/R, U/S, RSVD, I/D, PK. */
static bool page_fault(const struct setting *s, struct use use, uint32_t why, unsigned level,
                       struct answer *a)
{
    a->verdict = PAGE_FAULT;
    a->level = level;
    a->error = why | (use.write ? 2 : 0) | (use.user ? 4 : 0);
    if (use.fetch && (s->smep || (s->guest >= 3 && s->nxe)))
        a->error |= 16;
    return false;
}

/* What the guest's own entries said. */
struct way {
    uint64_t gpa, hpa, leaf; /* the entry that maps the page: where, and what it is */
    uint64_t to;             /* the access's guest-physical address */
    unsigned shift;
    bool w, u, x;
};

/*
 * "Writes by the logical processor to guest paging structures to update accessed and dirty flags
 * are considered to be data writes." Where reading a table is a write already, they bring nothing.
 * The manual doesn't say when they come; in the model an entry's comes before what it leads to.
 */
static bool update_flags(const struct setting *s, const struct image *m, uint64_t gpa, uint64_t hpa,
                         uint64_t set, struct answer *a)
{
    struct touch t = {.write = true, .table = true};
    if (set && s->ept && !s->ad && !under(s, m, gpa, t, a))
        return false;
    will_set(a, hpa, set);
    return true;
}

static bool guest_walk(const struct setting *s, const struct image *m, uint64_t va, struct use use,
                       struct way *way, struct answer *a)
{
    const struct rules r = {s->guest, s->maxphy, s->page1g, s->nxe, s->pse};
    unsigned size = s->guest == 2 ? 4 : 8, level = s->guest;
    uint64_t table = s->cr3 & bits(s->guest <= 3 ? 31 : s->maxphy - 1, s->guest == 3 ? 5 : 12);
    way->w = way->u = way->x = true;
    if (s->guest == 3 && s->ept) {
        if (!(s->pdpte[va >> 30 & 3] & BIT(0)))
            return page_fault(s, use, 0, 3, a);
        table = s->pdpte[va >> 30 & 3] & bits(s->maxphy - 1, 12);
        level = 2;
    }
    for (;; level--) {
        unsigned shift = x86_shift(&r, level);
        uint64_t index = va >> shift & (s->guest == 2                 ? 1023
                                        : s->guest == 3 && level == 3 ? 3
                                                                      : 511);
        uint64_t gpa = table + index * size;
        if (!read_table(s, m, gpa, a))
            return false;
        uint64_t e = image_load(m, a->hpa, size);
        if (!(e & BIT(0)))
            return page_fault(s, use, 0, level, a);
        bool page = x86_is_page(&r, level, e);
        if (e & x86_reserved(&r, level, page))
            return page_fault(s, use, 1 | 8, level, a);
        table = x86_leads(&r, level, page, e, va);
        if (s->guest == 3 && level == 3)
            continue; /* a PDPTE has no rights, no A flag */
        way->w = way->w && e & BIT(1), way->u = way->u && e & BIT(2);
        way->x = way->x && !(s->guest >= 3 && s->nxe && e & BIT(63));
        if (page) {
            way->gpa = gpa, way->hpa = a->hpa, way->leaf = e, way->to = table, way->shift = shift;
            return true;
        }
        if (!update_flags(s, m, gpa, a->hpa, BIT(5) & ~e, a))
            return false;
    }
}

/* 4.6.2: access-disable and write-disable, for data in user pages only. */
static bool key_denies(const struct setting *s, const struct way *way, struct use use)
{
    if (s->guest < 4 || !s->pke || !way->u || use.fetch)
        return false;
    unsigned key = way->leaf >> 59 & 15;
    bool ad = s->pkru >> 2 * key & 1, wd = s->pkru >> (2 * key + 1) & 1;
    return ad || (wd && use.write && (use.user || s->wp));
}

/* 4.6.1. */
static bool rights_allow(const struct setting *s, const struct way *way, struct use use)
{
    if (use.user && !way->u)
        return false;
    if (use.fetch)
        return way->x && (use.user || !way->u || !s->smep);
    if (!use.user && way->u && s->smap && !use.ac)
        return false;
    return !use.write || way->w || (!use.user && !s->wp);
}

static bool canonical(const struct setting *s, uint64_t va)
{
    if (s->guest < 4)
        return true;
    uint64_t high = s->guest == 4 ? va >> 47 : va >> 56;
    return !high || high == (s->guest == 4 ? bits(16, 0) : bits(7, 0));
}

static void reference(const struct setting *s, const struct image *m, uint64_t va, struct use use,
                      struct answer *a)
{
    struct way way = {.w = true, .u = true, .x = true, .to = va, .shift = 64};
    memset(a, 0, offsetof(struct answer, set));
    a->verdict = GENERAL_PROTECTION;
    if (!canonical(s, va))
        return;
    if (s->guest) {
        if (!guest_walk(s, m, va, use, &way, a))
            return;
        bool key = key_denies(s, &way, use);
        if (key || !rights_allow(s, &way, use)) {
            page_fault(s, use, 1 | (key ? 32 : 0), 0, a);
            return;
        }
        uint64_t set = (BIT(5) | (use.write ? BIT(6) : 0)) & ~way.leaf;
        if (!update_flags(s, m, way.gpa, way.hpa, set, a))
            return;
    }
    struct touch t = {.read = !use.write && !use.fetch, .write = use.write, .fetch = use.fetch};
    t.user_page = way.u; /* CR0.PG = 0: user-mode, read/write, executable */
    t.page = (way.u ? BIT(9) : 0) | (way.w ? BIT(10) : 0) | (way.x ? 0 : BIT(11));
    a->shift = way.shift;
    if (!under(s, m, way.to, t, a))
        return;
    a->verdict = GRANTED;
    a->gpa = way.to;
}

/*
 * 4.4.1: the load of PDPTEs, "treated as reads". False: a #GP. mmu_set_registers takes one that the
 * second stage refuses for absent: to exit instead is up to whoever emulates the MOV.
 */
static bool load_pdptes(struct setting *s, const struct image *m)
{
    const struct rules r = {3, s->maxphy, s->page1g, s->nxe, s->pse};
    for (unsigned i = 0; i < 4; i++) {
        struct answer a = {.verdict = GRANTED};
        struct touch t = {.read = true, .table = true};
        bool there = under(s, m, (s->cr3 & bits(31, 5)) + i * 8, t, &a);
        s->pdpte[i] = there ? image_load(m, a.hpa, 8) : 0;
        if (s->pdpte[i] & BIT(0) && s->pdpte[i] & x86_reserved(&r, 3, false))
            return false;
    }
    return true;
}

/* ---- the bench: random tables of both dimensions, one vCPU ---- */

enum { VAS = 6, GUEST_TABLES = 12, TABLES_BELOW = 6 };

/* An entry that the bench wrote. */
struct entry {
    uint64_t at;
    uint8_t size, level;
    bool second, page;
};

struct bench {
    struct rig *rig;
    size_t room; /* bytes behind rig->mmu */
    struct profile profile;
    struct rng rng;
    uint64_t seed;
    struct setting s;
    struct image image;
    struct entry entry[IMAGE_WORDS];
    unsigned entries;
    unsigned loose;       /* how many of 256 rights are withheld */
    uint64_t index[6][3]; /* by level: the table indices in use, of gpas and of page offsets */
    uint64_t high[6][2];  /* by level, 4 and 5: those of gvas */
    uint64_t below[6][TABLES_BELOW];
    uint64_t table[GUEST_TABLES]; /* gpas of the guest's tables */
    unsigned tables;
    uint64_t va[VAS];
    bool warm; /* caches are kept from access to access */
    uint64_t checked, wrong, of[6], tables_blamed;
};

static bool chance(struct bench *b, unsigned of_256)
{
    return rng_below(&b->rng, 256) < of_256;
}

static uint64_t pick(struct bench *b, uint64_t n)
{
    return rng_below(&b->rng, n);
}

/* A few random ones of the bits given. */
static uint64_t some(struct bench *b, uint64_t mask)
{
    return rng_next(&b->rng) & mask;
}

static void put(struct bench *b, struct entry e, uint64_t value)
{
    image_store(&b->image, e.at, value, e.size);
    mem_store(&b->rig->mem, e.at, value, e.size);
    for (unsigned i = 0; i < b->entries; i++)
        if (b->entry[i].at == e.at)
            return;
    cr_assert_lt(b->entries, IMAGE_WORDS);
    b->entry[b->entries++] = e;
}

/* Tables stand in the lowest 16 GiB. */
static uint64_t host_frame(struct bench *b)
{
    return (1 + pick(b, BIT(22) - 1)) << 12;
}

static uint64_t ept_bits(struct bench *b, unsigned level, bool page)
{
    static const uint8_t types[] = {0, 1, 4, 5, 6};
    uint64_t e = BIT(0) | (chance(b, b->loose) ? 0 : BIT(1)) | (chance(b, b->loose) ? 0 : BIT(2));
    e |= chance(b, b->loose) ? 0 : BIT(10);
    if (chance(b, 4))
        e &= ~bits(1, 0);
    e |= some(b, BIT(8) | BIT(9));
    if (chance(b, 64))
        e |= some(b, BIT(11) | bits(63, 52));
    if (page)
        e |= (uint64_t)types[pick(b, 5)] << 3 | some(b, BIT(6));
    return e | (page && level > 1 ? BIT(7) : level == 1 ? some(b, BIT(7)) : 0);
}

static uint64_t x86_bits(struct bench *b, const struct rules *r, unsigned level, bool page)
{
    if (r->mode == 3 && level == 3)
        return BIT(0) | some(b, BIT(3) | BIT(4) | bits(11, 9));
    uint64_t e = BIT(0) | some(b, BIT(3) | BIT(4) | bits(6, 5) | bits(11, 9));
    e |= (chance(b, b->loose) ? 0 : BIT(1)) | (chance(b, b->loose) ? 0 : BIT(2));
    e |= page ? some(b, BIT(8)) : 0;
    if (r->mode >= 3 && r->nxe && chance(b, b->loose))
        e |= BIT(63);
    if (r->mode >= 4 && chance(b, 64))
        e |= some(b, bits(62, 52));
    return e | (page && level > 1 ? BIT(7) : level == 1 ? some(b, BIT(7)) : 0);
}

/* ---- the second stage ---- */

static bool leaf_here(struct bench *b, unsigned level, bool page1g)
{
    return level == 1 || (level == 2 && chance(b, 48)) || (level == 3 && page1g && chance(b, 24));
}

static void build_second(struct bench *b)
{
    static const unsigned count[] = {0, TABLES_BELOW, 3, 2, 1, 1};
    const struct rules r = {b->s.levels, b->s.maxphy, b->s.page1g, b->s.host_nx, true};
    for (unsigned level = 1; level <= b->s.levels; level++)
        for (unsigned t = 0; t < count[level]; t++)
            b->below[level][t] = host_frame(b);
    b->s.root = b->below[b->s.levels][0];
    for (unsigned level = 1; level <= b->s.levels; level++)
        for (unsigned n = 0; n < count[level] * 3; n++) {
            bool page = leaf_here(b, level, b->s.page1g);
            struct entry at = {.size = 8, .level = (uint8_t)level, .second = true, .page = page};
            at.at = b->below[level][n / 3] + b->index[level][n % 3] * 8;
            uint64_t to = page ? host_frame(b) & ~bits(x86_shift(&r, level) - 1, 0)
                               : b->below[level - 1][n % count[level - 1]];
            if (page && chance(b, 16)) /* anywhere, even where there is no memory */
                to = some(b, bits(b->s.maxphy - 1, x86_shift(&r, level)));
            if (level == 1 && !b->warm && chance(b, 4)) /* onto a table of its own */
                to = b->below[1 + pick(b, 3)][0];
            put(b, at, to | (b->s.ept ? ept_bits(b, level, page) : x86_bits(b, &r, level, page)));
        }
}

/* Where a gpa leads, whatever the rights; the stage has no faults yet. */
static bool lead(const struct bench *b, uint64_t gpa, uint64_t *hpa)
{
    uint64_t table = b->s.root;
    for (unsigned level = b->s.levels;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t e = image_load(&b->image, table + (gpa >> shift & 511) * 8, 8);
        table = e & bits(b->s.maxphy - 1, 12);
        *hpa = table | (gpa & bits(shift - 1, 0));
        if (!e)
            return false;
        if (level == 1 || (level <= 3 && e & BIT(7)))
            return *hpa < BIT(34);
    }
}

/* A gpa that the second stage has entries for; `low`: below 4 GiB. */
static uint64_t pick_gpa(struct bench *b, bool low)
{
    uint64_t gpa = 0;
    for (unsigned level = 1; level <= 5; level++) {
        uint64_t which = pick(b, level == 3 && low ? 2 : level >= 4 && low ? 1 : 3);
        if (level <= b->s.levels || !b->s.ept || chance(b, 8))
            gpa |= b->index[level][which] << (12 + 9 * (level - 1));
    }
    return gpa & bits(b->s.maxphy - 1, 0);
}

/* A guest table of its own host frame, if one is found soon. */
static bool place_table(struct bench *b, bool low)
{
    for (unsigned tries = 0; tries < 24; tries++) {
        uint64_t gpa = pick_gpa(b, low), hpa, other;
        bool taken = !lead(b, gpa, &hpa);
        for (unsigned t = 0; t < b->tables && !taken; t++)
            taken = lead(b, b->table[t], &other) && other == hpa;
        if (!taken) {
            b->table[b->tables++] = gpa;
            return true;
        }
    }
    return false;
}

/* ---- the guest ---- */

static void choose_indices(struct bench *b)
{
    memset(b->index, 0, sizeof b->index);
    for (unsigned level = 1; level <= 5; level++)
        for (unsigned i = 0; i < 3; i++) {
            unsigned low = 12 + 9 * (level - 1), top = low + 8;
            top = top < b->s.maxphy ? top : b->s.maxphy - 1;
            b->index[level][i] =
                low > top || (level >= 4 && i == 0) ? 0 : some(b, bits(top, low) >> low);
            if (level == 3 && i < 2)
                b->index[level][i] &= 3;
        }
    for (unsigned i = 0; i < 2; i++)
        b->high[4][i] = pick(b, 512), b->high[5][i] = pick(b, 512);
}

static uint64_t pick_va(struct bench *b)
{
    if (!b->s.guest)
        return pick_gpa(b, true);
    uint64_t va = 0;
    for (unsigned level = 1; level <= 3; level++)
        va |= b->index[level][pick(b, level == 3 && b->s.guest < 4 ? 2 : 3)]
              << (12 + 9 * (level - 1));
    if (b->s.guest < 4)
        return va;
    va |= b->high[4][pick(b, 2)] << 39 | (b->s.guest == 5 ? b->high[5][pick(b, 2)] << 48 : 0);
    unsigned spare = b->s.guest == 4 ? 16 : 7;
    return (uint64_t)((int64_t)(va << spare) >> spare);
}

static uint64_t guest_entry(struct bench *b, const struct rules *r, unsigned level, unsigned next,
                            bool *page)
{
    bool can = r->mode == 2 ? r->pse : level == 2 || r->mode >= 4;
    *page = level == 1 || (can && level < r->mode && leaf_here(b, level, r->page1g)) ||
            (can && r->mode == 2 && level == 2 && chance(b, 48));
    uint64_t low = bits(x86_shift(r, level) - 1, 0), to = b->table[next];
    if (*page) {
        bool narrow = r->mode == 2 && level == 1;
        to = chance(b, 16) ? b->table[pick(b, b->tables)] : pick_gpa(b, narrow);
        to &= ~low;
    }
    uint64_t e = x86_bits(b, r, level, *page);
    if (r->mode == 2 && *page && level == 2)
        return e | (to & bits(31, 22)) |
               (to >> 32 & bits(r->maxphy < 40 ? r->maxphy - 33 : 7, 0)) << 13;
    return e | to;
}

/* False: no room for its tables. */
static bool build_guest(struct bench *b)
{
    static const unsigned count[] = {0, 3, 2, 2, 1, 1};
    const struct rules r = {b->s.guest, b->s.maxphy, b->s.page1g, b->s.nxe, b->s.pse};
    unsigned first[7] = {0}, size = r.mode == 2 ? 4 : 8;
    for (unsigned level = 1; level <= r.mode; level++) {
        unsigned n = level == r.mode ? 1 : count[level];
        first[level] = b->tables, first[level + 1] = b->tables + n;
        for (unsigned t = 0; t < n; t++)
            if (!place_table(b, r.mode == 2 || (r.mode == 3 && level == 3)))
                return false;
    }
    uint64_t inside = r.mode == 3 ? pick(b, 128) * 32 : 0;
    b->s.cr3 = b->table[first[r.mode]] + inside + some(b, BIT(3) | BIT(4));
    for (unsigned level = 1; level <= r.mode; level++)
        for (unsigned t = first[level]; t < first[level + 1]; t++)
            for (unsigned v = 0; v < VAS; v++) {
                unsigned mask = r.mode == 2 ? 1023 : r.mode == 3 && level == 3 ? 3 : 511;
                uint64_t at, gpa = b->table[t] + (b->va[v] >> x86_shift(&r, level) & mask) * size;
                gpa += level == 3 ? inside : 0;
                if (!lead(b, gpa, &at) || (image_load(&b->image, at, size) && !chance(b, 8)))
                    continue;
                bool page;
                unsigned below = level > 1 ? first[level] - first[level - 1] : 1;
                unsigned next = level > 1 ? first[level - 1] + (unsigned)pick(b, below) : 0;
                uint64_t e = guest_entry(b, &r, level, next, &page);
                put(b, (struct entry){at, (uint8_t)size, (uint8_t)level, false, page}, e);
            }
    return true;
}

/* ---- what is wrong with them ---- */

static uint64_t spoil_ept(struct bench *b, const struct entry *at, uint64_t e)
{
    switch (pick(b, 10)) {
    case 0:
        return e & ~(bits(2, 0) | some(b, BIT(10)));
    case 1:
        return e ^ some(b, bits(2, 0));
    case 2:
        return e ^ some(b, bits(2, 0) | BIT(10));
    case 3:
        return (e & ~(bits(2, 0) | BIT(10))) | some(b, BIT(2) | BIT(10));
    case 4:
        return e ^ (b->s.maxphy < 52 ? BIT(b->s.maxphy + pick(b, 52 - b->s.maxphy)) : BIT(7));
    case 5:
        return e ^ some(b, bits(5, 3));
    case 6:
        return e ^ BIT(7);
    case 7:
        return e ^
               (at->page && at->level > 1 ? BIT(12 + pick(b, at->level == 2 ? 9 : 18)) : BIT(6));
    default:
        return e ^ BIT(pick(b, 64));
    }
}

static uint64_t spoil_x86(struct bench *b, const struct entry *at, uint64_t e)
{
    switch (pick(b, 10)) {
    case 0:
        return e & ~BIT(0);
    case 1:
        return e ^ BIT(1);
    case 2:
        return e ^ BIT(2);
    case 3:
        return e ^ (at->size == 8 ? BIT(63) : BIT(0));
    case 4:
        return e ^ (b->s.maxphy < 52 && at->size == 8 ? BIT(b->s.maxphy + pick(b, 52 - b->s.maxphy))
                                                      : BIT(13));
    case 5:
        return e ^ BIT(7);
    case 6:
        return e ^
               (at->page && at->level > 1 ? BIT(12 + pick(b, at->level == 2 ? 9 : 18)) : BIT(1));
    case 7:
        return at->size == 8 ? e ^ some(b, bits(62, 59)) : e ^ BIT(2);
    default: {
        unsigned bit = (unsigned)pick(b, at->size * 8u);
        /* AMD has bit 8 of PML4Es reserved, Intel ignored: not asked here. */
        return bit == 8 && at->level >= 4 ? e : e ^ BIT(bit);
    }
    }
}

static void spoil(struct bench *b)
{
    const struct entry *at = &b->entry[pick(b, b->entries)];
    uint64_t e = image_load(&b->image, at->at, at->size);
    e = at->second && b->s.ept ? spoil_ept(b, at, e) : spoil_x86(b, at, e);
    put(b, *at, e);
}

/* Software clears some A and D flags. */
static void clear_flags(struct bench *b)
{
    for (unsigned i = 0; i < 6; i++) {
        const struct entry *at = &b->entry[pick(b, b->entries)];
        uint64_t flags = at->second && b->s.ept ? bits(9, 8) : bits(6, 5);
        uint64_t e = image_load(&b->image, at->at, at->size);
        put(b, *at, e & ~some(b, flags));
    }
}

/* ---- the vCPU ---- */

static struct second_stage_controls controls_of(const struct setting *s)
{
    struct second_stage_controls c = {.mode_based_execute = s->mode_based,
                                      .execute_only = s->execute_only,
                                      .advanced_information = s->advanced,
                                      .no_nx = !s->host_nx};
    if (s->ept)
        c.kind = s->levels == 5 ? SECOND_EPT5 : SECOND_EPT4;
    else
        c.kind = s->levels == 5 ? SECOND_NPT5 : SECOND_NPT4;
    /* Table 24-8: 2:0 write-back, 5:3 levels - 1, 6 A and D flags. */
    c.pointer = s->ept ? s->root | 6 | (s->levels - 1) << 3 | (s->ad ? BIT(6) : 0) : s->root;
    return c;
}

static void start_vcpu(struct bench *b)
{
    b->profile.maxphyaddr = (uint8_t)b->s.maxphy;
    b->profile.features = (1u << FEATURE_COUNT) - 1;
    if (!b->s.page1g)
        b->profile.features &= ~(1u << FEATURE_pdpe1gb);
    b->profile.structure_by_entry = chance(b, 128);
    cr_assert_leq(mmu_bytes(&b->profile, 2), b->room);
    memset(b->rig->mmu, 0, b->room);
    mmu_init(b->rig->mmu, &b->profile, 2, 0, b->seed);
    struct second_stage_controls c = controls_of(&b->s);
    cr_assert_null(second_stage_fault(&c, &b->profile));
    struct stage stage = second_stage(&c, &b->profile);
    mmu_set_second_stages(b->rig->mmu, &stage, 1, chance(b, 128) ? 1 : 0);
}

static void choose_registers(struct bench *b)
{
    struct setting *s = &b->s;
    uint64_t r = rng_next(&b->rng);
    s->wp = r & 1, s->smep = (r >> 1 & 3) == 0, s->smap = (r >> 3 & 3) == 0;
    s->pke = (r >> 5 & 3) == 0;
    s->pkru = s->pke ? (uint32_t)(rng_next(&b->rng) & rng_next(&b->rng)) : 0;
}

/* False: the load of PDPTEs fails, as it should. */
static bool load_registers(struct bench *b)
{
    struct setting *s = &b->s;
    struct registers r = {.cr0 = BIT(0) | (s->guest ? BIT(31) : 0) | (s->wp ? BIT(16) : 0)};
    r.cr3 = s->cr3;
    r.cr4 = (s->pse ? BIT(4) : 0) | (s->guest >= 3 ? BIT(5) : 0) | (s->guest == 5 ? BIT(12) : 0) |
            (s->smep ? BIT(20) : 0) | (s->smap ? BIT(21) : 0) | (s->pke ? BIT(22) : 0);
    r.efer = (s->guest >= 4 ? BIT(8) | BIT(10) : 0) | (s->nxe ? BIT(11) : 0);
    r.pkru = s->pkru;
    bool should = s->guest != 3 || !s->ept || load_pdptes(s, &b->image);
    const char *fault = mmu_set_registers(b->rig->mmu, &b->rig->bus, &r);
    cr_assert_eq(!fault, should, "seed 0x%" PRIx64 ": registers: %s", b->seed, fault);
    return should;
}

static bool same_memory(const struct bench *b)
{
    for (unsigned i = 0; i < b->image.n; i++) {
        unsigned slot = b->image.used[i];
        if (mem_load(&b->rig->mem, b->image.key[slot] - 1, 8) != b->image.word[slot])
            return false;
    }
    return true;
}

static bool same_exit(const struct bench *b, const struct answer *want)
{
    struct second_stage_controls c = controls_of(&b->s);
    const struct refusal *r = &b->rig->walk.refusal;
    return r->depth == 1 && r->ia == want->gpa && r->on_table == want->on_table &&
           (!want->level || r->level == want->level) &&
           second_stage_is_misconfiguration(&c, r) == (want->verdict == MISCONFIGURATION) &&
           second_stage_qualification(&c, r) == want->information;
}

static bool same_answer(const struct bench *b, const struct answer *want, bool granted)
{
    const struct found *f = &b->rig->walk.found;
    const struct refusal *r = &b->rig->walk.refusal;
    if (want->verdict == GRANTED)
        return granted && f->hpa == want->hpa && f->next == want->gpa &&
               (b->warm || f->shift == want->shift); /* a TLB may keep a fragment */
    if (granted)
        return false;
    if (want->verdict == GENERAL_PROTECTION)
        return r->depth == 0 && r->kind == REFUSED_CANONICAL;
    if (want->verdict == PAGE_FAULT)
        return r->depth == 0 && r->kind != REFUSED_CANONICAL &&
               (!want->level || r->level == want->level) &&
               mmu_error_code(b->rig->mmu, r) == want->error;
    return same_exit(b, want);
}

static void report(struct bench *b, uint64_t va, struct use use, const struct answer *want,
                   bool granted)
{
    const struct setting *s = &b->s;
    struct second_stage_controls c = controls_of(s);
    const struct refusal *r = &b->rig->walk.refusal;
    if (b->wrong++ >= 8)
        return;
    fprintf(stderr,
            "seed 0x%" PRIx64 ", access %" PRIu64 ": guest of %u levels over %s%u%s%s%s%s%s, M %u, "
            "%s va 0x%" PRIx64 " %s%s%s%s\n",
            b->seed, b->checked, s->guest, s->ept ? "EPT" : "NPT", s->levels, s->ad ? " A/D" : "",
            s->mode_based ? " mode-based" : "", s->execute_only ? " execute-only" : "",
            s->advanced ? " advanced" : "", s->host_nx ? "" : " no NX", s->maxphy,
            b->warm ? "warm" : "cold", va, use.user ? "user" : "supervisor",
            use.write   ? " write"
            : use.fetch ? " fetch"
                        : " read",
            use.ac ? " AC" : "", s->wp ? " WP" : "");
    fprintf(stderr,
            "  want %s, gpa 0x%" PRIx64 ", hpa 0x%" PRIx64 ", error 0x%x, 0x%" PRIx64
            ", level %u%s\n",
            VERDICTS[want->verdict], want->gpa, want->hpa, want->error, want->information,
            want->level, want->on_table ? ", on a table" : "");
    if (granted)
        fprintf(stderr, "  got granted, gpa 0x%" PRIx64 ", hpa 0x%" PRIx64 "%s\n",
                b->rig->walk.found.next, b->rig->walk.found.hpa,
                same_memory(b) ? "" : ", other A and D flags");
    else
        fprintf(
            stderr, "  got kind %u at depth %u, gpa 0x%" PRIx64 ", 0x%" PRIx64 ", level %u%s%s\n",
            r->kind, r->depth, r->ia,
            r->depth ? second_stage_qualification(&c, r) : mmu_error_code(b->rig->mmu, r), r->level,
            r->on_table ? ", on a table" : "", same_memory(b) ? "" : ", memory changed");
}

static void check_access(struct bench *b)
{
    static const enum op ops[] = {OP_READ, OP_WRITE, OP_EXEC};
    static struct answer want;
    unsigned op = (unsigned)pick(b, 3);
    struct use use = {
        .write = op == 1, .fetch = op == 2, .user = chance(b, 150), .ac = chance(b, 128)};
    uint64_t va = (chance(b, 240) ? b->va[pick(b, VAS)] : pick_va(b)) | pick(b, 4096);
    if (b->s.guest >= 4 && chance(b, 1))
        va ^= BIT(48 + 9 * (b->s.guest - 4) + pick(b, 7));
    if (!b->warm)
        mmu_cool(b->rig->mmu, &b->rig->bus);
    reference(&b->s, &b->image, va, use, &want);
    if (want.verdict == GRANTED)
        for (unsigned i = 0; i < want.sets; i++) {
            unsigned size = want.set[i].at & 4 ? 4 : 8;
            uint64_t e = image_load(&b->image, want.set[i].at, size);
            image_store(&b->image, want.set[i].at, e | want.set[i].bits, size);
        }
    bool granted =
        rig_access(b->rig, ops[op], (use.user ? ACCESS_USER : 0) | (use.ac ? ACCESS_AC : 0), va);
    if (!same_answer(b, &want, granted) || !same_memory(b))
        report(b, va, use, &want, granted);
    b->checked++, b->of[want.verdict]++;
    b->tables_blamed += want.on_table;
}

static void compare_frame(void *self, hpa_t at, const uint8_t *bytes)
{
    const struct bench *b = self;
    for (unsigned i = 0; i < FRAME_BYTES; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        if (word)
            cr_expect_eq(word, image_load(&b->image, at + i, 8), "seed 0x%" PRIx64, b->seed);
    }
}

static void clean_up(struct bench *b)
{
    if (b->seed % 64 == 0)
        mem_visit(&b->rig->mem, compare_frame, b);
    for (unsigned i = 0; i < b->image.n; i++) {
        unsigned slot = b->image.used[i];
        mem_clear_frame(&b->rig->mem, (b->image.key[slot] - 1) & ~bits(11, 0));
        b->image.key[slot] = 0;
    }
    b->image.n = b->entries = b->tables = 0;
}

static void choose_setting(struct bench *b, enum second_stage kind)
{
    static const uint8_t guests[] = {0, 2, 2, 3, 3, 4, 4, 4, 5, 5}, widths[] = {36, 40, 46, 48, 52};
    struct setting *s = &b->s;
    memset(s, 0, sizeof *s);
    s->guest = guests[pick(b, sizeof guests)];
    s->ept = kind == SECOND_EPT4 || kind == SECOND_EPT5;
    s->levels = kind == SECOND_EPT5 || kind == SECOND_NPT5 ? 5 : 4;
    /* What 4-level nested paging makes of a guest-physical address of 52 bits APM doesn't say. */
    s->maxphy = widths[pick(b, kind == SECOND_NPT4 ? 4 : 5)];
    s->page1g = chance(b, 192);
    uint64_t r = rng_next(&b->rng);
    s->ad = s->ept && r & 1, s->mode_based = s->ept && r & 2, s->execute_only = s->ept && r & 4;
    s->advanced = s->ept && r & 8, s->host_nx = !s->ept && r >> 4 & 7;
    s->nxe = r >> 7 & 7, s->pse = s->guest >= 3 || r >> 10 & 3;
    b->warm = (r >> 12 & 7) == 0;
    b->loose = (unsigned[]){0, 1, 6, 20}[r >> 15 & 3];
}

/* All that happens follows from the seed. */
static void check_guest(struct bench *b, enum second_stage kind, uint64_t seed)
{
    b->seed = seed;
    b->rng.state = seed * 4 + kind;
    choose_setting(b, kind);
    choose_indices(b);
    build_second(b);
    for (unsigned v = 0; v < VAS; v++)
        b->va[v] = pick_va(b);
    if (!b->s.guest || build_guest(b)) {
        for (uint64_t n = pick(b, 2) * pick(b, 10); n; n--)
            spoil(b);
        start_vcpu(b);
        for (unsigned round = 0; round < 3; round++) {
            choose_registers(b);
            if (!load_registers(b))
                continue;
            for (unsigned i = 0; i < 12; i++) {
                if (!b->warm && chance(b, 128))
                    clear_flags(b);
                check_access(b);
            }
            spoil(b);
        }
    }
    clean_up(b);
}

/* Caches large enough to be met again, small enough to be emptied each time. */
static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof *b);
    b->profile = rig_profile();
    rig_tlb(&b->profile, TLB_L1I, 8);
    rig_tlb(&b->profile, TLB_L1D, 8);
    rig_tlb(&b->profile, TLB_L2, 16);
    rig_structure(&b->profile, 4);
    b->profile.nested_tlb = (struct shape){.entries = 8, .replacement = REPLACE_LRU};
    b->rig = rig_new(&b->profile, 2);
    b->room = mmu_bytes(&b->profile, 2);
    return b;
}

static void check_second_stage(enum second_stage kind, const char *name, uint64_t accesses)
{
    struct bench *b = bench_new();
    for (uint64_t seed = 1; b->checked < accesses && b->wrong < 8; seed++)
        check_guest(b, kind, seed);
    fprintf(stderr, "%s: %" PRIu64 " accesses, %" PRIu64 " differ:", name, b->checked, b->wrong);
    for (unsigned v = 0; v < 6; v++)
        fprintf(stderr, " %" PRIu64 " %s,", b->of[v], VERDICTS[v]);
    fprintf(stderr, " %" PRIu64 " of them on tables\n", b->tables_blamed);
    cr_assert_eq(b->wrong, 0);
    rig_free(b->rig);
    free(b);
}

enum { ACCESSES = 300000 };

Test(second_stage_oracle, random_guests_over_4_level_ept)
{
    check_second_stage(SECOND_EPT4, "ept4", ACCESSES);
}

Test(second_stage_oracle, random_guests_over_5_level_ept)
{
    check_second_stage(SECOND_EPT5, "ept5", ACCESSES);
}

Test(second_stage_oracle, random_guests_over_4_level_npt)
{
    check_second_stage(SECOND_NPT4, "npt4", ACCESSES);
}

Test(second_stage_oracle, random_guests_over_5_level_npt)
{
    check_second_stage(SECOND_NPT5, "npt5", ACCESSES);
}
