/*
 * Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements
 * in Data Streams, ICDT 2005), as it is and with decayed counts (Cormode, Shkapenyuk, Srivastava,
 * Xu: Forward Decay: A Practical Time Decay Model for Streaming Systems, ICDE 2009), and
 * HeavyKeeper (Yang et al.: HeavyKeeper: An Accurate Algorithm for Finding Top-k Elephant Flows,
 * IEEE/ACM Transactions on Networking 27(5), 2019), for comparison.
 *
 * All keep the tracked files in a heap with the lowest rank on top. An array over all files has the
 * position of each in the heap. A brick could not afford it, but it changes no result.
 */
#include "rivals.h"

#include <math.h>
#include <stdlib.h>

#define ABSENT UINT32_MAX

/* Two arrays and a decay base of 1.08, as in the authors' code. The width is such that the arrays
 * take the 384 KiB of the table's two sketches. */
#define ARRAYS 2U
#define BASE 1.08
#define WIDTH 24576U

struct entry {
    double rank;
    uint64_t count;
    uint64_t error; /* of Space-Saving: by how much the count may be too high */
    uint32_t file;
};

struct heap {
    struct entry *entries;
    uint32_t *positions; /* by file */
    uint32_t size;
    uint32_t limit;
    uint64_t evicted;
};

struct bucket {
    uint32_t count;
    uint16_t fingerprint;
};

static struct heap saved, decayed, kept;
static struct bucket buckets[ARRAYS][WIDTH];
static uint64_t random_state = 362436069;

static bool
heap_make(struct heap *heap, uint32_t slots, uint32_t files)
{
    uint32_t file;

    heap->entries = calloc(slots, sizeof(*heap->entries));
    heap->positions = calloc(files, sizeof(*heap->positions));
    heap->limit = slots;
    for (file = 0; heap->positions && file < files; file++)
        heap->positions[file] = ABSENT;
    return heap->entries && heap->positions;
}

static void
put(struct heap *heap, uint32_t position, struct entry entry)
{
    heap->entries[position] = entry;
    heap->positions[entry.file] = position;
}

/* Moves an entry whose rank has changed to its new position. */
static void
sift(struct heap *heap, uint32_t position)
{
    struct entry *entries = heap->entries, moving = entries[position];
    uint32_t child;

    for (; position && entries[(position - 1) / 2].rank > moving.rank;
         position = (position - 1) / 2)
        put(heap, position, entries[(position - 1) / 2]);
    for (child = 2 * position + 1; child < heap->size; child = 2 * position + 1) {
        if (child + 1 < heap->size && entries[child + 1].rank < entries[child].rank)
            child++;
        if (entries[child].rank >= moving.rank)
            break;
        put(heap, position, entries[child]);
        position = child;
    }
    put(heap, position, moving);
}

static bool
full(const struct heap *heap)
{
    return heap->size == heap->limit;
}

/* The entry that a newcomer pushes out; while there is room, one with a rank and count of 0. */
static struct entry
lowest(const struct heap *heap)
{
    return full(heap) ? heap->entries[0] : (struct entry){0};
}

static void
take(struct heap *heap, struct entry entry)
{
    uint32_t position = 0;

    if (full(heap)) {
        heap->positions[heap->entries[0].file] = ABSENT;
        heap->evicted++;
    } else {
        position = heap->size++;
    }
    put(heap, position, entry);
    sift(heap, position);
}

static const struct entry *
entry_of(const struct heap *heap, uint32_t file)
{
    return heap->positions[file] == ABSENT ? NULL : &heap->entries[heap->positions[file]];
}

static bool
space_saving_make(uint32_t slots, uint32_t files)
{
    return heap_make(&saved, slots, files);
}

static void
space_saving_count(uint32_t file, double seconds)
{
    uint32_t position = saved.positions[file];
    struct entry victim;

    (void)seconds;
    if (position != ABSENT) {
        saved.entries[position].rank = (double)++saved.entries[position].count;
        sift(&saved, position);
        return;
    }
    victim = lowest(&saved);
    take(&saved, (struct entry){victim.rank + 1, victim.count + 1, victim.count, file});
}

/* A newcomer inherits a count, and its own may be too high by that much. */
static bool
space_saving_find(uint32_t file, struct found *found)
{
    const struct entry *entry = entry_of(&saved, file);

    if (entry)
        *found = (struct found){entry->count, entry->count - entry->error, entry->count};
    return entry;
}

static uint64_t
space_saving_evicted(void)
{
    return saved.evicted;
}

static bool
decayed_make(uint32_t slots, uint32_t files)
{
    return heap_make(&decayed, slots, files);
}

/* The rank decays: a fop weighs twice as much as one a half-life ago. The count is that of the fops
 * since the file got its slot, as counts that decay cannot be exported. */
static void
decayed_count(uint32_t file, double seconds)
{
    double weight = exp2(seconds / half_life);
    uint32_t position = decayed.positions[file];

    if (position == ABSENT) {
        take(&decayed, (struct entry){lowest(&decayed).rank + weight, 1, 0, file});
        return;
    }
    decayed.entries[position].rank += weight;
    decayed.entries[position].count++;
    sift(&decayed, position);
}

/* The algorithm forgets what it pushed out, so it cannot say how much a count lacks. */
static bool
decayed_find(uint32_t file, struct found *found)
{
    const struct entry *entry = entry_of(&decayed, file);

    if (entry)
        *found = (struct found){entry->count, entry->count, UINT64_MAX};
    return entry;
}

static uint64_t
decayed_evicted(void)
{
    return decayed.evicted;
}

/* Finalizer of MurmurHash3 (Appleby 2011). */
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

static bool
heavy_keeper_make(uint32_t slots, uint32_t files)
{
    return heap_make(&kept, slots, files);
}

/* A file that hashes to the bucket of another lowers that count with a probability of BASE^-count,
 * and takes the bucket over at 0. A file that is not in the heap cannot have a higher count than
 * the lowest there: such a bucket belongs to another file with the same fingerprint. */
static void
heavy_keeper_count(uint32_t file, double seconds)
{
    uint64_t hash = mix(file + 1), least = lowest(&kept).count;
    uint16_t fingerprint = (uint16_t)(hash >> 48);
    uint32_t position = kept.positions[file], array, estimate = 0;
    struct bucket *bucket;

    (void)seconds;
    for (array = 0; array < ARRAYS; array++) {
        bucket = &buckets[array][mix(hash + array) % WIDTH];
        if (bucket->count && bucket->fingerprint != fingerprint) {
            if (chance() >= pow(BASE, -(double)bucket->count) || --bucket->count)
                continue;
        } else if (position == ABSENT && full(&kept) && bucket->count > least) {
            continue;
        }
        bucket->fingerprint = fingerprint;
        bucket->count++;
        if (bucket->count > estimate)
            estimate = bucket->count;
    }
    if (position == ABSENT) {
        if (estimate > least)
            take(&kept, (struct entry){estimate, estimate, 0, file});
    } else if (estimate > kept.entries[position].count) {
        kept.entries[position].count = estimate;
        kept.entries[position].rank = estimate;
        sift(&kept, position);
    }
}

/* The algorithm does not say how far a count may be off. */
static bool
heavy_keeper_find(uint32_t file, struct found *found)
{
    const struct entry *entry = entry_of(&kept, file);

    if (entry)
        *found = (struct found){entry->count, 0, UINT64_MAX};
    return entry;
}

static uint64_t
heavy_keeper_evicted(void)
{
    return kept.evicted;
}

const struct algorithm space_saving = {"Space-Saving", space_saving_make, space_saving_count,
                                       space_saving_find, space_saving_evicted};
const struct algorithm decayed_space_saving = {"decayed-Space-Saving", decayed_make, decayed_count,
                                               decayed_find, decayed_evicted};
const struct algorithm heavy_keeper = {"HeavyKeeper", heavy_keeper_make, heavy_keeper_count,
                                       heavy_keeper_find, heavy_keeper_evicted};
