#include "sim/backend/kvm/harness.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/format.h"
#include "sim/backend/kvm/device.h"
#include "sim/backend/kvm/layout.h"
#include "sim/backend/kvm/stats.h"
#include "sim/backend/kvm/touch.h"

enum {
    SECONDS = 10,
    SLOT_MEMORY = 0, /* KVM's memory slots */
    SLOT_HARNESS = 1,
    SHADOW_PAGES = 1 << 16, /* tables that KVM may keep at a time: none is ever recycled */
};

static const uint64_t GIB = (uint64_t)1 << 30, MIB_2 = (uint64_t)2 << 20;

struct harness {
    struct harness_config config;
    struct device device;
    int file;        /* the VM's memory */
    uint8_t *memory; /* the host's view */
    uint8_t *lent;   /* the same, as KVM has it */
    uint8_t *own;    /* HARNESS_BYTES */
    gpa_t base;      /* where those are in the VM */
    gva_t slot;      /* the first address of its slot */
    uint64_t entry;  /* of the top table */
    struct command *mailbox;
    struct header *header;
    size_t queued;
    bool started;
    struct touch *touch; /* with config.follow, once started */
    uint64_t *dirty;     /* with config.dirty */
    struct stats vm_stats, vcpu_stats;
    struct harness_counts zero; /* of the counts: what they were at the reset */
};

/* ---- making it ---- */

static bool fits(const struct harness_config *c, struct err *err)
{
    if (c->levels != 4 && c->levels != 5)
        return err_set(err, EXIT_USAGE, "%u levels of tables; KVM's guest has 4 or 5", c->levels);
    if (!c->memory || c->memory % 4096 || c->memory > (TABLES_MAX - 8) * GIB)
        return err_set(err, EXIT_USAGE, "memory of %llu bytes: pages of 4 KiB, %u GiB at most",
                       (unsigned long long)c->memory, TABLES_MAX - 8);
    if (c->slot >= 512)
        return err_set(err, EXIT_USAGE, "slot %u: a table has entries 0 to 511", c->slot);
    gpa_t root = c->registers.cr3 & ~(CR3_PCID | CR3_KEEP);
    if (root >= c->memory)
        return err_set(err, EXIT_USAGE, "CR3 %#llx: no memory is there",
                       (unsigned long long)c->registers.cr3);
    return true;
}

/* At an address with the low bits of the VM's own: Linux brings frames back by aligned groups. */
static uint8_t *map_aligned(int file, uint64_t bytes)
{
    uint8_t *room = mmap(NULL, bytes + MIB_2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return MAP_FAILED;
    uint64_t before = -(uintptr_t)room % MIB_2;
    uint8_t *at = mmap(room + before, bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_NORESERVE | MAP_FIXED, file, 0);
    if (before)
        munmap(room, before);
    munmap(room + before + bytes, MIB_2 - before);
    return at;
}

/* The same bytes twice: what the host reads and writes of them is none of the guest's faults. */
static bool make_memory(struct harness *h, struct err *err)
{
    const int both = PROT_READ | PROT_WRITE;
    const int shared = MAP_SHARED | MAP_NORESERVE;
    h->file = memfd_create("nestwalk", MFD_CLOEXEC);
    if (h->file >= 0 && ftruncate(h->file, (off_t)h->config.memory) == 0) {
        h->memory = mmap(NULL, h->config.memory, both, shared, h->file, 0);
        h->lent = map_aligned(h->file, h->config.memory);
        h->own = mmap(NULL, HARNESS_BYTES, both, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    int error = errno;
    h->memory = h->memory == MAP_FAILED ? NULL : h->memory;
    h->lent = h->lent == MAP_FAILED ? NULL : h->lent;
    h->own = h->own == MAP_FAILED ? NULL : h->own;
    if (!h->memory || !h->lent || !h->own)
        return err_set(err, EXIT_ENVIRONMENT, "memory of %llu bytes for a VM: %s",
                       (unsigned long long)h->config.memory, strerror(error));
    /* Large pages would hide which frames are used; not every kernel has them. */
    madvise(h->lent, h->config.memory, MADV_NOHUGEPAGE);
    madvise(h->own, HARNESS_BYTES, MADV_NOHUGEPAGE);
    return true;
}

/* A and D are set already, so that nobody writes into these tables. */
enum {
    TABLE = PTE_P | PTE_W | PTE_A,
    LARGE = TABLE | PTE_D | PTE_PS,
};

static uint64_t *table(struct harness *h, unsigned number)
{
    return (uint64_t *)(h->own + AT_TABLES) + number * 512;
}

static gpa_t table_gpa(const struct harness *h, unsigned number)
{
    return h->base + AT_TABLES + number * 4096;
}

static void map_large(uint64_t *entry, gpa_t gpa, uint64_t bytes, unsigned flags)
{
    for (uint64_t done = 0; done < bytes; done += MIB_2)
        entry[done / MIB_2] = (gpa + done) | LARGE | flags;
}

/* Behind the slot's entry: for 5 levels a table with one entry; one of 1 GiB entries; then one per
 * GiB mapped: supervisor alias, user alias, direct map. */
static void make_tables(struct harness *h)
{
    enum { TOP = 0, GIBS, SUPERVISOR, USER, DIRECT };
    h->entry = table_gpa(h, h->config.levels == 5 ? TOP : GIBS) | TABLE | PTE_U;
    table(h, TOP)[0] = table_gpa(h, GIBS) | TABLE | PTE_U;
    uint64_t *gib = table(h, GIBS);
    gib[0] = table_gpa(h, SUPERVISOR) | TABLE;
    map_large(table(h, SUPERVISOR), h->base, HARNESS_BYTES, 0);
    gib[USER_ALIAS / GIB] = table_gpa(h, USER) | TABLE | PTE_U;
    map_large(table(h, USER), h->base, HARNESS_BYTES, PTE_U);
    for (gpa_t gpa = 0; gpa < h->config.memory; gpa += GIB) {
        unsigned n = DIRECT + (unsigned)(gpa / GIB);
        gib[(DIRECT_MAP + gpa) / GIB] = table_gpa(h, n) | TABLE;
        uint64_t left = h->config.memory - gpa;
        map_large(table(h, n), gpa, left < GIB ? left : GIB, 0);
    }
}

/* Where something is in the guest's code, in bytes. */
static uint64_t in_guest(const unsigned char *at)
{
    return (uintptr_t)at - (uintptr_t)guest_begin;
}

/* Descriptors of 64-bit mode: Intel SDM vol. 3, 3.4.5, 6.14.1, 7.7. */
static void make_descriptors(struct harness *h)
{
    static const uint64_t segments[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff,
                                        0x00affb000000ffff, 0x00cff3000000ffff};
    uint64_t *gdt = (uint64_t *)(h->own + AT_GDT);
    memcpy(gdt, segments, sizeof segments);
    gva_t tss = h->slot + AT_TSS;
    gdt[GDT_TSS / 8] = 0x0000890000000067 | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56;
    gdt[GDT_TSS / 8 + 1] = tss >> 32;

    const unsigned ist1 = 36;
    gva_t stack = h->slot + AT_FAULT_STACK;
    memcpy(h->own + AT_TSS + ist1, &stack, sizeof stack);

    uint64_t *idt = (uint64_t *)(h->own + AT_IDT);
    for (unsigned v = 0; v < VECTORS; v++) {
        gva_t code = h->slot + AT_CODE + in_guest(guest_vectors) + v * VECTOR_BYTES;
        const uint64_t gate = v == 3 ? 0xee01 : 0x8e01; /* INT3 is for everybody */
        idt[2 * v] = (code & 0xffff) | GDT_CODE << 16 | gate << 32 | (code >> 16 & 0xffff) << 48;
        idt[2 * v + 1] = code >> 32;
    }
}

/* Which of CPUID's bits each control bit needs. Intel SDM vol. 2, CPUID. */
static bool features_are_there(struct harness *h, struct err *err)
{
    const struct registers *r = &h->config.registers;
    enum { EBX, ECX, EDX };
    const struct {
        const char *name;
        bool asked;
        uint32_t leaf;
        unsigned reg, bit;
    } needs[] = {
        {"NX", r->efer & EFER_NXE, 0x80000001, EDX, 20},
        {"SMEP", r->cr4 & CR4_SMEP, 7, EBX, 7},
        {"SMAP", r->cr4 & CR4_SMAP, 7, EBX, 20},
        {"protection keys", r->cr4 & CR4_PKE, 7, ECX, 3},
        {"5-level paging", r->cr4 & CR4_LA57, 7, ECX, 16},
        {"PCID", r->cr4 & CR4_PCIDE, 1, ECX, 17},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        const struct kvm_cpuid_entry2 *e = device_cpuid(&h->device, needs[i].leaf, 0);
        uint32_t value = !e                    ? 0
                         : needs[i].reg == EBX ? e->ebx
                         : needs[i].reg == ECX ? e->ecx
                                               : e->edx;
        if (needs[i].asked && !(value >> needs[i].bit & 1))
            return err_set(err, EXIT_ENVIRONMENT, "KVM here gives its guests no %s", needs[i].name);
    }
    return true;
}

static bool set_maxphyaddr(struct harness *h, struct err *err)
{
    struct kvm_cpuid_entry2 *e = device_cpuid(&h->device, 0x80000008, 0);
    unsigned has = e ? e->eax & 0xff : 36, wants = h->config.maxphyaddr;
    if (wants && (!e || wants > has))
        return err_set(err, EXIT_ENVIRONMENT,
                       "KVM's guests have %u bits of physical address, not %u", has, wants);
    if (wants)
        e->eax = (e->eax & ~0xffu) | wants;
    if ((h->base + HARNESS_BYTES - 1) >> (wants ? wants : has))
        return err_set(err, EXIT_USAGE, "memory of %llu bytes leaves no room below 2^%u",
                       (unsigned long long)h->config.memory, wants ? wants : has);
    return true;
}

static bool make_vm(struct harness *h, struct err *err)
{
    struct device *d = &h->device;
    if (!device_open(d, err) || !features_are_there(h, err) || !set_maxphyaddr(h, err) ||
        !make_memory(h, err))
        return false;
    if (!device_memory(d, SLOT_MEMORY, 0, h->config.memory, h->lent,
                       h->config.dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0, err) ||
        !device_memory(d, SLOT_HARNESS, h->base, HARNESS_BYTES, h->own, 0, err))
        return false;
    ioctl(d->vm, KVM_SET_NR_MMU_PAGES, SHADOW_PAGES); /* where it is unknown, the default will do */
    if (!device_vcpu(d, err))
        return false;
    stats_open(&h->vm_stats, d->vm); /* an old KVM has none: no counts, then */
    stats_open(&h->vcpu_stats, d->vcpu);
    return true;
}

static gva_t slot_address(const struct harness_config *c)
{
    unsigned bits = c->levels == 5 ? 57 : 48;
    return (gva_t)((int64_t)((uint64_t)c->slot << (bits - 9) << (64 - bits)) >> (64 - bits));
}

struct harness *harness_new(const struct harness_config *config, struct err *err)
{
    struct harness *h;
    if (!fits(config, err))
        return NULL;
    if (!(h = calloc(1, sizeof *h))) {
        err_set(err, EXIT_ENVIRONMENT, "no memory");
        return NULL;
    }
    h->file = h->device.kvm = h->device.vm = h->device.vcpu = h->vm_stats.file =
        h->vcpu_stats.file = -1;
    h->config = *config;
    h->config.seconds = config->seconds ? config->seconds : SECONDS;
    h->base = (config->memory + GIB - 1) / GIB * GIB;
    h->slot = slot_address(config);
    if (!make_vm(h, err)) {
        harness_free(h);
        return NULL;
    }
    memcpy(h->own + AT_CODE, guest_begin, in_guest(guest_end));
    h->mailbox = (struct command *)(h->own + AT_MAILBOX);
    h->header = (struct header *)(h->own + AT_HEADER);
    make_tables(h);
    make_descriptors(h);
    return h;
}

void harness_free(struct harness *h)
{
    if (!h)
        return;
    stats_close(&h->vm_stats);
    stats_close(&h->vcpu_stats);
    device_close(&h->device);
    touch_free(h->touch);
    free(h->dirty);
    if (h->memory)
        munmap(h->memory, h->config.memory);
    if (h->lent)
        munmap(h->lent, h->config.memory);
    if (h->own)
        munmap(h->own, HARNESS_BYTES);
    if (h->file >= 0)
        close(h->file);
    free(h);
}

/* ---- starting it ---- */

static void flat_segments(struct kvm_sregs *s)
{
    struct kvm_segment data = {
        .limit = ~0u, .selector = GDT_DATA, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    s->ds = s->es = s->fs = s->gs = s->ss = data;
    s->cs = data;
    s->cs.selector = GDT_CODE;
    s->cs.type = 11;
    s->cs.db = 0;
    s->cs.l = 1;
}

static bool set_registers(struct harness *h, struct err *err)
{
    const struct registers *r = &h->config.registers;
    struct kvm_sregs s;
    if (ioctl(h->device.vcpu, KVM_GET_SREGS, &s) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: reading registers: %s", strerror(errno));
    flat_segments(&s);
    s.gdt = (struct kvm_dtable){.base = h->slot + AT_GDT, .limit = GDT_TSS + 15};
    s.idt = (struct kvm_dtable){.base = h->slot + AT_IDT, .limit = VECTORS * 16 - 1};
    s.tr = (struct kvm_segment){
        .base = h->slot + AT_TSS, .limit = 0x67, .selector = GDT_TSS, .type = 11, .present = 1};
    s.cr0 = r->cr0;
    s.cr3 = r->cr3;
    s.cr4 = r->cr4;
    s.efer = r->efer | EFER_LMA;
    struct kvm_regs regs = {
        .rip = h->slot + AT_CODE + in_guest(guest_start), .rsp = h->slot + AT_STACK, .rflags = 2};
    if (ioctl(h->device.vcpu, KVM_SET_SREGS, &s) < 0 ||
        ioctl(h->device.vcpu, KVM_SET_REGS, &regs) < 0)
        return err_set(err, EXIT_ENVIRONMENT,
                       "/dev/kvm: it refuses CR0 %#llx, CR3 %#llx, CR4 %#llx, EFER %#llx: %s",
                       (unsigned long long)s.cr0, (unsigned long long)s.cr3,
                       (unsigned long long)s.cr4, (unsigned long long)s.efer, strerror(errno));
    h->header->pkru = r->pkru;
    h->header->pke = r->cr4 & CR4_PKE ? GUARD_PKE : 0;
    return true;
}

/* KVM has not walked the first root yet: the host may write into it. */
static bool start(struct harness *h, struct err *err)
{
    gpa_t root = h->config.registers.cr3 & ~(CR3_PCID | CR3_KEEP);
    uint64_t *entry = (uint64_t *)(h->memory + root) + h->config.slot;
    if (*entry && *entry != h->entry)
        return err_set(err, EXIT_USAGE, "entry %u of the top table at %#llx is in use: %#llx",
                       h->config.slot, (unsigned long long)root, (unsigned long long)*entry);
    *entry = h->entry;
    const struct touch_memory memory = {h->file, h->lent, h->memory, h->config.memory};
    if (h->config.follow && !h->touch && !(h->touch = touch_new(&memory, err)))
        return false;
    h->started = set_registers(h, err);
    return h->started;
}

/* ---- commands ---- */

uint8_t *harness_memory(struct harness *h)
{
    return h->memory;
}

struct command *harness_next(struct harness *h)
{
    if (h->queued == MAILBOX_COMMANDS - 1) /* the last is END */
        return NULL;
    struct command *c = &h->mailbox[h->queued++];
    *c = (struct command){0};
    return c;
}

bool harness_adopt(struct harness *h, gpa_t root)
{
    struct command *c = harness_next(h);
    if (c)
        *c = (struct command){
            .op = COMMAND_STORE, .size = 8, .gva = root + h->config.slot * 8, .value = h->entry};
    return c;
}

size_t harness_queued(const struct harness *h)
{
    return h->queued;
}

const struct command *harness_result(const struct harness *h, size_t i)
{
    return &h->mailbox[i];
}

/* ---- running ---- */

/* The command that the guest is at. */
static size_t current(const struct harness *h)
{
    return (h->header->current - AT_MAILBOX) % HARNESS_BYTES / sizeof(struct command);
}

static bool grief(struct harness *h, int reason, struct err *err)
{
    int error = errno;
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    ioctl(h->device.vcpu, KVM_GET_REGS, &regs);
    ioctl(h->device.vcpu, KVM_GET_SREGS, &sregs);
    const struct command *c = &h->mailbox[current(h)];
    char detail[64] = "";
    if (reason == DEVICE_FAILED)
        snprintf(detail, sizeof detail, ": %s", strerror(error));
    else if (reason == KVM_EXIT_INTERNAL_ERROR)
        snprintf(detail, sizeof detail, ", suberror %u", h->device.run->internal.suberror);
    else if (reason == DEVICE_TIMEOUT)
        snprintf(detail, sizeof detail, " after %u s", h->config.seconds);
    return err_set(err, EXIT_NO,
                   "the guest on KVM: %s%s (exit %d), at command %zu: op %u, CPL %u, size %u, "
                   "flags %#x, gva %#llx, value %#llx; RIP %#llx, RSP %#llx, RFLAGS %#llx, "
                   "CR0 %#llx, CR2 %#llx, CR3 %#llx, CR4 %#llx, EFER %#llx",
                   device_exit_name(reason), detail, reason, current(h), c->op, c->cpl, c->size,
                   c->flags, (unsigned long long)c->gva, (unsigned long long)c->value, regs.rip,
                   regs.rsp, regs.rflags, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.efer);
}

/* No memory is there: a read gives ones, a write is lost. */
static void answer_mmio(struct harness *h)
{
    struct kvm_run *run = h->device.run;
    if (!run->mmio.is_write)
        memset(run->mmio.data, 0xff, sizeof run->mmio.data);
    h->mailbox[current(h)].status = COMMAND_MMIO;
}

static bool run_to_end(struct harness *h, struct err *err)
{
    for (;;) {
        int reason = device_run(&h->device, h->config.seconds);
        const struct kvm_run *run = h->device.run;
        if (reason == KVM_EXIT_MMIO)
            answer_mmio(h);
        else if (reason == KVM_EXIT_IO && run->io.port == END_PORT &&
                 run->io.direction == KVM_EXIT_IO_OUT)
            return true;
        else
            return grief(h, reason, err);
    }
}

bool harness_run(struct harness *h, bool stop_at_fault, size_t *done, struct err *err)
{
    *done = 0;
    if (!h->started && !start(h, err))
        return false;
    h->mailbox[h->queued] = (struct command){.op = COMMAND_END};
    h->header->stop = stop_at_fault;
    if (!run_to_end(h, err))
        return false;
    size_t last = current(h); /* END, or with stop_at_fault what faulted */
    *done = last < h->queued ? last + 1 : last;
    for (size_t i = 0; i < *done; i++)
        if (!h->mailbox[i].status)
            h->mailbox[i].status = COMMAND_DONE;
    h->queued = 0;
    return true;
}

/* ---- what is seen of it ---- */

static int64_t read_count(const struct harness *h, const char *name)
{
    int64_t of_vcpu = stats_read(&h->vcpu_stats, name);
    return of_vcpu >= 0 ? of_vcpu : stats_read(&h->vm_stats, name);
}

static void read_counts(const struct harness *h, struct harness_counts *counts)
{
#define X(name) counts->name = read_count(h, #name);
    HARNESS_COUNTS(X)
#undef X
}

bool harness_counts_reset(struct harness *h, struct err *err)
{
    size_t done;
    assert(!h->queued);
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct command *c = harness_next(h);
        c->op = COMMAND_WARM;
        c->cpl = (uint8_t)cpl;
    }
    if (!harness_run(h, true, &done, err))
        return false;
    read_counts(h, &h->zero);
    return true;
}

void harness_counts(struct harness *h, struct harness_counts *counts)
{
    read_counts(h, counts);
#define X(name) counts->name -= counts->name >= 0 ? h->zero.name : 0;
    HARNESS_COUNTS(X)
#undef X
}

bool harness_drop(struct harness *h, gpa_t gpa, uint64_t bytes, struct err *err)
{
    bool dropped =
        h->touch ? touch_drop(h->touch, gpa, bytes) : !madvise(h->lent + gpa, bytes, MADV_DONTNEED);
    return dropped ||
           err_set(err, EXIT_ENVIRONMENT, "dropping memory of the VM: %s", strerror(errno));
}

struct touch *harness_touch(struct harness *h)
{
    return h->touch;
}

const uint64_t *harness_dirty(struct harness *h)
{
    size_t words = (h->config.memory / 4096 + 63) / 64;
    if (!h->dirty && !(h->dirty = calloc(words, sizeof *h->dirty)))
        return NULL;
    struct kvm_dirty_log log = {.slot = SLOT_MEMORY, .dirty_bitmap = h->dirty};
    return ioctl(h->device.vm, KVM_GET_DIRTY_LOG, &log) == 0 ? h->dirty : NULL;
}
