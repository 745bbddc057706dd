/**
 * @file
 * What a program may do so that one answer alone is right, and KVM can give it.
 *
 * The rules follow a program item by item. They know its tables but no rights: an access is allowed
 * or not whatever becomes of it. Refused are
 *  - features that the environment lacks, and what its masks would hide;
 *  - accesses that lead to a table, beyond memory, or fetch what is no harmless instruction;
 *  - accesses to a *loose* page: one for which a processor may still use what it cached before an
 *    entry on the way was changed. A change of an entry that was not present makes no page loose
 *    (it is never cached); any other does, until the page is covered: INVLPG covers one page of 4
 *    KiB, MOV to CR3 all that no global entry may be kept of, CR4.PGE changed all. EFER.NXE and
 *    CR4.PKE change what entries mean: then all is loose.
 *
 * Simplified: a change that only adds rights makes loose too (a spurious fault is allowed).
 * Source: Intel SDM vol. 3, 4.10.2 to 4.10.4.
 */
#ifndef SIM_FUZZ_RULES_H
#define SIM_FUZZ_RULES_H

#include "sim/backend/environment.h"
#include "sim/fuzz/program.h"

enum path_end {
    PATH_NOWHERE, /**< a table is none, or not of that level: not to be walked */
    PATH_NOT_CANONICAL,
    PATH_ABSENT,
    PATH_RESERVED,
    PATH_PAGE,
};

/** The entries on the way of an address, from the top. */
struct path {
    enum path_end end;
    unsigned steps, level; /**< entries read; level of the last */
    gpa_t at[LEVELS_MAX];
    uint64_t entry[LEVELS_MAX];
    gpa_t gpa;      /**< PATH_PAGE */
    uint64_t bytes; /**< of the page */
};

enum { RULES_PAGES = FUZZ_ITEMS * 2 };

struct rules {
    const struct environment *environment;
    const struct fuzz_program *program;
    struct registers registers;
    struct rules_word {
        uint64_t value;
        uint64_t changed; /**< when a present entry there was last overwritten */
    } * word;
    uint64_t now; /**< items followed */
    uint64_t all_dropped, cr3_loaded, meaning_changed;
    struct rules_page {
        gva_t gva;
        uint64_t bytes, when;
        gpa_t root; /**< under which it was used */
    } dropped[RULES_PAGES], global[RULES_PAGES];
    unsigned n_dropped, n_global;
};

/** @p program is borrowed: its memory, registers and frames are read, not its items. False: no
 * memory. */
bool rules_init(struct rules *, const struct environment *, const struct fuzz_program *program);
void rules_fini(struct rules *);

/** Whether the registers are such as the environment can have. */
bool rules_allow_registers(const struct rules *, const struct registers *);

/** Whether this may be the next item. */
bool rules_allow(const struct rules *, const struct script_item *);

/** It is. */
void rules_follow(struct rules *, const struct script_item *);

/** Whether all of a program is allowed. */
bool rules_allow_program(const struct environment *, const struct fuzz_program *);

void rules_path(const struct rules *, gva_t, struct path *);

/** One of the instructions of one byte that change nothing but flags: NOP, CLC, STC, CLD. */
bool harmless(uint8_t byte);

#endif
