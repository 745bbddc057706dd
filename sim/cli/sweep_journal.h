/**
 * @file
 * The rows of a sweep that are there already, in a file that outlives being killed: each row is
 * appended as its run ends, with its length and a checksum, and what was being written when the
 * program died is cut off when the file is opened again.
 */
#ifndef SIM_CLI_SWEEP_JOURNAL_H
#define SIM_CLI_SWEEP_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "sim/err.h"

struct journal {
    const char *path; /**< borrowed; NULL: a nameless temporary file */
    int fd;
    unsigned n, done; /**< rows in all, and those that are there */
    uint64_t end;
    struct journal_row {
        uint64_t at;
        size_t length; /**< 0: not there */
    } * rows;
};

/** FNV-1a, 64 bits, of what was hashed before and of @p bytes. Begin with FINGERPRINT_START. */
#define FINGERPRINT_START UINT64_C(0xcbf29ce484222325)
uint64_t fingerprint_add(uint64_t fingerprint, const void *bytes, size_t length);

/**
 * Opens the journal of a sweep of @p n rows, or makes it. False with err set, also when it is
 * another sweep's, or somebody else is writing it.
 */
bool journal_open(struct journal *, const char *path, uint64_t fingerprint, unsigned n,
                  struct err *);

/** Appends a row, which is not empty. */
bool journal_put(struct journal *, unsigned row, const char *text, size_t length, struct err *);

/** A row that is there, malloc'd and terminated; NULL with err set. */
char *journal_get(const struct journal *, unsigned row, struct err *);

/** Closes it; the file goes if @p finished, or if it has no rows. */
void journal_close(struct journal *, bool finished);

#endif
