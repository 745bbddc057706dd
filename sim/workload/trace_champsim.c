/**
 * @file
 * ChampSim: one record of 64 bytes per instruction, little-endian: u64 ip; u8 is_branch,
 * branch_taken; u8 written registers[2], read registers[4]; u64 stored to[2], loaded from[4]. A
 * slot that is 0 is unused.
 *
 * Simplified: a fetch is 1 byte, loads and stores are 8 bytes or what is left of their page; an
 * instruction fetches, then loads, then stores. Source: ChampSim, inc/trace_instruction.h.
 */
#include "sim/workload/trace_reader.h"

#include <string.h>

enum {
    RECORD_BYTES = 64,
    IS_BRANCH_AT = 8,
    BRANCH_TAKEN_AT = 9,
    STORES_AT = 16,
    STORES = 2,
    LOADS_AT = 32,
    LOADS = 4,
    CANONICAL_BITS = 57,
};

static uint64_t word_at(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--)
        word = word << 8 | b[i];
    return word;
}

static void emit_slots(struct trace *t, enum op op, const char *p, int slots)
{
    for (int i = 0; i < slots; i++) {
        uint64_t gva = word_at(p + 8 * i);
        if (gva)
            emit_unsized(t, op, gva, UNKNOWN_DATA_BYTES);
    }
}

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    (void)end;
    if ((uint8_t)p[IS_BRANCH_AT] > 1 || (uint8_t)p[BRANCH_TAKEN_AT] > 1)
        return bad(t, "a branch flag is neither 0 nor 1");
    if (word_at(p) == 0)
        return bad(t, "the instruction pointer is 0");
    emit(t, OP_EXEC, word_at(p), 1);
    emit_slots(t, OP_READ, p + LOADS_AT, LOADS);
    emit_slots(t, OP_WRITE, p + STORES_AT, STORES);
    return PARSE_TAKEN;
}

static bool is_canonical(uint64_t gva)
{
    uint64_t top = gva >> (CANONICAL_BITS - 1);
    return top == 0 || top == UINT64_MAX >> (CANONICAL_BITS - 1);
}

static bool plausible(const char *p)
{
    if ((uint8_t)p[IS_BRANCH_AT] > 1 || (uint8_t)p[BRANCH_TAKEN_AT] > 1 || word_at(p) == 0)
        return false;
    bool canonical = is_canonical(word_at(p));
    for (int at = STORES_AT; at < RECORD_BYTES; at += 8)
        canonical &= is_canonical(word_at(p + at));
    return canonical;
}

/** There is no magic number. Text never passes: its bytes make no branch flag. */
static bool looks(const struct trace *t, const unsigned char *p, size_t n, bool whole)
{
    uint64_t length = stream_length(t->stream);
    if (n < RECORD_BYTES || (whole && n % RECORD_BYTES) ||
        (length != UINT64_MAX && length % RECORD_BYTES))
        return false;
    for (size_t at = 0; at + RECORD_BYTES <= n; at += RECORD_BYTES)
        if (!plausible((const char *)p + at))
            return false;
    return true;
}

const struct format FORMAT_CHAMPSIM = {
    .name = "champsim",
    .right = "records are 64 bytes, from ChampSim's tracer",
    .unit_bytes = RECORD_BYTES,
    .parse = parse,
    .looks = looks,
};
