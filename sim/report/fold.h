/**
 * @file
 * Prose in lines of at most 80 columns.
 */
#ifndef SIM_REPORT_FOLD_H
#define SIM_REPORT_FOLD_H

#include <stdio.h>

/**
 * Prints words, folded at spaces, and ends the line. The first line goes on at @p column, after a
 * space unless that is 0; those that follow begin with @p indent.
 */
void fold_print(FILE *, int column, const char *indent, const char *text);

/** The same of a format, whose words are at most 1000 bytes. */
void fold_printf(FILE *, int column, const char *indent, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
