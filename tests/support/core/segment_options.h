/* What a segment is made with where there is no brick: one fop, and as many slots as a brick has.
 */
#ifndef GLUPY_TEST_SEGMENT_OPTIONS_H
#define GLUPY_TEST_SEGMENT_OPTIONS_H

#include "segment.h"

static inline struct glupy_segment_options
segment_options(const char *directory)
{
    static const char *const names[] = {"read"};
    static const uint8_t classes[GLUPY_FOPS_MAX];
    const struct glupy_segment_options options = {
        .directory = directory,
        .volume = "test",
        .brick = "/bricks/b",
        .host = "localhost",
        .glusterfs_version = "none",
        .fop_names = names,
        .fop_count = 1,
        .file_slots = GLUPY_FILE_SLOTS_DEFAULT,
        .client_slots = GLUPY_CLIENT_SLOTS_DEFAULT,
        .fop_classes = classes,
        .slow_records = GLUPY_SLOW_RECORDS_DEFAULT,
        .trace_records = GLUPY_TRACE_RECORDS_DEFAULT,
        .flights = GLUPY_FLIGHTS_DEFAULT,
        .held_locks = GLUPY_HELD_LOCKS_DEFAULT,
    };

    return options;
}

#endif
