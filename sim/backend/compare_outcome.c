/* What became of each script item: what both can know of it, and what explains a difference. */
#include <inttypes.h>
#include <stdio.h>

#include "sim/backend/trial.h"

enum { PF = 14 };
enum { CODE_P = 1, CODE_W = 2, CODE_U = 4, CODE_RSVD = 8, CODE_FETCH = 16, CODE_KEY = 32 };

/* An outcome as it can be seen from inside a VM, by an instruction that was executed. */
struct sight {
    enum { SIGHT_OK, SIGHT_FAULT, SIGHT_STOP } kind;
    unsigned vector;
    uint32_t error_code;
    gva_t cr2;
    bool has_value;
    uint64_t value;
    uint64_t may_have; /* bits of the value that a refused walk may have set */
};

/* The script item that is compared, and the registers that it meets. */
struct at_item {
    const struct script_item *item;
    struct registers registers;
};

/* ---- what is seen ---- */

/* A bits of entries that a refused walk read, where a word read at @p gpa shows them. */
static uint64_t refused_bits(const struct trial *t, gpa_t gpa, unsigned size)
{
    gpa_t frame_end = (gpa | low_bits(FRAME_SHIFT)) + 1, end = gpa + size;
    uint64_t bits = 0;
    for (gpa_t entry = (gpa + 7) & ~(gpa_t)7; entry < end && entry < frame_end; entry += 8)
        bits |= trial_refused(t, entry) ? PTE_A << 8 * (entry - gpa) : 0;
    return bits;
}

/* Where there is no memory, all ones are read, and what is written is lost. */
static bool is_hole(const struct trial *t, const struct outcome *o)
{
    return o->kind == OUTCOME_EXIT && o->exit.address >= t->vm->memory &&
           (o->exit.reason == EXIT_FOR_second_stage_violation ||
            o->exit.reason == EXIT_FOR_hidden_fault);
}

static bool lies_in_a_page(const struct access *a)
{
    return (a->gva & low_bits(FRAME_SHIFT)) + a->size <= FRAME_BYTES;
}

static struct sight sight_of(const struct trial *t, const struct script_item *item,
                             const struct outcome *o)
{
    const struct access *a = &item->access;
    if (o->kind == OUTCOME_FAULT)
        return (struct sight){.kind = SIGHT_FAULT,
                              .vector = o->vector,
                              .error_code = o->error_code,
                              .cr2 = o->vector == PF ? o->cr2 : 0};
    if (is_hole(t, o))
        return (struct sight){.kind = SIGHT_OK,
                              .has_value = a->op == OP_READ && a->size <= 8 && lies_in_a_page(a),
                              .value = low_bits(8u * (a->size < 8 ? a->size : 8))};
    if (o->kind != OUTCOME_OK)
        return (struct sight){.kind = SIGHT_STOP};
    return (struct sight){.kind = SIGHT_OK,
                          .has_value = o->has_value,
                          .value = o->value,
                          .may_have =
                              o->has_value && o->has_gpa ? refused_bits(t, o->gpa, a->size) : 0};
}

static bool same(const struct sight *a, const struct sight *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == SIGHT_FAULT)
        return a->vector == b->vector && a->error_code == b->error_code && a->cr2 == b->cr2;
    return !a->has_value || !b->has_value || a->value == b->value;
}

/* ---- masks ---- */

static bool is_page_fault(const struct sight *s)
{
    return s->kind == SIGHT_FAULT && s->vector == PF;
}

static bool reserved_in_reach(const struct at_item *at, const struct sight *model)
{
    (void)at;
    return is_page_fault(model) && model->error_code & CODE_RSVD;
}

static bool reserved_explains(const struct at_item *at, const struct sight *model,
                              const struct sight *kvm)
{
    struct sight present = *kvm;
    (void)at;
    present.error_code |= CODE_P;
    return kvm->error_code & CODE_RSVD && same(model, &present);
}

/* With CR0.WP clear, nothing but SMAP and keys denies the supervisor's data a present page. */
static bool smap_in_reach(const struct at_item *at, const struct sight *model)
{
    const struct access *a = &at->item->access;
    bool placed = at->item->at_access || at->item->at_time; /* who knows what it meets */
    return at->item->verb == VERB_access && !placed && !a->flags && a->op != OP_EXEC &&
           at->registers.cr4 & CR4_SMAP && !(at->registers.cr0 & CR0_WP) && is_page_fault(model) &&
           (model->error_code & ~(uint32_t)CODE_W) == CODE_P;
}

static bool smap_explains(const struct at_item *at, const struct sight *model,
                          const struct sight *kvm)
{
    (void)at, (void)model;
    return kvm->kind == SIGHT_OK;
}

static bool top_in_reach(const struct at_item *at, const struct sight *model)
{
    const struct access *a = &at->item->access;
    (void)model;
    return at->item->verb == VERB_access && a->flags & ACCESS_USER && (a->gva >> 39 & 511) == 256;
}

/* Nothing is mapped there, or only what the hypervisor marks with reserved bits. */
static bool top_explains(const struct at_item *at, const struct sight *model,
                         const struct sight *kvm)
{
    const struct access *a = &at->item->access;
    bool mapped = kvm->error_code & CODE_P && !(kvm->error_code & CODE_RSVD);
    (void)model;
    return is_page_fault(kvm) && kvm->error_code & CODE_U && !mapped && kvm->cr2 - a->gva < a->size;
}

static bool accessed_in_reach(const struct at_item *at, const struct sight *model)
{
    (void)at;
    return model->may_have & ~model->value;
}

static bool accessed_explains(const struct at_item *at, const struct sight *model,
                              const struct sight *kvm)
{
    (void)at;
    return kvm->kind == SIGHT_OK && kvm->has_value &&
           !((kvm->value ^ model->value) & ~(model->may_have & ~model->value));
}

/* All but `stale`, which is about the model cold. */
static const struct outcome_mask {
    enum mask mask;
    bool (*in_reach)(const struct at_item *, const struct sight *model);
    bool (*explains)(const struct at_item *, const struct sight *model, const struct sight *kvm);
} outcome_masks[] = {
    {MASK_reserved_present, reserved_in_reach, reserved_explains},
    {MASK_smap_write_protect, smap_in_reach, smap_explains},
    {MASK_top_entry_256, top_in_reach, top_explains},
    {MASK_accessed_of_refused, accessed_in_reach, accessed_explains},
};

enum { OUTCOME_MASKS = sizeof outcome_masks / sizeof *outcome_masks };

/* The mask that makes the two the same, or MASK_COUNT. */
static enum mask explanation(const struct trial *t, const struct at_item *at,
                             const struct sight *model, const struct sight *kvm)
{
    for (unsigned i = 0; i < OUTCOME_MASKS; i++) {
        const struct outcome_mask *m = &outcome_masks[i];
        if (trial_masks(t, m->mask) && m->in_reach(at, model) && m->explains(at, model, kvm))
            return m->mask;
    }
    return MASK_COUNT;
}

/* ---- words ---- */

void error_code_words(uint32_t code, char *text, size_t room)
{
    static const char *const names[] = {"P", "W", "U", "RSVD", "I", "PK"};
    int n = snprintf(text, room, "error code 0x%" PRIx32, code);
    const char *before = " (";
    for (unsigned i = 0; i < sizeof names / sizeof *names && (size_t)n < room; i++)
        if (code >> i & 1) {
            n += snprintf(text + n, room - (size_t)n, "%s%s", before, names[i]);
            before = " ";
        }
    if (*before == ' ' && !before[1] && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, ")");
}

static void sight_words(const struct sight *s, char *text, size_t room)
{
    char code[48];
    if (s->kind == SIGHT_STOP)
        snprintf(text, room, "it can't be done");
    else if (s->kind == SIGHT_OK && s->has_value)
        snprintf(text, room, "ok, value 0x%" PRIx64, s->value);
    else if (s->kind == SIGHT_OK)
        snprintf(text, room, "ok");
    else if (s->vector != PF)
        snprintf(text, room, "#%s", s->vector == 13 ? "GP" : s->vector == 6 ? "UD" : "?");
    else
        error_code_words(s->error_code, code, sizeof code),
            snprintf(text, room, "#PF, %s, CR2 0x%" PRIx64, code, s->cr2);
}

static void tell(struct trial *t, unsigned i, const struct sight *model, const struct sight *kvm)
{
    char of_model[96], of_kvm[96];
    sight_words(model, of_model, sizeof of_model);
    sight_words(kvm, of_kvm, sizeof of_kvm);
    trial_differ(t, ASPECT_outcome, i, of_model, of_kvm);
}

/* ---- items ---- */

static void compare_item(struct trial *t, const struct at_item *at, unsigned i)
{
    struct sight model = sight_of(t, at->item, &t->model->outcome[i]);
    struct sight kvm = sight_of(t, at->item, &t->kvm->outcome[i]), cold = model;
    if (t->cold && i < t->cold->n_outcomes)
        cold = sight_of(t, at->item, &t->cold->outcome[i]);
    if (cold.kind == SIGHT_STOP)
        cold = model; /* what only a hypervisor can do: the model cold has none */
    bool stale = !same(&model, &cold);
    trial_stale(t, stale);
    trial_reach(t, MASK_stale, stale);
    for (unsigned m = 0; m < OUTCOME_MASKS; m++)
        trial_reach(t, outcome_masks[m].mask, outcome_masks[m].in_reach(at, &model));
    if (same(&model, &kvm))
        return;
    enum mask mask = explanation(t, at, &model, &kvm);
    if (mask == MASK_COUNT && stale && trial_masks(t, MASK_stale) &&
        (same(&cold, &kvm) || explanation(t, at, &cold, &kvm) != MASK_COUNT))
        mask = MASK_stale;
    if (mask == MASK_COUNT)
        tell(t, i, &model, &kvm);
    else
        t->verdict->masked[mask]++;
    if (model.kind != kvm.kind && !t->astray)
        t->astray = "an access ended in another way: what it would have touched is not known";
}

/* What an item leaves in the registers. */
static void follow_registers(struct at_item *at, const struct outcome *o)
{
    if (o->kind != OUTCOME_OK || at->item->at_access || at->item->at_time)
        return;
    if (at->item->verb == VERB_mov_cr0)
        at->registers.cr0 = at->item->value;
    else if (at->item->verb == VERB_mov_cr4)
        at->registers.cr4 = at->item->value;
}

void trial_outcomes(struct trial *t)
{
    struct at_item at = {.registers = t->vm->registers};
    if (!t->vm->raw)
        at.registers.cr0 |= CR0_WP;
    for (unsigned i = 0; i < t->model->n_outcomes; i++) {
        at.item = &t->scenario->script[i];
        compare_item(t, &at, i);
        follow_registers(&at, &t->model->outcome[i]);
        t->verdict->compared[ASPECT_outcome]++;
    }
}
