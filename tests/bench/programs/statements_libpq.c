/* What libpq does to send a statement and read its answer, over and over: statements_libpq COUNT. A
 * process that answers each with the same few bytes is the server, so that the count is the
 * client's alone. */
#include <libpq-fe.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* AuthenticationOk, and ReadyForQuery outside of a transaction. */
static const char welcome[] = "R\0\0\0\10\0\0\0\0Z\0\0\0\5I";
/* CommandComplete, and ReadyForQuery. */
static const char done[] = "C\0\0\0\15DELETE 0\0Z\0\0\0\5I";

static void serve(int listener)
{
    char asked[4096];
    int client = accept(listener, NULL, NULL);
    ssize_t got = read(client, asked, sizeof asked);
    for (const char *answer = welcome; got > 0; got = read(client, asked, sizeof asked)) {
        size_t length = answer == welcome ? sizeof welcome - 1 : sizeof done - 1;
        if (write(client, answer, length) != (ssize_t)length)
            break;
        answer = done;
    }
    _exit(0);
}

/* An abstract address, as libpq makes it of a host and a port. */
static int listen_at(const char *host)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", host);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0)
        exit(1);
    return listener;
}

int main(int argc, char **argv)
{
    char host[32], info[128];
    long count = argc > 1 ? atol(argv[1]) : 0;
    snprintf(host, sizeof host, "@grace-%07d", (int)getpid());
    int listener = listen_at(host);
    if (fork() == 0)
        serve(listener);
    snprintf(info, sizeof info, "host=%s port=5432 user=nobody dbname=none", host);
    PGconn *c = PQconnectdb(info);
    if (PQstatus(c) != CONNECTION_OK)
        return fprintf(stderr, "%s", PQerrorMessage(c)), 1;
    for (long i = 0; i < count; i++) {
        PGresult *result = PQexec(c, "DELETE FROM t");
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            return fprintf(stderr, "%s", PQerrorMessage(c)), 1;
        PQclear(result);
    }
    PQfinish(c);
    wait(NULL);
    return 0;
}
