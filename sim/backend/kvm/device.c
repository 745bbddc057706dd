#include "sim/backend/kvm/device.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CPUID_LEAVES = 256 };

static bool supported_cpuid(struct device *d, struct err *err)
{
    d->cpuid = calloc(1, sizeof *d->cpuid + CPUID_LEAVES * sizeof d->cpuid->entries[0]);
    if (!d->cpuid)
        return err_set(err, EXIT_ENVIRONMENT, "no memory");
    d->cpuid->nent = CPUID_LEAVES;
    if (ioctl(d->kvm, KVM_GET_SUPPORTED_CPUID, d->cpuid) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: which CPUID it supports: %s",
                       strerror(errno));
    return true;
}

bool device_open(struct device *d, struct err *err)
{
    *d = (struct device){.kvm = -1, .vm = -1, .vcpu = -1};
    if ((d->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: %s%s", strerror(errno),
                       errno == ENOENT   ? "; the kernel has no KVM, or the CPU no virtualization"
                       : errno == EACCES ? "; users of KVM are in the group kvm"
                                         : "");
    int version = ioctl(d->kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: its API has version %d, not %d", version,
                       KVM_API_VERSION);
    if (!supported_cpuid(d, err))
        return false;
    if ((d->vm = ioctl(d->kvm, KVM_CREATE_VM, 0)) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: making a VM: %s", strerror(errno));
    return true;
}

void device_close(struct device *d)
{
    if (d->timed_thread)
        timer_delete(d->timer);
    if (d->run)
        munmap(d->run, d->run_bytes);
    int files[] = {d->vcpu, d->vm, d->kvm};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] >= 0)
            close(files[i]);
    free(d->cpuid);
    *d = (struct device){.kvm = -1, .vm = -1, .vcpu = -1};
}

bool device_memory(struct device *d, unsigned slot, uint64_t gpa, uint64_t bytes, void *host,
                   unsigned flags, struct err *err)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = bytes,
        .userspace_addr = (uint64_t)(uintptr_t)host,
    };
    if (ioctl(d->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: memory of %llu bytes at %#llx: %s",
                       (unsigned long long)bytes, (unsigned long long)gpa, strerror(errno));
    return true;
}

struct kvm_cpuid_entry2 *device_cpuid(struct device *d, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < d->cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *e = &d->cpuid->entries[i];
        if (e->function == leaf &&
            (e->index == subleaf || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
            return e;
    }
    return NULL;
}

/* The signal that ends KVM_RUN in time. It is let through in KVM_RUN only, which returns for it,
 * and fetched before anybody could be told of it: no handler, nothing that outlives a run. */
static int alarm_signal(void)
{
    return SIGRTMAX - 3;
}

/* The thread's own mask, with our signal let through, as the kernel wants it: 8 bytes. */
static bool let_alarm_through(struct device *d, const sigset_t *mask)
{
    struct {
        struct kvm_signal_mask head;
        uint64_t set;
    } __attribute__((packed)) during = {.head.len = sizeof during.set};
    for (int s = 1; s <= 64; s++)
        if (s != alarm_signal() && sigismember(mask, s) == 1)
            during.set |= UINT64_C(1) << (s - 1);
    return ioctl(d->vcpu, KVM_SET_SIGNAL_MASK, &during) == 0;
}

bool device_vcpu(struct device *d, struct err *err)
{
    int bytes = ioctl(d->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof(struct kvm_run) || (d->vcpu = ioctl(d->vm, KVM_CREATE_VCPU, 0)) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: making a vCPU: %s", strerror(errno));
    if (ioctl(d->vcpu, KVM_SET_CPUID2, d->cpuid) < 0)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: setting CPUID: %s", strerror(errno));
    void *run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d->vcpu, 0);
    if (run == MAP_FAILED)
        return err_set(err, EXIT_ENVIRONMENT, "/dev/kvm: mapping a vCPU: %s", strerror(errno));
    d->run = run;
    d->run_bytes = (size_t)bytes;
    return true;
}

/* A timer belongs to the thread that it signals. */
static bool have_timer(struct device *d)
{
    int thread = gettid();
    if (d->timed_thread == thread)
        return true;
    if (d->timed_thread)
        timer_delete(d->timer);
    d->timed_thread = 0;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = alarm_signal()};
    event._sigev_un._tid = thread;
    if (timer_create(CLOCK_MONOTONIC, &event, &d->timer) < 0)
        return false;
    d->timed_thread = thread;
    return true;
}

static void set_timer(struct device *d, unsigned seconds)
{
    struct itimerspec in = {.it_value.tv_sec = seconds};
    timer_settime(d->timer, 0, &in, NULL);
}

/* Whether our signal came; it is then gone. */
static bool fetch_alarm(const sigset_t *alarm)
{
    const struct timespec now = {0};
    bool came = false;
    while (sigtimedwait(alarm, NULL, &now) > 0)
        came = true;
    return came;
}

int device_run(struct device *d, unsigned seconds)
{
    sigset_t alarm, before;
    sigemptyset(&alarm);
    sigaddset(&alarm, alarm_signal());
    pthread_sigmask(SIG_BLOCK, &alarm, &before);
    int reason = DEVICE_FAILED, error = 0;
    if (have_timer(d) && let_alarm_through(d, &before)) {
        set_timer(d, seconds);
        bool late = false;
        int ran;
        do
            ran = ioctl(d->vcpu, KVM_RUN, 0);
        while (ran < 0 && (errno == EINTR || errno == EAGAIN) && !(late = fetch_alarm(&alarm)));
        error = errno;
        reason = late ? DEVICE_TIMEOUT : ran < 0 ? DEVICE_FAILED : (int)d->run->exit_reason;
        set_timer(d, 0);
        fetch_alarm(&alarm);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return reason;
}

const char *device_exit_name(int reason)
{
    switch (reason) {
    case KVM_EXIT_IO:
        return "KVM_EXIT_IO";
    case KVM_EXIT_HLT:
        return "KVM_EXIT_HLT";
    case KVM_EXIT_MMIO:
        return "KVM_EXIT_MMIO";
    case KVM_EXIT_SHUTDOWN:
        return "KVM_EXIT_SHUTDOWN, a triple fault";
    case KVM_EXIT_FAIL_ENTRY:
        return "KVM_EXIT_FAIL_ENTRY";
    case KVM_EXIT_INTERNAL_ERROR:
        return "KVM_EXIT_INTERNAL_ERROR";
    case DEVICE_TIMEOUT:
        return "out of time";
    case DEVICE_FAILED:
        return "KVM_RUN failed";
    default:
        return "an exit that nobody expects";
    }
}
