/**
 * @file
 * What each frame of a VM is used for, so that a hypervisor can let a guest's own tables be the
 * processor's and still know that they lead nowhere else.
 *
 * A frame is a table of one level, or may be written through a leaf, or neither; never two of these
 * at once. It changes only when nobody uses it as what it was. So an entry is checked once, when it
 * is written, and a table once, when it becomes one.
 *
 * Modelled: type and its count, all uses and their count, owner (sim/hypervisor/host.h), validated,
 * pinned. Simplified: a frame whose last use as its type is gone has no type, and is checked again
 * when it is wanted again. Not modelled: segment-descriptor frames, grants, tables that lead to
 * themselves (linear page tables).
 * Source: Barham et al., Xen and the Art of Virtualization, SOSP 2003, 3.3.3.
 */
#ifndef SIM_HYPERVISOR_FRAME_TYPES_H
#define SIM_HYPERVISOR_FRAME_TYPES_H

#include "core/format.h"
#include "sim/hypervisor/host.h"

/** A table's type is its level. */
enum type {
    TYPE_NONE,
    TYPE_TABLE_1,
    TYPE_TABLE_5 = LEVELS_MAX,
    TYPE_WRITABLE, /**< a leaf maps it, and grants writing */
};

struct frame_type {
    enum type type;
    bool validated; /**< a table: all its entries were checked */
    bool pinned;    /**< a table that keeps its type although nothing leads to it */
    uint32_t types; /**< uses as its type: entries, CR3s, the pin */
    uint32_t uses;  /**< all uses, read-only leaves too */
};

/** Two words per frame of the host, sparse. */
struct frame_types {
    struct mem words;
};

/** No frame has a type, for a host of @p bytes. False: no memory. */
bool frame_types_init(struct frame_types *, uint64_t bytes);
void frame_types_fini(struct frame_types *);
/** Makes @p clone a copy. False: no memory. */
bool frame_types_clone(struct frame_types *clone, const struct frame_types *);

struct frame_type frame_type_get(const struct frame_types *, hpa_t at);

/** Which rule an update, a pin or an unpin breaks: its name, and words. */
#define TYPING_RULES(X)                                                                            \
    X(NONE, "no rule is broken")                                                                   \
    X(FOREIGN_ENTRY, "the entry does not lie in the VM's memory")                                  \
    X(NOT_A_TABLE, "the entry lies in a frame that is no page table")                              \
    X(MISPLACED, "that is no entry's place in its table")                                          \
    X(RESERVED, "the entry has a reserved bit set")                                                \
    X(FOREIGN, "the entry leads to a frame that is not the VM's")                                  \
    X(WRONG_LEVEL, "a frame can't be a table of two levels at once")                               \
    X(MAPPED_WRITABLE, "a frame that is mapped writable can't become a table")                     \
    X(WRITABLE_TABLE, "a table can't be mapped writable")                                          \
    X(PINNED, "the table is pinned already")                                                       \
    X(NOT_PINNED, "the frame is not a pinned table")

enum typing_rule {
#define X(name, words) RULE_##name,
    TYPING_RULES(X)
#undef X
        RULES
};

/** In words; NULL for RULE_NONE. */
const char *typing_words(enum typing_rule);

/** Whose frames, and by what rules. Lives on the stack for one call. */
struct typing {
    struct frame_types *types;
    struct mem *mem;
    const struct host *host;
    const struct format *format; /**< of the VM's tables */
    unsigned vm;
    unsigned checked; /**< out: entries that were checked */
};

/**
 * Writes @p entry, which holds machine addresses, at @p at in one of the VM's tables; or nothing,
 * and says which rule it breaks. Cost: one entry, or a whole table where it leads to a new one.
 */
enum typing_rule typing_update(struct typing *, hpa_t at, uint64_t entry);

/** One more use of the frame at @p at as a table of @p level (a CR3), checked if it is none yet. */
enum typing_rule typing_take_table(struct typing *, hpa_t at, unsigned level);
/** One less. */
void typing_drop_table(struct typing *, hpa_t at);

/** A table of @p level that stays checked, whether or not anything leads to it; and its end. */
enum typing_rule typing_pin(struct typing *, hpa_t at, unsigned level);
enum typing_rule typing_unpin(struct typing *, hpa_t at);

#endif
