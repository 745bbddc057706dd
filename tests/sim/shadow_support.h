/*
 * What the tests of shadow paging share: a raw VM in two modes, each told the same; and whether a
 * VM's shadow pages, its reverse map and the guest's tables agree with each other.
 */
#ifndef TESTS_SIM_SHADOW_SUPPORT_H
#define TESTS_SIM_SHADOW_SUPPORT_H

#include "tests/sim/machines.h"

#include "sim/hypervisor/shadow.h"

#define POLICIES "kvm", "trace", "vtlb"
static const char *const policies[] = {POLICIES};
enum { KVM, TRACE, VTLB, POLICY_COUNT };

/* ---- telling a machine ---- */

static inline struct outcome tell(struct rig *rig, struct script_item item)
{
    struct outcome o;
    machine_do(rig->machine, &item, &o);
    cr_assert_eq(rig->machine->err.code, EXIT_OK, "%s", rig->machine->err.text);
    return o;
}

static inline struct outcome access_at(struct rig *rig, enum op op, unsigned flags, gva_t gva,
                                       unsigned size, uint64_t value)
{
    return tell(rig, (struct script_item){.verb = VERB_access,
                                          .access = {.gva = gva,
                                                     .size = (uint16_t)size,
                                                     .op = (uint8_t)op,
                                                     .flags = (uint8_t)flags},
                                          .has_value = op == OP_WRITE,
                                          .value = value});
}

static inline void store_at(struct rig *rig, gpa_t gpa, uint64_t value, unsigned size)
{
    struct outcome o = tell(
        rig, (struct script_item){.verb = VERB_store, .gpa = gpa, .value = value, .size = size});
    cr_assert_eq(o.kind, OUTCOME_OK);
}

static inline struct outcome load_register(struct rig *rig, enum verb verb, uint64_t value)
{
    return tell(rig, (struct script_item){.verb = verb, .value = value});
}

static inline struct outcome invlpg_at(struct rig *rig, gva_t gva)
{
    return tell(rig, (struct script_item){.verb = VERB_invlpg, .access.gva = gva});
}

static inline uint64_t word_at(const struct rig *rig, gpa_t gpa)
{
    uint64_t word;
    cr_assert(machine_dump(rig->machine, 0, gpa, &word, 1));
    return word;
}

/* ---- what a machine did ---- */

static inline uint64_t exits_for(const struct rig *rig, enum exit_reason reason)
{
    return slot_of(rig->machine, SLOT(EXIT, 1, 0, reason));
}

static inline uint64_t all_exits(const struct rig *rig)
{
    return total_of(rig->machine, EVENT_EXIT);
}

static inline uint64_t works(const struct rig *rig, enum work work)
{
    uint64_t sum = 0;
    for (unsigned level = 0; level <= LEVELS_MAX; level++)
        sum += slot_of(rig->machine, SLOT(WORK, 1, level, work));
    return sum;
}

/* ---- whether all agrees ---- */

static inline bool is_listed(const struct shadow *s, uint32_t head, uint32_t page, unsigned index)
{
    unsigned found = 0;
    for (uint32_t at = head; at; at = s->rmap.node[at].next)
        found += s->rmap.node[at].page == page && s->rmap.node[at].index == index;
    return found == 1;
}

static inline const char *entry_fault(const struct door *door, uint32_t page, unsigned index)
{
    const struct shadow *s = shadow_of(door);
    uint64_t entry = shadow_entry(door, page, index);
    unsigned level = s->page[page].key.level;
    struct frame_owner owner = host_owner(&door->machine->host, shadow_address(entry));
    uint64_t frames = (uint64_t)1 << 9 * (level - 1);
    if (!shadow_is_leaf(level, entry))
        return owner.use != FRAME_SHADOW ? "a link leads to no shadow page"
               : !is_listed(s, s->page[owner.gfn].parents, page, index)
                   ? "a link is not in the list of its table"
                   : NULL;
    if (owner.use != FRAME_GUEST || owner.vm != door->vcpu->vm)
        return "a leaf maps what is not the VM's";
    if (!is_listed(s, rmap_of_frame(&s->rmap, owner.gfn), page, index))
        return "a leaf is not in the reverse map";
    for (uint64_t i = 0; i < frames; i++) {
        struct p2m_entry below = p2m_get(&shadow_vm(door)->p2m[1], (owner.gfn + i) << FRAME_SHIFT);
        if (below.state != P2M_PRESENT)
            return "what was dropped is mapped";
        if (entry & PTE_W && below.write_protected)
            return "what is write-protected is mapped writable";
        if (entry & PTE_W && shadow_watches(s, owner.gfn + i))
            return "a watched table is mapped writable";
    }
    return NULL;
}

/* Every entry is in its list, once; no list has more. NULL, or what is wrong. */
static inline const char *shadow_wrong(const struct rig *rig)
{
    struct machine *m = rig->machine;
    struct door door = {m, &m->vcpu[0]};
    struct shadow *s = shadow_of(&door);
    uint64_t pages = 0, entries = 0, listed = 0;
    const char *wrong = NULL;
    for (uint32_t p = s->oldest; p && !wrong; p = s->page[p].newer, pages++) {
        for (unsigned i = 0; i < SHADOW_ENTRIES && !wrong; i++)
            if (shadow_entry(&door, p, i) & PTE_P) {
                wrong = entry_fault(&door, p, i);
                entries++;
            }
        for (uint32_t at = s->page[p].parents; at; at = s->rmap.node[at].next)
            listed++;
    }
    for (uint64_t gfn = 0; gfn < m->vm[0].config->memory >> FRAME_SHIFT; gfn++)
        for (uint32_t at = rmap_of_frame(&s->rmap, gfn); at; at = s->rmap.node[at].next)
            listed++;
    return wrong                                           ? wrong
           : pages != s->live                              ? "pages are lost"
           : entries != listed                             ? "a list has what is not there"
           : m->vm[0].host_tables != s->live * FRAME_BYTES ? "the bytes of tables are miscounted"
                                                           : NULL;
}

#define EXPECT_SOUND(rig, ...)                                                                     \
    do {                                                                                           \
        const char *wrong_ = shadow_wrong(rig);                                                    \
        cr_assert(wrong_ == NULL, "%s", wrong_);                                                   \
    } while (0)

#endif
