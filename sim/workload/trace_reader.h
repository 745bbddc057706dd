/**
 * @file
 * What the readers of trace formats share; internal to trace*.c.
 *
 * A format is a row of constants and a parse function, which gets one unit (a line, or a record of
 * fixed size) at a time and emits what it means. Buffering, line splitting, counting, tolerance for
 * malformed units, numbering of processes and threads, and the source interface are here and in
 * trace.c.
 */
#ifndef SIM_WORKLOAD_TRACE_READER_H
#define SIM_WORKLOAD_TRACE_READER_H

#include "sim/workload/stream.h"
#include "sim/workload/trace.h"

enum {
    ROOM = 64,                 /**< records that one unit may emit */
    LINE_BYTES = 64 << 10,     /**< a longer line is malformed */
    BUFFER_BYTES = 256 << 10,  /**< decompressed bytes held; no unit is longer */
    SNIFF_BYTES = 64 << 10,    /**< looked at to find out the format */
    UNKNOWN_DATA_BYTES = 8,    /**< size of a load or store where the format has none */
    UNKNOWN_PAGE_BYTES = 4096, /**< which such an access does not leave */
    SIZE_MAX_BYTES = UINT16_MAX,
    NUMBERS_MAX = 1 << 16, /**< processes, and threads, in one trace */
};

/** What a parse function made of a unit. */
enum parse {
    PARSE_BAD,   /**< malformed; trace.wrong says why */
    PARSE_NOISE, /**< blank, or a comment: fits any format */
    PARSE_TAKEN, /**< a unit of this format, whether or not it emitted anything */
};

/** Ids (pids, tids) in the order they were met: the index is the dense number. */
struct ids {
    uint64_t *id;
    uint32_t count, capacity;
    uint32_t *slots; /**< hash table of index + 1 */
    uint32_t slot_count;
};

struct trace;

struct format {
    const char *name;
    const char *right; /**< what a unit looks like, for messages */
    size_t state_bytes;
    size_t unit_bytes; /**< 0: lines */
    /** @p end points at a byte that ends every token (a newline or a carriage return) where units
     * are lines. */
    enum parse (*parse)(struct trace *, const char *p, const char *end);
    /** Tells a binary format by the first @p n bytes; @p whole: there is nothing after them. */
    bool (*looks)(const struct trace *, const unsigned char *p, size_t n, bool whole);
    /** The rest may be NULL. Called once at the end of the input. */
    void (*finish)(struct trace *);
    /** Frees what the state owns. */
    void (*drop)(struct trace *);
    /** Instead of parse: emits up to trace.limit; false at the end, or with trace.failure set. */
    bool (*fill)(struct trace *);
    /** Goes forward to the block that holds a record; sets trace.told. */
    bool (*skip)(struct trace *, uint64_t record);
};

struct trace {
    struct source source;
    const struct format *format;
    void *state;
    struct stream *stream;
    struct trace_options options;
    struct trace_report report;
    struct ids processes, threads;
    uint16_t process, thread;    /**< of what is emitted now */
    uint64_t last_pid, last_tid; /**< what trace_context was last called with */
    bool in_context;             /**< it has been called */
    uint64_t told, units;        /**< records handed out; units parsed */
    const char *wrong;           /**< set by parse with PARSE_BAD: a static text */
    struct err failure;          /**< given after the records before it */
    unsigned char *buffer;       /**< BUFFER_BYTES, and one for a '\n' that the file lacks */
    size_t at, have;
    bool ended, finished;
    struct access *out;        /**< where the next record goes */
    struct access *limit;      /**< no unit is parsed when out is beyond */
    struct access queue[ROOM]; /**< for callers whose batches are smaller than ROOM */
    size_t queue_at, queue_have;
};

extern const struct format FORMAT_LACKEY, FORMAT_DIN, FORMAT_DINERO, FORMAT_CHAMPSIM,
    FORMAT_DRMEMTRACE, FORMAT_PINATRACE, FORMAT_PERF_MEM, FORMAT_DECIMAL, FORMAT_COMPACT;

/** Value of a hexadecimal digit, plus 1; 0 for other characters. */
extern const uint8_t HEX_DIGIT[256];

static inline const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/** Takes hexadecimal digits, without 0x; false when there is none or the value has no 64 bits. */
static inline bool take_hex(const char **p, uint64_t *value)
{
    const char *s = *p;
    uint64_t v = 0, spill = 0, digit;
    while ((digit = HEX_DIGIT[(uint8_t)*s]) != 0) {
        spill |= v >> 60;
        v = v << 4 | (digit - 1);
        s++;
    }
    bool some = s != *p;
    *p = s;
    *value = v;
    return some && !spill;
}

/** The same for decimal digits. */
static inline bool take_decimal(const char **p, uint64_t *value)
{
    const char *s = *p;
    uint64_t v = 0;
    bool fits = true;
    for (; (uint8_t)(*s - '0') < 10; s++) {
        fits &= !__builtin_mul_overflow(v, 10, &v);
        fits &= !__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v);
    }
    bool some = s != *p;
    *p = s;
    *value = v;
    return some && fits;
}

/** Takes "0x" and digits. */
bool take_0x_hex(const char **p, uint64_t *value);

/** Takes hexadecimal digits with or without 0x. */
bool take_any_hex(const char **p, uint64_t *value);

/** Takes the word if it comes next. */
bool take_word(const char **p, const char *end, const char *word);

/** Only blanks up to the end. */
static inline bool at_end(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p == end;
}

/** A blank, or the end. */
static inline bool at_blank(const char *p, const char *end)
{
    return p == end || *p == ' ' || *p == '\t';
}

static inline enum parse bad(struct trace *t, const char *wrong)
{
    t->wrong = wrong;
    return PARSE_BAD;
}

static inline void emit(struct trace *t, enum op op, gva_t gva, uint64_t size)
{
    size = size > SIZE_MAX_BYTES ? SIZE_MAX_BYTES : size;
    *t->out++ = (struct access){.gva = gva,
                                .size = (uint16_t)(size + !size),
                                .op = (uint8_t)op,
                                .flags = ACCESS_USER,
                                .process = t->process,
                                .thread = t->thread};
}

/** An access whose size the trace doesn't say: @p size, or what is left of the page. */
void emit_unsized(struct trace *, enum op, gva_t, uint64_t size);

/** A guest event: two records. */
void emit_event(struct trace *, enum op, gva_t, struct operand);

/** Numbers an id; false when there are too many. */
bool ids_number(struct ids *, uint64_t id, uint16_t *number);
void ids_clear(struct ids *);

/** The key of a thread in trace.threads: the same tid in two processes is two threads. */
static inline uint64_t thread_key(uint16_t process, uint64_t tid)
{
    return (uint64_t)process << 48 | (tid & low_bits(48));
}

/** What is emitted from here on is of this process and thread; false when there are too many. */
bool trace_context(struct trace *, uint64_t pid, uint64_t tid);

/** Makes at least @p n bytes (at most BUFFER_BYTES) stand at buffer + at; false: the end, or
 * failure. */
bool trace_need(struct trace *, size_t n);

/** Goes back to the start of the input. */
bool trace_restart(struct trace *, struct err *);

/** Frees and clears what reading builds up. */
void trace_forget(struct trace *);

/**
 * Parses units until out is beyond limit. False at the end or failure, which may leave records in
 * out nevertheless.
 */
bool trace_parse(struct trace *);

#endif
