/**
 * @file
 * Dinero, traditional format: "LABEL ADDRESS comment", the address hexadecimal.
 *
 * Simplified: an access is 4 bytes, as in Dinero, or what is left of its page. Not modelled: labels
 * 3 and 4 (escapes), which are counted. Source: Dinero IV, dinfmt.c.
 */
#include "sim/workload/trace_reader.h"

enum { DIN_BYTES = 4, LABELS = 5, ESCAPE = OP_COUNT };

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    static const uint8_t OPS[LABELS] = {OP_READ, OP_WRITE, OP_EXEC, ESCAPE, ESCAPE};
    p = skip_blanks(p);
    if (p == end || *p == '#')
        return PARSE_NOISE;
    unsigned label = (unsigned)(*p++ - '0');
    if (label >= LABELS || !at_blank(p, end))
        return bad(t, "no label from 0 to 4");
    uint64_t gva;
    p = skip_blanks(p);
    if (!take_any_hex(&p, &gva) || !at_blank(p, end))
        return bad(t, "no hexadecimal address of 64 bits");
    if (OPS[label] == ESCAPE)
        t->report.unmodelled++;
    else
        emit_unsized(t, (enum op)OPS[label], gva, DIN_BYTES);
    return PARSE_TAKEN;
}

const struct format FORMAT_DIN = {
    .name = "din",
    .right =
        "a line is a label (0 read, 1 write, 2 fetch) and a hexadecimal address, \"0 7fff0010\"",
    .parse = parse,
};
