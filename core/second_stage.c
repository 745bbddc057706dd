#include "core/second_stage.h"

static unsigned levels_of(enum second_stage kind)
{
    static const uint8_t levels[SECOND_STAGES] = {[SECOND_EPT4] = 4,
                                                  [SECOND_EPT5] = 5,
                                                  [SECOND_NPT4] = 4,
                                                  [SECOND_NPT5] = 5,
                                                  [SECOND_FLAT] = 1};
    return levels[kind];
}

/* ---- rights ---- */

/* SDM vol. 3, 28.2.3.2. With mode-based execute control MAY_USER is bit 10, execute for user. */
static bool ept_allows(const struct second_stage_controls *c, unsigned kind, uint32_t rights)
{
    switch (kind & KIND_OP) {
    case KIND_READ:
        return rights & MAY_READ;
    case KIND_WRITE:
        return rights & MAY_WRITE;
    default:
        return rights & (c->mode_based_execute && kind & KIND_USER ? MAY_USER : MAY_EXEC);
    }
}

/* APM vol. 2, 15.25.5: every access is a user access, CR0.WP has no say. */
static bool npt_allows(unsigned kind, uint32_t rights)
{
    unsigned op = kind & KIND_OP;
    return rights & MAY_USER && (op != KIND_WRITE || rights & MAY_WRITE) &&
           (op != KIND_EXEC || rights & MAY_EXEC);
}

struct stage second_stage(const struct second_stage_controls *c, const struct profile *profile)
{
    struct stage stage = {.root = c->pointer & low_bits(52) & ~low_bits(12)};
    bool ept = second_stage_is_ept(c->kind);
    struct format_limits limits = {.maxphyaddr = profile->maxphyaddr,
                                   .nx = !c->no_nx,
                                   .pages_1g = profile_has(profile, FEATURE_pdpe1gb)};
    struct ept_limits ept_limits = {.maxphyaddr = profile->maxphyaddr,
                                    .levels = (uint8_t)levels_of(c->kind),
                                    .flat_bits = c->flat_bits,
                                    .accessed_dirty = c->pointer & EPTP_AD,
                                    .mode_based_execute = c->mode_based_execute,
                                    .execute_only = c->execute_only,
                                    .pages_1g = limits.pages_1g};
    stage.format =
        ept ? format_ept(&ept_limits) : format_x86((enum paging)levels_of(c->kind), &limits);
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned rights = 0; rights <= MAY_ALL; rights++) {
            bool allows = ept ? ept_allows(c, kind, rights) : npt_allows(kind, rights);
            stage.allow[kind] |= (uint16_t)(allows << rights);
        }
    /* With A/D, and always in NPT, the read of a guest's table entry counts as a write of it. */
    stage.npt = !ept;
    stage.table_op = ept && !(c->pointer & EPTP_AD) ? KIND_READ : KIND_WRITE;
    return stage;
}

/* SDM vol. 3, 26.2.1.1: checks on the EPTP at VM entry. */
const char *second_stage_fault(const struct second_stage_controls *c, const struct profile *p)
{
    uint64_t beyond = ~low_bits(p->maxphyaddr);
    if (!second_stage_is_ept(c->kind))
        return c->pointer & beyond ? "nCR3 reaches beyond the machine's physical addresses" : NULL;
    if ((c->pointer & EPTP_TYPE) != 0 && (c->pointer & EPTP_TYPE) != 6)
        return "the EPTP's memory type (bits 2:0) is neither 0 (UC) nor 6 (WB)";
    if (c->kind != SECOND_FLAT && ((c->pointer & EPTP_LEVELS) >> 3) + 1 != levels_of(c->kind))
        return "the EPTP's bits 5:3 are not the number of levels less one";
    if (c->pointer & (low_bits(12) & ~low_bits(7)))
        return "the EPTP has reserved bits set (11:7)";
    return c->pointer & beyond ? "the EPTP reaches beyond the machine's physical addresses" : NULL;
}

uint64_t second_stage_pointer(enum second_stage kind, hpa_t root, bool accessed_dirty)
{
    if (!second_stage_is_ept(kind))
        return root;
    return root | (uint64_t)(levels_of(kind) - 1) << 3 | 6 | (accessed_dirty ? EPTP_AD : 0);
}

/* ---- what the hypervisor is told ---- */

bool second_stage_is_misconfiguration(const struct second_stage_controls *c,
                                      const struct refusal *r)
{
    return second_stage_is_ept(c->kind) && r->kind == REFUSED_RESERVED;
}

/* SDM vol. 3, table 27-7. */
static uint64_t ept_qualification(const struct second_stage_controls *c, const struct refusal *r)
{
    unsigned op = r->access & KIND_OP;
    bool as_write = r->on_table && c->pointer & EPTP_AD; /* reads of tables count as writes too */
    uint64_t q = 0;
    q |= (uint64_t)(op == KIND_READ || as_write) << 0;
    q |= (uint64_t)(op == KIND_WRITE || as_write) << 1;
    q |= (uint64_t)(op == KIND_EXEC) << 2;
    q |= (uint64_t)((r->granted & MAY_READ) != 0) << 3;
    q |= (uint64_t)((r->granted & MAY_WRITE) != 0) << 4;
    q |= (uint64_t)((r->granted & MAY_EXEC) != 0) << 5;
    q |= (uint64_t)(c->mode_based_execute && r->granted & MAY_USER) << 6;
    if (r->no_linear)
        return q;
    q |= (uint64_t)1 << 7;
    q |= (uint64_t)!r->on_table << 8;
    if (c->advanced_information && !r->on_table) {
        q |= (uint64_t)((r->linear & MAY_USER) != 0) << 9;
        q |= (uint64_t)((r->linear & MAY_WRITE) != 0) << 10;
        q |= (uint64_t) !(r->linear & MAY_EXEC) << 11;
    }
    return q;
}

/* APM vol. 2, 15.25.6: as #PF's error code, always a user access; bits 32 and 33 say for what. */
static uint64_t npf_information(const struct second_stage_controls *c, const struct refusal *r)
{
    unsigned op = r->access & KIND_OP;
    uint64_t info = (uint64_t)1 << 2;
    info |= (uint64_t)(r->kind != REFUSED_NOT_PRESENT) << 0;
    info |= (uint64_t)(op == KIND_WRITE) << 1;
    info |= (uint64_t)(r->kind == REFUSED_RESERVED) << 3;
    info |= (uint64_t)(op == KIND_EXEC && !c->no_nx) << 4;
    return info | (uint64_t)1 << (r->on_table ? 33 : 32);
}

uint64_t second_stage_qualification(const struct second_stage_controls *c, const struct refusal *r)
{
    if (!second_stage_is_ept(c->kind))
        return npf_information(c, r);
    return r->kind == REFUSED_RESERVED ? 0 : ept_qualification(c, r);
}
