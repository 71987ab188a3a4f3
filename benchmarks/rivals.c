/*
 * Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements
 * in Data Streams, ICDT 2005) and HeavyKeeper (Yang et al.: HeavyKeeper: An Accurate Algorithm for
 * Finding Top-k Elephant Flows, IEEE/ACM Transactions on Networking 27(5), 2019), for comparison.
 *
 * Both keep the tracked files in a heap with the least count on top. Where a file is in the heap is
 * looked up in an array over all files, which a brick could not afford: it changes no result.
 */
#include "rivals.h"

#include <math.h>
#include <stdlib.h>

#define ABSENT UINT32_MAX

/* HeavyKeeper's parameters as in section V of the paper: two arrays, decay base 1.08. */
#define ARRAYS 2U
#define BASE 1.08
#define WIDTH (1U << 16)

struct entry {
    uint64_t count;
    uint64_t error; /* of Space-Saving: by how much the count may be too high */
    uint32_t file;
};

struct bucket {
    uint32_t count;
    uint16_t fingerprint;
};

static struct entry *heap;
static uint32_t *places, heap_size, heap_limit;
static uint64_t evictions, random_state = 362436069;
static struct bucket buckets[ARRAYS][WIDTH];

static void
put(uint32_t place, struct entry entry)
{
    heap[place] = entry;
    places[entry.file] = place;
}

static void
sift(uint32_t place)
{
    struct entry moving = heap[place];
    uint32_t child;

    for (; place && heap[(place - 1) / 2].count > moving.count; place = (place - 1) / 2)
        put(place, heap[(place - 1) / 2]);
    for (child = 2 * place + 1; child < heap_size; child = 2 * place + 1) {
        if (child + 1 < heap_size && heap[child + 1].count < heap[child].count)
            child++;
        if (heap[child].count >= moving.count)
            break;
        put(place, heap[child]);
        place = child;
    }
    put(place, moving);
}

/* Takes a free place, or that of the file with the least count. */
static void
take(struct entry entry)
{
    if (heap_size < heap_limit) {
        put(heap_size++, entry);
        sift(heap_size - 1);
        return;
    }
    places[heap[0].file] = ABSENT;
    evictions++;
    put(0, entry);
    sift(0);
}

static bool
make(uint32_t slots, uint32_t files)
{
    uint32_t file;

    heap = calloc(slots, sizeof(*heap));
    places = calloc(files, sizeof(*places));
    heap_limit = slots;
    for (file = 0; places && file < files; file++)
        places[file] = ABSENT;
    return heap && places;
}

static uint64_t
evicted(void)
{
    return evictions;
}

static void
space_saving_count(uint32_t file)
{
    uint32_t place = places[file];
    uint64_t least = heap_size < heap_limit ? 0 : heap[0].count;

    if (place == ABSENT) {
        take((struct entry){.count = least + 1, .error = least, .file = file});
        return;
    }
    heap[place].count++;
    sift(place);
}

static bool
space_saving_find(uint32_t file, uint64_t *counted, uint64_t *least, uint64_t *most)
{
    uint32_t place = places[file];

    if (place == ABSENT)
        return false;
    *counted = *most = heap[place].count;
    *least = heap[place].count - heap[place].error;
    return true;
}

static uint64_t
mix(uint64_t value)
{
    value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdUL;
    value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53UL;
    return value ^ (value >> 33);
}

static double
chance(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Whoever hashes to a bucket of another decays its count with a probability of BASE^-count. */
static void
heavy_keeper_count(uint32_t file)
{
    uint64_t hash = mix(file + 1), least = heap_size < heap_limit ? 0 : heap[0].count;
    uint16_t fingerprint = (uint16_t)(hash >> 48);
    uint32_t place = places[file], array, estimate = 0;
    struct bucket *bucket;

    for (array = 0; array < ARRAYS; array++) {
        bucket = &buckets[array][mix(hash + array) % WIDTH];
        if (bucket->count && bucket->fingerprint != fingerprint) {
            if (chance() >= pow(BASE, -(double)bucket->count) || --bucket->count)
                continue;
        }
        /* A file outside the heap cannot have more than the least in it: it shares a fingerprint.
         */
        if (bucket->count && place == ABSENT && bucket->count > least)
            continue;
        bucket->fingerprint = fingerprint;
        bucket->count++;
        if (bucket->count > estimate)
            estimate = bucket->count;
    }
    if (place != ABSENT) {
        if (estimate > heap[place].count) {
            heap[place].count = estimate;
            sift(place);
        }
    } else if (estimate > least) {
        take((struct entry){.count = estimate, .file = file});
    }
}

/* HeavyKeeper says nothing about how far a count is off. */
static bool
heavy_keeper_find(uint32_t file, uint64_t *counted, uint64_t *least, uint64_t *most)
{
    if (places[file] == ABSENT)
        return false;
    *counted = heap[places[file]].count;
    *least = 0;
    *most = UINT64_MAX;
    return true;
}

const struct rival space_saving = {make, space_saving_count, space_saving_find, evicted};
const struct rival heavy_keeper = {make, heavy_keeper_count, heavy_keeper_find, evicted};
