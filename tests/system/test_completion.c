/* What the shells offer for grace, as they are asked by a person who presses tab; and that it is
 * what the command itself knows. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* What bash offers for the last of the words. */
static char *offered(const char *words)
{
    struct process *bash = start(
        BARE, "bash", "--norc", "-c",
        text("source '%s'; complete -p grace >/dev/null || exit 1; COMP_WORDS=(%s); "
             "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _grace; printf '%%s ' \"${COMPREPLY[@]}\"",
             source("ops/completion/grace.bash"), words));
    expect_status(wait_end(bash), EXITED(0));
    expect_text(contents(bash->err), "");
    return contents(bash->out);
}

START_TEST(bash_offers_what_fits)
{
    write_file("web.conf", "%s", "");
    write_file("some-program", "%s", "");
    expect_text(offered("grace ''"), "run check inspect ps status stop recover new-hook "
                                     "--help --version ");
    expect_text(offered("grace in"), "inspect ");
    expect_text(offered("grace check --for ''"), "kubernetes systemd docker ");
    expect_text(offered("grace check --for = s"), "systemd ");
    expect_text(offered("grace check we"), "web.conf ");
    expect_text(offered("grace run --in"), "--init ");
    expect_text(offered("grace run -c we"), "web.conf ");
    expect_text(offered("grace run -c web.conf ./some"), "./some-program ");
    expect_text(offered("grace run -c web.conf -- dumb-ini"), "dumb-init ");
    expect_text(offered("grace run --init sh we"), "web.conf ");
    expect_text(offered("grace run sh --in"), " ");
    expect_text(offered("grace new-hook --in"), "--in-process ");
}
END_TEST

START_TEST(zsh_finds_the_function_and_it_has_no_error)
{
    expect_status(run(BARE, "zsh", "-fn", source("ops/completion/_grace")), EXITED(0));
    struct process *zsh =
        start(BARE, "zsh", "-fc",
              text("fpath=('%s' $fpath); autoload -Uz compinit; compinit -u -d dump; "
                   "print $_comps[grace]; autoload +X _grace && print loaded",
                   source("ops/completion")));
    expect_status(wait_end(zsh), EXITED(0));
    expect_text(contents(zsh->out), "_grace\nloaded\n");
}
END_TEST

static const char *const commands[] = {"run",    "check", "inspect", "ps",
                                       "status", "stop",  "recover", "new-hook"};

/* Nobody has to remember to write a new option down twice. */
START_TEST(both_know_every_command_and_option)
{
    struct process *help = start(BARE, product("grace"), "--help");
    expect_status(wait_end(help), EXITED(0));
    expect(count_of(contents(help->out), "\n  ") == sizeof commands / sizeof *commands + 2, "%s",
           contents(help->out));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct process *options =
            start(BARE, "sh", "-c",
                  "\"$0\" \"$1\" --help | grep -oE -- '--[a-z-]+' | sort -u | grep -v usage",
                  product("grace"), commands[i]);
        expect_status(wait_end(options), EXITED(0));
        char *known = offered(text("grace %s --", commands[i]));
        char *zsh = contents(source("ops/completion/_grace"));
        for (char *option = strtok(contents(options->out), "\n"); option != NULL;
             option = strtok(NULL, "\n")) {
            expect(strstr(known, text("%s ", option)) != NULL, "bash: grace %s %s", commands[i],
                   option);
            expect(strstr(zsh, option) != NULL, "zsh: grace %s %s", commands[i], option);
        }
        expect(strstr(contents(help->out), text("\n  %s ", commands[i])) != NULL);
    }
}
END_TEST

START_TEST(the_version_tells_what_the_build_is)
{
    struct process *grace = start(BARE, product("grace"), "--version");
    expect_status(wait_end(grace), EXITED(0));
    static const char *const words[] = {"grace (libgrace) ", "\nbuilt for ", "\nbuilt with ",
                                        "\nruns with ",      "plugin ABI ",  "/libgrace.so\n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        expect(strstr(contents(grace->out), words[i]) != NULL, "%s", contents(grace->out));
    expect_status(run(BARE, "sh", "-c", "\"$0\" --version > /dev/full", product("grace")),
                  EXITED(74));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("completion");
    TCase *group = story_case(all, "completion");
    tcase_add_test(group, bash_offers_what_fits);
    tcase_add_test(group, zsh_finds_the_function_and_it_has_no_error);
    tcase_add_test(group, both_know_every_command_and_option);
    tcase_add_test(group, the_version_tells_what_the_build_is);
    return all;
}
