/*
 * The processor of a machine whose guest OS is ours: what the guest OS does through its port
 * becomes commands, accesses become commands, and KVM's faults go back to it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/backend/kvm/parts.h"
#include "sim/backend/kvm/touch.h"
#include "sim/hypervisor/technique.h"
#include "sim/run.h"

enum { PAGE = 4096, BATCH_LEAST = 64, BATCH_MOST = 16384, PENDING_MOST = 64, FETCHED = 1024 };

/* A word that the guest OS has written, in the batch and not in memory yet. */
struct pending {
    gpa_t at;
    uint64_t value;
    unsigned size;
};

/*
 * A fetch costs a trap on KVM, and programs fetch from few pages: one that was fetched from since
 * the guest OS last changed anything, and nothing has faulted, would only hit the TLB again.
 */
struct fetched {
    uint64_t page, epoch;
};

struct built {
    struct real real;
    struct kvm_run *run;
    struct pending pending[PENDING_MOST];
    unsigned n_pending;
    bool *present; /* of each frame: it has been touched */
    struct fetched fetched[FETCHED];
    uint64_t epoch; /* begins anew with each act of the guest OS and each fault */
    uint64_t made;  /* accesses */
    size_t batch;   /* accesses tried at once: more as faults get rare */
    bool counted;   /* nothing was accessed since */
    size_t *access; /* of each command in the batch: which access it is a part of */
};

static struct built *built_of(struct real *real)
{
    return (struct built *)real;
}

static struct built *built_here(const struct door *door)
{
    return built_of(door->machine->real);
}

/* What goes wrong on KVM ends the run. False. */
static bool fail(struct door *door)
{
    const struct err *err = &built_here(door)->run->err;
    machine_stop(door->machine, err->code, err->text);
    return false;
}

/* ---- memory, from the host ---- */

/* Looking at a frame that nobody touched would touch it. */
static bool is_present(struct built *b, gpa_t gpa)
{
    uint64_t gfn = gpa / PAGE;
    unsigned char resident = 0;
    if (!b->present[gfn])
        b->present[gfn] =
            !mincore(harness_memory(b->run->harness) + gfn * PAGE, PAGE, &resident) && resident & 1;
    return b->present[gfn];
}

static bool is_harness_entry(const struct kvm_run *r, gpa_t gpa)
{
    for (unsigned i = 0; i < r->roots; i++)
        if (kvm_entry_of(r, r->root[i]) == gpa)
            return true;
    return false;
}

/* KVM's counts are those up to the last access: the guest OS's last acts may follow it. */
static void count(struct built *b)
{
    if (!b->counted)
        kvm_count(b->run);
    b->counted = true;
}

static bool flush(struct built *b)
{
    count(b);
    b->n_pending = 0;
    return kvm_flush(b->run);
}

/* What is left of a frame from @p at on. */
static uint64_t piece_at(gpa_t at, uint64_t left)
{
    uint64_t rest = PAGE - at % PAGE;
    return rest < left ? rest : left;
}

/* Whether what is in memory is not what the guest OS has made of it. */
static bool is_pending(struct built *b, gpa_t at, uint64_t n)
{
    b->n_pending = harness_queued(b->run->harness) ? b->n_pending : 0;
    for (unsigned i = 0; i < b->n_pending; i++)
        if (b->pending[i].at < at + n && at < b->pending[i].at + b->pending[i].size)
            return true;
    return false;
}

/* The word that the guest OS wrote last, if it is just this one. */
static const struct pending *find_pending(const struct built *b, gpa_t at, uint64_t n)
{
    for (unsigned i = b->n_pending; i-- > 0;)
        if (b->pending[i].at == at && b->pending[i].size == n)
            return &b->pending[i];
    return NULL;
}

/* Of a frame that a move has taken away: to look must not bring it back. */
static const uint8_t *kept_at(struct built *b, gpa_t gpa)
{
    struct touch *touch = harness_touch(b->run->harness);
    const uint8_t *kept = touch ? touch_kept(touch, gpa) : NULL;
    return kept ? kept + gpa % PAGE : NULL;
}

static void real_read(struct real *real, gpa_t gpa, void *bytes, uint64_t n)
{
    struct built *b = built_of(real);
    bool pending = is_pending(b, gpa, n);
    const struct pending *word = pending ? find_pending(b, gpa, n) : NULL;
    uint8_t *to = bytes;
    memset(to, 0, n);
    if (word)
        memcpy(to, &word->value, n);
    if (word || is_harness_entry(b->run, gpa) || (pending && !flush(b)))
        return;
    for (uint64_t done = 0, part; done < n; done += part) {
        part = piece_at(gpa + done, n - done);
        const uint8_t *kept = kept_at(b, gpa + done);
        if (kept)
            memcpy(to + done, kept, part);
        else if (is_present(b, gpa + done))
            memcpy(to + done, harness_memory(b->run->harness) + gpa + done, part);
    }
}

static void real_write(struct real *real, gpa_t gpa, const void *bytes, uint64_t n)
{
    struct built *b = built_of(real);
    if (!is_pending(b, gpa, n) || flush(b))
        memcpy(harness_memory(b->run->harness) + gpa, bytes, n);
}

static void real_zero(struct real *real, gpa_t gpa, uint64_t n)
{
    struct built *b = built_of(real);
    if (is_pending(b, gpa, n) && !flush(b))
        return;
    for (uint64_t done = 0, part; done < n; done += part) {
        part = piece_at(gpa + done, n - done);
        if (is_present(b, gpa + done))
            memset(harness_memory(b->run->harness) + gpa + done, 0, part);
    }
}

/* ---- what the guest OS does ---- */

static bool prepare(struct machine *m, unsigned vm, struct err *err)
{
    (void)m, (void)vm, (void)err;
    return true;
}

/*
 * Until the guest OS loads a process's tables the guest stands on a top table in frame 0, which
 * the guest OS leaves alone.
 */
static const char *reset(struct door *door, const struct registers *registers)
{
    struct kvm_run *r = built_here(door)->run;
    r->config.registers = *registers;
    r->config.registers.cr3 = 0;
    r->harness = harness_new(&r->config, &r->err);
    r->root[r->roots++] = 0;
    if (r->harness)
        return technique_native.reset(door, registers); /* formats; its processor never runs */
    fail(door);
    return r->err.text;
}

static const char *execute(struct door *door, const struct instruction *i)
{
    static const uint8_t ops[] = {
        [INSTRUCTION_INVLPG] = COMMAND_INVLPG, [INSTRUCTION_INVPCID] = COMMAND_INVPCID,
        [INSTRUCTION_MOV_CR3] = COMMAND_CR3,   [INSTRUCTION_MOV_CR0] = COMMAND_CR0,
        [INSTRUCTION_MOV_CR4] = COMMAND_CR4,   [INSTRUCTION_WRMSR_EFER] = COMMAND_EFER,
        [INSTRUCTION_WRPKRU] = COMMAND_PKRU,
    };
    struct kvm_run *r = built_here(door)->run;
    built_here(door)->epoch++;
    bool invpcid = i->name == INSTRUCTION_INVPCID;
    if (i->name == INSTRUCTION_MOV_CR3 &&
        !(flush(built_here(door)) && kvm_adopt(r, i->value & CR3_TABLE))) {
        fail(door);
        return NULL;
    }
    struct command *c = kvm_command(r);
    if (c)
        *c = (struct command){.op = ops[i->name],
                              .size = (uint8_t)i->type,
                              .gva = i->gva,
                              .value = invpcid ? i->pcid : i->value};
    else
        fail(door);
    return NULL;
}

static bool store(struct door *door, gpa_t at, uint64_t value, unsigned size, unsigned level)
{
    struct built *b = built_here(door);
    (void)level;
    b->epoch++;
    if (b->n_pending == PENDING_MOST && !flush(b))
        return fail(door);
    struct command *c = kvm_command(b->run);
    if (!c)
        return fail(door);
    b->pending[b->n_pending++] = (struct pending){at, value, size};
    *c = (struct command){.op = COMMAND_STORE, .size = (uint8_t)size, .gva = at, .value = value};
    return true;
}

static void move(struct door *door, enum move move, gpa_t gpa, uint64_t bytes)
{
    struct built *b = built_here(door);
    if (!flush(b) || !kvm_move(b->run, move == MOVE_DROP, gpa, bytes))
        fail(door);
    if (move == MOVE_DROP)
        memset(b->present + gpa / PAGE, false, bytes / PAGE);
}

static const struct technique technique_kvm = {
    .move = move,
    .prepare = prepare,
    .reset = reset,
    .execute = execute,
    .store = store,
};

/* ---- what its programs do ---- */

static bool is_harness_address(const struct kvm_run *r, gva_t gva)
{
    return (gva >> (12 + 9 * (r->config.levels - 1)) & 511) == r->config.slot;
}

/* Whether an access is a fetch that need not be repeated; else it is remembered. */
static bool is_repeated(struct built *b, const struct access *a)
{
    uint64_t page = a->gva / PAGE;
    struct fetched *known = &b->fetched[page % FETCHED];
    if (a->op != OP_EXEC || page != (a->gva + a->size - 1) / PAGE)
        return false;
    bool is = known->page == page && known->epoch == b->epoch;
    *known = (struct fetched){page, b->epoch};
    return is;
}

/* Accesses of one process as commands, as many as there is room for. How many. */
static size_t queue(struct built *b, const struct access *a, size_t n)
{
    struct kvm_run *r = b->run;
    size_t done = 0;
    for (; done < n && a[done].op <= OP_MODIFY && a[done].process == a->process; done++) {
        struct command_list list;
        if (is_repeated(b, &a[done]))
            continue;
        if (is_harness_address(r, a[done].gva)) {
            err_set(&r->err, EXIT_USAGE,
                    "the program uses the addresses behind entry %u of its top table, which are "
                    "those of the guest that makes its accesses",
                    r->config.slot);
            break;
        }
        commands_of_access(&a[done], false, 0, &list);
        if (harness_queued(r->harness) + list.n > BATCH_MOST + PIECES_MAX)
            break;
        for (unsigned i = 0; i < list.n; i++) {
            size_t at = harness_queued(r->harness);
            struct command *c = harness_next(r->harness);
            if (!c)
                return done;
            b->access[at] = done;
            *c = list.command[i];
        }
    }
    return done;
}

/* Accesses tried at once: more as faults get rare. */
static size_t next_batch(size_t batch, size_t done, bool fault)
{
    size_t next = !fault ? batch * 2 : batch > 2 * done ? batch / 2 : batch;
    return next < BATCH_LEAST ? BATCH_LEAST : next > BATCH_MOST ? BATCH_MOST : next;
}

/* Executes what is queued up to the first fault; what became of its last command. */
static bool try_batch(struct kvm_run *r, size_t *executed, struct outcome *o)
{
    *executed = 0;
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (r->err.code || !harness_queued(r->harness))
        return !r->err.code;
    if (!harness_run(r->harness, true, executed, &r->err))
        return false;
    outcome_of_command(harness_result(r->harness, *executed - 1), o);
    return true;
}

/* What the guest OS has done since comes first in the same batch, and does not fault. */
static size_t real_run(struct real *real, struct door *door, const struct access *a, size_t n,
                       struct outcome *o)
{
    struct built *b = built_of(real);
    size_t executed, done = queue(b, a, n < b->batch ? n : b->batch);
    if (!done || !try_batch(b->run, &executed, o)) {
        *o = (struct outcome){.kind = OUTCOME_STOP};
        fail(door);
        return 0;
    }
    bool fault = o->kind == OUTCOME_FAULT;
    done = fault ? b->access[executed - 1] : done;
    b->batch = next_batch(b->batch, done, fault);
    b->epoch += fault;
    b->made += done;
    b->counted = false;
    if (fault && !seen_fault(b->run->seen, b->made, o))
        machine_stop(door->machine, EXIT_ENVIRONMENT, "this computer is out of memory");
    return done;
}

static void real_access(struct real *real, struct door *door, const struct script_item *item,
                        struct outcome *o)
{
    struct built *b = built_of(real);
    struct command_list list;
    commands_of_access(&item->access, item->has_value, item->value, &list);
    b->n_pending = 0;
    b->counted = false;
    if (!kvm_try(b->run, &list, o)) {
        fail(door);
        *o = (struct outcome){.kind = OUTCOME_STOP, .words = b->run->err.text};
    } else if (o->kind == OUTCOME_FAULT && !seen_fault(b->run->seen, b->made, o)) {
        machine_stop(door->machine, EXIT_ENVIRONMENT, "this computer is out of memory");
    }
}

/* ---- a run ---- */

static void take_outcome(void *self, unsigned index, const struct script_item *item,
                         const struct outcome *o, const struct machine *m)
{
    struct kvm_run *r = self;
    (void)item, (void)m;
    r->seen->outcome[index] = *o;
}

static bool take_progress(void *self, uint64_t accesses)
{
    struct kvm_run *r = self;
    (void)accesses;
    return backend_stopped(r->backend, &r->err);
}

static bool run_machine(struct built *b, const struct machine_config *config)
{
    struct kvm_run *r = b->run;
    struct run_hooks hooks = {.outcome = take_outcome, .progress = take_progress, .self = r};
    struct machine *m = machine_new_on(config, NULL, &b->real, &r->err);
    bool good = m && kvm_begin(r) && run_scenario(r->scenario, m, &hooks, &r->err);
    good = good && !r->err.code && flush(b);
    if (good)
        r->seen->accesses = m->accesses;
    r->seen->has_faults = good;
    machine_free(m);
    return good;
}

bool kvm_run_built(struct kvm_run *r)
{
    struct vm_config vm = *r->vm;
    struct machine_config config = r->scenario->machine;
    struct built b = {
        .real = {&technique_kvm, real_run, real_access, real_read, real_write, real_zero},
        .run = r,
        .epoch = 1,
        .batch = BATCH_LEAST,
        .present = calloc(r->config.memory / PAGE, sizeof(bool)),
        .access = calloc(BATCH_MOST + 2 * PIECES_MAX, sizeof(size_t))};
    vm.mode = MODE_NATIVE; /* to its guest OS: what is under it is KVM's */
    config.vms = &vm;
    config.memory = vm.memory;
    bool good = b.present && b.access;
    good = good ? run_machine(&b, &config)
                : err_set(&r->err, EXIT_ENVIRONMENT, "this computer is out of memory");
    free(b.present);
    free(b.access);
    return good;
}
