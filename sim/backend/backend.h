/**
 * @file
 * A backend runs a scenario and says what it saw. There are two: the model, and the kernel's own
 * hypervisor on a real vCPU. Neither knows of the other; compare.h reads both.
 *
 * An observation is plain data, in the order in which things happened, and says of each of its
 * parts whether that backend can know it.
 */
#ifndef SIM_BACKEND_BACKEND_H
#define SIM_BACKEND_BACKEND_H

#include "sim/machine.h"

/** A fault that came to the guest OS, or was the outcome of an access of a raw VM. */
struct seen_fault {
    uint64_t access; /**< how many accesses were made before it */
    gva_t cr2;
    uint32_t error_code;
    uint8_t vector;
};

/** What the hypervisor itself counted; KVM's names. Of the model, what its technique billed. */
#define SEEN_COUNTS(X)                                                                             \
    X(pf_taken, "page faults and second-stage violations that reached the hypervisor")             \
    X(pf_guest, "page faults that it handed on to the guest")                                      \
    X(invlpg, "INVLPG that it emulated")                                                           \
    X(exits, "exits, those for interrupts apart")

enum seen_count {
#define X(name, help) SEEN_##name,
    SEEN_COUNTS(X)
#undef X
        SEEN_COUNT_COUNT
};

/** Numbers in the order in which they came; grows by seen_add. */
struct seen_list {
    uint64_t *word;
    size_t n, room;
};

/** What one backend saw of one run. */
struct observation {
    bool has_outcomes, has_memory, has_faults, has_order, has_dirty, has_counts;
    struct outcome *outcome; /**< one per script item, in order; n_outcomes */
    size_t n_outcomes;
    uint8_t *memory; /**< all of the VM's memory at the end, n_memory bytes; A and D bits too */
    size_t n_memory;
    struct seen_fault *fault; /**< in order; n_faults */
    size_t n_faults, room_faults;
    struct seen_list touched;   /**< guest frames, in the order of their first touch */
    struct seen_list written;   /**< guest frames, in the order of their first write */
    struct seen_list returned;  /**< frames that came back after they were dropped, in order */
    struct seen_list rewritten; /**< write-protected frames, in the order of their next write */
    struct seen_list dirty;     /**< guest frames written at all, ascending */
    struct seen_list roots;     /**< of them all, top tables: on KVM the harness writes them too */
    struct seen_list refused; /**< gpa of each entry that a faulting walk read: A may be set there;
                                 ascending, each once */
    uint64_t count[SEEN_COUNT_COUNT];
    uint64_t accesses;
    uint64_t stores;      /**< words that the guest OS or the script stored, at CPL 0 */
    uint64_t late_stores; /**< of them, after frames were dropped */
};

struct backend {
    const char *name; /**< "model", "kvm" */
    /**
     * Runs @p scenario from its first item to its workloads' end and fills @p seen, which is the
     * caller's to give back with observation_fini, also after false. False with err set when it
     * could not run to the end: EXIT_ENVIRONMENT where something is lacking here, EXIT_USAGE where
     * the scenario is nothing for this backend, EXIT_NO where its guest came to grief.
     */
    bool (*run)(struct backend *, const struct scenario *, struct observation *seen, struct err *);
    const volatile int *stop; /**< not 0: the run is to end early, as a failure; NULL: never */
    void *self;
};

/** Whether it was asked to stop; then with err set. */
bool backend_stopped(const struct backend *, struct err *);

void observation_fini(struct observation *);

/** Adds a word to a list. False: no memory. */
bool seen_add(struct seen_list *, uint64_t word);

/** Puts a list in ascending order, each word once. */
void seen_sort(struct seen_list *);

/** Whether a list in ascending order has a word. */
bool seen_has(const struct seen_list *, uint64_t word);

/** Adds a fault. False: no memory. */
bool seen_fault(struct observation *, uint64_t access, const struct outcome *);

#endif
