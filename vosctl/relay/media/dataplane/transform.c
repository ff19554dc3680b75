/* The payload transforms of docs/wire-format.md: in place, the header as it is, the length as it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define XOR_SPAN 1536 /* the key is repeated to at least this, so that a packet is one straight loop */
#define RC4_DISCARD 256
#define AES_BATCH 64

struct vos_cipher {
    uint8_t mode;
    uint8_t salt[4];
    struct vos_aes_shared *aes;
    struct vos_srtp *srtp;
    struct vos_hmac hmac;
    size_t span; /* a multiple of the key's length */
    uint8_t repeated[];
};

void vos_wipe(void *memory, size_t length)
{
    memset(memory, 0, length);
    __asm__ __volatile__("" : : "r"(memory) : "memory"); /* keeps the compiler from dropping the memset */
}

static void xor_bytes(uint8_t *data, const uint8_t *with, size_t length)
{
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t a, b;
        memcpy(&a, data + i, 8);
        memcpy(&b, with + i, 8);
        a ^= b;
        memcpy(data + i, &a, 8);
    }
    for (; i < length; i++)
        data[i] ^= with[i];
}

static int prepare(struct vos_cipher *cipher, const struct vos_transform *how)
{
    switch (how->mode) {
    case VOS_XOR:
        for (size_t i = 0; i < cipher->span; i++)
            cipher->repeated[i] = how->key[i % how->key_len];
        return 0;
    case VOS_RC4:
        return vos_rc4_known() ? vos_hmac_init(&cipher->hmac, VOS_SHA256, how->key, how->key_len) : -ENOSYS;
    case VOS_AES128:
        cipher->aes = vos_aes_share(how->key);
        return cipher->aes ? 0 : -ENOSYS;
    case VOS_SRTP_80:
    case VOS_SRTP_32:
    case VOS_SRTP_GCM:
        return vos_srtp_create(how, &cipher->srtp);
    default:
        return -EINVAL;
    }
}

static bool key_fits(const struct vos_transform *how)
{
    switch (how->mode) {
    case VOS_XOR:
        return how->key_len >= 1 && how->key_len <= VOS_KEY_MAX;
    case VOS_RC4:
        return how->key_len >= 16 && how->key_len <= 32;
    case VOS_AES128:
        return how->key_len == 16;
    case VOS_SRTP_80:
    case VOS_SRTP_32:
        return how->key_len == 30;
    case VOS_SRTP_GCM:
        return how->key_len == 28;
    default:
        return false;
    }
}

int vos_cipher_new(const struct vos_transform *how, struct vos_cipher **out)
{
    *out = NULL;
    if (how->mode == VOS_NONE)
        return 0;
    if (!key_fits(how))
        return -EINVAL;
    size_t span = how->mode == VOS_XOR ? (XOR_SPAN + how->key_len - 1u) / how->key_len * how->key_len : 0;
    struct vos_cipher *cipher = calloc(1, sizeof *cipher + span);
    if (!cipher)
        return -ENOMEM;
    cipher->mode = how->mode;
    cipher->span = span;
    memcpy(cipher->salt, how->salt, sizeof cipher->salt);
    int error = prepare(cipher, how);
    if (error) {
        vos_cipher_free(cipher);
        return error;
    }
    *out = cipher;
    return 0;
}

void vos_cipher_free(struct vos_cipher *cipher)
{
    if (!cipher)
        return;
    vos_aes_unshare(cipher->aes);
    vos_srtp_free(cipher->srtp);
    vos_wipe(cipher, sizeof *cipher + cipher->span);
    free(cipher);
}

/* SSRC, timestamp and sequence number, in the order that the keystreams take them. */
static void place(uint8_t out[10], const uint8_t *packet)
{
    memcpy(out, packet + 8, 4);
    memcpy(out + 4, packet + 4, 4);
    memcpy(out + 8, packet + 2, 2);
}

static void apply_xor(const struct vos_cipher *cipher, uint8_t *data, size_t length)
{
    while (length) {
        size_t part = length < cipher->span ? length : cipher->span;
        xor_bytes(data, cipher->repeated, part);
        data += part;
        length -= part;
    }
}

static void apply_rc4(const struct vos_cipher *cipher, const uint8_t *packet, uint8_t *data, size_t length)
{
    uint8_t input[14], key[32];
    place(input, packet);
    memcpy(input + 10, cipher->salt, 4);
    vos_hmac(&cipher->hmac, input, sizeof input, NULL, 0, key);
    vos_rc4(key, 16, RC4_DISCARD, data, length);
}

/* Counter mode: 14 bytes that are given and a block number of two. */
int vos_aes_counter(struct vos_aes *aes, const uint8_t prefix[14], uint8_t *data, size_t length)
{
    uint8_t counter[AES_BATCH * 16], stream[AES_BATCH * 16];
    uint32_t number = 0;
    while (length) {
        size_t part = length < sizeof stream ? length : sizeof stream;
        size_t blocks = (part + 15) / 16;
        for (size_t i = 0; i < blocks; i++, number++) {
            memcpy(counter + 16 * i, prefix, 14);
            counter[16 * i + 14] = (uint8_t)(number >> 8);
            counter[16 * i + 15] = (uint8_t)number;
        }
        if (vos_aes_blocks(aes, counter, stream, 16 * blocks))
            return -EIO;
        xor_bytes(data, stream, part);
        data += part;
        length -= part;
    }
    return 0;
}

static int apply_aes(const struct vos_cipher *cipher, const uint8_t *packet, uint8_t *data, size_t length)
{
    uint8_t prefix[14];
    place(prefix, packet);
    memcpy(prefix + 10, cipher->salt, 4);
    return vos_aes_counter(vos_aes_mine(cipher->aes), prefix, data, length);
}

struct vos_srtp *vos_cipher_srtp(struct vos_cipher *cipher)
{
    return cipher ? cipher->srtp : NULL;
}

/* A packet for which this fails must not be sent: it may still be plain. */
int vos_cipher_apply(struct vos_cipher *cipher, uint8_t *packet, size_t length, const struct vos_rtp *rtp)
{
    if (!cipher || cipher->srtp || length == rtp->header)
        return 0; /* SRTP is undone before a packet is believed at all */
    uint8_t *data = packet + rtp->header;
    size_t left = length - rtp->header;
    switch (cipher->mode) {
    case VOS_XOR:
        apply_xor(cipher, data, left);
        return 0;
    case VOS_RC4:
        apply_rc4(cipher, packet, data, left);
        return 0;
    default:
        return apply_aes(cipher, packet, data, left);
    }
}

/* What leaves: SRTP makes it longer, by VOS_TRAILER at the most, for which there must be room. */
int vos_cipher_seal(struct vos_cipher *cipher, uint8_t *packet, size_t *length, const struct vos_rtp *rtp)
{
    if (cipher && cipher->srtp)
        return vos_srtp_seal(cipher->srtp, packet, length, rtp);
    return vos_cipher_apply(cipher, packet, *length, rtp);
}

int vos_transform_packet(const struct vos_transform *how, uint8_t *packet, size_t length)
{
    struct vos_rtp rtp;
    struct vos_cipher *cipher;
    int error = how->mode > VOS_AES128 ? -EINVAL : vos_rtp_parse(packet, length, &rtp);
    if (!error)
        error = how->mode == VOS_RC4 || how->mode == VOS_AES128 ? vos_crypto_open() : 0;
    if (!error)
        error = vos_cipher_new(how, &cipher);
    if (error)
        return error;
    error = vos_cipher_apply(cipher, packet, length, &rtp);
    vos_cipher_free(cipher);
    return error;
}
