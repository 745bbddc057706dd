/**
 * @file
 * One access, reference by reference: what was read, what a cache made unnecessary and which, what
 * it cost, and why it ended as it did. Gathered once, printed by three writers.
 *
 * The attempt that completed (or was refused for good) is told in full; faults that the guest OS
 * answered before it are listed. What the attempt did not read is known from a peek at the tables
 * as they stood before it.
 */
#ifndef SIM_REPORT_WALK_REPORT_H
#define SIM_REPORT_WALK_REPORT_H

#include <stdio.h>

#include "sim/machine.h"

/** One entry on the way, read or not. */
struct walk_line {
    unsigned depth, level;
    hpa_t address;
    uint64_t entry, set; /**< as read; A and D bits that the walk then set in it */
    ia_t ia;             /**< what its stage was translating */
    uint32_t rights;     /**< MAY_*, gathered from the top of its stage down to here */
    bool leaf;
    bool read;
    bool differs;       /**< the caches led elsewhere than the tables now do */
    enum server server; /**< of one that was read */
    char served_by[16]; /**< "memory"; or the cache that made it unnecessary: "pde cache" */
    cycles_t cycles;    /**< of the read */
    char purpose[16];   /**< whose translation it is part of: "data", "guest PMD" */
};

enum { WALK_LINES = 2 * WALK_REFS, WALK_EVENTS = 1024, WALK_HANDLED = 8 };

struct walk_report {
    const struct machine *machine; /**< borrowed; it has made the access */
    struct script_item item;
    const char *vm, *process; /**< borrowed; process NULL in a raw VM */
    const char *mode;
    bool cold;
    struct stage stage; /**< the first, as the access found it */
    unsigned stages;
    struct registers registers;
    bool peeked;      /**< whether the tables allow it by themselves */
    struct walk peek; /**< of the tables before the attempt told */
    struct walk attempt;
    struct outcome outcome;
    bool by_entry; /**< structure caches serve entries, rather than start the walk lower */
    bool tlb_hit;  /**< nothing was walked */
    bool stale;    /**< the caches answered otherwise than the tables would */
    struct walk_line line[WALK_LINES];
    unsigned n_lines;
    struct event event[WALK_EVENTS]; /**< of the attempt told, the access itself first */
    cycles_t price[WALK_EVENTS];     /**< of each */
    unsigned n_events;
    struct event handled[WALK_HANDLED]; /**< EVENT_FAULT, of attempts that were answered */
    unsigned n_handled;
    cycles_t cycles; /**< of the attempt told, and the access's own */
};

/**
 * Makes the access and gathers what happened. @p cold: every cache is empty before each attempt.
 * The machine has made the access afterwards. @p report is large: on the heap.
 */
void walk_report_make(struct walk_report *report, struct machine *, const struct script_item *,
                      bool cold);

/** A picture of the walk that fits 80 columns. */
void walk_report_table(const struct walk_report *, FILE *);
/** Step by step, in sentences, wrapped to 80 columns. */
void walk_report_explain(const struct walk_report *, FILE *);
/** Schema nestwalk/walk/1. @p explain: the sentences too, as "steps". */
void walk_report_json(const struct walk_report *, bool explain, FILE *);
/** The references, one row each, after a row of names. */
void walk_report_csv(const struct walk_report *, FILE *);

/* For the writers. */

/** Each sentence of the explanation, in order. */
void walk_report_steps(const struct walk_report *, void (*say)(void *self, const char *sentence),
                       void *self);

/** Events of a kind in the attempt told: how many, and what they cost together. */
unsigned walk_report_count(const struct walk_report *, enum event_kind, cycles_t *cycles);

/** The attempt's first event of a kind, or NULL. */
const struct event *walk_report_event(const struct walk_report *, enum event_kind);

/** The level of the page, as far as it is known: the last entry looked at may map a large one. */
unsigned walk_report_page_level(const struct walk_report *);

/** In which dimension a depth lies: "guest", "host". */
const char *walk_report_dimension(const struct walk_report *, unsigned depth);

/** The name of a line's table: "PGD". */
const char *walk_report_level(const struct walk_report *, const struct walk_line *);

/** Whether a format has a bit for @p right (MAY_WRITE, MAY_USER): textbooks grant everything. */
bool walk_report_rules(const struct format *, uint32_t right);

/** Why an access was refused, as a clause: "the PTE has P = 0". @p text holds @p room bytes. */
const char *walk_report_why(const struct walk_report *, char *text, size_t room);

#endif
