/*
 * The counting core: what happens on every fop. It takes no lock, allocates nothing and makes no
 * system call; all it does to shared memory are relaxed atomic adds and stores.
 *
 * Files and clients live in set-associative tables. A key is hashed to two sets of GLUPY_WAYS
 * slots; a slot's tag is the hash, and the tags of a set fill one cache line. First come, first
 * kept: a set fills in order and a slot, once taken, is never given away.
 */
#ifndef GLUPY_COUNTING_H
#define GLUPY_COUNTING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "segment.h"

#define GLUPY_NO_SLOT UINT32_MAX

static inline void
glupy_add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static inline void
glupy_store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline uint64_t
glupy_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* The CPU, not the thread, picks the shard: adds then mostly find their line in the own cache, and
 * no thread-local storage is needed. A move in between costs a miss, never a count. */
static inline uint32_t
glupy_shard(const struct glupy_segment *segment)
{
    return (uint32_t)sched_getcpu() & segment->shard_mask;
}

static inline struct glupy_fop_cell *
glupy_cell(const struct glupy_segment *segment, uint32_t shard, uint32_t fop)
{
    return &segment->cells[shard * segment->fop_count + fop];
}

/* The smallest i with ns <= 2^i us, at most the last bucket. */
static inline uint32_t
glupy_latency_bucket(uint64_t ns)
{
    uint64_t us = (ns + 999) / 1000;
    uint32_t bucket = us <= 1 ? 0 : 64 - (uint32_t)__builtin_clzl(us - 1);

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
glupy_count_start(const struct glupy_segment *segment, uint32_t shard, uint32_t fop)
{
    glupy_add(&glupy_cell(segment, shard, fop)->started, 1);
}

static inline void
glupy_count_end(const struct glupy_segment *segment, uint32_t shard, uint32_t fop, uint64_t ns)
{
    struct glupy_fop_cell *cell = glupy_cell(segment, shard, fop);

    glupy_add(&cell->buckets[glupy_latency_bucket(ns)], 1);
    glupy_add(&cell->nanoseconds, ns);
}

static inline void
glupy_count_error(const struct glupy_segment *segment, uint32_t shard, uint32_t fop, int32_t error)
{
    uint32_t slot = error > 0 && error < (int32_t)GLUPY_ERRNO_SLOTS ? (uint32_t)error : 0;

    glupy_add(&glupy_cell(segment, shard, fop)->errors, 1);
    glupy_add(&segment->errors[fop * GLUPY_ERRNO_SLOTS + slot], 1);
}

static inline void
glupy_count_io(const struct glupy_segment *segment, uint32_t shard, uint32_t direction,
               uint64_t bytes)
{
    struct glupy_io_cell *cell = &segment->io[shard * GLUPY_DIRECTIONS + direction];

    glupy_add(&cell->bytes, bytes);
    glupy_add(&cell->buckets[glupy_size_bucket(bytes)], 1);
}

/* Finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
 * OOPSLA 2014): gfids are random, addresses are not. */
static inline uint64_t
glupy_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9UL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebUL;
    return value ^ (value >> 31);
}

/* Never 0, which marks a free slot. */
static inline uint64_t
glupy_hash(const void *key, size_t size)
{
    uint64_t hash = size, word;

    for (; size >= sizeof(word); size -= sizeof(word), key = (const char *)key + sizeof(word)) {
        memcpy(&word, key, sizeof(word));
        hash = glupy_mix(hash ^ word);
    }
    if (size) {
        word = 0;
        memcpy(&word, key, size);
        hash = glupy_mix(hash ^ word);
    }
    return hash ? hash : 1;
}

/* The slot of `tag`, or GLUPY_NO_SLOT if both its sets are full of others. Ways are taken in order
 * and never given back, so two threads that bring the same key meet at the same slot. Sets *taken
 * if this call took the slot. */
static inline uint32_t
glupy_find_slot(uint64_t *tags, uint32_t sets, uint64_t tag, bool *taken)
{
    uint32_t set[2] = {(uint32_t)tag & (sets - 1), (uint32_t)(tag >> 32) & (sets - 1)};
    uint32_t choice, slot;
    uint64_t found;

    *taken = false;
    for (choice = 0; choice < 2; choice++) {
        for (slot = set[choice] * GLUPY_WAYS; slot < (set[choice] + 1) * GLUPY_WAYS; slot++) {
            found = glupy_load(&tags[slot]);
            if (found == 0) {
                if (__atomic_compare_exchange_n(&tags[slot], &found, tag, false, __ATOMIC_RELAXED,
                                                __ATOMIC_RELAXED)) {
                    *taken = true;
                    return slot;
                }
            }
            if (found == tag)
                return slot;
        }
    }
    return GLUPY_NO_SLOT;
}

/* A seqlock's write side (Boehm: Can Seqlocks Get Along With Programming Language Memory Models?,
 * MSPC 2012). Only one thread at a time may write one slot's name. */
static inline void
glupy_name_begin(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void
glupy_name_end(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELEASE);
}

/* The slot of a file, taken now if it is new and there is room. */
static inline uint32_t
glupy_file_slot(const struct glupy_segment *segment, const uint8_t gfid[16], uint64_t now)
{
    bool taken;
    uint32_t slot =
        glupy_find_slot(segment->file_tags, segment->file_sets, glupy_hash(gfid, 16), &taken);

    if (taken) {
        glupy_name_begin(&segment->file_seqs[slot]);
        memcpy(segment->file_names[slot].gfid, gfid, 16);
        glupy_store(&segment->file_counters[slot].first_seen, now);
        glupy_name_end(&segment->file_seqs[slot]);
        glupy_add(&segment->header->files_tracked, 1);
    }
    return slot;
}

/* The slot of a client host, likewise. */
static inline uint32_t
glupy_client_slot(const struct glupy_segment *segment, const char *address, size_t length,
                  uint64_t now)
{
    struct glupy_client_name *name;
    bool taken;
    uint32_t slot = glupy_find_slot(segment->client_tags, segment->client_sets,
                                    glupy_hash(address, length), &taken);

    if (taken) {
        glupy_name_begin(&segment->client_seqs[slot]);
        name = &segment->client_names[slot];
        name->length = length < GLUPY_CLIENT_SIZE ? length : GLUPY_CLIENT_SIZE;
        memcpy(name->address, address, name->length);
        glupy_store(&segment->client_counters[slot].first_seen, now);
        glupy_name_end(&segment->client_seqs[slot]);
        glupy_add(&segment->header->clients_tracked, 1);
    }
    return slot;
}

/* GlusterFS numbers its connections. A connection whose host has been looked up once has a seat
 * under its number; this finds its slot again, or says false. `index` may be any number. */
static inline bool
glupy_seated(const struct glupy_segment *segment, const void *connection, int index, uint32_t *slot)
{
    const struct glupy_seat *seat;

    if (index < 0 || index >= (int)GLUPY_SEATS)
        return false;
    seat = &segment->seats[index];
    if (__atomic_load_n(&seat->connection, __ATOMIC_ACQUIRE) != connection)
        return false;
    *slot = __atomic_load_n(&seat->slot, __ATOMIC_RELAXED);
    return true;
}

/* The slot of the host behind a connection, which gets a seat if its number is not too high. */
static inline uint32_t
glupy_take_seat(const struct glupy_segment *segment, const void *connection, int index,
                const char *address, size_t length, uint64_t now)
{
    uint32_t slot = glupy_client_slot(segment, address, length, now), slot_before;
    const void *before;
    struct glupy_seat *seat;

    if (index < 0 || index >= (int)GLUPY_SEATS)
        return slot;
    seat = &segment->seats[index];
    before = __atomic_load_n(&seat->connection, __ATOMIC_ACQUIRE);
    if (before == connection)
        return slot;
    slot_before = __atomic_exchange_n(&seat->slot, slot, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(&seat->connection, &before, connection, false, __ATOMIC_RELEASE,
                                    __ATOMIC_RELAXED)) {
        if (before && slot_before != GLUPY_NO_SLOT)
            glupy_add(&segment->client_counters[slot_before].connections, -1UL);
        if (slot != GLUPY_NO_SLOT)
            glupy_add(&segment->client_counters[slot].connections, 1);
    }
    return slot;
}

/* The connection is gone. */
static inline void
glupy_connection_leave(const struct glupy_segment *segment, const void *connection, int index)
{
    struct glupy_seat *seat;
    uint32_t slot;

    if (index < 0 || index >= (int)GLUPY_SEATS)
        return;
    seat = &segment->seats[index];
    slot = __atomic_load_n(&seat->slot, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(&seat->connection, &connection, NULL, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED) &&
        slot != GLUPY_NO_SLOT)
        glupy_add(&segment->client_counters[slot].connections, -1UL);
}

/* What one finished fop adds to the slot of its file or client. */
struct glupy_outcome {
    uint32_t kind;
    uint64_t ns;
    uint64_t now;
    uint64_t bytes; /* of the direction that `kind` names */
    bool failed;
};

static inline void
glupy_count_file(const struct glupy_segment *segment, uint32_t slot,
                 const struct glupy_outcome *outcome)
{
    struct glupy_file_counters *file = &segment->file_counters[slot];

    glupy_add(&file->fops[outcome->kind], 1);
    glupy_add(&file->nanoseconds[outcome->kind], outcome->ns);
    if (outcome->bytes)
        glupy_add(&file->bytes[outcome->kind], outcome->bytes);
    if (outcome->failed)
        glupy_add(&file->errors, 1);
    glupy_store(&file->last_seen, outcome->now);
}

static inline void
glupy_count_client(const struct glupy_segment *segment, uint32_t slot,
                   const struct glupy_outcome *outcome)
{
    struct glupy_client_counters *client = &segment->client_counters[slot];

    glupy_add(&client->fops[outcome->kind], 1);
    glupy_add(&client->nanoseconds[outcome->kind], outcome->ns);
    if (outcome->bytes)
        glupy_add(&client->bytes[outcome->kind], outcome->bytes);
    if (outcome->failed)
        glupy_add(&client->errors, 1);
    glupy_store(&client->last_seen, outcome->now);
}

#endif
