/*
 * Runs every fop through the real translator.
 *
 * Usage: translator_harness GLUPY_SO SEGMENT_DIRECTORY ROUNDS
 * Each fop runs ROUNDS times with success and ROUNDS times with ENOSPC, then once more with
 * counting off. Prints the segment's path and waits for end-of-file on standard input.
 */
#include "loading.h"

int
main(int argc, char **argv)
{
    static client_t client = {.tbl_index = 3};
    unsigned long rounds, fops = sizeof(drivers) / sizeof(drivers[0]);
    glusterfs_ctx_t *ctx = make_context();
    xlator_t *xl;
    char segment[4096];
    dict_t *options;

    check(argc == 4);
    rounds = strtoul(argv[3], NULL, 10);
    gf_log_init(ctx, "/dev/stderr", NULL);
    xl = load_brick(ctx, argv[1], "/bricks/harness", argv[2]);
    check(dict_set_str(xl->options, "file-slots", "banana") == 0);
    check(xl->init(xl) == 0);
    check(xl->notify(xl, GF_EVENT_PARENT_UP, xl) == 0);

    test_xdata = dict_new();
    test_inode.gfid[0] = 1;
    reply_iatt.ia_gfid[0] = 1;

    reply_ret = 4096;
    run_all(ctx, xl, &client, rounds);
    reply_ret = -1;
    reply_errno = ENOSPC;
    run_all(ctx, xl, &client, rounds);
    check(children_seen == 2 * rounds * fops && callers_seen == children_seen);
    check(GF_ATOMIC_GET(test_xdata->refcount) == 1);

    /* Off: nothing is counted, everything still passes. */
    options = dict_new();
    check(dict_set_str(options, "segment-dir", argv[2]) == 0);
    check(dict_set_str(options, "enabled", "off") == 0);
    check(xl->reconfigure(xl, options) == 0);
    run_all(ctx, xl, &client, 1);
    check(children_seen == (2 * rounds + 1) * fops && callers_seen == children_seen);
    check(dict_set_str(options, "enabled", "on") == 0);
    check(xl->reconfigure(xl, options) == 0);

    /* The maintenance thread names it. */
    snprintf(segment, sizeof(segment), "%s/harness.bricks-harness.seg", argv[2]);
    while (access(segment, F_OK) < 0)
        usleep(1000);
    puts(segment);
    fflush(stdout);
    while (getchar() != EOF)
        ;

    /* A new shape, a shape that cannot be, a new life. */
    check(dict_set_str(options, "file-slots", "8") == 0);
    check(xl->reconfigure(xl, options) == 0);
    check(dict_set_str(options, "segment-dir", "/dev/null/nowhere") == 0);
    check(xl->reconfigure(xl, options) == 0);
    run_all(ctx, xl, &client, 1);
    xl->cbks->client_disconnect(xl, &client);
    xl->cbks->client_destroy(xl, &client);
    xl->fini(xl);
    check(xl->private == NULL);
    dict_unref(options);
    check(xl->init(xl) == 0);
    check(xl->notify(xl, GF_EVENT_PARENT_UP, xl) == 0);
    run_all(ctx, xl, &client, 1);
    check(xl->notify(xl, GF_EVENT_PARENT_DOWN, xl) == 0);
    xl->fini(xl);
    dict_unref(test_xdata);
    return 0;
}
