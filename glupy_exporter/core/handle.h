/*
 * Paths of files as the brick's disk has them. posix keeps a handle for each gfid below .glusterfs.
 * The handle of a directory is a symbolic link into the handle of its parent. The handle of any
 * other file is a hard link, and its xattrs trusted.gfid2path.* hold the gfid of the parent and the
 * name (posix-handle.c and posix-gfid-path.c of storage/posix).
 */
#ifndef GLUPY_HANDLE_H
#define GLUPY_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Finds a path, from the volume's root, of the file with this gfid, and returns where in `buffer`
 * it begins; NULL if the disk has none, or none that fits. Waits for the disk. */
const char *
glupy_handle_path(const char *brick, const uint8_t gfid[16], char *buffer, size_t size);

#endif
