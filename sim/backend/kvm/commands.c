/* Accesses as commands, commands in batches, and what became of them. */
#include <stdlib.h>
#include <string.h>

#include "sim/backend/kvm/parts.h"
#include "sim/backend/kvm/touch.h"

enum { PAGE = 4096, VECTOR_PF = 14 };

static bool is_processors_size(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/*
 * One instruction is executed at the address of a fetch. Where it would be the page's last byte it
 * starts one earlier: memory of zeroes holds instructions of two bytes, which must not reach into
 * the next page. The address asked for is kept aside, for CR2.
 */
static struct command command_at(const struct access *a, unsigned op, gva_t gva)
{
    bool early = op == COMMAND_EXEC && gva % PAGE == PAGE - 1;
    return (struct command){.op = (uint8_t)op,
                            .cpl = a->flags & ACCESS_USER ? 3 : 0,
                            .flags = a->flags & ACCESS_AC ? COMMAND_AC : 0,
                            .size = 1,
                            .gva = gva - early,
                            .reserved = gva};
}

void commands_of_access(const struct access *a, bool has_value, uint64_t value,
                        struct command_list *list)
{
    static const uint8_t plain[] = {COMMAND_READ, COMMAND_TOUCH, COMMAND_EXEC, COMMAND_TOUCH};
    bool write = a->op == OP_WRITE || a->op == OP_MODIFY;
    list->n = 0;
    if (is_processors_size(a->size) && (a->op == OP_READ || (write && has_value))) {
        struct command *c = &list->command[list->n++];
        *c = command_at(a, write ? COMMAND_WRITE : COMMAND_READ, a->gva);
        c->size = (uint8_t)a->size;
        c->value = value;
        return;
    }
    for (uint64_t done = 0; done < a->size && list->n < PIECES_MAX;) {
        gva_t at = a->gva + done;
        list->command[list->n++] = command_at(a, plain[a->op], at);
        done += PAGE - at % PAGE;
    }
}

void outcome_of_command(const struct command *c, struct outcome *o)
{
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (c->status == COMMAND_FAULT) {
        o->kind = OUTCOME_FAULT;
        o->vector = c->vector;
        o->error_code = c->vector == VECTOR_PF ? c->error_code : 0;
        o->cr2 = c->vector != VECTOR_PF ? 0 : c->cr2 == c->gva ? c->reserved : c->cr2;
    } else if (c->op == COMMAND_READ) {
        o->has_value = true;
        o->value = c->size < 8 ? c->result & low_bits(8u * c->size) : c->result;
    }
}

bool kvm_flush(struct kvm_run *r)
{
    size_t done;
    return !harness_queued(r->harness) || harness_run(r->harness, false, &done, &r->err);
}

bool kvm_begin(struct kvm_run *r)
{
    r->roots_before = r->roots;
    for (unsigned i = 0; i < r->roots; i++)
        r->walked += !r->filled[i] && (r->root[i] || r->vm->raw);
    if (!kvm_flush(r) || !harness_counts_reset(r->harness, &r->err))
        return false;
    struct touch *touch = harness_touch(r->harness);
    if (touch && touch_sees_writes(touch) && !touch_protect(touch, 0, r->config.memory))
        return err_set(&r->err, EXIT_ENVIRONMENT, "userfaultfd: no protecting of all memory");
    if (touch)
        touch_events(touch, &r->touches_before);
    if (r->config.dirty)
        harness_dirty(r->harness);
    return true;
}

/* With what was seen until now, protected frames that were written are so no more. */
bool kvm_settle_protected(struct kvm_run *r)
{
    size_t n;
    const struct touch_event *events = touch_events(harness_touch(r->harness), &n);
    bool good = true;
    for (; r->protected && r->touches_settled < n; r->touches_settled++) {
        const struct touch_event *e = &events[r->touches_settled];
        bool *protected = &r->protected[e->gpa / PAGE];
        if (e->kind == TOUCH_WRITE && *protected)
            good &= seen_add(&r->seen->rewritten, e->gpa / PAGE);
        *protected &= e->kind == TOUCH_RETURN; /* nobody can protect what was not there */
    }
    return good || err_set(&r->err, EXIT_ENVIRONMENT, "this computer is out of memory");
}

static bool protect(struct kvm_run *r, gpa_t gpa, uint64_t bytes)
{
    struct touch *touch = harness_touch(r->harness);
    if (!touch)
        return true; /* what it costs is not counted; what it shows, the other run sees */
    if (!r->protected && !(r->protected = calloc(r->config.memory / PAGE, sizeof(bool))))
        return err_set(&r->err, EXIT_ENVIRONMENT, "this computer is out of memory");
    if (!kvm_settle_protected(r))
        return false;
    memset(r->protected + gpa / PAGE, true, bytes / PAGE);
    return touch_protect(touch, gpa, bytes) ||
           err_set(&r->err, EXIT_ENVIRONMENT,
                   "userfaultfd: no write protection of the VM's memory");
}

bool kvm_move(struct kvm_run *r, bool drop, gpa_t gpa, uint64_t bytes)
{
    if (!kvm_flush(r))
        return false;
    return drop ? harness_drop(r->harness, gpa, bytes, &r->err) : protect(r, gpa, bytes);
}

struct command *kvm_command(struct kvm_run *r)
{
    struct command *c = r->err.code ? NULL : harness_next(r->harness);
    return c || r->err.code || !kvm_flush(r) ? c : harness_next(r->harness);
}

static bool is_filled(struct kvm_run *r, gpa_t table)
{
    static const uint8_t zeroes[PAGE];
    return memcmp(harness_memory(r->harness) + table, zeroes, PAGE);
}

bool kvm_adopt(struct kvm_run *r, gpa_t root)
{
    for (unsigned i = 0; i < r->roots; i++)
        if (r->root[i] == root)
            return true;
    if (r->roots == ROOTS_MAX || root > r->config.memory - PAGE)
        return err_set(&r->err, EXIT_USAGE,
                       r->roots == ROOTS_MAX ? "more than %d top tables"
                                             : "a top table lies beyond the VM's memory",
                       ROOTS_MAX);
    if (!kvm_flush(r))
        return false;
    r->filled[r->roots] = is_filled(r, root);
    r->root[r->roots++] = root;
    return harness_adopt(r->harness, root) && kvm_flush(r);
}

bool kvm_try(struct kvm_run *r, const struct command_list *list, struct outcome *o)
{
    size_t done;
    *o = (struct outcome){.kind = OUTCOME_OK};
    if (!kvm_flush(r))
        return false;
    for (unsigned i = 0; i < list->n && o->kind == OUTCOME_OK; i++) {
        struct command *c = kvm_command(r);
        if (!c)
            return false;
        *c = list->command[i];
        if (!harness_run(r->harness, true, &done, &r->err))
            return false;
        outcome_of_command(harness_result(r->harness, done - 1), o);
    }
    o->has_value &= list->n == 1 && o->kind == OUTCOME_OK;
    return true;
}
