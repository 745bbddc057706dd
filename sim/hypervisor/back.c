#include "sim/hypervisor/back.h"

#include "sim/hypervisor/bill.h"
#include "sim/hypervisor/technique.h"

enum { AROUND = 16 * FRAME_BYTES /* Linux's fault_around_bytes */ };

/* A number that depends on nothing but the seed and a region: the mix of pages is reproducible. */
static uint32_t share_of(const struct machine *m, unsigned vm, unsigned level, gpa_t gpa)
{
    struct rng rng = {m->shared->config->seed ^ (uint64_t)(vm + 1) << 56 ^ (uint64_t)level << 48 ^
                      gpa >> (3 + 9 * level)};
    return (uint32_t)(rng_next(&rng) % 1000);
}

/* The page that the configuration asks for here: each 1 GiB, then each 2 MiB, draws its own. */
static unsigned wanted_level(const struct machine *m, unsigned vm, gpa_t gpa)
{
    const uint32_t *share = m->vm[vm].config->page_share;
    if (share[3] && share_of(m, vm, 3, gpa) < share[3])
        return 3;
    uint32_t left = 1000 - share[3];
    return share[2] && left && share_of(m, vm, 2, gpa) * left < share[2] * 1000 ? 2 : 1;
}

static bool out_of_memory(struct machine *m)
{
    machine_stop(m, EXIT_NO,
                 "the host is out of memory: give /machine/memory more, or the VMs less");
    return false;
}

/* A piece of the space under a stage: the host's, or a hypervisor's that is itself in a VM. */
static bool take_below(struct door *door, unsigned depth, unsigned level, uint64_t bytes,
                       enum frame_use use, uint64_t gfn, uint64_t *at)
{
    struct machine *m = door->machine;
    struct vm *vm = &m->vm[door->vcpu->vm];
    const struct frame_owner owner = {use, door->vcpu->vm, gfn};
    bool taken = depth < vm->below ? frames_take(&vm->middle, level, bytes, at)
                                   : host_take(&m->host, level, bytes, &owner, at);
    return taken;
}

/* A frame for a page that has none. */
static bool give_frame(struct door *door, unsigned depth, gpa_t gpa)
{
    struct machine *m = door->machine;
    struct p2m *p2m = &m->vm[door->vcpu->vm].p2m[depth];
    bool own = m->vm[door->vcpu->vm].config->mode == MODE_DIRECT; /* its memory from the start */
    unsigned level = own ? 1 : wanted_level(m, door->vcpu->vm, gpa);
    uint64_t at;
    for (;; level--) {
        gpa_t first = gpa & -p2m_page_bytes(level);
        if (p2m_is_free(p2m, gpa, level) && take_below(door, depth, level, p2m_page_bytes(level),
                                                       FRAME_GUEST, first >> FRAME_SHIFT, &at)) {
            p2m_set(p2m, first, level, at);
            break;
        }
        if (level == 1)
            return out_of_memory(m);
    }
    if (!own)
        bill_work(door, depth, level, WORK_back, gpa);
    m->mem.exhausted |= p2m->words.exhausted || m->host.owners.exhausted;
    return true;
}

/* What was dropped around a page that is read in: what is write-protected stays apart. */
static void bring_back_around(struct p2m *p2m, gpa_t gpa)
{
    gpa_t first = gpa & -(gpa_t)AROUND;
    for (gpa_t at = first; p2m->dropped && at < first + AROUND; at += FRAME_BYTES) {
        struct p2m_entry entry = p2m_get(p2m, at);
        if (entry.state != P2M_KEPT || entry.write_protected)
            continue;
        entry.state = P2M_PRESENT;
        p2m_put(p2m, at, &entry);
    }
}

bool back_page(struct door *door, unsigned depth, gpa_t gpa, unsigned kind, struct p2m_entry *entry)
{
    struct p2m *p2m = &door->machine->vm[door->vcpu->vm].p2m[depth];
    bool absent = p2m_get(p2m, gpa).state == P2M_ABSENT;
    if (absent && !give_frame(door, depth, gpa))
        return false;
    *entry = p2m_get(p2m, gpa);
    bool write = (kind & KIND_OP) == KIND_WRITE, lift = write && entry->write_protected;
    bool dropped = entry->state == P2M_KEPT;
    if ((absent || dropped) && !write && !entry->write_protected)
        bring_back_around(p2m, gpa);
    if (!dropped && !lift)
        return true;
    entry->state = P2M_PRESENT;
    entry->write_protected &= !write;
    p2m_put(p2m, gpa, entry);
    if (dropped)
        bill_work(door, depth, entry->level, WORK_back, gpa);
    if (lift)
        bill_work(door, depth, entry->level, WORK_unprotect, gpa);
    return true;
}

bool back_table(struct door *door, unsigned depth, uint64_t bytes, enum frame_use use, uint64_t *at)
{
    struct vm *vm = &door->machine->vm[door->vcpu->vm];
    if (!take_below(door, depth, 0, bytes, use, 0, at))
        return out_of_memory(door->machine);
    vm->host_tables += bytes;
    return true;
}

bool back_reach(struct door *door, unsigned depth, uint64_t at, hpa_t *host)
{
    struct vm *vm = &door->machine->vm[door->vcpu->vm];
    *host = at;
    for (unsigned below = depth + 1; below <= vm->below; below++) {
        struct p2m_entry entry = p2m_get(&vm->p2m[below], *host);
        if (entry.state != P2M_PRESENT && !back_page(door, below, *host, KIND_READ, &entry))
            return false;
        *host = entry.at + (*host & low_bits(FRAME_SHIFT));
    }
    return true;
}
