/*
 * Every example of the man pages holds (README.md's are test_guide's): configs pass `grace check`,
 * code compiles without a warning, commands are run, in a folder that stands for a machine with a
 * service "legacyd". An example that is none of these and is not named below fails its page: none
 * is left out in silence.
 */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "harness_hooks.h"

/* A service that waits, under libgrace, with its guardian; $pid is its pid. */
#define LEGACYD                                                                                    \
    "GRACE_CONFIG=$PWD/etc/grace/legacyd.conf LD_PRELOAD=libgrace.so ./legacyd -f spool > out & "  \
    "pid=$!; echo $pid > run/legacyd.pid; "                                                        \
    "until grep -q ready out && grace ps | grep -q legacyd; do sleep 0.02; done; "
#define END_LEGACYD "; kill $pid; wait $pid || true"

/* For a server at PORT; $pid is its pid. */
#define UNTIL_IT_SERVES "until curl -s http://127.0.0.1:$PORT > page; do sleep 0.02; done; "

/* The same, in the hold of a stop. */
#define HELD                                                                                       \
    "GRACE_CONFIG=$PWD/held.conf LD_PRELOAD=libgrace.so python3 -m http.server --bind 127.0.0.1 "  \
    "$PORT 2> err & pid=$!; echo $pid > run/legacyd.pid; " UNTIL_IT_SERVES                         \
    "kill $pid; until grep 'serving on' err; do sleep 0.02; done; "
#define END_HELD "; curl -s http://127.0.0.1:$PORT > page; kill -9 $pid; wait $pid || true"

/* What is not a config and not C, word by word; and what stands around it when it is run. */
static const struct command {
    const char *words;
    const char *before; /* NULL: it is not run */
    const char *after;
} commands[] = {
    {"name = value;", NULL, "a form"},
    {"increase(libgrace_stops_total{cause=~\"crash|killed\"}[15m]) > 0", NULL, "PromQL"},
    {"$ grace check /etc/grace/legacyd.conf", "", ""},
    {"$ grace check --for=kubernetes --limit=60s web.conf", "", ""},
    {"$ grace inspect nginx", "", ""},
    {"$ grace inspect --json $(pidof legacyd)", LEGACYD, END_LEGACYD},
    {"$ grace new-hook ledger-close && make -C ledger-close check", "", ""},
    {"# grace ps", LEGACYD, " > said; grep legacyd said" END_LEGACYD},
    {"# grace status --json 812 | jq .drain.busy", HELD, " > said; grep -x '[0-9]*' said" END_HELD},
    {"# grace recover /etc/grace/legacyd.conf", "", ""},
    {"ExecStopPost=/usr/local/bin/grace recover --quiet /etc/grace/legacyd.conf", "", ""},
    {"$ grace run -c web.conf -- ./legacyd --foreground",
     "printf '#!/bin/sh\\necho \"$1\"\\n' > legacyd; ", " | grep -x -e --foreground"},
    {"ENTRYPOINT [\"grace\", \"run\", \"-t\", \"/dev/termination-log\", \"--\", "
     "\"/usr/sbin/legacyd\"]",
     "printf '#!/bin/sh\\nexit 3\\n' > legacyd; ",
     " || grep 'legacyd exited with status 3' termination-log"},
    {"# grace stop --timeout 60s $(cat /run/legacyd.pid)", LEGACYD,
     " || status=$?; [ $status = 143 ]; wait $pid || true"},
    {"# grace stop --abort $(cat /run/legacyd.pid)", HELD,
     "; grace stop --abort $pid 2>&1 | grep 'nothing to take back'" END_HELD},
    {"$ LD_PRELOAD=libgrace.so GRACE_CONFIG=web.conf python3 -m http.server", "",
     " --bind 127.0.0.1 $PORT 2> err & pid=$!; " UNTIL_IT_SERVES
     "kill $pid; wait $pid || true; grep 'drained in' err"},
    {"$ newest=$(ls -d /var/backups/legacyd/* | tail -n 1)\n"
     "$ cp -a \"$newest/legacyd\" /var/lib/legacyd.restored",
     "date > lib/legacyd/file; grace run --init -c backup.conf true; ",
     "; cmp lib/legacyd/file lib/legacyd.restored/file"},
    {"$ find /var/lib/legacyd.restored -type f -name '*.zst' \\\n"
     "       -exec zstd -q -d -f --rm {} +",
     "mkdir -p lib/legacyd.restored; echo state > lib/legacyd.restored/file; "
     "zstd -q --rm lib/legacyd.restored/file; ",
     "; grep state lib/legacyd.restored/file"},
    {"$ cc -shared -fPIC -o last-stop.so last-stop.c", "", ""},
};

/* Paths of the pages, and words that stand for a pid, as they are here. */
static const char localise[] =
    "sed -E -e 's,/etc/grace,'$PWD'/etc/grace,g; s,/run/,'$PWD'/run/,g; s,/var/,'$PWD'/,g' "
    "-e 's,/usr/local/bin/grace,grace,; s,/usr/(local|s)bin/,'$PWD'/,; s,/usr/local/bin,'$PWD',' "
    "-e 's,/usr/sbin/,'$PWD'/,; s,/dev/termination-log,termination-log,' "
    "-e 's/ 812 / $pid /; s/\\$\\(pidof legacyd\\)/$pid/; s/^[$#] //; s/^ExecStopPost=//' "
    "-e '/^ENTRYPOINT/{s/[],[\"]//g; s/^ENTRYPOINT//}' block";

static char *block_here(const char *words)
{
    write_file("block", "%s\n", words);
    return shell(localise);
}

/* A machine with a service: what the pages' examples name. */
static void make_machine(void)
{
    environment("PATH", text("%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                             product("")));
    environment("LD_LIBRARY_PATH", product(""));
    environment("CPATH", source("hooks"));
    environment("PORT", text("%d", free_port()));
    shell("mkdir -p etc/grace run/legacyd lib/legacyd lib/node_exporter backups/legacyd log\n"
          "for name in redis chat.token fleet.password; do echo secret > etc/grace/$name; done\n"
          "chmod 600 etc/grace/*; cp /usr/bin/tail legacyd; echo ready > spool\n"
          "printf '#!/bin/sh\\n' > deregister; chmod 755 deregister\n"
          "echo 'deadline = \"30s\"; hooks = ( { name = \"a\"; command = [\"/bin/true\"]; } );' | "
          "tee web.conf > "
          "etc/grace/legacyd.conf\n"
          "echo 'deadline = \"2m\"; drain = { hold = \"1m\"; }; "
          "hooks = ( { name = \"a\"; command = [\"/bin/true\"]; } );' > held.conf\n"
          "cat > backup.conf << END\n"
          "hooks = ( { name = \"backup\"; phase = \"cleanup\"; plugin = \"backup\";\n"
          "  options = { from = \"$PWD/lib/legacyd\"; to = \"$PWD/backups/legacyd\"; }; } );\n"
          "END\n");
    shell(text("sed -n '/^    #include <grace_hook.h>/,/NULL, run, NULL};/s/^    //p' '%s'"
               " > last-stop.c && cc -shared -fPIC -o last-stop.so last-stop.c",
               source("README.md")));
}

static bool begins(const char *string, const char *with)
{
    return strncmp(string, with, strlen(with)) == 0;
}

static void check_config(const char *config)
{
    write_file("example.conf", "%s", config);
    struct process *grace = start(BARE, product("grace"), "check", here("example.conf"));
    expect(wait_end(grace) == EXITED(0), "\n%s\n%s", config, contents(grace->err));
}

/* Hooks as they stand in a config's list, each by itself: some show alternatives. */
static void check_hooks(char *block)
{
    for (char *hook = block, *next; hook != NULL; hook = next) {
        next = strstr(hook, "\n{ name");
        if (next != NULL)
            *next++ = '\0';
        check_config(text("hooks = (\n%s\n);\n", hook));
    }
}

static void compile(const char *code)
{
    write_file("example.c", "%s", code);
    shell("cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only example.c");
}

static void run_command(const char *block)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].words, block) != 0)
            continue;
        char *words = block_here(block);
        words[strlen(words) - 1] = '\0';
        if (commands[i].before != NULL)
            shell(text("%s%s%s", commands[i].before, words, commands[i].after));
        return;
    }
    expect(false, "no test runs this example:\n%s", block);
}

static void hold_example(char *block)
{
    block[strlen(block) - 1] = '\0'; /* the last newline */
    if (begins(block, "{ name"))
        check_hooks(block_here(block));
    else if (begins(block, "statements"))
        check_config(text("hooks = ( { name = \"a\"; plugin = \"sql\"; options = {\n"
                          "url = \"sqlite:/tmp/data.db\"; %s }; } );\n",
                          block));
    else if (begins(block, "#include"))
        compile(block);
    else if (begins(block, "static int serve("))
        compile(text("#include <grace_hook.h>\n%s\nstatic int serve(void *state, const struct "
                     "grace_service *service,\nstruct grace_error *error) { (void)state; "
                     "(void)service; (void)error; return 0; }\n",
                     block));
    else if (begins(block, "deadline") || begins(block, "hooks") || begins(block, "metrics"))
        check_config(block_here(block));
    else
        run_command(block);
}

static glob_t pages;

START_TEST(every_example_of_the_page_holds)
{
    make_machine();
    struct process *blocks = start(BARE, "/usr/bin/python3",
                                   source("tests/system/literal_blocks.py"), pages.gl_pathv[_i]);
    expect_status(wait_end(blocks), EXITED(0));
    shell(text("mkdir blocks; cd blocks; /usr/bin/python3 -c 'import sys\n"
               "for i, block in enumerate(sys.stdin.read().split(chr(0))[:-1]):\n"
               "    open(str(i), \"w\").write(block)' < '%s/%s'",
               story_directory(), blocks->out));
    for (int i = 0; exists(text("blocks/%d", i)); i++)
        hold_example(contents(text("blocks/%d", i)));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("pages");
    TCase *group = story_case(all, "pages");
    static const char *const folders[] = {"config/*.5", "hooks/*.3", "hooks/*.7", "ops/*.1",
                                          "shim/*.7"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (glob(text(GRACE_SOURCE "/%s", folders[i]), i == 0 ? 0 : GLOB_APPEND, NULL, &pages) != 0)
            exit(2);
    }
    tcase_add_loop_test(group, every_example_of_the_page_holds, 0, (int)pages.gl_pathc);
    return all;
}
