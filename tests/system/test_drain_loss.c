/*
 * No request in flight is lost: the table of `make bench` as a test, with fewer kills. Each server
 * is stopped by TERM at a random moment under steady load. Bare, requests are lost; if none were,
 * the load would prove nothing. LOSS_KILLS says how often each is killed under libgrace, 1 by
 * default.
 */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

#include "../loss/loss.h"

static const struct loss_place *place(void)
{
    static struct loss_place made;
    made = (struct loss_place){.build = getenv("GRACE_BUILD"), .directory = story_directory()};
    expect(loss_prepare(&made));
    return &made;
}

static const struct loss *stop_once(const struct loss_row *row, bool graced)
{
    static struct loss loss;
    if (row->root && geteuid() != 0)
        skip("%s: needs root", row->name);
    if (!loss_measure(row, graced, place(), &loss))
        story_fail(__FILE__, __LINE__, "%s, %s: %s", row->name, graced ? "graced" : "bare",
                   loss.line);
    expect(loss.wrong <= 0, "%s: %s", row->name, loss.line);
    expect_status((int)loss.status, KILLED(SIGTERM));
    return &loss;
}

START_TEST(bare_it_loses_requests)
{
    const struct loss_row *row = &loss_rows[_i];
    double lost = 0;
    for (int i = 0; i < 10 && lost <= 0; i++)
        lost += stop_once(row, false)->lost;
    expect(lost > 0, "%s: nothing to lose", row->name);
}
END_TEST

static int kills(void)
{
    const char *wanted = getenv("LOSS_KILLS");
    return wanted != NULL ? atoi(wanted) : 1;
}

/* Where 0 cannot be reached, at most one request per connection is under way at the end. */
#define CONNECTIONS 20

START_TEST(it_loses_none)
{
    const struct loss_row *row = &loss_rows[_i];
    for (int i = 0; i < kills(); i++) {
        const struct loss *loss = stop_once(row, true);
        expect(loss->lost <= (row->why != NULL ? CONNECTIONS : 0), "%s: %s\n%s", row->name,
               loss->line, contents("grace.log"));
    }
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain: loss");
    TCase *group = story_case(all, "loss");
    tcase_add_loop_test(group, bare_it_loses_requests, 0, (int)loss_row_count);
    tcase_add_loop_test(group, it_loses_none, 0, (int)loss_row_count);
    return all;
}
