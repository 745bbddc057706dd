/**
 * @file
 * Fuzzes the readers of traces: whatever a file holds, reading it ends, in records or in an error.
 *
 * The first byte picks the format (0 finds it out), how many malformed lines pass, and the size of
 * batches; the rest is the file. What can be read must survive the compact format unchanged.
 */
#include "sim/workload/trace.h"
#include "sim/workload/trace_compact.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum { BATCH = 256, RECORDS_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Reads all there is; returns a sum over the records, and how many. */
static uint64_t read_all(struct source *source, size_t batch, uint64_t *count,
                         struct trace_writer *writer)
{
    struct access out[BATCH];
    struct err err = {0};
    uint64_t sum = 0;
    size_t n;
    *count = 0;
    while (*count < RECORDS_MAX && (n = source->ops->fill(source, out, batch, &err)) > 0) {
        assert(n <= batch && !err.code);
        const unsigned char *bytes = (const unsigned char *)out;
        for (size_t i = 0; i < n * sizeof *out; i++)
            sum = sum * 31 + bytes[i];
        *count += n;
        assert(source->ops->tell(source) == *count);
        if (writer)
            assert(trace_writer_put(writer, out, n, &err));
    }
    return sum;
}

static void check_compact(struct source *source, size_t batch)
{
    struct err err = {0};
    char path[64];
    int file = memfd_create("compact", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    uint64_t count, again;
    /* a writer replaces regular files, which a memfd is: so through stdout */
    int out = dup(STDOUT_FILENO);
    dup2(file, STDOUT_FILENO);
    struct trace_writer *writer = trace_writer_open("-", &err);
    assert(writer && source->ops->seek(source, 0, &err));
    uint64_t sum = read_all(source, batch, &count, writer);
    assert(trace_writer_ids(writer, source, &err) && trace_writer_close(writer, &err));
    dup2(out, STDOUT_FILENO);
    close(out);
    struct source *compact = trace_open(path, &(struct trace_options){0}, &err);
    assert(compact);
    assert(read_all(compact, batch, &again, NULL) == sum && again == count);
    compact->ops->free(compact);
    close(file);
}

static void exercise(struct source *source, size_t batch, unsigned go_to)
{
    struct err err = {0};
    uint64_t count, again;
    uint64_t sum = read_all(source, batch, &count, NULL);
    if (count == RECORDS_MAX)
        return;
    bool back = source->ops->seek(source, 0, &err);
    assert(back);
    assert(read_all(source, BATCH, &again, NULL) == sum && again == count);
    if (count) {
        source->ops->seek(source, go_to % count, &err);
        source->ops->seek(source, count + 1, &err);
        check_compact(source, batch);
    }
}

/** Puts right checksums into a compact trace: else the fuzzer never gets behind them. */
static void mend(unsigned char *bytes, size_t n)
{
    size_t at = COMPACT_HEADER_BYTES;
    if (n < at || memcmp(bytes, COMPACT_MAGIC, strlen(COMPACT_MAGIC)) != 0)
        return;
    while (n - at >= BLOCK_HEADER_BYTES) {
        size_t payload = get_block_header(bytes + at).payload;
        if (payload > n - at - BLOCK_HEADER_BYTES)
            return;
        uLong checksum = crc32(0, bytes + at, CHECKSUM_AT);
        checksum = crc32(checksum, bytes + at + BLOCK_HEADER_BYTES, (uInt)payload);
        put_le(bytes + at + CHECKSUM_AT, checksum, 4);
        at += BLOCK_HEADER_BYTES + payload;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned char *bytes = malloc(size);
    memcpy(bytes, data, size);
    mend(bytes + 1, size - 1);
    struct trace_options options = {.format = data[0] % TRACE_FORMATS,
                                    .max_errors = data[0] / TRACE_FORMATS % 3 * 100};
    size_t batch = data[0] & 0x80 ? BATCH : 3;
    int file = memfd_create("trace", 0);
    if (file < 0 || write(file, bytes + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct err err = {0};
    struct source *source = trace_open(path, &options, &err);
    assert(source || err.code);
    if (source) {
        exercise(source, batch, size > 1 ? data[size - 1] : 0);
        source->ops->free(source);
    }
    close(file);
    free(bytes);
    return 0;
}
