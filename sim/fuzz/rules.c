#include "sim/fuzz/rules.h"

#include <assert.h>
#include <stdlib.h>

#include "core/mem.h"

enum {
    TOP_ENTRY_KEPT = 256 /* KVM-PVM's: see MASK_top_entry_256 */
};

bool harmless(uint8_t byte)
{
    return byte == 0x90 || byte == 0xf8 || byte == 0xf9 || byte == 0xfc;
}

static bool all_harmless(uint64_t value, unsigned size)
{
    bool good = size == 8 || !(value >> 8 * size);
    for (unsigned i = 0; i < size; i++)
        good &= harmless((uint8_t)(value >> 8 * i));
    return good;
}

bool rules_init(struct rules *r, const struct environment *environment,
                const struct fuzz_program *program)
{
    *r = (struct rules){
        .environment = environment, .program = program, .registers = program->registers};
    r->word = calloc(program->memory / 8, sizeof *r->word);
    for (unsigned i = 0; r->word && i < program->n_words; i++)
        r->word[program->word[i].gpa / 8].value = program->word[i].value;
    return r->word;
}

void rules_fini(struct rules *r)
{
    free(r->word);
    r->word = NULL;
}

/* ---- the way of an address ---- */

static unsigned shift_of(unsigned level)
{
    return 12 + 9 * (level - 1);
}

static bool is_canonical(const struct rules *r, gva_t gva)
{
    unsigned spare = r->program->levels == 5 ? 7 : 16;
    return (gva_t)((int64_t)(gva << spare) >> spare) == gva;
}

static bool is_unaligned(unsigned level, uint64_t entry)
{
    return level > 1 && entry & PTE_PS && entry & low_bits(shift_of(level)) & ~low_bits(13);
}

static bool is_reserved(const struct rules *r, unsigned level, uint64_t entry)
{
    uint64_t beyond = low_bits(52) & ~low_bits(r->environment->maxphyaddr);
    bool no_nx = !(r->registers.efer & EFER_NXE);
    return entry & beyond || is_unaligned(level, entry) || (entry & PTE_PS && level > 3) ||
           (no_nx && entry & PTE_NX);
}

/* What makers disagree on: G above the page tables; large pages that CPUID hides. And what KVM's
 * emulator does: it sets A in a large page before it looks whether it is aligned. */
static bool is_unclear(const struct rules *r, unsigned level, uint64_t entry)
{
    const struct environment *e = r->environment;
    bool page = level == 1 || entry & PTE_PS;
    return (level == 3 && page && !e->has.page_1gib) || (level > 2 && !page && entry & PTE_G) ||
           (e->mask[MASK_accessed_of_refused] && is_unaligned(level, entry) && !(entry & PTE_A));
}

static gpa_t address_in(unsigned level, uint64_t entry)
{
    return entry & low_bits(52) & ~low_bits(shift_of(level));
}

static bool is_table(const struct rules *r, gpa_t gpa, unsigned level)
{
    return gpa < r->program->memory && r->program->level[gpa >> FRAME_SHIFT] == level;
}

void rules_path(const struct rules *r, gva_t gva, struct path *path)
{
    gpa_t table = r->registers.cr3;
    *path = (struct path){.end = PATH_NOT_CANONICAL};
    if (!is_canonical(r, gva))
        return;
    path->end = PATH_NOWHERE;
    for (unsigned level = r->program->levels; is_table(r, table, level); level--) {
        gpa_t at = table + (gva >> shift_of(level) & 511) * 8;
        uint64_t entry = r->word[at / 8].value;
        path->level = level;
        path->at[path->steps] = at;
        path->entry[path->steps++] = entry;
        if (!(entry & PTE_P))
            path->end = PATH_ABSENT;
        else if (is_unclear(r, level, entry))
            return;
        else if (is_reserved(r, level, entry))
            path->end = PATH_RESERVED;
        else if (level == 1 || entry & PTE_PS)
            path->end = PATH_PAGE;
        if (path->end == PATH_PAGE) {
            path->bytes = (uint64_t)1 << shift_of(level);
            path->gpa = address_in(level, entry) | (gva & (path->bytes - 1));
        }
        if (path->end != PATH_NOWHERE)
            return;
        table = address_in(1, entry);
    }
}

/* ---- loose pages ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool contains(const struct rules_page *page, gva_t gva)
{
    return gva - page->gva < page->bytes;
}

/* When an address was last covered, if nothing global may be kept of it. */
static uint64_t dropped_when(const struct rules *r, gva_t gva)
{
    uint64_t when = r->all_dropped;
    for (unsigned i = 0; i < r->n_dropped; i++)
        if (contains(&r->dropped[i], gva))
            when = later(when, r->dropped[i].when);
    return when;
}

static bool is_loose(const struct rules *r, gva_t gva, const struct path *path)
{
    uint64_t covered = dropped_when(r, gva);
    bool global = false, foreign = false; /* of another root: its translation may be kept */
    for (unsigned i = 0; i < r->n_global; i++)
        if (r->global[i].when > covered && contains(&r->global[i], gva)) {
            global = true;
            foreign |= r->global[i].root != r->registers.cr3;
        }
    covered = global ? covered : later(covered, r->cr3_loaded);
    bool loose = foreign || r->meaning_changed > covered;
    for (unsigned i = 0; i < path->steps; i++)
        loose |= r->word[path->at[i] / 8].changed > covered;
    return loose;
}

static void remember(struct rules_page *pages, unsigned *n, struct rules_page page)
{
    assert(*n < RULES_PAGES);
    pages[(*n)++] = page;
}

/* ---- what is allowed ---- */

static bool writes(const struct access *a)
{
    return a->op == OP_WRITE;
}

static bool is_user(const struct access *a)
{
    return a->flags & ACCESS_USER;
}

/* What the environment's masks would hide, and what it does otherwise than a processor. */
static bool is_judged(const struct rules *r, const struct access *a)
{
    const struct environment *e = r->environment;
    bool crosses = (a->gva ^ (a->gva + a->size - 1)) >> FRAME_SHIFT;
    unsigned top = a->gva >> shift_of(r->program->levels) & 511;
    if (e->mask[MASK_smap_write_protect] && !(r->registers.cr0 & CR0_WP) &&
        r->registers.cr4 & CR4_SMAP && !is_user(a))
        return false;
    if (e->mask[MASK_top_entry_256] && is_user(a) && top == TOP_ENTRY_KEPT)
        return false;
    return !(e->emulates_supervisor && crosses && writes(a) && !is_user(a));
}

static bool is_well_formed(const struct rules *r, const struct script_item *item)
{
    const struct access *a = &item->access;
    bool word = a->size == 1 || a->size == 2 || a->size == 4 || a->size == 8;
    bool ac = a->flags & ACCESS_AC;
    if (!word || a->op > OP_EXEC || (a->op == OP_EXEC && (a->size != 1 || ac)))
        return false;
    if (ac && (is_user(a) || !r->environment->has.smap))
        return false;
    return writes(a) ? item->has_value && all_harmless(item->value, a->size) : !item->has_value;
}

/* One page of an access. */
static bool allow_page(const struct rules *r, const struct access *a, gva_t gva)
{
    struct path path;
    rules_path(r, gva, &path);
    if (path.end == PATH_NOWHERE || is_loose(r, gva, &path))
        return false;
    if (path.end == PATH_NOT_CANONICAL)
        return a->op != OP_EXEC;
    if (path.end != PATH_PAGE)
        return true;
    if (!is_table(r, path.gpa, 0))
        return false;
    uint8_t byte = (uint8_t)(r->word[path.gpa / 8].value >> 8 * (path.gpa % 8));
    return a->op != OP_EXEC || harmless(byte);
}

static bool allow_access(const struct rules *r, const struct script_item *item)
{
    const struct access *a = &item->access;
    gva_t last = a->gva + a->size - 1;
    return is_well_formed(r, item) && is_judged(r, a) && last >= a->gva &&
           is_canonical(r, a->gva) == is_canonical(r, last) && allow_page(r, a, a->gva) &&
           allow_page(r, a, last);
}

/* A guest edits its tables; all else it writes by accesses. */
static bool allow_store(const struct rules *r, const struct script_item *item)
{
    return item->size == 8 && !(item->gpa % 8) && item->gpa < r->program->memory &&
           r->program->level[item->gpa >> FRAME_SHIFT];
}

bool rules_allow_registers(const struct rules *r, const struct registers *x)
{
    const struct environment *e = r->environment;
    uint64_t cr0 = 0x80010033, efer = 0xd01,
             paging = CR4_PAE | (r->program->levels == 5 ? CR4_LA57 : 0);
    uint64_t may = CR4_PGE | (e->has.smep ? CR4_SMEP : 0) | (e->has.smap ? CR4_SMAP : 0) |
                   (e->has.pku ? CR4_PKE : 0);
    return (x->cr0 | CR0_WP) == cr0 && (x->efer | EFER_NXE) == efer &&
           (e->has.nx || !(x->efer & EFER_NXE)) && (x->cr4 & ~may) == paging &&
           is_table(r, x->cr3, r->program->levels) && !(x->cr3 & low_bits(FRAME_SHIFT)) &&
           (!x->pkru || x->cr4 & CR4_PKE);
}

/* KVM's shadow tables are the same with EFER.NXE set and clear: what was translated while it was
 * set, KVM goes on using, whatever is invalidated. */
static bool outlives_nx(const struct rules *r, const struct registers *x)
{
    return !r->environment->nested && r->registers.efer & ~x->efer & EFER_NXE;
}

/* The registers after an item. */
static struct registers after(const struct rules *r, const struct script_item *item)
{
    struct registers x = r->registers;
    switch (item->verb) {
    case VERB_mov_cr0:
        x.cr0 = item->value;
        break;
    case VERB_mov_cr3:
        x.cr3 = item->value;
        break;
    case VERB_mov_cr4:
        x.cr4 = item->value;
        break;
    case VERB_wrmsr_efer:
        x.efer = item->value;
        break;
    case VERB_wrpkru:
        x.pkru = (uint32_t)item->value;
        break;
    default:
        break;
    }
    return x;
}

bool rules_allow(const struct rules *r, const struct script_item *item)
{
    struct registers x = after(r, item);
    switch (item->verb) {
    case VERB_access:
        return allow_access(r, item);
    case VERB_store:
        return allow_store(r, item);
    case VERB_invlpg:
        return is_canonical(r, item->access.gva);
    case VERB_mov_cr0:
    case VERB_mov_cr3:
    case VERB_mov_cr4:
    case VERB_wrmsr_efer:
        return rules_allow_registers(r, &x) && !outlives_nx(r, &x);
    case VERB_wrpkru:
        return x.cr4 & CR4_PKE && item->value == x.pkru;
    default:
        return false;
    }
}

/* ---- what it leads to ---- */

static void follow_access(struct rules *r, gva_t gva)
{
    struct path path;
    rules_path(r, gva, &path);
    bool global =
        r->registers.cr4 & CR4_PGE && path.end == PATH_PAGE && path.entry[path.steps - 1] & PTE_G;
    if (global)
        remember(
            r->global, &r->n_global,
            (struct rules_page){gva & ~(path.bytes - 1), path.bytes, r->now, r->registers.cr3});
}

static void follow_store(struct rules *r, const struct script_item *item)
{
    struct rules_word *word = &r->word[item->gpa / 8];
    if (word->value & PTE_P)
        word->changed = r->now;
    word->value = item->value;
}

static void follow_registers(struct rules *r, const struct script_item *item)
{
    struct registers before = r->registers;
    r->registers = after(r, item);
    if (item->verb == VERB_mov_cr3)
        r->cr3_loaded = r->now;
    if ((before.cr4 ^ r->registers.cr4) & CR4_PKE || (before.efer ^ r->registers.efer) & EFER_NXE)
        r->meaning_changed = r->now;
    if ((before.cr4 ^ r->registers.cr4) & CR4_PGE) {
        r->all_dropped = r->now;
        r->n_dropped = r->n_global = 0;
    }
}

void rules_follow(struct rules *r, const struct script_item *item)
{
    const struct access *a = &item->access;
    r->now++;
    if (item->verb == VERB_access) {
        follow_access(r, a->gva);
        follow_access(r, a->gva + a->size - 1);
    } else if (item->verb == VERB_store) {
        follow_store(r, item);
    } else if (item->verb == VERB_invlpg) {
        remember(r->dropped, &r->n_dropped,
                 (struct rules_page){a->gva & ~low_bits(FRAME_SHIFT), FRAME_BYTES, r->now, 0});
    } else {
        follow_registers(r, item);
    }
}

bool rules_allow_program(const struct environment *environment, const struct fuzz_program *program)
{
    struct rules *r = malloc(sizeof *r);
    bool good =
        r && rules_init(r, environment, program) && rules_allow_registers(r, &program->registers);
    for (unsigned i = 0; good && i < program->n_items; i++)
        if ((good = rules_allow(r, &program->item[i])))
            rules_follow(r, &program->item[i]);
    if (r)
        rules_fini(r);
    free(r);
    return good;
}
