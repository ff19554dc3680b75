/* Which row of a deck prices each of many calls: the longest prefix that has a row in force when the call began.
 * Rows hold from a moment to before another, always or in one section of a week; moments are microseconds, UTC. */

#include "lpm.h"

#define BLOCK 64 /* calls whose keys are made before they are looked up */

typedef struct {
    int64_t from, until;
    uint32_t row, section; /* section 0: always */
} variant;

typedef struct {
    const uint8_t *keys;
    const uint32_t *parent, *start;
    const uint32_t *first;    /* the variants of prefix i, those that count before others first; NULL: row i, always */
    const variant *variants;
    const int64_t *turns;     /* when sections change */
    const uint32_t *sections; /* which begins at each turn; before the first it is 0 */
    uint32_t turn_count, base; /* base: the number of the deck's row 0 */
} deck;

static uint32_t section_at(const deck *own, int64_t moment) {
    uint32_t low = 0, high = own->turn_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (own->turns[middle] <= moment)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? own->sections[low - 1] : 0;
}

static uint32_t row_of(const deck *own, number_key number, int64_t moment) {
    uint32_t at = find(own->keys, own->parent, own->start, number);
    if (!own->first) return at == NONE ? NONE : own->base + at;
    uint32_t section = section_at(own, moment);
    for (; at != NONE; at = own->parent[at])
        for (uint32_t each = own->first[at]; each < own->first[at + 1]; each++) {
            const variant *row = own->variants + each;
            if (row->from <= moment && moment < row->until && (!row->section || row->section == section))
                return own->base + row->row;
        }
    return NONE;
}

static number_key key_of(const char *at, const char *end) {
    number_key key = {0, 0, 0};
    for (; at < end && *at >= '0' && *at <= '9'; at++) push(&key, (unsigned)(*at - '0'));
    return key;
}

/* Have the memory brought where the search for a number begins: many are under way at once. */
static void fetch(const deck *own, number_key number) {
    uint32_t bucket = (uint32_t)(number.high >> 48), low = own->start[bucket], count = own->start[bucket + 1] - low;
    for (uint32_t quarter = 1; quarter < 4; quarter++)
        __builtin_prefetch(own->keys + KEY * ((size_t)low + (size_t)count * quarter / 4));
}

/* rows[i] = the number of the row for call i, NONE without one. Call i's digits are text[ends[i]] to before
 * text[ends[i + 1]]; deck_of[i] below `count` is its deck, anything else none. */
API void vos_rows_find(const deck *decks, uint32_t count, const uint32_t *deck_of, const int64_t *moments,
                       const char *text, const int32_t *ends, uint64_t calls, uint32_t *rows) {
    number_key keys[BLOCK];
    for (uint64_t first = 0; first < calls; first += BLOCK) {
        uint64_t last = first + BLOCK < calls ? first + BLOCK : calls;
        for (uint64_t call = first; call < last; call++) {
            if (deck_of[call] >= count) continue;
            keys[call - first] = key_of(text + ends[call], text + ends[call + 1]);
            fetch(decks + deck_of[call], keys[call - first]);
        }
        for (uint64_t call = first; call < last; call++)
            rows[call] = deck_of[call] < count ? row_of(decks + deck_of[call], keys[call - first], moments[call]) : NONE;
    }
}
