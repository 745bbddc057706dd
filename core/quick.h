/**
 * @file
 * What most accesses are, at full speed: to a base page in long mode, without a hypervisor or over
 * EPT or NPT of base pages; nobody watches; and a TLB answers, or a walk of entries that are
 * present and allow it, with A (and D, to write) set already. Over a hypervisor's tables the walk
 * begins where structure caches of levels 2 or 3 lead.
 *
 * First everything is looked at, and nothing changed. If it turns out to be another kind of access,
 * it is left to mmu_translate, which starts anew: so only the walk knows refusals, A and D bits,
 * large pages and stages. Else caches, counters and clock become what mmu_translate would have made
 * of them; tests compare the two, byte for byte.
 */
#ifndef CORE_QUICK_H
#define CORE_QUICK_H

#include "core/mmu.h"

/** Whether accesses may be tried quickly, as registers and caches are; false is right for any. */
bool quick_may(const struct mmu *);

/** Whether an access was done as mmu_translate would have; if not, nothing has changed. */
enum quick { QUICK_NOT, QUICK_HIT, QUICK_WALKED };

/** Tries to do an access quickly. After quick_may. */
enum quick quick_translate(struct mmu *, const struct bus *, const struct access *);

/** Of quick_run's @p page: none. */
#define QUICK_NO_PAGE UINT64_MAX

/**
 * Completes accesses of a batch, counted and all, as long as they are of @p process, go quickly,
 * and are not on the page of the last one of their kind, data or fetch: @p page[0] or [1], its
 * first byte. Returns how many. After quick_may.
 */
size_t quick_run(struct mmu *, const struct bus *, const struct access *, size_t n,
                 uint16_t process, gva_t page[2]);

/** The entry of the L1 TLB for a page that quick_translate just did. */
struct tlb_hit quick_entry(const struct mmu *, enum tlb_name, gva_t);

#endif
