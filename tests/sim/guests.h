/*
 * A guest OS alone, without a machine: a port that keeps memory of its own and writes down what
 * the guest OS does to it.
 */
#ifndef TESTS_SIM_GUESTS_H
#define TESTS_SIM_GUESTS_H

#include "tests/sim/machines.h"

/* One change of memory, by whomever. */
struct change {
    enum { CHANGE_STORE, CHANGE_ZERO, CHANGE_OUT, CHANGE_IN, CHANGE_PROGRAM } kind;
    gpa_t at;
    uint64_t value; /* of a store; the slot of a page that goes or comes */
    uint64_t bytes;
    unsigned level;
};

struct recorder {
    struct mem mem, disk;
    struct change *list;
    size_t n, room;
    uint64_t invlpg, mov_cr3, told[EVENT_KINDS];
};

/* ---- changes, done ---- */

static inline void copy_bytes(struct mem *to, hpa_t to_at, const struct mem *from, hpa_t from_at,
                              uint64_t bytes)
{
    uint8_t *buffer = malloc(bytes);
    cr_assert(buffer != NULL);
    mem_read(from, from_at, buffer, bytes);
    mem_write(to, to_at, buffer, bytes);
    free(buffer);
}

static inline void make_change(struct mem *mem, struct mem *disk, const struct change *c)
{
    uint8_t *zeroes;
    switch (c->kind) {
    case CHANGE_ZERO:
        zeroes = calloc(1, c->bytes);
        cr_assert(zeroes != NULL);
        mem_write(mem, c->at, zeroes, c->bytes);
        free(zeroes);
        break;
    case CHANGE_OUT:
        copy_bytes(disk, c->value * c->bytes, mem, c->at, c->bytes);
        break;
    case CHANGE_IN:
        copy_bytes(mem, c->at, disk, c->value * c->bytes, c->bytes);
        break;
    default:
        mem_store(mem, c->at, c->value, (unsigned)c->bytes);
    }
}

static inline void record_change(struct recorder *r, struct change change)
{
    if (r->n == r->room) {
        r->room = r->room ? 2 * r->room : 1024;
        r->list = realloc(r->list, r->room * sizeof *r->list);
        cr_assert(r->list != NULL);
    }
    r->list[r->n++] = change;
    make_change(&r->mem, &r->disk, &change);
}

/* ---- the port ---- */

static inline uint64_t recorder_load(void *self, gpa_t at, unsigned size)
{
    return mem_load(&((struct recorder *)self)->mem, at, size);
}

static inline void recorder_store(void *self, gpa_t at, uint64_t value, unsigned size,
                                  unsigned level)
{
    record_change(self, (struct change){CHANGE_STORE, at, value, size, level});
}

static inline void recorder_zero(void *self, gpa_t at, uint64_t bytes)
{
    record_change(self, (struct change){CHANGE_ZERO, at, 0, bytes, 0});
}

static inline void recorder_invlpg(void *self, gva_t gva)
{
    (void)gva;
    ((struct recorder *)self)->invlpg++;
}

static inline void recorder_mov_cr3(void *self, uint64_t value)
{
    (void)value;
    ((struct recorder *)self)->mov_cr3++;
}

static inline void recorder_page_out(void *self, gpa_t from, uint64_t slot, uint64_t bytes)
{
    record_change(self, (struct change){CHANGE_OUT, from, slot, bytes, 0});
}

static inline void recorder_page_in(void *self, gpa_t to, uint64_t slot, uint64_t bytes)
{
    record_change(self, (struct change){CHANGE_IN, to, slot, bytes, 0});
}

static inline void recorder_tell(void *self, unsigned event, gva_t gva, uint64_t value)
{
    (void)gva, (void)value;
    cr_assert_lt(event, EVENT_KINDS);
    ((struct recorder *)self)->told[event]++;
}

static const struct port_ops recorder_ops = {
    .load = recorder_load,
    .store = recorder_store,
    .zero = recorder_zero,
    .invlpg = recorder_invlpg,
    .mov_cr3 = recorder_mov_cr3,
    .page_out = recorder_page_out,
    .page_in = recorder_page_in,
    .tell = recorder_tell,
};

/* ---- a guest OS on it ---- */

struct lone {
    struct vm_config config;
    struct process_config process[4];
    struct guest guest;
    struct recorder recorder;
    struct port port;
};

static inline struct format lone_format(const struct vm_config *config)
{
    const struct format_limits limits = {
        .maxphyaddr = 46, .nx = true, .pse = true, .pages_1g = true, .global = true};
    return config->paging ? format_x86(config->paging, &limits)
                          : format_textbook(&config->geometry);
}

/* A guest OS of @p config, but for its processes, of which it gets @p n without areas. */
static inline struct lone *lone_new(const struct vm_config *config, unsigned n)
{
    struct lone *l = calloc(1, sizeof *l);
    cr_assert(l != NULL && n <= 4);
    l->config = *config;
    l->config.processes = l->process;
    l->config.n_processes = n;
    l->port = (struct port){&recorder_ops, &l->recorder};
    struct format format = lone_format(config);
    cr_assert(mem_init(&l->recorder.mem, config->memory));
    cr_assert(mem_init(&l->recorder.disk, (uint64_t)1 << 32));
    cr_assert(guest_init(&l->guest, &l->config, &format));
    return l;
}

static inline void lone_free(struct lone *l)
{
    guest_fini(&l->guest);
    mem_fini(&l->recorder.mem);
    mem_fini(&l->recorder.disk);
    free(l->recorder.list);
    free(l);
}

/*
 * The MMU's part, written anew: the entry that maps @p gva, for 4-level paging with 4 KiB and 2 MiB
 * pages. 0: none.
 */
static inline gpa_t leaf_entry(const struct mem *mem, gpa_t root, gva_t gva, gpa_t *page)
{
    gpa_t table = root;
    for (unsigned shift = 39;; shift -= 9) {
        gpa_t at = table + (gva >> shift & 511) * 8;
        uint64_t entry = mem_load(mem, at, 8);
        if (!(entry & 1))
            return 0;
        table = entry & 0x000ffffffffff000;
        if (shift == 12 || entry & 0x80) {
            *page = table + (gva & (((uint64_t)1 << shift) - 1) & ~(uint64_t)7);
            return at;
        }
    }
}

#endif
