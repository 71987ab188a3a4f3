#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Two cells a slot keep the noise of a sketch below one fop in a few thousand. */
#define CELLS_A_SLOT 2

#define DICE 0x2545f4914f6cdd1dUL /* any number but 0 */

#define SPINS 100U /* some ten microseconds */

static inline void
relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool
glupy_table_make(struct glupy_table *table, uint32_t slots)
{
    table->sets = slots / GLUPY_WAYS;
    table->width = slots * CELLS_A_SLOT;
    table->dice = DICE;
    table->keys = calloc(slots, sizeof(*table->keys));
    table->meta = calloc(slots, sizeof(*table->meta));
    table->admitting = calloc(table->sets, sizeof(*table->admitting));
    table->recent = calloc(GLUPY_SKETCH_ROWS * table->width, sizeof(*table->recent));
    table->missed = calloc(GLUPY_SKETCH_ROWS * table->width, sizeof(*table->missed));
    return table->keys && table->meta && table->admitting && table->recent && table->missed &&
           getentropy(&table->seed, sizeof(table->seed)) == 0;
}

void
glupy_table_free(struct glupy_table *table)
{
    free(table->keys);
    free(table->meta);
    free(table->admitting);
    free(table->recent);
    free(table->missed);
}

void
glupy_table_clear(struct glupy_table *table)
{
    size_t cells = (size_t)GLUPY_SKETCH_ROWS * table->width;
    uint32_t slot;

    for (slot = 0; slot < table->sets * GLUPY_WAYS; slot++)
        glupy_store(&table->meta[slot], ((glupy_load(&table->meta[slot]) >> GLUPY_SCORE_BITS) + 1)
                                            << GLUPY_SCORE_BITS);
    memset(table->keys, 0, (size_t)table->sets * GLUPY_WAYS * sizeof(*table->keys));
    memset(table->recent, 0, cells * sizeof(*table->recent));
    memset(table->missed, 0, cells * sizeof(*table->missed));
    table->recent_sum = 0;
}

/* The cell of a key in one row. A key is a hash already; odd multipliers make four of it
 * (Dietzfelbinger et al.: A Reliable Randomized Algorithm for the Closest-Pair Problem, 1997). */
static uint32_t
cell(const struct glupy_table *table, uint64_t key, uint32_t row)
{
    static const uint64_t multipliers[GLUPY_SKETCH_ROWS] = {
        0x9e3779b97f4a7c15UL, 0xc2b2ae3d27d4eb4fUL, 0x165667b19e3779f9UL, 0xd6e8feb86659fd93UL};

    return row * table->width + (uint32_t)((key * multipliers[row]) >> 40) % table->width;
}

/* Adds fops that a key did without a slot. */
static void
miss(struct glupy_table *table, uint64_t key, uint64_t fops)
{
    uint32_t row;

    for (row = 0; row < GLUPY_SKETCH_ROWS; row++)
        __atomic_fetch_add(&table->missed[cell(table, key, row)], fops, __ATOMIC_SEQ_CST);
}

/* How many fops a key has done at most without a slot. */
static uint64_t
missed(const struct glupy_table *table, uint64_t key)
{
    uint64_t least = UINT64_MAX, here;
    uint32_t row;

    for (row = 0; row < GLUPY_SKETCH_ROWS; row++) {
        here = __atomic_load_n(&table->missed[cell(table, key, row)], __ATOMIC_SEQ_CST);
        if (here < least)
            least = here;
    }
    return least;
}

/* Adds one fop of a key without a slot; returns about how many score units it made of late. */
static uint64_t
recent(struct glupy_table *table, uint64_t key)
{
    uint32_t least = UINT32_MAX, row, now;
    uint64_t noise;

    for (row = 0; row < GLUPY_SKETCH_ROWS; row++) {
        now = __atomic_add_fetch(&table->recent[cell(table, key, row)], GLUPY_SKETCH_UNIT,
                                 __ATOMIC_RELAXED);
        if (now < least)
            least = now;
    }
    glupy_add(&table->recent_sum, GLUPY_SKETCH_ROWS * GLUPY_SKETCH_UNIT);
    noise = glupy_load(&table->recent_sum) / (GLUPY_SKETCH_ROWS * table->width);
    return least > noise ? (least - noise) * (GLUPY_SCORE_UNIT / GLUPY_SKETCH_UNIT) : 0;
}

/* A slot that may be taken, with its owner (0: it is free) and its score. */
struct candidate {
    uint32_t slot;
    uint64_t owner;
    uint64_t score;
};

static void
consider(const struct glupy_table *table, uint32_t set, struct candidate *best)
{
    uint32_t slot;
    uint64_t owner, score;

    for (slot = set * GLUPY_WAYS; slot < (set + 1) * GLUPY_WAYS; slot++) {
        owner = glupy_load(&table->keys[slot]);
        score = owner ? glupy_load(&table->meta[slot]) & GLUPY_SCORE_MASK : 0;
        /* Another thread has locked it and is taking it. */
        if (__atomic_load_n(&table->seqs[slot], __ATOMIC_RELAXED) % 2)
            continue;
        if (best->slot == GLUPY_NO_SLOT || score < best->score)
            *best = (struct candidate){slot, owner, score};
    }
}

/* The least busy of the slots that the key may have. */
static struct candidate
candidate(const struct glupy_table *table, uint64_t key)
{
    struct candidate best = {.slot = GLUPY_NO_SLOT};

    consider(table, glupy_first_set(table, key), &best);
    if (best.owner || best.slot == GLUPY_NO_SLOT)
        consider(table, glupy_second_set(table, key), &best);
    return best;
}

bool
glupy_name_lock(struct glupy_table *table, uint32_t slot, uint32_t seq)
{
    if (seq % 2 || !__atomic_compare_exchange_n(&table->seqs[slot], &seq, seq + 1, false,
                                                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return true;
}

void
glupy_name_unlock(struct glupy_table *table, uint32_t slot)
{
    __atomic_fetch_add(&table->seqs[slot], 1, __ATOMIC_RELEASE);
}

/* Takes a slot from its owner. False if it has another owner by now, or is being taken. */
static bool
vacate(struct glupy_table *table, const struct candidate *victim)
{
    struct glupy_counters *counters = &table->counters[victim->slot];
    uint64_t *words = (uint64_t *)counters;
    uint64_t *meta = &table->meta[victim->slot];
    uint32_t seq = __atomic_load_n(&table->seqs[victim->slot], __ATOMIC_RELAXED);
    uint64_t fops = 0;
    uint32_t word;

    if (!glupy_name_lock(table, victim->slot, seq))
        return false;
    if (glupy_load(&table->keys[victim->slot]) != victim->owner) {
        glupy_name_unlock(table, victim->slot);
        return false;
    }
    /* From here on no fop finds the slot, and fops in flight see that it is no longer theirs. */
    glupy_store(&table->keys[victim->slot], 0);
    glupy_store(&table->tags[victim->slot], 0);
    __atomic_store_n(meta, ((glupy_load(meta) >> GLUPY_SCORE_BITS) + 1) << GLUPY_SCORE_BITS,
                     __ATOMIC_RELEASE);
    for (word = 0; word < GLUPY_KINDS; word++)
        fops += glupy_load(&counters->fops[word]);
    for (word = 0; word < sizeof(*counters) / sizeof(*words); word++)
        glupy_store(&words[word], 0);
    if (victim->owner) {
        miss(table, victim->owner, fops);
        glupy_add(&table->health->evicted, 1);
    } else {
        glupy_add(&table->health->tracked, 1);
    }
    return true;
}

/* Bars all other admissions that begin with the same set, and returns whether it could. Two threads
 * with the same new key meet here. The later one waits for the fraction of a microsecond until the
 * key has its slot, but never long, as the other thread may not be running at all. */
static bool
bar(uint8_t *admitting)
{
    uint32_t spins;

    for (spins = 0; spins < SPINS; spins++) {
        if (!__atomic_exchange_n(admitting, 1, __ATOMIC_ACQUIRE))
            return true;
        relax();
    }
    return false;
}

static void
unbar(uint8_t *admitting)
{
    __atomic_store_n(admitting, 0, __ATOMIC_RELEASE);
}

/* Takes a slot for a key that made `estimate` score units of late. It may have to try again, as an
 * admission that begins with another set may take the same slot. */
static uint32_t
take_slot(struct glupy_table *table, uint64_t key, uint64_t estimate)
{
    struct candidate victim;
    uint32_t tries;

    for (tries = 0; tries < 2 * GLUPY_WAYS; tries++) {
        victim = candidate(table, key);
        if (victim.slot == GLUPY_NO_SLOT || estimate <= victim.score)
            break;
        if (vacate(table, &victim)) {
            glupy_table_score(table, victim.slot, estimate);
            return victim.slot;
        }
    }
    return GLUPY_NO_SLOT;
}

uint32_t
glupy_table_admit(struct glupy_table *table, uint64_t key, bool *fresh)
{
    uint8_t *admitting = &table->admitting[glupy_first_set(table, key)];
    struct candidate victim = candidate(table, key);
    uint64_t estimate = victim.owner ? recent(table, key) : GLUPY_SCORE_UNIT;
    uint32_t slot;
    bool barred;

    /* The miss is taken back below if a slot counts this fop. It is noted before the key is looked
     * for once more, while glupy_table_settle lets the key be found before it reads the misses. So
     * a fop that is not counted in the new slot is in that slot's bound. */
    miss(table, key, 1);
    *fresh = false;
    if (estimate <= victim.score)
        return GLUPY_NO_SLOT;
    barred = bar(admitting);
    slot = glupy_table_find(table, key);
    if (barred && slot == GLUPY_NO_SLOT) {
        slot = take_slot(table, key, estimate);
        *fresh = slot != GLUPY_NO_SLOT;
    }
    if (barred && !*fresh)
        unbar(admitting);
    if (slot != GLUPY_NO_SLOT)
        miss(table, key, -1UL);
    return slot;
}

void
glupy_table_settle(struct glupy_table *table, uint32_t slot, uint64_t key, uint64_t tag)
{
    /* The name stays locked until the slot has its owner, so that the slot never looks free. */
    glupy_store(&table->tags[slot], tag);
    __atomic_store_n(&table->keys[slot], key, __ATOMIC_SEQ_CST);
    glupy_store(&table->counters[slot].error_bound, missed(table, key));
    glupy_name_unlock(table, slot);
    unbar(&table->admitting[glupy_first_set(table, key)]);
}

uint32_t
glupy_table_return(struct glupy_table *table, uint64_t key)
{
    uint32_t slot;

    /* In the same order as in glupy_table_admit, for the same reason. */
    miss(table, key, 1);
    slot = glupy_table_find(table, key);
    if (slot != GLUPY_NO_SLOT)
        miss(table, key, -1UL);
    return slot;
}

double
glupy_decay_share(uint32_t half_life)
{
    return 1 - exp2(-1.0 / half_life);
}

/* xorshift64 (Marsaglia: Xorshift RNGs, Journal of Statistical Software 8(14), 2003). */
uint64_t
glupy_decay_part(struct glupy_table *table, uint64_t value, double share)
{
    table->dice ^= table->dice << 13;
    table->dice ^= table->dice >> 7;
    table->dice ^= table->dice << 17;
    return (uint64_t)((double)value * share + (double)(table->dice >> 11) * 0x1p-53);
}

/* An atomic subtraction would not do: the slot may be given away in between, and its score starts
 * at 0 again then. */
static void
decay_score(struct glupy_table *table, uint32_t slot, double share)
{
    uint64_t *meta = &table->meta[slot];
    uint64_t before = glupy_load(meta), score;

    do {
        score = before & GLUPY_SCORE_MASK;
        if (!score)
            return;
    } while (!__atomic_compare_exchange_n(meta, &before,
                                          before - glupy_decay_part(table, score, share), false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void
glupy_table_decay(struct glupy_table *table, double share)
{
    uint64_t taken = 0;
    uint32_t index, here, part;

    for (index = 0; index < table->sets * GLUPY_WAYS; index++)
        decay_score(table, index, share);
    for (index = 0; index < table->width * GLUPY_SKETCH_ROWS; index++) {
        here = __atomic_load_n(&table->recent[index], __ATOMIC_RELAXED);
        if (!here)
            continue;
        part = (uint32_t)glupy_decay_part(table, here, share);
        __atomic_fetch_sub(&table->recent[index], part, __ATOMIC_RELAXED);
        taken += part;
    }
    /* Exactly what the cells lost, so that the mean stays that of the cells. */
    glupy_add(&table->recent_sum, -taken);
}
