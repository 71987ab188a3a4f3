/*
 * Fuzzes what the translator does with what others choose: gfids, paths, addresses and the order of
 * fops; segments that are made anew; paths of bricks; links and attributes on the brick's disk;
 * names of shards; values of options. The first byte says which.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "glupy.h"

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

/* What the disk says, in place of the system calls of handle.c. */
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

/* The options that a volume has, in place of a dictionary and the log. */
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
    struct glupy_options options = {.segment_dir = strdup(GLUPY_SEGMENT_DIR), .file_slots = 64};

    glupy_read_options(&xlator, NULL, &options);
    REQUIRE(options.file_slots >= GLUPY_FILE_SLOTS_MIN || options.file_slots == 64);
    REQUIRE(options.file_slots <= GLUPY_FILE_SLOTS_MAX);
    REQUIRE((options.file_slots & (options.file_slots - 1)) == 0);
    REQUIRE(options.client_slots <= GLUPY_CLIENT_SLOTS_MAX);
    REQUIRE(options.half_life <= GLUPY_HALF_LIFE_MAX);
    REQUIRE(options.segment_dir[0] == '/' && options.segment_dir[1]);
    free(options.segment_dir);
}

#define KEYS 256
#define SLOTS 16

static void
act(struct glupy_segment *segment, uint64_t done[KEYS])
{
    struct glupy_outcome outcome = {.kind = byte() % GLUPY_KINDS, .now = 1};
    uint8_t key = byte(), gfid[16] = {key, 1};
    struct glupy_peer peer = {.process = byte() % 4};
    struct glupy_place file, client;
    char path[2048];

    switch (byte() % 8) {
        case 0:
            peer.length = text(path, sizeof(path) - 1);
            peer.address = path;
            client = glupy_client_place(segment, &peer, 1);
            REQUIRE(client.slot == GLUPY_NO_SLOT || client.slot < SLOTS);
            break;
        case 1:
            text(path, sizeof(path) - 1);
            file.slot = glupy_table_find(&segment->files, glupy_hash(gfid, sizeof(gfid)));
            if (file.slot != GLUPY_NO_SLOT)
                glupy_segment_set_path(segment, file.slot, segment->files.seqs[file.slot],
                                       byte() % 8 ? path : NULL);
            break;
        case 2:
            glupy_table_decay(&segment->files, glupy_decay_share(1 + byte()));
            break;
        case 3:
            outcome.bytes = (uint64_t)byte() << byte() % 64;
            outcome.ns = (uint64_t)byte() << byte() % 64;
            __attribute__((fallthrough));
        default:
            file = glupy_file_place(segment, gfid, 1, 1);
            done[key]++;
            if (file.slot != GLUPY_NO_SLOT)
                glupy_count_file(segment, file.slot, &outcome);
    }
}

/* No count may be more than what was done, and none may lack more than its bound says. */
static void
check(const struct glupy_segment *segment, const uint64_t done[KEYS])
{
    const struct glupy_file_counters *file;
    uint64_t counted, tracked = 0;
    uint32_t slot, key;

    for (slot = 0; slot < SLOTS; slot++) {
        tracked += segment->files.tags[slot] != 0;
        REQUIRE(segment->files.seqs[slot] % 2 == 0);
        REQUIRE(segment->file_names[slot].path_length <= GLUPY_PATH_SIZE);
        REQUIRE(segment->client_names[slot].length <= GLUPY_CLIENT_SIZE);
    }
    REQUIRE(tracked == segment->header->files_tracked);
    for (key = 0; key < KEYS; key++) {
        slot = glupy_table_find(&segment->files, glupy_hash((uint8_t[16]){(uint8_t)key, 1}, 16));
        if (slot == GLUPY_NO_SLOT)
            continue;
        file = &segment->file_counters[slot];
        REQUIRE(segment->file_names[slot].gfid[0] == key);
        counted = file->fops[0] + file->fops[1] + file->fops[2];
        REQUIRE(counted <= done[key] && done[key] <= counted + file->error_bound);
    }
}

static void
fuzz_table(void)
{
    static const char *const names[] = {"read"};
    char brick[2048] = "/";
    const struct glupy_segment_options options = {
        .directory = "/dev/shm/glupy-fuzz",
        .volume = "fuzz",
        .brick = brick,
        .host = "h",
        .glusterfs_version = "none",
        .fop_names = names,
        .fop_count = 1,
        .file_slots = SLOTS,
        .client_slots = SLOTS,
        .half_life = 60,
    };
    struct glupy_segment *segment, *retired = NULL;
    uint64_t done[KEYS];
    char error[512];
    const char *name;

    text(brick + 1, GLUPY_PATH_SIZE);
    do {
        memset(done, 0, sizeof(done));
        segment = glupy_segment_create(&options, &retired, error, sizeof(error));
        REQUIRE(segment && !retired);
        REQUIRE(glupy_segment_publish(segment, (gid_t)-1, error, sizeof(error)) == 0);
        REQUIRE(glupy_segment_name(segment) == GLUPY_NAME_OURS);
        name = strrchr(segment->path, '/') + 1;
        REQUIRE(strlen(name) <= NAME_MAX && strcmp(name + strlen(name) - 4, ".seg") == 0);
        while (left && byte() != 255)
            act(segment, done);
        check(segment, done);
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
