/*
 * The keys of how a VM's memory is virtualized. Each mode reads its own and leaves the others, so
 * that one scenario compares modes.
 */
#include "sim/scenario/spec_table.h"

const char *const second_stage_words[] = {SECOND_STAGE_WORDS, NULL};
const char *const shadow_policy_words[] = {SHADOW_POLICY_WORDS, NULL};

static const struct key page_mix_keys[] = {
    {.name = "4KiB", .type = TYPE_SHARE, .help = "Share of memory mapped by 4 KiB pages"},
    {.name = "2MiB", .type = TYPE_SHARE, .help = "Share of memory mapped by 2 MiB pages"},
    {.name = "1GiB", .type = TYPE_SHARE, .help = "Share of memory mapped by 1 GiB pages"},
};
KIND(page_mix, "A mix of page sizes; the shares add up to 1.");

static const struct key ept_keys[] = {
    {.name = "accessed_dirty",
     .type = TYPE_BOOL,
     .fallback = "true",
     .help = "The processor sets accessed and dirty flags (EPTP bit 6); reads of the guest's "
             "tables then count as writes"},
    {.name = "page_log",
     .type = TYPE_BOOL,
     .fallback = "false",
     .help = "Page-modification logging: pages that become dirty are logged, and a full log exits; "
             "needs `accessed_dirty`"},
    {.name = "mode_based_execute",
     .type = TYPE_BOOL,
     .fallback = "false",
     .help = "Entries tell execution of supervisor addresses (bit 2) from user's (bit 10)"},
    {.name = "execute_only",
     .type = TYPE_BOOL,
     .fallback = "true",
     .help = "Pages may be executable and not readable; else such an entry is misconfigured"},
    {.name = "advanced_information",
     .type = TYPE_BOOL,
     .fallback = "false",
     .help = "Violations tell the rights of the guest's own tables (qualification bits 9 to 11)"},
    {.name = "vpid",
     .type = TYPE_BOOL,
     .fallback = "true",
     .help = "Translations are tagged by VM (EPT's VPID, NPT's ASID); without, every exit drops "
             "them"},
};
KIND(ept, "Controls of the second stage. NPT has only `vpid`, there called ASID.");

static const struct key host_image_keys[] = {
    {.name = "hpa",
     .type = TYPE_ADDRESS,
     .required = true,
     .example = "\"0x10000\"",
     .help = "Where the first byte stands, in host memory"},
    IMAGE_CONTENTS,
};
KIND(host_image, "Something written into host memory before the run: `u64` or `bytes`.");

static const struct key second_stage_raw_keys[] = {
    {.name = "eptp",
     .type = TYPE_U64,
     .example = "\"0x1005e\"",
     .help = "EPT: the EPTP. Bits 2:0 are the memory type (6), 5:3 the levels less one, 6 turns on "
             "accessed and dirty flags, above 12 is the top table's hpa"},
    {.name = "ncr3",
     .type = TYPE_U64,
     .example = "\"0x10000\"",
     .help = "NPT: the nested CR3, hpa of the top table"},
    {.name = "image",
     .child = &host_image_schema,
     .list = true,
     .help = "Tables, in host memory. What they map is the VM's memory"},
};
KIND(second_stage_raw,
     "Tables of a raw VM's second stage. Its hypervisor answers nothing: every violation and "
     "misconfiguration is an outcome. Guest memory is where these tables map it, so that `image` "
     "of the VM is written through them.");

static const struct key shadow_keys[] = {
    {.name = "policy",
     .type = TYPE_WORD,
     .words = shadow_policy_words,
     .fallback = "\"kvm\"",
     .help = "`kvm`: leaf tables may go out of sync until the guest invalidates, upper ones are "
             "write-protected; `trace`: every write to a shadowed table exits; `vtlb`: none does, "
             "the shadow is a TLB in software"},
    {.name = "prefetch",
     .type = TYPE_COUNT,
     .most = 512,
     .fallback = TEXT_OF(DEFAULT_PREFETCH),
     .help = "Entries filled around one that is; 0: none"},
    {.name = "flood",
     .type = TYPE_COUNT,
     .most = 1000000,
     .fallback = TEXT_OF(DEFAULT_FLOOD),
     .help = "Writes to an upper table without its use until its shadow is dropped; 0: never"},
    {.name = "pages",
     .type = TYPE_COUNT,
     .most = NUMBER_MAX,
     .fallback = "0",
     .help = "Shadow tables at most; 0: 2 % of the VM's pages, and at least 64"},
};
KIND(shadow, "Shadow paging.");

static const struct key direct_keys[] = {
    {.name = "batch",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1024,
     .fallback = TEXT_OF(DEFAULT_BATCH),
     .help = "Updates that one hypercall carries at most"},
};
KIND(direct, "Direct paging: the guest's tables hold host frames.");

static const struct key agile_keys[] = {
    {.name = "shadow_levels",
     .type = TYPE_COUNT,
     .most = 5,
     .example = "2",
     .help = "Levels from the top that are shadowed, for good; default: by what is written"},
    {.name = "writes",
     .type = TYPE_COUNT,
     .least = 1,
     .most = 1000000,
     .fallback = TEXT_OF(DEFAULT_WRITES),
     .help = "Writes to a table within an interval that make it nested"},
    {.name = "interval",
     .type = TYPE_COUNT,
     .least = 1,
     .most = NUMBER_MAX,
     .fallback = TEXT_OF(DEFAULT_INTERVAL),
     .help = "Accesses between two looks for tables that are quiet again"},
};
KIND(agile, "Agile paging: upper levels shadowed, lower ones nested.");
