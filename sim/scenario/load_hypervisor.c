/* How a VM's memory is virtualized: its second stage, made or given by hand, and modes' settings.
 */
#include "sim/scenario/load.h"

#include <string.h>

/* Whether a key stands there and was refused: then what follows from it can't be said. */
static bool unknown(const cJSON *item, const char *name)
{
    return present(item, name) && !member(item, name);
}

/* ---- the second stage ---- */

/* Shares of 1000, by level. */
static void load_mix(struct loader *l, const cJSON *vm_item, struct vm_config *vm)
{
    static const char *const names[] = {NULL, "4KiB", "2MiB", "1GiB"};
    const cJSON *mix = member(vm_item, "second_stage_page");
    double sum = 0;
    memset(vm->page_share, 0, sizeof vm->page_share);
    if (!cJSON_IsObject(mix)) {
        static const uint8_t level_of_word[] = {1, 2, 2, 3}; /* of page_words */
        vm->page_share[level_of_word[read_number(&vm_schema, vm_item, "second_stage_page")]] = 1000;
        return;
    }
    for (unsigned level = 1; level <= 3; level++) {
        double share = read_real(&page_mix_schema, mix, names[level]);
        vm->page_share[level] = (uint32_t)(share * 1000 + 0.5);
        sum += share;
    }
    if (sum < 0.999999 || sum > 1.000001)
        remark(l->document, mix, "the shares add up to %.6g" HINT "they must add up to 1", sum);
}

/* A flat table has one level, and its entries map frames. */
static void check_flat(struct loader *l, const cJSON *item, const struct vm_config *vm)
{
    if (vm->second_stage == SECOND_FLAT && (vm->page_share[2] || vm->page_share[3]))
        remark(l->document, member(item, "second_stage_page"),
               "large pages in a flat table, whose one level maps 4KiB each" HINT
               "leave it out, or take another \"second_stage\"");
}

static void load_ept(struct loader *l, const cJSON *item, struct vm_config *vm)
{
    const cJSON *ept = member(item, "ept");
    vm->no_accessed_dirty = !read_number(&ept_schema, ept, "accessed_dirty");
    vm->page_log = read_number(&ept_schema, ept, "page_log");
    vm->mode_based_execute = read_number(&ept_schema, ept, "mode_based_execute");
    vm->no_execute_only = !read_number(&ept_schema, ept, "execute_only");
    vm->advanced_information = read_number(&ept_schema, ept, "advanced_information");
    vm->no_vpid = !read_number(&ept_schema, ept, "vpid");
    if (vm->page_log && vm->no_accessed_dirty && second_stage_is_ept(vm->second_stage))
        remark(l->document, member(ept, "page_log"),
               "a log of dirtied pages without dirty flags" HINT
               "take \"accessed_dirty\": false out, or \"page_log\"");
}

/* NPT has none of EPT's controls: its entries always have A and D, and X follows from NX. */
static void refuse_ept_keys(struct loader *l, const cJSON *item, const struct vm_config *vm)
{
    const cJSON *ept = member(item, "ept");
    for (unsigned i = 0; i < ept_schema.n_keys; i++) {
        const char *name = ept_schema.keys[i].name;
        if (member(ept, name) && strcmp(name, "vpid"))
            remark(l->document, member(ept, name),
                   "%s has no \"%s\"" HINT "of \"ept\" it has \"vpid\" alone, its ASID",
                   second_stage_words[vm->second_stage], name);
    }
}

/* ---- by hand ---- */

static void check_pointer(struct loader *l, const cJSON *pointer, const struct vm_config *vm)
{
    const struct profile *profile = &l->machine->profile;
    const struct second_stage_controls controls = {.kind = vm->second_stage,
                                                   .pointer = vm->second_stage_raw.pointer};
    hpa_t root = controls.pointer & low_bits(profile->maxphyaddr) & ~low_bits(FRAME_SHIFT);
    const char *fault = second_stage_fault(&controls, profile);
    if (fault)
        remark(l->document, pointer, "%s" HINT "\"0x%llx\" is %s with its top table at 0x%llx",
               fault,
               (unsigned long long)second_stage_pointer(vm->second_stage, root,
                                                        !vm->no_accessed_dirty),
               second_stage_words[vm->second_stage], (unsigned long long)root);
    else if (root >= l->machine->memory)
        remark(l->document, pointer,
               "it points beyond the machine's memory of %llu bytes" HINT
               "the top table is in host memory",
               (unsigned long long)l->machine->memory);
}

/* An EPTP for EPT, an nCR3 for NPT. */
static void load_pointer(struct loader *l, const cJSON *raw, struct vm_config *vm)
{
    bool ept = second_stage_is_ept(vm->second_stage);
    const char *takes = ept ? "eptp" : "ncr3", *other = ept ? "ncr3" : "eptp";
    const char *kind = second_stage_words[vm->second_stage];
    if (member(raw, other)) {
        remark(l->document, member(raw, other), "%s has no \"%s\"" HINT "give it \"%s\"", kind,
               other, takes);
    } else if (!present(raw, takes)) {
        remark(l->document, raw, "%s tables without \"%s\"" HINT "say where the top one is", kind,
               takes);
    } else if (member(raw, takes)) {
        vm->second_stage_raw.pointer = read_number(&second_stage_raw_schema, raw, takes);
        check_pointer(l, member(raw, takes), vm);
    }
}

static void load_by_hand(struct loader *l, const cJSON *item, struct vm_config *vm)
{
    const cJSON *raw = member(item, "second_stage_raw");
    struct document *d = l->document;
    if (!cJSON_IsObject(raw))
        return;
    vm->second_stage_raw.given = true;
    vm->second_stage_raw.images = load_images_of(
        l, member(raw, "image"),
        &(struct image_place){&host_image_schema, "hpa", "machine", l->machine->memory},
        &vm->second_stage_raw.n_images);
    if (!vm->raw)
        remark(d, raw,
               "the VM has a guest OS, whose memory a hypervisor backs with tables of its own" HINT
               "take it out, or give the VM \"registers\" and \"image\"");
    else if (vm->mode != MODE_NESTED && !unknown(item, "mode"))
        remark(d, raw, "%s mode walks no tables given by hand" HINT "only nested does",
               mode_name(vm->mode));
    else if (vm->second_stage == SECOND_FLAT)
        remark(d, raw,
               "a flat table, which no processor has, can't be given by hand" HINT
               "take another \"second_stage\"");
    else if (!unknown(item, "second_stage"))
        load_pointer(l, raw, vm);
}

/* ---- what modes read, and what they can't run ---- */

static void load_modes(const cJSON *item, struct vm_config *vm)
{
    const cJSON *shadow = member(item, "shadow"), *direct = member(item, "direct");
    const cJSON *agile = member(item, "agile");
    vm->shadow = (struct shadow_config){
        .policy = (enum shadow_policy)read_number(&shadow_schema, shadow, "policy"),
        .prefetch = (uint32_t)read_number(&shadow_schema, shadow, "prefetch"),
        .flood = (uint32_t)read_number(&shadow_schema, shadow, "flood"),
        .pages = read_number(&shadow_schema, shadow, "pages")};
    vm->direct.batch = (uint32_t)read_number(&direct_schema, direct, "batch");
    if (member(agile, "shadow_levels"))
        vm->agile.shadow_levels = (int8_t)read_number(&agile_schema, agile, "shadow_levels");
    vm->agile.writes = (uint32_t)read_number(&agile_schema, agile, "writes");
    vm->agile.interval = read_number(&agile_schema, agile, "interval");
}

#define MODE_BIT(mode) (1u << MODE_##mode)
enum {
    /* The tables that are walked are the hypervisor's or checked by it: in x86's formats. */
    NOT_TEXTBOOK = MODE_BIT(SHADOW) | MODE_BIT(DIRECT) | MODE_BIT(AGILE),
    /* The guest asks for each change of its tables. */
    NOT_RAW = MODE_BIT(DIRECT),
};

/* The modes without those of a set. */
struct modes {
    char text[120];
};

static struct modes modes_but(unsigned without)
{
    struct modes modes = {""};
    for (enum mode mode = 0; mode < MODES; mode++)
        if (!(without >> mode & 1))
            snprintf(modes.text + strlen(modes.text), sizeof modes.text - strlen(modes.text),
                     "%s%s", *modes.text ? ", " : "", mode_name(mode));
    return modes;
}

static void check_mode(struct loader *l, const cJSON *item, const struct vm_config *vm)
{
    const cJSON *mode = member(item, "mode");
    if (vm->raw && NOT_RAW >> vm->mode & 1)
        remark(l->document, mode,
               "a raw VM can't run in %s mode, where a guest OS asks for each change of its "
               "tables" HINT "possible: %s",
               mode_name(vm->mode), modes_but(NOT_RAW).text);
    else if (vm->paging == PAGING_TEXTBOOK && NOT_TEXTBOOK >> vm->mode & 1)
        remark(l->document, mode,
               "a textbook geometry can't run in %s mode, where a hypervisor makes the tables "
               "that are walked, in x86's formats" HINT "possible: %s",
               mode_name(vm->mode), modes_but(NOT_TEXTBOOK).text);
}

void load_hypervisor(struct loader *l, const cJSON *item, unsigned number)
{
    struct vm_config *vm = &l->vms[number];
    vm->second_stage = (enum second_stage)read_number(&vm_schema, item, "second_stage");
    load_mix(l, item, vm);
    check_flat(l, item, vm);
    load_ept(l, item, vm);
    if (!second_stage_is_ept(vm->second_stage))
        refuse_ept_keys(l, item, vm);
    load_by_hand(l, item, vm);
    load_modes(item, vm);
    check_mode(l, item, vm);
}
