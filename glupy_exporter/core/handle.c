#include "handle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define GFID_TEXT 36
#define ROOT "00000000-0000-0000-0000-000000000001"
#define XATTR "trusted.gfid2path."
#define XATTRS_SIZE \
    4096 /* of the names of all; a file with more than a hundred links stays nameless */
#define PLACE_SIZE (GFID_TEXT + 1 + NAME_MAX + 1)

/* Where a file is: "GFID/name", the gfid being its parent's. */
struct place {
    char text[PLACE_SIZE];
};

static void
handle_of(const char *brick, const char *gfid, char handle[PATH_MAX])
{
    snprintf(handle, PATH_MAX, "%s/.glusterfs/%.2s/%.2s/%s", brick, gfid, gfid + 2, gfid);
}

static bool
is_place(const char *text, size_t length)
{
    return length > GFID_TEXT + 1 && length < PLACE_SIZE && text[GFID_TEXT] == '/' &&
           !memchr(text, '\0', length) && !memchr(text, '/', GFID_TEXT) &&
           !memchr(text + GFID_TEXT + 1, '/', length - GFID_TEXT - 1);
}

/* A directory's handle is "../../xx/yy/GFID/name". */
static bool
place_of_directory(const char *handle, struct place *place)
{
    const size_t up = strlen("../../xx/yy/");
    char link[sizeof("../../xx/yy/") + PLACE_SIZE];
    ssize_t length = readlink(handle, link, sizeof(link) - 1);

    if (length <= (ssize_t)up || strncmp(link, "../../", strlen("../../")) != 0 ||
        !is_place(link + up, (size_t)length - up))
        return false;
    link[length] = '\0';
    memcpy(place->text, link + up, (size_t)length - up + 1);
    return true;
}

static bool
place_of_file(const char *handle, struct place *place)
{
    char names[XATTRS_SIZE];
    ssize_t size = llistxattr(handle, names, sizeof(names)), length;
    const char *name;

    for (name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        if (strncmp(name, XATTR, strlen(XATTR)) != 0)
            continue;
        length = lgetxattr(handle, name, place->text, sizeof(place->text) - 1);
        if (length > 0 && is_place(place->text, (size_t)length)) {
            place->text[length] = '\0';
            return true;
        }
    }
    return false;
}

const char *
glupy_handle_path(const char *brick, const uint8_t gfid[16], char *buffer, size_t size)
{
    char handle[PATH_MAX], text[GFID_TEXT + 1];
    struct place place;
    struct stat status;
    char *start = buffer + size - 1;
    size_t length;

    snprintf(text, sizeof(text),
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", gfid[0],
             gfid[1], gfid[2], gfid[3], gfid[4], gfid[5], gfid[6], gfid[7], gfid[8], gfid[9],
             gfid[10], gfid[11], gfid[12], gfid[13], gfid[14], gfid[15]);
    handle_of(brick, text, handle);
    if (lstat(handle, &status) < 0)
        return NULL;
    /* A symbolic link of a user's has a second name in the volume. */
    if (S_ISLNK(status.st_mode) && status.st_nlink == 1 ? !place_of_directory(handle, &place)
                                                        : !place_of_file(handle, &place))
        return NULL;
    *start = '\0';
    for (;;) {
        length = strlen(place.text + GFID_TEXT);
        if (length > (size_t)(start - buffer))
            return NULL;
        start -= length;
        memcpy(start, place.text + GFID_TEXT, length);
        place.text[GFID_TEXT] = '\0';
        if (strcmp(place.text, ROOT) == 0)
            return start;
        handle_of(brick, place.text, handle);
        if (!place_of_directory(handle, &place))
            return NULL;
    }
}
