#include "sim/report/words.h"

#include <stdarg.h>
#include <stdio.h>

const char *dimension_name(unsigned stages, unsigned depth)
{
    static const char *const names[STAGES_MAX][STAGES_MAX] = {
        {"guest"}, {"guest", "host"}, {"l2", "l1", "l0"}};
    return names[stages ? stages - 1 : 0][depth];
}

const char *structure_name(unsigned level)
{
    static const char *const names[] = {"", "pte", "pde", "pdpte", "pml4", "pml5"};
    return names[level];
}

const char *structure_title(unsigned level)
{
    static const char *const titles[] = {"", "PTE", "PDE", "PDPTE", "PML4", "PML5"};
    return titles[level];
}

const char *second_name(enum second_stage kind)
{
    static const char *const names[SECOND_STAGES] = {SECOND_STAGE_WORDS};
    return names[kind];
}

const char *exit_address_name(enum exit_reason reason)
{
    static const char *const names[EXIT_REASON_COUNT] = {
        [EXIT_FOR_second_stage_violation] = "gpa",
        [EXIT_FOR_second_stage_misconfiguration] = "gpa",
        [EXIT_FOR_table_write] = "gpa",
        [EXIT_FOR_log_full] = "gpa",
        [EXIT_FOR_page_fault] = "gva",
        [EXIT_FOR_bounced_fault] = "gva",
        [EXIT_FOR_invlpg] = "gva",
    };
    return names[reason] ? names[reason] : "address";
}

const char *refusal_words(enum refusal_kind kind)
{
    static const char *const words[REFUSALS] = {
        [REFUSED_NOT] = "was not refused",
        [REFUSED_NOT_PRESENT] = "was not present",
        [REFUSED_RESERVED] = "had a reserved bit set",
        [REFUSED_PROTECTION] = "denied it",
        [REFUSED_CANONICAL] = "was never reached",
        [REFUSED_LOG_FULL] = "would have been logged, and the log was full",
    };
    return words[kind];
}

/* ---- qualifications ---- */

struct clauses {
    char *text;
    size_t room, n;
};

static void add(struct clauses *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct clauses *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(c->text + c->n, c->room - c->n, format, list);
    va_end(list);
    c->n += n > 0 ? (size_t)n : 0;
    c->n = c->n < c->room ? c->n : c->room - 1;
}

/* The names of the bits that are set, or what to say of none. */
static void add_bits(struct clauses *c, uint64_t bits, const char *const *names, unsigned n,
                     const char *between, const char *none)
{
    bool begun = false;
    for (unsigned i = 0; i < n; i++)
        if (bits >> i & 1) {
            add(c, "%s%s", begun ? between : "", names[i]);
            begun = true;
        }
    if (!begun)
        add(c, "%s", none);
}

/* SDM vol. 3, table 27-7. */
static void ept_clauses(struct clauses *c, uint64_t q)
{
    static const char *const acts[] = {"a read", "a write", "a fetch"};
    static const char *const rights[] = {"R", "W", "X"};
    add_bits(c, q & 7, acts, 3, " that counts as ", "an access");
    if (!(q >> 7 & 1))
        add(c, ", with no guest-virtual address told");
    else
        add(c, ", %s", q >> 8 & 1 ? "for the data itself" : "for a table of the guest");
    add(c, "; of R, W and X ");
    add_bits(c, q >> 3 & 7, rights, 3, ", ", "none");
    add(c, "%s there", q >> 3 & 7 & ((q >> 3 & 7) - 1) ? " were" : " was");
    if (q >> 6 & 1)
        add(c, ", and X for user code");
}

/* APM vol. 2, 15.25.6. */
static void npf_clauses(struct clauses *c, uint64_t info)
{
    add(c, "%s", info >> 4 & 1 ? "a fetch" : info >> 1 & 1 ? "a write" : "a read");
    add(c, ", %s; ",
        info >> 33 & 1   ? "for a table of the guest"
        : info >> 32 & 1 ? "for the data itself"
                         : "");
    add(c, "%s",
        info >> 3 & 1 ? "an entry has a reserved bit set (RSV)"
        : info & 1    ? "the page is there, but its rights deny it (P)"
                      : "something is not present (P clear)");
}

const char *qualification_words(enum second_stage kind, enum exit_reason reason, uint64_t q,
                                char *text, size_t room)
{
    struct clauses c = {text, room, 0};
    text[0] = 0;
    if (!second_stage_is_ept(kind))
        npf_clauses(&c, q);
    else if (reason == EXIT_FOR_second_stage_violation)
        ept_clauses(&c, q);
    return text;
}

/* ---- entries ---- */

void ept_letters(const struct format *f, unsigned level, uint64_t entry, char *text)
{
    static const char *const types[] = {"uc", "wc", "??", "??", "wt", "wp", "wb", "??"};
    bool present = format_present(f, entry), leaf = present && format_is_leaf(f, level, entry);
    const struct {
        char letter;
        bool there, means;
        uint64_t bit;
    } bits[] = {
        {'R', true, true, EPT_R},
        {'W', true, true, EPT_W},
        {'X', true, true, EPT_X},
        {'U', f->user_exec, true, EPT_XU},
        {'A', true, present && f->accessed, EPT_A},
        {'D', true, leaf && f->dirty, EPT_D},
        {'S', true, present && f->leaf_levels >> level & 1 && level > 1, EPT_PS},
    };
    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++)
        if (bits[i].there)
            *text++ = (char)(!bits[i].means ? '.' : entry & bits[i].bit ? bits[i].letter : '-');
    sprintf(text, "%s", leaf ? types[entry >> EPT_TYPE_SHIFT & 7] : "..");
}
