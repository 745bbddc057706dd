/**
 * @file
 * Backing: a VM's page gets a frame of the space below, of the size that its configuration asks
 * for where that fits.
 */
#ifndef SIM_HYPERVISOR_BACK_H
#define SIM_HYPERVISOR_BACK_H

#include "sim/parts.h"

/**
 * Gives the absent page around @p gpa, of the space that enters stage @p depth, a frame of the
 * space below and enters it in the p2m. False: no memory, and the machine is stopped.
 */
bool back_page(struct door *, unsigned depth, gpa_t gpa, struct p2m_entry *);

/** Takes a table of @p bytes (a power of two from 4 KiB) from the space under stage @p depth. */
bool back_table(struct door *, unsigned depth, uint64_t bytes, enum frame_use, uint64_t *at);

/** Where a word of the space under stage @p depth is in the host, backed if need be. */
bool back_reach(struct door *, unsigned depth, uint64_t at, hpa_t *);

#endif
