/*
 * Any bytes as a scenario, and as a setting's value: no crash, no leak, no hang, and no memory out
 * of proportion. Build: clang -fsanitize=fuzzer,address,undefined (see docs/SCENARIO.md for keys).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim/scenario/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct diagnostics *list)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    diagnostics_print(list, out, true);
    diagnostics_print_json(list, out);
    fclose(out);
    free(text);
}

static void read(const char *text, size_t length, const struct setting *settings, unsigned n)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    bool ok = scenario_parse(&scenario, "fuzz.json", text, length, settings, n, &diagnostics);
    if (ok != !diagnostics.count || (ok && profile_fault(&scenario.machine.profile)))
        abort();
    print(&diagnostics);
    diagnostics_free(&diagnostics);
    if (ok)
        scenario_free(&scenario);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    read(bytes, size, NULL, 0);
    /* Up to the first NUL a pointer, up to the next a value, then the scenario. */
    const char *value = memchr(bytes, 0, size);
    const char *text = value ? memchr(value + 1, 0, size - (size_t)(value + 1 - bytes)) : NULL;
    if (text) {
        struct setting setting = {bytes, value + 1};
        text++;
        read(text, size - (size_t)(text - bytes), &setting, 1);
    }
    return 0;
}
