/* Clocks that a hypervisor has stopped for some time: preloaded into a process.
 *
 * The file that CLOCKS names holds two doubles: for how many seconds the clock of timeouts stood
 * still, and for how many the wall clock did.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef int (*reader)(clockid_t, struct timespec *);

static const volatile double *stopped(void) {
    static const volatile double *mapped;
    const char *path = getenv("CLOCKS");
    if (!mapped && path) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        void *at = mmap(0, 2 * sizeof(double), PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (at != MAP_FAILED) mapped = at;
    }
    return mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static reader true_clock;
    if (!true_clock) true_clock = (reader)dlsym(RTLD_NEXT, "clock_gettime");
    int failed = true_clock(clock, now);
    const volatile double *seconds = stopped();
    if (failed || !seconds) return failed;
    double back = 0;
    if (clock == CLOCK_BOOTTIME || clock == CLOCK_MONOTONIC) back = seconds[0];
    if (clock == CLOCK_REALTIME) back = seconds[1];
    long long told = now->tv_sec * 1000000000LL + now->tv_nsec - (long long)(back * 1e9);
    now->tv_sec = told / 1000000000LL;
    now->tv_nsec = told % 1000000000LL;
    return 0;
}
