#include "sim/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/hypervisor/direct.h"
#include "sim/hypervisor/technique.h"
#include "sim/workload/trace.h"

void machine_stop(struct machine *m, enum exit_code code, const char *words)
{
    if (!m->err.code)
        err_set(&m->err, code, "%s", words);
}

bool machine_runs(enum mode mode)
{
    return technique_of(mode) != NULL;
}

/* ---- what clones share ---- */

static void release_shared(struct shared *s)
{
    if (--s->owners)
        return;
    for (unsigned i = 0; i < s->phases; i++) {
        if (s->traces[i])
            s->traces[i]->ops->free(s->traces[i]);
        free(s->zipfs[i]);
    }
    for (unsigned i = 0; s->futures && i < s->config->n_vms; i++)
        free((void *)s->futures[i].next_use);
    free(s->futures);
    free(s->traces);
    free(s->zipfs);
    free(s);
}

static bool open_phase(struct shared *s, unsigned at, const struct phase_config *phase,
                       struct source **given, struct err *err)
{
    const struct generator_spec *spec = &phase->generator;
    if (given && given[at]) {
        s->traces[at] = given[at];
    } else if (phase->trace) {
        struct trace_options options = {.format = TRACE_AUTO};
        s->traces[at] = trace_open(phase->trace, &options, err);
        return s->traces[at];
    } else if (spec->pattern == PATTERN_ZIPF) {
        s->zipfs[at] = zipf_new(spec->length / spec->page, spec->theta);
        return s->zipfs[at] ||
               err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory for a zipf table");
    }
    return true;
}

static struct shared *new_shared(const struct machine_config *config, struct source **given,
                                 struct err *err)
{
    struct shared *s = calloc(1, sizeof *s);
    unsigned phases = 0;
    for (unsigned v = 0; v < config->n_vms; v++)
        for (unsigned p = 0; p < config->vms[v].n_processes; p++)
            phases += config->vms[v].processes[p].n_phases;
    if (!s)
        return NULL;
    s->config = config;
    s->owners = 1;
    s->phases = phases;
    s->traces = calloc(phases + 1, sizeof *s->traces);
    s->zipfs = calloc(phases + 1, sizeof *s->zipfs);
    s->futures = calloc(config->n_vms + 1, sizeof *s->futures);
    bool done = s->traces && s->zipfs && s->futures;
    for (unsigned v = 0, at = 0; done && v < config->n_vms; v++)
        for (unsigned p = 0; done && p < config->vms[v].n_processes; p++)
            for (unsigned i = 0; done && i < config->vms[v].processes[p].n_phases; i++, at++)
                done = open_phase(s, at, &config->vms[v].processes[p].phases[i], given, err);
    if (done)
        return s;
    release_shared(s);
    return NULL;
}

/* ---- building ---- */

/* Stages that the processor walks, the guest's included. */
static unsigned stages_of(enum mode mode)
{
    static const uint8_t stages[MODES] = {
        [MODE_NATIVE] = 1, [MODE_SHADOW] = 1,      [MODE_NESTED] = 2,   [MODE_DIRECT] = 1,
        [MODE_AGILE] = 2,  [MODE_THREE_STAGE] = 3, [MODE_COLLAPSED] = 2};
    return stages[mode];
}

/* Spaces under a guest's physical memory. */
static unsigned spaces_below(enum mode mode)
{
    return mode == MODE_NATIVE ? 0 : mode == MODE_THREE_STAGE || mode == MODE_COLLAPSED ? 2 : 1;
}

static struct mmu *new_mmu(const struct machine_config *config, enum mode mode, unsigned number)
{
    unsigned stages = stages_of(mode);
    size_t bytes = mmu_bytes(&config->profile, stages);
    struct mmu *mmu = aligned_alloc(16, bytes);
    if (mmu) {
        memset(mmu, 0, bytes);
        mmu_init(mmu, &config->profile, stages, (uint16_t)number, config->seed + 0x100 + number);
    }
    return mmu;
}

static bool make_llc(struct machine *m, const struct machine_config *config)
{
    const struct shape *shape = &config->profile.data[DATA_CACHES - 1];
    size_t bytes = memo_bytes(shape, false);
    if (!shape->entries)
        return true;
    if (!(m->llc = aligned_alloc(16, bytes)))
        return false;
    memset(m->llc, 0, bytes);
    memo_init(m->llc, shape, false, config->seed + 1);
    return true;
}

static bool make_vcpus(struct machine *m, const struct machine_config *config)
{
    for (unsigned v = 0; v < config->n_vms; v++)
        m->n_vcpus += config->vms[v].vcpus;
    if (!(m->vcpu = calloc(m->n_vcpus, sizeof *m->vcpu)))
        return false;
    for (unsigned v = 0, at = 0; v < config->n_vms; v++)
        for (unsigned i = 0; i < config->vms[v].vcpus; i++, at++) {
            m->vcpu[at] = (struct vcpu){.mmu = new_mmu(config, config->vms[v].mode, at),
                                        .vm = v,
                                        .number = i,
                                        .feed = i,
                                        .process = -1,
                                        .quantum = config->vms[v].quantum};
            if (!m->vcpu[at].mmu)
                return false;
        }
    return true;
}

static bool make_feeds(struct machine *m, struct vm *vm, unsigned *phase, uint64_t seed)
{
    const struct vm_config *config = vm->config;
    if (!(vm->feeds = calloc(config->n_processes + 1, sizeof *vm->feeds)))
        return false;
    vm->n_feeds = config->n_processes;
    for (unsigned p = 0; p < config->n_processes; p++) {
        feed_init(&vm->feeds[p], &config->processes[p], (uint16_t)p, seed + 0x10000 * (p + 1u),
                  m->shared->traces + *phase, m->shared->zipfs + *phase);
        *phase += config->processes[p].n_phases;
    }
    return true;
}

static struct format guest_format(const struct vm_config *config, const struct profile *profile)
{
    struct registers registers = guest_registers(config, profile);
    return config->paging ? control_stage(&registers, profile).format
                          : format_textbook(&config->geometry);
}

/* However small its guest, a hypervisor in a VM needs frames for tables. */
enum { MIDDLE_LEAST = 1 << 20 };

/* What is under a VM's physical memory. A hypervisor in a VM has as much to give as its guest. */
static bool make_spaces(struct vm *vm)
{
    uint64_t bytes = vm->config->memory;
    vm->below = spaces_below(vm->config->mode);
    frames_init(&vm->middle, FRAME_BYTES, 2 * bytes < MIDDLE_LEAST ? MIDDLE_LEAST : 2 * bytes);
    for (unsigned depth = 1; depth <= vm->below; depth++, bytes = vm->middle.top)
        if (!p2m_init(&vm->p2m[depth], bytes))
            return false;
    return true;
}

static bool make_vm(struct machine *m, unsigned number, unsigned *phase)
{
    const struct machine_config *config = m->shared->config;
    struct vm *vm = &m->vm[number];
    vm->config = &config->vms[number];
    struct format format = guest_format(vm->config, &config->profile);
    return make_spaces(vm) && make_feeds(m, vm, phase, config->seed + 0x1000000 * (number + 1u)) &&
           guest_init(&vm->guest, vm->config, &format) &&
           (!vm->config->reclaim || mem_init(&vm->disk, (uint64_t)1 << 40));
}

/* ---- setting up ---- */

/* Puts one entry where an exam question has it. */
static bool preload(struct machine *m, struct vcpu *v, const struct preload_config *p)
{
    struct lookaside *la = &v->mmu->look;
    const struct format *f = &v->mmu->stage[0].format;
    uint32_t offset = p->data_cache ? la->data[p->which] : la->tlb[p->which].place[1].memo, slot;
    struct memo *memo = p->data_cache && p->which == DATA_CACHES - 1 ? m->llc : memo_at(la, offset);
    if (!memo || (!offset && memo != m->llc))
        return false;
    uint64_t number = p->tag * memo->sets + p->set;
    space_t space = p->data_cache ? space_numbered(1) : v->mmu->space[0];
    if (!memo_place(memo, tag_of(space, 0, number), p->way, &slot))
        return false;
    if (p->data_cache) {
        hpa_t at = number << la->line_shift;
        bool fits = mem_holds(&m->mem, at, p->length);
        if (fits && p->bytes)
            mem_write(&m->mem, at, p->bytes, p->length);
        return fits;
    }
    hpa_t frame = p->frame << f->shift[1];
    memo_targets(memo)[slot] = (struct target){
        .hpa = frame, .next = frame, .rights = guest_may(p->rights) | LEAF_DIRTY, .note = 1};
    la->tlb[p->which].levels |= 1 << 1;
    return true;
}

static bool set_up_raw(struct machine *m, struct vcpu *v, struct err *err)
{
    const struct vm_config *config = m->vm[v->vm].config;
    struct door door = {m, v};
    for (unsigned i = 0; i < config->n_images; i++) {
        const struct image_config *image = &config->images[i];
        if (!vm_holds(m, v->vm, image->gpa, image->length) ||
            !vm_write(&door, image->gpa, image->bytes, image->length))
            return err_set(err, EXIT_USAGE,
                           "vm %s: an image lies where the VM has no memory, at 0x%llx",
                           config->name, (unsigned long long)image->gpa);
    }
    if (!config->paging && config->geometry.levels) {
        mmu_set_textbook(v->mmu, &config->geometry, config->registers.cr3);
        return true;
    }
    const char *fault = technique_for(m, v->vm)->reset(&door, &config->registers);
    return !fault || err_set(err, EXIT_USAGE, "vm %s: registers: %s", config->name, fault);
}

/* Loads a vCPU's first process, if its VM has one for it. */
static bool load_first(struct machine *m, struct vcpu *v)
{
    const struct vm_config *config = m->vm[v->vm].config;
    return v->number >= config->n_processes || schedule_switch(m, v, v->number);
}

/* Maps what is mapped from the start, and loads each vCPU's first process. */
static bool set_up_built(struct machine *m, struct vcpu *v, struct err *err)
{
    struct vm *vm = &m->vm[v->vm];
    struct door door = {m, v};
    struct port port = machine_port(&door);
    if (vm->config->paging) {
        struct registers registers = guest_registers(vm->config, &v->mmu->profile);
        const char *fault = technique_for(m, v->vm)->reset(&door, &registers);
        if (fault)
            return err_set(err, EXIT_USAGE, "vm %s: %s", vm->config->name, fault);
    } else {
        mmu_set_textbook(v->mmu, &vm->config->geometry, 0);
    }
    for (unsigned p = 0; p < vm->config->n_processes; p++)
        if (schedule_vcpu(m, v->vm, p) == v && !guest_populate(&vm->guest, &port, p))
            return err_set(err, EXIT_USAGE, "vm %s: its maps do not fit into its memory",
                           vm->config->name);
    return load_first(m, v);
}

/* What each VM's mode needs before there is anything in its memory. */
static bool prepare(struct machine *m, struct err *err)
{
    for (unsigned v = 0; v < m->n_vms; v++) {
        const struct technique *technique = technique_for(m, v);
        if (!technique)
            return err_set(err, EXIT_USAGE, "vm %s: mode %s can't run in this version",
                           m->vm[v].config->name, mode_name(m->vm[v].config->mode));
        if (!technique->prepare(m, v, err)) {
            if (!err->code)
                *err = m->err;
            return false;
        }
    }
    return true;
}

static bool set_up(struct machine *m, struct err *err)
{
    if (!prepare(m, err))
        return false;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct vcpu *v = &m->vcpu[i];
        const struct vm_config *config = m->vm[v->vm].config;
        if (!(config->raw ? set_up_raw(m, v, err) : set_up_built(m, v, err)))
            return false;
        v->idle = v->number >= config->n_processes;
        for (unsigned p = 0; p < config->n_preloads; p++)
            if (!preload(m, v, &config->preloads[p]))
                return err_set(err, EXIT_USAGE,
                               "vm %s: preload %u: the cache has no such set or way", config->name,
                               p);
        door_settle(&(struct door){m, v});
    }
    machine_reset_counts(m);
    m->billed = true;
    return !m->mem.exhausted || err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

bool machine_begin(struct machine *m)
{
    bool done = true;
    m->billed = false;
    for (unsigned i = 0; done && i < m->n_vcpus; i++)
        done = m->vm[m->vcpu[i].vm].config->raw || load_first(m, &m->vcpu[i]);
    m->billed = true;
    machine_cool(m);
    machine_reset_counts(m);
    return done;
}

void machine_reset_counts(struct machine *m)
{
    for (unsigned i = 0; i < m->n_vcpus; i++)
        tally_reset(&m->vcpu[i].mmu->tally);
    m->accesses = 0;
    m->signals = 0;
}

static bool build(struct machine *m, const struct machine_config *config, struct source **traces,
                  struct err *err)
{
    unsigned phase = 0;
    const char *fault = profile_fault(&config->profile);
    if (fault)
        return err_set(err, EXIT_USAGE, "machine: %s", fault);
    if (!(m->shared = new_shared(config, traces, err)))
        return err->code ? false : err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    m->vm = calloc(config->n_vms, sizeof *m->vm);
    bool done = m->vm && mem_init(&m->mem, config->memory) && host_init(&m->host, config->memory) &&
                make_llc(m, config) && make_vcpus(m, config);
    for (unsigned v = 0; done && v < config->n_vms; v++, m->n_vms++)
        done = make_vm(m, v, &phase);
    if (!done)
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    return set_up(m, err);
}

struct machine *machine_new_on(const struct machine_config *config, struct source **traces,
                               struct real *real, struct err *err)
{
    struct machine *m = calloc(1, sizeof *m);
    if (m)
        m->real = real;
    if (m && build(m, config, traces, err))
        return m;
    if (m && m->err.code)
        *err = m->err;
    if (!m)
        err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    machine_free(m);
    return NULL;
}

struct machine *machine_new_with(const struct machine_config *config, struct source **traces,
                                 struct err *err)
{
    return machine_new_on(config, traces, NULL, err);
}

struct machine *machine_new(const struct machine_config *config, struct err *err)
{
    return machine_new_with(config, NULL, err);
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    for (unsigned i = 0; m->vcpu && i < m->n_vcpus; i++)
        free(m->vcpu[i].mmu);
    for (unsigned i = 0; i < m->n_vms; i++) {
        guest_fini(&m->vm[i].guest);
        free(m->vm[i].feeds);
        mem_fini(&m->vm[i].disk);
        for (unsigned depth = 1; depth <= m->vm[i].below; depth++)
            p2m_fini(&m->vm[i].p2m[depth]);
        frames_fini(&m->vm[i].middle);
        direct_free(m->vm[i].direct);
        agile_fini(&m->vm[i].agile);
        shadow_fini(&m->vm[i].shadow);
    }
    host_fini(&m->host);
    if (m->shared)
        release_shared(m->shared);
    mem_fini(&m->mem);
    free(m->vcpu);
    free(m->vm);
    free(m->llc);
    free(m);
}

/* ---- cloning ---- */

static void *copy_of(const void *bytes, size_t n)
{
    void *copy = aligned_alloc(16, (n + 15) & ~(size_t)15);
    return copy ? memcpy(copy, bytes, n) : NULL;
}

static bool clone_vcpus(struct machine *clone, const struct machine *m)
{
    bool done = true;
    if (!(clone->vcpu = copy_of(m->vcpu, m->n_vcpus * sizeof *m->vcpu)))
        return false;
    for (unsigned i = 0; i < m->n_vcpus; i++) {
        struct mmu *mmu = clone->vcpu[i].mmu = copy_of(m->vcpu[i].mmu, m->vcpu[i].mmu->bytes);
        done &= mmu != NULL;
        if (mmu)
            mmu->tally.sink = NULL;
    }
    return done;
}

static bool clone_vms(struct machine *clone, const struct machine *m)
{
    bool done = true;
    if (!(clone->vm = copy_of(m->vm, m->n_vms * sizeof *m->vm)))
        return false;
    for (clone->n_vms = 0; clone->n_vms < m->n_vms; clone->n_vms++) {
        struct vm *vm = &clone->vm[clone->n_vms];
        const struct vm *from = &m->vm[clone->n_vms];
        done &= guest_unshare(&vm->guest);
        done &= mem_clone(&vm->disk, &from->disk) || !from->disk.regions;
        done &= frames_unshare(&vm->middle);
        for (unsigned depth = 1; depth <= from->below; depth++)
            done &= p2m_clone(&vm->p2m[depth], &from->p2m[depth]);
        done &= agile_clone(&vm->agile, &from->agile);
        done &= shadow_unshare(&vm->shadow, &from->shadow);
        vm->direct = from->direct ? direct_clone(from->direct) : NULL;
        done &= vm->direct || !from->direct;
        vm->feeds = copy_of(from->feeds, (from->n_feeds + 1) * sizeof *from->feeds);
        done &= vm->feeds != NULL;
    }
    return done;
}

struct machine *machine_clone(const struct machine *m)
{
    struct machine *clone = malloc(sizeof *clone);
    if (!clone)
        return NULL;
    *clone = *m;
    clone->mem = (struct mem){0};
    clone->vcpu = NULL;
    clone->vm = NULL;
    clone->n_vms = 0;
    clone->shared->owners++;
    clone->llc = m->llc ? copy_of(m->llc, m->llc->bytes) : NULL;
    bool memory = host_clone(&clone->host, &m->host);
    if (memory & mem_clone(&clone->mem, &m->mem) && (clone->llc || !m->llc) &&
        clone_vcpus(clone, m) && clone_vms(clone, m))
        return clone;
    machine_free(clone);
    return NULL;
}

/* ---- looking ---- */

void machine_tally(const struct machine *m, unsigned vm, struct tally *sum)
{
    memset(sum, 0, sizeof *sum);
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == vm)
            tally_add(sum, &m->vcpu[i].mmu->tally);
}

void machine_watch(struct machine *m, const struct sink *sink)
{
    for (unsigned i = 0; i < m->n_vcpus; i++)
        m->vcpu[i].mmu->tally.sink = sink;
}

bool machine_dump(const struct machine *m, unsigned vm, gpa_t gpa, uint64_t *words, uint64_t count)
{
    if (count > UINT64_MAX / 8 || !vm_holds(m, vm, gpa, count * 8))
        return false;
    vm_read(m, vm, gpa, words, count * 8);
    return true;
}

void machine_cool(struct machine *m)
{
    struct bus bus = machine_bus(m);
    for (unsigned i = 0; i < m->n_vcpus; i++)
        mmu_cool(m->vcpu[i].mmu, &bus);
}
