/* machines: the profiles that ship, and every value of one with its source. */
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/report/json_out.h"
#include "sim/scenario/profile_list.h"

static void csv_field(const char *text, char end)
{
    putchar('"');
    for (; text && *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    printf("\"%c", end);
}

/* ---- all of them ---- */

struct row {
    char title[120];
};

static void keep_title(void *self, const struct profile_value *v)
{
    struct row *row = self;
    if (!strcmp(v->name, "title"))
        snprintf(row->title, sizeof row->title, "%s", v->value);
}

/* "64/4", "64/full", "-": entries and ways of the array that holds 4 KiB pages. */
static const char *tlb_text(const struct tlb_profile *tlb, char *text, size_t room)
{
    uint8_t array = tlb->array_of[0];
    const struct shape *shape = array == TLB_NOWHERE ? NULL : &tlb->array[array];
    if (!shape || !shape->entries)
        snprintf(text, room, "-");
    else if (!shape->ways || shape->ways == shape->entries)
        snprintf(text, room, "%u/full", (unsigned)shape->entries);
    else
        snprintf(text, room, "%u/%u", (unsigned)shape->entries, (unsigned)shape->ways);
    return text;
}

static void print_profile(enum cli_format format, const struct profile *p, const char *name,
                          const char *title, bool last)
{
    char tlb[TLBS][24];
    for (unsigned t = 0; t < TLBS; t++)
        tlb_text(&p->tlb[t], tlb[t], sizeof tlb[t]);
    double ghz = p->mhz / 1000.0;
    const char *by = p->structure_by_entry ? "entry" : "address";
    if (format == FORMAT_TABLE) {
        printf("%-12s %4.1f  %-9s %-9s %-9s  %-8s  %s\n", name, ghz, tlb[TLB_L1I], tlb[TLB_L1D],
               tlb[TLB_L2], by, title);
    } else if (format == FORMAT_CSV) {
        printf("%s,%.1f,%s,%s,%s,%s,", name, ghz, tlb[TLB_L1I], tlb[TLB_L1D], tlb[TLB_L2], by);
        csv_field(title, '\n');
    } else {
        printf("  { \"name\": \"%s\", \"ghz\": %.1f, \"l1i\": \"%s\", \"l1d\": \"%s\", \"l2\": "
               "\"%s\", \"structure_caches\": \"%s\", \"title\": ",
               name, ghz, tlb[TLB_L1I], tlb[TLB_L1D], tlb[TLB_L2], by);
        json_string(stdout, title);
        puts(last ? " }" : " },");
    }
}

static int list_all(struct cli *cli, struct diagnostics *wrong)
{
    static const char *const heads[] = {
        [FORMAT_TABLE] = "name          GHz  L1I TLB   L1D TLB   L2 TLB     caches by  title\n",
        [FORMAT_JSON] = "[\n",
        [FORMAT_CSV] = "name,ghz,l1i,l1d,l2,structure_caches,title\n",
    };
    fputs(heads[cli->format], stdout);
    for (const char *const *name = profile_names(); *name; name++) {
        struct scenario host;
        struct row row = {""};
        if (!profile_list(*name, keep_title, &row, wrong) || !machine_load(&host, *name, wrong))
            return EXIT_USAGE;
        print_profile(cli->format, &host.machine.profile, *name, row.title, !name[1]);
        scenario_free(&host);
    }
    if (cli->format == FORMAT_JSON)
        puts("]");
    else if (cli->format == FORMAT_TABLE && !cli->quiet)
        puts("\nTLBs: entries/ways for 4 KiB pages. `nestwalk machines NAME` gives every value "
             "with its source.");
    return EXIT_OK;
}

/* ---- one of them ---- */

struct printer {
    enum cli_format format;
    unsigned n;
};

static void json_member(const char *key, const char *text)
{
    fputs(", ", stdout);
    json_key(stdout, key);
    if (text)
        json_string(stdout, text);
    else
        fputs("null", stdout);
}

static void print_value(void *self, const struct profile_value *v)
{
    struct printer *p = self;
    switch (p->format) {
    case FORMAT_TABLE:
        printf("%-22s %s\n", v->name, v->value);
        if (v->source)
            printf("%22s   %s: %s\n", "", v->confidence ? v->confidence : "?", v->source);
        if (v->note)
            printf("%22s   note: %s\n", "", v->note);
        break;
    case FORMAT_JSON:
        fputs(p->n ? ",\n  { \"name\": " : "  { \"name\": ", stdout);
        json_string(stdout, v->name);
        json_member("value", v->value);
        json_member("confidence", v->confidence);
        json_member("source", v->source);
        json_member("note", v->note);
        fputs(" }", stdout);
        break;
    case FORMAT_CSV:
        csv_field(v->name, ',');
        csv_field(v->value, ',');
        csv_field(v->confidence, ',');
        csv_field(v->source, ',');
        csv_field(v->note, '\n');
        break;
    }
    p->n++;
}

static int list_one(struct cli *cli, struct diagnostics *wrong)
{
    struct printer printer = {cli->format, 0};
    struct scenario host; /* first, so that nothing is printed of what can't be read */
    if (!machine_load(&host, cli->arguments[0], wrong))
        return EXIT_USAGE;
    scenario_free(&host);
    if (cli->format == FORMAT_CSV)
        puts("name,value,confidence,source,note");
    else if (cli->format == FORMAT_JSON)
        puts("[");
    if (!profile_list(cli->arguments[0], print_value, &printer, wrong))
        return EXIT_USAGE;
    if (cli->format == FORMAT_JSON)
        puts("\n]");
    return EXIT_OK;
}

static int run(struct cli *cli)
{
    struct diagnostics wrong = {0};
    int code = cli->n_arguments ? list_one(cli, &wrong) : list_all(cli, &wrong);
    diagnostics_print(&wrong, stderr, cli->color);
    diagnostics_free(&wrong);
    return code;
}

static const struct cli_option options[] = {
    {NULL, NULL, NULL, false},
};

const struct command command_machines = {
    .name = "machines",
    .arguments = "[NAME]",
    .summary = "the machine profiles, and where their values are from",
    .text = "Without NAME: one line per profile that ships. With the name of one, or a\n"
            "profile's file: each of its values, with its confidence (sourced, high, medium,\n"
            "low, uncertain) and where it comes from.",
    .options = options,
    .least = 0,
    .most = 1,
    .run = run,
};
