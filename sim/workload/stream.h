/**
 * @file
 * A file as a stream of bytes, decompressed on the way: plain, gzip, xz or zstd, told apart by the
 * first bytes and not by the name. Members that follow one another (cat a.gz b.gz) are one stream.
 *
 * Memory is constant, whatever the length of the file.
 */
#ifndef SIM_WORKLOAD_STREAM_H
#define SIM_WORKLOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/err.h"

struct stream;

/** Opens @p path ("-" is stdin). NULL with err set on failure. */
struct stream *stream_open(const char *path, struct err *);

/** Reads @p max bytes, fewer only at the end or before an error; 0 is the end, or err is set. */
size_t stream_read(struct stream *, void *out, size_t max, struct err *);

/** Back to the start; false with err set for what is not a regular file. */
bool stream_rewind(struct stream *, struct err *);

/** Whether stream_skip works: an uncompressed regular file. */
bool stream_skips(const struct stream *);

/** Leaves out the next @p bytes without reading them. Beyond the end is the end. */
bool stream_skip(struct stream *, uint64_t bytes, struct err *);

/** Bytes of the decompressed stream where that is known beforehand; UINT64_MAX elsewhere. */
uint64_t stream_length(const struct stream *);

/** How much of the file (compressed, as stored) has been read, 0 to 1; negative when unknown. */
double stream_progress(const struct stream *);

/** The name for messages. */
const char *stream_name(const struct stream *);

void stream_free(struct stream *);

#endif
