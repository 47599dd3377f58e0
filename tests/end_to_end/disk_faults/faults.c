// Preloaded into a process: counts the calls that change a warehouse's file, and at one of them kills the process, tears
// the write, or says that the disk is full. Does nothing until faults_arm, or the variables DISK_FAULT_FILE,
// DISK_FAULT_FOLDER, DISK_FAULT and DISK_FAULT_AT.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { COUNT, KILL, TEAR, FULL_ONCE, FULL_FROM };

enum { KINDS = 16 };

static char prefix[PATH_MAX], folder[PATH_MAX], kind[32];
static int mode, is_hit, is_full;
static long at, all;
static struct { const char *name; long calls; } kinds[KINDS];
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

// Of the paths that begin with `file`, and of its folder: do `how` at call `number`, from 1, of those called `of_kind`, or
// of all if that is empty. Kinds are counted one by one, as the threads of DuckDB make some calls in any order.
void faults_arm(const char *file, const char *of_folder, int how, const char *of_kind, long number) {
    snprintf(prefix, sizeof prefix, "%s", file);
    snprintf(folder, sizeof folder, "%s", of_folder);
    snprintf(kind, sizeof kind, "%s", of_kind);
    mode = how;
    at = number;
    all = is_hit = is_full = 0;
    memset(kinds, 0, sizeof kinds);
}
long faults_calls(int place) { return place < KINDS ? kinds[place].calls : 0; }
int faults_hit(void) { return is_hit; }
const char *faults_kind(int place) { return place < KINDS ? kinds[place].name : NULL; }

__attribute__((constructor)) static void arm_from_environment(void) {
    const char *file = getenv("DISK_FAULT_FILE"), *of_folder = getenv("DISK_FAULT_FOLDER");
    const char *how = getenv("DISK_FAULT"), *number = getenv("DISK_FAULT_AT");
    if (file && of_folder && how && number) faults_arm(file, of_folder, atoi(how), "", atol(number));
}

static int ours(const char *path) {
    if (!prefix[0] || !path) return 0;
    size_t length = strlen(prefix);
    if (!strncmp(path, prefix, length)) return strncmp(path + length, ".staging", 8) != 0;
    return !strcmp(path, folder);
}

static int ours_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!prefix[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return ours(path);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// What to do at this call: 0 the call, 1 fail, 2 half of it, then die. `space`: whether it may need space on the disk.
static int fault(const char *call, int space) {
    if (mode >= FULL_ONCE && !space) return 0;
    pthread_mutex_lock(&counting);
    int place = 0;
    while (place < KINDS - 1 && kinds[place].name && strcmp(kinds[place].name, call)) place++;
    kinds[place].name = call;
    long number = ++kinds[place].calls;
    all++;
    if (mode != COUNT && (kind[0] ? !strcmp(kind, call) && number == at : all == at)) is_hit = 1;
    int now = is_hit && (!is_full || mode == FULL_FROM);
    is_full = is_hit;
    pthread_mutex_unlock(&counting);
    if (!now) return 0;
    if (mode == KILL) die();
    if (mode == TEAR) return 2;
    return 1;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FULL(value) do { errno = ENOSPC; return (value); } while (0)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (ours_fd(fd)) switch (fault("write", 1)) {
        case 1: FULL(-1);
        case 2: real(fd, bytes, count / 2); die();
    }
    return real(fd, bytes, count);
}

#define PWRITE(name, offset_type)                                                  \
    ssize_t name(int fd, const void *bytes, size_t count, offset_type offset) {    \
        REAL(ssize_t, #name, int, const void *, size_t, offset_type);              \
        if (ours_fd(fd)) switch (fault("pwrite", 1)) {                             \
            case 1: FULL(-1);                                                      \
            case 2: real(fd, bytes, count / 2, offset); die();                     \
        }                                                                          \
        return real(fd, bytes, count, offset);                                     \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    if (ours_fd(out)) switch (fault("copy_file_range", 1)) {
        case 1: FULL(-1);
        case 2: { // half of what is left to copy
            struct stat status;
            off_t place = lseek(in, 0, SEEK_CUR);
            if (!fstat(in, &status)) real(in, in_at, out, out_at, (status.st_size - place) / 2, flags);
            die();
        }
    }
    return real(in, in_at, out, out_at, count, flags);
}

static int grows(int fd, off_t size) {
    struct stat status;
    return fstat(fd, &status) || size > status.st_size;
}

// Calls that a disk does half or not at all: torn means done, and then killed.
#define WHOLE(name, check, space, declared, types, passed)       \
    int name declared {                                          \
        REAL(int, #name, types);                                 \
        if (check) switch (fault(#name, space)) {                \
            case 1: FULL(-1);                                    \
            case 2: real passed; die();                          \
        }                                                        \
        return real passed;                                      \
    }
#define TYPES(...) __VA_ARGS__
WHOLE(fsync, ours_fd(fd), 1, (int fd), TYPES(int), (fd))
WHOLE(fdatasync, ours_fd(fd), 1, (int fd), TYPES(int), (fd))
WHOLE(ftruncate, ours_fd(fd), grows(fd, size), (int fd, off_t size), TYPES(int, off_t), (fd, size))
WHOLE(ftruncate64, ours_fd(fd), grows(fd, size), (int fd, off64_t size), TYPES(int, off64_t), (fd, size))
WHOLE(rename, ours(from), 1, (const char *from, const char *to), TYPES(const char *, const char *), (from, to))
WHOLE(unlink, ours(path), 0, (const char *path), TYPES(const char *), (path))
WHOLE(remove, ours(path), 0, (const char *path), TYPES(const char *), (path))
WHOLE(fallocate, ours_fd(fd), 1, (int fd, int how, off_t from, off_t size), TYPES(int, int, off_t, off_t), (fd, how, from, size))
WHOLE(mkdir, ours(path), 1, (const char *path, mode_t rights), TYPES(const char *, mode_t), (path, rights))
WHOLE(rmdir, ours(path), 0, (const char *path), TYPES(const char *), (path))

// Only those that may create a file change something.
#define OPEN(name)                                                             \
    int name(const char *path, int flags, ...) {                               \
        REAL(int, #name, const char *, int, ...);                              \
        va_list more;                                                          \
        va_start(more, flags);                                                 \
        mode_t rights = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                          \
        if ((flags & O_CREAT) && ours(path)) switch (fault("open", 1)) {       \
            case 1: FULL(-1);                                                  \
            case 2: real(path, flags, rights); die();                          \
        }                                                                      \
        return real(path, flags, rights);                                      \
    }
OPEN(open)
OPEN(open64)
