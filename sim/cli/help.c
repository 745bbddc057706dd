/* Help, man pages and completion, all from the tables of commands and options. */
#include <ctype.h>
#include <string.h>

#include "sim/cli/cli.h"

/* ---- help ---- */

static void option_text(const struct cli_option *o, char *text, size_t room)
{
    snprintf(text, room, "%s%s%s%s", o->name[1] ? "--" : "-", o->name, o->value ? " " : "",
             o->value ? o->value : "");
}

enum { WIDTH = 80, HELP_COLUMN = 26 };

/*
 * Text that begins in column at; lines are broken at one of the characters, and those after the
 * first begin in column indent. Returns the column where it ends.
 */
static size_t wrap(FILE *out, const char *text, const char *breaks, size_t at, size_t indent)
{
    size_t space = 0;
    while (*text) {
        size_t n = strcspn(text, breaks);
        n += text[n] && text[n] != ' ';
        if (at + space + n > WIDTH && at > indent) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            space = 0;
        }
        fprintf(out, "%*s%.*s", (int)space, "", (int)n, text);
        at += space + n;
        text += n;
        space = *text == ' ';
        text += space;
    }
    return at;
}

static void print_options(FILE *out, const struct cli_option *options)
{
    char text[200];
    for (; options->name; options++) {
        option_text(options, text, sizeof text);
        fputs("  ", out);
        size_t at = wrap(out, text, "|", 2, 4);
        if (at + 2 <= HELP_COLUMN)
            fprintf(out, "%*s", (int)(HELP_COLUMN - at), "");
        else
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        snprintf(text, sizeof text, "%s%s", options->help,
                 options->many ? " (may be repeated)" : "");
        wrap(out, text, " ", HELP_COLUMN, HELP_COLUMN);
        fputc('\n', out);
    }
}

void help_list(FILE *out)
{
    fputs("nestwalk shows, measures and checks how an address becomes memory.\n\n"
          "usage: nestwalk COMMAND [OPTIONS] [ARGUMENTS]\n\n",
          out);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs("\nnestwalk help COMMAND says more; nestwalk --version says which this is.\n", out);
}

void help_print(FILE *out, const struct command *c)
{
    fprintf(out, "nestwalk %s: %s\n\nusage: nestwalk %s%s%s%s\n\n", c->name, c->summary, c->name,
            c->options->name ? " [OPTIONS]" : "", *c->arguments ? " " : "", c->arguments);
    if (*c->text)
        fprintf(out, "%s\n\n", c->text);
    if (c->options->name) {
        fputs("Options:\n", out);
        print_options(out, c->options);
        fputc('\n', out);
    }
    fputs("Options of every command:\n", out);
    print_options(out, common_options);
    fputs("\nExit codes: 0 done; 1 done, and the answer is no; 2 usage or bad input;\n"
          "3 the environment lacks something.\n",
          out);
}

/* ---- man pages ---- */

/* Text as roff: backslashes and dashes escaped, no line that begins with a control character. */
static void roff(FILE *out, const char *text)
{
    for (bool start = true; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        start = *text == '\n';
    }
}

/* Paragraphs; lines that begin with a space stay as they are. */
static void roff_text(FILE *out, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[400];
        snprintf(line, sizeof line, "%.*s", (int)(length < 399 ? length : 399), text);
        if (!length)
            fputs(".PP\n", out);
        else if (*line == ' ')
            fputs(".br\n", out);
        roff(out, line);
        if (length)
            fputc('\n', out);
        text += length + (text[length] == '\n');
    }
}

static void roff_options(FILE *out, const struct cli_option *options)
{
    for (; options->name; options++) {
        fputs(".TP\n\\fB", out);
        roff(out, options->name[1] ? "--" : "-");
        roff(out, options->name);
        fputs("\\fR", out);
        if (options->value) {
            fputs(" \\fI", out);
            roff(out, options->value);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        roff(out, options->help);
        fputs(options->many ? " (may be repeated)\n" : "\n", out);
    }
}

/* Exit codes, and the pages of all commands but this one. */
static void roff_end(FILE *out, const struct command *c)
{
    fputs(".SH EXIT STATUS\n0 done; 1 done, and the answer is no; 2 usage or bad input; 3 the "
          "environment lacks something.\n.SH SEE ALSO\n",
          out);
    if (c)
        fputs("\\fBnestwalk\\fR(1)", out);
    const char *between = c ? ",\n" : "";
    for (const struct command *const *other = commands; *other; other++)
        if (*other != c) {
            fprintf(out, "%s\\fBnestwalk\\-%s\\fR(1)", between, (*other)->name);
            between = ",\n";
        }
    fputc('\n', out);
}

void man_print_all(FILE *out)
{
    fputs(".TH NESTWALK 1 \"\" \"nestwalk " NESTWALK_VERSION "\" \"nestwalk\"\n.SH NAME\n"
          "nestwalk \\- shows, measures and checks how an address becomes memory\n.SH SYNOPSIS\n"
          "\\fBnestwalk\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n"
          ".SH COMMANDS\n",
          out);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(out, ".TP\n\\fB%s\\fR\n", (*c)->name);
        roff(out, (*c)->summary);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS OF EVERY COMMAND\n", out);
    roff_options(out, common_options);
    roff_end(out, NULL);
}

void man_print(FILE *out, const struct command *c)
{
    fputs(".TH NESTWALK\\-", out);
    for (const char *p = c->name; *p; p++)
        fputc(toupper((unsigned char)*p), out);
    fputs(" 1 \"\" \"nestwalk " NESTWALK_VERSION "\" \"nestwalk\"\n.SH NAME\nnestwalk\\-", out);
    roff(out, c->name);
    fputs(" \\- ", out);
    roff(out, c->summary);
    fputs("\n.SH SYNOPSIS\n\\fBnestwalk ", out);
    roff(out, c->name);
    fputs(c->options->name ? "\\fR [\\fIOPTIONS\\fR] " : "\\fR ", out);
    roff(out, c->arguments);
    fputs("\n.SH DESCRIPTION\n", out);
    roff_text(out, c->text);
    if (c->options->name) {
        fputs(".SH OPTIONS\n", out);
        roff_options(out, c->options);
    }
    fputs(".SH OPTIONS OF EVERY COMMAND\n", out);
    roff_options(out, common_options);
    roff_end(out, c);
}

/* ---- completion ---- */

static void completion_words(FILE *out, const struct cli_option *options)
{
    for (; options->name; options++)
        fprintf(out, " %s%s", options->name[1] ? "--" : "-", options->name);
}

static void completion_values(FILE *out, const struct cli_option *options)
{
    for (; options->name; options++) {
        if (!options->value || !strchr(options->value, '|'))
            continue;
        fprintf(out, "    --%s) words=\"", options->name);
        for (const char *p = options->value; *p; p++)
            fputc(*p == '|' ? ' ' : *p, out);
        fputs("\" ;;\n", out);
    }
}

void completion_print(FILE *out)
{
    fputs("# bash completion for nestwalk; printed by `nestwalk help --completion`\n"
          "_nestwalk() {\n"
          "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
          "  case $before in\n",
          out);
    completion_values(out, common_options);
    fputs("  esac\n  if [ -z \"$words\" ]; then case ${COMP_WORDS[1]} in\n", out);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(out, "    %s) words=\"", (*c)->name);
        completion_words(out, (*c)->options);
        completion_words(out, common_options);
        fputs("\" ;;\n", out);
    }
    fputs("  esac; fi\n  if [ \"$COMP_CWORD\" = 1 ] || { [ \"${COMP_WORDS[1]}\" = help ] && [[ "
          "$word != -* ]]; }; then\n    words=\"",
          out);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, " %s", (*c)->name);
    fputs(
        "\"\n  elif [[ $word != -* ]]; then\n    case $before in --*) ;; *) words= ;; esac\n  fi\n"
        "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
        "}\n"
        "complete -o default -F _nestwalk nestwalk\n",
        out);
}
