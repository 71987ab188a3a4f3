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
/* For the names of all xattrs of a file. The path of one with over a hundred links is not found. */
#define XATTRS_SIZE 4096
#define DENTRY_SIZE (GFID_TEXT + 1 + NAME_MAX + 1)

/* An entry of a directory, "GFID/name" with the gfid of the directory. */
struct dentry {
    char text[DENTRY_SIZE];
};

static void
handle_of(const char *brick, const char *gfid, char handle[PATH_MAX])
{
    snprintf(handle, PATH_MAX, "%s/.glusterfs/%.2s/%.2s/%s", brick, gfid, gfid + 2, gfid);
}

static bool
is_dentry(const char *text, size_t length)
{
    return length > GFID_TEXT + 1 && length < DENTRY_SIZE && text[GFID_TEXT] == '/' &&
           !memchr(text, '\0', length) && !memchr(text, '/', GFID_TEXT) &&
           !memchr(text + GFID_TEXT + 1, '/', length - GFID_TEXT - 1);
}

/* The handle of a directory is a link to "../../xx/yy/GFID/name". */
static bool
dentry_of_directory(const char *handle, struct dentry *dentry)
{
    const size_t up = strlen("../../xx/yy/");
    char link[sizeof("../../xx/yy/") + DENTRY_SIZE];
    ssize_t length = readlink(handle, link, sizeof(link) - 1);

    if (length <= (ssize_t)up || strncmp(link, "../../", strlen("../../")) != 0 ||
        !is_dentry(link + up, (size_t)length - up))
        return false;
    link[length] = '\0';
    memcpy(dentry->text, link + up, (size_t)length - up + 1);
    return true;
}

static bool
dentry_of_file(const char *handle, struct dentry *dentry)
{
    char names[XATTRS_SIZE];
    ssize_t size = llistxattr(handle, names, sizeof(names)), length;
    const char *name;

    for (name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        if (strncmp(name, XATTR, strlen(XATTR)) != 0)
            continue;
        length = lgetxattr(handle, name, dentry->text, sizeof(dentry->text) - 1);
        if (length > 0 && is_dentry(dentry->text, (size_t)length)) {
            dentry->text[length] = '\0';
            return true;
        }
    }
    return false;
}

const char *
glupy_handle_path(const char *brick, const uint8_t gfid[16], char *buffer, size_t size)
{
    char handle[PATH_MAX], text[GFID_TEXT + 1];
    struct dentry dentry;
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
    /* A symbolic link that a user made has two links: its handle, and its name in the volume. */
    if (S_ISLNK(status.st_mode) && status.st_nlink == 1 ? !dentry_of_directory(handle, &dentry)
                                                        : !dentry_of_file(handle, &dentry))
        return NULL;
    *start = '\0';
    for (;;) {
        length = strlen(dentry.text + GFID_TEXT);
        if (length > (size_t)(start - buffer))
            return NULL;
        start -= length;
        memcpy(start, dentry.text + GFID_TEXT, length);
        dentry.text[GFID_TEXT] = '\0';
        if (strcmp(dentry.text, ROOT) == 0)
            return start;
        handle_of(brick, dentry.text, handle);
        if (!dentry_of_directory(handle, &dentry))
            return NULL;
    }
}
