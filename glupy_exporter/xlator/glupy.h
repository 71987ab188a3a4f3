/* What the parts of the translator that know GlusterFS share. */
#ifndef GLUPY_H
#define GLUPY_H

#include <glusterfs/xlator.h>

#include "counting.h"

struct glupy_identity {
    char *volume;
    char *brick;
    char *host;
    gid_t group; /* that reads segments; (gid_t)-1: there is none */
};

/* What glusterd's record of the volume says; it changes as bricks are added and removed. */
struct glupy_membership {
    int32_t subvolume;        /* of this brick, -1: unknown */
    uint32_t bricks;          /* of the volume, 0: unknown */
    struct timespec recorded; /* the record's time of modification */
};

struct glupy_options {
    bool enabled;
    uint32_t file_slots;
    uint32_t client_slots;
    bool client_processes; /* a client is a process, not a host */
    uint32_t half_life;    /* of the scores of files and clients, in seconds */
    char *segment_dir;
};

struct glupy_private {
    /* What fops read. `counting` is `segment` while counting is on and NULL while it is off. */
    struct glupy_segment *segment;
    struct glupy_segment *counting;

    /* What only init, reconfigure and the maintenance thread touch, under `mutex`. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
    bool running;
    bool stop;
    uint32_t epochs;
    struct glupy_identity identity;
    struct glupy_membership membership;
    struct glupy_options options;
};

extern struct xlator_fops glupy_fops;
extern const char *const glupy_fop_names[GF_FOP_MAXVALUE];

/* Fills in who this translator works for. Returns -1 if memory runs out. */
int
glupy_identify(xlator_t *this, struct glupy_identity *identity);
void
glupy_identity_free(struct glupy_identity *identity);

/* Reads the record of the volume if it is not the one that `membership` is from. False if it is. */
bool
glupy_read_membership(const struct glupy_identity *identity, struct glupy_membership *membership);

/* Takes the options that are valid; each that is not is logged and keeps its old value. */
void
glupy_read_options(xlator_t *this, dict_t *dict, struct glupy_options *options);

/* Makes and publishes a segment for the options in force, in place of the one there is. With the
 * mutex held. Returns -1 and one line in `error` if it cannot; then nothing has changed. */
int
glupy_publish(xlator_t *this, char *error, size_t error_size);

/* The maintenance thread: heartbeat, names, and a new segment where the old one is lost. */
void
glupy_maintenance_start(xlator_t *this);
void
glupy_maintenance_stop(xlator_t *this);

#endif
