/*
 * A bounded table of the busiest keys: files, or clients, or whatever else has a key.
 *
 * Slots are set-associative: a key is hashed to two sets of GLUPY_WAYS slots, and the tags of a set
 * fill one cache line. Every slot has a score, what was done lately, which decays with a half-life.
 * A key that has no slot is counted in a count-min sketch that decays alike (Cormode and
 * Muthukrishnan: An Improved Data Stream Summary, 2005); once the sketch says that it was busier of
 * late than the least busy of the slots it may have, it takes that slot (the admission of TinyLFU:
 * Einziger, Friedman and Manes, ACM Transactions on Storage 13(4), 2017). The sketch's estimate is
 * taken less its mean, the noise that a scan of many keys makes (Deng and Rafiei: New Estimation
 * Algorithms for Streaming Data, 2007), so that a scan finds no way in.
 *
 * What a key did while it had no slot is bounded by a second sketch that never decays: every fop of
 * a key without a slot and all fops of a slot that is given away go there.
 *
 * A key is a hash of 64 bits that is not 0. Clients choose gfids (a request to create a file may
 * bring one) and addresses, so the hash has a seed that nobody outside of the brick knows. Readers
 * see tags.
 */
#ifndef GLUPY_TABLE_H
#define GLUPY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define GLUPY_NO_SLOT UINT32_MAX

/* A slot's meta word: its generation, which changes with its owner, above its score. */
#define GLUPY_SCORE_BITS 40
#define GLUPY_SCORE_MASK ((1UL << GLUPY_SCORE_BITS) - 1)
#define GLUPY_SCORE_UNIT 1024UL /* what one fop scores: leaves room for a slow decay */

#define GLUPY_SKETCH_ROWS 4
#define GLUPY_SKETCH_UNIT 64U

/* Random numbers that a table's keys are made with; see glupy_hash. */
struct glupy_seed {
    unsigned __int128 first, second, third;
};

struct glupy_table {
    struct glupy_seed seed;
    uint64_t *keys; /* by slot, 0: it is free */
    uint64_t *tags; /* likewise, of the segment */
    uint32_t *seqs;
    uint64_t *meta;
    struct glupy_counters *counters;
    struct glupy_health *health;
    uint8_t *admitting; /* by set: a thread is about to give one of its slots away */
    uint64_t *missed;   /* GLUPY_SKETCH_ROWS rows of `width` cells, in fops */
    uint32_t *recent;   /* likewise, in 1 / GLUPY_SKETCH_UNIT fops */
    uint32_t sets;      /* a power of two */
    uint32_t width;     /* a power of two */
    uint64_t dice;      /* of the thread that lets scores decay */
    /* Every fop reads what is above and what comes after the table, and each fop of a key without a
     * slot writes this: it is on a cache line of its own, wherever the table begins. */
    uint8_t apart_before[GLUPY_CACHE_LINE];
    uint64_t recent_sum; /* of all cells of `recent` */
    uint8_t apart_after[GLUPY_CACHE_LINE];
};

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

/* What a table needs besides its arrays in the segment. False if the system does not give it. */
bool
glupy_table_make(struct glupy_table *table, uint32_t slots);
void
glupy_table_free(struct glupy_table *table);

/* Forgets all keys once the arrays in the segment are new. Generations go on, so that no earlier
 * place is right again. */
void
glupy_table_clear(struct glupy_table *table);

static inline uint32_t
glupy_first_set(const struct glupy_table *table, uint64_t key)
{
    return (uint32_t)key & (table->sets - 1);
}

static inline uint32_t
glupy_second_set(const struct glupy_table *table, uint64_t key)
{
    return (uint32_t)(key >> 32) & (table->sets - 1);
}

static inline uint32_t
glupy_find_in_set(const struct glupy_table *table, uint32_t set, uint64_t key)
{
    uint32_t slot;

    for (slot = set * GLUPY_WAYS; slot < (set + 1) * GLUPY_WAYS; slot++)
        if (__atomic_load_n(&table->keys[slot], __ATOMIC_ACQUIRE) == key)
            return slot;
    return GLUPY_NO_SLOT;
}

/* The slot of a key, or GLUPY_NO_SLOT. */
static inline uint32_t
glupy_table_find(const struct glupy_table *table, uint64_t key)
{
    uint32_t slot = glupy_find_in_set(table, glupy_first_set(table, key), key);

    if (slot == GLUPY_NO_SLOT)
        slot = glupy_find_in_set(table, glupy_second_set(table, key), key);
    return slot;
}

static inline uint32_t
glupy_table_generation(const struct glupy_table *table, uint32_t slot)
{
    return (uint32_t)(glupy_load(&table->meta[slot]) >> GLUPY_SCORE_BITS);
}

static inline void
glupy_table_score(struct glupy_table *table, uint32_t slot, uint64_t units)
{
    uint64_t score = glupy_load(&table->meta[slot]) & GLUPY_SCORE_MASK;

    /* It must never carry into the generation. */
    if (score < GLUPY_SCORE_MASK / 2)
        glupy_add(&table->meta[slot], units);
}

/* For a key that was found to have no slot: gives it one if it deserves one. A *fresh slot comes
 * cleared and with its name locked: write the name, then call glupy_table_settle. */
uint32_t
glupy_table_admit(struct glupy_table *table, uint64_t key, bool *fresh);

/* Lets a fresh slot be found, by readers under `tag`, and writes down how many fops its key did at
 * most without a slot. */
void
glupy_table_settle(struct glupy_table *table, uint32_t slot, uint64_t key, uint64_t tag);

/* For a fop that has come back after its key lost the slot: the slot that the key has now. If it
 * has none, the fop is one that the key did without. */
uint32_t
glupy_table_return(struct glupy_table *table, uint64_t key);

/* A slot's name is protected by a seqlock (Boehm: Can Seqlocks Get Along With Programming Language
 * Memory Models?, MSPC 2012). Fails if another thread writes it, or has written it since `seq`. */
bool
glupy_name_lock(struct glupy_table *table, uint32_t slot, uint32_t seq);
void
glupy_name_unlock(struct glupy_table *table, uint32_t slot);

/* The share of a score that goes in a second, at this half-life in seconds. */
double
glupy_decay_share(uint32_t half_life);

/* That share of a value, rounded at random: most values are so small that the share is less than
 * one, and have to decay all the same. For one thread only. */
uint64_t
glupy_decay_part(struct glupy_table *table, uint64_t value, double share);

/* Lets every score decay by that share. For one thread only. */
void
glupy_table_decay(struct glupy_table *table, double share);

#endif
