/**
 * @file
 * DynamoRIO drmemtrace, the text of its view tool:
 * "RECORD INSTRUCTION: W0.T3256418 ifetch 3 byte(s) @ 0x00007fc205a61940 48 89 e7 mov ...".
 *
 * Not modelled: prefetches and flushes, which are counted; instructions that were not fetched (a
 * rep prefix's later turns) and markers, which are not. Source: DynamoRIO,
 * drcachesim/tools/view.cpp.
 */
#include "sim/workload/trace_reader.h"

enum { SKIPPED = OP_COUNT, REPEATED };

struct kind {
    const char *name; /* what it begins with */
    uint8_t op;
};

static const struct kind KINDS[] = {
    {"ifetch", OP_EXEC}, {"read", OP_READ},   {"write", OP_WRITE}, {"non-fetched", REPEATED},
    {"pref", SKIPPED},   {"iflush", SKIPPED}, {"dflush", SKIPPED},
};

/** "W0.T3256418", "T3256418" or "3256418". */
static bool take_thread(const char **p, uint64_t *workload, uint64_t *tid)
{
    *workload = 0;
    if (**p == 'W') {
        ++*p;
        if (!take_decimal(p, workload) || *(*p)++ != '.')
            return false;
    }
    *p += **p == 'T';
    return take_decimal(p, tid);
}

static const struct kind *take_kind(const char **p, const char *end)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (!take_word(p, end, KINDS[i].name))
            continue;
        while (!at_blank(*p, end))
            ++*p; /* pref-r-L1-NT */
        *p = skip_blanks(*p);
        return &KINDS[i];
    }
    return NULL;
}

static enum parse parse_access(struct trace *t, const struct kind *kind, const char *p,
                               const char *end)
{
    uint64_t size, gva;
    if (!take_decimal(&p, &size) || !take_word(&p, end, " byte(s) @ "))
        return bad(t, "no size in bytes");
    if (!take_0x_hex(&p, &gva) || !at_blank(p, end))
        return bad(t, "no address with 0x");
    t->report.unmodelled += kind->op == SKIPPED;
    if (kind->op < OP_COUNT)
        emit(t, (enum op)kind->op, gva, size);
    return PARSE_TAKEN;
}

/** Two hexadecimal digits at a time: bytes of an instruction that its own line had no room for. */
static bool is_bytes(const char *p, const char *end)
{
    for (p = skip_blanks(p); p < end; p = skip_blanks(p)) {
        if (!HEX_DIGIT[(uint8_t)p[0]] || !HEX_DIGIT[(uint8_t)p[1]] || !at_blank(p + 2, end))
            return false;
        p += 2;
    }
    return true;
}

/** What the tool prints around the records. */
static enum parse parse_frame(struct trace *t, const char *p, const char *end)
{
    static const char *const FRAMES[] = {"Output format:", "<", "View tool results:"};
    const char *q = p;
    for (size_t i = 0; i < sizeof FRAMES / sizeof *FRAMES; i++)
        if (take_word(&q, end, FRAMES[i]))
            return PARSE_TAKEN;
    while (*q == '-')
        q++;
    uint64_t total;
    if ((q > p && at_end(q, end)) || (q == p && is_bytes(p, end)))
        return PARSE_NOISE;
    if (take_decimal(&q, &total)) {
        q = skip_blanks(q);
        if (take_word(&q, end, ": total"))
            return PARSE_NOISE;
    }
    return bad(t, "no record number, instruction number and thread");
}

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    uint64_t number, workload, tid;
    const char *line = p = skip_blanks(p);
    if (p == end)
        return PARSE_NOISE;
    bool prefixed = take_decimal(&p, &number) && at_blank(p, end);
    p = skip_blanks(p);
    if (!prefixed || !take_decimal(&p, &number) || *p++ != ':')
        return parse_frame(t, line, end);
    p = skip_blanks(p);
    if (!take_thread(&p, &workload, &tid) || !at_blank(p, end))
        return bad(t, "no thread");
    if (!trace_context(t, workload, tid))
        return PARSE_BAD;
    p = skip_blanks(p);
    if (*p == '<' || is_bytes(p, end))
        return PARSE_TAKEN;
    const struct kind *kind = take_kind(&p, end);
    return kind ? parse_access(t, kind, p, end) : bad(t, "an unknown kind of record");
}

const struct format FORMAT_DRMEMTRACE = {
    .name = "drmemtrace",
    .right = "a line is like \"1 1: W0.T3256418 read 8 byte(s) @ 0x00007ffc\"",
    .parse = parse,
};
