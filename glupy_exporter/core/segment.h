/*
 * A segment as its writer has it: private memory, and a mapping of the segment's file.
 * Nothing here or in counting.h knows GlusterFS, so that both run in a harness without it.
 */
#ifndef GLUPY_SEGMENT_H
#define GLUPY_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "alias.h"
#include "segment_file.h"
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
    uint32_t half_life;    /* seconds; only told to readers, as is `enabled` */
    bool enabled;
    const uint8_t *fop_classes; /* an enum glupy_class for each fop */
    uint32_t slow_records;      /* this and the next three are powers of two */
    uint32_t trace_records;
    uint32_t flights;
    uint32_t held_locks;
};

/* Classes of fops that have thresholds of their own. */
enum glupy_class {
    GLUPY_CLASS_METADATA,
    GLUPY_CLASS_READ,
    GLUPY_CLASS_WRITE,
    GLUPY_CLASS_LOCK,
    GLUPY_CLASSES
};

/* The options of the flight recorder; see recorder.h. */
struct glupy_recorder_options {
    bool on;
    uint32_t one_in;                 /* fops picked at random, 0: none */
    uint64_t slow_ms[GLUPY_CLASSES]; /* fops that took so long are slow, 0: none */
};

/* Where a lane looks for a free entry for a fop, on a cache line of its own. */
struct glupy_hint {
    uint32_t slot;
    uint32_t halvings; /* of how far it looks */
    uint8_t apart[GLUPY_CACHE_LINE - 2 * sizeof(uint32_t)];
};

/* The granted locks; see locks.h. */
struct glupy_locks {
    struct glupy_held *held;
    uint32_t *tags;
    uint64_t *homes; /* how many locks there are from each slot on */
    uint32_t mask;
    uint32_t reach;  /* entries that a search looks at */
    uint32_t listed; /* locks */
};

/* A connection, and the packed place of the client that it comes from. */
struct glupy_seat {
    const void *connection;
    uint64_t place;
};
/* As many as a brick's process may have open files (protocol/server sets RLIMIT_NOFILE to that):
 * GlusterFS numbers the connections of all bricks of a process together, from 0 on. Each segment
 * has addresses for all seats, and memory for as many as its connections have needed so far. */
#define GLUPY_SEATS 1048576U
#define GLUPY_SEATS_FIRST 4096U

/* When the maintenance thread looks for a file's name again, in rounds. */
struct glupy_name_due {
    uint32_t round;
    uint32_t delay;
    uint32_t generation; /* of the slot, when the other members were written */
    uint32_t unlinked;   /* the file lost a name, perhaps its last one */
    uint32_t disk_round; /* when to look on the disk again, */
    uint32_t disk_least; /* and when at the earliest, if a directory is renamed */
};

/* Every pointer, size and index that a fop uses is in this private memory: somebody who can write
 * to the file can spoil counts, but cannot make the brick read or write elsewhere. */
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
    uint32_t seats_ready; /* how many have memory; only grows */
    bool client_processes;
    uint32_t fop_count;
    uint32_t lane_mask;
    uint32_t flight_mask;
    uint32_t slow_mask;
    uint32_t trace_mask;
    uint32_t recording;      /* whether the recorder is on */
    const void **flight_fds; /* by entry: the descriptor of a lock */
    const uint8_t *fop_classes;
    uint64_t sample_below; /* scattered times below it are sampled */
    uint64_t slow_ns[GLUPY_FOPS_MAX];
    uint32_t epoch; /* differs from that of earlier segments of this translator */
    size_t size;    /* of the mapping, and of the file */
    struct glupy_segment_file file;
    struct glupy_segment *next; /* in the list of retired segments */
    bool looked_after;          /* the maintenance thread works on it, without the mutex */
    /* Keeps what is written all the time off the cache lines that every fop reads. */
    uint8_t apart[GLUPY_CACHE_LINE];
    struct glupy_hint flight_hints[GLUPY_LANES_MAX];
    struct glupy_locks locks;
    uint32_t seats_wanted; /* the highest number of a connection that found no seat, plus one */
    uint32_t names_cursor;
    uint32_t names_stale; /* a directory was renamed: any name may be wrong */
};

/* Makes a segment that no reader sees yet, out of one in the list `retired` if that has the right
 * shape. Returns NULL and one line in `error` if it cannot. */
struct glupy_segment *
glupy_segment_create(const struct glupy_segment_options *options, struct glupy_segment **retired,
                     char *error, size_t error_size);

/* What the segment's name leads to. */
enum glupy_segment_name
glupy_segment_name(const struct glupy_segment *segment);

/* Corrects the segment's time of birth if the wall clock has been set: at boot that may stand in
 * 1970. */
void
glupy_segment_follow_clock(struct glupy_segment *segment);

/* Makes memory for the seats that connections wanted. Without it, the client is looked up for each
 * fop. */
void
glupy_segment_add_seats(struct glupy_segment *segment);

/* Removes the segment's file and its lock. The mapping becomes anonymous memory at the same
 * address, since a fop may still be about to write there. */
void
glupy_segment_retire(struct glupy_segment *segment);

/* Writes the path of the file in `slot`; NULL: the file has lost its last name. Does nothing if the
 * slot's name has been written since its seqlock was `seq`. A path that is too long is cut on a
 * UTF-8 boundary and flagged. */
void
glupy_segment_set_path(struct glupy_segment *segment, uint32_t slot, uint32_t seq,
                       const char *path);

/* Frees a segment, or a list of them. No fop may be in flight. */
void
glupy_segment_free(struct glupy_segment *segment);

uint64_t
glupy_monotonic_ns(void);

#endif
