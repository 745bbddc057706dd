/**
 * @file
 * Where a scenario runs on real KVM: which hypervisor, which technique, what its guests may use,
 * and in what it is known to differ from the manual. Found by asking it, not by its name.
 */
#ifndef SIM_BACKEND_ENVIRONMENT_H
#define SIM_BACKEND_ENVIRONMENT_H

#include "core/profile.h"
#include "sim/err.h"

/**
 * What is not compared, where an environment is known to differ. Each is as narrow as its reason;
 * docs/VALIDATION.md has the smallest scenario that shows it. Name, what it hides and why.
 */
#define MASKS(X)                                                                                   \
    X(reserved_present, "bit P of an error code with RSVD: the emulator leaves it 0")              \
    X(smap_write_protect,                                                                          \
      "a supervisor access to a user page that SMAP should refuse, with CR0.WP = 0: "              \
      "KVM's shadow tables let it through once a write was allowed")                               \
    X(top_entry_256, "user accesses behind entry 256 of the top table: KVM-PVM keeps it")          \
    X(accessed_of_refused, "bit A in entries that a refused walk read: the manual allows both")    \
    X(stale, "what a translation not yet invalidated gives, old or new: the manual allows both")

enum mask {
#define X(name, why) MASK_##name,
    MASKS(X)
#undef X
        MASK_COUNT
};

const char *mask_name(enum mask); /**< "reserved-present", ... */
const char *mask_why(enum mask);

/** CPU features of guests that scenarios can ask for. */
#define GUEST_FEATURES(X) X(nx) X(page_1gib) X(smep) X(smap) X(pku) X(la57) X(pcid) X(invpcid)

struct environment {
    bool nested;              /**< KVM uses a second stage; else shadow tables */
    bool npt;                 /**< and that is AMD's, else Intel's */
    char driver[32];          /**< "kvm_amd npt=1", "kvm_intel ept=1", "kvm_pvm" */
    char kernel[96];          /**< uname -r */
    char machine[96];         /**< "QEMU TCG", "bare metal", as far as can be seen */
    unsigned maxphyaddr;      /**< of guests */
    bool emulates_supervisor; /**< code at CPL 0 is emulated: its accesses take no shadow fault */
    struct {
#define X(name) bool name;
        GUEST_FEATURES(X)
#undef X
    } has;
    bool mask[MASK_COUNT]; /**< which apply here */
};

/** Asks /dev/kvm. False with err EXIT_ENVIRONMENT: there is none that can be used, and why. */
bool environment_probe(struct environment *, struct err *);

#endif
