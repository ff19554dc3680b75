/* Runs hostile packets through the parsers and every transform. Input: a 16-bit length and so many bytes, repeated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../fuzz/transforms.h"
#include "internal.h"

int main(void)
{
    uint8_t head[2];
    struct vos_judge *judge = vos_judge_new();
    struct vos_leg *leg = calloc(1, sizeof *leg);
    unsigned long rtp_good = 0, rtcp_good = 0, all = 0;
    for (int i = 0; i < VOS_CLOCKS; i++)
        leg->clocks[i] = 8000;
    while (fread(head, 1, 2, stdin) == 2) {
        size_t length = (size_t)(head[0] << 8 | head[1]);
        uint8_t *packet = malloc(length ? length : 1);
        struct vos_rtp rtp;
        if (fread(packet, 1, length, stdin) != length)
            return 2;
        all++;
        rtcp_good += vos_rtcp_valid(packet, length) == 0;
        vos_is_rtcp(packet, length);
        if (vos_rtp_parse(packet, length, &rtp) == 0) {
            rtp_good++;
            if (rtp.header > length)
                abort();
            vos_stats_update(leg, &rtp, length, all * 20000);
            vos_judge_packet(judge, rtp.payload_type & 8, rtp.ssrc & 1, packet + rtp.header, length - rtp.header);
        }
        transforms(packet, length);
        free(packet);
    }
    printf("{\"all\":%lu,\"rtp\":%lu,\"rtcp\":%lu}\n", all, rtp_good, rtcp_good);
    free(judge);
    free(leg);
    return 0;
}
