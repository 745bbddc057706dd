/**
 * @file
 * The decompressing byte stream: one loop that moves input through a codec, and a table of codecs.
 */
#include "sim/workload/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum {
    INPUT_BYTES = 128 << 10,
    MAGIC_BYTES = 6,
    GZIP_WINDOW = 15 + 16, /* the largest window; +16 expects a gzip header */
};

/** xz -9 needs 65 MiB; what asks for more than this is not worth the trust. */
static const uint64_t XZ_MEMORY = (uint64_t)512 << 20;

/** Bytes to fill, and how far that is done. */
struct span {
    unsigned char *at;
    size_t left;
};

struct codec {
    const char *name;
    unsigned char magic[MAGIC_BYTES];
    size_t magic_bytes;
    bool (*start)(struct stream *);
    /** Moves input to output; false with a reason set. Sets stream.whole. */
    bool (*run)(struct stream *, struct span *);
    void (*stop)(struct stream *);
};

struct stream {
    char *name;
    int file;
    off_t origin; /* where the file stood when it was opened: stdin may stand anywhere */
    off_t size;   /* from the origin; -1 unless regular */
    uint64_t eaten;
    const struct codec *codec;
    unsigned char *input;
    size_t at, have;
    bool ended;         /* no input after input[have] */
    bool whole;         /* the codec stands between two members: ending here is fine */
    const char *reason; /* why the codec refused */
    struct err failure; /* met already, and given after the bytes before it */
    union {
        z_stream gzip;
        lzma_stream xz;
        ZSTD_DStream *zstd;
    } state;
};

static bool plain_start(struct stream *s)
{
    s->whole = true;
    return true;
}

static bool plain_run(struct stream *s, struct span *out)
{
    size_t n = s->have - s->at;
    n = n < out->left ? n : out->left;
    memcpy(out->at, s->input + s->at, n);
    s->at += n;
    out->at += n;
    out->left -= n;
    return true;
}

static void plain_stop(struct stream *s)
{
    (void)s;
}

static bool gzip_start(struct stream *s)
{
    s->state.gzip = (z_stream){0};
    return inflateInit2(&s->state.gzip, GZIP_WINDOW) == Z_OK;
}

/** Between members: gzip pads with zeros (tapes), which say nothing. */
static bool gzip_next_member(struct stream *s)
{
    while (s->at < s->have && s->input[s->at] == 0)
        s->at++;
    if (s->at == s->have)
        return true;
    s->whole = false;
    return inflateReset(&s->state.gzip) == Z_OK;
}

static bool gzip_run(struct stream *s, struct span *out)
{
    z_stream *z = &s->state.gzip;
    if (s->whole && !gzip_next_member(s))
        return false;
    if (s->whole)
        return true;
    z->next_in = s->input + s->at;
    z->avail_in = (uInt)(s->have - s->at);
    z->next_out = out->at;
    z->avail_out = (uInt)out->left;
    int status = inflate(z, Z_NO_FLUSH);
    s->at = s->have - z->avail_in;
    out->at = z->next_out;
    out->left = z->avail_out;
    s->whole = status == Z_STREAM_END;
    s->reason = z->msg;
    return status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR;
}

static void gzip_stop(struct stream *s)
{
    inflateEnd(&s->state.gzip);
}

static bool xz_start(struct stream *s)
{
    s->state.xz = (lzma_stream)LZMA_STREAM_INIT;
    return lzma_stream_decoder(&s->state.xz, XZ_MEMORY, LZMA_CONCATENATED) == LZMA_OK;
}

static const char *xz_reason(lzma_ret status)
{
    switch (status) {
    case LZMA_MEM_ERROR:
        return "out of memory";
    case LZMA_MEMLIMIT_ERROR:
        return "decompressing it takes more than 512 MiB of memory";
    case LZMA_FORMAT_ERROR:
        return "something else than xz data follows";
    case LZMA_OPTIONS_ERROR:
        return "it uses options that this liblzma does not know";
    default:
        return NULL;
    }
}

static bool xz_run(struct stream *s, struct span *out)
{
    lzma_stream *z = &s->state.xz;
    if (s->whole)
        return true;
    z->next_in = s->input + s->at;
    z->avail_in = s->have - s->at;
    z->next_out = out->at;
    z->avail_out = out->left;
    lzma_ret status = lzma_code(z, s->ended ? LZMA_FINISH : LZMA_RUN);
    s->at = s->have - z->avail_in;
    out->at = z->next_out;
    out->left = z->avail_out;
    s->whole = status == LZMA_STREAM_END;
    s->reason = xz_reason(status);
    return status == LZMA_OK || status == LZMA_STREAM_END || status == LZMA_BUF_ERROR;
}

static void xz_stop(struct stream *s)
{
    lzma_end(&s->state.xz);
}

static bool zstd_start(struct stream *s)
{
    s->state.zstd = ZSTD_createDStream();
    return s->state.zstd != NULL;
}

static bool zstd_run(struct stream *s, struct span *out)
{
    ZSTD_inBuffer in = {s->input, s->have, s->at};
    ZSTD_outBuffer to = {out->at, out->left, 0};
    if (s->whole && in.pos == in.size)
        return true;
    size_t status = ZSTD_decompressStream(s->state.zstd, &to, &in);
    s->at = in.pos;
    out->at += to.pos;
    out->left -= to.pos;
    s->whole = status == 0;
    s->reason = ZSTD_isError(status) ? ZSTD_getErrorName(status) : NULL;
    return !ZSTD_isError(status);
}

static void zstd_stop(struct stream *s)
{
    ZSTD_freeDStream(s->state.zstd);
}

static const struct codec CODECS[] = {
    {"gzip", {0x1f, 0x8b, 8}, 3, gzip_start, gzip_run, gzip_stop},
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, xz_start, xz_run, xz_stop},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, zstd_start, zstd_run, zstd_stop},
    {"bzip2", {'B', 'Z', 'h'}, 3, NULL, NULL, NULL},
    {"zip", {'P', 'K', 3, 4}, 4, NULL, NULL, NULL},
    {"plain", {0}, 0, plain_start, plain_run, plain_stop},
};

/** Fills the input buffer from where it is empty. A pipe gives as little as it likes. */
static bool load(struct stream *s, struct err *err)
{
    memmove(s->input, s->input + s->at, s->have - s->at);
    s->have -= s->at;
    s->at = 0;
    while (!s->ended && s->have < INPUT_BYTES) {
        ssize_t n = read(s->file, s->input + s->have, INPUT_BYTES - s->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, EXIT_ENVIRONMENT, "%s: cannot read: %s", s->name, strerror(errno));
        s->ended = n == 0;
        s->have += (size_t)n;
        s->eaten += (size_t)n;
        if (s->have >= MAGIC_BYTES)
            break;
    }
    return true;
}

static bool choose_codec(struct stream *s, struct err *err)
{
    if (!load(s, err))
        return false;
    const struct codec *c = CODECS;
    while (s->have < c->magic_bytes || memcmp(s->input, c->magic, c->magic_bytes) != 0)
        c++;
    if (!c->start)
        return err_set(err, EXIT_USAGE, "%s: is packed with %s; unpack it, or use gzip, xz or zstd",
                       s->name, c->name);
    s->whole = false;
    if (!c->start(s))
        return err_set(err, EXIT_ENVIRONMENT, "%s: no memory to unpack %s", s->name, c->name);
    s->codec = c;
    return true;
}

static void measure(struct stream *s)
{
    struct stat about;
    s->size = -1;
    s->origin = 0;
    if (fstat(s->file, &about) || !S_ISREG(about.st_mode))
        return;
    s->origin = lseek(s->file, 0, SEEK_CUR);
    if (s->origin < 0)
        return;
    s->size = about.st_size > s->origin ? about.st_size - s->origin : 0;
}

struct stream *stream_open(const char *path, struct err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int file = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        enum exit_code code = errno == EMFILE || errno == ENOMEM ? EXIT_ENVIRONMENT : EXIT_USAGE;
        err_set(err, code, "%s: cannot open: %s", path, strerror(errno));
        return NULL;
    }
    struct stream *s = calloc(1, sizeof *s);
    if (s) {
        s->file = file;
        s->name = strdup(is_stdin ? "stdin" : path);
        s->input = malloc(INPUT_BYTES);
    }
    if (!s || !s->name || !s->input) {
        err_set(err, EXIT_ENVIRONMENT, "%s: out of memory", path);
        if (!s && !is_stdin)
            close(file);
        stream_free(s);
        return NULL;
    }
    measure(s);
    if (!choose_codec(s, err)) {
        stream_free(s);
        return NULL;
    }
    return s;
}

static bool codec_failed(struct stream *s, struct err *err)
{
    return err_set(err, EXIT_USAGE, "%s: bad %s data: %s; the file is damaged, make it again",
                   s->name, s->codec->name, s->reason ? s->reason : "its checks fail");
}

/** One turn of the codec. False is an error or, with err untouched, the end. */
static bool turn(struct stream *s, struct span *out, struct err *err)
{
    if (s->at == s->have && !s->ended && !load(s, err))
        return false;
    size_t left = out->left, at = s->at;
    if (!s->codec->run(s, out))
        return codec_failed(s, err);
    if (left != out->left || at != s->at || !s->ended)
        return true;
    if (!s->whole)
        return err_set(err, EXIT_USAGE,
                       "%s: the %s data ends in the middle; the file is cut short, copy it again",
                       s->name, s->codec->name);
    return false;
}

size_t stream_read(struct stream *s, void *out, size_t max, struct err *err)
{
    struct span to = {out, max};
    while (!s->failure.code && to.left && turn(s, &to, &s->failure))
        continue;
    if (to.left == max && s->failure.code)
        *err = s->failure;
    return max - to.left;
}

bool stream_rewind(struct stream *s, struct err *err)
{
    if (s->size < 0 || lseek(s->file, s->origin, SEEK_SET) < 0)
        return err_set(err, EXIT_USAGE,
                       "%s: cannot go back in a pipe; write the trace to a file first", s->name);
    s->codec->stop(s);
    s->codec = NULL;
    s->at = s->have = 0;
    s->eaten = 0;
    s->ended = false;
    s->reason = NULL;
    s->failure = (struct err){0};
    return choose_codec(s, err);
}

bool stream_skips(const struct stream *s)
{
    return s->size >= 0 && s->codec->run == plain_run;
}

bool stream_skip(struct stream *s, uint64_t bytes, struct err *err)
{
    size_t buffered = s->have - s->at;
    if (bytes <= buffered) {
        s->at += (size_t)bytes;
        return true;
    }
    bytes -= buffered;
    s->at = s->have = 0;
    uint64_t rest = (uint64_t)s->size > s->eaten ? (uint64_t)s->size - s->eaten : 0;
    bytes = bytes < rest ? bytes : rest;
    s->eaten += bytes;
    if (lseek(s->file, s->origin + (off_t)s->eaten, SEEK_SET) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "%s: cannot seek: %s", s->name, strerror(errno));
    return true;
}

uint64_t stream_length(const struct stream *s)
{
    return stream_skips(s) ? (uint64_t)s->size : UINT64_MAX;
}

double stream_progress(const struct stream *s)
{
    if (s->size < 0)
        return -1;
    if (s->size == 0 || s->eaten >= (uint64_t)s->size)
        return 1;
    return (double)s->eaten / (double)s->size;
}

const char *stream_name(const struct stream *s)
{
    return s->name;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    if (s->codec)
        s->codec->stop(s);
    if (s->file > STDERR_FILENO)
        close(s->file);
    free(s->input);
    free(s->name);
    free(s);
}
