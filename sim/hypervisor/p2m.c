#include "sim/hypervisor/p2m.h"

#include <string.h>

/* A word: bits 1:0 state, 2 write-protected, 3 withdrawn, 5:4 level, the rest the frame's address.
 */
enum { STATE = 3, PROTECTED = 4, WITHDRAWN = 8, LEVEL_SHIFT = 4, WORD = 8 };

static uint64_t place_of(gpa_t gpa)
{
    return (gpa >> FRAME_SHIFT) * WORD;
}

bool p2m_init(struct p2m *p, uint64_t bytes)
{
    p->bytes = bytes;
    return mem_init(&p->words, place_of(bytes + FRAME_BYTES - 1) + WORD);
}

void p2m_fini(struct p2m *p)
{
    mem_fini(&p->words);
}

bool p2m_clone(struct p2m *clone, const struct p2m *p)
{
    clone->bytes = p->bytes;
    clone->dropped = p->dropped;
    return mem_clone(&clone->words, &p->words);
}

struct p2m_entry p2m_get(const struct p2m *p, gpa_t gpa)
{
    if (gpa >= p->bytes)
        return (struct p2m_entry){.state = P2M_ABSENT};
    uint64_t word = mem_load(&p->words, place_of(gpa), WORD);
    return (struct p2m_entry){.state = (enum p2m_state)(word & STATE),
                              .level = word >> LEVEL_SHIFT & 3,
                              .write_protected = word & PROTECTED,
                              .withdrawn = word & WITHDRAWN,
                              .at = word & ~low_bits(FRAME_SHIFT)};
}

void p2m_put(struct p2m *p, gpa_t gpa, const struct p2m_entry *entry)
{
    p->dropped |= entry->state == P2M_KEPT;
    mem_store(&p->words, place_of(gpa),
              entry->at | entry->level << LEVEL_SHIFT | (entry->write_protected ? PROTECTED : 0) |
                  (entry->withdrawn ? WITHDRAWN : 0) | entry->state,
              WORD);
}

/* Frames in order, of pages of @p level. */
static void enter(struct p2m *p, gpa_t gpa, uint64_t bytes, unsigned level, uint64_t at)
{
    struct p2m_entry entry = {.state = P2M_PRESENT, .level = level, .at = at};
    for (uint64_t done = 0; done < bytes; done += FRAME_BYTES, entry.at += FRAME_BYTES)
        p2m_put(p, gpa + done, &entry);
}

void p2m_set(struct p2m *p, gpa_t gpa, unsigned level, uint64_t at)
{
    enter(p, gpa, p2m_page_bytes(level), level, at);
}

void p2m_split(struct p2m *p, gpa_t gpa)
{
    unsigned level = p2m_get(p, gpa).level;
    gpa_t first = gpa & -p2m_page_bytes(level);
    enter(p, first, p2m_page_bytes(level), level - 1, p2m_get(p, first).at);
}

bool p2m_is_free(const struct p2m *p, gpa_t gpa, unsigned level)
{
    gpa_t first = gpa & -p2m_page_bytes(level);
    if (level > 1 && (first >= p->bytes || p->bytes - first < p2m_page_bytes(level)))
        return false;
    for (uint64_t done = 0; done < p2m_page_bytes(level); done += FRAME_BYTES)
        if (p2m_get(p, first + done).state != P2M_ABSENT)
            return false;
    return true;
}

static void count_words(void *self, hpa_t at, const uint8_t *bytes)
{
    uint64_t *count = self, word;
    (void)at;
    for (unsigned i = 0; i < FRAME_BYTES; i += WORD) {
        memcpy(&word, bytes + i, WORD);
        *count += (word & STATE) != P2M_ABSENT;
    }
}

uint64_t p2m_count(const struct p2m *p)
{
    uint64_t count = 0;
    mem_visit(&p->words, count_words, &count);
    return count;
}
