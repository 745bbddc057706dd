#include "sim/workload/generator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* 1/0 (unused), 1/1, 1/2, ...: the coefficients of both series below. */
static const double inverse[] = {
    0,        1.0,      1.0 / 2,  1.0 / 3,  1.0 / 4,  1.0 / 5,  1.0 / 6,  1.0 / 7,
    1.0 / 8,  1.0 / 9,  1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13, 1.0 / 14, 1.0 / 15,
    1.0 / 16, 1.0 / 17, 1.0 / 18, 1.0 / 19, 1.0 / 20, 1.0 / 21, 1.0 / 22, 1.0 / 23,
};

static const double ln_2 = 0x1.62e42fefa39efp-1;
static const double root_2 = 0x1.6a09e667f3bcdp0;

/* 2^-n for n from 0 to 1022, exactly: the exponent field of a double. */
static double half_to_the(unsigned n)
{
    uint64_t bits = (uint64_t)(1023 - n) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/*
 * n = m * 2^e with m from sqrt(1/2) to sqrt(2), and ln m = 2 atanh z = 2 (z + z^3/3 + z^5/5 + ...)
 * with z = (m - 1) / (m + 1), |z| < 0.172: the first term left out, z^23/23, is below 1e-18.
 */
static double log_2(uint64_t n)
{
    unsigned e = 63 - (unsigned)__builtin_clzll(n);
    double m = (double)n * half_to_the(e);
    if (m > root_2)
        m /= 2, e++;
    double z = (m - 1) / (m + 1), square = z * z, sum = 0;
    for (int k = 21; k > 0; k -= 2)
        sum = sum * square + inverse[k];
    return e + 2 * z * sum / ln_2;
}

/*
 * rank^-theta = 2^-y with y = theta log2 rank, at most 256. The nearest integer to y goes into the
 * exponent; e^-f of the rest, |f| < 0.35, is its power series, whose first term left out, f^15/15!,
 * is below 1e-18. The error is that of y: a few units in its last place, so below 1e-13.
 */
double zipf_weight(uint64_t rank, double theta)
{
    double y = theta * log_2(rank);
    unsigned whole = (unsigned)(y + 0.5);
    double f = (y - whole) * ln_2, sum = 1;
    for (unsigned k = 14; k; k--)
        sum = 1 - f * inverse[k] * sum;
    return sum * half_to_the(whole);
}

/*
 * Each step permutes the numbers of that many bits: adding, multiplying by an odd constant, and
 * folding the upper half onto the lower. A multiplication alone would leave the low bits, which
 * pick a TLB's set, in step with the number.
 */
uint64_t scatter(uint64_t number, unsigned bits)
{
    const uint64_t mask = low_bits(bits);
    const unsigned half = (bits + 1) / 2;
    uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) & mask;
    x = (x ^ x >> half) * UINT64_C(0xbf58476d1ce4e5b9) & mask;
    x = (x ^ x >> half) * UINT64_C(0x94d049bb133111eb) & mask;
    return x ^ x >> half;
}

/* Cycle walking: a permutation of more numbers, repeated until it comes back below n. */
uint64_t scatter_below(uint64_t number, uint64_t n)
{
    unsigned bits = n > 1 ? 64 - (unsigned)__builtin_clzll(n - 1) : 0;
    do
        number = scatter(number, bits);
    while (number >= n);
    return number;
}

static void set_column(struct zipf *zipf, uint64_t rank, double own, uint64_t other)
{
    zipf->column[scatter_below(rank, zipf->pages)] = (struct zipf_column){
        .own = (uint32_t)(own * 0x1p32),
        .other = (uint32_t)scatter_below(other, zipf->pages),
    };
}

/*
 * Gives each rank a column of height 1. Weights fall with rank (their mean is 1), so the ranks that
 * have more than a column come first: each poor rank, in order, tops its column up from the first
 * rich one; a rich rank that has thereby become poor tops up from the next one. The last rich rank
 * keeps the rest, 1 but for rounding.
 */
static void level_out(struct zipf *zipf, double *weight)
{
    uint64_t rich = 0, end = 0;
    while (end < zipf->pages && weight[end] >= 1)
        set_column(zipf, end, 0, end), end++;
    for (uint64_t poor = end; poor < zipf->pages; poor++) {
        set_column(zipf, poor, weight[poor], rich);
        weight[rich] -= 1 - weight[poor];
        for (; weight[rich] < 1 && rich + 1 < end; rich++) {
            set_column(zipf, rich, weight[rich], rich + 1);
            weight[rich + 1] -= 1 - weight[rich];
        }
    }
}

struct zipf *zipf_new(uint64_t pages, double theta)
{
    assert(pages && pages <= UINT64_C(1) << 32 && theta >= 0 && theta <= 8);
    struct zipf *zipf = malloc(sizeof *zipf + pages * sizeof *zipf->column);
    double *weight = malloc(pages * sizeof *weight), sum = 0;
    if (!zipf || !weight) {
        free(zipf);
        free(weight);
        return NULL;
    }
    zipf->pages = pages;
    for (uint64_t i = pages; i--; sum += weight[i]) /* the smallest first: least rounding */
        weight[i] = zipf_weight(i + 1, theta);
    for (uint64_t i = 0; i < pages; i++)
        weight[i] *= (double)pages / sum;
    level_out(zipf, weight);
    free(weight);
    return zipf;
}
