/*
 * The facts that the maintenance thread learns: about the brick's file system, about GlusterFS's
 * files below .glusterfs, and about the brick's process. This file does not use GlusterFS's
 * headers, so that a harness can run it without a brick.
 */
#ifndef GLUPY_FACTS_H
#define GLUPY_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

#define GLUPY_INDICES 3 /* xattrop, dirty, entry-changes */
#define GLUPY_BASES 64  /* base files of an index that are counted */

/* A base file of an index, under its own name or that of one of its links. */
struct glupy_base {
    uint64_t inode; /* as the directory lists it */
    bool own;       /* the name is the base file's own, which stays as long as there are links */
    char name[64];
};

/* An index, as one round leaves it to the next. */
struct glupy_index {
    struct glupy_base bases[GLUPY_BASES];
    uint32_t known;
    int64_t position; /* in the directory, where the next round reads on */
};

struct glupy_indices {
    struct glupy_index each[GLUPY_INDICES];
};

/* Marks all facts as not known. */
void
glupy_facts_forget(struct glupy_facts *facts);

/* Learns the facts about the brick's disk. Waits for the disk. What cannot be learned stays as it
 * is. */
void
glupy_facts_of_disk(const char *brick, struct glupy_indices *indices, struct glupy_facts *facts);

/* Learns the facts about this process. */
void
glupy_facts_of_process(struct glupy_facts *facts);

/* Copies the facts to the segment word by word, as readers may look meanwhile. */
void
glupy_facts_publish(const struct glupy_facts *facts, struct glupy_facts *published);

#endif
