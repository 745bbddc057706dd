/**
 * @file
 * perf mem report -D -x, : samples of loads and stores, "PID,TID,IP,ADDR,...,WEIGHT,DSRC,SYMBOL".
 * The fields between ADDR and WEIGHT (physical address, page size) are there when they were asked
 * for. The sample's instruction is not an access here.
 *
 * Simplified: an access is 8 bytes, or what is left of its page. Not modelled: prefetches, and
 * samples that are no memory operation, which are counted. Source: Linux, tools/perf/builtin-mem.c
 * and include/uapi/linux/perf_event.h (perf_mem_data_src.mem_op).
 */
#include "sim/workload/trace_reader.h"

#include <string.h>

/** perf_mem_data_src.mem_op, the low bits of DSRC. */
enum mem_op { MEM_LOAD = 2, MEM_STORE = 4, MEM_EXEC = 16 };

/** Takes a comma and blanks. */
static bool take_comma(const char **p)
{
    *p = skip_blanks(*p);
    if (**p != ',')
        return false;
    *p = skip_blanks(*p + 1);
    return true;
}

/** Goes to WEIGHT: the first field that is decimal with a hexadecimal one (DSRC) after it. */
static bool take_source(const char **p, const char *end, uint64_t *source)
{
    while (take_comma(p)) {
        const char *q = *p;
        uint64_t weight;
        if (take_decimal(&q, &weight) && take_comma(&q) && take_0x_hex(&q, source))
            return true;
        const char *comma = memchr(*p, ',', (size_t)(end - *p));
        if (!comma)
            return false;
        *p = comma;
    }
    return false;
}

static void emit_sample(struct trace *t, gva_t gva, uint64_t source)
{
    bool load = source & MEM_LOAD, store = source & MEM_STORE;
    if (load || store)
        emit_unsized(t, !store ? OP_READ : !load ? OP_WRITE : OP_MODIFY, gva, UNKNOWN_DATA_BYTES);
    else if (source & MEM_EXEC)
        emit(t, OP_EXEC, gva, 1);
    else
        t->report.unmodelled++;
}

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    p = skip_blanks(p);
    if (p == end)
        return PARSE_NOISE;
    if (*p == '#')
        return take_word(&p, end, "# PID, TID, IP, ADDR") ? PARSE_TAKEN : PARSE_NOISE;
    uint64_t pid, tid, ip, gva, source;
    if (!take_decimal(&p, &pid) || !take_comma(&p) || !take_decimal(&p, &tid) || !take_comma(&p))
        return bad(t, "no process and thread id with commas (record with perf mem report -D -x,)");
    if (!take_0x_hex(&p, &ip) || !take_comma(&p) || !take_0x_hex(&p, &gva))
        return bad(t, "no instruction and data address with 0x");
    if (!take_source(&p, end, &source))
        return bad(t, "no weight and data source");
    if (!trace_context(t, pid, tid))
        return PARSE_BAD;
    emit_sample(t, gva, source);
    return PARSE_TAKEN;
}

const struct format FORMAT_PERF_MEM = {
    .name = "perf-mem",
    .right = "a line is like \"812,812,0x401136,0x7fff0010,7,0x68100142,/bin/ls:main\"",
    .parse = parse,
};
