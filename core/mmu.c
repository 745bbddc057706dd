#include "core/mmu.h"
#include "core/quick.h"

#include <string.h>

size_t mmu_bytes(const struct profile *profile, unsigned stages)
{
    size_t head = offsetof(struct mmu, look);
    return (head + lookaside_bytes(profile, stages) + 15) & ~(size_t)15;
}

/* ---- spaces ---- */

static uint64_t ep4ta(const struct mmu *m, unsigned depth)
{
    return m->stages > depth ? m->stage[depth].root + 1 : 0; /* a root may be at 0 */
}

/* What is cached of the stages from @p depth on is theirs together: all their roots name it. */
static space_t space_of(struct mmu *m, uint16_t vpid, uint16_t pcid, unsigned depth)
{
    struct space s = {vpid, pcid, ep4ta(m, depth), ep4ta(m, depth + 1)};
    for (unsigned i = 0; i < m->spaces; i++)
        if (m->known[i].vpid == vpid && m->known[i].pcid == pcid && m->known[i].ep4ta == s.ep4ta &&
            m->known[i].below == s.below)
            return space_numbered(i + 1);
    if (m->spaces == SPACES_MAX) { /* out of numbers: forget everything, which is always legal */
        lookaside_flush(&m->look);
        m->spaces = 0;
    }
    m->known[m->spaces++] = s;
    return space_numbered(m->spaces);
}

space_t mmu_space(struct mmu *m, uint16_t pcid)
{
    return space_of(m, m->vpid, pcid, 1);
}

void mmu_enter_space(struct mmu *m)
{
    bool has_pcid = m->registers.cr4 & CR4_PCIDE;
    uint16_t pcid = has_pcid ? (uint16_t)(m->registers.cr3 & CR3_PCID) : 0;
    if (m->spaces + STAGES_MAX + 1 > SPACES_MAX) { /* all are numbered anew, together */
        lookaside_flush(&m->look);
        m->spaces = 0;
    }
    m->global = mmu_space(m, PCID_GLOBAL);
    m->space[0] = mmu_space(m, pcid);
    for (unsigned depth = 1; depth < m->stages; depth++)
        m->space[depth] = space_of(m, 0, PCID_PHYSICAL, depth);
}

/* ---- state ---- */

/* Whether an entry serves an access of this kind as it is, its key apart. */
static bool serves_rights(const struct stage *stage, uint32_t rights, unsigned kind)
{
    return stage->allow[kind] >> (rights & MAY_ALL) & 1 &&
           ((kind & KIND_OP) != KIND_WRITE || rights & LEAF_DIRTY);
}

/* What was found of entries of a stage's format. */
static void forget_usual(struct mmu *m, unsigned depth)
{
    m->rules++;
    for (unsigned level = 1; level <= LEVELS_MAX; level++)
        for (unsigned dirty = 0; dirty < 2; dirty++)
            m->usual[depth][level][dirty] = (struct likeness){.mask = 0, .bits = 1}; /* like none */
}

/* What follows from the rights of the stage below the guest's, if there is one. It has no keys. */
static void work_out_below(struct mmu *m)
{
    const struct stage *below = &m->stage[1];
    forget_usual(m, 1);
    memset(m->below_serves, 0, sizeof m->below_serves);
    for (uint32_t rights = 0; rights < 2 * LEAF_DIRTY; rights++) {
        for (unsigned kind = 0; kind < 2 * KIND_USER; kind++)
            m->below_serves[rights] |= (uint8_t)(serves_rights(below, rights, kind) << kind);
        for (unsigned user = 0; user < 2; user++)
            m->below_leaves[user][rights] =
                (uint8_t)stage_limits(below, user * KIND_USER, MAY_ALL | LEAF_DIRTY, rights);
    }
}

void mmu_init(struct mmu *m, const struct profile *profile, unsigned stages, uint16_t vcpu,
              uint64_t seed)
{
    m->bytes = (uint32_t)mmu_bytes(profile, stages);
    m->profile = *profile;
    m->stages = stages;
    tally_init(&m->tally, profile->cost, vcpu);
    lookaside_init(&m->look, profile, stages, seed);
    m->stage[0] = control_stage(&m->registers, profile);
    mmu_work_out(m);
    mmu_enter_space(m);
}

void mmu_set_second_stages(struct mmu *m, const struct stage *stages, unsigned n, uint16_t vpid)
{
    memcpy(m->stage + 1, stages, n * sizeof *stages);
    m->stages = n + 1;
    work_out_below(m);
    m->vpid = vpid;
    mmu_enter_space(m);
}

void mmu_set_shadow(struct mmu *m, const struct stage *stage, const struct registers *registers)
{
    m->stage[0] = *stage;
    m->registers = *registers;
    mmu_work_out(m);
    mmu_enter_space(m);
}

/* The word at an address of the guest's; 0 where the stages below refuse. */
static uint64_t load_physical(struct mmu *m, const struct bus *bus, gpa_t at)
{
    static const struct access read = {.op = OP_READ};
    struct walk w = {.stage = m->stage + 1, .stages = m->stages - 1, .bus = *bus};
    w.found.hpa = at;
    if (m->stages > 1 && !walk_read(&w, at, kind_of(&read)))
        return 0;
    return mem_holds(bus->mem, w.found.hpa, 8) ? mem_load(bus->mem, w.found.hpa, 8) : 0;
}

/* The PDPTE registers from memory. NULL, or what makes the load a #GP. SDM vol. 3, 4.4.1. */
static const char *load_pdptes(struct mmu *m, const struct bus *bus, struct stage *stage)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entry = load_physical(m, bus, stage->root + i * 8u);
        if (format_present(&stage->format, entry) && entry & stage->format.reserved[3][0])
            return "a present PDPTE has a reserved bit set";
        stage->top[i] = entry;
    }
    return NULL;
}

/* Whether nothing but CR3 differs: the rights need no working out. */
static bool same_rules(const struct registers *a, const struct registers *b)
{
    return a->cr0 == b->cr0 && a->cr4 == b->cr4 && a->efer == b->efer && a->pkru == b->pkru;
}

const char *mmu_adopt(struct mmu *m, const struct bus *bus, const struct registers *r, bool load)
{
    bool same = same_rules(r, &m->registers);
    struct stage stage = same ? m->stage[0] : control_stage(r, &m->profile);
    stage.root = stage.format.levels ? control_root(r) : 0;
    if (stage.format.registers && m->stages > 1 && m->stage[1].npt)
        stage.format = format_pae_in_memory(&stage.format);
    if (!stage.format.registers || !load)
        memcpy(stage.top, m->stage[0].top, sizeof stage.top);
    const char *fault = stage.format.registers && load ? load_pdptes(m, bus, &stage) : NULL;
    if (fault)
        return fault;
    m->registers = *r;
    m->stage[0] = stage;
    if (!same)
        mmu_work_out(m);
    return NULL;
}

const char *mmu_set_registers(struct mmu *m, const struct bus *bus, const struct registers *r)
{
    const char *fault = control_fault(r, &m->profile);
    if (!fault)
        fault = mmu_adopt(m, bus, r, true);
    if (!fault) {
        mmu_cool(m, bus);
        mmu_enter_space(m);
    }
    return fault;
}

void mmu_set_textbook(struct mmu *m, const struct geometry *geometry, uint64_t root)
{
    m->geometry = *geometry;
    m->registers.cr3 = root;
    m->stage[0] = control_textbook(geometry, root);
    mmu_work_out(m);
}

/* ---- translating ---- */

/*
 * One translation, compiled twice. `quiet` is a constant where these are called: true where nobody
 * watches and no data cache sees the program's own accesses, whose tests then cost nothing.
 */
#define INLINE static inline __attribute__((always_inline))

void mmu_work_out(struct mmu *m)
{
    const struct stage *stage = &m->stage[0];
    memset(m->served, 0, sizeof m->served);
    for (uint32_t rights = 0; rights < 2 * LEAF_DIRTY; rights++)
        for (unsigned flags = 0; flags < 4; flags++)
            for (uint8_t op = OP_READ; op <= OP_MODIFY; op++) {
                struct access access = {.op = op, .flags = (uint8_t)flags};
                m->served[rights][flags] |=
                    (uint8_t)(serves_rights(stage, rights, kind_of(&access)) << op);
            }
    forget_usual(m, 0);
    m->keys = false;
    for (unsigned kind = 0; kind < KINDS; kind++)
        m->keys |= stage->deny_key[kind] != 0;
}

/* What every attempt of a run has in common. */
static void prepare(struct mmu *m, const struct bus *bus, struct walk *w)
{
    w->lookaside = &m->look;
    w->tally = &m->tally;
    w->stage = m->stage;
    w->stages = m->stages;
    w->bus = *bus;
    w->log = m->log.at ? &m->log : NULL;
    memcpy(w->space, m->space, sizeof w->space);
    w->alone = walk_may_go_alone(w);
}

/* What a TLB entry says of the address. */
static void take(struct walk *w, const struct mmu *m, const struct tlb_hit *hit, gva_t gva)
{
    const struct target *target = &memo_targets(hit->memo)[hit->slot];
    uint64_t inside = gva & low_bits(m->stage[0].format.shift[hit->level]);
    w->refs = 0;
    w->found = (struct found){.hpa = target->hpa + inside,
                              .next = target->next + inside,
                              .rights = target->rights,
                              .level = (uint8_t)hit->level,
                              .shift = m->stage[0].format.shift[hit->level],
                              .leaf = WALK_NO_REF};
}

/* The level whose pages an entry may span: less than the leaf's if a stage below has smaller ones.
 */
INLINE unsigned kept_level(const struct format *f, const struct found *found)
{
    unsigned level = found->level;
    while (__builtin_expect(f->shift[level] > found->shift, 0))
        level--;
    return level;
}

INLINE void fill_tlbs(struct mmu *m, const struct walk *w, gva_t gva, enum tlb_name l1, bool held,
                      struct tlb_hit *kept)
{
    const struct format *f = &m->stage[0].format;
    const struct found *found = &w->found;
    unsigned level = kept_level(f, found);
    uint64_t inside = gva & low_bits(f->shift[level]);
    struct target target = {.hpa = found->hpa - inside,
                            .next = found->next - inside,
                            .rights = found->rights,
                            .note = level == found->level ? 0 : found->level};
    space_t space = m->space[0];
    struct tlb_hit l2;
    if (__builtin_expect(found->rights & LEAF_GLOBAL, 0)) {
        space = m->global;
        m->look.globals = true;
    }
    m->look.fragments |= level != found->level;
    tlb_fill(&m->look, l1, f, gva, space, level, &target, held, kept);
    tlb_fill(&m->look, TLB_L2, f, gva, space, level, &target, held, &l2);
}

/* Counts what the TLBs said to the first attempt, in the rows of the pages it was about. */
INLINE void count_tlbs(struct mmu *m, const struct asked *a, gva_t gva, unsigned level, bool quiet)
{
    if (a->nothing)
        return;
    if (a->l1_level)
        NOTE_QUIETLY(quiet, &m->tally, TLB_HIT, 0, a->l1_level, a->l1, gva, 0);
    else
        NOTE_QUIETLY(quiet, &m->tally, TLB_MISS, 0, level, a->l1, gva, 0);
    if (a->l2 && a->l2_level)
        NOTE_QUIETLY(quiet, &m->tally, TLB_HIT, 0, a->l2_level, TLB_L2, gva, 0);
    else if (a->l2)
        NOTE_QUIETLY(quiet, &m->tally, TLB_MISS, 0, level, TLB_L2, gva, 0);
}

void mmu_give_up(struct mmu *m, gva_t gva)
{
    count_tlbs(m, &m->asked, gva, 1, false);
}

/* Whether an entry serves an access of this kind as it is. */
static bool serves(const struct mmu *m, uint32_t rights, unsigned kind)
{
    return serves_rights(&m->stage[0], rights, kind) &&
           !stage_key_denies(&m->stage[0], kind, rights);
}

/* L1, then L2. True if one has the page, whether or not its rights serve. */
INLINE bool ask_tlbs(struct mmu *m, gva_t gva, enum tlb_name l1, struct tlb_hit *hit,
                     struct asked *asked, bool quiet)
{
    const struct format *f = &m->stage[0].format;
    *asked = (struct asked){.l1 = (uint8_t)l1};
    if (tlb_lookup(&m->look, l1, f, gva, m->space[0], m->global, hit)) {
        asked->l1_level = (uint8_t)hit->level;
        return true;
    }
    if (m->look.tlb[TLB_L2].off)
        return false;
    asked->l2 = true;
    NOTE_QUIETLY(quiet, &m->tally, TLB_L2, 0, 0, 0, gva, 0);
    if (!tlb_lookup(&m->look, TLB_L2, f, gva, m->space[0], m->global, hit))
        return false;
    asked->l2_level = (uint8_t)hit->level;
    return true;
}

/*
 * A structure cache's rights may be older than the tables, and less: then what they refuse is
 * dropped and the walk made again, as where a TLB's entry denies.
 */
static __attribute__((noinline)) bool walk_anew(struct mmu *m, gva_t gva, unsigned kind,
                                                struct walk *w)
{
    struct walk now;
    if (w->refusal.kind != REFUSED_PROTECTION || w->refusal.depth || m->look.by_entry ||
        !mmu_peek(m, &w->bus, gva, kind, &now))
        return false;
    lookaside_drop_path(&m->look, 0, &m->stage[0].format, gva, m->space[0]);
    return walk_read(w, gva, kind);
}

/*
 * Walks, fills the TLBs, and counts what they said. @p asked: what they said now; @p first: to the
 * first attempt, which is what counts.
 */
INLINE bool walk_and_fill(struct mmu *m, gva_t gva, unsigned kind, const struct asked *asked,
                          const struct asked *first, bool held, struct walk *w,
                          struct tlb_hit *kept, bool quiet)
{
    NOTE_QUIETLY(quiet, &m->tally, WALK, 0, 0, 0, gva, 0);
    w->renewed = held;
    if (!walk_read(w, gva, kind) && !walk_anew(m, gva, kind, w)) {
        m->asked = *first;
        return false;
    }
    walk_commit(w);
    if (!quiet &&
        !m->stage[0].format.levels) /* paging off over a second stage: TLBs keep nothing */
        return true;
    fill_tlbs(m, w, gva, (enum tlb_name)asked->l1, held, kept);
    count_tlbs(m, first, gva, w->found.level, quiet);
    return true;
}

/* A hit that can't serve: clean for a write, or lacking rights. The walk renews it or refuses. */
static __attribute__((noinline)) bool renew(struct mmu *m, gva_t gva, unsigned kind,
                                            const struct tlb_hit *hit, const struct asked *asked,
                                            const struct asked *first, struct walk *w,
                                            struct tlb_hit *kept)
{
    if (stage_allows(&m->stage[0], kind, memo_targets(hit->memo)[hit->slot].rights))
        NOTE(&m->tally, WALK_DIRTY, 0, 0, 0, gva, 0);
    else
        lookaside_drop_page(&m->look, &m->stage[0].format, gva, m->space[0], m->global);
    return walk_and_fill(m, gva, kind, asked, first, true, w, kept, false);
}

/* Paging off: the identity, and no TLB is asked; the stages below, if any, are. */
static bool identity(struct mmu *m, struct walk *w, gva_t gva, unsigned kind)
{
    struct tlb_hit kept;
    const struct asked asked = {.nothing = true};
    if (m->stages > 1)
        return walk_and_fill(m, gva, kind, &asked, &asked, false, w, &kept, false);
    m->asked = asked;
    w->refs = 0;
    w->renewed = false;
    w->found = (struct found){
        .hpa = gva, .next = gva, .rights = MAY_ALL | LEAF_DIRTY, .shift = 63, .leaf = WALK_NO_REF};
    return true;
}

static bool not_canonical(struct mmu *m, struct walk *w, gva_t gva, unsigned kind)
{
    m->asked = (struct asked){.nothing = true};
    w->refs = 0;
    w->refusal = (struct refusal){.kind = REFUSED_CANONICAL, .access = kind, .ia = gva};
    return false;
}

/* An L2 entry serves: L1 gets it too. */
static void refill_l1(struct mmu *m, gva_t gva, enum tlb_name l1, const struct tlb_hit *hit,
                      struct tlb_hit *kept)
{
    const struct target *target = &memo_targets(hit->memo)[hit->slot];
    tlb_fill(&m->look, l1, &m->stage[0].format, gva, hit->space, hit->level, target, false, kept);
}

/*
 * As mmu_translate, on a walk that is prepared. @p kept: the L1 TLB's entry for it afterwards; its
 * memo is NULL if it keeps none.
 */
INLINE bool translate(struct mmu *m, const struct access *access, bool again, struct walk *w,
                      struct tlb_hit *kept, bool quiet)
{
    gva_t gva = access->gva;
    unsigned kind = kind_of(access);
    enum tlb_name l1 = access->op == OP_EXEC ? TLB_L1I : TLB_L1D;
    struct tlb_hit hit;
    struct asked asked;
    kept->memo = NULL;
    if (__builtin_expect(!m->stage[0].format.levels, 0))
        return identity(m, w, gva, kind);
    if (!format_canonical(&m->stage[0].format, gva))
        return not_canonical(m, w, gva, kind);
    bool found = ask_tlbs(m, gva, l1, &hit, &asked, quiet);
    const struct asked *first = again ? &m->asked : &asked;
    if (!found)
        return walk_and_fill(m, gva, kind, &asked, first, false, w, kept, quiet);
    if (!serves(m, memo_targets(hit.memo)[hit.slot].rights, kind)) {
        struct asked said = asked; /* and so that `asked` itself may stay in registers */
        struct tlb_hit which = hit;
        return renew(m, gva, kind, &which, &said, again ? &m->asked : &said, w, kept);
    }
    take(w, m, &hit, gva);
    w->renewed = false;
    if (asked.l1_level)
        *kept = hit;
    else
        refill_l1(m, gva, l1, &hit, kept);
    count_tlbs(m, first, gva, w->found.level, quiet);
    return true;
}

bool mmu_translate(struct mmu *m, const struct bus *bus, const struct access *access, bool again,
                   struct walk *w)
{
    struct tlb_hit kept;
    prepare(m, bus, w);
    return translate(m, access, again, w, &kept, false);
}

void mmu_touch_data(struct mmu *m, const struct bus *bus, const struct access *access,
                    const struct walk *w)
{
    if (!m->look.program_data)
        return;
    enum server server = lookaside_serve(&m->look, bus->llc, w->found.hpa);
    NOTE(&m->tally, DATA, 0, 0, server, w->found.hpa, access->gva);
}

bool mmu_peek(const struct mmu *m, const struct bus *bus, gva_t gva, unsigned kind, struct walk *w)
{
    prepare((struct mmu *)m, bus, w);
    w->lookaside = NULL;
    w->tally = NULL;
    w->alone = false;
    w->refs = 0;
    if (!m->stage[0].format.levels || format_canonical(&m->stage[0].format, gva))
        return walk_read(w, gva, kind);
    w->refusal = (struct refusal){.kind = REFUSED_CANONICAL, .access = kind, .ia = gva};
    return false;
}

/* ---- many accesses, fast ---- */

/*
 * While one base page is accessed again and again, its TLB entry is the most recently used already:
 * another hit changes nothing but counters (and LFU's uses, see flush). So accesses are compared
 * with a window, the base page last served, one for data and one for fetches, and counted by
 * operation in 16-bit lanes of one word.
 */
struct window {
    gva_t base;
    uint64_t bytes;       /* of the page; 0: closed */
    const uint8_t *ops;   /* by access.flags, bit op: needs no second look */
    struct tlb_hit entry; /* where the L1 TLB keeps the page; no memo: nowhere */
    bool quick;           /* quick_entry will tell that, if it is asked */
};

struct windows {
    struct window of[2]; /* data, fetches */
    uint64_t hits;       /* lane op: accesses served since the last flush */
};

enum { LANE = 16, BLOCK = 8 };

static void flush_hits(struct mmu *m, struct windows *win)
{
    for (unsigned op = OP_READ; op <= OP_MODIFY && win->hits; op++) {
        uint64_t n = win->hits >> (LANE * op) & low_bits(LANE);
        const struct window *of = &win->of[op == OP_EXEC];
        if (!n)
            continue;
        unsigned access = SLOT(ACCESS, 0, 0, op);
        unsigned hit = SLOT(TLB_HIT, 0, of->entry.level, op == OP_EXEC ? TLB_L1I : TLB_L1D);
        m->tally.count[access] += n;
        m->tally.count[hit] += n;
        m->tally.cycles += n * (m->tally.price[access] + m->tally.price[hit]);
        memo_reuse(of->entry.memo, of->entry.slot, n);
    }
    win->hits = 0;
}

/* Whether an address is in the window's page. Most accesses of a random workload are not. */
static inline bool on_page(const struct window *win, gva_t gva)
{
    return gva - win->base < win->bytes;
}

static const uint8_t not_known[4];

/* What the page just translated serves is found out when it is accessed again, if it ever is. */
static inline void open_window(struct window *win, const struct mmu *m, gva_t gva)
{
    win->bytes = (uint64_t)1 << m->stage[0].format.shift[1];
    win->base = gva & -win->bytes;
    win->ops = not_known;
}

/* Finds out which accesses the window serves; closes it if it can't know. */
static void look_through(struct window *win, const struct mmu *m)
{
    uint32_t rights = 0;
    if (win->entry.memo)
        rights = memo_targets(win->entry.memo)[win->entry.slot].rights;
    if (!win->entry.memo || (m->keys && rights & MAY_USER)) /* the key decides: look each time */
        win->bytes = 0;
    win->ops = m->served[rights & (MAY_ALL | LEAF_DIRTY)];
}

static bool in_window(const struct window *win, const struct access *a)
{
    uint64_t first = a->gva - win->base, last = first + a->size - 1;
    return ((first | last) < win->bytes) && (win->ops[a->flags & 3] >> a->op & 1);
}

/* Whether one of a block, all of which begin in the window, ends beyond it. */
static bool block_crosses(const struct window *win, const struct access *a)
{
    bool crosses = false;
    for (unsigned i = 0; i < BLOCK; i++)
        crosses |= a[i].gva - win->base + a[i].size > win->bytes;
    return crosses;
}

/*
 * Whether a block of accesses are all like @p like but for the address, and all in the window. Both
 * words of an access are compared at once: xor leaves the offset within the page, and nothing of
 * the rest. Aligned to their size they cannot leave the page halfway; only if they are not is that
 * looked at one by one.
 */
typedef uint64_t pair __attribute__((vector_size(16)));

static inline bool same_block(const struct window *win, const struct access *like,
                              const struct access *a)
{
    uint64_t rest; /* of the access, behind its address */
    memcpy(&rest, (const char *)like + sizeof like->gva, sizeof rest);
    const uint64_t ragged = like->size & (like->size - 1) ? UINT64_MAX : like->size - 1u;
    pair stray = {0, 0}, want = {win->base, rest};
    for (unsigned i = 0; i < BLOCK; i++) {
        pair x;
        memcpy(&x, &a[i], sizeof x);
        stray |= x ^ want;
    }
    if ((stray[0] & ~(win->bytes - 1)) | stray[1])
        return false;
    return __builtin_expect(!(stray[0] & ragged), 1) || !block_crosses(win, a);
}

/* How many of @p n accesses are like the first; in blocks, and the last block may overlap. */
static size_t same_run(const struct window *win, const struct access *a, size_t n)
{
    size_t i = 0;
    while (i + BLOCK <= n && same_block(win, a, a + i))
        i += BLOCK;
    if (i && i + BLOCK > n && same_block(win, a, a + n - BLOCK))
        i = n;
    return i;
}

/* How many of the first @p n accesses, all of @p process, the windows serve. */
static size_t run_in_windows(struct windows *win, const struct access *a, size_t n,
                             uint16_t process)
{
    uint64_t hits = 0;
    size_t i = 0, most = n < low_bits(LANE) ? n : low_bits(LANE); /* lanes must not overflow */
    while (i < most) {
        const struct access *x = &a[i];
        const struct window *of = &win->of[x->op == OP_EXEC];
        if (x->op > OP_MODIFY || x->process != process || !in_window(of, x))
            break;
        size_t run = same_run(of, x, most - i);
        run += !run;
        hits += (uint64_t)run << (LANE * x->op);
        i += run;
    }
    win->hits = hits;
    return i;
}

/* How many accesses the windows serve, and counts them. */
static size_t hit_windows(struct mmu *m, struct windows *win, const struct access *a, size_t n,
                          uint16_t process)
{
    struct window *of = &win->of[a->op == OP_EXEC];
    if (of->ops == not_known) {
        if (of->quick)
            of->entry = quick_entry(m, a->op == OP_EXEC ? TLB_L1I : TLB_L1D, a->gva);
        look_through(of, m);
    }
    size_t served = run_in_windows(win, a, n, process);
    if (served)
        flush_hits(m, win);
    return served;
}

/* How many accesses are done quickly before one is not, or the last page is accessed again. */
static size_t run_quickly(struct mmu *m, const struct bus *bus, struct windows *win,
                          const struct access *a, size_t n, uint16_t process)
{
    gva_t page[2], was[2];
    for (unsigned fetch = 0; fetch < 2; fetch++)
        was[fetch] = page[fetch] = win->of[fetch].bytes ? win->of[fetch].base : QUICK_NO_PAGE;
    size_t done = quick_run(m, bus, a, n, process, page);
    for (unsigned fetch = 0; fetch < 2; fetch++)
        if (page[fetch] != was[fetch]) {
            open_window(&win->of[fetch], m, page[fetch]);
            win->of[fetch].quick = true;
        }
    return done;
}

static bool crosses_page(const struct access *a, const struct format *f)
{
    return f->levels && (a->gva ^ (a->gva + a->size - 1)) >> f->shift[1];
}

INLINE size_t run(struct mmu *m, const struct bus *bus, const struct access *a, size_t n,
                  uint16_t process, struct walk *w, enum stop *stop, bool quiet)
{
    struct windows win = {0};
    const bool quick = quiet && quick_may(m);
    for (size_t i = 0; i < n;) {
        const struct access *x = &a[i];
        struct window *of = &win.of[x->op == OP_EXEC];
        size_t served = 0;
        if (quiet && on_page(of, x->gva))
            served = hit_windows(m, &win, x, n - i, process);
        if (!served)
            of->bytes = 0;
        if (!served && quick)
            served = run_quickly(m, bus, &win, x, n - i, process);
        if (served) {
            i += served;
            continue;
        }
        *stop = STOP_OTHER;
        if (x->op > OP_MODIFY || x->process != process || crosses_page(x, &m->stage[0].format))
            return i;
        *stop = STOP_REFUSED;
        NOTE_QUIETLY(quiet, &m->tally, ACCESS, 0, 0, x->op, x->gva, x->process);
        of->quick = false;
        if (!translate(m, x, false, w, &of->entry, quiet))
            return i;
        if (!quiet)
            mmu_touch_data(m, bus, x, w);
        if (quiet && __builtin_expect(w->renewed, 0)) /* the other window's entry may be gone */
            win.of[0].bytes = win.of[1].bytes = 0;
        if (quiet)
            open_window(of, m, x->gva);
        i++;
    }
    *stop = STOP_DONE;
    return n;
}

size_t mmu_run(struct mmu *m, const struct bus *bus, const struct access *a, size_t n,
               uint16_t process, struct walk *w, enum stop *stop)
{
    prepare(m, bus, w);
    if (m->tally.sink || m->look.program_data)
        return run(m, bus, a, n, process, w, stop, false);
    return run(m, bus, a, n, process, w, stop, true);
}
