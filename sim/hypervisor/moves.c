#include "sim/hypervisor/moves.h"

#include "sim/hypervisor/bill.h"

/* What a move makes of a frame. False: it is so already. */
static bool changes(enum move move, struct p2m_entry *entry)
{
    const struct p2m_entry before = *entry;
    if (move == MOVE_DROP && before.state == P2M_PRESENT)
        entry->state = P2M_KEPT;
    if (move == MOVE_WRITE_PROTECT && before.state != P2M_ABSENT)
        entry->write_protected = true;
    entry->withdrawn = before.state != P2M_ABSENT;
    return entry->state != before.state || entry->write_protected != before.write_protected;
}

void moves_make(struct door *door, enum move move, gpa_t gpa, uint64_t bytes, moves_follow *follow)
{
    struct p2m *p2m = &door->machine->vm[door->vcpu->vm].p2m[1];
    const enum work work = move == MOVE_DROP ? WORK_drop : WORK_protect;
    for (gpa_t frame = gpa; frame < gpa + bytes; frame += FRAME_BYTES) {
        struct p2m_entry entry = p2m_get(p2m, frame);
        if (!changes(move, &entry))
            continue;
        for (; entry.level > 1; entry.level--) {
            bill_work(door, 1, entry.level, WORK_split, frame);
            p2m_split(p2m, frame);
        }
        p2m_put(p2m, frame, &entry);
        bill_work(door, 1, 1, work, frame);
        follow(door, frame, &entry);
    }
}
