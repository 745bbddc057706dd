/* One access of a VM under a hypervisor, told: the grid, who saved what, exits, and data. */
#include <cjson/cJSON.h>
#include <inttypes.h>

#include "sim/report/walk_report.h"
#include "tests/sim/run_support.h"

/* As in walk_report.c, A set everywhere: the page of gva 0 at 0x5000, of 0x1000 at 0x6000, that of
 * 0x2000 read-only, that of 0x3000 beyond the VM's memory, 0x4000 not there, 0x5000 at 0x5000
 * again; an upper entry that leads beyond it. */
#define TABLES                                                                                     \
    "\"registers\":{\"cr3\":\"0x1000\"},\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2027\","       \
    "\"0x40000027\"]},{\"gpa\":\"0x2000\",\"u64\":[\"0x3027\"]},{\"gpa\":\"0x3000\",\"u64\":["     \
    "\"0x4027\"]},{\"gpa\":\"0x4000\",\"u64\":[\"0x5027\",\"0x6027\",\"0x7025\",\"0x40005027\","   \
    "\"0x0\",\"0x5027\"]},{\"gpa\":\"0x5010\",\"bytes\":\"5a\"}]"

#define ACCESS(gva) "{\"do\":\"access\",\"gva\":\"" gva "\"}"

static struct rig *nested(const char *script, const char *profile, const char *mode,
                          const char *second)
{
    struct page page;
    struct err err = {0};
    page_open(&page);
    fprintf(page.file,
            "{\"version\":1,\"machine\":{\"profile\":\"%s\"},\"vms\":[{\"mode\":\"%s\","
            "\"memory\":\"16MiB\",\"second_stage\":\"%s\"," TABLES "}],\"script\":[%s]}",
            profile, mode, second, script);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    cr_assert(run_script(&rig->scenario, rig->machine, NULL, &err), "%s", err.text);
    free(json);
    return rig;
}

static struct walk_report *walk(struct rig *rig, gva_t gva, enum op op, bool cold)
{
    struct walk_report *report = malloc(sizeof *report);
    memset(report, 0xa5, sizeof *report); /* nothing in it is taken to be zero */
    struct script_item item = {
        .verb = VERB_access,
        .access = {.gva = gva, .size = 1, .op = (uint8_t)op, .flags = ACCESS_USER}};
    walk_report_make(report, rig->machine, &item, cold);
    return report;
}

static void drop(struct walk_report *report, struct rig *rig)
{
    free(report);
    rig_free(rig);
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

/* Bhargava et al., ASPLOS 2008, figure 2: four for each of the guest's entries, and for the data.
 */
Test(walk_report_nested, numbers_24_references_in_the_published_order)
{
    static const char *const guest[] = {"guest PGD", "guest PUD", "guest PMD", "guest PTE", "data"};
    static const char *const levels[] = {"PGD", "PUD", "PMD", "PTE"};
    struct rig *rig = nested(ACCESS("0x0"), "skylake-sp", "nested", "ept4");
    struct walk_report *r = walk(rig, 0x10, OP_READ, true);
    cr_assert_eq(r->n_lines, 24);
    for (unsigned i = 0; i < 24; i++) {
        const struct walk_line *line = &r->line[i];
        bool own = i % 5 == 4;
        cr_expect(line->read);
        cr_expect_str_eq(walk_report_dimension(r, line), own ? "guest" : "host");
        cr_expect_str_eq(walk_report_level(r, line), levels[own ? i / 5 : i % 5]);
        cr_expect_str_eq(line->purpose, own ? "data" : guest[i / 5]);
    }
    cr_expect_eq(r->outcome.gpa, 0x5010);
    cr_expect_eq(r->outcome.value, 0x5a);
    cr_expect_eq(r->n_handled, 0);
    /* Lines of the host's tables are shared: only the first way is cold. Nothing is set. */
    cr_expect_eq(r->cycles, 1 + 9 + (4 + 4) * 200 + 16 * 4);
    drop(r, rig);
}

/* The reads of a cold walk are A and D's too: of the host's entries all, of its pages with tables.
 */
Test(walk_report_nested, tells_every_exit_of_a_first_access)
{
    struct rig *rig = nested("", "skylake-sp", "nested", "ept4");
    struct walk_report *r = walk(rig, 0x10, OP_READ, false);
    static const gpa_t gpas[] = {0x1000, 0x2000, 0x3000, 0x4000, 0x5010};
    cr_expect_eq(r->n_handled, 10);
    for (unsigned i = 0; i < 5; i++) {
        const struct event *exit = &r->handled[2 * i];
        cr_expect_eq(exit->kind, EVENT_EXIT);
        cr_expect_eq(exit->detail, EXIT_FOR_second_stage_violation);
        cr_expect_eq(exit->address, gpas[i]);
        /* A read of a table counts as a write, with A and D; that of the data doesn't. */
        cr_expect_eq(exit->value, i < 4 ? 0x83 : 0x181);
        cr_expect_eq(r->handled[2 * i + 1].detail, WORK_map);
    }
    cr_expect_eq(r->n_lines, 24);
    cr_expect_gt(r->answered, 5 * 1000);
    drop(r, rig);
}

static void expect_saved(const struct walk_report *r, unsigned first, unsigned last,
                         const char *served_by)
{
    for (unsigned n = first; n <= last; n++) {
        const struct walk_line *line = &r->line[n - 1];
        cr_expect(!line->read && !strcmp(line->served_by, served_by), "%u: %s", n, line->served_by);
    }
}

/* A guest's PDE-cache entry has the host's address of the page table: 1 + 4 remain, and the host's
 * PDE cache makes them 1 + 1. SDM vol. 3, 28.3.1. */
Test(walk_report_nested, names_the_caches_that_saved_references)
{
    struct rig *rig = nested(ACCESS("0x0"), "skylake-sp", "nested", "ept4");
    struct walk_report *r = walk(rig, 0x0, OP_READ, false);
    cr_expect_eq(r->n_lines, 24);
    expect_saved(r, 1, 24, "l1d tlb");
    free(r);
    r = walk(rig, 0x5000, OP_READ, false);
    cr_expect_eq(r->n_lines, 24);
    expect_saved(r, 1, 19, "pde cache");
    expect_saved(r, 21, 23, "host pde cache");
    cr_expect(r->line[19].read);
    cr_expect(r->line[23].read);
    cr_expect_eq(r->cycles, 1 + 9 + 2 * 1 + 2 * 4);
    drop(r, rig);
}

/* The nested TLB has the guest's tables, not the data; by entry, every guest entry is read. */
Test(walk_report_nested, tells_what_the_nested_tlb_saved)
{
    struct rig *rig = nested(ACCESS("0x0"), "zen3", "nested", "npt4");
    struct walk_report *r = walk(rig, 0x5000, OP_READ, false);
    cr_assert_eq(r->n_lines, 24);
    for (unsigned i = 0; i < 20; i += 5) {
        expect_saved(r, i + 1, i + 4, "nested tlb");
        cr_expect(r->line[i + 4].read);
    }
    for (unsigned i = 20; i < 24; i++)
        cr_expect(r->line[i].read);
    drop(r, rig);
}

/* A table reached through a cache, past the host's stage: to set A in it, the host is asked after
 * all, after it was read. Each reference keeps its place. */
Test(walk_report_nested, keeps_references_in_their_place_when_a_cache_must_catch_up)
{
    struct rig *rig = nested(ACCESS("0x0") ",{\"do\":\"store\",\"gpa\":\"0x4008\",\"value\":"
                                           "\"0x6007\"}",
                             "skylake-sp", "nested", "ept4");
    struct walk_report *r = walk(rig, 0x1000, OP_WRITE, false);
    cr_expect_eq(r->n_lines, 24);
    cr_expect_not(r->stale);
    for (unsigned i = 0; i < r->n_lines; i++)
        cr_expect_not(r->line[i].differs);
    drop(r, rig);
}

/* An answer that the hypervisor doesn't have: beyond the VM's memory. Table 27-7. */
Test(walk_report_nested, ends_in_an_exit)
{
    static const struct {
        gva_t gva;
        gpa_t gpa;
        uint64_t qualification;
        const char *purpose, *words;
    } cases[] = {
        {0x3010, 0x40005010, 0x182, "data", "a write, for the data itself"},
        {0x8000000000, 0x40000000, 0x83, "guest PUD",
         "a read that counts as a write, for a table of the guest"},
    };
    for (unsigned i = 0; i < 2; i++) {
        char why[200];
        struct rig *rig = nested("", "skylake-sp", "nested", "ept4");
        struct walk_report *r = walk(rig, cases[i].gva, OP_WRITE, false);
        cr_assert_eq(r->outcome.kind, OUTCOME_EXIT);
        cr_expect_eq(r->outcome.exit.address, cases[i].gpa);
        cr_expect_eq(r->outcome.exit.qualification, cases[i].qualification);
        const struct walk_line *last = &r->line[r->n_lines - 1];
        cr_expect(last->refused);
        cr_expect_str_eq(last->purpose, cases[i].purpose);
        cr_expect_str_eq(walk_report_why(r, why, sizeof why), "the host PUD entry is not present");
        struct page page;
        page_open(&page);
        walk_report_table(r, page.file);
        char *text = page_close(&page);
        cr_expect(strstr(text, cases[i].words), "%s", text);
        cr_expect(strstr(text, " L1!"), "%s", text);
        free(text);
        drop(r, rig);
    }
}

/* EPT by hand: the guest's tables at gpa 0x1000 to 0x4000, of whose entry of 0x4000 bits are given;
 * then a page that may only be read, one that may be written but not read, one of memory type 2. */
static struct rig *by_hand(const char *eptp, const char *last_table)
{
    struct page page;
    page_open(&page);
    fprintf(
        page.file,
        "{\"version\":1,\"vms\":[{\"mode\":\"nested\",\"memory\":\"16MiB\",\"registers\":{\"cr3\":"
        "\"0x1000\"},\"second_stage_raw\":{\"eptp\":\"%s\",\"image\":["
        "{\"hpa\":\"0x100000\",\"u64\":[\"0x101007\"]},{\"hpa\":\"0x101000\",\"u64\":[\"0x102007\"]"
        "},"
        "{\"hpa\":\"0x102000\",\"u64\":[\"0x103007\"]},{\"hpa\":\"0x103008\",\"u64\":[\"0x201037\","
        "\"0x202037\",\"0x203037\",\"%s\",\"0x205031\",\"0x206032\",\"0x207017\"]}]},"
        "\"image\":[{\"gpa\":\"0x1000\",\"u64\":[\"0x2027\"]},{\"gpa\":\"0x2000\",\"u64\":"
        "[\"0x3027\"]},{\"gpa\":\"0x3000\",\"u64\":[\"0x4027\"]},{\"gpa\":\"0x4000\",\"u64\":["
        "\"0x5027\",\"0x6027\",\"0x7027\"]}]}]}",
        eptp, last_table);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    free(json);
    return rig;
}

/* SDM vol. 3, 28.2.3: what denies, and how the exit tells it. */
Test(walk_report_nested, tells_what_a_second_stage_denies)
{
    static const struct {
        const char *eptp, *table;
        gva_t gva;
        enum op op;
        enum exit_reason reason;
        uint64_t qualification;
        const char *why, *words, *cell;
    } cases[] = {
        {"0x10001e", "0x204037", 0, OP_WRITE, EXIT_FOR_second_stage_violation, 0x18a,
         "the host PTE entry allows no writes", "a write, for the data itself; of R, W and X R was",
         "24 L1!"},
        {"0x10001e", "0x204037", 0, OP_EXEC, EXIT_FOR_second_stage_violation, 0x18c,
         "the host PTE entry allows no fetches", "a fetch, for the data itself", "24 L1!"},
        {"0x10005e", "0x204035", 0, OP_READ, EXIT_FOR_second_stage_violation, 0xab,
         "the host PTE entry allows no writes",
         "a read that counts as a write, for a table of the guest; of R, W and X", "19 L1!"},
        {"0x10001e", "0x204037", 0x1000, OP_READ, EXIT_FOR_second_stage_misconfiguration, 0,
         "the host PTE entry is malformed: 0x206032", NULL, "24 L1!"},
        {"0x10001e", "0x204037", 0x2000, OP_READ, EXIT_FOR_second_stage_misconfiguration, 0,
         "the host PTE entry is malformed: 0x207017", NULL, "24 L1!"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[200];
        struct rig *rig = by_hand(cases[i].eptp, cases[i].table);
        struct walk_report *r = walk(rig, cases[i].gva, cases[i].op, false);
        cr_assert_eq(r->outcome.kind, OUTCOME_EXIT);
        cr_expect_eq(r->outcome.exit.reason, cases[i].reason);
        cr_expect_eq(r->outcome.exit.qualification, cases[i].qualification, "%u: 0x%" PRIx64, i,
                     r->outcome.exit.qualification);
        walk_report_why(r, why, sizeof why);
        cr_expect_str_eq(why, cases[i].why);
        char *table = printed(r, walk_report_table), *steps = printed(r, walk_report_explain);
        cr_expect(!cases[i].words || strstr(table, cases[i].words), "%s", table);
        cr_expect(strstr(table, cases[i].cell), "%s", table);
        cr_expect(strstr(steps, "The processor exits to the hypervisor"), "%s", steps);
        free(table);
        free(steps);
        drop(r, rig);
    }
}

/* ---- what the writers make of it ---- */

Test(walk_report_nested, draws_a_grid)
{
    struct rig *rig = nested(ACCESS("0x0"), "skylake-sp", "nested", "ept4");
    struct walk_report *r = walk(rig, 0x1000, OP_READ, true);
    char *grid = printed(r, walk_report_grid);
    static const char expected[] =
        "guest  host PGD    host PUD    host PMD    host PTE    the entry\n"
        "PGD      1 mem       2 mem       3 mem       4 mem       5 mem\n"
        "PUD      6 L1        7 L1        8 L1        9 L1       10 mem\n"
        "PMD     11 L1       12 L1       13 L1       14 L1       15 mem\n"
        "PTE     16 L1       17 L1       18 L1       19 L1       20 mem\n"
        "data    21 L1       22 L1       23 L1       24 L1\n"
        "each number is a reference, in the order of the walk, and who served it\n"
        "by: L1, L2 data caches; mem memory\n\n";
    cr_expect_str_eq(grid, expected);
    free(grid);
    free(r);
    r = walk(rig, 0x5000, OP_READ, false);
    grid = printed(r, walk_report_grid);
    cr_expect(strstr(grid, "PTE    (16) pde    (17) pde    (18) pde    (19) pde     20 L1\n"), "%s",
              grid);
    cr_expect(strstr(grid, "a structure cache knew the way"), "%s", grid);
    free(grid);
    drop(r, rig);
}

static void json_with_steps(const struct walk_report *r, FILE *out)
{
    walk_report_json(r, true, out);
}

static uint64_t sum_of(const cJSON *refs, const char *key)
{
    const cJSON *ref;
    uint64_t sum = 0;
    cJSON_ArrayForEach(ref, refs) sum += (uint64_t)cJSON_GetObjectItem(ref, key)->valuedouble;
    return sum;
}

static const char *string_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    cr_assert(cJSON_IsString(item), "%s", key);
    return item->valuestring;
}

Test(walk_report_nested, writes_json)
{
    struct rig *rig = nested("", "skylake-sp", "nested", "ept4");
    struct walk_report *r = walk(rig, 0x10, OP_READ, true);
    char *text = printed(r, json_with_steps);
    cJSON *json = cJSON_Parse(text);
    cr_assert(json != NULL, "%s", text);
    const cJSON *refs = cJSON_GetObjectItem(json, "refs"), *handled;
    cr_expect_eq(cJSON_GetArraySize(refs), 24);
    cr_expect_eq(sum_of(refs, "n"), 24 * 25 / 2);
    cr_expect_eq(sum_of(refs, "stage"), 20);
    cr_expect_eq(sum_of(refs, "cycles"), 8 * 200 + 16 * 4);
    const cJSON *ref = cJSON_GetArrayItem(refs, 5);
    cr_expect_str_eq(string_of(ref, "dimension"), "host");
    cr_expect_str_eq(string_of(ref, "name"), "PGD");
    cr_expect_str_eq(string_of(ref, "for"), "guest PUD");
    cr_expect_str_eq(string_of(ref, "served_by"), "l1");
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItem(ref, "read")));
    cr_expect(cJSON_IsNull(cJSON_GetObjectItem(json, "exit")));
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "handled")), 5);
    handled = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "handled"), 4);
    cr_expect_str_eq(string_of(handled, "exit"), "second_stage_violation");
    cr_expect_str_eq(string_of(handled, "gpa"), "0x5010");
    cr_expect_str_eq(string_of(handled, "qualification"), "0x181");
    cr_expect_str_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(handled, "work"), 0)->valuestring,
                     "map");
    cJSON_Delete(json);
    free(text);
    free(r);
    r = walk(rig, 0x3000, OP_WRITE, false);
    text = printed(r, json_with_steps);
    cr_expect(strstr(text, "\"outcome\": \"exit\""), "%s", text);
    cr_expect(strstr(text, "\"exit\": { \"reason\": \"second_stage_violation\", \"gpa\": "
                           "\"0x40005000\", \"qualification\": \"0x182\" }"),
              "%s", text);
    free(text);
    drop(r, rig);
}

/* Every kind of second stage, of machine and of outcome: it prints, it parses, it adds up. */
Test(walk_report_nested, prints_whatever_happens)
{
    static const gva_t gvas[] = {0, 0x2000, 0x3000, 0x4000, 0x8000000000, 0x800000000000};
    static const struct {
        const char *profile, *mode, *second;
    } machines[] = {{"skylake-sp", "nested", "ept4"}, {"zen3", "nested", "npt4"},
                    {"zen3", "nested", "ept5"},       {"golden-cove", "nested", "npt5"},
                    {"textbook", "nested", "flat"},   {"skylake-sp", "three-stage", "ept4"},
                    {"zen2", "three-stage", "npt4"},  {"skylake-sp", "collapsed", "ept4"},
                    {"skylake-sp", "agile", "ept4"}};
    enum { MACHINES = sizeof machines / sizeof *machines };
    for (unsigned i = 0; i < MACHINES * 6 * 2; i++) {
        const char *profile = machines[i % MACHINES].profile, *mode = machines[i % MACHINES].mode;
        struct rig *rig = nested(ACCESS("0x1000"), profile, mode, machines[i % MACHINES].second);
        struct walk_report *r = walk(rig, gvas[i / MACHINES % 6], OP_WRITE, i / (MACHINES * 6));
        char *table = printed(r, walk_report_table), *steps = printed(r, walk_report_explain);
        char *json = printed(r, json_with_steps), *csv = printed(r, walk_report_csv);
        cr_expect_leq(longest_line(table), 100, "%s", table);
        cr_expect_leq(longest_line(steps), 80, "%s", steps);
        cJSON *root = cJSON_Parse(json);
        cr_assert(root != NULL, "%s", json);
        const cJSON *refs = cJSON_GetObjectItem(root, "refs");
        cr_expect_eq(cJSON_GetArraySize(refs), r->n_lines);
        cycles_t read, sum = 0, part;
        walk_report_count(r, EVENT_REF, &read);
        cr_expect_eq(sum_of(refs, "cycles"), read);
        for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
            walk_report_count(r, (enum event_kind)kind, &part), sum += part;
        cr_expect_eq(sum, r->cycles);
        cr_expect_not(r->stale);
        cJSON_Delete(root);
        free(table);
        free(steps);
        free(json);
        free(csv);
        drop(r, rig);
    }
}

/* A shadow is the hypervisor's, though it is the first and only stage; its pages are the host's. */
Test(walk_report_nested, tells_a_shadow_from_the_guests_tables)
{
    struct rig *rig = nested(ACCESS("0x0"), "skylake-sp", "shadow", "ept4");
    struct walk_report *r = walk(rig, 0x5010, OP_READ, true);
    cr_assert_eq(r->n_lines, 4);
    for (unsigned i = 0; i < 4; i++)
        cr_expect_str_eq(walk_report_dimension(r, &r->line[i]), "shadow");
    cr_expect_eq(r->outcome.gpa, 0x5010);
    cr_expect_eq(r->outcome.value, 0x5a);
    char page[64], *table, *steps;
    snprintf(page, sizeof page, "= host-physical address 0x%" PRIx64 "\n", r->outcome.hpa);
    table = printed(r, walk_report_table);
    steps = printed(r, walk_report_explain);
    cr_expect(strstr(table, page), "%s", table);
    cr_expect(strstr(table, "(the guest believes 0x1000)"), "%s", table);
    cr_expect(strstr(steps, "The guest takes it for 0x5010."), "%s", steps);
    cr_expect_leq(longest_line(table), 80, "%s", table);
    free(table);
    free(steps);
    drop(r, rig);
}

/* Agile paging: the shadow's upper @p levels, the guest's own tables below them. */
static struct rig *agile(unsigned levels)
{
    struct page page;
    struct err err = {0};
    page_open(&page);
    fprintf(
        page.file,
        "{\"version\":1,\"machine\":{\"profile\":\"skylake-sp\"},\"vms\":[{\"mode\":\"agile\","
        "\"agile\":{\"shadow_levels\":%u},\"memory\":\"16MiB\",\"second_stage\":\"ept4\"," TABLES
        "}],\"script\":[" ACCESS("0x0") "]}",
        levels);
    char *json = page_close(&page);
    struct rig *rig = rig_new(json);
    cr_assert(run_script(&rig->scenario, rig->machine, NULL, &err), "%s", err.text);
    free(json);
    return rig;
}

static void say_to(void *self, const char *sentence)
{
    fprintf(self, "%s\n", sentence);
}

static void speak(const struct walk_report *r, FILE *out)
{
    walk_report_steps(r, say_to, out);
}

/* The sentences, each on a line. */
static char *spoken(const struct walk_report *r)
{
    return printed(r, speak);
}

static void expect_all(const char *text, const char *const *parts)
{
    for (; *parts; parts++)
        cr_expect(strstr(text, *parts), "'%s' is not in: %s", *parts, text);
}

/* The shadow is no table of the guest's, at no gpa; one sentence says where the walk leaves it. */
Test(walk_report_nested, tells_agile_shadows_from_the_guests_tables)
{
    static const struct {
        unsigned levels, refs;
        const char *table[6], *steps[7], *never;
    } cases[] = {
        {0,
         20,
         {" (the guest believes 0x1000): the guest's PGD table is at hpa 0x",
          ".  no host walk: the hypervisor has set the root's host address\n",
          "read: 20 of 20: guest 4 of 4"},
         {"The guest believes that CR3 is 0x1000: that is the gpa of its table.",
          "the guest's PUD entry is at gpa 0x2000 + 0 x 8", "are the data's gpa, 0x5010"},
         "hadow"},
        {2,
         12,
         {" (the guest believes 0x1000): the shadow PGD table is at hpa 0x",
          ".  no host walk: a shadow table stands at a host address",
          "read: 12 of 12: shadow 2 of 2", "; guest 2 of 2"},
         {"The guest believes that CR3 is 0x1000. What the processor walks first",
          "the shadow's PGD entry is at 0x", "the shadow PUD table is at the host's 0x",
          "Its switch bit is set: here the shadow ends. The PMD table is the guest's own",
          "the guest's PTE entry is at gpa 0x4000 + 0 x 8", "are the data's gpa, 0x5010"},
         "the processor can read nothing there"},
        {4,
         4,
         {"the shadow PGD table is at hpa 0x", "read: 4 of 4: shadow 4 of 4"},
         {"it maps a page of 4KiB at the host's 0x", "No entry on the way had the switch bit",
          "The guest takes it for gpa 0x5010."},
         "Its switch bit is set"},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct rig *rig = agile(cases[i].levels);
        struct walk_report *r = walk(rig, 0x10, OP_READ, true);
        cr_expect_eq(r->n_lines, cases[i].refs);
        char *table = printed(r, walk_report_table), *steps = spoken(r);
        expect_all(table, cases[i].table);
        expect_all(steps, cases[i].steps);
        cr_expect_not(strstr(steps, cases[i].never), "%s", steps);
        cr_expect_leq(longest_line(table), 80, "%s", table);
        free(table);
        free(steps);
        drop(r, rig);
    }
}

/* 5 * 5 * 5 - 1. */
Test(walk_report_nested, lists_124_references_of_three_stages)
{
    struct rig *rig = nested(ACCESS("0x0"), "skylake-sp", "three-stage", "ept4");
    struct walk_report *r = walk(rig, 0x10, OP_READ, true);
    cr_expect_eq(r->n_lines, 124);
    static const struct {
        unsigned n;
        const char *dimension, *level, *purpose;
    } some[] = {{1, "l0", "PGD", "l1 PGD"}, {5, "l1", "PGD", "l2 PGD"}, {21, "l0", "PGD", "l2 PGD"},
                {25, "l2", "PGD", "data"},  {120, "l1", "PTE", "data"}, {124, "l0", "PTE", "data"}};
    for (unsigned i = 0; i < 6; i++) {
        const struct walk_line *line = &r->line[some[i].n - 1];
        cr_expect_str_eq(walk_report_dimension(r, line), some[i].dimension);
        cr_expect_str_eq(walk_report_level(r, line), some[i].level);
        cr_expect_str_eq(line->purpose, some[i].purpose, "%u: %s", some[i].n, line->purpose);
    }
    char *table = printed(r, walk_report_table);
    cr_expect(strstr(table, "three dimensions make no grid"), "%s", table);
    cr_expect(strstr(table, "read: 124 of 124: l2 4 of 4"), "%s", table);
    cr_expect(strstr(table, ": L2's PGD table is at gpa 0x1000\n"), "%s", table);
    free(table);
    char *steps = spoken(r);
    cr_expect(strstr(steps, "L2's PTE entry is at gpa 0x4000 + 0 x 8"), "%s", steps);
    cr_expect(strstr(steps, "are the data's gpa, 0x5010: no address of L0's either. Where L0 has "
                            "it, references 101 to 124 say"),
              "%s", steps);
    cr_expect_not(strstr(steps, "The guest's"), "%s", steps);
    cr_expect_not(strstr(steps, "the l1"), "%s", steps);
    free(steps);
    drop(r, rig);
}
