/*
 * One scenario after the other with the tables of files and clients, without GlusterFS.
 *
 * Usage: table_harness DIRECTORY SCENARIO
 * Prints lines of NAME VALUE; test_table.py says what they have to be.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "counting.h"

#define SLOTS 64U

static struct glupy_segment *segment;

static void
show(const char *name, uint64_t value)
{
    printf("%s %" PRIu64 "\n", name, value);
}

static struct glupy_place
file_place(uint64_t number)
{
    uint64_t gfid[2] = {glupy_mix(number + 1), glupy_mix(~number)};

    return glupy_file_place(segment, (const uint8_t *)gfid, 1, 1);
}

static uint64_t
cells(void)
{
    uint64_t sum = 0;
    uint32_t index;

    for (index = 0; index < segment->files.width * GLUPY_SKETCH_ROWS; index++)
        sum += segment->files.recent[index];
    return sum;
}

static uint64_t
scores(void)
{
    uint64_t sum = 0;
    uint32_t slot;

    for (slot = 0; slot < SLOTS; slot++)
        sum += segment->files.meta[slot] & GLUPY_SCORE_MASK;
    return sum;
}

/* Many files that did one fop each and some that did a few, then an hour in which nothing is done,
 * at a half-life of an hour. */
static void
decay(void)
{
    uint32_t file, second;

    for (file = 0; file < 100 * SLOTS; file++)
        file_place(file);
    for (file = 0; file < SLOTS; file++)
        glupy_table_score(&segment->files, file, 3 * GLUPY_SCORE_UNIT);
    show("cells-before", cells());
    show("scores-before", scores());
    for (second = 0; second < 3600; second++)
        glupy_table_decay(&segment->files, glupy_decay_share(3600));
    show("cells", cells());
    show("sum", segment->files.recent_sum);
    show("scores", scores());
}

/* Connections with numbers as of a process of many bricks. */
static void
seats(void)
{
    static const int numbers[] = {0, 4095, 4096, 100000, 1048575, 1048576, -1};
    struct glupy_peer peer = {.address = "192.0.2.1", .length = 9};
    struct glupy_place place;
    char name[32];
    size_t index;

    for (index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++) {
        place = glupy_take_seat(segment, &numbers[index], numbers[index], &peer, 1);
        snprintf(name, sizeof(name), "%d", numbers[index]);
        show(name, glupy_seated(segment, &numbers[index], numbers[index], &place));
    }
    show("connections", segment->client_counters[place.slot].connections);
    for (index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++)
        glupy_connection_leave(segment, &numbers[index], numbers[index]);
    show("left", segment->client_counters[place.slot].connections);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"decay", decay},
    {"seats", seats},
};

int
main(int argc, char **argv)
{
    static const char *const names[] = {"read"};
    struct glupy_segment_options options = {
        .volume = "harness",
        .brick = "/bricks/h",
        .host = "localhost",
        .glusterfs_version = "none",
        .fop_names = names,
        .fop_count = 1,
        .file_slots = SLOTS,
        .client_slots = SLOTS,
        .group = (gid_t)-1,
    };
    char error[512];
    size_t index;

    if (argc != 3)
        return 2;
    options.directory = argv[1];
    segment = glupy_segment_create(&options, error, sizeof(error));
    if (!segment) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (index = 0; index < sizeof(scenarios) / sizeof(scenarios[0]); index++)
        if (strcmp(scenarios[index].name, argv[2]) == 0)
            scenarios[index].run();
    glupy_segment_retire(segment);
    glupy_segment_free(segment);
    return 0;
}
