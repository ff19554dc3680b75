/* A fuzzer's input as a stream of choices; where it ends, zeros go on. */
#ifndef VOS_FEED_H
#define VOS_FEED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct feed {
    const uint8_t *data;
    size_t left;
};

static inline uint8_t feed8(struct feed *feed)
{
    if (!feed->left)
        return 0;
    feed->left--;
    return *feed->data++;
}

static inline uint32_t feed32(struct feed *feed, int bytes)
{
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | feed8(feed);
    return value;
}

/* Copies up to `most` bytes, and returns how many there were. */
static inline size_t feed_bytes(struct feed *feed, uint8_t *out, size_t most)
{
    size_t part = feed->left < most ? feed->left : most;
    memcpy(out, feed->data, part);
    feed->data += part;
    feed->left -= part;
    return part;
}

static inline void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* An RTP header of 12 bytes (RFC 3550 §5.1). */
static inline void put_header(uint8_t *at, uint8_t type, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
    at[0] = 0x80;
    at[1] = type;
    at[2] = (uint8_t)(sequence >> 8);
    at[3] = (uint8_t)sequence;
    put32(at + 4, timestamp);
    put32(at + 8, ssrc);
}

#endif
