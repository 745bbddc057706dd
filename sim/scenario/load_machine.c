/* The host: profiles and what overrides them. A profile is an override of nothing. */
#include "sim/scenario/load.h"

#include <stdlib.h>
#include <string.h>

#include "sim/scenario/profiles.h"

/* What a profile file leaves out. */
static const struct profile blank = {
    .maxphyaddr = 52,
    .mhz = 1000,
    .line = 64,
    .features = (1u << FEATURE_COUNT) - 1,
    .tlb = {{.array_of = {TLB_NOWHERE, TLB_NOWHERE, TLB_NOWHERE}, .kept_as = {0, 1, 2}},
            {.array_of = {TLB_NOWHERE, TLB_NOWHERE, TLB_NOWHERE}, .kept_as = {0, 1, 2}},
            {.array_of = {TLB_NOWHERE, TLB_NOWHERE, TLB_NOWHERE}, .kept_as = {0, 1, 2}}}};

const char *const *profile_names(void)
{
    return shipped_names;
}

/* Sizes of one cache; what the object omits stays. Data caches may give bytes: @p line of them. */
static void apply_shape(struct document *d, const cJSON *item, uint32_t line, struct shape *shape)
{
    const struct schema *schema = line ? &data_cache_schema : &array_schema;
    if (!cJSON_IsObject(item))
        return;
    if (member(item, "entries"))
        shape->entries = (uint32_t)read_number(schema, item, "entries");
    if (member(item, "ways"))
        shape->ways = (uint32_t)read_number(schema, item, "ways");
    if (member(item, "replacement"))
        shape->replacement = (enum replacement)read_number(schema, item, "replacement");
    const cJSON *size = line ? member(item, "size") : NULL;
    if (size) {
        uint64_t bytes = read_number(schema, item, "size");
        shape->entries = (uint32_t)(bytes / line);
        if (member(item, "entries"))
            remark(d, size, "both \"size\" and \"entries\"" HINT "give one of them");
        else if (bytes % line || shape->entries > 1 << 24)
            remark(d, size, "not a number of lines" HINT "a line has %u bytes; at most 2^24 lines",
                   line);
    }
    uint32_t ways = shape->ways ? shape->ways : shape->entries;
    if (shape->entries && shape->entries % ways)
        remark(d, member_or(item, member(item, "ways") ? "ways" : "entries"),
               "%u entries don't divide into %u ways" HINT
               "give \"ways\" a divisor of %u, or 0 for "
               "fully associative",
               shape->entries, ways, shape->entries);
    else if (ways > 65535)
        remark(d, member_or(item, "entries"),
               "fully associative with %u entries" HINT "at most 65535 ways", ways);
}

/* The bits of the page classes that a key such as "4KiB+2MiB" names. */
static unsigned classes_of(const char *key)
{
    static const char *const names[PAGE_CLASSES] = {"4KiB", "2MiB", "1GiB"};
    unsigned classes = 0;
    for (unsigned c = 0; c < PAGE_CLASSES; c++)
        classes |= strstr(key, names[c]) ? 1u << c : 0;
    return classes;
}

/* A TLB in the making: any number of arrays, of which each class has one. */
struct tlb_draft {
    struct shape array[3 + PAGE_CLASSES]; /* the old ones, then one per key */
    unsigned n_arrays;
    int array_of[PAGE_CLASSES]; /* -1: nowhere */
    int kept_as[PAGE_CLASSES];
    unsigned given;
};

static struct tlb_draft draft_of(const struct tlb_profile *tlb)
{
    struct tlb_draft draft = {.n_arrays = PAGE_CLASSES};
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        draft.array[c] = tlb->array[c];
        draft.array_of[c] = tlb->array_of[c] == TLB_NOWHERE ? -1 : tlb->array_of[c];
        draft.kept_as[c] = tlb->kept_as[c];
    }
    return draft;
}

static void settle(const struct tlb_draft *draft, struct tlb_profile *tlb)
{
    int number[3 + PAGE_CLASSES];
    unsigned n = 0;
    memset(number, -1, sizeof number);
    memset(tlb->array, 0, sizeof tlb->array);
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        int a = draft->array_of[c];
        if (a >= 0 && number[a] < 0 && draft->array[a].entries) {
            tlb->array[n] = draft->array[a];
            number[a] = (int)n++;
        }
        tlb->array_of[c] = a < 0 || number[a] < 0 ? TLB_NOWHERE : (uint8_t)number[a];
        int kept = draft->kept_as[c];
        tlb->kept_as[c] = (unsigned)kept == c ? (uint8_t)c : tlb->kept_as[kept];
    }
}

static void apply_page_key(struct document *d, const cJSON *item, struct tlb_draft *draft)
{
    unsigned classes = classes_of(item->string);
    if (draft->given & classes) {
        remark(d, item, "a page size that another key has already" HINT "name each size once");
        return;
    }
    draft->given |= classes;
    unsigned first = (unsigned)__builtin_ctz(classes);
    if (cJSON_IsString(item)) {
        draft->kept_as[first] = __builtin_ctz(classes_of(item->valuestring));
        draft->array_of[first] = -1;
        return;
    }
    int old = draft->array_of[first];
    unsigned fresh = draft->n_arrays++;
    if (old >= 0)
        draft->array[fresh] = draft->array[old];
    apply_shape(d, item, 0, &draft->array[fresh]);
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        if (!(classes >> c & 1))
            continue;
        draft->array_of[c] = (int)fresh;
        draft->kept_as[c] = (int)c;
    }
}

static bool is_plain(const cJSON *item)
{
    return member(item, "entries") || member(item, "ways") || member(item, "replacement");
}

static void apply_tlb(struct document *d, const cJSON *item, struct tlb_profile *tlb)
{
    struct tlb_draft draft = draft_of(tlb);
    if (!cJSON_IsObject(item))
        return;
    bool plain = is_plain(item);
    for (cJSON *child = item->child; child; child = child->next) {
        if (cJSON_IsInvalid(child) || !classes_of(child->string))
            continue;
        if (plain)
            remark(d, child,
                   "an array per page size beside a plain TLB" HINT
                   "give either entries, ways, replacement, or page sizes");
        else
            apply_page_key(d, child, &draft);
    }
    if (plain) {
        unsigned shared = draft.array_of[0] < 0 ? draft.n_arrays : (unsigned)draft.array_of[0];
        apply_shape(d, item, 0, &draft.array[shared]);
        for (unsigned c = 0; c < PAGE_CLASSES; c++) {
            draft.array_of[c] = (int)shared;
            draft.kept_as[c] = (int)c;
        }
    }
    settle(&draft, tlb);
}

static void apply_data_caches(struct document *d, const cJSON *item, struct profile *p)
{
    if (!item)
        return;
    if (member(item, "line"))
        p->line = (uint32_t)read_number(&data_caches_schema, item, "line");
    if (member(item, "program_data"))
        p->program_data = read_number(&data_caches_schema, item, "program_data");
    for (unsigned c = 0; c < DATA_CACHES; c++)
        apply_shape(d, member(item, cache_words[c]), p->line, &p->data[c]);
}

static void apply_structures(struct document *d, const cJSON *item, struct profile *p)
{
    static const char *const names[LEVELS_MAX + 1] = {NULL, NULL, "pde", "pdpte", "pml4", "pml5"};
    if (member(item, "by"))
        p->structure_by_entry = read_number(&structures_schema, item, "by");
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        apply_shape(d, member(item, names[level]), 0, &p->structure[level]);
}

/* Numbers of a profile, or of an override of one. */
static void apply(struct document *d, const cJSON *item, struct profile *p)
{
    if (member(item, "maxphyaddr"))
        p->maxphyaddr = (uint8_t)read_number(&override_schema, item, "maxphyaddr");
    if (member(item, "ghz"))
        p->mhz = (uint32_t)(read_real(&override_schema, item, "ghz") * 1000 + 0.5);
    const cJSON *tlbs = member(item, "tlb");
    for (unsigned t = 0; t < TLBS; t++)
        apply_tlb(d, member(tlbs, tlb_words[t]), &p->tlb[t]);
    apply_structures(d, member(item, "structure_caches"), p);
    apply_shape(d, member(item, "nested_tlb"), 0, &p->nested_tlb);
    apply_data_caches(d, member(item, "data_caches"), p);
    const cJSON *costs = member(item, "costs");
    for (unsigned c = 0; c < COST_COUNT; c++)
        if (member(costs, costs_schema.keys[c].name))
            p->cost[c] = (uint32_t)read_number(&costs_schema, costs, costs_schema.keys[c].name);
}

/* A profile forbids nothing; only an override takes a feature away. */
static void apply_features(const cJSON *item, struct profile *p)
{
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        const char *name = features_schema.keys[f].name;
        if (member(item, name) && !read_number(&features_schema, item, name))
            p->features &= ~(1u << f);
    }
}

static void apply_profile(struct document *d, struct profile *p)
{
    *p = blank;
    check(d, d->root, &profile_schema);
    const char *name = read_text(&profile_schema, d->root, "name");
    snprintf(p->name, sizeof p->name, "%s", name ? name : "");
    apply(d, d->root, p);
}

static void load_profile_text(const char *path, const char *text, size_t length,
                              struct diagnostics *diagnostics, struct profile *p)
{
    struct document d;
    document_init(&d, path, text, length, diagnostics);
    *p = blank;
    if (d.root)
        apply_profile(&d, p);
    document_fini(&d);
}

static void load_shipped(unsigned number, struct diagnostics *diagnostics, struct profile *p)
{
    char path[100];
    snprintf(path, sizeof path, "scenarios/machines/%s.json", shipped_names[number]);
    load_profile_text(path, shipped_texts[number], shipped_lengths[number], diagnostics, p);
}

static void load_profile(struct loader *l, const cJSON *item)
{
    const cJSON *named = member(item, "profile");
    const char *name = named ? named->valuestring : "skylake-sp";
    struct diagnostics *diagnostics = l->document->diagnostics;
    int shipped = spec_word(shipped_names, name);
    size_t length;
    if (shipped >= 0) {
        load_shipped((unsigned)shipped, diagnostics, &l->machine->profile);
        return;
    }
    const char *path = resolve(l->storage, l->path, name);
    char *text = read_file(path, &length, diagnostics);
    l->machine->profile = blank;
    if (text)
        load_profile_text(path, text, length, diagnostics, &l->machine->profile);
    else
        remark(l->document, named,
               "the profile can't be read" HINT
               "a path is relative to the folder of the file it stands in");
    free(text);
}

static const char OVERRIDDEN[] = ", overridden";

void load_machine(struct loader *l, const cJSON *item)
{
    struct machine_config *m = l->machine;
    struct profile *p = &m->profile;
    load_profile(l, item);
    const cJSON *override = member(item, "override");
    apply(l->document, override, p);
    apply_features(member(override, "features"), p);
    if (override && override->child) { /* reports don't call it by the name of the real part */
        size_t room = sizeof p->name - sizeof OVERRIDDEN, length = strlen(p->name);
        memcpy(p->name + (length < room ? length : room), OVERRIDDEN, sizeof OVERRIDDEN);
    }
    m->cpus = (unsigned)read_number(&machine_schema, item, "cpus");
    m->memory = read_number(&machine_schema, item, "memory");
    uint64_t reach = (uint64_t)1 << p->maxphyaddr;
    const cJSON *memory = member(item, "memory");
    if (memory && m->memory > reach)
        remark(l->document, memory,
               "more memory than %u address bits reach" HINT
               "at most %llu GiB, or a greater maxphyaddr",
               p->maxphyaddr, (unsigned long long)reach >> 30);
    else if (memory && m->memory % 4096)
        remark(l->document, memory, "not a multiple of 4KiB" HINT "memory comes in whole frames");
    else if (m->memory > reach)
        m->memory = reach;
}

/* A file for `replay --machine`: like a scenario's machine, or else like a profile. */
static void load_machine_text(struct scenario *scenario, const char *path, const char *text,
                              size_t length, struct diagnostics *diagnostics)
{
    struct document d;
    struct loader l = {&d, scenario->storage, path, &scenario->machine, NULL, NULL};
    document_init(&d, path, text, length, diagnostics);
    bool machine = false;
    for (unsigned i = 0; d.root && i < machine_schema.n_keys; i++)
        machine |= present(d.root, machine_schema.keys[i].name);
    if (machine)
        check(&d, d.root, &machine_schema);
    if (d.root)
        load_machine(&l, machine ? d.root : NULL);
    if (d.root && !machine)
        apply_profile(&d, &scenario->machine.profile);
    document_fini(&d);
}

/* Neither a profile nor a file. */
static void complain_of_name(const char *name, struct diagnostics *diagnostics)
{
    struct guess guess = {.text = name};
    char known[400] = "";
    for (const char *const *n = shipped_names; *n; n++) {
        guess_try(&guess, *n);
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "",
                 *n);
    }
    diagnostics_add_file(diagnostics, name,
                         "no such machine" HINT "%s%s%sknown: %s, or a JSON file's path",
                         guess.best ? "did you mean \"" : "", guess.best ? guess.best : "",
                         guess.best ? "\"? " : "", known);
}

bool machine_load(struct scenario *scenario, const char *name, struct diagnostics *diagnostics)
{
    struct diagnostics found = {0};
    int shipped = spec_word(shipped_names, name);
    *scenario = (struct scenario){.storage = grow(NULL, sizeof(struct storage))};
    *(struct storage *)scenario->storage = (struct storage){0};
    scenario->path = storage_copy(scenario->storage, name, strlen(name));
    scenario->machine.seed = 1;
    if (shipped >= 0) {
        struct document none = {.diagnostics = &found};
        struct loader l = {&none, scenario->storage, name, &scenario->machine, NULL, NULL};
        load_machine(&l, NULL);
        load_shipped((unsigned)shipped, &found, &scenario->machine.profile);
    } else if (!strchr(name, '/') && !strstr(name, ".json") && strcmp(name, "-")) {
        complain_of_name(name, &found);
    } else {
        size_t length;
        char *text = read_file(name, &length, &found);
        if (text)
            load_machine_text(scenario, name, text, length, &found);
        free(text);
    }
    bool ok = !found.count;
    diagnostics_move(diagnostics, &found);
    if (!ok)
        scenario_free(scenario);
    return ok;
}
