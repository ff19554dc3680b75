/* The jitter buffer: mends the order, and plays packets out on their own RTP clock.
 *
 * A packet's transit is its arrival minus the time that its timestamp stands for. The least transit of the last
 * seconds is that of a packet which waited nowhere; the buffer plays each packet `delay` after such a one would
 * have come. A fixed buffer keeps that delay; an adaptive one follows the spread of the transits, a quarter above
 * it, within its bounds: quickly up, slowly down. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "playout.h"

#define TURN_US 5000000u   /* extremes are kept for one to two of these */
#define GAP_US 500000u     /* after such a silence the schedule begins anew */
#define JUMP_US 5000000    /* a transit so far off is another clock, not delay */
#define JUMP_SEQUENCE 1000 /* and so is such a step of the sequence number */
#define OVERDUE 5          /* so many late ones in a row: the path is longer now */
#define RENUMBERED 25      /* so many: it is not the path, the sender counts anew */
#define MARGIN_US 1000     /* the timer's own grain */

int vos_playout_new(const struct vos_playout_conf *conf, struct vos_playout **out)
{
    *out = NULL;
    if (!conf->on)
        return 0;
    if (!conf->minimum || conf->minimum > conf->start || conf->start > conf->maximum ||
        conf->maximum > VOS_PLAYOUT_MAX)
        return -EINVAL;
    size_t cells = conf->maximum / 10u + 8u; /* packets of 10 ms and some more */
    struct vos_playout *playout = calloc(1, sizeof *playout + cells * VOS_CELL);
    if (!playout)
        return -ENOMEM;
    playout->minimum_us = conf->minimum * 1000u;
    playout->maximum_us = conf->maximum * 1000u;
    playout->start_us = conf->start * 1000u;
    playout->adaptive = conf->adaptive;
    playout->first = playout->last = VOS_NOTHING;
    playout->cells = playout->free_cells = (uint8_t)cells;
    for (uint8_t i = 0; i < VOS_HELD; i++)
        playout->slot[i].next = i + 1 < VOS_HELD ? i + 1 : VOS_NOTHING;
    for (uint8_t i = 0; i < cells; i++)
        playout->next_cell[i] = i + 1u < cells ? i + 1 : VOS_NOTHING;
    *out = playout;
    return 0;
}

void vos_playout_free(struct vos_playout *playout)
{
    if (!playout)
        return;
    vos_wipe(playout, sizeof *playout + (size_t)playout->cells * VOS_CELL); /* plain sound was in it */
    free(playout);
}

static int64_t floor_us(const struct vos_playout *playout)
{
    return playout->now.least < playout->before.least ? playout->now.least : playout->before.least;
}

uint32_t vos_playout_delay_us(const struct vos_playout *playout)
{
    int64_t delay = playout->begun ? playout->offset_us - floor_us(playout) : 0;
    return delay > 0 ? (uint32_t)delay : 0; /* none is left while a path that has grown longer is not followed yet */
}

static int64_t wanted_us(const struct vos_playout *playout)
{
    if (!playout->adaptive)
        return playout->start_us;
    int64_t most = playout->now.most > playout->before.most ? playout->now.most : playout->before.most;
    int64_t spread = most - floor_us(playout), delay = spread + spread / 4 + MARGIN_US;
    int64_t least = playout->settled ? playout->minimum_us : playout->start_us;
    delay = delay < least ? least : delay;
    return delay > playout->maximum_us ? playout->maximum_us : delay;
}

static void restart(struct vos_playout *playout, const struct vos_rtp *rtp, uint32_t clock, uint64_t now_us)
{
    int64_t delay = playout->begun ? (int64_t)vos_playout_delay_us(playout) : playout->start_us;
    int16_t ahead = (int16_t)(rtp->sequence - playout->newest);
    if (rtp->ssrc != playout->ssrc || ahead > JUMP_SEQUENCE || ahead < -JUMP_SEQUENCE ||
        playout->overdue >= RENUMBERED || !playout->begun) {
        playout->played_any = false;
        playout->epoch++;
        playout->newest = (uint16_t)(rtp->sequence - 1);
    }
    playout->begun = true;
    playout->ssrc = rtp->ssrc;
    playout->clock = clock;
    playout->timestamp = rtp->timestamp;
    playout->media_us = 0;
    playout->turned_us = now_us;
    playout->now = (struct vos_extremes){(int64_t)now_us, (int64_t)now_us};
    playout->before = playout->now;
    playout->offset_us = (int64_t)now_us + delay;
}

static void turn(struct vos_playout *playout, int64_t transit, uint64_t now_us)
{
    if (now_us - playout->turned_us >= TURN_US) {
        playout->turned_us = now_us;
        playout->before = playout->now;
        playout->now = (struct vos_extremes){transit, transit};
        playout->settled = true;
    }
    if (transit < playout->now.least)
        playout->now.least = transit;
    if (transit > playout->now.most)
        playout->now.most = transit;
}

/* Moves the schedule towards what is wanted: up an eighth, down a thirty-second of the time that passes, so that
 * the packets' spacing stays even; up by half while the path is new. What is above the most goes at once. */
static void steer(struct vos_playout *playout, uint64_t passed_us)
{
    int64_t floor = floor_us(playout), wanted = floor + wanted_us(playout);
    int64_t away = wanted - playout->offset_us;
    int64_t up = (int64_t)(passed_us / (playout->settled ? 8 : 2)), down = (int64_t)(passed_us / 32);
    away = away > up ? up : away;
    away = away < -down ? -down : away;
    playout->offset_us += away;
    int64_t most = floor + (playout->adaptive ? playout->maximum_us : playout->start_us);
    if (playout->offset_us > most)
        playout->offset_us = most;
}

static void release(struct vos_playout *playout, uint8_t at)
{
    struct vos_slot *slot = &playout->slot[at];
    for (uint8_t cell = slot->cell; cell != VOS_NOTHING;) {
        uint8_t next = playout->next_cell[cell];
        playout->next_cell[cell] = playout->free_cell;
        playout->free_cell = cell;
        playout->free_cells++;
        cell = next;
    }
    slot->next = playout->free_slot;
    playout->free_slot = at;
}

static uint8_t cells_for(size_t length)
{
    return (uint8_t)((length + VOS_CELL - 1) / VOS_CELL);
}

static uint8_t store(struct vos_playout *playout, const uint8_t *packet, size_t length)
{
    uint8_t first = playout->free_cell, *end = &first, cell = first;
    for (size_t at = 0; at < length; at += VOS_CELL) {
        size_t part = length - at < VOS_CELL ? length - at : VOS_CELL;
        memcpy(playout->memory + (size_t)cell * VOS_CELL, packet + at, part);
        end = &playout->next_cell[cell];
        playout->free_cells--;
        cell = *end;
    }
    playout->free_cell = cell;
    *end = VOS_NOTHING;
    return first;
}

/* The place after which a sequence number belongs; VOS_NOTHING: before all. */
static uint8_t place(const struct vos_playout *playout, uint16_t sequence, bool *known)
{
    uint8_t after = VOS_NOTHING;
    *known = false;
    if (!playout->held)
        return after;
    const struct vos_slot *last = &playout->slot[playout->last];
    if (last->epoch != playout->epoch || (int16_t)(sequence - last->rtp.sequence) > 0)
        return playout->last;
    for (uint8_t at = playout->first; at != VOS_NOTHING; at = playout->slot[at].next) {
        const struct vos_slot *slot = &playout->slot[at];
        int16_t ahead = (int16_t)(sequence - slot->rtp.sequence);
        *known = slot->epoch == playout->epoch && ahead == 0;
        if (slot->epoch == playout->epoch && ahead <= 0)
            break;
        after = at;
    }
    return after;
}

/* None of those before it is to hold a packet up. */
static void hurry(struct vos_playout *playout, uint8_t upto, uint64_t due_us)
{
    if (upto == VOS_NOTHING || playout->slot[upto].due_us <= due_us)
        return;
    for (uint8_t at = playout->first;; at = playout->slot[at].next) {
        if (playout->slot[at].due_us > due_us)
            playout->slot[at].due_us = due_us;
        if (at == upto)
            return;
    }
}

static void insert(struct vos_playout *playout, uint8_t after, const struct vos_slot *given)
{
    uint8_t at = playout->free_slot;
    struct vos_slot *slot = &playout->slot[at];
    playout->free_slot = slot->next;
    *slot = *given;
    if (after == VOS_NOTHING) {
        slot->next = playout->first;
        playout->first = at;
    } else {
        slot->next = playout->slot[after].next;
        playout->slot[after].next = at;
    }
    if (slot->next == VOS_NOTHING)
        playout->last = at;
    playout->held++;
}

static bool begins(const struct vos_playout *playout, const struct vos_rtp *rtp, uint32_t clock, uint64_t now_us,
                   int64_t transit)
{
    if (!playout->begun || rtp->ssrc != playout->ssrc || clock != playout->clock ||
        now_us - playout->arrived_us > GAP_US || playout->overdue >= OVERDUE)
        return true;
    int16_t ahead = (int16_t)(rtp->sequence - playout->newest);
    int64_t off = transit - floor_us(playout);
    return ahead > JUMP_SEQUENCE || ahead < -JUMP_SEQUENCE || off > JUMP_US || off < -JUMP_US;
}

/* Whether a packet that has missed its time is still to be played; the schedule then moves to it. */
static bool wait_for(struct vos_playout *playout, int64_t transit, uint64_t now_us, uint64_t *due_us)
{
    bool playable = playout->adaptive && transit - floor_us(playout) <= playout->maximum_us;
    if (*due_us >= now_us)
        return true;
    if (!playable)
        return false;
    playout->offset_us += (int64_t)(now_us - *due_us);
    *due_us = now_us;
    return true;
}

/* When the packet is due; false: it came too late. The packets of one event, or of one frame, have one timestamp
 * (RFC 4733 §2.5.1.2): they say nothing of the path, and keep the distance that they came at. */
static bool schedule(struct vos_playout *playout, const struct vos_rtp *rtp, uint32_t clock, uint64_t now_us,
                     uint64_t *due_us)
{
    int32_t ticks = (int32_t)(rtp->timestamp - playout->timestamp);
    int64_t media = playout->media_us + (playout->clock ? (int64_t)ticks * 1000000 / playout->clock : 0);
    int64_t transit = (int64_t)now_us - media;
    if (begins(playout, rtp, clock, now_us, transit)) {
        restart(playout, rtp, clock, now_us);
        media = 0;
        transit = (int64_t)now_us;
    } else if (ticks == 0) {
        *due_us = now_us + vos_playout_delay_us(playout);
        playout->arrived_us = now_us;
        return true;
    }
    turn(playout, transit, now_us);
    uint64_t passed = now_us - playout->arrived_us;
    steer(playout, passed > GAP_US ? 0 : passed);
    playout->arrived_us = now_us;
    if ((int16_t)(rtp->sequence - playout->newest) > 0 && ticks > 0) {
        playout->media_us = media;
        playout->timestamp = rtp->timestamp;
    }
    *due_us = (uint64_t)(media + playout->offset_us);
    return wait_for(playout, transit, now_us, due_us);
}

static bool overtaken(const struct vos_playout *playout, uint16_t sequence, bool *again)
{
    uint16_t behind = (uint16_t)(playout->played - sequence);
    if (!playout->played_any || behind > JUMP_SEQUENCE)
        return false;
    *again = behind < 64 && playout->window >> behind & 1;
    return true;
}

enum vos_put vos_playout_put(struct vos_playout *playout, const uint8_t *packet, size_t length,
                             const struct vos_rtp *rtp, uint32_t clock, uint64_t now_us)
{
    struct vos_slot slot = {.rtp = *rtp, .length = (uint16_t)length};
    bool known, again = false;
    if (length > VOS_PLAYOUT_PACKET || !clock)
        return VOS_PUT_PASS;
    bool same = playout->begun && rtp->ssrc == playout->ssrc && now_us - playout->arrived_us <= GAP_US;
    if (same && overtaken(playout, rtp->sequence, &again) && again)
        return VOS_PUT_DUPLICATE;
    uint8_t after = place(playout, rtp->sequence, &known);
    if (same && known)
        return VOS_PUT_DUPLICATE;
    bool in_time = schedule(playout, rtp, clock, now_us, &slot.due_us);
    if (!in_time || overtaken(playout, rtp->sequence, &again)) {
        playout->overdue += playout->overdue < UINT8_MAX;
        return VOS_PUT_LATE;
    }
    playout->overdue = 0;
    if ((int16_t)(rtp->sequence - playout->newest) > 0)
        playout->newest = rtp->sequence;
    if (playout->held == VOS_HELD || playout->free_cells < cells_for(length))
        return VOS_PUT_PASS;
    after = place(playout, rtp->sequence, &known);
    slot.epoch = playout->epoch;
    slot.cell = store(playout, packet, length);
    hurry(playout, after, slot.due_us);
    insert(playout, after, &slot);
    return VOS_PUT_HELD;
}

uint64_t vos_playout_due(const struct vos_playout *playout)
{
    return playout->held ? playout->slot[playout->first].due_us : UINT64_MAX;
}

static void note_played(struct vos_playout *playout, uint16_t sequence)
{
    uint16_t ahead = (uint16_t)(sequence - playout->played);
    playout->window = playout->played_any && ahead < 64 ? playout->window << ahead | 1 : 1;
    playout->played = sequence;
    playout->played_any = true;
}

/* Copies the next packet out when it is due, and returns its length; 0: none is. */
size_t vos_playout_take(struct vos_playout *playout, uint64_t now_us, uint8_t *packet, struct vos_rtp *rtp)
{
    if (!playout->held || vos_playout_due(playout) > now_us)
        return 0;
    uint8_t at = playout->first;
    struct vos_slot *slot = &playout->slot[at];
    size_t copied = 0, length = slot->length;
    for (uint8_t cell = slot->cell; cell != VOS_NOTHING; cell = playout->next_cell[cell]) {
        size_t part = length - copied < VOS_CELL ? length - copied : VOS_CELL;
        memcpy(packet + copied, playout->memory + (size_t)cell * VOS_CELL, part);
        copied += part;
    }
    *rtp = slot->rtp;
    if (slot->epoch == playout->epoch)
        note_played(playout, rtp->sequence);
    playout->first = slot->next;
    if (playout->first == VOS_NOTHING)
        playout->last = VOS_NOTHING;
    playout->held--;
    release(playout, at);
    return length;
}
