/* One access, completed: every page it touches translated, every refusal answered. */
#include "sim/hypervisor/technique.h"

enum { VECTOR_GP = 13, VECTOR_PF = 14 };
enum { ATTEMPTS = 64 /* beyond: nobody makes progress, which is a bug of ours */ };

static void set_fault(struct outcome *o, const struct mmu *mmu, const struct refusal *r, gva_t gva)
{
    *o = (struct outcome){.kind = OUTCOME_FAULT,
                          .vector = r->kind == REFUSED_CANONICAL ? VECTOR_GP : VECTOR_PF,
                          .cr2 = gva,
                          .level = r->level,
                          .why = r->kind};
    if (r->kind != REFUSED_CANONICAL)
        o->error_code = mmu_error_code(mmu, r);
    else
        o->words = "the address is not canonical";
}

static void set_stop(struct machine *m, struct outcome *o)
{
    o->kind = OUTCOME_STOP;
    o->words = m->err.text;
}

/* A fault that is the guest's own, of an access of @p kind. True: its OS has removed the cause. */
static bool guest_answers(struct door *door, unsigned kind, struct outcome *o)
{
    struct machine *m = door->machine;
    struct vcpu *v = door->vcpu;
    struct vm *vm = &m->vm[v->vm];
    struct port port = machine_port(door);
    if (vm->config->raw || o->vector != VECTOR_PF)
        return false;
    enum answer answer = guest_fault(&vm->guest, &port, (unsigned)v->process, o->cr2, kind);
    door_settle(door);
    if (answer == ANSWER_STUCK) {
        machine_stop(m, EXIT_NO, "the VM is out of memory: give it more, or let it reclaim");
        set_stop(m, o);
    }
    m->signals += answer == ANSWER_SIGNAL;
    return answer == ANSWER_RETRY && !m->err.code;
}

/* A write that the hypervisor makes in the guest's place: where, and nothing is cached of it. */
static bool emulated(struct walk *w, hpa_t at)
{
    w->found = (struct found){.hpa = at, .next = at, .shift = FRAME_SHIFT, .leaf = WALK_NO_REF};
    return true;
}

/*
 * Has a refusal answered. True: repeat, unless it is done by now; false: it stands, and *o is what
 * becomes of the access.
 */
static bool answer(struct machine *m, struct vcpu *v, const struct access *a, struct walk *w,
                   bool *done, struct outcome *o)
{
    const struct technique *technique = technique_for(m, v->vm);
    struct door door = {m, v};
    struct refusal guest;
    struct vm_exit exit;
    switch (technique->refused(&door, a, &w->refusal, &guest, &exit)) {
    case REMEDY_FAULT:
        mmu_page_fault(v->mmu, a->gva, &guest);
        set_fault(o, v->mmu, &guest, a->gva);
        return guest_answers(&door, guest.access, o);
    case REMEDY_EXIT:
        *o = (struct outcome){.kind = OUTCOME_EXIT, .exit = exit};
        return false;
    case REMEDY_EMULATE:
        *done = true;
        return emulated(w, exit.address);
    case REMEDY_STOP:
        set_stop(m, o);
        return false;
    default:
        return !m->err.code;
    }
}

/* One page's worth, until it is allowed or refused for good. */
static bool complete_page(struct machine *m, struct vcpu *v, const struct access *a, bool begun,
                          struct walk *w, const struct watcher *watcher, struct outcome *o)
{
    struct bus bus = machine_bus(m);
    bool allowed = !begun && mmu_translate(v->mmu, &bus, a, false, w);
    o->kind = OUTCOME_OK; /* until the guest has a fault */
    for (unsigned attempt = 1; !allowed; attempt++) {
        bool repeat = answer(m, v, a, w, &allowed, o);
        if (watcher)
            watcher->attempt(watcher->self, w, repeat);
        if (!repeat || attempt == ATTEMPTS) {
            mmu_give_up(v->mmu, a->gva);
            return false;
        }
        if (allowed) {
            w->refs = 0;
            mmu_give_up(v->mmu, a->gva);
            break;
        }
        tally_note(&v->mmu->tally, EVENT_WALK_RETRIED, a->gva, 0);
        allowed = mmu_translate(v->mmu, &bus, a, true, w);
    }
    if (watcher)
        watcher->attempt(watcher->self, w, false);
    struct vm *vm = &m->vm[v->vm];
    if (vm->config->reclaim) {
        const struct future *future = &m->shared->futures[v->vm];
        uint64_t page = a->gva >> v->mmu->stage[0].format.shift[1];
        if (future->recording && !foresee_touch(future->recording, (unsigned)v->process, page))
            machine_stop(m, EXIT_ENVIRONMENT, "this computer is out of memory for reclaim opt");
        uint64_t next = vm->touches < future->n ? future->next_use[vm->touches] : UINT64_MAX;
        vm->touches++;
        guest_touch(&vm->guest, vm_gpa(m, v, &w->found), next);
        if (o->kind == OUTCOME_OK)
            tally_note(&v->mmu->tally, EVENT_PAGE_HIT, a->gva, 0);
    }
    mmu_touch_data(v->mmu, &bus, a, w);
    return true;
}

/* As access_complete, once it is begun. */
static void complete_pages(struct machine *m, struct vcpu *v, const struct access *a, bool begun,
                           struct walk *w, const struct watcher *watcher, struct pieces *pieces,
                           struct outcome *o)
{
    struct outcome whole = {.kind = OUTCOME_OK, .has_gpa = true};
    struct access part = *a;
    for (unsigned left = a->size; left;) {
        part.size = (uint16_t)left;
        if (!complete_page(m, v, &part, begun && part.gva == a->gva, w, watcher, o))
            return;
        uint64_t page = w->found.shift > 62 ? UINT64_MAX : (uint64_t)1 << w->found.shift;
        uint64_t rest = page - (part.gva & (page - 1));
        unsigned bytes = rest < left ? (unsigned)rest : left;
        if (!pieces->n)
            whole.gpa = vm_gpa(m, v, &w->found), whole.hpa = w->found.hpa;
        if (pieces->n < 2)
            pieces->piece[pieces->n] = (struct piece){w->found.hpa, bytes};
        if (!pieces->n++ && bytes < left && m->vm[v->vm].config->reclaim)
            guest_pin(&m->vm[v->vm].guest, vm_gpa(m, v, &w->found));
        part.gva += bytes;
        left -= bytes;
    }
    *o = whole;
}

void access_complete(struct machine *m, struct vcpu *v, const struct access *a, bool begun,
                     struct walk *w, const struct watcher *watcher, struct pieces *pieces,
                     struct outcome *o)
{
    *pieces = (struct pieces){0};
    if (!begun)
        NOTE(&v->mmu->tally, ACCESS, 0, 0, a->op, a->gva, a->process);
    complete_pages(m, v, a, begun, w, watcher, pieces, o);
    guest_unpin(&m->vm[v->vm].guest);
}

/* ---- where the processor is real ---- */

/* What a page fault's error code says of the access: SDM vol. 3, 4.7. */
static unsigned kind_of_error(uint32_t error)
{
    unsigned op = error & PF_FETCH ? KIND_EXEC : error & PF_WRITE ? KIND_WRITE : KIND_READ;
    return op | (error & PF_USER ? KIND_USER : 0);
}

/* The fault of one access. True: its cause is gone, and it may be made again. */
static bool answer_real(struct machine *m, struct vcpu *v, struct outcome *o)
{
    return o->kind == OUTCOME_FAULT &&
           guest_answers(&(struct door){m, v}, kind_of_error(o->error_code), o) && !m->err.code;
}

void access_on_real(struct machine *m, struct vcpu *v, const struct script_item *item,
                    struct outcome *o)
{
    struct door door = {m, v};
    unsigned attempt = 0;
    do
        m->real->access(m->real, &door, item, o);
    while (answer_real(m, v, o) && ++attempt < ATTEMPTS);
    m->accesses++;
}

size_t access_run_on_real(struct machine *m, struct vcpu *v, const struct access *a, size_t n)
{
    struct door door = {m, v};
    struct outcome o;
    size_t done = 0;
    for (unsigned attempt = 0; done < n && !m->err.code; attempt++) {
        size_t more = m->real->run(m->real, &door, a + done, n - done, &o);
        attempt = more ? 0 : attempt;
        done += more;
        if (o.kind != OUTCOME_FAULT)
            break;
        if (!answer_real(m, v, &o) || attempt == ATTEMPTS)
            done++, attempt = 0;
    }
    return done;
}
