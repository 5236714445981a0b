/*
 * The guide for plugin authors, hooks/README.md, is followed word by word: each block with a file's
 * name is written, each block of commands is run, and what it says is what the next block shows.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The rest of a line that opens a block; NULL when it opens none. */
static char *opened_by(const char *line)
{
    return strncmp(line, "```", 3) == 0 ? text("%s", line + 3) : NULL;
}

/* Like a terminal in which libgrace is installed. */
static void install(void)
{
    environment("PATH", text("%s:/usr/local/bin:/usr/bin:/bin", here("bin")));
    environment("CPATH", here("include"));
    environment("PKG_CONFIG_PATH", here("lib"));
    expect(
        system(text("cd '%s' && mkdir -p bin include guide lib/grace/hooks && cp '%s' include && "
                    "ln -s '%s' bin && sed \"s,@PREFIX@,$PWD,; s,@LIBDIR@,$PWD/lib,\" '%s' "
                    "> lib/grace.pc",
                    story_directory(), source("hooks/grace_hook.h"), product("grace"),
                    source("hooks/grace.pc.in"))) == 0);
}

static char *run_block(const char *commands)
{
    write_file("commands", "set -e\n%s", commands);
    struct process *shell = launch(&(struct launch){
        .way = BARE, .argv = ARGV("/bin/sh", here("commands")), .directory = here("guide")});
    expect(wait_end(shell) == EXITED(0), "%s\n%s%s", commands, contents(shell->out),
           contents(shell->err));
    return contents(shell->out);
}

START_TEST(every_block_of_the_guide_holds)
{
    char *guide = contents(source("hooks/README.md")), *rest, *block = NULL, *kind = NULL;
    char *said = text("%s", "");
    unsigned files = 0, runs = 0, shown = 0;
    install();
    for (char *line = strsep(&guide, "\n"); line != NULL; line = strsep(&guide, "\n")) {
        if (kind == NULL) {
            kind = opened_by(line);
            block = text("%s", "");
            continue;
        }
        if (strcmp(line, "```") != 0) {
            block = text("%s%s\n", block, line);
            continue;
        }
        rest = strchr(kind, ' ');
        if (rest != NULL) {
            write_file(text("guide/%s", rest + 1), "%s", block);
            files++;
        } else if (strcmp(kind, "sh") == 0) {
            said = run_block(block);
            runs++;
        } else {
            expect_text(kind, "text");
            expect_text(said, block);
            shown++;
        }
        kind = NULL;
    }
    expect(exists("lib/grace/hooks/last-word.so"));
    expect(files == 7 && runs >= 9 && shown == 4, "%u %u %u", files, runs, shown);
}
END_TEST

/* README.md shows the smallest one. */
START_TEST(the_hook_of_the_readme_holds)
{
    install();
    expect(system(text("sed -n '/^    #include <grace_hook.h>/,/NULL, run, NULL};/s/^    //p' '%s'"
                       " > '%s'",
                       source("README.md"), here("guide/last-stop.c"))) == 0);
    char *said =
        run_block("cc -Wall -Werror -shared -fPIC -o last-stop.so last-stop.c\n"
                  "echo 'hooks = ( { name = \"s\"; plugin = \"./last-stop.so\"; } );' > h.conf\n"
                  "grace run --init -c h.conf -- sh -c 'kill -KILL $$' || true\n"
                  "cat last-stop\n");
    expect_text(said, "sh ended by killed\n");
}
END_TEST

/* Its web.conf, the plan, and what a TERM and a kill -9 say: all but pids and times. */
static const char web[] =
    "shown() { sed -n \"/^    $1/,/^    $2/s/^    //p\" \"$README\" | sed \"s/uid 0/uid $(id "
    "-u)/\"; }\n"
    "plain() { sed -E 's/\\[[0-9]+\\]/[PID]/; s/pid [0-9]+ \\([a-z]+\\)/SENDER/; "
    "s/[0-9.]+m?s($|:)/TIME\\1/'; }\n"
    "shown 'deadline = \"45s\";' ');' > web.conf\n"
    "grace check web.conf > plan\n"
    "shown 'PHASE ' 'total: ' | diff - plan\n"
    "end() {\n"
    "    GRACE_CONFIG=$PWD/web.conf LD_PRELOAD=$LIBRARY python3 -m http.server $PORT > out 2> log "
    "&\n"
    "    until grep -q Serving out; do sleep 0.02; done\n"
    "    kill -$1 $!; wait $! || true\n"
    "    until grep -q 'stopped after' log; do sleep 0.02; done\n"
    "    plain < log > said\n"
    "    shown \"libgrace: python3.*: $2\" 'libgrace: python3.*: stopped' | plain | diff - said\n"
    "}\n"
    "end TERM stopping\n"
    "end KILL ended\n";

START_TEST(a_stop_says_what_the_readme_shows)
{
    install();
    environment("README", source("README.md"));
    environment("LIBRARY", product("libgrace.so"));
    environment("PORT", text("%d", free_port()));
    environment("PYTHONUNBUFFERED", "1");
    run_block(web);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guide");
    TCase *group = story_case(all, "guide");
    tcase_add_test(group, every_block_of_the_guide_holds);
    tcase_add_test(group, the_hook_of_the_readme_holds);
    tcase_add_test(group, a_stop_says_what_the_readme_shows);
    return all;
}
