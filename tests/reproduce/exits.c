/* What makes a VM exit, how often, and at what price. */
#include "tests/reproduce/reproduce.h"

#include <stdlib.h>
#include <string.h>

/* ---- page-modification logging ---- */

enum { LOG_AT = 0x100000 }; /* the first page that is written */

/* Whether the log holds each of the pages once: entries are written from 511 down. */
static bool logged_once(const struct scene *s)
{
    const struct page_log *log = &s->machine->vcpu[0].mmu->log;
    bool seen[PAGE_LOG_ENTRIES] = {false};
    for (unsigned i = 0; i < PAGE_LOG_ENTRIES; i++) {
        uint64_t page = (mem_load(&s->machine->mem, log->at + i * 8, 8) - LOG_AT) >> 12;
        if (page >= PAGE_LOG_ENTRIES || seen[page])
            return false;
        seen[page] = true;
    }
    return true;
}

/* A guest without paging, so that no table of its own becomes dirty. */
static void page_log(struct table *t)
{
    static const struct claim none = {"exits for a full log while 512 pages become dirty", "0",
                                      "Intel SDM vol. 3, 28.2.5"};
    static const struct claim once = {"each of the 512 logged", "once", "the same"};
    static const struct claim full = {"exits when the 513th becomes dirty", "1", "the same"};
    struct scene *s = scene_new(
        "{\"version\":1,\"vms\":[{\"mode\":\"nested\",\"memory\":\"16MiB\",\"ept\":{\"page_log\":"
        "true},\"registers\":{\"cr4\":\"0x0\",\"efer\":\"0x0\"}}]}");
    scene_mov_cr0(s, CR0_PE);
    for (unsigned i = 0; i < PAGE_LOG_ENTRIES; i++)
        for (unsigned again = 0; again < 2; again++)
            scene_access(s, LOG_AT + i * 4096ul, OP_WRITE);
    table_number(t, &none, 0, (double)scene_counts(s)->exits[EXIT_FOR_log_full]);
    table_text(t, &once, "once", logged_once(s) ? "once" : "not once");
    scene_access(s, LOG_AT + PAGE_LOG_ENTRIES * 4096ul, OP_WRITE);
    table_number(t, &full, 1, (double)scene_counts(s)->exits[EXIT_FOR_log_full]);
    scene_free(s);
}

/* ---- direct paging ---- */

/* Hypercalls for taking write rights from @p pages pages at once. */
static uint64_t hypercalls(unsigned pages)
{
    struct scene *s = scene_new(
        "{\"version\":1,\"vms\":[{\"mode\":\"direct\",\"memory\":\"16MiB\",\"processes\":"
        "[{\"map\":[{\"gva\":\"0x40000000\",\"size\":%u,\"populate\":\"start\"}]}]}],"
        "\"script\":[{\"do\":\"protect\",\"process\":0,\"gva\":\"0x40000000\",\"size\":%u,"
        "\"rights\":\"ru\"}]}",
        pages * 4096, pages * 4096);
    uint64_t calls = scene_run(s)->exits[EXIT_FOR_hypercall];
    scene_free(s);
    return calls;
}

static void batches(struct table *t)
{
    static const struct claim claim = {
        "hypercalls for 1, 32, 33, 64, 65, 512 updates of tables, 32 to a call", "1 1 2 2 3 16",
        "Linux's multicalls under Xen, which carry 32: ceil(n/32)"};
    static const unsigned n[] = {1, 32, 33, 64, 65, 512};
    char ours[80] = "";
    if (!machine_runs(MODE_DIRECT)) {
        table_not_run(t, &claim, MODE_DIRECT);
        return;
    }
    for (unsigned i = 0; i < sizeof n / sizeof *n; i++)
        snprintf(ours + strlen(ours), sizeof ours - strlen(ours), "%s%lu", i ? " " : "",
                 hypercalls(n[i]));
    table_text(t, &claim, claim.published, ours);
}

/* ---- prices ---- */

/* Profiles are of other parts than the paper's, and their prices inputs: nothing to compare. */
static void prices(struct table *t)
{
    static const struct claim claim = {
        "price of a VM exit and entry, hardware alone, in cycles (an input)",
        "Prescott 3963, Merom 1579, Penryn 1266, Nehalem 1009, Westmere 761, Sandy Bridge 784",
        "Agesen et al., USENIX ATC 2012, at second hand"};
    char ours[300] = "";
    for (const char *const *name = profile_names(); *name; name++) {
        struct scene *s =
            scene_new("{\"version\":1,\"machine\":{\"profile\":\"%s\"},\"vms\":[{}]}", *name);
        snprintf(ours + strlen(ours), sizeof ours - strlen(ours), "%s%s %u", *ours ? ", " : "",
                 *name, s->scenario.machine.profile.cost[COST_exit]);
        scene_free(s);
    }
    table_beside(t, &claim, "%s", ours);
}

void reproduce_exits(struct table *t)
{
    table_section(t, "Exits",
                  "How often a VM exits is exact. What an exit costs is an input of the model: "
                  "see MACHINES.md.");
    page_log(t);
    batches(t);
    prices(t);
}
