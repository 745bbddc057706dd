#include "sim/backend/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/backend/trial.h"

const char *aspect_name(enum aspect aspect)
{
    static const char *const names[] = {
#define X(name, what) #name,
        ASPECTS(X)
#undef X
    };
    return names[aspect];
}

const char *aspect_what(enum aspect aspect)
{
    static const char *const what[] = {
#define X(name, words) words,
        ASPECTS(X)
#undef X
    };
    return what[aspect];
}

struct difference *trial_differ(struct trial *t, enum aspect aspect, uint64_t at, const char *model,
                                const char *kvm)
{
    struct verdict *v = t->verdict;
    v->differing[aspect]++;
    if (v->n_first == DIFFERENCES_KEPT)
        return NULL;
    struct difference *d = &v->first[v->n_first++];
    *d = (struct difference){.aspect = aspect, .at = at};
    snprintf(d->model, sizeof d->model, "%s", model);
    snprintf(d->kvm, sizeof d->kvm, "%s", kvm);
    return d;
}

bool trial_refused(const struct trial *t, gpa_t gpa)
{
    return seen_has(&t->model->refused, gpa) || (t->cold && seen_has(&t->cold->refused, gpa));
}

/* ---- memory ---- */

static uint64_t word_of(const struct observation *seen, gpa_t gpa)
{
    uint64_t word;
    memcpy(&word, seen->memory + gpa, 8);
    return word;
}

/* Whether two memories have the same bytes in a frame. */
static bool same_frame(const struct observation *a, const struct observation *b, gpa_t gpa)
{
    return !memcmp(a->memory + gpa, b->memory + gpa, FRAME_BYTES);
}

static bool accessed_explains(const struct trial *t, gpa_t gpa, uint64_t model, uint64_t kvm)
{
    return trial_masks(t, MASK_accessed_of_refused) && kvm == (model | PTE_A) &&
           trial_refused(t, gpa);
}

static void compare_word(struct trial *t, gpa_t gpa, uint64_t model, uint64_t cold, uint64_t kvm)
{
    char of_model[24], of_kvm[24];
    bool stale = model != cold;
    trial_stale(t, stale);
    trial_reach(t, MASK_stale, stale);
    if (model == kvm)
        return;
    if (accessed_explains(t, gpa, model, kvm)) {
        t->verdict->masked[MASK_accessed_of_refused]++;
    } else if (stale && trial_masks(t, MASK_stale) &&
               (cold == kvm || accessed_explains(t, gpa, cold, kvm))) {
        t->verdict->masked[MASK_stale]++;
    } else {
        snprintf(of_model, sizeof of_model, "0x%" PRIx64, model);
        snprintf(of_kvm, sizeof of_kvm, "0x%" PRIx64, kvm);
        trial_differ(t, ASPECT_memory, gpa, of_model, of_kvm);
    }
}

/* Entries in which A may be set and is not; each once. */
static void reach_refused(struct trial *t, const struct seen_list *refused,
                          const struct seen_list *before)
{
    for (size_t i = 0; i < refused->n; i++) {
        gpa_t gpa = refused->word[i] & ~(gpa_t)7;
        if (gpa < t->model->n_memory && !(before && seen_has(before, gpa)))
            trial_reach(t, MASK_accessed_of_refused, !(word_of(t->model, gpa) & PTE_A));
    }
}

static void compare_memory(struct trial *t)
{
    const struct observation *model = t->model, *kvm = t->kvm;
    const struct observation *cold =
        t->cold && t->cold->n_memory == model->n_memory ? t->cold : model;
    for (gpa_t frame = 0; frame + FRAME_BYTES <= model->n_memory; frame += FRAME_BYTES) {
        t->verdict->compared[ASPECT_memory] += FRAME_BYTES / 8;
        if (same_frame(model, kvm, frame) && (cold == model || same_frame(model, cold, frame)))
            continue;
        for (gpa_t gpa = frame; gpa < frame + FRAME_BYTES; gpa += 8)
            compare_word(t, gpa, word_of(model, gpa), word_of(cold, gpa), word_of(kvm, gpa));
    }
    reach_refused(t, &model->refused, NULL);
    if (t->cold)
        reach_refused(t, &t->cold->refused, &model->refused);
}

/* ---- faults that reached the guest OS ---- */

static bool same_fault(const struct seen_fault *a, const struct seen_fault *b)
{
    return a->vector == b->vector && a->error_code == b->error_code && a->cr2 == b->cr2;
}

static bool same_faults(const struct observation *a, const struct observation *b)
{
    bool same = a->n_faults == b->n_faults;
    for (size_t i = 0; same && i < a->n_faults; i++)
        same = same_fault(&a->fault[i], &b->fault[i]);
    return same;
}

static void fault_words(const struct observation *seen, size_t i, char *text, size_t room)
{
    char code[48];
    if (i >= seen->n_faults) {
        snprintf(text, room, "no fault any more");
        return;
    }
    error_code_words(seen->fault[i].error_code, code, sizeof code);
    snprintf(text, room, "vector %u, %s, CR2 0x%" PRIx64, seen->fault[i].vector, code,
             seen->fault[i].cr2);
}

/* Bit P of an error code that has RSVD (bit 3). */
static bool reserved_explains(const struct seen_fault *model, const struct seen_fault *kvm)
{
    struct seen_fault present = *kvm;
    present.error_code |= 1;
    return kvm->error_code & 8 && same_fault(model, &present);
}

/* Sequences that have parted differ at each position from there on; the first is told. */
static struct difference *part(struct trial *t, enum aspect aspect, bool *parted, uint64_t at,
                               const char *model, const char *kvm)
{
    bool first = !*parted;
    *parted = true;
    if (first)
        return trial_differ(t, aspect, at, model, kvm);
    t->verdict->differing[aspect]++;
    return NULL;
}

static void compare_faults(struct trial *t)
{
    const struct observation *model = t->model, *kvm = t->kvm;
    size_t n = model->n_faults > kvm->n_faults ? model->n_faults : kvm->n_faults;
    bool parted = false;
    for (size_t i = 0; i < n; i++) {
        char of_model[96], of_kvm[96];
        bool both = i < model->n_faults && i < kvm->n_faults;
        bool reserved = both && model->fault[i].error_code & 8;
        trial_reach(t, MASK_reserved_present, reserved);
        t->verdict->compared[ASPECT_faults]++;
        if (!parted && both && same_fault(&model->fault[i], &kvm->fault[i]))
            continue;
        if (!parted && reserved && trial_masks(t, MASK_reserved_present) &&
            reserved_explains(&model->fault[i], &kvm->fault[i])) {
            t->verdict->masked[MASK_reserved_present]++;
            continue;
        }
        fault_words(model, i, of_model, sizeof of_model);
        fault_words(kvm, i, of_kvm, sizeof of_kvm);
        struct difference *d = part(t, ASPECT_faults, &parted, i, of_model, of_kvm);
        if (d)
            d->fault = i < model->n_faults ? model->fault[i] : kvm->fault[i];
    }
}

/* ---- frames ---- */

/* The next frame of a list, top tables left out. False: there is no more. */
static bool next_frame(const struct trial *t, const struct seen_list *list, size_t *i,
                       uint64_t *gfn)
{
    while (*i < list->n &&
           (seen_has(&t->model->roots, list->word[*i]) || seen_has(&t->kvm->roots, list->word[*i])))
        ++*i;
    *gfn = *i < list->n ? list->word[*i] : UINT64_MAX;
    return *gfn != UINT64_MAX;
}

static void frame_words(uint64_t gfn, char *text, size_t room)
{
    if (gfn == UINT64_MAX)
        snprintf(text, room, "no frame any more");
    else
        snprintf(text, room, "frame 0x%" PRIx64, gfn);
}

static void compare_order(struct trial *t, enum aspect aspect, const struct seen_list *model,
                          const struct seen_list *kvm)
{
    size_t i = 0, j = 0;
    uint64_t a, b;
    bool parted = false;
    for (uint64_t at = 0; next_frame(t, model, &i, &a) | next_frame(t, kvm, &j, &b); at++) {
        char of_model[40], of_kvm[40];
        frame_words(a, of_model, sizeof of_model);
        frame_words(b, of_kvm, sizeof of_kvm);
        t->verdict->compared[aspect]++;
        if (parted || a != b)
            part(t, aspect, &parted, at, of_model, of_kvm);
        i++;
        j++;
    }
}

static void compare_set(struct trial *t, enum aspect aspect, const struct seen_list *model,
                        const struct seen_list *kvm)
{
    size_t i = 0, j = 0;
    uint64_t a, b;
    while (next_frame(t, model, &i, &a) | next_frame(t, kvm, &j, &b)) {
        t->verdict->compared[aspect]++;
        if (a < b)
            trial_differ(t, aspect, a, "in it", "not in it");
        else if (b < a)
            trial_differ(t, aspect, b, "not in it", "in it");
        i += a <= b;
        j += b <= a;
    }
}

/* ---- counts ---- */

static void compare_counts(struct trial *t)
{
    static const struct {
        enum seen_count count;
        const char *name;
    } compared[] = {
        {SEEN_pf_taken, "pf_taken"}, {SEEN_pf_guest, "pf_guest"}, {SEEN_invlpg, "invlpg"}};
    for (unsigned i = 0; i < sizeof compared / sizeof *compared; i++) {
        uint64_t a = t->model->count[compared[i].count], b = t->kvm->count[compared[i].count];
        char of_model[48], of_kvm[48];
        t->verdict->compared[ASPECT_counts]++;
        if (a == b)
            continue;
        snprintf(of_model, sizeof of_model, "%s %" PRIu64, compared[i].name, a);
        snprintf(of_kvm, sizeof of_kvm, "%s %" PRIu64, compared[i].name, b);
        trial_differ(t, ASPECT_counts, compared[i].count, of_model, of_kvm);
    }
}

/* ---- what can be compared ---- */

static const char *why_not_technique(const struct trial *t)
{
    if (t->vm->mode == MODE_NESTED && !t->environment->nested)
        return "the scenario has a second stage, and KVM uses shadow tables here";
    if (t->vm->mode == MODE_SHADOW && t->environment->nested)
        return "the scenario is shadowed, and KVM uses a second stage here";
    return NULL;
}

static bool has_supervisor(const struct trial *t)
{
    for (unsigned i = 0; i < t->scenario->n_script; i++) {
        const struct script_item *item = &t->scenario->script[i];
        if (item->verb == VERB_access && !(item->access.flags & ACCESS_USER))
            return true;
    }
    return t->model->stores;
}

/* Linux brings frames of shared memory back in groups, for which the guest's touches are not seen.
 */
static const char *why_not_returned(const struct trial *t)
{
    if (!t->model->returned.n && !t->kvm->returned.n)
        return "no frame was dropped and touched again";
    return t->environment->nested ? NULL
                                  : "with shadow tables frames come back in groups: see the counts";
}

static const char *why_not_rewritten(const struct trial *t)
{
    bool none = !t->model->rewritten.n && !t->kvm->rewritten.n;
    return none ? "no frame was write-protected and written again" : NULL;
}

static bool has_other_second_stage(const struct trial *t)
{
    return second_stage_is_ept(t->vm->second_stage) == t->environment->npt;
}

static const char *why_not_counts(const struct trial *t)
{
    const char *why = why_not_technique(t);
    if (!why)
        why = t->astray;
    if (!why && t->environment->nested && has_other_second_stage(t))
        why = t->environment->npt ? "the scenario's second stage is EPT, and KVM's here is NPT"
                                  : "the scenario's second stage is NPT, and KVM's here is EPT";
    if (!why && t->environment->emulates_supervisor && has_supervisor(t))
        why = "code at CPL 0 is emulated here, and takes no fault of KVM's";
    if (!why && !t->environment->nested && t->model->late_stores)
        why = "tables were written after they were dropped: KVM fills the guest's own map of them "
              "ahead";
    return why;
}

static const char *first_of(const char *a, const char *b)
{
    return a ? a : b;
}

/* Why an aspect is not compared, as far as what both know tells; NULL: both know it. */
static const char *unknown(const struct trial *t, enum aspect aspect)
{
    const struct observation *m = t->model, *k = t->kvm;
    const bool known[ASPECT_COUNT][2] = {
        [ASPECT_outcome] = {m->has_outcomes, k->has_outcomes && m->n_outcomes == k->n_outcomes},
        [ASPECT_memory] = {m->has_memory, k->has_memory && m->n_memory == k->n_memory},
        [ASPECT_faults] = {m->has_faults, k->has_faults},
        [ASPECT_touched] = {m->has_order, k->has_order},
        [ASPECT_written] = {m->has_order, k->has_order},
        [ASPECT_dirty] = {m->has_dirty, k->has_dirty},
        [ASPECT_returned] = {m->has_order, k->has_order},
        [ASPECT_rewritten] = {m->has_order, k->has_order},
        [ASPECT_counts] = {m->has_counts, k->has_counts},
    };
    static const char frames[] = "the model gives frames one by one only in modes shadow and "
                                 "nested, with pages of 4 KiB";
    static const char *const of_model[ASPECT_COUNT] = {
        [ASPECT_outcome] = "the model did not keep outcomes",
        [ASPECT_memory] = "the VM's memory is more than is kept, or not its own: mode direct",
        [ASPECT_faults] = "the model did not keep faults",
        [ASPECT_touched] = frames,
        [ASPECT_written] = frames,
        [ASPECT_dirty] = frames,
        [ASPECT_returned] = frames,
        [ASPECT_rewritten] = frames,
        [ASPECT_counts] = "the model counts as KVM does only in modes nested, with pages of "
                          "4 KiB, and shadow, with KVM's policy",
    };
    return !known[aspect][0]   ? of_model[aspect]
           : !known[aspect][1] ? "KVM's side of it was not observed"
                               : NULL;
}

/* The same with all that the trial knows: outcomes and memory are compared first. */
static const char *why_not(const struct trial *t, enum aspect aspect)
{
    const char *why = unknown(t, aspect);
    switch (aspect) {
    case ASPECT_faults:
        if (t->vm->raw)
            return "a raw VM has no guest OS: its faults are outcomes";
        return first_of(why, t->astray);
    case ASPECT_touched:
        return first_of(why, t->astray);
    case ASPECT_written:
    case ASPECT_dirty:
        return first_of(why, first_of(why_not_technique(t), t->astray));
    case ASPECT_returned:
        return first_of(why,
                        first_of(why_not_technique(t), first_of(t->astray, why_not_returned(t))));
    case ASPECT_rewritten:
        return first_of(why,
                        first_of(why_not_technique(t), first_of(t->astray, why_not_rewritten(t))));
    case ASPECT_counts:
        return first_of(why, why_not_counts(t));
    default:
        return why;
    }
}

static void compare_aspect(struct trial *t, enum aspect aspect)
{
    switch (aspect) {
    case ASPECT_outcome:
        trial_outcomes(t);
        break;
    case ASPECT_memory:
        compare_memory(t);
        break;
    case ASPECT_faults:
        compare_faults(t);
        break;
    case ASPECT_touched:
        compare_order(t, aspect, &t->model->touched, &t->kvm->touched);
        break;
    case ASPECT_written:
        compare_order(t, aspect, &t->model->written, &t->kvm->written);
        break;
    case ASPECT_dirty:
        compare_set(t, aspect, &t->model->dirty, &t->kvm->dirty);
        break;
    case ASPECT_returned:
        compare_order(t, aspect, &t->model->returned, &t->kvm->returned);
        break;
    case ASPECT_rewritten:
        compare_order(t, aspect, &t->model->rewritten, &t->kvm->rewritten);
        break;
    default:
        compare_counts(t);
    }
}

void compare_observations(const struct scenario *s, const struct environment *environment,
                          const struct observation *model, const struct observation *cold,
                          const struct observation *kvm, struct verdict *v)
{
    struct trial t = {.scenario = s,
                      .vm = &s->machine.vms[0],
                      .environment = environment,
                      .model = model,
                      .cold = cold,
                      .kvm = kvm,
                      .verdict = v};
    *v = (struct verdict){.accesses = model->accesses};
    trial_stale(&t, cold && !same_faults(model, cold));
    for (enum aspect aspect = 0; aspect < ASPECT_COUNT; aspect++)
        if (!(v->skipped[aspect] = why_not(&t, aspect)))
            compare_aspect(&t, aspect);
}

bool verdict_agrees(const struct verdict *v)
{
    for (enum aspect aspect = 0; aspect < ASPECT_COUNT; aspect++)
        if (v->differing[aspect])
            return false;
    return true;
}
