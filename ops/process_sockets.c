/*
 * What a drain would see of a process: listening stream sockets among its descriptors, and the
 * connections that came through them. From /proc, which shows the process's own network namespace:
 * its descriptors name inodes, and the tables in net/ say what those are.
 */
#include "process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TCP_IS_ESTABLISHED = 0x01, TCP_IS_CLOSE_WAIT = 0x08, TCP_LISTENS = 0x0A };
enum { UNIX_ACCEPTS = 0x10000, UNIX_STREAM = 1, UNIX_SEQPACKET = 5, UNIX_IS_CONNECTED = 3 };

struct inodes {
    uint64_t *list; /* sorted */
    size_t count, room;
};

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool contains(const struct inodes *inodes, uint64_t inode)
{
    return inodes->count > 0 &&
           bsearch(&inode, inodes->list, inodes->count, sizeof inode, compare) != NULL;
}

static void add(struct inodes *inodes, uint64_t inode)
{
    if (inodes->count == inodes->room) {
        size_t room = inodes->room == 0 ? 256 : inodes->room * 2;
        uint64_t *list = realloc(inodes->list, room * sizeof *list);
        if (list == NULL)
            return;
        inodes->list = list;
        inodes->room = room;
    }
    inodes->list[inodes->count++] = inode;
}

static void collect(int pid, struct inodes *inodes)
{
    char path[64], target[64];
    unsigned long long inode;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%llu]", &inode) == 1)
            add(inodes, inode);
    }
    if (folder != NULL)
        closedir(folder);
    if (inodes->count > 0)
        qsort(inodes->list, inodes->count, sizeof *inodes->list, compare);
}

/* ---- TCP ------------------------------------------------------------------------------------ */

/* The kernel prints the address word by word, each as a number of the host. */
static bool read_address(const char *hex, unsigned char *raw, size_t length)
{
    for (size_t i = 0; i < length; i += 4) {
        unsigned word;
        if (sscanf(hex + 2 * i, "%8x", &word) != 1)
            return false;
        memcpy(raw + i, &word, 4);
    }
    return true;
}

static void add_tcp_listener(struct grace_process *process, const unsigned char *raw, size_t length,
                             unsigned port)
{
    char text[64];
    if (process->listener_count++ >= GRACE_PROCESS_LISTENERS)
        return;
    struct grace_listener *listener = &process->listeners[process->listener_count - 1];
    inet_ntop(length == 4 ? AF_INET : AF_INET6, raw, text, sizeof text);
    snprintf(listener->address, sizeof listener->address, length == 4 ? "%s:%u" : "[%s]:%u", text,
             port);
    memcpy(listener->raw, raw, length);
    listener->raw_length = length;
    listener->port = port;
}

/* An IPv6 listener on any address takes IPv4 connections, too: they show in its own table. */
static bool is_through(const struct grace_listener *listener, const unsigned char *raw,
                       size_t length, unsigned port)
{
    static const unsigned char any[16];
    return listener->port == port && listener->raw_length == length &&
           (memcmp(listener->raw, any, length) == 0 || memcmp(listener->raw, raw, length) == 0);
}

static void count_tcp(struct grace_process *process, const unsigned char *raw, size_t length,
                      unsigned port)
{
    for (size_t i = 0; i < process->listener_count && i < GRACE_PROCESS_LISTENERS; i++) {
        if (!is_through(&process->listeners[i], raw, length, port))
            continue;
        process->listeners[i].connections++;
        process->accepted++;
        return;
    }
    process->others++;
}

static void read_tcp(struct grace_process *process, const struct inodes *inodes, const char *table,
                     bool listeners)
{
    char path[64], line[512], local[40];
    size_t length = strcmp(table, "tcp") == 0 ? 4 : 16;
    snprintf(path, sizeof path, "/proc/%d/net/%s", process->pid, table);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned port, state;
        unsigned long long inode;
        unsigned char raw[16];
        if (sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %llu", local,
                   &port, &state, &inode) != 4 ||
            !contains(inodes, inode) || !read_address(local, raw, length))
            continue;
        if (listeners && state == TCP_LISTENS)
            add_tcp_listener(process, raw, length, port);
        else if (!listeners && (state == TCP_IS_ESTABLISHED || state == TCP_IS_CLOSE_WAIT))
            count_tcp(process, raw, length, port);
    }
    if (file != NULL)
        fclose(file);
}

/* ---- Unix ----------------------------------------------------------------------------------- */

/* What was accepted has the listener's name. */
static void count_unix(struct grace_process *process, const char *name)
{
    for (size_t i = 0; i < process->listener_count && i < GRACE_PROCESS_LISTENERS; i++) {
        struct grace_listener *listener = &process->listeners[i];
        if (*name == '\0' || strncmp(listener->address, "unix:", 5) != 0 ||
            strcmp(listener->address + 5, name) != 0)
            continue;
        listener->connections++;
        process->accepted++;
        return;
    }
}

static void read_unix(struct grace_process *process, const struct inodes *inodes, bool listeners)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/net/unix", process->pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned flags, type, state;
        unsigned long long inode;
        char name[120] = "";
        if (sscanf(line, "%*x: %*x %*x %x %x %x %llu %119[^\n]", &flags, &type, &state, &inode,
                   name) < 4 ||
            !contains(inodes, inode) || (type != UNIX_STREAM && type != UNIX_SEQPACKET))
            continue;
        if (listeners && (flags & UNIX_ACCEPTS)) {
            if (process->listener_count++ < GRACE_PROCESS_LISTENERS)
                snprintf(process->listeners[process->listener_count - 1].address,
                         sizeof process->listeners[0].address, "unix:%s", name);
        } else if (!listeners && !(flags & UNIX_ACCEPTS) && state == UNIX_IS_CONNECTED) {
            count_unix(process, name);
        }
    }
    if (file != NULL)
        fclose(file);
}

void grace_process_look_at_sockets(struct grace_process *process)
{
    struct inodes inodes = {.list = NULL};
    collect(process->pid, &inodes);
    for (int listeners = 1; inodes.count > 0 && listeners >= 0; listeners--) {
        read_tcp(process, &inodes, "tcp", listeners);
        read_tcp(process, &inodes, "tcp6", listeners);
        read_unix(process, &inodes, listeners);
    }
    free(inodes.list);
}
