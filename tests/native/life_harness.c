/*
 * Plays a scene of the translator's life, for tests of what it does to directories and files.
 *
 * Usage: life_harness GLUPY_SO SEGMENT_DIRECTORY BRICK SCENE [NUMBER]
 * A scene that has something to show prints a line, and goes on when it has read one.
 */
#include "loading.h"

#include <glusterfs/inode.h>
#include <grp.h>
#include <pthread.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static unsigned long number;
static client_t client = {.tbl_index = 3};
static glusterfs_ctx_t *ctx;
static xlator_t *xl;
static unsigned int threads_before;

static void
show(const char *what)
{
    char line[256];

    puts(what);
    fflush(stdout);
    check(fgets(line, sizeof(line), stdin));
}

/* These functions replace libc's for the library as well, so that they can hang. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const char *hanging = "";
static bool hung, released;

static void
hang(const char *what)
{
    pthread_mutex_lock(&mutex);
    while (strcmp(hanging, what) == 0 && !released) {
        hung = true;
        pthread_cond_broadcast(&changed);
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static size_t group_size;

int
getgrnam_r(const char *name, struct group *group, char *buffer, size_t size, struct group **found)
{
    (void)buffer;
    check(strcmp(name, "gluster") == 0);
    hang("group");
    *found = NULL;
    if (size < group_size)
        return ERANGE;
    *group = (struct group){.gr_gid = (gid_t)number};
    *found = number ? group : NULL;
    return 0;
}

static unsigned int looks; /* for the name of the file with the number 1 */

ssize_t
llistxattr(const char *path, char *list, size_t size)
{
    (void)list, (void)size;
    if (strstr(path, "/01000000-"))
        __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED);
    hang("disk");
    errno = ENODATA;
    return -1;
}

/* Only the thread's look at the brick hangs, not that at the segment's file system. */
int
fstatvfs(int fd, struct statvfs *space)
{
    struct statfs found;

    if (fcntl(fd, F_GETFL) & O_PATH)
        hang("facts");
    if (fstatfs(fd, &found) < 0)
        return -1;
    *space = (struct statvfs){.f_bsize = (unsigned long)found.f_bsize,
                              .f_frsize = (unsigned long)found.f_frsize,
                              .f_blocks = found.f_blocks,
                              .f_bfree = found.f_bfree,
                              .f_bavail = found.f_bavail};
    return 0;
}

static int64_t wall_clock_behind; /* seconds */

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    long failed = syscall(SYS_clock_gettime, clock, now);

    if (clock == CLOCK_REALTIME)
        now->tv_sec -= __atomic_load_n(&wall_clock_behind, __ATOMIC_RELAXED);
    return (int)failed;
}

/* The maintenance thread waits for the next second with this. While `driven`, it waits until the
 * scene wants another round. */
static bool driven;
static unsigned int rounds, rounds_wanted;

int
pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *held, const struct timespec *until)
{
    if (!driven)
        return pthread_cond_clockwait(cond, held, CLOCK_MONOTONIC, until);
    pthread_mutex_unlock(held);
    pthread_mutex_lock(&mutex);
    rounds++;
    pthread_cond_broadcast(&changed);
    while (driven && rounds >= rounds_wanted)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    pthread_mutex_lock(held);
    return ETIMEDOUT;
}

static void
next_round(void)
{
    pthread_mutex_lock(&mutex);
    rounds_wanted = rounds + 1;
    pthread_cond_broadcast(&changed);
    while (rounds < rounds_wanted)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void
up(void)
{
    check(xl->init(xl) == 0);
    check(xl->notify(xl, GF_EVENT_PARENT_UP, xl) == 0);
}

static void
down(void)
{
    check(xl->notify(xl, GF_EVENT_PARENT_DOWN, xl) == 0);
    xl->fini(xl);
    check(!xl->private);
}

static void
scene_unfinished(void)
{
    check(xl->init(xl) == 0);
    show("initialised");
}

static void
scene_up(void)
{
    up();
    show("up");
    down();
}

/* As glusterd starts the brick of a snapshot that was activated. */
static void
scene_snapshot(void)
{
    ctx->cmd_args.volfile_id =
        "/snaps/s1/0f0f0f0f/0f0f0f0f.node1.run-gluster-snaps-0f0f0f0f-brick1";
    up();
    run_all(ctx, xl, &client, 1);
    check(callers_seen == children_seen && callers_seen);
    check(threads() == threads_before);
    down();
}

/* A machine whose clock is set only after its bricks have started. */
static void
scene_stepped(void)
{
    __atomic_store_n(&wall_clock_behind, time(NULL) - 1000, __ATOMIC_RELAXED);
    up();
    run_all(ctx, xl, &client, 1);
    show("1970");
    __atomic_store_n(&wall_clock_behind, 0, __ATOMIC_RELAXED);
    show("set");
    down();
}

static void
scene_large_group(void)
{
    group_size = 100000;
    scene_up();
}

/* Goes down while the maintenance thread hangs, which must not hold it up. */
static void
go_down_while_hung(void)
{
    pthread_mutex_lock(&mutex);
    while (!hung)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    show("hung");
    down();
    /* GlusterFS frees the translator next: the thread must not look there any more. */
    memset(xl, 0xff, sizeof(*xl));
    show("down");
    pthread_mutex_lock(&mutex);
    released = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    while (threads() > threads_before)
        usleep(1000);
}

static void
scene_hung_group(void)
{
    hanging = "group";
    up();
    go_down_while_hung();
}

static void
make_inode_table(uint32_t lru_limit)
{
#ifdef INODE_TABLE_HAS_SIZES
    xl->itable = inode_table_new(lru_limit, xl, 0, 0);
#else
    xl->itable = inode_table_new(lru_limit, xl);
#endif
    check(xl->itable);
}

static void
scene_hung_disk(void)
{
    up();
    make_inode_table(0);
    hanging = "disk";
    run_all(ctx, xl, &client, 1);
    go_down_while_hung();
}

static void
scene_hung_facts(void)
{
    hanging = "facts";
    up();
    go_down_while_hung();
}

static void
ask(const char *name)
{
    call_frame_t *frame = create_frame(THIS, ctx->pool);

    check(frame);
    STACK_WIND(frame, driver_getxattr_cbk, xl, xl->fops->getxattr, &test_loc, name, test_xdata);
    STACK_DESTROY(frame->root);
}

static void
rename_directory(void)
{
    static inode_t inode = {.gfid = {2}, .ia_type = IA_IFDIR};
    loc_t old = {.path = "/old", .name = "old", .inode = &inode}, new = {.path = "/new"};
    call_frame_t *frame = create_frame(THIS, ctx->pool);

    check(frame);
    reply_iatt.ia_type = IA_IFDIR;
    STACK_WIND(frame, driver_rename_cbk, xl, xl->fops->rename, &old, &new, test_xdata);
    STACK_DESTROY(frame->root);
}

/* Looks on the disk during some rounds, in each of which a directory is renamed or not. */
static unsigned int
looks_in(unsigned int count, bool renames)
{
    unsigned int before = __atomic_load_n(&looks, __ATOMIC_RELAXED);

    while (count--) {
        if (renames)
            rename_directory();
        next_round();
    }
    return __atomic_load_n(&looks, __ATOMIC_RELAXED) - before;
}

/* The brick does not know a file's name, and its disk neither. */
static void
scene_doubted(void)
{
    driven = true;
    up();
    make_inode_table(0);
    ask("some.name");
    printf("%u", looks_in(10, false));
    printf(" %u", looks_in(15, true));
    printf(" %u", looks_in(300, true));
    printf(" %u\n", looks_in(250, false));
    pthread_mutex_lock(&mutex);
    driven = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    down();
}

static unsigned long
resident_kib(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long pages;

    check(statm && fscanf(statm, "%*u %lu", &pages) == 1);
    fclose(statm);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

/* Many segments, one after the other. The first few of a shape may take memory. */
static void
scene_many_segments(void)
{
    dict_t *options = dict_new();
    unsigned long round, before = 0;

    up();
    check(dict_copy(xl->options, options));
    for (round = 0; round < number; round++) {
        check(dict_set_str(options, "file-slots", round % 2 ? "8" : "16") == 0);
        check(xl->reconfigure(xl, options) == 0);
        run_all(ctx, xl, &client, round < 4);
        if (round == 9)
            before = resident_kib();
    }
    printf("%ld\n", (long)(resident_kib() - before));
    fflush(stdout);
    dict_unref(options);
    down();
}

static void
end_life(call_frame_t *frame)
{
    (void)frame;
    if (xl->private)
        down();
}

/* One fop goes down before the end and comes back after it; all others come too late. */
static void
scene_late_fops(void)
{
    up();
    at_child = end_life;
    run_all(ctx, xl, &client, 1);
    check(!xl->private && callers_seen == children_seen);
}

static void
link_inode(const char *name, uint8_t number)
{
    struct iatt iatt = {.ia_type = IA_IFREG, .ia_gfid = {number}};
    inode_t *fresh = inode_new(xl->itable);
    inode_t *inode = inode_link(fresh, xl->itable->root, name, &iatt);

    check(inode);
    inode_lookup(inode);
    inode_unref(fresh);
    if (number > 1) /* nobody uses it any more */
        inode_unref(inode);
}

/* Every fop three times with success, twice with ENOSPC, and once by the self-heal daemon, on a
 * file that has a name. The brick remembers another one. */
static void
scene_everything(void)
{
    check(dict_set_str(xl->options, "file-slots", "8") == 0);
    check(dict_set_str(xl->options, "client-slots", "8") == 0);
    up();
    make_inode_table(100);
    link_inode("file", 1);
    link_inode("other", 2);
    test_inode.ia_type = IA_IFREG;
    reply_ret = 4096;
    run_all(ctx, xl, &client, 3);
    reply_ret = -1;
    reply_errno = ENOSPC;
    run_all(ctx, xl, &client, 2);
    caller_pid = GF_CLIENT_PID_SELF_HEALD;
    run_all(ctx, xl, &client, 1);
    show("up");
    down();
}

static uint64_t cookie;

static void
overwrite(call_frame_t *frame)
{
    frame->cookie = (void *)cookie;
}

/* Whatever the child leaves in the cookie, nothing goes wrong, and no fop stays in flight. */
static void
scene_lost_cookies(void)
{
    /* Two of marker's; slots beyond the tables, with the epoch of this segment and with another. */
    static const uint64_t cookies[] = {0, 1, 0x01fffffffffffffeUL, 0x00fffffffffffffeUL};
    unsigned long index;

    up();
    at_child = overwrite;
    for (index = 0; index < sizeof(cookies) / sizeof(*cookies); index++) {
        cookie = cookies[index];
        run_all(ctx, xl, &client, 1);
    }
    show("up");
    down();
}

#define WAITING 8 /* all entries for fops under way */
#define WHOLE 0

static call_frame_t *waiting[WAITING];
static unsigned int waiting_count;

/* The lock is not free. */
static int32_t
waiting_lk(call_frame_t *frame, xlator_t *this, fd_t *fd, int32_t cmd, struct gf_flock *flock,
           dict_t *xdata)
{
    (void)this, (void)fd, (void)cmd, (void)flock, (void)xdata;
    waiting[waiting_count++] = frame;
    return 0;
}

/* A lock fop of an application on a range. */
static void
lk(int32_t cmd, int16_t type, int64_t start, int64_t length)
{
    struct gf_flock flock = {.l_type = type, .l_start = start, .l_len = length};
    call_frame_t *frame = create_frame(THIS, ctx->pool);
    unsigned int before = waiting_count;

    check(frame);
    frame->root->client = &client;
    frame->root->lk_owner.len = 1;
    strcpy(frame->root->identifier, "192.0.2.1:49152");
    STACK_WIND(frame, driver_lk_cbk, xl, xl->fops->lk, &test_fd, cmd, &flock, test_xdata);
    if (waiting_count == before)
        STACK_DESTROY(frame->root);
}

static void
entrylk(entrylk_cmd cmd, const char *name)
{
    call_frame_t *frame = create_frame(THIS, ctx->pool);

    check(frame);
    STACK_WIND(frame, driver_entrylk_cbk, xl, xl->fops->entrylk, "domain", &test_loc, name, cmd,
               ENTRYLK_WRLCK, test_xdata);
    STACK_DESTROY(frame->root);
}

static void
switch_counting(char *value)
{
    dict_t *options = dict_new();

    check(dict_copy(xl->options, options));
    check(dict_set_str(options, "enabled", value) == 0);
    check(xl->reconfigure(xl, options) == 0);
    dict_unref(options);
}

/* Which answers list a lock, and what takes locks off the list again. */
static void
scene_locks(void)
{
    call_stack_t *root;

    LOCK_INIT(&test_fd.lock);
    test_fd._ctx = GF_CALLOC(1, sizeof(*test_fd._ctx), gf_common_mt_char);
    check(test_fd._ctx);
    test_fd.xl_count = 1;
    check(dict_set_str(xl->options, "in-flight-slots", "8") == 0);
    up();
    lk(F_GETLK, F_WRLCK, 0, WHOLE);
    lk(F_GETLK64, F_WRLCK, 0, WHOLE);
    lk(F_RESLK_LCK, F_WRLCK, 0, WHOLE);
    lk(F_RESLK_LCKW, F_WRLCK, 0, WHOLE);
    lk(F_RESLK_UNLCK, F_WRLCK, 0, WHOLE);
    lk(F_SETLK, F_UNLCK, 0, WHOLE);
    entrylk(ENTRYLK_UNLOCK, "name");
    show("none");
    lk(F_SETLK, F_WRLCK, 0, 100);
    lk(F_SETLKW, F_UNLCK, 50, -10); /* 40 to 49 */
    lk(F_SETLK, F_RDLCK, INT64_MAX, INT64_MIN);
    lk(F_SETLK, F_UNLCK, INT64_MAX, INT64_MIN);
    show("0+40 50+50");
    lk(F_SETLK, F_UNLCK, 0, WHOLE);
    entrylk(ENTRYLK_LOCK, NULL);
    entrylk(ENTRYLK_LOCK, "name");
    entrylk(ENTRYLK_UNLOCK, "other");
    entrylk(ENTRYLK_UNLOCK, "name");
    show("0+0");
    entrylk(ENTRYLK_UNLOCK, NULL);
    show("none");

    /* Each end that a lock can have without an unlock. */
    lk(F_SETLK, F_WRLCK, 0, WHOLE);
    check(test_fd._ctx[0].value1 == 1);
    xl->cbks->release(xl, &test_fd);
    lk(F_SETLK, F_WRLCK, 0, WHOLE);
    xl->cbks->releasedir(xl, &test_fd);
    lk(F_SETLK, F_WRLCK, 0, WHOLE);
    xl->cbks->client_disconnect(xl, &client);
    lk(F_SETLK, F_WRLCK, 0, WHOLE);
    xl->cbks->client_destroy(xl, &client);
    show("none");

    /* While nothing can be listed, only a grant counts as not listed. */
    null_fops.lk = waiting_lk;
    while (waiting_count < WAITING)
        lk(F_SETLKW, F_WRLCK, 0, WHOLE);
    null_fops.lk = null_lk;
    lk(F_GETLK, F_WRLCK, 0, WHOLE);
    lk(F_SETLK, F_UNLCK, 0, WHOLE);
    entrylk(ENTRYLK_UNLOCK, "name");
    lk(F_SETLK, F_WRLCK, 0, WHOLE);
    show("none");

    /* Nobody sees the unlock of what is granted while counting is off. */
    switch_counting("off");
    while (waiting_count) {
        root = waiting[--waiting_count]->root;
        STACK_UNWIND_STRICT(lk, waiting[waiting_count], 0, 0, NULL, test_xdata);
        STACK_DESTROY(root);
    }
    show("none");
    switch_counting("on");
    lk(F_SETLK, F_WRLCK, 7, 1);
    show("7+1");
    down();
}

/* Clears locks: says so under the same name. Whoever waited for one has it before that. */
static int32_t
clearing_getxattr(call_frame_t *frame, xlator_t *this, loc_t *loc, const char *name, dict_t *xdata)
{
    dict_t *reply = dict_new();
    call_stack_t *root;

    (void)this, (void)loc, (void)xdata;
    check(dict_set_str(reply, (char *)name, "cleared") == 0);
    while (waiting_count) {
        root = waiting[--waiting_count]->root;
        STACK_UNWIND_STRICT(lk, waiting[waiting_count], 0, 0, NULL, test_xdata);
        STACK_DESTROY(root);
    }
    STACK_UNWIND_STRICT(getxattr, frame, reply_ret, reply_errno, reply, test_xdata);
    dict_unref(reply);
    return 0;
}

/* What an administrator clears leaves the list, and nothing else does. */
static void
scene_cleared(void)
{
    LOCK_INIT(&test_fd.lock);
    test_fd._ctx = GF_CALLOC(1, sizeof(*test_fd._ctx), gf_common_mt_char);
    check(test_fd._ctx);
    test_fd.xl_count = 1;
    null_fops.getxattr = clearing_getxattr;
    up();
    lk(F_SETLK, F_WRLCK, 0, 100);
    lk(F_SETLK, F_WRLCK, 200, 50);
    lk(F_SETLK, F_WRLCK, 300, WHOLE);
    ask("glusterfs.clrlk.tposix.kblocked.0,0-100");
    ask("glusterfs.clrlk.tposix.kgranted.0,0-0");
    ask("glusterfs.clrlk.tposix.kgranted.0,10-90");
    ask("glusterfs.clrlk.tposix.kgranted.1,0-100");
    ask("glusterfs.clrlk.tposix.kgranted.0,0");
    ask("glusterfs.clrlk.tposix.kgranted.all");
    ask("glusterfs.clrlk.tposix.kgrantedall");
    ask("glusterfs.clrlk.tposix.kgranted.0,-1--1");
    ask("glusterfs.clrlk.tinode.kgranted");
    ask("glusterfs.clrlk.tentrance.kall");
    ask("glusterfs.clrlk.t");
    reply_ret = -1;
    reply_errno = EINVAL;
    ask("glusterfs.clrlk.tposix.kgranted");
    reply_ret = reply_errno = 0;
    show("0+100 200+50 300+0");
    ask("glusterfs.clrlk.tposix.kgranted.0,200-50");
    ask("glusterfs.clrlk.tposix.kall.0,300-0/more");
    show("0+100");
    null_fops.lk = waiting_lk;
    lk(F_SETLKW, F_WRLCK, 0, 100);
    lk(F_SETLKW, F_WRLCK, 400, 1);
    null_fops.lk = null_lk;
    ask("glusterfs.clrlk.tposix.kgranted.0,0-100");
    show("0+100 400+1");
    ask("glusterfs.clrlk.tposix.kgranted.");
    show("none");
    entrylk(ENTRYLK_LOCK, NULL);
    entrylk(ENTRYLK_LOCK, "a.b");
    ask("glusterfs.clrlk.tentry.kgranted.a");
    ask("glusterfs.clrlk.tentry.kgranted.b");
    ask("glusterfs.clrlk.tentry.kgranted.a.b");
    show("0+0");
    ask("glusterfs.clrlk.tentry.kall");
    show("none");
    down();
}

static bool over;

/* Clients of other bricks in the process leave, and administrators ask for statedumps, at any
 * moment. */
static void *
leave(void *argument)
{
    client_t other = {.tbl_index = 4};

    (void)argument;
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        xl->cbks->client_disconnect(xl, &other);
        xl->cbks->release(xl, &test_fd);
    }
    return NULL;
}

/* The brick is detached from its process again and again. */
static void
scene_detached(void)
{
    pthread_t thread;

    LOCK_INIT(&test_fd.lock);
    test_fd._ctx = GF_CALLOC(1, sizeof(*test_fd._ctx), gf_common_mt_char);
    check(test_fd._ctx);
    test_fd.xl_count = 1;
    check(dict_set_str(xl->options, "lock-slots", "32768") == 0);
    check(pthread_create(&thread, NULL, leave, NULL) == 0);
    while (number--) {
        up();
        entrylk(ENTRYLK_LOCK, "name");
        down();
    }
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    check(pthread_join(thread, NULL) == 0);
}

static const struct {
    const char *name;
    void (*play)(void);
} scenes[] = {
    {"unfinished", scene_unfinished},   {"up", scene_up},
    {"large-group", scene_large_group}, {"hung-group", scene_hung_group},
    {"hung-disk", scene_hung_disk},     {"hung-facts", scene_hung_facts},
    {"doubted", scene_doubted},         {"many-segments", scene_many_segments},
    {"late-fops", scene_late_fops},     {"lost-cookies", scene_lost_cookies},
    {"snapshot", scene_snapshot},       {"stepped", scene_stepped},
    {"everything", scene_everything},   {"locks", scene_locks},
    {"cleared", scene_cleared},         {"detached", scene_detached},
};

int
main(int argc, char **argv)
{
    unsigned long scene;

    check(argc >= 5);
    number = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
    ctx = make_context();
    gf_log_init(ctx, "/dev/stderr", NULL);
    xl = load_brick(ctx, argv[1], argv[3], argv[2]);
    threads_before = threads();
    test_xdata = dict_new();
    test_inode.gfid[0] = 1;
    reply_iatt.ia_gfid[0] = 1;
    for (scene = 0; scene < sizeof(scenes) / sizeof(*scenes); scene++)
        if (strcmp(scenes[scene].name, argv[4]) == 0) {
            scenes[scene].play();
            return 0;
        }
    return 2;
}
