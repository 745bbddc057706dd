/*
 * The port of a guest OS: what its acts do to the machine, as the mode of its VM has it.
 */
#include "sim/hypervisor/technique.h"

static const struct technique *technique_here(const struct door *door)
{
    return technique_for(door->machine, door->vcpu->vm);
}

const char *door_execute(struct door *door, const struct instruction *instruction)
{
    return technique_here(door)->execute(door, instruction);
}

bool door_store(struct door *door, gpa_t at, uint64_t value, unsigned size)
{
    return technique_here(door)->store(door, at, value, size, 0);
}

void door_settle(struct door *door)
{
    const struct technique *technique = technique_here(door);
    if (technique->settle)
        technique->settle(door);
}

/* Tables that a script has edited may lead a guest OS to where its VM has no memory. */
static bool is_memory(const struct door *door, gpa_t at, unsigned size)
{
    return vm_holds(door->machine, door->vcpu->vm, at, size);
}

static uint64_t port_load(void *self, gpa_t at, unsigned size)
{
    const struct technique *technique = technique_here(self);
    const struct door *door = self;
    uint64_t word = 0;
    if (!is_memory(door, at, size))
        return 0;
    if (technique->load)
        return technique->load(self, at, size);
    vm_read(door->machine, door->vcpu->vm, at, &word, size);
    return word;
}

static void port_store(void *self, gpa_t at, uint64_t value, unsigned size, unsigned level)
{
    struct door *door = self;
    if (is_memory(door, at, size))
        technique_here(door)->store(door, at, value, size, level); /* else the machine stops */
    if (door->machine->billed)
        NOTE(&door->vcpu->mmu->tally, GUEST_STORE, 0, level, 0, at, value);
}

static void port_zero(void *self, gpa_t at, uint64_t bytes)
{
    const struct door *door = self;
    struct machine *m = door->machine;
    static const uint8_t zeroes[64];
    hpa_t host;
    if (m->real) {
        m->real->zero(m->real, at, bytes);
        return;
    }
    for (uint64_t done = 0, part; done < bytes; done += part) {
        bool whole = !((at + done) & (FRAME_BYTES - 1)) && bytes - done >= FRAME_BYTES;
        part = whole ? FRAME_BYTES : bytes - done < sizeof zeroes ? bytes - done : sizeof zeroes;
        if (!vm_reach(m, door->vcpu->vm, at + done, &host))
            continue; /* what has no frame is zero */
        if (whole)
            mem_clear_frame(&m->mem, host);
        else /* textbook pages are smaller than a frame */
            mem_write(&m->mem, host, zeroes, part);
    }
}

static void port_invlpg(void *self, gva_t gva)
{
    const struct door *door = self;
    struct machine *m = door->machine;
    for (unsigned i = 0; m->billed && i < m->n_vcpus; i++) {
        struct door there = {m, &m->vcpu[i]};
        if (m->vcpu[i].vm == door->vcpu->vm)
            door_execute(&there, &(struct instruction){.name = INSTRUCTION_INVLPG, .gva = gva});
    }
}

static void port_mov_cr3(void *self, uint64_t value)
{
    const struct instruction load = {.name = INSTRUCTION_MOV_CR3, .value = value};
    const struct door *door = self;
    const char *fault = door_execute(self, &load);
    if (fault) /* a script has edited the top table */
        machine_stop(door->machine, EXIT_NO, fault);
}

static void port_mov_cr4(void *self, uint64_t value)
{
    door_execute(self, &(struct instruction){.name = INSTRUCTION_MOV_CR4, .value = value});
}

static void port_invpcid(void *self, unsigned type, uint16_t pcid, gva_t gva)
{
    const struct instruction invpcid = {
        .name = INSTRUCTION_INVPCID, .type = type, .pcid = pcid, .gva = gva};
    door_execute(self, &invpcid);
}

/* No hypervisor offers calls to this guest OS beside those behind its stores. */
static uint64_t port_hypercall(void *self, unsigned number, const uint64_t *words, unsigned n)
{
    (void)self, (void)number, (void)words, (void)n;
    return UINT64_MAX;
}

/* Moves a page between a VM's memory and its backing store, in pieces that lie in one frame. */
static void move_page(struct door *door, gpa_t gpa, uint64_t slot, uint64_t bytes, bool in)
{
    struct machine *m = door->machine;
    struct mem *disk = &m->vm[door->vcpu->vm].disk;
    uint8_t buffer[512];
    if (!mem_holds(disk, slot * bytes, bytes)) {
        disk->exhausted |= !in;
        return;
    }
    for (uint64_t done = 0, part; done < bytes; done += part) {
        part = bytes - done < sizeof buffer ? bytes - done : sizeof buffer;
        if (in) {
            mem_read(disk, slot * bytes + done, buffer, part);
            vm_write(door, gpa + done, buffer, part);
        } else {
            vm_read(m, door->vcpu->vm, gpa + done, buffer, part);
            mem_write(disk, slot * bytes + done, buffer, part);
        }
    }
}

static void port_page_out(void *self, gpa_t from, uint64_t slot, uint64_t bytes)
{
    move_page(self, from, slot, bytes, false);
}

static void port_page_in(void *self, gpa_t to, uint64_t slot, uint64_t bytes)
{
    move_page(self, to, slot, bytes, true);
}

static void port_tell(void *self, unsigned event, gva_t gva, uint64_t value)
{
    const struct door *door = self;
    if (door->machine->billed)
        tally_note(&door->vcpu->mmu->tally, event, gva, value);
}

const struct port_ops door_port = {
    .load = port_load,
    .store = port_store,
    .zero = port_zero,
    .invlpg = port_invlpg,
    .mov_cr3 = port_mov_cr3,
    .mov_cr4 = port_mov_cr4,
    .invpcid = port_invpcid,
    .hypercall = port_hypercall,
    .page_out = port_page_out,
    .page_in = port_page_in,
    .tell = port_tell,
};
