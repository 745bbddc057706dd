/* Whether a scenario can run on KVM here, and its machine made alike. */
#include "sim/backend/compare.h"

static const uint64_t GUEST_MEMORY_MOST = (uint64_t)4 << 30;

void environment_dress(const struct environment *env, struct machine_config *machine)
{
    const struct {
        bool has;
        enum feature feature;
    } features[] = {
        {env->has.nx, FEATURE_nx},     {env->has.page_1gib, FEATURE_pdpe1gb},
        {env->has.smep, FEATURE_smep}, {env->has.smap, FEATURE_smap},
        {env->has.pku, FEATURE_pku},   {env->has.la57, FEATURE_la57},
        {env->has.pcid, FEATURE_pcid}, {env->has.invpcid, FEATURE_invpcid},
    };
    struct profile *profile = &machine->profile;
    profile->maxphyaddr = (uint8_t)env->maxphyaddr;
    for (unsigned i = 0; i < sizeof features / sizeof *features; i++) {
        profile->features &= ~(1u << features[i].feature);
        profile->features |= (uint32_t)features[i].has << features[i].feature;
    }
}

/* Whether the guest on KVM, which is one of long mode, would lose the ground under its feet. */
static bool leaves_long_mode(const struct script_item *item)
{
    return (item->verb == VERB_mov_cr0 && !(item->value & CR0_PG && item->value & CR0_PE)) ||
           (item->verb == VERB_mov_cr4 && item->value & CR4_PCIDE);
}

static const char *raw_cannot(const struct scenario *s, const struct profile *profile)
{
    const struct vm_config *vm = &s->machine.vms[0];
    if (control_paging(&vm->registers) < PAGING_4_LEVEL)
        return "its paging is not of 4 or 5 levels";
    if (vm->registers.cr4 & CR4_PCIDE)
        return "it uses PCIDs";
    for (unsigned i = 0; i < s->n_script; i++) {
        if (leaves_long_mode(&s->script[i]))
            return "its script turns paging off, or PCIDs on";
        if (s->script[i].at_access || s->script[i].at_time)
            return "its script places items by \"at\"";
    }
    return control_fault(&vm->registers, profile);
}

static const char *built_cannot(const struct vm_config *vm, const struct profile *profile)
{
    if (vm->paging < PAGING_4_LEVEL)
        return "its paging is not of 4 or 5 levels";
    if (vm->reclaim)
        return "its guest reclaims frames, by what the model sees of each access";
    if (vm->paging == PAGING_5_LEVEL && !profile_has(profile, FEATURE_la57))
        return "the machine has no 5-level paging";
    for (unsigned p = 0; p < vm->n_processes; p++)
        for (unsigned i = 0; i < vm->processes[p].n_maps; i++)
            if (vm->processes[p].maps[i].level == 3 && !profile_has(profile, FEATURE_pdpe1gb))
                return "the machine has no 1 GiB pages";
    return NULL;
}

const char *kvm_cannot(const struct scenario *s, const struct environment *env)
{
    struct machine_config machine = s->machine;
    const struct vm_config *vm = &machine.vms[0];
    environment_dress(env, &machine);
    if (machine.n_vms != 1 || vm->vcpus != 1)
        return "it has several VMs or vCPUs";
    if (vm->second_stage_raw.given)
        return "its second stage is made by hand";
    if (vm->n_preloads)
        return "it fills caches by hand";
    if (vm->memory > GUEST_MEMORY_MOST)
        return "its VM has more than 4 GiB";
    return vm->raw ? raw_cannot(s, &machine.profile) : built_cannot(vm, &machine.profile);
}
