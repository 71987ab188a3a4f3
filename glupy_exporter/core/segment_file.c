#include "segment_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "layout.h"

#define DIRECTORY_MODE 0750
#define DIRECTORY_FRESH 01700 /* nobody gives a directory such a mode by accident */
#define FRESH_BITS 05777      /* setgid comes from the directory above */
#define FILE_MODE 0640
#define SUFFIX ".seg"
#define TEMPORARY_NAME ".%d.%p" /* process, and an address that is unique among its translators */
#define TEMPORARY_PATTERN ".%*d.%*p%n"
#define HASHED_SUFFIX_LENGTH 21 /* a dot, 16 hexadecimal digits, SUFFIX */
/* Stays free for others on the file system, which is most often /run: systemd loads no unit with
 * less than 16 MiB there, and a program that finds no room at all fails. */
#define RESERVE (24UL << 20)

/* Others may write to the parent, as group gluster may to /run/gluster, and may take the
 * directory's name away at any moment. So that name is only made and opened, and a directory that
 * somebody else may have filled is refused. /run/gluster itself is missing after each reboot. */
int
glupy_segment_directory(const char *path)
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

/* Lets readers into a directory that was made for segments. Any other directory lacks the mode of a
 * fresh one, and keeps its owner and mode. */
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

/* Finds the two names that the file may be published under. Slashes of the brick's path become
 * dashes, so that two bricks of a volume may have the same plain name. A long path has none. */
static void
make_names(struct glupy_segment_file *file, const char *volume, const char *brick)
{
    const char *path = brick + strspn(brick, "/");
    const int room = NAME_MAX - (int)strlen(SUFFIX), hashed_room = NAME_MAX - HASHED_SUFFIX_LENGTH;
    char stem[NAME_MAX + 1], *slash;
    int length = snprintf(stem, sizeof(stem), "%s.%s", volume, path);

    for (slash = stem; (slash = strchr(slash, '/'));)
        *slash = '-';
    snprintf(file->plain_name, sizeof(stem), "%.*s" SUFFIX, room, stem);
    if (length > room)
        file->plain_name[0] = '\0';
    snprintf(file->hashed_name, sizeof(stem), "%.*s.%016" PRIx64 SUFFIX, hashed_room, stem,
             name_hash(brick));
}

/* Whether somebody else holds a lock of the file. A descriptor for reading is enough to ask. */
static bool
is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

enum found {
    FOUND_NOTHING,  /* no segment */
    FOUND_ANOTHERS, /* the segment of another brick, which may have ended */
    FOUND_DEAD,     /* a segment of this brick to which nobody writes, such as a copy */
    FOUND_LIVE,     /* the segment of another process of this brick */
};

/* Finds out what a name leads to. A file is locked before it gets a name that readers look for, so
 * the writer of one that is not locked has ended. */
static enum found
look_at(const struct glupy_segment_file *file, int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    enum found found = FOUND_NOTHING;
    struct glupy_header theirs;

    if (fd < 0)
        return FOUND_NOTHING;
    if (pread(fd, &theirs, sizeof(theirs), 0) == sizeof(theirs) && theirs.magic == GLUPY_MAGIC) {
        if (strncmp(theirs.brick, file->brick, sizeof(theirs.brick)) != 0)
            found = FOUND_ANOTHERS;
        else
            found = is_locked(fd) ? FOUND_LIVE : FOUND_DEAD;
    }
    close(fd);
    return found;
}

static int
lock_file(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

/* Whether `size` bytes more leave the reserve free. */
static bool
has_room(int fd, uint64_t size)
{
    struct statvfs status;

    if (fstatvfs(fd, &status) < 0)
        return false;
    errno = ENOSPC;
    return (uint64_t)status.f_bavail * status.f_frsize >= size + RESERVE;
}

/* Removes a temporary file whose writer has ended. An empty one takes no room, and its writer may
 * not have locked it yet. The lock keeps away others that would remove it, so the name cannot come
 * to lead to a new file between the last look and the removal. */
static void
remove_leftover(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status, named;
    uint64_t magic;

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        pread(fd, &magic, sizeof(magic), 0) == sizeof(magic) && (!magic || magic == GLUPY_MAGIC) &&
        lock_file(fd) == 0 && fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        named.st_dev == status.st_dev && named.st_ino == status.st_ino)
        unlinkat(directory, name, 0);
    close(fd);
}

/* Removes the temporary files of bricks that ended before they could publish their segments. */
static void
remove_leftovers(int directory)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), end;
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!entries) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(entries))) {
        end = 0;
        sscanf(entry->d_name, TEMPORARY_PATTERN, &end);
        if (end && !entry->d_name[end])
            remove_leftover(directory, entry->d_name);
    }
    closedir(entries);
}

/* Opens a sized, locked file under a temporary name. All its blocks are allocated now: a mapped
 * page that a full file system cannot back would raise SIGBUS in the brick. It is locked while it
 * is empty: see remove_leftover. */
static int
open_temporary(const struct glupy_segment_file *file, uint64_t size, const char **step)
{
    int fd = openat(file->directory, file->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    int failed;

    *step = "create";
    if (fd < 0)
        return -1;
    *step = "lock";
    if (lock_file(fd) < 0)
        goto fail;
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
    return fd;
fail:
    failed = errno;
    unlinkat(file->directory, file->name, 0);
    close(fd);
    errno = failed;
    return -1;
}

const char *
glupy_segment_file_create(struct glupy_segment_file *file, const char *directory_path,
                          const char *volume, const char *brick, uint64_t size)
{
    const char *step;
    struct stat status;

    make_names(file, volume, brick);
    remove_leftovers(file->directory);
    snprintf(file->name, sizeof(file->name), TEMPORARY_NAME, getpid(), (void *)file);
    file->brick = strdup(brick);
    if (!file->brick || asprintf(&file->path, "%s/%s", directory_path, file->name) < 0)
        return "name";
    file->fd = open_temporary(file, size, &step);
    if (file->fd < 0)
        return step;
    if (fstat(file->fd, &status) < 0)
        return "look at";
    file->device = status.st_dev;
    file->inode = status.st_ino;
    return NULL;
}

int
glupy_segment_file_publish(struct glupy_segment_file *file, gid_t group, char *error,
                           size_t error_size)
{
    bool hashed =
        !file->plain_name[0] || look_at(file, file->directory, file->plain_name) == FOUND_ANOTHERS;
    const char *name = hashed ? file->hashed_name : file->plain_name;
    size_t directory = (size_t)(strrchr(file->path, '/') - file->path);
    char *path;

    if (asprintf(&path, "%.*s/%s", (int)directory, file->path, name) < 0) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    if ((group != (gid_t)-1 && fchown(file->fd, -1, group) < 0) ||
        fchmod(file->fd, FILE_MODE) < 0 || hand_over(file->directory, group) < 0 ||
        renameat(file->directory, file->name, file->directory, name) < 0) {
        snprintf(error, error_size, "cannot publish segment %s: %s", path, strerror(errno));
        free(path);
        return -1;
    }
    /* It may be there from a time when another brick had the plain name. */
    if (!hashed)
        unlinkat(file->directory, file->hashed_name, 0);
    snprintf(file->name, sizeof(file->name), "%s", name);
    free(file->path);
    file->path = path;
    file->published = true;
    return 0;
}

static bool
is_ours(const struct glupy_segment_file *file, const struct stat *status)
{
    return status->st_dev == file->device && status->st_ino == file->inode;
}

/* Whether the file is in its directory under its name, wherever the directory's own name leads. */
static bool
in_directory(const struct glupy_segment_file *file)
{
    struct stat status;

    return fstatat(file->directory, file->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_ours(file, &status);
}

enum glupy_segment_name
glupy_segment_file_name(const struct glupy_segment_file *file)
{
    struct stat status;

    if (!file->published || lstat(file->path, &status) < 0)
        return GLUPY_NAME_GONE;
    if (is_ours(file, &status))
        return GLUPY_NAME_OURS;
    if (in_directory(file) || look_at(file, AT_FDCWD, file->path) != FOUND_LIVE)
        return GLUPY_NAME_GONE;
    return GLUPY_NAME_OTHERS;
}

void
glupy_segment_file_remove(const struct glupy_segment_file *file)
{
    if (file->fd >= 0 && in_directory(file))
        unlinkat(file->directory, file->name, 0);
}

void
glupy_segment_file_close(struct glupy_segment_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->directory >= 0)
        close(file->directory);
    free(file->brick);
    free(file->path);
    *file = (struct glupy_segment_file){.directory = -1, .fd = -1};
}
