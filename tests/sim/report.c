/* Statistics: sums that can be checked by hand, and what the writers make of them. */
#include <cjson/cJSON.h>

#include "sim/report/figures.h"
#include "tests/sim/run_support.h"

/* Tables at 0x1000, 0x2000, 0x3000, 0x4000; A set everywhere; pages 0 to 3 at 0x5000 on; 2 MiB at
 * 0x200000; page 4 read-only, page 5 not there, page 6 with a reserved bit (MAXPHYADDR is 46). */
#define TABLES                                                                                     \
    "\"registers\":{\"cr3\":\"0x1000\"},\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2027\"]},"     \
    "{\"gpa\":\"0x2000\",\"u64\":[\"0x3027\"]},{\"gpa\":\"0x3000\",\"u64\":[\"0x4027\","           \
    "\"0x2000a7\"]},{\"gpa\":\"0x4000\",\"u64\":[\"0x5027\",\"0x6027\",\"0x7027\",\"0x8027\","     \
    "\"0x9025\",\"0x0\",\"0x2000000000a027\"]}]"

static struct rig *tables(const char *script)
{
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"machine\":{\"override\":{\"maxphyaddr\":46}},\"vms\":[{\"memory\":"
            "\"16MiB\"," TABLES "}],\"script\":[%s]}",
            script);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    free(json);
    return rig;
}

static const struct cache_stats *row(const struct cache_stats *rows, unsigned n, const char *name,
                                     const char *page)
{
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(rows[i].name, name) && !strcmp(rows[i].page, page))
            return &rows[i];
    cr_assert_fail("no row %s %s", name, page);
    return NULL;
}

static struct stats gathered(struct rig *rig)
{
    struct stats stats;
    cr_assert(stats_gather(&stats, rig->machine, &rig->scenario.machine, "test"));
    return stats;
}

/* docs/MODEL.md, 9: skylake-sp, everything cold, A bits set: 810, then 1, then the neighbour 15. */
Test(report, adds_up_the_example_of_the_model)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"},{\"do\":\"access\",\"gva\":"
                             "\"0x8\"},{\"do\":\"access\",\"gva\":\"0x1000\"}");
    free(rig_run(rig));
    struct stats s = gathered(rig);
    const struct counts *c = &s.total;
    cr_expect_eq(c->accesses, 3);
    cr_expect_eq(c->cycles, 810 + 1 + 15);
    const struct cache_stats *l1d = row(c->tlb, c->n_tlb, "l1d", "4KiB");
    cr_expect_eq(l1d->hits, 1);
    cr_expect_eq(l1d->misses, 2);
    const struct cache_stats *l2 = row(c->tlb, c->n_tlb, "l2", "4KiB");
    cr_expect_eq(l2->hits, 0);
    cr_expect_eq(l2->misses, 2);
    const struct cache_stats *pde = row(c->structure, c->n_structure, "pde", "guest");
    cr_expect_eq(pde->hits, 1);
    cr_expect_eq(pde->misses, 1);
    cr_expect_eq(c->walks.count, 2);
    cr_expect_eq(c->walks.retried, 0);
    cr_expect_eq(c->walks.by_stage[0], 5);
    cr_expect_eq(c->walks.served_by[SERVED_MEMORY], 4);
    cr_expect_eq(c->walks.served_by[SERVED_L1], 1);
    stats_fini(&s);
    rig_free(rig);
}

Test(report, tells_faults_apart)
{
    struct rig *rig =
        tables("{\"do\":\"access\",\"gva\":\"0x5000\"},{\"do\":\"access\",\"gva\":\"0x6000\"},"
               "{\"do\":\"access\",\"gva\":\"0x4000\",\"op\":\"write\"},"
               "{\"do\":\"access\",\"gva\":\"0x4000\",\"op\":\"write\"},"
               "{\"do\":\"access\",\"gva\":\"0x800000000000\"}");
    free(rig_run(rig));
    struct stats s = gathered(rig);
    cr_expect_eq(s.total.faults[REFUSED_NOT_PRESENT], 1);
    cr_expect_eq(s.total.faults[REFUSED_PROTECTION], 2);
    cr_expect_eq(s.total.faults[REFUSED_CANONICAL], 1);
    cr_expect_eq(s.total.accesses, 5);
    /* Bit 53 is ignored below bit 62 in 4-level paging; bits 46 to 51 would be reserved. */
    cr_expect_eq(s.total.faults[REFUSED_RESERVED], 0);
    stats_fini(&s);
    rig_free(rig);
}

/* A hit counts in the row of the entry's page, a miss in the row of the page that was found. */
Test(report, counts_each_page_size_in_its_row)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x200000\"},{\"do\":\"access\",\"gva\":"
                             "\"0x3fffff\",\"size\":1},{\"do\":\"access\",\"gva\":\"0x0\"}");
    free(rig_run(rig));
    struct stats s = gathered(rig);
    const struct cache_stats *large = row(s.total.tlb, s.total.n_tlb, "l1d", "2MiB");
    cr_expect_eq(large->hits, 1);
    cr_expect_eq(large->misses, 1);
    cr_expect_eq(row(s.total.tlb, s.total.n_tlb, "l1d", "4KiB")->misses, 1);
    cr_expect_eq(row(s.total.tlb, s.total.n_tlb, "l1d", "1GiB")->misses, 0);
    stats_fini(&s);
    rig_free(rig);
}

/* A double has 53 bits: the writers must not go through one. */
Test(report, loses_no_bits_of_large_numbers)
{
    struct rig *rig = tables("");
    uint64_t *count = rig->machine->vcpu[0].mmu->tally.count;
    count[SLOT(ACCESS, 0, 0, OP_READ)] = ((uint64_t)1 << 60) + 1;
    count[SLOT(ACCESS, 0, 0, OP_MODIFY)] = 3; /* a load and a store each */
    static const struct {
        void (*print)(const struct stats *, FILE *);
        const char *text;
    } writers[] = {{stats_print_json, "\"accesses\": 1152921504606846983,"},
                   {stats_print_csv, "\naccesses,1152921504606846983\n"},
                   {stats_print_table, "1,152,921,504,606,846,983"}};
    for (unsigned i = 0; i < 3; i++) {
        char *text = rig_stats(rig, writers[i].print);
        cr_expect(strstr(text, writers[i].text) != NULL, "%s", text);
        free(text);
    }
    rig_free(rig);
}

Test(report, writes_numbers_of_128_bits)
{
    char text[40];
    cr_expect_str_eq(decimal(0, text), "0");
    cr_expect_str_eq(decimal(~(unsigned __int128)0, text),
                     "340282366920938463463374607431768211455");
}

Test(report, prints_figures_for_people)
{
    cr_expect_str_eq(grouped(0).text, "0");
    cr_expect_str_eq(grouped(999).text, "999");
    cr_expect_str_eq(grouped(1234567).text, "1,234,567");
    cr_expect_str_eq(grouped(~(unsigned __int128)0).text,
                     "340,282,366,920,938,463,463,374,607,431,768,211,455");
    cr_expect_str_eq(percent(1, 8).text, "12.50 %");
    cr_expect_str_eq(percent(0, 0).text, "-");
    cr_expect_str_eq(byte_count(1023).text, "1023 B");
    cr_expect_str_eq(byte_count(3 << 19).text, "1.5 MiB");
    cr_expect_str_eq(spelled("second_stage_violation").text, "second stage violation");
}

static uint64_t number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert(cJSON_IsNumber(item), "%s", name);
    return (uint64_t)item->valuedouble;
}

static void lookups_add_up(const cJSON *rows)
{
    const cJSON *r;
    cr_assert(cJSON_IsArray(rows));
    cJSON_ArrayForEach(r, rows)
        cr_expect_eq(number(r, "lookups"), number(r, "hits") + number(r, "misses"));
}

/* The keys of the format, and sums that hold whatever ran. */
Test(report, writes_the_json_of_the_format)
{
    struct rig *rig = rig_new(
        "{\"version\":1,\"title\":\"A \\\"title\\\"\",\"vms\":[{\"name\":\"web\",\"memory\":"
        "\"32MiB\",\"guest\":{\"reclaim\":{\"policy\":\"clock\",\"frames\":64}},\"processes\":[{"
        "\"map\":[{\"gva\":\"0x400000\",\"size\":\"1MiB\"}],\"workload\":{\"generator\":"
        "\"uniform\",\"accesses\":3000,\"writes\":0.5}}]}]}");
    free(rig_run(rig));
    char *text = rig_stats(rig, stats_print_json);
    cJSON *json = cJSON_Parse(text);
    cr_assert(json != NULL, "%s", text);
    const cJSON *vm = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "vms"), 0);
    cr_expect_str_eq(cJSON_GetObjectItem(json, "schema")->valuestring, "nestwalk/stats/1");
    cr_expect_str_eq(cJSON_GetObjectItem(json, "mode")->valuestring, "native");
    cr_expect_str_eq(cJSON_GetObjectItem(json, "seed")->valuestring, "0x1");
    cr_expect_str_eq(cJSON_GetObjectItem(vm, "name")->valuestring, "web");
    const cJSON *const levels[] = {json, vm};
    for (unsigned i = 0; i < 2; i++) {
        const cJSON *walks = cJSON_GetObjectItem(levels[i], "walks"), *server;
        const cJSON *refs = cJSON_GetObjectItem(walks, "refs");
        const cJSON *paging = cJSON_GetObjectItem(levels[i], "paging");
        uint64_t served = 0;
        cr_expect_eq(number(levels[i], "accesses"), 3000);
        lookups_add_up(cJSON_GetObjectItem(levels[i], "tlb"));
        lookups_add_up(cJSON_GetObjectItem(levels[i], "structure_caches"));
        cJSON_ArrayForEach(server, cJSON_GetObjectItem(walks, "served_by")) served +=
            (uint64_t)server->valuedouble;
        cr_expect_eq(served, number(refs, "total"));
        cr_expect_eq(number(refs, "guest") + number(refs, "host"), number(refs, "total"));
        cr_expect_eq(number(paging, "hits") + number(paging, "faults"), 3000);
        cr_expect_eq(number(paging, "faults"), number(paging, "evictions") + 64);
        cr_expect_eq(number(cJSON_GetObjectItem(levels[i], "exits"), "total"), 0);
        cr_expect(cJSON_IsString(
            cJSON_GetObjectItem(cJSON_GetObjectItem(levels[i], "tables"), "linear_bytes")));
    }
    cJSON_Delete(json);
    free(text);
    rig_free(rig);
}

struct adding {
    uint64_t count[EVENT_SLOTS];
    char *text;
};

static void add_event(void *self, const struct event *e)
{
    ((struct adding *)self)->count[event_slot(e)]++;
}

/* A log adds up to the counters that the statistics are made of. */
Test(report, agrees_with_the_log)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"},{\"do\":\"access\",\"gva\":"
                             "\"0x5000\"},{\"do\":\"invlpg\",\"gva\":\"0x0\"}");
    struct adding adding = {.text = NULL};
    struct sink sink = {add_event, &adding};
    machine_watch(rig->machine, &sink);
    free(rig_run(rig));
    cr_expect_arr_eq(adding.count, rig->machine->vcpu[0].mmu->tally.count, sizeof adding.count);
    rig_free(rig);
}

Test(report, writes_events_as_json_lines)
{
    static const struct {
        struct event event;
        const char *line;
    } cases[] = {
        {{.time = 812,
          .kind = EVENT_REF,
          .level = 4,
          .detail = SERVED_MEMORY,
          .address = 0x1000,
          .value = 0x2027},
         "{\"t\":812,\"cpu\":0,\"event\":\"ref\",\"depth\":0,\"level\":4,\"detail\":\"memory\","
         "\"address\":\"0x1000\",\"value\":\"0x2027\"}\n"},
        {{.time = 1, .vcpu = 3, .kind = EVENT_ACCESS, .detail = OP_WRITE, .address = 0xabc},
         "{\"t\":1,\"cpu\":3,\"event\":\"access\",\"detail\":\"write\",\"address\":\"0xabc\","
         "\"value\":\"0x0\"}\n"},
        {{.time = UINT64_MAX,
          .kind = EVENT_FAULT,
          .level = 1,
          .detail = REFUSED_PROTECTION,
          .address = UINT64_MAX,
          .value = 7},
         "{\"t\":18446744073709551615,\"cpu\":0,\"event\":\"fault\",\"level\":1,\"detail\":"
         "\"protection\",\"address\":\"0xffffffffffffffff\",\"value\":\"0x7\"}\n"},
        {{.kind = EVENT_INVPCID, .detail = 2},
         "{\"t\":0,\"cpu\":0,\"event\":\"invpcid\",\"detail\":2,\"address\":\"0x0\","
         "\"value\":\"0x0\"}\n"},
        {{.kind = EVENT_WALK},
         "{\"t\":0,\"cpu\":0,\"event\":\"walk\",\"address\":\"0x0\","
         "\"value\":\"0x0\"}\n"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct page page;
        page_open(&page);
        event_print(&cases[i].event, page.file);
        char *line = page_close(&page);
        cr_expect_str_eq(line, cases[i].line);
        free(line);
    }
}

Test(report, escapes_strings_of_json)
{
    struct page page;
    struct stats stats = {
        .scenario = "a\"b\\c\n\x01\xff\xc3\xa9", .mode = "native", .profile = "p"};
    page_open(&page);
    stats_print_json(&stats, page.file);
    char *text = page_close(&page);
    cr_expect(strstr(text, "\"a\\\"b\\\\c\\n\\u0001\\ufffd\xc3\xa9\"") != NULL, "%s", text);
    free(text);
}
