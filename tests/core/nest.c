#include "tests/core/nest.h"

enum { FLAT_BITS = 20 }; /* 4 GiB in one table */

static enum paging levels_of(enum second_stage kind)
{
    return kind == SECOND_EPT5 || kind == SECOND_NPT5 ? PAGING_5_LEVEL : PAGING_4_LEVEL;
}

struct second second_new(enum second_stage kind, hpa_t root, hpa_t base, bool accessed_dirty)
{
    struct second s = {.tables = tables_new(levels_of(kind), root, base)};
    s.controls = (struct second_stage_controls){.kind = kind, .flat_bits = FLAT_BITS};
    s.controls.pointer = second_stage_pointer(kind, root, accessed_dirty);
    return s;
}

/* R, W, X of EPT and P, R/W, U/S of NPT alike are bits 2:0. EPT's leaf has its type in 5:3. */
void second_map(struct mem *mem, struct second *s, gpa_t gpa, unsigned level, hpa_t hpa)
{
    enum second_stage kind = s->controls.kind;
    bool ept = kind != SECOND_NPT4 && kind != SECOND_NPT5;
    unsigned shift = tables_shift(s->tables.paging, level);
    uint64_t leaf = hpa >> shift << shift | 7 | (ept ? (uint64_t)6 << 3 : 0);
    if (kind == SECOND_FLAT)
        mem_store(mem, s->tables.base + s->tables.root + (gpa >> 12) * 8, leaf, 8);
    else
        tables_map(mem, &s->tables, gpa, level, leaf);
}

struct stage second_as_stage(const struct second *s)
{
    struct profile p = rig_profile();
    const char *fault = second_stage_fault(&s->controls, &p);
    rig_must(!fault, "%s", fault);
    return second_stage(&s->controls, &p);
}

struct nest nest_new(const struct profile *p, enum paging guest, enum second_stage kind,
                     uint8_t host_page)
{
    struct nest nest = {.rig = rig_new(p, 2), .host_page = host_page};
    nest.guest = tables_new(guest, GUEST_TABLES, MOVED);
    nest.second = second_new(kind, HOST_TABLES, 0, false);
    return nest;
}

void nest_free(struct nest *nest)
{
    rig_free(nest->rig);
}

void nest_back(struct nest *nest, gpa_t gpa)
{
    second_map(&nest->rig->mem, &nest->second, gpa, nest->host_page, gpa + MOVED);
}

void nest_map(struct nest *nest, gva_t gva, unsigned level, gpa_t gpa)
{
    if (nest->guest.paging) {
        gpa_t page = gpa & ~(((gpa_t)1 << tables_shift(nest->guest.paging, level)) - 1);
        tables_map(&nest->rig->mem, &nest->guest, gva, level, page | PWU | PTE_A | PTE_D);
        for (unsigned l = level; l <= tables_top(nest->guest.paging); l++)
            nest_back(nest, tables_at(&nest->rig->mem, &nest->guest, gva, l) - MOVED);
    }
    nest_back(nest, gpa);
}

struct registers nest_registers(const struct nest *nest)
{
    struct registers r = rig_registers(nest->guest.paging, nest->guest.root);
    if (!nest->guest.paging)
        r.cr0 &= ~(CR0_PG | CR0_WP), r.cr3 = 0;
    return r;
}

void nest_start(struct nest *nest)
{
    struct stage stage = second_as_stage(&nest->second);
    struct registers r = nest_registers(nest);
    mmu_set_second_stages(nest->rig->mmu, &stage, 1, 1);
    rig_set(nest->rig, &r);
}

/* The papers count levels from the top: G1 is the root's entry; UD is the data's own walk. */
void nest_spell(const struct nest *nest, const uint8_t *depth, const uint8_t *level, unsigned n,
                char *text)
{
    unsigned top = tables_top(nest->guest.paging), group = 1, groups = 0;
    for (unsigned i = 0; i < n; i++)
        groups += depth[i] == 0;
    for (unsigned i = 0; i < n; i++) {
        if (depth[i] == 0)
            text += sprintf(text, "G%u ", top + 1 - level[i]);
        else if (group <= groups)
            text += sprintf(text, "G%uH%u ", group, 5u - level[i]);
        else
            text += sprintf(text, "UDH%u ", 5u - level[i]);
        group += depth[i] == 0;
    }
}

unsigned nest_read(struct nest *nest, gva_t gva, gpa_t gpa)
{
    hpa_t hpa = rig_read(nest->rig, gva);
    rig_must(hpa == gpa + MOVED, "%lx leads to %lx", gva, hpa);
    return nest->rig->walk.refs;
}
