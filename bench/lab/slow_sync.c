/* A disk that takes longer: preloaded into a process, each of its syncs takes SLOW_SYNC more
 * microseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_for_the_disk(void) {
    const char *microseconds = getenv("SLOW_SYNC");
    long more = microseconds ? atol(microseconds) : 0;
    struct timespec pause = {more / 1000000, more % 1000000 * 1000};
    nanosleep(&pause, 0);
}

int fsync(int file) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
