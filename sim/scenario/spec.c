/*
 * The keys of scenarios: the machines and what stands in them. (What runs in them: spec_work.c; how
 * their memory is virtualized: spec_hypervisor.c; the host: spec_machine.c.)
 */
#include "sim/scenario/spec_table.h"

#include <string.h>

#include "sim/scenario/scenario.h"

const char *const mode_words[] = {MODE_WORDS, NULL};
const char *const paging_words[] = {"2-level", "pae", "4-level", "5-level", NULL};
const char *const page_words[] = {"4KiB", "2MiB", "4MiB", "1GiB", NULL};
const char *const reclaim_words[] = {RECLAIM_WORDS, NULL};
const char *const tlb_words[] = {TLB_WORDS, NULL};
const char *const cache_words[] = {"l1", "l2", "llc", NULL};
const char *const replacement_words[] = {REPLACEMENT_WORDS, NULL};

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
KIND(scenario, "A scenario: the host, the virtual machines on it, and what they do.");

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
     .help = "How its memory is virtualized: see the table of modes"},
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
     .help = "Page size of the second stage, or a mix of sizes; `flat` has 4KiB only"},
    {.name = "ept", .child = &ept_schema, .help = "Controls of an EPT second stage"},
    {.name = "second_stage_raw",
     .child = &second_stage_raw_schema,
     .help = "Raw VM in nested mode: the second stage's tables, given by hand"},
    {.name = "shadow", .child = &shadow_schema, .help = "How shadow tables follow the guest's"},
    {.name = "direct", .child = &direct_schema, .help = "How the guest asks for updates"},
    {.name = "agile", .child = &agile_schema, .help = "Where agile changes from shadow to nested"},
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
     .most = NUMBER_MAX,
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
KIND(vm, "A virtual machine. With `registers` it is raw; without, a small guest OS runs in "
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
KIND(memory, "A VM's memory, and what its hypervisor may do to it.");

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
KIND(guest, "The guest's paging and its OS.");

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
KIND(geometry, "A textbook geometry, small enough to do by hand.");

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
KIND(reclaim, "Page replacement of the guest OS.");

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
KIND(registers, "Control registers of a raw VM.");

static const struct key image_keys[] = {
    {.name = "gpa",
     .type = TYPE_ADDRESS,
     .required = true,
     .example = "\"0x1000\"",
     .help = "Where the first byte stands"},
    IMAGE_CONTENTS,
};
KIND(image, "Something written into guest memory before the run: `u64` or `bytes`.");

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
KIND(preload_tlb, "A TLB entry there from the start.");

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
KIND(preload_line, "A data cache's line there from the start.");

static const struct key preload_keys[] = {
    {.name = "tlb", .child = &preload_tlb_schema, .list = true, .help = "TLB entries"},
    {.name = "data_cache", .child = &preload_line_schema, .list = true, .help = "Lines"},
};
KIND(preload, "What the caches hold before the run.");

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
