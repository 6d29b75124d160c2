/* faults: an LD_PRELOAD library that makes a file system fail on demand.
 *
 * FAULTS_CONTROL names a file of 4096 bytes, which a test writes while the process runs. It holds rules, one a line,
 * ended by a zero byte:
 *
 *     OPERATION ERRNO PATTERN
 *
 * OPERATION is open (for writing), write, sync, read, rename, allocate; PATTERN is a shell pattern for the whole path,
 * in which * also matches slashes. The first rule that fits makes the call fail with ERRNO. A write fails before it has
 * written anything, unless the operation is half: then the first half of it is written, and the next call fails. A sync
 * under a rule for lie returns 0 and does nothing: the negative control, as if a failure were taken for a success.
 *
 * A sync that failed is not made good by a later one: from then on fsync and fdatasync of that file return 0 and do
 * nothing, as on kernels that take pages for clean once they have told of an error, until the file is truncated. With the
 * library synctrack behind this one, a power cut loses what such a sync would have made durable.
 *
 * Limits: MAX_POISONED files whose sync has failed; past them the process is aborted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONTROL_BYTES 4096
#define MAX_POISONED 1024

static const volatile char *control;
static struct { dev_t dev; ino_t ino; } poisoned[MAX_POISONED];
static size_t poisoned_count;
static pthread_mutex_t poisoned_lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, open, const char *, int, ...);
REAL(int, openat, int, const char *, int, ...);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, read, int, void *, size_t);
REAL(ssize_t, pread, int, void *, size_t, off_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, rename, const char *, const char *);
REAL(int, fallocate, int, int, off_t, off_t);
REAL(int, ftruncate, int, off_t);
#define ENSURE(name)                                                       \
  do {                                                                     \
    if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name);    \
  } while (0)

__attribute__((constructor)) static void start(void) {
  ENSURE(open);
  ENSURE(openat);
  ENSURE(write);
  ENSURE(pwrite);
  ENSURE(writev);
  ENSURE(read);
  ENSURE(pread);
  ENSURE(fsync);
  ENSURE(fdatasync);
  ENSURE(rename);
  ENSURE(fallocate);
  ENSURE(ftruncate);
  const char *path = getenv("FAULTS_CONTROL");
  if (path == NULL) return;
  int fd = real_open(path, O_RDONLY | O_CLOEXEC);
  void *map = fd < 0 ? MAP_FAILED : mmap(NULL, CONTROL_BYTES, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) {
    fprintf(stderr, "faults: %s: %s\n", path, strerror(errno));
    abort();
  }
  control = map;
}

/* The error that an operation on a path is to fail with; 0 for none. */
static int rule_for(const char *operation, const char *path) {
  if (control == NULL || control[0] == 0) return 0;
  char rules[CONTROL_BYTES];
  for (size_t i = 0; i < sizeof rules; i++) rules[i] = control[i];
  rules[sizeof rules - 1] = 0;
  char *rest = NULL;
  for (char *line = strtok_r(rules, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char name[16], pattern[1024];
    int error;
    if (sscanf(line, "%15s %d %1023s", name, &error, pattern) != 3) continue;
    if (strcmp(name, operation) == 0 && fnmatch(pattern, path, 0) == 0) return error;
  }
  return 0;
}

static int rule_for_fd(const char *operation, int fd) {
  if (control == NULL || control[0] == 0) return 0;
  char name[64], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return rule_for(operation, path);
}

/* ---- opening ---- */

static int open_at(int at, const char *path, int flags, mode_t mode) {
  ENSURE(openat);
  if (path != NULL && (flags & (O_WRONLY | O_RDWR | O_CREAT))) {
    int error = rule_for("open", path);
    if (error != 0) {
      errno = error;
      return -1;
    }
  }
  return real_openat(at, path, flags, mode);
}

#define MODE(flags, last)                     \
  mode_t mode = 0;                            \
  if ((flags) & (O_CREAT | O_TMPFILE)) {      \
    va_list arguments;                        \
    va_start(arguments, last);                \
    mode = (mode_t)va_arg(arguments, int);    \
    va_end(arguments);                        \
  }

int open(const char *path, int flags, ...) {
  MODE(flags, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
  MODE(flags, flags)
  return open_at(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
  MODE(flags, flags)
  return open_at(at, path, flags, mode);
}

/* ---- writing ---- */

/* How many bytes of a write are to be written: all, half of them, or none (-1, with errno set). */
static ssize_t allowed(int fd, size_t length) {
  int error = rule_for_fd("write", fd);
  if (error != 0) {
    errno = error;
    return -1;
  }
  error = rule_for_fd("half", fd);
  if (error == 0) return (ssize_t)length;
  if (length > 1) return (ssize_t)(length / 2);
  errno = error;
  return -1;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  ENSURE(write);
  ssize_t now = allowed(fd, length);
  return now < 0 ? -1 : real_write(fd, bytes, (size_t)now);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  ENSURE(pwrite);
  ssize_t now = allowed(fd, length);
  return now < 0 ? -1 : real_pwrite(fd, bytes, (size_t)now, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  ENSURE(writev);
  return allowed(fd, 1) < 0 ? -1 : real_writev(fd, parts, count);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  ENSURE(fallocate);
  int error = rule_for_fd("allocate", fd);
  if (error != 0) {
    errno = error;
    return -1;
  }
  return real_fallocate(fd, mode, offset, length);
}
int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }

/* ---- syncing ---- */

/* Whether a file's sync has failed before; `mark` notes that it has, `clear` that it is as new. */
static bool is_poisoned(int fd, bool mark, bool clear) {
  struct stat about;
  if (fstat(fd, &about) != 0) return false;
  bool found = false;
  pthread_mutex_lock(&poisoned_lock);
  for (size_t i = 0; i < poisoned_count && !found; i++) {
    if (poisoned[i].ino != about.st_ino || poisoned[i].dev != about.st_dev) continue;
    found = true;
    if (clear) poisoned[i] = poisoned[--poisoned_count];
  }
  if (mark && !found) {
    if (poisoned_count == MAX_POISONED) abort();
    poisoned[poisoned_count].ino = about.st_ino;
    poisoned[poisoned_count++].dev = about.st_dev;
  }
  pthread_mutex_unlock(&poisoned_lock);
  return found;
}

#define SYNC(name)                        \
  int name(int fd) {                      \
    ENSURE(name);                         \
    int error = rule_for_fd("sync", fd);  \
    if (error != 0) {                     \
      is_poisoned(fd, true, false);       \
      errno = error;                      \
      return -1;                          \
    }                                     \
    if (is_poisoned(fd, false, false) || rule_for_fd("lie", fd) != 0) return 0; \
    return real_##name(fd);               \
  }
SYNC(fsync)
SYNC(fdatasync)

int ftruncate(int fd, off_t length) {
  ENSURE(ftruncate);
  int error = rule_for_fd("write", fd);
  if (error != 0) {
    errno = error;
    return -1;
  }
  int result = real_ftruncate(fd, length);
  if (result == 0) is_poisoned(fd, false, true);
  return result;
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

/* ---- reading and renaming ---- */

ssize_t read(int fd, void *bytes, size_t length) {
  ENSURE(read);
  int error = rule_for_fd("read", fd);
  if (error != 0) {
    errno = error;
    return -1;
  }
  return real_read(fd, bytes, length);
}
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
  ENSURE(pread);
  int error = rule_for_fd("read", fd);
  if (error != 0) {
    errno = error;
    return -1;
  }
  return real_pread(fd, bytes, length, offset);
}
ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) { return pread(fd, bytes, length, offset); }

int rename(const char *old, const char *new) {
  ENSURE(rename);
  int error = rule_for("rename", new);
  if (error != 0) {
    errno = error;
    return -1;
  }
  return real_rename(old, new);
}
