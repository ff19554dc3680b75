/* What becomes of a packet that passes: blocked, silenced, or digits in the place of its sound.
 *
 * A digit takes the place of packets that pass anyway: their sequence numbers stay, so that the stream's other end
 * sees one unbroken stream (RFC 4733 §2.5.1.2). Where the other end knows no telephone-event, tones as G.711. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define EVENT_BYTES 4
#define EVENT_ENDS 3 /* how often the last report of an event is sent (RFC 4733 §2.5.1.4) */
#define EVENT_END 0x80
#define MARKER 0x80
#define PADDING 0x20
#define SPAN_MAX 960 /* 120 ms; a longer step is a pause of the sender */

struct vos_digits {
    uint8_t payload_type; /* telephone-event, or of the sound that tones replace */
    bool tones, begun;
    uint32_t start, last, span; /* RTP timestamps */
    uint32_t at, ends;          /* the event that is sent, and how often its end was */
    uint32_t count;
    size_t length; /* of the tones, in samples */
    struct vos_digit digit[VOS_DIGITS];
    uint8_t sound[];
};

int vos_digits_new(const struct vos_digits_conf *conf, const uint8_t *sound, size_t length, struct vos_digits **out)
{
    *out = NULL;
    if (!conf->count && !length)
        return 0;
    if (conf->count > VOS_DIGITS || length > VOS_SOUND_MAX || conf->payload_type > 127)
        return -EINVAL;
    struct vos_digits *digits = calloc(1, sizeof *digits + length);
    if (!digits)
        return -ENOMEM;
    digits->payload_type = conf->payload_type;
    digits->tones = length > 0;
    digits->count = conf->count;
    digits->length = length;
    digits->span = 160;
    memcpy(digits->digit, conf->digit, sizeof digits->digit);
    if (length)
        memcpy(digits->sound, sound, length);
    *out = digits;
    return 0;
}

void vos_digits_free(struct vos_digits *digits)
{
    free(digits);
}

static void write32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The part of the tones that belongs at this timestamp. Returns whether there is any left. */
static bool tones(struct vos_digits *digits, uint8_t *packet, size_t length, const struct vos_rtp *rtp)
{
    uint32_t from = rtp->timestamp - digits->start;
    size_t left = length - rtp->header;
    if (rtp->payload_type != digits->payload_type || from >= digits->length)
        return from < digits->length;
    if (left > digits->length - from)
        left = digits->length - from;
    memcpy(packet + rtp->header, digits->sound + from, left);
    return from + left < digits->length;
}

static size_t report(struct vos_digits *digits, uint8_t *packet, struct vos_rtp *rtp, uint32_t duration)
{
    const struct vos_digit *digit = &digits->digit[digits->at];
    bool first = rtp->timestamp == digits->start, last = duration >= digit->duration;
    uint8_t *event = packet + rtp->header;
    if (last)
        duration = digit->duration;
    packet[0] &= (uint8_t)~PADDING;
    packet[1] = (uint8_t)(digits->payload_type | (first ? MARKER : 0));
    write32(packet + 4, digits->start);
    event[0] = digit->code;
    event[1] = (uint8_t)(digit->volume | (last ? EVENT_END : 0));
    event[2] = (uint8_t)(duration >> 8);
    event[3] = (uint8_t)duration;
    digits->ends += last;
    rtp->payload_type = digits->payload_type;
    rtp->timestamp = digits->start;
    return rtp->header + EVENT_BYTES;
}

/* Between two digits the sound passes; the next one begins when the pause is over. */
static bool paused(struct vos_digits *digits, uint32_t since)
{
    const struct vos_digit *digit = &digits->digit[digits->at];
    if (digits->ends < EVENT_ENDS)
        return false;
    if (since < (uint32_t)digit->duration + digit->pause)
        return true;
    digits->at++;
    digits->ends = 0;
    return false;
}

static size_t events(struct vos_digits *digits, uint8_t *packet, size_t length, struct vos_rtp *rtp)
{
    uint32_t since = rtp->timestamp - digits->start, at = digits->at;
    if (length < rtp->header + EVENT_BYTES || paused(digits, since) || digits->at == digits->count)
        return length;
    if (digits->at != at) {
        digits->start = rtp->timestamp;
        since = 0;
    }
    return report(digits, packet, rtp, since + digits->span);
}

static size_t sound_digits(struct vos_leg *leg, uint8_t *packet, size_t length, struct vos_rtp *rtp)
{
    struct vos_digits *digits = leg->digits;
    if (!digits->begun)
        digits->start = digits->last = rtp->timestamp;
    digits->begun = true;
    uint32_t step = rtp->timestamp - digits->last;
    if (step && step <= SPAN_MAX)
        digits->span = step;
    digits->last = rtp->timestamp;
    if (digits->tones)
        leg->digits_done = !tones(digits, packet, length, rtp);
    else
        length = events(digits, packet, length, rtp);
    leg->digits_done = leg->digits_done || (!digits->tones && digits->at == digits->count);
    return length;
}

/* G.711 has a byte that is silence; of other codecs the relay knows none, so that nothing is sent. */
static size_t silence(uint8_t *packet, size_t length, const struct vos_rtp *rtp)
{
    if (rtp->payload_type != 0 && rtp->payload_type != 8)
        return 0;
    memset(packet + rtp->header, rtp->payload_type == 0 ? 0xff : 0xd5, length - rtp->header);
    return length;
}

/* Returns the length of what is to be passed on, 0 for nothing; `rtp` follows what the header says now. */
size_t vos_alter(struct vos_leg *leg, uint8_t *packet, size_t length, struct vos_rtp *rtp)
{
    if (vos_type_listed(leg->events, rtp->payload_type))
        return leg->filter & VOS_BLOCK_EVENTS || (leg->digits && !leg->digits_done) ? 0 : length;
    if (leg->digits && !leg->digits_done) {
        size_t altered = sound_digits(leg, packet, length, rtp);
        if (leg->digits->tones || altered != length || rtp->payload_type == leg->digits->payload_type)
            return altered;
    }
    if (leg->filter & VOS_BLOCK_MEDIA)
        return 0;
    return leg->filter & VOS_SILENCE ? silence(packet, length, rtp) : length;
}
