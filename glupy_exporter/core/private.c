/*
 * The private data of the translator: its segment, which is made and retired as options change, and
 * all that is freed with it. Both glupy.c and the maintenance thread use this.
 */
#include "glupy.h"
#include "locks.h"
#include "recorder.h"

static void
retire(struct glupy_private *private, struct glupy_segment *segment)
{
    glupy_segment_retire(segment);
    segment->next = private->retired;
    private->retired = segment;
}

void
glupy_set_recorder(struct glupy_segment *segment, const struct glupy_options *options)
{
    /* A fop that waited for a lock may come back after counting was switched off. */
    const struct glupy_recorder_options recorder = {
        .on = options->recorder && options->enabled,
        .one_in = options->sample,
        .slow_ms = {[GLUPY_CLASS_METADATA] = options->slow_metadata,
                    [GLUPY_CLASS_READ] = options->slow_read,
                    [GLUPY_CLASS_WRITE] = options->slow_write,
                    [GLUPY_CLASS_LOCK] = options->slow_lock},
    };

    glupy_recorder_set(segment, &recorder);
    /* While fops are not looked at, locks are given back unseen. */
    if (!recorder.on)
        glupy_locks_clear(segment);
}

int
glupy_make_segment(xlator_t *this, char *error, size_t error_size)
{
    struct glupy_private *private = this->private;
    struct glupy_segment *old = private->segment, *segment;
    struct glupy_segment_options options = {
        .directory = private->options.segment_dir,
        .volume = private->identity.volume,
        .brick = private->identity.brick,
        .host = private->identity.host,
        .subvolume = private->membership.subvolume,
        .volume_bricks = private->membership.bricks,
        .glusterfs_version = GLUPY_GLUSTERFS_VERSION,
        .fop_names = glupy_fop_names,
        .fop_count = GF_FOP_MAXVALUE,
        .file_slots = private->options.file_slots,
        .client_slots = private->options.client_slots,
        .client_processes = private->options.client_detail == GLUPY_CLIENT_DETAIL_PROCESS,
        .half_life = private->options.half_life,
        .enabled = private->options.enabled,
        .fop_classes = glupy_fop_classes,
        .slow_records = private->options.slow_records,
        .trace_records = private->options.trace_records,
        .flights = private->options.in_flight_slots,
        .held_locks = private->options.lock_slots,
    };

    segment = glupy_segment_create(&options, &private->retired, error, error_size);
    if (!segment)
        return -1;
    if (private->group_known &&
        glupy_segment_file_publish(&segment->file, private->group, error, error_size) < 0) {
        retire(private, segment);
        return -1;
    }
    glupy_set_recorder(segment, &private->options);
    segment->epoch = 1 + private->epochs++ % GLUPY_EPOCHS;
    __atomic_store_n(&private->segment, segment, __ATOMIC_RELEASE);
    __atomic_store_n(&private->counting, private->options.enabled ? segment : NULL,
                     __ATOMIC_RELEASE);
    if (old)
        retire(private, old);
    return 0;
}

void
glupy_private_free(struct glupy_private *private)
{
    glupy_segment_free(private->segment);
    glupy_segment_free(private->retired);
    glupy_identity_free(&private->identity);
    free(private->options.segment_dir);
    pthread_cond_destroy(&private->wake);
    pthread_mutex_destroy(&private->mutex);
    free(private);
}
