/* Statistics of a VM under a hypervisor: exits, work, frames, and sums that must come out. */
#include <cjson/cJSON.h>

#include "tests/sim/machines.h"

/* Tables at 0x1000 to 0x4000 with A set, the page at 0x5000: five pages that have frames from the
 * start, none of which the second stage maps before it is touched. */
#define TABLES                                                                                     \
    "\"registers\":{\"cr3\":\"0x1000\"},\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2027\"]},"     \
    "{\"gpa\":\"0x2000\",\"u64\":[\"0x3027\"]},{\"gpa\":\"0x3000\",\"u64\":[\"0x4027\"]},"         \
    "{\"gpa\":\"0x4000\",\"u64\":[\"0x5027\"]},{\"gpa\":\"0x5010\",\"bytes\":\"5a\"}]"

static const char raw[] =
    "{\"version\":1,\"vms\":[{\"mode\":\"nested\",\"memory\":\"16MiB\"," TABLES "}],"
    "\"script\":[{\"do\":\"access\",\"gva\":\"0x10\"}]}";

static struct stats gathered(struct rig *rig)
{
    struct stats stats;
    cr_assert(stats_gather(&stats, rig->machine, &rig->scenario.machine, "test"));
    return stats;
}

/* Each of the five pages is a violation; the sixth attempt reads 24 entries. */
Test(stats_nested, counts_exits_and_what_answers_them)
{
    struct rig *rig = rig_new(raw);
    free(rig_run(rig));
    struct stats s = gathered(rig);
    const struct counts *c = &s.total;
    cr_expect_eq(c->exits[EXIT_FOR_second_stage_violation], 5);
    cr_expect_eq(stats_exits(c), 5);
    cr_expect_eq(c->work[WORK_map], 5);
    cr_expect_eq(c->work[WORK_back], 0);
    cr_expect_eq(c->walks.count, 6);
    cr_expect_eq(c->walks.retried, 5);
    cr_expect_eq(c->frames, 5);
    cr_expect_eq(c->tables.host_bytes, 4 * 4096);
    const uint32_t *cost = rig->scenario.machine.profile.cost;
    cr_expect_eq(c->cycles_by[CYCLES_exits], 5 * cost[COST_exit]);
    cr_expect_eq(c->cycles_by[CYCLES_hypervisor], 5 * cost[COST_violation]);
    cr_expect_eq(c->cycles_by[CYCLES_guest], 0);
    stats_fini(&s);
    rig_free(rig);
}

static const char two_vms[] =
    "{\"version\":1,\"machine\":{\"profile\":\"%s\"},\"vms\":["
    "{\"name\":\"a\",\"mode\":\"%s\",\"memory\":\"16MiB\",\"second_stage\":\"%s\",\"processes\":["
    "{\"map\":[{\"gva\":\"0x400000\",\"size\":\"4MiB\"}],\"workload\":{\"generator\":\"zipf\","
    "\"writes\":0.3,\"accesses\":4000}}]},"
    "{\"name\":\"b\",\"mode\":\"%s\",\"memory\":\"16MiB\",\"second_stage\":\"%s\","
    "\"guest\":{\"reclaim\":{\"policy\":\"lru\",\"frames\":100}},\"processes\":["
    "{\"map\":[{\"gva\":\"0x400000\",\"size\":\"1MiB\"}],\"workload\":{\"generator\":\"uniform\","
    "\"writes\":0.5,\"accesses\":4000}}]}]}";

static struct rig *rig_of(const char *profile, const char *mode, const char *second)
{
    char json[1500];
    snprintf(json, sizeof json, two_vms, profile, mode, second, mode, second);
    return rig_new(json);
}

static uint64_t number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert(cJSON_IsNumber(item), "%s", name);
    return (uint64_t)item->valuedouble;
}

static uint64_t sum_of(const cJSON *object)
{
    const cJSON *item;
    uint64_t sum = 0;
    cJSON_ArrayForEach(item, object) sum += (uint64_t)item->valuedouble;
    return sum;
}

static void lookups_add_up(const cJSON *rows)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
        cr_expect_eq(number(row, "lookups"), number(row, "hits") + number(row, "misses"));
}

static void level_adds_up(const cJSON *level)
{
    const cJSON *walks = cJSON_GetObjectItem(level, "walks");
    const cJSON *refs = cJSON_GetObjectItem(walks, "refs");
    const cJSON *exits = cJSON_GetObjectItem(level, "exits");
    lookups_add_up(cJSON_GetObjectItem(level, "tlb"));
    lookups_add_up(cJSON_GetObjectItem(level, "structure_caches"));
    lookups_add_up(cJSON_GetObjectItem(level, "nested_tlb"));
    cr_expect_eq(sum_of(cJSON_GetObjectItem(level, "cycles_by")), number(level, "cycles"));
    cr_expect_eq(sum_of(cJSON_GetObjectItem(exits, "by_reason")), number(exits, "total"));
    cr_expect_eq(sum_of(cJSON_GetObjectItem(walks, "served_by")), number(refs, "total"));
    cr_expect_eq(sum_of(cJSON_GetObjectItem(refs, "by_stage")), number(refs, "total"));
    const cJSON *to = cJSON_GetObjectItem(exits, "to"); /* of a hypervisor in a VM only */
    cr_expect(!to || sum_of(to) == number(exits, "total"));
    cr_expect_gt(number(exits, "total"), 0);
    cr_expect_gt(number(refs, "host"), 0);
    cr_expect_gt(number(cJSON_GetObjectItem(level, "tables"), "host_bytes"), 0);
}

/* For the whole and for each VM, with each kind of second stage and of structure caches. */
Test(stats_nested, adds_up)
{
    static const struct {
        const char *profile, *mode, *second;
    } cases[] = {{"skylake-sp", "nested", "ept4"}, {"zen3", "nested", "npt4"},
                 {"zen3", "nested", "flat"},       {"skylake-sp", "nested", "ept5"},
                 {"k10", "three-stage", "npt4"},   {"haswell", "collapsed", "ept4"}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig *rig = rig_of(cases[i].profile, cases[i].mode, cases[i].second);
        free(rig_run(rig));
        char *text = rig_stats(rig, stats_print_json);
        cJSON *json = cJSON_Parse(text);
        const cJSON *vms = cJSON_GetObjectItem(json, "vms"), *vm;
        uint64_t exits = 0;
        cr_assert(json != NULL, "%s", text);
        level_adds_up(json);
        cJSON_ArrayForEach(vm, vms)
        {
            level_adds_up(vm);
            exits += number(cJSON_GetObjectItem(vm, "exits"), "total");
        }
        cr_expect_eq(exits, number(cJSON_GetObjectItem(json, "exits"), "total"));
        cJSON_Delete(json);
        free(text);
        rig_free(rig);
    }
}

/* Every frame of the host that is a VM's memory is one of its p2m, and counted in "frames". */
Test(stats_nested, counts_the_frames_that_a_vm_has)
{
    struct rig *rig = rig_of("skylake-sp", "nested", "ept4");
    free(rig_run(rig));
    struct stats s = gathered(rig);
    uint64_t owned[2] = {0}, tables[2] = {0};
    const struct machine *m = rig->machine;
    for (hpa_t at = 0; at < m->host.frames.bottom; at += FRAME_BYTES) {
        struct frame_owner owner = host_owner(&m->host, at);
        owned[owner.vm] += owner.use == FRAME_GUEST;
        tables[owner.vm] += owner.use == FRAME_SECOND_STAGE;
    }
    for (unsigned v = 0; v < 2; v++) {
        cr_expect_eq(s.vms[v].frames, owned[v]);
        cr_expect_eq(s.vms[v].frames, s.vms[v].work[WORK_back]);
        cr_expect_eq(s.vms[v].tables.host_bytes, tables[v] * FRAME_BYTES);
    }
    stats_fini(&s);
    rig_free(rig);
}

/* Large pages come from the top of a hypervisor's memory: it must all be the host's to give. */
Test(stats_nested, answers_every_exit_of_large_pages_in_three_stages)
{
    static const char *const modes[] = {"three-stage", "collapsed"};
    for (unsigned i = 0; i < 2; i++) {
        char json[1000];
        snprintf(json, sizeof json,
                 "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"memory\":\"16MiB\","
                 "\"second_stage_page\":\"2MiB\"," TABLES
                 "}],\"script\":[{\"do\":\"access\",\"gva\":\"0x10\",\"size\":1}]}",
                 modes[i]);
        struct rig *rig = rig_new(json);
        char *outcomes = rig_run(rig);
        cr_expect_str_eq(outcomes,
                         "{\"i\":0,\"outcome\":\"ok\",\"gpa\":\"0x5010\",\"value\":\"0x5a\"}\n");
        free(outcomes);
        rig_free(rig);
    }
}

/* The table for people: the kinds that happened, and only those. */
Test(stats_nested, prints_what_happened)
{
    struct rig *rig = rig_new(raw);
    free(rig_run(rig));
    char *text = rig_stats(rig, stats_print_table);
    cr_expect(strstr(text, "second stage violation"), "%s", text);
    cr_expect(strstr(text, "maps a page in the second stage"), "%s", text);
    cr_expect(strstr(text, "references per walk"), "%s", text);
    cr_expect_not(strstr(text, "gives the VM a page"), "%s", text);
    free(text);
    rig_free(rig);
}
