#include "sim/cli/sweep_axes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cli/scenario_arg.h"
#include "sim/scenario/storage.h"

/* ---- the values of one axis ---- */

size_t axis_value_length(const char *list)
{
    unsigned depth = 0;
    bool quoted = false;
    const char *c = list;
    for (; *c && (*c != ',' || depth || quoted); c++) {
        if (*c == '"')
            quoted = !quoted;
        else if (quoted && *c == '\\' && c[1])
            c++;
        else if (!quoted && strchr("[{", *c))
            depth++;
        else if (!quoted && strchr("]}", *c))
            depth -= depth > 0;
    }
    return depth || quoted ? SIZE_MAX : (size_t)(c - list);
}

/* Parts a list in place. */
static int split_values(const struct cli *cli, struct axis *axis, char *list)
{
    for (char *value = list;; value++) {
        size_t length = axis_value_length(value);
        if (length == SIZE_MAX)
            return cli_usage(cli, "%s: a bracket or quote is not closed in '%s'", axis->pointer,
                             value);
        if (!length)
            return cli_usage(cli,
                             "%s: a value is missing; values stand between commas, as in "
                             "--set /seed=1,2,3, and an empty text is \"\"",
                             axis->pointer);
        axis->values = grow(axis->values, (axis->n + 1) * sizeof *axis->values);
        axis->values[axis->n++] = value;
        value += length;
        if (!*value)
            return EXIT_OK;
        *value = 0;
    }
}

static int check_modes(const struct cli *cli, const struct axis *axis)
{
    enum mode mode;
    for (unsigned v = 0; v < axis->n; v++)
        if (cli_mode(cli, axis->values[v], &mode) != EXIT_OK)
            return EXIT_USAGE;
    return EXIT_OK;
}

/* ---- all of them ---- */

static int add_axis(struct axes *axes, const struct cli *cli, const struct cli_given *given)
{
    struct axis *axis = &axes->list[axes->n++];
    struct setting setting = {"/vms/*/mode", given->value};
    bool mode = !strcmp(given->option->name, "mode");
    if (mode)
        setting.value = axis->text = strdup(given->value);
    else if (!setting_split(given->value, &axis->text, &setting))
        return cli_usage(cli,
                         "--set takes a JSON pointer and values, "
                         "as in --set /vms/0/memory=1GiB,2GiB, not '%s'",
                         given->value);
    axis->pointer = setting.pointer;
    for (unsigned i = 0; i + 1 < axes->n; i++)
        if (!strcmp(axes->list[i].pointer, axis->pointer))
            return cli_usage(cli, "%s is set twice; give all its values at once", axis->pointer);
    int code = split_values(cli, axis, axis->text + (setting.value - axis->text));
    return code || !mode ? code : check_modes(cli, axis);
}

static int count(struct axes *axes, const struct cli *cli)
{
    uint64_t product = 1;
    for (unsigned i = 0; i < axes->n; i++) {
        if (product > UINT64_MAX / axes->list[i].n)
            product = UINT64_MAX;
        else
            product *= axes->list[i].n;
    }
    if (product > COMBINATIONS_MAX)
        return cli_usage(cli, "%" PRIu64 " combinations are too many; at most %d in one sweep",
                         product, COMBINATIONS_MAX);
    axes->combinations = (unsigned)product;
    return EXIT_OK;
}

int axes_read(struct axes *axes, const struct cli *cli)
{
    int code = EXIT_OK;
    *axes = (struct axes){0};
    for (int i = 0; !code && i < cli->n_given; i++) {
        const char *name = cli->given[i].option->name;
        if (!strcmp(name, "set") || !strcmp(name, "mode"))
            code = add_axis(axes, cli, &cli->given[i]);
    }
    if (!code && !axes->n)
        code = cli_usage(cli, "nothing to vary: give --set /POINTER=A,B,... or --mode A,B,...");
    return code ? code : count(axes, cli);
}

void axes_fini(struct axes *axes)
{
    for (unsigned i = 0; i < axes->n; i++) {
        free(axes->list[i].values);
        free(axes->list[i].text);
    }
    *axes = (struct axes){0};
}

/* ---- one combination ---- */

void axes_settings(const struct axes *axes, unsigned combination, struct setting *settings)
{
    for (unsigned i = axes->n; i--;) {
        const struct axis *axis = &axes->list[i];
        settings[i] = (struct setting){axis->pointer, axis->values[combination % axis->n]};
        combination /= axis->n;
    }
}

void axes_print(const struct axes *axes, unsigned combination, FILE *out)
{
    struct setting settings[AXES_MAX];
    axes_settings(axes, combination, settings);
    for (unsigned i = 0; i < axes->n; i++)
        fprintf(out, "%s--set %s=%s", i ? " " : "", settings[i].pointer, settings[i].value);
}
