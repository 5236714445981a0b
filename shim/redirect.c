/*
 * Redirecting calls late.
 *
 * A call from one object into another goes through a pointer that the loader filled in: an entry of
 * the caller's GOT, or a word of its data that holds a function's address. The relocation tables of
 * each object say where these are and which name each is for. So the tables are walked, and a
 * pointer that holds the original function is overwritten with the replacement: one aligned store,
 * which a thread that calls at the same moment sees whole or not at all.
 *
 *   - What a pointer holds decides, not its name alone. So nothing has to be remembered to take it
 *     all back, an object may come and go meanwhile, and a function of the target's own that merely
 *     has the name stays what it is.
 *   - With lazy binding a pointer that was never called through holds the address of code in its
 *     own object that asks the loader. It gets the replacement at once. A thread that is inside the
 *     loader for it at that moment will store the original afterwards: hence the second look.
 *   - Entries that the loader made read-only (RELRO) are made writable for the store. Such an entry
 *     that can be written without that belongs to an object which the loader has on its table just
 *     now, in dlopen: making it read-only behind our store would crash the loader. It is left for
 *     the next look.
 */
#include "redirect.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hooks/kernel.h"

#if defined(__x86_64__)
enum { SLOT_CALL = R_X86_64_JUMP_SLOT, SLOT_GOT = R_X86_64_GLOB_DAT, SLOT_DATA = R_X86_64_64 };
#elif defined(__aarch64__)
enum {
    SLOT_CALL = R_AARCH64_JUMP_SLOT,
    SLOT_GOT = R_AARCH64_GLOB_DAT,
    SLOT_DATA = R_AARCH64_ABS64
};
#elif defined(__i386__)
enum { SLOT_CALL = R_386_JMP_SLOT, SLOT_GOT = R_386_GLOB_DAT, SLOT_DATA = R_386_32 };
#else
enum { SLOT_CALL = -1, SLOT_GOT = -1, SLOT_DATA = -1 }; /* nothing is found, nothing redirected */
#endif

#if __ELF_NATIVE_CLASS == 64
#define SYMBOL_OF(info) ELF64_R_SYM(info)
#define TYPE_OF(info)   ELF64_R_TYPE(info)
#else
#define SYMBOL_OF(info) ELF32_R_SYM(info)
#define TYPE_OF(info)   ELF32_R_TYPE(info)
#endif

/* What a pointer may hold on any machine: a function's address. */
typedef _Atomic(void *) slot;

/* One relocation table of an object; with addends (RELA) or without (REL). */
struct table {
    const char *start;
    size_t bytes, entry;
};

struct object {
    const struct dl_phdr_info *info;
    const ElfW(Sym) * symbols;
    const char *names;
    struct table tables[3];
    uintptr_t sealed, sealed_end; /* what the loader made read-only */
    bool open;                    /* we made it writable */
};

struct walk {
    struct grace_redirect *redirect;
    bool undo;
    bool first;
    bool again; /* something could not be changed yet */
    int changed;
};

/* ---- one object ---------------------------------------------------------------------------- */

static bool covers(const struct dl_phdr_info *info, const void *address, unsigned flags)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & flags) == flags &&
            (uintptr_t)address - (info->dlpi_addr + part->p_vaddr) < part->p_memsz)
            return true;
    }
    return false;
}

/* The loader writes addresses over the offsets in this section, but not in every object. */
static const char *at(const struct dl_phdr_info *info, uintptr_t value)
{
    return (const char *)(value < info->dlpi_addr ? value + info->dlpi_addr : value);
}

static void read_dynamic(struct object *object, const ElfW(Dyn) * entry)
{
    const struct dl_phdr_info *info = object->info;
    struct table *calls = &object->tables[0], *rela = &object->tables[1], *rel = &object->tables[2];
    rela->entry = sizeof(ElfW(Rela));
    rel->entry = sizeof(ElfW(Rel));
    for (; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            object->symbols = (const ElfW(Sym) *)(const void *)at(info, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_STRTAB)
            object->names = at(info, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_JMPREL)
            calls->start = at(info, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_PLTRELSZ)
            calls->bytes = entry->d_un.d_val;
        else if (entry->d_tag == DT_PLTREL)
            calls->entry = entry->d_un.d_val == DT_RELA ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
        else if (entry->d_tag == DT_RELA)
            rela->start = at(info, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_RELASZ)
            rela->bytes = entry->d_un.d_val;
        else if (entry->d_tag == DT_REL)
            rel->start = at(info, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_RELSZ)
            rel->bytes = entry->d_un.d_val;
    }
}

static bool read_object(struct object *object)
{
    const struct dl_phdr_info *info = object->info;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_DYNAMIC) {
            read_dynamic(object, (const ElfW(Dyn) *)start);
        } else if (part->p_type == PT_GNU_RELRO) {
            object->sealed = start & -page;
            object->sealed_end = (start + part->p_memsz) & -page;
        }
    }
    return object->symbols != NULL && object->names != NULL;
}

static bool is_left_out(const struct walk *walk, const struct dl_phdr_info *info)
{
    const char *slash = strrchr(info->dlpi_name, '/');
    const char *file = slash == NULL ? info->dlpi_name : slash + 1;
    if (strncmp(file, "libgrace", 8) == 0)
        return true;
    for (size_t i = 0; i < walk->redirect->count; i++) {
        const struct grace_redirection *one = &walk->redirect->list[i];
        if (covers(info, one->replacement, PF_X) || covers(info, one->original, PF_X))
            return true;
    }
    return false;
}

/* ---- one pointer --------------------------------------------------------------------------- */

/* Whether memory can be written as it is: the kernel tries, with what is there already. */
static bool is_writable(slot *where, void *value)
{
    struct iovec local = {&value, sizeof value}, remote = {(void *)where, sizeof value};
    long self = grace_kernel(SYS_getpid);
    return grace_kernel(SYS_process_vm_writev, self, &local, 1, &remote, 1, 0) ==
           (long)sizeof value;
}

static bool set_protection(const struct object *object, int protection)
{
    return grace_kernel(SYS_mprotect, object->sealed, object->sealed_end - object->sealed,
                        protection) == 0;
}

static void store(struct walk *walk, struct object *object, slot *where, void *old, void *new)
{
    uintptr_t address = (uintptr_t)where;
    bool is_sealed = address >= object->sealed && address < object->sealed_end;
    if (is_sealed && !object->open) {
        if (is_writable(where, old) || !set_protection(object, PROT_READ | PROT_WRITE)) {
            walk->again = true;
            return;
        }
        object->open = true;
    }
    /* Release: what the replacement needs was written before. */
    if (atomic_compare_exchange_strong_explicit(where, &old, new, memory_order_release,
                                                memory_order_relaxed))
        walk->changed++;
}

static void look_at(struct walk *walk, struct object *object, const ElfW(Sym) * symbol,
                    unsigned type, slot *where)
{
    const char *name = object->names + symbol->st_name;
    for (size_t i = 0; i < walk->redirect->count; i++) {
        const struct grace_redirection *one = &walk->redirect->list[i];
        if (one->original == NULL || strcmp(name, one->name) != 0)
            continue;
        void *from = walk->undo ? one->replacement : one->original;
        void *to = walk->undo ? one->original : one->replacement;
        void *held = atomic_load_explicit(where, memory_order_relaxed);
        bool is_unbound = !walk->undo && one->unbound && type == (unsigned)SLOT_CALL &&
                          symbol->st_shndx == SHN_UNDEF && covers(object->info, held, PF_X);
        if (held == from || is_unbound) {
            store(walk, object, where, held, to);
            return;
        }
    }
}

/* ---- all of them --------------------------------------------------------------------------- */

static void look_at_table(struct walk *walk, struct object *object, const struct table *table)
{
    for (size_t i = 0; table->start != NULL && i + table->entry <= table->bytes;
         i += table->entry) {
        /* A Rel is how a Rela begins. */
        const ElfW(Rel) *relocation = (const ElfW(Rel) *)(const void *)(table->start + i);
        unsigned type = (unsigned)TYPE_OF(relocation->r_info);
        uintptr_t where = object->info->dlpi_addr + relocation->r_offset;
        if ((type != (unsigned)SLOT_CALL && type != (unsigned)SLOT_GOT &&
             type != (unsigned)SLOT_DATA) ||
            where % sizeof(void *) != 0 || !covers(object->info, (void *)where, PF_W))
            continue;
        look_at(walk, object, &object->symbols[SYMBOL_OF(relocation->r_info)], type, (slot *)where);
    }
}

static int look_at_object(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    struct walk *walk = argument;
    struct grace_redirect *redirect = walk->redirect;
    if (walk->first && !walk->undo) {
        if (redirect->adds != info->dlpi_adds)
            redirect->looks = 0;
        else if (redirect->looks >= 2)
            return 1;
        redirect->adds = info->dlpi_adds;
    }
    walk->first = false;
    struct object object = {.info = info};
    if (is_left_out(walk, info) || !read_object(&object))
        return 0;
    for (size_t i = 0; i < sizeof object.tables / sizeof *object.tables; i++)
        look_at_table(walk, &object, &object.tables[i]);
    if (object.open)
        set_protection(&object, PROT_READ);
    return 0;
}

static int walk_objects(struct grace_redirect *redirect, bool undo)
{
    int saved = errno;
    struct walk walk = {.redirect = redirect, .undo = undo, .first = true};
    if (dl_iterate_phdr(look_at_object, &walk) == 0 && !walk.again)
        redirect->looks++;
    if (undo)
        redirect->looks = 0;
    errno = saved;
    return walk.changed;
}

int grace_redirect(struct grace_redirect *redirect)
{
    return walk_objects(redirect, false);
}

int grace_redirect_undo(struct grace_redirect *redirect)
{
    return walk_objects(redirect, true);
}
