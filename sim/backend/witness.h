/**
 * @file
 * What KVM could have seen of a run of the model: its events, as they happen, become touches,
 * writes, faults and counts of an observation.
 *
 * A guest frame is touched when the hypervisor gives the VM memory for it; frames that the image
 * fills are there before. It is written when an access that writes comes to it, when the guest OS
 * stores into it, when A or D is set in a table in it, and, where the second stage takes reads of
 * tables for writes (NPT, and EPT with A and D), when a walk reads a table in it.
 *
 * Modelled: KVM's dirty log and userfaultfd, frames of 4 KiB. Simplified: one VM.
 * Not modelled: what KVM's own guest needs beside the scenario's.
 */
#ifndef SIM_BACKEND_WITNESS_H
#define SIM_BACKEND_WITNESS_H

#include "sim/backend/backend.h"

/** The entries of the guest's tables on the way of an address, from the top. */
struct way {
    unsigned n;
    struct step {
        gpa_t at;
        uint64_t missing; /**< A, and of a leaf D, where they are clear */
        bool sound;       /**< present, and no reserved bit is set */
    } step[LEVELS_MAX];
};

struct witness {
    const struct machine *machine;
    struct observation *seen;
    struct sink sink;
    uint8_t *noted; /**< by guest frame: in which lists it is */
    uint64_t frames;
    enum op op;                          /**< of the access in progress */
    gva_t at;                            /**< how far it has come */
    uint64_t exits[EXIT_REASON_COUNT];   /**< by reason */
    uint64_t settled[EXIT_REASON_COUNT]; /**< of them, those up to the last access */
    struct way followed; /**< by a hypervisor that walks the guest's tables for it */
    bool dropped;        /**< frames were, at some time */
    bool exhausted;      /**< no memory for what was seen */
};

/** Watches the machine, which is new and is the witness's until witness_end. False: no memory. */
bool witness_begin(struct witness *, struct machine *, struct observation *);

/** A script item is done. */
void witness_item(struct witness *, const struct script_item *, const struct outcome *);

/** The run is over: orders lists, takes counts. False: there was no memory for all of it. */
bool witness_end(struct witness *, struct machine *);

#endif
