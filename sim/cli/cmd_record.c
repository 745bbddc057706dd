/* record: runs a program under valgrind's lackey and keeps its memory accesses. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/cli/pump.h"

/* The recorder, for the signal handler. */
static volatile pid_t recorder;

/* A terminal sends its signals to the recorder too; kill sends them to us alone. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    (void)context;
    cli_interrupted = 1;
    if (recorder > 0 && info->si_code != SI_KERNEL)
        kill(recorder, signal);
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- finding programs ---- */

static bool is_program(const char *path)
{
    struct stat about;
    return !access(path, X_OK) && !stat(path, &about) && S_ISREG(about.st_mode);
}

/* Whether execvp would find it. */
static bool is_found(const char *name)
{
    const char *path = getenv("PATH");
    char full[4096];
    if (strchr(name, '/'))
        return is_program(name);
    for (path = path ? path : "/usr/bin:/bin"; *path;) {
        int n = (int)strcspn(path, ":");
        snprintf(full, sizeof full, "%.*s/%s", n, path, name);
        if (is_program(full))
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static bool check_programs(const char *name, struct err *err)
{
    if (!is_found("valgrind"))
        return err_set(err, EXIT_ENVIRONMENT,
                       "valgrind, which does the recording, is not installed: "
                       "apt-get install valgrind");
    if (is_found(name))
        return true;
    bool there = strchr(name, '/') && !access(name, F_OK);
    return err_set(err, EXIT_USAGE,
                   there ? "%s: not a program: it may not be executed" : "%s: no such program",
                   name);
}

/* ---- running it ---- */

static void become_recorder(int log, char *const *program, int n)
{
    char fd[32];
    const char **argv = calloc((size_t)n + 10, sizeof *argv);
    if (!argv)
        _exit(127);
    snprintf(fd, sizeof fd, "--log-fd=%d", log);
    const char *const first[] = {"valgrind",
                                 "--tool=lackey",
                                 "--basic-counts=no",
                                 "--trace-mem=yes",
                                 fd,
                                 "-q",
                                 "--trace-syscalls=yes",
                                 "--"};
    size_t at = sizeof first / sizeof *first;
    memcpy(argv, first, sizeof first);
    for (int i = 0; i < n; i++)
        argv[at++] = program[i];
    execvp("valgrind", (char *const *)argv);
    _exit(127);
}

/* Starts the program; the trace comes out of *log. */
static bool start(char *const *program, int n, int *log, struct err *err)
{
    int ends[2];
    if (pipe(ends))
        return err_set(err, EXIT_ENVIRONMENT, "cannot make a pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return err_set(err, EXIT_ENVIRONMENT, "cannot start a process: %s", strerror(errno));
    }
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* if we are killed, the program does not go on alone */
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        close(ends[0]);
        become_recorder(ends[1], program, n);
    }
    recorder = child;
    close(ends[1]);
    *log = ends[0];
    return true;
}

/* How the program ended. Closing the log first stops one that still writes. */
static int finish(int log, bool kill_it)
{
    int status = 0;
    close(log);
    if (kill_it)
        kill(recorder, SIGKILL);
    while (waitpid(recorder, &status, 0) < 0 && errno == EINTR)
        ;
    recorder = 0;
    return status;
}

/* ---- recording ---- */

static bool pump_log(const struct cli *cli, int log, struct trace_writer *writer,
                     struct pumped *sum, struct err *err)
{
    char path[64];
    struct trace_options options = {.format = TRACE_LACKEY, .max_errors = UINT64_MAX};
    snprintf(path, sizeof path, "/proc/self/fd/%d", log);
    struct source *source = trace_open(path, &options, err);
    struct pump pump = {.source = source,
                        .writer = writer,
                        .without_fetches = !strcmp(cli_value(cli, "fetches", "yes"), "no"),
                        .until_end = true};
    bool done = source && pump_run(&pump, cli, sum, err);
    if (source)
        source->ops->free(source);
    return done;
}

static void print_summary(const struct cli *cli, const char *path, const struct pumped *sum,
                          int status)
{
    struct stat about = {0};
    uint64_t bytes = strcmp(path, "-") && !stat(path, &about) ? (uint64_t)about.st_size : 0;
    FILE *out = stderr; /* the program's own output is on standard output */
    if (cli->quiet)
        return;
    if (cli->format == FORMAT_JSON)
        fprintf(out,
                "{ \"schema\": \"nestwalk/record/1\", \"accesses\": %" PRIu64
                ", \"events\": %" PRIu64 ", \"processes\": %" PRIu64 ", \"bytes\": %" PRIu64
                ", \"seconds\": %.2f, \"exit\": %d, \"signal\": %d }\n",
                sum->accesses, sum->events, sum->report.processes, bytes, sum->seconds,
                WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    else
        fprintf(
            out, "%s: %" PRIu64 " accesses, %" PRIu64 " guest events, %" PRIu64 " bytes, %.1f s\n",
            strcmp(path, "-") ? path : "stdout", sum->accesses, sum->events, bytes, sum->seconds);
    if (sum->report.errors)
        fprintf(out, "note: %" PRIu64 " lines of valgrind's were not understood\n",
                sum->report.errors);
    if (sum->report.started)
        fprintf(out,
                "note: it became another program, in itself or in a child, %" PRIu64
                " times (execve); what those did is not recorded: record them by name\n",
                sum->report.started);
    if (WIFEXITED(status) && WEXITSTATUS(status))
        fprintf(out, "note: the program ended with exit status %d\n", WEXITSTATUS(status));
    if (WIFSIGNALED(status))
        fprintf(out, "note: the program was ended by signal %d (%s)\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)));
}

static int record(struct cli *cli, const char *path)
{
    struct err err = {0};
    struct pumped sum = {0};
    int log = -1;
    if (!check_programs(cli->arguments[0], &err))
        return cli_fail(cli, &err);
    struct trace_writer *writer = trace_writer_open(path, &err);
    if (!writer)
        return cli_fail(cli, &err);
    catch_signals();
    bool done = start(cli->arguments, cli->n_arguments, &log, &err);
    if (done) {
        done = pump_log(cli, log, writer, &sum, &err);
        int status = finish(log, !done && !cli_interrupted);
        done = done ? trace_writer_close(writer, &err) : (trace_writer_abandon(writer), false);
        if (done)
            print_summary(cli, path, &sum, status);
    } else {
        trace_writer_abandon(writer);
    }
    if (done && cli_interrupted)
        err_set(&err, EXIT_NO, "interrupted; what was recorded until then is whole and readable");
    return err.code ? cli_fail(cli, &err) : EXIT_OK;
}

static int run(struct cli *cli)
{
    const char *slash = strrchr(cli->arguments[0], '/');
    const char *name = slash ? slash + 1 : cli->arguments[0];
    char path[4096];
    snprintf(path, sizeof path, "%s.nwtrace", name);
    return record(cli, cli_value(cli, "o", path));
}

static const struct cli_option options[] = {
    {"o", "TRACE", "where the trace goes; CMD.nwtrace in the current folder", false},
    {"fetches", "yes|no", "whether instruction fetches are kept; yes", false},
    {NULL, NULL, NULL, false},
};

const struct command command_record = {
    .name = "record",
    .arguments = "-- CMD...",
    .summary = "run a real program and record its memory accesses",
    .text = "Runs CMD under valgrind's lackey tool and writes its accesses, with the mappings\n"
            "that it makes, changes and drops, in the compact format. CMD and children that\n"
            "it forks are recorded until they become another program, as wrapper scripts do:\n"
            "a note says so. The program keeps its standard input and output and is some\n"
            "hundred times slower; nothing but the trace goes to the disk.\n\n"
            "The trace appears under its name when it is complete. An interruption (Ctrl-C)\n"
            "stops the program and keeps what was recorded, whole and readable; the exit code\n"
            "is then 130.\n\n"
            "  nestwalk record -- sort /usr/share/dict/words\n"
            "  nestwalk record -o ls.nwtrace -- ls -lR /usr",
    .options = options,
    .least = 1,
    .most = -1,
    .run = run,
};
