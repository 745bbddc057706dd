/* The groups of targets, each a file, and what they share. */
#ifndef TESTS_REPRODUCE_REPRODUCE_H
#define TESTS_REPRODUCE_REPRODUCE_H

#include "tests/reproduce/scene.h"
#include "tests/reproduce/table.h"

void reproduce_walks(struct table *);
void reproduce_designs(struct table *);
void reproduce_caches(struct table *);
void reproduce_exits(struct table *);
void reproduce_modes(struct table *);

#endif
