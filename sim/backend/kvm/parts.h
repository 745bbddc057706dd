/**
 * @file
 * What the files of the KVM backend share: kvm.c is the backend; raw.c runs the script of a VM
 * without a guest OS as batches of commands; built.c is the processor of a machine whose guest OS
 * is ours; commands.c turns accesses into commands.
 */
#ifndef SIM_BACKEND_KVM_PARTS_H
#define SIM_BACKEND_KVM_PARTS_H

#include "sim/backend/backend.h"
#include "sim/backend/environment.h"
#include "sim/backend/kvm/harness.h"

enum { ROOTS_MAX = 64 };

/** One run on KVM. */
struct kvm_run {
    const struct scenario *scenario;
    const struct vm_config *vm;
    const struct backend *backend; /**< which may be asked to stop */
    struct observation *seen;
    struct harness *harness;
    struct harness_config config;
    gpa_t root[ROOTS_MAX];  /**< top tables that hold the harness's entry */
    bool filled[ROOTS_MAX]; /**< they had entries before */
    unsigned roots;
    unsigned roots_before;  /**< of them, before KVM's counts began */
    unsigned walked;        /**< of those, that nobody but the harness had touched */
    size_t touches_before;  /**< events of touch.h before it was the scenario's turn */
    size_t touches_settled; /**< events looked at for writes to protected frames */
    bool *protected;        /**< by frame: by a move, and not written since; with config.follow */
    bool nested;            /**< KVM uses a second stage */
    struct err err;         /**< the first thing that went wrong */
};

/** Where the harness's entry stands in a top table. */
static inline gpa_t kvm_entry_of(const struct kvm_run *r, gpa_t root)
{
    return root + 8ull * r->config.slot;
}

/** Has a top table hold the harness's entry, before it is loaded. False: too many, or no memory. */
bool kvm_adopt(struct kvm_run *, gpa_t root);

/** From here on KVM's counts and touches are the scenario's. False with r->err set. */
bool kvm_begin(struct kvm_run *);

/** Takes KVM's counts. */
void kvm_count(struct kvm_run *);

/** The hypervisor's moves, on KVM; what is queued is run first. False with r->err set. */
bool kvm_move(struct kvm_run *, bool drop, gpa_t, uint64_t bytes);

/** Sorts out which writes seen so far were to protected frames. False with r->err set. */
bool kvm_settle_protected(struct kvm_run *);

/** Runs what is queued; false with r->err set. */
bool kvm_flush(struct kvm_run *);

/** A place in the batch; what is queued is run first if there is none. NULL with r->err set. */
struct command *kvm_command(struct kvm_run *);

/** Pages that the longest access touches. */
enum { PIECES_MAX = 18 };

/**
 * One access as commands: itself where it moves a value of a processor's size, else one touch in
 * each page. They go one after the other, and the first fault is the access's.
 */
struct command_list {
    unsigned n;
    struct command command[PIECES_MAX];
};

void commands_of_access(const struct access *, bool has_value, uint64_t value,
                        struct command_list *);

/** What became of a command. */
void outcome_of_command(const struct command *, struct outcome *);

/** One after the other, by themselves, until one faults. False with r->err set. */
bool kvm_try(struct kvm_run *, const struct command_list *, struct outcome *);

bool kvm_run_raw(struct kvm_run *);
bool kvm_run_built(struct kvm_run *);

#endif
