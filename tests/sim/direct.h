/*
 * What the tests of direct paging share: machines whose guests' tables are the processor's, their
 * entries found by hand, and all that the types of frames should be, worked out anew.
 */
#ifndef TESTS_SIM_DIRECT_H
#define TESTS_SIM_DIRECT_H

#include "tests/sim/machines.h"

#include "sim/hypervisor/direct.h"
#include "sim/hypervisor/technique.h"

enum { PAGE = 4096 };

static inline struct door first_door(struct machine *m, unsigned vm)
{
    return (struct door){m, schedule_vcpu(m, vm, 0)};
}

static inline uint64_t exits_for(const struct machine *m, enum exit_reason reason)
{
    return slot_of(m, SLOT(EXIT, 1, 0, reason));
}

static inline uint64_t works(const struct machine *m, enum work work)
{
    uint64_t sum = 0;
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        sum += slot_of(m, SLOT(WORK, 1, level, work));
    return sum;
}

static inline struct typing rules_of(struct machine *m, unsigned vm)
{
    return (struct typing){.types = &m->vm[vm].direct->types,
                           .mem = &m->mem,
                           .host = &m->host,
                           .format = &m->vm[vm].guest.tables.format,
                           .vm = vm};
}

/* Where the entry of @p level for @p gva of a process is in the host; its table must be there. */
static inline hpa_t entry_at(const struct machine *m, unsigned vm, unsigned process, gva_t gva,
                             unsigned level)
{
    const struct guest *g = &m->vm[vm].guest;
    const struct format *f = &g->tables.format;
    hpa_t table;
    cr_assert(g->processes[process].has_root);
    cr_assert(vm_reach(m, vm, g->processes[process].root, &table));
    for (unsigned l = f->levels; l > level; l--) {
        uint64_t entry = mem_load(&m->mem, table + format_offset(f, l, gva), f->entry_bytes);
        cr_assert(format_present(f, entry) && !format_is_leaf(f, l, entry));
        table = format_address(f, l, false, entry);
    }
    return table + format_offset(f, level, gva);
}

/* ---- what types and counts must be, from the tables alone ---- */

struct recount {
    const struct machine *m;
    unsigned vm;
    uint32_t *types, *uses; /* by machine frame */
    uint8_t *type;
    bool wrong;
};

static inline void count_use(struct recount *c, hpa_t at, enum type type)
{
    struct frame_owner owner = host_owner(&c->m->host, at);
    c->wrong |= owner.use != FRAME_GUEST || owner.vm != c->vm;
    c->uses[at >> FRAME_SHIFT]++;
    if (!type)
        return;
    c->wrong |= c->type[at >> FRAME_SHIFT] && c->type[at >> FRAME_SHIFT] != type;
    c->type[at >> FRAME_SHIFT] = (uint8_t)type;
    c->types[at >> FRAME_SHIFT]++;
}

static inline void count_table(struct recount *c, hpa_t table, unsigned level)
{
    const struct format *f = &c->m->vm[c->vm].guest.tables.format;
    for (uint64_t at = 0; at < format_table_bytes(f, level); at += f->entry_bytes) {
        uint64_t entry = mem_load(&c->m->mem, table + at, f->entry_bytes);
        if (!format_present(f, entry))
            continue;
        bool leaf = format_is_leaf(f, level, entry);
        hpa_t to = format_address(f, level, leaf, entry);
        c->wrong |= entry & f->reserved[level][leaf];
        enum type type = !leaf ? (enum type)(level - 1) : entry & PTE_W ? TYPE_WRITABLE : TYPE_NONE;
        for (uint64_t i = 0; i < (leaf ? (uint64_t)1 << f->shift[level] : 1); i += FRAME_BYTES)
            count_use(c, to + i, type);
    }
}

/* Every table is counted once, however many entries lead to it: as the hypervisor does. */
static inline void count_all(struct recount *c)
{
    const struct machine *m = c->m;
    const struct format *f = &m->vm[c->vm].guest.tables.format;
    for (hpa_t at = 0; at < m->mem.bytes; at += FRAME_BYTES) {
        struct frame_type t = frame_type_get(&m->vm[c->vm].direct->types, at);
        if (t.pinned)
            count_use(c, at, (enum type)f->levels);
        if (t.type && t.type != TYPE_WRITABLE)
            count_table(c, at, t.type);
    }
    for (unsigned v = 0; v < m->n_vcpus; v++) {
        hpa_t root = control_root(&m->vcpu[v].mmu->registers) & -(hpa_t)FRAME_BYTES;
        if (m->vcpu[v].vm == c->vm && root)
            count_use(c, root, (enum type)f->levels);
    }
}

/*
 * Control: every entry of every table leads to a frame of the VM's own that is what it is taken
 * for, and types and counts are those that the tables, pins and CR3s make.
 */
static inline void expect_control(const struct machine *m, unsigned vm)
{
    size_t n = (size_t)(m->mem.bytes >> FRAME_SHIFT);
    struct recount c = {m, vm, calloc(n, 4), calloc(n, 4), calloc(n, 1), false};
    cr_assert(c.types && c.uses && c.type);
    count_all(&c);
    cr_expect_not(c.wrong, "an entry breaks a rule");
    for (size_t i = 0; i < n; i++) {
        struct frame_type t = frame_type_get(&m->vm[vm].direct->types, (hpa_t)i << FRAME_SHIFT);
        cr_assert(t.type == c.type[i] && t.types == c.types[i] && t.uses == c.uses[i],
                  "frame 0x%zx: type %d, %u and %u uses, should be %d, %u and %u", i, t.type,
                  t.types, t.uses, c.type[i], c.types[i], c.uses[i]);
        cr_assert_eq(t.validated, t.type && t.type != TYPE_WRITABLE);
    }
    free(c.types);
    free(c.uses);
    free(c.type);
}

/* No frame of a VM's is anything. */
static inline bool all_untyped(const struct machine *m, unsigned vm)
{
    bool none = true;
    for (hpa_t at = 0; at < m->mem.bytes; at += FRAME_BYTES) {
        struct frame_type t = frame_type_get(&m->vm[vm].direct->types, at);
        none &= !t.type && !t.types && !t.uses && !t.pinned && !t.validated;
    }
    return none;
}

/* A process ends, as a trace has it. */
static inline void end_process(struct machine *m, unsigned vm, unsigned process)
{
    struct door door = {m, schedule_vcpu(m, vm, process)};
    struct port port = machine_port(&door);
    cr_assert(schedule_switch(m, door.vcpu, process));
    cr_assert(guest_exit(&m->vm[vm].guest, &port, process));
    door.vcpu->process = -1;
    door_settle(&door);
}

#endif
