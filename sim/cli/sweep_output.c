#include "sim/cli/sweep_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/scenario/storage.h"

static char *with_ending(const char *path, const char *ending)
{
    char *text = grow(NULL, strlen(path) + strlen(ending) + 1);
    strcpy(text, path);
    strcat(text, ending);
    return text;
}

/* Only a file can be given its bytes at once by renaming; a link to one stays a link. */
static bool find_file(struct output *o, struct err *err)
{
    struct stat about;
    bool there = strcmp(o->path, "-") && !stat(o->path, &about);
    if (!strcmp(o->path, "-") || (there && !S_ISREG(about.st_mode)))
        return (o->stream = cli_open(o->path, err)) != NULL;
    o->file = there ? realpath(o->path, NULL) : NULL;
    if (!o->file)
        o->file = with_ending(o->path, "");
    o->part = with_ending(o->file, ".part");
    o->new = with_ending(o->file, ".new");
    return true;
}

static enum standing look(const struct output *o, struct rows *rows, struct err *err)
{
    FILE *file = fopen(o->file, "rb");
    if (!file && errno == ENOENT)
        return STANDING_OPEN;
    if (!file) {
        err_set(err, EXIT_USAGE, "%s: %s", o->path, strerror(errno));
        return STANDING_REFUSED;
    }
    enum standing standing = STANDING_OPEN;
    if (getc(file) != EOF) /* an empty file holds nothing that could be lost */
        standing = rows_are_in(rows, file) ? STANDING_DONE : STANDING_REFUSED;
    fclose(file);
    if (standing == STANDING_REFUSED)
        err_set(err, EXIT_USAGE,
                "%s: what is there is not this sweep (its scenario, settings, format or nestwalk's "
                "version differ); give another -o, or --force to replace it",
                o->path);
    return standing;
}

enum standing output_init(struct output *o, const struct cli *cli, struct rows *rows,
                          struct err *err)
{
    *o = (struct output){.path = cli_value(cli, "o", "-")};
    if (!find_file(o, err))
        return STANDING_REFUSED;
    if (o->stream)
        return STANDING_OPEN;
    if (cli_has(cli, "force")) {
        unlink(o->file);
        unlink(o->part);
    }
    return look(o, rows, err);
}

bool output_write(const struct output *o, struct rows *rows, struct err *err)
{
    FILE *out = o->stream ? o->stream : cli_open(o->new, err);
    if (!out)
        return false;
    bool good = rows_print(rows, out, err);
    if (o->stream)
        return good &&
               (!fflush(out) || err_set(err, EXIT_ENVIRONMENT, "%s: %s", o->path, strerror(errno)));
    struct err closing;
    if (good && !fflush(out))
        fsync(fileno(out)); /* or a power cut could leave the name without the bytes */
    if (!cli_close(out, o->new, good ? err : &closing))
        good = false;
    if (good && rename(o->new, o->file))
        good = err_set(err, EXIT_ENVIRONMENT, "%s: %s", o->path, strerror(errno));
    if (!good)
        unlink(o->new);
    return good;
}

void output_fini(struct output *o)
{
    if (o->stream && o->stream != stdout)
        fclose(o->stream);
    free(o->file);
    free(o->part);
    free(o->new);
}
