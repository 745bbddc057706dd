/**
 * @file
 * What the end of a run shows of the two requirements on a hypervisor that a machine can be asked
 * for: equivalence, as a digest of everything its guest could see, and control, as the frames that
 * the processor could reach for it. (The third, efficiency, is a matter of counters.)
 *
 * Source: Popek and Goldberg, "Formal requirements for virtualizable third generation
 * architectures", Communications of the ACM 17(7), 1974.
 */
#ifndef SIM_EVIDENCE_H
#define SIM_EVIDENCE_H

#include "sim/machine.h"

struct evidence {
    uint64_t tables; /**< digest of every leaf of the guest's tables as it sees them, A and D too */
    uint64_t leaves; /**< how many */
    uint64_t memory; /**< digest of the bytes under them; of a raw VM, of all its memory */
    uint64_t frames; /**< how many of 4 KiB are not zero */
    uint64_t reachable; /**< host frames that the processor's tables map for the VM */
    uint64_t foreign;   /**< of them, frames that the VM was not given */
};

/** Looks at one VM. Changes nothing. Cost: its tables and its memory, read once. */
void evidence_gather(struct machine *, unsigned vm, struct evidence *);

/** Whether a guest could tell the two apart. */
bool evidence_agrees(const struct evidence *, const struct evidence *);

/** Adds a word to a digest; start from 0. */
uint64_t digest_word(uint64_t digest, uint64_t word);

#endif
