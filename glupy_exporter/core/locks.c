#include "locks.h"

#include <stdlib.h>
#include <string.h>

#include "counting.h"

/* The tag of an entry is one of these, or a hash of its file, which is greater. */
#define FREE 0U
#define TAKEN 1U /* a thread works on it */

#define END UINT64_MAX

/* A thread looks at entries before it takes one, so all is loaded and stored atomically. */
struct glupy_held {
    uint64_t key;        /* hash of the fields that an unlock names */
    uint64_t connection; /* addresses, only compared, as the objects may be gone */
    uint64_t fd;
    uint64_t first, last; /* of a range */
    uint64_t kind;
    uint64_t type;
    uint64_t granted;
};

bool
glupy_locks_make(struct glupy_segment *segment, uint32_t slots)
{
    struct glupy_locks *locks = &segment->locks;

    locks->mask = slots - 1;
    locks->tags = calloc(slots, sizeof(*locks->tags));
    locks->held = calloc(slots, sizeof(*locks->held));
    locks->homes = calloc(slots, sizeof(*locks->homes));
    return locks->tags && locks->held && locks->homes;
}

void
glupy_locks_free(struct glupy_segment *segment)
{
    free(segment->locks.tags);
    free(segment->locks.held);
    free(segment->locks.homes);
}

static uint32_t
tag_of_key(uint64_t file_key)
{
    uint32_t tag = (uint32_t)(file_key >> 16);

    return tag > TAKEN ? tag : TAKEN + 1;
}

static uint32_t
file_tag(const struct glupy_segment *segment, const uint8_t *gfid)
{
    return tag_of_key(glupy_file_key(segment, gfid));
}

static uint64_t
range_end(uint64_t start, uint64_t length)
{
    return length && start <= END - length ? start + length - 1 : END;
}

static uint64_t
last_of(const struct glupy_lock *lock)
{
    return range_end(lock->start, lock->length);
}

/* Hashes the fields that an unlock names. Ranges of an application's locks are cut and joined, so
 * they are compared one by one. */
static uint64_t
lock_key(const struct glupy_segment *segment, const struct glupy_lock *lock)
{
    const struct glupy_seed *seed = &segment->files.seed;
    uint64_t key = glupy_hash(seed, glupy_file_key(segment, lock->gfid), lock->kind);
    size_t length = lock->domain_length;

    /* Any client may give a lease back that it knows the id of; see __remove_lease. */
    key = glupy_hash(seed, key, lock->kind == GLUPY_LEASE ? 0 : (uintptr_t)lock->connection);
    key = glupy_hash(seed, key, lock->owner);
    if (lock->kind == GLUPY_LK)
        return key;
    key = glupy_hash(seed, glupy_hash(seed, key, lock->start), last_of(lock));
    if (length > GLUPY_FLIGHT_TEXT)
        length = GLUPY_FLIGHT_TEXT;
    return glupy_hash_bytes(seed, key, lock->domain, length);
}

/* The place where the search for a tag begins has two counts of locks: the low half counts those
 * that are listed from there, the high half all that have been. */
#define HOME_LISTED 1UL
#define HOME_ADDED (1UL << 32)

static uint64_t *
home_of(const struct glupy_locks *locks, uint32_t tag)
{
    return &locks->homes[tag & locks->mask];
}

/* Gives an entry that this thread has taken back to readers. */
static void
settle(struct glupy_segment *segment, uint32_t slot, uint32_t tag)
{
    struct glupy_held_lock *shown = &segment->held_locks[slot];
    uint32_t mark = __atomic_load_n(&shown->mark, __ATOMIC_RELAXED);

    mark &= ~(uint32_t)(GLUPY_MARK_STATES - 1);
    if (tag != FREE)
        mark |= GLUPY_MARK_USED;
    __atomic_store_n(&shown->mark, mark, __ATOMIC_RELEASE);
    __atomic_store_n(&segment->locks.tags[slot], tag, __ATOMIC_RELEASE);
}

/* Frees an entry that this thread has taken, and that had a tag. */
static void
discard(struct glupy_segment *segment, uint32_t slot, uint32_t tag)
{
    settle(segment, slot, FREE);
    __atomic_fetch_sub(home_of(&segment->locks, tag), HOME_LISTED, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&segment->locks.listed, 1, __ATOMIC_RELAXED);
}

/* Takes an entry whose tag was `tag`. */
static bool
take(struct glupy_segment *segment, uint32_t slot, uint32_t tag)
{
    struct glupy_held_lock *shown = &segment->held_locks[slot];
    uint32_t mark;

    if (!__atomic_compare_exchange_n(&segment->locks.tags[slot], &tag, TAKEN, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    mark = __atomic_load_n(&shown->mark, __ATOMIC_RELAXED);
    mark &= ~(uint32_t)(GLUPY_MARK_STATES - 1);
    __atomic_store_n(&shown->mark, mark + (uint32_t)(GLUPY_MARK_STATES + GLUPY_MARK_WRITING),
                     __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return true;
}

/* Writes where a lock's range ends for readers. */
static void
show_range(struct glupy_held_lock *shown, const struct glupy_held *held)
{
    shown->start = held->first;
    shown->length = held->last == END ? 0 : held->last - held->first + 1;
}

/* Takes a free entry near the tag's place, and raises the reach of searches to it. Returns
 * GLUPY_NO_SLOT if all are taken. */
static uint32_t
take_free(struct glupy_segment *segment, uint32_t tag)
{
    struct glupy_locks *locks = &segment->locks;
    uint32_t distance, slot, reach;

    for (distance = 0; distance <= locks->mask; distance++) {
        slot = (tag + distance) & locks->mask;
        if (__atomic_load_n(&locks->tags[slot], __ATOMIC_RELAXED) != FREE ||
            !take(segment, slot, FREE))
            continue;
        reach = __atomic_load_n(&locks->reach, __ATOMIC_RELAXED);
        while (reach < distance + 1 &&
               !__atomic_compare_exchange_n(&locks->reach, &reach, distance + 1, false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            ;
        __atomic_fetch_add(home_of(locks, tag), HOME_LISTED + HOME_ADDED, __ATOMIC_RELAXED);
        __atomic_fetch_add(&locks->listed, 1, __ATOMIC_RELAXED);
        return slot;
    }
    glupy_add(&segment->numbers->unlisted_locks, 1);
    return GLUPY_NO_SLOT;
}

static void
list(struct glupy_segment *segment, const struct glupy_lock *lock, uint64_t key)
{
    uint32_t tag = file_tag(segment, lock->gfid), slot = take_free(segment, tag);
    uint32_t length = lock->domain_length;
    struct glupy_held_lock *shown;
    struct glupy_held *held;

    if (slot == GLUPY_NO_SLOT)
        return;
    held = &segment->locks.held[slot];
    glupy_store(&held->key, key);
    glupy_store(&held->connection, (uintptr_t)lock->connection);
    glupy_store(&held->fd, (uintptr_t)lock->fd);
    glupy_store(&held->first, lock->start);
    glupy_store(&held->last, last_of(lock));
    glupy_store(&held->kind, lock->kind);
    glupy_store(&held->type, lock->type);
    glupy_store(&held->granted, lock->now);
    shown = &segment->held_locks[slot];
    shown->kind = lock->kind;
    shown->lock_type = lock->type;
    shown->domain_length = (uint8_t)(length < UINT8_MAX ? length : UINT8_MAX);
    shown->granted = lock->now;
    shown->client = lock->client;
    shown->owner = lock->owner;
    memcpy(shown->gfid, lock->gfid, sizeof(shown->gfid));
    show_range(shown, held);
    shown->uid = lock->uid;
    shown->pid = lock->pid;
    memset(shown->domain, 0, sizeof(shown->domain));
    if (length)
        memcpy(shown->domain, lock->domain,
               length < sizeof(shown->domain) ? length : sizeof(shown->domain));
    settle(segment, slot, tag);
}

/* Lists what is left of an application's lock after a range of it. */
static void
list_rest(struct glupy_segment *segment, const struct glupy_held *before,
          const struct glupy_held_lock *shown, const struct glupy_lock *range)
{
    struct glupy_lock rest = *range;

    rest.type = (uint8_t)before->type;
    rest.fd = (const void *)(uintptr_t)before->fd;
    rest.start = last_of(range) + 1;
    rest.length = before->last == END ? 0 : before->last - last_of(range);
    rest.client = shown->client;
    rest.now = before->granted;
    rest.uid = shown->uid;
    rest.pid = shown->pid;
    list(segment, &rest, before->key);
}

/* Gives back a range of an application's lock in an entry that this thread has taken. */
static void
return_range(struct glupy_segment *segment, uint32_t slot, uint32_t tag,
             const struct glupy_lock *range)
{
    struct glupy_held *held = &segment->locks.held[slot], before = *held;
    struct glupy_held_lock *shown = &segment->held_locks[slot], copy = *shown;

    if (before.first < range->start) {
        glupy_store(&held->last, range->start - 1);
        show_range(shown, held);
        settle(segment, slot, tag);
    } else {
        discard(segment, slot, tag);
    }
    if (before.last > last_of(range))
        list_rest(segment, &before, &copy, range);
}

/* A search for the entries that have a tag. */
struct search {
    uint64_t home; /* as it was at the beginning */
    uint32_t tag;
    uint32_t reach;
    uint32_t distance;
    uint32_t seen; /* entries of the same home */
};

static struct search
begin_search(const struct glupy_locks *locks, uint32_t tag)
{
    return (struct search){
        .home = __atomic_load_n(home_of(locks, tag), __ATOMIC_ACQUIRE),
        .tag = tag,
        .reach = __atomic_load_n(&locks->reach, __ATOMIC_SEQ_CST),
    };
}

/* Whether the search has seen all that was listed from its home when it began. It cannot tell if
 * more has been listed meanwhile, as it may have seen that. */
static bool
seen_all(const struct glupy_locks *locks, const struct search *search)
{
    return search->seen >= (uint32_t)search->home &&
           __atomic_load_n(home_of(locks, search->tag), __ATOMIC_RELAXED) / HOME_ADDED ==
               search->home / HOME_ADDED;
}

/* The next entry that has the tag; GLUPY_NO_SLOT: there is none. A search for a file without locks
 * does not look at the table, even if that was full once. */
static uint32_t
next_found(const struct glupy_locks *locks, struct search *search)
{
    uint32_t slot, tag;

    while (search->distance < search->reach && !seen_all(locks, search)) {
        slot = (search->tag + search->distance++) & locks->mask;
        tag = __atomic_load_n(&locks->tags[slot], __ATOMIC_ACQUIRE);
        if (tag > TAKEN && ((tag ^ search->tag) & locks->mask) == 0)
            search->seen++;
        if (tag == search->tag)
            return slot;
    }
    return GLUPY_NO_SLOT;
}

/* Whether an unlock names the entry or a part of it. */
static bool
named(const struct glupy_held *held, uint64_t key, const struct glupy_lock *lock)
{
    return glupy_load(&held->key) == key &&
           (lock->kind != GLUPY_LK ||
            (glupy_load(&held->first) <= last_of(lock) && glupy_load(&held->last) >= lock->start));
}

void
glupy_lock_returned(struct glupy_segment *segment, const struct glupy_lock *lock)
{
    struct glupy_locks *locks = &segment->locks;
    uint32_t tag = file_tag(segment, lock->gfid), slot;
    struct search search = begin_search(locks, tag);
    uint64_t key = lock_key(segment, lock);

    while ((slot = next_found(locks, &search)) != GLUPY_NO_SLOT) {
        if (!named(&locks->held[slot], key, lock) || !take(segment, slot, tag))
            continue;
        if (!named(&locks->held[slot], key, lock)) {
            settle(segment, slot, tag);
        } else if (lock->kind == GLUPY_LK) {
            return_range(segment, slot, tag, lock);
        } else {
            discard(segment, slot, tag);
            return;
        }
    }
}

/* Extends an application's lock by what its owner has of the same type, where both overlap. */
static void
join(const struct glupy_segment *segment, struct glupy_lock *lock)
{
    const struct glupy_locks *locks = &segment->locks;
    struct search search = begin_search(locks, file_tag(segment, lock->gfid));
    uint64_t key = lock_key(segment, lock), first = lock->start, last = last_of(lock);
    const struct glupy_held *held;
    uint32_t slot;

    while ((slot = next_found(locks, &search)) != GLUPY_NO_SLOT) {
        held = &locks->held[slot];
        if (!named(held, key, lock) || glupy_load(&held->type) != lock->type)
            continue;
        if (glupy_load(&held->first) < first)
            first = glupy_load(&held->first);
        if (glupy_load(&held->last) > last)
            last = glupy_load(&held->last);
    }
    lock->start = first;
    lock->length = last == END ? 0 : last - first + 1;
}

void
glupy_lock_granted(struct glupy_segment *segment, const struct glupy_lock *granted)
{
    struct glupy_lock lock = *granted;

    if (lock.kind == GLUPY_LK) {
        join(segment, &lock);
        glupy_lock_returned(segment, &lock);
    }
    list(segment, &lock, lock_key(segment, &lock));
}

/* The values that an entry must have to be forgotten; 0: any value does. */
struct match {
    uint64_t connection;
    uint64_t fd;
    uint64_t key;
    uint64_t kind;
    const struct glupy_cleared *cleared; /* NULL: it does not matter */
};

static bool
is_cleared(const struct glupy_held *held, const struct glupy_cleared *cleared)
{
    return glupy_load(&held->granted) <= cleared->not_after &&
           (cleared->any ||
            (glupy_load(&held->first) == cleared->start &&
             glupy_load(&held->last) == range_end(cleared->start, cleared->length)));
}

static bool
agrees(const struct glupy_held *held, const struct match *match)
{
    return (!match->connection || match->connection == glupy_load(&held->connection)) &&
           (!match->fd || match->fd == glupy_load(&held->fd)) &&
           (!match->key || match->key == glupy_load(&held->key)) &&
           (!match->kind || match->kind == glupy_load(&held->kind)) &&
           (!match->cleared || is_cleared(held, match->cleared));
}

/* Forgets an entry whose tag was `tag`, if it matches. */
static void
forget(struct glupy_segment *segment, uint32_t slot, uint32_t tag, const struct match *match)
{
    const struct glupy_held *held = &segment->locks.held[slot];

    if (!agrees(held, match) || !take(segment, slot, tag))
        return;
    if (agrees(held, match))
        discard(segment, slot, tag);
    else
        settle(segment, slot, tag);
}

static void
forget_of_file(struct glupy_segment *segment, uint32_t tag, const struct match *match)
{
    uint32_t slot;
    struct search search = begin_search(&segment->locks, tag);

    while ((slot = next_found(&segment->locks, &search)) != GLUPY_NO_SLOT)
        forget(segment, slot, tag, match);
}

static void
forget_of_all(struct glupy_segment *segment, const struct match *match)
{
    uint32_t slot, tag;

    if (!glupy_any_lock(segment))
        return;
    for (slot = 0; slot <= segment->locks.mask; slot++) {
        tag = __atomic_load_n(&segment->locks.tags[slot], __ATOMIC_ACQUIRE);
        if (tag > TAKEN)
            forget(segment, slot, tag, match);
    }
}

void
glupy_locks_closed(struct glupy_segment *segment, const uint8_t *gfid, const void *connection,
                   uint64_t owner, const void *fd)
{
    struct glupy_lock lock = {
        .gfid = gfid, .kind = GLUPY_LK, .connection = connection, .owner = owner};
    struct match match = {.kind = GLUPY_LK, .fd = (uintptr_t)fd};

    if (!fd)
        match.key = lock_key(segment, &lock);
    forget_of_file(segment, file_tag(segment, gfid), &match);
}

void
glupy_locks_cleared(struct glupy_segment *segment, const struct glupy_cleared *cleared)
{
    forget_of_file(segment, tag_of_key(cleared->key),
                   &(struct match){.kind = cleared->kind, .cleared = cleared});
}

void
glupy_locks_left(struct glupy_segment *segment, const void *connection)
{
    forget_of_all(segment, &(struct match){.connection = (uintptr_t)connection});
}

void
glupy_locks_clear(struct glupy_segment *segment)
{
    forget_of_all(segment, &(struct match){0});
}
