/**
 * @file
 * What to simulate, as pure data: machine, VMs, processes, workloads, script. The scenario reader
 * fills it from JSON, `replay` from its command line; the machine is built from it.
 *
 * Everything here is immutable once a machine runs, and outlives every clone of it.
 */
#ifndef SIM_CONFIG_H
#define SIM_CONFIG_H

#include "core/access.h"
#include "core/control.h"
#include "core/format.h"
#include "core/profile.h"
#include "sim/workload/generator.h"

enum mode { MODE_NATIVE, MODE_SHADOW, MODE_NESTED, MODE_DIRECT, MODES };
#define MODE_WORDS "native", "shadow", "nested", "direct"

/** Page replacement of the guest OS, when its memory is bounded. */
enum reclaim_policy {
    RECLAIM_NONE,
    RECLAIM_FIFO,
    RECLAIM_LRU,
    RECLAIM_CLOCK,
    RECLAIM_OPT,
    RECLAIMS
};
#define RECLAIM_WORDS "none", "fifo", "lru", "clock", "opt"

/** A region of a process's address space, there from the start. */
struct map_config {
    gva_t gva;
    uint64_t size;
    unsigned level; /**< of the leaf: 1 is the format's base page, 2 its large page, ... */
    uint32_t rights;
    bool populate; /**< mapped before the first access, unbilled; else on first touch */
};

/** One phase of a workload: a generator, or a trace file if @p trace is not NULL. */
struct phase_config {
    struct generator_spec generator; /**< process and seed are set by the machine */
    const char *trace;
};

struct process_config {
    const char *name;
    const struct map_config *maps;
    unsigned n_maps;
    const struct phase_config *phases; /**< run one after the other */
    unsigned n_phases;
};

/** Bytes written into guest memory before the run. */
struct image_config {
    gpa_t gpa;
    const uint8_t *bytes;
    uint64_t length;
};

/** One entry put into a cache before the run, as exam questions do. */
struct preload_config {
    bool data_cache; /**< a data cache's line; else a TLB's entry */
    uint8_t which;   /**< enum tlb_name, or the data cache: 0 is L1 */
    uint32_t set, way;
    uint64_t tag;         /**< what remains of the page or line number above the set index */
    uint64_t frame;       /**< TLB: frame number */
    uint32_t rights;      /**< TLB: enum rights */
    const uint8_t *bytes; /**< data cache: what the line holds (memory is made to agree), or NULL */
    uint64_t length;
};

struct vm_config {
    const char *name;
    enum mode mode;
    uint64_t memory; /**< bytes */
    unsigned vcpus;
    enum paging paging;
    struct geometry geometry; /**< for PAGING_TEXTBOOK */
    bool huge_pages;          /**< anonymous memory is backed by level-2 pages where it fits */
    enum reclaim_policy reclaim;
    uint64_t reclaim_frames; /**< data frames the guest's programs may hold at once */
    uint64_t quantum;        /**< accesses between switches among processes; 0: run to the end */
    bool map_on_touch;       /**< an access outside every map is given one (replay) */
    const struct process_config *processes;
    unsigned n_processes;
    bool raw; /**< no guest OS: registers and image as given, every fault is the outcome */
    struct registers registers;
    const struct image_config *images;
    unsigned n_images;
    const struct preload_config *preloads;
    unsigned n_preloads;
};

struct machine_config {
    struct profile profile;
    unsigned cpus;
    uint64_t memory; /**< bytes of host memory */
    uint64_t seed;
    const struct vm_config *vms;
    unsigned n_vms;
};

/** Script verbs: name in scenarios, what it does. */
#define VERBS(X)                                                                                   \
    X(access, "one access of a process or raw VM: op, gva, size, value, user or cpl, ac")          \
    X(store, "the guest writes a word at a gpa, so that it can edit its own tables")               \
    X(invlpg, "INVLPG of gva")                                                                     \
    X(invpcid, "INVPCID of type 0 to 3, with pcid and gva")                                        \
    X(mov_cr3, "MOV to CR3 of value")                                                              \
    X(mov_cr0, "MOV to CR0 of value")                                                              \
    X(mov_cr4, "MOV to CR4 of value")                                                              \
    X(wrmsr_efer, "WRMSR of value to EFER")                                                        \
    X(wrpkru, "WRPKRU of value")                                                                   \
    X(map, "the process maps size bytes at gva")                                                   \
    X(unmap, "the process unmaps size bytes at gva")                                               \
    X(protect, "the process changes the rights of size bytes at gva")                              \
    X(switch, "the vCPU switches to the process")                                                  \
    X(dump, "count 8-byte words of guest memory from gpa")                                         \
    X(run, "the workloads go on for so many accesses")

enum verb {
#define X(name, help) VERB_##name,
    VERBS(X)
#undef X
        VERB_COUNT
};

struct script_item {
    enum verb verb;
    unsigned vm, process;
    struct access access; /**< access: complete; others: gva alone */
    bool has_value;
    uint64_t value;  /**< to write, to store, to load into a register */
    gpa_t gpa;       /**< store, dump */
    unsigned size;   /**< store: 1, 2, 4 or 8 */
    uint64_t length; /**< map, unmap, protect: bytes; dump: words; run: accesses */
    unsigned type;   /**< invpcid */
    uint16_t pcid;   /**< invpcid */
    struct map_config map;
    bool at_access; /**< placed before the workloads' access number `at` */
    bool at_time;   /**< placed when the clock reaches `at` microseconds */
    uint64_t at;
};

struct scenario {
    const char *path, *title;
    struct machine_config machine;
    const struct script_item *script;
    unsigned n_script;
    void *storage; /**< everything the pointers above reach; see scenario_free */
};

const char *mode_name(enum mode);

#endif
