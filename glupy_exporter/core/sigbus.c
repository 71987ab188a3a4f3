#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#define RANGES 4096 /* a process never has more bricks than ports */

static struct range {
    uintptr_t start;
    size_t size; /* 0: free */
} ranges[RANGES];
static uint32_t used; /* the first so many; ranges beyond were never in use */
/* Held while the ranges change. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool installed;
/* The handler of GlusterFS, which prints a backtrace and ends the brick. */
static struct sigaction before;

static const struct range *
range_of(uintptr_t address)
{
    uint32_t left = __atomic_load_n(&used, __ATOMIC_ACQUIRE);
    const struct range *range;

    for (range = ranges; left--; range++)
        if (address - range->start < __atomic_load_n(&range->size, __ATOMIC_ACQUIRE))
            return range;
    return NULL;
}

/* A signal handler may call mmap, which is a bare system call in glibc. */
static bool
replace(const struct range *range)
{
    return range &&
           mmap((void *)range->start, range->size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void
on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    /* A signal that a process sent has no address. */
    bool mended = info->si_code > 0 && replace(range_of((uintptr_t)info->si_addr));

    errno = saved;
    if (mended)
        return;
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        sigaction(SIGBUS, &before, NULL);
        raise(SIGBUS);
    }
}

static void
install(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (installed)
        return;
    /* Read first, as the handler may run as soon as it is installed. */
    sigaction(SIGBUS, NULL, &before);
    installed = sigaction(SIGBUS, &action, NULL) == 0;
}

static struct range *
find(uintptr_t start, size_t size)
{
    struct range *range;

    for (range = ranges; range < ranges + used; range++)
        if (range->start == start && range->size == size)
            return range;
    return NULL;
}

bool
glupy_sigbus_cover(void *start, size_t size)
{
    struct range *range;

    pthread_mutex_lock(&mutex);
    install();
    range = find(0, 0);
    if (!range && used < RANGES) {
        range = &ranges[used];
        __atomic_store_n(&used, used + 1, __ATOMIC_RELEASE);
    }
    if (range) {
        range->start = (uintptr_t)start;
        __atomic_store_n(&range->size, size, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&mutex);
    return range;
}

void
glupy_sigbus_uncover(void *start, size_t size)
{
    struct range *range;

    pthread_mutex_lock(&mutex);
    range = find((uintptr_t)start, size);
    if (range) {
        __atomic_store_n(&range->size, 0, __ATOMIC_RELEASE);
        range->start = 0;
    }
    pthread_mutex_unlock(&mutex);
}
