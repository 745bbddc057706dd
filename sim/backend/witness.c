#include "sim/backend/witness.h"

#include <stdlib.h>
#include <string.h>

#include "sim/hypervisor/technique.h"

/* ---- frames ---- */

enum { TOUCHED = 1, WRITTEN = 2, DROPPED = 4 };

static void add(struct witness *w, struct seen_list *list, uint64_t word)
{
    w->exhausted |= !seen_add(list, word);
}

/* The first time counts. */
static void note_frame(struct witness *w, gpa_t gpa, uint8_t what)
{
    uint64_t gfn = gpa >> FRAME_SHIFT;
    if (gfn >= w->frames || w->noted[gfn] & what)
        return;
    w->noted[gfn] |= what;
    add(w, what == TOUCHED ? &w->seen->touched : &w->seen->written, gfn);
}

/* A frame of the host was written, or read as a table: if it is the guest's. */
static void note_written(struct witness *w, hpa_t at)
{
    const struct machine *m = w->machine;
    if (!mem_holds(&m->mem, at, 1) || !m->vm[0].below)
        return;
    struct frame_owner owner = host_owner(&m->host, at);
    if (owner.use == FRAME_GUEST)
        note_frame(w, owner.gfn << FRAME_SHIFT, WRITTEN);
}

static void note_root(struct witness *w, const struct registers *registers)
{
    gpa_t root = control_root(registers);
    if (vm_holds(w->machine, 0, root, 1))
        add(w, &w->seen->roots, root >> FRAME_SHIFT);
}

/* ---- the guest's tables ---- */

static uint64_t used_bits(const struct format *f, bool leaf, bool write)
{
    return f->accessed | (leaf && write ? f->dirty : 0);
}

/* As a hypervisor would follow them. Of textbooks and PAE, whose top is in registers: nothing. */
static void follow(const struct witness *w, unsigned vcpu, gva_t gva, bool write, struct way *way)
{
    const struct mmu *mmu = w->machine->vcpu[vcpu].mmu;
    const struct stage guest = control_stage(&mmu->registers, &mmu->profile);
    const struct format *f = &guest.format;
    gpa_t table = guest.root;
    bool on = !mmu->geometry.levels && !f->registers;
    way->n = 0;
    for (unsigned level = f->levels; on && level; level--) {
        struct step *step = &way->step[way->n++];
        uint64_t entry = 0;
        step->at = table + format_offset(f, level, gva);
        vm_read(w->machine, 0, step->at, &entry, f->entry_bytes);
        bool leaf = format_is_leaf(f, level, entry);
        step->sound = format_present(f, entry) && !(entry & f->reserved[level][leaf]);
        step->missing = used_bits(f, leaf, write) & ~entry;
        table = format_address(f, level, leaf, entry);
        on = step->sound && !leaf;
    }
}

/* Bits that were missing on the way are there now: the hypervisor has set them. */
static void note_bits_set(struct witness *w)
{
    for (unsigned i = 0; i < w->followed.n; i++) {
        const struct step *step = &w->followed.step[i];
        uint8_t entry = 0; /* A and D stand in its first byte */
        vm_read(w->machine, 0, step->at, &entry, 1);
        if (step->sound && step->missing & entry)
            note_frame(w, step->at, WRITTEN);
    }
    w->followed.n = 0;
}

/* A walk was refused: the manual lets it set A all the same, in what it came by. */
static void note_refused(struct witness *w, unsigned vcpu, gva_t gva)
{
    struct way way;
    hpa_t at;
    follow(w, vcpu, gva, false, &way);
    for (unsigned i = 0; i < way.n; i++) {
        if (way.step[i].sound)
            add(w, &w->seen->refused, way.step[i].at);
        if (!vm_reach(w->machine, 0, way.step[i].at, &at)) /* zeroes, but KVM has read them */
            note_frame(w, way.step[i].at, TOUCHED);
    }
}

/* ---- events ---- */

static bool writes(const struct witness *w)
{
    return w->op == OP_WRITE || w->op == OP_MODIFY;
}

/* What the guest OS does behind its last access, KVM's guest does when nobody counts any more. */
static void settle_counts(struct witness *w)
{
    memcpy(w->settled, w->exits, sizeof w->settled);
}

static void take_fault(struct witness *w, const struct event *e)
{
    bool canonical = e->detail != REFUSED_CANONICAL;
    const struct outcome fault = {.vector = canonical ? 14 : 13,
                                  .error_code = (uint32_t)(canonical ? e->value : 0),
                                  .cr2 = canonical ? e->address : 0};
    uint64_t before = w->seen->accesses - (w->seen->accesses > 0);
    settle_counts(w);
    w->exhausted |= !seen_fault(w->seen, before, &fault);
    if (canonical)
        note_refused(w, e->vcpu, e->address);
}

/* An access has come to its data, in one page. */
static void take_data(struct witness *w, const struct event *e)
{
    settle_counts(w);
    note_bits_set(w);
    if (writes(w))
        note_written(w, e->address);
    w->at = (e->value | low_bits(FRAME_SHIFT)) + 1;
}

static void take_exit(struct witness *w, const struct event *e)
{
    w->exits[e->detail]++;
    if (e->detail == EXIT_FOR_hidden_fault || e->detail == EXIT_FOR_table_write)
        follow(w, e->vcpu, w->at, writes(w), &w->followed);
}

static void take_table(struct witness *w, const struct event *e)
{
    const struct mmu *mmu = w->machine->vcpu[e->vcpu].mmu;
    bool read = e->kind == EVENT_REF;
    if (!e->depth && (!read || (mmu->stages > 1 && mmu->stage[1].table_op == KIND_WRITE)))
        note_written(w, e->address);
}

static void take_root(struct witness *w, const struct event *e)
{
    struct registers registers = w->machine->vcpu[e->vcpu].mmu->registers;
    registers.cr3 = e->value;
    note_root(w, &registers);
}

static void note_returned(struct witness *w, uint64_t gfn)
{
    w->noted[gfn] &= (uint8_t)~DROPPED;
    add(w, &w->seen->returned, gfn);
}

/* A frame is given, or mapped again; its write protection is lifted. */
static void take_work(struct witness *w, const struct event *e)
{
    uint64_t gfn = e->address >> FRAME_SHIFT;
    if (e->detail == WORK_unprotect)
        add(w, &w->seen->rewritten, gfn);
    else if (e->detail == WORK_map && gfn < w->frames && w->noted[gfn] & DROPPED)
        note_returned(w, gfn);
    else if (e->detail == WORK_back)
        note_frame(w, e->address, TOUCHED);
}

static void take(void *self, const struct event *e)
{
    struct witness *w = self;
    switch (e->kind) {
    case EVENT_ACCESS:
        w->seen->accesses++;
        w->op = e->detail;
        w->at = e->address;
        w->followed.n = 0;
        break;
    case EVENT_DATA:
        take_data(w, e);
        break;
    case EVENT_FAULT:
        take_fault(w, e);
        break;
    case EVENT_EXIT:
        take_exit(w, e);
        break;
    case EVENT_REF:
    case EVENT_SET_ACCESSED:
    case EVENT_SET_DIRTY:
        take_table(w, e);
        break;
    case EVENT_MOV_CR3:
        take_root(w, e);
        break;
    case EVENT_GUEST_STORE:
        w->seen->stores++;
        w->seen->late_stores += w->dropped;
        note_frame(w, e->address, WRITTEN);
        break;
    case EVENT_WORK:
        take_work(w, e);
        break;
    default:
        break;
    }
}

/* ---- a run ---- */

bool witness_begin(struct witness *w, struct machine *m, struct observation *seen)
{
    *w = (struct witness){.machine = m, .seen = seen, .frames = m->vm[0].config->memory >> 12};
    if (!(w->noted = calloc(w->frames + 1, 1)))
        return false;
    hpa_t at;
    for (uint64_t gfn = 0; gfn < w->frames; gfn++)
        w->noted[gfn] = vm_reach(m, 0, gfn << FRAME_SHIFT, &at) ? TOUCHED : 0;
    for (unsigned i = 0; i < m->n_vcpus; i++)
        note_root(w, &m->vcpu[i].mmu->registers);
    w->sink = (struct sink){take, w};
    machine_watch(m, &w->sink);
    return true;
}

/* Only what there was goes, and can come back. */
static void note_dropped(struct witness *w, uint64_t gfn)
{
    if (gfn < w->frames && w->noted[gfn] & TOUCHED)
        w->noted[gfn] |= DROPPED;
}

void witness_item(struct witness *w, const struct script_item *item, const struct outcome *o)
{
    if (item->verb == VERB_store && o->kind == OUTCOME_OK)
        note_frame(w, item->gpa + item->size - 1, WRITTEN);
    w->dropped |= item->verb == VERB_drop;
    for (uint64_t done = 0; item->verb == VERB_drop && done < item->length; done += FRAME_BYTES)
        note_dropped(w, (item->gpa + done) >> FRAME_SHIFT);
    if (item->verb == VERB_access && o->kind == OUTCOME_EXIT)
        note_refused(w, 0, w->at);
}

static void take_counts(struct witness *w)
{
    const uint64_t *n = w->machine->vm[0].config->raw ? w->exits : w->settled;
    uint64_t *count = w->seen->count;
    count[SEEN_pf_guest] = n[EXIT_FOR_page_fault];
    count[SEEN_pf_taken] = n[EXIT_FOR_page_fault] + n[EXIT_FOR_hidden_fault] +
                           n[EXIT_FOR_table_write] + n[EXIT_FOR_second_stage_violation];
    count[SEEN_invlpg] = n[EXIT_FOR_invlpg];
    for (unsigned reason = 0; reason < EXIT_REASON_COUNT; reason++)
        count[SEEN_exits] += n[reason];
}

bool witness_end(struct witness *w, struct machine *m)
{
    struct observation *seen = w->seen;
    machine_watch(m, NULL);
    free(w->noted);
    for (size_t i = 0; i < seen->written.n; i++)
        add(w, &seen->dirty, seen->written.word[i]);
    seen_sort(&seen->dirty);
    seen_sort(&seen->roots);
    seen_sort(&seen->refused);
    take_counts(w);
    return !w->exhausted;
}
