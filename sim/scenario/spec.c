/*
 * The keys of scenarios. (Those of machines: spec_machine.c.) A `taken_by` of 0 means: whatever the
 * selector says. Bounds are here so that every number that memory depends on has one.
 */
#include "sim/scenario/spec.h"

#include <stddef.h>
#include <string.h>

#include "sim/config.h"
#include "sim/scenario/scenario.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define KIND(id, title, text)                                                                      \
    const struct schema id##_schema = {                                                            \
        .name = title, .help = text, .keys = id##_keys, .n_keys = COUNT_OF(id##_keys)}
#define CHOSEN(id, title, by, text)                                                                \
    const struct schema id##_schema = {.name = title,                                              \
                                       .help = text,                                               \
                                       .keys = id##_keys,                                          \
                                       .n_keys = COUNT_OF(id##_keys),                              \
                                       .selector = by}

#define TIB          1099511627776.0
#define NUMBER_BOUND 9007199254740991.0 /* 2^53 - 1 */

const char *const mode_words[] = {"native", "shadow", "nested", "direct", NULL};
const char *const paging_words[] = {"2-level", "pae", "4-level", "5-level", NULL};
const char *const page_words[] = {"4KiB", "2MiB", "4MiB", "1GiB", NULL};
const char *const reclaim_words[] = {"none", "fifo", "lru", "clock", "opt", NULL};
const char *const op_words[] = {"read", "write", "exec", NULL};
const char *const tlb_words[] = {"l1i", "l1d", "l2", NULL};
const char *const cache_words[] = {"l1", "l2", "llc", NULL};
const char *const replacement_words[] = {"lru", "tree-plru", "fifo", "random", "lfu", NULL};
const char *const verb_words[] = {
#define X(name, help) #name,
    VERBS(X)
#undef X
        NULL};
/* In the order of enum pattern, then phases and trace. */
const char *const generator_words[] = {"sequential",  "uniform", "zipf",   "pointer-chase", "gups",
                                       "working-set", "list",    "phases", "trace",         NULL};
_Static_assert((int)PATTERNS == (int)GENERATOR_PHASES, "generator_words follows enum pattern");

static const char *const second_stage_words[] = {"ept4", "ept5", "npt4", "npt5", NULL};

static const struct key scenario_keys[] = {
    {.name = "version",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1,
     .required = true,
     .example = "1",
     .help = "Version of the scenario format"},
    {.name = "title",
     .type = TYPE_TEXT,
     .example = "\"Two VMs, one needs more\"",
     .help = "What the scenario shows, in a line"},
    {.name = "seed",
     .type = TYPE_U64,
     .fallback = "1",
     .example = "\"0x5eed\"",
     .help = "Seed of everything random: the same seed gives the same run, everywhere"},
    {.name = "machine", .child = &machine_schema, .help = "The host"},
    {.name = "vms",
     .child = &vm_schema,
     .list = true,
     .items_least = 1,
     .items_most = 64,
     .required = true,
     .example = "[{}]",
     .help = "The virtual machines; native has exactly one"},
    {.name = "script",
     .child = &script_schema,
     .list = true,
     .help = "What happens, in order, before the workloads (or among them, by `at`)"},
};
KIND(scenario, "scenario", "A scenario: the host, the virtual machines on it, and what they do.");

static const struct key vm_keys[] = {
    {.name = "name",
     .type = TYPE_TEXT,
     .least = 1,
     .most = 40,
     .example = "\"web\"",
     .help = "The script and the output call it so; default: vm0, vm1, ..."},
    {.name = "mode",
     .type = TYPE_WORD,
     .words = mode_words,
     .fallback = "\"native\"",
     .help = "How its memory is virtualized: `native` (no hypervisor: its physical addresses are "
             "the host's), `shadow`, `nested` or `direct`"},
    {.name = "second_stage",
     .type = TYPE_WORD,
     .words = second_stage_words,
     .fallback = "\"ept4\"",
     .help = "Format of the tables from guest-physical to host memory"},
    {.name = "second_stage_page",
     .type = TYPE_WORD,
     .words = page_words,
     .child = &page_mix_schema,
     .fallback = "\"4KiB\"",
     .example = "{\"2MiB\": 0.6, \"4KiB\": 0.4}",
     .help = "Page size of the second stage, or a mix of sizes"},
    {.name = "memory",
     .type = TYPE_SIZE,
     .least = 8,
     .most = 64 * TIB,
     .child = &memory_schema,
     .example = "\"2GiB\"",
     .help = "Guest-physical memory; default 2GiB, the machine's memory, or what a textbook "
             "geometry can address, whichever is least"},
    {.name = "vcpus",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 64,
     .fallback = "1",
     .help = "Virtual processors"},
    {.name = "guest", .child = &guest_schema, .help = "The guest's paging and its OS"},
    {.name = "quantum",
     .type = TYPE_COUNT,
     .most = NUMBER_BOUND,
     .fallback = "0",
     .help = "Accesses between switches among the processes (MOV CR3); 0: each runs to its end"},
    {.name = "processes",
     .child = &process_schema,
     .list = true,
     .items_most = 1024,
     .help = "Programs under the guest OS; a VM with `registers` has none"},
    {.name = "registers",
     .child = &registers_schema,
     .help = "Makes the VM raw: no guest OS, control registers as given, every fault an outcome"},
    {.name = "image",
     .child = &image_schema,
     .list = true,
     .help = "Raw VM: what stands in guest memory before the run, page tables above all"},
    {.name = "preload",
     .child = &preload_schema,
     .help = "Entries put into TLBs and data caches before the run, as exam questions do"},
};
KIND(vm, "vm",
     "A virtual machine. With `registers` it is raw; without, a small guest OS runs in "
     "it, which builds the page tables and answers page faults.");

static const struct key memory_keys[] = {
    {.name = "size",
     .type = TYPE_SIZE,
     .least = 8,
     .most = 64 * TIB,
     .required = true,
     .example = "\"2GiB\"",
     .help = "Guest-physical memory"},
    {.name = "min",
     .type = TYPE_SIZE,
     .most = 64 * TIB,
     .example = "\"512MiB\"",
     .help = "What the hypervisor never takes away"},
    {.name = "shares",
     .type = TYPE_COUNT,
     .most = 1000000,
     .example = "1000",
     .help = "Weight against other VMs when memory is short"},
};
KIND(memory, "memory", "A VM's memory, and what its hypervisor may do to it.");

static const struct key page_mix_keys[] = {
    {.name = "4KiB", .type = TYPE_SHARE, .help = "Share of memory mapped by 4 KiB pages"},
    {.name = "2MiB", .type = TYPE_SHARE, .help = "Share of memory mapped by 2 MiB pages"},
    {.name = "1GiB", .type = TYPE_SHARE, .help = "Share of memory mapped by 1 GiB pages"},
};
KIND(page_mix, "page_mix", "A mix of page sizes; the shares add up to 1.");

static const struct key guest_keys[] = {
    {.name = "paging",
     .type = TYPE_WORD,
     .words = paging_words,
     .child = &geometry_schema,
     .fallback = "\"4-level\"",
     .example = "{\"levels\": [5, 5], \"page\": 32, \"entry_bytes\": 1, \"valid\": 7, "
                "\"frame\": [0, 7]}",
     .help = "Paging mode, or a textbook geometry; a raw VM's follows from its registers"},
    {.name = "huge_pages",
     .type = TYPE_BOOL,
     .fallback = "false",
     .help = "The guest OS backs memory by large pages (2 MiB; 4 MiB in 2-level) where they fit"},
    {.name = "reclaim",
     .child = &reclaim_schema,
     .help = "The guest OS's page replacement; without it, running out of memory is an error"},
};
KIND(guest, "guest", "The guest's paging and its OS.");

static const struct key geometry_keys[] = {
    {.name = "levels",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 30,
     .list = true,
     .items_least = 1,
     .items_most = LEVELS_MAX,
     .required = true,
     .example = "[5, 5]",
     .help = "Index bits of each level, from the top"},
    {.name = "page",
     .type = TYPE_POWER,
     .least = 8,
     .most = 1 << 20,
     .required = true,
     .example = "32",
     .help = "Bytes of a page, a power of two"},
    {.name = "entry_bytes",
     .type = TYPE_POWER,
     .least = 1,
     .most = 8,
     .required = true,
     .example = "1",
     .help = "Bytes of a table entry: 1, 2, 4 or 8"},
    {.name = "valid",
     .type = TYPE_COUNT,
     .least = 0,
     .most = 63,
     .required = true,
     .example = "7",
     .help = "Number of the valid bit in an entry"},
    {.name = "frame",
     .type = TYPE_COUNT,
     .least = 0,
     .most = 63,
     .list = true,
     .items_least = 2,
     .items_most = 2,
     .required = true,
     .example = "[0, 7]",
     .help = "Lowest bit of the frame number in an entry, and its width in bits"},
};
KIND(geometry, "geometry", "A textbook geometry, small enough to do by hand.");

static const struct key reclaim_keys[] = {
    {.name = "policy",
     .type = TYPE_WORD,
     .words = reclaim_words,
     .required = true,
     .example = "\"clock\"",
     .help = "Which page goes when the frames are used up"},
    {.name = "frames",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1099511627776.0,
     .required = true,
     .example = "3",
     .help = "Data frames that the VM's programs may hold at once"},
};
KIND(reclaim, "reclaim", "Page replacement of the guest OS.");

static const struct key process_keys[] = {
    {.name = "name",
     .type = TYPE_TEXT,
     .least = 1,
     .most = 40,
     .example = "\"server\"",
     .help = "The script calls it so; default: p0, p1, ..."},
    {.name = "map", .child = &map_schema, .list = true, .help = "Its address space at the start"},
    {.name = "workload", .child = &workload_schema, .help = "The accesses that it makes"},
};
KIND(process, "process", "A program under the guest OS.");

static const struct key map_keys[] = {
    {.name = "gva",
     .type = TYPE_ADDRESS,
     .required = true,
     .example = "\"0x400000\"",
     .help = "First address, a multiple of the page"},
    {.name = "size",
     .type = TYPE_SIZE,
     .least = 1,
     .most = 131072 * TIB,
     .required = true,
     .example = "\"64MiB\"",
     .help = "Bytes, a multiple of the page"},
    {.name = "page",
     .type = TYPE_WORD,
     .words = page_words,
     .fallback = "\"4KiB\"",
     .help = "Page size; a textbook geometry has only its own"},
    {.name = "rights",
     .type = TYPE_RIGHTS,
     .fallback = "\"rwxu\"",
     .help = "Letters: r read, w write, x execute, u user"},
    {.name = "populate",
     .type = TYPE_WORD,
     .words = (const char *const[]){"touch", "start", NULL},
     .fallback = "\"touch\"",
     .help = "`touch`: the guest OS maps pages as they fault; `start`: all before the first "
             "access, unbilled"},
};
KIND(map, "map", "A region of an address space.");

#define GEN(word)    (1u << PATTERN_##word)
#define GEN_PATTERNS ((1u << PATTERNS) - 1)
#define GEN_PHASES   (1u << GENERATOR_PHASES)
#define GEN_TRACE    (1u << GENERATOR_TRACE)
static const struct key workload_keys[] = {
    {.name = "generator",
     .type = TYPE_WORD,
     .words = generator_words,
     .required = true,
     .example = "\"zipf\"",
     .help = "`sequential`: by `stride`, wrapping; `uniform`: any address alike; `zipf`: page of "
             "rank r with weight 1/r^theta; `pointer-chase`: a cycle through all pages; `gups`: "
             "random read-modify-writes; `working-set`: a hot window gets most, and drifts; "
             "`list`: given addresses, over and over; `phases`: others in turn; `trace`: a file"},
    {.name = "map",
     .type = TYPE_COUNT,
     .most = 1e6,
     .fallback = "0",
     .taken_by = GEN_PATTERNS,
     .help = "Which of the process's maps it runs over, from 0"},
    {.name = "accesses",
     .type = TYPE_COUNT,
     .most = NUMBER_BOUND,
     .example = "1000000",
     .taken_by = GEN_PATTERNS | GEN_TRACE,
     .needed_by = GEN_PATTERNS & ~GEN(LIST),
     .help = "How many in all; default for `list`: each address once; for `trace`: the whole file"},
    {.name = "writes",
     .type = TYPE_SHARE,
     .fallback = "0",
     .taken_by = GEN_PATTERNS,
     .help = "Share of writes (gups writes always)"},
    {.name = "size",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 4096,
     .fallback = "8",
     .taken_by = GEN_PATTERNS,
     .help = "Bytes of an access, at most a page"},
    {.name = "stride",
     .type = TYPE_SIZE,
     .least = 1,
     .most = TIB,
     .fallback = "64",
     .taken_by = GEN(SEQUENTIAL),
     .help = "Bytes from one access to the next"},
    {.name = "theta",
     .type = TYPE_REAL,
     .least = 0,
     .most = 8,
     .fallback = "0.99",
     .taken_by = GEN(ZIPF),
     .help = "Skew; 0 is uniform"},
    {.name = "hot",
     .type = TYPE_SIZE,
     .least = 1,
     .most = 131072 * TIB,
     .example = "\"1MiB\"",
     .taken_by = GEN(WORKING_SET),
     .needed_by = GEN(WORKING_SET),
     .help = "Bytes of the window"},
    {.name = "hot_share",
     .type = TYPE_SHARE,
     .fallback = "0.9",
     .taken_by = GEN(WORKING_SET),
     .help = "Share of accesses that fall into the window"},
    {.name = "drift",
     .type = TYPE_REAL,
     .least = 0,
     .most = 1e6,
     .fallback = "0",
     .taken_by = GEN(WORKING_SET),
     .help = "Pages that the window moves per access"},
    {.name = "addresses",
     .type = TYPE_ADDRESS,
     .list = true,
     .items_least = 1,
     .taken_by = GEN(LIST),
     .needed_by = GEN(LIST),
     .example = "[\"0x1000\", \"0x2000\"]",
     .help = "The addresses, inside the map"},
    {.name = "remap",
     .type = TYPE_SHARE,
     .fallback = "0",
     .taken_by = GEN_PATTERNS,
     .help = "Share of accesses preceded by an unmap and map of their page"},
    {.name = "protect",
     .type = TYPE_SHARE,
     .fallback = "0",
     .taken_by = GEN_PATTERNS,
     .help = "Share of accesses preceded by taking write rights away and giving them back"},
    {.name = "phases",
     .child = &workload_schema,
     .list = true,
     .items_least = 1,
     .items_most = 1000,
     .taken_by = GEN_PHASES,
     .needed_by = GEN_PHASES,
     .example = "[{\"generator\": \"uniform\", \"accesses\": 1000}]",
     .help = "Workloads that run one after the other"},
    {.name = "file",
     .type = TYPE_TEXT,
     .least = 1,
     .most = 4000,
     .taken_by = GEN_TRACE,
     .needed_by = GEN_TRACE,
     .example = "\"ls.trace.xz\"",
     .help = "The trace, relative to the scenario's folder"},
};
CHOSEN(workload, "workload", "generator", "The accesses of a process.");

static const struct key registers_keys[] = {
    {.name = "cr0",
     .type = TYPE_U64,
     .example = "\"0x80010033\"",
     .help = "Default 0x80010033 (PG, WP, NE, ET, MP, PE)"},
    {.name = "cr3",
     .type = TYPE_U64,
     .fallback = "\"0x0\"",
     .example = "\"0x1000\"",
     .help = "Root of the page tables, guest-physical"},
    {.name = "cr4",
     .type = TYPE_U64,
     .example = "\"0x20\"",
     .help = "Default 0x20 (PAE); 0x10 (PSE) in 2-level, 0x1020 (LA57, PAE) in 5-level"},
    {.name = "efer",
     .type = TYPE_U64,
     .example = "\"0xd01\"",
     .help = "Default 0xd01 (NXE, LMA, LME, SCE); 0x0 in 2-level, 0x800 (NXE) in pae"},
    {.name = "pkru",
     .type = TYPE_U64,
     .least = 0,
     .most = 4294967295.0,
     .fallback = "\"0x0\"",
     .help = "Rights of the 16 protection keys"},
};
KIND(registers, "registers", "Control registers of a raw VM.");

static const struct key image_keys[] = {
    {.name = "gpa",
     .type = TYPE_ADDRESS,
     .required = true,
     .example = "\"0x1000\"",
     .help = "Where the first byte stands"},
    {.name = "u64",
     .type = TYPE_U64,
     .list = true,
     .items_least = 1,
     .example = "[\"0x2067\", \"0x0\"]",
     .help = "8-byte words, little-endian"},
    {.name = "bytes", .type = TYPE_BYTES, .example = "\"7f7f84ff\"", .help = "Or bytes"},
};
KIND(image, "image", "Something written into guest memory before the run: `u64` or `bytes`.");

static const struct key preload_tlb_keys[] = {
    {.name = "tlb",
     .type = TYPE_WORD,
     .words = tlb_words,
     .required = true,
     .example = "\"l1d\"",
     .help = "Which TLB (its array for the smallest pages)"},
    {.name = "set",
     .type = TYPE_COUNT,
     .most = 1 << 24,
     .required = true,
     .example = "0",
     .help = "Set, from 0"},
    {.name = "way",
     .type = TYPE_COUNT,
     .most = 1 << 24,
     .required = true,
     .example = "0",
     .help = "Way in the set, from 0"},
    {.name = "tag",
     .type = TYPE_U64,
     .required = true,
     .example = "\"0x3\"",
     .help = "What remains of the page number above the set index"},
    {.name = "frame",
     .type = TYPE_U64,
     .example = "\"0xd\"",
     .help = "Frame number; a valid entry needs it"},
    {.name = "valid",
     .type = TYPE_BOOL,
     .fallback = "true",
     .help = "An invalid entry is left out, as if it weren't listed"},
    {.name = "rights",
     .type = TYPE_RIGHTS,
     .fallback = "\"rwxu\"",
     .help = "What the entry grants: letters of rwxu"},
};
KIND(preload_tlb, "preload_tlb", "A TLB entry there from the start.");

static const struct key preload_line_keys[] = {
    {.name = "cache",
     .type = TYPE_WORD,
     .words = cache_words,
     .required = true,
     .example = "\"l1\"",
     .help = "Which data cache"},
    {.name = "set",
     .type = TYPE_COUNT,
     .most = 1 << 24,
     .required = true,
     .example = "0",
     .help = "Set, from 0"},
    {.name = "way",
     .type = TYPE_COUNT,
     .most = 1 << 24,
     .required = true,
     .example = "0",
     .help = "Way in the set, from 0"},
    {.name = "tag",
     .type = TYPE_U64,
     .required = true,
     .example = "\"0x19\"",
     .help = "What remains of the line number above the set index"},
    {.name = "valid",
     .type = TYPE_BOOL,
     .fallback = "true",
     .help = "An invalid line is left out, as if it weren't listed"},
    {.name = "bytes",
     .type = TYPE_BYTES,
     .example = "\"99112311\"",
     .help = "What the line holds, from its first byte; memory is made to agree"},
};
KIND(preload_line, "preload_line", "A data cache's line there from the start.");

static const struct key preload_keys[] = {
    {.name = "tlb", .child = &preload_tlb_schema, .list = true, .help = "TLB entries"},
    {.name = "data_cache", .child = &preload_line_schema, .list = true, .help = "Lines"},
};
KIND(preload, "preload", "What the caches hold before the run.");

#define DO(verb) (1u << VERB_##verb)
#define DO_LOAD  (DO(mov_cr3) | DO(mov_cr0) | DO(mov_cr4) | DO(wrmsr_efer) | DO(wrpkru))
#define DO_RANGE (DO(map) | DO(unmap) | DO(protect))
static const struct key script_keys[] = {
    {.name = "do",
     .type = TYPE_WORD,
     .words = verb_words,
     .required = true,
     .example = "\"access\"",
     .help = "What to do: see the table of verbs"},
    {.name = "at",
     .type = TYPE_MOMENT,
     .most = NUMBER_BOUND,
     .example = "\"10ms\"",
     .help = "When: before that access of the workloads, counted from 0 (a number), or at that "
             "time (a string with s, ms or us); without it, before the workloads"},
    {.name = "vm",
     .type = TYPE_NAME,
     .fallback = "0",
     .example = "\"web\"",
     .help = "Which VM, by name or by number from 0"},
    {.name = "process",
     .type = TYPE_NAME,
     .fallback = "0",
     .example = "\"server\"",
     .taken_by = DO(access) | DO_RANGE | DO(switch) | DO(invlpg) | DO(invpcid),
     .needed_by = DO(switch),
     .help = "Which process, by name or by number from 0"},
    {.name = "op",
     .type = TYPE_WORD,
     .words = op_words,
     .fallback = "\"read\"",
     .taken_by = DO(access),
     .help = "The schema of access"},
    {.name = "gva",
     .type = TYPE_ADDRESS,
     .example = "\"0x400123\"",
     .taken_by = DO(access) | DO(invlpg) | DO(invpcid) | DO_RANGE,
     .needed_by = DO(access) | DO(invlpg) | DO_RANGE,
     .help = "Guest-virtual address; one that isn't canonical gives #GP"},
    {.name = "gpa",
     .type = TYPE_ADDRESS,
     .example = "\"0x1000\"",
     .taken_by = DO(store) | DO(dump),
     .needed_by = DO(store) | DO(dump),
     .help = "Guest-physical address"},
    {.name = "size",
     .type = TYPE_SIZE,
     .least = 1,
     .most = 131072 * TIB,
     .fallback = "8",
     .taken_by = DO(access) | DO(store) | DO_RANGE,
     .needed_by = DO_RANGE,
     .help = "access: 1 to 64 bytes, `exec` 1 by default; store: 1, 2, 4 or 8; map, unmap, "
             "protect: bytes of the range"},
    {.name = "value",
     .type = TYPE_U64,
     .example = "\"0x1\"",
     .taken_by = DO(access) | DO(store) | DO_LOAD,
     .needed_by = DO(store) | DO_LOAD,
     .help = "What to write; an access that writes none changes no byte"},
    {.name = "user", .type = TYPE_BOOL, .taken_by = DO(access), .help = "true is `cpl` 3"},
    {.name = "cpl",
     .type = TYPE_COUNT,
     .most = 3,
     .taken_by = DO(access),
     .example = "0",
     .help = "Privilege level; default 3 in a process, 0 in a raw VM"},
    {.name = "ac",
     .type = TYPE_BOOL,
     .fallback = "false",
     .taken_by = DO(access),
     .help = "EFLAGS.AC: set, SMAP lets a supervisor reach user pages"},
    {.name = "type",
     .type = TYPE_COUNT,
     .most = 3,
     .fallback = "0",
     .taken_by = DO(invpcid),
     .help = "0 one address, 1 one PCID, 2 everything, 3 everything but global"},
    {.name = "pcid",
     .type = TYPE_COUNT,
     .most = 4095,
     .fallback = "0",
     .taken_by = DO(invpcid),
     .help = "Process-context identifier"},
    {.name = "count",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1 << 20,
     .fallback = "1",
     .taken_by = DO(dump),
     .help = "8-byte words"},
    {.name = "accesses",
     .type = TYPE_COUNT,
     .least = 1,
     .most = NUMBER_BOUND,
     .example = "1000",
     .taken_by = DO(run),
     .needed_by = DO(run),
     .help = "How far the workloads go on"},
    {.name = "page",
     .type = TYPE_WORD,
     .words = page_words,
     .fallback = "\"4KiB\"",
     .taken_by = DO(map),
     .help = "Page size; a textbook geometry has only its own"},
    {.name = "rights",
     .type = TYPE_RIGHTS,
     .fallback = "\"rwxu\"",
     .taken_by = DO(map) | DO(protect),
     .needed_by = DO(protect),
     .help = "Letters of rwxu"},
    {.name = "populate",
     .type = TYPE_WORD,
     .words = (const char *const[]){"touch", "start", NULL},
     .fallback = "\"touch\"",
     .taken_by = DO(map),
     .help = "`start`: at once, unbilled; `touch`: page by page"},
};
CHOSEN(script, "script", "do", "One item of the script.");

const struct key *spec_key(const struct schema *schema, const char *name)
{
    for (unsigned i = 0; i < schema->n_keys; i++)
        if (!strcmp(schema->keys[i].name, name))
            return &schema->keys[i];
    return NULL;
}

int spec_word(const char *const *words, const char *text)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], text))
            return i;
    return -1;
}

const char *const *spec_words(const struct key *key)
{
    return key->type == TYPE_PROFILE ? profile_names() : key->words;
}
