/**
 * @file
 * Sees the guest's first touch and first write of every frame of the VM's memory, and can take
 * frames away that come back when they are touched again (userfaultfd). The guest is not to notice.
 *
 * A frame's first touch is seen if nobody used it before: what the host wrote is there already. Its
 * first write is seen in any case. With nested paging the processor's own walk touches the frames
 * of tables, and writes them when it sets A or D.
 *
 * A thread answers the faults. It sees nothing of the host's own accesses through harness_memory,
 * and answers them too: a frame that was taken away comes back for the host as well.
 */
#ifndef SIM_BACKEND_KVM_TOUCH_H
#define SIM_BACKEND_KVM_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/addr.h"
#include "sim/err.h"

/** What befell a frame. */
enum touch_kind {
    TOUCH_FIRST,  /**< touched for the first time */
    TOUCH_WRITE,  /**< written for the first time, or for the first time since touch_protect */
    TOUCH_RETURN, /**< touched after touch_drop: its contents were brought back */
};

struct touch_event {
    gpa_t gpa; /**< of the frame */
    enum touch_kind kind;
};

struct touch;

/** Two views of one file in memory: the guest's, whose faults are seen, and the host's. */
struct touch_memory {
    int file;
    uint8_t *guest, *host;
    uint64_t bytes;
};

/**
 * Begins: what has been written to the memory until now is there. The memory is borrowed. NULL with
 * err EXIT_ENVIRONMENT: the kernel has no such thing, or no rights for it.
 */
struct touch *touch_new(const struct touch_memory *, struct err *);

/** Ends: frames that were taken away come back first. */
void touch_free(struct touch *);

/** Whether first writes are seen, too, and touch_protect can be: Linux 5.19. */
bool touch_sees_writes(const struct touch *);

/** All that was seen, in order; valid until the guest or touch_drop's frames are touched again. */
const struct touch_event *touch_events(const struct touch *, size_t *n);

/** Takes frames away and keeps their contents; frames that nobody used yet stay unused. Addresses
 * and sizes are multiples of 4 KiB. False: no memory, or the kernel refuses; some may be gone. */
bool touch_drop(struct touch *, gpa_t, uint64_t bytes);

/** The contents of a frame that is taken away; NULL: it is there, or nobody used it. Good until the
 * guest runs. */
const uint8_t *touch_kept(struct touch *, gpa_t);

/** The next write to each of these frames is seen as a first write. */
bool touch_protect(struct touch *, gpa_t, uint64_t bytes);

#endif
