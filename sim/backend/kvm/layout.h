/**
 * @file
 * Where things are in the harness's own memory, and what its slot of the guest's address space
 * maps. Read by C and by guest.S.
 */
#ifndef SIM_BACKEND_KVM_LAYOUT_H
#define SIM_BACKEND_KVM_LAYOUT_H

/* In the harness's memory: offsets, bytes. Stacks are named by their upper end. */
#define HARNESS_BYTES    0x400000
#define AT_CODE          0x0
#define CODE_BYTES       0x4000
#define AT_GDT           0x4000
#define AT_IDT           0x5000
#define AT_TSS           0x6000
#define AT_FAULT_STACK   0x8000
#define AT_STACK         0x9000
#define AT_USER_STACK    0xa000
#define AT_HEADER        0xb000
#define AT_SCRATCH       0xd800  /* what an executed instruction may read and write */
#define FIRST_BYTES      0x10000 /* all of the above */
#define AT_TABLES        0x100000
#define TABLES_MAX       256
#define AT_MAILBOX       0x200000
#define MAILBOX_COMMANDS 0x8000

/* In the harness's slot: its memory for CPL 0, the same for CPL 3, and the VM's memory. */
#define USER_ALIAS 0x40000000
#define DIRECT_MAP 0x80000000

#define GDT_CODE      0x08
#define GDT_DATA      0x10
#define GDT_USER_CODE 0x1b
#define GDT_USER_DATA 0x23
#define GDT_TSS       0x28

#define VECTORS      32
#define VECTOR_BYTES 16 /* of the code at each vector */

#define END_PORT 0x10

/* The header: what the host tells the guest about the batch, and the guest the host. */
#define HEADER_CURRENT 0  /* the current command's address, in either alias */
#define HEADER_STOP    8  /* 4 bytes: not 0 ends the batch at the first fault */
#define HEADER_PKRU    12 /* the scenario's */
#define HEADER_PKE     16 /* GUARD_PKE while CR4.PKE is set, else 0 */

#define GUARD_PKE 0x8000

#ifndef __ASSEMBLER__
#include <stdint.h>

struct header {
    uint64_t current;
    uint32_t stop, pkru, pke;
};

/** The guest: a blob that runs wherever it is put, and its ways in. */
extern const unsigned char guest_begin[], guest_start[], guest_vectors[], guest_end[];
#endif

#endif
