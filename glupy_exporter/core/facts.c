/*
 * features/index keeps an entry for each file that may need healing. The entry is a hard link of a
 * base file, so that base file's link count tells how many there are without a look at each. A
 * brick makes a new base file when it starts or when the file system allows no more links, so there
 * may be several. They are found by reading the directory, of which a round reads a bounded part.
 */
#include "facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HIDDEN ".glusterfs"
/* Objects that bit-rot detection found damaged are links of this file, next to which they lie. */
#define QUARANTINE "quarantine/stub-00000000-0000-0000-0000-000000000008"
#define HEALTH_CHECK "health_check" /* which posix writes to check the disk */
#define LISTING 32768               /* bytes of a directory that one call reads, */
#define LISTINGS 4                  /* and calls for one index in a round: some 2000 entries */
#define DESCRIPTORS "/proc/self/fd"
#define DESCRIPTORS_DELAY 60 /* seconds between two lists of the process's descriptors */
#define SECOND 1000000000

/* As the kernel fills it in; libc has it under this name only since glibc 2.30. */
struct listed {
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void
glupy_facts_forget(struct glupy_facts *facts)
{
    memset(facts, 0xff, sizeof(*facts));
}

static void
learn_file_system(int hidden, struct glupy_facts *facts)
{
    struct statvfs space;
    struct stat status;

    if (fstatvfs(hidden, &space) < 0 || fstat(hidden, &status) < 0)
        return;
    facts->filesystem_size = (uint64_t)space.f_blocks * space.f_frsize;
    facts->filesystem_free = (uint64_t)space.f_bfree * space.f_frsize;
    facts->filesystem_avail = (uint64_t)space.f_bavail * space.f_frsize;
    facts->filesystem_device = status.st_dev;
    /* Some file systems have no id, and some no fixed number of inodes. */
    facts->filesystem_id = space.f_fsid ? space.f_fsid : status.st_dev;
    if (!space.f_files)
        return;
    facts->filesystem_files = space.f_files;
    facts->filesystem_files_free = space.f_ffree;
}

/* Links of a file beside its first name. */
static uint64_t
count_links(int directory, const char *name)
{
    struct stat status;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode) ||
        !status.st_nlink)
        return GLUPY_UNKNOWN;
    return status.st_nlink - 1;
}

/* The wall clock dates the check, and may have been set since. A check of before the last boot says
 * nothing. */
static void
learn_health(int hidden, struct glupy_facts *facts)
{
    uint64_t now = now_ns(CLOCK_MONOTONIC), wall = now_ns(CLOCK_REALTIME), checked, age;
    struct stat status;

    if (fstatat(hidden, HEALTH_CHECK, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    checked = (uint64_t)status.st_mtim.tv_sec * SECOND + (uint64_t)status.st_mtim.tv_nsec;
    age = checked < wall ? wall - checked : 0;
    if (age < now)
        facts->health_check = now - age;
}

static struct glupy_base *
find_base(struct glupy_index *index, uint64_t inode)
{
    uint32_t base;

    for (base = 0; base < index->known; base++)
        if (index->bases[base].inode == inode)
            return &index->bases[base];
    return NULL;
}

/* Takes note of an entry of the directory `name` if it leads to a base file that is new, or by a
 * better name. */
static void
note_entry(struct glupy_index *index, const char *name, const struct listed *entry)
{
    size_t length = strlen(name);
    bool own = strncmp(entry->name, name, length) == 0 && entry->name[length] == '-';
    struct glupy_base *base = find_base(index, entry->inode);

    if ((entry->type != DT_REG && !(own && entry->type == DT_UNKNOWN)) ||
        strlen(entry->name) >= sizeof(base->name) || (base && (base->own || !own)))
        return;
    if (!base && index->known < GLUPY_BASES)
        base = &index->bases[index->known++];
    if (!base)
        return;
    base->inode = entry->inode;
    base->own = own;
    strcpy(base->name, entry->name);
}

/* Reads on where the round before stopped, and begins anew after the end. */
static void
read_entries(int directory, const char *name, struct glupy_index *index)
{
    union {
        struct listed first;
        char bytes[LISTING];
    } listing;
    const struct listed *entry;
    long size, at;
    int calls;

    if (lseek(directory, index->position, SEEK_SET) < 0)
        index->position = 0;
    for (calls = 0; calls < LISTINGS; calls++) {
        size = syscall(SYS_getdents64, directory, &listing, sizeof(listing));
        if (size <= 0) {
            index->position = 0;
            return;
        }
        for (at = 0; at < size; at += entry->size) {
            entry = (const struct listed *)(listing.bytes + at);
            note_entry(index, name, entry);
            index->position = entry->next;
        }
    }
}

/* Adds up the links of all base files that are known. False if the name of one is gone. */
static bool
count_entries(int directory, struct glupy_index *index, uint64_t *count)
{
    uint64_t inodes[GLUPY_BASES];
    uint32_t base, kept = 0, seen;
    bool complete = true;
    struct stat status;

    *count = 0;
    for (base = 0; base < index->known; base++) {
        if (fstatat(directory, index->bases[base].name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(status.st_mode) || !status.st_nlink) {
            complete = false;
            continue;
        }
        for (seen = 0; seen < kept && inodes[seen] != status.st_ino; seen++)
            ;
        if (seen < kept)
            continue;
        *count += status.st_nlink - 1;
        inodes[kept] = status.st_ino;
        index->bases[kept++] = index->bases[base];
    }
    index->known = kept;
    return complete;
}

/* The number of entries. Entries of base files that no round has come to yet are missing from it.
 */
static uint64_t
count_index(int hidden, const char *name, struct glupy_index *index)
{
    char path[64];
    uint64_t count;
    int directory;

    snprintf(path, sizeof(path), "indices/%s", name);
    directory = openat(hidden, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) {
        index->known = 0;
        index->position = 0;
        return GLUPY_UNKNOWN;
    }
    read_entries(directory, name, index);
    /* The link by which a base file was known is gone, as its file was healed: find another. */
    if (!count_entries(directory, index, &count)) {
        index->position = 0;
        read_entries(directory, name, index);
        count_entries(directory, index, &count);
    }
    close(directory);
    return count;
}

void
glupy_facts_of_disk(const char *brick, struct glupy_indices *indices, struct glupy_facts *facts)
{
    int directory = open(brick, O_PATH | O_DIRECTORY | O_CLOEXEC), hidden;

    if (directory < 0)
        return;
    /* The brick's own directory also exists while its file system is not mounted. */
    hidden = openat(directory, HIDDEN, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(directory);
    if (hidden < 0)
        return;
    learn_file_system(hidden, facts);
    learn_health(hidden, facts);
    facts->heal_xattrop = count_index(hidden, "xattrop", &indices->each[0]);
    facts->heal_dirty = count_index(hidden, "dirty", &indices->each[1]);
    facts->heal_entry_changes = count_index(hidden, "entry-changes", &indices->each[2]);
    facts->quarantined = count_links(hidden, QUARANTINE);
    close(hidden);
}

static uint64_t
list_descriptors(void)
{
    DIR *directory = opendir(DESCRIPTORS);
    uint64_t count = 0;

    if (!directory)
        return GLUPY_UNKNOWN;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 3; /* two names of directories, and the descriptor of the list */
}

/* Since Linux 6.2 the size of the directory is their number. Before, they have to be listed. A
 * process of many bricks may have tens of thousands, so one of its bricks does that for all, and
 * seldom. */
static uint64_t
count_descriptors(void)
{
    static uint64_t listed_at, listed = GLUPY_UNKNOWN;
    uint64_t now = now_ns(CLOCK_MONOTONIC), last = __atomic_load_n(&listed_at, __ATOMIC_RELAXED);
    struct stat status;

    if (stat(DESCRIPTORS, &status) == 0 && status.st_size > 0)
        return (uint64_t)status.st_size;
    if ((!last || now - last > (uint64_t)DESCRIPTORS_DELAY * SECOND) &&
        __atomic_compare_exchange_n(&listed_at, &last, now, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        __atomic_store_n(&listed, list_descriptors(), __ATOMIC_RELAXED);
    return __atomic_load_n(&listed, __ATOMIC_RELAXED);
}

void
glupy_facts_of_process(struct glupy_facts *facts)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long pages;

    if (statm && fscanf(statm, "%*u %lu", &pages) == 1)
        facts->process_resident = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (statm)
        fclose(statm);
    facts->process_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    facts->process_descriptors = count_descriptors();
}

void
glupy_facts_publish(const struct glupy_facts *facts, struct glupy_facts *published)
{
    const uint64_t *from = (const uint64_t *)facts;
    uint64_t *to = (uint64_t *)published;
    size_t word;

    for (word = 0; word < sizeof(*facts) / sizeof(*from); word++)
        __atomic_store_n(&to[word], from[word], __ATOMIC_RELAXED);
}
