/*
 * A segment as its writer sees it: made once, mapped, published under its name.
 * Nothing here or in counting.h knows GlusterFS, so that both run in a harness of their own.
 */
#ifndef GLUPY_SEGMENT_H
#define GLUPY_SEGMENT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "alias.h"
#include "table.h"

struct glupy_segment_options {
    const char *directory;
    const char *volume;
    const char *brick;
    const char *host;
    const char *glusterfs_version;
    int32_t subvolume;      /* -1: unknown */
    uint32_t volume_bricks; /* 0: unknown */
    const char *const *fop_names;
    uint32_t fop_count;
    uint32_t file_slots;
    uint32_t client_slots;
    bool client_processes; /* a client is a process, not a host */
    uint32_t half_life;    /* seconds; like `enabled` only told to readers */
    bool enabled;
};

/* A connection and the packed place of the client it comes from. */
struct glupy_seat {
    const void *connection;
    uint64_t place;
};
/* As many as a brick's process may have open files (protocol/server sets RLIMIT_NOFILE to that):
 * the numbers are the process's, whose bricks may be many. The kernel gives memory for those in
 * use. */
#define GLUPY_SEATS 1048576U

/* When the maintenance thread looks for a file's name again, in rounds. */
struct glupy_name_due {
    uint32_t round;
    uint32_t delay;
    uint32_t generation; /* of the slot, when the others were written */
    uint32_t unlinked;   /* a name of the file was; perhaps its last one */
    uint32_t disk_round; /* like `round`, for looks on the disk */
};

/* Every pointer, size and index that a fop uses is here, in private memory: somebody who can write
 * to the file can spoil counts, not lead the brick astray. */
struct glupy_segment {
    struct glupy_header *header;
#define GLUPY_POINTER(table, type, elements) type *table;
    GLUPY_TABLES(GLUPY_POINTER)
#undef GLUPY_POINTER
    struct glupy_table files;
    struct glupy_table clients;
    struct glupy_aliases aliases;
    struct glupy_seat *seats; /* by GlusterFS's client table index */
    struct glupy_name_due *names_due;
    bool client_processes;
    uint32_t fop_count;
    uint32_t lane_mask;
    uint32_t epoch; /* tells this segment from those before it in the same translator */
    char *brick;
    int directory; /* in which the file is, wherever that may have been moved to */
    int fd;        /* holds the lock that says the writer lives */
    size_t size;
    dev_t device;
    ino_t inode;
    char plain_name[NAME_MAX + 1]; /* empty if it would be too long */
    char hashed_name[NAME_MAX + 1];
    char name[NAME_MAX + 1]; /* the one in use, at first a temporary one */
    bool named;              /* it is one that readers look for */
    char *path;
    struct glupy_segment *next; /* in a list of those that are retired */
    bool looked_after;          /* by the maintenance thread, which does not hold the mutex */
    /* What is written all the time, off the cache lines that every fop reads. */
    uint8_t apart[GLUPY_CACHE_LINE];
    uint32_t names_cursor;
    uint32_t names_stale; /* a directory was renamed: any name may be wrong */
};

/* Makes a segment that no reader sees yet; one of those in the list `retired` is made over if it
 * has the shape. Returns NULL and one line in `error` if it cannot. */
struct glupy_segment *
glupy_segment_create(const struct glupy_segment_options *options, struct glupy_segment **retired,
                     char *error, size_t error_size);

/* Lets `group` read the segment ((gid_t)-1: nobody but root's own) and gives it a name that readers
 * look for. Returns -1 and one line in `error` if it cannot. */
int
glupy_segment_publish(struct glupy_segment *segment, gid_t group, char *error, size_t error_size);

/* What the name leads to: this segment, what is left of it after its file was truncated, the one of
 * a newer process of the same brick, or nothing that would tell of this brick. */
enum glupy_segment_name { GLUPY_NAME_OURS, GLUPY_NAME_CUT, GLUPY_NAME_OTHERS, GLUPY_NAME_GONE };
enum glupy_segment_name
glupy_segment_name(const struct glupy_segment *segment);

/* Dates the segment anew if the wall clock was set since: at boot it may stand in 1970. */
void
glupy_segment_follow_clock(struct glupy_segment *segment);

/* Takes the segment out of sight: its name goes, its lock too, and its memory becomes private and
 * anonymous at the same address, since a fop may still be about to write there. */
void
glupy_segment_retire(struct glupy_segment *segment);

/* Writes the path of the file in `slot`, or NULL for one without a name any more, unless the slot's
 * name has been written since its seqlock showed `seq`. A path that is too long is cut on a UTF-8
 * boundary and flagged. */
void
glupy_segment_set_path(struct glupy_segment *segment, uint32_t slot, uint32_t seq,
                       const char *path);

/* Frees a segment, or a list of them. No fop may be under way. */
void
glupy_segment_free(struct glupy_segment *segment);

uint64_t
glupy_monotonic_ns(void);

#endif
