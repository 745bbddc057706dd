#include "sim/backend/traced.h"

#include "core/mem.h"

/* What a hypervisor's tables may take of the host, beside the VM's memory. */
static const uint64_t TABLES = (uint64_t)64 << 20;

void traced_make(struct traced *t, const struct machine_config *host, const char *path,
                 enum mode mode, uint64_t memory)
{
    *t = (struct traced){.phase.trace = path};
    t->process = (struct process_config){.name = path, .phases = &t->phase, .n_phases = 1};
    t->vm = vm_config_default();
    t->vm.name = "trace";
    t->vm.mode = mode;
    t->vm.memory = memory;
    t->vm.vcpus = 1;
    t->vm.paging = PAGING_4_LEVEL;
    t->vm.map_on_touch = true;
    t->vm.processes = &t->process;
    t->vm.n_processes = 1;
    t->scenario.path = path;
    t->scenario.machine = *host;
    t->scenario.machine.cpus = 1;
    t->scenario.machine.memory = memory + memory / 8 / FRAME_BYTES * FRAME_BYTES + TABLES;
    t->scenario.machine.vms = &t->vm;
    t->scenario.machine.n_vms = 1;
}
