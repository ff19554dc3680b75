/* SRTP for the load generator, by libsrtp2. A packet is sealed over what the last one left: what it says does not
 * matter, and the flow needs no second buffer. */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rtpload.h"

#define KEY_BYTES 30
#define RTP_MAX 172

struct seal {
    srtp_t session;
};

struct seal *seal_new(const char *key, uint32_t ssrc)
{
    static int started;
    unsigned char bytes[KEY_BYTES];
    struct seal *seal = calloc(1, sizeof *seal);
    srtp_policy_t policy = {.ssrc = {ssrc_specific, ssrc}, .key = bytes, .allow_repeat_tx = 1};
    for (int i = 0; i < KEY_BYTES; i++)
        if (!seal || sscanf(key + 2 * i, "%2hhx", &bytes[i]) != 1)
            exit(2);
    srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    if ((!started++ && srtp_init() != srtp_err_status_ok) ||
        srtp_create(&seal->session, &policy) != srtp_err_status_ok) {
        fprintf(stderr, "rtpload: SRTP cannot be set up\n");
        exit(1);
    }
    return seal;
}

size_t seal_packet(struct seal *seal, uint8_t *rtp, size_t length)
{
    uint8_t packet[RTP_MAX + SRTP_MAX_TRAILER_LEN];
    int size = (int)length;
    memcpy(packet, rtp, length);
    if (srtp_protect(seal->session, packet, &size) != srtp_err_status_ok)
        return length;
    memcpy(rtp, packet, (size_t)size);
    return (size_t)size;
}
