/* The KVM backend: one scenario's VM on the kernel's own hypervisor. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/backend/compare.h"
#include "sim/backend/kvm/parts.h"
#include "sim/backend/kvm/touch.h"

enum { ENTRIES = 512, PAGE = 4096, SLOT_OF_USERS = 255, SLOT_NEVER = 256 /* KVM-PVM's own */ };

/* ---- which entry of every top table is the harness's ---- */

struct slots {
    bool used[ENTRIES];
    unsigned shift; /* of an address, to the top table's index */
};

static void use_address(struct slots *s, gva_t gva)
{
    s->used[gva >> s->shift & (ENTRIES - 1)] = true;
}

/* What a raw VM's image has in a top table. */
static void use_entries(struct slots *s, const struct vm_config *vm, gpa_t root)
{
    for (unsigned i = 0; i < vm->n_images; i++) {
        const struct image_config *image = &vm->images[i];
        for (uint64_t b = 0; b < image->length; b++) {
            uint64_t offset = image->gpa + b - root;
            if (offset < PAGE && image->bytes[b])
                s->used[offset / 8] = true;
        }
    }
}

/* What a script stores into a top table. */
static void use_stores(struct slots *s, const struct scenario *scenario, gpa_t root)
{
    for (unsigned i = 0; i < scenario->n_script; i++) {
        uint64_t offset = scenario->script[i].gpa - root;
        if (scenario->script[i].verb == VERB_store && offset < PAGE)
            s->used[offset / 8] = s->used[(offset + 7) / 8 % ENTRIES] = true;
    }
}

static void use_root(struct slots *s, const struct scenario *scenario, gpa_t root)
{
    use_entries(s, &scenario->machine.vms[0], root);
    use_stores(s, scenario, root);
}

static void use_script(struct slots *s, const struct scenario *scenario)
{
    for (unsigned i = 0; i < scenario->n_script; i++) {
        const struct script_item *item = &scenario->script[i];
        use_address(s, item->access.gva);
        use_address(s, item->access.gva + item->access.size);
        use_address(s, item->map.gva);
        if (item->verb == VERB_mov_cr3)
            use_root(s, scenario, item->value & CR3_TABLE);
    }
}

static void use_maps(struct slots *s, const struct vm_config *vm)
{
    for (unsigned p = 0; p < vm->n_processes; p++)
        for (unsigned i = 0; i < vm->processes[p].n_maps; i++) {
            const struct map_config *map = &vm->processes[p].maps[i];
            for (gva_t at = map->gva >> s->shift; at <= (map->gva + map->size - 1) >> s->shift;
                 at++)
                s->used[at & (ENTRIES - 1)] = true;
        }
}

/*
 * A slot that nothing of the scenario is behind. Programs' addresses, which a trace holds unseen,
 * are those at both ends of the lower half and where their position-independent code goes.
 */
static int free_slot(const struct scenario *scenario, unsigned levels)
{
    const struct vm_config *vm = &scenario->machine.vms[0];
    struct slots s = {.shift = 12 + 9 * (levels - 1)};
    use_script(&s, scenario);
    use_maps(&s, vm);
    use_root(&s, scenario, vm->registers.cr3 & CR3_TABLE);
    s.used[SLOT_NEVER] = true;
    for (unsigned i = 0; i < ENTRIES; i++) {
        unsigned slot = (200 + i) % ENTRIES;
        if (slot && !s.used[slot] && slot != SLOT_OF_USERS)
            return (int)slot;
    }
    return -1;
}

/* ---- a run ---- */

/* The VM's memory as the guest sees it, without what is the harness's own. */
static bool take_memory(struct kvm_run *r)
{
    struct observation *seen = r->seen;
    uint64_t frames = r->config.memory / PAGE;
    uint8_t *from = harness_memory(r->harness);
    unsigned char *resident = calloc(1, frames);
    if (!resident || !(seen->memory = calloc(1, r->config.memory))) {
        free(resident);
        return err_set(&r->err, EXIT_ENVIRONMENT, "this computer is out of memory");
    }
    seen->n_memory = r->config.memory;
    bool told = !mincore(from, r->config.memory, resident);
    for (uint64_t i = 0; i < frames; i++)
        if (!told || resident[i] & 1)
            memcpy(seen->memory + i * PAGE, from + i * PAGE, PAGE);
    free(resident);
    for (unsigned i = 0; i < r->roots; i++) {
        memset(seen->memory + kvm_entry_of(r, r->root[i]), 0, 8);
        seen_add(&seen->roots, r->root[i] / PAGE);
    }
    seen_sort(&seen->roots);
    return seen->has_memory = true;
}

static bool has_verb(const struct scenario *s, enum verb verb)
{
    for (unsigned i = 0; i < s->n_script; i++)
        if (s->script[i].verb == verb)
            return true;
    return false;
}

/*
 * Whether KVM's counts are of the scenario alone. With shadow tables each further top table costs
 * faults of the harness's own, and so does a first store into a frame that was there before.
 */
static bool counts_are_pure(const struct kvm_run *r)
{
    bool one_root = r->roots == r->roots_before;
    if (has_verb(r->scenario, VERB_write_protect))
        return false; /* protected by userfaultfd, which has its price */
    if (r->nested)
        return !r->vm->raw || one_root;
    return one_root && !(r->vm->raw && has_verb(r->scenario, VERB_store));
}

/* With a second stage, the harness's fetches walk from the top tables loaded before the counting
 * began, and so were the first to touch them. */
void kvm_count(struct kvm_run *r)
{
    struct harness_counts counts;
    harness_counts(r->harness, &counts);
    r->seen->count[SEEN_pf_taken] = (uint64_t)counts.pf_taken + (r->nested ? r->walked : 0);
    r->seen->count[SEEN_pf_guest] = (uint64_t)counts.pf_guest;
    r->seen->count[SEEN_invlpg] = (uint64_t)counts.invlpg;
    r->seen->count[SEEN_exits] = (uint64_t)(counts.exits - counts.irq_exits);
    r->seen->has_counts = counts.pf_taken >= 0 && counts_are_pure(r);
}

static bool prepare(struct kvm_run *r)
{
    const struct scenario *s = r->scenario;
    const struct vm_config *vm = r->vm;
    r->config.levels = vm->raw ? control_paging(&vm->registers) : vm->paging;
    r->config.memory = (vm->memory + PAGE - 1) / PAGE * PAGE;
    r->config.registers = vm->registers;
    int slot = free_slot(s, r->config.levels);
    if (slot < 0)
        return err_set(&r->err, EXIT_USAGE,
                       "every entry of the top table is in use; KVM's guest needs one of its own");
    r->config.slot = (unsigned)slot;
    r->seen->outcome = calloc(s->n_script + 1, sizeof *r->seen->outcome);
    r->seen->n_outcomes = s->n_script;
    r->seen->has_outcomes = true;
    return r->seen->outcome || err_set(&r->err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

/* ---- where frames are followed ---- */

/* What KVM's own log of writes says: with a second stage a first use counts as one. */
static bool take_dirty(struct kvm_run *r)
{
    const uint64_t *bits = r->config.dirty ? harness_dirty(r->harness) : NULL;
    bool good = true;
    for (uint64_t gfn = 0; bits && gfn < r->config.memory / PAGE; gfn++)
        if (bits[gfn / 64] >> gfn % 64 & 1)
            good &= seen_add(&r->seen->dirty, gfn);
    for (size_t i = 0; !bits && i < r->seen->written.n; i++)
        good &= seen_add(&r->seen->dirty, r->seen->written.word[i]);
    seen_sort(&r->seen->dirty);
    return good;
}

/* A frame's first write is told once, however often it was protected and written again. */
static bool take_touch(struct kvm_run *r, const struct touch_event *e, bool *written)
{
    struct observation *seen = r->seen;
    uint64_t gfn = e->gpa / PAGE;
    bool again = e->kind == TOUCH_WRITE && written[gfn];
    struct seen_list *lists[] = {[TOUCH_FIRST] = &seen->touched,
                                 [TOUCH_WRITE] = &seen->written,
                                 [TOUCH_RETURN] = &seen->returned};
    written[gfn] |= e->kind == TOUCH_WRITE;
    return again || seen_add(lists[e->kind], gfn);
}

static bool take_frames(struct kvm_run *r)
{
    struct observation *seen = r->seen;
    size_t n;
    const struct touch_event *events = touch_events(harness_touch(r->harness), &n);
    bool *written = calloc(r->config.memory / PAGE, sizeof *written);
    bool good = written && kvm_settle_protected(r);
    for (size_t i = r->touches_before; good && i < n; i++)
        good = take_touch(r, &events[i], written);
    free(written);
    seen->has_order = true;
    seen->has_dirty = touch_sees_writes(harness_touch(r->harness)) || r->config.dirty;
    return take_dirty(r) && good
               ? true
               : err_set(&r->err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

/* ---- the backend ---- */

static bool run_once(struct kvm_run *r, bool follow)
{
    r->config.follow = follow;
    r->config.dirty = follow && !r->nested;
    bool good = prepare(r) && (r->vm->raw ? kvm_run_raw(r) : kvm_run_built(r)) &&
                (follow ? take_frames(r) : take_memory(r));
    harness_free(r->harness);
    free(r->protected);
    return good;
}

/* Asked once: a computer has one KVM. */
struct here {
    bool known;
    struct environment environment;
};

/*
 * Following frames costs exits of its own, and so is done by a second run, which is made alike. A
 * raw VM's frames are there from the start.
 */
static bool run(struct backend *self, const struct scenario *scenario, struct observation *seen,
                struct err *err)
{
    struct observation followed = {0};
    struct kvm_run r = {
        .scenario = scenario, .vm = &scenario->machine.vms[0], .backend = self, .seen = seen};
    struct kvm_run again = r;
    struct here *asked = self->self;
    *seen = (struct observation){0};
    if (!asked->known && !(asked->known = environment_probe(&asked->environment, err)))
        return false;
    r.nested = again.nested = asked->environment.nested;
    again.seen = &followed;
    bool good = run_once(&r, false);
    bool follows =
        !r.vm->raw || has_verb(scenario, VERB_drop) || has_verb(scenario, VERB_write_protect);
    if (good && follows && run_once(&again, true)) {
        seen->touched = followed.touched;
        seen->written = followed.written;
        seen->dirty = followed.dirty;
        seen->has_order = followed.has_order;
        seen->has_dirty = followed.has_dirty;
        seen->returned = followed.returned;
        seen->rewritten = followed.rewritten;
        followed.touched = followed.written = followed.dirty = (struct seen_list){0};
        followed.returned = followed.rewritten = (struct seen_list){0};
    } else if (good && again.err.code && again.err.code != EXIT_ENVIRONMENT) {
        r.err = again.err;
        good = false;
    }
    observation_fini(&followed);
    if (!good)
        *err = r.err;
    return good;
}

static struct here here;
struct backend backend_kvm = {.name = "kvm", .run = run, .self = &here};
