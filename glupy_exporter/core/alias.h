/*
 * Which file a shard belongs to. GlusterFS cuts the files of a sharded volume (features.shard) into
 * blocks, files of their own named /.shard/GFID.NUMBER with the gfid of the file they are cut from.
 * Their I/O comes by descriptor, without that name. This is a cache from a shard's gfid to the gfid
 * of its file, learned where the name is seen.
 */
#ifndef GLUPY_ALIAS_H
#define GLUPY_ALIAS_H

#include <stdbool.h>
#include <stdint.h>

/* For images of 4 TiB in the usual blocks of 64 MiB; no memory is used before a shard is seen. */
#define GLUPY_ALIASES 65536U
#define GLUPY_ALIAS_WAYS 4U

struct glupy_alias {
    uint64_t key; /* of the shard, 0: free */
    uint64_t base[2];
    uint32_t seq;  /* odd while being written */
    uint32_t next; /* in the first of a set: the way to overwrite next */
};

struct glupy_aliases {
    struct glupy_alias *slots;
    uint32_t any; /* something has been learned */
};

/* The gfid in a shard's name, "GFID.NUMBER". False if it is not of that form. */
bool
glupy_shard_base(const char *name, uint8_t base[16]);

void
glupy_alias_learn(struct glupy_aliases *aliases, uint64_t key, const uint8_t base[16]);

/* Finds the gfid of the file that the shard with this key belongs to. False if it is not known. */
bool
glupy_alias_find(const struct glupy_aliases *aliases, uint64_t key, uint8_t base[16]);

#endif
