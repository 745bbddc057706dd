/* One walk as JSON, schema nestwalk/walk/1, and its references as CSV. */
#include <inttypes.h>

#include "sim/report/json_out.h"
#include "sim/report/lines.h"
#include "sim/report/walk_report.h"
#include "sim/report/words.h"

static void hex(FILE *out, const char *before, const char *key, uint64_t n)
{
    fprintf(out, "%s\"%s\": \"0x%" PRIx64 "\"", before, key, n);
}

static void print_fault(const struct walk_report *r, FILE *out)
{
    const struct outcome *o = &r->outcome;
    if (o->kind != OUTCOME_FAULT) {
        fputs("null", out);
        return;
    }
    fprintf(out, "{ \"vector\": %u", o->vector);
    hex(out, ", ", "error_code", o->error_code);
    if (o->vector == 14) {
        hex(out, ", ", "cr2", o->cr2);
        fprintf(out, ", \"level\": %u", o->level);
    }
    fprintf(out, ", \"reason\": \"%s\" }", refusal_name(o->why));
}

static void print_exit(const struct walk_report *r, FILE *out)
{
    const struct vm_exit *exit = &r->outcome.exit;
    if (r->outcome.kind != OUTCOME_EXIT) {
        fputs("null", out);
        return;
    }
    fprintf(out, "{ \"reason\": \"%s\"", exit_reason_name(exit->reason));
    hex(out, ", ", exit_address_name(exit->reason), exit->address);
    if (exit->has_qualification)
        hex(out, ", ", "qualification", exit->qualification);
    fputs(" }", out);
}

/* The work that follows an exit belongs to it. Returns how many of the events that is. */
static unsigned print_answered_exit(const struct walk_report *r, unsigned i, FILE *out)
{
    const struct event *e = &r->handled[i];
    unsigned n = 1;
    fprintf(out, "{ \"exit\": \"%s\", \"stage\": %u", exit_reason_name((enum exit_reason)e->detail),
            e->depth);
    hex(out, ", ", exit_address_name((enum exit_reason)e->detail), e->address);
    hex(out, ", ", "qualification", e->value);
    fputs(", \"work\": [", out);
    for (; i + n < r->n_handled && r->handled[i + n].kind == EVENT_WORK; n++)
        fprintf(out, "%s\"%s\"", n > 1 ? ", " : "", work_name((enum work)r->handled[i + n].detail));
    fputs("] }", out);
    return n;
}

static unsigned print_answered_fault(const struct walk_report *r, unsigned i, FILE *out)
{
    const struct event *e = &r->handled[i];
    fputs("{ \"vector\": 14", out);
    hex(out, ", ", "error_code", e->value);
    hex(out, ", ", "cr2", e->address);
    fprintf(out, ", \"level\": %u, \"reason\": \"%s\" }", e->level,
            refusal_name((enum refusal_kind)e->detail));
    return 1;
}

static unsigned print_work_alone(const struct walk_report *r, unsigned i, FILE *out)
{
    const struct event *e = &r->handled[i];
    fprintf(out, "{ \"work\": [\"%s\"]", work_name((enum work)e->detail));
    hex(out, ", ", "address", e->address);
    fputs(" }", out);
    return 1;
}

static void print_handled(const struct walk_report *r, FILE *out)
{
    fputs("  \"handled\": [", out);
    for (unsigned i = 0; i < r->n_handled;) {
        fputs(i ? ",\n    " : "\n    ", out);
        enum event_kind kind = (enum event_kind)r->handled[i].kind;
        i += kind == EVENT_EXIT    ? print_answered_exit(r, i, out)
             : kind == EVENT_FAULT ? print_answered_fault(r, i, out)
                                   : print_work_alone(r, i, out);
    }
    fputs(r->n_handled ? "\n  ]" : "]", out);
    fprintf(out, ", \"handled_cycles\": %" PRIu64 ",\n", r->answered);
}

static void print_second_stages(const struct walk_report *r, FILE *out)
{
    fputs("  \"second_stages\": [", out);
    for (unsigned depth = 1; depth < r->stages; depth++) {
        fprintf(out, "%s { \"dimension\": \"%s\", \"format\": \"%s\"", depth > 1 ? "," : "",
                dimension_name(r->stages, depth), second_name(r->second[depth].kind));
        hex(out, ", ", walk_report_is_ept(r, depth) ? "eptp" : "ncr3", r->second[depth].pointer);
        fputs(" }", out);
    }
    fputs(r->stages > 1 ? " ],\n" : "],\n", out);
}

static void print_where(const struct walk_report *r, FILE *out)
{
    static const char *const outcomes[] = {"ok", "fault", "exit", "stop"};
    char page[16];
    fprintf(out, "  \"outcome\": \"%s\",", outcomes[r->outcome.kind]);
    if (r->outcome.kind != OUTCOME_OK) {
        fputs(" \"gpa\": null, \"hpa\": null, \"page\": null", out);
    } else {
        hex(out, " ", "gpa", r->outcome.gpa);
        hex(out, ", ", "hpa", r->outcome.hpa);
        fputs(", \"page\": ", out);
        if (r->attempt.found.level)
            json_string(out, format_page_name(&r->stage[0].format, r->attempt.found.level, page));
        else
            fputs("null", out);
    }
    if (r->outcome.has_value)
        hex(out, ", ", "value", r->outcome.value);
    fprintf(out, ", \"cycles\": %" PRIu64 ",\n", r->cycles);
}

static void print_tlbs(const struct walk_report *r, FILE *out)
{
    unsigned n = 0;
    fputs("  \"tlb\": [", out);
    for (unsigned i = 0; i < r->n_events; i++) {
        const struct event *e = &r->event[i];
        if (e->kind != EVENT_TLB_HIT && e->kind != EVENT_TLB_MISS)
            continue;
        fprintf(out, "%s { \"name\": \"%s\", \"hit\": %s }", n++ ? "," : "",
                tlb_name((enum tlb_name)e->detail), e->kind == EVENT_TLB_HIT ? "true" : "false");
    }
    fputs(n ? " ],\n" : "],\n", out);
}

static void print_ref(const struct walk_report *r, unsigned i, FILE *out)
{
    const struct walk_line *line = &r->line[i];
    fprintf(out,
            "%s\n    { \"n\": %u, \"stage\": %u, \"dimension\": \"%s\", \"level\": %u, \"name\": "
            "\"%s\", \"for\": \"%s\"",
            i ? "," : "", i + 1, line->depth, walk_report_dimension(r, line), line->level,
            walk_report_level(r, line), line->purpose);
    hex(out, ", ", "address", line->address);
    hex(out, ", ", "entry", line->entry);
    fprintf(out, ", \"read\": %s, \"served_by\": \"%s\", \"cycles\": %" PRIu64,
            line->read ? "true" : "false", line->served_by, line->cycles);
    fputs(line->differs ? ", \"differs\": true }" : " }", out);
}

struct steps {
    FILE *out;
    unsigned n;
};

static void print_step(void *self, const char *sentence)
{
    struct steps *steps = self;
    fputs(steps->n++ ? ",\n    " : "\n    ", steps->out);
    json_string(steps->out, sentence);
}

void walk_report_json(const struct walk_report *r, bool explain, FILE *out)
{
    fputs("{\n  \"schema\": \"nestwalk/walk/1\",\n  \"vm\": ", out);
    json_string(out, r->vm);
    fputs(", \"process\": ", out);
    if (r->process)
        json_string(out, r->process);
    else
        fputs("null", out);
    fprintf(out, ", \"mode\": \"%s\", \"paging\": \"%s\",\n ", r->mode,
            r->stage[0].format.levels ? r->stage[0].format.name : "off");
    hex(out, " ", "gva", r->item.access.gva);
    fprintf(out, ", \"op\": \"%s\", \"user\": %s, \"cold\": %s,\n", op_name(r->item.access.op),
            r->item.access.flags & ACCESS_USER ? "true" : "false", r->cold ? "true" : "false");
    print_where(r, out);
    fputs("  \"fault\": ", out);
    print_fault(r, out);
    fputs(",\n  \"exit\": ", out);
    print_exit(r, out);
    fputs(",\n", out);
    print_handled(r, out);
    print_tlbs(r, out);
    print_second_stages(r, out);
    hex(out, "  ", "cr3", r->registers.cr3);
    fprintf(out, ",\n  \"stale\": %s,\n", r->stale ? "true" : "false");
    if (explain) {
        struct steps steps = {out, 0};
        fputs("  \"steps\": [", out);
        walk_report_steps(r, print_step, &steps);
        fputs("\n  ],\n", out);
    }
    fputs("  \"refs\": [", out);
    for (unsigned i = 0; i < r->n_lines; i++)
        print_ref(r, i, out);
    fputs(r->n_lines ? "\n  ]\n}\n" : "]\n}\n", out);
}

void walk_report_csv(const struct walk_report *r, FILE *out)
{
    fputs("n,stage,dimension,level,name,for,address,entry,read,served_by,cycles\n", out);
    for (unsigned i = 0; i < r->n_lines; i++) {
        const struct walk_line *line = &r->line[i];
        fprintf(out, "%u,%u,%s,%u,%s,%s,0x%" PRIx64 ",0x%" PRIx64 ",%s,%s,%" PRIu64 "\n", i + 1,
                line->depth, walk_report_dimension(r, line), line->level,
                walk_report_level(r, line), line->purpose, line->address, line->entry,
                line->read ? "true" : "false", line->served_by, line->cycles);
    }
}
