/*
 * Fuzzes what the translator does with what others choose: gfids, paths, addresses and the order of
 * fops; segments that are made anew; paths of bricks; links and attributes on the brick's disk;
 * names of shards; values of options. The first byte says which.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fixed_seed.h"
#include "glupy.h"
#include "segment_options.h"

#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static const uint8_t *input;
static size_t left;

static uint8_t
byte(void)
{
    return left ? left--, *input++ : 0;
}

/* Up to `most` bytes of the input, with an end. */
static size_t
text(char *target, size_t most)
{
    size_t length = byte() + (size_t)byte() * 4;

    length = length < left ? length : left;
    length = length < most ? length : most;
    memcpy(target, input, length);
    target[length] = '\0';
    input += length;
    left -= length;
    return strlen(target);
}

/* Answers of the disk, instead of those of the system calls of handle.c. */
static ssize_t
disk_text(const char *usual, char *target, size_t size)
{
    char made[2048];
    uint8_t how = byte();
    size_t length = how & 1 ? (size_t)snprintf(made, sizeof(made), "%s", usual) : 0;

    if (!left || how & 2)
        return -1;
    length += text(made + length, sizeof(made) - length - 1);
    length = length < size ? length : size;
    memcpy(target, made, length);
    return (ssize_t)length;
}

static int
disk_lstat(const char *path, struct stat *status)
{
    uint8_t how = byte();

    (void)path;
    status->st_mode = how & 1 ? S_IFLNK : S_IFREG;
    status->st_nlink = 1 + (how >> 1) % 2;
    return how & 4 ? -1 : 0;
}

#define GFID "3e2c1a1b-0000-4000-8000-000000000001"

static ssize_t
disk_readlink(const char *path, char *target, size_t size)
{
    (void)path;
    return disk_text("../../3e/2c/" GFID "/", target, size);
}

static ssize_t
disk_llistxattr(const char *path, char *target, size_t size)
{
    static const char name[] = "trusted.gfid2path.0123456789abcdef";
    ssize_t length;

    (void)path;
    /* The kernel ends every name. */
    length = size > sizeof(name) ? disk_text(name, target, size - 1) : -1;
    if (length >= 0)
        target[length++] = '\0';
    return length;
}

static ssize_t
disk_lgetxattr(const char *path, const char *name, void *target, size_t size)
{
    (void)path;
    (void)name;
    return disk_text(GFID "/", target, size);
}

#define lstat disk_lstat
#define readlink disk_readlink
#define llistxattr disk_llistxattr
#define lgetxattr disk_lgetxattr
#include "handle.c"
#undef lstat
#undef readlink
#undef llistxattr
#undef lgetxattr

static void
fuzz_handle(void)
{
    static const uint8_t gfid[16] = {1};
    size_t size = 1 + byte() * 20UL;
    char *buffer = malloc(size);
    const char *path = glupy_handle_path("/brick", gfid, buffer, size);

    REQUIRE(!path || (path[0] == '/' && path >= buffer && path + strlen(path) < buffer + size));
    free(buffer);
}

/* Options of a volume, instead of those of a dictionary. */
static int
option_get(dict_t *dict, const char *key, char **value)
{
    static char texts[8][2048]; /* of the dictionary, which outlives the reading */
    static unsigned int next;

    (void)dict;
    (void)key;
    if (byte() % 2)
        return -1;
    *value = texts[next++ % 8];
    text(*value, sizeof(texts[0]) - 1);
    return 0;
}

static int
no_log(const char *domain, const char *file, const char *function, int32_t line,
       gf_loglevel_t level, const char *format, ...)
{
    (void)domain, (void)file, (void)function, (void)line, (void)level, (void)format;
    return 0;
}

#define dict_get_str option_get
#define _gf_log no_log
#include "options.c"
#undef dict_get_str
#undef _gf_log

static void
fuzz_options(void)
{
    static xlator_t xlator = {.name = "fuzz"};
    struct glupy_options options = {0};

    glupy_usual_options(&options);
    glupy_read_options(&xlator, NULL, &options);
    REQUIRE(options.client_detail <= GLUPY_CLIENT_DETAIL_PROCESS);
    REQUIRE(options.file_slots >= GLUPY_FILE_SLOTS_MIN);
    REQUIRE(options.file_slots <= GLUPY_FILE_SLOTS_MAX);
    REQUIRE((options.file_slots & (options.file_slots - 1)) == 0);
    REQUIRE(options.client_slots <= GLUPY_CLIENT_SLOTS_MAX);
    REQUIRE(options.half_life <= GLUPY_HALF_LIFE_MAX);
    REQUIRE(options.segment_dir[0] == '/' && options.segment_dir[1]);
    free(options.segment_dir);
}

#define FILES 256
#define SLOTS 16
#define FLIGHTS 64

/* A fop that is under way. */
struct flight {
    uint8_t file;
    struct glupy_place place;
};

struct model {
    uint64_t done[FILES];
    struct flight flights[FLIGHTS];
    uint32_t under_way;
};

/* Every other file has a gfid with the tag of the file before it. */
static const uint8_t *
gfid_of(uint8_t file)
{
    static uint64_t words[2];
    uint64_t before = (uint64_t)(file & ~1U) | 0x100;

    words[0] = (uint64_t)file | 0x100;
    words[1] = file % 2 ? glupy_mix(16 ^ words[0]) ^ glupy_mix(16 ^ before) : 0;
    return (const uint8_t *)words;
}

static uint64_t
key_of(const struct glupy_segment *segment, uint8_t file)
{
    return glupy_file_key(segment, gfid_of(file));
}

/* Starts a fop, or ends one whose file may have lost its slot. */
static void
fly(struct glupy_segment *segment, struct model *model, uint8_t file,
    const struct glupy_outcome *outcome, bool land)
{
    struct flight *flight;
    uint32_t slot;

    if (!land && model->under_way < FLIGHTS) {
        flight = &model->flights[model->under_way++];
        flight->file = file;
        flight->place =
            glupy_file_place(segment, key_of(segment, file), gfid_of(file), 1, outcome->now);
    } else if (model->under_way) {
        flight = &model->flights[byte() % model->under_way];
        model->done[flight->file]++;
        slot = flight->place.slot;
        if (slot != GLUPY_NO_SLOT && !glupy_holds(&segment->files, flight->place))
            slot = glupy_return(&segment->files, key_of(segment, flight->file));
        if (slot != GLUPY_NO_SLOT)
            glupy_count(&segment->files, slot, outcome);
        *flight = model->flights[--model->under_way];
    }
}

static void
act(struct glupy_segment *segment, struct model *model)
{
    struct glupy_outcome outcome = {.kind = byte() % GLUPY_KINDS, .now = 1};
    uint8_t file = byte();
    struct glupy_peer peer = {.process = byte() % 4};
    struct glupy_place place;
    uint32_t slot;
    char path[2048];

    switch (byte() % 8) {
        case 0:
            peer.length = text(path, sizeof(path) - 1);
            peer.address = path;
            place = glupy_client_place(segment, &peer, 1);
            REQUIRE(place.slot == GLUPY_NO_SLOT || place.slot < SLOTS);
            break;
        case 1:
            text(path, sizeof(path) - 1);
            slot = glupy_table_find(&segment->files, key_of(segment, file));
            if (slot != GLUPY_NO_SLOT)
                glupy_segment_set_path(segment, slot, segment->files.seqs[slot],
                                       byte() % 8 ? path : NULL);
            break;
        case 2:
            glupy_table_decay(&segment->files, glupy_decay_share(1 + byte() * 16U));
            break;
        case 3:
            outcome.bytes = (uint64_t)byte() << byte() % 64;
            outcome.ns = (uint64_t)byte() << byte() % 64;
            __attribute__((fallthrough));
        default:
            fly(segment, model, file, &outcome, byte() % 2);
    }
}

/* No count may be higher than what was done, or lack more than its bound says. The sum from which
 * the sketch's mean comes has to be that of its cells. */
static void
check(const struct glupy_segment *segment, const struct model *model)
{
    const struct glupy_counters *file;
    uint64_t counted, tracked = 0, cells = 0;
    uint32_t slot, number, cell;

    for (slot = 0; slot < SLOTS; slot++) {
        tracked += segment->files.tags[slot] != 0;
        REQUIRE(segment->files.seqs[slot] % 2 == 0);
        REQUIRE(segment->files_names[slot].path_length <= GLUPY_PATH_SIZE);
        REQUIRE(segment->clients_names[slot].length <= GLUPY_CLIENT_SIZE);
    }
    REQUIRE(tracked == segment->files_health->tracked);
    for (cell = 0; cell < segment->files.width * GLUPY_SKETCH_ROWS; cell++)
        cells += segment->files.recent[cell];
    REQUIRE(cells == segment->files.recent_sum);
    for (number = 0; number < FILES; number++) {
        slot = glupy_table_find(&segment->files, key_of(segment, (uint8_t)number));
        if (slot == GLUPY_NO_SLOT)
            continue;
        file = &segment->files.counters[slot];
        REQUIRE(memcmp(segment->files_names[slot].gfid, gfid_of((uint8_t)number), 16) == 0);
        counted = file->fops[0] + file->fops[1] + file->fops[2];
        REQUIRE(counted <= model->done[number]);
        REQUIRE(model->done[number] <= counted + file->error_bound);
    }
}

static void
fuzz_table(void)
{
    char brick[2048] = "/";
    struct glupy_segment_options options = segment_options("/dev/shm/glupy-fuzz");
    struct glupy_segment *segment, *retired = NULL;
    struct model model;
    char error[512];
    const char *name;

    text(brick + 1, GLUPY_PATH_SIZE);
    options.brick = brick;
    options.file_slots = options.client_slots = SLOTS;
    options.slow_records = options.trace_records = GLUPY_RECORDS_MIN;
    options.flights = GLUPY_FLIGHTS_MIN;
    options.held_locks = GLUPY_HELD_LOCKS_MIN;
    options.half_life = 60;
    do {
        memset(&model, 0, sizeof(model));
        segment = glupy_segment_create(&options, &retired, error, sizeof(error));
        REQUIRE(segment && !retired);
        /* Not at random, so that a find can be run again. */
        fix_seed(&segment->files.seed);
        fix_seed(&segment->clients.seed);
        REQUIRE(glupy_segment_file_publish(&segment->file, (gid_t)-1, error, sizeof(error)) == 0);
        REQUIRE(glupy_segment_name(segment) == GLUPY_NAME_OURS);
        name = strrchr(segment->file.path, '/') + 1;
        REQUIRE(strlen(name) <= NAME_MAX && strcmp(name + strlen(name) - 4, ".seg") == 0);
        while (left && byte() != 255)
            act(segment, &model);
        check(segment, &model);
        glupy_segment_retire(segment);
        retired = segment;
    } while (left);
    glupy_segment_free(retired);
}

static void
fuzz_shard(void)
{
    char name[256];
    uint8_t base[16];

    text(name, sizeof(name) - 1);
    if (glupy_shard_base(name, base))
        REQUIRE(strlen(name) > 37 && name[36] == '.');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(void) = {fuzz_table, fuzz_handle, fuzz_options, fuzz_shard};

    input = data;
    left = size;
    targets[byte() % (sizeof(targets) / sizeof(*targets))]();
    return 0;
}
