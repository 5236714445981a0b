#include "object.h"

#include <string.h>

/* The linker's own marks of where this object begins and ends. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

bool grace_object_is_own(uintptr_t address)
{
    return address >= (uintptr_t)__ehdr_start && address < (uintptr_t)_end;
}

bool grace_object_covers(const struct dl_phdr_info *object, uintptr_t address)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            address - (object->dlpi_addr + part->p_vaddr) < part->p_memsz)
            return true;
    }
    return false;
}

/* ---- symbols ------------------------------------------------------------------------------- */

struct tables {
    const uint32_t *hash;
    const ElfW(Sym) * symbols;
    const char *strings;
};

/* glibc turns the addresses in the dynamic section into absolute ones where that memory can be
 * written; elsewhere (the vDSO) they still are offsets. */
static const void *at(const struct dl_phdr_info *object, ElfW(Addr) address)
{
    ElfW(Addr) absolute = address < object->dlpi_addr ? object->dlpi_addr + address : address;
    return (const void *)absolute; /* NOLINT(performance-no-int-to-ptr) */
}

static const ElfW(Dyn) * dynamic_of(const struct dl_phdr_info *object)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return at(object, object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
    return NULL;
}

static bool find_tables(const struct dl_phdr_info *object, struct tables *tables)
{
    memset(tables, 0, sizeof *tables);
    for (const ElfW(Dyn) *entry = dynamic_of(object); entry != NULL && entry->d_tag != DT_NULL;
         entry++) {
        if (entry->d_tag == DT_GNU_HASH)
            tables->hash = at(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_SYMTAB)
            tables->symbols = at(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_STRTAB)
            tables->strings = at(object, entry->d_un.d_ptr);
    }
    return tables->hash != NULL && tables->symbols != NULL && tables->strings != NULL;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != '\0'; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static bool is_function(const ElfW(Sym) * symbol)
{
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF;
}

/* The table's header: number of buckets, index of the first symbol in it, words of its filter. */
static const ElfW(Sym) * look_up(const struct tables *tables, const char *name)
{
    enum { BUCKETS, FIRST, FILTER_WORDS, FILTER_SHIFT, HEADER };
    const uint32_t *table = tables->hash;
    const uint32_t *buckets =
        table + HEADER + table[FILTER_WORDS] * (sizeof(ElfW(Addr)) / sizeof *table);
    const uint32_t *chains = buckets + table[BUCKETS];
    uint32_t hash = hash_of(name);
    if (table[BUCKETS] == 0)
        return NULL;
    uint32_t index = buckets[hash % table[BUCKETS]];
    if (index < table[FIRST]) /* an empty bucket */
        return NULL;
    for (;; index++) {
        uint32_t entry = chains[index - table[FIRST]];
        const ElfW(Sym) *symbol = &tables->symbols[index];
        if ((entry | 1) == (hash | 1) && is_function(symbol) &&
            strcmp(tables->strings + symbol->st_name, name) == 0)
            return symbol;
        if (entry & 1) /* the last of its bucket */
            return NULL;
    }
}

bool grace_object_function(const struct dl_phdr_info *object, const char *name,
                           struct grace_function *function)
{
    struct tables tables;
    const ElfW(Sym) *symbol = find_tables(object, &tables) ? look_up(&tables, name) : NULL;
    if (symbol == NULL)
        return false;
    *function = (struct grace_function){object->dlpi_addr + symbol->st_value, symbol->st_size};
    return true;
}

bool grace_object_needs(const struct dl_phdr_info *object, const char *name)
{
    struct tables tables;
    if (!find_tables(object, &tables))
        return false;
    for (const ElfW(Dyn) *entry = dynamic_of(object); entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_NEEDED && strcmp(tables.strings + entry->d_un.d_val, name) == 0)
            return true;
    return false;
}

/* ---- searches ------------------------------------------------------------------------------ */

struct search {
    const char *name;
    struct grace_function *function;
    bool found;
};

/* libc is told by a function that nobody else has. */
static int look_in_libc(struct dl_phdr_info *object, size_t size, void *argument)
{
    struct search *search = argument;
    struct grace_function mark;
    (void)size;
    if (!grace_object_function(object, "gnu_get_libc_version", &mark))
        return 0;
    search->found = grace_object_function(object, search->name, search->function);
    return 1;
}

bool grace_libc_function(const char *name, struct grace_function *function)
{
    struct search search = {.name = name, .function = function};
    dl_iterate_phdr(look_in_libc, &search);
    return search.found;
}

static int look_for_own(struct dl_phdr_info *object, size_t size, void *name)
{
    (void)size;
    if (!grace_object_covers(object, (uintptr_t)&look_for_own))
        return 0;
    *(const char **)name = object->dlpi_name;
    return 1;
}

const char *grace_object_own_name(void)
{
    const char *name = NULL;
    dl_iterate_phdr(look_for_own, &name);
    return name;
}
