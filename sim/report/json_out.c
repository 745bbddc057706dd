#include "sim/report/json_out.h"

#include <inttypes.h>
#include <string.h>

#include "sim/scenario/diagnostics.h"

void json_string(FILE *out, const char *text)
{
    static const char letters[] = "btn.fr"; /* 8 to 13 */
    size_t left = strlen(text);
    fputc('"', out);
    for (unsigned n; left; text += n, left -= n) {
        unsigned char c = (unsigned char)*text;
        n = utf8_length(text, left);
        if (!n)
            n = 1, fputs("\\ufffd", out);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c >= 8 && c <= 13 && c != 11)
            fprintf(out, "\\%c", letters[c - 8]);
        else if (c < 32)
            fprintf(out, "\\u%04x", c);
        else
            fwrite(text, 1, n, out);
    }
    fputc('"', out);
}

void json_key(FILE *out, const char *key)
{
    json_string(out, key);
    fputs(": ", out);
}

void json_hex(FILE *out, uint64_t number)
{
    fprintf(out, "\"0x%" PRIx64 "\"", number);
}
