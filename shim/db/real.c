/*
 * Finding the functions that our wrappers stand before.
 *
 * A wrapper is called in place of what the loader would have found without us: behind us in the
 * order of the objects that were there at the start, or in the caller's own object and what it was
 * loaded with: an interpreter's module brings its library along, out of RTLD_NEXT's sight. What is
 * asked of a library later is looked up once, when its first connection is opened, so that a stop
 * looks up nothing.
 *
 * An object that was loaded with RTLD_DEEPBIND (PHP loads its modules so) is bound past us. So
 * dlopen is wrapped, for such calls only: the calls that open and close connections are redirected
 * in what they loaded. Every other dlopen is a jump on to libc's, to which its caller is still who
 * called: it depends on that where it looks and in which namespace it loads.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <sched.h>
#include <string.h>

#include "db.h"

#define OPENS    24
#define PATIENCE 10000

/* ---- a library ----------------------------------------------------------------------------- */

bool grace_db_in_one_object(const void *one, const void *other)
{
    Dl_info first, second;
    return dladdr(one, &first) != 0 && dladdr(other, &second) != 0 &&
           first.dli_fbase == second.dli_fbase;
}

static bool is_ours(const void *function)
{
    return grace_db_in_one_object(function, &grace_db_own_thread);
}

static void *object_of(const void *address)
{
    Dl_info found;
    struct link_map *map = NULL;
    if (dladdr1(address, &found, (void **)&map, RTLD_DL_LINKMAP) == 0 || map == NULL)
        return NULL;
    return dlopen(map->l_name, RTLD_NOLOAD | RTLD_LAZY);
}

/* Keeps the library loaded: its functions are called as long as we are there. */
static void know(struct grace_db_library *library, const void *function)
{
    if (atomic_load_explicit(&library->known, memory_order_acquire) != 0)
        return;
    void *object = object_of(function);
    if (object == NULL)
        return;
    for (size_t i = 0; i < library->count; i++)
        library->calls[i].original = dlsym(object, library->calls[i].name);
    if (library->calls[library->needed].original == NULL)
        return;
    /* Release: the functions above. Two threads that do this at once write the same. */
    atomic_store_explicit(&library->known, 1, memory_order_release);
}

static void *find(const struct grace_db_library *library, const char *name, const void *caller)
{
    void *object, *function = dlsym(RTLD_NEXT, name);
    if (function != NULL)
        return function;
    if ((object = object_of(caller)) != NULL) {
        function = dlsym(object, name);
        dlclose(object);
        if (function != NULL && !is_ours(function))
            return function;
    }
    for (const char *const *file = library->files; *file != NULL; file++)
        if ((object = dlopen(*file, RTLD_NOLOAD | RTLD_LAZY)) != NULL) {
            function = dlsym(object, name);
            dlclose(object);
            if (function != NULL && !is_ours(function))
                return function;
        }
    return NULL;
}

void *grace_db_real(struct grace_db_library *library, const char *name, const void *caller)
{
    int saved = errno;
    void *function = find(library, name, caller);
    if (function != NULL)
        know(library, function);
    errno = saved;
    return function;
}

/* ---- objects that are bound past us -------------------------------------------------------- */

static struct {
    struct grace_redirection list[OPENS];
    struct grace_redirect redirect;
    _Atomic uint32_t taken;
} opens;

static void add_open(const char *name, void *wrapper, void *original)
{
    for (size_t i = 0; i < opens.redirect.count; i++)
        if (opens.list[i].original == original)
            return;
    if (opens.redirect.count == OPENS || original == NULL || is_ours(original))
        return;
    opens.list[opens.redirect.count++] =
        (struct grace_redirection){name, wrapper, original, .unbound = false};
    opens.redirect.looks = 0;
}

void grace_db_reach(void *module)
{
    uint32_t free = 0;
    for (unsigned i = 0; !atomic_compare_exchange_strong(&opens.taken, &free, 1); free = 0)
        if (i++ == PATIENCE)
            return; /* a fork left its owner behind */
        else
            sched_yield();
    opens.redirect.list = opens.list;
    for (size_t i = 0; grace_db_libraries[i] != NULL; i++)
        for (size_t j = 0; grace_db_libraries[i]->opens[j] != NULL; j++)
            add_open(grace_db_libraries[i]->opens[j], grace_db_libraries[i]->wrappers[j],
                     dlsym(module, grace_db_libraries[i]->opens[j]));
    if (opens.redirect.count > 0)
        grace_redirect(&opens.redirect);
    atomic_store(&opens.taken, 0);
}

typedef void *dlopen_function(const char *file, int mode);

GRACE_DB_EXPORT void *dlopen(const char *file, int mode)
{
    static _Atomic(dlopen_function *) known;
    dlopen_function *real = atomic_load_explicit(&known, memory_order_relaxed);
    if (real == NULL) {
        real = (dlopen_function *)dlsym(RTLD_NEXT, "dlopen");
        atomic_store_explicit(&known, real, memory_order_relaxed);
    }
    /* By its path it is found whoever asks. */
    if ((mode & RTLD_DEEPBIND) == 0 || file == NULL || file[0] != '/')
        return real(file, mode); /* a jump: see above */
    void *module = real(file, mode);
    if (module != NULL)
        grace_db_reach(module);
    return module;
}
