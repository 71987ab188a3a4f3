/* Random numbers that are the same in each run, and Zipf's law. */
#ifndef STREAMS_H
#define STREAMS_H

#include <stdint.h>

static uint64_t random_state = 88172645463325252UL;

/* From 0 to 1. xorshift64 (Marsaglia: Xorshift RNGs, Journal of Statistical Software 8(14), 2003).
 */
static inline double
uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* A random number below `count`; `cumulative` has the running sums of the weights. */
static inline uint32_t
draw(const double *cumulative, uint32_t count)
{
    double wanted = uniform() * cumulative[count - 1];
    uint32_t low = 0, high = count - 1, middle;

    while (low < high) {
        middle = (low + high) / 2;
        if (cumulative[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#endif
