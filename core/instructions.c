/*
 * The instructions that change or invalidate translations. What each must drop is SDM vol. 3,
 * 4.10.4.1, and exactly that is dropped; docs/MODEL.md has it cell by cell.
 */
#include "core/mmu.h"

static bool has_pcid(const struct mmu *m)
{
    return m->registers.cr4 & CR4_PCIDE;
}

static void drop_context(struct mmu *m, space_t space)
{
    lookaside_drop_space(&m->look, space);
    lookaside_drop_structure(&m->look, 0, space);
}

/* ---- which spaces ---- */

enum { ANY = -1, ANY_BUT_GLOBAL = -2 };

/* Whether a space holds linear or combined mappings of a VPID and PCID, of whatever EP4TA. */
static bool is_of(const struct space *s, int vpid, int pcid)
{
    if (s->pcid == PCID_PHYSICAL || (vpid != ANY && s->vpid != vpid))
        return false;
    return pcid == ANY || (pcid == ANY_BUT_GLOBAL ? s->pcid != PCID_GLOBAL : s->pcid == pcid);
}

/* What happens to each space of a kind. */
struct victim {
    struct mmu *mmu;
    gva_t gva;
};

static void drop_all_of(const struct victim *v, space_t space)
{
    drop_context(v->mmu, space);
}

static void drop_structure_of(const struct victim *v, space_t space)
{
    lookaside_drop_structure(&v->mmu->look, 0, space);
}

static void drop_page_of(const struct victim *v, space_t space)
{
    lookaside_drop_page(&v->mmu->look, &v->mmu->stage[0].format, v->gva, space, 0);
}

static void drop_address_of(const struct victim *v, space_t space)
{
    drop_page_of(v, space);
    lookaside_drop_path(&v->mmu->look, 0, &v->mmu->stage[0].format, v->gva, space);
}

static void each(struct mmu *m, int vpid, int pcid, gva_t gva,
                 void (*drop)(const struct victim *, space_t))
{
    const struct victim victim = {m, gva};
    for (unsigned i = 0; i < m->spaces; i++)
        if (is_of(&m->known[i], vpid, pcid))
            drop(&victim, space_numbered(i + 1));
}

static int current_pcid(const struct mmu *m)
{
    return has_pcid(m) ? (int)(m->registers.cr3 & CR3_PCID) : 0;
}

uint32_t mmu_error_code(const struct mmu *m, const struct refusal *r)
{
    const struct registers *regs = &m->registers;
    bool exec = (r->access & KIND_OP) == KIND_EXEC;
    bool told_apart =
        regs->cr4 & CR4_SMEP || (regs->cr4 & CR4_PAE && regs->efer & EFER_NXE); /* fetches */
    unsigned bits[] = {
        r->kind != REFUSED_NOT_PRESENT ? PF_PRESENT : 0,
        (r->access & KIND_OP) == KIND_WRITE ? PF_WRITE : 0,
        r->access & KIND_USER ? PF_USER : 0,
        r->kind == REFUSED_RESERVED ? PF_RESERVED : 0,
        exec && told_apart ? PF_FETCH : 0,
        r->key ? PF_KEY : 0,
    };
    uint32_t code = 0;
    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++)
        code |= bits[i];
    return code;
}

void mmu_page_fault(struct mmu *m, gva_t gva, const struct refusal *r)
{
    NOTE(&m->tally, FAULT, 0, r->level, r->kind, gva, mmu_error_code(m, r));
    if (r->kind == REFUSED_CANONICAL)
        return;
    each(m, m->vpid, current_pcid(m), gva, drop_address_of);
}

void mmu_invlpg(struct mmu *m, gva_t gva)
{
    NOTE(&m->tally, INVLPG, 0, 0, 0, gva, 0);
    if (!format_canonical(&m->stage[0].format, gva))
        return;
    each(m, m->vpid, current_pcid(m), gva, drop_page_of);
    each(m, m->vpid, PCID_GLOBAL, gva, drop_page_of);
    each(m, m->vpid, current_pcid(m), gva, drop_structure_of);
}

static const char *invpcid_fault(const struct mmu *m, unsigned type, uint16_t pcid, gva_t gva)
{
    if (type > 3)
        return "INVPCID has types 0 to 3";
    if (type <= 1 && (pcid > CR3_PCID || (pcid && !has_pcid(m))))
        return "INVPCID of a PCID that can't be: 0 to 4095, and only 0 without CR4.PCIDE";
    if (type == 0 && !format_canonical(&m->stage[0].format, gva))
        return "INVPCID of a non-canonical address";
    return NULL;
}

const char *mmu_invpcid(struct mmu *m, unsigned type, uint16_t pcid, gva_t gva)
{
    const char *fault = invpcid_fault(m, type, pcid, gva);
    if (fault)
        return fault;
    NOTE(&m->tally, INVPCID, 0, 0, type, gva, pcid);
    if (type == 0)
        each(m, m->vpid, pcid, gva, drop_address_of);
    else
        each(m, m->vpid, type == 1 ? pcid : type == 2 ? ANY : ANY_BUT_GLOBAL, 0, drop_all_of);
    return NULL;
}

/* Makes @p to the registers, or says why it is a #GP. */
static const char *change(struct mmu *m, const struct bus *bus, const struct registers *to,
                          bool load_pdptes)
{
    const char *fault = control_change_fault(&m->registers, to, &m->profile);
    return fault ? fault : mmu_adopt(m, bus, to, load_pdptes);
}

const char *mmu_mov_cr3(struct mmu *m, const struct bus *bus, uint64_t value)
{
    bool keep = has_pcid(m) && value & CR3_KEEP;
    struct registers to = m->registers;
    to.cr3 = has_pcid(m) ? value & ~CR3_KEEP : value;
    if (m->geometry.levels)
        mmu_set_textbook(m, &m->geometry, value);
    const char *fault = m->geometry.levels ? NULL : change(m, bus, &to, true);
    if (fault)
        return fault;
    NOTE(&m->tally, MOV_CR3, 0, 0, 0, 0, value);
    mmu_enter_space(m);
    if (!keep)
        each(m, m->vpid, current_pcid(m), 0, drop_all_of);
    return NULL;
}

const char *mmu_mov_cr0(struct mmu *m, const struct bus *bus, uint64_t value)
{
    struct registers from = m->registers, to = from;
    uint64_t cache_bits = (uint64_t)3 << 29; /* CD and NW */
    to.cr0 = value;
    const char *fault = change(m, bus, &to, (from.cr0 ^ value) & (CR0_PG | cache_bits));
    if (fault)
        return fault;
    NOTE(&m->tally, MOV_CR0, 0, 0, 0, 0, value);
    if (from.cr0 & ~value & CR0_PG)
        mmu_drop_all(m);
    return NULL;
}

const char *mmu_mov_cr4(struct mmu *m, const struct bus *bus, uint64_t value)
{
    struct registers from = m->registers, to = from;
    uint64_t changed = from.cr4 ^ value;
    to.cr4 = value;
    const char *fault = change(m, bus, &to, changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP));
    if (fault)
        return fault;
    NOTE(&m->tally, MOV_CR4, 0, 0, 0, 0, value);
    int was = from.cr4 & CR4_PCIDE ? (int)(from.cr3 & CR3_PCID) : 0;
    if (changed & CR4_PGE || from.cr4 & ~value & CR4_PCIDE) {
        mmu_drop_all(m);
    } else if (changed & CR4_PAE || value & ~from.cr4 & CR4_SMEP) {
        each(m, m->vpid, was, 0, drop_all_of);
        each(m, m->vpid, PCID_GLOBAL, 0, drop_all_of);
    }
    mmu_enter_space(m);
    return NULL;
}

const char *mmu_wrmsr_efer(struct mmu *m, const struct bus *bus, uint64_t value)
{
    struct registers to = m->registers;
    to.efer = value;
    const char *fault = change(m, bus, &to, false);
    if (!fault)
        NOTE(&m->tally, WRMSR_EFER, 0, 0, 0, 0, value);
    return fault;
}

void mmu_wrpkru(struct mmu *m, uint32_t value)
{
    m->registers.pkru = value;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        m->stage[0].deny_key[kind] = 0;
        for (unsigned key = 0; key < 16; key++)
            m->stage[0].deny_key[kind] |=
                (uint16_t)(control_key_denies(&m->registers, kind, key) << key);
    }
    mmu_work_out(m);
    NOTE(&m->tally, WRPKRU, 0, 0, 0, 0, value);
}

const char *mmu_execute(struct mmu *m, const struct bus *bus, const struct instruction *i)
{
    switch (i->name) {
    case INSTRUCTION_INVLPG:
        mmu_invlpg(m, i->gva);
        return NULL;
    case INSTRUCTION_INVPCID:
        return mmu_invpcid(m, i->type, i->pcid, i->gva);
    case INSTRUCTION_MOV_CR3:
        return mmu_mov_cr3(m, bus, i->value);
    case INSTRUCTION_MOV_CR0:
        return mmu_mov_cr0(m, bus, i->value);
    case INSTRUCTION_MOV_CR4:
        return mmu_mov_cr4(m, bus, i->value);
    case INSTRUCTION_WRMSR_EFER:
        return mmu_wrmsr_efer(m, bus, i->value);
    default:
        mmu_wrpkru(m, (uint32_t)i->value);
        return NULL;
    }
}

/* ---- what the hypervisor does: SDM vol. 3, 28.3.3 ---- */

void mmu_drop_all(struct mmu *m)
{
    each(m, m->vpid, ANY, 0, drop_all_of);
}

void mmu_drop_page(struct mmu *m, gva_t gva)
{
    each(m, m->vpid, ANY, gva, drop_address_of);
}

const char *mmu_invept(struct mmu *m, unsigned type, uint64_t root)
{
    if (type != 1 && type != 2)
        return "INVEPT has types 1 and 2";
    uint64_t ep4ta = (root & low_bits(52) & ~low_bits(12)) + 1;
    for (unsigned i = 0; i < m->spaces; i++) {
        const struct space *s = &m->known[i];
        space_t space = space_numbered(i + 1);
        if (!s->ep4ta || (type == 1 && s->ep4ta != ep4ta && s->below != ep4ta))
            continue;
        drop_context(m, space);
        for (unsigned depth = 1; depth < STAGES_MAX; depth++) /* also those not in use now */
            lookaside_drop_physical(&m->look, depth, space);
    }
    return NULL;
}

const char *mmu_invvpid(struct mmu *m, unsigned type, uint16_t vpid, gva_t gva)
{
    if (type > 3)
        return "INVVPID has types 0 to 3";
    if (type != 2 && !vpid)
        return "INVVPID of VPID 0, which is the hypervisor's own";
    if (type == 0 && !format_canonical(&m->stage[0].format, gva))
        return "INVVPID of a non-canonical address";
    if (type == 0)
        each(m, vpid, ANY, gva, drop_address_of);
    else if (type == 1)
        each(m, vpid, ANY, 0, drop_all_of);
    else if (type == 3)
        each(m, vpid, ANY_BUT_GLOBAL, 0, drop_all_of);
    else
        for (unsigned i = 0; i < m->spaces; i++)
            if (m->known[i].vpid && m->known[i].pcid != PCID_PHYSICAL)
                drop_context(m, space_numbered(i + 1));
    return NULL;
}

void mmu_vm_transition(struct mmu *m)
{
    if (!m->vpid)
        mmu_drop_all(m);
}

void mmu_second_stage_fault(struct mmu *m, gva_t gva, const struct refusal *r)
{
    if (!r->no_linear) {
        lookaside_drop_page(&m->look, &m->stage[0].format, gva, m->space[0], m->global);
        lookaside_drop_path(&m->look, 0, &m->stage[0].format, gva, m->space[0]);
    }
    lookaside_drop_frame(&m->look, r->depth, &m->stage[r->depth].format, r->ia, m->space[r->depth]);
}

void mmu_cool(struct mmu *m, const struct bus *bus)
{
    lookaside_flush(&m->look);
    lookaside_flush_data(&m->look);
    if (bus->llc)
        memo_flush(bus->llc);
}
