/**
 * @file
 * The one door between a guest OS and its machine. Everything the guest OS does to memory or to
 * translation goes through here, so that one guest runs on any backend and in any mode: behind the
 * port a hypervisor may write-protect, validate, bill or record.
 */
#ifndef SIM_GUEST_PORT_H
#define SIM_GUEST_PORT_H

#include "core/addr.h"

struct port_ops {
    /** The little-endian word of @p size bytes at @p at. */
    uint64_t (*load)(void *self, gpa_t at, unsigned size);
    /** Writes a word: of a page table of @p level, or of data if @p level is 0. */
    void (*store)(void *self, gpa_t at, uint64_t value, unsigned size, unsigned level);
    /** Makes @p bytes from @p at on zero: a fresh page for a program. */
    void (*zero)(void *self, gpa_t at, uint64_t bytes);
    /** INVLPG on every vCPU that may hold the translation. */
    void (*invlpg)(void *self, gva_t gva);
    void (*mov_cr3)(void *self, uint64_t value);
    void (*mov_cr4)(void *self, uint64_t value);
    void (*invpcid)(void *self, unsigned type, uint16_t pcid, gva_t gva);
    /** A call to the hypervisor; returns its answer. */
    uint64_t (*hypercall)(void *self, unsigned number, const uint64_t *words, unsigned n);
    /** Copies a page between memory and the backing store's slot. */
    void (*page_out)(void *self, gpa_t from, uint64_t slot, uint64_t bytes);
    void (*page_in)(void *self, gpa_t to, uint64_t slot, uint64_t bytes);
    /** Says what the guest OS just did, for counters and logs: enum event_kind. */
    void (*tell)(void *self, unsigned event, gva_t gva, uint64_t value);
};

struct port {
    const struct port_ops *ops;
    void *self;
};

#endif
