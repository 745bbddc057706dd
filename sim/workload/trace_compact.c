/**
 * @file
 * Reads the compact format. Nothing that the file says is trusted before it is checked: sizes
 * against limits, blocks against their checksum, and each read against the block's end.
 */
#include "sim/workload/trace_compact.h"
#include "sim/workload/trace_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

_Static_assert(BLOCK_HEADER_BYTES + BLOCK_PAYLOAD_MAX <= BUFFER_BYTES, "the buffer holds a block");

struct compact {
    struct compact_state state;
    struct block_header block; /* the one at hand; its payload stands at buffer + at */
    const unsigned char *p, *end;
    uint32_t left;   /* records of the block still to decode */
    uint64_t first;  /* number of the first record of the next block */
    uint64_t blocks; /* begun */
    bool started, ended, overrun;
};

static bool corrupt(struct trace *t, const char *what)
{
    struct compact *c = t->state;
    if (t->failure.code)
        return false; /* the stream's own trouble says more */
    return err_set(&t->failure, EXIT_USAGE, "%s: block %" PRIu64 ": %s; convert the trace again",
                   stream_name(t->stream), c->blocks, what);
}

/* ---- blocks ---- */

static bool start(struct trace *t)
{
    struct compact *c = t->state;
    if (c->started)
        return true;
    if (!trace_need(t, COMPACT_HEADER_BYTES) ||
        memcmp(t->buffer + t->at, COMPACT_MAGIC, strlen(COMPACT_MAGIC)) != 0)
        return corrupt(t, "no \"" COMPACT_MAGIC "\" at the start, so this is no compact trace");
    unsigned version = (unsigned)get_le(t->buffer + t->at + 4, 4);
    if (version != COMPACT_VERSION)
        return err_set(&t->failure, EXIT_USAGE,
                       "%s: is of version %u of the compact format; this program reads version %d",
                       stream_name(t->stream), version, COMPACT_VERSION);
    t->at += COMPACT_HEADER_BYTES;
    c->started = true;
    return true;
}

/** Leaves the block at hand and gets the header of the next one, if that makes sense. */
static bool next_header(struct trace *t)
{
    struct compact *c = t->state;
    if (c->ended || !start(t))
        return false;
    t->at += c->block.payload;
    c->block = (struct block_header){0};
    c->left = 0;
    c->blocks++;
    if (!trace_need(t, BLOCK_HEADER_BYTES))
        return corrupt(t, "the file is cut short: there is no end block");
    struct block_header h = get_block_header(t->buffer + t->at);
    if (h.kind < BLOCK_RECORDS_KIND || h.kind > BLOCK_END)
        return corrupt(t, "damaged: unknown kind of block");
    if (h.records > BLOCK_RECORDS || h.payload > BLOCK_PAYLOAD_MAX)
        return corrupt(t, "damaged: larger than a block may be");
    if (h.first != c->first || (h.kind != BLOCK_RECORDS_KIND && h.records))
        return corrupt(t, "damaged: record numbers do not follow one another");
    c->block = h;
    return true;
}

/** Goes to the payload of the block whose header has been read, and checks it. */
static bool load_block(struct trace *t)
{
    struct compact *c = t->state;
    uint32_t payload = c->block.payload;
    c->block.payload = 0; /* until at stands there */
    if (!trace_need(t, BLOCK_HEADER_BYTES + payload))
        return corrupt(t, "the file is cut short");
    const unsigned char *header = t->buffer + t->at;
    uLong checksum = crc32(0, header, CHECKSUM_AT);
    checksum = crc32(checksum, header + BLOCK_HEADER_BYTES, payload);
    if (checksum != c->block.checksum)
        return corrupt(t, "damaged: its checksum is wrong");
    t->at += BLOCK_HEADER_BYTES;
    c->block.payload = payload;
    c->p = t->buffer + t->at;
    c->end = c->p + payload;
    c->left = c->block.records;
    c->first += c->block.records;
    c->state = (struct compact_state){0};
    return true;
}

/* ---- what is in them ---- */

/** @p bytes at most 8. Reads beyond the block give 0 and are noted. */
static inline uint64_t take(struct compact *c, unsigned bytes)
{
    if ((size_t)(c->end - c->p) < bytes) {
        c->overrun = true;
        return 0;
    }
    const unsigned char *p = c->p;
    c->p += bytes;
    return get_le(p, bytes);
}

static uint64_t take_varint(struct compact *c)
{
    uint64_t value = 0, byte;
    unsigned shift = 0;
    do {
        byte = take(c, 1);
        value |= (byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80 && shift < 7 * VARINT_BYTES_MAX);
    return value;
}

static inline void emit_access(struct trace *t, enum op op, gva_t gva, uint64_t size)
{
    const struct compact_state *s = &((struct compact *)t->state)->state;
    *t->out++ = (struct access){.gva = gva,
                                .size = (uint16_t)size,
                                .op = (uint8_t)op,
                                .flags = s->flags,
                                .process = s->process,
                                .thread = s->thread};
}

static void decode_data(struct trace *t, unsigned tag)
{
    static const uint8_t OP[] = {
        [TAG_READ] = OP_READ, [TAG_WRITE] = OP_WRITE, [TAG_EXEC] = 0, [TAG_MODIFY] = OP_MODIFY};
    struct compact *c = t->state;
    struct prediction *p = prediction_of(&c->state);
    unsigned slot = tag >> 4 & 3;
    uint64_t size = DATA_SIZE[tag >> 2 & 3];
    if (size == 0)
        size = take_varint(c);
    p->data[slot] += unzigzag(take(c, DATA_WIDTH[tag >> 6]));
    if (slot == p->oldest)
        p->oldest = (slot + 1) % SLOTS;
    emit_access(t, (enum op)OP[tag & 3], p->data[slot], size);
}

static void decode_fetch(struct trace *t, unsigned tag)
{
    struct compact *c = t->state;
    struct prediction *p = prediction_of(&c->state);
    unsigned width = tag >> 5;
    uint64_t size = tag >> 2 & 7;
    if (size == 0)
        size = take_varint(c);
    c->overrun |= width >= FETCH_WIDTHS;
    gva_t gva = p->next_fetch + unzigzag(take(c, FETCH_WIDTH[width % FETCH_WIDTHS]));
    emit_access(t, OP_EXEC, gva, size);
    p->next_fetch = gva + (uint16_t)size;
}

static void decode_event(struct trace *t, enum op op)
{
    struct compact *c = t->state;
    gva_t gva = take_varint(c);
    emit_access(t, op, gva, take_varint(c));
    struct operand operand = {.length = take_varint(c)};
    operand.rights = (uint32_t)take_varint(c);
    operand.process = (uint32_t)take_varint(c);
    memcpy(t->out++, &operand, sizeof operand);
    t->report.events++;
}

static void decode_context(struct compact *c)
{
    c->state.process = (uint16_t)take_varint(c);
    c->state.thread = (uint16_t)take_varint(c);
    c->state.flags = (uint8_t)take_varint(c);
}

/** One record, or event, or change of context. */
static void decode(struct trace *t)
{
    struct compact *c = t->state;
    unsigned tag = (unsigned)take(c, 1), control = tag >> 2 & 7;
    if ((tag & 3) != TAG_EXEC)
        decode_data(t, tag);
    else if (tag >> 5 != FETCH_CONTROL)
        decode_fetch(t, tag);
    else if (control == CONTROL_CONTEXT)
        decode_context(c);
    else if (control < CONTROLS)
        decode_event(t, OP_MAP + (control - CONTROL_MAP));
    else
        c->overrun = true;
}

/** Decodes until the block or the room ends. */
static bool decode_block(struct trace *t)
{
    struct compact *c = t->state;
    while (c->left && t->out <= t->limit) {
        struct access *before = t->out;
        decode(t);
        uint32_t made = (uint32_t)(t->out - before);
        if (c->overrun || made > c->left) {
            t->out = before;
            return corrupt(t, "damaged: its records do not fit its size");
        }
        c->left -= made;
    }
    if (c->left == 0 && c->p != c->end)
        return corrupt(t, "damaged: bytes are left over");
    return true;
}

static bool read_ids(struct trace *t)
{
    struct compact *c = t->state;
    uint64_t table = take_varint(c), index = take_varint(c);
    struct ids *ids = table == 0 ? &t->processes : &t->threads;
    bool good = table <= 1 && index == ids->count;
    while (good && c->p < c->end) {
        uint16_t number;
        good = ids_number(ids, take_varint(c), &number) && number == index++;
    }
    return (good && !c->overrun) || corrupt(t, "damaged: process or thread ids make no sense");
}

static bool end(struct trace *t)
{
    struct compact *c = t->state;
    c->ended = true;
    if (trace_need(t, 1))
        return corrupt(t, "it is the last, but something follows");
    return false;
}

/** Goes on to the next block of records. */
static bool next_block(struct trace *t)
{
    struct compact *c = t->state;
    while (next_header(t) && load_block(t)) {
        if (c->block.kind == BLOCK_RECORDS_KIND && c->left)
            return true;
        if (c->block.kind == BLOCK_END)
            return end(t);
        if (c->block.kind == BLOCK_IDS && !read_ids(t))
            return false;
    }
    return false;
}

static bool fill(struct trace *t)
{
    struct compact *c = t->state;
    while (t->out <= t->limit)
        if ((c->left == 0 && !next_block(t)) || !decode_block(t))
            return false;
    return true;
}

/** Leaves out the block whose header has been read. */
static bool pass_over(struct trace *t)
{
    struct compact *c = t->state;
    size_t bytes = BLOCK_HEADER_BYTES + c->block.payload, held = t->have - t->at;
    c->first += c->block.records;
    c->block.payload = 0;
    if (bytes <= held) {
        t->at += bytes;
        return true;
    }
    t->at = t->have = 0;
    return stream_skip(t->stream, bytes - held, &t->failure);
}

/** Goes to the block of the record without decoding, nor on plain files reading, those before it.
 */
static bool skip(struct trace *t, uint64_t record)
{
    struct compact *c = t->state;
    if (record < c->first)
        return true;
    while (next_header(t)) {
        bool before = c->block.kind == BLOCK_RECORDS_KIND && record >= c->first + c->block.records;
        if (before && stream_skips(t->stream)) {
            if (!pass_over(t))
                return false;
            continue;
        }
        t->told = c->first;
        if (!load_block(t))
            return false;
        if (c->block.kind == BLOCK_END)
            end(t);
        else if (c->block.kind == BLOCK_IDS)
            read_ids(t);
        else if (!before)
            return true;
        if (t->failure.code || c->ended)
            break;
        c->left = 0;
    }
    t->told = c->first;
    return !t->failure.code;
}

static bool looks(const struct trace *t, const unsigned char *p, size_t n, bool whole)
{
    (void)t;
    (void)whole;
    return n >= strlen(COMPACT_MAGIC) && memcmp(p, COMPACT_MAGIC, strlen(COMPACT_MAGIC)) == 0;
}

const struct format FORMAT_COMPACT = {
    .name = "compact",
    .right = "convert the trace again",
    .state_bytes = sizeof(struct compact),
    .looks = looks,
    .fill = fill,
    .skip = skip,
};
