/*
 * The counting core: what happens on every fop. It takes no lock, allocates nothing and makes no
 * system call; all it does to shared memory are relaxed atomic adds and stores.
 *
 * Files and clients are counted in bounded tables; see table.h.
 */
#ifndef GLUPY_COUNTING_H
#define GLUPY_COUNTING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "segment.h"

/* sched_getcpu makes a system call where glibc has neither a vDSO for it nor restartable sequences,
 * which came with 2.35. */
#if !defined(GLUPY_LANE_BY_THREAD) && !defined(__x86_64__) && !__GLIBC_PREREQ(2, 35)
#define GLUPY_LANE_BY_THREAD
#endif

/* A lane is a set of counters that few threads share. Where it is cheap to ask for the CPU, the CPU
 * picks the lane, so that adds mostly find their cache line in that CPU's own cache. A thread that
 * moves in between costs a cache miss, never a count. Elsewhere the lane comes from the thread's
 * address, which glibc has in a register. */
static inline uint32_t
glupy_lane(const struct glupy_segment *segment)
{
#ifdef GLUPY_LANE_BY_THREAD
    return (uint32_t)((uintptr_t)pthread_self() * 0x9e3779b97f4a7c15UL >> 40) & segment->lane_mask;
#else
    return (uint32_t)sched_getcpu() & segment->lane_mask;
#endif
}

static inline struct glupy_fop_cell *
glupy_cell(const struct glupy_segment *segment, uint32_t lane, uint32_t fop)
{
    return &segment->cells[lane * segment->fop_count + fop];
}

/* The smallest i with ns <= 2^(i - GLUPY_LATENCY_SHIFT) s, at most the last bucket. Exact: 2^36 ns
 * are more than the last bound, and the product of less than that does not overflow. */
static inline uint32_t
glupy_latency_bucket(uint64_t ns)
{
    const uint64_t second = 1000000000;
    uint64_t units;
    uint32_t bucket;

    if (ns >> 36)
        return GLUPY_LATENCY_BUCKETS - 1;
    units = ((ns << GLUPY_LATENCY_SHIFT) + second - 1) / second;
    bucket = units <= 1 ? 0 : 64 - (uint32_t)__builtin_clzl(units - 1);
    return bucket < GLUPY_LATENCY_BUCKETS ? bucket : GLUPY_LATENCY_BUCKETS - 1;
}

/* The largest i with 2^i <= bytes, at most the last bucket. */
static inline uint32_t
glupy_size_bucket(uint64_t bytes)
{
    uint32_t bucket = bytes ? 63 - (uint32_t)__builtin_clzl(bytes) : 0;

    return bucket < GLUPY_SIZE_BUCKETS ? bucket : GLUPY_SIZE_BUCKETS - 1;
}

static inline void
glupy_count_start(const struct glupy_segment *segment, uint32_t lane, uint32_t fop)
{
    glupy_add(&glupy_cell(segment, lane, fop)->started, 1);
}

static inline void
glupy_count_end(const struct glupy_segment *segment, uint32_t lane, uint32_t fop, uint64_t ns)
{
    struct glupy_fop_cell *cell = glupy_cell(segment, lane, fop);

    glupy_add(&cell->buckets[glupy_latency_bucket(ns)], 1);
    glupy_add(&cell->nanoseconds, ns);
}

static inline void
glupy_count_error(const struct glupy_segment *segment, uint32_t lane, uint32_t fop, int32_t error)
{
    uint32_t number = error > 0 && error < (int32_t)GLUPY_ERRNOS ? (uint32_t)error : 0;

    glupy_add(&glupy_cell(segment, lane, fop)->errors, 1);
    glupy_add(&segment->errors[fop].by_errno[number], 1);
}

static inline void
glupy_count_io(const struct glupy_segment *segment, uint32_t lane, uint32_t direction,
               uint64_t bytes)
{
    struct glupy_io_cell *cell = &segment->io[lane * GLUPY_DIRECTIONS + direction];

    glupy_add(&cell->bytes, bytes);
    glupy_add(&cell->buckets[glupy_size_bucket(bytes)], 1);
}

/* The finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
 * OOPSLA 2014) mixes the bits of values that are not random, such as addresses. */
static inline uint64_t
glupy_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9UL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebUL;
    return value ^ (value >> 31);
}

/* The upper half of a linear function of both words modulo 2^128 with random coefficients. Two
 * pairs that somebody chose without knowing the seed have the same hash with a probability of 2^-64
 * (Dietzfelbinger: Universal Hashing and k-wise Independent Random Variables via Integer Arithmetic
 * without Primes, STACS 1996; the vector multiply-shift of Thorup: High Speed Hashing for Integers
 * and Strings, 2015). Never 0, which marks a free slot. */
static inline uint64_t
glupy_hash(const struct glupy_seed *seed, uint64_t first, uint64_t second)
{
    unsigned __int128 sum = seed->first * first + seed->second * second + seed->third;
    uint64_t hash = (uint64_t)(sum >> 64);

    return hash ? hash : 1;
}

/* Goes on from a hash with some bytes. */
static inline uint64_t
glupy_hash_bytes(const struct glupy_seed *seed, uint64_t hash, const void *bytes, size_t length)
{
    size_t done, part;
    uint64_t word;

    for (done = 0; done < length; done += part) {
        part = length - done < sizeof(word) ? length - done : sizeof(word);
        word = 0;
        memcpy(&word, (const char *)bytes + done, part);
        hash = glupy_hash(seed, hash, word);
    }
    return hash;
}

static inline uint64_t
glupy_file_key(const struct glupy_segment *segment, const uint8_t gfid[16])
{
    uint64_t halves[2];

    memcpy(halves, gfid, sizeof(halves));
    return glupy_hash(&segment->files.seed, halves[0], halves[1]);
}

/* A file has the same tag in the segments of all bricks, so that readers can look for it in another
 * segment. They compare gfids as well, as two files may have the same tag. Never 0. */
static inline uint64_t
glupy_file_tag(const uint8_t gfid[16])
{
    uint64_t halves[2], hash;

    memcpy(halves, gfid, sizeof(halves));
    hash = glupy_mix(glupy_mix(sizeof(halves) ^ halves[0]) ^ halves[1]);
    return hash ? hash : 1;
}

/* A slot and the generation of its owner. If the slot is given away while a fop is in flight, the
 * place no longer holds, and the new owner does not count the fop. No slot: GLUPY_NO_SLOT. */
struct glupy_place {
    uint32_t slot;
    uint32_t generation;
};

/* Makes the place of a key in its slot. The generation that it reads may be the next owner's
 * already, so it looks at the key once more. If that has changed, the place does not hold. */
static inline struct glupy_place
glupy_place(const struct glupy_table *table, uint32_t slot, uint64_t key)
{
    struct glupy_place place = {.slot = slot};

    if (slot == GLUPY_NO_SLOT)
        return place;
    place.generation = glupy_table_generation(table, slot);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (glupy_load(&table->keys[slot]) != key)
        place.generation--;
    return place;
}

/* Finds the slot of a key, or gives it one if it is busy enough. A *fresh slot has to be named and
 * settled. */
static inline uint32_t
glupy_slot(struct glupy_table *table, uint64_t key, uint64_t now, bool *fresh)
{
    uint32_t slot = glupy_table_find(table, key);

    *fresh = false;
    if (slot != GLUPY_NO_SLOT)
        return slot;
    slot = glupy_table_admit(table, key, fresh);
    if (slot == GLUPY_NO_SLOT)
        glupy_add(&table->health->untracked_fops, 1);
    else if (*fresh)
        glupy_store(&table->counters[slot].first_seen, now);
    return slot;
}

/* Finds the slot of a key for a fop that comes back after the key lost the slot that it had. */
static inline uint32_t
glupy_return(struct glupy_table *table, uint64_t key)
{
    uint32_t slot = glupy_table_return(table, key);

    if (slot == GLUPY_NO_SLOT)
        glupy_add(&table->health->untracked_fops, 1);
    return slot;
}

/* Finds the place of a file; `key` is that of its gfid. */
static inline struct glupy_place
glupy_file_place(struct glupy_segment *segment, uint64_t key, const uint8_t gfid[16], uint32_t type,
                 uint64_t now)
{
    struct glupy_table *table = &segment->files;
    struct glupy_file_name *name;
    bool fresh;
    uint32_t slot = glupy_slot(table, key, now, &fresh);

    if (fresh) {
        name = &segment->files_names[slot];
        memset(name, 0, offsetof(struct glupy_file_name, path));
        memcpy(name->gfid, gfid, 16);
        name->type = type;
        glupy_table_settle(table, slot, key, glupy_file_tag(gfid));
    }
    return glupy_place(table, slot, key);
}

/* The client behind a connection: a host, or one process on it if `process` is not 0. */
struct glupy_peer {
    const char *address;
    size_t length;
    uint32_t process;
};

static inline uint64_t
glupy_client_key(const struct glupy_segment *segment, const struct glupy_peer *peer)
{
    const struct glupy_seed *seed = &segment->clients.seed;
    uint64_t key = glupy_hash(seed, peer->length, peer->process);

    key = glupy_hash_bytes(seed, key, peer->address, peer->length);
    return glupy_mix(key); /* unlike gfids, addresses are similar */
}

/* Finds the place of a client. Its tag is its key, as nobody looks for it in another segment. */
static inline struct glupy_place
glupy_client_place(struct glupy_segment *segment, const struct glupy_peer *peer, uint64_t now)
{
    struct glupy_table *table = &segment->clients;
    uint64_t key = glupy_client_key(segment, peer);
    struct glupy_client_name *name;
    bool fresh;
    uint32_t slot = glupy_slot(table, key, now, &fresh);

    if (fresh) {
        name = &segment->clients_names[slot];
        name->length = peer->length < GLUPY_CLIENT_SIZE ? peer->length : GLUPY_CLIENT_SIZE;
        name->process = peer->process;
        memcpy(name->address, peer->address, name->length);
        glupy_table_settle(table, slot, key, key);
    }
    return glupy_place(table, slot, key);
}

/* Packs a place into one word, for a seat. */
static inline uint64_t
glupy_pack(struct glupy_place place)
{
    return (uint64_t)place.generation << 32 | place.slot;
}

static inline struct glupy_place
glupy_unpack(uint64_t packed)
{
    return (struct glupy_place){.slot = (uint32_t)packed, .generation = packed >> 32};
}

/* Whether the slot still has the owner that it had when the place was made. */
static inline bool
glupy_holds(const struct glupy_table *table, struct glupy_place place)
{
    return place.slot != GLUPY_NO_SLOT &&
           glupy_table_generation(table, place.slot) == place.generation;
}

/* Whether there is a seat for the number that GlusterFS gave a connection, which may be any. */
static inline bool
glupy_has_seat(const struct glupy_segment *segment, int index)
{
    return (uint32_t)index < __atomic_load_n(&segment->seats_ready, __ATOMIC_RELAXED);
}

/* Finds the place of a connection's client in the connection's seat. False if the client has to be
 * looked up. */
static inline bool
glupy_seated(const struct glupy_segment *segment, const void *connection, int index,
             struct glupy_place *place)
{
    const struct glupy_seat *seat;

    if (!glupy_has_seat(segment, index))
        return false;
    seat = &segment->seats[index];
    if (__atomic_load_n(&seat->connection, __ATOMIC_ACQUIRE) != connection)
        return false;
    *place = glupy_unpack(__atomic_load_n(&seat->place, __ATOMIC_RELAXED));
    return glupy_holds(&segment->clients, *place);
}

/* Adds to the number of the connections of a client that still has its slot. */
static inline void
glupy_connected(const struct glupy_segment *segment, uint64_t packed, uint64_t amount)
{
    struct glupy_place place = glupy_unpack(packed);

    if (glupy_holds(&segment->clients, place))
        glupy_add(&segment->clients.counters[place.slot].connections, amount);
}

/* Has the maintenance thread make more seats. */
static inline void
glupy_want_seat(struct glupy_segment *segment, int index)
{
    uint32_t wanted = (uint32_t)index + 1;

    if (index >= 0 && wanted <= GLUPY_SEATS &&
        wanted > __atomic_load_n(&segment->seats_wanted, __ATOMIC_RELAXED))
        __atomic_store_n(&segment->seats_wanted, wanted, __ATOMIC_RELAXED);
}

/* Looks up the client behind a connection, and gives the connection a seat if there is one for its
 * number. Returns the client's place. */
static inline struct glupy_place
glupy_take_seat(struct glupy_segment *segment, const void *connection, int index,
                const struct glupy_peer *peer, uint64_t now)
{
    struct glupy_place place = glupy_client_place(segment, peer, now);
    uint64_t packed = glupy_pack(place), packed_before;
    const void *before;
    struct glupy_seat *seat;

    if (!glupy_has_seat(segment, index)) {
        glupy_want_seat(segment, index);
        return place;
    }
    if (!glupy_holds(&segment->clients, place))
        return place;
    seat = &segment->seats[index];
    before = __atomic_load_n(&seat->connection, __ATOMIC_ACQUIRE);
    packed_before = __atomic_exchange_n(&seat->place, packed, __ATOMIC_RELAXED);
    if (before == connection) {
        /* The client lost its slot and has one again. */
        if (packed_before != packed)
            glupy_connected(segment, packed, 1);
    } else if (__atomic_compare_exchange_n(&seat->connection, &before, connection, false,
                                           __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        if (before)
            glupy_connected(segment, packed_before, -1UL);
        glupy_connected(segment, packed, 1);
    }
    return place;
}

/* Frees the seat of a connection that has ended. */
static inline void
glupy_connection_leave(const struct glupy_segment *segment, const void *connection, int index)
{
    struct glupy_seat *seat;
    uint64_t packed;

    if (!glupy_has_seat(segment, index))
        return;
    seat = &segment->seats[index];
    packed = __atomic_load_n(&seat->place, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(&seat->connection, &connection, NULL, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
        glupy_connected(segment, packed, -1UL);
}

/* What one finished fop adds to the slot of its file or client. */
struct glupy_outcome {
    uint32_t kind;
    uint64_t ns;
    uint64_t now;
    uint64_t bytes; /* of the direction that `kind` names */
    bool failed;
};

/* What a fop adds to the score of its key: one unit, and one more for each 64 KiB that it moved and
 * each millisecond that it took, since a key may be busy by bytes or by time as well. A fop may
 * wait for a lock all day; no more than a second of that scores. */
static inline uint64_t
glupy_score(const struct glupy_outcome *outcome)
{
    uint64_t milliseconds = outcome->ns >> 20;

    if (milliseconds > 1000)
        milliseconds = 1000;
    return (1 + (outcome->bytes >> 16) + milliseconds) * GLUPY_SCORE_UNIT;
}

static inline void
glupy_add_outcome(const struct glupy_outcome *outcome, uint64_t fops[GLUPY_KINDS],
                  uint64_t nanoseconds[GLUPY_KINDS], uint64_t bytes[GLUPY_DIRECTIONS])
{
    glupy_add(&fops[outcome->kind], 1);
    glupy_add(&nanoseconds[outcome->kind], outcome->ns);
    if (outcome->bytes)
        glupy_add(&bytes[outcome->kind], outcome->bytes);
}

/* Counts a fop in the slot of its file or client. */
static inline void
glupy_count(struct glupy_table *table, uint32_t slot, const struct glupy_outcome *outcome)
{
    struct glupy_counters *counters = &table->counters[slot];

    glupy_table_score(table, slot, glupy_score(outcome));
    glupy_add_outcome(outcome, counters->fops, counters->nanoseconds, counters->bytes);
    if (outcome->failed)
        glupy_add(&counters->errors, 1);
    glupy_store(&counters->last_seen, outcome->now); /* last: see quantities.py */
}

/* Votes for a client as the one that does most on a file, by majority (Boyer and Moore: MJRTY,
 * 1981). The winner is right if one client does more than half, and an estimate otherwise. So it
 * does no harm that threads may overwrite each other's votes. */
static inline void
glupy_vote(struct glupy_segment *segment, uint32_t file, uint32_t client)
{
    struct glupy_counters *counters = &segment->files.counters[file];
    uint64_t tag = glupy_load(&segment->clients.tags[client]);
    uint64_t lead = glupy_load(&counters->top_client_lead);

    if (glupy_load(&counters->top_client) == tag) {
        glupy_store(&counters->top_client_lead, lead + 1);
    } else if (lead) {
        glupy_store(&counters->top_client_lead, lead - 1);
    } else {
        glupy_store(&counters->top_client, tag);
        glupy_store(&counters->top_client_lead, 1);
    }
}

/* Counts a fop of one of GlusterFS's own clients, apart from those of applications. */
static inline void
glupy_count_internal(struct glupy_segment *segment, uint32_t origin,
                     const struct glupy_outcome *outcome)
{
    struct glupy_activity *internal = &segment->internal[origin];

    glupy_add_outcome(outcome, internal->fops, internal->nanoseconds, internal->bytes);
}

#endif
