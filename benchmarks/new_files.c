/*
 * Measures what a fop on a file that has a slot costs beside a thread that makes new files; see
 * new_files.py.
 *
 * Usage: new_files DIRECTORY ROUNDS FOPS
 * In each round one thread does FOPS fops on FILES files, once beside a thread that only computes
 * and once beside one that does a fop on a new file each time. Prints nanoseconds of processor time
 * a fop for both, a line for each round.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "counting.h"
#include "processor_time.h"
#include "segment_options.h"

#define FILES 64U
#define WARM_UP 10000UL

static struct glupy_segment *segment;
static uint32_t making, ended;

static void
operate(uint64_t file)
{
    uint64_t gfid[2] = {glupy_mix(file + 1), glupy_mix(~file)};
    struct glupy_outcome outcome = {.kind = GLUPY_READ, .ns = 50000, .now = 1};
    uint64_t key = glupy_file_key(segment, (const uint8_t *)gfid);
    struct glupy_place place =
        glupy_file_place(segment, key, (const uint8_t *)gfid, 1, outcome.now);
    uint32_t lane = glupy_lane(segment);

    glupy_count_start(segment, lane, 0);
    glupy_count_end(segment, lane, 0, outcome.ns);
    if (place.slot != GLUPY_NO_SLOT)
        glupy_count(&segment->files, place.slot, &outcome);
}

/* The two threads must not take turns on one processor. */
static void
pin(uint32_t which)
{
    cpu_set_t allowed, chosen;
    int cpu;

    CPU_ZERO(&chosen);
    sched_getaffinity(0, sizeof(allowed), &allowed);
    for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && which-- == 0)
            CPU_SET(cpu, &chosen);
    pthread_setaffinity_np(pthread_self(), sizeof(chosen), &chosen);
}

static void *
accompany(void *argument)
{
    static uint64_t kept;
    uint64_t file = FILES, computed = 0;

    (void)argument;
    pin(1);
    while (!__atomic_load_n(&ended, __ATOMIC_RELAXED))
        if (__atomic_load_n(&making, __ATOMIC_RELAXED))
            operate(file++);
        else
            computed = glupy_mix(computed);
    glupy_store(&kept, computed);
    return NULL;
}

static double
measure(uint32_t beside_new_files, unsigned long fops)
{
    unsigned long fop;
    double before;

    __atomic_store_n(&making, beside_new_files, __ATOMIC_RELAXED);
    for (fop = 0; fop < WARM_UP; fop++)
        operate(fop % FILES);
    before = processor_time();
    for (fop = 0; fop < fops; fop++)
        operate(fop % FILES);
    return (processor_time() - before) / (double)fops;
}

int
main(int argc, char **argv)
{
    struct glupy_segment_options options = segment_options(argv[1]);
    unsigned long rounds, fops, round;
    double alone, beside;
    pthread_t companion;
    struct glupy_segment *retired = NULL;
    char error[512];

    if (argc != 4)
        return 2;
    rounds = strtoul(argv[2], NULL, 10);
    fops = strtoul(argv[3], NULL, 10);
    segment = glupy_segment_create(&options, &retired, error, sizeof(error));
    if (!segment) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    pthread_create(&companion, NULL, accompany, NULL);
    pin(0);
    for (round = 0; round < rounds; round++) {
        alone = measure(0, fops);
        beside = measure(1, fops);
        printf("%.3f %.3f\n", alone, beside);
    }
    __atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
    pthread_join(companion, NULL);
    glupy_segment_retire(segment);
    glupy_segment_free(segment);
    return 0;
}
