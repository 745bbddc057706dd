/* What the masks are called, and why there are any. */
#include "sim/backend/environment.h"

const char *mask_name(enum mask mask)
{
    static const char *const names[] = {
        [MASK_reserved_present] = "reserved-present",
        [MASK_smap_write_protect] = "smap-write-protect",
        [MASK_top_entry_256] = "top-entry-256",
        [MASK_accessed_of_refused] = "accessed-of-refused",
        [MASK_stale] = "stale",
    };
    return names[mask];
}

const char *mask_why(enum mask mask)
{
    static const char *const why[] = {
#define X(name, words) words,
        MASKS(X)
#undef X
    };
    return why[mask];
}
