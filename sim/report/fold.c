#include "sim/report/fold.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

enum { WIDTH = 80 };

void fold_print(FILE *out, int column, const char *indent, const char *text)
{
    bool blank = column > 0;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (text[length] == ' ' && text[length + 1] == '%') /* stays with its number */
            length += 1 + (int)strcspn(text + length + 1, " ");
        if (blank && column + 1 + length > WIDTH) {
            column = fprintf(out, "\n%s", indent) - 1;
            blank = false;
        }
        column += fprintf(out, "%s%.*s", blank ? " " : "", length, text);
        blank = true;
        text += length + (text[length] == ' ');
    }
    fputc('\n', out);
}

void fold_printf(FILE *out, int column, const char *indent, const char *format, ...)
{
    char text[1001];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fold_print(out, column, indent, text);
}
