#include "sim/config.h"

const char *mode_name(enum mode mode)
{
    static const char *const names[MODES] = {MODE_WORDS};
    return names[mode];
}
