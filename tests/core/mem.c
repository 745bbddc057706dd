#include "core/mem.h"
#include "core/rng.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
enum { REGION_BYTES = 8 << 20 };

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static struct mem mem_of(uint64_t bytes)
{
    struct mem mem;
    cr_assert(mem_init(&mem, bytes));
    return mem;
}

static struct mem clone_of(const struct mem *mem)
{
    struct mem clone;
    cr_assert(mem_clone(&clone, mem));
    return clone;
}

Test(mem, a_tebibyte_is_made_cheaply_and_reads_as_zero)
{
    double start = milliseconds();
    struct mem mem = mem_of(TIB);
    double took = milliseconds() - start;
    cr_log_info("1 TiB made in %.3f ms", took);
    cr_expect_lt(took, 50);
    cr_assert_eq(mem_load(&mem, 0, 8), 0);
    cr_assert_eq(mem_load(&mem, TIB - 8, 8), 0);
    for (hpa_t at = 0; at < TIB; at += 7 * GIB)
        cr_assert_eq(mem_load(&mem, at, 4), 0);
    mem_fini(&mem);
}

Test(mem, holds_what_lies_wholly_below_its_size)
{
    struct mem mem = mem_of(10000);
    cr_assert(mem_holds(&mem, 0, 10000));
    cr_assert(mem_holds(&mem, 9999, 1));
    cr_assert_not(mem_holds(&mem, 9999, 2));
    cr_assert_not(mem_holds(&mem, 10000, 0));
    cr_assert_not(mem_holds(&mem, 0, 10001));
    cr_assert_not(mem_holds(&mem, UINT64_MAX, 1));
    cr_assert_not(mem_holds(&mem, 1, UINT64_MAX));
    mem_fini(&mem);
}

Test(mem, words_of_1_2_4_and_8_bytes_are_little_endian)
{
    struct mem mem = mem_of(GIB);
    const uint64_t value = UINT64_C(0x8877665544332211);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (hpa_t at = 0; at + size <= 64; at++) {
            uint64_t mask = size == 8 ? UINT64_MAX : low_bits(8 * size);
            mem_store(&mem, 0x5000, UINT64_MAX, 8);
            mem_store(&mem, 0x5000 + at, value, size);
            cr_assert_eq(mem_load(&mem, 0x5000 + at, size), value & mask);
            for (unsigned i = 0; i < size; i++)
                cr_assert_eq(mem_load(&mem, 0x5000 + at + i, 1), 0x11 * (i + 1));
        }
    mem_fini(&mem);
}

Test(mem, a_store_changes_its_bytes_and_no_others)
{
    struct mem mem = mem_of(GIB);
    mem_store(&mem, 0x1ff8, UINT64_MAX, 8);
    mem_store(&mem, 0x1ffc, 0, 2);
    cr_assert_eq(mem_load(&mem, 0x1ff8, 8), UINT64_C(0xffff0000ffffffff));
    cr_assert_eq(mem_load(&mem, 0x1ff0, 8), 0);
    cr_assert_eq(mem_load(&mem, 0x2000, 8), 0);
    cr_assert_eq(mem_load(&mem, 0x1ff8 + REGION_BYTES, 8), 0);
    mem_fini(&mem);
}

/* The last byte of a memory whose size is no multiple of anything. */
Test(mem, the_last_odd_byte_is_there)
{
    struct mem mem = mem_of(REGION_BYTES + 4097);
    mem_store(&mem, REGION_BYTES + 4096, 0xab, 1);
    cr_assert_eq(mem_load(&mem, REGION_BYTES + 4096, 1), 0xab);
    mem_fini(&mem);
}

Test(mem, reads_and_writes_cross_frames_and_regions)
{
    enum { LENGTH = 3 * FRAME_BYTES + 5 };
    struct mem mem = mem_of(GIB);
    uint8_t in[LENGTH], out[LENGTH + 2];
    for (unsigned i = 0; i < LENGTH; i++)
        in[i] = (uint8_t)(i * 7 + 1);
    static const hpa_t places[] = {
        0, 1, 4095, 4096, REGION_BYTES - 6000, 3 * REGION_BYTES - 1, GIB - LENGTH};
    for (unsigned p = 0; p < sizeof places / sizeof *places; p++) {
        memset(out, 0xee, sizeof out);
        mem_write(&mem, places[p], in, LENGTH);
        mem_read(&mem, places[p], out + 1, LENGTH);
        cr_assert_eq(memcmp(in, out + 1, LENGTH), 0);
        cr_assert(out[0] == 0xee && out[LENGTH + 1] == 0xee);
        for (unsigned i = 0; i < LENGTH; i += 97)
            cr_assert_eq(mem_load(&mem, places[p] + i, 1), in[i]);
    }
    mem_fini(&mem);
}

Test(mem, reads_are_zero_where_nobody_wrote)
{
    struct mem mem = mem_of(TIB);
    uint8_t bytes[3 * FRAME_BYTES];
    mem_store(&mem, 0x40001000, UINT64_MAX, 8);
    memset(bytes, 0xee, sizeof bytes);
    mem_read(&mem, 0x40000000, bytes, sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++)
        cr_assert_eq(bytes[i], i >= 0x1000 && i < 0x1008 ? 0xff : 0);
    mem_fini(&mem);
}

/* A plain array beside a memory, under random reads and writes of any length. */
Test(mem, agrees_with_an_array)
{
    enum { BYTES = 2 * REGION_BYTES + 12345, LONGEST = 9000 };
    struct mem mem = mem_of(BYTES);
    uint8_t *array = calloc(1, BYTES), buffer[LONGEST];
    struct rng rng = {1};
    for (unsigned n = 0; n < 3000; n++) {
        uint64_t length = 1 + rng_below(&rng, LONGEST), at = rng_below(&rng, BYTES - length);
        if (n % 3) {
            mem_read(&mem, at, buffer, length);
            cr_assert_eq(memcmp(buffer, array + at, length), 0);
        } else {
            memset(buffer, (int)n, length);
            mem_write(&mem, at, buffer, length);
            memcpy(array + at, buffer, length);
        }
    }
    free(array);
    mem_fini(&mem);
}

Test(mem, a_clone_sees_what_was_written_before_and_nothing_after)
{
    struct mem mem = mem_of(TIB);
    mem_store(&mem, 0x1000, 1, 8);
    mem_store(&mem, 0x2000, 2, 8);
    struct mem clone = clone_of(&mem);
    cr_assert_eq(mem_load(&clone, 0x1000, 8), 1);
    mem_store(&mem, 0x1000, 11, 8);   /* a shared frame, written by the original */
    mem_store(&clone, 0x2000, 22, 8); /* and by the clone */
    mem_store(&mem, 0x3000, 3, 8);    /* a new frame in a shared region */
    mem_store(&clone, 0x4000, 4, 8);
    mem_store(&mem, GIB, 5, 8); /* a new region */
    mem_store(&clone, 2 * GIB, 6, 8);
    static const hpa_t places[] = {0x1000, 0x2000, 0x3000, 0x4000, GIB, 2 * GIB};
    static const uint64_t in_mem[] = {11, 2, 3, 0, 5, 0}, in_clone[] = {1, 22, 0, 4, 0, 6};
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(mem_load(&mem, places[i], 8), in_mem[i]);
        cr_assert_eq(mem_load(&clone, places[i], 8), in_clone[i]);
    }
    mem_fini(&mem);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(mem_load(&clone, places[i], 8), in_clone[i]);
    mem_fini(&clone);
}

Test(mem, a_shared_frame_keeps_its_other_bytes_when_one_is_written)
{
    struct mem mem = mem_of(GIB);
    for (hpa_t at = 0x7000; at < 0x8000; at += 8)
        mem_store(&mem, at, at, 8);
    struct mem clone = clone_of(&mem);
    mem_store(&clone, 0x7010, 0, 8);
    for (hpa_t at = 0x7000; at < 0x8000; at += 8)
        cr_assert_eq(mem_load(&clone, at, 8), at == 0x7010 ? 0 : at);
    mem_fini(&clone);
    mem_fini(&mem);
}

enum { FAMILY = 5, SPOTS = 40 };

/* Memory m of a family was cloned from memory m / 2; all of them write after each birth. */
static hpa_t spot(unsigned i)
{
    return (hpa_t)i * 0x1000 + (hpa_t)(i % 4) * REGION_BYTES;
}

static void check_family(const struct mem *family, const uint64_t expected[FAMILY][SPOTS],
                         const bool *alive)
{
    for (unsigned m = 0; m < FAMILY; m++)
        for (unsigned s = 0; alive[m] && s < SPOTS; s++)
            cr_assert_eq(mem_load(&family[m], spot(s), 8), expected[m][s]);
}

/* All 120 orders of freeing a memory, two clones, and two clones of clones; writes in between. */
static void free_in_order(unsigned order)
{
    struct mem family[FAMILY];
    uint64_t expected[FAMILY][SPOTS] = {0};
    bool alive[FAMILY] = {0};
    uint64_t next = 1;
    for (unsigned m = 0; m < FAMILY; m++) {
        family[m] = m ? clone_of(&family[m / 2]) : mem_of(GIB);
        alive[m] = true;
        memcpy(expected[m], expected[m / 2], sizeof *expected);
        for (unsigned o = 0; o <= m; o++)
            for (unsigned s = m + o; s < SPOTS; s += 3 + m)
                mem_store(&family[o], spot(s), expected[o][s] = next++, 8);
        check_family(family, expected, alive);
    }
    for (unsigned left = FAMILY; left; order /= left, left--) {
        unsigned pick = order % left, m = 0;
        for (; !alive[m] || pick; m++)
            pick -= alive[m];
        mem_fini(&family[m]);
        alive[m] = false;
        for (unsigned o = 0; o < FAMILY; o++)
            if (alive[o])
                mem_store(&family[o], spot(o), expected[o][o] = next++, 8);
        check_family(family, expected, alive);
    }
}

Test(mem, clones_of_clones_are_apart_and_may_go_in_any_order)
{
    for (unsigned order = 0; order < 120; order++)
        free_in_order(order);
}

Test(mem, clear_frame_makes_one_frame_zero_in_one_memory)
{
    struct mem mem = mem_of(GIB);
    mem_store(&mem, 0x1000, 1, 8);
    mem_store(&mem, 0x2000, 2, 8);
    mem_store(&mem, 0x2ff8, 3, 8);
    mem_store(&mem, 0x3000, 4, 8);
    struct mem clone = clone_of(&mem);
    mem_clear_frame(&mem, 0x2000);
    mem_clear_frame(&mem, 0x5000);  /* untouched, region known */
    mem_clear_frame(&mem, GIB / 2); /* untouched, region unknown */
    mem_clear_frame(&clone, 0x1000);
    static const uint64_t in_mem[] = {1, 0, 0, 4}, in_clone[] = {0, 2, 3, 4};
    static const hpa_t places[] = {0x1000, 0x2000, 0x2ff8, 0x3000};
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(mem_load(&mem, places[i], 8), in_mem[i]);
        cr_assert_eq(mem_load(&clone, places[i], 8), in_clone[i]);
    }
    mem_store(&mem, 0x2008, 9, 8);
    cr_assert_eq(mem_load(&mem, 0x2000, 8), 0);
    cr_assert_eq(mem_load(&mem, 0x2008, 8), 9);
    mem_fini(&mem);
    mem_fini(&clone);
}

struct visits {
    hpa_t at[8];
    uint8_t first[8];
    unsigned count;
};

static void remember(void *self, hpa_t at, const uint8_t *bytes)
{
    struct visits *v = self;
    cr_assert_lt(v->count, 8);
    v->at[v->count] = at;
    v->first[v->count++] = bytes[0];
}

Test(mem, visit_sees_each_written_frame_once_in_address_order)
{
    static const hpa_t order[] = {0x5000, 0, TIB - 4096, REGION_BYTES, 0x1000, REGION_BYTES - 4096};
    static const hpa_t sorted[] = {0, 0x5000, REGION_BYTES - 4096, REGION_BYTES, TIB - 4096};
    static const uint8_t first[] = {2, 1, 6, 4, 3};
    struct mem mem = mem_of(TIB);
    struct visits v = {.count = 0};
    mem_visit(&mem, remember, &v);
    cr_assert_eq(v.count, 0);
    for (unsigned i = 0; i < 6; i++)
        mem_store(&mem, order[i], i + 1, 1), mem_store(&mem, order[i] + 100, 1, 1);
    mem_clear_frame(&mem, 0x1000);
    struct mem clone = clone_of(&mem);
    mem_store(&mem, 0x9000, 1, 8);
    mem_visit(&clone, remember, &v);
    cr_assert_eq(v.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(v.at[i], sorted[i]);
        cr_assert_eq(v.first[i], first[i]);
    }
    mem_fini(&mem);
    mem_fini(&clone);
}

/* A clone is a keyframe: it costs the index, not the memory. The goal is 5 ms. */
Test(mem, a_clone_of_a_tebibyte_with_a_gibibyte_written_costs_its_index)
{
    enum { FRAMES = 262144, REGIONS = 1024 };
    struct mem mem = mem_of(TIB);
    for (uint64_t i = 0; i < FRAMES; i++)
        mem_store(&mem, i % REGIONS * 128 * REGION_BYTES + i / REGIONS * FRAME_BYTES, i, 8);
    double start = milliseconds();
    struct mem clone = clone_of(&mem);
    double took = milliseconds() - start;
    cr_log_info("clone of 1 TiB with %d frames: %.3f ms", FRAMES, took);
    cr_expect_lt(took, 50);
    cr_assert_eq(mem_load(&clone, 5 * 128 * (hpa_t)REGION_BYTES + FRAME_BYTES, 8), REGIONS + 5);
    mem_fini(&clone);
    mem_fini(&mem);
}
