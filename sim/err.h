/**
 * @file
 * The world's trouble: a bad file, a missing device, a full disk. One line of text, carried by
 * value. An architectural fault is not an err, nor is a bug of ours (that is an assert).
 */
#ifndef SIM_ERR_H
#define SIM_ERR_H

#include <stdbool.h>

/** Exit codes of every command. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_NO = 1,          /**< done, and the answer is no */
    EXIT_USAGE = 2,       /**< usage or bad input */
    EXIT_ENVIRONMENT = 3, /**< the environment lacks something */
};

struct err {
    enum exit_code code; /**< EXIT_OK: nothing wrong */
    char text[1000];     /**< "where: what is wrong; what would be right", no newline */
};

/** Sets code and text (printf's format); returns false, so that a caller can return it. */
bool err_set(struct err *, enum exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
