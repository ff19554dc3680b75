/* Longest-prefix lookup over sorted keys of ten bytes: a digit is a nibble of 1 to 10, what follows the last is 0.
 *
 * Of sorted keys, the last that is not above a number's key lies in the subtree of the number's longest prefix:
 * from there the way up the parents ends at it. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define API __attribute__((visibility("default")))
#define KEY 10
#define DIGITS 20
#define NONE UINT32_MAX
#define BUCKETS 65537 /* by the first four nibbles */

typedef struct {
    uint64_t high;
    uint16_t low;
    uint8_t length;
} number_key;

static uint64_t big64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

static uint16_t big16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static number_key load(const uint8_t *at) {
    number_key key = {big64(at), big16(at + 8), 0};
    key.length = key.low ? (uint8_t)(16 + (4 - __builtin_ctz(key.low) / 4))
                 : key.high ? (uint8_t)(16 - __builtin_ctzll(key.high) / 4)
                            : 0;
    return key;
}

static int begins(number_key number, number_key prefix) {
    if (prefix.length > number.length) return 0;
    if (prefix.length == 0) return 1;
    if (prefix.length <= 16) return (number.high ^ prefix.high) >> (64 - 4 * prefix.length) == 0;
    return number.high == prefix.high && (number.low ^ prefix.low) >> (80 - 4 * prefix.length) == 0;
}

/* Fill parent[i] with the index of key i's longest proper prefix; 0, or 1 + the index of a key out of order. */
API uint32_t vos_lpm_parents(const uint8_t *keys, uint32_t count, uint32_t *parent) {
    for (uint32_t at = 0; at < count; at++) {
        if (at && memcmp(keys + KEY * (at - 1), keys + KEY * at, KEY) >= 0) return at + 1;
        number_key own = load(keys + KEY * at);
        uint32_t above = at ? at - 1 : NONE;
        while (above != NONE && !begins(own, load(keys + KEY * above))) above = parent[above];
        parent[at] = above;
    }
    return 0;
}

/* Fill start[b] with the first key whose first four nibbles are not below b; start has BUCKETS entries. */
API void vos_lpm_buckets(const uint8_t *keys, uint32_t count, uint32_t *start) {
    uint32_t at = 0;
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
        while (at < count && big16(keys + KEY * at) < bucket) at++;
        start[bucket] = at;
    }
}

static uint32_t find(const uint8_t *keys, const uint32_t *parent, const uint32_t *start, number_key number) {
    uint32_t bucket = (uint32_t)(number.high >> 48), low = start[bucket], high = start[bucket + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const uint8_t *at = keys + KEY * (size_t)middle;
        uint64_t top = big64(at);
        int above = top != number.high ? top > number.high : big16(at + 8) > number.low;
        if (above)
            high = middle;
        else
            low = middle + 1;
    }
    uint32_t found = low ? low - 1 : NONE;
    while (found != NONE && !begins(number, load(keys + KEY * (size_t)found))) found = parent[found];
    return found;
}

static void push(number_key *key, unsigned digit) {
    if (key->length >= DIGITS) return;
    if (key->length < 16)
        key->high |= (uint64_t)(digit + 1) << (60 - 4 * key->length);
    else
        key->low |= (uint16_t)((digit + 1) << (12 - 4 * (key->length - 16)));
    key->length++;
}

/* Look up `count` lines of text; found[i] is the index of line i's longest prefix, UINT32_MAX for none.
 * A leading + is passed over; a line counts up to its first character that is no digit. Returns the lines read. */
API uint64_t vos_lpm_find(const uint8_t *keys, const uint32_t *parent, const uint32_t *start, const char *text,
                          uint64_t size, uint64_t count, uint32_t *found) {
    uint64_t line = 0, at = 0;
    while (line < count && at <= size) {
        number_key key = {0, 0, 0};
        if (at < size && text[at] == '+') at++;
        for (; at < size && text[at] >= '0' && text[at] <= '9'; at++) push(&key, (unsigned)(text[at] - '0'));
        const char *end = at < size ? memchr(text + at, '\n', size - at) : NULL;
        at = end ? (uint64_t)(end - text) + 1 : size + 1;
        found[line++] = find(keys, parent, start, key);
    }
    return line;
}

/* Look up packed keys of ten bytes, as those of another table. */
API void vos_lpm_find_keys(const uint8_t *keys, const uint32_t *parent, const uint32_t *start, const uint8_t *wanted,
                           uint64_t count, uint32_t *found) {
    for (uint64_t at = 0; at < count; at++) found[at] = find(keys, parent, start, load(wanted + KEY * at));
}
