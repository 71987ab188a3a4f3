/*
 * A bounded table of the busiest keys: files, or clients, or whatever else has a key.
 *
 * Slots are set-associative: a key is hashed to two sets of GLUPY_WAYS slots, and the tags of a set
 * fill one cache line. Every slot has a score, which says how much was done lately and decays with
 * a half-life. A key that has no slot is counted in a count-min sketch that decays in the same way
 * (Cormode and Muthukrishnan: An Improved Data Stream Summary, 2005). Once the sketch says that the
 * key was busier of late than the least busy of the slots that it may have, it takes that slot (the
 * admission of TinyLFU: Einziger, Friedman and Manes, ACM Transactions on Storage 13(4), 2017). The
 * sketch's mean, which is the noise that a scan of many keys makes, is subtracted from its estimate
 * (Deng and Rafiei: New Estimation Algorithms for Streaming Data, 2007). So a scan takes no slots.
 *
 * A second sketch never decays. It bounds what a key did while it had no slot: every fop of a key
 * without a slot goes there, and all fops of a slot that is given away.
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
    uint64_t *tags; /* by slot, in the segment */
    uint32_t *seqs;
    uint64_t *meta;
    struct glupy_counters *counters;
    struct glupy_health *health;
    uint8_t *admitting; /* by set: a thread is about to give one of its slots away */
    uint64_t *missed;   /* GLUPY_SKETCH_ROWS rows of `width` cells, in fops */
    uint32_t *recent;   /* as many cells, in 1 / GLUPY_SKETCH_UNIT fops */
    uint32_t sets;      /* a power of two */
    uint32_t width;     /* a power of two */
    uint64_t dice;      /* random state of the thread that lets scores decay */
    /* Each fop of a key without a slot writes the sum. It has a cache line of its own, wherever the
     * table begins, as every fop reads what is before and after it. */
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

/* Makes what a table needs besides its arrays in the segment. False if memory or random numbers
 * cannot be had. */
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

/* Returns the slot of a key, or GLUPY_NO_SLOT. */
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

    /* The score must never carry into the generation. */
    if (score < GLUPY_SCORE_MASK / 2)
        glupy_add(&table->meta[slot], units);
}

/* Gives a slot to a key that was found to have none, if it is busy enough, and returns the slot or
 * GLUPY_NO_SLOT. A *fresh slot is cleared and its name is locked: write the name, then call
 * glupy_table_settle. */
uint32_t
glupy_table_admit(struct glupy_table *table, uint64_t key, bool *fresh);

/* Lets fops find a fresh slot by its key and readers by its tag, and writes down how many fops the
 * key did at most without a slot. */
void
glupy_table_settle(struct glupy_table *table, uint32_t slot, uint64_t key, uint64_t tag);

/* Returns the slot that a key has now, for a fop that comes back after the key lost the slot that
 * it had. If the key has none, the fop is noted as one that it did without a slot. */
uint32_t
glupy_table_return(struct glupy_table *table, uint64_t key);

/* A slot's name is protected by a seqlock (Boehm: Can Seqlocks Get Along With Programming Language
 * Memory Models?, MSPC 2012). False if another thread writes it, or has written it since `seq`. */
bool
glupy_name_lock(struct glupy_table *table, uint32_t slot, uint32_t seq);
void
glupy_name_unlock(struct glupy_table *table, uint32_t slot);

/* The share of a score that is lost in a second, at this half-life in seconds. */
double
glupy_decay_share(uint32_t half_life);

/* That share of a value, rounded at random: most values are so small that their share is less than
 * one, and they have to decay all the same. For one thread only. */
uint64_t
glupy_decay_part(struct glupy_table *table, uint64_t value, double share);

/* Lets every score decay by that share. For one thread only. */
void
glupy_table_decay(struct glupy_table *table, double share);

#endif
