/* Raw VMs: registers and images. And what the caches of any VM hold before the run. */
#include "sim/scenario/load.h"

#include <string.h>

/* What a raw VM starts with when `registers` omits it, by paging; 4-level where none is given. */
static const struct registers standard[] = {
    [PAGING_TEXTBOOK] = {.cr0 = 0x80010033, .cr4 = 0x20, .efer = 0xd01},
    [PAGING_2_LEVEL] = {.cr0 = 0x80010033, .cr4 = 0x10},
    [PAGING_PAE] = {.cr0 = 0x80010033, .cr4 = 0x20, .efer = 0x800},
    [PAGING_4_LEVEL] = {.cr0 = 0x80010033, .cr4 = 0x20, .efer = 0xd01},
    [PAGING_5_LEVEL] = {.cr0 = 0x80010033, .cr4 = 0x1020, .efer = 0xd01},
};

static struct registers read_registers(const cJSON *item, enum paging paging)
{
    struct registers r = standard[paging];
    if (member(item, "cr0"))
        r.cr0 = read_number(&registers_schema, item, "cr0");
    if (member(item, "cr4"))
        r.cr4 = read_number(&registers_schema, item, "cr4");
    if (member(item, "efer"))
        r.efer = read_number(&registers_schema, item, "efer");
    r.cr3 = read_number(&registers_schema, item, "cr3");
    r.pkru = (uint32_t)read_number(&registers_schema, item, "pkru");
    return r;
}

/* Whether a register was refused: then nothing can be said about how they go together. */
static bool registers_known(const cJSON *item)
{
    for (unsigned i = 0; i < registers_schema.n_keys; i++)
        if (present(item, registers_schema.keys[i].name) &&
            !member(item, registers_schema.keys[i].name))
            return false;
    return item != NULL;
}

/* The mode that the registers select must be possible, and the one that was asked for. */
static void check_registers(struct loader *l, const cJSON *vm_item, const cJSON *item,
                            struct vm_config *vm, struct vm_facts *facts)
{
    struct document *d = l->document;
    const struct registers *r = &vm->registers;
    unsigned selected = control_paging(r);
    const char *fault = control_fault(r, &l->machine->profile);
    const cJSON *asked = member(member(vm_item, "guest"), "paging");
    facts->sound = false;
    if (fault)
        remark(d, item, "%s" HINT "no processor loads these registers", fault);
    else if (!selected)
        remark(d, member_or(item, "cr0"),
               "paging is off" HINT "set CR0.PG (bit 31) and CR0.PE (bit 0)");
    else if (!(r->efer & EFER_LMA) != !(r->efer & EFER_LME))
        remark(d, member_or(item, "efer"),
               "EFER.LMA (bit 10) and LME (bit 8) differ" HINT
               "with paging on they are equal: 0xd01 or 0x800");
    else if (asked && selected != vm->paging)
        remark(d, member_or(item, "cr4"),
               "the registers select %s paging, not %s" HINT
               "leave /guest/paging out, or set CR4.PAE (bit 5), "
               "CR4.LA57 (12) and EFER.LME (8) to fit",
               paging_words[selected - PAGING_2_LEVEL], asked->valuestring);
    else
        facts->sound = true;
    if (facts->sound)
        vm->paging = (enum paging)selected;
}

void load_raw(struct loader *l, const cJSON *item, unsigned number)
{
    struct vm_config *vm = &l->vms[number];
    struct vm_facts *facts = &l->facts[number];
    const cJSON *registers = member(item, "registers");
    vm->registers = read_registers(registers, vm->paging);
    if (!present(item, "registers"))
        remark(l->document, member_or(item, "image"),
               "\"image\" without \"registers\"" HINT "a raw VM needs both: add \"registers\": "
               "{\"cr3\": \"0x1000\"}");
    else if (!registers_known(registers))
        facts->sound = false;
    else if (vm->paging != PAGING_TEXTBOOK && facts->sound)
        check_registers(l, item, registers, vm, facts);
}

static void write_words(uint8_t *bytes, const struct key *key, const cJSON *list)
{
    uint64_t word = 0;
    for (const cJSON *item = list->child; item; item = item->next) {
        value_number(key, item, &word);
        for (unsigned i = 0; i < 8; i++)
            *bytes++ = (uint8_t)(word >> 8 * i);
    }
}

static void load_image(struct loader *l, const cJSON *item, const struct image_place *place,
                       struct image_config *image)
{
    struct document *d = l->document;
    const cJSON *words = member(item, "u64"), *text = member(item, "bytes");
    image->gpa = read_number(place->schema, item, place->address);
    if (!present(item, "u64") == !present(item, "bytes")) {
        remark(d, item, "%s" HINT "give one of them",
               words ? "both \"u64\" and \"bytes\"" : "neither \"u64\" nor \"bytes\"");
        return;
    }
    if ((!words && !text) || !member(item, place->address))
        return;
    uint64_t length =
        words ? 8 * (uint64_t)cJSON_GetArraySize(words) : value_bytes(text->valuestring, NULL);
    if (image->gpa >= place->bytes || length > place->bytes - image->gpa) {
        remark(d, member(item, place->address),
               "%llu bytes from there don't fit the %s's memory of %llu" HINT
               "give the %s more memory, or a lower %s",
               (unsigned long long)length, place->owner, (unsigned long long)place->bytes,
               place->owner, place->address);
        return;
    }
    uint8_t *bytes = storage_take(l->storage, length);
    if (words)
        write_words(bytes, spec_key(place->schema, "u64"), words);
    else
        value_bytes(text->valuestring, bytes);
    image->bytes = bytes;
    image->length = length;
}

const struct image_config *load_images_of(struct loader *l, const cJSON *list,
                                          const struct image_place *place, unsigned *count)
{
    unsigned n = 0;
    *count = list ? (unsigned)cJSON_GetArraySize(list) : 0;
    struct image_config *images = storage_take(l->storage, *count * sizeof *images);
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        load_image(l, item, place, &images[n++]);
    return images;
}

/* CR3 can only be checked against memory, whose default follows from the paging. */
void load_images(struct loader *l, const cJSON *item, unsigned number)
{
    struct vm_config *vm = &l->vms[number];
    const struct image_place place = {&image_schema, "gpa", "VM", vm->memory};
    const cJSON *cr3 = member(member(item, "registers"), "cr3");
    if (cr3 && l->facts[number].sound && (vm->registers.cr3 & ~CR3_PCID) >= vm->memory)
        remark(l->document, cr3,
               "CR3 points beyond the VM's memory of %llu bytes" HINT
               "the top table is in guest memory",
               (unsigned long long)vm->memory);
    vm->images = load_images_of(l, member(item, "image"), &place, &vm->n_images);
}

/* Whether set and way exist in a cache; and the number (of a page or line) that stands there. */
static bool placed(struct loader *l, const cJSON *item, const struct schema *schema,
                   const struct shape *shape, struct preload_config *p, uint64_t *number)
{
    struct document *d = l->document;
    uint32_t ways = shape->ways ? shape->ways : shape->entries;
    uint32_t sets = ways ? shape->entries / ways : 0;
    p->set = (uint32_t)read_number(schema, item, "set");
    p->way = (uint32_t)read_number(schema, item, "way");
    p->tag = read_number(schema, item, "tag");
    if (!member(item, "set") || !member(item, "way") || !member(item, "tag"))
        return false;
    if (!sets)
        remark(d, item, "the machine has no such cache" HINT "give it one by /machine/override");
    else if (p->set >= sets)
        remark(d, member(item, "set"), "there are %u sets" HINT "from 0 to %u", sets, sets - 1);
    else if (p->way >= ways)
        remark(d, member(item, "way"), "a set has %u ways" HINT "from 0 to %u", ways, ways - 1);
    else if (p->tag >> MEMO_KEY_BITS || (p->tag * sets + p->set) >> MEMO_KEY_BITS)
        remark(d, member(item, "tag"),
               "too great a tag" HINT "tag and set together have at most "
               "%d bits",
               MEMO_KEY_BITS);
    else
        return *number = p->tag * sets + p->set, true;
    return false;
}

static bool load_preload_tlb(struct loader *l, const cJSON *item, unsigned vm,
                             struct preload_config *p)
{
    const struct tlb_profile *tlb;
    const struct format *format = &l->facts[vm].format;
    uint64_t number, frames = l->vms[vm].memory >> format->shift[1];
    p->which = (uint8_t)read_number(&preload_tlb_schema, item, "tlb");
    p->frame = read_number(&preload_tlb_schema, item, "frame");
    p->rights = (uint32_t)read_number(&preload_tlb_schema, item, "rights");
    tlb = &l->machine->profile.tlb[p->which];
    struct shape none = {0};
    const struct shape *shape =
        tlb->array_of[0] == TLB_NOWHERE ? &none : &tlb->array[tlb->array_of[0]];
    if (!member(item, "tlb") || !l->facts[vm].sound ||
        !placed(l, item, &preload_tlb_schema, shape, p, &number))
        return false;
    if (!present(item, "frame"))
        remark(l->document, item, "a valid entry without \"frame\"" HINT "add \"frame\": \"0xd\"");
    else if (p->frame >= frames)
        remark(l->document, member_or(item, "frame"),
               "no such frame" HINT "the VM's memory has %llu, from 0", (unsigned long long)frames);
    else if (!format->canonical && number >> (format->ia_bits - format->shift[1]))
        remark(l->document, member(item, "tag"),
               "no address has this page number" HINT "addresses have %u bits", format->ia_bits);
    return true;
}

static bool load_preload_line(struct loader *l, const cJSON *item, unsigned vm,
                              struct preload_config *p)
{
    const struct profile *profile = &l->machine->profile;
    const cJSON *bytes = member(item, "bytes");
    uint64_t number;
    p->data_cache = true;
    p->which = (uint8_t)read_number(&preload_line_schema, item, "cache");
    if (!member(item, "cache") ||
        !placed(l, item, &preload_line_schema, &profile->data[p->which], p, &number))
        return false;
    if ((number + 1) * profile->line > l->vms[vm].memory) {
        remark(l->document, member(item, "tag"),
               "the line is beyond the VM's memory of %llu "
               "bytes" HINT "its address is (tag * sets + set) * %u",
               (unsigned long long)l->vms[vm].memory, profile->line);
        return false;
    }
    p->length = bytes ? value_bytes(bytes->valuestring, NULL) : 0;
    if (p->length > profile->line) {
        remark(l->document, bytes, "%llu bytes in a line of %u" HINT "give at most a line",
               (unsigned long long)p->length, profile->line);
        return false;
    }
    if (bytes) {
        uint8_t *copy = storage_take(l->storage, p->length);
        value_bytes(bytes->valuestring, copy);
        p->bytes = copy;
    }
    return true;
}

static unsigned count_of(const cJSON *list)
{
    return list ? (unsigned)cJSON_GetArraySize(list) : 0;
}

void load_preloads(struct loader *l, const cJSON *item, unsigned number)
{
    struct vm_config *vm = &l->vms[number];
    const cJSON *tlb = member(item, "tlb"), *lines = member(item, "data_cache");
    struct preload_config *p =
        storage_take(l->storage, (count_of(tlb) + count_of(lines)) * sizeof *p);
    vm->preloads = p;
    for (tlb = tlb ? tlb->child : NULL; tlb; tlb = tlb->next)
        if (cJSON_IsObject(tlb) && read_number(&preload_tlb_schema, tlb, "valid"))
            vm->n_preloads += load_preload_tlb(l, tlb, number, &p[vm->n_preloads]);
    for (lines = lines ? lines->child : NULL; lines; lines = lines->next)
        if (cJSON_IsObject(lines) && read_number(&preload_line_schema, lines, "valid"))
            vm->n_preloads += load_preload_line(l, lines, number, &p[vm->n_preloads]);
}
