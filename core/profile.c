#include "core/profile.h"

/* Way numbers are 16 bits wide, and a memo's arrays stay below 4 GiB. */
enum { WAYS_MAX = 65535, ENTRIES_MAX = 1 << 24 };

static const char *shape_fault(const struct shape *shape)
{
    uint32_t ways = shape->ways ? shape->ways : shape->entries;
    if (shape->entries > ENTRIES_MAX)
        return "a cache has more than 2^24 entries";
    if (ways > WAYS_MAX)
        return "a cache has more than 65535 ways";
    if (shape->entries && shape->entries % ways)
        return "a cache's ways don't divide its entries";
    if ((unsigned)shape->replacement >= REPLACEMENTS)
        return "a cache has an unknown replacement policy";
    return NULL;
}

static const char *tlb_fault(const struct tlb_profile *tlb)
{
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        const char *fault = shape_fault(&tlb->array[c]);
        if (fault)
            return fault;
        if (tlb->array_of[c] >= PAGE_CLASSES && tlb->array_of[c] != TLB_NOWHERE)
            return "a TLB keeps pages in an array that isn't there";
        if (tlb->kept_as[c] > c)
            return "a TLB keeps a page as a larger one";
    }
    return NULL;
}

const char *profile_fault(const struct profile *p)
{
    if (p->maxphyaddr < 32 || p->maxphyaddr > 52)
        return "MAXPHYADDR is not from 32 to 52";
    if (!p->mhz)
        return "the clock stands still";
    if (!p->line || p->line & (p->line - 1))
        return "a data cache's line is no power of two";
    const char *fault = shape_fault(&p->nested_tlb);
    for (unsigned t = 0; t < TLBS && !fault; t++)
        fault = tlb_fault(&p->tlb[t]);
    for (unsigned level = 2; level <= LEVELS_MAX && !fault; level++)
        fault = shape_fault(&p->structure[level]);
    for (unsigned c = 0; c < DATA_CACHES && !fault; c++)
        fault = shape_fault(&p->data[c]);
    return fault;
}
