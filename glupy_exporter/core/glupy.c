/*
 * user/glupy: counts every fop of a brick into a shared-memory segment. This file is the
 * translator's life: init, options, events, statedump, fini. It fails open: without a segment it
 * hands every fop on untouched.
 */
#include "glupy.h"
#include "locks.h"

#include <glusterfs/defaults.h>
#include <glusterfs/statedump.h>

/* `glupy-exporter xlator` looks for this in the file. */
__attribute__((used)) static const char stamp[] = GLUPY_STAMP;

/* Whoever uses private data holds this for reading, but for fops and the maintenance thread, which
 * GlusterFS and the translator let end first. fini holds it for writing when it takes the data
 * away: while a brick is detached from a process of many, clients of other bricks leave, and
 * somebody may ask for a statedump. */
static pthread_rwlock_t in_use = PTHREAD_RWLOCK_INITIALIZER;

static bool
make_or_log(xlator_t *this)
{
    struct glupy_private *private = this->private;
    char error[512];

    if (glupy_make_segment(this, error, sizeof(error)) < 0) {
        gf_log(this->name, GF_LOG_ERROR, "%s; %s", error,
               private->segment ? "the old segment stays" : "fops pass uncounted");
        return false;
    }
    gf_log(this->name, GF_LOG_INFO, "counting with %u file slots, %u client slots",
           private->options.file_slots, private->options.client_slots);
    return true;
}

/* Makes no segment and no thread yet: GlusterFS drops a graph without fini if a translator below
 * fails. */
static int32_t
glupy_init(xlator_t *this)
{
    struct glupy_private *private;
    pthread_condattr_t monotonic;

    if (!this->children || this->children->next) {
        gf_log(this->name, GF_LOG_ERROR, "needs exactly one subvolume");
        return -1;
    }
    private = calloc(1, sizeof(*private));
    if (!private)
        return -1;
    pthread_mutex_init(&private->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&private->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    glupy_usual_options(&private->options);
    this->private = private;
    glupy_read_options(this, this->options, &private->options);
    if (glupy_identify(this, &private->identity) < 0 || !private->options.segment_dir) {
        this->private = NULL;
        glupy_private_free(private);
        return -1;
    }
    private->membership.subvolume = -1;
    private->membership.health_check = GLUPY_UNKNOWN;
    glupy_read_membership(&private->identity, &private->membership);
    return 0;
}

/* Moves to a new segment if one of the options that shape it has changed. */
static void
reshape(xlator_t *this, struct glupy_options *now, struct glupy_options *before)
{
    char *directory = now->segment_dir;

    if (now->file_slots == before->file_slots && now->client_slots == before->client_slots &&
        now->client_detail == before->client_detail && now->slow_records == before->slow_records &&
        now->trace_records == before->trace_records &&
        now->in_flight_slots == before->in_flight_slots && now->lock_slots == before->lock_slots &&
        strcmp(now->segment_dir, before->segment_dir) == 0)
        return;
    if (make_or_log(this) || !((struct glupy_private *)this->private)->segment)
        return;
    now->file_slots = before->file_slots;
    now->client_slots = before->client_slots;
    now->client_detail = before->client_detail;
    now->slow_records = before->slow_records;
    now->trace_records = before->trace_records;
    now->in_flight_slots = before->in_flight_slots;
    now->lock_slots = before->lock_slots;
    now->segment_dir = before->segment_dir;
    before->segment_dir = directory;
}

/* Never fails: GlusterFS would skip the translators that come after this one. */
static int32_t
glupy_reconfigure(xlator_t *this, dict_t *dict)
{
    struct glupy_private *private;
    struct glupy_options *now, before;

    pthread_rwlock_rdlock(&in_use);
    private = this->private;
    if (!private) {
        pthread_rwlock_unlock(&in_use);
        return 0;
    }
    pthread_mutex_lock(&private->mutex);
    now = &private->options;
    before = *now;
    before.segment_dir = strdup(now->segment_dir);
    if (before.segment_dir) {
        glupy_read_options(this, dict, now);
        if (private->up)
            reshape(this, now, &before);
        free(before.segment_dir);
    }
    if (private->segment) {
        glupy_store(&private->segment->numbers->enabled, now->enabled);
        glupy_store(&private->segment->numbers->half_life, now->half_life);
        /* Twice, as a fop that came before may list a lock after it. */
        if (!before.enabled || !before.recorder)
            glupy_locks_clear(private->segment);
        glupy_set_recorder(private->segment, now);
    }
    __atomic_store_n(&private->counting, now->enabled ? private->segment : NULL, __ATOMIC_RELEASE);
    if (now->enabled != before.enabled)
        gf_log(this->name, GF_LOG_INFO, "counting is %s", now->enabled ? "on" : "off");
    pthread_mutex_unlock(&private->mutex);
    pthread_rwlock_unlock(&in_use);
    return 0;
}

/* Makes the segment, now that the graph is complete. No fop comes before posix has had this event
 * as well. A snapshot gets no segment, as its volume has no name but a UUID. */
static void
come_up(xlator_t *this)
{
    struct glupy_private *private = this->private;

    if (private->identity.snapshot) {
        gf_log(this->name, GF_LOG_INFO, "a snapshot; fops pass uncounted");
        return;
    }
    pthread_mutex_lock(&private->mutex);
    if (!private->up) {
        private->up = true;
        private->failing = !make_or_log(this);
    }
    pthread_mutex_unlock(&private->mutex);
    glupy_maintenance_start(this);
}

/* A brick that is detached loses its inode table before fini is called, so the thread that looks
 * into that table has to end when the brick is told to go down. */
static int32_t
glupy_notify(xlator_t *this, int32_t event, void *data, ...)
{
    if (event == GF_EVENT_PARENT_DOWN)
        glupy_maintenance_stop(this);
    else if (event == GF_EVENT_PARENT_UP)
        come_up(this);
    return default_notify(this, event, data);
}

static void
glupy_fini(xlator_t *this)
{
    struct glupy_private *private = this->private;
    pthread_t thread;
    bool orphaned, joinable;

    if (!private)
        return;
    glupy_maintenance_stop(this);
    pthread_rwlock_wrlock(&in_use);
    this->private = NULL;
    pthread_rwlock_unlock(&in_use);
    pthread_mutex_lock(&private->mutex);
    if (private->segment)
        glupy_segment_retire(private->segment);
    thread = private->thread;
    joinable = private->joinable;
    orphaned = private->running;
    private->orphaned = orphaned;
    pthread_mutex_unlock(&private->mutex);
    if (orphaned) {
        pthread_detach(thread);
        return;
    }
    if (joinable)
        pthread_join(thread, NULL);
    glupy_private_free(private);
}

/* The segment, for use until `in_use` is released; NULL if there is none, as after fini. */
static struct glupy_segment *
use_segment(const xlator_t *this)
{
    struct glupy_private *private;

    pthread_rwlock_rdlock(&in_use);
    private = this->private;
    return private ? __atomic_load_n(&private->segment, __ATOMIC_ACQUIRE) : NULL;
}

/* Clients of other bricks in the process come here as well, perhaps after fini. */
static int32_t
client_gone(xlator_t *this, client_t *client)
{
    struct glupy_segment *segment = use_segment(this);

    if (segment) {
        glupy_connection_leave(segment, client, client->tbl_index);
        glupy_locks_left(segment, client);
    }
    pthread_rwlock_unlock(&in_use);
    return 0;
}

/* A descriptor on which an application took locks is closed for good. GlusterFS frees the number
 * that is kept there. */
static int32_t
descriptor_gone(xlator_t *this, fd_t *fd)
{
    struct glupy_segment *segment = use_segment(this);

    if (segment && glupy_any_lock(segment))
        glupy_locks_closed(segment, fd->inode->gfid, NULL, 0, fd);
    pthread_rwlock_unlock(&in_use);
    return 0;
}

static void
dump_number(const char *prefix, const char *name, uint64_t value)
{
    char key[GF_DUMP_MAX_BUF_LEN];

    gf_proc_dump_build_key(key, prefix, "%s", name);
    gf_proc_dump_write(key, "%" PRIu64, value);
}

static void
dump(xlator_t *this, struct glupy_private *private)
{
    char prefix[GF_DUMP_MAX_BUF_LEN], key[GF_DUMP_MAX_BUF_LEN];
    struct glupy_segment *segment;
    uint64_t started = 0, completed = 0, errors = 0;
    uint32_t cell, bucket;

    segment = private->segment;
    gf_proc_dump_build_key(prefix, "user/glupy", "%s", this->name);
    gf_proc_dump_add_section("%s", prefix);
    gf_proc_dump_build_key(key, prefix, "segment");
    gf_proc_dump_write(key, "%s", segment ? segment->file.path : "none");
    dump_number(prefix, "enabled", private->options.enabled);
    dump_number(prefix, "file-slots", private->options.file_slots);
    dump_number(prefix, "client-slots", private->options.client_slots);
    dump_number(prefix, "half-life", private->options.half_life);
    if (segment) {
        for (cell = 0; cell < (segment->lane_mask + 1) * segment->fop_count; cell++) {
            for (bucket = 0; bucket < GLUPY_LATENCY_BUCKETS; bucket++)
                completed += glupy_load(&segment->cells[cell].buckets[bucket]);
            errors += glupy_load(&segment->cells[cell].errors);
            started += glupy_load(&segment->cells[cell].started);
        }
        dump_number(prefix, "fops-started", started);
        dump_number(prefix, "fops-completed", completed);
        dump_number(prefix, "fops-failed", errors);
        dump_number(prefix, "files-tracked", glupy_load(&segment->files_health->tracked));
        dump_number(prefix, "clients-tracked", glupy_load(&segment->clients_health->tracked));
    }
}

/* A statedump must not wait, as it is wanted when something hangs. */
static int32_t
dump_private(xlator_t *this)
{
    struct glupy_private *private;

    if (pthread_rwlock_tryrdlock(&in_use) != 0)
        return 0;
    private = this->private;
    if (private && pthread_mutex_trylock(&private->mutex) == 0) {
        dump(this, private);
        pthread_mutex_unlock(&private->mutex);
    }
    pthread_rwlock_unlock(&in_use);
    return 0;
}

static struct xlator_cbks callbacks = {
    .release = descriptor_gone,
    .releasedir = descriptor_gone,
    .client_disconnect = client_gone,
    .client_destroy = client_gone,
};

static struct xlator_dumpops dumpers = {
    .priv = dump_private,
};

__attribute__((visibility("default"))) xlator_api_t xlator_api = {
    .init = glupy_init,
    .fini = glupy_fini,
    .reconfigure = glupy_reconfigure,
    .notify = glupy_notify,
    .op_version = {1},
    .dumpops = &dumpers,
    .fops = &glupy_fops,
    .cbks = &callbacks,
    .options = glupy_volume_options,
    .identifier = "glupy",
    .category = GF_TECH_PREVIEW,
};
