/*
 * Languages: what ^C and TERM do by default, and what a program's own handlers do, is the same
 * under libgrace, with hooks and without. A runtime that the machine lacks is left out, and said.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A program in a file of its own, and how to start it; %s is the file. The tests install the
 * interpreters; Java, Go and Rust are used where they are. */
struct runtime {
    const char *name;
    const char *file;
    const char *build; /* a shell command that makes ./program, or NULL */
    const char *argv[4];
    const char *with_default; /* the program: says ready and waits */
    const char *with_handler; /* the same; its handler for TERM and INT says "handled", exits 7 */
};

static const struct runtime runtimes[] = {
    {"CPython",
     "p.py",
     NULL,
     {"/usr/bin/python3", "p.py"},
     "import time\nprint('ready', flush=True)\n"
     "while True: time.sleep(60)\n",
     "import signal, sys, time\n"
     "def handle(signo, frame):\n"
     "    print('handled', signo, flush=True); sys.exit(7)\n"
     "signal.signal(signal.SIGTERM, handle); signal.signal(signal.SIGINT, handle)\n"
     "print('ready', flush=True)\n"
     "while True: time.sleep(60)\n"},
    {"asyncio",
     "p.py",
     NULL,
     {"/usr/bin/python3", "p.py"},
     "import asyncio\n"
     "async def main():\n"
     "    print('ready', flush=True); await asyncio.sleep(3600)\n"
     "try: asyncio.run(main())\n"
     "except KeyboardInterrupt: print('interrupted', flush=True); raise\n",
     "import asyncio, signal, sys, faulthandler, subprocess\n"
     "faulthandler.enable()\n"
     "async def main():\n"
     "    done = asyncio.Event(); loop = asyncio.get_running_loop()\n"
     "    for s in (signal.SIGTERM, signal.SIGINT): loop.add_signal_handler(s, done.set)\n"
     "    subprocess.run(['true'], check=True)\n"
     "    print('ready', flush=True); await done.wait(); print('handled', flush=True)\n"
     "asyncio.run(main()); sys.exit(7)\n"},
    {"Node",
     "p.js",
     NULL,
     {"/usr/bin/node", "p.js"},
     "setInterval(() => {}, 60000); console.log('ready');\n",
     "for (const s of ['SIGTERM', 'SIGINT'])\n"
     "  process.on(s, (name) => { console.log('handled', name); process.exit(7); });\n"
     "setInterval(() => {}, 60000); console.log('ready');\n"},
    {"Perl",
     "p.pl",
     NULL,
     {"/usr/bin/perl", "p.pl"},
     "$| = 1; print \"ready\\n\"; sleep 60 while 1;\n",
     "$| = 1; $SIG{TERM} = $SIG{INT} = sub { print \"handled $_[0]\\n\"; exit 7 };\n"
     "print \"ready\\n\"; sleep 60 while 1;\n"},
    {"PHP",
     "p.php",
     NULL,
     {"/usr/bin/php", "p.php"},
     "<?php echo \"ready\\n\"; while (true) sleep(60);\n",
     "<?php pcntl_async_signals(true);\n"
     "foreach ([SIGTERM, SIGINT] as $s)\n"
     "    pcntl_signal($s, function ($s) { echo \"handled $s\\n\"; exit(7); });\n"
     "echo \"ready\\n\"; while (true) sleep(60);\n"},
    {"Ruby",
     "p.rb",
     NULL,
     {"/usr/bin/ruby", "p.rb"},
     "$stdout.sync = true; puts 'ready'; sleep\n",
     "$stdout.sync = true\n"
     "%w[TERM INT].each { |s| trap(s) { puts \"handled #{s}\"; exit 7 } }\n"
     "puts 'ready'; sleep\n"},
    {"Java",
     "P.java",
     NULL,
     {"/usr/bin/java", "-Xshare:auto", "P.java"},
     "public class P { public static void main(String[] a) throws Exception {\n"
     "  System.out.println(\"ready\"); Thread.sleep(3600000); } }\n",
     "public class P { public static void main(String[] a) throws Exception {\n"
     "  Runtime.getRuntime().addShutdownHook(new Thread(() -> {\n"
     "    System.out.println(\"handled\"); Runtime.getRuntime().halt(7); }));\n"
     "  System.out.println(\"ready\"); Thread.sleep(3600000); } }\n"},
    {"Go with cgo",
     "p.go",
     "go build -o program p.go",
     {"./program"},
     "package main\n\n// #include <unistd.h>\nimport \"C\"\nimport (\"fmt\"; \"time\")\n"
     "func main() { C.getpid(); fmt.Println(\"ready\"); time.Sleep(time.Hour) }\n",
     "package main\n\n// #include <unistd.h>\nimport \"C\"\n"
     "import (\"fmt\"; \"os\"; \"os/signal\"; \"syscall\")\n"
     "func main() { C.getpid(); c := make(chan os.Signal, 1)\n"
     "  signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)\n"
     "  fmt.Println(\"ready\"); fmt.Println(\"handled\", <-c); os.Exit(7) }\n"},
    {"Rust",
     "p.rs",
     "rustc -o program p.rs",
     {"./program"},
     "fn main() { println!(\"ready\");\n"
     "  loop { std::thread::sleep(std::time::Duration::from_secs(60)); } }\n",
     "extern \"C\" { fn signal(s: i32, h: usize) -> usize; fn _exit(s: i32) -> !; }\n"
     "extern \"C\" fn handle(s: i32) { println!(\"handled {}\", s); unsafe { _exit(7) } }\n"
     "fn main() { unsafe { signal(15, handle as usize); signal(2, handle as usize); }\n"
     "  println!(\"ready\");\n"
     "  loop { std::thread::sleep(std::time::Duration::from_secs(60)); } }\n"},
};
#define RUNTIMES ((int)(sizeof runtimes / sizeof *runtimes))

static void prepare(const struct runtime *runtime, const char *source_text)
{
    write_file(runtime->file, "%s", source_text);
    if (runtime->build == NULL) {
        if (access(runtime->argv[0], X_OK) != 0)
            skip("%s is not installed", runtime->name);
        return;
    }
    /* What the compilers keep between builds stays beside what is built. */
    struct process *build = start(
        BARE, "/usr/bin/env", text("GOCACHE=%s/go-cache", getenv("GRACE_BUILD")), "GO111MODULE=off",
        "PATH=/usr/local/bin:/usr/bin:/bin", "/bin/sh", "-c", runtime->build);
    int status = wait_end(build);
    if (status == EXITED(127))
        skip("%s is not installed", runtime->name);
    expect_status(status, EXITED(0));
}

static char *play(enum way way, const struct runtime *runtime, int signo, int *status)
{
    struct process *process = launch(&(struct launch){.way = way, .argv = runtime->argv});
    wait_ready(process);
    wait_asleep(process); /* asyncio sleeps on after a ^C that comes just before it falls asleep */
    *status = stop_with(process, signo);
    return contents(process->out);
}

static void same_as_bare(const struct runtime *runtime)
{
    static const int signals[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        int expected, status;
        const char *bare = play(BARE, runtime, signals[i], &expected);
        expect_text(play(GRACED, runtime, signals[i], &status), bare);
        expect_status(status, expected);
    }
}

START_TEST(default_is_unchanged)
{
    prepare(&runtimes[_i], runtimes[_i].with_default);
    same_as_bare(&runtimes[_i]);
    config("hooks = (%s, %s);", hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""));
    same_as_bare(&runtimes[_i]);
}
END_TEST

START_TEST(own_handler_is_unchanged)
{
    prepare(&runtimes[_i], runtimes[_i].with_handler);
    same_as_bare(&runtimes[_i]);
    config("hooks = (%s, %s);", hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""));
    same_as_bare(&runtimes[_i]);
    wait_all_gone();
    expect(count_of(contents("order"), "A\n") == 2, "%s", contents("order"));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest runtimes");
    TCase *group = story_case(all, "runtimes");
    tcase_add_loop_test(group, default_is_unchanged, 0, RUNTIMES);
    tcase_add_loop_test(group, own_handler_is_unchanged, 0, RUNTIMES);
    return all;
}
