/*
 * The fops: each wrapper in fops.inc, generated from the installed xlator.h, calls glupy_begin on
 * its way down and glupy_end on its way up. Between the two, the fop's start time is in its own
 * frame->begin, where GlusterFS's latency code would put nearly the same value, and its slots are
 * in the cookie of the child's frame: nothing is allocated and nothing has to be freed.
 */
#include <glusterfs/defaults.h>

#include "glupy.h"

/* The cookie: slots plus one (0 is none), and which segment they are slots of. */
#define FILE_BITS 24
#define CLIENT_BITS 20
#define EPOCH_BITS 20
_Static_assert(sizeof(void *) == 8, "a cookie holds 64 bits");
_Static_assert(GLUPY_FILE_SLOTS_MAX < 1UL << FILE_BITS, "file slots fit the cookie");
_Static_assert(GLUPY_CLIENT_SLOTS_MAX < 1UL << CLIENT_BITS, "client slots fit the cookie");

#define LOW_BITS(value, bits) ((uint64_t)(value) & ((1UL << (bits)) - 1))

static inline void *
cookie_pack(uint32_t file, uint32_t client, uint32_t epoch)
{
    uint64_t packed = LOW_BITS(file + 1, FILE_BITS);

    packed |= LOW_BITS(client + 1, CLIENT_BITS) << FILE_BITS;
    packed |= LOW_BITS(epoch, EPOCH_BITS) << (FILE_BITS + CLIENT_BITS);
    return (void *)packed;
}

static inline uint32_t
cookie_file(const void *cookie)
{
    uint64_t slot = LOW_BITS(cookie, FILE_BITS);

    return slot ? (uint32_t)slot - 1 : GLUPY_NO_SLOT;
}

static inline uint32_t
cookie_client(const void *cookie)
{
    uint64_t slot = LOW_BITS((uint64_t)cookie >> FILE_BITS, CLIENT_BITS);

    return slot ? (uint32_t)slot - 1 : GLUPY_NO_SLOT;
}

static inline bool
cookie_is_of(const void *cookie, const struct glupy_segment *segment)
{
    return (uint64_t)cookie >> (FILE_BITS + CLIENT_BITS) == LOW_BITS(segment->epoch, EPOCH_BITS);
}

static inline uint64_t
timespec_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000UL + (uint64_t)time->tv_nsec;
}

static inline bool
is_null(const uint8_t *gfid)
{
    uint64_t halves[2];

    memcpy(halves, gfid, sizeof(halves));
    return (halves[0] | halves[1]) == 0;
}

/* The gfid that a fop's argument names, or NULL where it is not known yet. */
static inline const uint8_t *
loc_file(const loc_t *loc)
{
    if (loc->inode && !is_null(loc->inode->gfid))
        return loc->inode->gfid;
    return is_null(loc->gfid) ? NULL : loc->gfid;
}

static inline const uint8_t *
fd_file(const fd_t *fd)
{
    return is_null(fd->inode->gfid) ? NULL : fd->inode->gfid;
}

static inline const uint8_t *
iatt_file(const struct iatt *iatt)
{
    return iatt && !is_null(iatt->ia_gfid) ? iatt->ia_gfid : NULL;
}

static inline uint32_t
file_slot(const struct glupy_segment *segment, const uint8_t *gfid, uint64_t now)
{
    uint32_t slot = glupy_file_slot(segment, gfid, now);

    if (slot == GLUPY_NO_SLOT)
        glupy_add(&segment->header->files_untracked_fops, 1);
    return slot;
}

/* protocol/server writes the peer's ADDRESS:PORT into the call stack, or the path of its socket. */
static inline uint32_t
client_slot(const struct glupy_segment *segment, const call_stack_t *root, uint64_t now)
{
    const char *address = root->identifier, *port;
    uint32_t slot;
    size_t length;

    if (!glupy_seated(segment, root->client, root->client->tbl_index, &slot)) {
        length = strnlen(address, sizeof(root->identifier));
        port = memrchr(address, ':', length);
        slot = glupy_take_seat(segment, root->client, root->client->tbl_index, address,
                               port ? (size_t)(port - address) : length, now);
    }
    if (slot == GLUPY_NO_SLOT)
        glupy_add(&segment->header->clients_untracked_fops, 1);
    return slot;
}

/* Counts a fop that sets out. False if nothing is counted now: then it need not come back here. */
static inline bool
glupy_begin(call_frame_t *frame, const xlator_t *this, uint32_t fop, const uint8_t *gfid,
            void **cookie)
{
    const struct glupy_private *private = this->private;
    const struct glupy_segment *segment = __atomic_load_n(&private->counting, __ATOMIC_ACQUIRE);
    uint32_t file = GLUPY_NO_SLOT, client = GLUPY_NO_SLOT;
    uint64_t now;

    if (!segment)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &frame->begin);
    now = timespec_ns(&frame->begin);
    if (gfid)
        file = file_slot(segment, gfid, now);
    if (frame->root->client)
        client = client_slot(segment, frame->root, now);
    *cookie = cookie_pack(file, client, segment->epoch);
    glupy_count_start(segment, glupy_shard(segment), fop);
    return true;
}

/* Counts a fop that comes back; `gfid` is what its reply says, for fops that did not know. */
static inline void
glupy_end(const call_frame_t *frame, const void *cookie, const xlator_t *this, uint32_t fop,
          uint32_t kind, int32_t op_ret, int32_t op_errno, const uint8_t *gfid)
{
    const struct glupy_private *private = this->private;
    const struct glupy_segment *segment = __atomic_load_n(&private->segment, __ATOMIC_ACQUIRE);
    struct glupy_outcome outcome = {.kind = kind, .failed = op_ret < 0};
    uint32_t file = cookie_file(cookie), client = cookie_client(cookie);
    uint32_t shard;

    if (!segment || !cookie_is_of(cookie, segment))
        return;
    outcome.now = glupy_monotonic_ns();
    outcome.ns = outcome.now - timespec_ns(&frame->begin);
    shard = glupy_shard(segment);
    glupy_count_end(segment, shard, fop, outcome.ns);
    if (outcome.failed) {
        glupy_count_error(segment, shard, fop, op_errno);
    } else if ((fop == GF_FOP_READ || fop == GF_FOP_WRITE) && op_ret > 0) {
        outcome.bytes = (uint64_t)op_ret;
        glupy_count_io(segment, shard, kind, outcome.bytes);
    }
    if (file == GLUPY_NO_SLOT && gfid && !outcome.failed)
        file = file_slot(segment, gfid, outcome.now);
    if (file != GLUPY_NO_SLOT)
        glupy_count_file(segment, file, &outcome);
    if (client != GLUPY_NO_SLOT)
        glupy_count_client(segment, client, &outcome);
}

#include "fops.inc"
