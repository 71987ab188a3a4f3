/*
 * The work of each second, off the fops' path: the heartbeat, the files' names, facts about disk
 * and process, and a new segment if somebody deleted or truncated the one in use, or none could be
 * made so far.
 */
#include <glusterfs/common-utils.h>
#include <glusterfs/inode.h>

#include "glupy.h"
#include "handle.h"
#include "recorder.h"

#define NAMES_A_ROUND 4096    /* bounds how often one round takes the inode table's lock */
#define DISK_NAMES_A_ROUND 16 /* bounds the load on the brick's disk */
#define DISK_DELAY 300        /* rounds between two looks for one file's name there, */
#define DISK_DELAY_LEAST 30   /* and while directories are renamed */
#define NEVER UINT32_MAX      /* a round that does not come */
#define LOOKING (NEVER - 1)   /* another: the thread is looking right now */
#define SHARDS "/.shard/"
#define NAME_DELAY_MAX 32    /* rounds between two looks at one file's name */
#define ATTEMPTS 8           /* how often a segment may be made anew in a row, */
#define ATTEMPT_DELAY 30     /* and after how many rounds once more */
#define MEMBERSHIP_DELAY 10U /* rounds between looks at glusterd's record of the volume, */
#define FACTS_DELAY 5U       /* and at disk and process */

/* Called before and after the thread waits for a disk or the network. False: the thread has been
 * told to end. It must not touch the graph any more, which may be gone. */
static bool
go_away(struct glupy_private *private)
{
    bool stopped;

    pthread_mutex_lock(&private->mutex);
    stopped = private->stop;
    private->away = !stopped;
    pthread_mutex_unlock(&private->mutex);
    return !stopped;
}

static bool
come_back(struct glupy_private *private)
{
    bool stopped;

    pthread_mutex_lock(&private->mutex);
    private->away = false;
    stopped = private->stop;
    pthread_mutex_unlock(&private->mutex);
    return !stopped;
}

/* The inode table of a brick belongs to the io-stats above, to which clients are bound. */
static inode_table_t *
inode_table(xlator_t *this)
{
    xlator_t *xl;

    for (xl = this; xl; xl = xl->parents ? xl->parents->xlator : NULL)
        if (xl->itable)
            return xl->itable;
    return NULL;
}

/* Finds the path of a file in the brick's inode table; NULL if that has no part of it. *failed: it
 * must not be asked for again, as inode_path logs each time that a path is longer than PATH_MAX. */
static const char *
look_up(inode_table_t *table, uuid_t gfid, char buffer[PATH_MAX], bool *failed)
{
    inode_t *inode = inode_find(table, gfid);
    char *path = NULL;

    *failed = false;
    if (!inode)
        return NULL;
    *failed = inode_path(inode, NULL, &path) < 0;
    inode_unref(inode);
    snprintf(buffer, PATH_MAX, "%s", path ? path : "");
    GF_FREE(path);
    /* "<gfid:...>/name" is better than nothing, "<gfid:...>" is nothing. */
    return strchr(buffer, '/') ? buffer : NULL;
}

/* Learns the file of a shard from its path. Clients use a shard by its gfid after a restart of the
 * brick, so that no fop had its name. It has been counted in a slot of its own, which will be given
 * away. */
static void
learn_shard(struct glupy_segment *segment, const uint8_t *gfid, const char *path)
{
    uint8_t base[16];

    if (strncmp(path, SHARDS, strlen(SHARDS)) == 0 && glupy_shard_base(path + strlen(SHARDS), base))
        glupy_alias_learn(&segment->aliases, glupy_file_key(segment, gfid), base);
}

/* One round's search for names. */
struct search {
    struct glupy_private *private;
    inode_table_t *table;
    uint32_t round;
    uint32_t disk_left; /* looks on the disk */
    bool stopped;
};

/* Finds the path of a file on the disk. Clients that had the file open when the brick was restarted
 * go on by its gfid, so that the inode table may not know its name for days. */
static const char *
look_on_disk(struct search *search, struct glupy_name_due *due, const uint8_t *gfid, char *buffer)
{
    const char *path;

    if (!search->disk_left || search->round < __atomic_load_n(&due->disk_round, __ATOMIC_RELAXED))
        return NULL;
    search->disk_left--;
    due->disk_least = search->round + DISK_DELAY_LEAST;
    __atomic_store_n(&due->disk_round, search->round + DISK_DELAY, __ATOMIC_RELAXED);
    search->stopped = !go_away(search->private);
    if (search->stopped)
        return NULL;
    path = glupy_handle_path(search->private->identity.brick, gfid, buffer, PATH_MAX);
    search->stopped = !come_back(search->private);
    return path;
}

/* Looks for one file's name. It may be unknown, or known only below some directory. A full path is
 * looked up again now and then, as it may have changed unnoticed. */
static void
resolve_name(struct glupy_segment *segment, uint32_t slot, uint32_t seq, struct search *search)
{
    struct glupy_file_name *name = &segment->files_names[slot];
    struct glupy_name_due *due = &segment->names_due[slot];
    bool unlinked = __atomic_exchange_n(&due->unlinked, 0, __ATOMIC_RELAXED);
    uint32_t next, looking = LOOKING;
    char memory_path[PATH_MAX], disk_path[PATH_MAX];
    const char *path, *in_memory;
    bool failed, full;
    uuid_t gfid;

    /* The slot may be given away meanwhile; what is found belongs to this gfid. */
    memcpy(gfid, name->gfid, sizeof(gfid));
    __atomic_store_n(&due->round, LOOKING, __ATOMIC_RELAXED);
    path = in_memory = look_up(search->table, gfid, memory_path, &failed);
    if (!failed && (!path || path[0] != '/')) {
        path = look_on_disk(search, due, gfid, disk_path);
        if (search->stopped)
            return;
        path = path ? path : in_memory;
    }
    full = path && path[0] == '/';
    if (full)
        learn_shard(segment, gfid, path);
    due->delay = due->delay ? min(due->delay * 2, NAME_DELAY_MAX) : 1;
    next = failed ? NEVER : search->round + (full ? NAME_DELAY_MAX : due->delay);
    /* Unless a rename has set the round meanwhile. */
    __atomic_compare_exchange_n(&due->round, &looking, next, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
    if (full || (path && !name->path_length))
        glupy_segment_set_path(segment, slot, seq, path);
    else if (unlinked && !path)
        glupy_segment_set_path(segment, slot, seq, NULL);
}

/* Has all names looked up again after a directory was renamed, which may be above any file. Some
 * work renames directories all the time, so the thread does not look on the disk at once for a file
 * for which it has just looked there. */
static void
doubt_names(struct glupy_segment *segment, uint32_t slots)
{
    struct glupy_name_due *due = segment->names_due;
    uint32_t disk_round;

    for (; slots; slots--, due++) {
        if (due->round != NEVER)
            __atomic_store_n(&due->round, 0, __ATOMIC_RELAXED);
        disk_round = __atomic_load_n(&due->disk_round, __ATOMIC_RELAXED);
        /* Unless a rename of the file itself has set the round meanwhile. */
        if (disk_round > due->disk_least)
            __atomic_compare_exchange_n(&due->disk_round, &disk_round, due->disk_least, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}

/* False if the thread has been told to end. */
static bool
resolve_names(xlator_t *this, struct glupy_segment *segment, uint32_t round)
{
    struct search search = {this->private, inode_table(this), round, DISK_NAMES_A_ROUND, false};
    uint32_t slots = segment->files.sets * GLUPY_WAYS;
    uint32_t slot, seq, generation, visited, looked = 0;
    struct glupy_name_due *due;

    if (!search.table)
        return true;
    if (__atomic_exchange_n(&segment->names_stale, 0, __ATOMIC_RELAXED))
        doubt_names(segment, slots);
    for (visited = 0; visited < slots && looked < NAMES_A_ROUND && !search.stopped; visited++) {
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
    return !search.stopped;
}

/* Makes a segment where there is none, or where the one in use is lost. Of several failures in a
 * row it logs the first. */
static void
make_anew(xlator_t *this)
{
    struct glupy_private *private = this->private;
    char error[512];

    private->attempts--;
    if (glupy_make_segment(this, error, sizeof(error)) == 0) {
        gf_log(this->name, GF_LOG_INFO, "made segment %s anew", private->segment->file.path);
        private->failing = false;
    } else if (!private->failing) {
        gf_log(this->name, GF_LOG_ERROR, "%s; %s", error,
               private->segment ? "the segment is lost" : "fops pass uncounted");
        private->failing = true;
    }
}

/* Returns the segment in use, which it makes first if there is none or it is lost. NULL if it
 * cannot. */
static struct glupy_segment *
ensure_segment(xlator_t *this, uint32_t round)
{
    struct glupy_private *private = this->private;
    enum glupy_segment_name name =
        private->segment ? glupy_segment_name(private->segment) : GLUPY_NAME_GONE;

    if (round % ATTEMPT_DELAY == 0 && private->attempts < ATTEMPTS)
        ++private->attempts;
    if (private->attempts && (name == GLUPY_NAME_GONE || name == GLUPY_NAME_CUT))
        make_anew(this);
    return private->segment;
}

/* Lets scores decay, and the lead of each file's busiest client, so that they tell of what is done
 * now. */
static void
decay(struct glupy_segment *segment, uint32_t half_life)
{
    double share = glupy_decay_share(half_life);
    uint64_t *lead, before;
    uint32_t slot;

    glupy_table_decay(&segment->files, share);
    glupy_table_decay(&segment->clients, share);
    for (slot = 0; slot < segment->files.sets * GLUPY_WAYS; slot++) {
        lead = &segment->files.counters[slot].top_client_lead;
        before = glupy_load(lead);
        if (before)
            glupy_store(lead, before - glupy_decay_part(&segment->files, before, share));
    }
}

/* Bricks are added and removed while this one runs. The record is read without the mutex, as a disk
 * may be slow. */
static void
follow_membership(struct glupy_private *private)
{
    struct glupy_membership now = private->membership;
    struct glupy_segment *segment;
    bool changed;

    if (!go_away(private))
        return;
    changed = glupy_read_membership(&private->identity, &now);
    if (!come_back(private) || !changed)
        return;
    pthread_mutex_lock(&private->mutex);
    private->membership = now;
    segment = private->segment; /* perhaps another one than at the start of this round */
    if (segment) {
        __atomic_store_n(&segment->header->subvolume, now.subvolume, __ATOMIC_RELAXED);
        glupy_store(&segment->numbers->volume_bricks, now.bricks);
    }
    pthread_mutex_unlock(&private->mutex);
}

/* Learns the facts about the brick, with nothing held, as a disk may be slow. The time is that of
 * the beginning, so that no fact is older. False if the thread has been told to end. */
static bool
learn_facts(xlator_t *this, struct glupy_segment *segment)
{
    struct glupy_private *private = this->private;
    struct glupy_facts facts;

    glupy_facts_forget(&facts);
    facts.time = glupy_monotonic_ns();
    facts.health_check_interval = private->membership.health_check;
    glupy_facts_of_graph(this, inode_table(this), &facts);
    if (!go_away(private))
        return false;
    glupy_facts_of_process(&facts);
    glupy_facts_of_disk(private->identity.brick, &private->indices, &facts);
    if (!come_back(private))
        return false;
    glupy_facts_publish(&facts, segment->facts);
    return true;
}

/* Looks up the group that may read, and publishes the segment. False if the thread has been told to
 * end. */
static bool
let_readers_in(xlator_t *this)
{
    struct glupy_private *private = this->private;
    char error[512];
    gid_t group;
    int failed;

    if (private->group_known)
        return true;
    if (!go_away(private))
        return false;
    failed = glupy_find_group(&group);
    if (!come_back(private))
        return false;
    if (failed)
        gf_log(this->name, GF_LOG_WARNING,
               "cannot look up group " GLUPY_READERS ": %s; only root can read the segment",
               strerror(failed));
    pthread_mutex_lock(&private->mutex);
    private->group = group;
    private->group_known = true;
    if (private->segment &&
        glupy_segment_file_publish(&private->segment->file, group, error, sizeof(error)) < 0) {
        gf_log(this->name, GF_LOG_ERROR, "%s", error);
        private->failing = true;
    } else if (private->segment) {
        gf_log(this->name, GF_LOG_INFO, "the segment is %s", private->segment->file.path);
    }
    pthread_mutex_unlock(&private->mutex);
    return true;
}

/* Reads without the table's lock, which fops take. Each number was true at some moment. */
static void
count_inodes(struct glupy_numbers *numbers, const inode_table_t *table)
{
    glupy_store(&numbers->inodes_active, __atomic_load_n(&table->active_size, __ATOMIC_RELAXED));
    glupy_store(&numbers->inodes_lru, __atomic_load_n(&table->lru_size, __ATOMIC_RELAXED));
    glupy_store(&numbers->inodes_lru_limit, __atomic_load_n(&table->lru_limit, __ATOMIC_RELAXED));
}

/* Does what needs no mutex. An inode's last reference may go here, and a change of options must not
 * wait until the inode is forgotten. A segment that is replaced meanwhile stays in memory. */
static void
look_after(xlator_t *this, struct glupy_segment *segment, uint32_t round, uint32_t half_life)
{
    const inode_table_t *table = inode_table(this);

    glupy_store(&segment->numbers->heartbeat, glupy_monotonic_ns());
    glupy_tracers_expire(segment, glupy_monotonic_ns());
    glupy_segment_add_seats(segment);
    glupy_segment_follow_clock(segment);
    if (table)
        count_inodes(segment->numbers, table);
    if (!resolve_names(this, segment, round))
        return;
    decay(segment, half_life);
    if (round % FACTS_DELAY == 1 && !learn_facts(this, segment))
        return;
    if (round % MEMBERSHIP_DELAY == 0)
        follow_membership(this->private);
}

static void *
maintain(void *argument)
{
    xlator_t *this = argument;
    struct glupy_private *private = this->private;
    struct glupy_segment *segment;
    struct timespec until;
    uint32_t round, half_life;
    bool orphaned, ready;

    THIS = this;
    ready = let_readers_in(this);
    pthread_mutex_lock(&private->mutex);
    for (round = 1; ready && !private->stop; round++) {
        segment = ensure_segment(this, round);
        half_life = private->options.half_life;
        if (segment) {
            segment->looked_after = true;
            pthread_mutex_unlock(&private->mutex);
            look_after(this, segment, round, half_life);
            pthread_mutex_lock(&private->mutex);
            segment->looked_after = false;
        }
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        while (!private->stop &&
               pthread_cond_timedwait(&private->wake, &private->mutex, &until) == 0)
            ;
    }
    private->running = false;
    pthread_cond_broadcast(&private->wake);
    orphaned = private->orphaned;
    pthread_mutex_unlock(&private->mutex);
    if (orphaned)
        glupy_private_free(private);
    return NULL;
}

void
glupy_maintenance_start(xlator_t *this)
{
    struct glupy_private *private = this->private;
    bool running;

    /* A thread that was told to end while it was away goes on. */
    pthread_mutex_lock(&private->mutex);
    private->stop = false;
    running = private->running;
    private->running = true;
    pthread_mutex_unlock(&private->mutex);
    if (running)
        return;
    if (private->joinable)
        pthread_join(private->thread, NULL);
    private->attempts = ATTEMPTS;
    private->joinable = gf_thread_create(&private->thread, NULL, maintain, this, "glupy") == 0;
    if (!private->joinable) {
        private->running = false;
        gf_log(this->name, GF_LOG_ERROR, "no maintenance thread: nobody can read the segment");
    }
}

void
glupy_maintenance_stop(xlator_t *this)
{
    struct glupy_private *private = this->private;

    pthread_mutex_lock(&private->mutex);
    private->stop = true;
    pthread_cond_broadcast(&private->wake);
    while (private->running && !private->away)
        pthread_cond_wait(&private->wake, &private->mutex);
    pthread_mutex_unlock(&private->mutex);
}
