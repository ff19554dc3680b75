/* A trunk's far end for the load generator: docs/wire-format.md over libcrypto, for packets without CSRC and
 * extension, with salt 0. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rtpload.h"

#define HEADER 12
#define BLOCK 16
#define STREAM_MAX 2048
#define DROPPED 256 /* bytes of RC4's key stream */

enum mode { XOR, RC4, AES128 };

struct crypt {
    enum mode mode;
    uint8_t key[256];
    size_t key_length;
    EVP_CIPHER_CTX *aes;
};

static void fail(const char *what)
{
    fprintf(stderr, "rtpload: %s\n", what);
    exit(1);
}

struct crypt *crypt_new(const char *text)
{
    static const char *const names[] = {"xor:", "rc4:", "aes128:"};
    struct crypt *crypt = calloc(1, sizeof *crypt);
    size_t mode = 0;
    while (mode < 3 && strncmp(text, names[mode], strlen(names[mode])) != 0)
        mode++;
    if (!crypt || mode == 3)
        fail("a key is MODE:KEY, with a mode of docs/wire-format.md");
    crypt->mode = (enum mode)mode;
    text += strlen(names[mode]);
    crypt->key_length = strlen(text);
    if (!crypt->key_length || crypt->key_length > sizeof crypt->key || (mode == AES128 && crypt->key_length != BLOCK))
        fail("the key is too short or too long");
    memcpy(crypt->key, text, crypt->key_length);
    if (mode == AES128 && (!(crypt->aes = EVP_CIPHER_CTX_new()) ||
                           EVP_EncryptInit_ex(crypt->aes, EVP_aes_128_ctr(), NULL, crypt->key, NULL) != 1))
        fail("AES-128 cannot be set up");
    return crypt;
}

static void rc4(const uint8_t key[BLOCK], uint8_t *out, size_t length)
{
    uint8_t state[256], swapped;
    for (int i = 0; i < 256; i++)
        state[i] = (uint8_t)i;
    for (int i = 0, j = 0; i < 256; i++) {
        j = (j + state[i] + key[i % BLOCK]) & 255;
        swapped = state[i], state[i] = state[j], state[j] = swapped;
    }
    uint8_t i = 0, j = 0;
    for (size_t at = 0; at < DROPPED + length; at++) {
        j = (uint8_t)(j + state[++i]);
        swapped = state[i], state[i] = state[j], state[j] = swapped;
        if (at >= DROPPED)
            out[at - DROPPED] ^= state[(uint8_t)(state[i] + state[j])];
    }
}

void crypt_packet(struct crypt *crypt, uint8_t *rtp, size_t length)
{
    uint8_t place[BLOCK] = {0}, sealed[STREAM_MAX], *payload = rtp + HEADER, digest[EVP_MAX_MD_SIZE];
    size_t size = length - HEADER;
    int done = (int)size;
    if (length < HEADER || size > STREAM_MAX)
        fail("a packet of no fit length");
    memcpy(place, rtp + 8, 4);
    memcpy(place + 4, rtp + 4, 4);
    memcpy(place + 8, rtp + 2, 2);
    switch (crypt->mode) {
    case XOR:
        for (size_t i = 0; i < size; i++)
            payload[i] ^= crypt->key[i % crypt->key_length];
        break;
    case RC4:
        if (!HMAC(EVP_sha256(), crypt->key, (int)crypt->key_length, place, 14, digest, NULL))
            fail("HMAC-SHA-256");
        rc4(digest, payload, size);
        break;
    case AES128:
        if (EVP_EncryptInit_ex(crypt->aes, NULL, NULL, NULL, place) != 1 ||
            EVP_EncryptUpdate(crypt->aes, sealed, &done, payload, done) != 1)
            fail("AES-128");
        memcpy(payload, sealed, size);
    }
}
