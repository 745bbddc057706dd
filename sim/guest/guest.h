/**
 * @file
 * A small guest OS: processes, areas, demand paging, page replacement over a backing store.
 *
 * It reaches memory only through the port it is handed with each call, and keeps no pointer to it.
 *
 * Modelled: allocation of frames and tables on first touch, large pages, unmap and mprotect with
 * INVLPG per page or, beyond 33 pages, one reload of CR3 instead (as Linux does), FIFO, LRU, clock
 * and OPT. Simplified: fork copies the areas, not the contents; the kernel's own memory is not
 * mapped; a switch is one MOV to CR3 without PCID; unmapping part of a large page unmaps all of it.
 * Not modelled: files, copy-on-write, several threads' locks.
 */
#ifndef SIM_GUEST_GUEST_H
#define SIM_GUEST_GUEST_H

#include "core/control.h"
#include "sim/config.h"
#include "sim/guest/areas.h"
#include "sim/frames.h"
#include "sim/guest/port.h"
#include "sim/guest/reclaim.h"
#include "sim/guest/swap.h"
#include "sim/guest/tables.h"

struct process {
    bool has_root;
    gpa_t root; /**< top table; made when the process first runs or maps */
    struct areas areas;
    uint16_t feed, number; /**< whose accesses it makes: feed, and the number they carry there */
};

struct guest {
    const struct vm_config *config; /**< outlives every clone */
    struct frames frames;
    struct tables tables;
    struct swap swap;
    struct reclaim reclaim;
    struct process *processes;
    size_t n, room;
};

/** What the guest OS makes of a fault. */
enum answer {
    ANSWER_RETRY,  /**< the cause is gone: make the access again */
    ANSWER_SIGNAL, /**< the program's own fault: SIGSEGV */
    ANSWER_STUCK,  /**< no memory left for it */
};

/** What page-table entries grant (MAY_*) for an area with @p rights (enum rights). */
uint32_t guest_may(uint32_t rights);

/** The control registers that this guest OS sets, CR3 apart. */
struct registers guest_registers(const struct vm_config *, const struct profile *);

/** A guest OS with its configured processes and areas, nothing mapped yet. False: no memory. */
bool guest_init(struct guest *, const struct vm_config *, const struct format *);
void guest_fini(struct guest *);
/** Makes @p guest, a byte copy of another, own its state. False: no memory; call guest_fini. */
bool guest_unshare(struct guest *);

/** Another process, without areas; its index, or -1 without memory. */
int guest_new_process(struct guest *, uint16_t feed, uint16_t number);

/** Maps what the configuration wants mapped from the start. False: out of frames. */
bool guest_populate(struct guest *, const struct port *, unsigned process);

/** The top table to load for a process, made if it has none. False: out of frames. */
bool guest_root(struct guest *, unsigned process, gpa_t *root);

/** Answers a refused access (enum kind) of the process that runs. */
enum answer guest_fault(struct guest *, const struct port *, unsigned process, gva_t gva,
                        unsigned kind);

/** A page was accessed at @p gpa: page replacement wants to know. Only with reclaim. */
void guest_touch(struct guest *, gpa_t gpa, uint64_t next_use);

/** The page at @p gpa stays in memory until guest_unpin; one at a time. Only with reclaim. */
void guest_pin(struct guest *, gpa_t gpa);
void guest_unpin(struct guest *);

/** mmap, munmap, mprotect of the running process. False: no memory. */
bool guest_map(struct guest *, const struct port *, unsigned process, const struct map_config *);
bool guest_unmap(struct guest *, const struct port *, unsigned process, gva_t gva, uint64_t bytes);
bool guest_protect(struct guest *, const struct port *, unsigned process, gva_t gva, uint64_t bytes,
                   uint32_t rights);

/** fork: the child gets the parent's areas. False: no memory. */
bool guest_fork(struct guest *, unsigned parent, unsigned child);

/** The process gives everything back; if it goes on, it starts anew. */
bool guest_exit(struct guest *, const struct port *, unsigned process);

/** Bytes that linear page tables would take, one entry per page of the space, for as many processes
 * as ever had tables at once. */
unsigned __int128 guest_linear_bytes(const struct guest *);

#endif
