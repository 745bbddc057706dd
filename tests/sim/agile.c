/* Agile paging: shadow tables above, the guest's own below. */
#include "sim/evidence.h"
#include "tests/sim/machines.h"

/* A VM in which all is mapped as it is touched, and a workload over @p pages pages. */
static struct rig *vm(const char *mode, const char *paging, const char *more, unsigned pages,
                      unsigned accesses, const char *remap)
{
    char text[1000];
    snprintf(text, sizeof text,
             "{\"version\":1,\"vms\":[{\"mode\":\"%s\",\"memory\":\"64MiB\",%s"
             "\"guest\":{\"paging\":\"%s\"},\"processes\":[{\"map\":[{\"gva\":\"0x400000\","
             "\"size\":%u}],\"workload\":{\"generator\":\"uniform\",\"accesses\":%u,"
             "\"writes\":0.3,\"remap\":%s}}]}]}",
             mode, more, paging, pages * 4096, accesses, remap);
    return rig_new(text);
}

static unsigned cold_refs(struct rig *rig, bool *good)
{
    const struct access read = {.gva = 0x400010, .size = 1, .flags = ACCESS_USER};
    struct mmu *mmu = rig->machine->vcpu[0].mmu;
    struct bus bus = {.mem = &rig->machine->mem, .llc = rig->machine->llc};
    static struct walk w;
    machine_cool(rig->machine);
    *good = mmu_translate(mmu, &bus, &read, false, &w);
    return w.refs;
}

/* Gandhi et al., ISCA 2016, table 2: 4, 8, 12, 16 and 20 references by the level of the switch. */
Test(agile, reads_four_more_entries_for_each_level_that_is_nested)
{
    for (unsigned shadowed = 0; shadowed <= 4; shadowed++) {
        char more[60];
        bool good;
        struct err err = {0};
        snprintf(more, sizeof more, "\"agile\":{\"shadow_levels\":%u},", shadowed);
        struct rig *rig = vm("agile", "4-level", more, 64, 2000, "0");
        cr_assert(run_scenario(&rig->scenario, rig->machine, NULL, &err), "%s", err.text);
        unsigned refs = cold_refs(rig, &good);
        cr_expect(good);
        cr_expect_eq(refs, shadowed + 5 * (4 - shadowed), "%u levels: %u", shadowed, refs);
        rig_free(rig);
    }
}

static void expect_the_same(const char *paging, const char *more, const char *remap)
{
    struct evidence native, agile;
    struct err err = {0};
    struct rig *a = vm("native", paging, "", 256, 20000, remap);
    struct rig *b = vm("agile", paging, more, 256, 20000, remap);
    cr_assert(run_scenario(&a->scenario, a->machine, NULL, &err), "%s", err.text);
    cr_assert(run_scenario(&b->scenario, b->machine, NULL, &err), "%s", err.text);
    evidence_gather(a->machine, 0, &native);
    evidence_gather(b->machine, 0, &agile);
    cr_expect(evidence_agrees(&native, &agile), "%s %s remap %s", paging, more, remap);
    cr_expect_eq(agile.foreign, 0);
    rig_free(a);
    rig_free(b);
}

Test(agile, leaves_the_guest_what_it_has_natively)
{
    static const char *const pagings[] = {"2-level", "pae", "4-level", "5-level"};
    static const char *const how[] = {
        "\"agile\":{\"interval\":500},", "\"agile\":{\"interval\":500,\"writes\":1},",
        "\"agile\":{\"shadow_levels\":2},", "\"agile\":{\"shadow_levels\":5},"};
    for (unsigned p = 0; p < 4; p++)
        for (unsigned h = 0; h < 4; h++) {
            expect_the_same(pagings[p], how[h], "0");
            expect_the_same(pagings[p], how[h], "0.01");
        }
}

static uint64_t cycles(const char *mode, const char *remap)
{
    struct err err = {0};
    struct rig *rig = vm(mode, "4-level", "", 8192, 2000000, remap);
    cr_assert(run_scenario(&rig->scenario, rig->machine, NULL, &err), "%s", err.text);
    uint64_t spent = rig->machine->vcpu[0].mmu->tally.cycles;
    rig_free(rig);
    return spent;
}

/* The paper's claim: better than the better of the two, whether tables rest or change. */
Test(agile, costs_no_more_than_the_better_of_shadow_and_nested)
{
    static const char *const remaps[] = {"0", "0.01"};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t shadow = cycles("shadow", remaps[i]), nested = cycles("nested", remaps[i]);
        uint64_t agile = cycles("agile", remaps[i]);
        cr_expect(agile <= shadow && agile <= nested, "remap %s: %llu, %llu, %llu", remaps[i],
                  (unsigned long long)agile, (unsigned long long)shadow,
                  (unsigned long long)nested);
    }
}
