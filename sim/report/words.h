/**
 * @file
 * What the reports call things: dimensions, structure caches, and the bits of an exit's
 * qualification in words.
 */
#ifndef SIM_REPORT_WORDS_H
#define SIM_REPORT_WORDS_H

#include "core/event.h"
#include "core/second_stage.h"

/** The dimension of a depth in a chain of @p stages: "guest", "host"; or "l2", "l1", "l0". */
const char *dimension_name(unsigned stages, unsigned depth);

/** The cache of entries of a level: "pde", "pdpte", "pml4", "pml5". */
const char *structure_name(unsigned level);

/** The same in capitals. */
const char *structure_title(unsigned level);

/** "ept4", "npt5", ... */
const char *second_name(enum second_stage);

/** What the address of an exit is: "gpa", "gva", or "address" where it is neither. */
const char *exit_address_name(enum exit_reason);

/** What happened, of all its kind: "a page fault that ...". */
const char *refusal_words(enum refusal_kind);

/**
 * The qualification of an EPT violation, or #NPF's EXITINFO1, as clauses: "a read, for the data
 * itself; of R, W and X none was there". @p text holds @p room bytes. Returns text.
 */
const char *qualification_words(enum second_stage, enum exit_reason, uint64_t qualification,
                                char *text, size_t room);

/**
 * One letter for each bit of a second stage's entry that means something there, 9 bytes at most
 * with the zero: "RWXAD-wb", and "U" after X with mode-based execute control.
 */
void ept_letters(const struct format *, unsigned level, uint64_t entry, char *text);

#endif
