#include "core/format.h"

#include <string.h>

static uint64_t bits(unsigned high, unsigned low)
{
    return high < low ? 0 : ((uint64_t)2 << high) - ((uint64_t)1 << low);
}

/* What follows from the rest, worked out once. */
static struct format finish(struct format f)
{
    f.ia_mask = f.ia_bits < 64 ? low_bits(f.ia_bits) : UINT64_MAX;
    f.entry_shift = (uint8_t)__builtin_ctz(f.entry_bytes);
    f.scattered = f.frame_left || f.frame_right;
    for (unsigned level = 1; level <= f.levels; level++) {
        f.index_mask[level] = (uint32_t)low_bits(f.index_bits[level]);
        f.leaf[level] = level == 1 ? f.present : f.leaf_levels >> level & 1 ? f.large : 0;
        f.scattered |= f.high_bits[level] != 0;
    }
    return f;
}

/* What all x86 formats share. Tables 4-5, 4-6 (32-bit), 4-9 to 4-11 (PAE), 4-14 to 4-20 (long). */
static struct format x86(const char *name, unsigned levels, unsigned entry_bytes, unsigned ia_bits)
{
    struct format f = {
        .levels = (uint8_t)levels,
        .entry_bytes = (uint8_t)entry_bytes,
        .ia_bits = (uint8_t)ia_bits,
        .large = PTE_PS,
        .present = PTE_P,
        .accessed = PTE_A,
        .dirty = PTE_D,
        .low_tells = MAY_READ | MAY_WRITE | MAY_USER,
    };
    strncpy(f.name, name, sizeof f.name - 1);
    for (unsigned low = 0; low < 8; low++)
        f.grants[low] = (uint8_t)(MAY_READ | MAY_EXEC | (low & PTE_W ? MAY_WRITE : 0) |
                                  (low & PTE_U ? MAY_USER : 0));
    unsigned shift = 12;
    for (unsigned level = 1; level <= levels; level++) {
        f.shift[level] = (uint8_t)shift;
        f.index_bits[level] = entry_bytes == 4 ? 10 : 9;
        shift += f.index_bits[level];
    }
    return f;
}

static struct format two_level(const struct format_limits *limits)
{
    struct format f = x86("2-level", PAGING_2_LEVEL, 4, 32);
    unsigned high = limits->maxphyaddr > 40 ? 8 : limits->maxphyaddr - 32u;
    f.frame[1][1] = f.frame[2][0] = bits(31, 12);
    f.frame[2][1] = bits(31, 22);
    f.high_bits[2] = (uint8_t)high;
    f.reserved[2][1] = bits(21, 13 + high);
    f.leaf_levels = limits->pse ? 1 << 2 : 0;
    return f;
}

/* PAE and beyond: 8-byte entries, so address bits up to MAXPHYADDR and the execute-disable bit. */
static struct format eight_byte(const char *name, unsigned levels, unsigned ia_bits,
                                const struct format_limits *limits)
{
    struct format f = x86(name, levels, 8, ia_bits);
    unsigned top = levels == PAGING_PAE ? 62 : 51; /* PAE reserves 62:52 too */
    uint64_t always = bits(top, limits->maxphyaddr) | (limits->nx ? 0 : PTE_NX);
    for (unsigned level = 1; level <= levels; level++) {
        f.frame[level][0] = bits(51, 12);
        f.frame[level][1] = bits(51, f.shift[level]);
        f.reserved[level][0] = always;
        f.reserved[level][1] = always | bits(f.shift[level] - 1u, 13);
    }
    f.no_exec = limits->nx ? PTE_NX : 0;
    return f;
}

static struct format pae(const struct format_limits *limits)
{
    struct format f = eight_byte("pae", PAGING_PAE, 32, limits);
    f.index_bits[3] = 2;
    f.registers = 1;
    f.reserved[3][0] = bits(2, 1) | bits(8, 5) | bits(63, limits->maxphyaddr);
    f.leaf_levels = 1 << 2;
    return f;
}

static struct format long_mode(const char *name, unsigned levels,
                               const struct format_limits *limits)
{
    struct format f = eight_byte(name, levels, levels == PAGING_5_LEVEL ? 57 : 48, limits);
    f.canonical = true;
    f.leaf_levels = limits->pages_1g ? 1 << 2 | 1 << 3 : 1 << 2;
    for (unsigned level = 2; level <= levels; level++)
        if (!(f.leaf_levels >> level & 1))
            f.reserved[level][0] |= PTE_PS;
    f.key_shift = limits->keys ? PTE_PK_SHIFT : 0;
    return f;
}

struct format format_x86(enum paging paging, const struct format_limits *limits)
{
    struct format f = paging == PAGING_2_LEVEL   ? two_level(limits)
                      : paging == PAGING_PAE     ? pae(limits)
                      : paging == PAGING_4_LEVEL ? long_mode("4-level", 4, limits)
                                                 : long_mode("5-level", 5, limits);
    f.global = limits->global ? PTE_G : 0;
    return finish(f);
}

/* Tables 28-1 to 28-6: R, W and X in bits 2:0, memory type and IPAT in leaves, A 8, D 9. */
struct format format_ept(const struct ept_limits *limits)
{
    struct format f = x86(limits->levels == 1 ? "flat" : "ept", limits->levels, 8, 48);
    uint64_t always = bits(51, limits->maxphyaddr);
    f.name[3] = limits->levels > 1 ? (char)('0' + limits->levels) : 't';
    f.ia_bits = (uint8_t)(limits->levels == 1 ? 12 + limits->flat_bits : 12 + 9 * limits->levels);
    if (limits->levels == 1)
        f.index_bits[1] = limits->flat_bits;
    f.user_exec = limits->mode_based_execute ? (uint64_t)1 << 10 : 0;
    f.present = 7 | f.user_exec;
    f.accessed = limits->accessed_dirty ? (uint64_t)1 << 8 : 0;
    f.dirty = limits->accessed_dirty ? (uint64_t)1 << 9 : 0;
    f.bad_low = 1 << 2 | 1 << 6 | (limits->execute_only ? 0 : 1 << 4);
    f.low_tells = MAY_READ | MAY_WRITE | MAY_EXEC;
    f.leaf_always = (uint64_t)6 << 3;
    f.bad_type = 1 << 2 | 1 << 3 | 1 << 7;
    f.leaf_levels = limits->pages_1g ? 1 << 2 | 1 << 3 : 1 << 2;
    for (unsigned low = 0; low < 8; low++)
        f.grants[low] = (uint8_t)((low & 1 ? MAY_READ : 0) | (low & 2 ? MAY_WRITE : 0) |
                                  (low & 4 ? MAY_EXEC : 0));
    for (unsigned level = 1; level <= limits->levels; level++) {
        f.frame[level][0] = bits(51, 12);
        f.frame[level][1] = bits(51, f.shift[level]);
        f.reserved[level][0] = always | bits(f.leaf_levels >> level & 1 ? 6 : 7, 3);
        f.reserved[level][1] = always | bits(f.shift[level] - 1u, 12);
    }
    return finish(f);
}

struct format format_pae_in_memory(const struct format *pae)
{
    struct format f = *pae;
    f.registers = 0;
    f.rightless = PAGING_PAE;
    return f;
}

struct format format_textbook(const struct geometry *g)
{
    unsigned shift = (unsigned)__builtin_ctz(g->page);
    struct format f = {
        .name = "textbook",
        .levels = g->levels,
        .entry_bytes = g->entry_bytes,
        .present = (uint64_t)1 << g->valid,
        .low_tells = MAY_READ | MAY_WRITE | MAY_USER,
        .frame_left = (uint8_t)(shift > g->frame_low ? shift - g->frame_low : 0),
        .frame_right = (uint8_t)(shift > g->frame_low ? 0 : g->frame_low - shift),
    };
    memset(f.grants, MAY_ALL, sizeof f.grants);
    for (unsigned level = 1; level <= g->levels; level++) {
        f.shift[level] = (uint8_t)shift;
        f.index_bits[level] = g->index_bits[g->levels - level];
        shift += f.index_bits[level];
        f.frame[level][0] = f.frame[level][1] = low_bits(g->frame_bits) << g->frame_low;
    }
    f.ia_bits = (uint8_t)shift;
    return finish(f);
}

uint64_t format_gather(const struct format *f, unsigned level, bool leaf, uint64_t entry)
{
    uint64_t address = (entry & f->frame[level][leaf]) << f->frame_left >> f->frame_right;
    if (leaf)
        address |= (entry >> 13 & low_bits(f->high_bits[level])) << 32;
    return address;
}

const char *format_level_name(const struct format *f, unsigned level)
{
    static const char *const names[] = {"data", "PTE", "PMD", "PUD", "P4D", "PGD"};
    return names[level > 1 && level == f->levels ? LEVELS_MAX : level];
}

const char *format_page_name(const struct format *f, unsigned level, char *text)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    unsigned shift = f->shift[level], n = 1u << shift % 10, digits = n < 10 ? 1 : n < 100 ? 2 : 3;
    for (unsigned i = digits; i--; n /= 10)
        text[i] = (char)('0' + n % 10);
    strcpy(text + digits, units[shift / 10]);
    return text;
}

uint64_t format_entry(const struct format *f, unsigned level, bool leaf, uint64_t address,
                      uint32_t rights)
{
    uint64_t entry = (f->low_tells & MAY_EXEC ? 0 : f->present) |
                     (address << f->frame_right >> f->frame_left & f->frame[level][leaf]);
    if (leaf && level > 1)
        entry |= f->large | (address >> 32 & low_bits(f->high_bits[level])) << 13;
    if (level > (unsigned)f->levels - f->registers)
        return entry; /* a PDPTE has no rights */
    for (unsigned low = 0; low < 8; low++)
        if (!((f->grants[low] ^ rights) & f->low_tells)) {
            entry |= low;
            break;
        }
    entry |= rights & MAY_EXEC ? 0 : f->no_exec;
    entry |= rights & MAY_USER ? f->user_exec : 0;
    return entry | (leaf ? f->leaf_always : 0);
}
