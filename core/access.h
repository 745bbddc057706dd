/**
 * @file
 * What a program does to memory: one access, as generators and trace readers hand them out in
 * batches, and the guest events (map, unmap, ...) that traces interleave with them.
 *
 * Both are 16 bytes. An event is two records: a struct access whose op is OP_MAP or above, and
 * right after it, in the same batch, its struct operand.
 */
#ifndef CORE_ACCESS_H
#define CORE_ACCESS_H

#include "core/addr.h"

/** Operations. The order matters: OP_MODIFY and below are accesses, the rest guest events. */
enum op {
    OP_READ,
    OP_WRITE,
    OP_EXEC,    /**< instruction fetch */
    OP_MODIFY,  /**< load and store of one address: two accesses, one translation that writes */
    OP_MAP,     /**< operand: length and rights; a new mapping, replacing what was there */
    OP_UNMAP,   /**< operand: length */
    OP_PROTECT, /**< operand: length and rights */
    OP_FORK,    /**< operand: process is the child, which starts with a copy of the mappings */
    OP_EXIT,    /**< the process ends and gives all its memory back */
    OP_COUNT
};

/** Bits of access.flags. */
enum access_flags {
    ACCESS_USER = 1, /**< CPL 3; clear is supervisor */
    ACCESS_AC = 2,   /**< EFLAGS.AC set: SMAP lets a supervisor reach user pages */
};

/** Rights of a mapping, as letters "rwxu" in scenarios. */
enum rights {
    RIGHT_READ = 1,
    RIGHT_WRITE = 2,
    RIGHT_EXEC = 4,
    RIGHT_USER = 8,
};

struct access {
    gva_t gva;
    uint16_t size;    /**< bytes, at least 1 */
    uint8_t op;       /**< enum op */
    uint8_t flags;    /**< enum access_flags */
    uint16_t process; /**< dense number of the process within its VM */
    uint16_t thread;  /**< dense number of the thread, 0 where the trace does not say */
};

/** The second record of a guest event. */
struct operand {
    uint64_t length;  /**< bytes */
    uint32_t rights;  /**< enum rights */
    uint32_t process; /**< OP_FORK: the child */
};

_Static_assert(sizeof(struct access) == 16, "batches are arrays of 16-byte records");
_Static_assert(sizeof(struct operand) == sizeof(struct access), "an operand takes one record");

#endif
