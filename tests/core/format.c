/*
 * The formats of paging structures, against tables written out from SDM vol. 3: figures 4-1 to
 * 4-11 (how an address is split), tables 4-3 to 4-20 (what each bit of an entry is).
 */
#include "core/format.h"

#include "core/rng.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint8_t WIDTHS[] = {32, 36, 40, 46, 52};
enum { WIDTH_COUNT = sizeof WIDTHS, LIMITS = WIDTH_COUNT * 32 };

/* Bits from @p high down to @p low; none if high < low. */
static uint64_t bits(int high, int low)
{
    uint64_t mask = 0;
    for (int n = low; n <= high; n++)
        mask |= (uint64_t)1 << n;
    return mask;
}

/* All widths with all switches. */
static struct format_limits limits_number(unsigned i)
{
    unsigned s = i / WIDTH_COUNT;
    return (struct format_limits){.maxphyaddr = WIDTHS[i % WIDTH_COUNT],
                                  .nx = s & 1,
                                  .pse = s >> 1 & 1,
                                  .pages_1g = s >> 2 & 1,
                                  .global = s >> 3 & 1,
                                  .keys = s >> 4 & 1};
}

/* Whether an entry of that level may map a page at all. */
static bool may_be_leaf(enum paging paging, unsigned level, const struct format_limits *l)
{
    if (level == 1)
        return true;
    if (paging == PAGING_2_LEVEL)
        return l->pse;
    return level == 2 || (level == 3 && paging >= PAGING_4_LEVEL && l->pages_1g);
}

/* ---- splitting an address ---- */

/* 10/10/12; 2/9/9/12; 9/9/9/9/12; 9/9/9/9/9/12. Figures 4-2, 4-5, 4-8. */
static const struct split {
    enum paging paging;
    unsigned entry_bytes, ia_bits, shift[6], width[6];
} SPLITS[] = {
    {PAGING_2_LEVEL, 4, 32, {0, 12, 22}, {0, 10, 10}},
    {PAGING_PAE, 8, 32, {0, 12, 21, 30}, {0, 9, 9, 2}},
    {PAGING_4_LEVEL, 8, 48, {0, 12, 21, 30, 39}, {0, 9, 9, 9, 9}},
    {PAGING_5_LEVEL, 8, 57, {0, 12, 21, 30, 39, 48}, {0, 9, 9, 9, 9, 9}},
};
enum { SPLIT_COUNT = sizeof SPLITS / sizeof *SPLITS };

static void check_split(const struct split *s, const struct format *f, ia_t ia)
{
    for (unsigned level = 1; level <= (unsigned)s->paging; level++) {
        uint64_t index = ia / ((uint64_t)1 << s->shift[level]) % ((uint64_t)1 << s->width[level]);
        cr_assert_eq(format_offset(f, level, ia), index * s->entry_bytes, "%u-level %u: %lx",
                     s->paging, level, ia);
    }
}

Test(format, an_address_is_split_into_the_manuals_fields)
{
    struct rng rng = {.state = 3};
    for (unsigned i = 0; i < SPLIT_COUNT; i++) {
        const struct split *s = &SPLITS[i];
        struct format_limits limits = limits_number(LIMITS - 1);
        struct format f = format_x86(s->paging, &limits);
        cr_expect_eq(f.levels, (unsigned)s->paging);
        cr_expect_eq(f.ia_bits, s->ia_bits);
        cr_expect_eq(f.entry_bytes, s->entry_bytes);
        cr_expect_eq(f.registers, s->paging == PAGING_PAE, "the PDPTEs are registers");
        for (unsigned level = 1; level <= f.levels; level++) {
            cr_expect_eq(f.shift[level], s->shift[level]);
            cr_expect_eq(f.index_bits[level], s->width[level]);
            cr_expect_eq(format_table_bytes(&f, level),
                         s->paging == PAGING_PAE && level == 3 ? 32 : 4096);
        }
        for (unsigned n = 0; n < 64; n++)
            check_split(s, &f, (ia_t)1 << n);
        for (unsigned n = 0; n < 10000; n++)
            check_split(s, &f, rng_next(&rng));
    }
}

/* 4 KiB; 4 MiB (32-bit), 2 MiB; 1 GiB. Table 4-1. */
Test(format, pages_have_the_manuals_sizes_and_levels_linuxs_names)
{
    static const char *const pages[][4] = {[2] = {"", "4KiB", "4MiB"},
                                           [3] = {"", "4KiB", "2MiB"},
                                           [4] = {"", "4KiB", "2MiB", "1GiB"},
                                           [5] = {"", "4KiB", "2MiB", "1GiB"}};
    static const char *const names[][6] = {[2] = {"", "PTE", "PGD"},
                                           [3] = {"", "PTE", "PMD", "PGD"},
                                           [4] = {"", "PTE", "PMD", "PUD", "PGD"},
                                           [5] = {"", "PTE", "PMD", "PUD", "P4D", "PGD"}};
    struct format_limits limits = limits_number(LIMITS - 1);
    for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_5_LEVEL; paging++) {
        struct format f = format_x86(paging, &limits);
        char text[16];
        for (unsigned level = 1; level <= (unsigned)paging; level++) {
            cr_expect_str_eq(format_level_name(&f, level), names[paging][level]);
            if (may_be_leaf(paging, level, &limits))
                cr_expect_str_eq(format_page_name(&f, level, text), pages[paging][level]);
        }
    }
}

/* PS makes a leaf of PDEs (32-bit: with CR4.PSE) and, with PDPE1GB, of IA-32e PDPTEs; else not. */
Test(format, ps_makes_a_leaf_where_the_manual_says)
{
    for (unsigned i = 0; i < LIMITS; i++)
        for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_5_LEVEL; paging++) {
            struct format_limits limits = limits_number(i);
            struct format f = format_x86(paging, &limits);
            for (unsigned level = 1; level <= (unsigned)paging; level++) {
                cr_expect_eq(format_is_leaf(&f, level, PTE_P), level == 1);
                cr_expect_eq(format_is_leaf(&f, level, PTE_P | PTE_PS),
                             may_be_leaf(paging, level, &limits), "%u-level %u", paging, level);
            }
        }
}

/* "Bits 63:47 (63:56 with five levels) are equal"; 32-bit modes have addresses of 32 bits. */
Test(format, canonical_addresses_end_at_the_manuals_borders)
{
    struct format_limits limits = limits_number(0);
    struct format four = format_x86(PAGING_4_LEVEL, &limits);
    struct format five = format_x86(PAGING_5_LEVEL, &limits);
    static const struct {
        ia_t ia;
        bool four, five;
    } edges[] = {{0, true, true},
                 {0x00007fffffffffff, true, true},
                 {0x0000800000000000, false, true},
                 {0xffff7fffffffffff, false, true},
                 {0xffff800000000000, true, true},
                 {0x00ffffffffffffff, false, true},
                 {0x0100000000000000, false, false},
                 {0xfeffffffffffffff, false, false},
                 {0xff00000000000000, false, true},
                 {0x8000000000000000, false, false},
                 {0x7fffffffffffffff, false, false},
                 {0xffffffffffffffff, true, true}};
    for (unsigned i = 0; i < sizeof edges / sizeof *edges; i++) {
        cr_expect_eq(format_canonical(&four, edges[i].ia), edges[i].four, "%lx", edges[i].ia);
        cr_expect_eq(format_canonical(&five, edges[i].ia), edges[i].five, "%lx", edges[i].ia);
    }
    for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_PAE; paging++) {
        struct format f = format_x86(paging, &limits);
        cr_expect(format_canonical(&f, 0xffffffff));
        cr_expect_not(format_canonical(&f, 0x100000000));
    }
}

/* ---- entries ---- */

/* What the manual's tables call "reserved (must be 0)" in a present entry. */
static uint64_t reserved_32(unsigned level, bool leaf, int m)
{
    m = m < 40 ? m : 40;                              /* PSE-36 goes no further */
    return leaf && level == 2 ? bits(21, m - 19) : 0; /* table 4-4 */
}

static uint64_t reserved_pae(unsigned level, bool leaf, int m, bool nx)
{
    if (level == 3)
        return bits(2, 1) | bits(8, 5) | bits(63, m); /* table 4-8 */
    uint64_t high = bits(62, m) | (nx ? 0 : PTE_NX);  /* tables 4-9 to 4-11 */
    return high | (leaf && level == 2 ? bits(20, 13) : 0);
}

static uint64_t reserved_long(unsigned level, bool leaf, const struct format_limits *l)
{
    uint64_t high = bits(51, l->maxphyaddr) | (l->nx ? 0 : PTE_NX);
    if (level >= 4 || (level == 3 && !l->pages_1g)) /* tables 4-14, 4-15, 4-17 */
        return high | PTE_PS;
    if (leaf && level > 1) /* tables 4-16, 4-18 */
        return high | bits(level == 3 ? 29 : 20, 13);
    return high;
}

static uint64_t reserved(enum paging paging, unsigned level, bool leaf,
                         const struct format_limits *l)
{
    if (paging == PAGING_2_LEVEL)
        return reserved_32(level, leaf, l->maxphyaddr);
    if (paging == PAGING_PAE)
        return reserved_pae(level, leaf, l->maxphyaddr, l->nx);
    return reserved_long(level, leaf, l);
}

typedef void check_level(const struct format *, enum paging, unsigned level, bool leaf,
                         const struct format_limits *);

/* Every format, limit, level, and both meanings of an entry. */
static void for_each_level(check_level *check)
{
    for (unsigned i = 0; i < LIMITS; i++)
        for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_5_LEVEL; paging++) {
            struct format_limits limits = limits_number(i);
            struct format f = format_x86(paging, &limits);
            for (unsigned level = 1; level <= (unsigned)paging; level++) {
                if (level > 1)
                    check(&f, paging, level, false, &limits);
                if (may_be_leaf(paging, level, &limits))
                    check(&f, paging, level, true, &limits);
            }
        }
}

static void check_reserved(const struct format *f, enum paging paging, unsigned level, bool leaf,
                           const struct format_limits *l)
{
    cr_expect_eq(f->reserved[level][leaf], reserved(paging, level, leaf, l),
                 "%u-level, level %u leaf %d, M %u nx %d: %lx", paging, level, leaf, l->maxphyaddr,
                 l->nx, f->reserved[level][leaf]);
}

Test(format, reserved_bits_are_the_manuals)
{
    for_each_level(check_reserved);
}

/* The address that the manual's tables read out of an entry. */
static uint64_t address_in(enum paging paging, unsigned level, bool leaf, int m, uint64_t entry)
{
    if (paging == PAGING_2_LEVEL && leaf && level == 2)
        return (entry & bits(31, 22)) | (entry >> 13 & bits((m < 40 ? m : 40) - 33, 0)) << 32;
    int low = !leaf || level == 1 ? 12 : level == 2 ? 21 : 30;
    return entry & bits(paging == PAGING_2_LEVEL ? 31 : m - 1, low);
}

static void check_address(const struct format *f, enum paging paging, unsigned level, bool leaf,
                          const struct format_limits *l)
{
    struct rng rng = {.state = level};
    for (unsigned i = 0; i < 200; i++) {
        uint64_t entry = i < 64 ? (uint64_t)1 << i : i == 64 ? ~(uint64_t)0 : rng_next(&rng);
        entry &= ~f->reserved[level][leaf]; /* with those set there is no address */
        entry &= paging == PAGING_2_LEVEL ? 0xffffffff : ~(uint64_t)0;
        cr_assert_eq(format_address(f, level, leaf, entry),
                     address_in(paging, level, leaf, l->maxphyaddr, entry),
                     "%u-level, level %u leaf %d, M %u: %lx in %lx", paging, level, leaf,
                     l->maxphyaddr, format_address(f, level, leaf, entry), entry);
    }
}

Test(format, addresses_stand_where_the_manual_says)
{
    for_each_level(check_address);
}

/* Bit 1 W, bit 2 U, bit 63 XD (with NXE, not in 32-bit paging), 6 D, 8 G (PGE), 62:59 key. */
static void check_rights(const struct format *f, enum paging paging, unsigned level, bool leaf,
                         const struct format_limits *l)
{
    struct rng rng = {.state = level};
    if (paging == PAGING_PAE && level == 3)
        return; /* a PDPTE has none */
    for (unsigned i = 0; i < 200; i++) {
        uint64_t e = rng_next(&rng) | PTE_P;
        uint32_t want = MAY_READ | (e >> 1 & 1 ? MAY_WRITE : 0) | (e >> 2 & 1 ? MAY_USER : 0);
        want |= paging > PAGING_2_LEVEL && l->nx && e >> 63 ? 0 : MAY_EXEC;
        if (leaf)
            want |= (e >> 6 & 1 ? LEAF_DIRTY : 0) | (l->global && e >> 8 & 1 ? LEAF_GLOBAL : 0);
        if (leaf && paging >= PAGING_4_LEVEL && l->keys)
            want |= (uint32_t)(e >> 59 & 15) << LEAF_KEY_SHIFT;
        cr_assert_eq(format_rights(f, leaf, e), want, "%u-level, level %u leaf %d: %lx gives %x",
                     paging, level, leaf, e, format_rights(f, leaf, e));
    }
}

Test(format, rights_stand_where_the_manual_says)
{
    for_each_level(check_rights);
}

/* An address with nothing below the page, and nothing at or above the width. */
static uint64_t some_address(struct rng *rng, enum paging paging, unsigned level, bool leaf,
                             const struct format_limits *l)
{
    int low = !leaf || level == 1 ? 12 : level == 3 ? 30 : paging == PAGING_2_LEVEL ? 22 : 21;
    int m = l->maxphyaddr;
    if (paging == PAGING_2_LEVEL)
        m = leaf && level == 2 && m > 32 ? (m < 40 ? m : 40) : 32;
    return rng_next(rng) & bits(m - 1, low);
}

/* An entry made of an address and rights says the same address and rights, and nothing else. */
static void check_round_trip(const struct format *f, enum paging paging, unsigned level, bool leaf,
                             const struct format_limits *l)
{
    struct rng rng = {.state = l->maxphyaddr};
    bool pdpte = paging == PAGING_PAE && level == 3, nx = paging > PAGING_2_LEVEL && l->nx;
    for (uint32_t rights = MAY_READ; rights <= MAY_ALL; rights++)
        for (unsigned i = 0; i < 8; i++) {
            uint64_t address = some_address(&rng, paging, level, leaf, l);
            uint64_t entry = format_entry(f, level, leaf, address, rights);
            cr_assert(format_present(f, entry));
            cr_assert_eq(format_is_leaf(f, level, entry), leaf);
            cr_assert_eq(entry & f->reserved[level][leaf], 0, "%lx", entry);
            cr_assert_eq(format_address(f, level, leaf, entry), address, "%lx: %lx", address,
                         entry);
            cr_assert_eq(entry & (PTE_A | PTE_D), 0);
            if (!pdpte)
                cr_assert_eq(format_rights(f, leaf, entry) & MAY_ALL, rights | (nx ? 0 : MAY_EXEC));
            cr_assert(f->entry_bytes == 8 || !(entry >> 32));
        }
}

Test(format, an_entry_that_was_made_reads_back)
{
    for_each_level(check_round_trip);
}

/* Bits 0, 5, 6, 8 of all x86 formats; G counts with CR4.PGE, keys with CR4.PKE in IA-32e. */
Test(format, the_bits_that_the_processor_sets_are_the_manuals)
{
    for (unsigned i = 0; i < LIMITS; i++)
        for (enum paging paging = PAGING_2_LEVEL; paging <= PAGING_5_LEVEL; paging++) {
            struct format_limits limits = limits_number(i);
            struct format f = format_x86(paging, &limits);
            cr_expect_eq(f.present, 1);
            cr_expect_eq(f.accessed, 1 << 5);
            cr_expect_eq(f.dirty, 1 << 6);
            cr_expect_eq(f.global, limits.global ? 1 << 8 : 0);
            cr_expect_eq(f.key_shift, limits.keys && paging >= PAGING_4_LEVEL ? 59 : 0);
        }
}

/* ---- textbook geometries ---- */

/* An entry of a textbook table and back, over many frame numbers. */
static void check_textbook(const struct geometry *g)
{
    struct format f = format_textbook(g);
    unsigned offset = (unsigned)__builtin_ctz(g->page), shift = offset;
    cr_expect_eq(f.levels, g->levels);
    for (unsigned level = 1; level <= g->levels; level++) {
        cr_expect_eq(f.shift[level], shift);
        cr_expect_eq(f.index_bits[level], g->index_bits[g->levels - level], "top level first");
        shift += g->index_bits[g->levels - level];
        cr_expect_eq(format_is_leaf(&f, level, ~(uint64_t)0), level == 1, "no large pages");
        for (uint64_t frame = 0; frame < (uint64_t)1 << g->frame_bits && frame < 5000; frame++) {
            uint64_t want = frame << g->frame_low | (uint64_t)1 << g->valid;
            uint64_t entry = format_entry(&f, level, level == 1, frame << offset, MAY_ALL);
            cr_assert_eq(entry, want, "frame %lx: %lx", frame, entry);
            cr_assert_eq(format_address(&f, level, level == 1, want), frame << offset);
            cr_assert_eq(format_rights(&f, level == 1, want) & MAY_ALL, MAY_ALL);
            cr_assert_not(format_present(&f, frame << g->frame_low));
        }
    }
    cr_expect_eq(f.ia_bits, shift);
    cr_expect(format_canonical(&f, ((ia_t)1 << shift) - 1));
    cr_expect_not(format_canonical(&f, (ia_t)1 << shift));
    cr_expect_eq(f.accessed | f.dirty | f.global, 0, "no bits that the processor sets");
}

/* The geometries of textbooks: valid bit and frame number anywhere, pages from 8 bytes up. */
Test(format, textbook_geometries_read_as_they_are_drawn)
{
    static const struct geometry list[] = {
        /* Bryant and O'Hallaron, 9.6.4: 14-bit addresses, 64-byte pages */
        {1, {8}, 64, 1, 7, 0, 6},
        /* Arpaci-Dusseau, chapter 20: 15 bits, 32-byte pages, two levels of 5 bits */
        {2, {5, 5}, 32, 1, 7, 0, 7},
        /* Arpaci-Dusseau, chapter 18: 64-byte space, 16-byte pages, valid in the top bit */
        {1, {2}, 16, 4, 31, 0, 3},
        /* the frame number above, at, and below where the page's address stands */
        {3, {2, 3, 4}, 256, 4, 0, 8, 20},
        {3, {2, 3, 4}, 256, 4, 0, 12, 12},
        {3, {4, 3, 2}, 256, 2, 0, 1, 15},
        /* the extremes */
        {1, {1}, 8, 1, 0, 1, 1},
        {5, {3, 3, 3, 3, 3}, 1 << 20, 8, 63, 0, 30},
    };
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++)
        check_textbook(&list[i]);
}
