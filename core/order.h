/**
 * @file
 * The order in which up to 16 ways were used, in one word: a nibble per way number, the most recent
 * lowest. Moving a way to the front is arithmetic, not a loop. Nibbles past the last way hold
 * anything.
 */
#ifndef CORE_ORDER_H
#define CORE_ORDER_H

#include <stdint.h>

enum { ORDER_WAYS = 16 };

/** Way 0 goes next, then 1, and so on. */
static inline uint64_t order_start(uint32_t ways)
{
    uint64_t order = 0;
    for (uint32_t i = 0; i < ways; i++)
        order |= (uint64_t)(ways - 1 - i) << (4 * i);
    return order;
}

/** The way that goes next. */
static inline uint32_t order_last(uint64_t order, uint32_t ways)
{
    return order >> (4 * (ways - 1)) & 15;
}

/** Of the nibbles that are the way's, the highest bits; the lowest of them is sure to be there. */
static inline __attribute__((always_inline)) uint64_t order_find(uint64_t order, uint32_t way)
{
    const uint64_t ones = UINT64_C(0x1111111111111111);
    uint64_t x = order ^ way * ones;
    return (x - ones) & ~x & ones << 3;
}

/** The nibbles below the way's move up by one, onto it. */
static inline __attribute__((always_inline)) uint64_t order_to_front(uint64_t order, uint32_t way)
{
    uint64_t found = order_find(order, way), upto = found ^ (found - 1);
    return order ^ ((order ^ (order << 4 | way)) & upto);
}

static inline uint64_t order_to_back(uint64_t order, uint32_t way, uint32_t ways)
{
    unsigned back = 4 * (ways - 1);
    uint64_t found = order_find(order, way), below = ((found & -found) >> 3) - 1;
    uint64_t closed = (order & below) | (order >> 4 & ~below);
    return (closed & (((uint64_t)1 << back) - 1)) | (uint64_t)way << back;
}

#endif
