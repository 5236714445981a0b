/*
 * What a plugin is, read from its file: none of its code runs.
 *
 * It is read the way ld.so would: program headers, the dynamic section, the hash table, the symbol.
 * Section headers are not looked at; a stripped file has none. The file is not trusted: each read
 * is checked against its size, each loop has a bound, and nothing is mapped (a mapped file that
 * somebody truncates would end us by SIGBUS).
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin.h"

#define SYMBOL       "grace_hook"
#define PARTS_MAX    128
#define DYNAMIC_MAX  4096
#define CHAIN_MAX    65536
#define NATIVE_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#elif defined(__i386__)
#define NATIVE_MACHINE EM_386
#elif defined(__arm__)
#define NATIVE_MACHINE EM_ARM
#elif defined(__riscv)
#define NATIVE_MACHINE EM_RISCV
#else
#define NATIVE_MACHINE EM_NONE /* not checked */
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

struct file {
    int fd;
    uint64_t size;
    ElfW(Phdr) parts[PARTS_MAX];
    unsigned part_count;
    /* From the dynamic section; addresses as in memory, 0: not there. */
    uint64_t symbols, strings, strings_size, hash, gnu_hash;
};

static bool read_at(const struct file *file, uint64_t offset, void *buffer, size_t size)
{
    if (offset > file->size || size > file->size - offset)
        return false;
    char *at = buffer;
    while (size > 0) {
        ssize_t length = pread(file->fd, at, size, (off_t)offset);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return false;
        at += length;
        offset += (uint64_t)length;
        size -= (size_t)length;
    }
    return true;
}

/* Read what will be at a virtual address; false where nothing of the file will be. */
static bool read_address(const struct file *file, uint64_t address, void *buffer, size_t size)
{
    for (unsigned i = 0; i < file->part_count; i++) {
        const ElfW(Phdr) *part = &file->parts[i];
        if (part->p_type != PT_LOAD || address < part->p_vaddr ||
            address - part->p_vaddr > part->p_filesz ||
            size > part->p_filesz - (address - part->p_vaddr))
            continue;
        uint64_t within = address - part->p_vaddr;
        if (part->p_offset > UINT64_MAX - within)
            return false;
        return read_at(file, part->p_offset + within, buffer, size);
    }
    return false;
}

/* base + index * size, false when that is beyond what an address can be. */
static bool element(uint64_t base, uint64_t index, uint64_t size, uint64_t *address)
{
    uint64_t offset;
    return !__builtin_mul_overflow(index, size, &offset) &&
           !__builtin_add_overflow(base, offset, address);
}

static bool read_word(const struct file *file, uint64_t base, uint64_t index, uint32_t *word)
{
    uint64_t address;
    return element(base, index, sizeof *word, &address) &&
           read_address(file, address, word, sizeof *word);
}

static const char *read_headers(struct file *file)
{
    ElfW(Ehdr) header;
    if (!read_at(file, 0, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return "it is no ELF file";
    if (header.e_ident[EI_CLASS] != NATIVE_CLASS || header.e_ident[EI_DATA] != NATIVE_DATA ||
        (NATIVE_MACHINE != EM_NONE && header.e_machine != NATIVE_MACHINE))
        return "it is built for another architecture";
    if (header.e_type != ET_DYN)
        return "it is no shared object";
    if (header.e_phentsize != sizeof(ElfW(Phdr)) || header.e_phnum > PARTS_MAX ||
        !read_at(file, header.e_phoff, file->parts, header.e_phnum * sizeof(ElfW(Phdr))))
        return "its program headers are damaged";
    file->part_count = header.e_phnum;
    return NULL;
}

static void note_dynamic(struct file *file, const ElfW(Dyn) * entry)
{
    switch (entry->d_tag) {
    case DT_SYMTAB:
        file->symbols = entry->d_un.d_ptr;
        break;
    case DT_STRTAB:
        file->strings = entry->d_un.d_ptr;
        break;
    case DT_STRSZ:
        file->strings_size = entry->d_un.d_val;
        break;
    case DT_HASH:
        file->hash = entry->d_un.d_ptr;
        break;
    case DT_GNU_HASH:
        file->gnu_hash = entry->d_un.d_ptr;
        break;
    default:
        break;
    }
}

static const char *read_dynamic(struct file *file)
{
    const ElfW(Phdr) *dynamic = NULL;
    for (unsigned i = 0; i < file->part_count; i++) {
        if (file->parts[i].p_type == PT_DYNAMIC)
            dynamic = &file->parts[i];
    }
    if (dynamic == NULL)
        return "it has no dynamic section";
    for (unsigned i = 0; i < DYNAMIC_MAX; i++) {
        ElfW(Dyn) entry;
        uint64_t address;
        if (!element(dynamic->p_vaddr, i, sizeof entry, &address) ||
            !read_address(file, address, &entry, sizeof entry))
            return "its dynamic section is damaged";
        if (entry.d_tag == DT_NULL)
            return file->symbols != 0 && file->strings != 0 ? NULL : "it has no symbols";
        note_dynamic(file, &entry);
    }
    return "its dynamic section is damaged";
}

/* Symbol number `index`; true when it is the one that we look for, defined here. */
static bool is_wanted(const struct file *file, uint64_t index, ElfW(Sym) * symbol)
{
    uint64_t address;
    char name[sizeof SYMBOL];
    return element(file->symbols, index, sizeof *symbol, &address) &&
           read_address(file, address, symbol, sizeof *symbol) &&
           symbol->st_name < file->strings_size &&
           element(file->strings, symbol->st_name, 1, &address) &&
           read_address(file, address, name, sizeof name) &&
           memcmp(name, SYMBOL, sizeof SYMBOL) == 0 && symbol->st_shndx != SHN_UNDEF;
}

/* DT_GNU_HASH: header of 4 words, bloom filter, buckets, chains; a chain's last word is odd. */
static bool find_by_gnu_hash(const struct file *file, ElfW(Sym) * symbol)
{
    uint32_t head[4], hash = 5381, index, word;
    if (!read_address(file, file->gnu_hash, head, sizeof head) || head[0] == 0)
        return false;
    for (const char *c = SYMBOL; *c != '\0'; c++)
        hash = hash * 33 + (unsigned char)*c;
    uint64_t buckets, chains;
    if (!element(file->gnu_hash + sizeof head, head[2], sizeof(ElfW(Addr)), &buckets) ||
        !element(buckets, head[0], sizeof word, &chains) ||
        !read_word(file, buckets, hash % head[0], &index) || index < head[1])
        return false;
    for (unsigned step = 0; step < CHAIN_MAX; step++, index++) {
        if (!read_word(file, chains, index - head[1], &word))
            return false;
        if ((word | 1) == (hash | 1) && is_wanted(file, index, symbol))
            return true;
        if (word & 1)
            return false;
    }
    return false;
}

/* DT_HASH: number of buckets, number of chains, buckets, chains. */
static bool find_by_hash(const struct file *file, ElfW(Sym) * symbol)
{
    uint32_t head[2], hash = 0, index;
    if (!read_address(file, file->hash, head, sizeof head) || head[0] == 0)
        return false;
    for (const char *c = SYMBOL; *c != '\0'; c++) {
        hash = (hash << 4) + (unsigned char)*c;
        hash ^= (hash & 0xf0000000u) >> 24;
        hash &= 0x0fffffffu;
    }
    if (!read_word(file, file->hash, 2 + (uint64_t)(hash % head[0]), &index))
        return false;
    for (unsigned step = 0; step < CHAIN_MAX && index != 0; step++) {
        if (is_wanted(file, index, symbol))
            return true;
        if (!read_word(file, file->hash, 2 + (uint64_t)head[0] + index, &index))
            return false;
    }
    return false;
}

/* The three numbers that struct grace_hook begins with. */
static const char *read_hook(struct file *file, uint32_t numbers[3])
{
    const char *wrong = read_headers(file);
    if (wrong == NULL)
        wrong = read_dynamic(file);
    if (wrong != NULL)
        return wrong;
    ElfW(Sym) symbol;
    bool found = file->gnu_hash != 0 && find_by_gnu_hash(file, &symbol);
    if (!found)
        found = file->hash != 0 && find_by_hash(file, &symbol);
    if (!found)
        return "it exports no `grace_hook`";
    if (!read_address(file, symbol.st_value, numbers, 3 * sizeof numbers[0]))
        return "its `grace_hook` is no initialised constant";
    return NULL;
}

static int open_plugin(const char *path, struct file *file, struct grace_error *error)
{
    /* Non-blocking, so that a FIFO does not hold us. */
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file->fd < 0)
        return grace_error_set(error, "cannot open plugin %s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        file->size = (uint64_t)status.st_size;
        return 0;
    }
    close(file->fd);
    return grace_error_set(error, "%s is no libgrace plugin: it is no regular file", path);
}

int grace_plugin_peek(const char *path, uint32_t *flags, struct grace_error *error)
{
    struct file file = {.fd = -1};
    if (open_plugin(path, &file, error) != 0)
        return -1;
    uint32_t numbers[3] = {0, 0, 0}; /* abi, size, flags */
    const char *wrong = read_hook(&file, numbers);
    close(file.fd);
    if (wrong != NULL)
        return grace_error_set(error, "%s is no libgrace plugin: %s", path, wrong);
    if (grace_plugin_check_numbers(path, numbers[0], numbers[1], numbers[2], error) != 0)
        return -1;
    *flags = numbers[2];
    return 0;
}
