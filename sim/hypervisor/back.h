/**
 * @file
 * Backing: a VM's page gets a frame of the space below, of the size that its configuration asks
 * for where that fits; and gets back what its hypervisor has taken away (see moves).
 *
 * Modelled: what a read brings back comes with what is dropped around it, as Linux maps pages of a
 * file or of shared memory that are still in its page cache (fault-around); a write comes alone.
 * Source: Linux, mm/memory.c, do_fault_around; include/linux/userfaultfd_k.h,
 * uffd_disable_fault_around.
 */
#ifndef SIM_HYPERVISOR_BACK_H
#define SIM_HYPERVISOR_BACK_H

#include "sim/parts.h"

/**
 * Makes the page around @p gpa, of the space that enters stage @p depth, ready for an access of
 * @p kind (enum kind): one without a frame of the space below gets one, one that was dropped comes
 * back, one that is write-protected may be written again. False: no memory, and the machine is
 * stopped.
 */
bool back_page(struct door *, unsigned depth, gpa_t gpa, unsigned kind, struct p2m_entry *);

/** Takes a table of @p bytes (a power of two from 4 KiB) from the space under stage @p depth. */
bool back_table(struct door *, unsigned depth, uint64_t bytes, enum frame_use, uint64_t *at);

/** Where a word of the space under stage @p depth is in the host, backed if need be. */
bool back_reach(struct door *, unsigned depth, uint64_t at, hpa_t *);

#endif
