#ifndef GLUPY_BENCHMARK_PROCESSOR_TIME_H
#define GLUPY_BENCHMARK_PROCESSOR_TIME_H

#include <time.h>

/* The processor time of this thread, in nanoseconds. */
static double
processor_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

#endif
