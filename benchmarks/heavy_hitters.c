/*
 * Drives the file table with streams whose true counts are known; see heavy_hitters.py.
 *
 * Usage: heavy_hitters ALGORITHM DIRECTORY STREAM EXPONENT OPERATIONS
 * ALGORITHM is table, which is the translator's, or space-saving or heavy-keeper (rivals.h).
 * STREAM is plain, scan (half-way, between the stream's own, one fop on each of FILES others),
 * burst (the same all at once) or moving (every minute other files are the hot ones).
 * Time is simulated: OPERATIONS_A_SECOND fops make a second. Prints one line of name=value pairs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "counting.h"
#include "rivals.h"

#define FILES 1000000U
#define TOP 20U
#define OPERATIONS_A_SECOND 100000UL
#define HALF_LIFE 60
#define MINUTE (60 * OPERATIONS_A_SECOND)

static struct glupy_segment *segment;
static const struct rival *rival; /* NULL: the table */
static double cumulative[FILES];
static uint64_t truth[2 * FILES], random_state = 88172645463325252UL, clock_ns;

/* xorshift64 (Marsaglia: Xorshift RNGs, Journal of Statistical Software 8(14), 2003). */
static double
uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static uint32_t
zipf(void)
{
    double wanted = uniform() * cumulative[FILES - 1];
    uint32_t low = 0, high = FILES - 1, middle;

    while (low < high) {
        middle = (low + high) / 2;
        if (cumulative[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Gfids are random: a file's is made from its number by mixing. */
static void
gfid_of(uint32_t file, uint8_t gfid[16])
{
    uint64_t halves[2] = {glupy_mix(file + 1), glupy_mix(~(uint64_t)file)};

    memcpy(gfid, halves, 16);
}

static void
operate(uint32_t file)
{
    struct glupy_outcome outcome = {.kind = GLUPY_READ, .ns = 50000, .now = clock_ns};
    struct glupy_place place;
    uint8_t gfid[16];

    truth[file]++;
    if (rival) {
        rival->count(file);
        return;
    }
    gfid_of(file, gfid);
    place = glupy_file_place(segment, gfid, 1, clock_ns);
    if (place.slot != GLUPY_NO_SLOT)
        glupy_count_file(segment, place.slot, &outcome);
}

static void
tick(uint64_t operation)
{
    clock_ns += 1000000000UL / OPERATIONS_A_SECOND;
    if (operation % OPERATIONS_A_SECOND == 0)
        glupy_table_decay(&segment->files, glupy_decay_share(HALF_LIFE));
}

/* False if the file is not tracked. The true count is said to be from least to most. */
static bool
find(uint32_t file, uint64_t *counted, uint64_t *least, uint64_t *most)
{
    uint8_t gfid[16];
    uint32_t slot;

    if (rival)
        return rival->find(file, counted, least, most);
    gfid_of(file, gfid);
    slot = glupy_table_find(&segment->files, glupy_hash(gfid, 16));
    if (slot == GLUPY_NO_SLOT)
        return false;
    *counted = *least = segment->file_counters[slot].fops[GLUPY_READ];
    *most = *counted + segment->file_counters[slot].error_bound;
    return true;
}

static int
by_truth(const void *a, const void *b)
{
    uint64_t first = truth[*(const uint32_t *)a], second = truth[*(const uint32_t *)b];

    return first < second ? 1 : first > second ? -1 : 0;
}

static uint32_t
tracked(uint32_t first)
{
    uint64_t counted, least, most;
    uint32_t file, found = 0;

    for (file = first; file < first + TOP; file++)
        found += find(file, &counted, &least, &most);
    return found;
}

static void
report(void)
{
    static uint32_t order[2 * FILES];
    uint32_t file, found = 0, broken = 0;
    uint64_t counted, least, most;
    double error, worst = 0;

    for (file = 0; file < 2 * FILES; file++) {
        order[file] = file;
        if (find(file, &counted, &least, &most))
            broken += truth[file] < least || truth[file] > most;
    }
    qsort(order, 2 * FILES, sizeof(order[0]), by_truth);
    for (file = 0; file < TOP; file++) {
        if (!find(order[file], &counted, &least, &most))
            continue;
        found++;
        error = fabs((double)truth[order[file]] - (double)counted) / (double)truth[order[file]];
        worst = error > worst ? error : worst;
    }
    printf("recall=%.4f error=%.6f broken_bounds=%u evicted=%lu\n", (double)found / TOP, worst,
           broken, rival ? rival->evicted() : segment->header->files_evicted);
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"read"};
    struct glupy_segment_options options = {
        .volume = "benchmark",
        .brick = "/b",
        .host = "localhost",
        .glusterfs_version = "none",
        .fop_names = names,
        .fop_count = 1,
        .file_slots = GLUPY_FILE_SLOTS_DEFAULT,
        .client_slots = GLUPY_CLIENT_SLOTS_DEFAULT,
        .group = (gid_t)-1,
    };
    uint64_t operation, operations;
    uint32_t file, shift = 0;
    double exponent, total = 0;
    char error[512];
    char stream;

    if (argc != 6)
        return 2;
    rival = argv[1][0] == 's' ? &space_saving : argv[1][0] == 'h' ? &heavy_keeper : NULL;
    if (rival && !rival->make(options.file_slots, 2 * FILES))
        return 1;
    argv++;
    options.directory = argv[1];
    stream = argv[2][0];
    exponent = strtod(argv[3], NULL);
    operations = strtoul(argv[4], NULL, 10);
    segment = glupy_segment_create(&options, error, sizeof(error));
    if (!segment) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (file = 0; file < FILES; file++)
        cumulative[file] = total += pow(file + 1, -exponent);
    for (operation = 0; operation < operations; operation++) {
        operate((zipf() + shift) % FILES);
        tick(operation);
        if (stream == 's' && operation >= operations / 2 && operation < operations / 2 + FILES)
            operate(FILES + (uint32_t)(operation - operations / 2));
        if (stream == 'b' && operation == operations / 2)
            for (file = 0; file < FILES; file++)
                operate(FILES + file);
        if (stream == 'm' && operation % MINUTE == MINUTE - 1)
            shift += 1000;
        if (stream == 'm' && operation % MINUTE == MINUTE / 2 - 1)
            printf("after_30s=%u ", tracked(shift));
    }
    report();
    glupy_segment_retire(segment);
    glupy_segment_free(segment);
    return 0;
}
