#include "sim/fuzz/writer.h"

#include <inttypes.h>
#include <string.h>

#include "sim/report/json_out.h"

enum { WORDS_IN_A_LINE = 4 };

static const char *const verb_names[] = {
#define X(name, help) #name,
    VERBS(X)
#undef X
};

/* , "key": "0x.." */
static void hex(FILE *out, const char *key, uint64_t number)
{
    fputs(", ", out);
    json_key(out, key);
    json_hex(out, number);
}

static void write_machine(FILE *out, const struct machine_config *machine)
{
    const struct profile *p = &machine->profile;
    int name = (int)strcspn(p->name, ","); /* "skylake-sp, overridden" */
    fprintf(out,
            "  \"machine\": { \"profile\": \"%.*s\", \"override\": { \"maxphyaddr\": %u } },\n",
            name, p->name, p->maxphyaddr);
}

static void write_registers(FILE *out, const struct registers *r)
{
    fputs("      \"registers\": { \"cr3\": ", out);
    json_hex(out, r->cr3);
    if (r->cr0 != 0x80010033)
        hex(out, "cr0", r->cr0);
    if (r->cr4 != CR4_PAE)
        hex(out, "cr4", r->cr4);
    if (r->efer != 0xd01)
        hex(out, "efer", r->efer);
    if (r->pkru)
        hex(out, "pkru", r->pkru);
    fputs(" }", out);
}

static uint64_t word_at(const struct image_config *image, uint64_t at)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word |= (uint64_t)image->bytes[at + i] << 8 * i;
    return word;
}

static void write_image(FILE *out, const struct image_config *image)
{
    fputs("        { \"gpa\": ", out);
    json_hex(out, image->gpa);
    fputs(", \"u64\": [ ", out);
    for (uint64_t at = 0; at < image->length; at += 8) {
        if (at)
            fputs(at / 8 % WORDS_IN_A_LINE ? ", " : ",\n            ", out);
        json_hex(out, word_at(image, at));
    }
    fputs(" ] }", out);
}

static void write_vm(FILE *out, const struct vm_config *vm)
{
    fprintf(out, "    { \"memory\": \"%" PRIu64 "KiB\",\n", vm->memory >> 10);
    if (vm->mode != MODE_NATIVE)
        fprintf(out, "      \"mode\": \"%s\",\n", mode_name(vm->mode));
    write_registers(out, &vm->registers);
    for (unsigned i = 0; i < vm->n_images; i++) {
        fputs(i ? ",\n" : ",\n      \"image\": [\n", out);
        write_image(out, &vm->images[i]);
    }
    fputs(vm->n_images ? " ] }" : " }", out);
}

static void write_access(FILE *out, const struct script_item *item)
{
    static const char *const ops[] = {"read", "write", "exec"};
    const struct access *a = &item->access;
    if (a->op != OP_READ)
        fprintf(out, ", \"op\": \"%s\"", ops[a->op]);
    hex(out, "gva", a->gva);
    if (a->size != (a->op == OP_EXEC ? 1 : 8))
        fprintf(out, ", \"size\": %u", a->size);
    if (a->flags & ACCESS_USER)
        fputs(", \"cpl\": 3", out);
    if (a->flags & ACCESS_AC)
        fputs(", \"ac\": true", out);
}

static void write_item(FILE *out, const struct script_item *item)
{
    fprintf(out, "    { \"do\": \"%s\"", verb_names[item->verb]);
    if (item->verb == VERB_access)
        write_access(out, item);
    if (item->verb == VERB_invlpg)
        hex(out, "gva", item->access.gva);
    if (item->verb == VERB_store)
        hex(out, "gpa", item->gpa);
    if (item->verb == VERB_store && item->size != 8)
        fprintf(out, ", \"size\": %u", item->size);
    if (item->has_value)
        hex(out, "value", item->value);
    fputs(" }", out);
}

void scenario_write(FILE *out, const struct scenario *s)
{
    fputs("{ \"version\": 1,\n", out);
    if (s->title) {
        fputs("  \"title\": ", out);
        json_string(out, s->title);
        fputs(",\n", out);
    }
    write_machine(out, &s->machine);
    fputs("  \"vms\": [\n", out);
    write_vm(out, &s->machine.vms[0]);
    fputs(" ],\n  \"script\": [", out);
    for (unsigned i = 0; i < s->n_script; i++) {
        fputs(i ? ",\n" : "\n", out);
        write_item(out, &s->script[i]);
    }
    fputs(" ] }\n", out);
}
