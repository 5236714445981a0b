/*
 * Reading ELF files: only what says how a program is loaded, and who made it.
 *
 * The file is mapped and each offset checked against its length. Both word sizes are read; the
 * other byte order is only recognised.
 */
#include "elf.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct file {
    const unsigned char *at;
    size_t length;
    bool wide; /* 64 bits */
};

/* `size` bytes at an offset, or NULL where the file has no such bytes. */
static const void *bytes(const struct file *file, uint64_t offset, uint64_t size)
{
    if (offset > file->length || size > file->length - offset)
        return NULL;
    return file->at + offset;
}

/* A string that ends within the file; "" otherwise. */
static const char *string(const struct file *file, uint64_t offset)
{
    if (offset >= file->length ||
        memchr(file->at + offset, '\0', file->length - (size_t)offset) == NULL)
        return "";
    return (const char *)file->at + offset;
}

/* ---- headers, of either word size, in the wide form ----------------------------------------- */

static bool read_header(const struct file *file, Elf64_Ehdr *header)
{
    if (file->wide) {
        const void *at = bytes(file, 0, sizeof *header);
        if (at != NULL)
            memcpy(header, at, sizeof *header);
        return at != NULL;
    }
    Elf32_Ehdr narrow;
    const void *at = bytes(file, 0, sizeof narrow);
    if (at == NULL)
        return false;
    memcpy(&narrow, at, sizeof narrow);
    *header = (Elf64_Ehdr){.e_type = narrow.e_type,
                           .e_machine = narrow.e_machine,
                           .e_phoff = narrow.e_phoff,
                           .e_shoff = narrow.e_shoff,
                           .e_phentsize = narrow.e_phentsize,
                           .e_phnum = narrow.e_phnum,
                           .e_shentsize = narrow.e_shentsize,
                           .e_shnum = narrow.e_shnum,
                           .e_shstrndx = narrow.e_shstrndx};
    return true;
}

static bool read_segment(const struct file *file, const Elf64_Ehdr *header, unsigned index,
                         Elf64_Phdr *segment)
{
    uint64_t offset = header->e_phoff + (uint64_t)index * header->e_phentsize;
    if (file->wide) {
        const void *at = bytes(file, offset, sizeof *segment);
        if (at != NULL)
            memcpy(segment, at, sizeof *segment);
        return at != NULL;
    }
    Elf32_Phdr narrow;
    const void *at = bytes(file, offset, sizeof narrow);
    if (at == NULL)
        return false;
    memcpy(&narrow, at, sizeof narrow);
    *segment = (Elf64_Phdr){.p_type = narrow.p_type,
                            .p_offset = narrow.p_offset,
                            .p_vaddr = narrow.p_vaddr,
                            .p_filesz = narrow.p_filesz};
    return true;
}

static bool read_section(const struct file *file, const Elf64_Ehdr *header, unsigned index,
                         Elf64_Shdr *section)
{
    uint64_t offset = header->e_shoff + (uint64_t)index * header->e_shentsize;
    if (file->wide) {
        const void *at = bytes(file, offset, sizeof *section);
        if (at != NULL)
            memcpy(section, at, sizeof *section);
        return at != NULL;
    }
    Elf32_Shdr narrow;
    const void *at = bytes(file, offset, sizeof narrow);
    if (at == NULL)
        return false;
    memcpy(&narrow, at, sizeof narrow);
    *section = (Elf64_Shdr){
        .sh_name = narrow.sh_name, .sh_offset = narrow.sh_offset, .sh_size = narrow.sh_size};
    return true;
}

/* ---- the dynamic section -------------------------------------------------------------------- */

/* Where in the file an address of the loaded program is; UINT64_MAX: nowhere. */
static uint64_t offset_of(const struct file *file, const Elf64_Ehdr *header, uint64_t address)
{
    Elf64_Phdr segment;
    for (unsigned i = 0; i < header->e_phnum && read_segment(file, header, i, &segment); i++)
        if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
            address - segment.p_vaddr < segment.p_filesz)
            return segment.p_offset + (address - segment.p_vaddr);
    return UINT64_MAX;
}

static bool read_entry(const struct file *file, const Elf64_Phdr *segment, uint64_t index,
                       Elf64_Dyn *entry)
{
    size_t size = file->wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
    if ((index + 1) * size > segment->p_filesz)
        return false;
    const void *at = bytes(file, segment->p_offset + index * size, size);
    if (at == NULL)
        return false;
    if (file->wide) {
        memcpy(entry, at, size);
    } else {
        Elf32_Dyn narrow;
        memcpy(&narrow, at, size);
        *entry = (Elf64_Dyn){.d_tag = narrow.d_tag, .d_un.d_val = narrow.d_un.d_val};
    }
    return entry->d_tag != DT_NULL;
}

static void read_libraries(const struct file *file, const Elf64_Ehdr *header,
                           const Elf64_Phdr *segment, struct grace_elf *elf)
{
    Elf64_Dyn entry;
    uint64_t strings = UINT64_MAX;
    for (uint64_t i = 0; read_entry(file, segment, i, &entry); i++)
        if (entry.d_tag == DT_STRTAB)
            strings = offset_of(file, header, entry.d_un.d_ptr);
    for (uint64_t i = 0; read_entry(file, segment, i, &entry); i++) {
        if (entry.d_tag != DT_NEEDED)
            continue;
        if (elf->needed < GRACE_ELF_NEEDED && strings != UINT64_MAX)
            snprintf(elf->libraries[elf->needed], sizeof elf->libraries[0], "%s",
                     string(file, strings + entry.d_un.d_val));
        elf->needed++;
    }
}

/* ---- who made it ---------------------------------------------------------------------------- */

static const char *maker_of(const struct file *file, const Elf64_Ehdr *header)
{
    Elf64_Shdr names, section;
    if (!read_section(file, header, header->e_shstrndx, &names))
        return NULL;
    const char *maker = NULL;
    for (unsigned i = 0; i < header->e_shnum && read_section(file, header, i, &section); i++) {
        const char *name = string(file, names.sh_offset + section.sh_name);
        if (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0)
            return "Go";
        const void *text = bytes(file, section.sh_offset, section.sh_size);
        if (strcmp(name, ".comment") == 0 && text != NULL && section.sh_size < 65536 &&
            memmem(text, (size_t)section.sh_size, "rustc version", 13) != NULL)
            maker = "Rust";
    }
    return maker;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void read_all(const struct file *file, bool makers, struct grace_elf *elf)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    if (!read_header(file, &header)) {
        elf->damaged = true;
        return;
    }
    elf->machine = header.e_machine;
    elf->runs = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (!read_segment(file, &header, i, &segment)) {
            elf->damaged = true;
            return;
        }
        if (segment.p_type == PT_INTERP)
            snprintf(elf->interp, sizeof elf->interp, "%s", string(file, segment.p_offset));
        if (segment.p_type == PT_DYNAMIC) {
            elf->dynamic = true;
            read_libraries(file, &header, &segment, elf);
        }
    }
    if (makers)
        elf->made_by = maker_of(file, &header);
}

bool grace_elf_read(int fd, bool makers, struct grace_elf *elf)
{
    struct stat about;
    *elf = (struct grace_elf){.damaged = false};
    if (fstat(fd, &about) != 0 || about.st_size < SELFMAG)
        return false;
    struct file file = {.length = (size_t)about.st_size};
    void *memory = mmap(NULL, file.length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED)
        return false;
    file.at = memory;
    bool is_elf = memcmp(file.at, ELFMAG, SELFMAG) == 0;
    if (is_elf && file.length < EI_NIDENT) {
        elf->damaged = true;
    } else if (is_elf) {
        file.wide = file.at[EI_CLASS] == ELFCLASS64;
        elf->bits = file.wide ? 64 : 32;
        elf->big_endian = file.at[EI_DATA] == ELFDATA2MSB;
        if (!elf->big_endian)
            read_all(&file, makers, elf);
        else if (file.length >= 20)
            elf->machine = (unsigned)(file.at[18] << 8 | file.at[19]);
    }
    munmap(memory, file.length);
    return is_elf;
}

/* ---- what it means -------------------------------------------------------------------------- */

const char *grace_elf_machine_name(unsigned machine, char *buffer, size_t size)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {
        {EM_X86_64, "x86_64"}, {EM_386, "i386"},    {EM_AARCH64, "aarch64"}, {EM_ARM, "arm"},
        {EM_RISCV, "riscv"},   {EM_PPC64, "ppc64"}, {EM_S390, "s390"},       {EM_MIPS, "mips"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].machine == machine)
            return names[i].name;
    snprintf(buffer, size, "machine %u", machine);
    return buffer;
}

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#define OWN_LOADER  "ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#define OWN_LOADER  "ld-linux-aarch64.so.1"
#elif defined(__i386__)
#define OWN_MACHINE EM_386
#define OWN_LOADER  "ld-linux.so.2"
#endif

bool grace_elf_is_native(const struct grace_elf *elf)
{
    return elf->machine == OWN_MACHINE && !elf->big_endian && elf->bits == sizeof(void *) * 8;
}

const char *grace_elf_libc(const struct grace_elf *elf)
{
    const char *slash = strrchr(elf->interp, '/');
    const char *loader = slash != NULL ? slash + 1 : elf->interp;
    if (*loader == '\0')
        return "none";
    if (strcmp(loader, OWN_LOADER) == 0 || strncmp(loader, "ld-linux", 8) == 0)
        return "glibc";
    if (strncmp(loader, "ld-musl", 7) == 0)
        return "musl";
    return strncmp(loader, "linker", 6) == 0 ? "Android" : "unknown";
}
