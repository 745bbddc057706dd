/* compare: one scenario or trace under several modes, side by side. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cli/compare.h"
#include "sim/report/compare.h"

static const char default_modes[] = "native,shadow,nested";

/* "native,shadow:vtlb" in ways. */
static int read_ways(const struct cli *cli, struct way *ways, unsigned *n)
{
    char *text = strdup(cli_value(cli, "modes", default_modes)), *rest = text;
    int code = text ? EXIT_OK : EXIT_ENVIRONMENT;
    for (char *word; !code && (word = strsep(&rest, ","));) {
        if (*n == CONTENDERS_MAX)
            code = cli_usage(cli, "--modes names at most %d", CONTENDERS_MAX);
        else if (!way_named(word, &ways[*n]))
            code = cli_usage(cli,
                             "'%s' is no mode; see modes. A shadow's policy goes behind a "
                             "colon: shadow:kvm, shadow:trace, shadow:vtlb",
                             word);
        else
            ++*n;
    }
    free(text);
    return code;
}

static unsigned find_native(const struct way *ways, unsigned n)
{
    unsigned i = 0;
    while (i < n && strcmp(ways[i].mode, mode_name(MODE_NATIVE)))
        i++;
    return i;
}

/* Several VMs need a hypervisor: native goes by itself, unless somebody asked for it. */
static int leave_out_native(const struct cli *cli, const struct subject *s, struct way *ways,
                            unsigned *n)
{
    char rest[CONTENDERS_MAX * sizeof ways->name + 1] = "";
    unsigned vms, native = find_native(ways, *n), left = 0;
    if (native == *n || s->is_trace || (vms = subject_vms(s)) < 2)
        return EXIT_OK;
    for (unsigned i = 0; i < *n; i++) {
        if (!strcmp(ways[i].mode, mode_name(MODE_NATIVE)))
            continue;
        strcat(left ? strcat(rest, ",") : rest, ways[i].name);
        ways[left++] = ways[i];
    }
    if (cli_has(cli, "modes"))
        return cli_usage(cli,
                         "native has no hypervisor, and this scenario has %u VMs: leave native "
                         "out: --modes %s",
                         vms, left ? rest : "shadow,nested");
    *n = left;
    if (!cli->quiet)
        fprintf(stderr, "note: native has no hypervisor for %u VMs and is left out: --modes %s\n",
                vms, rest);
    return EXIT_OK;
}

static void print(const struct cli *cli, const struct comparison *c)
{
    static void (*const all[])(const struct comparison *, FILE *) = {
        [FORMAT_TABLE] = comparison_print_table,
        [FORMAT_JSON] = comparison_print_json,
        [FORMAT_CSV] = comparison_print_csv,
    };
    all[cli->format](c, stdout);
}

/* Exit code 1 where a mode is not what it must be. */
static int judge(const struct comparison *c)
{
    int code = EXIT_OK;
    for (unsigned i = 1; i < c->n; i++) {
        const struct contender *of = &c->of[i];
        if (contender_is_equivalent(of, &c->of[0]) && !of->evidence.foreign)
            continue;
        fprintf(stderr, "nestwalk compare: %s is not equivalent to %s: this is a bug\n", of->name,
                c->of[0].name);
        code = EXIT_NO;
    }
    return code;
}

static int compare(const struct cli *cli, const struct subject *subject, const struct way *ways,
                   unsigned n)
{
    struct scenario scenarios[CONTENDERS_MAX];
    struct comparison *c = calloc(1, sizeof *c);
    int code = c ? EXIT_OK : EXIT_ENVIRONMENT;
    if (c)
        *c = (struct comparison){.title = subject->title, .is_trace = subject->is_trace};
    for (unsigned i = 0; !code && i < n; i++) {
        code = way_run(cli, subject, &ways[i], NULL, 0, &scenarios[i], &c->of[i]);
        c->n += !code;
    }
    if (!code) {
        print(cli, c);
        code = judge(c);
    }
    for (unsigned i = 0; c && i < c->n; i++)
        scenario_free(&scenarios[i]);
    if (c)
        comparison_fini(c);
    free(c);
    return code;
}

static int run(struct cli *cli)
{
    struct way ways[CONTENDERS_MAX];
    struct subject subject;
    unsigned n = 0;
    int code = read_ways(cli, ways, &n);
    if (!code)
        code = subject_open(cli, &subject);
    if (code)
        return code;
    const char *key = cli_value(cli, "flip", NULL);
    if (key)
        code = compare_flip(cli, &subject, ways, n, key);
    else if (!(code = leave_out_native(cli, &subject, ways, &n)))
        code = compare(cli, &subject, ways, n);
    subject_close(&subject);
    return code;
}

static const struct cli_option options[] = {
    {"modes", "MODE,...", "which to compare; native,shadow,nested (of several VMs shadow,nested)",
     false},
    {"flip", "KEY", "find the smallest change of one value that reverses the verdict", false},
    {"machine", "PROFILE", "for a trace: a profile's name; skylake-sp", false},
    {"set", "/POINTER=VALUE", "change a value of the scenario first", true},
    {NULL, NULL, NULL, false},
};

const struct command command_compare = {
    .name = "compare",
    .arguments = "SCENARIO|TRACE",
    .summary = "several modes side by side on the same accesses",
    .text = "Runs a scenario, or a trace, once for each mode, and prints what each cost, who\n"
            "served its walks, why it left the VM and what answered; then what it shows of\n"
            "the three requirements on a hypervisor; then pros, cons and what decides, in\n"
            "words made from the figures. The first mode is what the others must agree with:\n"
            "the exit code is 1 if a guest could tell one from it. vCPUs take turns access by\n"
            "access, not by their clocks, which differ by mode.\n\n"
            "A mode may have a policy: shadow:kvm, shadow:trace, shadow:vtlb.\n\n"
            "--flip KEY looks for the smallest change of one value that makes the second of\n"
            "two modes the cheaper one. KEY is a price (exit, violation, memory, ...: see\n"
            "machines), remap or protect (share of accesses), or huge (share of the second\n"
            "stage in 2 MiB pages).\n\n"
            "  nestwalk compare scenarios/first-steps.json\n"
            "  nestwalk compare sort.nwtrace --modes native,shadow:vtlb,nested --machine zen4\n"
            "  nestwalk compare s.json --modes shadow,nested --flip exit",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
