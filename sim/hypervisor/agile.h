/**
 * @file
 * Agile paging: a walk begins in shadow tables and goes on, from some level down, in the guest's
 * own tables under a second stage. Tables that rest are shadowed, tables that are written are not.
 *
 * An entry of a shadow table that leads to a guest's table says so by a bit, and holds the host's
 * address of that table: with s of four levels shadowed a walk reads s + 5 (4 - s) entries.
 *
 * Modelled: the switching bit; a table that makes the hypervisor work so many times within an
 * interval is walked by the processor from then on, with all below it; one that was written less
 * often in an interval is shadowed again, if what leads to it is; a process begins unshadowed. The
 * shadow follows as KVM's does, leaves out of sync; INVLPG exits only for a table that is, MOV to
 * CR3 where one is or no shadow of the new root is at hand. Simplified: the hypervisor knows how
 * often tables were written, where the paper has it look at dirty bits; where CR0.WP or EFER.NXE is
 * clear, or the guest's entries have 4 bytes, nothing is shadowed, since one set of rules must do
 * for both kinds of tables; a write to a watched table through the guest's own mapping is caught
 * once it was made. Not modelled: the processor setting A and D in the shadow and in the guest's
 * tables at once.
 * Source: Gandhi, Hill and Swift, "Agile Paging", ISCA 2016.
 */
#ifndef SIM_HYPERVISOR_AGILE_H
#define SIM_HYPERVISOR_AGILE_H

#include "core/mem.h"

struct door;

/** The bit of a shadow entry that leads to a guest's table; the processor's format ignores it. */
#define AGILE_SWITCH ((uint64_t)1 << 11)

struct agile {
    struct mem tables; /**< by gfn: a word, see agile.c */
    uint64_t next;     /**< the access before which tables are looked at again */
    uint64_t interval; /**< how often that has happened */
};

/** For @p memory bytes of a guest's. False: no memory. */
bool agile_init(struct agile *, uint64_t memory);
void agile_fini(struct agile *);
/** Makes @p clone a copy. False: no memory. */
bool agile_clone(struct agile *clone, const struct agile *);

/** Whether the processor walks the guest's own table at @p gfn, of @p level. */
bool agile_is_nested(const struct door *, uint64_t gfn, unsigned level);

/** Has the processor begin where the vCPU's root asks it to. */
void agile_enter(struct door *);

/** Whether MOV to CR3 of @p value needs the hypervisor. */
bool agile_must_exit(const struct door *, uint64_t value);

#endif
