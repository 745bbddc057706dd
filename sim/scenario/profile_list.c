#include "sim/scenario/profile_list.h"

#include <stdlib.h>
#include <string.h>

#include "sim/scenario/load.h"
#include "sim/scenario/profiles.h"

struct listing {
    void (*take)(void *self, const struct profile_value *);
    void *self;
};

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static bool is_about(const char *name)
{
    return !strcmp(name, "source") || !strcmp(name, "confidence") || !strcmp(name, "note");
}

/* One member in words: "4 ways", "lru", "no la57". */
static void describe(FILE *out, const cJSON *item)
{
    const char *name = item->string;
    if (cJSON_IsBool(item) && strcmp(name, "value"))
        fprintf(out, "%s%s", cJSON_IsTrue(item) ? "" : "no ", name);
    else if (cJSON_IsBool(item))
        fputs(cJSON_IsTrue(item) ? "yes" : "no", out);
    else if (cJSON_IsString(item))
        fputs(item->valuestring, out);
    else if (!strcmp(name, "ways") && item->valuedouble == 0)
        fputs("fully associative", out);
    else if (!strcmp(name, "value"))
        fprintf(out, "%.12g", item->valuedouble);
    else if (!strcmp(name, "size"))
        fprintf(out, "%.12g B", item->valuedouble);
    else
        fprintf(out, "%.12g %s", item->valuedouble, name);
}

static void take_value(const struct listing *l, const char *name, const cJSON *item)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return;
    if (cJSON_IsObject(item)) {
        const char *between = "";
        for (const cJSON *child = item->child; child; child = child->next) {
            if (is_about(child->string))
                continue;
            fputs(between, out);
            describe(out, child);
            between = ", ";
        }
    } else if (cJSON_IsNumber(item) && (strcmp(item->string, "ways") || item->valuedouble != 0)) {
        fprintf(out, "%.12g", item->valuedouble); /* its name stands before it */
    } else {
        describe(out, item);
    }
    fclose(out);
    struct profile_value value = {name, text, text_of(item, "source"), text_of(item, "confidence"),
                                  text_of(item, "note")};
    l->take(l->self, &value);
    free(text);
}

static void list(const struct listing *l, const char *prefix, const cJSON *object)
{
    char name[200];
    for (const cJSON *item = object->child; item; item = item->next) {
        if (*item->string == '$' || !strcmp(item->string, "version"))
            continue;
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", item->string);
        bool group = cJSON_IsObject(item) && !text_of(item, "source");
        if (group)
            list(l, name, item);
        else
            take_value(l, name, item);
    }
}

static bool list_text(const struct listing *l, const char *path, const char *text, size_t length,
                      struct diagnostics *diagnostics)
{
    struct document d;
    unsigned before = diagnostics->count;
    document_init(&d, path, text, length, diagnostics);
    if (d.root)
        check(&d, d.root, &profile_schema);
    bool good = diagnostics->count == before;
    if (good)
        list(l, "", d.root);
    document_fini(&d);
    return good;
}

bool profile_list(const char *name, void (*take)(void *self, const struct profile_value *),
                  void *self, struct diagnostics *diagnostics)
{
    const struct listing l = {take, self};
    int shipped = spec_word(shipped_names, name);
    if (shipped >= 0)
        return list_text(&l, name, shipped_texts[shipped], shipped_lengths[shipped], diagnostics);
    struct scenario known;
    if (!machine_load(&known, name, diagnostics)) /* it says what names there are */
        return false;
    scenario_free(&known);
    size_t length;
    char *text = read_file(name, &length, diagnostics);
    bool good = text && list_text(&l, name, text, length, diagnostics);
    free(text);
    return good;
}
