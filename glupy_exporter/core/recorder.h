/*
 * The flight recorder: fops that are in flight, and rings of those that came back.
 *
 * Each fop has an entry in a table of fixed size from its arrival to its answer. A fop takes an
 * entry by one compare-and-swap and gives it back by one store. A fop that finds no free entry in a
 * few tries is only counted. A fop that came back is written to the ring of slow fops if it took at
 * least the threshold of its class, and to the other ring if it was picked at random or somebody
 * traces it. So no trace pushes out the slow ones.
 *
 * Entries and records are in the segment, to which root may write. Every place and size that is
 * read from there is bounded before it is used.
 */
#ifndef GLUPY_RECORDER_H
#define GLUPY_RECORDER_H

#include <string.h>

#include "segment.h"

/* Entries that a fop looks at before it goes unlisted. The steps grow, so that it gets past fops
 * that hang side by side. After each fop in a row that found none, the next one looks at half as
 * many: a thousand clients that wait for a lock must not make all other fops slow. */
#define GLUPY_FLIGHT_TRIES 48U
#define GLUPY_FLIGHT_HALVINGS 4U

/* A fop's entry as the fop remembers it: slot plus one, and low bits of the entry's mark above. */
#define GLUPY_LISTED_BITS 16
#define GLUPY_NOT_LISTED 0U
_Static_assert(GLUPY_FLIGHTS_MAX < 1UL << GLUPY_LISTED_BITS, "slots fit");

/* The arguments of a fop, as far as they are recorded. */
struct glupy_asked {
    const uint8_t *parent; /* of the entry that it names */
    const char *text;      /* that entry's name, or the domain of a lock; NULL: none */
    const char *name;      /* of the entry that a lock is for; NULL: none */
    uint64_t offset;
    uint64_t size;
    uint64_t length; /* of a lock */
    uint64_t owner;  /* of a lock */
    const void *fd;  /* that a lock of an application belongs to */
    const struct gf_lease *lease;
    uint8_t lock_kind;
    uint8_t lock_type;
};

/* The sender of a fop. */
struct glupy_sender {
    uint64_t client; /* tag */
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
};

static inline void
glupy_flight_fill(struct glupy_flight *flight, const struct glupy_asked *asked)
{
    size_t length, room = GLUPY_FLIGHT_TEXT;
    uint8_t *text = flight->text;

    if (asked->lock_kind) {
        flight->length = asked->length;
        flight->owner = asked->owner;
    } else if (asked->text) {
        memcpy(text, asked->parent, GLUPY_GFID_SIZE);
        text += GLUPY_GFID_SIZE;
        room -= GLUPY_GFID_SIZE;
    }
    if (asked->text) {
        length = strnlen(asked->text, UINT8_MAX);
        memcpy(text, asked->text, length < room ? length : room);
        flight->text_length = (uint8_t)length;
    }
}

/* Lists a fop that arrives. Returns the value by which glupy_flight finds the entry. `gfid` may be
 * NULL. */
static inline uint32_t
glupy_flight_begin(struct glupy_segment *segment, uint32_t lane, uint32_t fop, uint64_t now,
                   const uint8_t *gfid, const struct glupy_sender *sender,
                   const struct glupy_asked *asked)
{
    struct glupy_hint *hint = &segment->flight_hints[lane];
    uint32_t slot = __atomic_load_n(&hint->slot, __ATOMIC_RELAXED), try, mark;
    uint32_t halvings = __atomic_load_n(&hint->halvings, __ATOMIC_RELAXED);
    struct glupy_flight *flight;

    for (try = 0;; slot += ++try) {
        if (try == GLUPY_FLIGHT_TRIES >> halvings) {
            __atomic_store_n(&hint->slot, slot, __ATOMIC_RELAXED);
            if (halvings < GLUPY_FLIGHT_HALVINGS)
                __atomic_store_n(&hint->halvings, halvings + 1, __ATOMIC_RELAXED);
            glupy_add(&segment->numbers->unlisted_fops, 1);
            return GLUPY_NOT_LISTED;
        }
        slot &= segment->flight_mask;
        flight = &segment->flights[slot];
        mark = __atomic_load_n(&flight->mark, __ATOMIC_RELAXED);
        if (mark % GLUPY_MARK_STATES == 0 &&
            __atomic_compare_exchange_n(&flight->mark, &mark,
                                        mark + (uint32_t)(GLUPY_MARK_STATES + GLUPY_MARK_WRITING),
                                        false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            break;
    }
    if (try)
        __atomic_store_n(&hint->slot, slot, __ATOMIC_RELAXED);
    if (halvings)
        __atomic_store_n(&hint->halvings, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    flight->fop = (uint8_t)fop;
    flight->lock_type = asked->lock_type;
    flight->text_length = 0;
    flight->lock_kind = asked->lock_kind;
    flight->started = now;
    flight->client = sender->client;
    flight->offset = asked->offset;
    if (gfid)
        memcpy(flight->gfid, gfid, GLUPY_GFID_SIZE);
    else
        memset(flight->gfid, 0, GLUPY_GFID_SIZE);
    flight->uid = sender->uid;
    flight->gid = sender->gid;
    flight->pid = sender->pid;
    flight->size = asked->size < UINT32_MAX ? (uint32_t)asked->size : UINT32_MAX;
    if (asked->text || asked->lock_kind) {
        glupy_flight_fill(flight, asked);
        segment->flight_fds[slot] = asked->fd;
    }
    mark += GLUPY_MARK_STATES + GLUPY_MARK_USED;
    __atomic_store_n(&flight->mark, mark, __ATOMIC_RELEASE);
    return mark / GLUPY_MARK_STATES << GLUPY_LISTED_BITS | (slot + 1);
}

/* The entry of a fop; NULL if it has none. */
static inline struct glupy_flight *
glupy_flight(const struct glupy_segment *segment, uint32_t listed)
{
    uint32_t slot = (listed & ((1U << GLUPY_LISTED_BITS) - 1)) - 1, mark;

    if (slot > segment->flight_mask)
        return NULL;
    mark = __atomic_load_n(&segment->flights[slot].mark, __ATOMIC_RELAXED);
    if (mark % GLUPY_MARK_STATES != GLUPY_MARK_USED ||
        (mark / GLUPY_MARK_STATES ^ listed >> GLUPY_LISTED_BITS) & UINT16_MAX)
        return NULL;
    return &segment->flights[slot];
}

static inline void
glupy_flight_end(struct glupy_segment *segment, uint32_t lane, struct glupy_flight *flight)
{
    uint32_t *hint = &segment->flight_hints[lane].slot;
    uint32_t slot = (uint32_t)(flight - segment->flights);
    uint32_t mark = __atomic_load_n(&flight->mark, __ATOMIC_RELAXED);

    __atomic_store_n(&flight->mark, mark & ~(uint32_t)(GLUPY_MARK_STATES - 1), __ATOMIC_RELEASE);
    /* The next fop looks here first, as the entry is in this processor's cache. */
    if (__atomic_load_n(hint, __ATOMIC_RELAXED) != slot)
        __atomic_store_n(hint, slot, __ATOMIC_RELAXED);
}

/* A fop that came back. */
struct glupy_ended {
    uint64_t now;
    uint64_t ns;
    const struct glupy_flight *flight; /* NULL: it was not listed */
    const uint8_t *gfid;               /* of the reply; NULL: none */
    struct glupy_sender sender;
    uint64_t bytes; /* that it moved */
    uint32_t fop;
    int32_t error; /* 0: it succeeded */
    bool data;     /* a read or write: `bytes` is all that it has */
};

/* Spreads times that are close to each other over 32 bits. */
static inline uint32_t
glupy_scatter(uint64_t now)
{
    return (uint32_t)((now * 0x9e3779b97f4a7c15UL) >> 32);
}

/* Whether somebody traces, in one load: tracers have a byte each in this word. */
static inline bool
glupy_traced(const struct glupy_segment *segment)
{
    typedef uint64_t __attribute__((may_alias)) word;

    _Static_assert(sizeof(segment->control->active) == sizeof(word), "one load");
    return __atomic_load_n((const word *)segment->control->active, __ATOMIC_RELAXED);
}

/* Whether a fop has to be recorded, or somebody who traces wants to see it. */
static inline bool
glupy_notable(const struct glupy_segment *segment, uint32_t fop, uint64_t ns, uint64_t now)
{
    return ns >= glupy_load(&segment->slow_ns[fop]) ||
           glupy_scatter(now) < glupy_load(&segment->sample_below) || glupy_traced(segment);
}

/* Records a fop for which glupy_notable is true, if there is a cause. */
void
glupy_record(struct glupy_segment *segment, const struct glupy_ended *ended);

/* Ends the traces whose tracers have not renewed their heartbeats. */
void
glupy_tracers_expire(struct glupy_segment *segment, uint64_t now);

/* Applies the options of the recorder. The segment has the class of each fop, see FOPS_OF_CLASS. */
void
glupy_recorder_set(struct glupy_segment *segment, const struct glupy_recorder_options *options);

#endif
