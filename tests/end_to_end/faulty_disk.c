/* A disk that fails, is slow, and forgets: preloaded into a process, for its files in one folder.
 *
 * What is written to a file goes to the system's memory, which is the file that everybody reads;
 * what is on the disk stands in the folder of "disks". A sync that succeeds brings the pages there
 * that were written since the last one, and a sync that fails forgets which those were, as Linux
 * does: the next one has nothing left to write, and succeeds. Which pages are to be written
 * outlives the process, as the system's memory does. A power cut puts the disk in place of the file
 * (see faulty_disks.py).
 *
 * FAULTY_DATA     the folder whose files these are
 * FAULTY_DISK     where their disks are
 * FAULTY_CONTROL  a file with one line, read at every sync, if it is there:
 *                 FAIL FROM COUNT DELAY ENDING
 *                 of the syncs of files whose names end so, since the line was written, those from
 *                 the FROMth on, COUNT of them, fail (EIO); each takes DELAY milliseconds more
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 65536 /* of the longest file */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* The name of a file in the folder; 0 if it is not there. */
static int name_of(int file, char *name) {
    const char *data = getenv("FAULTY_DATA");
    char link[64], path[PATH_MAX];
    if (!data) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t folder = strlen(data);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, data, folder) || path[folder] != '/' || strchr(path + folder + 1, '/')) return 0;
    if (strstr(path, "-shm") || strstr(path, " (deleted)")) return 0;
    strcpy(name, path + folder + 1);
    return 1;
}

static void beside(char *path, const char *name, const char *ending) {
    snprintf(path, PATH_MAX, "%s/%s%s", getenv("FAULTY_DISK"), name, ending);
}

/* A mark for each page that was written and not synced. */
static unsigned char *marks_of(const char *name) {
    static struct { char name[256]; unsigned char *marks; } known[64];
    for (int i = 0; i < 64; i++) {
        if (known[i].marks && !strcmp(known[i].name, name)) return known[i].marks;
        if (known[i].marks) continue;
        char path[PATH_MAX];
        beside(path, name, ".unsynced");
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        REAL(ftruncate);
        if (file < 0 || real(file, PAGES)) abort();
        known[i].marks = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (known[i].marks == MAP_FAILED) abort();
        close(file);
        snprintf(known[i].name, sizeof known[i].name, "%s", name);
        return known[i].marks;
    }
    abort();
}

static void wrote(int file, off_t from, ssize_t octets) {
    char name[PATH_MAX];
    if (octets <= 0 || !name_of(file, name)) return;
    if ((from + octets - 1) / PAGE >= PAGES) abort();
    pthread_mutex_lock(&lock);
    unsigned char *marks = marks_of(name);
    for (off_t page = from / PAGE; page <= (from + octets - 1) / PAGE; page++) marks[page] = 1;
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite64(int file, const void *data, size_t octets, off64_t place) {
    REAL(pwrite64);
    ssize_t done = real(file, data, octets, place);
    int error = errno;
    wrote(file, place, done);
    errno = error;
    return done;
}

ssize_t pwrite(int file, const void *data, size_t octets, off_t place) {
    return pwrite64(file, data, octets, place);
}

ssize_t write(int file, const void *data, size_t octets) {
    REAL(write);
    ssize_t done = real(file, data, octets);
    int error = errno;
    char name[PATH_MAX];
    if (done > 0 && name_of(file, name)) wrote(file, lseek(file, 0, SEEK_CUR) - done, done);
    errno = error;
    return done;
}

/* What the control says of this sync: whether it fails; it may take its time. */
static int fails(const char *name) {
    static struct timespec written;
    static long count;
    struct stat status;
    long from, many, delay;
    char ending[256] = "";
    const char *path = getenv("FAULTY_CONTROL");
    FILE *control = path ? fopen(path, "re") : NULL;
    if (!control) return 0;
    int known = fscanf(control, "FAIL %ld %ld %ld %255s", &from, &many, &delay, ending) >= 3;
    fstat(fileno(control), &status);
    fclose(control);
    size_t length = strlen(name), end = strlen(ending);
    if (!known || end > length || strcmp(name + length - end, ending)) return 0;
    if (memcmp(&written, &status.st_mtim, sizeof written)) count = 0;
    written = status.st_mtim;
    count++;
    if (delay) {
        struct timespec time = {delay / 1000, delay % 1000 * 1000000};
        nanosleep(&time, NULL);
    }
    return count >= from && count < from + many;
}

/* Bring the pages that were written to the disk, or forget that they were. */
static void settle(int file, const char *name, int failed) {
    char path[PATH_MAX], page[PAGE];
    struct stat status;
    unsigned char *marks = marks_of(name);
    if (failed) { memset(marks, 0, PAGES); return; }
    beside(path, name, "");
    REAL(pwrite64);
    int disk = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk < 0 || fstat(file, &status)) abort();
    if (ftruncate(disk, status.st_size)) abort();
    for (off_t i = 0; i < PAGES && i * PAGE < status.st_size; i++) {
        if (!marks[i]) continue;
        ssize_t octets = pread(file, page, PAGE, i * PAGE);
        if (octets > 0 && real(disk, page, octets, i * PAGE) != octets) abort();
        marks[i] = 0;
    }
    close(disk);
}

static int sync_file(int file, int (*real)(int)) {
    char name[PATH_MAX];
    if (!name_of(file, name)) return real(file);
    int failed = fails(name);
    pthread_mutex_lock(&lock);
    settle(file, name, failed);
    pthread_mutex_unlock(&lock);
    if (failed) { errno = EIO; return -1; }
    return 0;
}

int fsync(int file) {
    REAL(fsync);
    return sync_file(file, real);
}

int fdatasync(int file) {
    REAL(fdatasync);
    return sync_file(file, real);
}

/* A file that is removed is off the disk at once. */
int unlink(const char *path) {
    REAL(unlink);
    const char *data = getenv("FAULTY_DATA");
    size_t folder = data ? strlen(data) : 0;
    int done = real(path);
    if (!done && data && !strncmp(path, data, folder) && path[folder] == '/') {
        char disk[PATH_MAX];
        beside(disk, path + folder + 1, "");
        real(disk);
        pthread_mutex_lock(&lock);
        memset(marks_of(path + folder + 1), 0, PAGES);
        pthread_mutex_unlock(&lock);
    }
    return done;
}
