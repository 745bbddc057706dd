/**
 * @file
 * Compressed traces, pipes, long lines, and going back and forth.
 */
#include "tests/sim/trace_support.h"
#include "sim/workload/stream.h"

#include <fcntl.h>
#include <lzma.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

enum { LINES = 30000 };

struct bytes {
    unsigned char *at;
    size_t n;
};

/** A trace that is longer than the buffers: a decimal address per line. */
static struct bytes long_trace(void)
{
    struct bytes text = {keep(LINES * 24), 0};
    for (uint64_t i = 0; i < LINES; i++)
        text.n += (size_t)sprintf((char *)text.at + text.n, "%lu\n", i * 2654435761u);
    return text;
}

static struct bytes gzip(struct bytes in)
{
    struct bytes out = {keep(in.n + 1000), 0};
    z_stream z = {.next_in = in.at,
                  .avail_in = (uInt)in.n,
                  .next_out = out.at,
                  .avail_out = (uInt)in.n + 1000};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.n = z.total_out;
    deflateEnd(&z);
    return out;
}

static struct bytes xz(struct bytes in)
{
    struct bytes out = {keep(in.n + 1000), 0};
    cr_assert_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, in.at, in.n, out.at, &out.n,
                                         in.n + 1000),
                 LZMA_OK);
    return out;
}

static struct bytes zstd(struct bytes in)
{
    struct bytes out = {keep(in.n + 1000), 0};
    out.n = ZSTD_compress(out.at, in.n + 1000, in.at, in.n, 3);
    cr_assert_not(ZSTD_isError(out.n));
    return out;
}

struct packer {
    const char *name;
    struct bytes (*pack)(struct bytes);
};

static const struct packer PACKERS[] = {{"gzip", gzip}, {"xz", xz}, {"zstd", zstd}};

enum { PACKER_COUNT = sizeof PACKERS / sizeof *PACKERS };

static struct whole read_all(struct bytes b)
{
    return read_bytes(b.at, b.n, &(struct trace_options){0});
}

static struct bytes concatenate(struct bytes a, struct bytes b)
{
    struct bytes both = {keep(a.n + b.n), a.n + b.n};
    memcpy(both.at, a.at, a.n);
    memcpy(both.at + a.n, b.at, b.n);
    return both;
}

Test(trace_stream, compressed_traces_read_as_plain_ones)
{
    struct bytes text = long_trace();
    struct whole plain = read_all(text);
    cr_assert_eq(plain.count, LINES);
    for (size_t i = 0; i < PACKER_COUNT; i++) {
        struct whole packed = read_all(PACKERS[i].pack(text));
        cr_expect_eq(packed.err.code, EXIT_OK, "%s: %s", PACKERS[i].name, packed.err.text);
        expect_same(&plain, &packed);
    }
}

Test(trace_stream, compressed_files_one_after_the_other_are_one_trace)
{
    struct bytes text = long_trace();
    struct whole plain = read_all(concatenate(text, text));
    for (size_t i = 0; i < PACKER_COUNT; i++) {
        struct bytes packed = PACKERS[i].pack(text);
        struct whole twice = read_all(concatenate(packed, packed));
        cr_expect_eq(twice.err.code, EXIT_OK, "%s: %s", PACKERS[i].name, twice.err.text);
        expect_same(&plain, &twice);
    }
}

Test(trace_stream, a_compressed_file_that_is_cut_short_gives_what_it_has_and_an_error)
{
    struct bytes text = long_trace();
    for (size_t i = 0; i < PACKER_COUNT; i++) {
        struct bytes packed = PACKERS[i].pack(text);
        packed.n = packed.n * 9 / 10;
        struct whole w = read_all(packed);
        cr_expect_eq(w.err.code, EXIT_USAGE, "%s", PACKERS[i].name);
        cr_expect(strstr(w.err.text, "cut short"), "%s: %s", PACKERS[i].name, w.err.text);
        cr_expect(strstr(w.err.text, PACKERS[i].name), "%s", w.err.text);
        if (i != 2) /* zstd made one block of it all */
            cr_expect_gt(w.count, 0, "%s", PACKERS[i].name);
    }
}

Test(trace_stream, a_damaged_compressed_file_is_an_error)
{
    struct bytes text = long_trace();
    for (size_t i = 0; i < PACKER_COUNT; i++) {
        struct bytes packed = PACKERS[i].pack(text);
        for (size_t j = packed.n / 2; j < packed.n / 2 + 16; j++)
            packed.at[j] ^= 0x55;
        struct whole w = read_all(packed);
        cr_expect_neq(w.err.code, EXIT_OK, "%s", PACKERS[i].name);
    }
}

Test(trace_stream, other_packings_are_named)
{
    const char *bzip2 = "BZh91AY&SY";
    struct whole w = read_bytes(bzip2, strlen(bzip2), &(struct trace_options){0});
    cr_expect(strstr(w.err.text, "bzip2"), "%s", w.err.text);
    w = read_bytes("PK\003\004 etc.", 9, &(struct trace_options){0});
    cr_expect(strstr(w.err.text, "zip"), "%s", w.err.text);
}

Test(trace_stream, a_line_longer_than_the_buffer_is_malformed_and_the_next_is_fine)
{
    enum { LONG = 1000000 };
    char *text = keep(LONG + 100);
    size_t n = (size_t)sprintf(text, "1\n");
    memset(text + n, '0', LONG);
    n += LONG;
    n += (size_t)sprintf(text + n, "5\n7\nx\n");
    struct whole w = read_bytes(text, n, &(struct trace_options){0});
    cr_expect(strstr(w.err.text, ":2: 64 KiB or more of line in \"0000"), "%s", w.err.text);
    cr_expect_eq(w.count, 1);
    w = read_bytes(text, n, &(struct trace_options){.max_errors = 1});
    cr_assert_eq(w.count, 2);
    expect_access(&w, 1, OP_READ, 7, 8);
    cr_expect(strstr(w.err.text, ":4: "), "%s", w.err.text);
}

/* What valgrind leaves where a child truncates the log that its parent goes on writing. */
Test(trace_stream, a_hole_in_the_file_is_named)
{
    enum { HOLE = 300000 };
    char *text = keep(HOLE + 100);
    strcpy(text, "1\n");
    strcpy(text + 2 + HOLE, "\n7\n");
    struct whole w = read_bytes(text, HOLE + 5, &(struct trace_options){0});
    cr_expect(strstr(w.err.text, ":2: zero bytes"), "%s", w.err.text);
    w = read_bytes(text, HOLE + 5, &(struct trace_options){.max_errors = 1});
    cr_expect_eq(w.count, 2, "%s", w.err.text);
}

Test(trace_stream, a_comment_may_be_longer_than_the_buffer)
{
    enum { LONG = 1000000 };
    char *text = keep(LONG + 100);
    memset(text, '#', LONG);
    strcpy(text + LONG, "\n7\n");
    struct whole w = read_bytes(text, LONG + 3, &(struct trace_options){.format = TRACE_DECIMAL});
    cr_expect_eq(w.err.code, EXIT_OK, "%s", w.err.text);
    cr_expect_eq(w.count, 1);
}

Test(trace_stream, a_file_of_one_line_without_its_end_is_read)
{
    struct whole w = read_bytes("16916", 5, &(struct trace_options){0});
    cr_assert_eq(w.count, 1);
    expect_access(&w, 0, OP_READ, 16916, 8);
}

/* ---- speed ---- */

/** Only told, never judged: machines differ. */
Test(trace_stream, lines_per_second_are_told)
{
    enum { ROUNDS = 20000, ROUND_LINES = 4 };
    static const char ROUND[] = "I  0401ab70,3\n S 1fff000708,8\nI  0401ab73,5\n L 04033e06,1\n";
    struct bytes text = {keep(ROUNDS * sizeof ROUND), 0};
    for (size_t i = 0; i < ROUNDS; i++, text.n += sizeof ROUND - 1)
        memcpy(text.at + text.n, ROUND, sizeof ROUND - 1);
    struct err err = {0};
    struct source *source = open_bytes(text.at, text.n, &(struct trace_options){0}, &err);
    static struct access batch[BATCH];
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    while (source->ops->fill(source, batch, BATCH, &err))
        continue;
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    cr_expect_eq(source->ops->tell(source), ROUNDS * ROUND_LINES);
    cr_log_info("lackey: %.1f million lines per second\n", ROUNDS * ROUND_LINES / seconds / 1e6);
    source->ops->free(source);
}

/* ---- batches ---- */

Test(trace_stream, batches_of_any_size_give_the_same_records)
{
    struct whole whole;
    for (size_t batch = 2; batch < 300; batch += batch < 10 ? 1 : 53) {
        struct err err = {0};
        struct source *source = trace_open("tests/sim/data/traces/lackey-fork-exec.txt",
                                           &(struct trace_options){0}, &err);
        cr_assert(source, "%s", err.text);
        struct whole w = read_source(source, batch);
        if (batch == 2)
            whole = w;
        expect_same(&whole, &w);
        cr_expect_eq(w.report.events, 39);
    }
}

/* ---- going back and forth ---- */

static void expect_at(struct source *source, uint64_t record)
{
    struct err err = {0};
    struct access a[2];
    cr_assert(source->ops->seek(source, record, &err), "%s", err.text);
    cr_assert_eq(source->ops->tell(source), record);
    cr_assert_gt(source->ops->fill(source, a, 2, &err), 0);
    cr_expect_eq(a[0].gva, record * 2654435761u, "record %lu", record);
}

Test(trace_stream, seek_goes_forwards_and_backwards_in_plain_and_compressed_files)
{
    struct bytes text = long_trace();
    struct bytes packed[] = {text, gzip(text), xz(text), zstd(text)};
    for (size_t i = 0; i < 4; i++) {
        struct err err = {0};
        struct source *source =
            open_bytes(packed[i].at, packed[i].n, &(struct trace_options){0}, &err);
        cr_assert(source, "%s", err.text);
        static const uint64_t TO[] = {0, 20000, 20001, 20000, 3, 29999, 0, 1, 4096, 4095};
        for (size_t j = 0; j < sizeof TO / sizeof *TO; j++)
            expect_at(source, TO[j]);
        cr_expect(source->ops->seek(source, LINES, &err), "to the end: %s", err.text);
        cr_expect_not(source->ops->seek(source, LINES + 1, &err));
        cr_expect(strstr(err.text, "it has 30000"), "%s", err.text);
        source->ops->free(source);
    }
}

Test(trace_stream, seek_into_an_event_is_an_error)
{
    struct err err = {0};
    const char *text = " L 1000,8\nSYSCALL[1,1](11) sys_munmap ( 0x1000, 4096 )[sync] --> "
                       "Success(0x0) \n L 2000,8\n";
    struct source *source = open_bytes(text, strlen(text), &(struct trace_options){0}, &err);
    struct access a[4];
    cr_expect(source->ops->seek(source, 3, &err));
    cr_assert_eq(source->ops->fill(source, a, 4, &err), 1);
    cr_expect_eq(a[0].gva, 0x2000);
    cr_expect(source->ops->seek(source, 1, &err));
    cr_assert_eq(source->ops->fill(source, a, 2, &err), 2);
    cr_expect_eq(a[0].op, OP_UNMAP);
    cr_expect_not(source->ops->seek(source, 2, &err));
    cr_expect(strstr(err.text, "second half"), "%s", err.text);
    source->ops->free(source);
}

/** Gives stdin the bytes through a pipe. */
static void pipe_in(const char *text)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
}

Test(trace_stream, a_pipe_reads_from_stdin_but_cannot_go_back)
{
    pipe_in("1\n2\n3\n");
    struct err err = {0};
    struct source *source = trace_open("-", &(struct trace_options){0}, &err);
    cr_assert(source, "%s", err.text);
    cr_expect_lt(source->ops->progress(source), 0);
    cr_expect(source->ops->seek(source, 2, &err));
    cr_expect_not(source->ops->seek(source, 1, &err));
    cr_expect_eq(err.code, EXIT_USAGE);
    cr_expect_str_eq(err.text, "stdin: cannot go back in a pipe; write the trace to a file first");
    source->ops->free(source);
}

Test(trace_stream, a_malformed_line_of_stdin_is_told_with_its_number)
{
    pipe_in("1\nx\n");
    struct err err = {0};
    struct whole w = read_source(trace_open("-", &(struct trace_options){0}, &err), BATCH);
    cr_expect(strstr(w.err.text, "stdin:2: "), "%s", w.err.text);
}

Test(trace_stream, stdin_that_is_a_file_can_go_back_to_where_it_stood)
{
    char path[PATH_BYTES];
    write_file(path, "99\n1\n2\n", 7);
    int file = open(path, O_RDONLY);
    cr_assert_eq(lseek(file, 3, SEEK_SET), 3);
    dup2(file, STDIN_FILENO);
    unlink(path);
    struct err err = {0};
    struct source *source = trace_open("-", &(struct trace_options){0}, &err);
    struct access a[2];
    for (int i = 0; i < 2; i++) {
        cr_assert(source->ops->seek(source, 0, &err), "%s", err.text);
        cr_assert_eq(source->ops->fill(source, a, 2, &err), 1);
        cr_expect_eq(a[0].gva, 1);
        cr_assert_eq(source->ops->fill(source, a, 2, &err), 1);
    }
    source->ops->free(source);
}

Test(trace_stream, progress_goes_from_0_to_1)
{
    struct bytes text = long_trace();
    struct err err = {0};
    struct source *source = open_bytes(text.at, text.n, &(struct trace_options){0}, &err);
    double first = source->ops->progress(source);
    cr_expect(first >= 0 && first <= 1);
    cr_expect(source->ops->seek(source, LINES, &err));
    cr_expect_eq(source->ops->progress(source), 1);
    source->ops->free(source);
}
