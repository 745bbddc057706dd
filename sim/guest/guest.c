#include "sim/guest/guest.h"

#include "core/event.h"
#include "sim/array.h"

enum { FLUSH_CEILING = 33 /* pages; beyond, one CR3 reload. Linux, arch/x86/mm/tlb.c */ };

static unsigned base_shift(const struct guest *g)
{
    return g->tables.format.shift[1];
}

static void tell(const struct port *port, unsigned event, gva_t gva, uint64_t value)
{
    port->ops->tell(port->self, event, gva, value);
}

/* Without any right a page stays present, but is not the program's: PROT_NONE. */
uint32_t guest_may(uint32_t rights)
{
    if (!(rights & (RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC)))
        return MAY_READ;
    return MAY_READ | (rights & RIGHT_WRITE ? MAY_WRITE : 0) |
           (rights & RIGHT_USER ? MAY_USER : 0) | (rights & RIGHT_EXEC ? MAY_EXEC : 0);
}

/* ---- birth and death ---- */

struct registers guest_registers(const struct vm_config *vm, const struct profile *profile)
{
    struct registers r = {.cr0 = CR0_PE | CR0_WP | CR0_PG};
    r.cr4 |= vm->paging == PAGING_2_LEVEL ? CR4_PSE : CR4_PAE;
    r.cr4 |= vm->paging == PAGING_5_LEVEL ? CR4_LA57 : 0;
    r.cr4 |= profile_has(profile, FEATURE_pge) ? CR4_PGE : 0;
    r.efer |= vm->paging >= PAGING_4_LEVEL ? EFER_LME : 0;
    r.efer |= vm->paging >= PAGING_PAE && profile_has(profile, FEATURE_nx) ? EFER_NXE : 0;
    return r;
}

static bool add_areas(struct process *p, const struct process_config *config)
{
    bool done = true;
    for (unsigned i = 0; i < config->n_maps; i++) {
        const struct map_config *map = &config->maps[i];
        done &= areas_insert(&p->areas, &(struct area){.start = map->gva,
                                                       .last = map->gva + map->size - 1,
                                                       .rights = map->rights,
                                                       .level = (uint8_t)map->level});
    }
    return done;
}

bool guest_init(struct guest *g, const struct vm_config *config, const struct format *format)
{
    uint64_t page = (uint64_t)1 << format->shift[1];
    *g = (struct guest){.config = config, .tables.format = *format};
    g->reclaim = (struct reclaim){.policy = config->reclaim,
                                  .limit = config->reclaim_frames,
                                  .oldest = RESIDENT_NONE,
                                  .pinned = RESIDENT_NONE};
    frames_init(&g->frames, page, config->memory); /* frame 0 stays out of use: no null table */
    g->tables.frames = &g->frames;
    bool done = true;
    for (unsigned i = 0; done && i < config->n_processes; i++) {
        int p = guest_new_process(g, (uint16_t)i, 0);
        done = p >= 0 && add_areas(&g->processes[p], &config->processes[i]);
    }
    return done;
}

void guest_fini(struct guest *g)
{
    for (size_t i = 0; i < g->n; i++)
        areas_fini(&g->processes[i].areas);
    free(g->processes);
    frames_fini(&g->frames);
    tables_fini(&g->tables);
    swap_fini(&g->swap);
    reclaim_fini(&g->reclaim);
    *g = (struct guest){0};
}

bool guest_unshare(struct guest *g)
{
    g->tables.frames = &g->frames;
    bool done = array_copy(&g->processes, &g->room, g->n, sizeof *g->processes);
    g->n = g->room;
    for (size_t i = 0; i < g->n; i++)
        done &= areas_unshare(&g->processes[i].areas);
    done &= frames_unshare(&g->frames);
    done &= tables_unshare(&g->tables);
    done &= swap_unshare(&g->swap);
    done &= reclaim_unshare(&g->reclaim);
    return done;
}

int guest_new_process(struct guest *g, uint16_t feed, uint16_t number)
{
    if (g->n >= UINT16_MAX ||
        !array_reserve(&g->processes, &g->room, g->n + 1, sizeof *g->processes))
        return -1;
    g->processes[g->n] = (struct process){.feed = feed, .number = number};
    return (int)g->n++;
}

bool guest_root(struct guest *g, unsigned process, gpa_t *root)
{
    struct process *p = &g->processes[process];
    if (!p->has_root && !tables_new_root(&g->tables, &p->root))
        return false;
    p->has_root = true;
    *root = p->root;
    return true;
}

/* ---- frames, and taking them back ---- */

struct asking {
    struct guest *g;
    const struct port *port;
};

/* The clock's question: the A bit, cleared with the translation that would hide its being set. */
static bool was_referenced(void *self, uint32_t frame)
{
    const struct asking *ask = self;
    struct guest *g = ask->g;
    const struct format *f = &g->tables.format;
    struct resident *page = &g->reclaim.page[frame];
    struct leaf leaf;
    bool was = page->referenced;
    page->referenced = false;
    if (!f->accessed ||
        !tables_find(&g->tables, ask->port, g->processes[page->process].root, page->gva, &leaf))
        return was;
    if (!(leaf.entry & f->accessed))
        return false;
    ask->port->ops->store(ask->port->self, leaf.at, leaf.entry & ~f->accessed, f->entry_bytes,
                          leaf.level);
    ask->port->ops->invlpg(ask->port->self, page->gva);
    return true;
}

/* Takes one page's frame away; a page that was written goes to the backing store. */
static bool evict(struct guest *g, const struct port *port)
{
    const struct format *f = &g->tables.format;
    struct asking ask = {g, port};
    uint32_t frame = reclaim_victim(&g->reclaim, was_referenced, &ask);
    if (frame == RESIDENT_NONE)
        return false;
    struct resident page = g->reclaim.page[frame];
    gpa_t root = g->processes[page.process].root, at = (gpa_t)frame << base_shift(g);
    struct leaf leaf;
    uint64_t slot;
    if (!tables_find(&g->tables, port, root, page.gva, &leaf))
        return false;
    tables_clear(&g->tables, port, root, &leaf, false);
    port->ops->invlpg(port->self, page.gva);
    tell(port, EVENT_EVICT, page.gva, frame);
    if ((leaf.entry & f->dirty) == f->dirty) { /* without a D bit every page may be dirty */
        if (!swap_slot(&g->swap, page.process, page.gva >> base_shift(g), &slot))
            return false;
        port->ops->page_out(port->self, at, slot, (uint64_t)1 << base_shift(g));
        tell(port, EVENT_PAGE_OUT, page.gva, slot);
    }
    reclaim_remove(&g->reclaim, frame);
    frames_give(&g->frames, 1, at);
    return true;
}

/* A frame with the page's contents in it. */
static bool bring_in(struct guest *g, const struct port *port, unsigned process, gva_t gva,
                     unsigned level, gpa_t *at)
{
    uint64_t bytes = (uint64_t)1 << g->tables.format.shift[level], slot;
    while (g->reclaim.policy && g->reclaim.held >= g->reclaim.limit)
        if (!evict(g, port))
            return false;
    if (!frames_take(&g->frames, level, bytes, at))
        return false;
    if (level == 1 && swap_find(&g->swap, process, gva >> base_shift(g), &slot)) {
        port->ops->page_in(port->self, *at, slot, bytes);
        tell(port, EVENT_PAGE_IN, gva, *at >> base_shift(g));
    } else {
        port->ops->zero(port->self, *at, bytes);
    }
    return !g->reclaim.policy ||
           reclaim_add(&g->reclaim, (uint32_t)(*at >> base_shift(g)), process, gva & ~(bytes - 1));
}

static void release(struct guest *g, gpa_t at, unsigned level)
{
    if (g->reclaim.policy)
        reclaim_remove(&g->reclaim, (uint32_t)(at >> base_shift(g)));
    if (at < g->config->memory) /* else a script has edited the entry */
        frames_give(&g->frames, level, at);
}

void guest_pin(struct guest *g, gpa_t gpa)
{
    g->reclaim.pinned = (uint32_t)(gpa >> base_shift(g));
}

void guest_unpin(struct guest *g)
{
    g->reclaim.pinned = RESIDENT_NONE;
}

void guest_touch(struct guest *g, gpa_t gpa, uint64_t next_use)
{
    reclaim_touch(&g->reclaim, (uint32_t)(gpa >> base_shift(g)), next_use);
}

/* ---- mapping ---- */

/* The largest page that the area wants, that fits in it, and for which there is room. */
static unsigned level_for(const struct guest *g, const struct port *port, gpa_t root,
                          const struct area *area, gva_t gva)
{
    const struct format *f = &g->tables.format;
    unsigned level = area->level;
    if (g->config->huge_pages && level == 1 && f->leaf_levels >> 2 & 1 && !g->reclaim.policy)
        level = 2;
    unsigned room = level > 1 ? tables_room(&g->tables, port, root, gva) : 1;
    for (level = level < room ? level : room; level > 1; level--) {
        gva_t first = gva & ~low_bits(f->shift[level]), last = gva | low_bits(f->shift[level]);
        if (f->leaf_levels >> level & 1 && first >= area->start && last <= area->last)
            break;
    }
    return level;
}

static bool map_page(struct guest *g, const struct port *port, unsigned process,
                     const struct area *area, gva_t gva, bool running)
{
    const struct format *f = &g->tables.format;
    gpa_t root, at;
    bool top;
    if (!guest_root(g, process, &root))
        return false;
    unsigned level = level_for(g, port, root, area, gva);
    gva_t first = gva & ~low_bits(f->shift[level]);
    if (!bring_in(g, port, process, gva, level, &at))
        return false;
    if (!tables_map(&g->tables, port, root, first, level, at, guest_may(area->rights), &top)) {
        release(g, at, level);
        return false;
    }
    if (top && running)
        port->ops->mov_cr3(port->self, root);
    return true;
}

bool guest_populate(struct guest *g, const struct port *port, unsigned process)
{
    const struct process_config *config = &g->config->processes[process];
    const struct format *f = &g->tables.format;
    for (unsigned i = 0; i < config->n_maps; i++) {
        const struct map_config *map = &config->maps[i];
        struct leaf leaf;
        for (uint64_t done = 0; map->populate && done < map->size;) {
            gva_t gva = map->gva + done;
            const struct area *area = areas_find(&g->processes[process].areas, gva);
            gpa_t root;
            if (!map_page(g, port, process, area, gva, false) || !guest_root(g, process, &root) ||
                !tables_find(&g->tables, port, root, gva, &leaf))
                return false;
            done += (uint64_t)1 << f->shift[leaf.level];
        }
    }
    return true;
}

/* A present entry that denies the access although the area allows it: the rights were raised. */
static enum answer renew(struct guest *g, const struct port *port, const struct leaf *leaf,
                         const struct area *area)
{
    const struct format *f = &g->tables.format;
    gpa_t at = format_address(f, leaf->level, true, leaf->entry);
    uint64_t kept = leaf->entry & (f->accessed | f->dirty);
    uint64_t entry = format_entry(f, leaf->level, true, at, guest_may(area->rights)) | kept;
    if (entry == leaf->entry)
        return ANSWER_SIGNAL;
    port->ops->store(port->self, leaf->at, entry, f->entry_bytes, leaf->level);
    return ANSWER_RETRY;
}

static bool area_allows(const struct area *area, unsigned kind)
{
    static const uint32_t needs[] = {[KIND_READ] = RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC,
                                     [KIND_WRITE] = RIGHT_WRITE,
                                     [KIND_EXEC] = RIGHT_EXEC};
    return area->rights & needs[kind & KIND_OP] &&
           (!(kind & KIND_USER) || area->rights & RIGHT_USER);
}

/* Replay knows few areas or none: what is touched outside them all was mapped somehow. */
static const struct area *area_of_anything(struct process *p, gva_t gva)
{
    struct area area = {.rights = RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | RIGHT_USER, .level = 1};
    areas_gap(&p->areas, gva, &area.start, &area.last);
    return areas_insert(&p->areas, &area) ? areas_find(&p->areas, gva) : NULL;
}

enum answer guest_fault(struct guest *g, const struct port *port, unsigned process, gva_t gva,
                        unsigned kind)
{
    struct process *p = &g->processes[process];
    const struct area *area = areas_find(&p->areas, gva);
    struct leaf leaf;
    if (!area && g->config->map_on_touch && !(area = area_of_anything(p, gva)))
        return ANSWER_STUCK;
    if (!area || !area_allows(area, kind))
        return ANSWER_SIGNAL;
    tell(port, EVENT_GUEST_FAULT, gva, 0);
    if (p->has_root && tables_find(&g->tables, port, p->root, gva, &leaf))
        return renew(g, port, &leaf, area);
    return map_page(g, port, process, area, gva, true) ? ANSWER_RETRY : ANSWER_STUCK;
}

/* ---- mmap, munmap, mprotect, fork, exit ---- */

/* What changed, to be invalidated at the end: nobody runs in between. */
struct changes {
    gva_t gva[FLUSH_CEILING];
    uint64_t n;
    bool top; /* an entry that the processor keeps in a register */
};

static void change(struct changes *c, gva_t gva)
{
    if (c->n < FLUSH_CEILING)
        c->gva[c->n] = gva;
    c->n++;
}

/* One INVLPG each while there are few, else everything. */
static void flush(const struct changes *c, const struct port *port, gpa_t root)
{
    bool all = c->top || c->n > FLUSH_CEILING;
    if (all)
        port->ops->mov_cr3(port->self, root);
    for (uint64_t i = 0; !all && i < c->n; i++)
        port->ops->invlpg(port->self, c->gva[i]);
}

static void unmap_pages(struct guest *g, const struct port *port, struct process *p, gva_t gva,
                        gva_t last)
{
    const struct format *f = &g->tables.format;
    struct changes changes = {.n = 0};
    struct leaf leaf;
    while (p->has_root && tables_next(&g->tables, port, p->root, gva, last, &leaf)) {
        changes.top |= tables_clear(&g->tables, port, p->root, &leaf, true);
        change(&changes, leaf.gva);
        release(g, format_address(f, leaf.level, true, leaf.entry), leaf.level);
        gva = leaf.gva + ((uint64_t)1 << f->shift[leaf.level]);
        if (!gva)
            break;
    }
    flush(&changes, port, p->root);
}

bool guest_unmap(struct guest *g, const struct port *port, unsigned process, gva_t gva,
                 uint64_t bytes)
{
    struct process *p = &g->processes[process];
    gva_t last = gva + bytes - 1;
    unmap_pages(g, port, p, gva, last);
    swap_forget(&g->swap, process, gva >> base_shift(g), last >> base_shift(g));
    return areas_remove(&p->areas, gva, last);
}

bool guest_map(struct guest *g, const struct port *port, unsigned process,
               const struct map_config *map)
{
    struct process *p = &g->processes[process];
    struct area area = {map->gva, map->gva + map->size - 1, map->rights, (uint8_t)map->level};
    unmap_pages(g, port, p, area.start, area.last);
    swap_forget(&g->swap, process, area.start >> base_shift(g), area.last >> base_shift(g));
    return areas_insert(&p->areas, &area);
}

bool guest_protect(struct guest *g, const struct port *port, unsigned process, gva_t gva,
                   uint64_t bytes, uint32_t rights)
{
    struct process *p = &g->processes[process];
    const struct format *f = &g->tables.format;
    gva_t last = gva + bytes - 1;
    struct changes changes = {.n = 0};
    struct leaf leaf;
    for (gva_t from = gva;
         p->has_root && tables_next(&g->tables, port, p->root, from, last, &leaf);) {
        gpa_t at = format_address(f, leaf.level, true, leaf.entry);
        uint64_t kept = leaf.entry & (f->accessed | f->dirty);
        uint64_t entry = format_entry(f, leaf.level, true, at, guest_may(rights)) | kept;
        if (entry != leaf.entry) {
            port->ops->store(port->self, leaf.at, entry, f->entry_bytes, leaf.level);
            change(&changes, leaf.gva);
        }
        from = leaf.gva + ((uint64_t)1 << f->shift[leaf.level]);
        if (!from)
            break;
    }
    flush(&changes, port, p->root);
    return areas_protect(&p->areas, gva, last, rights);
}

bool guest_fork(struct guest *g, unsigned parent, unsigned child)
{
    struct areas copy = g->processes[parent].areas;
    if (!areas_unshare(&copy))
        return false;
    areas_fini(&g->processes[child].areas);
    g->processes[child].areas = copy;
    return true;
}

bool guest_exit(struct guest *g, const struct port *port, unsigned process)
{
    struct process *p = &g->processes[process];
    unmap_pages(g, port, p, 0, UINT64_MAX);
    swap_forget(&g->swap, process, 0, UINT64_MAX);
    areas_fini(&p->areas);
    if (p->has_root)
        tables_free(&g->tables, port, p->root);
    p->has_root = false;
    return true;
}

unsigned __int128 guest_linear_bytes(const struct guest *g)
{
    const struct format *f = &g->tables.format;
    return ((unsigned __int128)f->entry_bytes << (f->ia_bits - f->shift[1])) *
           g->tables.most_spaces;
}
