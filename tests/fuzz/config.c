/* A libFuzzer target: any bytes as a config give a plan or a problem, and nothing else happens. */
#include <stdint.h>
#include <stdlib.h>

#include "config/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_parse((const char *)data, size, "fuzz", &problems);
    char line[4096];

    if ((plan != NULL) != (problems.fatal == 0))
        abort();
    for (size_t i = 0; i < problems.count; i++)
        if (grace_problem_format(&problems.list[i], line, sizeof line) == 0)
            abort();
    if (plan != NULL)
        grace_plan_review(plan, &problems);
    grace_problems_sort(&problems);
    grace_plan_free(plan);
    grace_problems_free(&problems);
    return 0;
}
