/* The algorithms that the file table is compared with. Files are numbers. */
#ifndef RIVALS_H
#define RIVALS_H

#include <stdbool.h>
#include <stdint.h>

/* What an algorithm says of a file that it tracks: the true count is from `least` to `most`. */
struct found {
    uint64_t counted;
    uint64_t least;
    uint64_t most; /* UINT64_MAX: it does not say */
};

struct algorithm {
    const char *name;
    bool (*make)(uint32_t slots, uint32_t files);
    /* Counts one fop on a file, so many seconds after the start. */
    void (*count)(uint32_t file, double seconds);
    /* False if the file has no slot. */
    bool (*find)(uint32_t file, struct found *found);
    uint64_t (*evicted)(void);
};

extern uint32_t half_life; /* in seconds, of the algorithms that forget */
extern const struct algorithm space_saving, decayed_space_saving, heavy_keeper;

#endif
