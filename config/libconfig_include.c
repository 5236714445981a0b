/* @include: what libconfig calls as fopen() and fclose(), and which file a setting stands in. */
#include <stdio.h>
#include <string.h>

#include "libconfig_state.h"
#include "scan.h"

struct grace_include *grace_libconfig_fopen(const char *name, const char *mode);
int grace_libconfig_fclose(struct grace_include *include);

/* Returns NULL, so that a refusal can end with it. libconfig then stops at the @include line. */
static struct grace_include *refuse(const char *path, const char *reason)
{
    snprintf(grace_libconfig_now->include_reason, sizeof grace_libconfig_now->include_reason,
             "cannot include \"%.256s\": %s", path, reason);
    return NULL;
}

static bool same_file(const struct grace_input *a, const struct grace_input *b)
{
    return a->inode != 0 && a->inode == b->inode && a->device == b->device;
}

static bool includes_itself(const struct grace_input *input)
{
    if (same_file(input, grace_libconfig_now->input))
        return true;
    for (const struct grace_include *i = grace_libconfig_now->includes; i != NULL; i = i->older)
        if (i->open && same_file(input, &i->input))
            return true;
    return false;
}

static char *include_path(const char *name)
{
    const char *folder = name[0] == '/' ? NULL : grace_libconfig_now->folder;
    if (folder == NULL || strcmp(folder, ".") == 0)
        return grace_libconfig_strdup(name);
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = grace_libconfig_malloc(size);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

struct grace_include *grace_libconfig_fopen(const char *name, const char *mode)
{
    (void)mode;
    char reason[96];
    struct grace_include *include = grace_libconfig_calloc(1, sizeof *include);
    include->name = grace_libconfig_strdup(name);
    include->path = include_path(name);

    if (++grace_libconfig_now->include_count > GRACE_INCLUDES_MAX)
        return refuse(name, "too many files are included");
    if (!grace_input_read(include->path, GRACE_CONFIG_SIZE_MAX - grace_libconfig_now->size,
                          grace_libconfig_now->memory, &include->input, reason, sizeof reason))
        return refuse(include->path, reason);
    bool itself = includes_itself(&include->input);
    include->older = grace_libconfig_now->includes;
    grace_libconfig_now->includes = include;
    grace_libconfig_now->size += include->input.length - 1;
    if (itself)
        return refuse(name, "it includes itself");
    if (!grace_scan(include->input.text, include->input.length, include->path,
                    grace_libconfig_now->problems)) {
        grace_libconfig_now->include_reason[0] = '\0';
        return NULL;
    }
    include->open = true;
    return include;
}

int grace_libconfig_fclose(struct grace_include *include)
{
    include->open = false;
    return 0;
}

const char *grace_libconfig_file(const config_setting_t *setting)
{
    if (setting->file != NULL)
        for (const struct grace_include *i = grace_libconfig_now->includes; i != NULL; i = i->older)
            if (strcmp(i->name, setting->file) == 0)
                return i->path;
    return grace_libconfig_now->name;
}
