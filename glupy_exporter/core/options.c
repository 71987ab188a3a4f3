/*
 * The options of the translator, which option_table.py lists with bounds and defaults. All are
 * declared as strings and checked here: a brick does not start with a value that GlusterFS refuses.
 */
#include <glusterfs/common-utils.h>
#include <limits.h>

#include "glupy.h"

enum kind { SWITCH, CHOICE, NUMBER, SLOTS, DIRECTORY };

struct row {
    const char *key;
    const char *usual;
    const char *choices; /* each ends with a NUL, the last with two */
    const char *expected;
    enum kind kind;
    uint32_t least, most; /* of a number */
    size_t member;        /* its offset in struct glupy_options */
};

#define OPTION(member, kind, name, usual, least, most, choices, expected, description) \
    {name, usual, choices, expected, kind, least, most, offsetof(struct glupy_options, member)},
static const struct row table[] = {GLUPY_OPTIONS(OPTION)};
#undef OPTION

#define OPTION(member, kind, name, usual, least, most, choices, expected, text) \
    {.key = {name},                                                             \
     .type = GF_OPTION_TYPE_STR,                                                \
     .flags = OPT_FLAG_SETTABLE | OPT_FLAG_DOC,                                 \
     .default_value = usual,                                                    \
     .description = text},
volume_option_t glupy_volume_options[] = {GLUPY_OPTIONS(OPTION){.key = {NULL}}};
#undef OPTION

static bool
set_switch(const char *value, bool *target)
{
    gf_boolean_t parsed;

    if (gf_string2boolean(value, &parsed) != 0)
        return false;
    *target = parsed;
    return true;
}

static bool
set_choice(const char *choices, const char *value, uint32_t *target)
{
    uint32_t index;

    for (index = 0; *choices; index++, choices += strlen(choices) + 1) {
        if (strcmp(choices, value) == 0) {
            *target = index;
            return true;
        }
    }
    return false;
}

static bool
set_number(const struct row *row, const char *value, uint32_t *target)
{
    unsigned long parsed;
    char *end;

    errno = 0;
    parsed = strtoul(value, &end, 10);
    if (errno || *end || value[0] < '0' || value[0] > '9' || parsed < row->least ||
        parsed > row->most)
        return false;
    *target = (uint32_t)parsed;
    return true;
}

/* Rounds a number up to the least one times a power of two. */
static bool
set_slots(const struct row *row, const char *value, uint32_t *target)
{
    uint32_t wanted, slots = row->least;

    if (!set_number(row, value, &wanted))
        return false;
    while (slots < wanted)
        slots *= 2;
    *target = slots;
    return true;
}

static bool
set_directory(const char *value, char **target)
{
    size_t length = strlen(value);
    char *copy;

    while (length > 1 && value[length - 1] == '/')
        length--;
    if (value[0] != '/' || length < 2 || length > PATH_MAX / 4)
        return false;
    copy = strndup(value, length);
    if (copy) {
        free(*target);
        *target = copy;
    }
    return true;
}

static bool
set(const struct row *row, const char *value, struct glupy_options *options)
{
    void *target = (char *)options + row->member;

    switch (row->kind) {
        case SWITCH:
            return set_switch(value, target);
        case CHOICE:
            return set_choice(row->choices, value, target);
        case NUMBER:
            return set_number(row, value, target);
        case SLOTS:
            return set_slots(row, value, target);
        case DIRECTORY:
            return set_directory(value, target);
    }
    return false;
}

#define END(table) ((table) + sizeof(table) / sizeof((table)[0]))

void
glupy_usual_options(struct glupy_options *options)
{
    const struct row *row;

    for (row = table; row < END(table); row++)
        set(row, row->usual, options);
}

void
glupy_read_options(xlator_t *this, dict_t *dict, struct glupy_options *options)
{
    const struct row *row;
    char *value;

    for (row = table; row < END(table); row++) {
        /* An option that was reset is missing: its default is in force again. */
        if (dict_get_str(dict, (char *)row->key, &value) != 0)
            value = (char *)row->usual;
        if (!set(row, value, options))
            gf_log(this->name, GF_LOG_ERROR,
                   "option %s: \"%s\" is not %s; the value in force stays", row->key, value,
                   row->expected);
    }
}
