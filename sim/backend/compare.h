/**
 * @file
 * What the model and KVM both know of a run, compared; and what was not compared, and why.
 */
#ifndef SIM_BACKEND_COMPARE_H
#define SIM_BACKEND_COMPARE_H

#include "sim/backend/backend.h"
#include "sim/backend/environment.h"

/** What is compared. Name, what it is. */
#define ASPECTS(X)                                                                                 \
    X(outcome, "ok or fault, vector, error code, CR2, value read, of each script item")            \
    X(memory, "all of the VM's memory at the end, A and D bits in its tables too")                 \
    X(faults, "the sequence of faults that reached the guest OS: address and error code")          \
    X(touched, "guest frames in the order of their first touch")                                   \
    X(written, "guest frames in the order of their first write")                                   \
    X(dirty, "the set of guest frames written")                                                    \
    X(returned, "guest frames that were dropped, in the order in which they came back")            \
    X(rewritten, "write-protected guest frames, in the order of their next write")                 \
    X(counts, "what the hypervisor counted: pf_taken, pf_guest, invlpg")

enum aspect {
#define X(name, what) ASPECT_##name,
    ASPECTS(X)
#undef X
        ASPECT_COUNT
};

const char *aspect_name(enum aspect);
const char *aspect_what(enum aspect);

/** One difference. */
struct difference {
    enum aspect aspect;
    uint64_t at;             /**< script item, gpa, position in the sequence, or gfn if dirty */
    char model[96], kvm[96]; /**< in words */
    struct seen_fault fault; /**< of a sequence of faults: the model's there, or else KVM's */
};

enum { DIFFERENCES_KEPT = 16 };

struct verdict {
    uint64_t accesses;               /**< that the model made */
    uint64_t compared[ASPECT_COUNT]; /**< how many items, words, faults, frames */
    uint64_t differing[ASPECT_COUNT];
    const char *skipped[ASPECT_COUNT]; /**< NULL: compared; else why not */
    uint64_t masked[MASK_COUNT];       /**< how many differences each mask explains */
    uint64_t in_reach[MASK_COUNT];     /**< how many items each mask could have touched */
    struct difference first[DIFFERENCES_KEPT];
    unsigned n_first;
};

/**
 * Compares. @p cold is what the model sees with every cache off (NULL: not known): where it differs
 * from @p model, a translation may be stale, and KVM may agree with either. Which frames are
 * touched and written, and what is counted, is not compared where one was. A sequence that parts is
 * a difference at each position from there on, of which the first is kept.
 */
void compare_observations(const struct scenario *, const struct environment *,
                          const struct observation *model, const struct observation *cold,
                          const struct observation *kvm, struct verdict *);

/** Whether nothing differs unexplained. */
bool verdict_agrees(const struct verdict *);

/** The model as a backend: the scenario in its own mode. */
extern struct backend backend_model;

/** The model with every TLB and structure cache off. */
extern struct backend backend_cold_model;

/** KVM. One VM, one vCPU, 4-level or 5-level tables. */
extern struct backend backend_kvm;

/**
 * Whether a scenario can run on KVM here, all its VMs' modes apart. NULL, or what forbids it in
 * words: "paging pae", "2 VMs", "the machine has no SMEP".
 */
const char *kvm_cannot(const struct scenario *, const struct environment *);

/** Gives a machine the features and the physical address width that guests have here. */
void environment_dress(const struct environment *, struct machine_config *);

#endif
