/* The jitter buffer of one leg: packets wait here, in order, until the RTP clock says that they are due. */
#ifndef VOS_PLAYOUT_H
#define VOS_PLAYOUT_H

#include "internal.h"

#define VOS_HELD 64           /* packets at most */
#define VOS_CELL 256          /* bytes; a packet takes as many cells as it needs */
#define VOS_CELLS 64
#define VOS_PLAYOUT_PACKET 2048 /* a longer one is no sound and is never held */

struct vos_slot {
    struct vos_rtp rtp;
    uint64_t due_us;
    uint16_t length;
    uint8_t epoch, cell, next; /* `next` in playing order */
};

/* Extremes of the transit time within a while, and within the while before. */
struct vos_extremes {
    int64_t least, most;
};

struct vos_playout {
    uint32_t minimum_us, maximum_us, start_us;
    bool adaptive;
    /* In the worker's wheel. */
    struct vos_playout *after, **link;
    struct vos_stream *stream;
    uint8_t side;
    uint16_t bucket;
    /* The schedule: a packet is due at its timestamp's time plus `offset_us`. */
    bool begun, played_any, settled;
    uint8_t epoch, overdue;
    uint16_t newest, played;
    uint32_t ssrc, clock, timestamp;
    uint64_t window; /* bit n: played - n has been played */
    int64_t media_us, offset_us;
    uint64_t arrived_us, turned_us;
    struct vos_extremes now, before;
    /* The packets. */
    uint8_t first, last, held, free_slot, free_cell, free_cells, cells;
    struct vos_slot slot[VOS_HELD];
    uint8_t next_cell[VOS_CELLS];
    uint8_t memory[]; /* cells × VOS_CELL */
};

#define VOS_NOTHING 0xff

enum vos_put { VOS_PUT_HELD, VOS_PUT_LATE, VOS_PUT_DUPLICATE, VOS_PUT_PASS };

enum vos_put vos_playout_put(struct vos_playout *playout, const uint8_t *packet, size_t length,
                             const struct vos_rtp *rtp, uint32_t clock, uint64_t now_us);
size_t vos_playout_take(struct vos_playout *playout, uint64_t now_us, uint8_t *packet, struct vos_rtp *rtp);
uint64_t vos_playout_due(const struct vos_playout *playout); /* of the next packet; UINT64_MAX: there is none */
uint32_t vos_playout_delay_us(const struct vos_playout *playout);

#endif
