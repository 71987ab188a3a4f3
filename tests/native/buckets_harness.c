/* Prints the latency bucket of each number of nanoseconds on standard input. */
#include <inttypes.h>
#include <stdio.h>

#include "counting.h"

int
main(void)
{
    uint64_t ns;

    while (scanf("%" SCNu64, &ns) == 1)
        printf("%u\n", glupy_latency_bucket(ns));
    return 0;
}
