/* The table of keys as a page to read, in Markdown. */
#include "sim/scenario/scenario.h"

#include <string.h>

#include "sim/scenario/value.h"

enum { SECTIONS_MAX = 64 };

static const char introduction[] =
    "# Scenario files\n"
    "\n"
    "<!-- Printed by `nestwalk schema reference` from the table that the reader itself\n"
    "     checks files by. Don't edit. -->\n"
    "\n"
    "A scenario is a JSON file. `nestwalk check FILE` says everything that is wrong with one;\n"
    "`docs/schema/scenario-1.json` is its JSON Schema, which editors use to complete and explain\n"
    "keys: begin the file with `\"$schema\": \"../docs/schema/scenario-1.json\"`.\n"
    "\n"
    "- `//` and `/* */` comments are read.\n"
    "- An **address** is a string, hexadecimal or decimal, with underscores where they help:\n"
    "  `\"0x7ffe_dead_b000\"`. A **64-bit number** is written so too, or as a plain number.\n"
    "- A **size** is a number of bytes, or a string with B, KiB, MiB, GiB or TiB (or K, M, G, T,\n"
    "  the same).\n"
    "- A plain number has at most 53 bits; beyond that, write a string.\n"
    "- **Rights** are letters of `rwxu`. **Bytes** are hexadecimal digits, two to a byte. A\n"
    "  **share** is a number from 0 to 1.\n"
    "- An unknown key is an error, unless it begins with `x-` or `$`.\n"
    "- Paths are relative to the folder of the file that they stand in.\n"
    "- `--set /vms/0/mode=shadow` changes a value before the file is checked; `*` stands for "
    "every\n"
    "  element of a list: `--set '/vms/*/mode=shadow'`.\n";

/* The schemas that keys lead to, each once, in the order that a reader meets them. */
struct outline {
    const struct schema *section[SECTIONS_MAX];
    unsigned n;
};

static void visit(struct outline *o, const struct schema *schema)
{
    for (unsigned i = 0; i < o->n; i++)
        if (o->section[i] == schema)
            return;
    if (o->n == SECTIONS_MAX)
        return;
    o->section[o->n++] = schema;
    for (unsigned i = 0; i < schema->n_keys; i++)
        if (schema->keys[i].child)
            visit(o, schema->keys[i].child);
}

static void print_range(FILE *out, const struct key *key)
{
    const char *unit = "";
    double most = key->most;
    if (most == 0 || key->type == TYPE_TEXT)
        return;
    if (key->type == TYPE_SIZE && most >= 1099511627776.0) {
        most /= 1099511627776.0;
        unit = " TiB";
    }
    fprintf(out, ", %.17g to %.17g%s", key->least, most, unit);
}

static void print_words(FILE *out, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        fprintf(out, "%s`%s`", i ? ", " : "", words[i]);
}

static void print_value(FILE *out, const struct key *key)
{
    const char *or_ = "";
    if (key->list)
        fputs("list of: ", out);
    if (key->type == TYPE_WORD) {
        print_words(out, key->words);
        or_ = ", or ";
    } else if (key->type != TYPE_NONE) {
        fputs(value_noun(key->type), out);
        print_range(out, key);
        or_ = ", or ";
    }
    if (key->child)
        fprintf(out, "%s[%s](#%s)", or_, key->child->name, key->child->name);
    if (key->sourced)
        fputs(", or [sourced](#sourced)", out);
    if (key->list && key->items_most)
        fprintf(out, "; %u to %u of them", key->items_least, key->items_most);
}

/* The words of the selector under which a key is taken; those that need it, in bold. */
static void print_takers(FILE *out, const struct schema *schema, const struct key *key)
{
    const char *const *words = spec_key(schema, schema->selector)->words;
    const char *comma = "";
    if (!key->taken_by)
        fputs("all", out);
    for (unsigned i = 0; key->taken_by && words[i]; i++) {
        if (!(key->taken_by >> i & 1))
            continue;
        const char *bold = key->needed_by >> i & 1 ? "**" : "";
        fprintf(out, "%s%s%s%s", comma, bold, words[i], bold);
        comma = ", ";
    }
}

static void print_key(FILE *out, const struct schema *schema, const struct key *key)
{
    fprintf(out, "| `%s` | ", key->name);
    if (schema->selector) {
        print_takers(out, schema, key);
        fputs(" | ", out);
    }
    print_value(out, key);
    fputs(" | ", out);
    if (key->required)
        fputs("**required**", out);
    else if (key->fallback)
        fprintf(out, "`%s`", key->fallback);
    fprintf(out, " | %s", key->help);
    if (key->example)
        fprintf(out, ". Example: `%s`", key->example);
    fputs(" |\n", out);
}

static void print_section(FILE *out, const struct schema *schema)
{
    fprintf(out, "\n## %s\n\n%s\n\n", schema->name, schema->help);
    if (schema->selector)
        fprintf(out,
                "What an object takes depends on its `%s`; where a word is in **bold**, it "
                "needs the key.\n\n| key | %s | value | default | what |\n"
                "|---|---|---|---|---|\n",
                schema->selector, schema->selector);
    else
        fputs("| key | value | default | what |\n|---|---|---|---|\n", out);
    for (unsigned i = 0; i < schema->n_keys; i++)
        print_key(out, schema, &schema->keys[i]);
}

static void print_verbs(FILE *out)
{
    static const struct {
        const char *name, *help;
    } verbs[] = {
#define X(name, help) {#name, help},
        VERBS(X)
#undef X
    };
    fputs("\n### Verbs\n\n| `do` | what |\n|---|---|\n", out);
    for (unsigned i = 0; i < VERB_COUNT; i++)
        fprintf(out, "| `%s` | %s |\n", verbs[i].name, verbs[i].help);
}

static void print_modes(FILE *out)
{
    fputs("\n### Modes\n\nReferences are the entries that a walk reads when no cache shortens it "
          "and every\nstage has 4 levels.\n\n| `mode` | references | what |\n|---|---|---|\n",
          out);
    for (enum mode mode = 0; mode < MODES; mode++) {
        const struct mode_about *about = mode_about(mode);
        fprintf(out, "| `%s` | %u", mode_name(mode), about->least);
        if (about->most != about->least)
            fprintf(out, " to %u", about->most);
        fprintf(out, " | %s |\n", about->what);
    }
}

void reference_print(FILE *out)
{
    struct outline outline = {.n = 0};
    visit(&outline, &scenario_schema);
    visit(&outline, &profile_schema);
    visit(&outline, &sourced_schema);
    fputs(introduction, out);
    for (unsigned i = 0; i < outline.n; i++) {
        print_section(out, outline.section[i]);
        if (outline.section[i] == &script_schema)
            print_verbs(out);
        if (outline.section[i] == &vm_schema)
            print_modes(out);
    }
}
