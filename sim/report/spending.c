#include "sim/report/spending.h"

const char *purse_name(enum purse purse)
{
    static const char *const names[PURSE_COUNT] = {
#define X(name, words) #name,
        PURSES(X)
#undef X
    };
    return names[purse];
}

const char *purse_words(enum purse purse)
{
    static const char *const all[PURSE_COUNT] = {
#define X(name, words) words,
        PURSES(X)
#undef X
    };
    return all[purse];
}

/* The guest OS pays for whatever is not named here. */
static const enum purse purse_of[EVENT_KINDS] = {
    [EVENT_ACCESS] = PURSE_accesses,
    [EVENT_TLB_HIT] = PURSE_tlb,
    [EVENT_TLB_MISS] = PURSE_tlb,
    [EVENT_TLB_L2] = PURSE_tlb,
    [EVENT_WALK] = PURSE_guest_tables,
    [EVENT_WALK_RETRIED] = PURSE_guest_tables,
    [EVENT_WALK_DIRTY] = PURSE_guest_tables,
    [EVENT_STRUCTURE_HIT] = PURSE_caches,
    [EVENT_STRUCTURE_MISS] = PURSE_caches,
    [EVENT_NESTED_HIT] = PURSE_caches,
    [EVENT_NESTED_MISS] = PURSE_caches,
    [EVENT_REF] = PURSE_guest_tables, /* of stage 0; see purse() */
    [EVENT_DATA] = PURSE_data,
    [EVENT_SET_ACCESSED] = PURSE_bits,
    [EVENT_SET_DIRTY] = PURSE_bits,
    [EVENT_FAULT] = PURSE_guest,
    [EVENT_INVLPG] = PURSE_guest,
    [EVENT_INVPCID] = PURSE_guest,
    [EVENT_MOV_CR3] = PURSE_guest,
    [EVENT_MOV_CR0] = PURSE_guest,
    [EVENT_MOV_CR4] = PURSE_guest,
    [EVENT_WRMSR_EFER] = PURSE_guest,
    [EVENT_WRPKRU] = PURSE_guest,
    [EVENT_GUEST_FAULT] = PURSE_guest,
    [EVENT_GUEST_STORE] = PURSE_guest,
    [EVENT_PAGE_HIT] = PURSE_guest,
    [EVENT_PAGE_IN] = PURSE_guest,
    [EVENT_PAGE_OUT] = PURSE_guest,
    [EVENT_EVICT] = PURSE_guest,
    [EVENT_SWITCH] = PURSE_guest,
    [EVENT_MAP] = PURSE_guest,
    [EVENT_UNMAP] = PURSE_guest,
    [EVENT_PROTECT] = PURSE_guest,
    [EVENT_EXIT] = PURSE_exits,
    [EVENT_WORK] = PURSE_hypervisor,
};

/* The purse of a slot: an entry read from a deeper stage is a host table's. */
static enum purse purse(enum event_kind kind, unsigned slot)
{
    return kind == EVENT_REF && slot >= SLOT(REF, 1, 0, 0) ? PURSE_host_tables : purse_of[kind];
}

void spending_add(struct spending *s, const struct tally *t)
{
    static const unsigned base[EVENT_KINDS + 1] = {
#define X(kind, ...) kind##_BASE,
        EVENTS(X)
#undef X
            [EVENT_KINDS] = EVENT_SLOTS};
    for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
        for (unsigned slot = base[kind]; slot < base[kind + 1]; slot++)
            s->of[purse((enum event_kind)kind, slot)] += t->count[slot] * t->price[slot];
}
