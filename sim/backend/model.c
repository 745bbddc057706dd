/*
 * The model as a backend, as configured and cold: with nothing cached by anybody, so that each
 * access finds what the tables say just then.
 */
#include <stdlib.h>

#include "sim/backend/compare.h"
#include "sim/backend/witness.h"
#include "sim/hypervisor/technique.h"
#include "sim/run.h"

enum { MEMORY_SHIFT = 32 /* of a VM whose memory is kept to be compared: 4 GiB */ };

static bool out_of_memory(struct err *err)
{
    return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

/* ---- what is run ---- */

/* A scenario of one VM that may be changed. */
struct variant {
    struct scenario scenario;
    struct vm_config vm;
};

static void variant_of(struct variant *variant, const struct scenario *s)
{
    variant->scenario = *s;
    variant->vm = s->machine.vms[0];
    variant->scenario.machine.vms = &variant->vm;
    variant->scenario.machine.profile.program_data = true; /* so that each access says where */
}

static void cache_nothing(struct profile *p)
{
    for (unsigned tlb = 0; tlb < TLBS; tlb++)
        for (unsigned array = 0; array < PAGE_CLASSES; array++)
            p->tlb[tlb].array[array].entries = 0;
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        p->structure[level].entries = 0;
    p->nested_tlb.entries = 0;
}

/* A hypervisor's tables may be behind the guest's too: without one there are none. */
static void make_cold(struct variant *variant)
{
    cache_nothing(&variant->scenario.machine.profile);
    variant->vm.n_preloads = 0;
    if (variant->vm.second_stage_raw.given)
        return;
    variant->vm.mode = MODE_NATIVE;
    variant->scenario.machine.memory = variant->vm.memory;
}

/* ---- what is known ---- */

/* Whether frames come to a VM one by one, by exits that KVM would have too. */
static bool is_followed(const struct vm_config *vm)
{
    bool small = !vm->page_share[2] && !vm->page_share[3];
    return small && !vm->second_stage_raw.given &&
           (vm->mode == MODE_NESTED || vm->mode == MODE_SHADOW);
}

static void say_what_is_known(struct observation *seen, const struct vm_config *vm)
{
    bool policy = vm->mode != MODE_SHADOW || vm->shadow.policy == SHADOW_KVM;
    seen->has_outcomes = seen->has_faults = true;
    seen->has_order = seen->has_dirty = is_followed(vm);
    seen->has_counts = is_followed(vm) && policy;
}

static void copy_frame(const struct machine *m, struct observation *seen, gpa_t gpa)
{
    hpa_t at;
    if (gpa < seen->n_memory && vm_reach(m, 0, gpa, &at))
        vm_read(m, 0, gpa, seen->memory + gpa, FRAME_BYTES);
}

static void copy_native_frame(void *self, hpa_t at, const uint8_t *bytes)
{
    struct observation *seen = self;
    if (at < seen->n_memory)
        memcpy(seen->memory + at, bytes, FRAME_BYTES);
}

/* What nobody wrote stays untouched here too: zeroes that cost nothing. */
static void keep_memory(const struct machine *m, struct observation *seen)
{
    const struct vm_config *vm = m->vm[0].config;
    uint64_t bytes = vm->memory & ~low_bits(FRAME_SHIFT);
    bool own = vm->mode != MODE_DIRECT; /* its tables hold the host's addresses */
    seen->has_memory = own && bytes <= (uint64_t)1 << MEMORY_SHIFT &&
                       (seen->memory = calloc(bytes / FRAME_BYTES + 1, FRAME_BYTES));
    seen->n_memory = seen->has_memory ? bytes : 0;
    if (!m->vm[0].below)
        mem_visit(&m->mem, copy_native_frame, seen);
    for (gpa_t gpa = 0; m->vm[0].below && gpa < seen->n_memory; gpa += FRAME_BYTES)
        copy_frame(m, seen, gpa);
}

/* ---- a run ---- */

/* What a run's hooks need. */
struct watch {
    struct witness witness;
    const struct backend *backend;
    struct err *err;
};

static void take_outcome(void *self, unsigned index, const struct script_item *item,
                         const struct outcome *o, const struct machine *m)
{
    struct witness *w = &((struct watch *)self)->witness;
    w->seen->outcome[index] = *o;
    if (o->words == m->err.text)
        w->seen->outcome[index].words = NULL; /* the machine will be gone */
    witness_item(w, item, o);
}

static bool take_progress(void *self, uint64_t accesses)
{
    const struct watch *watch = self;
    (void)accesses;
    return backend_stopped(watch->backend, watch->err);
}

static bool run_machine(const struct backend *self, const struct scenario *s, struct machine *m,
                        struct observation *seen, struct err *err)
{
    struct watch watch = {.backend = self, .err = err};
    const struct run_hooks hooks = {take_outcome, take_progress, &watch};
    seen->outcome = calloc(s->n_script + 1, sizeof *seen->outcome);
    if (!seen->outcome || !witness_begin(&watch.witness, m, seen))
        return out_of_memory(err);
    seen->n_outcomes = s->n_script;
    bool done = run_scenario(s, m, &hooks, err) && !backend_stopped(self, err);
    if (!witness_end(&watch.witness, m) && done)
        done = out_of_memory(err);
    say_what_is_known(seen, m->vm[0].config);
    keep_memory(m, seen);
    return done;
}

static bool run_variant(const struct backend *self, const struct variant *variant,
                        struct observation *seen, struct err *err)
{
    const struct scenario *s = &variant->scenario;
    if (s->machine.n_vms != 1)
        return err_set(err, EXIT_USAGE, "%u VMs: what is observed is one", s->machine.n_vms);
    struct machine *m = machine_new(&s->machine, err);
    bool done = m && run_foresee(s, m, err) && run_machine(self, s, m, seen, err);
    machine_free(m);
    return done;
}

static bool run_warm(struct backend *self, const struct scenario *s, struct observation *seen,
                     struct err *err)
{
    struct variant variant;
    *seen = (struct observation){0};
    variant_of(&variant, s);
    return run_variant(self, &variant, seen, err);
}

static bool run_cold(struct backend *self, const struct scenario *s, struct observation *seen,
                     struct err *err)
{
    struct variant variant;
    *seen = (struct observation){0};
    variant_of(&variant, s);
    make_cold(&variant);
    return run_variant(self, &variant, seen, err);
}

struct backend backend_model = {.name = "model", .run = run_warm};
struct backend backend_cold_model = {.name = "cold model", .run = run_cold};
