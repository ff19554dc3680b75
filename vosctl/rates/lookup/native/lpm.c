/* The tables of a lookup, and lookups of many numbers at once (see lpm.h). */

#include "lpm.h"

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
