#include "sim/report/stats.h"

#include <stdlib.h>
#include <string.h>

#include "sim/report/words.h"

/* ---- rows of caches ---- */

static void add_row(struct cache_stats *rows, unsigned *n, unsigned room,
                    const struct cache_stats *row)
{
    for (unsigned i = 0; i < *n; i++)
        if (!strcmp(rows[i].name, row->name) && !strcmp(rows[i].page, row->page)) {
            rows[i].hits += row->hits;
            rows[i].misses += row->misses;
            return;
        }
    if (*n < room)
        rows[(*n)++] = *row;
}

/* Whether pages of a level are kept in a TLB, and exist in the format. */
static bool keeps(const struct profile *p, unsigned tlb, const struct format *f, unsigned level)
{
    if (level > PAGE_CLASSES || level > f->levels || !(level == 1 || f->leaf_levels >> level & 1))
        return false;
    const struct tlb_profile *t = &p->tlb[tlb];
    uint8_t array = t->array_of[t->kept_as[level - 1]];
    return array != TLB_NOWHERE && t->array[array].entries;
}

/* The page that leaves of a level map, also of a format that is no longer the current one. */
static void name_page(const struct format *f, unsigned level, char *text)
{
    static const char *const usual[] = {"none", "4KiB", "2MiB", "1GiB", "512GiB", "256TiB"};
    if (level && level <= f->levels)
        format_page_name(f, level, text);
    else
        snprintf(text, 16, "%s", usual[level]);
}

static void gather_tlbs(struct counts *c, const struct tally *t, const struct profile *p,
                        const struct format *f)
{
    for (unsigned tlb = 0; tlb < TLBS; tlb++)
        for (unsigned level = 0; level <= LEVELS_MAX; level++) {
            struct cache_stats row = {.hits = t->count[SLOT(TLB_HIT, 0, level, tlb)],
                                      .misses = t->count[SLOT(TLB_MISS, 0, level, tlb)]};
            if (!row.hits && !row.misses && !(level && keeps(p, tlb, f, level)))
                continue;
            snprintf(row.name, sizeof row.name, "%s", tlb_name((enum tlb_name)tlb));
            name_page(f, level, row.page);
            add_row(c->tlb, &c->n_tlb, TLB_ROWS, &row);
        }
}

static void gather_structures(struct counts *c, const struct tally *t, const struct mmu *mmu)
{
    for (unsigned depth = 0; depth < c->walks.stages; depth++)
        for (unsigned level = 2; level <= LEVELS_MAX; level++) {
            struct cache_stats row = {.hits = t->count[SLOT(STRUCTURE_HIT, depth, level, 0)] +
                                              t->count[SLOT(REF, depth, level, SERVED_STRUCTURE)],
                                      .misses = t->count[SLOT(STRUCTURE_MISS, depth, level, 0)]};
            const struct format *f = &mmu->stage[depth].format;
            bool has = level <= f->levels && mmu->profile.structure[level].entries;
            if (!has && !row.hits && !row.misses)
                continue;
            snprintf(row.name, sizeof row.name, "%s", structure_name(level));
            snprintf(row.page, sizeof row.page, "%s", dimension_name(c->walks.stages, depth));
            add_row(c->structure, &c->n_structure, STRUCTURE_ROWS, &row);
        }
}

static void gather_nested(struct counts *c, const struct tally *t, const struct profile *p)
{
    for (unsigned depth = 1; depth < c->walks.stages; depth++) {
        struct cache_stats row = {.name = "nested",
                                  .hits = t->count[SLOT(NESTED_HIT, depth, 0, 0)],
                                  .misses = t->count[SLOT(NESTED_MISS, depth, 0, 0)]};
        snprintf(row.page, sizeof row.page, "%s", dimension_name(c->walks.stages, depth));
        if (p->nested_tlb.entries || row.hits || row.misses)
            add_row(c->nested, &c->n_nested, STAGES_MAX, &row);
    }
}

/* ---- cycles ---- */

/* What the events of a kind are part of. What is not said here is the guest OS's. */
static enum cycle_part part_of_kind(enum event_kind kind)
{
    switch (kind) {
    case EVENT_ACCESS:
    case EVENT_DATA:
        return CYCLES_accesses;
    case EVENT_TLB_HIT:
    case EVENT_TLB_MISS:
    case EVENT_TLB_L2:
    case EVENT_STRUCTURE_HIT:
    case EVENT_STRUCTURE_MISS:
    case EVENT_NESTED_HIT:
    case EVENT_NESTED_MISS:
    case EVENT_REF:
    case EVENT_SET_ACCESSED:
    case EVENT_SET_DIRTY:
        return CYCLES_translation;
    case EVENT_EXIT:
        return CYCLES_exits;
    case EVENT_WORK:
        return CYCLES_hypervisor;
    default:
        return CYCLES_guest;
    }
}

/* Where each kind's slots are. */
static const struct {
    unsigned first, slots;
} slots_of[EVENT_KINDS] = {
#define X(kind, ...) [EVENT_##kind] = {kind##_BASE, kind##_SLOTS},
    EVENTS(X)
#undef X
};

/* Counts times prices, which is what the clock has added up. */
static void gather_cycles(struct counts *c, const struct tally *t, const uint32_t *price)
{
    for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
        for (unsigned i = 0; i < slots_of[kind].slots; i++) {
            unsigned slot = slots_of[kind].first + i;
            c->cycles_by[part_of_kind((enum event_kind)kind)] += t->count[slot] * price[slot];
        }
}

/* ---- one VM ---- */

static void gather_walks(struct counts *c, const struct tally *t)
{
    c->walks.count = tally_total(t, EVENT_WALK);
    c->walks.retried = tally_total(t, EVENT_WALK_RETRIED);
    c->walks.dirty = tally_total(t, EVENT_WALK_DIRTY);
    for (unsigned depth = 0; depth < c->walks.stages; depth++)
        for (unsigned level = 0; level <= LEVELS_MAX; level++)
            for (unsigned server = 0; server < SERVERS; server++) {
                uint64_t n = t->count[SLOT(REF, depth, level, server)];
                c->walks.by_stage[depth] += n;
                c->walks.by_level[depth][level] += n;
                c->walks.served_by[server] += n;
            }
}

static void gather_hypervisor(struct counts *c, const struct vm *vm, const struct tally *t)
{
    c->has_hypervisor = vm->below;
    c->has_l1 = vm->below > 1;
    c->tables.host_bytes = vm->host_tables;
    for (unsigned depth = 0; depth < STAGES_MAX; depth++)
        for (unsigned reason = 0; reason < EXIT_REASON_COUNT; reason++) {
            uint64_t n = t->count[SLOT(EXIT, depth, 0, reason)];
            c->exits[reason] += n;
            c->exits_to[depth] += n;
        }
    for (unsigned i = 0; i < WORK_SLOTS; i++)
        c->work[i % WORK_DETAILS] += t->count[WORK_BASE + i];
}

static void gather_guest(struct counts *c, const struct vm *vm, const struct tally *t)
{
    if (vm->config->raw)
        return;
    c->tables.guest_bytes = vm->guest.tables.most;
    c->tables.linear_bytes = guest_linear_bytes(&vm->guest);
    c->has_paging = vm->config->reclaim != RECLAIM_NONE;
    if (!c->has_paging)
        return;
    c->paging.hits = tally_total(t, EVENT_PAGE_HIT);
    c->paging.faults = vm->touches - c->paging.hits;
    c->paging.evictions = tally_total(t, EVENT_EVICT);
    c->paging.page_ins = tally_total(t, EVENT_PAGE_IN);
    c->paging.page_outs = tally_total(t, EVENT_PAGE_OUT);
}

static void gather_vm(struct counts *c, const struct machine *m, unsigned number)
{
    const struct vm *vm = &m->vm[number];
    const struct mmu *mmu = m->vcpu[0].mmu;
    struct tally t;
    for (unsigned i = m->n_vcpus; i--;)
        if (m->vcpu[i].vm == number)
            mmu = m->vcpu[i].mmu;
    machine_tally(m, number, &t);
    *c = (struct counts){.name = vm->config->name, .cycles = t.cycles};
    c->accesses =
        tally_total(&t, EVENT_ACCESS) + t.count[SLOT(ACCESS, 0, 0, OP_MODIFY)]; /* load and store */
    c->walks.stages = mmu->stages;
    const struct format *f = &mmu->stage[0].format;
    gather_tlbs(c, &t, &mmu->profile, f);
    gather_structures(c, &t, mmu);
    gather_nested(c, &t, &mmu->profile);
    gather_walks(c, &t);
    gather_cycles(c, &t, mmu->tally.price);
    gather_hypervisor(c, vm, &t);
    for (unsigned why = REFUSED_NOT + 1; why < REFUSED_LOG_FULL; why++)
        for (unsigned level = 0; level <= LEVELS_MAX; level++)
            c->faults[why] += t.count[SLOT(FAULT, 0, level, why)];
    gather_guest(c, vm, &t);
    c->frames = vm->below ? p2m_count(&vm->p2m[vm->below])
                          : vm->config->memory >> (f->levels ? f->shift[1] : 12);
}

/* ---- all ---- */

static void add_counts(struct counts *into, const struct counts *c)
{
    into->accesses += c->accesses;
    into->cycles += c->cycles;
    for (unsigned i = 0; i < CYCLE_PARTS; i++)
        into->cycles_by[i] += c->cycles_by[i];
    for (unsigned i = 0; i < c->n_tlb; i++)
        add_row(into->tlb, &into->n_tlb, TLB_ROWS, &c->tlb[i]);
    for (unsigned i = 0; i < c->n_structure; i++)
        add_row(into->structure, &into->n_structure, STRUCTURE_ROWS, &c->structure[i]);
    for (unsigned i = 0; i < c->n_nested; i++)
        add_row(into->nested, &into->n_nested, STAGES_MAX, &c->nested[i]);
    into->walks.count += c->walks.count;
    into->walks.retried += c->walks.retried;
    into->walks.dirty += c->walks.dirty;
    for (unsigned s = 0; s < STAGES_MAX; s++) {
        into->walks.by_stage[s] += c->walks.by_stage[s];
        for (unsigned level = 0; level <= LEVELS_MAX; level++)
            into->walks.by_level[s][level] += c->walks.by_level[s][level];
    }
    if (c->walks.stages > into->walks.stages)
        into->walks.stages = c->walks.stages;
    for (unsigned s = 0; s < SERVERS; s++)
        into->walks.served_by[s] += c->walks.served_by[s];
    for (unsigned f = 0; f < REFUSED_LOG_FULL; f++)
        into->faults[f] += c->faults[f];
    into->has_hypervisor |= c->has_hypervisor;
    into->has_l1 |= c->has_l1;
    for (unsigned depth = 0; depth < STAGES_MAX; depth++)
        into->exits_to[depth] += c->exits_to[depth];
    into->frames += c->frames;
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        into->exits[i] += c->exits[i];
    for (unsigned i = 0; i < WORK_COUNT; i++)
        into->work[i] += c->work[i];
    into->tables.guest_bytes += c->tables.guest_bytes;
    into->tables.host_bytes += c->tables.host_bytes;
    into->tables.linear_bytes += c->tables.linear_bytes;
    into->has_paging |= c->has_paging;
    into->paging.hits += c->paging.hits;
    into->paging.faults += c->paging.faults;
    into->paging.evictions += c->paging.evictions;
    into->paging.page_ins += c->paging.page_ins;
    into->paging.page_outs += c->paging.page_outs;
}

/* One word for all VMs' modes. */
static const char *mode_of_all(const struct machine_config *config)
{
    for (unsigned v = 1; v < config->n_vms; v++)
        if (config->vms[v].mode != config->vms[0].mode)
            return "mixed";
    return mode_name(config->vms[0].mode);
}

bool stats_gather(struct stats *s, const struct machine *m, const struct machine_config *config,
                  const char *scenario)
{
    *s = (struct stats){.scenario = scenario,
                        .mode = mode_of_all(config),
                        .profile = config->profile.name,
                        .seed = config->seed,
                        .n_vms = m->n_vms};
    if (!(s->vms = calloc(m->n_vms, sizeof *s->vms)))
        return false;
    for (unsigned v = 0; v < m->n_vms; v++) {
        gather_vm(&s->vms[v], m, v);
        add_counts(&s->total, &s->vms[v]);
    }
    return true;
}

void stats_fini(struct stats *s)
{
    free(s->vms);
    s->vms = NULL;
}

const char *cycle_part_name(enum cycle_part part)
{
    static const char *const names[CYCLE_PARTS] = {
#define X(key, words) #key,
        CYCLE_PARTS_OF(X)
#undef X
    };
    return names[part];
}

const char *cycle_part_words(enum cycle_part part)
{
    static const char *const all[CYCLE_PARTS] = {
#define X(key, words) words,
        CYCLE_PARTS_OF(X)
#undef X
    };
    return all[part];
}

uint64_t stats_exits(const struct counts *c)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        total += c->exits[i];
    return total;
}
