/**
 * @file
 * Figures as people read them: thousands apart, shares, bytes with units.
 */
#ifndef SIM_REPORT_FIGURES_H
#define SIM_REPORT_FIGURES_H

#include <stdint.h>

/** A figure, or a few words, to be printed at once. */
struct figure {
    char text[56];
};

/** A 128-bit number in decimal; @p text holds 40 bytes. */
const char *decimal(unsigned __int128 number, char *text);

/** 1234567 as "1,234,567". */
struct figure grouped(unsigned __int128 number);

/** Part of a whole, "12.34 %", or "-" of nothing. */
struct figure percent(uint64_t part, uint64_t whole);

/** "1.5 MiB". */
struct figure byte_count(unsigned __int128 bytes);

/** A name of several words, joined by underscores, as words. */
struct figure spelled(const char *name);

#endif
