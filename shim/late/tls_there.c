/*
 * Whether there is TLS in this process at all, whoever's it is.
 *
 * The signature with which a server of TLS 1.3 proves itself is over a text that the protocol lays
 * down (RFC 8446, 4.4.3), so every implementation has that text among its constants: OpenSSL and
 * its kin, GnuTLS, NSS, Go's, Rust's; as a library, or built into a program that tells no names.
 * What is loaded is searched for it, constants first and code after: some linkers put them into one
 * segment. That takes milliseconds and reads memory that the target may never have touched, so it
 * is done only once somebody asks, by the thread that looks after the calls; read through the
 * kernel, since a file that was cut short is no reason for a crash.
 */
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "../answers.h"
#include "../object.h"
#include "../raw.h"
#include "hooks/room.h"
#include "tls.h"

static const char text[] = "TLS 1.3, server CertificateVerify";
#define LENGTH (sizeof text - 1)

enum { UNASKED, ASKED, ABSENT, PRESENT };
static _Atomic uint32_t tls;

/* What was read last. */
static char piece[16384] GRACE_ROOM(tls_piece);

static bool read_piece(uintptr_t start, size_t size)
{
    struct iovec local = {piece, size}, remote = {(void *)start, size};
    return grace_kernel(SYS_process_vm_readv, grace_getpid(), &local, 1, &remote, 1, 0) ==
           (long)size;
}

/* Also where it cannot be read. */
static bool may_contain(uintptr_t start, size_t length)
{
    while (length >= LENGTH) {
        size_t size = length < sizeof piece ? length : sizeof piece;
        if (!read_piece(start, size) || memmem(piece, size, text, LENGTH) != NULL)
            return true;
        size_t step = size - LENGTH + 1; /* it may lie across two pieces */
        start += step;
        length -= step;
    }
    return false;
}

static int look_at_object(struct dl_phdr_info *info, size_t size, void *flags)
{
    (void)size;
    if (grace_object_covers(info, (uintptr_t)text))
        return 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags == *(const ElfW(Word) *)flags &&
            may_contain(info->dlpi_addr + part->p_vaddr, part->p_filesz))
            return 1;
    }
    return 0;
}

void grace_late_tls_look(void)
{
    ElfW(Word) constants = PF_R, code = PF_R | PF_X;
    if (atomic_load(&tls) != ASKED)
        return;
    bool is_there = dl_iterate_phdr(look_at_object, &constants) != 0 ||
                    dl_iterate_phdr(look_at_object, &code) != 0;
    atomic_store(&tls, is_there ? PRESENT : ABSENT);
}

bool grace_late_tls_is_absent(bool *is_asked_first)
{
    uint32_t unasked = UNASKED;
    *is_asked_first = atomic_compare_exchange_strong(&tls, &unasked, ASKED);
    return unasked == ABSENT;
}
