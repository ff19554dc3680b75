/* Plays a trace through the jitter buffer on a clock of its own, in steps of a millisecond.
 *
 * In: "adaptive minimum maximum start", then lines of "arrival_us sequence timestamp ssrc size". Out: a line for each
 * packet, "sent_us sequence timestamp ssrc bad", then one of "late duplicate passed delay_us". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "playout.h"

void vos_wipe(void *memory, size_t length)
{
    memset(memory, 0, length);
}

static void play(struct vos_playout *playout, uint64_t now, uint64_t limit)
{
    uint8_t packet[VOS_PLAYOUT_PACKET];
    struct vos_rtp rtp;
    size_t length;
    while ((length = vos_playout_take(playout, limit, packet, &rtp))) {
        bool bad = false;
        for (size_t i = 0; i < length; i++)
            bad |= packet[i] != (uint8_t)(rtp.sequence + i);
        printf("%" PRIu64 " %u %" PRIu32 " %" PRIu32 " %d\n", now, rtp.sequence, rtp.timestamp, rtp.ssrc, bad);
    }
}

int main(void)
{
    struct vos_playout_conf conf = {.on = 1};
    struct vos_playout *playout;
    uint64_t arrival, now = 0;
    struct vos_rtp rtp = {.header = 12};
    size_t size;
    unsigned long count[4] = {0};
    if (scanf("%" SCNu8 " %" SCNu16 " %" SCNu16 " %" SCNu16, &conf.adaptive, &conf.minimum, &conf.maximum,
              &conf.start) != 4 || vos_playout_new(&conf, &playout))
        return 1;
    while (scanf("%" SCNu64 " %" SCNu16 " %" SCNu32 " %" SCNu32 " %zu", &arrival, &rtp.sequence, &rtp.timestamp,
                 &rtp.ssrc, &size) == 5) {
        uint8_t packet[4096];
        if (!now)
            now = arrival / 1000 * 1000;
        for (; now + 1000 <= arrival; now += 1000)
            play(playout, now, now);
        for (size_t i = 0; i < size; i++)
            packet[i] = (uint8_t)(rtp.sequence + i);
        enum vos_put put = vos_playout_put(playout, packet, size, &rtp, 8000, arrival);
        count[put]++;
        if (put == VOS_PUT_PASS) {
            play(playout, arrival, UINT64_MAX);
            printf("%" PRIu64 " %u %" PRIu32 " %" PRIu32 " 0\n", arrival, rtp.sequence, rtp.timestamp, rtp.ssrc);
        }
    }
    uint32_t delay = vos_playout_delay_us(playout);
    for (uint64_t end = now + 1000000; now < end; now += 1000)
        play(playout, now, now);
    printf("%lu %lu %lu %" PRIu32 "\n", count[VOS_PUT_LATE], count[VOS_PUT_DUPLICATE], count[VOS_PUT_PASS], delay);
    vos_playout_free(playout);
    return 0;
}
