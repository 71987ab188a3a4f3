/*
 * Runs a scenario with the tables of files and clients, without GlusterFS.
 *
 * Usage: table_harness DIRECTORY SCENARIO
 * Prints lines of NAME VALUE; test_table.py says what they have to be.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "counting.h"
#include "segment_options.h"

#define SLOTS 64U

static struct glupy_segment *segment;
static unsigned long writable_before; /* the segment was made */

static void
show(const char *name, uint64_t value)
{
    printf("%s %" PRIu64 "\n", name, value);
}

/* Makes a file's gfid from its number by mixing, as gfids are random. */
static uint64_t
file_key(uint64_t number)
{
    uint64_t gfid[2] = {glupy_mix(number + 1), glupy_mix(~number)};

    return glupy_file_key(segment, (const uint8_t *)gfid);
}

static struct glupy_place
file_place(uint64_t number)
{
    uint64_t gfid[2] = {glupy_mix(number + 1), glupy_mix(~number)};

    return glupy_file_place(segment, file_key(number), (const uint8_t *)gfid, 1, 1);
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

/* Many files do one fop each, and some do a few. Then nothing is done for an hour, at a half-life
 * of an hour. */
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

/* Two gfids that somebody has chosen to have one tag. */
static void
crafted(void)
{
    uint64_t first[2] = {1, 2}, second[2] = {3, 0};
    struct glupy_outcome outcome = {.kind = GLUPY_READ, .now = 1};
    const uint8_t *gfids[] = {(const uint8_t *)first, (const uint8_t *)second};
    uint32_t file, slots[2];

    second[1] = first[1] ^ glupy_mix(16 ^ first[0]) ^ glupy_mix(16 ^ second[0]);
    show("one-tag", glupy_file_tag(gfids[0]) == glupy_file_tag(gfids[1]));
    for (file = 0; file < 2; file++) {
        slots[file] =
            glupy_file_place(segment, glupy_file_key(segment, gfids[file]), gfids[file], 1, 1).slot;
        glupy_count(&segment->files, slots[file], &outcome);
    }
    show("one-slot", slots[0] == slots[1]);
    for (file = 0; file < 2; file++) {
        show(file ? "counted-second" : "counted-first",
             segment->files.counters[slots[file]].fops[GLUPY_READ]);
        show(file ? "named-second" : "named-first",
             memcmp(segment->files_names[slots[file]].gfid, gfids[file], 16) == 0);
    }
}

/* Fops on one file that come back after its slot was given away: before it has one again, and
 * after. */
static void
late(void)
{
    struct glupy_outcome outcome = {.kind = GLUPY_READ, .now = 1};
    struct glupy_place place = file_place(0);
    uint64_t key = file_key(0);
    uint32_t file, slot, fop;

    glupy_count(&segment->files, place.slot, &outcome);
    for (file = 1; glupy_holds(&segment->files, place); file++) {
        slot = file_place(file % (4 * SLOTS) + 1).slot;
        if (slot != GLUPY_NO_SLOT)
            glupy_table_score(&segment->files, slot, GLUPY_SCORE_UNIT);
    }
    for (fop = 0; fop < 100; fop++)
        if (glupy_return(&segment->files, key) != GLUPY_NO_SLOT)
            show("found", fop);
    do
        slot = file_place(0).slot;
    while (slot == GLUPY_NO_SLOT);
    for (fop = 0; fop < 100; fop++)
        glupy_count(&segment->files, glupy_return(&segment->files, key), &outcome);
    show("counted", segment->files.counters[slot].fops[GLUPY_READ]);
    show("bound", segment->files.counters[slot].error_bound);
}

/* KiB of private memory that the process could write to. With vm.overcommit_memory=2 the kernel
 * charges it for all of that. */
static unsigned long
writable(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    unsigned long size = 0;
    char line[256];

    while (status && fgets(line, sizeof(line), status) && sscanf(line, "VmData: %lu", &size) != 1)
        ;
    if (status)
        fclose(status);
    return size;
}

/* Connections with numbers that GlusterFS gives in a process of many bricks. */
static void
seats(void)
{
    static const int numbers[] = {0, 4095, 4096, 100000, 1048576, -1, INT_MAX, INT_MIN, 1048575};
    static const char *const times[] = {"early", "later"};
    struct glupy_peer peer = {.address = "192.0.2.1", .length = 9};
    struct glupy_place place;
    unsigned long before = writable();
    char name[32];
    size_t time, index;

    for (time = 0; time < 2; time++) {
        for (index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++) {
            place = glupy_take_seat(segment, &numbers[index], numbers[index], &peer, 1);
            snprintf(name, sizeof(name), "%s%d", times[time], numbers[index]);
            show(name, glupy_seated(segment, &numbers[index], numbers[index], &place));
            /* The maintenance thread comes by. */
            if (time == 0 && numbers[index] == 4096) {
                glupy_segment_add_seats(segment);
                show("memory-8192", writable() - before);
            }
        }
        glupy_segment_add_seats(segment);
    }
    show("memory", before - writable_before);
    show("memory-all", writable() - before);
    show("connections", segment->clients.counters[place.slot].connections);
    for (index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++)
        glupy_connection_leave(segment, &numbers[index], numbers[index]);
    show("left", segment->clients.counters[place.slot].connections);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"crafted", crafted},
    {"decay", decay},
    {"late", late},
    {"seats", seats},
};

int
main(int argc, char **argv)
{
    struct glupy_segment_options options = segment_options(argv[1]);
    struct glupy_segment *retired = NULL;
    char error[512];
    size_t index;

    if (argc != 3)
        return 2;
    options.file_slots = options.client_slots = SLOTS;
    writable_before = writable();
    segment = glupy_segment_create(&options, &retired, error, sizeof(error));
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
