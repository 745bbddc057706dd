/**
 * @file
 * One decimal address per line: the address lists of operating-systems courses. All are reads.
 *
 * Simplified: an access is 8 bytes, or what is left of its page. Source: Silberschatz, Galvin,
 * Gagne, "Operating System Concepts", the virtual memory manager project (addresses.txt).
 */
#include "sim/workload/trace_reader.h"

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    p = skip_blanks(p);
    if (p == end || *p == '#')
        return PARSE_NOISE;
    uint64_t gva;
    if (p[0] == '0' && (p[1] | 0x20) == 'x' ? !take_0x_hex(&p, &gva) : !take_decimal(&p, &gva))
        return bad(t, "no address of 64 bits");
    if (!at_end(p, end))
        return bad(t, "something after the address");
    emit_unsized(t, OP_READ, gva, UNKNOWN_DATA_BYTES);
    return PARSE_TAKEN;
}

const struct format FORMAT_DECIMAL = {
    .name = "decimal",
    .right = "a line is one address, decimal like \"16916\" or hexadecimal like \"0x4214\"",
    .parse = parse,
};
