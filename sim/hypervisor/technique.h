/**
 * @file
 * A technique is what a mode does where the guest meets its hypervisor: when a walk refuses, when
 * the guest OS writes a word, when it executes an instruction that changes translations.
 *
 * native.c has no hypervisor; nested.c answers second stages; the others build tables of their own.
 * Each bills what it does as exits and work (core/event.h) through bill.h, unless the machine is
 * being set up.
 */
#ifndef SIM_HYPERVISOR_TECHNIQUE_H
#define SIM_HYPERVISOR_TECHNIQUE_H

#include "sim/parts.h"

/** What becomes of a refused walk. */
enum remedy {
    REMEDY_RETRY,   /**< the hypervisor has removed the cause: make the access again */
    REMEDY_EMULATE, /**< the hypervisor makes this one access in the guest's place */
    REMEDY_FAULT,   /**< it is the guest's own fault */
    REMEDY_EXIT,    /**< the hypervisor has no answer: the exit is the outcome */
    REMEDY_STOP,    /**< out of memory; machine_stop was called */
};

/** What a hypervisor does to its mappings of a VM's memory of its own accord; see moves.h. */
enum move {
    MOVE_DROP,          /**< takes them away; what is in the memory stays */
    MOVE_WRITE_PROTECT, /**< takes the right to write from them, until the next write */
};

struct technique {
    /** Makes what the VM's memory needs, before anything is in it. False with err set. */
    bool (*prepare)(struct machine *, unsigned vm, struct err *);
    /** Makes @p registers the vCPU's state, unbilled. NULL, or which rule forbids them. */
    const char *(*reset)(struct door *, const struct registers *);
    /**
     * Answers a refusal. For REMEDY_FAULT *guest is the refusal as the guest's own tables have it;
     * for REMEDY_EXIT *exit tells the rest; for REMEDY_EMULATE its address is the host's, good to
     * the end of the frame.
     */
    enum remedy (*refused)(struct door *, const struct access *, const struct refusal *,
                           struct refusal *guest, struct vm_exit *exit);
    /** The guest executes an instruction: NULL, or what makes it a #GP. */
    const char *(*execute)(struct door *, const struct instruction *);
    /** The guest OS reads a word of its memory, or of its table. NULL: as it stands there. */
    uint64_t (*load)(struct door *, gpa_t, unsigned size);
    /** The guest OS writes a word: of a table of @p level, or of data if 0. False: no memory. */
    bool (*store)(struct door *, gpa_t, uint64_t value, unsigned size, unsigned level);
    /** The guest OS goes back to its program: what it put off is done now. NULL: nothing is. */
    void (*settle)(struct door *);
    /** A program's write has reached memory; all in one frame. NULL: nobody needs to know. */
    void (*written)(struct door *, hpa_t, uint64_t bytes);
    /** Between accesses: how many may be made before it is asked again. NULL: any number. */
    uint64_t (*look_around)(struct door *);
    /** The hypervisor does so to whole frames, unnoticed by the guest. NULL: it can't. */
    void (*move)(struct door *, enum move, gpa_t, uint64_t bytes);
};

extern const struct technique technique_native, technique_nested, technique_shadow,
    technique_direct, technique_agile, technique_collapsed;

/** The technique of a mode, or NULL: it can't run yet. */
const struct technique *technique_of(enum mode);

/** What answers for a VM: its mode's technique, or that of a real hypervisor. */
const struct technique *technique_for(const struct machine *, unsigned vm);

/** Where a word of a VM's memory is in the host. False: it has no frame (and reads as zero). */
bool vm_reach(const struct machine *, unsigned vm, gpa_t, hpa_t *);

/** The gpa that an access found, also where the processor walks tables that lead to the host. */
gpa_t vm_gpa(const struct machine *, const struct vcpu *, const struct found *);

/** Whether a VM has such memory, backed or not. */
bool vm_holds(const struct machine *, unsigned vm, gpa_t, uint64_t bytes);

/** Writes a VM's memory from outside the guest, backed where need be. False: no memory. */
bool vm_write(struct door *, gpa_t, const void *bytes, uint64_t n);

/** Reads a VM's memory; what has no frame is zero. */
void vm_read(const struct machine *, unsigned vm, gpa_t, void *bytes, uint64_t n);

#endif
