/**
 * @file
 * Writes the compact format, one block at a time, under a temporary name until all is written.
 */
#include "sim/workload/trace.h"
#include "sim/workload/trace_compact.h"
#include "sim/workload/trace_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct trace_writer {
    int file;
    char *name;   /* for messages */
    char *target; /* the final name; NULL where we write straight into what there is */
    char *temporary;
    uint64_t records; /* in blocks before this one */
    uint32_t in_block;
    size_t used; /* of the payload */
    struct compact_state state;
    unsigned char block[BLOCK_HEADER_BYTES + BLOCK_PAYLOAD_MAX];
};

static void free_writer(struct trace_writer *w)
{
    if (w->file > STDERR_FILENO)
        close(w->file);
    free(w->name);
    free(w->target);
    free(w->temporary);
    free(w);
}

void trace_writer_abandon(struct trace_writer *w)
{
    if (w->temporary)
        unlink(w->temporary);
    free_writer(w);
}

static bool write_all(struct trace_writer *w, const unsigned char *p, size_t n, struct err *err)
{
    while (n) {
        ssize_t written = write(w->file, p, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_set(err, EXIT_ENVIRONMENT, "%s: cannot write: %s", w->name, strerror(errno));
        p += written;
        n -= (size_t)written;
    }
    return true;
}

/** A file of its own beside the target, with the permissions that a new file gets. */
static bool open_temporary(struct trace_writer *w, struct err *err)
{
    size_t room = strlen(w->target) + 32;
    w->temporary = malloc(room);
    if (!w->temporary)
        return err_set(err, EXIT_ENVIRONMENT, "%s: out of memory", w->name);
    int attempt = 0;
    do {
        snprintf(w->temporary, room, "%s.%ld-%d.tmp", w->target, (long)getpid(), attempt++);
        w->file = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (w->file < 0 && errno == EEXIST && attempt < 100);
    if (w->file >= 0)
        return true;
    err_set(err, EXIT_ENVIRONMENT, "%s: cannot create: %s", w->name, strerror(errno));
    free(w->temporary);
    w->temporary = NULL;
    return false;
}

/** A pipe or a device is written to as it is; a link stays, and what it leads to is replaced. */
static bool open_output(struct trace_writer *w, const char *path, struct err *err)
{
    struct stat about;
    w->file = STDOUT_FILENO;
    if (strcmp(path, "-") == 0)
        return true;
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode)) {
        w->file = open(path, O_WRONLY | O_CLOEXEC);
        return w->file >= 0 || err_set(err, EXIT_ENVIRONMENT, "%s: cannot open for writing: %s",
                                       path, strerror(errno));
    }
    w->target = realpath(path, NULL);
    if (!w->target)
        w->target = strdup(path);
    if (!w->target)
        return err_set(err, EXIT_ENVIRONMENT, "%s: out of memory", path);
    return open_temporary(w, err);
}

struct trace_writer *trace_writer_open(const char *path, struct err *err)
{
    static const unsigned char HEADER[COMPACT_HEADER_BYTES] = {'N', 'W', 'T', 'R', COMPACT_VERSION};
    struct trace_writer *w = calloc(1, sizeof *w);
    if (w) {
        w->file = -1;
        w->name = strdup(strcmp(path, "-") == 0 ? "stdout" : path);
    }
    if (!w || !w->name) {
        err_set(err, EXIT_ENVIRONMENT, "%s: out of memory", path);
        free(w);
        return NULL;
    }
    if (!open_output(w, path, err) || !write_all(w, HEADER, sizeof HEADER, err)) {
        trace_writer_abandon(w);
        return NULL;
    }
    return w;
}

/** Writes the payload as a block of this kind, and starts anew. */
static bool end_block(struct trace_writer *w, enum block_kind kind, struct err *err)
{
    struct block_header h = {
        .kind = kind, .records = w->in_block, .payload = (uint32_t)w->used, .first = w->records};
    put_block_header(w->block, &h);
    uLong checksum = crc32(0, w->block, CHECKSUM_AT);
    checksum = crc32(checksum, w->block + BLOCK_HEADER_BYTES, (uInt)w->used);
    put_le(w->block + CHECKSUM_AT, checksum, 4);
    if (!write_all(w, w->block, BLOCK_HEADER_BYTES + w->used, err))
        return false;
    w->records += w->in_block;
    w->in_block = 0;
    w->used = 0;
    w->state = (struct compact_state){0};
    return true;
}

static inline void put(struct trace_writer *w, uint64_t value, unsigned bytes)
{
    put_le(w->block + BLOCK_HEADER_BYTES + w->used, value, bytes);
    w->used += bytes;
}

static void put_varint(struct trace_writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put(w, value | 0x80, 1);
    put(w, value, 1);
}

/** The first width that holds the value. */
static unsigned width_of(uint64_t value, const uint8_t *widths, unsigned count)
{
    unsigned i = 0;
    while (i < count - 1 && value >> 8 * widths[i])
        i++;
    return i;
}

static void put_fetch(struct trace_writer *w, const struct access *a)
{
    struct prediction *p = prediction_of(&w->state);
    uint64_t z = zigzag(a->gva - p->next_fetch);
    unsigned width = width_of(z, FETCH_WIDTH, FETCH_WIDTHS);
    unsigned size = a->size < FETCH_SIZES ? a->size : 0;
    put(w, TAG_EXEC | size << 2 | width << 5, 1);
    if (size == 0)
        put_varint(w, a->size);
    put(w, z, FETCH_WIDTH[width]);
    p->next_fetch = a->gva + a->size;
}

/** The slot whose address is nearest; the oldest where none is within three bytes. */
static unsigned choose_slot(const struct prediction *p, gva_t gva, uint64_t *z)
{
    unsigned best = 0;
    *z = UINT64_MAX;
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t far = zigzag(gva - p->data[i]);
        if (far < *z) {
            *z = far;
            best = i;
        }
    }
    if (*z >> 24) {
        best = p->oldest;
        *z = zigzag(gva - p->data[best]);
    }
    return best;
}

static void put_data(struct trace_writer *w, const struct access *a)
{
    static const uint8_t CLASS[] = {
        [OP_READ] = TAG_READ, [OP_WRITE] = TAG_WRITE, [OP_MODIFY] = TAG_MODIFY};
    struct prediction *p = prediction_of(&w->state);
    uint64_t z;
    unsigned slot = choose_slot(p, a->gva, &z), size = 0;
    unsigned width = width_of(z, DATA_WIDTH, DATA_WIDTHS);
    while (DATA_SIZE[size] && DATA_SIZE[size] != a->size)
        size++;
    put(w, CLASS[a->op] | size << 2 | slot << 4 | width << 6, 1);
    if (DATA_SIZE[size] == 0)
        put_varint(w, a->size);
    put(w, z, DATA_WIDTH[width]);
    p->data[slot] = a->gva;
    if (slot == p->oldest)
        p->oldest = (slot + 1) % SLOTS;
}

static void put_control(struct trace_writer *w, enum control control)
{
    put(w, TAG_EXEC | (unsigned)control << 2 | FETCH_CONTROL << 5, 1);
}

static void put_event(struct trace_writer *w, const struct access *a)
{
    struct operand operand;
    memcpy(&operand, a + 1, sizeof operand);
    put_control(w, CONTROL_MAP + (a->op - OP_MAP));
    put_varint(w, a->gva);
    put_varint(w, a->size);
    put_varint(w, operand.length);
    put_varint(w, operand.rights);
    put_varint(w, operand.process);
}

static void put_context(struct trace_writer *w, const struct access *a)
{
    struct compact_state *s = &w->state;
    if (a->process == s->process && a->thread == s->thread && a->flags == s->flags)
        return;
    s->process = a->process;
    s->thread = a->thread;
    s->flags = a->flags;
    put_control(w, CONTROL_CONTEXT);
    put_varint(w, a->process);
    put_varint(w, a->thread);
    put_varint(w, a->flags);
}

bool trace_writer_put(struct trace_writer *w, const struct access *a, size_t n, struct err *err)
{
    for (size_t i = 0; i < n;) {
        uint32_t records = a[i].op >= OP_MAP ? 2 : 1;
        if (a[i].op >= OP_COUNT || i + records > n)
            return err_set(err, EXIT_USAGE, "%s: record %" PRIu64 " is no access and no event",
                           w->name, w->records + w->in_block);
        bool full = w->in_block + records > BLOCK_RECORDS ||
                    w->used + RECORD_BYTES_MAX + VARINT_BYTES_MAX > BLOCK_PAYLOAD_MAX;
        if (full && !end_block(w, BLOCK_RECORDS_KIND, err))
            return false;
        put_context(w, &a[i]);
        if (records == 2)
            put_event(w, &a[i]);
        else if (a[i].op == OP_EXEC)
            put_fetch(w, &a[i]);
        else
            put_data(w, &a[i]);
        w->in_block += records;
        i += records;
    }
    return true;
}

/** Ids go into blocks of their own: which table, number of the first, and ids. */
static bool put_ids(struct trace_writer *w, unsigned table, const struct ids *ids, struct err *err)
{
    for (uint32_t i = 0; i < ids->count;) {
        put_varint(w, table);
        put_varint(w, i);
        while (i < ids->count && w->used + VARINT_BYTES_MAX <= BLOCK_PAYLOAD_MAX)
            put_varint(w, ids->id[i++]);
        if (!end_block(w, BLOCK_IDS, err))
            return false;
    }
    return true;
}

bool trace_writer_ids(struct trace_writer *w, const struct source *source, struct err *err)
{
    const struct trace *t = (const struct trace *)source;
    if (w->in_block && !end_block(w, BLOCK_RECORDS_KIND, err))
        return false;
    return put_ids(w, 0, &t->processes, err) && put_ids(w, 1, &t->threads, err);
}

static bool finish(struct trace_writer *w, struct err *err)
{
    if (w->in_block && !end_block(w, BLOCK_RECORDS_KIND, err))
        return false;
    if (!end_block(w, BLOCK_END, err))
        return false;
    int file = w->file;
    w->file = -1;
    if (file > STDERR_FILENO && close(file))
        return err_set(err, EXIT_ENVIRONMENT, "%s: cannot write: %s", w->name, strerror(errno));
    if (w->temporary && rename(w->temporary, w->target))
        return err_set(err, EXIT_ENVIRONMENT, "%s: cannot create: %s", w->name, strerror(errno));
    return true;
}

bool trace_writer_close(struct trace_writer *w, struct err *err)
{
    if (!finish(w, err)) {
        trace_writer_abandon(w);
        return false;
    }
    free_writer(w);
    return true;
}
