#include "sim/fuzz/program.h"

#include <inttypes.h>
#include <stdio.h>

/* Words that follow one another are one image. */
static void make_images(const struct fuzz_program *p, struct fuzz_scenario *s)
{
    uint8_t *bytes = s->bytes;
    struct image_config *image = NULL;
    for (unsigned i = 0; i < p->n_words; i++) {
        const struct fuzz_word *word = &p->word[i];
        if (!image || image->gpa + image->length != word->gpa) {
            image = &s->image[s->vm.n_images++];
            *image = (struct image_config){.gpa = word->gpa, .bytes = bytes};
        }
        for (unsigned b = 0; b < 8; b++)
            *bytes++ = (uint8_t)(word->value >> 8 * b);
        image->length += 8;
    }
}

void program_scenario(const struct fuzz_program *p, const struct profile *profile, enum mode mode,
                      struct fuzz_scenario *s)
{
    s->vm = vm_config_default();
    s->vm.name = "vm0";
    s->vm.mode = mode;
    s->vm.raw = true;
    s->vm.paging = (enum paging)p->levels;
    s->vm.memory = p->memory;
    s->vm.vcpus = 1;
    s->vm.registers = p->registers;
    s->vm.images = s->image;
    make_images(p, s);
    snprintf(s->title, sizeof s->title, "Program %" PRIu64 " of fuzz --seed %" PRIu64, p->number,
             p->seed);
    s->scenario = (struct scenario){.path = s->title,
                                    .title = s->title,
                                    .script = p->item,
                                    .n_script = p->n_items,
                                    .machine = {.profile = *profile,
                                                .cpus = 1,
                                                .memory = (uint64_t)8 << 30,
                                                .seed = 1,
                                                .vms = &s->vm,
                                                .n_vms = 1}};
}

unsigned program_accesses(const struct fuzz_program *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->n_items; i++)
        n += p->item[i].verb == VERB_access;
    return n;
}
