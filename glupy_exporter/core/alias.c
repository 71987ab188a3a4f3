#include "alias.h"

#include <string.h>

#define GFID_TEXT 36

static int
hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool
glupy_shard_base(const char *name, uint8_t base[16])
{
    int position, digits = 0, value;

    for (position = 0; position < GFID_TEXT; position++) {
        if (position == 8 || position == 13 || position == 18 || position == 23) {
            if (name[position] != '-')
                return false;
            continue;
        }
        value = hex(name[position]);
        if (value < 0)
            return false;
        base[digits / 2] = (uint8_t)(digits % 2 ? base[digits / 2] | value : value << 4);
        digits++;
    }
    if (name[position++] != '.' || !name[position])
        return false;
    return name[position + strspn(name + position, "0123456789")] == '\0';
}

static struct glupy_alias *
set_of(const struct glupy_aliases *aliases, uint64_t key)
{
    return &aliases->slots[key % (GLUPY_ALIASES / GLUPY_ALIAS_WAYS) * GLUPY_ALIAS_WAYS];
}

bool
glupy_alias_find(const struct glupy_aliases *aliases, uint64_t key, uint8_t base[16])
{
    struct glupy_alias *set = set_of(aliases, key);
    uint64_t found[2];
    uint32_t way, seq;

    for (way = 0; way < GLUPY_ALIAS_WAYS; way++) {
        seq = __atomic_load_n(&set[way].seq, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&set[way].key, __ATOMIC_RELAXED) != key)
            continue;
        found[0] = __atomic_load_n(&set[way].base[0], __ATOMIC_RELAXED);
        found[1] = __atomic_load_n(&set[way].base[1], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (seq % 2 || __atomic_load_n(&set[way].seq, __ATOMIC_RELAXED) != seq)
            return false;
        memcpy(base, found, sizeof(found));
        return true;
    }
    return false;
}

void
glupy_alias_learn(struct glupy_aliases *aliases, uint64_t key, const uint8_t base[16])
{
    struct glupy_alias *set = set_of(aliases, key), *alias;
    uint8_t known[16];
    uint64_t words[2];
    uint32_t way, seq;

    if (glupy_alias_find(aliases, key, known) && memcmp(known, base, sizeof(known)) == 0)
        return;
    for (way = 0; way < GLUPY_ALIAS_WAYS; way++)
        if (__atomic_load_n(&set[way].key, __ATOMIC_RELAXED) == 0)
            break;
    if (way == GLUPY_ALIAS_WAYS)
        way = __atomic_fetch_add(&set->next, 1, __ATOMIC_RELAXED) % GLUPY_ALIAS_WAYS;
    alias = &set[way];
    seq = __atomic_load_n(&alias->seq, __ATOMIC_RELAXED);
    /* Another thread writes here. This shard is learned when its name is seen again. */
    if (seq % 2 || !__atomic_compare_exchange_n(&alias->seq, &seq, seq + 1, false, __ATOMIC_ACQUIRE,
                                                __ATOMIC_RELAXED))
        return;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(words, base, sizeof(words));
    __atomic_store_n(&alias->key, key, __ATOMIC_RELAXED);
    __atomic_store_n(&alias->base[0], words[0], __ATOMIC_RELAXED);
    __atomic_store_n(&alias->base[1], words[1], __ATOMIC_RELAXED);
    __atomic_store_n(&alias->seq, seq + 2, __ATOMIC_RELEASE);
    __atomic_store_n(&aliases->any, 1, __ATOMIC_RELAXED);
}
