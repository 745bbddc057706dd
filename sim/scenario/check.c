#include "sim/scenario/check.h"

#include <string.h>

#include "sim/scenario/value.h"

enum { GUESS_MAX = 40 };

/* Case, and which of '-' and '_' it is, are no difference. */
static char fold(char c)
{
    return c == '_' ? '-' : (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn one word into another. */
static unsigned edits(const char *a, const char *b)
{
    unsigned rows[3][GUESS_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > GUESS_MAX || m > GUESS_MAX)
        return GUESS_MAX;
    for (unsigned j = 0; j <= m; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            char x = fold(a[i - 1]), y = fold(b[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b[j - 2]) && y == fold(a[i - 2]))
                row[j] = least(row[j], twice[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

void guess_try(struct guess *g, const char *candidate)
{
    if (!g->text)
        return;
    size_t length = strlen(candidate);
    unsigned distance = edits(g->text, candidate);
    unsigned most = length < 3 ? 1 : (unsigned)(length + 2) / 3;
    if (distance > most || (g->best && distance >= g->distance) || distance >= length)
        return;
    g->best = candidate;
    g->distance = distance;
}

/* A value as a message shows it. */
static struct quote shown(const cJSON *item)
{
    struct quote q;
    if (cJSON_IsString(item))
        return quote(item->valuestring);
    if (cJSON_IsNumber(item))
        snprintf(q.text, sizeof q.text, "%.17g", item->valuedouble);
    else
        snprintf(q.text, sizeof q.text, "%s",
                 cJSON_IsObject(item)  ? "an object"
                 : cJSON_IsArray(item) ? "a list"
                 : cJSON_IsTrue(item)  ? "true"
                 : cJSON_IsNull(item)  ? "null"
                                       : "false");
    return q;
}

/* Words with commas between them, as many as fit. */
struct enumeration {
    char text[400];
};

static void enumerate(struct enumeration *e, const char *word)
{
    size_t n = strlen(e->text);
    snprintf(e->text + n, sizeof e->text - n, "%s%s", n ? ", " : "", word);
}

static void complain_unknown_key(struct document *d, cJSON *item, const struct schema *schema)
{
    struct guess guess = {.text = diagnostics_full(d->diagnostics) ? NULL : item->string};
    struct enumeration known = {""};
    for (unsigned i = 0; i < schema->n_keys; i++) {
        guess_try(&guess, schema->keys[i].name);
        enumerate(&known, schema->keys[i].name);
    }
    if (guess.best)
        complain_key(d, item, "unknown key %s" HINT "did you mean \"%s\"?",
                     quote(item->string).text, guess.best);
    else
        complain_key(d, item, "unknown key %s" HINT "known here: %s", quote(item->string).text,
                     known.text);
}

static void complain_unknown_word(struct document *d, cJSON *item, const struct key *key)
{
    struct guess guess = {.text = diagnostics_full(d->diagnostics) ? NULL : item->valuestring};
    const char *noun = key->noun ? key->noun : key->name;
    struct enumeration known = {""};
    for (const char *const *word = spec_words(key); *word; word++) {
        guess_try(&guess, *word);
        enumerate(&known, *word);
    }
    if (guess.best)
        complain(d, item, "unknown %s %s" HINT "did you mean \"%s\"? known: %s", noun,
                 quote(item->valuestring).text, guess.best, known.text);
    else
        complain(d, item, "unknown %s %s" HINT "known: %s", noun, quote(item->valuestring).text,
                 known.text);
}

static const char *article(const char *noun)
{
    return strchr("aeiou", *noun) ? "an" : "a";
}

/* It is of a wrong type, or written in a way that its type doesn't know. */
static void complain_type(struct document *d, cJSON *item, const struct key *key)
{
    const char *noun = value_noun(key->type);
    const char *also = key->child && key->type != TYPE_NONE ? " or an object" : "";
    complain(d, item, "%s is not %s %s%s" HINT "%s", shown(item).text, article(noun), noun, also,
             value_form(key->type));
}

static void check_bounds(struct document *d, cJSON *item, const struct key *key, double value)
{
    if (key->most == 0 || (value >= key->least && value <= key->most))
        return;
    if (key->least == key->most) {
        complain(d, item, "%s %s is unknown" HINT "only %.17g is known", key->name,
                 shown(item).text, key->least);
        return;
    }
    bool big = key->type == TYPE_SIZE && key->most >= 4096;
    double unit = !big ? 1 : key->most >= 1099511627776.0 ? 1099511627776.0 : 1024;
    const char *name = !big ? "" : unit > 1024 ? "TiB" : "KiB";
    complain(d, item, "%s is out of range" HINT "from %.17g to %.17g%s%s", shown(item).text,
             key->least, key->most / unit, name, key->type == TYPE_TEXT ? " bytes long" : "");
}

static void check_text(struct document *d, cJSON *item, const struct key *key)
{
    size_t length = cJSON_IsString(item) ? strlen(item->valuestring) : 0;
    if (!cJSON_IsString(item))
        complain_type(d, item, key);
    else if (key->type == TYPE_BYTES && value_bytes(item->valuestring, NULL) == SIZE_MAX)
        complain_type(d, item, key);
    else if (key->type == TYPE_TEXT && key->least > 0 && !length)
        complain(d, item, "an empty text" HINT "write something, or leave \"%s\" out", key->name);
    else if (key->type == TYPE_TEXT && key->most > 0 && (double)length > key->most)
        complain(d, item, "a text of %zu bytes" HINT "at most %.0f", length, key->most);
    else if (key->type == TYPE_PROFILE && spec_word(profile_names(), item->valuestring) < 0 &&
             (length < 6 || strcmp(item->valuestring + length - 5, ".json")))
        complain_unknown_word(d, item, key);
}

static void check_scalar(struct document *d, cJSON *item, const struct key *key)
{
    uint64_t value;
    switch (key->type) {
    case TYPE_TEXT:
    case TYPE_BYTES:
    case TYPE_PROFILE:
        check_text(d, item, key);
        break;
    case TYPE_REAL:
        if (!cJSON_IsNumber(item))
            complain_type(d, item, key);
        else
            check_bounds(d, item, key, item->valuedouble);
        break;
    case TYPE_SHARE:
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 1))
            complain_type(d, item, key);
        break;
    case TYPE_WORD:
        if (cJSON_IsString(item) && spec_word(key->words, item->valuestring) < 0)
            complain_unknown_word(d, item, key);
        else if (!cJSON_IsString(item))
            complain_type(d, item, key);
        break;
    default:
        if (key->type == TYPE_NAME && cJSON_IsString(item))
            break;
        if (!value_number(key, item, &value))
            complain_type(d, item, key);
        else
            check_bounds(d, item, key, (double)value);
    }
}

static void check_sourced(struct document *d, cJSON *item, const struct key *key)
{
    cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
    if (value && !cJSON_IsInvalid(value))
        check_scalar(d, value, key);
    check(d, item, &sourced_schema);
}

static void check_value(struct document *d, cJSON *item, const struct key *key)
{
    if (cJSON_IsInvalid(item))
        return;
    if (cJSON_IsObject(item) && key->child)
        check(d, item, key->child);
    else if (cJSON_IsObject(item) && key->sourced)
        check_sourced(d, item, key);
    else if (key->type == TYPE_NONE)
        complain_type(d, item, key);
    else
        check_scalar(d, item, key);
}

static void check_list(struct document *d, cJSON *item, const struct key *key)
{
    if (!cJSON_IsArray(item)) {
        complain(d, item, "%s is not a list" HINT "put it in [ ]", shown(item).text);
        return;
    }
    unsigned count = (unsigned)cJSON_GetArraySize(item);
    if (count < key->items_least || (key->items_most && count > key->items_most)) {
        char most[24] = "";
        if (key->items_most)
            snprintf(most, sizeof most, ", at most %u", key->items_most);
        complain(d, item, "a list of %u" HINT "at least %u%s", count, key->items_least, most);
        return;
    }
    for (cJSON *element = item->child; element; element = element->next)
        check_value(d, element, key);
}

/* The number of the selector's word; -1 if the schema has none, or the object no good one. */
static int selected(const cJSON *item, const struct schema *schema)
{
    const cJSON *by = schema->selector ? member(item, schema->selector) : NULL;
    if (!by || !cJSON_IsString(by))
        return -1;
    return spec_word(spec_key(schema, schema->selector)->words, by->valuestring);
}

/* The words of the selector under which a key is taken. */
static struct enumeration takers(const struct schema *schema, const struct key *key)
{
    struct enumeration e = {""};
    const char *const *words = spec_key(schema, schema->selector)->words;
    for (unsigned i = 0; words[i]; i++)
        if (key->taken_by >> i & 1)
            enumerate(&e, words[i]);
    return e;
}

static void check_member(struct document *d, cJSON *item, const struct schema *schema, int word)
{
    const struct key *key = spec_key(schema, item->string);
    if (item->string[0] == '$' || !strncmp(item->string, "x-", 2) || cJSON_IsInvalid(item))
        return;
    if (!key)
        complain_unknown_key(d, item, schema);
    else if (word >= 0 && key->taken_by && !(key->taken_by >> word & 1))
        complain_key(d, item, "\"%s\" has no \"%s\"" HINT "it goes with %s",
                     spec_key(schema, schema->selector)->words[word], key->name,
                     takers(schema, key).text);
    else if (key->list)
        check_list(d, item, key);
    else if (key->type != TYPE_NONE || key->child)
        check_value(d, item, key);
}

void check(struct document *d, cJSON *item, const struct schema *schema)
{
    if (!cJSON_IsObject(item)) {
        complain_type(d, item, &(struct key){.type = TYPE_NONE});
        return;
    }
    int word = selected(item, schema);
    for (unsigned i = 0; i < schema->n_keys; i++) {
        const struct key *key = &schema->keys[i];
        bool needed = key->required || (word >= 0 && (key->needed_by >> word & 1));
        if (!needed || cJSON_GetObjectItemCaseSensitive(item, key->name))
            continue;
        if (key->required)
            remark(d, item, "missing \"%s\"" HINT "add \"%s\": %s", key->name, key->name,
                   key->example);
        else
            remark(d, item, "\"%s\" without \"%s\"" HINT "add \"%s\": %s",
                   spec_key(schema, schema->selector)->words[word], key->name, key->name,
                   key->example ? key->example : "8");
    }
    for (cJSON *child = item->child; child; child = child->next)
        check_member(d, child, schema, word);
}
