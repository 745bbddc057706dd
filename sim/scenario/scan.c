/*
 * The scanner: strict JSON (RFC 8259) with // and block comments. It stops at the first thing that
 * is no JSON, and says what was expected there; what is JSON, but would be misread, it reports and
 * goes on.
 */
#include "sim/scenario/json.h"

#include <string.h>

struct scanner {
    struct document *document;
    struct diagnostics *diagnostics;
    const char *bytes;
    char *blank;
    size_t at, length;
    uint32_t text;
    uint32_t inside; /* the place whose pointer a complaint cites */
    unsigned depth;
    bool spoiled; /* the value just scanned is JSON, but refused */
};

static bool scan_value(struct scanner *, struct place step);

static void say(struct scanner *s, size_t offset, size_t length, const char *format, va_list args)
{
    struct place where = {.text = s->text, .offset = (uint32_t)offset, .length = (uint32_t)length};
    document_say(s->document, &where, s->inside, s->diagnostics, format, args);
}

/* No JSON: the scan ends here. */
__attribute__((format(printf, 4, 5))) static bool fail(struct scanner *s, size_t offset,
                                                       size_t length, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(s, offset, length, format, args);
    va_end(args);
    return false;
}

/* JSON, but not what its writer means. */
__attribute__((format(printf, 4, 5))) static void spoil(struct scanner *s, size_t offset,
                                                        size_t length, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(s, offset, length, format, args);
    va_end(args);
    s->spoiled = true;
}

static int peek(const struct scanner *s)
{
    return s->at < s->length ? (unsigned char)s->bytes[s->at] : -1;
}

static bool next_is(const struct scanner *s, const char *text)
{
    size_t n = strlen(text);
    return s->length - s->at >= n && !memcmp(s->bytes + s->at, text, n);
}

/* Blanks a comment; newlines stay, so that cJSON would count the same lines. */
static bool skip_comment(struct scanner *s)
{
    bool block = s->bytes[s->at + 1] == '*';
    size_t start = s->at;
    s->at += 2;
    while (s->at < s->length && !(block ? next_is(s, "*/") : s->bytes[s->at] == '\n'))
        s->at++;
    if (block && s->at == s->length)
        return fail(s, start, 2, "a comment without an end" HINT "close it with */");
    s->at += block ? 2 : 0;
    for (size_t i = start; i < s->at; i++)
        if (s->bytes[i] != '\n')
            s->blank[i] = ' ';
    return true;
}

static bool skip(struct scanner *s)
{
    for (;;) {
        while (s->at < s->length && strchr(" \t\r\n", s->bytes[s->at]) && s->bytes[s->at])
            s->at++;
        if (!next_is(s, "//") && !next_is(s, "/*"))
            return true;
        if (!skip_comment(s))
            return false;
    }
}

/* Bytes of what stands here, to underline and to quote: a word, or one character. */
static size_t token_length(const struct scanner *s)
{
    size_t n = 0;
    while (s->at + n < s->length) {
        unsigned char c = (unsigned char)s->bytes[s->at + n];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!word && !(c && strchr("_.+-", c)))
            break;
        n++;
    }
    if (n || s->at == s->length)
        return n;
    for (n = 1; s->at + n < s->length && (s->bytes[s->at + n] & 0xc0) == 0x80 && n < 4;)
        n++;
    return n;
}

static struct quote token(const struct scanner *s)
{
    struct quote q = {"the end of the text"};
    size_t length = token_length(s);
    if (length == 1 && strchr("{}[]:,\"'", s->bytes[s->at]))
        snprintf(q.text, sizeof q.text, "'%c'", s->bytes[s->at]);
    else if (length)
        q = quote_bytes(s->bytes + s->at, length);
    return q;
}

/* The value of four hexadecimal digits, or -1. */
static int hex4(const struct scanner *s, size_t at)
{
    int value = 0;
    for (size_t i = at; i < at + 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = i < s->length && s->bytes[i] ? strchr(digits, s->bytes[i]) : NULL;
        if (!digit)
            return -1;
        value = value * 16 + (int)((digit - digits) % 16);
    }
    return value;
}

static bool scan_unicode_escape(struct scanner *s)
{
    size_t start = s->at;
    int code = hex4(s, s->at + 2);
    if (code < 0)
        return fail(s, start, 2, "\\u without four hexadecimal digits" HINT "write \\u0041 for A");
    s->at += 6;
    if (!code)
        spoil(s, start, 6, "\\u0000 in a string" HINT "a text can't hold a zero");
    if (code < 0xd800 || code > 0xdfff)
        return true;
    int low = next_is(s, "\\u") ? hex4(s, s->at + 2) : -1;
    if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return fail(s, start, 6,
                    "half of a surrogate pair" HINT "write the character itself, in UTF-8");
    s->at += 6;
    return true;
}

static bool scan_escape(struct scanner *s)
{
    if (next_is(s, "\\u"))
        return scan_unicode_escape(s);
    char c = s->at + 1 < s->length ? s->bytes[s->at + 1] : 0;
    if (!c || !strchr("\"\\/bfnrt", c))
        return fail(s, s->at, 2,
                    "unknown escape in a string" HINT
                    "known are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u0041");
    s->at += 2;
    return true;
}

/* One character of a string, not its closing quote. */
static bool scan_character(struct scanner *s, size_t start)
{
    int c = peek(s);
    if (c < 0 || c == '\n' || c == '\r')
        return fail(s, start, s->at - start,
                    "a string without an end" HINT "close it with '\"' on the same line");
    if (c == '\\')
        return scan_escape(s);
    if (c < ' ')
        return fail(s, s->at, 1, "control character 0x%02x in a string" HINT "write \\u%04x", c, c);
    unsigned n = utf8_length(s->bytes + s->at, s->length - s->at);
    if (!n)
        return fail(s, s->at, 1,
                    "byte 0x%02x is no UTF-8" HINT "save the file in the encoding UTF-8", c);
    s->at += n;
    return true;
}

static bool scan_string(struct scanner *s)
{
    size_t start = s->at++;
    while (peek(s) != '"')
        if (!scan_character(s, start))
            return false;
    s->at++;
    return true;
}

static size_t digits(const struct scanner *s, size_t at)
{
    size_t n = 0;
    while (at + n < s->length && s->bytes[at + n] >= '0' && s->bytes[at + n] <= '9')
        n++;
    return n;
}

/* The length of a number by the grammar; 0: there is none. Leading zeros pass. */
static size_t number_length(const struct scanner *s)
{
    size_t at = s->at + (peek(s) == '-'), n = digits(s, at);
    if (!n)
        return 0;
    at += n;
    if (at < s->length && s->bytes[at] == '.') {
        n = digits(s, at + 1);
        if (!n)
            return 0;
        at += 1 + n;
    }
    if (at < s->length && (s->bytes[at] == 'e' || s->bytes[at] == 'E')) {
        size_t sign = at + 1 < s->length && (s->bytes[at + 1] == '+' || s->bytes[at + 1] == '-');
        n = digits(s, at + 1 + sign);
        if (!n)
            return 0;
        at += 1 + sign + n;
    }
    return at - s->at;
}

static bool scan_number(struct scanner *s)
{
    enum { LONGEST = 60 }; /* cJSON cuts at 63 */
    size_t length = token_length(s), start = s->at;
    const char *text = s->bytes + start;
    if (number_length(s) != length)
        return fail(s, start, length, "%s is no JSON number" HINT "%s", token(s).text,
                    next_is(s, "+") || next_is(s, ".")
                        ? "a number begins with a digit or '-'"
                        : "addresses and sizes with units are strings: put it in double quotes");
    if (length > LONGEST)
        return fail(s, start, length, "a number of %zu characters" HINT "at most %d are read",
                    length, LONGEST);
    s->at += length;
    size_t first = text[0] == '-';
    if (digits(s, start + first) > 1 && text[first] == '0') {
        size_t zeros = first;
        while (zeros + 1 < length && text[zeros] == '0' && text[zeros + 1] >= '0' &&
               text[zeros + 1] <= '9')
            zeros++;
        spoil(s, start, length, "a number with leading zeros" HINT "write %s%.*s", first ? "-" : "",
              (int)(length - zeros), text + zeros);
    }
    return true;
}

static bool scan_word(struct scanner *s)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t length = token_length(s);
    for (unsigned i = 0; i < 3; i++) {
        if (strlen(words[i]) != length || strncasecmp(words[i], s->bytes + s->at, length))
            continue;
        if (strncmp(words[i], s->bytes + s->at, length))
            return fail(s, s->at, length, "unknown word %s" HINT "write %s", token(s).text,
                        words[i]);
        s->at += length;
        return true;
    }
    return fail(s, s->at, length, "expected a value, found %s" HINT "%s", token(s).text,
                length > 1 || peek(s) == '\''
                    ? "strings stand in double quotes"
                    : "a value is a string, a number, true, false, null, {...} or [...]");
}

/* After a value in a container: true with *more whether a ',' followed. */
static bool scan_separator(struct scanner *s, size_t open, char close, bool *more)
{
    if (!skip(s))
        return false;
    int c = peek(s);
    *more = c == ',';
    if (c != ',' && c != close) {
        unsigned line = text_line(&s->document->texts[s->text], open);
        return fail(s, s->at, token_length(s),
                    "expected ',' or '%c', found %s" HINT "the '%c' of line %u is still open",
                    close, token(s).text, s->bytes[open], line);
    }
    s->at++;
    return !*more || skip(s);
}

static bool scan_key(struct scanner *s, struct place *step)
{
    if (peek(s) == '}')
        return fail(s, s->at, 1, "expected a key, found '}'" HINT "remove the ',' before it");
    if (peek(s) != '"')
        return fail(s, s->at, token_length(s),
                    "expected a key, found %s" HINT "keys stand in double quotes", token(s).text);
    size_t start = s->at + 1;
    if (!scan_string(s))
        return false;
    step->key = s->bytes + start;
    step->key_length = (uint32_t)(s->at - 1 - start);
    if (!skip(s))
        return false;
    if (peek(s) != ':')
        return fail(s, s->at, token_length(s),
                    "expected ':' after the key, found %s" HINT
                    "a member is written \"key\": value",
                    token(s).text);
    s->at++;
    return skip(s);
}

static bool scan_object(struct scanner *s, uint32_t place)
{
    size_t open = s->at++;
    if (!skip(s))
        return false;
    if (peek(s) == '}') {
        s->at++;
        return true;
    }
    for (bool more = true; more;) {
        struct place step = {.parent = place};
        if (!scan_key(s, &step) || !scan_value(s, step))
            return false;
        s->inside = place;
        if (!scan_separator(s, open, '}', &more))
            return false;
    }
    return true;
}

static bool scan_array(struct scanner *s, uint32_t place)
{
    size_t open = s->at++;
    if (!skip(s))
        return false;
    if (peek(s) == ']') {
        s->at++;
        return true;
    }
    struct place step = {.parent = place};
    for (bool more = true; more; step.index++) {
        if (step.index && peek(s) == ']')
            return fail(s, s->at, 1, "expected a value, found ']'" HINT "remove the ',' before it");
        if (!scan_value(s, step))
            return false;
        s->inside = place;
        if (!scan_separator(s, open, ']', &more))
            return false;
    }
    return true;
}

static bool scan_container(struct scanner *s, uint32_t place)
{
    if (s->depth == NEST_MAX)
        return fail(s, s->at, 1, "nested more than %d deep" HINT "no scenario needs that",
                    NEST_MAX);
    s->depth++;
    s->inside = place;
    bool ok = peek(s) == '{' ? scan_object(s, place) : scan_array(s, place);
    s->depth--;
    return ok;
}

static bool scan_value(struct scanner *s, struct place step)
{
    int c = peek(s);
    step.text = s->text;
    step.offset = (uint32_t)s->at;
    step.length = 1;
    step.refused = s->spoiled; /* by its key */
    s->spoiled = false;
    uint32_t place = document_place(s->document, &step);
    if (c == '{' || c == '[')
        return scan_container(s, place);
    s->inside = place;
    bool ok = c == '"'                              ? scan_string(s)
              : c > 0 && strchr("+-.0123456789", c) ? scan_number(s)
                                                    : scan_word(s);
    struct place *p = &s->document->places[place];
    p->length = (uint32_t)(s->at - p->offset);
    p->refused |= s->spoiled;
    s->spoiled = false;
    return ok;
}

bool scan(struct document *document, uint32_t text, const struct place *step, char *blank,
          struct diagnostics *diagnostics)
{
    const struct text *t = &document->texts[text];
    struct scanner s = {.document = document,
                        .diagnostics = diagnostics,
                        .bytes = t->bytes,
                        .blank = blank,
                        .length = t->length,
                        .text = text,
                        .inside = step->parent};
    memcpy(blank, t->bytes, t->length);
    if (next_is(&s, "\xef\xbb\xbf")) { /* a byte order mark */
        memset(blank, ' ', 3);
        s.at = 3;
    }
    if (!skip(&s) || !scan_value(&s, *step) || !skip(&s))
        return false;
    s.inside = step->parent;
    if (s.at < s.length)
        return fail(&s, s.at, token_length(&s),
                    "expected the end of the text, found %s" HINT
                    "is there a bracket too many before it?",
                    token(&s).text);
    return true;
}
