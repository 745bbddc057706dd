/**
 * @file
 * The machine profiles that ship: the files of scenarios/machines, put into the program when it is
 * built (see the Makefile), in the order of their names.
 */
#ifndef SIM_SCENARIO_PROFILES_H
#define SIM_SCENARIO_PROFILES_H

#include <stddef.h>

extern const char *const shipped_names[]; /**< NULL at the end */
extern const char *const shipped_texts[];
extern const size_t shipped_lengths[];

#endif
