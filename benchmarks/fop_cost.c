/*
 * Measures what real translators cost a fop, in one process, above a child that answers at once;
 * see fop_cost.py.
 *
 * Usage: fop_cost GLUPY DIRECTORY FOP FOPS ROUNDS THREADS BEFORE [VARIANT [RATE]]
 * GLUPY is the type of our translator, below the directory where GlusterFS looks for translators;
 * BEFORE is that of an earlier version, or -. DIRECTORY is for their segments. FOP is readv or
 * lookup. In each round every variant, or the one named, gets FOPS fops from each of THREADS
 * threads. Prints VARIANT and nanoseconds of processor time a fop, a line for each round.
 *
 * With 0 THREADS, one thread uses up the processor's caches before each fop. Then the median of the
 * time that a fop took on the clock is printed.
 *
 * With RATE, all threads together do that many fops a second. A round then begins with a line on
 * standard input, and prints the processor time, and the 50th, 99th and 99.9th percentile and the
 * maximum of the latency, all in nanoseconds.
 */
#include <glusterfs/defaults.h>
#include <glusterfs/globals.h>
#include <glusterfs/glusterfs.h>
#include <glusterfs/iobuf.h>
#include <glusterfs/logging.h>
#include <glusterfs/mem-pool.h>
#include <glusterfs/stack.h>
#include <glusterfs/xlator.h>
#include <glusterfs/client_t.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "layout.h"
#include "processor_time.h"

#define FILES 64U
#define BYTES 4096
#define WARM_UP 2000UL
#define THREADS_MAX 64U
#define BURST 20U /* fops between two sleeps */
#define EVICTING (8UL << 20)

static glusterfs_ctx_t *ctx;
static glusterfs_graph_t graph;
static fd_t *fds[FILES];
static loc_t locs[FILES];
static unsigned long fops;
static unsigned long rate; /* of one thread, 0: as fast as it can */
static bool cold;
static bool lookups;
static pthread_barrier_t barrier;

/* The child that answers at once. */
static int32_t
null_readv(call_frame_t *frame, xlator_t *this, fd_t *fd, size_t size, off_t offset, uint32_t flags,
           dict_t *xdata)
{
    static char data[BYTES];
    struct iovec vector = {.iov_base = data, .iov_len = sizeof(data)};
    struct iatt status = {0};

    STACK_UNWIND_STRICT(readv, frame, sizeof(data), 0, &vector, 1, &status, NULL, NULL);
    return 0;
}

static int32_t
null_lookup(call_frame_t *frame, xlator_t *this, loc_t *loc, dict_t *xdata)
{
    struct iatt status = {.ia_type = IA_IFREG}, parent = {0};

    memcpy(status.ia_gfid, loc->inode->gfid, sizeof(status.ia_gfid));
    STACK_UNWIND_STRICT(lookup, frame, 0, 0, loc->inode, &status, NULL, &parent);
    return 0;
}

static int32_t
null_open(call_frame_t *frame, xlator_t *this, loc_t *loc, int32_t flags, fd_t *fd, dict_t *xdata)
{
    STACK_UNWIND_STRICT(open, frame, 0, 0, fd, NULL);
    return 0;
}

/* The least that a translator can do. */
static int32_t
pass_readv_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
               struct iovec *vector, int32_t count, struct iatt *status, struct iobref *iobref,
               dict_t *xdata)
{
    STACK_UNWIND_STRICT(readv, frame, op_ret, op_errno, vector, count, status, iobref, xdata);
    return 0;
}

static int32_t
pass_readv(call_frame_t *frame, xlator_t *this, fd_t *fd, size_t size, off_t offset, uint32_t flags,
           dict_t *xdata)
{
    STACK_WIND(frame, pass_readv_cbk, FIRST_CHILD(this), FIRST_CHILD(this)->fops->readv, fd, size,
               offset, flags, xdata);
    return 0;
}

static int32_t
pass_lookup_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                inode_t *inode, struct iatt *status, dict_t *xdata, struct iatt *parent)
{
    STACK_UNWIND_STRICT(lookup, frame, op_ret, op_errno, inode, status, xdata, parent);
    return 0;
}

static int32_t
pass_lookup(call_frame_t *frame, xlator_t *this, loc_t *loc, dict_t *xdata)
{
    STACK_WIND(frame, pass_lookup_cbk, FIRST_CHILD(this), FIRST_CHILD(this)->fops->lookup, loc,
               xdata);
    return 0;
}

static struct xlator_fops null_fops = {
    .readv = null_readv, .lookup = null_lookup, .open = null_open};
static struct xlator_fops pass_fops = {
    .readv = pass_readv, .lookup = pass_lookup, .open = default_open};

static void
die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static call_pool_t *
call_pool(void)
{
    call_pool_t *pool = calloc(1, sizeof(*pool));

    pool->frame_mem_pool = mem_pool_new(call_frame_t, 4096);
    pool->stack_mem_pool = mem_pool_new(call_stack_t, 1024);
    INIT_LIST_HEAD(&pool->all_frames);
    LOCK_INIT(&pool->lock);
    return pool;
}

static void
prepare_context(void)
{
    ctx = glusterfs_ctx_new();
    if (!ctx || glusterfs_globals_init(ctx))
        die("libglusterfs does not start");
    THIS->ctx = ctx;
    xlator_mem_acct_init(THIS, gf_common_mt_end + 1);
    mem_pools_init();
    ctx->page_size = 128 * 1024;
    ctx->iobuf_pool = iobuf_pool_new();
    ctx->dict_pool = mem_pool_new(dict_t, 1024);
    ctx->dict_pair_pool = mem_pool_new(data_pair_t, 1024);
    ctx->dict_data_pool = mem_pool_new(data_t, 1024);
    ctx->logbuf_pool = mem_pool_new(log_buf_t, 256);
    ctx->pool = call_pool();
    gf_log_init(ctx, "/dev/stderr", NULL);
    gf_log_set_loglevel(ctx, GF_LOG_ERROR);
}

static xlator_t *
make(const char *name, const char *type, struct xlator_fops *functions, xlator_t *child)
{
    xlator_t *xl = calloc(1, sizeof(*xl));
    xlator_list_t *list = calloc(2, sizeof(*list));

    xl->name = strdup(name);
    xl->ctx = ctx;
    xl->options = dict_new();
    xl->fops = functions;
    xl->graph = &graph;
    xl->notify = default_notify;
    xl->xl_id = graph.xl_count++;
    INIT_LIST_HEAD(&xl->volume_options);
    if (child) {
        xl->children = &list[0];
        list[0].xlator = child;
        child->parents = &list[1];
        list[1].xlator = xl;
    }
    if (!type)
        xl->type = strdup("benchmark/none");
    else if (xlator_set_type(xl, (char *)type))
        die(type);
    return xl;
}

static void
set(xlator_t *xl, char *key, char *value)
{
    if (dict_set_str(xl->options, key, value))
        die(key);
}

static int32_t
done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno, ...)
{
    return 0;
}

static call_frame_t *
start(xlator_t *top, client_t *client, glusterfs_fop_t fop)
{
    static const char identifier[] = "192.0.2.1:1023";
    call_frame_t *frame = create_frame(top, ctx->pool);

    frame->root->op = fop;
    frame->root->client = client;
    memcpy(frame->root->identifier, identifier, sizeof(identifier));
    return frame;
}

static void
call(xlator_t *top, client_t *client, unsigned long file)
{
    call_frame_t *frame = start(top, client, lookups ? GF_FOP_LOOKUP : GF_FOP_READ);

    if (lookups)
        STACK_WIND(frame, (fop_lookup_cbk_t)done, top, top->fops->lookup, &locs[file % FILES],
                   NULL);
    else
        STACK_WIND(frame, (fop_readv_cbk_t)done, top, top->fops->readv, fds[file % FILES], BYTES, 0,
                   0, NULL);
    STACK_DESTROY(frame->root);
}

static void
drive(xlator_t *top, client_t *client, unsigned long count, unsigned long offset)
{
    unsigned long file;

    for (file = offset; file < offset + count; file++)
        call(top, client, file);
}

static uint64_t
monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000UL + (uint64_t)now.tv_nsec;
}

/* Does fops at the rate, and notes how long each took. */
static void
drive_paced(xlator_t *top, client_t *client, unsigned long offset, uint32_t *latencies)
{
    uint64_t began = monotonic(), before = began, now, due;
    struct timespec until;
    unsigned long number;

    for (number = 0; number < fops; number++) {
        if (number && number % BURST == 0) {
            due = began + number * 1000000000UL / rate;
            until = (struct timespec){(time_t)(due / 1000000000UL), (long)(due % 1000000000UL)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
            before = monotonic();
        }
        call(top, client, offset + number);
        now = monotonic();
        latencies[number] = (uint32_t)(now - before);
        before = now;
    }
}

/* Writes to more memory than the caches of one core hold, and than they hold addresses of. */
static void
evict(void)
{
    static volatile char others[EVICTING];
    size_t at;

    for (at = 0; at < sizeof(others); at += 64)
        others[at]++;
}

/* Does fops for which the caches are empty, and notes how long each took. */
static void
drive_cold(xlator_t *top, client_t *client, unsigned long offset, uint32_t *latencies)
{
    unsigned long number;
    uint64_t before;

    for (number = 0; number < fops; number++) {
        evict();
        before = monotonic();
        call(top, client, offset + number);
        latencies[number] = (uint32_t)(monotonic() - before);
    }
}

/* io-stats has a context for files that were opened. */
static void
open_files(xlator_t *top)
{
    call_frame_t *frame;
    uint32_t file;

    for (file = 0; file < FILES; file++) {
        frame = start(top, NULL, GF_FOP_OPEN);
        STACK_WIND(frame, (fop_open_cbk_t)done, top, top->fops->open, &locs[file], 0, fds[file],
                   NULL);
        STACK_DESTROY(frame->root);
    }
}

static void
make_files(xlator_t *top)
{
    inode_table_t *table = inode_table_new(FILES * 2, top, 0, 0);
    uint32_t file;

    for (file = 0; file < FILES; file++) {
        locs[file].inode = inode_new(table);
        locs[file].inode->gfid[0] = 1;
        locs[file].inode->gfid[15] = file + 1;
        locs[file].inode->ia_type = IA_IFREG;
        memcpy(locs[file].gfid, locs[file].inode->gfid, 16);
        locs[file].path = "/a/file";
        locs[file].name = "file";
        fds[file] = fd_create(locs[file].inode, 1);
    }
}

struct worker {
    pthread_t thread;
    xlator_t *top;
    unsigned long number;
    client_t client;
    uint32_t *latencies;
    double nanoseconds;
};

static void *
work(void *argument)
{
    struct worker *worker = argument;
    double before;

    drive(worker->top, &worker->client, WARM_UP, 0);
    pthread_barrier_wait(&barrier);
    before = processor_time();
    if (cold)
        drive_cold(worker->top, &worker->client, worker->number * 7, worker->latencies);
    else if (rate)
        drive_paced(worker->top, &worker->client, worker->number * 7, worker->latencies);
    else
        drive(worker->top, &worker->client, fops, worker->number * 7);
    worker->nanoseconds = (processor_time() - before) / (double)fops;
    return NULL;
}

/* `latencies` is for those of all threads; NULL: they are not noted. */
static double
measure(xlator_t *top, unsigned long threads, uint32_t *latencies)
{
    static struct worker workers[THREADS_MAX];
    unsigned long number;
    double sum = 0;

    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (number = 0; number < threads; number++) {
        workers[number].top = top;
        workers[number].number = number;
        workers[number].client.tbl_index = (int)number;
        workers[number].latencies = latencies ? latencies + number * fops : NULL;
        pthread_create(&workers[number].thread, NULL, work, &workers[number]);
    }
    for (number = 0; number < threads; number++) {
        pthread_join(workers[number].thread, NULL);
        sum += workers[number].nanoseconds;
    }
    pthread_barrier_destroy(&barrier);
    return sum / (double)threads;
}

/* Makes one of our translators, with a segment in a directory of its own. It makes the segment at
 * the event. */
static xlator_t *
make_ours(const char *name, const char *type, const char *directory, char *recorder)
{
    xlator_t *xl = make(name, type, NULL, make("null", NULL, &null_fops, NULL));
    char *segments;

    if (asprintf(&segments, "%s/%s", directory, name) < 0)
        die("memory");
    set(xl, "segment-dir", segments);
    set(xl, "recorder", recorder);
    if (xlator_init(xl))
        die("a translator does not start");
    xl->notify(xl, GF_EVENT_PARENT_UP, xl);
    return xl;
}

/* Maps the segment in a directory, once its maintenance thread has given it its name. */
static char *
map_segment(const char *directory, const char *name)
{
    char path[1024];
    struct dirent *entry;
    struct stat status;
    DIR *entries;
    int fd = -1;

    while (fd < 0) {
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        entries = opendir(path);
        while (entries && (entry = readdir(entries)))
            if (entry->d_name[0] != '.' && strstr(entry->d_name, ".seg")) {
                snprintf(path, sizeof(path), "%s/%s/%s", directory, name, entry->d_name);
                fd = open(path, O_RDWR);
            }
        if (entries)
            closedir(entries);
        usleep(1000);
    }
    if (fstat(fd, &status))
        die("fstat");
    return mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static void *
table(char *segment, const char *name)
{
    struct glupy_header *header = (struct glupy_header *)segment;
    struct glupy_entry *entry = (struct glupy_entry *)(segment + header->catalog_offset);

    while (strcmp(entry->name, name) != 0)
        entry++;
    return segment + entry->offset;
}

/* Has the brick record all fops for the next seconds. */
static void
trace(char *segment)
{
    struct glupy_tracer *tracer = table(segment, "tracers");
    struct glupy_control *control = table(segment, "control");

    memset(tracer->fops, 0xff, sizeof(tracer->fops));
    tracer->heartbeat = monotonic();
    control->active[0] = 1;
}

static int
compare(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return (first > second) - (first < second);
}

/* Measures with sorted latencies, which the caller frees. */
static uint32_t *
sorted_latencies(xlator_t *top, unsigned long threads, double *cost)
{
    size_t count = fops * threads;
    uint32_t *latencies = calloc(count, sizeof(*latencies));

    if (!latencies)
        die("memory");
    *cost = measure(top, threads, latencies);
    qsort(latencies, count, sizeof(*latencies), compare);
    return latencies;
}

/* A round at the rate for each line of standard input. */
static void
measure_paced(xlator_t *top, unsigned long threads)
{
    size_t count = fops * threads;
    uint32_t *latencies;
    char line[8];
    double cost;

    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        latencies = sorted_latencies(top, threads, &cost);
        printf("%.3f %u %u %u %u\n", cost, latencies[count / 2], latencies[count * 99 / 100],
               latencies[count * 999 / 1000], latencies[count - 1]);
        fflush(stdout);
        free(latencies);
    }
}

/* The median of the time that a fop takes when the caches are empty. */
static double
measure_cold(xlator_t *top)
{
    double cost, median;
    uint32_t *latencies = sorted_latencies(top, 1, &cost);

    median = latencies[fops / 2];
    free(latencies);
    return median;
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"null",         "pass-through", "io-stats", "glupy",
                                        "recorder-off", "traced",       "before"};
    enum { NULL_CHILD, PASS, STATS, OURS, OFF, TRACED, BEFORE, VARIANTS };
    unsigned long rounds, threads, round, step, variant;
    xlator_t *tops[VARIANTS] = {NULL};
    char *traced;

    if (argc < 8 || (threads = strtoul(argv[6], NULL, 10)) > THREADS_MAX)
        return 2;
    lookups = strcmp(argv[3], "lookup") == 0;
    fops = strtoul(argv[4], NULL, 10);
    rounds = strtoul(argv[5], NULL, 10);
    cold = threads == 0;
    if (argc > 9 && !cold)
        rate = strtoul(argv[9], NULL, 10) / threads;
    prepare_context();
    /* Each translator has a child of its own, as a child knows its parent. */
    tops[NULL_CHILD] = make("null", NULL, &null_fops, NULL);
    tops[PASS] = make("pass", NULL, &pass_fops, make("null", NULL, &null_fops, NULL));
    tops[STATS] = make("stats", "debug/io-stats", NULL, make("null", NULL, &null_fops, NULL));
    set(tops[STATS], "latency-measurement", "on");
    set(tops[STATS], "count-fop-hits", "on");
    if (xlator_init(tops[STATS]))
        die("a translator does not start");
    for (variant = OURS; variant <= TRACED; variant++)
        tops[variant] = make_ours(names[variant], argv[1], argv[2], variant == OFF ? "off" : "on");
    if (strcmp(argv[7], "-") != 0)
        tops[BEFORE] = make_ours(names[BEFORE], argv[7], argv[2], "on");
    traced = map_segment(argv[2], names[TRACED]);
    make_files(tops[STATS]);
    open_files(tops[STATS]);
    for (round = 0; round < rounds; round++)
        for (step = 0; step < VARIANTS; step++) {
            variant = (round + step) % VARIANTS;
            if (variant == TRACED)
                trace(traced);
            if (!tops[variant] || (argc > 8 && strcmp(argv[8], names[variant]) != 0))
                continue;
            if (cold)
                printf("%s %.3f\n", names[variant], measure_cold(tops[variant]));
            else if (rate)
                measure_paced(tops[variant], threads);
            else
                printf("%s %.3f\n", names[variant], measure(tops[variant], threads, NULL));
        }
    for (variant = OURS; variant < VARIANTS; variant++)
        if (tops[variant])
            tops[variant]->fini(tops[variant]);
    return 0;
}
