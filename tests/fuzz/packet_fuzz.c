/* libFuzzer's target for the packet path: parsers, transforms, counters, and who may send. `make fuzz` builds it.
 *
 * The first byte chooses rule and address of the sender, the rest is the packet. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "transforms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vos_addr address(uint8_t last, uint16_t port)
{
    struct vos_addr addr = {.family = AF_INET, .port = port};
    addr.ip[0] = 127;
    addr.ip[3] = last;
    return addr;
}

/* Nobody but the host that the rule names is ever taken. */
static void learns(uint8_t choice, const struct vos_rtp *rtp, struct vos_leg *leg)
{
    struct vos_leg_conf conf = {.learn = choice % 3, .remote = address(2, 4000), .from = address(3, 0)};
    struct vos_addr sender = address(2 + (choice >> 2) % 4, 4000 + (choice >> 4) % 2 * 2);
    bool locked;
    memset(leg->entry.match.payload_types, 0xFF, sizeof leg->entry.match.payload_types);
    vos_learn_set(leg, &conf);
    vos_learn_set_rtcp(leg, &conf);
    for (uint16_t i = 0; i < 8; i++) {
        struct vos_rtp next = *rtp;
        next.sequence = (uint16_t)(rtp->sequence + i);
        bool taken = vos_learn_rtp(leg, &sender, &next, 1000u * i, &locked);
        if (taken && conf.learn == VOS_LEARN_SDP)
            abort();
        if (taken && conf.learn == VOS_LEARN_NAT && !vos_addr_same_host(&sender, &conf.from))
            abort();
    }
    if (vos_learn_rtcp(leg, &sender) && conf.learn == VOS_LEARN_SDP && !vos_addr_same_host(&sender, &conf.remote))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vos_leg *leg, *other;
    static struct vos_judge *judge;
    static uint64_t now_us;
    struct vos_rtp rtp;
    if (!size)
        return 0;
    if (!leg) {
        leg = calloc(1, sizeof *leg);
        other = calloc(1, sizeof *other);
        judge = vos_judge_new();
        for (int i = 0; i < VOS_CLOCKS; i++)
            leg->clocks[i] = 8000;
    }
    uint8_t choice = data[0];
    size_t length = size - 1;
    uint8_t *packet = malloc(length ? length : 1);
    memcpy(packet, data + 1, length);
    if (vos_rtcp_valid(packet, length) == 0)
        vos_rtcp_note(leg, other, packet, length, now_us);
    vos_is_rtcp(packet, length);
    if (vos_rtp_parse(packet, length, &rtp) == 0) {
        if (rtp.header > length)
            abort();
        vos_stats_update(leg, &rtp, length, now_us += 20000);
        vos_judge_packet(judge, rtp.payload_type & 8, rtp.ssrc & 1, packet + rtp.header, length - rtp.header);
        learns(choice, &rtp, leg);
    }
    transforms(packet, length);
    free(packet);
    return 0;
}
