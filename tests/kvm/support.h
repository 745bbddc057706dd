/** @file What the tests of KVM share: a guest with tables, and ways to ask it. */
#ifndef TESTS_KVM_SUPPORT_H
#define TESTS_KVM_SUPPORT_H

#include "core/format.h"
#include "sim/backend/environment.h"
#include "sim/backend/kvm/harness.h"

/** Page i, from address i * PAGE on, is frame FRAMES + i * PAGE; 512 of them, for all to use. */
enum {
    PAGE = 4096,
    ROOT = 0x1000,
    LEVEL_4 = 0x6000, /* with 5 levels */
    LEVEL_3 = 0x2000,
    LEVEL_2 = 0x3000,
    LEVEL_1 = 0x4000,
    SPARE = 0x10000, /* some frames for more tables */
    FRAMES = 0x100000,
    MEMORY = 16 << 20,
    LINK = PTE_P | PTE_W | PTE_U,
    SLOT = 255,
};

/** The KVM that is here; else the test is skipped, with the reason. */
const struct environment *environment_or_skip(void);

/** Protected mode, paging, NX; 4 levels. */
struct harness_config usual_config(void);

/** A VM with the pages. The test fails if it can't be made. */
struct harness *guest_new(const struct harness_config *);
struct harness *usual_guest(void);

/** An entry of a table in the VM's memory; of page @p i. */
uint64_t *entry_of(struct harness *, gpa_t table, unsigned i);
uint64_t *page_entry(struct harness *, unsigned i);

/** The next command, of 8 bytes. */
struct command *ask(struct harness *, unsigned op, unsigned cpl, gva_t);
void ask_value(struct harness *, unsigned op, uint64_t value);

/** Runs the batch to its end, whatever faults. The test fails if the guest comes to grief. */
void run(struct harness *);

/** That command @p i of the batch was executed; that it was a #PF at its address. */
void expect_done(struct harness *, size_t i);
void expect_fault(struct harness *, size_t i, uint32_t error_code);

#endif
