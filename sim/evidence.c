#include "sim/evidence.h"

#include <string.h>

#include "sim/hypervisor/technique.h"

uint64_t digest_word(uint64_t digest, uint64_t word)
{
    uint64_t x = (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

/* ---- what the guest sees ---- */

struct look {
    struct machine *machine;
    unsigned vm;
    struct evidence *e;
};

/* One frame of memory; what is zero, backed or not, is the same to its reader. */
static void look_at_frame(const struct look *l, gpa_t gpa)
{
    uint64_t words[FRAME_BYTES / 8], any = 0;
    hpa_t at;
    if (!vm_reach(l->machine, l->vm, gpa, &at) || !mem_holds(&l->machine->mem, at, FRAME_BYTES))
        return;
    mem_read(&l->machine->mem, at, words, sizeof words);
    for (unsigned i = 0; i < FRAME_BYTES / 8; i++)
        any |= words[i];
    if (!any)
        return;
    l->e->frames++;
    l->e->memory = digest_word(l->e->memory, gpa);
    for (unsigned i = 0; i < FRAME_BYTES / 8; i++)
        l->e->memory = digest_word(l->e->memory, words[i]);
}

static void look_at_process(const struct look *l, const struct port *port, const struct process *p)
{
    const struct tables *t = &l->machine->vm[l->vm].guest.tables;
    const struct format *f = &t->format;
    gva_t from = 0;
    struct leaf leaf;
    while (p->has_root && tables_next(t, port, p->root, from, f->ia_mask, &leaf)) {
        uint64_t page = (uint64_t)1 << f->shift[leaf.level];
        gpa_t gpa = format_address(f, leaf.level, true, leaf.entry);
        l->e->leaves++;
        l->e->tables = digest_word(l->e->tables, leaf.gva);
        l->e->tables = digest_word(l->e->tables, leaf.level);
        l->e->tables = digest_word(l->e->tables, leaf.entry);
        for (uint64_t done = 0; done < page; done += FRAME_BYTES)
            look_at_frame(l, (gpa + done) & ~low_bits(FRAME_SHIFT));
        from = (leaf.gva & f->ia_mask) + page;
        if (!from || from > f->ia_mask)
            break;
    }
}

static void look_at_word(void *self, hpa_t at, const uint8_t *bytes)
{
    (void)bytes; /* of the p2m: 512 entries */
    for (unsigned i = 0; i < FRAME_BYTES / 8; i++)
        look_at_frame(self, (at / 8 + i) << FRAME_SHIFT);
}

static void look_at_native_frame(void *self, hpa_t at, const uint8_t *bytes)
{
    (void)bytes;
    look_at_frame(self, at);
}

static void look_at_guest(struct look *l)
{
    struct machine *m = l->machine;
    struct vm *vm = &m->vm[l->vm];
    struct door door = {m, schedule_vcpu(m, l->vm, 0)};
    struct port port = machine_port(&door);
    for (size_t i = 0; i < vm->guest.n; i++)
        look_at_process(l, &port, &vm->guest.processes[i]);
    if (!vm->config->raw)
        return;
    if (vm->below && !vm->config->second_stage_raw.given)
        mem_visit(&vm->p2m[1].words, look_at_word, l);
    else
        mem_visit(&m->mem, look_at_native_frame, l);
}

/* ---- what the processor can reach ---- */

static void reach_leaf(const struct look *l, uint64_t bytes, hpa_t page)
{
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES) {
        struct frame_owner owner = host_owner(&l->machine->host, page + done);
        l->e->reachable++;
        l->e->foreign += owner.use != FRAME_GUEST || owner.vm != l->vm;
    }
}

/* Every leaf of a table whose addresses are the host's. */
static void reach_table(const struct look *l, const struct stage *stage, unsigned level,
                        hpa_t table)
{
    const struct format *f = &stage->format;
    for (uint64_t i = 0; i < (uint64_t)1 << f->index_bits[level]; i++) {
        hpa_t at = table + (i << f->entry_shift);
        uint64_t entry = mem_holds(&l->machine->mem, at, f->entry_bytes)
                             ? mem_load(&l->machine->mem, at, f->entry_bytes)
                             : 0;
        bool leaf = format_is_leaf(f, level, entry);
        if (!format_present(f, entry) || entry & stage->switches)
            continue;
        hpa_t to = format_address(f, level, leaf, entry);
        if (leaf)
            reach_leaf(l, (uint64_t)1 << f->shift[level], to);
        else
            reach_table(l, stage, level - 1, to);
    }
}

static void reach_stage(const struct look *l, const struct stage *stage)
{
    const struct format *f = &stage->format;
    unsigned top = (unsigned)f->levels - f->registers;
    for (unsigned i = 0; f->registers && i < 4; i++)
        if (format_present(f, stage->top[i]))
            reach_table(l, stage, top, format_address(f, f->levels, false, stage->top[i]));
    if (f->levels && !f->registers)
        reach_table(l, stage, top, stage->root);
}

/* Every shadow table that there is, whether or not a vCPU's walks begin above it just now. */
static void reach_shadow(const struct look *l)
{
    const struct shadow *s = &l->machine->vm[l->vm].shadow;
    for (size_t i = 1; i < s->n; i++) {
        const struct shadow_page *page = &s->page[i];
        for (unsigned e = 0; page->key.kind != SHADOW_NONE && e < SHADOW_ENTRIES; e++) {
            uint64_t entry = mem_load(&l->machine->mem, page->table + 8u * e, 8);
            bool leaf = page->key.level == 1 || entry & PTE_PS;
            if (entry & PTE_P && leaf && !(entry & AGILE_SWITCH))
                reach_leaf(l, p2m_page_bytes(page->key.level),
                           entry & low_bits(52) & ~low_bits(FRAME_SHIFT));
        }
    }
}

static const struct stage *last_stage(const struct vcpu *v)
{
    return &v->mmu->stage[v->mmu->stages - 1];
}

/* Whether a vCPU of the VM before this one walks the same tables: they are looked at once. */
static bool is_seen(const struct machine *m, unsigned vcpu)
{
    const struct stage *stage = last_stage(&m->vcpu[vcpu]);
    for (unsigned i = 0; i < vcpu; i++)
        if (m->vcpu[i].vm == m->vcpu[vcpu].vm && last_stage(&m->vcpu[i])->root == stage->root &&
            !stage->format.registers)
            return true;
    return false;
}

/* The last stage's leaves are host frames, and so are those of shadow tables. */
static void reach(const struct look *l)
{
    const struct machine *m = l->machine;
    if (!m->vm[l->vm].below || m->vm[l->vm].config->second_stage_raw.given)
        return; /* nobody gave it anything */
    enum mode mode = m->vm[l->vm].config->mode;
    for (unsigned i = 0; mode != MODE_SHADOW && i < m->n_vcpus; i++)
        if (m->vcpu[i].vm == l->vm && !is_seen(m, i))
            reach_stage(l, last_stage(&m->vcpu[i]));
    if (mode == MODE_SHADOW || mode == MODE_AGILE)
        reach_shadow(l);
}

void evidence_gather(struct machine *m, unsigned vm, struct evidence *e)
{
    struct look look = {m, vm, e};
    memset(e, 0, sizeof *e);
    look_at_guest(&look);
    reach(&look);
}

bool evidence_agrees(const struct evidence *a, const struct evidence *b)
{
    return a->tables == b->tables && a->leaves == b->leaves && a->memory == b->memory &&
           a->frames == b->frames;
}
