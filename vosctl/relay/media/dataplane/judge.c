/* Does a decrypted G.711 stream look like sound, or like what a wrong key or mode makes of it?
 *
 * A wrong rc4 or aes128 key gives uniform bytes: Pearson's chi-square over 256 values stays near its 255 degrees
 * of freedom, where sound of any kind, silence and data included, reaches many thousands.
 *
 * A wrong xor key moves the loudness at each place in the packet in its own way, leaves the sign (keys are ASCII),
 * and breaks what neighbouring samples have to do with each other. Sound has no reason to depend on the place in a
 * packet, but for tones that the packet's length is in step with; and of those the samples themselves, not their
 * loudness alone, depend on the place, or two samples foretell the next. So a stream is suspected when the place
 * explains much of the loudness, and little of the samples, and prediction explains little of the signal. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define WINDOW 100  /* packets that one verdict rests on: 2 s */
#define PAUSE 2900u /* packets between a good verdict and the next window: a minute */
#define AGAIN 400u  /* after a bad one: ten seconds, window and all; a stranger's noise must not cost much either */
#define BYTES_MIN 8000
#define PLACES 240
#define NOISE_MAX 450.0 /* chi-square with 255 degrees of freedom: mean 255, standard deviation 23 */
#define LOUDNESS_MIN 0.12
#define SAMPLES_MAX 0.10
#define UNPREDICTED_MIN 0.65

struct vos_judge {
    uint32_t packets, pause, bytes, ssrc;
    uint8_t payload_type;
    uint32_t seen[256];
    uint32_t place_count[PLACES], place_sum[PLACES];
    int32_t place_signed[PLACES];
    uint64_t loud_square, place_energy; /* of the codes, and of the samples, at those places */
    int64_t correlation[3]; /* of the samples, at lags 0, 1, 2 */
    int16_t linear[256];
    uint8_t loudness[256];
};

struct vos_judge *vos_judge_new(void)
{
    return calloc(1, sizeof(struct vos_judge));
}

void vos_judge_free(struct vos_judge *judge)
{
    free(judge);
}

/* ITU-T G.711 tables 1 and 2, scaled to 16 bits; loudness is the code's exponent and mantissa. */
static int16_t decode(uint8_t payload_type, uint8_t code)
{
    uint8_t plain = payload_type == 8 ? code ^ 0x55 : (uint8_t)~code;
    int exponent = plain >> 4 & 7, mantissa = plain & 15, value;
    if (payload_type == 0)
        value = ((mantissa << 3) + 0x84) << exponent;
    else
        value = exponent ? ((mantissa << 4) + 0x108) << (exponent - 1) : (mantissa << 4) + 8;
    if (payload_type == 0)
        value -= 0x84;
    bool positive = payload_type == 8 ? plain & 0x80 : !(plain & 0x80);
    return (int16_t)(positive ? value : -value);
}

static void begin(struct vos_judge *judge, uint8_t payload_type, uint32_t ssrc, uint32_t pause)
{
    bool tables = judge->payload_type != payload_type || !judge->linear[0];
    memset(judge, 0, offsetof(struct vos_judge, linear));
    judge->payload_type = payload_type;
    judge->ssrc = ssrc;
    judge->pause = pause;
    for (int code = 0; tables && code < 256; code++) {
        judge->linear[code] = decode(payload_type, (uint8_t)code);
        judge->loudness[code] = (uint8_t)((payload_type == 8 ? code ^ 0x55 : ~code) & 0x7f);
    }
}

static void take(struct vos_judge *judge, const uint8_t *payload, size_t length)
{
    int64_t one = 0, two = 0; /* the samples before */
    for (size_t i = 0; i < length; i++) {
        uint32_t loudness = judge->loudness[payload[i]];
        int64_t sample = judge->linear[payload[i]];
        judge->seen[payload[i]]++;
        judge->correlation[0] += sample * sample;
        judge->correlation[1] += sample * one;
        judge->correlation[2] += sample * two;
        two = one;
        one = sample;
        if (i < PLACES) {
            judge->place_count[i]++;
            judge->place_sum[i] += loudness;
            judge->place_signed[i] += (int32_t)sample;
            judge->loud_square += loudness * loudness;
            judge->place_energy += (uint64_t)(sample * sample);
        }
    }
    judge->bytes += (uint32_t)length;
    judge->packets++;
}

static double chi_square(const struct vos_judge *judge)
{
    double expected = judge->bytes / 256.0, sum = 0;
    for (int i = 0; i < 256; i++)
        sum += (judge->seen[i] - expected) * (judge->seen[i] - expected) / expected;
    return sum;
}

/* The share of the loudness codes' variance that their place in the packet explains, 0 to 1. */
static double loudness_share(const struct vos_judge *judge)
{
    double count = 0, sum = 0, between = 0;
    for (int i = 0; i < PLACES; i++) {
        if (!judge->place_count[i])
            continue;
        count += judge->place_count[i];
        sum += judge->place_sum[i];
        between += (double)judge->place_sum[i] * judge->place_sum[i] / judge->place_count[i];
    }
    double all = (double)judge->loud_square - sum * sum / count;
    return all > 0 ? (between - sum * sum / count) / all : 0;
}

/* The share of the samples' energy that their place explains, 0 to 1. */
static double samples_share(const struct vos_judge *judge)
{
    double between = 0;
    for (int i = 0; i < PLACES; i++)
        if (judge->place_count[i])
            between += (double)judge->place_signed[i] * judge->place_signed[i] / judge->place_count[i];
    return judge->place_energy ? between / (double)judge->place_energy : 0;
}

/* The share of the signal's energy that the best predictor from two samples leaves over, 0 to 1. */
static double unpredicted(const struct vos_judge *judge)
{
    double r0 = (double)judge->correlation[0], r1 = (double)judge->correlation[1], r2 = (double)judge->correlation[2];
    double scale = r0 * r0 - r1 * r1;
    if (r0 <= 0 || scale <= r0 * r0 * 1e-9)
        return 0;
    double first = r1 * (r0 - r2) / scale, second = (r0 * r2 - r1 * r1) / scale;
    return (r0 - first * r1 - second * r2) / r0;
}

static int verdict(const struct vos_judge *judge)
{
    if (chi_square(judge) < NOISE_MAX)
        return 1;
    return loudness_share(judge) > LOUDNESS_MIN && samples_share(judge) < SAMPLES_MAX &&
           unpredicted(judge) > UNPREDICTED_MIN;
}

/* 1: looks wrong, 0: looks like sound, -1: nothing new to say. */
int vos_judge_packet(struct vos_judge *judge, uint8_t payload_type, uint32_t ssrc, const uint8_t *payload,
                     size_t length)
{
    if (payload_type != 0 && payload_type != 8)
        return -1;
    bool same = judge->ssrc == ssrc && judge->payload_type == payload_type;
    if (same && judge->pause) { /* as most packets find it, who then touch nothing else of the judge */
        judge->pause--;
        return -1;
    }
    if (!same || !judge->linear[0])
        begin(judge, payload_type, ssrc, 0);
    take(judge, payload, length);
    if (judge->packets < WINDOW || judge->bytes < BYTES_MIN)
        return -1;
    int wrong = verdict(judge);
    begin(judge, payload_type, ssrc, wrong ? AGAIN : PAUSE);
    return wrong;
}
