/*
 * In every mode: running in steps of any size is the same as running through; a clone taken
 * anywhere goes on as the original would, to the last count, cycle and byte of memory; the records
 * of the log add up to the counters.
 */
#include "tests/sim/worlds.h"

enum { CASES = 14, CLONES = 12 };

/* ---- machines with a lot to do ---- */

static void draw_workload(struct world *w, unsigned p, struct rng *rng)
{
    static const enum pattern patterns[] = {PATTERN_SEQUENTIAL, PATTERN_UNIFORM, PATTERN_GUPS,
                                            PATTERN_POINTER_CHASE};
    struct map_config *map = &w->map[p][0];
    *map = (struct map_config){.gva = 0x7fe00000,
                               .size = (16 + rng_below(rng, 48)) * FRAME_BYTES,
                               .level = 1,
                               .rights = 15,
                               .populate = !w->vm.reclaim && chance(rng, 30)};
    w->process[p] = (struct process_config){.name = "program", .n_maps = 1, .n_phases = 1};
    w->phase[p].generator = (struct generator_spec){.pattern = patterns[rng_below(rng, 4)],
                                                    .base = map->gva,
                                                    .length = map->size,
                                                    .page = FRAME_BYTES,
                                                    .accesses = 400 + rng_below(rng, 400),
                                                    .size = (uint16_t)(1 + rng_below(rng, 16)),
                                                    .flags = ACCESS_USER,
                                                    .writes = 0.4,
                                                    .stride = 8 + rng_below(rng, 6000),
                                                    .remap = 0.04,
                                                    .protect = 0.05,
                                                    .rights = 15};
}

/* Case 0 and every third have two vCPUs. */
static struct world *draw_machine(const struct manner *manner, unsigned number)
{
    struct rng rng = {0xc10e0000 + number};
    struct world native = {.config = {.cpus = 2, .seed = rng_next(&rng), .n_vms = 1}};
    native.config.profile = draw_profile(&rng);
    native.config.memory = 64 * MIB;
    native.vm = (struct vm_config){.name = "vm",
                                   .vcpus = number % 3 ? 1 : 2,
                                   .paging = (enum paging)(PAGING_2_LEVEL + number % 4),
                                   .huge_pages = chance(&rng, 25),
                                   .memory = 64 * MIB,
                                   .n_processes = PROCESSES,
                                   .quantum = chance(&rng, 30) ? 0 : 1 + rng_below(&rng, 60)};
    if (chance(&rng, 40)) {
        native.vm.reclaim = chance(&rng, 50) ? RECLAIM_LRU : RECLAIM_CLOCK;
        native.vm.reclaim_frames = 8 + rng_below(&rng, 60);
    }
    for (unsigned p = 0; p < PROCESSES; p++)
        draw_workload(&native, p, &rng);
    return world_like(&native, manner, rng_next(&rng));
}

/* ---- the hypervisor's state ---- */

static bool same_p2m(const struct vm *a, const struct vm *b)
{
    bool same = a->below == b->below && a->host_tables == b->host_tables;
    for (unsigned depth = 1; same && depth <= a->below; depth++)
        same = same_memory(&a->p2m[depth].words, &b->p2m[depth].words) &&
               a->second[depth].pointer == b->second[depth].pointer;
    return same && same_frames(&a->middle, &b->middle);
}

static const char *whole_difference(const struct machine *a, const struct machine *b)
{
    if (!same_p2m(&a->vm[0], &b->vm[0]))
        return "what its hypervisors know of its frames";
    if (!same_frames(&a->host.frames, &b->host.frames) ||
        !same_memory(&a->host.owners, &b->host.owners))
        return "who owns the host's frames";
    return state_difference(a, b);
}

static void expect_alike(const struct machine *a, const struct machine *b,
                         const struct manner *manner, unsigned number, const char *how)
{
    const char *what = whole_difference(a, b);
    cr_expect(what == NULL, "%s, case %u, %s: not the same: %s", manner->name, number, how, what);
}

/* The case's machine, run through. */
static struct world *run_whole(const struct manner *manner, unsigned number)
{
    struct world *w = draw_machine(manner, number);
    run_out(w->machine, UINT64_MAX);
    cr_assert(w->machine->finished, "%s, case %u: %s", manner->name, number, w->machine->err.text);
    return w;
}

/* Does something with every case in every mode that runs. */
static void each_case(const char *test, void (*check)(const struct manner *, unsigned number))
{
    for (unsigned i = 0; i < MANNERS; i++)
        for (unsigned number = 0; number < CASES && machine_runs(manners[i].mode); number++)
            check(&manners[i], number);
    for (unsigned i = 0; i < MANNERS; i++)
        manner_runs(&manners[i], test, NULL);
}

/* ---- run = step ---- */

static void check_steps(const struct manner *manner, unsigned number)
{
    static const uint64_t pieces[] = {1, 3, 64, 511};
    struct world *whole = run_whole(manner, number);
    for (unsigned p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        struct world *w = draw_machine(manner, number);
        run_out(w->machine, pieces[p]);
        expect_alike(w->machine, whole->machine, manner, number, "in steps");
        world_free(w);
    }
    world_free(whole);
}

Test(clone_modes, running_in_steps_of_any_size_ends_in_the_same_state_in_every_mode)
{
    each_case("running in steps", check_steps);
}

/* ---- clones ---- */

/* Every other clone runs to its end at once, the rest when the original is gone. */
static void check_clones(const struct manner *manner, unsigned number)
{
    struct world *whole = run_whole(manner, number), *w = draw_machine(manner, number);
    struct rng rng = {number};
    struct machine *clones[CLONES];
    for (unsigned i = 0; i < CLONES; i++) {
        machine_run(w->machine, rng_below(&rng, 2 * whole->machine->accesses / CLONES));
        clones[i] = machine_clone(w->machine);
        cr_assert(clones[i] != NULL);
        expect_alike(clones[i], w->machine, manner, number, "a fresh clone");
        if (i % 2)
            run_out(clones[i], 100);
    }
    run_out(w->machine, UINT64_MAX);
    expect_alike(w->machine, whole->machine, manner, number, "the original");
    machine_free(w->machine);
    w->machine = NULL;
    for (unsigned i = 0; i < CLONES; i++) {
        run_out(clones[i], 61);
        expect_alike(clones[i], whole->machine, manner, number, "a clone");
        machine_free(clones[i]);
    }
    world_free(w);
    world_free(whole);
}

Test(clone_modes, a_clone_taken_anywhere_goes_on_as_the_original_in_every_mode)
{
    each_case("clones", check_clones);
}

/* ---- the log ---- */

struct summing {
    uint64_t count[2][EVENT_SLOTS];
    cycles_t last[2];
    bool backwards;
};

static void sum_event(void *self, const struct event *event)
{
    struct summing *sum = self;
    cr_assert_lt(event->vcpu, 2);
    sum->count[event->vcpu][event_slot(event)]++;
    sum->backwards |= event->time < sum->last[event->vcpu];
    sum->last[event->vcpu] = event->time;
}

static void expect_sum(const struct summing *sum, const struct machine *m, const char *mode)
{
    for (unsigned v = 0; v < m->n_vcpus; v++) {
        const struct tally *t = &m->vcpu[v].mmu->tally;
        cycles_t cycles = 0;
        for (unsigned s = 0; s < EVENT_SLOTS; s++)
            cycles += sum->count[v][s] * t->price[s];
        cr_expect(!memcmp(sum->count[v], t->count, sizeof t->count), "%s: a counter", mode);
        cr_expect_eq(cycles, t->cycles, "%s: the cycles", mode);
    }
    cr_expect_not(sum->backwards, "%s: a record before another", mode);
}

static void check_log(const struct manner *manner, unsigned number)
{
    struct world *unseen = run_whole(manner, number), *w = draw_machine(manner, number);
    struct summing *sum = calloc(1, sizeof *sum);
    struct sink sink = {sum_event, sum};
    cr_assert(sum != NULL);
    machine_watch(w->machine, &sink);
    run_out(w->machine, 1000);
    machine_watch(w->machine, NULL);
    expect_sum(sum, w->machine, manner->name);
    expect_alike(w->machine, unseen->machine, manner, number, "watched");
    free(sum);
    world_free(w);
    world_free(unseen);
}

Test(clone_modes, the_records_of_the_log_add_up_to_the_counters_in_every_mode)
{
    each_case("the log", check_log);
}
