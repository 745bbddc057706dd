/**
 * @file
 * valgrind --tool=lackey --trace-mem=yes, and the guest events that --trace-syscalls=yes adds.
 *
 * An access is a line. System calls are pieces of text: who calls, the call, its result. Lackey
 * prints each piece when it is known, and other threads and processes print in between, so a line
 * holds any number of pieces, accesses among them, and a result may stand on a later line.
 *
 * Modelled: mmap, munmap, mprotect, mremap, brk, fork and clone of a process, execve, exit_group.
 * Simplified: what mremap and brk map is readable and writable. An access is of the process and
 * thread named last. Not modelled: shmat, mappings of before the recording.
 * Source: valgrind 3.19, coregrind/m_syswrap and lackey/lk_main.c, and what they print.
 */
#include "sim/workload/trace_reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    ARGUMENTS_MAX = 5,
    WAITING_MAX = 16, /* calls that block, of other threads, whose result comes later */
    PIECES_MAX = 14,  /* of one line; each emits 4 records at most */
    MAIN_THREAD = 1,  /* as valgrind numbers them */
};

static const char LACKEY_BANNER[] = "Lackey, an example Valgrind tool";
static const uint64_t PAGE_MASK = 4095, CLONE_VM_FLAG = 0x100, MREMAP_DONTUNMAP_FLAG = 4;
static const uint32_t RIGHTS_DATA = RIGHT_READ | RIGHT_WRITE | RIGHT_USER;

struct syscall;

struct call {
    uint64_t pid, tid;
    uint16_t process;
    const struct syscall *what; /* NULL: nothing that we model, or no call */
    uint64_t argument[ARGUMENTS_MAX];
};

struct lackey_process {
    uint16_t parent;
    uint64_t tid; /* that ran last */
    uint64_t pid;
    uint64_t brk; /* 0: not known */
    bool forked;  /* by an event, and has not ended */
    bool gone;    /* it has ended */
};

struct lackey {
    struct lackey_process *process;
    size_t capacity;
    struct call last; /* whose result may come without a header */
    struct call waiting[WAITING_MAX];
    unsigned next_waiting;
    bool has_child; /* a process that was forked and has not yet said anything */
    uint16_t child;
    bool called;  /* there was a header, and its call is still to come */
    bool fresh;   /* nothing on this line yet */
    bool in_text; /* a call's argument went on beyond the line */
};

/* ---- processes ---- */

/** The state of a process; NULL without memory. */
static struct lackey_process *process_at(struct lackey *l, uint16_t number)
{
    if (number >= l->capacity) {
        size_t capacity = l->capacity ? l->capacity : 16;
        while (capacity <= number)
            capacity *= 2;
        struct lackey_process *grown = realloc(l->process, capacity * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + l->capacity, 0, (capacity - l->capacity) * sizeof *grown);
        l->process = grown;
        l->capacity = capacity;
    }
    return &l->process[number];
}

/** What follows is of this process, and of its thread @p tid (0: the one that ran last). */
static struct lackey_process *run_process(struct trace *t, uint64_t pid, uint64_t tid)
{
    struct lackey *l = t->state;
    uint16_t number;
    if (!ids_number(&t->processes, pid, &number) || !process_at(l, number)) {
        t->wrong = "one more process than the 65536 that a trace may have";
        return NULL;
    }
    struct lackey_process *p = process_at(l, number);
    p->pid = pid;
    p->tid = tid ? tid : p->tid ? p->tid : MAIN_THREAD;
    if (p->gone)
        return p;
    if (!trace_context(t, pid, p->tid))
        return NULL;
    l->has_child &= l->child != number;
    return p;
}

/** The process has no program any more; its parent goes on, as far as we can tell. */
static void end_program(struct trace *t, uint16_t number, bool gone)
{
    struct lackey *l = t->state;
    struct lackey_process *p = process_at(l, number);
    if (!p || p->gone)
        return;
    t->process = number;
    emit_event(t, OP_EXIT, 0, (struct operand){0});
    p->gone = gone;
    p->brk = 0;
    struct lackey_process *parent = process_at(l, p->parent);
    t->in_context = false;
    if (p->forked && parent && !parent->gone)
        run_process(t, parent->pid, 0);
    if (gone)
        process_at(l, number)->forked = false;
}

/* ---- what successful calls do ---- */

static uint64_t page_up(uint64_t n)
{
    return n > UINT64_MAX - PAGE_MASK ? 0 : (n + PAGE_MASK) & ~PAGE_MASK;
}

static void map(struct trace *t, gva_t gva, uint64_t length, uint32_t rights)
{
    if (page_up(length))
        emit_event(t, OP_MAP, gva, (struct operand){.length = page_up(length), .rights = rights});
}

static void unmap(struct trace *t, gva_t gva, uint64_t length)
{
    if (page_up(length))
        emit_event(t, OP_UNMAP, gva, (struct operand){.length = page_up(length)});
}

/** PROT_READ, PROT_WRITE and PROT_EXEC are the bits that we use too. */
static uint32_t rights_of(uint64_t prot)
{
    return (uint32_t)(prot & (RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC)) | RIGHT_USER;
}

static void on_mmap(struct trace *t, const struct call *c, uint64_t result)
{
    map(t, result, c->argument[1], rights_of(c->argument[2]));
}

static void on_munmap(struct trace *t, const struct call *c, uint64_t result)
{
    (void)result;
    unmap(t, c->argument[0], c->argument[1]);
}

static void on_mprotect(struct trace *t, const struct call *c, uint64_t result)
{
    (void)result;
    if (page_up(c->argument[1]))
        emit_event(t, OP_PROTECT, c->argument[0],
                   (struct operand){.length = page_up(c->argument[1]),
                                    .rights = rights_of(c->argument[2])});
}

/** Where the mapping stays in place only its tail changes, and the tables of the rest stand. */
static void on_mremap(struct trace *t, const struct call *c, uint64_t result)
{
    uint64_t from = c->argument[0], old = page_up(c->argument[1]), new = page_up(c->argument[2]);
    if (result == from) {
        if (new > old)
            map(t, from + old, new - old, RIGHTS_DATA);
        else if (new < old)
            unmap(t, from + new, old - new);
        return;
    }
    if (c->argument[3] & MREMAP_DONTUNMAP_FLAG)
        map(t, from, old, RIGHTS_DATA);
    else
        unmap(t, from, old);
    map(t, result, new, RIGHTS_DATA);
}

static void on_brk(struct trace *t, const struct call *c, uint64_t result)
{
    struct lackey_process *p = process_at(t->state, c->process);
    if (!p)
        return;
    uint64_t old = page_up(p->brk), new = page_up(result);
    if (p->brk && new > old)
        map(t, old, new - old, RIGHTS_DATA);
    else if (p->brk && new < old)
        unmap(t, new, old - new);
    p->brk = result;
}

static void fork_process(struct trace *t, uint16_t parent, uint64_t child_pid)
{
    struct lackey *l = t->state;
    uint16_t child;
    if (!ids_number(&t->processes, child_pid, &child) || !process_at(l, child))
        return;
    struct lackey_process *p = process_at(l, child), *from = process_at(l, parent);
    if (child == parent || p->forked)
        return; /* told twice: by the note of the fork, and by its result */
    *p = (struct lackey_process){
        .parent = parent, .pid = child_pid, .brk = from->brk, .forked = true};
    emit_event(t, OP_FORK, 0, (struct operand){.process = child});
    l->has_child = true;
    l->child = child;
}

/** What returns 0 is the child. */
static void on_fork(struct trace *t, const struct call *c, uint64_t result)
{
    if (result)
        fork_process(t, c->process, result);
}

static void on_clone(struct trace *t, const struct call *c, uint64_t result)
{
    if (!(c->argument[0] & CLONE_VM_FLAG))
        on_fork(t, c, result);
}

/** The process goes on under its number, with a new program if that is traced. */
static void on_execve(struct trace *t, const struct call *c, uint64_t result)
{
    (void)result;
    t->report.started++;
    end_program(t, c->process, false);
}

static void on_exit_group(struct trace *t, const struct call *c, uint64_t result)
{
    (void)result;
    end_program(t, c->process, true);
}

struct syscall {
    const char *name;
    unsigned arguments;
    bool hex; /* arguments are hexadecimal without 0x */
    void (*done)(struct trace *, const struct call *, uint64_t result);
};

static const struct syscall SYSCALLS[] = {
    {"sys_mmap", 3, false, on_mmap},         {"sys_mmap2", 3, false, on_mmap},
    {"old_mmap", 3, false, on_mmap},         {"sys_munmap", 2, false, on_munmap},
    {"sys_mprotect", 3, false, on_mprotect}, {"sys_pkey_mprotect", 3, false, on_mprotect},
    {"sys_mremap", 4, false, on_mremap},     {"sys_brk", 1, false, on_brk},
    {"sys_fork", 0, false, on_fork},         {"sys_vfork", 0, false, on_fork},
    {"sys_clone", 1, true, on_clone},        {"sys_execve", 0, false, on_execve},
    {"sys_execveat", 0, false, on_execve},   {"exit_group", 0, false, on_exit_group},
};

/* ---- pieces of a line ---- */

static const uint8_t NO_OP = 255;

static inline uint8_t op_of(char letter)
{
    switch (letter) {
    case 'I':
        return OP_EXEC;
    case 'L':
        return OP_READ;
    case 'S':
        return OP_WRITE;
    case 'M':
        return OP_MODIFY;
    default:
        return NO_OP;
    }
}

/** Takes "L 1fff000708,8"; @p end is where it must end, or NULL for anywhere. */
static inline bool take_access(struct trace *t, const char **at, const char *end)
{
    const char *p = *at;
    uint8_t op = op_of(*p);
    if (op == NO_OP || p[1] != ' ')
        return false;
    p = skip_blanks(p + 2);
    uint64_t gva, size;
    if (!take_hex(&p, &gva) || *p++ != ',' || !take_decimal(&p, &size))
        return false;
    if (end && !at_end(p, end))
        return false;
    emit(t, (enum op)op, gva, size);
    *at = p;
    return true;
}

static void call_done(struct trace *t, struct call *c, uint64_t result)
{
    const struct syscall *what = c->what;
    c->what = NULL;
    struct lackey_process *p = process_at(t->state, c->process);
    if (!what || !p || p->gone)
        return;
    uint16_t runs = t->process;
    t->process = c->process;
    what->done(t, c, result);
    if (what->done != on_execve && what->done != on_exit_group)
        t->process = runs;
}

/** A result is of the last call; that starts a line, it may be of a fork, in the child. */
static void bare_result(struct trace *t, uint64_t result)
{
    struct lackey *l = t->state;
    const struct syscall *what = l->last.what;
    bool forks = what && (what->done == on_fork || what->done == on_clone);
    if (l->fresh && result == 0 && l->has_child && (forks || !what)) {
        run_process(t, l->process[l->child].pid, 0);
        return;
    }
    call_done(t, &l->last, result);
}

/** "Success(0x4835000)" or "Failure(0x2)". */
static bool take_result(const char **p, const char *end, bool *ok, uint64_t *result)
{
    *ok = take_word(p, end, "Success(");
    if (!*ok && !take_word(p, end, "Failure("))
        return false;
    if (!take_0x_hex(p, result))
        return false;
    while (*p < end && **p != ')')
        (*p)++;
    *p += *p < end;
    return true;
}

/** "--> [pre-success] Success(0x0)", "--> [async] ...", or what comes after "[sync]". */
static bool take_outcome(struct trace *t, const char **at, const char *end)
{
    struct lackey *l = t->state;
    const char *p = *at;
    uint64_t result;
    bool ok;
    if (take_word(&p, end, "[sync]"))
        p = skip_blanks(p);
    if (!take_word(&p, end, "-->"))
        return false;
    p = skip_blanks(p);
    if (take_word(&p, end, "[async] ...")) {
        if (l->last.what)
            l->waiting[l->next_waiting++ % WAITING_MAX] = l->last;
        l->last.what = NULL;
        *at = p;
        return true;
    }
    if (*p == '[') {
        while (p < end && *p != ']')
            p++;
        p = skip_blanks(p + (p < end));
    }
    if (!take_result(&p, end, &ok, &result))
        return false;
    if (ok)
        bare_result(t, result);
    else
        l->last.what = NULL;
    *at = p;
    return true;
}

/** "... [async] --> Success(0x4)", after a header. */
static bool take_late_outcome(struct trace *t, const char **at, const char *end)
{
    struct lackey *l = t->state;
    const char *p = *at;
    uint64_t result;
    bool ok;
    if (!take_word(&p, end, "... [async] --> ") || !take_result(&p, end, &ok, &result))
        return false;
    for (unsigned i = 0; i < WAITING_MAX; i++) {
        struct call *c = &l->waiting[i];
        if (!c->what || c->pid != l->last.pid || c->tid != l->last.tid)
            continue;
        if (ok)
            call_done(t, c, result);
        c->what = NULL;
        break;
    }
    *at = p;
    return true;
}

/** "SYSCALL[3863,1](9) ". */
static bool take_header(struct trace *t, const char **at, const char *end)
{
    struct lackey *l = t->state;
    const char *p = *at;
    uint64_t pid, tid, number;
    if (!take_word(&p, end, "SYSCALL[") || !take_decimal(&p, &pid) || *p++ != ',' ||
        !take_decimal(&p, &tid) || !take_word(&p, end, "]("))
        return false;
    take_decimal(&p, &number);
    if (!take_word(&p, end, ")") || !run_process(t, pid, tid))
        return false;
    l->last = (struct call){.pid = pid, .tid = tid};
    ids_number(&t->processes, pid, &l->last.process);
    *at = p = skip_blanks(p);
    l->called = !take_late_outcome(t, at, end);
    return true;
}

/** "clone(fork): process 3863 created child 3866". */
static bool take_fork_note(struct trace *t, const char **at, const char *end)
{
    static const char *const STARTS[] = {"clone(fork): process ", "fork: process ",
                                         "vfork: process ", "clone3(fork): process "};
    for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++) {
        const char *p = *at;
        uint64_t pid, child;
        uint16_t parent, runs = t->process;
        if (!take_word(&p, end, STARTS[i]) || !take_decimal(&p, &pid) ||
            !take_word(&p, end, " created child ") || !take_decimal(&p, &child))
            continue;
        if (!ids_number(&t->processes, pid, &parent) || !process_at(t->state, parent))
            return false;
        t->process = parent;
        fork_process(t, parent, child);
        t->process = runs;
        *at = p;
        return true;
    }
    return false;
}

/** Whether what follows a call's arguments is something that does. */
static bool is_after_arguments(const char *p, const char *end)
{
    static const char *const FOLLOWERS[] = {
        "[sync] -->", "--> [", "SYSCALL[", "==", "clone(", "fork:", "vfork:", "clone3("};
    p = skip_blanks(p);
    if (p >= end || (op_of(*p) != NO_OP && p[1] == ' '))
        return true;
    for (size_t i = 0; i < sizeof FOLLOWERS / sizeof *FOLLOWERS; i++) {
        const char *q = p;
        if (take_word(&q, end, FOLLOWERS[i]))
            return true;
    }
    return false;
}

/** Goes behind the arguments, which may hold any text: names of files. */
static const char *skip_arguments(struct trace *t, const char *p, const char *end)
{
    struct lackey *l = t->state;
    for (; p < end; p++)
        if (*p == ')' && is_after_arguments(p + 1, end))
            return p + 1;
    l->in_text = true;
    return end;
}

/** Numbers as valgrind prints them: 0x1f, 31, -1, or (hex) 1f. */
static bool take_arguments(struct call *c, const struct syscall *what, const char *p)
{
    for (unsigned i = 0; i < what->arguments; i++) {
        bool negative = false;
        if (i && *p++ != ',')
            return false;
        p = skip_blanks(p);
        if (*p == '-') {
            negative = true;
            p++;
        }
        bool hex = what->hex || (p[0] == '0' && p[1] == 'x');
        if (!(hex ? take_any_hex(&p, &c->argument[i]) : take_decimal(&p, &c->argument[i])))
            return false;
        if (negative)
            c->argument[i] = -c->argument[i];
        p = skip_blanks(p);
    }
    return true;
}

static const struct syscall *syscall_named(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof SYSCALLS / sizeof *SYSCALLS; i++)
        if (strlen(SYSCALLS[i].name) == n && memcmp(SYSCALLS[i].name, name, n) == 0)
            return &SYSCALLS[i];
    return NULL;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/**
 * "sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 )"; execve that succeeds has no result. Without a
 * header it is of a process that we don't know.
 */
static bool take_call(struct trace *t, const char **at, const char *end)
{
    struct lackey *l = t->state;
    const char *name = *at, *p = name;
    while (is_name(*p))
        p++;
    size_t n = (size_t)(p - name);
    p = skip_blanks(p);
    if (n == 0 || *p != '(' || (!l->called && memcmp(name, "sys_", 4) != 0))
        return false;
    struct call *c = &l->last;
    c->what = l->called ? syscall_named(name, n) : NULL;
    l->called = false;
    if (c->what && !take_arguments(c, c->what, skip_blanks(p + 1))) {
        c->what = NULL;
        return false;
    }
    p = skip_arguments(t, p, end);
    *at = p;
    p = skip_blanks(p);
    if (c->what && c->what->done == on_execve && !take_word(&p, end, "--> ["))
        call_done(t, c, 0);
    return true;
}

/** "==3863== text" and "--3863-- text", to the end of the line. */
static bool take_message(struct trace *t, const char **at, const char *end)
{
    const char *p = *at;
    char rule = *p;
    uint64_t pid;
    if ((rule != '=' && rule != '-') || p[1] != rule)
        return false;
    p += 2;
    if (!take_decimal(&p, &pid) || p[0] != rule || p[1] != rule)
        return false;
    p = skip_blanks(p + 2);
    struct lackey_process *process = run_process(t, pid, 0);
    if (!process)
        return false;
    if (take_word(&p, end, LACKEY_BANNER)) {
        process->gone = false; /* a number used again, or logs put together */
        run_process(t, pid, MAIN_THREAD);
    } else if (take_word(&p, end, "Process terminating with default action")) {
        uint16_t number;
        if (ids_number(&t->processes, pid, &number))
            end_program(t, number, true);
    }
    *at = end;
    return true;
}

/** One piece, whichever. */
static bool take_piece(struct trace *t, const char **p, const char *end)
{
    return take_header(t, p, end) || take_outcome(t, p, end) || take_fork_note(t, p, end) ||
           take_message(t, p, end) || take_access(t, p, NULL) || take_call(t, p, end);
}

static enum parse malformed(struct trace *t, const char *p)
{
    if (op_of(*p) == NO_OP || p[1] != ' ')
        return bad(t, "neither an access nor a system call");
    uint64_t value;
    p = skip_blanks(p + 2);
    if (!take_hex(&p, &value))
        return bad(t, "no 64-bit hexadecimal address");
    if (*p++ != ',')
        return bad(t, "no comma after the address");
    if (!take_decimal(&p, &value))
        return bad(t, "no decimal size");
    return bad(t, "something after the size");
}

/** A message of valgrind's; of any tool but for the banner, so that only this one tells. */
static bool is_mere_message(const char *p, const char *end)
{
    if (*p != '=' && *p != '-')
        return false;
    while (p < end && *p != ' ')
        p++;
    p = skip_blanks(p);
    return !take_word(&p, end, LACKEY_BANNER);
}

/** Everything but a plain access. */
static enum parse parse_pieces(struct trace *t, const char *p, const char *end)
{
    struct lackey *l = t->state;
    const char *start = p;
    bool in_text = l->in_text;
    l->in_text = false;
    l->fresh = true;
    t->wrong = NULL;
    for (unsigned pieces = 0; p < end; pieces++) {
        if (pieces == PIECES_MAX)
            return bad(t, "too many system calls");
        if (!take_piece(t, &p, end)) {
            l->in_text = in_text;
            if (t->wrong)
                return PARSE_BAD;
            return pieces || in_text ? PARSE_TAKEN : malformed(t, p);
        }
        l->fresh = false;
        p = skip_blanks(p);
    }
    return is_mere_message(start, end) ? PARSE_NOISE : PARSE_TAKEN;
}

static enum parse parse(struct trace *t, const char *p, const char *end)
{
    p = skip_blanks(p);
    if (take_access(t, &p, end))
        return PARSE_TAKEN;
    if (p == end)
        return PARSE_NOISE;
    if (op_of(*p) != NO_OP && p[1] == ' ')
        return malformed(t, p);
    return parse_pieces(t, p, end);
}

static void drop(struct trace *t)
{
    struct lackey *l = t->state;
    free(l->process);
    l->process = NULL;
    l->capacity = 0;
}

const struct format FORMAT_LACKEY = {
    .name = "lackey",
    .right = "a line is like \" L 1fff000708,8\", or valgrind's own",
    .state_bytes = sizeof(struct lackey),
    .parse = parse,
    .drop = drop,
};
