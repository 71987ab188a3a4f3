/* A seed that is no secret, for what has to be the same in each run. */
#ifndef GLUPY_TEST_FIXED_SEED_H
#define GLUPY_TEST_FIXED_SEED_H

#include "counting.h"

static void
fix_seed(struct glupy_seed *seed)
{
    uint64_t words[sizeof(*seed) / sizeof(uint64_t)], word;

    for (word = 0; word < sizeof(*seed) / sizeof(uint64_t); word++)
        words[word] = glupy_mix(word + 1);
    memcpy(seed, words, sizeof(*seed));
}

#endif
