/* Loss, order and jitter of what one far end sends (RFC 3550 A.1, A.3, A.8). */
#include <stdlib.h>

#include "internal.h"

#define MAX_DROPOUT 3000
#define MAX_MISORDER 100
#define NO_SEQUENCE (1u << 16) /* never equals a 16-bit number */

static uint64_t expected(const struct vos_source *source)
{
    return source->cycles + source->highest - source->base + 1u;
}

static void begin(struct vos_source *source, const struct vos_rtp *rtp)
{
    if (source->known)
        source->expected_prior += expected(source);
    source->known = true;
    source->ssrc = rtp->ssrc;
    source->base = source->highest = rtp->sequence;
    source->cycles = 0;
    source->bad_sequence = NO_SEQUENCE;
    source->window = 1;
    source->run = 0;
    source->clock = 0;
}

/* What falls out of the window unseen is lost for good: only then is a gap known, and how long it is. */
static void close_run(struct vos_leg *leg)
{
    struct vos_source *source = &leg->source;
    struct vos_counters *counters = &leg->entry.counters;
    counters->loss_runs += source->run > 0;
    counters->run_lost += source->run;
    counters->burst_lost += source->run > 1 ? source->run : 0;
    source->run = 0;
}

static void shift(struct vos_leg *leg, uint16_t ahead)
{
    struct vos_source *source = &leg->source;
    uint64_t known = source->cycles + source->highest - source->base + 1u;
    for (uint16_t i = 0; i < ahead; i++, known++) {
        if (known >= 64 && source->window >> 63)
            close_run(leg);
        else if (known >= 64)
            source->run++;
        source->window <<= 1;
    }
    source->window |= 1;
}

static void late(struct vos_leg *leg, uint16_t behind)
{
    struct vos_source *source = &leg->source;
    uint64_t bit = behind < 64 ? (uint64_t)1 << behind : 0;
    if (source->window & bit)
        leg->entry.counters.duplicate++;
    else
        leg->entry.counters.reordered++;
    source->window |= bit;
}

/* A.1. A jump is believed at the second packet that follows it; until then it is neither loss nor order. */
static bool follow(struct vos_leg *leg, const struct vos_rtp *rtp)
{
    struct vos_source *source = &leg->source;
    uint16_t ahead = (uint16_t)(rtp->sequence - source->highest);
    if (ahead == 0) {
        late(leg, 0);
    } else if (ahead < MAX_DROPOUT) {
        shift(leg, ahead);
        if (rtp->sequence < source->highest)
            source->cycles += 1u << 16;
        source->highest = rtp->sequence;
    } else if (ahead <= 65536 - MAX_MISORDER) {
        if (rtp->sequence == source->bad_sequence)
            return false;
        source->bad_sequence = (uint16_t)(rtp->sequence + 1);
        source->expected_prior++; /* it came, whatever it is; so it is not missing either */
    } else {
        late(leg, (uint16_t)-ahead);
    }
    return true;
}

/* A.8, in ticks of the payload type's clock; a change of clock begins anew, the estimate stays. */
static void jitter(struct vos_leg *leg, const struct vos_rtp *rtp, uint64_t now_us)
{
    struct vos_source *source = &leg->source;
    uint32_t clock = leg->clocks[rtp->payload_type];
    uint32_t arrival = (uint32_t)((__uint128_t)now_us * clock / 1000000u);
    uint32_t transit = arrival - rtp->timestamp;
    if (clock == source->clock) {
        uint32_t change = (uint32_t)abs((int32_t)(transit - source->transit));
        source->jitter += change - ((source->jitter + 8) >> 4);
        leg->entry.counters.jitter_us = (uint32_t)((uint64_t)(source->jitter >> 4) * 1000000u / clock);
    }
    source->clock = clock;
    source->transit = transit;
}

/* How much sound is in a packet. A step that comes twice running is believed: a pause is a longer one, once. */
static void spacing(struct vos_leg *leg, const struct vos_rtp *rtp)
{
    struct vos_source *source = &leg->source;
    uint32_t step = rtp->timestamp - source->timestamp, clock = leg->clocks[rtp->payload_type];
    source->timestamp = rtp->timestamp;
    if ((uint16_t)(rtp->sequence - source->highest) != 1 || !step || step > clock)
        return;
    if (step == source->step)
        leg->entry.counters.ptime_us = (uint32_t)((uint64_t)step * 1000000u / clock);
    source->step = step;
}

void vos_stats_update(struct vos_leg *leg, const struct vos_rtp *rtp, size_t length, uint64_t now_us)
{
    struct vos_source *source = &leg->source;
    struct vos_counters *counters = &leg->entry.counters;
    spacing(leg, rtp);
    if (!source->known || source->ssrc != rtp->ssrc || !follow(leg, rtp)) {
        if (!source->known || source->ssrc != rtp->ssrc)
            source->jitter = 0;
        begin(source, rtp);
        counters->sources++;
        counters->ssrc = rtp->ssrc;
    }
    jitter(leg, rtp, now_us);
    counters->packets++;
    counters->bytes += length;
    counters->payload_type = rtp->payload_type;
    counters->expected = source->expected_prior + expected(source);
}
