#include "sim/scenario/storage.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    alignas(max_align_t) char bytes[];
};

void *grow(void *block, size_t bytes)
{
    void *grown = realloc(block, bytes ? bytes : 1);
    if (!grown) {
        fputs("nestwalk: no memory to read the scenario\n", stderr);
        abort();
    }
    return grown;
}

void *storage_take(struct storage *storage, size_t bytes)
{
    struct block *block = grow(NULL, sizeof *block + bytes);
    memset(block->bytes, 0, bytes);
    block->next = storage->blocks;
    storage->blocks = block;
    return block->bytes;
}

char *storage_copy(struct storage *storage, const char *text, size_t length)
{
    char *copy = storage_take(storage, length + 1);
    memcpy(copy, text, length);
    return copy;
}

void storage_fini(struct storage *storage)
{
    while (storage->blocks) {
        struct block *block = storage->blocks;
        storage->blocks = block->next;
        free(block);
    }
}
