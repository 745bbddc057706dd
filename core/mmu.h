/**
 * @file
 * The MMU of one vCPU: TLB lookup, then walk, then rights, then fill, or a refusal; and the
 * instructions that invalidate.
 *
 * Modelled: L1 instruction, L1 data and L2 TLB, PCID, global pages, D set by a later write through
 * a clean entry, every invalidation of SDM vol. 3, 4.10.4.1. Simplified: an entry whose rights deny
 * the access is dropped and walked again before it faults, so there are no spurious faults; exactly
 * what must be dropped is dropped. Not modelled: entries that vanish on their own.
 *
 * An mmu and its caches are one block without pointers: copying mmu_bytes() bytes copies it (all
 * but the sink, which belongs to whoever watches).
 */
#ifndef CORE_MMU_H
#define CORE_MMU_H

#include "core/control.h"
#include "core/event.h"
#include "core/lookaside.h"
#include "core/stage.h"
#include "core/walk.h"

enum {
    QUICK_STAGES = 2, /**< longer chains are never walked quickly: see quick */
    REGIONS_KNOWN = 256
};

enum { SPACES_MAX = 4096, PCID_GLOBAL = 0xffff, PCID_PHYSICAL = 0xfffe };

/**
 * An address space that cached translations belong to: linear ones (EP4TA 0), combined ones, or
 * the guest-physical ones of an EP4TA. Its index + 1 is its number. SDM vol. 3, 28.3.
 */
struct space {
    uint16_t vpid, pcid; /**< PCID_GLOBAL: global pages; PCID_PHYSICAL: guest-physical mappings */
    uint64_t ep4ta;      /**< root of the second stage, plus 1; 0: none */
    uint64_t below;      /**< the same of the stage below that one */
};

/** Bits of an entry, all but its address, that were found to be usual: see quick. */
struct likeness {
    uint64_t mask, bits;
    uint32_t rights; /**< that it grants, enum right */
};

/**
 * What was read at an address, found to be usual: see quick. It holds while memory and rules are
 * what they were.
 */
struct known {
    hpa_t at;
    uint64_t when;    /**< mem.changes + mmu.rules */
    uint64_t address; /**< in the entry */
    uint64_t line;    /**< that it is in, as a tag of the data caches */
    uint32_t mark;    /**< of that tag */
    uint32_t rights;  /**< that it grants */
};

/** Of a region of 2 MiB: its seat in a structure cache of level 2, and its entry. */
struct known_region {
    struct memo_spot spot; /**< from the lookaside on; row 0: there is no such cache */
    struct known entry;
};

/** What was found last in a structure cache of level 3. */
struct known_above {
    struct memo_spot spot;
    uint32_t way;
};

/** The parts of a walk that are known apart. */
enum known_part {
    KNOWN_GUEST, /**< the guest's regions, or all there are */
    KNOWN_TABLE, /**< of the stage below: those of a guest's tables of level 1 */
    KNOWN_PAGE,  /**< those of its pages */
    KNOWN_PARTS
};

/** The answers of the TLBs to the first attempt of a translation, counted when it ends. */
struct asked {
    uint8_t l1;       /**< enum tlb_name */
    uint8_t l1_level; /**< of the page hit; 0: missed */
    uint8_t l2_level;
    bool l2, nothing; /**< whether L2 was asked; whether no TLB was */
};

struct mmu {
    uint32_t bytes;
    struct profile profile;
    struct registers registers;
    struct geometry geometry; /**< levels > 0: textbook paging, and registers but CR3 are ignored */
    struct stage stage[STAGES_MAX];
    unsigned stages;
    uint16_t vpid; /**< tag of the VM's translations; 0: not tagged, exits drop them */
    struct page_log log;
    space_t space[STAGES_MAX]; /**< current tags, by depth; 0: to be looked up */
    space_t global;            /**< the space of the current VPID's global pages */
    unsigned spaces;
    struct space known[SPACES_MAX];
    uint8_t served[32][4]; /**< by MAY_* and LEAF_DIRTY, then access.flags: bit op: served as is */
    /** Of the stage below the guest's, by its MAY_* and LEAF_DIRTY: bit kind: served as is; by
     * whether the access is a user's: what they leave of the rights of a guest's leaf. */
    uint8_t below_serves[32], below_leaves[2][32];
    struct likeness usual[QUICK_STAGES][LEVELS_MAX + 1][2]; /**< by depth, level, and D */
    /** By number of the region; of a guest's table, by the number of the region that it maps. */
    struct known_region region[KNOWN_PARTS][REGIONS_KNOWN];
    struct known table_leaf[REGIONS_KNOWN]; /**< of the way of a guest's table */
    struct known_above above[KNOWN_PARTS];
    uint64_t rules; /**< grows whenever what is usual may have changed */
    uint64_t now;   /**< of the run: see known.when */
    bool keys;      /**< PKRU denies something: rights alone do not tell */
    struct asked asked;
    struct tally tally;
    struct lookaside look; /**< last: its memos follow */
};

/** Why mmu_run came back before the end of its batch. */
enum stop {
    STOP_DONE,
    STOP_REFUSED, /**< the next access was begun and refused: answer, then mmu_translate again */
    STOP_OTHER,   /**< the next record is an event, another process's, or crosses a page */
};

/** Bytes of an mmu for a profile; 16-aligned. */
size_t mmu_bytes(const struct profile *, unsigned stages);

/** Makes an mmu in mmu_bytes() of zeroed storage aligned to 16: paging off, everything empty. */
void mmu_init(struct mmu *, const struct profile *, unsigned stages, uint16_t vcpu, uint64_t seed);

/** Sets the whole state as a raw VM gives it, unbilled, with all caches empty. NULL or a fault. */
const char *mmu_set_registers(struct mmu *, const struct bus *, const struct registers *);

/** The number of the current VPID's address space with @p pcid (or PCID_GLOBAL). */
space_t mmu_space(struct mmu *, uint16_t pcid);

/** Looks the tags of the current registers up; after CR3 or CR4 has changed. */
void mmu_enter_space(struct mmu *);

/**
 * Puts @p n stages under the guest's, the outermost hypervisor's last, under the tag @p vpid; drops
 * nothing. Precondition: the mmu was made for n + 1 stages.
 */
void mmu_set_second_stages(struct mmu *, const struct stage *, unsigned n, uint16_t vpid);

/**
 * Has the processor walk a table of the hypervisor's making in place of the guest's (shadow,
 * agile): format, root and rights as given, registers as the guest believes them to be. Drops
 * nothing.
 */
void mmu_set_shadow(struct mmu *, const struct stage *, const struct registers *);

/** Makes registers the state, PDPTEs loaded if asked; NULL, or what makes that load a #GP. */
const char *mmu_adopt(struct mmu *, const struct bus *, const struct registers *, bool load_pdptes);

/** Works out anew what follows from stage 0's rights; after they have changed. */
void mmu_work_out(struct mmu *);

/** Textbook paging with its top table at @p root. */
void mmu_set_textbook(struct mmu *, const struct geometry *, uint64_t root);

/**
 * Translates one access that lies within one page. True: walk->found has the answer (hpa, next =
 * the gpa, rights, level). False: walk->refusal says why. @p again: a repeated attempt, whose TLB
 * lookups were counted before. walk->refs is 0 when a TLB answered.
 */
bool mmu_translate(struct mmu *, const struct bus *, const struct access *, bool again,
                   struct walk *);

/** The program's own data goes through the data caches, where the profile says that it does. */
void mmu_touch_data(struct mmu *, const struct bus *, const struct access *, const struct walk *);

/** Ends a translation that was refused for good: counts its TLB misses. */
void mmu_give_up(struct mmu *, gva_t);

/**
 * Completes accesses of one batch, all of @p process, as far as no one else is needed; returns how
 * many. The rest is as @p stop says. What mmu_translate does for each, only faster.
 */
size_t mmu_run(struct mmu *, const struct bus *, const struct access *, size_t n, uint16_t process,
               struct walk *, enum stop *stop);

/** As mmu_translate, but changes, counts and costs nothing, and no cache is asked. */
bool mmu_peek(const struct mmu *, const struct bus *, gva_t, unsigned kind, struct walk *);

/** Bits of a page fault's error code. SDM vol. 3, 4.7. */
enum page_fault {
    PF_PRESENT = 1 << 0,
    PF_WRITE = 1 << 1,
    PF_USER = 1 << 2,
    PF_RESERVED = 1 << 3,
    PF_FETCH = 1 << 4,
    PF_KEY = 1 << 5
};

/** The page-fault error code of a refusal at depth 0. */
uint32_t mmu_error_code(const struct mmu *, const struct refusal *);

/** A page fault is delivered for @p gva: counts it, and drops what the manual says. */
void mmu_page_fault(struct mmu *, gva_t, const struct refusal *);

/** INVLPG: the page's translations of this PCID and global ones, and all its structure entries. */
void mmu_invlpg(struct mmu *, gva_t);

/** INVPCID of @p type 0 to 3. NULL, or what makes it a #GP. */
const char *mmu_invpcid(struct mmu *, unsigned type, uint16_t pcid, gva_t);

/** MOV to CR3, CR0, CR4, WRMSR of EFER: NULL, or what makes it a #GP, and nothing has changed. */
const char *mmu_mov_cr3(struct mmu *, const struct bus *, uint64_t value);
const char *mmu_mov_cr0(struct mmu *, const struct bus *, uint64_t value);
const char *mmu_mov_cr4(struct mmu *, const struct bus *, uint64_t value);
const char *mmu_wrmsr_efer(struct mmu *, const struct bus *, uint64_t value);
/** WRPKRU; never faults here. */
void mmu_wrpkru(struct mmu *, uint32_t value);

/** An instruction that changes or invalidates translations, as a guest or a hypervisor sees it. */
struct instruction {
    enum instruction_name {
        INSTRUCTION_INVLPG,
        INSTRUCTION_INVPCID,
        INSTRUCTION_MOV_CR3,
        INSTRUCTION_MOV_CR0,
        INSTRUCTION_MOV_CR4,
        INSTRUCTION_WRMSR_EFER,
        INSTRUCTION_WRPKRU
    } name;
    uint64_t value; /**< loaded into the register */
    unsigned type;  /**< INVPCID */
    uint16_t pcid;  /**< INVPCID */
    gva_t gva;      /**< INVLPG, INVPCID */
};

/** Executes one of them: NULL, or what makes it a #GP. */
const char *mmu_execute(struct mmu *, const struct bus *, const struct instruction *);

/** INVEPT of @p type 1 (of the tables at @p root) or 2 (all). NULL, or what makes it fail. */
const char *mmu_invept(struct mmu *, unsigned type, uint64_t root);

/** INVVPID of @p type 0 to 3. NULL, or what makes it fail. */
const char *mmu_invvpid(struct mmu *, unsigned type, uint16_t vpid, gva_t gva);

/** A VM exit or entry: drops the translations of a VM without VPID. */
void mmu_vm_transition(struct mmu *);

/** A second stage refused @p gva: drops what the manual says. */
void mmu_second_stage_fault(struct mmu *, gva_t gva, const struct refusal *);

/** Drops what is cached of @p gva by any tag of the VPID, unbilled: a hypervisor's INVVPID 0. */
void mmu_drop_page(struct mmu *, gva_t gva);

/** Drops every translation of the VPID, unbilled: a hypervisor that loads another shadow root. */
void mmu_drop_all(struct mmu *);

/** Empties every cache, data caches too, as at power-on. */
void mmu_cool(struct mmu *, const struct bus *);

#endif
