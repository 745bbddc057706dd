#include "sim/cli/fuzz_print.h"

#include <inttypes.h>

#include "sim/report/figures.h"
#include "sim/report/json_out.h"

void fuzz_found_print(FILE *out, const struct fuzz_found *f)
{
    fprintf(out, "program %" PRIu64 ": %u script items", f->program, f->items);
    if (f->asked)
        fprintf(out, ", of which %u suffice (%u runs)", f->left, f->asked);
    fprintf(out, "\n  %s\n  saved; try it again: nestwalk fuzz %s; look at it: validate, walk\n",
            f->words, f->path);
}

static void print_masks(FILE *out, const struct fuzz_report *r)
{
    fprintf(out, "\n%-38s %14s %14s\n", "Masks", "within reach", "explained");
    for (unsigned m = 0; m < MASK_COUNT; m++)
        if (r->environment->mask[m])
            fprintf(out, "  %-36s %14s %14s\n", mask_name(m), grouped(r->tally.in_reach[m]).text,
                    grouped(r->tally.masked[m]).text);
}

void fuzz_report_table(FILE *out, const struct fuzz_report *r)
{
    fprintf(out, "Programs of seed %" PRIu64 "\n", r->seed);
    for (unsigned i = 0; i < FUZZ_COUNT_COUNT; i++)
        fprintf(out, "  %-36s %14s\n", fuzz_count_what(i), grouped(r->tally.count[i]).text);
    print_masks(out, r);
    fprintf(out, "\n%s accesses: the model (%s) and %s ",
            grouped(r->tally.count[FUZZ_accesses]).text, r->mode, r->judge);
    if (r->differences)
        fprintf(out, "differ in %" PRIu64 " program%s\n", r->differences,
                r->differences == 1 ? "" : "s");
    else
        fputs("agree\n", out);
}

void fuzz_report_json(FILE *out, const struct fuzz_report *r)
{
    fputs("{\n  \"schema\": \"nestwalk/fuzz/1\",\n  \"driver\": ", out);
    json_string(out, r->environment->driver);
    fprintf(out,
            ",\n  \"seed\": %" PRIu64 ",\n  \"differences\": %" PRIu64 ",\n  \"mode\": ", r->seed,
            r->differences);
    json_string(out, r->mode);
    fputs(",\n  \"judge\": ", out);
    json_string(out, r->judge);
    for (unsigned i = 0; i < FUZZ_COUNT_COUNT; i++) {
        fputs(",\n  ", out);
        json_key(out, fuzz_count_name(i));
        fprintf(out, "%" PRIu64, r->tally.count[i]);
    }
    fputs(",\n  \"masks\": {", out);
    const char *comma = "\n    ";
    for (unsigned m = 0; m < MASK_COUNT; m++)
        if (r->environment->mask[m]) {
            fputs(comma, out);
            json_key(out, mask_name(m));
            fprintf(out, "{ \"within_reach\": %" PRIu64 ", \"explained\": %" PRIu64 " }",
                    r->tally.in_reach[m], r->tally.masked[m]);
            comma = ",\n    ";
        }
    fputs("\n  }\n}\n", out);
}

void fuzz_report_csv(FILE *out, const struct fuzz_report *r)
{
    fprintf(out, "name,value\nseed,%" PRIu64 "\ndifferences,%" PRIu64 "\n", r->seed,
            r->differences);
    for (unsigned i = 0; i < FUZZ_COUNT_COUNT; i++)
        fprintf(out, "%s,%" PRIu64 "\n", fuzz_count_name(i), r->tally.count[i]);
    for (unsigned m = 0; m < MASK_COUNT; m++)
        if (r->environment->mask[m])
            fprintf(out, "%s within reach,%" PRIu64 "\n%s explained,%" PRIu64 "\n", mask_name(m),
                    r->tally.in_reach[m], mask_name(m), r->tally.masked[m]);
}
