#include "sim/scenario/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool present(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name) != NULL;
}

const cJSON *member_or(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    return item ? item : object;
}

const char *resolve(struct storage *storage, const char *beside, const char *path)
{
    const char *slash = strrchr(beside, '/');
    size_t folder = path[0] == '/' || !slash ? 0 : (size_t)(slash - beside) + 1;
    size_t length = strlen(path);
    char *resolved = storage_take(storage, folder + length + 1);
    memcpy(resolved, beside, folder);
    memcpy(resolved + folder, path, length);
    return resolved;
}

/* Reads to the end, or to just beyond what is allowed, which document_init then refuses. */
static char *read_stream(FILE *stream, size_t *length)
{
    size_t capacity = 1 << 16, n = 0, got;
    char *bytes = grow(NULL, capacity);
    while ((got = fread(bytes + n, 1, capacity - n, stream)) > 0) {
        n += got;
        if (n > FILE_MAX)
            break;
        if (n == capacity)
            bytes = grow(bytes, capacity *= 2);
    }
    *length = n;
    return bytes;
}

char *read_file(const char *path, size_t *length, struct diagnostics *diagnostics)
{
    bool in = !strcmp(path, "-");
    errno = 0;
    FILE *stream = in ? stdin : fopen(path, "rb");
    char *bytes = stream ? read_stream(stream, length) : NULL;
    if (!stream || ferror(stream)) {
        diagnostics_add_file(diagnostics, path, "can't be read: %s",
                             errno ? strerror(errno) : "input error");
        free(bytes);
        bytes = NULL;
    }
    if (stream && !in)
        fclose(stream);
    return bytes;
}

static void load(struct loader *l, struct scenario *scenario)
{
    cJSON *root = l->document->root;
    check(l->document, root, &scenario_schema);
    const char *title = read_text(&scenario_schema, root, "title");
    scenario->title = title ? storage_copy(l->storage, title, strlen(title)) : NULL;
    scenario->machine.seed = read_number(&scenario_schema, root, "seed");
    load_machine(l, member(root, "machine"));
    load_vms(l, member(root, "vms"));
    scenario->script = load_script(l, member(root, "script"), &scenario->n_script);
}

bool scenario_parse(struct scenario *scenario, const char *path, const char *text, size_t length,
                    const struct setting *settings, unsigned n_settings,
                    struct diagnostics *diagnostics)
{
    struct diagnostics found = {0};
    struct document document;
    struct storage *storage = grow(NULL, sizeof *storage);
    *storage = (struct storage){0};
    *scenario = (struct scenario){.storage = storage};
    scenario->path = storage_copy(storage, path, strlen(path));
    struct loader l = {&document, storage, scenario->path, &scenario->machine, NULL, NULL};
    document_init(&document, path, text, length, &found);
    for (unsigned i = 0; document.root && i < n_settings; i++)
        document_set(&document, &settings[i]);
    if (document.root)
        load(&l, scenario);
    document_fini(&document);
    bool ok = !found.count;
    diagnostics_move(diagnostics, &found);
    if (!ok)
        scenario_free(scenario);
    return ok;
}

bool scenario_load(struct scenario *scenario, const char *path, const struct setting *settings,
                   unsigned n_settings, struct diagnostics *diagnostics)
{
    size_t length;
    char *text = read_file(path, &length, diagnostics);
    *scenario = (struct scenario){0};
    if (!text)
        return false;
    bool ok = scenario_parse(scenario, path, text, length, settings, n_settings, diagnostics);
    free(text);
    return ok;
}

void scenario_free(struct scenario *scenario)
{
    if (scenario->storage)
        storage_fini(scenario->storage);
    free(scenario->storage);
    *scenario = (struct scenario){0};
}
