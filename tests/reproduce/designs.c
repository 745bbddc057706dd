/*
 * Published designs that shorten the walk, as formulas over the 24 references. The references are
 * those of a walk that the machine made, by name, each with the price that it had.
 */
#include "tests/reproduce/reproduce.h"

#include <stdlib.h>
#include <string.h>

#define ARTIFACTS "cost models in the artifacts of DMT (ASPLOS 2024) and SagePTE (SagePTE-AE)"

/* ---- references by name ---- */

struct latencies {
    unsigned n;
    char name[24][8];
    double cycles[24];
};

static struct latencies walk_at(unsigned cycles, const char *page)
{
    struct latencies l = {0};
    char text[512], *rest = text, *name;
    struct scene *s = scene_new(
        "{\"version\":1,\"machine\":{\"override\":{" UNCACHED ",\"costs\":{\"l1\":%u,\"l2\":%u,"
        "\"llc\":%u,\"memory\":%u}}},\"vms\":[{\"mode\":\"nested\",\"memory\":\"1GiB\","
        "\"second_stage_page\":\"%s\",\"processes\":[{\"map\":[{\"gva\":\"0x40000000\","
        "\"size\":\"2MiB\",\"page\":\"%s\",\"populate\":\"start\"}]}]}]}",
        cycles, cycles, cycles, cycles, page, page);
    scene_access(s, 0x40000008, OP_READ);
    scene_access(s, 0x40000008, OP_READ);
    const uint32_t *price = s->machine->vcpu[0].mmu->tally.price;
    scene_spell(s, text);
    while (l.n < 24 && (name = strtok_r(rest, " ", &rest))) {
        const struct ref *r = &s->walk.ref[l.n];
        snprintf(l.name[l.n], sizeof l.name[l.n], "%s", name);
        l.cycles[l.n++] = price[SLOT(REF, r->depth, r->level, r->server)];
    }
    scene_free(s);
    return l;
}

/* A reference that the walk does not have takes no time. */
static double of(const struct latencies *l, const char *name)
{
    for (unsigned i = 0; i < l->n; i++)
        if (!strcmp(l->name[i], name))
            return l->cycles[i];
    return 0;
}

/* ---- the designs ---- */

struct design {
    const char *name;
    const char *reads; /* names; "*": all; "-X": all but those that begin so */
    double more;       /* cycles */
    double at[3];      /* published for L1, LLC, memory; 0: not published */
    double large;      /* the same with 2 MiB pages in both, memory */
};

static const struct design designs[] = {
    {"nested walk", "*", 0, {96, 1296, 4800}, 3000},
    {"Agile paging, last level nested",
     "G1 G2 G3 G4 UDH1 UDH2 UDH3 UDH4",
     0,
     {32, 432, 1600},
     1200},
    {"FPT: flattened tables, 2 by 2", "G2H2 G2H4 G2 G4H2 G4H4 G4 UDH2 UDH4", 0, {32, 432, 1600}, 0},
    {"ASAP: prefetched last levels", NULL, 0, {32, 432, 1600}, 0},
    {"nested ECPT: hashed tables", "G4H4 G4 UDH4", 12, {24, 174, 612}, 0},
    {"DMT", "G4H4 G4 UDH4", 0, {12, 162, 600}, 600},
    {"SagePTE: no walk for the data", "-UDH", 0, {80, 1080, 4000}, 0},
};

enum { N_DESIGNS = sizeof designs / sizeof *designs };

static const struct {
    const char *name;
    unsigned cycles;
} places[] = {{"L1", 4}, {"LLC", 54}, {"memory", 200}};

/* With 2 MiB pages the last level is the third: its names stand for the fourth's. */
static double last_level(const struct latencies *l, const char *name)
{
    static const char *const third[][2] = {{"G4H4", "G3H3"}, {"G4", "G3"}, {"UDH4", "UDH3"}};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(name, third[i][0]))
            return of(l, third[i][1]);
    return of(l, name);
}

static double sum(const struct latencies *l, const struct design *d, bool large)
{
    double cycles = d->more;
    char names[128], *rest = names, *name;
    if (*d->reads == '*' || *d->reads == '-') {
        for (unsigned i = 0; i < l->n; i++)
            if (*d->reads == '*' || strncmp(l->name[i], d->reads + 1, strlen(d->reads + 1)) != 0)
                cycles += l->cycles[i];
        return cycles;
    }
    snprintf(names, sizeof names, "%s", d->reads);
    bool deepest = !strstr(d->reads, "G1 "); /* it reads nothing but last levels */
    while ((name = strtok_r(rest, " ", &rest)))
        cycles += large && deepest ? last_level(l, name) : of(l, name);
    return cycles;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

/* Two reads in turn, beside them the prefetches of the third and of the last. */
static double prefetched(double a, double b, double c, double d)
{
    return most(most(a + b, c), d);
}

static double asap(const struct latencies *l)
{
    double group[5];
    for (unsigned g = 0; g < 5; g++) {
        double host[4];
        char name[8];
        for (unsigned h = 0; h < 4; h++) {
            if (g < 4)
                snprintf(name, sizeof name, "G%uH%u", g + 1, h + 1);
            else
                snprintf(name, sizeof name, "UDH%u", h + 1);
            host[h] = of(l, name);
        }
        snprintf(name, sizeof name, "G%u", g + 1);
        group[g] = prefetched(host[0], host[1], host[2], host[3]) + of(l, name);
    }
    return prefetched(group[0], group[1], group[2], group[3]) + group[4];
}

static double cycles_of(const struct design *d, const struct latencies *l, bool large)
{
    return d->reads ? sum(l, d, large) : asap(l);
}

static void formula(struct table *t, const struct design *d, const struct latencies at[3])
{
    char published[80], ours[80];
    double c[3];
    for (unsigned p = 0; p < 3; p++)
        c[p] = cycles_of(d, &at[p], false);
    snprintf(published, sizeof published, "%g, %g, %g", d->at[0], d->at[1], d->at[2]);
    snprintf(ours, sizeof ours, "%g, %g, %g", c[0], c[1], c[2]);
    const struct claim claim = {d->name, published, ARTIFACTS};
    table_text(t, &claim, published, ours);
}

static void formula_large(struct table *t, const struct design *d, const struct latencies *large)
{
    char target[100], published[20];
    snprintf(target, sizeof target, "%s; 2 MiB pages in both, memory", d->name);
    snprintf(published, sizeof published, "%g", d->large);
    const struct claim claim = {target, published, ARTIFACTS};
    table_number(t, &claim, d->large, cycles_of(d, large, true));
}

/* ---- what that makes of programs ---- */

#define FRACTIONS "walk fractions f: artifact of SagePTE; "

/* The part of its time that a program spends on walks in a VM: 4 KiB pages, transparent huge. */
static const struct {
    const char *name;
    double f[2];
} programs[] = {
    {"btree", {.445, .401}},   {"canneal", {.782, .415}},   {"graph500", {.204, .079}},
    {"gups", {.963, .945}},    {"memcached", {.139, .127}}, {"redis", {.478, .447}},
    {"xsbench", {.614, .256}},
};

enum { N_PROGRAMS = sizeof programs / sizeof *programs };

/* Amdahl's law: only walks become faster. */
static double end_to_end(double f, double speedup)
{
    return 1 / (1 - f + f / speedup);
}

static void speedups(struct table *t, const struct claim *claim, double walk, unsigned huge)
{
    char text[200] = "";
    double total = 0;
    for (unsigned i = 0; i < N_PROGRAMS; i++) {
        double s = end_to_end(programs[i].f[huge], walk);
        total += s;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s %.2f, ", programs[i].name, s);
    }
    table_beside(t, claim, "walks %.2f times as fast: %smean %.2f", walk, text, total / N_PROGRAMS);
}

static void programs_too(struct table *t, const struct latencies *memory)
{
    static const struct claim dmt = {"DMT: programs, from the published speed-up of walks, 1.58",
                                     "1.20 on average", FRACTIONS "speed-ups: DMT, ASPLOS 2024"};
    static const struct claim dmt_huge = {"the same with huge pages, walks 1.65", "1.14 on average",
                                          "the same"};
    static const struct claim ecpt = {"nested ECPT: programs, every entry from memory",
                                      "1.19 on average",
                                      FRACTIONS "speed-up: nested ECPT, ASPLOS 2022"};
    static const struct claim agile = {"Agile paging: programs, every entry from memory",
                                       "more than 1.12 beside the better of shadow and nested",
                                       FRACTIONS "speed-up: Gandhi et al., ISCA 2016"};
    double nested = cycles_of(&designs[0], memory, false);
    speedups(t, &dmt, 1.58, 0);
    speedups(t, &dmt_huge, 1.65, 1);
    speedups(t, &ecpt, nested / cycles_of(&designs[4], memory, false), 0);
    speedups(t, &agile, nested / cycles_of(&designs[1], memory, false), 0);
}

/* ---- without the walk for the data ---- */

static void sage(struct table *t, const struct latencies *memory)
{
    static const struct claim alike = {"SagePTE: walk speed-up 1/(1 - h), h the data's share, "
                                       "where every entry costs alike",
                                       "1/(1 - 4/24) = 1.2", ARTIFACTS};
    static const struct {
        double share;
        struct claim claim;
    } published[] = {
        {.4477, {"SagePTE: walk speed-up, btree", "h = 44.77 %", "artifact of SagePTE"}},
        {.4419, {"SagePTE: walk speed-up, gups", "h = 44.19 %", "artifact of SagePTE"}},
        {.2797, {"SagePTE: walk speed-up, graph500", "h = 27.97 %", "artifact of SagePTE"}},
    };
    double all = cycles_of(&designs[0], memory, false),
           rest = cycles_of(&designs[6], memory, false);
    table_near(t, &alike, 1.2, all / rest, 1e-9);
    for (unsigned i = 0; i < sizeof published / sizeof *published; i++)
        table_beside(t, &published[i].claim, "%.3f by the formula", 1 / (1 - published[i].share));
}

void reproduce_designs(struct table *t)
{
    struct latencies at[3], large = walk_at(places[2].cycles, "2MiB");
    for (unsigned p = 0; p < 3; p++)
        at[p] = walk_at(places[p].cycles, "4KiB");
    table_section(t, "Designs with shorter walks",
                  "Published designs, as formulas over the 24 references, G1H1 to UDH4. The "
                  "formulas are the\nartifacts'; what they give where every entry costs the same "
                  "is worked out by hand (published). Ours\napplies them to the references of a "
                  "walk that the machine made, by their names and prices. Three\nfigures: every "
                  "entry from L1 (4 cycles), the last-level cache (54), memory (200).\n\nFrom "
                  "walks to programs by Amdahl's law: 1/(1 - f + f/s), with f the part of its "
                  "time that a program\nspends on walks. How much faster the walks of each "
                  "program became, s, was published beside caches and\nprograms that we don't "
                  "have. With every entry from memory, s is more than any cache would leave.");
    for (const struct design *d = designs; d < designs + N_DESIGNS; d++)
        formula(t, d, at);
    for (const struct design *d = designs; d < designs + N_DESIGNS; d++)
        if (d->large > 0)
            formula_large(t, d, &large);
    sage(t, &at[2]);
    programs_too(t, &at[2]);
}
