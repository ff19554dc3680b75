/* Route tables in bulk: rows spread over all prefixes, vendors in order, who is locked. Money never comes here:
 * rates are numbers of terms, and what is compared are ranks that were made of exact amounts. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
#define KEY 10
#define NONE UINT32_MAX
#define MOST_VENDORS 4096

enum { OPEN, NO_RATE, BLOCKED, TOO_DEAR, TOO_LITTLE };

/* Merge two sorted lists of keys into out, each key once; returns how many there are. */
API uint64_t vos_keys_merge(const uint8_t *a, uint64_t a_count, const uint8_t *b, uint64_t b_count, uint8_t *out) {
    const uint8_t *a_end = a + KEY * a_count, *b_end = b + KEY * b_count;
    uint8_t *at = out;
    while (a < a_end || b < b_end) {
        int order = a == a_end ? 1 : b == b_end ? -1 : memcmp(a, b, KEY);
        memcpy(at, order <= 0 ? a : b, KEY);
        at += KEY;
        if (order <= 0) a += KEY;
        if (order >= 0) b += KEY;
    }
    return (uint64_t)(at - out) / KEY;
}

/* out[i] = the deck's value at the longest of its prefixes that key i begins with, NONE where it has none.
 * The deck's keys are sorted and all among `keys`; parents are those of vos_lpm_parents. */
API void vos_spread(const uint8_t *keys, const uint32_t *parent, uint32_t count, const uint8_t *deck_keys,
                    const uint32_t *values, uint32_t deck_count, uint32_t *out) {
    uint32_t next = 0;
    for (uint32_t at = 0; at < count; at++) {
        if (next < deck_count && memcmp(keys + KEY * (size_t)at, deck_keys + KEY * (size_t)next, KEY) == 0)
            out[at] = values[next++];
        else
            out[at] = parent[at] == NONE ? NONE : out[parent[at]];
    }
}

/* Records of one size, each kept once and numbered in the order in which they were first seen. */
typedef struct {
    uint32_t size, count, capacity, mask;
    uint32_t *slots;
    uint8_t *records;
} interner;

API interner *vos_interner_new(uint32_t size) {
    interner *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->size = size;
    made->capacity = 1024;
    made->mask = 4095;
    made->slots = calloc(made->mask + 1, sizeof *made->slots);
    made->records = malloc((size_t)size * made->capacity);
    return made;
}

API void vos_interner_free(interner *self) {
    if (!self) return;
    free(self->slots);
    free(self->records);
    free(self);
}

API uint32_t vos_interner_count(const interner *self) {
    return self->count;
}

API const uint8_t *vos_interner_records(const interner *self) {
    return self->records;
}

static uint32_t hash(const uint8_t *record, uint32_t size) {
    uint64_t sum = 0x9E3779B97F4A7C15u, word;
    for (; size >= 8; size -= 8, record += 8) {
        memcpy(&word, record, 8);
        sum = (sum ^ word) * 0xFF51AFD7ED558CCDu;
        sum ^= sum >> 32;
    }
    for (word = 0; size; size--) word = word << 8 | *record++;
    sum = (sum ^ word) * 0xC4CEB9FE1A85EC53u;
    return (uint32_t)(sum >> 32);
}

static int grow(interner *self) {
    uint32_t mask = self->mask * 2 + 1, *slots = calloc((size_t)mask + 1, sizeof *slots);
    uint8_t *records = realloc(self->records, (size_t)self->size * self->capacity * 2);
    if (records) self->records = records;
    if (!slots || !records) {
        free(slots);
        return -1;
    }
    for (uint32_t at = 0; at < self->count; at++) {
        uint32_t slot = hash(records + (size_t)self->size * at, self->size) & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = at + 1;
    }
    free(self->slots);
    self->slots = slots;
    self->mask = mask;
    self->capacity *= 2;
    return 0;
}

/* Return the record's number, NONE without memory. */
static uint32_t intern(interner *self, const uint8_t *record) {
    if (self->count == self->capacity && grow(self)) return NONE;
    uint32_t slot = hash(record, self->size) & self->mask;
    for (; self->slots[slot]; slot = (slot + 1) & self->mask) {
        uint32_t at = self->slots[slot] - 1;
        if (memcmp(self->records + (size_t)self->size * at, record, self->size) == 0) return at;
    }
    memcpy(self->records + (size_t)self->size * self->count, record, self->size);
    self->slots[slot] = ++self->count;
    return self->count - 1;
}

/* ids[i] = the number of record i; returns 0, or -1 without memory. */
API int vos_intern(interner *self, const uint8_t *records, uint32_t count, uint32_t *ids) {
    for (uint32_t at = 0; at < count; at++) {
        ids[at] = intern(self, records + (size_t)self->size * at);
        if (ids[at] == NONE) return -1;
    }
    return 0;
}

typedef struct {
    uint16_t vendor, tied;
    uint32_t term;
} offer;

typedef struct {
    uint32_t count, vendors;
    const uint32_t *const *terms;   /* [vendor][prefix] → term, or NONE */
    const uint32_t *const *quality; /* [vendor][prefix] → rank of its quality; may be NULL */
    const uint32_t *cost;           /* [term] → rank of its cost */
    const uint32_t *priority;       /* [vendor] */
} order_input;

/* lists[i] = the number of prefix i's list of offers in `store`: by priority, quality, cost, the vendors' own order. */
API int vos_orders(const order_input *in, interner *store, uint32_t *lists) {
    offer found[MOST_VENDORS];
    uint32_t rank[MOST_VENDORS][3];
    if (in->vendors > MOST_VENDORS) return -2;
    for (uint32_t at = 0; at < in->count; at++) {
        for (uint32_t vendor = 0; vendor < in->vendors; vendor++) {
            uint32_t term = in->terms[vendor][at];
            uint32_t own[3] = {in->priority[vendor], in->quality ? in->quality[vendor][at] : 0,
                               term == NONE ? NONE : in->cost[term]};
            uint32_t place = vendor;
            while (place && (rank[place - 1][0] != own[0]   ? rank[place - 1][0] > own[0]
                             : rank[place - 1][1] != own[1] ? rank[place - 1][1] > own[1]
                                                            : rank[place - 1][2] > own[2])) {
                memcpy(rank[place], rank[place - 1], sizeof own);
                found[place] = found[place - 1];
                place--;
            }
            memcpy(rank[place], own, sizeof own);
            found[place] = (offer){(uint16_t)vendor, 0, term};
        }
        for (uint32_t place = 1; place < in->vendors; place++)
            found[place].tied = memcmp(rank[place], rank[place - 1], sizeof rank[place]) == 0;
        lists[at] = intern(store, (const uint8_t *)found);
        if (lists[at] == NONE) return -1;
    }
    return 0;
}

/* What an offer of a list is compared by. */
typedef struct {
    uint32_t rate, dearest;
    uint16_t vendor;
    uint8_t verdict; /* OPEN: it depends; NO_RATE: there is none; BLOCKED */
    uint8_t spare;
} terms_of_offer;

/* Fill out with all offers of the store, `vendors` for each list. */
API void vos_offers(const interner *store, uint32_t vendors, const uint32_t *rate, const uint32_t *dearest,
                    const uint8_t *blocked, terms_of_offer *out) {
    const offer *from = (const offer *)store->records;
    for (size_t at = 0; at < (size_t)store->count * vendors; at++) {
        uint32_t term = from[at].term;
        out[at] = term == NONE ? (terms_of_offer){0, 0, from[at].vendor, NO_RATE, 0}
                               : (terms_of_offer){rate[term], dearest[term], from[at].vendor,
                                                  blocked[term] ? BLOCKED : OPEN, 0};
    }
}

typedef struct {
    uint32_t count, vendors;
    const uint32_t *customer;       /* [prefix] → the group's term, or NONE: not sold */
    const uint32_t *lists;          /* [prefix] → list of offers */
    const terms_of_offer *offers;   /* [list][place] */
    const uint32_t *zone;           /* [prefix] → which prefix's guard governs; NULL: none does anywhere */
    const uint32_t *guards;         /* [zone][vendor] → guard */
    const uint8_t *check_rate;      /* [guard] */
    const uint32_t *most;           /* [guard] → highest rank of `dearest` that it allows plus one */
    const uint32_t *column;         /* [term] → column in `ceiling` */
    const uint32_t *const *ceiling; /* [guard][column] → highest rank of `rate` that it allows plus one */
    const uint8_t *blocked;         /* [term] */
} cell_input;

static uint8_t decide(const cell_input *in, const terms_of_offer *own, uint32_t guard, uint32_t column) {
    if (own->verdict == NO_RATE) return in->check_rate[guard] ? NO_RATE : OPEN;
    if (own->verdict == BLOCKED) return BLOCKED;
    if (own->dearest >= in->most[guard]) return TOO_DEAR;
    return own->rate >= in->ceiling[guard][column] ? TOO_LITTLE : OPEN;
}

/* cells[i] = the number in `store` of (term, number in `locks` of a verdict an offer), NONE where nothing is sold. */
API int vos_cells(const cell_input *in, interner *locks, interner *store, uint32_t *cells) {
    uint8_t why[MOST_VENDORS];
    if (in->vendors > MOST_VENDORS) return -2;
    for (uint32_t at = 0; at < in->count; at++) {
        uint32_t customer = in->customer[at];
        cells[at] = NONE;
        if (customer == NONE || in->blocked[customer]) continue;
        const uint32_t *guards = in->guards + (in->zone ? (size_t)in->zone[at] * in->vendors : 0);
        const terms_of_offer *offers = in->offers + (size_t)in->lists[at] * in->vendors;
        uint32_t column = in->column[customer];
        for (uint32_t place = 0; place < in->vendors; place++)
            why[place] = decide(in, &offers[place], guards[offers[place].vendor], column);
        uint32_t pair[2] = {customer, intern(locks, why)};
        cells[at] = intern(store, (const uint8_t *)pair);
        if (pair[1] == NONE || cells[at] == NONE) return -1;
    }
    return 0;
}

/* Write the first index of each run of equal values and the value; returns the runs. */
API uint32_t vos_runs(const uint32_t *values, uint32_t count, uint32_t *starts, uint32_t *kept) {
    uint32_t runs = 0;
    for (uint32_t at = 0; at < count; at++) {
        if (at && values[at] == values[at - 1]) continue;
        starts[runs] = at;
        kept[runs++] = values[at];
    }
    return runs;
}

/* Where values[i] is as in base, put `same` there. */
API void vos_mask(uint32_t *values, const uint32_t *base, uint32_t count, uint32_t same) {
    for (uint32_t at = 0; at < count; at++)
        if (values[at] == base[at]) values[at] = same;
}

/* out[i] = a table's value at indexes[i], NONE for NONE; starts NULL: one value for each index. */
API void vos_table_get(const uint32_t *starts, const uint32_t *values, uint32_t runs, const uint32_t *indexes,
                       uint64_t count, uint32_t *out) {
    for (uint64_t at = 0; at < count; at++) {
        uint32_t wanted = indexes[at], low = 0, high = runs;
        if (wanted == NONE || !runs) {
            out[at] = NONE;
            continue;
        }
        if (!starts) {
            out[at] = values[wanted];
            continue;
        }
        while (high - low > 1) {
            uint32_t middle = low + (high - low) / 2;
            if (starts[middle] <= wanted)
                low = middle;
            else
                high = middle;
        }
        out[at] = values[low];
    }
}
