#include "counting.h"
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750
#define FILE_MODE 0640
#define CACHE_LINE 64UL

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
shard_count(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    uint32_t shards = 1;

    while (shards < cpus && shards < GLUPY_SHARDS_MAX)
        shards *= 2;
    return shards;
}

static uint64_t
place(uint64_t *end, uint64_t size)
{
    uint64_t offset = *end;

    *end = (offset + size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return offset;
}

static void
plan(struct glupy_header *header, const struct glupy_segment_options *options)
{
    uint64_t end = GLUPY_HEADER_SIZE;
    uint64_t fops = options->fop_count, files = options->file_slots;
    uint64_t clients = options->client_slots, shards = shard_count();

    header->fop_count = fops;
    header->shard_count = shards;
    header->file_slots = files;
    header->client_slots = clients;
    header->names_offset = place(&end, fops * GLUPY_NAME_SIZE);
    header->cells_offset = place(&end, shards * fops * sizeof(struct glupy_fop_cell));
    header->io_offset = place(&end, shards * GLUPY_DIRECTIONS * sizeof(struct glupy_io_cell));
    header->errors_offset = place(&end, fops * GLUPY_ERRNO_SLOTS * sizeof(uint64_t));
    header->internal_offset = place(&end, GLUPY_ORIGINS * sizeof(struct glupy_internal_counters));
    header->file_tags_offset = place(&end, files * sizeof(uint64_t));
    header->file_seqs_offset = place(&end, files * sizeof(uint32_t));
    header->file_counters_offset = place(&end, files * sizeof(struct glupy_file_counters));
    header->file_names_offset = place(&end, files * sizeof(struct glupy_file_name));
    header->client_tags_offset = place(&end, clients * sizeof(uint64_t));
    header->client_seqs_offset = place(&end, clients * sizeof(uint32_t));
    header->client_counters_offset = place(&end, clients * sizeof(struct glupy_client_counters));
    header->client_names_offset = place(&end, clients * sizeof(struct glupy_client_name));
    header->total_size = end;
}

static void
describe(struct glupy_header *header, const struct glupy_segment_options *options)
{
    header->magic = GLUPY_MAGIC;
    header->version = GLUPY_VERSION;
    header->header_size = GLUPY_HEADER_SIZE;
    header->pid = getpid();
    header->subvolume = options->subvolume;
    header->process_start = process_start();
    header->created_realtime = clock_ns(CLOCK_REALTIME);
    header->created_monotonic = glupy_monotonic_ns();
    header->heartbeat = header->created_monotonic;
    header->enabled = options->enabled;
    header->half_life = options->half_life;
    header->volume_bricks = options->volume_bricks;
    read_line("/proc/sys/kernel/random/boot_id", header->boot_id, sizeof(header->boot_id));
    snprintf(header->glusterfs_version, sizeof(header->glusterfs_version), "%s",
             options->glusterfs_version);
    snprintf(header->xlator_version, sizeof(header->xlator_version), "%s", GLUPY_XLATOR_VERSION);
    snprintf(header->volume, sizeof(header->volume), "%s", options->volume);
    snprintf(header->host, sizeof(header->host), "%s", options->host);
    snprintf(header->brick, sizeof(header->brick), "%s", options->brick);
}

static void
locate(struct glupy_segment *segment, char *base, const struct glupy_header *plan)
{
    segment->header = (struct glupy_header *)base;
    segment->cells = (struct glupy_fop_cell *)(base + plan->cells_offset);
    segment->io = (struct glupy_io_cell *)(base + plan->io_offset);
    segment->errors = (uint64_t *)(base + plan->errors_offset);
    segment->internal = (struct glupy_internal_counters *)(base + plan->internal_offset);
    segment->file_counters = (struct glupy_file_counters *)(base + plan->file_counters_offset);
    segment->file_names = (struct glupy_file_name *)(base + plan->file_names_offset);
    segment->client_counters =
        (struct glupy_client_counters *)(base + plan->client_counters_offset);
    segment->client_names = (struct glupy_client_name *)(base + plan->client_names_offset);
    segment->files.tags = (uint64_t *)(base + plan->file_tags_offset);
    segment->files.seqs = (uint32_t *)(base + plan->file_seqs_offset);
    segment->files.counters = (uint64_t *)segment->file_counters;
    segment->files.tracked = &segment->header->files_tracked;
    segment->files.evicted = &segment->header->files_evicted;
    segment->clients.tags = (uint64_t *)(base + plan->client_tags_offset);
    segment->clients.seqs = (uint32_t *)(base + plan->client_seqs_offset);
    segment->clients.counters = (uint64_t *)segment->client_counters;
    segment->clients.tracked = &segment->header->clients_tracked;
    segment->clients.evicted = &segment->header->clients_evicted;
    segment->fop_count = plan->fop_count;
    segment->shard_mask = plan->shard_count - 1;
    segment->size = plan->total_size;
}

/* Makes the last component of the directory, and its parent if that is missing too (/run/gluster
 * goes away with every reboot). A directory that is there keeps its owner and mode. */
static int
make_directory(const char *directory, gid_t group)
{
    char parent[1024];
    char *slash;

    if (mkdir(directory, DIRECTORY_MODE) < 0) {
        if (errno != ENOENT)
            return errno == EEXIST ? 0 : -1;
        snprintf(parent, sizeof(parent), "%s", directory);
        slash = strrchr(parent, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(parent, 0755) < 0 || mkdir(directory, DIRECTORY_MODE) < 0)
            return errno == EEXIST ? 0 : -1;
    }
    /* The umask of a brick must not decide who reads. */
    if (chmod(directory, DIRECTORY_MODE) < 0)
        return -1;
    return group == (gid_t)-1 ? 0 : chown(directory, -1, group);
}

static char *
segment_path(const struct glupy_segment_options *options)
{
    const char *brick = options->brick + strspn(options->brick, "/");
    char *path, *cursor;

    if (asprintf(&path, "%s/%s.%s.seg", options->directory, options->volume, brick) < 0)
        return NULL;
    for (cursor = path + strlen(options->directory) + 1; *cursor; cursor++)
        if (*cursor == '/')
            *cursor = '-';
    return path;
}

static int
lock_file(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

/* An open, sized, locked file under a temporary name. All its blocks are allocated now: a mapped
 * page that a full file system cannot back would raise SIGBUS in the brick. */
static int
open_temporary(const char *temporary, uint64_t size, gid_t group, const char **step)
{
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed;

    *step = "create";
    if (fd < 0)
        return -1;
    *step = "reserve space for";
    failed = posix_fallocate(fd, 0, (off_t)size);
    if (failed) {
        errno = failed;
        goto fail;
    }
    *step = "lock";
    if (lock_file(fd) < 0)
        goto fail;
    *step = "set the owner of";
    if ((group != (gid_t)-1 && fchown(fd, -1, group) < 0) || fchmod(fd, FILE_MODE) < 0)
        goto fail;
    return fd;
fail:
    failed = errno;
    unlink(temporary);
    close(fd);
    errno = failed;
    return -1;
}

static void
free_private(struct glupy_segment *segment)
{
    glupy_table_free(&segment->files);
    glupy_table_free(&segment->clients);
    free(segment->aliases.slots);
    free(segment->names_due);
    free(segment->seats);
    free(segment->path);
    free(segment);
}

struct glupy_segment *
glupy_segment_create(const struct glupy_segment_options *options, char *error, size_t error_size)
{
    struct glupy_segment *segment = calloc(1, sizeof(*segment));
    struct glupy_header header = {0};
    gid_t group = options->group;
    const char *step = "map";
    char *temporary = NULL;
    char *base = MAP_FAILED;
    struct stat status;
    uint32_t fop;

    if (!segment) {
        explain(error, error_size, "out of memory");
        return NULL;
    }
    segment->fd = -1;
    segment->client_processes = options->client_processes;
    segment->path = segment_path(options);
    segment->seats = calloc(GLUPY_SEATS, sizeof(*segment->seats));
    segment->aliases.slots = calloc(GLUPY_ALIASES, sizeof(*segment->aliases.slots));
    segment->names_due = calloc(options->file_slots, sizeof(*segment->names_due));
    /* The address makes the name unique among translators in one process. */
    if (!segment->path || !segment->seats || !segment->names_due || !segment->aliases.slots ||
        !glupy_table_make(&segment->files, options->file_slots) ||
        !glupy_table_make(&segment->clients, options->client_slots) ||
        asprintf(&temporary, "%s.%d.%p", segment->path, getpid(), (void *)segment) < 0) {
        explain(error, error_size, "out of memory");
        temporary = NULL;
        goto fail;
    }
    if (make_directory(options->directory, group) < 0) {
        explain(error, error_size, "cannot make directory %s: %s", options->directory,
                strerror(errno));
        goto fail;
    }
    plan(&header, options);
    describe(&header, options);
    segment->fd = open_temporary(temporary, header.total_size, group, &step);
    if (segment->fd >= 0)
        base = mmap(NULL, header.total_size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd, 0);
    if (base == MAP_FAILED) {
        explain(error, error_size, "cannot %s segment %s: %s", step, segment->path,
                strerror(errno));
        goto fail;
    }
    if (!glupy_guard(base, header.total_size)) {
        explain(error, error_size, "too many segments in one process");
        goto fail;
    }
    locate(segment, base, &header);
    memcpy(base, &header, sizeof(header));
    for (fop = 0; fop < options->fop_count; fop++)
        if (options->fop_names[fop])
            snprintf(base + header.names_offset + fop * GLUPY_NAME_SIZE, GLUPY_NAME_SIZE, "%s",
                     options->fop_names[fop]);
    if (fstat(segment->fd, &status) < 0 || rename(temporary, segment->path) < 0) {
        explain(error, error_size, "cannot publish segment %s: %s", segment->path, strerror(errno));
        goto fail;
    }
    segment->device = status.st_dev;
    segment->inode = status.st_ino;
    free(temporary);
    return segment;
fail:
    if (temporary)
        unlink(temporary);
    free(temporary);
    if (base != MAP_FAILED) {
        glupy_unguard(base, header.total_size);
        munmap(base, header.total_size);
    }
    if (segment->fd >= 0)
        close(segment->fd);
    free_private(segment);
    return NULL;
}

/* Whether the file holds what is counted. A file that was truncated may have been extended again;
 * then memory is the guard's, and its heartbeat another than the file's. */
static bool
backed(const struct glupy_segment *segment, off_t file_size)
{
    uint64_t heartbeat;

    return file_size >= (off_t)segment->size &&
           pread(segment->fd, &heartbeat, sizeof(heartbeat),
                 offsetof(struct glupy_header, heartbeat)) == sizeof(heartbeat) &&
           heartbeat == glupy_load(&segment->header->heartbeat);
}

enum glupy_segment_name
glupy_segment_name(const struct glupy_segment *segment)
{
    struct stat status;

    if (lstat(segment->path, &status) < 0)
        return GLUPY_NAME_GONE;
    if (status.st_dev != segment->device || status.st_ino != segment->inode)
        return GLUPY_NAME_OTHERS;
    return backed(segment, status.st_size) ? GLUPY_NAME_OURS : GLUPY_NAME_CUT;
}

void
glupy_segment_retire(struct glupy_segment *segment)
{
    enum glupy_segment_name name = glupy_segment_name(segment);
    void *anonymous;

    if (name == GLUPY_NAME_OURS || name == GLUPY_NAME_CUT)
        unlink(segment->path);
    /* Made elsewhere and then moved here, so that at no time there is nothing. If it cannot be made
     * the file's pages stay until the segment is freed. */
    anonymous = mmap(NULL, segment->size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (anonymous != MAP_FAILED)
        (void)!mremap(anonymous, segment->size, segment->size, MREMAP_MAYMOVE | MREMAP_FIXED,
                      segment->header);
    close(segment->fd);
    segment->fd = -1;
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
    struct glupy_file_name *name = &segment->file_names[slot];
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
    struct glupy_segment *older;

    for (; segment; segment = older) {
        older = segment->retired;
        glupy_unguard(segment->header, segment->size);
        munmap(segment->header, segment->size);
        if (segment->fd >= 0)
            close(segment->fd);
        free_private(segment);
    }
}
