/* Longest-prefix lookup over sorted keys of ten bytes: a digit is a nibble of 1 to 10, what follows the last is 0.
 *
 * Of sorted keys, the last that is not above a number's key lies in the subtree of the number's longest prefix:
 * from there the way up the parents ends at it. */

#ifndef VOS_LPM_H
#define VOS_LPM_H

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

static inline uint64_t big64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

static inline uint16_t big16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline number_key load(const uint8_t *at) {
    number_key key = {big64(at), big16(at + 8), 0};
    key.length = key.low ? (uint8_t)(16 + (4 - __builtin_ctz(key.low) / 4))
                 : key.high ? (uint8_t)(16 - __builtin_ctzll(key.high) / 4)
                            : 0;
    return key;
}

static inline int begins(number_key number, number_key prefix) {
    if (prefix.length > number.length) return 0;
    if (prefix.length == 0) return 1;
    if (prefix.length <= 16) return (number.high ^ prefix.high) >> (64 - 4 * prefix.length) == 0;
    return number.high == prefix.high && (number.low ^ prefix.low) >> (80 - 4 * prefix.length) == 0;
}

static inline uint32_t find(const uint8_t *keys, const uint32_t *parent, const uint32_t *start, number_key number) {
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

static inline void push(number_key *key, unsigned digit) {
    if (key->length >= DIGITS) return;
    if (key->length < 16)
        key->high |= (uint64_t)(digit + 1) << (60 - 4 * key->length);
    else
        key->low |= (uint16_t)((digit + 1) << (12 - 4 * (key->length - 16)));
    key->length++;
}

#endif
