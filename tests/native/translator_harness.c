/*
 * Runs every fop through the real translator.
 *
 * Usage: translator_harness GLUPY_SO SEGMENT_DIRECTORY ROUNDS|late
 * Each fop runs ROUNDS times with success and ROUNDS times with ENOSPC, then once more with
 * counting off. With `late`, one client takes HELD locks on one file, both lose their slots, the
 * locks come back, and the client takes MORE of them. Prints the segment's path and waits for
 * end-of-file on standard input.
 */
#include "loading.h"

static void
wait_for_reader(const char *directory)
{
    char segment[4096];

    /* The maintenance thread publishes it. */
    snprintf(segment, sizeof(segment), "%s/harness.bricks-harness.seg", directory);
    while (access(segment, F_OK) < 0)
        usleep(1000);
    puts(segment);
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

#define HELD 100
#define MORE 400
#define OTHERS 64U

static call_frame_t *held[HELD];
static unsigned long held_count;

static int32_t
held_inodelk(call_frame_t *frame, xlator_t *this, const char *volume, loc_t *loc, int32_t cmd,
             struct gf_flock *lock, dict_t *xdata)
{
    (void)this, (void)volume, (void)loc, (void)cmd, (void)lock, (void)xdata;
    held[held_count++] = frame;
    return 0;
}

/* Takes a lock; `number` stands for the file and for the client. */
static void
lock(glusterfs_ctx_t *ctx, xlator_t *xl, uint8_t number)
{
    static client_t clients[OTHERS + 1];
    call_frame_t *frame = create_frame(THIS, ctx->pool);
    unsigned long held_before = held_count;

    check(frame);
    test_inode.gfid[0] = number + 1;
    clients[number].tbl_index = number;
    frame->root->client = &clients[number];
    sprintf(frame->root->identifier, "192.0.2.%u:49152", number);
    drive_inodelk(frame, xl);
    if (held_count == held_before)
        STACK_DESTROY(frame->root);
}

static void
run_late(glusterfs_ctx_t *ctx, xlator_t *xl)
{
    call_stack_t *root;
    unsigned long index;

    null_fops.inodelk = held_inodelk;
    for (index = 0; index < HELD; index++)
        lock(ctx, xl, 0);
    null_fops.inodelk = null_inodelk;
    for (index = 0; index < 20UL * OTHERS; index++)
        lock(ctx, xl, 1 + index % OTHERS);
    for (index = 0; index < HELD; index++) {
        root = held[index]->root;
        STACK_UNWIND_STRICT(inodelk, held[index], 0, 0, test_xdata);
        STACK_DESTROY(root);
    }
    for (index = 0; index < MORE; index++)
        lock(ctx, xl, 0);
}

int
main(int argc, char **argv)
{
    static client_t client = {.tbl_index = 3};
    unsigned long rounds, fops = sizeof(drivers) / sizeof(drivers[0]);
    glusterfs_ctx_t *ctx = make_context();
    unsigned int threads_before;
    xlator_t *xl;
    dict_t *options;

    check(argc == 4);
    rounds = strtoul(argv[3], NULL, 10);
    gf_log_init(ctx, "/dev/stderr", NULL);
    threads_before = threads();
    xl = load_brick(ctx, argv[1], "/bricks/harness", argv[2]);
    test_xdata = dict_new();
    if (strcmp(argv[3], "late") == 0) {
        check(dict_set_str(xl->options, "file-slots", "8") == 0);
        check(dict_set_str(xl->options, "client-slots", "8") == 0);
        check(xl->init(xl) == 0);
        check(xl->notify(xl, GF_EVENT_PARENT_UP, xl) == 0);
        run_late(ctx, xl);
        wait_for_reader(argv[2]);
        xl->fini(xl);
        return 0;
    }
    check(dict_set_str(xl->options, "file-slots", "banana") == 0);
    check(xl->init(xl) == 0);
    check(xl->notify(xl, GF_EVENT_PARENT_UP, xl) == 0);

    test_inode.gfid[0] = 1;
    reply_iatt.ia_gfid[0] = 1;

    reply_ret = 4096;
    run_all(ctx, xl, &client, rounds);
    reply_ret = -1;
    reply_errno = ENOSPC;
    run_all(ctx, xl, &client, rounds);
    check(children_seen == 2 * rounds * fops && callers_seen == children_seen);
    check(GF_ATOMIC_GET(test_xdata->refcount) == 1);

    /* With counting off, every fop still passes. */
    options = dict_new();
    check(dict_set_str(options, "segment-dir", argv[2]) == 0);
    check(dict_set_str(options, "enabled", "off") == 0);
    check(xl->reconfigure(xl, options) == 0);
    run_all(ctx, xl, &client, 1);
    check(children_seen == (2 * rounds + 1) * fops && callers_seen == children_seen);
    check(dict_set_str(options, "enabled", "on") == 0);
    check(xl->reconfigure(xl, options) == 0);

    wait_for_reader(argv[2]);

    /* Other sizes of tables, a directory that cannot be made, and init after fini. */
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
    /* A thread that fini did not wait for frees what it holds when it ends. */
    while (threads() > threads_before)
        usleep(1000);
    return 0;
}
