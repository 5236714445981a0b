#include "fingerprint.h"

#include <string.h>

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

static uint64_t add_list(uint64_t hash, const char *const *list)
{
    for (; list != NULL && *list != NULL; list++)
        hash = add_string(hash, *list);
    return add_byte(hash, 2);
}

/* What a plugin is told to do is as much of the hook as a command's words. */
static uint64_t add_option(uint64_t hash, const struct grace_option_plan *option)
{
    uint64_t bits = 0;
    hash = add_string(hash, option->name);
    hash = add_number(hash, (uint64_t)option->type);
    switch (option->type) {
    case GRACE_OPTION_STRING:
        return add_string(hash, option->value.string);
    case GRACE_OPTION_INT:
        return add_number(hash, (uint64_t)option->value.integer);
    case GRACE_OPTION_FLOAT:
        memcpy(&bits, &option->value.real, sizeof option->value.real);
        return add_number(hash, bits);
    case GRACE_OPTION_BOOL:
        return add_byte(hash, option->value.boolean);
    default:
        return add_list(hash, option->value.list);
    }
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
        hash = add_number(hash, hook->timeout_ms);
        hash = add_number(hash, hook->retries);
        hash = add_number(hash, hook->abort_on_failure);
        hash = add_list(hash, hook->command);
        hash = add_number(hash, hook->option_count);
        for (size_t k = 0; k < hook->option_count; k++)
            hash = add_option(hash, &hook->options[k]);
    }
    return hash;
}
