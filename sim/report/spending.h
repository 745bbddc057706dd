/**
 * @file
 * What the cycles went for: every event's price falls into one purse, and the purses add up to the
 * clock.
 */
#ifndef SIM_REPORT_SPENDING_H
#define SIM_REPORT_SPENDING_H

#include "core/event.h"

/** Name in JSON and CSV, words for people. */
#define PURSES(X)                                                                                  \
    X(accesses, "the accesses themselves")                                                         \
    X(tlb, "the second-level TLB")                                                                 \
    X(guest_tables, "reading guest tables")                                                        \
    X(host_tables, "reading host tables")                                                          \
    X(caches, "structure caches and nested TLB")                                                   \
    X(bits, "setting A and D")                                                                     \
    X(data, "the program's data")                                                                  \
    X(guest, "the guest OS")                                                                       \
    X(exits, "leaving and entering the VM")                                                        \
    X(hypervisor, "the hypervisor")

enum purse {
#define X(name, words) PURSE_##name,
    PURSES(X)
#undef X
        PURSE_COUNT
};

struct spending {
    cycles_t of[PURSE_COUNT];
};

const char *purse_name(enum purse);
const char *purse_words(enum purse);

/** Adds what a vCPU's events cost. */
void spending_add(struct spending *, const struct tally *);

#endif
