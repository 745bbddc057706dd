#include "sim/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/scenario/check.h"

const struct cli_option common_options[] = {
    {"format", "table|json|csv", "how results are printed; table is the default", false},
    {"quiet", NULL, "no progress and no notes on standard error", false},
    {"color", "auto|always|never", "colour on standard error; auto: where it is a terminal", false},
    {"help", NULL, "what the command does, and its options", false},
    {NULL, NULL, NULL, false},
};

volatile int cli_interrupted;

/* ---- what is wrong ---- */

static void usage_line(FILE *out, const struct command *c)
{
    fprintf(out, "usage: nestwalk %s%s%s%s\n", c->name, c->options->name ? " [OPTIONS]" : "",
            *c->arguments ? " " : "", c->arguments);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "nestwalk %s: ", cli->command->name);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    usage_line(stderr, cli->command);
    fprintf(stderr, "See: nestwalk help %s\n", cli->command->name);
    return EXIT_USAGE;
}

int cli_fail(const struct cli *cli, const struct err *err)
{
    fprintf(stderr, "nestwalk%s%s: %s\n", cli->command ? " " : "",
            cli->command ? cli->command->name : "", err->text);
    return err->code;
}

/* ---- finding ---- */

static const struct cli_option *find_in(const struct cli_option *options, const char *name)
{
    for (; options->name; options++)
        if (!strcmp(options->name, name))
            return options;
    return NULL;
}

const struct cli_option *cli_option(const struct command *command, const char *name)
{
    const struct cli_option *own = find_in(command->options, name);
    return own ? own : find_in(common_options, name);
}

const struct command *cli_command(const char *name)
{
    struct guess guess = {.text = name};
    for (const struct command *const *c = commands; *c; c++) {
        if (!strcmp((*c)->name, name))
            return *c;
        guess_try(&guess, (*c)->name);
    }
    fprintf(stderr, "nestwalk: no command '%s'", name);
    if (guess.best)
        fprintf(stderr, "; did you mean '%s'?", guess.best);
    else if (*name == '-')
        fputs("; options follow the command", stderr);
    fputs("\nSee: nestwalk help\n", stderr);
    return NULL;
}

static int unknown_option(struct cli *cli, const char *name, const char *dashes)
{
    struct guess guess = {.text = name};
    const struct cli_option *const tables[] = {cli->command->options, common_options};
    for (unsigned t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o->name; o++)
            guess_try(&guess, o->name);
    if (guess.best)
        return cli_usage(cli, "unknown option '%s%s'; did you mean '%s%s'?", dashes, name,
                         guess.best[1] ? "--" : "-", guess.best);
    return cli_usage(cli, "unknown option '%s%s'", dashes, name);
}

/* ---- parsing ---- */

/* Whether a value is one of the words "a|b|c". */
static bool is_word(const char *words, const char *value)
{
    size_t length = strlen(value);
    for (const char *word = words;; word++) {
        size_t n = strcspn(word, "|");
        if (n == length && !memcmp(word, value, n))
            return true;
        word += n;
        if (!*word)
            return false;
    }
}

static int take(struct cli *cli, const struct cli_option *option, const char *value)
{
    const char *dashes = option->name[1] ? "--" : "-";
    if (!option->many && cli_has(cli, option->name))
        return cli_usage(cli, "option '%s%s' is given twice", dashes, option->name);
    if (cli->n_given == (int)(sizeof cli->given / sizeof *cli->given))
        return cli_usage(cli, "more options than there is room for");
    if (option->value && strchr(option->value, '|') && !is_word(option->value, value))
        return cli_usage(cli, "option '%s%s' is one of %s, not '%s'", dashes, option->name,
                         option->value, value);
    cli->given[cli->n_given++] = (struct cli_given){option, value};
    return EXIT_OK;
}

/* One option at argv[*i]: --name value, --name=value, or -n value. */
static int parse_option(struct cli *cli, int argc, char **argv, int *i)
{
    bool is_long = argv[*i][1] == '-';
    char name[64];
    const char *text = argv[*i] + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(text, '=') : NULL;
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), text);
    const struct cli_option *option = !is_long && !strcmp(name, "h")
                                          ? cli_option(cli->command, "help")
                                      : is_long == (length > 1) ? cli_option(cli->command, name)
                                                                : NULL;
    if (!option || length > 63)
        return unknown_option(cli, name, is_long ? "--" : "-");
    if (!option->value && equals)
        return cli_usage(cli, "option '--%s' takes no value", name);
    const char *value = equals ? equals + 1 : NULL;
    if (option->value && !value) {
        if (*i + 1 == argc)
            return cli_usage(cli, "option '%s%s' needs a value: %s", is_long ? "--" : "-", name,
                             option->value);
        value = argv[++*i];
    }
    return take(cli, option, value);
}

static int check_arguments(const struct cli *cli)
{
    const struct command *c = cli->command;
    if (cli->n_arguments < c->least)
        return cli_usage(cli, "%s missing: %s",
                         cli->n_arguments ? "something is" : "what to work on is", c->arguments);
    if (c->most >= 0 && cli->n_arguments > c->most)
        return cli_usage(cli, "one argument too many: '%s'", cli->arguments[c->most]);
    return EXIT_OK;
}

static void settle(struct cli *cli)
{
    static const char *const formats[] = {"table", "json", "csv"};
    const char *format = cli_value(cli, "format", "table");
    const char *color = cli_value(cli, "color", "auto");
    for (unsigned f = 0; f < 3; f++)
        if (!strcmp(formats[f], format))
            cli->format = (enum cli_format)f;
    cli->quiet = cli_has(cli, "quiet");
    const char *no_color = getenv("NO_COLOR");
    cli->color = !strcmp(color, "always") ||
                 (!strcmp(color, "auto") && !(no_color && *no_color) && isatty(STDERR_FILENO));
}

/* Options and arguments in any order; after "--" all are arguments. Arguments move to the front. */
static int parse(struct cli *cli, int argc, char **argv)
{
    bool options = true;
    cli->arguments = argv;
    for (int i = 0; i < argc; i++) {
        if (!options || argv[i][0] != '-' || !argv[i][1]) {
            cli->arguments[cli->n_arguments++] = argv[i];
        } else if (!strcmp(argv[i], "--")) {
            options = false;
        } else {
            int code = parse_option(cli, argc, argv, &i);
            if (code)
                return code;
        }
    }
    settle(cli);
    return cli_has(cli, "help") ? EXIT_OK : check_arguments(cli);
}

static int run_command(int argc, char **argv)
{
    struct cli cli = {.command = cli_command(argv[1])};
    if (!cli.command)
        return EXIT_USAGE;
    int code = parse(&cli, argc - 2, argv + 2);
    if (code)
        return code;
    if (!cli_has(&cli, "help"))
        return cli.command->run(&cli);
    help_print(stdout, cli.command);
    return EXIT_OK;
}

int cli_main(int argc, char **argv)
{
    int code = EXIT_OK;
    if (argc < 2) {
        help_list(stderr);
        code = EXIT_USAGE;
    } else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        help_list(stdout);
    } else if (!strcmp(argv[1], "--version")) {
        puts("nestwalk " NESTWALK_VERSION);
    } else {
        code = run_command(argc, argv);
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "nestwalk: standard output: %s\n", strerror(errno));
        return code > EXIT_NO ? code : EXIT_ENVIRONMENT;
    }
    return code;
}

/* ---- values ---- */

const char *cli_value(const struct cli *cli, const char *name, const char *otherwise)
{
    for (int i = cli->n_given; i--;)
        if (!strcmp(cli->given[i].option->name, name))
            return cli->given[i].value;
    return otherwise;
}

bool cli_has(const struct cli *cli, const char *name)
{
    for (int i = 0; i < cli->n_given; i++)
        if (!strcmp(cli->given[i].option->name, name))
            return true;
    return false;
}

/* Digits with underscores between them, of any base; the rest of the text is at *end. */
static bool digits(const char *text, uint64_t *number, const char **end)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] | 0x20) == 'x')
        base = 16, text += 2;
    const char *first = text;
    for (*number = 0;; text++) {
        char c = *text;
        if (c == '_' && text > first)
            continue;
        unsigned digit = isdigit((unsigned char)c) ? (unsigned)(c - '0')
                         : base == 16 && isxdigit((unsigned char)c)
                             ? (unsigned)(c | 0x20) - 'a' + 10
                             : 99;
        if (digit == 99)
            break;
        if (*number > (UINT64_MAX - digit) / base)
            return false;
        *number = *number * base + digit;
    }
    *end = text;
    return text > first;
}

bool cli_number(const struct cli *cli, const char *name, uint64_t otherwise, uint64_t *number)
{
    static const struct {
        char letter;
        uint64_t times;
    } units[] = {{'K', 1000}, {'M', 1000000}, {'G', 1000000000}};
    const char *text = cli_value(cli, name, NULL), *end;
    *number = otherwise;
    if (!text)
        return true;
    bool good = digits(text, number, &end);
    for (unsigned u = 0; good && u < 3; u++)
        if (*end && toupper((unsigned char)*end) == units[u].letter && !end[1] &&
            *number <= UINT64_MAX / units[u].times) {
            *number *= units[u].times;
            end++;
        }
    if (good && !*end)
        return true;
    cli_usage(cli, "option '--%s' is a number (1000, 0x3e8, 10M), not '%s'", name, text);
    return false;
}

bool cli_address(const struct cli *cli, const char *name, uint64_t *address)
{
    const char *text = cli_value(cli, name, NULL), *end;
    if (!text)
        cli_usage(cli, "option '--%s' is missing", name);
    else if (!digits(text, address, &end) || *end)
        cli_usage(cli, "option '--%s' is an address (0x7ffe_dead_b000), not '%s'", name, text);
    else
        return true;
    return false;
}

/* ---- files ---- */

FILE *cli_open(const char *path, struct err *err)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "w") : stdout;
    if (!file)
        err_set(err, EXIT_USAGE, "%s: %s", path, strerror(errno));
    return file;
}

bool cli_close(FILE *file, const char *path, struct err *err)
{
    bool bad = fflush(file) || ferror(file);
    int why = errno;
    if (file != stdout && fclose(file))
        bad = true, why = errno;
    return !bad || err_set(err, EXIT_ENVIRONMENT, "%s: %s", path, strerror(why));
}
