#include "arena.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif

#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define poison(address, size)   ASAN_POISON_MEMORY_REGION(address, size)
#define unpoison(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#define GAP                     16u /* between two pieces, so that running over one is seen */
#else
#define poison(address, size)   ((void)0)
#define unpoison(address, size) ((void)0)
#define GAP                     0u
#endif

#define ALIGNMENT _Alignof(max_align_t)

/* Mapped at once; pages that are never touched cost nothing. */
#define CHUNK ((size_t)64 * 1024)

struct grace_arena_chunk {
    struct grace_arena_chunk *older;
    size_t size; /* of the whole mapping */
    size_t used; /* this header included */
};

static size_t round_up(size_t size, size_t step)
{
    return (size + step - 1) / step * step;
}

static struct grace_arena_chunk *chunk_map(size_t needed)
{
    size_t header = round_up(sizeof(struct grace_arena_chunk), ALIGNMENT);
    size_t size = round_up(header + needed, CHUNK);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct grace_arena_chunk *chunk = memory;
    *chunk = (struct grace_arena_chunk){.size = size, .used = header};
    poison((char *)memory + header, size - header);
    return chunk;
}

void *grace_arena_take(struct grace_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t step = round_up(size, ALIGNMENT) + GAP;
    struct grace_arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < step) {
        chunk = chunk_map(step);
        if (chunk == NULL)
            return NULL;
        chunk->older = arena->chunks;
        arena->chunks = chunk;
    }
    void *piece = (char *)chunk + chunk->used;
    chunk->used += step;
    unpoison(piece, size);
    return piece;
}

void grace_arena_seal(const struct grace_arena *arena)
{
    int saved = errno;
    for (struct grace_arena_chunk *chunk = arena->chunks; chunk != NULL; chunk = chunk->older)
        mprotect(chunk, chunk->size, PROT_READ); /* failing, it is as good as before */
    errno = saved;
}

void grace_arena_free(const struct grace_arena *arena)
{
    int saved = errno;
    for (struct grace_arena_chunk *chunk = arena->chunks, *older; chunk != NULL; chunk = older) {
        older = chunk->older;
        unpoison(chunk, chunk->size);
        munmap(chunk, chunk->size);
    }
    errno = saved;
}
