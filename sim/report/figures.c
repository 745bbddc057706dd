#include "sim/report/figures.h"

#include <stdio.h>
#include <string.h>

const char *decimal(unsigned __int128 number, char *text)
{
    char reversed[40];
    unsigned n = 0, i = 0;
    do
        reversed[n++] = (char)('0' + (unsigned)(number % 10));
    while (number /= 10);
    while (n)
        text[i++] = reversed[--n];
    text[i] = 0;
    return text;
}

struct figure grouped(unsigned __int128 number)
{
    struct figure f;
    char plain[40];
    size_t n = strlen(decimal(number, plain)), at = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            f.text[at++] = ',';
        f.text[at++] = plain[i];
    }
    f.text[at] = 0;
    return f;
}

struct figure percent(uint64_t part, uint64_t whole)
{
    struct figure f = {"-"};
    if (whole)
        snprintf(f.text, sizeof f.text, "%.2f %%", 100.0 * (double)part / (double)whole);
    return f;
}

struct figure byte_count(unsigned __int128 bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct figure f;
    double scaled = (double)bytes;
    unsigned u = 0;
    for (; scaled >= 1024 && u < 6; u++)
        scaled /= 1024;
    snprintf(f.text, sizeof f.text, u ? "%.1f %s" : "%.0f %s", scaled, units[u]);
    return f;
}

struct figure spelled(const char *name)
{
    struct figure f;
    snprintf(f.text, sizeof f.text, "%s", name);
    for (char *at = f.text; (at = strchr(at, '_'));)
        *at = ' ';
    return f;
}
