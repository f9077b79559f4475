// Loaded before a program's own libraries: stops the program at a step of what it does to files below $STEPS_IN, so
// that tests need not hit a moment by chance. A step is making, renaming, linking or removing a file or folder, or
// waiting for the disk.
//
//   STEPS_LAST   the number of the step in whose place the program is killed
//   STEPS_HOLD   how the path ends at which the thread that comes to it waits for ever
//   STEPS_HELD   the file that says that it waits

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int steps;

static int ends_with(const char *path, const char *end) {
    size_t have = strlen(path), want = strlen(end);
    return have >= want && strcmp(path + have - want, end) == 0;
}

// A step without a path counts once there was one with a path.
static void step(const char *path) {
    const char *within = getenv("STEPS_IN"), *last = getenv("STEPS_LAST"), *hold = getenv("STEPS_HOLD");
    if (within == NULL || (path == NULL ? steps == 0 : strstr(path, within) == NULL))
        return;
    if (++steps == (last == NULL ? -1 : atoi(last)))
        for (;;)
            kill(getpid(), SIGKILL);
    if (hold != NULL && path != NULL && ends_with(path, hold)) {
        close(creat(getenv("STEPS_HELD"), 0600));
        for (;;)
            pause();
    }
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (flags & O_CREAT)
        step(path);
    return NEXT(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) { return step(path), NEXT(mkdir)(path, mode); }
int rename(const char *from, const char *to) { return step(to), NEXT(rename)(from, to); }
int symlink(const char *to, const char *path) { return step(path), NEXT(symlink)(to, path); }
int unlink(const char *path) { return step(path), NEXT(unlink)(path); }
int rmdir(const char *path) { return step(path), NEXT(rmdir)(path); }
int fsync(int file) { return step(NULL), NEXT(fsync)(file); }
