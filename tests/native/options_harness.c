/*
 * Usage: options_harness KEY VALUE
 * Reads one option of a volume as the translator does. Prints what the translator logs, if
 * anything, and then the value in force of each option.
 */
#include <stdarg.h>

#include "glupy.h"

static const char *key_of_test;
static char *value_of_test;

static int
option_get(dict_t *dict, const char *key, char **value)
{
    (void)dict;
    if (strcmp(key, key_of_test) != 0)
        return -1;
    *value = value_of_test;
    return 0;
}

static int
print_log(const char *domain, const char *file, const char *function, int32_t line,
          gf_loglevel_t level, const char *format, ...)
{
    va_list arguments;

    (void)domain, (void)file, (void)function, (void)line, (void)level;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    return 0;
}

#define dict_get_str option_get
#define _gf_log print_log
#include "options.c"

int
main(int argc, char **argv)
{
    static xlator_t xlator = {.name = "test"};
    struct glupy_options options = {0};

    if (argc != 3)
        return 2;
    key_of_test = argv[1];
    value_of_test = argv[2];
    glupy_usual_options(&options);
    glupy_read_options(&xlator, NULL, &options);
    printf("%d %u %u %u %u %s\n", options.enabled, options.file_slots, options.client_slots,
           options.client_detail, options.half_life, options.segment_dir);
    free(options.segment_dir);
    return 0;
}
