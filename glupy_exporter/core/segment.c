#include "counting.h"
#include "sigbus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750
#define DIRECTORY_FRESH 01700 /* nobody gives a directory such a mode by accident */
#define FRESH_BITS 05777      /* setgid comes from the directory above */
#define FILE_MODE 0640
#define SUFFIX ".seg"
#define HASHED_SUFFIX_LENGTH 21 /* a dot, 16 hexadecimal digits, SUFFIX */
/* What is left to others on the file system, most often /run: systemd does not load a unit with
 * less than 16 MiB there, and a program that finds no room at all fails. */
#define RESERVE (24UL << 20)
#define CLOCK_STEP 1000000000L /* nanoseconds; a lesser step is not worth another time of birth */

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000UL + (uint64_t)now.tv_nsec;
}

uint64_t
glupy_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void
glupy_segment_follow_clock(struct glupy_segment *segment)
{
    struct glupy_header *header = segment->header;
    uint64_t age = glupy_monotonic_ns() - header->created_monotonic;
    uint64_t created = clock_ns(CLOCK_REALTIME) - age;

    if (llabs((int64_t)(created - glupy_load(&header->created_realtime))) > CLOCK_STEP)
        glupy_store(&header->created_realtime, created);
}

static void __attribute__((format(printf, 3, 4)))
explain(char *error, size_t size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, size, format, arguments);
    va_end(arguments);
}

/* The first line of a small file under /proc, without its newline; empty if unreadable. */
static void
read_line(const char *path, char *line, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);

    if (fd >= 0)
        close(fd);
    line[got > 0 ? got : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

/* Field 22 of /proc/PID/stat; the second field may hold blanks, so count from its closing
 * parenthesis (proc(5)). */
static uint64_t
process_start(void)
{
    char line[1024];
    char *field;
    int number;

    read_line("/proc/self/stat", line, sizeof(line));
    field = strrchr(line, ')');
    for (number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
}

static uint32_t
lane_count(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    uint32_t lanes = 1;

    while (lanes < cpus && lanes < GLUPY_LANES_MAX)
        lanes *= 2;
    return lanes;
}

/* How a segment begins. */
struct beginning {
    struct glupy_header header;
    struct glupy_entry directory[GLUPY_TABLE_COUNT];
};

static uint64_t
next_line(uint64_t end)
{
    return (end + GLUPY_CACHE_LINE - 1) / GLUPY_CACHE_LINE * GLUPY_CACHE_LINE;
}

static void
plan(struct beginning *plan, const struct glupy_shape *shape)
{
    const struct glupy_entry entries[] = {
#define ENTRY(table, type, elements) \
    {.name = #table, .element_size = sizeof(type), .count = (uint32_t)(elements)},
        GLUPY_TABLES(ENTRY)
#undef ENTRY
    };
    uint64_t end = sizeof(*plan);
    uint32_t table;

    memcpy(plan->directory, entries, sizeof(entries));
    for (table = 0; table < GLUPY_TABLE_COUNT; table++) {
        plan->directory[table].offset = next_line(end);
        end = plan->directory[table].offset +
              (uint64_t)entries[table].element_size * entries[table].count;
    }
    plan->header.magic = GLUPY_MAGIC;
    plan->header.version = GLUPY_VERSION;
    plan->header.header_size = sizeof(plan->header);
    plan->header.directory_offset = offsetof(struct beginning, directory);
    plan->header.table_count = GLUPY_TABLE_COUNT;
    plan->header.entry_size = sizeof(plan->directory[0]);
    plan->header.total_size = next_line(end);
}

static void
describe(struct glupy_header *header, const struct glupy_segment_options *options)
{
    header->pid = getpid();
    header->subvolume = options->subvolume;
    header->process_start = process_start();
    header->created_realtime = clock_ns(CLOCK_REALTIME);
    header->created_monotonic = glupy_monotonic_ns();
    read_line("/proc/sys/kernel/random/boot_id", header->boot_id, sizeof(header->boot_id));
    snprintf(header->glusterfs_version, sizeof(header->glusterfs_version), "%s",
             options->glusterfs_version);
    snprintf(header->xlator_version, sizeof(header->xlator_version), "%s", GLUPY_XLATOR_VERSION);
    snprintf(header->volume, sizeof(header->volume), "%s", options->volume);
    snprintf(header->host, sizeof(header->host), "%s", options->host);
    snprintf(header->brick, sizeof(header->brick), "%s", options->brick);
}

/* Finds the tables in the mapping. */
static void
locate(struct glupy_segment *segment, const struct glupy_entry *entry)
{
    char *base = (char *)segment->header;

#define LOCATE(table, type, elements) segment->table = (type *)(base + (entry++)->offset);
    GLUPY_TABLES(LOCATE)
#undef LOCATE
    segment->files.health = segment->files_health;
    segment->files.tags = segment->files_tags;
    segment->files.seqs = segment->files_seqs;
    segment->files.counters = segment->files_counters;
    segment->clients.health = segment->clients_health;
    segment->clients.tags = segment->clients_tags;
    segment->clients.seqs = segment->clients_seqs;
    segment->clients.counters = segment->clients_counters;
}

/* Writes what a new segment has in its tables. */
static void
fill(struct glupy_segment *segment, const struct glupy_segment_options *options)
{
    uint32_t fop;

    for (fop = 0; fop < options->fop_count; fop++)
        if (options->fop_names[fop])
            snprintf(segment->fop_names[fop].text, GLUPY_NAME_SIZE, "%s", options->fop_names[fop]);
    segment->numbers->volume_bricks = options->volume_bricks;
    segment->numbers->heartbeat = segment->header->created_monotonic;
    segment->numbers->enabled = options->enabled;
    segment->numbers->half_life = options->half_life;
}

/* The directory of segments, open; it is made, and its parent if that is missing too (/run/gluster
 * goes away with every reboot). Others may write to the parent, as group gluster may to
 * /run/gluster, and take this name away at any moment: nothing is done to the name but to make and
 * to open it, and only a directory that nobody else could have filled is taken. */
static int
open_directory(const char *path)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const char *name = strrchr(path, '/') + 1;
    char parent_path[PATH_MAX];
    struct stat status;
    int parent, fd, saved;

    snprintf(parent_path, sizeof(parent_path), "%.*s", (int)(name - path), path);
    if (mkdir(parent_path, 0755) < 0 && errno != EEXIST)
        return -1;
    parent = open(parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -1;
    fd = openat(parent, name, flags);
    if (fd < 0 && errno == ENOENT &&
        (mkdirat(parent, name, DIRECTORY_FRESH) == 0 || errno == EEXIST))
        fd = openat(parent, name, flags);
    saved = errno;
    close(parent);
    errno = saved;
    if (fd >= 0 && (fstat(fd, &status) < 0 || status.st_uid != geteuid() ||
                    (status.st_mode & (S_IWGRP | S_IWOTH)))) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

/* Lets readers into a directory that was made for segments. Any other one, and that is one without
 * the mark of a fresh one, keeps its owner and mode. */
static int
hand_over(int directory, gid_t group)
{
    struct stat status;

    if (fstat(directory, &status) < 0)
        return -1;
    if (group == (gid_t)-1 || (status.st_mode & FRESH_BITS) != DIRECTORY_FRESH)
        return 0;
    /* The umask of a brick must not decide who reads. */
    return fchown(directory, -1, group) < 0 ? -1 : fchmod(directory, DIRECTORY_MODE);
}

/* FNV-1a (Fowler, Noll, Vo), as segment/naming.py has it. */
static uint64_t
name_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325UL;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3UL;
    return hash;
}

/* The two names that the segment may have. Slashes of the brick's path become dashes, so that two
 * bricks of a volume may have the same plain name, and a long path may have none. */
static void
make_names(struct glupy_segment *segment, const struct glupy_segment_options *options)
{
    const char *path = options->brick + strspn(options->brick, "/");
    const int room = NAME_MAX - (int)strlen(SUFFIX), hashed_room = NAME_MAX - HASHED_SUFFIX_LENGTH;
    char stem[NAME_MAX + 1], *slash;
    int length = snprintf(stem, sizeof(stem), "%s.%s", options->volume, path);

    for (slash = stem; (slash = strchr(slash, '/'));)
        *slash = '-';
    snprintf(segment->plain_name, sizeof(stem), "%.*s" SUFFIX, room, stem);
    if (length > room)
        segment->plain_name[0] = '\0';
    snprintf(segment->hashed_name, sizeof(stem), "%.*s.%016" PRIx64 SUFFIX, hashed_room, stem,
             name_hash(options->brick));
}

/* Whether the name leads to the segment of another brick, which may have ended. */
static bool
names_another(const struct glupy_segment *segment, const char *name)
{
    int fd = openat(segment->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct glupy_header theirs;
    bool whole = fd >= 0 && pread(fd, &theirs, sizeof(theirs), 0) == sizeof(theirs);

    if (fd >= 0)
        close(fd);
    return whole && theirs.magic == GLUPY_MAGIC &&
           strncmp(theirs.brick, segment->brick, sizeof(theirs.brick)) != 0;
}

static int
lock_file(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

/* Whether the file system has room for so much and the reserve. */
static bool
has_room(int fd, uint64_t size)
{
    struct statvfs status;

    if (fstatvfs(fd, &status) < 0)
        return false;
    errno = ENOSPC;
    return (uint64_t)status.f_bavail * status.f_frsize >= size + RESERVE;
}

/* An open, sized, locked file under a temporary name. All its blocks are allocated now: a mapped
 * page that a full file system cannot back would raise SIGBUS in the brick. */
static int
open_temporary(const struct glupy_segment *segment, uint64_t size, const char **step)
{
    int fd = openat(segment->directory, segment->name,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed;

    *step = "create";
    if (fd < 0)
        return -1;
    *step = "leave 24 MiB of the file system free beside";
    if (!has_room(fd, size))
        goto fail;
    *step = "reserve space for";
    failed = posix_fallocate(fd, 0, (off_t)size);
    if (failed) {
        errno = failed;
        goto fail;
    }
    /* Many bricks may have looked for room at once. */
    *step = "leave 24 MiB of the file system free beside";
    if (!has_room(fd, 0))
        goto fail;
    *step = "lock";
    if (lock_file(fd) < 0)
        goto fail;
    return fd;
fail:
    failed = errno;
    unlinkat(segment->directory, segment->name, 0);
    close(fd);
    errno = failed;
    return -1;
}

/* The kernel gives memory for the pages that are used; calloc might zero all of it. */
static struct glupy_seat *
make_seats(void)
{
    void *seats = mmap(NULL, GLUPY_SEATS * sizeof(struct glupy_seat), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return seats == MAP_FAILED ? NULL : seats;
}

static void
close_files(struct glupy_segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    if (segment->directory >= 0)
        close(segment->directory);
    segment->fd = segment->directory = -1;
    segment->named = false;
    free(segment->path);
    segment->path = NULL;
}

static void
free_private(struct glupy_segment *segment)
{
    glupy_table_free(&segment->files);
    glupy_table_free(&segment->clients);
    free(segment->aliases.slots);
    free(segment->names_due);
    if (segment->seats)
        munmap(segment->seats, GLUPY_SEATS * sizeof(*segment->seats));
    free(segment->brick);
    free(segment);
}

/* The private memory of a segment, and the place of its mapping. */
static struct glupy_segment *
make_private(const struct glupy_segment_options *options, uint64_t size)
{
    struct glupy_segment *segment = calloc(1, sizeof(*segment));

    if (!segment)
        return NULL;
    segment->fd = segment->directory = -1;
    segment->size = size;
    segment->seats = make_seats();
    segment->aliases.slots = calloc(GLUPY_ALIASES, sizeof(*segment->aliases.slots));
    segment->names_due = calloc(options->file_slots, sizeof(*segment->names_due));
    segment->brick = strdup(options->brick);
    if (!segment->seats || !segment->names_due || !segment->aliases.slots || !segment->brick ||
        !glupy_table_make(&segment->files, options->file_slots) ||
        !glupy_table_make(&segment->clients, options->client_slots))
        goto fail;
    segment->header = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (segment->header == MAP_FAILED)
        goto fail;
    if (!glupy_sigbus_cover(segment->header, size)) {
        munmap(segment->header, size);
        errno = ENOBUFS;
        goto fail;
    }
    return segment;
fail:
    free_private(segment);
    return NULL;
}

/* Takes a segment of the right shape out of those that are retired. A fop may be late by any time
 * and still write to the one that it found in use: memory of the same shape takes that without
 * harm, but for a count too many. */
static struct glupy_segment *
take_retired(struct glupy_segment **retired, const struct glupy_segment_options *options,
             uint64_t size)
{
    struct glupy_segment *segment;

    for (; (segment = *retired); retired = &segment->next)
        if (!segment->looked_after && segment->size == size &&
            segment->files.sets == options->file_slots / GLUPY_WAYS)
            break;
    if (!segment)
        return NULL;
    *retired = segment->next;
    segment->next = NULL;
    glupy_table_clear(&segment->files);
    glupy_table_clear(&segment->clients);
    /* This makes zeros of them. */
    madvise(segment->seats, GLUPY_SEATS * sizeof(*segment->seats), MADV_DONTNEED);
    memset(segment->names_due, 0, options->file_slots * sizeof(*segment->names_due));
    return segment;
}

/* Puts a mapping in the place of another, so that at no time there is nothing. */
static bool
move_mapping(void *mapping, void *place, size_t size)
{
    if (mapping == MAP_FAILED)
        return false;
    if (mremap(mapping, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) != MAP_FAILED)
        return true;
    munmap(mapping, size);
    return false;
}

/* Makes the file and maps it. Returns NULL, or what could not be done. */
static const char *
open_file(struct glupy_segment *segment, const struct beginning *beginning)
{
    const char *step;
    struct stat status;

    segment->fd = open_temporary(segment, segment->size, &step);
    if (segment->fd < 0)
        return step;
    if (fstat(segment->fd, &status) < 0)
        return "look at";
    segment->device = status.st_dev;
    segment->inode = status.st_ino;
    if (pwrite(segment->fd, beginning, sizeof(*beginning), 0) != sizeof(*beginning))
        return "write";
    if (!move_mapping(mmap(NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd, 0),
                      segment->header, segment->size))
        return "map";
    return NULL;
}

struct glupy_segment *
glupy_segment_create(const struct glupy_segment_options *options, struct glupy_segment **retired,
                     char *error, size_t error_size)
{
    int directory = open_directory(options->directory), failed = errno;
    struct glupy_shape shape = {.lanes = lane_count(),
                                .fops = options->fop_count,
                                .files = options->file_slots,
                                .clients = options->client_slots};
    struct beginning beginning = {0};
    struct glupy_segment *segment;
    const char *step;

    if (directory < 0) {
        explain(error, error_size, "cannot use directory %s: %s", options->directory,
                failed == EPERM ? "it belongs to another user, or others may write to it"
                                : strerror(failed));
        return NULL;
    }
    plan(&beginning, &shape);
    describe(&beginning.header, options);
    segment = take_retired(retired, options, beginning.header.total_size);
    if (!segment)
        segment = make_private(options, beginning.header.total_size);
    if (!segment) {
        explain(error, error_size, "cannot make a segment: %s",
                errno == ENOBUFS ? "too many in one process" : strerror(errno));
        close(directory);
        return NULL;
    }
    segment->directory = directory;
    segment->client_processes = options->client_processes;
    make_names(segment, options);
    /* The address makes the name unique among translators in one process. */
    snprintf(segment->name, sizeof(segment->name), ".%d.%p", getpid(), (void *)segment);
    step = asprintf(&segment->path, "%s/%s", options->directory, segment->name) < 0
               ? "name"
               : open_file(segment, &beginning);
    if (step) {
        explain(error, error_size, "cannot %s segment %s/%s: %s", step, options->directory,
                segment->plain_name[0] ? segment->plain_name : segment->hashed_name,
                strerror(errno));
        glupy_segment_retire(segment);
        segment->next = *retired;
        *retired = segment;
        return NULL;
    }
    segment->fop_count = options->fop_count;
    segment->lane_mask = (uint32_t)shape.lanes - 1;
    locate(segment, beginning.directory);
    fill(segment, options);
    return segment;
}

int
glupy_segment_publish(struct glupy_segment *segment, gid_t group, char *error, size_t error_size)
{
    bool hashed = !segment->plain_name[0] || names_another(segment, segment->plain_name);
    const char *name = hashed ? segment->hashed_name : segment->plain_name;
    size_t directory = (size_t)(strrchr(segment->path, '/') - segment->path);
    char *path;

    if (asprintf(&path, "%.*s/%s", (int)directory, segment->path, name) < 0) {
        explain(error, error_size, "out of memory");
        return -1;
    }
    if ((group != (gid_t)-1 && fchown(segment->fd, -1, group) < 0) ||
        fchmod(segment->fd, FILE_MODE) < 0 || hand_over(segment->directory, group) < 0 ||
        renameat(segment->directory, segment->name, segment->directory, name) < 0) {
        explain(error, error_size, "cannot publish segment %s: %s", path, strerror(errno));
        free(path);
        return -1;
    }
    /* Of a time when the plain name was another brick's. */
    if (!hashed)
        unlinkat(segment->directory, segment->hashed_name, 0);
    snprintf(segment->name, sizeof(segment->name), "%s", name);
    free(segment->path);
    segment->path = path;
    segment->named = true;
    return 0;
}

/* Whether the file holds what is counted. A file that was truncated may have been extended again;
 * then memory is the guard's, and its heartbeat another than the file's. */
static bool
backed(const struct glupy_segment *segment, off_t file_size)
{
    uint64_t heartbeat;

    return file_size >= (off_t)segment->size &&
           pread(segment->fd, &heartbeat, sizeof(heartbeat),
                 (char *)&segment->numbers->heartbeat - (char *)segment->header) ==
               sizeof(heartbeat) &&
           heartbeat == glupy_load(&segment->numbers->heartbeat);
}

static bool
is_ours(const struct glupy_segment *segment, const struct stat *status)
{
    return status->st_dev == segment->device && status->st_ino == segment->inode;
}

/* Whether the file is in its directory under its name, wherever the directory's own name leads. */
static bool
in_directory(const struct glupy_segment *segment)
{
    struct stat status;

    return fstatat(segment->directory, segment->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_ours(segment, &status);
}

enum glupy_segment_name
glupy_segment_name(const struct glupy_segment *segment)
{
    struct stat status;

    if (!segment->named || lstat(segment->path, &status) < 0)
        return GLUPY_NAME_GONE;
    if (is_ours(segment, &status))
        return backed(segment, status.st_size) ? GLUPY_NAME_OURS : GLUPY_NAME_CUT;
    if (in_directory(segment) || names_another(segment, segment->name))
        return GLUPY_NAME_GONE;
    return GLUPY_NAME_OTHERS;
}

void
glupy_segment_retire(struct glupy_segment *segment)
{
    if (segment->fd >= 0 && in_directory(segment))
        unlinkat(segment->directory, segment->name, 0);
    /* If this cannot be made the file's pages stay until the segment is freed. */
    (void)move_mapping(mmap(NULL, segment->size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                       segment->header, segment->size);
    close_files(segment);
}

/* The length of `path` cut to what fits, between two characters. */
static size_t
fitting_length(const char *path, size_t length)
{
    if (length <= GLUPY_PATH_SIZE)
        return length;
    for (length = GLUPY_PATH_SIZE; length && ((unsigned char)path[length] & 0xc0) == 0x80; length--)
        ;
    return length;
}

void
glupy_segment_set_path(struct glupy_segment *segment, uint32_t slot, uint32_t seq, const char *path)
{
    struct glupy_file_name *name = &segment->files_names[slot];
    size_t length = path ? strlen(path) : name->path_length;
    size_t fitting = path ? fitting_length(path, length) : length;
    uint16_t flags = fitting < length ? GLUPY_FILE_PATH_TRUNCATED : 0;

    if (!path)
        flags = name->flags | GLUPY_FILE_UNLINKED;
    if (fitting == name->path_length && flags == name->flags &&
        (!path || memcmp(name->path, path, fitting) == 0))
        return;
    if (!glupy_name_lock(&segment->files, slot, seq))
        return;
    if (path)
        memcpy(name->path, path, fitting);
    name->path_length = fitting;
    name->flags = flags;
    glupy_name_unlock(&segment->files, slot);
}

void
glupy_segment_free(struct glupy_segment *segment)
{
    struct glupy_segment *next;

    for (; segment; segment = next) {
        next = segment->next;
        glupy_sigbus_uncover(segment->header, segment->size);
        munmap(segment->header, segment->size);
        close_files(segment);
        free_private(segment);
    }
}
