/* Files against the reader: malformed ones, good ones, the committed schema and reference page. */
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "sim/scenario/scenario.h"

#define BAD  "tests/sim/data/bad"
#define GOOD "tests/sim/data/scenarios"

/* The whole file; NULL if there is none. */
static char *slurp(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *bytes = calloc(1, 1 << 20);
    *length = fread(bytes, 1, (1 << 20) - 1, file);
    fclose(file);
    return bytes;
}

static int ends_in_json(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 5 && !strcmp(entry->d_name + n - 5, ".json");
}

/* What the reader says of text: every diagnostic, printed. */
static char *verdict(const char *name, const char *text, size_t length)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    char *printed = NULL;
    size_t n;
    FILE *out = open_memstream(&printed, &n);
    if (scenario_parse(&scenario, name, text, length, NULL, 0, &diagnostics))
        scenario_free(&scenario);
    diagnostics_print(&diagnostics, out, false);
    diagnostics_free(&diagnostics);
    fclose(out);
    return printed;
}

/* Compares one bad file's first diagnostic with the text beside it; true if they agree. */
static bool agrees(const char *name)
{
    char path[512];
    size_t length, n;
    snprintf(path, sizeof path, "%s/%s", BAD, name);
    char *text = slurp(path, &length);
    snprintf(path, sizeof path, "%s/%.*s.txt", BAD, (int)strlen(name) - 5, name);
    char *expected = slurp(path, &n), *said = verdict(name, text, length);
    bool same = expected && *expected && !strncmp(said, expected, strlen(expected));
    if (!same)
        fprintf(stderr, "%s: expected\n%sgot\n%s\n", name, expected ? expected : "(no .txt)\n",
                said);
    free(text);
    free(expected);
    free(said);
    return same;
}

Test(scenario_files, malformed_ones_are_told_what_is_wrong_and_what_would_be_right)
{
    struct dirent **entries;
    int n = scandir(BAD, &entries, ends_in_json, alphasort), wrong = 0;
    cr_assert_geq(n, 50, "%d files in " BAD ", run from the top of the repository", n);
    for (int i = 0; i < n; i++) {
        wrong += !agrees(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    cr_assert_eq(wrong, 0, "%d of %d differ", wrong, n);
}

Test(scenario_files, good_ones_load)
{
    struct dirent **entries;
    int n = scandir(GOOD, &entries, ends_in_json, alphasort);
    cr_assert_geq(n, 15);
    for (int i = 0; i < n; i++) {
        char path[512];
        struct scenario scenario;
        struct diagnostics diagnostics = {0};
        snprintf(path, sizeof path, "%s/%s", GOOD, entries[i]->d_name);
        bool ok = scenario_load(&scenario, path, NULL, 0, &diagnostics);
        diagnostics_print(&diagnostics, stderr, false);
        cr_expect(ok, "%s", path);
        diagnostics_free(&diagnostics);
        if (ok)
            scenario_free(&scenario);
        free(entries[i]);
    }
    free(entries);
}

/* The committed copy is what the code prints; `make` it anew when the table has changed. */
static void expect_copy(const char *path, void (*print)(FILE *))
{
    char *printed = NULL;
    size_t n, length = 0;
    FILE *out = open_memstream(&printed, &n);
    print(out);
    fclose(out);
    char *committed = slurp(path, &length);
    cr_expect(committed && length == n && !memcmp(committed, printed, n),
              "%s is not what the table of keys prints", path);
    free(committed);
    free(printed);
}

Test(scenario_files, committed_schemas_and_page_are_what_the_table_prints)
{
    expect_copy("docs/schema/scenario-1.json", schema_print);
    expect_copy("docs/schema/machine-1.json", machine_schema_print);
    expect_copy("docs/SCENARIO.md", reference_print);
}

/* Every object with a value, entries or a size, and every cost, says where it is from. */
static unsigned count_unsourced(const cJSON *item, const char *path)
{
    unsigned n = 0;
    bool holds = cJSON_HasObjectItem(item, "value") || cJSON_HasObjectItem(item, "entries") ||
                 cJSON_HasObjectItem(item, "size") || cJSON_HasObjectItem(item, "pge");
    bool sourced = cJSON_GetObjectItemCaseSensitive(item, "source") &&
                   cJSON_GetObjectItemCaseSensitive(item, "confidence");
    if (cJSON_IsObject(item) && holds && !sourced) {
        fprintf(stderr, "%s: %s has no source and confidence\n", path, item->string);
        n++;
    }
    for (const cJSON *child = item->child; child; child = child->next)
        n += count_unsourced(child, path);
    return n;
}

Test(scenario_files, every_value_of_a_profile_has_a_source_and_a_confidence)
{
    static const char *const plain[] = {"version", "name", "title", "$schema", NULL};
    for (const char *const *name = profile_names(); *name; name++) {
        char path[200];
        size_t length;
        snprintf(path, sizeof path, "scenarios/machines/%s.json", *name);
        char *text = slurp(path, &length);
        cJSON *root = cJSON_Parse(text);
        cr_assert(root, "%s", path);
        cr_expect_eq(count_unsourced(root, path), 0);
        const cJSON *costs = cJSON_GetObjectItemCaseSensitive(root, "costs");
        for (const cJSON *cost = costs->child; cost; cost = cost->next)
            cr_expect(cJSON_IsObject(cost), "%s: %s stands plain", path, cost->string);
        for (const cJSON *item = root->child; item; item = item->next) {
            bool may = false;
            for (unsigned i = 0; plain[i]; i++)
                may |= !strcmp(item->string, plain[i]);
            cr_expect(may || cJSON_IsObject(item), "%s: %s stands plain", path, item->string);
        }
        cJSON_Delete(root);
        free(text);
    }
}

/*
 * What the schema can't say: how values go together, and what is no JSON to begin with or is JSON
 * to Python and not to us. The files are the numbers of those in tests/sim/data/bad.
 */
Test(scenario_files, the_schema_accepts_and_rejects_what_the_reader_does)
{
    if (system("python3 -c 'import jsonschema' 2>/dev/null")) {
        cr_skip_test("python3-jsonschema is not installed");
        return;
    }
    cr_expect_eq(system("python3 tests/sim/scenario_schema.py"), 0);
}
