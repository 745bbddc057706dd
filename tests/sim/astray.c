/* Scripts and sizes that lead a guest OS or its hypervisor astray: the rest stays as it was. */
#include "sim/array.h"
#include "tests/sim/machines.h"

static const char *const modes[] = {"native",      "nested",    "shadow", "agile",
                                    "three-stage", "collapsed", "direct"};
enum { MODES_HERE = sizeof modes / sizeof *modes };

static void run(const char *json)
{
    struct err err = {0};
    struct rig *rig = rig_new(json);
    run_scenario(&rig->scenario, rig->machine, NULL, &err); /* it may say that it stops */
    rig_free(rig);
}

/* An entry at each level leads to where the VM has no memory, while its guest OS goes on. */
Test(astray, a_guest_whose_tables_lead_beyond_its_memory_harms_only_itself)
{
    static const char *const roots[] = {"0x1000", "0x1010", "0x2000", "0x3000", "0x4000"};
    static const char *const reclaims[] = {
        "", "\"guest\":{\"reclaim\":{\"policy\":\"lru\",\"frames\":600}},"};
    for (unsigned m = 0; m < MODES_HERE; m++)
        for (unsigned i = 0; i < sizeof roots / sizeof *roots; i++)
            for (unsigned r = 0; r < 2; r++) {
                char text[1200];
                snprintf(
                    text, sizeof text,
                    "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"memory\":\"16MiB\",%s"
                    "\"agile\":{\"interval\":100},\"processes\":[{\"map\":[{\"gva\":\"0x400000\","
                    "\"size\":\"4MiB\"}],\"workload\":{\"generator\":\"uniform\",\"accesses\":4000,"
                    "\"writes\":0.3,\"remap\":0.01}}]}],\"script\":["
                    "{\"do\":\"run\",\"accesses\":1000},"
                    "{\"do\":\"store\",\"gpa\":\"%s\",\"value\":\"0x7ffffff067\"},"
                    "{\"do\":\"access\",\"op\":\"read\",\"gva\":\"0x400010\"},"
                    "{\"do\":\"unmap\",\"gva\":\"0x400000\",\"size\":\"4MiB\"}]}",
                    modes[m], reclaims[r], roots[i]);
                run(text);
            }
}

/* A CR3 beyond the VM's memory: the next access finds no table there. */
Test(astray, a_root_beyond_the_memory_is_no_table)
{
    static const char *const roots[] = {"0x7ffffff000", "0x1000000"};
    for (unsigned m = 0; m + 1 < MODES_HERE; m++) /* direct paging has no raw VMs */
        for (unsigned i = 0; i < 2; i++) {
            struct outcome o;
            char text[600];
            snprintf(text, sizeof text,
                     "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"memory\":\"16MiB\",\"registers\":{"
                     "\"cr0\":\"0x80010033\",\"cr3\":\"0x1000\",\"cr4\":\"0x20\",\"efer\":"
                     "\"0xd01\"}}],\"script\":[{\"do\":\"mov_cr3\",\"value\":\"%s\"},"
                     "{\"do\":\"access\",\"op\":\"read\",\"gva\":\"0x400010\"}]}",
                     modes[m], roots[i]);
            struct rig *rig = rig_new(text);
            machine_do(rig->machine, &rig->scenario.script[0], &o);
            machine_do(rig->machine, &rig->scenario.script[1], &o);
            cr_expect(o.kind == OUTCOME_FAULT || o.kind == OUTCOME_EXIT, "%s", modes[m]);
            rig_free(rig);
        }
}

/* INVEPT 1 is of the tables that the processor walks, which collapsed ones of L0 are. */
Test(astray, invept_of_one_context_drops_that_of_its_vm_in_every_nested_mode)
{
    static const char *const nested[] = {"nested", "three-stage", "collapsed"};
    for (unsigned m = 0; m < 3; m++) {
        struct outcome o;
        struct tally before, after;
        char text[800];
        snprintf(text, sizeof text,
                 "{\"version\":1,\"vms\":[{\"mode\":\"nested\",\"memory\":\"4MiB\",\"processes\":[]"
                 "},{\"name\":\"b\",\"mode\":\"%s\",\"memory\":\"4MiB\",\"processes\":[{\"map\":[{"
                 "\"gva\":\"0x400000\",\"size\":4096}]}]}],\"script\":["
                 "{\"do\":\"access\",\"vm\":\"b\",\"op\":\"read\",\"gva\":\"0x400010\"},"
                 "{\"do\":\"invept\",\"vm\":\"b\",\"type\":1}]}",
                 nested[m]);
        struct rig *rig = rig_new(text);
        machine_do(rig->machine, &rig->scenario.script[0], &o);
        machine_do(rig->machine, &rig->scenario.script[1], &o);
        cr_expect_eq(o.kind, OUTCOME_OK);
        machine_tally(rig->machine, 1, &before);
        machine_do(rig->machine, &rig->scenario.script[0], &o);
        machine_tally(rig->machine, 1, &after);
        cr_expect_eq(tally_total(&after, EVENT_WALK), tally_total(&before, EVENT_WALK) + 1, "%s",
                     nested[m]);
        rig_free(rig);
    }
}

/* A guest to be done by hand, under a hypervisor that is in a VM itself. */
Test(astray, a_guest_of_less_than_a_page_runs_under_two_hypervisors)
{
    static const char *const nested[] = {"nested", "three-stage", "collapsed"};
    for (unsigned m = 0; m < 3; m++) {
        struct err err = {0};
        char text[600];
        snprintf(text, sizeof text,
                 "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"memory\":2048,\"guest\":{\"paging\":"
                 "{\"levels\":[3,3],\"page\":16,\"entry_bytes\":1,\"valid\":7,\"frame\":[0,7]}},"
                 "\"processes\":[{\"map\":[{\"gva\":\"0x0\",\"size\":512}],\"workload\":{"
                 "\"generator\":\"uniform\",\"accesses\":500,\"remap\":0.1}}]}]}",
                 nested[m]);
        struct rig *rig = rig_new(text);
        cr_expect(run_scenario(&rig->scenario, rig->machine, NULL, &err), "%s: %s", nested[m],
                  err.text);
        rig_free(rig);
    }
}

Test(astray, a_copy_that_finds_no_memory_says_so)
{
#if !defined(__SANITIZE_ADDRESS__) /* which ends the program instead */
    int one = 1;
    void *list = &one;
    volatile size_t n = SIZE_MAX / 8;
    size_t room = n;
    cr_expect(!array_copy(&list, &room, n, 4));
    cr_expect(!list && !room);
#endif
}
