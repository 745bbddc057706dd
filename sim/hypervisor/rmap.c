#include "sim/hypervisor/rmap.h"

#include <assert.h>

#include "sim/array.h"

enum { HEAD = 4 /* bytes */ };

bool rmap_init(struct rmap *r, uint64_t bytes)
{
    *r = (struct rmap){.n = 1};
    return mem_init(&r->heads, ((bytes + FRAME_BYTES - 1) >> FRAME_SHIFT) * HEAD + HEAD);
}

void rmap_fini(struct rmap *r)
{
    mem_fini(&r->heads);
    free(r->node);
    *r = (struct rmap){0};
}

bool rmap_unshare(struct rmap *clone, const struct rmap *r)
{
    clone->heads = (struct mem){0};
    bool done =
        array_copy(&clone->node, &clone->room, clone->node ? clone->n : 0, sizeof *clone->node);
    return (!r->heads.regions || mem_clone(&clone->heads, &r->heads)) & done;
}

bool rmap_add(struct rmap *r, uint32_t *head, uint32_t page, uint32_t index)
{
    uint32_t number = r->free;
    if (number) {
        r->free = r->node[number].next;
    } else {
        if (!array_reserve(&r->node, &r->room, r->n + 1, sizeof *r->node))
            return false;
        number = (uint32_t)r->n++;
    }
    r->node[number] = (struct rmap_node){page, index, *head};
    *head = number;
    return true;
}

void rmap_remove(struct rmap *r, uint32_t *head, uint32_t page, uint32_t index)
{
    uint32_t *at = head;
    while (*at && (r->node[*at].page != page || r->node[*at].index != index))
        at = &r->node[*at].next;
    assert(*at);
    uint32_t number = *at;
    *at = r->node[number].next;
    r->node[number] = (struct rmap_node){.next = r->free};
    r->free = number;
}

uint32_t rmap_of_frame(const struct rmap *r, uint64_t gfn)
{
    return (uint32_t)mem_load(&r->heads, gfn * HEAD, HEAD);
}

bool rmap_add_frame(struct rmap *r, uint64_t gfn, uint32_t page, uint32_t index)
{
    uint32_t head = rmap_of_frame(r, gfn);
    bool done = rmap_add(r, &head, page, index);
    mem_store(&r->heads, gfn * HEAD, head, HEAD);
    return done && !r->heads.exhausted;
}

void rmap_remove_frame(struct rmap *r, uint64_t gfn, uint32_t page, uint32_t index)
{
    uint32_t head = rmap_of_frame(r, gfn);
    rmap_remove(r, &head, page, index);
    mem_store(&r->heads, gfn * HEAD, head, HEAD);
}
