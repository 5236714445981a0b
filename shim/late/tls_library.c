/*
 * Finding OpenSSL. A process may have several: the system's, and one that a module has brought
 * along under another name. Each shared object that defines the calls and what we need of them is
 * one; a call that goes to it reaches a replacement that knows which. What is built into a program
 * calls itself directly, and GnuTLS's imitation lacks the rest: both are left alone.
 */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "../object.h"
#include "../redirect.h"
#include "hooks/room.h"
#include "tls.h"

#define LIBRARIES 4
#define CALLS     2
#define NAME      512

static struct {
    struct grace_tls_library known[LIBRARIES];
    size_t count;
    struct grace_redirection list[CALLS * LIBRARIES];
    struct grace_redirect redirect;
    unsigned long long adds; /* the loader's count of objects when it was looked for last */
} libraries GRACE_ROOM(tls_libraries);

/* ---- the replacements ---------------------------------------------------------------------- */

#define DOORS(number)                                                                              \
    static int write_##number(void *ssl, const void *bytes, int length)                            \
    {                                                                                              \
        return grace_tls_write(&libraries.known[number], ssl, bytes, length);                      \
    }                                                                                              \
    static int write_ex_##number(void *ssl, const void *bytes, size_t length, size_t *written)     \
    {                                                                                              \
        return grace_tls_write_ex(&libraries.known[number], ssl, bytes, length, written);          \
    }
DOORS(0)
DOORS(1)
DOORS(2)
DOORS(3)
#undef DOORS

static void *const doors[LIBRARIES][CALLS] = {
    {(void *)write_0, (void *)write_ex_0},
    {(void *)write_1, (void *)write_ex_1},
    {(void *)write_2, (void *)write_ex_2},
    {(void *)write_3, (void *)write_ex_3},
};

/* ---- one library --------------------------------------------------------------------------- */

/* As in struct grace_tls_library, the calls first; those of libssl, then of libcrypto. */
static const char *const names[] = {
    "SSL_write",
    "SSL_write_ex",
    "SSL_is_server",
    "SSL_is_init_finished",
    "SSL_get_server_random",
    "SSL_get0_alpn_selected",
    "SSL_get_rbio",
    "SSL_get_wbio",
    "SSL_ctrl",
    "BIO_method_type",
    "BIO_number_read",
    "BIO_ctrl",
};
#define NAMES     (sizeof names / sizeof *names)
#define OF_LIBSSL 9
_Static_assert(sizeof(struct grace_tls_library) == NAMES * sizeof(void *), "a name for each");

static bool is_known(const void *write)
{
    for (size_t i = 0; i < libraries.count; i++)
        if ((const void *)libraries.known[i].write == write)
            return true;
    return false;
}

/* It stays loaded from now on. */
static void learn(const char *file, void *write)
{
    void *functions[NAMES], *object = dlopen(file, RTLD_NOLOAD | RTLD_LAZY);
    if (object == NULL)
        return;
    for (size_t i = 0; i < NAMES; i++)
        if ((functions[i] = dlsym(object, names[i])) == NULL)
            return;
    if (functions[0] != write || !grace_tls_objects_make())
        return;
    memcpy(&libraries.known[libraries.count], functions, sizeof functions);
    for (size_t i = 0; i < CALLS; i++)
        libraries.list[libraries.redirect.count + i] = (struct grace_redirection){
            names[i], doors[libraries.count][i], functions[i], .unbound = false};
    libraries.redirect.list = libraries.list;
    libraries.redirect.count += CALLS;
    libraries.redirect.looks = 0;
    libraries.count++;
}

/* ---- all of them --------------------------------------------------------------------------- */

/* In the loader's list, where it must not be asked for more. */
struct search {
    bool first;
    size_t defined; /* how many objects define SSL_write at all */
    size_t count;
    struct {
        void *write;
        char file[NAME];
    } found[LIBRARIES];
};

static int look_at_object(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    struct search *search = argument;
    struct grace_function function, write;
    if (search->first && libraries.adds == info->dlpi_adds)
        return 1;
    search->first = false;
    libraries.adds = info->dlpi_adds;
    if (!grace_object_function(info, names[0], &write))
        return 0;
    search->defined++;
    size_t length = strlen(info->dlpi_name);
    if (length == 0 || length >= NAME || search->count == LIBRARIES)
        return 0;
    for (size_t i = 0; i < OF_LIBSSL; i++)
        if (!grace_object_function(info, names[i], &function))
            return 0;
    search->found[search->count].write = (void *)write.address;
    memcpy(search->found[search->count++].file, info->dlpi_name, length + 1);
    return 0;
}

static void look_for_libraries(void)
{
    struct search search = {.first = true};
    if (dl_iterate_phdr(look_at_object, &search) != 0)
        return;
    for (size_t i = 0; i < search.count && libraries.count < LIBRARIES; i++)
        if (!is_known(search.found[i].write))
            learn(search.found[i].file, search.found[i].write);
    /* A call that was never made is bound to it only if it is the only one. */
    for (size_t i = 0; i < libraries.redirect.count; i++)
        libraries.list[i].unbound = search.defined == 1;
}

void grace_late_tls_begin(void)
{
    grace_tls_objects_begin();
}

void grace_late_tls_apply(void)
{
    look_for_libraries();
    if (libraries.count > 0)
        grace_redirect(&libraries.redirect);
}

void grace_late_tls_end(void)
{
    if (grace_tls_objects_end() && libraries.count > 0)
        grace_redirect_undo(&libraries.redirect);
}
