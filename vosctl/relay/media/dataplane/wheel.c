/* When the jitter buffers of a worker play: a wheel of milliseconds, so that a thousand buffers cost no more a
 * packet than one. */
#include <string.h>

#include "playout.h"

#define TAIL 256 /* room for what authentication appends */

static void unhook(struct vos_wheel *wheel, struct vos_playout *playout)
{
    if (!playout->link)
        return;
    *playout->link = playout->after;
    if (playout->after)
        playout->after->link = playout->link;
    if (!wheel->bucket[playout->bucket])
        wheel->busy[playout->bucket / 64] &= ~((uint64_t)1 << playout->bucket % 64);
    playout->link = NULL;
    wheel->count--;
}

/* Into the millisecond at which its next packet is due, or the next one that is still to come. */
static void hook(struct vos_wheel *wheel, struct vos_playout *playout)
{
    uint64_t due_ms = (vos_playout_due(playout) + 500) / 1000;
    unhook(wheel, playout);
    if (!playout->held)
        return;
    due_ms = due_ms <= wheel->ms ? wheel->ms + 1 : due_ms;
    due_ms = due_ms >= wheel->ms + VOS_WHEEL ? wheel->ms + VOS_WHEEL - 1 : due_ms;
    playout->bucket = (uint16_t)(due_ms % VOS_WHEEL);
    playout->link = &wheel->bucket[playout->bucket];
    playout->after = *playout->link;
    if (playout->after)
        playout->after->link = &playout->after;
    *playout->link = playout;
    wheel->busy[playout->bucket / 64] |= (uint64_t)1 << playout->bucket % 64;
    wheel->count++;
}

static void play(struct vos_worker *worker, struct vos_playout *playout, uint64_t now_us)
{
    uint8_t packet[VOS_PLAYOUT_PACKET + TAIL];
    struct vos_rtp rtp;
    size_t length;
    while ((length = vos_playout_take(playout, now_us, packet, &rtp)))
        vos_relay_pass(worker, playout->stream, playout->side, packet, length, &rtp);
}

/* Whether the buffer has taken the packet over: it waits there, or was late or a duplicate. */
bool vos_wheel_hold(struct vos_worker *worker, struct vos_leg *leg, const uint8_t *packet, size_t length,
                    const struct vos_rtp *rtp)
{
    struct vos_playout *playout = leg->playout;
    struct vos_wheel *wheel = &worker->wheel;
    if (!wheel->count)
        wheel->ms = worker->now_us / 1000;
    enum vos_put put =
        vos_playout_put(playout, packet, length, rtp, leg->clocks[rtp->payload_type], worker->now_us);
    leg->entry.counters.playout_us = vos_playout_delay_us(playout);
    if (put == VOS_PUT_LATE)
        leg->entry.counters.late++;
    if (put == VOS_PUT_PASS)
        play(worker, playout, UINT64_MAX); /* what waits is older */
    hook(wheel, playout);
    return put != VOS_PUT_PASS;
}

/* The buffer that was there comes back in `given`, empty, for the host to free. */
void vos_wheel_swap(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, struct vos_playout **given)
{
    struct vos_leg *leg = &stream->leg[side];
    struct vos_playout *old = leg->playout;
    if (old) {
        unhook(&worker->wheel, old);
        play(worker, old, UINT64_MAX);
    }
    leg->playout = *given;
    *given = old;
    vos_wheel_join(stream);
    leg->entry.counters.playout_us = 0;
}

void vos_wheel_join(struct vos_stream *stream)
{
    for (uint8_t side = 0; side < 2; side++) {
        struct vos_playout *playout = stream->leg[side].playout;
        if (playout) {
            playout->stream = stream;
            playout->side = side;
        }
    }
}

void vos_wheel_leave(struct vos_worker *worker, struct vos_stream *stream)
{
    for (int side = 0; side < 2; side++)
        if (stream->leg[side].playout)
            unhook(&worker->wheel, stream->leg[side].playout);
}

/* Milliseconds from `wheel->ms` to the next one in which something is due; `most` when that is later. */
static int next_ms(const struct vos_wheel *wheel, int most)
{
    for (int ahead = 1; ahead < most && ahead < VOS_WHEEL; ahead++) {
        uint64_t at = (wheel->ms + (uint64_t)ahead) % VOS_WHEEL;
        uint64_t rest = wheel->busy[at / 64] >> at % 64;
        if (rest & 1)
            return ahead;
        if (!rest)
            ahead += 63 - (int)(at % 64);
    }
    return most;
}

/* Plays what is due, and returns for how many milliseconds, `wait_ms` at most, nothing will be. */
int vos_wheel_run(struct vos_worker *worker, int wait_ms)
{
    struct vos_wheel *wheel = &worker->wheel;
    if (!wheel->count)
        return wait_ms;
    uint64_t now_us = vos_now_us(), now_ms = now_us / 1000;
    if (now_ms > wheel->ms + VOS_WHEEL)
        wheel->ms = now_ms - VOS_WHEEL; /* one round finds them all */
    while (wheel->ms < now_ms) {
        uint64_t step = (uint64_t)next_ms(wheel, VOS_WHEEL);
        wheel->ms = wheel->ms + step > now_ms ? now_ms : wheel->ms + step;
        struct vos_playout *due = wheel->bucket[wheel->ms % VOS_WHEEL];
        while (due) {
            struct vos_playout *next = due->after;
            play(worker, due, wheel->ms * 1000 + 500);
            hook(wheel, due);
            due = next;
        }
    }
    return wheel->count ? next_ms(wheel, wait_ms) : wait_ms;
}
