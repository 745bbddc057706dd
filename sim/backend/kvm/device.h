/**
 * @file
 * /dev/kvm: one VM with one vCPU, as the kernel offers it. Knows nothing of what runs in it.
 */
#ifndef SIM_BACKEND_KVM_DEVICE_H
#define SIM_BACKEND_KVM_DEVICE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "sim/err.h"

struct device {
    int kvm, vm, vcpu; /**< files; -1: none */
    struct kvm_run *run;
    size_t run_bytes;
    struct kvm_cpuid2 *cpuid; /**< what KVM supports, as the guest is told; owned */
    timer_t timer;            /**< of the thread that runs the vCPU */
    int timed_thread;         /**< 0: no timer yet */
};

/** What device_run came back with, beside KVM's exit reasons. */
enum { DEVICE_TIMEOUT = -1, DEVICE_FAILED = -2 };

/** Opens a VM without memory. False with err EXIT_ENVIRONMENT; close it all the same. */
bool device_open(struct device *, struct err *);
void device_close(struct device *);

/** Gives the VM memory at @p gpa that is @p host's here. */
bool device_memory(struct device *, unsigned slot, uint64_t gpa, uint64_t bytes, void *host,
                   unsigned flags, struct err *);

/** A register of the guest's CPUID; 0 where there is no such leaf. */
struct kvm_cpuid_entry2 *device_cpuid(struct device *, uint32_t leaf, uint32_t subleaf);

/** Makes the vCPU, with the CPUID as it stands in device->cpuid. */
bool device_vcpu(struct device *, struct err *);

/**
 * Runs the vCPU until it exits, for @p seconds at most: the exit's reason, DEVICE_TIMEOUT, or
 * DEVICE_FAILED with errno. Interrupted by other signals it goes on.
 */
int device_run(struct device *, unsigned seconds);

/** The name of an exit reason, as in linux/kvm.h. */
const char *device_exit_name(int reason);

#endif
