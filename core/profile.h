/**
 * @file
 * The numbers of one machine: sizes of its caches, features, prices. Pure data; profiles stand in
 * scenarios/machines with a source and a confidence for every value.
 *
 * Modelled: what is listed. Simplified: one price per event. Not modelled: parallel walkers,
 * hashing, prefetch into TLBs.
 */
#ifndef CORE_PROFILE_H
#define CORE_PROFILE_H

#include "core/addr.h"
#include "core/event.h"
#include "core/memo.h"

/** Page-size classes of a TLB: the level of the leaf less one (4 KiB, 2 or 4 MiB, 1 GiB). */
enum { PAGE_CLASSES = 3 };

/** Where a TLB keeps the pages of one class. */
enum { TLB_NOWHERE = 255 };

struct tlb_profile {
    struct shape array[PAGE_CLASSES]; /**< up to three arrays */
    uint8_t array_of[PAGE_CLASSES]; /**< class to array, or TLB_NOWHERE: such pages are not kept */
    uint8_t kept_as[PAGE_CLASSES];  /**< class to class: smaller: only a fragment is kept */
};

/** Features a profile has, and an override may switch off. */
#define FEATURES(X)                                                                                \
    X(pge, "global pages (CR4.PGE)")                                                               \
    X(pcid, "process-context identifiers (CR4.PCIDE)")                                             \
    X(invpcid, "INVPCID")                                                                          \
    X(nx, "execute-disable (EFER.NXE)")                                                            \
    X(smep, "supervisor-mode execution prevention (CR4.SMEP)")                                     \
    X(smap, "supervisor-mode access prevention (CR4.SMAP)")                                        \
    X(pku, "protection keys for user pages (CR4.PKE)")                                             \
    X(pdpe1gb, "1 GiB pages")                                                                      \
    X(la57, "5-level paging (CR4.LA57)")

enum feature {
#define X(name, help) FEATURE_##name,
    FEATURES(X)
#undef X
        FEATURE_COUNT
};

enum { DATA_CACHES = 3 }; /**< L1, L2, last level */

struct profile {
    char name[32];
    uint8_t maxphyaddr; /**< 32 to 52 */
    uint32_t mhz;       /**< cycles per microsecond */
    uint32_t features;  /**< bit f: enum feature */
    struct tlb_profile tlb[TLBS];
    struct shape structure[LEVELS_MAX + 1]; /**< [level of the entry kept], 2 to 5 */
    bool structure_by_entry; /**< AMD: serves reads of entries; Intel: the walk starts lower */
    struct shape nested_tlb; /**< guest-physical leaf translations */
    struct shape data[DATA_CACHES]; /**< in lines; entries 0: no such cache */
    uint32_t line;                  /**< bytes of a data cache's line, a power of two */
    bool program_data; /**< the program's own accesses go through the data caches too */
    uint32_t cost[COST_COUNT];
};

static inline bool profile_has(const struct profile *p, enum feature f)
{
    return p->features >> f & 1;
}

/** NULL if the shapes are possible; else what is wrong, in words. */
const char *profile_fault(const struct profile *);

#endif
