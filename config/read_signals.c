/* signals, chain and deliver: sets of signals by name. */
#include <signal.h>
#include <string.h>

#include "reader.h"
#include "signals.h"

/*
 * The signal that `name` means, or 0 with a problem added at `setting`. `refuses` tells why a
 * signal cannot stand here.
 */
static int find_signal(struct grace_reader *reader, const config_setting_t *setting,
                       const char *name, const char *(*refuses)(int signo))
{
    int signo = grace_signal_find(name);
    if (signo == 0) {
        bool number = name[0] != '\0' && strspn(name, "0123456789") == strlen(name);
        grace_read_problem(reader, setting,
                           "unknown signal \"%.40s\"; expected a name such as \"TERM\"%s", name,
                           number ? ", not a number" : "");
        return 0;
    }
    const char *reason = refuses(signo);
    if (reason == NULL)
        return signo;
    grace_read_problem(reader, setting, "\"%.40s\" cannot be used here: %s", name, reason);
    return 0;
}

void grace_read_signals(struct grace_reader *reader, const config_setting_t *setting,
                        const struct grace_key *key, void *target)
{
    (void)key;
    uint64_t set = 0, twice = 0;

    if (!grace_setting_is_series(setting)) {
        grace_read_wrong(reader, setting, "a list of signals such as [\"TERM\", \"INT\"]");
        reader->signals_bad = true;
        return;
    }
    size_t fatal_before = reader->problems->fatal;
    unsigned count = (unsigned)config_setting_length(setting);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, i);
        if (element->type != CONFIG_TYPE_STRING) {
            grace_read_wrong(reader, element, "the name of a signal such as \"TERM\"");
            continue;
        }
        const char *name = grace_setting_text(element);
        int signo = find_signal(reader, element, name, grace_signal_no_stop);
        if (signo == 0)
            continue;
        if (set & ~twice & GRACE_SIGNAL_BIT(signo)) {
            grace_read_warning(reader, element, "\"%.40s\" is there twice", name);
            twice |= GRACE_SIGNAL_BIT(signo); /* once is enough: errors must not drown in it */
        }
        set |= GRACE_SIGNAL_BIT(signo);
    }
    if (reader->problems->fatal == fatal_before)
        *(uint64_t *)target = set;
    else
        reader->signals_bad = true;
}

void grace_read_deliver(struct grace_reader *reader, const config_setting_t *setting,
                        const struct grace_key *key, void *target)
{
    (void)key;
    uint8_t *deliver = target;
    uint64_t seen = 0;

    if (setting->type != CONFIG_TYPE_GROUP) {
        grace_read_wrong(reader, setting, "a group such as { TERM = \"QUIT\"; }");
        return;
    }
    unsigned count = (unsigned)config_setting_length(setting);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *entry = config_setting_get_elem(setting, i);
        int from = find_signal(reader, entry, entry->name, grace_signal_no_stop);
        if (entry->type != CONFIG_TYPE_STRING) {
            grace_read_wrong(reader, entry, "the name of a signal such as \"QUIT\"");
            continue;
        }
        int to = find_signal(reader, entry, grace_setting_text(entry), grace_signal_no_delivery);
        if (from == 0 || to == 0)
            continue;
        if (seen & GRACE_SIGNAL_BIT(from))
            grace_read_problem(reader, entry, "this signal is there twice; expected once");
        seen |= GRACE_SIGNAL_BIT(from);
        deliver[from] = (uint8_t)(to == from ? 0 : to);
    }
}

/* Each signal of `set` that is not a stop signal is a problem at `setting`. */
static void check_are_stops(struct grace_reader *reader, const config_setting_t *setting,
                            uint64_t set)
{
    uint64_t strangers = set & ~reader->plan->signals;
    for (int signo = 1; signo <= 64; signo++) {
        if (!(strangers & GRACE_SIGNAL_BIT(signo)))
            continue;
        char name[GRACE_SIGNAL_NAME_MAX];
        grace_read_problem(
            reader, setting,
            "\"%s\" is not a stop signal; expected one of `signals`, or add it there",
            grace_signal_name(signo, name));
    }
}

void grace_check_signals(struct grace_reader *reader, const config_setting_t *root)
{
    struct grace_plan *plan = reader->plan;
    const config_setting_t *chain = config_setting_get_member(root, "chain");
    const config_setting_t *deliver = config_setting_get_member(root, "deliver");
    uint64_t delivered = 0;

    if (reader->signals_bad)
        return; /* what is wrong there would show here a second time */
    /* A default for `chain` that nobody wrote adapts to the `signals` that somebody did. */
    if (chain != NULL)
        check_are_stops(reader, chain, plan->chain);
    else
        plan->chain &= plan->signals;

    for (int signo = 1; signo <= 64; signo++)
        if (plan->deliver[signo] != 0)
            delivered |= GRACE_SIGNAL_BIT(signo);
    if (deliver != NULL)
        check_are_stops(reader, deliver, delivered);
    if (plan->signals & GRACE_SIGNAL_BIT(SIGWINCH))
        grace_read_warning(reader, config_setting_get_member(root, "signals"),
                           "a terminal sends WINCH too, whenever its window is resized");
}
