/**
 * @file
 * Everything that can happen, in one table; the counters, the clock and the sink that it feeds.
 *
 * note() is the only way anything is counted, costed or recorded: it bumps one slot of a flat
 * counter array and adds that slot's price to the clock; only with a sink attached does it build a
 * record. So statistics are sums over slots, and a recorded log adds up to the same array.
 *
 * Modelled: one counter per kind, depth, level and detail. Simplified: a slot has one price; costs
 * never overlap. Not modelled: out-of-order execution hiding part of a walk.
 */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "core/addr.h"

/** Who answered the read of a paging-structure entry: the detail of EVENT_REF. */
enum server { SERVED_L1, SERVED_L2, SERVED_LLC, SERVED_MEMORY, SERVED_STRUCTURE, SERVERS };

/** Which TLB: the detail of EVENT_TLB_HIT and EVENT_TLB_MISS. */
enum tlb_name { TLB_L1I, TLB_L1D, TLB_L2, TLBS };
#define TLB_WORDS "l1i", "l1d", "l2"

/** Why a walk refused: the detail of EVENT_FAULT, but for the last, which no guest sees. */
enum refusal_kind {
    REFUSED_NOT,         /**< not refused */
    REFUSED_NOT_PRESENT, /**< an entry with its present bit clear */
    REFUSED_RESERVED,    /**< a reserved bit set in a present entry */
    REFUSED_PROTECTION,  /**< present, but the rights deny this access */
    REFUSED_CANONICAL,   /**< the address is not canonical: #GP, before any walk */
    REFUSED_LOG_FULL,    /**< A or D would be set in EPT, and the page-modification log is full */
    REFUSALS
};

/**
 * Prices of a machine profile: key in the profile's "costs", what it prices. All in core cycles.
 */
#define COSTS(X)                                                                                   \
    X(access, "every access: the time base; an L1 TLB hit hides behind the L1 data cache")         \
    X(l2_tlb, "an L1 TLB miss: looking in the L2 TLB")                                             \
    X(structure_cache,                                                                             \
      "starting a walk below the root, or serving an entry, from a structure cache")               \
    X(l1, "an entry read served by the L1 data cache")                                             \
    X(l2, "an entry read served by the L2 data cache")                                             \
    X(llc, "an entry read served by the last-level cache")                                         \
    X(memory, "an entry read served by memory")                                                    \
    X(assist, "setting A or D in an entry (a locked read-modify-write)")                           \
    X(fault, "delivering a page fault to the guest OS and returning from it")                      \
    X(guest_fault, "the guest OS's own work to answer a page fault")                               \
    X(guest_store, "one store of the guest OS into a page table")                                  \
    X(page_io, "moving one page to or from the guest's backing store")                             \
    X(invlpg, "INVLPG")                                                                            \
    X(invpcid, "INVPCID")                                                                          \
    X(mov_cr3, "MOV to CR3")                                                                       \
    X(mov_cr, "MOV to CR0 or CR4, WRMSR of EFER, WRPKRU")                                          \
    X(exit, "a VM exit and the entry after it: the hardware's part")                               \
    X(hypercall, "a call to the hypervisor and back, where the guest asks for it (direct paging)") \
    X(back_page, "the hypervisor gives a VM a page: allocated and cleared")                        \
    X(violation, "the hypervisor's work to answer a second-stage violation, the page apart")       \
    X(shadow_fill, "the hypervisor walks the guest's tables and fills a shadow entry")             \
    X(table_fill, "the hypervisor writes one more entry on the way")                               \
    X(emulate, "the hypervisor emulates a guest's write to a watched table")                       \
    X(intercept, "the hypervisor emulates an intercepted instruction")                             \
    X(inject, "the hypervisor hands a fault on to the guest")                                      \
    X(sync, "the hypervisor compares a guest table with its shadow again")                         \
    X(zap, "the hypervisor drops a shadow table")                                                  \
    X(validate, "the hypervisor checks one update of a table (direct paging)")                     \
    X(drain, "the hypervisor empties a full page-modification log")

/** Why a VM exits: the detail of EVENT_EXIT. Name, price, what happened. */
#define EXIT_REASONS(X)                                                                            \
    X(second_stage_violation, exit, "a second stage has no such page, or denies the access")       \
    X(second_stage_misconfiguration, exit, "an entry of a second stage is malformed")              \
    X(page_fault, exit, "a page fault that is the guest's own: it is handed on")                   \
    X(hidden_fault, exit, "a page fault that the guest never sees: its shadow was behind")         \
    X(table_write, exit, "a write to a page table that the hypervisor watches")                    \
    X(invlpg, exit, "INVLPG")                                                                      \
    X(invpcid, exit, "INVPCID")                                                                    \
    X(mov_cr3, exit, "MOV to CR3")                                                                 \
    X(mov_cr, exit, "MOV to CR0 or CR4, WRMSR of EFER")                                            \
    X(log_full, exit, "the page-modification log is full")                                         \
    X(vm_entry, exit, "a hypervisor in a VM enters its own guest")                                 \
    X(hypercall, hypercall, "the guest asks its hypervisor for something")                         \
    X(bounced_fault, hypercall, "a page fault handed on to a guest that knows of its hypervisor")

enum exit_reason {
#define X(name, ...) EXIT_FOR_##name,
    EXIT_REASONS(X)
#undef X
        EXIT_REASON_COUNT
};

/** What a hypervisor does about exits: the detail of EVENT_WORK. Name, price, what it is. */
#define WORKS(X)                                                                                   \
    X(back, back_page, "gives the VM a page, new or dropped before")                               \
    X(map, violation, "maps a page in the second stage")                                           \
    X(fill, shadow_fill, "fills a shadow entry from the guest's tables")                           \
    X(prefetch, table_fill, "fills a shadow entry ahead of its use")                               \
    X(dirty, shadow_fill, "sets the guest's D bit for a first write, and lets the writes through") \
    X(emulate, emulate, "emulates a write to a watched table")                                     \
    X(intercept, intercept, "emulates an intercepted instruction")                                 \
    X(inject, inject, "hands a fault on to the guest")                                             \
    X(unsync, none, "lets the guest write one of its tables unwatched")                            \
    X(sync, sync, "compares a guest table with its shadow again")                                  \
    X(zap, zap, "drops a shadow table")                                                            \
    X(flood, none, "stops shadowing a table that is written without being used")                   \
    X(recycle, none, "takes a shadow table for another use")                                       \
    X(split, table_fill, "splits a large page")                                                    \
    X(reflect, inject, "hands an exit on to a hypervisor that is in a VM itself")                  \
    X(collapse, shadow_fill, "fills an entry that collapses two second stages")                    \
    X(scan, table_fill, "looks whether a guest's table was written lately")                        \
    X(validate, validate, "checks an update of a table that the guest asked for")                  \
    X(pin, validate, "checks and pins a table")                                                    \
    X(drain, drain, "empties the page-modification log")                                           \
    X(drop, table_fill, "takes its mappings of a page away, and keeps what is in it")              \
    X(protect, table_fill, "takes the right to write from its mappings of a page")                 \
    X(unprotect, none, "gives the right to write to a page back, for the first write")

enum work {
#define X(name, ...) WORK_##name,
    WORKS(X)
#undef X
        WORK_COUNT
};

enum cost {
#define X(key, help) COST_##key,
    COSTS(X)
#undef X
        COST_COUNT,
    COST_none = COST_COUNT, /**< free: what happens is priced elsewhere, or takes no time */
    COST_by_server,         /**< COST_l1 ... by the detail, an enum server */
    COST_by_reason,         /**< by the detail, an enum exit_reason */
    COST_by_work            /**< by the detail, an enum work */
};

/**
 * Kind, name in logs, depths, levels, details (how many of each are told apart), price, help.
 * The help says what address and value hold in the record.
 */
#define EVENTS(X)                                                                                  \
    X(ACCESS, "access", 1, 1, 4, access,                                                           \
      "an access; detail: enum op; address: gva, value: process")                                  \
    X(TLB_HIT, "tlb-hit", 1, 6, 3, none,                                                           \
      "detail: which TLB; level: the entry's page; address: gva")                                  \
    X(TLB_MISS, "tlb-miss", 1, 6, 3, none, "detail: which TLB; level: the page the walk found")    \
    X(TLB_L2, "tlb-l2", 1, 1, 1, l2_tlb, "the L2 TLB is asked; address: gva")                      \
    X(WALK, "walk", 1, 1, 1, none, "an attempt to walk; address: gva")                             \
    X(WALK_RETRIED, "walk-retried", 1, 1, 1, none, "an attempt that was answered and repeated")    \
    X(WALK_DIRTY, "walk-dirty", 1, 1, 1, none, "the walk of a write that found a clean TLB entry") \
    X(STRUCTURE_HIT, "structure-hit", 3, 6, 1, structure_cache,                                    \
      "the walk starts below this level; address: input address, value: the next table")           \
    X(STRUCTURE_MISS, "structure-miss", 3, 6, 1, none, "address: input address")                   \
    X(NESTED_HIT, "nested-hit", 3, 6, 1, structure_cache,                                          \
      "the nested TLB knows the way of a table; address: its gpa, value: the host's")              \
    X(NESTED_MISS, "nested-miss", 3, 6, 1, none, "address: gpa of a table")                        \
    X(REF, "ref", 3, 6, 5, by_server,                                                              \
      "an entry read; detail: who served it; address: host address, value: the entry")             \
    X(DATA, "data", 1, 1, 5, by_server,                                                            \
      "the program's own data, where a profile models it; address: host address, value: gva")      \
    X(SET_ACCESSED, "set-accessed", 3, 6, 1, assist, "address: host address, value: new entry")    \
    X(SET_DIRTY, "set-dirty", 3, 6, 1, assist, "address: host address, value: new entry")          \
    X(FAULT, "fault", 1, 6, 5, fault,                                                              \
      "a fault; detail: why; level: of the refusing entry; address: gva, value: error code")       \
    X(INVLPG, "invlpg", 1, 1, 1, invlpg, "address: gva")                                           \
    X(INVPCID, "invpcid", 1, 1, 4, invpcid, "detail: type; address: gva, value: PCID")             \
    X(MOV_CR3, "mov-cr3", 1, 1, 1, mov_cr3, "value: the new CR3")                                  \
    X(MOV_CR0, "mov-cr0", 1, 1, 1, mov_cr, "value: the new CR0")                                   \
    X(MOV_CR4, "mov-cr4", 1, 1, 1, mov_cr, "value: the new CR4")                                   \
    X(WRMSR_EFER, "wrmsr-efer", 1, 1, 1, mov_cr, "value: the new EFER")                            \
    X(WRPKRU, "wrpkru", 1, 1, 1, mov_cr, "value: the new PKRU")                                    \
    X(GUEST_FAULT, "guest-fault", 1, 1, 1, guest_fault,                                            \
      "the guest OS answers a fault; address: gva")                                                \
    X(GUEST_STORE, "guest-store", 1, 6, 1, guest_store,                                            \
      "the guest OS writes a page-table entry; address: gpa, value: the entry")                    \
    X(PAGE_HIT, "page-hit", 1, 1, 1, none, "reclaim: the page was in memory; address: gva")        \
    X(PAGE_IN, "page-in", 1, 1, 1, page_io,                                                        \
      "read from the backing store; address: gva, value: gfn")                                     \
    X(PAGE_OUT, "page-out", 1, 1, 1, page_io, "written to the backing store; address: gva")        \
    X(EVICT, "evict", 1, 1, 1, none,                                                               \
      "the guest OS takes a page's frame away; address: gva, value: gfn")                          \
    X(SWITCH, "switch", 1, 1, 1, none, "the guest OS switches process; value: process")            \
    X(MAP, "map", 1, 1, 1, none, "the guest OS maps a range; address: gva, value: bytes")          \
    X(UNMAP, "unmap", 1, 1, 1, none, "the guest OS unmaps a range; address: gva, value: bytes")    \
    X(PROTECT, "protect", 1, 1, 1, none,                                                           \
      "the guest OS changes rights; address: gva, value: bytes")                                   \
    X(EXIT, "exit", 3, 1, 13, by_reason,                                                           \
      "a VM exit; detail: the reason; address: the address it is about, value: its qualification") \
    X(WORK, "work", 3, 6, 23, by_work,                                                             \
      "the hypervisor's work; detail: what; address: what it is about")

enum event_kind {
#define X(kind, ...) EVENT_##kind,
    EVENTS(X)
#undef X
        EVENT_KINDS
};

/* For each kind: its first slot, and the dimensions that follow. */
enum {
#define X(kind, name, depths, levels, details, ...)                                                \
    kind##_LEVELS = (levels), kind##_DETAILS = (details),                                          \
    kind##_SLOTS = (depths) * (levels) * (details),
    EVENTS(X)
#undef X
};
enum {
#define X(kind, name, depths, levels, details, cost, help) kind##_FREE = COST_##cost == COST_none,
    EVENTS(X)
#undef X
};
enum {
#define X(kind, ...) kind##_BASE, kind##_LAST = kind##_BASE + kind##_SLOTS - 1,
    EVENTS(X)
#undef X
        EVENT_SLOTS
};

/** The counter of one kind at a depth, level and detail. */
#define SLOT(kind, depth, level, detail)                                                           \
    ((unsigned)kind##_BASE +                                                                       \
     ((unsigned)(depth)*kind##_LEVELS + (unsigned)(level)) * kind##_DETAILS + (unsigned)(detail))

_Static_assert((int)EXIT_DETAILS == (int)EXIT_REASON_COUNT && (int)WORK_DETAILS == (int)WORK_COUNT,
               "the table of events has as many details as there are");

/** One record of the log. */
struct event {
    cycles_t time; /**< the vCPU's clock after the event's own cost */
    uint64_t address;
    uint64_t value;
    uint16_t vcpu;
    uint8_t kind, depth, level, detail;
    uint16_t reserved;
};
_Static_assert(sizeof(struct event) == 32, "log records have a fixed size");

/** Where records go: owned by who attached it; never part of a machine's state. */
struct sink {
    void (*take)(void *self, const struct event *);
    void *self;
};

/** Counters, prices and clock of one vCPU. */
struct tally {
    uint64_t count[EVENT_SLOTS];
    uint32_t price[EVENT_SLOTS];
    cycles_t cycles;
    const struct sink *sink; /**< NULL when nobody watches */
    uint16_t vcpu;
};

/** Everything zero, prices from @p cost (COST_COUNT values). */
void tally_init(struct tally *, const uint32_t *cost, uint16_t vcpu);

/** Counters and clock to zero; prices and sink stay. */
void tally_reset(struct tally *);

/** @p into += @p from, counters and clock. */
void tally_add(struct tally *into, const struct tally *from);

/** The sum over all slots of @p kind. */
uint64_t tally_total(const struct tally *, enum event_kind kind);

/** The slot that @p event was counted in. */
unsigned event_slot(const struct event *event);

/** As NOTE, for a kind without depth, level and detail that is only known at run time. */
void tally_note(struct tally *, enum event_kind, uint64_t address, uint64_t value);

const char *event_name(enum event_kind);
const char *event_help(enum event_kind);
const char *server_name(enum server);
const char *tlb_name(enum tlb_name);
const char *exit_reason_name(enum exit_reason);
const char *exit_reason_help(enum exit_reason);
const char *work_name(enum work);
const char *work_help(enum work);
const char *refusal_name(enum refusal_kind);
const char *cost_name(enum cost);
const char *cost_help(enum cost);

void tally_record(struct tally *, struct event event);

#ifndef RECORDING
#define RECORDING 1 /* 0 compiles recording out, to measure what it costs when off */
#endif

/** Count, price and, if somebody watches, record. Use NOTE or NOTE_QUIETLY. */
static inline __attribute__((always_inline)) void note_if(struct tally *t, unsigned slot,
                                                          bool watched, struct event event)
{
    t->count[slot]++;
    t->cycles += t->price[slot];
    if (RECORDING && watched && __builtin_expect(t->sink != NULL, 0))
        tally_record(t, event);
}

static inline void note(struct tally *t, unsigned slot, struct event event)
{
    note_if(t, slot, true, event);
}

#define NOTE(t, k, d, l, x, a, v) NOTE_QUIETLY(false, t, k, d, l, x, a, v)

/** As NOTE. @p quiet: a constant, true where it was asked before that nobody watches. */
#define NOTE_QUIETLY(quiet, t, k, d, l, x, a, v)                                                   \
    note_if((t), SLOT(k, d, l, x), !(quiet),                                                       \
            (struct event){.kind = EVENT_##k,                                                      \
                           .depth = (uint8_t)(d),                                                  \
                           .level = (uint8_t)(l),                                                  \
                           .detail = (uint8_t)(x),                                                 \
                           .address = (a),                                                         \
                           .value = (v)})

/**
 * As NOTE where it was asked before that nobody watches. The price goes into @p clock, a local
 * variable, which is added to the tally's at the end.
 */
#define COUNT(t, clock, k, d, l, x)                                                                \
    ((t)->count[SLOT(k, d, l, x)]++, (clock) += k##_FREE ? 0 : (t)->price[SLOT(k, d, l, x)])

#endif
