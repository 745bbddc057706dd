/* The comparison as data: JSON and CSV. */
#include <inttypes.h>

#include "sim/report/compare.h"
#include "sim/report/csv_out.h"
#include "sim/report/json_out.h"

static void requirements(const struct comparison *c, const struct contender *of, FILE *out)
{
    const struct counts *all = &of->stats.total;
    double exits = all->accesses ? (double)stats_exits(all) / (double)all->accesses : 0;
    fprintf(out,
            "      \"equivalent\": %s, \"frames_within_reach\": %" PRIu64
            ", \"frames_not_granted\": %" PRIu64 ", \"exits_per_access\": %.6f,\n"
            "      \"guest_changes\": ",
            contender_is_equivalent(of, &c->of[0]) ? "true" : "false", of->evidence.reachable,
            of->evidence.foreign, exits);
    if (mode_demand(of->mode))
        json_string(out, mode_demand(of->mode));
    else
        fputs("null", out);
}

static void contender(const struct comparison *c, const struct contender *of, FILE *out)
{
    fputs("    { \"name\": ", out);
    json_string(out, of->name);
    fprintf(out, ", \"cycles_per_access\": %.6f, \"references_at_most\": %" PRIu64 ",\n",
            contender_cost(of), of->refs_most);
    requirements(c, of, out);
    fputs(",\n      \"stats\": ", out);
    stats_print_json(&of->stats, out);
    fputs("    }", out);
}

void comparison_print_json(const struct comparison *c, FILE *out)
{
    int best, second;
    comparison_verdict(c, &best, &second);
    fputs("{ \"schema\": \"nestwalk/compare/1\", \"title\": ", out);
    json_string(out, c->title);
    fputs(", \"cheapest\": ", out);
    if (best >= 0)
        json_string(out, c->of[best].name);
    else
        fputs("null", out);
    fputs(",\n  \"contenders\": [\n", out);
    for (unsigned i = 0; i < c->n; i++) {
        contender(c, &c->of[i], out);
        fputs(i + 1 < c->n ? ",\n" : "\n", out);
    }
    fputs("  ] }\n", out);
}

void comparison_print_csv(const struct comparison *c, FILE *out)
{
    fputs("name,accesses,cycles,cycles_per_access", out);
    for (unsigned p = 0; p < CYCLE_PARTS; p++)
        fprintf(out, ",cycles_%s", cycle_part_name((enum cycle_part)p));
    fputs(",walks,refs_guest,refs_host,exits,guest_table_bytes,host_table_bytes,equivalent,"
          "frames_within_reach,frames_not_granted\n",
          out);
    for (unsigned i = 0; i < c->n; i++) {
        const struct contender *of = &c->of[i];
        const struct counts *all = &of->stats.total;
        csv_field(out, of->name);
        fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%.6f", all->accesses, all->cycles,
                contender_cost(of));
        for (unsigned p = 0; p < CYCLE_PARTS; p++)
            fprintf(out, ",%" PRIu64, all->cycles_by[p]);
        fprintf(out,
                ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                ",%d,%" PRIu64 ",%" PRIu64 "\n",
                all->walks.count, all->walks.by_stage[0],
                all->walks.by_stage[1] + all->walks.by_stage[2], stats_exits(all),
                all->tables.guest_bytes, all->tables.host_bytes,
                contender_is_equivalent(of, &c->of[0]), of->evidence.reachable,
                of->evidence.foreign);
    }
}
