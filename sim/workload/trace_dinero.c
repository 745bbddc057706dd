/**
 * @file
 * Dinero IV, extended format: "r|w|i|m|c|v ADDRESS SIZE comment", both numbers hexadecimal.
 *
 * Simplified: m (miscellaneous) is a load and store. Not modelled: c and v (copy back, invalidate),
 * which are counted. Source: Dinero IV, xdinfmt.c.
 */
#include "sim/workload/trace_reader.h"

enum { SKIPPED = OP_COUNT, UNKNOWN };

static uint8_t op_of(char letter)
{
    switch (letter) {
    case 'r':
        return OP_READ;
    case 'w':
        return OP_WRITE;
    case 'i':
        return OP_EXEC;
    case 'm':
        return OP_MODIFY;
    case 'c':
    case 'v':
        return SKIPPED;
    default:
        return UNKNOWN;
    }
}

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    p = skip_blanks(p);
    if (p == end || *p == '#')
        return PARSE_NOISE;
    uint8_t op = op_of(*p++);
    if (op == UNKNOWN || !at_blank(p, end))
        return bad(t, "no access type r, w, i, m, c or v");
    uint64_t gva, size;
    p = skip_blanks(p);
    if (!take_any_hex(&p, &gva) || !at_blank(p, end))
        return bad(t, "no hexadecimal address of 64 bits");
    p = skip_blanks(p);
    if (!take_any_hex(&p, &size) || !at_blank(p, end))
        return bad(t, "no hexadecimal size");
    if (op == SKIPPED)
        t->report.unmodelled++;
    else
        emit(t, (enum op)op, gva, size);
    return PARSE_TAKEN;
}

const struct format FORMAT_DINERO = {
    .name = "dinero",
    .right = "a line is a type, an address and a size in hexadecimal, \"r 7fff0010 8\"",
    .parse = parse,
};
