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
#include "core/second_stage.h"
#include "sim/workload/generator.h"

enum mode {
    MODE_NATIVE,
    MODE_SHADOW,
    MODE_NESTED,
    MODE_DIRECT,
    MODE_AGILE,       /**< shadow tables above, the guest's own below */
    MODE_THREE_STAGE, /**< a hypervisor in a VM, all three dimensions walked by the processor */
    MODE_COLLAPSED,   /**< the same, its two second stages collapsed into one */
    MODES
};
#define MODE_WORDS "native", "shadow", "nested", "direct", "agile", "three-stage", "collapsed"

/** How a shadow follows the guest's tables. */
enum shadow_policy {
    SHADOW_KVM,   /**< leaves may go out of sync, upper levels are write-protected */
    SHADOW_TRACE, /**< every write to a shadowed table exits */
    SHADOW_VTLB,  /**< no write exits; the shadow is a TLB in software */
    SHADOW_POLICIES
};
#define SHADOW_POLICY_WORDS "kvm", "trace", "vtlb"

/** Defaults, which the table of scenario keys prints: see vm_config_default. */
#define DEFAULT_PREFETCH 8
#define DEFAULT_FLOOD    3
#define DEFAULT_BATCH    32
#define DEFAULT_WRITES   16
#define DEFAULT_INTERVAL 100000

struct shadow_config {
    enum shadow_policy policy;
    uint32_t prefetch; /**< entries filled around one that is; 0: none */
    uint32_t flood; /**< writes to an upper table without its use until it is dropped; 0: never */
    uint64_t pages; /**< shadow tables at most; 0: 2 % of the VM's pages, and at least 64 */
};

struct direct_config {
    uint32_t batch; /**< updates that one hypercall carries */
};

/** Where agile paging changes from shadow to nested. */
struct agile_config {
    int8_t
        shadow_levels; /**< fixed: levels from the top that are shadowed; -1: by what is written */
    uint32_t writes;   /**< writes to a table within an interval that make it nested */
    uint64_t interval; /**< accesses between two looks for tables that are quiet again */
};

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

/** Tables of a second stage given by hand. */
struct second_stage_raw {
    bool given;
    uint64_t pointer; /**< EPTP or nCR3 */
    const struct image_config *images;
    unsigned n_images; /**< their addresses are hpa */
};

struct vm_config {
    const char *name;
    enum mode mode;
    enum second_stage second_stage;
    uint32_t page_share[4]; /**< by level: how much of memory such pages map, of 1000 */
    bool no_accessed_dirty; /**< EPT without A and D */
    bool page_log;          /**< EPT with its page-modification log */
    bool no_vpid;           /**< exits and entries drop the VM's translations */
    bool mode_based_execute, no_execute_only, advanced_information; /**< EPT: see core */
    struct second_stage_raw second_stage_raw;
    struct shadow_config shadow;
    struct direct_config direct;
    struct agile_config agile;
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
    X(invept, "the hypervisor's INVEPT of type 1 (the VM's second stage) or 2 (all)")              \
    X(invvpid, "the hypervisor's INVVPID of type 0 to 3, with vpid and gva")                       \
    X(drop, "the hypervisor takes its mappings of size bytes at gpa away; what is there stays")    \
    X(write_protect, "the hypervisor takes the right to write from its mappings: the next write "  \
                     "to each page exits")                                                         \
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
    gpa_t gpa;       /**< store, dump, drop, write_protect */
    unsigned size;   /**< store: 1, 2, 4 or 8 */
    uint64_t length; /**< map, unmap, protect, drop, write_protect: bytes; dump: words; run:
                        accesses */
    unsigned type;   /**< invpcid, invept, invvpid */
    uint16_t pcid;   /**< invpcid; invvpid: the VPID, 0: the VM's own */
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

/** What there is to say of a mode; references are those of a walk that no cache shortens, with
 * tables of 4 levels in every stage. */
struct mode_about {
    unsigned least, most; /**< references: where they depend on the page, from the fewest */
    const char *what;
};
const struct mode_about *mode_about(enum mode);

/** Whether a verb is an act of the hypervisor's, which no guest sees. */
bool verb_is_hypervisors(enum verb);

/** The mode of that name, or MODES. */
enum mode mode_named(const char *name);

const char *shadow_policy_name(enum shadow_policy);

/** A VM of which nothing is said: of its mode's settings, what the scenario reader's table says. */
struct vm_config vm_config_default(void);

#endif
