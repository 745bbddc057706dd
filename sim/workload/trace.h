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
    TRACE_LACKEY,    /**< valgrind --tool=lackey --trace-mem=yes, with --trace-syscalls=yes events */
    TRACE_DIN,       /**< Dinero, traditional: label address */
    TRACE_DINERO,    /**< Dinero IV, extended: r|w|i|m|c|v address size */
    TRACE_CHAMPSIM,  /**< 64-byte records */
    TRACE_DRMEMTRACE, /**< DynamoRIO drmemtrace, the view tool's text */
    TRACE_PINATRACE, /**< Pin's pinatrace */
    TRACE_PERF_MEM,  /**< perf mem report -D -x, */
    TRACE_DECIMAL,   /**< one decimal address per line */
    TRACE_COMPACT,   /**< our own binary */
    TRACE_FORMATS
};

struct trace_options {
    enum trace_format format;
    uint64_t max_errors; /**< malformed lines tolerated and counted, 0 by default */
};

/** What reading has met so far. */
struct trace_report {
    enum trace_format format;  /**< as found out */
    uint64_t errors;           /**< malformed lines passed over */
    uint64_t unmodelled;       /**< records of kinds that are not memory accesses, skipped */
    uint64_t events;           /**< guest events handed out */
    uint64_t processes;        /**< distinct process ids seen */
    uint64_t threads;          /**< distinct thread ids seen */
};

const char *trace_format_name(enum trace_format);
bool trace_format_named(const char *name, enum trace_format *);

/** Opens @p path ("-" is stdin). NULL with err set on failure. Owned by the caller: ops->free. */
struct source *trace_open(const char *path, const struct trace_options *, struct err *);

/** The report of a source that trace_open made. */
const struct trace_report *trace_report(const struct source *);

/** Writes the compact format. */
struct trace_writer;
struct trace_writer *trace_writer_open(const char *path, struct err *);
bool trace_writer_put(struct trace_writer *, const struct access *, size_t n, struct err *);
/** Finishes the file, and frees the writer whether or not that works. */
bool trace_writer_close(struct trace_writer *, struct err *);

#endif
