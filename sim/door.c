/*
 * The native port: what a guest OS's acts do to a machine without a hypervisor. A gpa is the hpa.
 */
#include <assert.h>

#include "sim/parts.h"

static uint64_t port_load(void *self, gpa_t at, unsigned size)
{
    const struct door *door = self;
    return mem_load(&door->machine->mem, at, size);
}

static void port_store(void *self, gpa_t at, uint64_t value, unsigned size, unsigned level)
{
    const struct door *door = self;
    mem_store(&door->machine->mem, at, value, size);
    if (door->machine->billed)
        NOTE(&door->vcpu->mmu->tally, GUEST_STORE, 0, level, 0, at, value);
}

static void port_zero(void *self, gpa_t at, uint64_t bytes)
{
    struct machine *m = ((const struct door *)self)->machine;
    static const uint8_t zeroes[64];
    for (uint64_t done = 0; done < bytes;) {
        if (!((at + done) & (FRAME_BYTES - 1)) && bytes - done >= FRAME_BYTES) {
            mem_clear_frame(&m->mem, at + done);
            done += FRAME_BYTES;
        } else { /* textbook pages are smaller than a frame */
            uint64_t part = bytes - done < sizeof zeroes ? bytes - done : sizeof zeroes;
            mem_write(&m->mem, at + done, zeroes, part);
            done += part;
        }
    }
}

static void port_invlpg(void *self, gva_t gva)
{
    const struct door *door = self;
    struct machine *m = door->machine;
    for (unsigned i = 0; m->billed && i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == door->vcpu->vm)
            mmu_invlpg(m->vcpu[i].mmu, gva);
}

static void port_mov_cr3(void *self, uint64_t value)
{
    const struct door *door = self;
    struct bus bus = machine_bus(door->machine);
    const char *fault = mmu_mov_cr3(door->vcpu->mmu, &bus, value);
    assert(!fault);
    (void)fault;
}

static void port_mov_cr4(void *self, uint64_t value)
{
    const struct door *door = self;
    struct bus bus = machine_bus(door->machine);
    mmu_mov_cr4(door->vcpu->mmu, &bus, value);
}

static void port_invpcid(void *self, unsigned type, uint16_t pcid, gva_t gva)
{
    const struct door *door = self;
    mmu_invpcid(door->vcpu->mmu, type, pcid, gva);
}

/* Natively there is no hypervisor to call. */
static uint64_t port_hypercall(void *self, unsigned number, const uint64_t *words, unsigned n)
{
    (void)self, (void)number, (void)words, (void)n;
    return UINT64_MAX;
}

static void copy(struct mem *to, hpa_t to_at, const struct mem *from, hpa_t from_at, uint64_t bytes)
{
    uint8_t buffer[512];
    for (uint64_t done = 0; done < bytes; done += sizeof buffer) {
        uint64_t part = bytes - done < sizeof buffer ? bytes - done : sizeof buffer;
        mem_read(from, from_at + done, buffer, part);
        mem_write(to, to_at + done, buffer, part);
    }
}

static void port_page_out(void *self, gpa_t from, uint64_t slot, uint64_t bytes)
{
    const struct door *door = self;
    struct mem *disk = &door->machine->vm[door->vcpu->vm].disk;
    if (mem_holds(disk, slot * bytes, bytes))
        copy(disk, slot * bytes, &door->machine->mem, from, bytes);
    else
        disk->exhausted = true;
}

static void port_page_in(void *self, gpa_t to, uint64_t slot, uint64_t bytes)
{
    const struct door *door = self;
    struct mem *disk = &door->machine->vm[door->vcpu->vm].disk;
    if (mem_holds(disk, slot * bytes, bytes))
        copy(&door->machine->mem, to, disk, slot * bytes, bytes);
}

static void port_tell(void *self, unsigned event, gva_t gva, uint64_t value)
{
    const struct door *door = self;
    if (door->machine->billed)
        tally_note(&door->vcpu->mmu->tally, event, gva, value);
}

const struct port_ops native_port = {
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
