/**
 * @file
 * What KVM counts, of a VM or of a vCPU, by the names that it gives (KVM_GET_STATS_FD).
 */
#ifndef SIM_BACKEND_KVM_STATS_H
#define SIM_BACKEND_KVM_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct stats {
    int file;           /**< -1: there is none */
    char *descriptions; /**< owned */
    uint32_t n, bytes_each, data;
};

/** Opens those of @p owner, the file of a VM or vCPU. False: its KVM has none; close it all the
 * same. */
bool stats_open(struct stats *, int owner);
void stats_close(struct stats *);

/** A counter as it stands. -1: there is none of that name. */
int64_t stats_read(const struct stats *, const char *name);

#endif
