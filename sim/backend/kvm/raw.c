/*
 * A VM without a guest OS: its script as batches of commands, which the guest executes without an
 * exit between them, so that what its processor caches stays cached.
 */
#include <string.h>

#include "sim/backend/kvm/parts.h"

enum { BATCH = 4096 };

struct raw {
    struct kvm_run *run;
    unsigned item[BATCH]; /* of each command in the batch */
};

/* What the batch says of its items. */
static bool settle(struct raw *raw)
{
    struct kvm_run *r = raw->run;
    size_t n = harness_queued(r->harness);
    if (!kvm_flush(r))
        return false;
    for (size_t i = 0; i < n; i++)
        outcome_of_command(harness_result(r->harness, i), &r->seen->outcome[raw->item[i]]);
    return true;
}

static bool queue(struct raw *raw, unsigned index, const struct command *command)
{
    struct kvm_run *r = raw->run;
    if (harness_queued(r->harness) == BATCH && !settle(raw))
        return false;
    size_t at = harness_queued(r->harness);
    struct command *c = kvm_command(r);
    if (!c)
        return false;
    raw->item[at] = index;
    *c = *command;
    return true;
}

static bool do_access(struct raw *raw, unsigned index, const struct script_item *item)
{
    struct command_list list;
    commands_of_access(&item->access, item->has_value, item->value, &list);
    raw->run->seen->accesses++;
    if (list.n == 1)
        return queue(raw, index, &list.command[0]);
    return settle(raw) && kvm_try(raw->run, &list, &raw->run->seen->outcome[index]);
}

static bool do_store(struct raw *raw, unsigned index, const struct script_item *item)
{
    const struct command store = {
        .op = COMMAND_STORE, .size = (uint8_t)item->size, .gva = item->gpa, .value = item->value};
    if (item->gpa < raw->run->config.memory && item->size <= raw->run->config.memory - item->gpa)
        return queue(raw, index, &store);
    raw->run->seen->outcome[index] =
        (struct outcome){.kind = OUTCOME_STOP, .words = "store: no memory at that gpa"};
    return true;
}

static bool do_instruction(struct raw *raw, unsigned index, const struct script_item *item)
{
    static const uint8_t ops[VERB_COUNT] = {
        [VERB_invlpg] = COMMAND_INVLPG, [VERB_invpcid] = COMMAND_INVPCID,
        [VERB_mov_cr3] = COMMAND_CR3,   [VERB_mov_cr0] = COMMAND_CR0,
        [VERB_mov_cr4] = COMMAND_CR4,   [VERB_wrmsr_efer] = COMMAND_EFER,
        [VERB_wrpkru] = COMMAND_PKRU,
    };
    bool invpcid = item->verb == VERB_invpcid;
    struct command c = {.op = ops[item->verb],
                        .size = (uint8_t)item->type,
                        .gva = item->access.gva,
                        .value = invpcid ? item->pcid : item->value};
    if (!c.op) /* a dump changes nothing */
        return true;
    if (item->verb == VERB_mov_cr3 &&
        !(settle(raw) && kvm_adopt(raw->run, item->value & CR3_TABLE)))
        return false;
    return queue(raw, index, &c);
}

static bool do_item(struct raw *raw, unsigned index)
{
    const struct script_item *item = &raw->run->scenario->script[index];
    if (item->verb == VERB_drop || item->verb == VERB_write_protect)
        return settle(raw) && kvm_move(raw->run, item->verb == VERB_drop, item->gpa, item->length);
    if (item->verb == VERB_access)
        return do_access(raw, index, item);
    return item->verb == VERB_store ? do_store(raw, index, item) : do_instruction(raw, index, item);
}

bool kvm_run_raw(struct kvm_run *r)
{
    struct raw raw = {.run = r};
    bool good;
    if (!(r->harness = harness_new(&r->config, &r->err)))
        return false;
    uint8_t *memory = harness_memory(r->harness);
    r->root[r->roots++] = r->config.registers.cr3 & CR3_TABLE;
    for (unsigned i = 0; i < r->vm->n_images; i++)
        memcpy(memory + r->vm->images[i].gpa, r->vm->images[i].bytes, r->vm->images[i].length);
    good = kvm_begin(r);
    for (unsigned i = 0; good && i < r->scenario->n_script; i++)
        good = !backend_stopped(r->backend, &r->err) && do_item(&raw, i);
    good = good && settle(&raw);
    if (good)
        kvm_count(r);
    return good;
}
