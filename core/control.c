#include "core/control.h"

#include <string.h>

unsigned control_paging(const struct registers *r)
{
    if (!(r->cr0 & CR0_PG))
        return 0;
    if (!(r->cr4 & CR4_PAE))
        return PAGING_2_LEVEL;
    if (!(r->efer & EFER_LME))
        return PAGING_PAE;
    return r->cr4 & CR4_LA57 ? PAGING_5_LEVEL : PAGING_4_LEVEL;
}

/* SDM vol. 3, 4.6.1: determination of access rights. */
bool control_allows(const struct registers *r, unsigned kind, uint32_t rights)
{
    bool user = kind & KIND_USER, user_page = rights & MAY_USER;
    unsigned op = kind & KIND_OP;
    if ((user && !user_page) || (op != KIND_EXEC && !(rights & MAY_READ)))
        return false; /* MAY_READ is withheld only by a second stage */
    if (op == KIND_EXEC)
        return rights & MAY_EXEC && (user || !user_page || !(r->cr4 & CR4_SMEP));
    if (!user && user_page && r->cr4 & CR4_SMAP && !(kind & KIND_AC))
        return false;
    return op == KIND_READ || rights & MAY_WRITE || (!user && !(r->cr0 & CR0_WP));
}

/* SDM vol. 3, 4.6.2: protection keys concern data accesses to user pages in IA-32e paging. */
bool control_key_denies(const struct registers *r, unsigned kind, unsigned key)
{
    bool long_mode = control_paging(r) >= PAGING_4_LEVEL;
    if (!long_mode || !(r->cr4 & CR4_PKE) || (kind & KIND_OP) == KIND_EXEC)
        return false;
    bool access_disable = r->pkru >> (2 * key) & 1, write_disable = r->pkru >> (2 * key + 1) & 1;
    bool write = (kind & KIND_OP) == KIND_WRITE;
    return access_disable || (write_disable && write && (kind & KIND_USER || r->cr0 & CR0_WP));
}

static void work_out_rights(struct stage *stage, const struct registers *r)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < 16; i++) {
            stage->allow[kind] |= (uint16_t)(control_allows(r, kind, i) << i);
            stage->deny_key[kind] |= (uint16_t)(control_key_denies(r, kind, i) << i);
        }
}

uint64_t control_root(const struct registers *r)
{
    unsigned paging = control_paging(r);
    return r->cr3 & (paging == PAGING_2_LEVEL ? 0xfffff000
                     : paging == PAGING_PAE   ? 0xffffffe0
                                              : low_bits(52) & ~low_bits(12));
}

struct stage control_stage(const struct registers *r, const struct profile *profile)
{
    struct stage stage = {0};
    unsigned paging = control_paging(r);
    struct format_limits limits = {
        .maxphyaddr = profile->maxphyaddr,
        .nx = r->efer & EFER_NXE,
        .pse = r->cr4 & CR4_PSE,
        .pages_1g = profile_has(profile, FEATURE_pdpe1gb),
        .global = r->cr4 & CR4_PGE,
        .keys = r->cr4 & CR4_PKE,
    };
    if (paging) {
        stage.format = format_x86(paging, &limits);
        stage.root = control_root(r);
    } else {
        stage.format.ia_bits = 64; /* no levels: the identity */
    }
    work_out_rights(&stage, r);
    return stage;
}

struct stage control_textbook(const struct geometry *geometry, uint64_t root)
{
    struct stage stage = {.format = format_textbook(geometry), .root = root};
    memset(stage.allow, 0xff, sizeof stage.allow);
    return stage;
}

/* Control bits that a processor without the feature reserves. */
static const char *feature_fault(const struct registers *r, const struct profile *profile)
{
    static const struct {
        uint64_t cr4, efer;
        enum feature feature;
        const char *words;
    } needs[] = {
        {CR4_PGE, 0, FEATURE_pge, "CR4.PGE is set, but the machine has no global pages"},
        {CR4_PCIDE, 0, FEATURE_pcid, "CR4.PCIDE is set, but the machine has no PCIDs"},
        {CR4_SMEP, 0, FEATURE_smep, "CR4.SMEP is set, but the machine has no SMEP"},
        {CR4_SMAP, 0, FEATURE_smap, "CR4.SMAP is set, but the machine has no SMAP"},
        {CR4_PKE, 0, FEATURE_pku, "CR4.PKE is set, but the machine has no protection keys"},
        {CR4_LA57, 0, FEATURE_la57, "CR4.LA57 is set, but the machine has no 5-level paging"},
        {0, EFER_NXE, FEATURE_nx, "EFER.NXE is set, but the machine has no execute-disable"},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if ((r->cr4 & needs[i].cr4 || r->efer & needs[i].efer) &&
            !profile_has(profile, needs[i].feature))
            return needs[i].words;
    return NULL;
}

/* SDM vol. 3, 2.5 and 4.1.1. */
const char *control_fault(const struct registers *r, const struct profile *profile)
{
    bool paging = r->cr0 & CR0_PG, long_mode = paging && r->efer & EFER_LME;
    if (paging && !(r->cr0 & CR0_PE))
        return "CR0.PG needs CR0.PE";
    if (long_mode && !(r->cr4 & CR4_PAE))
        return "EFER.LME with CR0.PG needs CR4.PAE";
    if (r->cr4 & CR4_PCIDE && !long_mode)
        return "CR4.PCIDE needs IA-32e paging (CR0.PG, CR4.PAE, EFER.LME)";
    if (!long_mode && r->cr3 >> 32)
        return "CR3 has 32 bits outside IA-32e paging";
    if (long_mode && r->cr3 & ~low_bits(profile->maxphyaddr))
        return "CR3 has a bit set at or above MAXPHYADDR";
    return feature_fault(r, profile);
}

const char *control_change_fault(const struct registers *from, const struct registers *to,
                                 const struct profile *profile)
{
    bool was_long = from->cr0 & CR0_PG && from->efer & EFER_LME;
    bool stays_long = was_long && to->cr0 & CR0_PG;
    if (from->cr0 & CR0_PG && (from->efer ^ to->efer) & EFER_LME)
        return "EFER.LME can't change while CR0.PG is set";
    if (stays_long && !(to->cr4 & CR4_PAE))
        return "CR4.PAE can't be cleared in IA-32e mode";
    if (stays_long && (from->cr4 ^ to->cr4) & CR4_LA57)
        return "CR4.LA57 can't change in IA-32e mode";
    if (to->cr4 & CR4_PCIDE && !(from->cr4 & CR4_PCIDE) && from->cr3 & CR3_PCID)
        return "CR4.PCIDE can't be set while CR3[11:0] is not 0";
    if (from->cr4 & CR4_PCIDE && was_long && !(to->cr0 & CR0_PG))
        return "CR0.PG can't be cleared while CR4.PCIDE is set";
    return control_fault(to, profile);
}
