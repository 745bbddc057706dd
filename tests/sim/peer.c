/*
 * A peer: TLBs of 32, 32 and 1024 entries against a plain simulation (arrays, linear search, `%`,
 * time stamps) on a real trace, through every trace format. The sizes are those that simulators of
 * TLBs come with: a fully associative L1 for instructions, another for data, and a shared L2 of
 * four ways.
 */
#include "tests/sim/machines.h"

#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "sim/replay.h"

enum { SOME = 200000, PAGE = 4096, ITEMS_MAX = 2 * SOME };

static const char shipped[] = "scenarios/traces/gzip.nwtrace.xz";

/* ---- the plain simulation ---- */

enum { PLAIN_ENTRIES = 1024 };

struct plain_tlb {
    unsigned sets, ways;
    bool lfu;
    struct plain_entry {
        uint64_t page, last, uses; /* uses 0: invalid */
    } entry[PLAIN_ENTRIES];
    uint64_t time, hits, misses;
};

static struct plain_entry *plain_set(struct plain_tlb *t, uint64_t page)
{
    return &t->entry[page % t->sets * t->ways];
}

static bool plain_lookup(struct plain_tlb *t, uint64_t page)
{
    struct plain_entry *set = plain_set(t, page);
    for (unsigned w = 0; w < t->ways; w++)
        if (set[w].uses && set[w].page == page) {
            set[w].uses++;
            set[w].last = ++t->time;
            t->hits++;
            return true;
        }
    t->misses++;
    return false;
}

/* Invalid ways first, the lowest; else the least recently or least frequently used. */
static void plain_fill(struct plain_tlb *t, uint64_t page)
{
    struct plain_entry *set = plain_set(t, page), *victim = set;
    for (unsigned w = 1; w < t->ways && victim->uses; w++)
        if (!set[w].uses || (t->lfu ? set[w].uses < victim->uses : set[w].last < victim->last))
            victim = &set[w];
    *victim = (struct plain_entry){.page = page, .last = ++t->time, .uses = 1};
}

static void plain_drop(struct plain_tlb *t, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < PLAIN_ENTRIES; i++)
        if (t->entry[i].page >= first && t->entry[i].page <= last)
            t->entry[i].uses = 0;
}

/* Who knows which pages are mapped with which rights: the last event that names them. */
struct plain_event {
    enum op op;
    uint64_t first, last; /* pages */
    uint32_t rights;
};

struct plain {
    struct plain_tlb i, d, l2;
    struct plain_page {
        uint64_t page;
        uint32_t rights;
    } page[8192];
    size_t pages, events;
    struct plain_event event[64];
};

static struct plain *plain_new(bool lfu)
{
    struct plain *p = calloc(1, sizeof *p);
    cr_assert(p != NULL);
    p->i = p->d = (struct plain_tlb){.sets = 1, .ways = 32, .lfu = lfu};
    p->l2 = (struct plain_tlb){.sets = 256, .ways = 4, .lfu = lfu};
    return p;
}

static uint32_t plain_rights(const struct plain *p, uint64_t page)
{
    uint32_t rights = RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | RIGHT_USER;
    for (size_t e = 0; e < p->events; e++)
        if (page >= p->event[e].first && page <= p->event[e].last)
            rights = p->event[e].op == OP_UNMAP ? RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | RIGHT_USER
                                                : p->event[e].rights;
    return rights;
}

static void plain_touch(struct plain *p, uint64_t page)
{
    for (size_t i = 0; i < p->pages; i++)
        if (p->page[i].page == page)
            return;
    cr_assert_lt(p->pages, sizeof p->page / sizeof *p->page);
    p->page[p->pages++] = (struct plain_page){page, plain_rights(p, page)};
}

/* An access is one translation, or two if it crosses a page. */
static void plain_access(struct plain *p, enum op op, gva_t gva, unsigned size)
{
    struct plain_tlb *l1 = op == OP_EXEC ? &p->i : &p->d;
    for (uint64_t page = gva / PAGE; page <= (gva + size - 1) / PAGE; page++) {
        if (plain_lookup(l1, page))
            continue;
        if (!plain_lookup(&p->l2, page)) {
            plain_touch(p, page);
            plain_fill(&p->l2, page);
        }
        plain_fill(l1, page);
    }
}

/* As Linux does: an INVLPG for each page that changed up to 33, and then all at once. */
static void plain_guest(struct plain *p, const struct access *a, const struct operand *operand)
{
    uint64_t first = a->gva / PAGE, last = (a->gva + operand->length - 1) / PAGE;
    size_t changed = 0, kept = 0;
    for (size_t i = 0; i < p->pages; i++) {
        struct plain_page page = p->page[i];
        bool in = page.page >= first && page.page <= last;
        bool changes = in && (a->op != OP_PROTECT || page.rights != operand->rights);
        changed += changes;
        if (changes && a->op == OP_PROTECT)
            page.rights = operand->rights;
        if (!changes || a->op == OP_PROTECT)
            p->page[kept++] = page;
    }
    p->pages = kept;
    if (changed > 33)
        first = 0, last = UINT64_MAX;
    for (unsigned t = 0; changed && t < 3; t++)
        plain_drop(t == 0 ? &p->i : t == 1 ? &p->d : &p->l2, first, last);
    cr_assert_lt(p->events, sizeof p->event / sizeof *p->event);
    p->event[p->events++] = (struct plain_event){
        a->op, a->gva / PAGE, (a->gva + operand->length - 1) / PAGE, operand->rights};
}

/* ---- what a trace says ---- */

struct said {
    struct access *list;
    size_t n;
};

static void say(struct said *s, enum op op, gva_t gva, unsigned size)
{
    cr_assert_lt(s->n, ITEMS_MAX);
    s->list[s->n++] = (struct access){
        .gva = gva, .size = (uint16_t)size, .op = (uint8_t)op, .flags = ACCESS_USER};
}

/* Where a format has no sizes: so many bytes, or what is left of the page. */
static unsigned unsized(gva_t gva, unsigned size)
{
    unsigned rest = PAGE - (unsigned)(gva % PAGE);
    return size < rest ? size : rest;
}

/* The first accesses of the shipped trace, or all (@p most: SIZE_MAX); no events. */
static struct said shipped_accesses(size_t most)
{
    struct err err = {0};
    struct trace_options options = {0};
    struct source *source = trace_open(shipped, &options, &err);
    struct access batch[4096];
    struct said s = {malloc(ITEMS_MAX * sizeof *s.list), 0};
    cr_assert(source && s.list, "%s", err.text);
    for (size_t n; s.n < most && (n = source->ops->fill(source, batch, 4096, &err));)
        for (size_t i = 0; i < n && s.n < most; i++)
            if (batch[i].op <= OP_MODIFY)
                s.list[s.n++] = batch[i];
            else
                i++; /* its operand */
    source->ops->free(source);
    cr_assert_eq(err.code, EXIT_OK, "%s", err.text);
    return s;
}

/* ---- writers: each writes an access and says what its format makes of it ---- */

#define U(x) ((unsigned long)(x))

static void put_lackey(FILE *f, const struct access *a, struct said *s)
{
    static const char *const kinds[] = {" L", " S", "I ", " M"};
    fprintf(f, "%s %08lx,%u\n", kinds[a->op], U(a->gva), a->size);
    say(s, a->op, a->gva, a->size);
}

static void put_din(FILE *f, const struct access *a, struct said *s)
{
    static const enum op first[] = {OP_READ, OP_WRITE, OP_EXEC, OP_READ};
    fprintf(f, "%u %lx\n", (unsigned)first[a->op], U(a->gva));
    say(s, first[a->op], a->gva, unsized(a->gva, 4));
    if (a->op == OP_MODIFY) {
        fprintf(f, "1 %lx\n", U(a->gva));
        say(s, OP_WRITE, a->gva, unsized(a->gva, 4));
    }
}

static void put_dinero(FILE *f, const struct access *a, struct said *s)
{
    fprintf(f, "%c %lx %x\n", "rwim"[a->op], U(a->gva), a -> size);
    say(s, a->op, a->gva, a->size);
}

static void view_line(FILE *f, const char *kind, const struct access *a, size_t n)
{
    fprintf(f, "%12zu %11zu: W0.T77 %-12s%2u byte(s) @ 0x%016lx by PC 0x0000000000401000\n", n, n,
            kind, a->size, U(a->gva));
}

static void put_drmemtrace(FILE *f, const struct access *a, struct said *s)
{
    static const char *const kinds[] = {"read", "write", "ifetch", "read"};
    view_line(f, kinds[a->op], a, s->n + 1);
    say(s, a->op == OP_MODIFY ? OP_READ : a->op, a->gva, a->size);
    if (a->op == OP_MODIFY) {
        view_line(f, "write", a, s->n + 1);
        say(s, OP_WRITE, a->gva, a->size);
    }
}

static void put_pinatrace(FILE *f, const struct access *a, struct said *s)
{
    if (a->op == OP_EXEC)
        return;
    for (unsigned write = a->op == OP_WRITE; write <= (a->op != OP_READ); write++) {
        fprintf(f, "0x401000: %c %#18lx %2u %#18x\n", "RW"[write], U(a->gva), a -> size, 7);
        say(s, write ? OP_WRITE : OP_READ, a->gva, a->size);
    }
}

static void put_perf_mem(FILE *f, const struct access *a, struct said *s)
{
    static const unsigned sources[] = {0x68100142, 0x5080144, 0, 0x5080146};
    if (a->op == OP_EXEC)
        return;
    fprintf(f, "812,812,0x401136,0x%lx,7,0x%x,/bin/a:main\n", U(a->gva), sources[a->op]);
    say(s, a->op, a->gva, unsized(a->gva, 8));
}

static void put_decimal(FILE *f, const struct access *a, struct said *s)
{
    fprintf(f, "%lu\n", U(a->gva));
    say(s, OP_READ, a->gva, unsized(a->gva, 8));
}

/* An instruction, then one load or store. */
static void champsim_record(FILE *f, gva_t ip, gva_t load, gva_t store, struct said *s)
{
    uint64_t record[8] = {ip, 0, store, 0, load, 0, 0, 0};
    fwrite(record, sizeof record, 1, f);
    say(s, OP_EXEC, ip, 1);
    if (load)
        say(s, OP_READ, load, unsized(load, 8));
    if (store)
        say(s, OP_WRITE, store, unsized(store, 8));
}

static void put_champsim(FILE *f, const struct access *a, struct said *s)
{
    static const gva_t ip = 0x401000;
    bool load = a->op == OP_READ || a->op == OP_MODIFY, store = a->op & 1;
    if (a->op == OP_EXEC)
        champsim_record(f, a->gva, 0, 0, s);
    else
        champsim_record(f, ip, load ? a->gva : 0, store ? a->gva : 0, s);
}

struct writer {
    const char *name, *head, *tail;
    void (*put)(FILE *, const struct access *, struct said *);
    enum trace_format format;
};

static const struct writer writers[] = {
    {"lackey", "==1== Lackey, an example Valgrind tool\n", "==1== Exit code: 0\n", put_lackey,
     TRACE_LACKEY},
    {"din", "", "", put_din, TRACE_DIN},
    {"dinero", "", "", put_dinero, TRACE_DINERO},
    {"champsim", "", "", put_champsim, TRACE_CHAMPSIM},
    {"drmemtrace", "Output format:\n<--record#-> <--instr#->: <Wrkld.Tid> <record details>\n", "",
     put_drmemtrace, TRACE_DRMEMTRACE},
    {"pinatrace", "#\n# Memory Access Trace Generated By Pin\n#\n", "#eof\n", put_pinatrace,
     TRACE_PINATRACE},
    {"perf-mem", "# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL\n", "", put_perf_mem,
     TRACE_PERF_MEM},
    {"decimal", "# addresses\n", "", put_decimal, TRACE_DECIMAL},
};

enum { WRITERS = sizeof writers / sizeof *writers };

/* A file of its own for each test. */
static void new_path(char path[64])
{
    strcpy(path, "/tmp/nestwalk-peer-XXXXXX");
    int file = mkstemp(path);
    cr_assert(file >= 0);
    close(file);
}

static struct said write_as(const struct writer *w, const struct said *from, const char *path)
{
    struct said s = {malloc(ITEMS_MAX * sizeof *s.list), 0};
    FILE *f = fopen(path, "w");
    cr_assert(f && s.list);
    fputs(w->head, f);
    for (size_t i = 0; i < from->n; i++)
        w->put(f, &from->list[i], &s);
    fputs(w->tail, f);
    cr_assert_eq(fclose(f), 0);
    return s;
}

/* ---- the peer ---- */

#define TLB(entries, ways) "{\"entries\":" entries ",\"ways\":" ways ",\"replacement\":\"%s\"}"

static void load_host(struct scenario *s, const char *policy)
{
    char json[1024];
    struct diagnostics diagnostics = {0};
    snprintf(
        json, sizeof json,
        "{\"version\":1,\"machine\":{\"memory\":\"4GiB\",\"override\":{\"tlb\":{\"l1i\":" TLB(
            "32", "0") ",\"l1d\":" TLB("32",
                                       "0") ",\"l2\":" TLB("1024",
                                                           "4") "},"
                                                                "\"structure_caches\":{\"pde\":{"
                                                                "\"entries\":0},\"pdpte\":{"
                                                                "\"entries\":0},"
                                                                "\"pml4\":{\"entries\":0},\"pml5\":"
                                                                "{\"entries\":0}}}},\"vms\":[{}]}",
        policy, policy, policy);
    bool good = scenario_parse(s, "peer", json, strlen(json), NULL, 0, &diagnostics);
    cr_assert(good, "%s", good ? "" : diagnostics.list[0].message);
}

static void expect_row(const struct replay *r, enum tlb_name tlb, const struct plain_tlb *t,
                       const char *what, const char *policy)
{
    uint64_t hits = COUNT_OF(r->machine, TLB_HIT, 1, tlb);
    uint64_t misses = COUNT_OF(r->machine, TLB_MISS, 1, tlb);
    cr_expect_eq(hits, t->hits, "%s, %s, %s: %lu hits, not %lu", what, policy, tlb_name(tlb),
                 U(hits), U(t->hits));
    cr_expect_eq(misses, t->misses, "%s, %s, %s: %lu misses, not %lu", what, policy, tlb_name(tlb),
                 U(misses), U(t->misses));
    cr_log_info("%-12s %s %-3s %9lu hits %7lu misses\n", what, policy, tlb_name(tlb), U(hits),
                U(misses));
}

/* Replays a file, and expects what the plain simulation has. */
static void expect_peer(const char *path, const struct replay_options *given, const struct plain *p,
                        const char *what, const char *policy)
{
    struct scenario host;
    struct replay r;
    struct err err = {0};
    struct replay_options options = *given;
    load_host(&host, policy);
    options.traces = &path;
    options.n_traces = 1;
    options.paging = PAGING_4_LEVEL;
    cr_assert(replay_open(&r, &host.machine, &options, NULL, &err), "%s: %s", what, err.text);
    while (replay_run(&r, 100003, &err))
        ;
    cr_assert_eq(err.code, EXIT_OK, "%s: %s", what, err.text);
    expect_row(&r, TLB_L1I, &p->i, what, policy);
    expect_row(&r, TLB_L1D, &p->d, what, policy);
    expect_row(&r, TLB_L2, &p->l2, what, policy);
    cr_expect_eq(total_of(r.machine, EVENT_TLB_HIT) + total_of(r.machine, EVENT_TLB_MISS),
                 p->i.hits + p->i.misses + p->d.hits + p->d.misses + p->l2.hits + p->l2.misses);
    cr_expect_eq(r.machine->signals, 0);
    replay_close(&r);
    scenario_free(&host);
}

static const char *const policies[] = {"lru", "lfu"};

static const struct replay_options plainly = {.limits = {.max = UINT64_MAX}};

static struct plain *plain_run(const struct said *s, bool lfu)
{
    struct plain *p = plain_new(lfu);
    for (size_t i = 0; i < s->n; i++)
        plain_access(p, s->list[i].op, s->list[i].gva, s->list[i].size);
    return p;
}

static void expect_both(const char *path, const struct replay_options *options,
                        const struct said *s, const char *what)
{
    for (unsigned lfu = 0; lfu < 2; lfu++) {
        struct plain *p = plain_run(s, lfu);
        expect_peer(path, options, p, what, policies[lfu]);
        free(p);
    }
}

Test(peer, text_formats_give_the_counts_of_a_plain_simulation)
{
    struct said from = shipped_accesses(SOME);
    for (unsigned w = 0; w < WRITERS; w++) {
        char path[64];
        new_path(path);
        struct said s = write_as(&writers[w], &from, path);
        expect_both(path, &plainly, &s, writers[w].name);
        struct replay_options named = plainly, start = plainly;
        named.reading.format = writers[w].format;
        start.populate = true;
        if (w % 3 == 0)
            expect_both(path, &named, &s, writers[w].name);
        else
            expect_both(path, &start, &s, writers[w].name);
        unlink(path);
        free(s.list);
    }
    free(from.list);
}

static void write_compact(const char *path, const struct said *s)
{
    struct err err = {0};
    struct trace_writer *writer = trace_writer_open(path, &err);
    cr_assert(writer != NULL, "%s", err.text);
    cr_assert(trace_writer_put(writer, s->list, s->n, &err), "%s", err.text);
    cr_assert(trace_writer_close(writer, &err), "%s", err.text);
}

Test(peer, the_compact_format_gives_the_counts_of_a_plain_simulation)
{
    struct said s = shipped_accesses(SOME);
    char path[64];
    new_path(path);
    write_compact(path, &s);
    expect_both(path, &plainly, &s, "compact");
    unlink(path);
    free(s.list);
}

/* ---- compressed ---- */

struct bytes {
    uint8_t *at;
    size_t n;
};

static struct bytes read_bytes(const char *path)
{
    struct bytes b = {NULL, 0};
    FILE *f = fopen(path, "r");
    cr_assert(f && !fseek(f, 0, SEEK_END));
    b.n = (size_t)ftell(f);
    b.at = malloc(b.n);
    rewind(f);
    cr_assert_eq(fread(b.at, 1, b.n, f), b.n);
    fclose(f);
    return b;
}

static size_t pack_gz(struct bytes in, uint8_t *out, size_t room)
{
    z_stream z = {
        .next_in = in.at, .avail_in = (uInt)in.n, .next_out = out, .avail_out = (uInt)room};
    cr_assert_eq(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t pack_xz(struct bytes in, uint8_t *out, size_t room)
{
    size_t n = 0;
    cr_assert_eq(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, in.at, in.n, out, &n, room),
                 LZMA_OK);
    return n;
}

static size_t pack_zst(struct bytes in, uint8_t *out, size_t room)
{
    return ZSTD_compress(out, room, in.at, in.n, 1);
}

Test(peer, compressed_traces_give_the_counts_of_a_plain_simulation)
{
    static size_t (*const packs[])(struct bytes, uint8_t *, size_t) = {pack_gz, pack_xz, pack_zst};
    static const char *const names[] = {"lackey.gz", "lackey.xz", "lackey.zst"};
    struct said from = shipped_accesses(SOME);
    char path[64];
    new_path(path);
    struct said s = write_as(&writers[0], &from, path);
    struct bytes text = read_bytes(path);
    uint8_t *packed = malloc(text.n + 4096);
    cr_assert(packed != NULL);
    for (unsigned i = 0; i < 3; i++) {
        FILE *f = fopen(path, "w");
        size_t n = packs[i](text, packed, text.n + 4096);
        cr_assert(f && fwrite(packed, 1, n, f) == n && !fclose(f));
        expect_both(path, &plainly, &s, names[i]);
    }
    unlink(path);
    free(packed);
    free(text.at);
    free(s.list);
    free(from.list);
}

/* ---- the whole shipped trace, with and without its events ---- */

static void plain_run_file(struct plain *p, bool events)
{
    struct err err = {0};
    struct trace_options options = {0};
    struct source *source = trace_open(shipped, &options, &err);
    struct access batch[4096];
    cr_assert(source != NULL, "%s", err.text);
    for (size_t n; (n = source->ops->fill(source, batch, 4096, &err));)
        for (size_t i = 0; i < n; i++) {
            struct operand operand;
            memcpy(&operand, &batch[i + (i + 1 < n)], sizeof operand);
            if (batch[i].op <= OP_MODIFY)
                plain_access(p, batch[i].op, batch[i].gva, batch[i].size);
            else if (i++, events)
                plain_guest(p, &batch[i - 1], &operand);
        }
    source->ops->free(source);
}

/* Mapped before the first access: the guest events are left out. */
Test(peer, the_whole_shipped_trace_gives_the_counts_of_a_plain_simulation)
{
    struct replay_options start = plainly;
    start.populate = true;
    for (unsigned lfu = 0; lfu < 2; lfu++) {
        struct plain *p = plain_new(lfu);
        plain_run_file(p, false);
        expect_peer(shipped, &start, p, "whole", policies[lfu]);
        free(p);
    }
}

/* With mmap, munmap and mprotect: what the guest OS invalidates misses again, and nothing else. */
Test(peer, the_shipped_trace_with_its_guest_events_gives_the_counts_of_a_plain_simulation)
{
    for (unsigned lfu = 0; lfu < 2; lfu++) {
        struct plain *p = plain_new(lfu);
        plain_run_file(p, true);
        cr_expect_gt(p->events, 10);
        expect_peer(shipped, &plainly, p, "with events", policies[lfu]);
        free(p);
    }
}

/* ---- a trace too large for the L2 ---- */

/* Reads and fetches over four times the L2's reach, most of them of a few pages, some crossing. */
static struct said large_footprint(bool writes)
{
    struct said s = {malloc(ITEMS_MAX * sizeof *s.list), 0};
    struct rng rng = {0x9ee2};
    cr_assert(s.list != NULL);
    for (unsigned i = 0; i < SOME; i++) {
        uint64_t bits = rng_next(&rng), page = rng_below(&rng, bits & 1 ? 4000 : 60);
        enum op op = bits >> 8 & 3 ? OP_READ : OP_EXEC;
        if (writes && bits >> 10 & 1)
            op = OP_WRITE;
        say(&s, op, 0x10000000 + page * PAGE + (bits >> 16 & 4095), 1 + (bits >> 32 & 15));
    }
    return s;
}

Test(peer, a_footprint_beyond_the_l2_gives_the_counts_of_a_plain_simulation)
{
    struct said s = large_footprint(false);
    struct replay_options start = plainly;
    char path[64];
    new_path(path);
    write_compact(path, &s);
    start.populate = true;
    expect_both(path, &plainly, &s, "beyond");
    expect_both(path, &start, &s, "beyond");
    unlink(path);
    free(s.list);
}

Test(peer, writes_over_a_footprint_beyond_the_l2_give_the_counts_of_a_plain_simulation)
{
    struct said s = large_footprint(true);
    char path[64];
    new_path(path);
    write_compact(path, &s);
    expect_both(path, &plainly, &s, "writes");
    unlink(path);
    free(s.list);
}
