/**
 * @file
 * How the guest OS builds and takes apart page tables, in any format, through its port alone.
 *
 * It reads entries back through the port too, as a kernel does; beside them it keeps only how many
 * entries of each table are in use, so that an empty table is given back.
 */
#ifndef SIM_GUEST_TABLES_H
#define SIM_GUEST_TABLES_H

#include "core/format.h"
#include "sim/frames.h"
#include "sim/guest/port.h"

struct tables {
    struct format format;
    struct frames *frames; /**< borrowed; set anew by its owner when it is copied */
    uint16_t *used;        /**< by table address >> shift[1]: entries in use */
    uint16_t astray;       /**< stands for the counts of what is no table of ours */
    size_t room;
    uint64_t bytes;  /**< of all tables there are now */
    uint64_t most;   /**< the greatest that bytes ever was */
    uint32_t spaces; /**< address spaces that have a top table now */
    uint32_t most_spaces;
};

/** A present leaf. */
struct leaf {
    gva_t gva; /**< first address it maps */
    unsigned level;
    gpa_t at; /**< where the entry is */
    uint64_t entry;
};

void tables_fini(struct tables *);
/** Gives @p tables counts of its own. False: no memory. */
bool tables_unshare(struct tables *);

/** An empty top table. False: out of frames. */
bool tables_new_root(struct tables *, gpa_t *root);

/** The present leaf that maps @p gva, if any. */
bool tables_find(const struct tables *, const struct port *, gpa_t root, gva_t gva, struct leaf *);

/** The first present leaf that maps something in [@p from, @p last]. Cost: entries passed over. */
bool tables_next(const struct tables *, const struct port *, gpa_t root, gva_t from, gva_t last,
                 struct leaf *);

/** The highest level at which a leaf for @p gva may stand, given the tables there are. */
unsigned tables_room(const struct tables *, const struct port *, gpa_t root, gva_t gva);

/**
 * Maps the page of @p level at @p gva to @p to with rights MAY_*; makes the tables on the way.
 * @p top: set when an entry of a register-held top level was written, which asks for a CR3 reload.
 * False: out of frames, and nothing is mapped.
 */
bool tables_map(struct tables *, const struct port *, gpa_t root, gva_t gva, unsigned level,
                gpa_t to, uint32_t rights, bool *top);

/**
 * Clears a leaf; gives back the tables that this empties if @p prune. True when an entry of a
 * register-held top level was cleared, which asks for a CR3 reload.
 */
bool tables_clear(struct tables *, const struct port *, gpa_t root, const struct leaf *,
                  bool prune);

/** Gives back every table of an address space whose leaves are all cleared. */
void tables_free(struct tables *, const struct port *, gpa_t root);

#endif
