/*
 * A cache from shards to the files that they belong to. GlusterFS cuts a file of a sharded volume
 * (features.shard) into shards, files named /.shard/GFID.NUMBER with the gfid of that file. Reads
 * and writes of a shard come by descriptor, without its name. The cache learns from fops and paths
 * that have the name.
 */
#ifndef GLUPY_ALIAS_H
#define GLUPY_ALIAS_H

#include <stdbool.h>
#include <stdint.h>

/* Enough for 4 TiB in the usual shards of 64 MiB. No memory is used before a shard is seen. */
#define GLUPY_ALIASES 65536U
#define GLUPY_ALIAS_WAYS 4U

struct glupy_alias {
    uint64_t key;     /* of the shard, 0: free */
    uint64_t base[2]; /* the gfid of its file */
    uint32_t seq;     /* odd while being written */
    uint32_t next;    /* in the first way of a set: the way to overwrite next */
};

struct glupy_aliases {
    struct glupy_alias *slots;
    uint32_t any; /* something has been learned */
};

/* Reads the gfid in a shard's name, "GFID.NUMBER". False if the name is not of that form. */
bool
glupy_shard_base(const char *name, uint8_t base[16]);

/* Remembers the gfid of the file that the shard with this key belongs to. */
void
glupy_alias_learn(struct glupy_aliases *aliases, uint64_t key, const uint8_t base[16]);

/* Finds the gfid of the file that the shard with this key belongs to. False if it is not known. */
bool
glupy_alias_find(const struct glupy_aliases *aliases, uint64_t key, uint8_t base[16]);

#endif
