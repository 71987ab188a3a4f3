/*
 * The list of granted locks, as the translator sees grants and unlocks pass.
 *
 * The table is bounded, and hashed by the file. A thread takes an entry by compare-and-swap and no
 * thread waits for another. The fields by which entries are found are in private memory; the
 * segment has copies for readers.
 */
#ifndef GLUPY_LOCKS_H
#define GLUPY_LOCKS_H

#include "segment.h"

enum glupy_lock_kind { GLUPY_INODELK = 1, GLUPY_ENTRYLK, GLUPY_LK, GLUPY_LEASE };
enum glupy_lock_type { GLUPY_LOCK_READ = 1, GLUPY_LOCK_WRITE, GLUPY_UNLOCK };

struct glupy_lock {
    const uint8_t *gfid;
    const uint8_t *domain;  /* not terminated */
    uint32_t domain_length; /* of the whole domain; `domain` has GLUPY_FLIGHT_TEXT bytes at most */
    uint8_t kind;
    uint8_t type;
    const void *connection;
    const void *fd; /* for GLUPY_LK */
    uint64_t owner;
    uint64_t start;
    uint64_t length; /* 0: to the end */
    uint64_t client; /* tag */
    uint64_t now;
    uint32_t uid;
    int32_t pid;
};

/* Makes the private memory. False if there is none. */
bool
glupy_locks_make(struct glupy_segment *segment, uint32_t slots);
void
glupy_locks_free(struct glupy_segment *segment);

/* Forgets all locks. */
void
glupy_locks_clear(struct glupy_segment *segment);

/* A lock was granted. A lock of an application replaces what its owner had of the range. */
void
glupy_lock_granted(struct glupy_segment *segment, const struct glupy_lock *lock);

/* A lock is being given back. */
void
glupy_lock_returned(struct glupy_segment *segment, const struct glupy_lock *lock);

/* The locks of an application on a file are given back: those of an owner, or of a descriptor if
 * `fd` is not NULL. */
void
glupy_locks_closed(struct glupy_segment *segment, const uint8_t *gfid, const void *connection,
                   uint64_t owner, const void *fd);

/* The locks that an administrator has cleared on a file. */
struct glupy_cleared {
    uint64_t key;       /* of the file: see glupy_file_key */
    uint64_t not_after; /* locks that were granted later are none of them */
    uint64_t start;     /* they have exactly this range, or this hash of a name, */
    uint64_t length;    /* as GlusterFS compares both ends */
    bool any;           /* start and length do not matter */
    uint8_t kind;
};

void
glupy_locks_cleared(struct glupy_segment *segment, const struct glupy_cleared *cleared);

/* A client has gone. */
void
glupy_locks_left(struct glupy_segment *segment, const void *connection);

/* Whether any lock is listed. */
static inline bool
glupy_any_lock(const struct glupy_segment *segment)
{
    return __atomic_load_n(&segment->locks.listed, __ATOMIC_RELAXED);
}

#endif
