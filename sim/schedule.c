/* Whose access is next: vCPUs by clock or in turn, processes by quantum, guest events as they come.
 */
#include <string.h>

#include "sim/hypervisor/technique.h"

struct vcpu *schedule_vcpu(struct machine *m, unsigned vm, unsigned process)
{
    unsigned wanted = process % m->vm[vm].config->vcpus;
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == vm && m->vcpu[i].number == wanted)
            return &m->vcpu[i];
    return &m->vcpu[0];
}

bool schedule_switch(struct machine *m, struct vcpu *v, unsigned process)
{
    struct door door = {m, v};
    gpa_t root;
    if (v->process == (int)process)
        return true;
    if (!guest_root(&m->vm[v->vm].guest, process, &root)) {
        machine_stop(m, EXIT_NO, "the VM is out of memory for page tables: give it more");
        return false;
    }
    if (v->process >= 0 && m->billed)
        NOTE(&v->mmu->tally, SWITCH, 0, 0, 0, 0, process);
    v->process = (int)process;
    door_port.mov_cr3(&door, root);
    return true;
}

/* The guest process that a feed's accesses of @p number belong to; made on first sight. */
static int process_of(struct machine *m, struct vm *vm, unsigned feed, uint16_t number)
{
    struct guest *g = &vm->guest;
    for (size_t i = 0; i < g->n; i++)
        if (g->processes[i].feed == feed && g->processes[i].number == number)
            return (int)i;
    int made = guest_new_process(g, (uint16_t)feed, number);
    if (made < 0)
        machine_stop(m, EXIT_NO, "too many processes: at most 65535 per VM");
    return made;
}

/* Maps a page and reads it, which has a hypervisor back it, and sets its accessed flags alike in
 * all modes. */
static bool prefault(struct machine *m, struct vcpu *v, unsigned process, const struct access *a)
{
    struct vm *vm = &m->vm[v->vm];
    struct door door = {m, v};
    struct port port = machine_port(&door);
    struct walk w;
    struct pieces pieces;
    struct outcome outcome;
    if (guest_fault(&vm->guest, &port, process, a->gva, KIND_READ | KIND_USER) == ANSWER_STUCK)
        return false; /* a signal: a large page covers it already */
    door_settle(&door);
    access_complete(m, v, a, false, &w, NULL, &pieces, &outcome);
    return !m->err.code;
}

bool machine_prefault(struct machine *m, unsigned vm, unsigned feed, uint16_t number, gva_t gva)
{
    struct vcpu *v = schedule_vcpu(m, vm, feed);
    const struct access access = {
        .gva = gva, .size = 1, .op = OP_READ, .flags = ACCESS_USER, .process = number};
    int process = process_of(m, &m->vm[vm], feed, number);
    bool billed = m->billed;
    m->billed = false;
    bool done = process >= 0 && schedule_switch(m, v, (unsigned)process) &&
                prefault(m, v, (unsigned)process, &access);
    m->billed = billed;
    return done;
}

/* The next feed of a vCPU that has anything left, from the one after the current on. */
static void next_feed(struct machine *m, struct vcpu *v)
{
    struct vm *vm = &m->vm[v->vm];
    v->quantum = vm->config->quantum;
    for (unsigned i = 1; i <= vm->n_feeds; i++) {
        unsigned feed = (v->feed + i) % vm->n_feeds;
        if (feed % vm->config->vcpus == v->number && feed_fill(&vm->feeds[feed], &m->err)) {
            v->feed = feed;
            return;
        }
        if (m->err.code)
            return;
    }
    v->idle = true;
}

/* mmap, munmap, mprotect, fork, exit, as a trace has them. */
static void guest_event(struct machine *m, struct vcpu *v, unsigned process, const struct access *a,
                        const struct operand *operand)
{
    struct vm *vm = &m->vm[v->vm];
    struct guest *g = &vm->guest;
    struct door door = {m, v};
    struct port port = machine_port(&door);
    struct map_config map = {a->gva, operand->length, 1, operand->rights, false};
    bool done = true;
    int child;
    switch (a->op) {
    case OP_MAP:
        tally_note(&v->mmu->tally, EVENT_MAP, a->gva, operand->length);
        done = guest_map(g, &port, process, &map);
        break;
    case OP_UNMAP:
        tally_note(&v->mmu->tally, EVENT_UNMAP, a->gva, operand->length);
        done = guest_unmap(g, &port, process, a->gva, operand->length);
        break;
    case OP_PROTECT:
        tally_note(&v->mmu->tally, EVENT_PROTECT, a->gva, operand->length);
        done = guest_protect(g, &port, process, a->gva, operand->length, operand->rights);
        break;
    case OP_FORK:
        child = process_of(m, vm, v->feed, (uint16_t)operand->process);
        done = child >= 0 && guest_fork(g, process, (unsigned)child);
        break;
    default: /* OP_EXIT */
        done = guest_exit(g, &port, process);
        v->process = -1;
    }
    door_settle(&door);
    if (!done)
        machine_stop(m, EXIT_ENVIRONMENT, "this computer is out of memory");
}

/* One access that mmu_run could not complete alone. */
static void complete_one(struct machine *m, struct vcpu *v, const struct access *a, bool begun,
                         struct walk *w)
{
    struct outcome outcome;
    struct pieces pieces;
    access_complete(m, v, a, begun, w, NULL, &pieces, &outcome);
}

/* Up to @p n accesses of one process on one vCPU; returns how many. */
static size_t run_accesses(struct machine *m, struct vcpu *v, const struct access *a, size_t n)
{
    struct bus bus = machine_bus(m);
    struct walk w;
    enum stop stop = STOP_OTHER;
    size_t done = 0;
    if (m->real)
        return access_run_on_real(m, v, a, n);
    if (!m->vm[v->vm].config->reclaim) /* page replacement sees each access */
        done = mmu_run(v->mmu, &bus, a, n, a->process, &w, &stop);
    if (stop == STOP_DONE || a[done].op > OP_MODIFY || a[done].process != a->process)
        return done;
    complete_one(m, v, &a[done], stop == STOP_REFUSED, &w);
    return done + 1;
}

/* What one vCPU does next: up to @p n accesses, or one guest event, or a change of process. */
static size_t run_vcpu(struct machine *m, struct vcpu *v, uint64_t n)
{
    struct vm *vm = &m->vm[v->vm];
    struct feed *feed = &vm->feeds[v->feed];
    if (!feed_fill(feed, &m->err) || (vm->config->quantum && !v->quantum)) {
        if (!m->err.code)
            next_feed(m, v);
        return 0;
    }
    const struct access *a = &feed->batch[feed->at];
    size_t here = feed->n - feed->at;
    int process = process_of(m, vm, v->feed, a->process);
    if (process < 0 || !schedule_switch(m, v, (unsigned)process))
        return 0;
    if (a->op > OP_MODIFY) {
        struct operand operand;
        memcpy(&operand, a + 1, sizeof operand);
        guest_event(m, v, (unsigned)process, a, &operand);
        feed->at += 2;
        return 0;
    }
    const struct technique *technique = technique_for(m, v->vm);
    uint64_t left =
        technique->look_around ? technique->look_around(&(struct door){m, v}) : UINT64_MAX;
    n = left < n ? left : n;
    here = here < n ? here : (size_t)n;
    here = vm->config->quantum && v->quantum < here ? (size_t)v->quantum : here;
    size_t done = run_accesses(m, v, a, here);
    feed->at += (unsigned)done;
    v->quantum -= vm->config->quantum ? done : 0;
    m->accesses += done;
    v->made += done;
    return done;
}

/* How far a vCPU is, by that which orders vCPUs. */
static uint64_t advance(const struct machine *m, const struct vcpu *v)
{
    return m->in_turn ? v->made : v->mmu->tally.cycles;
}

static struct vcpu *lowest(const struct machine *m)
{
    struct vcpu *best = NULL;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct vcpu *v = &m->vcpu[i];
        if (!v->idle && (!best || advance(m, v) < advance(m, best)))
            best = v;
    }
    return best;
}

cycles_t machine_clock(const struct machine *m)
{
    const struct vcpu *v = lowest(m);
    cycles_t clock = v ? v->mmu->tally.cycles : 0;
    for (unsigned i = 0; !v && i < m->n_vcpus; i++)
        if (m->vcpu[i].mmu->tally.cycles > clock)
            clock = m->vcpu[i].mmu->tally.cycles;
    return clock;
}

/* One access at a time where the clock must be looked at after each. */
static uint64_t run(struct machine *m, uint64_t n, cycles_t until, bool one_by_one)
{
    uint64_t done = 0;
    while (done < n && !m->err.code) {
        struct vcpu *v = lowest(m);
        m->finished = !v;
        if (!v || v->mmu->tally.cycles >= until)
            break;
        done += run_vcpu(m, v, one_by_one ? 1 : n - done);
        if (m->mem.exhausted)
            machine_stop(m, EXIT_ENVIRONMENT, "this computer is out of memory");
    }
    return done;
}

uint64_t machine_run(struct machine *m, uint64_t n)
{
    return run(m, n, UINT64_MAX, m->n_vcpus > 1);
}

uint64_t machine_run_until(struct machine *m, uint64_t n, cycles_t cycles)
{
    return run(m, n, cycles, true);
}
