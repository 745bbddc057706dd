/* walk: one access, reference by reference. */
#include <stdlib.h>
#include <string.h>

#include "sim/cli/scenario_arg.h"
#include "sim/report/walk_report.h"
#include "sim/run.h"

/* The number of a thing given by name or number; n if there is none. */
static unsigned find(const char *given, unsigned n, const char *(*name)(const void *, unsigned),
                     const void *things)
{
    char *end;
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(name(things, i), given))
            return i;
    unsigned long number = strtoul(given, &end, 10);
    return *given && !*end && number < n ? (unsigned)number : n;
}

static const char *vm_name(const void *vms, unsigned i)
{
    return ((const struct vm_config *)vms)[i].name;
}

static const char *process_name(const void *processes, unsigned i)
{
    return ((const struct process_config *)processes)[i].name;
}

static int find_process(const struct cli *cli, const struct vm_config *vm, struct script_item *item)
{
    const char *given = cli_value(cli, "process", NULL);
    if (vm->raw)
        return given ? cli_usage(cli, "vm %s is raw and has no processes", vm->name) : EXIT_OK;
    if (!vm->n_processes)
        return cli_usage(cli, "vm %s has no process whose tables could be walked", vm->name);
    item->process = find(given ? given : "0", vm->n_processes, process_name, vm->processes);
    if (item->process == vm->n_processes)
        return cli_usage(cli, "vm %s has no process '%s'", vm->name, given);
    return EXIT_OK;
}

static int read_item(const struct cli *cli, const struct scenario *s, struct script_item *item)
{
    const struct machine_config *m = &s->machine;
    const char *vm = cli_value(cli, "vm", "0");
    uint64_t gva;
    *item = (struct script_item){.verb = VERB_access};
    if (!cli_address(cli, "gva", &gva))
        return EXIT_USAGE;
    if (cli_has(cli, "write") && cli_has(cli, "exec"))
        return cli_usage(cli, "--write and --exec exclude each other");
    if ((item->vm = find(vm, m->n_vms, vm_name, m->vms)) == m->n_vms)
        return cli_usage(cli, "the scenario has no VM '%s'", vm);
    int code = find_process(cli, &m->vms[item->vm], item);
    bool user = cli_has(cli, "user") || !m->vms[item->vm].raw;
    item->access = (struct access){.gva = gva,
                                   .size = 1,
                                   .op = cli_has(cli, "write")  ? OP_WRITE
                                         : cli_has(cli, "exec") ? OP_EXEC
                                                                : OP_READ,
                                   .flags = user ? ACCESS_USER : 0,
                                   .process = (uint16_t)item->process};
    return code;
}

static void print(const struct cli *cli, const struct walk_report *r)
{
    bool explain = cli_has(cli, "explain");
    if (cli->format == FORMAT_JSON) {
        walk_report_json(r, explain, stdout);
    } else if (cli->format == FORMAT_CSV) {
        walk_report_csv(r, stdout);
    } else {
        walk_report_table(r, stdout);
        if (explain)
            fputs("\nStep by step\n", stdout), walk_report_explain(r, stdout);
    }
}

static int walk(const struct cli *cli, const struct scenario *s, const struct script_item *item)
{
    struct walk_report *report = malloc(sizeof *report);
    struct machine *m;
    struct err err = {0};
    int code = report ? cli_machine(cli, s, &m) : EXIT_ENVIRONMENT;
    if (!code) {
        if (run_script(s, m, NULL, &err)) {
            walk_report_make(report, m, item, cli_has(cli, "cold"));
            print(cli, report);
        } else {
            code = cli_fail(cli, &err);
        }
        machine_free(m);
    }
    free(report);
    return code;
}

static int run(struct cli *cli)
{
    struct scenario scenario;
    struct script_item item;
    int code = cli_scenario(cli, &scenario);
    if (code)
        return code;
    if (!(code = read_item(cli, &scenario, &item)))
        code = walk(cli, &scenario, &item);
    scenario_free(&scenario);
    return code;
}

static const struct cli_option options[] = {
    {"gva", "ADDRESS", "the guest-virtual address, 0x... (required)", false},
    {"vm", "N", "which VM, by name or number; the first", false},
    {"process", "P", "which process, by name or number; the first", false},
    {"write", NULL, "the access writes; without it, it reads", false},
    {"exec", NULL, "the access is an instruction fetch", false},
    {"user", NULL, "made by user code, as in a process; in a raw VM the supervisor's", false},
    {"cold", NULL, "empty every cache before the attempt that completes", false},
    {"explain", NULL, "say in plain words what each step does, and why", false},
    SCENARIO_OPTIONS,
    {NULL, NULL, NULL, false},
};

const struct command command_walk = {
    .name = "walk",
    .arguments = "SCENARIO",
    .summary = "show one access, entry by entry, with what each step costs",
    .text = "The access is of one byte. It meets the scenario as set up, after its script,\n"
            "but before its workloads (and so before script items with \"at\").\n"
            "\n"
            "Entries that a cache made unnecessary are listed too, with the cache that did.\n"
            "Under a hypervisor the walk has two dimensions and is drawn as a grid. Faults\n"
            "and exits that were answered are listed; the rest is about the attempt after\n"
            "them. The exit code is 0 whatever becomes of the access.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
