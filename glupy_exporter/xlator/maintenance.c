/*
 * What needs doing once a second and off the fops' path: the heartbeat, the files' names, and a new
 * segment where somebody deleted the one in use or where none could be made so far.
 */
#include <glusterfs/common-utils.h>
#include <glusterfs/inode.h>

#include "glupy.h"

#define NAMES_A_ROUND 4096 /* bounds how long one round holds up inode_find's table lock */
#define NAME_DELAY_MAX 32  /* rounds between two looks at one file's name */
#define PUBLISH_DELAY 30   /* rounds between two tries to make a segment */

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

/* Looks one file up in the brick's inode table. Its name may be unknown there, or known only below
 * some directory; a full path is asked for again now and then, since files are renamed. */
static void
resolve_name(struct glupy_segment *segment, uint32_t slot, inode_table_t *table, uint32_t round)
{
    struct glupy_name_due *due = &segment->names_due[slot];
    inode_t *inode = inode_find(table, segment->file_names[slot].gfid);
    char *path = NULL;
    bool full = false;
    int length = 0;

    due->delay = due->delay ? min(due->delay * 2, NAME_DELAY_MAX) : 1;
    if (inode) {
        length = inode_path(inode, NULL, &path);
        full = length > 0 && path[0] == '/';
        /* "<gfid:...>/name" is better than nothing, "<gfid:...>" is nothing. */
        if (full || (length > 0 && segment->file_names[slot].path_length == 0 && strchr(path, '/')))
            glupy_segment_set_path(segment, slot, path);
        GF_FREE(path);
        inode_unref(inode);
    }
    due->round = round + (full ? NAME_DELAY_MAX : due->delay);
    /* inode_path logs when a path is longer than PATH_MAX: once is enough. */
    if (length < 0)
        due->round = UINT32_MAX;
}

static void
resolve_names(xlator_t *this, struct glupy_segment *segment, uint32_t round)
{
    inode_table_t *table = inode_table(this);
    uint32_t slots = segment->file_sets * GLUPY_WAYS;
    uint32_t slot, seq, visited, looked = 0;

    if (!table)
        return;
    for (visited = 0; visited < slots && looked < NAMES_A_ROUND; visited++) {
        slot = segment->names_cursor++ % slots;
        seq = __atomic_load_n(&segment->file_seqs[slot], __ATOMIC_ACQUIRE);
        /* 0 and 1: nobody has written the gfid yet, or is about to. */
        if (seq < 2 || round < segment->names_due[slot].round)
            continue;
        resolve_name(segment, slot, table, round);
        looked++;
    }
}

/* Returns the segment in use, after making one where there should be one and is none. */
static struct glupy_segment *
ensure_segment(xlator_t *this, uint32_t round)
{
    struct glupy_private *private = this->private;
    struct glupy_segment *segment = private->segment;
    char error[512];

    if (segment && glupy_segment_name(segment) != GLUPY_NAME_GONE)
        return segment;
    /* Whoever keeps us from making one has been logged already, once. */
    if ((segment || round % PUBLISH_DELAY == 0) && glupy_publish(this, error, sizeof(error)) == 0)
        gf_log(this->name, GF_LOG_INFO, "made segment %s anew", private->segment->path);
    return private->segment;
}

static void *
maintain(void *argument)
{
    xlator_t *this = argument;
    struct glupy_private *private = this->private;
    struct glupy_segment *segment;
    struct timespec until;
    uint32_t round;

    THIS = this;
    pthread_mutex_lock(&private->mutex);
    for (round = 1; !private->stop; round++) {
        segment = ensure_segment(this, round);
        if (segment) {
            glupy_store(&segment->header->heartbeat, glupy_monotonic_ns());
            resolve_names(this, segment, round);
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
