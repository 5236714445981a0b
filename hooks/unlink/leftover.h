/* One path that a program may have left behind: whether it is still that program's, and taking it
 * away if so. */
#ifndef GRACE_HOOKS_UNLINK_LEFTOVER_H
#define GRACE_HOOKS_UNLINK_LEFTOVER_H

#include <sys/stat.h>

#include "hooks/grace_hook.h"

enum grace_verdict {
    GRACE_VERDICT_OURS,   /* the target's: may go */
    GRACE_VERDICT_ABSENT, /* there is nothing */
    GRACE_VERDICT_KEEP,   /* somebody else's; `why` says how that is known */
    GRACE_VERDICT_UNCLEAR /* `why` says what is wrong */
};

struct grace_leftover {
    const char *path;
    const char *name;  /* in its folder */
    int folder;        /* descriptor, or -1 */
    int fd;            /* of what is there: pins the inode, so that its number stays its own; -1 */
    struct stat about; /* of that */
    struct grace_error why;
};

/* Look at a path. Whatever it returns, grace_leftover_close follows. */
enum grace_verdict grace_leftover_look(struct grace_leftover *leftover, const char *path,
                                       const struct grace_stop *stop);

/* After OURS: remove it, unless it is somebody else's by now (KEEP). */
enum grace_verdict grace_leftover_remove(struct grace_leftover *leftover,
                                         const struct grace_stop *stop);

void grace_leftover_close(struct grace_leftover *leftover);

/* What the two kinds are judged by; both need fd and about. pidfile.c and socket.c. */
enum grace_verdict grace_pidfile_judge(struct grace_leftover *leftover,
                                       const struct grace_stop *stop);
enum grace_verdict grace_socket_judge(struct grace_leftover *leftover,
                                      const struct grace_stop *stop);

#endif
