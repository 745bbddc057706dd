/**
 * @file
 * Trace files in, of every format that nestwalk reads, plain or compressed; the compact format out.
 *
 * Each format is one file, trace_<format>.c, that turns lines (or fixed-size records) into struct
 * access records; this file finds out which it is, decompresses, counts lines, and reports.
 * Reading is O(1) in memory.
 */
#ifndef SIM_WORKLOAD_TRACE_H
#define SIM_WORKLOAD_TRACE_H

#include "sim/workload/source.h"

enum trace_format {
    TRACE_AUTO,
    TRACE_LACKEY,   /**< valgrind --tool=lackey --trace-mem=yes, with --trace-syscalls=yes events */
    TRACE_DIN,      /**< Dinero, traditional: label address */
    TRACE_DINERO,   /**< Dinero IV, extended: r|w|i|m|c|v address size */
    TRACE_CHAMPSIM, /**< 64-byte records */
    TRACE_DRMEMTRACE, /**< DynamoRIO drmemtrace, the view tool's text */
    TRACE_PINATRACE,  /**< Pin's pinatrace */
    TRACE_PERF_MEM,   /**< perf mem report -D -x, */
    TRACE_DECIMAL,    /**< one decimal address per line */
    TRACE_COMPACT,    /**< our own binary */
    TRACE_FORMATS
};

struct trace_options {
    enum trace_format format;
    uint64_t max_errors; /**< malformed lines tolerated and counted, 0 by default */
};

/** What reading has met so far. */
struct trace_report {
    enum trace_format format; /**< as found out */
    uint64_t errors;          /**< malformed lines passed over */
    uint64_t unmodelled;      /**< records of kinds that are not memory accesses, skipped */
    uint64_t events;          /**< guest events handed out */
    uint64_t processes;       /**< distinct process ids seen */
    uint64_t threads;         /**< distinct thread ids seen */
    uint64_t started;         /**< programs that a process became (execve) */
    bool truncated;           /**< the end mark that the format has is missing */
};

const char *trace_format_name(enum trace_format);
bool trace_format_named(const char *name, enum trace_format *);

/** Opens @p path ("-" is stdin). NULL with err set on failure. Owned by the caller: ops->free. */
struct source *trace_open(const char *path, const struct trace_options *, struct err *);

/** The report of a source that trace_open made. */
const struct trace_report *trace_report(const struct source *);

/** The ids (pid, tid) that the trace itself uses for a number; 0 where it doesn't say. */
uint64_t trace_process_id(const struct source *, uint16_t process);
uint64_t trace_thread_id(const struct source *, uint16_t thread);

/**
 * Writes the compact format. The file appears under its name when it is closed, not before; "-" is
 * stdout.
 */
struct trace_writer;
struct trace_writer *trace_writer_open(const char *path, struct err *);
/** Events come with their operand, both in one call. */
bool trace_writer_put(struct trace_writer *, const struct access *, size_t n, struct err *);
/** Writes the ids that a source from trace_open has met by now; call it once, before close. */
bool trace_writer_ids(struct trace_writer *, const struct source *, struct err *);
/** Gives up: frees the writer, leaves no file. */
void trace_writer_abandon(struct trace_writer *);
/** Finishes the file, and frees the writer whether or not that works. */
bool trace_writer_close(struct trace_writer *, struct err *);

#endif
