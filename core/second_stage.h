/**
 * @file
 * The stages under a guest's: EPT and NPT. What a pointer and its controls make of entries, and
 * what the processor tells the hypervisor of a refusal.
 *
 * Modelled: EPT with 4 and 5 levels, accessed and dirty flags, execute-only pages, mode-based
 * execute control, misconfigurations, the exit qualification; NPT in 4- and 5-level host paging,
 * #NPF's EXITINFO1; and a flat table of one level, which no processor has (Ahn et al., ISCA 2012).
 * Simplified: memory types are checked, not interpreted. Not modelled: sub-page permissions,
 * shadow-stack and guest-paging verification bits, #VE.
 * Source: Intel SDM vol. 3, 28.2 (29.3 in later editions), tables 27-7 and 28-1 to 28-6; AMD APM
 * vol. 2, 15.25.
 */
#ifndef CORE_SECOND_STAGE_H
#define CORE_SECOND_STAGE_H

#include "core/profile.h"
#include "core/stage.h"
#include "core/walk.h"

/** Bits of an EPT entry. */
#define EPT_R          ((uint64_t)1 << 0)
#define EPT_W          ((uint64_t)1 << 1)
#define EPT_X          ((uint64_t)1 << 2) /**< with mode-based execute: for supervisor addresses */
#define EPT_TYPE_SHIFT 3
#define EPT_TYPE_WB    ((uint64_t)6 << EPT_TYPE_SHIFT)
#define EPT_PS         ((uint64_t)1 << 7)
#define EPT_A          ((uint64_t)1 << 8)
#define EPT_D          ((uint64_t)1 << 9)
#define EPT_XU         ((uint64_t)1 << 10) /**< execute for user addresses, if mode-based */

/** Bits of an EPTP. */
#define EPTP_TYPE   ((uint64_t)7)
#define EPTP_LEVELS ((uint64_t)7 << 3) /**< levels - 1 */
#define EPTP_AD     ((uint64_t)1 << 6) /**< accessed and dirty flags */

enum second_stage {
    SECOND_EPT4,
    SECOND_EPT5,
    SECOND_NPT4,
    SECOND_NPT5,
    SECOND_FLAT,
    SECOND_STAGES
};
#define SECOND_STAGE_WORDS "ept4", "ept5", "npt4", "npt5", "flat"

struct second_stage_controls {
    enum second_stage kind;
    uint64_t pointer;          /**< EPTP, or nCR3: the root, and for EPT the bits above */
    bool mode_based_execute;   /**< EPT: bits 2 and 10 tell supervisor from user addresses */
    bool execute_only;         /**< EPT: X without R is no misconfiguration */
    bool advanced_information; /**< EPT: bits 9 to 11 of the qualification are given */
    bool no_nx;                /**< NPT: the host's EFER.NXE is off */
    uint8_t flat_bits;         /**< flat: index bits of the one level */
};

static inline bool second_stage_is_ept(enum second_stage kind)
{
    return kind != SECOND_NPT4 && kind != SECOND_NPT5;
}

/** The format and rights of a second stage, with its root. */
struct stage second_stage(const struct second_stage_controls *, const struct profile *);

/** What is wrong with the pointer, so that no VM entry succeeds: NULL, or words. */
const char *second_stage_fault(const struct second_stage_controls *, const struct profile *);

/** The pointer for tables at @p root: write-back, A/D as asked. */
uint64_t second_stage_pointer(enum second_stage, hpa_t root, bool accessed_dirty);

/**
 * What the processor tells of a refusal at depth 1 or below: the exit qualification of an EPT
 * violation (0 of a misconfiguration), or EXITINFO1 of #NPF.
 */
uint64_t second_stage_qualification(const struct second_stage_controls *, const struct refusal *);

/** Whether a refusal is an EPT misconfiguration rather than a violation or #NPF. */
bool second_stage_is_misconfiguration(const struct second_stage_controls *, const struct refusal *);

#endif
