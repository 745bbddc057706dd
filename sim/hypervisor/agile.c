#include "sim/hypervisor/agile.h"

#include "sim/hypervisor/back.h"
#include "sim/hypervisor/moves.h"
#include "sim/hypervisor/second_tables.h"
#include "sim/hypervisor/shadow.h"

/*
 * What is known of a table, in a word: bit 0: it is shadowed; bits 15:1: writes in the interval of
 * bits 63:16, which is the number of the last one in which it was written, and 1 more.
 */
enum { SHADOWED = 1, WRITE = 2, INTERVAL_SHIFT = 16 };

/* Quarters of the writes that turn a table nested, up to which it is shadowed again: fewer, so that
 * one in between does not go to and fro. */
enum { CALM = 3 };

static struct agile *agile_of(const struct door *door)
{
    return &shadow_vm(door)->agile;
}

static const struct agile_config *config_of(const struct door *door)
{
    return &shadow_vm(door)->config->agile;
}

bool agile_init(struct agile *a, uint64_t memory)
{
    *a = (struct agile){.interval = 1};
    return mem_init(&a->tables, ((memory >> FRAME_SHIFT) + 1) * 8);
}

void agile_fini(struct agile *a)
{
    mem_fini(&a->tables);
}

bool agile_clone(struct agile *clone, const struct agile *a)
{
    clone->tables = (struct mem){0};
    return !a->tables.regions || mem_clone(&clone->tables, &a->tables);
}

static uint64_t get(const struct door *door, uint64_t gfn)
{
    const struct mem *tables = &agile_of(door)->tables;
    return mem_holds(tables, gfn * 8, 8) ? mem_load(tables, gfn * 8, 8) : 0;
}

static void set(struct door *door, uint64_t gfn, uint64_t word)
{
    if (mem_holds(&agile_of(door)->tables, gfn * 8, 8))
        mem_store(&agile_of(door)->tables, gfn * 8, word, 8);
}

/* ---- which tables ---- */

/* Whether shadow and guest tables can be walked by one set of rules. */
static bool can_shadow(const struct door *door)
{
    const struct registers *r = &door->vcpu->mmu->registers;
    return control_paging(r) >= PAGING_PAE && r->cr0 & CR0_WP && r->efer & EFER_NXE;
}

bool agile_is_nested(const struct door *door, uint64_t gfn, unsigned level)
{
    const struct vm *vm = shadow_vm(door);
    int fixed = vm->config->agile.shadow_levels;
    if (vm->config->mode != MODE_AGILE)
        return false;
    if (!can_shadow(door))
        return true;
    if (fixed < 0)
        return !(get(door, gfn) & SHADOWED);
    return (int)level <= (int)shadow_here(door)->guest.format.levels - fixed;
}

/* ---- where walks begin ---- */

static uint64_t root_gfn(const struct door *door)
{
    return shadow_here(door)->guest.root >> FRAME_SHIFT;
}

/* PAE's top level is in registers, of which the hypervisor makes its own. */
static bool root_is_nested(const struct door *door)
{
    const struct stage *guest = &shadow_here(door)->guest;
    if (!guest->format.levels)
        return false;
    if (!guest->format.registers)
        return agile_is_nested(door, root_gfn(door), guest->format.levels);
    bool nested = false;
    for (unsigned i = 0; i < SHADOW_ROOTS; i++) {
        gpa_t table = format_address(&guest->format, guest->format.levels, false, guest->top[i]);
        nested |= format_present(&guest->format, guest->top[i]) &&
                  agile_is_nested(door, table >> FRAME_SHIFT, 2);
    }
    return nested;
}

/* Registers that hold gpas begin walks that the second stage must be asked for. */
static void begin_in_guest(struct door *door)
{
    struct stage stage = shadow_here(door)->guest;
    struct mmu *mmu = door->vcpu->mmu;
    hpa_t host;
    if (!stage.format.registers &&
        vm_holds(door->machine, door->vcpu->vm, stage.root, FRAME_BYTES) &&
        back_reach(door, 0, stage.root, &host)) {
        stage.root = host;
        stage.host_root = true;
    }
    struct registers registers = mmu->registers;
    struct shadow_vcpu *v = shadow_here(door);
    memset(v->root, 0, sizeof v->root); /* what becomes of those is not this vCPU's matter now */
    mmu_set_shadow(mmu, &stage, &registers);
}

void agile_enter(struct door *door)
{
    struct mmu *mmu = door->vcpu->mmu;
    if (shadow_vm(door)->config->mode != MODE_AGILE)
        return;
    if (!control_paging(&mmu->registers) || root_is_nested(door)) {
        begin_in_guest(door);
        return;
    }
    mmu->stage[0].format = shadow_here(door)->guest.format;
    mmu->stage[0].direct = true;
    mmu->stage[0].switches = AGILE_SWITCH;
}

bool agile_must_exit(const struct door *door, uint64_t value)
{
    const struct shadow *s = shadow_of(door);
    const struct stage *guest = &shadow_here(door)->guest;
    uint64_t gfn = (value & low_bits(52)) >> FRAME_SHIFT;
    if (guest->format.registers || s->n_unsynced)
        return true;
    if (agile_is_nested(door, gfn, guest->format.levels))
        return false;
    return !shadow_next_of(s, gfn, 0);
}

/* ---- writes ---- */

/* A table was written; one that is written again and again is the processor's to walk. */
static void count_write(struct door *door, uint64_t gfn, bool watched)
{
    uint64_t word = get(door, gfn), now = agile_of(door)->interval;
    uint64_t writes = word >> INTERVAL_SHIFT == now ? (word & low_bits(INTERVAL_SHIFT)) / WRITE : 0;
    writes += writes < low_bits(INTERVAL_SHIFT - 1);
    bool shadowed = word & SHADOWED && (!watched || writes < config_of(door)->writes);
    set(door, gfn, now << INTERVAL_SHIFT | writes * WRITE | shadowed);
    if (shadowed || !watched || config_of(door)->shadow_levels >= 0)
        return;
    for (uint32_t page; (page = shadow_next_of(shadow_of(door), gfn, 0));)
        shadow_zap(door, page);
    for (unsigned i = 0; i < door->machine->n_vcpus; i++) {
        struct door there = {door->machine, &door->machine->vcpu[i]};
        if (there.vcpu->vm == door->vcpu->vm && there.vcpu->mmu->stage[0].direct)
            agile_enter(&there);
    }
}

static bool store(struct door *door, gpa_t gpa, uint64_t value, unsigned size, unsigned level)
{
    uint64_t gfn = gpa >> FRAME_SHIFT;
    bool watched = shadow_watches(shadow_of(door), gfn);
    bool done = watched ? technique_shadow.store(door, gpa, value, size, level)
                        : technique_nested.store(door, gpa, value, size, level);
    if (level || watched)
        count_write(door, gfn, watched);
    shadow_resume(door);
    return done;
}

static void written(struct door *door, hpa_t at, uint64_t bytes)
{
    uint64_t gfn = host_owner(&door->machine->host, at).gfn;
    if (!shadow_watches(shadow_of(door), gfn))
        return;
    technique_shadow.written(door, at, bytes);
    count_write(door, gfn, true);
    shadow_resume(door);
}

/* ---- tables that rest ---- */

/* Switch entries that lead to a table: the next walk will find its shadow. */
static void drop_switches(struct door *door, uint64_t gfn)
{
    struct shadow *s = shadow_of(door);
    for (uint32_t at = rmap_of_frame(&s->rmap, gfn), next; at; at = next) {
        struct rmap_node node = s->rmap.node[at];
        next = node.next;
        if (shadow_entry(door, node.page, node.index) & AGILE_SWITCH)
            shadow_clear(door, node.page, node.index);
    }
}

/* Looks at a table and, if it may be shadowed, at those below; leaves are no tables. */
static void look(struct door *door, gpa_t table, unsigned level)
{
    const struct format *f = &shadow_here(door)->guest.format;
    uint64_t gfn = table >> FRAME_SHIFT, word = get(door, gfn);
    if (!vm_holds(door->machine, door->vcpu->vm, table, FRAME_BYTES))
        return; /* the guest's entry leads nowhere */
    bill_work(door, 1, level, WORK_scan, table);
    if (word >> INTERVAL_SHIFT >= agile_of(door)->interval - 1 &&
        (word & low_bits(INTERVAL_SHIFT)) / WRITE > config_of(door)->writes * CALM / 4)
        return; /* too often in the interval that ends */
    if (!(word & SHADOWED)) {
        set(door, gfn, word | SHADOWED);
        drop_switches(door, gfn);
    }
    for (uint64_t at = 0; level > 1 && at < format_table_bytes(f, level); at += f->entry_bytes) {
        uint64_t entry = 0;
        vm_read(door->machine, door->vcpu->vm, table + at, &entry, f->entry_bytes);
        if (format_present(f, entry) && !format_is_leaf(f, level, entry))
            look(door, format_address(f, level, false, entry), level - 1);
    }
}

static void look_at_roots(struct door *door)
{
    const struct stage *guest = &shadow_here(door)->guest;
    const struct format *f = &guest->format;
    if (!f->registers) {
        look(door, guest->root, f->levels);
        return;
    }
    for (unsigned i = 0; i < SHADOW_ROOTS; i++)
        if (format_present(f, guest->top[i]))
            look(door, format_address(f, f->levels, false, guest->top[i]), f->levels - 1u);
}

static uint64_t look_around(struct door *door)
{
    struct agile *a = agile_of(door);
    struct machine *m = door->machine;
    uint64_t every = config_of(door)->interval;
    if (config_of(door)->shadow_levels >= 0 || !every)
        return UINT64_MAX;
    if (!a->next)
        a->next = m->accesses + every;
    if (m->accesses >= a->next) {
        a->next = m->accesses + every;
        a->interval++;
        if (can_shadow(door)) {
            bool direct = door->vcpu->mmu->stage[0].direct;
            look_at_roots(door);
            shadow_resume(door);
            if (!direct && !root_is_nested(door))
                shadow_reload(door);
        }
    }
    return a->next - m->accesses;
}

/* ---- the technique ---- */

static bool prepare(struct machine *m, unsigned number, struct err *err)
{
    struct vm *vm = &m->vm[number];
    if (!agile_init(&vm->agile, vm->config->memory))
        return err_set(err, EXIT_ENVIRONMENT, "this computer is out of memory");
    return technique_shadow.prepare(m, number, err) && technique_nested.prepare(m, number, err);
}

static const char *reset(struct door *door, const struct registers *registers)
{
    return technique_shadow.reset(door, registers);
}

static enum remedy refused(struct door *door, const struct access *access, const struct refusal *r,
                           struct refusal *guest, struct vm_exit *exit)
{
    if (r->depth)
        return technique_nested.refused(door, access, r, guest, exit);
    if (r->direct)
        return technique_shadow.refused(door, access, r, guest, exit);
    *guest = *r;
    return REMEDY_FAULT;
}

/* Whether the shadow of the table that maps an address is behind it. */
static bool is_behind(const struct door *door, gva_t gva, uint64_t *gfn)
{
    const struct shadow *s = shadow_of(door);
    uint32_t page;
    unsigned index;
    if (!s->n_unsynced || !format_canonical(&door->vcpu->mmu->stage[0].format, gva) ||
        !shadow_locate(door, gva, &page, &index))
        return false;
    *gfn = s->page[page].key.number;
    return s->page[page].unsynced;
}

/* The processor does what it can: where no shadow is behind, INVLPG is its own affair. */
static const char *execute(struct door *door, const struct instruction *i)
{
    uint64_t gfn;
    if (i->name == INSTRUCTION_INVLPG) {
        bool behind = is_behind(door, i->gva, &gfn);
        const char *fault =
            behind ? technique_shadow.execute(door, i) : technique_native.execute(door, i);
        if (behind)
            count_write(door, gfn, true);
        shadow_resume(door);
        return fault;
    }
    if (i->name == INSTRUCTION_INVPCID && !shadow_of(door)->n_unsynced)
        return technique_native.execute(door, i);
    return technique_shadow.execute(door, i);
}

/* The processor finds a frame by shadow tables, by the second stage, and as a table of the guest's
 * where a walk leaves the former for the latter. */
static void follow(struct door *door, gpa_t frame, const struct p2m_entry *entry)
{
    shadow_follow(door, frame, entry);
    second_tables_follow(door, 1, frame, entry);
    if (entry->state != P2M_PRESENT)
        drop_switches(door, frame >> FRAME_SHIFT);
}

/* Walks that begin in the guest's own root do so at the host's address: it is in use. */
static void bring_roots_back(struct door *door)
{
    for (unsigned i = 0; i < door->machine->n_vcpus; i++) {
        struct door there = {door->machine, &door->machine->vcpu[i]};
        struct p2m_entry entry;
        if (there.vcpu->vm == door->vcpu->vm && there.vcpu->mmu->stage[0].host_root)
            back_page(&there, 1, shadow_here(&there)->guest.root, KIND_WRITE, &entry);
    }
}

static void move(struct door *door, enum move move, gpa_t gpa, uint64_t bytes)
{
    moves_make(door, move, gpa, bytes, follow);
    shadow_resume(door);
    second_tables_forget(door);
    bring_roots_back(door);
}

const struct technique technique_agile = {
    .prepare = prepare,
    .reset = reset,
    .refused = refused,
    .execute = execute,
    .store = store,
    .written = written,
    .look_around = look_around,
    .move = move,
};
