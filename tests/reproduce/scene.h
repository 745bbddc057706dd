/**
 * @file
 * A machine from a scenario's text, and what is asked of it: one walk, or all that was counted.
 * Whatever is wrong with a scene ends the program: scenes are this program's own.
 */
#ifndef TESTS_REPRODUCE_SCENE_H
#define TESTS_REPRODUCE_SCENE_H

#include "sim/report/stats.h"
#include "sim/scenario/scenario.h"

struct scene {
    struct scenario scenario;
    struct machine *machine;
    struct stats stats; /**< after scene_run */
    struct walk walk;   /**< the last attempt of the last access */
};

/** No TLB, no structure cache, no nested TLB, no data cache: every walk reads all there is. */
#define UNCACHED                                                                                   \
    "\"tlb\":{\"l1i\":{\"entries\":0},\"l1d\":{\"entries\":0},\"l2\":{\"entries\":0}},"            \
    "\"structure_caches\":{\"pml5\":{\"entries\":0},\"pml4\":{\"entries\":0},"                     \
    "\"pdpte\":{\"entries\":0},\"pde\":{\"entries\":0}},\"nested_tlb\":{\"entries\":0}"

/** From text, made as by printf. */
struct scene *scene_new(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** From a file, with settings applied. */
struct scene *scene_open(const char *path, const struct setting *, unsigned n_settings);

void scene_free(struct scene *);

/** One access of process 0 as a user; as a supervisor in a raw VM. Its last walk is in walk. */
const struct walk *scene_access(struct scene *, gva_t, enum op);

/** MOV to CR0 in a raw VM. */
void scene_mov_cr0(struct scene *, uint64_t value);

/** Runs script and workloads to the end; the counts of all VMs. */
const struct counts *scene_run(struct scene *);

/** What has been counted so far. */
const struct counts *scene_counts(struct scene *);

/** Cycles per access. */
double scene_cost(const struct counts *);

/** Entries that walks read. */
uint64_t scene_refs(const struct counts *);

/**
 * The papers' names of the entries that the last walk read, in order, each with a blank behind:
 * "G1H1 G1H2 ... G1 ... UDH4 ". Levels are counted from the top; G is the guest's, H the host's,
 * UD the data's own. @p text holds 512 bytes. Returns text.
 */
char *scene_spell(const struct scene *, char *text);

#endif
