/**
 * @file
 * The control registers that govern paging: which mode they select, what they make of an entry's
 * rights, and which values the processor refuses to load.
 *
 * Modelled: CR0.PG and WP; CR3 with PCID; CR4.PSE, PAE, PGE, LA57, PCIDE, SMEP, SMAP, PKE;
 * EFER.LME and NXE; PKRU. Simplified: MOV to a control register is always made at CPL 0; EFER.LMA
 * follows LME and PG. Not modelled: other bits, which are accepted and kept.
 * Source: Intel SDM vol. 3, 2.5, 4.1 and 4.6.
 */
#ifndef CORE_CONTROL_H
#define CORE_CONTROL_H

#include "core/format.h"
#include "core/profile.h"
#include "core/stage.h"

#define CR0_PE    ((uint64_t)1 << 0)
#define CR0_WP    ((uint64_t)1 << 16)
#define CR0_PG    ((uint64_t)1 << 31)
#define CR4_PSE   ((uint64_t)1 << 4)
#define CR4_PAE   ((uint64_t)1 << 5)
#define CR4_PGE   ((uint64_t)1 << 7)
#define CR4_LA57  ((uint64_t)1 << 12)
#define CR4_PCIDE ((uint64_t)1 << 17)
#define CR4_SMEP  ((uint64_t)1 << 20)
#define CR4_SMAP  ((uint64_t)1 << 21)
#define CR4_PKE   ((uint64_t)1 << 22)
#define CR3_PCID  ((uint64_t)0xfff)
#define CR3_TABLE ((uint64_t)0x000ffffffffff000) /**< of 4 and 5 levels */
#define CR3_KEEP  ((uint64_t)1 << 63) /**< of the value moved, with PCIDE: invalidate nothing */
#define EFER_LME  ((uint64_t)1 << 8)
#define EFER_LMA  ((uint64_t)1 << 10)
#define EFER_NXE  ((uint64_t)1 << 11)

struct registers {
    uint64_t cr0, cr3, cr4, efer;
    uint32_t pkru;
};

/** What CR0.PG, CR4 and EFER select: 0 with paging off, else an enum paging. */
unsigned control_paging(const struct registers *);

/** The format and rights of stage 0 under @p registers; the root is CR3's table. */
struct stage control_stage(const struct registers *, const struct profile *);

/** Where CR3 says that the top table is. */
uint64_t control_root(const struct registers *);

/** A textbook stage: every access allowed, @p root a byte address. */
struct stage control_textbook(const struct geometry *, uint64_t root);

/** The rights rule in full: whether @p kind may access a page with @p rights (MAY_*). */
bool control_allows(const struct registers *, unsigned kind, uint32_t rights);

/** Whether PKRU denies @p kind to user pages of @p key. */
bool control_key_denies(const struct registers *, unsigned kind, unsigned key);

/**
 * What is wrong with a set of registers as the state of a vCPU, or with going from one to another
 * by one MOV or WRMSR: NULL, or words that say which rule makes it a #GP.
 */
const char *control_fault(const struct registers *, const struct profile *);
const char *control_change_fault(const struct registers *from, const struct registers *to,
                                 const struct profile *);

#endif
