/*
 * Usage: handle_harness BRICK GFID SIZE
 * Prints the path that a brick's disk has for the gfid, given as 32 hex digits, if it fits into
 * SIZE bytes with its end; nothing if it has none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "handle.h"

int
main(int argc, char **argv)
{
    uint8_t gfid[16];
    size_t size, byte;
    const char *path;
    char *buffer;

    if (argc != 4)
        return 2;
    for (byte = 0; byte < sizeof(gfid); byte++)
        if (sscanf(argv[2] + 2 * byte, "%2hhx", &gfid[byte]) != 1)
            return 2;
    size = strtoul(argv[3], NULL, 10);
    buffer = malloc(size);
    path = buffer ? glupy_handle_path(argv[1], gfid, buffer, size) : NULL;
    fputs(path ? path : "", stdout);
    free(buffer);
    return 0;
}
