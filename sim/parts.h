/**
 * @file
 * What the machine's own files share with each other and with nobody else.
 *
 * machine.c: its life; door.c: the port; schedule.c: whose access is next; access.c: one access,
 * completed; script.c: one script item; foresee.c: the future, for OPT; hypervisor/: what each mode
 * does behind the port and when a walk refuses.
 */
#ifndef SIM_PARTS_H
#define SIM_PARTS_H

#include "sim/machine.h"

/** What clones have in common: immutable but for the positions of the sources. */
struct shared {
    const struct machine_config *config;
    unsigned owners;
    unsigned phases;        /**< over all VMs and processes */
    struct source **traces; /**< by phase, NULL for generators */
    struct zipf **zipfs;    /**< by phase, NULL where not needed */
    struct future *futures; /**< by VM */
};

/** Whose guest acts, on which vCPU. Lives on the stack for one call into the guest. */
struct door {
    struct machine *machine;
    struct vcpu *vcpu;
};

extern const struct port_ops door_port;

static inline struct bus machine_bus(struct machine *m)
{
    return (struct bus){.mem = &m->mem, .llc = m->llc};
}

static inline struct port machine_port(struct door *door)
{
    return (struct port){.ops = &door_port, .self = door};
}

/** Watches the attempts of one access, for `walk`. */
struct watcher {
    void (*attempt)(void *self, const struct walk *, bool refused);
    void *self;
};

/** Where the parts of one access lie: it may cross into a second page, or more if it is long. */
struct pieces {
    unsigned n;
    struct piece {
        hpa_t hpa;
        uint64_t bytes;
    } piece[2]; /**< of the first two */
};

/**
 * Completes one access of the process whose tables are loaded: translates each page it touches,
 * has refusals answered, and repeats. @p begun: mmu_run has begun it, and @p w holds the refusal.
 */
void access_complete(struct machine *, struct vcpu *, const struct access *, bool begun,
                     struct walk *w, const struct watcher *, struct pieces *, struct outcome *);

/**
 * As access_complete, where the processor is real: its faults go to the guest OS, which is asked
 * by what they say. Value included, as the item has it.
 */
void access_on_real(struct machine *, struct vcpu *, const struct script_item *, struct outcome *);

/** Up to @p n accesses of one process on a real processor; returns how many were made. */
size_t access_run_on_real(struct machine *, struct vcpu *, const struct access *, size_t n);

/** A page was touched while a clone runs ahead, to foresee. False: no memory. */
bool foresee_touch(struct foresight *, unsigned process, uint64_t page);

/** Executes an instruction as the VM's mode has it. NULL, or what makes it a #GP. */
const char *door_execute(struct door *, const struct instruction *);

/** The guest writes a word that lies in one frame, of no table that it tells of. False: no. */
bool door_store(struct door *, gpa_t, uint64_t value, unsigned size);

/** The guest OS goes back to its program: see technique.settle. */
void door_settle(struct door *);

/** Loads a process's tables if they are not. False: no memory; m->err says so. */
bool schedule_switch(struct machine *, struct vcpu *, unsigned process);

/** The vCPU that a process of a VM runs on. */
struct vcpu *schedule_vcpu(struct machine *, unsigned vm, unsigned process);

/** Stops the machine. */
void machine_stop(struct machine *, enum exit_code, const char *words);

#endif
