// SPDX-License-Identifier: Apache-2.0
//
// Stands before the C library in a recorder's process (LD_PRELOAD), and does to it what a machine can do: sets its
// clock, has no name server, and fails what is written below a directory. What is wrong at the moment says the file
// FAULTS_FILE, which is mapped; FAULTS_DIRECTORY is the directory.
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct faults {
  _Atomic int64_t clock_seconds;
  _Atomic int32_t no_dns;
  _Atomic int32_t disk_errno;
};

enum { kFiles = 4096 };

static struct faults nothing;
static struct faults *faults = &nothing;
static const char *directory = "";
static _Atomic char below[kFiles];

__attribute__((constructor)) static void map_faults(void) {
  const char *file = getenv("FAULTS_FILE");
  const char *path = getenv("FAULTS_DIRECTORY");
  const int fd = file == NULL ? -1 : open(file, O_RDWR);
  if (fd < 0 || path == NULL) {
    return;
  }
  void *mapped = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) {
    directory = path;
    faults = mapped;
  }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char *path) {
  return directory[0] != '\0' && strncmp(path, directory, strlen(directory)) == 0;
}

static int fails(int fd) { return fd >= 0 && fd < kFiles && below[fd] && faults->disk_errno != 0; }

static int failed(void) {
  errno = faults->disk_errno;
  return -1;
}

static int opened(int fd, const char *path) {
  if (fd >= 0 && fd < kFiles) {
    below[fd] = (char)is_below(path);
  }
  return fd;
}

#define OPEN(name)                                                             \
  int name(const char *path, int flags, ...) {                                 \
    va_list more;                                                              \
    va_start(more, flags);                                                     \
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;     \
    va_end(more);                                                              \
    if ((flags & O_CREAT) != 0 && is_below(path) && faults->disk_errno != 0) { \
      return failed();                                                         \
    }                                                                          \
    return opened(REAL(name)(path, flags, mode), path);                        \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  if (fd >= 0 && fd < kFiles) {
    below[fd] = 0;
  }
  return REAL(close)(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) { return fails(fd) ? failed() : REAL(write)(fd, bytes, count); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
  return fails(fd) ? failed() : REAL(writev)(fd, parts, count);
}

int fsync(int fd) { return fails(fd) ? failed() : REAL(fsync)(fd); }

int fdatasync(int fd) { return fails(fd) ? failed() : REAL(fdatasync)(fd); }

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  // An address needs no name server.
  const int is_name = node != NULL && !isdigit((unsigned char)node[0]);
  return is_name && faults->no_dns ? EAI_AGAIN : REAL(getaddrinfo)(node, service, hints, found);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  const int result = REAL(clock_gettime)(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += faults->clock_seconds;
  }
  return result;
}
