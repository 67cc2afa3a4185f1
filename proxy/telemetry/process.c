/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/telemetry/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/slice.h"

/* A file of /proc in one read; they are never longer here. */
static slice read_small(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return SLICE_NONE;
    n = read(fd, buf, cap);
    close(fd);
    return n > 0 ? slice_of(buf, (size_t)n) : SLICE_NONE;
}

/* Field `i`, from 0, of numbers between spaces; 0 when it is not there. */
static uint64_t field(slice s, unsigned i)
{
    slice part;
    uint64_t n;

    while (slice_next(&s, ' ', &part))
        if (!i--)
            return slice_to_u64(part, UINT64_MAX, &n) ? 0 : n;
    return 0;
}

uint64_t process_rss(void)
{
    char buf[256];

    return field(read_small("/proc/self/statm", buf, sizeof buf), 1) *
           (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Since Linux 6.2 the size of the folder is the number of descriptors; before,
 * they are counted. */
static uint64_t open_fds(void)
{
    struct stat st;
    uint64_t n = 0;
    DIR *dir;

    if (!stat("/proc/self/fd", &st) && st.st_size > 0)
        return (uint64_t)st.st_size;
    dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

/* The 22nd field of stat, in ticks since boot; the name in the 2nd may hold
 * spaces, so fields are counted from its bracket. */
static int64_t start_seconds(void)
{
    char buf[1024];
    slice before, after = SLICE_NONE;
    struct timespec up;

    if (!slice_rcut(read_small("/proc/self/stat", buf, sizeof buf), ')',
                    &before, &after) ||
        clock_gettime(CLOCK_BOOTTIME, &up))
        return 0;
    return clock_real_ns() / NSEC_PER_SEC - up.tv_sec +
           (int64_t)field(after, 20) / sysconf(_SC_CLK_TCK);
}

static int64_t timeval_ns(struct timeval t)
{
    return t.tv_sec * NSEC_PER_SEC + t.tv_usec * NSEC_PER_USEC;
}

void process_usage(struct process_usage *out)
{
    struct rusage r;
    struct rlimit files;

    *out = (struct process_usage){.rss_bytes = process_rss(),
                                  .open_fds = open_fds(),
                                  .start_seconds = start_seconds()};
    if (!getrlimit(RLIMIT_NOFILE, &files))
        out->max_fds = files.rlim_cur;
    if (!getrusage(RUSAGE_SELF, &r))
        out->cpu_ns = timeval_ns(r.ru_utime) + timeval_ns(r.ru_stime);
}
