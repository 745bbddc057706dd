/* Which entries lie on the way, what each is for, which were read, and who saved the others. */
#include <stdio.h>
#include <string.h>

#include "sim/report/walk_report.h"
#include "sim/report/words.h"

enum { UNREAD = -1 };

/* ---- what the attempt read of what the tables say ---- */

static bool same_place(const struct ref *a, const struct ref *b)
{
    return a->depth == b->depth && a->level == b->level && a->at == b->at && a->ia == b->ia;
}

/* The place of an entry among those of the peek that nobody has claimed, from @p from on. */
static unsigned find(const struct walk *peek, const int16_t *read, unsigned from, unsigned to,
                     const struct ref *ref)
{
    while (from < to && (read[from] != UNREAD || !same_place(&peek->ref[from], ref)))
        from++;
    return from;
}

/*
 * For each entry of the peek, which ref of the attempt read it; and the attempt's other refs. They
 * come in the same order, but for a table reached by a cache and written all the same: its way
 * through the stage below is gone after it.
 */
static unsigned match(const struct walk_report *r, int16_t *read, int16_t *others)
{
    unsigned next = 0, n = 0, all = r->peek.refs;
    for (unsigned i = 0; i < all; i++)
        read[i] = UNREAD;
    for (unsigned i = 0; i < r->attempt.refs; i++) {
        const struct ref *ref = &r->attempt.ref[i];
        unsigned at = find(&r->peek, read, next, all, ref);
        if (at == all && (at = find(&r->peek, read, 0, next, ref)) == next)
            at = all;
        if (at == all) {
            others[n++] = (int16_t)i;
        } else {
            read[at] = (int16_t)i;
            next = at + 1 > next ? at + 1 : next;
        }
    }
    return n;
}

/* ---- lines ---- */

static struct walk_line *add_line(struct walk_report *r, const struct ref *ref, bool read)
{
    struct walk_line *line = &r->line[r->n_lines++];
    const struct refusal *refusal = &r->attempt.refusal;
    *line = (struct walk_line){.depth = ref->depth,
                               .level = ref->level,
                               .direct = ref->direct,
                               .address = ref->at,
                               .entry = ref->entry,
                               .set = read && r->outcome.kind == OUTCOME_OK ? ref->set : 0,
                               .ia = ref->ia,
                               .table_ia = ref->table_ia,
                               .rights = ref->rights,
                               .leaf = ref->leaf,
                               .read = read,
                               .server = (enum server)ref->server};
    line->refused = r->outcome.kind != OUTCOME_OK && refusal->depth == ref->depth &&
                    refusal->level == ref->level && refusal->ia == ref->ia;
    if (read) {
        snprintf(line->served_by, sizeof line->served_by, "%s", server_name(line->server));
        line->cycles = r->ref_price[ref->server];
    }
    return line;
}

/* The attempt has read an entry of this translation elsewhere, at this level or above. */
static bool parts_here(const struct walk_report *r, const int16_t *others, unsigned n,
                       const struct walk_line *line)
{
    for (unsigned i = 0; i < n; i++) {
        const struct ref *other = &r->attempt.ref[others[i]];
        if (other->depth == line->depth && other->ia == line->ia && other->level >= line->level)
            return true;
    }
    return false;
}

/* The peek's entries in order, those that the attempt read marked; then what it read elsewhere. */
static void list_lines(struct walk_report *r)
{
    int16_t read[WALK_REFS], others[WALK_REFS];
    unsigned n = match(r, read, others);
    for (unsigned i = 0; i < r->peek.refs; i++) {
        bool was = read[i] != UNREAD;
        struct walk_line *line = add_line(r, was ? &r->attempt.ref[read[i]] : &r->peek.ref[i], was);
        line->differs = !was && parts_here(r, others, n, line);
    }
    r->n_tables = r->n_lines;
    for (unsigned i = 0; i < n; i++)
        add_line(r, &r->attempt.ref[others[i]], true)->differs = true;
    r->stale |= n > 0;
}

/* ---- what each is for ---- */

/* Of the lines from @p i on, up to @p end, the first of a lesser depth; @p end if there is none. */
static unsigned owner_of(const struct walk_report *r, unsigned i, unsigned end)
{
    unsigned depth = r->line[i].depth;
    do
        i++;
    while (i < end && r->line[i].depth >= depth);
    return i;
}

/* The last line before @p i of the stage above, in the same translation of it; NULL: none. */
static const struct walk_line *above(const struct walk_report *r, unsigned first, unsigned i)
{
    unsigned depth = r->line[i].depth;
    while (i-- > first)
        if (r->line[i].depth < depth)
            return r->line[i].depth + 1 == depth ? &r->line[i] : NULL;
    return NULL;
}

/*
 * A reference of a stage below serves the next one of a stage above it. Where the walk ended before
 * that, it would have been the entry under the last one read; under a leaf, it is the data.
 */
static void set_purpose(struct walk_report *r, unsigned first, unsigned i, unsigned end)
{
    struct walk_line *line = &r->line[i];
    unsigned j = owner_of(r, i, end);
    const struct walk_line *last = line->depth ? above(r, first, i) : NULL;
    if (j < end) {
        line->for_depth = r->line[j].depth;
        line->for_level = r->line[j].level;
    } else if (last && last->leaf) {
        line->for_depth = last->for_depth;
        line->for_level = last->for_level;
    } else if (line->depth) {
        const struct format *f = &r->stage[line->depth - 1].format;
        line->for_depth = line->depth - 1;
        line->for_level = last ? last->level - 1 : (unsigned)f->levels - f->registers;
    }
    if (!line->for_level)
        snprintf(line->purpose, sizeof line->purpose, "data");
    else
        snprintf(line->purpose, sizeof line->purpose, "%s %s",
                 dimension_name(r->stages, line->for_depth),
                 format_level_name(&r->stage[line->for_depth].format, line->for_level));
}

/* ---- who saved it ---- */

/* Whether a structure cache knew the way of an address past a level. */
static const struct event *structure_hit(const struct walk_report *r, unsigned depth, ia_t ia,
                                         unsigned level)
{
    for (unsigned i = 0; i < r->n_events; i++) {
        const struct event *e = &r->event[i];
        if (e->kind == EVENT_STRUCTURE_HIT && e->depth == depth && e->address == ia &&
            e->level <= level)
            return e;
    }
    return NULL;
}

static const struct event *nested_hit(const struct walk_report *r, unsigned depth, ia_t ia)
{
    for (unsigned i = 0; i < r->n_events; i++) {
        const struct event *e = &r->event[i];
        if (e->kind == EVENT_NESTED_HIT && e->depth == depth && e->address == ia)
            return e;
    }
    return NULL;
}

/*
 * The hit that made a line of the peek unnecessary: of its own stage; or of a stage above, which
 * then knew the host's address of a table, so that nobody asked where it is.
 */
static const struct event *hit_that_saved(const struct walk_report *r, unsigned i)
{
    for (;;) {
        const struct walk_line *line = &r->line[i];
        unsigned level = line->differs ? LEVELS_MAX : line->level;
        const struct event *hit = structure_hit(r, line->depth, line->ia, level);
        if (hit || (hit = nested_hit(r, line->depth, line->ia)))
            return hit;
        unsigned j = owner_of(r, i, r->n_tables);
        if (j >= r->n_tables) /* for the data, or for an entry that the peek did not get to */
            return line->for_level && !line->for_depth
                       ? structure_hit(r, 0, r->item.access.gva, line->for_level + 1)
                       : NULL;
        const struct walk_line *owner = &r->line[j];
        if ((hit = nested_hit(r, owner->depth + 1, owner->table_ia)) ||
            (hit = structure_hit(r, owner->depth, owner->ia, owner->level + 1)) || owner->read)
            return hit;
        i = j;
    }
}

static void set_saver(struct walk_report *r, unsigned i)
{
    struct walk_line *line = &r->line[i];
    const struct event *tlb = walk_report_event(r, EVENT_TLB_HIT);
    const struct event *hit = r->tlb_hit ? NULL : hit_that_saved(r, i);
    size_t room = sizeof line->served_by;
    line->saver = SAVED_UNREACHED;
    if (r->tlb_hit && tlb) {
        line->saver = SAVED_TLB;
        snprintf(line->served_by, room, "%s tlb", tlb_name((enum tlb_name)tlb->detail));
    } else if (hit) {
        line->saver = hit->kind == EVENT_NESTED_HIT ? SAVED_NESTED : SAVED_STRUCTURE;
        line->saver_depth = hit->depth;
        line->saver_level = hit->level;
        bool named = hit->depth && (line->saver == SAVED_STRUCTURE || r->stages > 2);
        snprintf(line->served_by, room, "%s%s%s",
                 named ? dimension_name(r->stages, hit->depth) : "", named ? " " : "",
                 line->saver == SAVED_NESTED ? "nested tlb" : "");
        if (line->saver == SAVED_STRUCTURE) {
            size_t n = strlen(line->served_by);
            snprintf(line->served_by + n, room - n, "%s cache", structure_name(hit->level));
        }
    } else {
        snprintf(line->served_by, room, "not reached");
    }
}

void walk_report_list(struct walk_report *r)
{
    r->n_lines = 0;
    list_lines(r);
    for (unsigned i = 0; i < r->n_lines; i++) {
        bool told = i < r->n_tables;
        set_purpose(r, told ? 0 : r->n_tables, i, told ? r->n_tables : r->n_lines);
    }
    for (unsigned i = 0; i < r->n_lines; i++)
        if (!r->line[i].read)
            set_saver(r, i);
}

/* ---- for the writers ---- */

const char *walk_report_symbol(const struct walk_report *r, const struct walk_line *line,
                               char *text)
{
    static const char *const servers[SERVERS] = {"L1", "L2", "LLC", "mem", "PWC"};
    static const char *const dimension[STAGES_MAX][STAGES_MAX] = {{""}, {"", "h"}, {"", "1", "0"}};
    if (line->read)
        return servers[line->server];
    if (line->saver == SAVED_STRUCTURE)
        snprintf(text, 8, "%s%s", dimension[r->stages - 1][line->saver_depth],
                 structure_name(line->saver_level));
    else
        snprintf(text, 8, "%s",
                 line->saver == SAVED_TLB      ? "TLB"
                 : line->saver == SAVED_NESTED ? "NTLB"
                                               : "-");
    return text;
}
