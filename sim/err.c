#include "sim/err.h"

#include <stdarg.h>
#include <stdio.h>

bool err_set(struct err *err, enum exit_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return false;
}
