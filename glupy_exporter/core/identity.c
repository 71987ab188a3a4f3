/* Finds the volume, brick and host of this translator, and its replica or disperse set. */
#include <glusterfs/common-utils.h>
#include <grp.h>

#include "glupy.h"

#define GLUSTERD_VOLFILE "/etc/glusterfs/glusterd.vol"
#define GLUSTERD_DIRECTORY "/var/lib/glusterd"
#define SNAPSHOTS "/snaps/" /* below that directory */
#define NAME_SUFFIX "-glupy"
#define HEALTH_CHECK "storage.health-check-interval="
#define HEALTH_CHECK_DEFAULT 30    /* seconds; that of storage/posix */
#define GROUP_SIZE_MAX (16U << 20) /* bytes of a group with all its members */

static const char *
brick_directory(xlator_t *this)
{
    xlator_t *xl = this;
    char *directory = NULL;

    while (xl->children)
        xl = FIRST_CHILD(xl);
    if (dict_get_str(xl->options, "directory", &directory) != 0)
        return this->name;
    return directory;
}

/* A brick's volfile has the id VOLUME.HOST.PATH, with - for / in the path, or
 * /snaps/SNAPSHOT/VOLUME/VOLUME.HOST.PATH. */
static const char *
volfile_id(xlator_t *this)
{
    xlator_t *xl;

    for (xl = this; xl; xl = xl->parents ? xl->parents->xlator : NULL)
        if (xl->volfile_id)
            return xl->volfile_id;
    return this->ctx->cmd_args.volfile_id;
}

static char *
brick_host(xlator_t *this, const struct glupy_identity *identity)
{
    const char *id = volfile_id(this);
    size_t volume = strlen(identity->volume), all = id ? strlen(id) : 0;
    size_t brick = strlen(identity->brick + strspn(identity->brick, "/"));
    char host[256] = "";

    if (all > volume + brick + 2 && strncmp(id, identity->volume, volume) == 0)
        return strndup(id + volume + 1, all - volume - brick - 2);
    if (gethostname(host, sizeof(host) - 1) < 0)
        host[0] = '\0';
    return strdup(host);
}

/* The path of glusterd's record of the volume: below the working directory that glusterd's own
 * volfile names. */
static char *
volume_record(const char *volume)
{
    FILE *volfile = fopen(GLUSTERD_VOLFILE, "re");
    char line[PATH_MAX + 64], directory[PATH_MAX] = GLUSTERD_DIRECTORY, *path;
    int value;

    while (volfile && fgets(line, sizeof(line), volfile)) {
        value = 0;
        (void)sscanf(line, " option working-directory %n", &value);
        value += (int)strspn(line + value, "\"");
        if (value && line[value] == '/')
            snprintf(directory, sizeof(directory), "%.*s", (int)strcspn(line + value, "\" \t\n"),
                     line + value);
    }
    if (volfile)
        fclose(volfile);
    return asprintf(&path, "%s/vols/%s/info", directory, volume) < 0 ? NULL : path;
}

/* True if `value` names this brick as glusterd's info file does: HOST:-path-with-dashes. */
static bool
names_brick(const char *value, const struct glupy_identity *identity)
{
    size_t host = strlen(identity->host);
    const char *path = identity->brick;

    if (strncmp(value, identity->host, host) != 0 || value[host] != ':')
        return false;
    for (value += host + 1; *path && *value == (*path == '/' ? '-' : *path); value++, path++)
        ;
    return *path == '\0' && (*value == '\n' || *value == '\0');
}

/* Takes the option if the line sets it. The record has it as somebody gave it, as 30 or 1min. */
static void
read_health_check(const char *line, struct glupy_membership *membership)
{
    unsigned int number;
    char unit = 's';

    if (sscanf(line, HEALTH_CHECK "%u%c", &number, &unit) < 1)
        return;
    membership->health_check = number;
    if (unit == 'm')
        membership->health_check *= 60;
    else if (unit == 'h')
        membership->health_check *= 3600;
    else if (unit == 'd')
        membership->health_check *= 86400;
    else if (unit == 'w')
        membership->health_check *= 604800;
}

/* The record lists bricks in the order in which clients build their graph. So the index of the
 * brick's replica or disperse set is its position in the list, divided by the bricks of a set. */
bool
glupy_read_membership(const struct glupy_identity *identity, struct glupy_membership *membership)
{
    char line[4096];
    int32_t bricks_a_set = 1, number, found = -1;
    struct stat status;
    int value;
    FILE *info;

    if (stat(identity->record, &status) < 0 ||
        memcmp(&status.st_mtim, &membership->recorded, sizeof(status.st_mtim)) == 0)
        return false;
    info = fopen(identity->record, "re");
    if (!info)
        return false;
    *membership = (struct glupy_membership){
        .subvolume = -1, .recorded = status.st_mtim, .health_check = HEALTH_CHECK_DEFAULT};
    while (fgets(line, sizeof(line), info)) {
        if (sscanf(line, "sub_count=%d", &number) == 1 && number > 0)
            bricks_a_set = number;
        if (sscanf(line, "count=%d", &number) == 1 && number > 0)
            membership->bricks = (uint32_t)number;
        value = 0;
        if (sscanf(line, "brick-%d=%n", &number, &value) == 1 && value &&
            names_brick(line + value, identity))
            found = number;
        read_health_check(line, membership);
    }
    fclose(info);
    if (found >= 0)
        membership->subvolume = found / bricks_a_set;
    return true;
}

int
glupy_find_group(gid_t *gid)
{
    struct group group, *found = NULL;
    char *buffer = NULL, *larger;
    size_t size = 4096;
    int failed;

    *gid = (gid_t)-1;
    do {
        size *= 2;
        larger = realloc(buffer, size);
        if (!larger) {
            failed = ENOMEM;
            break;
        }
        buffer = larger;
        failed = getgrnam_r(GLUPY_READERS, &group, buffer, size, &found);
    } while (failed == ERANGE && size < GROUP_SIZE_MAX);
    if (!failed && found)
        *gid = found->gr_gid;
    free(buffer);
    return failed;
}

int
glupy_identify(xlator_t *this, struct glupy_identity *identity)
{
    size_t length = strlen(this->name), suffix = strlen(NAME_SUFFIX);
    const char *id = volfile_id(this);

    if (length > suffix && strcmp(this->name + length - suffix, NAME_SUFFIX) == 0)
        length -= suffix;
    identity->volume = strndup(this->name, length);
    identity->brick = strdup(brick_directory(this));
    if (!identity->volume || !identity->brick)
        return -1;
    identity->snapshot = id && strncmp(id, SNAPSHOTS, strlen(SNAPSHOTS)) == 0;
    identity->host = brick_host(this, identity);
    identity->record = volume_record(identity->volume);
    if (!identity->host || !identity->record)
        return -1;
    return 0;
}

void
glupy_identity_free(struct glupy_identity *identity)
{
    free(identity->volume);
    free(identity->brick);
    free(identity->host);
    free(identity->record);
}
