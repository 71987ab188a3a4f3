#include "recorder.h"

/* Takes the next position of a ring and writes the record there. Never waits: if a writer of an
 * earlier lap is still at that place, or one of a later lap has been there, the record is dropped,
 * as it is overwritten or about to be. */
static void
write_record(struct glupy_ring *ring, struct glupy_record *records, uint32_t mask,
             const struct glupy_record *made)
{
    uint64_t position = __atomic_fetch_add(&ring->position, 1, __ATOMIC_RELAXED);
    struct glupy_record *record = &records[position & mask];
    uint64_t mark = glupy_load(&record->mark);

    if (mark % 2 || mark > 2 * position ||
        !__atomic_compare_exchange_n(&record->mark, &mark, 2 * position + 1, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        glupy_add(&ring->dropped, 1);
        return;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy((char *)record + sizeof(record->mark), (const char *)made + sizeof(made->mark),
           sizeof(*made) - sizeof(made->mark));
    __atomic_store_n(&record->mark, 2 * position + 2, __ATOMIC_RELEASE);
}

/* Makes a record of all that is known of a fop. */
static struct glupy_record
describe(const struct glupy_ended *ended)
{
    const struct glupy_flight *flight = ended->flight;
    struct glupy_record made = {
        .ended = ended->now,
        .ns = ended->ns,
        .client = ended->sender.client,
        .size = ended->bytes,
        .uid = ended->sender.uid,
        .gid = ended->sender.gid,
        .pid = ended->sender.pid,
        .error = ended->error > 0 && ended->error <= UINT16_MAX ? (uint16_t)ended->error : 0,
        .fop = (uint8_t)ended->fop,
    };
    static const uint8_t unknown[GLUPY_GFID_SIZE];

    if (ended->error && !made.error)
        made.error = UINT16_MAX; /* it failed, and the errno cannot be told */
    if (ended->gfid)
        memcpy(made.gfid, ended->gfid, sizeof(made.gfid));
    if (!flight)
        return made;
    if (memcmp(flight->gfid, unknown, sizeof(unknown)) != 0)
        memcpy(made.gfid, flight->gfid, sizeof(made.gfid));
    if (flight->client)
        made.client = flight->client;
    made.offset = flight->offset;
    if (flight->lock_kind)
        made.size = flight->length;
    else if (!made.size && !ended->data)
        made.size = flight->size;
    made.text_length = flight->text_length;
    if (made.text_length)
        memcpy(made.text, flight->text, sizeof(made.text));
    return made;
}

/* Whether the lease of a tracer goes on. Its heartbeat may be a little later than `now`. */
static bool
leased(const struct glupy_tracer *tracer, uint64_t now)
{
    return now - glupy_load(&tracer->heartbeat) + GLUPY_TRACER_LEASE <= 2 * GLUPY_TRACER_LEASE;
}

/* Whether a fop passes the filters of a tracer. They may change at any moment. */
static bool
passes(const struct glupy_tracer *tracer, const struct glupy_record *made, uint64_t now)
{
    uint32_t filters = __atomic_load_n(&tracer->filters, __ATOMIC_RELAXED);
    uint32_t one_in = __atomic_load_n(&tracer->one_in, __ATOMIC_RELAXED);

    if (!leased(tracer, now))
        return false;
    if (!(glupy_load(&tracer->fops[made->fop / 64]) >> made->fop % 64 & 1) ||
        made->ns < glupy_load(&tracer->least_ns))
        return false;
    if ((filters & GLUPY_TRACE_CLIENT && tracer->client != made->client) ||
        (filters & GLUPY_TRACE_UID && tracer->uid != made->uid) ||
        (filters & GLUPY_TRACE_GFID && memcmp(tracer->gfid, made->gfid, sizeof(made->gfid)) != 0))
        return false;
    if (filters & GLUPY_TRACE_ERRNO &&
        (tracer->error < 0 ? !made->error : tracer->error != made->error))
        return false;
    /* By other bits of the time than those that glupy_notable looks at. */
    return one_in < 2 || glupy_scatter(now >> 1 ^ made->ns << 32) % one_in == 0;
}

static uint8_t
tracers(const struct glupy_segment *segment, const struct glupy_record *made, uint64_t now)
{
    uint8_t passed = 0;
    uint32_t slot;

    for (slot = 0; slot < GLUPY_TRACERS; slot++)
        if (__atomic_load_n(&segment->control->active[slot], __ATOMIC_ACQUIRE) &&
            passes(&segment->tracers[slot], made, now))
            passed |= (uint8_t)(1U << slot);
    return passed;
}

void
glupy_record(struct glupy_segment *segment, const struct glupy_ended *ended)
{
    uint64_t *by_cause = segment->recorded[ended->fop].by_cause;
    struct glupy_record made;
    uint32_t cause;

    if (!__atomic_load_n(&segment->recording, __ATOMIC_RELAXED))
        return;
    made = describe(ended);
    if (ended->ns >= glupy_load(&segment->slow_ns[ended->fop]))
        made.cause |= GLUPY_CAUSE_SLOW;
    if (glupy_scatter(ended->now) < glupy_load(&segment->sample_below))
        made.cause |= GLUPY_CAUSE_SAMPLED;
    if (glupy_traced(segment))
        made.tracers = tracers(segment, &made, ended->now);
    if (made.tracers)
        made.cause |= GLUPY_CAUSE_TRACED;
    for (cause = 0; cause < GLUPY_CAUSES; cause++)
        if (made.cause >> cause & 1)
            glupy_add(&by_cause[cause], 1);
    if (made.cause & GLUPY_CAUSE_SLOW)
        write_record(segment->slow_ring, segment->slow_records, segment->slow_mask, &made);
    if (made.cause & (GLUPY_CAUSE_SAMPLED | GLUPY_CAUSE_TRACED))
        write_record(segment->trace_ring, segment->trace_records, segment->trace_mask, &made);
}

void
glupy_tracers_expire(struct glupy_segment *segment, uint64_t now)
{
    uint8_t *active;
    uint32_t slot;

    for (slot = 0; slot < GLUPY_TRACERS; slot++) {
        active = &segment->control->active[slot];
        if (__atomic_load_n(active, __ATOMIC_RELAXED) && !leased(&segment->tracers[slot], now))
            __atomic_store_n(active, 0, __ATOMIC_RELAXED);
    }
}

void
glupy_recorder_set(struct glupy_segment *segment, const struct glupy_recorder_options *options)
{
    uint32_t fop;

    for (fop = 0; fop < segment->fop_count; fop++)
        glupy_store(&segment->slow_ns[fop],
                    options->on && options->slow_ms[segment->fop_classes[fop]]
                        ? options->slow_ms[segment->fop_classes[fop]] * 1000000UL
                        : UINT64_MAX);
    glupy_store(&segment->sample_below,
                options->on && options->one_in ? (1UL << 32) / options->one_in : 0);
    __atomic_store_n(&segment->recording, options->on, __ATOMIC_RELEASE);
}
