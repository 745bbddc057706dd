/*
 * The guest OS: how many tables it takes and gives back, its areas, what it invalidates, and what
 * becomes of data.
 */
#include "tests/sim/guests.h"

enum { PAGE = 4096, RW = RIGHT_READ | RIGHT_WRITE | RIGHT_USER };

/* ---- tables are distinct prefixes ---- */

/* A format, as the manual draws it: index bits from the PTE up. */
struct shape_of {
    enum paging paging;
    struct geometry geometry; /* of a textbook */
    unsigned page_shift, levels, bits[5], entry_bytes;
    unsigned ia_bits; /* of which random addresses are made */
};

static const struct shape_of shapes[] = {
    {PAGING_2_LEVEL, {0}, 12, 2, {10, 10}, 4, 32},
    {PAGING_PAE, {0}, 12, 3, {9, 9, 2}, 8, 32},
    {PAGING_4_LEVEL, {0}, 12, 4, {9, 9, 9, 9}, 8, 47},
    {PAGING_5_LEVEL, {0}, 12, 5, {9, 9, 9, 9, 9}, 8, 56},
    {PAGING_TEXTBOOK, {2, {5, 5}, 32, 1, 7, 0, 7}, 5, 2, {5, 5}, 1, 15},
    {PAGING_TEXTBOOK, {3, {3, 4, 5}, 64, 4, 31, 0, 20}, 6, 3, {5, 4, 3}, 4, 18},
};

enum { SHAPES = sizeof shapes / sizeof *shapes, MOST = 600 };

struct set {
    uint64_t of[8 * MOST];
    size_t n;
};

static bool set_add(struct set *s, uint64_t x)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->of[i] == x)
            return false;
    s->of[s->n++] = x;
    return true;
}

/* Bytes of tables: a root, and below it one table for each distinct prefix of what is mapped. */
static uint64_t bytes_of_tables(const struct shape_of *s, const struct set leaves[3])
{
    uint64_t sum = 0, page = (uint64_t)1 << s->page_shift;
    unsigned shift = s->page_shift;
    for (unsigned level = 1; level <= s->levels; level++) {
        uint64_t bytes = (uint64_t)s->entry_bytes << s->bits[level - 1];
        struct set *tables = calloc(1, sizeof *tables);
        shift += s->bits[level - 1];
        for (unsigned l = 1; l <= level && l < 3; l++)
            for (size_t i = 0; i < leaves[l].n; i++)
                set_add(tables, leaves[l].of[i] >> shift);
        sum += (level == s->levels ? 1 : tables->n) * (bytes < page ? page : bytes);
        free(tables);
    }
    return sum;
}

static struct vm_config shape_config(const struct shape_of *s)
{
    uint64_t memory = s->paging ? 8192 * (uint64_t)PAGE * 512 : 4096;
    if (!s->paging && s->page_shift == 6)
        memory = (uint64_t)64 << 10;
    return (struct vm_config){
        .memory = s->paging == PAGING_2_LEVEL ? UINT64_C(1) << 32 : memory,
        .vcpus = 1,
        .paging = s->paging,
        .geometry = s->geometry,
    };
}

/* Faults in @n random pages, clustered so that prefixes coincide. Large ones in the upper half. */
static void touch_pages(struct lone *l, const struct shape_of *s, struct rng *rng, unsigned n,
                        struct set leaves[3])
{
    unsigned large = s->page_shift + s->bits[0];
    gva_t half = UINT64_C(1) << (s->ia_bits - 1), cluster = 0;
    struct map_config low = {0, half, 1, RW, false}, high = {half, half, 2, RW, false};
    cr_assert(guest_map(&l->guest, &l->port, 0, &low));
    cr_assert(guest_map(&l->guest, &l->port, 0, &high));
    for (unsigned i = 0; i < n; i++) {
        if (i % 16 == 0)
            cluster = rng_next(rng) & (2 * half - 1);
        gva_t gva = i % 4 ? cluster ^ (rng_next(rng) & (half - 1) >> rng_below(rng, 30)) : cluster;
        bool upper = s->paging && gva >= half;
        uint64_t first = upper ? gva >> large << large : gva >> s->page_shift << s->page_shift;
        if (set_add(&leaves[upper ? 2 : 1], first))
            cr_assert_eq(guest_fault(&l->guest, &l->port, 0, gva, KIND_WRITE | KIND_USER),
                         ANSWER_RETRY);
    }
}

static void expect_no_bytes(void *self, hpa_t at, const uint8_t *bytes)
{
    static const uint8_t zeroes[FRAME_BYTES];
    (void)self;
    cr_expect_arr_eq(bytes, zeroes, FRAME_BYTES, "a table at %lx is not empty", (unsigned long)at);
}

/* Maps, unmaps all, and again: the same count of tables, and no more memory than before. */
static void expect_prefixes(const struct shape_of *s, unsigned n)
{
    struct vm_config config = shape_config(s);
    struct lone *l = lone_new(&config, 1);
    struct set *leaves = calloc(3, sizeof *leaves);
    struct tables *t = &l->guest.tables;
    uint64_t root = bytes_of_tables(s, leaves);
    gpa_t bottom = 0, top = 0;
    for (unsigned round = 0; round < 3; round++) {
        struct rng rng = {n};
        leaves[1].n = leaves[2].n = 0;
        touch_pages(l, s, &rng, n, leaves);
        cr_expect_eq(t->bytes, bytes_of_tables(s, leaves), "%u levels, %u pages: %lu, not %lu",
                     s->levels, n, (unsigned long)t->bytes,
                     (unsigned long)bytes_of_tables(s, leaves));
        cr_expect(!round || (l->guest.frames.bottom == bottom && l->guest.frames.top == top));
        bottom = l->guest.frames.bottom, top = l->guest.frames.top;
        cr_assert(guest_unmap(&l->guest, &l->port, 0, 0, UINT64_C(1) << s->ia_bits));
        cr_expect_eq(t->bytes, root, "%u levels, after unmapping", s->levels);
        mem_visit(&l->recorder.mem, expect_no_bytes, NULL);
    }
    cr_assert(guest_exit(&l->guest, &l->port, 0));
    cr_expect_eq(t->bytes, 0);
    free(leaves);
    lone_free(l);
}

Test(guest, tables_are_the_distinct_prefixes_of_mapped_pages_and_are_all_given_back)
{
    for (unsigned s = 0; s < SHAPES; s++)
        for (unsigned n = 1; n <= (shapes[s].paging ? MOST : 20); n = n * 3 + 1)
            expect_prefixes(&shapes[s], n);
}

/* ---- areas ---- */

enum { AREA_PAGES = 200 };

struct area_model {
    uint32_t rights[AREA_PAGES]; /* 0: none */
};

static void expect_areas(const struct areas *a, const struct area_model *model, gva_t from)
{
    for (unsigned i = 0; i < AREA_PAGES; i++) {
        const struct area *area = areas_find(a, from + i * (gva_t)PAGE + i % PAGE);
        cr_assert_eq(area ? area->rights : 0, model->rights[i]);
        unsigned low = i, high = i;
        gva_t start, last;
        if (area)
            continue;
        while (low && !model->rights[low - 1])
            low--;
        while (high + 1 < AREA_PAGES && !model->rights[high + 1])
            high++;
        areas_gap(a, from + i * (gva_t)PAGE, &start, &last);
        cr_assert_eq(start, low ? from + low * (gva_t)PAGE : 0);
        cr_assert_eq(last,
                     high + 1 < AREA_PAGES ? from + (high + 1) * (gva_t)PAGE - 1 : UINT64_MAX);
    }
    for (size_t i = 0; i < a->n; i++) {
        cr_assert_leq(a->list[i].start, a->list[i].last);
        cr_assert(!i || a->list[i - 1].last < a->list[i].start);
    }
}

static void random_areas(gva_t from, uint64_t seed)
{
    struct areas areas = {0};
    struct area_model model = {{0}};
    struct rng rng = {seed};
    for (unsigned round = 0; round < 1500; round++) {
        unsigned first = (unsigned)rng_below(&rng, AREA_PAGES), kind = rng_next(&rng) & 3;
        unsigned n = 1 + (unsigned)rng_below(&rng, AREA_PAGES - first);
        n = rng_next(&rng) & 1 && n > 5 ? 5 : n;
        uint32_t rights = 1 + (uint32_t)rng_below(&rng, 15);
        gva_t start = from + first * (gva_t)PAGE, last = start + n * (gva_t)PAGE - 1;
        if (kind >= 2)
            cr_assert(areas_insert(&areas, &(struct area){start, last, rights, 1}));
        else if (kind)
            cr_assert(areas_remove(&areas, start, last));
        else
            cr_assert(areas_protect(&areas, start, last, rights));
        for (unsigned i = first; i < first + n; i++)
            if (kind || model.rights[i])
                model.rights[i] = kind == 1 ? 0 : rights;
        expect_areas(&areas, &model, from);
    }
    areas_fini(&areas);
}

Test(guest, areas_agree_with_an_array_of_pages)
{
    random_areas(0x400000, 1);
    random_areas(-(gva_t)AREA_PAGES * PAGE, 2); /* to the last byte of the space */
}

/* ---- what is invalidated ---- */

static void expect_invalidated(unsigned pages, bool protect)
{
    struct vm_config config = {.memory = 64 << 20, .vcpus = 1, .paging = PAGING_4_LEVEL};
    struct lone *l = lone_new(&config, 1);
    struct map_config map = {0x400000, 200 * PAGE, 1, RW, false};
    cr_assert(guest_map(&l->guest, &l->port, 0, &map));
    for (unsigned i = 0; i < pages; i++)
        cr_assert_eq(guest_fault(&l->guest, &l->port, 0, 0x400000 + 2 * i * (gva_t)PAGE,
                                 KIND_WRITE | KIND_USER),
                     ANSWER_RETRY);
    l->recorder.invlpg = l->recorder.mov_cr3 = 0;
    if (protect)
        cr_assert(guest_protect(&l->guest, &l->port, 0, 0x400000, 200 * PAGE, RIGHT_READ));
    else
        cr_assert(guest_unmap(&l->guest, &l->port, 0, 0x400000, 200 * PAGE));
    cr_expect_eq(l->recorder.invlpg, pages <= 33 ? pages : 0, "%u pages: %lu INVLPG", pages,
                 (unsigned long)l->recorder.invlpg);
    cr_expect_eq(l->recorder.mov_cr3, pages > 33, "%u pages: %lu MOV to CR3", pages,
                 (unsigned long)l->recorder.mov_cr3);
    lone_free(l);
}

/* Linux, arch/x86/mm/tlb.c, tlb_single_page_flush_ceiling: 33. */
Test(guest, invalidates_page_by_page_up_to_33_pages_and_everything_at_once_beyond)
{
    static const unsigned pages[] = {0, 1, 2, 32, 33, 34, 35, 99};
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        expect_invalidated(pages[i], false);
        expect_invalidated(pages[i], true);
    }
}

/* ---- a script, and its outcome lines ---- */

struct step {
    const char *item, *expected; /* part of the outcome line */
};

#define ONE_PAGE      "{\"gva\":\"0x400000\",\"size\":\"4KiB\",\"rights\":\"rwu\"}"
#define WRITE(gva, v) "\"access\",\"op\":\"write\",\"gva\":\"" gva "\",\"value\":\"" v "\""
#define READ(gva)     "\"access\",\"gva\":\"" gva "\""
#define PROTECT(r)    "\"protect\",\"gva\":\"0x400000\",\"size\":\"4KiB\",\"rights\":\"" r "\""
#define UNMAP(gva)    "\"unmap\",\"gva\":\"" gva "\",\"size\":\"4KiB\""
#define MAP(gva, n)   "\"map\",\"gva\":\"" gva "\",\"size\":\"" n "\",\"rights\":\"rwu\""
#define OK            "\"outcome\":\"ok\""
#define VALUE(v)      "\"value\":\"" v "\""

/* One process with @maps under a guest OS of 16 MiB. */
static void expect_steps(const char *guest, const char *maps, const struct step *steps, unsigned n)
{
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"vms\":[{\"memory\":\"16MiB\",\"guest\":{%s},\"processes\":[{"
            "\"map\":[%s]}]}],\"script\":[",
            guest, maps);
    for (unsigned i = 0; i < n; i++)
        fprintf(page.file, "%s{\"do\":%s}", i ? "," : "", steps[i].item);
    fputs("]}", page.file);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    char *lines = rig_run(rig), *at = lines;
    for (unsigned i = 0; i < n; i++) {
        char *end = strchr(at, '\n');
        cr_assert(end != NULL, "only %u lines", i);
        *end = 0;
        cr_expect(strstr(at, steps[i].expected) != NULL, "%s: %s, not %s", steps[i].item, at,
                  steps[i].expected);
        at = end + 1;
    }
    cr_expect_eq(*at, 0);
    free(lines);
    free(json);
    rig_free(rig);
}

#define EXPECT_STEPS(guest, maps, steps)                                                           \
    expect_steps(guest, maps, steps, sizeof(steps) / sizeof *(steps))

#define SIGSEGV(code, cr2)                                                                         \
    "\"outcome\":\"fault\",\"vector\":14,\"error_code\":\"" code "\",\"cr2\":\"" cr2 "\""

/* Error codes: SDM vol. 3, 4.7: 1 present, 2 write, 4 user. */
Test(guest, mprotect_takes_rights_away_and_gives_them_back)
{
    static const struct step steps[] = {
        {WRITE("0x400008", "0x11"), OK},
        {PROTECT("ru"), OK},
        {WRITE("0x400008", "0x22"), SIGSEGV("0x7", "0x400008")},
        {READ("0x400008"), VALUE("0x11")},
        {PROTECT("rwu"), OK},
        {WRITE("0x400008", "0x33"), OK},
        {READ("0x400008"), VALUE("0x33")},
    };
    EXPECT_STEPS("", ONE_PAGE, steps);
}

Test(guest, a_page_that_was_never_touched_obeys_mprotect_too)
{
    static const struct step steps[] = {
        {PROTECT("ru"), OK},
        {WRITE("0x400008", "0x22"), SIGSEGV("0x6", "0x400008")},
        {READ("0x400008"), VALUE("0x0")},
        {WRITE("0x400008", "0x22"), SIGSEGV("0x7", "0x400008")},
    };
    EXPECT_STEPS("", ONE_PAGE, steps);
}

/* PROT_NONE: nothing may be done, whether or not the page was there before. */
Test(guest, mprotect_without_any_right_denies_reads)
{
    static const struct step steps[] = {
        {WRITE("0x400008", "0x11"), OK},
        {PROTECT("u"), OK},
        {READ("0x400008"), SIGSEGV("0x5", "0x400008")},
        {PROTECT("rwu"), OK},
        {READ("0x400008"), VALUE("0x11")},
    };
    EXPECT_STEPS("", ONE_PAGE, steps);
}

Test(guest, a_page_mapped_anew_is_zero)
{
    static const struct step steps[] = {
        {WRITE("0x400008", "0x11"), OK},
        {UNMAP("0x400000"), OK},
        {READ("0x400008"), SIGSEGV("0x4", "0x400008")},
        {MAP("0x400000", "4KiB"), OK},
        {READ("0x400008"), VALUE("0x0")},
        {WRITE("0x400008", "0x12"), OK},
        {MAP("0x400000", "8KiB"), OK},
        {READ("0x400008"), VALUE("0x0")},
        {READ("0x401008"), VALUE("0x0")},
    };
    EXPECT_STEPS("", ONE_PAGE, steps);
}

/* "cr2 the first byte in the faulting page"; not one byte is written. */
Test(guest, an_access_whose_second_page_faults_writes_nothing)
{
    static const struct step steps[] = {
        {WRITE("0x400ff8", "0x1111111111111111"), OK},
        {WRITE("0x400ffc", "0x2222222222222222"), SIGSEGV("0x6", "0x401000")},
        {READ("0x400ff8"), VALUE("0x1111111111111111")},
        {READ("0x400ffd"), SIGSEGV("0x4", "0x401000")},
        {MAP("0x401000", "4KiB"), OK},
        {WRITE("0x400ffc", "0x3333333344444444"), OK},
        {READ("0x400ff8"), VALUE("0x4444444411111111")},
        {READ("0x401000"), VALUE("0x33333333")},
    };
    EXPECT_STEPS("", ONE_PAGE, steps);
}

/*
 * PAE keeps the four top entries in registers. A page directory that is given back may become
 * another table, so the register that names it must be loaded anew (Linux, pud_clear does): here
 * the directory of 0x40000000 becomes the page table of 0x200000, and data that looks like an entry
 * stands where a stale register would lead.
 */
Test(guest, a_page_directory_given_back_is_out_of_the_registers)
{
    static const struct step steps[] = {
        {WRITE("0x0", "0x1"), OK},         {WRITE("0x40000000", "0x2"), OK},
        {UNMAP("0x40000000"), OK},         {WRITE("0x200000", "0x2067"), OK},
        {WRITE("0x400000", "0x2067"), OK}, {READ("0x40000000"), SIGSEGV("0x4", "0x40000000")},
    };
    EXPECT_STEPS("\"paging\":\"pae\"",
                 "{\"gva\":\"0x0\",\"size\":\"8MiB\"},{\"gva\":\"0x40000000\",\"size\":\"4KiB\"}",
                 steps);
}

/* ---- reclaim ---- */

static void write_round(FILE *f, unsigned pages, unsigned stride, bool write)
{
    for (unsigned i = 0; i < pages; i++) {
        unsigned page = i * stride % pages;
        fprintf(f, ",{\"do\":\"access\",\"gva\":\"0x%x\"", 0x400000 + page * PAGE + page * 8);
        fprintf(f, write ? ",\"op\":\"write\",\"value\":\"0x%x\"}" : "}", 0xabc000 + page);
    }
}

static void expect_round(char **at, unsigned pages, unsigned stride, bool write, const char *who)
{
    for (unsigned i = 0; i < pages; i++) {
        char value[32], *end = strchr(*at, '\n');
        cr_assert(end != NULL);
        *end = 0;
        snprintf(value, sizeof value, "\"value\":\"0x%x\"", 0xabc000 + i * stride % pages);
        cr_expect(strstr(*at, write ? "\"ok\"" : value) != NULL, "%s: %s, not %s", who, *at, value);
        *at = end + 1;
    }
}

/* Writes, then reads twice in other orders, with a sixth of the frames. */
static void expect_survival(const char *policy, const char *paging)
{
    enum { PAGES = 30 };
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"vms\":[{\"memory\":\"16MiB\",\"guest\":{\"paging\":\"%s\","
            "\"reclaim\":{\"policy\":\"%s\",\"frames\":5}},\"processes\":[{\"map\":[{\"gva\":"
            "\"0x400000\",\"size\":\"1MiB\"}]}]}],\"script\":[{\"do\":\"invlpg\",\"gva\":\"0x0\"}",
            paging, policy);
    write_round(page.file, PAGES, 1, true);
    write_round(page.file, PAGES, 7, false);
    write_round(page.file, PAGES, 29, false);
    fputs("]}", page.file);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    char *lines = rig_run(rig), *at = strchr(lines, '\n') + 1;
    expect_round(&at, PAGES, 1, true, policy);
    expect_round(&at, PAGES, 7, false, policy);
    expect_round(&at, PAGES, 29, false, policy);
    cr_expect_geq(total_of(rig->machine, EVENT_PAGE_OUT), PAGES - 5);
    cr_expect_geq(total_of(rig->machine, EVENT_PAGE_IN), PAGES - 5);
    free(lines);
    free(json);
    rig_free(rig);
}

Test(guest, data_survives_going_to_the_backing_store_and_back)
{
    static const char *const policies[] = {"fifo", "lru", "clock", "opt"};
    static const char *const pagings[] = {"4-level", "pae", "2-level"};
    for (unsigned p = 0; p < 4; p++)
        for (unsigned g = 0; g < 3; g++)
            expect_survival(policies[p], pagings[g]);
}

/* The second page's fault must not take the first page's frame before the bytes are written. */
Test(guest, an_access_over_two_pages_has_both_in_memory)
{
    static const struct step steps[] = {
        {WRITE("0x400000", "0x1"), OK},
        {WRITE("0x403000", "0x2"), OK},
        {WRITE("0x400ffc", "0x3333333344444444"), OK},
        {READ("0x401000"), VALUE("0x33333333")},
        {READ("0x401ff8"), VALUE("0x0")},
        {READ("0x400ff8"), VALUE("0x4444444400000000")},
        {READ("0x403000"), VALUE("0x2")},
    };
    EXPECT_STEPS("\"reclaim\":{\"policy\":\"fifo\",\"frames\":2}",
                 "{\"gva\":\"0x400000\",\"size\":\"16KiB\"}", steps);
}

/* ---- fork, exit, out of memory ---- */

Test(guest, a_forked_process_has_its_parents_areas_and_frames_of_its_own)
{
    struct vm_config config = {.memory = 64 << 20, .vcpus = 1, .paging = PAGING_4_LEVEL};
    struct lone *l = lone_new(&config, 2);
    struct guest *g = &l->guest;
    struct map_config map = {0x400000, 4 * PAGE, 1, RW, false};
    gpa_t mine, his, at;
    cr_assert(guest_map(g, &l->port, 0, &map));
    cr_expect_eq(guest_fault(g, &l->port, 1, 0x400000, KIND_READ | KIND_USER), ANSWER_SIGNAL);
    cr_expect_eq(guest_fault(g, &l->port, 0, 0x400000, KIND_WRITE | KIND_USER), ANSWER_RETRY);
    uint64_t before = g->tables.bytes;
    cr_assert(guest_fork(g, 0, 1));
    cr_expect_eq(guest_fault(g, &l->port, 1, 0x400000, KIND_WRITE | KIND_USER), ANSWER_RETRY);
    cr_expect_eq(guest_fault(g, &l->port, 1, 0x404000, KIND_READ | KIND_USER), ANSWER_SIGNAL);
    cr_assert(leaf_entry(&l->recorder.mem, g->processes[0].root, 0x400000, &mine));
    cr_assert(leaf_entry(&l->recorder.mem, g->processes[1].root, 0x400000, &his));
    cr_expect_neq(mine, his);
    cr_expect_eq(g->tables.bytes, 2 * before);
    cr_expect(guest_exit(g, &l->port, 1));
    cr_expect_eq(g->tables.bytes, before);
    at = leaf_entry(&l->recorder.mem, g->processes[0].root, 0x400000, &mine);
    cr_expect(at != 0);
    cr_expect_eq(guest_fault(g, &l->port, 1, 0x400000, KIND_READ | KIND_USER), ANSWER_SIGNAL);
    cr_expect(guest_exit(g, &l->port, 0));
    cr_expect_eq(g->tables.bytes, 0);
    mem_visit(&l->recorder.mem, expect_no_bytes, NULL);
    lone_free(l);
}

Test(guest, running_out_of_memory_stops_the_machine_with_the_reason)
{
    struct rig *rig = rig_new("{\"version\":1,\"vms\":[{\"memory\":\"64KiB\",\"processes\":[{"
                              "\"map\":[{\"gva\":\"0x400000\",\"size\":\"1MiB\"}]}]}]}");
    struct script_item item = {.verb = VERB_access,
                               .access = {0x400000, 8, OP_WRITE, ACCESS_USER, 0, 0}};
    struct outcome o = {.kind = OUTCOME_OK};
    unsigned made = 0;
    for (; made < 20 && o.kind == OUTCOME_OK; made++, item.access.gva += PAGE)
        machine_do(rig->machine, &item, &o);
    /* 16 frames: one never used, four tables, eleven pages; the twelfth access stops. */
    cr_expect_eq(made, 12);
    cr_expect_eq(o.kind, OUTCOME_STOP);
    cr_expect(strstr(o.words, "out of memory") != NULL, "%s", o.words);
    cr_expect_eq(rig->machine->err.code, EXIT_NO);
    rig_free(rig);
}
