#include "sim/hypervisor/frame_types.h"

/* Two words per frame: type, flags and uses as that type; all uses. */
enum { WORDS_BYTES = 16, VALIDATED = 1 << 4, PINNED = 1 << 5, TYPES_SHIFT = 32 };

static uint64_t place_of(hpa_t at)
{
    return (at >> FRAME_SHIFT) * WORDS_BYTES;
}

bool frame_types_init(struct frame_types *t, uint64_t bytes)
{
    return mem_init(&t->words, place_of(bytes + FRAME_BYTES - 1) + WORDS_BYTES);
}

void frame_types_fini(struct frame_types *t)
{
    mem_fini(&t->words);
}

bool frame_types_clone(struct frame_types *clone, const struct frame_types *t)
{
    return mem_clone(&clone->words, &t->words);
}

struct frame_type frame_type_get(const struct frame_types *t, hpa_t at)
{
    uint64_t word = mem_load(&t->words, place_of(at), 8);
    return (struct frame_type){.type = (enum type)(word & low_bits(4)),
                               .validated = word & VALIDATED,
                               .pinned = word & PINNED,
                               .types = (uint32_t)(word >> TYPES_SHIFT),
                               .uses = (uint32_t)mem_load(&t->words, place_of(at) + 8, 8)};
}

static void set(struct frame_types *t, hpa_t at, const struct frame_type *f)
{
    uint64_t word = f->type | (f->validated ? VALIDATED : 0) | (f->pinned ? PINNED : 0) |
                    (uint64_t)f->types << TYPES_SHIFT;
    mem_store(&t->words, place_of(at), word, 8);
    mem_store(&t->words, place_of(at) + 8, f->uses, 8);
}

const char *typing_words(enum typing_rule rule)
{
    static const char *const words[] = {
#define X(name, text) text,
        TYPING_RULES(X)
#undef X
    };
    return rule == RULE_NONE ? NULL : words[rule];
}

/* ---- uses of one frame ---- */

static bool is_own(const struct typing *t, hpa_t at)
{
    if (!mem_holds(t->mem, at, 1))
        return false;
    struct frame_owner owner = host_owner(t->host, at);
    return owner.use == FRAME_GUEST && owner.vm == t->vm;
}

/* A frame that is in use as something else. */
static enum typing_rule conflict(enum type wanted, enum type is)
{
    return wanted == TYPE_WRITABLE ? RULE_WRITABLE_TABLE
           : is == TYPE_WRITABLE   ? RULE_MAPPED_WRITABLE
                                   : RULE_WRONG_LEVEL;
}

static enum typing_rule validate(struct typing *t, hpa_t table, unsigned level);
static void invalidate(struct typing *t, hpa_t table, unsigned level);

static void drop(struct typing *t, hpa_t at, enum type type)
{
    struct frame_type f = frame_type_get(t->types, at);
    if (type && f.types == 1 && f.validated) {
        invalidate(t, at, f.type);
        f = frame_type_get(t->types, at); /* it may have mapped itself */
        f.validated = false;
    }
    f.uses--;
    if (type && !--f.types)
        f.type = TYPE_NONE;
    set(t->types, at, &f);
}

/* One more use, as @p type or, if TYPE_NONE, as anything: checked when it gets a type by that. */
static enum typing_rule take(struct typing *t, hpa_t at, enum type type)
{
    if (!is_own(t, at))
        return RULE_FOREIGN;
    struct frame_type f = frame_type_get(t->types, at);
    if (type && f.type && f.type != type)
        return conflict(type, f.type);
    f.uses++;
    f.types += type != TYPE_NONE;
    f.type = type ? type : f.type;
    set(t->types, at, &f);
    if (type == TYPE_NONE || type == TYPE_WRITABLE || f.types > 1)
        return RULE_NONE;
    enum typing_rule rule = validate(t, at, type);
    if (rule) {
        drop(t, at, type);
        return rule;
    }
    f = frame_type_get(t->types, at);
    f.validated = true;
    set(t->types, at, &f);
    return RULE_NONE;
}

/* ---- uses that one entry makes ---- */

struct reach {
    hpa_t at;
    uint64_t bytes; /* of the page; a table's frame */
    enum type type; /* that its frames must have */
};

static struct reach reach_of(const struct format *f, unsigned level, uint64_t entry)
{
    bool leaf = format_is_leaf(f, level, entry),
         writes = leaf && format_rights(f, true, entry) & MAY_WRITE;
    return (struct reach){.at = format_address(f, level, leaf, entry),
                          .bytes = leaf ? (uint64_t)1 << f->shift[level] : FRAME_BYTES,
                          .type = writes ? TYPE_WRITABLE
                                  : leaf ? TYPE_NONE
                                         : (enum type)(level - 1)};
}

static void drop_frames(struct typing *t, const struct reach *r, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES)
        drop(t, r->at + done, r->type);
}

static void drop_entry(struct typing *t, unsigned level, uint64_t entry)
{
    struct reach r = reach_of(t->format, level, entry);
    if (format_present(t->format, entry))
        drop_frames(t, &r, r.bytes);
}

static enum typing_rule take_entry(struct typing *t, unsigned level, uint64_t entry)
{
    const struct format *f = t->format;
    if (!format_present(f, entry))
        return RULE_NONE;
    if (entry & f->reserved[level][format_is_leaf(f, level, entry)])
        return RULE_RESERVED;
    struct reach r = reach_of(f, level, entry);
    for (uint64_t done = 0; done < r.bytes; done += FRAME_BYTES) {
        enum typing_rule rule = take(t, r.at + done, r.type);
        if (rule) {
            drop_frames(t, &r, done);
            return rule;
        }
    }
    return RULE_NONE;
}

/* ---- uses that a whole table makes ---- */

static enum typing_rule validate(struct typing *t, hpa_t table, unsigned level)
{
    const struct format *f = t->format;
    for (uint64_t at = 0; at < format_table_bytes(f, level); at += f->entry_bytes) {
        uint64_t entry = mem_load(t->mem, table + at, f->entry_bytes);
        enum typing_rule rule = take_entry(t, level, entry);
        t->checked += format_present(f, entry);
        for (; rule && at; at -= f->entry_bytes)
            drop_entry(t, level, mem_load(t->mem, table + at - f->entry_bytes, f->entry_bytes));
        if (rule)
            return rule;
    }
    return RULE_NONE;
}

static void invalidate(struct typing *t, hpa_t table, unsigned level)
{
    const struct format *f = t->format;
    for (uint64_t at = 0; at < format_table_bytes(f, level); at += f->entry_bytes)
        drop_entry(t, level, mem_load(t->mem, table + at, f->entry_bytes));
}

/* ---- what a guest may ask for ---- */

enum typing_rule typing_update(struct typing *t, hpa_t at, uint64_t entry)
{
    const struct format *f = t->format;
    if (!is_own(t, at))
        return RULE_FOREIGN_ENTRY;
    enum type level = frame_type_get(t->types, at).type;
    uint64_t offset = at & (FRAME_BYTES - 1);
    if (level == TYPE_NONE || level == TYPE_WRITABLE)
        return RULE_NOT_A_TABLE;
    if (offset & (f->entry_bytes - 1u) || offset >= format_table_bytes(f, level))
        return RULE_MISPLACED;
    uint64_t old = mem_load(t->mem, at, f->entry_bytes);
    enum typing_rule rule = take_entry(t, level, entry);
    t->checked++;
    if (rule)
        return rule;
    mem_store(t->mem, at, entry, f->entry_bytes);
    drop_entry(t, level, old);
    return RULE_NONE;
}

enum typing_rule typing_take_table(struct typing *t, hpa_t at, unsigned level)
{
    return take(t, at, (enum type)level);
}

void typing_drop_table(struct typing *t, hpa_t at)
{
    drop(t, at, frame_type_get(t->types, at).type);
}

static void set_pinned(struct typing *t, hpa_t at, bool pinned)
{
    struct frame_type f = frame_type_get(t->types, at);
    f.pinned = pinned;
    set(t->types, at, &f);
}

enum typing_rule typing_pin(struct typing *t, hpa_t at, unsigned level)
{
    if (is_own(t, at) && frame_type_get(t->types, at).pinned)
        return RULE_PINNED;
    enum typing_rule rule = take(t, at, (enum type)level);
    if (!rule)
        set_pinned(t, at, true);
    return rule;
}

enum typing_rule typing_unpin(struct typing *t, hpa_t at)
{
    if (!is_own(t, at) || !frame_type_get(t->types, at).pinned)
        return RULE_NOT_PINNED;
    set_pinned(t, at, false);
    typing_drop_table(t, at);
    return RULE_NONE;
}
