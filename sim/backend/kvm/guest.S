/*
 * The guest on KVM: executes the commands of the mailbox, at the CPL that each asks for.
 *
 * The same code runs in two aliases of the harness's memory: supervisor pages at CPL 0 and user
 * pages at CPL 3, as SMEP and SMAP want it. It finds everything relative to itself.
 *
 * While the loop runs, these hold, in the alias of the current CPL:
 *   rbx the current command      r12 the CPL          r13 GUARD_PKE if CR4.PKE is set, or 0
 *   r14 the harness's memory     r15 the table of operations
 *
 * Where KVM emulates CPL 0 instruction by instruction, every instruction here costs about a
 * microsecond: the common path is short rather than general.
 */
#include "sim/backend/kvm/commands.h"
#include "sim/backend/kvm/layout.h"

#define COMMAND_BYTES 64
#define OP            0
#define CPL           1
#define SIZE          2
#define FLAGS         3
#define STATUS        4
#define GVA           8
#define VALUE         16
#define RESULT        24
#define VECTOR        32
#define ERROR_CODE    36
#define CR2           40
#define RIP           48

#define EFLAGS_ALWAYS 0x2
#define EFLAGS_TF     0x100
#define EFLAGS_AC     0x40000
#define MSR_EFER      0xc0000080
#define CR4_PKE_BIT   22

#define GUARD_AC      (COMMAND_AC << 8)
#define GUARD_ANY     0xff00

    .section .rodata
    .globl guest_begin, guest_start, guest_vectors, guest_end
    .balign 4096
guest_begin:

/* Calls what may change PKRU: not by way of the stack, which is a user page of key 0 too. */
    .macro link to
    lea 1f(%rip), %r11
    jmp \to
1:
    .endm

/* The host starts the vCPU here, at CPL 0 and in the supervisor alias. */
guest_start:
    lea guest_begin(%rip), %r14
    lea operations(%rip), %r15
    lea AT_STACK(%r14), %rsp
    xor %r12d, %r12d
    mov AT_HEADER + HEADER_PKE(%r14), %r13d
    link harness_pkru
batch:
    lea AT_MAILBOX(%r14), %rbx
    jmp begin

next:
    add $COMMAND_BYTES, %rbx
begin:
    mov %rbx, AT_HEADER + HEADER_CURRENT(%r14)
    movzbl OP(%rbx), %eax
    cmp %r12b, CPL(%rbx)
    jne change_cpl
dispatch:
    movslq (%r15, %rax, 4), %rax
    add %r15, %rax
    jmp *%rax

    .balign 4
operations:
    .irp op, end, read, write, touch, exec, store, invlpg, invpcid, \
             cr3, cr0, cr4, efer, pkru, next, warm
    .long \op - operations
    .endr

/* ---- from one CPL to the other ---- */

change_cpl:
    test %r12d, %r12d
    jnz to_supervisor
    cmp $COMMAND_EXEC, %eax /* goes there by itself */
    je dispatch
    mov $USER_ALIAS, %ecx
    add %rcx, %rbx
    add %rcx, %r14
    add %rcx, %r15
    mov $3, %r12d
    lea AT_USER_STACK(%r14), %rdx
    lea begin(%rip), %rsi
    add %rcx, %rsi
    push $GDT_USER_DATA
    push %rdx
    push $EFLAGS_ALWAYS
    push $GDT_USER_CODE
    push %rsi
    iretq

/* INT3, as not every KVM takes INT n or SYSCALL through the guest's own tables. */
to_supervisor:
    int3
behind_int3:

/* ---- the operations ---- */

end:
    out %al, $END_PORT
    jmp batch

/* From here r8 is size and flags of the command, and whether PKRU matters. What is not a plain
 * access of 8 bytes goes the long way. */
read:
    mov GVA(%rbx), %rsi
    movzwl SIZE(%rbx), %r8d
    or %r13d, %r8d
    cmp $8, %r8d
    jne read_otherwise
    mov (%rsi), %rdi
    mov %rdi, RESULT(%rbx)
    jmp next

write:
    mov GVA(%rbx), %rsi
    mov VALUE(%rbx), %rdi
    movzwl SIZE(%rbx), %r8d
    or %r13d, %r8d
    cmp $8, %r8d
    jne write_otherwise
    mov %rdi, (%rsi)
    jmp next

/* LOCK, so that what emulates it checks for a write first. */
touch:
    mov GVA(%rbx), %rsi
    movzwl SIZE(%rbx), %r8d
    or %r13d, %r8d
    link guard
    lock orb $0, (%rsi)
    link unguard
    jmp next

read_otherwise:
    link guard
    cmp $8, %r8b
    je 8f
    cmp $4, %r8b
    je 4f
    cmp $2, %r8b
    je 2f
    movzbl (%rsi), %edi
    jmp 9f
2:  movzwl (%rsi), %edi
    jmp 9f
4:  mov (%rsi), %edi
    jmp 9f
8:  mov (%rsi), %rdi
9:  link unguard
    mov %rdi, RESULT(%rbx)
    jmp next

write_otherwise:
    link guard
    cmp $8, %r8b
    je 8f
    cmp $4, %r8b
    je 4f
    cmp $2, %r8b
    je 2f
    mov %dil, (%rsi)
    jmp 9f
2:  mov %di, (%rsi)
    jmp 9f
4:  mov %edi, (%rsi)
    jmp 9f
8:  mov %rdi, (%rsi)
9:  link unguard
    jmp next

/* Through the direct map, whose pages are the supervisor's: neither SMAP nor PKRU matters. */
store:
    mov $DIRECT_MAP, %esi
    add %r14, %rsi
    add GVA(%rbx), %rsi
    mov VALUE(%rbx), %rdi
    movzbl SIZE(%rbx), %r8d
    cmp $8, %r8d
    jne write_otherwise
    mov %rdi, (%rsi)
    jmp next

/* One step, whatever stands there: IRETQ sets EFLAGS.TF, and the #DB behind the instruction says
 * that it was executed. Only CPL 0 can do so. The general registers are a scratch address with a
 * low byte of 0, so that even zeroes, `add %al,(%rax)`, are harmless. */
exec:
    test %r12d, %r12d
    jnz to_supervisor
    mov GVA(%rbx), %rsi
    lea AT_SCRATCH(%r14), %rax
    cmpb $0, CPL(%rbx)
    jne 3f
    push $GDT_DATA
    push %rax
    push $EFLAGS_ALWAYS | EFLAGS_TF
    push $GDT_CODE
    jmp 4f
3:  mov $USER_ALIAS, %ecx
    add %rcx, %rax
    push $GDT_USER_DATA
    push %rax
    push $EFLAGS_ALWAYS | EFLAGS_TF
    push $GDT_USER_CODE
4:  push %rsi
    .irp register, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    mov %rax, %\register
    .endr
    iretq

invlpg:
    mov GVA(%rbx), %rsi
    invlpg (%rsi)
    jmp next

invpcid:
    push GVA(%rbx)
    push VALUE(%rbx)
    movzbl SIZE(%rbx), %eax
    invpcid (%rsp), %rax
    add $16, %rsp
    jmp next

cr3:
    mov VALUE(%rbx), %rax
    mov %rax, %cr3
    jmp next

cr0:
    mov VALUE(%rbx), %rax
    mov %rax, %cr0
    jmp next

cr4:
    mov VALUE(%rbx), %rax
    mov %rax, %cr4
    xor %r13d, %r13d
    bt $CR4_PKE_BIT, %rax
    jnc 1f
    mov $GUARD_PKE, %r13d
1:  mov %r13d, AT_HEADER + HEADER_PKE(%r14)
    link harness_pkru
    jmp next

efer:
    mov $MSR_EFER, %ecx
    mov VALUE(%rbx), %eax
    mov VALUE + 4(%rbx), %edx
    wrmsr
    jmp next

pkru:
    mov VALUE(%rbx), %eax
    mov %eax, AT_HEADER + HEADER_PKRU(%r14)
    jmp next

/* Touches every page that the loop may need, so that KVM has them before it counts. */
warm:
    mov %r14, %rsi
    mov $FIRST_BYTES / 4096, %ecx
1:  lock orb $0, (%rsi)
    add $4096, %rsi
    dec %ecx
    jnz 1b
    lea AT_MAILBOX(%r14), %rsi
    mov $MAILBOX_COMMANDS * COMMAND_BYTES / 4096, %ecx
1:  lock orb $0, (%rsi)
    add $4096, %rsi
    dec %ecx
    jnz 1b
    jmp next

/* ---- AC and PKRU ---- */

/* Only the access itself is made with them: the mailbox is a user page with key 0. POPF sets AC
 * also where there is no STAC; at CPL 3 it would mean something else. */
guard:
    test $GUARD_ANY, %r8d
    jz 2f
    test $GUARD_AC, %r8d
    jz 1f
    test %r12d, %r12d
    jnz 1f
    pushfq
    orl $EFLAGS_AC, (%rsp)
    popfq
1:  test $GUARD_PKE, %r8d
    jz 2f
    mov AT_HEADER + HEADER_PKRU(%r14), %eax
    xor %ecx, %ecx
    xor %edx, %edx
    wrpkru
2:  jmp *%r11

unguard:
    test $GUARD_ANY, %r8d
    jz 2f
    test $GUARD_AC, %r8d
    jz harness_pkru
no_ac:
    test %r12d, %r12d
    jnz harness_pkru
    pushfq
    andl $~EFLAGS_AC, (%rsp)
    popfq
harness_pkru:
    test %r13d, %r13d
    jz 2f
    xor %eax, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    wrpkru
2:  jmp *%r11

/* ---- exceptions ---- */

/* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC and #SX push an error code. */
#define WITH_ERROR_CODE 0x60227d00

    .balign VECTOR_BYTES
guest_vectors:
    .set vector, 0
    .rept VECTORS
    .balign VECTOR_BYTES
    .if !((WITH_ERROR_CODE >> vector) & 1)
    push $0
    .endif
    push $vector
    jmp exception
    .set vector, vector + 1
    .endr

/* Nobody returns from here: the loop goes on at CPL 0, whatever the registers were. */
exception:
    lea guest_begin(%rip), %r14
    lea operations(%rip), %r15
    xor %r12d, %r12d
    mov AT_HEADER + HEADER_PKE(%r14), %r13d
    mov AT_HEADER + HEADER_CURRENT(%r14), %ebx
    and $HARNESS_BYTES - 1, %ebx
    add %r14, %rbx
    pop %rax
    pop %rcx
    pop %rdx
    lea AT_STACK(%r14), %rsp
    cmp $14, %eax
    je fault
    cmp $3, %eax
    je breakpoint
    cmp $1, %eax
    jne fault
    cmpb $COMMAND_EXEC, OP(%rbx)
    je next
    jmp fault

breakpoint:
    lea behind_int3(%rip), %rsi
    mov $USER_ALIAS, %edi
    add %rdi, %rsi
    cmp %rsi, %rdx
    je begin

fault:
    mov %eax, VECTOR(%rbx)
    mov %ecx, ERROR_CODE(%rbx)
    mov %rdx, RIP(%rbx)
    movl $COMMAND_FAULT, STATUS(%rbx)
    cmp $14, %eax
    jne 1f
    mov %cr2, %rax
    mov %rax, CR2(%rbx)
1:  movzbl FLAGS(%rbx), %eax
    or %r13d, %eax
    jz 2f
    link no_ac
2:  cmpl $0, AT_HEADER + HEADER_STOP(%r14)
    je next
    jmp end

guest_end:
    .section .note.GNU-stack, "", @progbits
