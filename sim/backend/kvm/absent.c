/* Stands in for this folder's other files where there is no KVM on x86-64: see the Makefile. */
#include "sim/backend/compare.h"
#include "sim/backend/kvm/harness.h"
#include "sim/backend/kvm/touch.h"

static const char why[] = "KVM needs Linux on x86-64";

bool environment_probe(struct environment *env, struct err *err)
{
    *env = (struct environment){0};
    return err_set(err, EXIT_ENVIRONMENT, "%s", why);
}

static bool run(struct backend *backend, const struct scenario *scenario, struct observation *seen,
                struct err *err)
{
    (void)backend, (void)scenario;
    *seen = (struct observation){0};
    return err_set(err, EXIT_ENVIRONMENT, "%s", why);
}

struct backend backend_kvm = {.name = "kvm", .run = run};

struct harness *harness_new(const struct harness_config *config, struct err *err)
{
    (void)config;
    err_set(err, EXIT_ENVIRONMENT, "%s", why);
    return NULL;
}

void harness_free(struct harness *h)
{
    (void)h;
}

/* Nobody has a harness to call these with. */

uint8_t *harness_memory(struct harness *h)
{
    (void)h;
    return NULL;
}

bool harness_adopt(struct harness *h, gpa_t root)
{
    (void)h, (void)root;
    return false;
}

struct command *harness_next(struct harness *h)
{
    (void)h;
    return NULL;
}

size_t harness_queued(const struct harness *h)
{
    (void)h;
    return 0;
}

bool harness_run(struct harness *h, bool stop_at_fault, size_t *done, struct err *err)
{
    (void)h, (void)stop_at_fault;
    *done = 0;
    return err_set(err, EXIT_ENVIRONMENT, "%s", why);
}

const struct command *harness_result(const struct harness *h, size_t i)
{
    (void)h, (void)i;
    return NULL;
}

bool harness_counts_reset(struct harness *h, struct err *err)
{
    (void)h;
    return err_set(err, EXIT_ENVIRONMENT, "%s", why);
}

void harness_counts(struct harness *h, struct harness_counts *counts)
{
    (void)h;
    *counts = (struct harness_counts){0};
}

bool harness_drop(struct harness *h, gpa_t gpa, uint64_t bytes, struct err *err)
{
    (void)h, (void)gpa, (void)bytes;
    return err_set(err, EXIT_ENVIRONMENT, "%s", why);
}

struct touch *harness_touch(struct harness *h)
{
    (void)h;
    return NULL;
}

const uint64_t *harness_dirty(struct harness *h)
{
    (void)h;
    return NULL;
}

const struct touch_event *touch_events(const struct touch *t, size_t *n)
{
    (void)t;
    *n = 0;
    return NULL;
}

bool touch_sees_writes(const struct touch *t)
{
    (void)t;
    return false;
}

bool touch_drop(struct touch *t, gpa_t gpa, uint64_t bytes)
{
    (void)t, (void)gpa, (void)bytes;
    return false;
}

const uint8_t *touch_kept(struct touch *t, gpa_t gpa)
{
    (void)t, (void)gpa;
    return NULL;
}

bool touch_protect(struct touch *t, gpa_t gpa, uint64_t bytes)
{
    (void)t, (void)gpa, (void)bytes;
    return false;
}
