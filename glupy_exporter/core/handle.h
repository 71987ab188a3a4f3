/*
 * The names that a brick's file system remembers. Below .glusterfs posix keeps a handle for each
 * gfid: a directory's is a symbolic link into its parent's, any other file's is a hard link, whose
 * xattrs trusted.gfid2path.* hold the gfid of the parent and the name (posix-handle.c and
 * posix-gfid-path.c of storage/posix).
 */
#ifndef GLUPY_HANDLE_H
#define GLUPY_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the path from the volume's root of the file with this gfid, one of them if it has several,
 * and returns where in `buffer` it begins. NULL if the disk does not tell. Reads the disk. */
const char *
glupy_handle_path(const char *brick, const uint8_t gfid[16], char *buffer, size_t size);

#endif
