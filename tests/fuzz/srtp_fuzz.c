/* libFuzzer's target for SRTP and SRTCP: what is sealed opens to what it was, once; what is bent or foreign does not.
 *
 * The first byte makes suite and keys. Then steps: a packet that is sealed, bent by one bit, opened, opened again; or
 * bytes that nobody sealed. */
#include <errno.h>
#include <stdlib.h>

#include "feed.h"
#include "internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAYLOAD_MAX 300
#define HEADER_MAX 76 /* 15 CSRCs and the fixed part; one word of extension */

static const enum vos_mode suites[] = {VOS_SRTP_80, VOS_SRTP_32, VOS_SRTP_GCM};

struct peers {
    struct vos_srtp *sender, *receiver, *stranger;
};

static struct vos_srtp *context(uint8_t first, uint8_t shift)
{
    struct vos_transform how = {.mode = suites[first % 3]};
    struct vos_srtp *made;
    how.key_len = how.mode == VOS_SRTP_GCM ? 28 : 30;
    for (uint8_t i = 0; i < how.key_len; i++)
        how.key[i] = (uint8_t)(first * 31 + i * 7 + shift);
    if (vos_srtp_create(&how, &made))
        abort();
    return made;
}

/* Exactly as large as the interface asks for, so that a byte too far is seen. */
static uint8_t *copy_of(const uint8_t *packet, size_t length)
{
    uint8_t *copy = malloc(length + VOS_TRAILER);
    memcpy(copy, packet, length);
    return copy;
}

static int once(struct vos_srtp *srtp, const uint8_t *packet, size_t length, bool rtcp, uint8_t *out, size_t *out_len)
{
    uint8_t *copy = copy_of(packet, length);
    size_t left = length;
    int error = vos_srtp_packet(srtp, copy, &left, 0, rtcp);
    if (!error && left > length)
        abort();
    if (!error && out)
        memcpy(out, copy, *out_len = left);
    free(copy);
    return error;
}

static void sealed(struct peers *peers, const uint8_t *plain, size_t length, bool rtcp, uint32_t bend)
{
    uint8_t *packet = copy_of(plain, length), opened[HEADER_MAX + PAYLOAD_MAX + VOS_TRAILER];
    size_t whole = length, opened_len = 0;
    if (vos_srtp_packet(peers->sender, packet, &whole, 1, rtcp) == 0) {
        if (whole <= length || whole > length + VOS_TRAILER)
            abort();
        packet[bend / 8 % whole] ^= (uint8_t)(1u << bend % 8);
        if (once(peers->receiver, packet, whole, rtcp, NULL, NULL) == 0)
            abort(); /* a bent packet was believed */
        packet[bend / 8 % whole] ^= (uint8_t)(1u << bend % 8);
        if (once(peers->stranger, packet, whole, rtcp, NULL, NULL) == 0)
            abort(); /* of another key */
        if (once(peers->receiver, packet, whole, rtcp, opened, &opened_len) || opened_len != length ||
            memcmp(opened, plain, length))
            abort();
        if (once(peers->receiver, packet, whole, rtcp, NULL, NULL) != -EEXIST)
            abort(); /* a replay was believed */
    }
    free(packet);
}

static void step(struct feed *feed, struct peers *peers, uint16_t *sequence)
{
    uint8_t kind = feed8(feed), packet[HEADER_MAX + PAYLOAD_MAX] = {0};
    bool rtcp = kind & 1;
    size_t header = 8, length;
    if (kind & 2) {
        length = feed_bytes(feed, packet, feed8(feed));
        once(peers->receiver, packet, length, rtcp, NULL, NULL);
        return;
    }
    uint32_t bend = feed32(feed, 2);
    if (rtcp) {
        memcpy(packet, "\x80\xc9\x00\x01", 4);
        packet[7] = kind >> 6;
    } else {
        *sequence = (uint16_t)(*sequence + feed32(feed, 2));
        header = 12 + 4u * (kind >> 2 & 15);
        put_header(packet, 8, *sequence, bend, kind >> 6);
        packet[0] = (uint8_t)(0x80 | (kind >> 2 & 15));
    }
    length = header + feed_bytes(feed, packet + header, feed8(feed));
    sealed(peers, packet, length, rtcp, bend);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed feed = {data, size};
    uint8_t first = feed8(&feed);
    uint16_t sequence = 65500;
    struct peers peers = {context(first, 0), context(first, 0), context(first, 1)};
    while (feed.left)
        step(&feed, &peers, &sequence);
    vos_srtp_free(peers.sender);
    vos_srtp_free(peers.receiver);
    vos_srtp_free(peers.stranger);
    return 0;
}
