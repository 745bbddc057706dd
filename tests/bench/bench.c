/*
 * make bench: accesses per second of each workload, and the ratio to a yardstick measured in the
 * same run on the same accesses; lines per second of reading a trace; peak memory of a long one.
 *
 * The yardstick is a bare loop of two TLB lookups, 64 entries 4-way then 1536 entries 12-way, both
 * move-to-front LRU: no walks, no rights, no events, no cycles. Sizes are constants to it, and sets
 * are picked by a mask. Ours is mmu_run on the default machine, skylake-sp, with everything on:
 * walks, A and D, structure and data caches, counters, cycles. Drawing the accesses is timed for
 * neither. Each figure is the best of several groups of alternating rounds, so that other work on
 * the computer disturbs both alike.
 *
 * What recording costs while it is off is seen beside a bench in which it is compiled out.
 * usage: bench [--beside BENCH | --rate WORKLOAD | PART OF A WORKLOAD'S NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/machine.h"
#include "sim/parts.h"
#include "sim/scenario/scenario.h"
#include "sim/workload/trace.h"

enum { N = 1 << 13, ROUNDS = 64, GROUPS = 12, TURNS = 16 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the yardstick ---- */

struct bare {
    uint64_t l1[16][4], l2[128][12];
    uint64_t hits, misses;
};

/* Move-to-front: true if it was there. */
static bool bare_lookup(uint64_t *set, unsigned ways, uint64_t page)
{
    if (set[0] == page)
        return true;
    unsigned way = 1;
    while (way < ways && set[way] != page)
        way++;
    bool hit = way < ways;
    memmove(set + 1, set, (hit ? way : ways - 1) * sizeof *set);
    set[0] = page;
    return hit;
}

static void bare_run(struct bare *b, const struct access *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t page = a[i].gva >> 12;
        if (bare_lookup(b->l1[page & 15], 4, page) || bare_lookup(b->l2[page & 127], 12, page))
            b->hits++;
        else
            b->misses++;
    }
}

/* ---- ours ---- */

struct bench_row {
    const char *name, *workload;
    double least; /* the ratio that must be reached; 0: none */
    bool nested;  /* over EPT, and every page has been written before; else native */
};

/* Whatever a walk might still be refused for, or have to set, is done before. */
#define WRITE_EVERY_PAGE                                                                           \
    "{\"generator\":\"sequential\",\"stride\":4096,\"writes\":1,\"accesses\":65536},"

static struct machine *build(const struct bench_row *row, struct scenario *s)
{
    char text[1024];
    struct diagnostics d = {0};
    struct err err = {0};
    snprintf(text, sizeof text,
             "{\"version\":1,\"machine\":{\"memory\":\"2GiB\"},\"vms\":[{\"mode\":\"%s\","
             "\"memory\":\"1GiB\",\"processes\":[{\"map\":[{\"gva\":\"0x400000\","
             "\"size\":\"256MiB\",\"populate\":\"start\"}],\"workload\":{\"generator\":\"phases\","
             "\"phases\":[%s%s]}}]}]}",
             row->nested ? "nested" : "native", row->nested ? WRITE_EVERY_PAGE : "", row->workload);
    if (!scenario_parse(s, row->name, text, strlen(text), NULL, 0, &d)) {
        diagnostics_print(&d, stderr, false);
        exit(2);
    }
    struct machine *m = machine_new(&s->machine, &err);
    if (!m) {
        fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    if (row->nested)
        machine_run(m, 65536);
    return m;
}

/* The next accesses, drawn outside the timing; a fresh N each round, so that nothing repeats. */
static size_t draw(struct generator *g, struct access *a)
{
    size_t n = 0;
    while (n + 512 <= N)
        n += generator_fill(g, a + n, 512);
    return n;
}

static double ours(struct machine *m, const struct access *a, size_t n)
{
    struct bus bus = machine_bus(m);
    struct walk w;
    enum stop stop;
    double start = now();
    for (size_t i = 0; i < n;)
        i += mmu_run(m->vcpu[0].mmu, &bus, a + i, n - i < 512 ? n - i : 512, 0, &w, &stop);
    return now() - start;
}

static double yardstick(struct bare *b, const struct access *a, size_t n)
{
    double start = now();
    for (size_t i = 0; i < n; i += 512)
        bare_run(b, a + i, n - i < 512 ? n - i : 512);
    return now() - start;
}

/* Accesses per second: ours, and what the yardstick does. */
struct rates {
    double ours, bare;
};

static struct rates rates_of(const struct bench_row *row, struct access *a, int groups)
{
    struct scenario s;
    struct machine *m = build(row, &s);
    struct bare *b = calloc(1, sizeof *b);
    const struct process_config *process = &s.machine.vms[0].processes[0];
    const struct generator_spec *spec = &process->phases[process->n_phases - 1].generator;
    struct zipf *zipf =
        spec->pattern == PATTERN_ZIPF ? zipf_new(spec->length / spec->page, spec->theta) : NULL;
    struct generator g;
    generator_init(&g, spec, zipf);
    struct rates best = {0};
    for (int group = 0; group < groups; group++) {
        double mine = 0, theirs = 0;
        size_t n = 0;
        for (int round = 0; round < ROUNDS; round++) {
            size_t drawn = draw(&g, a);
            mine += ours(m, a, drawn);
            theirs += yardstick(b, a, drawn);
            n += drawn;
        }
        best.ours = (double)n / mine > best.ours ? (double)n / mine : best.ours;
        best.bare = (double)n / theirs > best.bare ? (double)n / theirs : best.bare;
    }
    free(zipf);
    free(b);
    machine_free(m);
    scenario_free(&s);
    return best;
}

static bool measure(const struct bench_row *row, struct access *a)
{
    struct rates rates = rates_of(row, a, GROUPS);
    double ratio = rates.ours / rates.bare;
    bool met = ratio >= row->least;
    printf("%-28s %10.1f M/s %10.1f M/s %8.2f", row->name, rates.ours / 1e6, rates.bare / 1e6,
           ratio);
    if (row->least > 0)
        printf("   >= %.2f %s", row->least, met ? "yes" : "NO");
    printf("\n");
    return met;
}

/* ---- recording ---- */

/* What a bench says of a workload when asked for nothing else. */
static double rate_by(const char *bench, const struct bench_row *row)
{
    char command[512];
    double rate = 0;
    snprintf(command, sizeof command, "'%s' --rate '%s'", bench, row->name);
    FILE *f = popen(command, "r");
    if (!f)
        return 0;
    if (fscanf(f, "%lf", &rate) != 1)
        rate = 0;
    return pclose(f) ? 0 : rate;
}

/* Two benches in turn, the best of each: @p self, and one with recording compiled out. */
static bool measure_recording(const char *self, const char *silent, const struct bench_row *row)
{
    double off = 0, out = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        double rate = rate_by(self, row);
        off = rate > off ? rate : off;
        rate = rate_by(silent, row);
        out = rate > out ? rate : out;
    }
    bool met = out > 0 && off >= 0.95 * out;
    printf("recording off, %-28s %.3f of compiled out   >= 0.95 %s\n", row->name,
           out > 0 ? off / out : 0, met ? "yes" : "NO");
    return met;
}

/* ---- traces ---- */

enum { LINES = 4000000 };

/* A lackey log as valgrind writes them: fetches with a load or a store now and then. */
static bool write_lackey(const char *path, unsigned lines)
{
    FILE *f = fopen(path, "w");
    struct rng rng = {1};
    for (unsigned i = 0; f && i < lines; i++) {
        unsigned r = (unsigned)rng_below(&rng, 16);
        if (r < 11)
            fprintf(f, "I  %08x,%u\n", 0x401000 + i % 4096 * 4, 1 + r % 7);
        else
            fprintf(f, " %c %010llx,%u\n",
                    r < 14   ? 'L'
                    : r < 15 ? 'S'
                             : 'M',
                    0x1ffe000000ull + rng_below(&rng, 1 << 24), r < 13 ? 8 : 4);
    }
    return f && !fclose(f);
}

static double lines_per_second(const char *path)
{
    struct trace_options options = {.format = TRACE_LACKEY};
    struct err err = {0};
    struct access batch[512];
    double start = now();
    size_t n, total = 0;
    struct source *trace = trace_open(path, &options, &err);
    while (trace && (n = trace->ops->fill(trace, batch, 512, &err)))
        total += n;
    if (trace)
        trace->ops->free(trace);
    return (double)total / (now() - start);
}

static bool measure_reading(const char *path)
{
    double best = 0;
    if (!write_lackey(path, LINES))
        return false;
    for (int i = 0; i < 3; i++) {
        double rate = lines_per_second(path);
        best = rate > best ? rate : best;
    }
    bool met = best >= 8e6;
    printf("\nlackey text read: %.1f million lines per second   >= 8.0 %s\n", best / 1e6,
           met ? "yes" : "NO");
    return met;
}

/* KiB that a replay of a trace of that many lines took at most, in a process of its own. */
static long peak_of_replay(const char *path, unsigned lines)
{
    struct rusage usage = {0};
    if (!write_lackey(path, lines))
        return -1;
    pid_t child = fork();
    if (child == 0) {
        struct phase_config phase = {.trace = path};
        struct process_config process = {.name = "trace", .phases = &phase, .n_phases = 1};
        struct vm_config vm = {.name = "replay", .memory = (uint64_t)1 << 36, .vcpus = 1};
        struct scenario s = {0};
        struct diagnostics d = {0};
        struct err err = {0};
        vm.paging = PAGING_4_LEVEL, vm.map_on_touch = true, vm.processes = &process;
        vm.n_processes = 1;
        bool done = machine_load(&s, "skylake-sp", &d);
        s.machine.memory = vm.memory, s.machine.vms = &vm, s.machine.n_vms = 1;
        struct machine *m = done ? machine_new(&s.machine, &err) : NULL;
        while (m && !m->finished && !m->err.code)
            machine_run(m, 1 << 20);
        _exit(m && !m->err.code ? 0 : 1);
    }
    int status = 0;
    if (child < 0 || wait4(child, &status, 0, &usage) < 0 || status)
        return -1;
    return usage.ru_maxrss;
}

static bool measure_memory(const char *path)
{
    long once = peak_of_replay(path, LINES / 10), ten_times = peak_of_replay(path, LINES);
    bool met = once > 0 && ten_times > 0 && ten_times < once + once / 10;
    printf("peak memory of a replay: %ld KiB for %d lines, %ld KiB for %d   < 1.1 times %s\n", once,
           LINES / 10, ten_times, LINES, met ? "yes" : "NO");
    return met;
}

static const struct bench_row rows[] = {
    {"sequential, 8 bytes", "{\"generator\":\"sequential\",\"stride\":8,\"accesses\":100000000}",
     1.0, false},
    {"sequential, 64 bytes", "{\"generator\":\"sequential\",\"stride\":64,\"accesses\":100000000}",
     0, false},
    {"uniform over 256 MiB", "{\"generator\":\"uniform\",\"writes\":0.3,\"accesses\":100000000}",
     0.25, false},
    {"nested, uniform over 256 MiB",
     "{\"generator\":\"uniform\",\"writes\":0.3,\"accesses\":100000000}", 0.12, true},
    {"zipf 0.9 over 256 MiB",
     "{\"generator\":\"zipf\",\"theta\":0.9,\"writes\":0.3,\"accesses\":100000000}", 0, false},
    {"pointer chase, 256 MiB", "{\"generator\":\"pointer-chase\",\"accesses\":100000000}", 0,
     false},
};

int main(int argc, char **argv)
{
    const size_t n = sizeof rows / sizeof *rows;
    const char *option = argc > 2 ? argv[1] : "", *only = argc == 2 ? argv[1] : NULL;
    struct access *a = malloc(N * sizeof *a);
    bool met = a != NULL;
    if (a && !strcmp(option, "--rate")) {
        for (size_t i = 0; i < n; i++)
            if (!strcmp(rows[i].name, argv[2]))
                printf("%f\n", rates_of(&rows[i], a, 3).ours);
        free(a);
        return 0;
    }
    printf("%-28s %14s %14s %8s\n", "workload", "nestwalk", "yardstick", "ratio");
    for (size_t i = 0; a && i < n; i++)
        if (!only || strstr(rows[i].name, only))
            met &= measure(&rows[i], a);
    free(a);
    if (only)
        return met ? 0 : 1;
    for (size_t i = 0; i < n && !strcmp(option, "--beside"); i++)
        if (rows[i].least > 0)
            met &= measure_recording(argv[0], argv[2], &rows[i]);
    char path[] = "/tmp/nestwalk-bench-XXXXXX";
    int file = mkstemp(path);
    if (file >= 0) {
        close(file);
        met &= measure_reading(path);
        met &= measure_memory(path);
        unlink(path);
    }
    return met && file >= 0 ? 0 : 1;
}
