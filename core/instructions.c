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

uint32_t mmu_error_code(const struct mmu *m, const struct refusal *r)
{
    const struct registers *regs = &m->registers;
    bool exec = (r->access & KIND_OP) == KIND_EXEC;
    bool told_apart =
        regs->cr4 & CR4_SMEP || (regs->cr4 & CR4_PAE && regs->efer & EFER_NXE); /* fetches */
    return (uint32_t)(r->kind != REFUSED_NOT_PRESENT) << 0 |
           (uint32_t)((r->access & KIND_OP) == KIND_WRITE) << 1 |
           (uint32_t)((r->access & KIND_USER) != 0) << 2 |
           (uint32_t)(r->kind == REFUSED_RESERVED) << 3 | (uint32_t)(exec && told_apart) << 4 |
           (uint32_t)r->key << 5;
}

void mmu_page_fault(struct mmu *m, gva_t gva, const struct refusal *r)
{
    NOTE(&m->tally, FAULT, 0, r->level, r->kind, gva, mmu_error_code(m, r));
    if (r->kind == REFUSED_CANONICAL)
        return;
    lookaside_drop_page(&m->look, &m->stage[0].format, gva, m->space[0], 0);
    lookaside_drop_path(&m->look, 0, &m->stage[0].format, gva, m->space[0]);
}

void mmu_invlpg(struct mmu *m, gva_t gva)
{
    NOTE(&m->tally, INVLPG, 0, 0, 0, gva, 0);
    if (!format_canonical(&m->stage[0].format, gva))
        return;
    lookaside_drop_page(&m->look, &m->stage[0].format, gva, m->space[0], m->global);
    lookaside_drop_structure(&m->look, 0, m->space[0]);
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
    space_t space = type <= 1 ? mmu_space(m, pcid) : 0;
    mmu_enter_space(m); /* in case numbering that PCID made all numbers new */
    switch (type) {
    case 0:
        lookaside_drop_page(&m->look, &m->stage[0].format, gva, space, 0);
        lookaside_drop_path(&m->look, 0, &m->stage[0].format, gva, space);
        break;
    case 1:
        drop_context(m, space);
        break;
    case 2:
        lookaside_flush(&m->look);
        break;
    default:
        for (unsigned i = 0; i < m->spaces; i++)
            if (m->known[i].pcid != PCID_GLOBAL)
                drop_context(m, space_numbered(i + 1));
    }
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
        drop_context(m, m->space[0]);
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
        lookaside_flush(&m->look);
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
    space_t was = m->space[0];
    if (changed & CR4_PGE || from.cr4 & ~value & CR4_PCIDE) {
        lookaside_flush(&m->look);
    } else if (changed & CR4_PAE || value & ~from.cr4 & CR4_SMEP) {
        drop_context(m, was);
        lookaside_drop_space(&m->look, m->global);
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

void mmu_cool(struct mmu *m, const struct bus *bus)
{
    lookaside_flush(&m->look);
    lookaside_flush_data(&m->look);
    if (bus->llc)
        memo_flush(bus->llc);
}
