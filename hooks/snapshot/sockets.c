#include "report.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SOCKETS_MAX 200000

struct entry {
    uint64_t inode;
    char *words;
};

struct grace_sockets {
    struct entry *list;
    size_t count, room;
};

static void add(struct grace_sockets *sockets, uint64_t inode, const char *words)
{
    if (inode == 0 || sockets->count >= SOCKETS_MAX)
        return;
    if (sockets->count == sockets->room) {
        size_t room = sockets->room * 2 + 256;
        struct entry *list = realloc(sockets->list, room * sizeof *list);
        if (list == NULL)
            return;
        sockets->list = list;
        sockets->room = room;
    }
    sockets->list[sockets->count++] = (struct entry){inode, strdup(words)};
}

/* ---- TCP and UDP --------------------------------------------------------------------------- */

/* "0100007F:1F90", or four such words for IPv6: each in the byte order of the machine. */
static void show_address(const char *hex, char *words, size_t size)
{
    const char *colon = strchr(hex, ':');
    uint32_t parts[4] = {0};
    size_t count = colon != NULL ? (size_t)(colon - hex) / 8 : 0;
    for (size_t i = 0; i < count && i < 4; i++) {
        char part[9] = "";
        memcpy(part, hex + 8 * i, 8);
        parts[i] = (uint32_t)strtoul(part, NULL, 16);
    }
    char text[INET6_ADDRSTRLEN] = "?";
    inet_ntop(count == 4 ? AF_INET6 : AF_INET, parts, text, sizeof text);
    snprintf(words, size, count == 4 ? "[%s]:%lu" : "%s:%lu", text,
             colon != NULL ? strtoul(colon + 1, NULL, 16) : 0);
}

static const char *state_name(const char *kind, unsigned state)
{
    static const char *const names[] = {
        "?",     "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",   "TIME_WAIT",
        "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "NEW_SYN_RECV"};
    if (kind[0] == 'u')
        return state == 1 ? "connected" : "unconnected";
    return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

static void add_internet(struct grace_sockets *sockets, const char *kind, const char *line)
{
    char local[64], remote[64], from[80], to[80], words[256];
    unsigned state, sending, receiving;
    uint64_t inode;
    if (sscanf(line, "%*u: %63[0-9A-F:] %63[0-9A-F:] %x %x:%x %*x:%*x %*x %*u %*u %" SCNu64, local,
               remote, &state, &sending, &receiving, &inode) != 6)
        return;
    show_address(local, from, sizeof from);
    show_address(remote, to, sizeof to);
    snprintf(words, sizeof words, "%s %s -> %s %s, %u bytes to send, %u to read", kind, from, to,
             state_name(kind, state), sending, receiving);
    add(sockets, inode, words);
}

/* ---- Unix ---------------------------------------------------------------------------------- */

static void add_unix(struct grace_sockets *sockets, const char *kind, const char *line)
{
    unsigned flags, type, state;
    uint64_t inode;
    int path = -1;
    char words[512];
    if (sscanf(line, "%*x: %*x %*x %x %x %x %" SCNu64 " %n", &flags, &type, &state, &inode, &path) <
            4 ||
        path < 0)
        return;
    snprintf(words, sizeof words, "%s %s %s %.300s", kind,
             type == 1   ? "stream"
             : type == 2 ? "datagram"
                         : "seqpacket",
             (flags & 0x10000) != 0 ? "LISTEN"
             : state == 3           ? "connected"
                                    : "unconnected",
             line[path] != '\0' ? line + path : "(no name)");
    add(sockets, inode, words);
}

/* ---- all of them --------------------------------------------------------------------------- */

static void read_table(struct grace_sockets *sockets, const struct grace_report *report,
                       const char *kind)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/net/%s", report->pid, kind);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(kind, "unix") == 0)
            add_unix(sockets, kind, line);
        else
            add_internet(sockets, kind, line);
    }
    if (file != NULL)
        fclose(file);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = ((const struct entry *)a)->inode, right = ((const struct entry *)b)->inode;
    return (left > right) - (left < right);
}

struct grace_sockets *grace_sockets_read(const struct grace_report *report)
{
    static const char *const kinds[] = {"tcp", "tcp6", "udp", "udp6", "unix"};
    struct grace_sockets *sockets = calloc(1, sizeof *sockets);
    for (size_t i = 0; sockets != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        read_table(sockets, report, kinds[i]);
    if (sockets != NULL && sockets->count > 0)
        qsort(sockets->list, sockets->count, sizeof sockets->list[0], compare);
    return sockets;
}

const char *grace_sockets_find(const struct grace_sockets *sockets, uint64_t inode)
{
    if (sockets == NULL || sockets->count == 0)
        return NULL;
    const struct entry key = {inode, NULL};
    const struct entry *found = bsearch(&key, sockets->list, sockets->count, sizeof key, compare);
    return found != NULL ? found->words : NULL;
}

void grace_sockets_free(struct grace_sockets *sockets)
{
    for (size_t i = 0; sockets != NULL && i < sockets->count; i++)
        free(sockets->list[i].words);
    if (sockets != NULL)
        free(sockets->list);
    free(sockets);
}
