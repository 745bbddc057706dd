/* Shadow paging behind the port, and when a walk refuses. See shadow.h. */
#include "sim/hypervisor/shadow.h"

#include "sim/hypervisor/back.h"
#include "sim/hypervisor/moves.h"

/* ---- what the vCPU runs on ---- */

/* Everything that decides what a guest's entries mean, or what is made of them. */
static uint16_t context_of(const struct registers *r)
{
    const bool bits[] = {
        control_paging(r) == PAGING_2_LEVEL, /* SHADOW_SHORT */
        r->efer & EFER_NXE,
        r->cr0 & CR0_WP,
        r->cr4 & CR4_SMEP,
        r->cr4 & CR4_SMAP,
        r->cr4 & CR4_PSE,
        r->cr4 & CR4_PKE,
    };
    unsigned n = sizeof bits / sizeof *bits, context = control_paging(r) << n;
    for (unsigned i = 0; i < n; i++)
        context |= (unsigned)bits[i] << i;
    return (uint16_t)context;
}

/* The stage that the processor walks, without a root yet: CR0.WP is always set. */
static struct stage shadow_stage(const struct registers *r, const struct profile *profile)
{
    struct registers on = *r;
    unsigned paging = control_paging(r);
    struct format_limits limits = {.maxphyaddr = profile->maxphyaddr,
                                   .nx = true,
                                   .pages_1g = profile_has(profile, FEATURE_pdpe1gb),
                                   .keys = r->cr4 & CR4_PKE};
    on.cr0 |= CR0_WP;
    struct stage stage = control_stage(&on, profile);
    stage.format = format_x86(paging == PAGING_2_LEVEL ? PAGING_PAE
                              : paging                 ? (enum paging)paging
                                                       : PAGING_4_LEVEL,
                              &limits);
    stage.root = 0;
    if (!paging) {
        memset(stage.allow, 0xff, sizeof stage.allow);
        memset(stage.deny_key, 0, sizeof stage.deny_key);
    }
    return stage;
}

/* The roots that there are already; the others are made when they are first needed. */
static void find_roots(struct door *door)
{
    struct shadow *s = shadow_of(door);
    unsigned slots = door->vcpu->mmu->stage[0].format.registers ? SHADOW_ROOTS : 1;
    memset(shadow_here(door)->root, 0, sizeof shadow_here(door)->root);
    for (unsigned slot = 0; slot < slots; slot++) {
        struct shadow_key key;
        uint32_t page = shadow_root_key(door, slot, &key) ? shadow_find(s, &key) : 0;
        if (page)
            s->page[page].writes = 0;
        shadow_set_root(door, slot, page);
    }
    agile_enter(door);
}

/* The PDPTE registers, from the guest's memory. NULL, or what makes the load a #GP. */
static const char *load_pdptes(const struct door *door, struct stage *guest)
{
    vm_read(door->machine, door->vcpu->vm, guest->root, guest->top, sizeof guest->top);
    for (unsigned i = 0; i < SHADOW_ROOTS; i++)
        if (format_present(&guest->format, guest->top[i]) &&
            guest->top[i] & guest->format.reserved[PAGING_PAE][0])
            return "a present PDPTE has a reserved bit set";
    return NULL;
}

/* Makes @p to what the guest believes to be loaded. NULL, or what makes it a #GP. */
static const char *adopt(struct door *door, const struct registers *to, bool pdptes)
{
    struct mmu *mmu = door->vcpu->mmu;
    struct shadow_vcpu *v = shadow_here(door);
    struct stage guest = control_stage(to, &mmu->profile);
    struct stage stage = shadow_stage(to, &mmu->profile);
    const char *fault = NULL;
    if (guest.format.registers && pdptes)
        fault = load_pdptes(door, &guest);
    else
        memcpy(guest.top, v->guest.top, sizeof guest.top);
    if (fault)
        return fault;
    v->guest = guest;
    v->context = context_of(to);
    mmu_set_shadow(mmu, &stage, to);
    return NULL;
}

static const char *reset(struct door *door, const struct registers *registers)
{
    struct bus bus = machine_bus(door->machine);
    const char *fault = control_fault(registers, &door->vcpu->mmu->profile);
    if (!fault)
        fault = adopt(door, registers, true);
    if (!fault) {
        find_roots(door);
        mmu_cool(door->vcpu->mmu, &bus);
    }
    return fault;
}

/* ---- instructions ---- */

/* Which register an instruction loads, what it was, and whether PDPTEs are loaded with it. */
static bool loaded(const struct instruction *i, struct registers *r)
{
    uint64_t caching = (uint64_t)3 << 29, changed; /* CR0.CD and NW */
    switch (i->name) {
    case INSTRUCTION_MOV_CR3:
        r->cr3 = r->cr4 & CR4_PCIDE ? i->value & ~CR3_KEEP : i->value;
        return true;
    case INSTRUCTION_MOV_CR0:
        changed = r->cr0 ^ i->value;
        r->cr0 = i->value;
        return changed & (CR0_PG | caching);
    case INSTRUCTION_MOV_CR4:
        changed = r->cr4 ^ i->value;
        r->cr4 = i->value;
        return changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP);
    default:
        r->efer = i->value;
        return false;
    }
}

/* Another root, or other rules: nothing of the old translations is kept. */
static const char *load_register(struct door *door, const struct instruction *i)
{
    static const enum event_kind events[] = {[INSTRUCTION_MOV_CR3] = EVENT_MOV_CR3,
                                             [INSTRUCTION_MOV_CR0] = EVENT_MOV_CR0,
                                             [INSTRUCTION_MOV_CR4] = EVENT_MOV_CR4,
                                             [INSTRUCTION_WRMSR_EFER] = EVENT_WRMSR_EFER};
    struct mmu *mmu = door->vcpu->mmu;
    struct registers to = mmu->registers;
    const enum mode mode = shadow_vm(door)->config->mode;
    bool is_cr3 = i->name == INSTRUCTION_MOV_CR3, pdptes = loaded(i, &to);
    bool free = is_cr3 && mode == MODE_AGILE && !agile_must_exit(door, i->value);
    if (!free) {
        bill_exit(door, 1, is_cr3 ? EXIT_FOR_mov_cr3 : EXIT_FOR_mov_cr, i->value, 0);
        bill_work(door, 1, 0, WORK_intercept, i->value);
    }
    const char *fault = control_change_fault(&mmu->registers, &to, &mmu->profile);
    if (!fault)
        fault = adopt(door, &to, pdptes);
    if (fault)
        return fault;
    tally_note(&mmu->tally, events[i->name], 0, i->value);
    find_roots(door);
    shadow_invalidate_all(door);
    mmu_drop_all(mmu);
    return NULL;
}

void shadow_reload(struct door *door)
{
    const struct registers registers = door->vcpu->mmu->registers;
    adopt(door, &registers, false);
    find_roots(door);
    shadow_resume(door);
    mmu_drop_all(door->vcpu->mmu);
}

static void invlpg(struct door *door, gva_t gva)
{
    bill_exit(door, 1, EXIT_FOR_invlpg, gva, 0);
    bill_work(door, 1, 0, WORK_intercept, gva);
    mmu_invlpg(door->vcpu->mmu, gva);
    if (format_canonical(&door->vcpu->mmu->stage[0].format, gva))
        shadow_invalidate(door, gva);
}

static const char *invpcid(struct door *door, const struct instruction *i)
{
    const struct registers *r = &door->vcpu->mmu->registers;
    uint64_t pcid = r->cr4 & CR4_PCIDE ? r->cr3 & CR3_PCID : 0;
    bill_exit(door, 1, EXIT_FOR_invpcid, i->gva, i->type);
    bill_work(door, 1, 0, WORK_intercept, i->gva);
    const char *fault = mmu_invpcid(door->vcpu->mmu, i->type, i->pcid, i->gva);
    if (fault || (i->type <= 1 && i->pcid != pcid))
        return fault; /* of others nothing is loaded: they are looked through when they are */
    if (i->type == 0)
        shadow_invalidate(door, i->gva);
    else
        shadow_invalidate_all(door);
    return NULL;
}

/*
 * No exit; but the processor works under CR0.WP, unless it walks the guest's own tables, and the
 * hypervisor's walk knows the keys too.
 */
static void wrpkru(struct door *door, uint32_t value)
{
    struct mmu *mmu = door->vcpu->mmu;
    uint64_t cr0 = mmu->registers.cr0;
    bool own = shadow_vm(door)->config->mode == MODE_AGILE && !mmu->stage[0].direct;
    mmu->registers.cr0 |= own ? 0 : CR0_WP;
    mmu_wrpkru(mmu, value);
    mmu->registers.cr0 = cr0;
    const struct stage guest = control_stage(&mmu->registers, &mmu->profile);
    memcpy(shadow_here(door)->guest.deny_key, guest.deny_key, sizeof guest.deny_key);
}

static const char *execute(struct door *door, const struct instruction *i)
{
    const char *fault = NULL;
    if (i->name == INSTRUCTION_INVLPG)
        invlpg(door, i->gva);
    else if (i->name == INSTRUCTION_INVPCID)
        fault = invpcid(door, i);
    else if (i->name == INSTRUCTION_WRPKRU)
        wrpkru(door, (uint32_t)i->value);
    else
        fault = load_register(door, i);
    shadow_resume(door);
    return fault;
}

/* ---- memory ---- */

static enum remedy refused(struct door *door, const struct access *access, const struct refusal *r,
                           struct refusal *guest, struct vm_exit *exit)
{
    if (r->kind != REFUSED_CANONICAL)
        return shadow_fault(door, access, r, guest, exit);
    *guest = *r; /* a #GP, which doesn't exit */
    return REMEDY_FAULT;
}

/* The write of a frame that is watched, not there, or protected exits, as an access would: the
 * kernel's own mapping lacks it. */
static bool provide(struct door *door, gpa_t gpa, bool watched)
{
    struct p2m_entry entry = p2m_get(&shadow_vm(door)->p2m[1], gpa);
    bool ready = entry.state == P2M_PRESENT && !entry.write_protected && !entry.withdrawn;
    if (watched)
        bill_exit(door, 1, EXIT_FOR_table_write, gpa, 0);
    else if (!ready)
        bill_exit(door, 1, EXIT_FOR_hidden_fault, gpa, 0);
    if (!back_page(door, 1, gpa, KIND_WRITE, &entry))
        return false;
    if (entry.withdrawn) {
        entry.withdrawn = false;
        p2m_put(&shadow_vm(door)->p2m[1], gpa, &entry);
    }
    if (!watched && !ready)
        bill_work(door, 1, entry.level, WORK_fill, gpa);
    return true;
}

static bool store(struct door *door, gpa_t gpa, uint64_t value, unsigned size, unsigned level)
{
    uint64_t gfn = gpa >> FRAME_SHIFT;
    hpa_t at;
    (void)level; /* what is known of a table is what it is the shadow of */
    bool watched = shadow_watches(shadow_of(door), gfn);
    if (!provide(door, gpa, watched) || !vm_reach(door->machine, door->vcpu->vm, gpa, &at))
        return false;
    bool emulated = watched && !shadow_unsync(door, gfn);
    if (emulated)
        shadow_emulate(door, gpa);
    mem_store(&door->machine->mem, at, value, size);
    if (emulated)
        shadow_drop_written(door, gpa, size);
    shadow_resume(door);
    return true;
}

static void written(struct door *door, hpa_t at, uint64_t bytes)
{
    uint64_t gfn = host_owner(&door->machine->host, at).gfn;
    if (!shadow_watches(shadow_of(door), gfn))
        return;
    shadow_drop_written(door, gfn << FRAME_SHIFT | (at & low_bits(FRAME_SHIFT)), bytes);
    shadow_resume(door);
}

static void move(struct door *door, enum move move, gpa_t gpa, uint64_t bytes)
{
    moves_make(door, move, gpa, bytes, shadow_follow);
    shadow_resume(door);
}

/* ---- the VM ---- */

static bool prepare(struct machine *m, unsigned number, struct err *err)
{
    static const struct stage none;
    struct vm *vm = &m->vm[number];
    if (vm->config->geometry.levels)
        return err_set(err, EXIT_USAGE,
                       "vm %s: a textbook geometry can't run in mode shadow: its tables are no "
                       "processor's",
                       vm->config->name);
    if (!shadow_init(&vm->shadow, vm->config->memory, vm->config->vcpus, vm->config->shadow.pages))
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == number)
            mmu_set_second_stages(m->vcpu[i].mmu, &none, 0,
                                  vm->config->no_vpid ? 0 : (uint16_t)(number + 1));
    return true;
}

const struct technique technique_shadow = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .store = store,
    .written = written,
    .move = move,
};
