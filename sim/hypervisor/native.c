/*
 * No hypervisor: a gpa is the hpa, the guest's tables are the processor's, nothing exits. And what
 * all techniques share: reaching a VM's memory.
 */
#include "sim/hypervisor/technique.h"

#include "sim/hypervisor/back.h"

const struct technique *technique_of(enum mode mode)
{
    static const struct technique *const of[MODES] = {
        [MODE_NATIVE] = &technique_native,      [MODE_SHADOW] = &technique_shadow,
        [MODE_NESTED] = &technique_nested,      [MODE_DIRECT] = &technique_direct,
        [MODE_AGILE] = &technique_agile,        [MODE_THREE_STAGE] = &technique_nested,
        [MODE_COLLAPSED] = &technique_collapsed};
    return of[mode];
}

const struct technique *technique_for(const struct machine *m, unsigned vm)
{
    return m->real ? m->real->technique : technique_of(m->vm[vm].config->mode);
}

/* ---- a VM's memory ---- */

/* Through tables given by hand, whatever rights they grant. */
static bool reach_by_hand(const struct machine *m, unsigned vm, gpa_t gpa, hpa_t *at)
{
    const struct profile *profile = &m->shared->config->profile;
    struct stage stage = second_stage(&m->vm[vm].second[1], profile);
    struct walk w = {.stage = &stage, .stages = 1, .bus = {.mem = (struct mem *)&m->mem}};
    memset(stage.allow, 0xff, sizeof stage.allow);
    if (!walk_read(&w, gpa, KIND_READ))
        return false;
    *at = w.found.hpa;
    return mem_holds(&m->mem, *at, 1);
}

bool vm_reach(const struct machine *m, unsigned vm, gpa_t gpa, hpa_t *at)
{
    const struct vm *v = &m->vm[vm];
    if (v->config->second_stage_raw.given && v->below)
        return reach_by_hand(m, vm, gpa, at);
    *at = gpa;
    for (unsigned depth = 1; depth <= v->below; depth++) {
        struct p2m_entry entry = p2m_get(&v->p2m[depth], *at);
        if (entry.state == P2M_ABSENT)
            return false;
        *at = entry.at + (*at & low_bits(FRAME_SHIFT));
    }
    return mem_holds(&m->mem, *at, 1);
}

gpa_t vm_gpa(const struct machine *m, const struct vcpu *v, const struct found *found)
{
    bool physical = v->mmu->stages > 1 && m->vm[v->vm].config->mode != MODE_AGILE;
    if (!m->vm[v->vm].below || physical || !mem_holds(&m->mem, found->hpa, 1))
        return found->next;
    struct frame_owner owner = host_owner(&m->host, found->hpa);
    return owner.gfn << FRAME_SHIFT | (found->hpa & low_bits(FRAME_SHIFT));
}

bool vm_holds(const struct machine *m, unsigned vm, gpa_t gpa, uint64_t bytes)
{
    uint64_t all = m->vm[vm].below ? m->vm[vm].p2m[1].bytes : m->mem.bytes;
    return gpa < all && bytes <= all - gpa;
}

void vm_read(const struct machine *m, unsigned vm, gpa_t gpa, void *bytes, uint64_t n)
{
    uint8_t *to = bytes;
    if (m->real) {
        m->real->read(m->real, gpa, bytes, n);
        return;
    }
    for (uint64_t done = 0, part; done < n; done += part) {
        gpa_t from = gpa + done;
        uint64_t rest = FRAME_BYTES - (from & (FRAME_BYTES - 1));
        hpa_t at;
        part = rest < n - done ? rest : n - done;
        if (vm_reach(m, vm, from, &at) && mem_holds(&m->mem, at, part))
            mem_read(&m->mem, at, to + done, part);
        else
            memset(to + done, 0, part);
    }
}

bool vm_write(struct door *door, gpa_t gpa, const void *bytes, uint64_t n)
{
    struct machine *m = door->machine;
    const uint8_t *from = bytes;
    bool by_hand = m->vm[door->vcpu->vm].config->second_stage_raw.given;
    if (m->real) {
        m->real->write(m->real, gpa, bytes, n);
        return true;
    }
    for (uint64_t done = 0, part; done < n; done += part) {
        gpa_t to = gpa + done;
        uint64_t rest = FRAME_BYTES - (to & (FRAME_BYTES - 1));
        hpa_t at;
        part = rest < n - done ? rest : n - done;
        if (!vm_reach(m, door->vcpu->vm, to, &at) && (by_hand || !back_reach(door, 0, to, &at)))
            return false;
        if (!mem_holds(&m->mem, at, part))
            return false;
        mem_write(&m->mem, at, from + done, part);
    }
    return true;
}

/* ---- the technique ---- */

static bool prepare(struct machine *m, unsigned vm, struct err *err)
{
    (void)m, (void)vm, (void)err;
    return true;
}

static const char *reset(struct door *door, const struct registers *registers)
{
    struct bus bus = machine_bus(door->machine);
    return mmu_set_registers(door->vcpu->mmu, &bus, registers);
}

static enum remedy refused(struct door *door, const struct access *access,
                           const struct refusal *refusal, struct refusal *guest,
                           struct vm_exit *exit)
{
    (void)door, (void)access, (void)exit;
    *guest = *refusal;
    return REMEDY_FAULT;
}

static const char *execute(struct door *door, const struct instruction *instruction)
{
    struct bus bus = machine_bus(door->machine);
    return mmu_execute(door->vcpu->mmu, &bus, instruction);
}

static bool store(struct door *door, gpa_t at, uint64_t value, unsigned size, unsigned level)
{
    (void)level;
    mem_store(&door->machine->mem, at, value, size);
    return true;
}

const struct technique technique_native = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .store = store,
};
