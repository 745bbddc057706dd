/* One access, told: which entries, who saved what, what it cost, and why it was refused. */
#include "sim/report/walk_report.h"

#include <cjson/cJSON.h>

#include "tests/sim/run_support.h"

/* As in report.c: A set everywhere; page 0 at 0x5000, page 1 supervisor's, page 2 read-only, page 3
 * not executable, page 4 not there, page 5 with bit 50 set, 2 MiB at 0x200000. */
#define TABLES                                                                                     \
    "\"registers\":{\"cr3\":\"0x1000\"},\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2027\"]},"     \
    "{\"gpa\":\"0x2000\",\"u64\":[\"0x3027\"]},{\"gpa\":\"0x3000\",\"u64\":[\"0x4027\","           \
    "\"0x4000a7\"]},{\"gpa\":\"0x4000\",\"u64\":[\"0x5027\",\"0x6023\",\"0x7025\","                \
    "\"0x8000000000008027\",\"0x0\",\"0x400000000a027\"]},{\"gpa\":\"0x5010\",\"bytes\":\"5a\"}]"

static struct rig *tables(const char *script, const char *profile)
{
    struct page page;
    struct err err = {0};
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"machine\":{\"profile\":\"%s\",\"override\":{\"maxphyaddr\":46}},"
            "\"vms\":[{\"memory\":\"16MiB\"," TABLES "}],\"script\":[%s]}",
            profile, script);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    cr_assert(run_script(&rig->scenario, rig->machine, NULL, &err));
    free(json);
    return rig;
}

static struct walk_report *walk(struct rig *rig, gva_t gva, enum op op, bool user, bool cold)
{
    struct walk_report *report = malloc(sizeof *report);
    struct script_item item = {
        .verb = VERB_access,
        .access = {.gva = gva, .size = 1, .op = (uint8_t)op, .flags = user ? ACCESS_USER : 0}};
    walk_report_make(report, rig->machine, &item, cold);
    return report;
}

static void expect_line(const struct walk_report *r, unsigned i, unsigned level, hpa_t address,
                        uint64_t entry, bool read, const char *served_by, cycles_t cycles)
{
    const struct walk_line *line = &r->line[i];
    cr_assert_lt(i, r->n_lines);
    cr_expect_eq(line->level, level);
    cr_expect_eq(line->address, address);
    cr_expect_eq(line->entry, entry);
    cr_expect_eq(line->read, read);
    cr_expect_str_eq(line->served_by, served_by);
    cr_expect_eq(line->cycles, cycles);
    cr_expect_str_eq(line->purpose, "data");
}

/* docs/MODEL.md, 9: 1 + 9 + 4 x 200. */
Test(walk_report, tells_a_cold_walk)
{
    struct rig *rig = tables("", "skylake-sp");
    struct walk_report *r = walk(rig, 0x10, OP_READ, true, false);
    cr_expect_eq(r->outcome.kind, OUTCOME_OK);
    cr_expect_eq(r->outcome.hpa, 0x5010);
    cr_expect_eq(r->outcome.value, 0x5a);
    cr_expect_eq(r->cycles, 810);
    cr_expect_eq(r->n_lines, 4);
    expect_line(r, 0, 4, 0x1000, 0x2027, true, "memory", 200);
    expect_line(r, 1, 3, 0x2000, 0x3027, true, "memory", 200);
    expect_line(r, 2, 2, 0x3000, 0x4027, true, "memory", 200);
    expect_line(r, 3, 1, 0x4000, 0x5027, true, "memory", 200);
    cr_expect_not(r->stale);
    cr_expect_not(r->tlb_hit);
    free(r);
    rig_free(rig);
}

Test(walk_report, lists_what_caches_saved)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"}", "skylake-sp");
    struct walk_report *r = walk(rig, 0x8, OP_READ, true, false);
    cr_expect(r->tlb_hit);
    cr_expect_eq(r->cycles, 1);
    for (unsigned i = 0; i < 4; i++)
        cr_expect(!r->line[i].read && !strcmp(r->line[i].served_by, "l1d tlb"));
    free(r);
    r = walk(rig, 0x2000, OP_READ, true, false);
    cr_expect_eq(r->cycles, 1 + 9 + 1 + 4 + 0);
    expect_line(r, 2, 2, 0x3000, 0x4027, false, "pde cache", 0);
    expect_line(r, 3, 1, 0x4010, 0x7025, true, "l1", 4);
    free(r);
    r = walk(rig, 0x200000, OP_READ, true, false);
    cr_expect_eq(r->n_lines, 3);
    expect_line(r, 1, 3, 0x2000, 0x3027, false, "pdpte cache", 0);
    expect_line(r, 2, 2, 0x3008, 0x4000a7, true, "l1", 4);
    cr_expect_eq(r->outcome.hpa, 0x400000);
    free(r);
    rig_free(rig);
}

/* AMD: every level is visited, and a cache serves the entry itself. */
Test(walk_report, names_a_structure_cache_that_serves_entries)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"}", "zen2");
    struct walk_report *r = walk(rig, 0x2000, OP_READ, true, false);
    for (unsigned i = 0; i < 3; i++)
        cr_expect(r->line[i].read && !strcmp(r->line[i].served_by, "structure_cache"));
    cr_expect_eq(r->cycles, 1 + 8 + 3 * 1 + 4);
    free(r);
    rig_free(rig);
}

Test(walk_report, empties_every_cache_before_a_cold_attempt)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"}", "skylake-sp");
    struct walk_report *r = walk(rig, 0x10, OP_READ, true, true);
    cr_expect_eq(r->cycles, 810);
    free(r);
    rig_free(rig);
}

static const char guest[] =
    "{\"version\":1,\"vms\":[{\"memory\":\"16MiB\",\"processes\":[{\"map\":[{\"gva\":\"0x400000\","
    "\"size\":\"64KiB\"}]}]}],\"script\":[{\"do\":\"access\",\"gva\":\"0x400000\"}]}";

/* Cycles and references are of the attempt after the fault, and nothing of the guest's work. */
Test(walk_report, keeps_answered_faults_apart)
{
    for (unsigned cold = 0; cold < 2; cold++) {
        struct rig *rig = rig_new(guest);
        struct err err = {0};
        cr_assert(run_script(&rig->scenario, rig->machine, NULL, &err));
        struct walk_report *r = walk(rig, 0x401000, OP_WRITE, true, cold);
        cr_expect_eq(r->n_handled, 1);
        cr_expect_eq(r->handled[0].value, 6);
        cr_expect_eq(r->handled[0].level, 1);
        cr_expect_eq(r->outcome.kind, OUTCOME_OK);
        /* Warm: the faulting attempt brought the lines into L1, and #PF dropped the PDE cache's
         * entry. A and D are set in the PTE. */
        cr_expect_eq(r->cycles, cold ? 1 + 9 + 4 * 200 + 2 * 100 : 1 + 9 + 4 * 4 + 2 * 100);
        cr_expect_eq(r->line[3].set, PTE_A | PTE_D);
        free(r);
        rig_free(rig);
    }
}

/* A table replaced without INVLPG: the PDE cache leads to the old one. */
Test(walk_report, shows_both_ways_where_a_cache_is_stale)
{
    struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"},"
                             "{\"do\":\"store\",\"gpa\":\"0x3000\",\"value\":\"0x9027\"},"
                             "{\"do\":\"store\",\"gpa\":\"0x9010\",\"value\":\"0xb027\"}",
                             "skylake-sp");
    struct walk_report *r = walk(rig, 0x2000, OP_READ, true, false);
    cr_expect(r->stale);
    cr_expect_eq(r->outcome.hpa, 0x7000);
    cr_assert_eq(r->n_lines, 5);
    expect_line(r, 3, 1, 0x9010, 0xb027, false, "pde cache", 0);
    expect_line(r, 4, 1, 0x4010, 0x7025, true, "l1", 4);
    cr_expect(r->line[3].differs && r->line[4].differs);
    free(r);
    r = walk(rig, 0x0, OP_READ, true, false); /* and the TLB has the old page still */
    cr_expect(r->stale);
    cr_expect_eq(r->outcome.hpa, 0x5000);
    free(r);
    r = walk(rig, 0x2000, OP_READ, true, true);
    cr_expect_not(r->stale);
    cr_expect_eq(r->outcome.hpa, 0xb000);
    free(r);
    rig_free(rig);
}

Test(walk_report, says_why_an_access_is_refused)
{
    static const struct {
        gva_t gva;
        enum op op;
        bool user;
        uint32_t error_code;
        const char *why;
    } cases[] = {
        {0x1000, OP_READ, true, 5, "the PTE entry has U = 0"},
        {0x2000, OP_WRITE, true, 7, "the PTE entry has W = 0: no writes"},
        {0x2000, OP_WRITE, false, 3, "the PTE entry has W = 0, and CR0.WP"},
        {0x3000, OP_EXEC, true, 0x15, "the PTE entry has NX = 1"},
        {0x4000, OP_READ, true, 4, "the PTE entry is not present"},
        {0x5000, OP_READ, false, 9, "the PTE entry has reserved bits set: 0x4000000000000"},
        {0x8000000000, OP_EXEC, false, 0x10, "the PGD entry is not present"},
        {0x800000000000, OP_READ, false, 0, "not canonical: bits 63 to 47 differ"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        struct rig *rig = tables("", "skylake-sp");
        struct walk_report *r = walk(rig, cases[i].gva, cases[i].op, cases[i].user, false);
        cr_assert_eq(r->outcome.kind, OUTCOME_FAULT);
        cr_expect_eq(r->outcome.error_code, cases[i].error_code);
        const char *why = walk_report_why(r, text, sizeof text);
        cr_expect(strstr(why, cases[i].why) != NULL, "%s", why);
        cr_expect(!r->n_lines || !r->line[0].set, "a refused walk sets nothing");
        free(r);
        rig_free(rig);
    }
}

/* SMEP and SMAP deny what no entry denies. */
Test(walk_report, says_when_a_control_bit_refuses)
{
    static const struct {
        const char *cr4;
        enum op op;
        const char *why;
    } cases[] = {{"0x100020", OP_EXEC, "SMEP"}, {"0x200020", OP_READ, "SMAP"}};
    for (unsigned i = 0; i < 2; i++) {
        char script[100], text[200];
        snprintf(script, sizeof script, "{\"do\":\"mov_cr4\",\"value\":\"%s\"}", cases[i].cr4);
        struct rig *rig = tables(script, "skylake-sp");
        struct walk_report *r = walk(rig, 0, cases[i].op, false, false);
        cr_assert_eq(r->outcome.kind, OUTCOME_FAULT);
        const char *why = walk_report_why(r, text, sizeof text);
        cr_expect(strstr(why, cases[i].why) != NULL, "%s", why);
        free(r);
        rig_free(rig);
    }
}

static char *printed(const struct walk_report *r, void (*print)(const struct walk_report *, FILE *))
{
    struct page page;
    page_open(&page);
    print(r, page.file);
    return page_close(&page);
}

static unsigned longest_line(const char *text)
{
    unsigned longest = 0;
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        longest = n > longest ? (unsigned)n : longest;
    }
    return longest;
}

static void json_with_steps(const struct walk_report *r, FILE *out)
{
    walk_report_json(r, true, out);
}

/* Every kind of walk prints in 80 columns, and as JSON that parses and agrees. */
Test(walk_report, fits_80_columns_and_parses)
{
    static const gva_t gvas[] = {0, 0x2000, 0x4000, 0x200000, 0x800000000000, 0xffff900000000000};
    for (unsigned i = 0; i < 2 * sizeof gvas / sizeof *gvas; i++) {
        struct rig *rig = tables("{\"do\":\"access\",\"gva\":\"0x0\"}", i % 2 ? "zen3" : "skylake");
        struct walk_report *r = walk(rig, gvas[i / 2], OP_WRITE, true, false);
        char *table = printed(r, walk_report_table), *steps = printed(r, walk_report_explain);
        char *json = printed(r, json_with_steps);
        cr_expect_leq(longest_line(table), 80, "%s", table);
        cr_expect(i || strstr(table, "set: D in PTE\n"), "%s", table);
        cr_expect_leq(longest_line(steps), 80, "%s", steps);
        cJSON *root = cJSON_Parse(json);
        cr_assert(root != NULL, "%s", json);
        cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(root, "refs")), r->n_lines);
        cr_expect_eq(cJSON_GetObjectItem(root, "cycles")->valuedouble, (double)r->cycles);
        cr_expect_eq(cJSON_IsNull(cJSON_GetObjectItem(root, "fault")),
                     r->outcome.kind == OUTCOME_OK);
        cJSON_Delete(root);
        free(table);
        free(steps);
        free(json);
        free(r);
        rig_free(rig);
    }
}

/* The parts of the sum are all that there is. */
Test(walk_report, adds_the_cycles_up)
{
    struct rig *rig = tables("", "skylake-sp");
    for (gva_t gva = 0; gva < 0x6000; gva += 0x1000) {
        struct walk_report *r = walk(rig, gva, OP_WRITE, true, gva & 0x1000);
        cycles_t sum = 0, part;
        for (unsigned kind = 0; kind < EVENT_KINDS; kind++) {
            walk_report_count(r, (enum event_kind)kind, &part);
            sum += part;
        }
        cr_expect_eq(sum, r->cycles);
        free(r);
    }
    rig_free(rig);
}

static struct rig *other_paging(const char *paging, const char *image, const char *cr3)
{
    struct page page;
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"vms\":[{\"memory\":\"16MiB\",\"guest\":{\"paging\":%s},"
            "\"registers\":{\"cr3\":\"%s\"},\"image\":[%s]}]}",
            paging, cr3, image);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    free(json);
    return rig;
}

/* PDPTEs are in registers: a 4 KiB page takes two references, an absent PDPTE none. */
Test(walk_report, reads_no_entry_for_a_register_of_pae)
{
    struct rig *rig = other_paging("\"pae\"",
                                   "{\"gpa\":\"0x1000\",\"u64\":[\"0x2001\"]},"
                                   "{\"gpa\":\"0x2000\",\"u64\":[\"0x3027\",\"0x4000a7\"]},"
                                   "{\"gpa\":\"0x3000\",\"u64\":[\"0x5027\"]}",
                                   "0x1000");
    char text[200];
    struct walk_report *r = walk(rig, 0x123, OP_READ, false, false);
    cr_expect_eq(r->n_lines, 2);
    cr_expect_eq(r->outcome.hpa, 0x5123);
    cr_expect_eq(r->cycles, 1 + 9 + 2 * 200);
    free(r);
    r = walk(rig, 0x212345, OP_READ, false, false);
    cr_expect_eq(r->n_lines, 1);
    cr_expect_eq(r->outcome.hpa, 0x412345);
    free(r);
    r = walk(rig, 0x40000000, OP_READ, false, false);
    cr_expect_eq(r->n_lines, 0);
    cr_expect_eq(r->outcome.level, 3);
    cr_expect_str_eq(walk_report_why(r, text, sizeof text), "the PGD register is not present");
    free(r);
    rig_free(rig);
}

/* PSE-36: bits 13 to 20 of a 4 MiB page's entry are address bits 32 to 39. */
Test(walk_report, follows_large_pages_of_two_levels)
{
    struct rig *rig = other_paging("\"2-level\"",
                                   "{\"gpa\":\"0x1000\",\"bytes\":\"a70080002720000087204000\"},"
                                   "{\"gpa\":\"0x2004\",\"bytes\":\"27300000\"}",
                                   "0x1000");
    struct walk_report *r = walk(rig, 0x123456, OP_READ, false, false);
    cr_expect_eq(r->n_lines, 1);
    cr_expect_eq(r->outcome.hpa, 0x923456);
    free(r);
    r = walk(rig, 0x401abc, OP_READ, false, false);
    cr_expect_eq(r->n_lines, 2);
    cr_expect_eq(r->line[1].address, 0x2004);
    cr_expect_eq(r->outcome.hpa, 0x3abc);
    free(r);
    r = walk(rig, 0x800000, OP_READ, false, false);
    cr_expect_eq(r->outcome.hpa, 0x100400000);
    free(r);
    rig_free(rig);
}
