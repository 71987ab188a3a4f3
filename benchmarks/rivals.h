/* Two algorithms that the file table is compared with; files are numbers below `files`. */
#ifndef RIVALS_H
#define RIVALS_H

#include <stdbool.h>
#include <stdint.h>

struct rival {
    bool (*make)(uint32_t slots, uint32_t files);
    void (*count)(uint32_t file);
    /* False if the file is not tracked. The true count is said to be from least to most. */
    bool (*find)(uint32_t file, uint64_t *counted, uint64_t *least, uint64_t *most);
    uint64_t (*evicted)(void);
};

extern const struct rival space_saving, heavy_keeper;

#endif
