/**
 * @file
 * Writing JSON: strings escaped, integers whole. (cJSON's numbers are doubles, and lose bits.)
 */
#ifndef SIM_REPORT_JSON_OUT_H
#define SIM_REPORT_JSON_OUT_H

#include <stdint.h>
#include <stdio.h>

/** A string in quotes; bytes that are not UTF-8 become U+FFFD. */
void json_string(FILE *, const char *text);

/** "key": with the string @p key. */
void json_key(FILE *, const char *key);

/** A number as an address: "0x4000", lower-case, no leading zeros, in quotes. */
void json_hex(FILE *, uint64_t number);

#endif
