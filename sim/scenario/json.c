#include "sim/scenario/json.h"

#include <stdlib.h>
#include <string.h>

#include "sim/scenario/storage.h"

uint32_t document_place(struct document *d, const struct place *place)
{
    if (d->n_places == d->capacity) {
        d->capacity = d->capacity ? 2 * d->capacity : 256;
        d->places = grow(d->places, d->capacity * sizeof *d->places);
    }
    d->places[d->n_places] = *place;
    return d->n_places++;
}

static uint32_t add_text(struct document *d, const char *name, const char *bytes, size_t length,
                         bool setting)
{
    d->texts = grow(d->texts, (d->n_texts + 1) * sizeof *d->texts);
    text_init(&d->texts[d->n_texts], name, bytes, length, setting);
    return d->n_texts++;
}

/* The JSON pointer of a place; the caller frees it. */
static char *pointer_of(const struct document *d, uint32_t place)
{
    enum { LONGEST = 500 };
    char *pointer = grow(NULL, LONGEST + 8);
    size_t at = LONGEST;
    pointer[at] = 0;
    while (place != PLACE_NONE && d->places[place].parent != PLACE_NONE) {
        const struct place *p = &d->places[place];
        char step[LONGEST];
        size_t n = 0;
        step[n++] = '/';
        if (!p->key)
            n += (size_t)snprintf(step + n, sizeof step - n, "%u", p->index);
        for (uint32_t i = 0; p->key && i < p->key_length && n < sizeof step - 2; i++) {
            char c = p->key[i];
            step[n++] = c == '~' || c == '/' ? '~' : c;
            if (c == '~' || c == '/')
                step[n++] = c == '~' ? '0' : '1';
        }
        if (n > at)
            break; /* what matters most is the end of the path */
        memcpy(pointer + (at -= n), step, n);
        place = p->parent;
    }
    memmove(pointer, pointer + at, LONGEST - at + 1);
    return pointer;
}

void document_say(struct document *d, const struct place *where, uint32_t place,
                  struct diagnostics *out, const char *format, va_list args)
{
    if (diagnostics_full(out))
        return;
    char *pointer = pointer_of(d, place);
    diagnostics_add(out, &d->texts[where->text], where->offset, where->length, pointer, format,
                    args);
    free(pointer);
}

static void say(struct document *d, const cJSON *item, bool key, const char *format, va_list args)
{
    uint32_t place = (uint32_t)item->valueint;
    struct place where = d->places[place];
    const struct text *text = &d->texts[where.text];
    if (key && where.key >= text->bytes && where.key < text->bytes + text->length) {
        where.offset = (uint32_t)(where.key - text->bytes) - 1;
        where.length = where.key_length + 2;
    }
    document_say(d, &where, place, d->diagnostics, format, args);
}

void complain(struct document *d, cJSON *item, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(d, item, false, format, args);
    va_end(args);
    item->type = cJSON_Invalid;
}

void complain_key(struct document *d, cJSON *item, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(d, item, true, format, args);
    va_end(args);
    item->type = cJSON_Invalid;
}

void remark(struct document *d, const cJSON *item, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(d, item, false, format, args);
    va_end(args);
}

struct quote whereabouts(const struct document *d, const cJSON *item)
{
    struct quote q;
    const struct place *p = &d->places[item->valueint];
    const struct text *text = &d->texts[p->text];
    if (text->setting)
        snprintf(q.text, sizeof q.text, "%.60s", text->name);
    else
        snprintf(q.text, sizeof q.text, "line %u", text_line(text, p->offset));
    return q;
}

/* Gives every item the number of its place: the scanner numbered them in the same order. */
static void number_items(struct document *d, cJSON *item, uint32_t *next)
{
    uint32_t place = (*next)++;
    bool number = cJSON_IsNumber(item);
    item->valueint = (int)place;
    for (cJSON *child = item->child; child; child = child->next)
        number_items(d, child, next);
    if (d->places[place].refused)
        item->type = cJSON_Invalid;
    else if (number && !(item->valuedouble >= -NUMBER_MAX && item->valuedouble <= NUMBER_MAX))
        complain(d, item,
                 "beyond 2^53 - 1 a number loses bits" HINT
                 "write it as a string, decimal or \"0x...\"");
}

struct member {
    cJSON *item;
    uint32_t parent;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    int order = strcmp(x->item->string, y->item->string);
    return order ? order : (x->item->valueint > y->item->valueint) * 2 - 1;
}

static void gather_members(cJSON *item, struct member *list, size_t *n)
{
    uint32_t parent = (uint32_t)item->valueint;
    for (cJSON *child = item->child; child; child = child->next) {
        if (child->string)
            list[(*n)++] = (struct member){child, parent};
        gather_members(child, list, n);
    }
}

/* Sorted by object and key, duplicates are neighbours, and the first written comes first. */
static void refuse_duplicates(struct document *d, cJSON *root, size_t n_items)
{
    struct member *list = grow(NULL, n_items * sizeof *list);
    size_t n = 0;
    gather_members(root, list, &n);
    if (n > 1)
        qsort(list, n, sizeof *list, by_key);
    for (size_t i = 1, first = 0; i < n; i++) {
        bool same = list[i].parent == list[first].parent &&
                    !strcmp(list[i].item->string, list[first].item->string);
        if (!same)
            first = i;
        else if (!d->places[list[i].item->valueint].refused)
            complain_key(d, list[i].item, "duplicate key %s, first at %s" HINT "remove one of them",
                         quote(list[i].item->string).text, whereabouts(d, list[first].item).text);
    }
    free(list);
}

/* The tree of text number @p text, or NULL with what is wrong in @p out. */
static cJSON *parse(struct document *d, uint32_t text, const struct place *step,
                    struct diagnostics *out)
{
    uint32_t first = d->n_places;
    const struct text *t = &d->texts[text];
    char *blank = grow(NULL, t->length + 1);
    blank[t->length] = 0;
    cJSON *root = NULL;
    if (scan(d, text, step, blank, out))
        root = cJSON_ParseWithLengthOpts(blank, t->length + 1, NULL, true);
    free(blank);
    if (!root)
        return NULL;
    uint32_t next = first;
    number_items(d, root, &next);
    refuse_duplicates(d, root, d->n_places - first);
    return root;
}

void document_init(struct document *d, const char *name, const char *bytes, size_t length,
                   struct diagnostics *diagnostics)
{
    *d = (struct document){.diagnostics = diagnostics};
    unsigned before = diagnostics->count;
    if (length > FILE_MAX) {
        diagnostics_add_file(diagnostics, name, "the file has more than %d MiB", FILE_MAX >> 20);
        return;
    }
    uint32_t text = add_text(d, name, bytes, length, false);
    d->root = parse(d, text, &(struct place){.parent = PLACE_NONE}, diagnostics);
    if (!d->root && diagnostics->count == before)
        diagnostics_add_file(diagnostics, name, "cJSON can't read it" HINT "report this as a bug");
}

void document_fini(struct document *d)
{
    cJSON_Delete(d->root);
    for (unsigned i = 0; i < d->n_texts; i++)
        text_fini(&d->texts[i]);
    for (unsigned i = 0; i < d->n_keys; i++)
        free(d->keys[i]);
    free(d->keys);
    free(d->texts);
    free(d->places);
}

/* The value of a setting: JSON if it is JSON without a flaw, else the text itself. */
static cJSON *setting_value(struct document *d, uint32_t text, struct place step)
{
    struct diagnostics flaws = {0};
    uint32_t before = d->n_places;
    step.text = text;
    cJSON *value = parse(d, text, &step, &flaws);
    if (flaws.count) {
        cJSON_Delete(value);
        value = NULL;
        d->n_places = before;
    }
    diagnostics_free(&flaws);
    if (value)
        return value;
    step.length = (uint32_t)d->texts[text].length;
    value = cJSON_CreateString(d->texts[text].bytes);
    value->valueint = (int)document_place(d, &step);
    return value;
}

/* A setting on its way down the tree. */
struct descent {
    struct document *document;
    uint32_t text;
    const struct setting *setting;
};

__attribute__((format(printf, 2, 3))) static void refuse_setting(const struct descent *s,
                                                                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diagnostics_add(s->document->diagnostics, &s->document->texts[s->text], 0, 0,
                    s->setting->pointer, format, args);
    va_end(args);
}

static void descend(const struct descent *, cJSON *item, const char *rest);

/* One step of a pointer, unescaped into @p key; returns what follows it. */
static const char *next_step(const char *rest, char *key, size_t size)
{
    size_t n = 0;
    for (rest++; *rest && *rest != '/'; rest++) {
        char c = *rest;
        if (c == '~' && (rest[1] == '0' || rest[1] == '1'))
            c = *++rest == '0' ? '~' : '/';
        if (n + 1 < size)
            key[n++] = c;
    }
    key[n] = 0;
    return rest;
}

static void set_member(const struct descent *s, cJSON *object, const char *key, const char *rest)
{
    struct document *d = s->document;
    cJSON *child = cJSON_GetObjectItemCaseSensitive(object, key);
    char *name = strdup(key);
    struct place step = {.parent = (uint32_t)object->valueint,
                         .text = s->text,
                         .key = name,
                         .key_length = (uint32_t)strlen(key)};
    d->keys = grow(d->keys, (d->n_keys + 1) * sizeof *d->keys);
    d->keys[d->n_keys++] = name;
    if (*rest && child) {
        descend(s, child, rest);
        return;
    }
    cJSON *value = *rest ? cJSON_CreateObject() : setting_value(d, s->text, step);
    if (*rest) {
        value->valueint = (int)document_place(d, &step);
        descend(s, value, rest);
    }
    if (child)
        cJSON_ReplaceItemInObjectCaseSensitive(object, key, value);
    else
        cJSON_AddItemToObject(object, key, value);
}

static void set_element(const struct descent *s, cJSON *array, const char *key, const char *rest)
{
    bool all = !strcmp(key, "*");
    int count = cJSON_GetArraySize(array);
    char *end;
    unsigned long index = strtoul(key, &end, 10);
    if (!all && (*end || key[0] < '0' || key[0] > '9' || index >= (unsigned long)count)) {
        refuse_setting(s, "no element %s there" HINT "the array has %d, numbered from 0",
                       quote(key).text, count);
        return;
    }
    cJSON *next, *child = array->child;
    for (unsigned i = 0; child; i++, child = next) {
        next = child->next;
        if (!all && i != index)
            continue;
        struct place step = {.parent = (uint32_t)array->valueint, .index = i};
        if (*rest)
            descend(s, child, rest);
        else
            cJSON_ReplaceItemViaPointer(array, child, setting_value(s->document, s->text, step));
    }
}

static void descend(const struct descent *s, cJSON *item, const char *rest)
{
    char key[256];
    rest = next_step(rest, key, sizeof key);
    if (cJSON_IsObject(item))
        set_member(s, item, key, rest);
    else if (cJSON_IsArray(item))
        set_element(s, item, key, rest);
    else
        refuse_setting(s, "no %s there" HINT "what holds it is neither an object nor an array",
                       quote(key).text);
}

void document_set(struct document *d, const struct setting *setting)
{
    char name[300];
    unsigned steps = 0;
    for (const char *c = setting->pointer; *c; c++)
        steps += *c == '/';
    snprintf(name, sizeof name, "--set %s", setting->pointer);
    struct descent s = {d, add_text(d, name, setting->value, strlen(setting->value), true),
                        setting};
    if (setting->pointer[0] != '/')
        refuse_setting(&s, "not a JSON pointer" HINT "it begins with '/', as in /vms/0/mode");
    else if (steps > NEST_MAX)
        refuse_setting(&s, "a pointer of %u steps" HINT "at most %d", steps, NEST_MAX);
    else
        descend(&s, d->root, setting->pointer);
}
