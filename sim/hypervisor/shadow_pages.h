/**
 * @file
 * The state of shadow paging, one per VM: its shadow pages, what each is the shadow of, and how to
 * find them.
 *
 * A shadow page is a table that the processor walks, 512 entries in a frame of the host. Its key
 * says what it is the shadow of: half or all of a guest's table under certain rights from above and
 * certain control bits, so that address spaces and vCPUs share it; a part of a guest's page that is
 * larger than the host's; or, where nobody watches the guest's tables, a region of addresses.
 *
 * Modelled: KVM's roles, its hash by gfn, its age list. Simplified: the rights above a table are in
 * the key, all upper shadow entries are permissive, and the leaf has what is left, as in KVM; a
 * shadow page is not freed when nothing leads to it any more.
 * Source: Linux, Documentation/virt/kvm/x86/mmu.rst.
 */
#ifndef SIM_HYPERVISOR_SHADOW_PAGES_H
#define SIM_HYPERVISOR_SHADOW_PAGES_H

#include "core/stage.h"
#include "sim/hypervisor/rmap.h"

enum shadow_kind {
    SHADOW_NONE,
    SHADOW_GUEST,  /**< of a guest's table */
    SHADOW_SPLIT,  /**< of a part of a guest's page: its frames in order */
    SHADOW_REGION, /**< of a region of one vCPU's addresses, whatever tables lead there */
};

/** What a shadow page is the shadow of. All bytes count. */
struct shadow_key {
    uint64_t number;  /**< gfn of the guest's table, or of the first frame; or of the region */
    uint16_t context; /**< GUEST: control bits that decide what its entries mean */
    uint16_t vcpu;    /**< of the VM, if the page is not shared: the trees of software TLBs */
    uint8_t kind, level;
    uint8_t quadrant; /**< 2-level guests: which part of their table of 1024 entries */
    uint8_t rights;   /**< MAY_* of the entries above, 3:0; of a split page also its key, 7:4 */
};
_Static_assert(sizeof(struct shadow_key) == 16, "keys are compared as bytes");

struct shadow_page {
    struct shadow_key key;
    hpa_t table;
    uint32_t parents;      /**< head of the list of entries that lead here */
    uint32_t next;         /**< in its bucket, or of the free ones */
    uint32_t older, newer; /**< by when it was made */
    uint32_t unsynced;     /**< its place in the list of those, from 1; 0: it is in sync */
    uint8_t writes;        /**< emulated since it was last used */
};

enum { SHADOW_BUCKETS = 4096, SHADOW_ROOTS = 4, SHADOW_ENTRIES = 512, SHADOW_DROPS = 16 };

/** What one vCPU's guest has loaded, and what it runs on in its place. */
struct shadow_vcpu {
    struct stage guest;          /**< the guest's own tables, as it believes them to be walked */
    uint16_t context;            /**< of the shadow of its tables */
    uint32_t root[SHADOW_ROOTS]; /**< pages; [0], or one for each PDPTE register; 0: none yet */
};

/** TLB entries to be dropped on all vCPUs of the VM before the guest goes on. */
struct shadow_drops {
    bool all;
    unsigned n;
    gva_t gva[SHADOW_DROPS];
};

struct shadow {
    struct shadow_page *page; /**< owned; [0] is unused, so that 0 is no page */
    size_t n, room;
    uint32_t free, oldest, newest;
    uint64_t live, limit; /**< pages there are, and at most shall be */
    uint32_t *bucket;     /**< SHADOW_BUCKETS by number; owned */
    uint32_t *unsynced;   /**< pages that may differ from the guest's tables; owned */
    size_t n_unsynced, unsynced_room;
    struct rmap rmap;
    struct shadow_vcpu *vcpu; /**< by number in the VM; owned */
    size_t vcpus;
    struct shadow_drops drops;
};

/** No page yet, for a VM of @p memory bytes; at most @p limit pages, or as KVM sets it if 0. */
bool shadow_init(struct shadow *, uint64_t memory, unsigned vcpus, uint64_t limit);
void shadow_fini(struct shadow *);
/** Makes @p clone, a byte copy of @p shadow, own its state. False: no memory; call shadow_fini. */
bool shadow_unshare(struct shadow *clone, const struct shadow *shadow);

/** The page of a key; 0: none. */
uint32_t shadow_find(const struct shadow *, const struct shadow_key *);

/** A number for a new page, in its bucket and the newest. 0: no memory. The caller gives a table.
 */
uint32_t shadow_add(struct shadow *, const struct shadow_key *);

/** Forgets a page, to whose table nothing leads any more. */
void shadow_remove(struct shadow *, uint32_t page);

/** The next of the shadows of the guest's table at @p gfn, after @p page, or the first after 0. */
uint32_t shadow_next_of(const struct shadow *, uint64_t gfn, uint32_t page);

/** Whether writes to a guest's frame must exit: a shadow of it is in sync, and shall remain so. */
bool shadow_watches(const struct shadow *, uint64_t gfn);

/** Whether any frame of [@p gfn, @p gfn + @p n) is a guest's table that has a shadow. */
bool shadow_has_any(const struct shadow *, uint64_t gfn, uint64_t n);

/** Puts a page on the list of those that are not in sync, or takes it off. False: no memory. */
bool shadow_set_unsynced(struct shadow *, uint32_t page, bool unsynced);

#endif
