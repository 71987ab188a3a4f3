/*
 * The file of a segment, in a directory to whose parent others may write: it is made under a
 * temporary name, published under one that readers look for, watched, and removed.
 */
#ifndef GLUPY_SEGMENT_FILE_H
#define GLUPY_SEGMENT_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct glupy_segment_file {
    char *brick;   /* whose segment it is */
    int directory; /* open, wherever it may have been moved to; -1: none */
    int fd;        /* holds the lock that says that the writer lives; -1: none */
    dev_t device;
    ino_t inode;
    char plain_name[NAME_MAX + 1]; /* empty if it would be too long */
    char hashed_name[NAME_MAX + 1];
    char name[NAME_MAX + 1]; /* the one in use, at first a temporary one */
    char *path;              /* the directory's path as it was given, and the name in use */
    bool published;
};

/* What the name of a published file leads to. */
enum glupy_segment_name {
    GLUPY_NAME_OURS,
    GLUPY_NAME_CUT,    /* our file, after somebody has truncated it */
    GLUPY_NAME_OTHERS, /* the segment of a newer process of the same brick, which lives */
    GLUPY_NAME_GONE,   /* nothing that tells of this brick as it is now */
};

/* Opens the directory of segments, which it makes if it is missing, as its parent. Returns -1 and
 * sets errno if that fails; EPERM: the directory is another user's, or others may write to it. */
int
glupy_segment_directory(const char *path);

/* Makes a locked file of this size in the directory that is open in `file`, for the brick of this
 * volume. Returns NULL, or a verb that says what could not be done to the file, with errno set. */
const char *
glupy_segment_file_create(struct glupy_segment_file *file, const char *directory_path,
                          const char *volume, const char *brick, uint64_t size);

/* Lets `group` read the file ((gid_t)-1: root alone reads it) and gives it a name that readers look
 * for. Returns -1 and one line in `error` if it cannot. */
int
glupy_segment_file_publish(struct glupy_segment_file *file, gid_t group, char *error,
                           size_t error_size);

/* Never GLUPY_NAME_CUT: the file's content is not looked at. */
enum glupy_segment_name
glupy_segment_file_name(const struct glupy_segment_file *file);

/* Removes the name in use, if it still leads to this file. */
void
glupy_segment_file_remove(const struct glupy_segment_file *file);

/* Closes file and directory, with which the lock goes. */
void
glupy_segment_file_close(struct glupy_segment_file *file);

#endif
