#include "asked.h"

#include <inttypes.h>
#include <stdio.h>

#include "counting.h"

/* The hash of the owner of a lock, which differs between processes of a client. */
static uint64_t
lock_owner(const struct glupy_segment *segment, const call_stack_t *root)
{
    const gf_lkowner_t *owner = &root->lk_owner;
    size_t length = owner->len > 0 && (size_t)owner->len <= sizeof(owner->data) ? owner->len : 0;

    return glupy_hash_bytes(&segment->files.seed, length, owner->data, length);
}

/* A lease belongs to the id that its client chose. An id has read leases and write leases, each of
 * them as often as it asked for one. */
static uint64_t
lease_owner(const struct glupy_segment *segment, const struct gf_lease *lease)
{
    return glupy_hash_bytes(&segment->files.seed, lease->lease_type, lease->lease_id,
                            sizeof(lease->lease_id));
}

/* Stands in place of an offset in a lock of an entry. */
static uint64_t
entry_hash(const struct glupy_segment *segment, const char *name, size_t length)
{
    return glupy_hash_bytes(&segment->files.seed, 1, name, length);
}

static uint8_t
lock_type(int32_t type)
{
    return type == F_RDLCK ? GLUPY_LOCK_READ : type == F_WRLCK ? GLUPY_LOCK_WRITE : GLUPY_UNLOCK;
}

/* A request for a range. It has no type if it only tests for a lock, or reserves one. */
static struct glupy_asked
asked_range(uint8_t kind, int32_t cmd, const struct gf_flock *flock)
{
    struct glupy_asked asked = {.lock_kind = kind};

    if (!flock)
        return asked;
    asked.offset = (uint64_t)flock->l_start;
    asked.length = (uint64_t)flock->l_len;
    if (cmd == F_SETLK || cmd == F_SETLKW || cmd == F_SETLK64 || cmd == F_SETLKW64)
        asked.lock_type = lock_type(flock->l_type);
    /* The range before the start; see pl_lk of features/locks. */
    if (flock->l_len < 0) {
        asked.offset += asked.length;
        asked.length = -asked.length;
    }
    return asked;
}

struct glupy_asked
glupy_asked_lk(const fd_t *fd, int32_t cmd, const struct gf_flock *flock)
{
    struct glupy_asked asked = asked_range(GLUPY_LK, cmd, flock);

    asked.fd = fd;
    return asked;
}

struct glupy_asked
glupy_asked_inodelk(const char *domain, int32_t cmd, const struct gf_flock *flock)
{
    struct glupy_asked asked = asked_range(GLUPY_INODELK, cmd, flock);

    asked.text = domain;
    return asked;
}

struct glupy_asked
glupy_asked_entrylk(const char *domain, const char *name, entrylk_cmd cmd, entrylk_type type)
{
    struct glupy_asked asked = {.lock_kind = GLUPY_ENTRYLK, .text = domain, .name = name};

    asked.length = name ? 1 : 0;
    if (cmd == ENTRYLK_UNLOCK)
        asked.lock_type = GLUPY_UNLOCK;
    else
        asked.lock_type = type == ENTRYLK_RDLCK ? GLUPY_LOCK_READ : GLUPY_LOCK_WRITE;
    return asked;
}

struct glupy_asked
glupy_asked_lease(const struct gf_lease *lease)
{
    struct glupy_asked asked = {.lock_kind = GLUPY_LEASE};

    if (!lease)
        return asked;
    asked.lease = lease;
    if (lease->cmd == GF_UNLK_LEASE)
        asked.lock_type = GLUPY_UNLOCK;
    else if (lease->cmd == GF_SET_LEASE)
        asked.lock_type = lease->lease_type == GF_RD_LEASE ? GLUPY_LOCK_READ : GLUPY_LOCK_WRITE;
    return asked;
}

bool
glupy_ask_lock(struct glupy_segment *segment, const call_frame_t *frame, xlator_t *this,
               const uint8_t *gfid, struct glupy_asked *asked)
{
    struct glupy_lock lock = {
        .gfid = gfid,
        .domain = (const uint8_t *)asked->text,
        .domain_length = asked->text ? (uint32_t)strnlen(asked->text, UINT8_MAX) : 0,
        .kind = asked->lock_kind,
        .connection = frame->root->client,
        .length = asked->length,
    };

    if (asked->name)
        asked->offset = entry_hash(segment, asked->name, strlen(asked->name));
    lock.start = asked->offset;
    lock.owner =
        asked->lease ? lease_owner(segment, asked->lease) : lock_owner(segment, frame->root);
    asked->owner = lock.owner;
    if (!gfid || !asked->lock_type)
        return false;
    if (asked->lock_type == GLUPY_UNLOCK) {
        glupy_lock_returned(segment, &lock);
        return false;
    }
    /* GlusterFS announces the end of a descriptor only to translators with a context in it. */
    if (asked->fd)
        (void)fd_ctx_set((fd_t *)asked->fd, this, 1);
    return true;
}

void
glupy_lock_answered(struct glupy_segment *segment, const call_frame_t *frame,
                    const struct glupy_flight *flight, uint64_t now)
{
    struct glupy_lock lock = {
        .connection = frame->root->client,
        .uid = frame->root->uid,
        .pid = frame->root->pid,
        .now = now,
    };

    if (!flight) {
        glupy_add(&segment->numbers->unlisted_locks, 1);
        return;
    }
    lock.client = flight->client;
    lock.gfid = flight->gfid;
    lock.domain = flight->text;
    lock.domain_length = flight->text_length;
    lock.kind = flight->lock_kind;
    lock.type = flight->lock_type;
    lock.fd = segment->flight_fds[flight - segment->flights];
    lock.owner = flight->owner;
    lock.start = flight->offset;
    lock.length = flight->length;
    glupy_lock_granted(segment, &lock);
}

void
glupy_note_flush(struct glupy_segment *segment, const call_frame_t *frame, const fd_t *fd)
{
    bool all = frame->root->lk_owner.len == 0;

    if (glupy_any_lock(segment))
        glupy_locks_closed(segment, fd->inode->gfid, frame->root->client,
                           lock_owner(segment, frame->root), all ? fd : NULL);
}

static bool
take_prefix(const char **text, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(*text, prefix, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Reads what restricts the locks of a kind that are cleared, as clrlk_parse_args of features/locks
 * does: nothing, the name of an entry, or a range. False if GlusterFS refuses it. */
static bool
restrict_cleared(const struct glupy_segment *segment, const char *text,
                 struct glupy_cleared *cleared)
{
    size_t length;
    int64_t start, bytes;
    short whence;
    char range[64];

    text += strspn(text, "/");
    length = strcspn(text, "/ \t\n\v\f\r");
    cleared->any = !length;
    if (!length)
        return true;
    if (cleared->kind == GLUPY_ENTRYLK) {
        cleared->start = entry_hash(segment, text, length);
        cleared->length = 1;
        return true;
    }
    if (length >= sizeof(range))
        return false;
    snprintf(range, sizeof(range), "%.*s", (int)length, text);
    /* A lock has the `whence` that its client sent, which counts for nothing else. All clients send
     * SEEK_SET. */
    if (sscanf(range, "%hd,%" SCNd64 "-%" SCNd64, &whence, &start, &bytes) != 3 ||
        whence != SEEK_SET || start < 0 || bytes < 0)
        return false;
    cleared->start = (uint64_t)start;
    cleared->length = (uint64_t)bytes;
    return true;
}

void
glupy_note_cleared(struct glupy_segment *segment, uint64_t key, uint64_t not_after,
                   const char *name)
{
    struct glupy_cleared cleared = {.key = key, .not_after = not_after};

    if (!take_prefix(&name, GLUPY_CLEARING))
        return;
    if (take_prefix(&name, "tinode."))
        cleared.kind = GLUPY_INODELK;
    else if (take_prefix(&name, "tentry."))
        cleared.kind = GLUPY_ENTRYLK;
    else if (take_prefix(&name, "tposix."))
        cleared.kind = GLUPY_LK;
    else
        return;
    if (!take_prefix(&name, "kgranted") && !take_prefix(&name, "kall"))
        return;
    if (*name && !take_prefix(&name, "."))
        return;
    if (restrict_cleared(segment, name, &cleared))
        glupy_locks_cleared(segment, &cleared);
}
