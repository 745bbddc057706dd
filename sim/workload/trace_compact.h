/**
 * @file
 * The compact format: what its reader and its writer agree on; internal to trace*.c. The byte
 * layout is in docs/TRACES.md.
 *
 * A file is a header, blocks, and an end block. A block begins with its size, the number of its
 * first record and a checksum, and decodes without the blocks before it. Each record begins with a
 * tag; addresses are differences to earlier ones. Writer and reader keep the same struct
 * compact_state, so each difference is against an address that both know.
 */
#ifndef SIM_WORKLOAD_TRACE_COMPACT_H
#define SIM_WORKLOAD_TRACE_COMPACT_H

#include "core/access.h"

#define COMPACT_MAGIC "NWTR"

enum {
    COMPACT_VERSION = 1,
    COMPACT_HEADER_BYTES = 8,
    BLOCK_HEADER_BYTES = 24,
    BLOCK_RECORDS = 8192,
    RECORD_BYTES_MAX = 40, /**< an event with its operand; an access takes less */
    BLOCK_PAYLOAD_MAX = 200 << 10,
    VARINT_BYTES_MAX = 10,
    CONTEXTS = 64, /**< predictions kept; processes and threads share them by number */
    SLOTS = 4,     /**< of data addresses: stack, heap, ... are apart, so differences are small */
};

enum block_kind { BLOCK_RECORDS_KIND = 1, BLOCK_IDS = 2, BLOCK_END = 3 };

/** The low bits of a tag: what it is. */
enum tag_class { TAG_READ, TAG_WRITE, TAG_EXEC, TAG_MODIFY };

/**
 * Tags of data: class (2 bits), size (2 bits: 8, 4, 1, explicit), slot (2 bits), bytes of
 * difference (2 bits: 1, 2, 3, 8). Tags of fetches: class (2 bits), size (3 bits: 0 explicit, else
 * bytes), bytes of difference (3 bits: 0 to 4, 5 for 8); 7 there makes it a control, whose number
 * is in the size bits.
 */
enum control {
    CONTROL_CONTEXT, /**< varints process, thread, flags: of what follows */
    CONTROL_MAP,     /**< and events: varints address, size, length, rights, process */
    CONTROL_UNMAP,
    CONTROL_PROTECT,
    CONTROL_FORK,
    CONTROL_EXIT,
    CONTROLS
};

enum { FETCH_CONTROL = 7, FETCH_WIDTHS = 6, DATA_WIDTHS = 4, DATA_SIZES = 4, FETCH_SIZES = 8 };

/** Bytes of difference, by the tag's bits. */
static const uint8_t DATA_WIDTH[DATA_WIDTHS] = {1, 2, 3, 8};
static const uint8_t FETCH_WIDTH[FETCH_WIDTHS] = {0, 1, 2, 3, 4, 8};
/** Bytes of an access by the tag's bits; 0: a varint says. */
static const uint8_t DATA_SIZE[DATA_SIZES] = {8, 4, 1, 0};

/** What the next address is likely to be near to. */
struct prediction {
    gva_t next_fetch;
    gva_t data[SLOTS];
    unsigned oldest; /**< slot to give up when no slot is near */
};

struct compact_state {
    struct prediction context[CONTEXTS];
    uint16_t process, thread;
    uint8_t flags;
};

static inline struct prediction *prediction_of(struct compact_state *s)
{
    return &s->context[(s->process * 7u + s->thread) % CONTEXTS];
}

/** Small differences of either sign as small numbers. */
static inline uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static inline uint64_t unzigzag(uint64_t z)
{
    return z >> 1 ^ -(z & 1);
}

static inline void put_le(unsigned char *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

static inline uint64_t get_le(const unsigned char *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

/** A block's header, as stored. The checksum (CRC-32) is over the header before it, and the
 * payload. */
struct block_header {
    uint32_t kind, records, payload;
    uint64_t first; /**< number of its first record in the trace */
    uint32_t checksum;
};

enum { CHECKSUM_AT = 20 };

static inline void put_block_header(unsigned char *p, const struct block_header *h)
{
    put_le(p, h->kind, 4);
    put_le(p + 4, h->records, 4);
    put_le(p + 8, h->payload, 4);
    put_le(p + 12, h->first, 8);
    put_le(p + CHECKSUM_AT, h->checksum, 4);
}

static inline struct block_header get_block_header(const unsigned char *p)
{
    return (struct block_header){
        .kind = (uint32_t)get_le(p, 4),
        .records = (uint32_t)get_le(p + 4, 4),
        .payload = (uint32_t)get_le(p + 8, 4),
        .first = get_le(p + 12, 8),
        .checksum = (uint32_t)get_le(p + CHECKSUM_AT, 4),
    };
}

#endif
