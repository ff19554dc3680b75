/* RTP and RTCP headers (RFC 3550 §5.1, §6.1; RFC 5761 §4): bounds are checked before a byte is read. */
#include <errno.h>

#include "internal.h"

#define RTP_FIXED 12
#define RTCP_FIXED 8

static uint16_t read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int vos_rtp_parse(const uint8_t *packet, size_t length, struct vos_rtp *out)
{
    if (length < RTP_FIXED || packet[0] >> 6 != 2)
        return -EBADMSG;
    size_t header = RTP_FIXED + 4u * (packet[0] & 0x0f);
    if (packet[0] & 0x10) {
        if (length < header + 4)
            return -EBADMSG;
        header += 4 + 4u * read16(packet + header + 2);
    }
    if (length < header)
        return -EBADMSG;
    out->payload_type = packet[1] & 0x7f;
    out->sequence = read16(packet + 2);
    out->timestamp = read32(packet + 4);
    out->ssrc = read32(packet + 8);
    out->header = header;
    return 0;
}

int vos_rtp_header(const uint8_t *packet, size_t length)
{
    struct vos_rtp rtp;
    int error = vos_rtp_parse(packet, length, &rtp);
    return error ? error : (int)rtp.header;
}

/* A compound packet, or a reduced one (RFC 5506): every part is version 2, a known type, and ends inside. */
int vos_rtcp_valid(const uint8_t *packet, size_t length)
{
    size_t at = 0;
    if (length < RTCP_FIXED)
        return -EBADMSG;
    while (at < length) {
        if (length - at < 4 || packet[at] >> 6 != 2 || packet[at + 1] < 192 || packet[at + 1] > 223)
            return -EBADMSG;
        size_t part = 4u * (read16(packet + at + 2) + 1u);
        if (part > length - at)
            return -EBADMSG;
        at += part;
    }
    return 0;
}

/* RFC 5761 §4: with multiplexing, payload types 64 to 95 are RTCP packet types 192 to 223. */
bool vos_is_rtcp(const uint8_t *packet, size_t length)
{
    return length >= 2 && (packet[1] & 0x7f) >= 64 && (packet[1] & 0x7f) <= 95;
}

bool vos_type_listed(const uint8_t set[16], uint8_t payload_type)
{
    return set[payload_type >> 3] >> (payload_type & 7) & 1;
}

bool vos_type_fits(const uint8_t set[16], uint8_t payload_type)
{
    uint8_t any = 0;
    for (int i = 0; i < 16; i++)
        any |= set[i];
    return !any || vos_type_listed(set, payload_type);
}
