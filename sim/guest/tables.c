#include "sim/guest/tables.h"

#include "sim/array.h"

void tables_fini(struct tables *t)
{
    free(t->used);
    t->used = NULL;
}

bool tables_unshare(struct tables *t)
{
    return array_copy(&t->used, &t->room, t->room, sizeof *t->used);
}

static uint64_t load(const struct tables *t, const struct port *port, gpa_t at)
{
    return port->ops->load(port->self, at, t->format.entry_bytes);
}

static void store(const struct tables *t, const struct port *port, gpa_t at, uint64_t entry,
                  unsigned level)
{
    port->ops->store(port->self, at, entry, t->format.entry_bytes, level);
}

/* A table takes whole pages, so that nothing else shares them. */
static uint64_t table_bytes(const struct tables *t, unsigned level)
{
    uint64_t bytes = format_table_bytes(&t->format, level),
             page = (uint64_t)1 << t->format.shift[1];
    return bytes < page ? page : bytes;
}

static bool take_table(struct tables *t, unsigned level, gpa_t *at)
{
    uint64_t bytes = table_bytes(t, level);
    if (!frames_take(t->frames, 0, bytes, at))
        return false;
    size_t number = (size_t)(*at >> t->format.shift[1]);
    if (!array_reserve(&t->used, &t->room, number + 1, sizeof *t->used)) {
        frames_give(t->frames, 0, *at);
        return false;
    }
    t->used[number] = 0;
    t->bytes += bytes;
    t->most = t->bytes > t->most ? t->bytes : t->most;
    return true;
}

/* A script may have edited entries, and lead anywhere: what that reaches is not given back. */
static bool is_astray(const struct tables *t, gpa_t table)
{
    return table >> t->format.shift[1] >= t->room;
}

static void give_table(struct tables *t, unsigned level, gpa_t at)
{
    if (is_astray(t, at))
        return;
    t->bytes -= table_bytes(t, level);
    frames_give(t->frames, 0, at);
}

static uint16_t *used(struct tables *t, gpa_t table)
{
    return is_astray(t, table) ? &t->astray : &t->used[table >> t->format.shift[1]];
}

bool tables_new_root(struct tables *t, gpa_t *root)
{
    if (!take_table(t, t->format.levels, root))
        return false;
    t->spaces++;
    t->most_spaces = t->spaces > t->most_spaces ? t->spaces : t->most_spaces;
    return true;
}

bool tables_find(const struct tables *t, const struct port *port, gpa_t root, gva_t gva,
                 struct leaf *leaf)
{
    const struct format *f = &t->format;
    gpa_t table = root;
    for (unsigned level = f->levels;; level--) {
        gpa_t at = table + format_offset(f, level, gva);
        uint64_t entry = load(t, port, at);
        if (!format_present(f, entry))
            return false;
        if (format_is_leaf(f, level, entry)) {
            *leaf = (struct leaf){gva & ~low_bits(f->shift[level]), level, at, entry};
            return true;
        }
        table = format_address(f, level, false, entry);
    }
}

/* In one table of @p level and below, from *from on; moves *from past what is not there. */
static bool next_in(const struct tables *t, const struct port *port, gpa_t table, unsigned level,
                    gva_t *from, gva_t last, struct leaf *leaf)
{
    const struct format *f = &t->format;
    uint64_t index_mask = low_bits(f->index_bits[level]);
    for (;;) {
        gpa_t at = table + format_offset(f, level, *from);
        uint64_t entry = load(t, port, at);
        if (format_present(f, entry)) {
            *leaf = (struct leaf){*from & ~low_bits(f->shift[level]), level, at, entry};
            if (format_is_leaf(f, level, entry))
                return true;
            if (next_in(t, port, format_address(f, level, false, entry), level - 1, from, last,
                        leaf))
                return true;
        } else {
            *from = (*from | low_bits(f->shift[level])) + 1;
        }
        if (*from > last || !*from || !(*from >> f->shift[level] & index_mask))
            return false;
    }
}

bool tables_next(const struct tables *t, const struct port *port, gpa_t root, gva_t from,
                 gva_t last, struct leaf *leaf)
{
    return from <= last && next_in(t, port, root, t->format.levels, &from, last, leaf);
}

unsigned tables_room(const struct tables *t, const struct port *port, gpa_t root, gva_t gva)
{
    const struct format *f = &t->format;
    gpa_t table = root;
    for (unsigned level = f->levels; level > 1; level--) {
        uint64_t entry = load(t, port, table + format_offset(f, level, gva));
        if (!format_present(f, entry) || format_is_leaf(f, level, entry))
            return level;
        table = format_address(f, level, false, entry);
    }
    return 1;
}

bool tables_map(struct tables *t, const struct port *port, gpa_t root, gva_t gva, unsigned level,
                gpa_t to, uint32_t rights, bool *top)
{
    const struct format *f = &t->format;
    gpa_t table = root;
    *top = false;
    for (unsigned l = f->levels; l > level; l--) {
        gpa_t at = table + format_offset(f, l, gva);
        uint64_t entry = load(t, port, at);
        if (!format_present(f, entry)) {
            gpa_t below;
            if (!take_table(t, l - 1, &below))
                return false;
            entry = format_entry(f, l, false, below, MAY_ALL);
            store(t, port, at, entry, l);
            ++*used(t, table);
            *top |= l > (unsigned)f->levels - f->registers;
        }
        table = format_address(f, l, false, entry);
    }
    store(t, port, table + format_offset(f, level, gva), format_entry(f, level, true, to, rights),
          level);
    ++*used(t, table);
    return true;
}

bool tables_clear(struct tables *t, const struct port *port, gpa_t root, const struct leaf *leaf,
                  bool prune)
{
    const struct format *f = &t->format;
    gpa_t path[LEVELS_MAX + 1];
    path[f->levels] = root;
    for (unsigned l = f->levels; l > leaf->level; l--)
        path[l - 1] =
            format_address(f, l, false, load(t, port, path[l] + format_offset(f, l, leaf->gva)));
    for (unsigned l = leaf->level; l <= f->levels; l++) {
        store(t, port, path[l] + format_offset(f, l, leaf->gva), 0, l);
        if (--*used(t, path[l]) || !prune || l == f->levels)
            return l > (unsigned)f->levels - f->registers;
        give_table(t, l, path[l]);
    }
    return false;
}

static void free_below(struct tables *t, const struct port *port, gpa_t table, unsigned level)
{
    const struct format *f = &t->format;
    for (uint64_t offset = 0; level > 1 && offset < format_table_bytes(f, level);
         offset += f->entry_bytes) {
        uint64_t entry = load(t, port, table + offset);
        if (!format_present(f, entry))
            continue;
        free_below(t, port, format_address(f, level, false, entry), level - 1);
        store(t, port, table + offset, 0, level);
    }
    give_table(t, level, table);
}

void tables_free(struct tables *t, const struct port *port, gpa_t root)
{
    free_below(t, port, root, t->format.levels);
    t->spaces--;
}
