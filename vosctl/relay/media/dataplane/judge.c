/* Does a decrypted G.711 stream look like sound, or like noise under a wrong key?
 *
 * The bytes of a wrong rc4 or aes128 key are uniform: Pearson's chi-square over 256 values stays near its 255
 * degrees of freedom, where speech, tones, silence and music reach many thousands. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define WINDOW 100    /* packets that one verdict rests on */
#define PAUSE 2900    /* packets between two verdicts */
#define BYTES_MIN 8000
#define NOISE_MAX 450 /* chi-square with 255 degrees of freedom: mean 255, standard deviation 23 */

struct vos_judge {
    uint32_t packets, pause, bytes;
    uint32_t seen[256];
};

struct vos_judge *vos_judge_new(void)
{
    return calloc(1, sizeof(struct vos_judge));
}

void vos_judge_reset(struct vos_judge *judge)
{
    memset(judge, 0, sizeof *judge);
}

static int verdict(const struct vos_judge *judge)
{
    double expected = judge->bytes / 256.0, chi_square = 0;
    for (int i = 0; i < 256; i++)
        chi_square += (judge->seen[i] - expected) * (judge->seen[i] - expected) / expected;
    return chi_square < NOISE_MAX;
}

/* 1: noise, 0: sound, -1: not known yet. */
int vos_judge_packet(struct vos_judge *judge, uint8_t payload_type, const uint8_t *payload, size_t length)
{
    if (payload_type != 0 && payload_type != 8)
        return -1;
    if (judge->pause) {
        judge->pause--;
        return -1;
    }
    for (size_t i = 0; i < length; i++)
        judge->seen[payload[i]]++;
    judge->bytes += (uint32_t)length;
    if (++judge->packets < WINDOW || judge->bytes < BYTES_MIN)
        return -1;
    int result = verdict(judge);
    vos_judge_reset(judge);
    judge->pause = PAUSE;
    return result;
}
