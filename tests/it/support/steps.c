// Loaded before a program's own libraries: stops the program at a step of what it does to files below $STEPS_IN, so
// that tests need not hit a moment by chance. A step is making, renaming, linking or removing a file or folder, or
// waiting for the disk.
//
//   STEPS_LAST   the number of the step in whose place the program is killed
//   STEPS_HOLD   how the path ends at which the thread that comes to it waits for ever
//   STEPS_HELD   the file that says that it waits
//   STEPS_LOG    the file that each step is written to, before it is done: what is done, and to which path

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int steps;

static int ends_with(const char *path, const char *end) {
    size_t have = strlen(path), want = strlen(end);
    return have >= want && strcmp(path + have - want, end) == 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void step(const char *what, const char *path) {
    const char *within = getenv("STEPS_IN"), *last = getenv("STEPS_LAST");
    const char *hold = getenv("STEPS_HOLD"), *log = getenv("STEPS_LOG");
    if (within == NULL || strstr(path, within) == NULL)
        return;
    if (log != NULL) {
        int file = NEXT(open64)(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dprintf(file, "%s %s\n", what, path);
        close(file);
    }
    if (++steps == (last == NULL ? -1 : atoi(last)))
        for (;;)
            kill(getpid(), SIGKILL);
    if (hold != NULL && ends_with(path, hold)) {
        close(creat(getenv("STEPS_HELD"), 0600));
        for (;;)
            pause();
    }
}

static void sync_step(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    step("sync", path);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (flags & O_CREAT)
        step("make", path);
    return NEXT(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) { return step("make", path), NEXT(mkdir)(path, mode); }
int rename(const char *from, const char *to) { return step("rename", to), NEXT(rename)(from, to); }
int symlink(const char *to, const char *path) { return step("link", path), NEXT(symlink)(to, path); }
int unlink(const char *path) { return step("remove", path), NEXT(unlink)(path); }
int rmdir(const char *path) { return step("remove", path), NEXT(rmdir)(path); }
int fsync(int file) { return sync_step(file), NEXT(fsync)(file); }
int fdatasync(int file) { return sync_step(file), NEXT(fdatasync)(file); }
