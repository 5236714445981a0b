/*
 * A target that was taken over: it finds the memory that it shares with its guardian and writes
 * random bytes into it, for so many milliseconds; then it dies. guardian_hostile SEED MILLISECONDS.
 * With "name-guardian" as the seed it names its guardian as the process to be watched.
 */
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static unsigned char *memory;
static size_t size;

static void find_ledger(void)
{
    char line[512];
    unsigned long begin, end;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (strstr(line, "memfd:grace-ledger") == NULL ||
            sscanf(line, "%lx-%lx", &begin, &end) != 2)
            continue;
        memory = (unsigned char *)begin;
        size = end - begin;
    }
    if (maps != NULL)
        fclose(maps);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Any byte, or a word of a kind that means something, mostly near the beginning. */
static void write_something(void)
{
    static const uint32_t words[] = {0, 1, 2, 3, 4, 5, 7, 100, 0x7fffffff, 0x80000000, 0xffffffff};
    size_t reach = random() % 4 != 0 && size > 256 ? 256 : size;
    size_t at = (size_t)random() % (reach / 4) * 4;
    uint32_t word = words[(size_t)random() % (sizeof words / sizeof words[0])];
    if (random() % 4 == 0) /* its own, its guardian's, and those of nobody */
        word = (uint32_t)(getpid() + random() % 4);
    if (random() % 2 == 0)
        memory[at + (size_t)random() % 4] = (unsigned char)random();
    else
        memcpy(memory + at, &word, sizeof word);
}

/* Whoever waits, and wherever: a guardian that sleeps through it all proves nothing. */
static void wake(void)
{
    for (size_t at = 0; at < 256; at += 4)
        syscall(SYS_futex, memory + at, FUTEX_WAKE, 100, NULL, NULL, 0);
}

static uint32_t *word_at(size_t at)
{
    return (uint32_t *)(void *)(memory + at);
}

static int is_guardian(uint32_t pid)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%u/comm", pid);
    FILE *file = fopen(path, "r");
    int found = file != NULL && fgets(name, sizeof name, file) != NULL &&
                strcmp(name, "grace-guardian\n") == 0;
    if (file != NULL)
        fclose(file);
    return found;
}

static uint32_t await_guardian(void)
{
    for (;;) {
        for (size_t at = 0; at < 64; at += 4)
            if (*(volatile uint32_t *)word_at(at) > 1 && is_guardian(*word_at(at)))
                return *word_at(at);
        usleep(1000);
    }
}

/* Wherever the ledger holds our number, and then something moves. */
static void name_guardian(void)
{
    uint32_t guardian = await_guardian(), own = (uint32_t)getpid();
    for (size_t at = 0; at < 256; at += 4)
        if (*word_at(at) == own)
            *word_at(at) = guardian;
    for (size_t at = 16; at < 64; at += 4)
        if (*word_at(at) == 0) {
            __atomic_add_fetch(word_at(at), 1, __ATOMIC_SEQ_CST);
            wake();
            usleep(20000); /* until it is seen */
            __atomic_sub_fetch(word_at(at), 1, __ATOMIC_SEQ_CST);
        }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    srandom((unsigned)atol(argv[1]));
    find_ledger();
    if (memory == NULL)
        return 65;
    printf("ready\n");
    fflush(stdout);
    if (strcmp(argv[1], "name-guardian") == 0) {
        name_guardian();
        usleep((useconds_t)atol(argv[2]) * 1000);
        raise(SIGKILL);
    }
    for (int64_t end = now_ms() + atol(argv[2]); now_ms() < end;) {
        for (int i = random() % 2000; i >= 0; i--)
            write_something();
        wake();
    }
    raise(SIGKILL);
}
