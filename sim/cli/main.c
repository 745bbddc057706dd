/* Signals, and then the command. */
#include <signal.h>
#include <string.h>

#include "sim/cli/cli.h"

enum { INTERRUPTED = 130 /* 128 + SIGINT, as shells have it */ };

static void interrupt(int signal)
{
    (void)signal;
    cli_interrupted = 1;
}

/* The first SIGINT asks long work to stop tidily; the second ends it, whatever it does. */
static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt;
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE,
           SIG_DFL); /* `nestwalk ... | head` ends without a word, whatever the parent set */
}

int main(int argc, char **argv)
{
    catch_signals();
    int code = cli_main(argc, argv);
    return cli_interrupted ? INTERRUPTED : code;
}
