/**
 * @file
 * A guest in the rig: its page tables by guest-physical address, and a second stage under them,
 * both written by hand. The guest's memory is moved as a whole: gpa x is at host address x + MOVED.
 */
#ifndef TESTS_CORE_NEST_H
#define TESTS_CORE_NEST_H

#include "core/second_stage.h"
#include "tests/core/rig.h"

#define MOVED ((uint64_t)1 << 38)

/* Where the tables begin: the guest's in its own memory, the second stage's in the host's. */
#define GUEST_TABLES ((gpa_t)1 << 28)
#define HOST_TABLES  ((hpa_t)1 << 24)

/** The tables of a second stage. EPT's bits 2:0 and 7 and its addresses stand where x86's do. */
struct second {
    struct second_stage_controls controls;
    struct tables tables;
};

/** Empty tables at @p root (in the space that @p base moves), with EPT's A and D bits if asked. */
struct second second_new(enum second_stage, hpa_t root, hpa_t base, bool accessed_dirty);

/** Maps the page of @p level that holds @p gpa to the one that holds @p hpa, every right granted.
 */
void second_map(struct mem *, struct second *, gpa_t, unsigned level, hpa_t);

struct stage second_as_stage(const struct second *);

/** One guest over one second stage. */
struct nest {
    struct rig *rig;
    struct tables guest;
    struct second second;
    uint8_t host_page; /**< level of the second stage's leaves */
};

/** @p guest 0: paging off. */
struct nest nest_new(const struct profile *, enum paging guest, enum second_stage,
                     uint8_t host_page);
void nest_free(struct nest *);

/** Maps @p gva to @p gpa, A and D set in the leaf, and below it all that the walk will need. */
void nest_map(struct nest *, gva_t, unsigned level, gpa_t);

/** Maps @p gpa to where it is. */
void nest_back(struct nest *, gpa_t);

/** Puts the second stage under the guest and loads the guest's registers. */
void nest_start(struct nest *);

/** The registers of the guest. */
struct registers nest_registers(const struct nest *);

/** "G1H1 G1H2 ... G1 ... UDH4": the papers' names of the entries that a walk read, in order. */
void nest_spell(const struct nest *, const uint8_t *depth, const uint8_t *level, unsigned n,
                char *text);

/** Reads, checks that @p gva leads to @p gpa's host address, and returns the entries read. */
unsigned nest_read(struct nest *, gva_t, gpa_t);

#endif
