/*
 * Sends one stream of fops, whose true counts are known, through the file table and its rivals; see
 * heavy_hitters.py.
 *
 * Usage: heavy_hitters DIRECTORY STREAM EXPONENT FOPS FOPS_A_SECOND HALF_LIFE
 * STREAM is plain, or Zipf's law over FILES files and
 *   scan    from half-way on, between the stream's own fops, one on each of FILES other files,
 *   burst   the same fops all at once,
 *   moving  other files become the hot ones every minute,
 *   late    at the end, NEW other files with 5 fops a second each for half a minute.
 * Time is simulated. Prints a line of name=value pairs for each algorithm; heavy_hitters.py says
 * what they mean.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "counting.h"
#include "rivals.h"
#include "segment_options.h"
#include "streams.h"

#define FILES 1000000U
#define TOP 20U
#define MANY 1000U
#define NEW 20U
#define NEW_RATE 5U
#define SECONDS_AFTER 30U

static struct glupy_segment *segment;
static double cumulative[FILES], rate;
static uint64_t truth[2 * FILES], recent[2 * FILES]; /* since the hot files changed */
static uint64_t fops, decays;
uint32_t half_life;
static double seconds;

/* Makes a file's gfid from its number by mixing, as gfids are random. */
static void
gfid_of(uint32_t file, uint8_t gfid[16])
{
    uint64_t halves[2] = {glupy_mix(file + 1), glupy_mix(~(uint64_t)file)};

    memcpy(gfid, halves, 16);
}

static bool
table_make(uint32_t slots, uint32_t files)
{
    (void)files;
    return segment->files.sets * GLUPY_WAYS == slots;
}

static void
table_count(uint32_t file, double now)
{
    uint64_t nanoseconds = (uint64_t)(now * 1e9);
    struct glupy_outcome outcome = {.kind = GLUPY_READ, .ns = 50000, .now = nanoseconds};
    struct glupy_place place;
    uint8_t gfid[16];

    for (; (double)decays < now; decays++)
        glupy_table_decay(&segment->files, glupy_decay_share(half_life));
    gfid_of(file, gfid);
    place = glupy_file_place(segment, glupy_file_key(segment, gfid), gfid, 1, nanoseconds);
    if (place.slot != GLUPY_NO_SLOT)
        glupy_count(&segment->files, place.slot, &outcome);
}

static bool
table_find(uint32_t file, struct found *found)
{
    uint64_t counted;
    uint8_t gfid[16];
    uint32_t slot;

    gfid_of(file, gfid);
    slot = glupy_table_find(&segment->files, glupy_file_key(segment, gfid));
    if (slot == GLUPY_NO_SLOT)
        return false;
    counted = segment->files.counters[slot].fops[GLUPY_READ];
    *found = (struct found){counted, counted, counted + segment->files.counters[slot].error_bound};
    return true;
}

static uint64_t
table_evicted(void)
{
    return segment->files_health->evicted;
}

static const struct algorithm table = {"table", table_make, table_count, table_find, table_evicted};
static const struct algorithm *const algorithms[] = {&table, &space_saving, &decayed_space_saving,
                                                     &heavy_keeper};
#define ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

/* The fewest of the TOP hot files that had a slot, SECONDS_AFTER they became hot. */
static uint32_t hot_after[ALGORITHMS];
static uint32_t before_scan[ALGORITHMS], after_scan[ALGORITHMS];

static void
operate(uint32_t file)
{
    size_t index;

    truth[file]++;
    recent[file]++;
    for (index = 0; index < ALGORITHMS; index++)
        algorithms[index]->count(file, seconds);
}

/* How many of the files have a slot. */
static uint32_t
tracked(const struct algorithm *algorithm, uint32_t first, uint32_t count)
{
    struct found found;
    uint32_t file, sum = 0;

    for (file = first; file < first + count; file++)
        sum += algorithm->find(file, &found);
    return sum;
}

static void
note_hot(uint32_t first)
{
    uint32_t here;
    size_t index;

    for (index = 0; index < ALGORITHMS; index++) {
        here = tracked(algorithms[index], first, TOP);
        if (here < hot_after[index])
            hot_after[index] = here;
    }
}

static void
scan_at_once(void)
{
    uint32_t file;
    size_t index;

    /* The files' numbers are their ranks. */
    for (index = 0; index < ALGORITHMS; index++)
        before_scan[index] = tracked(algorithms[index], 0, MANY);
    for (file = 0; file < FILES; file++)
        operate(FILES + file);
    for (index = 0; index < ALGORITHMS; index++)
        after_scan[index] = tracked(algorithms[index], 0, MANY);
}

static void
new_files(void)
{
    uint32_t second, operation, file;

    memset(recent, 0, sizeof(recent));
    for (second = 0; second < SECONDS_AFTER; second++)
        for (operation = 0; operation < (uint32_t)rate; operation++) {
            operate(draw(cumulative, FILES));
            seconds += 1 / rate;
            for (file = 0; operation % ((uint32_t)rate / NEW_RATE) == 0 && file < NEW; file++)
                operate(FILES + file);
        }
    note_hot(FILES);
}

static int
by_recent_truth(const void *a, const void *b)
{
    uint64_t first = recent[*(const uint32_t *)a], second = recent[*(const uint32_t *)b];

    return first < second ? 1 : first > second ? -1 : 0;
}

static void
report(const struct algorithm *algorithm, const uint32_t *order, size_t index)
{
    uint32_t file, top = 0, many = 0, broken = 0;
    struct found found;
    double error, worst = 0;

    for (file = 0; file < 2 * FILES; file++)
        if (algorithm->find(file, &found))
            broken += truth[file] < found.least || truth[file] > found.most;
    for (file = 0; file < MANY; file++) {
        if (!algorithm->find(order[file], &found))
            continue;
        many++;
        if (file >= TOP)
            continue;
        top++;
        error = ((double)found.counted - (double)truth[order[file]]) / (double)truth[order[file]];
        worst = fabs(error) > fabs(worst) ? error : worst;
    }
    printf(
        "algorithm=%s top=%u many=%u error=%.6f broken=%u evicted=%lu hot=%u before_scan=%u "
        "after_scan=%u\n",
        algorithm->name, top, many, worst, broken, algorithm->evicted(), hot_after[index],
        before_scan[index], after_scan[index]);
}

static void
run(const char *stream)
{
    uint64_t operation, minute = (uint64_t)(60 * rate);
    uint32_t shift = 0;

    for (operation = 0; operation < fops; operation++) {
        operate((draw(cumulative, FILES) + shift) % FILES);
        seconds = (double)(operation + 1) / rate;
        if (!strcmp(stream, "scan") && operation >= fops / 2 && operation < fops / 2 + FILES)
            operate(FILES + (uint32_t)(operation - fops / 2));
        if (!strcmp(stream, "burst") && operation == fops / 2)
            scan_at_once();
        if (!strcmp(stream, "moving") && operation % minute == minute - 1 && operation + 1 < fops) {
            shift += MANY;
            memset(recent, 0, sizeof(recent));
        }
        if (!strcmp(stream, "moving") && operation % minute == minute / 2 - 1)
            note_hot(shift);
    }
    if (!strcmp(stream, "late"))
        new_files();
}

int
main(int argc, char **argv)
{
    static uint32_t order[2 * FILES];
    struct glupy_segment_options options = segment_options(argv[1]);
    struct glupy_segment *retired = NULL;
    double total = 0;
    uint32_t file;
    size_t index;
    char error[512];

    if (argc != 7)
        return 2;
    fops = strtoul(argv[4], NULL, 10);
    rate = strtod(argv[5], NULL);
    half_life = (uint32_t)strtoul(argv[6], NULL, 10);
    segment = glupy_segment_create(&options, &retired, error, sizeof(error));
    if (!segment) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (index = 0; index < ALGORITHMS; index++) {
        hot_after[index] = TOP;
        if (!algorithms[index]->make(options.file_slots, 2 * FILES))
            return 1;
    }
    for (file = 0; file < FILES; file++)
        cumulative[file] = total += pow(file + 1, -strtod(argv[3], NULL));
    run(argv[2]);
    for (file = 0; file < 2 * FILES; file++)
        order[file] = file;
    qsort(order, 2 * FILES, sizeof(order[0]), by_recent_truth);
    for (index = 0; index < ALGORITHMS; index++)
        report(algorithms[index], order, index);
    glupy_segment_retire(segment);
    glupy_segment_free(segment);
    return 0;
}
