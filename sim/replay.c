#include "sim/replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BATCH = 1024, ADDRESS_BITS_2_LEVEL = 32, GVA_BITS_32 = 32, PAGE_SHIFT = 12 };

static const uint64_t MEMORY = (uint64_t)1 << 40, TABLES = (uint64_t)64 << 20;

static bool no_memory(struct err *err)
{
    return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

/* ---- pages that a trace touches, in the order of first touch ---- */

struct pages {
    uint64_t *key; /* process << 48 | page number, without the sign's copies */
    size_t n, room;
    uint32_t *slot; /* a hash table of index + 1; twice the room */
    unsigned bits;  /* of an address; others are not canonical, and no page */
};

static uint64_t key_of(uint16_t process, gva_t gva)
{
    return (uint64_t)process << 48 | (gva << 4 >> 16);
}

static gva_t gva_of(uint64_t key)
{
    return (gva_t)((int64_t)(key << 16) >> 4) & ~low_bits(PAGE_SHIFT);
}

static bool is_canonical(gva_t gva, unsigned bits)
{
    if (bits <= GVA_BITS_32)
        return !(gva >> bits);
    return (gva_t)((int64_t)(gva << (64 - bits)) >> (64 - bits)) == gva;
}

static uint32_t *slot_of(const struct pages *p, uint64_t key)
{
    size_t mask = 2 * p->room - 1;
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & mask;
    while (p->slot[at] && p->key[p->slot[at] - 1] != key)
        at = (at + 1) & mask;
    return &p->slot[at];
}

static bool pages_grow(struct pages *p)
{
    size_t room = p->room ? p->room * 2 : 1024;
    uint64_t *key = realloc(p->key, room * sizeof *key);
    if (key)
        p->key = key;
    uint32_t *slot = room > UINT32_MAX / 2 ? NULL : calloc(room * 2, sizeof *slot);
    if (!key || !slot)
        return false;
    free(p->slot);
    p->slot = slot;
    p->room = room;
    for (size_t i = 0; i < p->n; i++)
        *slot_of(p, key[i]) = (uint32_t)i + 1;
    return true;
}

static bool pages_add(struct pages *p, uint64_t key)
{
    if (p->n == p->room && !pages_grow(p))
        return false;
    uint32_t *slot = slot_of(p, key);
    if (*slot)
        return true;
    p->key[p->n] = key;
    *slot = (uint32_t)++p->n;
    return true;
}

static bool pages_of_batch(struct pages *p, const struct access *a, size_t n)
{
    uint64_t last = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        gva_t end = a[i].gva + a[i].size - 1;
        for (gva_t page = a[i].gva >> PAGE_SHIFT; page <= end >> PAGE_SHIFT; page++) {
            uint64_t key = key_of(a[i].process, page << PAGE_SHIFT);
            bool fresh = (!any || key != last) && is_canonical(page << PAGE_SHIFT, p->bits);
            if (fresh && !pages_add(p, key))
                return false;
            last = key;
            any = true;
        }
    }
    return true;
}

/* Reads a trace to the end and goes back to its start. */
static bool collect(struct source *source, struct pages *p, const volatile int *stop,
                    struct err *err)
{
    struct access batch[BATCH];
    size_t n;
    while ((n = source->ops->fill(source, batch, BATCH, err)) > 0) {
        if (!pages_of_batch(p, batch, n))
            return no_memory(err);
        if (stop && *stop)
            return err_set(err, EXIT_NO, "interrupted while looking for the pages to map");
    }
    return !err->code && source->ops->seek(source, 0, err);
}

/* ---- mapping them before the first access ---- */

static bool map_pages(struct machine *m, unsigned feed, const struct pages *p, struct err *err)
{
    for (size_t i = 0; i < p->n; i++)
        if (!machine_prefault(m, 0, feed, (uint16_t)(p->key[i] >> 48), gva_of(p->key[i]))) {
            if (m->err.code)
                return *err = m->err, false;
            return err_set(err, EXIT_NO, "the pages of the trace do not fit into --memory");
        }
    return true;
}

static bool populate_one(struct replay *r, unsigned trace, const volatile int *stop,
                         struct err *err)
{
    struct pages pages = {.bits = r->machine->vm[0].guest.tables.format.ia_bits};
    bool done =
        collect(r->sources[trace], &pages, stop, err) && map_pages(r->machine, trace, &pages, err);
    r->populated += pages.n;
    free(pages.key);
    free(pages.slot);
    return done;
}

static bool populate(struct replay *r, const volatile int *stop, struct err *err)
{
    for (unsigned i = 0; i < r->vm.n_processes; i++)
        if (!populate_one(r, i, stop, err))
            return false;
    return machine_begin(r->machine) || (*err = r->machine->err, false);
}

/* ---- opening ---- */

static bool is_file(const char *path)
{
    struct stat about;
    int failed = strcmp(path, "-") ? stat(path, &about) : fstat(0, &about);
    return failed || S_ISREG(about.st_mode); /* if it does not exist, opening it says so */
}

static bool open_trace(struct replay *r, unsigned i, const struct replay_options *o,
                       struct err *err)
{
    struct limits limits = o->limits;
    limits.without_events |= o->populate;
    limits.bits = o->paging <= PAGING_PAE ? GVA_BITS_32 : 0;
    r->processes[i] =
        (struct process_config){.name = o->traces[i], .phases = &r->phases[i], .n_phases = 1};
    r->phases[i].trace = o->traces[i];
    if (o->populate && !is_file(o->traces[i]))
        return err_set(err, EXIT_USAGE,
                       "%s: --populate start reads a trace twice, which a pipe does not allow; "
                       "store it in a file, or use --populate touch",
                       o->traces[i]);
    if (!(r->readers[i] = trace_open(o->traces[i], &o->reading, err)))
        return false;
    r->sources[i] = source_limit(r->readers[i], &limits);
    return r->sources[i] || no_memory(err);
}

/* What the machine needs for a VM of @p memory: a hypervisor has tables of its own. */
static uint64_t host_memory(enum mode mode, uint64_t memory)
{
    uint64_t tables = mode == MODE_NATIVE ? 0 : memory / 8 / FRAME_BYTES * FRAME_BYTES + TABLES;
    return memory > UINT64_MAX - tables ? UINT64_MAX : memory + tables;
}

/* How much the VM has; 0 with err set. By default as much as addresses reach, up to 1 TiB. */
static uint64_t memory_of(const struct replay_options *o, const struct profile *profile,
                          struct err *err)
{
    uint64_t reach = (uint64_t)1 << profile->maxphyaddr, most = o->memory ? o->memory : MEMORY;
    while (!o->memory && host_memory(o->mode, most) > reach)
        most /= 2;
    if (o->paging == PAGING_2_LEVEL) /* its guest OS leaves PSE-36 alone */
        reach = (uint64_t)1 << ADDRESS_BITS_2_LEVEL;
    if (!o->memory && most > reach)
        most = reach;
    if (most <= reach && most % FRAME_BYTES == 0 && most >= 1 << 16 &&
        host_memory(o->mode, most) <= (uint64_t)1 << profile->maxphyaddr)
        return most;
    err_set(err, EXIT_USAGE,
            "--memory: a multiple of 4KiB, at least 64KiB, and at most 2^%d bytes, which is as far "
            "as physical addresses reach here%s",
            __builtin_ctzll(reach),
            o->mode == MODE_NATIVE ? "" : ", a ninth and 64MiB left to the hypervisor");
    return 0;
}

static bool configure(struct replay *r, const struct machine_config *host,
                      const struct replay_options *o, struct err *err)
{
    uint64_t memory = memory_of(o, &host->profile, err);
    if (!memory)
        return false;
    r->vm = vm_config_default();
    r->vm.name = "replay";
    r->vm.mode = o->mode;
    r->vm.second_stage = o->second_stage;
    memset(r->vm.page_share, 0, sizeof r->vm.page_share);
    r->vm.page_share[o->second_stage_level ? o->second_stage_level : 1] = 1000;
    r->vm.shadow.policy = o->shadow_policy;
    r->vm.memory = memory;
    r->vm.paging = o->paging;
    r->vm.huge_pages = o->huge_pages;
    r->vm.quantum = o->quantum;
    r->vm.map_on_touch = true;
    r->vm.processes = r->processes;
    r->vm.n_processes = o->n_traces;
    r->config = *host;
    r->config.cpus = 1;
    r->config.memory = host_memory(o->mode, memory);
    r->config.vms = &r->vm;
    r->config.n_vms = 1;
    return true;
}

static bool open_all(struct replay *r, const struct machine_config *host,
                     const struct replay_options *o, struct err *err)
{
    r->processes = calloc(o->n_traces, sizeof *r->processes);
    r->phases = calloc(o->n_traces, sizeof *r->phases);
    r->sources = calloc(o->n_traces + 1, sizeof *r->sources);
    r->readers = calloc(o->n_traces + 1, sizeof *r->readers);
    if (!r->processes || !r->phases || !r->sources || !r->readers)
        return no_memory(err);
    if (!configure(r, host, o, err))
        return false;
    for (unsigned i = 0; i < o->n_traces; i++)
        if (!open_trace(r, i, o, err))
            return false;
    return true;
}

static void free_sources(struct replay *r)
{
    for (unsigned i = 0; r->sources && r->sources[i]; i++)
        r->sources[i]->ops->free(r->sources[i]);
}

bool replay_open(struct replay *r, const struct machine_config *host,
                 const struct replay_options *o, const volatile int *stop, struct err *err)
{
    *r = (struct replay){.warmup = o->warmup, .events_left_out = o->populate};
    if (!open_all(r, host, o, err)) {
        free_sources(r);
        replay_close(r);
        return false;
    }
    if (!(r->machine = machine_new_with(&r->config, r->sources, err)) ||
        (o->populate && !populate(r, stop, err))) {
        replay_close(r);
        return false;
    }
    return true;
}

void replay_close(struct replay *r)
{
    machine_free(r->machine);
    free(r->processes);
    free(r->phases);
    free(r->sources);
    free(r->readers);
    *r = (struct replay){0};
}

/* ---- running ---- */

bool replay_run(struct replay *r, uint64_t n, struct err *err)
{
    struct machine *m = r->machine;
    bool warming = r->warmup > 0;
    uint64_t done = machine_run(m, warming && r->warmup < n ? r->warmup : n);
    if (m->err.code)
        *err = m->err;
    if (!warming)
        r->done += done;
    else if (!(r->warmup -= done))
        machine_reset_counts(m);
    return !m->finished && !m->err.code;
}

double replay_progress(const struct replay *r)
{
    double sum = 0;
    for (unsigned i = 0; i < r->vm.n_processes; i++) {
        double one = r->sources[i]->ops->progress(r->sources[i]);
        if (one < 0)
            return one;
        sum += one;
    }
    return sum / r->vm.n_processes;
}

struct trace_report replay_report(const struct replay *r)
{
    struct trace_report sum = {.format = trace_report(r->readers[0])->format};
    for (unsigned i = 0; i < r->vm.n_processes; i++) {
        const struct trace_report *one = trace_report(r->readers[i]);
        sum.format = one->format == sum.format ? one->format : TRACE_AUTO;
        sum.errors += one->errors;
        sum.unmodelled += one->unmodelled;
        sum.events += one->events;
        sum.processes += one->processes;
        sum.threads += one->threads;
        sum.truncated |= one->truncated;
    }
    return sum;
}
