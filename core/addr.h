/**
 * @file
 * Address types and the few sizes that everything shares.
 *
 * An address names its space by its type: a guest-virtual address is never passed where a
 * host-physical one is meant. Inside the walk, where one function serves every stage, an input
 * address is an ia_t.
 *
 * Modelled: 64-bit addresses. Simplified: nothing. Not modelled: segmentation; a gva is a linear
 * address. Source: Intel SDM vol. 3, 4.1.
 */
#ifndef CORE_ADDR_H
#define CORE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gva_t;    /**< guest-virtual (linear) address */
typedef uint64_t gpa_t;    /**< guest-physical address */
typedef uint64_t hpa_t;    /**< host-physical address: only mem takes one */
typedef uint64_t ia_t;     /**< an address in the input space of some stage */
typedef uint64_t cycles_t; /**< time, in core cycles */

enum {
    LEVELS_MAX = 5, /**< PGD: levels are numbered 5 (PGD of five) down to 1 (PTE) */
    STAGES_MAX = 3, /**< nested virtualization: L2 guest, L1 hypervisor, L0 hypervisor */
};

/** The low @p n bits set; @p n from 0 to 63. */
static inline uint64_t low_bits(unsigned n)
{
    return ((uint64_t)1 << n) - 1;
}

#endif
