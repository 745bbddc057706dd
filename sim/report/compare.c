#include "sim/report/compare.h"

#include <string.h>

static void add_evidence(struct evidence *sum, const struct evidence *e)
{
    sum->tables = digest_word(sum->tables, e->tables);
    sum->leaves += e->leaves;
    sum->memory = digest_word(sum->memory, e->memory);
    sum->frames += e->frames;
    sum->reachable += e->reachable;
    sum->foreign += e->foreign;
}

/* (n+1)(m+1)-1 for the levels that the processor walks; agile paging knows where the root is. */
static uint64_t most_refs(const struct mmu *mmu, enum mode mode)
{
    uint64_t product = 1;
    for (unsigned depth = 0; depth < mmu->stages; depth++)
        product *= mmu->stage[depth].format.levels - mmu->stage[depth].format.registers + 1u;
    return mode == MODE_AGILE ? product - mmu->stage[1].format.levels - 1 : product - 1;
}

static uint64_t count_updates(const struct machine *m)
{
    uint64_t sum = 0;
    for (unsigned v = 0; v < m->n_vms; v++) {
        struct tally t;
        machine_tally(m, v, &t);
        sum += tally_total(&t, EVENT_INVLPG) + tally_total(&t, EVENT_MOV_CR3) +
               tally_total(&t, EVENT_UNMAP) + tally_total(&t, EVENT_PROTECT);
    }
    return sum;
}

bool contender_take(struct contender *c, const char *name, struct machine *m,
                    const struct machine_config *config, const char *scenario, uint64_t outcomes)
{
    *c = (struct contender){.mode = config->vms[0].mode, .outcomes = outcomes};
    strncpy(c->name, name, sizeof c->name - 1);
    for (unsigned v = 0; v < m->n_vms; v++) {
        struct evidence e;
        evidence_gather(m, v, &e);
        add_evidence(&c->evidence, &e);
    }
    c->updates = count_updates(m);
    c->refs_most = most_refs(m->vcpu[0].mmu, c->mode);
    return stats_gather(&c->stats, m, config, scenario);
}

void comparison_fini(struct comparison *c)
{
    for (unsigned i = 0; i < c->n; i++)
        stats_fini(&c->of[i].stats);
    c->n = 0;
}

double contender_cost(const struct contender *c)
{
    const struct counts *all = &c->stats.total;
    return all->accesses ? (double)all->cycles / (double)all->accesses : 0;
}

bool contender_is_equivalent(const struct contender *c, const struct contender *reference)
{
    return c->outcomes == reference->outcomes &&
           evidence_agrees(&c->evidence, &reference->evidence) &&
           !memcmp(c->stats.total.faults, reference->stats.total.faults,
                   sizeof c->stats.total.faults);
}

void comparison_verdict(const struct comparison *c, int *best, int *second)
{
    *best = *second = -1;
    for (unsigned i = 0; i < c->n; i++) {
        double cost = contender_cost(&c->of[i]);
        if (c->of[i].mode == MODE_NATIVE)
            continue;
        if (*best < 0 || cost < contender_cost(&c->of[*best])) {
            *second = *best;
            *best = (int)i;
        } else if (*second < 0 || cost < contender_cost(&c->of[*second])) {
            *second = (int)i;
        }
    }
}

const char *mode_demand(enum mode mode)
{
    static const char *const demands[MODES] = {
        [MODE_DIRECT] = "its page tables hold machine frames, and it asks for every update, "
                        "invalidation and CR3 load"};
    return demands[mode];
}
