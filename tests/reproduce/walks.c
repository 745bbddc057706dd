/* How many entries a walk reads, in which order, and what that costs where nothing is cached. */
#include "tests/reproduce/reproduce.h"

#include <stdlib.h>
#include <string.h>

#define BHARGAVA "Bhargava et al., ASPLOS 2008"
#define SDM_EPT  "Intel SDM vol. 3, 28.2"
#define AHN      "Ahn, Jin and Huh, ISCA 2012"
#define AGILE    "Gandhi, Hill and Swift, ISCA 2016"

/* Neither caches for translations nor for data: each entry read costs as much as memory. */
#define BARE                                                                                       \
    UNCACHED ",\"data_caches\":{\"l1\":{\"entries\":0},\"l2\":{\"entries\":0},\"llc\":{"           \
             "\"entries\":0}}"

struct guest_plan {
    const char *paging, *page, *size; /* paging NULL: off */
};

struct host_plan {
    const char *second, *page;
};

static struct scene *scene_of(const struct guest_plan *guest, const struct host_plan *host)
{
    struct scene *s;
    if (!guest->paging) {
        s = scene_new("{\"version\":1,\"machine\":{\"memory\":\"16GiB\",\"override\":{" BARE
                      "}},\"vms\":[{\"mode\":\"nested\",\"memory\":\"4GiB\","
                      "\"second_stage\":\"%s\",\"second_stage_page\":\"%s\","
                      "\"registers\":{\"cr4\":\"0x0\",\"efer\":\"0x0\"}}]}",
                      host->second, host->page);
        scene_mov_cr0(s, CR0_PE);
        return s;
    }
    return scene_new("{\"version\":1,\"machine\":{\"memory\":\"16GiB\",\"override\":{" BARE
                     "}},\"vms\":[{\"mode\":\"nested\",\"memory\":\"4GiB\",\"second_stage\":\"%s\","
                     "\"second_stage_page\":\"%s\",\"guest\":{\"paging\":\"%s\"},\"processes\":[{"
                     "\"map\":[{\"gva\":\"0x40000000\",\"size\":\"%s\",\"page\":\"%s\","
                     "\"populate\":\"start\"}]}]}]}",
                     host->second, host->page, guest->paging, guest->size, guest->page);
}

/* The second access: whatever was to be backed or set has been by then. */
static struct scene *walked(const struct guest_plan *guest, const struct host_plan *host)
{
    struct scene *s = scene_of(guest, host);
    scene_access(s, 0x40000008, OP_READ);
    scene_access(s, 0x40000008, OP_READ);
    return s;
}

static unsigned refs_of(const struct guest_plan *guest, const struct host_plan *host)
{
    struct scene *s = walked(guest, host);
    unsigned refs = s->walk.refs;
    scene_free(s);
    return refs;
}

static const struct guest_plan with_4k = {"4-level", "4KiB", "4KiB"};
static const struct guest_plan with_2m = {"4-level", "2MiB", "2MiB"};
static const struct host_plan by_4k = {"ept4", "4KiB"}, by_2m = {"ept4", "2MiB"};

/* ---- how many ---- */

static void every_pair(struct table *t)
{
    static const struct host_plan hosts[] = {
        {"flat", "4KiB"}, {"ept4", "1GiB"}, {"ept4", "2MiB"}, {"ept4", "4KiB"}, {"ept5", "4KiB"},
    };
    static const struct {
        struct guest_plan guest;
        struct claim claim;
    } rows[] = {
        {{NULL, NULL, NULL}, {"no paging in the guest, n = 0", "1 2 3 4 5", SDM_EPT}},
        {{"2-level", "4MiB", "4MiB"}, {"2-level, 4 MiB pages, n = 1", "3 5 7 9 11", SDM_EPT}},
        {{"pae", "4KiB", "4KiB"}, {"PAE, PDPTEs in registers, n = 2", "5 8 11 14 17", SDM_EPT}},
        {{"4-level", "2MiB", "2MiB"}, {"4-level, 2 MiB pages, n = 3", "7 11 15 19 23", SDM_EPT}},
        {{"4-level", "4KiB", "4KiB"}, {"4-level, n = 4", "9 14 19 24 29", SDM_EPT ", " BHARGAVA}},
        {{"5-level", "4KiB", "4KiB"}, {"5-level, n = 5", "11 17 23 29 35", SDM_EPT}},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        char ours[80] = "";
        for (unsigned h = 0; h < 5; h++)
            snprintf(ours + strlen(ours), sizeof ours - strlen(ours), "%s%u", h ? " " : "",
                     refs_of(&rows[r].guest, &hosts[h]));
        table_text(t, &rows[r].claim, rows[r].claim.published, ours);
    }
}

static void other_counts(struct table *t)
{
    static const struct {
        struct guest_plan guest;
        struct host_plan host;
        unsigned refs;
        struct claim claim;
    } rows[] = {
        {{"4-level", "1GiB", "1GiB"}, {"ept4", "1GiB"}, 8, {"1 GiB pages in both", "8", SDM_EPT}},
        {{"pae", "4KiB", "4KiB"},
         {"npt4", "4KiB"},
         19,
         {"PAE under NPT, which reads the PDPTE in the walk", "19", "AMD APM vol. 2, 15.25"}},
        {{"4-level", "4KiB", "4KiB"},
         {"flat", "4KiB"},
         9,
         {"4-level guest over a flat second stage", "9", AHN}},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++)
        table_number(t, &rows[r].claim, rows[r].refs, refs_of(&rows[r].guest, &rows[r].host));
}

/* ---- in which order ---- */

static void order(struct table *t)
{
    static const char all[] = "G1H1 G1H2 G1H3 G1H4 G1 G2H1 G2H2 G2H3 G2H4 G2 G3H1 G3H2 G3H3 G3H4 "
                              "G3 G4H1 G4H2 G4H3 G4H4 G4 UDH1 UDH2 UDH3 UDH4 ";
    static const char large[] = "G1H1 G1H2 G1H3 G1 G2H1 G2H2 G2H3 G2 G3H1 G3H2 G3H3 G3 "
                                "UDH1 UDH2 UDH3 ";
    const struct claim claim = {"order of the 24 references",
                                "G1H1 G1H2 G1H3 G1H4 G1 ... G4H1 to G4H4 G4, UDH1 to UDH4",
                                BHARGAVA "; labels as in the artifact of DMT (ASPLOS 2024)"};
    const struct claim claim_2m = {"order of the 15 references of 2 MiB pages",
                                   "G1H1 G1H2 G1H3 G1 ... G3H1 to G3H3 G3, UDH1 to UDH3",
                                   "the same"};
    char text[512];
    struct scene *s = walked(&with_4k, &by_4k);
    table_text(t, &claim, all, scene_spell(s, text));
    scene_free(s);
    s = walked(&with_2m, &by_2m);
    table_text(t, &claim_2m, large, scene_spell(s, text));
    scene_free(s);
}

/* ---- agile paging ---- */

static unsigned agile_refs(unsigned levels)
{
    struct scene *s = scene_new(
        "{\"version\":1,\"machine\":{\"override\":{" BARE "}},\"vms\":[{\"mode\":\"agile\","
        "\"memory\":\"1GiB\",\"agile\":{\"shadow_levels\":%u},\"processes\":[{\"map\":[{\"gva\":"
        "\"0x40000000\",\"size\":\"4KiB\",\"populate\":\"start\"}]}]}]}",
        levels);
    scene_access(s, 0x40000008, OP_WRITE);
    scene_access(s, 0x40000008, OP_WRITE);
    unsigned refs = s->walk.refs;
    scene_free(s);
    return refs;
}

static void agile(struct table *t)
{
    const struct claim claim = {"agile paging: 4, 3, 2, 1, 0 levels of shadow above the guest's "
                                "own; all nested",
                                "4 8 12 16 20 24", AGILE};
    char ours[80] = "";
    if (!machine_runs(MODE_AGILE)) {
        table_not_run(t, &claim, MODE_AGILE);
        return;
    }
    for (unsigned levels = 4; levels < 5; levels--)
        snprintf(ours + strlen(ours), sizeof ours - strlen(ours), "%u ", agile_refs(levels));
    snprintf(ours + strlen(ours), sizeof ours - strlen(ours), "%u", refs_of(&with_4k, &by_4k));
    table_text(t, &claim, claim.published, ours);
}

/* ---- large pages ---- */

static double walk_cycles(const struct guest_plan *guest, const struct host_plan *host)
{
    struct scene *s = scene_of(guest, host);
    scene_access(s, 0x40000008, OP_READ);
    uint64_t before = scene_counts(s)->cycles_by[CYCLES_translation];
    scene_access(s, 0x40000008, OP_READ);
    uint64_t cycles = scene_counts(s)->cycles_by[CYCLES_translation] - before;
    scene_free(s);
    return (double)cycles;
}

static void large_pages(struct table *t)
{
    const struct claim refs = {"2 MiB pages in the second stage only: entries", "19", SDM_EPT};
    const struct claim both = {"2 MiB pages in both: entries", "15", SDM_EPT};
    const struct claim cycles = {"the first, walk cycles beside 4 KiB pages, uncached",
                                 "19/24 = 0.7917", "follows from the counts"};
    const struct claim both_cycles = {"the second, walk cycles", "15/24 = 0.625", "the same"};
    double small = walk_cycles(&with_4k, &by_4k);
    table_number(t, &refs, 19, refs_of(&with_4k, &by_2m));
    table_number(t, &both, 15, refs_of(&with_2m, &by_2m));
    table_near(t, &cycles, 19 / 24.0, walk_cycles(&with_4k, &by_2m) / small, 0.001);
    table_near(t, &both_cycles, 15 / 24.0, walk_cycles(&with_2m, &by_2m) / small, 0.001);
}

void reproduce_walks(struct table *t)
{
    table_section(t, "Entries that a walk reads",
                  "With n levels of the guest's tables and m of the second stage's in memory, a "
                  "walk that no\ncache shortens reads n*m + n + m entries. All caches are off; "
                  "each count is of a walk that the\nmachine made for a program's access. The "
                  "first six rows are the 30 pairs of n = 0 to 5 with m = 1\n(a flat table), 2, 3 "
                  "(1 GiB and 2 MiB pages), 4 and 5.");
    every_pair(t);
    other_counts(t);
    order(t);
    agile(t);
    large_pages(t);
}
