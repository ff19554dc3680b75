/* Seals the packet that argument 3 is in hex with the session key and salt of arguments 1 and 2 (AEAD_AES_128_GCM):
 * the vectors of RFC 7714 begin after the key derivation. Or, with `rc4`, a key in hex and an offset, writes the 16
 * bytes of RC4's keystream there. */
#include <stdio.h>
#include <stdlib.h>

#include "srtp.c"

static size_t unhex(const char *text, uint8_t *out)
{
    size_t length = 0;
    for (unsigned byte; sscanf(text + 2 * length, "%2x", &byte) == 1; length++)
        out[length] = (uint8_t)byte;
    return length;
}

int main(int count, char **argument)
{
    static struct vos_srtp srtp;
    uint8_t key[64], packet[512];
    if (count != 4 || vos_crypto_open())
        return 1;
    if (strcmp(argument[1], "rc4") == 0) {
        uint8_t stream[16] = {0};
        vos_rc4(key, unhex(argument[2], key), strtoul(argument[3], NULL, 10), stream, sizeof stream);
        for (size_t i = 0; i < sizeof stream; i++)
            printf("%02x", stream[i]);
        return 0;
    }
    if (unhex(argument[1], key) != 16)
        return 1;
    srtp.rtp.gcm = vos_gcm_new(key);
    srtp.rtp.tag = TAG_GCM;
    size_t length = unhex(argument[3], packet);
    if (unhex(argument[2], srtp.rtp.salt) != SALT_GCM || vos_srtp_packet(&srtp, packet, &length, 1, 0))
        return 1;
    for (size_t i = 0; i < length; i++)
        printf("%02x", packet[i]);
    vos_gcm_free(srtp.rtp.gcm);
    return 0;
}
