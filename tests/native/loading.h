/*
 * Loads the real translator into one process without bricks or clients: a child that answers at
 * once is below it, and a caller above it checks what comes back.
 */
#ifndef GLUPY_TEST_LOADING_H
#define GLUPY_TEST_LOADING_H

#include <dirent.h>
#include <dlfcn.h>
#include <glusterfs/xlator.h>
#include <glusterfs/defaults.h>
#include <glusterfs/globals.h>
#include <glusterfs/logging.h>

#define check(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static inode_t test_inode;
static fd_t test_fd = {.inode = &test_inode};
static loc_t test_loc = {.path = "/file", .name = "file", .inode = &test_inode};
static struct iovec test_vector = {.iov_len = 4096};
static struct iatt reply_iatt;
static dict_t *test_xdata;
static int32_t reply_ret, reply_errno;
static pid_t caller_pid;
static unsigned long children_seen, callers_seen;

/* What the child does before it answers. */
static void (*at_child)(call_frame_t *frame);

static void
seen_by_child(call_frame_t *frame, dict_t *xdata)
{
    check(frame->this && xdata == test_xdata);
    children_seen++;
    if (at_child)
        at_child(frame);
}

static void
seen_by_caller(call_frame_t *frame, int32_t op_ret, int32_t op_errno, dict_t *xdata,
               const char *fop)
{
    check(op_ret == reply_ret && op_errno == reply_errno && xdata == test_xdata && fop);
    check(frame->local == NULL);
    callers_seen++;
}

#include "drivers.inc"

static unsigned int
threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned int count = 0;

    check(tasks);
    while (readdir(tasks))
        count++;
    closedir(tasks);
    return count;
}

static glusterfs_ctx_t *
make_context(void)
{
    glusterfs_ctx_t *ctx = glusterfs_ctx_new();

    check(ctx && glusterfs_globals_init(ctx) == 0);
    THIS->ctx = ctx;
    mem_pools_init();
    check(xlator_mem_acct_init(THIS, gf_common_mt_end) == 0);
    ctx->pool = GF_CALLOC(1, sizeof(call_pool_t), gf_common_mt_char);
    INIT_LIST_HEAD(&ctx->pool->all_frames);
    LOCK_INIT(&ctx->pool->lock);
    ctx->pool->frame_mem_pool = mem_pool_new(call_frame_t, 64);
    ctx->pool->stack_mem_pool = mem_pool_new(call_stack_t, 64);
    ctx->dict_pool = mem_pool_new(dict_t, 64);
#ifdef WITH_DICT_PAIR_POOL
    ctx->dict_pair_pool = mem_pool_new(data_pair_t, 64);
#endif
    ctx->dict_data_pool = mem_pool_new(data_t, 64);
    return ctx;
}

/* Does what xlator_dynload and the graph do for a translator, without their fixed directory. */
static xlator_t *
load(glusterfs_ctx_t *ctx, const char *path, xlator_t *child)
{
    static xlator_list_t children;
    static glusterfs_graph_t graph;
    xlator_t *xl = GF_CALLOC(1, sizeof(*xl), gf_common_mt_xlator_t);
    void *handle = dlopen(path, RTLD_NOW);
    xlator_api_t *api;

    if (!handle) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    api = dlsym(handle, "xlator_api");
    check(api && api->init && api->fini && api->reconfigure && api->fops);
    children.xlator = child;
    child->graph = &graph;
    xl->name = "harness-glupy";
    xl->type = "user/glupy";
    xl->ctx = ctx;
    xl->graph = &graph;
    xl->fops = api->fops;
    xl->cbks = api->cbks;
    xl->dumpops = api->dumpops;
    xl->init = api->init;
    xl->fini = api->fini;
    xl->reconfigure = api->reconfigure;
    xl->notify = api->notify;
    xl->children = &children;
    xl->options = dict_new();
    INIT_LIST_HEAD(&xl->volume_options);
    return xl;
}

/* Loads the translator above a child, for the brick `directory`. It is not initialised yet. */
static xlator_t *
load_brick(glusterfs_ctx_t *ctx, const char *path, char *directory, char *segments)
{
    static xlator_t child = {
        .name = "child", .type = "test/null", .fops = &null_fops, .notify = default_notify};
    xlator_t *xl;

    child.ctx = ctx;
    child.options = dict_new();
    check(dict_set_str(child.options, "directory", directory) == 0);
    xl = load(ctx, path, &child);
    check(dict_set_str(xl->options, "segment-dir", segments) == 0);
    return xl;
}

static void
run_all(glusterfs_ctx_t *ctx, xlator_t *xl, client_t *client, unsigned long rounds)
{
    unsigned long round, index;
    call_frame_t *frame;

    for (round = 0; round < rounds; round++) {
        for (index = 0; index < sizeof(drivers) / sizeof(drivers[0]); index++) {
            frame = create_frame(THIS, ctx->pool);
            check(frame);
            frame->root->client = client;
            frame->root->pid = caller_pid;
            strcpy(frame->root->identifier, "192.0.2.1:49152");
            drivers[index].drive(frame, xl);
            STACK_DESTROY(frame->root);
        }
    }
}

#endif
