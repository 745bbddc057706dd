#include "sim/report/lines.h"

#include <inttypes.h>

#include "sim/report/json_out.h"

const char *op_name(enum op op)
{
    static const char *const names[OP_COUNT] = {"read",  "write",   "exec", "modify", "map",
                                                "unmap", "protect", "fork", "exit"};
    return names[op];
}

/* ---- events ---- */

static const char *name_op(unsigned detail)
{
    return op_name((enum op)detail);
}

static const char *name_server(unsigned detail)
{
    return server_name((enum server)detail);
}

static const char *name_tlb(unsigned detail)
{
    return tlb_name((enum tlb_name)detail);
}

static const char *name_refusal(unsigned detail)
{
    return refusal_name((enum refusal_kind)detail);
}

static const char *name_reason(unsigned detail)
{
    return exit_reason_name((enum exit_reason)detail);
}

static const char *name_work(unsigned detail)
{
    return work_name((enum work)detail);
}

/* What tells the events of a kind apart. */
static const struct {
    unsigned depths, levels, details;
} dimensions[EVENT_KINDS] = {
#define X(kind, name, depths, levels, details, ...) [EVENT_##kind] = {depths, levels, details},
    EVENTS(X)
#undef X
};

static const char *(*const detail_names[EVENT_KINDS])(unsigned) = {
    [EVENT_ACCESS] = name_op,   [EVENT_TLB_HIT] = name_tlb, [EVENT_TLB_MISS] = name_tlb,
    [EVENT_REF] = name_server,  [EVENT_DATA] = name_server, [EVENT_FAULT] = name_refusal,
    [EVENT_EXIT] = name_reason, [EVENT_WORK] = name_work,
};

void event_print(const struct event *e, FILE *out)
{
    fprintf(out, "{\"t\":%" PRIu64 ",\"cpu\":%u,\"event\":\"%s\"", e->time, e->vcpu,
            event_name((enum event_kind)e->kind));
    if (dimensions[e->kind].depths > 1)
        fprintf(out, ",\"depth\":%u", e->depth);
    if (dimensions[e->kind].levels > 1)
        fprintf(out, ",\"level\":%u", e->level);
    if (detail_names[e->kind])
        fprintf(out, ",\"detail\":\"%s\"", detail_names[e->kind](e->detail));
    else if (dimensions[e->kind].details > 1)
        fprintf(out, ",\"detail\":%u", e->detail);
    fprintf(out, ",\"address\":\"0x%" PRIx64 "\",\"value\":\"0x%" PRIx64 "\"}\n", e->address,
            e->value);
}

/* ---- outcomes ---- */

static void print_dump(const struct script_item *item, const struct machine *m, FILE *out)
{
    uint64_t words[256];
    fputs(",\"dump\":[", out);
    for (uint64_t at = 0, n; at < item->length; at += n) {
        n = item->length - at < 256 ? item->length - at : 256;
        if (!machine_dump(m, item->vm, item->gpa + 8 * at, words, n))
            break;
        for (uint64_t i = 0; i < n; i++) {
            fputs(at + i ? "," : "", out);
            json_hex(out, words[i]);
        }
    }
    fputc(']', out);
}

static void print_ok(const struct outcome *o, FILE *out)
{
    fputs(",\"outcome\":\"ok\"", out);
    if (o->has_gpa)
        fprintf(out, ",\"gpa\":\"0x%" PRIx64 "\"", o->gpa);
    if (o->has_value)
        fprintf(out, ",\"value\":\"0x%" PRIx64 "\"", o->value);
}

static void print_fault(const struct outcome *o, FILE *out)
{
    fprintf(out, ",\"outcome\":\"fault\",\"vector\":%u,\"error_code\":\"0x%" PRIx32 "\"", o->vector,
            o->error_code);
    if (o->vector == 14)
        fprintf(out, ",\"cr2\":\"0x%" PRIx64 "\"", o->cr2);
}

static void print_exit(const struct vm_exit *exit, FILE *out)
{
    fprintf(out, ",\"outcome\":\"exit\",\"reason\":\"%s\",\"gpa\":\"0x%" PRIx64 "\"",
            exit_reason_name(exit->reason), exit->address);
    if (exit->has_qualification)
        fprintf(out, ",\"qualification\":\"0x%" PRIx64 "\"", exit->qualification);
}

void outcome_print(unsigned index, const struct script_item *item, const struct outcome *o,
                   const struct machine *m, FILE *out)
{
    fprintf(out, "{\"i\":%u", index);
    if (o->kind == OUTCOME_STOP) {
        fputs(",\"outcome\":\"stop\",\"reason\":", out);
        json_string(out, o->words);
    } else if (o->kind == OUTCOME_FAULT) {
        print_fault(o, out);
    } else if (o->kind == OUTCOME_EXIT) {
        print_exit(&o->exit, out);
    } else if (item->verb == VERB_dump) {
        print_dump(item, m, out);
    } else {
        print_ok(o, out);
    }
    fputs("}\n", out);
}
