/* Progress on standard error: wall time is for people here, and never enters a result. */
#include <time.h>
#include <unistd.h>

#include "sim/cli/cli.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 1234567 as "1.23 M". */
static void human(double n, char *text, size_t room)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P"};
    unsigned u = 0;
    for (; n >= 1000 && u < 5; u++)
        n /= 1000;
    snprintf(text, room, u ? "%.2f%s" : "%.0f%s", n, units[u]);
}

void progress_start(struct progress *p, const struct cli *cli, const char *what)
{
    *p = (struct progress){
        .what = what, .start = now(), .off = cli->quiet || !isatty(STDERR_FILENO)};
    p->last = p->start;
}

void progress_update(struct progress *p, uint64_t done, double share)
{
    if (p->off)
        return;
    double t = now(), spent = t - p->start;
    char count[32], rate[32];
    if (spent < 1 || t - p->last < 0.2)
        return;
    human((double)done, count, sizeof count);
    human((double)done / spent, rate, sizeof rate);
    fprintf(stderr, "\r%s %s, %s/s", count, p->what, rate);
    if (share > 0 && share <= 1) {
        double left = spent / share - spent;
        fprintf(stderr, ", %.0f %%, %.0f:%02u left", share * 100, (left - (int)left % 60) / 60,
                (unsigned)left % 60);
    }
    fputs("\033[K", stderr);
    fflush(stderr);
    p->last = t;
    p->shown = true;
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
