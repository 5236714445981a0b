#include "harness_hooks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness_story.h"

char *hook_shipped(const char *plugin_name, const char *options, const char *more)
{
    return text("{ name = \"%s\"; plugin = \"%s\"; options = { %s }; %s }", plugin_name,
                plugin_name, options, more);
}

static struct process *check(const char *plugin_name, const char *options)
{
    write_file("checked.conf", "hooks = (\n%s );\n", hook_shipped(plugin_name, options, ""));
    struct process *grace = start(BARE, product("grace"), "check", here("checked.conf"));
    wait_end(grace);
    return grace;
}

void expect_refused(const char *plugin_name, const char *options, const char *words)
{
    struct process *grace = check(plugin_name, options);
    const char *said = contents(grace->err);
    expect_status(grace->status, EXITED(78));
    expect(strstr(said, words) != NULL, "%s: not \"%s\" but: %s", options, words, said);
    expect(strstr(said, "checked.conf:2") != NULL, "%s", said);
    expect(count_of(said, "\n") == 1, "%s", said);
}

void expect_refused_silently(const char *plugin_name, const char *options, const char *words)
{
    struct process *grace = check(plugin_name, options);
    expect_status(grace->status, EXITED(78));
    expect(strstr(contents(grace->err), words) == NULL, "%s", contents(grace->err));
    expect(strstr(contents(grace->out), words) == NULL, "%s", contents(grace->out));
}

void expect_taken(const char *plugin_name, const char *options)
{
    struct process *grace = check(plugin_name, options);
    expect(grace->status == EXITED(0), "%s: %s", options, contents(grace->err));
}

struct process *stop_worker(int signo)
{
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, signo), KILLED(signo));
    return worker;
}

void expect_logged_at(const char *file, int line, const struct process *process, const char *words,
                      bool expected)
{
    wait_all_gone();
    const char *log = contents(process->err);
    if ((strstr(log, words) != NULL) != expected)
        story_fail(file, line, "the log %s \"%s\":\n%s", expected ? "has no" : "has", words, log);
}

char *secret_file(const char *name, const char *secret, unsigned mode)
{
    write_file(name, "%s\n", secret);
    expect(chmod(here("%s", name), mode) == 0);
    return here("%s", name);
}

char *shell(const char *script)
{
    struct process *process = start(BARE, "/bin/sh", "-ec", script);
    wait_end(process);
    expect(process->status == EXITED(0), "%s: %s %s", script, contents(process->out),
           contents(process->err));
    return contents(process->out);
}

void make_certificates(void)
{
    write_file("server.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    write_file("away.ext", "subjectAltName=DNS:elsewhere\n");
    write_file("client.ext", "extendedKeyUsage=clientAuth\n");
    shell(
        "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; chmod 600 $1.key; };"
        "authority() { key $1; openssl req -x509 -new -key $1.key -subj \"/CN=$1\" -days 2 "
        "-out $1.pem; };"
        "signed() { key $1; openssl req -new -key $1.key -subj \"/CN=$2\" -out $1.csr; "
        "openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile $1.ext -out $1.pem 2>/dev/null; };"
        "authority ca; authority other; signed server localhost; signed away elsewhere; signed "
        "client legacyd");
}
