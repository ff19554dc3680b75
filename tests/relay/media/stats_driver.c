/* Feeds the data plane's RFC 3550 counters with a trace: lines of "arrival_us sequence timestamp ssrc payload_type". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

int main(void)
{
    struct vos_leg *leg = calloc(1, sizeof *leg);
    uint64_t now;
    struct vos_rtp rtp = {0};
    for (int i = 0; i < VOS_CLOCKS; i++)
        leg->clocks[i] = i == 111 ? 48000 : 8000;
    while (scanf("%" SCNu64 " %" SCNu16 " %" SCNu32 " %" SCNu32 " %" SCNu8, &now, &rtp.sequence, &rtp.timestamp,
                 &rtp.ssrc, &rtp.payload_type) == 5)
        vos_stats_update(leg, &rtp, 172, now);
    const struct vos_counters *c = &leg->entry.counters;
    printf("{\"packets\":%" PRIu64 ",\"expected\":%" PRIu64 ",\"reordered\":%" PRIu64 ",\"duplicate\":%" PRIu64
           ",\"jitter_us\":%" PRIu32 ",\"sources\":%" PRIu32 ",\"loss_runs\":%" PRIu64 ",\"run_lost\":%" PRIu64
           ",\"burst_lost\":%" PRIu64
           ",\"ptime_us\":%" PRIu32 "}\n",
           c->packets, c->expected, c->reordered, c->duplicate, c->jitter_us, c->sources, c->loss_runs,
           c->run_lost, c->burst_lost, c->ptime_us);
    free(leg);
    return 0;
}
