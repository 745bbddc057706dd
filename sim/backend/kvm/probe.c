/* What KVM is here: asked of its CPUID, of /sys, and of a guest that makes accesses whose outcome
 * the manual tells, and some whose outcome it does not. */
#include "sim/backend/environment.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/format.h"
#include "sim/backend/kvm/device.h"
#include "sim/backend/kvm/harness.h"

/* ---- what it says of itself ---- */

static void ask_cpuid(struct device *d, struct environment *env)
{
    const struct kvm_cpuid_entry2 *one = device_cpuid(d, 1, 0), *seven = device_cpuid(d, 7, 0),
                                  *extended = device_cpuid(d, 0x80000001, 0),
                                  *sizes = device_cpuid(d, 0x80000008, 0);
    uint32_t ecx1 = one ? one->ecx : 0, ebx7 = seven ? seven->ebx : 0,
             ecx7 = seven ? seven->ecx : 0, edx = extended ? extended->edx : 0;
    env->has.nx = edx >> 20 & 1;
    env->has.page_1gib = edx >> 26 & 1;
    env->has.pcid = ecx1 >> 17 & 1;
    env->has.smep = ebx7 >> 7 & 1;
    env->has.invpcid = ebx7 >> 10 & 1;
    env->has.smap = ebx7 >> 20 & 1;
    env->has.pku = ecx7 >> 3 & 1;
    env->has.la57 = ecx7 >> 16 & 1;
    env->maxphyaddr = sizes ? sizes->eax & 0xff : 36;
}

/* The first word of a file. False: there is none. */
static bool read_word(const char *path, char word[64])
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool read = fscanf(f, "%63[^\n]", word) == 1;
    fclose(f);
    return read;
}

static void name_driver(struct environment *env)
{
    char word[64];
    strcpy(env->driver, "an unknown driver");
    if (read_word("/sys/module/kvm_intel/parameters/ept", word))
        snprintf(env->driver, sizeof env->driver, "kvm_intel ept=%d", strchr("Y1", *word) != NULL);
    env->npt = read_word("/sys/module/kvm_amd/parameters/npt", word);
    if (env->npt)
        snprintf(env->driver, sizeof env->driver, "kvm_amd npt=%d", strchr("Y1", *word) != NULL);
    if (access("/sys/module/kvm_pvm", F_OK) == 0)
        strcpy(env->driver, "kvm_pvm");
}

/* Who runs this computer: leaf 0x40000000, where a hypervisor is. */
static void name_machine(struct environment *env)
{
    unsigned eax, ebx = 0, ecx = 0, edx = 0;
    char maker[13] = "", board[64] = "", version[64] = "";
    const char *kind = "bare metal";
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx >> 31) {
        __cpuid(0x40000000, eax, ebx, ecx, edx);
        memcpy(maker, &ebx, 4);
        memcpy(maker + 4, &ecx, 4);
        memcpy(maker + 8, &edx, 4);
        kind = strcmp(maker, "TCGTCGTCGTCG") == 0   ? "QEMU TCG"
               : strcmp(maker, "KVMKVMKVM") == 0    ? "a VM on KVM"
               : strcmp(maker, "Microsoft Hv") == 0 ? "a VM on Hyper-V"
               : strcmp(maker, "VMwareVMware") == 0 ? "a VM on VMware"
                                                    : "a VM";
    }
    read_word("/sys/class/dmi/id/sys_vendor", board);
    read_word("/sys/class/dmi/id/product_version", version);
    snprintf(env->machine, sizeof env->machine, *board ? "%s (%s%s%s)" : "%s", kind, board,
             *version ? " " : "", version);
}

static void ask_system(struct environment *env)
{
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(env->kernel, sizeof env->kernel, "%s", name.release);
    name_driver(env);
    name_machine(env);
}

/* ---- a guest that is asked ---- */

enum {
    TOP = 0x1000, /* tables */
    LEVEL_3 = 0x2000,
    LEVEL_2 = 0x3000,
    LEVEL_1 = 0x4000,
    REFUSED = 0x5000, /* three more, which only a refused access uses */
    FRAMES = 0x100000,
    MEMORY = 0x400000,
    SLOT = 255,
    FRESH = 64, /* pages that nobody uses but one probe, as many from here on */
    N_FRESH = 16,
};

/* Pages by number, and what is special about each. */
enum page { PLAIN, READ_ONLY, SUPERVISOR, NO_EXEC, ABSENT, HOLE, RESERVED, KEYED, FRESH_PAGE };

static const gva_t behind_refused = (gva_t)1 << 39, behind_256 = 0xffff800000000000,
                   not_canonical = (gva_t)1 << 47;

struct probe {
    struct harness *h;
    struct environment *env;
    struct err *err;
    uint64_t cr0, cr4;
};

static uint64_t *entry(struct probe *p, gpa_t table, unsigned i)
{
    return (uint64_t *)(harness_memory(p->h) + table) + i;
}

static void make_tables(struct probe *p)
{
    const uint64_t link = PTE_P | PTE_W | PTE_U;
    *entry(p, TOP, 0) = *entry(p, TOP, 256) = LEVEL_3 | link;
    *entry(p, LEVEL_3, 0) = LEVEL_2 | link;
    *entry(p, LEVEL_2, 0) = LEVEL_1 | link;
    for (unsigned i = 0; i < 512; i++)
        *entry(p, LEVEL_1, i) = (FRAMES + i * 4096) | link;
    *entry(p, LEVEL_1, READ_ONLY) &= ~PTE_W;
    *entry(p, LEVEL_1, SUPERVISOR) &= ~PTE_U;
    *entry(p, LEVEL_1, NO_EXEC) |= p->env->has.nx ? PTE_NX : 0;
    *entry(p, LEVEL_1, ABSENT) = 0;
    *entry(p, LEVEL_1, HOLE) = (uint64_t)MEMORY | link;
    *entry(p, LEVEL_1, RESERVED) |= (uint64_t)1 << (p->env->maxphyaddr < 52 ? 51 : 0);
    *entry(p, LEVEL_1, KEYED) |= (uint64_t)1 << PTE_PK_SHIFT;
    *entry(p, TOP, 1) = REFUSED | link;
    *entry(p, REFUSED, 0) = (REFUSED + 0x1000) | link;
    *entry(p, REFUSED + 0x1000, 0) = (REFUSED + 0x2000) | link;
}

static struct command *ask(struct probe *p, unsigned op, unsigned cpl, gva_t gva)
{
    struct command *c = harness_next(p->h);
    c->op = (uint8_t)op;
    c->cpl = (uint8_t)cpl;
    c->size = 8;
    c->gva = gva;
    return c;
}

static void set(struct probe *p, unsigned op, uint64_t value)
{
    ask(p, op, 0, 0)->value = value;
}

static bool go(struct probe *p)
{
    size_t done;
    return harness_run(p->h, false, &done, p->err);
}

/* ---- what the manual tells: Intel SDM vol. 3, 4.6 and 4.7 ---- */

struct trial {
    uint8_t op, page;
    uint8_t status[2]; /* at CPL 0, at CPL 3 */
    uint8_t error[2];
};

#define BOTH(x)                                                                                    \
    {                                                                                              \
        x, x                                                                                       \
    }
#define OK BOTH(COMMAND_DONE), BOTH(0)
#define NO(at_0, at_3)                                                                             \
    BOTH(COMMAND_FAULT),                                                                           \
    {                                                                                              \
        at_0, at_3                                                                                 \
    }
#define ONLY_0(at_3)                                                                               \
    {COMMAND_DONE, COMMAND_FAULT},                                                                 \
    {                                                                                              \
        0, at_3                                                                                    \
    }

static const struct trial trials[] = {
    {COMMAND_READ, PLAIN, OK},
    {COMMAND_WRITE, PLAIN, OK},
    {COMMAND_TOUCH, PLAIN, OK},
    {COMMAND_EXEC, PLAIN, OK},
    {COMMAND_READ, READ_ONLY, OK},
    {COMMAND_WRITE, READ_ONLY, NO(3, 7)},
    {COMMAND_TOUCH, READ_ONLY, NO(3, 7)},
    {COMMAND_EXEC, READ_ONLY, OK},
    {COMMAND_READ, SUPERVISOR, ONLY_0(5)},
    {COMMAND_WRITE, SUPERVISOR, ONLY_0(7)},
    {COMMAND_EXEC, SUPERVISOR, ONLY_0(0x15)},
    {COMMAND_READ, NO_EXEC, OK},
    {COMMAND_EXEC, NO_EXEC, NO(0x11, 0x15)},
    {COMMAND_READ, ABSENT, NO(0, 4)},
    {COMMAND_WRITE, ABSENT, NO(2, 6)},
    {COMMAND_TOUCH, ABSENT, NO(2, 6)},
    {COMMAND_EXEC, ABSENT, NO(0x10, 0x14)},
    {COMMAND_READ, HOLE, BOTH(COMMAND_MMIO), BOTH(0)},
};
enum { N_TRIALS = sizeof trials / sizeof *trials };

/* Without NX there is no bit I in an error code, and every page is executable. */
static bool as_told(const struct probe *p, const struct trial *t, unsigned at,
                    const struct command *c)
{
    uint32_t error = t->error[at];
    if (!p->env->has.nx && t->op == COMMAND_EXEC)
        error &= ~0x10u;
    if (!p->env->has.nx && t->page == NO_EXEC)
        return c->status == COMMAND_DONE;
    return c->status == t->status[at] &&
           (c->status != COMMAND_FAULT ||
            (c->vector == 14 && c->error_code == error && c->cr2 == c->gva));
}

static bool self_test(struct probe *p)
{
    for (unsigned i = 0; i < N_TRIALS; i++)
        for (unsigned cpl = 0; cpl <= 3; cpl += 3)
            ask(p, trials[i].op, cpl, trials[i].page * 4096u);
    for (unsigned cpl = 0; cpl <= 3; cpl += 3)
        ask(p, COMMAND_READ, cpl, not_canonical);
    if (!go(p))
        return false;
    for (unsigned i = 0; i < N_TRIALS * 2 + 2; i++) {
        const struct command *c = harness_result(p->h, i);
        bool right = i < N_TRIALS * 2 ? as_told(p, &trials[i / 2], i % 2, c)
                                      : c->status == COMMAND_FAULT && c->vector == 13;
        if (!right)
            return err_set(p->err, EXIT_ENVIRONMENT,
                           "KVM here is not to be relied on: command %u at CPL %u, address %#llx, "
                           "ended with status %u, vector %u, error code %#x, CR2 %#llx",
                           c->op, c->cpl, (unsigned long long)c->gva, c->status, c->vector,
                           c->error_code, (unsigned long long)c->cr2);
    }
    return true;
}

/* ---- what is found out ---- */

/* Only shadow paging has the hypervisor see the guest's own page faults. An old KVM does not count
 * them: then its parameter has to be believed. */
static bool find_paging(struct probe *p)
{
    struct harness_counts counts;
    if (!harness_counts_reset(p->h, p->err))
        return false;
    ask(p, COMMAND_READ, 3, ABSENT * 4096);
    if (!go(p))
        return false;
    harness_counts(p->h, &counts);
    p->env->nested =
        counts.pf_guest >= 0 ? counts.pf_guest == 0 : strstr(p->env->driver, "=1") != NULL;
    for (unsigned i = 0; i < N_FRESH; i++)
        ask(p, COMMAND_READ, 0, (FRESH + i) * 4096);
    int64_t before = counts.pf_taken;
    if (!go(p))
        return false;
    harness_counts(p->h, &counts);
    p->env->emulates_supervisor = !p->env->nested && counts.pf_taken - before < N_FRESH;
    return true;
}

static bool faulted(const struct probe *p, size_t i)
{
    return harness_result(p->h, i)->status == COMMAND_FAULT;
}

/* Reserved bits, the top table's entry 256, and what a refused walk leaves behind. */
static bool find_deviations(struct probe *p)
{
    bool *mask = p->env->mask;
    ask(p, COMMAND_READ, 3, RESERVED * 4096);
    ask(p, COMMAND_READ, 3, behind_256 + PLAIN * 4096);
    ask(p, COMMAND_READ, 3, behind_refused);
    if (!go(p))
        return false;
    uint32_t error = harness_result(p->h, 0)->error_code;
    mask[MASK_reserved_present] = faulted(p, 0) && (error & 9) == 8;
    mask[MASK_top_entry_256] = faulted(p, 1);
    /* A walker in silicon or in an emulator may set A at once, and not each time alike. */
    mask[MASK_accessed_of_refused] =
        p->env->nested ||
        (*entry(p, TOP, 1) | *entry(p, REFUSED, 0) | *entry(p, REFUSED + 0x1000, 0)) & PTE_A;
    mask[MASK_stale] = true;
    return true;
}

/* With CR0.WP = 0 an allowed write to a read-only user page, then a read that SMAP refuses. */
static bool find_smap_write_protect(struct probe *p)
{
    if (!p->env->has.smap)
        return true;
    set(p, COMMAND_CR0, p->cr0 & ~CR0_WP);
    set(p, COMMAND_CR4, p->cr4 | CR4_SMAP);
    ask(p, COMMAND_WRITE, 0, READ_ONLY * 4096)->flags = COMMAND_AC;
    ask(p, COMMAND_READ, 0, READ_ONLY * 4096);
    set(p, COMMAND_CR4, p->cr4);
    set(p, COMMAND_CR0, p->cr0);
    if (!go(p))
        return false;
    p->env->mask[MASK_smap_write_protect] = !faulted(p, 3);
    return true;
}

static bool find_out(struct probe *p)
{
    make_tables(p);
    return self_test(p) && find_paging(p) && find_deviations(p) && find_smap_write_protect(p);
}

bool environment_probe(struct environment *env, struct err *err)
{
    struct device device;
    *env = (struct environment){0};
    bool opened = device_open(&device, err);
    if (opened)
        ask_cpuid(&device, env);
    device_close(&device);
    if (!opened)
        return false;
    ask_system(env);
    struct probe p = {.env = env, .err = err, .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr4 = CR4_PAE};
    struct harness_config config = {
        .memory = MEMORY,
        .levels = 4,
        .slot = SLOT,
        .registers = {.cr0 = p.cr0,
                      .cr3 = TOP,
                      .cr4 = p.cr4,
                      .efer = EFER_LME | (env->has.nx ? EFER_NXE : 0)},
    };
    if (!(p.h = harness_new(&config, err)))
        return false;
    bool found = find_out(&p);
    harness_free(p.h);
    if (!found)
        err->code = EXIT_ENVIRONMENT; /* whatever the guest came to: KVM is of no use here */
    return found;
}
