#include "counting.h"
#include "facts.h"
#include "locks.h"
#include "recorder.h"
#include "sigbus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_STEP 1000000000L /* nanoseconds; a smaller one does not change the time of birth */

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

/* Reads the first line of a small file under /proc, without its newline; empty if it cannot. */
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

/* Field 22 of /proc/PID/stat. The second field may hold blanks, so the fields are counted from its
 * closing parenthesis (proc(5)). */
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
    struct glupy_entry catalog[GLUPY_TABLE_COUNT];
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

    memcpy(plan->catalog, entries, sizeof(entries));
    for (table = 0; table < GLUPY_TABLE_COUNT; table++) {
        plan->catalog[table].offset = next_line(end);
        end = plan->catalog[table].offset +
              (uint64_t)entries[table].element_size * entries[table].count;
    }
    plan->header.magic = GLUPY_MAGIC;
    plan->header.version = GLUPY_VERSION;
    plan->header.header_size = sizeof(plan->header);
    plan->header.catalog_offset = offsetof(struct beginning, catalog);
    plan->header.table_count = GLUPY_TABLE_COUNT;
    plan->header.entry_size = sizeof(plan->catalog[0]);
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

/* Writes what the tables of a new segment begin with. */
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
    glupy_facts_forget(segment->facts);
}

/* The kernel gives memory for the pages that are used only. But with vm.overcommit_memory=2 it
 * charges a process for all that can be written, so the others are not accessible. */
static bool
make_seats(struct glupy_segment *segment)
{
    void *seats = mmap(NULL, GLUPY_SEATS * sizeof(struct glupy_seat), PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (seats == MAP_FAILED)
        return false;
    segment->seats = seats;
    glupy_segment_add_seats(segment);
    return segment->seats_ready;
}

void
glupy_segment_add_seats(struct glupy_segment *segment)
{
    uint32_t wanted = __atomic_load_n(&segment->seats_wanted, __ATOMIC_RELAXED);
    uint32_t number = GLUPY_SEATS_FIRST;

    while (number < wanted)
        number *= 2;
    if (number > segment->seats_ready &&
        mprotect(segment->seats, number * sizeof(*segment->seats), PROT_READ | PROT_WRITE) == 0)
        __atomic_store_n(&segment->seats_ready, number, __ATOMIC_RELEASE);
}

static void
free_private(struct glupy_segment *segment)
{
    glupy_table_free(&segment->files);
    glupy_table_free(&segment->clients);
    free(segment->aliases.slots);
    free(segment->names_due);
    free(segment->flight_fds);
    glupy_locks_free(segment);
    if (segment->seats)
        munmap(segment->seats, GLUPY_SEATS * sizeof(*segment->seats));
    free(segment);
}

/* Makes the private memory of a segment, and reserves the addresses of its mapping. */
static struct glupy_segment *
make_private(const struct glupy_segment_options *options, uint64_t size)
{
    struct glupy_segment *segment = calloc(1, sizeof(*segment));

    if (!segment)
        return NULL;
    segment->file.fd = segment->file.directory = -1;
    segment->size = size;
    segment->aliases.slots = calloc(GLUPY_ALIASES, sizeof(*segment->aliases.slots));
    segment->names_due = calloc(options->file_slots, sizeof(*segment->names_due));
    segment->flight_fds = calloc(options->flights, sizeof(*segment->flight_fds));
    segment->flight_mask = options->flights - 1;
    segment->slow_mask = options->slow_records - 1;
    segment->trace_mask = options->trace_records - 1;
    if (!segment->flight_fds || !glupy_locks_make(segment, options->held_locks))
        goto fail;
    if (!make_seats(segment) || !segment->names_due || !segment->aliases.slots ||
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

/* Takes a segment of the right shape out of the retired ones, or returns NULL. A late fop may still
 * write to the segment that it found in use. In memory of the same shape that does no harm beyond
 * one count too many. */
static struct glupy_segment *
take_retired(struct glupy_segment **retired, const struct glupy_segment_options *options,
             uint64_t size)
{
    struct glupy_segment *segment;

    for (; (segment = *retired); retired = &segment->next)
        if (!segment->looked_after && segment->size == size &&
            segment->files.sets == options->file_slots / GLUPY_WAYS &&
            segment->flight_mask == options->flights - 1 &&
            segment->slow_mask == options->slow_records - 1 &&
            segment->trace_mask == options->trace_records - 1 &&
            segment->locks.mask == options->held_locks - 1)
            break;
    if (!segment)
        return NULL;
    *retired = segment->next;
    segment->next = NULL;
    glupy_table_clear(&segment->files);
    glupy_table_clear(&segment->clients);
    /* The pages read as zeros from now on. */
    madvise(segment->seats, GLUPY_SEATS * sizeof(*segment->seats), MADV_DONTNEED);
    memset(segment->names_due, 0, options->file_slots * sizeof(*segment->names_due));
    glupy_locks_clear(segment);
    return segment;
}

/* Moves a mapping to the address of another one, which it replaces in one step: a fop may write
 * there at any moment. */
static bool
move_mapping(void *mapping, void *address, size_t size)
{
    if (mapping == MAP_FAILED)
        return false;
    if (mremap(mapping, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, address) != MAP_FAILED)
        return true;
    munmap(mapping, size);
    return false;
}

/* Makes the file and maps it. Returns NULL, or a verb that says what could not be done. */
static const char *
make_file(struct glupy_segment *segment, const struct glupy_segment_options *options,
          const struct beginning *beginning)
{
    const char *failed = glupy_segment_file_create(&segment->file, options->directory,
                                                   options->volume, options->brick, segment->size);

    if (failed)
        return failed;
    if (pwrite(segment->file.fd, beginning, sizeof(*beginning), 0) != sizeof(*beginning))
        return "write";
    if (!move_mapping(
            mmap(NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->file.fd, 0),
            segment->header, segment->size))
        return "map";
    return NULL;
}

struct glupy_segment *
glupy_segment_create(const struct glupy_segment_options *options, struct glupy_segment **retired,
                     char *error, size_t error_size)
{
    int directory = glupy_segment_directory(options->directory), failed = errno;
    struct glupy_shape shape = {.lanes = lane_count(),
                                .fops = options->fop_count,
                                .files = options->file_slots,
                                .clients = options->client_slots,
                                .slow = options->slow_records,
                                .trace = options->trace_records,
                                .flights = options->flights,
                                .held_locks = options->held_locks};
    struct beginning beginning = {0};
    struct glupy_segment *segment;
    const char *step;

    if (directory < 0) {
        snprintf(error, error_size, "cannot use directory %s: %s", options->directory,
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
        snprintf(error, error_size, "cannot make a segment: %s",
                 errno == ENOBUFS ? "too many in one process" : strerror(errno));
        close(directory);
        return NULL;
    }
    segment->file.directory = directory;
    segment->client_processes = options->client_processes;
    step = make_file(segment, options, &beginning);
    if (step) {
        snprintf(error, error_size, "cannot %s segment %s/%s: %s", step, options->directory,
                 segment->file.plain_name[0] ? segment->file.plain_name : segment->file.hashed_name,
                 strerror(errno));
        glupy_segment_retire(segment);
        segment->next = *retired;
        *retired = segment;
        return NULL;
    }
    segment->fop_count = options->fop_count;
    segment->fop_classes = options->fop_classes;
    segment->lane_mask = (uint32_t)shape.lanes - 1;
    locate(segment, beginning.catalog);
    fill(segment, options);
    return segment;
}

/* Whether the file holds what is counted. It may have been truncated and extended again. Then the
 * mapping is anonymous memory (see sigbus.h), and has another heartbeat than the file. */
static bool
backed(const struct glupy_segment *segment)
{
    struct stat status;
    uint64_t heartbeat;

    return fstat(segment->file.fd, &status) == 0 && status.st_size >= (off_t)segment->size &&
           pread(segment->file.fd, &heartbeat, sizeof(heartbeat),
                 (char *)&segment->numbers->heartbeat - (char *)segment->header) ==
               sizeof(heartbeat) &&
           heartbeat == glupy_load(&segment->numbers->heartbeat);
}

enum glupy_segment_name
glupy_segment_name(const struct glupy_segment *segment)
{
    enum glupy_segment_name name = glupy_segment_file_name(&segment->file);

    return name == GLUPY_NAME_OURS && !backed(segment) ? GLUPY_NAME_CUT : name;
}

void
glupy_segment_retire(struct glupy_segment *segment)
{
    glupy_segment_file_remove(&segment->file);
    /* If this fails, the file's pages stay until the segment is freed. */
    (void)move_mapping(mmap(NULL, segment->size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                       segment->header, segment->size);
    glupy_segment_file_close(&segment->file);
}

/* How many bytes of `path` fit, without a part of a character at the end. */
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
        glupy_segment_file_close(&segment->file);
        free_private(segment);
    }
}
