/**
 * @file
 * Direct (paravirtual) paging: the guest's own tables are the processor's, and hold machine frames.
 * One stage is walked, and nothing exits until the guest asks for a change of its tables.
 *
 * The guest OS (sim/guest) stays as it is: behind its port stands what a paravirtual guest's own
 * code does. A store into a table becomes a request, its gfn turned into the machine frame by the
 * p2m, and requests are kept until there are as many as one hypercall carries, or something hangs
 * on them. A load turns the machine frame back, by the hypervisor's list of owners, and sees what
 * is asked for and not yet done.
 *
 * What the guest had to change; what control the hypervisor keeps:
 * - entries: hold machine frames: p2m in, owners out; they lead to the VM's own frames.
 * - stores into tables: are requests, in batches; it checks each, and writes it.
 * - tables: are mapped read-only, top ones pinned; a type and counts per frame.
 * - MOV to CR3, INVLPG: are requests too; it knows which tables are in use.
 * - MOV to CR0, CR4, EFER: are requests too; the format of all tables stays.
 * - page faults: nothing: they are handed on; it sees each.
 * - A and D: nothing: the processor sets them; nothing.
 * - large pages: are of contiguous machine frames only; it gives the frames.
 *
 * Modelled: batches of table updates, along with which everything else in the queue goes; frame
 * types (frame_types.h); pinning: the guest pins a top table at its first use and unpins it when it
 * is empty and in no CR3; a vCPU whose process has ended loads no table at all, as the table's
 * frame comes into other use. Simplified: a VM has all its memory from the start: a frame is found
 * for it at its first use, but that costs nothing and is no event; where a large page lacks
 * contiguous frames, the guest exchanges what it has for such, at no price. MOV to a control
 * register is issued at once, INVLPG waits for the batch. A call costs no translation: the
 * hypervisor is in the guest's address space. Not modelled: writable page tables (traps on stores
 * that are no requests): a plain store into a table counts as one request; grants; pages that come
 * from the backing store into a frame that is a table; the flush that a hypervisor adds where a
 * frame gets another type before its guest has invalidated. Memory is as the guest's processor has
 * it: whoever dumps a table sees machine frames.
 * Source: Barham et al., SOSP 2003; the requests are those of Xen's public interface (mmu_update,
 * mmuext_op), batches of 32 those of Linux's multicalls.
 */
#ifndef SIM_HYPERVISOR_DIRECT_H
#define SIM_HYPERVISOR_DIRECT_H

#include "sim/hypervisor/frame_types.h"
#include "sim/parts.h"

/** Requests that the queue holds: twice the updates that a hypercall may be told to carry. */
enum { DIRECT_REQUESTS = 2048 };

/** What the guest asks for. */
struct request {
    enum { REQUEST_UPDATE, REQUEST_PIN, REQUEST_UNPIN, REQUEST_INSTRUCTION } kind;
    unsigned vcpu;                  /**< index in the machine: whose instruction */
    hpa_t at;                       /**< of the entry, or of the table */
    uint64_t entry;                 /**< as the processor will have it: machine frames */
    uint64_t seen;                  /**< as the guest wrote it */
    struct instruction instruction; /**< a CR3 holds a machine frame */
};

/** The state of one VM. */
struct direct {
    struct frame_types types;
    unsigned n, updates; /**< requests, and those of them that are updates */
    struct request request[DIRECT_REQUESTS];
};

/** For a host of @p bytes. NULL: no memory. */
struct direct *direct_new(uint64_t bytes);
/** A copy. NULL: no memory. */
struct direct *direct_clone(const struct direct *);
void direct_free(struct direct *);

/**
 * One update as the hypervisor has it: checks that @p entry, which holds machine addresses, may
 * stand at @p at in a table of the VM, and writes it; or does nothing and says which rule it
 * breaks. Not a hypercall by itself.
 */
enum typing_rule direct_update(struct door *, hpa_t at, uint64_t entry);

/** The guest's entry of a table of @p level as the processor has it, or the other way round. False:
 * no memory, and the machine is stopped. */
bool direct_to_machine(struct door *, unsigned level, uint64_t *entry);
uint64_t direct_to_guest(const struct door *, unsigned level, uint64_t entry);

/** CR3 as the guest loaded it: its own frame's number, not the machine's. */
uint64_t direct_cr3(const struct door *);

#endif
