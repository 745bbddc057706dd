/* Script items: one access, one instruction, one act of the guest OS. */
#include <string.h>

#include "sim/hypervisor/technique.h"

static void gp(struct outcome *o, const char *words)
{
    *o = (struct outcome){.kind = OUTCOME_FAULT, .vector = 13, .words = words};
}

static void stopped(struct outcome *o, const char *words)
{
    *o = (struct outcome){.kind = OUTCOME_STOP, .words = words};
}

/* The vCPU of an item, with the item's process loaded if its VM has processes. */
static struct vcpu *vcpu_for(struct machine *m, const struct script_item *item)
{
    const struct vm *vm = &m->vm[item->vm];
    struct vcpu *v = schedule_vcpu(m, item->vm, vm->config->raw ? 0 : item->process);
    if (vm->config->raw || !vm->guest.n || schedule_switch(m, v, item->process))
        return v;
    return NULL;
}

/* Bytes that a program writes, and whoever watches over them. */
static void write_bytes(struct machine *m, struct vcpu *v, hpa_t at, const uint8_t *bytes,
                        uint64_t n)
{
    const struct technique *technique = technique_for(m, v->vm);
    mem_write(&m->mem, at, bytes, n);
    if (technique->written)
        technique->written(&(struct door){m, v}, at, n);
}

/* Values are moved only once every page of the access is translated. */
static void move_value(struct machine *m, struct vcpu *v, const struct script_item *item,
                       const struct pieces *pieces, struct outcome *o)
{
    uint8_t bytes[16] = {0};
    unsigned done = 0;
    bool write = item->access.op != OP_READ;
    if (item->access.op == OP_EXEC || item->access.size > 8 || (write && !item->has_value))
        return;
    memcpy(bytes, &item->value, 8);
    for (unsigned i = 0; i < pieces->n && i < 2; i++) {
        const struct piece *p = &pieces->piece[i];
        bool there = mem_holds(&m->mem, p->hpa, p->bytes);
        if (write && there)
            write_bytes(m, v, p->hpa, bytes + done, p->bytes);
        else if (!write && there)
            mem_read(&m->mem, p->hpa, bytes + done, p->bytes);
        else if (!write)
            memset(bytes + done, 0xff, p->bytes); /* no memory answers: all ones */
        done += (unsigned)p->bytes;
    }
    o->has_value = !write;
    memcpy(&o->value, bytes, 8);
    if (!write && item->access.size < 8)
        o->value &= low_bits(8u * item->access.size);
}

static void do_access(struct machine *m, struct vcpu *v, const struct script_item *item,
                      const struct watcher *watcher, struct outcome *o)
{
    struct walk w;
    struct pieces pieces;
    if (m->real) {
        access_on_real(m, v, item, o);
        return;
    }
    access_complete(m, v, &item->access, false, &w, watcher, &pieces, o);
    m->accesses++;
    if (o->kind == OUTCOME_OK)
        move_value(m, v, item, &pieces, o);
}

static void do_store(struct machine *m, struct vcpu *v, const struct script_item *item,
                     struct outcome *o)
{
    struct door door = {m, v};
    if (!vm_holds(m, v->vm, item->gpa, item->size)) {
        stopped(o, "store: no memory at that gpa");
        return;
    }
    bool done = true;
    gpa_t last = item->gpa + item->size - 1;
    if ((item->gpa ^ last) >> FRAME_SHIFT) /* over a frame's edge, byte by byte */
        for (unsigned i = 0; i < item->size; i++)
            done &= door_store(&door, item->gpa + i, item->value >> 8 * i, 1);
    else
        done = door_store(&door, item->gpa, item->value, item->size);
    if (!done) {
        stopped(o, m->err.code ? m->err.text : "store: the hypervisor denies it");
        return;
    }
    NOTE(&v->mmu->tally, GUEST_STORE, 0, 0, 0, item->gpa, item->value);
}

/* Instructions of the guest that load a control register or invalidate. */
static void do_instruction(struct machine *m, struct vcpu *v, const struct script_item *item,
                           struct outcome *o)
{
    static const enum instruction_name names[VERB_COUNT] = {
        [VERB_invlpg] = INSTRUCTION_INVLPG,   [VERB_invpcid] = INSTRUCTION_INVPCID,
        [VERB_mov_cr3] = INSTRUCTION_MOV_CR3, [VERB_mov_cr0] = INSTRUCTION_MOV_CR0,
        [VERB_mov_cr4] = INSTRUCTION_MOV_CR4, [VERB_wrmsr_efer] = INSTRUCTION_WRMSR_EFER,
        [VERB_wrpkru] = INSTRUCTION_WRPKRU,
    };
    const struct instruction instruction = {.name = names[item->verb],
                                            .value = item->value,
                                            .type = item->type,
                                            .pcid = item->pcid,
                                            .gva = item->access.gva};
    struct door door = {m, v};
    if (item->verb == VERB_invpcid && !profile_has(&v->mmu->profile, FEATURE_invpcid)) {
        *o = (struct outcome){
            .kind = OUTCOME_FAULT, .vector = 6, .words = "the machine has no INVPCID"};
        return;
    }
    const char *fault = door_execute(&door, &instruction);
    door_settle(&door);
    if (fault)
        gp(o, fault);
}

/* What a hypervisor executes between an exit and the entry after it. */
static void do_hypervisor(const struct vcpu *v, const struct script_item *item, struct outcome *o)
{
    struct mmu *mmu = v->mmu;
    const char *fault = NULL;
    if (mmu->stages < 2)
        fault = "the VM has no second stage";
    else if (item->verb == VERB_invept)
        fault = mmu_invept(mmu, item->type, mmu->stage[1].root);
    else
        fault = mmu_invvpid(mmu, item->type, item->pcid ? item->pcid : mmu->vpid, item->access.gva);
    if (fault)
        stopped(o, fault);
}

/* What a hypervisor does while its guest is at something else. */
static void do_move(struct machine *m, const struct script_item *item, struct outcome *o)
{
    const struct technique *technique = technique_for(m, item->vm);
    struct door door = {m, schedule_vcpu(m, item->vm, 0)};
    enum move move = item->verb == VERB_drop ? MOVE_DROP : MOVE_WRITE_PROTECT;
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (!technique->move || m->vm[item->vm].config->second_stage_raw.given)
        stopped(o, "drop, write_protect: no hypervisor maps this VM's memory");
    else if ((item->gpa | item->length) & low_bits(FRAME_SHIFT) ||
             !vm_holds(m, item->vm, item->gpa, item->length))
        stopped(o, "drop, write_protect: not whole frames of the VM's memory");
    else
        technique->move(&door, move, item->gpa, item->length);
}

/* System calls of the item's process. */
static void do_guest(struct machine *m, struct vcpu *v, const struct script_item *item,
                     struct outcome *o)
{
    struct guest *g = &m->vm[item->vm].guest;
    struct door door = {m, v};
    struct port port = machine_port(&door);
    struct tally *t = &v->mmu->tally;
    gva_t gva = item->access.gva;
    bool done = true;
    switch (item->verb) {
    case VERB_map:
        tally_note(t, EVENT_MAP, item->map.gva, item->map.size);
        done = guest_map(g, &port, item->process, &item->map);
        break;
    case VERB_unmap:
        tally_note(t, EVENT_UNMAP, gva, item->length);
        done = guest_unmap(g, &port, item->process, gva, item->length);
        break;
    case VERB_protect:
        tally_note(t, EVENT_PROTECT, gva, item->length);
        done = guest_protect(g, &port, item->process, gva, item->length, item->map.rights);
        break;
    default: /* VERB_switch: vcpu_for has done it */
        break;
    }
    door_settle(&door);
    if (!done)
        stopped(o, "this computer is out of memory");
}

void machine_explain(struct machine *m, const struct script_item *item,
                     void (*attempt)(void *, const struct walk *, bool), void *self,
                     struct outcome *o)
{
    struct watcher watcher = {attempt, self};
    struct vcpu *v = vcpu_for(m, item);
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (v)
        do_access(m, v, item, attempt ? &watcher : NULL, o);
    else
        stopped(o, m->err.text);
}

void machine_do(struct machine *m, const struct script_item *item, struct outcome *o)
{
    if (item->verb == VERB_drop || item->verb == VERB_write_protect) {
        do_move(m, item, o);
        return;
    }
    struct vcpu *v = vcpu_for(m, item);
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (!v) {
        stopped(o, m->err.text);
        return;
    }
    switch (item->verb) {
    case VERB_access:
        do_access(m, v, item, NULL, o);
        break;
    case VERB_store:
        do_store(m, v, item, o);
        break;
    case VERB_map:
    case VERB_unmap:
    case VERB_protect:
    case VERB_switch:
        do_guest(m, v, item, o);
        break;
    case VERB_invept:
    case VERB_invvpid:
        do_hypervisor(v, item, o);
        break;
    case VERB_dump:
    case VERB_run:
        break;
    default:
        do_instruction(m, v, item, o);
    }
}

bool machine_peek(const struct machine *m, const struct script_item *item, struct walk *w)
{
    struct bus bus = {.mem = (struct mem *)&m->mem};
    const struct vcpu *v = &m->vcpu[0];
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == item->vm &&
            m->vcpu[i].number == item->process % m->vm[item->vm].config->vcpus)
            v = &m->vcpu[i];
    return mmu_peek(v->mmu, &bus, item->access.gva, kind_of(&item->access), w);
}
