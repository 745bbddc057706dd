/**
 * @file
 * What the host asks of the guest: the commands in the mailbox. Read by C and by guest.S.
 */
#ifndef SIM_BACKEND_KVM_COMMANDS_H
#define SIM_BACKEND_KVM_COMMANDS_H

#define COMMAND_END     0 /* the batch's last: back to the host */
#define COMMAND_READ    1 /* result: the word of size bytes at gva */
#define COMMAND_WRITE   2 /* value, size bytes, to gva */
#define COMMAND_TOUCH   3 /* a write to gva that changes no byte */
#define COMMAND_EXEC    4 /* executes the one instruction at gva, whatever it is; not in a hole */
#define COMMAND_STORE   5 /* value, size bytes, to the gpa in gva, through the direct map; CPL 0 */
#define COMMAND_INVLPG  6
#define COMMAND_INVPCID 7 /* type in size, descriptor: pcid in value, gva */
#define COMMAND_CR3     8 /* value; this and the next three: at CPL 3 a #GP, as everywhere */
#define COMMAND_CR0     9
#define COMMAND_CR4     10
#define COMMAND_EFER    11
#define COMMAND_PKRU    12 /* from here on accesses are made with this PKRU */
#define COMMAND_NOP     13
#define COMMAND_WARM    14 /* the harness's own: every page that it uses is touched */

#define COMMAND_AC 1 /* flags: EFLAGS.AC is set around the access, if made at CPL 0 */

#define COMMAND_DONE  1 /* status */
#define COMMAND_FAULT 2
#define COMMAND_MMIO                                                                               \
    3 /* the host's note: no memory there; all ones read, what is written is lost */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct command {
    uint8_t op, cpl, size, flags;
    uint32_t status;
    uint64_t gva;
    uint64_t value;
    uint64_t result;
    uint32_t vector, error_code;
    uint64_t cr2;
    uint64_t rip;
    uint64_t reserved;
};
_Static_assert(sizeof(struct command) == 64, "guest.S finds its way by this");
#endif

#endif
