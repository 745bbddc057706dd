#include "tests/core/rig.h"

#include <string.h>

enum { GIB = 1 << 30 };

struct profile rig_profile(void)
{
    struct profile p = {.name = "rig", .maxphyaddr = 46, .mhz = 1000, .line = 64};
    p.features = (1u << FEATURE_COUNT) - 1;
    for (unsigned cost = 0; cost < COST_COUNT; cost++)
        p.cost[cost] = 1 + cost * cost; /* sums of few of them are all different */
    for (unsigned tlb = 0; tlb < TLBS; tlb++)
        for (unsigned class = 0; class < PAGE_CLASSES; class ++) {
            p.tlb[tlb].array_of[class] = TLB_NOWHERE;
            p.tlb[tlb].kept_as[class] = (uint8_t) class;
        }
    return p;
}

void rig_tlb(struct profile *p, enum tlb_name tlb, uint32_t entries)
{
    p->tlb[tlb].array[0] = (struct shape){.entries = entries, .replacement = REPLACE_LRU};
    for (unsigned class = 0; class < PAGE_CLASSES; class ++)
        p->tlb[tlb].array_of[class] = entries ? 0 : TLB_NOWHERE;
}

void rig_structure(struct profile *p, uint32_t entries)
{
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        p->structure[level] = (struct shape){.entries = entries, .replacement = REPLACE_LRU};
}

struct profile rig_cached_profile(void)
{
    struct profile p = rig_profile();
    rig_tlb(&p, TLB_L1I, 64);
    rig_tlb(&p, TLB_L1D, 64);
    rig_tlb(&p, TLB_L2, 256);
    rig_structure(&p, 32);
    return p;
}

static struct memo *llc_new(const struct profile *p)
{
    const struct shape *shape = &p->data[DATA_CACHES - 1];
    struct memo *llc = aligned_alloc(16, memo_bytes(shape, false));
    memset(llc, 0, memo_bytes(shape, false));
    memo_init(llc, shape, false, 7);
    return llc;
}

struct rig *rig_new(const struct profile *p, unsigned stages)
{
    struct rig *rig = calloc(1, sizeof *rig);
    rig_must(!profile_fault(p), "%s", profile_fault(p));
    rig_must(mem_init(&rig->mem, (uint64_t)1 << 40), "no memory");
    size_t bytes = mmu_bytes(p, stages);
    rig->mmu = aligned_alloc(16, bytes);
    memset(rig->mmu, 0, bytes);
    mmu_init(rig->mmu, p, stages, 0, 1);
    rig->bus = (struct bus){.mem = &rig->mem, .llc = llc_new(p)};
    return rig;
}

void rig_free(struct rig *rig)
{
    mem_fini(&rig->mem);
    free(rig->mmu);
    free(rig->bus.llc);
    free(rig);
}

struct rig *rig_copy(const struct rig *rig)
{
    struct rig *copy = malloc(sizeof *copy);
    *copy = *rig;
    rig_must(mem_clone(&copy->mem, &rig->mem), "no memory");
    copy->mmu = aligned_alloc(16, rig->mmu->bytes);
    memcpy(copy->mmu, rig->mmu, rig->mmu->bytes);
    copy->bus = (struct bus){.mem = &copy->mem, .llc = aligned_alloc(16, rig->bus.llc->bytes)};
    memcpy(copy->bus.llc, rig->bus.llc, rig->bus.llc->bytes);
    return copy;
}

struct registers rig_registers(enum paging paging, uint64_t root)
{
    struct registers r = {.cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = root};
    r.cr4 = CR4_PSE | CR4_PGE;
    r.efer = EFER_NXE;
    if (paging >= PAGING_PAE)
        r.cr4 |= CR4_PAE;
    if (paging >= PAGING_4_LEVEL)
        r.efer |= EFER_LME | EFER_LMA;
    if (paging == PAGING_5_LEVEL)
        r.cr4 |= CR4_LA57;
    return r;
}

void rig_set(struct rig *rig, const struct registers *registers)
{
    const char *fault = mmu_set_registers(rig->mmu, &rig->bus, registers);
    rig_must(!fault, "%s", fault);
}

struct tables tables_new(enum paging paging, uint64_t first, hpa_t base)
{
    return (struct tables){.paging = paging, .root = first, .next = first + 4096, .base = base};
}

static unsigned index_bits(enum paging paging, unsigned level)
{
    return paging == PAGING_2_LEVEL ? 10 : paging == PAGING_PAE && level == 3 ? 2 : 9;
}

unsigned tables_shift(enum paging paging, unsigned level)
{
    return 12 + (level - 1) * (paging == PAGING_2_LEVEL ? 10u : 9u);
}

unsigned tables_top(enum paging paging)
{
    return (unsigned)paging;
}

static unsigned entry_size(enum paging paging)
{
    return paging == PAGING_2_LEVEL ? 4 : 8;
}

static uint64_t slot_of(const struct tables *t, ia_t ia, unsigned level)
{
    uint64_t index = ia >> tables_shift(t->paging, level);
    index &= ((uint64_t)1 << index_bits(t->paging, level)) - 1;
    return index * entry_size(t->paging);
}

static uint64_t table_in(uint64_t entry)
{
    return entry & 0x000ffffffffff000;
}

hpa_t tables_at(const struct mem *mem, const struct tables *t, ia_t ia, unsigned level)
{
    uint64_t table = t->root;
    for (unsigned l = tables_top(t->paging);; l--) {
        hpa_t at = t->base + table + slot_of(t, ia, l);
        if (l == level)
            return at;
        uint64_t entry = mem_load(mem, at, entry_size(t->paging));
        if (!(entry & PTE_P) || (l <= 3 && entry & PTE_PS))
            return 0;
        table = table_in(entry);
    }
}

hpa_t rig_map(struct mem *mem, struct tables *t, ia_t ia, unsigned level, uint64_t entry)
{
    for (unsigned l = tables_top(t->paging); l > level; l--) {
        hpa_t at = tables_at(mem, t, ia, l);
        if (mem_load(mem, at, entry_size(t->paging)) & PTE_P)
            continue;
        bool pdpte = t->paging == PAGING_PAE && l == 3; /* W and U are reserved there */
        mem_store(mem, at, t->next | (pdpte ? PTE_P : PWU), entry_size(t->paging));
        t->next += 4096;
    }
    hpa_t at = tables_at(mem, t, ia, level);
    mem_store(mem, at, entry | (level > 1 ? PTE_PS : 0), entry_size(t->paging));
    return at;
}

void tables_map_range(struct mem *mem, struct tables *t, ia_t ia, unsigned level, uint64_t entry,
                      uint64_t pages)
{
    for (uint64_t page = 0; page < pages; page++) {
        uint64_t offset = page << tables_shift(t->paging, level);
        tables_map(mem, t, ia + offset, level, entry + offset);
    }
}

uint64_t entry_load(const struct mem *mem, const struct tables *t, ia_t ia, unsigned level)
{
    return mem_load(mem, tables_at(mem, t, ia, level), entry_size(t->paging));
}

void entry_store(struct mem *mem, const struct tables *t, ia_t ia, unsigned level, uint64_t entry)
{
    mem_store(mem, tables_at(mem, t, ia, level), entry, entry_size(t->paging));
}

/* Stage d's input space is moved up by 1, 2 or 3 GiB; its tables begin at 256 MiB times d + 1. */
struct chain chain_new(const struct chain_plan *plan, unsigned stages)
{
    struct chain c = {.stages = stages};
    hpa_t base = 0;
    struct profile profile = rig_profile();
    for (unsigned d = stages; d-- > 0;) {
        c.tables[d] = tables_new(plan[d].paging, (d + 1) * (uint64_t)(GIB / 4), base);
        c.leaf[d] = plan[d].leaf;
        c.offset[d] = (d + 1) * (uint64_t)GIB;
        base += c.offset[d];
        struct registers r = rig_registers(plan[d].paging, c.tables[d].root);
        c.stage[d] = control_stage(&r, &profile);
    }
    return c;
}

void chain_map(struct mem *mem, struct chain *c, unsigned depth, ia_t ia)
{
    if (depth == c->stages)
        return;
    struct tables *t = &c->tables[depth];
    uint64_t page = ia >> tables_shift(t->paging, c->leaf[depth])
                              << tables_shift(t->paging, c->leaf[depth]);
    hpa_t leaf = tables_at(mem, t, ia, c->leaf[depth]);
    if (!leaf || !(mem_load(mem, leaf, entry_size(t->paging)) & PTE_P))
        tables_map(mem, t, ia, c->leaf[depth], (page + c->offset[depth]) | PWU);
    for (unsigned l = c->leaf[depth]; l <= tables_top(t->paging); l++)
        chain_map(mem, c, depth + 1, tables_at(mem, t, ia, l) - t->base);
    chain_map(mem, c, depth + 1, ia + c->offset[depth]);
}

hpa_t chain_leads(const struct chain *c, unsigned depth, ia_t x)
{
    for (; depth < c->stages; depth++)
        x += c->offset[depth];
    return x;
}

void chain_peek(struct rig *rig, const struct chain *c)
{
    memset(&rig->walk, 0, sizeof rig->walk);
    rig->walk.stage = c->stage;
    rig->walk.stages = c->stages;
    rig->walk.bus = rig->bus;
}

void chain_walk(struct rig *rig, const struct chain *c)
{
    chain_peek(rig, c);
    rig->walk.lookaside = &rig->mmu->look;
    rig->walk.tally = &rig->mmu->tally;
    for (unsigned d = 0; d < c->stages; d++)
        rig->walk.space[d] = space_numbered(d + 1);
}

bool rig_access(struct rig *rig, enum op op, unsigned flags, gva_t gva)
{
    struct access access = {.gva = gva, .size = 1, .op = (uint8_t)op, .flags = (uint8_t)flags};
    if (mmu_translate(rig->mmu, &rig->bus, &access, false, &rig->walk))
        return true;
    mmu_give_up(rig->mmu, gva);
    return false;
}

hpa_t rig_read(struct rig *rig, gva_t gva)
{
    return rig_access(rig, OP_READ, 0, gva) ? rig->walk.found.hpa : ~(hpa_t)0;
}

hpa_t rig_write(struct rig *rig, gva_t gva)
{
    return rig_access(rig, OP_WRITE, 0, gva) ? rig->walk.found.hpa : ~(hpa_t)0;
}

uint64_t rig_total(const struct rig *rig, enum event_kind kind)
{
    return tally_total(&rig->mmu->tally, kind);
}

uint64_t rig_refs(const struct rig *rig)
{
    return rig_total(rig, EVENT_REF);
}

static void add_frame(void *self, hpa_t at, const uint8_t *bytes)
{
    uint64_t *sum = self;
    for (unsigned i = 0; i < FRAME_BYTES; i++)
        if (bytes[i])
            *sum += (at + i + 1) * UINT64_C(0x9e3779b97f4a7c15) * (bytes[i] | (uint64_t)1 << 32);
}

uint64_t mem_sum(const struct mem *mem)
{
    uint64_t sum = 0;
    mem_visit(mem, add_frame, &sum);
    return sum;
}
