#include "fingerprint.h"

/* FNV-1a, 64 bits. */
#define BASIS UINT64_C(0xcbf29ce484222325)
#define PRIME UINT64_C(0x100000001b3)

static uint64_t add_byte(uint64_t hash, unsigned byte)
{
    return (hash ^ byte) * PRIME;
}

static uint64_t add_number(uint64_t hash, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        hash = add_byte(hash, (unsigned)(number >> (8 * i)) & 0xff);
    return hash;
}

/* With its end, so that "ab", "c" differs from "a", "bc"; NULL differs from "". */
static uint64_t add_string(uint64_t hash, const char *string)
{
    if (string == NULL)
        return add_byte(hash, 1);
    for (; *string != '\0'; string++)
        hash = add_byte(hash, (unsigned char)*string);
    return add_byte(hash, 0);
}

uint64_t grace_plan_fingerprint(const struct grace_plan *plan)
{
    uint64_t hash = add_number(BASIS, plan->hook_count);
    for (size_t i = 0; i < plan->hook_count; i++) {
        const struct grace_hook_plan *hook = &plan->hooks[i];
        hash = add_string(hash, hook->name);
        hash = add_number(hash, (uint64_t)hook->phase);
        hash = add_string(hash, hook->plugin);
        hash = add_string(hash, hook->user);
        hash = add_number(hash, hook->causes);
        for (const char *const *word = hook->command; word != NULL && *word != NULL; word++)
            hash = add_string(hash, *word);
    }
    return hash;
}
