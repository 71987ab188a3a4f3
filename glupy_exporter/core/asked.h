/*
 * Makes a struct glupy_asked of a fop's arguments, for the recorder and the list of locks. The
 * wrappers of fops call these functions.
 */
#ifndef GLUPY_ASKED_H
#define GLUPY_ASKED_H

#include <glusterfs/xlator.h>

#include "locks.h"
#include "recorder.h"

static inline struct glupy_asked
asked_data(uint64_t offset, uint64_t size)
{
    return (struct glupy_asked){.offset = offset, .size = size};
}

/* Adds the entry of a directory that a fop names, if it names one. */
static inline struct glupy_asked
asked_entry(const loc_t *loc, struct glupy_asked asked)
{
    if (loc->name && loc->name[0]) {
        asked.text = loc->name;
        asked.parent = loc->parent ? loc->parent->gfid : loc->pargfid;
    }
    return asked;
}

struct glupy_asked
glupy_asked_lk(const fd_t *fd, int32_t cmd, const struct gf_flock *flock);
struct glupy_asked
glupy_asked_inodelk(const char *domain, int32_t cmd, const struct gf_flock *flock);
struct glupy_asked
glupy_asked_entrylk(const char *domain, const char *name, entrylk_cmd cmd, entrylk_type type);
struct glupy_asked
glupy_asked_lease(const struct gf_lease *lease);

/* Prepares a fop about a lock. An unlock removes its lock from the list at once. Returns whether a
 * lock has to be listed if the fop succeeds. */
bool
glupy_ask_lock(struct glupy_segment *segment, const call_frame_t *frame, xlator_t *this,
               const uint8_t *gfid, struct glupy_asked *asked);

/* Lists a lock that was granted. `flight` is the entry of the fop that asked for it; if it is NULL,
 * the lock is only counted. */
void
glupy_lock_answered(struct glupy_segment *segment, const call_frame_t *frame,
                    const struct glupy_flight *flight, uint64_t now);

/* Notes a flush: a process gives back its locks on a file, or the server all those of a descriptor
 * whose client has gone; see pl_flush of features/locks. */
void
glupy_note_flush(struct glupy_segment *segment, const call_frame_t *frame, const fd_t *fd);

/* How the name of an extended attribute begins by which an administrator clears locks: see
 * GF_XATTR_CLRLK_CMD. */
#define GLUPY_CLEARING "glusterfs.clrlk."

/* Notes that an administrator has cleared locks, if `name` says so, on the file with this key.
 * Locks that were granted after `not_after` stay, as does all if `name` cannot be understood. */
void
glupy_note_cleared(struct glupy_segment *segment, uint64_t key, uint64_t not_after,
                   const char *name);

#endif
