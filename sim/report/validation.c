/* Validation as tables for people, and as rows. */
#include "sim/report/validation.h"

#include <inttypes.h>
#include <string.h>

#include "sim/report/csv_out.h"
#include "sim/report/figures.h"
#include "sim/report/fold.h"
#include "sim/report/lines.h"
#include "sim/report/words.h"

/* ---- words ---- */

const char *validation_verdict(const struct validation *v)
{
    return v->cannot                    ? "cannot"
           : v->failure                 ? "failed"
           : verdict_agrees(v->verdict) ? "agrees"
                                        : "differs";
}

static const char *technique_words(const struct environment *e)
{
    return e->nested ? "nested paging" : "shadow paging";
}

static void item_words(const struct script_item *item, char *text, size_t room)
{
    static const char *const names[] = {
#define X(name, help) #name,
        VERBS(X)
#undef X
    };
    const struct access *a = &item->access;
    if (item->verb == VERB_access)
        snprintf(text, room, "a%s %s of 0x%" PRIx64 " at CPL %d", a->op == OP_EXEC ? "n" : "",
                 op_name(a->op), a->gva, a->flags & ACCESS_USER ? 3 : 0);
    else
        snprintf(text, room, "%s", names[item->verb]);
}

const char *difference_place(const struct scenario *s, const struct difference *d, char *text,
                             size_t room)
{
    char item[80];
    switch (d->aspect) {
    case ASPECT_outcome:
        item_words(&s->script[d->at], item, sizeof item);
        snprintf(text, room, "script item %" PRIu64 ", %s", d->at, item);
        break;
    case ASPECT_memory:
        snprintf(text, room, "the word of memory at gpa 0x%" PRIx64, d->at);
        break;
    case ASPECT_faults:
        snprintf(text, room, "fault %" PRIu64 " of the guest's", d->at);
        break;
    case ASPECT_touched:
        snprintf(text, room, "number %" PRIu64 " of the frames touched", d->at);
        break;
    case ASPECT_written:
        snprintf(text, room, "number %" PRIu64 " of the frames written", d->at);
        break;
    case ASPECT_returned:
        snprintf(text, room, "number %" PRIu64 " of the frames that came back", d->at);
        break;
    case ASPECT_rewritten:
        snprintf(text, room, "number %" PRIu64 " of the protected frames written", d->at);
        break;
    case ASPECT_dirty:
        snprintf(text, room, "frame 0x%" PRIx64 " in the dirty set", d->at);
        break;
    default:
        snprintf(text, room, "KVM's counts");
    }
    return text;
}

/* ---- tables ---- */

/* Aspects that are not compared for one reason stand together. */
static void print_left_out(const struct verdict *v, FILE *out)
{
    bool told[ASPECT_COUNT] = {false}, any = false;
    for (enum aspect a = 0; a < ASPECT_COUNT; a++) {
        const char *why = v->skipped[a];
        if (!why || told[a])
            continue;
        fprintf(out, "%s  %s", any ? "" : "\nNot compared\n", aspect_name(a));
        for (enum aspect other = a + 1; other < ASPECT_COUNT; other++)
            if (v->skipped[other] && !strcmp(why, v->skipped[other])) {
                fprintf(out, ", %s", aspect_name(other));
                told[other] = true;
            }
        fputs("\n   ", out);
        fold_print(out, 3, "    ", why);
        any = true;
    }
}

static void print_compared(const struct verdict *v, FILE *out)
{
    fprintf(out, "\n%-10s %14s %10s\n", "Compared", "items", "differ");
    for (enum aspect a = 0; a < ASPECT_COUNT; a++) {
        if (v->skipped[a] || !v->compared[a])
            continue;
        int column = fprintf(out, "  %-8s %14s %10s ", aspect_name(a), grouped(v->compared[a]).text,
                             grouped(v->differing[a]).text);
        fold_print(out, column, "                                      ", aspect_what(a));
    }
    print_left_out(v, out);
}

/* Those that could have touched anything. */
static void print_masks(const struct verdict *v, FILE *out)
{
    bool any = false;
    for (enum mask m = 0; m < MASK_COUNT; m++)
        any |= v->in_reach[m] || v->masked[m];
    if (!any)
        return;
    fprintf(out, "\n%-20s %10s %10s\n", "Masks", "in reach", "explain");
    for (enum mask m = 0; m < MASK_COUNT; m++) {
        if (!v->in_reach[m] && !v->masked[m])
            continue;
        fprintf(out, "  %-18s %10s %10s\n", mask_name(m), grouped(v->in_reach[m]).text,
                grouped(v->masked[m]).text);
        fputs("   ", out);
        fold_print(out, 3, "    ", mask_why(m));
    }
}

static void print_differences(const struct validation *v, FILE *out)
{
    char place[160];
    uint64_t all = 0;
    for (enum aspect a = 0; a < ASPECT_COUNT; a++)
        all += v->verdict->differing[a];
    if (!v->verdict->n_first)
        return;
    fprintf(out, "\nThe first %u of %s differences\n", v->verdict->n_first, grouped(all).text);
    for (unsigned i = 0; i < v->verdict->n_first; i++) {
        const struct difference *d = &v->verdict->first[i];
        fprintf(out, "  %s: %s\n    model  %s\n    KVM    %s\n", aspect_name(d->aspect),
                difference_place(v->scenario, d, place, sizeof place), d->model, d->kvm);
    }
    if (!v->walk)
        return;
    fputs("\nThe walk on the model that the first one is about\n\n", out);
    walk_report_table(v->walk, out);
}

/* "KVM-AMD npt=1, nested paging, on Linux 6.1 (QEMU TCG)". */
static void print_where(const struct environment *e, FILE *out)
{
    fold_printf(out, 0, "  ", "KVM: %s, %s, on Linux %s, %s", e->driver, technique_words(e),
                e->kernel, e->machine);
}

const char *validation_second_stage(const struct validation *v)
{
    const struct vm_config *vm = &v->scenario->machine.vms[0];
    return vm->mode == MODE_NESTED ? second_name(vm->second_stage) : NULL;
}

void validation_print_table(const struct validation *v, FILE *out)
{
    const char *why = v->cannot ? v->cannot : v->failure;
    const char *second = validation_second_stage(v);
    fprintf(out, "%s (%s%s%s): %s\n", v->name, mode_name(v->scenario->machine.vms[0].mode),
            second ? ", " : "", second ? second : "",
            v->cannot ? "can't run on KVM here" : validation_verdict(v));
    if (why) {
        fold_print(out, 1, "  ", why);
        return;
    }
    print_where(v->environment, out);
    fprintf(out, "%s access%s\n", grouped(v->verdict->accesses).text,
            v->verdict->accesses == 1 ? "" : "es");
    print_compared(v->verdict, out);
    print_masks(v->verdict, out);
    print_differences(v, out);
}

/* ---- rows ---- */

static void print_row(const struct validation *v, const char *kind, const char *name,
                      uint64_t compared, uint64_t differing, const char *words, FILE *out)
{
    csv_field(out, v->name);
    fprintf(out, ",%s,", mode_name(v->scenario->machine.vms[0].mode));
    csv_field(out, v->environment->driver);
    fprintf(out, ",%s,%s,%s,%" PRIu64 ",%" PRIu64 ",", validation_verdict(v), kind, name, compared,
            differing);
    csv_field(out, words);
    fputc('\n', out);
}

void validation_print_csv(const struct validation *v, bool first, FILE *out)
{
    if (first)
        fputs("scenario,mode,driver,verdict,kind,name,compared,differ,words\n", out);
    if (v->cannot || v->failure) {
        print_row(v, "", "", 0, 0, v->cannot ? v->cannot : v->failure, out);
        return;
    }
    print_row(v, "", "accesses", v->verdict->accesses, 0, "", out);
    for (enum aspect a = 0; a < ASPECT_COUNT; a++) {
        const char *why = v->verdict->skipped[a];
        print_row(v, "aspect", aspect_name(a), v->verdict->compared[a], v->verdict->differing[a],
                  why ? why : "", out);
    }
    for (enum mask m = 0; m < MASK_COUNT; m++)
        print_row(v, "mask", mask_name(m), v->verdict->in_reach[m], v->verdict->masked[m], "", out);
}

/* ---- environments ---- */

static const struct {
    const char *name;
    size_t at;
} features[] = {
#define X(name) {#name, offsetof(struct environment, has.name)},
    GUEST_FEATURES(X)
#undef X
};

enum { FEATURES_NAMED = sizeof features / sizeof *features };

static bool has(const struct environment *e, unsigned feature)
{
    return *(const bool *)((const char *)e + features[feature].at);
}

void environment_print_table(const struct environment *e, FILE *out)
{
    char names[200] = "";
    fprintf(out, "KVM       %s, %s%s\n", e->driver, technique_words(e),
            e->emulates_supervisor ? "; code at CPL 0 is emulated" : "");
    fprintf(out, "Linux     %s\n", e->kernel);
    fprintf(out, "Computer  %s\n", e->machine);
    for (unsigned i = 0; i < FEATURES_NAMED; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s%s", *names ? ", " : "",
                 has(e, i) ? "" : "no ", features[i].name);
    fprintf(out, "Guests   ");
    fold_printf(out, 9, "          ", "physical addresses of %u bits; %s", e->maxphyaddr, names);
    fputs("Masks\n", out);
    for (enum mask m = 0; m < MASK_COUNT; m++)
        if (e->mask[m]) {
            int column = fprintf(out, "  %-19s", mask_name(m));
            fold_print(out, column, "                      ", mask_why(m));
        }
}

void environment_print_csv(const struct environment *e, FILE *out)
{
    fputs("name,value\n", out);
    fprintf(out, "driver,");
    csv_field(out, e->driver);
    fprintf(out, "\nkernel,");
    csv_field(out, e->kernel);
    fprintf(out, "\nmachine,");
    csv_field(out, e->machine);
    fprintf(out, "\nnested,%d\nemulates_supervisor,%d\nmaxphyaddr,%u\n", e->nested,
            e->emulates_supervisor, e->maxphyaddr);
    for (unsigned i = 0; i < FEATURES_NAMED; i++)
        fprintf(out, "has.%s,%d\n", features[i].name, has(e, i));
    for (enum mask m = 0; m < MASK_COUNT; m++)
        fprintf(out, "mask.%s,%d\n", mask_name(m), e->mask[m]);
}
