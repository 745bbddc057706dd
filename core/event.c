#include "core/event.h"

#include <string.h>

struct kind {
    const char *name, *help;
    unsigned base, slots, levels, details;
    enum cost cost;
};

static const struct kind kinds[EVENT_KINDS] = {
#define X(kind, name, depths, levels, details, cost, help)                                         \
    [EVENT_##kind] = {name, help, kind##_BASE, kind##_SLOTS, levels, details, COST_##cost},
    EVENTS(X)
#undef X
};

static const enum cost cost_of_server[SERVERS] = {
    [SERVED_L1] = COST_l1,
    [SERVED_L2] = COST_l2,
    [SERVED_LLC] = COST_llc,
    [SERVED_MEMORY] = COST_memory,
    [SERVED_STRUCTURE] = COST_structure_cache,
};

static const enum cost cost_of_reason[EXIT_REASON_COUNT] = {
#define X(name, cost, help) COST_##cost,
    EXIT_REASONS(X)
#undef X
};

static const enum cost cost_of_work[WORK_COUNT] = {
#define X(name, cost, help) COST_##cost,
    WORKS(X)
#undef X
};

static enum cost cost_of(const struct kind *kind, unsigned detail)
{
    switch ((int)kind->cost) {
    case COST_by_server:
        return cost_of_server[detail];
    case COST_by_reason:
        return cost_of_reason[detail];
    case COST_by_work:
        return cost_of_work[detail];
    default:
        return kind->cost;
    }
}

static uint32_t price_of(const struct kind *kind, unsigned detail, const uint32_t *cost)
{
    enum cost which = cost_of(kind, detail);
    return which == COST_none ? 0 : cost[which];
}

void tally_init(struct tally *t, const uint32_t *cost, uint16_t vcpu)
{
    memset(t, 0, sizeof *t);
    t->vcpu = vcpu;
    for (unsigned k = 0; k < EVENT_KINDS; k++)
        for (unsigned i = 0; i < kinds[k].slots; i++)
            t->price[kinds[k].base + i] = price_of(&kinds[k], i % kinds[k].details, cost);
}

void tally_reset(struct tally *t)
{
    memset(t->count, 0, sizeof t->count);
    t->cycles = 0;
}

void tally_add(struct tally *into, const struct tally *from)
{
    for (unsigned i = 0; i < EVENT_SLOTS; i++)
        into->count[i] += from->count[i];
    into->cycles += from->cycles;
}

uint64_t tally_total(const struct tally *t, enum event_kind kind)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < kinds[kind].slots; i++)
        total += t->count[kinds[kind].base + i];
    return total;
}

unsigned event_slot(const struct event *e)
{
    const struct kind *k = &kinds[e->kind];
    return k->base + (e->depth * k->levels + e->level) * k->details + e->detail;
}

void tally_note(struct tally *t, enum event_kind kind, uint64_t address, uint64_t value)
{
    struct event event = {.kind = (uint8_t)kind, .address = address, .value = value};
    note(t, kinds[kind].base, event);
}

void tally_record(struct tally *t, struct event event)
{
    event.time = t->cycles;
    event.vcpu = t->vcpu;
    t->sink->take(t->sink->self, &event);
}

const char *event_name(enum event_kind kind)
{
    return kinds[kind].name;
}

const char *event_help(enum event_kind kind)
{
    return kinds[kind].help;
}

const char *server_name(enum server server)
{
    static const char *const names[SERVERS] = {"l1", "l2", "llc", "memory", "structure_cache"};
    return names[server];
}

const char *tlb_name(enum tlb_name tlb)
{
    static const char *const names[TLBS] = {TLB_WORDS};
    return names[tlb];
}

const char *refusal_name(enum refusal_kind kind)
{
    static const char *const names[REFUSALS] = {"none",       "not_present",   "reserved",
                                                "protection", "non_canonical", "log_full"};
    return names[kind];
}

/* What a table says of its entries, by their number. */
#define TELLS(function, type, COUNT, TABLE, ENTRY)                                                 \
    const char *function(type which)                                                               \
    {                                                                                              \
        static const char *const words[COUNT] = {TABLE(ENTRY)};                                    \
        return words[which];                                                                       \
    }
#define ITS_NAME(name, ...)                      #name,
#define ITS_HELP(name, help)                     help,
#define ITS_HELP_BEHIND_PRICE(name, price, help) help,

TELLS(exit_reason_name, enum exit_reason, EXIT_REASON_COUNT, EXIT_REASONS, ITS_NAME)
TELLS(exit_reason_help, enum exit_reason, EXIT_REASON_COUNT, EXIT_REASONS, ITS_HELP_BEHIND_PRICE)
TELLS(work_name, enum work, WORK_COUNT, WORKS, ITS_NAME)
TELLS(work_help, enum work, WORK_COUNT, WORKS, ITS_HELP_BEHIND_PRICE)
TELLS(cost_name, enum cost, COST_COUNT, COSTS, ITS_NAME)
TELLS(cost_help, enum cost, COST_COUNT, COSTS, ITS_HELP)
