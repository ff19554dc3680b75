/* The round trip to a far end, from reports that others send (RFC 3550 §6.4.1): the relay notes when a sender
 * report leaves by a leg, and the receiver's answer says which report it means and how long it kept it. */
#include "internal.h"

#define SENDER_REPORT 200
#define RECEIVER_REPORT 201
#define BLOCK 24

static uint32_t read32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void answered(struct vos_leg *leg, uint32_t report, uint32_t kept, uint64_t now_us)
{
    for (int i = 0; report && i < VOS_REPORTS; i++) {
        const struct vos_report *sent = &leg->report[i];
        uint64_t kept_us = (uint64_t)kept * 1000000u >> 16;
        if (sent->middle != report || !sent->at_us)
            continue;
        if (now_us > sent->at_us + kept_us)
            leg->entry.counters.rtt_us = (uint32_t)(now_us - sent->at_us - kept_us);
        return;
    }
}

static void noted(struct vos_leg *leg, uint32_t middle, uint64_t now_us)
{
    leg->report[leg->reports++ % VOS_REPORTS] = (struct vos_report){.middle = middle, .at_us = now_us};
}

/* A valid compound packet that came on `leg` and leaves by `other`. */
void vos_rtcp_note(struct vos_leg *leg, struct vos_leg *other, const uint8_t *packet, size_t length, uint64_t now_us)
{
    for (size_t at = 0, part; at + 8 <= length; at += part) {
        uint8_t kind = packet[at + 1];
        size_t head = kind == SENDER_REPORT ? 28 : 8;
        part = 4u * ((size_t)(packet[at + 2] << 8 | packet[at + 3]) + 1u);
        if (kind != SENDER_REPORT && kind != RECEIVER_REPORT)
            continue;
        if (part < head || part > length - at)
            return;
        if (kind == SENDER_REPORT)
            noted(other, read32(packet + at + 10), now_us);
        for (size_t block = at + head; block + BLOCK <= at + part; block += BLOCK)
            answered(leg, read32(packet + block + 16), read32(packet + block + 20), now_us);
    }
}
