#include "sim/scenario/value.h"

#include <assert.h>
#include <string.h>

#include "core/access.h"

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at && c != '_' ? (int)(at - digits) : -1;
}

/* Reads digits with underscores between them; returns what follows, or NULL: none, or too many. */
static const char *parse_digits(const char *text, uint64_t *value)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] | 0x20) == 'x') {
        base = 16;
        text += 2;
    }
    const char *start = text;
    *value = 0;
    for (; *text; text++) {
        if (*text == '_' && text > start && digit_of(text[1]) >= 0)
            continue;
        int digit = digit_of(*text);
        if (digit < 0 || (unsigned)digit >= base)
            break;
        if (__builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, (unsigned)digit, value))
            return NULL;
    }
    return text > start ? text : NULL;
}

bool value_parse_u64(const char *text, uint64_t *value)
{
    const char *rest = parse_digits(text, value);
    return rest && !*rest;
}

/* A unit and how often it goes into what is counted. */
struct unit {
    const char *name;
    uint64_t times;
};

static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *value)
{
    const char *rest = parse_digits(text, value);
    while (rest && *rest == ' ')
        rest++;
    for (; rest && units->name; units++)
        if (!strcmp(rest, units->name))
            return !__builtin_mul_overflow(*value, units->times, value);
    return false;
}

static const struct unit size_units[] = {{"", 1},
                                         {"B", 1},
                                         {"KiB", 1 << 10},
                                         {"K", 1 << 10},
                                         {"MiB", 1 << 20},
                                         {"M", 1 << 20},
                                         {"GiB", 1 << 30},
                                         {"G", 1 << 30},
                                         {"TiB", UINT64_C(1) << 40},
                                         {"T", UINT64_C(1) << 40},
                                         {NULL, 0}};
static const struct unit time_units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {NULL, 0}};

static bool parse_rights(const char *text, uint64_t *rights)
{
    static const char letters[] = "rwxu"; /* by bit of enum rights */
    *rights = 0;
    for (; *text; text++) {
        const char *letter = strchr(letters, *text);
        uint64_t bit = letter ? (uint64_t)1 << (letter - letters) : 0;
        if (!bit || (*rights & bit))
            return false;
        *rights |= bit;
    }
    return true;
}
_Static_assert(RIGHT_READ == 1 && RIGHT_WRITE == 2 && RIGHT_EXEC == 4 && RIGHT_USER == 8, "rwxu");

static bool whole(const cJSON *item, uint64_t *value)
{
    double number = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(number >= 0 && number <= NUMBER_MAX))
        return false;
    *value = (uint64_t)number;
    return (double)*value == number;
}

bool value_number(const struct key *key, const cJSON *item, uint64_t *value)
{
    const char *text = cJSON_IsString(item) ? item->valuestring : NULL;
    switch (key->type) {
    case TYPE_ADDRESS:
        return text && value_parse_u64(text, value);
    case TYPE_U64:
        return text ? value_parse_u64(text, value) : whole(item, value);
    case TYPE_SIZE:
        return text ? parse_with_unit(text, size_units, value) : whole(item, value);
    case TYPE_COUNT:
    case TYPE_NAME:
        return whole(item, value);
    case TYPE_POWER:
        return whole(item, value) && *value && !(*value & (*value - 1));
    case TYPE_MOMENT:
        return text ? parse_with_unit(text, time_units, value) : whole(item, value);
    case TYPE_RIGHTS:
        return text && parse_rights(text, value);
    case TYPE_BOOL:
        *value = cJSON_IsTrue(item);
        return cJSON_IsBool(item);
    case TYPE_WORD:
        *value = (uint64_t)(text ? spec_word(key->words, text) : -1);
        return text && *value != UINT64_MAX;
    default:
        return false;
    }
}

size_t value_bytes(const char *text, uint8_t *out)
{
    size_t n = 0;
    int high = -1;
    for (; *text; text++) {
        int digit = digit_of(*text);
        if (high < 0 && (*text == ' ' || *text == '_'))
            continue;
        if (digit < 0)
            return SIZE_MAX;
        if (high >= 0 && out)
            out[n] = (uint8_t)(high * 16 + digit);
        n += high >= 0;
        high = high >= 0 ? -1 : digit;
    }
    return high < 0 ? n : SIZE_MAX;
}

static const struct {
    const char *noun, *form;
} types[TYPES] = {
    [TYPE_NONE] = {"object", "put its members in { }"},
    [TYPE_ADDRESS] = {"address", "write a string such as \"0x7ffe_dead_b000\""},
    [TYPE_U64] = {"64-bit number", "write a string such as \"0x2067\", or a whole number"},
    [TYPE_SIZE] = {"size", "write a number of bytes, or a string such as \"64MiB\" (B, KiB, MiB, "
                           "GiB, TiB)"},
    [TYPE_COUNT] = {"count", "write a whole number, not negative, without quotes"},
    [TYPE_POWER] = {"power of two", "write 1, 2, 4, 8, ..."},
    [TYPE_REAL] = {"number", "write it without quotes"},
    [TYPE_SHARE] = {"share", "write a number from 0 to 1"},
    [TYPE_BOOL] = {"truth value", "write true or false, without quotes"},
    [TYPE_WORD] = {"word", "write one of the words in quotes"},
    [TYPE_TEXT] = {"text", "write it in double quotes"},
    [TYPE_RIGHTS] = {"set of rights", "write letters of \"rwxu\", each at most once"},
    [TYPE_BYTES] = {"string of bytes", "write two hexadecimal digits per byte, such as \"7f84\""},
    [TYPE_NAME] = {"name", "write a name in double quotes, or its number from 0"},
    [TYPE_MOMENT] = {"moment", "write an access's number, or a time such as \"10ms\" (s, ms, us)"},
    [TYPE_PROFILE] = {"profile", "write a profile's name, or a path that ends in .json"},
};

const char *value_noun(enum type type)
{
    return types[type].noun;
}

const char *value_form(enum type type)
{
    return types[type].form;
}

cJSON *member(const cJSON *object, const char *name)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!item || cJSON_IsInvalid(item))
        return NULL;
    cJSON *value = cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "value") : NULL;
    return !value ? item : cJSON_IsInvalid(value) ? NULL : value;
}

/* A default, as the item that its JSON stands for; its text is in @p buffer. */
static cJSON default_item(const struct key *key, char buffer[32])
{
    cJSON item = {.type = cJSON_Number};
    const char *json = key->fallback;
    if (*json == '"') {
        size_t n = strlen(json) - 2;
        assert(n < 32);
        memcpy(buffer, json + 1, n);
        buffer[n] = 0;
        item.type = cJSON_String;
        item.valuestring = buffer;
    } else if (*json == 't' || *json == 'f') {
        item.type = *json == 't' ? cJSON_True : cJSON_False;
    } else {
        double scale = 1; /* digits and at most one point: all that the table holds */
        for (bool point = false; *json; json++) {
            if (*json == '.') {
                point = true;
                continue;
            }
            item.valuedouble = item.valuedouble * 10 + (*json - '0');
            scale *= point ? 10 : 1;
        }
        item.valuedouble /= scale;
    }
    return item;
}

uint64_t read_number(const struct schema *schema, const cJSON *object, const char *name)
{
    const struct key *key = spec_key(schema, name);
    assert(key);
    uint64_t value = 0;
    char buffer[32];
    cJSON standard;
    const cJSON *item = member(object, name);
    if (!item && key->fallback) {
        standard = default_item(key, buffer);
        item = &standard;
    }
    return item && value_number(key, item, &value) ? value : 0;
}

double read_real(const struct schema *schema, const cJSON *object, const char *name)
{
    const struct key *key = spec_key(schema, name);
    char buffer[32];
    const cJSON *item = member(object, name);
    if (item)
        return item->valuedouble;
    return key->fallback ? default_item(key, buffer).valuedouble : 0;
}

const char *read_text(const struct schema *schema, const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    assert(spec_key(schema, name) && !spec_key(schema, name)->fallback);
    return item && cJSON_IsString(item) ? item->valuestring : NULL;
}
