/* Processes of a built VM: their maps, and the workloads that run over them. */
#include "sim/scenario/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* An alias table of 8 bytes per page has to fit somewhere. */
enum { ZIPF_PAGES_MAX = 1 << 27 };

/* The level whose pages have the size that was asked for; 0 after saying that there is none. */
static unsigned page_level(struct loader *l, const cJSON *item, const struct schema *schema,
                           const struct format *format)
{
    static const unsigned shifts[] = {12, 21, 22, 30}; /* of page_words */
    const cJSON *page = member(item, "page");
    unsigned shift = page ? shifts[read_number(schema, item, "page")] : format->shift[1];
    char has[64] = "", name[16];
    for (unsigned level = 1; level <= format->levels; level++) {
        if (level > 1 && !(format->leaf_levels >> level & 1))
            continue;
        if (format->shift[level] == shift)
            return level;
        snprintf(has + strlen(has), sizeof has - strlen(has), "%s%s", *has ? ", " : "",
                 format_page_name(format, level, name));
    }
    remark(l->document, page, "%s paging has no pages of %s" HINT "it has %s", format->name,
           page->valuestring, has);
    return 0;
}

/* Whether [first, last] can all be translated, and lies in one half of the address space. */
static bool in_space(const struct format *format, uint64_t first, uint64_t last)
{
    return last >= first && format_canonical(format, first) && format_canonical(format, last) &&
           !(format->canonical && (first ^ last) >> 63);
}

static bool check_map(struct loader *l, const cJSON *item, const struct format *format,
                      const struct map_config *map)
{
    struct document *d = l->document;
    uint64_t page = (uint64_t)1 << format->shift[map->level];
    if (map->gva % page)
        remark(d, member(item, "gva"), "not a multiple of the page of %llu bytes" HINT "0x%llx is",
               (unsigned long long)page, (unsigned long long)(map->gva - map->gva % page));
    else if (map->size % page)
        remark(d, member(item, "size"), "not a multiple of the page of %llu bytes" HINT "give %llu",
               (unsigned long long)page, (unsigned long long)((map->size / page + 1) * page));
    else if (!in_space(format, map->gva, map->gva + map->size - 1))
        remark(d, member(item, "gva"),
               "the range doesn't fit the address space" HINT
               "%s paging translates addresses of %u bits%s",
               format->name, format->ia_bits, format->canonical ? ", sign-extended to 64" : "");
    else
        return true;
    return false;
}

bool load_map(struct loader *l, const cJSON *item, const struct schema *schema, unsigned vm,
              struct map_config *map)
{
    const struct format *format = &l->facts[vm].format;
    *map = (struct map_config){.level = 1};
    map->gva = read_number(schema, item, "gva");
    map->size = read_number(schema, item, "size");
    map->rights = (uint32_t)(spec_key(schema, "rights") ? read_number(schema, item, "rights") : 0);
    map->populate = read_number(schema, item, "populate");
    if (!member(item, "gva") || !member(item, "size") || !l->facts[vm].sound)
        return false;
    map->level = page_level(l, item, schema, format);
    if (!map->level || !check_map(l, item, format, map))
        return false;
    if (map->populate && map->size > l->vms[vm].memory) {
        remark(l->document, member(item, "size"),
               "more than the VM's memory of %llu bytes, and "
               "populated from the start" HINT
               "give the VM more memory, or \"populate\": \"touch\"",
               (unsigned long long)l->vms[vm].memory);
        return false;
    }
    return true;
}

/* A map and where it came from. */
struct placed_map {
    const struct map_config *map;
    const cJSON *item;
};

static int by_gva(const void *a, const void *b)
{
    const struct map_config *x = ((const struct placed_map *)a)->map;
    const struct map_config *y = ((const struct placed_map *)b)->map;
    return x->gva != y->gva ? (x->gva < y->gva ? -1 : 1) : (x > y) - (x < y);
}

static void check_overlaps(struct loader *l, struct placed_map *maps, unsigned n)
{
    if (n > 1)
        qsort(maps, n, sizeof *maps, by_gva);
    for (unsigned i = 1, widest = 0; i < n; i++) {
        const struct map_config *below = maps[widest].map, *map = maps[i].map;
        if (map->gva - below->gva >= below->size) {
            widest = i;
            continue;
        }
        bool later = map > below; /* in the file */
        const cJSON *item = maps[later ? i : widest].item, *other = maps[later ? widest : i].item;
        remark(l->document, member(item, "gva"),
               "overlaps the map at %s" HINT "maps of a process lie apart",
               whereabouts(l->document, member(other, "gva")).text);
        if (map->size - 1 + (map->gva - below->gva) > below->size - 1)
            widest = i;
    }
}

static void load_maps(struct loader *l, const cJSON *list, unsigned vm,
                      struct process_config *process)
{
    unsigned n = list ? (unsigned)cJSON_GetArraySize(list) : 0, sound = 0, i = 0;
    struct map_config *maps = storage_take(l->storage, n * sizeof *maps);
    struct placed_map *placed = grow(NULL, n * sizeof *placed);
    process->maps = maps;
    process->n_maps = n;
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next, i++) {
        if (cJSON_IsObject(item) && load_map(l, item, &map_schema, vm, &maps[i]))
            placed[sound++] = (struct placed_map){&maps[i], item};
        else
            maps[i].size = 0; /* not to be relied on */
    }
    check_overlaps(l, placed, sound);
    free(placed);
}

static void load_trace(struct loader *l, const cJSON *item, struct phase_config *phase)
{
    const char *file = read_text(&workload_schema, item, "file");
    struct stat status;
    phase->generator.accesses = read_number(&workload_schema, item, "accesses");
    if (!file)
        return;
    phase->trace = resolve(l->storage, l->path, file);
    if (stat(phase->trace, &status))
        remark(l->document, member(item, "file"),
               "the trace can't be read: %s" HINT "a path is relative to the scenario's folder",
               strerror(errno));
    else if (S_ISDIR(status.st_mode))
        remark(l->document, member(item, "file"), "a folder, not a trace" HINT "name a file in it");
}

static void load_list(struct loader *l, const cJSON *item, struct generator_spec *g, bool mapped)
{
    const cJSON *list = member(item, "addresses");
    const struct key *key = spec_key(&workload_schema, "addresses");
    unsigned n = list ? (unsigned)cJSON_GetArraySize(list) : 0, i = 0;
    gva_t *addresses = storage_take(l->storage, n * sizeof *addresses);
    g->list = addresses;
    g->list_length = n;
    if (!present(item, "accesses"))
        g->accesses = n;
    for (const cJSON *address = list ? list->child : NULL; address; address = address->next, i++) {
        if (!value_number(key, address, &addresses[i]) || !mapped)
            continue;
        uint64_t offset = addresses[i] - g->base;
        if (addresses[i] < g->base || offset >= g->length || g->size > g->length - offset)
            remark(l->document, address,
                   "%u bytes from there aren't in the map" HINT "it reaches from 0x%llx to 0x%llx",
                   g->size, (unsigned long long)g->base,
                   (unsigned long long)(g->base + (g->length - 1)));
    }
}

/* How a generator goes with the map that it runs over. */
static void check_generator(struct loader *l, const cJSON *item, const struct generator_spec *g)
{
    struct document *d = l->document;
    if (g->size > g->page)
        remark(d, member_or(item, "size"),
               "accesses of %u bytes in pages of %llu" HINT "give \"size\" at most a page", g->size,
               (unsigned long long)g->page);
    if (g->pattern == PATTERN_WORKING_SET && g->hot > g->length)
        remark(d, member(item, "hot"),
               "more than the map's %llu bytes" HINT "the window lies in the map",
               (unsigned long long)g->length);
    if (g->pattern == PATTERN_ZIPF && g->length / g->page > ZIPF_PAGES_MAX)
        remark(d, member(item, "generator"),
               "zipf over %llu pages" HINT "at most %d: use a smaller map, or larger pages",
               (unsigned long long)(g->length / g->page), ZIPF_PAGES_MAX);
}

/* The map a generator runs over; false if there is none to rely on. */
static bool choose_map(struct loader *l, const cJSON *item, const struct process_config *process,
                       const struct format *format, struct generator_spec *g)
{
    uint64_t number = read_number(&workload_schema, item, "map");
    if (number >= process->n_maps) {
        remark(l->document, member_or(item, "map"), "the process has %u maps%s" HINT "%s",
               process->n_maps, process->n_maps ? ", from 0" : "",
               process->n_maps ? "give the number of one of them"
                               : "add \"map\": [{\"gva\": \"0x400000\", \"size\": \"64MiB\"}]");
        return false;
    }
    const struct map_config *map = &process->maps[number];
    if (!map->size)
        return false;
    g->base = map->gva;
    g->length = map->size;
    g->page = (uint64_t)1 << format->shift[map->level];
    g->rights = map->rights;
    return true;
}

static void load_generator(struct loader *l, const cJSON *item, unsigned vm,
                           const struct process_config *process, struct generator_spec *g)
{
    const struct schema *s = &workload_schema;
    *g = (struct generator_spec){
        .pattern = (enum pattern)read_number(s, item, "generator"),
        .accesses = read_number(s, item, "accesses"),
        .size = (uint16_t)read_number(s, item, "size"),
        .flags = ACCESS_USER,
        .writes = read_real(s, item, "writes"),
        .stride = read_number(s, item, "stride"),
        .theta = read_real(s, item, "theta"),
        .hot = read_number(s, item, "hot"),
        .hot_share = read_real(s, item, "hot_share"),
        .drift = read_real(s, item, "drift"),
        .remap = read_real(s, item, "remap"),
        .protect = read_real(s, item, "protect"),
    };
    bool mapped = choose_map(l, item, process, &l->facts[vm].format, g);
    if (mapped)
        check_generator(l, item, g);
    if (g->pattern == PATTERN_LIST)
        load_list(l, item, g, mapped);
}

static unsigned count_phases(const cJSON *item)
{
    const cJSON *phases = member(item, "phases");
    unsigned n = 0;
    if (!cJSON_IsObject(item) || !member(item, "generator"))
        return 0;
    if (read_number(&workload_schema, item, "generator") != GENERATOR_PHASES)
        return 1;
    for (const cJSON *phase = phases ? phases->child : NULL; phase; phase = phase->next)
        n += count_phases(phase);
    return n;
}

static void load_phases(struct loader *l, const cJSON *item, unsigned vm,
                        struct process_config *process, struct phase_config **next)
{
    const cJSON *phases = member(item, "phases");
    if (!cJSON_IsObject(item) || !member(item, "generator"))
        return;
    uint64_t generator = read_number(&workload_schema, item, "generator");
    if (generator == GENERATOR_TRACE) {
        load_trace(l, item, (*next)++);
        l->vms[vm].map_on_touch |= !process->n_maps;
    } else if (generator != GENERATOR_PHASES) {
        load_generator(l, item, vm, process, &(*next)++->generator);
    }
    for (phases = phases && generator == GENERATOR_PHASES ? phases->child : NULL; phases;
         phases = phases->next)
        load_phases(l, phases, vm, process, next);
}

static void load_process(struct loader *l, const cJSON *item, unsigned vm, unsigned number,
                         struct process_config *process)
{
    const cJSON *workload = member(item, "workload");
    process->name = name_of(l, read_text(&process_schema, item, "name"), "p", number);
    load_maps(l, member(item, "map"), vm, process);
    process->n_phases = count_phases(workload);
    struct phase_config *phases = storage_take(l->storage, process->n_phases * sizeof *phases);
    process->phases = phases;
    load_phases(l, workload, vm, process, &phases);
}

void load_processes(struct loader *l, const cJSON *list, unsigned vm)
{
    unsigned n = list ? (unsigned)cJSON_GetArraySize(list) : 0, i = 0;
    struct process_config *processes = storage_take(l->storage, n * sizeof *processes);
    l->vms[vm].processes = processes;
    l->vms[vm].n_processes = n;
    check_names(l, list, "process");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next, i++)
        load_process(l, item, vm, i, &processes[i]);
}
