/**
 * @file
 * One VM on the kernel's KVM, with one vCPU, in which a small guest of ours (guest.S) executes
 * commands that it finds in shared memory, without an exit for each.
 *
 * The guest's tables are the scenario's own: the harness claims one entry of every top table
 * (its slot), behind which stand its code, its mailbox and a direct map of all of the VM's memory,
 * as supervisor pages, and code and mailbox a second time as user pages. It runs at the CPL that
 * the command asks for. A fault of a command is written into the command.
 *
 * Physical memory: the VM's own from 0 on; the harness's own 4 MiB above it, aligned to 1 GiB,
 * where no scenario reaches.
 */
#ifndef SIM_BACKEND_KVM_HARNESS_H
#define SIM_BACKEND_KVM_HARNESS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/addr.h"
#include "core/control.h"
#include "sim/backend/kvm/commands.h"
#include "sim/err.h"

struct harness;
struct touch;

struct harness_config {
    uint64_t memory;            /**< bytes of the VM's memory; a multiple of 4 KiB */
    unsigned levels;            /**< of the guest's tables: 4 or 5 */
    unsigned slot;              /**< the entry of every top table that is the harness's */
    unsigned maxphyaddr;        /**< that CPUID tells the guest; 0: what KVM offers */
    struct registers registers; /**< as the guest starts; cr3 apart they are loaded by the host */
    unsigned seconds;           /**< that one batch may take: beyond, the guest hangs; 0: 10 */
    bool follow; /**< first touches and first writes are noted: see touch.h; costs an exit each */
    bool dirty;  /**< KVM logs which frames are written: see harness_dirty */
};

/** What KVM counts, by its own names. */
#define HARNESS_COUNTS(X)                                                                          \
    X(pf_taken)                                                                                    \
    X(pf_fixed)                                                                                    \
    X(pf_guest)                                                                                    \
    X(pf_emulate)                                                                                  \
    X(pf_spurious)                                                                                 \
    X(invlpg)                                                                                      \
    X(exits)                                                                                       \
    X(irq_exits)                                                                                   \
    X(mmu_recycled)                                                                                \
    X(mmu_unsync)                                                                                  \
    X(mmu_flooded)                                                                                 \
    X(mmu_pte_write)                                                                               \
    X(insn_emulation)                                                                              \
    X(pages_4k)

/** Each of them since the last harness_counts_reset (pages_4k: more or less than then), or -1 where
 * KVM has no such name. */
struct harness_counts {
#define X(name) int64_t name;
    HARNESS_COUNTS(X)
#undef X
};

/**
 * A VM whose memory is zero but for nothing, whose guest has not run yet. NULL with err set:
 * EXIT_ENVIRONMENT and words that name what is missing (no /dev/kvm, no rights, an old API, a CPU
 * feature that the registers ask for). Nothing outlives it: no process, file, or setting.
 */
struct harness *harness_new(const struct harness_config *, struct err *);
void harness_free(struct harness *);

/** The VM's memory, as the host sees it: shared with the guest, at once. Not to be used for tables
 * that KVM has walked before: those the guest edits itself, by COMMAND_STORE. */
uint8_t *harness_memory(struct harness *);

/** Writes the harness's entry into a top table that no vCPU has used, as a command (the guest's own
 * store), so that a COMMAND_CR3 with it may follow. False: the mailbox is full, run first. */
bool harness_adopt(struct harness *, gpa_t root);

/** The next free command of the batch, zeroed; NULL: the mailbox is full, run first. */
struct command *harness_next(struct harness *);

/** Commands queued and not run. */
size_t harness_queued(const struct harness *);

/**
 * Has the guest execute the batch. With @p stop_at_fault it ends behind the first command whose
 * access faults; *done is how many were executed, the faulting one included. The commands' results
 * stay readable by harness_result until the next harness_next. False with err set: EXIT_NO, the
 * guest hung, shut down (a triple fault) or exited for a reason nobody expects, with its registers
 * in words; the VM is of no use then.
 */
bool harness_run(struct harness *, bool stop_at_fault, size_t *done, struct err *);

/** Command number @p i of the batch that was run. */
const struct command *harness_result(const struct harness *, size_t i);

/**
 * Has the guest touch all that the harness itself needs, then takes KVM's counters for zero. What
 * it does later costs as it must: each batch one exit, each switch to CPL 0 nothing that is counted
 * but exits, and COMMAND_STORE what a store to that frame costs. Nothing may be queued.
 */
bool harness_counts_reset(struct harness *, struct err *);
void harness_counts(struct harness *, struct harness_counts *);

/**
 * Takes the VM's frames of a range away; they keep their contents, and come back when they are
 * touched. With config.follow one by one, as touch.h has it; else as Linux brings back what is in
 * the page cache, 16 for a read. False with err set.
 */
bool harness_drop(struct harness *, gpa_t, uint64_t bytes, struct err *);

/** With config.follow: what was seen, from the first harness_run on. Else, and before it, NULL. */
struct touch *harness_touch(struct harness *);

/**
 * With config.dirty: which frames KVM says were written since the last call, a bit for each from
 * frame 0 on in words of 64; the harness's, until the next call. It's exact with shadow paging;
 * with nested paging KVM takes a frame's first use for a write. NULL: there is no log.
 */
const uint64_t *harness_dirty(struct harness *);

#endif
