#include "sim/config.h"

#include <string.h>

const char *mode_name(enum mode mode)
{
    static const char *const names[MODES] = {MODE_WORDS};
    return names[mode];
}

const struct mode_about *mode_about(enum mode mode)
{
    static const struct mode_about about[MODES] = {
        [MODE_NATIVE] = {4, 4, "no hypervisor: one VM, whose gpa is the hpa"},
        [MODE_SHADOW] = {4, 4, "the hypervisor keeps tables from gva to hpa beside the guest's"},
        [MODE_NESTED] = {24, 24, "the processor walks the guest's tables and the hypervisor's"},
        [MODE_DIRECT] = {4, 4, "the guest's own tables hold hpa; the hypervisor makes updates"},
        [MODE_AGILE] = {4, 20, "shadow above, nested below, by what the guest writes"},
        [MODE_THREE_STAGE] = {124, 124, "a hypervisor in a VM: three dimensions are walked"},
        [MODE_COLLAPSED] = {24, 24, "a hypervisor in a VM, its second stages made into one"},
    };
    return &about[mode];
}

bool verb_is_hypervisors(enum verb verb)
{
    return verb == VERB_invept || verb == VERB_invvpid || verb == VERB_drop ||
           verb == VERB_write_protect;
}

enum mode mode_named(const char *name)
{
    enum mode mode = 0;
    while (mode < MODES && strcmp(mode_name(mode), name))
        mode++;
    return mode;
}

const char *shadow_policy_name(enum shadow_policy policy)
{
    static const char *const names[SHADOW_POLICIES] = {SHADOW_POLICY_WORDS};
    return names[policy];
}

struct vm_config vm_config_default(void)
{
    return (struct vm_config){
        .page_share = {[1] = 1000},
        .shadow = {.prefetch = DEFAULT_PREFETCH, .flood = DEFAULT_FLOOD},
        .direct = {.batch = DEFAULT_BATCH},
        .agile = {.shadow_levels = -1, .writes = DEFAULT_WRITES, .interval = DEFAULT_INTERVAL},
        .vcpus = 1,
        .paging = PAGING_4_LEVEL,
    };
}
