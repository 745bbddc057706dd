#include "sim/config.h"

const char *mode_name(enum mode mode)
{
    static const char *const names[MODES] = {"native", "shadow", "nested", "direct"};
    return names[mode];
}

const char *reclaim_name(enum reclaim_policy policy)
{
    static const char *const names[RECLAIMS] = {"none", "fifo", "lru", "clock", "opt"};
    return names[policy];
}

const char *verb_name(enum verb verb)
{
    static const char *const names[VERB_COUNT] = {
#define X(name, help) #name,
        VERBS(X)
#undef X
    };
    return names[verb];
}
