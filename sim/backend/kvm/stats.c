#include "sim/backend/kvm/stats.h"

#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool stats_open(struct stats *s, int owner)
{
    struct kvm_stats_header head;
    *s = (struct stats){.file = ioctl(owner, KVM_GET_STATS_FD, NULL)};
    if (s->file < 0 || pread(s->file, &head, sizeof head, 0) != sizeof head)
        return false;
    s->bytes_each = (uint32_t)sizeof(struct kvm_stats_desc) + head.name_size;
    s->data = head.data_offset;
    size_t bytes = (size_t)head.num_desc * s->bytes_each;
    if (!(s->descriptions = malloc(bytes)) ||
        pread(s->file, s->descriptions, bytes, head.desc_offset) != (ssize_t)bytes)
        return false;
    s->n = head.num_desc;
    return true;
}

void stats_close(struct stats *s)
{
    if (s->file >= 0)
        close(s->file);
    free(s->descriptions);
    *s = (struct stats){.file = -1};
}

int64_t stats_read(const struct stats *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const char *at = s->descriptions + (size_t)i * s->bytes_each;
        struct kvm_stats_desc d;
        uint64_t value;
        memcpy(&d, at, sizeof d);
        if (strcmp(at + sizeof d, name) == 0)
            return pread(s->file, &value, sizeof value, s->data + d.offset) == sizeof value
                       ? (int64_t)value
                       : -1;
    }
    return -1;
}
