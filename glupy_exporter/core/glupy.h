/* What the parts of the translator that know GlusterFS share. */
#ifndef GLUPY_H
#define GLUPY_H

#include <glusterfs/xlator.h>

#include "counting.h"
#include "option_table.h"

#define GLUPY_READERS "gluster" /* the group that reads segments */

struct glupy_identity {
    char *volume;
    char *brick;
    char *host;
    char *record;  /* path of the file that has the volume on record */
    bool snapshot; /* the brick is one of a snapshot, which inherits the volume's options */
};

/* What glusterd's record of the volume says; it changes as bricks are added and removed. */
struct glupy_membership {
    int32_t subvolume;        /* of this brick, -1: unknown */
    uint32_t bricks;          /* of the volume, 0: unknown */
    struct timespec recorded; /* the record's time of modification */
};

#define GLUPY_EPOCHS 255 /* from 1 up: what a cookie has in place of 0 is not ours */

struct glupy_private {
    /* What fops read. `counting` is `segment` while counting is on and NULL while it is off. */
    struct glupy_segment *segment;
    struct glupy_segment *counting;

    /* Under `mutex`, which no fop takes. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct glupy_segment *retired; /* a list */
    uint32_t epochs;
    bool up;           /* the graph is complete: there is a brick */
    bool group_known;  /* `group` has been looked up */
    gid_t group;       /* that reads segments; (gid_t)-1: there is none */
    uint32_t attempts; /* at making a lost segment anew that may be made now */
    bool failing;      /* the last of them was in vain */
    bool stop;
    bool running;  /* the maintenance thread has not ended */
    bool away;     /* it waits for a disk or the network, and then looks at `stop` */
    bool orphaned; /* it frees all this when it is back */
    struct glupy_membership membership;
    struct glupy_options options;

    pthread_t thread;
    bool joinable; /* of whoever starts and stops the thread: `thread` is one */
    struct glupy_identity identity;
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

extern volume_option_t glupy_volume_options[];

/* Sets all options to their defaults. */
void
glupy_usual_options(struct glupy_options *options);

/* Takes the options that are valid; each that is not is logged and keeps its old value. */
void
glupy_read_options(xlator_t *this, dict_t *dict, struct glupy_options *options);

/* The group that reads segments, (gid_t)-1 if there is none. The answer may come over the network.
 * Returns 0 or an errno. */
int
glupy_find_group(gid_t *group);

/* Makes a segment for the options in force, in place of the one there is, and publishes it once the
 * group is known. With the mutex held. Returns -1 and one line in `error` if it cannot; then
 * nothing has changed. */
int
glupy_make_segment(xlator_t *this, char *error, size_t error_size);

void
glupy_private_free(struct glupy_private *private);

/* The maintenance thread: heartbeat, names, and a new segment where the old one is lost. To stop it
 * takes no longer than a look into memory: a thread that waits for a disk is left to itself. */
void
glupy_maintenance_start(xlator_t *this);
void
glupy_maintenance_stop(xlator_t *this);

#endif
