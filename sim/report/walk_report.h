/**
 * @file
 * One access, reference by reference: what was read, what a cache made unnecessary and which, what
 * it cost, and why it ended as it did. Gathered once, printed by three writers.
 *
 * The attempt that completed (or was refused for good) is told in full; faults and exits that were
 * answered before it are listed. What the attempt did not read is known from a peek at the tables
 * as they stood before it, of all stages.
 */
#ifndef SIM_REPORT_WALK_REPORT_H
#define SIM_REPORT_WALK_REPORT_H

#include <stdio.h>

#include "sim/machine.h"

/** Who made it unnecessary to read an entry. */
enum saver {
    SAVED_NOT,       /**< it was read */
    SAVED_TLB,       /**< no walk was made */
    SAVED_STRUCTURE, /**< a structure cache knew the way further down */
    SAVED_NESTED,    /**< the nested TLB knew where the table is that it leads to */
    SAVED_UNREACHED, /**< the walk ended before */
};

/** One entry on the way, read or not. */
struct walk_line {
    unsigned depth, level;
    bool direct; /**< agile paging: of a shadow table */
    hpa_t address;
    uint64_t entry, set; /**< as read; A and D bits that the walk then set in it */
    ia_t ia;             /**< what its stage was translating */
    ia_t table_ia;       /**< the entry's own address, in the space of the stage below */
    uint32_t rights;     /**< MAY_*, gathered from the top of its stage down to here */
    bool leaf;
    bool read;
    bool differs;                      /**< the caches led elsewhere than the tables now do */
    bool refused;                      /**< the walk ended here, without a translation */
    enum server server;                /**< of one that was read */
    enum saver saver;                  /**< of one that was not */
    unsigned saver_depth, saver_level; /**< which structure cache, which stage's nested TLB */
    char served_by[24]; /**< "memory"; or the cache that made it unnecessary: "pde cache" */
    cycles_t cycles;    /**< of the read */
    char purpose[16];   /**< whose translation it is part of: "data", "guest PMD" */
    unsigned for_depth, for_level; /**< the same; for_level 0: data */
};

enum { WALK_LINES = 2 * WALK_REFS, WALK_EVENTS = 1024, WALK_HANDLED = 512 };

struct walk_report {
    const struct machine *machine; /**< borrowed; it has made the access */
    struct script_item item;
    const char *vm, *process; /**< borrowed; process NULL in a raw VM */
    const char *mode;
    bool cold;
    struct stage stage[STAGES_MAX]; /**< as the access found them */
    unsigned stages;
    struct second_stage_controls second[STAGES_MAX]; /**< [depth], from 1 on */
    unsigned below;                                  /**< hypervisors: 0, 1, or 2 */
    bool shadowed; /**< the first stage's tables are the hypervisor's */
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
    cycles_t ref_price[SERVERS];     /**< of an entry read, by who served it */
    unsigned n_events;
    unsigned n_tables; /**< of them, lines that the peek saw; the rest was read elsewhere */
    struct event handled[WALK_HANDLED]; /**< faults, exits and work of attempts answered */
    unsigned n_handled;
    bool more_handled; /**< than there is room for */
    cycles_t answered; /**< cycles of those attempts, and of what answered them */
    cycles_t cycles;   /**< of the attempt told, and the access's own */
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

/** Lists the entries on the way. For walk_report_make alone. */
void walk_report_list(struct walk_report *);

/** Each sentence of the explanation, in order. */
void walk_report_steps(const struct walk_report *, void (*say)(void *self, const char *sentence),
                       void *self);

/** Events of a kind in the attempt told: how many, and what they cost together. */
unsigned walk_report_count(const struct walk_report *, enum event_kind, cycles_t *cycles);

/** The attempt's first event of a kind, or NULL. */
const struct event *walk_report_event(const struct walk_report *, enum event_kind);

/** How many of the events handled from @p i on are work of the same kind; 0: none. */
unsigned walk_report_works(const struct walk_report *, unsigned i);

/** The level of the page, as far as it is known: the last entry looked at may map a large one. */
unsigned walk_report_page_level(const struct walk_report *);

/** In which dimension a line lies: "guest", "host", "shadow". */
const char *walk_report_dimension(const struct walk_report *, const struct walk_line *);

/** A depth's owner in sentences: "the guest", "the host"; of three stages "L2", "L1", "L0". */
const char *walk_report_owner(const struct walk_report *, unsigned depth);

/**
 * Agile paging: whether line @p i is of the first stage and stands at an address of the host's, so
 * that no stage below is asked: in a shadow table, in the guest's table that a shadow leads to, or
 * in the guest's root where the hypervisor has set the host's address of it.
 */
bool walk_report_at_host(const struct walk_report *, unsigned i);

/** Agile paging: whether line @p i is the shadow's entry that leads to a table of the guest's. */
bool walk_report_switches(const struct walk_report *, unsigned i);

/** The name of a line's table: "PGD". */
const char *walk_report_level(const struct walk_report *, const struct walk_line *);

/** Whether a depth's entries are EPT's. */
bool walk_report_is_ept(const struct walk_report *, unsigned depth);

/** What the hypervisor of a depth is called: "the hypervisor", or "the L1 hypervisor". */
const char *walk_report_hypervisor(const struct walk_report *, unsigned depth);

/** Whether a format has a bit for @p right (MAY_WRITE, MAY_USER): textbooks grant everything. */
bool walk_report_rules(const struct format *, uint32_t right);

/** Why an access was refused, as a clause: "the PTE has P = 0". @p text holds @p room bytes. */
const char *walk_report_why(const struct walk_report *, char *text, size_t room);

/** Who served a line, or saved it, in 6 characters at most: "mem", "L1", "pde", "hpde", "NTLB". */
const char *walk_report_symbol(const struct walk_report *, const struct walk_line *, char *text);

/** One letter per bit of a line's entry; '-' is clear, '.' means nothing there. */
void walk_report_bits(const struct walk_report *, const struct walk_line *, char *text);

/**
 * The walk as a grid, in 80 columns: a row for each table of the guest and one for the data, a
 * column for each level of the second stage. For two stages; each line is one cell.
 */
void walk_report_grid(const struct walk_report *, FILE *);

/** The references of several stages, one line each. */
void walk_report_references(const struct walk_report *, FILE *);

#endif
