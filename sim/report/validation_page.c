/* docs/VALIDATION.md: what was written by hand, then tables of results from JSON lines. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report/figures.h"
#include "sim/report/validation.h"

static const char mark[] = "<!-- results -->";

/* ---- reading ---- */

/* A whole file as text, to be freed. NULL with err set. */
static char *read_text(const char *path, struct err *err)
{
    FILE *in = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    ssize_t length = in ? getdelim(&text, &room, '\0', in) : -1;
    bool bad = !in || ferror(in);
    if (bad)
        err_set(err, EXIT_USAGE, "%s: %s", path, strerror(errno));
    if (in)
        fclose(in);
    if (!bad && length < 0) { /* an empty file */
        free(text);
        return strdup("");
    }
    if (!bad)
        return text;
    free(text);
    return NULL;
}

static bool is_result(const cJSON *one)
{
    const char *schema = cJSON_GetStringValue(cJSON_GetObjectItem(one, "schema"));
    return schema &&
           (!strcmp(schema, "nestwalk/validation/1") || !strcmp(schema, "nestwalk/fuzz/1"));
}

/* Every value in a text, one after the other, put into an array. False: one is no result. */
static bool read_values(const char *text, cJSON *all)
{
    while (text += strspn(text, " \t\r\n"), *text) {
        cJSON *one = cJSON_ParseWithOpts(text, &text, false);
        if (!is_result(one)) {
            cJSON_Delete(one);
            return false;
        }
        cJSON_AddItemToArray(all, one);
    }
    return true;
}

/* What all files hold, as one array. NULL with err set. */
static cJSON *read_results(char *const *paths, int n, struct err *err)
{
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        char *text = read_text(paths[i], err);
        bool good = text && read_values(text, all);
        if (text && !good)
            err_set(err, EXIT_USAGE, "%s: it holds what neither validate nor fuzz prints as JSON",
                    paths[i]);
        free(text);
        if (good)
            continue;
        cJSON_Delete(all);
        return NULL;
    }
    return all;
}

/* ---- fields ---- */

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
    return text ? text : "";
}

static uint64_t number_of(const cJSON *object, const char *key)
{
    const cJSON *number = cJSON_GetObjectItem(object, key);
    return cJSON_IsNumber(number) ? (uint64_t)number->valuedouble : 0;
}

static void print_names(const cJSON *array, FILE *out)
{
    const cJSON *name;
    const char *before = "";
    cJSON_ArrayForEach(name, array)
    {
        fprintf(out, "%s%s", before, cJSON_GetStringValue(name));
        before = ", ";
    }
    if (!*before)
        fputs("none", out);
}

/* ---- tables ---- */

static bool is_fuzz(const cJSON *one)
{
    return !strcmp(text_of(one, "schema"), "nestwalk/fuzz/1");
}

static bool same_environment(const cJSON *a, const cJSON *b)
{
    return !strcmp(text_of(a, "driver"), text_of(b, "driver")) &&
           !strcmp(text_of(a, "kernel"), text_of(b, "kernel")) &&
           !strcmp(text_of(a, "machine"), text_of(b, "machine"));
}

static bool is_first_of_environment(const cJSON *all, const cJSON *one)
{
    const cJSON *before;
    cJSON_ArrayForEach(before, all)
    {
        if (before == one)
            return true;
        if (same_environment(cJSON_GetObjectItem(before, "environment"),
                             cJSON_GetObjectItem(one, "environment")))
            return false;
    }
    return true;
}

static void print_environments(const cJSON *all, FILE *out)
{
    const cJSON *one;
    fputs("## Where it ran\n\n"
          "| KVM | Technique | Linux | Computer | Guests have | Masks |\n"
          "|---|---|---|---|---|---|\n",
          out);
    cJSON_ArrayForEach(one, all)
    {
        const cJSON *e = cJSON_GetObjectItem(one, "environment");
        if (is_fuzz(one) || !is_first_of_environment(all, one))
            continue;
        fprintf(out, "| %s | %s | %s | %s | ", text_of(e, "driver"), text_of(e, "technique"),
                text_of(e, "kernel"), text_of(e, "machine"));
        print_names(cJSON_GetObjectItem(e, "has"), out);
        fputs(" | ", out);
        print_names(cJSON_GetObjectItem(e, "masks"), out);
        fputs(" |\n", out);
    }
}

static void print_compared(const cJSON *one, FILE *out)
{
    const cJSON *aspect;
    const char *before = "";
    cJSON_ArrayForEach(aspect, cJSON_GetObjectItem(one, "compared"))
    {
        if (*text_of(aspect, "skipped") || !number_of(aspect, "compared"))
            continue;
        fprintf(out, "%s%s %s", before, text_of(aspect, "aspect"),
                grouped(number_of(aspect, "compared")).text);
        before = "; ";
    }
}

static void print_masked(const cJSON *one, FILE *out)
{
    const cJSON *mask;
    const char *before = "";
    cJSON_ArrayForEach(mask, cJSON_GetObjectItem(one, "masks"))
    {
        if (!number_of(mask, "in_reach") && !number_of(mask, "explains"))
            continue;
        fprintf(out, "%s%s %s of %s", before, text_of(mask, "mask"),
                grouped(number_of(mask, "explains")).text,
                grouped(number_of(mask, "in_reach")).text);
        before = "; ";
    }
}

static void print_ran(const cJSON *all, FILE *out)
{
    const cJSON *one;
    fputs(
        "\n## What agrees\n\n"
        "| Scenario | Mode | KVM | Accesses | Compared | Masked, of what was in reach | Result |\n"
        "|---|---|---|---|---|---|---|\n",
        out);
    cJSON_ArrayForEach(one, all)
    {
        if (is_fuzz(one) || !strcmp(text_of(one, "verdict"), "cannot"))
            continue;
        const char *second = text_of(one, "second_stage");
        fprintf(out, "| %s | %s%s%s | %s | %s | ", text_of(one, "scenario"), text_of(one, "mode"),
                *second ? ", " : "", second,
                text_of(cJSON_GetObjectItem(one, "environment"), "driver"),
                grouped(number_of(one, "accesses")).text);
        print_compared(one, out);
        fputs(" | ", out);
        print_masked(one, out);
        fprintf(out, " | **%s**%s%s |\n", text_of(one, "verdict"), *text_of(one, "why") ? ": " : "",
                text_of(one, "why"));
    }
}

static void print_left_out(const cJSON *all, FILE *out)
{
    const cJSON *one;
    bool any = false;
    cJSON_ArrayForEach(one, all)
    {
        if (strcmp(text_of(one, "verdict"), "cannot"))
            continue;
        if (!any)
            fputs("\n## What can't run on KVM\n\n| Scenario | KVM | Why |\n|---|---|---|\n", out);
        any = true;
        fprintf(out, "| %s | %s | %s |\n", text_of(one, "scenario"),
                text_of(cJSON_GetObjectItem(one, "environment"), "driver"), text_of(one, "why"));
    }
}

/* ---- random programs ---- */

static uint64_t faults_of(const cJSON *one)
{
    static const char *const kinds[] = {"not_canonical", "not_present", "reserved", "key",
                                        "fetch",         "write",       "read"};
    uint64_t sum = 0;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        sum += number_of(one, kinds[i]);
    return sum;
}

static void print_fuzz_masks(const cJSON *one, FILE *out)
{
    const cJSON *mask;
    const char *before = "";
    cJSON_ArrayForEach(mask, cJSON_GetObjectItem(one, "masks"))
    {
        if (!number_of(mask, "within_reach"))
            continue;
        fprintf(out, "%s%s %s of %s", before, mask->string,
                grouped(number_of(mask, "explained")).text,
                grouped(number_of(mask, "within_reach")).text);
        before = "; ";
    }
}

static void print_fuzzed(const cJSON *all, FILE *out)
{
    const cJSON *one;
    bool any = false;
    cJSON_ArrayForEach(one, all)
    {
        if (!is_fuzz(one))
            continue;
        if (!any)
            fputs(
                "\n## Random programs\n\n"
                "| KVM | Seed | Programs | Accesses | Of them faults | Words stored into tables | "
                "Invalidations | Masked, of what was in reach | Programs that differ |\n"
                "|---|---|---|---|---|---|---|---|---|\n",
                out);
        any = true;
        fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | ", text_of(one, "driver"),
                grouped(number_of(one, "seed")).text, grouped(number_of(one, "programs")).text,
                grouped(number_of(one, "accesses")).text, grouped(faults_of(one)).text,
                grouped(number_of(one, "edits")).text,
                grouped(number_of(one, "invalidations")).text);
        print_fuzz_masks(one, out);
        fprintf(out, " | **%s** |\n", grouped(number_of(one, "differences")).text);
    }
}

/* ---- the page ---- */

bool validation_write_page(const char *path, char *const *results, int n_results, struct err *err)
{
    char *page = read_text(path, err), *end = page ? strstr(page, mark) : NULL;
    cJSON *all = end ? read_results(results, n_results, err) : NULL;
    if (page && !end)
        err_set(err, EXIT_USAGE, "%s: it has no line %s, after which results are written", path,
                mark);
    FILE *out = all ? fopen(path, "w") : NULL;
    bool good = out;
    if (out) {
        fprintf(out, "%.*s%s\n\n", (int)(end - page), page, mark);
        print_environments(all, out);
        print_ran(all, out);
        print_fuzzed(all, out);
        print_left_out(all, out);
        good = !ferror(out) & !fclose(out);
    }
    if (all && !good)
        err_set(err, EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
    cJSON_Delete(all);
    free(page);
    return good;
}
