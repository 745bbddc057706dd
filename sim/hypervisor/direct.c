#include "sim/hypervisor/direct.h"

#include <stdlib.h>
#include <string.h>

#include "sim/hypervisor/back.h"
#include "sim/hypervisor/bill.h"
#include "sim/hypervisor/technique.h"

static struct vm *vm_of(const struct door *door)
{
    return &door->machine->vm[door->vcpu->vm];
}

static const struct format *format_of(const struct door *door)
{
    return &vm_of(door)->guest.tables.format;
}

static struct typing typing_of(const struct door *door)
{
    struct machine *m = door->machine;
    return (struct typing){.types = &vm_of(door)->direct->types,
                           .mem = &m->mem,
                           .host = &m->host,
                           .format = format_of(door),
                           .vm = door->vcpu->vm};
}

/* ---- life ---- */

struct direct *direct_new(uint64_t bytes)
{
    struct direct *d = calloc(1, sizeof *d);
    if (d && frame_types_init(&d->types, bytes))
        return d;
    free(d);
    return NULL;
}

struct direct *direct_clone(const struct direct *d)
{
    struct direct *clone = malloc(sizeof *clone);
    if (!clone)
        return NULL;
    memcpy(clone, d, offsetof(struct direct, request) + d->n * sizeof *d->request);
    clone->types = (struct frame_types){0};
    if (frame_types_clone(&clone->types, &d->types))
        return clone;
    free(clone);
    return NULL;
}

void direct_free(struct direct *d)
{
    if (d)
        frame_types_fini(&d->types);
    free(d);
}

/* ---- the guest's frames and the machine's ---- */

static bool out_of_frames(struct door *door, const char *words)
{
    machine_stop(door->machine, EXIT_NO, words);
    return false;
}

/* Contiguous machine frames for a large page of the guest's: its frames before are exchanged. */
static bool exchange(struct door *door, gpa_t gpa, unsigned level, uint64_t bytes)
{
    struct machine *m = door->machine;
    struct p2m *p2m = &vm_of(door)->p2m[1];
    const struct frame_owner owner = {FRAME_GUEST, door->vcpu->vm, gpa >> FRAME_SHIFT};
    uint8_t frame[FRAME_BYTES];
    hpa_t to;
    unsigned size = bytes == p2m_page_bytes(level) ? level : LEVELS_MAX; /* 4 MiB go apart */
    if (!host_take(&m->host, size, bytes, &owner, &to))
        return out_of_frames(door, "the host has no contiguous frames left for a large page");
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES) {
        struct p2m_entry old = p2m_get(p2m, gpa + done);
        if (old.state == P2M_ABSENT)
            continue;
        if (frame_type_get(&vm_of(door)->direct->types, old.at).uses)
            return out_of_frames(door, "the guest OS maps a large page over frames in use");
        mem_read(&m->mem, old.at, frame, sizeof frame);
        mem_write(&m->mem, to + done, frame, sizeof frame);
        mem_clear_frame(&m->mem, old.at);
        host_give(&m->host, 1, FRAME_BYTES, old.at);
    }
    uint64_t part = p2m_page_bytes(size == LEVELS_MAX ? 2 : size);
    for (uint64_t done = 0; done < bytes; done += part)
        p2m_set(p2m, gpa + done, size == LEVELS_MAX ? 2 : size, to + done);
    m->mem.exhausted |= p2m->words.exhausted || m->host.owners.exhausted;
    return true;
}

/* Whether the machine frames behind a page follow each other, aligned as the page is. */
static bool is_contiguous(const struct p2m *p2m, gpa_t gpa, uint64_t bytes)
{
    hpa_t first = p2m_get(p2m, gpa).at;
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES) {
        struct p2m_entry entry = p2m_get(p2m, gpa + done);
        if (entry.state == P2M_ABSENT || entry.at != first + done)
            return false;
    }
    return !(first & (bytes - 1));
}

static uint64_t address_bits(const struct format *f, unsigned level, bool leaf)
{
    return f->frame[level][leaf] | (leaf ? low_bits(f->high_bits[level]) << 13 : 0);
}

static uint64_t with_address(const struct format *f, unsigned level, bool leaf, uint64_t entry,
                             uint64_t address)
{
    uint64_t mask = address_bits(f, level, leaf);
    return (entry & ~mask) | (format_entry(f, level, leaf, address, 0) & mask);
}

bool direct_to_machine(struct door *door, unsigned level, uint64_t *entry)
{
    const struct format *f = format_of(door);
    if (!format_present(f, *entry))
        return true;
    bool leaf = format_is_leaf(f, level, *entry);
    gpa_t gpa = format_address(f, level, leaf, *entry);
    uint64_t bytes = leaf ? (uint64_t)1 << f->shift[level] : FRAME_BYTES;
    hpa_t at;
    if (!vm_holds(door->machine, door->vcpu->vm, gpa, bytes)) {
        *entry = with_address(f, level, leaf, *entry, 0); /* frame 0 is the hypervisor's */
        return true;
    }
    if (bytes > FRAME_BYTES && !is_contiguous(&vm_of(door)->p2m[1], gpa, bytes) &&
        !exchange(door, gpa, level, bytes))
        return false;
    if (!back_reach(door, 0, gpa, &at))
        return false;
    *entry = with_address(f, level, leaf, *entry, at);
    if (format_address(f, level, leaf, *entry) != at)
        return out_of_frames(door, "the host has no frames left that entries of the guest's "
                                   "tables reach: give /machine/memory less");
    return true;
}

uint64_t direct_to_guest(const struct door *door, unsigned level, uint64_t entry)
{
    const struct format *f = format_of(door);
    if (!format_present(f, entry))
        return entry;
    bool leaf = format_is_leaf(f, level, entry);
    hpa_t at = format_address(f, level, leaf, entry);
    gpa_t gpa = host_owner(&door->machine->host, at).gfn << FRAME_SHIFT;
    return with_address(f, level, leaf, entry, gpa);
}

/* ---- the hypervisor's side of a call ---- */

/* The hypervisor is in the guest's address space: a call to it drops nothing. */
static void bill_call(const struct door *door, enum exit_reason reason, uint64_t address,
                      uint64_t value)
{
    if (door->machine->billed)
        NOTE(&door->vcpu->mmu->tally, EXIT, 1, 0, reason, address, value);
}

static void bill_checks(struct door *door, const struct typing *t, unsigned level, hpa_t at)
{
    for (unsigned i = 0; i < t->checked; i++)
        bill_work(door, 1, level, WORK_validate, at);
    door->machine->mem.exhausted |= t->types->words.exhausted;
}

enum typing_rule direct_update(struct door *door, hpa_t at, uint64_t entry)
{
    struct typing t = typing_of(door);
    enum typing_rule rule = typing_update(&t, at, entry);
    bill_checks(door, &t, rule ? 0 : frame_type_get(t.types, at).type, at);
    return rule;
}

static enum typing_rule pin(struct door *door, hpa_t table)
{
    struct typing t = typing_of(door);
    enum typing_rule rule = typing_pin(&t, table, t.format->levels);
    bill_work(door, 1, t.format->levels, WORK_pin, table);
    bill_checks(door, &t, t.format->levels, table);
    return rule;
}

/* The frame of the top table that is loaded; 0: none, which is no frame of a VM's. */
static hpa_t loaded(const struct vcpu *v)
{
    return control_root(&v->mmu->registers) & ~low_bits(FRAME_SHIFT);
}

/* A table in a CR3 is in use as a top table. */
static const char *load_cr3(struct door *door, const struct instruction *i)
{
    struct bus bus = machine_bus(door->machine);
    struct typing t = typing_of(door);
    hpa_t from = loaded(door->vcpu), to = i->value & ~CR3_KEEP & ~low_bits(FRAME_SHIFT);
    const char *fault = to ? typing_words(typing_take_table(&t, to, t.format->levels)) : NULL;
    bill_checks(door, &t, t.format->levels, to);
    if (fault)
        return fault;
    fault = mmu_execute(door->vcpu->mmu, &bus, i);
    hpa_t left = fault ? to : from;
    if (left)
        typing_drop_table(&t, left);
    return fault;
}

static const char *do_instruction(struct door *door, const struct instruction *i)
{
    struct bus bus = machine_bus(door->machine);
    return i->name == INSTRUCTION_MOV_CR3 ? load_cr3(door, i)
                                          : mmu_execute(door->vcpu->mmu, &bus, i);
}

/* One request. NULL, or why it is refused. */
static const char *do_request(struct door *door, const struct request *r)
{
    struct door there = {door->machine, &door->machine->vcpu[r->vcpu]};
    struct typing t = typing_of(door);
    switch (r->kind) {
    case REQUEST_UPDATE:
        return typing_words(direct_update(door, r->at, r->entry));
    case REQUEST_PIN:
        return typing_words(pin(door, r->at));
    case REQUEST_UNPIN:
        return typing_words(typing_unpin(&t, r->at));
    default:
        return do_instruction(&there, &r->instruction);
    }
}

/* ---- the guest's side: its queue ---- */

/* A hypercall with all that is queued; goes on to the first request that is refused. */
static const char *call(struct door *door)
{
    struct direct *d = vm_of(door)->direct;
    const char *words = NULL;
    bill_call(door, EXIT_FOR_hypercall, d->request[0].at, d->n);
    for (unsigned i = 0; i < d->n && !words; i++)
        words = do_request(door, &d->request[i]);
    d->n = d->updates = 0;
    return words;
}

/* Our guest OS asks for nothing that is refused, unless a script has led it astray. */
static bool is_granted(struct door *door, const char *words)
{
    struct machine *m = door->machine;
    if (words && !m->err.code)
        err_set(&m->err, EXIT_NO, "vm %s: the hypervisor refuses what its guest OS asks for: %s",
                vm_of(door)->config->name, words);
    return !words;
}

static bool flush(struct door *door)
{
    return !vm_of(door)->direct->n || is_granted(door, call(door));
}

static bool ask(struct door *door, const struct request *r)
{
    struct direct *d = vm_of(door)->direct;
    unsigned batch = vm_of(door)->config->direct.batch, update = r->kind == REQUEST_UPDATE;
    batch = batch ? batch : DEFAULT_BATCH;
    if ((d->n == DIRECT_REQUESTS || d->updates + update > batch) && !flush(door))
        return false;
    d->request[d->n++] = *r;
    d->updates += update;
    return true;
}

/* What is queued for an entry, the newest; NULL: nothing. */
static const struct request *queued(const struct direct *d, hpa_t at)
{
    for (unsigned i = d->n; i--;)
        if (d->request[i].kind == REQUEST_UPDATE && d->request[i].at == at)
            return &d->request[i];
    return NULL;
}

/* Whether a table is pinned once the queue is done. */
static bool is_pinned(const struct direct *d, hpa_t table)
{
    for (unsigned i = d->n; i--;)
        if ((d->request[i].kind == REQUEST_PIN || d->request[i].kind == REQUEST_UNPIN) &&
            d->request[i].at == table)
            return d->request[i].kind == REQUEST_PIN;
    return frame_type_get(&d->types, table).pinned;
}

/* ---- the guest's side: words of its memory ---- */

static uint64_t load(struct door *door, gpa_t gpa, unsigned size)
{
    const struct direct *d = vm_of(door)->direct;
    hpa_t at;
    if (!vm_reach(door->machine, door->vcpu->vm, gpa, &at))
        return 0;
    const struct request *r = queued(d, at);
    uint64_t word = r ? r->seen : mem_load(&door->machine->mem, at, size);
    enum type type = frame_type_get(&d->types, at).type;
    return r || type == TYPE_NONE || type == TYPE_WRITABLE ? word
                                                           : direct_to_guest(door, type, word);
}

/* ---- the guest's side: top tables ---- */

static bool is_loaded(const struct door *door, hpa_t table)
{
    const struct machine *m = door->machine;
    for (unsigned i = 0; i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == door->vcpu->vm && loaded(&m->vcpu[i]) == table)
            return true;
    return false;
}

static bool is_empty(struct door *door, hpa_t table)
{
    const struct format *f = format_of(door);
    gpa_t gpa = host_owner(&door->machine->host, table).gfn << FRAME_SHIFT;
    for (uint64_t at = 0; at < format_table_bytes(f, f->levels); at += f->entry_bytes)
        if (load(door, gpa + at, f->entry_bytes))
            return false;
    return true;
}

static bool ask_pin(struct door *door, hpa_t table)
{
    const struct request r = {.kind = REQUEST_PIN, .at = table};
    return is_pinned(vm_of(door)->direct, table) || ask(door, &r);
}

/* A top table that no vCPU has loaded goes back once it is empty. */
static bool ask_unpin(struct door *door, hpa_t table)
{
    const struct request r = {.kind = REQUEST_UNPIN, .at = table};
    return !is_pinned(vm_of(door)->direct, table) || !is_empty(door, table) || ask(door, &r);
}

static bool store_entry(struct door *door, gpa_t gpa, uint64_t value, unsigned level)
{
    const struct format *f = format_of(door);
    struct request r = {.kind = REQUEST_UPDATE, .entry = value, .seen = value};
    if (!direct_to_machine(door, level, &r.entry) || !back_reach(door, 0, gpa, &r.at))
        return false;
    hpa_t table = r.at & ~low_bits(FRAME_SHIFT);
    bool top = level == f->levels;
    if ((top && !ask_pin(door, table)) || !ask(door, &r))
        return false;
    return !top || format_present(f, value) || is_loaded(door, table) || ask_unpin(door, table);
}

/* A word that the guest writes without saying that it is an entry's: the store traps. */
static bool store_trapped(struct door *door, gpa_t gpa, uint64_t value, unsigned size,
                          unsigned level)
{
    unsigned bytes = format_of(door)->entry_bytes;
    for (unsigned done = 0, part; done < size; done += part) {
        gpa_t to = gpa + done;
        unsigned skip = (unsigned)to & (bytes - 1), rest = bytes - skip;
        part = rest < size - done ? rest : size - done;
        uint64_t mask = (part < 8 ? low_bits(8 * part) : UINT64_MAX) << 8 * skip;
        uint64_t word =
            (load(door, to - skip, bytes) & ~mask) | (value >> 8 * done << 8 * skip & mask);
        if (!store_entry(door, to - skip, word, level))
            return false;
    }
    return !call(door);
}

static bool store(struct door *door, gpa_t gpa, uint64_t value, unsigned size, unsigned level)
{
    hpa_t at;
    if (level)
        return store_entry(door, gpa, value, level);
    if (!back_reach(door, 0, gpa, &at))
        return false;
    enum type type = frame_type_get(&vm_of(door)->direct->types, at).type;
    if (type != TYPE_NONE && type != TYPE_WRITABLE)
        return store_trapped(door, gpa, value, size, type);
    mem_store(&door->machine->mem, at, value, size);
    return true;
}

/* ---- the guest's side: instructions ---- */

static bool ask_instruction(struct door *door, const struct instruction *i)
{
    const struct request r = {.kind = REQUEST_INSTRUCTION,
                              .vcpu = (unsigned)(door->vcpu - door->machine->vcpu),
                              .instruction = *i};
    return ask(door, &r);
}

/* Leaves the top table for that at @p cr3, a machine address, and pins and unpins them. */
static const char *change_cr3(struct door *door, uint64_t cr3)
{
    const struct instruction i = {.name = INSTRUCTION_MOV_CR3, .value = cr3};
    hpa_t from = loaded(door->vcpu), to = cr3 & ~CR3_KEEP & ~low_bits(FRAME_SHIFT);
    bool elsewhere = false;
    for (unsigned v = 0; v < door->machine->n_vcpus; v++)
        elsewhere |=
            &door->machine->vcpu[v] != door->vcpu && loaded(&door->machine->vcpu[v]) == from;
    bool asked = (!to || ask_pin(door, to)) && ask_instruction(door, &i) &&
                 (!from || from == to || elsewhere || ask_unpin(door, from));
    return asked ? call(door) : NULL;
}

static const char *mov_cr3(struct door *door, uint64_t value)
{
    const struct mmu *mmu = door->vcpu->mmu;
    bool has_pcid = mmu->registers.cr4 & CR4_PCIDE;
    uint64_t low = value & (low_bits(FRAME_SHIFT) | (has_pcid ? CR3_KEEP : 0));
    gpa_t gpa = value & ~low;
    hpa_t at;
    if (!vm_holds(door->machine, door->vcpu->vm, gpa, FRAME_BYTES))
        return "CR3 leads to memory that the VM does not have";
    if (control_paging(&mmu->registers) == PAGING_PAE && low & 0xfe0)
        return "direct paging wants a PAE table at the start of its frame";
    if (!back_reach(door, 0, gpa, &at))
        return NULL;
    if (format_of(door)->ia_bits == 32 && at >> 32)
        return out_of_frames(door, "the host has no frames below 4 GiB left for a top table: give "
                                   "/machine/memory less"),
               NULL;
    return change_cr3(door, at | low);
}

/* Tables were checked by one format, which stays. */
static bool keeps_format(const struct door *door, const struct instruction *i)
{
    struct registers to = door->vcpu->mmu->registers;
    const struct format *f = format_of(door);
    to.cr0 = i->name == INSTRUCTION_MOV_CR0 ? i->value : to.cr0;
    to.cr4 = i->name == INSTRUCTION_MOV_CR4 ? i->value : to.cr4;
    to.efer = i->name == INSTRUCTION_WRMSR_EFER ? i->value : to.efer;
    struct stage stage = control_stage(&to, &door->vcpu->mmu->profile);
    return stage.format.levels == f->levels && stage.format.leaf_levels == f->leaf_levels &&
           !memcmp(stage.format.reserved, f->reserved, sizeof f->reserved);
}

static const char *execute(struct door *door, const struct instruction *i)
{
    struct bus bus = machine_bus(door->machine);
    switch (i->name) {
    case INSTRUCTION_WRPKRU: /* not privileged */
        return mmu_execute(door->vcpu->mmu, &bus, i);
    case INSTRUCTION_INVLPG:
        ask_instruction(door, i);
        return NULL;
    case INSTRUCTION_MOV_CR3:
        return mov_cr3(door, i->value);
    case INSTRUCTION_INVPCID:
        break;
    default:
        if (!keeps_format(door, i))
            return "direct paging keeps the format of its checked tables";
    }
    return ask_instruction(door, i) ? call(door) : NULL;
}

uint64_t direct_cr3(const struct door *door)
{
    hpa_t root = loaded(door->vcpu);
    uint64_t cr3 = door->vcpu->mmu->registers.cr3;
    gpa_t gpa = root ? host_owner(&door->machine->host, root).gfn << FRAME_SHIFT : 0;
    return gpa | (cr3 & ~root);
}

/* ---- the technique ---- */

static bool prepare(struct machine *m, unsigned number, struct err *err)
{
    struct vm *vm = &m->vm[number];
    if (!vm->config->paging)
        return err_set(err, EXIT_USAGE, "vm %s: direct paging wants a paging mode of x86",
                       vm->config->name);
    vm->direct = direct_new(m->mem.bytes);
    return vm->direct || err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

static const char *reset(struct door *door, const struct registers *registers)
{
    return technique_native.reset(door, registers);
}

/* The processor tells the hypervisor, which finds nothing to do, and hands it on. */
static enum remedy refused(struct door *door, const struct access *access, const struct refusal *r,
                           struct refusal *guest, struct vm_exit *exit)
{
    (void)exit;
    bill_call(door, EXIT_FOR_bounced_fault, access->gva,
              r->kind == REFUSED_CANONICAL ? 0 : mmu_error_code(door->vcpu->mmu, r));
    *guest = *r;
    return REMEDY_FAULT;
}

/* No process is left whose tables a vCPU could keep: they come into other use. */
static void settle(struct door *door)
{
    if (door->vcpu->process < 0 && loaded(door->vcpu))
        is_granted(door, change_cr3(door, 0));
    flush(door);
}

const struct technique technique_direct = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .load = load,
    .store = store,
    .settle = settle,
};
