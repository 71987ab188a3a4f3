/*
 * Drives the flight recorder from many threads, without GlusterFS.
 *
 * Usage: recorder_harness DIRECTORY THREADS ROUNDS FLIGHTS SLOW [hostile]
 * Each thread does ROUNDS fops, all slow: it lists the fop, records it, and gives the entry back.
 * Some fops of each thread hang while others go on. All fields of a fop follow from its number, so
 * that a mixture can be told. Then each thread takes and gives back locks on a few files, and keeps
 * the last. Prints the segment's path when the threads start. When they are done, it prints how
 * many fops were not listed, and how many locks are, and waits for end-of-file on standard input.
 * With `hostile`, somebody writes noise over all tables of the recorder meanwhile; then nothing is
 * checked but that the process goes on.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "counting.h"
#include "locks.h"
#include "recorder.h"
#include "segment_options.h"

#define HANGING 8
#define FILES 5
#define TRACER 3

#define check(condition)                                                            \
    do {                                                                            \
        if (!hostile && !(condition)) {                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static struct glupy_segment *segment;
static unsigned long rounds;
static bool hostile, over;
static uint64_t unlisted;
/* Where all threads meet once each has its fops that hang under way. */
static pthread_barrier_t all_hang;

/* A name that follows from a number. */
static void
name_of(uint64_t number, char name[256])
{
    snprintf(name, 256, "name-%020lu", number);
}

static uint32_t
begin(uint64_t number, uint8_t gfid[16])
{
    struct glupy_sender sender = {.client = number, .uid = (uint32_t)number, .gid = 1, .pid = -1};
    char name[256];
    struct glupy_asked asked = {.offset = number, .size = number & 0xffff, .text = name};
    uint32_t listed;

    name_of(number, name);
    memcpy(gfid, &number, sizeof(number));
    memcpy(gfid + 8, &number, sizeof(number));
    asked.parent = gfid;
    listed = glupy_flight_begin(segment, glupy_lane(segment), 0, number, gfid, &sender, &asked);
    if (!listed)
        __atomic_fetch_add(&unlisted, 1, __ATOMIC_RELAXED);
    return listed;
}

static void
end(uint32_t listed, uint64_t number, const uint8_t *gfid)
{
    struct glupy_flight *flight = glupy_flight(segment, listed);
    struct glupy_ended ended = {.now = number, .ns = number, .flight = flight, .gfid = gfid};

    check(!listed == !flight);
    if (flight)
        check(flight->offset == number && flight->client == number);
    ended.sender = (struct glupy_sender){.client = number, .uid = (uint32_t)number};
    ended.bytes = number & 0xffff;
    check(glupy_notable(segment, 0, ended.ns, ended.now));
    glupy_record(segment, &ended);
    if (flight)
        glupy_flight_end(segment, glupy_lane(segment), flight);
    /* What comes back late must not give back the entry of another fop. */
    check(!glupy_flight(segment, listed));
}

static void
lock(uint64_t thread)
{
    uint8_t gfid[16] = {1};
    uint64_t round, owner = thread + 1;
    struct glupy_lock lock = {.gfid = gfid,
                              .domain = (const uint8_t *)"domain",
                              .domain_length = 6,
                              .type = GLUPY_LOCK_WRITE,
                              .connection = (const void *)(uintptr_t)owner,
                              .owner = owner,
                              .client = owner};

    for (round = 0; round <= rounds / 10; round++) {
        gfid[15] = (uint8_t)(round % FILES);
        lock.kind = round % 2 ? GLUPY_INODELK : GLUPY_LK;
        lock.start = round % 7;
        lock.length = 10;
        lock.now = round;
        glupy_lock_granted(segment, &lock);
        if (round == rounds / 10)
            return;
        if (round % 2) {
            glupy_lock_returned(segment, &lock);
        } else {
            /* In three pieces. */
            lock.start += 4;
            lock.length = 2;
            glupy_lock_returned(segment, &lock);
            lock.start = 0;
            lock.length = 0;
            glupy_lock_returned(segment, &lock);
        }
    }
}

/* Takes all entries for fops under way, as if they hung, and then gives one back. */
static void
jam(void)
{
    uint32_t size = segment->flight_mask + 1, *listed = calloc(size, sizeof(*listed)), taken, tries;
    uint64_t missed = 0;

    check(listed);
    for (taken = 0, tries = 0; taken < size && tries < 100 * size; tries++) {
        listed[taken] = glupy_flight_begin(segment, 0, 0, 1, NULL, &(struct glupy_sender){0},
                                           &(struct glupy_asked){0});
        missed += !listed[taken];
        taken += listed[taken] != 0;
    }
    check(taken == size && segment->flight_hints[0].halvings < 5);
    /* It is found at once in the lane that gave it back, and soon in another. */
    glupy_flight_end(segment, 0, glupy_flight(segment, listed[size / 2]));
    check(glupy_flight_begin(segment, 0, 0, 1, NULL, &(struct glupy_sender){0},
                             &(struct glupy_asked){0}));
    check(!segment->flight_hints[0].halvings);
    glupy_flight_end(segment, 1, glupy_flight(segment, listed[size / 3]));
    for (tries = 0; tries < 10 * size; tries++) {
        if (glupy_flight_begin(segment, 0, 0, 1, NULL, &(struct glupy_sender){0},
                               &(struct glupy_asked){0}))
            break;
        missed++;
    }
    check(tries < 10 * size);
    check(glupy_load(&segment->numbers->unlisted_fops) == missed);
    memset(segment->flights, 0, size * sizeof(*segment->flights));
    glupy_store(&segment->numbers->unlisted_fops, 0);
    free(listed);
}

/* Fills the table with the locks of a few files, and takes them back in another order. Nothing is
 * left behind, so that a search does not get longer. */
static void
crowd(void)
{
    uint32_t size = segment->locks.mask + 1, number, slot;
    uint8_t gfid[16] = {2};
    struct glupy_lock lock = {.gfid = gfid, .kind = GLUPY_INODELK, .type = GLUPY_LOCK_READ};

    for (number = 0; number <= size; number++) {
        gfid[15] = (uint8_t)(number % FILES);
        lock.owner = number;
        glupy_lock_granted(segment, &lock);
    }
    check(segment->locks.listed == size && glupy_load(&segment->numbers->unlisted_locks) == 1);
    for (number = size; number <= size; number--) {
        gfid[15] = (uint8_t)(number % FILES);
        lock.owner = number;
        glupy_lock_returned(segment, &lock);
        check(segment->locks.listed == (number ? number : 0));
    }
    for (slot = 0; slot < size; slot++)
        check((uint32_t)segment->locks.homes[slot] == 0);
}

static void *
drive(void *argument)
{
    uint64_t thread = (uintptr_t)argument, round, number, place;
    struct {
        uint64_t number;
        uint32_t listed;
        uint8_t gfid[16];
    } hanging[HANGING] = {0};
    uint8_t gfid[16];

    for (round = 0; round < rounds; round++) {
        number = (thread << 32 | round) + 1;
        place = round % (8 * HANGING);
        if (place < HANGING) {
            if (hanging[place].number)
                end(hanging[place].listed, hanging[place].number, hanging[place].gfid);
            hanging[place].number = number;
            hanging[place].listed = begin(number, hanging[place].gfid);
        } else {
            end(begin(number, gfid), number, gfid);
        }
        if (round == HANGING - 1)
            pthread_barrier_wait(&all_hang);
    }
    for (place = 0; place < HANGING; place++)
        if (hanging[place].number)
            end(hanging[place].listed, hanging[place].number, hanging[place].gfid);
    lock(thread);
    return NULL;
}

/* Writes over the tables, from the control to the end of the segment, but not over their places. */
static __attribute__((no_sanitize("thread"))) void *
spoil(void *argument)
{
    char *start = (char *)segment->control;
    size_t size = (size_t)((char *)segment->header + segment->size - start), at;
    uint64_t dice = 1;

    (void)argument;
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        dice = dice * 6364136223846793005UL + 1442695040888963407UL;
        at = (dice >> 20) % (size / 8);
        /* Half of all is written near the start, where the control is. */
        if (dice >> 63)
            at %= 256;
        ((volatile uint64_t *)start)[at] = dice % 3 ? dice >> (dice % 64) : 0;
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    struct glupy_segment_options options = segment_options(argv[1]);
    struct glupy_recorder_options recorder = {.on = true, .one_in = 0, .slow_ms = {1}};
    struct glupy_segment *retired = NULL;
    unsigned long threads, thread;
    uint32_t slot;
    char error[512];
    pthread_t *workers, spoiler;

    check(argc == 6 || argc == 7);
    hostile = argc == 7;
    threads = strtoul(argv[2], NULL, 10);
    rounds = strtoul(argv[3], NULL, 10);
    options.flights = (uint32_t)strtoul(argv[4], NULL, 10);
    options.slow_records = (uint32_t)strtoul(argv[5], NULL, 10);
    options.enabled = true;
    segment = glupy_segment_create(&options, &retired, error, sizeof(error));
    check(segment);
    check(glupy_segment_file_publish(&segment->file, (gid_t)-1, error, sizeof(error)) == 0);
    glupy_recorder_set(segment, &recorder);
    glupy_store(&segment->slow_ns[0], 0);
    memset(segment->tracers[TRACER].fops, 0xff, sizeof(segment->tracers[TRACER].fops));
    segment->control->active[TRACER] = 1;
    jam();
    crowd();
    /* Numbers are times as well. The lease goes on for those of the first two threads. */
    workers = calloc(threads, sizeof(*workers));
    check(rounds >= HANGING);
    pthread_barrier_init(&all_hang, NULL, (unsigned)threads);
    puts(segment->file.path);
    fflush(stdout);
    if (hostile)
        pthread_create(&spoiler, NULL, spoil, NULL);
    for (thread = 0; thread < threads; thread++)
        pthread_create(&workers[thread], NULL, drive, (void *)thread);
    for (thread = 0; thread < threads; thread++)
        pthread_join(workers[thread], NULL);
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    if (hostile)
        pthread_join(spoiler, NULL);
    check(glupy_load(&segment->numbers->unlisted_fops) == unlisted);
    printf("%lu %u\n", unlisted, segment->locks.listed);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    /* All but the first thread's clients go. */
    for (thread = 1; thread < threads; thread++)
        glupy_locks_left(segment, (const void *)(uintptr_t)(thread + 1));
    check(segment->locks.listed == 1);
    glupy_locks_clear(segment);
    check(!glupy_any_lock(segment));
    for (slot = 0; slot <= segment->locks.mask; slot++)
        check((uint32_t)segment->locks.homes[slot] == 0);
    glupy_tracers_expire(segment, 2 * GLUPY_TRACER_LEASE);
    check(!glupy_traced(segment));
    glupy_segment_retire(segment);
    glupy_segment_free(segment);
    free(workers);
    return 0;
}
