/* The script: who does what, and whether it can. */
#include "sim/scenario/load.h"

#include <string.h>

/* Verbs that need a guest OS, and those whose process matters. */
#define VERB_BIT(verb) (1u << VERB_##verb)
enum {
    NEEDS_GUEST_OS = VERB_BIT(map) | VERB_BIT(unmap) | VERB_BIT(protect) | VERB_BIT(switch),
    HAS_PROCESS = NEEDS_GUEST_OS | VERB_BIT(access),
    HAS_RANGE = VERB_BIT(map) | VERB_BIT(unmap) | VERB_BIT(protect),
};

/* The number that a name or number stands for among @p n named things; -1 after saying why not. */
static int find(struct loader *l, const cJSON *item, const char *what, unsigned n,
                const char *(*name_at)(const void *, unsigned), const void *things)
{
    const cJSON *named = member(item, what);
    if (!named && present(item, what))
        return -1;
    if (!named || cJSON_IsNumber(named)) {
        double number = named ? named->valuedouble : 0;
        if (number < n)
            return (int)number;
        if (n)
            remark(l->document, named ? named : item, "there is no %s %.0f" HINT "from 0 to %u",
                   what, number, n - 1);
        else
            remark(l->document, item, "the VM has no %s" HINT "give it \"processes\": [{}]", what);
        return -1;
    }
    bool full = diagnostics_full(l->document->diagnostics);
    struct guess guess = {.text = full ? NULL : named->valuestring};
    for (unsigned i = 0; i < n; i++) {
        if (!strcmp(name_at(things, i), named->valuestring))
            return (int)i;
        guess_try(&guess, name_at(things, i));
    }
    if (guess.best)
        remark(l->document, named, "no %s is named %s" HINT "did you mean \"%s\"?", what,
               quote(named->valuestring).text, guess.best);
    else
        remark(l->document, named, "no %s is named %s" HINT "there are %u; the first is %s", what,
               quote(named->valuestring).text, n, n ? quote(name_at(things, 0)).text : "none");
    return -1;
}

static const char *vm_name(const void *vms, unsigned i)
{
    return ((const struct vm_config *)vms)[i].name;
}

static const char *process_name(const void *processes, unsigned i)
{
    return ((const struct process_config *)processes)[i].name;
}

/* Fills vm and process; false if either is unknown or can't do the verb. */
static bool load_actor(struct loader *l, const cJSON *item, struct script_item *s)
{
    const struct machine_config *m = l->machine;
    int vm = find(l, item, "vm", m->n_vms, vm_name, m->vms);
    if (vm < 0)
        return false;
    s->vm = (unsigned)vm;
    const struct vm_config *config = &m->vms[vm];
    bool has_process = HAS_PROCESS >> s->verb & 1;
    if (config->raw && (NEEDS_GUEST_OS >> s->verb & 1)) {
        remark(l->document, member(item, "do"),
               "\"%s\" in a raw VM, which has no guest OS" HINT "edit its tables by \"store\"",
               verb_words[s->verb]);
        return false;
    }
    if (config->raw && member(item, "process")) {
        remark(l->document, member(item, "process"),
               "a raw VM has no processes" HINT "leave it out");
        return false;
    }
    if (config->raw || (!has_process && !present(item, "process")))
        return true;
    int process = find(l, item, "process", config->n_processes, process_name, config->processes);
    s->process = (unsigned)(process < 0 ? 0 : process);
    return process >= 0;
}

/* An address of a format without sign extension must have no bits above its width. */
static bool check_width(struct loader *l, const cJSON *item, const struct vm_facts *facts,
                        uint64_t gva, uint64_t size)
{
    const struct format *f = &facts->format;
    if (!member(item, "gva") || !facts->sound)
        return false;
    uint64_t last = gva + (size - 1);
    if (last < gva || (!f->canonical && last >> f->ia_bits)) {
        remark(l->document, member(item, "gva"),
               "beyond the address space" HINT "%s paging has addresses of %u bits", f->name,
               f->canonical ? 64 : f->ia_bits);
        return false;
    }
    return true;
}

static bool is_word_size(uint64_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* A value to write must have a size that is a word's, and fit it. */
static void check_value_size(struct loader *l, const cJSON *item, uint64_t size, uint64_t value)
{
    if (!is_word_size(size))
        remark(l->document, member_or(item, "size"),
               "%llu bytes can't be written as one value" HINT "give \"size\" 1, 2, 4 or 8",
               (unsigned long long)size);
    else if (size < 8 && value >> (8 * size))
        remark(l->document, member(item, "value"),
               "wider than \"size\" %llu" HINT "give \"size\": 8, or a smaller value",
               (unsigned long long)size);
}

static void load_cpl(struct loader *l, const cJSON *item, struct script_item *s, bool raw)
{
    const cJSON *user = member(item, "user"), *cpl = member(item, "cpl");
    unsigned level = raw ? 0 : 3;
    if (user)
        level = cJSON_IsTrue(user) ? 3 : 0;
    if (cpl)
        level = (unsigned)read_number(&script_schema, item, "cpl");
    if (user && cpl && cJSON_IsTrue(user) != (level == 3))
        remark(l->document, cpl, "contradicts \"user\": %s" HINT "give one of them",
               cJSON_IsTrue(user) ? "true" : "false");
    if (level == 3)
        s->access.flags |= ACCESS_USER;
    if (read_number(&script_schema, item, "ac"))
        s->access.flags |= ACCESS_AC;
}

static void load_access(struct loader *l, const cJSON *item, struct script_item *s)
{
    uint64_t size = read_number(&script_schema, item, "size");
    s->access.op = (uint8_t)read_number(&script_schema, item, "op");
    s->access.process = (uint16_t)s->process;
    if (s->access.op == OP_EXEC && !member(item, "size"))
        size = 1;
    if (size > 64)
        remark(l->document, member(item, "size"), "an access of %llu bytes" HINT "from 1 to 64",
               (unsigned long long)size);
    s->access.size = (uint16_t)size;
    load_cpl(l, item, s, l->vms[s->vm].raw);
    check_width(l, item, &l->facts[s->vm], s->access.gva, size);
    if (s->has_value && s->access.op != OP_WRITE && !(present(item, "op") && !member(item, "op")))
        remark(l->document, member(item, "value"),
               "only a write has a value" HINT "add \"op\": \"write\", or leave it out");
    else if (s->has_value)
        check_value_size(l, item, size, s->value);
}

static void check_gpa(struct loader *l, const cJSON *item, const struct script_item *s,
                      uint64_t bytes)
{
    uint64_t memory = l->vms[s->vm].memory;
    if (member(item, "gpa") && (s->gpa >= memory || bytes > memory - s->gpa))
        remark(l->document, member(item, "gpa"),
               "%llu bytes from there don't fit the VM's memory "
               "of %llu" HINT "gpa counts from 0",
               (unsigned long long)bytes, (unsigned long long)memory);
}

static void load_store(struct loader *l, const cJSON *item, struct script_item *s)
{
    uint64_t size = read_number(&script_schema, item, "size");
    s->size = (unsigned)size;
    if (s->has_value || !is_word_size(size))
        check_value_size(l, item, size, s->value);
    check_gpa(l, item, s, size);
}

static void load_dump(struct loader *l, const cJSON *item, struct script_item *s)
{
    s->length = read_number(&script_schema, item, "count");
    check_gpa(l, item, s, 8 * s->length);
}

/* Frames of the VM's, whole. */
static void load_move(struct loader *l, const cJSON *item, struct script_item *s)
{
    static const char *const names[] = {"gpa", "size"};
    s->length = read_number(&script_schema, item, "size");
    for (unsigned i = 0; i < 2; i++)
        if (member(item, names[i]) && read_number(&script_schema, item, names[i]) % FRAME_BYTES)
            remark(l->document, member(item, names[i]),
                   "a hypervisor maps whole frames" HINT "give a multiple of 4KiB");
    if (l->vms[s->vm].second_stage_raw.given)
        remark(l->document, member(item, "do"),
               "\"%s\" in a VM whose second stage is given by hand" HINT
               "leave \"second_stage_raw\" out",
               verb_words[s->verb]);
    if (member(item, "size"))
        check_gpa(l, item, s, s->length);
}

static void load_range(struct loader *l, const cJSON *item, struct script_item *s)
{
    load_map(l, item, &script_schema, s->vm, &s->map);
    s->length = s->map.size;
}

static void load_invlpg(struct loader *l, const cJSON *item, struct script_item *s)
{
    if (member(item, "gva"))
        check_width(l, item, &l->facts[s->vm], s->access.gva, 1);
}

static void load_invpcid(struct loader *l, const cJSON *item, struct script_item *s)
{
    s->type = (unsigned)read_number(&script_schema, item, "type");
    s->pcid = (uint16_t)read_number(&script_schema, item, "pcid");
    load_invlpg(l, item, s);
}

/* INVEPT of one second stage, unless all are asked for. */
static void load_invept(struct loader *l, const cJSON *item, struct script_item *s)
{
    s->type = member(item, "type") ? (unsigned)read_number(&script_schema, item, "type") : 1;
    if (s->type != 1 && s->type != 2)
        remark(l->document, member(item, "type"),
               "INVEPT has no type %u" HINT "1 is the VM's second stage, 2 all", s->type);
}

/* INVVPID of one VPID, unless something else is asked for; only type 0 has an address. */
static void load_invvpid(struct loader *l, const cJSON *item, struct script_item *s)
{
    const cJSON *type = member(item, "type"), *gva = member(item, "gva");
    s->type = type ? (unsigned)read_number(&script_schema, item, "type") : 1;
    s->pcid = (uint16_t)read_number(&script_schema, item, "vpid");
    if (present(item, "type") && !type)
        return;
    if (gva && s->type)
        remark(l->document, gva,
               "INVVPID of type %u is of no single address" HINT
               "give \"type\": 0, or leave it out",
               s->type);
    else if (!s->type && !present(item, "gva"))
        remark(l->document, type,
               "INVVPID of type 0 without \"gva\"" HINT "add \"gva\": \"0x1000\"");
    else
        load_invlpg(l, item, s);
}

static void load_pkru(struct loader *l, const cJSON *item, struct script_item *s)
{
    if (s->value >> 32)
        remark(l->document, member(item, "value"),
               "PKRU has 32 bits" HINT "give at most 0xffffffff");
}

static void load_run(struct loader *l, const cJSON *item, struct script_item *s)
{
    (void)l;
    s->length = read_number(&script_schema, item, "accesses");
}

/* What is particular to a verb; the others have what all have. */
static void (*const load_verb[VERB_COUNT])(struct loader *, const cJSON *, struct script_item *) = {
    [VERB_access] = load_access,   [VERB_store] = load_store,        [VERB_invlpg] = load_invlpg,
    [VERB_invpcid] = load_invpcid, [VERB_wrpkru] = load_pkru,        [VERB_invept] = load_invept,
    [VERB_invvpid] = load_invvpid, [VERB_map] = load_range,          [VERB_unmap] = load_range,
    [VERB_protect] = load_range,   [VERB_dump] = load_dump,          [VERB_run] = load_run,
    [VERB_drop] = load_move,       [VERB_write_protect] = load_move,
};

static void load_item(struct loader *l, const cJSON *item, struct script_item *s)
{
    const struct schema *schema = &script_schema;
    const cJSON *at = member(item, "at");
    if (!cJSON_IsObject(item) || !member(item, "do"))
        return;
    s->verb = (enum verb)read_number(schema, item, "do");
    s->at_access = at && cJSON_IsNumber(at);
    s->at_time = at && cJSON_IsString(at);
    s->at = read_number(schema, item, "at");
    s->access.gva = read_number(schema, item, "gva");
    s->gpa = read_number(schema, item, "gpa");
    s->has_value = member(item, "value") != NULL;
    s->value = read_number(schema, item, "value");
    if (load_actor(l, item, s) && load_verb[s->verb])
        load_verb[s->verb](l, item, s);
}

const struct script_item *load_script(struct loader *l, const cJSON *list, unsigned *count)
{
    unsigned n = list ? (unsigned)cJSON_GetArraySize(list) : 0, i = 0;
    struct script_item *script = storage_take(l->storage, n * sizeof *script);
    *count = n;
    if (!l->machine->n_vms)
        return script;
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next, i++)
        load_item(l, item, &script[i]);
    return script;
}
