/**
 * @file
 * The whole machine: memory, vCPUs, VMs with their guests, the workloads' positions, the clock.
 *
 * machine_run is the one way accesses happen: a step is a run of 1. It allocates only when a guest
 * OS maps something. A machine holds no pointer into itself, so that machine_clone copies flat
 * state and shares memory's frames; running, stepping and running a clone are the same code on the
 * same state, and end the same.
 *
 * Modelled: vCPUs taken in order of their clocks, or in turn, so that machines of different modes
 * make the same accesses in the same order; processes of a vCPU in turn, by quantum.
 * Simplified: an access is atomic; devices and interrupts do not exist. Not modelled: true
 * concurrency among vCPUs.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "core/mmu.h"
#include "sim/config.h"
#include "sim/err.h"
#include "sim/guest/guest.h"
#include "sim/hypervisor/agile.h"
#include "sim/hypervisor/host.h"
#include "sim/hypervisor/p2m.h"
#include "sim/hypervisor/shadow_pages.h"
#include "sim/workload/feed.h"

/** Whether VMs of a mode can run. */
bool machine_runs(enum mode);

/** What became of one access or verb. */
struct outcome {
    enum { OUTCOME_OK, OUTCOME_FAULT, OUTCOME_EXIT, OUTCOME_STOP } kind;
    gpa_t gpa;
    hpa_t hpa;
    uint64_t value; /**< read */
    bool has_value, has_gpa;
    unsigned vector; /**< 14 #PF, 13 #GP, 6 #UD */
    uint32_t error_code;
    gva_t cr2;
    unsigned level; /**< of the refusing entry */
    enum refusal_kind why;
    const char *words; /**< of a #GP or a stop: which rule */
    struct vm_exit {
        enum exit_reason reason;
        bool has_qualification;
        uint64_t qualification;
        uint64_t address; /**< gpa, or gva where there is none */
    } exit;               /**< that the hypervisor can't answer */
};

struct vcpu {
    struct mmu *mmu; /**< one block; owned */
    unsigned vm, number;
    bool idle;        /**< no process of its VM is left for it */
    unsigned feed;    /**< of the VM: whose accesses it makes now */
    int process;      /**< the guest process whose tables are loaded; -1: none */
    uint64_t quantum; /**< accesses left of it */
    uint64_t made;    /**< accesses of its workloads */
};

struct vm {
    const struct vm_config *config;
    struct guest guest; /**< unused in a raw VM */
    struct feed *feeds; /**< n_feeds; owned */
    unsigned n_feeds;
    struct mem disk; /**< the backing store of the guest */
    unsigned below;  /**< spaces under the guest's physical memory: 0 natively, 1, or 2 */
    struct p2m p2m[STAGES_MAX];                      /**< [depth], 1 to below: what is under each */
    struct second_stage_controls second[STAGES_MAX]; /**< [depth]: the processor's second stages */
    struct frames middle;  /**< memory of a hypervisor that is in a VM itself */
    uint64_t host_tables;  /**< bytes of tables that hypervisors made for it */
    struct direct *direct; /**< of mode direct: frame types, requests; owned; NULL: another mode */
    struct agile agile;    /**< of mode agile: which of the guest's tables are shadowed */
    struct shadow shadow;  /**< of mode shadow: the tables that the processor walks */
    uint64_t touches;      /**< pages accessed, with reclaim: the index into the future */
};

/** When reclaim is OPT: for each touch of a page, when that page is touched next. */
struct future {
    const uint64_t *next_use;
    uint64_t n;
    struct foresight *recording; /**< while a clone runs ahead: where touches are written down */
};

struct door;
struct technique;

/**
 * A processor with its hypervisor that is real, in place of core's and the techniques': one VM of
 * one vCPU runs on it, its guest OS being ours behind its port as ever. See sim/backend.
 */
struct real {
    const struct technique *technique; /**< prepare, reset, execute, store */
    /**
     * Makes accesses of the process whose tables are loaded, in order, until one faults; returns
     * how many were made, with OUTCOME_OK, or OUTCOME_FAULT for the one after them. May stop
     * earlier, having made at least one.
     */
    size_t (*run)(struct real *, struct door *, const struct access *, size_t n, struct outcome *);
    /** Makes the one access of a script item, value and all. */
    void (*access)(struct real *, struct door *, const struct script_item *, struct outcome *);
    void (*read)(struct real *, gpa_t, void *bytes, uint64_t n);
    void (*write)(struct real *, gpa_t, const void *bytes, uint64_t n); /**< never a table */
    void (*zero)(struct real *, gpa_t, uint64_t bytes); /**< what was never touched stays so */
};

struct shared; /**< configuration, tables and sources that clones share */

struct machine {
    struct shared *shared;
    struct real *real; /**< borrowed; NULL: all is modelled, and can be cloned */
    struct mem mem;
    struct host host; /**< whose frames are whose; unused without a hypervisor */
    struct memo *llc; /**< one block; owned; NULL: none */
    struct vcpu *vcpu;
    unsigned n_vcpus;
    struct vm *vm;
    unsigned n_vms;
    uint64_t accesses; /**< completed or given up, over all vCPUs */
    uint64_t signals;  /**< faults that a guest OS held its program guilty of */
    bool in_turn;      /**< the vCPU with the fewest accesses is next, whatever its clock says */
    bool billed;       /**< guest work costs and counts; off while maps are populated */
    bool finished;     /**< no workload has anything left */
    struct err err;    /**< why it stopped before that, if code is set */
};

/**
 * A machine as configured, with maps populated and every counter at zero. The configuration is
 * borrowed and must outlive the machine and its clones. Trace files of its workloads are opened.
 * NULL with err set.
 */
struct machine *machine_new(const struct machine_config *, struct err *);

/** As machine_new, with @p traces (by VM, process, phase in order; NULL for generators) in place of
 * opening files; the sources become the machine's. */
struct machine *machine_new_with(const struct machine_config *, struct source **traces,
                                 struct err *);

/** As machine_new_with, on a real processor and hypervisor, which must outlive the machine. Its
 * accesses happen there; it has no clone and no walk to look at. */
struct machine *machine_new_on(const struct machine_config *, struct source **traces, struct real *,
                               struct err *);

void machine_free(struct machine *);

/** A copy that goes on alike. NULL: no memory. Cost: the flat state, not the memory. */
struct machine *machine_clone(const struct machine *);

/**
 * Has the page of @p gva there before the run, unbilled, in the address space of a feed's process
 * @p number: the guest OS maps it, and a hypervisor backs it, as if it had been read. Caches and
 * counts are machine_begin's. False: no memory is left for it (err says whose unless it is the
 * VM's). Not with reclaim, which counts what is touched.
 */
bool machine_prefault(struct machine *, unsigned vm, unsigned feed, uint16_t number, gva_t gva);

/** Ends setting up: first processes loaded, caches empty, counts zero. False with err set. */
bool machine_begin(struct machine *);

/** Sets everything that is counted, clocks included, to zero. */
void machine_reset_counts(struct machine *);

/** Runs the workloads for up to @p n accesses; returns how many were made. See finished and err. */
uint64_t machine_run(struct machine *, uint64_t n);

/** As machine_run, until the lowest clock reaches @p cycles. */
uint64_t machine_run_until(struct machine *, uint64_t n, cycles_t cycles);

/** The lowest clock of a vCPU that still has work, or the highest clock if none has. */
cycles_t machine_clock(const struct machine *);

/** Does one script item that is not `run`; writes what became of it. */
void machine_do(struct machine *, const struct script_item *, struct outcome *);

/**
 * Explains one access: as machine_do for an access, but leaves each attempt's walk to @p attempt,
 * called after each one with the fault the guest OS answered, if it was refused and will be
 * repeated. Used by `walk`.
 */
void machine_explain(struct machine *, const struct script_item *,
                     void (*attempt)(void *self, const struct walk *, bool refused), void *self,
                     struct outcome *);

/** Where an access would lead, changing nothing. */
bool machine_peek(const struct machine *, const struct script_item *, struct walk *);

/** Sum of all vCPUs of a VM. */
void machine_tally(const struct machine *, unsigned vm, struct tally *sum);

/** Attaches a log to every vCPU; NULL takes it off. Borrowed. */
void machine_watch(struct machine *, const struct sink *);

/** @p count 8-byte words of a VM's memory from @p gpa. False: not all of them exist. */
bool machine_dump(const struct machine *, unsigned vm, gpa_t gpa, uint64_t *words, uint64_t count);

/** Empties every cache of every vCPU. */
void machine_cool(struct machine *);

#endif
