#include "sim/backend/kvm/touch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FRAME = 4096 };

/* Of a kernel newer than the headers that this is built with. */
static const uint64_t feature_write_protect = UINT64_C(1) << 0, feature_shmem = UINT64_C(1) << 5,
                      feature_write_protect_shmem = UINT64_C(1) << 12;

struct touch {
    struct touch_memory memory;
    int faults; /* the userfaultfd */
    int stop;   /* an eventfd: the thread is to end */
    bool sees_writes, running;
    pthread_t thread;
    pthread_mutex_t lock; /* for all below */
    bool *written;        /* by frame: its first write was seen */
    uint8_t **saved;      /* by frame: its contents while it is taken away */
    struct touch_event *events;
    size_t n, room;
};

static uint64_t frames(const struct touch *t)
{
    return t->memory.bytes / FRAME;
}

/* ---- the kernel's side ---- */

static int new_userfaultfd(void)
{
    int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (file >= 0 || errno != EPERM)
        return file;
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0)
        return -1;
    file = ioctl(device, _IO(0xAA, 0x00), O_CLOEXEC | O_NONBLOCK);
    close(device);
    return file;
}

/* The features that it has, or with @p features those taken into use; 0: it refuses. */
static uint64_t introduce(int file, uint64_t features)
{
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    return ioctl(file, UFFDIO_API, &api) == 0 ? api.features : 0;
}

static bool open_faults(struct touch *t, struct err *err)
{
    const uint64_t writes = feature_write_protect | feature_write_protect_shmem;
    int asked = new_userfaultfd();
    uint64_t has = asked < 0 ? 0 : introduce(asked, 0);
    if (asked >= 0)
        close(asked);
    else
        return err_set(err, EXIT_ENVIRONMENT, "userfaultfd: %s%s", strerror(errno),
                       errno == EPERM ? "; vm.unprivileged_userfaultfd is 0" : "");
    t->sees_writes = (has & writes) == writes;
    t->faults = new_userfaultfd();
    if (!(has & feature_shmem) || t->faults < 0 ||
        !introduce(t->faults, feature_shmem | (t->sees_writes ? writes : 0)))
        return err_set(err, EXIT_ENVIRONMENT,
                       "userfaultfd: the kernel has it not for shared memory");
    return true;
}

static bool watch(struct touch *t, void *view, uint64_t mode)
{
    struct uffdio_register r = {
        .range = {.start = (uintptr_t)view, .len = t->memory.bytes},
        .mode = mode,
    };
    return ioctl(t->faults, UFFDIO_REGISTER, &r) == 0;
}

static bool set_protection(struct touch *t, gpa_t gpa, uint64_t bytes, bool protected)
{
    struct uffdio_writeprotect w = {
        .range = {.start = (uintptr_t)t->memory.guest + gpa, .len = bytes},
        .mode = protected ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
    };
    int set;
    do
        set = ioctl(t->faults, UFFDIO_WRITEPROTECT, &w);
    while (set < 0 && errno == EAGAIN);
    return set == 0;
}

/* Only what is there: the others are protected when they come. */
static bool protect_present(struct touch *t)
{
    off_t at = 0, end = 0;
    while ((at = lseek(t->memory.file, end, SEEK_DATA)) >= 0) {
        if ((end = lseek(t->memory.file, at, SEEK_HOLE)) < 0 ||
            !set_protection(t, (gpa_t)at, (uint64_t)(end - at), true))
            return false;
    }
    return true;
}

/* ---- answering ---- */

static void note(struct touch *t, gpa_t gpa, enum touch_kind kind)
{
    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 1024;
        struct touch_event *more = realloc(t->events, room * sizeof *more);
        if (!more)
            return; /* the guest goes on all the same */
        t->events = more;
        t->room = room;
    }
    t->events[t->n++] = (struct touch_event){gpa, kind};
}

/* Gives a view the frame, and wakes who waits for it. */
static void give(struct touch *t, uint8_t *page, const uint8_t *contents, bool protected)
{
    struct uffdio_copy c = {
        .dst = (uintptr_t)page,
        .src = (uintptr_t)contents,
        .len = FRAME,
        .mode = protected ? UFFDIO_COPY_MODE_WP : 0,
    };
    int given;
    do {
        c.copy = 0;
        given = ioctl(t->faults, UFFDIO_COPY, &c);
    } while (given < 0 && errno == EAGAIN);
    if (given < 0) { /* the other view was faster: it is there */
        struct uffdio_range range = {.start = (uintptr_t)page, .len = FRAME};
        ioctl(t->faults, UFFDIO_WAKE, &range);
    }
}

static void answer_missing(struct touch *t, uint8_t *page, gpa_t gpa, bool guest, bool write)
{
    static const uint8_t zeroes[FRAME];
    uint8_t *kept = t->saved[gpa / FRAME];
    bool *written = &t->written[gpa / FRAME];
    if (guest)
        note(t, gpa, kept ? TOUCH_RETURN : TOUCH_FIRST);
    if (guest && write && !*written) {
        note(t, gpa, TOUCH_WRITE);
        *written = true;
    }
    give(t, page, kept ? kept : zeroes, guest && t->sees_writes && !*written);
    if (!guest && t->sees_writes && !*written)
        set_protection(t, gpa, FRAME, true);
    free(kept);
    t->saved[gpa / FRAME] = NULL;
}

static void answer(struct touch *t, const struct uffd_msg *m)
{
    const uint64_t address = m->arg.pagefault.address & ~(uint64_t)(FRAME - 1);
    const uint64_t flags = m->arg.pagefault.flags;
    bool guest = address - (uintptr_t)t->memory.guest < t->memory.bytes;
    gpa_t gpa = address - (uintptr_t)(guest ? t->memory.guest : t->memory.host);
    pthread_mutex_lock(&t->lock);
    if (flags & UFFD_PAGEFAULT_FLAG_WP) {
        if (!t->written[gpa / FRAME])
            note(t, gpa, TOUCH_WRITE);
        t->written[gpa / FRAME] = true;
        set_protection(t, gpa, FRAME, false);
    } else {
        answer_missing(t, (uint8_t *)(uintptr_t)address, gpa, guest,
                       flags & UFFD_PAGEFAULT_FLAG_WRITE);
    }
    pthread_mutex_unlock(&t->lock);
}

static void *answer_all(void *touch)
{
    struct touch *t = touch;
    struct pollfd wait[] = {{.fd = t->faults, .events = POLLIN}, {.fd = t->stop, .events = POLLIN}};
    while (poll(wait, 2, -1) >= 0 || errno == EINTR) {
        struct uffd_msg m;
        while (read(t->faults, &m, sizeof m) == sizeof m)
            if (m.event == UFFD_EVENT_PAGEFAULT)
                answer(t, &m);
        if (wait[1].revents)
            break;
    }
    return NULL;
}

/* The program's signals are none of the thread's business. */
static bool start_thread(struct touch *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    t->running = pthread_create(&t->thread, NULL, answer_all, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return t->running;
}

/* ---- the outside ---- */

struct touch *touch_new(const struct touch_memory *memory, struct err *err)
{
    struct touch *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(err, EXIT_ENVIRONMENT, "no memory");
        return NULL;
    }
    *t = (struct touch){.memory = *memory, .faults = -1, .stop = eventfd(0, EFD_CLOEXEC)};
    pthread_mutex_init(&t->lock, NULL);
    t->written = calloc(frames(t), sizeof *t->written);
    t->saved = calloc(frames(t), sizeof *t->saved);
    if (!open_faults(t, err)) {
        touch_free(t);
        return NULL;
    }
    const uint64_t missing = UFFDIO_REGISTER_MODE_MISSING;
    if (t->written && t->saved && t->stop >= 0 && watch(t, memory->host, missing) &&
        watch(t, memory->guest, missing | (t->sees_writes ? UFFDIO_REGISTER_MODE_WP : 0)) &&
        (!t->sees_writes || protect_present(t)) && start_thread(t))
        return t;
    err_set(err, EXIT_ENVIRONMENT, "userfaultfd: following %llu bytes of memory: %s",
            (unsigned long long)memory->bytes, strerror(errno));
    touch_free(t);
    return NULL;
}

static void end_thread(struct touch *t)
{
    const uint64_t one = 1;
    if (!t->running)
        return;
    for (uint64_t i = 0; i < frames(t); i++)
        if (t->saved[i]) /* the thread's answer to this brings it back */
            (void)*(volatile uint8_t *)(t->memory.host + i * FRAME);
    while (write(t->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(t->thread, NULL);
}

void touch_free(struct touch *t)
{
    if (!t)
        return;
    end_thread(t);
    if (t->faults >= 0)
        close(t->faults);
    if (t->stop >= 0)
        close(t->stop);
    pthread_mutex_destroy(&t->lock);
    free(t->written);
    free(t->saved);
    free(t->events);
    free(t);
}

bool touch_sees_writes(const struct touch *t)
{
    return t->sees_writes;
}

const struct touch_event *touch_events(const struct touch *t, size_t *n)
{
    *n = t->n;
    return t->events;
}

/* Whether the frame has bytes of its own in the file. */
static bool present(const struct touch *t, gpa_t gpa)
{
    return lseek(t->memory.file, (off_t)gpa, SEEK_DATA) == (off_t)gpa;
}

static bool drop(struct touch *t, gpa_t gpa)
{
    if (t->saved[gpa / FRAME] || !present(t, gpa))
        return true;
    uint8_t *kept = malloc(FRAME);
    if (!kept)
        return false;
    memcpy(kept, t->memory.host + gpa, FRAME);
    if (fallocate(t->memory.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa, FRAME) <
        0) {
        free(kept);
        return false;
    }
    t->saved[gpa / FRAME] = kept;
    return true;
}

bool touch_drop(struct touch *t, gpa_t gpa, uint64_t bytes)
{
    assert(gpa % FRAME == 0 && bytes % FRAME == 0 && gpa + bytes <= t->memory.bytes);
    bool dropped = true;
    pthread_mutex_lock(&t->lock);
    for (gpa_t end = gpa + bytes; gpa < end && dropped; gpa += FRAME)
        dropped = drop(t, gpa);
    pthread_mutex_unlock(&t->lock);
    return dropped;
}

const uint8_t *touch_kept(struct touch *t, gpa_t gpa)
{
    pthread_mutex_lock(&t->lock);
    const uint8_t *kept = t->saved[gpa / FRAME];
    pthread_mutex_unlock(&t->lock);
    return kept;
}

bool touch_protect(struct touch *t, gpa_t gpa, uint64_t bytes)
{
    assert(gpa % FRAME == 0 && bytes % FRAME == 0 && gpa + bytes <= t->memory.bytes);
    if (!t->sees_writes)
        return false;
    pthread_mutex_lock(&t->lock);
    memset(t->written + gpa / FRAME, 0, bytes / FRAME);
    bool set = set_protection(t, gpa, bytes, true);
    pthread_mutex_unlock(&t->lock);
    return set;
}
