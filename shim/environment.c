/*
 * LD_PRELOAD out of the target's sight, so that its children start without libgrace, and back for
 * an exec by the owner, so that what it becomes is the owner still.
 *
 * The variable is edited in place: programs keep pointers to the environment they got. When
 * libgrace was its only entry, the variable goes; other entries stay. What /proc/PID/environ shows
 * is the memory that the program started with, and does not change by taking a pointer out.
 *
 * /etc/ld.so.preload has the loader put libgrace into every program, without the variable: then
 * there is nothing to hide, and only the guardian is named to an exec.
 */
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guardian.h"
#include "hooks/strings.h"
#include "hooks/text.h"

#define VARIABLE "LD_PRELOAD="
#define PREFIX   (sizeof VARIABLE - 1)

/* The variable as the target sees it, as it was at the start, and our entry in it. NULL before
 * grace_environment_hide, "" when there is none. */
static const char *visible, *original, *entry_name;

static bool is_separator(char c)
{
    return c == ':' || c == ' ';
}

static const char *base_name(const char *path, size_t length)
{
    const char *base = path;
    for (size_t i = 0; i < length; i++)
        if (path[i] == '/')
            base = path + i + 1;
    return base;
}

/* An entry names libgrace when its file name is that of the library that is loaded: the path may
 * be relative, or go through $LIB. */
static bool names_libgrace(const char *entry, size_t length, const char *self)
{
    const char *own = base_name(self, strlen(self));
    const char *base = base_name(entry, length);
    size_t base_length = length - (size_t)(base - entry);
    return base_length == strlen(own) && memcmp(base, own, base_length) == 0;
}

/* The entry as it has to be after a chdir: a relative path becomes absolute. */
static void remember_entry(char *buffer, const char *entry, size_t length)
{
    struct grace_text text;
    grace_text_start(&text, buffer, GRACE_PRELOAD_MAX);
    bool is_relative = entry[0] != '/' && entry[0] != '$' && memchr(entry, '/', length) != NULL;
    if (is_relative && getcwd(buffer, GRACE_PRELOAD_MAX - length - 2) != NULL) {
        text.length = strlen(buffer);
        grace_text_add_char(&text, '/');
    }
    grace_text_add_bytes(&text, entry, length);
    entry_name = text.cut ? "" : buffer;
}

static void add_entry(struct grace_text *list, const char *entry, size_t length)
{
    if (list->length > PREFIX)
        grace_text_add_char(list, ':');
    grace_text_add_bytes(list, entry, length);
}

/* The next entry of a list, and its length; 0 behind the last. */
static size_t next_entry(const char **entry, const char *list)
{
    size_t length = 0;
    while (is_separator(*list))
        list++;
    while (list[length] != '\0' && !is_separator(list[length]))
        length++;
    *entry = list;
    return length;
}

/* Split the variable into what the target sees and what an exec of the owner gets. */
static void split(const char *value, const char *self)
{
    struct grace_text seen, whole;
    const char *at;
    size_t length, size = PREFIX + strlen(value) + 1;
    char *strings = grace_strings_room(3 * GRACE_PRELOAD_MAX);
    if (size > GRACE_PRELOAD_MAX || strings == NULL)
        return; /* it could not be put back */
    grace_text_start(&seen, strings, size);
    grace_text_add(&seen, VARIABLE);
    for (const char *list = value; (length = next_entry(&at, list)) > 0; list = at + length) {
        if (!names_libgrace(at, length, self))
            add_entry(&seen, at, length);
        else if (entry_name[0] == '\0')
            remember_entry(strings + size, at, length);
    }
    char *behind = strings + size + strlen(entry_name) + 1;
    grace_text_start(&whole, behind, GRACE_PRELOAD_MAX);
    grace_text_add(&whole, VARIABLE);
    bool is_first = true;
    for (const char *list = value; (length = next_entry(&at, list)) > 0; list = at + length) {
        if (!names_libgrace(at, length, self))
            add_entry(&whole, at, length);
        else if (is_first)
            add_entry(&whole, entry_name, strlen(entry_name));
        is_first = is_first && !names_libgrace(at, length, self);
    }
    grace_strings_take((size_t)(behind + whole.length + 1 - strings));
    original = behind;
    visible = seen.length == PREFIX ? "" : strings;
    if (whole.cut)
        entry_name = "";
}

/* Where the variable stands in an environment; where that ends, if it has none. */
static size_t place_in(char *const *environment)
{
    size_t place = 0;
    while (environment[place] != NULL && strncmp(environment[place], VARIABLE, PREFIX) != 0)
        place++;
    return place;
}

static void take_out(char **at)
{
    do {
        at[0] = at[1];
    } while (*at++ != NULL);
}

int grace_environment_take_guardian(char **environment)
{
    for (char **at = environment; *at != NULL; at++) {
        if (strncmp(*at, GRACE_GUARDIAN_VARIABLE, sizeof GRACE_GUARDIAN_VARIABLE - 1) != 0)
            continue;
        int pid = (int)strtol(*at + sizeof GRACE_GUARDIAN_VARIABLE - 1, NULL, 10);
        take_out(at);
        return pid > 0 ? pid : 0;
    }
    return 0;
}

void grace_environment_hide(char **environment, const char *self)
{
    visible = original = entry_name = "";
    char **at = environment + place_in(environment);
    if (*at == NULL)
        return;
    split(*at + PREFIX, self);
    if (entry_name[0] == '\0')
        return;
    if (visible[0] == '\0')
        take_out(at);
    else
        memcpy(*at, visible, strlen(visible) + 1); /* never longer than it was */
}

bool grace_environment_preloads(char *const *environment, const char *self)
{
    const char *variable = environment[place_in(environment)], *at;
    size_t length;
    if (variable == NULL)
        return false;
    for (const char *list = variable + PREFIX; (length = next_entry(&at, list)) > 0;
         list = at + length)
        if (names_libgrace(at, length, self))
            return true;
    return false;
}

/* The variable for an exec, where the target has `current` now. Its length; 0: it is too long. */
static size_t put_together(char *entry, const char *current)
{
    struct grace_text text;
    /* Room is kept for the guardian's variable behind it. */
    grace_text_start(&text, entry, GRACE_PRELOAD_MAX - 64);
    if (strcmp(current == NULL ? "" : current, visible) == 0) {
        grace_text_add(&text, original); /* in its old place among the others */
    } else {
        grace_text_add(&text, VARIABLE);
        grace_text_add(&text, entry_name);
        if (current != NULL && current[PREFIX] != '\0') {
            grace_text_add(&text, ":");
            grace_text_add(&text, current + PREFIX);
        }
    }
    return text.cut ? 0 : text.length;
}

char *const *grace_environment_restore(char *const *environment, char **vector, char *entry)
{
    bool preloaded = entry_name != NULL && entry_name[0] != '\0';
    int guardian = grace_guardian_pid();
    size_t count = 0, used = 0;
    if (!preloaded && guardian <= 0)
        return environment;
    for (; environment != NULL && environment[count] != NULL; count++)
        vector[count] = environment[count];
    vector[count] = NULL;
    if (preloaded) {
        size_t place = place_in(vector);
        used = put_together(entry, vector[place]);
        if (used == 0)
            return environment;
        vector[place] = entry;
        count += place == count;
        used++;
    }
    if (guardian > 0) {
        struct grace_text text;
        grace_text_start(&text, entry + used, GRACE_PRELOAD_MAX - used);
        grace_text_add(&text, GRACE_GUARDIAN_VARIABLE);
        grace_text_add_signed(&text, guardian);
        vector[count++] = entry + used;
    }
    vector[count] = NULL;
    return vector;
}
