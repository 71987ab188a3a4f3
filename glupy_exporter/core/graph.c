/* Asks the translators below about themselves, without a look at the disk. */
#include "glupy.h"

#define IO_THREADS "performance/io-threads"
#define ARBITER "features/arbiter"

static xlator_t *
find_below(xlator_t *this, const char *type)
{
    xlator_t *xl = this;

    while (xl && strcmp(xl->type, type) != 0)
        xl = xl->children && !xl->children->next ? FIRST_CHILD(xl) : NULL;
    return xl;
}

static void
take_length(dict_t *lengths, const char *priority, uint64_t *length)
{
    int32_t found;

    if (dict_get_int32(lengths, (char *)priority, &found) == 0 && found >= 0)
        *length = (uint64_t)found;
}

static int32_t
take_lengths(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
             dict_t *lengths, dict_t *xdata)
{
    struct glupy_facts *facts = cookie;

    (void)frame, (void)this, (void)op_errno, (void)xdata;
    if (op_ret < 0 || !lengths)
        return 0;
    take_length(lengths, fop_pri_to_string(GF_FOP_PRI_HI), &facts->queue_high);
    take_length(lengths, fop_pri_to_string(GF_FOP_PRI_NORMAL), &facts->queue_normal);
    take_length(lengths, fop_pri_to_string(GF_FOP_PRI_LO), &facts->queue_low);
    take_length(lengths, fop_pri_to_string(GF_FOP_PRI_LEAST), &facts->queue_least);
    return 0;
}

/* Asks io-threads as io-stats does. io-threads neither queues this fop nor hands it on, but answers
 * before the call returns. So no fop of ours is in flight when the graph below goes down, which
 * waits for the thread. The fop skips the translators in between, as none of them has to see it. It
 * names the root, for a translator further down that might get it if io-threads passes fops through
 * from now on. */
static void
learn_queue(xlator_t *this, inode_table_t *table, struct glupy_facts *facts)
{
    xlator_t *io_threads = find_below(this, IO_THREADS);
    loc_t root = {.path = "/", .name = "", .gfid = {[15] = 1}};
    call_frame_t *frame;

    if (!io_threads || io_threads->pass_through || !table || !table->root)
        return;
    frame = create_frame(this, this->ctx->pool);
    if (!frame)
        return;
    root.inode = table->root;
    STACK_WIND_COOKIE(frame, take_lengths, facts, io_threads, io_threads->fops->getxattr, &root,
                      IO_THREADS_QUEUE_SIZE_KEY, NULL);
    STACK_DESTROY(frame->root);
}

void
glupy_facts_of_graph(xlator_t *this, inode_table_t *table, struct glupy_facts *facts)
{
    learn_queue(this, table, facts);
    if (find_below(this, ARBITER))
        facts->arbiter = 1;
}
