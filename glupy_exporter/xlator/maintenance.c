/*
 * What needs doing once a second and off the fops' path: the heartbeat, the files' names, and a new
 * segment where somebody deleted or truncated the one in use or where none could be made so far.
 */
#include <glusterfs/common-utils.h>
#include <glusterfs/inode.h>

#include "glupy.h"
#include "handle.h"

#define NAMES_A_ROUND 4096    /* bounds how long one round holds up inode_find's table lock */
#define DISK_NAMES_A_ROUND 16 /* bounds what the brick's disk notices of it */
#define DISK_DELAY 300        /* rounds between two looks for one file's name there */
#define NEVER UINT32_MAX      /* a round */
#define LOOKING (NEVER - 1)   /* in place of a round */
#define SHARDS "/.shard/"
#define NAME_DELAY_MAX 32    /* rounds between two looks at one file's name */
#define PUBLISH_DELAY 30     /* rounds between two tries to make a segment */
#define MEMBERSHIP_DELAY 10U /* rounds between looks at glusterd's record of the volume */

/* On a brick the table hangs on the io-stats above, to which clients are bound. */
static inode_table_t *
inode_table(xlator_t *this)
{
    xlator_t *xl;

    for (xl = this; xl; xl = xl->parents ? xl->parents->xlator : NULL)
        if (xl->itable)
            return xl->itable;
    return NULL;
}

/* The path of a file from the brick's inode table; NULL if it is not there, or nothing of its name
 * is. *failed if it is no use to ask again: inode_path logs when a path is longer than PATH_MAX. */
static char *
look_up(inode_table_t *table, uuid_t gfid, bool *failed)
{
    inode_t *inode = inode_find(table, gfid);
    char *path = NULL;

    *failed = false;
    if (!inode)
        return NULL;
    *failed = inode_path(inode, NULL, &path) < 0;
    inode_unref(inode);
    /* "<gfid:...>/name" is better than nothing, "<gfid:...>" is nothing. */
    if (path && !strchr(path, '/')) {
        GF_FREE(path);
        path = NULL;
    }
    return path;
}

/* A shard whose name nobody saw go by: after a restart of the brick clients know it by its gfid.
 * Its own slot has counted so far and will be given away. */
static void
learn_shard(struct glupy_segment *segment, const uint8_t *gfid, const char *path)
{
    uint8_t base[16];

    if (strncmp(path, SHARDS, strlen(SHARDS)) == 0 && glupy_shard_base(path + strlen(SHARDS), base))
        glupy_alias_learn(&segment->aliases, glupy_hash(gfid, 16), base);
}

/* One round's search for names. */
struct search {
    inode_table_t *table;
    const char *brick;
    uint32_t round;
    uint32_t disk_left; /* looks on the disk */
};

/* The path of a file that the inode table does not tell. Clients that had it open when the brick
 * was restarted go on by gfid, so that nobody may say its name here for days. */
static const char *
look_on_disk(struct search *search, struct glupy_name_due *due, const uint8_t *gfid, char *buffer)
{
    if (!search->disk_left || search->round < __atomic_load_n(&due->disk_round, __ATOMIC_RELAXED))
        return NULL;
    search->disk_left--;
    __atomic_store_n(&due->disk_round, search->round + DISK_DELAY, __ATOMIC_RELAXED);
    return glupy_handle_path(search->brick, gfid, buffer, PATH_MAX);
}

/* Looks for one file's name. It may be unknown, or known only below some directory; a full path is
 * asked for again now and then, since names are not ours to watch. */
static void
resolve_name(struct glupy_segment *segment, uint32_t slot, uint32_t seq, struct search *search)
{
    struct glupy_file_name *name = &segment->file_names[slot];
    struct glupy_name_due *due = &segment->names_due[slot];
    bool unlinked = __atomic_exchange_n(&due->unlinked, 0, __ATOMIC_RELAXED);
    uint32_t next, looking = LOOKING;
    char *in_memory, buffer[PATH_MAX];
    const char *path;
    bool failed, full;
    uuid_t gfid;

    /* The slot may be given away while we look; what is found is this file's. */
    memcpy(gfid, name->gfid, sizeof(gfid));
    __atomic_store_n(&due->round, LOOKING, __ATOMIC_RELAXED);
    path = in_memory = look_up(search->table, gfid, &failed);
    if (!failed && (!path || path[0] != '/')) {
        path = look_on_disk(search, due, gfid, buffer);
        path = path ? path : in_memory;
    }
    full = path && path[0] == '/';
    if (full)
        learn_shard(segment, gfid, path);
    due->delay = due->delay ? min(due->delay * 2, NAME_DELAY_MAX) : 1;
    next = failed ? NEVER : search->round + (full ? NAME_DELAY_MAX : due->delay);
    /* Unless it has been renamed since. */
    __atomic_compare_exchange_n(&due->round, &looking, next, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
    if (full || (path && !name->path_length))
        glupy_segment_set_path(segment, slot, seq, path);
    else if (unlinked && !path)
        glupy_segment_set_path(segment, slot, seq, NULL);
    GF_FREE(in_memory);
}

/* A directory was renamed, and with it all that is below. */
static void
doubt_names(struct glupy_segment *segment, uint32_t slots)
{
    struct glupy_name_due *due = segment->names_due;

    for (; slots; slots--, due++) {
        if (due->round != NEVER)
            __atomic_store_n(&due->round, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&due->disk_round, 0, __ATOMIC_RELAXED);
    }
}

static void
resolve_names(xlator_t *this, struct glupy_segment *segment, uint32_t round)
{
    struct glupy_private *private = this->private;
    struct search search = {inode_table(this), private->identity.brick, round, DISK_NAMES_A_ROUND};
    uint32_t slots = segment->files.sets * GLUPY_WAYS;
    uint32_t slot, seq, generation, visited, looked = 0;
    struct glupy_name_due *due;

    if (!search.table)
        return;
    if (__atomic_exchange_n(&segment->names_stale, 0, __ATOMIC_RELAXED))
        doubt_names(segment, slots);
    for (visited = 0; visited < slots && looked < NAMES_A_ROUND; visited++) {
        slot = segment->names_cursor++ % slots;
        seq = __atomic_load_n(&segment->files.seqs[slot], __ATOMIC_ACQUIRE);
        if (seq % 2 || !glupy_load(&segment->files.tags[slot]))
            continue;
        due = &segment->names_due[slot];
        generation = glupy_table_generation(&segment->files, slot);
        if (due->generation != generation)
            *due = (struct glupy_name_due){.generation = generation};
        if (round < __atomic_load_n(&due->round, __ATOMIC_RELAXED))
            continue;
        resolve_name(segment, slot, seq, &search);
        looked++;
    }
}

/* Returns the segment in use, after making one where there should be one and is none. */
static struct glupy_segment *
ensure_segment(xlator_t *this, uint32_t round)
{
    struct glupy_private *private = this->private;
    struct glupy_segment *segment = private->segment;
    enum glupy_segment_name name = segment ? glupy_segment_name(segment) : GLUPY_NAME_GONE;
    char error[512];

    if (name == GLUPY_NAME_OURS || name == GLUPY_NAME_OTHERS)
        return segment;
    /* Whoever keeps us from making one has been logged already, once. */
    if ((segment || round % PUBLISH_DELAY == 0) && glupy_publish(this, error, sizeof(error)) == 0)
        gf_log(this->name, GF_LOG_INFO, "made segment %s anew", private->segment->path);
    return private->segment;
}

/* What was done long ago must not decide who is busy, or who does most on a file, now. */
static void
decay(struct glupy_segment *segment, uint32_t half_life)
{
    double share = glupy_decay_share(half_life);
    uint64_t *lead;
    uint32_t slot;

    glupy_table_decay(&segment->files, share);
    glupy_table_decay(&segment->clients, share);
    for (slot = 0; slot < segment->files.sets * GLUPY_WAYS; slot++) {
        lead = &segment->file_counters[slot].top_client_lead;
        if (glupy_load(lead))
            glupy_store(lead, (uint64_t)((double)glupy_load(lead) * (1 - share)));
    }
}

/* Bricks are added and removed while this one runs. The record is read without the mutex, as a disk
 * may be slow. */
static void
follow_membership(struct glupy_private *private, struct glupy_header *header)
{
    struct glupy_membership now = private->membership;

    if (!glupy_read_membership(&private->identity, &now))
        return;
    pthread_mutex_lock(&private->mutex);
    private->membership = now;
    __atomic_store_n(&header->subvolume, now.subvolume, __ATOMIC_RELAXED);
    glupy_store(&header->volume_bricks, now.bricks);
    pthread_mutex_unlock(&private->mutex);
}

static void *
maintain(void *argument)
{
    xlator_t *this = argument;
    struct glupy_private *private = this->private;
    struct glupy_segment *segment;
    struct timespec until;
    uint32_t round, half_life;

    THIS = this;
    pthread_mutex_lock(&private->mutex);
    for (round = 1; !private->stop; round++) {
        segment = ensure_segment(this, round);
        half_life = private->options.half_life;
        if (segment) {
            /* Not under the mutex: an inode's last reference may go here, and whatever forgetting
             * it takes must not keep a change of options waiting. A segment that is replaced
             * meanwhile stays in memory until this thread has ended. */
            pthread_mutex_unlock(&private->mutex);
            glupy_store(&segment->header->heartbeat, glupy_monotonic_ns());
            resolve_names(this, segment, round);
            decay(segment, half_life);
            if (round % MEMBERSHIP_DELAY == 0)
                follow_membership(private, segment->header);
            pthread_mutex_lock(&private->mutex);
        }
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        while (!private->stop &&
               pthread_cond_timedwait(&private->wake, &private->mutex, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&private->mutex);
    return NULL;
}

void
glupy_maintenance_start(xlator_t *this)
{
    struct glupy_private *private = this->private;

    if (private->running)
        return;
    private->stop = false;
    private->running = gf_thread_create(&private->thread, NULL, maintain, this, "glupy") == 0;
    if (!private->running)
        gf_log(this->name, GF_LOG_ERROR, "no maintenance thread: files stay without names");
}

void
glupy_maintenance_stop(xlator_t *this)
{
    struct glupy_private *private = this->private;

    if (!private->running)
        return;
    pthread_mutex_lock(&private->mutex);
    private->stop = true;
    pthread_cond_signal(&private->wake);
    pthread_mutex_unlock(&private->mutex);
    pthread_join(private->thread, NULL);
    private->running = false;
}
