/*
 * Keeps the segments of a cluster's bricks busy, without GlusterFS; see many_bricks.py.
 *
 * Usage: many_bricks DIRECTORY NODES SETS FOPS KINDS FILES CLIENTS CHURN
 * Each three of the NODES share SETS replica sets, so that a node has SETS bricks, whose segments
 * are in DIRECTORY/NODE. Every set gets FOPS fops a second, of the first KINDS names, on FILES
 * files by Zipf's law, from CLIENTS clients: reads on one brick, all others on all three. Each
 * minute 5 other files join the 100 hottest, and one client is replaced. Ends at end-of-file on
 * standard input.
 *
 * If CHURN is not 0, the files stay the same, and the first BUSY of them are far busier than the
 * others. Beside them each set gets CHURN new files a second: each is created, written once, read
 * once and deleted. One in LINGERING is looked up every few seconds for a minute or two before, as
 * mail that waits in a spool.
 */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"
#include "streams.h"

#define REPLICAS 3U
#define SETS_A_VOLUME 6U
#define FILES_MAX 10000U
#define BUSY 20U
#define SPOOLED (1UL << 31) /* in the numbers of files that do not last */
#define LINGERING 50U
#define LINGER_MIN 40U /* seconds */
#define LINGER_MAX 120U
#define LOOK_EVERY 5U /* seconds */
#define SPOOL_MAX 4096U
#define NEW_FILES_A_MINUTE 5U
#define TICKS 10U /* a second */
#define HALF_LIFE 60

static const char *const names[] = {
    "lookup",   "read",      "write",    "stat",      "fstat",     "open",      "create",
    "unlink",   "rename",    "mkdir",    "rmdir",     "opendir",   "readdirp",  "readdir",
    "flush",    "fsync",     "getxattr", "setxattr",  "fgetxattr", "fsetxattr", "removexattr",
    "setattr",  "fsetattr",  "truncate", "ftruncate", "statfs",    "access",    "symlink",
    "readlink", "link",      "xattrop",  "fxattrop",  "entrylk",   "inodelk",   "finodelk",
    "lk",       "fallocate", "discard",  "zerofill",  "seek",
};
#define FOPS (sizeof(names) / sizeof(names[0]))
enum { LOOKUP, READ, WRITE, CREATE = 6, UNLINK };

static double cumulative[FILES_MAX];
static uint32_t sets_a_node, kinds, files, clients, churn;

static uint32_t
below(uint32_t limit)
{
    return (uint32_t)(uniform() * limit);
}

struct fop {
    uint32_t number;
    uint64_t file;
    const void *client;
    uint32_t seat;
    struct glupy_peer peer;
    int32_t error;
    struct glupy_outcome outcome;
};

static void
name_file(struct glupy_segment *segment, uint32_t slot, uint64_t file)
{
    char path[64];

    if (file & SPOOLED)
        snprintf(path, sizeof(path), "/spool/%lu", file);
    else
        snprintf(path, sizeof(path), "/projects/%lu/data-%lu.bin", file % 97, file);
    glupy_segment_set_path(segment, slot,
                           __atomic_load_n(&segment->files.seqs[slot], __ATOMIC_ACQUIRE), path);
}

static void
count(struct glupy_segment *segment, const struct fop *fop)
{
    uint64_t gfid[2] = {glupy_mix(fop->file + 1), glupy_mix(~fop->file)};
    uint64_t key = glupy_file_key(segment, (const uint8_t *)gfid);
    uint32_t lane = glupy_lane(segment);
    struct glupy_place file, client;

    file = glupy_file_place(segment, key, (const uint8_t *)gfid, 1, fop->outcome.now);
    if (!glupy_seated(segment, fop->client, (int)fop->seat, &client))
        client =
            glupy_take_seat(segment, fop->client, (int)fop->seat, &fop->peer, fop->outcome.now);
    glupy_count_start(segment, lane, fop->number);
    glupy_count_end(segment, lane, fop->number, fop->outcome.ns);
    if (fop->outcome.bytes)
        glupy_count_io(segment, lane, fop->outcome.kind, fop->outcome.bytes);
    if (fop->error)
        glupy_count_error(segment, lane, fop->number, fop->error);
    if (client.slot != GLUPY_NO_SLOT)
        glupy_count(&segment->clients, client.slot, &fop->outcome);
    if (file.slot == GLUPY_NO_SLOT)
        return;
    if (!segment->files_names[file.slot].path_length)
        name_file(segment, file.slot, fop->file);
    glupy_count(&segment->files, file.slot, &fop->outcome);
    if (client.slot != GLUPY_NO_SLOT)
        glupy_vote(segment, file.slot, client.slot);
}

/* Does one fop on a file of a replica set of these bricks, so many seconds after the start. */
static void
operate(struct glupy_segment *const *bricks, uint32_t set, uint64_t file, uint32_t number_of_fop,
        uint32_t seconds)
{
    static const int32_t errnos[] = {ENOENT, EAGAIN, ENODATA};
    uint32_t minute = seconds / 60, volume = set / SETS_A_VOLUME, replica, number;
    char address[32];
    struct fop fop = {
        .number = number_of_fop,
        .file = (uint64_t)set << 32 | file,
        .seat = below(clients),
        .outcome = {.kind = GLUPY_METADATA, .now = glupy_monotonic_ns()},
    };

    if (fop.number == READ || fop.number == WRITE) {
        fop.outcome.kind = fop.number == READ ? GLUPY_READ : GLUPY_WRITE;
        fop.outcome.bytes = 512UL << below(10);
    } else if (uniform() < 0.1) {
        fop.error = errnos[below(fop.number == LOOKUP ? 3 : 2)];
        fop.outcome.failed = true;
    }
    fop.outcome.ns = (uint64_t)(20000 * exp(uniform() * 7));
    /* The number of the seat's client. Each minute the next seat gets another client. */
    number = fop.seat + clients * ((minute + clients - 1 - fop.seat) / clients);
    fop.client = (const void *)((uintptr_t)number + 1);
    fop.peer.address = address;
    fop.peer.length = (size_t)snprintf(address, sizeof(address), "10.%u.%u.%u", volume, number >> 8,
                                       number & 255);
    replica = below(REPLICAS);
    if (fop.number == READ) {
        count(bricks[replica], &fop);
        return;
    }
    for (replica = 0; replica < REPLICAS; replica++)
        count(bricks[replica], &fop);
}

/* Does one fop on one of the files that last. */
static void
work(struct glupy_segment *const *bricks, uint32_t set, uint32_t seconds)
{
    double dice = uniform();
    uint32_t number = dice < 0.4 ? READ : dice < 0.6 ? WRITE : below(kinds);
    uint32_t drift = churn ? 0 : seconds / 60 * NEW_FILES_A_MINUTE;

    operate(bricks, set, draw(cumulative, files) + drift, number, seconds);
}

/* A file that waits in a spool; none if `file` is 0. */
struct spooled {
    uint64_t file;
    uint32_t look, end; /* seconds */
};

/* Makes a tick's new files, and looks after those that linger. */
static void
spool(struct glupy_segment *const *bricks, uint32_t set, struct spooled *lingering, uint64_t *made,
      uint32_t seconds)
{
    uint32_t i;

    for (i = 0; i < churn / TICKS; i++) {
        uint64_t file = SPOOLED | ++*made;

        operate(bricks, set, file, CREATE, seconds);
        operate(bricks, set, file, WRITE, seconds);
        operate(bricks, set, file, READ, seconds);
        if (*made % LINGERING)
            operate(bricks, set, file, UNLINK, seconds);
        else
            lingering[*made / LINGERING % SPOOL_MAX] = (struct spooled){
                file, seconds + LOOK_EVERY, seconds + LINGER_MIN + below(LINGER_MAX - LINGER_MIN)};
    }
    for (i = 0; i < SPOOL_MAX; i++)
        if (lingering[i].file && lingering[i].look <= seconds) {
            bool ends = lingering[i].end <= seconds;

            operate(bricks, set, lingering[i].file, ends ? UNLINK : LOOKUP, seconds);
            lingering[i].look = seconds + LOOK_EVERY;
            if (ends)
                lingering[i].file = 0;
        }
}

static struct glupy_segment *
make(const char *directory, uint32_t node, uint32_t set)
{
    static const uint8_t classes[GLUPY_FOPS_MAX];
    uint32_t group = node / REPLICAS;
    char path[256], volume[32], brick[64], host[32], error[512];
    struct glupy_segment_options options = {
        .directory = path,
        .volume = volume,
        .brick = brick,
        .host = host,
        .glusterfs_version = "none",
        .subvolume = (int32_t)(set % SETS_A_VOLUME),
        .volume_bricks = SETS_A_VOLUME * REPLICAS,
        .fop_names = names,
        .fop_count = FOPS,
        .file_slots = GLUPY_FILE_SLOTS_DEFAULT,
        .client_slots = GLUPY_CLIENT_SLOTS_DEFAULT,
        .half_life = HALF_LIFE,
        .enabled = true,
        .fop_classes = classes,
        .slow_records = GLUPY_SLOW_RECORDS_DEFAULT,
        .trace_records = GLUPY_TRACE_RECORDS_DEFAULT,
        .flights = GLUPY_FLIGHTS_DEFAULT,
        .held_locks = GLUPY_HELD_LOCKS_DEFAULT,
    };
    struct glupy_segment *segment, *retired = NULL;

    snprintf(path, sizeof(path), "%s/%u", directory, node);
    snprintf(volume, sizeof(volume), "volume%02u",
             group * ((sets_a_node + SETS_A_VOLUME - 1) / SETS_A_VOLUME) + set / SETS_A_VOLUME);
    snprintf(brick, sizeof(brick), "/bricks/%s/%u", volume, set);
    snprintf(host, sizeof(host), "127.0.1.%u", node + 1);
    segment = glupy_segment_create(&options, &retired, error, sizeof(error));
    if (!segment ||
        glupy_segment_file_publish(&segment->file, (gid_t)-1, error, sizeof(error)) < 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return segment;
}

static void
maintain(struct glupy_segment *segment)
{
    glupy_store(&segment->numbers->heartbeat, glupy_monotonic_ns());
    glupy_table_decay(&segment->files, glupy_decay_share(HALF_LIFE));
    glupy_table_decay(&segment->clients, glupy_decay_share(HALF_LIFE));
}

static bool
time_left(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&input, 1, 1000 / (int)TICKS) == 0;
}

int
main(int argc, char **argv)
{
    uint32_t nodes, sets, set, replica, operation, operations, tick = 0;
    uint64_t started = glupy_monotonic_ns(), seconds, done = 0;
    struct glupy_segment **bricks;
    struct spooled *lingering;
    uint64_t *made;
    double total = 0;

    if (argc != 9)
        return 2;
    nodes = (uint32_t)atoi(argv[2]) / REPLICAS * REPLICAS;
    sets_a_node = (uint32_t)atoi(argv[3]);
    operations = (uint32_t)atoi(argv[4]) / TICKS;
    kinds = (uint32_t)atoi(argv[5]);
    if (kinds > FOPS)
        kinds = FOPS;
    files = (uint32_t)atoi(argv[6]);
    clients = (uint32_t)atoi(argv[7]);
    churn = (uint32_t)atoi(argv[8]);
    if (!sets_a_node || !files || files > FILES_MAX || !clients)
        return 2;
    sets = nodes / REPLICAS * sets_a_node;
    bricks = calloc(sets * REPLICAS, sizeof(struct glupy_segment *));
    lingering = calloc((size_t)sets * SPOOL_MAX, sizeof(*lingering));
    made = calloc(sets, sizeof(*made));
    if (!bricks || !lingering || !made)
        return 1;
    for (set = 0; set < files; set++)
        cumulative[set] = total += !churn ? 1.0 / (set + 1) : set < BUSY ? 2 - set / 20.0 : 0.1;
    for (set = 0; set < sets; set++)
        for (replica = 0; replica < REPLICAS; replica++)
            bricks[set * REPLICAS + replica] =
                make(argv[1], set / sets_a_node * REPLICAS + replica, set % sets_a_node);
    puts("ready");
    fflush(stdout);
    while (time_left()) {
        seconds = (glupy_monotonic_ns() - started) / 1000000000UL;
        for (set = 0; set < sets; set++) {
            for (operation = 0; operation < operations; operation++)
                work(&bricks[set * REPLICAS], set, (uint32_t)seconds);
            if (churn)
                spool(&bricks[set * REPLICAS], set, &lingering[(size_t)set * SPOOL_MAX], &made[set],
                      (uint32_t)seconds);
        }
        done += (uint64_t)sets * operations;
        if (tick++ % TICKS == 0)
            for (set = 0; set < sets * REPLICAS; set++)
                maintain(bricks[set]);
    }
    seconds = (glupy_monotonic_ns() - started) / 1000000000UL;
    printf("%.0f\n", (double)done / (double)(seconds ? seconds : 1));
    for (set = 0; set < sets * REPLICAS; set++) {
        glupy_segment_retire(bricks[set]);
        glupy_segment_free(bricks[set]);
    }
    free(bricks);
    free(lingering);
    free(made);
    return 0;
}
