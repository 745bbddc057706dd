#include "sim/cli/sweep_workers.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/cli/cli.h"
#include "sim/scenario/storage.h"

enum { READ_AT_ONCE = 1 << 16, TICK_MS = 200 };

struct worker {
    pid_t pid; /* 0: no process */
    unsigned task;
    char *text;
    size_t length, room;
};

struct crew {
    const struct workers *of;
    struct worker *worker;
    struct pollfd *pipe; /* fd < 0: no process */
    unsigned working;
};

unsigned workers_processors(void)
{
    cpu_set_t set;
    long n =
        sched_getaffinity(0, sizeof set, &set) ? sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
    return n > 1 ? (unsigned)n : 1;
}

/* Our terminal's Ctrl-C is for the parent, which ends us; and we end when it does. */
static void become_worker(const struct crew *c, unsigned slot, unsigned task, int out, pid_t parent)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_ENVIRONMENT);
    FILE *file = fdopen(out, "w");
    int code = file ? c->of->work(c->of->self, slot, task, file) : EXIT_ENVIRONMENT;
    if (!file || fclose(file))
        code = EXIT_ENVIRONMENT;
    exit(code);
}

static bool start(struct crew *c, unsigned slot, unsigned task, struct err *err)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe(ends))
        return err_set(err, EXIT_ENVIRONMENT, "cannot make a pipe: %s", strerror(errno));
    fflush(NULL); /* or else it would be written twice */
    pid_t pid = fork();
    if (pid < 0) {
        err_set(err, EXIT_ENVIRONMENT, "cannot start a process: %s", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (!pid) {
        close(ends[0]);
        become_worker(c, slot, task, ends[1], parent);
    }
    close(ends[1]);
    c->worker[slot].pid = pid;
    c->worker[slot].task = task;
    c->worker[slot].length = 0;
    c->pipe[slot] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    c->working++;
    return true;
}

/* The process of a slot has ended, or is about to: its status. */
static int reap(struct crew *c, unsigned slot)
{
    int status = 0;
    while (waitpid(c->worker[slot].pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(c->pipe[slot].fd);
    c->pipe[slot].fd = -1;
    c->worker[slot].pid = 0;
    c->working--;
    return status;
}

/* Reads what a process has written; at its end, hands that on. False: enough. */
static bool attend(struct crew *c, unsigned slot)
{
    struct worker *w = &c->worker[slot];
    if (w->room - w->length < READ_AT_ONCE)
        w->text = grow(w->text, w->room += 2 * READ_AT_ONCE);
    ssize_t n = read(c->pipe[slot].fd, w->text + w->length, READ_AT_ONCE);
    if (n > 0)
        w->length += (size_t)n;
    if (n > 0 || (n < 0 && errno == EINTR))
        return true;
    int status = reap(c, slot);
    struct ending ending = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_ENVIRONMENT,
                            .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                            .text = w->text,
                            .length = w->length};
    return c->of->done(c->of->self, slot, w->task, &ending);
}

/* Every free slot gets a task, while there are any. */
static bool employ(struct crew *c, struct err *err)
{
    unsigned task;
    for (unsigned slot = 0; slot < c->of->jobs; slot++)
        if (!c->worker[slot].pid && c->of->next(c->of->self, &task) && !start(c, slot, task, err))
            return false;
    return true;
}

bool workers_run(const struct workers *workers, struct err *err)
{
    unsigned jobs = workers->jobs;
    struct crew c = {workers, grow(NULL, jobs * sizeof *c.worker),
                     grow(NULL, jobs * sizeof *c.pipe), 0};
    memset(c.worker, 0, jobs * sizeof *c.worker);
    for (unsigned slot = 0; slot < jobs; slot++)
        c.pipe[slot] = (struct pollfd){.fd = -1};
    bool good = true, more = true;
    while (more && !cli_interrupted && (good = employ(&c, err)) && c.working) {
        if (poll(c.pipe, jobs, TICK_MS) > 0)
            for (unsigned slot = 0; more && slot < jobs; slot++)
                if (c.pipe[slot].fd >= 0 && c.pipe[slot].revents)
                    more = attend(&c, slot);
        workers->tick(workers->self);
    }
    for (unsigned slot = 0; slot < jobs; slot++) {
        if (c.worker[slot].pid) {
            kill(c.worker[slot].pid, SIGKILL);
            reap(&c, slot);
        }
        free(c.worker[slot].text);
    }
    free(c.worker);
    free(c.pipe);
    return good;
}
