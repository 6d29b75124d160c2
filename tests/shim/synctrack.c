/* synctrack: an LD_PRELOAD library that notes what a process has made durable, so that a test can simulate a power cut.
 *
 * A kill -9 loses nothing that reached the kernel; a power cut loses whatever was not synced. This library writes, for
 * files under SYNCTRACK_ROOT, a journal of syncs, creations, renames, overwrites and unlinks to SYNCTRACK_LOG (a file
 * outside the root; it survives kill -9 because each record is one write(2)). After the kill, `cutback` reads the
 * journal and takes the files back to what had been synced.
 *
 * What counts as durable: the file's length when fsync or fdatasync was entered, once it has returned 0; every write of
 * a descriptor opened with O_SYNC or O_DSYNC; a directory entry once its directory was fsynced. sync_file_range does not
 * count: it promises nothing. Shared writable mappings are not tracked: the journal gets an X record, and cutback refuses.
 *
 * SYNCTRACK_LIE=1: fsync and fdatasync return 0 and are not noted, as on a disk that lies. The negative control: tests
 * of durability must fail with it.
 *
 * Records, one a line, fields separated by tabs; SEQ is the journal's own counter:
 *   E ino length path        there when the process started
 *   C seq ino path           created          T seq ino length         truncated
 *   S seq ino length         synced; seq is from before the call       D seq path   directory synced, likewise
 *   R seq old new saved      renamed; saved: a link to what `new` was, or -
 *   L seq ino path           hard-linked      U seq path               unlinked
 *   W seq ino offset length  followed by that many bytes and a newline: what an overwrite of synced bytes replaced
 *   X what path              something this library cannot track
 * An inode is dev:ino. Limits: paths of PATH_MAX, MAX_FILES files, MAX_FD descriptors; past them it aborts the process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FILES (1 << 17)
#define MAX_FD (1 << 16)
/* An overwrite of more synced bytes than this at once is not tracked (X). */
#define MAX_UNDO (8 << 20)

enum { FD_UNKNOWN = 0, FD_OTHER, FD_TRACKED, FD_TRACKED_SYNC };

struct file {
  dev_t dev;
  ino_t ino;
  off_t synced; /* -1: never */
};

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static bool lie;
static atomic_ullong sequence = 1;
static atomic_uchar descriptors[MAX_FD];
static struct file files[MAX_FILES];
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;

/* The real functions. */
#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, open, const char *, int, ...);
REAL(int, openat, int, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, ftruncate, int, off_t);
REAL(int, truncate, const char *, off_t);
REAL(int, rename, const char *, const char *);
REAL(int, renameat, int, const char *, int, const char *);
REAL(int, renameat2, int, const char *, int, const char *, unsigned);
REAL(int, link, const char *, const char *);
REAL(int, linkat, int, const char *, int, const char *, int);
REAL(int, unlink, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(void *, mmap, void *, size_t, int, int, int, off_t);
#define LOAD(name) (*(void **)&real_##name = dlsym(RTLD_NEXT, #name))
/* Other constructors may call these before ours has run. */
#define ENSURE(name) do { if (!real_##name) LOAD(name); } while (0)

static void die(const char *what) {
  fprintf(stderr, "synctrack: %s: %s\n", what, strerror(errno));
  abort();
}

static void journal_bytes(const char *bytes, size_t length) {
  /* O_APPEND and one call: records of several threads do not mix. */
  ssize_t done = real_write(journal, bytes, length);
  if (done != (ssize_t)length) die("cannot write the journal");
}

__attribute__((format(printf, 1, 2))) static void record(const char *format, ...) {
  char line[3 * PATH_MAX];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof line) die("record too long");
  journal_bytes(line, (size_t)length);
}

static unsigned long long next_sequence(void) { return atomic_fetch_add(&sequence, 1); }

/* The file's slot, made if it is not there. Called with files_lock held. */
static struct file *slot(dev_t dev, ino_t ino) {
  size_t start = (size_t)(ino * 0x9e3779b97f4a7c15ULL >> 40) % MAX_FILES;
  for (size_t i = 0; i < MAX_FILES; i++) {
    struct file *file = &files[(start + i) % MAX_FILES];
    if (file->ino == 0) {
      file->dev = dev;
      file->ino = ino;
      file->synced = -1;
    }
    if (file->ino == ino && file->dev == dev) return file;
  }
  errno = ENFILE;
  die("too many files");
  return NULL;
}

static void set_synced(const struct stat *about, off_t length) {
  pthread_mutex_lock(&files_lock);
  slot(about->st_dev, about->st_ino)->synced = length;
  pthread_mutex_unlock(&files_lock);
}

static off_t synced_length(const struct stat *about) {
  pthread_mutex_lock(&files_lock);
  off_t length = slot(about->st_dev, about->st_ino)->synced;
  pthread_mutex_unlock(&files_lock);
  return length;
}

static bool under_root(const char *path) {
  return journal >= 0 && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* The absolute path of `path` as seen from the directory `at`, links in its directory part resolved; false if it is not
 * under the root. */
static bool tracked_path(int at, const char *path, char *absolute) {
  if (journal < 0 || path == NULL) return false;
  char joined[2 * PATH_MAX];
  if (path[0] == '/') {
    snprintf(joined, sizeof joined, "%s", path);
  } else {
    char folder[PATH_MAX];
    if (at == AT_FDCWD) {
      if (getcwd(folder, sizeof folder) == NULL) return false;
    } else {
      char name[64];
      snprintf(name, sizeof name, "/proc/self/fd/%d", at);
      ssize_t length = readlink(name, folder, sizeof folder - 1);
      if (length < 0) return false;
      folder[length] = 0;
    }
    snprintf(joined, sizeof joined, "%s/%s", folder, path);
  }
  char *last = strrchr(joined, '/');
  if (last == NULL) return false;
  char name[NAME_MAX + 2];
  snprintf(name, sizeof name, "%s", last);
  if (last == joined) return false;
  *last = 0;
  if (realpath(joined, absolute) == NULL) return false;
  if (strlen(absolute) + strlen(name) >= PATH_MAX) return false;
  strcat(absolute, name);
  return under_root(absolute);
}

static bool descriptor_path(int fd, char *path) {
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, PATH_MAX - 1);
  if (length < 0) return false;
  path[length] = 0;
  return under_root(path);
}

/* What kind of descriptor this is; looked up once after it was opened by means this library did not see. */
static int kind_of(int fd) {
  if (journal < 0 || fd < 0 || fd >= MAX_FD) return FD_OTHER;
  int kind = atomic_load(&descriptors[fd]);
  if (kind != FD_UNKNOWN) return kind;
  char path[PATH_MAX];
  kind = FD_OTHER;
  if (descriptor_path(fd, path)) {
    int flags = fcntl(fd, F_GETFL);
    kind = flags >= 0 && (flags & (O_SYNC | O_DSYNC)) ? FD_TRACKED_SYNC : FD_TRACKED;
  }
  atomic_store(&descriptors[fd], (unsigned char)kind);
  return kind;
}

static int note_existing(const char *path, const struct stat *about, int type, struct FTW *where) {
  (void)where;
  if (type == FTW_F) {
    record("E\t%lu:%lu\t%lld\t%s\n", (unsigned long)about->st_dev, (unsigned long)about->st_ino,
           (long long)about->st_size, path);
    set_synced(about, about->st_size);
  }
  return 0;
}

__attribute__((constructor)) static void start(void) {
  LOAD(open), LOAD(openat), LOAD(close), LOAD(write), LOAD(pwrite), LOAD(writev), LOAD(pwritev), LOAD(fsync);
  LOAD(fdatasync), LOAD(ftruncate), LOAD(truncate), LOAD(rename), LOAD(renameat), LOAD(renameat2), LOAD(link);
  LOAD(linkat), LOAD(unlink), LOAD(unlinkat), LOAD(mmap);
  const char *wanted_root = getenv("SYNCTRACK_ROOT");
  const char *log = getenv("SYNCTRACK_LOG");
  lie = getenv("SYNCTRACK_LIE") != NULL;
  if (wanted_root == NULL || log == NULL) return;
  if (realpath(wanted_root, root) == NULL) die("SYNCTRACK_ROOT");
  root_length = strlen(root);
  int fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) die("SYNCTRACK_LOG");
  /* Far up, so that the process's own low numbers stay as they are. */
  journal = fcntl(fd, F_DUPFD_CLOEXEC, 900);
  if (journal < 0) die("SYNCTRACK_LOG");
  real_close(fd);
  if (nftw(root, note_existing, 64, FTW_PHYS) != 0) die("cannot walk the root");
}

/* ---- opening and closing ---- */

static int opened(int fd, const char *path, int flags, bool existed) {
  if (fd < 0 || fd >= MAX_FD) return fd;
  atomic_store(&descriptors[fd], flags & (O_SYNC | O_DSYNC) ? FD_TRACKED_SYNC : FD_TRACKED);
  struct stat about;
  if (fstat(fd, &about) != 0) die("fstat");
  if (!existed) {
    record("C\t%llu\t%lu:%lu\t%s\n", next_sequence(), (unsigned long)about.st_dev, (unsigned long)about.st_ino, path);
    set_synced(&about, -1);
  } else if (flags & O_TRUNC) {
    record("T\t%llu\t%lu:%lu\t0\n", next_sequence(), (unsigned long)about.st_dev, (unsigned long)about.st_ino);
    if (synced_length(&about) > 0) set_synced(&about, 0);
  }
  return fd;
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
  ENSURE(openat);
  char absolute[PATH_MAX];
  if (!tracked_path(at, path, absolute)) {
    int fd = real_openat(at, path, flags, mode);
    if (fd >= 0 && fd < MAX_FD) atomic_store(&descriptors[fd], FD_UNKNOWN);
    return fd;
  }
  bool existed = access(absolute, F_OK) == 0;
  return opened(real_openat(at, path, flags, mode), absolute, flags, existed);
}

#define MODE(flags, last)                                   \
  mode_t mode = 0;                                          \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                    \
    va_list arguments;                                      \
    va_start(arguments, last);                              \
    mode = (mode_t)va_arg(arguments, int);                  \
    va_end(arguments);                                      \
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
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
  ENSURE(close);
  if (fd >= 0 && fd < MAX_FD) atomic_store(&descriptors[fd], FD_UNKNOWN);
  return real_close(fd);
}

/* ---- writing ---- */

/* Notes the synced bytes that a write of `length` bytes at `offset` is about to replace. */
static void before_write(int fd, off_t offset, size_t length) {
  struct stat about;
  if (offset < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return;
  off_t synced = synced_length(&about);
  if (offset >= synced || length == 0) return;
  size_t replaced = (size_t)(synced - offset) < length ? (size_t)(synced - offset) : length;
  char path[PATH_MAX];
  if (!descriptor_path(fd, path)) return;
  if (replaced > MAX_UNDO) {
    record("X\toverwrite\t%s\n", path);
    return;
  }
  char *line = malloc(replaced + 256);
  if (line == NULL) die("malloc");
  int head = snprintf(line, 256, "W\t%llu\t%lu:%lu\t%lld\t%zu\n", next_sequence(), (unsigned long)about.st_dev,
                      (unsigned long)about.st_ino, (long long)offset, replaced);
  /* The descriptor may be open for writing only. */
  int reader = real_open(path, O_RDONLY | O_CLOEXEC);
  if (reader < 0 || pread(reader, line + head, replaced, offset) != (ssize_t)replaced) die("cannot read what is replaced");
  real_close(reader);
  line[(size_t)head + replaced] = '\n';
  journal_bytes(line, (size_t)head + replaced + 1);
  free(line);
}

/* Where a plain write(2) will go. */
static off_t write_offset(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return lseek(fd, 0, flags >= 0 && (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
}

static void after_write(int fd, int kind, ssize_t written) {
  struct stat about;
  if (kind != FD_TRACKED_SYNC || written <= 0 || lie || fstat(fd, &about) != 0) return;
  record("S\t%llu\t%lu:%lu\t%lld\n", next_sequence(), (unsigned long)about.st_dev, (unsigned long)about.st_ino,
         (long long)about.st_size);
  set_synced(&about, about.st_size);
}

static size_t total_length(const struct iovec *parts, int count) {
  size_t length = 0;
  for (int i = 0; i < count; i++) length += parts[i].iov_len;
  return length;
}

#define TRACKED_WRITE(offset, length, call)                 \
  int kind = kind_of(fd);                                   \
  if (kind == FD_OTHER) return call;                        \
  before_write(fd, offset, length);                         \
  ssize_t written = call;                                   \
  int error = errno;                                        \
  after_write(fd, kind, written);                           \
  errno = error;                                            \
  return written;

ssize_t write(int fd, const void *bytes, size_t length) {
  ENSURE(write);
  TRACKED_WRITE(write_offset(fd), length, real_write(fd, bytes, length))
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  ENSURE(pwrite);
  TRACKED_WRITE(offset, length, real_pwrite(fd, bytes, length, offset))
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  ENSURE(writev);
  TRACKED_WRITE(write_offset(fd), total_length(parts, count), real_writev(fd, parts, count))
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  ENSURE(pwritev);
  TRACKED_WRITE(offset, total_length(parts, count), real_pwritev(fd, parts, count, offset))
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
  return pwritev(fd, parts, count, offset);
}

static void truncated(dev_t dev, ino_t ino, off_t length) {
  struct stat about = {.st_dev = dev, .st_ino = ino};
  record("T\t%llu\t%lu:%lu\t%lld\n", next_sequence(), (unsigned long)dev, (unsigned long)ino, (long long)length);
  if (synced_length(&about) > length) set_synced(&about, length);
}
int ftruncate(int fd, off_t length) {
  ENSURE(ftruncate);
  int result = real_ftruncate(fd, length);
  struct stat about;
  if (result == 0 && kind_of(fd) != FD_OTHER && fstat(fd, &about) == 0) truncated(about.st_dev, about.st_ino, length);
  return result;
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }
int truncate(const char *path, off_t length) {
  ENSURE(truncate);
  int result = real_truncate(path, length);
  struct stat about;
  char absolute[PATH_MAX];
  if (result == 0 && tracked_path(AT_FDCWD, path, absolute) && stat(absolute, &about) == 0)
    truncated(about.st_dev, about.st_ino, length);
  return result;
}
int truncate64(const char *path, off_t length) { return truncate(path, length); }

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  ENSURE(mmap);
  char path[PATH_MAX];
  if (journal >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE) && fd >= 0 &&
      descriptor_path(fd, path))
    record("X\tmmap\t%s\n", path);
  return real_mmap(address, length, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap(address, length, protection, flags, fd, offset);
}

/* ---- syncing ---- */

static int sync_with(int (*real)(int), int fd) {
  if (kind_of(fd) == FD_OTHER) return real(fd);
  struct stat about;
  if (fstat(fd, &about) != 0) return real(fd);
  if (lie) return 0;
  unsigned long long entered = next_sequence();
  int result = real(fd);
  if (result != 0) return result;
  if (S_ISDIR(about.st_mode)) {
    char path[PATH_MAX];
    if (descriptor_path(fd, path)) record("D\t%llu\t%s\n", entered, path);
  } else if (S_ISREG(about.st_mode)) {
    record("S\t%llu\t%lu:%lu\t%lld\n", entered, (unsigned long)about.st_dev, (unsigned long)about.st_ino,
           (long long)about.st_size);
    /* Syncs of two threads may end in the other order; a length that was synced once stays so. */
    if (synced_length(&about) < about.st_size) set_synced(&about, about.st_size);
  }
  return result;
}
int fsync(int fd) {
  ENSURE(fsync);
  return sync_with(real_fsync, fd);
}
int fdatasync(int fd) {
  ENSURE(fdatasync);
  return sync_with(real_fdatasync, fd);
}

/* ---- names ---- */

static int rename_with(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  ENSURE(renameat);
  ENSURE(renameat2);
  ENSURE(linkat);
  char old[PATH_MAX], new[PATH_MAX], saved[PATH_MAX + 64] = "-";
  bool tracked = tracked_path(from_at, from, old) && tracked_path(to_at, to, new);
  unsigned long long at = 0;
  if (tracked) {
    at = next_sequence();
    if (access(new, F_OK) == 0) {
      /* Beside the journal, so that it is neither in the root nor lost. */
      snprintf(saved, sizeof saved, "%s.%d.%llu", getenv("SYNCTRACK_LOG"), (int)getpid(), at);
      if (real_linkat(AT_FDCWD, new, AT_FDCWD, saved, 0) != 0) snprintf(saved, sizeof saved, "-");
    }
  }
  int result = flags ? real_renameat2(from_at, from, to_at, to, flags) : real_renameat(from_at, from, to_at, to);
  if (result == 0 && tracked) record("R\t%llu\t%s\t%s\t%s\n", at, old, new, saved);
  return result;
}
int rename(const char *from, const char *to) { return rename_with(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
  return rename_with(from_at, from, to_at, to, 0);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  return rename_with(from_at, from, to_at, to, flags);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  ENSURE(linkat);
  int result = real_linkat(from_at, from, to_at, to, flags);
  char new[PATH_MAX];
  struct stat about;
  if (result == 0 && tracked_path(to_at, to, new) && stat(new, &about) == 0)
    record("L\t%llu\t%lu:%lu\t%s\n", next_sequence(), (unsigned long)about.st_dev, (unsigned long)about.st_ino, new);
  return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *path, int flags) {
  ENSURE(unlinkat);
  char absolute[PATH_MAX];
  bool tracked = tracked_path(at, path, absolute);
  int result = real_unlinkat(at, path, flags);
  int error = errno;
  if (result == 0 && tracked && !(flags & AT_REMOVEDIR)) record("U\t%llu\t%s\n", next_sequence(), absolute);
  errno = error;
  return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
