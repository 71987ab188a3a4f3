/*
 * The options of the translator. All are declared as strings and checked here: a value that
 * GlusterFS itself refused would keep the brick from starting.
 */
#include <glusterfs/common-utils.h>
#include <limits.h>

#include "glupy.h"

static void
reject(xlator_t *this, const char *key, const char *value, const char *expected)
{
    gf_log(this->name, GF_LOG_ERROR, "option %s: \"%s\" is not %s; the value in force stays", key,
           value, expected);
}

static void
read_boolean(xlator_t *this, const char *key, const char *value, bool *target)
{
    gf_boolean_t parsed;

    if (gf_string2boolean(value, &parsed) == 0)
        *target = parsed;
    else
        reject(this, key, value, "on or off");
}

static bool
read_number(xlator_t *this, const char *key, const char *value, uint32_t least, uint32_t most,
            uint32_t *target)
{
    char expected[64], *end;
    unsigned long parsed;

    errno = 0;
    parsed = strtoul(value, &end, 10);
    if (errno || *end || value[0] < '0' || value[0] > '9' || parsed < least || parsed > most) {
        snprintf(expected, sizeof(expected), "a whole number from %u to %u", least, most);
        reject(this, key, value, expected);
        return false;
    }
    *target = (uint32_t)parsed;
    return true;
}

static void
read_detail(xlator_t *this, const char *key, const char *value, bool *processes)
{
    if (strcmp(value, "process") == 0)
        *processes = true;
    else if (strcmp(value, "host") == 0)
        *processes = false;
    else
        reject(this, key, value, "host or process");
}

/* A number of slots, rounded up to the next power of two. */
static void
read_slots(xlator_t *this, const char *key, const char *value, uint32_t least, uint32_t most,
           uint32_t *target)
{
    uint32_t wanted, slots = least;

    if (!read_number(this, key, value, least, most, &wanted))
        return;
    while (slots < wanted)
        slots *= 2;
    *target = slots;
}

static void
read_directory(xlator_t *this, const char *key, const char *value, char **target)
{
    size_t length = strlen(value);
    char *copy;

    while (length > 1 && value[length - 1] == '/')
        length--;
    if (value[0] != '/' || length < 2 || length > PATH_MAX / 4) {
        reject(this, key, value, "the absolute path of a directory");
        return;
    }
    copy = strndup(value, length);
    if (copy) {
        free(*target);
        *target = copy;
    }
}

void
glupy_read_options(xlator_t *this, dict_t *dict, struct glupy_options *options)
{
    char *value;

    /* An option that was reset is missing from the dictionary: its default is in force again. */
    value = GLUPY_SEGMENT_DIR;
    (void)!dict_get_str(dict, "segment-dir", &value);
    read_directory(this, "segment-dir", value, &options->segment_dir);

    value = "on";
    (void)!dict_get_str(dict, "enabled", &value);
    read_boolean(this, "enabled", value, &options->enabled);

    value = "host";
    (void)!dict_get_str(dict, "client-detail", &value);
    read_detail(this, "client-detail", value, &options->client_processes);

    value = NULL;
    if (dict_get_str(dict, "half-life", &value) == 0)
        read_number(this, "half-life", value, GLUPY_HALF_LIFE_MIN, GLUPY_HALF_LIFE_MAX,
                    &options->half_life);
    else
        options->half_life = GLUPY_HALF_LIFE_DEFAULT;

    if (dict_get_str(dict, "file-slots", &value) == 0)
        read_slots(this, "file-slots", value, GLUPY_FILE_SLOTS_MIN, GLUPY_FILE_SLOTS_MAX,
                   &options->file_slots);
    else
        options->file_slots = GLUPY_FILE_SLOTS_DEFAULT;

    if (dict_get_str(dict, "client-slots", &value) == 0)
        read_slots(this, "client-slots", value, GLUPY_CLIENT_SLOTS_MIN, GLUPY_CLIENT_SLOTS_MAX,
                   &options->client_slots);
    else
        options->client_slots = GLUPY_CLIENT_SLOTS_DEFAULT;
}
