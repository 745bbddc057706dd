#include "sim/backend/judge.h"

struct scenario judged_scenario(const struct scenario *s, const struct environment *environment)
{
    struct scenario dressed = *s;
    environment_dress(environment, &dressed.machine);
    return dressed;
}

bool judge(const struct scenario *s, const struct environment *environment,
           const volatile int *stop, struct verdict *v, struct err *err)
{
    struct backend *const backends[] = {&backend_model, &backend_cold_model, &backend_kvm};
    const struct scenario dressed = judged_scenario(s, environment);
    struct observation seen[3] = {{0}};
    bool done = true;
    for (unsigned i = 0; done && i < 3; i++) {
        backends[i]->stop = stop;
        done = backends[i]->run(backends[i], &dressed, &seen[i], err);
    }
    if (done)
        compare_observations(&dressed, environment, &seen[0], &seen[1], &seen[2], v);
    for (unsigned i = 0; i < 3; i++)
        observation_fini(&seen[i]);
    return done;
}
