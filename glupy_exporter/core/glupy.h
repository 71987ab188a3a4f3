/* What the parts of the translator that know GlusterFS share. */
#ifndef GLUPY_H
#define GLUPY_H

#include <glusterfs/xlator.h>

#include "counting.h"
#include "facts.h"
#include "option_table.h"

#define GLUPY_READERS "gluster" /* the group that reads segments */

struct glupy_identity {
    char *volume;
    char *brick;
    char *host;
    char *record;  /* path of glusterd's record of the volume */
    bool snapshot; /* the brick is a snapshot's, which has the options of its volume */
};

/* What glusterd's record of the volume says; it changes as bricks are added and removed. */
struct glupy_membership {
    int32_t subvolume;        /* of this brick, -1: unknown */
    uint32_t bricks;          /* of the volume, 0: unknown */
    struct timespec recorded; /* the record's time of modification */
    uint64_t health_check;    /* seconds between two checks of the disk, GLUPY_UNKNOWN */
};

#define GLUPY_EPOCHS 255 /* 1 to 255: a cookie with 0 is not ours */

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
    gid_t group;       /* which may read segments; (gid_t)-1: there is none */
    uint32_t attempts; /* how often a lost segment may be made anew now */
    bool failing;      /* the last attempt failed */
    bool stop;
    bool running;  /* the maintenance thread has not ended */
    bool away;     /* it waits for a disk or the network, and then looks at `stop` */
    bool orphaned; /* it frees this struct when it is back */
    struct glupy_membership membership;
    struct glupy_options options;

    struct glupy_indices indices; /* the maintenance thread's own */

    pthread_t thread;
    bool joinable; /* `thread` has to be joined; the mutex is not needed */
    struct glupy_identity identity;
};

extern struct xlator_fops glupy_fops;
extern const char *const glupy_fop_names[GF_FOP_MAXVALUE];
extern const uint8_t glupy_fop_classes[GF_FOP_MAXVALUE];

/* Hands the options of the recorder to a segment. */
void
glupy_set_recorder(struct glupy_segment *segment, const struct glupy_options *options);

/* Fills in the volume, brick and host of this translator. Returns -1 if memory runs out. */
int
glupy_identify(xlator_t *this, struct glupy_identity *identity);
void
glupy_identity_free(struct glupy_identity *identity);

/* Reads glusterd's record of the volume. False if it cannot, or if `membership` is from the same
 * record already. */
bool
glupy_read_membership(const struct glupy_identity *identity, struct glupy_membership *membership);

/* Learns the facts about the translators below. Never waits. */
void
glupy_facts_of_graph(xlator_t *this, inode_table_t *table, struct glupy_facts *facts);

extern volume_option_t glupy_volume_options[];

/* Sets all options to their defaults. */
void
glupy_usual_options(struct glupy_options *options);

/* Takes the valid options. Logs the invalid ones, which keep their old values. */
void
glupy_read_options(xlator_t *this, dict_t *dict, struct glupy_options *options);

/* Looks up the group that may read segments; (gid_t)-1: there is none. May wait for the network.
 * Returns 0 or an errno. */
int
glupy_find_group(gid_t *group);

/* Replaces the segment by a new one for the options in force, and publishes that if the group is
 * known. The mutex has to be held. Returns -1 and one line in `error` if it cannot, and changes
 * nothing then. */
int
glupy_make_segment(xlator_t *this, char *error, size_t error_size);

void
glupy_private_free(struct glupy_private *private);

/* Starts and stops the maintenance thread, for heartbeat, names, and a new segment if the old one
 * is lost. The stop does not wait for a thread that waits for a disk or the network. */
void
glupy_maintenance_start(xlator_t *this);
void
glupy_maintenance_stop(xlator_t *this);

#endif
