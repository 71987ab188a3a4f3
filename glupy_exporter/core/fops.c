/*
 * The fops: each wrapper in fops.inc, generated from the installed xlator.h, calls glupy_begin on
 * its way down and glupy_end on its way up. Between the two, the fop's start time is in its
 * frame->begin, where GlusterFS's latency code would put nearly the same value. Its slots are in
 * the cookie of the child's frame, and all else is in its frame->end. So nothing is allocated and
 * nothing has to be freed.
 */
#include <glusterfs/defaults.h>

#include "asked.h"
#include "glupy.h"

/* What a fop keeps in its frame->end until it comes back. GlusterFS writes there only if it
 * measures latencies, and only when the fop goes on to the translator above. */
struct kept {
    uint64_t key;  /* of its file; 0: not known yet */
    uint32_t note; /* of a few fops: see note_replaced, note_bytes, note_clearing, glupy_ask_lock */
    uint32_t listed; /* its entry among the fops in flight */
};
_Static_assert(sizeof(struct kept) == sizeof(struct timespec), "frame->end holds it");

static inline void
keep(call_frame_t *frame, struct kept kept)
{
    memcpy(&frame->end, &kept, sizeof(kept));
}

static inline struct kept
recall(const call_frame_t *frame)
{
    struct kept kept;

    memcpy(&kept, &frame->end, sizeof(kept));
    return kept;
}

/* The cookie has the slots (plus one; 0: none), the low bits of their generations and those of the
 * segment's epoch. Low bits are enough to tell them from earlier ones. */
#define FILE_BITS 21
#define FILE_GENERATION_BITS 11
#define CLIENT_BITS 17
#define CLIENT_GENERATION_BITS 6
#define EPOCH_BITS 8
_Static_assert(sizeof(void *) == 8, "a cookie holds 64 bits");
_Static_assert(FILE_BITS + FILE_GENERATION_BITS + 1 + CLIENT_BITS + CLIENT_GENERATION_BITS +
                       EPOCH_BITS ==
                   64,
               "a cookie is full");
_Static_assert(GLUPY_EPOCHS < 1UL << EPOCH_BITS, "epochs fit the cookie");
_Static_assert(GLUPY_FILE_SLOTS_MAX < 1UL << FILE_BITS, "file slots fit the cookie");
_Static_assert(GLUPY_CLIENT_SLOTS_MAX < 1UL << CLIENT_BITS, "client slots fit the cookie");

/* Instead of a slot: the file is known, but has none. */
#define FILE_REFUSED ((1U << FILE_BITS) - 1)
/* Instead of slots, which are all below these: the cookie was lost. */
#define FILE_LOST (FILE_REFUSED - 1)
#define CLIENT_LOST ((1U << CLIENT_BITS) - 1)
_Static_assert(GLUPY_FILE_SLOTS_MAX < FILE_LOST && GLUPY_CLIENT_SLOTS_MAX < CLIENT_LOST,
               "no slot looks like that");

struct cookie {
    uint64_t file : FILE_BITS;
    uint64_t file_generation : FILE_GENERATION_BITS;
    uint64_t shard : 1; /* the fop is on a shard of the file */
    uint64_t client : CLIENT_BITS;
    uint64_t client_generation : CLIENT_GENERATION_BITS;
    uint64_t epoch : EPOCH_BITS;
};

static inline void *
cookie_pack(const struct glupy_segment *segment, struct glupy_place file, bool shard,
            struct glupy_place client)
{
    struct cookie cookie = {
        .file = file.slot + 1,
        .file_generation = file.generation,
        .shard = shard,
        .client = client.slot + 1,
        .client_generation = client.generation,
        .epoch = segment->epoch,
    };
    void *packed;

    memcpy(&packed, &cookie, sizeof(packed));
    return packed;
}

static inline struct cookie
cookie_unpack(const void *packed)
{
    struct cookie cookie;

    memcpy(&cookie, &packed, sizeof(cookie));
    return cookie;
}

/* Whether the slot still has the generation whose low bits the cookie kept. There may be no such
 * slot, as other translators can write to a cookie. */
static inline bool
still_held(const struct glupy_table *table, uint32_t slot, uint32_t generation, uint32_t bits)
{
    return slot < table->sets * GLUPY_WAYS &&
           ((glupy_table_generation(table, slot) ^ generation) & ((1U << bits) - 1)) == 0;
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

/* The file that a fop's argument or reply names; no gfid where it is not known yet. */
struct named {
    const uint8_t *gfid;
    ia_type_t type;
    const char *shard; /* its name if it is a shard, else NULL */
};

static inline struct named
named(const uint8_t *gfid, ia_type_t type)
{
    return (struct named){is_null(gfid) ? NULL : gfid, type, NULL};
}

static inline struct named
no_file(void)
{
    return (struct named){NULL, IA_INVAL, NULL};
}

/* The name if `loc` is a shard, an entry of the directory in which all shards are; NULL if not. */
static inline const char *
shard_name(const loc_t *loc)
{
    /* SHARD_ROOT_GFID of common-utils.h. */
    static const uint8_t directory[16] = {0xbe, 0x31, 0x86, 0x38, 0xe8, 0xa0, 0x4c, 0x6d,
                                          0x97, 0x7d, 0x7a, 0x93, 0x7a, 0xa8, 0x48, 0x06};

    if (!loc->name || !loc->parent || memcmp(loc->parent->gfid, directory, sizeof(directory)) != 0)
        return NULL;
    return loc->name;
}

static inline struct named
loc_file(const loc_t *loc)
{
    bool known = loc->inode && !is_null(loc->inode->gfid);
    struct named file =
        known ? named(loc->inode->gfid, loc->inode->ia_type) : named(loc->gfid, IA_INVAL);

    file.shard = shard_name(loc);
    return file;
}

static inline struct named
fd_file(const fd_t *fd)
{
    return named(fd->inode->gfid, fd->inode->ia_type);
}

static inline struct named
iatt_file(const struct iatt *iatt)
{
    return iatt ? named(iatt->ia_gfid, iatt->ia_type) : no_file();
}

/* Finds the place of a file; for a shard that of the file that it belongs to, which `base` then
 * has. The slot is
 * GLUPY_NO_SLOT if the file is not known yet, and FILE_REFUSED - 1 if it is known but has none. */
static inline struct glupy_place
file_place(struct glupy_segment *segment, struct named file, uint64_t now, uint64_t *key,
           bool *shard, uint8_t base[16])
{
    struct glupy_place place = {.slot = GLUPY_NO_SLOT};

    if (file.gfid)
        *key = glupy_file_key(segment, file.gfid);
    if (file.shard && glupy_shard_base(file.shard, base)) {
        *shard = true;
        if (file.gfid)
            glupy_alias_learn(&segment->aliases, *key, base);
    } else if (file.gfid && __atomic_load_n(&segment->aliases.any, __ATOMIC_RELAXED)) {
        *shard = glupy_alias_find(&segment->aliases, *key, base);
    }
    if (*shard) {
        *key = glupy_file_key(segment, base);
        place = glupy_file_place(segment, *key, base, IA_IFREG, now);
    } else if (file.gfid) {
        place = glupy_file_place(segment, *key, file.gfid, file.type, now);
    } else {
        return place;
    }
    if (place.slot == GLUPY_NO_SLOT)
        place.slot = FILE_REFUSED - 1;
    return place;
}

/* Returns 0 for a fop of an application; for one of GlusterFS's own clients, its index in ORIGINS
 * of layout.py, plus one. */
static inline uint32_t
internal_origin(const call_stack_t *root)
{
    uint32_t origin = 0U - (uint32_t)root->pid;

    if (root->pid >= 0 || origin == GLUPY_NO_ROOT_SQUASH)
        return 0;
    return origin < GLUPY_ORIGINS ? origin + 1 : 1;
}

/* The process id in the name that a client gives itself: CTX_ID:UUID-GRAPH_ID:0-PID:1234-HOST:...
 * (see client_setvolume of protocol/client). 0 if there is none. Called once a connection. */
static inline uint32_t
client_process(const char *uid)
{
    const char *digits = uid ? strstr(uid, "-PID:") : NULL;
    uint64_t process = 0;

    if (!digits)
        return 0;
    for (digits += strlen("-PID:"); *digits >= '0' && *digits <= '9'; digits++) {
        process = process * 10 + (uint64_t)(*digits - '0');
        if (process > INT32_MAX)
            return 0;
    }
    return *digits == '-' ? (uint32_t)process : 0;
}

/* Finds the place of the client. protocol/server writes its ADDRESS:PORT, or the path of its
 * socket, into the call stack. */
static inline struct glupy_place
client_place(struct glupy_segment *segment, const call_stack_t *root, uint64_t now)
{
    struct glupy_peer peer = {.address = root->identifier};
    struct glupy_place place;
    const char *port;

    if (glupy_seated(segment, root->client, root->client->tbl_index, &place))
        return place;
    peer.length = strnlen(peer.address, sizeof(root->identifier));
    /* This is a flush by which the server closes the files of a client that has gone. */
    if (!peer.length)
        return (struct glupy_place){.slot = GLUPY_NO_SLOT};
    port = memrchr(peer.address, ':', peer.length);
    if (port)
        peer.length = (size_t)(port - peer.address);
    if (segment->client_processes)
        peer.process = client_process(root->client->client_uid);
    return glupy_take_seat(segment, root->client, root->client->tbl_index, &peer, now);
}

/* The sender of a fop; the client has a tag while it has a slot. */
static inline struct glupy_sender
sender(const struct glupy_segment *segment, const call_stack_t *root, uint32_t client)
{
    return (struct glupy_sender){
        .client = client == GLUPY_NO_SLOT ? 0 : glupy_load(&segment->clients.tags[client]),
        .uid = root->uid,
        .gid = root->gid,
        .pid = root->pid,
    };
}

/* Counts the start of a fop. Returns NULL if counting is off; then the fop need not come back. */
static inline struct glupy_segment *
glupy_begin(call_frame_t *frame, xlator_t *this, uint32_t fop, struct named file_named,
            struct glupy_asked asked, void **cookie)
{
    struct glupy_private *private = this->private;
    struct glupy_place file = {.slot = GLUPY_NO_SLOT}, client = {.slot = GLUPY_NO_SLOT};
    struct glupy_segment *segment;
    struct glupy_sender from;
    struct kept kept = {0};
    uint32_t lane;
    uint8_t base[16];
    bool shard = false;
    uint64_t now;

    /* After fini there is no private data. */
    segment = private ? __atomic_load_n(&private->counting, __ATOMIC_ACQUIRE) : NULL;
    if (!segment)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, &frame->begin);
    now = timespec_ns(&frame->begin);
    if (!internal_origin(frame->root)) {
        file = file_place(segment, file_named, now, &kept.key, &shard, base);
        if (frame->root->client)
            client = client_place(segment, frame->root, now);
    }
    lane = glupy_lane(segment);
    if (__atomic_load_n(&segment->recording, __ATOMIC_RELAXED)) {
        if (asked.lock_kind)
            kept.note = glupy_ask_lock(segment, frame, this, file_named.gfid, &asked);
        from = sender(segment, frame->root, client.slot);
        kept.listed =
            glupy_flight_begin(segment, lane, fop, now,
                               shard && !asked.lock_kind ? base : file_named.gfid, &from, &asked);
    }
    keep(frame, kept);
    *cookie = cookie_pack(segment, file, shard, client);
    glupy_count_start(segment, lane, fop);
    return segment;
}

/* Notes how much a put stores, as its reply does not say. */
static inline void
note_bytes(call_frame_t *frame, size_t bytes)
{
    struct kept kept = recall(frame);

    kept.note = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    keep(frame, kept);
}

/* Notes the slot of the file that a rename replaces, plus one, if it has one. */
static inline void
note_replaced(call_frame_t *frame, const struct glupy_segment *segment, const loc_t *loc)
{
    struct named file = loc_file(loc);
    struct kept kept = recall(frame);

    if (file.gfid)
        kept.note = glupy_table_find(&segment->files, glupy_file_key(segment, file.gfid)) + 1;
    keep(frame, kept);
}

/* Notes that an administrator clears locks of a file. The reply says which, by the same name. */
static inline void
note_clearing(call_frame_t *frame, const struct glupy_segment *segment, const loc_t *loc,
              const char *name)
{
    struct named file = loc_file(loc);
    struct kept kept;

    if (!file.gfid || !name || strncmp(name, GLUPY_CLEARING, strlen(GLUPY_CLEARING)) != 0)
        return;
    kept = recall(frame);
    kept.key = glupy_file_key(segment, file.gfid);
    kept.note = 1;
    keep(frame, kept);
}

/* An administrator's getxattr that has come back. */
struct clearing {
    struct glupy_segment *segment;
    uint64_t key;
    uint64_t started;
};

static int
clear_named(dict_t *dict, char *name, data_t *value, void *data)
{
    const struct clearing *clearing = data;

    (void)dict, (void)value;
    glupy_note_cleared(clearing->segment, clearing->key, clearing->started, name);
    return 0;
}

static __attribute__((cold, noinline)) void
clear_locks(const call_frame_t *frame, const void *packed, const xlator_t *this, dict_t *reply)
{
    const struct glupy_private *private = this->private;
    struct clearing clearing = {.key = recall(frame).key, .started = timespec_ns(&frame->begin)};
    uint32_t epoch = cookie_unpack(packed).epoch;

    clearing.segment = private ? __atomic_load_n(&private->segment, __ATOMIC_ACQUIRE) : NULL;
    /* 0: the translator below has overwritten the cookie. */
    if (clearing.segment && (!epoch || epoch == clearing.segment->epoch))
        dict_foreach(reply, clear_named, &clearing);
}

/* Takes the locks off the list that GlusterFS has cleared. Before it answers, it grants locks to
 * requests that waited for those: these stay, as they were granted later than the fop began. */
static inline void
note_cleared(const call_frame_t *frame, const void *packed, const xlator_t *this, int32_t op_ret,
             dict_t *reply)
{
    if (recall(frame).note && op_ret >= 0 && reply)
        clear_locks(frame, packed, this, reply);
}

/* Has the maintenance thread look for a file's name again, as it got another or lost one. */
static inline void
name_changed(struct glupy_segment *segment, uint32_t slot, bool unlinked)
{
    struct glupy_name_due *due;

    if (slot == GLUPY_NO_SLOT)
        return;
    due = &segment->names_due[slot];
    __atomic_store_n(&due->unlinked, unlinked, __ATOMIC_RELAXED);
    __atomic_store_n(&due->disk_round, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&due->round, 0, __ATOMIC_RELAXED);
}

/* `slot` is that of the file that the fop is about, `replaced` is what note_replaced has kept. If
 * that slot was given away meanwhile, its new owner's name is looked up once more. */
static inline void
names_changed(struct glupy_segment *segment, uint32_t slot, uint32_t fop, ia_type_t type,
              uint32_t replaced)
{
    name_changed(segment, slot, fop != GF_FOP_RENAME);
    if (fop != GF_FOP_RENAME)
        return;
    if (type == IA_IFDIR)
        __atomic_store_n(&segment->names_stale, 1, __ATOMIC_RELAXED);
    if (replaced && replaced <= segment->files.sets * GLUPY_WAYS)
        name_changed(segment, replaced - 1, true);
}

/* Learns the file of a shard that was found or made just now: the one in the slot, unless that was
 * given away. */
static inline void
learn_shard(struct glupy_segment *segment, struct cookie cookie, const uint8_t *shard)
{
    uint8_t base[16];

    memcpy(base, segment->files_names[cookie.file - 1].gfid, sizeof(base));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (still_held(&segment->files, cookie.file - 1, cookie.file_generation, FILE_GENERATION_BITS))
        glupy_alias_learn(&segment->aliases, glupy_file_key(segment, shard), base);
}

/* Finds the slot that a file has now, after it lost the slot that it had when the fop started. If
 * it has none, the table notes the fop for the bound of the file's count. Such fops are rare, so
 * this is kept out of the code of the others. */
static __attribute__((cold, noinline)) uint32_t
late_file(struct glupy_segment *segment, const call_frame_t *frame)
{
    uint64_t key = recall(frame).key;

    /* 0: the cookie is not ours. */
    return key ? glupy_return(&segment->files, key) : GLUPY_NO_SLOT;
}

static __attribute__((cold, noinline)) uint32_t
late_client(struct glupy_segment *segment, const call_frame_t *frame, uint64_t now)
{
    struct glupy_place place = {.slot = GLUPY_NO_SLOT};

    if (frame->root->client)
        place = client_place(segment, frame->root, now);
    return glupy_holds(&segment->clients, place) ? place.slot : GLUPY_NO_SLOT;
}

/* Adds an application's fop to its file and client, where they have slots. */
static inline void
count_places(struct glupy_segment *segment, const call_frame_t *frame, struct cookie cookie,
             uint32_t fop, struct named reply, const struct glupy_outcome *outcome)
{
    uint32_t file = GLUPY_NO_SLOT, client = GLUPY_NO_SLOT;
    struct glupy_place place;
    uint64_t key;

    if (cookie.file && cookie.file != FILE_REFUSED) {
        file = cookie.file - 1;
        if (!still_held(&segment->files, file, cookie.file_generation, FILE_GENERATION_BITS))
            file = late_file(segment, frame);
    } else if (!cookie.file && !cookie.shard && reply.gfid && !outcome->failed) {
        key = glupy_file_key(segment, reply.gfid);
        place = glupy_file_place(segment, key, reply.gfid, reply.type, outcome->now);
        file = place.slot;
        if (file != GLUPY_NO_SLOT && !glupy_holds(&segment->files, place))
            file = glupy_return(&segment->files, key);
    }
    if (file != GLUPY_NO_SLOT && file + 1 == cookie.file && cookie.shard && reply.gfid &&
        !outcome->failed)
        learn_shard(segment, cookie, reply.gfid);
    if (cookie.client) {
        client = cookie.client - 1;
        if (!still_held(&segment->clients, client, cookie.client_generation,
                        CLIENT_GENERATION_BITS))
            client = late_client(segment, frame, outcome->now);
    }
    if (file != GLUPY_NO_SLOT)
        glupy_count(&segment->files, file, outcome);
    if (client != GLUPY_NO_SLOT)
        glupy_count(&segment->clients, client, outcome);
    if (file != GLUPY_NO_SLOT && client != GLUPY_NO_SLOT)
        glupy_vote(segment, file, client);
    if ((fop == GF_FOP_RENAME || fop == GF_FOP_UNLINK || fop == GF_FOP_RMDIR) && !outcome->failed &&
        !cookie.shard)
        names_changed(segment, file, fop, reply.type, recall(frame).note);
}

/* Hands a fop that came back to the recorder. Only few fops are, so this is kept out of the code
 * of the others. */
static __attribute__((cold, noinline)) void
record(struct glupy_segment *segment, struct glupy_ended *ended, const call_frame_t *frame,
       struct cookie cookie)
{
    uint32_t client = GLUPY_NO_SLOT;

    if (cookie.client && still_held(&segment->clients, cookie.client - 1, cookie.client_generation,
                                    CLIENT_GENERATION_BITS))
        client = cookie.client - 1;
    ended->sender = sender(segment, frame->root, client);
    glupy_record(segment, ended);
}

/* Counts a fop that comes back; `reply` names the file for fops that did not know it. */
static inline void
glupy_end(const call_frame_t *frame, const void *packed, const xlator_t *this, uint32_t fop,
          uint32_t kind, bool locks, int32_t op_ret, int32_t op_errno, struct named reply)
{
    struct glupy_private *private = this->private;
    struct glupy_outcome outcome = {.kind = kind, .failed = op_ret < 0};
    struct cookie cookie = cookie_unpack(packed);
    struct glupy_segment *segment;
    struct glupy_flight *flight;
    struct glupy_ended ended;
    uint32_t lane, origin;

    segment = private ? __atomic_load_n(&private->segment, __ATOMIC_ACQUIRE) : NULL;
    if (!segment)
        return;
    /* The translator below has overwritten the cookie: file and client are looked up again. */
    if (!cookie.epoch)
        cookie = (struct cookie){
            .file = FILE_LOST, .client = CLIENT_LOST, .epoch = (uint8_t)segment->epoch};
    if (cookie.epoch != segment->epoch)
        return;
    outcome.now = glupy_monotonic_ns();
    outcome.ns = outcome.now - timespec_ns(&frame->begin);
    lane = glupy_lane(segment);
    glupy_count_end(segment, lane, fop, outcome.ns);
    if (outcome.failed) {
        glupy_count_error(segment, lane, fop, op_errno);
    } else if (kind != GLUPY_METADATA) {
        outcome.bytes = fop == GF_FOP_PUT ? recall(frame).note : (uint64_t)op_ret;
        if (outcome.bytes)
            glupy_count_io(segment, lane, kind, outcome.bytes);
    }
    origin = internal_origin(frame->root);
    flight = glupy_flight(segment, recall(frame).listed);
    if (glupy_notable(segment, fop, outcome.ns, outcome.now)) {
        ended = (struct glupy_ended){.now = outcome.now,
                                     .ns = outcome.ns,
                                     .flight = flight,
                                     .gfid = outcome.failed ? NULL : reply.gfid,
                                     .bytes = outcome.bytes,
                                     .fop = fop,
                                     .data = kind != GLUPY_METADATA,
                                     .error = outcome.failed ? (op_errno ? op_errno : -1) : 0};
        record(segment, &ended, frame, cookie);
    }
    if (locks && recall(frame).note && !outcome.failed &&
        __atomic_load_n(&segment->recording, __ATOMIC_RELAXED))
        glupy_lock_answered(segment, frame, flight, outcome.now);
    if (flight)
        glupy_flight_end(segment, lane, flight);
    if (origin)
        glupy_count_internal(segment, origin - 1, &outcome);
    else
        count_places(segment, frame, cookie, fop, reply, &outcome);
}

#include "fops.inc"
