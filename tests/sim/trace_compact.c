/**
 * @file
 * The compact format: exact round trips, damage found, files that appear only when whole.
 */
#include "tests/sim/trace_support.h"

#include <glob.h>
#include <sys/stat.h>

enum { MANY = 100000, HEADER = 8, BLOCK_HEADER = 24, BLOCK = 8192 };

static void put_all(const char *path, const struct access *records, size_t n,
                    const struct source *ids)
{
    struct err err = {0};
    struct trace_writer *writer = trace_writer_open(path, &err);
    cr_assert(writer, "%s", err.text);
    cr_assert(trace_writer_put(writer, records, n, &err), "%s", err.text);
    if (ids)
        cr_assert(trace_writer_ids(writer, ids, &err), "%s", err.text);
    cr_assert(trace_writer_close(writer, &err), "%s", err.text);
}

/** Writes and opens. */
static struct source *reopen(const struct access *records, size_t n, const struct source *ids,
                             char path[PATH_BYTES])
{
    struct err err = {0};
    write_file(path, "", 0);
    put_all(path, records, n, ids);
    struct source *source = trace_open(path, &(struct trace_options){0}, &err);
    cr_assert(source, "%s", err.text);
    cr_expect_eq(trace_report(source)->format, TRACE_COMPACT);
    return source;
}

static struct whole round_trip(const struct access *records, size_t n)
{
    char path[PATH_BYTES];
    struct whole w = read_source(reopen(records, n, NULL, path), BATCH);
    unlink(path);
    cr_expect_eq(w.err.code, EXIT_OK, "%s", w.err.text);
    return w;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 16;
}

/** Every op, and every field with values small and large. Events take two records. */
static size_t make_records(struct access *records, size_t max, uint64_t seed)
{
    size_t n = 0;
    gva_t near = 0;
    while (n + 2 <= max) {
        uint64_t r = next_random(&seed), wild = next_random(&seed) << 16 ^ next_random(&seed);
        near = r % 7 ? near + (r >> 8) % 64 - 16 : wild;
        struct access a = {.gva = near,
                           .size = (uint16_t)(r % 11 ? 1 + (r >> 20) % 16 : wild),
                           .op = (uint8_t)(r % 13 ? r % 4 : r % OP_COUNT),
                           .flags = (uint8_t)(r % 17 ? 1 : wild),
                           .process = (uint16_t)(r % 19 ? 0 : wild),
                           .thread = (uint16_t)(r % 23 ? 0 : wild >> 16)};
        records[n++] = a;
        if (a.op < OP_MAP)
            continue;
        struct operand o = {.length = r % 2 ? wild : 4096,
                            .rights = (uint32_t)(r % 3 ? 11 : wild),
                            .process = (uint32_t)(r % 5 ? 0 : wild)};
        memcpy(&records[n++], &o, sizeof o);
    }
    return n;
}

Test(trace_compact, a_round_trip_is_exact)
{
    struct access *records = keep(MANY * sizeof *records);
    for (uint64_t seed = 1; seed < 8; seed++) {
        size_t n = make_records(records, MANY, seed);
        struct whole w = round_trip(records, n);
        struct whole in = {.record = records, .count = n};
        expect_same(&in, &w);
    }
}

Test(trace_compact, a_round_trip_of_a_real_log_is_exact_and_keeps_the_ids)
{
    struct err err = {0};
    const char *log = "tests/sim/data/traces/lackey-fork-exec.txt";
    struct source *text = trace_open(log, &(struct trace_options){0}, &err);
    static struct access records[BATCH];
    size_t n = text->ops->fill(text, records, BATCH, &err);
    cr_assert_eq(n, 301);
    char path[PATH_BYTES];
    struct source *compact = reopen(records, n, text, path);
    static struct access again[BATCH];
    cr_assert_eq(compact->ops->fill(compact, again, BATCH, &err), n);
    cr_expect_arr_eq(records, again, n * sizeof *again);
    cr_expect_eq(compact->ops->fill(compact, again, BATCH, &err), 0);
    cr_expect_eq(trace_report(compact)->events, 39);
    cr_expect_eq(trace_report(compact)->processes, 2);
    cr_expect_eq(trace_report(compact)->threads, 2);
    cr_expect_eq(trace_process_id(compact, 0), 4964);
    cr_expect_eq(trace_process_id(compact, 1), 4974);
    cr_expect_eq(trace_process_id(compact, 2), 0);
    cr_expect_eq(trace_thread_id(compact, 1), 1);
    text->ops->free(text);
    compact->ops->free(compact);
    unlink(path);
}

Test(trace_compact, a_loop_takes_less_than_three_bytes_per_access)
{
    enum { TURNS = 20000 };
    struct access *records = keep(4 * TURNS * sizeof *records);
    size_t n = 0;
    for (gva_t i = 0; i < TURNS; i++) {
        records[n++] = (struct access){.gva = 0x401000, .size = 4, .op = OP_EXEC, .flags = 1};
        records[n++] =
            (struct access){.gva = 0x7f0000000000 + i * 8, .size = 8, .op = OP_READ, .flags = 1};
        records[n++] = (struct access){.gva = 0x401004, .size = 3, .op = OP_EXEC, .flags = 1};
        records[n++] = (struct access){.gva = 0x7fff0010, .size = 8, .op = OP_MODIFY, .flags = 1};
    }
    char path[PATH_BYTES];
    write_file(path, "", 0);
    put_all(path, records, n, NULL);
    struct stat about;
    cr_assert_eq(stat(path, &about), 0);
    unlink(path);
    cr_expect_lt((size_t)about.st_size, 3 * n, "%ld bytes for %zu", about.st_size, n);
}

Test(trace_compact, seek_finds_any_record)
{
    struct access *records = keep(MANY * sizeof *records);
    size_t n = make_records(records, MANY, 99);
    char path[PATH_BYTES];
    struct source *source = reopen(records, n, NULL, path);
    uint64_t seed = 5;
    for (int i = 0; i < 200; i++) {
        size_t at = next_random(&seed) % n;
        bool operand = at && records[at - 1].op >= OP_MAP && records[at - 1].op < OP_COUNT;
        if (operand || at + 2 > n)
            continue; /* perhaps an operand's bytes: not a position to go to */
        struct err err = {0};
        struct access got[2];
        if (!source->ops->seek(source, at, &err))
            continue;
        cr_assert_eq(source->ops->tell(source), at);
        size_t made = source->ops->fill(source, got, 2, &err);
        cr_assert_gt(made, 0, "%s", err.text);
        cr_assert_arr_eq(got, records + at, made * sizeof *got);
    }
    struct err err = {0};
    cr_expect(source->ops->seek(source, n, &err), "%s", err.text);
    cr_expect_not(source->ops->seek(source, n + 1, &err));
    source->ops->free(source);
    unlink(path);
}

Test(trace_compact, seek_to_block_borders_works_from_anywhere)
{
    struct access *records = keep(MANY * sizeof *records);
    for (size_t i = 0; i < MANY; i++)
        records[i] = (struct access){.gva = i * 4099, .size = 8, .op = OP_READ, .flags = 1};
    char path[PATH_BYTES];
    struct source *source = reopen(records, MANY, NULL, path);
    static const uint64_t TO[] = {BLOCK,     BLOCK - 1,  3 * BLOCK, 3 * BLOCK + 1,
                                  5,         12 * BLOCK, MANY - 1,  0,
                                  BLOCK + 1, BLOCK + 2,  MANY - 2};
    for (size_t i = 0; i < sizeof TO / sizeof *TO; i++) {
        struct err err = {0};
        struct access got[2];
        cr_assert(source->ops->seek(source, TO[i], &err), "%s", err.text);
        cr_assert_gt(source->ops->fill(source, got, 2, &err), 0, "%s", err.text);
        cr_expect_eq(got[0].gva, TO[i] * 4099);
    }
    source->ops->free(source);
    unlink(path);
}

/* ---- damage ---- */

struct file {
    unsigned char *bytes;
    size_t n;
};

static struct file compact_file(size_t records)
{
    struct access *in = keep(records * sizeof *in);
    for (size_t i = 0; i < records; i++)
        in[i] = (struct access){.gva = i * 4099, .size = 8, .op = OP_READ, .flags = 1};
    char path[PATH_BYTES];
    write_file(path, "", 0);
    put_all(path, in, records, NULL);
    FILE *file = fopen(path, "rb");
    struct file f = {keep(records * 16 + 1000), 0};
    f.n = fread(f.bytes, 1, records * 16 + 1000, file);
    fclose(file);
    unlink(path);
    return f;
}

static struct whole read_file(struct file f)
{
    return read_bytes(f.bytes, f.n, &(struct trace_options){0});
}

Test(trace_compact, a_changed_byte_anywhere_is_found)
{
    struct file f = compact_file(50);
    cr_assert_eq(read_file(f).count, 50);
    for (size_t i = 4; i < f.n; i++) {
        f.bytes[i] ^= 0x10;
        struct whole w = read_file(f);
        cr_expect_eq(w.err.code, EXIT_USAGE, "byte %zu", i);
        cr_expect(i < HEADER || strstr(w.err.text, "block "), "%s", w.err.text);
        f.bytes[i] ^= 0x10;
    }
}

Test(trace_compact, damage_is_told_with_the_number_of_its_block)
{
    struct file f = compact_file(3 * BLOCK);
    f.bytes[f.n / 2] ^= 1;
    struct whole w = read_file(f);
    cr_expect_eq(w.count, BLOCK, "the blocks before it are handed out");
    cr_expect(strstr(w.err.text, "block 2: damaged: its checksum is wrong"), "%s", w.err.text);
}

Test(trace_compact, a_file_cut_short_anywhere_is_an_error)
{
    struct file f = compact_file(50);
    size_t whole = f.n;
    for (f.n = 4; f.n < whole; f.n++) {
        struct whole w = read_file(f);
        cr_expect_eq(w.err.code, EXIT_USAGE, "%zu bytes", f.n);
    }
    f.n = whole - BLOCK_HEADER;
    struct whole w = read_file(f);
    cr_expect_eq(w.count, 50);
    cr_expect(strstr(w.err.text, "block 2: the file is cut short"), "%s", w.err.text);
}

Test(trace_compact, sizes_beyond_the_limits_are_not_believed)
{
    struct file f = compact_file(50);
    memset(f.bytes + HEADER + 4, 0xff, 8);
    struct whole w = read_file(f);
    cr_expect(strstr(w.err.text, "larger than a block may be"), "%s", w.err.text);
}

Test(trace_compact, something_after_the_end_is_an_error)
{
    struct file f = compact_file(50);
    f.bytes[f.n++] = 0;
    struct whole w = read_file(f);
    cr_expect_eq(w.count, 50);
    cr_expect(strstr(w.err.text, "something follows"), "%s", w.err.text);
}

Test(trace_compact, another_version_is_named)
{
    struct file f = compact_file(50);
    f.bytes[4] = 2;
    struct whole w = read_file(f);
    cr_expect(strstr(w.err.text, "version 2"), "%s", w.err.text);
}

/* ---- the file ---- */

Test(trace_compact, the_file_appears_when_it_is_closed)
{
    char path[PATH_BYTES], pattern[PATH_BYTES + 8];
    write_file(path, "old", 3);
    struct err err = {0};
    struct access a = {.gva = 1, .size = 1};
    struct trace_writer *writer = trace_writer_open(path, &err);
    cr_assert(trace_writer_put(writer, &a, 1, &err));
    struct stat about;
    cr_assert_eq(stat(path, &about), 0);
    cr_expect_eq(about.st_size, 3, "until then the old one stands");
    cr_assert(trace_writer_close(writer, &err));
    cr_assert_eq(stat(path, &about), 0);
    cr_expect_gt(about.st_size, 3);
    writer = trace_writer_open(path, &err);
    trace_writer_abandon(writer);
    snprintf(pattern, sizeof pattern, "%s?*", path);
    glob_t found;
    cr_expect_eq(glob(pattern, 0, NULL, &found), GLOB_NOMATCH, "no other file is left");
    unlink(path);
}

Test(trace_compact, a_place_that_cannot_be_written_is_the_environments_fault)
{
    struct err err = {0};
    cr_expect_null(trace_writer_open("tests/none/here", &err));
    cr_expect_eq(err.code, EXIT_ENVIRONMENT);
    struct trace_writer *writer = trace_writer_open("/dev/full", &err);
    cr_expect_null(writer);
    cr_expect(strstr(err.text, "/dev/full: cannot write: No space"), "%s", err.text);
}

Test(trace_compact, an_event_without_its_operand_is_not_written)
{
    struct err err = {0};
    struct access a = {.op = OP_EXIT};
    struct trace_writer *writer = trace_writer_open("/dev/null", &err);
    cr_expect_not(trace_writer_put(writer, &a, 1, &err));
    cr_expect(strstr(err.text, "record 0"), "%s", err.text);
    trace_writer_abandon(writer);
}
