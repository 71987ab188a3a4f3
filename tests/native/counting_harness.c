/*
 * Drives the counting core from many threads, without GlusterFS.
 *
 * Usage: counting_harness DIRECTORY THREADS ROUNDS
 * Every thread does ROUNDS times the same: starts and ends fop 1 on file (round % FILES), fails
 * fop 2, reads round % 5000 + 1 bytes, from host (thread % HOSTS). Then the harness waits for
 * end-of-file on standard input, so that its caller can read the segment while it lives.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "counting.h"
#include "fixed_seed.h"
#include "segment_options.h"

#define FILES 40
#define HOSTS 3

static struct glupy_segment *segment;
static unsigned long rounds;

static void *
drive(void *argument)
{
    unsigned long thread = (unsigned long)argument, round;
    struct glupy_outcome outcome = {.kind = GLUPY_READ};
    uint8_t gfid[16] = {0};
    char host[32];
    struct glupy_place file, client;
    uint32_t lane;
    struct glupy_peer peer = {.address = host};

    peer.length = (size_t)snprintf(host, sizeof(host), "192.0.2.%lu", thread % HOSTS);
    for (round = 0; round < rounds; round++) {
        gfid[0] = 1 + round % FILES;
        gfid[15] = gfid[0];
        outcome.now = glupy_monotonic_ns();
        outcome.ns = round % 2 ? 1000 : 3000;
        outcome.bytes = round % 5000 + 1;
        file = glupy_file_place(segment, glupy_file_key(segment, gfid), gfid, 1, outcome.now);
        if (!glupy_seated(segment, host, (int)thread, &client))
            client = glupy_take_seat(segment, host, (int)thread, &peer, outcome.now);
        lane = glupy_lane(segment);
        glupy_count_start(segment, lane, 1);
        glupy_count_end(segment, lane, 1, outcome.ns);
        glupy_count_io(segment, lane, 0, outcome.bytes);
        glupy_count_start(segment, lane, 2);
        glupy_count_end(segment, lane, 2, 70UL * 1000000000UL);
        glupy_count_error(segment, lane, 2, round % 2 ? 2 : 12345);
        if (file.slot != GLUPY_NO_SLOT)
            glupy_count(&segment->files, file.slot, &outcome);
        if (client.slot != GLUPY_NO_SLOT)
            glupy_count(&segment->clients, client.slot, &outcome);
    }
    if (thread % 2)
        glupy_connection_leave(segment, host, (int)thread);
    return NULL;
}

static void
set_path(uint8_t number, const char *path)
{
    uint8_t gfid[16] = {[0] = number, [15] = number};
    uint64_t key = glupy_file_key(segment, gfid);
    uint32_t slot = glupy_file_place(segment, key, gfid, 1, 0).slot;

    glupy_segment_set_path(segment, slot, segment->files.seqs[slot], path);
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {NULL, "read", "lookup"};
    struct glupy_segment_options options = segment_options(argv[1]);
    struct glupy_segment *retired = NULL;
    pthread_t threads[64];
    char error[512], path[3 * GLUPY_PATH_SIZE];
    unsigned long count, thread;

    if (argc != 4 || (count = strtoul(argv[2], NULL, 10)) > 64)
        return 2;
    options.subvolume = 7;
    options.fop_names = names;
    options.fop_count = 3;
    options.file_slots = 64;
    options.client_slots = 8;
    options.enabled = true;
    rounds = strtoul(argv[3], NULL, 10);
    segment = glupy_segment_create(&options, &retired, error, sizeof(error));
    if (!segment ||
        glupy_segment_file_publish(&segment->file, (gid_t)-1, error, sizeof(error)) < 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    /* With this seed all files find a slot. */
    fix_seed(&segment->files.seed);
    for (thread = 0; thread < count; thread++)
        pthread_create(&threads[thread], NULL, drive, (void *)thread);
    for (thread = 0; thread < count; thread++)
        pthread_join(threads[thread], NULL);

    /* Slot names: one that fits, and one of three-byte characters that has to be cut. */
    set_path(1, "/fits");
    memset(path, 0, sizeof(path));
    for (thread = 0; thread < GLUPY_PATH_SIZE / 3 + 10; thread++)
        memcpy(path + 3 * thread, "\xe2\x82\xac", 3);
    set_path(2, path);
    puts(segment->file.path);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    glupy_segment_retire(segment);
    /* A late fop may still write to retired memory. */
    glupy_count_start(segment, 0, 1);
    glupy_segment_free(segment);
    return 0;
}
