#include "sim/cli/sweep_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/scenario/storage.h"

enum { HEAD_MAX = 64 };

uint64_t fingerprint_add(uint64_t fingerprint, const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    while (length--)
        fingerprint = (fingerprint ^ *p++) * UINT64_C(0x100000001b3);
    return fingerprint;
}

/* ---- bytes ---- */

static bool fail(const struct journal *j, struct err *err)
{
    return err_set(err, EXIT_ENVIRONMENT, "%s: %s", j->path ? j->path : "a temporary file",
                   errno ? strerror(errno) : "it became shorter meanwhile");
}

static bool write_all(struct journal *j, const char *bytes, size_t length, struct err *err)
{
    while (length) {
        ssize_t n = pwrite(j->fd, bytes, length, (off_t)j->end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(j, err);
        bytes += n;
        length -= (size_t)n;
        j->end += (uint64_t)n;
    }
    return true;
}

/* As many bytes as there are, of those asked for. */
static size_t read_some(const struct journal *j, char *bytes, size_t length, uint64_t at)
{
    size_t got = 0;
    ssize_t n;
    errno = 0;
    while (got < length && ((n = pread(j->fd, bytes + got, length - got, (off_t)(at + got))) > 0 ||
                            (n < 0 && errno == EINTR)))
        got += n > 0 ? (size_t)n : 0;
    return got;
}

/* ---- rows ---- */

/* "row NUMBER LENGTH CHECKSUM", and then the text. False: no whole row begins at the end. */
static bool find_row(struct journal *j)
{
    char head[HEAD_MAX + 1];
    unsigned row;
    size_t length;
    uint64_t sum;
    int at = 0;
    head[read_some(j, head, HEAD_MAX, j->end)] = 0;
    if (sscanf(head, "row %u %zu %16" SCNx64 "%n", &row, &length, &sum, &at) < 3 ||
        head[at] != '\n' || row >= j->n || !length || length > SIZE_MAX / 2)
        return false;
    uint64_t text_at = j->end + (unsigned)at + 1;
    off_t size = lseek(j->fd, 0, SEEK_END);
    if (size < 0 || length > (uint64_t)size || text_at > (uint64_t)size - length)
        return false;
    char *text = grow(NULL, length);
    bool whole = read_some(j, text, length, text_at) == length &&
                 fingerprint_add(FINGERPRINT_START, text, length) == sum;
    free(text);
    if (!whole)
        return false;
    j->done += !j->rows[row].length;
    j->rows[row] = (struct journal_row){text_at, length};
    j->end = text_at + length;
    return true;
}

bool journal_put(struct journal *j, unsigned row, const char *text, size_t length, struct err *err)
{
    char head[HEAD_MAX];
    int n = snprintf(head, sizeof head, "row %u %zu %016" PRIx64 "\n", row, length,
                     fingerprint_add(FINGERPRINT_START, text, length));
    if (!write_all(j, head, (size_t)n, err) || !write_all(j, text, length, err))
        return false;
    j->done += !j->rows[row].length;
    j->rows[row] = (struct journal_row){j->end - length, length};
    return true;
}

char *journal_get(const struct journal *j, unsigned row, struct err *err)
{
    const struct journal_row *r = &j->rows[row];
    char *text = grow(NULL, r->length + 1);
    text[r->length] = 0;
    if (read_some(j, text, r->length, r->at) == r->length)
        return text;
    fail(j, err);
    free(text);
    return NULL;
}

/* ---- the file ---- */

/* A lock is the process's own: it goes with it, however that ends. */
static bool lock(const struct journal *j, struct err *err)
{
    if (!lockf(j->fd, F_TLOCK, 0) || (errno != EACCES && errno != EAGAIN))
        return true;
    return err_set(err, EXIT_USAGE, "%s: another sweep is writing it", j->path);
}

/* What is there must begin as ours does; less than its first line may be there. */
static bool read_all(struct journal *j, uint64_t fingerprint, struct err *err)
{
    char head[HEAD_MAX], there[HEAD_MAX];
    size_t length =
        (size_t)snprintf(head, sizeof head, "nestwalk sweep %016" PRIx64 "\n", fingerprint);
    size_t got = read_some(j, there, length, 0);
    if (memcmp(head, there, got))
        return err_set(err, EXIT_USAGE,
                       "%s: what was begun there is not this sweep (its scenario, settings or "
                       "nestwalk's version differ); give another -o, or --force to start anew",
                       j->path);
    if (got < length)
        return write_all(j, head, length, err);
    j->end = length;
    while (find_row(j))
        ;
    return !ftruncate(j->fd, (off_t)j->end) || fail(j, err);
}

static int open_nameless(void)
{
    FILE *file = tmpfile();
    int fd = file ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 0) : -1;
    if (file)
        fclose(file);
    return fd;
}

bool journal_open(struct journal *j, const char *path, uint64_t fingerprint, unsigned n,
                  struct err *err)
{
    *j = (struct journal){.path = path, .n = n};
    j->rows = grow(NULL, n * sizeof *j->rows);
    memset(j->rows, 0, n * sizeof *j->rows);
    j->fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : open_nameless();
    if (j->fd < 0) {
        fail(j, err);
        if (path)
            err->code = EXIT_USAGE; /* as for other files that can't be opened */
        free(j->rows);
        return false;
    }
    if ((!path || lock(j, err)) && read_all(j, fingerprint, err))
        return true;
    close(j->fd);
    free(j->rows);
    return false;
}

void journal_close(struct journal *j, bool finished)
{
    if (j->path && (finished || !j->done))
        unlink(j->path);
    close(j->fd);
    free(j->rows);
}
