/*
 * make reproduce: what was published about translation under hypervisors, beside what this model
 * makes of it, target by target. Ends with 1 if something that must come out does not.
 *
 * usage: reproduce [PAGE]: prints the table; with PAGE, writes it there as Markdown too.
 */
#include "tests/reproduce/reproduce.h"

#include <string.h>

static void (*const groups[])(struct table *) = {
    reproduce_walks, reproduce_designs, reproduce_caches, reproduce_exits, reproduce_modes,
};

static const char head[] =
    "# What is published, and what comes out here\n\n"
    "<!-- Printed by `make reproduce`. Don't edit. -->\n\n"
    "Each row is one figure from a paper or a manual, and what nestwalk makes of it. The page is\n"
    "written by `make reproduce`, which ends with an error if a row differs; it is the same to "
    "the\n"
    "byte on every computer.\n\n"
    "- **reproduced exactly**: counts, orders and formulas that must be equal, and are.\n"
    "- **within tolerance**: as near as the last column but one says.\n"
    "- **shape holds**: a sign or an order that was published (who is faster, which way a curve\n"
    "  goes) is found; the size of the effect is the model's and is not claimed.\n"
    "- **published only**: no verdict. Speed-ups of real programs on real or simulated machines\n"
    "  need those programs; their figures stand beside ours, if we have any, and nothing follows\n"
    "  from the two being near or far.\n\n"
    "No parameter of the model was chosen to meet a figure below. Profiles are those that ship\n"
    "(skylake-sp where nothing is said), with every value's source in [MACHINES.md](MACHINES.md);\n"
    "where a row changes one (caches switched off, one price for every entry), it says so. "
    "Workloads\n"
    "are another matter: those of a *shape* were made so that the effect can be seen, with the "
    "sizes\n"
    "that stand beside it. *At second hand* means that the figure was taken from a later work "
    "that\n"
    "quotes it.\n\n";

static bool write_page(const struct table *t, const char *path)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "w") : stdout;
    if (!f) {
        perror(path);
        return false;
    }
    fputs(head, f);
    table_print_page(t, f);
    return f == stdout || !fclose(f);
}

int main(int argc, char **argv)
{
    struct table t = {0};
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++)
        groups[i](&t);
    if (argc < 2 || strcmp(argv[1], "-"))
        table_print(&t, stdout);
    bool written = argc < 2 || write_page(&t, argv[1]);
    bool good = !table_count(&t, DIFFERS);
    table_fini(&t);
    return !written ? EXIT_ENVIRONMENT : good ? EXIT_OK : EXIT_NO;
}
