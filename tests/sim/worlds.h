/*
 * One program on machines of every mode: machines built in C, with small caches and whatever a
 * hypervisor can be configured to, and programs that are recorded on one machine, repeated on
 * another, compared, and made shorter when they differ.
 *
 * The machine that records is native and has every cache emptied before each step: what it does is
 * what the tables in memory say. The others keep what they cache, and must do the same.
 */
#ifndef TESTS_SIM_WORLDS_H
#define TESTS_SIM_WORLDS_H

#include <time.h>

#include "tests/sim/machines.h"

/* ---- modes ---- */

/* A mode, and for shadow paging its policy. */
struct manner {
    const char *name;
    enum mode mode;
    enum shadow_policy policy;
};

static const struct manner manners[] = {
    {"native", MODE_NATIVE, 0},
    {"nested", MODE_NESTED, 0},
    {"three-stage", MODE_THREE_STAGE, 0},
    {"collapsed", MODE_COLLAPSED, 0},
    {"shadow kvm", MODE_SHADOW, SHADOW_KVM},
    {"shadow trace", MODE_SHADOW, SHADOW_TRACE},
    {"shadow vtlb", MODE_SHADOW, SHADOW_VTLB},
    {"agile", MODE_AGILE, 0},
    {"direct", MODE_DIRECT, 0},
};

enum { MANNERS = sizeof manners / sizeof *manners };

/* Whether a mode is tested; else says so. @kept_out: why it is not, or NULL. */
static inline bool manner_runs(const struct manner *manner, const char *test, const char *kept_out)
{
    if (!kept_out && !machine_runs(manner->mode))
        kept_out = "the mode can't run in this version";
    if (kept_out)
        fprintf(stderr, "%s: skipped %s: %s\n", test, manner->name, kept_out);
    return !kept_out;
}

/* ---- machines ---- */

enum { PROCESSES = 3, MAPS = 3, IMAGES = 256, MIB = 1 << 20 };

/* What a machine is built from, and the machine. It stays put: the machine borrows it. */
struct world {
    struct machine_config config;
    struct vm_config vm;
    struct process_config process[PROCESSES];
    struct map_config map[PROCESSES][MAPS];
    struct phase_config phase[PROCESSES];
    struct image_config image[IMAGES];
    struct machine *machine;
    struct rng moves; /* of the hypervisor, between a program's steps; 0: it makes none */
};

static inline bool chance(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

static inline struct profile profile_named(const char *name)
{
    char json[128];
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    snprintf(json, sizeof json, "{\"version\":1,\"machine\":{\"profile\":\"%s\"},\"vms\":[{}]}",
             name);
    cr_assert(scenario_parse(&scenario, "test", json, strlen(json), NULL, 0, &diagnostics));
    struct profile profile = scenario.machine.profile;
    diagnostics_free(&diagnostics);
    scenario_free(&scenario);
    return profile;
}

static inline struct shape draw_shape(struct rng *rng, uint32_t most)
{
    uint32_t entries = 1u << rng_below(rng, most + 1u);
    return (struct shape){.entries = entries,
                          .ways = chance(rng, 50) ? 0
                                  : entries > 1   ? 2
                                                  : 1,
                          .replacement = (enum replacement)rng_below(rng, REPLACEMENTS)};
}

/* Caches of all kinds, from none to a few entries; pages larger than 4 KiB may be kept in parts. */
static inline struct profile draw_profile(struct rng *rng)
{
    struct profile p = profile_named("textbook");
    p.maxphyaddr = 40;
    p.structure_by_entry = chance(rng, 30);
    for (unsigned t = 0; t < TLBS; t++) {
        struct tlb_profile *tlb = &p.tlb[t];
        *tlb = p.tlb[TLB_L1D];
        tlb->array[0] = draw_shape(rng, 4);
        for (unsigned c = 0; c < PAGE_CLASSES; c++)
            tlb->kept_as[c] = (uint8_t)(chance(rng, 80) ? c : rng_below(rng, c + 1));
        for (unsigned c = 0; t == TLB_L2 && c < PAGE_CLASSES && chance(rng, 60); c++)
            tlb->array_of[c] = TLB_NOWHERE;
    }
    for (unsigned level = 2; level <= LEVELS_MAX; level++)
        if (chance(rng, 60))
            p.structure[level] = draw_shape(rng, 2);
    if (chance(rng, 60))
        p.nested_tlb = draw_shape(rng, 3);
    return p;
}

/* Mostly 4 KiB pages or 2 MiB pages or both; 1 GiB pages cost too much to be drawn often. */
static inline void draw_pages(struct vm_config *vm, struct rng *rng)
{
    uint32_t huge = chance(rng, 2) ? 1000 : 0;
    uint32_t large = huge || chance(rng, 40) ? 0 : chance(rng, 50) ? 1000 : 500;
    vm->page_share[3] = huge;
    vm->page_share[2] = large;
    vm->page_share[1] = 1000 - huge - large;
}

/* All that a hypervisor may be told. */
static inline void draw_hypervisor(struct vm_config *vm, struct rng *rng)
{
    vm->second_stage = (enum second_stage)rng_below(rng, SECOND_STAGES);
    draw_pages(vm, rng);
    vm->no_accessed_dirty = chance(rng, 40);
    vm->page_log = !vm->no_accessed_dirty && vm->second_stage <= SECOND_EPT5 && chance(rng, 20);
    vm->no_vpid = chance(rng, 20);
    vm->mode_based_execute = chance(rng, 40);
    vm->no_execute_only = chance(rng, 40);
    vm->advanced_information = chance(rng, 40);
    vm->shadow.prefetch = chance(rng, 50) ? 0 : (uint32_t)rng_below(rng, 9);
    vm->shadow.flood = (uint32_t)rng_below(rng, 5);
    vm->shadow.pages = chance(rng, 40) ? 0 : 16 + rng_below(rng, 32);
    vm->direct.batch = chance(rng, 30) ? 1 : 1 + (uint32_t)rng_below(rng, 32);
    vm->agile.shadow_levels = (int8_t)((int)rng_below(rng, 6) - 1);
    vm->agile.writes = 1 + (uint32_t)rng_below(rng, 4);
    vm->agile.interval = 1 + rng_below(rng, 200);
}

/* What it is configured to, in words for whoever wants to see it again. */
static inline const char *world_words(const struct world *w)
{
    static const char *const stages[] = {SECOND_STAGE_WORDS};
    static char text[256];
    const struct vm_config *vm = &w->vm;
    snprintf(text, sizeof text,
             "paging %u, %s, pages %u %u %u, no A/D %u, log %u, no VPID %u, MBEC %u, prefetch %u, "
             "flood %u, shadows %llu, batch %u, agile %d %u %llu, moves %d",
             vm->paging, stages[vm->second_stage], vm->page_share[1], vm->page_share[2],
             vm->page_share[3], vm->no_accessed_dirty, vm->page_log, vm->no_vpid,
             vm->mode_based_execute, vm->shadow.prefetch, vm->shadow.flood,
             (unsigned long long)vm->shadow.pages, vm->direct.batch, vm->agile.shadow_levels,
             vm->agile.writes, (unsigned long long)vm->agile.interval, w->moves.state != 0);
    return text;
}

/* The machine of a configuration, which is copied. */
static inline struct world *world_new(const struct world *like)
{
    struct world *w = malloc(sizeof *w);
    struct err err = {0};
    cr_assert(w != NULL);
    *w = *like;
    for (unsigned p = 0; p < PROCESSES; p++) {
        w->process[p].maps = w->map[p];
        w->process[p].phases = &w->phase[p];
    }
    w->vm.processes = w->process;
    w->vm.images = w->image;
    w->config.vms = &w->vm;
    w->machine = machine_new(&w->config, &err);
    cr_assert(w->machine != NULL, "%s; %s", err.text, world_words(w));
    return w;
}

/* A native machine's configuration, changed into one of another mode. */
static inline void world_set_manner(struct world *w, const struct manner *manner)
{
    w->vm.mode = manner->mode;
    w->vm.shadow.policy = manner->policy;
    if (manner->mode != MODE_NATIVE)
        w->config.memory = 6 * w->vm.memory + 64 * MIB;
}

/* A machine like the native one, in another mode. Settings of the hypervisor are drawn. */
static inline struct world *world_like(const struct world *native, const struct manner *manner,
                                       uint64_t seed)
{
    struct world w = *native;
    struct rng rng = {seed};
    world_set_manner(&w, manner);
    if (manner->mode != MODE_NATIVE)
        draw_hypervisor(&w.vm, &rng);
    if (w.vm.page_share[3])
        w.config.memory += (uint64_t)6 << 30;
    w.moves.state = manner->mode != MODE_NATIVE && chance(&rng, 40) ? rng_next(&rng) : 0;
    return world_new(&w);
}

static inline void world_free(struct world *w)
{
    machine_free(w->machine);
    free(w);
}

/* ---- the same memory ---- */

/* In direct mode the guest's tables hold the machine's frames, whose owner knows the guest's. */
static inline uint64_t guest_entry(const struct machine *m, const struct format *f, uint64_t entry)
{
    bool high = f->high_bits[2] && entry & PTE_PS; /* PSE-36 may be needed for the machine's */
    uint64_t mask = high ? ~low_bits(13) : f->frame[1][1];
    uint64_t frame = high ? format_address(f, 2, true, entry) : entry & mask;
    return m->vm[0].config->mode == MODE_DIRECT && f->levels && frame < m->mem.bytes
               ? (entry & ~mask) | host_owner(&m->host, frame).gfn << FRAME_SHIFT
               : entry;
}

static inline bool same_frame(const struct machine *native, const struct machine *m, gpa_t gpa)
{
    const struct format *f = &native->vm[0].guest.tables.format;
    uint64_t a[FRAME_BYTES / 8], b[FRAME_BYTES / 8];
    bool same = machine_dump(m, 0, gpa, b, FRAME_BYTES / 8);
    mem_read(&native->mem, gpa, a, FRAME_BYTES);
    for (unsigned i = 0; same && memcmp(a, b, sizeof a) && i < FRAME_BYTES; i += f->entry_bytes) {
        uint64_t x = 0, y = 0;
        memcpy(&x, (const uint8_t *)a + i, f->entry_bytes);
        memcpy(&y, (const uint8_t *)b + i, f->entry_bytes);
        same = x == y || x == guest_entry(m, f, y);
    }
    return same;
}

/* Whether a VM's memory is that of a native machine: where either has bytes, they are the same. */
static inline bool same_guest_memory(const struct machine *native, const struct machine *m,
                                     gpa_t *where)
{
    struct frames_seen seen = {0}, frames = {0};
    bool same = true;
    mem_visit(&native->mem, see_frame, &seen);
    for (size_t i = 0; same && i < seen.n; i++)
        same = same_frame(native, m, *where = seen.list[i].at);
    free(seen.list);
    if (m->vm[0].below)
        mem_visit(&m->vm[0].p2m[1].words, see_frame, &frames);
    for (size_t i = 0; i < frames.n; i++)
        for (unsigned word = 0; same && word < FRAME_BYTES / 8; word++) {
            gpa_t gpa = (frames.list[i].at / 8 + word) << FRAME_SHIFT;
            if (((const uint64_t *)(const void *)frames.list[i].bytes)[word] &&
                gpa < native->mem.bytes)
                same = same_frame(native, m, *where = gpa);
        }
    free(frames.list);
    return same;
}

/* ---- programs ---- */

struct step {
    struct script_item item;
    unsigned group; /* steps of one group stay together */
    struct outcome outcome;
};

struct program {
    const char *name;
    uint64_t seed;
    struct world *native; /* it records */
    struct rng rng;
    unsigned group;
    struct step *step;
    size_t n, room;
};

static inline void do_step(struct machine *m, const struct script_item *item, struct outcome *o)
{
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (item->verb == VERB_run)
        machine_run(m, item->length);
    else
        machine_do(m, item, o);
    if (m->err.code)
        *o = (struct outcome){.kind = OUTCOME_STOP, .words = m->err.text};
}

/* Does a step on the machine that records; it knows only what is in memory. */
static inline const struct outcome *program_add(struct program *p, const struct script_item *item)
{
    if (p->n == p->room) {
        p->room = p->room ? 2 * p->room : 256;
        p->step = realloc(p->step, p->room * sizeof *p->step);
        cr_assert(p->step != NULL);
    }
    struct step *s = &p->step[p->n++];
    *s = (struct step){.item = *item, .group = p->group};
    machine_cool(p->native->machine);
    do_step(p->native->machine, item, &s->outcome);
    return &s->outcome;
}

static inline struct program *program_new(const char *name, uint64_t seed, const struct world *like)
{
    struct program *p = calloc(1, sizeof *p);
    cr_assert(p != NULL);
    p->name = name;
    p->seed = seed;
    p->rng.state = seed;
    p->native = world_new(like);
    return p;
}

static inline void program_free(struct program *p)
{
    world_free(p->native);
    free(p->step);
    free(p);
}

/* ---- differences ---- */

static inline bool same_outcome(const struct outcome *a, const struct outcome *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == OUTCOME_OK)
        return a->has_gpa == b->has_gpa && a->gpa == b->gpa && a->has_value == b->has_value &&
               a->value == b->value;
    return a->kind == OUTCOME_FAULT && a->vector == b->vector && a->error_code == b->error_code &&
           a->cr2 == b->cr2;
}

/* What the guest OS and its programs know of: it costs the same number of events in every mode. */
static inline const char *guest_count_difference(const struct machine *a, const struct machine *b)
{
    static const enum event_kind kinds[] = {EVENT_ACCESS,      EVENT_FAULT,    EVENT_GUEST_FAULT,
                                            EVENT_GUEST_STORE, EVENT_PAGE_HIT, EVENT_PAGE_IN,
                                            EVENT_PAGE_OUT,    EVENT_EVICT,    EVENT_SWITCH,
                                            EVENT_MAP,         EVENT_UNMAP,    EVENT_PROTECT};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (total_of(a, kinds[i]) != total_of(b, kinds[i]))
            return event_name(kinds[i]);
    return a->accesses == b->accesses && a->signals == b->signals ? NULL : "accesses or signals";
}

/* Where a repeated program differs. */
struct difference {
    const char *what; /* NULL: nowhere */
    size_t step;
    struct outcome expected, got;
    gpa_t gpa;
};

/* How two machines that did the same are not the same. */
static inline const char *end_difference(const struct machine *native, const struct machine *m,
                                         gpa_t *gpa)
{
    const char *what = guest_difference(&native->vm[0], &m->vm[0]);
    if (!what)
        what = guest_count_difference(native, m);
    return what ? what : same_guest_memory(native, m, gpa) ? NULL : "memory";
}

/* The hypervisor takes frames away, or the right to write to them: a few, a region, or all. */
static inline void draw_moves(struct world *w)
{
    struct rng *rng = &w->moves;
    while (rng->state && chance(rng, 30)) {
        uint64_t memory = w->vm.memory & -(uint64_t)FRAME_BYTES;
        uint64_t near = chance(rng, 80) && memory > MIB / 2 ? MIB / 2 : memory;
        struct script_item move = {.verb = chance(rng, 60) ? VERB_drop : VERB_write_protect};
        struct outcome o;
        move.gpa = rng_below(rng, near / FRAME_BYTES) * FRAME_BYTES;
        move.length = (1 + rng_below(rng, chance(rng, 90) ? 8 : 600)) * FRAME_BYTES;
        if (chance(rng, 4))
            move.gpa = 0, move.length = memory > 16 * MIB ? 16 * MIB : memory;
        if (move.length > memory - move.gpa)
            move.length = memory - move.gpa;
        do_step(w->machine, &move, &o);
        cr_assert(o.kind == OUTCOME_OK || w->vm.mode == MODE_DIRECT, "%s", o.words);
    }
}

/* Repeats the program on a machine of another kind. */
static inline struct difference program_repeat(const struct program *p, struct world *w)
{
    struct difference d = {0};
    for (size_t i = 0; i < p->n; i++) {
        const struct step *s = &p->step[i];
        draw_moves(w);
        do_step(w->machine, &s->item, &d.got);
        d.expected = s->outcome;
        d.step = i;
        if (!same_outcome(&d.expected, &d.got)) {
            d.what = "the outcome";
            return d;
        }
    }
    d.what = end_difference(p->native->machine, w->machine, &d.gpa);
    return d;
}

/* ---- shorter programs ---- */

/* The program without the groups from @first to before @last. */
static inline struct program *program_without(const struct program *p, unsigned first,
                                              unsigned last)
{
    struct program *shorter = program_new(p->name, p->seed, p->native);
    for (size_t i = 0; i < p->n; i++) {
        shorter->group = p->step[i].group;
        if (shorter->group < first || shorter->group >= last)
            program_add(shorter, &p->step[i].item);
    }
    return shorter;
}

static inline bool program_differs(const struct program *p, const struct manner *manner)
{
    struct world *w = world_like(p->native, manner, p->seed);
    bool differs = program_repeat(p, w).what != NULL;
    world_free(w);
    return differs;
}

/* Whether all that the program reaches is memory: without it a hypervisor has to say no. */
static inline bool program_stays_inside(const struct program *p)
{
    bool inside = true;
    for (size_t i = 0; i < p->n; i++)
        inside &= p->step[i].outcome.gpa < p->native->vm.memory;
    return inside;
}

/* Takes groups away as long as the difference stays, and natively there is none. */
static inline struct program *program_shrink(struct program *p, const struct manner *manner)
{
    for (unsigned piece = p->group / 2 + 1;; piece /= 2) {
        for (unsigned first = 0; first <= p->group; first += piece) {
            struct program *shorter = program_without(p, first, first + piece);
            bool good = shorter->n < p->n && program_stays_inside(shorter) &&
                        program_differs(shorter, manner) &&
                        (manner->mode == MODE_NATIVE || !program_differs(shorter, &manners[0]));
            program_free(good ? p : shorter);
            p = good ? shorter : p;
        }
        if (piece == 1)
            return p;
    }
}

static inline void print_outcome(const char *who, const struct outcome *o)
{
    static const char *const kinds[] = {"ok", "fault", "exit", "stop"};
    fprintf(stderr, "    %s: %s", who, kinds[o->kind]);
    if (o->kind == OUTCOME_OK)
        fprintf(stderr, " gpa 0x%llx value 0x%llx", (unsigned long long)o->gpa,
                (unsigned long long)o->value);
    else if (o->kind == OUTCOME_FAULT)
        fprintf(stderr, " %u error 0x%x cr2 0x%llx level %u", o->vector, o->error_code,
                (unsigned long long)o->cr2, o->level);
    else if (o->kind == OUTCOME_EXIT)
        fprintf(stderr, " %s 0x%llx", exit_reason_name(o->exit.reason),
                (unsigned long long)o->exit.address);
    fprintf(stderr, " %s\n", o->words ? o->words : "");
}

static inline void print_item(size_t number, const struct script_item *i)
{
    static const char *const verbs[] = {
#define X(name, help) #name,
        VERBS(X)
#undef X
    };
    const struct access *a = &i->access;
    fprintf(stderr, "  %zu %s process %u", number, verbs[i->verb], i->process);
    if (i->verb == VERB_access)
        fprintf(stderr, " op %u flags %u size %u", a->op, a->flags, a->size);
    fprintf(stderr, " gva 0x%llx gpa 0x%llx value 0x%llx %s size %u type %u pcid %u length 0x%llx",
            (unsigned long long)a->gva, (unsigned long long)i->gpa, (unsigned long long)i->value,
            i->has_value ? "(given)" : "", i->size, i->type, i->pcid,
            (unsigned long long)i->length);
    if (i->verb == VERB_map || i->verb == VERB_protect)
        fprintf(stderr, " map 0x%llx 0x%llx level %u rights 0x%x", (unsigned long long)i->map.gva,
                (unsigned long long)i->map.size, i->map.level, i->map.rights);
    fputc('\n', stderr);
}

static inline void print_difference(const struct program *p, const struct manner *manner)
{
    struct world *w = world_like(p->native, manner, p->seed);
    struct difference d = program_repeat(p, w);
    gpa_t at = d.gpa;
    uint64_t words[FRAME_BYTES / 8] = {0};
    fprintf(stderr, "%s, seed 0x%llx, %s: differs in %s at step %zu of %zu\n    %s\n", p->name,
            (unsigned long long)p->seed, manner->name, d.what ? d.what : "nothing", d.step, p->n,
            world_words(w));
    for (size_t i = 0; i < p->n; i++)
        print_item(i, &p->step[i].item);
    print_outcome("expected", &d.expected);
    print_outcome("got", &d.got);
    machine_dump(w->machine, 0, at, words, FRAME_BYTES / 8);
    for (unsigned i = 0; d.what && !strcmp(d.what, "memory") && i < FRAME_BYTES / 8; i++)
        if (words[i] != mem_load(&p->native->machine->mem, at + 8 * i, 8))
            fprintf(stderr, "    at 0x%llx: expected 0x%llx, got 0x%llx\n",
                    (unsigned long long)(at + 8 * i),
                    (unsigned long long)mem_load(&p->native->machine->mem, at + 8 * i, 8),
                    (unsigned long long)words[i]);
    world_free(w);
}

/* ---- the property ---- */

/* Makes the program of a seed. */
typedef struct program *program_maker(uint64_t seed);

/* Repeats a seed's program in one mode; false, and the program made short, if it differs. */
static inline bool seed_is_same(program_maker *make, uint64_t seed, const struct manner *manner,
                                uint64_t *steps)
{
    struct program *p = make(seed);
    bool differs = program_differs(p, manner);
    *steps += p->n;
    if (differs) {
        print_difference(p, manner);
        print_difference(p = program_shrink(p, manner), manner);
    }
    program_free(p);
    return !differs;
}

/*
 * Tries @seeds programs from seed @first on; stops at the third that differs. In the environment,
 * NESTWALK_SEED is a seed to try alone, even in a mode that is kept out, and NESTWALK_SEEDS how
 * many to try.
 */
static inline void expect_same_program(const char *test, program_maker *make, uint64_t first,
                                       uint64_t seeds, const struct manner *manner,
                                       const char *kept_out)
{
    const char *only = getenv("NESTWALK_SEED"), *many = getenv("NESTWALK_SEEDS");
    uint64_t steps = 0;
    unsigned differing = 0;
    clock_t start = clock();
    if (!manner_runs(manner, test, only ? NULL : kept_out))
        return;
    first = only ? strtoull(only, NULL, 0) : first;
    seeds = only ? 1 : many ? strtoull(many, NULL, 0) : seeds;
    for (uint64_t i = 0; i < seeds && differing < 3; i++) {
        bool same = seed_is_same(make, first + i, manner, &steps);
        cr_expect(same, "%s: %s differs from native, seed 0x%llx", test, manner->name,
                  (unsigned long long)(first + i));
        differing += !same;
    }
    fprintf(stderr, "%s: %s: %llu steps, %u of %llu programs differ, %.1f s\n", test, manner->name,
            (unsigned long long)steps, differing, (unsigned long long)seeds,
            (double)(clock() - start) / CLOCKS_PER_SEC);
}

#endif
