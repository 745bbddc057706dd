/* The VMs: mode, memory, paging. */
#include "sim/scenario/load.h"

#include <string.h>

#define GIB ((uint64_t)1 << 30)

/* Words that say how a range of bits was meant. */
static void check_entry_bits(struct document *d, const cJSON *item, const struct geometry *g)
{
    unsigned width = 8u * g->entry_bytes, end = g->frame_low + g->frame_bits;
    if (g->valid >= width)
        remark(d, member_or(item, "valid"), "an entry of %u bits has no bit %u" HINT "from 0 to %u",
               width, g->valid, width - 1);
    if (!g->frame_bits)
        remark(d, member_or(item, "frame"),
               "a frame number of no bits" HINT "give [lowest bit, width]");
    else if (end > width)
        remark(d, member_or(item, "frame"),
               "bits %u to %u don't fit an entry of %u bits" HINT "give [lowest bit, width]",
               g->frame_low, end - 1, width);
    else if (g->valid >= g->frame_low && g->valid < end)
        remark(d, member_or(item, "valid"),
               "the valid bit stands in the frame number, bits %u to "
               "%u" HINT "move one of them",
               g->frame_low, end - 1);
}

static void check_geometry(struct document *d, const cJSON *item, const struct geometry *g)
{
    unsigned index = 0, shift = (unsigned)__builtin_ctz(g->page);
    for (unsigned i = 0; i < g->levels; i++)
        index += g->index_bits[i];
    check_entry_bits(d, item, g);
    if (index > MEMO_KEY_BITS - 1 || index + shift > 57)
        remark(d, member_or(item, "levels"),
               "addresses of %u bits" HINT "at most 57, of which at most %d index tables",
               index + shift, MEMO_KEY_BITS - 1);
    if (shift + g->frame_bits > 52)
        remark(d, member_or(item, "frame"),
               "frame numbers reach beyond 2^52" HINT "at most %u bits", 52 - shift);
}

/* False when a member is missing or refused; all has been said then. */
static bool read_geometry(const cJSON *item, struct geometry *g)
{
    const cJSON *levels = member(item, "levels"), *frame = member(item, "frame");
    if (!levels || !frame || !member(item, "page") || !member(item, "entry_bytes") ||
        !member(item, "valid"))
        return false;
    *g = (struct geometry){
        .page = (uint32_t)read_number(&geometry_schema, item, "page"),
        .entry_bytes = (uint8_t)read_number(&geometry_schema, item, "entry_bytes"),
        .valid = (uint8_t)read_number(&geometry_schema, item, "valid"),
    };
    for (const cJSON *bits = levels->child; bits; bits = bits->next) {
        if (cJSON_IsInvalid(bits))
            return false;
        g->index_bits[g->levels++] = (uint8_t)bits->valuedouble;
    }
    if (cJSON_IsInvalid(frame->child) || cJSON_IsInvalid(frame->child->next))
        return false;
    g->frame_low = (uint8_t)frame->child->valuedouble;
    g->frame_bits = (uint8_t)frame->child->next->valuedouble;
    return true;
}

/* The paging of a built VM; a raw one's follows from its registers. */
static void load_paging(struct loader *l, const cJSON *guest, struct vm_config *vm,
                        struct vm_facts *facts)
{
    struct document *d = l->document;
    const cJSON *item = member(guest, "paging");
    unsigned before = d->diagnostics->count;
    vm->paging = (enum paging)(PAGING_2_LEVEL + read_number(&guest_schema, guest, "paging"));
    if (cJSON_IsObject(item)) {
        vm->paging = PAGING_TEXTBOOK;
        if (!read_geometry(item, &vm->geometry))
            return;
        check_geometry(d, item, &vm->geometry);
        if (before != d->diagnostics->count)
            return;
        facts->format = format_textbook(&vm->geometry);
    } else if (present(guest, "paging") && !item) {
        return;
    }
    if (vm->paging == PAGING_5_LEVEL && !profile_has(&l->machine->profile, FEATURE_la57))
        remark(d, item,
               "5-level paging without the feature la57, which the override switches off" HINT
               "take \"la57\": false out of /machine/override/features");
    facts->sound = true;
}

static void set_format(struct loader *l, struct vm_config *vm, struct vm_facts *facts)
{
    const struct profile *p = &l->machine->profile;
    struct format_limits limits = {.maxphyaddr = p->maxphyaddr,
                                   .nx = true,
                                   .pse = true,
                                   .pages_1g = profile_has(p, FEATURE_pdpe1gb)};
    if (facts->sound && vm->paging != PAGING_TEXTBOOK)
        facts->format = format_x86(vm->paging, &limits);
}

/* What the frame numbers in table entries reach. */
static uint64_t memory_reach(const struct vm_config *vm)
{
    if (vm->paging == PAGING_2_LEVEL && !vm->raw)
        return 4 * GIB; /* its guest OS leaves PSE-36 alone */
    if (vm->paging != PAGING_TEXTBOOK || !vm->geometry.page)
        return UINT64_MAX;
    return (uint64_t)vm->geometry.page << vm->geometry.frame_bits;
}

static void check_tables(struct loader *l, const cJSON *item, const struct vm_config *vm,
                         const struct format *format)
{
    for (unsigned level = 1; level <= format->levels; level++)
        if (format_table_bytes(format, level) > vm->memory) {
            remark(l->document, member_or(member(member(item, "guest"), "paging"), "levels"),
                   "a table of level %u takes %llu bytes, the VM has %llu" HINT
                   "give the level fewer bits, or the VM more memory",
                   level, (unsigned long long)format_table_bytes(format, level),
                   (unsigned long long)vm->memory);
            return;
        }
}

static void check_memory(struct loader *l, const cJSON *item, const cJSON *memory,
                         const struct vm_config *vm, const struct vm_facts *facts)
{
    struct document *d = l->document;
    uint64_t page = facts->sound ? (uint64_t)1 << facts->format.shift[1] : 1;
    unsigned long long host = l->machine->memory, reach = memory_reach(vm);
    if (vm->memory > host)
        remark(d, memory,
               "more memory than the machine's %llu bytes" HINT
               "give the VM less, or /machine/memory more",
               host);
    else if (facts->sound && vm->memory > reach)
        remark(d, memory,
               "more memory than frame numbers in its table entries reach" HINT
               "at most %llu bytes",
               reach);
    else if (vm->memory % page)
        remark(d, memory,
               "not a multiple of the page of %llu bytes" HINT "memory comes in whole frames",
               (unsigned long long)page);
    else if (facts->sound)
        check_tables(l, item, vm, &facts->format);
}

static void load_memory(struct loader *l, const cJSON *item, struct vm_config *vm,
                        const struct vm_facts *facts)
{
    const cJSON *memory = member(item, "memory");
    uint64_t host = l->machine->memory, reach = memory_reach(vm);
    vm->memory = host < 2 * GIB ? host : 2 * GIB;
    vm->memory = facts->sound && reach < vm->memory ? reach : vm->memory;
    if (cJSON_IsObject(memory)) {
        const cJSON *size = member(memory, "size"), *min = member(memory, "min");
        if (!size)
            return;
        vm->memory = read_number(&memory_schema, memory, "size");
        if (read_number(&memory_schema, memory, "min") > vm->memory)
            remark(l->document, min,
                   "\"min\" is greater than \"size\"" HINT
                   "what is never taken away is at most all");
        memory = size;
    } else if (memory) {
        vm->memory = read_number(&vm_schema, item, "memory");
    }
    check_memory(l, item, memory ? memory : item, vm, facts);
}

static void load_guest(struct loader *l, const cJSON *item, struct vm_config *vm,
                       struct vm_facts *facts)
{
    const cJSON *guest = member(item, "guest"), *reclaim = member(guest, "reclaim");
    load_paging(l, guest, vm, facts);
    vm->huge_pages = read_number(&guest_schema, guest, "huge_pages");
    vm->reclaim = (enum reclaim_policy)read_number(&reclaim_schema, reclaim, "policy");
    vm->reclaim_frames = read_number(&reclaim_schema, reclaim, "frames");
    if (vm->paging == PAGING_TEXTBOOK && vm->huge_pages)
        remark(l->document, member(guest, "huge_pages"),
               "a textbook geometry has no large pages" HINT "leave it out");
}

/* What goes only with a guest OS. */
static void refuse_guest_os(struct loader *l, const cJSON *item)
{
    static const struct {
        const char *object, *name;
    } owns[] = {
        {NULL, "processes"}, {NULL, "quantum"}, {"guest", "huge_pages"}, {"guest", "reclaim"}};
    for (unsigned i = 0; i < sizeof owns / sizeof *owns; i++) {
        const cJSON *object = owns[i].object ? member(item, owns[i].object) : item;
        const cJSON *own = member(object, owns[i].name);
        if (own)
            remark(l->document, own,
                   "\"%s\" in a raw VM, which has no guest OS" HINT
                   "take it out, or \"registers\" and \"image\"",
                   owns[i].name);
    }
}

/* A number appended to a word, for those who gave no name. */
const char *name_of(struct loader *l, const char *given, const char *word, unsigned number)
{
    char text[24];
    snprintf(text, sizeof text, "%s%u", word, number);
    given = given ? given : text;
    return storage_copy(l->storage, given, strlen(given));
}

static void load_vm(struct loader *l, const cJSON *item, unsigned number)
{
    struct vm_config *vm = &l->vms[number];
    struct vm_facts *facts = &l->facts[number];
    *vm = vm_config_default();
    vm->name = name_of(l, read_text(&vm_schema, item, "name"), "vm", number);
    vm->mode = (enum mode)read_number(&vm_schema, item, "mode");
    vm->vcpus = (unsigned)read_number(&vm_schema, item, "vcpus");
    vm->quantum = read_number(&vm_schema, item, "quantum");
    vm->raw = present(item, "registers") || present(item, "image");
    load_guest(l, item, vm, facts);
    if (vm->raw)
        refuse_guest_os(l, item);
    if (vm->raw)
        load_raw(l, item, number);
    set_format(l, vm, facts);
    load_memory(l, item, vm, facts);
    if (vm->raw)
        load_images(l, item, number);
    else
        load_processes(l, member(item, "processes"), number);
    load_preloads(l, member(item, "preload"), number);
    load_hypervisor(l, item, number);
}

void check_names(struct loader *l, const cJSON *list, const char *what)
{
    for (const cJSON *a = list ? list->child : NULL; a; a = a->next) {
        const cJSON *name = member(a, "name");
        for (const cJSON *b = list->child; name && b != a; b = b->next) {
            const cJSON *other = member(b, "name");
            if (!other || strcmp(other->valuestring, name->valuestring))
                continue;
            remark(l->document, name,
                   "a second %s named %s, the first at %s" HINT "give each a name of its own", what,
                   quote(name->valuestring).text, whereabouts(l->document, other).text);
            break;
        }
    }
}

void load_vms(struct loader *l, const cJSON *list)
{
    struct machine_config *m = l->machine;
    unsigned count = list ? (unsigned)cJSON_GetArraySize(list) : 0, i = 0;
    l->vms = storage_take(l->storage, count * sizeof *l->vms);
    l->facts = storage_take(l->storage, count * sizeof *l->facts);
    m->vms = l->vms;
    m->n_vms = count;
    check_names(l, list, "VM");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next, i++)
        load_vm(l, item, i);
    i = 0;
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next, i++) {
        if (count == 1 || !cJSON_IsObject(item) || l->vms[i].mode != MODE_NATIVE ||
            (present(item, "mode") && !member(item, "mode")))
            continue;
        remark(l->document, member_or(item, "mode"),
               "native has no hypervisor, so exactly one VM; there are %u" HINT
               "give every VM \"mode\": \"nested\" or \"shadow\"",
               count);
        break;
    }
}
